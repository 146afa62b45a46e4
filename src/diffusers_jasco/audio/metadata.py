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

"""Metadata in audio files: a title, and a JSON document that describes how the music was generated."""

import json
import os
import struct
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from diffusers.utils import logging

from ..utils.errors import InputError, shorten
from ..utils.version import __version__
from .containers import HEAD, find_demuxer, read_tags
from .io import check_file
from .mp3 import skip_id3


logger = logging.get_logger(__name__)

# Distinguishes our documents from comments of other software.
_MARK = "diffusers-jasco"
# Maximum number of characters of a document, limited by the comments of Opus files.
MAX_DOCUMENT = 48_000
MAX_TITLE = 200  # characters
_MAX_CHUNKS = 10_000  # per WAV file


def make_document(metadata: dict[str, Any]) -> str:
    r"""
    Serializes metadata to the ASCII text that is stored in an audio file.

    Args:
        metadata (`dict`): JSON-serializable metadata.

    Raises:
        [`InputError`]: if the metadata is not JSON-serializable or has more than `MAX_DOCUMENT` characters.
    """
    if not isinstance(metadata, dict) or not all(isinstance(key, str) for key in metadata):
        raise InputError(
            f"`metadata` has to be a dictionary with strings as keys, but is {shorten(metadata)}.", "metadata"
        )
    try:
        document = json.dumps({_MARK: __version__} | metadata, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"`metadata` has to be JSON-serializable ({error}).", "metadata") from error
    if len(document) > MAX_DOCUMENT:
        raise InputError(
            f"`metadata` has to be at most {MAX_DOCUMENT} characters of JSON, but is {len(document)}.", "metadata"
        )
    return document


def fit_metadata(metadata: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the metadata if it can be stored in a file; otherwise warns and returns `None`."""
    try:
        make_document(metadata)
    except InputError as error:
        logger.warning(f"The files are written without metadata: {error}")
        return None
    return metadata


def make_title(metadata: dict[str, Any], ascii_only: bool = False) -> str:
    """The entry `"title"` or `"prompt"` of the metadata in one line, in ASCII if `ascii_only` is set."""
    title = metadata.get("title") or metadata.get("prompt")
    title = " ".join("".join(map(_printable, title)).split()) if isinstance(title, str) else ""
    if ascii_only:
        title = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().strip()
    return title[:MAX_TITLE]


def _printable(character: str) -> str:
    return character if unicodedata.category(character)[0] != "C" else " "


def read_metadata(path: str | os.PathLike) -> dict[str, Any] | None:
    r"""
    Reads the metadata that [`export_audio`] wrote into a file. It is untrusted input, so validate the values before
    use.

    Args:
        path (`str` or `os.PathLike`): a file that [`export_audio`] wrote, or that another program converted from one.

    Returns:
        `dict`: the metadata, with the version of this package as `"diffusers-jasco"`; or `None` if the file has no
            metadata of this package.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the file is not audio.
    """
    import soundfile

    path = check_file(path, "path")
    failure = None
    with open(path, "rb") as file:
        documents = [_read_wav_comment(file) if file.read(4) == b"RIFF" else None]
        try:
            with soundfile.SoundFile(path) as audio:
                documents.append(audio.comment)
        except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
            failure = error
        metadata = next(filter(None, map(_parse_document, documents)), None)
        if metadata is None:
            # Converters store comments in fields that libsndfile does not read.
            file.seek(skip_id3(file))
            kind = find_demuxer(file.read(HEAD))
            tags = read_tags(file, kind[0]) if kind is not None else {}
            metadata = next(filter(None, map(_parse_document, tags.values())), None)
            failure = None if tags else failure
    if failure is not None:
        raise InputError(f"`path`: {path} can't be read as audio ({failure}).", "path") from failure
    return metadata


def _parse_document(document: str | None) -> dict[str, Any] | None:
    if not document or len(document) > MAX_DOCUMENT or _MARK not in document:
        return None
    try:
        metadata = json.loads(document)
    except (ValueError, RecursionError):
        return None
    return metadata if isinstance(metadata, dict) and _MARK in metadata else None


# libsndfile stores at most 2 KiB of text in WAV files, so their `LIST` chunk is written and read here.


def append_wav_info(path: Path, title: str, document: str):
    """Appends a LIST INFO chunk with title, software and comment to a finished WAV file."""
    fields = {b"INAM": title.encode(), b"ISFT": _MARK.encode(), b"ICMT": document.encode()}
    content = b"INFO" + b"".join(_chunk(name, text + b"\0") for name, text in fields.items() if text)
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        chunk = b"\0" * (size % 2) + _chunk(b"LIST", content)
        file.write(chunk)
        file.seek(4)
        file.write(struct.pack("<I", size + len(chunk) - 8))


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _read_wav_comment(file: BinaryIO) -> str | None:
    end = file.seek(0, os.SEEK_END)
    for name, start, size in _chunks(file, 12, end):
        if name != b"LIST" or size > 4 * MAX_DOCUMENT:
            continue
        for field, first, length in _chunks(file, start + 4, min(start + size, end)):
            if field == b"ICMT" and length <= MAX_DOCUMENT + 1:
                file.seek(first)
                return file.read(length).rstrip(b"\0").decode("utf-8", "replace")
    return None


def _chunks(file: BinaryIO, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields the name, the start and the size of the chunks from `position` to `end`."""
    for _ in range(_MAX_CHUNKS):
        file.seek(position)
        head = file.read(8)
        if position + 8 > end or len(head) < 8:
            return
        name, size = struct.unpack("<4sI", head)
        yield name, position + 8, size
        position += 8 + size + size % 2
