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

"""Block-wise reading of audio files in any format."""

import io
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from diffusers.utils import logging

from ..utils.errors import EmptyInputError, InputError
from .claims import COMPLETE, UNKNOWN_LENGTH, find_missing_audio, find_missing_bytes, is_chained
from .containers import HEAD, READ_BY_LIBSNDFILE, ContainerFile, find_demuxer
from .mp3 import find_mp3_frames, measure_mp3, skip_id3
from .waveforms import BLOCK_SECONDS, find_integer_scale


logger = logging.get_logger(__name__)

# A file is truncated if it has less than `COMPLETE` of the audio that its header claims and lacks more seconds than
# this.
SLACK_SECONDS = 0.05
MP3_SLACK_SECONDS = 0.3
MP3_SLACK = 4 * 1152  # samples, when the frames are counted


class AudioFile:
    r"""
    An audio file, read with libsndfile (WAV, FLAC, OGG, MP3, AIFF, ...) or, if libsndfile does not support the format,
    with PyAV (M4A, WebM, videos, ...). The format is detected from the content, not from the name.

    Args:
        file (`str`, `os.PathLike`, `bytes` or file object): the path of the file, its content, or a file object.
        argument (`str`): name of the argument for error messages.
        name (`str`, *optional*): name of the file for error messages.

    Raises:
        [`InputError`]: if the file is not audio, or its audio is shorter than its header claims.
        [`EmptyInputError`]: if the file has no samples.
    """

    def __init__(self, file: Any, argument: str = "audio", name: str | None = None):
        if isinstance(file, (str, os.PathLike)):
            file = Path(os.fsdecode(file))
        elif not isinstance(file, (bytes, bytearray, memoryview)) and not _can_seek(file):
            file = file.read()
        self.file, self.argument = file, argument
        self.name = name if name is not None else str(file) if isinstance(file, Path) else "the file"
        self._container: ContainerFile | None = None
        self.encoding: str | None = None  # libsndfile's name, such as "PCM_16"
        self._holds_floats, self._slack = False, MP3_SLACK_SECONDS
        with self._open_binary() as source:
            if not _size(source):
                raise InputError(
                    f"`{argument}`: {self.name} is empty (0 bytes) and can't be read as audio: is the copy or download"
                    " complete?",
                    argument,
                )
            tags = skip_id3(source)
            source.seek(tags)
            self._kind = find_demuxer(source.read(HEAD))
            if self._kind is None and (tags or find_mp3_frames(source) is not None):
                self._kind = ("mp3", "an MP3")
        # libsndfile would treat any file whose name ends in .mp3 as an MP3.
        if self._kind is None or self._kind[0] in READ_BY_LIBSNDFILE:
            error = self._inspect()
        else:
            error = RuntimeError(f"libsndfile does not read {self._kind[1]} file")
        if error is not None:
            self._container = self._find_container(error)
            self.samplerate, self.channels = self._container.samplerate, self._container.channels
        if not self.frames:
            raise EmptyInputError(f"`{argument}`: {self.name} is empty: it has no samples.", argument)

    def blocks(
        self, start: int = 0, stop: int | None = None, scaled: bool = True, dtype: str = "float32"
    ) -> Iterator[np.ndarray]:
        r"""
        Yields samples `start` to `stop` (by default the end) in blocks `(samples, channels)` of about 10 s.

        Args:
            scaled (`bool`, defaults to `True`):
                Whether to scale float samples in the range of integers to [-1, 1], which takes an extra pass over
                float files; see [`~audio.waveforms.find_integer_scale`].
            dtype (`str`, defaults to `"float32"`):
                Type of the samples. `"float64"` is exact for encodings of more than 24 bits.

        Raises:
            [`InputError`]: if the file is truncated or has values that are not finite.
        """
        stop = self.frames if stop is None else min(stop, self.frames)
        if start >= stop:
            return
        offset, scale = self._integer_scale if scaled else (0.0, 1.0)
        size = round(BLOCK_SECONDS * self.samplerate)
        if self._container is None:
            blocks = self._read_with_soundfile(start, stop, size, dtype)
        else:
            blocks = self._read_container(start, stop, size)
        for block in blocks:
            if not np.isfinite(block).all():
                raise InputError(
                    f"`{self.argument}`: {self.name} has values that are not finite (NaN or infinite).", self.argument
                )
            yield block if scale == 1 else (block - offset) / scale

    def read(self, start: int = 0, stop: int | None = None, scaled: bool = True) -> np.ndarray:
        """Reads samples `start` to `stop` as one array; see `blocks`."""
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

    # 1. libsndfile

    def _inspect(self) -> Exception | None:
        """Reads the header with libsndfile. Returns the error if that fails."""
        import soundfile

        try:
            with self._open_soundfile() as source:
                self.samplerate, self.channels, frames = source.samplerate, source.channels, source.frames
                self.encoding = source.subtype
                kind, log = source.format, source.extra_info
        except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
            return error
        self._holds_floats, is_mp3 = self.encoding in ("FLOAT", "DOUBLE"), self.encoding.startswith("MPEG")
        if kind == "MP3":
            counted, claimed = self._measure_mp3()
            if self._kind is None and counted is not None and counted < frames / 2:
                return RuntimeError("format not recognized")
            if self._is_short(frames, counted or claimed or 0):
                return RuntimeError("its header does not state its length")
            frames = min(frames, counted or frames)
        if frames >= UNKNOWN_LENGTH or (is_mp3 and not frames):
            return RuntimeError("its header does not state its length")
        if not is_mp3:
            self._slack = SLACK_SECONDS
        with self._open_binary() as file:
            missing = find_missing_audio(kind, log, frames, file)
            chained = kind == "OGG" and is_chained(file)
        if missing is not None:
            raise self._damaged(missing)
        if chained:
            return RuntimeError("it contains several consecutive streams")
        self.frames = frames
        return None

    def _read_with_soundfile(self, start: int, stop: int, size: int, dtype: str) -> Iterator[np.ndarray]:
        import soundfile

        position, failure = 0, None
        try:
            with self._open_soundfile() as source:
                if source.seekable():
                    position = source.seek(start) if start else 0
                while position < stop:
                    count = min(size, (stop if position >= start else start) - position)
                    block = source.read(count, dtype=dtype, always_2d=True)
                    if not len(block):
                        break
                    if position >= start:
                        yield block
                    position += len(block)
        except (soundfile.LibsndfileError, RuntimeError, TypeError, MemoryError) as error:
            failure = error
        # A whole file may lack a small share at its end; an excerpt has to be complete.
        required = COMPLETE * stop if (start, stop) == (0, self.frames) else stop
        if failure is not None or position < required - self._slack * self.samplerate:
            yield from self._continue_with_container(max(position, start), stop, size, failure)

    def _continue_with_container(
        self, position: int, stop: int, size: int, failure: Exception | None
    ) -> Iterator[np.ndarray]:
        """Yields the samples after the position at which libsndfile fails, if FFmpeg decodes the whole file."""
        rejection = self._truncated(position, self.frames)
        if failure is not None:
            rejection = self._damaged(str(failure).rstrip("."))
        try:
            container = self._find_container(rejection)
            decoded = sum(map(len, container.blocks()))
        except InputError:
            raise rejection from failure
        if (container.samplerate, container.channels) != (self.samplerate, self.channels):
            raise rejection from failure
        if self._is_short(decoded, self.frames):
            raise rejection from failure
        logger.warning(
            f"`{self.argument}`: {self.name} is damaged after {position / self.samplerate:.2f} s:"
            " if it does not sound right, export it again."
        )
        self._container = container
        yield from self._read_container(position, stop, size)

    def _is_short(self, samples: int, claim: int) -> bool:
        return samples < COMPLETE * claim - self._slack * self.samplerate

    def _open_soundfile(self) -> Any:
        import soundfile

        file = self.file
        if isinstance(file, (bytes, bytearray, memoryview)):
            file = io.BytesIO(file)
        elif not isinstance(file, Path):
            file.seek(0)
        return soundfile.SoundFile(file)

    # 2. PyAV

    def _find_container(self, error: Exception) -> ContainerFile:
        if self._kind is None:
            raise InputError(
                f"`{self.argument}`: {self.name} can't be read as audio: its format is not recognized.", self.argument
            ) from error
        demuxer, kind = self._kind
        with self._open_binary() as file:
            missing = find_missing_bytes(demuxer, file)
        if missing is not None:
            raise self._damaged(missing)
        try:
            return ContainerFile(self._open_binary, demuxer, kind, self.argument, self.name)
        except ImportError as missing_package:
            raise InputError(
                f"`{self.argument}`: {self.name} is {kind} file that can't be read as audio without PyAV ({error})."
                f" {missing_package}",
                self.argument,
            ) from missing_package

    @cached_property
    def frames(self) -> int:
        """Number of samples per channel. It is counted for containers, because their headers are not exact."""
        assert self._container is not None
        frames = sum(map(len, self._container.blocks()))
        claim = round((self._container.claim or 0.0) * self.samplerate)
        if self._container.demuxer == "mp3":
            claim = max(length or 0 for length in self._measure_mp3())
        if self._is_short(frames, claim):
            raise self._truncated(frames, claim)
        if self._container.damage is not None:
            logger.warning(f"`{self.argument}`: {self.name} {self._container.damage}")
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

    def _measure_mp3(self) -> tuple[int | None, int | None]:
        with self._open_binary() as file:
            counted, claimed = measure_mp3(file, _size(file))
        if counted is not None and claimed is not None and counted < COMPLETE * claimed - MP3_SLACK:
            raise self._truncated(counted, claimed)
        return counted, claimed

    def _open_binary(self) -> AbstractContextManager[BinaryIO]:
        if isinstance(self.file, Path):
            return open(self.file, "rb")
        if isinstance(self.file, (bytes, bytearray, memoryview)):
            return io.BytesIO(self.file)
        self.file.seek(0)
        return nullcontext(self.file)

    def _damaged(self, reason: str) -> InputError:
        return InputError(
            f"`{self.argument}`: {self.name} is truncated or damaged and can't be read as audio to its end ({reason}):"
            " is the copy or download complete?",
            self.argument,
        )

    def _truncated(self, samples: int, claim: int) -> InputError:
        return InputError(
            f"`{self.argument}`: {self.name} is truncated after {samples / self.samplerate:.2f} of"
            f" {claim / self.samplerate:.2f} s and can't be read as audio to its end: is the copy or download"
            " complete?",
            self.argument,
        )


def _can_seek(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if callable(seekable) else hasattr(file, "seek")


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)
