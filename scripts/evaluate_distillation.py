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
Compares a distilled model with its teacher, each with its own defaults: adherence to the controls and captions, form,
sound, diversity and speed.

    OMP_NUM_THREADS=1 python scripts/evaluate_distillation.py --teacher jasco-nano-teacher --student jasco-nano \
        --output outputs/distillation

The music is synthetic and not in the training data. The diversity is that of several takes of the same caption. The
output folder contains `distillation.md`, `distillation.json`, and the clips of both models, which an interrupted run
uses again. docs/guides/evaluation/metrics.md explains the scores.
"""

import argparse
import sys
from pathlib import Path

from diffusers_jasco import JascoPipeline
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.synthetic.rendering import RENDERERS
from diffusers_jasco.evaluation.distillation import compare_models, compare_times, evaluate_model, to_markdown
from diffusers_jasco.evaluation.evaluate import analyze_references
from diffusers_jasco.evaluation.items import compose_items, hash_items
from diffusers_jasco.evaluation.metrics.sample_sizes import MIN_CLIPS
from diffusers_jasco.evaluation.output import open_output, write_json, write_text
from diffusers_jasco.evaluation.sampling import SAMPLING_ESTIMATORS
from diffusers_jasco.generation.batches import hash_pipeline
from diffusers_jasco.utils.arguments import CommandParser, check_writable, integer, seed
from diffusers_jasco.utils.cli import run_command, without_warnings
from diffusers_jasco.utils.optional_imports import import_optional


MODELS = ("teacher", "student")


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    for name in MODELS:
        add(f"--{name}", required=True, help=f"folder or Hub id of the {name}'s pipeline")
    add("--output", type=Path, required=True, help="output folder, new or of an interrupted run")
    add("--subset", choices=("plain", "full"), default="full", help="subset of the synthetic music")
    add("--split", choices=("validation", "test"), default="validation", help="split of the synthetic music")
    add("--num_clips", type=integer(2), default=64)
    add("--min_clips", type=integer(1), default=MIN_CLIPS, help="minimum number of clips for a score to be reported")
    add("--num_captions", type=integer(1), default=16, help="captions of which several takes are generated")
    add("--num_takes", type=integer(2), default=8, help="takes of each of them")
    add("--num_rounds", type=integer(1), default=5, help="clips whose generation is timed, of each model")
    add("--batch_size", type=integer(1), default=8)
    add("--renderer", choices=RENDERERS, default="fluidsynth")
    add("--soundfonts", nargs="+", help="General MIDI fonts (default: the installed ones)")
    add("--seed", type=seed, default=0, help="random seed of noise, floors and intervals, but not of the clips")
    return parser.parse_args(args)


# The captions have words that small text encoders do not know.
@without_warnings()
def main(args: list[str] | None = None):
    args = parse_args(args)
    check_writable(args.output)
    import_optional("mir_eval", "eval")

    pipes = {name: JascoPipeline.from_pretrained(getattr(args, name)) for name in MODELS}
    for pipe in pipes.values():
        pipe.set_progress_bar_config(disable=True)
    rate = pipes["teacher"].sampling_rate
    fonts = {"renderer": args.renderer, "soundfonts": args.soundfonts}
    music = SyntheticMusic(args.split, args.num_clips, args.subset, 10.0, rate, **fonts, stems=True)
    items = compose_items(music, progress=True)
    options = {name: value for name, value in vars(args).items() if name not in ("output", "num_rounds", *MODELS)}
    models = {name: hash_pipeline(pipe) for name, pipe in pipes.items()}
    open_output(args.output, options | models | {"clips": hash_items(items)})

    references = analyze_references(items, SAMPLING_ESTIMATORS, seed=args.seed, progress=True)
    run = {name: getattr(args, name) for name in ("num_captions", "num_takes", "batch_size", "min_clips")}
    results = {
        name: evaluate_model(pipe, references, cache=args.output / name, progress=True, **run)
        for name, pipe in pipes.items()
    }
    for name, seconds in zip(MODELS, compare_times([*pipes.values()], args.num_rounds)):
        results[name]["processor seconds per clip"] = seconds
    rows = compare_models(*(results[name] for name in MODELS))
    write_json(args.output / "distillation.json", rows)
    table = to_markdown(rows)
    music = f"synthetic music, {args.subset}, {args.split}, {args.num_clips} clips of 10 s"
    write_text(args.output / "distillation.md", f"# {args.student} and its teacher {args.teacher}: {music}\n\n{table}")
    print(table)


if __name__ == "__main__":
    sys.exit(run_command(main, "evaluate_distillation"))
