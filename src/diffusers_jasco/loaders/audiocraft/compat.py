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

"""Reads melodies like AudioCraft, including two of its bugs, for exact comparison."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ...audio.stream import AudioStream
from ...controls.melody import (
    MELODY_BINS,
    check_salience,
    melody_from_npz,
    melody_from_salience,
)
from ...extraction import extract_salience
from ...extraction.deep_salience import G2_BIN, NUM_BINS, RATE, fold_semitones
from ...inputs import as_recording, estimate_melody, read_melody
from ...utils.errors import EmptyInputError


# Salience frames per second that AudioCraft assumes instead of 22050 / 256: an error of 0.15 s after 100 s.
AUDIOCRAFT_SALIENCE_RATE = 86


def read_melody_late(
    melody: Any, num_frames: int, frame_rate: float, start: float = 0.0, bpm: float | None = None
) -> torch.Tensor:
    r"""
    Like [`~inputs.read_melody`], but the melodies of recordings and salience maps are 0.15% late, as in AudioCraft.

    Args:
        melody, num_frames, frame_rate, start, bpm: see [`~inputs.read_melody`].

    Returns:
        `torch.Tensor` of shape `(num_frames, 53)`.

    Raises:
        [`InputError`], `FileNotFoundError`: see [`~inputs.read_melody`].
    """
    try:
        recording = as_recording(melody, "melody")
        if recording is not None:
            return estimate_melody(recording, num_frames, frame_rate, start, _extract_melody_late)
    except EmptyInputError:
        return read_melody(melody, num_frames, frame_rate, start)
    if isinstance(melody, (str, os.PathLike)) and Path(os.fsdecode(melody)).suffix.lower() == ".npz":
        return melody_from_npz(os.fsdecode(melody), num_frames, frame_rate, late_melody_from_salience, start)
    return read_melody(melody, num_frames, frame_rate, start, bpm)


def _extract_melody_late(audio: Any, frame_rate: float) -> torch.Tensor:
    num_frames = math.ceil(AudioStream(audio, None, RATE).duration * frame_rate - 1e-6)
    salience, _, _ = extract_salience(audio)
    return late_melody_from_salience(salience, num_frames, frame_rate).T


def late_melody_from_salience(salience: torch.Tensor | np.ndarray, num_frames: int, frame_rate: float) -> torch.Tensor:
    r"""
    Like [`~controls.melody.melody_from_salience`], but interpolates like AudioCraft's data loader, which assumes 86
    salience frames per second.
    """
    salience = check_salience(salience)[:, : int(num_frames / frame_rate * AUDIOCRAFT_SALIENCE_RATE)]
    if salience.shape[1] <= AUDIOCRAFT_SALIENCE_RATE / frame_rate:
        return torch.zeros(num_frames, MELODY_BINS)
    scale = frame_rate / AUDIOCRAFT_SALIENCE_RATE
    salience = F.interpolate(salience[None], scale_factor=scale, mode="linear")[0]
    return melody_from_salience(salience, num_frames, frame_rate, salience_rate=frame_rate)


def fold_semitones_above_g2(salience: np.ndarray) -> np.ndarray:
    r"""
    Like [`~extraction.deep_salience.fold_semitones`], but ignores the center bin of G2 (97.99 Hz, just below G2) and
    all lower bins, as AudioCraft does.
    """
    return fold_semitones(np.where(np.arange(NUM_BINS) > G2_BIN, salience, 0))
