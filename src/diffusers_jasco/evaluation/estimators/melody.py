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


"""Two melody estimators for mixes."""

import math
from typing import Any

import numpy as np

from ...controls.melody import HIGHEST_PITCH, LOWEST_PITCH, MELODY_BINS
from ..metrics.melody import FRAME_RATE, UNVOICED
from .chords import note_spectra
from .spectra import SAMPLING_RATE, SILENCE, fit_notes, load_mono, pitch_spectrogram, running_mean, viterbi


_HOP = SAMPLING_RATE // FRAME_RATE
_WINDOW = 0.12  # seconds
_SMOOTHING = 5  # frames
# The lead is mostly the highest voice, so weights rise from 1 − this (lowest semitone) to 1 + this (highest).
_TILT = 0.5
# Frames below this fraction of the clip's highest salience are unvoiced.
_MIN_RELATIVE_SALIENCE = 1e-3


def _weigh(salience: np.ndarray) -> np.ndarray:
    bins = np.arange(MELODY_BINS)
    weights = 1 + _TILT * (2 * bins / (MELODY_BINS - 1) - 1)
    return running_mean(np.ascontiguousarray((salience * weights).T), _SMOOTHING).T


def _to_pitches(bins: np.ndarray, salience: np.ndarray) -> np.ndarray:
    strongest = salience.max(axis=1)
    return np.where(strongest > _MIN_RELATIVE_SALIENCE * strongest.max(), LOWEST_PITCH + bins, UNVOICED)


# 1. Harmonic sum: the semitone with the highest weighted sum of harmonics, independently in each frame.

_SUM_LOWEST = 37  # MIDI number
_SUM_PITCHES = 80
_HARMONICS = (0, 12, 19, 24, 28, 31, 34, 36, 38, 40)  # semitones above the fundamental
_DECAY = 0.9


def melody_by_harmonic_sum(audio: Any) -> np.ndarray:
    r"""
    Estimates the most salient pitch from G2 to B6 in each frame by harmonic summation (Hermes, 1988; Salamon and
    Gómez, 2012) of a spectrum from which its local mean is subtracted.

    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.

    Returns:
        `np.ndarray` of shape `(frames,)`: MIDI numbers from 43 to 95 at 50 Hz, -1 for silence.
    """
    samples = load_mono(audio)
    lowest, num_bins = _SUM_LOWEST - 1 / 3, 3 * _SUM_PITCHES
    spectrum = np.sqrt(pitch_spectrogram(samples, _HOP, lowest, num_bins, max_window=_WINDOW, offset=_HOP // 2))
    if spectrum.max() < math.sqrt(SILENCE):
        return np.full(len(spectrum), UNVOICED)
    peaks = np.maximum(spectrum - running_mean(spectrum, 37), 0)
    semitones = peaks.reshape(len(peaks), -1, 3).max(axis=2)[:, LOWEST_PITCH - _SUM_LOWEST :]
    semitones = np.pad(semitones, ((0, 0), (0, max(_HARMONICS))))
    salience = sum(
        _DECAY**number * semitones[:, distance : distance + MELODY_BINS] for number, distance in enumerate(_HARMONICS)
    )
    salience = _weigh(salience)
    return _to_pitches(salience.argmax(axis=1), salience)


# 2. Note fit: decomposition of the spectrum into notes, and Viterbi decoding.

_FIT_LOWEST, _FIT_HIGHEST = 28, 99  # MIDI numbers of the notes
_FIT_TOP = 117  # MIDI number above the highest bin
_STAY = 0.95  # probability of no pitch change between frames
_SCALE = 5.0  # of the log likelihoods
_MIN_ACTIVATION = 0.3  # of a sounding note, relative to the strongest ones
_MIN_NOTE = 5  # frames


def melody_by_note_fit(audio: Any) -> np.ndarray:
    r"""
    Estimates the melody from G2 to B6: non-negative least squares decompose the spectrum into harmonic notes (as
    Smaragdis and Brown, 2003, with fixed templates), and a hidden Markov model selects the best path through them.

    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.

    Returns:
        `np.ndarray` of shape `(frames,)`: MIDI numbers from 43 to 95 at 50 Hz, -1 for silence.
    """
    activations = _fit(audio)
    if not activations.any():
        return np.full(len(activations), UNVOICED)
    activations = activations[:, LOWEST_PITCH - _FIT_LOWEST : HIGHEST_PITCH + 1 - _FIT_LOWEST]
    salience = _weigh(activations)
    strongest = salience.max(axis=1, keepdims=True)
    # Normalize by the mean of the frame's and the clip's level, so that quiet frames have less influence.
    scores = 2 * _SCALE * salience / (strongest + np.median(strongest) + 1e-9)
    transitions = np.full((MELODY_BINS, MELODY_BINS), math.log((1 - _STAY) / (MELODY_BINS - 1)))
    np.fill_diagonal(transitions, math.log(_STAY))
    return _to_pitches(viterbi(scores, transitions), salience)


def note_starts(audio: Any) -> np.ndarray:
    r"""
    Estimates where notes of any instrument start, from the decomposition of [`melody_by_note_fit`]. A note sounds while
    its activation exceeds 0.3 of the clip's strongest ones, for 0.1 s at least.

    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.

    Returns:
        `np.ndarray`: sorted times in seconds, one for each note.
    """
    activations = running_mean(np.ascontiguousarray(_fit(audio).T), _SMOOTHING)
    sounds = activations > max(_MIN_ACTIVATION * np.percentile(activations, 99.9), 1e-9)
    edges = np.diff(np.pad(sounds.astype(int), ((0, 0), (1, 1))), axis=1)
    starts, ends = (np.argwhere(edges == sign)[:, 1] for sign in (1, -1))
    return np.sort(starts[ends - starts >= _MIN_NOTE]) / FRAME_RATE


def _fit(audio: Any) -> np.ndarray:
    """Activations of the notes of shape (frames, notes) at 50 Hz, all 0 for silence."""
    samples = load_mono(audio)
    num_bins = 2 * (_FIT_TOP - _FIT_LOWEST)
    spectrum = pitch_spectrogram(samples, _HOP, _FIT_LOWEST, num_bins, 2, max_window=_WINDOW, offset=_HOP // 2)
    if spectrum.max() < SILENCE:
        return np.zeros((len(spectrum), _FIT_HIGHEST + 1 - _FIT_LOWEST), dtype=np.float32)
    spectrum = np.sqrt(spectrum / spectrum.max())
    white = np.maximum(spectrum - running_mean(spectrum, 49), 0)
    dictionary = note_spectra(_FIT_LOWEST, _FIT_HIGHEST, _FIT_TOP, 2, decay=0.9, num_harmonics=12)
    return fit_notes(white, dictionary)
