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

"""Export to AudioCraft checkpoints."""

import math
import os
import pickle
from pathlib import Path
from typing import Any

import torch
import yaml
from diffusers import DiffusionPipeline
from diffusers.utils import logging
from transformers import EncodecModel

from ...models.transformer_jasco import JascoTransformerModel
from ...utils.files import checkpoint_folder
from .codec import rename_weight_norm
from .files import AUDIOCRAFT_VERSION, CHORDS_FILE, CODEC_FILE, MODEL_FILE, parse_config
from .importing import load_audiocraft_pipeline, read_transformer_config
from .weights import EMBEDDED_CODEC, check_same_weights, to_audiocraft


logger = logging.get_logger(__name__)

AUDIOCRAFT_CHORDS = 194

# Options of the transformer that AudioCraft lacks, with the values for which it is AudioCraft's.
_OWN_OPTIONS = {
    "position_embedding": "sinusoidal",
    "norm_type": "layer_norm",
    "qk_norm": None,
    "presence_bits": False,
    "beats": False,
    "context": False,
}

# Text encoders that AudioCraft loads by name, with their widths.
TEXT_ENCODERS = {
    "t5-small": 512,
    "t5-base": 768,
    "t5-large": 1024,
    "t5-3b": 1024,
    "t5-11b": 1024,
    "google/flan-t5-small": 512,
    "google/flan-t5-base": 768,
    "google/flan-t5-large": 1024,
    "google/flan-t5-3b": 1024,
    "google/flan-t5-11b": 1024,
}


def save_audiocraft_checkpoint(
    pipeline: DiffusionPipeline,
    folder: str | os.PathLike,
    text_encoder: str | None = None,
    codec: str | None = None,
    force: bool = False,
):
    r"""
    Saves a checkpoint for AudioCraft's `JASCO.get_pretrained(folder,
    chords_mapping_path=folder/chord_to_index_mapping.pkl)`: `state_dict.bin`, `compression_state_dict.bin` and the
    chord vocabulary. A model that was converted from AudioCraft is restored exactly, including its configuration. The
    files are read back and compared before the folder gets its final name.

    Args:
        pipeline ([`JascoPipeline`]):
            The pipeline, whose weights keep their dtypes.
        folder (`str` or `os.PathLike`):
            Folder to write to. It appears only when it is complete.
        text_encoder (`str`, *optional*):
            Name by which AudioCraft loads the text encoder, such as `"t5-base"`. By default the name in AudioCraft's
            configuration, or the name from which this text encoder was loaded.
        codec (`str`, *optional*):
            Hub id from which AudioCraft loads the codec. By default the id in AudioCraft's configuration, or the
            name from which this codec was loaded. Publish your own codec first.
        force (`bool`, defaults to `False`):
            Whether to replace an existing checkpoint in that folder.

    Raises:
        `ValueError`: for a model that AudioCraft can't represent (preconditioning, a time scale, options of the
            transformer that AudioCraft lacks, statistics per channel, a codec other than EnCodec, a duration that is
            not in whole seconds, LoRA layers), if a name is unknown, or if the folder is not empty.
    """
    _check_representable(pipeline)
    model = pipeline.transformer
    imported = pipeline.config.get("audiocraft") or {}

    weights = to_audiocraft(model.state_dict(), model.config.num_layers)
    if "drums" in model.controls:
        codec_weights = rename_weight_norm(
            pipeline.codec.state_dict(), imported.get("weight_norm", "parametrizations")
        )
        weights |= {f"{EMBEDDED_CODEC}{name}": weight for name, weight in codec_weights.items()}
    config_text = imported.get("xp.cfg")
    if config_text is not None and not _describes(config_text, model, weights):
        logger.warning(
            "The transformer is not the one that was converted from AudioCraft: its configuration is recreated."
        )
        config_text = None
    compression = imported.get("compression")
    if compression is None or codec is not None:
        compression = {"pretrained": _codec_name(pipeline, codec), "exported": True, "version": AUDIOCRAFT_VERSION}
    if config_text is None or text_encoder is not None:
        name = _text_encoder_name(pipeline, text_encoder)
        config_text = yaml.safe_dump(_make_config(pipeline, name, compression.get("pretrained")), sort_keys=False)
    extras = imported.get("extras", {"version": AUDIOCRAFT_VERSION, "exported": True})

    with checkpoint_folder(folder, force) as partial:
        # Contiguous copies, since views would be saved with their whole storage.
        best_state = {name: weight.detach().cpu().contiguous().clone() for name, weight in weights.items()}
        torch.save({"best_state": best_state, "xp.cfg": config_text, **extras}, partial / MODEL_FILE)
        torch.save(compression, partial / CODEC_FILE)
        if "chords" in model.controls:
            ids = {label: number for number, label in enumerate(model.config.chord_labels)}
            (partial / CHORDS_FILE).write_bytes(pickle.dumps(ids))
        _check_written(pipeline, partial)


def _check_written(pipeline: DiffusionPipeline, folder: Path):
    """Reads a checkpoint back, and raises a `RuntimeError` if it differs from the pipeline."""
    components = {name: pipeline.components[name] for name in ("tokenizer", "text_encoder")}
    if "drums" not in pipeline.transformer.controls:
        components["codec"] = pipeline.codec  # only its name was written
    written, _ = load_audiocraft_pipeline(folder, **components)
    for name in ("transformer", "codec"):
        check_same_weights(pipeline.components[name].state_dict(), written[name].state_dict(), name)


def _describes(config_text: str, model: JascoTransformerModel, weights: dict[str, torch.Tensor]) -> bool:
    """Whether an AudioCraft configuration describes this model."""
    labels = model.config.chord_labels if "chords" in model.controls else None
    expected = read_transformer_config(weights, parse_config(config_text), labels)
    return all(model.config[name] == value for name, value in expected.items() if name != "dropout")


def _check_representable(pipeline: DiffusionPipeline):
    """Raises a `ValueError` with all reasons why AudioCraft can't represent a model."""
    config = pipeline.transformer.config
    reasons = []
    if config.preconditioning is not None or config.time_scale != 1:
        reasons.append("its transformer is preconditioned or scales the time")
    for name, default in _OWN_OPTIONS.items():
        if config[name] != default:
            reasons.append(f"its transformer has {name}={config[name]!r}")
    if not all(isinstance(value, (int, float)) for value in (config.latents_mean, config.latents_std)):
        reasons.append("its latents are normalized per channel")
    if not isinstance(pipeline.codec, EncodecModel):
        reasons.append(f"its codec is a {type(pipeline.codec).__name__} instead of an EncodecModel")
    if pipeline.frame_rate != round(pipeline.frame_rate) or config.sample_size % round(pipeline.frame_rate):
        seconds = config.sample_size / pipeline.frame_rate
        reasons.append(
            f"it was trained on {seconds:g} s at {pipeline.frame_rate:g} frames per second, which are not whole"
            " numbers"
        )
    # AudioCraft hard-codes the id of its null chord.
    if "chords" in pipeline.transformer.controls and len(config.chord_labels) != AUDIOCRAFT_CHORDS:
        reasons.append(f"its vocabulary has {len(config.chord_labels)} chords instead of {AUDIOCRAFT_CHORDS}")
    if reasons:
        raise ValueError(f"AudioCraft can't represent this model: {'; '.join(reasons)}.")


def _text_encoder_name(pipeline: DiffusionPipeline, name: str | None) -> str:
    name = name or getattr(pipeline.text_encoder.config, "_name_or_path", "")
    width = pipeline.transformer.config.text_dim
    if TEXT_ENCODERS.get(name) != width:
        fitting = ", ".join(known for known, size in TEXT_ENCODERS.items() if size == width)
        raise ValueError(
            f"AudioCraft loads its text encoder by name, and {name!r} is not one of its text encoders of width"
            f" {width} ({fitting or 'there are none'}). Pass `text_encoder` if this one has the weights of one of"
            " these."
        )
    return name


def _codec_name(pipeline: DiffusionPipeline, name: str | None) -> str:
    name = name or getattr(pipeline.codec.config, "_name_or_path", "")
    if not name or os.path.exists(name):
        raise ValueError(
            "AudioCraft loads its codec from the Hub: publish this codec and pass its id as `codec`, or"
            " 'facebook/encodec_32khz' if it is that one."
        )
    return name


def _make_config(pipeline: DiffusionPipeline, text_encoder: str, codec: str) -> dict[str, Any]:
    """The part of AudioCraft's configuration that `JASCO.get_pretrained` reads."""
    config = pipeline.transformer.config
    frame_rate = round(pipeline.frame_rate)
    seconds = config.sample_size // frame_rate
    dim = config.num_attention_heads * config.attention_head_dim
    controls = {"chords": "chords", "drums": "self_wav", "melody": "melody"}
    names = [theirs for ours, theirs in controls.items() if ours in pipeline.transformer.controls]
    return {
        "lm_model": "flow_matching",
        "solver": "jasco",
        "sample_rate": pipeline.sampling_rate,
        "channels": pipeline.codec.config.audio_channels,
        "device": "cpu",
        "dtype": "float32",
        "compression_model_checkpoint": f"//pretrained/{codec}",
        "compression_model_latent_mean": config.latents_mean,
        "compression_model_latent_std": config.latents_std,
        "compression_model_framerate": frame_rate,
        "compression_model_latent_dim": config.in_channels,
        "classifier_free_guidance": {"training_dropout": 0.2, "inference_coef": 3.0},
        # AudioCraft's text branch drops the conditions named here.
        "attribute_dropout": {
            "text": {},
            "symbolic": {name: 0.5 for name in names if name != "self_wav"},
            "wav": {name: 0.5 for name in names if name == "self_wav"},
        },
        "fuser": {
            "cross_attention_pos_emb": False,
            "cross_attention_pos_emb_scale": 1,
            "sum": [],
            "prepend": [],
            "cross": ["description"],
            "ignore": names,
            "input_interpolate": [],
        },
        "conditioners": _make_conditioners(pipeline, text_encoder, frame_rate, seconds),
        "transformer_lm": {
            "dim": dim,
            "num_heads": config.num_attention_heads,
            "num_layers": config.num_layers,
            "hidden_scale": _scale(dim, config.ff_inner_dim),
            "dropout": config.dropout,
            "activation": config.activation_fn,
            "norm_first": config.pre_norm,
            "bias_ff": config.ff_bias,
            "bias_attn": config.attention_bias,
            "bias_proj": config.out_bias,
            "causal": False,
            "custom": False,
            "memory_efficient": True,
            "attention_as_float32": False,
            "positional_embedding": "sin",
            "norm": "layer_norm",
            "weight_init": "gaussian",
            "depthwise_init": "current",
            "zero_bias_init": True,
            "skip_connections": config.skip_connections,
            "flow_dim": config.in_channels,
            "time_embedding_dim": config.time_embed_dim,
            "chords_dim": config.chords_dim or 0,
            "drums_dim": config.drums_dim or 0,
            "melody_dim": config.melody_dim or 0,
        },
        "dataset": {"segment_duration": seconds, "batch_size": 1, "compression_model_framerate": frame_rate},
        "generate": {
            "lm": {
                "cfg_coef_all": pipeline.defaults["guidance_scale"],
                "cfg_coef_txt": pipeline.defaults["text_guidance_scale"],
            }
        },
    }


def _make_conditioners(
    pipeline: DiffusionPipeline, text_encoder: str, frame_rate: int, seconds: int
) -> dict[str, dict[str, Any]]:
    config = pipeline.transformer.config
    conditioners = {
        "description": {
            "model": "t5",
            "t5": {"name": text_encoder, "finetune": False, "word_dropout": 0.3, "normalize_text": False},
        }
    }
    if config.chords_dim is not None:
        card = len(config.chord_labels)
        conditioners["chords"] = {"model": "chords_emb", "chords_emb": {"card": card, "out_dim": config.chords_dim}}
    if config.drums_dim is not None:
        drums = {
            "sample_rate": pipeline.sampling_rate,
            "out_dim": config.drums_dim,
            "blurring_factor": config.drums_blur,
            "cache_path": None,
            "compression_model_latent_dim": config.in_channels,
            "compression_model_framerate": frame_rate,
            "segment_duration": seconds,
        }
        conditioners["self_wav"] = {"model": "drum_latents", "drum_latents": drums}
    if config.melody_dim is not None:
        conditioners["melody"] = {
            "model": "melody",
            "melody": {"card": config.melody_bins, "out_dim": config.melody_dim},
        }
    return conditioners


def _scale(dim: int, inner_dim: int) -> float:
    """The factor for which AudioCraft's `int(factor * dim)` equals `inner_dim`."""
    factor = inner_dim / dim
    return factor if int(factor * dim) == inner_dim else math.nextafter(factor, math.inf)
