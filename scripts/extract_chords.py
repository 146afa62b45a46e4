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
Extracts the chords of tracks, with AudioCraft's file names and options:

    python scripts/extract_chords.py --src_jsonl_file tracks.jsonl --target_output_dir chords

`<track>.chords.json` is a list of `[label, start in seconds]`. Existing files are kept, and unreadable tracks are
reported in `errors.jsonl`. `scripts/build_chord_map.py` merges the files.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from diffusers_jasco.data.preparation.batch import process_tracks
from diffusers_jasco.data.preparation.chord_files import fit_vocabulary, write_json
from diffusers_jasco.data.sources import find_sources
from diffusers_jasco.extraction import extract_chords
from diffusers_jasco.loaders.audiocraft.files import read_chord_labels
from diffusers_jasco.utils.arguments import CommandParser, check_writable
from diffusers_jasco.utils.cli import run_command


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add(
        "--src_jsonl_file",
        required=True,
        help="list with one audio file per line (a path, or JSON with `path`), or a folder",
    )
    add("--target_output_dir", type=Path, required=True, help="folder to write")
    add("--path_to_pre_defined_map", type=Path, help="chord map (.json, .pkl); other labels become UNK")
    add("--method", choices=("auto", "chordino", "builtin"), default="auto", help="method of `extract_chords`")
    add("--snap_to_beats", action="store_true", help="move chord changes to estimated beats")
    add("--override", action="store_true", help="overwrite existing files")
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> int:
    args = parse_args(args)
    check_writable(args.target_output_dir)
    labels = args.path_to_pre_defined_map and read_chord_labels(args.path_to_pre_defined_map)
    unknown = Counter()

    def process(track: Path, file: Path):
        chords = extract_chords(track, method=args.method, snap_to_beats=args.snap_to_beats)
        if labels:
            chords, replaced = fit_vocabulary(chords, labels)
            unknown.update(replaced)
        write_json(file, chords)

    tracks = find_sources(args.src_jsonl_file)
    failed = process_tracks(tracks, args.target_output_dir, ".chords.json", process, args.override)
    for label, count in unknown.most_common():
        print(f"{label}: {count} × UNK")
    print(f"{args.target_output_dir}: {len(tracks) - failed} of {len(tracks)} tracks")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run_command(main, "extract_chords"))
