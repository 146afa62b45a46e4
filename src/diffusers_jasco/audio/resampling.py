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
from collections.abc import Iterable, Iterator
from fractions import Fraction

import torch
from torch.nn import functional as F


FILTER_WIDTH = 24  # zero crossings of the low-pass filter, as in julius
ROLLOFF = 0.945  # cutoff as a share of the Nyquist frequency, as in julius
MAX_RATIO_TERM = 2000  # largest denominator of `to_rate / from_rate`
# Samples on each side of the kernel of `resample_period`, and the degree of the polynomials that approximate it: errors
# are below -90 dB up to two thirds of the Nyquist frequency.
_PERIOD_REACH = 32
_PERIOD_DEGREE = 6
_PERIOD_BLOCK = 2**16  # samples that are computed at once


def resample(waveform: torch.Tensor, from_rate: int, to_rate: int) -> torch.Tensor:
    r"""
    Resamples audio with a band-limited filter. The result equals `julius.resample_frac`, which AudioCraft uses, with a
    relative error below 2e-5.

    Args:
        waveform (`torch.Tensor` of shape `(..., samples)`): audio.
        from_rate (`int`): its sampling rate in Hz.
        to_rate (`int`): the new sampling rate in Hz.

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


def resample_stream(
    blocks: Iterable[torch.Tensor], num_samples: int, from_rate: int, to_rate: int, size: int = 2**19
) -> Iterator[torch.Tensor]:
    r"""
    Resamples audio that arrives in blocks. The samples equal those of [`resample`] for the whole audio.

    Args:
        blocks (`Iterable[torch.Tensor]`): consecutive parts `(samples,)` of any length.
        num_samples (`int`): number of samples in all blocks.
        from_rate (`int`), to_rate (`int`): see [`resample`].
        size (`int`, defaults to `2**19`): number of samples per block of the result.

    Yields:
        `torch.Tensor` of shape `(samples,)`: `num_samples * to_rate // from_rate` samples in total.
    """
    parts, first = iter(blocks), 0
    pending = torch.zeros(0)  # from sample `first` on
    total = num_samples * to_rate // from_rate
    for start in range(0, total, size):
        begin, end, surplus = resampled_span(start, min(start + size, total), from_rate, to_rate)
        end = min(end, num_samples)
        collected = [pending[begin - first :]]
        first, length = begin, len(collected[0])
        while first + length < end and (part := next(parts, None)) is not None:
            collected.append(part)
            length += len(part)
        pending = torch.cat(collected)
        yield resample(pending[: end - first], from_rate, to_rate)[surplus : surplus + size]


def _resampling_blocks(from_rate: int, to_rate: int) -> tuple[int, int, int]:
    """Block sizes `old` and `new` with `old / new = from_rate / to_rate`, and the reach of the filter in blocks."""
    # The filter size grows with the terms of the ratio. Limiting them changes the ratio by less than 1e-6.
    ratio = Fraction(to_rate, from_rate).limit_denominator(MAX_RATIO_TERM)
    old, new = ratio.denominator, ratio.numerator
    return old, new, 1 + math.ceil(FILTER_WIDTH / ROLLOFF * max(1.0, old / new) / old)


def resample_period(waveform: torch.Tensor, num_samples: int) -> torch.Tensor:
    r"""
    Resamples one period of a periodic signal, such as a loop, to any other number of samples. The result can be repeated
    like the input. It is for small changes of the length: memory and time do not depend on the ratio.

    Args:
        waveform (`torch.Tensor` of shape `(..., samples)`): one period.
        num_samples (`int`): its new length.

    Returns:
        `torch.Tensor` of shape `(..., num_samples)`.
    """
    size = waveform.shape[-1]
    if num_samples == size:
        return waveform
    # A polynomial of the position between two samples for each tap of the kernel (Farrow structure).
    position = torch.linspace(0, 1, 4 * _PERIOD_DEGREE + 1, dtype=torch.float64)[:, None]
    distance = position - torch.arange(1 - _PERIOD_REACH, _PERIOD_REACH + 1)
    cutoff = min(1.0, num_samples / size)
    kernel = cutoff * torch.sinc(cutoff * distance) * (distance * (math.pi / 2 / _PERIOD_REACH)).cos().square()
    powers = (position - 0.5) ** torch.arange(_PERIOD_DEGREE, -1, -1)
    coefficients = torch.linalg.lstsq(powers, kernel).solution.T.to(waveform)

    around = torch.arange(1 - _PERIOD_REACH, size + _PERIOD_REACH, device=waveform.device) % size
    padded = waveform.reshape(-1, size)[:, around]
    resampled = waveform.new_empty(len(padded), num_samples)
    for first in range(0, num_samples, _PERIOD_BLOCK):
        scaled = size * torch.arange(first, min(first + _PERIOD_BLOCK, num_samples), device=waveform.device)
        nearest, position = scaled // num_samples, (scaled % num_samples) / num_samples - 0.5
        start, end = int(nearest[0]), int(nearest[-1])
        # Not a convolution, which is less precise on CUDA by default (TF32).
        taps = padded[:, start : end + 2 * _PERIOD_REACH].unfold(-1, 2 * _PERIOD_REACH, 1)
        value, *terms = (taps @ coefficients)[:, nearest - start].unbind(-1)
        for term in terms:
            value = value * position + term
        resampled[:, first : first + len(nearest)] = value
    return resampled.reshape(*waveform.shape[:-1], num_samples)


def resampled_span(start: int, end: int, from_rate: int, to_rate: int) -> tuple[int, int, int]:
    r"""
    Determines the input samples that [`resample`] needs to produce a given part of the resampled recording.

    Args:
        start (`int`), end (`int`): first sample and end of the part at `to_rate`.
        from_rate (`int`): the sampling rate of the recording in Hz.
        to_rate (`int`): the new sampling rate in Hz.

    Returns:
        `tuple[int, int, int]`: the first input sample, the end of the input (which may exceed the recording), and the
            number of resampled samples that precede the part.
    """
    if from_rate == to_rate:
        return start, end, 0
    old, new, blocks = _resampling_blocks(from_rate, to_rate)
    first = max(start // new - blocks, 0)
    return first * old, (-(-end // new) + blocks) * old, start - first * new
