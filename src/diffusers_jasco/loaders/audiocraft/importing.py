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

"""Import of AudioCraft checkpoints."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging
from transformers import EncodecModel, T5EncoderModel

from ...controls.chord_labels import default_chord_labels
from ...guiders import JascoGuidance
from ...models.transformer_jasco import JascoTransformerModel
from ...schedulers.scheduling_flow_match_dopri5 import FlowMatchDopri5Scheduler
from ...text_encoders import load_tokenizer
from .codec import build_codec, weight_norm_naming
from .files import (
    AUDIOCRAFT_VERSION,
    CHORDS_FILE,
    CODEC_FILE,
    AudiocraftCheckpoint,
    load_tensors,
    read_audiocraft_checkpoint,
    read_chord_labels,
)
from .weights import CONDITIONERS, EMBEDDED_CODEC, count_layers, to_diffusers


logger = logging.get_logger(__name__)

_PRETRAINED = "//pretrained/"

# Options of AudioCraft's transformer that JASCO checkpoints are not known to use, with their disabling values.
_UNSUPPORTED = {
    "causal": False,
    "layer_scale": None,
    "positional_embedding": "sin",
    "qk_layer_norm": False,
    "qk_layer_norm_cross": False,
    "kv_repeat": 1,
}


def load_audiocraft_transformer(
    checkpoint: AudiocraftCheckpoint, chord_labels: list[str] | None = None
) -> JascoTransformerModel:
    r"""
    Converts the transformer of an AudioCraft checkpoint, in the dtype of its weights.

    Args:
        checkpoint ([`AudiocraftCheckpoint`]):
            The result of [`read_audiocraft_checkpoint`].
        chord_labels (`list[str]`, *optional*):
            The chord vocabulary. By default Chordino's 193 labels and UNK.

    Returns:
        [`JascoTransformerModel`]: the model, in evaluation mode.

    Raises:
        `ValueError`: for unknown or missing options or weights, or a vocabulary of the wrong size.
    """
    weights = {key: value for key, value in checkpoint.weights.items() if not key.startswith(EMBEDDED_CODEC)}
    try:
        config = read_transformer_config(weights, checkpoint.config, chord_labels)
        converted = to_diffusers(weights)
        if wrong := sorted({str(weight.dtype) for weight in converted.values() if not weight.is_floating_point()}):
            raise ValueError(f"some of its weights have the dtype {', '.join(wrong)}.")
        # Skips the initialization and keeps the dtypes of the file.
        with torch.device("meta"):
            model = JascoTransformerModel(**config)
        model.load_state_dict(converted, assign=True)
    except (AttributeError, IndexError, KeyError, TypeError, RuntimeError, ZeroDivisionError) as error:
        raise ValueError(f"{checkpoint.path} is not a complete JASCO checkpoint: {error}") from error
    except ValueError as error:
        raise ValueError(f"{checkpoint.path}: {error}") from error
    return model.eval()


def load_audiocraft_pipeline(
    path: str | os.PathLike,
    weights: str = "best",
    chord_mapping: str | os.PathLike | None = None,
    hub: dict[str, Any] | None = None,
    **components: Any,
) -> tuple[dict[str, Any], dict[str, Any]]:
    r"""
    Loads the components of a [`JascoPipeline`] from an AudioCraft checkpoint, which contains the codec (for models
    without drums, only its name) and the name of the text encoder.

    Args:
        path (`str` or `os.PathLike`):
            Folder with `state_dict.bin` (and `compression_state_dict.bin`), or a file that
            [`read_audiocraft_checkpoint`] reads.
        weights (`str`, defaults to `"best"`):
            Which weights of a training run: `"best"`, `"ema"` or `"last"`.
        chord_mapping (`str` or `os.PathLike`, *optional*):
            AudioCraft's `chord_to_index_mapping.pkl`. By default the one in the folder if there is one, otherwise the
            default vocabulary.
        hub (`dict`, *optional*):
            Arguments of `from_pretrained` (`cache_dir`, `token`, …) for a text encoder and codec that are loaded by
            name.
        components:
            Components of [`JascoPipeline`], such as `codec`, that replace those of the checkpoint. The default
            scheduler is [`FlowMatchDopri5Scheduler`], as in AudioCraft.

    Returns:
        `tuple`: the components by name, and the other arguments of [`JascoPipeline`].

    Raises:
        `FileNotFoundError`: if a file is missing.
        `ValueError`: see [`read_audiocraft_checkpoint`] and [`load_audiocraft_transformer`].
    """
    hub = {key: value for key, value in (hub or {}).items() if key != "revision"}
    checkpoint = read_audiocraft_checkpoint(path, weights)
    folder = checkpoint.path.parent
    if chord_mapping is None and (folder / CHORDS_FILE).is_file():
        chord_mapping = folder / CHORDS_FILE
    labels = None if chord_mapping is None else read_chord_labels(chord_mapping)
    compression = _read_codec_pointer(folder, checkpoint.config)
    embedded = {
        key.removeprefix(EMBEDDED_CODEC): value
        for key, value in checkpoint.weights.items()
        if key.startswith(EMBEDDED_CODEC)
    }

    def load_text_model(load: Callable[..., Any]) -> Any:
        try:
            name = str(checkpoint.config["conditioners"]["description"]["t5"]["name"])
            return load(name, **hub)
        except OSError as error:
            raise OSError(
                f"The text encoder {name!r} of the checkpoint can't be loaded. Pass another one as `text_encoder` (in"
                f" Python, with its `tokenizer`). {error}"
            ) from error
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{checkpoint.path}: its configuration does not name a T5. Pass `text_encoder` and `tokenizer`."
            ) from error

    def tokenizer() -> Any:
        # A `text_encoder` passed without `tokenizer`: load the tokenizer from the same source.
        source = getattr(components.get("text_encoder"), "name_or_path", None)
        if not source:
            return load_text_model(load_tokenizer)
        try:
            return load_tokenizer(source, **hub)
        except OSError as error:
            raise OSError(
                f"`text_encoder` was given without `tokenizer`, which can't be loaded from {source}: pass it as"
                f" `tokenizer`. {error}"
            ) from error

    def codec() -> EncodecModel:
        if embedded:
            return build_codec(embedded, int(checkpoint.config.get("sample_rate", 32000)))
        if compression is None or not isinstance(compression.get("pretrained"), str):
            raise ValueError(
                f"{folder} does not name a codec on the Hub, and AudioCraft's own codecs are not supported. Pass"
                " `codec`."
            )
        return EncodecModel.from_pretrained(compression["pretrained"], **hub)

    load = {
        "transformer": lambda: load_audiocraft_transformer(checkpoint, labels),
        "tokenizer": tokenizer,
        "text_encoder": lambda: load_text_model(T5EncoderModel.from_pretrained),
        "codec": codec,
        "scheduler": FlowMatchDopri5Scheduler,
        "guider": lambda: read_guidance(checkpoint.config),
    }
    components |= {name: create() for name, create in load.items() if name not in components}
    arguments = {
        "audiocraft": {
            "xp.cfg": checkpoint.config_text,
            "extras": _keep_plain(checkpoint.extras),
            "compression": None if compression is None else _keep_plain(compression),
            "weight_norm": weight_norm_naming(embedded),
        },
    }
    return components, arguments


def read_guidance(config: dict[str, Any]) -> JascoGuidance:
    """Returns the guidance that AudioCraft's configuration describes."""
    generate = config.get("generate")
    scales = (generate.get("lm") if isinstance(generate, dict) else None) or {}
    return JascoGuidance(float(scales.get("cfg_coef_all", 5.0)), float(scales.get("cfg_coef_txt", 0.0)))


def _keep_plain(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the values that JSON can represent; warns about the others."""
    plain = {
        key: value for key, value in values.items() if value is None or isinstance(value, (str, int, float, bool))
    }
    if values.keys() - plain.keys():
        dropped = ", ".join(map(str, values.keys() - plain.keys()))
        logger.warning(f"Not preserved for conversion back to AudioCraft: {dropped}.")
    return plain


def _read_codec_pointer(folder: Path, config: dict[str, Any]) -> dict[str, Any] | None:
    """The content of `compression_state_dict.bin`; for a training run, what AudioCraft would export."""
    if (folder / CODEC_FILE).is_file():
        return load_tensors(folder / CODEC_FILE)
    name = config.get("compression_model_checkpoint")
    if isinstance(name, str) and name.startswith(_PRETRAINED):
        return {"pretrained": name.removeprefix(_PRETRAINED), "exported": True, "version": AUDIOCRAFT_VERSION}
    return None


def read_transformer_config(
    weights: dict[str, torch.Tensor], audiocraft_config: dict[str, Any], chord_labels: list[str] | None = None
) -> dict[str, Any]:
    """
    Returns the arguments of [`JascoTransformerModel`]: sizes and options are read from the weights where possible,
    and the rest from the configuration.
    """
    options = audiocraft_config["transformer_lm"]
    for option, off in _UNSUPPORTED.items():
        if options.get(option, off) != off:
            raise ValueError(f"`transformer_lm.{option}: {options[option]}` of this checkpoint is not supported.")
    if audiocraft_config["fuser"].get("cross_attention_pos_emb"):
        raise ValueError("`fuser.cross_attention_pos_emb: true` of this checkpoint is not supported.")

    def width(module: str, dim: int = 0) -> int | None:
        weight = weights.get(f"{module}.weight")
        return None if weight is None else weight.shape[dim]

    dim, heads = width("linear", 1), options["num_heads"]
    config = {
        "in_channels": width("linear"),
        "num_layers": count_layers(weights),
        "num_attention_heads": heads,
        "attention_head_dim": dim // heads,
        "ff_inner_dim": width("transformer.layers.0.linear1"),
        "text_dim": width(f"{CONDITIONERS}.description.output_proj", 1),
        "time_embed_dim": width("temb.dense.0", 1),
        "chords_dim": width(f"{CONDITIONERS}.chords.emb", 1),
        "drums_dim": width(f"{CONDITIONERS}.self_wav.output_proj"),
        "melody_dim": width(f"{CONDITIONERS}.melody.output_proj"),
        "skip_connections": "transformer.skip_projections.0.weight" in weights,
        "pre_norm": "out_norm.weight" in weights,
        "attention_bias": "transformer.layers.0.self_attn.in_proj_bias" in weights,
        "ff_bias": "transformer.layers.0.linear1.bias" in weights,
        "out_bias": "linear.bias" in weights,
        "activation_fn": options.get("activation", "gelu"),
        "dropout": options.get("dropout", 0.0),
        "sample_size": round(
            audiocraft_config["dataset"]["segment_duration"] * audiocraft_config["compression_model_framerate"]
        ),
        "latents_mean": audiocraft_config["compression_model_latent_mean"],
        "latents_std": audiocraft_config["compression_model_latent_std"],
    }
    if config["chords_dim"] is not None:
        labels, ids = chord_labels or default_chord_labels(), width(f"{CONDITIONERS}.chords.emb") - 1
        if ids != len(labels):
            which = "default" if chord_labels is None else "given"
            raise ValueError(
                f"This checkpoint has {ids} chords, but the {which} vocabulary has {len(labels)}. Pass its"
                " chord_to_index_mapping.pkl."
            )
        config["chord_labels"] = labels
    if config["drums_dim"] is not None:
        config["drums_blur"] = audiocraft_config["conditioners"]["self_wav"]["drum_latents"].get("blurring_factor", 3)
    if config["melody_dim"] is not None:
        config["melody_bins"] = width(f"{CONDITIONERS}.melody.output_proj", 1)
    _log_differences(config, options)
    return config


def _log_differences(config: dict[str, Any], options: dict[str, Any]):
    """Logs differences between AudioCraft's configuration and the weights, which take precedence."""
    from_weights = {
        "dim": config["num_attention_heads"] * config["attention_head_dim"],
        "num_layers": config["num_layers"],
        "flow_dim": config["in_channels"],
        "time_embedding_dim": config["time_embed_dim"],
        "chords_dim": config["chords_dim"] or 0,
        "drums_dim": config["drums_dim"] or 0,
        "melody_dim": config["melody_dim"] or 0,
        "skip_connections": config["skip_connections"],
        "norm_first": config["pre_norm"],
        "bias_attn": config["attention_bias"],
        "bias_ff": config["ff_bias"],
        "bias_proj": config["out_bias"],
    }
    different = [
        f"{name} is {value} instead of {options[name]}"
        for name, value in from_weights.items()
        if name in options and options[name] != value
    ]
    if different:
        logger.info(f"The checkpoint's weights take precedence over its configuration: {'; '.join(different)}.")
