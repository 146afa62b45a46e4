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

"""Splits ABC files into tunes and fields, and decodes their text."""

import html
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from diffusers.utils import logging

from ....utils.errors import InputError, list_names, shorten


logger = logging.get_logger(__name__)

# A letter, a colon and a value. `A:|` is a note before a repeat sign.
FIELD = re.compile(r"\s*([A-Za-z+]):(?![|:])\s*(.*)")

_MAX_HEADER = 1_000  # lines of the file header, which are part of each tune
_REFERENCE = re.compile(r"\s*X\s*:")
_MUSIC = re.compile(r"[\sA-Ga-gxyzZXu-wH-W'`,^_=\d/|:\[\]()<>~.\-\\&*$!+{}]+")
_ACCENTS = {"`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", '"': "\u0308", "o": "\u030a", "c": "\u0327",
            "v": "\u030c", "u": "\u0306", "H": "\u030b", "=": "\u0304", ";": "\u0328", ".": "\u0307"}  # fmt: skip
_LIGATURES = {"aa": "å", "AA": "Å", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "ss": "ß", "/o": "ø", "/O": "Ø",
              "/d": "đ", "/D": "Đ", "/l": "ł", "/L": "Ł"}  # fmt: skip


class Line(NamedTuple):
    """A line of a file: its number, counted from 1, and its text without comments."""

    number: int
    text: str


@dataclass(frozen=True)
class Tune:
    r"""
    The lines of a tune.

    Args:
        number (`str`): its reference number (`X:`).
        titles (`tuple[str, ...]`): its titles (`T:`).
        lines (`tuple` of [`Line`]): its lines, after those of the file header.
        comments (`dict[int, str]`): comments by the numbers of the lines that consist of them.
    """

    number: str
    titles: tuple[str, ...]
    lines: tuple[Line, ...]
    comments: dict[int, str]


class Notes:
    """Collects warnings about a tune, so that each kind is reported once with its first position."""

    def __init__(self, name: str):
        self.name = name
        self.counts: dict[str, list[str]] = {}

    def add(self, kind: str, line: int, value: str = ""):
        self.counts.setdefault(kind, []).append(f"line {line}" + (f": {shorten(value)}" if value else ""))

    def log(self):
        for kind, places in self.counts.items():
            logger.warning(f"{self.name}: {kind} ({list_names(places, 3)}).")

    def fail(self, line: int, message: str, column: int | None = None) -> NoReturn:
        place = f"line {line}" if column is None else f"line {line}, column {column}"
        raise InputError(f"`source`: {self.name}, {place}: {message}", "source")


def is_abc(text: str) -> bool:
    r"""
    Whether a text is ABC notation: it has a key (`K:`) and another field of a header, each at the beginning of a line.

    Args:
        text (`str`): the text.
    """
    if re.match(r"\ufeff?%abc", text):
        return True
    letters = {match[1] for match in re.finditer(r"^[^\S\n]*([XTMLQK])[^\S\n]*:", text[:200_000], re.MULTILINE)}
    return "K" in letters and len(letters) > 1


def split_tunes(text: str, name: str) -> list[Tune]:
    r"""
    Splits a file into its tunes. A tune begins with `X:` and ends at an empty line, unless more music follows.

    Args:
        text (`str`): the file.
        name (`str`): name of the file for warnings.

    Returns:
        `list` of [`Tune`], empty if there is none.
    """
    lines, found = _read_lines(text)
    comments = list(found.items())
    starts = [index for index, line in enumerate(lines) if _REFERENCE.match(line.text)]
    if not starts:
        first = next((index for index, line in enumerate(lines) if FIELD.match(line.text)), None)
        return [] if first is None else [_to_tune("", lines, comments, name)]
    header = [line for line in _first_block(lines[: starts[0]]) if _is_file_header(line)]
    if len(header) > _MAX_HEADER:
        raise InputError(
            f"`source`: {name} has {len(header):,} lines before its first tune; the limit is {_MAX_HEADER:,}.",
            "source",
        )
    tunes = []
    for start, end in zip(starts, [*starts[1:], len(lines)]):
        number = lines[start].text.partition(":")[2].strip()
        tunes.append(_to_tune(number, [*header, *lines[start:end]], comments, name))
    return tunes


def decode_text(text: str) -> str:
    """Decodes ABC's mnemonics (backslash, accent and letter), `\\u00e9` and HTML entities."""
    if "\\" in text:
        text = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda match: chr(int(match[1], 16)), text)
        text = re.sub(r"\\(aa|AA|ae|AE|oe|OE|ss|/[oOdDlL])", lambda match: _LIGATURES[match[1]], text)
        text = re.sub(r"\\([`'^~\"ocvuH=;.])([A-Za-z])", _compose, text)
        text = re.sub(r"\\([&%\\])", r"\1", text)
    if "&" in text:
        text = html.unescape(text)
    return "".join(char for char in text if char.isprintable()).strip()


def _compose(match: re.Match) -> str:
    return unicodedata.normalize("NFC", match[2] + _ACCENTS[match[1]])


def _read_lines(text: str) -> tuple[list[Line], dict[int, str]]:
    """The lines without comments, `%%` directives excepted, and the comments that fill a line."""
    lines, comments = [], {}
    skipped_to = None
    for number, raw in enumerate(re.split(r"\r\n|[\n\r]", text.removeprefix("\ufeff")), 1):
        stripped = raw.strip()
        if skipped_to is not None:
            skipped_to = None if skipped_to in stripped[:40] else skipped_to
            continue
        if begin := re.match(r"(?:%%|I:)begin(\w+)", stripped):
            skipped_to = f"end{begin[1]}"
            continue
        if stripped.startswith("%%"):
            lines.append(Line(number, stripped))
        elif stripped.startswith("%"):
            comments[number] = stripped.lstrip("% ")
        else:
            lines.append(Line(number, re.sub(r"(?<!\\)%.*", "", raw).rstrip()))
    return lines, comments


def _first_block(lines: list[Line]) -> Iterable[Line]:
    """The file header: the lines before the first empty one that follows a field."""
    seen = False
    for line in lines:
        if line.text.strip():
            seen = True
            yield line
        elif seen:
            return


def _is_file_header(line: Line) -> bool:
    match = FIELD.match(line.text)
    return line.text.startswith("%%") or (match is not None and match[1] in "CILMmOQRU")


def _to_tune(number: str, lines: list[Line], comments: list[tuple[int, str]], name: str) -> Tune:
    lines = _until_empty_line(lines, name)
    titles = []
    for line in lines:
        match = FIELD.match(line.text)
        if match and match[1] == "T" and match[2]:
            titles.append(decode_text(match[2]))
        if match and match[1] == "K":
            break
    first, last = (lines[0].number, lines[-1].number) if lines else (0, 0)
    inside = comments[bisect_left(comments, (first, "")) : bisect_left(comments, (last + 1, ""))]
    return Tune(number, tuple(titles), tuple(lines), dict(inside))


def _until_empty_line(lines: list[Line], name: str) -> list[Line]:
    """Cuts a tune at an empty line after its header, unless music follows there."""
    result: list[Line] = []
    in_body = False
    following: Line | None = None
    followings: list[Line | None] = []  # the first line with text from each line on
    for line in reversed(lines):
        following = line if line.text.strip() else following
        followings.append(following)
    for line, following in zip(lines, reversed(followings)):
        if not line.text.strip():
            if in_body and (following is None or not _continues(following.text)):
                break
            continue
        result.append(line)
        match = FIELD.match(line.text)
        in_body = in_body or (match is not None and match[1] == "K")
    return result


def _continues(text: str) -> bool:
    """Whether a line after an empty one belongs to the same tune, as in texts that are not strictly ABC."""
    match = FIELD.match(text)
    if match:
        return match[1] in "VPwKMLQ" or match[1] == "W"
    plain = re.sub(r'"[^"]*"|!\w+!|\[[A-Z]:[^\[\]]*\]', "", text)
    return "|" in plain and _MUSIC.fullmatch(plain) is not None
