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
Trains the caption probe of the evaluation (`evaluation/estimators/caption_model.py`) on synthetic music:

    python scripts/make_synthetic_dataset.py --output data/captions/train --num_clips 3600
    python scripts/make_synthetic_dataset.py --output data/captions/validation --split validation --num_clips 400
    accelerate launch --cpu training/train_caption_probe.py --dataset data/captions --output runs/captions

It is trained on rendered clips only. Augmentation (equalization, low-pass, smearing, noise) makes it robust to codecs,
models and other sound fonts. Questions and answers are those of `evaluation/estimators/caption_probe.py`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.nn import functional as F
from tqdm import tqdm

from diffusers_jasco.evaluation.estimators.caption_model import NUM_BANDS, CaptionModel, band_levels
from diffusers_jasco.evaluation.estimators.caption_probe import QUESTIONS, true_answers
from diffusers_jasco.evaluation.estimators.spectra import load_mono
from diffusers_jasco.evaluation.metrics.captions import balanced_accuracy
from diffusers_jasco.training.checks import check_options
from diffusers_jasco.training.extractors import train_extractor
from diffusers_jasco.utils.arguments import CommandParser


def parse_args(args=None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="folder with `train` and `validation`")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--max_steps", type=int, default=2000)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument(
        "--num_frames", type=int, default=500, help="maximum frames (20 ms) per example; the minimum is half of it"
    )
    parser.add_argument("--learning_rate", type=float, default=3e-3)
    parser.add_argument("--weight_decay", type=float, default=0.05)
    parser.add_argument("--warmup_steps", type=int, default=200)
    parser.add_argument("--log_every", type=int, default=250, help="steps")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(args)
    check_options(parser, args)
    return args


class Clips:
    """Band levels (frames, 48) of clips, and the true answers to each question."""

    def __init__(self, folder: Path):
        self.levels, answers = [], []
        for line in tqdm((folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines(), desc=str(folder)):
            line = json.loads(line)
            self.levels.append(band_levels(load_mono(folder / line["file_name"])).half())
            answers.append(true_answers(line))
            if unknown := [question for question in QUESTIONS if answers[-1][question] is None]:
                raise ValueError(f"{folder / line['file_name']}: metadata.jsonl has no {', '.join(unknown)}.")
        self.answers = {question: [answer[question] for answer in answers] for question in QUESTIONS}

    def sample(self, args: argparse.Namespace, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draws indices of clips, and excerpts of their levels (batch, frames, 48) of a common random length."""

        def integer(high: int) -> int:
            return int(torch.randint(high + 1, (), generator=generator))

        chosen = torch.randint(len(self.levels), (args.batch_size,), generator=generator)
        size = min(args.num_frames // 2 + integer(args.num_frames // 2), *(len(self.levels[i]) for i in chosen))
        starts = [integer(len(self.levels[i]) - size) for i in chosen]
        levels = torch.stack([self.levels[i][start : start + size] for i, start in zip(chosen, starts)])
        return chosen, augment(levels.float(), generator)


def augment(levels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Augments levels (batch, frames, 48) at random, imitating other mixes, codecs and poor recordings."""
    batch = len(levels)

    def uniform(low: float, high: float, share: float = 1.0) -> torch.Tensor:
        """Random values (batch, 1, 1) for a share of the clips; 0 for the others."""
        values = low + (high - low) * torch.rand(batch, 1, 1, generator=generator)
        return values * (torch.rand(batch, 1, 1, generator=generator) < share)

    def noise() -> torch.Tensor:
        return torch.randn(levels.shape, generator=generator)

    # 1. Equalization
    slope = torch.linspace(-1, 1, NUM_BANDS)
    levels = levels + uniform(-8, 8) * slope + uniform(-8, 8) * slope**2
    # 2. Smearing over neighboring frames
    power = 10 ** (levels / 10)
    smeared = F.avg_pool2d(power[:, None], (5, 1), 1, (2, 0), count_include_pad=False)[:, 0]
    power = power + uniform(0, 1, 0.5) * (smeared - power)
    # 3. Low-pass
    is_cut = torch.arange(NUM_BANDS) > NUM_BANDS * uniform(0.5, 1)
    power = power * 10 ** (uniform(-6, 0, 0.3) * is_cut)
    # 4. Colored noise
    loudness = power.mean(dim=(1, 2), keepdim=True)
    hiss = (uniform(-45, -12) + uniform(-10, 10) * slope + 3 * noise()) / 10
    power = power + loudness * 10**hiss * uniform(1, 1, 0.5)
    # 5. Random fluctuation of the levels
    return 10 * power.clamp(min=1e-12).log10() + uniform(0, 4, 0.5) * noise()


@torch.no_grad()
def validate(model: CaptionModel, clips: Clips) -> dict[str, float]:
    """Balanced accuracy for each question, without augmentation."""
    estimates = [
        {question: int(x.argmax()) for question, x in model(clip[None].float().to(model.device)).items()}
        for clip in clips.levels
    ]
    scores = {}
    for question, references in clips.answers.items():
        is_correct = [
            model.config.answers[question][estimate[question]] == reference
            for estimate, reference in zip(estimates, references)
        ]
        scores[question] = round(float(balanced_accuracy(np.array(is_correct), references)), 3)
    return scores


def main(args=None):
    args = parse_args(args)
    accelerator = Accelerator()
    set_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed + accelerator.process_index)
    held_out, clips = Clips(args.dataset / "validation"), Clips(args.dataset / "train")
    answers, targets, priors = {}, {}, {}
    for question in QUESTIONS:
        answers[question], numbers, counts = np.unique(
            clips.answers[question], return_inverse=True, return_counts=True
        )
        answers[question] = answers[question].tolist()
        targets[question] = torch.from_numpy(numbers).to(accelerator.device)
        priors[question] = torch.from_numpy(counts / counts.sum()).float().log().to(accelerator.device)

    def draw_loss(model: torch.nn.Module) -> torch.Tensor:
        chosen, levels = clips.sample(args, generator)
        # Logit adjustment removes the class prior from the logits (Menon et al., 2021).
        return sum(
            F.cross_entropy(logits + priors[question], targets[question][chosen], label_smoothing=0.05)
            for question, logits in model(levels.to(accelerator.device)).items()
        )

    model = CaptionModel(answers).to(memory_format=torch.channels_last)
    train_extractor(model, draw_loss, lambda model: validate(model, held_out), accelerator, args)
    if accelerator.is_main_process:
        model.half().save_pretrained(args.output)


if __name__ == "__main__":
    main()
