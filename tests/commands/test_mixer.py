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

from diffusers_jasco import load_audio
from diffusers_jasco.commands.generate import main
from diffusers_jasco.commands.mixer_arguments import parse_control_regions, parse_scales
from diffusers_jasco.extraction import change_stem_levels
from diffusers_jasco.generation.batches import GenerationRequest
from diffusers_jasco.generation.requests import InvalidLine, read_requests

from ..conftest import FIXTURES, load_pipeline, run_script


CHECKPOINT = FIXTURES / "chords-drums-melody"
MODEL = ["--checkpoint", CHECKPOINT, "--text_encoder", FIXTURES / "t5", "--codec", CHECKPOINT / "encodec"]
COMMON = [*MODEL, "--chords", "C | Am", "--bpm", 240, "--duration", 1.0, "--steps", 2]


def run(output, *arguments) -> torch.Tensor:
    command = ["pop", *COMMON, *arguments, "--output", output, "--device", "cpu"]
    assert main([str(argument) for argument in command]) == 0
    return load_audio(output)[0]


def test_scales_and_regions(tmp_path):
    plain = run(tmp_path / "a.wav")
    assert torch.equal(run(tmp_path / "b.wav", "--control_scales", "chords=1"), plain)
    assert not torch.equal(run(tmp_path / "c.wav", "--control_scales", "chords=0.5"), plain)
    half = run(tmp_path / "d.wav", "--control_regions", "chords=0-0.5")
    assert not torch.equal(half, plain)
    assert main(["--from", str(tmp_path / "d.wav"), "--output", str(tmp_path / "e.wav")]) == 0
    assert torch.equal(load_audio(tmp_path / "e.wav")[0], half)


def test_levels_of_stems(tmp_path):
    plain, changed = run(tmp_path / "a.wav"), run(tmp_path / "b.wav", "--drums_gain", -12)
    torch.testing.assert_close(changed, change_stem_levels(plain, 32000, -12.0), atol=1e-3, rtol=0)


def test_the_best_take_is_written(tmp_path, capsys):
    run(tmp_path / "a.wav", "--best_of", 3)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Take ")]
    scores = [float(line.split("chords ")[1].split()[0]) for line in lines]
    assert len(scores) == 3 and scores[[line.endswith("(written)") for line in lines].index(True)] == max(scores)


def test_texts_of_scales_and_regions():
    assert parse_scales("chords=1.5, melody = 0") == {"chords": 1.5, "melody": 0.0}
    assert parse_scales("chords=1.5 melody=0") == {"chords": 1.5, "melody": 0.0}
    regions = {"melody": [(0.0, 8.0), (12.0, None)], "chords": [(62.0, 70.0)]}
    assert parse_control_regions("melody=0-8,12-end chords=1:02-1:10") == regions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--control_scales", "chords:1"), "--control_scales has to be scales such as 'chords=1.5,melody=0.5'"),
        (("--control_scales", "chords=1,chords=2"), "--control_scales has chords twice"),
        (("--control_scales", "voice=1"), "--control_scales has to be for chords, drums, melody, beats"),
        (("--control_scales", "chords=-1"), "--control_scales has to be a number, at least 0, but is -1"),
        (("--control_regions", "chords=0"), "--control_regions has to be regions such as 'melody=0-8,12-20 chords=4-end'"),
        (("--control_regions", "chords=2-3"), "within the music of 1 s, but one is from 2 to 3 s"),
        (("--best_of", 2, "--num_waveforms", 2), "--best_of can't be used with --num_waveforms"),
        (("--drums_gain", 61), "--drums_gain"),
    ],
)  # fmt: skip
def test_invalid_options(tmp_path, capsys, options, message):
    command = ["pop", *COMMON, *options, "--output", tmp_path / "a.wav"]
    try:
        assert main([str(argument) for argument in command]) == 2
    except SystemExit as exit:
        assert exit.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_manifests(tmp_path):
    lines = [
        {"prompt": "a", "control_scales": {"chords": 0.5}, "control_regions": {"melody": [[0, 8]]}},
        {"prompt": "b"},
        {"prompt": "c", "control_scales": 0.5},
        {"prompt": "d", "best_of": 4},
        {"prompt": "e", "best_of": 0},
        {"prompt": "f", "best_of": 2, "audio": "m.jsonl", "strength": 0.5},
        {"prompt": "g", "audio": "m.jsonl", "strength": 0.5},
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    defaults = GenerationRequest("", best_of=2)
    first, second, third, *others = read_requests(tmp_path / "m.jsonl", defaults)
    assert first.control_scales == {"chords": 0.5} and first.control_regions == {"melody": [[0, 8]]}
    assert "control_scales" not in second.describe() and first.describe()["control_scales"] == {"chords": 0.5}
    assert isinstance(third, InvalidLine) and "`control_scales` has to be an object, but is 0.5" in third.error
    more, none, recording, varied = others
    assert (second.best_of, more.best_of, varied.best_of) == (2, 4, 1)
    assert "`best_of` has to be a whole number, at least 1" in none.error
    assert "`best_of` can't be used with `audio`" in recording.error


def test_clips_of_manifests_are_regenerated(tmp_path):
    load_pipeline("chords-drums-melody").save_pretrained(tmp_path / "checkpoint")
    line = {"name": "a", "prompt": "pop", "chords": "C | Am", "bpm": 240, "duration": 1, "num_inference_steps": 2}
    line |= {"control_scales": {"chords": 0.5}, "control_regions": {"chords": [[0, 0.4], [0.5, None]]}, "best_of": 2}
    (tmp_path / "songs.jsonl").write_text(json.dumps(line))
    run_script(
        "generate_jasco",
        *("--checkpoint", tmp_path / "checkpoint", "--manifest", tmp_path / "songs.jsonl", "--output", tmp_path),
    )
    assert main(["--from", str(tmp_path / "a.flac"), "--output", str(tmp_path / "b.flac")]) == 0
    assert torch.equal(load_audio(tmp_path / "a.flac")[0], load_audio(tmp_path / "b.flac")[0])
