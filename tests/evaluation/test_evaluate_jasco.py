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

import importlib.util
import json
from pathlib import Path

import pytest

from ..conftest import load_pipeline


SCRIPT = Path(__file__).parents[2] / "scripts" / "evaluate_jasco.py"


def run(*arguments):
    spec = importlib.util.spec_from_file_location("evaluate_jasco", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two runs with different batch sizes of a checkpoint with random weights."""
    pytest.importorskip("tinysoundfont")
    pytest.importorskip("pretty_midi")
    folder = tmp_path_factory.mktemp("evaluate")
    load_pipeline("chords-drums-melody").save_pretrained(folder / "checkpoint")
    arguments = ["--checkpoint", folder / "checkpoint", "--renderer", "tinysoundfont", "--num_clips", 4]
    arguments += ["--duration", 1.0, "--num_inference_steps", 2, "--device", "cpu"]
    run(*arguments, "--batch_size", 4, "--output", folder / "a.json")
    run(*arguments, "--batch_size", 3, "--conditions", "all,swapped", "--output", folder / "b.json")
    return [json.loads((folder / name).read_text()) for name in ("a.json", "b.json")]


def test_all_conditions_are_reported(results):
    report, _ = results
    names = ["all", "none", "text", "chords", "drums", "melody", "swapped", "codec", "no_drums"]
    assert list(report["conditions"]) == names
    for name in names:
        result = report["conditions"][name]
        assert len(result["sound"]) == 4 and all(len(values) == 4 for values in result["scores"].values())
        assert all(row["low"] is None or row["low"] <= row["high"] for row in result["adherence"])
    assert report["settings"]["seed"] == 0 and report["versions"]["torch"]
    assert "spectral_distance" in report["conditions"]["codec"]


def test_controls_are_swapped_between_clips(results):
    report, _ = results
    controls = report["conditions"]["swapped"]["controls_of"]
    assert sorted(controls) == [0, 1, 2, 3] and all(i != control for i, control in enumerate(controls))
    assert report["conditions"]["all"]["controls_of"] == [0, 1, 2, 3]


def test_the_same_seed_is_the_same_music_in_other_batches(results):
    first, second = results
    for name in ("all", "swapped"):
        for one, other in zip(first["conditions"][name]["sound"], second["conditions"][name]["sound"]):
            assert one["level"] == pytest.approx(other["level"], abs=1e-3)
            assert one["peak"] == pytest.approx(other["peak"], rel=1e-3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--conditions", "all,tempo"], "tempo: none of all, none"),
        (["--num_clips", 1], "at least 2"),
        (["--output", "/no/such/folder/a.json"], "there is no folder"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit):
        run("--checkpoint", "x", "--output", tmp_path / "a.json", *arguments)
    assert message in capsys.readouterr().err
