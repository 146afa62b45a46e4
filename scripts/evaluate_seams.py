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
Measures how well seams are found that are pasted into synthetic music of the validation split:

    OMP_NUM_THREADS=1 python scripts/evaluate_seams.py --codec pipelines/jasco-nano

Borders are placed at random, at beats, or in quiet spots; those at beats or in quiet spots are compared with other
beats or quiet spots only. There is nothing at the borders of untouched pieces, so their values are those without
seams. At a cut, 128 samples are removed. For a blur, pieces are encoded, two frames are replaced by the means of their
neighbors, and decoded; decoded pieces without a blur are measured as well.

Prints a table with the area under the ROC curve of the blind detector (0.5: not found) and its 95% bootstrap
confidence interval over pieces, and the change V and the bend W of latents at borders ÷ elsewhere at the same metrical
positions (medians over pieces).
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from diffusers_jasco.codecs import Codec, decode, encode, load_codec
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.synthetic.rendering import RENDERERS
from diffusers_jasco.evaluation.metrics.seams import detect_seams, seam_features, seam_ratio
from diffusers_jasco.utils.arguments import CommandParser, integer, number, seed
from diffusers_jasco.utils.cli import run_command


CUT = 128  # samples
DISTANCE = 1.0  # seconds between random borders, and from the ends
QUIET_SECONDS = 0.05
QUIET_DISTANCE = 0.3  # seconds between quiet spots

Times = np.ndarray  # seconds


def at_random(item: dict, count: int, rng: np.random.Generator) -> tuple[Times, None]:
    """Borders at least 1 s from each other."""
    slack = item["duration"] - DISTANCE * (count + 1)
    return np.sort(rng.uniform(0, slack, count)) + DISTANCE * np.arange(1, count + 1), None


def at_beats(item: dict, count: int, rng: np.random.Generator) -> tuple[Times, Times]:
    """Some of the beats, and all of them."""
    beats = np.array([beat for beat in item["beats"] if DISTANCE <= beat <= item["duration"] - DISTANCE])
    return np.sort(rng.choice(beats, min(count, len(beats) // 2), replace=False)), beats


def in_quiet_spots(item: dict, count: int, rng: np.random.Generator) -> tuple[Times, Times]:
    """Some of the quietest spots, and three times as many of them."""
    size = round(QUIET_SECONDS * item["sampling_rate"])
    power = item["audio"].square().mean(dim=0).unfold(0, size, size).mean(dim=1).numpy()
    times = (np.arange(len(power)) + 0.5) * QUIET_SECONDS
    times = times[(times >= DISTANCE) & (times <= item["duration"] - DISTANCE)]
    spots: list[float] = []
    for time in times[power[(times / QUIET_SECONDS).astype(int)].argsort(kind="stable")]:
        if len(spots) < 3 * count and all(abs(time - spot) >= QUIET_DISTANCE for spot in spots):
            spots.append(time)
    return np.sort(rng.choice(spots, min(count, len(spots) // 2), replace=False)), np.array(spots)


def leave(waveform: torch.Tensor, borders: Times, codec: Codec) -> tuple[torch.Tensor, int]:
    return waveform, 0


def cut(waveform: torch.Tensor, borders: Times, codec: Codec) -> tuple[torch.Tensor, int]:
    """Removes `CUT` samples at each border."""
    kept = torch.ones(waveform.shape[-1], dtype=torch.bool)
    for border in borders:
        first = round(border * codec.config.sampling_rate)
        kept[first : first + CUT] = False
    return waveform[:, kept], CUT


def reconstruct(waveform: torch.Tensor, borders: Times, codec: Codec) -> tuple[torch.Tensor, int]:
    return decode(codec, encode(codec, waveform[None]))[0], 0


def blur(waveform: torch.Tensor, borders: Times, codec: Codec) -> tuple[torch.Tensor, int]:
    """Replaces the latents of two frames by the means of their neighbors."""
    latents = encode(codec, waveform[None])
    first = torch.from_numpy(borders * codec.config.sampling_rate / codec.config.hop_length).long()
    frames = torch.cat([first, first + 1])
    blurred = latents.clone()
    blurred[:, frames] = (latents[:, frames - 1] + latents[:, frames + 1]) / 2
    return decode(codec, blurred)[0], 0


TREATMENTS = {"untouched": leave, f"cut, {CUT} samples": cut, "decoded": reconstruct, "blur, 2 frames": blur}
PLACES: dict[str, Callable] = {"random": at_random, "at beats": at_beats, "in quiet spots": in_quiet_spots}


def measure(items: list[dict], treatment: Callable, place: Callable, count: int, codec: Codec) -> str:
    """The cells of a row of the table."""
    features, borders, candidates, ratios = [], [], [], []
    rate = codec.config.sampling_rate
    frame_rate = rate / codec.config.hop_length
    for item in items:
        times, comparable = place(item, count, np.random.default_rng([item["seed"], item["index"]]))
        audio, removed = treatment(item["audio"], times, codec)

        def move(events: Times, times: Times = times, removed: int = removed) -> Times:
            """Times after the cuts before them."""
            return events - removed / rate * np.searchsorted(times, events, side="left")

        features.append(seam_features((audio, rate), codec))
        borders.append(move(times))
        candidates.append(None if comparable is None else move(comparable))
        # The frame of a border and the next one.
        overlaps = [(border, border + 1 / frame_rate) for border in borders[-1]]
        downbeats = move(np.array(item["downbeats"]))
        # One downbeat does not give the length of a bar.
        downbeats = downbeats if len(downbeats) > 1 else ()
        ratios.append(seam_ratio(encode(codec, audio[None])[0], overlaps, frame_rate, downbeats))
    found = detect_seams(features, borders, frame_rate, candidates)
    change, bend = (np.nanmedian([ratio[name] for ratio in ratios]) for name in ("V", "W"))
    return f"{found.auc:.3f} | {found.low:.3f} … {found.high:.3f} | {change:.2f} | {bend:.2f}"


def main(args: list[str] | None = None):
    parser = CommandParser(description=__doc__)
    parser.add_argument("--codec", type=Path, required=True, help="folder of a codec or of a pipeline")
    parser.add_argument("--num_pieces", type=integer(2), default=32)
    parser.add_argument("--num_borders", type=integer(1), default=8, help="borders of each piece")
    parser.add_argument("--duration", type=number(4), default=30.0, help="seconds of each piece")
    parser.add_argument("--renderer", choices=RENDERERS, default="fluidsynth")
    parser.add_argument("--seed", type=seed, default=0, help="seed of the music and the borders")
    args = parser.parse_args(args)
    if args.duration < (args.num_borders + 2) * DISTANCE:
        parser.error(f"--duration has to be at least {args.num_borders + 2} s for {args.num_borders} borders.")

    codec = load_codec(args.codec)
    music = SyntheticMusic(
        "validation",
        args.num_pieces,
        duration=args.duration,
        sampling_rate=codec.config.sampling_rate,
        renderer=args.renderer,
        seed=args.seed,
    )
    items = [music[index] for index in range(len(music))]
    print("| pieces | borders | AUC | 95% | V | W |\n| --- | --- | --- | --- | --- | --- |")
    for name, treatment in TREATMENTS.items():
        for place, locate in PLACES.items():
            print(f"| {name} | {place} | {measure(items, treatment, locate, args.num_borders, codec)} |", flush=True)


if __name__ == "__main__":
    sys.exit(run_command(main, "evaluate_seams"))
