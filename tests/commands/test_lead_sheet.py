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

"""The options of `jasco-generate` for lead sheets."""

import json
from dataclasses import asdict
from fractions import Fraction as F

import pytest
import torch

from diffusers_jasco import load_audio
from diffusers_jasco.audio.metadata import read_metadata
from diffusers_jasco.commands.generate import main
from diffusers_jasco.controls.drum_machine import Groove
from diffusers_jasco.controls.lead_sheet import Bar, ChordMark, LeadSheet, Note, Section, read_lead_sheet

from ..conftest import FIXTURES


CHECKPOINT = FIXTURES / "chords-drums-melody"
MODEL = ["--checkpoint", CHECKPOINT, "--text_encoder", FIXTURES / "t5", "--codec", CHECKPOINT / "encodec"]
SHEET = LeadSheet(
    (Section("", (Bar(F(4), (ChordMark("C"), ChordMark("G", F(2))), (Note(72, F(0), F(2)),)),)),),
    tempo=240.0,
    prompt="rock",
)


@pytest.fixture
def song(tmp_path):
    SHEET.save(tmp_path / "song.json")
    return tmp_path / "song.json"


def run(output, *arguments) -> torch.Tensor:
    command = [*MODEL, "--steps", 2, *arguments, "--output", output, "--device", "cpu"]
    assert main([str(argument) for argument in command]) == 0
    return load_audio(output)[0]


def test_a_lead_sheet_supplies_prompt_controls_and_duration(song, tmp_path):
    music = run(tmp_path / "a.wav", "--lead_sheet", song)
    options = ("--chords", "C:0 G:0.5", "--melody", "72:2", "--bpm", 240, "--duration", 1)
    assert torch.equal(run(tmp_path / "b.wav", "rock", *options), music)
    # Other options come first.
    chords = ("--chords", "F:0", "--melody", "72:2", "--bpm", 240, "--duration", 1)
    other = run(tmp_path / "c.wav", "pop", "--lead_sheet", song, "--chords", "F:0")
    assert torch.equal(other, run(tmp_path / "d.wav", "pop", *chords))
    # The file is recorded.
    assert read_metadata(tmp_path / "a.wav")["lead_sheet"] == str(song)
    assert main(["--from", str(tmp_path / "a.wav"), "--output", str(tmp_path / "e.wav")]) == 0
    assert torch.equal(load_audio(tmp_path / "e.wav")[0], music)


def test_transposition_tempo_and_groove(song, tmp_path):
    saved = tmp_path / "new.json"
    options = ("--transpose", 2, "--bpm", 120, "--groove", "waltz", "--save_lead_sheet", saved)
    music = run(tmp_path / "a.wav", "--lead_sheet", song, *options)
    assert music.shape[-1] == 2 * run(tmp_path / "b.wav", "--lead_sheet", song).shape[-1]
    assert read_lead_sheet(saved) == SHEET.transpose(2).with_tempo(120).with_groove("waltz")
    assert torch.equal(run(tmp_path / "c.wav", "--lead_sheet", saved), music)


def test_a_groove_from_a_file(song, tmp_path):
    saved, file, groove = tmp_path / "new.json", tmp_path / "loop.groove.json", Groove({"kick": "x...x..."}, 90)
    file.write_text(json.dumps(asdict(groove)))
    run(tmp_path / "a.wav", "--lead_sheet", song, "--groove", file, "--save_lead_sheet", saved)
    assert read_lead_sheet(saved) == SHEET.with_groove(groove)


def test_a_suggestion_is_saved(tmp_path):
    run(tmp_path / "a.wav", "bossa nova", "--suggest", "--duration", 1, "--save_lead_sheet", tmp_path / "song.abc")
    sheet = read_lead_sheet(tmp_path / "song.abc")
    assert sheet.chords and sheet.melody and sheet.duration >= 1


def test_a_shorter_duration_cuts_the_sheet(song, tmp_path, caplog):
    run(tmp_path / "a.wav", "--lead_sheet", song, "--groove", "rock backbeat", "--duration", 0.4)
    assert not [record for record in caplog.records if "after the end" in record.message or "lasts" in record.message]


def test_chords_in_bars_have_the_tempo_of_the_sheet(song, tmp_path):
    music = run(tmp_path / "a.wav", "--lead_sheet", song, "--chords", "Dm . F .")
    options = ("--chords", "Dm:0 F:0.5", "--melody", "72:2", "--bpm", 240, "--duration", 1)
    assert torch.equal(run(tmp_path / "b.wav", "rock", *options), music)


def test_the_end_fades_out(song, tmp_path):
    whole = run(tmp_path / "a.wav", "--lead_sheet", song)
    fading = LeadSheet(SHEET.sections * 2, tempo=480.0, prompt="rock", ending="fade")
    fading.save(song)
    faded = run(tmp_path / "b.wav", "--lead_sheet", song)
    assert faded.shape == whole.shape and faded[:, -10:].abs().max() < 1e-3 < whole[:, -10:].abs().max()
    loop = run(tmp_path / "c.wav", "--lead_sheet", song, "--loop")
    assert loop.shape == whole.shape and loop[:, -10:].abs().max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--transpose", 2), "--transpose requires --lead_sheet"),
        (("--lead_sheet", "SONG", "--beats", "0 1"), "Give either --lead_sheet or --beats"),
        (("--lead_sheet", "SONG", "--save_lead_sheet", "song.txt"), "--save_lead_sheet has to end in"),
        (("--save_lead_sheet", "song.abc"), "--save_lead_sheet requires --lead_sheet or --suggest"),
        (("--suggest", "--lead_sheet", "SONG"), "Give either --lead_sheet or --suggest"),
        (("--lead_sheet", "missing.json"), "--lead_sheet: the file missing.json does not exist"),
        (("--lead_sheet", "missing"), "--lead_sheet: the file missing does not exist"),
        (("--lead_sheet", "SONG", "--tune", "2"), "--tune is for ABC and iReal Pro"),
        (("--lead_sheet", "SONG", "--bpm", "none"), "--bpm can't be 'none' with --lead_sheet"),
        (("--lead_sheet", "SONG", "--groove", "polka"), "--groove: unknown groove 'polka'"),
    ],
)
def test_invalid_options(song, options, message, capsys):
    options = [str(song) if option == "SONG" else str(option) for option in options]
    assert main([*map(str, MODEL), *options]) == 2
    assert message in capsys.readouterr().err
