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

import pytest

from diffusers_jasco.controls.melody import melody_from_notes
from diffusers_jasco.controls.note_text import is_note_text, melody_from_text
from diffusers_jasco.inputs import InputError


def test_notes_and_holds_last_one_beat_each():
    assert melody_from_text("C4 D4 E4 -", 120) == [(60, 0.0, 0.5), (62, 0.5, 1.0), (64, 1.0, 2.0)]
    assert melody_from_text("c4 | 62 - | - . F#4", 60) == [(60, 0, 1), (62, 1, 4), (66, 5, 6)]
    assert melody_from_text("Bb3:2 r:1/2 A♭4:.5 -:1.5 R G4", 60) == [(58, 0, 2), (68, 2.5, 4.5), (67, 5.5, 6.5)]


def test_lengths_add_up_exactly():
    notes = melody_from_text(" ".join(["C5:1/3"] * 300), 90)
    assert notes[-1][2] == pytest.approx(300 / 3 * 60 / 90, abs=1e-12) and len(notes) == 300


def test_text_converts_to_a_melody_matrix():
    matrix = melody_from_notes(melody_from_text("C4 . E4 -", 60), 100, 25)
    pitches = [int(row.argmax()) + 43 if row.any() else None for row in matrix[::25]]
    assert pitches == [60, None, 64, 64]


@pytest.mark.parametrize(
    "text, position, message",
    [
        ("C4 H4", 1, "'H4'"),
        ("C D E", 0, "'C'"),
        ("- C4", 0, "no previous note"),
        ("C4 . -", 2, "no previous note"),
        ("C4:0", 0, "'C4:0'"),
        ("C4 D4:1/0", 1, "D4:1/0"),
        ("C4:x", 0, "C4:x"),
        ("C4-", 0, "'C4-'"),
        ("C4 128", 1, "128"),
        ("C4:99999999", 0, "99999999"),
        ("C4:" + "9" * 10_000, 0, "C4:9"),
        ("C4 ²", 1, "²"),
        ("", None, "no notes"),
        (". . |", None, "no notes"),
        (None, None, "has to be text"),
    ],
)
def test_errors_contain_the_position(text, position, message):
    with pytest.raises(InputError, match=message) as error:
        melody_from_text(text)
    assert error.value.argument == "melody" and error.value.position == position


@pytest.mark.parametrize("bpm", [0, 19, 401, -1, float("nan"), "fast", None])
def test_invalid_tempos(bpm):
    with pytest.raises(InputError, match="`bpm`"):
        melody_from_text("C4", bpm)


def test_notes_are_distinguished_from_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "C4").touch()
    for text in ("C4 D4", "c#5", "60 62", ". C4", "| C4 |", "C4:2", "- C4"):
        assert is_note_text(text)
    for other in ("song.mid", "C4", "songs/C4.mid", "c4.wav", "", None, ["C4"], "hum"):
        assert not is_note_text(other)
