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

"""Trainable embeddings for new words of a word tokenizer, while the rest of the text encoder is frozen."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.utils import logging
from transformers import PreTrainedTokenizerBase

from ..loaders.lora_words import LoraWords, fingerprint
from ..pipelines.pipeline_jasco import JascoPipeline
from ..text_encoders import append_words, is_word_tokenizer, split_words
from ..utils.errors import list_names
from ..utils.seeding import derive_seed


logger = logging.get_logger(__name__)

MASKED_CAPTIONS = 0.7  # share of the captions without new words in which words are masked
MASKED_WORDS = 0.6  # share of masked words in these captions


@torch.no_grad()
def add_new_words(pipeline: JascoPipeline, texts: Sequence[str]) -> list[str]:
    r"""
    Adds words to a pipeline's tokenizer and text encoder, in place. Their embeddings are initialized randomly, from
    PyTorch's global generator, with the standard deviation of the known embeddings.

    Args:
        pipeline ([`JascoPipeline`]): the pipeline.
        texts (`Sequence[str]`): words, or texts of several words.

    Returns:
        `list[str]`: the words that were added. Known words are skipped with a warning.

    Raises:
        `ValueError`: for a subword tokenizer, or a text without a word.
    """
    if not texts:
        return []
    if not is_word_tokenizer(pipeline.tokenizer):
        raise ValueError(
            "--new_words is for models whose tokenizer has one token per word, such as jasco-nano. This model can read"
            " any word: omit the option."
        )
    words: list[str] = []
    for text in texts:
        parts = split_words(text, pipeline.tokenizer)
        if not parts:
            raise ValueError(f"--new_words has to consist of words, but got {text!r}.")
        words += parts
    words = list(dict.fromkeys(words))
    vocabulary = pipeline.tokenizer.get_vocab()
    if known := [word for word in words if word in vocabulary]:
        logger.warning(f"--new_words: the model already knows {list_names(known)}.")
    words = [word for word in words if word not in vocabulary]
    known_weights = pipeline.text_encoder.get_input_embeddings().weight
    embeddings = {word: known_weights.std() * torch.randn(known_weights.shape[1]) for word in words}
    append_words(pipeline.tokenizer, pipeline.text_encoder, embeddings)
    return words


def mask_words(
    input_ids: torch.Tensor, keys: Sequence[Any], seed: int, tokenizer: PreTrainedTokenizerBase, num_new_words: int
) -> torch.Tensor:
    r"""
    Replaces words by `<unk>` in some of the captions without new words. Otherwise, any caption with an unknown word
    would resemble the captions with new words, and take on their style.

    Args:
        input_ids (`torch.Tensor` of shape `(batch, tokens)`): the captions.
        keys (`Sequence` of length `batch`): identifiers of the samples.
        seed (`int`): the run's seed.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]): the tokenizer, with the new words.
        num_new_words (`int`): number of new words, at the end of its vocabulary.

    Returns:
        `torch.Tensor` of shape `(batch, tokens)`: the captions.
    """
    draws = [
        torch.rand(1 + input_ids.shape[1], generator=torch.Generator().manual_seed(derive_seed("words", seed, key)))
        for key in keys
    ]
    is_masked, by_token = torch.stack(draws).split([1, input_ids.shape[1]], dim=1)
    has_new = (input_ids >= len(tokenizer) - num_new_words).any(dim=1, keepdim=True)
    is_word = ~torch.isin(input_ids, torch.tensor(tokenizer.all_special_ids))
    chosen = is_word & ~has_new & (is_masked < MASKED_CAPTIONS) & (by_token < MASKED_WORDS)
    return torch.where(chosen, tokenizer.unk_token_id, input_ids)


def store_in_lora(pipeline: JascoPipeline, words: Sequence[str], embeddings: torch.Tensor, adapter: str = "default"):
    r"""
    Stores words that [`add_new_words`] has added in a LoRA adapter, so that they are saved with it.

    Args:
        pipeline ([`JascoPipeline`]): the pipeline.
        words (`Sequence[str]`): the words.
        embeddings (`torch.Tensor` of shape `(words, dim)`): their embeddings.
        adapter (`str`, defaults to `"default"`): name of the adapter.
    """
    vocabulary = fingerprint(pipeline.tokenizer, len(pipeline.tokenizer) - len(words))
    values = dict(zip(words, embeddings.detach().clone(), strict=True))
    pipeline.transformer.lora_words = LoraWords({adapter: values}, len(words), vocabulary)
