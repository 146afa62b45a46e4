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

"""Chords in bars: `"C | Am | F G | %"`."""

import re
from collections.abc import Callable

from ..utils.errors import InputError
from ..utils.numbers import to_float, to_integer
from .chord_timeline import Chords, repeat_chords


def split_bars(text: str) -> list[list[str]]:
    """The words of each bar."""
    text = re.sub(r"\|+", "|", str(text).strip()).strip("|")
    return [bar.split() for bar in text.split("|")] if text.strip() else []


def lay_out_bars(bars: list[list[str]], bpm: float, beats_per_bar: int, duration: float | None) -> Chords:
    """Chords in bars of one tempo, once or repeated until `duration` seconds."""
    bpm = to_float(bpm, "bpm", minimum=1, maximum=1000)
    seconds = to_integer(beats_per_bar, "beats_per_bar", minimum=1, maximum=64) * 60 / bpm
    chords = place_bars(bars, lambda position: position * seconds)
    return chords if duration is None or not chords else repeat_chords(chords, duration, len(bars) * seconds)


def place_bars(bars: list[list[str]], to_seconds: Callable[[float], float]) -> Chords:
    r"""
    The chords of bars. Those of one bar share it equally; `.` holds the chord before for one more share; a bar with nothing
    but `%` repeats the bar before.

    Args:
        bars (`list[list[str]]`): the words of each bar.
        to_seconds (`Callable`): seconds of a position in bars, from 0.

    Raises:
        [`InputError`]: for an empty bar, and for a `.` or `%` with nothing before it.
    """
    chords: Chords = []
    before = None
    for number, bar in enumerate(bars):
        if not bar:
            raise InputError(
                f"`chords`: bar {number + 1} is empty. Write '%' to repeat the bar before, or 'N' for no chord.",
                "chords",
            )
        if bar == ["%"]:
            if before is None:
                raise InputError("`chords`: there is no bar before the first for '%' to repeat.", "chords")
            bar = before
        for position, word in enumerate(bar):
            if word != ".":
                chords.append((word, to_seconds(number + position / len(bar))))
            elif not chords:
                raise InputError("`chords`: there is no chord before the first for '.' to hold.", "chords")
        before = bar
    return chords
