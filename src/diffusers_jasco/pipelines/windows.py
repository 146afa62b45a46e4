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
        frames (`torch.Tensor` of shape `(window frames,)`): the frames that the transformer sees at once, in order.
        is_owned (`torch.Tensor` of shape `(window frames,)`): whether the velocity of a frame is taken from this window.
    """

    frames: torch.Tensor
    is_owned: torch.Tensor


def place_windows(num_frames: int, window: int, overlap: int, multiple: int = 1, loop: bool = False) -> list[Window]:
    r"""
    Covers a timeline with overlapping windows at equal distances. Frames before the middle of an overlap belong to the
    first of the two windows, the others to the second: averages of both would lose high frequencies
    ([arXiv 2502.05130](https://arxiv.org/abs/2502.05130)), and the ends of a window have less context.

    Args:
        num_frames (`int`): length of the timeline in frames.
        window (`int`): length of a window in frames.
        overlap (`int`): least number of frames that neighboring windows share, less than `window`.
        multiple (`int`, defaults to `1`): the windows start at multiples of this number of frames.
        loop (`bool`, defaults to `False`): whether the end of the timeline continues with its beginning.

    Returns:
        `list[Window]`: the windows, in order. Each frame is owned by exactly one of them.
    """
    window = min(window, num_frames)
    # Starts are rounded down to multiples, which must not reduce an overlap.
    step = max(multiple, (window - overlap) // multiple * multiple)
    if loop:
        count = max(2, math.ceil(num_frames / step))
        starts = [num_frames * number // (count * multiple) * multiple for number in range(count)]
    else:
        rest = math.ceil((num_frames - window) / multiple)
        count = 1 + math.ceil((num_frames - window) / step)
        starts = [rest * number // max(count - 1, 1) * multiple for number in range(count)]
    ends = [start + window if loop else min(start + window, num_frames) for start in starts]
    following = [*starts[1:], num_frames]
    borders = [(end + after) // 2 for end, after in zip(ends, following)]
    # In a loop, the first window begins where the last one ends.
    firsts = [borders[-1] - num_frames if loop else 0, *borders[:-1]]
    windows = []
    for start, end, first, border in zip(starts, ends, firsts, borders):
        frames = torch.arange(start, end)
        windows.append(Window(frames % num_frames, (frames >= first) & (frames < border)))
    return windows


class _Part(NamedTuple):
    """The frames that a window owns in one section of the text, in the timeline and within the window."""

    frames: torch.Tensor
    section: int
    owned: torch.Tensor
    positions: torch.Tensor


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
            for frames, is_owned in windows:
                positions = (is_owned & (frames >= start) & (frames < end)).nonzero()[:, 0]
                if len(positions):
                    tensors = (tensor.to(device) for tensor in (frames, frames[positions], positions))
                    whole, owned, positions = tensors
                    groups.setdefault((section, len(frames)), []).append(_Part(whole, section, owned, positions))
        self._batches = [
            group[first : first + windows_per_batch]
            for group in groups.values()
            for first in range(0, len(group), windows_per_batch)
        ]

    def omit_unneeded(self, is_needed: torch.Tensor):
        r"""
        Omits windows that own none of the frames whose velocity is needed. That of their frames becomes 0.

        Args:
            is_needed (`torch.Tensor` of shape `(frames,)`): `True` for frames whose velocity is needed.
        """
        batches = [[part for part in batch if is_needed[part.owned].any()] for batch in self._batches]
        self._batches = [batch for batch in batches if batch]

    def __call__(self, latents: torch.Tensor, time: float) -> torch.Tensor:
        r"""
        Args:
            latents (`torch.Tensor` of shape `(batch, frames, channels)`): points on the flow path.
            time (`float`): flow time from 0 (noise) to 1 (data).

        Returns:
            `torch.Tensor` of the same shape: the velocity, in float32.
        """
        result = torch.zeros_like(latents, dtype=torch.float32)
        for number, batch in enumerate(self._batches):
            # Conditions are sliced in each step: those of all windows and branches would need much memory.
            conditioning = JascoConditioning.cat([self._conditions(part) for part in batch])
            velocity = self.velocity.for_part(conditioning, f"{number}:")
            windows = torch.cat([latents[:, part.frames] for part in batch])
            for part, values in zip(batch, velocity(windows, time).chunk(len(batch))):
                result[:, part.owned] = values[:, part.positions]
        return result

    def _conditions(self, part: _Part) -> JascoConditioning:
        conditioning = self.velocity.conditioning
        section = conditioning.sections[part.section]._replace(first_frame=0)
        return replace(conditioning, sections=(section,)).take(part.frames)
