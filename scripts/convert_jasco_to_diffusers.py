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
Converts an AudioCraft checkpoint to a Diffusers pipeline:

    python scripts/convert_jasco_to_diffusers.py --checkpoint facebook/jasco-chords-drums-400M --output jasco

The checkpoint is a folder or a Hub repository with `state_dict.bin` and `compression_state_dict.bin`, or a
`checkpoint.th` of a training run. No code in it is executed. The result is reloaded and compared before the output
folder appears.
"""

import argparse
import os
import sys
from pathlib import Path

import torch
from huggingface_hub import HfApi
from transformers import EncodecModel, T5EncoderModel

from diffusers_jasco import JascoPipeline
from diffusers_jasco.commands.conversion import describe_pipeline
from diffusers_jasco.loaders.audiocraft import find_audiocraft_checkpoint, load_audiocraft_pipeline
from diffusers_jasco.loaders.audiocraft.files import INDEX_FILE
from diffusers_jasco.loaders.audiocraft.weights import check_same_weights
from diffusers_jasco.text_encoders import load_tokenizer
from diffusers_jasco.utils.arguments import CommandParser, check_writable
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.files import checkpoint_folder


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True, help="folder, checkpoint.th or Hub id")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--text_encoder", help="folder or Hub id of the T5 (default: the one that the checkpoint names)"
    )
    parser.add_argument("--codec", help="folder or Hub id of an EncodecModel (default: the checkpoint's)")
    parser.add_argument("--chord_mapping", type=Path, help="AudioCraft's chord_to_index_mapping.pkl")
    parser.add_argument(
        "--weights", choices=("best", "ema", "last"), default="best", help="which weights of a training run to convert"
    )
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), help="default: as in the checkpoint")
    parser.add_argument("--variant", help="variant in the names of the weight files, such as fp16")
    parser.add_argument("--max_shard_size", default="10GB", help="larger files are split")
    parser.add_argument("--revision", help="revision of the Hub repository")
    parser.add_argument("--base_model", help="Hub id of the model in a local folder, such as facebook/jasco-…")
    parser.add_argument(
        "--token", help="Hub token for a gated or private repository (default: that of `hf auth login`)"
    )
    parser.add_argument("--push_to_hub", metavar="ORG/NAME", help="also publish the result in this repository")
    parser.add_argument("--private", action="store_true", help="make the published repository private")
    parser.add_argument("--license", help="license of the published model (default for Meta's weights: cc-by-nc-4.0)")
    parser.add_argument("--force", action="store_true", help="replace the checkpoint in the output folder")
    return parser.parse_args(args)


def main(args: list[str] | None = None):
    args = parse_args(args)
    check_writable(args.output)
    if args.push_to_hub is not None:
        # Fails early without login or connection.
        HfApi(token=args.token).whoami()
    with checkpoint_folder(args.output, args.force) as partial:
        pipe = convert(args, partial)
    print(f"{args.output} (verified):\n{describe_pipeline(pipe)}")
    if args.push_to_hub is not None:
        pipe.push_to_hub(
            args.push_to_hub,
            private=args.private or None,
            variant=args.variant,
            max_shard_size=args.max_shard_size,
            license=args.license,
            token=args.token,
        )
        print(f"{args.push_to_hub}: published")


def convert(args: argparse.Namespace, folder: Path) -> JascoPipeline:
    """Writes the pipeline to a folder, reloads it and compares the weights."""
    # 1. Read
    hub = {name: getattr(args, name) for name in ("revision", "token") if getattr(args, name) is not None}
    source = Path(args.checkpoint)
    if not source.is_file():
        source = source if source.is_dir() else find_audiocraft_checkpoint(args.checkpoint, **hub)
    if source is None or (source / INDEX_FILE).is_file():
        raise ValueError(f"{args.checkpoint} is already a Diffusers pipeline.")
    components = {}
    if args.text_encoder is not None:
        components["tokenizer"] = load_tokenizer(args.text_encoder, token=args.token)
        components["text_encoder"] = T5EncoderModel.from_pretrained(args.text_encoder, token=args.token)
    if args.codec is not None:
        components["codec"] = EncodecModel.from_pretrained(args.codec, token=args.token)
    loaded, arguments = load_audiocraft_pipeline(source, args.weights, args.chord_mapping, hub, **components)
    # Named in the model card; also determines the license.
    base_model = args.base_model or (None if os.path.exists(args.checkpoint) else args.checkpoint)
    arguments["audiocraft"]["base_model"] = base_model
    pipe = JascoPipeline(**loaded, **arguments)

    # 2. Convert
    if args.dtype is not None:
        pipe.to(getattr(torch, args.dtype))
    for model in (pipe.text_encoder, pipe.codec):
        # Strips local paths.
        if os.path.exists(getattr(model.config, "_name_or_path", "")):
            model.config._name_or_path = ""

    # 3. Write and check
    pipe.save_pretrained(folder, variant=args.variant, max_shard_size=args.max_shard_size)
    dtypes = {name: pipe.components[name].dtype for name in ("transformer", "text_encoder", "codec")}
    written = JascoPipeline.from_pretrained(folder, variant=args.variant, dtype=dtypes)
    for name in dtypes:
        check_same_weights(pipe.components[name].state_dict(), written.components[name].state_dict(), name)
    return pipe


if __name__ == "__main__":
    sys.exit(run_command(main, "convert_jasco_to_diffusers"))
