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

"""Regions of recordings that are regenerated, and how new music is put into them."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from ..utils.errors import InputError, shorten
from ..utils.numbers import to_float


# Seconds of the fades at the borders of a region, at most a quarter of the region.
FADE = 0.05
# Seconds by which a region may end after the music, as durations of files are often rounded.
_TOLERANCE = 0.01

Regions = list[tuple[float, float]]


def read_pairs(regions: Any, name: str) -> Regions:
    r"""
    Converts regions to pairs of numbers.

    Args:
        regions (`Sequence[tuple[float, float]]`, `torch.Tensor` or `np.ndarray`): start and end of each region in seconds.
        name (`str`): name of the argument for error messages.

    Raises:
        [`~inputs.InputError`]: for anything else.
    """
    regions = regions.tolist() if hasattr(regions, "tolist") else regions
    pairs = []
    for region in regions if isinstance(regions, Sequence) and not isinstance(regions, str) else [regions]:
        if not isinstance(region, Sequence) or isinstance(region, str) or len(region) != 2:
            raise InputError(
                f"`{name}` has to be a list of pairs of start and end in seconds, but contains {shorten(region)}.",
                name,
            )
        pairs.append((to_float(region[0], name, unit="seconds"), to_float(region[1], name, unit="seconds")))
    return pairs


def check_regions(regions: Sequence[tuple[float, float]], duration: float, name: str) -> Regions:
    r"""
    Checks the regions of a piece.

    Args:
        regions (`Sequence[tuple[float, float]]`): start and end of each region in seconds, in any order. They may
            touch each other.
        duration (`float`): duration of the piece in seconds. Regions that end up to 10 ms later are cut there.
        name (`str`): name of the argument for error messages.

    Returns:
        `list[tuple[float, float]]`: the regions in order.

    Raises:
        [`~inputs.InputError`]: for regions that are empty, reversed, overlapping or outside the piece.
    """
    regions = sorted(regions)
    for start, end in regions:
        if not 0 <= start < end <= duration + _TOLERANCE or start >= duration:
            raise InputError(
                f"`{name}`: regions have to start before they end, and to lie within the music of {duration:g} s, but one is"
                f" from {start:g} to {end:g} s.",
                name,
            )
    for (_, end), (start, _) in zip(regions, regions[1:]):
        if start < end:
            raise InputError(
                f"`{name}`: regions must not overlap, but one starts at {start:g} s, before another ends at {end:g} s.",
                name,
            )
    return [(start, min(end, duration)) for start, end in regions]


def mark_known(regions: Regions, first: int, last: int, num_samples: int, rate: int) -> torch.Tensor:
    r"""
    Marks the samples that are kept.

    Args:
        regions (`Regions`): the regions that are regenerated, in seconds.
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
