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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import NamedTuple

from diffusers.utils import logging

from ...utils.errors import InputError
from ..chord_syntax import NO_CHORD
from .bars import Bar, ChordMark, Section, TempoMark, TimeSignature


logger = logging.get_logger(__name__)

MAX_BARS = 10_000


class _Written(NamedTuple):
    """A written bar with its section, the number of the repetition of the section, and its position there."""

    bar: Bar
    section: int
    repetition: int
    position: int


class _State(NamedTuple):
    """What applies at the end of a written bar."""

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
    - After a jump, repeated passages are played once, with their last ending, until the coda or the bar of the jump.
    - Each jump is taken once.

    Args:
        sections (`Sequence[Section]`): the sections in written order.
        tempo, time_signature, key: their values at the beginning.

    Returns:
        `tuple` of [`Section`], which are played from beginning to end. Chords, tempos, time signatures and keys that
        apply are written into bars that don't follow the written bar before.

    Raises:
        [`InputError`]: if more than 10,000 bars are played.
    """
    written = list(_write(sections))
    if all(item.bar.is_plain for item in written):
        order = list(range(len(written)))
        if len(order) > MAX_BARS:
            raise _too_long()
    else:
        order = _Player([item.bar for item in written]).play()
    states = list(_states(written, _State(None, tempo, time_signature, key)))
    bars: list[tuple[_Written, Bar]] = []
    played = states[0]
    previous = -1
    for index in order:
        item = written[index]
        bar = _plain(item.bar)
        if index != previous + 1:
            bar = _resume(bar, played, states[index])
        played = _advance(played, bar)
        bars.append((item, bar))
        previous = index
    return tuple(_group(sections, bars))


def _too_long() -> InputError:
    return InputError(
        f"`sections`: with their repeats, more than {MAX_BARS:,} bars are played, which is the limit.", "sections"
    )


def _write(sections: Sequence[Section]) -> Iterator[_Written]:
    """Repeats sections. Their signs count in the first repetition, and their jumps in the last one."""
    for number, section in enumerate(sections):
        for repetition in range(section.repeats):
            for position, bar in enumerate(section.bars):
                if repetition:
                    bar = replace(bar, segno=False, coda=False)
                if repetition < section.repeats - 1:
                    bar = replace(bar, jump="", fine=False, to_coda=False)
                yield _Written(bar, number, repetition, position)


@dataclass
class _Player:
    """Plays written bars."""

    bars: Sequence[Bar]
    start: int = 0  # of the repeated passage
    count: int = 1  # of the repetition that is played
    after_jump: bool = False  # repeats are not taken
    until: str = ""  # "Fine" or "Coda" after a jump
    origin: int = -1  # the bar of the last jump
    taken: set[int] = field(default_factory=set)

    def play(self) -> list[int]:
        """The indices of the written bars in the order in which they are played."""
        order: list[int] = []
        index = 0
        while index < len(self.bars):
            bar = self.bars[index]
            if self.after_jump and index > self.origin:
                self.after_jump, self.until = False, ""
            if bar.repeat_start and index != self.start:
                self.start, self.count = index, 1
            if bar.endings and not self._plays(index):
                index = self._end_of_ending(index) + 1
                continue
            order.append(index)
            if len(order) > MAX_BARS:
                raise _too_long()
            following = self._next(index, bar)
            if following is None:
                break
            index = following
        return order

    def _next(self, index: int, bar: Bar) -> int | None:
        if bar.repeat_end and not self.after_jump and self.count < self._total(index):
            self.count += 1
            return self.start
        if bar.repeat_end or bar.ending_stop:
            self.start, self.count = index + 1, 1
        if self.after_jump and bar.fine and self.until in ("Fine", ""):
            return None
        if self.after_jump and bar.to_coda and self.until in ("Coda", ""):
            coda = self._find_coda(index)
            if coda is not None:
                self.start, self.count, self.after_jump, self.until = coda, 1, False, ""
                return coda
        if bar.jump and index not in self.taken:
            self.taken.add(index)
            return self._jump(index, bar.jump)
        return index + 1

    def _jump(self, index: int, jump: str) -> int:
        target = 0
        if jump.startswith("D.S."):
            signs = [position for position in range(index + 1) if self.bars[position].segno]
            if signs:
                target = signs[-1]
            else:
                logger.warning(f"Bar {index + 1} has {jump}, but no bar before has a segno: it is played as D.C.")
        self.after_jump, self.origin, self.until = True, index, jump[8:]
        self.start, self.count = target, 1
        passage = self.bars[target : index + 1]
        if self.until == "Fine" and not any(bar.fine for bar in passage):
            logger.warning(f"Bar {index + 1} has {jump}, but no bar has Fine: all bars are played.")
        if self.until == "Coda" and not (any(bar.to_coda for bar in passage) and self._find_coda(index) is not None):
            logger.warning(
                f"Bar {index + 1} has {jump}, but a sign is missing (to coda or coda): all bars are played."
            )
        return target

    def _find_coda(self, index: int) -> int | None:
        following = (position for position in range(index + 1, len(self.bars)) if self.bars[position].coda)
        return next(following, None)

    # Endings

    def _plays(self, index: int) -> bool:
        endings = self.bars[index].endings
        if 1 in endings and self.count > 1 and self._is_new_group(index):
            self.start, self.count = index, 1
        if self.after_jump:
            return self._total(index) in endings
        return self.count in endings

    def _is_new_group(self, index: int) -> bool:
        """Whether first endings belong to another passage than the one that is repeated."""
        passage = self.bars[self.start : index]
        return any(bar.endings and 1 not in bar.endings for bar in passage)

    def _end_of_ending(self, index: int) -> int:
        """The last bar of the ending that begins at `index`."""
        for position in range(index, len(self.bars)):
            following = self.bars[position + 1] if position + 1 < len(self.bars) else None
            bar = self.bars[position]
            if bar.repeat_end or bar.ending_stop or following is None or following.endings or following.repeat_start:
                return position
        return len(self.bars) - 1

    def _total(self, index: int) -> int:
        """How many times the passage around `index` is played."""
        first = index
        while first > self.start and not self.bars[first].repeat_start:
            first -= 1
        total = self.bars[index].repeat_end
        numbers: set[int] = set()
        position = first
        while position < len(self.bars):
            bar = self.bars[position]
            if position > first and bar.repeat_start:
                break
            if bar.endings and 1 in bar.endings and 1 in numbers and max(numbers) > 1:
                break
            if numbers and not bar.endings and self._ends_group(position):
                break
            numbers.update(bar.endings)
            if bar.repeat_end and not numbers:
                total = max(total, bar.repeat_end)
                break
            position += 1
        return max(total, *numbers) if numbers else max(total, 1)

    def _ends_group(self, position: int) -> bool:
        """Whether the bar follows the last ending of a passage."""
        before = self.bars[position - 1]
        return bool(before.repeat_end or before.ending_stop)


def _plain(bar: Bar) -> Bar:
    """The bar without signs."""
    if bar.is_plain:
        return bar
    return replace(bar, repeat_start=False, repeat_end=0, endings=(), ending_stop=False, segno=False, coda=False,
                   to_coda=False, fine=False, jump="")  # fmt: skip


def _states(written: Sequence[_Written], state: _State) -> Iterator[_State]:
    """What applies at the beginning of each written bar."""
    for item in written:
        yield state
        state = _advance(state, item.bar)


def _advance(state: _State, bar: Bar) -> _State:
    return _State(
        bar.chords[-1].label if bar.chords else state.chord,
        bar.tempos[-1] if bar.tempos else state.tempo,
        bar.time_signature or state.time_signature,
        bar.key or state.key,
    )


def _resume(bar: Bar, played: _State, written: _State) -> Bar:
    """Writes into a bar what applies there in written order, where it differs from what was played before."""
    if not (bar.chords and bar.chords[0].start == 0) and played.chord != written.chord:
        bar = replace(bar, chords=(ChordMark(written.chord or NO_CHORD), *bar.chords))
    if not (bar.tempos and bar.tempos[0].start == 0) and played.tempo[:2] != written.tempo[:2]:
        bar = replace(bar, tempos=(written.tempo._replace(start=0 * bar.length), *bar.tempos))
    if bar.time_signature is None and played.time_signature != written.time_signature:
        bar = replace(bar, time_signature=written.time_signature)
    if bar.key is None and played.key != written.key and written.key:
        bar = replace(bar, key=written.key)
    return bar


def _group(sections: Sequence[Section], bars: Sequence[tuple[_Written, Bar]]) -> Iterator[Section]:
    """Groups played bars by section. A section that begins anew is another section."""
    numbers: list[int] = []
    number = 0
    previous: _Written | None = None
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
