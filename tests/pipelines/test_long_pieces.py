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

"""Pieces of several windows support everything that shorter pieces support."""

import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    FlowMatchLCMScheduler,
    UniPCMultistepScheduler,
)

from diffusers_jasco import FlowMatchDopri5Scheduler, FlowMatchEulerScheduler, JascoGuidance

from ..conftest import load_pipeline


FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
FRAMES = 130  # the window has 50
CALL = {
    "prompt": "a song",
    "chords": "C:0 F:1.5 G:2.2",
    "duration": 2.6,
    "window_overlap": 0.3,
    "num_inference_steps": 3,
    "output_type": "latent",
}


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def relative_error(value: torch.Tensor, reference: torch.Tensor) -> float:
    return ((value - reference).norm() / reference.norm()).item()


def latents(pipe, **arguments) -> torch.Tensor:
    return pipe(**CALL | {"generator": seed()} | arguments).audios


@pytest.fixture(scope="module")
def exact():
    """A pipeline and a long piece with a much more accurate solver."""
    pipe = load_pipeline("chords-drums-melody", scheduler=FlowMatchDopri5Scheduler(rtol=1e-5, atol=1e-5))
    return pipe, latents(pipe, num_inference_steps=None)


@pytest.mark.parametrize(
    ("scheduler", "bound"),
    [
        (FlowMatchEulerScheduler(), 0.05),
        (FlowMatchHeunDiscreteScheduler(), 0.005),
        (UniPCMultistepScheduler(**FLOW), 0.005),
        (DPMSolverMultistepScheduler(num_train_timesteps=100_000, **FLOW), 0.005),
        (FlowMatchDopri5Scheduler(), 0.005),
    ],
    ids=lambda value: type(value).__name__,
)
def test_all_solvers_converge_to_the_same_piece(exact, scheduler, bound):
    pipe, reference = exact
    pipe.scheduler = scheduler
    steps = None if isinstance(scheduler, FlowMatchDopri5Scheduler) else 48
    assert relative_error(latents(pipe, num_inference_steps=steps), reference) < bound


@pytest.mark.parametrize(
    "scheduler",
    [
        FlowMatchEulerDiscreteScheduler(stochastic_sampling=True),
        FlowMatchLCMScheduler(),
        DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++", **FLOW),
    ],
    ids=["euler", "lcm", "sde"],
)
def test_stochastic_schedulers_draw_from_the_generators(pipe, scheduler):
    pipe.scheduler = scheduler
    both = latents(pipe, prompt=["a song", "another"], generator=[seed(0), seed(1)])
    for row, prompt, number in zip(both, ("a song", "another"), (0, 1)):
        assert relative_error(row, latents(pipe, prompt=prompt, generator=seed(number))[0]) < 1e-4


@pytest.mark.parametrize("windows_per_batch", [1, 3])
def test_windows_are_evaluated_in_batches_with_all_branches(pipe, windows_per_batch):
    rows = []
    pipe.transformer.register_forward_hook(
        lambda module, args, kwargs, output: rows.append(kwargs["hidden_states"].shape[0]), with_kwargs=True
    )
    guider = JascoGuidance(1.75, 3.5)
    latents(pipe, prompt=["a", "b"], windows_per_batch=windows_per_batch, guider=guider, num_inference_steps=1)
    # Four windows of two pieces, in three branches
    assert max(rows) == windows_per_batch * 2 * 3 and sum(rows) == 4 * 2 * 3


def test_guidance_rescaling_acts_on_each_window(pipe):
    """So the beginning does not depend on the rest of the piece."""
    options = {"guidance_rescale": 1.0, "guidance_scale": 5.0}
    before, after = (latents(pipe, chords=f"C:0 F:1.5 {last}:2.5", **options) for last in ("G", "A"))
    # Frames that belong to the first window only, which ends before the change.
    assert torch.equal(before[:, :25], after[:, :25]) and not torch.equal(before[:, 125:], after[:, 125:])
    assert relative_error(before, latents(pipe, **options | {"guidance_rescale": 0.0})) > 1e-3


@pytest.mark.parametrize("name", ["euler", "dopri5"])
def test_callbacks_receive_and_change_the_whole_piece(pipe, name):
    steps = 3
    if name == "dopri5":
        pipe.scheduler, steps = FlowMatchDopri5Scheduler(rtol=1e-2, atol=1e-2), None
    untouched, seen = latents(pipe, num_inference_steps=steps), []

    def change(pipe, step, timestep, kwargs):
        seen.append(kwargs["latents"].shape)
        pipe._guidance_scale = 1.0
        return {"latents": kwargs["latents"] + 1.0} if step == 0 else kwargs

    changed = latents(pipe, num_inference_steps=steps, callback_on_step_end=change)
    assert set(seen) == {(1, FRAMES, 16)} and relative_error(changed, untouched) > 0.1


def test_an_interrupted_piece_stops_after_the_step(pipe):
    seen = []

    def stop(pipe, step, timestep, kwargs):
        seen.append(step)
        pipe._interrupt = True
        return kwargs

    assert latents(pipe, callback_on_step_end=stop).shape == (1, FRAMES, 16) and seen == [0]


@pytest.mark.parametrize("loop", [False, True])
def test_the_progress_bar_counts_steps(pipe, capsys, loop):
    pipe.set_progress_bar_config(disable=False)
    latents(pipe, loop=loop)
    assert "3/3" in capsys.readouterr().err


def test_model_offload_does_not_change_the_piece(pipe):
    options = {"output_type": "pt", "prompt": [("calm", 0.0), ("loud", 1.0)]}
    before = latents(pipe, **options)
    pipe.enable_model_cpu_offload(device="cpu")
    assert torch.equal(latents(pipe, **options), before)
    assert before.shape[-1] == round(2.6 * pipe.sampling_rate)


def test_an_hour(pipe):
    result = latents(pipe, duration=3600.0, num_inference_steps=1, windows_per_batch=200, guidance_scale=1.0)
    assert result.shape == (1, 180_000, 16) and result.isfinite().all()
