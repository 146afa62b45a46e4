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
from .json_format import read_json, to_json
from .midi_reader import read_midi
from .midi_writer import to_midi
from .musicxml_file import MUSICXML_SUFFIXES, is_musicxml_file
from .musicxml_reader import read_musicxml
from .musicxml_writer import compress_musicxml, to_musicxml
from .sheet import LeadSheet


WRITABLE = (".musicxml", ".xml", ".mxl", ".mid", ".midi", ".json")


def read_lead_sheet(
    source: str | os.PathLike, part: str | int | None = None, tune: str | int | None = None
) -> LeadSheet:
    r"""
    Reads a lead sheet.

    Args:
        source (`str` or `os.PathLike`): a file or text; `.json`, MIDI and MusicXML files are read.
        part (`str` or `int`, *optional*): the melody track of a MIDI file or part of a MusicXML score; see [`read_midi`]
            and [`read_musicxml`].
    """
    if not _is_file_name(source):
        raise InputError(f"`source` has to be a file, but is {shorten(source)}.", "source")
    name = os.fspath(source)
    if is_midi_file(source):
        return read_midi(source, part)
    if is_musicxml_file(source):
        return read_musicxml(source, part, tune)
    return read_json(read_text(source, "source"), name)


def _is_file_name(source: str | os.PathLike) -> bool:
    return isinstance(source, os.PathLike) or looks_like_path(source)


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
        data = to_json(sheet).encode("utf-8")
    with replace_file(path) as temporary:
        temporary.write_bytes(data)


def check_suffix(path: str | os.PathLike, argument: str):
    """Raises an [`InputError`] unless a lead sheet can be written to a file of this name."""
    if Path(path).suffix.lower() not in WRITABLE:
        raise InputError(f"`{argument}` has to end in {', '.join(WRITABLE)}, but is {shorten(path)}.", argument)
