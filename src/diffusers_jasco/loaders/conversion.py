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

"""What the commands that convert checkpoints share."""

import os
from collections import Counter
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from safetensors import safe_open

from .audiocraft.files import INDEX_FILE, MODEL_FILE


def check_output(folder: str | os.PathLike, force: bool):
    r"""
    Makes sure that nothing gets lost.

    Raises:
        `ValueError`: if the folder has contents, unless it is a checkpoint and `force` is set.
    """
    folder = Path(folder)
    if folder.is_dir() and not any(folder.iterdir()):
        return
    is_checkpoint = any((folder / name).is_file() for name in (INDEX_FILE, MODEL_FILE))
    if folder.exists() and not is_checkpoint:
        raise ValueError(f"{folder} exists and is no checkpoint: give another folder.")
    if folder.exists() and not force:
        raise ValueError(f"{folder} exists. Give another folder, or --force to replace it.")


def check_same_weights(expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor], name: str):
    r"""
    Raises:
        `RuntimeError`: if two sets of weights differ in a name or a value, or the second is less precise. (transformers
            keeps some of T5's weights in float32, whatever the others are in.)
    """
    different = sorted(expected.keys() ^ found.keys())
    different += [
        key
        for key in expected.keys() & found.keys()
        if found[key].dtype.itemsize < expected[key].dtype.itemsize
        or not torch.equal(expected[key].to(found[key].dtype), found[key])
    ]
    if different:
        raise RuntimeError(f"What was written of the {name} is not what was read: {', '.join(different[:5])}.")


def stored_dtypes(folder: str | os.PathLike, variant: str | None = None) -> dict[str, torch.dtype]:
    """The types in which the models of a pipeline folder are stored: the most frequent one of each component."""
    types = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
    found = {}
    for component in sorted(path for path in Path(folder).iterdir() if path.is_dir()):
        count = Counter()
        for path in component.glob("*.safetensors"):
            # diffusion_pytorch_model.fp16.safetensors, or …fp16-00001-of-00002.safetensors
            if (f".{variant}" in path.name) == (variant is not None):
                with safe_open(path, framework="pt") as file:
                    count.update(file.get_slice(key).get_dtype() for key in file.keys())
        known = [types[name] for name, _ in count.most_common() if name in types]
        if known:
            found[component.name] = known[0]
    return found


def describe_pipeline(pipeline: DiffusionPipeline) -> str:
    """What a converted pipeline is made of, for people: sizes, options, defaults."""
    config = pipeline.transformer.config
    lines = []
    for name in ("transformer", "text_encoder", "codec"):
        model = pipeline.components[name]
        count = sum(parameter.numel() for parameter in model.parameters())
        dtype = str(model.dtype).removeprefix("torch.")
        lines.append(f"  {name:13} {type(model).__name__}, {count / 1e6:.2f} M parameters, {dtype}")
    switches = ("skip_connections", "pre_norm", "attention_bias", "ff_bias", "out_bias")
    lines.append(
        f"  sizes         width {config.num_attention_heads * config.attention_head_dim}, {config.num_layers} layers,"
        f" {config.num_attention_heads} heads, {config.ff_inner_dim} in the feed-forward networks"
    )
    lines.append(f"  options       {', '.join(name for name in switches if config[name]) or 'none'}")
    lines.append(f"  controls      {', '.join(pipeline.transformer.controls) or 'none'}")
    lines.append(
        f"  audio         {config.sample_size / pipeline.frame_rate:g} s at {pipeline.sampling_rate} Hz,"
        f" {pipeline.frame_rate:g} frames a second"
    )
    lines.append(
        f"  defaults      {type(pipeline.scheduler).__name__}, guidance {pipeline.config.default_guidance_scale:g},"
        f" text guidance {pipeline.config.default_text_guidance_scale:g}"
    )
    return "\n".join(lines)
