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
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from ..audio.stream import AudioStream
from ..controls.chord_labels import NOTES, parse_chord
from .chords import RATE, Chords, extract_chords


MODES = ("major", "minor")
CHORD_TYPES = ("", "m", "7", "maj7", "m7", "6", "m6", "dim", "m7b5", "aug")
# Log-odds of the key whose tonic chord comes first. Excerpts start anywhere, but pieces often start on their tonic.
_FIRST_CHORD = 1.5


def extract_key(audio: Any, sampling_rate: int | None = None, progress: bool = False) -> str | None | list[str | None]:
    r"""
    Estimates the key of a recording from its chords: which degrees of a key they are, how long they sound, how they
    follow each other, and which one comes first (a log-linear model, fitted by `training/train_key_estimator.py`).

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
    if isinstance(audio, list):
        return [extract_key(item, sampling_rate, progress) for item in audio]
    duration = AudioStream(audio, sampling_rate, RATE).duration
    # The same method everywhere, as the model was fitted to its chords.
    chords = extract_chords(audio, sampling_rate, method="builtin", progress=progress)
    features, first = chord_features(chords, duration)
    if not features.any():
        return None
    scores = _load_weights() @ features.T + first
    mode, tonic = np.unravel_index(scores.argmax(), scores.shape)
    return f"{NOTES[tonic]} {MODES[mode]}"


@lru_cache(maxsize=1)
def _load_weights() -> np.ndarray:
    """Weights of the features (2 modes, 264)."""
    weights = json.loads(files(__package__).joinpath("weights/key/weights.json").read_text(encoding="utf-8"))
    return np.array([np.concatenate([np.ravel(rows) for rows in weights[mode].values()]) for mode in MODES])


def chord_features(chords: Chords, duration: float) -> tuple[np.ndarray, np.ndarray]:
    r"""
    Features of a progression for each tonic. Repetition hardly changes them.

    Args:
        chords (`list` of `(label, start)`): labels of Chordino.
        duration (`float`): duration of the music in seconds.

    Returns:
        `features` `(12 tonics, 264)`: square roots of the shares of each chord (12 degrees × 10 chord types; the mean
        of its shares of the chord changes and of the time) and of each transition between two roots (12 × 12 degrees).
        `first` `(2 modes, 12 tonics)`: the score of the key whose tonic chord comes first.
    """
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
    parts = np.sqrt((changes + times) / 2), np.sqrt(transitions)
    features = [
        np.concatenate(
            [np.roll(parts[0], -tonic, axis=0).ravel(), np.roll(parts[1], (-tonic, -tonic), (0, 1)).ravel()]
        )
        for tonic in range(12)
    ]
    return np.array(features), first


@lru_cache(maxsize=1)
def _chord_types() -> dict[frozenset[int], int]:
    return {parse_chord(f"C{name}").intervals: index for index, name in enumerate(CHORD_TYPES)}
