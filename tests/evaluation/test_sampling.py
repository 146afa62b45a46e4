# Copyright 2026 The diffusers-jasco authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

import json

import numpy as np
import pytest

from diffusers_jasco import FlowMatchEulerScheduler, JascoGuidance
from diffusers_jasco.evaluation import analyze_references, evaluate_pipeline, flatten
from diffusers_jasco.evaluation.control_estimators import ESTIMATORS
from diffusers_jasco.evaluation.handwritten import handwritten_items
from diffusers_jasco.evaluation.metrics.sound import drum_level
from diffusers_jasco.evaluation.plotting import plot_samplers
from diffusers_jasco.evaluation.report import write_samplers
from diffusers_jasco.evaluation.sampling import Sampler, SamplerEvaluator, list_samplers, make_guider

from ..conftest import load_pipeline, run_script
from .clips import RATE, make_item, write_dataset


@pytest.fixture(scope="module")
def references():
    names = ("segment templates", "percussive flux", "caption probe")
    quick = [estimator for estimator in ESTIMATORS if estimator.name in names]
    return analyze_references(handwritten_items(RATE, 1.0)[:3], quick)


@pytest.fixture(scope="module")
def checkpoint():
    return load_pipeline("chords-drums-melody")


def test_all_combinations_are_listed_and_an_adaptive_scheduler_once():
    guidance = [{}, {"stop_time": 0.5}]
    samplers = list_samplers(["euler", "dopri5"], [4, 8], guidance)
    assert samplers[:3] == [Sampler("euler", 4), Sampler("euler", 8), Sampler("dopri5", None)]
    assert samplers[3:] == [Sampler(s.scheduler, s.steps, guidance=guidance[1]) for s in samplers[:3]]
    # The others have no time grids.
    powers = list_samplers(["euler", "heun", "unipc", "dpm++", "dopri5"], [4], powers=[1.0, 2.0])
    assert [(sampler.scheduler, sampler.power) for sampler in powers] == [
        ("euler", 1), ("euler", 2), ("heun", 1), ("unipc", 1), ("unipc", 2), ("dpm++", 1), ("dopri5", 1),
    ]  # fmt: skip
    assert [sampler.end_power for sampler in list_samplers(["euler"], [4], end_powers=[1.0, 1.5])] == [1.0, 1.5]
    with pytest.raises(ValueError, match=r"some of euler, multistep, .*but got ddim"):
        list_samplers(["euler", "ddim"], [4])


@pytest.mark.parametrize(
    "name, steps, evaluations",
    [
        ("euler", 4, 4),
        ("multistep", 4, 4),
        ("heun", 4, 7),
        ("unipc", 4, 4),
        ("unipc3", 4, 4),
        ("dpm++", 4, 4),
        ("deis", 4, 4),
    ],
)
def test_evaluations_are_counted_and_the_scheduler_is_restored(checkpoint, name, steps, evaluations):
    scheduler = checkpoint.scheduler
    evaluator = SamplerEvaluator(checkpoint, handwritten_items(RATE, 1.0)[:3], tolerance=None, batch_size=2)
    point = evaluator.evaluate(Sampler(name, steps, guidance={"guidance_scale": 1.5}))
    assert point["scheduler"] == name and point["evaluations"] == evaluations
    assert point["forward_passes"] == 2 * evaluations
    assert checkpoint.scheduler is scheduler
    assert json.loads(json.dumps(point)) == point and "adherence" not in point


def test_branches_that_guidance_skips_are_not_counted(checkpoint):
    evaluator = SamplerEvaluator(checkpoint, handwritten_items(RATE, 1.0)[:3], tolerance=None)
    passes = [
        evaluator.evaluate(Sampler("euler", 4, guidance=guidance))["forward_passes"]
        for guidance in (
            {"guidance_scale": 2.0, "text_guidance_scale": 0.5},
            {"guidance_scale": 1.0},
            {"guidance_scale": 2.0, "stop_time": 0.4},
        )
    ]
    assert passes == [12, 4, 6]


def test_errors_of_latents_fall_with_the_number_of_steps_and_depend_on_the_guidance(checkpoint, tmp_path):
    items = handwritten_items(RATE, 1.0)[:2]
    evaluator = SamplerEvaluator(checkpoint, items, tolerance=1e-5, cache=tmp_path)
    few, many, other, adaptive = map(
        evaluator.evaluate,
        (
            Sampler("euler", 2),
            Sampler("euler", 16),
            Sampler("euler", 16, guidance={"guidance_scale": 1.0}),
            Sampler("dopri5", None),
        ),
    )
    assert few["latent_error"] == few["default_error"] > 4 * many["latent_error"] > 0
    assert other["default_error"] > 2 * other["latent_error"]
    assert adaptive["latent_error"] < 1e-3
    # Other tolerances have no effect on solutions that are in the cache already.
    cached = SamplerEvaluator(checkpoint, items, tolerance=0.1, cache=tmp_path).evaluate(Sampler("euler", 2))
    assert cached == few


def test_guidance_extends_that_of_the_checkpoint():
    guider = make_guider({"stop_time": 0.5}, JascoGuidance(2.0, guidance_rescale=1.0))
    assert (guider.guidance_scale, guider.guidance_rescale, guider.stop_time) == (2.0, 1.0, 0.5)
    with pytest.raises(ValueError, match="but got strength"):
        make_guider({"strength": 1.0})


@pytest.mark.parametrize("name", ["euler", "unipc"])
def test_steps_of_a_higher_power_are_shorter_near_noise(checkpoint, references, name):
    assert Sampler(name, 4, power=2.0).grid["sigmas"] == pytest.approx([1, 15 / 16, 3 / 4, 7 / 16])
    evaluator = SamplerEvaluator(checkpoint, references, "text", tolerance=None, min_clips=2)
    points = [evaluator.evaluate(Sampler(name, 4, power)) for power in (1.0, 2.0)]
    assert [point["evaluations"] for point in points] == [4, 4]
    assert points[0]["kernel_distance"] != points[1]["kernel_distance"]
    assert all(point["condition"] == "text" and set(point["form"]) == {"beat_strength", "harmony"} for point in points)


def test_values_match_evaluate_pipeline(checkpoint, references):
    settings = {"guidance_scale": 2.0, "text_guidance_scale": 0.5}
    result = evaluate_pipeline(
        checkpoint, references, ("all", "codec"), 8, settings | {"num_inference_steps": 3}, min_clips=2
    )
    evaluator = SamplerEvaluator(checkpoint, references, tolerance=None, min_clips=2)
    point = evaluator.evaluate(Sampler("euler", 3, guidance=settings))
    assert isinstance(checkpoint.scheduler, FlowMatchEulerScheduler)
    values = flatten(result)
    adherence = {name: row["value"] for name, row in point["adherence"].items()}
    assert adherence == {"root": values["all/chords/root"], "onsets": values["all/drums/onset_f1"]}
    assert point["mean_adherence"] == pytest.approx(sum(min(value, 1) for value in adherence.values()) / 2)
    captions = {f"all/captions/{question}": row["value"] for question, row in point["captions"].items()}
    assert captions == {key: value for key, value in values.items() if "/captions/" in key and value == value}
    assert point["kernel_distance"] == values["all/kernel_distance"]
    condition = result["conditions"]["all"]
    assert abs(point["band_difference"]) == max(map(abs, condition["against_references"]["bands"].values()))
    assert point["loudness"] == np.median([check["loudness"] for check in condition["sound"]])


def test_the_drum_level_rises_with_the_drums():
    item = next(item for item in handwritten_items(RATE, 4.0) if item["drum_onsets"])
    rest = item["audio"] - item["stems"]["drums"]
    levels = [drum_level((rest + gain * item["stems"]["drums"], RATE)) for gain in (0.25, 0.5, 1.0)]
    assert levels[0] + 3 < levels[1] < levels[2] - 3


def make_point(scheduler, steps, passes, guidance, value, distance=0.1):
    return {
        "scheduler": scheduler,
        "steps": steps,
        "guidance": guidance,
        "power": 1.0,
        "end_power": 1.0,
        "condition": "all",
        "form": {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in ("beat_strength", "harmony")},
        "evaluations": passes / 2,
        "forward_passes": passes,
        "latent_error": 0.08,
        "default_error": 0.12,
        "adherence": {} if value is None else {"root": {"value": value, "low": value - 0.1, "high": value + 0.1}},
        "mean_adherence": value,
        "captions": {"style": {"value": 0.7, "low": 0.6, "high": 0.8}},
        "mean_captions": 0.7,
        "kernel_distance": distance,
        "low": None if distance is None else distance - 0.05,
        "high": None if distance is None else distance + 0.05,
        "worst_band": "8 kHz",
        "band_difference": -4.2,
        "loudness": -17.0,
        "loudness_difference": 1.5,
        "drum_level_difference": None,
        "harmonic_to_noise": 12.0,
        "rise": None,
        "seconds_per_second": 0.25,
    }


OTHER = {"stop_time": 0.5, "control_scales": {"chords": 0.5}}
POINTS = [
    make_point("heun", 4, 14, {}, 0.9),
    make_point("euler", 8, 16, {}, 0.8),
    make_point("euler", 4, 8, {}, 0.5),
    make_point("euler", 4, 8, OTHER, None, None),
    make_point("dopri5", None, 124.0, OTHER, 0.95),
]
LATENTS = (
    "scheduler",
    "steps",
    "guidance",
    "power",
    "end_power",
    "condition",
    "evaluations",
    "forward_passes",
    "latent_error",
)


def test_the_table_has_a_row_per_sampler():
    table = write_samplers(POINTS)
    assert len(table.splitlines()) == 2 + len(POINTS)
    assert "| heun | 4 | 1, 1 | default | 7 | 14 | 8.00% | 12.00% | 0.90 (0.80 … 1.00) |  |  | 0.900 |" in table
    assert "| 0.70 | 0.70 |  |  |  |  | 0.100 (0.050 … 0.150) | -4.2 dB (8 kHz) | -17.0 LUFS (+1.5) |  |" in table
    assert "| dopri5 | adaptive |  | stop_time=0.5, chords=0.5 | 62 | 124 |" in table
    latents = write_samplers([{key: point[key] for key in (*LATENTS, "default_error")} for point in POINTS])
    assert latents.splitlines()[2] == "| heun | 4 | 1, 1 | default | 7 | 14 | 8.00% | 12.00% |"


def test_the_figure_has_a_line_per_scheduler_and_a_column_per_guidance():
    figure = plot_samplers(POINTS, "nano")
    adherence, distance, error = (figure.axes[row : row + 2] for row in (0, 2, 4))
    assert [axes.get_title() for axes in adherence] == ["default", "stop_time=0.5, chords=0.5"]

    def curves(axes):
        # Rounding removes the horizontal offsets between schedulers.
        return {
            line.get_label(): [(round(x), round(y, 6)) for x, y in line.get_xydata()]
            for line in axes.lines
            if line.get_marker() == "o"
        }

    assert curves(adherence[0]) == {"heun": [(14, 0.9)], "euler": [(8, 0.5), (16, 0.8)]}
    assert curves(distance[0]) == {"heun": [(14, 0.1)], "euler": [(8, 0.1), (16, 0.1)]}
    # Missing values are not plotted.
    assert curves(adherence[1]) == {"dopri5": [(128, 0.95)]} and curves(distance[1]) == {"dopri5": [(128, 0.1)]}
    assert curves(error[0]) == {"heun": [(14, 0.08)], "euler": [(8, 0.08), (16, 0.08)]}
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"heun", "euler", "dopri5"}
    latents = plot_samplers([{key: point[key] for key in LATENTS} for point in POINTS], "nano")
    assert [axes.get_ylabel() for axes in latents.axes] == ["error of the latents", ""]


def test_the_figure_of_music_from_captions_shows_the_beat_strength_of_each_time_grid():
    points = [make_point("euler", 4, 4, {}, None) | {"condition": "text", "power": power} for power in (1.0, 2.0)]
    few_clips = {name: dict.fromkeys(("value", "low", "high")) for name in ("beat_strength", "harmony")}
    upper, *_ = plot_samplers([*points, points[0] | {"forward_passes": 8, "form": few_clips}], "nano").axes
    assert "beat strength" in upper.get_ylabel()
    lines = {line.get_label(): line.get_ydata().tolist() for line in upper.lines if line.get_marker() == "o"}
    assert lines == {"euler, powers 1 and 1": [0.5], "euler, powers 2 and 1": [0.5]}


def test_existing_points_are_kept_and_new_ones_added(tmp_path, capsys):
    pytest.importorskip("librosa")
    load_pipeline("chords-drums-melody").save_pretrained(tmp_path / "checkpoint")
    (tmp_path / "data").mkdir()
    write_dataset(tmp_path / "data", [make_item(seed) for seed in range(3)])
    arguments = ["--checkpoint", tmp_path / "checkpoint", "--dataset", tmp_path / "data", "--duration", 1.0]
    arguments += ["--device", "cpu", "--output", tmp_path / "curve"]
    steps = ["--measures", "music", "--schedulers", "euler", "--steps", "1"]
    run_script("evaluate_sampling", *arguments, *steps, "--guidance", "default", "stop_time=0.5,chords=0.5")
    first = json.loads((tmp_path / "curve/sampling.json").read_text())
    other = {"stop_time": 0.5, "control_scales": {"chords": 0.5}}
    assert [(point["steps"], point["guidance"]) for point in first] == [(1, {}), (1, other)]
    arguments += ["--measures", "music"]
    run_script("evaluate_sampling", *arguments, "--schedulers", "euler,heun", "--steps", "1,2")
    points = json.loads((tmp_path / "curve/sampling.json").read_text())
    # Equal timings show that the points were not evaluated again.
    assert points[:2] == first and [(p["scheduler"], p["steps"]) for p in points[2:]] == [
        ("euler", 2),
        ("heun", 1),
        ("heun", 2),
    ]
    assert len((tmp_path / "curve/sampling.md").read_text().splitlines()) == 4 + 5
    assert (tmp_path / "curve/sampling.png").stat().st_size > 10_000
    latents = [*arguments[:-3], tmp_path / "latents", "--measures", "latents", "--schedulers", "euler", "--steps", "2"]
    latents += ["--tolerance", 1e-3]
    run_script("evaluate_sampling", *latents)
    (point,) = json.loads((tmp_path / "latents/sampling.json").read_text())
    assert point["latent_error"] > 0 and "kernel_distance" not in point
    with pytest.raises(ValueError, match="another seed"):
        run_script("evaluate_sampling", *arguments, "--seed", 1)
    with pytest.raises(ValueError, match="but got ddim"):
        run_script("evaluate_sampling", *arguments, "--schedulers", "ddim")


@pytest.mark.parametrize(
    "option, message",
    [
        (("--powers", "0"), "has to be a "),
        (("--powers", "1,x"), "has to be a "),
        (("--steps", "4,0"), "has to be a "),
        (("--guidance", "stop_time"), "has to be a "),
        (("--guidance", "default", "stop_time=2"), "`stop_time` has to be between 0 and 1"),
        (("--guidance", "scale=2"), "but got scale"),
    ],
)
def test_invalid_lists_are_rejected_before_anything_is_rendered(option, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_script("evaluate_sampling", "--checkpoint", "absent", "--output", tmp_path, *option)
    error = capsys.readouterr().err
    assert f"{option[0]}: " in error and message in error
