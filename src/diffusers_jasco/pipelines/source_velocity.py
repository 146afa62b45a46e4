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

"""The velocity of edits from source conditions to target conditions, and the conditions that edits keep."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers.schedulers import FlowMatchEulerDiscreteScheduler
from diffusers.schedulers.scheduling_utils import SchedulerMixin

from ..conditioning import JascoConditioning
from ..controls.forms import to_list
from ..schedulers.scheduling_flow_match_euler import FlowMatchEulerScheduler
from ..utils.errors import InputError
from .denoising import Velocity


EULER = "FlowMatchEulerScheduler.from_config(pipe.scheduler.config)"  # for messages


class SourceVelocity:
    r"""
    The velocity that leads from a recording to its edit: the velocity under the target conditions minus the one under
    the source conditions, which describe the recording (FlowEdit,
    [arXiv 2412.08629](https://arxiv.org/abs/2412.08629)). Their common part cancels out, so the rest of the recording
    stays as it is. No inversion of the recording is needed.

    Every evaluation draws noise, as the difference is a random estimate of its mean over noise. Use it with Euler's
    method, which evaluates it once per step.

    Args:
        target (`Callable`): the velocity under the target conditions.
        source (`Callable`): the velocity under the source conditions.
        data (`torch.Tensor` of shape `(batch, frames, channels)`): the latents of the recording, where the path
            begins.
        draw_noise (`Callable`): returns new noise of the shape of `data`.
    """

    def __init__(self, target: Velocity, source: Velocity, data: torch.Tensor, draw_noise: Callable[[], torch.Tensor]):
        self.target = target
        self.source = source
        self.data = data
        self.draw_noise = draw_noise

    def __call__(self, latents: torch.Tensor, time: float) -> torch.Tensor:
        r"""
        Args:
            latents (`torch.Tensor` of shape `(batch, frames, channels)`): the edited recording so far, without noise.
            time (`float`): flow time from 0 (noise) to 1 (data).

        Returns:
            `torch.Tensor` of the same shape: the velocity, in float32.
        """
        noisy = (1 - time) * self.draw_noise() + time * self.data
        return self.target(noisy + (latents - self.data), time) - self.source(noisy, time)


def keep_controls(
    target: JascoConditioning, source: JascoConditioning, kept: Mapping[str, Sequence[bool]]
) -> JascoConditioning:
    r"""
    Adds controls of the source to the target.

    Args:
        target ([`JascoConditioning`]): the target conditions.
        source ([`JascoConditioning`]): the source conditions of the same pieces.
        kept (`Mapping[str, Sequence[bool]]`): for each control, the pieces that get it from the source.

    Returns:
        [`JascoConditioning`]: the target conditions with these controls.
    """
    controls, nulls, given = dict(target.controls), dict(target.nulls), target.presence
    for name, control in source.controls.items():
        if any(kept[name]):
            keeps, null = torch.tensor(kept[name], device=control.device), source.nulls[name]
            own = controls.get(name, torch.zeros_like(control) + null)
            is_given = given.get(name, torch.zeros_like(keeps))
            controls[name] = torch.where(keeps.reshape(-1, *[1] * (control.ndim - 1)), control, own)
            nulls[name] = null
            given[name] = torch.where(keeps, source.presence[name], is_given)
    return replace(target, controls=controls, nulls=nulls, given=given)


def missing_controls(control: Any, num_pieces: int) -> list[bool]:
    """Whether a control is `None` for each piece; an empty one, such as `[]`, is not missing."""
    control = to_list(control)
    if control is None:
        return [True] * num_pieces
    is_list = isinstance(control, list) and len(control) == num_pieces
    return [is_list and control[index] is None for index in range(num_pieces)]


def check_euler(scheduler: SchedulerMixin, argument: str):
    r"""
    Raises:
        [`~inputs.InputError`]: unless the scheduler is Euler's method without added noise.
    """
    is_euler = isinstance(scheduler, (FlowMatchEulerScheduler, FlowMatchEulerDiscreteScheduler))
    if not is_euler or scheduler.config.get("stochastic_sampling"):
        raise InputError(
            f"`{argument}` can't be used with `{type(scheduler).__name__}`: edits need Euler's method. Set"
            f" `pipe.scheduler = {EULER}`.",
            argument,
        )
