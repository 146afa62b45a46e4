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
import re

import numpy as np
import pytest
import torch

from diffusers_jasco.controls.chord_labels import (
    default_chord_labels,
    nearest_to_notes,
    normalize_chord,
    parse_chord,
    to_harte,
)
from diffusers_jasco.controls.chords import (
    bars_from_roman,
    check_chords,
    chords_from_bars,
    chords_from_lab,
    chords_from_midi,
    chords_from_roman,
    chords_from_text,
    chords_from_tuples,
    chords_to_frames,
    chords_to_jams,
    chords_to_lab,
    chords_to_text,
    repeat_chords,
)
from diffusers_jasco.inputs import InputError, is_chord_progression, read_chords


LABELS = default_chord_labels()
REAL = [label for label in LABELS if label not in ("N", "UNK")]


def test_default_vocabulary_is_audiocrafts():
    assert len(LABELS) == len(set(LABELS)) == 194
    assert (LABELS[0], LABELS[1], LABELS[-1]) == ("N", "F", "UNK")
    assert sum("/" in label for label in LABELS) == 72


EXACT = {
    "Db": "C#", "G#": "Ab", "A#m7": "Bbm7", "E#": "F", "Cb": "B", "F##m": "Gm", "E♭maj7": "Ebmaj7", "C♯": "C#",
    "Cmin": "Cm", "C-": "Cm", "Cmi": "Cm", "Cminor": "Cm", "C:min": "Cm", "CM": "C", "Cmaj": "C", "Cmajor": "C",
    "C:maj": "C",
    "C-7": "Cm7", "Cmin7": "Cm7", "Cmi7": "Cm7", "CMIN7": "Cm7", "C:min7": "Cm7",
    "CM7": "Cmaj7", "Cma7": "Cmaj7", "CΔ": "Cmaj7", "CΔ7": "Cmaj7", "C^7": "Cmaj7", "CMaj7": "Cmaj7", "Cj7": "Cmaj7",
    "Cdom7": "C7", "C:7": "C7", "Co": "Cdim", "C°": "Cdim", "C:dim": "Cdim", "C+": "Caug", "C:aug": "Caug",
    "Cø": "Cm7b5", "Cø7": "Cm7b5", "C-7b5": "Cm7b5", "Cm7(b5)": "Cm7b5", "Cm7-5": "Cm7b5", "C:hdim7": "Cm7b5",
    "C:maj6": "C6", "C:min6": "Cm6", "C-6": "Cm6",
    "C/B♭": "C/Bb", "C:maj/3": "C/E", "C:maj/b7": "C/Bb", "Gb/Bb": "F#/A#", "C#/F": "C#/E#", "C7/Bb": "C/Bb",
    "A:hdim7/b7": "Am7b5/G", "C:(3,5)": "C", " C ": "C", "C major": "C",
    "N": "N", "NC": "N", "N.C.": "N", "n.c.": "N", "X": "UNK", "UNK": "UNK",
}  # fmt: skip


@pytest.mark.parametrize("spelling", EXACT)
def test_common_spellings_are_exact(spelling):
    assert normalize_chord(spelling) == (EXACT[spelling], None)


NEAREST = {
    "Bdim7": ("Bdim", "without Ab"),
    "C6/9": ("C6", "without D"),
    "Csus4": ("C", "without F, with E"),
    "Csus2": ("C", "without D, with E"),
    "C7sus4": ("C7", "without F, with E"),
    "Cadd9": ("C", "without D"),
    "C9": ("C7", "without D"),
    "C13": ("C7", "without D F A"),
    "Cmaj9": ("Cmaj7", "without D"),
    "Cm11": ("Cm7", "without D F"),
    "C7b9": ("C7", "without C#"),
    "C7(b9,#11)": ("C7", "without C# F#"),
    "C7alt": ("C7", "without C#, with G"),
    "C7#5": ("Caug", "without Bb"),
    "Cm(maj7)": ("Cm", "without B"),
    "CmMaj7": ("Cm", "without B"),
    "C5": ("C", "with E"),
    "Cm/Eb": ("Cm", "C instead of Eb in the bass"),
    "Cmaj7/E": ("Cmaj7", "C instead of E in the bass"),
    "C9/E": ("C7/E", "without D"),
    "C:maj7/3": ("Cmaj7", "C instead of E in the bass"),
}


@pytest.mark.parametrize("spelling", NEAREST)
def test_other_chords_become_the_nearest_label_with_a_difference(spelling):
    assert normalize_chord(spelling) == NEAREST[spelling]


@pytest.mark.parametrize(
    "nonsense, suggestion",
    [
        ("Hm7", "'Bm7'"),
        ("Cmaj", None),
        ("Cmjaj7", "'Cmaj7'"),
        ("am7", "'Am7'"),
        ("", ""),
        ("C/H", "C/"),
        ("C(((", "C"),
        ("🎵", ""),
        ("Cm7b", "'Cm7b5'"),
        ("C" * 10_000, ""),
    ],
)
def test_errors_suggest_similar_labels(nonsense, suggestion):
    if suggestion is None:
        assert normalize_chord(nonsense)
        return
    with pytest.raises(ValueError, match="unknown chord") as error:
        normalize_chord(nonsense)
    message = str(error.value)
    assert ("Did you mean" in message) == bool(suggestion) and suggestion in message and len(message) < 200


@pytest.mark.parametrize("numeral", ["I", "V7", "vi", "bVII", "Imaj7", "V7/V"])
def test_errors_about_roman_numerals(numeral):
    with pytest.raises(ValueError, match=r"For Roman numerals, use `chords_from_roman\(..., key=...\)`, or `--key`"):
        normalize_chord(numeral)


def test_a_custom_vocabulary():
    labels = ["N", "C:maj", "C:sus4", "Db:min"]
    assert normalize_chord("C", labels) == ("C:maj", None)
    assert normalize_chord("Csus", labels) == ("C:sus4", None)
    assert normalize_chord("C#m", labels) == ("Db:min", None)
    label, loss = normalize_chord("E7", labels)
    assert label in labels and loss
    assert read_chords("C:0 C#m:1", labels) == [("C:maj", 0.0), ("Db:min", 1.0)]


@pytest.mark.parametrize("label", REAL)
def test_every_label_round_trips_through_harte_syntax_and_its_notes(label):
    assert normalize_chord(to_harte(label)) == (label, None)
    chord = parse_chord(label)
    assert nearest_to_notes(chord.pitch_classes, chord.bass_pitch_class) == label


def test_text():
    assert chords_from_text("C:0 Am:2.5 F:5 | G:7.5") == [("C", 0), ("Am", 2.5), ("F", 5), ("G", 7.5)]
    assert chords_from_text("C:maj7/3:0, | N:1e1") == [("C:maj7/3", 0), ("N", 10)]
    assert read_chords("") == read_chords("  ") == []
    with pytest.raises(ValueError, match="position 1: 'Am' has no start.*set `bpm`"):
        read_chords("C:0 Am")
    with pytest.raises(ValueError, match="set `bpm`"):
        read_chords("C | Am | F | G")


def test_demo_tuples():
    expected = [("C", 0.0), ("D", 2.0), ("F", 4.0)]
    for text in ("(C, 0.0), (D, 2.0), (F, 4.0)", "[(C,0),(D,2),(F,4)]", "[('C', 0.0), ('D', 2.0), ('F', 4.0)]"):
        assert chords_from_tuples(text) == read_chords(text) == expected
    assert chords_from_tuples("[]") == []
    for text in ("(C, 0.0", "(C 0.0)", "(C, x)"):
        with pytest.raises(ValueError, match="`chords`"):
            read_chords(text)


def test_bars():
    # At 120 BPM, a bar of 4/4 lasts 2 s and a bar of 3/4 lasts 1.5 s.
    assert chords_from_bars("C | Am | F | G", bpm=120) == [("C", 0), ("Am", 2), ("F", 4), ("G", 6)]
    assert chords_from_bars("| C G | % |", bpm=120) == [("C", 0), ("G", 1), ("C", 2), ("G", 3)]
    assert chords_from_bars("C . . G || Am", bpm=120) == [("C", 0), ("G", 1.5), ("Am", 2)]
    assert chords_from_bars("C | . G", bpm=120) == [("C", 0), ("G", 3)]
    assert chords_from_bars("C | F", bpm=120, beats_per_bar=3) == [("C", 0), ("F", 1.5)]
    assert chords_from_bars("") == []
    for arguments in (
        ("C | | F",),
        (". C",),
        ("% | C",),
        ("C", 19),
        ("C", 401),
        ("C", math.nan),
        ("C", 120, 0),
        ("C", "fast"),
    ):
        with pytest.raises(ValueError, match="`chords`|`bpm`|`beats_per_bar`"):
            chords_from_bars(*arguments)


ROMAN = [
    ("ii V I", "Bb", ["Cm", "F", "Bb"]),
    ("ii7 V7 Imaj7", "C", ["Dm7", "G7", "Cmaj7"]),
    ("I V vi IV", "E", ["E", "B", "C#m", "A"]),
    ("bVII iv #ivo viio", "C", ["Bb", "Fm", "F#dim", "Bdim"]),
    ("i iiø7 V7 VI VII", "Am", ["Am", "Bm7b5", "E7", "F", "G"]),
    ("i VI III VII", "F# minor", ["F#m", "D", "A", "E"]),
    ("V7/V V I", "C", ["D7", "G", "C"]),
    ("V7/ii ii", "C", ["A7", "Dm"]),
    ("I/3 I+ Vsus4 N", "C", ["C/E", "Caug", "G", "N"]),
]


@pytest.mark.parametrize("numerals, key, expected", ROMAN)
def test_roman_numerals(numerals, key, expected):
    chords = chords_from_roman(numerals, key=key, bpm=240)
    assert [start for _, start in chords] == list(range(len(expected)))
    assert [label for label, _ in read_chords(chords)] == expected


def test_roman_numerals_in_bars_and_errors():
    assert chords_from_roman("ii V | I", key="C", bpm=120) == [("Dm", 0), ("G", 1), ("C", 2)]
    for text, key in (("I IIX", "C"), ("hello", "C"), ("I", "H"), ("I", "C7"), ("I", ""), ("V/X", "C")):
        with pytest.raises(ValueError, match="Roman numeral|`key`"):
            chords_from_roman(text, key=key)
    with pytest.raises(ValueError, match="bar 2: 'IIX'"):
        chords_from_roman("I | IIX", key="C")


def test_lab_files(tmp_path):
    path = tmp_path / "song.lab"
    path.write_text("# comment\n0.0 1.0 N\n1.0\t2.5\tC:maj7\n\n3.0 4.0 A:min/b3\n")
    assert chords_from_lab(path) == [("N", 0), ("C:maj7", 1), ("N", 2.5), ("A:min/b3", 3)]
    assert read_chords(str(path)) == [("N", 0), ("Cmaj7", 1), ("N", 2.5), ("Am", 3)]
    for malformed, message in (
        ("0 1\n", "line 1"),
        ("0 1 C\n1 x C\n", "line 2"),
        ("0 1 C extra\n", "line 1"),
        ("2 1 C\n", "line 1"),
    ):
        path.write_text(malformed)
        with pytest.raises(ValueError, match=message):
            read_chords(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="UTF-8"):
        read_chords(path)
    for name in ("absent.lab", "absent.mp3"):
        with pytest.raises(FileNotFoundError, match=name):
            read_chords(name)


def test_jams_files(tmp_path):
    path = tmp_path / "song.jams"
    rows = [
        {"time": 0.0, "duration": 2.0, "value": "C:maj", "confidence": 1.0},
        {"time": 2.0, "duration": 1.0, "value": "G:7"},
    ]
    beats = {"namespace": "beat", "data": []}
    columns = {"time": [0.0, 2.0], "duration": [2.0, 1.0], "value": ["C:maj", "G:7"]}
    for data in (rows, columns):
        path.write_text(json.dumps({"annotations": [beats, {"namespace": "chord_harte", "data": data}]}))
        assert read_chords(path) == [("C", 0), ("G7", 2)]
    for malformed in (
        "{",
        "[]",
        "{}",
        '{"annotations": []}',
        '{"annotations": [{"namespace": "chord", "data": [{}]}]}',
        "3",
    ):
        path.write_text(malformed)
        with pytest.raises(ValueError, match="not a JAMS file"):
            read_chords(path)


def write_midi(path, chords, duration, pad=0.0):
    """Writes block chords with the bass an octave below, and drums."""
    pretty_midi = pytest.importorskip("pretty_midi")
    midi, track = pretty_midi.PrettyMIDI(resolution=960), pretty_midi.Instrument(0)
    drums = pretty_midi.Instrument(0, is_drum=True)
    drums.notes.append(pretty_midi.Note(100, 36, 0.0, duration))
    for (label, start), (_, end) in zip(chords, [*chords[1:], ("", duration)]):
        if label == "N":
            continue
        chord = parse_chord(label)
        pitches = {36 + chord.bass_pitch_class} | {48 + note for note in chord.pitch_classes}
        for i, pitch in enumerate(sorted(pitches)):
            track.notes.append(pretty_midi.Note(100, pitch, start + pad * i, end))
    midi.instruments += [drums, track]
    midi.write(str(path))


def test_midi_files(tmp_path):
    path = tmp_path / "song.mid"
    chords = [("C", 0.0), ("Am7", 1.0), ("N", 2.0), ("F#/A#", 2.5), ("G7", 3.0)]
    write_midi(path, chords, 4.0)
    read = chords_from_midi(path)
    assert [label for label, _ in read] == ["C", "Am7", "N", "F#/A#", "G7", "N"]
    assert [start for _, start in read] == pytest.approx([0, 1, 2, 2.5, 3, 4], abs=2e-3)
    assert read_chords(path, duration=3.9) == read[:-1]
    write_midi(path, chords, 4.0, pad=0.008)  # rolled
    assert [label for label, _ in chords_from_midi(path)] == ["C", "Am7", "N", "F#/A#", "G7", "N"]
    path.write_bytes(b"MThd nothing")
    with pytest.raises(ValueError, match="can't be read as MIDI"):
        read_chords(path)
    write_midi(path, [("N", 0.0)], 1.0)
    assert read_chords(path) == []


def test_writers_round_trip(tmp_path):
    chords = [("N", 0.0), ("C#/E#", 0.1), ("Am7b5/G", 1 / 3), ("UNK", 2.0), ("G7", 7.25)]
    assert read_chords(chords_to_text(chords)) == chords
    chords_to_lab(chords, tmp_path / "a.lab", duration=10.0)
    chords_to_jams(chords, tmp_path / "a.jams", duration=10.0)
    assert read_chords(tmp_path / "a.lab") == chords
    assert read_chords(tmp_path / "a.jams") == chords


TIMES = [
    ([("C", 0.0), ("G", 2.0)], [("C", 0.0), ("G", 2.0)], None),
    ([("G", 2.0), ("C", 0.0)], [("C", 0.0), ("G", 2.0)], "not in order"),
    ([("F", -2.0), ("C", -1.0), ("G", 2.0)], [("C", 0.0), ("G", 2.0)], "2 chord.* before 0"),
    ([("F", -2.0), ("C", 0.0)], [("C", 0.0)], "before 0"),
    ([("C", 0.0), ("F", 2.0), ("G", 2.0)], [("C", 0.0), ("G", 2.0)], "together"),
    ([("C", 0.0), ("G", 10.0), ("F", 11.0)], [("C", 0.0)], r"2 chord.*after the end \(10 s\)"),
    ([("Db", 0), ("C", torch.tensor(1.0))], [("C#", 0.0), ("C", 1.0)], None),
]


@pytest.mark.parametrize("chords, expected, warning", TIMES)
def test_times(chords, expected, warning, warnings):
    assert read_chords(chords, duration=10.0) == expected
    assert bool(warnings.records) == (warning is not None)
    if warning:
        assert re.search(warning, warnings.text)


def test_a_replaced_chord_causes_one_warning_with_the_difference(warnings):
    read_chords([("Csus4", 0.0), ("G", 1.0), ("Csus4", 2.0)])
    assert len(warnings.records) == 1 and "Csus4 → C (without F, with E)" in warnings.text


INVALID = [
    ([("C", 0.0), ("Xyz", 1.0)], "position 1: unknown chord 'Xyz'"),
    ([("C", math.nan)], "position 0: the start has to be a finite number"),
    ([("C", -math.inf)], "finite"),
    ([("C", 10**400)], "finite"),
    ([("C", 0.0), "G"], "position 1 has to be"),
    ([(7, 0.0)], "position 0 has to be"),
    (3, "but is a int"),
    ({"C": 0.0}, "but is a dict"),
    (b"C:0", "read as audio"),
]


@pytest.mark.parametrize("chords, message", INVALID)
def test_errors_for_invalid_progressions(chords, message):
    with pytest.raises(ValueError, match=message) as error:
        read_chords(chords)
    assert "`chords`" in str(error.value)


FOUR = [("C", 0.0), ("Am", 2.0), ("F", 4.0), ("G", 6.0)]
REPEATED = [
    (FOUR, 12.0, None, [*FOUR, ("C", 8.0), ("Am", 10.0)]),
    (FOUR, 8.0, None, FOUR),
    (FOUR, 5.0, None, FOUR[:3]),
    (FOUR[::-1], 9.0, None, [*FOUR, ("C", 8.0)]),
    # The last bar has two chords, or the last chord is the longest.
    (
        [("C", 0), ("Am", 2), ("F", 4), ("G", 5)],
        9,
        None,
        [("C", 0), ("Am", 2), ("F", 4), ("G", 5), ("C", 6), ("Am", 8)],
    ),
    ([("C", 0), ("F", 2), ("G", 3), ("C", 4)], 7, None, [("C", 0), ("F", 2), ("G", 3), ("C", 4), ("C", 6)]),
    # Time before the first chord is not repeated.
    ([("C", 0.5), ("G", 1.5)], 4, None, [("C", 0.5), ("G", 1.5), ("C", 2.5), ("G", 3.5)]),
    ([("C", 0), ("G", 1)], 5, 4, [("C", 0), ("G", 1), ("C", 4)]),
    ([("C", 0)], 5, None, [("C", 0)]),
    ([("C", 0)], 5, 2, [("C", 0), ("C", 2), ("C", 4)]),
    ([], 5, None, []),
]


@pytest.mark.parametrize("chords, duration, length, expected", REPEATED)
def test_a_progression_is_repeated_until_the_end(chords, duration, length, expected):
    assert repeat_chords(chords, duration, length) == expected
    assert repeat_chords(chords, torch.tensor([duration]), length and np.float32(length)) == expected


def test_estimated_starts_are_repeated_with_their_spacing():
    repeated = repeat_chords([("C", 0.0), ("Am", 2.02), ("F", 3.97), ("G", 5.99)], 17)
    assert [label for label, _ in repeated] == ["C", "Am", "F", "G", "C", "Am", "F", "G", "C"]
    assert [start for _, start in repeated[4::4]] == pytest.approx([8.0, 16.0], abs=0.15)


def test_complete_bars_are_repeated():
    # The held F belongs to the progression, whose length can't be determined from the list of chords.
    assert chords_from_bars("C | F | % | .", bpm=120, duration=17) == [
        ("C", 0), ("F", 2), ("F", 4), ("C", 8), ("F", 10), ("F", 12), ("C", 16)
    ]  # fmt: skip
    assert chords_from_roman("I IV", "C", bpm=120, duration=7) == [("C", 0), ("F", 2), ("C", 4), ("F", 6)]


def test_a_repeat_sign_repeats_bars_until_the_end(tmp_path):
    (tmp_path / "bars.txt").write_text("|: C | F |\n| G . . C :|\n")
    for bars in ("C | F | G . . C :|", "|:C|F|G . . C:||", tmp_path / "bars.txt"):
        chords = read_chords(bars, duration=10.0, bpm=120)
        assert chords == [("C", 0), ("F", 2), ("G", 4), ("C", 5.5), ("C", 6), ("F", 8)]
        # Without a duration, the end is unknown.
        assert read_chords(bars, bpm=120) == chords[:4]
    assert bars_from_roman("I IV | V :|", "D") == "D G | A :|"
    # Without bar lines, each numeral lasts one bar, with and without a repeat sign.
    assert bars_from_roman("I - IV - V :|", "D") == "D | G | A :|"
    (tmp_path / "bars.txt").write_text("C | F\nG . . C : |\n")
    assert read_chords(tmp_path / "bars.txt", duration=10.0, bpm=120) == chords


@pytest.mark.parametrize("bars", ["C | F :| G", "|: C :|: F :|", "C | 1. F :| 2. G |", "C | F :|\nG | C :|"])
def test_other_repeat_signs_cause_an_error(bars):
    with pytest.raises(InputError, match="can only have a repeat sign"):
        read_chords(bars, duration=10.0, bpm=120)
    with pytest.raises(InputError, match="can only have a repeat sign"):
        bars_from_roman(bars.translate(str.maketrans({"C": "I", "F": "IV", "G": "V"})), "C")


def test_errors_of_repeat_chords():
    for arguments, message in (
        (("C:0",), "`chords` has to be a list"),
        (([("C", "x")],), "position 0"),
        (([("C", 0.0)], 0), "`duration`"),
        (([("C", 0.0)], math.inf), "`duration`"),
        ((FOUR, 10.0, 6.0), "`length`.*above 6"),
        (([("C", 0.0), ("G", 1e-9)], 1000.0), "more than 1000000"),
    ):
        with pytest.raises(ValueError, match=message):
            repeat_chords(*arguments, *[10.0] * (len(arguments) == 1))


def test_a_progression_that_ends_early_causes_a_warning(warnings):
    read_chords(FOUR, duration=30.0)
    assert len(warnings.records) == 1
    assert re.search(r"last chord, G, is held for 24 s to the end at 30 s.*repeat_chords", warnings.text)
    warnings.clear()
    read_chords("C | Am | F | G", duration=30.0, bpm=120)
    assert "A repeat sign, ':|', at the end repeats" in warnings.text and "repeat_chords" not in warnings.text


@pytest.mark.parametrize(
    "chords, duration", [(FOUR, 10.0), (FOUR[:1], 30.0), ([*FOUR, ("N", 8.0)], 30.0), (FOUR, 5.0)]
)
def test_an_intended_end_causes_no_warning(chords, duration, warnings):
    read_chords(chords, duration=duration)
    assert "repeat_chords" not in warnings.text


def test_bars_accept_numbers_of_any_numeric_type():
    expected = chords_from_bars("C | G", bpm=120, beats_per_bar=3)
    for bpm in (np.int64(120), np.float32(120), np.array([120.0]), torch.tensor(120)):
        assert chords_from_bars("C | G", bpm=bpm, beats_per_bar=np.int32(3)) == expected
        assert chords_from_roman("I V", "C", bpm=bpm, beats_per_bar=3.0) == expected
    assert check_chords([("C", np.array([1.5])), ("G", np.int64(2))]) == [("C", 1.5), ("G", 2.0)]


def test_one_progression_or_one_per_prompt():
    for progression in ("C:0", [("C", 0.0)], [["C", 0.0], ["G", 1]], [], (("C", 0),), [("C", 0.0), "G"]):
        assert is_chord_progression(progression)
    for other in ([[("C", 0.0)], None], ["C:0", "F:0"], [None], [[], []], [[["C", 0.0]]], 3, None):
        assert not is_chord_progression(other)


@pytest.mark.parametrize("frame_rate, num_frames", [(50.0, 500), (25.0, 61), (37.5, 100)])
def test_frames_equal_audiocrafts_loop(frame_rate, num_frames):
    chords = [("G", 0.02), ("C", 0.58), ("Am", 0.6), ("F", 1.14), ("N", 2.0000001), ("Dm7", 3.33), ("E", 400.0)]
    expected, current, remaining = [], "N", list(chords)
    for frame in range(num_frames):
        while remaining and frame / frame_rate >= remaining[0][1]:
            current = remaining.pop(0)[0]
        expected.append(LABELS.index(current))
    frames = chords_to_frames(chords, LABELS, num_frames, frame_rate)
    assert frames.dtype == torch.int64 and frames.tolist() == expected
    assert chords_to_frames([], LABELS, 3, frame_rate).tolist() == [0, 0, 0]
