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

"""Harmony without a reference: how well the sound between beats fits a triad, and when the chords change."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..estimators.chords import estimate_chords
from ..estimators.spectra import SAMPLING_RATE, SILENCE, load_mono, pitch_spectrogram
from .beats import TOLERANCE


_HOP = 1024  # samples
_BINS_PER_SEMITONE = 5
_LOWEST, _NUM_PITCHES = 24, 72  # MIDI number, semitones
_CENTER, _HALF_WIDTH = 66, 32  # register of the treble: MIDI number and semitones
_MAX_WINDOW = 0.5  # seconds
_SEGMENT_SECONDS = 0.5  # of clips without beats
_MIN_FRAMES = 3  # of a segment
_SILENT_SHARE = 1e-3  # of the loudest segment's chroma
_WINDOW_SECONDS = 10.0
_EQUAL_CLASSES = 0.5  # cosine of 12 equal pitch classes with a triad


@dataclass(frozen=True)
class HarmonyEstimate:
    r"""
    The harmony of a clip, from [`measure_harmony`].

    Args:
        harmony (`float`): mean cosine of the chroma of each beat with its best triad, in [0, 1]: 1 for a triad
            without overtones, 0.5 for equal pitch classes.
        averaged (`float`): the same for the chroma averaged over the clip: the chance level, as a blend of all its
            chords would have it; NaN for silence.
        distinct_triads (`float`): number of different best triads in 10 s.
        chord_changes (`float`): number of chord changes.
        changes_on_beats (`float`): share of the chord changes within 70 ms of a beat, in [0, 1]; NaN without beats or
            changes.
        chance_on_beats (`float`): share of the clip within 70 ms of a beat: the chance level of `changes_on_beats`.
    """

    harmony: float
    averaged: float
    distinct_triads: float
    chord_changes: float
    changes_on_beats: float
    chance_on_beats: float


def measure_harmony(audio: Any, beats: Sequence[float] = ()) -> HarmonyEstimate:
    r"""
    Measures how clear the harmony is. The chroma of the treble (magnitudes of a constant-Q transform, weighted by
    register and folded into 12 pitch classes, as in Fujishima, 1999, and Mauch and Dixon, 2010) is averaged between
    beats (as in Bello and Pickens, 2005), and compared with the 24 major and minor triads. Silent beats, below 1/1000
    of the loudest, are ignored.

    A clear harmony is not yet a progression: one held chord has a high `harmony`, but only one distinct triad, and
    random notes have far more than music. Chord changes are those of
    [`~evaluation.estimators.chords.estimate_chords`].

    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.
        beats (`Sequence[float]`): beats in seconds, such as those of
            [`~evaluation.metrics.beat_strength.estimate_beat`]. Without beats, segments of 0.5 s are used.

    Returns:
        [`HarmonyEstimate`]: for silence, `harmony` is 0.5, as for equal pitch classes, without triads and chord
        changes; for clips shorter than 0.2 s all values are NaN. `distinct_triads` is the mean over equal windows of
        about 10 s; it is lower for shorter clips, so compare clips of equal duration.
    """
    samples = load_mono(audio)
    duration = len(samples) / SAMPLING_RATE
    if len(samples) < _MIN_FRAMES * _HOP:
        return HarmonyEstimate(*[math.nan] * 6)
    if np.abs(samples).max() < SILENCE:
        return HarmonyEstimate(_EQUAL_CLASSES, math.nan, 0.0, 0.0, math.nan, math.nan)
    chroma = treble_chroma(samples)
    beats = np.asarray(beats, dtype=float)
    grid = beats if len(beats) else np.arange(_SEGMENT_SECONDS, duration, _SEGMENT_SECONDS)
    segments, starts = _average(chroma, grid * SAMPLING_RATE / _HOP)
    fits = fit_triads(segments)
    sounds = segments.max(axis=1) > _SILENT_SHARE * segments.max()
    best, windows = fits.argmax(axis=1), (starts / len(chroma) * max(1, round(duration / _WINDOW_SECONDS))).astype(int)
    distinct = [len(np.unique(best[sounds & (windows == window)])) for window in np.unique(windows)]

    changes = np.array([start for _, start in estimate_chords(audio)[1:]])
    on_beats = chance = math.nan
    if len(beats):
        chance = _covered(beats, duration) / duration
        if len(changes):
            on_beats = float(np.mean(np.abs(changes[:, None] - beats).min(axis=1) <= TOLERANCE))
    return HarmonyEstimate(
        harmony=float(fits[sounds].max(axis=1).mean()),
        averaged=float(fit_triads(chroma.mean(axis=0, keepdims=True)).max()),
        distinct_triads=float(np.mean(distinct)),
        chord_changes=float(len(changes)),
        changes_on_beats=on_beats,
        chance_on_beats=chance,
    )


def treble_chroma(samples: np.ndarray) -> np.ndarray:
    r"""
    Args:
        samples (`np.ndarray` of shape `(samples,)`): audio at 16 kHz.

    Returns:
        `np.ndarray` of shape `(frames, 12)`: magnitudes of the pitch classes from C, every 64 ms.
    """
    num_bins = _NUM_PITCHES * _BINS_PER_SEMITONE
    # The pitches are in the middle of their bins, so mistuned notes count for the nearest semitone.
    lowest = _LOWEST - (_BINS_PER_SEMITONE // 2) / _BINS_PER_SEMITONE
    spectrum = pitch_spectrogram(
        samples, _HOP, lowest, num_bins, _BINS_PER_SEMITONE, max_window=_MAX_WINDOW, offset=_HOP // 2
    )
    pitches = spectrum.reshape(len(spectrum), _NUM_PITCHES, _BINS_PER_SEMITONE).max(axis=2)
    distances = (_LOWEST + np.arange(_NUM_PITCHES) - _CENTER) / _HALF_WIDTH
    weights = np.where(np.abs(distances) < 1, 0.5 + 0.5 * np.cos(np.pi * distances), 0)
    return (pitches * weights).reshape(len(pitches), -1, 12).sum(axis=1)


def fit_triads(chroma: np.ndarray) -> np.ndarray:
    r"""
    Args:
        chroma (`np.ndarray` of shape `(segments, 12)`): non-negative magnitudes of the pitch classes from C.

    Returns:
        `np.ndarray` of shape `(segments, 24)`: cosines with the major triads on C … B, and the minor triads.
    """
    root, minor = np.tile(np.arange(12), 2), np.repeat([0, 1], 12)
    triads = np.zeros((24, 12))
    for interval in (np.zeros(24, dtype=int), 4 - minor, np.full(24, 7)):
        triads[np.arange(24), (root + interval) % 12] = 1 / math.sqrt(3)
    return chroma @ triads.T / np.maximum(np.linalg.norm(chroma, axis=1, keepdims=True), 1e-12)


def _average(chroma: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of chroma between edges (in frames), and the first frame of each segment."""
    edges = np.unique(np.clip(np.round(edges), 0, len(chroma)).astype(int))
    edges = edges[(edges >= _MIN_FRAMES) & (edges <= len(chroma) - _MIN_FRAMES)]
    starts = np.concatenate([[0], edges])
    sizes = np.diff(np.append(starts, len(chroma)))
    return np.add.reduceat(chroma, starts, axis=0) / sizes[:, None], starts


def _covered(beats: np.ndarray, duration: float) -> float:
    """Seconds of the clip that are within the tolerance of a beat."""
    low = np.clip(np.sort(beats) - TOLERANCE, 0, duration)
    high = np.clip(np.sort(beats) + TOLERANCE, 0, duration)
    return float(np.sum(high - low) - np.sum(np.maximum(high[:-1] - low[1:], 0)))
