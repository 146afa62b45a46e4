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


"""Two drum-onset estimators for mixes."""

import math
from typing import Any

import numpy as np

from .spectra import SAMPLING_RATE, SILENCE, load_mono, mel_filters, power_spectrogram, running_mean, running_median


_HOP = 160  # 10 ms
_PEAK, _NEIGHBORHOOD = 3, 10  # frames on either side


def _pick_peaks(novelty: np.ndarray, threshold: float) -> np.ndarray:
    """Times in seconds of local maxima that exceed the local mean by `threshold`."""
    padded = np.pad(novelty, _PEAK, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _PEAK + 1)
    # The first of several equal neighbors is the peak.
    is_peak = (novelty == windows.max(axis=1)) & (novelty > windows[:, :_PEAK].max(axis=1))
    mean = running_mean(novelty, 2 * _NEIGHBORHOOD + 1)
    return np.flatnonzero(is_peak & (novelty > mean + threshold)) * _HOP / SAMPLING_RATE


def _rise(levels: np.ndarray, lag: int) -> np.ndarray:
    return np.pad(np.maximum(levels[lag:] - levels[:-lag], 0), ((lag, 0), (0, 0)))


# 1. Percussive flux: level rises of the percussive component on the mel scale.

_BANDS = 40
_N_FFT = 1024  # samples
_MEDIAN_FRAMES = 17
_THRESHOLD = 0.1
# Kicks are in the three lowest bands (below 180 Hz), other drums mostly above 2 kHz, and melodies in between.
_LOW_BANDS, _MIDDLE_BANDS = 3, 23
_BAND_WEIGHTS = np.repeat([2.0, 0.3, 1.5], [_LOW_BANDS, _MIDDLE_BANDS - _LOW_BANDS, _BANDS - _MIDDLE_BANDS])


def percussive_flux(audio: Any) -> np.ndarray:
    r"""
    An onset envelope: rises of the percussive mel spectrum. Each band is weighted by how far it exceeds its running
    median over time, as in Fitzgerald's (2010) harmonic-percussive separation.

    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.

    Returns:
        `np.ndarray` of shape `(frames,)`: nonnegative values at 100 Hz, starting at 0 s. All are 0 for silence and for
        audio shorter than 0.17 s.
    """
    bands = np.sqrt(power_spectrogram(load_mono(audio), _HOP, _N_FFT) @ mel_filters(_N_FFT, _BANDS))
    if len(bands) < _MEDIAN_FRAMES or bands.max() < SILENCE:
        return np.zeros(len(bands))
    sustained = running_median(bands, _MEDIAN_FRAMES, axis=0)
    percussive = bands * bands**2 / (bands**2 + sustained**2 + 1e-12)
    levels = np.log1p((1000 * percussive / bands.max()) ** 2)
    return _rise(levels, 1) @ _BAND_WEIGHTS


def onsets_by_percussive_flux(audio: Any) -> np.ndarray:
    r"""
    Estimates onsets from peaks of [`percussive_flux`].

    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.

    Returns:
        `np.ndarray`: onsets in seconds.
    """
    novelty = percussive_flux(audio)
    return _pick_peaks(novelty / (np.percentile(novelty, 99) + 1e-9), _THRESHOLD)


# 2. Noise flux: rises of noise above 2 kHz, relative to the loudness of the clip rather than to its strongest rises,
# so clips without drums have few onsets. Loud plucked or struck notes can still cause some.

_NOISE_N_FFT = 512  # samples
_NOISE_BANDS = 8
_NOISE_LOWEST = 2000  # Hz
_NEIGHBORS = 9  # frequency bins: 280 Hz
_NOISE_COMPRESSION, _NOISE_THRESHOLD = 1000.0, 0.15


def onsets_by_noise_flux(audio: Any) -> np.ndarray:
    r"""
    Estimates onsets from rises of the running median over frequencies above 2 kHz, which keeps broadband noise and
    removes the harmonics of notes (the percussive half of Fitzgerald, 2010).

    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.

    Returns:
        `np.ndarray`: onsets in seconds.
    """
    spectrum = np.sqrt(power_spectrogram(load_mono(audio), _HOP, _NOISE_N_FFT))
    loudness = math.sqrt(np.mean(np.sum(spectrum**2, axis=1)))
    if loudness < SILENCE:
        return np.zeros(0)
    noise = running_median(spectrum, _NEIGHBORS, axis=1)[:, _NOISE_LOWEST * _NOISE_N_FFT // SAMPLING_RATE :]
    size = noise.shape[1] // _NOISE_BANDS
    bands = noise[:, : size * _NOISE_BANDS].reshape(len(noise), _NOISE_BANDS, size).mean(axis=2)
    levels = np.log1p(_NOISE_COMPRESSION * bands / loudness)
    return _pick_peaks(_rise(levels, 1).mean(axis=1), _NOISE_THRESHOLD)
