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


"""
How well does a checkpoint follow its controls? Generates music for clips that it has not heard, under several sets of
conditions, and listens to the waveforms.

    python scripts/evaluate_jasco.py --checkpoint pipelines/jasco-nano --subset plain --split validation \
        --num_clips 64 --output results

By default the clips are synthetic music; `--dataset` takes those of a prepared data set. Conditions:

    all         caption, chords, drums and melody of the clip
    none        nothing
    text        the caption alone
    chords      the caption and this control alone; likewise `drums` and `melody`
    swapped     the clip's caption with the controls of another clip, and scored against these
    codec       no generation: the originals through the codec, the most that generation can reach
    no_drums    no generation: the originals without their drums. Instruments that play on the beat meet many of the
                drums' onsets, too, so music that follows the drums has to be above this row
    handwritten progressions, tunes and beats written by hand: all together, each alone, none

The output folder gets `report.md`, `report.json`, a picture per metric, and the generated clips in `audio/`. A run that was
killed goes on when the command is given again: the clips that are there are not made again. What the scores mean:
docs/guides/evaluation/metrics.md. Use the validation split for every choice, and the test split once per version of a model.
"""

import argparse
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from diffusers_jasco import JascoPipeline
from diffusers_jasco.controls import CONTROLS
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.evaluation.control_estimators import ESTIMATORS, Estimator
from diffusers_jasco.evaluation.estimators.embeddings import Embedding, clap_estimator, load_embedding
from diffusers_jasco.evaluation.evaluate import CONDITIONS, analyze_references, evaluate_pipeline
from diffusers_jasco.evaluation.handwritten import handwritten_items
from diffusers_jasco.evaluation.items import compose_items, hash_items, read_items
from diffusers_jasco.evaluation.metrics.sample_sizes import MIN_CLIPS
from diffusers_jasco.evaluation.output import open_output, write_json, write_text
from diffusers_jasco.evaluation.plotting import plot_adherence
from diffusers_jasco.evaluation.report import list_metrics, write_scores, write_summary
from diffusers_jasco.generation.batches import hash_pipeline
from diffusers_jasco.utils.arguments import CommandParser, add_device, check_writable, integer, number, seed
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.optional_imports import import_optional


HANDWRITTEN = "handwritten"
HANDWRITTEN_CONDITIONS = ("all", "none", *CONTROLS, "codec")
GUIDANCE = ("num_inference_steps", "guidance_scale", "text_guidance_scale", "guidance_rescale")
# What decides the generated clips.
DECISIVE = (
    "dataset",
    "subset",
    "split",
    "num_clips",
    "duration",
    "batch_size",
    *GUIDANCE,
    "renderer",
    "soundfonts",
    "seed",
)
PACKAGES = ("diffusers-jasco", "diffusers", "transformers", "torch", "numpy", "mir_eval", "librosa")


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--checkpoint", required=True, help="folder or Hub id of a pipeline")
    add("--output", type=Path, required=True, help="folder to write, or to go on with")
    add("--dataset", type=Path, help="folder with metadata.jsonl, such as a split of a prepared data set")
    add("--subset", choices=("plain", "full"), default="plain", help="of the synthetic music")
    add("--split", choices=("validation", "test"), default="validation", help="of the synthetic music")
    add("--num_clips", type=integer(1), default=64)
    add("--min_clips", type=integer(1), default=MIN_CLIPS, help="scores of metrics from fewer clips are not reported")
    add("--duration", type=number(above=0, unit="seconds"), default=10.0, help="seconds of a clip")
    add("--conditions", default=",".join([*CONDITIONS, HANDWRITTEN]), help="comma-separated (default: all of them)")
    add("--batch_size", type=integer(1), default=8)
    add("--num_inference_steps", type=integer(1), help="default: the checkpoint's")
    add("--guidance_scale", type=number(), help="default: the checkpoint's")
    add("--text_guidance_scale", type=number(), help="default: the checkpoint's")
    add("--guidance_rescale", type=number(0, 1), help="default: the checkpoint's")
    add("--embedding", default="spectrum", help='of the sound: "spectrum", or folder or Hub id of an audio model')
    add("--clap", help="folder or Hub id of a CLAP model: its score is measured too")
    add("--renderer", choices=("fluidsynth", "tinysoundfont"), default="fluidsynth")
    add("--soundfonts", nargs="+", help="General MIDI fonts (default: those that are installed)")
    add_device(parser)
    add("--seed", type=seed, default=0, help="of noise, swaps, floors and intervals; not of the clips")
    args = parser.parse_args(args)
    args.conditions = [name.strip() for name in args.conditions.split(",")]
    if unknown := sorted(set(args.conditions) - {*CONDITIONS, HANDWRITTEN}):
        parser.error(f"--conditions: {', '.join(unknown)}: none of {', '.join([*CONDITIONS, HANDWRITTEN])}.")
    if args.num_clips < 2:
        parser.error("--num_clips: at least 2, as other clips' music is the floor.")
    return args


def main(args: list[str] | None = None):
    args = parse_args(args)
    check_writable(args.output)
    for package in ("matplotlib", "mir_eval"):
        import_optional(package, "eval")
    embedding = load_embedding(args.embedding)

    # 1. The model, and the folder of this or of the interrupted run
    pipe = JascoPipeline.from_pretrained(args.checkpoint).to(args.device)
    pipe.set_progress_bar_config(disable=True)
    items, written = load_items(args, pipe.sampling_rate), handwritten_items(pipe.sampling_rate, args.duration)
    decisive = {key: getattr(args, key) for key in DECISIVE} | {"dataset": args.dataset and str(args.dataset)}
    # Clips of another model, of other music or with other settings are not mixed with these.
    open_output(args.output, decisive | {"model": hash_pipeline(pipe), "clips": hash_items([*items, *written])})

    # 2. Who listens
    estimators = [*ESTIMATORS]
    if args.clap is not None:
        estimators.append(clap_estimator(args.clap))

    # 3. Generate, listen and compare
    results = {}
    if conditions := [name for name in args.conditions if name != HANDWRITTEN]:
        results["references"] = evaluate(pipe, items, estimators, conditions, args, "references", embedding)
    if HANDWRITTEN in args.conditions:
        results[HANDWRITTEN] = evaluate(
            pipe, written, ESTIMATORS, HANDWRITTEN_CONDITIONS, args, HANDWRITTEN, embedding
        )

    # 4. Report
    music = str(args.dataset) if args.dataset is not None else f"synthetic music, {args.subset}, {args.split}"
    summary = f"# {args.checkpoint}: {music}, clips of {args.duration:g} s\n\n{write_summary(results)}"
    print(f"\n{summary}")
    report = {
        "settings": {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
        | {"defaults": pipe.defaults},
        "versions": {package: installed_version(package) for package in PACKAGES}
        | {"python": platform.python_version()},
        "clips": [describe(item) for item in items],
        "results": results,
    }
    write_text(args.output / "report.md", f"{summary}\n{write_scores(results)}")
    write_json(args.output / "report.json", report)
    draw(results, args.output / "pictures")


def load_items(args: argparse.Namespace, rate: int) -> list[dict[str, Any]]:
    if args.dataset is not None:
        return read_items(args.dataset, rate, args.num_clips, args.duration)
    fonts = {"renderer": args.renderer, "soundfonts": args.soundfonts}
    music = SyntheticMusic(args.split, args.num_clips, args.subset, args.duration, rate, **fonts, stems=True)
    return compose_items(music, progress=True)


def evaluate(
    pipe: JascoPipeline,
    items: list[dict[str, Any]],
    estimators: Sequence[Estimator],
    conditions: Sequence[str],
    args: argparse.Namespace,
    name: str,
    embedding: Embedding,
) -> dict[str, Any]:
    settings = {key: getattr(args, key) for key in GUIDANCE if getattr(args, key) is not None}
    references = analyze_references(items, estimators, embedding, args.seed, progress=True)
    cache = args.output / "audio" / name
    return evaluate_pipeline(pipe, references, conditions, args.batch_size, settings, cache, True, args.min_clips)


def describe(item: dict[str, Any]) -> dict[str, Any]:
    """What tells where a clip is from."""
    keys = ("index", "track", "start", "style", "key", "tempo", "caption", "renderer", "soundfont", "soundfont_sha256")
    return {key: item[key] for key in keys if key in item}


def draw(results: dict[str, dict[str, Any]], folder: Path):
    """A picture per metric."""
    folder.mkdir(exist_ok=True)
    for name, result in results.items():
        for control, metric in list_metrics(result):
            rows = {
                condition: [row for row in values["adherence"] if (row["control"], row["metric"]) == (control, metric)]
                for condition, values in result["conditions"].items()
            }
            title = f"{name}: {control}, {metric} ({result['num_clips']} clips)"
            plot_adherence(rows, title).savefig(folder / f"{name}-{control}-{metric}.png", dpi=110)


def installed_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(run_command(main, "evaluate_jasco"))
