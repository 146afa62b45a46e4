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

"""Melody estimation."""

import math
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeGuard, get_args

import numpy as np
import torch
from diffusers.utils import logging

from ..audio.stream import AudioStream
from ..controls.melody import (
    HIGHEST_PITCH,
    LOWEST_PITCH,
    MELODY_BINS,
    SALIENCE_RATE,
    bins_from_salience,
    bins_to_matrix,
    fold_pitch,
    notes_to_bins,
)
from ..utils.errors import InputError
from ..utils.numbers import to_float
from . import deep_salience
from .lists import accepts_lists
from .progress import SecondsBar
from .salience_model import CONTEXT, HOP, RATE, SalienceModel, log_frequency_levels
from .singing import Note, track_notes


logger = logging.get_logger(__name__)

Method = Literal["auto", "builtin", "deep_salience", "monophonic"]
METHODS: tuple[Method, ...] = get_args(Method)
THRESHOLD = 0.5  # as in AudioCraft's documentation
_SALIENCE_GAP = 3  # frames before a repeated note, of which one or more remain at 50 frames per second


@accepts_lists
def extract_melody(
    audio: Any,
    sampling_rate: int | None = None,
    method: Method = "auto",
    threshold: float = THRESHOLD,
    frame_rate: float = 50.0,
    weights: str | os.PathLike | None = None,
    progress: bool = False,
) -> torch.Tensor:
    r"""
    Estimates the melody of a recording: the most salient semitone of each frame, or none.

    Args:
        audio (`str`, `os.PathLike`, `torch.Tensor` or `np.ndarray`, or a `list` of them):
            A file, or a waveform `(samples,)` or `(channels, samples)`. It is read in blocks, in bounded memory.
        sampling_rate (`int`, *optional*):
            Sampling rate of waveforms in Hz.
        method (`str`, defaults to `"auto"`):
            - `"builtin"`: a small network that imitates AudioCraft's extractor and ships with this package.
            - `"deep_salience"`: AudioCraft's extractor (Bittner et al., 2017), with `weights` that you provide.
            - `"monophonic"`: for a single voice (humming, singing, whistling): the pitch by SwiftF0 (Nieradzik, 2025),
              divided into notes, ignoring vibrato and glides. Where a note is repeated without a rest, its last frame
              before the repetition is empty.
            - `"auto"`: `"deep_salience"` if `weights` are given, `"builtin"` otherwise.
        threshold (`float`, defaults to `0.5`):
            Minimum salience of a semitone, in [0, 1]; unused with `"monophonic"`.
        frame_rate (`float`, defaults to `50.0`):
            Frames per second. Pipelines expect matrices at their own rate, `pipe.frame_rate`.
        weights (`str` or `os.PathLike`, *optional*):
            `multif0.h5` of github.com/rabitt/ismir2017-deepsalience.
        progress (`bool`, defaults to `False`):
            Whether to show a progress bar.

    Returns:
        `torch.Tensor` of shape `(53, frames)`: 1 where a semitone from G2 (row 0, MIDI 43) to B6 sounds, at most one
        per frame. Notes outside this range are transposed by octaves, with a warning (`"monophonic"`), or ignored (the
        other methods). For a list of recordings, a list of matrices.

    Raises:
        `FileNotFoundError`: if a file does not exist.
        `ImportError`: if the packages of the method are not installed.
        [`InputError`]: for input that is not audio, for an invalid method, threshold or frame rate, and for missing or
            unused weights.
    """
    return bins_to_matrix(extract_bins(audio, sampling_rate, method, threshold, frame_rate, weights, progress)).T


def extract_bins(
    audio: Any,
    sampling_rate: int | None = None,
    method: Method = "auto",
    threshold: float = THRESHOLD,
    frame_rate: float = 50.0,
    weights: str | os.PathLike | None = None,
    progress: bool = False,
) -> torch.Tensor:
    r"""
    Estimates the melody of one recording as one number per frame, which takes less memory than a matrix.

    Args:
        audio, sampling_rate, method, threshold, frame_rate, weights, progress: as [`extract_melody`].

    Returns:
        `torch.Tensor` of shape `(frames,)` in int8: the semitone of each frame above G2, -1 for rests.

    Raises: as [`extract_melody`].
    """
    frame_rate = to_float(frame_rate, "frame_rate", above=0, maximum=1000, unit="Hz")
    method = _check_method(method, threshold, weights)
    stream = AudioStream(audio, sampling_rate, RATE)
    # Tolerance for durations such as 10.000000000000002 s.
    num_frames = math.ceil(stream.duration * frame_rate - 1e-6)
    if method == "monophonic":
        return notes_to_bins(_fold(track_notes(audio, sampling_rate, progress)), num_frames, frame_rate)
    return bins_from_salience(_extract(stream, method, threshold, weights, progress), num_frames, frame_rate)


@accepts_lists
def extract_salience(
    audio: Any,
    sampling_rate: int | None = None,
    method: Method = "auto",
    threshold: float = THRESHOLD,
    weights: str | os.PathLike | None = None,
    progress: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""
    Computes the salience on which [`extract_melody`] is based: the arrays of AudioCraft's
    `<track>_multif0_salience.npz`.

    Args:
        audio, sampling_rate, method, threshold, weights, progress: as [`extract_melody`].

    Returns:
        `tuple` of `salience` `(53, frames)`, float32 in [0, 1] and 0 below the threshold, `times` `(frames,)` in
        seconds (multiples of 256 / 22050), and `freqs` `(53,)` in Hz. For a list of recordings, a list of tuples.

    Raises: as [`extract_melody`].
    """
    method = _check_method(method, threshold, weights)
    stream = AudioStream(audio, sampling_rate, RATE)
    count = _num_frames(stream)
    if method == "monophonic":
        notes = _fold(track_notes(audio, sampling_rate, progress))
        salience = bins_to_matrix(notes_to_bins(notes, count, SALIENCE_RATE, _SALIENCE_GAP)).T.numpy()
    else:
        salience, count = np.zeros((MELODY_BINS, count), dtype=np.float32), 0
        for block in _extract(stream, method, threshold, weights, progress):
            salience[:, count : count + len(block)] = block.T
            count += len(block)
    frequencies = 440 * 2 ** ((np.arange(LOWEST_PITCH, HIGHEST_PITCH + 1) - 69) / 12)
    return np.ascontiguousarray(salience[:, :count]), np.arange(count) / SALIENCE_RATE, frequencies


def _fold(notes: list[Note]) -> list[Note]:
    """Transposes notes outside G2–B6 by octaves, with a warning."""
    folded = [(fold_pitch(pitch), start, end) for pitch, start, end in notes]
    if moved := sum(before != after for before, after in zip(notes, folded)):
        logger.warning(
            f"{moved} of {len(notes)} notes of the melody ({moved / len(notes):.0%}) {'was' if moved == 1 else 'were'}"
            " outside G2–B6 and transposed by octaves, so that the melody may jump."
        )
    return folded


def is_method(name: str) -> TypeGuard[Method]:
    """Whether `name` is a method of [`extract_melody`]."""
    return name in METHODS


def _check_method(method: Method, threshold: float, weights: str | os.PathLike | None) -> Method:
    """Validates the arguments, and replaces "auto" by a method."""
    if not is_method(method):
        raise InputError(f"`method` has to be one of {', '.join(METHODS)}, but is {method!r}.", "method")
    to_float(threshold, "threshold", minimum=0, maximum=1)
    if method == "auto":
        method = "builtin" if weights is None else "deep_salience"
        logger.info(f"Estimating the melody with method={method!r}.")
    if (weights is not None) != (method == "deep_salience"):
        raise InputError(
            "method='deep_salience' needs `weights`: the file multif0.h5 of github.com/rabitt/ismir2017-deepsalience."
            if weights is None
            else f"`weights` can only be used with method='deep_salience', not with {method!r}.",
            "weights",
        )
    return method


def _extract(
    stream: AudioStream, method: Method, threshold: float, weights: str | os.PathLike | None, progress: bool
) -> Iterator[np.ndarray]:
    """Computes consecutive blocks of salience `(frames, 53)`, with values below the threshold set to 0."""
    if method == "builtin":
        return (np.where(block < threshold, np.float32(0), block) for block in _run_builtin(stream, progress))
    assert weights is not None
    blocks = deep_salience.salience_blocks(stream, weights, progress)
    return (deep_salience.fold_semitones(np.where(block < threshold, 0, block)) for block in blocks)


def _num_frames(stream: AudioStream) -> int:
    return 1 + int(stream.duration * RATE) // HOP


# The built-in network

_BLOCK = 1024  # frames per forward pass: 12 s


@lru_cache(maxsize=1)
def _builtin_model() -> SalienceModel:
    folder = Path(__file__).parent / "weights" / "melody"
    return SalienceModel.from_pretrained(folder).float().eval().to(memory_format=torch.channels_last)


@torch.inference_mode()
def _run_builtin(stream: AudioStream, progress: bool) -> Iterator[np.ndarray]:
    model, num_frames = _builtin_model(), _num_frames(stream)
    # Levels are relative to the maximum of the whole recording, so it is read twice; every fourth frame is enough for
    # it.
    loudest = -math.inf
    for blocks in stream.frames(_BLOCK * HOP + 2 * CONTEXT, _BLOCK * HOP, before=CONTEXT):
        for block in blocks:
            loudest = max(loudest, log_frequency_levels(torch.tensor(block)[None], stride=4).max().item())
    before = model.context
    size = (_BLOCK + 2 * before) * HOP + 2 * CONTEXT
    start = 0
    with SecondsBar("melody", stream.duration, progress) as bar:
        for blocks in stream.frames(size, _BLOCK * HOP, before=CONTEXT + before * HOP) if loudest > -120 else ():
            for block in blocks:
                levels = log_frequency_levels(torch.tensor(block)[None]) - loudest
                # Frames before the beginning and after the end are omitted instead of silent, as in training.
                first, last = max(before - start, 0), min(num_frames - start + before, levels.shape[1])
                logits = model(levels[:, first:last])[0]
                count = min(_BLOCK, num_frames - start)
                yield logits[before - first : before - first + count].sigmoid().numpy()
                start += _BLOCK
                bar.update(count * HOP / RATE)
    for start in range(start, num_frames, _BLOCK):
        yield np.zeros((min(_BLOCK, num_frames - start), MELODY_BINS), dtype=np.float32)
