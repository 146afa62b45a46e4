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

from diffusers_jasco.controls.chord_labels import NOTES, normalize_chord
from diffusers_jasco.controls.chords import chords_from_roman
from diffusers_jasco.controls.progressions import PROGRESSIONS, chords_from_progression
from diffusers_jasco.inputs import read_chords


@pytest.mark.parametrize("name", PROGRESSIONS)
def test_all_chords_are_in_the_vocabulary_in_every_key(name):
    for key in NOTES:
        chords = chords_from_progression(name, key)
        assert chords[0][1] == 0 and len(chords) >= 2
        assert all(normalize_chord(label)[1] is None for label, _ in chords)


def test_chords_of_well_known_progressions():
    def labels(*arguments):
        return [label for label, _ in read_chords(chords_from_progression(*arguments))]

    assert labels("axis", "C") == ["C", "G", "Am", "F"]
    assert labels("andalusian", "A minor") == ["Am", "G", "F", "E"]
    assert labels("ii-V-I", "Bb major") == ["Cm7", "F7", "Bbmaj7", "Bbmaj7"]
    assert labels("12-bar blues", "E") == ["E7"] * 4 + ["A7"] * 2 + ["E7"] * 2 + ["B7", "A7", "E7", "B7"]
    assert labels("Pachelbel", "D") == ["D", "A", "Bm", "F#m", "G", "D", "G", "A"]


def test_tempo_time_signature_and_number_of_bars():
    assert chords_from_progression("dorian", "D", bpm=90, beats_per_bar=3, num_bars=3) == [
        ("Dm7", 0.0),
        ("G7", 2.0),
        ("Dm7", 4.0),
    ]
    assert chords_from_progression("turnaround", "C", bpm=120, num_bars=1) == [("Cmaj7", 0.0), ("Am7", 1.0)]


def test_unknown_progressions_and_invalid_keys_are_rejected():
    with pytest.raises(ValueError, match="unknown progression 'axs'. Did you mean 'axis'"):
        chords_from_progression("axs", "C")
    with pytest.raises(ValueError, match="`key` has to be major for the progression 'axis', but is 'Am'"):
        chords_from_progression("axis", "Am")
    with pytest.raises(ValueError, match="`key` has to be minor for the progression 'folia', but is 'D major'"):
        chords_from_progression("folia", "D major")
    with pytest.raises(ValueError, match="`key` has to be a note and a mode"):
        chords_from_progression("axis", "H")
    with pytest.raises(ValueError, match="`num_bars`"):
        chords_from_progression("axis", "C", num_bars=0)
    with pytest.raises(ValueError, match="`bpm`"):
        chords_from_progression("axis", "C", bpm=0)


def test_numerals_as_they_are_written_elsewhere():
    for text in ("I V vi IV", "I | V | vi | IV", "I–V–vi–IV", "I - V - vi - IV", "I, V, vi, IV", "I → V -> vi — IV"):
        assert chords_from_roman(text, "G", bpm=240) == [("G", 0), ("D", 1), ("Em", 2), ("C", 3)], text
