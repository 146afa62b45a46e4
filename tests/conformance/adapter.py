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

"""Our classes at toy size for Diffusers' tests: the one file here that knows our API.

What the tests need comes through these names:

  model_class() model_config() model_inputs(device) make_transformer(**overrides)
  scheduler_class() scheduler_config() make_scheduler(**overrides)
  pipeline_class() pipeline_components() pipeline_inputs(generator)
  and the constants MODEL_* / SCHEDULER_* / PIPELINE_* / SKIPS / XFAILS.
"""

import tiny
import torch


LATENT_DIM, FRAMES, TOKENS, TEXT_DIM = 8, 16, 5, 16
FRAME_RATE, SAMPLING_RATE = 8, 32  # of the tiny codec


# ------------------------------------------------------------------------------------------------------- transformer
def model_class():
    from diffusers_jasco import JascoTransformerModel

    return JascoTransformerModel


def model_config():
    # Two layers exercise the U-Net skips: one before, one after the middle.
    return {
        "in_channels": LATENT_DIM,
        "num_layers": 2,
        "num_attention_heads": 4,
        "attention_head_dim": 8,
        "ff_inner_dim": 64,
        "text_dim": TEXT_DIM,
        "time_embed_dim": 8,
        "chords_dim": 4,
        "drums_dim": 4,
        "melody_dim": 4,
        "skip_connections": True,
        "sample_size": FRAMES,
    }


def make_transformer(**overrides):
    torch.manual_seed(0)
    return model_class()(**{**model_config(), **overrides}).eval()


def model_inputs(device):
    # The same at every call: the mixins call it once per forward.
    g = torch.Generator("cpu").manual_seed(0)

    def randn(*shape):
        return torch.randn(*shape, generator=g).to(device)

    return {
        "hidden_states": randn(2, FRAMES, LATENT_DIM),
        "timestep": torch.tensor([0.25, 0.75], device=device),
        "encoder_hidden_states": randn(2, TOKENS, TEXT_DIM),
        "chords": torch.randint(0, 195, (2, FRAMES), generator=g).to(device),
        "drums": randn(2, FRAMES, LATENT_DIM),
        "melody": randn(2, FRAMES, 53),
    }


MODEL_MAIN_INPUT = "hidden_states"
MODEL_OUTPUT_SHAPE = (FRAMES, LATENT_DIM)  # per sample
MODEL_GRADIENT_CHECKPOINTING_CLASSES = {"JascoTransformerModel"}  # classes carrying `self.gradient_checkpointing`
MODEL_RECOMPILE_LIMIT = 2  # a block with a U-Net skip is another graph than one without
MODEL_CACHE_MIXINS = (
    "FirstBlockCacheTesterMixin",
    "MagCacheTesterMixin",
    "PyramidAttentionBroadcastTesterMixin",
)


# --------------------------------------------------------------------------------------------------------- scheduler
def scheduler_class():
    from diffusers_jasco import FlowMatchEulerScheduler

    return FlowMatchEulerScheduler


def scheduler_config():
    return {"num_train_timesteps": 1000}


def make_scheduler(**overrides):
    return scheduler_class()(**{**scheduler_config(), **overrides})


SCHEDULER_STEPS = 10
SCHEDULER_DEFAULT_GRID_IS_UNIFORM = True  # the original's t = i / N
SCHEDULER_CONFIG_SWEEP = {"num_train_timesteps": [100, 1000], "sigma_min": [1e-5, 1e-2]}


# ---------------------------------------------------------------------------------------------------------- pipeline
def pipeline_class():
    from diffusers_jasco import JascoPipeline

    return JascoPipeline


def pipeline_components():
    # Real classes at toy size; each is seeded, as the mixins build them several times and compare outputs.
    tokenizer = tiny.t5_tokenizer()
    return {
        "tokenizer": tokenizer,
        "text_encoder": tiny.t5_encoder(len(tokenizer), TEXT_DIM),
        "codec": tiny.encodec(LATENT_DIM, SAMPLING_RATE),
        "transformer": make_transformer(),
        "scheduler": make_scheduler(),
    }


def pipeline_inputs(generator):
    drums = torch.randn(1, 2 * SAMPLING_RATE, generator=torch.Generator().manual_seed(0)) / 10
    return {
        "prompt": "A funky bass line",
        "chords": [("C", 0.0), ("Am", 1.0)],
        "drums": (drums, SAMPLING_RATE),
        "melody": [("C4", 0.0, 0.5), ("E4", 1.0, 2.0)],
        "duration": FRAMES / FRAME_RATE,
        "num_inference_steps": 2,
        "guidance_scale": 3.0,
        "text_guidance_scale": 1.0,
        "generator": generator,
        "output_type": "pt",
    }


PIPELINE_PARAMS = frozenset({"prompt", "chords", "drums", "melody", "duration", "guidance_scale", "prompt_embeds"})
PIPELINE_BATCH_PARAMS = frozenset({"prompt"})
PIPELINE_OPTIONAL_PARAMS = frozenset(
    {
        "num_inference_steps",
        "num_waveforms_per_prompt",
        "generator",
        "latents",
        "output_type",
        "return_dict",
        "callback_on_step_end",
        "callback_on_step_end_tensor_inputs",
    }
)
PIPELINE_OUTPUT_SHAPE = (1, 2 * SAMPLING_RATE)  # (channels, samples)
PIPELINE_ENCODE_PROMPT_EXTRA = None  # values for encode_prompt's required arguments that __call__ lacks
PIPELINE_CACHE_MIXINS = ()


def PIPELINE_SWAP_SCHEDULERS():
    from diffusers import (
        DPMSolverMultistepScheduler,
        FlowMatchEulerDiscreteScheduler,
        FlowMatchHeunDiscreteScheduler,
        UniPCMultistepScheduler,
    )

    flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
    # name: (scheduler, is it Euler on our own default grid)
    return {
        "euler": (FlowMatchEulerDiscreteScheduler(), True),
        "euler, inverted sigmas": (FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, invert_sigmas=True), True),
        "heun": (FlowMatchHeunDiscreteScheduler(), False),
        "unipc": (UniPCMultistepScheduler(**flow), False),
        "dpm++": (DPMSolverMultistepScheduler(num_train_timesteps=100_000, **flow), False),
    }


# ------------------------------------------------------------------------------------- what does not apply / is known
# "TestClass.test_name" or "test_name" -> reason
SKIPS = {
    "TestSchedulerCommon.test_trained_betas": "a flow-matching scheduler has no betas",
}
XFAILS = {}
