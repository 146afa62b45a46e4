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


"""
Prints statistics of synthetic music:

    python scripts/describe_synthetic_music.py

`--num_rendered` also renders clips, and prints their loudness. jasco-nano's `music_loudness` is the median of
the subset `full` of the validation split:

    python scripts/describe_synthetic_music.py --split validation --num_rendered 48 --renderer tinysoundfont
"""

import argparse
import sys
from collections import Counter

import numpy as np

from diffusers_jasco.audio.loudness import measure_loudness
from diffusers_jasco.controls.chord_labels import parse_chord
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.synthetic.composition import FORMS, SPLITS, SUBSETS
from diffusers_jasco.data.synthetic.music import STARTS
from diffusers_jasco.data.synthetic.rendering import RENDERERS
from diffusers_jasco.data.synthetic.scores import Score
from diffusers_jasco.utils.arguments import CommandParser, integer, number
from diffusers_jasco.utils.cli import run_command


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--num_clips", type=integer(1), default=1000, help="clips per subset")
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--start", choices=STARTS, default="mixed")
    parser.add_argument(
        "--duration", type=number(above=0, unit="seconds"), default=10.0, help="length of a clip in seconds"
    )
    parser.add_argument(
        "--num_rendered", type=integer(0), default=0, help="clips per subset of which the loudness is measured"
    )
    parser.add_argument("--renderer", choices=RENDERERS, default="fluidsynth")
    return parser.parse_args(args)


def main(args: list[str] | None = None):
    args = parse_args(args)
    columns = {}
    for subset in SUBSETS:
        music = SyntheticMusic(args.split, args.num_clips, subset, args.duration, renderer=None, start=args.start)
        columns[subset] = describe([music.score(index) for index in range(len(music))])
        if args.num_rendered:
            music = SyntheticMusic(
                args.split, args.num_rendered, subset, args.duration, renderer=args.renderer, start=args.start
            )
            columns[subset] |= describe_loudness(music)
    print(f"| | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
    for name in columns[SUBSETS[0]]:
        print(f"| {name} | {' | '.join(column[name] for column in columns.values())} |")


def describe(scores: list[Score]) -> dict[str, str]:
    """Statistic → value."""
    clips = [score.annotations for score in scores]
    forms = Counter(clip["form"] for clip in clips)
    stems = Counter(stem for score in scores for stem in score.notes)
    notes = [sum(map(len, score.notes.values())) / (score.preroll + score.duration) for score in scores]
    shares = {form: forms[form] / len(clips) for form in FORMS}
    shares |= {f"with {stem}": stems[stem] / len(clips) for stem in ("drums", "pad", "lead")}
    shares["that start on a downbeat"] = np.mean([clip["downbeats"][:1] == [0.0] for clip in clips])
    rows = {f"clips: {name}": f"{share:.0%}" for name, share in shares.items()}
    return rows | {
        "time with inverted chords": f"{np.mean([share_of_inversions(score) for score in scores]):.0%}",
        "chords per clip": f"{np.mean([len(clip['chords']) for clip in clips]):.1f}",
        "notes per second": f"{np.mean(notes):.1f}",
        "tempo, 5% … 95% of the clips": " … ".join(
            f"{np.quantile([c['tempo'] for c in clips], q):.0f}" for q in (0.05, 0.95)
        ),
    }


def describe_loudness(music: SyntheticMusic) -> dict[str, str]:
    """Statistic → value."""
    clips = (music[index] for index in range(len(music)))
    loudness = [measure_loudness(clip["audio"], clip["sampling_rate"]) for clip in clips]
    low, median, high = np.nanquantile(loudness, (0.1, 0.5, 0.9))
    return {"loudness in LUFS, median (10% … 90% of the clips)": f"{median:.1f} ({low:.1f} … {high:.1f})"}


def share_of_inversions(score: Score) -> float:
    chords = score.annotations["chords"]
    lengths = np.diff([start for _, start in chords] + [score.duration])
    parsed = [parse_chord(label) for label, _ in chords]
    return float(np.average([chord is not None and chord.bass != 0 for chord in parsed], weights=lengths))


if __name__ == "__main__":
    sys.exit(run_command(main, "describe_synthetic_music"))
