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

"""The original's outputs, made by its own code from the same weights, noise and controls: fixtures/README.md."""

import pytest
import torch

from diffusers_jasco import FlowMatchDopri5Scheduler, FlowMatchEulerScheduler

from ..conftest import CASES, case_inputs, load_case, load_pipeline, relative_error


@pytest.mark.parametrize("compatible", [True, False], ids=["defects", "fixed"])
@pytest.mark.parametrize("checkpoint, index", CASES)
def test_results_equal_audiocrafts(checkpoint, index, compatible):
    case, tensors = load_case(checkpoint, index)
    scheduler = FlowMatchDopri5Scheduler() if case["solver"] == "dopri5" else FlowMatchEulerScheduler()
    pipe = load_pipeline(checkpoint, scheduler=scheduler)
    prefix = "" if compatible else "fixed."

    latents = pipe(**case_inputs(case, tensors), audiocraft_compatible=compatible, output_type="latent").audios
    assert relative_error(latents, tensors[prefix + "latents"]) < 1e-4
    audio = pipe(**case_inputs(case, tensors), audiocraft_compatible=compatible).audios
    assert audio.shape == tensors[prefix + "audio"].shape
    assert relative_error(audio, tensors[prefix + "audio"]) < 1e-4

    if case["solver"] == "dopri5" and compatible:
        assert pipe.scheduler.function_evaluations == case["function_evaluations"]
    elif case["solver"] == "euler":
        assert pipe.num_timesteps == case["function_evaluations"]


@pytest.mark.parametrize("checkpoint, index", CASES)
def test_single_model_calls_equal_audiocrafts(checkpoint, index):
    case, tensors = load_case(checkpoint, index)
    scheduler = FlowMatchDopri5Scheduler() if case["solver"] == "dopri5" else FlowMatchEulerScheduler()
    pipe = load_pipeline(checkpoint, scheduler=scheduler)

    calls = []

    def record_input(module, args):
        calls.append({"controls": args[0][..., pipe.transformer.config.in_channels :]})

    def record_call(module, args, kwargs, output):
        calls[-1] |= {"latents": kwargs["hidden_states"], "time": kwargs["timestep"], "velocity": output[0]}

    pipe.transformer.proj_in.register_forward_pre_hook(record_input)
    pipe.transformer.register_forward_hook(record_call, with_kwargs=True)
    pipe(**case_inputs(case, tensors), audiocraft_compatible=True, output_type="latent")

    # A branch of weight 0 that the original computes by mistake, the last one, has no counterpart.
    rows = calls[0]["latents"].shape[0]
    names = [f"first_call.condition.{name}" for name in ("chords", "self_wav", "melody")]
    controls = torch.cat([tensors[name] for name in names if name in tensors], dim=-1)
    assert relative_error(calls[0]["controls"], controls[:rows]) < 1e-5
    for call, name in zip(calls, ("first_call", "second_call")):
        for key in ("latents", "velocity"):
            assert relative_error(call[key], tensors[f"{name}.{key}"][:rows]) < 1e-5, (name, key)
        assert float(call["time"][0]) == pytest.approx(float(tensors[f"{name}.time"]), abs=1e-6)


def test_results_differ_only_where_audiocraft_has_defects():
    # Ragged prompts, drums, and melody without chords: else the two modes would test the same thing.
    for checkpoint, index in (("chords-drums", 3), ("chords-drums", 2), ("chords-drums-melody", 3)):
        _, tensors = load_case(checkpoint, index)
        assert relative_error(tensors["fixed.latents"], tensors["latents"]) > 1e-3
