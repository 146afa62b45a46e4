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
"""
Chords and notes in the forms of other libraries: unambiguous forms are read, others are rejected with a position.
"""

import types
from collections import namedtuple
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from diffusers_jasco.controls.melody import melody_to_notes
from diffusers_jasco.inputs import InputError, read_chords, read_drums, read_melody
from diffusers_jasco.per_prompt import check_starts, encode_per_prompt, is_given


CHORDS = [("C", 0.0), ("Am", 2.5)]
NOTES = [(60, 0.0, 0.5), (62, 0.5, 2.0)]
RATE = 16000
WAVE = np.ones(100, dtype=np.float32)
INTERVALS = np.array([[0.0, 2.5], [2.5, 5.0]])
Observation = namedtuple("Observation", "time duration value confidence")
OBSERVATIONS = [Observation(0.0, 2.5, "C", None), Observation(2.5, 2.5, "A:min", 0.9)]
Note = namedtuple("Note", "start end pitch velocity")


class DataFrame:
    """A data frame with the part of pandas' interface that is used: columns, and rows as dictionaries."""

    def __init__(self, **columns):
        self.values, self.columns = columns, list(columns)

    def to_dict(self, orient):
        assert orient == "records"
        return [dict(zip(self.columns, row)) for row in zip(*self.values.values())]


def read_all(name, control, num_prompts=1):
    readers = {
        "chords": lambda value, start: read_chords(value, duration=10.0),
        "melody": lambda value, start: melody_to_notes(read_melody(value, 20, 10.0), 10.0),
        "drums": lambda value, start: read_drums(value, RATE, 100),
    }
    return encode_per_prompt(name, control, num_prompts, readers[name], [0.0] * num_prompts)


CHORD_FORMS = {
    "pairs": CHORDS,
    "start first": [(0.0, "C"), (2.5, "Am")],
    "with ends": [("C", 0.0, 2.5), ("Am", 2.5, 5)],
    "ends, label last": [(0, 2.5, "C"), (2.5, 5, "Am")],
    "numbers as text": [("C", "0"), ("Am", "2.5")],
    "decimal commas": [("0", "C"), ("2,5", "Am")],
    "NumPy's types": [(np.str_("C"), np.float32(0)), ("Am", np.array([2.5]))],
    "other types": [("C", Fraction(0)), ("Am", Decimal("2.5"))],
    "tensors": [("C", torch.tensor(0)), ("Am", torch.tensor([2.5]))],
    "dictionaries": [{"chord": "C", "start": 0}, {"label": "Am", "time": 2.5}],
    "other keys": [{"name": "C", "start_time": 0}, {"value": "Am", "onset": "2.5", "duration": 1, "confidence": 0.5}],
    "mir_eval": (INTERVALS, ["C", "A:min"]),
    "mir_eval, labels first": (["C", "A:min"], INTERVALS),
    "mir_eval as lists": [INTERVALS.tolist(), ["C", "Am"]],
    "columns": (["C", "Am"], [0, 2.5]),
    "named columns": {"chord": ["C", "Am"], "start": np.array([0, 2.5])},
    "named intervals": {"labels": ["C", "Am"], "intervals": INTERVALS},
    "observations": OBSERVATIONS,
    "an annotation": types.SimpleNamespace(namespace="chord", data=OBSERVATIONS),
    "a data frame": DataFrame(start=[0, 2.5], chord=["C", "Am"]),
    "an array of objects": np.array(CHORDS, dtype=object),
    "an array of texts": np.array([["C", "0"], ["Am", "2.5"]]),
    "a structured array": np.array(CHORDS, dtype=[("label", "U5"), ("start", "f8")]),
    "a dictionary's items": {0.0: "C", 2.5: "Am"}.items(),
}


@pytest.mark.parametrize("form", CHORD_FORMS)
def test_forms_of_chords(form):
    chords = CHORD_FORMS[form]
    assert read_chords(chords) == CHORDS
    assert all(type(label) is str and type(start) is float for label, start in read_chords(chords))
    # One control for all prompts is never confused with one control per prompt.
    assert read_all("chords", chords, 1) == [CHORDS] and read_all("chords", chords, 2) == [CHORDS, CHORDS]
    assert read_all("chords", [chords, None], 2) == [CHORDS, None] and read_all("chords", [chords], 1) == [CHORDS]


def test_iterators_are_read_once():
    assert read_all("chords", zip(["C", "Am"], [0, 2.5]), 2) == [CHORDS, CHORDS]
    assert read_all("melody", (note for note in NOTES), 2) == [NOTES, NOTES]


def test_gaps_become_no_chord():
    gap = [("C", 0.0, 2.0), ("Am", 2.5, 5.0)]
    assert read_chords(gap) == [("C", 0.0), ("N", 2.0), ("Am", 2.5)]
    with pytest.raises(InputError, match="position 1: unknown chord 'Hx'") as error:
        read_chords([("C", 0.0, 2.0), ("Hx", 2.5, 5.0)])
    assert error.value.position == 1


MELODY_FORMS = {
    "notes": NOTES,
    "pairs": [(60, 0.0), (62, 0.5)],
    "names": [("C4", 0.0), ("D4", 0.5)],
    "name last": [(0.0, "C4"), (0.5, "D4")],
    "pitch last": [(0.0, 60), (0.5, 62)],
    "start, end, pitch": [(0.0, 0.5, 60), (0.5, 2.0, 62)],
    "numbers as text": [("60", "0", "0.5"), ("62", "0.5", "2")],
    "NumPy's types": [(np.int64(60), np.float32(0), np.array([0.5])), (62, 0.5, torch.tensor(2))],
    "dictionaries": [{"pitch": 60, "start": 0, "end": 0.5}, {"note": "D4", "time": 0.5, "duration": 1.5}],
    "dictionaries without ends": [{"midi": 60, "start": 0}, {"midi": 62, "start": 0.5}],
    "objects": [types.SimpleNamespace(pitch=60, start=0, end=0.5), types.SimpleNamespace(pitch=62, start=0.5, end=2)],
    "named tuples": [Note(0.0, 0.5, 60, 100), Note(0.5, 2.0, 62, 100)],
    "an instrument": types.SimpleNamespace(notes=[Note(0.0, 0.5, 60, 100), Note(0.5, 2.0, 62, 100)]),
    "an array": np.array([[60, 0, 0.5], [62, 0.5, 2.0]]),
    "an array of pairs": torch.tensor([[60, 0], [62, 0.5]]),
    "mir_eval": (np.array([[0, 0.5], [0.5, 2.0]]), np.array([60, 62])),
    "a data frame": DataFrame(pitch=[60, 62], start=[0, 0.5], end=[0.5, 2.0]),
}


@pytest.mark.parametrize("form", MELODY_FORMS)
def test_forms_of_melodies(form):
    melody = MELODY_FORMS[form]
    assert melody_to_notes(read_melody(melody, 20, 10.0), 10.0) == NOTES
    assert read_all("melody", melody, 1) == [NOTES] and read_all("melody", melody, 2) == [NOTES, NOTES]
    assert read_all("melody", [melody, None], 2) == [NOTES, None] and read_all("melody", [melody], 1) == [NOTES]


def test_rests_end_notes_without_an_end():
    melody = [(60, 0.0), (None, 0.5), ("rest", 0.7), (62, 1.0), ("-", 1.5)]
    assert melody_to_notes(read_melody(melody, 20, 10.0), 10.0) == [(60, 0.0, 0.5), (62, 1.0, 1.5)]
    with pytest.raises(InputError, match="pitch of note 2") as error:
        read_melody([(60, 0.0), (None, 0.5), ("H9", 1.0)], 20, 10.0)
    assert error.value.position == 2


def test_matrices_as_nested_lists():
    matrix = torch.zeros(53, 20)
    matrix[17, :5], matrix[19, 5:] = 1, 1
    for nested in (matrix.tolist(), matrix.T.tolist()):
        assert read_all("melody", nested, 2) == [NOTES, NOTES]


@pytest.mark.parametrize(
    "rate, start, warns", [(5.0, 0.0, True), (10.0, 0.0, False), (20.0, 0.0, True), (5.0, 1.0, False)]
)
def test_a_matrix_at_another_frame_rate_causes_a_warning(rate, start, warns, warnings, tmp_path):
    matrix = torch.zeros(53, round(2.0 * rate))
    matrix[17] = 1
    torch.save(matrix, tmp_path / "melody.th")
    # `start` does not apply to matrices in memory.
    for melody in (tmp_path / "melody.th", *([] if start else [matrix])):
        warnings.clear()
        read_melody(melody, 20, 10.0, start)
        assert ("another frame rate" in warnings.text) == warns
    # Notes fit any frame rate.
    warnings.clear()
    assert read_melody(melody_to_notes(matrix, rate), 20, 10.0)[:, 17].all() and not warnings.records


DRUM_FORMS = [(WAVE, RATE), [WAVE, RATE], (RATE, WAVE), [torch.ones(2, 100), np.int64(RATE)], ([1.0] * 100, RATE),
              {"array": WAVE, "sampling_rate": RATE}, {"waveform": WAVE, "sample_rate": RATE}]  # fmt: skip


@pytest.mark.parametrize("drums", DRUM_FORMS, ids=lambda drums: type(drums).__name__)
def test_forms_of_drums(drums):
    expected = torch.ones(1, 100)
    assert all(torch.equal(result, expected) for result in read_all("drums", drums, 2))
    first, second = read_all("drums", [drums, None], 2)
    assert torch.equal(first, expected) and second is None
    assert all(torch.equal(result, expected) for result in read_all("drums", [drums, drums], 2))


EMPTY = {
    "chords": [[], (), "", "  ", "[]", {}, np.zeros((0, 2)), np.array([], dtype=object), DataFrame(chord=[], start=[]),
               iter([])],
    "melody": [[], (), "", np.zeros((53, 0)), torch.zeros(53, 20), np.zeros((0, 53)), (np.zeros(0), RATE),
               (RATE, np.zeros(0)),
               {"array": np.zeros(0), "sampling_rate": RATE}],
    "drums": [[], (), "", {}, (np.zeros(0), RATE), [torch.zeros(2, 0), RATE], ([], RATE),
              {"array": [], "sampling_rate": RATE}],
}  # fmt: skip


@pytest.mark.parametrize("name", EMPTY)
def test_empty_controls_are_ignored_with_a_warning(name, warnings):
    for empty in EMPTY[name]:
        warnings.clear()
        (result,) = read_all(name, empty)
        assert not result, empty
        assert f"`{name}` is empty" in warnings.text
    for empty in EMPTY[name][:2]:
        first, second = read_all(name, [empty, None], 2)
        assert not first and second is None
    assert not is_given([]) and not is_given([None, []]) and is_given([None, (WAVE, RATE)])


@pytest.mark.parametrize(
    "name, control, position, message",
    [
        ("chords", ("C", 0.0), None, "Put it in a list"),
        ("chords", {"chord": "C", "start": 0}, None, "Put it in a list"),
        ("chords", ["C", "Am", "F"], 0, "each with its start in seconds.*position 0 is 'C'"),
        ("chords", [0.0, 2.5, 5.0], 0, "position 0 is 0.0"),
        ("chords", [("C", 0.0), None], 1, "position 1 has to be"),
        ("chords", [("C", 0, 1, 2), ("F", 1, 2, 3)], 0, "position 0"),
        ("chords", [("C", 0, 2), ("F", 2, 2)], 1, "position 1 has to end after its start"),
        ("chords", [[("C", 0.0)], [("F", 0.0)]], None, r"has 2 elements for 1 prompt\(s\)"),
        ("melody", (60, 0.0, 1.0), None, "Put it in a list"),
        ("melody", [60, 62, 64, 65], 0, "each with its start and end.*position 0 is 60"),
        ("melody", [("C4", 1), ("D4", 1)], 1, "note 1 has to start after the previous one"),
        ("melody", [(60, 0, 1), (62, 1)], 1, "note 1 has to be"),
        ("melody", [[(60, 0)], [(62, 0)]], None, r"has 2 elements for 1 prompt\(s\)"),
        ("drums", [WAVE, WAVE], 0, r"a waveform with its rate"),
        ("drums", [0.0] * 50, 0, r"a waveform with its rate.*position 0 is 0.0"),
        ("drums", [(WAVE, RATE), None], None, r"has 2 elements for 1 prompt\(s\)"),
    ],
)
def test_errors_describe_valid_elements(name, control, position, message):
    with pytest.raises(InputError, match=message) as error:
        read_all(name, control)
    assert (error.value.argument, error.value.position) == (name, position)


def test_one_start_for_all_prompts_or_one_per_prompt(warnings, tmp_path):
    assert check_starts(1, 2) == check_starts(np.array([1.0]), 2) == [1.0, 1.0]
    assert "no effect" in warnings.text
    assert check_starts([1, Fraction(1, 2)], 2) == check_starts(torch.tensor([1, 0.5]), 2) == [1.0, 0.5]
    for start in (-1, "soon", None, float("nan"), [1.0, -1.0], [1.0, 2.0, 3.0]):
        with pytest.raises(InputError) as error:
            check_starts(start, 2)
        assert error.value.argument == "start"
    warnings.clear()
    check_starts(1.0, 1, [None, (WAVE, RATE)])
    assert not warnings.records
