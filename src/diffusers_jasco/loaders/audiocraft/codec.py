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

"""Builds the codec inside an AudioCraft checkpoint, which contains EnCodec's weights but no configuration."""

import math
import re
from typing import Literal

import torch
from transformers import EncodecConfig, EncodecModel


# Parameter names of weight norm's magnitude and direction, in old and new versions of torch.
_WEIGHT_NORM_NAMES = {
    "weight_g": ("weight_g", "weight_v"),
    "parametrizations": ("parametrizations.weight.original0", "parametrizations.weight.original1"),
}
WeightNorm = Literal["weight_g", "parametrizations"]


def weight_norm_naming(weights: dict[str, torch.Tensor]) -> WeightNorm:
    """Returns the naming of weight norm that these weights use."""
    return "weight_g" if any(key.endswith(".weight_g") for key in weights) else "parametrizations"


def rename_weight_norm(weights: dict[str, torch.Tensor], naming: WeightNorm) -> dict[str, torch.Tensor]:
    """Renames the weights to the given naming of weight norm."""
    other = next(names for name, names in _WEIGHT_NORM_NAMES.items() if name != naming)
    names = {f".{old}": f".{new}" for old, new in zip(other, _WEIGHT_NORM_NAMES[naming])}
    renamed = {}
    for key, weight in weights.items():
        ending = next((ending for ending in names if key.endswith(ending)), None)
        renamed[key if ending is None else key.removesuffix(ending) + names[ending]] = weight
    return renamed


def build_codec(weights: dict[str, torch.Tensor], sampling_rate: int) -> EncodecModel:
    r"""
    Builds an EnCodec model from its weights. Sizes are inferred from the weights; options that can't be inferred (no
    causal convolutions, no normalization, no chunks) are those of `facebook/encodec_32khz`, which all released JASCO
    models use.

    Args:
        weights (`dict[str, torch.Tensor]`): weights with Transformers' names and either naming of weight norm.
        sampling_rate (`int`): sampling rate in Hz.

    Returns:
        [`~transformers.EncodecModel`]: the codec, in the dtype of its weights.

    Raises:
        `ValueError`: if the weights are not those of an EnCodec model.
    """
    weights = rename_weight_norm(weights, "parametrizations")
    try:
        config = _read_config(weights, sampling_rate)
        codec = EncodecModel(config).to(weights["quantizer.layers.0.codebook.embed"].dtype)
        codec.load_state_dict(weights)
    except (KeyError, IndexError, ValueError, RuntimeError, StopIteration) as error:
        raise ValueError(f"The codec in the checkpoint is not an EnCodec of Transformers: {error}") from error
    return codec.eval()


def _read_config(weights: dict[str, torch.Tensor], sampling_rate: int) -> EncodecConfig:
    def layers(part: str) -> dict[int, torch.Size]:
        """Shapes of the plain convolutions of the encoder or decoder, by layer."""
        pattern = re.compile(rf"{part}\.layers\.(\d+)\.conv\.(?:parametrizations\.weight\.original1|weight)")
        found = {int(match[1]): weights[match[0]].shape for match in map(pattern.fullmatch, weights) if match}
        return dict(sorted(found.items()))

    def count(pattern: str) -> int:
        return sum(re.fullmatch(pattern, key) is not None for key in weights)

    encoder, decoder = list(layers("encoder").values()), list(layers("decoder").values())
    first, last = encoder[0], encoder[-1]
    # The kernel size of strided convolutions is twice their stride.
    ratios = [shape[2] // 2 for shape in decoder[1:-1]]
    codebook = weights["quantizer.layers.0.codebook.embed"]
    num_codebooks = count(r"quantizer\.layers\.\d+\.codebook\.embed")
    frame_rate = math.ceil(sampling_rate / math.prod(ratios))
    conv = "weight" if "encoder.layers.0.conv.weight" in weights else "parametrizations.weight.original1"
    residual = weights[f"encoder.layers.1.block.1.conv.{conv}"].shape
    return EncodecConfig(
        sampling_rate=sampling_rate,
        audio_channels=first[1],
        num_filters=first[0],
        kernel_size=first[2],
        hidden_size=last[0],
        last_kernel_size=last[2],
        upsampling_ratios=ratios,
        num_residual_layers=count(rf"encoder\.layers\.\d+\.block\.1\.conv\.{re.escape(conv)}") // len(ratios),
        residual_kernel_size=residual[2],
        compress=residual[1] // residual[0],
        use_conv_shortcut=any(".shortcut." in key for key in weights),
        num_lstm_layers=count(r"encoder\.layers\.\d+\.lstm\.weight_ih_l\d+"),
        codebook_size=codebook.shape[0],
        codebook_dim=codebook.shape[1],
        target_bandwidths=[num_codebooks * math.ceil(math.log2(codebook.shape[0])) * frame_rate / 1000],
        norm_type="weight_norm" if conv != "weight" else "time_group_norm",
        normalize=False,
        use_causal_conv=False,
        chunk_length_s=None,
        overlap=None,
    )
