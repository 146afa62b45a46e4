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

"""Text encoders: loading, encoding of prompts and captions, vocabularies, and hashes."""

import difflib
import hashlib
import itertools
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging
from tokenizers import models
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, T5EncoderModel

from .utils.errors import InputError, list_names, shorten
from .utils.files import component_folder


logger = logging.get_logger(__name__)

_NUMBER_AND_UNIT = re.compile(r"(\d+)(bpm)\b", re.IGNORECASE)

# T5 was not trained on longer texts. Prompts are never truncated, as in AudioCraft.
MAX_TRAINED_TOKENS = 512


def load_text_encoder(name: str | os.PathLike) -> tuple[PreTrainedTokenizerBase, T5EncoderModel]:
    r"""
    Loads a T5 encoder, in float32, and its tokenizer.

    Args:
        name (`str` or `os.PathLike`): folder of a pipeline, or folder or Hub id of a T5 with its tokenizer.

    Raises:
        `OSError`: if the model or its tokenizer does not exist.
    """
    parts = {part: component_folder(name, part) for part in ("tokenizer", "text_encoder")}
    return load_tokenizer(parts["tokenizer"]), T5EncoderModel.from_pretrained(
        parts["text_encoder"], dtype=torch.float32
    ).eval()


def load_tokenizer(name: str | os.PathLike, **hub: Any) -> PreTrainedTokenizerBase:
    r"""
    Args:
        name (`str` or `os.PathLike`): folder or Hub id of a tokenizer.
        hub: arguments of `from_pretrained`, such as `token`.

    Raises:
        `OSError`: if the tokenizer does not exist.
    """
    folder = Path(name)
    # Without these files, Transformers would create a tokenizer with an empty vocabulary.
    if folder.is_dir() and not any((folder / file).is_file() for file in ("tokenizer.json", "spiece.model")):
        raise FileNotFoundError(f"There is no tokenizer in {folder}: neither tokenizer.json nor spiece.model.")
    return AutoTokenizer.from_pretrained(name, **hub)


def text_encoder_hash(tokenizer: PreTrainedTokenizerBase, text_encoder: torch.nn.Module) -> str:
    """A hash of the tokenizer's rules and the text encoder's weights, equal for float32 and float16 weights."""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    # These may change with every call.
    rules.pop("padding")
    rules.pop("truncation")
    digest = hashlib.sha256(json.dumps(rules, sort_keys=True).encode())
    for name, weights in sorted(text_encoder.named_parameters()):
        digest.update(f"{name} {tuple(weights.shape)}".encode())
        digest.update(weights.detach().to("cpu", torch.float16).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def known_words(tokenizer: PreTrainedTokenizerBase) -> list[str] | None:
    r"""
    The vocabulary of a word tokenizer in alphabetical order. All other words become `<unk>`.

    Args:
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]): the tokenizer of a pipeline.

    Returns:
        `list[str]`, or `None` for a subword tokenizer such as T5's, which can spell any word.
    """
    if not is_word_tokenizer(tokenizer):
        return None
    words = set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)
    return sorted(word for word in words if not _is_punctuation(word))


def word_counts(tokenizer: PreTrainedTokenizerBase) -> dict[str, int] | None:
    r"""
    Returns how often each known word occurred in the captions that a word tokenizer was trained on, most frequent
    first. Rare words in a prompt have little effect.

    Args:
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]): the tokenizer of a pipeline.

    Returns:
        `dict[str, int]`, or `None` if the tokenizer does not store counts.
    """
    counts = tokenizer.init_kwargs.get("word_counts")
    return None if counts is None else {word: n for word, n in counts.items() if not _is_punctuation(word)}


def list_words(words: Sequence[str]) -> str:
    """Formats words for display: numbers first, as ranges."""
    numbers = sorted(int(word) for word in words if word.isdecimal())
    # Consecutive numbers have the same difference from their position.
    groups = itertools.groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    runs = [[number for _, number in group] for _, group in groups]
    ranges = [f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return ", ".join([*ranges, *(word for word in words if not word.isdecimal())])


def unknown_words(prompt: str, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    r"""
    The words of a prompt that are not in the vocabulary. They all become `<unk>`, so the model can't distinguish them.

    Args:
        prompt (`str`): the prompt.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]): the tokenizer of a pipeline.

    Returns:
        `list[str]`: each unknown word once, as spelled in the prompt, without punctuation. T5's tokenizer knows all
        words in Latin script, but not, for example, emoji or Chinese characters.
    """
    return _unknown_words([prompt], tokenizer)[0]


def _unknown_words(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[list[str]]:
    if not texts or not tokenizer.is_fast or tokenizer.unk_token_id is None:
        return [[] for _ in texts]
    texts = [_separate_units(text, tokenizer) for text in texts]
    encoded = tokenizer(texts, return_offsets_mapping=True, add_special_tokens=False)
    found = []
    for text, tokens, offsets in zip(texts, encoded.input_ids, encoded.offset_mapping, strict=True):
        words = [
            text[start:end].strip()
            for token, (start, end) in zip(tokens, offsets, strict=True)
            if token == tokenizer.unk_token_id
        ]
        found.append(list(dict.fromkeys(word for word in words if not _is_punctuation(word))))
    return found


def warn_of_unknown_captions(
    source: str, captions: Iterable[str], tokenizer: PreTrainedTokenizerBase, hint: str = ""
) -> None:
    r"""
    Warns once about the unknown words in a dataset's captions, with the number of captions that contain each.

    Args:
        source (`str`): name of the dataset.
        captions (`Iterable[str]`): the captions.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]): the tokenizer.
        hint (`str`, *optional*): added to the message; `{words}` in it is replaced by the most frequent unknown words.
    """
    num_captions, num_unknown, counts = 0, 0, Counter[str]()
    # Captions share most of their words, so each word is only tokenized once.
    seen: set[str] = set()
    unknown: dict[str, set[str]] = {}
    remaining = iter(captions)
    while batch := [caption.split() for caption in itertools.islice(remaining, 1000)]:
        num_captions += len(batch)
        new = list(set().union(*batch) - seen)
        seen.update(new)
        unknown |= {
            word: {part.lower() for part in parts} for word, parts in zip(new, _unknown_words(new, tokenizer)) if parts
        }
        for words in batch:
            if found := [unknown[word] for word in words if word in unknown]:
                num_unknown += 1
                counts.update(set().union(*found))
    if num_unknown:
        words = [f"{word!r} ({count})" for word, count in counts.most_common()]
        most_common = " ".join(word for word, _ in counts.most_common(12))
        logger.warning(
            f"{source}: {num_unknown} of {num_captions} captions have words that the text encoder does not know and can't"
            f" distinguish: {list_names(words)}.{hint.replace('{words}', most_common)}"
        )


def similar_words(word: str, tokenizer: PreTrainedTokenizerBase, limit: int = 3) -> list[str]:
    """
    The known words that are spelled most similarly to a word, best match first; for a number, the nearest number.
    """
    words = known_words(tokenizer) or []
    if word.isdecimal():
        numbers = [known for known in words if known.isdecimal()]
        return sorted(numbers, key=lambda known: abs(int(known) - int(word)))[:1]
    return difflib.get_close_matches(word.lower(), words, limit)


def is_word_tokenizer(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a tokenizer has one token per word, such as that of jasco-nano."""
    return tokenizer.is_fast and isinstance(tokenizer.backend_tokenizer.model, models.WordLevel)


def _separate_units(text: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """For word tokenizers, `"96 bpm"` instead of `"96bpm"` if that would be a single, unknown word."""
    if not is_word_tokenizer(tokenizer):
        return text

    def separate(match: re.Match) -> str:
        is_unknown = tokenizer.convert_tokens_to_ids(match[0].lower()) == tokenizer.unk_token_id
        return f"{match[1]} {match[2]}" if is_unknown else match[0]

    return _NUMBER_AND_UNIT.sub(separate, text)


def split_words(text: str, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The words of a text as normalized by a word tokenizer (for example to lower case), without punctuation."""
    text = _separate_units(text, tokenizer)
    rules = tokenizer.backend_tokenizer
    normalized = text if rules.normalizer is None else rules.normalizer.normalize_str(text)
    if rules.pre_tokenizer is None:
        return [normalized]
    return [word for word, _ in rules.pre_tokenizer.pre_tokenize_str(normalized) if not _is_punctuation(word)]


@torch.no_grad()
def append_words(
    tokenizer: PreTrainedTokenizerBase, text_encoder: PreTrainedModel, words: dict[str, torch.Tensor]
) -> None:
    r"""
    Adds words to a word tokenizer and its text encoder, in place. Known words keep their tokens and embeddings.

    Args:
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]): a word tokenizer.
        text_encoder ([`~transformers.PreTrainedModel`]): the text encoder.
        words (`dict[str, torch.Tensor]`): the words, as [`split_words`] returns them, and their embeddings `(dim,)`.

    Raises:
        [`InputError`]: for a subword tokenizer, a known word, or an entry that is not a single word.
    """
    if not is_word_tokenizer(tokenizer):
        raise InputError(
            "New words require a tokenizer with one token per word, such as that of jasco-nano. This model's tokenizer reads"
            " any word, so new words are not needed.",
            "words",
        )
    model = tokenizer.backend_tokenizer.model
    vocabulary, size = tokenizer.get_vocab(), len(tokenizer)
    for word in words:
        if word in vocabulary:
            raise InputError(f"The text encoder knows the word {shorten(word)} already.", "words")
        if split_words(word, tokenizer) != [word]:
            raise InputError(f"{shorten(word)} is not a single word in the tokenizer's normalized form.", "words")
    added = {word: size + index for index, word in enumerate(words)}
    tokenizer.backend_tokenizer.model = models.WordLevel(vocabulary | added, unk_token=model.unk_token)
    old = text_encoder.get_input_embeddings().weight
    new = torch.stack([embedding.to(old) for embedding in words.values()]) if words else old[:0]
    _set_embeddings(text_encoder, torch.cat([old[:size], new, old[size:]]))


@torch.no_grad()
def remove_last_words(tokenizer: PreTrainedTokenizerBase, text_encoder: PreTrainedModel, count: int) -> None:
    """Removes the last `count` words that [`append_words`] added, in place."""
    model, size = tokenizer.backend_tokenizer.model, len(tokenizer) - count
    kept = {word: token for word, token in tokenizer.get_vocab().items() if token < size}
    tokenizer.backend_tokenizer.model = models.WordLevel(kept, unk_token=model.unk_token)
    old = text_encoder.get_input_embeddings().weight
    _set_embeddings(text_encoder, torch.cat([old[:size], old[size + count :]]))


def _set_embeddings(text_encoder: PreTrainedModel, weight: torch.Tensor):
    layer = text_encoder.get_input_embeddings()
    layer.weight = torch.nn.Parameter(weight.contiguous(), requires_grad=layer.weight.requires_grad)
    layer.num_embeddings = text_encoder.config.vocab_size = len(weight)
    text_encoder.set_input_embeddings(layer)


def _is_punctuation(text: str) -> bool:
    return all(unicodedata.category(character).startswith("P") for character in text)


def warn_of_unknown_words(prompt: str, tokenizer: PreTrainedTokenizerBase):
    """Warns about unknown words in a prompt and suggests similar known ones."""
    unknown = unknown_words(prompt, tokenizer)
    if not unknown:
        return
    described = []
    for word in unknown[:8]:
        similar = ", ".join(map(repr, similar_words(word, tokenizer)))
        described.append(f"{word!r} (similar words that it knows: {similar})" if similar else repr(word))
    known = known_words(tokenizer)
    hint = "" if known is None else f" `known_words()` of the pipeline lists the {len(known)} words that it knows."
    logger.warning(
        f"The text encoder does not know {list_names(described + unknown[8:], 8)} in the prompt {shorten(prompt)}: unknown"
        f" words have no meaning of their own.{hint}"
    )


@torch.no_grad()
def encode_prompts(
    prompts: Sequence[str | None],
    tokenizer: PreTrainedTokenizerBase,
    text_encoder: torch.nn.Module,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""
    Encodes a batch of prompts as the text encoder's last hidden states. Warns about prompts that are longer than T5's
    training texts and about unknown words.

    Args:
        prompts (`Sequence[str]`):
            Prompts; `None` or an empty string is the null text.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            The text encoder's tokenizer.
        text_encoder ([`~transformers.T5EncoderModel`]):
            The text encoder.
        device (`torch.device`):
            Device on which it runs.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: the states `(batch, tokens, dim)` and a boolean mask `(batch, tokens)` of
        the tokens that are text, as opposed to padding and the tokens of empty prompts, whose states are zero.
    """
    texts = [_separate_units(text or "", tokenizer) for text in prompts]
    for text in dict.fromkeys(texts):
        warn_of_unknown_words(text, tokenizer)
    # Padded here, because padding changes the state of the tokenizer, which fails if threads share it.
    rows = [torch.tensor(ids) for ids in tokenizer(texts).input_ids]
    input_ids = pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id or 0)
    attention_mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    num_tokens = input_ids.shape[1]
    if num_tokens > MAX_TRAINED_TOKENS:
        logger.warning(
            f"The longest prompt has {num_tokens} tokens, but T5 was trained on at most {MAX_TRAINED_TOKENS}: it is not"
            " truncated, but its end may be ignored. Shorten the prompt to avoid it."
        )
    is_text = (attention_mask.bool() & torch.tensor([[text != ""] for text in texts])).to(device)
    states = text_encoder(input_ids.to(device), attention_mask=attention_mask.to(device))[0]
    return states * is_text[..., None], is_text


def attended_tokens(text_mask: torch.Tensor, attend_to_padding: bool = False) -> torch.Tensor | None:
    r"""
    Returns the mask of the tokens that the transformer attends to.

    Args:
        text_mask (`torch.Tensor` of shape `(batch, tokens)`):
            The tokens that are text, as [`encode_prompts`] returns them.
        attend_to_padding (`bool`, defaults to `False`):
            Whether to attend to the padding of shorter prompts, as in AudioCraft; a sample then depends on the longest
            prompt in its batch.

    Returns:
        `torch.Tensor` of shape `(batch, tokens)`: `True` for text tokens, and for all tokens of a row without text;
        `None` if that is every token, since attention without a mask is faster.
    """
    attended = text_mask | ~text_mask.any(dim=1, keepdim=True)
    return None if attend_to_padding or attended.all() else attended


@torch.no_grad()
def encode_captions(
    captions: Sequence[str], tokenizer: PreTrainedTokenizerBase, text_encoder: torch.nn.Module
) -> list[torch.Tensor]:
    r"""
    Encodes captions as the text encoder's last hidden states, one by one so that they do not depend on each other.

    Args:
        captions (`Sequence[str]`): the captions.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]): the text encoder's tokenizer.
        text_encoder ([`~transformers.T5EncoderModel`]): the text encoder.

    Returns:
        `list[torch.Tensor]`: the states `(tokens, dim)` of each caption, without padding, in float16.
    """
    states = []
    for caption in captions:
        ids = tokenizer(_separate_units(caption, tokenizer), return_tensors="pt").input_ids.to(text_encoder.device)
        states.append(text_encoder(ids)[0][0].to("cpu", torch.float16).contiguous())
    return states
