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

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils import BaseOutput

from ..utils.errors import InputError
from .steps import check_sigmas, check_steps


@dataclass
class FlowMatchEulerSchedulerOutput(BaseOutput):
    """
    Output of the scheduler's `step`.

    Args:
        prev_sample (`torch.Tensor` of the shape of `sample`):
            The sample at the next, smaller sigma: the next model input.
    """

    prev_sample: torch.Tensor


class FlowMatchEulerScheduler(SchedulerMixin, ConfigMixin):
    r"""
    The flow-matching path of JASCO ([arXiv 2406.10970](https://arxiv.org/abs/2406.10970), §3.1) and the Euler solver
    on its uniform grid.

    With noise `z_0`, data `z_1`, `t = 1 - sigma` and `s = sigma_min`, the path is `z_t = (1 - (1 - s) t) z_0 + t z_1`
    and its velocity `z_1 - (1 - s) z_0`. As in Diffusers' flow-matching schedulers, sigma falls from 1 (noise) to 0
    (data), timesteps are `num_train_timesteps * sigma` in floats, and the model output is noise − data: the negative
    of the output of [`JascoTransformerModel`]. The schedulers are therefore interchangeable.

    N steps visit sigma = 1, 1 − 1/N, ..., 1/N, like AudioCraft's Euler loop; `FlowMatchEulerDiscreteScheduler` does
    the same if these `sigmas` are passed.

    This model inherits from [`SchedulerMixin`] and [`ConfigMixin`].

    Args:
        num_train_timesteps (`int`, defaults to `1000`):
            Scale of the timesteps. Keep the default: other schedulers created from this configuration divide the path
            into this many parts.
        sigma_min (`float`, defaults to `1e-5`):
            Fraction of the noise that remains at the data end of the path.
        num_inference_steps (`int`, *optional*):
            Default number of steps of a pipeline call; see [`~schedulers.steps.default_steps`].
        inference_sigmas (`list[float]`, *optional*):
            Grid of a pipeline call with `num_inference_steps`, such as one that a model was distilled for: decreasing
            sigmas in (0, 1], one for each step.
    """

    _compatibles = [
        "FlowMatchDopri5Scheduler",
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
        num_inference_steps: int | None = None,
        inference_sigmas: list[float] | None = None,
    ):
        if inference_sigmas is not None and len(check_sigmas(inference_sigmas)) != num_inference_steps:
            raise ValueError(
                f"`inference_sigmas` has to have one number for each of {num_inference_steps} steps, but has"
                f" {len(inference_sigmas)}."
            )
        if num_inference_steps is not None:
            self.register_to_config(num_inference_steps=check_steps(num_inference_steps))
        self._step_index: int | None = None
        self._begin_index: int | None = None
        self.num_inference_steps: int | None = None
        self._set_sigmas(np.linspace(1.0, 1.0 / num_train_timesteps, num_train_timesteps))

    def __len__(self) -> int:
        return self.config.num_train_timesteps

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
        Sets the index of the first timestep.

        Args:
            begin_index (`int`, defaults to `0`): the index in `timesteps`.
        """
        self._begin_index = begin_index

    def _set_sigmas(self, sigmas: np.ndarray, device: str | torch.device | None = None):
        self.sigmas = torch.from_numpy(np.append(sigmas, 0.0).astype(np.float32))
        self.timesteps = (self.sigmas[:-1] * self.config.num_train_timesteps).to(device)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        sigmas: list[float] | np.ndarray | torch.Tensor | None = None,
    ):
        """
        Sets the timesteps of a run.

        Args:
            num_inference_steps (`int`, *optional*):
                Number of steps N of the uniform grid 1, 1 − 1/N, ..., 1/N.
            device (`str` or `torch.device`, *optional*):
                Device of `timesteps`.
            sigmas (`list[float]`, *optional*):
                A custom grid instead: strictly decreasing values in (0, 1]; the final 0 is added.

        Raises:
            `ValueError`: if neither is given, both contradict each other, or `sigmas` are not strictly decreasing in
            (0, 1].
        """
        if num_inference_steps is not None:
            num_inference_steps = check_steps(num_inference_steps)
        if sigmas is not None:
            grid = check_sigmas(sigmas)
            if num_inference_steps not in (None, len(grid)):
                raise InputError(
                    f"`num_inference_steps` is {num_inference_steps}, but there are {len(grid)} `sigmas`.",
                    "num_inference_steps",
                )
        elif num_inference_steps is None:
            raise InputError("`set_timesteps` requires `num_inference_steps` or `sigmas`.", "num_inference_steps")
        else:
            grid = np.linspace(1.0, 1.0 / num_inference_steps, num_inference_steps)

        self.num_inference_steps = len(grid)
        self._set_sigmas(grid, device)
        self._step_index = None
        self._begin_index = None

    def index_for_timestep(self, timestep: float | torch.Tensor) -> int:
        """
        Returns the index of `timestep` in `timesteps`.

        Raises:
            `ValueError`: if it is not one of `timesteps`.
        """
        matches = (self.timesteps == float(timestep)).nonzero()
        if not len(matches):
            raise ValueError(f"{float(timestep)} is not one of `scheduler.timesteps`: {self.timesteps.tolist()}.")
        return matches[0].item()

    def scale_model_input(self, sample: torch.Tensor, timestep: float | torch.Tensor | None = None) -> torch.Tensor:
        """Returns `sample` unchanged, since flow-matching models take unscaled inputs."""
        return sample

    def step(
        self,
        model_output: torch.Tensor,
        timestep: float | torch.Tensor,
        sample: torch.Tensor,
        return_dict: bool = True,
    ) -> FlowMatchEulerSchedulerOutput | tuple[torch.Tensor]:
        """
        Takes one Euler step from the current sigma to the next, in float32.

        Args:
            model_output (`torch.Tensor`):
                The direction noise − data.
            timestep (`float` or `torch.Tensor`):
                One of `timesteps`, not an index.
            sample (`torch.Tensor`):
                The sample at this timestep.
            return_dict (`bool`, defaults to `True`):
                Whether to return a [`FlowMatchEulerSchedulerOutput`] instead of a plain tuple.

        Returns:
            [`FlowMatchEulerSchedulerOutput`] or `tuple`: the sample at the next sigma, in the dtype of `model_output`.

        Raises:
            `ValueError`: if `timestep` is an integer or not one of `timesteps`.
        """
        index = self._find_index(timestep)
        step_size = float(self.sigmas[index + 1] - self.sigmas[index])
        prev_sample = sample.float() + step_size * model_output.float()
        prev_sample = prev_sample.to(model_output.dtype)
        self._step_index = index + 1

        if not return_dict:
            return (prev_sample,)
        return FlowMatchEulerSchedulerOutput(prev_sample=prev_sample)

    def _find_index(self, timestep: float | torch.Tensor) -> int:
        """The index of the current step in `timesteps`."""
        if isinstance(timestep, int) or (torch.is_tensor(timestep) and not timestep.is_floating_point()):
            raise ValueError("`timestep` has to be one of `scheduler.timesteps`, not an integer index.")
        index = self._step_index if self._step_index is not None else self.begin_index
        return self.index_for_timestep(timestep) if index is None else index

    def _sigma(self, timestep: float | torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """The sigma of each timestep, shaped to broadcast against `sample`."""
        timestep = torch.as_tensor(timestep, device=sample.device)
        sigma = (timestep.to(torch.float32) / self.config.num_train_timesteps).to(sample.dtype)
        return sigma.reshape(sigma.shape + (1,) * (sample.ndim - sigma.ndim))

    def scale_noise(self, sample: torch.Tensor, timestep: float | torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """
        Returns a point on the path between `noise` and `sample`. The timestep need not be on the grid, since training
        samples timesteps from a continuous range.

        Args:
            sample (`torch.Tensor` of shape `(batch, ...)`):
                Data.
            timestep (`float` or `torch.Tensor` of shape `(batch,)`):
                `num_train_timesteps * sigma`, between 0 (data) and `num_train_timesteps` (noise).
            noise (`torch.Tensor` of shape `(batch, ...)`):
                Noise.

        Returns:
            `torch.Tensor`: `(sigma + sigma_min (1 - sigma)) noise + (1 - sigma) sample`.
        """
        sigma = self._sigma(timestep, sample)
        return (sigma + self.config.sigma_min * (1 - sigma)) * noise + (1 - sigma) * sample

    def add_noise(self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """[`scale_noise`] with the name and argument order of other Diffusers schedulers."""
        return self.scale_noise(original_samples, timesteps, noise)

    def get_velocity(self, sample: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """
        Returns the training target of [`JascoTransformerModel`], which is constant along the path.

        Args:
            sample (`torch.Tensor`): data.
            noise (`torch.Tensor`): noise.

        Returns:
            `torch.Tensor`: `sample - (1 - sigma_min) noise`.
        """
        return sample - (1 - self.config.sigma_min) * noise

    def get_loss_weight(
        self,
        timestep: torch.Tensor,
        weighting: Literal["uniform", "increasing", "decreasing"] = "uniform",
    ) -> torch.Tensor:
        """
        Returns the weight of each sample's squared error as a function of its time `t = 1 - sigma`.

        Args:
            timestep (`torch.Tensor` of shape `(batch,)`):
                `num_train_timesteps * sigma`, as for [`scale_noise`].
            weighting (`str`, defaults to `"uniform"`):
                `"uniform"`: 1, `"increasing"` (AudioCraft's default): 1 + t, `"decreasing"`: 2 − t.

        Returns:
            `torch.Tensor` of shape `(batch,)`: the weights.

        Raises:
            `ValueError`: for another weighting.
        """
        time = 1 - timestep.to(torch.float32) / self.config.num_train_timesteps
        if weighting == "uniform":
            return torch.ones_like(time)
        if weighting == "increasing":
            return 1 + time
        if weighting == "decreasing":
            return 2 - time
        raise ValueError(f"`weighting` has to be 'uniform', 'increasing' or 'decreasing', but is {weighting!r}.")
