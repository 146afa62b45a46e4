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


"""The flow-matching objective."""

from typing import Literal

import torch

from ..schedulers.scheduling_flow_match_euler import FlowMatchEulerScheduler


def draw_times(
    batch_size: int,
    sampling: Literal["uniform", "power"] = "uniform",
    power: float = 2.0,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    r"""
    Times of the path at which a batch is trained.

    Args:
        batch_size (`int`):
            Number of times.
        sampling (`str`, defaults to `"uniform"`):
            `"uniform"`: as the original; `"power"`: `u ** power` of a uniform `u`, with a power above 1 more often near
            the noise, where the conditions matter most.
        power (`float`, defaults to `2.0`):
            The power, above 0.
        generator (`torch.Generator`, *optional*):
            Makes the draw reproducible.

    Returns:
        `torch.Tensor` of shape `(batch_size,)`: times in [0, 1), 0 = noise, 1 = data.

    Raises:
        `ValueError`: for another sampling, or a power that is not positive.
    """
    times = torch.rand(batch_size, generator=generator)
    if sampling == "uniform":
        return times
    if sampling == "power":
        if not power > 0:
            raise ValueError(f"`power` has to be positive, but is {power}.")
        return times**power
    raise ValueError(f"`sampling` has to be 'uniform' or 'power', but is {sampling!r}.")


def noise_latents(
    scheduler: FlowMatchEulerScheduler, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""
    What the model sees, and what it should return.

    Args:
        scheduler ([`FlowMatchEulerScheduler`]): owner of the path.
        latents (`torch.Tensor` of shape `(batch, frames, dim)`): normalised data.
        noise (`torch.Tensor` of the same shape): noise.
        times (`torch.Tensor` of shape `(batch,)`): times in [0, 1].

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: the points of the path, and its velocities data − noise.
    """
    timesteps = scheduler.config.num_train_timesteps * (1 - times)
    return scheduler.scale_noise(latents, timesteps, noise), scheduler.get_velocity(latents, noise)


def flow_matching_loss(
    scheduler: FlowMatchEulerScheduler,
    velocity: torch.Tensor,
    target: torch.Tensor,
    times: torch.Tensor,
    weighting: Literal["uniform", "increasing", "decreasing"] = "uniform",
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""
    The loss of a batch, in float32.

    Args:
        scheduler ([`FlowMatchEulerScheduler`]): owner of the weights.
        velocity (`torch.Tensor` of shape `(batch, frames, dim)`): what the model returns.
        target (`torch.Tensor` of the same shape): what it should return.
        times (`torch.Tensor` of shape `(batch,)`): times in [0, 1].
        weighting (`str`, defaults to `"uniform"`): as in [`FlowMatchEulerScheduler.get_loss_weight`].

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: the mean of the weighted errors, and the mean squared error of each sample,
        unweighted and without a graph, of shape `(batch,)`.
    """
    errors = (velocity.float() - target.float()).square().flatten(1).mean(dim=1)
    weights = scheduler.get_loss_weight(scheduler.config.num_train_timesteps * (1 - times), weighting)
    return (weights * errors).mean(), errors.detach()
