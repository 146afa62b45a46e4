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

from typing import Any, NamedTuple

import torch

from ..audio.io import load_audio
from ..audio.resampling import resample
from ..utils.numbers import to_float
from .drums import separate_drums


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
    waveform, rate = load_audio(audio if sampling_rate is None else (audio, sampling_rate))
    drums = (_drums(waveform, rate) * _GRID).round() / _GRID
    return Stems(drums, waveform - drums, rate)


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
    waveform, rate = load_audio(audio if sampling_rate is None else (audio, sampling_rate))
    if gains[0] == gains[1]:
        return gains[0] * waveform
    drums = _drums(waveform, rate)
    return gains[1] * waveform + (gains[0] - gains[1]) * drums


def _drums(waveform: torch.Tensor, rate: int) -> torch.Tensor:
    """The drums of each channel, so that the stereo image stays."""
    separated = [separate_drums(channel[None], rate) for channel in waveform]
    drums = torch.cat([resample(stem, own_rate, rate) for stem, own_rate in separated])
    return torch.nn.functional.pad(drums, (0, waveform.shape[-1]))[:, : waveform.shape[-1]]
