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

"""Reads the regions of recordings that are regenerated, and determines which frames are known."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from ..audio.regions import Regions, check_regions
from ..utils.errors import InputError, shorten
from ..utils.numbers import is_number, to_float


def read_regions(starts: Any, ends: Any, num_pieces: int, duration: float) -> list[Regions]:
    r"""
    Checks the regions that are regenerated.

    Args:
        starts, ends (`float`, `list[float]` or `list[list[float]]`, *optional*):
            The borders of the regions in seconds: those of one region or of several, for all pieces or a list of lists
            with those of each piece. Regions may be in any order and touch each other.
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
    regions = []
    for index, borders in enumerate(zip(first, last)):
        try:
            regions.append(_pair(*borders, duration))
        except InputError as error:
            raise error.for_prompt(index) if num_pieces > 1 else error
    return regions


def _rows(value: Any, name: str, num_pieces: int) -> list[list[float]]:
    """The borders of each piece."""
    value = to_list(value)
    if is_number(value):
        value = [value]
    if not isinstance(value, list):
        raise InputError(f"`{name}` has to be seconds or a list of them, but is {shorten(value)}.", name)
    rows = [to_list(single) for single in value]
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


def to_list(value: Any) -> Any:
    """Arrays and sequences as a list, anything else unchanged."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else value


def _pair(starts: list[float], ends: list[float], duration: float) -> Regions:
    if len(starts) != len(ends):
        raise InputError(
            f"`mask_end_seconds` has {len(ends)} elements, but `mask_start_seconds` has {len(starts)}.",
            "mask_end_seconds",
        )
    return check_regions(list(zip(starts, ends)), duration, "mask_start_seconds")


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
