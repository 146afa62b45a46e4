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
LIMITER_SECONDS = 0.005  # attack and release time of the limiter, which looks ahead
MIN_LOUDNESS_SECONDS = 0.4  # one block of ITU-R BS.1770
SILENCE_LUFS = -70.0  # the absolute gate of ITU-R BS.1770
MEASURED_PEAK = 0.25  # louder audio is scaled down before filtering
_HOP_SECONDS = 0.1
_BLOCK_HOPS = 4
_SETTLING_HOPS = 5  # 0.5 s, ten times the ringing of the filters
_RELATIVE_GATE = -10.0  # dB
_SURROUND_WEIGHT = 1.41  # of the fourth and fifth channels


def _normalize_loudness(audio: torch.Tensor, rate: int, loudness: float) -> torch.Tensor:
    if not isinstance(loudness, Real) or not SILENCE_LUFS <= loudness <= 0:
        raise ValueError(f"`loudness` has to be between {SILENCE_LUFS} and 0 LUFS, but is {loudness!r}.")
    if audio.shape[-1] < MIN_LOUDNESS_SECONDS * rate:
        logger.warning(f"`loudness` is ignored: audio of less than {MIN_LOUDNESS_SECONDS} s has no defined loudness.")
        return audio
    measured = measure_loudness(audio, rate)
    if math.isnan(measured):
        logger.warning("`loudness` is ignored: the audio is silent.")
        return audio
    return audio * 10 ** ((loudness - measured) / 20)


def measure_loudness(waveform: torch.Tensor, sampling_rate: int) -> float:
    r"""
    Measures the integrated loudness of a waveform (ITU-R BS.1770).

    Args:
        waveform (`torch.Tensor` of shape `(channels, samples)`): audio with at most 5 channels.
        sampling_rate (`int`): its sampling rate in Hz.

    Returns:
        `float`: loudness in LUFS, above -70; NaN for silence and for audio shorter than 0.4 s, whose loudness is
            undefined.
    """
    meter = LoudnessMeter(sampling_rate)
    meter.add(waveform)
    return meter.loudness()


class LoudnessMeter:
    r"""
    Measures the integrated, gated loudness (ITU-R BS.1770) of audio that arrives in blocks, in constant memory.

    Args:
        sampling_rate (`int`): sampling rate in Hz.
    """

    def __init__(self, sampling_rate: int):
        self.sampling_rate = sampling_rate
        self._hop = max(1, round(_HOP_SECONDS * sampling_rate))
        self._pending: torch.Tensor | None = None  # preceded by `_context` samples for the filters
        self._context = 0
        self._powers: list[torch.Tensor] = []  # of hops, weighted sum of the channels

    def add(self, waveform: torch.Tensor) -> None:
        """Adds a block `(channels, samples)` of any length."""
        self._pending = waveform if self._pending is None else torch.cat([self._pending, waveform], dim=-1)
        hops = (self._pending.shape[-1] - self._context) // self._hop
        if hops == 0:
            return
        end = self._context + hops * self._hop
        weighted = _k_weight(self._pending[:, :end], self.sampling_rate)[:, self._context :]
        powers = weighted.double().square().reshape(len(weighted), hops, -1).mean(dim=-1)
        weights = torch.ones(len(powers), 1, dtype=torch.float64)
        weights[3:5] = _SURROUND_WEIGHT
        self._powers.append((weights * powers).sum(dim=0))
        # Keep enough hops for the filters to settle.
        first = max(0, end - _SETTLING_HOPS * self._hop)
        self._pending, self._context = self._pending[:, first:], end - first

    def loudness(self) -> float:
        """The loudness in LUFS, above -70; NaN for silence and for audio shorter than 0.4 s."""
        powers = torch.cat([*self._powers, torch.zeros(0, dtype=torch.float64)])
        if len(powers) < _BLOCK_HOPS:
            return math.nan
        blocks = powers.unfold(0, _BLOCK_HOPS, 1).mean(dim=-1)
        blocks = blocks[_to_lufs(blocks) > SILENCE_LUFS]
        blocks = blocks[_to_lufs(blocks) > _to_lufs(blocks.mean()) + _RELATIVE_GATE]
        measured = float(_to_lufs(blocks.mean()))
        return measured if measured > SILENCE_LUFS else math.nan


def _to_lufs(power: torch.Tensor) -> torch.Tensor:
    return 10 * torch.log10(power) - 0.691


def _k_weight(waveform: torch.Tensor, rate: int) -> torch.Tensor:
    from torchaudio.functional import highpass_biquad, treble_biquad

    # torchaudio's filters clip at ±1 and amplify by up to 4 dB, so the signal needs headroom.
    headroom = MEASURED_PEAK / max(MEASURED_PEAK, float(waveform.abs().max()))
    weighted = treble_biquad(waveform * headroom, rate, 4.0, 1500.0, 1 / math.sqrt(2))
    return highpass_biquad(weighted, rate, 38.0, 0.5) / headroom


def fade_out(waveform: torch.Tensor, sampling_rate: int, seconds: float) -> torch.Tensor:
    r"""
    Fades out the end of a waveform.

    Args:
        waveform (`torch.Tensor` of shape `(..., samples)`): audio.
        sampling_rate (`int`): its sampling rate in Hz.
        seconds (`float`): duration of the fade, at most the whole waveform; with 0, nothing changes.

    Returns:
        `torch.Tensor` of the same shape.
    """
    size = min(round(seconds * sampling_rate), waveform.shape[-1])
    if not size:
        return waveform
    envelope = torch.cos(torch.linspace(0, math.pi / 2, size, device=waveform.device, dtype=waveform.dtype)) ** 2
    return torch.cat([waveform[..., :-size], waveform[..., -size:] * envelope], dim=-1)


def limit_peaks(waveform: torch.Tensor, sampling_rate: int) -> torch.Tensor:
    r"""
    Limits peaks to −1 dBFS. The gain is reduced smoothly within 5 ms around a peak and is the same for all channels;
    other samples are unchanged.

    Args:
        waveform (`torch.Tensor` of shape `(channels, samples)` or `(batch, channels, samples)`): audio.
        sampling_rate (`int`): its sampling rate in Hz.

    Returns:
        `torch.Tensor` of the same shape, in [-0.89, 0.89].
    """
    gain = PEAK_CEILING / waveform.abs().amax(dim=-2, keepdim=True).clamp(min=PEAK_CEILING)
    if gain.min() == 1:
        return waveform
    return (waveform * _smooth_gain(gain, sampling_rate)).clamp(-PEAK_CEILING, PEAK_CEILING)


def limit_added(added: torch.Tensor, kept: torch.Tensor, ceiling: float, sampling_rate: int) -> torch.Tensor:
    r"""
    Limits music that is added to other music so that the sum stays below a ceiling, as [`limit_peaks`] does.

    Args:
        added (`torch.Tensor` of shape `(channels, samples)`): the music whose gain is reduced.
        kept (`torch.Tensor` of shape `(channels, samples)`): the other music, which does not change.
        ceiling (`float`): largest value of the sum, at least that of `kept`.
        sampling_rate (`int`): samples per second.

    Returns:
        `torch.Tensor` of shape `(channels, samples)`: `added`, limited.
    """
    # A sum with samples of opposite signs may be larger.
    room = (ceiling - kept * added.sign()).clamp(min=0)
    gain = (room / added.abs().clamp(min=1e-9)).clamp(max=1).amin(dim=-2, keepdim=True)
    return added if gain.min() == 1 else added * _smooth_gain(gain, sampling_rate)


def _smooth_gain(gain: torch.Tensor, sampling_rate: int) -> torch.Tensor:
    """Gains that change smoothly and are never above the given ones `(..., 1, samples)`."""
    reach = max(1, round(LIMITER_SECONDS * sampling_rate))
    # All averaged minima are over windows that contain the sample, so their mean never exceeds the gain it needs.
    lowest = -F.max_pool1d(-gain, 2 * reach + 1, stride=1, padding=reach)
    return _moving_mean(F.pad(lowest, (reach, reach), mode="replicate"), 2 * reach + 1)


def _moving_mean(values: torch.Tensor, width: int) -> torch.Tensor:
    """Means of all windows of `width` values, from cumulative sums: several times faster than `avg_pool1d`."""
    if values.device.type == "mps":  # has no float64, which the growing sums need
        return F.avg_pool1d(values, width, stride=1)
    sums = F.pad(values.double().cumsum(dim=-1), (1, 0))
    return ((sums[..., width:] - sums[..., :-width]) / width).to(values.dtype)
