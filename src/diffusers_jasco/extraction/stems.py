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

"""The drums and the rest of a mix."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from ..audio.io import open_audio
from ..audio.resampling import resample_stream
from ..utils.numbers import to_float
from .drums import DrumStream


MAX_GAIN = 60.0  # dB
_GRID = 2**23  # drums are multiples of 1 / _GRID: 24 bits


class Stems(NamedTuple):
    r"""
    The drums and the rest of a mix.

    Attributes:
        drums, rest (`torch.Tensor` of shape `(channels, samples)`): waveforms, which may exceed ±1.
        sampling_rate (`int`): sampling rate in Hz.
    """

    drums: torch.Tensor
    rest: torch.Tensor
    sampling_rate: int


def separate_stems(audio: Any, sampling_rate: int | None = None) -> Stems:
    r"""
    Splits a mix into the drums ([`separate_drums`], each channel by itself) and everything else. `drums + rest` is the
    mix: exactly if its samples within ±1 have 16 or 24 bits, as in most files, otherwise up to the rounding of float32
    (1.2e-7).

    Args:
        audio (`str`, `os.PathLike`, `torch.Tensor` or `np.ndarray`):
            A file, or a waveform `(channels, samples)` or `(samples,)`.
        sampling_rate (`int`, *optional*): sampling rate of a waveform in Hz.

    Returns:
        [`Stems`]: both parts, with the sampling rate, the channels and the length of `audio`.

    Raises:
        [`InputError`]: for input that is not audio.
        `FileNotFoundError`: if a file does not exist.
    """
    recording = audio if sampling_rate is None else (audio, sampling_rate)
    mix, rate = _read(recording)
    drums = torch.zeros_like(mix)
    for channel, start, part in _drums(recording, mix.shape, rate):
        end = start + len(part)
        drums[channel, start:end] = (part * _GRID).round() / _GRID
        mix[channel, start:end] -= drums[channel, start:end]
    return Stems(drums, mix, rate)


def change_stem_levels(
    audio: Any, sampling_rate: int | None = None, drums_gain: float = 0.0, rest_gain: float = 0.0
) -> torch.Tensor:
    r"""
    Changes the levels of the drums and of everything else in a mix, which [`separate_drums`] separates. Both parts add up
    to the mix: with gains of 0 dB, the result is identical to it.

    Args:
        audio (`str`, `os.PathLike`, `torch.Tensor` or `np.ndarray`):
            A file, or a waveform `(channels, samples)` or `(samples,)`.
        sampling_rate (`int`, *optional*): sampling rate of a waveform in Hz.
        drums_gain (`float`, defaults to `0.0`), rest_gain (`float`, defaults to `0.0`): gains in dB, up to ±60.

    Returns:
        `torch.Tensor` of shape `(channels, samples)`: the new mix, which may exceed ±1, at the rate of `audio`.

    Raises:
        [`InputError`]: for gains that are not numbers from -60 to 60, and input that is not audio.
        `FileNotFoundError`: if a file does not exist.
    """
    gains = [
        10 ** (to_float(gain, name, -MAX_GAIN, MAX_GAIN, unit="dB") / 20)
        for name, gain in (("drums_gain", drums_gain), ("rest_gain", rest_gain))
    ]
    recording = audio if sampling_rate is None else (audio, sampling_rate)
    mix, rate = _read(recording)
    mix *= gains[1]
    if gains[0] != gains[1]:
        for channel, start, part in _drums(recording, mix.shape, rate):
            mix[channel, start : start + len(part)] += (gains[0] - gains[1]) * part
    return mix


def _read(recording: Any) -> tuple[torch.Tensor, int]:
    """A copy of the waveform `(channels, samples)` and the sampling rate."""
    source, end = open_audio(recording), 0
    waveform = torch.empty(source.channels, source.frames)
    for block in source.blocks():
        waveform[:, end : end + len(block)] = torch.from_numpy(block).T
        end += len(block)
    return waveform[:, :end], source.samplerate


def _drums(recording: Any, shape: tuple[int, ...], rate: int) -> Iterator[tuple[int, int, torch.Tensor]]:
    """Yields the drums of each channel, so that the stereo image stays: its number, the first sample, and a block."""
    num_channels, num_samples = shape
    for channel in range(num_channels):
        stream, start = DrumStream(recording, channel=channel), 0
        for block in resample_stream(map(torch.from_numpy, stream), stream.num_samples, stream.rate, rate):
            yield channel, start, block[: num_samples - start]
            start += len(block)
