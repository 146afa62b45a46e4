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

"""Divides timelines of chords, notes and drum hits into bars."""

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction

from ...utils.errors import InputError
from .bars import Bar, ChordMark, Hit, Note, TempoMark, TimeSignature


def bars_from_timeline(
    chords: Sequence[tuple[str, Fraction]] = (),
    melody: Sequence[tuple[int, Fraction, Fraction]] = (),
    hits: Sequence[tuple[str, Fraction, float]] = (),
    length: Fraction | None = None,
    time_signatures: Sequence[tuple[Fraction, TimeSignature]] = ((Fraction(0), TimeSignature(4, 4)),),
    pickup: Fraction = Fraction(0),
    tempos: Sequence[tuple[Fraction, float, Fraction]] = (),
) -> tuple[Bar, ...]:
    r"""
    Divides a piece into bars. Positions are in quarter notes from the beginning.

    Args:
        chords: `(label, start)`.
        melody: `(MIDI number, start, end)`; notes are split at bar lines and tied.
        hits: `(drum, start, velocity)`.
        length (`Fraction`, *optional*): end of the piece; by default that of the last event. The last bar is whole.
        time_signatures: `(start, time signature)`, sorted; the first one starts at 0. A change within a bar ends the bar.
        pickup (`Fraction`, defaults to 0): length of the first bar if it is a pick-up.
        tempos: changes `(start, bpm, unit)` after the beginning.

    Returns:
        `tuple` of [`Bar`]. Time signatures after the first one are written into the bars where they begin.

    Raises:
        [`InputError`]: if the piece is empty.
    """
    end = length
    if end is None:
        starts = [start for _, start in chords] + [start for _, start, _ in hits]
        end = max([*(last for _, _, last in melody), *(start + Fraction(1, 4) for start in starts)], default=None)
    if end is None or end <= 0:
        raise InputError("The lead sheet is empty: it has no chord, no note and no drum hit.", "sections")
    lines, signatures = _bar_lines(end, time_signatures, pickup)
    bars = [{"length": last - first} for first, last in zip(lines, lines[1:])]
    chord_rows: list[list[ChordMark]] = [[] for _ in bars]
    hit_rows: list[list[Hit]] = [[] for _ in bars]
    tempo_rows: list[list[TempoMark]] = [[] for _ in bars]

    def locate(start: Fraction) -> tuple[int, Fraction]:
        index = min(bisect_right(lines, start) - 1, len(bars) - 1)
        return index, start - lines[index]

    for label, start in sorted(chords, key=lambda chord: chord[1]):
        index, position = locate(start)
        if start < end:
            chord_rows[index].append(ChordMark(label, position))
    for drum, start, velocity in sorted(hits, key=lambda hit: hit[1]):
        index, position = locate(start)
        if start < end:
            hit_rows[index].append(Hit(drum, position, velocity))
    for start, bpm, unit in tempos:
        index, position = locate(start)
        if start < end:
            tempo_rows[index].append(TempoMark(bpm, unit, position))
    note_rows = split_notes(melody, lines)
    return tuple(
        Bar(
            bar["length"],
            tuple(chord_rows[index]),
            tuple(note_rows[index]),
            tuple(hit_rows[index]),
            tuple(tempo_rows[index]),
            signatures.get(index),
        )  # fmt: skip
        for index, bar in enumerate(bars)
    )


def split_notes(melody: Sequence[tuple[int, Fraction, Fraction]], lines: Sequence[Fraction]) -> list[list[Note]]:
    r"""
    Splits notes at bar lines.

    Args:
        melody: `(MIDI number, start, end)` in quarter notes.
        lines (`Sequence[Fraction]`): the beginning of each bar, and the end of the last one.

    Returns:
        `list` with the notes of each bar, tied to their continuation. Notes are cut at the last bar line.
    """
    rows: list[list[Note]] = [[] for _ in lines[1:]]
    for pitch, start, end in sorted(melody, key=lambda note: note[1]):
        index = bisect_right(lines, start) - 1
        while index < len(rows) and start < end:
            last = min(end, lines[index + 1])
            tied = last < end and index + 1 < len(rows)
            rows[index].append(Note(pitch, start - lines[index], last - start, tied))
            start, index = last, index + 1
    return [sorted(row, key=lambda note: note.start) for row in rows]


def _bar_lines(
    end: Fraction, time_signatures: Sequence[tuple[Fraction, TimeSignature]], pickup: Fraction
) -> tuple[list[Fraction], dict[int, TimeSignature]]:
    """The bar lines, and the time signatures that begin in bars after the first one."""
    lines = [Fraction(0)]
    if pickup:
        lines.append(Fraction(pickup))
    changes: dict[int, TimeSignature] = {}
    for number, (start, signature) in enumerate(time_signatures):
        until = time_signatures[number + 1][0] if number + 1 < len(time_signatures) else None
        if number and start < end:
            if start > lines[-1]:
                lines.append(start)
            changes[len(lines) - 1] = signature
        while lines[-1] < end and (until is None or lines[-1] < until):
            following = lines[-1] + signature.length
            lines.append(following if until is None else min(following, until))
    return lines, {index: signature for index, signature in changes.items() if index < len(lines) - 1}
