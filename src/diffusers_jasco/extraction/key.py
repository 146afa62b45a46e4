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
    Estimates the key of a recording from its chords: how often and how long each chord sounds, as a degree of each
    key, and which one comes first (a log-linear model, fitted by `training/train_key_estimator.py`).

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
    degrees, first = chord_features(chords, duration)
    if not degrees.any():
        return None
    scores = np.einsum("kdt,mdt->mk", degrees, _load_weights()) + first
    mode, tonic = np.unravel_index(scores.argmax(), scores.shape)
    return f"{NOTES[tonic]} {MODES[mode]}"


@lru_cache(maxsize=1)
def _load_weights() -> np.ndarray:
    """Log-odds of chords (modes, degrees, chord types) in a key."""
    text = files(__package__).joinpath("weights/key/weights.json").read_text(encoding="utf-8")
    return np.array([json.loads(text)[mode] for mode in MODES])


def chord_features(chords: Chords, duration: float) -> tuple[np.ndarray, np.ndarray]:
    r"""
    Features of a progression for each key.

    Args:
        chords (`list` of `(label, start)`): labels of Chordino.
        duration (`float`): duration of the music in seconds.

    Returns:
        `degrees` `(12 tonics, 12 degrees, 10 chord types)`, the square roots of the shares of each chord (mean of its
        shares of the changes and of the time), and `first` `(2 modes, 12 tonics)`, the score of the first chord.
        Repetition changes neither.
    """
    occurrences, durations = np.zeros((2, 12, len(CHORD_TYPES)))
    first = np.zeros((len(MODES), 12))
    for (label, start), (_, end) in zip(chords, [*chords[1:], ("", duration)]):
        chord = parse_chord(label)
        if chord is None:
            continue
        if not occurrences.any() and 7 in chord.intervals:
            first[int(3 in chord.intervals), chord.root] = _FIRST_CHORD
        place = chord.root, _chord_types()[chord.intervals]
        occurrences[place] += 1
        durations[place] += end - start
    counts = np.maximum([occurrences.sum(), durations.sum()], 1e-9)
    amounts = np.sqrt((occurrences / counts[0] + durations / counts[1]) / 2)
    return np.stack([np.roll(amounts, -tonic, axis=0) for tonic in range(12)]), first


@lru_cache(maxsize=1)
def _chord_types() -> dict[frozenset[int], int]:
    return {parse_chord(f"C{name}").intervals: index for index, name in enumerate(CHORD_TYPES)}
