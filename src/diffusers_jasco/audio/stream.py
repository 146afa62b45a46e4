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

"""Streaming of audio in blocks, for extractors."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from ..utils.errors import InputError
from .io import open_audio


def resample_blocks(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Resamples blocks `(samples,)` in float32."""
    if from_rate == to_rate:
        yield from blocks
        return
    import soxr

    resampler = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32")
    for block in blocks:
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


def frame_blocks(blocks: Iterable[np.ndarray], size: int, hop: int, before: int | None = None) -> Iterator[np.ndarray]:
    r"""
    Yields overlapping frames in batches `(frames, size)`. The audio is padded with silence at both ends, and there is one
    frame per hop, including a final partial hop.

    Args:
        blocks (`Iterable[np.ndarray]`): consecutive blocks of audio `(samples,)` in float32.
        size (`int`): samples per frame.
        hop (`int`): samples from one frame to the next.
        before (`int`, *optional*):
            Number of samples of frame `i` that precede sample `i * hop`; half of the frame by default.
    """
    rest = np.zeros(size // 2 if before is None else before, dtype=np.float32)
    total = made = 0
    for block in blocks:
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


class AudioStream:
    r"""
    Streams mono audio, or one channel, at a given rate, in constant memory.

    Args:
        audio (`str`, `os.PathLike`, `torch.Tensor`, `np.ndarray`, ...):
            A waveform `(samples,)` or `(channels, samples)`, or any recording that [`~audio.io.load_audio`] accepts.
        sampling_rate (`int`, *optional*):
            Sampling rate of a waveform in Hz; must not be given for files.
        rate (`int`):
            Sampling rate of the blocks in Hz.
        channel (`int`, *optional*):
            The channel to stream, by default the mean of all.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the input is not audio, or if `sampling_rate` is missing for a waveform or given for a file.
    """

    def __init__(self, audio: Any, sampling_rate: int | None, rate: int, channel: int | None = None):
        if isinstance(audio, (torch.Tensor, np.ndarray)):
            if sampling_rate is None:
                raise InputError("`sampling_rate` is missing: it is required for a waveform.", "sampling_rate")
            audio, sampling_rate = (audio, sampling_rate), None
        if sampling_rate is not None:
            raise InputError(
                "`sampling_rate` is only for waveforms: files contain their sampling rate.", "sampling_rate"
            )
        self.source, self._channel = open_audio(audio), channel  # the open recording, for other readers
        self.rate, self.own_rate = rate, self.source.samplerate
        self.duration = self.source.frames / self.own_rate  # seconds

    def _read(self) -> Iterator[np.ndarray]:
        """Yields mono blocks at the sampling rate of the source."""
        if self._channel is None:
            return (block.mean(axis=1) for block in self.source.blocks())
        return (block[:, self._channel] for block in self.source.blocks())

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields blocks `(samples,)` of about 10 s in float32 at `rate`."""
        yield from resample_blocks(self._read(), self.own_rate, self.rate)

    def frames(self, size: int, hop: int, before: int | None = None) -> Iterator[np.ndarray]:
        """Yields overlapping frames in batches `(frames, size)`, as [`frame_blocks`]."""
        return frame_blocks(self, size, hop, before)
