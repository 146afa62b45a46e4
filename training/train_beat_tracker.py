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
Trains the network of the beat tracker on synthetic music:

    python scripts/make_synthetic_dataset.py --output data/beats/train --num_clips 1500 --subset both --duration 20 \
        --sampling_rate 22050 --stems --seed 31
    python scripts/make_synthetic_dataset.py --output data/beats/validation --split validation --num_clips 64 \
        --subset both --duration 20 --sampling_rate 22050 --stems
    accelerate launch --cpu training/train_beat_tracker.py --dataset data/beats --output runs/beats

Examples are excerpts at varying tempo and pitch, with random equalization and noise, and sounds without beats.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.nn import functional as F
from tqdm import tqdm

from diffusers_jasco.audio.stream import AudioStream
from diffusers_jasco.extraction.beat_model import BANDS, FRAME_RATE, HOP, LOUDEST, RATE, WINDOW, BeatModel
from diffusers_jasco.training.checks import check_options
from diffusers_jasco.training.extractors import train_extractor
from diffusers_jasco.utils.arguments import CommandParser
from diffusers_jasco.utils.cli import run_command


TEMPO_RANGE = 0.3  # octaves by which examples are played faster or slower
TRANSPOSITION = 5  # bands by which examples are transposed
BEATLESS = 0.06  # share of examples without beats
NOISY = 0.3  # share of examples with noise
NEIGHBOR = 0.4  # target of the frames beside a beat
BEAT_WEIGHT = 5.0  # weight of the frames of beats, which are rare


def parse_args(args=None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="folder with `train` and `validation`")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--max_steps", type=int, default=5000)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--num_frames", type=int, default=600, help="frames (20 ms) per example")
    parser.add_argument("--learning_rate", type=float, default=3e-3)
    parser.add_argument("--weight_decay", type=float, default=0.01)
    parser.add_argument("--warmup_steps", type=int, default=100)
    parser.add_argument("--log_every", type=int, default=500, help="steps")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(args)
    check_options(parser, args)
    return args


class Clips(torch.utils.data.Dataset):
    """Scaled magnitudes (frames, 96) in float16, beats and downbeats (seconds)."""

    def __init__(self, folder: Path):
        self.clips = []
        for line in tqdm((folder / "metadata.jsonl").read_text().splitlines(), desc=str(folder)):
            line = json.loads(line)
            stream = AudioStream(folder / line["file_name"], None, RATE)
            magnitudes = np.concatenate([BANDS.magnitudes(frames) for frames in stream.frames(WINDOW, HOP)])
            magnitudes *= LOUDEST / max(magnitudes.max(), 1e-6)
            self.clips.append((magnitudes.astype(np.float16), np.array(line["beats"]), np.array(line["downbeats"])))

    def __len__(self) -> int:
        return len(self.clips)

    def sample(self, args: argparse.Namespace, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draws augmented excerpts (batch, frames, 96) and their targets (batch, frames, 3)."""
        examples = [self._draw(args.num_frames, rng) for _ in range(args.batch_size)]
        return tuple(torch.from_numpy(np.stack(parts)) for parts in zip(*examples))

    def _draw(self, num_frames: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        magnitudes, beats, downbeats = self.clips[rng.integers(len(self.clips))]
        if rng.random() < BEATLESS:
            sound = _make_beatless(magnitudes[rng.integers(len(magnitudes))], num_frames, rng)
            return _augment(sound, rng), make_targets(np.zeros(0), np.zeros(0), num_frames)
        speed = 2 ** rng.uniform(-TEMPO_RANGE, TEMPO_RANGE)
        start = rng.integers(max(len(magnitudes) - math.ceil(num_frames * speed), 1))
        positions = start + np.arange(num_frames) * speed
        positions = positions[positions < len(magnitudes) - 1]
        low = positions.astype(int)
        share = (positions - low)[:, None].astype(np.float32)
        excerpt = magnitudes[low].astype(np.float32) * (1 - share) + magnitudes[low + 1] * share
        excerpt = _augment(excerpt, rng)
        excerpt = np.pad(excerpt, ((0, num_frames - len(excerpt)), (0, 0)))
        beats, downbeats = ((times * FRAME_RATE - start) / speed for times in (beats, downbeats))
        return excerpt, make_targets(beats, downbeats, num_frames)


def _make_beatless(spectrum: np.ndarray, num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """A drone or noise with the given spectrum, at a slowly changing level, sometimes with irregular hits."""
    drone = np.repeat(spectrum[None].astype(np.float32), num_frames, axis=0)
    drone *= 1 + rng.choice([0, 0.1, 0.5]) * rng.standard_normal(drone.shape, dtype=np.float32).clip(-1.9, 1.9)
    knots = rng.uniform(-1, 0, 2 + num_frames // 100)
    level = 10 ** np.interp(np.arange(num_frames), np.linspace(0, num_frames, len(knots)), knots)
    if rng.random() < 0.5:
        hits = rng.random(num_frames) < rng.uniform(0.01, 0.06)
        since = np.arange(num_frames) - np.maximum.accumulate(np.where(hits, np.arange(num_frames), -1000))
        level += 10 * np.exp(-since / rng.uniform(2, 20))
    return (drone * level[:, None].astype(np.float32)).clip(0)


def _augment(magnitudes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Transposes, equalizes, attenuates and adds noise."""
    size = magnitudes.shape[1]
    bands = rng.integers(-TRANSPOSITION, TRANSPOSITION + 1)
    shifted = np.zeros_like(magnitudes)
    shifted[:, max(bands, 0) : size + min(bands, 0)] = magnitudes[:, max(-bands, 0) : size - max(bands, 0)]
    position = np.linspace(-1, 1, size)
    ripple = np.sin(position * rng.uniform(2, 8) + rng.uniform(0, 2 * np.pi))
    level = rng.normal(0, 0.2) * position + rng.normal(0, 0.2) * position**2 + rng.normal(0, 0.15) * ripple
    shifted *= 10 ** (level + rng.normal(0, 0.15)).astype(np.float32)
    if rng.random() < NOISY:
        noise = np.abs(rng.standard_normal(shifted.shape, dtype=np.float32))
        shifted += np.float32(10 ** rng.uniform(-2.5, -0.5)) * noise
    return shifted


def make_targets(beats: np.ndarray, downbeats: np.ndarray, num_frames: int) -> np.ndarray:
    """Beats and downbeats (fractional frames) → probabilities (frames, 3) of beat, downbeat and neither."""
    targets = np.zeros((num_frames, 3), dtype=np.float32)
    for column, times in enumerate((np.setdiff1d(beats, downbeats), downbeats)):
        frames = np.round(times).astype(int)
        for offset, value in ((-1, NEIGHBOR), (1, NEIGHBOR), (0, 1.0)):
            inside = frames[(frames + offset >= 0) & (frames + offset < num_frames)] + offset
            targets[inside, column] = value
    targets[:, 2] = 1 - targets[:, :2].sum(axis=1)
    return targets


def beat_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, weighted for the rare frames of beats."""
    weights = 1 + (BEAT_WEIGHT - 1) * (1 - targets[..., 2])
    return (F.cross_entropy(logits.transpose(1, 2), targets.transpose(1, 2), reduction="none") * weights).mean()


def validate(model: BeatModel, clips: Clips) -> dict[str, float]:
    """Loss on whole clips."""
    losses = []
    for magnitudes, beats, downbeats in clips.clips:
        targets = make_targets(beats * FRAME_RATE, downbeats * FRAME_RATE, len(magnitudes))
        logits = model(torch.from_numpy(magnitudes.astype(np.float32))[None])
        losses.append(beat_loss(logits, torch.from_numpy(targets)[None]).item())
    return {"validation": float(np.mean(losses))}


def main(args=None):
    args = parse_args(args)
    accelerator = Accelerator()
    set_seed(args.seed)
    rng = np.random.default_rng([args.seed, accelerator.process_index])
    clips = {split: Clips(args.dataset / split) for split in ("validation", "train")}

    def draw_loss(model: torch.nn.Module) -> torch.Tensor:
        magnitudes, targets = (part.to(accelerator.device) for part in clips["train"].sample(args, rng))
        return beat_loss(model(magnitudes), targets)

    train_extractor(BeatModel(), draw_loss, lambda model: validate(model, clips["validation"]), accelerator, args)


if __name__ == "__main__":
    sys.exit(run_command(main, "train_beat_tracker"))
