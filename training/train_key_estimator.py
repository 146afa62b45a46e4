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
Fits the weights of `extract_key`: how chords, their transitions and chroma speak for major and minor keys.

    python training/train_key_estimator.py --output src/diffusers_jasco/extraction/weights/key

Logistic regression on synthetic music. Clips whose annotated chords do not follow the functional
harmony of the annotated key are left out. Well-known progressions in several keys are added, so that the key of a song
with four chords is the one that musicians name. Prints the weighted score (mir_eval) on training and validation clips
and on the progressions, and writes `weights.json`.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from diffusers_jasco.audio.stream import AudioStream
from diffusers_jasco.controls.chord_labels import NOTES
from diffusers_jasco.controls.previews import preview_chords
from diffusers_jasco.controls.progressions import PROGRESSIONS, chords_from_progression
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.synthetic.harmony import follows_key
from diffusers_jasco.data.synthetic.rendering import RENDERERS
from diffusers_jasco.evaluation.metrics.key import score_key
from diffusers_jasco.extraction.chords import RATE
from diffusers_jasco.extraction.key import MODES, key_features
from diffusers_jasco.utils.arguments import CommandParser, integer
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.files import replace_file


KEYS = [f"{note} {mode}" for mode in MODES for note in NOTES]
Features = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def parse_args(args=None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument(
        "--num_clips", type=integer(1), default=2400, help="10 s clips for training, including those left out"
    )
    parser.add_argument("--num_validation_clips", type=integer(1), default=500)
    parser.add_argument("--renderer", choices=tuple(RENDERERS), default="fluidsynth")
    parser.add_argument("--l2", type=float, default=0.03, help="regularization of the weights")
    parser.add_argument("--num_keys", type=int, choices=(1, 2, 3, 4, 6, 12), default=6, help="keys of progressions")
    return parser.parse_args(args)


def read_clips(split: str, num_clips: int, renderer: str) -> Features:
    rows = []
    for clip in tqdm(SyntheticMusic(split, num_clips, "both", sampling_rate=RATE, renderer=renderer), desc=split):
        if follows_key(clip["chords"], clip["key"]):
            features = key_features(AudioStream(clip["audio"], RATE, RATE))
            rows.append((*features, KEYS.index(clip["key"])))
    return collate(rows)


def read_progressions(num_keys: int) -> Features:
    """Well-known progressions in some keys, played once and twice."""
    rows = []
    for name, progression in PROGRESSIONS.items():
        for tonic in NOTES[:: 12 // num_keys]:
            for num_bars in (1, 2) * np.array(len(progression.numerals.split("|"))):
                chords = chords_from_progression(name, tonic, bpm=240, num_bars=int(num_bars))
                # At 240 BPM, a bar has 1 s.
                features = key_features(AudioStream(preview_chords(chords, float(num_bars), RATE), RATE, RATE))
                rows.append((*features, KEYS.index(f"{tonic} {progression.mode}")))
    return collate(rows)


def collate(rows: list) -> Features:
    """Features (clips, tonics, features), scores of the first chords (clips, modes, tonics), and indices of keys."""
    features, first, keys = zip(*rows)
    return torch.from_numpy(np.stack(features)), torch.from_numpy(np.stack(first)), torch.tensor(keys)


def score(weights: torch.Tensor, clips: Features) -> torch.Tensor:
    features, first, _ = clips
    return (torch.einsum("nkf,mf->nmk", features, weights) + first).flatten(1)


def fit(clips: Features, l2: float) -> torch.Tensor:
    weights = torch.zeros(len(MODES), clips[0].shape[-1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(score(weights, clips), clips[2], reduction="sum") + l2 * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach()


def report(name: str, weights: torch.Tensor, clips: Features):
    estimates = [KEYS[index] for index in score(weights, clips).argmax(dim=1)]
    scores = [score_key(estimate, KEYS[key])["key"] for estimate, key in zip(estimates, clips[2])]
    print(f"{name}: {np.mean(scores):.3f} ({len(scores)})")


def main(args=None):
    args = parse_args(args)
    train, known = read_clips("train", args.num_clips, args.renderer), read_progressions(args.num_keys)
    weights = fit(tuple(torch.cat(parts) for parts in zip(train, known)), args.l2)
    weights = (weights * 10).round() / 10
    report("training clips", weights, train)
    report("well-known progressions", weights, known)
    report("validation clips", weights, read_clips("validation", args.num_validation_clips, args.renderer))
    args.output.mkdir(parents=True, exist_ok=True)
    with replace_file(args.output / "weights.json") as path:
        path.write_text(to_json(weights), encoding="utf-8")


def to_json(weights: torch.Tensor) -> str:
    """Three tables for each mode, with one degree of the chords and transitions per line."""
    tables = {}
    for mode, row in zip(MODES, weights):
        chords, transitions, chroma = row.split([120, 144, 24])
        tables[mode] = {
            "chords": chords.view(12, 10).tolist(),
            "transitions": transitions.view(12, 12).tolist(),
            "chroma": chroma.view(2, 12).tolist(),
        }
    return json.dumps(tables).replace("]], ", "]],\n").replace("], [", "],\n[") + "\n"


if __name__ == "__main__":
    sys.exit(run_command(main, "train_key_estimator"))
