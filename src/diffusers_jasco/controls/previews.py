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
from collections.abc import Sequence

import numpy as np
import torch

from ..utils.numbers import to_float, to_integer
from .chord_labels import parse_chord
from .chords import Chords, check_chords
from .melody import frames_to_notes, melody_from_notes


_LOWEST_BASS, _LOWEST_NOTE = 36, 55  # MIDI numbers: C2, G3
_BASS_LEVEL, _NOTE_LEVEL, _MELODY_LEVEL = 0.36, 0.19, 0.6  # no chord of the vocabulary exceeds ±1 with them
_ATTACK, _RELEASE = 0.015, 0.06  # seconds
_HARMONICS, _HARMONIC_DECAY = 5, 0.4
_CHORD_HALF_LIFE, _MELODY_HALF_LIFE = 1.2, 4.0  # seconds
_FRAME_RATE = 50.0  # Hz: the frames of a melody, of which each has one note


def preview_chords(chords: Chords, duration: float, sampling_rate: int) -> torch.Tensor:
    r"""
    Chords as soft tones: the lowest note from C2 to B2, and all notes from G3 to F#4, so that little moves from one chord to
    the next.

    Args:
        chords (`list` of `(label, start)`): labels with their starts in seconds; [`~inputs.read_chords`] reads other forms.
        duration (`float`): seconds of the preview; the last chord ends there.
        sampling_rate (`int`): Hz.

    Returns:
        `torch.Tensor` of shape `(1, samples)`, in ±1.

    Raises:
        [`InputError`]: as [`~controls.chords.check_chords`].
    """
    duration = to_float(duration, "duration", minimum=0, unit="seconds")
    sampling_rate = to_integer(sampling_rate, "sampling_rate", minimum=1)
    audio = np.zeros(round(duration * sampling_rate))
    chords = check_chords(chords, duration=duration)
    ends = [start for _, start in chords[1:]] + [duration]
    for (label, start), end in zip(chords, ends):
        if (chord := parse_chord(label)) is None:
            continue  # no chord sounds
        tones = [(_LOWEST_BASS + chord.bass_pitch_class, _BASS_LEVEL)]
        tones += [(_LOWEST_NOTE + (note - _LOWEST_NOTE) % 12, _NOTE_LEVEL) for note in chord.pitch_classes]
        for pitch, level in tones:
            _add_tone(audio, pitch, start, end, level, _CHORD_HALF_LIFE, sampling_rate)
    return torch.from_numpy(audio).float()[None]


def preview_melody(
    notes: Sequence[tuple[str | float, float, float]], duration: float, sampling_rate: int
) -> torch.Tensor:
    r"""
    A melody as the model is told it, one simple tone at a time.

    Args:
        notes (`list` of `(pitch, start, end)`):
            As [`~controls.melody.melody_from_notes`] takes them; [`~controls.melody.melody_to_notes`] makes them of a matrix.
        duration (`float`): seconds of the preview.
        sampling_rate (`int`): Hz.

    Returns:
        `torch.Tensor` of shape `(1, samples)`, in ±0.6.

    Raises:
        [`InputError`]: as [`~controls.melody.melody_from_notes`].
    """
    duration = to_float(duration, "duration", minimum=0, unit="seconds")
    sampling_rate = to_integer(sampling_rate, "sampling_rate", minimum=1)
    audio = np.zeros(round(duration * sampling_rate))
    matrix = melody_from_notes(notes, math.ceil(duration * _FRAME_RATE - 1e-6), _FRAME_RATE)
    for pitch, start, end in frames_to_notes(matrix, _FRAME_RATE):
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
