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

"""The order in which the bars of a lead sheet are played: repeats, endings and jumps."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import NamedTuple

from diffusers.utils import logging

from ...utils.errors import InputError, list_names
from .bars import Bar, ChordMark, Section, TempoMark, TimeSignature


logger = logging.get_logger(__name__)

MAX_BARS = 10_000


class _Played(NamedTuple):
    """A bar in playing order: its section, the repetition of the section, its position there, and its written index."""

    section: int
    repetition: int
    position: int
    written: int


class _State(NamedTuple):
    """State at the beginning of a written bar."""

    chord: str | None
    tempo: TempoMark
    time_signature: TimeSignature
    key: str


def expand_sections(
    sections: Sequence[Section], tempo: TempoMark, time_signature: TimeSignature, key: str
) -> tuple[Section, ...]:
    r"""
    Writes out repeated sections and passages, endings and jumps.

    - A passage ends with `repeat_end` and begins at the last `repeat_start`, the end of the passage before or the beginning.
    - An ending is played in the repetitions that it names; all but the last return to the beginning of the passage.
    - After a jump, repeated sections and passages are played once, with their last ending, until the coda or the bar of
      the jump.
    - Each jump is taken once.

    Bars that are never played cause a warning.

    Args:
        sections (`Sequence[Section]`): the sections in written order.
        tempo, time_signature, key: their values at the beginning.

    Returns:
        `tuple` of [`Section`], which are played from beginning to end. The chord, tempo, time signature and key are written
        into bars that don't follow the written bar before, where they differ.

    Raises:
        [`InputError`]: if more than 10,000 bars are played.
    """
    if sum(len(section.bars) * section.repeats for section in sections) > MAX_BARS:
        raise _too_long()
    written = [bar for section in sections for bar in section.bars]
    items = list(_repeat_sections(sections))
    if all(bar.is_plain for bar in written):
        order = items
    else:
        order = _Player(items, written, sections).play()
        _warn_of_unplayed_bars(len(written), {item.written for item in order})
    states = list(_states(written, _State(None, tempo, time_signature, key)))
    bars: list[tuple[_Played, Bar]] = []
    played = states[0]
    previous = -1
    for item in order:
        bar = _plain(written[item.written])
        if item.written != previous + 1:
            bar = _resume(bar, played, states[item.written])
        played = _advance(played, bar)
        bars.append((item, bar))
        previous = item.written
    return tuple(_group(sections, bars))


def _too_long() -> InputError:
    return InputError(
        f"`sections`: with their repeats, more than {MAX_BARS:,} bars are played, which is the limit.", "sections"
    )


def _repeat_sections(sections: Sequence[Section]) -> Iterator[_Played]:
    first = 0
    for number, section in enumerate(sections):
        for repetition in range(section.repeats):
            for position in range(len(section.bars)):
                yield _Played(number, repetition, position, first + position)
        first += len(section.bars)


def _warn_of_unplayed_bars(count: int, played: set[int]):
    unplayed = [str(index + 1) for index in range(count) if index not in played]
    if unplayed:
        logger.warning(f"Endings and jumps leave out some bars, which are never played: bar {list_names(unplayed)}.")


@dataclass
class _Passage:
    """A passage with its endings: `(first bar, last bar, numbers)`. Positions count bars with repeated sections."""

    start: int
    endings: list[tuple[int, int, tuple[int, ...]]] = field(default_factory=list)
    repeat: int = 1  # number that the repeat sign says
    total: int = 1  # how many times the passage is played

    def close(self):
        """Numbers the endings from 1 without gaps, and determines how many times the passage is played."""
        numbers = sorted({number for _, _, numbers in self.endings for number in numbers})
        if len(self.endings) == 1 and self.repeat == 1:
            # No bar returns to the beginning.
            self.endings, numbers = [], []
        new = {number: index for index, number in enumerate(numbers, start=1)}
        self.endings = [(first, last, tuple(new[number] for number in names)) for first, last, names in self.endings]
        if len(self.endings) > 1:
            self.total = len(numbers)
        else:
            # The last repetition skips a single ending.
            self.total = max(self.repeat, len(numbers) + 1 if numbers else 1)


class _Player:
    r"""
    Plays bars.

    Args:
        items (`Sequence[_Played]`): the bars with repeated sections.
        written (`Sequence[Bar]`): the written bars.
        sections (`Sequence[Section]`): the sections.
    """

    def __init__(self, items: Sequence[_Played], written: Sequence[Bar], sections: Sequence[Section]):
        self.items = items
        self.bars = [written[item.written] for item in items]
        self.is_last = [item.repetition == sections[item.section].repeats - 1 for item in items]
        self.passages: list[_Passage] = []
        self.passage_of: list[int] = []
        self._find_passages()
        # The ending that begins with a bar or contains it: position → (last bar, numbers).
        self.ending_of: dict[int, tuple[int, tuple[int, ...]]] = {}
        for passage in self.passages:
            for first, last, numbers in passage.endings:
                for position in range(first, last + 1):
                    self.ending_of[position] = (last, numbers)
        self.codas = [position for position, bar in enumerate(self.bars) if bar.coda]

    def _find_passages(self):
        passage = _Passage(0)
        opened: tuple[int, tuple[int, ...]] | None = None  # the first bar and the numbers of an open ending

        def close_ending(last: int):
            nonlocal opened
            if opened is not None and last >= opened[0]:
                passage.endings.append((opened[0], last, opened[1]))
            opened = None

        def start_passage(position: int):
            nonlocal passage
            passage.close()
            self.passages.append(passage)
            del self.passage_of[position:]
            passage = _Passage(position)

        for position, bar in enumerate(self.bars):
            if bar.repeat_start and position > passage.start:
                close_ending(position - 1)
                start_passage(position)
            elif bar.endings:
                is_new = 1 in bar.endings and any(1 in numbers for _, _, numbers in passage.endings)
                if opened is not None and is_new:
                    # The last ending has no end: it is as long as the first one.
                    last = min(position - 1, opened[0] + passage.endings[0][1] - passage.endings[0][0])
                    close_ending(last)
                    start_passage(last + 1)
                    self.passage_of.extend([len(self.passages)] * (position - len(self.passage_of)))
                close_ending(position - 1)
            if bar.endings:
                opened = (position, bar.endings)
            self.passage_of.append(len(self.passages))
            if bar.repeat_end or bar.ending_stop:
                passage.repeat = max(passage.repeat, bar.repeat_end)
                has_endings = opened is not None
                close_ending(position)
                following = self.bars[position + 1] if position + 1 < len(self.bars) else None
                continues = has_endings and following is not None and following.endings and 1 not in following.endings
                if not continues and (bar.repeat_end or has_endings):
                    start_passage(position + 1)
        close_ending(len(self.bars) - 1)
        passage.close()
        self.passages.append(passage)

    def play(self) -> list[_Played]:
        """The bars in the order in which they are played."""
        order: list[_Played] = []
        position, current, count = 0, -1, 1
        origin, until = -1, ""  # the bar of the last jump, and its sign
        taken: set[int] = set()
        while position < len(self.bars):
            bar = self.bars[position]
            after_jump = position <= origin
            if after_jump and not self.is_last[position]:
                position += 1
                continue
            number = self.passage_of[position]
            passage = self.passages[number]
            if number != current:
                current, count = number, passage.total if after_jump else 1
            last, numbers = self.ending_of.get(position, (position, ()))
            if numbers and count not in numbers:
                position = last + 1
                continue
            order.append(self.items[position])
            if len(order) > MAX_BARS:
                raise _too_long()
            returns = position == last if numbers else bar.repeat_end
            if returns and count < passage.total:
                position, count = passage.start, count + 1
                continue
            if after_jump and bar.fine and until in ("Fine", ""):
                break
            coda = self._coda_after(position) if after_jump and bar.to_coda and until in ("Coda", "") else None
            if coda is not None:
                position, current, origin = coda, -1, -1
            elif bar.jump and self.is_last[position] and position not in taken:
                taken.add(position)
                origin, until = position, bar.jump[8:]
                position, current = self._target(position, bar.jump), -1
            else:
                position += 1
        return order

    def _target(self, position: int, jump: str) -> int:
        """The bar to which a jump leads. A missing sign causes a warning."""
        target = 0
        name = f"Bar {self.items[position].written + 1} has {jump}"
        if jump.startswith("D.S."):
            signs = [index for index in range(position + 1) if self.bars[index].segno]
            if signs:
                target = signs[-1]
            else:
                logger.warning(f"{name}, but no bar before it has a segno: the jump leads to the beginning.")
        passage = self.bars[target : position + 1]
        if jump.endswith("Fine") and not any(bar.fine for bar in passage):
            logger.warning(f"{name}, but no bar before it has Fine: the music continues to the end.")
        is_complete = any(bar.to_coda for bar in passage) and self._coda_after(position) is not None
        if jump.endswith("Coda") and not is_complete:
            logger.warning(f"{name}, but a sign is missing (to coda or coda): the music continues to the end.")
        return target

    def _coda_after(self, position: int) -> int | None:
        index = bisect_right(self.codas, position)
        return self.codas[index] if index < len(self.codas) else None


def _plain(bar: Bar) -> Bar:
    """The bar without signs."""
    if bar.is_plain:
        return bar
    return replace(bar, repeat_start=False, repeat_end=0, endings=(), ending_stop=False, segno=False, coda=False,
                   to_coda=False, fine=False, jump="")  # fmt: skip


def _states(written: Sequence[Bar], state: _State) -> Iterator[_State]:
    for bar in written:
        yield state
        state = _advance(state, bar)


def _advance(state: _State, bar: Bar) -> _State:
    return _State(
        bar.chords[-1].label if bar.chords else state.chord,
        bar.tempos[-1] if bar.tempos else state.tempo,
        bar.time_signature or state.time_signature,
        bar.key or state.key,
    )


def _resume(bar: Bar, played: _State, written: _State) -> Bar:
    """Writes the state at a bar in written order into the bar, where it differs from the state that was played."""
    # Before the first chord, as in a pick-up, the chord that was played continues.
    if not (bar.chords and bar.chords[0].start == 0) and written.chord is not None and written.chord != played.chord:
        bar = replace(bar, chords=(ChordMark(written.chord), *bar.chords))
    if not (bar.tempos and bar.tempos[0].start == 0) and played.tempo[:2] != written.tempo[:2]:
        bar = replace(bar, tempos=(written.tempo._replace(start=0 * bar.length), *bar.tempos))
    if bar.time_signature is None and played.time_signature != written.time_signature:
        bar = replace(bar, time_signature=written.time_signature)
    if bar.key is None and played.key != written.key and written.key:
        bar = replace(bar, key=written.key)
    return bar


def _group(sections: Sequence[Section], bars: Sequence[tuple[_Played, Bar]]) -> Iterator[Section]:
    """Groups played bars by section. A section that restarts is another section."""
    numbers: list[int] = []
    number = 0
    previous: _Played | None = None
    for item, _ in bars:
        if previous is not None:
            is_same = (item.section, item.repetition) == (previous.section, previous.repetition)
            number += not is_same or (item.position == 0 and previous.position > 0)
        numbers.append(number)
        previous = item
    for _, group in groupby(zip(numbers, bars), key=lambda pair: pair[0]):
        members = [pair[1] for pair in group]
        first = members[0][0]
        section = sections[first.section]
        fill = section.fill and first.position == 0
        yield replace(section, bars=tuple(bar for _, bar in members), repeats=1, fill=fill)
