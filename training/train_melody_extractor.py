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

    python scripts/make_synthetic_dataset.py --output data/melody/train --num_clips 4000 --subset both --duration 6 \
        --sampling_rate 22050 --stems --orchestrate --seed 28
    python scripts/make_synthetic_dataset.py --output data/melody/validation --split validation --num_clips 24 \
        --subset both --duration 6 --sampling_rate 22050 --stems --orchestrate --seed 28
    accelerate launch --cpu --mixed_precision bf16 training/train_melody_extractor.py --dataset data/melody \
        --weights multif0.h5 --output runs/melody --max_steps 24000

The teacher's output for each clip is cached in `--output`. The card of the model says how it was trained.
"""

import argparse
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.nn import functional as F
from tqdm import tqdm

from diffusers_jasco.audio.io import load_audio
from diffusers_jasco.controls.melody import MELODY_BINS, melody_from_salience
from diffusers_jasco.extraction.deep_salience import (
    BINS_PER_OCTAVE,
    DYNAMIC_RANGE,
    G2_BIN,
    HARMONICS,
    HOP,
    LOWEST_FREQUENCY,
    NUM_BINS,
    RATE,
    DeepSalience,
    fold_semitones,
)
from diffusers_jasco.extraction.salience_model import CONTEXT, SalienceModel, log_frequency_levels
from diffusers_jasco.training.checks import check_options
from diffusers_jasco.training.extractors import train_extractor
from diffusers_jasco.utils.arguments import CommandParser
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.files import replace_file


MAX_HEADROOM = 15.0  # dB
MAX_SLOPE = 1.5  # dB at either end of the spectrum
MARGIN = 6  # frames at either end of an excerpt that are not learned, as they depend on more frames
THRESHOLD = 0.5  # salience from which a pitch counts as present


def parse_args(args=None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="folder with `train/audio` and `validation/audio`")
    parser.add_argument("--weights", type=Path, required=True, help="`multif0.h5`, the weights of Deep Salience")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--init", help="folder of a model to start from (default: random weights)")
    parser.add_argument("--max_steps", type=int, default=8000)
    parser.add_argument("--batch_size", type=int, default=3)
    parser.add_argument("--num_frames", type=int, default=96, help="frames (11.6 ms) per example")
    parser.add_argument("--taught_frames", type=int, default=192, help="frames per clip for which the teacher runs")
    parser.add_argument("--learning_rate", type=float, default=3e-3)
    parser.add_argument("--weight_decay", type=float, default=0.01)
    parser.add_argument("--warmup_steps", type=int, default=100)
    parser.add_argument("--max_transposition", type=int, default=5, help="semitones")
    parser.add_argument("--log_every", type=int, default=500, help="steps")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(args)
    check_options(parser, args)
    return args


# The bins of the teacher's input that the salience of G2 depends on begin here, and frames depend on 7 on either side.
_FIRST_BIN, _TEACHER_CONTEXT = G2_BIN - 2 - 41, 7


@torch.inference_mode()
def run_teacher(files: list[Path], folder: Path, weights: Path, num_frames: int):
    r"""
    Writes the teacher's output for an excerpt of each file, unless it is cached: `salience` `(num_frames, 53)` from the
    frame `start` on, and `headroom`: by how many dB the maximum of the recording exceeds that of the file. It is 0 for
    half of the files, and up to `MAX_HEADROOM` for the others, as if they were parts of louder recordings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = DeepSalience.from_keras(weights).to(memory_format=torch.channels_last)
    for file in tqdm([file for file in files if not (folder / f"{file.stem}.npz").exists()], desc="teacher"):
        audio, rate = load_audio(file)
        if rate != RATE:
            raise ValueError(f"{file} has {rate} Hz instead of {RATE}.")
        rng = np.random.default_rng(zlib.crc32(file.name.encode()))
        headroom = rng.uniform(0, MAX_HEADROOM) if rng.random() < 0.5 else 0.0
        magnitudes = _harmonic_magnitudes(audio[0].numpy())
        start = int(rng.integers(max(magnitudes.shape[-1] - num_frames, 0) + 1))
        peak = max(magnitudes.max() * 10 ** (headroom / 20), 1e-5)
        first = max(start - _TEACHER_CONTEXT, 0)
        magnitudes = magnitudes[:, _FIRST_BIN:, first : start + num_frames + _TEACHER_CONTEXT]
        levels = 1 + 20 * np.log10(np.maximum(magnitudes / peak, 10 ** (-DYNAMIC_RANGE / 20))) / DYNAMIC_RANGE
        # In bfloat16, the melody is the same in more than 99% of the frames, in less than half of the time.
        with torch.autocast("cpu", torch.bfloat16):
            salience = model(torch.from_numpy(levels[None].astype(np.float32)))[0].float()
        salience = F.pad(salience, (0, 0, _FIRST_BIN, 0)).T.numpy()[start - first :][:num_frames]
        with replace_file(folder / f"{file.stem}.npz") as partial, open(partial, "wb") as arrays:
            np.savez(arrays, salience=fold_semitones(salience).astype(np.float16), start=start, headroom=headroom)


def _harmonic_magnitudes(samples: np.ndarray) -> np.ndarray:
    """The teacher's input, `(harmonics, 360, frames)`: harmonics an octave apart are parts of the same transform."""
    import librosa

    def transform(harmonic: float, num_bins: int) -> np.ndarray:
        return np.abs(
            librosa.cqt(
                samples,
                sr=RATE,
                hop_length=HOP,
                fmin=LOWEST_FREQUENCY * harmonic,
                n_bins=num_bins,
                bins_per_octave=BINS_PER_OCTAVE,
            )
        )

    octaves = transform(0.5, NUM_BINS + 3 * BINS_PER_OCTAVE)
    parts = {0.5 * 2**octave: octaves[octave * BINS_PER_OCTAVE :][:NUM_BINS] for octave in range(4)}
    return np.stack(
        [parts[harmonic] if harmonic in parts else transform(harmonic, NUM_BINS) for harmonic in HARMONICS]
    )


class Clips(torch.utils.data.Dataset):
    """Levels (frames, 500) relative to the maximum of the recording, and the teacher's salience (frames, 53)."""

    def __init__(self, files: list[Path], teacher: Path):
        self.levels, self.salience = [], []
        for file in tqdm(files, desc="spectra"):
            audio, _ = load_audio(file)
            taught = np.load(teacher / f"{file.stem}.npz")
            start, salience = int(taught["start"]), torch.from_numpy(taught["salience"])
            levels = log_frequency_levels(F.pad(audio, (CONTEXT, CONTEXT)))[0]
            levels = levels - levels.max() - float(taught["headroom"])
            self.levels.append(levels[start : start + len(salience)].clamp(min=-DYNAMIC_RANGE).half())
            self.salience.append(salience[: len(self.levels[-1])])

    def __len__(self) -> int:
        return len(self.levels)

    def sample(self, args: argparse.Namespace, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Draws excerpts of random clips, augmented by transposition and equalization."""

        def uniform(low: float, high: float) -> float:
            return low + (high - low) * float(torch.rand((), generator=generator))

        def integer(low: int, high: int) -> int:
            return int(torch.randint(low, high + 1, (), generator=generator))

        batch: dict[str, list[torch.Tensor]] = {"levels": [], "salience": [], "mask": []}
        for _ in range(args.batch_size):
            index = integer(0, len(self) - 1)
            start = integer(0, len(self.salience[index]) - args.num_frames)
            levels = self.levels[index][start : start + args.num_frames].float()
            salience = self.salience[index][start : start + args.num_frames].float()
            semitones = integer(-args.max_transposition, args.max_transposition)
            levels = levels + uniform(-MAX_SLOPE, MAX_SLOPE) * torch.linspace(-1, 1, levels.shape[-1])
            mask = torch.ones(MELODY_BINS)
            if semitones:
                levels = shift(levels, 5 * semitones, -200.0)
                salience, mask = shift(salience, semitones, 0.0), shift(mask, semitones, 0.0)
            for name, values in (("levels", levels), ("salience", salience), ("mask", mask)):
                batch[name].append(values)
        return {name: torch.stack(values) for name, values in batch.items()}


def shift(values: torch.Tensor, count: int, fill: float) -> torch.Tensor:
    """Shifts values up by `count` positions along the last dimension."""
    size = values.shape[-1]
    return F.pad(values, (max(count, 0), max(-count, 0)), value=fill)[..., max(-count, 0) : max(-count, 0) + size]


def compute_loss(logits: torch.Tensor, salience: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each salience, and of the melody: the strongest semitone, or none (with a logit of 0)."""
    weight = mask[:, None].expand_as(salience)
    loss = F.binary_cross_entropy_with_logits(logits, salience, weight)
    classes = F.pad(logits.masked_fill(weight == 0, -1e4), (0, 1))
    strongest, melody = salience.max(dim=-1)
    melody = torch.where(strongest >= THRESHOLD, melody, MELODY_BINS)
    return loss + F.cross_entropy(classes.flatten(0, 1), melody.flatten()) / MELODY_BINS


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
            run_teacher(files, args.output / "teacher" / split, args.weights, args.taught_frames)
        accelerator.wait_for_everyone()
        clips[split] = Clips(files, args.output / "teacher" / split)

    def draw_loss(model: torch.nn.Module) -> torch.Tensor:
        batch = clips["train"].sample(args, generator)
        levels, salience, mask = (batch[name].to(accelerator.device) for name in ("levels", "salience", "mask"))
        inside = slice(MARGIN, -MARGIN)
        return compute_loss(model(levels).float()[:, inside], salience[:, inside], mask)

    model = SalienceModel.from_pretrained(args.init) if args.init else SalienceModel()
    train_extractor(model, draw_loss, lambda model: validate(model, clips["validation"]), accelerator, args)


if __name__ == "__main__":
    sys.exit(run_command(main, "train_melody_extractor"))
