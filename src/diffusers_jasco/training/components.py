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

"""Datasets and initial pipeline components of a run: new ones, or those of another pipeline."""

import argparse

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase, T5Config, T5EncoderModel

from ..codecs import codec_hash, first_codebook, is_same_codec, load_codec
from ..controls.chord_labels import default_chord_labels
from ..guiders import JascoGuidance
from ..models.tempo_model import JascoTempoModel
from ..models.transformer_jasco import JascoTransformerModel
from ..pipelines.pipeline_jasco import JascoPipeline
from ..schedulers.grids import power_sigmas
from ..schedulers.scheduling_flow_match_euler import FlowMatchEulerScheduler
from ..schedulers.scheduling_flow_match_multistep import FlowMatchMultistepScheduler
from ..schedulers.steps import stored_sigmas, stored_steps
from ..utils.files import component_folder
from .control_init import init_controls_from_notes
from .datasets import DatasetInfo, open_datasets
from .tokenizer import train_tokenizer
from .weight_transfer import load_source, to_table, transfer_weights


# Classes of `--default_scheduler`.
SAMPLERS = {"euler": FlowMatchEulerScheduler, "multistep": FlowMatchMultistepScheduler}


def load_components(args: argparse.Namespace) -> tuple[JascoPipeline, DatasetInfo, str | None]:
    r"""
    Loads or creates the pipeline that a run starts with, in float32, and opens its datasets.

    Args:
        args (`argparse.Namespace`): the options of `training/train_jasco.py`.

    Returns:
        `tuple[JascoPipeline, DatasetInfo, str | None]`: the pipeline, the datasets, and if the transformer's layers
        differ from those of `--continue_from`, a table of the weight transfer.

    Raises:
        `ValueError`: for components that do not fit together, or an option that the transformer does not have.
    """
    # Passed to the loader, as AudioCraft's checkpoints only name their text encoder.
    text = {}
    if args.tokenizer is not None:
        text["tokenizer"] = AutoTokenizer.from_pretrained(component_folder(args.tokenizer, "tokenizer"))
    if args.text_encoder is not None:
        folder = component_folder(args.text_encoder, "text_encoder")
        text["text_encoder"] = T5EncoderModel.from_pretrained(folder, dtype=torch.float32)
    source = None if args.continue_from is None else load_source(args.continue_from, **text)
    codec = source.codec if args.codec is None else load_codec(args.codec)
    codec.requires_grad_(False).eval()
    data = open_datasets(args, codec)
    if args.train_tokenizer:
        text["tokenizer"] = train_tokenizer(data.captions())
    tokenizer = text["tokenizer"] if "tokenizer" in text else source.tokenizer
    text_encoder = text.get("text_encoder") or _make_text_encoder(args, source, tokenizer)
    if len(tokenizer) > text_encoder.config.vocab_size:
        raise ValueError(
            f"The tokenizer has {len(tokenizer)} tokens, but the text encoder only {text_encoder.config.vocab_size}."
        )
    transformer, transfer = _make_transformer(args, source, data, text_encoder.config.d_model)
    tempo_model = None if source is None else source.tempo_model
    if args.tempo_weight and (tempo_model is None or tempo_model.config.text_dim != text_encoder.config.d_model):
        tempo_model = JascoTempoModel(text_encoder.config.d_model)
    if "beats" not in transformer.controls:
        if args.tempo_weight:
            raise ValueError("--tempo_weight needs a transformer with the option `beats`, which the tempo determines.")
        if args.only_beats:
            raise ValueError("--only_beats needs a transformer with the option `beats`: it would drop all controls.")
    pipeline = JascoPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        codec=codec,
        transformer=transformer,
        scheduler=_make_scheduler(args, source),
        guider=JascoGuidance(1.5) if source is None else source.guider,
        tempo_model=tempo_model,
    )
    pipeline.set_defaults(**{name: getattr(args, f"default_{name}") for name in pipeline.defaults})
    return pipeline, data, transfer


def _make_scheduler(args: argparse.Namespace, source: JascoPipeline | None) -> FlowMatchEulerScheduler:
    """Returns the source's scheduler or a new one, with the options `default_*`."""
    scheduler = FlowMatchEulerScheduler(num_inference_steps=50) if source is None else source.scheduler
    # Runs of older versions lack these options.
    name, power = (getattr(args, f"default_{name}", None) for name in ("scheduler", "power"))
    if name is None and power is None:
        return scheduler
    scheduler_class = type(scheduler) if name is None else SAMPLERS[name]
    if not issubclass(scheduler_class, FlowMatchEulerScheduler):
        raise ValueError(
            f"--default_power can't be used with {scheduler_class.__name__}, which stores no grid: add --default_scheduler."
        )
    steps = args.default_num_inference_steps or stored_steps(scheduler)
    if steps is None and power is not None:
        raise ValueError("--default_power needs --default_num_inference_steps, as the pipeline has no default.")
    sigmas = stored_sigmas(scheduler) if steps == stored_steps(scheduler) else None
    if power is not None:
        sigmas = power_sigmas(steps, power)
    return scheduler_class.from_config(scheduler.config, num_inference_steps=steps, inference_sigmas=sigmas)


def _make_text_encoder(
    args: argparse.Namespace, source: JascoPipeline | None, tokenizer: PreTrainedTokenizerBase
) -> T5EncoderModel:
    """Returns the source's text encoder, or a new one with `--text_encoder_config`."""
    if source is not None:
        return source.text_encoder
    vocabulary = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1, "is_encoder_decoder": False}
    return T5EncoderModel(T5Config(**vocabulary | args.text_encoder_config))


def _make_transformer(
    args: argparse.Namespace, source: JascoPipeline | None, data: DatasetInfo, text_dim: int
) -> tuple[JascoTransformerModel, str | None]:
    r"""
    Creates the transformer, in float32: a new one, or the source's with the options of `--transformer` overridden.

    Args:
        args (`argparse.Namespace`): the options.
        source ([`JascoPipeline`], *optional*): the pipeline that training starts from.
        data ([`DatasetInfo`]): the datasets and their codec.
        text_dim (`int`): width of the text encoder.

    Returns:
        `tuple[JascoTransformerModel, str | None]`: the transformer, and if its layers differ from the source's, a
        table of the weight transfer.
    """
    measured_names = {"in_channels", "text_dim", "latents_mean", "latents_std"}
    if clash := sorted(measured_names & set(args.transformer)):
        raise ValueError(
            f"`transformer` can't set {', '.join(clash)}: the codec, the data and the text encoder determine it."
        )
    measured = {"in_channels": first_codebook(data.codec).shape[1], "text_dim": text_dim}
    # Pretrained weights keep the statistics that they were trained with.
    if source is None or not is_same_codec(data.codec, codec_hash(source.codec), first_codebook(source.codec)):
        measured["latents_mean"], measured["latents_std"] = data.latent_statistics()
        if args.latents_statistics == "whole":
            mean = torch.tensor(measured["latents_mean"]).double()
            std = torch.tensor(measured["latents_std"]).double()
            measured["latents_mean"] = mean.mean().item()
            measured["latents_std"] = (std.square() + mean.square()).mean().sub(mean.mean().square()).sqrt().item()

    if source is None:
        if args.precondition:
            # Normalize all channels by one deviation: noise should hide the weak channels first.
            std = torch.tensor(measured["latents_std"])
            measured["latents_std"] = std.square().mean().sqrt().item()
            measured["preconditioning"] = (std / measured["latents_std"]).tolist()
        transformer = JascoTransformerModel(**{"chord_labels": default_chord_labels()} | args.transformer | measured)
        if args.init_from_notes:
            init_controls_from_notes(transformer)
        return transformer, None

    config = {name: value for name, value in source.transformer.config.items() if not name.startswith("_")}
    config["dropout"] = 0.0
    new_config = config | args.transformer | measured
    transformer = JascoTransformerModel(**new_config)
    rows = transfer_weights(source.transformer, transformer)
    changed = {name for name in new_config if new_config[name] != config.get(name)} - {"dropout"}
    return transformer, to_table(rows) if changed else None
