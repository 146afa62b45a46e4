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

"""Malformed input only raises `ValueError`, and valid progressions round-trip."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffusers_jasco.controls.chord_labels import default_chord_labels, normalize_chord, parse_chord
from diffusers_jasco.controls.chords import (
    chords_from_bars,
    chords_from_midi,
    chords_from_roman,
    chords_from_text_or_file,
    chords_to_jams,
    chords_to_lab,
    chords_to_text,
)
from diffusers_jasco.inputs import InputError, read_chords

from .test_chords import write_midi


LABELS = default_chord_labels()
REAL = [label for label in LABELS if label not in ("N", "UNK")]


def examples(count):
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=checks)


def survives(function, *arguments, **options):
    """Calls a function, which may only raise an `InputError` or a `FileNotFoundError`."""
    try:
        function(*arguments, **options)
    except (InputError, FileNotFoundError):
        pass


# Wrong combinations of valid pieces reach more code than random text.
PIECES = ["C", "Db", "F#", "H", "m", "maj", "M7", "7", "b9", "#11", "sus", "add", "(", ")", ",", "/", "/E", "/b7",
          ":", "ø", "°", "Δ", "+", "-", "o", "6", "69", "13", "no3", "alt", "*", "N", "NC", "X", "|", "%", ".", " ",
          "0", "2.5", "-1", "nan", "1e999", "ii", "V7", "bVII", "\n", "\x00", "🎵"]  # fmt: skip
noise = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=5) | noise,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(noise, inner, max_size=2),
    max_leaves=6,
)


@examples(1000)
@given(noise)
def test_malformed_labels(label):
    survives(normalize_chord, label)


@examples(750)
@given(noise)
def test_malformed_texts(text):
    survives(read_chords, text)
    survives(read_chords, f"({text})")
    survives(chords_from_bars, text)
    survives(chords_from_roman, text, key="C")
    survives(chords_from_text_or_file, text, bpm=120)
    survives(chords_from_roman, "ii V I", key=text)


@examples(750)
@given(anything, st.floats())
def test_malformed_objects(value, duration):
    survives(read_chords, value)
    survives(read_chords, [("C", 0.0), value])
    survives(read_chords, [("C", duration)], duration=10.0)


@examples(350)
@given(
    st.sampled_from([".lab", ".csv", ".txt", ".json", ".jams", ".svl"]),
    st.binary(max_size=60) | noise.map(str.encode) | anything.map(repr).map(str.encode),
)
def test_malformed_files(tmp_path, suffix, content):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    survives(read_chords, path)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | noise,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["time", "duration", "value", "namespace", "data"]), inner, max_size=4),
    max_leaves=8,
)


@examples(350)
@given(json_values)
def test_malformed_jams(tmp_path, data):
    path = tmp_path / "file.jams"
    path.write_text(json.dumps({"annotations": [{"namespace": "chord", "data": data}]}))
    survives(read_chords, path)


CELLS = [
    "0",
    "2.5",
    "1,5",
    "0:01",
    "C",
    "N",
    "A:min",
    "",
    "#",
    "x2",
    "*",
    ".",
    "|",
    "(2/4)",
    "start",
    "chord",
    "song.wav",
    "NaN",
]


@examples(350)
@given(
    st.lists(st.lists(st.sampled_from(CELLS), max_size=5), max_size=5),
    st.sampled_from(["\t", ",", ";", " ", " | "]),
    st.sampled_from([".lab", ".csv", ".txt"]),
)
def test_malformed_tables(tmp_path, rows, separator, suffix):
    path = tmp_path / f"file{suffix}"
    path.write_text("\n".join(separator.join(row) for row in rows))
    survives(read_chords, path)


@examples(350)
@given(json_values)
def test_malformed_json(tmp_path, value):
    for content in (
        value,
        {"parts": value},
        {"chords": value},
        {"annotations": [{"namespace": "chord_roman", "data": value}]},
    ):
        path = tmp_path / "file.json"
        path.write_text(json.dumps(content))
        survives(read_chords, path)


@examples(125)
@given(st.binary(max_size=60), st.booleans())
def test_malformed_midi(tmp_path, content, header):
    path = tmp_path / "file.mid"
    path.write_bytes((b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\x00\x60MTrk" if header else b"") + content)
    survives(read_chords, path)


@st.composite
def timelines(draw, labels=tuple(LABELS), min_gap=0.0):
    """A progression as returned by `read_chords`, with times in whole milliseconds."""
    chords, time = [], draw(st.integers(0, 3000))
    for label in draw(st.lists(st.sampled_from(labels), max_size=8)):
        chords.append((label, time / 1000))
        time += draw(st.integers(max(1, int(1000 * min_gap)), 3000))
    return chords


@examples(750)
@given(timelines())
def test_valid_lists_and_texts(chords):
    assert read_chords(chords) == chords
    assert read_chords(chords_to_text(chords)) == chords
    assert read_chords(str([(label, start) for label, start in chords])) == chords


@examples(350)
@given(timelines(), st.sampled_from([".lab", ".jams"]))
def test_valid_files(tmp_path, chords, suffix):
    path = tmp_path / f"file{suffix}"
    {".lab": chords_to_lab, ".jams": chords_to_jams}[suffix](chords, path, duration=40.0)
    assert read_chords(path) == chords


@examples(350)
@given(
    st.lists(st.lists(st.sampled_from(REAL), min_size=1, max_size=4), min_size=1, max_size=6),
    st.sampled_from([60, 97.5, 120]),
    st.integers(2, 7),
)
def test_valid_bars(bars, bpm, beats):
    text = " | ".join(" ".join(bar) for bar in bars)
    bar_seconds = beats * 60 / bpm
    expected = [(label, (i + j / len(bar)) * bar_seconds) for i, bar in enumerate(bars) for j, label in enumerate(bar)]
    assert read_chords(chords_from_bars(text, bpm=bpm, beats_per_bar=beats)) == expected


NUMERALS = {
    "I": "C",
    "ii": "Dm",
    "iii": "Em",
    "IV": "F",
    "V": "G",
    "vi": "Am",
    "viio": "Bdim",
    "V7": "G7",
    "bVII": "Bb",
    "ii7": "Dm7",
}


@examples(250)
@given(st.lists(st.sampled_from(list(NUMERALS)), min_size=1, max_size=8), st.sampled_from(["C", "Eb", "F#", "B"]))
def test_valid_roman_numerals(numerals, key):
    chords = read_chords(chords_from_roman(" ".join(numerals), key=key, bpm=240))
    tonic = parse_chord(key).root
    for position, (numeral, (label, start)) in enumerate(zip(numerals, chords, strict=True)):
        in_c, chord = parse_chord(NUMERALS[numeral]), parse_chord(label)
        assert (chord.root, chord.intervals) == ((in_c.root + tonic) % 12, in_c.intervals) and start == position


@examples(100)
@given(timelines(labels=tuple(REAL), min_gap=0.1))
def test_valid_midi(tmp_path, chords):
    chords = [chord for chord, previous in zip(chords, [(None, 0), *chords]) if chord[0] != previous[0]]
    if not chords:
        return
    path = tmp_path / "file.mid"
    write_midi(path, chords, duration=40.0)
    read = chords_from_midi(path)[:-1]
    assert [label for label, _ in read] == [label for label, _ in chords]
    assert [start for _, start in read] == pytest.approx([start for _, start in chords], abs=2e-3)


@examples(300)
@given(st.sampled_from(REAL), st.booleans(), st.sampled_from(["", " ", "\t"]))
def test_valid_spellings(label, symbols, space):
    # Derive other spellings of the same chord.
    for flat, sharp in (("Eb", "D#"), ("Ab", "G#"), ("Bb", "A#"), ("C#", "Db"), ("F#", "Gb")):
        if label.startswith(flat):
            label_root, spelling = flat, sharp + label[len(flat) :]
            break
    else:
        label_root, spelling = label[0], label
    assert parse_chord(spelling).root == parse_chord(label_root).root
    if symbols:
        spelling = spelling.replace("maj7", "Δ").replace("m7b5", "ø").replace("dim", "°").replace("aug", "+")
    assert normalize_chord(space + spelling + space) == (label, None)
