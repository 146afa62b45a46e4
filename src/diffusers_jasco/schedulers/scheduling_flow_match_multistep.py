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

from collections.abc import Sequence

import numpy as np
import torch

from .scheduling_flow_match_euler import FlowMatchEulerScheduler, FlowMatchEulerSchedulerOutput


# Numbers of velocities that predict and correct a step; also the orders of these formulas.
PREDICTOR_ORDER = 2
CORRECTOR_ORDER = 3


class FlowMatchMultistepScheduler(FlowMatchEulerScheduler):
    r"""
    Second-order multistep solver with one model evaluation per step: an Adams–Bashforth step of order 2 on any grid,
    which the next evaluation corrects with the Adams–Moulton formula of order 3, as UniPC
    ([arXiv 2302.04867](https://arxiv.org/abs/2302.04867)) corrects its steps. In contrast to UniPC and DPM++, it
    interpolates the velocity as a function of sigma instead of the data prediction as a function of the
    signal-to-noise ratio, so the last step is of order 2, too.

    It needs far fewer steps than Euler's for the same accuracy, in particular on a grid from
    [`~schedulers.grids.power_sigmas`].

    This model inherits from [`FlowMatchEulerScheduler`].

    Args:
        num_train_timesteps, sigma_min, num_inference_steps, inference_sigmas: as in [`FlowMatchEulerScheduler`].
    """

    _compatibles = [
        "FlowMatchDopri5Scheduler",
        "FlowMatchEulerDiscreteScheduler",
        "FlowMatchEulerScheduler",
        "FlowMatchHeunDiscreteScheduler",
        "UniPCMultistepScheduler",
        "DPMSolverMultistepScheduler",
    ]

    def _set_sigmas(self, sigmas: np.ndarray, device: str | torch.device | None = None):
        super()._set_sigmas(sigmas, device)
        # Model outputs with their sigmas, newest first, and the last increment of the sample.
        self._outputs: list[tuple[float, torch.Tensor]] = []
        self._increment: torch.Tensor | None = None

    def step(
        self,
        model_output: torch.Tensor,
        timestep: float | torch.Tensor,
        sample: torch.Tensor,
        return_dict: bool = True,
    ) -> FlowMatchEulerSchedulerOutput | tuple[torch.Tensor]:
        """
        Corrects the last step and takes one step from the current sigma to the next, in float32.

        Args:
            model_output (`torch.Tensor`):
                The direction noise − data.
            timestep (`float` or `torch.Tensor`):
                One of `timesteps`, not an index.
            sample (`torch.Tensor`):
                The sample at this timestep. Changes to the sample since the last step are kept.
            return_dict (`bool`, defaults to `True`):
                Whether to return a [`FlowMatchEulerSchedulerOutput`] instead of a plain tuple.

        Returns:
            [`FlowMatchEulerSchedulerOutput`] or `tuple`: the sample at the next sigma, in the dtype of `model_output`.

        Raises:
            `ValueError`: if `timestep` is an integer or not one of `timesteps`.
        """
        index = self._find_index(timestep)
        sigma, next_sigma = (float(value) for value in self.sigmas[index : index + 2])
        outputs = [(sigma, model_output.float()), *self._outputs]
        prev_sample = sample.float()
        if self._increment is not None:
            corrected = _integrate(outputs[:CORRECTOR_ORDER], outputs[1][0], sigma)
            prev_sample = prev_sample + corrected - self._increment
        self._increment = _integrate(outputs[:PREDICTOR_ORDER], sigma, next_sigma)
        self._outputs = outputs[: CORRECTOR_ORDER - 1]
        self._step_index = index + 1
        prev_sample = (prev_sample + self._increment).to(model_output.dtype)
        if not return_dict:
            return (prev_sample,)
        return FlowMatchEulerSchedulerOutput(prev_sample=prev_sample)


def _integrate(outputs: Sequence[tuple[float, torch.Tensor]], start: float, end: float) -> torch.Tensor:
    """The integral from `start` to `end` of the polynomial through outputs at their sigmas."""
    total = torch.zeros_like(outputs[0][1])
    for index, (sigma, output) in enumerate(outputs):
        others = [other for number, (other, _) in enumerate(outputs) if number != index]
        basis = np.poly1d(others, r=True) / np.prod([sigma - other for other in others])
        integral = np.polyint(basis)
        total = total + float(integral(end) - integral(start)) * output
    return total
