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

from diffusers_jasco.controls.chord_labels import parse_chord
from diffusers_jasco.controls.chords import chords_from_roman, parse_key
from diffusers_jasco.inputs import InputError, read_chords


CASES = [
    # Figured bass
    ("I ii6 V2 I6", "C", "C Dm/F G7/F C/E"),
    ("I6 I64 V65 V43 V42 V7 I53", "C", "C/E C/G G7/B G7/D G7/F G7 C"),
    ("I6/4 V6/5 V4/3 V4/2", "C", "C/G G7/B G7/D G7/F"),
    ("V⁷ I⁶ V⁶₅ Cad64", "C", "G7 C/E G7/B C/G"),
    ("ii65 IV65 I42 vi43", "C", "Dm7/F Fmaj7/A Cmaj7/B Am7/E"),
    ("i65 VI65 III43 iv6 V65 iiø65 VII42", "Am", "Am7/C Fmaj7/A Cmaj7/G Dm/F E7/G# Bm7b5/D G7/F"),
    # Not figures: an added sixth, a sixth and a ninth, and the dominant sevenths of blues
    ("Iadd6 I69 I6/9 I7 IV7 Imaj7 IVM7 I9 V13", "C", "Cadd6 C69 C69 C7 F7 Cmaj7 Fmaj7 C9 G13"),
    # The leading tone in minor
    ("i viio7 i", "Am", "Am G#dim7 Am"),
    ("vii° viio65 viiø7 VII bVII bvii #viio7 vio", "Am", "G#dim G#dim7/B G#m7b5 G G Gm G#dim7 F#dim"),
    ("viio viiø7 viih7 vii/o7 vii%65", "C", "Bdim Bm7b5 Bm7b5 Bm7b5 Bm7b5/D"),
    # Applied and borrowed chords
    ("V/V V7/ii V65/V V2/IV viio7/ii viio7/V V7/vi V/bVII", "C", "D A7 D7/F# C7/Bb C#dim7 F#dim7 E7 F"),
    ("bVII iv bVI bIII #ivo #iv°7 bII", "C", "Bb Fm Ab Eb F#dim F#dim7 Db"),
    ("bIII bVI bVII", "Cm", "Eb Ab Bb"),
    ("N6 It6 Ger65 Fr43 Ger+6 N NC N.C.", "C", "Db/F Ab7(no5) Ab7 Ab7b5 Ab7 N N N"),
    # Qualities
    ("III+ I+ V7b9 ii7b5 Vsus4 V7sus4 Vadd9 I5 V7alt", "C", "Eaug Caug G7b9 Dm7b5 Gsus4 G7sus4 Gadd9 C5 G7alt"),
    ("ii-7 II-7 iim7 Im7 vi9", "C", "Dm7 Dm7 Dm7 Cm7 Am9"),
    ("I/3 V7/3 V7/V/3", "C", "C/3 G7/3 D7/3"),
    # Separators
    ("I - vi - IV - V", "G", "G Em C D"),
    ("I–vi–IV–V", "G", "G Em C D"),
    ("I, vi; IV → V", "G", "G Em C D"),
    ("I > vi > IV · V", "G", "G Em C D"),
    # Spelling by the key
    ("vi iii viio V/iii", "E", "C#m G#m D#dim D#"),
    ("ii V I IV bVII", "Gb", "Abm Db Gb Cb Fb"),
]  # fmt: skip


@pytest.mark.parametrize("numerals, key, expected", CASES)
def test_numerals(numerals, key, expected, warnings):
    chords = chords_from_roman(numerals, key, bpm=240)
    assert " ".join(label for label, _ in chords) == expected
    # All labels are valid chords.
    assert len(read_chords(chords)) == len(chords)


def test_the_same_numerals_in_every_key():
    for key in ("C", "Db", "D", "Eb", "E", "F", "F#", "Gb", "G", "Ab", "A", "Bb", "B", "Cb", "C#"):
        tonic = parse_key(key)[0]
        for numeral, interval, bass in (
            ("ii65", 2, 3),
            ("V42", 7, 10),
            ("N6", 1, 4),
            ("viio7/V", 6, 0),
            ("bVI", 8, 0),
        ):
            chord = parse_chord(chords_from_roman(numeral, key)[0][0])
            assert (chord.root, chord.bass) == ((tonic + interval) % 12, bass), (key, numeral)


@pytest.mark.parametrize(
    "key, expected",
    [("Bb", (10, "major")), ("F# minor", (6, "minor")), ("Am", (9, "minor")), ("A:min", (9, "minor")),
     ("E♭:major", (3, "major")),
     ("a minor", (9, "minor")), ("a", (9, "minor")), ("f#", (6, "minor")), ("a-moll", (9, "minor")),
     ("C-Dur", (0, "major")),
     ("bb major", (10, "major")), ("C maj", (0, "major"))],
)  # fmt: skip
def test_keys(key, expected):
    assert parse_key(key) == expected


@pytest.mark.parametrize("key", ["", "H", "C7", "Am/C", "minor", "X", "major", None, 3, "C D"])
def test_invalid_keys_are_rejected(key):
    with pytest.raises(InputError, match="`key`"):
        chords_from_roman("I V", key)


@pytest.mark.parametrize(
    "numeral", ["IIX", "hello", "VIII", "I/", "V/X", "V65/3", "I6x", "b", "7", "V//V", "V/V" * 9000]
)
def test_errors_contain_the_bar_of_an_invalid_numeral(numeral):
    with pytest.raises(InputError, match="bar 2: .*Roman numeral") as error:
        chords_from_roman(f"I | {numeral}", "C")
    assert error.value.argument == "chords"
