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
Converts in-memory chords and notes of other libraries to the forms of this package.

Only unambiguous forms are converted. Other values are returned unchanged, so that the parsers of each control raise
specific errors.
"""

import math
import re
from collections.abc import ItemsView, Iterator, Mapping, Sequence, ValuesView
from typing import Any

import numpy as np
import torch
from diffusers.utils import logging

from ..audio.waveforms import is_encoded
from ..utils.errors import InputError, shorten
from ..utils.numbers import is_number
from .chord_labels import FREE_CHORD, NO_CHORD
from .field_names import NAMES, find_fields, warn_of_other_labels
from .melody import MELODY_BINS


logger = logging.get_logger(__name__)

_PITCH_KEYS = ("pitch", "midi", "note", "pitch_midi", "midi_note", "value")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
# MIDI numbers that may be pitches in a position that may also contain a time.
_LOWEST_PITCH = 21
_HIGHEST_PITCH = 127
_AUDIBLE = 12  # MIDI number; lower notes (below 16 Hz) are inaudible


# 1. Containers


def to_list(value: Any) -> Any:
    r"""
    Converts containers to a list: data frames (pandas, polars), arrays of objects or strings, structured arrays,
    iterators, dictionary views, annotations (JAMS), instruments (pretty_midi) and dictionaries of columns.

    Args:
        value: the user's value.

    Returns:
        `list` of the elements, or `value` itself for other types (arrays of numbers, text, paths, ...).
    """
    if is_encoded(value) or isinstance(value, (str, list, tuple, type, torch.Tensor, np.generic)):
        return value
    if isinstance(value, np.ndarray):
        if value.dtype.names is not None:
            return [dict(zip(value.dtype.names, row.tolist())) for row in value.reshape(-1)]
        return value.tolist() if value.dtype.kind in "OU" and value.ndim else value
    if isinstance(value, Mapping):
        return _columns_to_rows(value)
    if isinstance(value, (Iterator, ItemsView, ValuesView, Sequence)):
        return list(value)
    if hasattr(value, "columns"):  # a data frame
        if callable(getattr(value, "to_dicts", None)):
            return value.to_dicts()
        return value.to_dict("records") if callable(getattr(value, "to_dict", None)) else value
    for name in ("data", "notes"):  # JAMS annotations and pretty_midi instruments
        elements = getattr(value, name, None)
        if isinstance(elements, Sequence) and not isinstance(elements, (str, bytes, memoryview)):
            return list(elements)
    return value.tolist() if callable(getattr(value, "tolist", None)) else value  # a column of a data frame


def _columns_to_rows(columns: Mapping) -> Any:
    if table := _intervals_of(columns):
        return table
    values = [to_list(column) for column in columns.values()]
    values = [column.tolist() if isinstance(column, (np.ndarray, torch.Tensor)) else column for column in values]
    is_table = values and all(isinstance(column, (list, tuple)) for column in values)
    if (
        not is_table
        or len({len(column) for column in values}) != 1
        or find_fields(tuple(map(str, columns))) is None
        and _field(columns, NAMES["start"]) is None
    ):
        return columns
    return [dict(zip(columns, row)) for row in zip(*values)]


def _intervals_of(columns: Mapping) -> tuple | None:
    """Converts `{"intervals": ..., "labels": ...}` to a pair."""
    intervals = _field(columns, ("intervals",))
    labels = _field(columns, ("labels", "chords", "pitches", "values"))
    return None if intervals is None or labels is None else (intervals, labels)


def is_empty(value: Any) -> bool:
    """Whether `value` is an empty string, container, array or recording."""
    value = to_list(value)
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return 0 in value.shape
    if isinstance(value, (list, tuple, dict)) and len(value) == 0:
        return True
    # A recording in memory without samples.
    parts = list(value.values()) if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else []
    if len(parts) != 2 or not any(is_number(part) for part in parts):
        return False
    return any(0 in part.shape for part in parts if isinstance(part, (torch.Tensor, np.ndarray))) or [] in [
        part for part in parts if isinstance(part, list)
    ]


def _field(item: Any, keys: Sequence[str]) -> Any:
    """The value of the first of `keys` that an element has with a value other than `None`."""
    if isinstance(item, Mapping):
        known = {key.lower(): value for key, value in item.items() if isinstance(key, str)}
        return next((known[key] for key in keys if known.get(key) is not None), None)
    values = (getattr(item, key, None) for key in keys)
    return next((value for value in values if value is not None and not callable(value)), None)


def _has_fields(item: Any) -> bool:
    """Whether an element has named fields: a dictionary, a named tuple or an object."""
    if isinstance(item, (str, bytes, type, np.ndarray, np.generic, torch.Tensor)) or item is None or is_number(item):
        return False
    return not isinstance(item, (list, tuple)) or hasattr(item, "_fields")


def _to_number(value: Any) -> float | None:
    """Converts a number of any type, or text such as `"2.5"` or `"2,5"`, to `float`; `None` for other values."""
    if isinstance(value, str):
        return float(value.replace(",", ".")) if _NUMBER.fullmatch(value.strip()) else None
    if not is_number(value):
        return None
    try:
        return float(value.item() if isinstance(value, (np.ndarray, torch.Tensor)) else value)
    except OverflowError:
        return math.inf


def _as_sequence(item: Any) -> list | None:
    if isinstance(item, (list, tuple)):
        return list(item)
    return item.tolist() if isinstance(item, (np.ndarray, torch.Tensor)) and item.ndim == 1 else None


# 2. Chords


def is_chord_item(item: Any) -> bool:
    """Whether `item` is a chord of a progression: a string and one or two numbers in any order, or named fields."""
    return _to_chord(item) is not None


def _to_chord(item: Any) -> tuple[str, float, float | None] | None:
    """The label, the start and the end (in seconds; the end may be `None`) of a chord, or `None` for other values."""
    if _has_fields(item):
        label, *times = _chord_fields(item)
        start, end, duration = (_to_number(value) for value in times)
        if not isinstance(label, str) or start is None:
            return None
        return label, start, start + duration if end is None and duration is not None else end
    values = _as_sequence(item)
    if values is None or len(values) not in (2, 3):
        return None
    numbers = [_to_number(value) for value in values]
    labels = [value for value, number in zip(values, numbers) if number is None]
    times = [number for number in numbers if number is not None]
    if len(labels) != 1 or not (labels[0] is None or isinstance(labels[0], str)):
        return None
    return FREE_CHORD if labels[0] is None else labels[0], times[0], times[1] if len(times) == 2 else None


def _chord_fields(item: Any) -> tuple[Any, Any, Any, Any]:
    """The label, start, end and duration of a chord with named fields; `None` for missing fields."""
    if not isinstance(item, Mapping):
        label, start, end, duration = (_field(item, NAMES[kind]) for kind in ("label", "start", "end", "duration"))
        return label, start, end, duration
    names = [key for key, value in item.items() if isinstance(key, str) and value is not None]
    fields = find_fields(tuple(names))
    while fields is not None and not isinstance(item[fields.label], str):
        names.remove(fields.label)  # such as a numeric "value" beside a "name"
        fields = find_fields(tuple(names))
    if fields is None:
        return None, None, None, None
    times = [None if name is None else _to_number(item[name]) for name in (fields.start, fields.end, fields.duration)]
    start, end, duration = (None if time is None else time / fields.per_second for time in times)
    return item[fields.label], start, end, duration


def is_chord_table(value: Any) -> bool:
    """Whether `value` is `(intervals, labels)` or `(starts, labels)`, in either order, with one label per row."""
    return _split_chord_table(value) is not None


def _split_chord_table(value: Any) -> tuple[list, list[str]] | None:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return None
    columns = [to_list(column) for column in value]
    columns = [column.tolist() if isinstance(column, (np.ndarray, torch.Tensor)) else column for column in columns]
    for times, labels in (columns, columns[::-1]):
        if not isinstance(labels, (list, tuple)) or not isinstance(times, (list, tuple)) or not labels:
            continue
        # Numbers as text would be ambiguous: the two rows could be two chords.
        if not all(isinstance(label, str) and _to_number(label) is None for label in labels):
            continue
        if len(times) == len(labels) and all(
            is_number(time) or (isinstance(time, (list, tuple)) and len(time) == 2 and all(map(is_number, time)))
            for time in times
        ):
            return list(times), list(labels)
    return None


def chords_from_items(chords: Any) -> tuple[Any, list[int]]:
    r"""
    Converts a progression in memory to `[(label, start), ...]`.

    Args:
        chords:
            A list, an array or a data frame of chords, or `(intervals, labels)` as in mir_eval. A chord is `("C",
            0.0)`, `(0.0, "C")`, `("C", 0.0, 2.5)` or `(0.0, 2.5, "C")` (with its end), where numbers may be of any
            type or text; or a dictionary or an object with a label (`chord`, `label`, `name`, `symbol` or `value`), a
            start (`start`, `time`, `start_time`, ...) and, optionally, an end or a `duration`. A gap after an end
            becomes no chord (`N`); the last chord lasts until the end of the music, as in a `.lab` file.

    Returns:
        `tuple` of the `list` of `(label, start)`, and the position of each in `chords`. Elements that are not chords
        are left unchanged for the error message of [`~controls.chords.check_chords`]; so are values that are not
        lists.

    Raises:
        [`InputError`]: if the value is a single chord instead of a list, or a chord ends before it starts (with its
            position).
    """
    chords = to_list(chords)
    if (table := _split_chord_table(chords)) is not None:
        chords = [(label, *(time if isinstance(time, (list, tuple)) else [time])) for time, label in zip(*table)]
    if is_chord_item(chords):
        raise InputError(
            "`chords` has to be a list of chords, such as [('C', 0.0), ('Am', 2.5)], but is a single chord:"
            f" {shorten(chords)}. Put it in a list.",
            "chords",
        )
    if not isinstance(chords, (list, tuple)):
        return chords, []
    parsed = [_to_chord(item) for item in chords]
    if chords and isinstance(chords[0], Mapping):
        warn_of_other_labels(find_fields(tuple(key for key in chords[0] if isinstance(key, str))))
    timeline: list[Any] = []
    positions: list[int] = []
    for position, (item, chord) in enumerate(zip(chords, parsed)):
        timeline.append(item if chord is None else (str(chord[0]), chord[1]))
        positions.append(position)
        if chord is None or (end := chord[2]) is None:
            continue
        start = chord[1]
        if end <= start:
            raise InputError(
                f"`chords`: position {position} has to end after its start ({start:g} s), but ends at {end:g} s. Three"
                " values are (label, start, end) in seconds; for durations use the keys 'chord', 'start' and"
                " 'duration'.",
                "chords",
                position,
            )
        following = parsed[position + 1] if position + 1 < len(parsed) else None
        # Tolerance for rounded times.
        if following is not None and following[1] > end + 0.01:
            timeline.append((NO_CHORD, end))
            positions.append(position)
    return timeline, positions


# 3. Notes

_RESTS = ("-", "r", "rest")


def is_note_item(item: Any) -> bool:
    """Whether `item` is a note of a melody: a pitch with one or two times in any order, or named fields."""
    return _to_note(item) is not None


def _to_note(item: Any) -> tuple[Any, float, float | None] | None:
    """The pitch, the start and the end (which may be `None`) of a note, or `None` for other values."""
    if _has_fields(item):
        pitch, start = _field(item, _PITCH_KEYS), _to_number(_field(item, NAMES["start"]))
        end, duration = (_to_number(_field(item, NAMES[kind])) for kind in ("end", "duration"))
        if start is None or not (isinstance(pitch, str) or is_number(pitch)):
            return None
        return _to_pitch(pitch), start, start + duration if end is None and duration is not None else end
    values = _as_sequence(item)
    if values is None or len(values) not in (2, 3):
        return None
    times = [_to_number(value) for value in values]
    # A note name identifies the pitch.
    names = [index for index, (value, time) in enumerate(zip(values, times)) if time is None]
    if len(names) > 1 or not all(values[index] is None or isinstance(values[index], str) for index in names):
        return None
    index = names[0] if names else 0
    pitch = values[index] if names else times[0]
    del times[index]
    return pitch, times[0], times[1] if len(times) == 2 else None  # type: ignore[return-value]


def _to_pitch(pitch: Any) -> Any:
    number = _to_number(pitch)
    return pitch if number is None else number


def to_melody_matrix(value: Any) -> Any:
    """Converts a melody matrix in nested lists to an array; other values are returned unchanged."""
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(row, (list, tuple)) for row in value):
        return value
    width = len(value[0])
    if width <= 3 or MELODY_BINS not in (len(value), width) or any(len(row) != width for row in value):
        return value
    return np.array(value, dtype=np.float32) if all(is_number(number) for row in value for number in row) else value


def is_note_table(value: Any) -> bool:
    """Whether `value` is `(intervals, pitches)` in either order, or an array with one note per row."""
    return _split_note_table(value) is not None


def _split_note_table(value: Any) -> list | None:
    if isinstance(value, (np.ndarray, torch.Tensor)):
        is_table = value.ndim == 2 and value.shape[1] in (2, 3) and MELODY_BINS not in value.shape
        return value.tolist() if is_table and is_number(value[:1, 0]) else None
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return None
    columns = [column.tolist() if isinstance(column, (np.ndarray, torch.Tensor)) else column for column in value]
    for intervals, pitches in (columns, columns[::-1]):
        if not isinstance(intervals, (list, tuple)) or not isinstance(pitches, (list, tuple)) or not pitches:
            continue
        if not all(isinstance(pitch, str) or is_number(pitch) for pitch in pitches):
            continue
        if len(intervals) == len(pitches) and all(
            isinstance(pair, (list, tuple)) and len(pair) == 2 and all(map(is_number, pair)) for pair in intervals
        ):
            return [(pitch, *pair) for pitch, pair in zip(pitches, intervals)]
    return None


def notes_from_items(melody: Any, duration: float) -> tuple[Any, list[int]]:
    r"""
    Converts a melody in memory to `[(pitch, start, end), ...]`.

    Args:
        melody:
            A list, an array or a data frame of notes, or `(intervals, pitches)`. A note is `(pitch, start, end)`;
            `(pitch, start)`, which lasts until the next note or the end of the music; or a dictionary or an object
            with a pitch (`pitch`, `note`, `midi`), a start (`start`, `time`, `onset`, ...) and, optionally, an end or
            a `duration`. The pitch may also be the last value. Numbers may be of any type or text; a pitch of `None`,
            `"-"` or `"rest"` is a rest.
        duration (`float`): duration of the music in seconds.

    Returns:
        `tuple` of the `list` of `(pitch, start, end)`, and the position of each in `melody`. Elements that are not
        notes are left unchanged for the error message of [`~controls.melody.melody_from_notes`]; so are values that
        are not lists.

    Raises:
        [`InputError`]: if the value is a single note instead of a list, or notes without ends are not sorted (with the
            position).
    """
    melody = to_list(melody)
    table = _split_note_table(melody)
    melody = melody if table is None else table
    if is_note_item(melody):
        raise InputError(
            f"`melody` has to be a list of notes, such as [('C4', 0.0, 0.5), ('E4', 0.5, 1.0)], but is a single note:"
            f" {shorten(melody)}. Put it in a list.",
            "melody",
        )
    if not isinstance(melody, (list, tuple)):
        return melody, []
    melody = _pitches_first(melody)
    parsed = [_to_note(item) for item in melody]
    # A list in which only some notes have ends is probably a mistake.
    rows = {len(item) for item in melody if isinstance(item, (list, tuple)) and not _has_fields(item)}
    notes: list[Any] = []
    positions: list[int] = []
    for position, (item, note) in enumerate(zip(melody, parsed)):
        if note is None or (note[2] is None and len(rows) > 1):
            notes.append(item)
        else:
            pitch, start, end = note
            if pitch is None or (isinstance(pitch, str) and pitch.strip().lower() in _RESTS):
                continue
            notes.append((pitch, start, _next_start(parsed, position, duration) if end is None else end))
        positions.append(position)
    return notes, positions


def _next_start(notes: Sequence[tuple[Any, float, float | None] | None], position: int, duration: float) -> float:
    """The end of a note that has only a start."""
    start = notes[position][1]  # type: ignore[index]
    following = notes[position + 1] if position + 1 < len(notes) else None
    if following is None:
        return duration if start < duration else start + 1
    if not following[1] > start:
        raise InputError(
            f"`melody`: note {position + 1} has to start after the previous one ({start:g} s), but starts at"
            f" {following[1]:g} s. Two values are (pitch, start in seconds), and each note lasts until the next one;"
            " notes with an end are (pitch, start, end).",
            "melody",
            position + 1,
        )
    return following[1]


def _pitches_first(melody: Sequence[Any]) -> Sequence[Any]:
    """Moves the pitch to the front if all notes are rows of numbers with the pitch in the last column."""
    rows = [_as_sequence(item) for item in melody]
    if not rows or any(row is None or not all(is_number(value) for value in row) for row in rows):
        return melody
    numbers: list[list[Any]] = [[_to_number(value) for value in row] for row in rows]  # type: ignore[union-attr]
    if {len(row) for row in numbers} not in ({2}, {3}):
        return melody
    first, last = [row[0] for row in numbers], [row[-1] for row in numbers]

    def are_pitches(values: Sequence[Any]) -> bool:
        return all(_LOWEST_PITCH <= value <= _HIGHEST_PITCH and value == int(value) for value in values)

    if not are_pitches(last) or are_pitches(first):
        return melody
    if not (min(first) < _AUDIBLE or any(value % 1 for value in first)):
        return melody
    in_order = all(earlier < later for earlier, later in zip(first, first[1:])) if len(numbers[0]) == 2 else True
    if not in_order or any(row[0] >= row[1] for row in numbers if len(row) == 3):
        return melody
    logger.warning(f"`melody`: the last number of each note is used as its pitch, as in {shorten(melody[0])}.")
    return [(row[-1], *row[:-1]) for row in numbers]
