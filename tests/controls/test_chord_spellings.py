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

"""Chord spellings of datasets, apps and songbooks."""

import pytest

from diffusers_jasco.controls.chord_labels import normalize_chord, parse_chord
from diffusers_jasco.inputs import read_chords


# Intervals above C in semitones.
MAJ7, MIN7, DOM7, HDIM = {0, 4, 7, 11}, {0, 3, 7, 10}, {0, 4, 7, 10}, {0, 3, 6, 10}
SPELLINGS = [
    # iReal Pro
    ({0, 3, 6, 10}, "Ch7 Ch"),
    (HDIM | {2}, "Ch9"),
    (MAJ7, "C^7 C^"),
    (MAJ7 | {2}, "C^9"),
    (MAJ7 | {2, 5, 9}, "C^13"),
    (MAJ7 | {6}, "C^7#11 Cmaj7#11"),
    ({0, 4, 8, 11}, "C^7#5 C+maj7 Caugmaj7"),
    ({0, 3, 7, 11}, "C-^7 C-^ CmMaj7 Cm/maj7 Cm(maj7) C-maj7 Cmi/maj7 Cm7M Cm(7M) CmM7 Cminmaj7 Cm/7M CmΔ"),
    ({0, 3, 7, 11, 2}, "C-^9 Cm(maj9) CmMaj9"),
    ({0, 3, 6, 9}, "Co7 Cdim7 C°7 Cº7 C07 Cdiminished7"),
    ({0, 1, 4, 10}, "C7alt"),
    ({0, 1, 4, 8, 10}, "C7b9#5 C7(b9,#5) C7#5b9 C7(9-/5+)"),
    ({0, 3, 4, 8, 10}, "C7#9#5 C7(#5)(#9) C7(#5,#9)"),
    ({0, 5, 7, 10}, "C7sus C7sus4 C4/7 C4(7) C7/4 C7(4) Csus7 C7suspended4"),
    ({0, 2, 5, 7, 10}, "C9sus C7(4/9) C4/7/9 C9sus4"),
    ({0, 1, 5, 7, 10}, "C7susb9 C7b9sus"),
    ({0, 3, 7, 8}, "C-b6 Cm(b6)"),
    ({0, 3, 7, 9, 2}, "C-69 Cm6/9 Cm69"),
    # Brazilian songbooks
    (DOM7 | {2}, "C7/9 C7(9) C9"),
    (MAJ7, "C7M C7Maj"),
    (MAJ7 | {2}, "C7M(9) C7M/9 CM7/9 C9M"),
    (HDIM, "Cm7(5-) Cm7(b5) Cm7/5- Cm7/b5 Cm7/-5 Cm7b5 C-7b5 Cø Cø7 C⌀7 C∅ Chalf-dim7 Cmi7b5"),
    ({0, 4, 8, 10}, "C7(#5) C7(5+) C7/5+ C7+ C+7 Caug7"),
    ({0, 4, 8}, "C5+ C(#5) C+ Caug Caugmented"),
    ({0, 4, 6}, "C5- C(b5)"),
    (DOM7 | {1, 8}, "C7(9-/13-) C7(b9/b13) C7b9b13"),
    (DOM7 | {8}, "C7/13- C7(13-) C7b13"),
    (DOM7 | {6}, "C7(11+) C7#11 C7/11+"),
    (MIN7 | {5}, "Cm7/11 Cm7(11)"),
    (MIN7 | {2}, "Cm7/9 Cm7(9) C-9 Cmi9"),
    ({0, 4, 7, 2}, "C/9 C(9) Cadd9 C2"),
    ({0, 3, 6}, "C° Cº Co Cdim C0"),
    ({0, 5, 7}, "C4 Csus4 Csus"),
    ({0, 4, 7, 9, 2}, "C6/9 C69 C6(9) C6add9"),
    # The Real Book and other symbols
    (MAJ7, "CΔ C△7 C∆ CΔ7 Cma7 CMA7 CM7 Cmajor7 CMaj7"),
    (MAJ7 | {2}, "CΔ9 Cma9 CMaj9"),
    (MIN7, "C-7 Cmi7 C–7 C−7 Cm⁷ Cminor7 CMI7"),
    (DOM7, "C7 C⁷ Cdom7 Cdominant7"),
    ({0, 7}, "C5 Cno3 Cno3rd Cno3d C(omit3) Cpower"),
]  # fmt: skip


@pytest.mark.parametrize(
    "notes, labels", SPELLINGS, ids=lambda value: value.split()[0] if isinstance(value, str) else None
)
def test_spellings(notes, labels):
    for label in labels.split():
        chord = parse_chord(label)
        assert chord is not None and set(chord.intervals) == notes and chord.bass == 0, label
        # The root does not matter.
        assert parse_chord(f"F#{label[1:]}").intervals == chord.intervals, label


@pytest.mark.parametrize(
    "label, expected",
    [("Dh7", "Dm7b5"), ("C^9", "Cmaj7"), ("CΔ9", "Cmaj7"), ("D7/9", "D7"), ("C4/7", "C7"), ("C7M", "Cmaj7"),
     ("Cm/maj7", "Cm"),
     ("Cm7(5-)", "Cm7b5"), ("Do", "Ddim"), ("Cs7", "C#7"), ("Csus", "C"), ("Ebj7", "Ebmaj7"), ("A7(9)/C#", "A7/C#"),
     ("C7/9/E", "C7/E"), ("C6/9/E", "C6")],
)  # fmt: skip
def test_nearest_labels_of_the_vocabulary(label, expected):
    assert normalize_chord(label)[0] == expected


def test_slash_chords():
    for label, bass in (
        ("C/G", 7),
        ("C/3", 4),
        ("C/b7", 10),
        ("C7/3", 4),
        ("Cm7/b7", 10),
        ("C:maj(9)/9", 2),
        ("C:7/9", 2),
    ):
        assert parse_chord(label).bass == bass, label
    # Polychords: the lower chord provides the root.
    assert parse_chord("D/C7").root == 0 and parse_chord("D/C7").intervals == {0, 2, 4, 6, 7, 9, 10}
    for nonsense in ("C/", "C//E", "C/H", "C/E/", "C/15", "C7/x", "C(/)", "C7(9"):
        assert parse_chord(nonsense) is None, nonsense


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Do:0 Re:1 Mi:2 Fa:3 Sol:4 La:5 Si:6", ["C", "D", "E", "F", "G", "A", "B"]),
        ("Do:0 Lam:1 Fa:2 Sol7:3", ["C", "Am", "F", "G7"]),
        ("Ré:0 Sib:1 Do#m:2 Do/Mi:3 N:4", ["D", "Bb", "C#m", "C/E", "N"]),
        ("Do:0 G:1 Co:2", ["Ddim", "G", "Cdim"]),
        ("Fadd9:0 Faug:1", ["F", "Faug"]),
    ],
)
def test_solfege_is_detected_from_the_progression(text, expected):
    assert [label for label, _ in read_chords(text)] == expected


def test_altered_tensions_replace_implied_tensions():
    for label, notes in (
        ("G13(#11,b9)", {0, 4, 7, 10, 1, 6, 9}),
        ("G13b9", {0, 4, 7, 10, 1, 5, 9}),
        ("G9(#9)", {0, 4, 7, 10, 3}),
        ("Gmaj13#11", {0, 4, 7, 11, 2, 6, 9}),
        ("Gm11(b9)", {0, 3, 7, 10, 1, 5}),
        ("G9(#11)", {0, 4, 7, 10, 2, 6}),
        ("G7(9,b9)", {0, 4, 7, 10, 1, 2}),
        ("G:13(b9)", {0, 4, 7, 10, 1, 2, 5, 9}),  # in Harte syntax, added notes do not replace others
    ):
        assert parse_chord(label).intervals == notes, label


def test_spellings_of_no_chord():
    for word in ("N", "NC", "N.C.", "n.c.", "no chord", "No Chord", "none", "silence", "&pause", "end"):
        assert normalize_chord(word) == ("N", None), word
