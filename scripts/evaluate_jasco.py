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
Evaluates a checkpoint's adherence to its controls: generates music for unseen clips under several sets of conditions
and estimates the controls from the waveforms.

    python scripts/evaluate_jasco.py --checkpoint pipelines/jasco-nano --subset plain --split validation \
        --num_clips 64 --output results

By default the clips are synthetic music; `--test_set` selects a frozen test set, on which results of different
versions are comparable, and `--dataset` a prepared dataset. Conditions:

    all         caption, chords, drums, melody and beats of the clip
    none        nothing
    text        the caption only
    chords      the caption and this control only; likewise `drums`, `melody` and `beats`
    quiet_drums the caption and the drums, 40 dB quieter
    swapped     the clip's caption with the controls of another clip, against which the music is scored
    codec       no generation: the reference clips through the codec, an upper bound for generated music
    no_drums    no generation: the reference clips without their drums. Other instruments that play on the beat
                coincide with many drum onsets, so only music above this baseline follows the drums
    captions    the captions of a frozen list, without any control: form, tempo, and agreement with the caption
    handwritten handwritten chord progressions, melodies and beats: all together, each alone, none

The output folder contains `report.md`, `report.json`, a figure per metric in `pictures/`, and the generated clips in
`audio/`. To resume an interrupted run, run the same command again: existing clips are reused. With `--num_proc n`, n
processes generate, and with `--engine ray` those of a Ray cluster.
docs/guides/evaluation/metrics.md explains the scores. Use the validation split for every choice, and the test set
once per version of a model.
"""

import argparse
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from diffusers.utils import logging
from torch.utils.data import Subset

from diffusers_jasco import JascoPipeline
from diffusers_jasco.controls import CONTROLS
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.synthetic.music import GENERATOR_VERSION
from diffusers_jasco.evaluation.control_estimators import ESTIMATORS
from diffusers_jasco.evaluation.estimators.embeddings import clap_estimator, load_embedding
from diffusers_jasco.evaluation.evaluate import CONDITIONS, analyze_references, evaluate_pipeline
from diffusers_jasco.evaluation.handwritten import handwritten_items
from diffusers_jasco.evaluation.items import compose_items, hash_items, read_items
from diffusers_jasco.evaluation.metrics.sample_sizes import MIN_CLIPS
from diffusers_jasco.evaluation.output import open_output, write_json, write_text
from diffusers_jasco.evaluation.plotting import plot_adherence
from diffusers_jasco.evaluation.report import list_metrics, write_scores, write_summary
from diffusers_jasco.evaluation.test_sets import (
    DURATION,
    NUM_CLIPS,
    TEST_SETS,
    load_captions,
    load_test_set,
    verify_clips,
)
from diffusers_jasco.evaluation.words_alone import evaluate_words
from diffusers_jasco.generation.batches import create_workers, hash_pipeline
from diffusers_jasco.utils.arguments import CommandParser, check_writable, integer, number, seed
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.engines import ENGINE_FLAGS, add_engine_arguments, check_engine_arguments, create_engine
from diffusers_jasco.utils.optional_imports import import_optional


logger = logging.get_logger(__name__)

HANDWRITTEN, CAPTIONS = "handwritten", "captions"
HANDWRITTEN_CONDITIONS = ("all", "none", *CONTROLS, "codec")
ALL_CONDITIONS = (*CONDITIONS, CAPTIONS, HANDWRITTEN)
GUIDANCE = ("num_inference_steps", "guidance_scale", "text_guidance_scale", "guidance_rescale")
# Options that affect the results.
FINGERPRINT_OPTIONS = (
    "dataset",
    "test_set",
    "subset",
    "split",
    "num_clips",
    "duration",
    "batch_size",
    *GUIDANCE,
    "renderer",
    "soundfonts",
    "num_captions",
    "seed",
)
PACKAGES = ("diffusers-jasco", "diffusers", "transformers", "torch", "numpy", "mir_eval", "librosa")


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--checkpoint", required=True, help="folder or Hub id of a pipeline")
    add("--output", type=Path, required=True, help="output folder, new or of an interrupted run")
    music = parser.add_mutually_exclusive_group()
    music.add_argument(
        "--dataset", type=Path, help="folder with metadata.jsonl, such as a split of a prepared dataset"
    )
    music.add_argument("--test_set", choices=TEST_SETS, help="frozen test set of synthetic music")
    add("--subset", choices=("plain", "full"), default="plain", help="subset of the synthetic music")
    add("--split", choices=("validation", "test"), help="split of today's synthetic music (default: validation)")
    add("--num_clips", type=integer(1), help="default: 64, or all clips of the test set")
    add("--min_clips", type=integer(1), default=MIN_CLIPS, help="minimum number of clips for a score to be reported")
    add("--duration", type=number(above=0, unit="seconds"), default=10.0, help="length of a clip in seconds")
    add("--conditions", help=f"comma-separated (default: all; `{CAPTIONS}` only with --test_set)")
    add("--num_captions", type=integer(1), default=512, help="number of frozen captions of the condition `captions`")
    add("--batch_size", type=integer(1), default=8)
    add("--num_inference_steps", type=integer(1), help="default: the checkpoint's")
    add("--guidance_scale", type=number(), help="default: the checkpoint's")
    add("--text_guidance_scale", type=number(), help="default: the checkpoint's")
    add("--guidance_rescale", type=number(0, 1), help="default: the checkpoint's")
    add("--embedding", default="spectrum", help='"spectrum", or folder or Hub id of an audio model')
    add("--clap", help="folder or Hub id of a CLAP model, to measure the CLAP score as well")
    add("--renderer", choices=("fluidsynth", "tinysoundfont"), default="fluidsynth")
    add("--soundfonts", nargs="+", help="General MIDI fonts (default: the installed ones)")
    add_engine_arguments(parser)
    add("--seed", type=seed, default=0, help="random seed of noise, swaps, floors and intervals, but not of the clips")
    args = parser.parse_args(args)
    check_engine_arguments(parser, args)
    defaults = [name for name in ALL_CONDITIONS if name != CAPTIONS or args.test_set is not None]
    args.conditions = defaults if args.conditions is None else [name.strip() for name in args.conditions.split(",")]
    if unknown := sorted(set(args.conditions) - set(ALL_CONDITIONS)):
        parser.error(f"--conditions has to consist of {', '.join(ALL_CONDITIONS)}, but got {', '.join(unknown)}.")
    if args.test_set is not None and args.duration != DURATION:
        parser.error(f"--duration has to be {DURATION:g} with --test_set, but got {args.duration:g}.")
    if args.test_set is not None and args.split is not None:
        parser.error("--split has no effect on a --test_set: give one of them.")
    args.split = args.split or ("validation" if args.test_set is None else None)
    if args.num_clips is None:
        args.num_clips = 64 if args.test_set is None else NUM_CLIPS
    if args.test_set is not None and args.num_clips > NUM_CLIPS:
        parser.error(f"--num_clips has to be at most {NUM_CLIPS} with --test_set, but got {args.num_clips}.")
    if args.num_clips < 2:
        parser.error("--num_clips has to be at least 2, as the floor comes from the music of other clips.")
    return args


def main(args: list[str] | None = None):
    args = parse_args(args)
    check_writable(args.output)
    for package in ("matplotlib", "mir_eval"):
        import_optional(package, "eval")
    engine = create_engine(args)
    embedding = load_embedding(args.embedding)

    # 1. Load the pipeline and the clips, and open the output folder
    pipe = JascoPipeline.from_pretrained(args.checkpoint)
    workers = create_workers(engine, args.checkpoint, args.device, pipe)
    pipe.set_progress_bar_config(disable=True)
    items, handwritten = load_items(args, pipe.sampling_rate), handwritten_items(pipe.sampling_rate, args.duration)
    fingerprint = {key: getattr(args, key) for key in FINGERPRINT_OPTIONS} | {
        "dataset": args.dataset and str(args.dataset)
    }
    # Results of another model, other clips or other settings are never mixed.
    open_output(args.output, fingerprint | {"model": hash_pipeline(pipe), "clips": hash_items([*items, *handwritten])})

    # 2. Select the estimators
    estimators = [*ESTIMATORS]
    if args.clap is not None:
        estimators.append(clap_estimator(args.clap))

    # 3. Generate and evaluate
    results = {}
    run = {
        "batch_size": args.batch_size,
        "settings": {key: getattr(args, key) for key in GUIDANCE if getattr(args, key) is not None},
        "progress": True,
        "min_clips": args.min_clips,
        "workers": workers,
    }
    audio = args.output / "audio"
    if conditions := [name for name in args.conditions if name != HANDWRITTEN]:
        references = analyze_references(items, estimators, embedding, args.seed, progress=True)
        if own := [name for name in conditions if name != CAPTIONS]:
            results["references"] = evaluate_pipeline(pipe, references, own, cache=audio / "references", **run)
        if CAPTIONS in conditions:
            captions = load_captions(args.test_set or TEST_SETS[-1])[: args.num_captions]
            results[CAPTIONS] = evaluate_words(pipe, captions, references, cache=audio / CAPTIONS, **run)
    if HANDWRITTEN in args.conditions:
        references = analyze_references(handwritten, ESTIMATORS, embedding, args.seed, progress=True)
        results[HANDWRITTEN] = evaluate_pipeline(
            pipe, references, HANDWRITTEN_CONDITIONS, cache=audio / HANDWRITTEN, **run
        )

    # 4. Write the reports
    music = f"synthetic music (generator {GENERATOR_VERSION}), {args.subset}, {args.split}"
    if args.test_set is not None:
        music = f"test set {args.test_set}, {args.subset}"
    elif args.dataset is not None:
        music = str(args.dataset)
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
    save_figures(results, args.output / "pictures")


def load_items(args: argparse.Namespace, rate: int) -> list[dict[str, Any]]:
    if args.dataset is not None:
        return read_items(args.dataset, rate, args.num_clips, args.duration)
    fonts = {"renderer": args.renderer, "soundfonts": args.soundfonts}
    if args.test_set is not None:
        clips = load_test_set(args.test_set, args.subset, rate, **fonts)
        items = compose_items(Subset(clips, range(min(args.num_clips, len(clips)))), progress=True)
        for difference in verify_clips(args.test_set, args.subset, items):
            logger.warning(difference)
        return items
    music = SyntheticMusic(args.split, args.num_clips, args.subset, args.duration, rate, **fonts, stems=True)
    return compose_items(music, progress=True)


def describe(item: dict[str, Any]) -> dict[str, Any]:
    """The keys that identify the source of a clip."""
    keys = ("index", "track", "start", "style", "key", "tempo", "caption", "renderer", "soundfont", "soundfont_sha256")
    return {key: item[key] for key in keys if key in item}


def save_figures(results: dict[str, dict[str, Any]], folder: Path):
    """Saves a figure per metric."""
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
    sys.exit(run_command(main, "evaluate_jasco", ENGINE_FLAGS))
