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

"""Reads chord charts in plain text: header lines, sections and bars, or chords above lyrics."""

import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

from diffusers.utils import logging

from ....utils.errors import InputError, list_names, shorten
from ...drum_machine import GROOVES, is_groove_name
from ..bars import Section, TimeSignature, default_tempo
from ..sheet import ENDINGS, LeadSheet
from .bar_notation import BarList, input_error, parse_row, parse_tempo
from .chords import find_notation, read_label
from .key_names import read_key
from .lines import is_tab_line, split_lines
from .sections import SectionList, parse_heading, split_count


logger = logging.get_logger(__name__)

_HEADER = re.compile(r"([A-Za-z][A-Za-z _-]{0,20}?)\s*[:=]\s*(.*)")  # of lines without spaces around them
_HEADERS = {
    "title": "title", "song": "title", "name": "title", "composer": "composer", "artist": "composer",
    "author": "composer", "by": "composer", "tempo": "tempo", "bpm": "tempo", "time": "time", "meter": "time",
    "metre": "time", "time signature": "time", "key": "key", "feel": "feel", "groove": "groove",
    "drums": "groove", "prompt": "prompt", "style": "prompt", "capo": "capo", "ending": "ending",
}  # fmt: skip
_BRACKETS = re.compile(r"\[(?!\d)([^\[\]\n]*)\]")
_COMMENT = re.compile(r"\s*(#(?![\w])|//|;)")
_FEELS = {
    "swing": True,
    "swung": True,
    "shuffle": True,
    "swing feel": True,
    "jazz": True,
    "straight": False,
    "even": False,
    "even 8ths": False,
}
_COUNT = re.compile(r"\(?(?:[x×]\s?\d{1,3}|\d{1,3}\s?[x×])\)?", re.IGNORECASE)
# Signs of bar notation, between bar lines.
_NOTATION = re.compile(r"[:.%/]+|x\d+|\d+x|\(?[x×]\d+\)?|d\.[cs]\.|al|fine|coda|segno|[.:]?\d[.,]?", re.IGNORECASE)
_SEPARATOR = re.compile(r"[\s=_*~–-]{3,}")
_JOINED = re.compile(r"[-–>^,~]+")  # signs between chords
_BAR_LINE = re.compile(r"\s*\|")
# Lines of a header without a key word.
_BARE_TIME = re.compile(r"\s*(\d{1,2}\s*/\s*\d{1,2})(\s+time)?\s*", re.IGNORECASE)
_BARE_TEMPO = re.compile(r".*=\s*\d.*|.*\d\s*(bpm|beats per minute)\s*", re.IGNORECASE)
_OPENING = re.compile(r"[|:]|\[\d|\.|%|\(|n\.?c", re.IGNORECASE)


def read_chart(text: str, name: str = "the text") -> LeadSheet:
    r"""
    Reads a chord chart.

    ```
    Title: Example
    Tempo: 96
    Feel: swing
    [Verse: calm piano; groove=bossa nova] Eb Bb | Ab | Eb . Bb7 . | % |
    [Chorus x2] |: Cm | Ab :| Bb | N.C.
    ```

    - Headers: `Title`, `Composer`, `Tempo`, `Time`, `Key`, `Feel` (swing or straight), `Groove`, `Prompt`, `Capo`,
      `Ending`. `Tempo`, `Time` and `Key` may also be in or between sections. Before the first header or section, a line
      with the title and one with the composer may come without key words; lines such as `3/4` and `84 bpm` before the
      music are the time signature and the tempo.
    - Sections: `[Name]`, `[Name x2]`, or `[Name: prompt; groove=...; fill; x2]`. A section without bars repeats the
      last one with its name.
    - Bars: their chords divide them equally; `.` or `/` holds the chord before, `%` repeats the bar before, `N.C.` is
      no chord. Repeat signs `|: ... :|`, endings `|1 ... :|2 ...`, `x3` after a line or a repeat sign, `D.C. al Fine`
      and the like.
    - Without bar lines, each chord of a section lasts one bar, with a warning. Lines of words are lyrics; in a text
      with lyrics, words in lines of chords that are not chords are skipped with a warning.

    Args:
        text (`str`): the chart.
        name (`str`): the source, for error messages.

    Returns:
        [`LeadSheet`]

    Raises:
        [`InputError`]: if something can't be read; the message contains the line and the column.
    """
    return _Reader(text, name).read()


class _Reader:
    def __init__(self, text: str, name: str):
        self.name = name
        self.lines = split_lines(text, name)
        self.bars = BarList(name)
        self.bars.notation = find_notation(re.split(r"[\s|]+", text))
        self.sections = SectionList(self.bars.bars, name)
        self.fields: dict[str, Any] = {}
        self.tempo = ""
        self.capo = 0
        self.without_bar_lines: list[str] = []
        # Words and lyrics are part of songs; in charts of bars they are errors.
        self.title_lines = self._find_title()
        self.has_lyrics = any(
            self._is_clearly_lyrics(line)
            for number, line in enumerate(self.lines, start=1)
            if number not in self.title_lines
        )
        self.skipped: list[str] = []

    def read(self) -> LeadSheet:
        parts = self._split()
        # Sections in which a line has a bar line.
        barred = {number for number, _, _, text in parts if "|" in text}
        for number, line, column, text in parts:
            self.sections.line = line
            if number is None:
                self._take_header(text, line)
            elif column == 0:
                self._start_section(text, line)
            else:
                self._take_text(text, line, column, number in barred)
        sections = self.sections.finish()
        if not sections:
            raise InputError(
                f"`source`: {self.name} has no chords. A chart has sections with bars: '[Verse] C | Am | F G | %'.",
                "source",
            )
        if self.sections.pending_lyrics:
            sections = _add_words(sections, self.sections.pending_lyrics)  # of a last section without chords
        if self.bars.notation == "german":
            logger.warning(f"{self.name} uses the note name H, so B is read as B flat.")
        if self.skipped:
            names = list_names(self.skipped, 5)
            logger.warning(f"{self.name}: words in lines of chords that are not chords were skipped: {names}.")
        has_groove = self.fields.get("groove") or any(section.groove for section in sections)
        if not has_groove and any(section.fill for section in sections):
            logger.warning(f"{self.name}: 'fill' has no effect without a groove; write 'Groove: ...' or 'groove=...'.")
        if self.sections.dropped:
            names = list_names(self.sections.dropped, 5)
            logger.warning(f"{self.name}: sections without chords were left out: {names}.")
        if self.without_bar_lines:
            logger.warning(
                f"{self.name} has chords without bar lines, such as {shorten(self.without_bar_lines[0])}: each one"
                f" lasts a bar of {self.bars.time_signature}. Write bars as '| C | Am | F G |'."
            )
        signature = self.bars.first_signature
        tempo = parse_tempo(self.tempo, signature.beat) or default_tempo(signature, self.name)
        sheet = LeadSheet(
            sections, tempo=tempo.bpm, beat_unit=tempo.unit, time_signature=self.bars.first_signature, **self.fields
        )
        return sheet.transpose(self.capo)

    def _split(self) -> list[tuple[int | None, int, int, str]]:
        """
        Splits the text into headers (section `None`), headings (column 0) and pieces of lines: `(section, line,
        column, text)`.
        """
        parts: list[tuple[int | None, int, int, str]] = []
        section = 0
        in_header = True
        for number, line in enumerate(self.lines, start=1):
            if number in self.title_lines:
                continue
            in_header = in_header and all(part[0] is None for part in parts[-1:])
            if in_header and (header := _bare_header(line)):
                parts.append((None, number, 1, header))
                continue
            if not line.strip() or _COMMENT.match(line) or _SEPARATOR.fullmatch(line):
                continue
            if self._is_header(line):
                parts.append((None, number, 1, line))
                continue
            heading, rest = self._plain_heading(line)
            if heading:
                section += 1
                parts.append((section, number, 0, heading))
                line = " " * (len(line) - len(rest)) + rest
            position = 0
            for match in _BRACKETS.finditer(line):
                if line[position : match.start()].strip():
                    parts.append((section, number, position + 1, line[position : match.start()]))
                section += 1
                parts.append((section, number, 0, match[1]))
                position = match.end()
            if line[position:].strip():
                parts.append((section, number, position + 1, line[position:]))
        return parts

    def _find_title(self) -> list[int]:
        """
        The numbers of the lines of the title and the composer: plain text before an empty line (only a title), or before
        a header or a heading.
        """
        found: list[int] = []
        is_title = False
        for number, line in enumerate(self.lines, start=1):
            if not line.strip():
                is_title = is_title or len(found) == 1
            elif self._is_header(line) or self._plain_heading(line)[0] or _BRACKETS.match(line):
                is_title = bool(found)
                break
            elif not _bare_header(line) and not _SEPARATOR.fullmatch(line):
                if len(found) == 2 or not self._is_title(line):
                    del found[1:]
                    break
                found.append(number)
        else:
            del found[1:]
        if not is_title:
            return []
        for field, number in zip(("title", "composer"), found):
            self.fields[field] = self.lines[number - 1].strip()
        return found

    def _is_title(self, line: str) -> bool:
        labels = self._labels(line)
        # A title may contain a word such as "A".
        is_text = 3 * sum(label is not None for label in labels) < len(labels)
        return is_text and not re.search(r"[|\[\]:]", line) and not _COMMENT.match(line)

    @staticmethod
    def _is_header(line: str) -> bool:
        match = _HEADER.fullmatch(line.strip())
        return match is not None and _header_name(match) in _HEADERS

    def _plain_heading(self, line: str) -> tuple[str, str]:
        """The heading of a line without brackets, such as `Verse 1: C | G`, and the rest of the line."""
        before, colon, after = line.partition(":")
        if "[" in before:
            return "", line
        if "|" in before:
            # Intro | C | G |
            name = line.partition("|")[0].rstrip(": ")
            is_heading = parse_heading(name) is not None and read_label(name) is None
            return (name, line[len(name) :].lstrip(": ")) if is_heading else ("", line)
        if colon and not after.startswith("|") and parse_heading(before):
            return before, after
        if not colon and parse_heading(line) and not all(self._labels(line)):
            return line, ""
        return "", line

    # Headers

    def _take_header(self, text: str, line: int):
        match = _HEADER.fullmatch(text.strip())
        if match is None:
            return
        field = _HEADERS[_header_name(match)]
        if match[2]:
            indent = len(text) - len(text.lstrip())
            self._set(field, match[2], line, indent + match.start(2) + 1)

    def _set(self, field: str, value: str, line: int, column: int):
        """Sets a field of the sheet, or changes it in the next bar."""

        def fail(right: str):
            problem = f"{field.capitalize()} has to be {right}, but is {shorten(value)}."
            if not self.has_lyrics:
                raise input_error(self.name, line, column, problem)
            logger.warning(f"{self.name}, line {line}: {problem} It was skipped.")

        bars = self.bars
        if field == "tempo":
            tempo = parse_tempo(value, bars.time_signature.beat)
            if tempo is None:
                fail("20 to 400 beats per minute, such as '96' or '3/8=60'")
            elif bars.bars:
                bars.change(tempos=(tempo,))
            else:
                self.tempo = value
        elif field == "time":
            try:
                bars.change(time_signature=TimeSignature.parse(value))
            except InputError:
                fail("a time signature such as '4/4' or '6/8'")
        elif field == "key":
            key = read_key(value)
            if key is None:
                fail("a key such as 'Eb', 'F# minor' or 'D dorian'")
            elif bars.bars:
                bars.change(key=key)
            else:
                self.fields["key"] = key
        elif field == "capo":
            number = re.match(r"\d{1,2}", value)
            if number is None or int(number[0]) > 24:
                fail("a fret from 0 to 24")
            else:
                self.capo = int(number[0])
        elif field == "feel":
            feel = _FEELS.get(value.lower())
            if feel is None:
                fail("'swing' or 'straight'")
            else:
                self.fields["swing"] = feel
        elif field == "groove":
            self.fields["groove"] = self._groove(value, line, column)
        elif field == "ending":
            if value.lower() not in ENDINGS:
                fail(" or ".join((", ".join(map(repr, ENDINGS[:-1])), repr(ENDINGS[-1]))))
            else:
                self.fields["ending"] = value.lower()
        else:
            self.fields[field] = value

    def _groove(self, value: str, line: int, column: int) -> str | None:
        if value.lower() in ("none", "no", "off"):
            return None
        if is_groove_name(value):
            return value
        raise input_error(
            self.name, line, column, f"{shorten(value)} is not a groove; grooves are {list_names(list(GROOVES), 30)}."
        )

    # Sections

    def _start_section(self, text: str, line: int):
        """Begins a section: `Name`, `Name x2`, or `Name: prompt; groove=...; fill; x2`."""
        name, colon, rest = text.partition(":")
        if not colon and ";" in text:
            name, _, rest = text.partition(";")
        heading = split_count(name)
        settings: dict[str, Any] = {}
        changes: list[tuple[str, str]] = []
        words: list[str] = []
        repeats = heading.repeats
        for item in re.split(r";", rest):
            item = item.strip()
            match = re.fullmatch(r"(\w+)\s*=\s*(.*)", item)
            key = match[1].lower() if match else ""
            if match and key == "groove":
                settings["groove"] = self._groove(match[2], line, 1)
            elif match and key == "prompt":
                words.append(match[2])
            elif match and key in ("tempo", "time", "key"):
                changes.append((key, match[2]))
            elif match:
                raise input_error(
                    self.name, line, 1, f"section {shorten(name)} has the unknown setting {key!r}; settings are"
                    " groove=, prompt=, tempo=, time=, key=, fill and x2.",
                )  # fmt: skip
            elif item.lower() == "fill":
                settings["fill"] = True
            elif _COUNT.fullmatch(item):
                repeats = split_count("x " + item).repeats
            elif item:
                words.append(item)
        if words and not self.has_lyrics:
            settings["prompt"] = ", ".join(words)
        self.sections.start(heading.name, repeats, **settings)
        for key, value in changes:
            self._set(key, value, line, 1)

    # Bars and lyrics

    def _take_text(self, text: str, line: int, column: int, has_bar_lines: bool):
        if is_tab_line(text):
            return
        if _COUNT.fullmatch(text.strip()):
            self._repeat_section(text)
            return
        if self.has_lyrics:
            if not self._is_row(text):
                self.sections.add_lyrics(text)
                return
            text = self._only_chords(text, line, column)
        if "|" in text or (has_bar_lines and self._is_row(text)):
            for measure in parse_row(text, self.name, line, column):
                self._check_empty(text, measure.line, column)
                self.bars.add_measure(measure)
            self.sections.flush_lyrics()
        elif self._is_row(text):
            self._take_chords(text, line, column)
        else:
            self.sections.add_lyrics(text)

    def _check_empty(self, text: str, line: int, column: int):
        match = re.search(r"\|\s+\|", text)
        if match is not None:
            raise input_error(
                self.name, line, column + match.start(), "the bar is empty. Write '%' to repeat the bar before, '.' to"
                " hold its chord, or 'N.C.' for no chord.",
            )  # fmt: skip

    def _only_chords(self, text: str, line: int, column: int) -> str:
        """Replaces words that are not chords by spaces, and fills empty bars."""

        def clean(match: re.Match) -> str:
            word = match[0]
            plain = word.strip(",;:()*")
            if read_label(plain, self.bars.notation):
                return plain
            before = text[max(0, match.start() - 2) : match.start()]
            is_at_bar_line = re.search(r"[|\[]\s?$", before) or _BAR_LINE.match(text, match.end())
            if _NOTATION.fullmatch(word) and (is_at_bar_line or not word.strip(":").isdigit()):
                return word if is_at_bar_line or word != ":" else " "
            parts = [part for part in _JOINED.split(word) if part]
            if len(parts) > 1 and all(read_label(part, self.bars.notation) for part in parts):
                return " ".join(parts)
            self.skipped.append(f"{shorten(word)} (line {line}, column {column + match.start()})")
            return " " * len(word)

        text = re.sub(r"[^\s|]+", clean, text)
        if self.bars.chord is None:
            text = re.sub(r"(?<!\S)[.%/]+(?!\S)", " ", text)
            return re.sub(r"\|[\s|]*\|", "|", text)
        return re.sub(r"\|(\s+)(?=\|)", r"| .\1", text)

    def _labels(self, text: str) -> list[str | None]:
        """The chords of a line; `None` for other words. Remarks in parentheses are ignored."""
        labels = []
        for word in _words(text):
            parts = _JOINED.split(word) if read_label(word, self.bars.notation) is None else [word]
            found = [read_label(part, self.bars.notation) for part in parts if part]
            if None not in found:
                labels.extend(found)
            elif not (word.startswith("(") and word.endswith(")")):
                labels.append(None)
        return labels

    def _is_row(self, text: str) -> bool:
        """Whether a line consists of chords. One that mostly does has a misspelled chord, which the parser reports."""
        labels = self._labels(text)
        chords = [label for label in labels if label]
        if not labels:
            return bool(_OPENING.match(text.strip())) and not self.has_lyrics
        if len(chords) == len(labels) or (2 * len(chords) > len(labels) and len(chords) >= 3):
            return True
        if self.has_lyrics and 2 * len(chords) >= len(labels):
            # In lyrics, "a", "am" and "A" are words.
            names = [word for word in _words(text) if any(self._labels(word)) and word[0].isupper()]
            return "|" in text or (len(names) >= 2 and set(names) != {"A"})
        if self.has_lyrics:
            return False
        return bool(chords) and len(labels) <= 3

    def _is_clearly_lyrics(self, line: str) -> bool:
        """Whether a line has at least three words, most of which are not chords, outside of headings and headers."""
        if "|" in line or _COMMENT.match(line) or is_tab_line(line) or _HEADER.fullmatch(line.strip()):
            return False
        labels = self._labels(_BRACKETS.sub(" ", line))
        return len(labels) >= 3 and 2 * sum(label is not None for label in labels) < len(labels)

    def _take_chords(self, text: str, line: int, column: int):
        """A line without bar lines: one bar per chord."""
        for measure in parse_row(text, self.name, line, column):
            for cell in measure.cells:
                single = replace(measure, cells=[cell], column=cell.column, repeat_start=False, repeat_end=0)
                self.bars.add_measure(single)
            count = measure.repeat_end
            if count and measure.cells:
                first = -len(measure.cells)
                self.bars.bars[first] = replace(self.bars.bars[first], repeat_start=True)
                self.bars.bars[-1] = replace(self.bars.bars[-1], repeat_end=count)
        if len(_words(text)) > 1:
            self.without_bar_lines.append(text.strip())
        self.sections.flush_lyrics()

    def _repeat_section(self, text: str):
        """A count on a line of its own applies to the section."""
        self.sections.repeat(split_count("x " + text.strip()).repeats)


def _words(text: str) -> list[str]:
    """The words of a line that should be chords."""
    text = re.sub(r"D\.\s?[CS]\.(\s+al\s+(fine|coda))?", " ", text, flags=re.IGNORECASE)
    words = (word.strip(",;:") for word in re.split(r"[\s|~]+", text))
    return [word for word in words if re.search(r"\w", word) and not _COUNT.fullmatch(word)]


def _add_words(sections: tuple[Section, ...], words: str) -> tuple[Section, ...]:
    """Adds words to the last bar."""
    *bars, last = sections[-1].bars
    last = replace(last, lyrics=f"{last.lyrics} {words}".strip())
    return (*sections[:-1], replace(sections[-1], bars=(*bars, last)))


def _header_name(match: re.Match) -> str:
    return " ".join(match[1].lower().replace("_", " ").split())


def _bare_header(line: str) -> str:
    """Adds the key word to a header line such as `3/4` or `84 bpm`; empty for another line."""
    if len(line) > 60:
        return ""
    if match := _BARE_TIME.fullmatch(line):
        try:
            TimeSignature.parse(match[1])
        except InputError:
            return ""
        return f"Time: {match[1]}"
    return f"Tempo: {line.strip()}" if _BARE_TEMPO.fullmatch(line) and parse_tempo(line, Fraction(1)) else ""
