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
Measures the generation speed of synthetic music on one core, including FLAC encoding:

    OMP_NUM_THREADS=1 python scripts/benchmark_synthetic_music.py

The speed is in seconds of music per CPU second, which depends less on the machine's load than wall-clock time does.
"""

import io
import sys
import time

import soundfile

from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.synthetic.rendering import RENDERERS
from diffusers_jasco.utils.arguments import CommandParser, integer, number
from diffusers_jasco.utils.cli import run_command


def main():
    parser = CommandParser(description=__doc__)
    parser.add_argument("--num_clips", type=integer(1), default=60)
    parser.add_argument(
        "--duration", type=number(above=0, unit="seconds"), default=10.0, help="length of a clip in seconds"
    )
    parser.add_argument("--sampling_rates", type=int, nargs="+", default=[16000, 32000], help="Hz")
    args = parser.parse_args()

    print("| renderer | Hz | subset | × real time | composing and rendering, share of time |\n|---|---|---|---|---|")
    for renderer in RENDERERS:
        for rate in args.sampling_rates:
            for subset in ("plain", "full"):
                try:
                    music = SyntheticMusic(
                        "train", args.num_clips + 8, subset, args.duration, rate, renderer, stems=True
                    )
                except (ImportError, FileNotFoundError) as error:
                    print(f"| {renderer} | – | – | {error} | |")
                    break
                # Warm-up, as fonts are read once per process.
                for index in range(args.num_clips, args.num_clips + 8):
                    music[index]
                generated = written = 0.0
                for index in range(args.num_clips):
                    started = time.process_time()
                    item = music[index]
                    generated += time.process_time() - started
                    for audio in (item["audio"], item["stems"].get("drums")):
                        if audio is not None:
                            soundfile.write(io.BytesIO(), audio[0].numpy(), rate, format="FLAC", subtype="PCM_16")
                    written += time.process_time() - started
                seconds = args.num_clips * args.duration
                print(f"| {renderer} | {rate} | {subset} | {seconds / written:.0f} | {generated / written:.0%} |")


if __name__ == "__main__":
    sys.exit(run_command(main, "benchmark_synthetic_music"))
