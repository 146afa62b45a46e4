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

"""Tempo and the beat grid: beats and downbeats as phases per frame."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ..utils.errors import InputError, shorten
from ..utils.numbers import to_float, to_integer


NUM_BEAT_CHANNELS = 5
SLOWEST = 20.0  # beats per minute
FASTEST = 400.0  # beats per minute
_ON_BEAT = 0.02  # seconds by which downbeats may be off their beats, because times may be rounded


class Tempo(NamedTuple):
    r"""
    A constant tempo.

    Args:
        bpm (`float`): beats per minute. A beat of 6/8 is a dotted quarter.
        beats_per_bar (`int`): beats per bar.
    """

    bpm: float
    beats_per_bar: int

    def __str__(self) -> str:
        return f"{self.bpm:g} BPM, {self.beats_per_bar} beats per bar"


def regular_beats(
    bpm: float, beats_per_bar: int, duration: float, start: float = 0.0
) -> tuple[list[float], list[float]]:
    r"""
    Returns the beats and downbeats of a constant tempo.

    Args:
        bpm (`float`): tempo in beats per minute, from 20 to 400.
        beats_per_bar (`int`): beats per bar, from 1 to 64.
        duration (`float`): end of the piece in seconds.
        start (`float`, defaults to `0.0`): time of the first downbeat in seconds.

    Returns:
        `tuple[list[float], list[float]]`: times of beats and downbeats in seconds, up to the first downbeat at or after
        `duration`.

    Raises:
        [`InputError`]: if `bpm` or `beats_per_bar` is out of range.
    """
    bpm = to_float(bpm, "bpm", minimum=SLOWEST, maximum=FASTEST, unit="beats per minute")
    beats_per_bar = to_integer(beats_per_bar, "beats_per_bar", minimum=1, maximum=64)
    seconds_per_bar = beats_per_bar * 60 / bpm
    num_bars = max(math.ceil((duration - start) / seconds_per_bar - 1e-9), 1)
    beats = (start + np.arange(num_bars * beats_per_bar + 1) * 60 / bpm).tolist()
    return beats, beats[::beats_per_bar]


def check_beats(beats: Any, downbeats: Any = ()) -> tuple[list[float], list[float]]:
    r"""
    Checks the times of beats and downbeats.

    Args:
        beats (`list`, `np.ndarray` or `torch.Tensor`): times in seconds.
        downbeats (`list`, `np.ndarray` or `torch.Tensor`, *optional*): times in seconds.

    Returns:
        `tuple[list[float], list[float]]`: both as lists of `float`.

    Raises:
        [`InputError`]: unless there are at least two beats, all times are finite and increasing, the median tempo is
        from 20 to 400 beats per minute, and each downbeat between the first and the last beat is within 20 ms of a
        beat.
    """
    times = _check_times(beats, "beats")
    if len(times) < 2:
        raise InputError(f"`beats` has to have at least two beats, but is {shorten(beats)}.", "beats")
    bpm = 60 / float(np.median(np.diff(times)))
    if not SLOWEST <= bpm <= FASTEST:
        raise InputError(
            f"`beats` has to have {SLOWEST:g} to {FASTEST:g} beats per minute, but has {bpm:.4g}. Are the times in"
            " seconds?",
            "beats",
        )
    bars = _check_times(downbeats, "downbeats")
    following = np.searchsorted(times, bars).clip(1, len(times) - 1)
    before, after = np.take(times, following - 1), np.take(times, following)
    nearest = np.where(np.subtract(bars, before) < np.subtract(after, bars), before, after)
    for position, (time, beat) in enumerate(zip(bars, nearest)):
        if times[0] < time < times[-1] and abs(time - beat) > _ON_BEAT:
            raise InputError(
                f"`beats`: position {position}: downbeats have to be beats, but the downbeat at {time:g} s is"
                f" {1000 * abs(time - beat):.0f} ms from the nearest beat, {beat:g} s.",
                "beats",
                position,
            )
    return times, bars


def _check_times(times: Any, kind: str) -> list[float]:
    values = times.tolist() if isinstance(times, (np.ndarray, torch.Tensor)) else times
    if not isinstance(values, (list, tuple)):
        raise InputError(f"`beats` has to have the times of {kind} in seconds, but has {shorten(times)}.", "beats")
    checked: list[float] = []
    for position, value in enumerate(values):
        try:
            checked.append(to_float(value, "beats", above=checked[-1] if checked else -math.inf))
        except InputError:
            hint = " For beats and downbeats, use a tuple, `(beats, downbeats)`." if isinstance(value, list) else ""
            raise InputError(
                f"`beats`: position {position}: the times of {kind} have to be finite, increasing numbers of seconds,"
                f" but this one is {shorten(value)}.{hint}",
                "beats",
                position,
            ) from None
    return checked


def complete_downbeats(beats: Sequence[float], downbeats: Sequence[float], beats_per_bar: int) -> list[float]:
    r"""
    Finds the downbeats of beats of which fewer than two are known.

    Args:
        beats (`Sequence[float]`): increasing times of at least two beats in seconds.
        downbeats (`Sequence[float]`): increasing times of known downbeats. By default, the first beat is one.
        beats_per_bar (`int`): beats per bar, from 1 to 64.

    Returns:
        `list[float]`: at least two downbeats in seconds; the second may follow the last beat.

    Raises:
        [`InputError`]: if `beats_per_bar` is out of range.
    """
    beats_per_bar = to_integer(beats_per_bar, "beats_per_bar", minimum=1, maximum=64)
    if len(downbeats) > 1:
        return list(downbeats)
    first = int(np.abs(np.asarray(beats) - downbeats[0]).argmin()) if len(downbeats) else 0
    found = list(beats[first % beats_per_bar :: beats_per_bar])
    while len(found) < 2:
        index = first % beats_per_bar + len(found) * beats_per_bar
        found.append(beats[-1] + (index - len(beats) + 1) * (beats[-1] - beats[-2]))
    return found


def beat_phases(
    beats: Sequence[float], downbeats: Sequence[float], num_frames: int, frame_rate: float
) -> torch.Tensor:
    r"""
    Returns the positions of frames between beats and between downbeats. Between two of them, the phase increases
    linearly; outside, it continues at the rate of the nearest interval.

    Args:
        beats (`Sequence[float]`): increasing times of at least two beats in seconds.
        downbeats (`Sequence[float]`): increasing times of at least two downbeats in seconds.
        num_frames (`int`): number of frames.
        frame_rate (`float`): frames per second; frame i is at the time i / `frame_rate`.

    Returns:
        `torch.Tensor` of shape `(num_frames, 2)`: the beat's and the bar's phase in [0, 1).

    Raises:
        [`InputError`]: for fewer than two times, or times that are not finite and increasing.
    """
    times = np.arange(num_frames) / frame_rate
    columns = [
        _phase(np.asarray(given, float), times, kind) for kind, given in (("beats", beats), ("downbeats", downbeats))
    ]
    return torch.from_numpy(np.stack(columns, axis=1)).float()


def _phase(marks: np.ndarray, times: np.ndarray, kind: str) -> np.ndarray:
    if marks.ndim != 1 or len(marks) < 2 or not np.isfinite(marks).all() or (np.diff(marks) <= 0).any():
        raise InputError(
            f"`beats` has to have at least two increasing times of {kind} in seconds, but got {marks}.", "beats"
        )
    index = np.clip(np.searchsorted(marks, times + 1e-9, side="right") - 1, 0, len(marks) - 2)
    position = (times - marks[index]) / (marks[index + 1] - marks[index])
    # A frame that is on a mark but for rounding has the phase 0.
    phase = np.where(np.abs(position - np.round(position)) < 1e-6, np.round(position), position) % 1.0
    return phase


def phases_to_frames(phases: torch.Tensor) -> torch.Tensor:
    r"""
    Encodes phases as the control that the transformer accepts.

    Args:
        phases (`torch.Tensor` of shape `(..., frames, 2)`):
            The beat's and the bar's phase in [0, 1), as [`beat_phases`] returns them; -1 where they are unknown.

    Returns:
        `torch.Tensor` of shape `(..., frames, 5)`: sine and cosine of the beat's phase, sine and cosine of the bar's
        phase, and 1; or zeros where the phases are unknown.
    """
    known = (phases >= 0).all(dim=-1, keepdim=True)
    angles = 2 * math.pi * phases.float()
    beat, bar = angles[..., :1], angles[..., 1:]
    channels = torch.cat([beat.sin(), beat.cos(), bar.sin(), bar.cos(), torch.ones_like(beat)], dim=-1)
    return channels * known


def beats_to_frames(
    beats: Sequence[float], downbeats: Sequence[float], num_frames: int, frame_rate: float
) -> torch.Tensor:
    """Encodes beats and downbeats as frames `(num_frames, 5)`; see [`beat_phases`] and [`phases_to_frames`]."""
    return phases_to_frames(beat_phases(beats, downbeats, num_frames, frame_rate))


def frames_to_beats(frames: torch.Tensor, frame_rate: float) -> list[float]:
    r"""
    Returns the times of beats, the inverse of [`beats_to_frames`].

    Args:
        frames (`torch.Tensor` of shape `(num_frames, 5)`): the control.
        frame_rate (`float`): frames per second.

    Returns:
        `list[float]`: times in seconds, of the part of the music where beats are known.
    """
    frames = frames.double().cpu()
    known = frames[:, 4] > 0
    times = np.flatnonzero(known) / frame_rate
    phases = np.unwrap(torch.atan2(frames[known, 0], frames[known, 1]).numpy()) / (2 * math.pi)
    if len(phases) < 2:
        return []
    beats = np.arange(math.ceil(phases[0] - 1e-6), math.floor(phases[-1] + 1e-6) + 1)
    return np.interp(beats, phases, times).tolist()
