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


"""Models with random weights for all devices: the 400M size on a GPU, toys on the CPU."""

import copy
import functools

import torch
from torch import nn
from transformers import AutoTokenizer, T5EncoderModel

from diffusers_jasco import FlowMatchEulerScheduler, JascoPipeline, JascoTransformerModel
from diffusers_jasco.codecs import Codec

from ..conftest import FIXTURES
from ..test_codecs import make_encodec


# The 400M models are the defaults, with skip connections as in the paper. A clip has 10 s on a GPU, and 1 s otherwise.
WHOLE = {"skip_connections": True, "text_dim": 48, "sample_size": 500}
TOY = {
    "in_channels": 16,
    "num_layers": 4,
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "ff_inner_dim": 32,
    "time_embed_dim": 16,
    "text_dim": 48,
    "skip_connections": True,
    "sample_size": 50,
}
OPTIONS = {
    "AudioCraft": {},
    # The options that AudioCraft's models do not have or use.
    "all options": {
        "attention_bias": True,
        "position_embedding": "rotary",
        "norm_type": "ada_norm_single",
        "qk_norm": "rms_norm",
        "presence_bits": True,
        "beats": True,
        "context": True,
        "preconditioning": 1.0,
        "time_scale": 1000.0,
    },
}


def is_gpu(device: str) -> bool:
    return device.startswith("cuda")


def compiled_layers(device: str) -> int:
    """Number of layers in tests that compile, as compilation takes most of their time."""
    return 4 if is_gpu(device) else 2


@functools.cache
def _transformer(whole: bool, layers: int | None, options: str) -> JascoTransformerModel:
    torch.manual_seed(0)
    sizes = (WHOLE if whole else TOY) | OPTIONS[options] | ({} if layers is None else {"num_layers": layers})
    model = JascoTransformerModel(**sizes).eval()
    for name, parameter in model.named_parameters():
        # Layers that are initialized with zeros would have no effect.
        if not name.endswith("bias") and not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return model


def make_transformer(device: str, layers: int | None = None, options: str = "AudioCraft") -> JascoTransformerModel:
    return copy.deepcopy(_transformer(is_gpu(device), layers, options)).to(device)


def make_inputs(model: JascoTransformerModel, batch: int = 2, tokens: int = 7) -> dict[str, torch.Tensor]:
    """Inputs with all controls, in the dtype of the model; the last prompt is one token shorter."""
    config, generator = model.config, torch.Generator().manual_seed(1)
    shape = (batch, config.sample_size)
    mask = torch.ones(batch, tokens, dtype=torch.bool)
    mask[-1, -1] = False
    inputs = {
        "hidden_states": torch.randn(*shape, config.in_channels, generator=generator),
        "timestep": torch.linspace(0.2, 0.9, batch),
        "encoder_hidden_states": torch.randn(batch, tokens, config.text_dim, generator=generator),
        "encoder_attention_mask": mask,
        "text_mask": mask,
        "chords": torch.randint(0, 195, shape, generator=generator),
        "drums": torch.randn(*shape, config.in_channels, generator=generator),
        "melody": torch.randn(*shape, config.melody_bins, generator=generator).relu(),
    }
    if "beats" in model.controls:
        inputs["beats"] = torch.randn(*shape, 5, generator=generator)
    if model.config.context:
        inputs["context"] = torch.randn(*shape, model.config.in_channels + 1, generator=generator)
    inputs = {name: value.to(model.device) for name, value in inputs.items()}
    return inputs | {name: inputs[name].to(model.dtype) for name in ("hidden_states", "encoder_hidden_states")}


@torch.no_grad()
def run(model: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(**inputs, return_dict=False)[0].float().cpu()


@functools.cache
def _codec(whole: bool) -> Codec:
    sizes = {"num_filters": 32, "hidden_size": 128} if whole else {"num_filters": 2, "hidden_size": 16}
    return make_encodec(sampling_rate=32000, upsampling_ratios=[8, 5, 4, 4], use_causal_conv=False, **sizes)


def make_pipeline(device: str, layers: int | None = None, options: str = "AudioCraft") -> JascoPipeline:
    """A pipeline at 50 frames per second, on the CPU if `device` is not used yet (`to`)."""
    pipe = JascoPipeline(
        tokenizer=AutoTokenizer.from_pretrained(FIXTURES / "t5"),
        text_encoder=T5EncoderModel.from_pretrained(FIXTURES / "t5").eval(),
        codec=copy.deepcopy(_codec(is_gpu(device))),
        transformer=copy.deepcopy(_transformer(is_gpu(device), layers, options)),
        scheduler=FlowMatchEulerScheduler(),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
