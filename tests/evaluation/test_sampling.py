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

import pytest

from diffusers_jasco import FlowMatchDopri5Scheduler, FlowMatchEulerScheduler
from diffusers_jasco.evaluation import analyze_references, evaluate_pipeline, flatten
from diffusers_jasco.evaluation.control_estimators import ESTIMATORS
from diffusers_jasco.evaluation.handwritten import handwritten_items
from diffusers_jasco.evaluation.plotting import plot_samplers
from diffusers_jasco.evaluation.report import write_samplers
from diffusers_jasco.evaluation.sampling import Sampler, evaluate_sampler, list_samplers

from ..conftest import load_pipeline, run_script
from .clips import RATE, make_item, write_dataset


@pytest.fixture(scope="module")
def references():
    quick = [estimator for estimator in ESTIMATORS if estimator.name in ("segment templates", "percussive flux")]
    return analyze_references(handwritten_items(RATE, 1.0)[:3], quick)


@pytest.fixture(scope="module")
def checkpoint():
    return load_pipeline("chords-drums-melody")


def test_all_combinations_are_listed_and_an_adaptive_scheduler_once():
    samplers = list_samplers(["euler", "dopri5"], [4, 8], [(1.5, 0.0), (2.0, 0.5)])
    assert samplers[:3] == [Sampler(*rest, 1.5, 0.0) for rest in (("euler", 4), ("euler", 8), ("dopri5", None))]
    assert len(samplers) == 6 and samplers[3:] == [Sampler(s.scheduler, s.steps, 2.0, 0.5) for s in samplers[:3]]
    # The others have no time grids.
    powers = list_samplers(["euler", "heun", "unipc", "dpm++", "dopri5"], [4], [(1.5, 0.0)], [1.0, 2.0])
    assert [(sampler.scheduler, sampler.power) for sampler in powers] == [
        ("euler", 1), ("euler", 2), ("heun", 1), ("unipc", 1), ("unipc", 2), ("dpm++", 1), ("dopri5", 1),
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"some of euler, heun, unipc, dpm.*but got ddim"):
        list_samplers(["euler", "ddim"], [4], [(1.5, 0.0)])


@pytest.mark.parametrize(
    "name, steps, evaluations", [("euler", 4, 4), ("heun", 4, 7), ("unipc", 4, 4), ("dpm++", 4, 4)]
)
def test_evaluations_are_counted_and_the_scheduler_is_restored(checkpoint, references, name, steps, evaluations):
    scheduler = checkpoint.scheduler
    point = evaluate_sampler(checkpoint, references, Sampler(name, steps, 1.5, 0.0), batch_size=2, min_clips=2)
    assert point["scheduler"] == name and point["evaluations"] == evaluations
    assert checkpoint.scheduler is scheduler
    assert json.loads(json.dumps(point)) == point


@pytest.mark.parametrize("name", ["euler", "unipc"])
def test_steps_of_a_higher_power_are_shorter_near_noise(checkpoint, references, name):
    sampler = Sampler(name, 4, 1.5, 0.0, power=2.0)
    assert sampler.settings["sigmas"] == pytest.approx([1, 15 / 16, 3 / 4, 7 / 16])
    points = [
        evaluate_sampler(checkpoint, references, Sampler(name, 4, 1.5, 0.0, power), 3, 2, "text")
        for power in (1.0, 2.0)
    ]
    assert [point["evaluations"] for point in points] == [4, 4]
    assert points[0]["kernel_distance"] != points[1]["kernel_distance"]
    assert all(point["condition"] == "text" and set(point["form"]) == {"beat_strength", "harmony"} for point in points)


def test_an_adaptive_scheduler_chooses_its_steps(checkpoint, references):
    point = evaluate_sampler(checkpoint, references, Sampler("dopri5", None, 1.5, 0.0), batch_size=3, min_clips=2)
    pipe = load_pipeline("chords-drums-melody", scheduler=FlowMatchDopri5Scheduler())
    result = evaluate_pipeline(
        pipe, references, ("all",), 3, {"guidance_scale": 1.5, "text_guidance_scale": 0.0}, min_clips=2
    )
    assert point["evaluations"] == len(pipe.scheduler.timesteps) > 7
    assert point["kernel_distance"] == pytest.approx(flatten(result)["all/kernel_distance"], abs=1e-3)


def test_values_match_evaluate_pipeline(checkpoint, references):
    settings = {"num_inference_steps": 3, "guidance_scale": 2.0, "text_guidance_scale": 0.5}
    result = evaluate_pipeline(checkpoint, references, ("all",), 8, settings, min_clips=2)
    point = evaluate_sampler(checkpoint, references, Sampler("euler", *settings.values()), min_clips=2)
    assert isinstance(checkpoint.scheduler, FlowMatchEulerScheduler)
    values = flatten(result)
    adherence = {name: row["value"] for name, row in point["adherence"].items()}
    assert adherence == {"root": values["all/chords/root"], "onsets": values["all/drums/onset_f1"]}
    assert point["mean_adherence"] == pytest.approx(sum(adherence.values()) / 2)
    assert point["kernel_distance"] == values["all/kernel_distance"]
    bands = result["conditions"]["all"]["against_references"]["bands"]
    assert abs(point["band_difference"]) == max(map(abs, bands.values()))


def make_point(scheduler, steps, evaluations, guidance, value, distance=0.1):
    return {
        "scheduler": scheduler,
        "steps": steps,
        "guidance_scale": guidance,
        "text_guidance_scale": 0.0,
        "power": 1.0,
        "condition": "all",
        "form": {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in ("beat_strength", "harmony")},
        "evaluations": evaluations,
        "adherence": {} if value is None else {"root": {"value": value, "low": value - 0.1, "high": value + 0.1}},
        "mean_adherence": value,
        "kernel_distance": distance,
        "low": None if distance is None else distance - 0.05,
        "high": None if distance is None else distance + 0.05,
        "worst_band": "8 kHz",
        "band_difference": -4.2,
        "harmonic_to_noise": 12.0,
        "rise": None,
        "seconds_per_second": 0.25,
    }


POINTS = [
    make_point("heun", 4, 7, 1.5, 0.9),
    make_point("euler", 8, 8, 1.5, 0.8),
    make_point("euler", 4, 4, 1.5, 0.5),
    make_point("euler", 4, 4, 2.0, None, None),
    make_point("dopri5", None, 62.0, 2.0, 0.95),
]


def test_the_table_has_a_row_per_sampler():
    table = write_samplers(POINTS)
    assert len(table.splitlines()) == 2 + len(POINTS)
    assert (
        "| heun | 4 | 1 | 7 | 1.5 | 0 | 0.90 (0.80 … 1.00) |  |  | 0.900 | 0.50 (0.40 … 0.60) | 0.50 (0.40 … 0.60) |"
        in table
    )
    assert "| dopri5 | adaptive |  | 62 | 2 |" in table and "| -4.2 dB (8 kHz) | 12.0 dB |  | 0.25 |" in table


def test_the_figure_has_a_line_per_scheduler_and_a_column_per_guidance():
    figure = plot_samplers(POINTS, "nano")
    adherence, distance = figure.axes[:2], figure.axes[2:]
    assert [axes.get_title() for axes in adherence] == ["guidance 1.5", "guidance 2"]

    def curves(axes):
        # Rounding removes the horizontal offsets between schedulers.
        return {
            line.get_label(): [(round(x), round(y, 6)) for x, y in line.get_xydata()]
            for line in axes.lines
            if line.get_marker() == "o"
        }

    assert curves(adherence[0]) == {"heun": [(7, 0.9)], "euler": [(4, 0.5), (8, 0.8)]}
    assert curves(distance[0]) == {"heun": [(7, 0.1)], "euler": [(4, 0.1), (8, 0.1)]}
    # Missing values are not plotted.
    assert curves(adherence[1]) == {"dopri5": [(64, 0.95)]} and curves(distance[1]) == {"dopri5": [(64, 0.1)]}
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"heun", "euler", "dopri5"}


def test_the_figure_of_music_from_captions_shows_the_beat_strength_of_each_time_grid():
    points = [make_point("euler", 4, 4, 1.5, None) | {"condition": "text", "power": power} for power in (1.0, 2.0)]
    few_clips = {name: dict.fromkeys(("value", "low", "high")) for name in ("beat_strength", "harmony")}
    upper, _ = plot_samplers([*points, points[0] | {"evaluations": 8, "form": few_clips}], "nano").axes
    assert "beat strength" in upper.get_ylabel()
    lines = {line.get_label(): line.get_ydata().tolist() for line in upper.lines if line.get_marker() == "o"}
    assert lines == {"euler, power 1": [0.5], "euler, power 2": [0.5]}


def test_existing_points_are_kept_and_new_ones_added(tmp_path, capsys):
    pytest.importorskip("librosa")
    load_pipeline("chords-drums-melody").save_pretrained(tmp_path / "checkpoint")
    (tmp_path / "data").mkdir()
    write_dataset(tmp_path / "data", [make_item(seed) for seed in range(3)])
    arguments = ["--checkpoint", tmp_path / "checkpoint", "--dataset", tmp_path / "data", "--duration", 1.0]
    arguments += ["--device", "cpu", "--output", tmp_path / "curve"]
    run_script("evaluate_sampling", *arguments, "--schedulers", "euler", "--steps", "1", "--guidance_scales", "1,2")
    first = json.loads((tmp_path / "curve/sampling.json").read_text())
    assert [(point["steps"], point["guidance_scale"]) for point in first] == [(1, 1.0), (1, 2.0)]
    run_script("evaluate_sampling", *arguments, "--schedulers", "euler,heun", "--steps", "1,2", "--guidance_scales", 2)
    points = json.loads((tmp_path / "curve/sampling.json").read_text())
    # Equal timings show that the points were not evaluated again.
    assert points[:2] == first and [(p["scheduler"], p["steps"]) for p in points[2:]] == [
        ("euler", 2),
        ("heun", 1),
        ("heun", 2),
    ]
    assert len((tmp_path / "curve/sampling.md").read_text().splitlines()) == 4 + 5
    assert (tmp_path / "curve/sampling.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match="another seed"):
        run_script("evaluate_sampling", *arguments, "--seed", 1)
    with pytest.raises(ValueError, match="but got ddim"):
        run_script("evaluate_sampling", *arguments, "--schedulers", "ddim")


@pytest.mark.parametrize("option", [("--powers", "0"), ("--powers", "1,x"), ("--steps", "4,0")])
def test_invalid_lists_are_rejected_before_anything_is_rendered(option, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_script("evaluate_sampling", "--checkpoint", "absent", "--output", tmp_path, *option)
    assert f"{option[0]}: has to be a " in capsys.readouterr().err
