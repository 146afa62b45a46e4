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


"""A template matcher for known chord segments, and a chord estimator."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ...controls.chord_labels import NO_CHORD, NOTES
from ..metrics.chords import Chords, score_chords, to_intervals
from .spectra import SAMPLING_RATE, SILENCE, fit_notes, load_mono, pitch_spectrogram, running_mean, viterbi


BINS_PER_SEMITONE = 3
# Semitones above the root.
_THIRD, _FIFTH = 4, 7
_MAJOR_MINOR = {"": (0, 4, 7), "m": (0, 3, 7)}
_QUALITIES = _MAJOR_MINOR | {
    "7": (0, 4, 7, 10),
    "m7": (0, 3, 7, 10),
    "maj7": (0, 4, 7, 11),
    "6": (0, 4, 7, 9),
    "dim": (0, 3, 6),
    "m7b5": (0, 3, 6, 10),
    "aug": (0, 4, 8),
}


def _chord_templates(
    qualities: dict[str, tuple[int, ...]], bass: Sequence[float], overtones: Sequence[float]
) -> tuple[list[str], np.ndarray, np.ndarray]:
    r"""
    Args:
        qualities (`dict[str, tuple[int, ...]]`): semitones of each quality's notes above the root.
        bass (`Sequence[float]`): weights of the root and of the other notes in the bass.
        overtones (`Sequence[float]`): weights of a note's fifth and major third in the treble.

    Returns:
        `tuple`: labels, and the bass and treble templates of shape `(labels, 12)` with rows of unit length.
    """
    labels, basses, trebles = [], [], []
    for quality, intervals in qualities.items():
        for root, name in enumerate(NOTES):
            low, high = np.zeros(12), np.zeros(12)
            for interval in intervals:
                low[(root + interval) % 12] = bass[1]
                high[(root + interval) % 12] += 1
                high[(root + interval + _FIFTH) % 12] += overtones[0]
                high[(root + interval + _THIRD) % 12] += overtones[1]
            low[root] = bass[0]
            labels.append(name + quality)
            basses.append(low / np.linalg.norm(low))
            trebles.append(high / np.linalg.norm(high))
    return labels, np.array(basses), np.array(trebles)


def _normalize(chroma: np.ndarray) -> np.ndarray:
    """Normalizes rows to unit length; near-silent rows stay short."""
    lengths = np.linalg.norm(chroma, axis=1, keepdims=True)
    return chroma / (lengths + 1e-3 * lengths.max() + 1e-9)


def _fold(pitches: np.ndarray, weights: np.ndarray, lowest: int) -> np.ndarray:
    """Folds weighted pitches (frames, pitches) into pitch classes (frames, 12)."""
    membership = (lowest + np.arange(pitches.shape[1]))[:, None] % 12 == np.arange(12)
    return pitches @ (weights[:, None] * membership)


# 1. Template matching on known segments: the chord that best fits the mean spectrum of each requested chord's time.

_SEGMENT_HOP = 800  # samples: 50 ms
_SEGMENT_LOWEST = 28  # MIDI number
_SEGMENT_PITCHES = 88
_COMPRESSION = 200.0  # of magnitudes, before the logarithm
# Gaussian weights of the registers, as MIDI number and semitones.
_BASS_CENTER, _BASS_WIDTH = 42, 6
_TREBLE_CENTER, _TREBLE_WIDTH = 66, 11
_BASS_WEIGHT = 0.4
# Semitones above a note → share of its magnitude that is subtracted there as an overtone.
_OVERTONES = {12: 0.15, 19: 0.105, 24: 0.0735, 28: 0.0515, 31: 0.036}


def chord_spectra(audio: Any) -> np.ndarray:
    r"""
    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.

    Returns:
        `np.ndarray` of shape `(frames, 264)`: log-compressed magnitudes at 20 Hz, in bins of a third of a semitone
        from E1; 0 is silence.
    """
    samples = load_mono(audio)
    lowest = _SEGMENT_LOWEST - (BINS_PER_SEMITONE // 2) / BINS_PER_SEMITONE
    num_bins = _SEGMENT_PITCHES * BINS_PER_SEMITONE
    spectrum = pitch_spectrogram(samples, _SEGMENT_HOP, lowest, num_bins, max_window=0.4)
    return np.log1p(_COMPRESSION * spectrum / max(float(spectrum.max()), SILENCE / _COMPRESSION))


def fit_chords(spectra: np.ndarray, chords: Chords, duration: float, qualities: dict | None = None) -> Chords:
    r"""
    Finds the best root and quality in each segment of a known progression, by cosine similarity with bass and treble
    templates (Fujishima, 1999, with overtones as in Papadopoulos and Peeters, 2007).

    Args:
        spectra (`np.ndarray` of shape `(frames, 264)`): as [`chord_spectra`] returns them.
        chords (`list` of `(label, start)`): the progression; only its times are used.
        duration (`float`): length of the music in seconds.
        qualities (`dict[str, tuple[int, ...]]`, *optional*): semitones of each quality; by default nine qualities.

    Returns:
        `list` of `(label, start)`: the same times with the best-fitting labels, "N" for silence.
    """
    edges = to_intervals(chords, duration) * SAMPLING_RATE / _SEGMENT_HOP
    # Skip the first and the last frame of a segment, which overlap its neighbors.
    first = np.minimum(np.ceil(edges[:, 0]).astype(int) + 1, len(spectra) - 1)
    last = np.clip(np.floor(edges[:, 1]).astype(int), first + 1, len(spectra))
    means = np.stack([spectra[start:end].mean(axis=0) for start, end in zip(first, last)])

    peaks = np.maximum(means - 0.85 * running_mean(means, 12 * BINS_PER_SEMITONE + 1), 0)
    pitches = peaks.reshape(len(peaks), -1, BINS_PER_SEMITONE).max(axis=2)
    notes = pitches.copy()
    for distance, share in _OVERTONES.items():
        notes[:, distance:] -= share * pitches[:, :-distance]
    notes = np.maximum(notes, 0)
    numbers = _SEGMENT_LOWEST + np.arange(_SEGMENT_PITCHES)
    bass = _fold(notes, np.exp(-0.5 * ((numbers - _BASS_CENTER) / _BASS_WIDTH) ** 2), _SEGMENT_LOWEST)
    treble = _fold(notes, np.exp(-0.5 * ((numbers - _TREBLE_CENTER) / _TREBLE_WIDTH) ** 2), _SEGMENT_LOWEST)

    labels, low, high = _chord_templates(qualities or _QUALITIES, (1, 0.3), (0.2, 0.08))
    fits = _normalize(treble) @ high.T + _BASS_WEIGHT**2 * _normalize(bass) @ low.T
    best = [
        labels[index] if sounds else NO_CHORD for index, sounds in zip(fits.argmax(axis=1), means.max(axis=1) > 0.05)
    ]
    return [(label, start) for label, (_, start) in zip(best, chords)]


def score_chord_spectra(spectra: np.ndarray, chords: Chords, duration: float) -> dict[str, float]:
    r"""
    How well the requested chords fit: [`score_chords`] of the chords from [`fit_chords`], which are limited to the 24
    major and minor triads for `"majmin"`.
    """
    chords = [(label, start) for label, start in chords if start < duration]
    if not chords:
        return {"root": math.nan, "majmin": math.nan}
    root = score_chords(fit_chords(spectra, chords, duration), chords, duration)["root"]
    triads = fit_chords(spectra, chords, duration, _MAJOR_MINOR)
    return {"root": root, "majmin": score_chords(triads, chords, duration)["majmin"]}


# 2. Blind estimation: decomposition of the spectrum into notes, bass and treble chroma, and Viterbi decoding.

_HOP = 1024  # samples
_LOWEST, _HIGHEST = 24, 95  # MIDI numbers of the notes
_TOP = 117  # MIDI number above the highest bin
_SCALE = 8.0  # log likelihood of a perfect fit
_STAY = 0.98  # probability of no chord change between frames
_NO_CHORD_WEIGHT = 0.6
_BLIND_BASS_WEIGHT = 0.7


@lru_cache(maxsize=4)
def note_spectra(
    lowest: int, highest: int, top: int, bins_per_semitone: int, decay: float, num_harmonics: int, width: float = 1.5
) -> np.ndarray:
    r"""
    Magnitude spectra of notes with geometrically decaying harmonics.

    Args:
        lowest (`int`): MIDI number of the first note, and of bin 0.
        highest (`int`): MIDI number of the last note.
        top (`int`): MIDI number above the highest bin.
        bins_per_semitone (`int`): bins per semitone.
        decay (`float`): ratio of the magnitudes of successive harmonics.
        num_harmonics (`int`): number of harmonics, including the fundamental.
        width (`float`, defaults to `1.5`): half-width of a harmonic's triangular lobe in bins.

    Returns:
        `np.ndarray` of shape `(highest - lowest + 1, (top - lowest) * bins_per_semitone)`: rows of unit length, in
        float32.
    """
    harmonics = np.arange(1, num_harmonics + 1)
    pitches = np.arange(lowest, highest + 1)[:, None] + 12 * np.log2(harmonics)
    centers = (pitches - lowest) * bins_per_semitone
    bins = np.arange((top - lowest) * bins_per_semitone)
    lobes = np.clip(1 - np.abs(bins - centers[..., None]) / width, 0, None)
    spectra = (decay ** (harmonics - 1) @ lobes).astype(np.float32)
    return spectra / np.linalg.norm(spectra, axis=1, keepdims=True)


def estimate_chords(audio: Any) -> list[tuple[str, float]]:
    r"""
    Estimates chords after Mauch and Dixon (2010): non-negative least squares decompose whitened spectra into notes,
    and a hidden Markov model of nine qualities on twelve roots, and no chord, decodes their bass and treble chroma.

    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.

    Returns:
        `list` of `(label, start)`: chords with start times in seconds, the first of which is 0.
    """
    samples = load_mono(audio)
    num_bins = (_TOP - _LOWEST) * BINS_PER_SEMITONE
    spectrum = pitch_spectrogram(samples, _HOP, _LOWEST, num_bins, max_window=0.5, offset=_HOP // 2)
    loudest = float(spectrum.max())
    if loudest < SILENCE:
        return [(NO_CHORD, 0.0)]
    width = 12 * BINS_PER_SEMITONE + 1
    mean = running_mean(spectrum, width)
    deviation = np.sqrt(np.maximum(running_mean(spectrum**2, width) - mean**2, 0)) + 1e-4 * loudest
    white = np.maximum(spectrum - mean, 0) / deviation
    dictionary = note_spectra(_LOWEST, _HIGHEST, _TOP, BINS_PER_SEMITONE, decay=0.7, num_harmonics=20)
    activations = np.sqrt(fit_notes(white, dictionary))

    numbers = np.arange(_LOWEST, _HIGHEST + 1)
    bass = _normalize(_fold(activations, _raised_cosine(numbers, 40, 21), _LOWEST))
    treble = _normalize(_fold(activations, _raised_cosine(numbers, 66, 32), _LOWEST))
    labels, low, high = _chord_templates(_QUALITIES, (1, 0.5), (0, 0))
    fits = _BLIND_BASS_WEIGHT**2 * bass @ low.T + treble @ high.T
    no_chord = _NO_CHORD_WEIGHT * (_BLIND_BASS_WEIGHT**2 * bass.sum(axis=1) + treble.sum(axis=1)) / math.sqrt(12)
    fits = np.concatenate([fits, no_chord[:, None]], axis=1) * _SCALE / (1 + _BLIND_BASS_WEIGHT**2)
    labels = [*labels, NO_CHORD]
    transitions = np.full((len(labels), len(labels)), math.log((1 - _STAY) / (len(labels) - 1)))
    np.fill_diagonal(transitions, math.log(_STAY))
    path = viterbi(fits, transitions)
    changes = np.flatnonzero(np.diff(path, prepend=-1))
    return [(labels[path[frame]], float(frame * _HOP / SAMPLING_RATE)) for frame in changes]


def _raised_cosine(numbers: np.ndarray, center: float, half_width: float) -> np.ndarray:
    inside = np.abs(numbers - center) < half_width
    return np.where(inside, 0.5 + 0.5 * np.cos(np.pi * (numbers - center) / half_width), 0)
