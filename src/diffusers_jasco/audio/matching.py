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

"""Matches new music to the recording around it: levels in octave bands, channels, and delay."""

import math
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F


MAX_GAIN = 6.0  # dB
MAX_DELAY = 0.01  # seconds
MAX_STRETCH = 0.002  # change of the duration between two fades: 3.5 cents in pitch
SILENT_POWER = 1e-8  # -80 dBFS in a band
MIN_SECONDS = 0.1  # shorter excerpts have no meaningful spectrum
KERNEL_SECONDS = 0.08  # length of the equalizer's impulse response
GLIDE_STEPS = 4  # parts of a region between which the balance of the channels changes linearly
FIT_WEIGHT = 1e-3  # share of the loudest band's power with which each gain of the equalizer stays near its band's
DELAY_COST = 0.05  # correlation that a delay of `MAX_DELAY` has to gain


def octave_centers(sampling_rate: int) -> torch.Tensor:
    """Centers in Hz of the octave bands from 62.5 Hz that end below the Nyquist frequency."""
    count = math.floor(math.log2(sampling_rate / 2 / math.sqrt(2) / 62.5)) + 1
    return 62.5 * 2.0 ** torch.arange(max(count, 1))


def measure_bands(excerpts: Sequence[torch.Tensor], sampling_rate: int) -> torch.Tensor:
    r"""
    Measures the power in octave bands.

    Args:
        excerpts (`Sequence[torch.Tensor]`, each of shape `(channels, samples)`): the audio.
        sampling_rate (`int`): samples per second.

    Returns:
        `torch.Tensor` of shape `(channels, bands)`: mean power of the excerpts; 1 is a square wave of full scale. The
            lowest and the highest band include everything below and above.
    """
    centers = octave_centers(sampling_rate)
    total = torch.zeros(len(excerpts[0]), len(centers), dtype=torch.float64)
    for excerpt in excerpts:
        spectrum, band = _measure_spectrum(excerpt, centers, sampling_rate)
        total.index_add_(1, band, spectrum)
    return total / sum(excerpt.shape[-1] for excerpt in excerpts)


def _measure_spectrum(
    excerpt: torch.Tensor, centers: torch.Tensor, sampling_rate: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The energy at each frequency, `(channels, frequencies)`, and the octave band of each frequency."""
    size = excerpt.shape[-1]
    # A window keeps the cut ends of an excerpt from leaking into quiet bands.
    window = torch.hann_window(size, dtype=torch.float64)
    spectrum = torch.fft.rfft(excerpt.double() * window).abs().square() * 2 / (size * window.square().mean())
    frequencies = torch.arange(spectrum.shape[-1], dtype=torch.float64) * sampling_rate / size
    return spectrum, (frequencies.clamp(min=1.0) / 62.5).log2().round().long().clamp(0, len(centers) - 1)


def match_channels(recorded: torch.Tensor, generated: torch.Tensor) -> torch.Tensor:
    r"""
    Determines the gains, limited to ±6 dB, that give generated music the levels of a recording. Both are given for the
    same time.

    Args:
        recorded (`torch.Tensor` of shape `(channels, bands)`): powers of the recording from [`measure_bands`].
        generated (`torch.Tensor` of shape `(1, bands)` or `(channels, bands)`): powers of the generated music.

    Returns:
        `torch.Tensor` of the shape of `generated`: factors. Mono music gets the mean power of the channels. Bands in which
            either is silent get the gains of all bands together.
    """

    def match(recorded: torch.Tensor, generated: torch.Tensor) -> torch.Tensor:
        floor = SILENT_POWER / 1e6
        return _limit((recorded.clamp(min=floor) / generated.clamp(min=floor)).sqrt())

    if len(generated) < len(recorded):
        recorded = recorded.mean(dim=0, keepdim=True)
    return _match_audible(recorded, generated, match)


def find_balance(recorded: torch.Tensor) -> torch.Tensor:
    r"""
    Determines the gains that divide mono music over channels as the power of a recording is, in each octave band.

    Args:
        recorded (`torch.Tensor` of shape `(channels, bands)`): powers of the recording from [`measure_bands`].

    Returns:
        `torch.Tensor` of shape `(channels, bands)`: factors whose squares have a mean of 1 over the channels. Silent bands
            get those of all bands together.
    """
    total = recorded.sum(dim=1, keepdim=True)
    if float(total.mean()) < SILENT_POWER:
        return torch.ones_like(recorded)
    powers = torch.where(recorded.mean(dim=0) < SILENT_POWER, total, recorded).clamp(min=SILENT_POWER / 1e6)
    return (powers / powers.mean(dim=0)).sqrt()


def match_levels(recorded: torch.Tensor, generated: torch.Tensor) -> torch.Tensor:
    r"""
    Determines the gains, limited to ±6 dB, that give music in a region the levels of its surroundings. All channels have
    the same gain.

    Args:
        recorded (`torch.Tensor` of shape `(channels, bands)`): powers of the surroundings from [`measure_bands`].
        generated (`torch.Tensor` of shape `(channels, bands)`): powers in the region.

    Returns:
        `torch.Tensor` of shape `(1, bands)`: factors. Bands in which either is silent get the gain of all bands together.
    """
    recorded, generated = (powers.mean(dim=0, keepdim=True) for powers in (recorded, generated))
    return _match_audible(recorded, generated, lambda *powers: _limit((powers[0] / powers[1]).sqrt()))


def _match_audible(
    recorded: torch.Tensor, generated: torch.Tensor, match: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """The gains of each band, of all bands together where either is silent, or 1 if all bands are."""
    powers = recorded, generated
    is_silent = torch.stack([power.mean(dim=0) < SILENT_POWER for power in powers]).any(dim=0)
    totals = [power.sum(dim=1, keepdim=True) for power in powers]
    if min(float(total.mean()) for total in totals) < SILENT_POWER:
        return torch.ones_like(recorded)
    return torch.where(is_silent, match(*totals), match(*powers))


def _limit(gains: torch.Tensor) -> torch.Tensor:
    limit = 10 ** (MAX_GAIN / 20)
    return gains.nan_to_num(1.0).clamp(1 / limit, limit)


def fit_equalizer(gains: torch.Tensor, excerpts: Sequence[torch.Tensor], sampling_rate: int) -> torch.Tensor:
    r"""
    Determines the gains with which [`equalize`] changes the level of each octave band by the wanted gain, as far as
    possible. The filter changes smoothly between two bands, so a loud tone near the edge of a band, such as that of a bass,
    gets a mixture of two gains. Louder bands are more accurate.

    Args:
        gains (`torch.Tensor` of shape `(channels, bands)`): wanted factors.
        excerpts (`Sequence[torch.Tensor]`, each of shape `(channels, samples)`): the music to which they apply.
        sampling_rate (`int`): samples per second.

    Returns:
        `torch.Tensor` of shape `(channels, bands)`: factors for [`equalize`], within ±6 dB.
    """
    from scipy.optimize import lsq_linear

    centers = octave_centers(sampling_rate)
    count = len(centers)
    kernels = _make_kernels(torch.eye(count, dtype=torch.float64), centers, sampling_rate)
    # How much each gain contributes to each band, weighted by the power at each frequency
    energy = torch.zeros(len(gains), count, count, dtype=torch.float64)
    for excerpt in excerpts:
        spectrum, band = _measure_spectrum(excerpt, centers, sampling_rate)
        responses = torch.fft.rfft(kernels, n=excerpt.shape[-1]).abs()
        for channel in range(len(gains)):
            energy[channel].index_add_(1, band, responses * spectrum[channel])
    fitted = gains.clone()
    limit = 10 ** (MAX_GAIN / 20)
    for channel, wanted in enumerate(gains):
        contributions = energy[channel].T
        power = contributions.sum(dim=1, keepdim=True)
        if power.sum() == 0:
            continue
        weights = (power / power.max()).sqrt()
        rows = weights * contributions / power.clamp(min=1e-30)
        matrix = torch.cat([rows, math.sqrt(FIT_WEIGHT) * torch.eye(count, dtype=torch.float64)])
        target = torch.cat([weights[:, 0] * wanted, math.sqrt(FIT_WEIGHT) * wanted])
        fitted[channel] = torch.from_numpy(lsq_linear(matrix.numpy(), target.numpy(), (1 / limit, limit)).x)
    return fitted


def equalize(waveform: torch.Tensor, gains: torch.Tensor, centers: torch.Tensor, sampling_rate: int) -> torch.Tensor:
    r"""
    Applies gains in octave bands with a linear-phase filter, without delay.

    Args:
        waveform (`torch.Tensor` of shape `(channels, samples)`): mono, or with the channels of the gains.
        gains (`torch.Tensor` of shape `(channels, bands)`): factors.
        centers (`torch.Tensor` of shape `(bands,)`): centers of the bands in Hz.
        sampling_rate (`int`): samples per second.

    Returns:
        `torch.Tensor` of the waveform's type and length, with the channels of the gains.
    """
    from torchaudio.functional import fftconvolve

    kernels = _make_kernels(gains, centers, sampling_rate)
    return fftconvolve(waveform.expand(len(gains), -1), kernels.to(waveform), mode="same")


def _make_kernels(gains: torch.Tensor, centers: torch.Tensor, sampling_rate: int) -> torch.Tensor:
    """Impulse responses `(channels, samples)`."""
    half = round(KERNEL_SECONDS / 2 * sampling_rate)
    frequencies = torch.fft.rfftfreq(4 * half, 1 / sampling_rate, dtype=torch.float64)
    # Gains change linearly over the octaves between two centers.
    place = (frequencies.clamp(min=1.0) / centers[0]).log2().clamp(0, len(centers) - 1)
    low = place.long().clamp(max=max(len(centers) - 2, 0))
    high = (low + 1).clamp(max=len(centers) - 1)
    response = torch.lerp(gains[:, low], gains[:, high], (place - low).to(gains))
    kernel = torch.fft.irfft(response).roll(half, dims=-1)[:, : 2 * half + 1]
    return kernel * torch.hann_window(2 * half + 3, periodic=False, dtype=kernel.dtype)[1:-1]


def equalize_gliding(
    waveform: torch.Tensor,
    gains: tuple[torch.Tensor, torch.Tensor],
    start: int,
    end: int,
    centers: torch.Tensor,
    sampling_rate: int,
) -> torch.Tensor:
    r"""
    Applies gains in octave bands that change from `start` to `end`, linearly in power.

    Args:
        waveform (`torch.Tensor` of shape `(channels, samples)`): mono, or with the channels of the gains.
        gains (`tuple[torch.Tensor, torch.Tensor]`, both of shape `(channels, bands)`): factors at the start and at the end.
        start (`int`), end (`int`): samples of the waveform between which the gains change.
        centers (`torch.Tensor` of shape `(bands,)`), sampling_rate (`int`): as for [`equalize`].

    Returns:
        `torch.Tensor` of the waveform's type and length, with the channels of the gains.
    """
    if torch.equal(*gains):
        return equalize(waveform, gains[0], centers, sampling_rate)
    place = torch.linspace(0, GLIDE_STEPS, end - start)
    place = torch.cat([torch.zeros(start), place, torch.full((waveform.shape[-1] - end,), float(GLIDE_STEPS))])
    result = torch.zeros(len(gains[0]), waveform.shape[-1])
    for step in range(GLIDE_STEPS + 1):
        between = torch.lerp(gains[0].square(), gains[1].square(), step / GLIDE_STEPS).sqrt()
        weights = (1 - (place - step).abs()).clamp(min=0)
        result += weights * equalize(waveform, between, centers, sampling_rate)
    return result


def score_delays(recorded: torch.Tensor, generated: torch.Tensor, reach: int) -> torch.Tensor:
    r"""
    The normalized cross-correlation of a recording and generated music in a fade, weighted by the product of the two
    equal-power gains.

    Args:
        recorded (`torch.Tensor` of shape `(samples,)`): the recording during the fade, mono.
        generated (`torch.Tensor` of shape `(samples + 2 * reach,)`): the generated music, which begins `reach` samples
            earlier.
        reach (`int`): largest delay in samples.

    Returns:
        `torch.Tensor` of shape `(2 * reach + 1,)`: the score of reading the generated music `-reach` … `reach` samples
            later, minus a small cost of the distance.
    """
    recorded, generated = recorded.double(), generated.double()
    weights = torch.linspace(0, math.pi, len(recorded), dtype=torch.float64).sin()
    products = F.conv1d(generated[None, None], (recorded * weights)[None, None])[0, 0]
    powers = F.conv1d(generated.square()[None, None], weights[None, None])[0, 0].clamp(min=0)
    norms = ((recorded.square() * weights).sum() * powers).sqrt()
    cost = torch.linspace(-DELAY_COST, DELAY_COST, 2 * reach + 1, dtype=torch.float64).abs()
    return torch.where(norms > 1e-9, products / norms.clamp(min=1e-9), 0.0) - cost


def choose_delays(start: torch.Tensor | None, end: torch.Tensor | None, limit: int) -> tuple[int, int]:
    r"""
    Chooses the delays at both ends of a region.

    Args:
        start, end (`torch.Tensor` of shape `(2 * reach + 1,)`, *optional*):
            The scores of [`score_delays`] at both fades. An end without a fade takes the delay of the other one.
        limit (`int`): largest difference of the two delays in samples.

    Returns:
        `tuple[int, int]`: the delays in samples; positive ones read the generated music later.
    """
    if start is None and end is None:
        return 0, 0
    if start is None or end is None:
        single = start if end is None else end
        assert single is not None
        delay = int(single.argmax()) - len(single) // 2
        return delay, delay
    delays = torch.arange(len(start)) - len(start) // 2
    scores = start[:, None] + end[None, :]
    scores = scores.masked_fill((delays[:, None] - delays[None, :]).abs() > limit, -math.inf)
    first, last = divmod(int(scores.argmax()), len(start))
    return int(delays[first]), int(delays[last])


def read_delayed(waveform: torch.Tensor, start: int, end: int, delays: tuple[int, int]) -> torch.Tensor:
    r"""
    Reads a part of a waveform with a delay that changes linearly.

    Args:
        waveform (`torch.Tensor` of shape `(channels, samples)`): the audio.
        start (`int`), end (`int`): the part in samples.
        delays (`tuple[int, int]`): how much later the start and the end are read, in samples.

    Returns:
        `torch.Tensor` of shape `(channels, end - start)`, padded with silence where the waveform ends.
    """
    first, last = start + delays[0], end + delays[1]
    if delays[0] != delays[1]:
        import soxr

        # Context keeps the resampling filter from reaching into padding.
        before, after = min(1024, max(first, 0)), 1024
        part = waveform[:, max(first, 0) - before : last + after].T.contiguous().numpy()
        waveform = torch.from_numpy(soxr.resample(part, last - first, end - start)).T
        first = min(first, 0) + round(before * (end - start) / (last - first))
        last = first + end - start
    padding = max(-first, 0), max(last - waveform.shape[-1], 0)
    return F.pad(waveform[:, max(first, 0) : max(last, 0)], padding)[:, : end - start]
