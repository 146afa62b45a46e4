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

"""Form of ABC tunes: repeats without a beginning, endings, coda signs, sections and the order of parts."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate, groupby

from ..bars import MAX_REPEATS, Bar, ChordMark, Section, TempoMark, TimeSignature
from .header import Meter
from .voice import Draft


def complete_repeats(bars: Sequence[Draft], sections: Sequence[int]):
    r"""
    Marks where repeated passages without `|:` begin: at the beginning of the tune, and later after the last repeat sign,
    double bar line or beginning of a section.

    Args:
        bars (`Sequence` of [`Draft`]): the bars of a voice, which are changed.
        sections (`Sequence[int]`): indices of the bars where sections begin.
    """
    start: int | None = None  # of the passage, if it is written
    fresh = 0  # where it begins otherwise
    repeated = False
    group: list[tuple[int, tuple[int, ...]]] = []  # beginnings and numbers of the endings of the passage
    for index, bar in enumerate(bars):
        if bar.repeat_start:
            start, group = index, []
        elif start is None and repeated and not group and (bar.after_double or index in sections):
            fresh = index
        if bar.endings:
            if 1 in bar.endings and any(1 in numbers for _, numbers in group):
                group = []
                start = None if start is not None and start < fresh else start
            group.append((index, bar.endings))
        following = bars[index + 1] if index + 1 < len(bars) else None
        if bar.ending_stop and group and not bar.repeat_end:
            if 1 in group[-1][1] and _is_closed_later(bars, index):
                bar.ending_stop = False  # a double bar line within the first ending
            else:
                start, fresh, group = None, index + 1, []
                repeated = True
        if not bar.repeat_end:
            continue
        repeated = True
        begin = fresh if start is None else start
        continues = following is not None and bool(following.endings)
        if group and not continues and len(group) > 1:
            first, last = group[0][0], group[-1][0]
            length = group[1][0] - first
            if index - last + 1 > length:
                # The last ending is followed by another repeated passage.
                bars[last + length - 1].ending_stop = True
                bars[last + length].repeat_start = True
        elif begin < len(bars):
            bars[begin].repeat_start = bars[begin].repeat_start or begin > 0
        if not continues:
            start, fresh, group = None, index + 1, []
        elif start is None:
            start = begin
    _count_repeats(bars)


def _count_repeats(bars: Sequence[Draft]):
    """Sets how many times passages with endings are played from the numbers of these."""
    signs: list[Draft] = []
    numbers: set[int] = set()
    in_ending = False
    for bar in [*bars, Draft(repeat_start=True)]:
        if bar.repeat_start or (1 in bar.endings and max(numbers, default=1) > 1):
            for sign in signs:
                sign.repeat_end = min(max([sign.repeat_end, *numbers]), MAX_REPEATS)
            signs, numbers = [], set()
        if bar.endings:
            in_ending = True
            numbers.update(bar.endings)
        elif not in_ending and numbers and bar.repeat_end:
            signs, numbers = [], set()
        if bar.repeat_end and in_ending:
            signs.append(bar)
        if bar.repeat_end or bar.ending_stop:
            in_ending = False


def _is_closed_later(bars: Sequence[Draft], index: int) -> bool:
    """Whether a repeat sign before the next ending or repeated passage closes the ending around a bar."""
    for bar in bars[index + 1 :]:
        if bar.endings or bar.repeat_start:
            return False
        if bar.repeat_end:
            return True
    return False


def complete_codas(bars: Sequence[Draft]):
    """Of two coda signs without `!dacoda!`, the first one means "to coda"."""
    if any(bar.to_coda for bar in bars):
        for bar in bars:
            bar.coda = bar.coda or bar.coda_inside
        return
    marked = [index for index, bar in enumerate(bars) if bar.coda or bar.coda_inside]
    for index in marked[:-1]:
        bar = bars[index]
        target = bar if bar.coda_inside or not index else bars[index - 1]
        target.to_coda = True
        bar.coda = False
    if marked:
        last = bars[marked[-1]]
        last.coda = last.coda or last.coda_inside


def find_uneven_bars(bars: Sequence[Draft], meter: Meter) -> list[str]:
    r"""
    Finds bars that don't have the length of the meter, except short ones at the beginning and the end of the tune, next to
    repeat signs, double bar lines and endings, and pairs of short ones that form a bar.

    Args:
        bars (`Sequence` of [`Draft`]): the bars of a voice.
        meter ([`Meter`]): the meter at the beginning.

    Returns:
        `list[str]`: their numbers, lines and lengths.
    """
    found = []
    is_complement = False  # whether the bar completes the one before
    for index, bar in enumerate(bars):
        meter = bar.meter or meter
        following = bars[index + 1] if index + 1 < len(bars) else None
        length = meter.length
        if meter.signature is None or bar.length == length or is_complement:
            is_complement = False
            continue
        if bar.length < length:
            if not index or following is None or _is_edge(bar, bar) or _is_edge(bar, following):
                continue
            is_complement = following.meter is None and bar.length + following.length == length
            if is_complement:
                continue
        found.append(f"bar {index + 1} (line {bar.line}) with {_number(bar.length)} instead of {_number(length)}")
    return found


def _is_edge(bar: Draft, following: Draft) -> bool:
    """Whether a passage ends with a bar, or begins with the following one (or the same one)."""
    begins = following.repeat_start or bool(following.endings) or following.after_double or following.meter is not None
    return begins or bool(bar.repeat_end) or bar.ending_stop


def _number(value: Fraction) -> str:
    return str(value) if value.denominator not in (2, 4) else f"{float(value):g}"


def to_sections(
    bars: Sequence[Bar],
    marks: Sequence[tuple[int, str]],
    order: Sequence[str],
    state: tuple[str, TimeSignature, TempoMark],
) -> tuple[Section, ...]:
    r"""
    Divides bars into sections.

    Args:
        bars (`Sequence` of [`Bar`]): the bars.
        marks: `(index of the first bar, name)` of each section.
        order (`Sequence[str]`): names in the order in which they are played; empty: as written. Names of one letter may
            be followed by text.
        state: key, time signature and tempo at the beginning.

    Returns:
        `tuple` of [`Section`]: in the given order, with what applies at their beginnings.
    """
    marks = [(index, name) for index, name in marks if index < len(bars)]
    if not marks or marks[0][0] > 0:
        marks = [(0, ""), *marks]
    ends = [index for index, _ in marks[1:]] + [len(bars)]
    sections = [Section(name, tuple(bars[index:end])) for (index, name), end in zip(marks, ends)]
    by_name = {section.name[:1]: number for number, section in reversed(list(enumerate(sections))) if section.name}
    numbers = [by_name[name] for name in order if name in by_name]
    if not numbers:
        return tuple(sections)
    if not sections[0].name:
        numbers = [0, *numbers]  # an introduction before the first part
    states = list(accumulate(bars, _advance, initial=state))
    result: list[Section] = []
    previous: tuple[str, TimeSignature, TempoMark] = state
    for number, group in groupby(numbers):
        section = sections[number]
        count = len(list(group))
        begin = states[marks[number][0]]
        final = states[ends[number]]
        if count > 1 and final != begin:
            copies = [_enter(section, begin, previous if not copy else final) for copy in range(count)]
        else:
            copies = [replace(_enter(section, begin, previous), repeats=count)]
        result.extend(copies)
        previous = final
    return tuple(result)


def _advance(state: tuple[str, TimeSignature, TempoMark], bar: Bar) -> tuple[str, TimeSignature, TempoMark]:
    key, signature, tempo = state
    last = bar.tempos[-1]._replace(start=Fraction(0)) if bar.tempos else tempo
    return bar.key or key, bar.time_signature or signature, last


def _enter(section: Section, state: tuple[str, TimeSignature, TempoMark], previous: tuple) -> Section:
    """A section whose first bar has what applies there, where it differs from what applied before."""
    first = section.bars[0]
    key, signature, tempo = state
    if not first.key and key and key != previous[0]:
        first = replace(first, key=key)
    if not first.time_signature and signature != previous[1]:
        first = replace(first, time_signature=signature)
    if not (first.tempos and not first.tempos[0].start) and tempo != previous[2]:
        first = replace(first, tempos=(tempo, *first.tempos))
    return replace(section, bars=(first, *section.bars[1:]))


def merge_chords(bars: Sequence[Bar], others: Sequence[Bar]) -> list[Bar]:
    """Adds the chords of another voice at their positions."""
    starts = list(accumulate((bar.length for bar in bars), initial=Fraction(0)))
    other_starts = accumulate((bar.length for bar in others), initial=Fraction(0))
    rows: list[list[ChordMark]] = [[] for _ in bars]
    for start, bar in zip(other_starts, others):
        for chord in bar.chords:
            position = start + chord.start
            if position < starts[-1]:
                index = bisect_right(starts, position) - 1
                rows[index].append(ChordMark(chord.label, position - starts[index]))
    return [replace(bar, chords=tuple(row)) for bar, row in zip(bars, rows)]


def fill_rests(bars: Sequence[Bar], others: Sequence[Bar]) -> list[Bar]:
    """Takes the notes of another voice in bars without notes."""
    pairs = zip(bars, [*others, *[None] * len(bars)])
    return [
        replace(bar, notes=other.notes) if other and not bar.notes and bar.length == other.length else bar
        for bar, other in pairs
    ]
