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

"""Reads chord files in any supported format."""

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

# Lead sheets, which `controls.lead_sheet` reads, and scores that have to be exported in one of these formats.
_LEAD_SHEETS = (".abc", ".musicxml", ".xml", ".mxl", ".cho", ".chopro", ".chordpro", ".pro", ".crd", ".html", ".htm",
                ".irealb", ".chord")  # fmt: skip
_SCORES = (".onsong", ".krn", ".mscx", ".mscz", ".gp", ".gp3", ".gp4", ".gp5", ".gpx", ".sgu", ".mgu", ".ls",
           ".rntxt")  # fmt: skip
_LEAD_SHEET_TEXT = re.compile(
    r"\s*(irealb(ook)?://|<\?xml|<!doctype|<score-partwise|<html|X:\s*\d+\s*$|%abc"
    r"|\{(title|t|artist|key|start_of|soc|sov)\b)",
    re.IGNORECASE | re.MULTILINE,
)
# Timed lyrics and subtitles, and texts with section headings such as [Verse].
_LYRICS = re.compile(
    r"\s*(WEBVTT\b|\[\d+:\d\d([.:]\d+)?\]|\[[\d:.]+ *-"
    r" *[\d:.]+\]|\[[A-Za-z#][^\[\]\n,]*\]\s*$|(\d+\s+)?[\d:.,]{7,}\s*-->)",
    re.MULTILINE,
)
_CHORDS_IN_LYRICS = re.compile(r"^[^|\n]*\[[A-G][^\]\s,'\"]*\] ?[A-Za-z]", re.MULTILINE)
_DEGREES = {5, 6, 7, 9, 11, 13}
_STARTS = re.compile(r"[^\s\d]\S*:-?\d+(\.\d*)?([eE][+-]?\d+)?[,;]?")


def chords_from_file(path: str | os.PathLike) -> Chords:
    r"""
    Reads the chords of a file: annotations with one line per chord, in bars or in JSON, layers of Sonic Visualiser,
    and MIDI.

    Args:
        path (`str` or `os.PathLike`): the file. Its suffix has to be known; the format of a text is detected from its
            content.

    Returns:
        `list` of `(label, start)`.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the format is unknown or the file can't be read; the message contains the number of the
            invalid line.
    """
    suffix = Path(path).suffix.lower()
    if is_midi_file(path):
        return chords_from_midi(path)
    if suffix == ".jams":
        return chords_from_jams(path)
    if suffix in _LEAD_SHEETS:
        raise InputError(
            f"`chords`: {os.fspath(path)} is a lead sheet ({suffix}), not a chord file. {_use_reader(path)}", "chords"
        )
    if suffix in _SCORES:
        raise InputError(
            f"`chords`: {os.fspath(path)} is a score or lead sheet ({suffix}), which can't be read. Export it as MusicXML,"
            f" ABC or ChordPro. {_use_reader('song.musicxml')} Chord files end in {READABLE}.",
            "chords",
        )
    if suffix not in TEXT_SUFFIXES and (suffix or not os.path.isfile(path)):
        raise InputError(
            f"`chords` files have to end in {READABLE}, but this is {shorten(os.fspath(path))}. Text has to contain"
            " chords with their starts in seconds, such as 'C:0 Am:2.5'.",
            "chords",
        )
    text = read_text(path, "chords")
    if suffix == ".svl":
        return _from_layer(text, os.fspath(path))
    return chords_from_annotation(text, os.fspath(path))


def chords_from_annotation(text: str, name: str | None = None) -> Chords:
    r"""
    Reads chords from text, whose format is detected: that of a chord file, chords with their starts (`"C:0 Am:2.5"`),
    or pairs.

    Args:
        text (`str`): the text.
        name (`str`, *optional*): name of the source file for error messages.

    Raises:
        [`InputError`]: if the text can't be read.
    """
    content = text.strip()
    source = name or "the text"
    if _LEAD_SHEET_TEXT.match(content) or _CHORDS_IN_LYRICS.search(content[:10_000]):
        raise InputError(
            f"`chords`: {source} is a lead sheet or score, not a chord file. {_use_reader(name)}", "chords"
        )
    if _LYRICS.match(content):
        raise InputError(
            f"`chords`: {source} is a lead sheet, lyrics, subtitles or another text in sections, not a chord file."
            f" Write one line per chord with its start in seconds: '2.5 Am'. For a chart in sections: {_use_reader(name)}",
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


def _use_reader(path: str | os.PathLike | None) -> str:
    """How to read a lead sheet."""
    source = "text" if path is None else repr(os.fspath(path))
    return f"Use diffusers_jasco.controls.lead_sheet: pipe(**read_lead_sheet({source}).to_controls())."


def has_times(text: str) -> bool:
    """Whether a text has chords with times, as opposed to chords or numerals in bars."""
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
    """Whether at least half of the words of a text have a start, as in `C:0`."""
    words = [word for line in _without_comments(text) for word in re.split(r"[\s|]+", line) if word]
    return bool(words) and sum(_STARTS.fullmatch(word) is not None for word in words) >= len(words) / 2


def _has_degrees(text: str) -> bool:
    """Whether the numbers after the colons of `"C:5 | G:7"` are degrees in Harte syntax; starts would increase."""
    numbers = [float(number) for number in re.findall(r":(-?[\d.]+)", text)]
    increasing = all(earlier < later for earlier, later in zip(numbers, numbers[1:]))
    return set(numbers) <= _DEGREES and ("|" in text or not increasing)


def _from_layer(text: str, name: str) -> Chords:
    """
    Reads a layer of Sonic Visualiser: points with a frame and a label. No XML parser, so that no entities are
    expanded.
    """
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
