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

"""New words of LoRAs: storage by adapter, and installation in the tokenizer and the text encoder."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.utils import logging
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..text_encoders import append_words, is_word_tokenizer, remove_last_words, split_words
from ..utils.errors import list_names, shorten


logger = logging.get_logger(__name__)

# A LoRA file stores the embedding of a word as the tensor `text_encoder.words.<word>`.
PREFIX = "text_encoder.words."
# Key of the base vocabulary's size and fingerprint in the configuration of a LoRA file.
VOCABULARY = "text_encoder.vocabulary"

Words = dict[str, torch.Tensor]


@dataclass
class LoraWords:
    r"""
    The words of a transformer's adapters, kept as `transformer.lora_words`.

    Attributes:
        adapters (`dict[str, dict[str, torch.Tensor]]`): embeddings of shape `(dim,)` by adapter and word.
        num_installed (`int`): number of words from adapters at the end of the tokenizer's vocabulary.
        vocabulary (`str`): fingerprint of the base vocabulary, stored in LoRA files.
    """

    adapters: dict[str, Words] = field(default_factory=dict)
    num_installed: int = 0
    vocabulary: str = ""


def words_of(transformer: torch.nn.Module) -> LoraWords | None:
    """The words of a transformer's adapters, or `None` if no adapter has had any."""
    return getattr(transformer, "lora_words", None)


def split_off_words(state_dict: dict[str, Any]) -> tuple[dict[str, Any], Words]:
    """Splits a state dict into the tensors of LoRA layers and the embeddings of words."""
    layers = {name: value for name, value in state_dict.items() if not name.startswith(PREFIX)}
    return layers, {name.removeprefix(PREFIX): value for name, value in state_dict.items() if name not in layers}


def add_prefix(words: Words) -> Words:
    """Returns the embeddings with the keys that they have in a LoRA file."""
    return {PREFIX + word: embedding.detach().cpu().contiguous() for word, embedding in words.items()}


def fingerprint(tokenizer: PreTrainedTokenizerBase, size: int | None = None) -> str:
    """The number and a hash of the first `size` tokens of a tokenizer (all by default)."""
    size = len(tokenizer) if size is None else size
    tokens = sorted((token, word) for word, token in tokenizer.get_vocab().items() if token < size)
    return f"{size}:{hashlib.sha256(json.dumps(tokens).encode()).hexdigest()[:16]}"


def check_words(
    words: Words,
    vocabulary: Any,
    tokenizer: PreTrainedTokenizerBase,
    text_encoder: PreTrainedModel,
    num_installed: int = 0,
):
    r"""
    Checks the words of a LoRA before anything is modified.

    Args:
        words (`dict[str, torch.Tensor]`): embeddings by word.
        vocabulary (`str`, *optional*): fingerprint of the base vocabulary in the LoRA file.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]): the pipeline's tokenizer.
        text_encoder ([`~transformers.PreTrainedModel`]): the pipeline's text encoder.
        num_installed (`int`): number of words from other LoRAs at the end of the tokenizer's vocabulary.

    Raises:
        `ValueError`: for words that do not fit the text encoder or its tokenizer.
    """
    if not words:
        return
    named = list_names([shorten(word) for word in words])
    if not is_word_tokenizer(tokenizer):
        raise ValueError(
            f"The LoRA has embeddings of new words ({named}) for a tokenizer with one token per word, but this model"
            " has a subword tokenizer: it is the LoRA of another model."
        )
    base_size = len(tokenizer) - num_installed
    size = str(vocabulary).partition(":")[0]
    if vocabulary is not None and not (
        size.isdecimal() and int(size) <= base_size and fingerprint(tokenizer, int(size)) == vocabulary
    ):
        raise ValueError(
            f"The LoRA has embeddings of new words ({named}) for a tokenizer with a different base vocabulary than"
            " this model's: it is the LoRA of another model."
        )
    known = {word for word, token in tokenizer.get_vocab().items() if token < base_size}
    dim = text_encoder.config.d_model
    for word, embedding in words.items():
        if word in known:
            raise ValueError(
                f"The LoRA has an embedding of the new word {shorten(word)}, which this model already knows: it is the"
                " LoRA of another model."
            )
        if split_words(word, tokenizer) != [word]:
            raise ValueError(
                f"The LoRA has an embedding of {shorten(word)}, which the tokenizer does not read as one word."
            )
        if not isinstance(embedding, torch.Tensor) or embedding.shape != (dim,) or not embedding.is_floating_point():
            raise ValueError(
                f"The LoRA's embedding of the word {shorten(word)} has to be a tensor of shape ({dim},), but is"
                f" {tuple(getattr(embedding, 'shape', ()))}."
            )
        if not embedding.isfinite().all():
            raise ValueError(f"The LoRA's embedding of the word {shorten(word)} is not finite.")
    if text_encoder.get_input_embeddings().weight.is_meta or _is_group_offloaded(text_encoder):
        raise ValueError(
            f"The LoRA has new words ({named}), which can't be added to a text encoder that is offloaded in pieces:"
            " load the LoRA before `enable_sequential_cpu_offload` or `enable_group_offload`."
        )


def _is_group_offloaded(module: torch.nn.Module) -> bool:
    from diffusers.hooks.group_offloading import _is_group_offload_enabled

    return _is_group_offload_enabled(module)


def install_words(
    transformer: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    text_encoder: PreTrainedModel,
    active: Iterable[str],
):
    r"""
    Updates the tokenizer and the text encoder in place, so that they know exactly the words of the active adapters. A
    word that several of them define gets the mean of their embeddings, with a warning.

    Args:
        transformer ([`JascoTransformerModel`]): the transformer with the adapters.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]): the pipeline's tokenizer.
        text_encoder ([`~transformers.PreTrainedModel`]): the pipeline's text encoder.
        active (`Iterable[str]`): names of the adapters that are active or fused.
    """
    state = words_of(transformer)
    if state is None:
        return
    remove_last_words(tokenizer, text_encoder, state.num_installed)
    active = sorted(set(active) & set(state.adapters))
    owners: dict[str, list[str]] = {}
    for name in active:
        for word in state.adapters[name]:
            owners.setdefault(word, []).append(name)
    if shared := [word for word, names in owners.items() if len(names) > 1]:
        logger.warning(
            f"Several of the active LoRAs ({list_names(active)}) define {list_names(list(map(repr, shared)))}: the"
            " mean of their embeddings is used."
        )
    words = {
        word: torch.stack([state.adapters[name][word].float() for name in names]).mean(dim=0)
        for word, names in owners.items()
    }
    append_words(tokenizer, text_encoder, words)
    state.num_installed = len(words)
