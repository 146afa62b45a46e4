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

"""Chords, melodies and drums in any form that users give → timelines, frames and waveforms."""

import os
from collections.abc import Callable, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from diffusers.utils import logging
from torch.nn import functional as F

from .audio.io import AUDIO_SUFFIXES, check_file, load_audio
from .audio.resampling import resample
from .controls import CONTROLS
from .controls.chords import Chords, check_chords, chords_from_text_or_file, is_chord, warn_of_held_chord
from .controls.melody import (
    melody_from_matrix,
    melody_from_midi,
    melody_from_notes,
    melody_from_npz,
    melody_from_tensor_file,
)
from .extraction import extract_chords, extract_melody, separate_drums
from .utils.errors import InputError


__all__ = [
    "InputError",
    "as_recording",
    "encode_per_prompt",
    "extract",
    "is_chord_progression",
    "is_drums",
    "is_melody",
    "read_chords",
    "read_drums",
    "read_melody",
]

logger = logging.get_logger(__name__)

T = TypeVar("T")

_MELODY_FILES = ".mid, .midi, .npz, .th, .pt, or be a recording (.wav, .mp3, .flac, ...)"


# 1. Chords


def is_chord_progression(value: Any) -> bool:
    """Whether `value` is one progression, and not a list with one (or `None`) per prompt."""
    if isinstance(value, (str, os.PathLike)):
        return True
    return isinstance(value, (list, tuple)) and (len(value) == 0 or any(is_chord(item) for item in value))


def read_chords(chords: Any, labels: Sequence[str] | None = None, duration: float | None = None) -> Chords:
    r"""
    A progression in any form, with its chords spelled as in the vocabulary and its times in order, as
    [`~controls.chords.check_chords`] puts them.

    Args:
        chords (`list` of `(label, start)`, `str` or `os.PathLike`):
            Labels with their starts in seconds; a text such as `"C:0 Am:2.5"` or `"(C, 0.0), (Am, 2.5)"`; a `.lab`, `.jams`
            or `.mid` file; or a recording (`.wav`, `.mp3`, `.flac`, …), whose chords [`~extraction.extract_chords`]
            estimates. An empty list or text means no progression.
        labels (`Sequence[str]`, *optional*):
            The vocabulary, by default [`~controls.chord_labels.default_chord_labels`].
        duration (`float`, *optional*):
            Length of the music in seconds.

    Returns:
        `list` of `(label, start)`.

    Raises:
        [`InputError`]: for anything else, with the position of an unknown chord or impossible time.
        `FileNotFoundError`: for an absent file.
    """
    if is_audio_file(chords):
        chords = extract(extract_chords, check_file(chords, "chords"), "chords")
    elif isinstance(chords, (str, os.PathLike)):
        chords = chords_from_text_or_file(chords)
    timeline = check_chords(chords, labels, duration)
    if duration is not None:
        warn_of_held_chord(timeline, duration)
    return timeline


# 2. Melody


def is_melody(value: Any) -> bool:
    """
    Whether `value` is one melody (a path, a recording, a matrix or a list of notes), and not a list with one (or `None`)
    per prompt.
    """
    if isinstance(value, (str, os.PathLike, np.ndarray, torch.Tensor)) or is_recording(value):
        return True
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(_is_note(note) for note in value)


def _is_note(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        return False
    return isinstance(value[0], (str, Real)) and all(isinstance(item, Real) for item in value[1:])


def read_melody(melody: Any, num_frames: int, frame_rate: float) -> torch.Tensor:
    r"""
    A melody in any form: a path by its suffix, a recording, a matrix, or a list of notes.

    Args:
        melody (`str`, `os.PathLike`, `tuple`, `dict`, `torch.Tensor`, `np.ndarray` or `list`):
            The melody, as the functions of [`~controls.melody`] take it. That of a recording (a file, `(waveform,
            sampling_rate)` or `{"array", "sampling_rate"}`) is estimated by [`~extraction.extract_melody`].
        num_frames (`int`):
            Frames of the music.
        frame_rate (`float`):
            Frames a second.

    Returns:
        `torch.Tensor` of shape `(num_frames, 53)`: 1 where a semitone from G2 (bin 0, MIDI 43) to B6 sounds, at most one
        per frame.

    Raises:
        [`InputError`]: for anything else, with the position of a note that can't be used.
        `FileNotFoundError`: for an absent file.
    """
    recording = as_recording(melody, "melody")
    if recording is not None:
        matrix = extract(extract_melody, recording, "melody", frame_rate=frame_rate)
        return melody_from_matrix(matrix, num_frames)
    if isinstance(melody, (str, os.PathLike)):
        melody = os.fsdecode(melody)
        suffix = Path(melody).suffix.lower()
        if suffix in (".mid", ".midi"):
            return melody_from_midi(melody, num_frames, frame_rate)
        if suffix == ".npz":
            return melody_from_npz(melody, num_frames, frame_rate)
        if suffix in (".th", ".pt"):
            return melody_from_tensor_file(melody, num_frames)
        raise InputError(f"`melody` files have to end in {_MELODY_FILES}, but this is {melody!r}.", "melody")
    if isinstance(melody, (torch.Tensor, np.ndarray)):
        return melody_from_matrix(melody, num_frames)
    if isinstance(melody, (list, tuple)):
        return melody_from_notes(melody, num_frames, frame_rate)
    raise InputError(
        "`melody` has to be a path, a recording (waveform, sampling_rate), a matrix (53, frames) or notes [(pitch, start,"
        f" end), ...], but is a {type(melody).__name__}.",
        "melody",
    )


# 3. Drums


def is_drums(value: Any) -> bool:
    """
    Whether `value` is one drum recording (a path, `(waveform, sampling_rate)`, or a dictionary with `"array"`), and not a
    list with one (or `None`) per prompt.
    """
    if isinstance(value, tuple):
        return len(value) == 2 and not isinstance(value[0], (str, os.PathLike, dict, tuple)) and value[0] is not None
    return isinstance(value, (str, os.PathLike, dict))


def read_drums(drums: Any, sampling_rate: int, num_samples: int, separate: bool = False) -> torch.Tensor:
    r"""
    A drum recording as the codec takes it: resampled, mixed to mono, and cut or padded with silence at its end, as in
    AudioCraft.

    Args:
        drums (`str`, `os.PathLike`, `tuple` or `dict`):
            Any recording that [`~audio.io.load_audio`] reads.
        sampling_rate (`int`):
            The codec's rate in Hz.
        num_samples (`int`):
            Length of the music in samples.
        separate (`bool`, defaults to `False`):
            Whether the recording is a full mix, of which the drums are taken; see [`~extraction.separate_drums`].

    Returns:
        `torch.Tensor` of shape `(1, num_samples)`: the waveform.

    Raises:
        [`InputError`], `FileNotFoundError`: as [`~audio.io.load_audio`].
    """
    waveform, rate = load_audio(drums, name="drums")
    length = waveform.shape[-1] * sampling_rate // rate
    # A second and 100 samples beyond the music are more than the resampler's filter reaches at any rate.
    waveform = waveform[:, : (num_samples // sampling_rate + 2) * rate + 100]
    if separate:
        waveform, rate = separate_drums(waveform, rate)  # type: ignore[assignment]
    waveform = resample(waveform, rate, sampling_rate).mean(dim=0, keepdim=True)[:, :num_samples]
    surplus = length - num_samples
    if surplus > 0:
        logger.warning(
            f"`drums` has {length / sampling_rate:.2f} s, the music {num_samples / sampling_rate:g} s: the last"
            f" {surplus / sampling_rate:.2f} s of drums are not used."
        )
    return F.pad(waveform, (0, num_samples - waveform.shape[-1]))


# 4. Recordings, of which controls are extracted


def is_audio_file(value: Any) -> bool:
    """Whether `value` is the path of a file with an audio file's suffix."""
    return isinstance(value, (str, os.PathLike)) and Path(os.fsdecode(value)).suffix.lower() in AUDIO_SUFFIXES


def is_recording(value: Any) -> bool:
    """Whether `value` is `(waveform, sampling_rate)` or `{"array", "sampling_rate"}`."""
    if isinstance(value, dict):
        return {"array", "sampling_rate"} <= value.keys()
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and isinstance(value[0], (np.ndarray, torch.Tensor))
        and isinstance(value[1], (Real, np.number))
    )


def as_recording(value: Any, name: str) -> Path | tuple[torch.Tensor, int] | None:
    r"""
    A recording as extractors take it.

    Args:
        value: what the user gave.
        name (`str`): name of the argument, for messages.

    Returns:
        The path of a file, `(waveform, sampling_rate)`, or `None` if `value` is not a recording.

    Raises:
        [`InputError`], `FileNotFoundError`: for an absent file and for a waveform that can't be one.
    """
    if is_audio_file(value):
        return check_file(value, name)
    return load_audio(value, name) if is_recording(value) else None


def extract(
    extractor: Callable[..., Any], recording: Path | tuple[torch.Tensor, int], name: str, **options: Any
) -> Any:
    r"""
    Runs an extractor, which calls the recording `audio`; its errors name the argument that the recording came with.

    Args:
        extractor (`Callable`): such as [`~extraction.extract_chords`].
        recording: as [`as_recording`] returns it.
        name (`str`): name of the argument.
        options: arguments of the extractor.
    """
    try:
        return extractor(recording, **options)
    except InputError as error:
        if error.argument != "audio":
            raise
        raise error.renamed(name) from error


# 5. One control for all prompts, or one per prompt

_IS_SINGLE = dict(zip(CONTROLS, (is_chord_progression, is_drums, is_melody), strict=True))


def encode_per_prompt(name: str, control: Any, num_prompts: int, encode: Callable[[Any], T | None]) -> list[T | None]:
    r"""
    Encodes the control of each prompt: once, if all prompts share it.

    Args:
        name (`str`): the control, one of [`~controls.CONTROLS`].
        control: one for all prompts, or a list with one (or `None`) per prompt.
        num_prompts (`int`): number of prompts.
        encode (`Callable`): the encoder of one control.

    Returns:
        `list` of length `num_prompts`: what `encode` returned, `None` for a prompt without the control.

    Raises:
        [`InputError`]: for a list of another length; from `encode`, with the index of the prompt.
    """
    # Anything else is passed on to the encoder, whose error message is more specific.
    if _IS_SINGLE[name](control) or not isinstance(control, (list, tuple)):
        return [None if control is None else encode(control)] * num_prompts
    if len(control) != num_prompts:
        raise InputError(
            f"`{name}` has {len(control)} elements for {num_prompts} prompt(s). Give one for all prompts, or a list with one"
            " (or `None`) per prompt.",
            name,
        )
    encoded: list[T | None] = []
    for index, value in enumerate(control):
        try:
            encoded.append(None if value is None else encode(value))
        except InputError as error:
            raise error.for_prompt(index) from error
    return encoded
