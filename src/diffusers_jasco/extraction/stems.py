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

"""Levels of the drums and of the rest in a mix."""

from typing import Any

import torch

from ..audio.io import load_audio
from ..audio.resampling import resample
from ..utils.numbers import to_float
from .drums import separate_drums


MAX_GAIN = 60.0  # dB


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
    # The drums of each channel, so that the stereo image stays.
    separated = [separate_drums(channel[None], rate) for channel in waveform]
    drums = torch.cat([resample(stem, own_rate, rate) for stem, own_rate in separated])
    drums = torch.nn.functional.pad(drums, (0, waveform.shape[-1]))[:, : waveform.shape[-1]]
    return gains[1] * waveform + (gains[0] - gains[1]) * drums
