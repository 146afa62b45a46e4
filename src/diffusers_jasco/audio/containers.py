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

"""Decoding of containers that libsndfile does not support (M4A, WebM, WMA, videos, ...) with PyAV."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, BinaryIO

import numpy as np
from diffusers.utils import logging

from ..utils.errors import InputError
from ..utils.optional_imports import import_optional


logger = logging.get_logger(__name__)

# Signature, FFmpeg's demuxer, and the name of the format with its article. Other demuxers are never used: some of
# FFmpeg's read playlists, and untrusted files must not make us open other files or URLs.
_SIGNATURES = (
    (b"\x1a\x45\xdf\xa3", "matroska", "a WebM or Matroska"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf", "a WMA"),
    (b"#!AMR", "amr", "an AMR"),
    (b"fLaC", "flac", "a FLAC"),
    (b"OggS", "ogg", "an OGG"),
    (b"caff", "caf", "a CAF"),
    (b".snd", "au", "an AU"),
    (b"wvpk", "wv", "a WavPack"),
    (b"MAC ", "ape", "a Monkey's Audio"),
    (b"TTA1", "tta", "a True Audio"),
    (b"MPCK", "mpc8", "a Musepack"),
    (b"MP+", "mpc", "a Musepack"),
    (b"DSD ", "dsf", "a DSF"),
    (b"\x0b\x77", "ac3", "an AC-3"),
    (b"Creative Voice File", "voc", "a VOC"),
    (b"FLV\x01", "flv", "an FLV"),
    (b"\x00\x00\x01\xba", "mpeg", "an MPEG"),
)
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_RIFF_FORMS = {
    b"AVI ": ("avi", "an AVI"),
    b"WAVE": ("wav", "a WAV"),
    b"AIFF": ("aiff", "an AIFF"),
    b"AIFC": ("aiff", "an AIFF"),
}
READ_BY_LIBSNDFILE = ("flac", "ogg", "caf", "au", "wav", "aiff", "mp3", "voc")
HEAD = 400  # bytes needed to detect the format
_MPEG_TS_PACKET = 188  # bytes
# Formats whose header states the duration. FFmpeg estimates it from the bit rate for other formats.
_WITH_LENGTH = ("mov", "matroska", "asf", "avi", "caf", "wv", "ape", "tta", "flac", "wav", "aiff")
# Recorders omit pauses, which leaves gaps in the timestamps. Longer gaps are timestamp errors.
_MIN_PAUSE = 0.05  # seconds
_MAX_PAUSE = 60.0  # seconds


def find_demuxer(head: bytes) -> tuple[str, str] | None:
    r"""
    Detects the format of a file from its content.

    Args:
        head (`bytes`): the first `HEAD` bytes of the file (fewer if it is shorter) after any ID3 tag.

    Returns:
        `tuple[str, str]`: the name of FFmpeg's demuxer and the name of the format with its article; `None` if the
            format is unknown.
    """
    for signature, demuxer, name in _SIGNATURES:
        if head.startswith(signature):
            return demuxer, name
    if head[4:8] in _MP4_BOXES:
        return "mov", "an MP4 or M4A"
    if head[:4] in (b"RIFF", b"RF64", b"FORM") and head[8:12] in _RIFF_FORMS:
        return _RIFF_FORMS[head[8:12]]
    if len(head) > _MPEG_TS_PACKET and head[0] == head[_MPEG_TS_PACKET] == 0x47:
        return "mpegts", "an MPEG transport stream"
    # The sync word of MPEG audio is 11 or 12 set bits; AAC has layer 0.
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "aac", "an AAC"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "mp3", "an MP3"
    return None


def read_tags(file: BinaryIO, demuxer: str) -> dict[str, str]:
    r"""
    Reads the metadata tags of a file.

    Args:
        file (`BinaryIO`): the file.
        demuxer (`str`): name of the demuxer as returned by [`find_demuxer`].

    Returns:
        `dict`: the tags; empty if the file can't be read or PyAV is not installed.
    """
    try:
        av = import_optional("av", "formats")
        file.seek(0)
        with av.open(file, format=demuxer, metadata_errors="ignore") as source:
            tags = dict(source.metadata)
            for stream in source.streams.audio:
                tags |= stream.metadata
            return tags
    except ImportError:
        return {}
    except (av.error.FFmpegError, ValueError, EOFError, OSError, MemoryError):
        return {}


class ContainerFile:
    r"""
    The main audio track of a container file. Each iteration decodes it from the beginning.

    Args:
        open_file (`Callable`): opens the file and returns a context manager of a seekable binary file object.
        demuxer (`str`), kind (`str`): the demuxer and the format name as returned by [`find_demuxer`].
        argument (`str`), name (`str`): the names of the argument and of the file for error messages.

    Raises:
        `ImportError`: if PyAV is not installed.
        [`InputError`]: if the file is damaged or has no audio.
    """

    def __init__(
        self,
        open_file: Callable[[], AbstractContextManager[BinaryIO]],
        demuxer: str,
        kind: str,
        argument: str,
        name: str,
    ):
        self.demuxer, self.argument, self.name = demuxer, argument, name
        self._open_file = open_file
        self._av = import_optional("av", "formats")
        self.samplerate = self.channels = 0
        self.claim: float | None = None  # duration in the header, in seconds
        self.damage: str | None = None  # description of damaged packets, set after decoding all of them
        self._num_damaged = 0
        next(self.blocks(), None)
        if not self.samplerate and self._num_damaged:
            raise InputError(
                f"`{argument}`: {name} is {kind} file that is truncated or damaged and can't be read as audio: is the"
                " copy or download complete?",
                argument,
            )
        if not self.samplerate:
            raise InputError(f"`{argument}`: {name} is {kind} file without audio.", argument)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields blocks `(samples, channels)` in float32, one per packet of the format."""
        # FFmpeg seeks to invalid positions in damaged files, which Python reports as `OSError`.
        errors = (self._av.error.FFmpegError, ValueError, EOFError, OSError, MemoryError)
        try:
            with (
                self._open_file() as file,
                self._av.open(file, format=self.demuxer, metadata_errors="ignore") as source,
            ):
                track = source.streams.best("audio")
                if track is None:
                    return
                self.claim = self._read_claim(source, track)
                yield from self._decode(source, track)
        except errors as error:
            raise InputError(
                f"`{self.argument}`: {self.name} is damaged or truncated and can't be read as audio ({error}).",
                self.argument,
            ) from error

    def _read_claim(self, source: Any, track: Any) -> float | None:
        if self.demuxer not in _WITH_LENGTH:
            return None
        if track.duration is not None:
            return float(track.duration * track.time_base)
        # The container duration of a video is that of its longest track, which may not be the audio.
        return source.duration / 1e6 if source.duration is not None and not source.streams.video else None

    def _decode(self, source: Any, track: Any) -> Iterator[np.ndarray]:
        convert, written, damaged, at_end = None, 0, 0, False
        for packet in source.demux(track):
            try:
                frames = packet.decode()
            except self._av.error.InvalidDataError:
                damaged, at_end = damaged + 1, True
                self._num_damaged = damaged
                continue
            at_end = at_end and not frames
            for frame in frames:
                if convert is None:
                    self.samplerate, self.channels = frame.sample_rate, len(frame.layout.channels)
                    layout, first = frame.layout, frame.time
                    convert = self._resampler(layout)
                pause = 0.0 if frame.time is None or first is None else frame.time - first - written / self.samplerate
                if _MIN_PAUSE < pause < _MAX_PAUSE:
                    silence = np.zeros((round(pause * self.samplerate), self.channels), dtype=np.float32)
                    written += len(silence)
                    yield silence
                try:
                    converted = convert.resample(frame)
                except ValueError:  # the sampling rate or the channels change within the file
                    convert = self._resampler(layout)
                    converted = convert.resample(frame)
                for block in converted:
                    samples = block.to_ndarray().reshape(-1, self.channels)
                    written += len(samples)
                    yield samples
        if damaged == 1 and at_end:
            self.damage = (
                "ends in the middle of a packet and is used up to that point: is the copy or download complete?"
            )
        elif damaged:
            self.damage = f"is damaged: {damaged} of its packets are skipped."

    def _resampler(self, layout: Any) -> Any:
        return self._av.AudioResampler(format="flt", layout=layout, rate=self.samplerate)
