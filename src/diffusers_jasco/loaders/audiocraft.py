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

import os
import re
from pathlib import Path
from typing import Any

import torch
import yaml
from diffusers.utils import logging
from transformers import AutoTokenizer, EncodecModel, T5EncoderModel

from ..controls.chord_labels import default_chord_labels
from ..models.transformer_jasco import JascoTransformerModel
from ..schedulers.scheduling_flow_match_dopri5 import FlowMatchDopri5Scheduler


logger = logging.get_logger(__name__)

MODEL_FILE = "state_dict.bin"
CODEC_FILE = "compression_state_dict.bin"

# Where the original's weights live in ours. What belongs to the codec (embedded in the drums conditioner) is not listed.
_CONDITIONERS = "condition_provider.conditioners"
_MODULES = {
    f"{_CONDITIONERS}.description.output_proj": "text_proj",
    f"{_CONDITIONERS}.chords.emb": "chord_embedding",
    f"{_CONDITIONERS}.self_wav.output_proj": "drums_proj",
    f"{_CONDITIONERS}.melody.output_proj": "melody_proj",
    "temb.dense.0": "time_embed.linear_1",
    "temb.dense.1": "time_embed.linear_2",
    "temb_proj": "time_embed_proj",
    "emb": "proj_in",
    "out_norm": "norm_out",
    "linear": "proj_out",
}
_BLOCK_MODULES = {
    "self_attn.out_proj": "attn1.to_out.0",
    "cross_attention.out_proj": "attn2.to_out.0",
    "linear1": "ff_in",
    "linear2": "ff_out",
    "norm1": "norm1",
    "norm_cross": "norm2",
    "norm2": "norm3",
}
_EMBEDDED_CODEC = f"{_CONDITIONERS}.self_wav.compression_model."

# Options of the original's transformer that no JASCO checkpoint is known to use, with the value that means "off".
_UNSUPPORTED = {
    "causal": False,
    "layer_scale": None,
    "positional_embedding": "sin",
    "qk_layer_norm": False,
    "qk_layer_norm_cross": False,
    "kv_repeat": 1,
}


def is_audiocraft_checkpoint(path: str | os.PathLike) -> bool:
    """Whether `path` is a local folder in the original's (AudioCraft's) own layout."""
    return all(os.path.isfile(Path(path, name)) for name in (MODEL_FILE, CODEC_FILE))


def load_audiocraft_transformer(path: str | os.PathLike) -> tuple[JascoTransformerModel, dict[str, Any]]:
    """
    Reads the transformer of a checkpoint in the original's layout. Nothing in the file is executed: it is read with
    `weights_only=True`, and its configuration is YAML text.

    Args:
        path (`str` or `os.PathLike`):
            Folder with `state_dict.bin`.

    Returns:
        `tuple`: the model in evaluation mode, and the original's configuration.

    Raises:
        `ValueError`: if the file holds another kind of model, an option or a weight that JASCO does not have.
    """
    checkpoint = _load(Path(path, MODEL_FILE))
    missing = {"best_state", "xp.cfg"} - set(checkpoint)
    if missing:
        raise ValueError(f"{Path(path, MODEL_FILE)} is no AudioCraft checkpoint: it lacks {sorted(missing)}.")
    original = yaml.safe_load(checkpoint["xp.cfg"])
    if original.get("solver") != "jasco":
        raise ValueError(
            f"{Path(path, MODEL_FILE)} is a checkpoint of the solver {original.get('solver')!r}, not of 'jasco'."
        )

    weights = {key: value for key, value in checkpoint["best_state"].items() if not key.startswith(_EMBEDDED_CODEC)}
    try:
        model = JascoTransformerModel(**_read_config(weights, original))
        model.load_state_dict(_convert_weights(weights))
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{Path(path, MODEL_FILE)} is no complete JASCO checkpoint: {error}") from error
    return model.eval(), original


def load_audiocraft_components(path: str | os.PathLike, **components: Any) -> tuple[dict[str, Any], dict[str, float]]:
    """
    Reads all components of a pipeline from a folder in the original's layout. The text encoder and the codec are not
    in it, just their names.

    Args:
        path (`str` or `os.PathLike`):
            Folder with `state_dict.bin` and `compression_state_dict.bin`.
        components:
            `tokenizer`, `text_encoder`, `codec`, `transformer`, `scheduler` that replace what the checkpoint names. The
            default scheduler is [`FlowMatchDopri5Scheduler`], as in the original.

    Returns:
        `tuple`: the components by name, and the guidance scales as arguments of [`JascoPipeline`].

    Raises:
        `ValueError`: as [`load_audiocraft_transformer`].
    """
    transformer, original = load_audiocraft_transformer(path)
    text_model = original["conditioners"]["description"]["t5"]["name"]
    load = {
        "tokenizer": lambda: AutoTokenizer.from_pretrained(text_model),
        "text_encoder": lambda: T5EncoderModel.from_pretrained(text_model),
        "codec": lambda: EncodecModel.from_pretrained(_load(Path(path, CODEC_FILE))["pretrained"]),
        "transformer": lambda: transformer,
        "scheduler": FlowMatchDopri5Scheduler,
    }
    components = {name: components[name] if name in components else create() for name, create in load.items()}
    scales = original.get("generate", {}).get("lm", {})
    defaults = {
        "default_guidance_scale": float(scales.get("cfg_coef_all", 5.0)),
        "default_text_guidance_scale": float(scales.get("cfg_coef_txt", 0.0)),
    }
    return components, defaults


def _load(path: Path) -> dict[str, Any]:
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    # A broken file makes torch and pickle fail in many ways; one that wants code to be run is refused.
    except Exception as error:
        raise ValueError(f"{path} can't be read ({type(error).__name__}): {error}") from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f"{path} has to hold a dictionary, but holds a {type(checkpoint).__name__}.")
    return checkpoint


def _read_config(weights: dict[str, torch.Tensor], original: dict[str, Any]) -> dict[str, Any]:
    """The arguments of [`JascoTransformerModel`]: sizes and options from the weights, the rest from the configuration."""
    options = original["transformer_lm"]
    for option, off in _UNSUPPORTED.items():
        if options.get(option, off) != off:
            raise ValueError(f"`transformer_lm.{option}: {options[option]}` of this checkpoint is not supported.")
    if original["fuser"].get("cross_attention_pos_emb"):
        raise ValueError("`fuser.cross_attention_pos_emb: true` of this checkpoint is not supported.")

    def width(module: str, dim: int = 0) -> int | None:
        weight = weights.get(f"{module}.weight")
        return None if weight is None else weight.shape[dim]

    dim, heads = width("linear", 1), options["num_heads"]
    skip_connections = "transformer.skip_projections.0.weight" in weights
    if skip_connections != options.get("skip_connections", False):
        logger.info(
            f"The configuration says otherwise, but the weights do{'' if skip_connections else ' not'} have skips."
        )
    config = {
        "in_channels": width("linear"),
        "num_layers": 1 + max(int(key.split(".")[2]) for key in weights if key.startswith("transformer.layers.")),
        "num_attention_heads": heads,
        "attention_head_dim": dim // heads,
        "ff_inner_dim": width("transformer.layers.0.linear1"),
        "text_dim": width(f"{_CONDITIONERS}.description.output_proj", 1),
        "time_embed_dim": width("temb.dense.0", 1),
        "chords_dim": width(f"{_CONDITIONERS}.chords.emb", 1),
        "drums_dim": width(f"{_CONDITIONERS}.self_wav.output_proj"),
        "melody_dim": width(f"{_CONDITIONERS}.melody.output_proj"),
        "skip_connections": skip_connections,
        "pre_norm": "out_norm.weight" in weights,
        "attention_bias": "transformer.layers.0.self_attn.in_proj_bias" in weights,
        "ff_bias": "transformer.layers.0.linear1.bias" in weights,
        "out_bias": "linear.bias" in weights,
        "activation_fn": options.get("activation", "gelu"),
        "dropout": options.get("dropout", 0.0),
        "sample_size": round(original["dataset"]["segment_duration"] * original["compression_model_framerate"]),
        "latents_mean": original["compression_model_latent_mean"],
        "latents_std": original["compression_model_latent_std"],
    }
    if config["chords_dim"] is not None:
        labels, ids = default_chord_labels(), width(f"{_CONDITIONERS}.chords.emb") - 1
        if ids != len(labels):
            raise ValueError(f"This checkpoint has {ids} chords, the default vocabulary has {len(labels)}.")
        config["chord_labels"] = labels
    if config["drums_dim"] is not None:
        config["drums_blur"] = original["conditioners"]["self_wav"]["drum_latents"].get("blurring_factor", 3)
    if config["melody_dim"] is not None:
        config["melody_bins"] = width(f"{_CONDITIONERS}.melody.output_proj", 1)
    return config


def _convert_weights(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The original's weights under our names; its fused attention projections in three."""
    num_layers = 1 + max(int(key.split(".")[2]) for key in weights if key.startswith("transformer.layers."))
    converted = {}
    for key, weight in weights.items():
        module, _, kind = key.rpartition(".")
        layer = re.fullmatch(r"transformer\.(layers|skip_projections)\.(\d+)(?:\.(.+))?", module)
        if layer is None and module in _MODULES:
            converted[f"{_MODULES[module]}.{kind}"] = weight
        elif layer is not None and layer[1] == "skip_projections":
            converted[f"transformer_blocks.{int(layer[2]) + num_layers // 2}.skip_proj.{kind}"] = weight
        elif layer is not None and kind in ("in_proj_weight", "in_proj_bias"):
            attention = {"self_attn": "attn1", "cross_attention": "attn2"}[layer[3]]
            for name, part in zip(("to_q", "to_k", "to_v"), weight.chunk(3)):
                target = f"transformer_blocks.{layer[2]}.{attention}.{name}.{kind.removeprefix('in_proj_')}"
                converted[target] = part.clone()
        elif layer is not None and layer[3] in _BLOCK_MODULES:
            converted[f"transformer_blocks.{layer[2]}.{_BLOCK_MODULES[layer[3]]}.{kind}"] = weight
        else:
            raise ValueError(f"The checkpoint has a weight that JASCO does not have: {key} {tuple(weight.shape)}.")
    return converted
