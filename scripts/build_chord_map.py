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
Merges the chords of many tracks into one file and maps their labels to ids, with AudioCraft's file names and options:

    python scripts/build_chord_map.py --chords_folder chords --output_directory data

`chords_per_track.json` contains the chords of all tracks, `chord_to_index_mapping.json` the ids of the labels; the
last label is "UNK". Without `--path_to_pre_defined_map`, the ids are those of the released models if these have all
labels; otherwise, the labels are numbered in alphabetical order. AudioCraft's files (`*.chords`) can be read, too.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from diffusers_jasco.controls.chord_labels import UNKNOWN_CHORD, default_chord_labels
from diffusers_jasco.data.preparation.chord_files import fit_vocabulary, read_chords_per_track, write_json
from diffusers_jasco.loaders.audiocraft.files import read_chord_labels
from diffusers_jasco.utils.arguments import CommandParser
from diffusers_jasco.utils.cli import run_command


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--chords_folder", type=Path, required=True, help="folder written by `extract_chords.py`")
    add("--output_directory", type=Path, help="folder to write (default: --chords_folder)")
    add("--path_to_pre_defined_map", type=Path, help="existing chord map (.json, .pkl); other labels become UNK")
    return parser.parse_args(args)


def main(args: list[str] | None = None):
    args = parse_args(args)
    tracks = read_chords_per_track(args.chords_folder)
    track_labels = {label for chords in tracks.values() for label, _ in chords}
    if args.path_to_pre_defined_map is not None:
        labels = read_chord_labels(args.path_to_pre_defined_map)
    elif not fit_vocabulary([(label, 0.0) for label in track_labels], default_chord_labels())[1]:
        labels = default_chord_labels()
    else:
        labels = [*sorted(track_labels - {UNKNOWN_CHORD}), UNKNOWN_CHORD]

    unknown = Counter()
    for name, chords in tracks.items():
        tracks[name], replaced = fit_vocabulary(chords, labels)
        unknown.update(replaced)
    output = args.output_directory or args.chords_folder
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "chords_per_track.json", tracks)
    write_json(output / "chord_to_index_mapping.json", {label: index for index, label in enumerate(labels)})
    for label, count in unknown.most_common():
        print(f"{label}: {count} × UNK")
    print(f"{output}: {len(tracks)} tracks with {len(track_labels)} different labels ({len(labels)} in the map)")


if __name__ == "__main__":
    sys.exit(run_command(main, "build_chord_map"))
