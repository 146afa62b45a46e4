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

"""The velocity of pieces that are longer than the window of the training: many windows that overlap."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from ..conditioning import JascoConditioning
from .denoising import GuidedVelocity


class Window(NamedTuple):
    r"""
    A window of the timeline.

    Args:
        first (`int`), last (`int`): the frames `first` to `last` (exclusive) that the transformer sees at once.
        owned (`torch.Tensor` of shape `(owned frames,)`): the frames whose velocity is taken from this window, in order.
    """

    first: int
    last: int
    owned: torch.Tensor


def place_windows(num_frames: int, window: int, overlap: int, multiple: int = 1) -> list[Window]:
    r"""
    Covers a timeline with overlapping windows at equal distances. In an overlap, the frames belong to the two windows
    by turns: averages of both would lose high frequencies ([arXiv 2502.05130](https://arxiv.org/abs/2502.05130)).

    Args:
        num_frames (`int`): length of the timeline in frames.
        window (`int`): length of a window in frames.
        overlap (`int`): least number of frames that neighboring windows share, less than `window`.
        multiple (`int`, defaults to `1`): the windows start at multiples of this number of frames.

    Returns:
        `list[Window]`: the windows, in order. Each frame is owned by exactly one of them.
    """
    if num_frames <= window:
        return [Window(0, num_frames, torch.arange(num_frames))]
    # Starts are rounded down to multiples, which must not reduce an overlap.
    step = max(multiple, (window - overlap) // multiple * multiple)
    count = 1 + math.ceil((num_frames - window) / step)
    rest = math.ceil((num_frames - window) / multiple)
    starts = [rest * number // (count - 1) * multiple for number in range(count)]
    ends = [min(start + window, num_frames) for start in starts]
    owner = torch.zeros(num_frames, dtype=torch.long)
    for number in range(1, count):
        owner[starts[number] :] = number
        owner[starts[number] : ends[number - 1] : 2] = number - 1
    return [
        Window(start, end, start + (owner[start:end] == number).nonzero()[:, 0])
        for number, (start, end) in enumerate(zip(starts, ends))
    ]


class _Part(NamedTuple):
    """The frames that a window owns in one section of the text."""

    window: Window
    section: int
    owned: torch.Tensor


class WindowedVelocity:
    r"""
    The guided velocity of a timeline of any length, as a function of latents and time. The transformer sees one window
    at a time, with positions that begin at 0, as in the training. A window with frames of several sections of the text
    is evaluated for each of them.

    Args:
        velocity ([`~pipelines.denoising.GuidedVelocity`]): the guided velocity under the conditions of the whole timeline.
        windows (`Sequence[Window]`): windows that own each frame of the timeline once.
        windows_per_batch (`int`, defaults to `8`):
            Number of windows that are evaluated at once, which limits the memory.
    """

    def __init__(self, velocity: GuidedVelocity, windows: Sequence[Window], windows_per_batch: int = 8):
        self.velocity = velocity
        conditioning = velocity.conditioning
        device = conditioning.sections[0].states.device
        starts = [section.first_frame for section in conditioning.sections]
        ends = [*starts[1:], conditioning.num_frames]
        # A batch has windows of one length and one text.
        groups: dict[tuple[int, int], list[_Part]] = {}
        for section, (start, end) in enumerate(zip(starts, ends)):
            for window in windows:
                owned = window.owned[(window.owned >= start) & (window.owned < end)]
                if len(owned):
                    part = _Part(window, section, owned.to(device))
                    groups.setdefault((section, window.last - window.first), []).append(part)
        self._batches = [
            group[first : first + windows_per_batch]
            for group in groups.values()
            for first in range(0, len(group), windows_per_batch)
        ]

    def __call__(self, latents: torch.Tensor, time: float) -> torch.Tensor:
        r"""
        Args:
            latents (`torch.Tensor` of shape `(batch, frames, channels)`): points on the flow path.
            time (`float`): flow time from 0 (noise) to 1 (data).

        Returns:
            `torch.Tensor` of the same shape: the velocity, in float32.
        """
        result = torch.empty_like(latents, dtype=torch.float32)
        for number, batch in enumerate(self._batches):
            # Conditions are sliced anew each time: those of all windows and branches would need much memory.
            conditioning = JascoConditioning.cat([self._conditions(part) for part in batch])
            velocity = self.velocity.for_part(conditioning, f"{number}:")
            windows = torch.cat([latents[:, part.window.first : part.window.last] for part in batch])
            for part, values in zip(batch, velocity(windows, time).chunk(len(batch))):
                result[:, part.owned] = values[:, part.owned - part.window.first]
        return result

    def _conditions(self, part: _Part) -> JascoConditioning:
        conditioning = self.velocity.conditioning
        section = conditioning.sections[part.section]._replace(first_frame=0)
        single = replace(conditioning, sections=(section,))
        return single.slice(part.window.first, part.window.last)
