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

"""Audio codecs: loading, encoding and decoding in bounded memory, drum latents and hashes."""

import hashlib
import importlib
import json
import os
import pkgutil
from pathlib import Path

import torch
from torch import nn
from transformers import EncodecModel

from . import models
from .utils.files import component_folder


# Longer clips are encoded in windows, with some of what is before and after, so that an hour fits in the memory.
WINDOW_SECONDS, CONTEXT_SECONDS = 30.0, 2.0


def codec_hash(codec: torch.nn.Module) -> str:
    """A hash of the codec's configuration, without what says nothing about its latents (versions, paths, types)."""
    config = codec.config.to_dict() if hasattr(codec.config, "to_dict") else dict(codec.config)
    ignored = ("transformers_version", "torch_dtype", "dtype", "architectures", "model_type", "num_parameters")
    config = {key: value for key, value in config.items() if key not in ignored and not key.startswith("_")}
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:16]


@torch.no_grad()
def first_codebook(codec: torch.nn.Module) -> torch.Tensor:
    """The codec's first codebook, of shape `(entries, latent_dim)`."""
    codes = torch.arange(codec.config.codebook_size, device=next(codec.parameters()).device)
    return codec.quantizer.layers[0].decode(codes[None])[0].T.float().cpu().contiguous()


def is_same_codec(codec: torch.nn.Module, other_hash: str, other_codebook: torch.Tensor) -> bool:
    r"""
    Whether a codec has the latents of another one; in half precision it is still the same.

    Args:
        codec (`torch.nn.Module`): the codec.
        other_hash (`str`): [`codec_hash`] of the other one.
        other_codebook (`torch.Tensor` of shape `(entries, latent_dim)`): [`first_codebook`] of the other one.
    """
    codebook = first_codebook(codec)
    if codec_hash(codec) != other_hash or codebook.shape != other_codebook.shape:
        return False
    return bool((codebook - other_codebook).norm() <= 0.01 * other_codebook.norm())


def encode_latents(codec: torch.nn.Module, waveform: torch.Tensor) -> torch.Tensor:
    """Latents `(batch, dim, frames)` of `(batch, 1, samples)` at the codec's rate; of what is long, window by window."""
    parameter = next(codec.parameters())
    hop, rate = codec.config.hop_length, codec.config.sampling_rate
    window, context = (round(seconds * rate / hop) for seconds in (WINDOW_SECONDS, CONTEXT_SECONDS))
    num_samples = waveform.shape[-1]
    if num_samples <= window * hop:
        return codec.encoder(waveform.to(parameter)).float().cpu()
    latents = []
    for start in range(0, -(-num_samples // hop), window):
        first = max(start - context, 0)
        encoded = codec.encoder(waveform[..., first * hop : (start + window + context) * hop].to(parameter))
        latents.append(encoded[..., start - first : start - first + window].float().cpu())
    return torch.cat(latents, dim=-1)


def load_codec(folder: str | os.PathLike) -> nn.Module:
    r"""
    Loads a codec, in float32, of the class that its `config.json` names: one of this package (`"_class_name"`), or
    [`~transformers.EncodecModel`].

    Args:
        folder (`str` or `os.PathLike`): folder of the codec, or of a pipeline that has one.

    Raises:
        `FileNotFoundError`: if there is no codec.
        `ValueError`: for another class.
    """
    folder = Path(component_folder(folder, "codec"))
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"There is no codec in {folder}: it has no config.json.")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    name = config.get("_class_name") or (config.get("architectures") or ["EncodecModel"])[0]
    if name == "EncodecModel":
        return EncodecModel.from_pretrained(folder, dtype=torch.float32).eval()
    for module in pkgutil.iter_modules(models.__path__):
        codec_class = getattr(importlib.import_module(f"{models.__name__}.{module.name}"), name, None)
        if isinstance(codec_class, type) and issubclass(codec_class, nn.Module):
            return codec_class.from_pretrained(folder, torch_dtype=torch.float32).eval()
    raise ValueError(
        f"The codec in {folder} is of class {name}: neither EncodecModel nor one of diffusers_jasco.models."
    )
