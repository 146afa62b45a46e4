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
Renders a contact sheet of generated clips: spectrograms with the requested and the estimated controls, for the card of a
model.

    python scripts/render_contact_sheet.py --checkpoint pipelines/jasco-nano --output clips.png

The clips are drawn at random from a frozen test set (`--seed`), so that the sheet shows no selection. `--given text`
generates from the captions alone.
"""

import argparse
import io
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Subset

from diffusers_jasco import JascoPipeline
from diffusers_jasco.controls import CONTROLS
from diffusers_jasco.evaluation.evaluate import generate, make_requests
from diffusers_jasco.evaluation.items import compose_items
from diffusers_jasco.evaluation.plotting import plot_music
from diffusers_jasco.evaluation.test_sets import NUM_CLIPS, TEST_SETS, load_test_set
from diffusers_jasco.evaluation.transcription import RequestedControls, read_requested_controls, transcribe
from diffusers_jasco.generation.batches import GenerationRequest
from diffusers_jasco.utils.arguments import CommandParser, check_writable, integer, seed
from diffusers_jasco.utils.cli import run_command


GIVEN = {"all": CONTROLS, "text": ()}


def parse_args(args=None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--checkpoint", default="jasco-nano", help="folder or Hub id of a pipeline (default: jasco-nano)")
    add("--output", type=Path, required=True, help="PNG file")
    add("--given", choices=GIVEN, default="all", help="caption and all controls, or the caption only (default: all)")
    add("--test_set", choices=TEST_SETS, default=TEST_SETS[-1])
    add("--subset", choices=("plain", "full"), default="full", help="subset of the test set (default: full)")
    add("--renderer", choices=("fluidsynth", "tinysoundfont"), default="fluidsynth")
    add("--soundfonts", nargs="+", help="General MIDI fonts (default: the installed ones)")
    add("--num_clips", type=integer(1, NUM_CLIPS), default=16)
    add("--columns", type=integer(1), default=4)
    add("--width", type=integer(100), default=390, help="width of a clip in pixels")
    add("--batch_size", type=integer(1), default=8)
    add("--seed", type=seed, default=0, help="random seed of the choice of clips and of the noise")
    return parser.parse_args(args)


def main(args: list[str] | None = None):
    args = parse_args(args)
    check_writable(args.output)
    pipe = JascoPipeline.from_pretrained(args.checkpoint)
    pipe.set_progress_bar_config(disable=True)
    clips = load_test_set(args.test_set, args.subset, pipe.sampling_rate, args.renderer, args.soundfonts)
    chosen = np.sort(np.random.default_rng(args.seed).permutation(len(clips))[: args.num_clips])
    items = compose_items(Subset(clips, chosen.tolist()), progress=True)
    controls = [name for name in GIVEN[args.given] if name in pipe.transformer.controls]
    requests = make_requests(items, np.arange(len(items)), ("text", *controls), {}, args.seed)
    pictures = [
        draw_clip((audio, pipe.sampling_rate), request, pipe.frame_rate, args.width)
        for request, audio in zip(requests, generate(pipe, requests, args.batch_size, None))
    ]
    arrange(pictures, args.columns).save(args.output, optimize=True)


def draw_clip(
    audio: tuple[torch.Tensor, int], request: GenerationRequest, frame_rate: float, width: int
) -> Image.Image:
    controls = {name: request.controls.get(name) for name in CONTROLS if name != "beats"}
    requested, transcription = RequestedControls(), None
    if any(control is not None for control in controls.values()):
        duration = audio[0].shape[-1] / audio[1]
        requested = read_requested_controls(**controls, duration=duration, frame_rate=frame_rate)
        transcription = transcribe(audio)
    figure = plot_music(audio, requested, transcription, title=request.prompt or "", narrow=True)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    picture = Image.open(file).convert("RGB")
    return picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)


def arrange(pictures: list[Image.Image], columns: int) -> Image.Image:
    """Arranges pictures of the same width in rows, and reduces the colors to a palette."""
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    heights = [max(picture.height for picture in row) for row in rows]
    width = pictures[0].width
    sheet = Image.new("RGB", (width * min(columns, len(pictures)), sum(heights)), "white")
    for row, top in zip(rows, np.cumsum([0, *heights])):
        for column, picture in enumerate(row):
            sheet.paste(picture, (column * width, int(top)))
    return sheet.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


if __name__ == "__main__":
    sys.exit(run_command(main, "render_contact_sheet"))
