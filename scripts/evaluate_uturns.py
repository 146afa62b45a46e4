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
Finds the flow time at which a model decides beat, tempo, chords, and the attributes of the caption: reference clips
are noised to several flow times and denoised with their captions, or with some of their controls as well
(`--controls beats`).

    python scripts/evaluate_uturns.py --checkpoint jasco-nano-teacher --num_clips 64 --output outputs/uturns

Properties that survive a flow time are determined by the latents of that time. At time 0, the music comes from the
captions alone. The output folder contains `uturns.json`, the tables `uturns.md`, and the figure `uturns.png`.
docs/guides/evaluation/form.md explains the measures. Use the validation split.
"""

import argparse
import sys
from pathlib import Path

from diffusers_jasco import JascoPipeline
from diffusers_jasco.controls import CONTROLS
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.evaluation.evaluate import analyze_references
from diffusers_jasco.evaluation.items import compose_items
from diffusers_jasco.evaluation.metrics.sample_sizes import MIN_CLIPS
from diffusers_jasco.evaluation.output import write_json, write_text
from diffusers_jasco.evaluation.plotting import plot_uturns
from diffusers_jasco.evaluation.report import write_summary
from diffusers_jasco.evaluation.uturn import TIMES, evaluate_uturns, survival
from diffusers_jasco.utils.arguments import CommandParser, add_device, check_writable, integer, number, seed
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.optional_imports import import_optional


GUIDANCE = ("num_inference_steps", "guidance_scale", "text_guidance_scale", "guidance_rescale")


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--checkpoint", required=True, help="folder or Hub id of a pipeline")
    add("--output", type=Path, required=True, help="output folder")
    add("--controls", choices=CONTROLS, nargs="+", default=[], help="controls that are given besides the caption")
    add("--times", type=number(0, 0.99), nargs="+", default=list(TIMES), help="flow times from 0 to 0.99")
    add("--subset", choices=("plain", "full", "both"), default="both", help="subset of the synthetic music")
    add("--split", choices=("validation", "test"), default="validation", help="split of the synthetic music")
    add("--num_clips", type=integer(2), default=64)
    add("--min_clips", type=integer(1), default=MIN_CLIPS, help="minimum number of clips for a score to be reported")
    add("--duration", type=number(above=0, unit="seconds"), default=10.0, help="length of a clip in seconds")
    add("--batch_size", type=integer(1), default=8)
    add("--num_inference_steps", type=integer(1), help="steps from each flow time to 1 (default: the checkpoint's)")
    add("--guidance_scale", type=number(), help="default: the checkpoint's")
    add("--text_guidance_scale", type=number(), help="default: the checkpoint's")
    add("--guidance_rescale", type=number(0, 1), help="default: the checkpoint's")
    add("--renderer", choices=("fluidsynth", "tinysoundfont"), default="fluidsynth")
    add("--soundfonts", nargs="+", help="General MIDI fonts (default: the installed ones)")
    add_device(parser)
    add("--seed", type=seed, default=0, help="random seed of noise, floors and intervals, but not of the clips")
    return parser.parse_args(args)


def main(args: list[str] | None = None):
    args = parse_args(args)
    check_writable(args.output)
    for package in ("matplotlib", "mir_eval"):
        import_optional(package, "eval")

    pipe = JascoPipeline.from_pretrained(args.checkpoint).to(args.device)
    pipe.set_progress_bar_config(disable=True)
    fonts = {"renderer": args.renderer, "soundfonts": args.soundfonts}
    music = SyntheticMusic(
        args.split, args.num_clips, args.subset, args.duration, pipe.sampling_rate, **fonts, stems=True
    )
    references = analyze_references(compose_items(music, progress=True), seed=args.seed, progress=True)
    settings = {key: getattr(args, key) for key in GUIDANCE if getattr(args, key) is not None}
    inputs = ("text", *args.controls)
    result = evaluate_uturns(pipe, references, args.times, args.batch_size, settings, True, args.min_clips, inputs)

    curves = survival(result)
    title = f"{args.checkpoint}: synthetic music, {args.subset}, {args.split}, {args.num_clips} clips"
    summary = f"# {title}\n\n{write_summary({'U-turns': result})}"
    print(f"\n{summary}")
    args.output.mkdir(parents=True, exist_ok=True)
    write_text(args.output / "uturns.md", summary)
    write_json(args.output / "uturns.json", result)
    given = f"captions and {' and '.join(args.controls)}" if args.controls else "captions only"
    plot_uturns(curves, f"{title}, {given}").savefig(args.output / "uturns.png", dpi=110)


if __name__ == "__main__":
    sys.exit(run_command(main, "evaluate_uturns"))
