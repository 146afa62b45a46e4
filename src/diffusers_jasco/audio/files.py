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

"""Audio files of any format, read in blocks."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..utils.errors import EmptyInputError, InputError
from .containers import READ_BY_LIBSNDFILE, ContainerFile, find_demuxer
from .mp3 import count_mp3_samples, skip_id3
from .waveforms import BLOCK_SECONDS, find_integer_scale


# A file with less than this share of the audio that its header claims, and by so many seconds less, breaks off. Encoders round
# to whole frames.
COMPLETE = 0.98
SLACK_SECONDS = 0.05
MP3_SLACK_SECONDS = 0.3
# As libsndfile reports headers that claim more than there is. Programs that write to a pipe claim 2 GB or more.
_CLAIMS = {
    "W64": re.compile(r"^ *riff : (\d+) \(should be (\d+)\)", re.M),
    "RF64": re.compile(r"^ *Riff size : (\d+) \(should be (\d+)\)", re.M),
    "AU": re.compile(r"^ *Data Size +: (\d+) \(should be (\d+)\)", re.M),
}
_CLAIM = re.compile(r"^ *(?:data|SSND) : (\d+) \(should be (\d+)\)", re.M)
_PIPE_CLAIM = 2**31  # bytes
_PIPE_CLAIM_64 = 2**62  # bytes, of formats with 64-bit sizes
_HEAD = 400  # bytes that tell the format
_OGG_PAGE = 65307  # bytes, at most


class AudioFile:
    r"""
    An audio file: by libsndfile (WAV, FLAC, OGG, MP3, AIFF, ...), or by PyAV what that does not read (M4A, WebM, videos, ...).
    The content decides, not the name.

    Args:
        file (`str`, `os.PathLike`, `bytes` or file object): its path, its content, or opened and able to seek.
        argument (`str`): name of the argument, for messages.
        name (`str`, *optional*): the file's name, for messages.

    Raises:
        [`InputError`]: for a file that is not audio, or whose audio is shorter than its header says.
        [`EmptyInputError`]: for a file without samples.
    """

    def __init__(self, file: Any, argument: str = "audio", name: str | None = None):
        if isinstance(file, (str, os.PathLike)):
            file = Path(os.fsdecode(file))
        elif not isinstance(file, (bytes, bytearray, memoryview)) and not _can_seek(file):
            file = file.read()
        self.file, self.argument = file, argument
        self.name = name if name is not None else str(file) if isinstance(file, Path) else "the file"
        self._container: ContainerFile | None = None
        self._holds_floats, self._slack = False, MP3_SLACK_SECONDS
        with self._open_binary() as source:
            source.seek(skip_id3(source.read(10)))
            self._kind = find_demuxer(source.read(_HEAD))
        # By the name alone, libsndfile would take any file that ends in .mp3 for one.
        if self._kind is None or self._kind[0] in READ_BY_LIBSNDFILE:
            error = self._inspect()
        else:
            error = RuntimeError(f"{self._kind[1]} is not read by libsndfile")
        if error is not None:
            self._container = self._find_container(error)
            self.samplerate, self.channels = self._container.samplerate, self._container.channels
        if not self.frames:
            raise EmptyInputError(f"`{argument}`: {self.name} is empty: it has no samples.", argument)

    def blocks(self, start: int = 0, stop: int | None = None, scaled: bool = True) -> Iterator[np.ndarray]:
        r"""
        Samples `start` to `stop` (by default the end), in blocks `(samples, channels)` of about 10 s in float32.

        Args:
            scaled (`bool`, defaults to `True`):
                Whether float samples that hold integers are scaled to [-1, 1], for which a float file is read once more;
                see [`~audio.waveforms.find_integer_scale`].

        Raises:
            [`InputError`]: if the file breaks off, or has values that are not finite.
        """
        stop = self.frames if stop is None else min(stop, self.frames)
        if start >= stop:
            return
        offset, scale = self._integer_scale if scaled else (0.0, 1.0)
        size = round(BLOCK_SECONDS * self.samplerate)
        read = self._read_with_soundfile if self._container is None else self._read_container
        for block in read(start, stop, size):
            if not np.isfinite(block).all():
                raise InputError(
                    f"`{self.argument}`: {self.name} has values that are not finite (NaN or infinite).", self.argument
                )
            yield block if scale == 1 else (block - offset) / scale

    def read(self, start: int = 0, stop: int | None = None, scaled: bool = True) -> np.ndarray:
        """The same in one piece."""
        blocks = list(self.blocks(start, stop, scaled))
        return np.concatenate(blocks) if blocks else np.zeros((0, self.channels), dtype=np.float32)

    @cached_property
    def _integer_scale(self) -> tuple[float, float]:
        if not self._holds_floats:
            return 0.0, 1.0
        lowest = highest = 0.0
        for block in self.blocks(scaled=False):
            lowest, highest = min(lowest, float(block.min())), max(highest, float(block.max()))
        return find_integer_scale(lowest, highest, self.argument)

    # 1. By libsndfile

    def _inspect(self) -> Exception | None:
        """Reads the header; the error if libsndfile can't."""
        import soundfile

        try:
            with self._open_soundfile() as source:
                self.samplerate, self.channels, frames = source.samplerate, source.channels, source.frames
                self._holds_floats = source.subtype in ("FLOAT", "DOUBLE")
                kind, is_mp3, log = source.format, source.subtype.startswith("MPEG"), source.extra_info
        except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
            return error
        if kind == "MP3":
            with self._open_binary() as file:
                counted = count_mp3_samples(file, _size(file))
            if self._kind is None and counted is not None and counted < frames / 2:
                return RuntimeError("format not recognized")
            if counted is not None and counted * COMPLETE > frames + MP3_SLACK_SECONDS * self.samplerate:
                return RuntimeError("its header does not say its length")
            frames = min(frames, counted or frames)
        if not is_mp3:
            self._slack = SLACK_SECONDS
        claim = _CLAIMS.get(kind, _CLAIM).search(log)
        pipe = _PIPE_CLAIM_64 if kind in ("W64", "RF64") else _PIPE_CLAIM
        if claim is not None and int(claim[2]) < COMPLETE * int(claim[1]) < pipe:
            raise self._broken(f"it has {claim[2]} of {claim[1]} bytes of audio")
        if kind == "OGG" and self._ends_within_a_page():
            raise self._broken("its last page is incomplete")
        self.frames = frames
        return None

    def _read_with_soundfile(self, start: int, stop: int, size: int) -> Iterator[np.ndarray]:
        import soundfile

        position = 0
        try:
            with self._open_soundfile() as source:
                if source.seekable():
                    position = source.seek(start) if start else 0
                while position < stop:
                    count = min(size, (stop if position >= start else start) - position)
                    block = source.read(count, dtype="float32", always_2d=True)
                    if not len(block):
                        break
                    if position >= start:
                        yield block
                    position += len(block)
        except (soundfile.LibsndfileError, RuntimeError, TypeError, MemoryError) as error:
            raise self._broken(str(error).rstrip(".")) from error
        # Of a whole file a little may be missing; what is cut out of one is needed.
        enough = COMPLETE * stop if (start, stop) == (0, self.frames) else stop
        if position < enough - self._slack * self.samplerate:
            raise self._breaks_off(position, self.frames)

    def _open_soundfile(self) -> Any:
        import soundfile

        file = self.file
        if isinstance(file, (bytes, bytearray, memoryview)):
            file = io.BytesIO(file)
        elif not isinstance(file, Path):
            file.seek(0)
        return soundfile.SoundFile(file)

    def _ends_within_a_page(self) -> bool:
        with self._open_binary() as file:
            file.seek(max(_size(file) - 2 * _OGG_PAGE, 0))
            tail = file.read()
        page = tail.rfind(b"OggS")
        if page < 0 or len(tail) < page + 27:
            return page >= 0
        return len(tail) < page + 27 + tail[page + 26] + sum(tail[page + 27 : page + 27 + tail[page + 26]])

    # 2. By PyAV

    def _find_container(self, error: Exception) -> ContainerFile:
        if self._kind is None:
            raise InputError(
                f"`{self.argument}`: {self.name} can't be read as audio ({error}).", self.argument
            ) from error
        demuxer, kind = self._kind
        try:
            return ContainerFile(self._open_binary, demuxer, kind, self.argument, self.name)
        except ImportError as missing:
            raise InputError(
                f"`{self.argument}`: {self.name} is a {kind} file that can't be read as audio without PyAV ({error})."
                f" {missing}",
                self.argument,
            ) from missing

    @cached_property
    def frames(self) -> int:
        """Samples per channel. Headers of containers do not say it exactly, so theirs are counted."""
        assert self._container is not None
        frames = sum(map(len, self._container.blocks()))
        claim = 0 if self._container.claim is None else round(self._container.claim * self.samplerate)
        if frames < COMPLETE * claim - self._slack * self.samplerate:
            raise self._breaks_off(frames, claim)
        return frames

    def _read_container(self, start: int, stop: int, size: int) -> Iterator[np.ndarray]:
        assert self._container is not None
        position, pending, count = 0, [], 0
        for packet in self._container.blocks():
            part = packet[max(start - position, 0) : max(stop - position, 0)]
            position += len(packet)
            if len(part):
                pending.append(part)
                count += len(part)
            if count >= size:
                yield np.concatenate(pending)
                pending, count = [], 0
            if position >= stop:
                break
        if pending:
            yield np.concatenate(pending)

    # 3. Both

    def _open_binary(self) -> AbstractContextManager[BinaryIO]:
        if isinstance(self.file, Path):
            return open(self.file, "rb")
        if isinstance(self.file, (bytes, bytearray, memoryview)):
            return io.BytesIO(self.file)
        self.file.seek(0)
        return nullcontext(self.file)

    def _broken(self, reason: str) -> InputError:
        return InputError(
            f"`{self.argument}`: {self.name} breaks off and can't be read as audio to its end ({reason}): is the copy or"
            " download complete?",
            self.argument,
        )

    def _breaks_off(self, samples: int, claim: int) -> InputError:
        return InputError(
            f"`{self.argument}`: {self.name} breaks off after {samples / self.samplerate:.2f} of"
            f" {claim / self.samplerate:.2f} s and can't be read as audio to its end: is the copy or download complete?",
            self.argument,
        )


def _can_seek(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if callable(seekable) else hasattr(file, "seek")


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)
