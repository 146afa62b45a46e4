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

"""Loudness (ITU-R BS.1770) and a peak limiter."""

import math
from numbers import Real

import torch
from diffusers.utils import logging
from torch.nn import functional as F


logger = logging.get_logger(__name__)

PEAK_CEILING = 10 ** (-1 / 20)  # −1 dBFS
LIMITER_SECONDS = 0.005  # how early before a peak the limiter begins to turn down, and how late after it ends
MIN_LOUDNESS_SECONDS = 0.4  # one block of ITU-R BS.1770
SILENCE_LUFS = -70.0  # the absolute gate of ITU-R BS.1770
MEASURED_PEAK = 0.25


def _normalize_loudness(audio: torch.Tensor, rate: int, loudness: float) -> torch.Tensor:
    if not isinstance(loudness, Real) or not SILENCE_LUFS <= loudness <= 0:
        raise ValueError(f"`loudness` has to be between {SILENCE_LUFS} and 0 LUFS, but is {loudness!r}.")
    if audio.shape[-1] < MIN_LOUDNESS_SECONDS * rate:
        logger.warning(f"`loudness` is not set: audio of less than {MIN_LOUDNESS_SECONDS} s has no defined loudness.")
        return audio
    measured = measure_loudness(audio, rate)
    if math.isnan(measured):
        logger.warning("`loudness` is not set: the audio is silent.")
        return audio
    return audio * 10 ** ((loudness - measured) / 20)


def measure_loudness(waveform: torch.Tensor, sampling_rate: int) -> float:
    r"""
    Args:
        waveform (`torch.Tensor` of shape `(channels, samples)`): audio, of at most 5 channels.
        sampling_rate (`int`): its rate in Hz.

    Returns:
        `float`: loudness in LUFS (ITU-R BS.1770), above -70; NaN for silence and for audio shorter than 0.4 s, which have none.
    """
    if waveform.shape[-1] < MIN_LOUDNESS_SECONDS * sampling_rate:
        return math.nan
    from torchaudio.functional import loudness

    # torchaudio's filters clip at ±1, and they amplify by up to 4 dB: what is measured needs headroom.
    headroom = MEASURED_PEAK / max(MEASURED_PEAK, float(waveform.abs().max()))
    measured = float(loudness(waveform * headroom, sampling_rate)) - 20 * math.log10(headroom)
    return measured if measured > SILENCE_LUFS else math.nan


def limit_peaks(waveform: torch.Tensor, sampling_rate: int) -> torch.Tensor:
    r"""
    Turns the level down around samples above −1 dBFS, smoothly within 5 ms and for all channels alike, and leaves the rest
    as it is.

    Args:
        waveform (`torch.Tensor` of shape `(channels, samples)` or `(batch, channels, samples)`): audio.
        sampling_rate (`int`): its rate in Hz.

    Returns:
        `torch.Tensor` of the same shape, in ±0.89.
    """
    gain = PEAK_CEILING / waveform.abs().amax(dim=-2, keepdim=True).clamp(min=PEAK_CEILING)
    if gain.min() == 1:
        return waveform
    reach = max(1, round(LIMITER_SECONDS * sampling_rate))
    # The mean of minima over windows that all contain a sample is never above what this sample needs.
    lowest = -F.max_pool1d(-gain, 2 * reach + 1, stride=1, padding=reach)
    smooth = F.avg_pool1d(F.pad(lowest, (reach, reach), mode="replicate"), 2 * reach + 1, stride=1)
    return (waveform * smooth).clamp(-PEAK_CEILING, PEAK_CEILING)
