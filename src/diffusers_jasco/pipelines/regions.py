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

"""Regions of a recording that are made anew: which samples and frames are known, and how the result is put together."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from ..utils.errors import InputError, shorten
from ..utils.numbers import is_number, to_float


# Seconds of the fades at the borders of a region, at most a quarter of the region.
FADE = 0.05
# Seconds by which a region may end after the music, as durations of files are often rounded.
_TOLERANCE = 0.01

Regions = list[tuple[float, float]]


def read_regions(starts: Any, ends: Any, num_pieces: int, duration: float) -> list[Regions]:
    r"""
    Checks the regions that are made anew.

    Args:
        starts, ends (`float`, `list[float]` or `list[list[float]]`, *optional*):
            The borders of the regions in seconds: those of one region or of several, for all pieces or a list of lists
            with those of each piece.
        num_pieces (`int`): number of pieces.
        duration (`float`): duration of the music in seconds, after which regions must not end. They are cut there if they
            end up to 10 ms later.

    Returns:
        `list[Regions]`: the regions `(start, end)` of each piece, in order.

    Raises:
        [`~inputs.InputError`]: for regions that are empty, reversed, overlapping or outside the music, and for lists
            that do not match.
    """
    names = ("mask_start_seconds", "mask_end_seconds")
    if (starts is None) != (ends is None):
        missing = names[starts is not None]
        raise InputError(f"`{missing}` is missing: each region has a start and an end.", missing)
    if starts is None:
        return [[] for _ in range(num_pieces)]
    first, last = (_rows(value, name, num_pieces) for value, name in zip((starts, ends), names))
    return [_check(*borders, duration) for borders in zip(first, last)]


def _rows(value: Any, name: str, num_pieces: int) -> list[list[float]]:
    """The borders of each piece."""
    value = _to_list(value)
    if is_number(value):
        value = [value]
    if not isinstance(value, list):
        raise InputError(f"`{name}` has to be seconds or a list of them, but is {shorten(value)}.", name)
    rows = [_to_list(single) for single in value]
    if not any(isinstance(row, list) for row in rows):
        return [[to_float(second, name, unit="seconds") for second in rows]] * num_pieces
    if len(rows) != num_pieces:
        raise InputError(f"`{name}` has {len(rows)} lists for {num_pieces} piece(s).", name)
    for row in rows:
        if not isinstance(row, list):
            raise InputError(
                f"`{name}` has to have a list of seconds for each piece, but one is {shorten(row)}.", name
            )
    return [[to_float(second, name, unit="seconds") for second in row] for row in rows]


def _to_list(value: Any) -> Any:
    """Arrays and sequences as a list, anything else unchanged."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else value


def _check(starts: list[float], ends: list[float], duration: float) -> Regions:
    if len(starts) != len(ends):
        raise InputError(
            f"`mask_end_seconds` has {len(ends)} elements, but `mask_start_seconds` has {len(starts)}.",
            "mask_end_seconds",
        )
    regions = sorted(zip(starts, ends))
    for start, end in regions:
        if not 0 <= start < end <= duration + _TOLERANCE or start >= duration:
            raise InputError(
                f"Regions have to start before they end, and to lie within the music of {duration:g} s, but one is from"
                f" {start:g} to {end:g} s.",
                "mask_start_seconds",
            )
    for (_, end), (start, _) in zip(regions, regions[1:]):
        if start < end:
            raise InputError(
                f"Regions must not overlap, but one starts at {start:g} s, before {end:g} s.", "mask_start_seconds"
            )
    return [(start, min(end, duration)) for start, end in regions]


def mark_known(regions: Regions, first: int, last: int, num_samples: int, rate: int) -> torch.Tensor:
    r"""
    Marks the samples that are kept.

    Args:
        regions (`Regions`): the regions that are made anew, in seconds.
        first (`int`), last (`int`): the samples of the music that the recording covers.
        num_samples (`int`): length of the music.
        rate (`int`): samples per second.

    Returns:
        `torch.Tensor` of shape `(num_samples,)`: `True` for samples of the recording outside the regions.
    """
    known = torch.zeros(num_samples, dtype=torch.bool)
    known[first:last] = True
    for start, end in regions:
        known[round(start * rate) : round(end * rate)] = False
    return known


def known_frames(known: torch.Tensor, hop: int, before: int, after: int) -> torch.Tensor:
    r"""
    Returns the frames whose latents depend on kept samples only.

    Args:
        known (`torch.Tensor` of shape `(samples,)`): the samples that are kept.
        hop (`int`): samples per frame. An incomplete last frame counts as well.
        before (`int`), after (`int`): number of frames before and after a change of the sound that it alters; see
            [`~codecs.measure_reach`].

    Returns:
        `torch.Tensor` of shape `(frames,)`: `True` for known frames.
    """
    padded = F.pad(known, (0, -len(known) % hop), value=True)
    unknown = (~padded.view(-1, hop)).any(dim=1).float()
    return F.max_pool1d(F.pad(unknown[None, None], (after, before)), before + after + 1, stride=1)[0, 0] == 0


def splice(
    generated: torch.Tensor, recording: torch.Tensor, known: torch.Tensor, first: int, last: int, rate: int
) -> torch.Tensor:
    r"""
    Puts generated music into the regions of a recording. Outside of them, the samples are those of the recording. In a
    region, the recording fades into the generated music and back (at equal power). Where the recording ends,
    the difference at the border, mirrored in time, fades out instead, which prevents a click.

    Args:
        generated (`torch.Tensor` of shape `(channels, samples)`): the generated music.
        recording (`torch.Tensor` of shape `(channels, samples)`): the recording on the same timeline.
        known (`torch.Tensor` of shape `(samples,)`): the samples that are kept, as [`mark_known`] returns them.
        first (`int`), last (`int`): the samples of the music that the recording covers.
        rate (`int`): samples per second.

    Returns:
        `torch.Tensor` of shape `(channels, samples)`.
    """
    result = torch.where(known, recording, generated)
    changes = known.long().diff().nonzero()[:, 0].tolist()
    borders = [0, *(change + 1 for change in changes), len(known)]
    for start, end in zip(borders, borders[1:]):
        length = 0 if known[start] else min(round(FADE * rate), (end - start) // 4)
        if start > 0 and length:
            result[:, start : start + length] = _fade(generated, recording, start, length, first, last)
        if end < len(known) and length:
            # The end of a region is the beginning of one in reversed time.
            size = len(known)
            flipped = generated.flip(-1), recording.flip(-1), size - end, length, size - last, size - first
            result[:, end - length : end] = _fade(*flipped).flip(-1)
    return result


def _fade(
    generated: torch.Tensor, recording: torch.Tensor, start: int, length: int, first: int, last: int
) -> torch.Tensor:
    """The first `length` samples of a region that begins at `start`."""
    angle = torch.linspace(0, math.pi / 2, length, device=generated.device)
    part = slice(start, start + length)
    if start + length <= last:
        return recording[:, part] * angle.cos() + generated[:, part] * angle.sin()
    before = slice(max(start - length, first), start)
    difference = (recording[:, before] - generated[:, before]).flip(-1)
    difference = F.pad(difference, (0, length - difference.shape[-1]))
    return generated[:, part] + difference * angle.cos()
