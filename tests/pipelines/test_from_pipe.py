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

"""`from_pipe` between the three pipelines: what they share, and what each has for itself."""

import copy
from collections import defaultdict
from typing import Any

import pytest
import torch

from diffusers_jasco import FlowMatchEulerScheduler, JascoAudioToAudioPipeline, JascoInpaintPipeline, JascoPipeline

from ..conftest import load_pipeline, relative_error


RATE = 32000
RECORDING = (0.5 * torch.sin(2 * torch.pi * 220 * torch.arange(RATE) / RATE)[None], RATE)
INPUTS: dict[type, dict[str, Any]] = {
    JascoPipeline: {},
    JascoInpaintPipeline: {"audio": RECORDING, "mask_start_seconds": 0.2, "mask_end_seconds": 0.7},
    JascoAudioToAudioPipeline: {"audio": RECORDING, "strength": 1.0},
}
CLASSES = list(INPUTS)
PAIRS = [(source, target) for source in CLASSES for target in CLASSES if source is not target]


def latents(pipe: JascoPipeline, **options: Any) -> torch.Tensor:
    options = {"num_inference_steps": 2, "chords": "C:0 F:0.5", "output_type": "latent"} | options
    generator = torch.Generator().manual_seed(0)
    return pipe("80s pop", **INPUTS[type(pipe)], **options, generator=generator).audios


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_modules_are_shared_and_keep_their_dtypes(pipe, source, target):
    pipe.set_defaults(num_inference_steps=3, guidance_scale=2.0)
    pipe.transformer.to(torch.bfloat16)
    first = source.from_pipe(pipe)
    second = target.from_pipe(first)
    assert type(second) is target and second.defaults == pipe.defaults
    for name, component in first.components.items():
        if isinstance(component, torch.nn.Module):
            assert second.components[name] is component
    dtypes = {name: module.dtype for name, module in second.components.items() if isinstance(module, torch.nn.Module)}
    assert dtypes == {"text_encoder": torch.float32, "codec": torch.float32, "transformer": torch.bfloat16}
    assert second.config.audiocraft == pipe.config.audiocraft
    second.set_defaults(guidance_scale=4.0)
    second.scheduler.register_to_config(num_inference_steps=9)
    assert first.defaults["guidance_scale"] == 2.0 and first.defaults["num_inference_steps"] == 3
    assert latents(second, num_inference_steps=1).isfinite().all()


@pytest.fixture
def devices(monkeypatch) -> dict[torch.nn.Module, list[torch.device]]:
    """The devices to which modules are moved, in order."""
    devices: dict[torch.nn.Module, list[torch.device]] = defaultdict(list)
    move = torch.nn.Module.to

    def to(self: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
        devices[self] += [
            torch.device(arg) for arg in (*args, *kwargs.values()) if isinstance(arg, (str, torch.device))
        ]
        return move(self, *args, **kwargs)

    monkeypatch.setattr(torch.nn.Module, "to", to)
    return devices


@pytest.mark.parametrize("target", CLASSES)
@pytest.mark.parametrize("order", ["before", "after"])
def test_model_offloading_survives(pipe, devices, target, order):
    expected = latents(target.from_pipe(pipe))
    if order == "before":
        pipe.enable_model_cpu_offload(device="cpu")
    other = target.from_pipe(pipe)
    if order == "after":
        pipe.enable_model_cpu_offload(device="cpu")
    # `cpu:0` stands for the accelerator.
    onload, offload = torch.device("cpu:0"), torch.device("cpu")
    for _ in range(2):
        devices.clear()
        assert other._execution_device == onload
        assert torch.equal(latents(other), expected)
        assert onload in devices[other.transformer]
        for name in ("text_encoder", "transformer", "codec"):
            assert devices[other.components[name]][-1] == offload
    pipe.remove_all_hooks()
    assert torch.equal(latents(other), expected) and not hasattr(other.transformer, "_hf_hook")


def test_components_that_replace_others_are_offloaded(pipe, devices):
    transformer = copy.deepcopy(pipe.transformer)
    pipe.enable_model_cpu_offload(device="cpu")
    other = JascoInpaintPipeline.from_pipe(pipe, transformer=transformer)
    devices.clear()
    assert latents(other).isfinite().all()
    assert torch.device("cpu:0") in devices[transformer] and devices[transformer][-1] == torch.device("cpu")


def add_lora(pipe: JascoPipeline):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    pipe.transformer.add_adapter(
        peft.LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v"], init_lora_weights=False), "style"
    )


@pytest.mark.parametrize("target", CLASSES)
def test_a_loaded_lora_survives(pipe, target):
    plain = latents(target.from_pipe(pipe))
    add_lora(pipe)
    pipe.set_adapters("style", 0.5)
    half = latents(target.from_pipe(pipe))
    other = target.from_pipe(pipe)
    pipe.set_adapters("style", 1.0)
    whole = latents(other)
    assert relative_error(whole, plain) > 1e-3 and relative_error(half, whole) > 1e-3
    assert relative_error(latents(other, attention_kwargs={"scale": 0.5}), half) < 1e-5
    assert other.get_active_adapters() == ["style"]
    other.unload_lora_weights()
    assert torch.equal(latents(other), plain) and not pipe.get_list_adapters()


def test_a_fused_lora_can_be_unfused_by_the_other_pipeline(pipe):
    plain = latents(pipe)
    add_lora(pipe)
    pipe.fuse_lora(lora_scale=0.5)
    other = JascoPipeline.from_pipe(pipe)
    assert other.fused_loras == {"style"}
    other.unfuse_lora()
    other.set_adapters("style", 0.0)
    assert relative_error(latents(other), plain) < 1e-5
    # Another transformer has no fused adapters.
    fresh = load_pipeline("chords-drums-melody").transformer
    assert not JascoPipeline.from_pipe(pipe, transformer=fresh).fused_loras


def test_a_dtype_casts_both_pipelines(pipe):
    """As in Diffusers, since they share the modules."""
    other = JascoInpaintPipeline.from_pipe(pipe, dtype=torch.bfloat16)
    assert other.transformer.dtype == pipe.transformer.dtype == torch.bfloat16


def test_missing_components_are_named(pipe):
    class Other:
        components = {"codec": pipe.codec, "scheduler": FlowMatchEulerScheduler()}

    with pytest.raises(ValueError, match="`Other` does not have text_encoder, tokenizer, transformer"):
        JascoInpaintPipeline.from_pipe(Other())
