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
import soundfile

from ..conftest import load_pipeline, run_script
from .clips import make_item, write_dataset


NAMES = ["all", "none", "text", "chords", "drums", "melody", "quiet_drums", "swapped", "codec", "no_drums"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """
    Evaluates a checkpoint with random weights twice, with different batch sizes and without handwritten clips. Returns
    the folder, and the arguments of the first run.
    """
    pytest.importorskip("tinysoundfont")
    pytest.importorskip("pretty_midi")
    folder = tmp_path_factory.mktemp("evaluate")
    load_pipeline("chords-drums-melody").save_pretrained(folder / "checkpoint")
    arguments = [
        "--checkpoint",
        folder / "checkpoint",
        "--renderer",
        "tinysoundfont",
        "--num_clips",
        3,
        "--min_clips",
        2,
    ]
    arguments += ["--duration", 1.0, "--num_inference_steps", 2, "--device", "cpu"]
    first = [*arguments, "--batch_size", 3, "--output", folder / "a"]
    run_script("evaluate_jasco", *first, "--conditions", ",".join(NAMES))
    other = ["--batch_size", 2, "--conditions", "all,swapped", "--output", folder / "b"]
    run_script("evaluate_jasco", *arguments, *other)
    return folder, first


def read(folder, name):
    return json.loads((folder / name / "report.json").read_text())


def read_samples(folder):
    """Samples of all clips, as the files' headers contain a timestamp."""
    return {path.relative_to(folder): soundfile.read(path)[0].tobytes() for path in folder.rglob("*.wav")}


def test_all_conditions_are_reported(runs):
    folder, _ = runs
    report = read(folder, "a")
    conditions = report["results"]["references"]["conditions"]
    assert list(conditions) == NAMES
    for name in NAMES:
        result = conditions[name]
        assert len(result["sound"]) == 3 and all(len(values) == 3 for values in result["scores"].values())
        assert all(row["low"] is None or row["low"] <= row["high"] for row in result["adherence"])
        assert "caption probe/style" in result["scores"]
        assert name == "codec" or "style" in {row["question"] for row in result["captions"]}
    assert report["settings"]["seed"] == 0 and report["versions"]["torch"]
    assert "spectral_distance" in conditions["codec"]
    assert "### references: captions" in (folder / "a" / "report.md").read_text()
    assert "## references: 3 clips" in (folder / "a" / "report.md").read_text()
    assert any((folder / "a" / "pictures").glob("references-melody-*.png"))


@pytest.mark.slow
def test_everything_is_evaluated_by_default(runs, tmp_path):
    folder, (*arguments, _) = runs
    run_script("evaluate_jasco", *arguments, tmp_path / "all")
    results = read(tmp_path, "all")["results"]
    assert list(results) == ["references", "handwritten"]
    assert list(results["references"]["conditions"]) == NAMES
    assert list(results["handwritten"]["conditions"]) == ["all", "none", "chords", "drums", "melody", "codec"]
    assert any((tmp_path / "all" / "pictures").glob("handwritten-melody-*.png"))


def test_captions_are_evaluated_without_controls(runs):
    folder, (*arguments, _) = runs
    run_script("evaluate_jasco", *arguments, folder / "words", "--conditions", "captions", "--num_captions", 4)
    result = read(folder, "words")["results"]["captions"]
    assert result["num_clips"] == 4 and list(result["conditions"]) == ["text"]
    assert len(result["conditions"]["text"]["form"]) == 4
    assert "### captions: form" in (folder / "words" / "report.md").read_text()


def test_the_frozen_test_set_is_evaluated(runs, capsys):
    folder, _ = runs
    arguments = ["--checkpoint", folder / "checkpoint", "--renderer", "tinysoundfont", "--device", "cpu"]
    arguments += ["--test_set", "v1", "--num_clips", 2, "--min_clips", 2, "--conditions", "no_drums"]
    run_script("evaluate_jasco", *arguments, "--output", folder / "v1")
    assert "test set v1, plain" in capsys.readouterr().out and len(read(folder, "v1")["clips"]) == 2
    with pytest.raises(SystemExit):
        run_script("evaluate_jasco", *arguments, "--duration", 1.0, "--output", folder / "other")


def test_controls_are_swapped_between_clips(runs):
    conditions = read(runs[0], "a")["results"]["references"]["conditions"]
    controls = conditions["swapped"]["controls_of"]
    assert sorted(controls) == [0, 1, 2] and all(i != control for i, control in enumerate(controls))
    assert conditions["all"]["controls_of"] == [0, 1, 2]


def test_music_does_not_depend_on_the_batch_size(runs):
    first, second = (read(runs[0], name)["results"]["references"]["conditions"] for name in ("a", "b"))
    for name in ("all", "swapped"):
        for batch_of_3, batch_of_2 in zip(first[name]["sound"], second[name]["sound"]):
            assert batch_of_3["level"] == pytest.approx(batch_of_2["level"], abs=1e-3)
            assert batch_of_3["peak"] == pytest.approx(batch_of_2["peak"], rel=1e-3)


def test_an_interrupted_run_resumes(runs):
    folder, arguments = runs
    audio = folder / "a" / "audio" / "references"
    before = read_samples(audio)
    kept = audio / "all" / "00000.wav"
    mtime = kept.stat().st_mtime_ns
    report = read(folder, "a")
    for name in ("all/00002.wav", "melody/00001.wav"):
        (audio / name).unlink()
    (audio / "all" / ".partial-x.wav").touch()
    run_script("evaluate_jasco", *arguments, "--conditions", "all,melody")
    assert read_samples(audio) == before and kept.stat().st_mtime_ns == mtime
    again = read(folder, "a")["results"]["references"]["conditions"]
    for name in ("all", "melody"):
        before = report["results"]["references"]["conditions"][name]["scores"]
        assert all(values == before[key] for key, values in again[name]["scores"].items())


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same_results(runs, tmp_path, cluster_on_this_machine):
    _, (*arguments, _, _, _, _) = runs
    arguments += ["--batch_size", 2, "--conditions", "all,swapped", "--threads", 1]
    run_script("evaluate_jasco", *arguments, "--output", tmp_path / "local")
    command = cluster_on_this_machine.start_script("evaluate_jasco", *arguments, "--output", tmp_path / "ray")
    output, _ = command.communicate()
    assert command.returncode == 0, output
    assert read_samples(tmp_path / "ray") == read_samples(tmp_path / "local")
    ray, local = (read(tmp_path, name)["results"]["references"] for name in ("ray", "local"))
    for condition in (*ray["conditions"].values(), *local["conditions"].values()):
        del condition["seconds_per_second"]  # run time
    assert ray == local and list(ray["conditions"]) == ["all", "swapped"]


def test_other_settings_need_another_folder(runs, capsys):
    folder, arguments = runs
    with pytest.raises(ValueError, match="another guidance_scale, seed"):
        run_script("evaluate_jasco", *arguments, "--seed", 1, "--guidance_scale", 2)
    (folder / "other").mkdir()
    (folder / "other" / "file").touch()
    with pytest.raises(ValueError, match="neither empty"):
        run_script("evaluate_jasco", *arguments, "--output", folder / "other")


def test_a_prepared_dataset_is_evaluated(runs):
    folder, _ = runs
    (folder / "data").mkdir()
    write_dataset(folder / "data", [make_item(seed) for seed in range(3)])
    arguments = ["--checkpoint", folder / "checkpoint", "--dataset", folder / "data", "--duration", 1.0]
    arguments += ["--num_inference_steps", 1, "--conditions", "all,codec", "--output", folder / "c"]
    run_script("evaluate_jasco", *arguments)
    report = read(folder, "c")
    assert report["results"]["references"]["num_clips"] == 3 and len(report["clips"]) == 3


@pytest.mark.parametrize(
    "arguments, message",
    [(["--conditions", "all,tempo"], "but got tempo"), (["--num_clips", 1], "at least 2")],
)
def test_invalid_arguments_raise_errors(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit):
        run_script("evaluate_jasco", "--checkpoint", "x", "--output", tmp_path / "a", *arguments)
    assert message in capsys.readouterr().err
