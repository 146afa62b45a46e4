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

"""Concurrent and nested calls, callbacks, and argument validation."""

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import numpy as np
import pytest
import torch
from diffusers import FlowMatchHeunDiscreteScheduler, UniPCMultistepScheduler
from diffusers.callbacks import PipelineCallback

from diffusers_jasco import FlowMatchDopri5Scheduler, FlowMatchEulerScheduler, JascoGuidance, JascoPipeline
from diffusers_jasco.inputs import InputError
from diffusers_jasco.utils.locks import Lock


CHORDS = [("C", 0.0), ("Am", 0.5)]
PROMPTS = ["80s pop", "calm strings and a long text", "rock", ""]
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}


def seed(value: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def latents(pipe, prompt="80s pop", **arguments) -> torch.Tensor:
    defaults = {"num_inference_steps": 3, "generator": seed(), "output_type": "latent"}
    return pipe(prompt, **defaults | arguments).audios


# ------------------------------------------------------------------------------------------------------------- threads
def make_request(index: int) -> dict:
    return {
        "prompt": [PROMPTS[index % 4]] * (1 + index % 2),
        "chords": CHORDS if index % 3 else None,
        "num_inference_steps": 2 + index % 3,
        "guidance_scale": 1.0 + index,
        "text_guidance_scale": 0.5 * (index % 2),
        "generator": seed(index),
    }


def run_together(calls: list) -> list:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(60) for future in [pool.submit(call) for call in calls]]


def test_threads_sharing_a_pipeline_get_the_same_results_as_alone(pipe):
    alone = [latents(pipe, **make_request(index)) for index in range(8)]
    together = run_together([lambda index=index: latents(pipe, **make_request(index)) for index in range(8)])
    assert all(torch.equal(*pair) for pair in zip(alone, together, strict=True))


@pytest.mark.parametrize("shared", ["components", "from_pipe"])
def test_threads_with_pipelines_of_the_same_weights(pipe, shared):
    schedulers = [
        FlowMatchEulerScheduler(),
        FlowMatchHeunDiscreteScheduler(),
        UniPCMultistepScheduler(**FLOW),
        FlowMatchEulerScheduler(),
    ]

    def make(index: int) -> JascoPipeline:
        if shared == "from_pipe":
            return JascoPipeline.from_pipe(pipe, scheduler=schedulers[index % 4])
        return JascoPipeline(**pipe.components | {"scheduler": schedulers[index % 4]})

    pipes = [make(index) for index in range(4)]
    alone = [latents(pipes[index], **make_request(index)) for index in range(4)]
    for _ in range(3):
        together = run_together(
            [lambda index=index: latents(pipes[index], **make_request(index)) for index in range(4)]
        )
        assert all(torch.equal(*pair) for pair in zip(alone, together, strict=True))


def test_callbacks_affect_only_their_own_call(pipe):
    def call(index: int) -> tuple[torch.Tensor, list]:
        seen = []

        def change(pipe, step, timestep, tensors):
            seen.append((step, pipe.guidance_scale, pipe.num_timesteps))
            pipe.guidance_scale = pipe.guidance_scale + 1

        request = make_request(index) | {"callback_on_step_end": change}
        return latents(pipe, **request), seen

    alone = [call(index) for index in range(6)]
    together = run_together([lambda index=index: call(index) for index in range(6)])
    for index, (first, second) in enumerate(zip(alone, together, strict=True)):
        steps = 2 + index % 3
        assert torch.equal(first[0], second[0])
        assert first[1] == second[1] == [(step, 1.0 + index + step, steps) for step in range(steps)]


def test_a_call_is_interrupted_from_another_thread(pipe):
    started, steps = threading.Event(), []

    def wait(pipe, step, timestep, tensors):
        steps.append(step)
        started.set()
        while not pipe.interrupt:
            pass

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(latents, pipe, num_inference_steps=50, callback_on_step_end=wait)
        assert started.wait(30)
        pipe._interrupt = True
        running.result(30)
    assert steps == [0]
    # The next call is not interrupted.
    assert torch.equal(latents(pipe), latents(pipe))


def test_a_call_within_a_callback(pipe):
    alone = latents(pipe, "rock", num_inference_steps=2, guidance_scale=1.5)
    plain, seen = latents(pipe), []

    def preview(pipe, step, timestep, tensors):
        assert torch.equal(latents(pipe, "rock", num_inference_steps=2, guidance_scale=1.5), alone)
        seen.append((pipe.guidance_scale, pipe.num_timesteps, pipe.interrupt))

    assert torch.equal(latents(pipe, callback_on_step_end=preview), plain)
    assert seen == [(5.0, 3, False)] * 3


def test_a_call_does_not_change_shared_schedulers(pipe):
    scheduler = FlowMatchDopri5Scheduler(rtol=1e-2, atol=1e-2)
    pipe.scheduler = scheduler
    latents(pipe, num_inference_steps=None)
    assert len(scheduler.timesteps) == 1 and pipe.scheduler.function_evaluations == pipe.num_timesteps > 7


def test_an_error_within_a_call_ends_it(pipe):
    expected = latents(pipe)

    def fail(pipe, step, timestep, tensors):
        raise RuntimeError("from the callback")

    with pytest.raises(RuntimeError, match="from the callback"):
        latents(pipe, callback_on_step_end=fail)
    assert run_together([lambda: torch.equal(latents(pipe), expected)]) == [True]


def test_copies_of_a_lock_are_independent():
    lock = Lock()
    with lock, lock:
        for other in (copy.deepcopy(lock), pickle.loads(pickle.dumps(lock))):
            with ThreadPoolExecutor(1) as pool:
                pool.submit(other.__enter__).result(5)


def test_a_copy_of_a_running_adaptive_scheduler_starts_from_the_beginning():
    scheduler = FlowMatchDopri5Scheduler()
    scheduler.step(torch.ones(1, 2), 1000.0, torch.ones(1, 2))
    copied = copy.deepcopy(scheduler)
    with pytest.raises(ValueError, match="call `set_timesteps` first"):
        copied.step(torch.ones(1, 2), copied.timesteps[-1], torch.ones(1, 2))
    copied.set_timesteps()
    copied.step(torch.ones(1, 2), 1000.0, torch.ones(1, 2))


# ----------------------------------------------------------------------------------------------------------- callbacks
def test_a_callback_that_returns_nothing_changes_nothing(pipe):
    steps = []
    result = latents(pipe, callback_on_step_end=lambda pipe, step, timestep, tensors: steps.append(step))
    assert steps == [0, 1, 2] and torch.equal(result, latents(pipe))


def test_audiocrafts_callback_works_with_an_adapter(pipe):
    seen = []

    def progress(done, total):
        seen.append((done, total))

    with pytest.raises(InputError, match=r"takes \(done, total\).*lambda pipe, step, timestep, kwargs: f\(") as error:
        latents(pipe, callback_on_step_end=progress, drums="absent.wav")
    assert error.value.argument == "callback_on_step_end" and seen == []
    latents(pipe, callback_on_step_end=lambda pipe, step, timestep, kwargs: progress(step + 1, pipe.num_timesteps))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_diffusers_callbacks_receive_their_tensors(pipe):
    class Silence(PipelineCallback):
        tensor_inputs = ["latents"]

        def callback_fn(self, pipeline, step_index, timestep, callback_kwargs):
            return {"latents": torch.zeros_like(callback_kwargs["latents"])}

    result = latents(pipe, callback_on_step_end=Silence(), callback_on_step_end_tensor_inputs=None)
    assert not result.any()


@pytest.mark.parametrize(
    "returned, message",
    [
        (True, "a dictionary of tensors, or `None`"),
        (torch.zeros(1, 50, 16), "a dictionary of tensors, or `None`"),
        ({"latents": torch.zeros(2, 50, 16)}, r"latents of shape \(1, 50, 16\), but returned \(2, 50, 16\)"),
        ({"latents": None}, "latents of shape"),
    ],
)
def test_return_values_of_callbacks(pipe, returned, message):
    with pytest.raises(InputError, match=message) as error:
        latents(pipe, callback_on_step_end=lambda *args: returned)
    assert error.value.argument == "callback_on_step_end"


def test_a_callback_may_return_another_dtype(pipe):
    result = latents(pipe, callback_on_step_end=lambda *args: {"latents": torch.ones(1, 50, 16, dtype=torch.float64)})
    assert result.dtype == torch.float32 and (result == 1).all()


# -------------------------------------------------------------------------------------------------------------- checks
GOOD = [
    ({"generator": (seed(), seed()), "num_waveforms_per_prompt": 2}, {"generator": [seed(), seed()]}),
    ({"num_inference_steps": np.int64(3)}, {}),
    ({"num_inference_steps": torch.tensor(3)}, {}),
    ({"num_inference_steps": 3.0}, {}),
    ({"guidance_scale": np.float32(2.5)}, {"guidance_scale": 2.5}),
    ({"guidance_scale": Decimal("2.5"), "text_guidance_scale": np.array([0.5])},
     {"guidance_scale": 2.5, "text_guidance_scale": 0.5}),
    ({"guidance_rescale": np.int8(1)}, {"guidance_rescale": 1.0}),
    ({"duration": np.float32(0.5)}, {"duration": 0.5}),
    ({"duration": torch.tensor([1])}, {"duration": 1.0}),
    ({"latents": np.ones((1, 50, 16))}, {"latents": torch.ones(1, 50, 16)}),
    ({"latents": np.ones((1, 50, 16), np.float16)}, {"latents": torch.ones(1, 50, 16)}),
    ({"sigmas": (1, 0.5), "num_inference_steps": None}, {"sigmas": [1.0, 0.5], "num_inference_steps": None}),
    ({"sigmas": torch.tensor([1, 0.5]), "num_inference_steps": 2}, {"sigmas": [1.0, 0.5], "num_inference_steps": 2}),
    ({"sigmas": np.float32([1, 0.5]), "num_inference_steps": 2}, {"sigmas": [1.0, 0.5], "num_inference_steps": 2}),
    ({"prompt": np.str_("80s pop")}, {}),
    ({"prompt": np.array("80s pop")}, {}),
    ({"prompt": np.array(["80s pop", "rock"])}, {"prompt": ["80s pop", "rock"]}),
    ({"prompt": ("80s pop", None)}, {"prompt": ["80s pop", ""]}),
    ({"num_waveforms_per_prompt": np.int32(2)}, {"num_waveforms_per_prompt": 2}),
    ({"attention_kwargs": {}}, {}),
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(GOOD)))
def test_unambiguous_arguments_of_other_types(pipe, index):
    def fresh(arguments: dict) -> dict:
        arguments = dict(arguments)
        if "generator" in arguments:
            arguments["generator"] = type(arguments["generator"])(seed() for _ in arguments["generator"])
            arguments["num_waveforms_per_prompt"] = 2
        return arguments

    arguments, canonical = GOOD[index]
    assert torch.equal(latents(pipe, **fresh(arguments)), latents(pipe, **fresh(canonical)))


def test_prompt_embeds_of_other_types(pipe):
    embeds, mask = pipe.encode_prompt("80s pop")
    expected = latents(pipe, None, prompt_embeds=embeds)
    for other in (embeds.double(), embeds.numpy(), embeds.double().numpy()):
        assert torch.equal(latents(pipe, None, prompt_embeds=other, prompt_attention_mask=mask.numpy()), expected)


BAD = [
    ({"generator": 42}, "generator", r"Generator\(\).manual_seed\(42\)"),
    ({"generator": 0}, "generator", r"manual_seed\(0\)"),
    ({"generator": np.int64(3)}, "generator", "has to be a `torch.Generator`"),
    ({"generator": np.random.default_rng(0)}, "generator", "has to be a `torch.Generator`"),
    ({"generator": [1]}, "generator", r"`generator\[0\]`.*manual_seed\(1\)"),
    ({"generator": [None]}, "generator", r"`generator\[0\]`"),
    ({"generator": []}, "generator", "0 elements for 1 waveform"),
    ({"generator": (seed(), seed())}, "generator", "2 elements for 1 waveform"),
    ({"generator": "cpu"}, "generator", "has to be a `torch.Generator`"),
    ({"guidance_scale": float("nan")}, "guidance_scale", "but is nan"),
    ({"guidance_scale": float("inf")}, "guidance_scale", "but is inf"),
    ({"guidance_scale": "3"}, "guidance_scale", "but is '3'"),
    ({"guidance_scale": -1}, "guidance_scale", "at least 0, but is -1"),
    ({"guidance_scale": True}, "guidance_scale", "but is True"),
    ({"guidance_scale": [3.0]}, "guidance_scale", "has to be a number"),
    ({"guidance_scale": 1j}, "guidance_scale", "has to be a number"),
    ({"text_guidance_scale": -0.1}, "text_guidance_scale", "at least 0"),
    ({"guidance_rescale": 1.5}, "guidance_rescale", "between 0 and 1"),
    ({"guidance_rescale": -0.5}, "guidance_rescale", "between 0 and 1"),
    ({"guider": 5}, "guider", "has to be a `JascoGuidance`"),
    ({"guider": 0}, "guider", "has to be a `JascoGuidance`"),
    ({"guider": JascoGuidance(), "guidance_scale": 2}, "guider", "not both"),
    ({"num_inference_steps": 0}, "num_inference_steps", "from 1 to"),
    ({"num_inference_steps": -3}, "num_inference_steps", "from 1 to"),
    ({"num_inference_steps": 2.5}, "num_inference_steps", "whole number"),
    ({"num_inference_steps": "12"}, "num_inference_steps", "but is '12'"),
    ({"num_inference_steps": True}, "num_inference_steps", "but is True"),
    ({"num_inference_steps": float("nan")}, "num_inference_steps", "but is nan"),
    ({"num_inference_steps": 10**12}, "num_inference_steps", "from 1 to"),
    ({"latents": torch.full((1, 50, 16), float("nan"))}, "latents", "to be finite"),
    ({"latents": torch.zeros(1, 50, 15)}, "latents", r"shape \(1, 50, 16\)"),
    ({"latents": torch.zeros(50, 16)}, "latents", r"shape \(1, frames, 16\)"),
    ({"latents": torch.zeros(1, 0, 16)}, "latents", "has to have shape"),
    ({"latents": torch.zeros(1, 50, 16, dtype=torch.long)}, "latents", "floating-point"),
    ({"latents": torch.zeros(1, 50, 16, dtype=torch.complex64)}, "latents", "floating-point"),
    ({"latents": np.zeros((1, 50, 16), object)}, "latents", "array of object"),
    ({"latents": "noise"}, "latents", "a tensor or an array"),
    ({"sigmas": []}, "sigmas", "1 to"),
    ({"sigmas": 0.5}, "sigmas", "a list of numbers"),
    ({"sigmas": "1.0"}, "sigmas", "a list of numbers"),
    ({"sigmas": [0.5, 1.0]}, "sigmas", "have to decrease"),
    ({"sigmas": [1.0, 0.5, 0.5]}, "sigmas", "have to decrease"),
    ({"sigmas": [1.0, float("nan")]}, "sigmas", r"`sigmas\[1\]`.*nan"),
    ({"sigmas": [1.0, 0.0]}, "sigmas", r"`sigmas\[1\]`.*\(0, 1\]"),
    ({"sigmas": [2.0, 1.0]}, "sigmas", r"`sigmas\[0\]`"),
    ({"sigmas": ["1.0"]}, "sigmas", r"`sigmas\[0\]`"),
    ({"sigmas": [[1.0, 0.5]]}, "sigmas", r"`sigmas\[0\]`"),
    ({"sigmas": [1.0, 0.5], "num_inference_steps": 3}, "num_inference_steps", "2 `sigmas`"),
    ({"prompt": "\ud800"}, "prompt", r"surrogate pair \(U\+D800\)"),
    ({"prompt": ["pop", "a\udce9"]}, "prompt", r"`prompt\[1\]`.*character 1"),
    ({"prompt": b"pop"}, "prompt", "has to be a `str`"),
    ({"prompt": [b"pop"]}, "prompt", r"`prompt\[0\]`"),
    ({"prompt": [["pop"]]}, "prompt", r"`prompt\[0\]`"),
    ({"prompt": {"text": "pop"}}, "prompt", "has to be a `str`"),
    ({"prompt": np.array([1.0])}, "prompt", r"`prompt\[0\]`"),
    ({"prompt": np.array([], str)}, "prompt", "empty list"),
    ({"prompt": "a" * 20_001}, "prompt", "at most 20000 characters"),
    ({"prompt": None, "prompt_embeds": torch.zeros(1, 2, 7)}, "prompt_embeds", "channels, but has 7"),
    ({"prompt": None, "prompt_embeds": torch.zeros(1, 2, 48, dtype=torch.long)}, "prompt_embeds", "floating-point"),
    ({"prompt": None, "prompt_embeds": torch.full((1, 2, 48), torch.inf)}, "prompt_embeds", "to be finite"),
    ({"prompt": None, "prompt_embeds": "pop"}, "prompt_embeds", "a tensor or an array"),
    ({"prompt": None, "prompt_embeds": torch.zeros(1, 2, 48), "prompt_attention_mask": torch.tensor([[0.0, -1e9]])},
     "prompt_attention_mask", "1 for text tokens"),
    ({"duration": 1e9}, "duration", "to 3600"),
    ({"duration": 1e-9}, "duration", "from 0.001 to"),
    ({"duration": -1}, "duration", "positive number of seconds"),
    ({"duration": "10"}, "duration", "but is '10'"),
    ({"duration": True}, "duration", "but is True"),
    ({"duration": float("inf")}, "duration", "but is inf"),
    ({"separate_drums": "no"}, "separate_drums", "True or False"),
    ({"normalize_drums": 1.5}, "normalize_drums", "True or False"),
    ({"audiocraft_compatible": "false"}, "audiocraft_compatible", "True or False"),
    ({"output_type": "wav"}, "output_type", "'pt', 'np' or 'latent'"),
    ({"output_type": None}, "output_type", "'pt', 'np' or 'latent'"),
    ({"output_type": ["pt"]}, "output_type", "'pt', 'np' or 'latent'"),
    ({"num_waveforms_per_prompt": "2"}, "num_waveforms_per_prompt", "whole number"),
    ({"num_waveforms_per_prompt": True}, "num_waveforms_per_prompt", "whole number"),
    ({"num_waveforms_per_prompt": 1.5}, "num_waveforms_per_prompt", "whole number"),
    ({"attention_kwargs": 0.5}, "attention_kwargs", "a dictionary"),
    ({"attention_kwargs": {"scale": "x"}}, "attention_kwargs", "'scale'"),
    ({"attention_kwargs": {"scal": 0.5}}, "attention_kwargs", "supports only 'scale', but has 'scal'"),
    ({"callback_on_step_end": 3}, "callback_on_step_end", "a function of"),
    ({"callback_on_step_end": lambda: None}, "callback_on_step_end", r"takes \(\)"),
    ({"callback_on_step_end_tensor_inputs": "latents"}, "callback_on_step_end_tensor_inputs", "but is 'latents'"),
    ({"callback_on_step_end_tensor_inputs": ["noise"]}, "callback_on_step_end_tensor_inputs", "but has"),
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(BAD)))
def test_invalid_arguments_are_reported_before_any_work(loaded_once, index, monkeypatch):
    monkeypatch.setattr(loaded_once, "encode_conditioning", lambda *args: pytest.fail("work before the checks"))
    arguments, name, message = BAD[index]
    others = {"prompt": "pop", "num_inference_steps": None if "sigmas" in arguments else 3}
    with pytest.raises(InputError, match=message) as error:
        latents(loaded_once, **others | arguments)
    assert error.value.argument == name


@pytest.mark.parametrize("arguments", [{"num_inference_steps": 10}, {"sigmas": [1.0, 0.5]}])
def test_a_step_count_for_an_adaptive_scheduler_is_rejected_before_any_work(pipe, arguments):
    pipe.scheduler = FlowMatchDopri5Scheduler()
    with pytest.raises(InputError, match="chooses its own steps"):
        latents(pipe, **{"num_inference_steps": None} | arguments, drums="absent.wav")


@pytest.mark.parametrize("value", [-1, float("nan"), "3", None])
def test_callbacks_can_set_only_valid_scales(pipe, value):
    def change(pipe, step, timestep, tensors):
        pipe.guidance_scale = value

    with pytest.raises(InputError, match="`guidance_scale`"):
        latents(pipe, callback_on_step_end=change)
