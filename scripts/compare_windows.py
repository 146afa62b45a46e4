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
Compares ways to cover long pieces with windows:

    OMP_NUM_THREADS=1 python scripts/compare_windows.py --checkpoint pipelines/jasco-nano --num_pieces 12

- middle: all windows are denoised together; the border is in the middle of an overlap, as in the pipelines
- alternating: all windows are denoised together; in an overlap, frames belong to the two windows by turns
- bars: alternating, with windows that start at bar lines
- sequential: one window is denoised to the end after the other; its overlap with those before is known
- blocks: the same with blocks of two windows each, whose frames are alternating

All ways have the same noise. docs/reports/long_music.md has results ("Choice of the windows").
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from diffusers_jasco import JascoPipeline
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.synthetic.rendering import RENDERERS
from diffusers_jasco.evaluation.control_estimators import ESTIMATORS
from diffusers_jasco.evaluation.evaluate import make_requests
from diffusers_jasco.evaluation.long_music import INPUTS, METRICS, find_pieces, measure_piece, summarize_pieces
from diffusers_jasco.pipelines.denoising import GuidedVelocity, KnownFrames
from diffusers_jasco.pipelines.windows import Window, WindowedVelocity, place_windows
from diffusers_jasco.utils.arguments import CommandParser, add_device, integer, number, seed
from diffusers_jasco.utils.cli import run_command, without_warnings
from diffusers_jasco.utils.optional_imports import import_optional


NUM_CLIPS = 10_000  # among which pieces are searched
Frames = list[torch.Tensor]  # of each window


def alternate(windows: Frames) -> list[Window]:
    """Windows in whose overlaps the frames belong to the windows by turns."""
    count, before = torch.zeros(2, int(windows[-1][-1]) + 1, dtype=torch.long)
    for frames in windows:
        count[frames] += 1
    owned = []
    for frames in windows:
        owned.append(Window(frames, before[frames] == (frames - windows[0][0]) % count[frames]))
        before[frames] += 1
    return owned


def start_at_bars(num_frames: int, window: int, overlap: int, bar_lines: Sequence[int]) -> Frames:
    """Windows that start at the last bar line that keeps the overlap, if it is in the second half of a window."""
    starts = [0]
    while starts[-1] + window < num_frames:
        last = starts[-1] + window - overlap
        lines = [line for line in bar_lines if starts[-1] + window // 2 < line <= last]
        starts.append(max(lines, default=last))
    return [torch.arange(start, min(start + window, num_frames)) for start in starts]


def place_blocks(way: str, num_frames: int, window: int, overlap: int, bar_lines: Sequence[int]) -> list[list[Window]]:
    """The windows of each block that is denoised together."""
    windows = place_windows(num_frames, window, overlap)
    frames = [window.frames for window in windows]
    size = {"sequential": 1, "blocks": 2}.get(way, len(frames))
    if way == "middle":
        return [windows]
    if way == "bars":
        return [alternate(start_at_bars(num_frames, window, overlap, bar_lines))]
    return [alternate(frames[first : first + size]) for first in range(0, len(frames), size)]


class BlockPipeline(JascoPipeline):
    """Denoises the frames of some windows. The latents of other frames may be known."""

    windows: list[Window]
    data: torch.Tensor
    known: torch.Tensor

    def _make_velocity(self, velocity: GuidedVelocity, latents: torch.Tensor, *args: Any) -> KnownFrames:
        return KnownFrames(WindowedVelocity(velocity, self.windows), self.data, self.known, latents)


def generate(pipe: BlockPipeline, request: Any, duration: float, place: Callable[[int], list[list[Window]]]) -> tuple:
    """Returns the waveform, the overlaps in seconds, and the processor time in seconds."""
    generator = torch.Generator().manual_seed(request.seed)
    conditioning = pipe.encode_conditioning(request.prompt, duration=duration, **request.controls)
    blocks = place(conditioning.num_frames)
    noise = pipe.prepare_latents(1, conditioning.num_frames, pipe.device, generator)
    pipe.data, pipe.known = torch.zeros_like(noise), torch.zeros(noise.shape[:2], dtype=torch.bool, device=pipe.device)
    start = time.process_time()
    for pipe.windows in blocks:
        frames = torch.cat([window.frames for window in pipe.windows])
        options = {"conditioning": conditioning, "latents": noise, "output_type": "latent"}
        made = pipe(**options, **request.settings).audios
        pipe.data = torch.where(pipe.known[..., None], pipe.data, made)
        pipe.known[:, frames] = True
    audio = pipe.decode_latents(pipe.data)[0, :, : round(duration * pipe.sampling_rate)]
    seconds = time.process_time() - start
    spans = [(int(frames[0]), int(frames[-1]) + 1) for block in blocks for frames, _ in block]
    overlaps = [(after[0] / pipe.frame_rate, before[1] / pipe.frame_rate) for before, after in pairwise(spans)]
    return audio.float().cpu(), overlaps, seconds


def mean_adherence(sections: list[list[dict[str, Any]]], control: str) -> float:
    """The mean over sections, each by the estimator with the lowest A."""
    values = [
        [
            row["value"]
            for row in rows
            if (row["control"], row["metric"]) == (control, METRICS[control]) and row["counts"]
        ]
        for rows in sections
    ]
    return float(np.mean([min(row, default=math.nan) for row in values]))


def format_row(name: str, result: dict[str, Any], seconds: float) -> str:
    seams = result["seams"]
    cells = [
        f"{mean_adherence(result['sections'], 'chords'):.3f}",
        f"{mean_adherence(result['sections'], 'drums'):.3f}",
    ]
    cells += [f"{seams['overlaps'][key]['value']:.2f}" for key in ("V", "W")]
    aucs = [seams[place]["auc"] for place in ("overlaps", "starts", "ends")]
    cells += [f"{auc['value']:.3f} ({auc['low']:.3f} … {auc['high']:.3f})" for auc in aucs]
    return f"| {' | '.join([name, *cells, f'{seconds:.1f}'])} |"


WAYS = ("middle", "alternating", "bars", "sequential", "blocks")
COLUMNS = ["windows", "A of chords", "A of drums", "V in overlaps", "W in overlaps"]
COLUMNS += ["AUC: overlaps", "AUC: starts", "AUC: ends", "seconds"]


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--checkpoint", required=True, help="folder or Hub id of a pipeline")
    add("--ways", choices=WAYS, nargs="+", default=list(WAYS))
    add("--overlaps", type=number(0), nargs="+", default=[2.0], help="least overlaps of windows in seconds")
    add("--num_pieces", type=integer(2), default=12)
    add("--duration", type=number(20, 600), default=60.0, help="seconds of a piece, more than a window")
    add("--num_inference_steps", type=integer(1), help="default: the checkpoint's")
    add("--split", choices=("validation", "test"), default="validation", help="split of the synthetic music")
    add("--renderer", choices=RENDERERS, default="fluidsynth")
    add("--soundfonts", nargs="+", help="General MIDI fonts (default: the installed ones)")
    add_device(parser)
    add("--seed", type=seed, default=0, help="random seed of noise, floors and intervals, but not of the music")
    return parser.parse_args(args)


# The captions have words that small text encoders do not know.
@without_warnings()
def main(args: list[str] | None = None):
    args = parse_args(args)
    for package in ("mir_eval", "sklearn"):
        import_optional(package, "eval")
    pipe = BlockPipeline.from_pretrained(args.checkpoint).to(args.device)
    pipe.set_progress_bar_config(disable=True)
    rate, frame_rate, window = pipe.sampling_rate, pipe.frame_rate, pipe.transformer.config.sample_size
    fonts = {"renderer": args.renderer, "soundfonts": args.soundfonts}
    music = SyntheticMusic(args.split, NUM_CLIPS, "both", args.duration, rate, **fonts, stems=True, start="downbeat")
    estimators = [estimator for estimator in ESTIMATORS if METRICS.get(estimator.control) in estimator.metrics]
    settings = {} if args.num_inference_steps is None else {"num_inference_steps": args.num_inference_steps}
    inputs = [part for part in INPUTS if part == "text" or part in pipe.transformer.controls]
    cases = [(way, overlap) for overlap in args.overlaps for way in args.ways]
    measures: dict[tuple[str, float], list] = {case: [] for case in cases}
    times = dict.fromkeys(cases, 0.0)
    for index, piece in enumerate(tqdm(find_pieces(music, args.num_pieces), unit="piece")):
        item = music[piece]
        [request] = make_requests([item], np.arange(1), inputs, settings, args.seed)
        request = replace(request, seed=args.seed + index)
        bar_lines = [round(downbeat * frame_rate) for downbeat in item["downbeats"]]
        for way, overlap in cases:
            shared = math.ceil(overlap * frame_rate - 1e-6)
            audio, spans, seconds = generate(
                pipe, request, args.duration, lambda count: place_blocks(way, count, window, shared, bar_lines)
            )
            measures[way, overlap].append(measure_piece(audio, item, pipe, spans, estimators))
            times[way, overlap] += seconds / args.num_pieces

    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for (way, overlap), pieces in measures.items():
        result = summarize_pieces(pieces, frame_rate, estimators, args.seed, min(args.num_pieces, 6))
        print(format_row(f"{way}, {overlap:g} s", result, times[way, overlap]))


if __name__ == "__main__":
    sys.exit(run_command(main, "compare_windows"))
