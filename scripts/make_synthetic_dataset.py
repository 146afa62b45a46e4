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
Renders synthetic music with exact annotations into a folder:

    python scripts/make_synthetic_dataset.py --output data/synthetic/train --split train --num_clips 6000

    metadata.jsonl              one line per clip: file names, chords, melody, drum onsets, beats, captions, ...
    audio/000000.flac           mixes, 16-bit
    stems/drums/000000.flac     the stems that --stems names (only for clips that have them)

`datasets.load_dataset("audiofolder", data_dir=...)` reads it, too. An interrupted run resumes if it is started again
with the same arguments.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import soundfile
import torch
from tqdm import tqdm

from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.synthetic.composition import SPLITS, STEMS, SUBSETS
from diffusers_jasco.data.synthetic.music import STARTS
from diffusers_jasco.data.synthetic.orchestration import OrchestratedMusic
from diffusers_jasco.utils.arguments import CommandParser, check_writable, integer, number, seed
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.engines import LocalEngine, map_in_order


CLIPS_PER_WORKER = 32


def parse_args(args=None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--num_clips", type=integer(1), required=True)
    parser.add_argument("--first_clip", type=integer(0), default=0, help="index of the first clip")
    parser.add_argument("--subset", choices=(*SUBSETS, "both"), default="full")
    parser.add_argument("--start", choices=STARTS, default="random", help="where clips start in their pieces")
    parser.add_argument("--duration", type=number(above=0, unit="seconds"), default=10.0, help="seconds per clip")
    parser.add_argument("--sampling_rate", type=integer(1000, 655_350), default=16000, help="Hz")
    parser.add_argument("--renderer", choices=("fluidsynth", "tinysoundfont"), default="fluidsynth")
    parser.add_argument("--soundfonts", nargs="+", help="General MIDI sound fonts (default: the installed ones)")
    parser.add_argument("--stems", nargs="*", choices=STEMS, default=["drums"], help="stems to write")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument(
        "--orchestrate", action="store_true", help="other instruments, without annotations (see `OrchestratedMusic`)"
    )
    parser.add_argument(
        "--num_workers", type=integer(0), help="processes; 0 and 1: only this one (default: automatic)"
    )
    return parser.parse_args(args)


def choose_num_workers(num_clips: int, num_cpus: int) -> int:
    """Avoids workers for few clips: starting a process takes as long as rendering dozens of clips."""
    num_workers = min(num_cpus, num_clips // CLIPS_PER_WORKER)
    return num_workers if num_workers > 1 else 0


class Writer:
    """Writes a clip and returns its line of metadata. Instances are pickled for worker processes."""

    def __init__(self, music: SyntheticMusic, output: Path, stems: list[str]):
        self.music, self.output, self.stems = music, output, stems

    def __call__(self, index: int) -> str:
        item = self.music[index]
        audio, stems = item.pop("audio"), item.pop("stems", {})
        line = {"file_name": self._write(f"audio/{index:06d}.flac", audio)}
        line["stems"] = {
            name: self._write(f"stems/{name}/{index:06d}.flac", stems[name]) for name in self.stems if name in stems
        }
        return json.dumps({**line, **item})

    def _write(self, name: str, audio: torch.Tensor) -> str:
        soundfile.write(self.output / name, audio[0].numpy(), self.music.sampling_rate, subtype="PCM_16")
        return name


def main(args=None):
    args = parse_args(args)
    check_writable(args.output)
    if args.orchestrate and args.stems:
        raise ValueError("--orchestrate writes no stems: add --stems without names.")
    music = (OrchestratedMusic if args.orchestrate else SyntheticMusic)(
        args.split,
        args.first_clip + args.num_clips,
        args.subset,
        args.duration,
        args.sampling_rate,
        args.renderer,
        args.soundfonts,
        stems=bool(args.stems),
        seed=args.seed,
        start=args.start,
    )
    settings = {key: str(value) for key, value in vars(args).items() if key not in ("output", "num_workers")}
    for folder in ("audio", *(f"stems/{name}" for name in args.stems)):
        (args.output / folder).mkdir(parents=True, exist_ok=True)
    _check_settings(args.output / "settings.json", settings)

    # Lines are in clip order, so their number is the resume position.
    unfinished, finished = args.output / "metadata.jsonl.part", args.output / "metadata.jsonl"
    if finished.exists():
        print(f"{finished} is complete.")
        return
    lines = unfinished.read_text().splitlines(keepends=True) if unfinished.exists() else []
    lines = [line for line in lines if line.endswith("\n")]
    unfinished.write_text("".join(lines))
    indices = range(args.first_clip + len(lines), args.first_clip + args.num_clips)

    write = Writer(music, args.output, args.stems)
    num_workers = args.num_workers
    if num_workers is None:
        num_workers = choose_num_workers(len(indices), os.cpu_count() or 1)
    # Processes instead of threads, because synthesizers are stateful.
    lines = map_in_order(LocalEngine(num_workers), write, indices)
    with open(unfinished, "a") as file:
        for line in tqdm(lines, total=len(indices), unit="clip"):
            file.write(line + "\n")
            file.flush()
    os.replace(unfinished, finished)


def _check_settings(path: Path, settings: dict[str, str]):
    if path.exists() and (written := json.loads(path.read_text())) != settings:
        differing = sorted(key for key in settings if settings[key] != written.get(key))
        raise ValueError(
            f"{path.parent} was started with other settings ({', '.join(differing)}): choose another folder."
        )
    path.write_text(json.dumps(settings, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(run_command(main, "make_synthetic_dataset"))
