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

"""Chords with start times as text: `"C:0 Am:2.5"`, `"(C, 0.0), (Am, 2.5)"`."""

import re

from ..utils.errors import InputError, shorten
from .chord_timeline import Chords


def chords_from_text(text: str) -> Chords:
    r"""
    Reads chords with their starts in seconds: `"C:0 Am:2.5 F:5 | G:7.5"`. Bar lines are ignored.

    Raises:
        [`InputError`]: if a chord has no start; the message contains its position.
    """
    chords = []
    for position, word in enumerate(re.split(r"[\s|]+", text.strip(" \t\r\n|"))):
        if not word:
            continue
        label, _, start = word.rstrip(",;").rpartition(":")
        try:
            chords.append((label, float(start)))
        except ValueError:
            raise InputError(
                f"`chords`: position {position}: {shorten(word)} has no start in seconds, as in 'C:0 Am:2.5'. Chords"
                " in bars need a tempo: set `bpm`; for Roman numerals, use chords_from_roman.",
                "chords",
                position,
            ) from None
    return chords


def chords_to_text(chords: Chords) -> str:
    """Writes a progression in the format of [`chords_from_text`]."""
    return " ".join(f"{label}:{start!r}" for label, start in chords)


def chords_from_tuples(text: str) -> Chords:
    r"""
    Reads chords in the format of AudioCraft's demo: `"(C, 0.0), (D, 2.0)"`, with or without brackets and quotes.

    Raises:
        [`InputError`]: if the text is invalid; the message contains the position.
    """
    body = text.strip().removeprefix("[").removesuffix("]").strip().rstrip(",").rstrip()
    if body.startswith("["):
        body = body.replace("[", "(").replace("]", ")")
    if not body:
        return []
    if not (body.startswith("(") and body.endswith(")")):
        raise InputError(
            f"`chords`: text has to have the form '(C, 0.0), (D, 2.0)', but is {shorten(text)}.", "chords"
        )
    chords = []
    for position, item in enumerate(re.split(r"\)\s*,\s*\(", body[1:-1])):
        label, _, start = item.rpartition(",")
        try:
            chords.append((label.strip().strip("'\""), float(start)))
        except ValueError:
            raise InputError(
                f"`chords`: position {position} has to be (chord, seconds), but is ({shorten(item)}).",
                "chords",
                position,
            ) from None
    return chords
