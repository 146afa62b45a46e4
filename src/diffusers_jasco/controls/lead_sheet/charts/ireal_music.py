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

"""Parses the music of iReal Pro's tunes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from ....utils.errors import InputError, shorten
from ...chord_syntax import NO_CHORD
from ..bars import MAX_REPEATS, Bar, ChordMark, Section, TimeSignature
from ..form_words import jump_name
from ..order import MAX_BARS
from .chords import read_label
from .sections import complete_signs


_TOKEN = re.compile(
    r"(?P<section>\*[A-Za-z0-9])"
    r"|T(?P<time>\d\d)"
    r"|N(?P<ending>\d)"
    r"|<(?P<comment>[^<>]*)>"
    r"|(?P<chord>[A-G][b#]?(?:sus|alt|add|[+^\dhob#ø°△∆-])*(?:\*[^*]*\*)?(?:/[A-G][#b]?)?)(?:\([^()]*\))?"
    r"|(?P<root>W(?:/[A-G][#b]?)?)(?:\([^()]*\))?"
    r"|(?P<cell>[ pxrn])(?:\([^()]*\))?"
    r"|(?P<alternative>\([^()]*\))"
    r"|(?P<bar>[|\[\]{}Z])"
    r"|(?P<sign>[SQUfslY,])"
    r"|(?P<unknown>.)",
    re.DOTALL,
)
_SIGNATURES = {"12": (12, 8), "22": (2, 2), "32": (3, 2)}
_SECTIONS = {"i": "Intro", "v": "Verse", "V": "Verse", "c": "Chorus"}
_JUMP = re.compile(r"(?i)\bd\.?\s?([cs])\.?(?![a-z])(?:\s*al\.?\s+(?:(fine)|(coda)|(\d)\s*(?:st|nd|rd|th)))?")
_CUSTOM = re.compile(r"\*([^*]*)\*")


@dataclass
class _Cell:
    """A cell of a bar: a chord, or an empty cell."""

    chord: str = ""
    is_small: bool = False


@dataclass
class _Draft:
    """A bar while it is read."""

    cells: list[_Cell] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)  # of `Bar`
    repeated: int = 0  # how many bars before are repeated: 1 or 2
    section: str | None = None  # the section that begins here
    jumps_to_ending: int = 0

    @property
    def is_empty(self) -> bool:
        return not any(cell.chord for cell in self.cells) and not self.repeated


def read_music(text: str, name: str) -> tuple[tuple[Section, ...], TimeSignature, list[str]]:
    r"""
    Parses the music of a tune.

    Args:
        text (`str`): the music, after unscrambling.
        name (`str`): the tune, for error messages.

    Returns:
        `tuple` of the sections, the first time signature, and a list of problems for a warning.

    Raises:
        [`InputError`]: if a chord can't be read, or there are no chords.
    """
    reader = _Reader(name)
    for match in _TOKEN.finditer(text):
        reader.take(match)
    return reader.finish()


class _Reader:
    def __init__(self, name: str):
        self.name = name
        self.signature = TimeSignature(4, 4)
        self.first_signature: TimeSignature | None = None
        self.drafts = 0
        self.draft = _Draft()
        self.bars: list[Bar] = []
        self.starts: list[tuple[int, str]] = [(0, "")]  # index of the first bar and name of each section
        self.chord: str | None = None
        self.is_small = False
        self.count = 2  # how many times the current passage is played
        self.last_ending = 0
        self.pending_copies = 0  # bars that still follow `r`
        self.codas: list[int] = []  # coda signs: how many bars come before each
        self.problems: list[str] = []
        self.final_ending = 0

    def take(self, match: re.Match):
        draft = self.draft
        if text := match["section"]:
            draft.section = _SECTIONS.get(text[1], text[1].upper())
        elif text := match["time"]:
            numbers = _SIGNATURES.get(text) or (int(text[0]), int(text[1]))
            self._set_signature(numbers)
        elif text := match["ending"]:
            # An ending without a number continues a group, or begins another one.
            number = int(text) or (self.last_ending + 1 if self.last_ending < 2 else 1)
            self.last_ending = number
            draft.fields["endings"] = (number,)
        elif match["comment"] is not None:
            self._take_comment(match["comment"])
        elif text := match["chord"] or match["root"]:
            draft.cells.append(_Cell(text, self.is_small))
        elif text := match["cell"]:
            self._take_cell(text)
        elif text := match["bar"]:
            self._take_bar_line(text)
        elif text := match["sign"]:
            self._take_sign(text)
        elif (text := match["unknown"]) and not text.isspace() and not self.problems:
            self.problems.append(f"the sign {text!r} is unknown and was skipped.")

    def _set_signature(self, numbers: tuple[int, int]):
        try:
            signature = TimeSignature(*numbers).check()
        except InputError:
            self.problems.append(f"the time signature {numbers[0]}/{numbers[1]} is unknown and was skipped.")
            return
        if self.draft.cells and not self.draft.is_empty:
            self.problems.append(f"the time signature {signature} within bar {len(self.bars) + 1} was skipped.")
            return
        if not self.bars:
            self.first_signature = signature
        elif signature != self.signature:
            self.draft.fields["time_signature"] = signature
        self.signature = signature

    def _take_cell(self, text: str):
        draft = self.draft
        if text == "x":
            draft.repeated = 1
        elif text == "r":
            draft.repeated = 2
        elif text == "n":
            draft.cells.append(_Cell(NO_CHORD, self.is_small))
        elif text == "p" and draft.is_empty and self.chord is not None:
            draft.cells.append(_Cell(self.chord, self.is_small))
        else:
            draft.cells.append(_Cell())

    def _take_sign(self, sign: str):
        fields = self.draft.fields
        if sign in "sl":
            self.is_small = sign == "s"
        elif sign == "S":
            fields["segno"] = True
        elif sign == "Q":
            # Before the first chord of the bar, or after it.
            self.codas.append(len(self.bars) + (not self.draft.is_empty))
        elif sign == "U":
            fields["fine"] = True

    def _take_comment(self, text: str):
        text = re.sub(r"^\*\d\d", "", text).strip()
        fields = self.draft.fields
        if match := _JUMP.search(text):
            fields["jump"] = jump_name(f"D{match[1]}", "fine" if match[4] else match[2] or match[3])
            self.final_ending = int(match[4] or self.final_ending)
        elif re.fullmatch(r"(?i)fine\.?", text):
            fields["fine"] = True
        elif match := re.fullmatch(r"(?i)(?:play\s+)?(\d{1,2})\s?(x|times|xs)\.?", text):
            count = int(match[1])
            if not 2 <= count <= MAX_REPEATS:
                self.problems.append(f"the number of repeats in {shorten(text)} was skipped.")
                return
            if self.draft.is_empty and self.bars and self.bars[-1].repeat_end and "repeat_start" not in fields:
                self.bars[-1] = replace(self.bars[-1], repeat_end=count)
            else:
                self.count = count

    def _take_bar_line(self, sign: str):
        if sign in "}]Z" or not self.draft.is_empty or self.pending_copies:
            self._close(sign)
        if sign == "{":
            self.draft.fields["repeat_start"] = True
        self.draft.cells = []

    # Bars

    def _close(self, sign: str):
        draft, self.draft = self.draft, _Draft()
        if draft.section is not None:
            self._start_section(draft.section)
        if draft.is_empty and not self.pending_copies:
            self._keep_fields(draft, sign)
            return
        if draft.is_empty:
            self.pending_copies -= 1
            chords = self._copy(2)
        elif draft.repeated and not any(cell.chord for cell in draft.cells):
            chords = self._copy(draft.repeated)
            self.pending_copies = 1 if draft.repeated == 2 else 0
        else:
            self.pending_copies = 0
            chords = self._place(draft.cells)
        fields = draft.fields
        if sign == "}":
            fields["repeat_end"] = self.count
            self.count = 2
        if sign in "]Z" and self.last_ending and "repeat_end" not in fields:
            fields["ending_stop"] = True
        if sign in "}]Z" and self.last_ending and sign != "}":
            self.last_ending = 0
        if len(self.bars) >= MAX_BARS:
            raise InputError(f"`source`: {self.name} has more than {MAX_BARS:,} bars, which is the limit.", "source")
        self.bars.append(Bar(self.signature.length, chords, **fields))
        if chords:
            self.chord = chords[-1].label

    def _start_section(self, name: str):
        if self.starts[-1][0] == len(self.bars):
            self.starts[-1] = (len(self.bars), name)
        else:
            self.starts.append((len(self.bars), name))

    def _keep_fields(self, draft: _Draft, sign: str):
        """Moves the signs of an empty bar to the bar before or to the next one."""
        fields = draft.fields
        if self.bars:
            last = self.bars[-1]
            ends: dict[str, Any] = {name: fields.pop(name) for name in ("jump", "fine") if name in fields}
            if sign == "}" and not last.repeat_end:
                ends["repeat_end"] = self.count
                self.count = 2
            self.bars[-1] = replace(last, **ends)
        self.draft.fields = {**fields, **self.draft.fields}

    def _copy(self, distance: int) -> tuple[ChordMark, ...]:
        if len(self.bars) < distance:
            self.problems.append("a repeat sign in the first bar has nothing to repeat and was read as no chord.")
            return (ChordMark(NO_CHORD),)
        chords = self.bars[-distance].chords
        return tuple(mark for mark in chords if mark.start < self.signature.length)

    def _place(self, cells: list[_Cell]) -> tuple[ChordMark, ...]:
        first = next(index for index, cell in enumerate(cells) if cell.chord)
        chords: list[ChordMark] = []
        lengths = spread([(cell.chord != "", cell.is_small) for cell in cells[first:]], self.signature)
        start = Fraction(0)
        labels = (cell.chord for cell in cells[first:] if cell.chord)
        for label, length in zip(labels, lengths):
            label = self._read(label)
            self.chord = label
            chords.append(ChordMark(label, start))
            start += length
        return tuple(chords)

    def _read(self, text: str) -> str:
        """Reads a chord; `W` is the root of the chord before, `*...*` a quality in words."""
        if text == NO_CHORD or text == self.chord:
            return text
        plain = text
        if text.startswith("W"):
            if self.chord in (None, NO_CHORD):
                plain = text[2:] or NO_CHORD
            else:
                plain = re.sub(r"/[A-G][#b]?$", "", self.chord or "") + text[1:]
        for candidate in (_CUSTOM.sub(r"\1", plain), _CUSTOM.sub("", plain), plain.rstrip("+^hob-")):
            if label := read_label(candidate):
                return label
        raise InputError(
            f"`source`: {self.name}, bar {len(self.bars) + 1}: {shorten(text)} is not a chord. iReal Pro writes chords"
            " such as 'C^7', 'D-7', 'G7alt' or 'Bh7/E'.",
            "source",
        )

    # The end

    def finish(self) -> tuple[tuple[Section, ...], TimeSignature, list[str]]:
        if not self.draft.is_empty or self.pending_copies:
            self._close("|")
        if not self.bars:
            raise InputError(f"`source`: {self.name} has no chords.", "source")
        self._place_signs()
        bounds = [*self.starts, (len(self.bars), "")]
        sections = (
            Section(name, tuple(self.bars[first:last]))
            for (first, name), (last, _) in zip(bounds, bounds[1:])
            if last > first
        )
        return complete_signs(list(sections)), self.first_signature or TimeSignature(4, 4), self.problems

    def _place_signs(self):
        """The last coda sign is the coda; the chart jumps to it from the bars before the others."""
        *others, coda = self.codas or [len(self.bars)]
        if others and coda < len(self.bars):
            self.bars[coda] = replace(self.bars[coda], coda=True)
            for index in others:
                if index:
                    self.bars[index - 1] = replace(self.bars[index - 1], to_coda=True)
        if self.final_ending and not any(bar.fine for bar in self.bars):
            self._end_after(self.final_ending)

    def _end_after(self, ending: int):
        """D.C. al 2nd ending: the music ends with this ending."""
        for index, bar in enumerate(self.bars):
            if ending in bar.endings:
                following = range(index, len(self.bars))
                last = next(
                    (end for end in following if self.bars[end].ending_stop or self.bars[end].repeat_end), index
                )
                self.bars[last] = replace(self.bars[last], fine=True)
                return


def spread(cells: list[tuple[bool, bool]], signature: TimeSignature) -> Iterator[Fraction]:
    r"""
    Distributes the chords of a bar over its beats as iReal Pro plays them: a chord lasts a beat for its cell and one
    for each empty cell after it, except for small chords beside large ones, which last one beat. Beats that are left
    are given to the chords in turn; beats that are too many are taken from them.

    Args:
        cells (`list`): for each cell whether it has a chord (the first one has), and whether this is small.
        signature ([`TimeSignature`]): the time signature.

    Yields:
        `Fraction`: the length of each chord in quarter notes.
    """
    beats, step, per_beat = _grid(signature)
    chords = [index for index, (has_chord, _) in enumerate(cells) if has_chord]
    if len(chords) > beats:
        yield from [signature.length / len(chords)] * len(chords)
        return
    small = [cells[index][1] for index in chords]
    if all(small) or len(chords) * per_beat > beats:
        small = [False] * len(chords)
    ends = [*chords[1:], len(cells)]
    lengths = [per_beat if is_small else last - first for first, last, is_small in zip(chords, ends, small)]
    free = [index for index, is_small in enumerate(small) if not is_small]
    missing = beats - sum(lengths)
    turn = 0
    while missing and (free or missing < 0):
        if missing > 0:
            lengths[free[turn % len(free)]] += 1
            missing -= 1
        elif lengths[turn % len(lengths)] > 1:
            lengths[turn % len(lengths)] -= 1
            missing += 1
        turn += 1
    yield from (length * step for length in lengths)


def _grid(signature: TimeSignature) -> tuple[int, Fraction, int]:
    """
    The number of steps of a bar, their length in quarter notes, and steps per beat: two in 3/4, so that two chords
    divide the bar equally.
    """
    if signature.numerator == 12:
        return 4, signature.length / 4, 1
    per_beat = 2 if signature.numerator == 3 and signature.denominator < 8 else 1
    steps = signature.numerator * per_beat
    return steps, signature.length / steps, per_beat
