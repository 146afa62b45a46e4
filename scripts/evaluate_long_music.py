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
Measures music of several minutes, loops, and changes of the prompt:

    OMP_NUM_THREADS=1 python scripts/evaluate_long_music.py --checkpoint pipelines/jasco-nano --output outputs/long

The pieces have the controls of synthetic music that is not in the training data. The measures are those of
docs/guides/evaluation/long_music.md. They have five parts, and `--parts` selects some of them:

- pieces: adherence over time, drift, levels, and seams of windows
- loops: the seam of a loop, compared with that of the same piece without `loop`
- changes: the level of a loud section minus that of a calm one
- cost: processor time compared with pieces of one window
- memory: peak memory of ten minutes compared with one minute

The output folder contains the results of each part, the table `long_music.md`, the pieces, and the figures
`sections.png` (adherence over time) and `chords.png` (requested and estimated chords of the first piece). An interrupted
evaluation is resumed: finished pieces and parts in the folder are reused.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from diffusers_jasco import JascoPipeline
from diffusers_jasco.audio import load_audio
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.synthetic.rendering import RENDERERS
from diffusers_jasco.evaluation.control_estimators import builtin_chords
from diffusers_jasco.evaluation.long_music import (
    adherence_over_time,
    evaluate_changes,
    evaluate_loops,
    evaluate_pieces,
    find_pieces,
    to_markdown,
)
from diffusers_jasco.evaluation.output import open_output, write_json, write_text
from diffusers_jasco.evaluation.plotting import plot_chords_by_bar, plot_sections
from diffusers_jasco.evaluation.resource_use import measure_cost, measure_memory
from diffusers_jasco.pipelines.checks import DEFAULT_OVERLAP
from diffusers_jasco.utils.arguments import CommandParser, add_device, check_writable, integer, number, seed
from diffusers_jasco.utils.cli import run_command, without_warnings
from diffusers_jasco.utils.optional_imports import import_optional


PARTS = ("pieces", "loops", "changes", "cost", "memory")
SETTINGS = ("num_inference_steps", "guidance_scale", "text_guidance_scale", "guidance_rescale")
NUM_CLIPS = 10_000  # among which pieces are searched


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--checkpoint", required=True, help="folder or Hub id of a pipeline")
    add("--output", type=Path, required=True, help="output folder")
    add("--parts", choices=PARTS, nargs="+", default=list(PARTS))
    add("--num_pieces", type=integer(2), default=16, help="number of pieces, loops, and changes")
    add("--duration", type=number(20, 600), default=180.0, help="seconds of a piece, more than a window")
    add("--loop_duration", type=number(5, 600), default=24.0, help="longest loop in seconds")
    add("--change_duration", type=number(5, 600), default=40.0, help="seconds of a piece whose prompt changes")
    add("--memory_durations", type=number(1, 3600), nargs=2, default=[60.0, 600.0], help="seconds of both pieces")
    add("--num_rounds", type=integer(1), default=3, help="rounds of the cost")
    add("--window_overlap", type=number(0), default=DEFAULT_OVERLAP, help="least overlap of windows in seconds")
    add("--num_inference_steps", type=integer(1), help="default: the checkpoint's")
    add("--guidance_scale", type=number(), help="default: the checkpoint's")
    add("--text_guidance_scale", type=number(), help="default: the checkpoint's")
    add("--guidance_rescale", type=number(0, 1), help="default: the checkpoint's")
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
    check_writable(args.output)
    for package in ("matplotlib", "mir_eval", "sklearn"):
        import_optional(package, "eval")
    ignored = ("output", "parts", "device")
    open_output(args.output, {key: value for key, value in vars(args).items() if key not in ignored})

    pipe = JascoPipeline.from_pretrained(args.checkpoint).to(args.device)
    pipe.set_progress_bar_config(disable=True)
    settings = {key: getattr(args, key) for key in SETTINGS if getattr(args, key) is not None}
    options = {"settings": settings, "seed": args.seed, "progress": True}

    def compose(duration: float) -> SyntheticMusic:
        fonts = {"renderer": args.renderer, "soundfonts": args.soundfonts}
        rate = pipe.sampling_rate
        return SyntheticMusic(args.split, NUM_CLIPS, "both", duration, rate, **fonts, stems=True, start="downbeat")

    folders = {name: args.output / f"{name}_audio" for name in ("pieces", "loops")}
    evaluate: dict[str, Callable[[], dict]] = {
        "pieces": lambda: evaluate_pieces(
            pipe,
            compose(args.duration),
            args.num_pieces,
            folders["pieces"],
            window_overlap=args.window_overlap,
            min_clips=min(args.num_pieces, 16),
            **options,
        ),
        "loops": lambda: evaluate_loops(
            pipe, compose(args.loop_duration), args.num_pieces, folders["loops"], **options
        ),
        "changes": lambda: evaluate_changes(pipe, compose(args.change_duration), args.num_pieces, **options),
        "cost": lambda: measure_cost(pipe, args.duration, args.num_rounds, settings),
        "memory": lambda: measure_memory(args.checkpoint, args.memory_durations),
    }
    results = {}
    for part in PARTS:
        path = args.output / f"{part}.json"
        if part in args.parts and not path.is_file():
            write_json(path, evaluate[part]())
        if path.is_file():
            results[part] = json.loads(path.read_text(encoding="utf-8"))

    title = f"{args.checkpoint}: {args.num_pieces} pieces of {args.duration:g} s, {args.split}"
    table = f"# {title}\n\n{to_markdown(results)}\n"
    print(f"\n{table}")
    write_text(args.output / "long_music.md", table)
    if "pieces" in results:
        plot_sections(adherence_over_time(results["pieces"]), title).savefig(args.output / "sections.png", dpi=110)
        music = compose(args.duration)
        piece = music.score(find_pieces(music, 1)[0]).annotations
        estimated = builtin_chords(load_audio(folders["pieces"] / "00000.wav"))
        figure = plot_chords_by_bar(
            piece["chords"], estimated, piece["downbeats"], args.duration, f"{piece['style']}, {piece['tempo']:g} BPM"
        )
        figure.savefig(args.output / "chords.png", dpi=110)


if __name__ == "__main__":
    sys.exit(run_command(main, "evaluate_long_music"))
