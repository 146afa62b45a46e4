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

import os
from collections.abc import Collection, Sequence
from functools import reduce
from typing import Any, TypeAlias

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.guiders.guider_utils import GUIDER_CONFIG_NAME, rescale_noise_cfg

from ..controls import CONTROLS
from ..utils.errors import InputError
from ..utils.numbers import to_float


SCALES = ("guidance_scale", "text_guidance_scale", "guidance_rescale")
OPTIONS = (*SCALES, "control_scales", "start_time", "stop_time", "parallel_scale", "max_difference")
# Attributes with values from 0 to 1.
_SHARES = ("guidance_rescale", "start_time", "stop_time", "parallel_scale")
# Branches, named by the conditions that they keep.
ALL = frozenset({"text", *CONTROLS})
TEXT = frozenset({"text"})
NULL: frozenset[str] = frozenset()
# Branches with a smaller weight are skipped, as in AudioCraft.
MIN_BRANCH_WEIGHT = 1e-6

# The weight of a branch: of all samples, or a tensor `(batch,)`.
Weight: TypeAlias = float | torch.Tensor


class JascoGuidance(ConfigMixin):
    r"""
    Multi-source classifier-free guidance (§3.4 of [arXiv 2406.10970](https://arxiv.org/abs/2406.10970)):

    `guidance_scale * v(all) + text_guidance_scale * v(text) + (1 - guidance_scale - text_guidance_scale) * v(null)`

    The null branch uses the null conditions of training; negative prompts are not supported. The scales are attributes
    that may be changed between steps; the configuration is updated with them.

    Args:
        guidance_scale (`float`, defaults to `5.0`):
            Weight of the branch with all conditions (AudioCraft's `cfg_coef_all`). 1, with a `text_guidance_scale` of
            0, disables guidance.
        text_guidance_scale (`float`, defaults to `0.0`):
            Weight of the text-only branch (`cfg_coef_txt`).
        guidance_rescale (`float`, defaults to `0.0`):
            Strength of guidance rescaling from 0 to 1: the guided velocity is rescaled toward the standard deviation
            of the one with all conditions, since guidance makes music too loud (§3.4 of
            [arXiv 2305.08891](https://arxiv.org/abs/2305.08891)).
        control_scales (`dict[str, float]` or a list of them, *optional*):
            How strictly each control is followed, at least 0; a list has the scales of each prompt. Controls without a
            scale have 1. A control with scale 0 is not used at all. For scales `s_1 >= s_2 >= ...`, with `S_k` the
            `k` controls with the largest scales, v(all) is replaced by `(1 - s_1) * v(text) + sum over k of (s_k -
            s_(k+1)) * v(text and S_k)`.
        start_time (`float`, defaults to `0.0`), stop_time (`float`, defaults to `1.0`):
            Flow times, from 0 (noise) to 1 (data), between which guidance acts. At other times, v(all) is used, under
            the `control_scales` ([arXiv 2404.07724](https://arxiv.org/abs/2404.07724)).
        parallel_scale (`float`, defaults to `1.0`):
            Adaptive projected guidance ([arXiv 2410.02416](https://arxiv.org/abs/2410.02416)), without momentum: in the
            differences that guidance adds, the part that is parallel to the data prediction under all conditions is
            multiplied by this share, from 0 to 1. The parallel part makes music louder.
        max_difference (`float`, *optional*):
            Largest root mean square of these differences between data predictions, in standard deviations of the
            latents; larger ones are scaled down.

    Raises:
        [`~inputs.InputError`]: for a scale that is not finite and nonnegative, and a share or time outside [0, 1]; also
            when an attribute is set.
    """

    config_name = GUIDER_CONFIG_NAME

    @register_to_config
    def __init__(
        self,
        guidance_scale: float = 5.0,
        text_guidance_scale: float = 0.0,
        guidance_rescale: float = 0.0,
        control_scales: dict[str, float] | list[dict[str, float]] | None = None,
        start_time: float = 0.0,
        stop_time: float = 1.0,
        parallel_scale: float = 1.0,
        max_difference: float | None = None,
    ):
        self.guidance_scale = guidance_scale
        self.text_guidance_scale = text_guidance_scale
        self.guidance_rescale = guidance_rescale
        self.control_scales = control_scales
        self.start_time = start_time
        self.stop_time = stop_time
        self.parallel_scale = parallel_scale
        self.max_difference = max_difference

    def __setattr__(self, name: str, value: Any):
        if name in _SHARES:
            value = to_float(value, name)
            if not 0 <= value <= 1:
                raise InputError(f"`{name}` has to be between 0 and 1, but is {value:g}.", name)
        elif name in SCALES:
            value = to_float(value, name, minimum=0.0)
        elif name == "max_difference" and value is not None:
            value = to_float(value, name, above=0.0)
        elif name == "control_scales":
            if isinstance(value, (list, tuple)):
                value = [check_control_scales(single) for single in value]
            else:
                value = check_control_scales(value) or None
        if name in OPTIONS:
            self.register_to_config(**{name: value})
        super().__setattr__(name, value)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike, subfolder: str | None = None, **kwargs: Any
    ) -> "JascoGuidance":
        r"""
        Loads a guider that was saved with [`save_pretrained`].

        Args:
            pretrained_model_name_or_path (`str` or `os.PathLike`): folder or Hub repository.
            subfolder (`str`, *optional*): subfolder of the guider.
            kwargs: arguments of [`~diffusers.ConfigMixin.load_config`], such as `revision`.
        """
        return cls.from_config(cls.load_config(pretrained_model_name_or_path, subfolder=subfolder, **kwargs))

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any):
        r"""
        Saves the scales to a folder.

        Args:
            save_directory (`str` or `os.PathLike`): folder to write to.
            kwargs: arguments of [`~diffusers.ConfigMixin.save_config`].
        """
        self.save_config(save_directory, **kwargs)

    def nulls(
        self,
        nulls: dict[str, int | torch.Tensor],
        controls: dict[str, torch.Tensor],
        presence: dict[str, torch.Tensor],
    ) -> dict[str, int | torch.Tensor]:
        r"""
        Returns the null values with which branches replace the controls that they drop.

        Args:
            nulls (`dict`): the learned null of each control.
            controls (`dict[str, torch.Tensor]`): the controls, `(batch, frames, ...)`.
            presence (`dict[str, torch.Tensor]`): for each control, a mask `(batch,)` of the samples that use it.

        Returns:
            `dict`: a number or a tensor `(batch, frames, ...)` for each control; in this class the learned nulls.
        """
        return nulls

    def used(self, controls: Collection[str], batch_size: int) -> dict[str, torch.Tensor]:
        r"""
        Returns masks `(batch_size,)` of the samples that use a control: those whose scale is not 0. Controls that all
        samples use are omitted.

        Args:
            controls (`Collection[str]`): the controls that are given.
            batch_size (`int`): number of samples.
        """
        rows = self._scales(batch_size)
        masks = {name: [row.get(name, 1.0) != 0 for row in rows] for name in controls}
        return {name: torch.tensor(mask) for name, mask in masks.items() if not all(mask)}

    def branches(
        self, time: float, controls: Collection[str] = CONTROLS, batch_size: int = 1
    ) -> dict[frozenset[str], Weight]:
        r"""
        Returns the branches to evaluate (the sets of conditions that they keep) and their weights, which sum to 1 for
        each sample.

        Args:
            time (`float`): flow time from 0 (noise) to 1 (data).
            controls (`Collection[str]`): the controls that are given.
            batch_size (`int`, defaults to `1`): number of samples.
        """
        all_scale, text_scale = self._guidance_at(time)
        rows = []
        for scales in self._scales(batch_size):
            row = {branch: all_scale * weight for branch, weight in _mix(scales, controls).items()}
            row[TEXT] = row.get(TEXT, 0.0) + text_scale
            row[NULL] = 1 - all_scale - text_scale
            rows.append(row)
        branches: dict[frozenset[str], Weight] = {}
        # The order of summation: all, parts of the controls, text, null.
        for branch in sorted({branch for row in rows for branch in row}, key=_order):
            weights = [row.get(branch, 0.0) for row in rows]
            if any(abs(weight) >= MIN_BRANCH_WEIGHT for weight in weights):
                branches[branch] = weights[0] if len(set(weights)) == 1 else torch.tensor(weights)
        return branches

    def combine(
        self,
        velocities: dict[frozenset[str], torch.Tensor],
        time: float,
        latents: torch.Tensor,
        controls: Collection[str] = CONTROLS,
        batch_size: int = 1,
    ) -> torch.Tensor:
        r"""
        Combines the velocities of the branches into the guided velocity.

        Args:
            velocities (`dict`): the velocity `(samples, frames, channels)` of each branch of [`branches`], where
                `samples` is a multiple of `batch_size`: windows of all samples come one after another.
            time (`float`): flow time from 0 (noise) to 1 (data).
            latents (`torch.Tensor` of shape `(samples, frames, channels)`): the points on the flow path.
            controls (`Collection[str]`): the controls that are given.
            batch_size (`int`, defaults to `1`): number of samples.

        Returns:
            `torch.Tensor` of shape `(samples, frames, channels)`.
        """
        is_guided = ALL in velocities and len(velocities) > 1 and self._guidance_at(time) != (1.0, 0.0)
        if is_guided and (self.parallel_scale < 1 or self.max_difference is not None):
            guided = self._project(velocities, time, latents, controls, batch_size)
        else:
            weights = self.branches(time, controls, batch_size)
            guided = reduce(torch.add, (_times(weight, velocities[branch]) for branch, weight in weights.items()))
        if is_guided and self.guidance_rescale:
            guided = rescale_noise_cfg(guided, velocities[ALL], self.guidance_rescale)
        return guided

    def _project(
        self,
        velocities: dict[frozenset[str], torch.Tensor],
        time: float,
        latents: torch.Tensor,
        controls: Collection[str],
        batch_size: int,
    ) -> torch.Tensor:
        """The guided velocity with projected differences."""
        all_scale, text_scale = self._guidance_at(time)
        mixes = [_mix(scales, controls) for scales in self._scales(batch_size)]
        base = torch.zeros_like(latents)
        for branch, velocity in velocities.items():
            shares = torch.tensor([mix.get(branch, 0.0) for mix in mixes])
            if shares.any():
                base = base + _times(shares, velocity)
        # With a + b = 1, the null branch is not computed.
        reference = velocities[NULL] if NULL in velocities else velocities[TEXT]
        prediction = latents + (1 - time) * velocities[ALL]
        prediction = prediction / prediction.norm(dim=(1, 2), keepdim=True).clamp(min=1e-6)
        differences = [(all_scale - 1, base)]
        if NULL in velocities and text_scale:
            differences.append((text_scale, velocities[TEXT]))
        guided = base
        for scale, velocity in differences:
            difference = velocity - reference
            parallel = (difference * prediction).sum(dim=(1, 2), keepdim=True) * prediction
            difference = difference - (1 - self.parallel_scale) * parallel
            if self.max_difference is not None:
                size = (1 - time) * difference.square().mean(dim=(1, 2), keepdim=True).sqrt()
                difference = difference * (self.max_difference / size.clamp(min=1e-6)).clamp(max=1)
            guided = guided + scale * difference
        return guided

    def _guidance_at(self, time: float) -> tuple[float, float]:
        """The guidance scale and the text guidance scale at a time."""
        if self.start_time <= time <= self.stop_time:
            return self.guidance_scale, self.text_guidance_scale
        return 1.0, 0.0

    def _scales(self, batch_size: int) -> Sequence[dict[str, float]]:
        """The control scales of each sample."""
        scales = self.control_scales or {}
        rows = scales if isinstance(scales, list) else [scales]
        count, rest = divmod(batch_size, len(rows))
        if rest:
            raise InputError(
                f"`control_scales` has {len(rows)} elements for {batch_size} sample(s).", "control_scales"
            )
        return [row for row in rows for _ in range(count)]


def check_control_scales(scales: Any) -> dict[str, float]:
    r"""
    Args:
        scales (`dict[str, float]`, *optional*): the scales of one sample.

    Returns:
        `dict[str, float]`: the scales, with numbers as `float`.

    Raises:
        [`~inputs.InputError`]: for unknown controls, and scales that are not finite and nonnegative.
    """
    if scales is None:
        return {}
    if not isinstance(scales, dict):
        raise InputError(
            f"`control_scales` has to be a dictionary such as {{'chords': 0.5}}, or a list of them, but is {scales!r}.",
            "control_scales",
        )
    if unknown := [name for name in scales if name not in CONTROLS]:
        raise InputError(
            f"`control_scales` has to be for {', '.join(CONTROLS)}, but is for {unknown[0]!r}.", "control_scales"
        )
    return {name: to_float(scale, "control_scales", minimum=0.0) for name, scale in scales.items()}


def _mix(scales: dict[str, float], controls: Collection[str]) -> dict[frozenset[str], float]:
    """The weights of the branches that replace v(all), which sum to 1."""
    levels: dict[float, list[str]] = {}
    for name in controls:
        if scale := scales.get(name, 1.0):
            levels.setdefault(scale, []).append(name)
    if not levels:
        return {ALL: 1.0}
    ordered = sorted(levels, reverse=True)
    mix = {TEXT: 1 - ordered[0]} if ordered[0] != 1 else {}
    kept: list[str] = []
    for scale, following in zip(ordered, [*ordered[1:], 0.0]):
        kept += levels[scale]
        # Controls with a scale of 0 are replaced by their nulls in all branches.
        branch = frozenset({"text", *kept}) if following else ALL
        mix[branch] = scale - following
    return mix


def _order(branch: frozenset[str]) -> tuple[int, list[str]]:
    return -len(branch), sorted(branch)


def _times(weight: Weight, velocity: torch.Tensor) -> torch.Tensor:
    """Multiplies the velocities of all windows of a batch by the weights of its samples."""
    if not torch.is_tensor(weight):
        return weight * velocity
    weight = weight.to(velocity.device).repeat(len(velocity) // len(weight))
    return weight[:, None, None] * velocity
