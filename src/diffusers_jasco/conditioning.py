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

"""Conditions of the transformer for a batch: text, controls and known latents."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch.nn import functional as F

from .controls import CONTROLS, FRAME_CONDITIONS
from .controls.beats import Tempo


# Compiled transformers get texts whose length is a multiple of this number of tokens.
COMPILED_TOKENS = 32


class TextSection(NamedTuple):
    r"""
    Encoded text for a section of the timeline.

    Args:
        first_frame (`int`): frame at which the section begins; it ends where the next one begins.
        states (`torch.Tensor` of shape `(batch, tokens, dim)`): hidden states of the text encoder.
        mask (`torch.Tensor` of shape `(batch, tokens)`): `True` where a token is text; a row without text is the null
            text.
        attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): `True` where a token is attended to; by
            default everywhere.
    """

    first_frame: int
    states: torch.Tensor
    mask: torch.Tensor
    attention_mask: torch.Tensor | None = None

    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> "TextSection":
        """Applies a function to each tensor of the section."""
        mask = None if self.attention_mask is None else function(self.attention_mask)
        return self._replace(states=function(self.states), mask=function(self.mask), attention_mask=mask)

    def pad(self, multiple: int = COMPILED_TOKENS) -> "TextSection":
        r"""
        Appends tokens that are not attended to, up to a multiple of `multiple` tokens. The result always has an
        `attention_mask`, so a compiled transformer needs one graph for prompts of any length.
        """
        attended = torch.ones_like(self.mask) if self.attention_mask is None else self.attention_mask
        missing = -self.states.shape[1] % multiple
        states = F.pad(self.states, (0, 0, 0, missing))
        return self._replace(
            states=states, mask=F.pad(self.mask, (0, missing)), attention_mask=F.pad(attended, (0, missing))
        )


@dataclass(frozen=True, eq=False)
class JascoConditioning:
    r"""
    The conditions of a batch. Instances are immutable: guidance ([`keep`]), condition dropout ([`mask`]) and windows
    ([`slice`]) derive new ones.

    Args:
        sections (`tuple[TextSection, ...]`):
            The text: one section for a plain prompt, more for a prompt timeline, in order; the first begins at frame
            0.
        controls (`dict[str, torch.Tensor]`):
            Chord ids `(batch, frames)`, drum latents `(batch, frames, dim)` and melody matrices `(batch, frames,
            bins)`. Controls that no sample uses are omitted.
        nulls (`dict[str, int | torch.Tensor]`):
            The null of each control in `controls`: a number, or a tensor `(batch, frames, ...)`. See
            [`JascoTransformerModel.null_controls`].
        context (`torch.Tensor` of shape `(batch, frames, channels + 1)`, *optional*):
            Known latents and their mask, for models with this condition; see [`make_context`]. All guidance branches
            keep it.
        num_frames (`int`, *optional*):
            Length of the timeline in frames, by default that of the controls.
        given (`dict[str, torch.Tensor]`):
            For each control in `controls`, a mask `(batch,)` of the samples that use it; by default all of them.
        duration (`float`, *optional*):
            Duration of the audio in seconds, if it ends within the last frame.
        tempos (`tuple[Tempo | None, ...]`):
            The tempo of each sample, for information; by default unknown (`None`).
        frame_rate (`float`, *optional*):
            Frames per second of the music, by default those of the codec. Loops whose duration is not a whole number of
            the codec's frames have slightly more or fewer frames per second; decoding restores their duration.

    Raises:
        `ValueError`: if the batch size or the number of frames differs, or the number of frames is unknown.
    """

    sections: tuple[TextSection, ...]
    controls: dict[str, torch.Tensor] = field(default_factory=dict)
    nulls: dict[str, int | torch.Tensor] = field(default_factory=dict)
    context: torch.Tensor | None = None
    num_frames: int = 0
    given: dict[str, torch.Tensor] = field(default_factory=dict)
    duration: float | None = None
    tempos: tuple[Tempo | None, ...] = ()
    frame_rate: float | None = None

    def __post_init__(self):
        if not self.tempos:
            object.__setattr__(self, "tempos", (None,) * self.batch_size)
        if len(self.tempos) != self.batch_size:
            raise ValueError(f"`tempos` has {len(self.tempos)} elements for batch size {self.batch_size}.")
        frames = self.controls if self.context is None else self.controls | {"context": self.context}
        if not self.num_frames:
            if not frames:
                raise ValueError("`num_frames` is required without controls: the length is unknown otherwise.")
            object.__setattr__(self, "num_frames", next(iter(frames.values())).shape[1])
        expected = (self.batch_size, self.num_frames)
        for name, tensor in frames.items():
            if tensor.shape[:2] != expected:
                raise ValueError(
                    f"`{name}` has to have batch size and frames {expected}, but has shape {tuple(tensor.shape)}."
                )

    @property
    def batch_size(self) -> int:
        return len(self.sections[0].states)

    @property
    def presence(self) -> dict[str, torch.Tensor]:
        """For each control in `controls`, a mask `(batch,)` of the samples that use it."""
        everywhere = torch.ones(self.batch_size, dtype=torch.bool, device=self.sections[0].states.device)
        return {name: self.given.get(name, everywhere) for name in self.controls}

    def keep(self, names: Collection[str]) -> "JascoConditioning":
        r"""
        Returns a guidance branch, in which conditions that are not in `names` are replaced by their nulls.

        Args:
            names (`Collection[str]`): the conditions to keep: `"text"` and names of controls.
        """
        _check_names(names)
        return self.mask({name: name in names for name in ("text", *self.controls)})

    def mask(self, keep: Mapping[str, bool | torch.Tensor]) -> "JascoConditioning":
        r"""
        Replaces conditions by their nulls where a mask is `False`.

        Args:
            keep (`dict[str, bool | torch.Tensor]`): a boolean or a mask `(batch,)` for `"text"` and each control, or
                for controls a mask `(batch, frames)`. Conditions without an entry are kept.
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
        """Returns the frames `first` to `last` (exclusive) as a new timeline."""
        if not 0 <= first < last <= self.num_frames:
            raise ValueError(f"Frames {first} to {last} are not within 0 to {self.num_frames}.")
        ends = [*(section.first_frame for section in self.sections[1:]), self.num_frames]
        sections = tuple(
            section._replace(first_frame=max(section.first_frame - first, 0))
            for section, end in zip(self.sections, ends)
            if section.first_frame < last and end > first
        )
        frames = self._map_frames(lambda tensor: tensor[:, first:last])
        return replace(self, sections=sections, num_frames=last - first, duration=None, **frames)

    def take(self, frames: torch.Tensor) -> "JascoConditioning":
        r"""
        Returns some of the frames as a new timeline.

        Args:
            frames (`torch.Tensor` of shape `(new frames,)`): numbers of the frames, in any order.

        Raises:
            `ValueError`: if there are several sections of text, whose order could change.
        """
        if len(self.sections) > 1:
            raise ValueError(f"`take` needs conditions with one text, but there are {len(self.sections)} sections.")
        taken = self._map_frames(lambda tensor: tensor[:, frames])
        return replace(self, num_frames=len(frames), duration=None, **taken)

    def repeat(self, count: int) -> "JascoConditioning":
        """Repeats each sample `count` times in a row."""
        if count == 1:
            return self

        def repeat(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.repeat_interleave(count, dim=0)

        sections = tuple(section.map(repeat) for section in self.sections)
        given = {name: repeat(mask) for name, mask in self.given.items()}
        tempos = tuple(tempo for tempo in self.tempos for _ in range(count))
        return replace(self, sections=sections, given=given, tempos=tempos, **self._map_frames(repeat))

    @staticmethod
    def cat(parts: Sequence["JascoConditioning"]) -> "JascoConditioning":
        r"""
        Concatenates several conditionings, such as guidance branches or windows, into one batch.

        Args:
            parts (`Sequence[JascoConditioning]`):
                Conditionings with a single text section each that agree in the number of frames and tokens, the
                controls, and the presence of a context.

        Raises:
            `ValueError`: if they differ in these, or have several sections.
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
            tempos=tuple(tempo for part in parts for tempo in part.tempos),
            frame_rate=first.frame_rate,
        )

    def to(self, device: torch.device | str) -> "JascoConditioning":
        """Moves the conditions to another device."""
        sections = tuple(section.map(lambda tensor: tensor.to(device)) for section in self.sections)
        given = {name: mask.to(device) for name, mask in self.given.items()}
        return replace(self, sections=sections, given=given, **self._map_frames(lambda tensor: tensor.to(device)))

    def model_kwargs(self) -> dict[str, torch.Tensor | None]:
        r"""
        Returns the keyword arguments for [`JascoTransformerModel.forward`].

        Raises:
            `ValueError`: if there are several sections, since the transformer accepts one text.
        """
        if len(self.sections) > 1:
            raise ValueError(f"The transformer accepts one text, but there are {len(self.sections)} sections.")
        section = self.sections[0]
        frames = self.controls if self.context is None else self.controls | {"context": self.context}
        return {
            "encoder_hidden_states": section.states,
            "encoder_attention_mask": section.attention_mask,
            "text_mask": section.mask,
            **{name: frames[name] for name in FRAME_CONDITIONS if name in frames},
        }

    def _map_frames(self, function) -> dict:
        """Applies a function to all tensors with a frame dimension."""
        return {
            "controls": {name: function(control) for name, control in self.controls.items()},
            "nulls": {name: function(null) if torch.is_tensor(null) else null for name, null in self.nulls.items()},
            "context": None if self.context is None else function(self.context),
        }


def make_context(latents: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    r"""
    Makes the context of [`JascoTransformerModel`].

    Args:
        latents (`torch.Tensor` of shape `(batch, frames, channels)`): normalized latents.
        known (`torch.Tensor` of shape `(batch, frames)`): `True` where they are known.

    Returns:
        `torch.Tensor` of shape `(batch, frames, channels + 1)`: the latents of known frames, zeros in all others, and the
        mask.
    """
    mask = known[..., None].to(latents.dtype)
    return torch.cat([latents * mask, mask], dim=-1)


def _expand(keep: bool | torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """Appends dimensions to a mask of the leading dimensions so that it broadcasts against `tensor`."""
    keep = torch.as_tensor(keep, dtype=torch.bool, device=tensor.device)
    return keep.reshape(*keep.shape, *(1,) * (tensor.ndim - keep.ndim)) if keep.ndim else keep


def _check_names(names: Collection[str]):
    if unknown := sorted(set(names) - {"text", *CONTROLS}):
        raise ValueError(f"Conditions have to be of text, {', '.join(CONTROLS)}, but got {', '.join(unknown)}.")


def _cat_nulls(name: str, parts: Sequence[JascoConditioning]) -> int | torch.Tensor:
    nulls = [part.nulls[name] for part in parts]
    if not any(torch.is_tensor(null) for null in nulls) and len(set(nulls)) == 1:
        return nulls[0]
    return torch.cat([torch.full_like(part.controls[name], 0) + null for part, null in zip(parts, nulls)])
