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

"""The one file of the conformance tests that knows this package: what to build, and what does not apply."""

import torch

from diffusers_jasco import (
    FlowMatchEulerScheduler,
    JascoAudioToAudioPipeline,
    JascoGuidance,
    JascoInpaintPipeline,
    JascoPipeline,
    JascoTempoModel,
    JascoTransformerModel,
)

from . import tiny


# Toy sizes: 8 latent channels; 16 frames at 8 frames a second, i.e. 2 s.
LATENT_DIM, FRAMES, TEXT_DIM, MELODY_BINS = 8, 16, 16, 53
SAMPLING_RATE = 32
CHORD_LABELS = ["N", "C", "F", "G", "Am", "UNK"]


# -------------------------------------------------------------------------------------------------------- transformer
def model_class():
    return JascoTransformerModel


def model_config():
    # Four layers: First-Block-Cache needs a block between the first and the last, and half of them merge a skip.
    return {
        "in_channels": LATENT_DIM,
        "num_layers": 4,
        "num_attention_heads": 4,
        "attention_head_dim": 8,
        "ff_inner_dim": 64,
        "text_dim": TEXT_DIM,
        "time_embed_dim": 8,
        "chords_dim": 4,
        "drums_dim": 2,
        "melody_dim": 4,
        "melody_bins": MELODY_BINS,
        "chord_labels": CHORD_LABELS,
        "skip_connections": True,
        "sample_size": FRAMES,
        "latents_mean": 0.0,
        "latents_std": 1.0,
    }


def make_transformer(**overrides):
    torch.manual_seed(0)
    return JascoTransformerModel(**{**model_config(), **overrides}).eval()


MODEL_OPTIONS = {
    "position_embedding": "rotary",
    "norm_type": "ada_norm_single",
    "qk_norm": "rms_norm",
    "presence_bits": True,
    "beats": True,
    "context": True,
}


def model_inputs(device, all_controls=False):
    # Deterministic: the mixins call this once per forward.
    generator = torch.Generator("cpu").manual_seed(0)

    def randn(*shape):
        return torch.randn(*shape, generator=generator).to(device)

    inputs = {
        "hidden_states": randn(2, FRAMES, LATENT_DIM),
        "timestep": torch.tensor([0.25, 0.75], device=device),
        "encoder_hidden_states": randn(2, 5, TEXT_DIM),
        # The second prompt is two tokens shorter.
        "encoder_attention_mask": torch.tensor([[True] * 5, [True] * 3 + [False] * 2], device=device),
        "chords": torch.randint(len(CHORD_LABELS) + 1, (2, FRAMES), generator=generator).to(device),
        "drums": randn(2, FRAMES, LATENT_DIM),
        "melody": randn(2, FRAMES, MELODY_BINS),
    }
    others = {"beats": randn(2, FRAMES, 5), "context": randn(2, FRAMES, LATENT_DIM + 1)}
    return inputs | others if all_controls else inputs


MODEL_MAIN_INPUT = "hidden_states"
MODEL_OUTPUT_SHAPE = (FRAMES, LATENT_DIM)  # per sample
MODEL_GRADIENT_CHECKPOINTING_CLASSES = {"JascoTransformerModel"}
MODEL_RECOMPILE_LIMIT = 2  # a block that merges a skip is another graph than one that does not
MODEL_CACHE_MIXINS = (
    "FirstBlockCacheTesterMixin",
    "MagCacheTesterMixin",
    "PyramidAttentionBroadcastTesterMixin",
)


# ---------------------------------------------------------------------------------------------------------- scheduler
def scheduler_class():
    return FlowMatchEulerScheduler


def scheduler_config():
    # One argument keeps its default, since `test_from_pretrained` looks for it.
    return {"num_train_timesteps": 1000}


def make_scheduler(**overrides):
    return FlowMatchEulerScheduler(**{**scheduler_config(), **overrides})


SCHEDULER_STEPS = 10
SCHEDULER_CONFIG_SWEEP = {"num_train_timesteps": [100, 1000], "sigma_min": [0.0, 1e-5, 1e-3]}


# ----------------------------------------------------------------------------------------------------------- pipeline
def pipeline_class():
    return JascoPipeline


def pipeline_components(**transformer_overrides):
    # Real classes at toy size, seeded: the mixins build the components several times and compare outputs.
    tokenizer = tiny.t5_tokenizer()
    return {
        "tokenizer": tokenizer,
        "text_encoder": tiny.t5_encoder(len(tokenizer), TEXT_DIM),
        "codec": tiny.encodec(LATENT_DIM, SAMPLING_RATE),
        "transformer": make_transformer(**{"beats": True, **transformer_overrides}),
        "scheduler": make_scheduler(),
        "guider": JascoGuidance(),
        "tempo_model": make_tempo_model(),
    }


def make_tempo_model():
    torch.manual_seed(0)
    return JascoTempoModel(text_dim=TEXT_DIM, hidden_dim=8).eval()


# Pipelines with the same components, and their arguments beyond those of `JascoPipeline`.
def editing_pipelines():
    noise = torch.Generator("cpu").manual_seed(2)
    recording = (torch.randn(1, 2 * SAMPLING_RATE, generator=noise) * 0.3, SAMPLING_RATE)
    return {
        JascoInpaintPipeline: {"audio": recording, "mask_start_seconds": 0.5, "mask_end_seconds": 1.5},
        JascoAudioToAudioPipeline: {"audio": recording, "strength": 0.5},
    }


def pipeline_inputs(generator):
    noise = torch.Generator("cpu").manual_seed(1)
    melody = torch.zeros(MELODY_BINS, FRAMES)
    melody[torch.randint(MELODY_BINS, (FRAMES,), generator=noise), torch.arange(FRAMES)] = 1.0
    return {
        "prompt": "A funky bass line",
        "chords": [("C", 0.0), ("Am", 0.5), ("F", 1.0), ("G", 1.5)],
        "drums": (torch.randn(1, 2 * SAMPLING_RATE, generator=noise) * 0.3, SAMPLING_RATE),
        "melody": melody,
        "bpm": 120,
        "duration": 2.0,
        "num_inference_steps": 2,
        "guidance_scale": 3.0,
        "text_guidance_scale": 1.0,
        "generator": generator,
        "output_type": "pt",
    }


PIPELINE_PARAMS = frozenset(
    {
        "prompt",
        "chords",
        "drums",
        "melody",
        "duration",
        "bpm",
        "beats_per_bar",
        "beats",
        "guidance_scale",
        "text_guidance_scale",
        "prompt_embeds",
        "prompt_attention_mask",
    }
)
EDITING_PARAMS = PIPELINE_PARAMS | {"audio"}
PIPELINE_BATCH_PARAMS = frozenset({"prompt"})
PIPELINE_OPTIONAL_PARAMS = frozenset(
    {
        "num_inference_steps",
        "num_waveforms_per_prompt",
        "generator",
        "latents",
        "output_type",
        "return_dict",
        "attention_kwargs",
        "callback_on_step_end",
        "callback_on_step_end_tensor_inputs",
    }
)
PIPELINE_OUTPUT_SHAPE = (1, 2 * SAMPLING_RATE)  # (channels, samples)
PIPELINE_ENCODE_PROMPT_EXTRA = None  # values for encode_prompt's required arguments that __call__ lacks
PIPELINE_CACHE_MIXINS = ("FirstBlockCacheTesterMixin",)


def PIPELINE_SWAP_SCHEDULERS(pipeline_class=JascoPipeline):
    from diffusers import (
        DPMSolverMultistepScheduler,
        FlowMatchEulerDiscreteScheduler,
        FlowMatchHeunDiscreteScheduler,
        UniPCMultistepScheduler,
    )

    config = make_scheduler().config
    flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
    # name: (scheduler, is it Euler on our own default grid)
    schedulers = {
        "euler": (FlowMatchEulerDiscreteScheduler.from_config(config), True),
        "euler, inverted sigmas": (FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, invert_sigmas=True), True),
        "heun": (FlowMatchHeunDiscreteScheduler.from_config(config), False),
        "unipc": (UniPCMultistepScheduler.from_config(config, **flow), False),
        "dpm++": (DPMSolverMultistepScheduler.from_config(config, num_train_timesteps=100_000, **flow), False),
    }
    if pipeline_class is JascoAudioToAudioPipeline:
        # It begins in the middle, which these schedulers do not support.
        del schedulers["heun"], schedulers["dpm++"]
    return schedulers


# ----------------------------------------------------------------------------------- what does not apply, what fails
# "TestClass.test_name" or "test_name": reason
SKIPS = {
    "TestSchedulerCommon.test_trained_betas": "a flow-matching scheduler has no betas",
    "test_logs_info_when_no_lora_keys_found": "a LoRA that fits nothing is an error here",
    "TestJascoAudioToAudioPipeline.test_latents_input_is_used": "its initial latents are those of the recording",
}
XFAILS = {}
