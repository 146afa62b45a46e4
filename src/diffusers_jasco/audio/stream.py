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

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from ..utils.errors import InputError
from .io import open_audio


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


class AudioStream:
    r"""
    Streams mono audio at a given rate, in constant memory.

    Args:
        audio (`str`, `os.PathLike`, `torch.Tensor`, `np.ndarray`, ...):
            A waveform `(samples,)` or `(channels, samples)`, or any recording that [`~audio.io.load_audio`] takes.
        sampling_rate (`int`, *optional*):
            Rate of a waveform in Hz; not for files.
        rate (`int`):
            Rate of the blocks in Hz.

    Raises:
        `FileNotFoundError`: for an absent file.
        [`InputError`]: for input that is not audio, for a waveform without a rate, and for a file with one.
    """

    def __init__(self, audio: Any, sampling_rate: int | None, rate: int):
        if isinstance(audio, (torch.Tensor, np.ndarray)):
            if sampling_rate is None:
                raise InputError("`sampling_rate` is missing: a waveform does not say its rate.", "sampling_rate")
            audio, sampling_rate = (audio, sampling_rate), None
        if sampling_rate is not None:
            raise InputError("`sampling_rate` belongs to a waveform: a file has a rate of its own.", "sampling_rate")
        self._source = open_audio(audio)
        self.rate, self.own_rate = rate, self._source.samplerate
        self.duration = self._source.frames / self.own_rate  # seconds

    def _read(self) -> Iterator[np.ndarray]:
        """Mono blocks at the audio's own rate."""
        return (block.mean(axis=1) for block in self._source.blocks())

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
