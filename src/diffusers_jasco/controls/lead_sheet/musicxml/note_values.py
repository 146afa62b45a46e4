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


"""Writes lengths as note values with dots and tuplets."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import lcm
from typing import NamedTuple


_NAMES = ("breve", "whole", "half", "quarter", "eighth", "16th", "32nd", "64th", "128th", "256th", "512th", "1024th")
_LONGEST = 8  # quarter notes of a breve
_SHORTEST = Fraction(1, 256)
_MAX_TUPLET = 63
_LONGEST_TUPLET = 3  # as a power of two: 8 quarter notes
_SHORTEST_TUPLET = -8


class NoteValue(NamedTuple):
    r"""
    A note value at a position.

    Args:
        start, length (`Fraction`): quarter notes.
        name (`str`): such as `"quarter"`; empty if the length can't be written as one.
        dots (`int`): number of dots.
        actual, normal (`int`): `actual` notes in the time of `normal`; 1 and 1 outside tuplets.
        tuplet (`str`): `"start"` or `"stop"` for the first and the last value of a tuplet, `"both"` for a single one.
    """

    start: Fraction
    length: Fraction
    name: str = ""
    dots: int = 0
    actual: int = 1
    normal: int = 1
    tuplet: str = ""


def to_note_values(spans: Sequence[tuple[Fraction, Fraction]]) -> list[list[NoteValue]]:
    r"""
    Divides notes and rests into note values, which have to be tied.

    Args:
        spans: `(start, end)` of successive notes and rests, without gaps.

    Returns:
        `list` with the note values of each span.
    """
    points = sorted({point for span in spans for point in span})
    groups = _find_tuplets(points)
    bounds = sorted({edge for first, last, _ in groups for edge in (first, last)})
    rows: list[list[NoteValue]] = []
    for start, end in spans:
        edges = [start, *(edge for edge in bounds if start < edge < end), end]
        row: list[NoteValue] = []
        for first, last in pairwise(edges):
            tuplet = next((item for item in groups if item[0] <= first and last <= item[1]), None)
            row.extend(_divide(first, last, tuplet[2] if tuplet else 1))
        rows.append(row)
    return _mark_tuplets(rows, groups)


def split_value(length: Fraction) -> tuple[str, int] | None:
    """The name and the number of dots of a length in quarter notes, or `None` if it is not a single note value."""
    for dots in range(3):
        value = length / (2 - Fraction(1, 2**dots))
        ratio = _LONGEST / value
        if ratio.denominator == 1 and ratio.numerator & (ratio.numerator - 1) == 0:
            index = ratio.numerator.bit_length() - 1
            if index < len(_NAMES):
                return _NAMES[index], dots
    return None


def _odd(number: int) -> int:
    while number % 2 == 0:
        number //= 2
    return number


def _find_tuplets(points: Sequence[Fraction]) -> list[tuple[Fraction, Fraction, int]]:
    """Tuplets as `(start, end, actual notes)`; each contains positions that are not binary fractions."""
    groups: list[tuple[Fraction, Fraction, int]] = []
    end = points[-1]
    for point in points:
        if _odd(point.denominator) == 1 or (groups and groups[-1][0] < point < groups[-1][1]):
            continue

        def cost(size: Fraction, point: Fraction = point) -> tuple[int, Fraction]:
            first = point // size * size
            edges = {first, min(first + size, end)}
            # Notes that sound across an edge have to be split there.
            return len(edges - set(points)), size

        # A shorter tuplet would have edges between the multiples of the position's own unit.
        smallest = -((point.denominator // _odd(point.denominator)).bit_length() - 1)
        if smallest < _SHORTEST_TUPLET:
            continue
        size = min((Fraction(2) ** power for power in range(smallest, _LONGEST_TUPLET + 1)), key=cost)
        first = point // size * size
        last = first + size
        if groups and first < groups[-1][1]:
            first = groups.pop()[0]
        groups.append((first, last, 1))
    return [
        (first, last, lcm(*(_odd(point.denominator) for point in points if first < point < last)))
        for first, last, _ in groups
    ]


def _divide(start: Fraction, end: Fraction, actual: int) -> list[NoteValue]:
    """Note values from `start` to `end`, the shorter ones first if `start` is not on a beat."""
    if actual > _MAX_TUPLET:
        return [NoteValue(start, end - start)]
    normal = 1 << (actual.bit_length() - 1)
    scale = Fraction(actual, normal)
    lengths: list[Fraction] = []
    remaining = (end - start) * scale
    while remaining >= _SHORTEST:
        value = _largest(remaining)
        lengths.append(value)
        remaining -= value
    if remaining:
        return [NoteValue(start, end - start)]
    if start.denominator > 1:
        lengths.reverse()
    values = []
    for length in lengths:
        name, dots = split_value(length) or ("", 0)
        values.append(NoteValue(start, length / scale, name, dots, actual, normal))
        start += length / scale
    return values


def _largest(length: Fraction) -> Fraction:
    """The largest note value with at most one dot that is not longer than `length`."""
    value = Fraction(_LONGEST)
    while value > length:
        value /= 2
    return value * Fraction(3, 2) if value * Fraction(3, 2) <= length and value > _SHORTEST else value


def _mark_tuplets(
    rows: list[list[NoteValue]], groups: Sequence[tuple[Fraction, Fraction, int]]
) -> list[list[NoteValue]]:
    for first, last, actual in groups:
        places = [
            (row, index)
            for row in rows
            for index, value in enumerate(row)
            if first <= value.start < last and value.actual == actual and value.name and actual > 1
        ]
        if places:
            row, index = places[0]
            row[index] = row[index]._replace(tuplet="start")
            row, index = places[-1]
            row[index] = row[index]._replace(tuplet="both" if row[index].tuplet else "stop")
    return rows
