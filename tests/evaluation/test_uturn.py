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
import torch

from diffusers_jasco import FlowMatchEulerScheduler
from diffusers_jasco.evaluation import analyze_references
from diffusers_jasco.evaluation.control_estimators import ESTIMATORS
from diffusers_jasco.evaluation.evaluate import generate, make_requests, reconstruct
from diffusers_jasco.evaluation.handwritten import handwritten_items
from diffusers_jasco.evaluation.plotting import plot_uturns
from diffusers_jasco.evaluation.uturn import evaluate_uturns, make_uturns, survival

from ..conftest import load_pipeline, run_script
from .clips import RATE


@pytest.fixture(scope="module")
def pipe():
    return load_pipeline("chords-drums-melody")


@pytest.fixture(scope="module")
def items():
    return handwritten_items(RATE, 1.0)[:3]


def test_time_0_is_music_from_the_captions_alone(pipe, items):
    settings = {"num_inference_steps": 3}
    requests = make_requests(items, range(3), ["text"], settings, seed=5)
    alone = list(generate(pipe, requests, 2, None))
    for clip, expected in zip(make_uturns(pipe, items, 0.0, 2, settings, seed=5), alone, strict=True):
        torch.testing.assert_close(clip, expected)


def test_later_times_are_closer_to_the_reference_clip(pipe, items):
    reference = torch.stack(list(reconstruct(pipe, items, 3)))

    def distance(time):
        clips = torch.stack(list(make_uturns(pipe, items, time, 3, {"num_inference_steps": 2})))
        return float((clips - reference).abs().mean())

    distances = [distance(time) for time in (0.0, 0.9, 0.999)]
    assert distances[0] > distances[1] > 10 * distances[2]


def test_the_grid_of_the_scheduler_is_used_after_the_time(items):
    pipe, times = load_pipeline("chords-drums-melody"), []
    pipe.scheduler = FlowMatchEulerScheduler(num_inference_steps=3, inference_sigmas=[1.0, 0.8, 0.3])
    pipe.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: times.append(round(float(kwargs["timestep"][0]), 4)), with_kwargs=True
    )
    list(make_uturns(pipe, items, 0.5, 3))
    assert times == [0.5, 0.7]
    times.clear()
    list(make_uturns(pipe, items, 0.5, 3, {"num_inference_steps": 2}))
    assert times == [0.5, 0.75], "a given number of steps divides the rest equally"


def test_the_batch_size_does_not_matter(pipe, items):
    settings = {"num_inference_steps": 2}
    single, batched = (list(make_uturns(pipe, items, 0.3, size, settings)) for size in (1, 3))
    torch.testing.assert_close(single, batched, atol=1e-4, rtol=1e-3)


def test_controls_of_the_clip_can_be_given(pipe, items):
    """With beats, the pipeline gets the grid of the clip, and otherwise none, instead of a tempo of its own."""
    calls = []

    class Recorder:
        def __getattr__(self, name):
            return getattr(pipe, name)

        def __call__(self, prompt, **arguments):
            calls.append(arguments)
            return pipe(prompt, **{key: value for key, value in arguments.items() if key != "beats"})

    clips = [item | {"downbeats": [0.0, 0.9]} for item in items]
    for inputs in (("text",), ("text", "chords", "beats")):
        next(make_uturns(Recorder(), clips, 0.3, 3, {"num_inference_steps": 1}, inputs=inputs))
    assert [call["bpm"] for call in calls] == [[False] * 3, [None] * 3]
    assert not {"beats", "chords"} & calls[0].keys()
    assert calls[1]["chords"] == [item["chords"] for item in items]
    assert calls[1]["beats"] == [(item["beats"], [0.0, 0.9]) for item in items]


def test_all_times_and_the_codec_are_evaluated(pipe, items):
    quick = [estimator for estimator in ESTIMATORS if estimator.name in ("blind estimate", "percussive flux")]
    references = analyze_references(items, quick)
    result = evaluate_uturns(pipe, references, (0.0, 0.5), 3, {"num_inference_steps": 1}, min_clips=2)
    assert list(result["conditions"]) == ["t = 0", "t = 0.5", "codec"] and result["times"] == {
        "t = 0": 0,
        "t = 0.5": 0.5,
    }
    assert json.loads(json.dumps(result)).keys() == result.keys()
    curves = survival(result)
    assert [time for time, *_ in curves["chords"]] == [0.0, 0.5]
    assert all(low <= value <= high for _, value, low, high in curves["chords"])


def test_the_figure_has_a_line_per_measure():
    curves = {
        "beats": [(0.0, 0.1, 0.0, 0.2), (0.05, 0.5, 0.4, 0.6), (0.3, 0.9, 0.8, 1.0)],
        "caption: style": [(0.05, 0.7, 0.5, 0.8)],
    }
    (axes,) = plot_uturns(curves, "nano").axes
    lines = {line.get_label(): line.get_xydata().round().tolist() for line in axes.lines if line.get_marker() == "o"}
    assert lines == {"beats": [[0, 0], [1, 0], [2, 1]], "caption: style": [[1, 1]]}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.05", "0.3"]


def test_a_time_outside_the_path_raises_an_error(pipe, items):
    with pytest.raises(ValueError, match=r"`time` has to be in \[0, 1\), but got 1"):
        next(make_uturns(pipe, items, 1.0))


def test_the_script_writes_tables_and_a_figure(tmp_path, capsys):
    pytest.importorskip("tinysoundfont")
    load_pipeline("chords-drums-melody").save_pretrained(tmp_path / "checkpoint")
    arguments = ["--checkpoint", tmp_path / "checkpoint", "--renderer", "tinysoundfont", "--output", tmp_path / "out"]
    arguments += ["--num_clips", 2, "--min_clips", 2, "--duration", 1.0, "--num_inference_steps", 1]
    run_script("evaluate_uturns", *arguments, "--times", 0, 0.3)
    assert "t = 0.3" in capsys.readouterr().out and (tmp_path / "out" / "uturns.png").stat().st_size > 1000
    assert "t = 0.3" in (tmp_path / "out" / "uturns.md").read_text()
    assert set(json.loads((tmp_path / "out" / "uturns.json").read_text())["conditions"]) == {
        "t = 0",
        "t = 0.3",
        "codec",
    }
