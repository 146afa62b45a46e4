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
Converts a Diffusers pipeline to AudioCraft's format:

    python scripts/convert_diffusers_to_jasco.py --checkpoint jasco --output jasco-audiocraft

    from audiocraft.models import JASCO
    JASCO.get_pretrained("jasco-audiocraft", chords_mapping_path="jasco-audiocraft/chord_to_index_mapping.pkl")

A checkpoint that was converted from AudioCraft is restored bit for bit. For your own models, AudioCraft loads the text
encoder and the codec by name: `--text_encoder t5-base --codec facebook/encodec_32khz`. The result is reloaded and
compared before the output folder appears.
"""

import argparse
import sys
from pathlib import Path

from diffusers_jasco.commands.conversion import describe_pipeline, load_as_stored
from diffusers_jasco.loaders.audiocraft import save_audiocraft_checkpoint
from diffusers_jasco.utils.arguments import CommandParser, check_writable
from diffusers_jasco.utils.cli import run_command


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True, help="folder or Hub id of a pipeline")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--text_encoder", help="name of the text encoder for AudioCraft, such as t5-base")
    parser.add_argument("--codec", help="Hub id of the codec for AudioCraft, such as facebook/encodec_32khz")
    parser.add_argument("--variant", help="variant of the weights to read, such as fp16")
    parser.add_argument("--revision", help="revision of the Hub repository")
    parser.add_argument("--token", help="Hub token for a private repository (default: that of `hf auth login`)")
    parser.add_argument("--force", action="store_true", help="replace the checkpoint in the output folder")
    return parser.parse_args(args)


def main(args: list[str] | None = None):
    args = parse_args(args)
    check_writable(args.output)
    hub = {name: getattr(args, name) for name in ("revision", "token") if getattr(args, name) is not None}
    pipe = load_as_stored(args.checkpoint, args.variant, **hub)
    save_audiocraft_checkpoint(pipe, args.output, args.text_encoder, args.codec, args.force)
    print(f"{args.output} (verified):\n{describe_pipeline(pipe)}")


if __name__ == "__main__":
    sys.exit(run_command(main, "convert_diffusers_to_jasco"))
