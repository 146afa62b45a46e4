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

"""Chords and melodies as plain tones, to hear a control before music is made with it."""

from collections.abc import Sequence

import numpy as np
import torch

from .chord_labels import parse_chord
from .melody import melody_from_notes, melody_to_notes


_PEAK = 0.7
_CHORD_LEVEL, _BASS_LEVEL, _MELODY_LEVEL = 0.1, 0.16, 0.3
_LOWEST_BASS, _LOWEST_NOTE = 36, 55  # MIDI numbers: C2, G3


def preview_chords(chords: Sequence[tuple[str, float]], duration: float, sampling_rate: int = 32000) -> torch.Tensor:
    r"""
    Chords as soft tones: the bass between C2 and B2, the chord's notes between G3 and F#4.

    Args:
        chords (`list` of `(label, start)`): as [`~controls.chords.read_chords`] returns it.
        duration (`float`): seconds of the preview; the last chord ends there.
        sampling_rate (`int`, defaults to `32000`): Hz.

    Returns:
        `torch.Tensor` of shape `(1, samples)`, in ±1.
    """
    audio = np.zeros(round(duration * sampling_rate))
    ends = [start for _, start in chords[1:]] + [duration]
    for (label, start), end in zip(chords, ends):
        chord = parse_chord(label)
        if chord is None or start >= duration:
            continue
        _add_tone(audio, _LOWEST_BASS + chord.bass_pitch_class, start, end, _BASS_LEVEL, sampling_rate)
        for note in chord.pitch_classes:
            pitch = _LOWEST_NOTE + (note - _LOWEST_NOTE) % 12
            _add_tone(audio, pitch, start, end, _CHORD_LEVEL, sampling_rate)
    return torch.from_numpy(audio).float()[None]


def preview_melody(
    melody: Sequence[tuple[int, float, float]] | torch.Tensor,
    duration: float,
    sampling_rate: int = 32000,
    frame_rate: float = 50.0,
) -> torch.Tensor:
    r"""
    A melody as one simple tone with soft ends.

    Args:
        melody (`list` of `(pitch, start, end)` or `torch.Tensor` of shape `(53, frames)`):
            Notes as [`~controls.melody.melody_from_notes`] takes them, or a matrix as the pipeline does.
        duration (`float`): seconds of the preview.
        sampling_rate (`int`, defaults to `32000`): Hz.
        frame_rate (`float`, defaults to `50.0`): frames a second of a matrix, `pipe.frame_rate`.

    Returns:
        `torch.Tensor` of shape `(1, samples)`, in ±1.
    """
    if torch.is_tensor(melody):
        notes = melody_to_notes(melody.T, frame_rate)
    else:
        notes = melody_to_notes(melody_from_notes(melody, round(duration * 100), 100), 100)
    audio = np.zeros(round(duration * sampling_rate))
    for pitch, start, end in notes:
        if start < duration:
            _add_tone(audio, pitch, start, end, _MELODY_LEVEL, sampling_rate)
    return torch.from_numpy(audio).float()[None]


def _add_tone(audio: np.ndarray, pitch: int, start: float, end: float, level: float, rate: int):
    first = round(start * rate)
    time = np.arange(min(round(end * rate), len(audio)) - first) / rate
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    fade = np.clip(np.minimum(time, time[::-1]) / 0.02, 0, 1) * np.exp(-0.6 * time)
    harmonics = [number for number in range(1, 6) if number * frequency < 0.45 * rate]
    tone = sum(0.4 ** (n - 1) * np.sin(2 * np.pi * n * frequency * time) for n in harmonics)
    audio[first : first + len(time)] += level * fade * tone
