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

"""Audio in containers that libsndfile does not read (M4A, WebM, WMA, videos, ...), decoded by PyAV."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, BinaryIO

import numpy as np
from diffusers.utils import logging

from ..utils.errors import InputError
from ..utils.optional_imports import import_optional


logger = logging.get_logger(__name__)

# Beginning of a file → FFmpeg's demuxer, and the format's name with its article. No other demuxer is ever opened: some of
# FFmpeg's are lists of further files and addresses, which a file from outside must not make us open.
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
HEAD = 400  # bytes that tell the format
_MPEG_TS_PACKET = 188  # bytes
# Headers of these say how long the audio is; of other formats FFmpeg estimates it from the bit rate.
_WITH_LENGTH = ("mov", "matroska", "asf", "avi", "caf", "wv", "ape", "tta", "flac", "wav", "aiff")
# Recorders leave pauses out. A longer one is a wrong time stamp.
_MIN_PAUSE = 0.05  # seconds
_MAX_PAUSE = 60.0  # seconds


def find_demuxer(head: bytes) -> tuple[str, str] | None:
    r"""
    Args:
        head (`bytes`): beginning of a file, of at least `HEAD` bytes if it has so many, after any ID3 tag.

    Returns:
        FFmpeg's demuxer for it and the format's name, or `None` for other content.
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
    # MPEG audio begins with 11 or 12 ones; "layer 0" is AAC.
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "aac", "an AAC"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "mp3", "an MP3"
    return None


def read_tags(file: BinaryIO, demuxer: str) -> dict[str, str]:
    r"""
    Texts that a file holds about itself.

    Args:
        file (`BinaryIO`): the file.
        demuxer (`str`): as [`find_demuxer`] returns it.

    Returns:
        `dict`: names and texts; empty for a file that can't be read, and without PyAV.
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
    The first audio track of a file, decoded from its beginning as often as needed.

    Args:
        open_file (`Callable`): opens the file: returns a context manager of a binary file object that can seek.
        demuxer (`str`), kind (`str`): as [`find_demuxer`] returns them.
        argument (`str`), name (`str`): the argument and the file's name, for messages.

    Raises:
        `ImportError`: without PyAV.
        [`InputError`]: for a file that is damaged or has no audio.
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
        self.claim: float | None = None  # seconds, as the header says
        self.damage: str | None = None  # what is wrong with the packets, once all were decoded
        self._num_damaged = 0
        next(self.blocks(), None)
        if not self.samplerate and self._num_damaged:
            raise InputError(
                f"`{argument}`: {name} is {kind} file that breaks off or is damaged, and can't be read as audio: is the copy or"
                " download complete?",
                argument,
            )
        if not self.samplerate:
            raise InputError(f"`{argument}`: {name} is {kind} file without audio.", argument)

    def blocks(self) -> Iterator[np.ndarray]:
        """Blocks `(samples, channels)` in float32, as long as the packets of the format."""
        # FFmpeg seeks to any place that a damaged file names, of which Python makes an `OSError`.
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
                f"`{self.argument}`: {self.name} is damaged or breaks off, and can't be read as audio ({error}).",
                self.argument,
            ) from error

    def _read_claim(self, source: Any, track: Any) -> float | None:
        if self.demuxer not in _WITH_LENGTH:
            return None
        if track.duration is not None:
            return float(track.duration * track.time_base)
        # The length of a video is that of its longest track.
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
                except ValueError:  # The rate or the channels change within the file.
                    convert = self._resampler(layout)
                    converted = convert.resample(frame)
                for block in converted:
                    samples = block.to_ndarray().reshape(-1, self.channels)
                    written += len(samples)
                    yield samples
        if damaged == 1 and at_end:
            self.damage = "ends in the middle of a packet, and is used up to there: is the copy or download complete?"
        elif damaged:
            self.damage = f"is damaged: {damaged} of its packets are left out."

    def _resampler(self, layout: Any) -> Any:
        return self._av.AudioResampler(format="flt", layout=layout, rate=self.samplerate)
