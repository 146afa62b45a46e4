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
Pretrains the text encoder of a small model, from scratch, on the captions of synthetic music, which is not rendered:

    python training/train_tokenizer.py --synthetic_clips 2000 --output tokenizer
    python training/train_text_encoder.py --tokenizer tokenizer --output text_encoder

From a caption, the encoder has to tell the properties of the clip, such as its style and the instrument of each part, by
linear classifiers of the mean of its outputs. The classifiers are not saved. `train_jasco.py --text_encoder` trains a model
with the encoder: its loss hardly depends on the caption, so a model learns from it slowly how words differ.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.nn import functional as F
from transformers import AutoTokenizer, T5Config, T5EncoderModel

from diffusers_jasco.training.arguments import mapping
from diffusers_jasco.training.checks import check_options
from diffusers_jasco.training.extractors import train_extractor
from diffusers_jasco.training.text_encoder import PropertyModel, compose_clips
from diffusers_jasco.utils.arguments import CommandParser, integer


SMALL = {"d_model": 128, "d_kv": 32, "num_heads": 4, "num_layers": 1, "d_ff": 256}


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description="Pretrains a small text encoder on the captions of synthetic music.")
    add = parser.add_argument
    add("--tokenizer", required=True, help="Folder of the tokenizer.")
    add("--output", type=Path, required=True, help="Output folder.")
    add("--text_encoder_config", type=mapping, default=SMALL, help=f"Options of T5Config; default: {SMALL}.")
    add("--num_clips", type=integer(1), default=20000, help="Number of clips, with 20 captions each.")
    add("--validation_clips", type=integer(1), default=500, help="Number of clips of the validation split.")
    add("--processes", type=integer(1), default=1, help="Number of processes that compose clips.")
    add("--max_steps", type=integer(1), default=3000, help="Number of steps.")
    add("--batch_size", type=integer(1), default=64, help="Captions per step and process.")
    add("--learning_rate", type=float, default=2e-3, help="Peak learning rate.")
    add("--weight_decay", type=float, default=0.01, help="Weight decay.")
    add("--warmup_steps", type=int, default=50, help="Steps of linear warmup.")
    add("--log_every", type=integer(1), default=500, help="Steps between validations.")
    add("--seed", type=int, default=0, help="Random seed.")
    args = parser.parse_args(args)
    check_options(parser, args)
    return args


def main(args: list[str] | None = None):
    args = parse_args(args)
    accelerator = Accelerator()
    set_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed + accelerator.process_index)
    clips = compose_clips("train", args.num_clips, args.processes)
    held_out = compose_clips("validation", args.validation_clips, args.processes)
    values: dict[str, Any] = {
        name: sorted({properties[name] for _, properties in clips + held_out}, key=str) for name in clips[0][1]
    }
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    vocabulary = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1, "is_encoder_decoder": False}
    text_encoder = T5EncoderModel(T5Config(**vocabulary | args.text_encoder_config))
    model = PropertyModel(text_encoder, tokenizer, values)

    def targets(chosen: Sequence[tuple[list[str], dict[str, str | None]]], name: str) -> torch.Tensor:
        return torch.tensor([values[name].index(clip[1][name]) for clip in chosen], device=accelerator.device)

    def draw_loss(model: torch.nn.Module) -> torch.Tensor:
        chosen = [clips[i] for i in torch.randint(len(clips), (args.batch_size,), generator=generator)]
        captions = [clip[0][int(torch.randint(len(clip[0]), (), generator=generator))] for clip in chosen]
        losses = [F.cross_entropy(logits, targets(chosen, name)) for name, logits in model(captions).items()]
        return sum(losses) / len(losses)

    def validate(model: PropertyModel) -> dict[str, float]:
        """Accuracy for each property, for one caption of each clip."""
        batches = [held_out[i : i + args.batch_size] for i in range(0, len(held_out), args.batch_size)]
        outputs = [model([captions[0] for captions, _ in batch]) for batch in batches]
        correct = {
            name: torch.cat([x[name].argmax(1) == targets(batch, name) for x, batch in zip(outputs, batches)])
            for name in values
        }
        return {name: round(float(x.float().mean()), 3) for name, x in correct.items()}

    train_extractor(model, draw_loss, validate, accelerator, args)


if __name__ == "__main__":
    main()
