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
from collections.abc import Generator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils import BaseOutput

from ..utils.errors import InputError


# Dormand & Prince (1980): nodes, stages (the last one is the fifth-order solution), and the weights of Shampine's
# (1986) error estimate, all as in torchdiffeq, which AudioCraft calls.
NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (
    35 / 384 - 1951 / 21600,
    0.0,
    500 / 1113 - 22642 / 50085,
    125 / 192 - 451 / 720,
    -2187 / 6784 + 12231 / 42400,
    11 / 84 - 649 / 6300,
    -1 / 60,
)
# Step size control, as in torchdiffeq: safety factor, and bounds of the change from one step to the next.
SAFETY = 0.9
MIN_FACTOR = 0.2
MAX_FACTOR = 10.0


@dataclass
class FlowMatchDopri5SchedulerOutput(BaseOutput):
    """
    Output of the scheduler's `step`.

    Args:
        prev_sample (`torch.Tensor` of the shape of `sample`):
            The next model input, to be evaluated at the last of `sigmas`; the final sample after the last step.
    """

    prev_sample: torch.Tensor


class FlowMatchDopri5Scheduler(SchedulerMixin, ConfigMixin):
    r"""
    Adaptive Dormand–Prince solver of order 5(4), the default of AudioCraft's JASCO. It chooses its step sizes such
    that the root-mean-square error of each step, estimated relative to `atol + rtol * |sample|`, stays below 1.

    Every call of `step` consumes one model evaluation and returns the point of the next one. `sigmas` and `timesteps`
    grow accordingly: the loop ends when `len(sigmas) == len(timesteps) + 1`, a condition that holds from the start for
    solvers with a fixed grid. A solver step takes six evaluations; there are two more at the beginning.

    The error norm is computed over the whole batch, as in AudioCraft, so the step sizes, and the last digits of a
    sample, depend on the rest of the batch. The final step ends exactly at `sigma_min`, whereas torchdiffeq steps
    beyond it and interpolates: the number of evaluations is the same, and the results agree within the solver's
    tolerance.

    This model inherits from [`SchedulerMixin`] and [`ConfigMixin`].

    Args:
        num_train_timesteps (`int`, defaults to `1000`):
            Scale of the timesteps, for schedulers created from this configuration.
        sigma_min (`float`, defaults to `1e-5`):
            Sigma at which the integration from sigma = 1 ends.
        rtol (`float`, defaults to `1e-5`):
            Relative tolerance.
        atol (`float`, defaults to `1e-5`):
            Absolute tolerance.
    """

    _compatibles = [
        "FlowMatchEulerScheduler",
        "FlowMatchEulerDiscreteScheduler",
        "FlowMatchHeunDiscreteScheduler",
        "FlowMatchMultistepScheduler",
        "UniPCMultistepScheduler",
        "DPMSolverMultistepScheduler",
    ]
    order = 1
    init_noise_sigma = 1.0

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        sigma_min: float = 1e-5,
        rtol: float = 1e-5,
        atol: float = 1e-5,
    ):
        if not (rtol >= 0 and atol >= 0 and rtol + atol > 0):
            raise ValueError(f"`rtol` and `atol` have to be ≥ 0, and one of them > 0, but are {rtol} and {atol}.")
        self.set_timesteps()

    def __len__(self) -> int:
        return self.config.num_train_timesteps

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles can't contain a running solver (a generator); their `step` raises an error instead.
        return vars(self) | {"_solver": None}

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        sigmas: list[float] | None = None,
    ):
        """
        Prepares a run.

        Args:
            num_inference_steps (`int`, *optional*), sigmas (`list[float]`, *optional*):
                Not supported: the solver chooses its own steps.
            device (`str` or `torch.device`, *optional*):
                Device of `timesteps`.

        Raises:
            `ValueError`: if `num_inference_steps` or `sigmas` is given.
        """
        if num_inference_steps is not None or sigmas is not None:
            raise InputError(
                f"`FlowMatchDopri5Scheduler` chooses its own steps, so `num_inference_steps` ({num_inference_steps}) and"
                f" `sigmas` ({sigmas}) can't be set. Set `rtol` and `atol`, or use a scheduler with a fixed number of"
                " steps: `pipe.scheduler = FlowMatchEulerScheduler.from_config(pipe.scheduler.config)`.",
                "sigmas" if num_inference_steps is None else "num_inference_steps",
            )
        self.sigmas = torch.ones(1)
        self.timesteps = torch.full((1,), float(self.config.num_train_timesteps), device=device)
        self.accepted_sample: torch.Tensor | None = None
        self._solver: Generator[tuple[float, torch.Tensor], torch.Tensor, None] | None = None
        self._time = 0.0
        self._step_size: float | None = None
        self._step_index: int | None = None
        self._begin_index: int | None = None

    @property
    def function_evaluations(self) -> int:
        """Number of model evaluations in the current or last run."""
        return self._step_index or 0

    @property
    def step_index(self) -> int | None:
        """Index of the current timestep; `None` before the first step."""
        return self._step_index

    @property
    def begin_index(self) -> int | None:
        """Index of the first timestep, set by pipelines with `set_begin_index`."""
        return self._begin_index

    def set_begin_index(self, begin_index: int = 0):
        """
        Part of the scheduler interface; adaptive solvers only support starting at the first timestep.

        Args:
            begin_index (`int`, defaults to `0`): 0.

        Raises:
            `ValueError`: for another index.
        """
        if begin_index != 0:
            raise ValueError(f"`begin_index` has to be 0 for an adaptive solver, but is {begin_index}.")
        self._begin_index = begin_index

    def scale_model_input(self, sample: torch.Tensor, timestep: float | torch.Tensor | None = None) -> torch.Tensor:
        """Returns `sample` unchanged, since flow-matching models take unscaled inputs."""
        return sample

    def step(
        self,
        model_output: torch.Tensor,
        timestep: float | torch.Tensor,
        sample: torch.Tensor,
        return_dict: bool = True,
    ) -> FlowMatchDopri5SchedulerOutput | tuple[torch.Tensor]:
        """
        Consumes one model evaluation and returns the point of the next one. If this completes a solver step whose
        error is within the tolerance, `accepted_sample` is the solution at its end, otherwise `None`.

        Args:
            model_output (`torch.Tensor`):
                The direction noise − data at `sample`.
            timestep (`float` or `torch.Tensor`):
                The last of `timesteps`.
            sample (`torch.Tensor`):
                The noise in the first step, later the unchanged output of the previous step (see [`restart`]).
            return_dict (`bool`, defaults to `True`):
                Whether to return a [`FlowMatchDopri5SchedulerOutput`] instead of a plain tuple.

        Returns:
            [`FlowMatchDopri5SchedulerOutput`] or `tuple`: the next model input, or the final sample.

        Raises:
            `ValueError`: after the last step, or if the velocity is not finite, or so rough that the step size
            underflows.
        """
        if len(self.sigmas) > len(self.timesteps):
            raise ValueError("The integration is finished: call `set_timesteps` before the next run.")
        solver = self._solver
        if solver is None and self._step_index:
            raise ValueError("A copy of a scheduler can't continue its run: call `set_timesteps` first.")
        if solver is None:
            solver = self._solver = self._solve(sample.float())
            next(solver)

        self.accepted_sample = None
        time, prev_sample = solver.send(-model_output.float())
        self._step_index = self.function_evaluations + 1
        self._append_sigma(1 - time, finished=self.accepted_sample is prev_sample)

        prev_sample = prev_sample.to(model_output.dtype)
        if not return_dict:
            return (prev_sample,)
        return FlowMatchDopri5SchedulerOutput(prev_sample=prev_sample)

    def restart(self, sample: torch.Tensor) -> torch.Tensor:
        """
        Continues from `sample` instead of `accepted_sample`, at the cost of one model evaluation.

        Args:
            sample (`torch.Tensor` of the shape of `accepted_sample`): the new solution at the same sigma.

        Returns:
            `torch.Tensor`: the next model input.

        Raises:
            `ValueError`: if the last evaluation did not complete a solver step.
        """
        if self.accepted_sample is None:
            raise ValueError("`restart` is only possible after a completed solver step (see `accepted_sample`).")
        if len(self.sigmas) > len(self.timesteps):
            return sample
        solver = self._solver = self._solve(sample.float())
        time, _ = next(solver)
        self.sigmas, self.timesteps = self.sigmas[:-1], self.timesteps[:-1]
        self._append_sigma(1 - time)
        return sample

    def _append_sigma(self, sigma: float, finished: bool = False):
        self.sigmas = torch.cat([self.sigmas, self.sigmas.new_tensor([sigma])])
        if not finished:
            timestep = self.timesteps.new_tensor([sigma * self.config.num_train_timesteps])
            self.timesteps = torch.cat([self.timesteps, timestep])

    def _solve(self, sample: torch.Tensor) -> Generator[tuple[float, torch.Tensor], torch.Tensor, None]:
        """
        Integrates from `self._time`: yields each point (time, sample) at which the velocity is needed and receives the
        velocity with `send`; the last point is the result. Times are Python floats, as MPS does not support float64.
        """
        end = 1 - self.config.sigma_min
        velocity = yield self._time, sample
        if self._step_size is None:
            self._step_size = yield from self._first_step_size(sample, velocity)

        while True:
            time, rest = self._time, end - self._time
            step_size = min(self._step_size, rest)
            if not time + step_size > time:
                raise ValueError(
                    f"The step size underflows at time {time} ({step_size}): the model's velocity is not finite or not"
                    f" smooth enough for `rtol` {self.config.rtol} and `atol` {self.config.atol}."
                )
            velocities = [velocity]
            for node, weights in zip(NODES, STAGES):
                candidate = sample + step_size * _weighted_sum(weights, velocities)
                velocities.append((yield time + node * step_size, candidate))

            error = step_size * _weighted_sum(ERROR, velocities)
            ratio = self._norm(error, torch.maximum(sample.abs(), candidate.abs()))
            # Not `ratio > 1`, so that NaN is rejected.
            accepted = ratio <= 1
            factor = MAX_FACTOR if ratio == 0 else SAFETY / ratio ** (1 / 5)
            factor = min(MAX_FACTOR, max(factor, 1.0 if accepted else MIN_FACTOR)) if factor == factor else MIN_FACTOR
            self._step_size = step_size * factor

            if accepted:
                # The last stage was evaluated at the solution, so it is also the first stage of the next step.
                sample, velocity = candidate, velocities[-1]
                self._time, self.accepted_sample = time + step_size, sample
                if step_size == rest:
                    yield end, sample

    def _first_step_size(
        self, sample: torch.Tensor, velocity: torch.Tensor
    ) -> Generator[tuple[float, torch.Tensor], torch.Tensor, float]:
        """Initial step size (Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, §II.4)."""
        scale = sample.abs()
        d0, d1 = self._norm(sample, scale), self._norm(velocity, scale)
        if not math.isfinite(d0 + d1):
            raise ValueError("The initial sample or the model's velocity at it is not finite.")
        trial = 1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1
        trial_velocity = yield self._time + trial, sample + trial * velocity
        d2 = self._norm(trial_velocity - velocity, scale) / trial
        if max(d1, d2) <= 1e-15:
            return max(1e-6, trial * 1e-3)
        return min(100 * trial, (0.01 / max(d1, d2)) ** (1 / 5))

    def _norm(self, value: torch.Tensor, scale: torch.Tensor) -> float:
        """Root mean square of `value` in units of the tolerance at `scale`, over the whole batch."""
        return (value / (self.config.atol + self.config.rtol * scale)).square().mean().sqrt().item()


def _weighted_sum(weights: tuple[float, ...], tensors: list[torch.Tensor]) -> torch.Tensor:
    return reduce(torch.add, (weight * tensor for weight, tensor in zip(weights, tensors) if weight))
