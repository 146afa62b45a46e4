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
Trains the built-in melody extractor to imitate Deep Salience (`extraction/deep_salience.py`), the teacher:

    python scripts/make_synthetic_dataset.py --output data/melody/train --num_clips 280 --sampling_rate 22050 --stems
    python scripts/make_synthetic_dataset.py --output data/melody/validation --split validation --num_clips 32 \
        --sampling_rate 22050 --stems
    accelerate launch --cpu training/train_melody_extractor.py --dataset data/melody --weights multif0.h5 \
        --output runs/melody

The teacher's output for each clip is cached in `--output`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.nn import functional as F
from tqdm import tqdm

from diffusers_jasco.audio.io import load_audio
from diffusers_jasco.audio.stream import AudioStream
from diffusers_jasco.controls.melody import MELODY_BINS, melody_from_salience
from diffusers_jasco.extraction.deep_salience import RATE, deep_salience
from diffusers_jasco.extraction.salience_model import CONTEXT, SalienceModel, log_frequency_levels
from diffusers_jasco.loaders.audiocraft.compat import fold_semitones_above_g2
from diffusers_jasco.training.checks import check_options
from diffusers_jasco.training.extractors import train_extractor
from diffusers_jasco.utils.arguments import CommandParser
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.files import replace_file


THRESHOLD = 0.5  # salience from which a pitch counts as present


def parse_args(args=None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="folder with `train/audio` and `validation/audio`")
    parser.add_argument("--weights", type=Path, required=True, help="`multif0.h5`, the weights of Deep Salience")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--max_steps", type=int, default=2600)
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--num_frames", type=int, default=256, help="frames (11.6 ms) per example")
    parser.add_argument("--learning_rate", type=float, default=2e-3)
    parser.add_argument("--weight_decay", type=float, default=0.01)
    parser.add_argument("--warmup_steps", type=int, default=100)
    parser.add_argument("--max_transposition", type=int, default=6, help="semitones")
    parser.add_argument("--log_every", type=int, default=200, help="steps")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(args)
    check_options(parser, args)
    return args


def run_teacher(files: list[Path], folder: Path, weights: Path):
    """Writes the teacher's salience, one array (frames, 53) per file, unless it is cached."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in tqdm([file for file in files if not (folder / f"{file.stem}.npy").exists()], desc="teacher"):
        salience = deep_salience(AudioStream(file, None, RATE), weights)
        with replace_file(folder / f"{file.stem}.npy") as partial, open(partial, "wb") as array:
            np.save(array, fold_semitones_above_g2(salience).astype(np.float16))


class Clips(torch.utils.data.Dataset):
    """Levels (frames, 288) relative to the maximum of the clip, and the teacher's salience (frames, 53)."""

    def __init__(self, files: list[Path], teacher: Path):
        self.levels, self.salience = [], []
        for file in tqdm(files, desc="spectra"):
            audio, rate = load_audio(file)
            if rate != RATE:
                raise ValueError(f"{file} has {rate} Hz instead of {RATE}.")
            levels = log_frequency_levels(F.pad(audio, (CONTEXT, CONTEXT)))[0]
            self.salience.append(torch.from_numpy(np.load(teacher / f"{file.stem}.npy")))
            self.levels.append((levels - levels.max())[: len(self.salience[-1])].half())

    def __len__(self) -> int:
        return len(self.levels)

    def sample(self, args: argparse.Namespace, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Draws excerpts of random clips, augmented by transposition, equalization and attenuation."""

        def uniform(low: float, high: float) -> float:
            return low + (high - low) * float(torch.rand((), generator=generator))

        def integer(low: int, high: int) -> int:
            return int(torch.randint(low, high + 1, (), generator=generator))

        batch = {"levels": [], "salience": [], "mask": []}
        for _ in range(args.batch_size):
            index = integer(0, len(self) - 1)
            start = integer(0, len(self.salience[index]) - args.num_frames)
            levels = self.levels[index][start : start + args.num_frames].float()
            salience = self.salience[index][start : start + args.num_frames].float()
            semitones = integer(-args.max_transposition, args.max_transposition)
            slope = torch.linspace(-1, 1, levels.shape[-1])
            levels = levels + uniform(-6, 6) * slope + uniform(-6, 6) * slope**2 - uniform(0, 6)
            mask = torch.ones(MELODY_BINS)
            if semitones:
                levels = shift(levels, 3 * semitones, -200.0)
                salience, mask = shift(salience, semitones, 0.0), shift(mask, semitones, 0.0)
                # The teacher hardly detects the lowest semitone (see `fold_semitones_above_g2`).
                mask[[0, max(semitones, 0)]] = 0
            for name, values in (("levels", levels), ("salience", salience), ("mask", mask)):
                batch[name].append(values)
        return {name: torch.stack(values) for name, values in batch.items()}


def shift(values: torch.Tensor, count: int, fill: float) -> torch.Tensor:
    """Shifts values up by `count` positions along the last dimension."""
    size = values.shape[-1]
    return F.pad(values, (max(count, 0), max(-count, 0)), value=fill)[..., max(-count, 0) : max(-count, 0) + size]


def validate(model: SalienceModel, clips: Clips) -> dict[str, float]:
    """Loss, and the share of frames (at 50 Hz) in which the melody equals the teacher's."""
    losses, equal = [], []
    for levels, salience in zip(clips.levels, clips.salience):
        logits = model(levels[None].float())[0]
        losses.append(F.binary_cross_entropy_with_logits(logits, salience.float()).item())
        num_frames = int(len(logits) / RATE * 256 * 50)
        melodies = [
            melody_from_salience(torch.where(values >= THRESHOLD, values, 0).T, num_frames, 50.0)
            for values in (logits.sigmoid(), salience.float())
        ]
        equal.append((melodies[0] == melodies[1]).all(dim=1).float().mean().item())
    return {"validation": float(np.mean(losses)), "frames_equal": float(np.mean(equal))}


def main(args=None):
    args = parse_args(args)
    accelerator = Accelerator()
    set_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed + accelerator.process_index)
    clips = {}
    for split in ("validation", "train"):
        files = sorted((args.dataset / split / "audio").glob("*.flac"))
        if not files:
            raise ValueError(f"There are no FLAC files in {args.dataset / split / 'audio'} of `--dataset`.")
        if accelerator.is_main_process:
            run_teacher(files, args.output / "teacher" / split, args.weights)
        accelerator.wait_for_everyone()
        clips[split] = Clips(files, args.output / "teacher" / split)

    def draw_loss(model: torch.nn.Module) -> torch.Tensor:
        batch = clips["train"].sample(args, generator)
        levels, salience, mask = (batch[name].to(accelerator.device) for name in ("levels", "salience", "mask"))
        return F.binary_cross_entropy_with_logits(model(levels), salience, mask[:, None])

    model = SalienceModel()
    train_extractor(model, draw_loss, lambda model: validate(model, clips["validation"]), accelerator, args)


if __name__ == "__main__":
    sys.exit(run_command(main, "train_melody_extractor"))
