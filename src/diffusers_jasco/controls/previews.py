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

"""Previews of chords and melodies as synthesized tones."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from ..utils.numbers import to_float, to_integer
from .chord_labels import parse_chord
from .chords import Chords, check_chords
from .melody import frames_to_notes, melody_from_notes


_LOWEST_BASS = 36  # MIDI number of C2
_LOWEST_NOTE = 55  # MIDI number of G3
# Peak levels of tones. With them, no chord of the vocabulary exceeds ±1.
_BASS_LEVEL = 0.36
_NOTE_LEVEL = 0.19
_MELODY_LEVEL = 0.6
_ATTACK = 0.015  # seconds
_RELEASE = 0.06  # seconds
_HARMONICS = 5
_HARMONIC_DECAY = 0.4  # amplitude ratio of successive harmonics
_CHORD_HALF_LIFE = 1.2  # seconds
_MELODY_HALF_LIFE = 4.0  # seconds
_FRAME_RATE = 50.0  # Hz; frames of a melody, with one note each


def preview_chords(chords: Chords, duration: float, sampling_rate: int) -> torch.Tensor:
    r"""
    Renders chords as soft tones: the bass note between C2 and B2, and all notes between G3 and F#4 for smooth voice
    leading.

    Args:
        chords (`list` of `(label, start)`): labels with their starts in seconds; [`~inputs.read_chords`] reads other
            forms.
        duration (`float`): duration in seconds, at which the last chord ends.
        sampling_rate (`int`): sampling rate in Hz.

    Returns:
        `torch.Tensor` of shape `(1, samples)`, in [-1, 1].

    Raises:
        [`InputError`]: see [`~controls.chords.check_chords`].
    """
    duration = to_float(duration, "duration", minimum=0, unit="seconds")
    sampling_rate = to_integer(sampling_rate, "sampling_rate", minimum=1)
    audio = np.zeros(round(duration * sampling_rate))
    chords = check_chords(chords, duration=duration)
    ends = [start for _, start in chords[1:]] + [duration]
    for (label, start), end in zip(chords, ends):
        if (chord := parse_chord(label)) is None:
            continue  # no chord
        tones = [(_LOWEST_BASS + chord.bass_pitch_class, _BASS_LEVEL)]
        tones += [(_LOWEST_NOTE + (note - _LOWEST_NOTE) % 12, _NOTE_LEVEL) for note in chord.pitch_classes]
        for pitch, level in tones:
            _add_tone(audio, pitch, start, end, level, _CHORD_HALF_LIFE, sampling_rate)
    return torch.from_numpy(audio).float()[None]


def preview_melody(
    notes: Sequence[tuple[str | float, float, float]], duration: float, sampling_rate: int
) -> torch.Tensor:
    r"""
    Renders the monophonic melody that the model receives as simple tones.

    Args:
        notes (`list` of `(pitch, start, end)`):
            Notes for [`~controls.melody.melody_from_notes`]; [`~controls.melody.melody_to_notes`] converts a matrix to
            notes.
        duration (`float`): duration in seconds.
        sampling_rate (`int`): sampling rate in Hz.

    Returns:
        `torch.Tensor` of shape `(1, samples)`, in [-0.6, 0.6].

    Raises:
        [`InputError`]: see [`~controls.melody.melody_from_notes`].
    """
    duration = to_float(duration, "duration", minimum=0, unit="seconds")
    sampling_rate = to_integer(sampling_rate, "sampling_rate", minimum=1)
    audio = np.zeros(round(duration * sampling_rate))
    matrix = melody_from_notes(notes, math.ceil(duration * _FRAME_RATE - 1e-6), _FRAME_RATE)
    for pitch, start, end in frames_to_notes(matrix, _FRAME_RATE):
        _add_tone(audio, pitch, start, end, _MELODY_LEVEL, _MELODY_HALF_LIFE, sampling_rate)
    return torch.from_numpy(audio).float()[None]


def _add_tone(audio: np.ndarray, pitch: int, start: float, end: float, level: float, half_life: float, rate: int):
    """Adds a decaying tone with a fade-in and a fade-out, since clicks would sound like drums."""
    first, last = round(start * rate), min(round(end * rate), len(audio))
    time = np.arange(last - first) / rate
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    numbers = [number for number in range(1, _HARMONICS + 1) if number * frequency < 0.45 * rate]
    weights = [_HARMONIC_DECAY ** (number - 1) for number in numbers]
    tone = sum(weight * np.sin(2 * np.pi * n * frequency * time) for n, weight in zip(numbers, weights))
    fade = np.minimum(np.minimum(time / _ATTACK, time[::-1] / _RELEASE), 1) * 0.5 ** (time / half_life)
    audio[first:last] += level / sum(weights) * fade * tone
