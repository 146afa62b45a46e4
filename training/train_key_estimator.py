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
Fits the weights of `extract_key`: log-odds of chords in major and minor keys, by logistic regression.

    python scripts/make_synthetic_dataset.py --output data/keys/train --subset both --num_clips 2400
    python scripts/make_synthetic_dataset.py --output data/keys/validation --subset both --split validation --num_clips 500
    python training/train_key_estimator.py --dataset data/keys --output src/diffusers_jasco/extraction/weights/key

The chords are estimated. Clips whose annotated chords do not follow the harmony of the annotated key are left out.
Well-known progressions are added several times, so that the key of a song with four chords is the one that musicians
would name. Prints the weighted score (mir_eval) on the validation clips, and writes `weights.json`.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from diffusers_jasco.controls.chord_labels import NOTES
from diffusers_jasco.controls.progressions import PROGRESSIONS, chords_from_progression
from diffusers_jasco.data.synthetic.composition import follows_key
from diffusers_jasco.evaluation.metrics.key import score_key
from diffusers_jasco.extraction import extract_chords
from diffusers_jasco.extraction.key import MODES, chord_features
from diffusers_jasco.utils.arguments import CommandParser
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.files import replace_file


KEYS = [f"{note} {mode}" for mode in MODES for note in NOTES]
Features = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def parse_args(args=None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="folder with `train` and `validation`")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--l2", type=float, default=0.01, help="regularization of the weights")
    parser.add_argument("--repetitions", type=int, default=3, help="of each well-known progression")
    return parser.parse_args(args)


def read_clips(folder: Path) -> Features:
    rows = []
    for line in tqdm((folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines(), desc=str(folder)):
        clip = json.loads(line)
        if follows_key(clip["chords"], clip["key"]):
            chords = extract_chords(folder / clip["file_name"], method="builtin")
            rows.append((*chord_features(chords, clip["duration"]), KEYS.index(clip["key"])))
    return collate(rows)


def read_progressions(repetitions: int) -> Features:
    rows = []
    for name, progression in PROGRESSIONS.items():
        # A bar has 2 s.
        chords = chords_from_progression(name, "C", bpm=120)
        duration = 2.0 * len(progression.numerals.split("|"))
        rows.append((*chord_features(chords, duration), KEYS.index(f"C {progression.mode}")))
    return collate(rows * repetitions)


def collate(rows: list) -> Features:
    """Degrees (clips, tonics, degrees, types), first chords (clips, modes, tonics), and indices of the keys."""
    degrees, first, keys = zip(*rows)
    return torch.from_numpy(np.stack(degrees)), torch.from_numpy(np.stack(first)), torch.tensor(keys)


def score(weights: torch.Tensor, features: Features) -> torch.Tensor:
    degrees, first, _ = features
    return (torch.einsum("nkdt,mdt->nmk", degrees, weights) + first).flatten(1)


def fit(features: Features, l2: float) -> torch.Tensor:
    weights = torch.zeros(len(MODES), *features[0].shape[2:], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(score(weights, features), features[2], reduction="sum") + l2 * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach()


def report(name: str, weights: torch.Tensor, features: Features):
    estimates = [KEYS[index] for index in score(weights, features).argmax(dim=1)]
    scores = [score_key(estimate, KEYS[key])["key"] for estimate, key in zip(estimates, features[2])]
    print(f"{name}: {np.mean(scores):.3f} ({len(scores)})")


def main(args=None):
    args = parse_args(args)
    train, known = read_clips(args.dataset / "train"), read_progressions(args.repetitions)
    weights = fit(tuple(torch.cat(parts) for parts in zip(train, known)), args.l2)
    weights = (weights * 10).round() / 10
    report("training clips", weights, train)
    report("well-known progressions", weights, read_progressions(1))
    report("validation clips", weights, read_clips(args.dataset / "validation"))
    args.output.mkdir(parents=True, exist_ok=True)
    rows = [
        f'"{mode}": {json.dumps(table.tolist())}'.replace("], [", "],\n  [") for mode, table in zip(MODES, weights)
    ]
    with replace_file(args.output / "weights.json") as path:
        path.write_text("{" + ",\n".join(rows) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main, "train_key_estimator"))
