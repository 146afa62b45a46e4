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
Trains the built-in drum separator on synthetic music, with new mixes in every step:

    python scripts/make_synthetic_dataset.py --output data/drums/train --num_clips 500 --sampling_rate 32000
    python scripts/make_synthetic_dataset.py --output data/drums/validation --split validation --num_clips 40 \
        --sampling_rate 32000
    accelerate launch --cpu training/train_drum_separator.py --dataset data/drums --output runs/drums
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from tqdm import tqdm

from diffusers_jasco.audio.io import load_audio
from diffusers_jasco.evaluation.metrics.separation import sdr, si_sdr, suppression
from diffusers_jasco.extraction.drum_mask import HOP, NUM_BINS, RATE, DrumMaskModel, inverse_spectrogram, spectrogram
from diffusers_jasco.training.checks import check_options
from diffusers_jasco.training.extractors import train_extractor
from diffusers_jasco.utils.arguments import CommandParser
from diffusers_jasco.utils.cli import run_command


DRUMLESS = 0.15  # share of examples without drums
DRUMS_ONLY = 0.1  # share of examples with drums only
FLOOR = 1e-3  # power relative to the mix (-30 dB) below which errors have little effect


def parse_args(args=None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="folder with `train` and `validation`")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--max_steps", type=int, default=1500)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--num_frames", type=int, default=192, help="frames (16 ms) per example")
    parser.add_argument("--learning_rate", type=float, default=2e-3)
    parser.add_argument("--weight_decay", type=float, default=0.01)
    parser.add_argument("--warmup_steps", type=int, default=50)
    parser.add_argument("--log_every", type=int, default=100, help="steps")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(args)
    check_options(parser, args)
    return args


def load_stems(folder: Path) -> list[tuple[np.ndarray | None, np.ndarray]]:
    """Loads the drums (or `None`) and the remaining mix of each clip, as 16-bit samples."""
    stems = []
    for line in tqdm((folder / "metadata.jsonl").read_text().splitlines(), desc=str(folder)):
        line = json.loads(line)
        mix, rate = load_audio(folder / line["file_name"])
        if rate != RATE:
            raise ValueError(f"{folder / line['file_name']} has {rate} Hz instead of {RATE}.")
        name = line["stems"].get("drums")
        drums = None if name is None else load_audio(folder / name)[0]
        rest = mix if drums is None else mix - drums
        stems.append(
            tuple(None if part is None else (part[0].numpy() * 2**15).astype(np.int16) for part in (drums, rest))
        )
    return stems


class Mixer:
    """Random mixes of the drums of one clip and the rest of another, with random levels and filters."""

    def __init__(self, stems, num_frames: int, generator: torch.Generator):
        self.drums = [drums for drums, _ in stems if drums is not None]
        self.rest = [rest for _, rest in stems]
        self.num_samples, self.generator = (num_frames - 1) * HOP, generator

    def _uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def _part(self, clips: list[np.ndarray]) -> torch.Tensor:
        clip = clips[int(torch.randint(len(clips), (), generator=self.generator))]
        start = int(torch.randint(len(clip) - self.num_samples + 1, (), generator=self.generator))
        return torch.from_numpy(clip[start : start + self.num_samples].astype(np.float32) / 2**15)

    def sample(self, batch_size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Returns spectra of mixes and of drums `(batch, frames, bins)`, and jittered RMS values `(batch, 1, 1)`."""
        drums, rest = torch.zeros(2, batch_size, self.num_samples)
        filters = torch.ones(2, batch_size, 1, NUM_BINS)
        frequencies = torch.linspace(0, 1, NUM_BINS)
        for index in range(batch_size):
            kind = self._uniform(0, 1)
            if kind >= DRUMLESS:
                drums[index] = self._part(self.drums) * 10 ** (self._uniform(-8, 6) / 20)
            if kind < 1 - DRUMS_ONLY:
                rest[index] = self._part(self.rest) * 10 ** (self._uniform(-6, 6) / 20)
            for part in filters:
                part[index, 0] = 10 ** (self._uniform(-6, 6) * (2 * frequencies - 1) / 20)
            if self._uniform(0, 1) < 0.2:  # low-pass as by a lower sampling rate or a codec
                filters[:, index, 0, frequencies > self._uniform(0.3, 1)] = 0
        drums, rest = spectrogram(drums) * filters[0], spectrogram(rest) * filters[1]
        mix = drums + rest
        # Parseval: squared Hann windows have the mean 3/8.
        power = mix.abs().square().mean(dim=(1, 2), keepdim=True) / (3 / 8 * 2 * (NUM_BINS - 1))
        jitter = torch.tensor([10 ** (self._uniform(-6, 6) / 20) for _ in range(batch_size)])[:, None, None]
        return mix, drums, (power.sqrt() * jitter).clamp(min=1e-6)


def distortion(estimate: torch.Tensor, drums: torch.Tensor, mix: torch.Tensor) -> torch.Tensor:
    """Mean distortion of the drums in dB; for examples without drums, the level of the residue."""
    error, power, total = (part.abs().square().sum(dim=(1, 2)) for part in (estimate - drums, drums, mix))
    return 10 * torch.log10((error + FLOOR * total + 1e-9) / (power + FLOOR * total + 1e-9)).mean()


def validate(model: DrumMaskModel, stems) -> dict[str, float]:
    """Means over clips in dB: SI-SDR of drums in mixes, suppression without drums, and SDR of isolated drums."""
    scores = {"si_sdr": [], "suppression": [], "drums_only": []}

    def separate(audio: torch.Tensor) -> torch.Tensor:
        spectrum = spectrogram(audio[None])
        mask = model(spectrum.abs() / audio.square().mean().sqrt().clamp(min=1e-6))
        return inverse_spectrogram(spectrum * mask, len(audio))[0]

    for drums, rest in stems:
        rest = torch.from_numpy(rest.astype(np.float32) / 2**15)
        scores["suppression"].append(suppression(separate(rest), rest))
        if drums is not None:
            drums = torch.from_numpy(drums.astype(np.float32) / 2**15)
            scores["si_sdr"].append(si_sdr(separate(rest + drums), drums))
            scores["drums_only"].append(sdr(separate(drums), drums))
    return {name: round(float(np.nanmean(values)), 2) for name, values in scores.items()}


def main(args=None):
    args = parse_args(args)
    accelerator = Accelerator()
    set_seed(args.seed)
    held_out = load_stems(args.dataset / "validation")
    generator = torch.Generator().manual_seed(args.seed + accelerator.process_index)
    mixer = Mixer(load_stems(args.dataset / "train"), args.num_frames, generator)

    def draw_loss(model: torch.nn.Module) -> torch.Tensor:
        mix, drums, loudness = (part.to(accelerator.device) for part in mixer.sample(args.batch_size))
        return distortion(model(mix.abs() / loudness) * mix, drums, mix)

    model = DrumMaskModel().to(memory_format=torch.channels_last)
    train_extractor(model, draw_loss, lambda model: validate(model, held_out), accelerator, args)


if __name__ == "__main__":
    sys.exit(run_command(main, "train_drum_separator"))
