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
import math
import runpy
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import soundfile
import torch
from safetensors.torch import save_file

from diffusers_jasco import JascoPipeline, export_audio, load_audio
from diffusers_jasco.audio.metadata import read_metadata
from diffusers_jasco.commands.control_arguments import Controls
from diffusers_jasco.commands.generate import build_parser, main
from diffusers_jasco.controls.drum_machine import GROOVES, accept_groove_as_drums
from diffusers_jasco.controls.note_text import melody_from_text
from diffusers_jasco.controls.previews import preview_melody
from diffusers_jasco.controls.progressions import chords_from_progression
from diffusers_jasco.extraction import extract_melody
from diffusers_jasco.inputs import InputError, read_chords
from diffusers_jasco.pipelines.pipeline_jasco_audio2audio import EDIT_STRENGTH, VARIATION_STRENGTH

from ..conftest import FIXTURES, load_case, load_pipeline, relative_error


CHECKPOINT = FIXTURES / "chords-drums-melody"
MODEL = ["--checkpoint", CHECKPOINT, "--text_encoder", FIXTURES / "t5", "--codec", CHECKPOINT / "encodec"]


def run(*arguments) -> int:
    return main([str(argument) for argument in [*arguments, "--device", "cpu"]])


def test_output_matches_audiocraft(tmp_path):
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
        400,
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
    assert run("", *common, *roman) == 0


def test_a_lora_changes_the_music(tmp_path):
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
    audio = {name: load_audio(tmp_path / f"{name}.wav")[0] for name in ("with", "again", "without")}
    assert torch.equal(audio["with"], audio["again"]) and relative_error(audio["with"], audio["without"]) > 0.01


CASES = FIXTURES / "cases"
SONG = "SONG"  # replaced by a recording of 2 s


@pytest.fixture
def no_loading(monkeypatch):
    """Makes the test fail if a checkpoint is loaded."""

    def load(*arguments, **options):
        pytest.fail("the checkpoint was loaded")

    monkeypatch.setattr(JascoPipeline, "from_pretrained", load)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--output", "song.xyz"], "--output has to be a file name that ends in .wav, .flac, .ogg, .opus or .mp3"),
        (["--output", "song"], "--output has to be"),
        (["--output", "/dev/null/song.wav"], "--output: /dev/null/song.wav can't be written"),
        (["--output", "a" * 300 + ".wav"], "File name too long"),
        (["--output", "song.mp3", "--rate", 96000], "--rate is 96000"),
        (["--output", "song.opus", "--rate", 44100], "--rate is 44100"),
        (["--duration", 0], "--duration: has to be a number of seconds above 0"),
        (["--duration", "abc"], "--duration: has to be a number of seconds above 0, but is 'abc'"),
        (["--duration", "nan"], "--duration"),
        (["--duration=-1e3"], "--duration"),
        (["--device", "xyz"], "--device: there is no device 'xyz'; available devices: "),
        (["--device", "cuda:99"], "there is no device 'cuda:99'"),
        (["--device", "meta"], "there is no device 'meta'"),
        (["--seed", "99999999999999999999"], "--seed: has to be a whole number"),
        (["--seed", -1], "--seed: has to be a whole number from 0 to 9223372036854775807, but is -1"),
        (["--seed", "1.5"], "--seed"),
        (["--steps", 0], "--steps"),
        (
            ["--steps", 3, "--scheduler", "dopri5"],
            "dopri5 chooses its own steps: give either --scheduler or --steps",
        ),
        (["--num_waveforms", 0], "--num_waveforms"),
        (["--guidance_scale", "nan"], "--guidance_scale"),
        (["--guidance_rescale", 2], "--guidance_rescale"),
        (["--loudness", 3], "--loudness"),
        (["--rate", 1], "--rate"),
        (["--chords", "I IV", "--key", "H"], "--key has to be a note and a mode"),
        (["--chords", "C Am F G"], "for 'C Am F G' in bars, add the tempo, such as --bpm 120"),
        (["--chords", "C | Am | F G"], "--bpm"),
        (["--chords", "ii7 | V7 | I"], "are Roman numerals: add their --key"),
        (["--chords", "ii7 | V7 | I", "--bpm", 90], "are Roman numerals: add their --key"),
        (["--chords", "C:0 Xyz:2"], "--chords: position 1: unknown chord 'Xyz'"),
        (["--chords", "C | Xyz", "--bpm", 90], "--chords: position 1: unknown chord 'Xyz'"),
        (["--chords", "absent.lab"], "--chords: the file absent.lab does not exist"),
        (["--chords", "absent.mp3"], "--chords: the file absent.mp3 does not exist"),
        (["--chords", "C:0", "--progression", "axis"], "Give either --chords or --progression"),
        (["--progression", "axi"], "Did you mean 'axis'"),
        (["--progression", "axis", "--key", "Am minor"], "--key"),
        (["--groove", "bosanova"], "--groove: unknown groove 'bosanova'. Did you mean 'bossa nova'"),
        (["--groove", "absent.groove.json"], "--groove: the file absent.groove.json does not exist"),
        (["--drums", "absent.groove.json"], "--groove: the file absent.groove.json does not exist"),
        (["--groove", FIXTURES / "chords-drums-melody/cases.json"], "cases.json is not a groove"),
        (["--groove", "rock"], "Did you mean 'rock backbeat'? All grooves: four on the floor, "),
        (
            ["--progression", "I-V-vi-IV"],
            "--progression: unknown progression 'I-V-vi-IV'. Did you mean 'ii-V-I'? All progressions: axis, ",
        ),
        (["--groove", "techno", "--bpm", 900], "--bpm: has to be"),
        (["--groove", "techno", "--beats_per_bar", 3], "--beats_per_bar is 3, but the groove has 4 beats per bar"),
        (["--groove", "techno", "--drums", "a.wav"], "Give either --drums or --groove"),
        (["--drums", "absent.wav"], "--drums: the file absent.wav does not exist"),
        (["--drums", "Four on the floor"], "for the preset of this name, use --groove"),
        (["--drums", CASES / "song.txt"], "--drums"),
        (["--beats", "absent.wav"], "--beats: the file absent.wav does not exist"),
        (["--beats", "a.wav", "--bpm", 90], "Give either --bpm or --beats, not both"),
        (["--beats", "a.wav", "--bpm", "none"], "Give either --bpm or --beats, not both"),
        (["--bpm", "fast"], "--bpm: has to be a number of beats per minute from 20 to 400, but is 'fast'"),
        (["--bpm", 500], "--bpm: has to be a number of beats per minute from 20 to 400, but is 500"),
        (["--bpm", "none", "--progression", "axis"], "--bpm can't be 'none' with --chords in bars, --progression"),
        (["--bpm", "none", "--melody", "C4 D4"], "which need a tempo: omit --bpm, or set a number such as 120."),
        (["--chords", "C | F :| G", "--bpm", 90], "--chords can only have a repeat sign ':|' at the end"),
        (["--melody", "absent.mid"], "--melody: the file absent.mid does not exist"),
        (["--melody", "C4 X4"], "--melody: the pitch of note 1"),
        (["--melody", "C D E F"], "notes need their octaves, such as 'C4 D4 E4 -'"),
        (["--melody", "C4, D4, E4"], "--melody"),
        (["--melody", "C4 D4", "--melody_method", "monophonic"], "--melody_method requires an audio file as --melody"),
        (["--normalize_drums"], "--normalize_drums requires --drums or --groove"),
        (["--no-normalize_drums"], "normalize_drums requires --drums or --groove"),
        (["--key", "G", "--chords", "C:0 G:3"], "--key requires Roman numerals, but --chords has labels with times"),
        (["--bpm", 90, "--chords", "C:0 G:3"], "--bpm requires"),
        (["--checkpoint", "jasco-nan"], "--checkpoint: there is no folder jasco-nan"),
        (["--separate_drums"], "--separate_drums requires --drums"),
        (["--repeat_chords"], "--repeat_chords requires --chords"),
        (["--key", "C"], "--key requires --chords or --progression"),
        (["--bpm", 120], "--bpm requires"),
        (["--bpm", 0, "--groove", "techno"], "--bpm: has to be"),
        (["--latents", "absent"], "--latents: the file absent does not exist"),
        (["--latents", FIXTURES / "README.md"], "is not a safetensors file"),
        (["--latents", CHECKPOINT / "encodec/model.safetensors"], "has no tensor"),
        (["--lora", "./absent"], "--lora: there is no folder ./absent"),
        (["--from", "absent.wav"], "--from: the file absent.wav does not exist"),
        (["--from", FIXTURES / "README.md"], "--from: "),
        (["--edit", "absent.wav", "--regions", "1-2"], "--edit: the file absent.wav does not exist"),
        (["--edit", FIXTURES / "README.md", "--regions", "1-2"], "--edit: "),
        (["--edit", SONG], "--edit requires --regions, such as '12-15,45-52'"),
        (["--edit", SONG, "--regions", "1"], "--regions has to be starts and ends such as '12-15,45-52'"),
        (["--edit", SONG, "--regions", "1-2-3"], "--regions has to be starts and ends"),
        (["--edit", SONG, "--regions", "a-b"], "--regions has to be starts and ends"),
        (["--edit", SONG, "--regions", "9" * 400 + ":00-1"], "--regions has to be starts and ends"),
        (["--edit", SONG, "--regions", "1-" + "9" * 5000 + ":00:00"], "--regions has to be starts and ends"),
        (["--edit", SONG, "--regions", "1-" + "9" * 310], "--regions has to be starts and ends"),
        (["--edit", SONG, "--regions", "2-1"], "--regions: regions have to start before they end"),
        (["--edit", SONG, "--regions", "1-2,1:00-1:02"], "lie within the music of"),
        (["--edit", SONG, "--regions", "0-1.5,1-2"], "--regions: regions must not overlap"),
        (["--edit", SONG, "--regions", "1-2", "--duration", 5], "--duration can't be used with --edit: --extend"),
        (["--edit", SONG, "--regions", "1-2", "--loop"], "--loop can't be used with --edit"),
        (["--edit", SONG, "--regions", "1-2", "--loudness", -14], "--loudness can't be used with --edit"),
        (["--edit", SONG, "--regions", "1-2", "--rate", 44100], "--rate can't be used with --edit"),
        (["--edit", SONG, "--regions", "1-2", "--vary", SONG], "Give either --edit or --vary, not both"),
        (["--edit", SONG, "--regions", "1-2", "--strength", 0.5], "--strength requires --vary"),
        (
            ["--edit", SONG, "--regions", "1-2", "--output", "a.mp3"],
            "--output has to be a file name that ends in .wav",
        ),
        (["--regions", "1-2"], "--regions requires --edit or --extend"),
        (["--intro", 2], "--intro requires --extend"),
        (["--extend", SONG], "--extend requires --duration"),
        (["--extend", SONG, "--duration", 1], "--duration has to be above"),
        (["--extend", SONG, "--duration", 2.1], "--duration has to be above 2.10 s, as the recording ends at 2.00 s"),
        (
            ["--extend", SONG, "--duration", 2.5, "--intro", 1],
            "--duration has to be at least 3.00 s, where the recording",
        ),
        (["--extend", SONG, "--intro", 0], "--intro: has to be a number of seconds above 0"),
        (["--vary", SONG, "--strength", 0], "--strength: has to be a number above 0 and at most 1"),
        (["--vary", SONG, "--latents", "a"], "--latents can't be used with --vary"),
        (["--source_chords", "extract"], "--source_chords requires --vary"),
        (["--unknown"], "unrecognized arguments: --unknown (--help"),
        (["--chords", "C", "Am", "F"], "unrecognized arguments: Am F. Put a text of several words in quotes."),
    ],
)
def test_invalid_input_gives_a_one_line_error_before_loading(
    arguments, message, capsys, tmp_path, monkeypatch, no_loading, tmp_path_factory
):
    monkeypatch.chdir(tmp_path)
    if SONG in arguments:
        song = export_audio(torch.zeros(1, 16000), tmp_path_factory.mktemp("song") / "song.wav", 8000)
        arguments = [song if argument == SONG else argument for argument in arguments]
    try:
        code = main([str(argument) for argument in ["pop", *MODEL, *arguments]])
    except SystemExit as error:
        code = error.code
    error = capsys.readouterr().err
    assert code == 2 and error.startswith("jasco-generate: ") and message in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--checkpoint", "absent"], "absent"),
        (["--checkpoint", "./absent"], "--checkpoint: there is no folder ./absent"),
        (["--text_encoder", "absent"], "--text_encoder: absent can't be loaded"),
        (["--codec", "absent"], "--codec: absent can't be loaded"),
        (["--lora", "absent"], "absent"),
        (["--checkpoint", "jasco-nano"], "EncodecModel'>, but should be"),
    ],
)
def test_loading_errors_name_the_component(arguments, message, capsys, tmp_path):
    assert run("pop", *MODEL, "--output", tmp_path / "a.wav", *arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("jasco-generate: ") and message in error and len(error) < 1000


def test_text_encoder_of_another_width(capsys, tmp_path):
    assert run("pop", "--text_encoder", FIXTURES / "t5", "--output", tmp_path / "a.wav") == 2
    error = capsys.readouterr().err
    assert "--text_encoder has 48 dimensions" in error


QUICK = ["--duration", 1, "--steps", 1, "--scheduler", "euler"]


def test_files_are_regenerated_from_their_metadata(tmp_path, capsys):
    drums = export_audio(0.1 * torch.randn(1, 24000), tmp_path / "drums.wav", 24000)
    options = ["--chords", "C | Am", "--bpm", 120.5, "--repeat_chords", "--drums", drums, "--melody", "C4 D4 E4 -"]
    options += ["--guidance_scale", 1.7, "--loudness", -20, "--seed", 5]
    first, again, other = (tmp_path / name for name in ("first.wav", "again.wav", "other.wav"))
    assert run('80s pop; "ü"', *QUICK, *options, "--output", first) == 0
    assert run("--from", first, "--output", again) == 0
    assert first.read_bytes() == again.read_bytes()
    assert run("--from", first, "--output", other, "--seed", 6) == 0
    assert first.read_bytes() != other.read_bytes() and read_metadata(other)["seed"] == 6
    metadata = read_metadata(first)
    assert metadata["prompt"] == '80s pop; "ü"' and metadata["checkpoint"] == "jasco-nano" and metadata["bpm"] == 120.5
    assert metadata["num_inference_steps"] == 1 and metadata["duration"] == 1 and len(metadata["model"]) == 32
    assert "differ" not in capsys.readouterr().err

    export_audio(0.2 * torch.randn(1, 24000), drums, 24000)
    assert run("--from", first, "--output", other) == 0
    assert "drums.wav is not the file" in capsys.readouterr().err


def test_loops_are_regenerated_from_their_metadata(tmp_path):
    assert run("pop", "--duration", 2, "--steps", 1, "--loop", "--output", tmp_path / "a.wav") == 0
    assert run("--from", tmp_path / "a.wav", "--output", tmp_path / "b.wav") == 0
    loop, again = (load_audio(tmp_path / name)[0] for name in ("a.wav", "b.wav"))
    assert torch.equal(loop, again)
    assert run("pop", "--duration", 2, "--steps", 1, "--output", tmp_path / "c.wav") == 0
    assert not torch.equal(loop, load_audio(tmp_path / "c.wav")[0])


def test_control_files_that_moved_together_with_the_music_are_found(tmp_path, capsys, monkeypatch):
    before, after = tmp_path / "before", tmp_path / "a ü b"
    for folder in (before, after):
        folder.mkdir()
    drums = export_audio(0.1 * torch.randn(1, 24000), before / "my drums é.wav", 24000)
    monkeypatch.chdir(before)
    assert run("pop", *QUICK, "--drums", "my drums é.wav", "--output", "first.wav") == 0
    first = (before / "first.wav").rename(after / "first.wav")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert run("--from", first, "--output", "again.wav") == 2
    assert "--drums: " in (error := capsys.readouterr().err) and "was generated with the file my drums é.wav" in error
    drums.rename(after / drums.name)
    assert run("--from", first, "--output", "again.wav") == 0
    assert "differ" not in capsys.readouterr().err
    assert torch.equal(load_audio("again.wav")[0], load_audio(first)[0])
    export_audio(0.2 * torch.randn(1, 24000), after / drums.name, 24000)
    assert run("--from", first, "--output", "other.wav") == 0
    assert "is not the file" in capsys.readouterr().err


def test_midi_files_with_a_track_are_compared(tmp_path, capsys):
    path = tmp_path / "named.mid"
    path.write_bytes((FIXTURES / "cases/named_melody.mid").read_bytes())
    first, other = tmp_path / "first.wav", tmp_path / "other.wav"
    assert run("pop", *QUICK, "--melody", f"{path}#0", "--output", first) == 0
    assert read_metadata(first)["files"].keys() == {"melody"}
    assert run("--from", first, "--output", other) == 0
    assert "differ" not in capsys.readouterr().err
    path.write_bytes((FIXTURES / "cases/named_melody.mid").read_bytes() + b"\0")
    assert run("--from", first, "--output", other) == 0
    assert "named.mid is not the file" in capsys.readouterr().err


def test_a_hummed_melody(tmp_path):
    pytest.importorskip("swift_f0")
    hum = tmp_path / "hum.wav"
    export_audio(preview_melody([(55, 0.0, 0.4), (57, 0.5, 0.9)], 1.0, 24000), hum, 24000)
    paths = [tmp_path / name for name in ("mix.flac", "hum.flac", "notes.flac", "again.flac", "other.flac")]
    assert run("pop", *QUICK, "--melody", hum, "--output", paths[0]) == 0
    assert run("pop", *QUICK, "--melody", hum, "--melody_method", "monophonic", "--output", paths[1]) == 0
    torch.save(extract_melody(hum, method="monophonic", frame_rate=25.0), tmp_path / "melody.th")
    assert run("pop", *QUICK, "--melody", tmp_path / "melody.th", "--output", paths[2]) == 0
    assert run("--from", paths[1], "--output", paths[3]) == 0
    # Other melodies do not have a method.
    assert run("--from", paths[1], "--melody", "A3", "--output", paths[4]) == 0
    hummed, notes, again, other = (load_audio(path)[0] for path in paths[1:])
    assert torch.equal(hummed, notes) and torch.equal(hummed, again) and not torch.equal(hummed, other)
    assert read_metadata(paths[1])["melody_method"] == "monophonic" and "melody_method" not in read_metadata(paths[0])


def test_one_of_several_waveforms_is_regenerated(tmp_path):
    assert run("pop", *QUICK, "--num_waveforms", 3, "--output", tmp_path / "a.flac") == 0
    assert run("--from", tmp_path / "a-2.flac", "--output", tmp_path / "b.flac") == 0
    assert torch.equal(load_audio(tmp_path / "a-2.flac")[0], load_audio(tmp_path / "b.flac")[0])
    assert not (tmp_path / "b-1.flac").exists()
    assert run("--from", tmp_path / "a-2.flac", "--num_waveforms", 2, "--output", tmp_path / "c.flac") == 0
    assert (tmp_path / "c-2.flac").exists()


def test_no_metadata(tmp_path, capsys):
    path = tmp_path / "a.mp3"
    assert run("a secret", *QUICK, "--no-metadata", "--rate", 44100, "--output", path) == 0
    assert read_metadata(path) is None and b"secret" not in path.read_bytes() and load_audio(path)[1] == 44100
    assert run("--from", path, "--output", tmp_path / "b.wav") == 2
    assert "has no metadata of this package" in capsys.readouterr().err


@pytest.mark.parametrize(
    "metadata, message",
    [
        ({"seed": "7; rm"}, "song.wav: --seed: has to be"),
        ({"steps": 3, "output": "/tmp/x", "evil": 1}, None),
        ({"dtype": "int8"}, "song.wav: --dtype"),
        ({"duration": [1, 2]}, "invalid value for --duration"),
        ({"separate_drums": "yes"}, "invalid value for --separate_drums"),
        ({"melody": {"shape": [53, 10], "blake2b": "0"}}, "invalid value for --melody"),
        ({"chords": [["C", "x"]]}, "--chords"),
        ({"prompt": ["a"]}, "invalid value for `prompt`"),
    ],
)
def test_metadata_is_validated_like_options(tmp_path, metadata, message, capsys):
    path = export_audio(torch.zeros(1, 2400), tmp_path / "song.wav", 24000, metadata={"duration": 1.0} | metadata)
    try:
        code = run("--from", path, "--num_waveforms", 1, "--output", tmp_path / "b.wav", *QUICK[2:])
    except SystemExit as error:
        code = error.code
    error = capsys.readouterr().err
    if message is None:
        assert code == 0 and "evil, output, steps" in error and not Path("/tmp/x").exists()
    else:
        assert code == 2 and message in error


def test_lists_of_chords_and_notes_are_regenerated(tmp_path):
    metadata = {"prompt": "pop", "chords": [["C", 0.0], ["Am", 0.5]], "melody": [[60, 0.0, 0.5]], "seed": 3}
    path = export_audio(torch.zeros(1, 2400), tmp_path / "clip.flac", 24000, metadata=metadata | {"name": "00001"})
    # Without a beats control, which would follow the tempo of the notes.
    common = [*MODEL, *QUICK]
    assert run("--from", path, *common, "--output", tmp_path / "a.wav") == 0
    options = ["--chords", "C:0 Am:0.5", "--melody", "C4:0.5", "--bpm", 60, "--seed", 3]
    assert run("pop", *common, *options, "--output", tmp_path / "b.wav") == 0
    assert torch.equal(load_audio(tmp_path / "a.wav")[0], load_audio(tmp_path / "b.wav")[0])


def test_grooves_progressions_and_notes_share_the_tempo(tmp_path):
    options = ["--groove", "Bossa Nova", "--progression", "12-bar blues", "--key", "E", "--melody", "C4 D4 E4 -"]
    pipe = JascoPipeline.from_pretrained("jasco-nano")
    groove = GROOVES["bossa nova"]
    for bpm in (groove.bpm, 160):
        controls = Controls(build_parser().parse_args([*options, "--bpm", str(bpm)] if bpm == 160 else options))
        conditioning = pipe.encode_conditioning("jazz", **controls.for_pipeline(10.0), duration=10.0)
        assert conditioning.tempos == ((bpm, 4),)
        expected = pipe.encode_conditioning(
            "jazz",
            chords=chords_from_progression("12-bar blues", "E", bpm, num_bars=math.ceil(10 * bpm / 240)),
            drums=(replace(groove, bpm=bpm).render(10.0, 24000), 24000),
            melody=melody_from_text("C4 D4 E4 -", bpm),
            duration=10.0,
        )
        for name, frames in expected.controls.items():
            assert torch.equal(conditioning.controls[name], frames)


@pytest.mark.parametrize("option", ["--groove", "--drums"])
def test_files_of_grooves(option, tmp_path):
    file = tmp_path / "loop.groove.json"
    file.write_text(json.dumps(asdict(GROOVES["waltz"])))
    args = build_parser().parse_args([option, str(file), "--melody", "C4 D4 E4"])
    accept_groove_as_drums(vars(args))
    assert args.groove == str(file) and args.drums is None
    arguments = Controls(args).for_pipeline(4.0)
    assert arguments["drums"] == GROOVES["waltz"] and arguments["bpm"] is None, "that of the groove"


def test_chords_with_times_can_be_combined_with_a_groove(tmp_path):
    parse = build_parser().parse_args
    for chords in ("C:0 G:5", "C:0 G:2 Am:4", "C:0"):
        options = ["--chords", chords, "--groove", "techno", "--melody", "C4 D4"]
        assert Controls(parse(options)).for_pipeline(10)["chords"] == chords
    # Power chords and sevenths in Harte's notation.
    for chords in ("C:5 | G:7", "C:7 F:7 G:7"):
        arguments = Controls(parse(["--chords", chords, "--bpm", "60"])).for_pipeline(8.0)
        assert (arguments["chords"], arguments["bpm"]) == (chords, 60)
    for options in (["--groove", "techno"], ["--groove", "techno", "--bpm", "120"]):
        assert Controls(parse(["--chords", "C:0 Am:2.5", *options])).for_pipeline(5)["chords"] == "C:0 Am:2.5"
    repeated = Controls(parse(["--chords", "C:0 Am:1", "--repeat_chords"])).for_pipeline(4.0)["chords"]
    assert repeated == [("C", 0.0), ("Am", 1.0), ("C", 2.0), ("Am", 3.0)]


def test_bars_and_numerals_in_a_text_file(tmp_path):
    parse = build_parser().parse_args
    for text, option in (("C | Am |\nF | G\n", ["--bpm", "60"]), ("I | vi\nIV | V", ["--key", "C", "--bpm", "60"])):
        (tmp_path / "bars.txt").write_text(text)
        for repeat in ([], ["--repeat_chords"]):
            controls = Controls(parse(["--chords", str(tmp_path / "bars.txt"), *option, *repeat]))
            chords = read_chords(controls.for_pipeline(20.0)["chords"], bpm=60, duration=20.0)
            assert [start for _, start in chords] == [0, 4, 8, 12, *([16] if repeat else [])]
    with pytest.raises(InputError, match="add the tempo"):
        (tmp_path / "bars.txt").write_text("C | Am | F | G")
        # A checkpoint without a tempo model.
        Controls(parse(["--chords", str(tmp_path / "bars.txt"), "--checkpoint", str(CHECKPOINT)]))


@pytest.mark.parametrize("options", [["--chords", "C:0"], ["--melody", "C4"], []])
def test_a_time_signature_without_bars_causes_a_warning(options, capsys, tmp_path):
    common = [*MODEL, *QUICK, "--beats_per_bar", 3, "--output", tmp_path / "a.wav"]
    assert run("pop", *options, *common) == 0
    assert "--beats_per_bar has no effect: this checkpoint has no beats control" in capsys.readouterr().err
    assert run("pop", *options[2:], "--progression", "axis", *common) == 0
    assert "no effect" not in capsys.readouterr().err


@pytest.mark.parametrize("has_tempo_model", [False, True])
def test_a_tempo_that_is_not_given(has_tempo_model):
    def find_bpm(*options):
        return Controls(build_parser().parse_args(options)).for_pipeline(5.0, has_tempo_model)["bpm"]

    for options in (["--progression", "axis"], ["--chords", "I | V", "--key", "C"], ["--melody", "C4 D4"]):
        assert find_bpm(*options) == (None if has_tempo_model else 120), options
        assert find_bpm(*options, "--groove", "waltz") is None, "that of the groove"
    assert find_bpm("--progression", "axis", "--drums", str(CASES / "drums_channel_10.mid")) == 120, (
        "no tempo is chosen"
    )
    assert find_bpm() is None and find_bpm("--chords", "C:0") is None


def test_the_start_of_repeated_chords_is_not_reported_as_unused(tmp_path, capsys):
    (tmp_path / "a.lab").write_text("0 1 C\n1 2 F\n2 3 G\n")
    options = ["--chords", tmp_path / "a.lab", "--start", 1, "--output", tmp_path / "a.wav", *QUICK]
    assert run("pop", *options, "--repeat_chords") == 0
    assert "--start" not in capsys.readouterr().err
    assert run("pop", *options[2:]) == 0
    assert "--start has no effect" in capsys.readouterr().err
    (tmp_path / "bars.txt").write_text("C | F")
    for repeat in ([], ["--repeat_chords"]):
        bars = ["--chords", tmp_path / "bars.txt", "--bpm", 120, *repeat]
        assert run("pop", *options[2:], *bars) == 0
        assert "--start has no effect" in capsys.readouterr().err


def test_float16_on_a_cpu_causes_one_warning(tmp_path, capsys, caplog):
    assert run("pop", "--dtype", "float16", *QUICK, "--output", tmp_path / "a.wav") == 0
    assert "cannot run with" not in caplog.text and capsys.readouterr().err.count("--dtype float16") == 1


def test_spellings_of_grooves_and_progressions():
    for name in ("12 bar blues", "12-BAR BLUES", "12_bar_blues"):
        options = ["--progression", name, "--groove", "Bossa-Nova"]
        assert Controls(build_parser().parse_args(options)).for_pipeline(2.0)["chords"].startswith("C7 |")


def test_music_without_a_prompt_has_metadata_in_every_format(tmp_path):
    for suffix in (".mp3", ".ogg", ".flac"):
        assert run(*QUICK, "--output", tmp_path / f"a{suffix}") == 0
        assert read_metadata(tmp_path / f"a{suffix}")["seed"] == 0


def test_the_example_runs_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["generate.py", "--help"])
    with pytest.raises(SystemExit) as error:
        runpy.run_path(str(Path(__file__).parents[2] / "examples/generate.py"), run_name="__main__")
    assert error.value.code == 0 and "--audiocraft_compatible" in capsys.readouterr().out


def test_help_states_the_default_strengths():
    text = " ".join(build_parser().format_help().split())
    assert f"(default: {VARIATION_STRENGTH}, or {EDIT_STRENGTH} with --source_*)" in text


def test_a_real_drum_recording(tmp_path):
    recording = Path(__file__).parents[3] / "shared/reference/sep_drums_1.mp3"
    if not recording.is_file():
        pytest.skip("the drum recording is not in the repository")
    assert run("pop", *MODEL, "--drums", recording, "--steps", 2, "--output", tmp_path / "a.wav") == 0
    with_drums = load_audio(tmp_path / "a.wav")[0]
    assert run("pop", *MODEL, "--steps", 2, "--output", tmp_path / "a.wav") == 0
    assert relative_error(load_audio(tmp_path / "a.wav")[0], with_drums) > 1e-3


@pytest.fixture
def song(tmp_path):
    """A file in stereo at 44.1 kHz."""
    samples = 0.1 * torch.randn(2 * 44100, 2, generator=torch.Generator().manual_seed(0))
    soundfile.write(tmp_path / "song.wav", samples.numpy(), 44100, subtype="PCM_16")
    return tmp_path / "song.wav"


def test_regions_of_a_file_are_made_anew(tmp_path, song, capsys):
    options = ["--steps", 1, "--edit", song, "--regions", "0.5-0.75, 0:01-0:01.5"]
    assert run("pop", *options, "--num_waveforms", 2, "--output", tmp_path / "new.flac") == 0
    before = load_audio(song)[0]
    results = [load_audio(tmp_path / name) for name in ("new-1.flac", "new-2.flac")]
    is_new = torch.zeros(2 * 44100, dtype=torch.bool)
    is_new[22050:33075] = is_new[44100:66150] = True
    for after, rate in results:
        assert rate == 44100 and after.shape == before.shape and torch.equal(after[:, ~is_new], before[:, ~is_new])
        assert (after != before)[:, is_new].float().mean() > 0.9
    assert not torch.equal(results[0][0], results[1][0])

    assert run("--from", tmp_path / "new-1.flac", "--output", tmp_path / "again.flac") == 0
    assert torch.equal(load_audio(tmp_path / "again.flac")[0], results[0][0])
    assert "differ" not in capsys.readouterr().err
    song.write_bytes(song.read_bytes()[:-2] + b"ab")
    assert run("--from", tmp_path / "new-1.flac", "--output", tmp_path / "again.flac") == 0
    assert "song.wav is not the file" in capsys.readouterr().err
    content = song.read_bytes()
    assert run("pop", *options, "--output", song) == 2 and song.read_bytes() == content
    assert "--output has to be another file than --edit, but both are" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [["--edit", "--regions", "1-2"], ["--extend", "--duration", 4], ["--vary"]])
def test_numbered_waveforms_do_not_replace_the_recording(kind, tmp_path, song, capsys, no_loading):
    numbered = song.rename(tmp_path / "song-2.wav")
    content = numbered.read_bytes()
    name, *options = kind
    common = ["pop", name, numbered, *options, "--output", tmp_path / "song.wav"]
    assert run(*common, "--num_waveforms", 2) == 2 and numbered.read_bytes() == content
    assert f"--output has to be another file than {name}, but both are {numbered}" in capsys.readouterr().err


def test_files_that_cannot_keep_their_samples(tmp_path, capsys):
    samples = 2 * torch.ones(44100)
    soundfile.write(tmp_path / "song.wav", samples.numpy(), 44100, subtype="FLOAT")
    options = ["--edit", tmp_path / "song.wav", "--regions", "0.5-0.75"]
    assert run("pop", *options, "--output", tmp_path / "new.flac") == 2
    error = capsys.readouterr().err
    assert "--output has to be a file name that ends in .wav, but is '" in error
    assert "samples of the recording" in error


def test_files_are_extended(tmp_path, song):
    assert (
        run("pop", "--steps", 1, "--extend", song, "--intro", 1, "--duration", 4, "--output", tmp_path / "a.wav") == 0
    )
    before, (after, rate) = load_audio(song)[0], load_audio(tmp_path / "a.wav")
    assert rate == 44100 and after.shape == (2, 4 * 44100) and torch.equal(after[:, 44100 : 3 * 44100], before)
    assert after[:, :44100].square().mean() > 1e-6 and after[:, 3 * 44100 :].square().mean() > 1e-6


def test_files_are_varied(tmp_path, song, capsys):
    common = ["--steps", 2, "--vary", song]
    assert run("pop", *common, "--strength", 0.2, "--output", tmp_path / "a.mp3") == 0
    waveform, rate = load_audio(tmp_path / "a.mp3")
    assert rate == 24000 and abs(waveform.shape[-1] - 48000) < 3000
    assert read_metadata(tmp_path / "a.mp3")["strength"] == 0.2
    chords = ["--chords", "C:0", "--source_chords", "Am:0"]
    assert run("pop", *common, *chords, "--output", tmp_path / "b.wav") == 0
    assert run("pop", *common, *chords[:2], "--output", tmp_path / "c.wav") == 0
    assert not torch.equal(load_audio(tmp_path / "b.wav")[0], load_audio(tmp_path / "c.wav")[0])
    assert run("pop", *common, "--output", song) == 2
    capsys.readouterr()
    adaptive = ["--vary", song, "--scheduler", "dopri5", "--output", tmp_path / "d.wav"]
    assert run("pop", *adaptive, *chords) == 2
    message = (
        "--source_chords can't be used with --scheduler dopri5: edits need Euler's method. Set --scheduler euler."
    )
    assert message in capsys.readouterr().err
    assert run("pop", *adaptive) == 2
    assert "not supported by --scheduler dopri5: use --scheduler euler." in capsys.readouterr().err


def test_music_is_edited_with_its_own_options(tmp_path):
    assert run("pop", "--chords", "C:0", *QUICK, "--loudness", -20, "--output", tmp_path / "a.wav") == 0
    edit = ["--from", tmp_path / "a.wav", "--edit", tmp_path / "a.wav", "--regions", "0.25-0.5", "--seed", 3]
    assert run(*edit, "--output", tmp_path / "b.wav") == 0
    metadata = read_metadata(tmp_path / "b.wav")
    assert metadata["chords"] == "C:0" and metadata["prompt"] == "pop" and "duration" not in metadata


def test_clips_with_timelines_are_regenerated(tmp_path):
    metadata = {"prompt": [["calm", 0.0], ["loud", 0.5]], "seed": 3, "duration": 1.0, "num_inference_steps": 1}
    path = export_audio(torch.zeros(1, 2400), tmp_path / "clip.flac", 24000, metadata=metadata)
    assert run("--from", path, "--output", tmp_path / "a.wav") == 0
    assert run("--from", path, "calm", "--output", tmp_path / "b.wav") == 0
    first, plain = (load_audio(tmp_path / name)[0] for name in ("a.wav", "b.wav"))
    assert not torch.equal(first, plain)
    assert read_metadata(tmp_path / "a.wav")["prompt"] == metadata["prompt"]
