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

"""Reads and writes files of lead sheets. The format follows from the suffix and the content."""

import os
from collections.abc import Callable
from pathlib import Path

from ...utils.errors import EmptyInputError, InputError, shorten
from ...utils.files import looks_like_path, read_text, replace_file
from ..midi import MIDI_SUFFIXES, is_midi_file
from .abc.reader import read_abc
from .abc.text import is_abc
from .abc.writer import to_abc
from .charts.chordpro import is_chordpro, read_chordpro
from .charts.ireal import is_ireal, read_ireal
from .charts.text import read_chart
from .json_format import is_json, read_json, to_json
from .lab_writer import to_lab
from .midi.reader import read_midi
from .midi.writer import to_midi
from .musicxml.file import MUSICXML_SUFFIXES, is_musicxml
from .musicxml.reader import parse_musicxml, read_musicxml
from .musicxml.writer import to_musicxml, to_mxl
from .sheet import LeadSheet


# Readers of files, and readers of text.
_FILES = dict.fromkeys(MUSICXML_SUFFIXES, read_musicxml) | dict.fromkeys(MIDI_SUFFIXES, read_midi)
_TEXTS: dict[str, Callable[..., LeadSheet]] = {
    ".abc": read_abc,
    ".json": read_json,
    **dict.fromkeys((".cho", ".chopro", ".chordpro", ".chord", ".crd", ".pro"), read_chordpro),
    **dict.fromkeys((".html", ".htm", ".irealb"), read_ireal),
}
_DETECTED = (".txt", ".text", "")  # the content decides
# In this order: the more specific formats come first.
_FORMATS: tuple[tuple[Callable[[str], bool], Callable[..., LeadSheet]], ...] = (
    (is_musicxml, parse_musicxml),
    (is_ireal, read_ireal),
    (is_json, read_json),
    (is_chordpro, read_chordpro),
    (is_abc, read_abc),
)
# The options of the readers that have any.
_OPTIONS: dict[Callable[..., LeadSheet], tuple[str, ...]] = {
    read_abc: ("part", "tune"),
    read_ireal: ("tune",),
    read_midi: ("part",),
    read_musicxml: ("part",),
    parse_musicxml: ("part",),
}
# Programs whose files need an export: suffix → program.
_OTHERS = {".mscz": "MuseScore", ".mscx": "MuseScore", ".sib": "Sibelius", ".musx": "Finale", ".mus": "Finale",
           ".dorico": "Dorico", ".gp": "Guitar Pro", ".gp3": "Guitar Pro", ".gp4": "Guitar Pro", ".gp5": "Guitar Pro",
           ".gpx": "Guitar Pro", ".krn": "Humdrum", ".cap": "Capella", ".ly": "LilyPond"}  # fmt: skip
_WRITERS: dict[str, Callable[[LeadSheet], str | bytes]] = {
    ".abc": to_abc, ".musicxml": to_musicxml, ".xml": to_musicxml, ".mxl": to_mxl, ".mid": to_midi, ".midi": to_midi,
    ".lab": to_lab, ".json": to_json,
}  # fmt: skip


def read_lead_sheet(
    source: str | os.PathLike, part: str | int | None = None, tune: str | int | None = None
) -> LeadSheet:
    r"""
    Reads a lead sheet from a file or from text.

    Args:
        source (`str` or `os.PathLike`):
            A file: ABC (`.abc`), MusicXML (`.musicxml`, `.xml`, `.mxl`), MIDI (`.mid`, `.midi`, `.kar`, `.rmi`), ChordPro
            (`.cho`, `.chopro`, `.chordpro`, `.chord`, `.crd`, `.pro`), pages that iReal Pro exports (`.html`), JSON that
            [`LeadSheet.save`] wrote, or a text (`.txt`) in one of these formats or with chords in sections. Or text:
            ABC, MusicXML, ChordPro, an `irealb://` or `irealbook://` URL, or a chart such as `"[Verse] C | Am | F G [Chorus x2] F | G"`.
        part (`str` or `int`, *optional*):
            The voice, part or track with the melody, in ABC, MusicXML and MIDI, by its name or its number (from 1; tracks
            of MIDI files from 0, also `"song.mid#2"`); by default the one that is most likely the melody.
        tune (`str` or `int`, *optional*):
            The tune of a file with several, by its title or its number, in ABC and iReal Pro; by default the first one,
            with a warning.

    Returns:
        [`LeadSheet`] with the repeats as they are written.

    Raises:
        [`InputError`]: if the format is unknown, or the source can't be read; the message contains the line or the bar.
        `FileNotFoundError`: if a file does not exist.
    """
    options = {"part": part, "tune": tune}
    if isinstance(source, str) and not source.strip():
        raise InputError("`source` is an empty text; a lead sheet needs chords or a melody.", "source")
    if isinstance(source, str) and not _is_file(source):
        return _read_text(source, "the text", options)
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(f"`source` has to be a file or text, but is a {type(source).__name__}.", "source")
    if os.path.isdir(os.path.expanduser(source)):
        raise InputError(f"`source`: {os.fspath(source)} is a folder, not a file.", "source")
    _check_not_empty(source)
    if is_midi_file(source):
        return _call(read_midi, options, os.path.expanduser(source))
    path = Path(source).expanduser()
    suffix = path.suffix.lower()
    if not path.is_file():
        raise FileNotFoundError(f"`source`: the file {os.fspath(source)} does not exist.")
    if suffix in _FILES:
        return _call(_FILES[suffix], options, path)
    if suffix not in _TEXTS and suffix not in _DETECTED:
        raise InputError(f"`source`: {os.fspath(source)} {_advice(suffix)}", "source")
    text = read_text(path, "source")
    if not text.strip():
        raise EmptyInputError(f"`source`: {os.fspath(source)} is empty: it has only blank lines.", "source")
    if suffix in _DETECTED:
        return _read_text(text, os.fspath(source), options)
    return _call(_TEXTS[suffix], options, text, os.fspath(source))


def _check_not_empty(source: str | os.PathLike):
    path = Path(source).expanduser()
    is_readable = path.suffix.lower() in (*_TEXTS, *_FILES, *_DETECTED)
    if is_readable and path.is_file() and not path.stat().st_size:
        raise EmptyInputError(f"`source`: {os.fspath(source)} is empty (0 bytes).", "source")


def _is_file(source: str) -> bool:
    """Whether a string is the name of a file, which may have no suffix."""
    if is_ireal(source):
        return False
    return looks_like_path(source) or is_midi_file(source) or (len(source) < 255 and os.path.isfile(source))


def _read_text(text: str, name: str, options: dict[str, str | int | None]) -> LeadSheet:
    reader = next((reader for is_format, reader in _FORMATS if is_format(text)), read_chart)
    return _call(reader, options, text, name)


def _call(reader: Callable[..., LeadSheet], options: dict[str, str | int | None], *arguments: object) -> LeadSheet:
    """Calls a reader with the options that are given; one that its format doesn't have is an error."""
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in _OPTIONS.get(reader, ()):
            formats = {"part": "ABC, MusicXML and MIDI", "tune": "ABC and iReal Pro"}[name]
            raise InputError(f"`{name}` is for {formats}, not for this format.", name)
    return reader(*arguments, **given)


def _advice(suffix: str) -> str:
    if suffix in _OTHERS:
        return f"is a {_OTHERS[suffix]} file: export it as MusicXML (or MIDI) and read that file."
    readable = ", ".join((*_TEXTS, *_FILES, ".txt"))
    return f"has an unknown format; lead sheets end in {readable}."


def save_lead_sheet(sheet: LeadSheet, path: str | os.PathLike):
    """Writes a sheet; see [`LeadSheet.save`]."""
    check_suffix(path, "path")
    content = _WRITERS[Path(path).suffix.lower()](sheet)
    with replace_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def check_suffix(path: str | os.PathLike, argument: str):
    """Raises an [`InputError`] unless a lead sheet can be written to a file of this name."""
    if Path(path).suffix.lower() not in _WRITERS:
        raise InputError(f"`{argument}` has to end in {', '.join(_WRITERS)}, but is {shorten(path)}.", argument)
