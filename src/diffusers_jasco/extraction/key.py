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

"""Key estimation."""

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from ..audio.stream import AudioStream
from ..controls.chord_labels import NOTES, parse_chord
from .chords import RATE, Chords, decode_chords, estimate_chroma, is_quiet
from .lists import accepts_lists


MODES = ("major", "minor")
CHORD_TYPES = ("", "m", "7", "maj7", "m7", "6", "m6", "dim", "m7b5", "aug")
# Log-odds of the key whose tonic chord comes first. Excerpts start anywhere, but pieces often start on their tonic.
_FIRST_CHORD = 1.5
_NUM_CHORDS = 12 * len(CHORD_TYPES)
# How well each degree fits a major and a minor key: the ratings of Krumhansl and Kessler (1982).
_PROFILES = np.array(
    [
        [6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88],
        [6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17],
    ]
)


@accepts_lists
def extract_key(audio: Any, sampling_rate: int | None = None, progress: bool = False) -> str | None:
    r"""
    Estimates the key of a recording from its chords (which degrees of a key they are, how long they sound, how they
    follow each other, which one comes first) and its mean chroma, by a log-linear model, which
    `training/train_key_estimator.py` fits.

    One key is estimated for the whole recording. Relative keys are confused most often, above all where a recording
    is short or avoids the tonic; music without functional harmony also gets the key that fits best.

    Args:
        audio (`str`, `os.PathLike`, `torch.Tensor` or `np.ndarray`, or a `list` of them):
            A file, or a waveform `(samples,)` or `(channels, samples)`. It is read in blocks, in bounded memory.
        sampling_rate (`int`, *optional*):
            Sampling rate of waveforms in Hz.
        progress (`bool`, defaults to `False`):
            Whether to show a progress bar.

    Returns:
        `str` or `None`: a tonic, spelled as in `controls.chord_labels.NOTES`, and its mode, such as `"C major"` or
        `"Eb minor"`; `None` if no chord is detected, as in silence and noise. For a list of recordings, a list.

    Raises:
        `FileNotFoundError`: if a file does not exist.
        [`InputError`]: for input that is not audio.
    """
    features, first = key_features(AudioStream(audio, sampling_rate, RATE), progress)
    if not first.any() and not features[:, :_NUM_CHORDS].any():
        return None
    return _best_key(_load_weights() @ features.T + first)


def find_key_of_notes(notes: Sequence[tuple[int, float, float]]) -> str | None:
    r"""
    Estimates the key of a melody without chords: the one whose profile correlates best with the durations of the pitch
    classes (Krumhansl and Schmuckler's algorithm, with the profiles of Krumhansl and Kessler). Neighboring and relative
    keys are confused more often than in music with chords.

    Args:
        notes (`list` of `(MIDI number, start, end)`): the melody; times in seconds.

    Returns:
        `str` or `None`: as [`extract_key`]; `None` without notes.
    """
    if not notes:
        return None
    durations = np.zeros(12)
    for pitch, start, end in notes:
        durations[pitch % 12] += end - start
    profiles = _PROFILES - _PROFILES.mean(axis=1, keepdims=True)
    profiles /= np.linalg.norm(profiles, axis=1, keepdims=True)
    return _best_key(profiles @ np.array([np.roll(durations, -tonic) for tonic in range(12)]).T)


def _best_key(scores: np.ndarray) -> str:
    """The key with the highest score (2 modes, 12 tonics)."""
    mode, tonic = np.unravel_index(scores.argmax(), scores.shape)
    return f"{NOTES[tonic]} {MODES[mode]}"


@lru_cache(maxsize=1)
def _load_weights() -> np.ndarray:
    """Weights of the features (2 modes, 288)."""
    weights = json.loads(files(__package__).joinpath("weights/key/weights.json").read_text(encoding="utf-8"))
    return np.array([np.concatenate([np.ravel(rows) for rows in weights[mode].values()]) for mode in MODES])


def key_features(stream: AudioStream, progress: bool = False) -> tuple[np.ndarray, np.ndarray]:
    r"""
    Features of a recording for each tonic. Repetition hardly changes them.

    Args:
        stream (`AudioStream`): the recording at 32 kHz.
        progress (`bool`, defaults to `False`): whether to show a progress bar.

    Returns:
        `features` `(12 tonics, 288)`: square roots of the shares of each chord (12 degrees × 10 chord types; the mean
        of its shares of the chord changes and of the time) and of each transition between two roots (12 × 12 degrees),
        and mean bass and treble chroma (2 × 12 degrees), each of unit norm per frame.
        `first` `(2 modes, 12 tonics)`: the score of the key whose tonic chord comes first.
    """
    chroma, loudness = estimate_chroma(stream, progress)
    chords = decode_chords(chroma, loudness, stream.duration)
    return _combine(chords, _mean_chroma(chroma[~is_quiet(loudness)]), stream.duration)


def _mean_chroma(chroma: np.ndarray) -> np.ndarray:
    parts = chroma.reshape(-1, 2, 12)
    return (parts / (np.linalg.norm(parts, axis=2, keepdims=True) + 1e-9)).sum(axis=0) / max(len(parts), 1)


def _combine(chords: Chords, chroma: np.ndarray, duration: float) -> tuple[np.ndarray, np.ndarray]:
    """[`key_features`] of a progression and a mean chroma (2, 12)."""
    parsed = [(parse_chord(label), start) for label, start in [*chords, ("N", duration)]]
    sounding = [(chord, end - start) for (chord, start), (_, end) in zip(parsed, parsed[1:]) if chord is not None]
    changes, times = np.zeros((2, 12, len(CHORD_TYPES)))
    transitions, first = np.zeros((12, 12)), np.zeros((len(MODES), 12))
    for index, (chord, length) in enumerate(sounding):
        place = chord.root, _chord_types()[chord.intervals]
        changes[place] += 1
        times[place] += length
        if index > 0:
            transitions[sounding[index - 1][0].root, chord.root] += 1
        elif 7 in chord.intervals:
            first[int(3 in chord.intervals), chord.root] = _FIRST_CHORD
    changes, times, transitions = (counts / max(counts.sum(), 1e-9) for counts in (changes, times, transitions))
    parts: list[tuple[np.ndarray, tuple[int, ...]]]
    parts = [(np.sqrt((changes + times) / 2), (0,)), (np.sqrt(transitions), (0, 1)), (chroma, (1,))]
    features = [
        np.concatenate([np.roll(part, [-tonic] * len(axes), axes).ravel() for part, axes in parts])
        for tonic in range(12)
    ]
    return np.array(features), first


@lru_cache(maxsize=1)
def _chord_types() -> dict[frozenset[int], int]:
    chords = map(parse_chord, (f"C{name}" for name in CHORD_TYPES))
    return {chord.intervals: index for index, chord in enumerate(chords) if chord is not None}
