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

"""Small T5-style tokenizers for text encoders that are trained from scratch."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast


SPECIAL_TOKENS = ["<pad>", "</s>", "<unk>"]


def train_tokenizer(captions: Iterable[str], model: str = "word", vocab_size: int = 2000) -> PreTrainedTokenizerFast:
    r"""
    Trains a tokenizer. Texts are lowercased; `<pad>` is 0, `</s>` 1 (appended to every text, as in T5) and `<unk>` 2.

    Args:
        captions (`Iterable[str]`):
            The texts.
        model (`str`, defaults to `"word"`):
            `"word"`: one token per word, with `<unk>` for unknown words; `"unigram"`: subwords, for more varied
            captions.
        vocab_size (`int`, defaults to `2000`):
            Maximum number of tokens.

    Returns:
        [`~transformers.PreTrainedTokenizerFast`]: the tokenizer; a word tokenizer stores how often each of its words
        occurs in `captions`, see [`~text_encoders.word_counts`].
    """
    captions = list(captions)
    steps = [normalizers.NFKC(), normalizers.Lowercase(), normalizers.StripAccents()]
    if model == "word":
        tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordLevelTrainer(vocab_size=vocab_size, special_tokens=SPECIAL_TOKENS, show_progress=False)
    elif model == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=vocab_size, special_tokens=SPECIAL_TOKENS, unk_token="<unk>", show_progress=False
        )
    else:
        raise ValueError(f"`model` has to be 'word' or 'unigram', but is {model!r}.")
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.train_from_iterator(captions, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    counts: dict[str, Any] = {}
    if model == "word":
        pieces = Counter(word for text in captions for word in _split(tokenizer, text))
        known = tokenizer.get_vocab()
        counts["word_counts"] = {word: count for word, count in pieces.most_common() if word in known}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
        **counts,
    )


def _split(tokenizer: Tokenizer, text: str) -> list[str]:
    normalized = tokenizer.normalizer.normalize_str(text)
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalized)]
