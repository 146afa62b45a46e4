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
Measures the mixer: clips with different scales of each control, clips in which a control is free from the middle on, and
the best of several takes of handwritten pieces:

    OMP_NUM_THREADS=1 python scripts/evaluate_mixer.py --checkpoint pipelines/jasco-nano --output outputs/mixer

The output folder contains a file with results and one with tables for each section (`scales.json`, `scales.md`), the
figure `scales.png`, the music, and the scores of each clip. If the command is interrupted, run it again: existing music and
scores are reused, also with more clips. docs/reports/mixer.md explains the measures. The clips are those of the validation
split.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from diffusers_jasco import JascoPipeline
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.synthetic.rendering import RENDERERS
from diffusers_jasco.evaluation.handwritten import handwritten_items
from diffusers_jasco.evaluation.items import compose_items, hash_items
from diffusers_jasco.evaluation.metrics.sample_sizes import MIN_CLIPS
from diffusers_jasco.evaluation.mixer import (
    SCALES,
    evaluate_regions,
    evaluate_scales,
    evaluate_takes,
    write_regions,
    write_scales,
    write_takes,
)
from diffusers_jasco.evaluation.output import open_output, write_json, write_text
from diffusers_jasco.evaluation.plotting import plot_scales
from diffusers_jasco.generation.batches import hash_pipeline
from diffusers_jasco.utils.arguments import CommandParser, add_device, check_writable, integer, number, seed
from diffusers_jasco.utils.cli import run_command, without_warnings
from diffusers_jasco.utils.optional_imports import import_optional


SECTIONS = {
    "scales": ("Scales of controls", write_scales),
    "regions": ("Free regions", write_regions),
    "takes": ("The best of several takes", write_takes),
}


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--checkpoint", required=True, help="folder or Hub id of a pipeline")
    add("--output", type=Path, required=True, help="output folder, new or of an earlier run")
    add("--sections", choices=SECTIONS, nargs="+", default=list(SECTIONS), help="parts of the evaluation")
    add("--scales", type=number(0), nargs="+", default=list(SCALES), help="scales of each control")
    add("--num_clips", type=integer(2), default=64, help="clips of 10 s")
    add("--num_pieces", type=integer(2), default=20, help="handwritten pieces")
    add("--num_takes", type=integer(1), default=8, help="takes of each piece")
    add("--batch_size", type=integer(1), default=8)
    add("--min_clips", type=integer(1), default=MIN_CLIPS, help="minimum number of clips for a score to be reported")
    add("--subset", choices=("plain", "full", "both"), default="full", help="subset of the synthetic music")
    add("--renderer", choices=RENDERERS, default="fluidsynth")
    add("--soundfonts", nargs="+", help="General MIDI fonts (default: the installed ones)")
    add_device(parser)
    add("--seed", type=seed, default=0, help="random seed of noise, floors and intervals, but not of the clips")
    return parser.parse_args(args)


# The captions have words that small text encoders do not know.
@without_warnings()
def main(args: list[str] | None = None):
    args = parse_args(args)
    check_writable(args.output)
    for package in ("matplotlib", "mir_eval"):
        import_optional(package, "eval")

    pipe = JascoPipeline.from_pretrained(args.checkpoint).to(args.device)
    pipe.set_progress_bar_config(disable=True)
    pieces = handwritten_items(pipe.sampling_rate)[: args.num_pieces] if "takes" in args.sections else []
    fonts = {"renderer": args.renderer, "soundfonts": args.soundfonts}
    # A clip does not depend on the number of clips.
    num_clips = max(args.num_clips, len(pieces))
    music = SyntheticMusic("validation", num_clips, args.subset, 10.0, pipe.sampling_rate, **fonts, stems=True)
    items = compose_items(music, progress=True)
    settings = {name: getattr(args, name) for name in ("batch_size", "subset", "seed")}
    open_output(args.output, settings | {"pipeline": hash_pipeline(pipe), "clips": hash_items(items[:2])})
    clips = items[: args.num_clips]
    options: dict[str, Any] = {"seed": args.seed, "cache": args.output, "progress": True, "min_clips": args.min_clips}

    measures = {
        "scales": lambda: evaluate_scales(pipe, clips, args.scales, args.batch_size, **options),
        "regions": lambda: evaluate_regions(pipe, clips, args.batch_size, **options),
        "takes": lambda: evaluate_takes(pipe, pieces, items[: len(pieces)], args.num_takes, **options),
    }
    for name in args.sections:
        title, write = SECTIONS[name]
        result = measures[name]()
        table = f"# {title}: {args.checkpoint}\n\n{write(result)}\n"
        print(f"\n{table}", flush=True)
        write_text(args.output / f"{name}.md", table)
        write_json(args.output / f"{name}.json", result)
        if name == "scales":
            plot_scales(result["points"]).savefig(args.output / "scales.png", dpi=110)


if __name__ == "__main__":
    sys.exit(run_command(main, "evaluate_mixer"))
