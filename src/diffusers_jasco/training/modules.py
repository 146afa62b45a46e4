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


"""What is trained, as one module, and its parts as a pipeline stores them."""

import importlib
import json
import os
import pkgutil
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn
from transformers import AutoTokenizer, EncodecModel, PreTrainedTokenizerBase, T5EncoderModel

from .. import models
from ..models.transformer_jasco import JascoTransformerModel
from .conditions import drop_controls, mask_text


class JascoTrainingModel(nn.Module):
    r"""
    The transformer and, if it is trained too, the text encoder: one module, so that one distributed wrapper, one
    optimizer and one average of the weights cover both.

    Args:
        transformer ([`JascoTransformerModel`]): the transformer.
        text_encoder ([`~transformers.T5EncoderModel`]): the text encoder.
        train_text_encoder (`bool`, defaults to `False`): whether it is trained.
    """

    def __init__(
        self, transformer: JascoTransformerModel, text_encoder: T5EncoderModel, train_text_encoder: bool = False
    ):
        super().__init__()
        self.transformer = transformer
        self.text_encoder = text_encoder if train_text_encoder else None
        # In a list, it is no part of the module's parameters.
        self._frozen = [] if train_text_encoder else [text_encoder.requires_grad_(False).eval()]

    def encode_text(self, text: dict[str, torch.Tensor]) -> torch.Tensor:
        """Hidden states `(batch, tokens, text_dim)`, of token ids or as they are in the feature cache."""
        if "hidden_states" in text:
            return text["hidden_states"]
        encoder = self.text_encoder if self.text_encoder is not None else self._frozen[0].to(text["input_ids"].device)
        with nullcontext() if self.text_encoder is not None else torch.no_grad():
            return encoder(text["input_ids"], attention_mask=text["attention_mask"])[0]

    def forward(
        self,
        hidden_states: torch.Tensor,
        timestep: torch.Tensor,
        text: dict[str, torch.Tensor],
        controls: dict[str, torch.Tensor],
        keep: dict[str, torch.Tensor],
    ) -> torch.Tensor:
        r"""
        Args:
            hidden_states (`torch.Tensor` of shape `(batch, frames, in_channels)`): points of the path.
            timestep (`torch.Tensor` of shape `(batch,)`): their times in [0, 1].
            text (`dict[str, torch.Tensor]`):
                The captions: `attention_mask` `(batch, tokens)`, 1 for tokens, 0 for padding, and either `input_ids` of
                that shape or `hidden_states` `(batch, tokens, text_dim)` of the text encoder.
            controls (`dict[str, torch.Tensor]`): the controls, as [`~training.conditions.drop_controls`] takes them.
            keep (`dict[str, torch.Tensor]`): which samples keep which condition, as [`ConditionDropout.keep`] tells.

        Returns:
            `torch.Tensor` of the shape of `hidden_states`: the velocity.
        """
        attention_mask = text["attention_mask"]
        encoded = mask_text(self.encode_text(text), attention_mask, keep["text"])
        null_chord = self.transformer.null_chord if "chords" in controls else 0
        return self.transformer(
            hidden_states=hidden_states,
            timestep=timestep,
            encoder_hidden_states=encoded,
            encoder_attention_mask=None if attention_mask.all() else attention_mask,
            **drop_controls(controls, keep, null_chord),
            return_dict=False,
        )[0]


def component_folder(source: str | os.PathLike, component: str) -> str | os.PathLike:
    """Where a component is: in the folder of a pipeline, or else in what is given, its own folder or Hub repository."""
    folder = Path(source, component)
    return folder if folder.is_dir() else source


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


def load_text_encoder(name: str | os.PathLike) -> tuple[PreTrainedTokenizerBase, T5EncoderModel]:
    r"""
    Loads a T5 encoder, in float32, and its tokenizer.

    Args:
        name (`str` or `os.PathLike`): folder of a pipeline; or folder or Hub id of a T5 with its tokenizer.

    Raises:
        `OSError`: if there is no such thing, or no tokenizer with it.
    """
    parts = {part: component_folder(name, part) for part in ("tokenizer", "text_encoder")}
    folder = Path(parts["tokenizer"])
    # Without these transformers makes up a tokenizer that knows no words.
    if folder.is_dir() and not any((folder / file).is_file() for file in ("tokenizer.json", "spiece.model")):
        raise FileNotFoundError(f"There is no tokenizer in {folder}: neither tokenizer.json nor spiece.model.")
    tokenizer = AutoTokenizer.from_pretrained(parts["tokenizer"])
    return tokenizer, T5EncoderModel.from_pretrained(parts["text_encoder"], dtype=torch.float32).eval()


class CodecTrainingModel(nn.Module):
    r"""
    A codec as it is trained: JASCO's latents are those before quantisation, and audio is decoded from them.

    Args:
        codec ([`~transformers.EncodecModel`] or a model with its parts): the codec.
    """

    def __init__(self, codec: nn.Module):
        super().__init__()
        self.codec = codec

    def forward(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Waveforms `(batch, 1, samples)` → decoded ones of the same shape, and latents `(batch, dim, frames)`."""
        latents = self.codec.encoder(audio)
        return self.codec.decoder(latents)[..., : audio.shape[-1]], latents
