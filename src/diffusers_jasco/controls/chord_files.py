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

"""Files with chords: which function reads them."""

import html
import os
import re
from pathlib import Path

from ..utils.errors import InputError, shorten
from ..utils.files import read_text
from .chord_charts import chords_from_salami, is_salami
from .chord_jams import chords_from_jams, chords_from_json
from .chord_tables import chords_from_table, is_table
from .chord_texts import chords_from_text, chords_from_tuples
from .chord_timeline import Chords
from .midi import MIDI_SUFFIXES, is_midi_file
from .midi_chords import chords_from_midi


TEXT_SUFFIXES = (".lab", ".chords", ".csv", ".tsv", ".txt", ".json", ".jsonl", ".svl")
CHORD_SUFFIXES = (*TEXT_SUFFIXES, ".jams", *MIDI_SUFFIXES)
READABLE = f"{', '.join(CHORD_SUFFIXES)} or an audio file's suffix"

# Formats of scores and lead sheets.
_LEAD_SHEETS = (".abc", ".musicxml", ".xml", ".mxl", ".cho", ".chopro", ".chordpro", ".chord", ".pro", ".crd", ".onsong", ".html",
                ".htm", ".irealb", ".krn", ".mscx", ".mscz", ".gp", ".gp3", ".gp4", ".gp5", ".gpx", ".sgu", ".mgu", ".ls",
                ".rntxt")  # fmt: skip
_LEAD_SHEET_TEXT = re.compile(
    r"\s*(irealb(ook)?://|<\?xml|<!doctype|<score-partwise|<html|X:\s*\d+\s*$|%abc|\{(title|t|artist|key|start_of|soc|sov)\b)",
    re.IGNORECASE | re.MULTILINE,
)
# Lyrics and subtitles with times, and texts in sections such as [Verse].
_LYRICS = re.compile(
    r"\s*(WEBVTT\b|\[\d+:\d\d([.:]\d+)?\]|\[[\d:.]+ *- *[\d:.]+\]|\[[A-Za-z#][^\[\]\n,]*\]\s*$|(\d+\s+)?[\d:.,]{7,}\s*-->)",
    re.MULTILINE,
)
_CHORDS_IN_LYRICS = re.compile(r"^[^|\n]*\[[A-G][^\]\s,'\"]*\] ?[A-Za-z]", re.MULTILINE)
_DEGREES = {5, 6, 7, 9, 11, 13}
_STARTS = re.compile(r"[^\s\d]\S*:-?\d+(\.\d*)?([eE][+-]?\d+)?[,;]?")


def chords_from_file(path: str | os.PathLike) -> Chords:
    r"""
    The chords of a file: annotations with a line per chord, with bars or in JSON, Sonic Visualiser's layers, and MIDI.

    Args:
        path (`str` or `os.PathLike`): the file; its suffix has to be known, the format of a text is told by its content.

    Returns:
        `list` of `(label, start)`.

    Raises:
        `FileNotFoundError`: for an absent file.
        [`InputError`]: for another kind of file, and for one that can't be read, with the number of the line at fault.
    """
    suffix = Path(path).suffix.lower()
    if is_midi_file(path):
        return chords_from_midi(path)
    if suffix == ".jams":
        return chords_from_jams(path)
    if suffix in _LEAD_SHEETS:
        raise InputError(
            f"`chords`: {os.fspath(path)} is a lead sheet or score ({suffix}), which can't be read yet. Files with chords end"
            f" in {READABLE}; chords in bars can be given as text: chords_from_bars('C | Am | F | G', bpm=120).",
            "chords",
        )
    if suffix not in TEXT_SUFFIXES and (suffix or not os.path.isfile(path)):
        raise InputError(
            f"`chords` files have to end in {READABLE}, but this is {shorten(os.fspath(path))}. A text has chords with their"
            " starts in seconds, such as 'C:0 Am:2.5'.",
            "chords",
        )
    text = read_text(path, "chords")
    if suffix == ".svl":
        return _from_layer(text, os.fspath(path))
    return chords_from_annotation(text, os.fspath(path))


def chords_from_annotation(text: str, name: str | None = None) -> Chords:
    r"""
    The chords of a text by its content: those of files, chords with their starts (`"C:0 Am:2.5"`), or pairs.

    Args:
        text (`str`): the text.
        name (`str`, *optional*): name of the file that it is from, for messages.

    Raises:
        [`InputError`]: for a text that can't be read.
    """
    content = text.strip()
    source = name or "the text"
    if _LEAD_SHEET_TEXT.match(content) or _CHORDS_IN_LYRICS.search(content[:10_000]):
        raise InputError(f"`chords`: {source} is a lead sheet or score, which can't be read yet.", "chords")
    if _LYRICS.match(content):
        raise InputError(
            f"`chords`: {source} is a lead sheet, lyrics, subtitles or another text in sections, which can't be read. Chords with their"
            " starts in seconds are a line each: '2.5 Am'.",
            "chords",
        )
    if content.startswith("{") or re.match(r"\[\s*(\{|\[\s*[^'\s])", content):
        return chords_from_json(content, source)
    if content.startswith(("(", "[")):
        return chords_from_tuples(content)
    if is_salami(content):
        return chords_from_salami(text, source)
    if has_times(content) and not _is_text(content):
        return chords_from_table(text, source)
    try:
        return chords_from_text(" ".join(_without_comments(content)))
    except InputError as error:
        if name is None:
            raise
        message = str(error).replace("`chords`:", f"`chords`: {name}:", 1)
        raise InputError(message, "chords", error.position) from None


def has_times(text: str) -> bool:
    """Whether a text has chords with their times, and not chords or numerals in bars."""
    content = text.strip()
    if content.startswith(("{", "[", "(")) or is_salami(content):
        return True
    if _is_text(content):
        return not _has_degrees(content)
    return is_table(content)


def _without_comments(text: str) -> list[str]:
    lines = [line.strip() for line in re.split(r"[\r\n]+", text)]
    return [line for line in lines if line and not line.startswith(("#", "//", ";"))]


def _is_text(text: str) -> bool:
    """Whether a text has words such as `C:0`, of which at least half tell a start."""
    words = [word for line in _without_comments(text) for word in re.split(r"[\s|]+", line) if word]
    return bool(words) and sum(_STARTS.fullmatch(word) is not None for word in words) >= len(words) / 2


def _has_degrees(text: str) -> bool:
    """Whether the numbers behind the colons of `"C:5 | G:7"` are degrees of Harte's notation: the starts of chords increase."""
    numbers = [float(number) for number in re.findall(r":(-?[\d.]+)", text)]
    increasing = all(earlier < later for earlier, later in zip(numbers, numbers[1:]))
    return set(numbers) <= _DEGREES and ("|" in text or not increasing)


def _from_layer(text: str, name: str) -> Chords:
    """A layer of Sonic Visualiser: points with a frame and a label. Read without an XML parser: no entities are expanded."""
    rate = re.search(r"<model[^<>]*\bsampleRate=\"(\d+)\"", text)
    points = re.findall(r"<point\b([^<>]*)>", text)
    if rate is None or not int(rate[1]):
        raise InputError(f"`chords`: {name} is not a layer of Sonic Visualiser with a sampling rate.", "chords")
    chords: Chords = []
    for point in points:
        attributes = dict(re.findall(r"(\w+)=\"([^\"]*)\"", point))
        if not attributes.get("label") or not re.fullmatch(r"-?\d{1,15}", attributes.get("frame", "")):
            raise InputError(
                f"`chords`: {name} has a point without a frame and a label: {shorten(point.strip())}.", "chords"
            )
        chords.append((html.unescape(attributes["label"]).strip(), int(attributes["frame"]) / int(rate[1])))
    return chords
