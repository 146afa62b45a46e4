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


"""Condition dropout, which teaches the model the nulls that guidance needs and controls for part of the time."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from ..controls import CONTROLS


CONDITIONS = ("text", *CONTROLS)

# Columns of the random numbers that decide whether a condition is dropped, and which part of a control is kept.
_DROP_DRAWS = {"text": 1, "chords": 2, "drums": 3, "melody": 4, "beats": 15}
_SPAN_DRAWS = {"chords": 5, "drums": 8, "melody": 11, "beats": 16}
_CONTROLS_DRAW = 14
_ONLY_BEATS_DRAW = 19


@dataclass(frozen=True)
class ConditionDropout:
    r"""
    Probabilities of dropping a sample's conditions in training.

    Args:
        all (`float`, defaults to `0.0`): probability of dropping all conditions, including the text.
        text (`float`, defaults to `0.0`): probability of dropping the text.
        controls (`float`, defaults to `0.0`):
            Probability of dropping all controls together, which trains the model to follow text alone.
        only_beats (`float`, defaults to `0.0`):
            Probability of dropping all controls but the beats, which are kept then, unless all conditions are dropped.
        single (`dict[str, float]`):
            Probability of dropping each control, by name, independently of the others; 0 if missing.
        span (`float`, defaults to `0.0`):
            Probability of keeping a control only between two random frames, so that controls can later be passed for
            part of the time.
        per_batch (`bool`, defaults to `False`):
            Whether all samples of a batch lose the same conditions, as in AudioCraft.

    Raises:
        `ValueError`: for a probability outside [0, 1].
    """

    all: float = 0.0
    text: float = 0.0
    controls: float = 0.0
    only_beats: float = 0.0
    single: dict[str, float] = field(default_factory=dict)
    span: float = 0.0
    per_batch: bool = False

    # One for `all`, one per condition, three per control (`span` and its two ends), for `controls` and `only_beats`.
    num_draws: ClassVar[int] = 1 + len(CONDITIONS) + 3 * len(CONTROLS) + 2
    # Those of the beats, which older runs did not have, come last: see `sample_noise`.
    num_late_draws: ClassVar[int] = 5

    def __post_init__(self):
        if unknown := sorted(set(self.single) - set(CONTROLS)):
            raise ValueError(f"`single` has to contain only {', '.join(CONTROLS)}, but has {', '.join(unknown)}.")
        probabilities = {name: getattr(self, name) for name in ("all", "text", "controls", "only_beats", "span")}
        for name, probability in (probabilities | self.single).items():
            if not 0 <= probability <= 1:
                raise ValueError(f"`{name}` has to be between 0 and 1, but is {probability}.")

    def keep(self, draws: torch.Tensor, num_frames: int) -> dict[str, torch.Tensor]:
        r"""
        Decides which samples keep which conditions.

        Args:
            draws (`torch.Tensor` of shape `(batch, num_draws)`): random numbers, uniform in [0, 1).
            num_frames (`int`): number of latent frames.

        Returns:
            `dict[str, torch.Tensor]`: boolean masks, `(batch,)` for `"text"` and `(batch, frames)` for each control.
        """
        if self.per_batch:
            draws = draws[:1].expand_as(draws)
        keeps_any = draws[:, 0] >= self.all
        probabilities = {"text": self.text} | {name: self.single.get(name, 0.0) for name in CONTROLS}
        keep = {name: keeps_any & (draws[:, _DROP_DRAWS[name]] >= probabilities[name]) for name in CONDITIONS}
        keeps_controls = draws[:, _CONTROLS_DRAW] >= self.controls
        only_beats = draws[:, _ONLY_BEATS_DRAW] < self.only_beats
        frames = torch.arange(num_frames, device=draws.device)
        for name in CONTROLS:
            is_span, *ends = draws[:, _SPAN_DRAWS[name] :][:, :3].T
            first, last = (torch.stack(ends) * num_frames).long().sort(dim=0).values[..., None]
            inside = (frames >= first) & (frames <= last)
            keeps = keep[name] & keeps_controls
            keeps = keeps_any & (only_beats | keeps) if name == "beats" else keeps & ~only_beats
            keep[name] = keeps[:, None] & (inside | (is_span >= self.span)[:, None])
        return keep
