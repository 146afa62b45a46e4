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

"""Detects truncated files by comparing the length that their headers claim with the audio that is present."""

import os
import re
from collections.abc import Iterator
from typing import BinaryIO


# A file with a smaller share of the audio that its header claims is truncated. Encoders round to whole frames.
COMPLETE = 0.98
# libsndfile reports a length near 2**63 for streams whose header does not state it.
UNKNOWN_LENGTH = 2**62

# libsndfile's log messages for headers that claim more data than the file has. Programs that write to a pipe claim at
# least 2 GiB.
_BYTES = {
    "W64": re.compile(r"^ *riff : (\d+) \(should be (\d+)\)", re.M),
    "RF64": re.compile(r"^ *Riff size : (\d+) \(should be (\d+)\)", re.M),
    "AU": re.compile(r"^ *Data Size +: (\d+) \(should be (\d+)\)", re.M),
}
_DATA_BYTES = re.compile(r"^ *(?:data|SSND|BODY) : (\d+) \(should be (\d+)\)", re.M)
_PIPE_CLAIM = 2**31  # bytes
_PIPE_CLAIM_64 = 2**62  # bytes, of formats with 64-bit sizes
# libsndfile's log messages with the samples per channel, for formats without other information about the length.
_SAMPLES = {
    "AVR": re.compile(r"^ *Frames +: (\d+)", re.M),
    "MPC2K": re.compile(r"^ *Frames +: (\d+)", re.M),
    # The last matrix; the first one is the sampling rate.
    "MAT4": re.compile(r"\bCols +: (\d+)(?!.*\bCols)", re.S),
    "MAT5": re.compile(r"\bCols +: (\d+)(?!.*\bCols)", re.S),
}
_NIST_SAMPLES = re.compile(rb"^sample_count -i (\d+)", re.M)
_NIST_HEADER = 1024  # bytes
_WAV_SIZE = re.compile(r"^ *(?:RIFF|RIFX|Riff size) : (\d+)", re.M)
_MAX_WAV_HEADER = 1000  # bytes of a file without audio
_OGG_PAGE = 65307  # bytes, at most
_OGG_HEADER = 27  # bytes
_MAX_CHUNKS = 100_000
_MAX_STREAMS = 100  # concurrent streams of an OGG file
# Top-level chunks. Data after them, such as an appended tag, has no chunk size.
_MP4_BOXES = b"ftyp moov mdat free skip wide pnot moof mfra sidx ssix styp uuid meta udta emsg prft pdin".split()
_CAF_CHUNKS = b"desc data free kuki pakt chan strg uuid info edct mark regn inst midi umid ovvw peak edit".split()


def find_missing_audio(kind: str, log: str, frames: int, file: BinaryIO) -> str | None:
    r"""
    Describes the missing part of a file that libsndfile reads.

    Args:
        kind (`str`): libsndfile's name of the format.
        log (`str`): libsndfile's log of parsing the header.
        frames (`int`): number of samples per channel that libsndfile finds.
        file (`BinaryIO`): the file.

    Returns:
        `str`: a description of the missing part for an error message; `None` if the file is complete or its header
            does not state the length.
    """
    claim = _BYTES.get(kind, _DATA_BYTES).search(log)
    pipe = _PIPE_CLAIM_64 if kind in ("W64", "RF64") else _PIPE_CLAIM
    if claim is not None and int(claim[2]) < COMPLETE * int(claim[1]) < pipe:
        return f"it has {claim[2]} of {claim[1]} bytes of audio"
    if kind == "OGG" and _ends_within_a_page(file):
        return "its last page is incomplete"
    if kind in ("CAF", "VOC"):
        return find_missing_bytes(kind.lower(), file)
    if kind in ("WAV", "WAVEX", "RF64") and frames == 0:
        size = _WAV_SIZE.search(log)
        if size is not None and max(int(size[1]) + 8, _MAX_WAV_HEADER) < _size(file):
            return "its header declares no audio, but data follows: the recording was interrupted"
    samples: re.Match | None = None
    if kind == "NIST":
        samples = _NIST_SAMPLES.search(_at(file, 0, _NIST_HEADER))
    elif kind in _SAMPLES:
        samples = _SAMPLES[kind].search(log)
    if samples is not None and frames < COMPLETE * int(samples[1]):
        return f"it has {frames} of {int(samples[1])} samples"
    return None


def find_missing_bytes(demuxer: str, file: BinaryIO) -> str | None:
    r"""
    Describes the missing part of a file that consists of chunks with sizes: MP4, AVI, CAF and VOC.

    Args:
        demuxer (`str`): FFmpeg's name of the format.
        file (`BinaryIO`): the file.

    Returns:
        `str`: a description of the missing part for an error message; `None` if nothing is missing.
    """
    chunks = {"mov": _mp4_boxes, "avi": _riff_chunks, "caf": _caf_chunks, "voc": _voc_blocks}.get(demuxer)
    size = _size(file)
    end, names = 0, set[bytes]()
    for count, (name, end) in enumerate(chunks(file) if chunks is not None else ()):
        names.add(name)
        if count > _MAX_CHUNKS:
            return None
    if COMPLETE * end > size:
        return f"it has {size} of {end} bytes"
    if demuxer == "mov" and b"mdat" in names and b"moov" not in names:
        return "its index is missing"
    return None


def is_chained(file: BinaryIO) -> bool:
    """Whether an OGG file is chained, that is, has several streams one after another (recorded internet radio)."""
    serials, position = set[bytes](), 0
    for _ in range(_MAX_STREAMS):
        head = _at(file, position, _OGG_HEADER)
        # The first pages of all streams of the first link are at the beginning of the file.
        if len(head) < _OGG_HEADER or not head.startswith(b"OggS") or not head[5] & 2:
            break
        serials.add(head[14:18])
        position += _OGG_HEADER + head[26] + sum(_at(file, position + _OGG_HEADER, head[26]))
    tail = _at(file, max(_size(file) - 2 * _OGG_PAGE, 0), 2 * _OGG_PAGE)
    last = tail[tail.rfind(b"OggS") :][:_OGG_HEADER]
    return bool(serials) and len(last) == _OGG_HEADER and last[14:18] not in serials


def _mp4_boxes(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yields the name and the end position of each box."""
    position = 0
    while len(head := _at(file, position, 16)) >= 8:
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if head[4:8] not in _MP4_BOXES or size < 8:  # size 0: extends to the end of the file
            return
        position += size
        yield head[4:8], position


def _riff_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    head = _at(file, 0, 8)
    size = int.from_bytes(head[4:], "little")
    if 0 < size < _PIPE_CLAIM:
        yield head[:4], size + 8


def _caf_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    position = 8
    while len(head := _at(file, position, 12)) == 12:
        size = int.from_bytes(head[4:], "big", signed=True)
        if head[:4] not in _CAF_CHUNKS or size < 0:  # size -1: extends to the end of the file
            return
        position += 12 + size
        yield head[:4], position


def _voc_blocks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    position = int.from_bytes(_at(file, 20, 2), "little")
    while len(head := _at(file, position, 4)) == 4 and head[0]:  # block type 0 terminates the file
        position += 4 + int.from_bytes(head[1:], "little")
        yield head[:1], position


def _ends_within_a_page(file: BinaryIO) -> bool:
    tail = _at(file, max(_size(file) - 2 * _OGG_PAGE, 0), 2 * _OGG_PAGE)
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + _OGG_HEADER:
        return page >= 0
    segments = page + _OGG_HEADER + tail[page + 26]
    return len(tail) < segments + sum(tail[page + _OGG_HEADER : segments])


def _at(file: BinaryIO, position: int, count: int) -> bytes:
    file.seek(min(position, UNKNOWN_LENGTH))
    return file.read(count)


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)
