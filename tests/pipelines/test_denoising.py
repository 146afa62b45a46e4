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

import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    UniPCMultistepScheduler,
)

from diffusers_jasco import FlowMatchDopri5Scheduler, FlowMatchEulerScheduler, JascoGuidance, JascoTransformerModel
from diffusers_jasco.conditioning import JascoConditioning, TextSection
from diffusers_jasco.inputs import InputError
from diffusers_jasco.pipelines.denoising import GuidedVelocity, KnownFrames, check_scheduler, denoise, set_timesteps


FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
SCHEDULERS = {
    "euler": FlowMatchEulerScheduler,
    "diffusers euler": FlowMatchEulerDiscreteScheduler,
    "heun": FlowMatchHeunDiscreteScheduler,
    "unipc": lambda: UniPCMultistepScheduler(**FLOW),
    "dpm": lambda: DPMSolverMultistepScheduler(**FLOW),
    "dopri5": lambda: FlowMatchDopri5Scheduler(rtol=1e-4, atol=1e-4),
}


def make_scheduler(name: str, steps: int = 12, sigmas=None):
    scheduler = SCHEDULERS[name]()
    steps = None if name == "dopri5" or sigmas is not None else steps
    set_timesteps(scheduler, steps, sigmas, torch.device("cpu"), 12)
    return scheduler


def noise(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 4, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_known_frames_end_at_their_data_and_others_are_unchanged(name):
    start, data = noise(), torch.linspace(-1, 1, 24).reshape(2, 4, 3)
    known = torch.tensor([[True, False, False, True], [False, True, False, False]])

    def velocity(latents, time):
        return latents.cos() * (1 + time)

    result = denoise(KnownFrames(velocity, data, known, start), make_scheduler(name), start)
    torch.testing.assert_close(result[known], data[known], atol=5e-3 if name in ("dopri5", "dpm") else 1e-4, rtol=0)
    if name != "dopri5":  # Its steps depend on all frames.
        free = denoise(velocity, make_scheduler(name), start)
        torch.testing.assert_close(result[~known], free[~known])


def test_known_frames_end_at_their_data_with_a_stochastic_scheduler():
    start, data = noise(), torch.linspace(-1, 1, 24).reshape(2, 4, 3)
    scheduler = FlowMatchEulerDiscreteScheduler(stochastic_sampling=True)
    set_timesteps(scheduler, 8, None, torch.device("cpu"), 12)
    known = torch.ones(2, 4, dtype=torch.bool)
    velocity = KnownFrames(lambda latents, time: torch.zeros_like(latents), data, known)
    result = denoise(velocity, scheduler, start, torch.Generator().manual_seed(0))
    torch.testing.assert_close(result, data, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_straight_path_ends_at_the_data(name):
    start = noise()
    data = torch.linspace(-1, 1, 12).reshape(4, 3).expand(2, 4, 3)
    result = denoise(lambda latents, time: data - start, make_scheduler(name), start)
    torch.testing.assert_close(result, data, atol=5e-3, rtol=0)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_velocity_receives_flow_time(name):
    times = []

    def velocity(latents, time):
        assert isinstance(time, float)
        times.append(time)
        return torch.zeros_like(latents)

    denoise(velocity, make_scheduler(name), noise())
    assert times[0] < 2e-3 and all(0 <= time < 1 for time in times)
    if name != "dopri5":
        assert times == sorted(times)


@pytest.mark.parametrize("name", ["euler", "diffusers euler"])
def test_starting_below_sigma_one(name):
    start, data, sigma = noise(), torch.zeros(2, 4, 3), 0.6
    latents = (1 - sigma) * data + sigma * start
    result = denoise(lambda latents, time: data - start, make_scheduler(name, sigmas=[0.6, 0.3]), latents)
    torch.testing.assert_close(result, data, atol=1e-5, rtol=0)


def test_the_step_callback_receives_and_replaces_the_latents():
    seen = []

    def on_step(step, timestep, latents):
        seen.append((step, float(timestep)))
        return latents + 1

    start = noise()
    result = denoise(
        lambda latents, time: torch.zeros_like(latents), make_scheduler("euler", 3), start, on_step=on_step
    )
    assert seen == [(0, pytest.approx(1000)), (1, pytest.approx(2000 / 3)), (2, pytest.approx(1000 / 3))]
    torch.testing.assert_close(result, start + 3)


def test_interruption_stops_before_the_next_evaluation():
    count = []

    def velocity(latents, time):
        count.append(time)
        return torch.zeros_like(latents)

    denoise(velocity, make_scheduler("euler", 5), noise(), is_interrupted=lambda: len(count) == 2)
    assert len(count) == 2


def test_schedulers_that_do_not_integrate_a_flow_are_rejected():
    check_scheduler(UniPCMultistepScheduler(**FLOW))
    with pytest.raises(ValueError, match="UniPCMultistepScheduler.*use_flow_sigmas=True"):
        check_scheduler(UniPCMultistepScheduler())


def test_invalid_step_counts_and_sigmas():
    with pytest.raises(InputError, match="a whole number from 1") as error:
        set_timesteps(FlowMatchEulerScheduler(), 0, None, torch.device("cpu"), 12)
    assert error.value.argument == "num_inference_steps"
    with pytest.raises(InputError, match="does not support `sigmas`"):
        set_timesteps(FlowMatchHeunDiscreteScheduler(), None, [1.0, 0.5], torch.device("cpu"), 12)


@pytest.fixture
def transformer():
    torch.manual_seed(0)
    return JascoTransformerModel(
        in_channels=3, num_layers=1, num_attention_heads=2, attention_head_dim=8, ff_inner_dim=16, text_dim=5,
        drums_dim=None, melody_dim=None, chord_labels=["N", "C"], sample_size=4,
    ).eval()  # fmt: skip


def guided(transformer, scales, batch: int = 2) -> GuidedVelocity:
    mask = torch.ones(batch, 3, dtype=torch.bool)
    states = torch.randn(batch, 3, 5, generator=torch.Generator().manual_seed(1))
    chords = torch.ones(batch, 4, dtype=torch.long)
    conditioning = JascoConditioning((TextSection(0, states, mask),), {"chords": chords}, transformer.null_controls)
    return GuidedVelocity(transformer, JascoGuidance(*scales), conditioning)


@torch.no_grad()
def test_all_branches_share_one_forward_pass(transformer):
    calls = []
    transformer.register_forward_hook(lambda module, args, kwargs, output: calls.append(kwargs), with_kwargs=True)
    velocity = guided(transformer, (2.0, 0.5))
    result = velocity(noise(), 0.25)
    assert len(calls) == 1 and len(calls[0]["chords"]) == 6 and calls[0]["timestep"].tolist() == [0.25] * 6

    states = velocity.conditioning.sections[0].states
    inputs = {"hidden_states": noise(), "timestep": torch.full((2,), 0.25), "encoder_hidden_states": states}
    everything = transformer(**inputs, chords=torch.ones(2, 4, dtype=torch.long)).sample
    text = transformer(**inputs).sample
    null = transformer(**inputs, text_mask=torch.zeros(2, 3)).sample
    torch.testing.assert_close(result, 2.0 * everything + 0.5 * text - 1.5 * null, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_scales_take_effect_at_the_next_evaluation_and_conditions_are_batched_once(transformer):
    calls = []
    transformer.register_forward_hook(lambda module, args, kwargs, output: calls.append(kwargs), with_kwargs=True)
    velocity = guided(transformer, (2.0, 0.0))
    velocity(noise(), 0.0)
    velocity(noise(), 0.1)
    assert calls[0]["text_mask"] is calls[1]["text_mask"]
    velocity.guider.guidance_scale = 1.0
    velocity(noise(), 0.2)
    assert [len(call["chords"]) for call in calls] == [4, 4, 2]
