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
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ....utils.errors import InputError
from ..bars import Bar, Section
from .bar_notation import MAX_REPEATS


_MAX_BARS = 10_000
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
_COUNT = re.compile(r"[\s,(]*(?:[x×]\s?(\d{1,3})|(\d{1,3})\s?[x×])\s*\)?\s*$", re.IGNORECASE)


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
    return Heading(name, _clip(match["x"] or match["n"] or "1"))


def split_count(text: str) -> Heading:
    """Splits a name of any kind from a count: `"Chorus x2"`."""
    match = _COUNT.search(text)
    if match is None:
        return Heading(text.strip())
    return Heading(text[: match.start()].strip(), _clip(match[1] or match[2]))


def _clip(count: str) -> int:
    return min(max(int(count), 1), MAX_REPEATS)


@dataclass
class _Draft:
    name: str
    first: int  # index of its first bar
    repeats: int
    settings: dict[str, Any]
    is_heading: bool  # the text names it
    lyrics: bool = False  # whether it has words
    end: int = 0


class SectionList:
    r"""
    Sections of a lead sheet while a chart is read.

    Args:
        bars (`list` of [`Bar`]): the list to which the bars are added.
    """

    def __init__(self, bars: list[Bar]):
        self.bars = bars
        self._done: list[Section] = []
        self._draft = _Draft("", 0, 1, {}, False)

    @property
    def name(self) -> str:
        """The name of the current section."""
        return self._draft.name

    @property
    def is_empty(self) -> bool:
        """Whether the current section has no bars yet."""
        return self._draft.first == len(self.bars)

    def note_lyrics(self):
        """Says that the current section has words, even if it has no bars."""
        self._draft.lyrics = True

    def start(self, name: str, repeats: int = 1, is_heading: bool = True, **settings: Any):
        r"""
        Begins a section. If the section before has a name, no bars and no words, the section with this name is
        recalled.

        Args:
            name (`str`): the name.
            repeats (`int`): how many times it is played.
            is_heading (`bool`, defaults to `True`): whether the text names it, so that it may recall another one.
            settings: further fields of [`Section`].
        """
        self._close()
        self._draft = _Draft(name, len(self.bars), repeats, settings, is_heading)

    def rename(self, name: str):
        """Names the current section, which has no bars yet."""
        self._draft.name, self._draft.is_heading = name, True

    def repeat(self, count: int):
        """Repeats the current section."""
        self._draft.repeats = count

    def recall(self, name: str, repeats: int = 1, label: str = "") -> bool:
        """Adds the last section with a name again. Returns whether there is one."""
        self._close()
        self._draft = _Draft("", len(self.bars), 1, {}, False)
        found = self._find(name)
        if found is None:
            return False
        self._add(found, repeats, label or found.name, {})
        return True

    def finish(self) -> tuple[Section, ...]:
        """The sections with bars."""
        self._close()
        return tuple(self._done)

    def _find(self, name: str) -> Section | None:
        name = name.casefold()
        return next((section for section in reversed(self._done) if section.name.casefold() == name), None)

    def _add(self, section: Section, repeats: int, name: str, settings: dict[str, Any]):
        if sum(len(section.bars) for section in self._done) + len(section.bars) > _MAX_BARS:
            raise InputError(f"`source`: the chart has more than {_MAX_BARS:,} bars, which is the limit.", "source")
        self._done.append(replace(section, name=name, repeats=repeats, **settings))

    def _close(self):
        draft = self._draft
        bars = self.bars[draft.first :]
        if bars:
            self._done.append(Section(draft.name, tuple(bars), repeats=draft.repeats, **draft.settings))
        elif draft.is_heading and draft.name and not draft.lyrics and (found := self._find(draft.name)):
            self._add(found, draft.repeats, draft.name, draft.settings)
