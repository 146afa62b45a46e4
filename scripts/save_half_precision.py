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
Writes a pipeline with its large components in float16: half the size, to ship or to go on training from.

    python scripts/save_half_precision.py --checkpoint runs/nano --output pipelines/jasco-nano

The codec may be another one with the same encoder, for example one whose decoder was trained further (--codec).
"""

import sys
from pathlib import Path

import torch

from diffusers_jasco import JascoPipeline
from diffusers_jasco.codecs import encode, load_codec
from diffusers_jasco.utils.arguments import CommandParser, check_writable
from diffusers_jasco.utils.cli import run_command


DEFAULTS = ("num_inference_steps", "guidance_scale", "text_guidance_scale", "guidance_rescale")


def main(args=None):
    parser = CommandParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True, help="pipeline, such as a run folder of train_jasco.py")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--codec", help="folder of another codec")
    for name in DEFAULTS:
        parser.add_argument(f"--default_{name}", type=float, help="of the pipeline that is written")
    args = parser.parse_args(args)
    check_writable(args.output)

    pipe = JascoPipeline.from_pretrained(args.checkpoint)
    if args.codec is not None:
        codec = load_codec(args.codec)
        check_same_encoder(pipe.codec, codec, pipe.sampling_rate)
        pipe.register_modules(codec=codec)
    pipe.set_defaults(**{name: getattr(args, f"default_{name}") for name in DEFAULTS})
    # A text encoder of transformers would be loaded, and run, in the type in which it was saved.
    pipe.transformer.half()
    pipe.codec.half()
    # Where it was trained is nobody's business.
    for part in (pipe, pipe.transformer, pipe.codec, pipe.scheduler, *filter(None, [pipe.guider])):
        part.register_to_config(_name_or_path="")
    pipe.text_encoder.config._name_or_path = ""
    pipe.save_pretrained(args.output)
    size = sum(file.stat().st_size for file in args.output.rglob("*") if file.is_file())
    print(f"{args.output}: {size / 1e6:.2f} MB")


def check_same_encoder(codec: torch.nn.Module, other: torch.nn.Module, sampling_rate: int):
    noise = 0.1 * torch.randn(1, 1, sampling_rate, generator=torch.Generator().manual_seed(0))
    latents, other_latents = encode(codec, noise), encode(other, noise)
    if latents.shape != other_latents.shape or (latents - other_latents).norm() > 0.02 * latents.norm():
        raise ValueError("`--codec`: its encoder is another one than the model was trained with.")


if __name__ == "__main__":
    sys.exit(run_command(main, "save_half_precision"))
