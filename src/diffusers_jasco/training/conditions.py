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


"""Condition dropout: how the model learns the nulls that guidance needs."""

from dataclasses import dataclass, fields

import torch


@dataclass(frozen=True)
class ConditionDropout:
    r"""
    Probabilities with which a sample loses its conditions in training. The original drops them for whole batches; here
    each sample is on its own.

    Args:
        all (`float`, defaults to `0.0`): all conditions, the text too.
        text (`float`, defaults to `0.0`): the text.
        chords (`float`, defaults to `0.0`): the chords.
        drums (`float`, defaults to `0.0`): the drums.
        melody (`float`, defaults to `0.0`): the melody.

    Raises:
        `ValueError`: for a probability outside [0, 1].
    """

    all: float = 0.0
    text: float = 0.0
    chords: float = 0.0
    drums: float = 0.0
    melody: float = 0.0

    def __post_init__(self):
        for field in fields(self):
            if not 0 <= getattr(self, field.name) <= 1:
                raise ValueError(f"`{field.name}` has to be between 0 and 1, but is {getattr(self, field.name)}.")

    def draw(self, batch_size: int, generator: torch.Generator | None = None) -> dict[str, torch.Tensor]:
        r"""
        Which samples keep which condition.

        Args:
            batch_size (`int`): number of samples.
            generator (`torch.Generator`, *optional*): makes the draw reproducible.

        Returns:
            `dict[str, torch.Tensor]`: for `"text"`, `"chords"`, `"drums"` and `"melody"` a boolean mask `(batch_size,)`.
        """
        names = ("text", "chords", "drums", "melody")
        draws = torch.rand(1 + len(names), batch_size, generator=generator)
        keeps_any = draws[0] >= self.all
        return {name: keeps_any & (draw >= getattr(self, name)) for name, draw in zip(names, draws[1:])}


def drop_controls(
    controls: dict[str, torch.Tensor], keep: dict[str, torch.Tensor], null_chord: int
) -> dict[str, torch.Tensor]:
    r"""
    The controls, with nulls where they are dropped.

    Args:
        controls (`dict[str, torch.Tensor]`): of `"chords"` `(batch, frames)`, `"drums"` `(batch, frames, dim)` and
            `"melody"` `(batch, frames, 53)` those that the model has.
        keep (`dict[str, torch.Tensor]`): masks as [`ConditionDropout.draw`] returns them.
        null_chord (`int`): the model's null chord.

    Returns:
        `dict[str, torch.Tensor]`: of the same shapes.
    """
    dropped = {}
    for name, control in controls.items():
        mask = keep[name].to(control.device).reshape(-1, *[1] * (control.ndim - 1))
        dropped[name] = control.masked_fill(~mask, null_chord if name == "chords" else 0)
    return dropped


def mask_text(hidden_states: torch.Tensor, attention_mask: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    r"""
    The text encoder's states, with zero vectors for padding and for dropped texts, as the pipeline encodes them.

    Args:
        hidden_states (`torch.Tensor` of shape `(batch, tokens, text_dim)`): the states.
        attention_mask (`torch.Tensor` of shape `(batch, tokens)`): 1 for tokens, 0 for padding.
        keep (`torch.Tensor` of shape `(batch,)`): which texts are kept.

    Returns:
        `torch.Tensor` of shape `(batch, tokens, text_dim)`.
    """
    return hidden_states * (attention_mask * keep.to(attention_mask.device)[:, None])[..., None]
