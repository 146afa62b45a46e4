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

"""Sections of charts: headings such as `Verse 1` or `[Chorus x2]`, and sections that are recalled by their name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ....utils.errors import InputError, shorten
from ..bars import MAX_REPEATS, Bar, Section
from ..order import MAX_BARS
from .bar_notation import input_error


_NAMES = (
    # English
    "intro", "introduction", "verse", "vers", "chorus", "bridge", "pre-chorus", "prechorus",
    "pre chorus", "post-chorus", "post chorus", "refrain", "ref", "outro", "ending", "end", "coda", "tag",
    "interlude", "instrumental", "inst", "instr", "solo", "guitar solo", "piano solo", "break", "breakdown", "hook",
    "turnaround", "turn", "vamp", "head", "riff", "fill", "channel", "middle 8", "middle eight", "middle", "part",
    "section", "theme", "last verse", "last chorus", "final chorus", "first verse", "lead", "lead break",
    "build", "drop", "kick-off", "kickoff",
    # German, French, Italian, Spanish, Portuguese, Dutch, Scandinavian, Polish, Czech
    "strophe", "zwischenspiel", "vorspiel", "nachspiel", "schluss", "couplet", "pont", "strofa", "ritornello",
    "verso", "estrofa", "coro", "estribillo", "puente", "refrão", "ponte", "final", "refrein", "brug",
    "omkvæd", "refräng", "brygga", "zwrotka", "sloka", "predohra", "mezihra", "dohra", "kupl", "strofă", "refren",
)  # fmt: skip
_HEADING = re.compile(
    rf"(?P<name>(?:{'|'.join(re.escape(name) for name in sorted(set(_NAMES), key=len, reverse=True))})"
    r"(?:[\s.#-]{0,2}(?:\d{1,2}|[ivIV]{1,4}|[a-hA-H])(?:\s?[&,+/-]\s?\d{1,2})*)?(?:['’]{1,2})?)"
    r"\.?\s*(?:[([]?\s*(?:(?:repeat\s*)?[x×]\s?(?P<x>\d{1,2})|(?P<n>\d{1,2})\s?(?:[x×]|times))\s*[)\]]?)?"
    r"\s*:?\s*",
    re.IGNORECASE,
)
_COUNT = re.compile(r"(?:[x×]\s?(\d{1,3})|(\d{1,3})\s?[x×])\s*\)?$", re.IGNORECASE)


class Heading(NamedTuple):
    """The name of a section, and how many times it is played."""

    name: str
    repeats: int = 1


def parse_heading(text: str) -> Heading | None:
    """Parses a text that names a section, such as `"Verse 1"`, `"CHORUS (x2):"`; `None` for other text."""
    text = text.strip(" \t[]{}()*_-–=~").strip()
    match = _HEADING.fullmatch(text) if len(text) <= 40 else None
    if match is None:
        return None
    name = match["name"].strip()
    name = name.title() if name.isupper() and len(name) > 2 else name[0].upper() + name[1:]
    return Heading(name, int(match["x"] or match["n"] or 1))


def split_count(text: str) -> Heading:
    """Splits a name of any kind from a count: `"Chorus x2"`."""
    text = text.strip()
    match = _COUNT.search(text)
    if match is None:
        return Heading(text)
    return Heading(text[: match.start()].rstrip(" \t,("), int(match[1] or match[2]))


@dataclass
class _Draft:
    name: str
    first: int  # index of its first bar
    repeats: int
    settings: dict[str, Any]
    is_heading: bool  # the text names it
    lyrics: bool = False  # whether it has words
    end: int = 0
    line: int = 0


class SectionList:
    r"""
    Sections of a lead sheet while a chart is read.

    Args:
        bars (`list` of [`Bar`]): the list to which the bars are added.
        source (`str`): the source, for error messages.
    """

    def __init__(self, bars: list[Bar], source: str):
        self.bars = bars
        self.source = source
        self.line = 1  # that is read, for error messages
        self.dropped: list[str] = []  # names and lines of sections without bars
        self.pending_lyrics = ""  # words before the first bar of a section
        self._done: list[Section] = []
        self._count = 0  # bars of these sections
        self._by_name: dict[str, Section] = {}  # the last section with each name
        self._draft = _Draft("", 0, 1, {}, False)

    @property
    def name(self) -> str:
        """The name of the current section."""
        return self._draft.name

    @property
    def is_empty(self) -> bool:
        """Whether the current section has no bars yet."""
        return self._draft.first == len(self.bars)

    def add_lyrics(self, text: str):
        """Adds words to the last bar of the current section, or to its first one as soon as there is one."""
        words = " ".join(text.split())
        self._draft.lyrics = True
        self.pending_lyrics = f"{self.pending_lyrics} {words}".strip()
        self.flush_lyrics()

    def flush_lyrics(self):
        """Moves words that wait for a bar to the last one, if the current section has one."""
        if self.pending_lyrics and not self.is_empty:
            last = self.bars[-1]
            self.bars[-1] = replace(last, lyrics=f"{last.lyrics} {self.pending_lyrics}".strip())
            self.pending_lyrics = ""

    def start(self, name: str, repeats: int = 1, is_heading: bool = True, **settings: Any):
        r"""
        Begins a section. If the section before has a name, no bars and no words, the section with this name is
        recalled.

        Args:
            name (`str`): the name.
            repeats (`int`): how many times it is played.
            is_heading (`bool`, defaults to `True`): whether the text names it, so that it may recall another one.
            settings: further fields of [`Section`].

        Raises:
            [`InputError`]: unless it is played 1 to 100 times.
        """
        self._check_repeats(repeats)
        self._close()
        self._draft = _Draft(name, len(self.bars), repeats, settings, is_heading, line=self.line)

    def rename(self, name: str):
        """Names the current section, which has no bars yet."""
        self._draft.name, self._draft.is_heading = name, True

    def repeat(self, count: int):
        """Repeats the current section."""
        self._check_repeats(count)
        self._draft.repeats = count

    def recall(self, name: str, repeats: int = 1, label: str = "") -> bool:
        """Adds the last section with a name again. Returns whether there is one."""
        self._check_repeats(repeats)
        self._close()
        self._draft = _Draft("", len(self.bars), 1, {}, False)
        found = self._find(name)
        if found is None:
            return False
        self._add(replace(found, repeats=repeats, name=label or found.name))
        return True

    def finish(self) -> tuple[Section, ...]:
        """The sections with bars, with the signs that follow from the sections."""
        self._close()
        return complete_signs(self._done)

    def _find(self, name: str) -> Section | None:
        return self._by_name.get(name.casefold())

    def _add(self, section: Section):
        self._count += len(section.bars)
        if self._count > MAX_BARS:
            raise InputError(f"`source`: {self.source} has more than {MAX_BARS:,} bars, which is the limit.", "source")
        self._done.append(section)
        self._by_name[section.name.casefold()] = section

    def _check_repeats(self, count: int):
        if not 1 <= count <= MAX_REPEATS:
            raise input_error(
                self.source, self.line, 1, f"a section is played {count} times, which has to be 1 to {MAX_REPEATS}."
            )

    def _close(self):
        draft = self._draft
        bars = self.bars[draft.first :]
        if bars:
            self._add(Section(draft.name, tuple(bars), repeats=draft.repeats, **draft.settings))
        elif draft.is_heading and draft.name and not draft.lyrics and (found := self._find(draft.name)):
            self._add(replace(found, repeats=draft.repeats, name=draft.name, **draft.settings))
        elif draft.name:
            self.dropped.append(f"{shorten(draft.name)} (line {draft.line})")


def complete_signs(sections: Sequence[Section]) -> tuple[Section, ...]:
    r"""
    Adds signs that follow from the sections of a chart: `:|` without `|:` repeats from the beginning of its section, and
    a section called "Coda" is the coda of charts without a coda sign.

    Args:
        sections (`Sequence` of [`Section`]): the sections.

    Returns:
        `tuple` of [`Section`]
    """
    result = []
    is_open = False  # whether a repeated passage has begun
    for index, section in enumerate(sections):
        first = section.bars[0]
        sign = next((bar for bar in section.bars if bar.repeat_start or bar.repeat_end), None)
        if index and not is_open and sign is not None and not sign.repeat_start and not first.endings:
            section = replace(section, bars=(replace(first, repeat_start=True), *section.bars[1:]))
        for bar in section.bars:
            is_open = (is_open or bar.repeat_start) and not bar.repeat_end
        result.append(section)
    bars = [bar for section in result for bar in section.bars]
    if any(bar.to_coda for bar in bars) and not any(bar.coda for bar in bars):
        coda = next((index for index, section in enumerate(result) if _is_coda(section)), None)
        if coda is not None:
            first, *others = result[coda].bars
            result[coda] = replace(result[coda], bars=(replace(first, coda=True), *others))
    return tuple(result)


def _is_coda(section: Section) -> bool:
    return section.name.casefold().split()[:1] == ["coda"]
