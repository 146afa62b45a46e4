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
Freezes the test clips of today's synthetic music, and a list of captions, as a test set that stays the same when the
generator changes. `v1` was made by:

    python scripts/freeze_test_set.py --output src/diffusers_jasco/evaluation/test_set_data/v1

    music.json.xz     for each clip the score, captions and annotations, and hashes of annotations and audio
    captions.jsonl    captions for music from words alone, with the attributes that they name

The captions belong to test pieces that are not among the clips. They are chosen so that styles, families of lead
instruments, tempi, energies, and drums are balanced, and never name two answers to a question. Existing files are not
overwritten: a new test set needs a new name.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.synthetic.captions import ENERGY_WORDS, style_words
from diffusers_jasco.data.synthetic.composition import SUBSETS
from diffusers_jasco.data.synthetic.instruments import LEAD_FAMILIES
from diffusers_jasco.data.synthetic.music import GENERATOR_VERSION
from diffusers_jasco.data.synthetic.styles import STYLES
from diffusers_jasco.evaluation.estimators.caption_probe import read_caption
from diffusers_jasco.evaluation.test_sets import CAPTIONS_FILE, DURATION, MUSIC_FILE, NUM_CLIPS, write_clips
from diffusers_jasco.utils.arguments import CommandParser, check_writable, integer
from diffusers_jasco.utils.cli import run_command


SPLIT = "test"
CLIP_SEED = 0
CAPTION_SEED = 1
# Numbers of answers that captions name, in turn.
NUM_NAMED = (2, 3, 4, 5)
# Pieces per caption to choose from.
CANDIDATES = 8
# Numbers of beats per minute are balanced over these intervals.
BPM_EDGES = (60, 72, 84, 96, 108, 120, 132, 144, 156)
# Intended share of captions that name an answer to the question.
SHARES = {"style": 0.8, "lead": 0.5, "tempo": 0.6, "bpm": 0.3, "energy": 0.5, "drums": 0.5}
# Clips with each possible answer, as `read_caption` takes them.
POSSIBLE = {
    "style": [{"style": style.name} for style in STYLES],
    "lead": [{"instruments": {"lead": name}} for names in LEAD_FAMILIES.values() for name in names],
    "tempo": [{"tempo": 60.0}, {"tempo": 100.0}, {"tempo": 150.0}],
    "energy": [{"energy": energy} for energy in ENERGY_WORDS],
}


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--output", type=Path, required=True, help="folder to write, with the name of the test set")
    add("--num_clips", type=integer(1), default=NUM_CLIPS, help="clips per subset")
    add("--num_captions", type=integer(1), default=512)
    add("--sampling_rate", type=integer(8000, 48000), default=24000, help="Hz, of the audio that is hashed")
    add(
        "--renderers", nargs="+", default=["fluidsynth", "tinysoundfont"], help="renderers of the audio that is hashed"
    )
    return parser.parse_args(args)


def main(args: list[str] | None = None):
    args = parse_args(args)
    check_writable(args.output)
    if existing := [name for name in (MUSIC_FILE, CAPTIONS_FILE) if (args.output / name).exists()]:
        raise FileExistsError(f"{args.output / existing[0]} exists. A test set never changes: choose another name.")
    args.output.mkdir(parents=True, exist_ok=True)

    # 1. Clips
    settings = {"split": SPLIT, "size": args.num_clips, "duration": DURATION, "sampling_rate": args.sampling_rate}
    music = {
        subset: [
            SyntheticMusic(**settings, subset=subset, renderer=renderer, stems=True, seed=CLIP_SEED)
            for renderer in args.renderers
        ]
        for subset in SUBSETS
    }
    header = {"name": args.output.name, "generator": GENERATOR_VERSION, "split": SPLIT, "seed": CLIP_SEED}
    write_clips(args.output, header, music, progress=True)

    # 2. Captions
    pieces = SyntheticMusic(
        SPLIT, CANDIDATES * args.num_captions, "full", DURATION, renderer=args.renderers[0], seed=CAPTION_SEED
    )
    candidates = list_candidates(pieces)
    lines = [json.dumps(candidates[index][1]) for index in choose(candidates, args.num_captions)]
    (args.output / CAPTIONS_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def list_candidates(music: SyntheticMusic) -> list[tuple[int, dict[str, Any]]]:
    """All captions of all pieces, with the index of the piece, and the answers that the caption names."""
    candidates = []
    for index in tqdm(range(len(music)), "captions", unit="piece"):
        annotations = music.score(index).annotations
        for caption in annotations["captions"]:
            answers = read_caption(annotations | {"caption": caption})
            number = re.search(r"(\d+) bpm", caption)
            line = {
                "caption": caption,
                "style": answers["style"],
                "lead": answers["lead"],
                "tempo": answers["tempo"],
                "bpm": int(number[1]) if number else None,
                "energy": answers["energy"],
                "drums": answers["drums"],
            }
            candidates.append((index, line))
    return candidates


def choose(candidates: list[tuple[int, dict[str, Any]]], count: int) -> list[int]:
    """Chooses candidates one by one: always the one with the answers that are most underrepresented."""
    names = [
        [
            (
                question,
                int(np.searchsorted(BPM_EDGES, line[question], "right")) if question == "bpm" else line[question],
            )
            for question in SHARES
            if line[question] is not None
        ]
        for _, line in candidates
    ]
    answers = sorted({answer for answers in names for answer in answers}, key=str)
    num_answers = {question: sum(answer[0] == question for answer in answers) for question in SHARES}
    targets = np.array([SHARES[question] * count / num_answers[question] for question, _ in answers])
    named = np.zeros((len(candidates), len(answers)))
    for row, answers_of_caption in zip(named, names):
        row[[answers.index(answer) for answer in answers_of_caption]] = 1
    pieces = np.array([piece for piece, _ in candidates])
    num_named = named.sum(1)
    available = np.ones(len(candidates), bool)
    chosen, captions = [], set()
    while len(chosen) < count:
        eligible = available & (num_named == NUM_NAMED[len(chosen) % len(NUM_NAMED)])
        need = 1 - named[chosen].sum(0) / targets
        if not eligible.any():
            raise ValueError(f"There are only {len(chosen)} different captions that name {NUM_NAMED} answers in turn.")
        best = int(np.argmax(np.where(eligible, named @ need, -np.inf)))
        available[best] = False
        line = candidates[best][1]
        if line["caption"] not in captions and is_unambiguous(line):
            chosen.append(best)
            captions.add(line["caption"])
            available &= pieces != pieces[best]
    return chosen


def is_unambiguous(line: dict[str, Any]) -> bool:
    """Whether a caption names no other answer than those of the line."""
    caption = line["caption"]
    for question, items in POSSIBLE.items():
        rest = caption
        if question == "style" and line["style"] is not None:
            # "80s pop" is not pop.
            for word in sorted(style_words(line["style"]), key=len, reverse=True):
                rest = rest.replace(word, "")
        if {read_caption({"caption": rest, **item})[question] for item in items} - {line[question], None}:
            return False
    return True


if __name__ == "__main__":
    sys.exit(run_command(main, "freeze_test_set"))
