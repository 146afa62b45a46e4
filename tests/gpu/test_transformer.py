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
from diffusers import FirstBlockCacheConfig
from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn

from ..conftest import relative_error
from .sizes import OPTIONS, compiled_layers, is_gpu, make_inputs, make_transformer, run


# Largest relative error of the velocity, of weights that are rounded as well.
LARGEST_ERROR = {torch.bfloat16: 0.02, torch.float16: 0.003}


@pytest.fixture(params=OPTIONS)
def options(request) -> str:
    return request.param


@pytest.mark.parametrize("dtype", LARGEST_ERROR, ids=str)
def test_half_precision_is_close_to_float32(device, options, dtype, measured):
    model = make_transformer(device, options=options)
    velocity = run(model, make_inputs(model))
    assert velocity.isfinite().all() and velocity.std() > 0.1
    model.to(dtype)
    half = model(**make_inputs(model)).sample
    assert half.dtype == dtype and half.isfinite().all()
    measured["error"] = relative_error(half.float().cpu(), velocity)
    assert measured["error"] < LARGEST_ERROR[dtype]


def use_backend(model, backend: str):
    """Sets a backend, or skips the test where its library or this device does not support it."""
    query = torch.randn(1, 64, 2, model.config.attention_head_dim, device=model.device, dtype=model.dtype)
    try:
        model.set_attention_backend(backend)
        dispatch_attention_fn(query, query, query, backend=AttentionBackendName(backend))
    except Exception as error:
        pytest.skip(f"{backend}: {str(error).strip().splitlines()[0]}")


@pytest.mark.parametrize("backend", [backend.value for backend in AttentionBackendName])
def test_attention_backends(device, backend, measured):
    model = make_transformer(device, compiled_layers(device))
    # Most backends require half precision, and the native ones are the only ones on a CPU.
    model.to(torch.bfloat16 if is_gpu(device) else torch.float32)
    inputs = make_inputs(model)
    plain = inputs | {"encoder_attention_mask": None}
    velocities = run(model, inputs), run(model, plain)
    use_backend(model, backend)
    # The prompts of a batch have different lengths, but not all backends support masks. Sage uses 8-bit integers.
    measured["error"] = max(
        relative_error(run(model, batch), velocity) for batch, velocity in zip((inputs, plain), velocities)
    )
    limit = 0.1 if "sage" in backend else 0.02 if is_gpu(device) else 1e-5
    assert measured["error"] < limit


@pytest.mark.parametrize("part", ["blocks", "whole"])
def test_compiled_models_give_the_same_output(device, part):
    model = make_transformer(device, compiled_layers(device), "all options")
    inputs = make_inputs(model)
    velocity = run(model, inputs)
    backend = "inductor" if is_gpu(device) else "aot_eager"
    compile_model = model.compile if part == "whole" else model.compile_repeated_blocks
    compile_model(fullgraph=True, backend=backend)
    assert relative_error(run(model, inputs), velocity) < 1e-5


def test_fused_projections_give_the_same_output(device, options):
    model = make_transformer(device, options=options)
    inputs = make_inputs(model)
    velocity = run(model, inputs)
    model.fuse_qkv_projections()
    assert model.transformer_blocks[0].attn1.to_qkv is not None and model.transformer_blocks[0].attn2.to_kv is not None
    assert relative_error(run(model, inputs), velocity) < 1e-5
    model.unfuse_qkv_projections()
    assert torch.equal(run(model, inputs), velocity)


def test_first_block_cache_hits_and_gives_the_same_output(device, options):
    model = make_transformer(device, options=options)
    inputs = make_inputs(model)
    velocity = run(model, inputs)
    model.enable_cache(FirstBlockCacheConfig(threshold=0.01))
    evaluations = []
    model.transformer_blocks[1].ff_out.register_forward_hook(lambda *_: evaluations.append(1))
    with model.cache_context("test"):
        first, second = run(model, inputs), run(model, inputs)
    assert len(evaluations) == 1, "the second of two identical calls has to skip the blocks after the first"
    assert relative_error(first, velocity) < 1e-6 and relative_error(second, velocity) < 1e-5


def test_layerwise_casting_keeps_the_result_close(device, options, measured):
    model = make_transformer(device, options=options)
    inputs = make_inputs(model)
    velocity = run(model, inputs)
    model.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    assert model.transformer_blocks[0].attn1.to_q.weight.dtype == torch.float8_e4m3fn
    measured["error"] = relative_error(run(model, inputs), velocity)
    assert measured["error"] < 0.2


def test_lora_layers(device):
    peft = pytest.importorskip("peft")
    model = make_transformer(device)
    inputs = make_inputs(model)
    velocity = run(model, inputs)
    model.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    model(**inputs).sample.square().mean().backward()
    trained = [name for name, parameter in model.named_parameters() if parameter.grad is not None]
    assert trained and all("lora_" in name for name in trained)
    assert relative_error(run(model, inputs), velocity) > 1e-3
    assert relative_error(run(model, inputs | {"attention_kwargs": {"scale": 0.0}}), velocity) < 1e-6
