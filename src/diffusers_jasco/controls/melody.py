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

"""Converts melodies (notes, files and matrices) to a matrix with one semitone per frame."""

import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.utils import logging
from torch.nn import functional as F

from ..audio.waveforms import to_real_tensor
from ..utils.errors import InputError, shorten
from ..utils.numbers import to_float
from .midi import check_start, split_track
from .midi_melody import choose_melody_track, pitched_tracks
from .midi_parsing import load_midi


logger = logging.get_logger(__name__)

MELODY_BINS = 53
LOWEST_PITCH = 43  # MIDI number of bin 0: G2
HIGHEST_PITCH = LOWEST_PITCH + MELODY_BINS - 1  # B6
SALIENCE_RATE = 22050 / 256  # Hz; frame rate of AudioCraft's extractor and of ours

_BLOCK = 1024  # frames of salience that are interpolated at once
_NAME = re.compile(r"([A-Ga-g])([#♯b♭]*)(-?\d{1,2})")
_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def orient_matrix(matrix: torch.Tensor | np.ndarray, name: str = "The matrix of `melody`") -> torch.Tensor:
    r"""
    Transposes a melody matrix to one row per frame, if necessary. A square matrix is oriented so that frames have at
    most one semitone; if that is ambiguous, it is treated as `(53, frames)`, with a warning.

    Args:
        matrix (`torch.Tensor` or `np.ndarray` of shape `(53, frames)` or `(frames, 53)`): the melody.
        name (`str`): description of the matrix for error messages.

    Returns:
        `torch.Tensor` of shape `(frames, 53)` in float32.

    Raises:
        [`InputError`]: if the shape is invalid or values are not finite.
    """
    matrix = to_real_tensor(matrix, name, "melody").float()
    if matrix.ndim != 2 or MELODY_BINS not in matrix.shape or 0 in matrix.shape:
        raise InputError(
            f"{name} has to be ({MELODY_BINS}, frames) or (frames, {MELODY_BINS}), but has shape"
            f" {tuple(matrix.shape)}.",
            "melody",
        )
    if not matrix.isfinite().all():
        raise InputError(f"{name} has values that are not finite (NaN or infinite).", "melody")
    if matrix.shape[0] != matrix.shape[1]:
        return matrix.T if matrix.shape[0] == MELODY_BINS else matrix
    by_row, by_column = (bool(((matrix != 0).sum(dim=axis) <= 1).all()) for axis in (1, 0))
    if by_row == by_column:
        logger.warning(
            f"{name} is square: it is treated as ({MELODY_BINS}, frames). Transpose it if it is"
            f" (frames, {MELODY_BINS})."
        )
    return matrix if by_row and not by_column else matrix.T


def melody_from_matrix(
    matrix: torch.Tensor | np.ndarray, num_frames: int, frame_rate: float | None = None
) -> torch.Tensor:
    r"""
    Pads or cuts a melody matrix at the frame rate of the model. Missing frames are silent; cutting causes a warning. At
    another frame rate, use notes: see [`melody_to_notes`].

    Args:
        matrix (`torch.Tensor` or `np.ndarray` of shape `(53, frames)` or `(frames, 53)`):
            The melody; see [`orient_matrix`] for square matrices. Models are trained on at most one 1 per frame; other
            values cause a warning.
        num_frames (`int`):
            Number of frames of the music.
        frame_rate (`float`, *optional*):
            Frame rate of the music in Hz. With it, a matrix that is much shorter or longer than the music, probably
            because it has another frame rate, causes a warning.

    Returns:
        `torch.Tensor` of shape `(num_frames, 53)`.

    Raises:
        [`InputError`]: if the shape is invalid or values are not finite.
    """
    matrix = orient_matrix(matrix)
    if not ((matrix == 0) | (matrix == 1)).all() or (matrix.sum(dim=1) > 1).any():
        logger.warning(
            "The matrix of `melody` is not one-hot: models are trained on at most one 1 per frame, so round or threshold it."
        )

    length = matrix.shape[0]
    if frame_rate is not None and not 0.75 * num_frames < length < 1.9 * num_frames:
        logger.warning(
            f"The matrix of `melody` has {length} frames ({length / frame_rate:g} s at the model's {frame_rate:g} Hz), but the"
            f" music has {num_frames} ({num_frames / frame_rate:g} s). If it has another frame rate, pass its notes instead:"
            " `melody_to_notes(matrix, frame_rate)`."
        )
    surplus = length - num_frames
    if surplus > 0:
        logger.warning(
            f"`melody` has {length} frames, but the music has {num_frames}: the last {surplus} are not used."
        )
    return F.pad(matrix[:num_frames], (0, 0, 0, max(0, -surplus))).contiguous()


def check_salience(salience: torch.Tensor | np.ndarray) -> torch.Tensor:
    r"""
    Converts salience `(53, frames)` or `(frames, 53)` to float32 `(53, frames)`. A square matrix is treated as
    `(53, frames)`.

    Raises:
        [`InputError`]: if the shape is invalid or values are not finite.
    """
    salience = to_real_tensor(salience, "The salience of `melody`", "melody").float()
    if salience.ndim != 2 or MELODY_BINS not in salience.shape:
        raise InputError(
            f"The salience of `melody` has to be ({MELODY_BINS}, frames) or (frames, {MELODY_BINS}), but has"
            f" shape {tuple(salience.shape)}.",
            "melody",
        )
    if not salience.isfinite().all():
        raise InputError("The salience of `melody` has values that are not finite (NaN or infinite).", "melody")
    return salience if salience.shape[0] == MELODY_BINS else salience.T


def melody_from_salience(
    salience: torch.Tensor | np.ndarray, num_frames: int, frame_rate: float, salience_rate: float = SALIENCE_RATE
) -> torch.Tensor:
    r"""
    Interpolates salience to the frames of the model and selects the strongest semitone per frame, or none if no
    semitone exceeds the threshold of the extractor.

    Args:
        salience (`torch.Tensor` or `np.ndarray` of shape `(53, frames)`):
            Salience of the semitones from G2 to B6, 0 below the threshold.
        num_frames (`int`):
            Number of frames of the music. Frames after the end of the salience are silent.
        frame_rate (`float`):
            Frame rate in Hz; frame `i` is at `i / frame_rate` seconds.
        salience_rate (`float`, defaults to 22050 / 256):
            Frame rate of the salience in Hz.

    Returns:
        `torch.Tensor` of shape `(num_frames, 53)`.

    Raises:
        [`InputError`]: if the shape is invalid or values are not finite.
    """
    blocks = (part.T for part in check_salience(salience).split(_BLOCK, dim=1))
    return bins_to_matrix(bins_from_salience(blocks, num_frames, frame_rate, salience_rate))


def bins_from_salience(
    blocks: Iterable[torch.Tensor | np.ndarray],
    num_frames: int,
    frame_rate: float,
    salience_rate: float = SALIENCE_RATE,
) -> torch.Tensor:
    r"""
    The melody of [`melody_from_salience`] as one number per frame, in bounded memory.

    Args:
        blocks (`Iterable`): consecutive parts of the salience, each `(frames, 53)` in float32.
        num_frames, frame_rate, salience_rate: see [`melody_from_salience`].

    Returns:
        `torch.Tensor` of shape `(num_frames,)` in int8: the strongest semitone of each frame above G2, -1 for rests.
    """
    bins = torch.full((num_frames,), -1, dtype=torch.int8)
    done = first = 0  # frames that are done, and the index of the first row in `rest`
    rest = torch.zeros(0, MELODY_BINS)

    def fill(end: int) -> int:
        """Fills the frames at positions before row `end`."""
        last = min(math.ceil(end * frame_rate / salience_rate) + 1, num_frames)
        positions = torch.arange(done, max(last, done)).double() * (salience_rate / frame_rate)
        positions = positions[positions < end]
        before = positions.long()
        after = (before + 1).clamp(max=first + len(rest) - 1)
        part = (positions - before).float()[:, None]
        values = rest[before - first] * (1 - part) + rest[after - first] * part
        highest, strongest = values.max(dim=1)
        bins[done : done + len(positions)] = torch.where(highest != 0, strongest, -1).to(torch.int8)
        return done + len(positions)

    for block in blocks:
        rest = torch.cat([rest, torch.as_tensor(block)])
        # The last row is interpolated with the next one.
        done = fill(first + len(rest) - 1)
        surplus = min(int(done * salience_rate / frame_rate) - first, len(rest) - 1)
        if surplus > 0:
            rest, first = rest[surplus:], first + surplus
    fill(first + len(rest))
    return bins


def bins_to_matrix(bins: torch.Tensor) -> torch.Tensor:
    """Converts the bins of [`bins_from_salience`] to a matrix `(frames, 53)`."""
    # The memory of zeros from NumPy is taken only where they are replaced.
    matrix = torch.from_numpy(np.zeros((MELODY_BINS, len(bins)), dtype=np.float32))
    frames = (bins >= 0).nonzero()[:, 0]
    matrix[bins[frames].long(), frames] = 1
    return matrix.T


def melody_from_npz(
    path: str | os.PathLike,
    num_frames: int,
    frame_rate: float,
    place: Callable[..., torch.Tensor] = melody_from_salience,
    start: float = 0.0,
) -> torch.Tensor:
    r"""
    Reads a salience map of AudioCraft's extractor or of [`~extraction.extract_salience`].

    Args:
        path (`str` or `os.PathLike`):
            `.npz` file with the array `salience` of shape `(53, frames)`.
        num_frames (`int`):
            Number of frames of the music.
        frame_rate (`float`):
            Frame rate in Hz.
        place (`Callable`, defaults to [`melody_from_salience`]):
            Function of `(salience, num_frames, frame_rate)` that returns the melody.
        start (`float`, defaults to `0.0`):
            Start of the music within the file, in seconds.

    Returns:
        `torch.Tensor` of shape `(num_frames, 53)`; see [`melody_from_salience`].

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the file has no such array.
    """
    path = _existing(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            salience = arrays["salience"].astype(np.float32)
    # NumPy and zipfile raise many types of errors for damaged archives.
    except Exception as error:
        raise InputError(
            f"`melody`: {path} can't be read as salience ({type(error).__name__}: {error}).", "melody"
        ) from error
    if start:
        salience = salience[:, round(start * SALIENCE_RATE) :]
        if salience.ndim == 2 and salience.shape[1] == 0:
            raise InputError(f"`start` is {start:g} s, but `melody` ({path}) is shorter.", "start")
    melody = place(salience, num_frames, frame_rate)
    surplus = (salience.shape[1] - 1) / SALIENCE_RATE - num_frames / frame_rate
    if surplus > 0:
        logger.warning(f"`melody`: {path} is longer than the music: its last {surplus:.2f} s are not used.")
    return melody


def melody_from_tensor_file(path: str | os.PathLike, num_frames: int, frame_rate: float | None = None) -> torch.Tensor:
    r"""
    Reads a matrix that was saved with `torch.save`, as in AudioCraft's demo. Only tensors are loaded; no code in the
    file is executed.

    Args:
        path (`str` or `os.PathLike`): `.th` or `.pt` file.
        num_frames (`int`): number of frames of the music.
        frame_rate (`float`, *optional*): see [`melody_from_matrix`].

    Returns:
        `torch.Tensor` of shape `(num_frames, 53)`; see [`melody_from_matrix`].

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the file does not contain a single tensor of a valid shape.
    """
    path = _existing(path)
    try:
        matrix = torch.load(path, map_location="cpu", weights_only=True)
    # PyTorch and pickle raise many types of errors for damaged files, and reject files that would execute code.
    except Exception as error:
        raise InputError(f"`melody`: {path} can't be read as a tensor ({type(error).__name__}).", "melody") from error
    if not torch.is_tensor(matrix):
        raise InputError(
            f"`melody`: {path} has to contain a tensor, but contains a {type(matrix).__name__}.", "melody"
        )
    return melody_from_matrix(matrix, num_frames, frame_rate)


def melody_from_notes(
    notes: Sequence[tuple[str | float, float, float]], num_frames: int, frame_rate: float
) -> torch.Tensor:
    r"""
    Converts notes `(pitch, start, end)` to a matrix. A note occupies the frames that start within it, or the next
    frame if there are none. If notes overlap, the highest is kept; notes outside G2 ... B6 are transposed by octaves;
    notes are cut off at the end of the music. Each of these changes causes a warning.

    Args:
        notes (`list` of `(pitch, start, end)`):
            Pitch as MIDI number or name (`60`, `"C4"`, `"F#5"`, `"Bb3"`), start and end in seconds.
        num_frames (`int`):
            Number of frames of the music.
        frame_rate (`float`):
            Frame rate in Hz.

    Returns:
        `torch.Tensor` of shape `(num_frames, 53)`.

    Raises:
        [`InputError`]: if a pitch is unknown, a time is negative or not finite, or an end is not after its start.
    """
    parsed, folded, late, duration = [], 0, 0, num_frames / frame_rate
    after: list[float] = []  # starts of notes after the end
    for position, note in enumerate(notes):
        if not isinstance(note, (list, tuple)) or len(note) != 3:
            raise InputError(
                f"`melody`: note {position} has to be (pitch, start, end), but is {shorten(note)}.", "melody", position
            )
        pitch = parse_pitch(note[0], position)
        start, end = (_parse_time(value, position) for value in note[1:])
        if not end > start:
            raise InputError(
                f"`melody`: note {position} has to end after its start ({start} s), but ends at {end} s.",
                "melody",
                position,
            )
        inside = fold_pitch(pitch)
        folded += inside != pitch
        # Tolerance for times such as 0.58 s, which is frame 28.999999999999996 at 50 Hz.
        first, last = (math.ceil(min(time, duration) * frame_rate - 1e-6) for time in (start, end))
        last = max(last, first + 1)
        if start >= duration:
            after.append(start)
        else:
            late += end > duration + 0.5 / frame_rate
        parsed.append((inside, first, last, start, end))

    matrix = torch.zeros(num_frames, MELODY_BINS)
    overlapping = 0
    parsed.sort()
    # The first start and the last end in each frame: consecutive notes may share a frame.
    starts, ends = np.full(num_frames, np.inf), np.full(num_frames, -np.inf)
    for pitch, first, last, start, end in parsed:
        overlapping += bool(((starts[first:last] < end - 1e-6) & (ends[first:last] > start + 1e-6)).any())
        np.minimum(starts[first:last], start, out=starts[first:last])
        np.maximum(ends[first:last], end, out=ends[first:last])
        matrix[first:last] = 0
        matrix[first:last, pitch - LOWEST_PITCH] = 1
    if folded:
        logger.warning(f"`melody`: {folded} note(s) outside G2 ... B6 were transposed by octaves.")
    if overlapping:
        logger.warning(f"`melody`: {overlapping} note(s) overlap with lower notes; the highest note is kept.")
    if late:
        logger.warning(f"`melody`: {late} note(s) last longer than the music ({duration:g} s) and were cut off.")
    if after and len(after) == len(parsed):
        logger.warning(
            f"`melody`: all notes start after the end of the music ({duration:g} s), from {min(after):g} s on, so the"
            " melody is empty."
        )
    elif after:
        logger.warning(
            f"`melody`: {len(after)} note(s) start after the end of the music ({duration:g} s) and are not used."
        )
    return matrix


def fold_pitch(pitch: int) -> int:
    """Transposes a MIDI number to G2–B6 by octaves."""
    if pitch < LOWEST_PITCH:
        return LOWEST_PITCH + (pitch - LOWEST_PITCH) % 12
    return HIGHEST_PITCH - (HIGHEST_PITCH - pitch) % 12 if pitch > HIGHEST_PITCH else pitch


def melody_from_midi(
    path: str | os.PathLike,
    num_frames: int,
    frame_rate: float,
    track: str | int | None = None,
    start: float = 0.0,
) -> torch.Tensor:
    r"""
    Reads a track of a MIDI file. If there are several tracks, the choice is logged.

    Args:
        path (`str` or `os.PathLike`):
            The MIDI file; `"song.mid#vocals"` or `"song.mid#3"` selects a track.
        num_frames (`int`):
            Number of frames of the music.
        frame_rate (`float`):
            Frame rate in Hz.
        track (`str` or `int`, *optional*):
            Name or index of the track; by default the melody, see [`~controls.midi_melody.choose_melody_track`].
        start (`float`, defaults to `0.0`):
            Start of the music within the file, in seconds. Notes that are sounding at this time start at 0.

    Returns:
        `torch.Tensor` of shape `(num_frames, 53)`; see [`melody_from_notes`].

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the file is not MIDI or has no notes, the track is unknown, or `start` is after the end.
    """
    path, named = split_track(path)
    track = named if track is None else track
    midi = load_midi(path, "melody")
    check_start(start, midi.tracks, "melody")
    end = start + num_frames / frame_rate
    if track is None:
        index = choose_melody_track(midi, start, end)
    else:
        index = midi.find_track(track, pitched_tracks(midi), "melody")
    chosen = midi.tracks[index]
    inside = (chosen.ends > np.maximum(chosen.starts, start)) & (chosen.starts < end)
    if not inside.any():
        logger.warning(
            f"`melody`: track {midi.describe(index)} of {path} has no notes from {start:g} to {end:g} s, so the melody"
            f" is empty: its notes are from {chosen.starts.min():.2f} to {chosen.ends.max():.2f} s."
        )
    elif (last := float(chosen.ends.max())) > end + 0.5 / frame_rate:
        logger.warning(
            f"`melody`: track {midi.describe(index)} of {path} lasts until {last:.2f} s; it is used from {start:g} to"
            f" {end:g} s."
        )
    starts = (chosen.starts[inside] - start).clip(min=0)
    ends = (chosen.ends[inside] - start).clip(max=num_frames / frame_rate)
    return melody_from_notes(
        list(zip(chosen.pitches[inside].tolist(), starts.tolist(), ends.tolist())), num_frames, frame_rate
    )


def melody_to_notes(matrix: torch.Tensor | np.ndarray, frame_rate: float) -> list[tuple[int, float, float]]:
    r"""
    Converts a melody matrix to notes: runs of frames with the same semitone. Times in seconds fit pipelines of any frame
    rate, unlike the matrix.

    Args:
        matrix (`torch.Tensor` or `np.ndarray` of shape `(53, frames)` or `(frames, 53)`):
            The melody: semitones from G2 (row 0, MIDI 43) to B6 (row 52, MIDI 95). If a frame has several, the one with
            the highest value counts. See [`orient_matrix`] for square matrices.
        frame_rate (`float`): frame rate of the matrix in Hz: the one with which it was extracted.

    Returns:
        `list` of `(MIDI number, start, end)` in temporal order: MIDI numbers from 43 to 95, and times in seconds, which
        are multiples of `1 / frame_rate`. Repeated notes without an empty frame between them are merged. Notes that were
        transposed by octaves to fit the matrix stay transposed.

    Raises:
        [`InputError`]: if the shape is invalid, values are not finite, or the frame rate is not positive.
    """
    frame_rate = to_float(frame_rate, "frame_rate", above=0, unit="frames per second")
    return frames_to_notes(orient_matrix(matrix), frame_rate)


def frames_to_notes(frames: torch.Tensor, frame_rate: float) -> list[tuple[int, float, float]]:
    """Converts a melody `(frames, 53)` to notes as [`melody_to_notes`] does, without validation."""
    return bins_to_notes(torch.where(frames.any(dim=1), frames.argmax(dim=1), -1).cpu(), frame_rate)


def bins_to_notes(bins: torch.Tensor, frame_rate: float) -> list[tuple[int, float, float]]:
    """Converts the bins of [`bins_from_salience`] to notes as [`melody_to_notes`] does."""
    values, lengths = torch.unique_consecutive(bins, return_counts=True)
    ends = lengths.cumsum(0)
    runs = zip(values.tolist(), (ends - lengths).tolist(), ends.tolist())
    return [(LOWEST_PITCH + value, first / frame_rate, last / frame_rate) for value, first, last in runs if value >= 0]


def notes_to_bins(
    notes: Sequence[tuple[int, float, float]], num_frames: int, frame_rate: float, gap: int = 1
) -> torch.Tensor:
    r"""
    Converts notes to the bins of [`bins_from_salience`]. Unlike in [`melody_from_notes`], a note that is repeated
    without a rest is preceded by empty frames, so that [`melody_to_notes`] returns both notes.

    Args:
        notes (`list` of `(MIDI number, start, end)`):
            Notes from G2 to B6 in temporal order, without overlaps; times in seconds.
        num_frames (`int`): number of frames of the music.
        frame_rate (`float`): frame rate in Hz.
        gap (`int`, defaults to `1`):
            Number of empty frames. A note keeps at least one frame, so very short notes can still be merged.

    Returns:
        `torch.Tensor` of shape `(num_frames,)` in int8.
    """
    bins = torch.full((num_frames,), -1, dtype=torch.int8)
    previous, previous_first = None, 0
    for pitch, start, end in notes:
        first, last = (math.ceil(time * frame_rate - 1e-6) for time in (start, end))
        if pitch == previous:
            bins[max(first - gap, previous_first + 1) : first] = -1
        bins[first : max(last, first + 1)] = pitch - LOWEST_PITCH
        previous, previous_first = pitch, first
    return bins


def _existing(path: str | os.PathLike) -> Path:
    path = Path(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"`melody`: the file {path} does not exist.")
    return path


def parse_pitch(pitch: Any, position: int) -> int:
    """
    Converts a pitch (name or number) to its MIDI number, or raises an [`InputError`] with the position of the note.
    """
    number = None
    if isinstance(pitch, str):
        match = _NAME.fullmatch(pitch.strip())
        if match and len(match[2]) <= 2:
            accidentals = sum(1 if sign in "#♯" else -1 for sign in match[2])
            number = 12 * (int(match[3]) + 1) + _SEMITONES[match[1].upper()] + accidentals
    elif (value := _to_float(pitch)).is_integer():
        number = int(value)
    if number is None or not 0 <= number <= 127:
        raise InputError(
            f"`melody`: the pitch of note {position} has to be a MIDI number from 0 to 127 or a name such as 'C4',"
            f" 'F#5' or 'Bb3', but is {shorten(pitch)}.",
            "melody",
            position,
        )
    return number


def _parse_time(value: Any, position: int) -> float:
    seconds = _to_float(value)
    if not 0 <= seconds < math.inf:
        raise InputError(
            f"`melody`: times of note {position} have to be seconds, at least 0, but one is {shorten(value)}.",
            "melody",
            position,
        )
    return seconds


def _to_float(value: Any) -> float:
    """Converts a finite number to `float`; NaN for other values."""
    try:
        return to_float(value, "melody")
    except InputError:
        return math.nan
