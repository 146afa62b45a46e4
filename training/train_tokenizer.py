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
Trains a small tokenizer on captions, for text encoders that are trained from scratch:

    python training/train_tokenizer.py --captions features/train/captions.jsonl --output tokenizer
    python training/train_tokenizer.py --synthetic_clips 4000 --output tokenizer

The second command uses the captions of synthetic music, which is not rendered. Texts are lowercased; `<pad>` is 0,
`</s>` 1 (appended to every text, as in T5) and `<unk>` 2.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.text_encoders import word_counts
from diffusers_jasco.training.tokenizer import train_tokenizer
from diffusers_jasco.utils.arguments import CommandParser, integer
from diffusers_jasco.utils.cli import run_command


def read_captions(paths: list[Path]) -> Iterator[str]:
    """Reads `captions` or `caption` of each object in `.jsonl` files, or all lines of other files."""
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if path.suffix == ".jsonl":
                    item = json.loads(line)
                    yield from item.get("captions") or [item.get("caption") or ""]
                else:
                    yield line.strip()


def compose_captions(num_clips: int) -> Iterator[str]:
    """Composes the captions of synthetic music for training."""
    music = SyntheticMusic("train", num_clips, "both", renderer=None)
    for index in range(num_clips):
        yield from music.captions(index)


def main(args: list[str] | None = None):
    parser = CommandParser(description="Trains a small tokenizer on captions.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--captions", type=Path, nargs="+", help=".jsonl files, or files with one caption per line.")
    source.add_argument("--synthetic_clips", type=integer(1), help="Number of clips of synthetic music.")
    parser.add_argument("--output", type=Path, required=True, help="Output folder.")
    parser.add_argument("--model", choices=["word", "unigram"], default="word", help="Words or subwords.")
    parser.add_argument("--vocab_size", type=int, default=2000, help="Maximum number of tokens.")
    args = parser.parse_args(args)

    captions = compose_captions(args.synthetic_clips) if args.captions is None else read_captions(args.captions)
    tokenizer = train_tokenizer(captions, args.model, args.vocab_size)
    tokenizer.save_pretrained(args.output)
    print(f"{len(tokenizer)} tokens in {args.output}")
    if counts := word_counts(tokenizer):
        rarest = list(counts.items())[-10:]
        print(f"{len(counts)} words; the rarest: {', '.join(f'{word} ({count})' for word, count in rarest)}")


if __name__ == "__main__":
    sys.exit(run_command(main, "train_tokenizer"))
