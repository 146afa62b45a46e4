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

"""Audio of any length in blocks: what extractors read."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..utils.errors import InputError
from .io import check_file, load_audio


BLOCK_SECONDS = 10.0
# A file that has less than this share of what it claims, and half a second less, breaks off: MP3 files do not know exactly.
COMPLETE, SLACK_SECONDS = 0.98, 0.5


def resample_blocks(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Blocks `(samples,)` in float32 at another rate."""
    if from_rate == to_rate:
        yield from blocks
        return
    import soxr

    resampler = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32")
    for block in blocks:
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


def open_recording(file: Any, name: str | None = None) -> Any:
    r"""
    Opens an audio file to be read by parts.

    Args:
        file (`str`, `os.PathLike` or file object): a file that soundfile reads.
        name (`str`, *optional*): its name, for messages.

    Returns:
        `soundfile.SoundFile`

    Raises:
        [`InputError`]: for a file that is not audio, and for a WAV or AIFF file shorter than its header says.
    """
    import soundfile

    name = file if name is None else name
    try:
        recording = soundfile.SoundFile(file)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise InputError(f"`audio`: {name} can't be read as audio ({error}).", "audio") from error
    # As libsndfile reports a header that promises more than there is; programs that write to a pipe promise 2 GB or more.
    claim = re.search(r"^ *(?:data|SSND) : (\d+) \(should be (\d+)\)", recording.extra_info, re.M)
    if claim is not None and int(claim[2]) < COMPLETE * int(claim[1]) < 2**31:
        recording.close()
        raise InputError(f"`audio`: {name} breaks off: it has {claim[2]} of {claim[1]} bytes of audio.", "audio")
    return recording


class AudioStream:
    r"""
    Mono audio at a rate of one's choice, block by block: an hour takes no more memory than some seconds.

    Args:
        audio (`str`, `os.PathLike`, `torch.Tensor` or `np.ndarray`):
            A file that soundfile reads, a waveform `(samples,)` or `(channels, samples)`, or what else
            [`~audio.io.load_audio`] takes.
        sampling_rate (`int`, *optional*):
            Rate of a waveform in Hz; not for files.
        rate (`int`):
            Rate of the blocks in Hz.

    Raises:
        `FileNotFoundError`: for an absent file.
        [`InputError`]: for input that is not audio, for a waveform without a rate, and for a file with one.
    """

    def __init__(self, audio: Any, sampling_rate: int | None, rate: int):
        is_file = isinstance(audio, (str, os.PathLike))
        if is_file and sampling_rate is not None:
            raise InputError("`sampling_rate` belongs to a waveform: a file has a rate of its own.", "sampling_rate")
        if isinstance(audio, (torch.Tensor, np.ndarray)):
            if sampling_rate is None:
                raise InputError("`sampling_rate` is missing: a waveform does not say its rate.", "sampling_rate")
            audio = (audio, sampling_rate)
        self.path: Path | None = None
        self.rate, self.own_rate = rate, rate
        if is_file:
            self.path = check_file(audio, "audio")
            with open_recording(self.path) as file:
                self.own_rate, num_samples = file.samplerate, file.frames
        else:
            self.waveform, self.own_rate = load_audio(audio)
            num_samples = self.waveform.shape[-1]
        self.duration = num_samples / self.own_rate  # seconds

    def _read(self) -> Iterator[np.ndarray]:
        """Mono blocks at the audio's own rate."""
        size = round(BLOCK_SECONDS * self.own_rate)
        if self.path is None:
            for start in range(0, self.waveform.shape[-1], size):
                yield self.waveform[:, start : start + size].mean(dim=0).numpy()
            return
        import soundfile

        with open_recording(self.path) as file:
            count = 0
            while True:
                try:
                    block = file.read(size, dtype="float32", always_2d=True)
                except (soundfile.LibsndfileError, RuntimeError) as error:
                    raise InputError(f"`audio`: {self.path} breaks off ({error}).", "audio") from error
                if not len(block):
                    if count < COMPLETE * file.frames - SLACK_SECONDS * self.own_rate:
                        raise InputError(
                            f"`audio`: {self.path} breaks off after {count / self.own_rate:.2f} of"
                            f" {file.frames / self.own_rate:.2f} s.",
                            "audio",
                        )
                    return
                count += len(block)
                if not np.isfinite(block).all():
                    raise InputError(
                        f"`audio`: {self.path} has values that are not finite (NaN or infinite).", "audio"
                    )
                yield block.mean(axis=1)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Blocks `(samples,)` in float32 at `rate`, of about 10 s."""
        yield from resample_blocks(self._read(), self.own_rate, self.rate)

    def frames(self, size: int, hop: int, before: int | None = None) -> Iterator[np.ndarray]:
        r"""
        Overlapping frames, in batches `(frames, size)`.

        Args:
            size (`int`): samples of a frame.
            hop (`int`): samples from one frame to the next.
            before (`int`, *optional*):
                How many samples of frame `i` lie before sample `i * hop`, by default half of them. Beyond the ends there is
                silence, and there are as many frames as hops have begun.
        """
        rest = np.zeros(size // 2 if before is None else before, dtype=np.float32)
        total = made = 0
        for block in self:
            total += len(block)
            rest = np.concatenate([rest, block])
            count = (len(rest) - size) // hop + 1
            if count > 0:
                yield np.lib.stride_tricks.sliding_window_view(rest, size)[: count * hop : hop]
                rest, made = rest[count * hop :], made + count
        count = -(-total // hop) - made
        if count > 0:
            rest = np.concatenate([rest, np.zeros(max((count - 1) * hop + size - len(rest), 0), dtype=np.float32)])
            yield np.lib.stride_tricks.sliding_window_view(rest, size)[: count * hop : hop]
