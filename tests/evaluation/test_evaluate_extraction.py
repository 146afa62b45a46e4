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
import shutil
from pathlib import Path

import pytest
import soundfile
import torch

from diffusers_jasco.controls.melody import melody_from_notes

from ..conftest import run_script
from .clips import RATE, play_chords, play_drums, play_melody


NOTES = [(72, 0.0, 1.0), (76, 1.0, 2.0), (79, 2.5, 4.0)]


def read(folder: Path) -> tuple[dict, dict]:
    """Rows by part, material, reference and method, and methods by part and name."""
    result = json.loads((folder / "extraction.json").read_text())
    rows = {tuple(row[key] for key in ("part", "material", "reference", "method")): row for row in result["rows"]}
    return rows, {(method["part"], method["method"]): method for method in result["methods"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "music").mkdir()
    soundfile.write(folder / "music" / "song.wav", play_chords([("C", 0.0), ("Am", 2.0)], 4.0)[0].numpy(), RATE)
    soundfile.write(folder / "lead.wav", play_melody(NOTES, 4.0)[0].numpy(), RATE)
    torch.save(melody_from_notes(NOTES, 200, 50), folder / "lead.th")
    # A rate and a length for which resamplers differ by one sample.
    soundfile.write(folder / "drums.wav", play_drums([0.5, 1.0, 1.5], 77321 / 44100, 44100)[0].numpy(), 44100)
    return folder


def test_synthetic_music_is_compared_with_annotations(tmp_path):
    pytest.importorskip("tinysoundfont")
    pytest.importorskip("mir_eval")
    run_script(
        "evaluate_extraction",
        "--output",
        tmp_path,
        "--parts",
        "chords",
        "key",
        "drums",
        "--num_clips",
        4,
        "--renderer",
        "tinysoundfont",
    )
    rows, methods = read(tmp_path)
    row = rows["chords", "synthetic", "annotations", "builtin"]
    assert row["num_clips"] == 4 and 0.5 < row["root"]["low"] <= row["root"]["mean"] <= row["root"]["high"] <= 1
    assert methods["chords", "builtin"]["times_real_time"] > 5
    has_chordino = methods["chords", "chordino"]["absent"] is None
    assert (("chords", "synthetic", "Chordino", "builtin") in rows) == has_chordino
    assert rows["chords", "synthetic", "annotations", "builtin, annotated beats"]["segmentation"]["mean"] > 0.5
    key = rows["key", "synthetic", "annotations", "builtin"]
    assert key["num_clips"] == 4 and 0 <= key["equal"]["mean"] <= key["key"]["mean"] <= 1
    mix, separated = (rows["drums", "synthetic", "annotations", method] for method in ("none", "builtin"))
    assert separated["si_sdr"]["mean"] > mix["si_sdr"]["mean"] and separated["suppression"]["mean"] > 10
    table = (tmp_path / "extraction.md").read_text()
    assert "| synthetic | annotations | builtin | 4 |" in table and "| not available: " in table


def test_drum_hits_and_grooves_of_synthetic_music(tmp_path):
    pytest.importorskip("tinysoundfont")
    arguments = "--num_clips", 4, "--duration", 6.0, "--renderer", "tinysoundfont"
    run_script("evaluate_extraction", "--output", tmp_path, "--parts", "drum_hits", "grooves", *arguments)
    rows, methods = read(tmp_path)
    alone = rows["drum_hits", "synthetic, drums alone", "annotations", "not separated"]
    assert 0.5 < alone["kick"]["low"] <= alone["kick"]["mean"] <= alone["kick"]["high"] <= 1 and "hat" in alone
    assert (
        rows["drum_hits", "synthetic, without drums", "annotations", "separated"]["false_hits_per_second"]["mean"] < 3
    )
    groove = rows["grooves", "grooves, drum machine", "steps", "separated"]
    assert groove["num_clips"] == 4 and groove["steps"]["mean"] > 0.8 and groove["acc1"]["mean"] == 1
    assert methods["grooves", "separated"]["times_real_time"] > 5


def test_recordings_and_files_with_reference_melodies(tmp_path, folder):
    pytest.importorskip("mir_eval")
    pytest.importorskip("librosa")
    run_script(
        "evaluate_extraction",
        *("--output", tmp_path, "--num_clips", 0, "--reference", folder / "lead.wav"),
        *("--recordings", folder / "music", "--drum_recordings", folder / "drums.wav"),
    )
    rows, methods = read(tmp_path)
    assert rows["melody", "reference files", "melody file", "builtin"]["rca"]["mean"] > 0.5
    assert rows["drums", "drum recordings", "annotations", "builtin"]["kept"]["num_clips"] == 1
    # Without weights, deep_salience is not available as a reference.
    assert "--melody_weights" in methods["melody", "deep_salience"]["absent"]
    has_chordino = methods["chords", "chordino"]["absent"] is None
    assert (("chords", "recordings", "Chordino", "builtin") in rows) == has_chordino


def test_voices_are_compared_by_notes(tmp_path, folder):
    pytest.importorskip("mir_eval")
    pytest.importorskip("librosa")
    pytest.importorskip("swift_f0")
    # A singer who is a third of a semitone flat.
    lines = [f"{start}\t{end}\t{pitch - 0.33}" for pitch, start, end in NOTES]
    shutil.copy(folder / "lead.wav", tmp_path / "sung.wav")
    (tmp_path / "sung.txt").write_text("\n".join(lines))
    arguments = "--output", tmp_path, "--parts", "voices", "--num_clips", 0, "--duration", 4
    run_script("evaluate_extraction", *arguments, "--num_voices", 1, "--voices", tmp_path / "sung.wav")
    rows, _ = read(tmp_path)
    for material in ("voices", "voice recordings"):
        for metric in ("onset_f1", "note_f1", "equal"):
            assert rows["voices", material, "annotations", "monophonic"][metric]["mean"] > 0.8
    assert rows["voices", "voices", "annotations", "pyin"]["rpa"]["mean"] > 0.8


def test_tempo_of_loops_follows_from_their_length(tmp_path):
    pytest.importorskip("librosa")
    soundfile.write(tmp_path / "loop.wav", play_drums([0.0, 0.5, 1.0, 1.5], 2.0)[0].numpy(), RATE)
    arguments = "--output", tmp_path, "--parts", "beats", "--num_clips", 0, "--loops"
    run_script("evaluate_extraction", *arguments, f"{tmp_path}/loop.wav=4")
    rows, _ = read(tmp_path)
    for method in ("builtin", "librosa"):
        assert rows["beats", "loops", "length", method]["acc2"]["mean"] == 1
    # The same loop would be too slow with five beats.
    run_script("evaluate_extraction", *arguments, f"{tmp_path}/loop.wav=5")
    assert read(tmp_path)[0]["beats", "loops", "length", "builtin"]["acc2"]["mean"] == 0


def test_missing_files_raise_errors(tmp_path, folder):
    with pytest.raises(ValueError, match="no melody beside it"):
        run_script("evaluate_extraction", "--output", tmp_path, "--num_clips", 0, "--reference", folder / "drums.wav")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no audio in"):
        run_script("evaluate_extraction", "--output", tmp_path, "--num_clips", 0, "--recordings", tmp_path / "empty")
