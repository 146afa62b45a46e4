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

"""Reads ChordPro songs: chords in brackets over lyrics, and grids."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from diffusers.utils import logging

from ....utils.errors import InputError, list_names, shorten
from ..abc.reader import read_abc
from ..bars import TimeSignature, default_tempo
from ..keys import transpose_key
from ..sheet import LeadSheet
from .bar_notation import BarList, Cell, Measure, parse_row, parse_tempo
from .chords import find_notation, read_label
from .key_names import read_key
from .lines import is_tab_line, split_lines
from .sections import SectionList, parse_heading, split_count


logger = logging.get_logger(__name__)

_BRACES = re.compile(r"\{([^{}\n]*)\}")
# The name of a directive, and the instrument or user for which it is.
_NAME = re.compile(r"([A-Za-z_][\w.]*)(-[\w-]+!?)?(?=[:=\s]|$)")
# Directives that identify the format: those with a value, and some without. {c} may also be a grace note of ABC.
_KNOWN = re.compile(
    r"^[^\S\n]*\{[^\S\n]*((title|t|subtitle|st|su|artist|composer|lyricist|album|year|key|tempo|time|capo|duration|meta|comment|c|"
    r"ci|cb|comment_italic|comment_box|highlight|define|chord|textfont|textsize|chordfont|chordsize|columns|col|transpose|"
    r"start_of_\w|so[cvbtg])[\w-]*!?[^\S\n]*[:=]|(chorus|so[cvbtg]|eo[cvbtg]|new_song|ns|new_page|np)[^\S\n]*\}"
    r"|(title|artist|meta|comment|define|start_of_\w|end_of_\w)[\w-]*!?[\s}])",
    re.IGNORECASE | re.MULTILINE,
)
_SHORT = {
    "t": "title", "st": "subtitle", "su": "subtitle", "c": "comment", "ci": "comment", "comment_italic": "comment",
    "cb": "comment", "comment_box": "comment", "highlight": "comment", "ns": "new_song", "soc": "start_of_chorus",
    "eoc": "end_of_chorus", "sov": "start_of_verse", "eov": "end_of_verse", "sob": "start_of_bridge",
    "eob": "end_of_bridge", "sot": "start_of_tab", "eot": "end_of_tab", "sog": "start_of_grid", "eog": "end_of_grid",
}  # fmt: skip
_SKIPPED = ("tab", "abc", "ly", "svg", "textblock", "musicxml", "strum", "highlight", "image")
_NOT_READ = ("abc", "ly", "musicxml")  # skipped blocks that contain music
_ABC_START = re.compile(r"^[^\S\n]*\{start_of_abc\b[^{}\n]*\}[^\n]*\n", re.MULTILINE)
_ABC_END = re.compile(r"^[^\S\n]*\{end_of_abc[^\S\n]*\}", re.MULTILINE)
_BRACKET = re.compile(r"\[([^\[\]\n]*)\]")
_ATTRIBUTE = re.compile(r"(?<!\w)(\w+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|(\S+))")
_SEPARATOR = re.compile(r"\s*(?:[,;>~–]|->|\s)\s*")
_SHAPE = re.compile(r"\s*(\d+\s*\+\s*)?\d+(\s*[x×]\s*\d+)?(\s*\+\s*\d+)?\s*")
_LABELS = {"pre_chorus": "Pre-chorus", "grid": "", "part": ""}
_LINK = re.compile(r"https?://\S+")


class _Item(NamedTuple):
    """A directive (`value` is `None` without a value) or a piece of text (`name` is empty)."""

    line: int
    column: int
    name: str
    value: str | None


def is_chordpro(text: str) -> bool:
    """Whether a text has ChordPro directives, or chords in brackets within lyrics."""
    text = text[:200_000]
    if _KNOWN.search(text):
        return True
    if re.search(r"^X:\s*\d+\s*$", text, re.MULTILINE):
        return False  # ABC, whose titles may contain [D]
    for line in text.splitlines():
        chords = _BRACKET.findall(line)
        words = _BRACKET.sub("", line)
        if chords and "|" not in line and re.search(r"\w", words):
            starts_with_heading = line.lstrip().startswith("[") and len(chords) == 1 and re.search(r"\]\s", line)
            if all(read_label(chord) for chord in chords) and not starts_with_heading:
                return True
        elif len(chords) > 1 and not words.strip() and all(read_label(chord) for chord in chords):
            return True
    return False


def read_chordpro(text: str, name: str = "the text") -> LeadSheet:
    r"""
    Reads a ChordPro song.

    - Bars come from grids (`{start_of_grid}`) and from lines in bar notation (`| [C] . | [G] |`). Chords over lyrics
      have no rhythm: each lasts one bar, with a warning.
    - `{capo}` and `{transpose}` change chords and keys to the sounding pitch.
    - `{chorus}` plays the last chorus again. Tabs are skipped, ABC and LilyPond blocks with a warning; of a song without
      chords, the first ABC block is read. If the file has several songs, the first is read, with a warning.

    Args:
        text (`str`): the content of the file.
        name (`str`): the source, for error messages.

    Returns:
        [`LeadSheet`] with lyrics.

    Raises:
        [`InputError`]: if the text has no chords, or a grid can't be read; the message contains the line and the
            column.
    """
    return _Reader(text, name).read()


class _Reader:
    def __init__(self, text: str, name: str):
        self.name = name
        self.abc = _find_abc(text)
        self.items = list(_first_song(_items(text, name), name))
        self.bars = BarList(name)
        self.sections = SectionList(self.bars.bars, name)
        self.title = ""
        self.subtitle = ""
        self.composers: dict[str, str] = {}
        self.key = ""
        self.tempo = ""
        self.capo = 0
        self.transpositions: list[int] = []
        self.block = ""  # the environment: "verse", "grid", "tab", ...
        self.ignored: list[str] = []  # texts in brackets that are not chords
        self.has_guessed_rhythm = False
        self.chorus = "Chorus"  # name of the last chorus
        self.blocks: set[str] = set()  # notations of blocks that are not read
        self.warned: set[str] = set()

    def read(self) -> LeadSheet:
        brackets = [chord for item in self.items if not item.name for chord in _BRACKET.findall(item.value or "")]
        cells = [
            word for item in self.items if "|" in (item.value or "") for word in re.split(r"[\s|]+", item.value or "")
        ]
        self.bars.notation = find_notation([*brackets, *cells])
        # Without brackets, lines of chords above the lyrics.
        self.chord_lines = not any(read_label(chord) for chord in brackets)
        for item in self.items:
            self.sections.line = item.line
            if item.name:
                self._take_directive(item)
            else:
                self._take_text(item)
        sections = self.sections.finish()
        if not sections and self.abc is not None:
            sheet = read_abc(self.abc, self.name)
            return replace(sheet, title=self.title or sheet.title, composer=self._composer() or sheet.composer)
        if not sections:
            raise InputError(
                f"`source`: {self.name} has no chords. ChordPro songs have chords in brackets ('[C]Hello [G]world') or"
                " in grids ('{start_of_grid}', '| C . | G . |').",
                "source",
            )
        self._warn()
        signature = self.bars.first_signature
        tempo = parse_tempo(self.tempo, signature.beat) or default_tempo(signature, self.name)
        sheet = LeadSheet(
            sections,
            title=self.title,
            composer=self._composer(),
            tempo=tempo.bpm,
            beat_unit=tempo.unit,
            time_signature=self.bars.first_signature,
            key=self.key,
        )
        return sheet.transpose(self.capo)

    def _composer(self) -> str:
        return self.composers.get("composer") or self.composers.get("artist") or self.subtitle

    def _warn(self):
        if self.has_guessed_rhythm:
            logger.warning(
                f"{self.name} has chords over lyrics, which don't say how long they last: each one lasts a bar of"
                f" {self.bars.time_signature}. For an exact rhythm, use a grid: {{start_of_grid}} | C . G . | Am |."
            )
        for notation in sorted(self.blocks):
            logger.warning(f"{self.name}: blocks of {notation} notation were skipped.")
        if self.ignored:
            names = list_names(self.ignored, 5)
            logger.warning(f"{self.name}: the following texts in brackets are not chords and were skipped: {names}.")
        if self.bars.notation == "german":
            logger.warning(f"{self.name} uses the note name H, so B is read as B flat.")

    def _warn_once(self, message: str):
        if message not in self.warned:
            self.warned.add(message)
            logger.warning(message)

    # Directives

    def _take_directive(self, item: _Item):
        name, value = item.name, (item.value or "").strip()
        if self.block in _SKIPPED and not name.startswith("end_of_"):
            return
        if name == "meta":
            name, _, value = value.partition(" ")
            name = name.rstrip(":").lower()
            if name.startswith(("start_of_", "end_of_", "meta", "chorus", "comment")):
                return
        if name.startswith("start_of_"):
            self._start(name.removeprefix("start_of_"), value)
        elif name.startswith("end_of_"):
            self._end()
        elif name == "chorus":
            self._recall(value)
        elif name == "comment":
            self._take_comment(value)
        else:
            self._take_metadata(name, value, item)

    def _take_metadata(self, name: str, value: str, item: _Item):
        bars = self.bars
        if name == "title":
            self.title = self.title or value
        elif name == "subtitle":
            self.subtitle = self.subtitle or value
        elif name in ("artist", "composer"):
            self.composers.setdefault(name, value)
        elif name == "key" and value:
            key = read_key(value)
            if key is None:
                self._warn_once(
                    f"{self.name}, line {item.line}: the key {shorten(value)} can't be read and was skipped."
                )
            else:
                bars.key = key
                if bars.bars:
                    bars.change(key=transpose_key(key, bars.transposition))
                else:
                    self.key = transpose_key(key, bars.transposition)
        elif name == "time" and value:
            signature = _read_signature(value)
            if signature is None:
                self._warn_once(
                    f"{self.name}, line {item.line}: the time signature {shorten(value)} can't be read and was"
                    " skipped."
                )
            else:
                bars.change(time_signature=signature)
        elif name in ("tempo", "bpm") and value:
            tempo = parse_tempo(value, bars.time_signature.beat)
            if tempo is None:
                self._warn_once(
                    f"{self.name}, line {item.line}: the tempo {shorten(value)} is not a number from 20 to 400."
                )
            elif bars.bars:
                bars.change(tempos=(tempo,))
            else:
                self.tempo = value
        elif name == "capo" and value:
            number = re.match(r"\s*(\d{1,2})", value)
            if number and int(number[1]) <= 24:
                self.capo = int(number[1])
            elif not re.match(r"(?i)\s*(none|no\b)", value):
                self._warn_once(
                    f"{self.name}, line {item.line}: the capo {shorten(value)} can't be read and was skipped."
                )
        elif name == "transpose":
            self._transpose(value)

    def _transpose(self, value: str):
        """Transposes what follows; without a value, returns to the transposition before."""
        bars = self.bars
        if number := re.match(r"([+-]?\d{1,2})", value):
            self.transpositions.append(bars.transposition)
            bars.transposition = max(min(bars.transposition + int(number[1]), 36), -36)
        elif self.transpositions:
            bars.transposition = self.transpositions.pop()
        if bars.key and bars.bars:
            bars.change(key=transpose_key(bars.key, bars.transposition))
        elif bars.key:
            self.key = transpose_key(bars.key, bars.transposition)

    def _start(self, kind: str, value: str):
        kind = kind.lower()
        self.block = kind
        if kind in _SKIPPED:
            if kind in _NOT_READ:
                self.blocks.add(kind.upper())
            return
        attributes = {match[1].lower(): match[2] or match[3] or match[4] or "" for match in _ATTRIBUTE.finditer(value)}
        label = attributes.get("label", "") if attributes else value
        if kind == "grid" and _SHAPE.fullmatch(label):
            label = ""
        elif kind == "grid" and (shape := _SHAPE.match(label)):
            label = label[shape.end() :]
        heading = split_count(re.sub(r"\\n.*", "", label).strip(" \"'[]:"))
        title = _LABELS.get(kind, kind.replace("_", " ").capitalize())
        if self.sections.is_empty and self.sections.name and not heading.name:
            # A comment before the block names it.
            if kind != "chorus" or "horus" in self.sections.name or "efr" in self.sections.name:
                return
            self.sections.rename(title)
            return
        if self.sections.is_empty and self.sections.name:
            self.sections.rename(heading.name or title)
            return
        self.sections.start(heading.name or title, heading.repeats, is_heading=False)
        if kind == "chorus":
            self.chorus = heading.name or title

    def _end(self):
        block, self.block = self.block, ""
        if block and block not in _SKIPPED:
            self.sections.start("", is_heading=False)

    def _recall(self, value: str):
        attributes = {match[1].lower(): match[2] or match[3] or match[4] for match in _ATTRIBUTE.finditer(value)}
        heading = split_count(attributes.get("label") or ("" if attributes else value))
        if not self.sections.recall(self.chorus, heading.repeats, heading.name):
            self._warn_once(f"{self.name}: {{chorus}} comes before a chorus and was skipped.")
        self.sections.start("", is_heading=False)

    def _take_comment(self, value: str):
        if _BRACKET.search(value) and self._is_row(value):
            return
        heading = parse_heading(value)
        if heading is not None and self.block not in ("chorus", "verse", "bridge"):
            self.sections.start(heading.name, heading.repeats)

    # Text

    def _take_text(self, item: _Item):
        text = item.value or ""
        if self.block in _SKIPPED or not text.strip():
            return
        if self.block == "grid":
            self._take_grid_row(item)
        elif (is_tab_line(text) or _has_tab(text)) and not _BRACKET.search(text):
            return
        elif (
            (match := _BRACKET.fullmatch(text.strip()))
            and self._to_chords(match[1]) is None
            and not match[1].startswith("*")
        ):
            if heading := parse_heading(match[1]):
                self.sections.start(heading.name, heading.repeats)
            else:
                self._skip(match[1], item.line)
        elif self._is_row(text):
            self._take_row(item)
        elif _BRACKET.search(text):
            self._take_lyrics(text, item.line)
        elif heading := parse_heading(text):
            self.sections.start(heading.name, heading.repeats)
        elif self.chord_lines and (chords := self._chords_of_line(text)):
            for chord in chords:
                self._add_chord(chord)
        else:
            self._add_lyrics(text)

    def _chords_of_line(self, text: str) -> list[str]:
        """The chords of a line that contains nothing else; empty for lyrics."""
        words = [word.rstrip("|/.%()-").lstrip("|/.%(-") for word in text.split()]
        words = [word for word in words if word]
        labels = [self.bars.read(word) for word in words]
        return [label for label in labels if label] if all(labels) and words else []

    def _is_row(self, text: str) -> bool:
        """Whether a line is bar notation: bar lines and chords, without lyrics."""
        if "|" not in _BRACKET.sub("", text) and "|" not in text:
            return False
        plain = _BRACKET.sub(" ", text)
        words = [word for word in re.split(r"[\s|:]+", plain) if word]
        if not _BRACKET.search(text):
            chords = [word for word in words if read_label(word, self.bars.notation)]
            return bool(chords) and len(chords) >= sum(word[0].isalpha() for word in words)
        return not any(
            re.search(r"\w", word) for word in words if not re.fullmatch(r"(?i)\(?[x×]?\d{1,2}[x×]?\)?", word)
        )

    def _take_row(self, item: _Item):
        row = _BRACKET.sub(lambda match: f" {match[1].strip()} ", item.value or "")
        row = re.sub(r"(?<!\S)\*\S*", " ", row)
        for measure in parse_row(row, self.name, item.line, item.column):
            kept = []
            for cell in measure.cells:
                is_chord = all(read_label(part, self.bars.notation) for part in cell.text.split("~"))
                if is_chord or re.fullmatch(r"[%./]+", cell.text):
                    kept.append(cell)
                else:
                    self._skip(cell.text, item.line)
            measure.cells = kept
            self._add_measure(measure)

    def _take_grid_row(self, item: _Item):
        text = item.value or ""
        first = re.search(r"[|:]?\|", text)
        if first is None or re.match(r"\s*\|[sS]\b", text):
            return  # a comment or strumming
        left = text[: text.index("|")]
        start = len(left) - (1 if left.endswith(":") else 0)
        body, right = text[start:], ""
        end = body.rfind("|")
        tail = body[end + 1 :]
        if tail.strip() and not tail.strip().startswith(":"):
            body, right = body[: end + 1], tail
            count = re.search(r"(?i)(?:[x×]\s*(\d{1,2})|(\d{1,2})\s*(?:[x×]|times))", right)
            if self._chords_of_line(right) or right.strip() in (".", "%"):
                body, right = body + right, ""
            elif count:
                body += f" x{count[1] or count[2]}"
        label = parse_heading(text[:start].strip(" :")) if text[:start].strip(" :") else None
        if label is not None or re.fullmatch(r"\s*[A-H][0-9']?\s*", text[:start]):
            heading = label or split_count(text[:start])
            if self.sections.is_empty:
                self.sections.rename(heading.name)
            else:
                self.sections.start(heading.name, heading.repeats, is_heading=False)
        for measure in parse_row(body, self.name, item.line, item.column + start):
            self._add_measure(measure)

    def _add_measure(self, measure: Measure):
        if measure.cells and self.bars.chord is None and all(cell.text in (".", "/") for cell in measure.cells):
            measure.cells = [Cell("N.C.", measure.cells[0].column)]
        self.bars.add_measure(measure)
        self.sections.flush_lyrics()

    def _take_lyrics(self, text: str, line: int):
        position = 0
        for match in _BRACKET.finditer(text):
            # A word that continues after the chord ends with a hyphen.
            before, after = text[: match.start()][-1:], text[match.end() : match.end() + 1]
            is_inside_word = before.isalnum() and after.isalnum()
            self._add_lyrics(text[position : match.start()] + ("-" if is_inside_word else ""))
            position = match.end()
            content = match[1].strip()
            if content.startswith("*") or not content:
                continue
            chords = self._to_chords(content)
            if chords is None:
                self._skip(content, line)
            for chord in chords or ():
                self._add_chord(chord)
        self._add_lyrics(text[position:])

    def _to_chords(self, content: str) -> list[str] | None:
        """The chords in a pair of brackets; `None` if they contain other text."""
        content = content.strip(" |:")
        for text in (content, re.sub(r"\([^()]*\)$", "", content)):  # an alternative in parentheses
            if (label := self.bars.read(text)) is not None:
                return [label]
        words = [word for word in _SEPARATOR.split(re.sub(r"[|:]", " ", content)) if re.search(r"\w", word)]
        labels = [self.bars.read(word) for word in words]
        return [label for label in labels if label] if labels and all(labels) else None

    def _skip(self, content: str, line: int):
        if re.search(r"\w", content):
            self.ignored.append(f"{shorten(content)} (line {line})")

    def _add_chord(self, label: str):
        self.bars.add_chord(label)
        self.has_guessed_rhythm = True
        self.sections.flush_lyrics()

    def _add_lyrics(self, text: str):
        if words := _LINK.sub("", text).strip():
            self.sections.add_lyrics(words)


def _read_signature(text: str) -> TimeSignature | None:
    match = re.match(r"\s*(\d{1,2})\s*/\s*(\d{1,2})", text)
    try:
        return TimeSignature.parse(match[0] if match else text)
    except InputError:
        return None


def _find_abc(text: str) -> str | None:
    """The content of the first block of ABC notation."""
    start = _ABC_START.search(text)
    end = _ABC_END.search(text, start.end()) if start is not None else None
    return text[start.end() : end.start()] if start is not None and end is not None else None


def _has_tab(text: str) -> bool:
    """Whether a line contains six hyphens, then a fret, then two hyphens."""
    position = 0
    for pattern in (r"[-–]{6}", r"\d", r"[-–]{2}"):
        match = re.compile(pattern).search(text, position)
        if match is None:
            return False
        position = match.end()
    return True


def _split_directive(content: str) -> tuple[str, str, str | None] | None:
    """The name, the selector and the value of a directive without its braces; `None` for other text."""
    content = content.strip()
    match = _NAME.match(content)
    if match is None:
        return None
    rest = content[match.end() :].lstrip()
    value = rest[1:] if rest[:1] in (":", "=") else rest
    return match[1].lower(), match[2] or "", value.strip() if rest else None


def _items(text: str, name: str) -> Iterator[_Item]:
    """Splits a text into directives and pieces of text, without those that depend on an instrument or a user."""
    lines = split_lines(text, name)
    skipped = ""  # the kind of a block with a selector
    for number, line in enumerate(lines, start=1):
        if line.lstrip().startswith("#"):
            continue
        position = 0
        for match in _BRACES.finditer(line):
            directive = _split_directive(match[1])
            if directive is None:
                continue
            if not skipped and line[position : match.start()].strip():
                yield _Item(number, position + 1, "", line[position : match.start()])
            position = match.end()
            key, selector, value = directive
            key = _SHORT.get(key, key)
            is_excluded = bool(selector) and not selector.endswith("!")
            if skipped:
                skipped = "" if key == f"end_of_{skipped}" else skipped
            elif is_excluded and key.startswith("start_of_"):
                skipped = key.removeprefix("start_of_")
            elif not is_excluded:
                yield _Item(number, match.start() + 1, key, value)
        if not skipped and line[position:].strip():
            yield _Item(number, position + 1, "", line[position:])


def _first_song(items: Iterator[_Item], name: str) -> Iterator[_Item]:
    """The items up to the second song."""
    has_text = False
    for item in items:
        if item.name == "new_song":
            if has_text:
                logger.warning(f"{name} has several songs ({{new_song}}); the first one is read.")
                return
            continue
        has_text = has_text or not item.name
        yield item
