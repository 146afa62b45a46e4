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
Extracts the melody salience of tracks, with AudioCraft's file names and options:

    python scripts/extract_melody.py --src_dir music --out_dir melody
    python scripts/extract_melody.py --tracks_list tracks.txt --out_dir melody --n_shards 8 --shard 3

`<track>_multif0_salience.npz` contains `salience` (53, frames), `times` and `freqs`. AudioCraft's data loader needs
the lists of tracks in the same folder, `tracks_<shard>.txt`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from diffusers_jasco.data.preparation.batch import add_track_arguments, named_tracks, process_tracks
from diffusers_jasco.extraction import extract_salience
from diffusers_jasco.utils.arguments import CommandParser, check_writable, integer, number
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.files import replace_file


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add_track_arguments(parser)
    add = parser.add_argument
    add("--n_shards", type=integer(1), default=1, help="number of shards of the tracks")
    add("--shard", type=integer(0), default=0, help="index of the shard to process, starting at 0")
    add("--saliency_threshold", type=number(0, 1), default=0.5, help="lower salience is set to 0")
    add("--method", choices=("auto", "builtin", "deep_salience", "monophonic"), default="auto")
    add("--weights", type=Path, help="multif0.h5, the weights of AudioCraft's extractor")
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> int:
    args = parse_args(args)
    check_writable(args.out_dir)
    if not 0 <= args.shard < args.n_shards:
        raise ValueError(f"--shard has to be from 0 to {args.n_shards - 1}, but got {args.shard}.")
    tracks = named_tracks(args)
    tracks = tracks[args.shard :: args.n_shards]

    def process(track: Path, file: Path):
        salience, times, frequencies = extract_salience(
            track, None, args.method, args.saliency_threshold, args.weights
        )
        arrays = {"salience": salience.astype(np.float16), "times": times, "freqs": frequencies}
        with replace_file(file) as partial, open(partial, "wb") as output:
            np.savez(output, **arrays)

    suffix = "_multif0_salience.npz"
    errors = "errors.jsonl" if args.n_shards == 1 else f"errors_{args.shard}.jsonl"
    failed = process_tracks(tracks, args.out_dir, suffix, process, args.override, errors)
    with replace_file(args.out_dir / f"tracks_{args.shard}.txt") as partial:
        done = [track for track in tracks if (args.out_dir / f"{track.track}{suffix}").exists()]
        Path(partial).write_text("".join(f"{track.url}\n" for track in done), encoding="utf-8")
    print(f"{args.out_dir}: {len(tracks) - failed} of {len(tracks)} tracks")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run_command(main, "extract_melody"))
