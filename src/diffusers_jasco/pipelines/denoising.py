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

"""The guided velocity, and the denoising loop over a scheduler's steps."""

import inspect
from collections.abc import Callable
from copy import copy, deepcopy
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from tqdm import tqdm

from ..conditioning import JascoConditioning
from ..guiders import JascoGuidance
from ..models.transformer_jasco import JascoTransformerModel
from ..schedulers.steps import DEFAULT_STEPS, check_sigmas, check_steps, is_adaptive, stored_sigmas
from ..utils.compilation import is_compiled
from ..utils.errors import InputError


# (latents, flow time) → the velocity data − noise.
Velocity: TypeAlias = Callable[[torch.Tensor, float], torch.Tensor]


class GuidedVelocity:
    r"""
    The guided velocity (data − noise) as a function of latents and time. Each evaluation is one batched forward pass
    of the transformer. At inference, the transformer is called only here.

    Args:
        transformer ([`JascoTransformerModel`]): the transformer.
        guider ([`JascoGuidance`]): the guidance. Its scales may change between evaluations.
        conditioning ([`JascoConditioning`]): the conditions of the batch.
        attention_kwargs (`dict`, *optional*): `{"scale": float}` scales LoRA layers.
    """

    def __init__(
        self,
        transformer: JascoTransformerModel,
        guider: JascoGuidance,
        conditioning: JascoConditioning,
        attention_kwargs: dict[str, Any] | None = None,
    ):
        self.transformer = transformer
        self.guider = guider
        if used := guider.used(conditioning.controls, conditioning.batch_size):
            given = conditioning.presence
            given |= {name: given[name] & mask.to(given[name].device) for name, mask in used.items()}
            conditioning = replace(conditioning.mask(used), given=given)
        nulls = guider.nulls(conditioning.nulls, conditioning.controls, conditioning.presence)
        sections = conditioning.sections
        if is_compiled(transformer):
            # Otherwise each number of tokens, and each batch with prompts of different lengths, would recompile it.
            sections = tuple(section.pad() for section in sections)
        self.conditioning = replace(conditioning, nulls=nulls, sections=sections)
        self.attention_kwargs = attention_kwargs
        self._batch_size = conditioning.batch_size
        self._name = ""
        self._branches: tuple[frozenset[str], ...] = ()
        self._model_kwargs: dict[str, torch.Tensor | None] = {}

    def for_part(self, conditioning: JascoConditioning, name: str) -> "GuidedVelocity":
        r"""
        Returns the velocity under other conditions.

        Args:
            conditioning ([`JascoConditioning`]): conditions that derive from those of this velocity.
            name (`str`): distinguishes the parts in caches of the transformer.
        """
        part = copy(self)
        part.conditioning, part._name, part._branches = conditioning, self._name + name, ()
        return part

    def __call__(self, latents: torch.Tensor, time: float) -> torch.Tensor:
        r"""
        Args:
            latents (`torch.Tensor` of shape `(batch, frames, channels)`): points on the flow path.
            time (`float`): flow time from 0 (noise) to 1 (data).

        Returns:
            `torch.Tensor` of the same shape: the velocity, in float32.
        """
        controls = tuple(self.conditioning.controls)
        branches = tuple(self.guider.branches(time, controls, self._batch_size))
        if branches != self._branches:
            self._branches = branches
            kept = [self.conditioning.keep(branch) for branch in branches]
            self._model_kwargs = JascoConditioning.cat(kept).model_kwargs()
        count = len(branches)
        with self.transformer.cache_context(self._name + "+".join(map(_branch_name, branches))):
            velocities = self.transformer(
                hidden_states=latents.to(self.transformer.dtype).repeat(count, 1, 1),
                timestep=torch.full((count * len(latents),), time, device=latents.device),
                **self._model_kwargs,
                attention_kwargs=self.attention_kwargs,
                return_dict=False,
            )[0]
        parts = dict(zip(branches, velocities.float().chunk(count)))
        return self.guider.combine(parts, time, latents, controls, self._batch_size)


class KnownFrames:
    r"""
    A velocity that leads to known latents on some of the frames, and equals another velocity on all others. On the known
    frames, the path is a straight line, which is exact for every solver.

    Args:
        velocity (`Callable`): the velocity of the other frames, such as [`GuidedVelocity`].
        data (`torch.Tensor` of shape `(batch, frames, channels)`): the known latents.
        known (`torch.Tensor` of shape `(batch, frames)`): `True` where they are known.
        noise (`torch.Tensor` of shape `(batch, frames, channels)`, *optional*):
            The initial latents, for adaptive schedulers. Without them, the velocity leads to the known latents from
            wherever the latents are, also after a scheduler or a callback has added noise.
    """

    def __init__(
        self,
        velocity: Velocity,
        data: torch.Tensor,
        known: torch.Tensor,
        noise: torch.Tensor | None = None,
    ):
        self.velocity = velocity
        self.data = data
        self.known = known[..., None]
        self.noise = noise

    def __call__(self, latents: torch.Tensor, time: float) -> torch.Tensor:
        r"""
        Args:
            latents (`torch.Tensor` of shape `(batch, frames, channels)`): points on the flow path.
            time (`float`): flow time from 0 (noise) to 1 (data).

        Returns:
            `torch.Tensor` of the same shape: the velocity, in float32.
        """
        to_data = self.data - latents if self.noise is None else self.data - self.noise
        if self.noise is None:
            to_data = to_data / max(1 - time, 1e-6)
        return torch.where(self.known, to_data, self.velocity(latents, time))


def _branch_name(branch: frozenset[str]) -> str:
    return ",".join(sorted(branch)) or "null"


def denoise(
    velocity: Velocity,
    scheduler: SchedulerMixin,
    latents: torch.Tensor,
    generator: torch.Generator | list[torch.Generator] | None = None,
    on_step: Callable[[int, torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    progress_bar: Callable[..., Any] | None = None,
    is_interrupted: Callable[[], bool] = lambda: False,
) -> torch.Tensor:
    r"""
    Integrates from noise to data.

    Conversion between the two conventions happens only here: the velocity uses the model's, with time from 0 (noise)
    to 1 (data) and data − noise; schedulers use Diffusers', with sigma from 1 (noise) to 0 (data) and noise − data.
    (The sigmas of a few schedulers increase instead.)

    Args:
        velocity (`Callable`):
            `(latents, time)` → the velocity data − noise, such as [`GuidedVelocity`].
        scheduler ([`~diffusers.SchedulerMixin`]):
            A scheduler on which [`set_timesteps`] was called.
        latents (`torch.Tensor` of shape `(batch, frames, channels)`):
            Initial latents: noise, if the first sigma is 1.
        generator (`torch.Generator` or `list[torch.Generator]`, *optional*):
            Random generator for stochastic schedulers, or a list with one per sample, which makes a batch equal to
            single runs.
        on_step (`Callable`, *optional*):
            Called with the step index, the timestep and the latents after each step; returns the latents to continue
            with. With an adaptive scheduler, it is called with the solution after each completed solver step.
        progress_bar (`Callable`, *optional*):
            Called with `total=`; returns a context manager with `update()`, such as `tqdm`.
        is_interrupted (`Callable`, *optional*):
            Checked before each evaluation; the loop stops if it returns `True`.

    Returns:
        `torch.Tensor` of the shape of `latents`.
    """
    takes_generator = "generator" in inspect.signature(scheduler.step).parameters
    step_kwargs = {"generator": generator} if takes_generator else {}
    # A single copy to the host, as some schedulers keep their sigmas on the device.
    sigmas = scheduler.sigmas.tolist()
    ascending = sigmas[-1] > sigmas[0]

    i = step = 0
    with (progress_bar or partial(tqdm, disable=True))(total=len(scheduler.timesteps)) as bar:
        # Adaptive schedulers append to their timesteps during the run.
        while i < len(scheduler.timesteps) and not is_interrupted():
            if i >= len(sigmas):
                sigmas.append(float(scheduler.sigmas[i]))
            time, timestep = sigmas[i] if ascending else 1 - sigmas[i], scheduler.timesteps[i]
            output = velocity(latents, time)
            output = output if ascending else -output
            latents = scheduler.step(output, timestep, latents, **step_kwargs, return_dict=False)[0]
            i += 1

            # Adaptive schedulers return intermediate stages; only `accepted_sample` is a solution.
            solution = getattr(scheduler, "accepted_sample", latents)
            if solution is not None:
                if on_step is not None:
                    changed = on_step(step, timestep, solution)
                    if solution is latents or is_interrupted():
                        latents = changed
                    elif not torch.equal(changed, solution):
                        latents = scheduler.restart(changed)
                step += 1
            bar.total = _estimate_num_timesteps(scheduler)
            bar.update()
    return latents


def check_scheduler(scheduler: SchedulerMixin):
    r"""
    Raises:
        `ValueError`: if the scheduler is not set up for flow matching; the message explains how to do so.
    """
    name, config = type(scheduler).__name__, scheduler.config
    if name.startswith("FlowMatch"):
        return
    if config.get("use_flow_sigmas") and config.get("prediction_type") == "flow_prediction":
        return
    hint = "FlowMatchEulerScheduler.from_config(pipe.scheduler.config)`, or another scheduler for flow matching"
    if "use_flow_sigmas" in config:
        hint = f"{name}.from_config(pipe.scheduler.config, use_flow_sigmas=True, prediction_type='flow_prediction')`"
    raise ValueError(f"`{name}` is not set up for flow matching. Set `pipe.scheduler = {hint}.")


def check_timesteps(
    scheduler: SchedulerMixin, num_inference_steps: Any, sigmas: Any
) -> tuple[int | None, np.ndarray | None]:
    r"""
    Args:
        scheduler ([`~diffusers.SchedulerMixin`]): the scheduler, which is not modified.
        num_inference_steps, sigmas: arguments of [`set_timesteps`].

    Returns:
        `tuple`: both in the form that [`set_timesteps`] uses.

    Raises:
        [`~inputs.InputError`]: if one is invalid, they contradict each other, or the scheduler does not support it.
    """
    steps = None if num_inference_steps is None else check_steps(num_inference_steps)
    grid = None if sigmas is None else check_sigmas(sigmas)
    if is_adaptive(scheduler):
        # Reuses the scheduler's own error message, on a copy.
        copy(scheduler).set_timesteps(steps, sigmas=None if grid is None else grid.tolist())
    if grid is not None:
        if not takes_sigmas(scheduler):
            name = type(scheduler).__name__
            raise InputError(f"`{name}` does not support `sigmas`. Give `num_inference_steps` instead.", "sigmas")
        if steps not in (None, len(grid)):
            raise InputError(
                f"`num_inference_steps` is {steps}, but there are {len(grid)} `sigmas`.", "num_inference_steps"
            )
    return steps, grid


def takes_sigmas(scheduler: SchedulerMixin) -> bool:
    """Whether a scheduler accepts a grid of sigmas."""
    return "sigmas" in inspect.signature(scheduler.set_timesteps).parameters


def set_timesteps(
    scheduler: SchedulerMixin,
    num_inference_steps: int | None,
    sigmas: list[float] | np.ndarray | None,
    device: torch.device,
    default_num_inference_steps: int | None,
):
    r"""
    Sets the scheduler's timesteps.

    Args:
        scheduler ([`~diffusers.SchedulerMixin`]): the scheduler.
        num_inference_steps (`int`, *optional*):
            Number of steps.
        sigmas (`list[float]` or `np.ndarray`, *optional*):
            The grid. By default, it is that of the scheduler's configuration if that has as many steps, or else the
            uniform grid; schedulers that do not accept sigmas use their own.
        device (`torch.device`): device of the timesteps.
        default_num_inference_steps (`int`, *optional*): number of steps if neither is given, by default 100; unused
            with adaptive schedulers.

    Raises:
        [`~inputs.InputError`]: if the scheduler does not support the arguments.
    """
    num_inference_steps, sigmas = check_timesteps(scheduler, num_inference_steps, sigmas)
    if is_adaptive(scheduler):
        scheduler.set_timesteps(device=device)
        return
    steps = num_inference_steps or default_num_inference_steps or DEFAULT_STEPS
    if takes_sigmas(scheduler):
        stored = stored_sigmas(scheduler)
        if sigmas is None and stored and len(stored) == steps:
            sigmas = check_sigmas(stored)
        grid = np.linspace(1.0, 1.0 / steps, steps) if sigmas is None else sigmas
        scheduler.set_timesteps(sigmas=grid, device=device)
    else:
        scheduler.set_timesteps(steps, device=device)
    # Otherwise some schedulers look up the index of a timestep, which is ambiguous: integer timesteps may repeat.
    scheduler.set_begin_index(0)


def initial_sigma(scheduler: SchedulerMixin, sigmas: np.ndarray) -> float:
    """The share of noise, from 0 to 1, at which a scheduler begins with a grid of sigmas, which it may shift."""
    scheduler = deepcopy(scheduler)
    set_timesteps(scheduler, None, sigmas, torch.device("cpu"), None)
    first, last = scheduler.sigmas[[0, -1]].tolist()
    return 1 - first if last > first else first


def _estimate_num_timesteps(scheduler: SchedulerMixin) -> int:
    """The number of timesteps, extrapolated from the progress for adaptive schedulers."""
    done, sigmas = len(scheduler.timesteps), scheduler.sigmas
    if len(sigmas) > done:
        return done
    return max(done, round(done / max(1 - float(sigmas[-1]), 0.01)))
