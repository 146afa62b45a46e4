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

"""Reads and writes files of lead sheets; the format follows from the suffix and the content."""

import os
from pathlib import Path

from ...utils.errors import InputError, shorten
from ...utils.files import looks_like_path, read_text, replace_file
from ..midi import is_midi_file
from .chart_text import read_chart
from .chordpro import is_chordpro, read_chordpro
from .ireal import is_ireal, read_ireal
from .json_format import read_json, to_json
from .lab_writer import to_lab
from .midi_reader import read_midi
from .midi_writer import to_midi
from .musicxml_file import MUSICXML_SUFFIXES, is_musicxml_file
from .musicxml_reader import read_musicxml
from .musicxml_writer import compress_musicxml, to_musicxml
from .sheet import LeadSheet


CHORDPRO_SUFFIXES = (".cho", ".chopro", ".chordpro", ".crd", ".pro")
WRITABLE = (".lab", ".musicxml", ".xml", ".mxl", ".mid", ".midi", ".json")


def read_lead_sheet(
    source: str | os.PathLike, part: str | int | None = None, tune: str | int | None = None
) -> LeadSheet:
    r"""
    Reads a lead sheet.

    Args:
        source (`str` or `os.PathLike`):
            A file or text: MIDI, MusicXML, `.json`, ChordPro (`.cho`, `.chopro`, ...), links and pages of iReal Pro, and
            chord charts in plain text. The format of other texts is detected from the content.
        part (`str` or `int`, *optional*):
            The melody track of a MIDI file or part of a MusicXML score; see [`read_midi`] and [`read_musicxml`].
        tune (`int` or `str`, *optional*): number or title of a tune of a file that has several; see [`read_ireal`].

    Returns:
        [`LeadSheet`]

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the source can't be read; the message says where.
    """
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(f"`source` has to be a file or text, but is {shorten(source)}.", "source")
    if not _is_file_name(source):
        return _read_text(str(source), "the text", tune)
    name, suffix = os.fspath(source), Path(source).suffix.lower()
    if is_midi_file(source):
        return read_midi(source, part)
    if is_musicxml_file(source):
        return read_musicxml(source, part, tune)
    text = read_text(source, "source")
    if suffix == ".json":
        return read_json(text, name)
    return read_chordpro(text, name) if suffix in CHORDPRO_SUFFIXES else _read_text(text, name, tune)


def _read_text(text: str, name: str, tune: str | int | None) -> LeadSheet:
    if is_ireal(text):
        return read_ireal(text, name, tune)
    return read_chordpro(text, name) if is_chordpro(text) else read_chart(text, name)


def _is_file_name(source: str | os.PathLike) -> bool:
    return isinstance(source, os.PathLike) or (looks_like_path(source) and not is_ireal(source))


def save_lead_sheet(sheet: LeadSheet, path: str | os.PathLike):
    """Writes a sheet; see [`LeadSheet.save`]."""
    check_suffix(path, "path")
    suffix = Path(path).suffix.lower()
    if suffix in (".mid", ".midi"):
        data = to_midi(sheet)
    elif suffix in MUSICXML_SUFFIXES:
        text = to_musicxml(sheet)
        data = compress_musicxml(text) if suffix == ".mxl" else text.encode("utf-8")
    else:
        data = (to_lab(sheet) if suffix == ".lab" else to_json(sheet)).encode("utf-8")
    with replace_file(path) as temporary:
        temporary.write_bytes(data)


def check_suffix(path: str | os.PathLike, argument: str):
    """Raises an [`InputError`] unless a lead sheet can be written to a file of this name."""
    if Path(path).suffix.lower() not in WRITABLE:
        raise InputError(f"`{argument}` has to end in {', '.join(WRITABLE)}, but is {shorten(path)}.", argument)
