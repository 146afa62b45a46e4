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
Extracts the drums of tracks:

    python scripts/separate_drums.py --src_dir music --out_dir drums

`<track>.drums.flac` is mono, 24-bit. Existing files are kept, and unreadable tracks are reported in `errors.jsonl`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from diffusers.utils import logging

from diffusers_jasco.audio.export import check_export, write_audio
from diffusers_jasco.data.preparation.batch import add_track_arguments, named_tracks, process_tracks
from diffusers_jasco.extraction.drums import DrumStream
from diffusers_jasco.utils.arguments import CommandParser, check_writable
from diffusers_jasco.utils.cli import run_command


logger = logging.get_logger(__name__)


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add_track_arguments(parser)
    add = parser.add_argument
    add("--method", choices=("auto", "demucs", "builtin"), default="auto", help="method of `separate_drums`")
    return parser.parse_args(args)


def write_drums(drums: DrumStream, file: Path):
    """Writes drums while they are separated, so that memory does not grow with the length of the track."""
    peak = 0.0
    with write_audio(file, drums.rate, 1, check_export(file).subtype) as output:
        for block in drums:
            peak = max(peak, float(np.abs(block).max(initial=0)))
            output.write(block.clip(-1, 1)[:, None])
    if peak > 1:
        logger.warning(f"{file}: samples reach {peak:.2f}; values beyond ±1 are clipped.")


def main(args: list[str] | None = None) -> int:
    args = parse_args(args)
    check_writable(args.out_dir)
    tracks = named_tracks(args)

    def process(track: Path, file: Path):
        write_drums(DrumStream(track, method=args.method), file)

    failed = process_tracks(tracks, args.out_dir, ".drums.flac", process, args.override)
    print(f"{args.out_dir}: {len(tracks) - failed} of {len(tracks)} tracks")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run_command(main, "separate_drums"))
