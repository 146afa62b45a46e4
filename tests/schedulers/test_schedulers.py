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

import numpy as np
import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    UniPCMultistepScheduler,
)

from diffusers_jasco import FlowMatchDopri5Scheduler, FlowMatchEulerScheduler, FlowMatchMultistepScheduler
from diffusers_jasco.schedulers.grids import power_sigmas
from diffusers_jasco.schedulers.steps import partial_sigmas, set_default_steps


def test_the_grid_equals_audiocrafts():
    scheduler = FlowMatchEulerScheduler()
    scheduler.set_timesteps(4)
    assert scheduler.sigmas.tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert scheduler.timesteps.tolist() == [1000.0, 750.0, 500.0, 250.0]
    scheduler.set_timesteps(sigmas=[1.0, 0.5, 0.1])
    assert scheduler.sigmas.tolist() == pytest.approx([1.0, 0.5, 0.1, 0.0])


def test_the_euler_loop_equals_audiocrafts():
    generator = torch.Generator().manual_seed(0)
    matrix, noise = torch.randn(3, 3, generator=generator), torch.randn(2, 3, generator=generator)
    expected, time = noise, 0.0
    for _ in range(10):
        expected, time = expected + 0.1 * torch.tanh(expected @ matrix + time), time + 0.1

    scheduler = FlowMatchEulerScheduler()
    scheduler.set_timesteps(10)
    sample = noise
    for i, t in enumerate(scheduler.timesteps):
        velocity = torch.tanh(sample @ matrix + 1 - scheduler.sigmas[i])
        sample = scheduler.step(-velocity, t, sample).prev_sample
    torch.testing.assert_close(sample, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [FlowMatchEulerScheduler, FlowMatchEulerDiscreteScheduler])
def test_a_run_starts_below_sigma_1(kind):
    """Variations of a recording start from its mixture with noise."""
    data, noise = torch.tensor([[2.0, -1.0]]), torch.tensor([[0.5, 1.0]])
    scheduler = kind()
    scheduler.set_timesteps(sigmas=np.array([0.6, 0.3]))
    torch.testing.assert_close(scheduler.timesteps, torch.tensor([600.0, 300.0]))
    torch.testing.assert_close(scheduler.sigmas, torch.tensor([0.6, 0.3, 0.0]))
    start = scheduler.scale_noise(data, scheduler.timesteps[:1], noise)
    torch.testing.assert_close(start, 0.4 * data + 0.6 * noise, atol=1e-4, rtol=0)
    # The velocity of a straight path leads back to the data. A curved field is integrated in two Euler steps of 0.3.
    straight = integrate(scheduler, lambda time, z: data - noise, start)
    torch.testing.assert_close(straight, data, atol=1e-4, rtol=0)
    scheduler.set_timesteps(sigmas=np.array([0.6, 0.3]))
    curved = integrate(scheduler, lambda time, z: time * z, start)
    torch.testing.assert_close(curved, start * (1 + 0.3 * 0.4) * (1 + 0.3 * 0.7))


def test_path_and_velocity_follow_the_paper():
    scheduler = FlowMatchEulerScheduler(sigma_min=0.1)
    data, noise = torch.tensor([[2.0], [4.0]]), torch.tensor([[1.0], [-1.0]])
    time = torch.tensor([0.0, 0.75])
    # z_t = (1 - 0.9 t) z_0 + t z_1, by hand: 1, and (1 - 0.675) * -1 + 0.75 * 4 = 2.675
    path = scheduler.scale_noise(data, 1000 * (1 - time), noise)
    torch.testing.assert_close(path, torch.tensor([[1.0], [2.675]]))
    # v = z_1 - 0.9 z_0
    torch.testing.assert_close(scheduler.get_velocity(data, noise), torch.tensor([[1.1], [4.9]]))
    # The velocity is the path's derivative.
    before, after = (scheduler.scale_noise(data, torch.full((2,), 1000 * (1 - t)), noise) for t in (0.3, 0.7))
    torch.testing.assert_close((after - before) / 0.4, scheduler.get_velocity(data, noise))
    assert torch.equal(scheduler.add_noise(data, noise, 1000 * (1 - time)), path)


@pytest.mark.parametrize(
    "weighting, expected", [("uniform", [1.0, 1.0]), ("increasing", [1.25, 2.0]), ("decreasing", [1.75, 1.0])]
)
def test_loss_weights(weighting, expected):
    weights = FlowMatchEulerScheduler().get_loss_weight(torch.tensor([750.0, 0.0]), weighting)
    torch.testing.assert_close(weights, torch.tensor(expected))


def test_euler_refuses_unsupported_arguments():
    scheduler = FlowMatchEulerScheduler()
    for arguments in ({}, {"num_inference_steps": 0}, {"sigmas": [0.5, 1.0]}, {"sigmas": [1.0, 0.0]}, {"sigmas": []}):
        with pytest.raises(ValueError):
            scheduler.set_timesteps(**arguments)
    scheduler.set_timesteps(4)
    with pytest.raises(ValueError, match="not an integer index"):
        scheduler.step(torch.ones(1), 0, torch.ones(1))
    with pytest.raises(ValueError, match="not one of"):
        scheduler.step(torch.ones(1), torch.tensor(123.0), torch.ones(1))
    with pytest.raises(ValueError, match="increasing"):
        scheduler.get_loss_weight(torch.ones(1), "other")


def test_configs_are_interchangeable(tmp_path):
    scheduler = FlowMatchEulerScheduler(sigma_min=1e-4)
    scheduler.save_pretrained(tmp_path)
    assert FlowMatchEulerScheduler.from_pretrained(tmp_path).config.sigma_min == 1e-4
    assert scheduler.config.num_train_timesteps == 1000
    for other in (
        FlowMatchDopri5Scheduler,
        FlowMatchMultistepScheduler,
        FlowMatchEulerDiscreteScheduler,
        FlowMatchHeunDiscreteScheduler,
        UniPCMultistepScheduler,
        DPMSolverMultistepScheduler,
    ):
        assert other in scheduler.compatibles
        back = FlowMatchEulerScheduler.from_config(other.from_config(scheduler.config).config)
        assert back.config.sigma_min == 1e-4 and back.config.num_train_timesteps == 1000


def integrate(scheduler, velocity, sample):
    """Runs the pipeline's loop, in which the schedule may grow."""
    i = 0
    while i < len(scheduler.timesteps):
        time = 1 - float(scheduler.sigmas[i])
        sample = scheduler.step(-velocity(time, sample), scheduler.timesteps[i], sample).prev_sample
        i += 1
    return sample


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5])
def test_dopri5_solves_to_its_tolerance(tolerance):
    # z' = -3 z + sin(5 t) has a closed form.
    def exact(time, start):
        return (start + 5 / 34) * math.exp(-3 * time) + (3 * math.sin(5 * time) - 5 * math.cos(5 * time)) / 34

    start = torch.tensor([[1.0, -2.0, 0.5]])
    scheduler = FlowMatchDopri5Scheduler(rtol=tolerance, atol=tolerance)
    result = integrate(scheduler, lambda time, z: -3 * z + math.sin(5 * time), start)
    assert (result - exact(1 - 1e-5, start)).abs().max() < 10 * tolerance
    # Two initial evaluations, and six for each accepted or rejected step.
    assert scheduler.function_evaluations == len(scheduler.timesteps) and (scheduler.function_evaluations - 2) % 6 == 0
    assert len(scheduler.sigmas) == len(scheduler.timesteps) + 1
    assert float(scheduler.sigmas[-1]) == pytest.approx(1e-5)
    assert float(scheduler.sigmas.min()) >= 1e-5 * (1 - 1e-3), "the solver must not leave the path"


def test_dopri5_rejects_steps_that_are_too_long():
    # Nearly constant, so that steps grow; then the sign changes within 0.01.
    def velocity(time, z):
        return 10 * math.tanh(100 * (time - 0.4)) + 0 * z

    scheduler = FlowMatchDopri5Scheduler()
    result = integrate(scheduler, velocity, torch.zeros(1, 2))
    assert result[0, 0] == pytest.approx(10 * (0.6 - 1e-5 - 0.4), rel=5e-4)
    steps = np.diff(scheduler.sigmas.numpy())
    assert (steps > 0).any(), "evaluations have to go back in time after a rejected step"


def test_dopri5_runs_again_after_set_timesteps():
    scheduler = FlowMatchDopri5Scheduler()
    first = integrate(scheduler, lambda time, z: -z, torch.ones(1, 2))
    with pytest.raises(ValueError, match="finished"):
        scheduler.step(torch.ones(1, 2), 1.0, torch.ones(1, 2))
    scheduler.set_timesteps()
    assert scheduler.function_evaluations == 0
    assert torch.equal(integrate(scheduler, lambda time, z: -z, torch.ones(1, 2)), first)


def test_dopri5_restart_continues_from_the_new_solution():
    # z' = -z, and z is set to 2 at the first completed step, from which the solution is exact.
    scheduler = FlowMatchDopri5Scheduler()
    sample, i, replaced = torch.ones(1, 1), 0, None
    while i < len(scheduler.timesteps):
        sample = scheduler.step(sample, scheduler.timesteps[i], sample).prev_sample
        if replaced is None and scheduler.accepted_sample is not None:
            replaced = float(scheduler.accepted_sample)
            sample = scheduler.restart(torch.full((1, 1), 2.0))
        elif scheduler.accepted_sample is None:
            with pytest.raises(ValueError, match="completed"):
                scheduler.restart(sample)
        i += 1
    # Without the restart it would be exp(-1).
    assert 0.1 < replaced < 1 and float(sample) == pytest.approx(2 / replaced * math.exp(-(1 - 1e-5)), rel=1e-4)
    assert len(scheduler.sigmas) == len(scheduler.timesteps) + 1


def test_dopri5_refuses_unsupported_arguments():
    scheduler = FlowMatchDopri5Scheduler()
    with pytest.raises(ValueError, match="chooses its own steps"):
        scheduler.set_timesteps(10)
    with pytest.raises(ValueError, match="rtol"):
        FlowMatchDopri5Scheduler(rtol=0.0, atol=0.0)
    for broken in (math.nan, math.inf):
        scheduler.set_timesteps()
        with pytest.raises(ValueError, match="not finite"):
            integrate(scheduler, lambda time, z: z * broken, torch.ones(1, 2))


def test_dopri5_keeps_the_models_type_and_computes_in_float32():
    scheduler = FlowMatchDopri5Scheduler(rtol=1e-2, atol=1e-2)
    result = integrate(scheduler, lambda time, z: -z, torch.ones(1, 2, dtype=torch.bfloat16))
    assert result.dtype == torch.bfloat16 and scheduler.accepted_sample.dtype == torch.float32


def multistep_error(steps, power=1.0, end_power=1.0, kind=FlowMatchMultistepScheduler):
    """The error for z' = cos(3 t) z, whose solution is z(0) exp(sin(3 t) / 3)."""
    scheduler = kind()
    scheduler.set_timesteps(sigmas=power_sigmas(steps, power, end_power))
    start = torch.tensor([1.0, -2.0])
    result = integrate(scheduler, lambda time, z: math.cos(3 * time) * z, start)
    return float((result - start * math.exp(math.sin(3) / 3)).norm())


@pytest.mark.parametrize("powers", [(1.0, 1.0), (1.5, 1.4)])
def test_the_multistep_solver_is_of_second_order_on_any_grid(powers):
    errors = [multistep_error(steps, *powers) for steps in (10, 20, 40)]
    assert errors[0] > 3 * errors[1] > 9 * errors[2] > 0
    assert multistep_error(10, *powers, kind=FlowMatchEulerScheduler) > 10 * errors[0]


def test_the_multistep_solver_keeps_changes_of_the_sample_and_starts_anew():
    scheduler = FlowMatchMultistepScheduler()
    results = []
    for change in (0.0, 0.5):
        scheduler.set_timesteps(6)
        sample = torch.zeros(3, dtype=torch.float16)
        for index, timestep in enumerate(scheduler.timesteps):
            output = torch.full((3,), float(-((1 - scheduler.sigmas[index]) ** 2)))
            (sample,) = scheduler.step(output, timestep, sample, return_dict=False)
            sample = sample + change
        results.append(sample)
    torch.testing.assert_close(results[1] - results[0], torch.full((3,), 3.0))
    with pytest.raises(ValueError, match="not an integer index"):
        scheduler.step(torch.ones(1), 0, torch.ones(1))


def test_grids_of_powers():
    assert power_sigmas(4) == (1.0, 0.75, 0.5, 0.25)
    assert power_sigmas(4, 2.0) == pytest.approx((1, 15 / 16, 3 / 4, 7 / 16))
    assert power_sigmas(4, 1.0, 2.0) == pytest.approx((1, 9 / 16, 1 / 4, 1 / 16))
    with pytest.raises(ValueError, match="`end_power`"):
        power_sigmas(4, 1.0, 0.0)


@pytest.mark.parametrize("scheduler_class", [FlowMatchEulerScheduler, FlowMatchMultistepScheduler])
def test_a_grid_is_cut_at_the_strength_without_tiny_steps(scheduler_class):
    # 1 - 0.8 is slightly less than 0.2.
    scheduler = scheduler_class(num_inference_steps=5, inference_sigmas=[1 - time for time in (0, 0.2, 0.4, 0.6, 0.8)])
    assert partial_sigmas(scheduler, 5, 0.2).tolist() == [0.2]
    assert partial_sigmas(scheduler, 5, 0.5) == pytest.approx([0.5, 0.4, 0.2])
    assert partial_sigmas(scheduler, 5, 1.0) == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
    assert partial_sigmas(scheduler, 4, 0.5).tolist() == [0.5, 0.25], "the grid has another number of steps"


def test_another_default_number_of_steps_removes_the_grid(warnings):
    scheduler = FlowMatchEulerScheduler(num_inference_steps=2, inference_sigmas=[1.0, 0.3])
    set_default_steps(scheduler, 2)
    assert scheduler.config.inference_sigmas == [1.0, 0.3] and not warnings.text
    set_default_steps(scheduler, 3)
    assert scheduler.config.inference_sigmas is None
    assert "The scheduler's grid is removed, as it has 2 steps, and not 3" in warnings.text
