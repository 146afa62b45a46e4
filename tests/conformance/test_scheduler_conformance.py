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

"""diffusers' SchedulerCommonTest against the adapter's scheduler.

No in-tree flow-matching scheduler runs SchedulerCommonTest (they lack `scale_model_input`, `init_noise_sigma`,
`add_noise` and betas, and have no `_compatibles`); ours has all of these but betas. The FlowMatch contract below is
what the flow-matching pipelines really rely on.
"""

import inspect

import numpy as np
import pytest
import torch

from . import adapter as S
from ._harness import mixins


common = mixins("schedulers.test_schedulers")


class TestSchedulerCommon(common.SchedulerCommonTest):
    scheduler_classes = (S.scheduler_class(),)
    forward_default_kwargs = (("num_inference_steps", S.SCHEDULER_STEPS),)

    def get_scheduler_config(self, **kwargs):
        return {**S.scheduler_config(), **kwargs}

    def test_configs(self):
        for name, values in S.SCHEDULER_CONFIG_SWEEP.items():
            for value in values:
                scheduler = S.scheduler_class()(**self.get_scheduler_config(**{name: value}))
                scheduler.set_timesteps(S.SCHEDULER_STEPS)
                self.check_over_configs(time_step=scheduler.timesteps[0], **{name: value})

    def test_forward(self):
        for steps in (1, 10, 50):
            scheduler = S.scheduler_class()(**S.scheduler_config())
            scheduler.set_timesteps(steps)
            self.check_over_forward(num_inference_steps=steps, time_step=scheduler.timesteps[0])


del common.SchedulerCommonTest  # or pytest collects the base class through this module's namespace


def make(**kwargs):
    return S.scheduler_class()(**{**S.scheduler_config(), **kwargs})


class TestFlowMatchContract:
    """`d` is +1 where sigmas ascend (invert_sigmas: model output = v) and -1 where they descend (model output = -v)."""

    @staticmethod
    def direction(scheduler):
        return 1.0 if scheduler.sigmas[-1] > scheduler.sigmas[0] else -1.0

    @pytest.mark.parametrize("steps", [1, 2, 7, 100])
    def test_grid(self, steps):
        scheduler = make()
        kwargs = (
            {"sigmas": np.linspace(1.0, 1.0 / steps, steps)}
            if "sigmas" in inspect.signature(scheduler.set_timesteps).parameters
            else {"num_inference_steps": steps}
        )
        scheduler.set_timesteps(**kwargs)
        sigmas = scheduler.sigmas
        assert len(scheduler.timesteps) >= steps and len(sigmas) == len(scheduler.timesteps) + 1
        assert {round(float(sigmas[0]), 3), round(float(sigmas[-1]), 3)} == {0.0, 1.0}
        assert (self.direction(scheduler) * (sigmas[1:] - sigmas[:-1]) >= 0).all(), "sigmas must be monotonic"

    @pytest.mark.parametrize("steps", [1, 7, 100])
    def test_default_grid_is_uniform(self, steps):
        # audiocraft's Euler loop: t = 0, 1/N, ..., 1. FlowMatchEulerDiscreteScheduler's default is *not* this grid.
        scheduler = make()
        scheduler.set_timesteps(steps)
        expected = torch.linspace(1.0, 0.0, steps + 1)
        expected = expected.flip(0) if self.direction(scheduler) > 0 else expected
        torch.testing.assert_close(scheduler.sigmas.cpu(), expected, atol=1e-6, rtol=0)

    def test_constant_velocity_is_integrated_exactly(self):
        scheduler = make()
        scheduler.set_timesteps(13)
        z = torch.zeros(2, 5, 3)
        v = torch.randn(2, 5, 3)
        d = self.direction(scheduler)
        for t in scheduler.timesteps:
            z = scheduler.step(d * v, t, z, return_dict=False)[0]
        torch.testing.assert_close(z, v, atol=1e-5, rtol=1e-5)

    def test_linear_velocity_converges_to_the_flow_map(self):
        # v = -z  =>  z(1) = z(0) / e
        errors = []
        for steps in (50, 100):
            scheduler = make()
            scheduler.set_timesteps(steps)
            z = torch.ones(4, dtype=torch.float64)
            d = self.direction(scheduler)
            for t in scheduler.timesteps:
                z = scheduler.step(d * -z, t, z, return_dict=False)[0]
            errors.append(float((z - np.exp(-1)).abs().max()))
        assert errors[1] < 0.6 * errors[0] and errors[1] < 5e-3, errors

    def test_sample_is_upcast_and_output_keeps_the_model_dtype(self):
        scheduler = make()
        scheduler.set_timesteps(4)
        out = scheduler.step(
            torch.ones(2, 3, dtype=torch.bfloat16), scheduler.timesteps[0], torch.zeros(2, 3, dtype=torch.bfloat16)
        )
        assert out.prev_sample.dtype == torch.bfloat16

    def test_state(self):
        scheduler = make()
        scheduler.set_timesteps(4)
        assert scheduler.step_index is None and scheduler.begin_index is None
        scheduler.set_begin_index(0)
        scheduler.step(torch.ones(2, 3), scheduler.timesteps[0], torch.zeros(2, 3))
        assert scheduler.step_index == 1
        scheduler.set_timesteps(4)
        assert scheduler.step_index is None

    def test_integer_indices_are_refused(self):
        scheduler = make()
        scheduler.set_timesteps(4)
        with pytest.raises(ValueError):
            scheduler.step(torch.ones(2, 3), 0, torch.zeros(2, 3))

    def test_order_and_len(self):
        assert isinstance(S.scheduler_class().order, int)
        assert len(make()) == make().config.num_train_timesteps
