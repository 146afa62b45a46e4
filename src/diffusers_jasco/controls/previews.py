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

"""Chords and melodies as plain tones: what a control says, before music is made with it."""

import math
from typing import Any

import numpy as np
import torch

from .chord_labels import parse_chord
from .chords import read_chords
from .melody import melody_to_notes, read_melody


_LOWEST_BASS, _LOWEST_NOTE = 36, 55  # MIDI numbers: C2, G3
_BASS_LEVEL, _NOTE_LEVEL, _MELODY_LEVEL = 0.36, 0.19, 0.6  # no chord of the vocabulary exceeds ±1 with them
_ATTACK, _RELEASE = 0.015, 0.06  # seconds
_HARMONICS, _HARMONIC_DECAY = 5, 0.4
_CHORD_HALF_LIFE, _MELODY_HALF_LIFE = 1.2, 4.0  # seconds


def preview_chords(chords: Any, duration: float, sampling_rate: int = 32000) -> torch.Tensor:
    r"""
    Chords as soft tones: the lowest note from C2 to B2, and all notes from G3 to F#4, so that little moves from one chord to
    the next.

    Args:
        chords (`list` of `(label, start)`, `str` or `os.PathLike`):
            Anything that [`~controls.chords.read_chords`] reads.
        duration (`float`): seconds of the preview; the last chord ends there.
        sampling_rate (`int`, defaults to `32000`): Hz.

    Returns:
        `torch.Tensor` of shape `(1, samples)`, in ±1.

    Raises:
        `FileNotFoundError`, `ValueError`: as [`~controls.chords.read_chords`].
    """
    audio = np.zeros(round(duration * sampling_rate))
    chords = read_chords(chords, duration=duration)
    ends = [start for _, start in chords[1:]] + [duration]
    for (label, start), end in zip(chords, ends):
        if (chord := parse_chord(label)) is None:
            continue  # no chord sounds
        tones = [(_LOWEST_BASS + chord.bass_pitch_class, _BASS_LEVEL)]
        tones += [(_LOWEST_NOTE + (note - _LOWEST_NOTE) % 12, _NOTE_LEVEL) for note in chord.pitch_classes]
        for pitch, level in tones:
            _add_tone(audio, pitch, start, end, level, _CHORD_HALF_LIFE, sampling_rate)
    return torch.from_numpy(audio).float()[None]


def preview_melody(melody: Any, duration: float, sampling_rate: int = 32000, frame_rate: float = 50.0) -> torch.Tensor:
    r"""
    A melody as the model is told it, one simple tone at a time.

    Args:
        melody (`list` of `(pitch, start, end)`, `torch.Tensor`, `np.ndarray`, `str`, `os.PathLike`, `tuple` or `dict`):
            Anything that [`~controls.melody.read_melody`] reads: notes, a matrix `(53, frames)`, a file, a recording.
        duration (`float`): seconds of the preview.
        sampling_rate (`int`, defaults to `32000`): Hz.
        frame_rate (`float`, defaults to `50.0`): frames a second of a matrix, `pipe.frame_rate`.

    Returns:
        `torch.Tensor` of shape `(1, samples)`, in ±0.6.

    Raises:
        `FileNotFoundError`, `ValueError`: as [`~controls.melody.read_melody`].
    """
    audio = np.zeros(round(duration * sampling_rate))
    matrix = read_melody(melody, math.ceil(duration * frame_rate - 1e-6), frame_rate)
    for pitch, start, end in melody_to_notes(matrix, frame_rate):
        _add_tone(audio, pitch, start, end, _MELODY_LEVEL, _MELODY_HALF_LIFE, sampling_rate)
    return torch.from_numpy(audio).float()[None]


def _add_tone(audio: np.ndarray, pitch: int, start: float, end: float, level: float, half_life: float, rate: int):
    """A decaying tone with soft ends, as clicks would be drums."""
    first, last = round(start * rate), min(round(end * rate), len(audio))
    time = np.arange(last - first) / rate
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    numbers = [number for number in range(1, _HARMONICS + 1) if number * frequency < 0.45 * rate]
    weights = [_HARMONIC_DECAY ** (number - 1) for number in numbers]
    tone = sum(weight * np.sin(2 * np.pi * n * frequency * time) for n, weight in zip(numbers, weights))
    fade = np.minimum(np.minimum(time / _ATTACK, time[::-1] / _RELEASE), 1) * 0.5 ** (time / half_life)
    audio[first:last] += level / sum(weights) * fade * tone
