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


"""Two chord estimators, and how well requested chords fit a spectrum."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ...controls.chord_labels import NO_CHORD, NOTES
from ..metrics.chords import Chords, score_chords, to_intervals
from .spectra import SAMPLING_RATE, SILENCE, fit_notes, load_mono, pitch_spectrogram, running_mean, viterbi


BINS_PER_SEMITONE = 3
_THIRD, _FIFTH = 4, 7
# Semitones above the root.
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
        bass (`Sequence[float]`): weights in the bass of the root, and of the other notes.
        overtones (`Sequence[float]`): weights of a note's fifth and major third in the treble.

    Returns:
        `tuple`: labels, and arrays of shape `(labels, 12)` with rows of length 1: bass and treble.
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
    """Rows of length 1; those that are all but silent stay short."""
    lengths = np.linalg.norm(chroma, axis=1, keepdims=True)
    return chroma / (lengths + 1e-3 * lengths.max() + 1e-9)


def _fold(pitches: np.ndarray, weights: np.ndarray, lowest: int) -> np.ndarray:
    """(frames, pitches) → (frames, 12)."""
    membership = (lowest + np.arange(pitches.shape[1]))[:, None] % 12 == np.arange(12)
    return pitches @ (weights[:, None] * membership)


# 1. Templates on known segments. No transcription: how well does each chord fit the mean spectrum of the time in which one
# was asked for?

_SEGMENT_HOP, _SEGMENT_LOWEST, _SEGMENT_PITCHES = 800, 28, 88
_COMPRESSION = 200.0  # of magnitudes, before the logarithm
_BASS_CENTRE, _BASS_WIDTH, _TREBLE_CENTRE, _TREBLE_WIDTH = 42, 6, 66, 11  # MIDI numbers
_BASS_WEIGHT = 0.4
_OVERTONES = {12: 0.15, 19: 0.105, 24: 0.0735, 28: 0.0515, 31: 0.036}  # semitones: share that is taken to be overtone


def chord_spectra(audio: Any) -> np.ndarray:
    r"""
    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.

    Returns:
        `np.ndarray` of shape `(frames, 264)`: logarithmic magnitudes of thirds of semitones from E1, 20 frames a second; 0
        is silence.
    """
    samples = load_mono(audio)
    lowest = _SEGMENT_LOWEST - (BINS_PER_SEMITONE // 2) / BINS_PER_SEMITONE
    num_bins = _SEGMENT_PITCHES * BINS_PER_SEMITONE
    spectrum = pitch_spectrogram(samples, _SEGMENT_HOP, lowest, num_bins, max_window=0.4)
    return np.log1p(_COMPRESSION * spectrum / max(float(spectrum.max()), SILENCE / _COMPRESSION))


def fit_chords(spectra: np.ndarray, chords: Chords, duration: float, qualities: dict | None = None) -> Chords:
    r"""
    The best of 12 roots and some qualities in each segment of a known progression, by the cosine with templates of bass
    and treble (Fujishima, 1999, with overtones as in Papadopoulos and Peeters, 2007).

    Args:
        spectra (`np.ndarray` of shape `(frames, 264)`): as [`chord_spectra`] returns them.
        chords (`list` of `(label, start)`): the progression; only its times are used.
        duration (`float`): length of the music in seconds.
        qualities (`dict[str, tuple[int, ...]]`, *optional*): semitones of each quality; by default nine qualities.

    Returns:
        `list` of `(label, start)`: the same times with the labels that fit best, "N" where nothing sounds.
    """
    edges = to_intervals(chords, duration) * SAMPLING_RATE / _SEGMENT_HOP
    # The first and the last twentieth of a second may belong to the neighbors.
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
    bass = _fold(notes, np.exp(-0.5 * ((numbers - _BASS_CENTRE) / _BASS_WIDTH) ** 2), _SEGMENT_LOWEST)
    treble = _fold(notes, np.exp(-0.5 * ((numbers - _TREBLE_CENTRE) / _TREBLE_WIDTH) ** 2), _SEGMENT_LOWEST)

    labels, low, high = _chord_templates(qualities or _QUALITIES, (1, 0.3), (0.2, 0.08))
    fits = _normalize(treble) @ high.T + _BASS_WEIGHT**2 * _normalize(bass) @ low.T
    best = [
        labels[index] if sounds else NO_CHORD for index, sounds in zip(fits.argmax(axis=1), means.max(axis=1) > 0.05)
    ]
    return [(label, start) for label, (_, start) in zip(best, chords)]


def score_chord_spectra(spectra: np.ndarray, chords: Chords, duration: float) -> dict[str, float]:
    r"""
    How well the asked-for chords fit: [`score_chords`] of what [`fit_chords`] finds, for `"majmin"` among the 24 major and
    minor triads.
    """
    chords = [(label, start) for label, start in chords if start < duration]
    if not chords:
        return {"root": math.nan, "majmin": math.nan}
    root = score_chords(fit_chords(spectra, chords, duration), chords, duration)["root"]
    triads = fit_chords(spectra, chords, duration, _MAJOR_MINOR)
    return {"root": root, "majmin": score_chords(triads, chords, duration)["majmin"]}


# 2. Blind estimation. Notes that explain the spectrum, their chroma in bass and treble, and the most probable sequence of
# chords, frame by frame.

_HOP, _LOWEST, _HIGHEST = 1024, 24, 95  # samples; MIDI numbers of the notes
_TOP = 117  # MIDI number above the highest bin
_SCALE, _STAY = 8.0, 0.98
_NO_CHORD_WEIGHT = 0.6
_BLIND_BASS_WEIGHT = 0.7


@lru_cache(maxsize=4)
def note_spectra(
    lowest: int, highest: int, top: int, bins_per_semitone: int, decay: float, num_harmonics: int, width: float = 1.5
) -> np.ndarray:
    r"""
    Notes whose harmonics decay geometrically.

    Args:
        lowest (`int`): MIDI number of the first note, and of bin 0.
        highest (`int`): MIDI number of the last note.
        top (`int`): MIDI number above the highest bin.
        bins_per_semitone (`int`): bins per semitone.
        decay (`float`): magnitude of a harmonic by that of the one below.
        num_harmonics (`int`): harmonics, the first one included.
        width (`float`, defaults to `1.5`): bins from a harmonic's center to where it has vanished.

    Returns:
        `np.ndarray` of shape `(highest - lowest + 1, (top - lowest) * bins_per_semitone)`: rows of length 1, in float32.
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
    Chords of any audio, after Mauch and Dixon (2010): whitened spectra are explained by notes with non-negative least
    squares, and bass and treble chroma of these by nine qualities on twelve roots, or none, in a hidden Markov model.

    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.

    Returns:
        `list` of `(label, start in seconds)`: the first one starts at 0.
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
    nothing = _NO_CHORD_WEIGHT * (_BLIND_BASS_WEIGHT**2 * bass.sum(axis=1) + treble.sum(axis=1)) / math.sqrt(12)
    fits = np.concatenate([fits, nothing[:, None]], axis=1) * _SCALE / (1 + _BLIND_BASS_WEIGHT**2)
    labels = [*labels, NO_CHORD]
    transitions = np.full((len(labels), len(labels)), math.log((1 - _STAY) / (len(labels) - 1)))
    np.fill_diagonal(transitions, math.log(_STAY))
    path = viterbi(fits, transitions)
    changes = np.flatnonzero(np.diff(path, prepend=-1))
    return [(labels[path[frame]], float(frame * _HOP / SAMPLING_RATE)) for frame in changes]


def _raised_cosine(numbers: np.ndarray, center: float, half_width: float) -> np.ndarray:
    inside = np.abs(numbers - center) < half_width
    return np.where(inside, 0.5 + 0.5 * np.cos(np.pi * (numbers - center) / half_width), 0)
