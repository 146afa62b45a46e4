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
Compares the engines of scripts/generate_jasco.py on this machine: one process, several processes, and Ray.

    OMP_NUM_THREADS=1 python scripts/benchmark_cluster.py --num_clips 32 --num_proc 2

All have one thread per process. Times are ratios to those of one process that has loaded the pipeline: for the whole job;
for its start, until the first batch is there, with the start of processes, imports and loading (as a share of that job);
and for a clip after the first batch. `equal` says whether all samples are the same.
"""

import argparse
import sys
import time

import torch

from diffusers_jasco import JascoPipeline
from diffusers_jasco.generation.batches import GenerationRequest, create_workers, generate_clips
from diffusers_jasco.utils.arguments import CommandParser, integer, number
from diffusers_jasco.utils.bundled import BUNDLED
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.engines import ENGINE_FLAGS, Engine, LocalEngine, RayEngine


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--checkpoint", default=BUNDLED, help=f"folder or Hub id of a pipeline (default: {BUNDLED})")
    add("--num_clips", type=integer(2), default=32)
    add("--duration", type=number(above=0, unit="seconds"), default=10.0, help="length of a clip in seconds")
    add("--batch_size", type=integer(1), default=4)
    add("--num_inference_steps", type=integer(1), help="default: the checkpoint's")
    add("--num_proc", type=integer(2), default=2, help="processes of the second and third engine")
    add(
        "--ray_address",
        help="address of a Ray cluster, auto or local (default: auto if this machine has one, else local)",
    )
    return parser.parse_args(args)


def measure(
    pipe: JascoPipeline, args: argparse.Namespace, engine: Engine
) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Seconds until each clip is there, and the clips by name."""
    steps = {} if args.num_inference_steps is None else {"num_inference_steps": args.num_inference_steps}
    chords = [(label, args.duration * index / 4) for index, label in enumerate(("C", "Am", "F", "G"))]
    requests = [
        GenerationRequest(str(seed), "80s pop", {"chords": chords}, duration=args.duration, seed=seed, settings=steps)
        for seed in range(args.num_clips)
    ]
    workers = create_workers(engine, args.checkpoint, "cpu", pipe)
    began, times, clips = time.monotonic(), [], {}
    for request, clip in generate_clips(pipe, requests, args.batch_size, workers=workers):
        if isinstance(clip, Exception):
            raise clip
        times.append(time.monotonic() - began)
        clips[request.name] = clip.audio
    return times, clips


def main(args: list[str] | None = None):
    args = parse_args(args)
    engines = {
        "one process": LocalEngine(threads=1),
        f"{args.num_proc} processes": LocalEngine(args.num_proc, threads=1),
        f"Ray, {args.num_proc} processes": RayEngine(args.ray_address, args.num_proc, threads=1, gpus=0),
    }
    pipe = JascoPipeline.from_pretrained(args.checkpoint)
    pipe.set_progress_bar_config(disable=True)
    print("| engine | job | start | clip | equal |\n|---|---|---|---|---|")
    reference = None
    for name, engine in engines.items():
        times, clips = measure(pipe, args, engine)
        start, total = times[0], times[-1]
        # Batches arrive as a whole, so the clips of the first one count as the start.
        per_clip = (total - start) / max(1, args.num_clips - args.batch_size)
        if reference is None:
            reference = total, per_clip, clips
        equal = all(torch.equal(clip, reference[2][key]) for key, clip in clips.items())
        ratios = total / reference[0], start / reference[0], per_clip / reference[1]
        print(
            f"| {name} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} | {'yes' if equal else 'no'} |", flush=True
        )
    print(
        f"\n{args.num_clips} clips of {args.duration:g} s in batches of {args.batch_size}; 1.00 is {reference[0]:.0f} s."
    )


if __name__ == "__main__":
    sys.exit(run_command(main, "benchmark_cluster", ENGINE_FLAGS))
