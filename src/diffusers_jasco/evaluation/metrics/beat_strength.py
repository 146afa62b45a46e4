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


"""Beat strength: how well one half of a clip predicts the rhythm of the other half."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..estimators.spectra import SAMPLING_RATE, SILENCE, load_mono, mel_filters, power_spectrogram, running_mean


MIN_SECONDS = 4.0
WINDOW_SECONDS = 10.0
TEMPO_RANGE = (50.0, 215.0)  # beats per minute
_HOP = 160  # samples: envelopes have 100 frames per second
_FRAME_RATE = SAMPLING_RATE / _HOP

# 1. Onset envelope
_N_FFT = 1024  # samples
_BANDS = 40
_COMPRESSION = 10.0  # of magnitudes relative to the clip's root mean square, before the logarithm
_CUTOFF = 10.0  # Hz
_HALF_KERNEL = 40  # frames
_TREND_FRAMES = 101

# 2. Periods
_PERIODS = (0.28, 2.5)  # seconds, from the shortest beat to bars; at most half of the analyzed time
_PERIOD_STEP = 0.25  # frames
_LONGEST_LAG = 0.9  # of the analyzed time
_USUAL_TEMPO, _TEMPO_OCTAVES = 115.0, 0.9  # center (BPM) and width of the preference for moderate tempos

# 3. Level rises
_RISE_SIZE = 480  # samples: 30 ms
_RISE_FLOOR = 0.1  # of the clip's mean power


@dataclass(frozen=True)
class BeatEstimate:
    r"""
    The beat of a clip, from [`estimate_beat`].

    Args:
        strength (`float`): P, the correlation between predicted and actual onset envelope, in [-1, 1]: close to 0
            without a beat.
        rise (`float`): sharpness of the level rise at predicted beats in dB: close to 0 without onsets.
        tempo (`float`): beats per minute, in `TEMPO_RANGE`. It can be half or double the notated tempo.
        beats (`np.ndarray` of shape `(beats,)`): beats in seconds.
    """

    strength: float
    rise: float
    tempo: float
    beats: np.ndarray


def estimate_beat(audio: Any) -> BeatEstimate:
    r"""
    Measures how regular the rhythm is, without a reference. The onset envelope is the rise of log mel magnitudes at
    100 Hz, low-passed at 10 Hz, minus its running mean over 1 s. Its period, which can be a beat or a bar, is found in
    one half of the clip. This half is repeated with that period into the other half, and compared with the envelope
    there. Everything is done in both directions, and averaged. A periodicity that changes between the halves, or that
    only fits the half in which it was found, does not count.

    - *Period*: with m repetitions in a half, each of which correlates with the others by q (the mean of the
      autocorrelation at all multiples of the period), their mean correlates with the next one by
      q / √(q + (1 − q) / m). The period between 0.28 and 2.5 s for which this is largest is used.
    - *Tempo*: fractions of the period, or of twice the period, at whose multiples the autocorrelation is largest,
      weighted by a log-normal preference for moderate tempos (as in Ellis, 2007).
    - *Rise*: level in the 30 ms after a beat minus level in the 30 ms before, minus the mean of the same difference
      30 ms earlier and 30 ms later. It is high for onsets, and close to 0 for swells, whose levels rise steadily.
      A tenth of the clip's mean power is added to all powers, so rises of quiet parts are ignored.

    Steady pulses with sharp onsets are a beat: a bare metronome, or noise with a tremolo of 8 Hz, has a high strength
    and a high rise. [`~evaluation.metrics.harmony.measure_harmony`] tells them from music.

    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it. Clips of at least 15 s are divided into equal
            windows of about 10 s, and `strength` and `rise` are averaged over windows.

    Returns:
        [`BeatEstimate`]: for clips shorter than 4 s all values are NaN, without beats. For silence `strength` and
        `rise` are 0, and `tempo` is NaN. `beats` and `tempo` (the median over windows) are estimated from whole
        windows, not from halves.
    """
    samples = load_mono(audio)
    if len(samples) < MIN_SECONDS * SAMPLING_RATE:
        return BeatEstimate(math.nan, math.nan, math.nan, np.zeros(0))
    if np.abs(samples).max() < SILENCE:
        return BeatEstimate(0.0, 0.0, math.nan, np.zeros(0))
    envelope = onset_envelope(samples)
    num_windows = max(1, round(len(samples) / SAMPLING_RATE / WINDOW_SECONDS))
    edges = np.linspace(0, len(envelope), num_windows + 1).astype(int)
    strengths, rises, tempos, beats = [], [], [], []
    for start, end in zip(edges[:-1], edges[1:]):
        window = envelope[start:end]
        for values, origin, direction in ((window, start, 1), (window[::-1], end - 1, -1)):
            half = len(values) // 2
            period = find_period(values[:half])
            strengths.append(_correlation(_repeat(values[:half], period, len(values) - half), values[half:]))
            interval, phase = find_beat(values[:half], period)
            predicted = np.arange(phase, len(values), interval)
            rises.append(rise_at_beats(samples, (origin + direction * predicted[predicted >= half]) / _FRAME_RATE))
        interval, phase = find_beat(window, find_period(window))
        tempos.append(60 * _FRAME_RATE / interval)
        beats.append((start + np.arange(phase, len(window), interval)) / _FRAME_RATE)
    return BeatEstimate(
        float(np.mean(strengths)), float(np.mean(rises)), float(np.median(tempos)), np.concatenate(beats)
    )


def onset_envelope(samples: np.ndarray) -> np.ndarray:
    r"""
    Args:
        samples (`np.ndarray` of shape `(samples,)`): at least 0.4 s of audio at 16 kHz that is not silent.

    Returns:
        `np.ndarray` of shape `(frames,)`: the onset envelope of [`estimate_beat`] at 100 Hz.
    """
    bands = np.sqrt(power_spectrogram(samples, _HOP, _N_FFT) @ mel_filters(_N_FFT, _BANDS))
    levels = np.log1p(_COMPRESSION * bands / math.sqrt(np.mean(bands**2)))
    flux = np.maximum(np.diff(levels, axis=0, prepend=levels[:1]), 0).mean(axis=1, dtype=np.float64)
    # A windowed sinc: a ripple of 12.5 Hz is periodic with most bars, so it has to be removed completely.
    times = np.arange(-_HALF_KERNEL, _HALF_KERNEL + 1)
    kernel = np.sinc(2 * _CUTOFF * times / _FRAME_RATE) * (1 + np.cos(np.pi * times / (_HALF_KERNEL + 1)))
    smooth = np.convolve(np.pad(flux, _HALF_KERNEL, mode="reflect"), kernel / kernel.sum(), mode="valid")
    return smooth - running_mean(smooth, _TREND_FRAMES)


def find_period(envelope: np.ndarray) -> float:
    """The period in frames with which an onset envelope repeats best (see [`estimate_beat`])."""
    correlations = _autocorrelation(envelope)
    size = len(envelope)
    periods = np.arange(_PERIODS[0] * _FRAME_RATE, min(_PERIODS[1] * _FRAME_RATE, size / 2), _PERIOD_STEP)
    lags = periods[:, None] * np.arange(1, int(_LONGEST_LAG * size / periods[0]) + 1)
    # Correlations of longer lags are estimated from fewer frames.
    weights = np.where(lags < _LONGEST_LAG * size, size - lags, 0)
    similarity = np.clip((weights * _interpolate(correlations, lags)).sum(axis=1) / weights.sum(axis=1), 1e-4, 1)
    expected = similarity / np.sqrt(similarity + (1 - similarity) * periods / size)
    return float(periods[expected.argmax()])


def find_beat(envelope: np.ndarray, period: float) -> tuple[float, float]:
    """Interval between beats and time of the first beat in frames, for an onset envelope and its period."""
    correlations = _autocorrelation(envelope)
    size = len(envelope)
    best, interval = -math.inf, period
    for candidate in sorted({period * multiple / divisor for multiple in (1, 2) for divisor in range(1, 17)}):
        tempo = 60 * _FRAME_RATE / candidate
        if not TEMPO_RANGE[0] <= tempo <= TEMPO_RANGE[1]:
            continue
        lags = candidate * np.arange(1, max(1, int(size / 2 / candidate)) + 1)
        preference = math.exp(-0.5 * (math.log2(tempo / _USUAL_TEMPO) / _TEMPO_OCTAVES) ** 2)
        score = preference * _interpolate(correlations, lags).mean()
        if score > best:
            best, interval = score, candidate
    phases = np.arange(0, interval, 0.5)
    positions = phases[:, None] + interval * np.arange(int(size / interval))
    pulses = np.where(positions <= size - 1, _interpolate(envelope, positions), 0).sum(axis=1)
    return interval, float(phases[pulses.argmax()])


def rise_at_beats(samples: np.ndarray, beats: np.ndarray) -> float:
    r"""
    Args:
        samples (`np.ndarray` of shape `(samples,)`): audio at 16 kHz.
        beats (`np.ndarray` of shape `(beats,)`): beats in seconds. Beats less than 60 ms from an end are ignored.

    Returns:
        `float`: the rise of [`estimate_beat`] in dB, averaged over beats; 0 without beats.
    """
    energy = np.cumsum(np.concatenate([[0], samples.astype(np.float64) ** 2]))
    floor = _RISE_FLOOR * energy[-1] / len(samples)
    starts = np.round(beats * SAMPLING_RATE).astype(int)
    starts = starts[(starts >= 2 * _RISE_SIZE) & (starts + 2 * _RISE_SIZE < len(energy))]
    if len(starts) == 0:
        return 0.0
    blocks = starts[:, None] + _RISE_SIZE * np.arange(-2, 3)
    levels = 10 * np.log10(np.diff(energy[blocks], axis=1) / _RISE_SIZE + floor)
    before, at, after = np.diff(levels, axis=1).mean(axis=0)
    return float(at - (before + after) / 2)


def _autocorrelation(values: np.ndarray) -> np.ndarray:
    """Unbiased autocorrelation, 1 at lag 0."""
    size = len(values)
    spectrum = np.fft.rfft(values - values.mean(), 2 * size)
    products = np.fft.irfft(np.abs(spectrum) ** 2)[:size]
    return products / max(products[0], 1e-12) * size / (size - np.arange(size))


def _interpolate(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return np.interp(positions, np.arange(len(values)), values)


def _repeat(values: np.ndarray, period: float, num_frames: int) -> np.ndarray:
    """The continuation of `values`: the mean over all frames that are a multiple of the period earlier."""
    size = len(values)
    positions = size + np.arange(num_frames)[:, None] - period * np.arange(1, int((size + num_frames) / period) + 1)
    is_inside = (positions >= 0) & (positions <= size - 1)
    return np.where(is_inside, _interpolate(values, positions), 0).sum(axis=1) / is_inside.sum(axis=1).clip(1)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation, 0 if one of the inputs is constant."""
    first, second = first - first.mean(), second - second.mean()
    norm = math.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / norm) if norm > 1e-12 else 0.0
