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
The adherence benchmark: writes its requests for any system, and scores the audio files that a system made.

    python scripts/benchmark_adherence.py --export outputs/benchmark
    python scripts/benchmark_adherence.py --score outputs/mine outputs/other --output outputs/scores
    python scripts/benchmark_adherence.py --check_training

The README in the exported folder explains the requests and the names of the files. `--score` prints tables and, with
`--output`, writes them to `benchmark.md` and all scores to `benchmark.json`. Missing, short and unreadable files are
reported. docs/reports/adherence_benchmark.md explains the scores and shows results.
"""

import argparse
import sys
from pathlib import Path

from diffusers_jasco.data.synthetic.rendering import TinySoundFontRenderer
from diffusers_jasco.evaluation.benchmark.export import export_requests
from diffusers_jasco.evaluation.benchmark.overlap import check_training, measure_overlap, read_annotations
from diffusers_jasco.evaluation.benchmark.rendering import METHODS, TONES, find_renderer
from diffusers_jasco.evaluation.benchmark.report import write_judges, write_overlap, write_report
from diffusers_jasco.evaluation.benchmark.scoring import (
    REFERENCE_NAMES,
    analyze_songs,
    describe_set,
    find_answers,
    reference_rows,
    request_names,
    score_folder,
)
from diffusers_jasco.evaluation.benchmark.songs import VERSIONS, load_songs
from diffusers_jasco.evaluation.metrics.sample_sizes import MIN_CLIPS
from diffusers_jasco.evaluation.output import write_json, write_text
from diffusers_jasco.utils.arguments import CommandParser, check_writable, existing, integer
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.errors import InputError
from diffusers_jasco.utils.optional_imports import import_optional


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--export", type=Path, metavar="FOLDER", help="folder to write the requests to")
    add("--score", type=existing, nargs="+", metavar="FOLDER", help="folders with audio files, one for each system")
    add(
        "--check_training",
        type=existing,
        nargs="*",
        metavar="FILE",
        help="list the judges, and count melodies and progressions of the songs in the training music of the trained ones,"
        " which is composed again, or in annotations of other music: JSON Lines such as the metadata.jsonl of a dataset",
    )
    add("--names", nargs="+", help="names of the systems (default: those of the folders)")
    add("--output", type=Path, help="folder for benchmark.md and benchmark.json")
    add("--version", choices=VERSIONS, default=VERSIONS[-1], help="version of the songs")
    add("--songs", nargs="+", help="names or numbers of songs, such as 01 02 (default: all)")
    add("--min_clips", type=integer(1), default=MIN_CLIPS, help="minimum number of songs for A")
    add(
        "--renderer",
        choices=METHODS,
        default=TinySoundFontRenderer.name,
        help=f"renders the songs for the ceilings (default: {TinySoundFontRenderer.name}; {TONES} needs no sound font)",
    )
    return parser.parse_args(args)


def main(args: list[str] | None = None):
    args = parse_args(args)
    if args.export is None and not args.score and args.check_training is None:
        raise InputError("`export`, `score` or `check_training` is needed: see --help.", "score")
    names = args.names or [folder.resolve().name for folder in args.score or ()]
    if len(names) != len(args.score or ()):
        raise InputError(f"`names`: there are {len(names)} names for {len(args.score or ())} folder(s).", "names")
    if len({*names, *REFERENCE_NAMES}) < len(names) + len(REFERENCE_NAMES):
        raise InputError(
            f"`names` have to differ from each other and from {' and '.join(map(repr, REFERENCE_NAMES))}, but are"
            f" {', '.join(map(repr, names))}: give other ones with --names.",
            "names",
        )
    for path in filter(None, (args.export, args.output)):
        check_writable(path)
    songs = load_songs(args.version, args.songs)
    if args.export is not None:
        is_complete = len(songs) == len(load_songs(args.version))
        export_requests(args.export, songs, args.version, is_complete)
        print(f"{args.export}: requests for {len(songs)} song(s); see {args.export / 'README.md'}")
    if args.check_training is not None:
        overlap = {str(file): measure_overlap(songs, read_annotations(file)) for file in args.check_training}
        overlap = overlap or check_training(songs, progress=True)
        print(f"{write_judges()}\n\n{write_overlap(overlap)}")
    if not args.score:
        return
    for package in ("mir_eval", "librosa"):
        import_optional(package, "eval")
    # Errors come before the renderings, which take a while.
    for folder in args.score:
        find_answers(folder, request_names(songs))
    find_renderer(args.renderer)
    references = analyze_songs(songs, args.renderer, args.version, progress=True)
    systems = [
        score_folder(folder, references, name, args.min_clips, progress=True)
        for folder, name in zip(args.score, names)
    ]
    baselines = reference_rows(references, args.min_clips)
    about = describe_set(references)
    report = write_report(systems, baselines, about)
    print(f"\n{report}")
    if args.output is not None:
        args.output.mkdir(parents=True, exist_ok=True)
        write_text(args.output / "benchmark.md", report)
        rows = {system.name: system.to_json() for system in (*baselines, *systems)}
        write_json(args.output / "benchmark.json", about | {"systems": rows})


if __name__ == "__main__":
    sys.exit(run_command(main, "benchmark_adherence"))
