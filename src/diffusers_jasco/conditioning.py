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

"""Conditions of the transformer: text, controls and known latents of a batch."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch

from .controls import CONTROLS, FRAME_CONDITIONS


class TextSection(NamedTuple):
    r"""
    The text of a part of the timeline.

    Args:
        first_frame (`int`): frame at which the section begins; it ends where the next one begins.
        states (`torch.Tensor` of shape `(batch, tokens, dim)`): hidden states of the text encoder.
        mask (`torch.Tensor` of shape `(batch, tokens)`): `True` where a token is text; a row without any is the null
            text.
        attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): `True` where a token is attended to;
            `None`: all are.
    """

    first_frame: int
    states: torch.Tensor
    mask: torch.Tensor
    attention_mask: torch.Tensor | None = None

    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> "TextSection":
        """The section with a function applied to each of its tensors."""
        mask = None if self.attention_mask is None else function(self.attention_mask)
        return self._replace(states=function(self.states), mask=function(self.mask), attention_mask=mask)


@dataclass(frozen=True, eq=False)
class JascoConditioning:
    r"""
    The conditions of a batch. Guidance ([`keep`]), condition dropout ([`mask`]) and windows ([`slice`]) derive others from
    it; none of them changes it.

    Args:
        sections (`tuple[TextSection, ...]`):
            The text: one section for a plain prompt, more for a prompt timeline, in order; the first begins at frame 0.
        controls (`dict[str, torch.Tensor]`):
            Chord ids `(batch, frames)`, and drums `(batch, frames, dim)` and melody `(batch, frames, bins)`; a control that
            no sample has is absent.
        nulls (`dict[str, int | torch.Tensor]`):
            The null of each control in `controls`: a number, or a tensor `(batch, frames, ...)`. See
            [`JascoTransformerModel.null_controls`].
        context (`torch.Tensor` of shape `(batch, frames, channels)`, *optional*):
            Latents that are known, for models with this condition. All guidance branches keep it.
        num_frames (`int`, *optional*):
            Length of the timeline in frames, by default that of the controls.
        given (`dict[str, torch.Tensor]`):
            For each control in `controls` which samples have it, `(batch,)`; by default all.
        duration (`float`, *optional*):
            Length of the audio in seconds, where it ends within the last frame.

    Raises:
        `ValueError`: if batch sizes or frames differ, or the number of frames is not known.
    """

    sections: tuple[TextSection, ...]
    controls: dict[str, torch.Tensor] = field(default_factory=dict)
    nulls: dict[str, int | torch.Tensor] = field(default_factory=dict)
    context: torch.Tensor | None = None
    num_frames: int = 0
    given: dict[str, torch.Tensor] = field(default_factory=dict)
    duration: float | None = None

    def __post_init__(self):
        frames = self.controls if self.context is None else self.controls | {"context": self.context}
        if not self.num_frames:
            if not frames:
                raise ValueError("`num_frames` is missing: without controls nothing else says how long the music is.")
            object.__setattr__(self, "num_frames", next(iter(frames.values())).shape[1])
        expected = (self.batch_size, self.num_frames)
        for name, tensor in frames.items():
            if tensor.shape[:2] != expected:
                raise ValueError(
                    f"`{name}` has to have batch and frames {expected}, but has shape {tuple(tensor.shape)}."
                )

    @property
    def batch_size(self) -> int:
        return len(self.sections[0].states)

    @property
    def presence(self) -> dict[str, torch.Tensor]:
        """Which samples have the control, `(batch,)`, for each control in `controls`."""
        everywhere = torch.ones(self.batch_size, dtype=torch.bool, device=self.sections[0].states.device)
        return {name: self.given.get(name, everywhere) for name in self.controls}

    def keep(self, names: Collection[str]) -> "JascoConditioning":
        r"""
        A guidance branch: text and controls that are not in `names` become their nulls.

        Args:
            names (`Collection[str]`): of `"text"` and the controls.
        """
        _check_names(names)
        return self.mask({name: name in names for name in ("text", *self.controls)})

    def mask(self, keep: dict[str, bool | torch.Tensor]) -> "JascoConditioning":
        r"""
        The text and the controls where they are kept, and their nulls elsewhere.

        Args:
            keep (`dict[str, bool | torch.Tensor]`): for `"text"` and controls a boolean, or a mask `(batch,)`; for
                controls also `(batch, frames)`. Conditions without an entry are kept.
        """
        _check_names(keep)
        sections = self.sections
        if keep.get("text", True) is not True:
            sections = tuple(
                section._replace(mask=section.mask.bool() & _expand(keep["text"], section.mask))
                for section in self.sections
            )
        controls = {}
        for name, control in self.controls.items():
            if keep.get(name, True) is not True:
                if name not in self.nulls:
                    raise ValueError(f"`nulls` has no entry for {name}.")
                control = torch.where(_expand(keep[name], control), control, self.nulls[name])
            controls[name] = control
        return replace(self, sections=sections, controls=controls)

    def slice(self, first: int, last: int) -> "JascoConditioning":
        """The part of the timeline from frame `first` to before frame `last`, as a timeline of its own."""
        if not 0 <= first < last <= self.num_frames:
            raise ValueError(f"Frames {first} to {last} are not a part of {self.num_frames} frames.")
        ends = [*(section.first_frame for section in self.sections[1:]), self.num_frames]
        sections = tuple(
            section._replace(first_frame=max(section.first_frame - first, 0))
            for section, end in zip(self.sections, ends)
            if section.first_frame < last and end > first
        )
        frames = self._map_frames(lambda tensor: tensor[:, first:last])
        return replace(self, sections=sections, num_frames=last - first, duration=None, **frames)

    def repeat(self, count: int) -> "JascoConditioning":
        """Each sample `count` times in a row."""
        if count == 1:
            return self

        def repeat(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.repeat_interleave(count, dim=0)

        sections = tuple(section.map(repeat) for section in self.sections)
        given = {name: repeat(mask) for name, mask in self.given.items()}
        return replace(self, sections=sections, given=given, **self._map_frames(repeat))

    @staticmethod
    def cat(parts: Sequence["JascoConditioning"]) -> "JascoConditioning":
        r"""
        One batch of several, such as guidance branches or windows.

        Args:
            parts (`Sequence[JascoConditioning]`):
                Conditions with the same number of frames, the same controls, a context or not, and a single section with
                the same number of tokens.

        Raises:
            `ValueError`: if they differ in that.
        """
        first = parts[0]
        if len(parts) == 1:
            return first
        if any(len(part.sections) > 1 for part in parts):
            raise ValueError("Conditionings with several sections can't be concatenated: `slice` them first.")
        kinds = {(part.num_frames, tuple(part.controls), part.context is None) for part in parts}
        if len(kinds) > 1:
            raise ValueError(
                f"Conditionings can't be concatenated if frames, controls or context differ: {sorted(kinds)}."
            )
        texts = [part.sections[0] for part in parts]
        attention_mask = None
        if any(text.attention_mask is not None for text in texts):
            attention_mask = torch.cat(
                [torch.ones_like(text.mask) if text.attention_mask is None else text.attention_mask for text in texts]
            )
        states, mask = torch.cat([text.states for text in texts]), torch.cat([text.mask for text in texts])
        return JascoConditioning(
            (TextSection(0, states, mask, attention_mask),),
            controls={name: torch.cat([part.controls[name] for part in parts]) for name in first.controls},
            nulls={name: _cat_nulls(name, parts) for name in first.nulls},
            context=None if first.context is None else torch.cat([part.context for part in parts]),  # type: ignore[misc]
            num_frames=first.num_frames,
            given={name: torch.cat([part.presence[name] for part in parts]) for name in first.controls},
            duration=first.duration,
        )

    def to(self, device: torch.device | str) -> "JascoConditioning":
        """The same conditions on another device."""
        sections = tuple(section.map(lambda tensor: tensor.to(device)) for section in self.sections)
        given = {name: mask.to(device) for name, mask in self.given.items()}
        return replace(self, sections=sections, given=given, **self._map_frames(lambda tensor: tensor.to(device)))

    def model_kwargs(self) -> dict[str, torch.Tensor | None]:
        r"""
        The arguments of [`JascoTransformerModel.forward`].

        Raises:
            `ValueError`: if there are several sections: the transformer takes one text.
        """
        if len(self.sections) > 1:
            raise ValueError(f"The transformer takes one text, but there are {len(self.sections)} sections.")
        section = self.sections[0]
        frames = self.controls if self.context is None else self.controls | {"context": self.context}
        return {
            "encoder_hidden_states": section.states,
            "encoder_attention_mask": section.attention_mask,
            "text_mask": section.mask,
            **{name: frames[name] for name in FRAME_CONDITIONS if name in frames},
        }

    def _map_frames(self, function) -> dict:
        """Applies a function to all tensors that have frames."""
        return {
            "controls": {name: function(control) for name, control in self.controls.items()},
            "nulls": {name: function(null) if torch.is_tensor(null) else null for name, null in self.nulls.items()},
            "context": None if self.context is None else function(self.context),
        }


def _expand(keep: bool | torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """A mask of leading dimensions that broadcasts against a tensor."""
    keep = torch.as_tensor(keep, dtype=torch.bool, device=tensor.device)
    return keep.reshape(*keep.shape, *(1,) * (tensor.ndim - keep.ndim)) if keep.ndim else keep


def _check_names(names: Collection[str]):
    if unknown := sorted(set(names) - {"text", *CONTROLS}):
        raise ValueError(f"Conditions are text, {', '.join(CONTROLS)}, but {', '.join(unknown)} was given.")


def _cat_nulls(name: str, parts: Sequence[JascoConditioning]) -> int | torch.Tensor:
    nulls = [part.nulls[name] for part in parts]
    if not any(torch.is_tensor(null) for null in nulls) and len(set(nulls)) == 1:
        return nulls[0]
    return torch.cat([torch.full_like(part.controls[name], 0) + null for part, null in zip(parts, nulls)])
