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
Compares schedulers, numbers of steps, time grids and guidance: generates music with all controls, or from the captions
only, for every combination, and evaluates control adherence, form and sound, and the accuracy of the latents.

    python scripts/evaluate_sampling.py --checkpoint jasco-nano-teacher --num_clips 32 --output outputs/sampling \
        --schedulers euler,heun,unipc,dpm++,dopri5 --steps 4,8,12,16,24 \
        --guidance default guidance_scale=2.5 start_time=0.1,stop_time=0.9

`--measures latents` only compares latents with those of dopri5 with small tolerances, without decoding them.

The output folder contains `sampling.json`, the table `sampling.md` and the figure `sampling.png`. To resume an
interrupted run, run the same command again; with other lists, it adds the missing combinations.
docs/guides/evaluation/metrics.md explains the scores. Use the validation split to select a sampler.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffusers_jasco import JascoPipeline
from diffusers_jasco.controls import CONTROLS
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.evaluation.estimators.embeddings import load_embedding
from diffusers_jasco.evaluation.evaluate import analyze_references
from diffusers_jasco.evaluation.items import compose_items, hash_items, read_items
from diffusers_jasco.evaluation.metrics.sample_sizes import MIN_CLIPS
from diffusers_jasco.evaluation.output import open_output, write_json, write_text
from diffusers_jasco.evaluation.plotting import plot_samplers
from diffusers_jasco.evaluation.report import write_samplers
from diffusers_jasco.evaluation.sampling import (
    SAMPLING_ESTIMATORS,
    SCHEDULERS,
    TOLERANCE,
    Sampler,
    SamplerEvaluator,
    list_samplers,
    make_guider,
)
from diffusers_jasco.generation.batches import hash_pipeline
from diffusers_jasco.utils.arguments import CommandParser, add_device, check_writable, integer, number, seed
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.optional_imports import import_optional


# Options that have to be equal for all points of a curve.
FINGERPRINT_OPTIONS = (
    "subset",
    "split",
    "num_clips",
    "duration",
    "batch_size",
    "renderer",
    "soundfonts",
    "embedding",
    "condition",
    "measures",
    "tolerance",
    "seed",
)


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--checkpoint", required=True, help="folder or Hub id of a pipeline")
    add("--output", type=Path, required=True, help="output folder, new or of an earlier run")
    add("--schedulers", type=list_of(str), default=list(SCHEDULERS), help="comma-separated (default: all)")
    add("--steps", type=list_of(integer(1)), default=[4, 8, 12, 16, 24], help="comma-separated; dopri5 ignores them")
    powers = {"type": list_of(number(above=0)), "default": [1.0]}
    add("--powers", **powers, help="powers of the time grid; above 1, steps are shorter near noise")
    add("--end_powers", **powers, help="powers of the end of the time grid; above 1, steps are shorter near data")
    add("--condition", choices=("all", "text"), default="all", help="all controls, or the captions only")
    add(
        "--guidance",
        type=guidance,
        nargs="+",
        default=[{}],
        help="one or more of 'default', the checkpoint's guidance, and options of JascoGuidance that differ from it,"
        " such as 'guidance_scale=2,stop_time=0.8', and scales of controls, such as 'chords=0.5' (default: default)",
    )
    add(
        "--measures",
        choices=("all", "music", "latents"),
        default="all",
        help="music: adherence, form and sound; latents: errors of the latents, which take an accurate solution for"
        " each guidance (default: all)",
    )
    add(
        "--tolerance",
        type=number(above=0),
        default=TOLERANCE,
        help="of dopri5, with whose latents others are compared",
    )
    add("--dataset", type=Path, help="folder with metadata.jsonl, such as a split of a prepared dataset")
    add("--subset", choices=("plain", "full"), default="full", help="subset of the synthetic music")
    add("--split", choices=("validation", "test"), default="validation", help="split of the synthetic music")
    add("--num_clips", type=integer(1), default=32)
    add("--min_clips", type=integer(1), default=MIN_CLIPS, help="minimum number of clips for a score to be reported")
    add("--duration", type=number(above=0, unit="seconds"), default=10.0, help="length of a clip in seconds")
    add("--batch_size", type=integer(1), default=8)
    add("--embedding", default="spectrum", help='"spectrum", or folder or Hub id of an audio model')
    add("--renderer", choices=("fluidsynth", "tinysoundfont"), default="fluidsynth")
    add("--soundfonts", nargs="+", help="General MIDI fonts (default: the installed ones)")
    add_device(parser)
    add("--seed", type=seed, default=0, help="random seed of noise, floors and intervals, but not of the clips")
    args = parser.parse_args(args)
    if args.num_clips < 2:
        parser.error("--num_clips has to be at least 2, as the floor comes from the music of other clips.")
    return args


def list_of(kind: Callable[[str], Any]) -> Callable[[str], list]:
    return lambda text: [kind(word) for word in text.split(",")]


def guidance(text: str) -> dict[str, Any]:
    """An argument type: arguments of [`JascoGuidance`], with the scales of controls by their names."""
    options: dict[str, Any] = {}
    for part in [] if text == "default" else text.split(","):
        name, _, value = part.partition("=")
        scale = number()(value)
        if name in CONTROLS:
            options.setdefault("control_scales", {})[name] = scale
        else:
            options[name] = scale
    try:
        make_guider(options)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from None
    return options


def main(args: list[str] | None = None):
    args = parse_args(args)
    check_writable(args.output)
    for package in ("matplotlib", "mir_eval"):
        import_optional(package, "eval")
    embedding = load_embedding(args.embedding) if args.measures != "latents" else None

    # 1. Load the pipeline, list the combinations, and load the clips
    pipe = JascoPipeline.from_pretrained(args.checkpoint).to(args.device)
    pipe.set_progress_bar_config(disable=True)
    samplers = list_samplers(args.schedulers, args.steps, args.guidance, args.powers, args.end_powers)
    if args.dataset is not None:
        items = read_items(args.dataset, pipe.sampling_rate, args.num_clips, args.duration)
    else:
        fonts = {"renderer": args.renderer, "soundfonts": args.soundfonts}
        music = SyntheticMusic(
            args.split, args.num_clips, args.subset, args.duration, pipe.sampling_rate, **fonts, stems=True
        )
        items = compose_items(music, progress=True)

    # 2. Open the output folder and read existing results
    fingerprint = {key: getattr(args, key) for key in FINGERPRINT_OPTIONS} | {
        "dataset": args.dataset and str(args.dataset)
    }
    open_output(args.output, fingerprint | {"model": hash_pipeline(pipe), "clips": hash_items(items)})
    path = args.output / "sampling.json"
    points = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    done = [Sampler(**{field: point[field] for field in Sampler.__dataclass_fields__}) for point in points]

    # 3. Generate, evaluate and report
    missing = [sampler for sampler in samplers if sampler not in done]
    if missing:
        clips = items
        if args.measures != "latents":
            clips = analyze_references(items, SAMPLING_ESTIMATORS, embedding, args.seed, progress=True)
        evaluator = SamplerEvaluator(
            pipe,
            clips,
            args.condition,
            args.tolerance if args.measures != "music" else None,
            args.batch_size,
            args.min_clips,
            args.seed,
            args.output / "solutions",
        )
    for index, sampler in enumerate(missing, start=1):
        print(f"{index}/{len(missing)}: {sampler}", flush=True)
        points.append(evaluator.evaluate(sampler))
        write_json(path, points)
    table = write_samplers(points)
    music = str(args.dataset) if args.dataset is not None else f"synthetic music, {args.subset}, {args.split}"
    inputs = "all controls" if args.condition == "all" else "captions only"
    title = f"{args.checkpoint}: {music}, {len(items)} clips of {args.duration:g} s, {inputs}"
    print(f"\n{table}")
    write_text(args.output / "sampling.md", f"# {title}\n\n{table}")
    plot_samplers(points, title).savefig(args.output / "sampling.png", dpi=110)


if __name__ == "__main__":
    sys.exit(run_command(main, "evaluate_sampling"))
