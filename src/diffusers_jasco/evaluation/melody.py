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


"""Two ways to hear a melody in a mix, and how much of it is the asked-for one."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..controls.melody import HIGHEST_PITCH, LOWEST_PITCH, MELODY_BINS, melody_from_notes
from .chords import SILENCE, import_mir_eval, note_spectra
from .spectra import SAMPLING_RATE, fit_notes, load_mono, pitch_spectrogram, running_mean, viterbi


FRAME_RATE = 50
UNVOICED = -1
MIN_FRAMES = 25  # with fewer frames of melody a share of them says little
_HOP = SAMPLING_RATE // FRAME_RATE
_WINDOW = 0.12  # seconds
_SMOOTHING = 5  # frames
# The lead is mostly the highest voice: the weight of the lowest semitone is 1 − this, of the highest 1 + this.
_TILT = 0.5
# Frames that are quieter than the loudest one by more than this (in salience) have no melody.
_QUIET = 1e-3


def score_melody(pitches: np.ndarray, melody: Sequence[tuple[int, float, float]]) -> dict[str, float]:
    r"""
    Args:
        pitches (`np.ndarray` of shape `(frames,)`): MIDI numbers that were heard, 50 a second, -1 for none.
        melody (`list` of `(pitch, start, end)`): what was asked for, as
            [`~controls.melody.melody_from_notes`] takes it.

    Returns:
        `dict[str, float]`: raw pitch and raw chroma accuracy (Poliner et al., 2007; see [`compare_melodies`]): `"pitch"`, the
        share of the frames with a note in which this note was heard, and `"chroma"`, in which it was heard in any octave.
        NaN if there is less than half a second of melody.
    """
    nothing = {"pitch": math.nan, "chroma": math.nan}
    if not melody:
        return nothing
    asked = melody_from_notes(melody, len(pitches), FRAME_RATE).T
    if asked.any(dim=0).sum() < MIN_FRAMES:
        return nothing
    heard = torch.zeros_like(asked)
    frames = np.flatnonzero(pitches != UNVOICED)
    heard[pitches[frames] - LOWEST_PITCH, frames] = 1
    scores = compare_melodies(heard, asked)
    return {"pitch": scores["rpa"], "chroma": scores["rca"]}


def score_salience(salience: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    r"""
    How alike what sounds is, note by note and loud or soft: the mean over frames of the cosine between two saliences. The
    original's model card reports a "melody cosine similarity" without saying how it is made; this is how the authors' fork of
    the extractor compares two recordings (with its own network, which another one stands in for here).

    Args:
        salience (`np.ndarray` of shape `(53, frames)`): of the music, not cut at a threshold.
        reference (`np.ndarray` of shape `(53, frames)`): of the music that it should be like. Both are cut to the shorter.

    Returns:
        `dict[str, float]`: `"cosine"` in [0, 1]; 0 in frames in which one of them has nothing.
    """
    size = min(salience.shape[1], reference.shape[1])
    one, other = (values[:, :size].astype(np.float64) for values in (salience, reference))
    lengths = np.linalg.norm(one, axis=0) * np.linalg.norm(other, axis=0)
    return {"cosine": float(np.mean((one * other).sum(axis=0) / np.maximum(lengths, 1e-8)))}


def compare_melodies(estimate: torch.Tensor, reference: torch.Tensor) -> dict[str, float]:
    r"""
    How far two melodies agree, by mir_eval, frame by frame. A frame without a note is unvoiced.

    Args:
        estimate (`torch.Tensor` of shape `(53, frames)`): what was heard, as [`~extraction.extract_melody`] returns it.
        reference (`torch.Tensor` of shape `(53, frames)`): what was played, or what another heard.

    Returns:
        `dict[str, float]`: in [0, 1], NaN where there is nothing to compare with: `"rpa"` and `"rca"`, raw pitch and raw
        chroma accuracy; `"vr"` and `"vfa"`, the shares of voiced and of unvoiced frames that were heard as voiced;
        `"equal"`, the share of equal frames.

    Raises:
        `ImportError`: without the package mir_eval.
        `ValueError`: if the shapes differ.
    """
    if estimate.shape != reference.shape:
        raise ValueError(f"The melodies have different shapes: {tuple(estimate.shape)} and {tuple(reference.shape)}.")
    metrics = import_mir_eval().melody
    if reference.shape[1] == 0:
        return dict.fromkeys(("rpa", "rca", "vr", "vfa", "equal"), math.nan)
    voiced, asked, heard_voiced, heard = (
        values for matrix in (reference, estimate) for values in _to_cents(matrix.numpy())
    )
    scores = dict.fromkeys(("rpa", "rca", "vr", "vfa"), math.nan)
    if voiced.any() and not heard_voiced.any():
        scores |= {"rpa": 0.0, "rca": 0.0, "vr": 0.0}
    elif voiced.any():
        scores["rpa"] = float(metrics.raw_pitch_accuracy(voiced, asked, heard_voiced, heard))
        scores["rca"] = float(metrics.raw_chroma_accuracy(voiced, asked, heard_voiced, heard))
        scores["vr"] = float(metrics.voicing_recall(voiced, heard_voiced))
    if not voiced.all():
        scores["vfa"] = float(metrics.voicing_false_alarm(voiced, heard_voiced))
    return scores | {"equal": float((estimate == reference).all(dim=0).float().mean())}


def _to_cents(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether there is a note, and its pitch in cents; 0 without one, as mir_eval has it."""
    voiced = matrix.any(axis=0)
    return voiced.astype(float), np.where(voiced, 100.0 * (LOWEST_PITCH + matrix.argmax(axis=0)), 0.0)


def _weigh(salience: np.ndarray) -> np.ndarray:
    bins = np.arange(MELODY_BINS)
    weights = 1 + _TILT * (2 * bins / (MELODY_BINS - 1) - 1)
    return running_mean(np.ascontiguousarray((salience * weights).T), _SMOOTHING).T


def _to_pitches(bins: np.ndarray, salience: np.ndarray) -> np.ndarray:
    strongest = salience.max(axis=1)
    return np.where(strongest > _QUIET * strongest.max(), LOWEST_PITCH + bins, UNVOICED)


# 1. Harmonic sum: the semitone whose harmonics have the highest weighted sum, in each frame by itself.

_SUM_LOWEST, _SUM_PITCHES = 37, 80
_HARMONICS = (0, 12, 19, 24, 28, 31, 34, 36, 38, 40)  # semitones above the fundamental
_DECAY = 0.9


def melody_by_harmonic_sum(audio: Any) -> np.ndarray:
    r"""
    The most salient pitch from G2 to B6 in each frame, by the sum of its harmonics (Hermes, 1988; Salamon and Gómez, 2012)
    above the mean of their surroundings.

    Args:
        audio: as [`~evaluation.spectra.load_mono`] takes it.

    Returns:
        `np.ndarray` of shape `(frames,)`: MIDI numbers 43 ... 95, 50 a second, -1 where nothing sounds.
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


# 2. Note fit: the notes that explain the whole spectrum together, and the most probable path through them.

_FIT_LOWEST, _FIT_HIGHEST, _FIT_TOP = 28, 99, 117
_STAY, _SCALE = 0.95, 5.0


def melody_by_note_fit(audio: Any) -> np.ndarray:
    r"""
    The melody from G2 to B6 as the best path through notes that explain the spectrum: non-negative least squares with
    spectra of harmonic notes (as Smaragdis and Brown, 2003, with fixed notes), and a hidden Markov model.

    Args:
        audio: as [`~evaluation.spectra.load_mono`] takes it.

    Returns:
        `np.ndarray` of shape `(frames,)`: MIDI numbers 43 ... 95, 50 a second, -1 where nothing sounds.
    """
    samples = load_mono(audio)
    num_bins = 2 * (_FIT_TOP - _FIT_LOWEST)
    spectrum = pitch_spectrogram(samples, _HOP, _FIT_LOWEST, num_bins, 2, max_window=_WINDOW, offset=_HOP // 2)
    if spectrum.max() < SILENCE:
        return np.full(len(spectrum), UNVOICED)
    spectrum = np.sqrt(spectrum / spectrum.max())
    white = np.maximum(spectrum - running_mean(spectrum, 49), 0)
    dictionary = note_spectra(_FIT_LOWEST, _FIT_HIGHEST, _FIT_TOP, 2, decay=0.9, num_harmonics=12)
    activations = fit_notes(white, dictionary)[:, LOWEST_PITCH - _FIT_LOWEST : HIGHEST_PITCH + 1 - _FIT_LOWEST]
    salience = _weigh(activations)
    strongest = salience.max(axis=1, keepdims=True)
    # Half of the frame's own level and half of the clip's: quiet frames decide less.
    scores = 2 * _SCALE * salience / (strongest + np.median(strongest) + 1e-9)
    transitions = np.full((MELODY_BINS, MELODY_BINS), math.log((1 - _STAY) / (MELODY_BINS - 1)))
    np.fill_diagonal(transitions, math.log(_STAY))
    return _to_pitches(viterbi(scores, transitions), salience)
