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
Measures the form of music from words alone, and from words with a suggested lead sheet:

    OMP_NUM_THREADS=1 python scripts/evaluate_suggestions.py --checkpoint pipelines/jasco-nano --output outputs/suggestions

The prompts are captions of synthetic music of the validation split, one of each style in turn, and the clips that they
describe are the reference clips. Prints a table of A of beat strength and of harmony (0: chance, 1: the reference clips), as
docs/guides/evaluation/form.md defines them, and writes it to the output folder, with the music. If the command is
interrupted, run it again: existing music is reused.
"""

import argparse
import dataclasses
import itertools
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from diffusers_jasco import JascoPipeline
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.synthetic.rendering import RENDERERS
from diffusers_jasco.data.synthetic.styles import STYLES
from diffusers_jasco.evaluation.evaluate import generate
from diffusers_jasco.evaluation.items import compose_items, hash_items
from diffusers_jasco.evaluation.metrics.form import Form, compare_form, form_floor, measure_form
from diffusers_jasco.evaluation.metrics.sample_sizes import MIN_CLIPS
from diffusers_jasco.evaluation.output import open_output, write_json, write_text
from diffusers_jasco.generation.batches import GenerationRequest, hash_pipeline
from diffusers_jasco.utils.arguments import CommandParser, add_device, check_writable, integer, number, seed
from diffusers_jasco.utils.cli import run_command, without_warnings


SPLIT = "validation"
MEASURES = ("beat_strength", "above_p10", "harmony", "triads_in_range", "changes_on_beats")


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--checkpoint", required=True, help="folder or Hub id of a pipeline")
    add("--output", type=Path, required=True, help="output folder, new or of an interrupted run")
    add("--num_captions", type=integer(1), default=len(STYLES), help="number of captions (default: one per style)")
    add("--duration", type=number(above=4, unit="seconds"), default=10.0, help="length of a clip in seconds")
    add("--batch_size", type=integer(1), default=4)
    add("--min_clips", type=integer(1), default=MIN_CLIPS, help="minimum number of clips for a score to be reported")
    add("--renderer", choices=RENDERERS, default="fluidsynth", help="for the reference clips")
    add("--soundfonts", nargs="+", help="General MIDI fonts (default: the installed ones)")
    add_device(parser)
    add(
        "--seed", type=seed, default=0, help="random seed of noise, suggestions and intervals, but not of the captions"
    )
    return parser.parse_args(args)


# The captions have words that small text encoders do not know.
@without_warnings()
def main(args: list[str] | None = None):
    args = parse_args(args)
    check_writable(args.output)
    pipe = JascoPipeline.from_pretrained(args.checkpoint).to(args.device)
    pipe.set_progress_bar_config(disable=True)
    items = list_items(args, pipe.sampling_rate)
    settings = {name: getattr(args, name) for name in ("batch_size", "duration", "num_captions", "seed")}
    open_output(args.output, settings | {"pipeline": hash_pipeline(pipe), "clips": hash_items(items)})

    audios = [(item["audio"], item["sampling_rate"]) for item in items]
    references = [measure_form(audio) for audio in tqdm(audios, desc="references", unit="clip")]
    floors = [form_floor(audio, args.seed + index) for index, audio in enumerate(audios)]
    conditions: dict[str, list[Form]] = {}
    for name, is_suggested in (("words alone", False), ("words and suggestion", True)):
        requests = [
            GenerationRequest(
                name=f"{index:05d}",
                prompt=item["caption"],
                duration=args.duration,
                seed=1_000_000 * args.seed + index,
                suggest=is_suggested,
            )
            for index, item in enumerate(items)
        ]
        clips = generate(pipe, requests, args.batch_size, args.output / "audio" / name.replace(" ", "-"))
        clips = tqdm(clips, desc=name, unit="clip", total=len(items))
        conditions[name] = [measure_form((clip, pipe.sampling_rate)) for clip in clips]
    scores = {
        name: compare_form(forms, references, floors, args.seed, args.min_clips)
        for name, forms in (conditions | {"reference clips": references}).items()
    }
    table = write_table(scores)
    print(f"\n{table}")
    write_text(args.output / "report.md", f"# Suggestions: {args.checkpoint}, {len(items)} captions\n\n{table}\n")
    forms = {name: [dataclasses.asdict(form) for form in forms] for name, forms in conditions.items()}
    write_json(
        args.output / "report.json",
        {"captions": [item["caption"] for item in items], "scores": scores, "forms": forms},
    )


def list_items(args: argparse.Namespace, rate: int) -> list[dict[str, Any]]:
    """Clips of each style in turn."""
    options = {"renderer": args.renderer, "soundfonts": args.soundfonts, "stems": True}
    music = SyntheticMusic(SPLIT, 1_000_000, "both", args.duration, rate, **options)
    found: dict[str, list[int]] = {style.name: [] for style in STYLES}
    rounds = -(-args.num_captions // len(STYLES))
    for index in itertools.count():
        if all(len(indices) >= rounds for indices in found.values()):
            break
        found[music.score(index).annotations["style"]].append(index)
    order = [indices[turn] for turn in range(rounds) for indices in found.values()]
    clips = (music[index] for index in tqdm(order[: args.num_captions], desc="clips", unit="clip"))
    return compose_items(list(clips))


def write_table(scores: dict[str, dict[str, dict[str, float]]]) -> str:
    names = [name.replace("_", " ") for name in MEASURES]
    lines = [f"| | {' | '.join(names)} |", "| --- " * (len(names) + 1) + "|"]
    for condition, rows in scores.items():
        cells = [f"{row['value']:z.2f} ({row['low']:z.2f} … {row['high']:z.2f})" for row in map(rows.get, MEASURES)]
        lines.append(f"| {condition} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_command(main, "evaluate_suggestions"))
