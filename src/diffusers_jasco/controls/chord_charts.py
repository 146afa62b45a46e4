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

"""Chord charts with times: the formats of the McGill Billboard and Jazz Audio-Aligned Harmony datasets."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..utils.errors import InputError, shorten
from .chord_bars import place_bars, split_bars
from .chord_labels import NO_CHORD
from .chord_timeline import Chords


_LINE = re.compile(r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s+(.*)")
_METER = re.compile(r"\(?(\d{1,2})/(\d{1,2})\)?")
_HEADER = re.compile(r"#\s*metre:\s*(\d{1,2})/(\d{1,2})", re.IGNORECASE)
# A bar with an unannotated rhythm, and a pause without a beat.
_UNKNOWN_BAR = "*"
_PAUSE = "&pause"
_MAX_REPEATS = 64
# A line next to silence that is longer than its bars by this factor is partly silent.
_LONGER = 1.1


def is_salami(text: str) -> bool:
    """
    Whether a text has the format of McGill Billboard's `salami_chords.txt`: lines with a time and chords in bars.
    """
    lines = [line for line in re.split(r"[\r\n]+", text) if line and not line.startswith("#")]
    return any(re.match(r"\d[\d.eE+-]*\s+[^|\t]*\|", line) for line in lines)


def chords_from_salami(text: str, name: str) -> Chords:
    r"""
    Reads chords in the format of McGill Billboard's `salami_chords.txt`. The bars of a line divide the time until the
    next line in proportion to their meter, and the chords of a bar divide it equally.

    Args:
        text (`str`): the annotation.
        name (`str`): name of the file for error messages.

    Raises:
        [`InputError`]: if a line is invalid; the message contains its number.
    """
    lines = [
        (number, start, *_read_bars(content, meter, number, name))
        for number, start, content, meter in _read_lines(text, name)
    ]
    times = [start for _, start, *_ in lines]
    pace = _pace(times, [sum(quarters) for *_, quarters in lines])
    chords: Chords = []
    for index, (number, start, bars, quarters) in enumerate(lines):
        end = times[index + 1] if index + 1 < len(lines) else start + pace * sum(quarters)
        if not bars:
            chords.append((NO_CHORD, start))
            continue
        # Music after a silent line may start late, and music before a silent line may end early.
        length = pace * sum(quarters)
        if end - start > _LONGER * length:
            if index + 1 < len(lines) and not lines[index + 1][2]:
                end = start + length
            elif index == 0 or not lines[index - 1][2]:
                chords.append((NO_CHORD, start))
                start = end - length
        bounds = start + (end - start) * np.concatenate([[0.0], np.cumsum(quarters)]) / sum(quarters)
        if bars[0][0] == "." and chords:
            bars[0][0] = chords[-1][0]
        chords += _place(bars, bounds, number, name)
        if index + 1 < len(lines) and end < times[index + 1]:
            chords.append((NO_CHORD, float(end)))
    return _merge(chords)


def _pace(times: list[float], quarters: list[float]) -> float:
    """
    The duration of a quarter note in seconds: the median over lines that are not next to silence, or over all lines.
    """
    paces = [(later - start) / max(length, 1e-9) for start, later, length in zip(times, times[1:], quarters)]
    has_bars = [length > 0 for length in quarters]
    inside = [all(has_bars[max(index - 1, 0) : index + 2]) and index > 0 for index in range(len(paces))]
    for chosen in (inside, has_bars):
        kept = [pace for pace, is_kept in zip(paces, chosen) if is_kept and pace > 0]
        if kept:
            return float(np.median(kept))
    return 0.5


def _read_lines(text: str, name: str) -> Iterator[tuple[int, float, str, float]]:
    """Yields the number, the start, the content and the meter (quarter notes per bar) of each line with a time."""
    meter = 4.0
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        line = line.strip()
        if header := _HEADER.match(line):
            meter = _quarters(header, number, name)
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise InputError(
                f"`chords`: line {number} of {name} has to start with a time, as in '12.5 A, intro, | C:maj | G:7 |',"
                f" but is {shorten(line)}.",
                "chords",
            )
        yield number, float(match[1]), match[2], meter


def _quarters(meter: re.Match, number: int, name: str) -> float:
    if not (int(meter[1]) and int(meter[2])):
        raise InputError(f"`chords`: line {number} of {name}: {meter[0]} is not a meter.", "chords")
    return int(meter[1]) * 4 / int(meter[2])


def _read_bars(content: str, meter: float, number: int, name: str) -> tuple[list[list[str]], list[float]]:
    """The tokens of each bar and the length of each bar in quarter notes."""
    if "|" not in content:
        return [], []
    first, last = content.index("|"), content.rindex("|")
    bars, quarters = [], []
    for cell in content[first + 1 : last].split("|"):
        words, length = cell.split(), meter
        if words and words[0].startswith("(") and (change := _METER.fullmatch(words[0])):
            length = _quarters(change, number, name)
            words = words[1:]
        words = [NO_CHORD if word in (_UNKNOWN_BAR, _PAUSE) else word for word in words]
        bars.append(words or ["."])
        quarters.append(length)
    repeats = re.match(r"\s*x\s*(\d{1,3})\b", content[last + 1 :])
    times = min(max(int(repeats[1]), 1), _MAX_REPEATS) if repeats else 1
    return [list(bar) for _ in range(times) for bar in bars], quarters * times


def chords_from_jaah(content: dict[str, Any], name: str) -> Chords:
    r"""
    Reads an annotation of the Jazz Audio-Aligned Harmony dataset: parts with beat times and chords in bars.

    Args:
        content (`dict`): the content of the JSON file.
        name (`str`): name of the file for error messages.

    Raises:
        [`InputError`]: if a part has no beats or no chords.
    """
    try:
        chords = list(_read_parts(content, str(content.get("metre", "4/4")), name, depth=0))
    except InputError:
        raise
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise InputError(
            f"`chords`: {name} has a part without beat times ('beats') or bars of chords ('chords').", "chords"
        ) from error
    return _merge(chords)


def _read_parts(part: dict[str, Any], meter: str, name: str, depth: int) -> Iterator[tuple[str, float]]:
    meter = str(part.get("metre", meter))
    if depth > 20:
        raise InputError(f"`chords`: {name} has more than 20 levels of nested parts.", "chords")
    if "parts" in part:
        for inner in part["parts"]:
            yield from _read_parts(inner, meter, name, depth + 1)
        return
    beats = [float(beat) for beat in part["beats"]]
    lines = part["chords"]
    bars = [bar for line in ([lines] if isinstance(lines, str) else lines) for bar in split_bars(line)]
    match = _METER.fullmatch(meter)
    if not beats or not bars or match is None or not int(match[1]):
        raise InputError(f"`chords`: {name} has a part without beats, chords or a meter such as '4/4'.", "chords")
    per_bar = int(match[1])
    # Extrapolate the end of the last beat.
    beats.append(2 * beats[-1] - beats[-2] if len(beats) > 1 else beats[-1] + 0.5)
    bounds = np.interp(np.arange(len(bars) + 1) * per_bar, np.arange(len(beats)), beats)
    yield from _place([bar or ["."] for bar in bars], bounds, None, name)


def _place(bars: list[list[str]], bounds: np.ndarray, number: int | None, name: str) -> Chords:
    def to_seconds(position: float) -> float:
        bar = min(int(position), len(bounds) - 2)
        return float(bounds[bar] + (position - bar) * (bounds[bar + 1] - bounds[bar]))

    try:
        chords = place_bars(bars, to_seconds)
    except InputError as error:
        where = name if number is None else f"line {number} of {name}"
        raise InputError(f"`chords`: {where}: {str(error).removeprefix('`chords`: ')}", "chords") from None
    return chords


def _merge(chords: Chords) -> Chords:
    """Removes chords with the same label as the previous one."""
    return [chord for chord, previous in zip(chords, [None, *chords]) if previous is None or chord[0] != previous[0]]
