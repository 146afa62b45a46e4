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

"""Chord charts in bar notation: `"C | Am | F G | %"`."""

import re
from collections.abc import Callable

from ..utils.errors import InputError, shorten
from ..utils.numbers import to_float, to_integer
from .beats import FASTEST, SLOWEST
from .chord_timeline import Chords, repeat_chords


_REPEAT_SIGN = re.compile(r":\s*\|+\s*$")
_REPEAT_START = re.compile(r"^\s*\|+\s*:")
_INNER_REPEAT_SIGN = re.compile(r":\s*\||\|\s*:")


def has_repeat_sign(text: str) -> bool:
    """Whether bar notation ends with a repeat sign: `"C | Am :|"`."""
    return _REPEAT_SIGN.search(text) is not None


def without_repeat_signs(text: str) -> str:
    """Removes the repeat signs at the beginning and at the end of bar notation."""
    return _REPEAT_START.sub("", _REPEAT_SIGN.sub("", text))


def split_bars(text: str) -> list[list[str]]:
    """
    Splits bar notation into the tokens of each bar, without repeat signs.

    Raises:
        [`InputError`]: for repeat signs that are not at the end, such as those of voltas.
    """
    text = without_repeat_signs(str(text))
    if _INNER_REPEAT_SIGN.search(text):
        raise InputError(
            "`chords` can only have a repeat sign ':|' at the end, which repeats all bars, but have one before it:"
            f" {shorten(text.strip())}. Write out the repeated bars.",
            "chords",
        )
    text = re.sub(r"\|+", "|", text.strip()).strip("|")
    return [bar.split() for bar in text.split("|")] if text.strip() else []


def lay_out_bars(bars: list[list[str]], bpm: float, beats_per_bar: int, duration: float | None) -> Chords:
    """Places bars at a constant tempo, once or repeated until `duration` seconds."""
    bpm = to_float(bpm, "bpm", minimum=SLOWEST, maximum=FASTEST, unit="beats per minute")
    seconds = to_integer(beats_per_bar, "beats_per_bar", minimum=1, maximum=64) * 60 / bpm
    chords = place_bars(bars, lambda position: position * seconds)
    return chords if duration is None or not chords else repeat_chords(chords, duration, len(bars) * seconds)


def place_bars(bars: list[list[str]], to_seconds: Callable[[float], float]) -> Chords:
    r"""
    Converts bars to chords with start times. The tokens of a bar, each a chord or `.` to hold the previous chord,
    divide it equally. A bar that consists of `%` repeats the previous bar.

    Args:
        bars (`list[list[str]]`): the tokens of each bar.
        to_seconds (`Callable`): converts a position in bars, counted from 0, to seconds.

    Raises:
        [`InputError`]: if a bar is empty, or a `.` or `%` has nothing before it.
    """
    chords: Chords = []
    previous = None
    for number, bar in enumerate(bars):
        if not bar:
            raise InputError(
                f"`chords`: bar {number + 1} is empty. Write '%' to repeat the previous bar, or 'N' for no chord.",
                "chords",
            )
        if bar == ["%"]:
            if previous is None:
                raise InputError("`chords`: '%' in the first bar has no previous bar to repeat.", "chords")
            bar = previous
        for position, word in enumerate(bar):
            if word != ".":
                chords.append((word, to_seconds(number + position / len(bar))))
            elif not chords:
                raise InputError("`chords`: '.' at the beginning has no previous chord to hold.", "chords")
        previous = bar
    return chords
