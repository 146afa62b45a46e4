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

"""Conversion between AudioCraft's weight names and ours."""

import re

import torch


CONDITIONERS = "condition_provider.conditioners"
EMBEDDED_CODEC = f"{CONDITIONERS}.self_wav.compression_model.model."

_MODULES = {
    f"{CONDITIONERS}.description.output_proj": "text_proj",
    f"{CONDITIONERS}.chords.emb": "chord_embedding",
    f"{CONDITIONERS}.self_wav.output_proj": "drums_proj",
    f"{CONDITIONERS}.melody.output_proj": "melody_proj",
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
_ATTENTIONS = {"self_attn": "attn1", "cross_attention": "attn2"}
_PROJECTIONS = ("to_q", "to_k", "to_v")


def count_layers(weights: dict[str, torch.Tensor]) -> int:
    """The number of blocks in weights with AudioCraft's names."""
    return 1 + max(int(key.split(".")[2]) for key in weights if key.startswith("transformer.layers."))


def to_diffusers(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    r"""
    Renames AudioCraft's weights to ours and splits its fused attention projections.

    Raises:
        `ValueError`: for a weight that is not part of JASCO.
    """
    num_layers = count_layers(weights)
    converted = {}
    for key, weight in weights.items():
        module, _, kind = key.rpartition(".")
        layer = re.fullmatch(r"transformer\.(layers|skip_projections)\.(\d+)(?:\.(.+))?", module)
        if layer is None and module in _MODULES:
            converted[f"{_MODULES[module]}.{kind}"] = weight
        elif layer is not None and layer[1] == "skip_projections" and layer[3] is None:
            converted[f"transformer_blocks.{int(layer[2]) + num_layers // 2}.skip_proj.{kind}"] = weight
        elif layer is not None and layer[3] in _ATTENTIONS and kind in ("in_proj_weight", "in_proj_bias"):
            for name, part in zip(_PROJECTIONS, weight.chunk(3)):
                target = f"transformer_blocks.{layer[2]}.{_ATTENTIONS[layer[3]]}.{name}"
                converted[f"{target}.{kind.removeprefix('in_proj_')}"] = part
        elif layer is not None and layer[3] in _BLOCK_MODULES:
            converted[f"transformer_blocks.{layer[2]}.{_BLOCK_MODULES[layer[3]]}.{kind}"] = weight
        else:
            raise ValueError(f"The checkpoint has a weight that is not part of JASCO: {key} {tuple(weight.shape)}.")
    return converted


def to_audiocraft(weights: dict[str, torch.Tensor], num_layers: int) -> dict[str, torch.Tensor]:
    r"""
    Renames our weights to AudioCraft's: the inverse of [`to_diffusers`].

    Raises:
        `ValueError`: for a weight that AudioCraft does not have, such as those of a LoRA.
    """
    modules = {ours: theirs for theirs, ours in _MODULES.items()}
    block_modules = {ours: theirs for theirs, ours in _BLOCK_MODULES.items()}
    attentions = {ours: theirs for theirs, ours in _ATTENTIONS.items()}
    converted = {}
    for key, weight in weights.items():
        module, _, kind = key.rpartition(".")
        if module in modules:
            converted[f"{modules[module]}.{kind}"] = weight
            continue
        _, layer, part = module.split(".", 2) if module.count(".") > 1 else ("", "", "")
        attention, _, projection = part.partition(".")
        if part == "skip_proj":
            converted[f"transformer.skip_projections.{int(layer) - num_layers // 2}.{kind}"] = weight
        elif part in block_modules:
            converted[f"transformer.layers.{layer}.{block_modules[part]}.{kind}"] = weight
        elif projection == _PROJECTIONS[0]:
            parts = [weights[f"{module.removesuffix(projection)}{name}.{kind}"] for name in _PROJECTIONS]
            converted[f"transformer.layers.{layer}.{attentions[attention]}.in_proj_{kind}"] = torch.cat(parts)
        elif projection not in _PROJECTIONS:
            raise ValueError(
                f"AudioCraft does not support {key}. For LoRA layers, call `fuse_lora()` and `unload_lora_weights()`"
                " first."
            )
    return converted


def check_same_weights(expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor], name: str):
    r"""
    Raises:
        `RuntimeError`: if the two sets of weights differ in a name or a value, or the second set is less precise.
            (Transformers keeps some of T5's weights in float32, regardless of the other dtypes.)
    """
    different = sorted(expected.keys() ^ found.keys())
    different += [
        key
        for key in expected.keys() & found.keys()
        if found[key].dtype.itemsize < expected[key].dtype.itemsize
        or not torch.equal(expected[key].to(found[key].dtype), found[key])
    ]
    if different:
        raise RuntimeError(f"The weights of the {name} changed when read back: {', '.join(different[:5])}.")
