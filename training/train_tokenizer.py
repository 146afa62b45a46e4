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


r"""
Trains a small tokenizer on captions, for a text encoder that is trained from scratch:

    python training/train_tokenizer.py --captions features/train/captions.jsonl --output tokenizer

Texts are lower-cased; `<pad>` is 0, `</s>` 1 (appended to every text, as T5's) and `<unk>` 2.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast


SPECIAL_TOKENS = ["<pad>", "</s>", "<unk>"]


def read_captions(paths: list[Path]) -> Iterator[str]:
    """The captions of `.jsonl` files (`captions` or `caption` of each object), or the lines of other files."""
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if path.suffix == ".jsonl":
                    item = json.loads(line)
                    yield from item.get("captions") or [item.get("caption") or ""]
                else:
                    yield line.strip()


def train_tokenizer(captions: Iterator[str], model: str = "word", vocab_size: int = 2000) -> PreTrainedTokenizerFast:
    r"""
    Args:
        captions (`Iterator[str]`):
            The texts.
        model (`str`, defaults to `"word"`):
            `"word"`: one token per word, and unknown words are `<unk>`; `"unigram"`: pieces of words, for captions that
            vary more.
        vocab_size (`int`, defaults to `2000`):
            At most so many tokens.

    Returns:
        [`~transformers.PreTrainedTokenizerFast`]: the tokenizer.
    """
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
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
    )


def main(args: list[str] | None = None):
    parser = argparse.ArgumentParser(description="Trains a small tokenizer on captions.")
    parser.add_argument(
        "--captions", type=Path, nargs="+", required=True, help="Files: .jsonl, or a caption per line."
    )
    parser.add_argument("--output", type=Path, required=True, help="Folder to write.")
    parser.add_argument("--model", choices=["word", "unigram"], default="word", help="Words or pieces of words.")
    parser.add_argument("--vocab_size", type=int, default=2000, help="At most so many tokens.")
    args = parser.parse_args(args)

    tokenizer = train_tokenizer(read_captions(args.captions), args.model, args.vocab_size)
    tokenizer.save_pretrained(args.output)
    print(f"{len(tokenizer)} tokens in {args.output}")


if __name__ == "__main__":
    main()
