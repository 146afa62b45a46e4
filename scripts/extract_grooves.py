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
Extracts the drum grooves of tracks:

    python scripts/extract_grooves.py --src_dir music --out_dir grooves

`<track>.groove.json` contains the arguments of `Groove`: `tracks`, `bpm`, `swing` and `steps_per_beat`.
`jasco-generate --groove <track>.groove.json` and `read_groove` read it. Existing files are kept, and unreadable tracks
and tracks without drums are reported in `errors.jsonl`.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from diffusers_jasco.controls.beats import FASTEST, SLOWEST
from diffusers_jasco.data.preparation.batch import add_track_arguments, named_tracks, process_tracks
from diffusers_jasco.data.preparation.chord_files import write_json
from diffusers_jasco.extraction import extract_groove
from diffusers_jasco.utils.arguments import CommandParser, check_writable, integer, number
from diffusers_jasco.utils.cli import run_command


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add_track_arguments(parser)
    add = parser.add_argument
    add("--bars", type=integer(1, 16), help="length of the patterns in bars (default: 1 or 2)")
    add("--bpm", type=number(SLOWEST, FASTEST, unit="beats per minute"), help="tempo of all tracks, if it is known")
    add("--beats_per_bar", type=integer(1, 16), help="beats per bar of all tracks, if they are known")
    add("--velocities", action="store_true", help="write velocities from 0 to 1 instead of 'x', 'o' and '.'")
    add("--drums_only", action="store_true", help="the tracks contain drums only, so they are not separated first")
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> int:
    args = parse_args(args)
    check_writable(args.out_dir)
    tracks = named_tracks(args)

    def process(track: Path, file: Path):
        groove = extract_groove(
            track,
            bars=args.bars,
            bpm=args.bpm,
            beats_per_bar=args.beats_per_bar,
            separate_drums=not args.drums_only,
            velocities=args.velocities,
        )
        write_json(file, asdict(groove))

    failed = process_tracks(tracks, args.out_dir, ".groove.json", process, args.override)
    print(f"{args.out_dir}: {len(tracks) - failed} of {len(tracks)} tracks")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run_command(main, "extract_grooves"))
