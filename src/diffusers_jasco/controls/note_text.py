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

"""Melodies as text: `"C4 D4 E4 -"`."""

import os
import re
from fractions import Fraction

from ..utils.errors import InputError, shorten
from ..utils.numbers import to_float
from .beats import FASTEST, SLOWEST
from .melody import parse_pitch


HOLD = "-"
RESTS = (".", "r", "R")

_WORD = re.compile(r"([^:]+)(?::(\d+(?:\.\d*)?|\.\d+|\d+/\d+))?")
_PITCH = re.compile(r"[A-Ga-g][#♯b♭]*-?\d+|\d{1,3}")
_MAX_BEATS = 10_000


def is_note_text(value: object) -> bool:
    """Whether `value` is a string that starts like the notes of [`melody_from_text`] and is not the path of a file."""
    if not isinstance(value, str) or os.path.exists(value[:1000]):
        return False
    words = value.replace("|", " ").split(maxsplit=1)
    first = words[0].partition(":")[0] if words else ""
    return first in (HOLD, *RESTS) or _PITCH.fullmatch(first) is not None


def melody_from_text(text: str, bpm: float = 120.0) -> list[tuple[int, float, float]]:
    r"""
    Reads notes from text, one beat each: `"C4 D4 E4 - | G4:2 r C5:1/2 B4:1/2"`.

    - A note is a name with its octave (`C4` is middle C; also `F#4`, `Bb3`) or a MIDI number (`60`).
    - `-` holds the previous note for another beat; `.` or `r` is a rest of one beat.
    - `:2`, `:0.5` or `:1/2` after a note, a hold or a rest sets its length in beats.
    - Bar lines `|` are ignored.

    Args:
        text (`str`): the notes.
        bpm (`float`, defaults to `120`): tempo in beats per minute, from 1 to 1000.

    Returns:
        `list` of `(MIDI number, start, end)`, in seconds; a valid value for `melody`.

    Raises:
        [`InputError`]: if a word is not a note (with its position), or the tempo is invalid.
    """
    if not isinstance(text, str):
        raise InputError(f"`melody` has to be text such as 'C4 D4 E4 -', but is {shorten(text)}.", "melody")
    seconds = 60 / to_float(bpm, "bpm", minimum=SLOWEST, maximum=FASTEST, unit="beats per minute")
    notes: list[tuple[int, float, float]] = []
    position = Fraction(0)
    held = False  # whether a note sounds until `position`
    for index, word in enumerate(text.replace("|", " ").split()):
        match = _WORD.fullmatch(word)
        beats = _parse_beats(match[2]) if match else None
        if match is None or beats is None:
            raise InputError(
                f"`melody`: position {index}: {shorten(word)} is not a note such as 'C4', 'C4:2' (2 beats) or"
                " 'C4:1/2', a hold '-' or a rest '.'.",
                "melody",
                index,
            )
        start, position = position, position + beats
        if match[1] == HOLD:
            if not held:
                raise InputError(
                    f"`melody`: position {index}: this '-' has no previous note to hold.", "melody", index
                )
            pitch, begin, _ = notes.pop()
            notes.append((pitch, begin, float(position) * seconds))
        elif match[1] in RESTS:
            held = False
        else:
            pitch = parse_pitch(int(match[1]) if match[1].isdecimal() else match[1], index)
            notes.append((pitch, float(start) * seconds, float(position) * seconds))
            held = True
    if not notes:
        raise InputError(f"`melody` has no notes: {shorten(text)}.", "melody")
    return notes


def _parse_beats(text: str | None) -> Fraction | None:
    """Parses a length in beats; `None` if it is invalid."""
    try:
        beats = Fraction(text or 1)
    except (ValueError, ZeroDivisionError):
        return None
    return beats if 0 < beats <= _MAX_BEATS else None
