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
Renders synthetic music and encodes it with a codec, in several processes, without writing any audio:

    python scripts/render_features.py --codec codec --output features/train --num_clips 30000 --processes 16

The output folder is a growing feature cache: parts `part-00000/`, `part-00001/`, ..., each of which appears when it is
complete. `training/train_jasco.py --dataset features/train` can use them while others are still being rendered. The
content of a part only depends on its number and the options, not on the number of processes. An interrupted run
resumes if it is started again; `--num_clips` may then be larger.
"""

import argparse
import hashlib
import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from diffusers_jasco.codecs import codec_hash, first_codebook, load_codec
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.features import write_features
from diffusers_jasco.data.growing import PARTS_FILE, part_path
from diffusers_jasco.data.remixing import add_remixes
from diffusers_jasco.data.synthetic.composition import SPLITS, SUBSETS
from diffusers_jasco.data.synthetic.music import STARTS
from diffusers_jasco.utils.arguments import CommandParser, check_writable, integer, number, seed
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.engines import LocalEngine
from diffusers_jasco.utils.files import replace_file


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--codec", type=Path, required=True, help="folder of a codec or pipeline")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--num_clips", type=integer(1), required=True, help="rounded up to whole parts")
    parser.add_argument("--clips_per_part", type=integer(1), default=128)
    parser.add_argument("--max_minutes", type=number(above=0, unit="minutes"), help="start no part after this time")
    parser.add_argument("--processes", type=integer(1), default=1)
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--subset", choices=(*SUBSETS, "both"), default="both")
    parser.add_argument("--start", choices=STARTS, default="random", help="where clips start in their pieces")
    parser.add_argument(
        "--remixes", type=number(0), default=0.0, help="mean number of remixes per clip, which are added to its part"
    )
    parser.add_argument("--duration", type=number(above=0, unit="seconds"), default=10.0, help="seconds per clip")
    parser.add_argument("--renderer", choices=("fluidsynth", "tinysoundfont"), default="fluidsynth")
    parser.add_argument("--soundfonts", nargs="+", help="General MIDI sound fonts (default: the installed ones)")
    parser.add_argument("--seed", type=seed, default=0)
    return parser.parse_args(args)


class PartWriter:
    """Renders and encodes one part. Instances are pickled for worker processes, each of which loads the codec once."""

    def __init__(self, args: argparse.Namespace, num_parts: int, sampling_rate: int):
        self.output, self.codec_folder, self.clips_per_part = args.output, args.codec, args.clips_per_part
        self.remixes = args.remixes
        self.music = SyntheticMusic(
            args.split,
            num_parts * args.clips_per_part,
            args.subset,
            args.duration,
            sampling_rate,
            args.renderer,
            args.soundfonts,
            stems=True,
            seed=args.seed,
            start=args.start,
        )
        self._codec: torch.nn.Module | None = None

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_codec": None}

    def __call__(self, index: int):
        if self._codec is None:
            self._codec = load_codec(self.codec_folder)
        first = index * self.clips_per_part
        indices = range(first, first + self.clips_per_part)
        clips = (item for clip in indices for item in add_remixes(self.music[clip], clip, self.remixes))
        # Replaces a part that another run has finished in the meantime: they are the same.
        write_features(clips, self._codec, part_path(self.output, index), overwrite=True)


def main(args: list[str] | None = None):
    args = parse_args(args)
    check_writable(args.output)
    codec = load_codec(args.codec)
    num_parts = -(-args.num_clips // args.clips_per_part)
    writer = PartWriter(args, num_parts, codec.config.sampling_rate)
    options = ("output", "codec", "num_clips", "max_minutes", "processes")
    settings = {name: value for name, value in vars(args).items() if name not in options}
    codebook = hashlib.sha256(first_codebook(codec).cpu().numpy().tobytes()).hexdigest()
    _write_settings(args.output, settings | {"codec_hash": codec_hash(codec), "codebook_sha256": codebook})

    missing = deque(index for index in range(num_parts) if not part_path(args.output, index).is_dir())
    end = None if args.max_minutes is None else time.monotonic() + 60 * args.max_minutes

    def remaining() -> Iterator[int]:
        while missing and (end is None or time.monotonic() < end):
            yield missing.popleft()

    # Processes instead of threads, because synthesizers are stateful. One thread, so that the encoding does not depend on
    # the number of processes either.
    parts = LocalEngine(args.processes, threads=1).map(writer, remaining())
    for _ in tqdm(parts, initial=num_parts - len(missing), total=num_parts, unit="part"):
        pass
    print(f"{args.output}: {num_parts - len(missing)} of {num_parts} parts with {args.clips_per_part} clips each")


def _write_settings(folder: Path, settings: dict):
    """Writes the file that marks a growing cache, or checks that it has the same settings."""
    path = folder / PARTS_FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as partial:
            partial.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        return
    # Older caches have no remixes.
    written = {"remixes": 0} | json.loads(path.read_text(encoding="utf-8"))
    if differing := sorted(name for name in settings if settings[name] != written.get(name)):
        raise ValueError(f"{folder} was started with other settings ({', '.join(differing)}): choose another folder.")


if __name__ == "__main__":
    sys.exit(run_command(main, "render_features"))
