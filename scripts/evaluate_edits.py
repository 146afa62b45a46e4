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
Measures edits of synthetic recordings whose controls are known: regions with other controls, continuations,
variations, and edits from source to target controls:

    OMP_NUM_THREADS=1 python scripts/evaluate_edits.py --checkpoint pipelines/jasco-nano --output outputs/edits

The output folder contains a file with results and one with tables for each section (`edits.json`, `edits.md`), the
figure `seam.png`, and the music. If the command is interrupted, run it again: existing music is reused.
docs/guides/evaluation/long_music.md explains the measures. The recordings are those of the validation split.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from diffusers_jasco import JascoAudioToAudioPipeline, JascoInpaintPipeline, JascoPipeline
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.synthetic.rendering import RENDERERS
from diffusers_jasco.evaluation.edit_plans import plan_edits
from diffusers_jasco.evaluation.edits import (
    STRENGTHS,
    evaluate_edits,
    evaluate_strengths,
    generate_edits,
    write_edits,
    write_strengths,
)
from diffusers_jasco.evaluation.items import compose_items, hash_items
from diffusers_jasco.evaluation.metrics.drift import cut_item
from diffusers_jasco.evaluation.metrics.sample_sizes import MIN_CLIPS
from diffusers_jasco.evaluation.output import open_output, write_json, write_text
from diffusers_jasco.evaluation.plotting import plot_seam
from diffusers_jasco.evaluation.source_edits import evaluate_source_edits, plan_source_edits, write_source_edits
from diffusers_jasco.generation.batches import hash_pipeline
from diffusers_jasco.utils.arguments import CommandParser, add_device, check_writable, integer, number, seed
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.optional_imports import import_optional


VARIATION_SECONDS = 10.0


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--checkpoint", required=True, help="folder or Hub id of a pipeline")
    add("--output", type=Path, required=True, help="output folder")
    add("--sections", choices=SECTIONS, nargs="+", default=list(SECTIONS), help="parts of the evaluation")
    add("--num_edits", type=integer(2), default=64, help="edits, one of each recording")
    add("--num_variations", type=integer(2), default=24, help="recordings that are varied, of 10 s")
    add("--strengths", type=number(above=0, maximum=1), nargs="+", default=list(STRENGTHS))
    add("--duration", type=number(10, unit="seconds"), default=20.0, help="length of a recording in seconds")
    add("--num_inference_steps", type=integer(1), help="default: the checkpoint's")
    add("--without_context", action="store_true", help="do not give the known frames to a transformer with a context")
    add("--min_clips", type=integer(1), default=MIN_CLIPS, help="minimum number of clips for a score to be reported")
    add("--subset", choices=("plain", "full", "both"), default="both", help="subset of the synthetic music")
    add("--renderer", choices=RENDERERS, default="fluidsynth")
    add("--soundfonts", nargs="+", help="General MIDI fonts (default: the installed ones)")
    add_device(parser)
    add("--seed", type=seed, default=0, help="random seed of recordings, edits, noise and intervals")
    return parser.parse_args(args)


def measure_edits(args: argparse.Namespace, pipe: JascoPipeline, items: list[dict[str, Any]]) -> dict[str, Any]:
    edit_pipe = JascoInpaintPipeline.from_pipe(pipe)
    edit_pipe.set_progress_bar_config(disable=True)
    edits = plan_edits(items[: args.num_edits], args.seed)
    options = _options(args)
    result = evaluate_edits(pipe, edit_pipe, edits, **options)
    shown = edits[0]
    after = next(generate_edits(edit_pipe, edits[:1], options["settings"], args.seed, args.output / "edits"))
    border, rate = shown.borders[0], pipe.sampling_rate
    title = f"{args.checkpoint}: the first border of an edit with new {shown.kind}, at {border:.2f} s"
    figure = plot_seam((shown.recording["audio"], rate), (after, rate), border, title, shown.regions[0])
    figure.savefig(args.output / "seam.png", dpi=110)
    return result


def measure_strengths(args: argparse.Namespace, pipe: JascoPipeline, items: list[dict[str, Any]]) -> dict[str, Any]:
    vary_pipe = JascoAudioToAudioPipeline.from_pipe(pipe)
    vary_pipe.set_progress_bar_config(disable=True)
    clips = [cut_item(item, 0.0, VARIATION_SECONDS) for item in items[: args.num_variations]]
    return evaluate_strengths(vary_pipe, clips, args.strengths, **_options(args))


def measure_sources(args: argparse.Namespace, pipe: JascoPipeline, items: list[dict[str, Any]]) -> dict[str, Any]:
    vary_pipe = JascoAudioToAudioPipeline.from_pipe(pipe)
    vary_pipe.set_progress_bar_config(disable=True)
    clips = [cut_item(item, 0.0, VARIATION_SECONDS) for item in items[: args.num_edits]]
    return evaluate_source_edits(vary_pipe, plan_source_edits(clips, args.seed), **_options(args))


def _options(args: argparse.Namespace) -> dict[str, Any]:
    steps = args.num_inference_steps
    return {
        "settings": {} if steps is None else {"num_inference_steps": steps},
        "seed": args.seed,
        "cache": args.output,
        "progress": True,
        "min_clips": args.min_clips,
    }


# Title, measurement, and table of each section.
SECTIONS = {
    "edits": ("Regions and continuations", measure_edits, write_edits),
    "strength": ("Variations by strength", measure_strengths, write_strengths),
    "source": ("Edits from source to target controls", measure_sources, write_source_edits),
}


def main(args: list[str] | None = None):
    args = parse_args(args)
    check_writable(args.output)
    for package in ("matplotlib", "mir_eval", "sklearn"):
        import_optional(package, "eval")

    pipe = JascoPipeline.from_pretrained(args.checkpoint).to(args.device)
    pipe.set_progress_bar_config(disable=True)
    if args.without_context:
        if not pipe.transformer.config.context:
            raise ValueError(
                f"--without_context needs a transformer with a context, which that of {args.checkpoint} lacks."
            )
        pipe.transformer.register_to_config(context=False)
    count = max(args.num_edits, args.num_variations)
    fonts = {"renderer": args.renderer, "soundfonts": args.soundfonts}
    music = SyntheticMusic(
        "validation", count, args.subset, args.duration, pipe.sampling_rate, **fonts, stems=True, seed=args.seed
    )
    items = compose_items(music, progress=True)
    names = ("num_edits", "duration", "num_inference_steps", "without_context", "seed")
    settings = {name: getattr(args, name) for name in names}
    open_output(args.output, settings | {"pipeline": hash_pipeline(pipe), "clips": hash_items(items)})
    for name in args.sections:
        title, measure, write = SECTIONS[name]
        result = measure(args, pipe, items)
        table = f"# {title}: {args.checkpoint}\n\n{write(result)}\n"
        print(f"\n{table}", flush=True)
        write_text(args.output / f"{name}.md", table)
        write_json(args.output / f"{name}.json", result)


if __name__ == "__main__":
    sys.exit(run_command(main, "evaluate_edits"))
