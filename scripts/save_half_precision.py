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
Saves a pipeline in float16, which halves its size for distribution or further training. By default, it is still loaded
in float32.

    python scripts/save_half_precision.py --checkpoint runs/nano --output pipelines/jasco-nano

`--codec` replaces the codec by one with the same encoder, for example with a finetuned decoder. `--teacher` adds the
model that it was distilled from in the subfolder `teacher`, which shares the other components.
"""

import json
import shutil
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
    parser.add_argument("--checkpoint", required=True, help="pipeline, such as the output folder of train_jasco.py")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--codec", help="folder of another codec")
    parser.add_argument("--teacher", help="pipeline that this one was distilled from")
    for name in DEFAULTS:
        parser.add_argument(f"--default_{name}", type=float, help=f"default `{name}` of the saved pipeline")
    args = parser.parse_args(args)
    check_writable(args.output)

    pipe = JascoPipeline.from_pretrained(args.checkpoint)
    if args.codec is not None:
        codec = load_codec(args.codec)
        check_same_encoder("--codec", pipe.codec, codec, pipe.sampling_rate)
        pipe.register_modules(codec=codec)
    pipe.set_defaults(**{name: getattr(args, f"default_{name}") for name in DEFAULTS})
    teacher = None
    if args.teacher is not None:
        teacher = JascoPipeline.from_pretrained(args.teacher)
        check_same_encoder("--teacher", pipe.codec, teacher.codec, pipe.sampling_rate)
    save(pipe, args.output)
    if teacher is not None:
        save(teacher, args.output / "teacher")
        for name in teacher.components.keys() - {"transformer", "scheduler", "guider"}:
            shutil.rmtree(args.output / "teacher" / name, ignore_errors=True)
    size = sum(file.stat().st_size for file in args.output.rglob("*") if file.is_file())
    print(f"{args.output}: {size / 1e6:.2f} MB")


def save(pipe: JascoPipeline, folder: Path):
    for component in pipe.components.values():
        if isinstance(component, torch.nn.Module):
            component.half()
    # Strips local paths.
    for component in (pipe, *pipe.components.values()):
        if hasattr(component, "register_to_config"):
            component.register_to_config(_name_or_path="")
        elif isinstance(component, torch.nn.Module):
            component.config._name_or_path = ""
    pipe.save_pretrained(folder)
    # Transformers loads models in the type that their configuration names.
    for file in folder.glob("*/config.json"):
        config = json.loads(file.read_text())
        if config.get("dtype") == "float16":
            file.write_text(json.dumps({**config, "dtype": "float32"}, indent=2, sort_keys=True) + "\n")


def check_same_encoder(option: str, codec: torch.nn.Module, other: torch.nn.Module, sampling_rate: int):
    noise = 0.1 * torch.randn(1, 1, sampling_rate, generator=torch.Generator().manual_seed(0))
    latents, other_latents = encode(codec, noise), encode(other, noise)
    if latents.shape != other_latents.shape or (latents - other_latents).norm() > 0.02 * latents.norm():
        raise ValueError(f"`{option}` has to have the encoder that the model was trained with, but has another one.")


if __name__ == "__main__":
    sys.exit(run_command(main, "save_half_precision"))
