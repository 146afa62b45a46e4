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

"""Band-limited resampling."""

import math
from fractions import Fraction

import torch
from torch.nn import functional as F


FILTER_WIDTH, ROLLOFF = 24, 0.945  # of the resampler, as in julius
MAX_RATIO_TERM = 2000


def resample(waveform: torch.Tensor, from_rate: int, to_rate: int) -> torch.Tensor:
    r"""
    Band-limited resampling that equals `julius.resample_frac`, which the original uses, to 2e-5 of the signal.

    Args:
        waveform (`torch.Tensor` of shape `(..., samples)`): audio.
        from_rate (`int`): its rate in Hz.
        to_rate (`int`): the new rate in Hz.

    Returns:
        `torch.Tensor` of shape `(..., samples * to_rate // from_rate)`.
    """
    if from_rate == to_rate:
        return waveform
    from torchaudio.functional import resample

    old, new, blocks = _resampling_blocks(from_rate, to_rate)
    # Pad with the last value instead of silence, as julius does.
    padded = F.pad(waveform.reshape(1, -1, waveform.shape[-1]), (blocks * old, blocks * old), mode="replicate")
    resampled = resample(padded, old, new, lowpass_filter_width=FILTER_WIDTH, rolloff=ROLLOFF)
    num_samples = waveform.shape[-1] * to_rate // from_rate
    return resampled[..., blocks * new : blocks * new + num_samples].reshape(*waveform.shape[:-1], num_samples)


def _resampling_blocks(from_rate: int, to_rate: int) -> tuple[int, int, int]:
    """Each `old` samples become `new` ones, which depend on so many blocks of `old` samples before and after them."""
    # The filter's size grows with the terms of the ratio; rates that have no small ones are off by less than 1e-6.
    ratio = Fraction(to_rate, from_rate).limit_denominator(MAX_RATIO_TERM)
    old, new = ratio.denominator, ratio.numerator
    return old, new, 1 + math.ceil(FILTER_WIDTH / ROLLOFF * max(1.0, old / new) / old)


def resampled_span(start: int, end: int, from_rate: int, to_rate: int) -> tuple[int, int, int]:
    r"""
    The part of a recording that [`resample`] needs to produce a given part of the resampled whole.

    Args:
        start (`int`), end (`int`): the part, in samples at `to_rate`.
        from_rate (`int`): the recording's rate in Hz.
        to_rate (`int`): the new rate in Hz.

    Returns:
        `tuple[int, int, int]`: first sample and end (which may lie after the recording's) of what to resample, and how many
        samples of the result come before the part.
    """
    if from_rate == to_rate:
        return start, end, 0
    old, new, blocks = _resampling_blocks(from_rate, to_rate)
    first = max(start // new - blocks, 0)
    return first * old, (-(-end // new) + blocks) * old, start - first * new
