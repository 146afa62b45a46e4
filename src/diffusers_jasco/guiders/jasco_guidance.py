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

import math
import os
from functools import reduce
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.guiders.guider_utils import GUIDER_CONFIG_NAME, rescale_noise_cfg

from ..controls import CONTROLS
from ..utils.errors import InputError
from ..utils.numbers import to_float


SCALES = ("guidance_scale", "text_guidance_scale", "guidance_rescale")
# Branches, named by the conditions that they keep.
ALL = frozenset({"text", *CONTROLS})
TEXT = frozenset({"text"})
NULL: frozenset[str] = frozenset()
# Branches with a smaller weight are skipped, as in AudioCraft.
MIN_BRANCH_WEIGHT = 1e-6


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

    Raises:
        [`~inputs.InputError`]: for a scale that is not finite and nonnegative, or a `guidance_rescale` outside [0, 1];
            also when an attribute is set.
    """

    config_name = GUIDER_CONFIG_NAME

    @register_to_config
    def __init__(self, guidance_scale: float = 5.0, text_guidance_scale: float = 0.0, guidance_rescale: float = 0.0):
        self.guidance_scale = guidance_scale
        self.text_guidance_scale = text_guidance_scale
        self.guidance_rescale = guidance_rescale

    def __setattr__(self, name: str, value: Any):
        if name in SCALES:
            is_rescale = name == "guidance_rescale"
            value = to_float(value, name, minimum=-math.inf if is_rescale else 0.0)
            if is_rescale and not 0 <= value <= 1:
                raise InputError(f"`{name}` has to be between 0 and 1, but is {value:g}.", name)
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

    def branches(self, time: float) -> dict[frozenset[str], float]:
        r"""
        Returns the branches to evaluate (the sets of conditions that they keep) and their weights, which sum to 1.

        Args:
            time (`float`): flow time from 0 (noise) to 1 (data).
        """
        weights = {
            ALL: self.guidance_scale,
            TEXT: self.text_guidance_scale,
            NULL: 1 - self.guidance_scale - self.text_guidance_scale,
        }
        return {branch: weight for branch, weight in weights.items() if abs(weight) >= MIN_BRANCH_WEIGHT}

    def combine(self, velocities: dict[frozenset[str], torch.Tensor], time: float) -> torch.Tensor:
        r"""
        Combines the velocities of the branches into the guided velocity.

        Args:
            velocities (`dict`): the velocity `(batch, frames, channels)` of each branch of [`branches`].
            time (`float`): flow time from 0 (noise) to 1 (data).

        Returns:
            `torch.Tensor` of shape `(batch, frames, channels)`.
        """
        guided = reduce(torch.add, (weight * velocities[branch] for branch, weight in self.branches(time).items()))
        if self.guidance_rescale and len(velocities) > 1 and ALL in velocities:
            guided = rescale_noise_cfg(guided, velocities[ALL], self.guidance_rescale)
        return guided
