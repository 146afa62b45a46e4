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


"""Two ways to hear when drums are struck in a mix, and how well that meets the asked-for times."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from .chords import SILENCE, import_mir_eval
from .spectra import SAMPLING_RATE, load_mono, pitch_spectrogram, power_spectrogram, running_mean


TOLERANCE = 0.05  # seconds
MERGED = 0.03  # seconds; strokes that are closer are one
_HOP = 160  # 10 ms
_PEAK, _NEIGHBOURHOOD = 3, 10  # frames on either side


def score_onsets(estimate: Sequence[float], onsets: Sequence[float]) -> dict[str, float]:
    r"""
    Args:
        estimate (`Sequence[float]`): times in seconds that were heard.
        onsets (`Sequence[float]`): times that were asked for. Those within 30 ms of an earlier one are one with it.

    Returns:
        `dict[str, float]`: `"onset_f1"`, F1 of the times that meet within 50 ms, by mir_eval. NaN if there are no onsets.

    Raises:
        `ImportError`: without the package mir_eval.
    """
    if len(onsets) == 0:
        return {"onset_f1": math.nan}
    if len(estimate) == 0:
        return {"onset_f1": 0.0}
    mir_eval = import_mir_eval()
    return {
        "onset_f1": float(mir_eval.onset.f_measure(merge_onsets(onsets), np.asarray(estimate), window=TOLERANCE)[0])
    }


def merge_onsets(onsets: Sequence[float]) -> np.ndarray:
    """Sorted times without those within 30 ms of the last that was kept."""
    kept = []
    for onset in sorted(onsets):
        if not kept or onset - kept[-1] >= MERGED:
            kept.append(onset)
    return np.array(kept)


def _pick_peaks(novelty: np.ndarray, threshold: float) -> np.ndarray:
    """Times in seconds of local maxima that exceed the mean of their surroundings by a share of the strongest ones."""
    novelty = novelty / (np.percentile(novelty, 99) + 1e-9)
    padded = np.pad(novelty, _PEAK, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _PEAK + 1)
    # Of equal neighbours the first is the peak.
    is_peak = (novelty == windows.max(axis=1)) & (novelty > windows[:, :_PEAK].max(axis=1))
    mean = running_mean(novelty, 2 * _NEIGHBOURHOOD + 1)
    return np.flatnonzero(is_peak & (novelty > mean + threshold)) * _HOP / SAMPLING_RATE


def _rise(levels: np.ndarray, before: np.ndarray, lag: int) -> np.ndarray:
    return np.pad(np.maximum(levels[lag:] - before[:-lag], 0), ((lag, 0), (0, 0)))


def _running_median(values: np.ndarray, width: int) -> np.ndarray:
    """Medians over `width` neighbours (an odd number) along the first axis."""
    padded = torch.from_numpy(np.pad(values, ((width // 2, width // 2), (0, 0)), mode="edge"))
    return padded.unfold(0, width, 1).median(dim=-1).values.numpy()


# 1. Percussive flux: how fast what does not last rises, on the mel scale.

_BANDS, _N_FFT = 40, 1024
_LASTING = 17  # frames
_THRESHOLD = 0.15


@lru_cache(maxsize=1)
def _mel_filters() -> np.ndarray:
    """Triangles of shape (bins, bands) from 30 Hz to 8 kHz."""
    low, high = (2595 * math.log10(1 + frequency / 700) for frequency in (30, SAMPLING_RATE / 2))
    edges = 700 * (10 ** (np.linspace(low, high, _BANDS + 2) / 2595) - 1)
    frequencies = np.arange(_N_FFT // 2 + 1)[:, None] * SAMPLING_RATE / _N_FFT
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rising, falling), 0, None).astype(np.float32)


def onsets_by_percussive_flux(audio: Any) -> np.ndarray:
    r"""
    Rises of the mel spectrum, without what lasts: each band is weighed by how far it exceeds its running median, as in
    Fitzgerald's (2010) separation of harmonic and percussive sounds.

    Args:
        audio: as [`~evaluation.spectra.load_mono`] takes it.

    Returns:
        `np.ndarray`: onsets in seconds.
    """
    bands = np.sqrt(power_spectrogram(load_mono(audio), _HOP, _N_FFT) @ _mel_filters())
    if len(bands) < _LASTING or bands.max() < SILENCE:
        return np.zeros(0)
    lasting = _running_median(bands, _LASTING)
    percussive = bands * bands**2 / (bands**2 + lasting**2 + 1e-12)
    levels = np.log1p((1000 * percussive / bands.max()) ** 2)
    return _pick_peaks(_rise(levels, levels, 1).mean(axis=1), _THRESHOLD)


# 2. SuperFlux in the lowest and the highest octaves, where drums are and most pitched notes are not.

_LOWEST, _BINS = 36, 160  # MIDI number; half semitones
_LOW_BINS, _HIGH_BINS = 18, 64
_LAG = 2
_SUPERFLUX_THRESHOLD = 0.1


def onsets_by_superflux(audio: Any) -> np.ndarray:
    r"""
    SuperFlux (Böck and Widmer, 2013): rises above the maximum of neighbouring frequencies 20 ms before, which vibrato and
    glides do not make; here in a low and in a high band.

    Args:
        audio: as [`~evaluation.spectra.load_mono`] takes it.

    Returns:
        `np.ndarray`: onsets in seconds.
    """
    spectrum = pitch_spectrogram(load_mono(audio), _HOP, _LOWEST, _BINS, 2, max_window=0.046)
    if len(spectrum) <= _LAG or spectrum.max() < SILENCE:
        return np.zeros(0)
    levels = np.log10(1 + 1000 * spectrum / spectrum.max())
    padded = np.pad(levels, ((0, 0), (1, 1)), mode="edge")
    before = np.maximum(np.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    rise = _rise(levels, before, _LAG)
    novelty = rise[:, :_LOW_BINS].mean(axis=1) + rise[:, -_HIGH_BINS:].mean(axis=1)
    return _pick_peaks(novelty, _SUPERFLUX_THRESHOLD)
