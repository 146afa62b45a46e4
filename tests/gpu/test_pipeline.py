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


import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from diffusers_jasco import FlowMatchEulerScheduler, JascoGuidance
from diffusers_jasco.pipelines.denoising import GuidedVelocity, denoise, set_timesteps

from ..conftest import relative_error
from .sizes import OPTIONS, compiled_layers, is_gpu, make_pipeline


PROMPTS = ["Strings, woodwind, orchestral, symphony.", "80s pop", "", "a calm piano"]
CONTROLS = {"chords": "C:0 Am:0.5", "melody": [("C4", 0.1, 0.4), (64, 0.5, 0.9)]}


def make_latents(pipe, prompt=PROMPTS[0], **options) -> torch.Tensor:
    defaults = {"num_inference_steps": 2, "output_type": "latent", "generator": torch.Generator().manual_seed(0)}
    return pipe(prompt, **defaults | options).audios.cpu()


def drums(seconds: float = 1.0) -> tuple[torch.Tensor, int]:
    return 0.3 * torch.randn(1, int(seconds * 32000), generator=torch.Generator().manual_seed(3)), 32000


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_music_is_finite(device, dtype):
    pipe = make_pipeline(device).to(device, dtype)
    audio = pipe(PROMPTS[:2], drums=drums(), **CONTROLS, num_inference_steps=3).audios
    assert audio.dtype == torch.float32 and audio.isfinite().all() and audio.std() > 0


OFFLOAD = {
    "model": lambda pipe, device: pipe.enable_model_cpu_offload(device=device),
    "sequential": lambda pipe, device: pipe.enable_sequential_cpu_offload(device=device),
    "leaf groups": lambda pipe, device: pipe.enable_group_offload(torch.device(device), offload_type="leaf_level"),
    "block groups": lambda pipe, device: pipe.enable_group_offload(
        torch.device(device), offload_type="block_level", num_blocks_per_group=1
    ),
}


@pytest.mark.parametrize("kind", OFFLOAD)
def test_offloading_gives_the_same_result(device, kind):
    pipe = make_pipeline(device)
    before = make_latents(copy.deepcopy(pipe).to(device), drums=drums(), output_type="pt")
    OFFLOAD[kind](pipe, device)
    # Except for model offloading, the codec stays on the device.
    hook = "_diffusers_hook" if "groups" in kind else "_hf_hook"
    assert any(hasattr(module, hook) for module in pipe.transformer.modules())
    assert any(hasattr(module, hook) for module in pipe.codec.modules()) == (kind == "model")
    if kind == "sequential" and not is_gpu(device):
        for module in (*pipe.text_encoder.modules(), *pipe.transformer.modules()):
            if hasattr(module, "_hf_hook"):
                # Diffusers sets "cpu:0", which Accelerate does not consider equal to the weights' "cpu".
                getattr(module._hf_hook, "hooks", [module._hf_hook])[-1].execution_device = "cpu"
    assert relative_error(make_latents(pipe, drums=drums(), output_type="pt"), before) < 1e-6


def test_a_cpu_generator_gives_the_same_noise_on_all_devices(device):
    pipe = make_pipeline(device).to(device)
    shape = 2, 10, pipe.transformer.config.in_channels
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    generators = torch.Generator().manual_seed(5), torch.Generator(device).manual_seed(5)
    drawn = [pipe.prepare_latents(*shape[:2], pipe.device, generator) for generator in generators]
    assert torch.equal(drawn[0].cpu(), noise)
    assert all(latents.device.type == device for latents in drawn)
    again = torch.Generator(device).manual_seed(5)
    assert torch.equal(make_latents(pipe, generator=again), make_latents(pipe, generator=again.manual_seed(5)))


def test_a_batch_of_eight_equals_single_runs(device, measured):
    pipe = make_pipeline(device).to(device)
    noise = torch.randn(8, 50, pipe.transformer.config.in_channels, generator=torch.Generator().manual_seed(0))
    chords = ["C:0 Am:0.5", None, "F:0", "G:0.3", None, "Dm:0", "C:0", "E:0"]
    batch = make_latents(pipe, 2 * PROMPTS, chords=chords, latents=noise)
    errors = [
        relative_error(
            batch[i : i + 1], make_latents(pipe, (2 * PROMPTS)[i], chords=chords[i], latents=noise[i : i + 1])
        )
        for i in range(8)
    ]
    measured["error"] = max(errors)
    assert measured["error"] < 1e-4


@pytest.mark.parametrize(
    "options, part", [("AudioCraft", "whole"), ("all options", "blocks"), ("all options", "whole")]
)
def test_two_calls_compile_all_graphs(device, options, part):
    pipe = make_pipeline(device, compiled_layers(device), options).to(device)
    controls = CONTROLS | ({"bpm": 96.0} if "beats" in pipe.transformer.controls else {})
    expected = make_latents(pipe, PROMPTS[:2], **controls)
    compile_transformer = pipe.transformer.compile if part == "whole" else pipe.transformer.compile_repeated_blocks
    compile_transformer(fullgraph=True, dynamic=True, backend="inductor" if is_gpu(device) else "eager")
    make_latents(pipe, **controls, guidance_scale=2.0)
    make_latents(pipe, **controls, guidance_scale=1.0)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for scale in (2.0, 1.0):
            given = controls | {"guidance_scale": scale}
            make_latents(pipe, "some other text with more words", **given)
            make_latents(pipe, "long " * 40, **given, duration=0.7)
            make_latents(pipe, PROMPTS, **given, duration=0.5)
            make_latents(pipe, **given, num_waveforms_per_prompt=3, text_guidance_scale=0.5)
        assert relative_error(make_latents(pipe, PROMPTS[:2], **controls), expected) < 1e-5


def test_only_compiled_transformers_get_padded_prompts(pipe):
    calls = []
    pipe.transformer.register_forward_pre_hook(lambda module, args, kwargs: calls.append(kwargs), with_kwargs=True)
    make_latents(pipe, num_inference_steps=1)
    num_tokens = calls[0]["encoder_hidden_states"].shape[1]
    assert num_tokens % 32 and calls[0]["encoder_attention_mask"] is None
    pipe.transformer.compile_repeated_blocks(backend="eager")
    make_latents(pipe, num_inference_steps=1)
    assert calls[1]["encoder_hidden_states"].shape[1] % 32 == 0
    assert calls[1]["encoder_attention_mask"].sum(dim=1).tolist() == [num_tokens] * len(calls[1]["text_mask"])


class CopiesToDevice(TorchDispatchMode):
    """Counts copies from the CPU to another device, which wait for all kernels before."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        if function in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            self.count += args[-1].device.type == "cpu" and result.device.type != "cpu"
        return result


def denoise_on(device: str, pipe, on_step=None, steps: int = 4):
    bpm = 96.0 if "beats" in pipe.transformer.controls else None
    conditioning = pipe.encode_conditioning(PROMPTS[:2], **CONTROLS, bpm=bpm).to(device)
    scheduler = FlowMatchEulerScheduler()
    set_timesteps(scheduler, steps, None, torch.device(device), None)
    velocity = GuidedVelocity(pipe.transformer.to(device), JascoGuidance(3.0, 1.0, 0.5), conditioning)
    noise = torch.zeros(2, conditioning.num_frames, pipe.transformer.config.in_channels, device=device)
    with torch.no_grad():
        return denoise(velocity, scheduler, noise, on_step=on_step)


@pytest.mark.parametrize("options", OPTIONS)
def test_steps_do_not_wait_for_the_device(options):
    # Reading a value of a tensor on the device "meta" is an error.
    pipe, counts = make_pipeline("cpu", options=options), []
    with CopiesToDevice() as copies:
        denoise_on("meta", pipe, lambda step, timestep, latents: (counts.append(copies.count), latents)[1])
    assert counts[1:] == counts[:1] * 3


@pytest.mark.parametrize("options", OPTIONS)
def test_steps_do_not_synchronize_with_a_gpu(gpu, options):
    def on_step(step, timestep, latents):
        # The first step copies the conditions.
        torch.cuda.set_sync_debug_mode("error")
        return latents

    try:
        denoise_on(gpu, make_pipeline(gpu, options=options).to(gpu), on_step)
    finally:
        torch.cuda.set_sync_debug_mode("default")
