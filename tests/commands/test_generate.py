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

import runpy
import sys
from pathlib import Path

import pytest
import soundfile
import torch
from safetensors.torch import save_file

from diffusers_jasco import JascoPipeline, load_audio
from diffusers_jasco.commands.generate import main

from ..conftest import FIXTURES, load_case, load_pipeline, relative_error


CHECKPOINT = FIXTURES / "chords-drums-melody"
MODEL = ["--checkpoint", CHECKPOINT, "--text_encoder", FIXTURES / "t5", "--codec", CHECKPOINT / "encodec"]


def run(*arguments) -> int:
    return main([str(argument) for argument in [*arguments, "--device", "cpu"]])


def test_a_reference_case_gives_its_samples(tmp_path):
    case, tensors = load_case("chords-drums-melody", 2)
    soundfile.write(tmp_path / "drums.wav", tensors["drums"].T.numpy(), 32000, subtype="FLOAT")
    torch.save(tensors["melody"], tmp_path / "melody.th")
    save_file({"latents": tensors["initial_noise"]}, tmp_path / "noise.safetensors")
    chords = " ".join(f"{label}:{start}" for label, start in case["chords"])
    inputs = ["--chords", chords, "--drums", tmp_path / "drums.wav", "--melody", tmp_path / "melody.th"]
    sampling = ["--steps", case["steps"], "--guidance_scale", case["all"], "--text_guidance_scale", case["txt"]]
    noise = ["--latents", tmp_path / "noise.safetensors", "--audiocraft_compatible"]
    assert run(case["prompts"][0], *MODEL, *inputs, *sampling, *noise, "--output", tmp_path / "out.wav") == 0
    waveform, rate = load_audio(tmp_path / "out.wav")
    assert rate == 32000 and relative_error(waveform, tensors["audio"][0]) < 1e-4


def test_options(tmp_path, capsys):
    common = [*MODEL, "--duration", 0.5, "--steps", 2]
    bars = [
        "--chords",
        "C | F G",
        "--bpm",
        480,
        "--num_waveforms",
        2,
        "--output",
        tmp_path / "new" / "a.flac",
        "--seed",
        3,
    ]
    assert run("pop", *common, *bars, "--loudness", -20) == 0
    paths = [tmp_path / "new" / "a-1.flac", tmp_path / "new" / "a-2.flac"]
    assert capsys.readouterr().out.split() == [str(path) for path in paths]
    first, second = (load_audio(path)[0] for path in paths)
    assert first.shape == second.shape == (1, 16000) and not torch.equal(first, second)
    roman = ["--chords", "ii V", "--key", "C", "--scheduler", "euler", "--output", tmp_path / "b.wav"]
    assert run(None or "", *common, *roman) == 0


def test_a_lora_is_heard(tmp_path):
    peft = pytest.importorskip("peft")
    lora = load_pipeline("chords-drums-melody").transformer
    lora.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    JascoPipeline.save_lora_weights(tmp_path / "lora", lora)
    for name, options in (
        ("with", ["--lora", tmp_path / "lora"]),
        ("again", ["--lora", tmp_path / "lora"]),
        ("without", []),
    ):
        common = ["--duration", 0.5, "--steps", 2, "--scheduler", "euler", "--output", tmp_path / f"{name}.wav"]
        assert run("pop", *MODEL, *common, *options) == 0
    heard = {name: load_audio(tmp_path / f"{name}.wav")[0] for name in ("with", "again", "without")}
    assert torch.equal(heard["with"], heard["again"]) and relative_error(heard["with"], heard["without"]) > 0.01


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--chords", "Xyz:0"], "position 0: unknown chord 'Xyz'"),
        (["--drums", "absent.wav"], "absent.wav"),
        (["--separate_drums"], "belongs to `--drums`"),
        (["--bpm", 120], "belong to `--chords`"),
        (["--scheduler", "dopri5", "--steps", 3], "chooses its own steps"),
        (["--latents", FIXTURES / "README.md"], "no safetensors file"),
        (["--latents", CHECKPOINT / "encodec/model.safetensors"], "no tensor `latents`"),
        (["--lora", "absent"], "absent"),
        (["--output", "a.mp3", "--steps", 1], ".wav or .flac"),
    ],
)
def test_bad_input_ends_in_one_line(arguments, message, capsys, tmp_path):
    assert run("pop", *MODEL, "--output", tmp_path / "a.wav", *arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("jasco-generate: ") and message in error


def test_the_example_is_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["generate.py", "--help"])
    with pytest.raises(SystemExit) as error:
        runpy.run_path(str(Path(__file__).parents[2] / "examples/generate.py"), run_name="__main__")
    assert error.value.code == 0 and "--audiocraft_compatible" in capsys.readouterr().out


def test_a_real_drum_recording(tmp_path):
    recording = Path(__file__).parents[3] / "shared/reference/sep_drums_1.mp3"
    if not recording.is_file():
        pytest.skip("the drum recording is not part of the project")
    assert run("pop", *MODEL, "--drums", recording, "--steps", 2, "--output", tmp_path / "a.wav") == 0
    with_drums = load_audio(tmp_path / "a.wav")[0]
    assert run("pop", *MODEL, "--steps", 2, "--output", tmp_path / "a.wav") == 0
    assert relative_error(load_audio(tmp_path / "a.wav")[0], with_drums) > 1e-3
