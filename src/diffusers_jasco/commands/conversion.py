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

"""Helpers of the commands that convert checkpoints."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from ..loaders.audiocraft import find_audiocraft_checkpoint, load_audiocraft_pipeline
from ..pipelines.pipeline_jasco import JascoPipeline
from ..utils.bundled import resolve_checkpoint
from ..utils.files import variant_of


def load_as_stored(checkpoint: str | os.PathLike, variant: str | None = None, **hub: Any) -> JascoPipeline:
    r"""
    Loads a pipeline with the data types of its stored weights.

    Args:
        checkpoint (`str` or `os.PathLike`):
            Folder or Hub id, in our layout or in AudioCraft's, or a `checkpoint.th` of AudioCraft's training.
        variant (`str`, *optional*):
            Variant of the weights, such as `"fp16"`. If the checkpoint does not have it, the default weights are
            loaded.
        hub:
            Hub options, such as `revision` and `token`.

    Returns:
        [`JascoPipeline`]: the pipeline.

    Raises:
        The errors of [`JascoPipeline.from_pretrained`].
    """
    checkpoint = resolve_checkpoint(checkpoint)
    audiocraft_checkpoint = find_audiocraft_checkpoint(checkpoint, **hub)
    if audiocraft_checkpoint is not None:
        components, arguments = load_audiocraft_pipeline(audiocraft_checkpoint, hub=hub)
        if not os.path.exists(checkpoint):
            arguments["audiocraft"]["base_model"] = os.fspath(checkpoint)
        return JascoPipeline(**components, **arguments)
    folder = checkpoint if os.path.isdir(checkpoint) else JascoPipeline.download(checkpoint, variant=variant, **hub)
    dtypes = stored_dtypes(folder, variant)
    if not dtypes:
        variant, dtypes = None, stored_dtypes(folder)
    return JascoPipeline.from_pretrained(folder, variant=variant, dtype=dtypes or None)


def stored_dtypes(folder: str | os.PathLike, variant: str | None = None) -> dict[str, torch.dtype]:
    """The stored data type of each component of a pipeline folder (the most frequent one in its weights)."""
    types = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
    dtypes = {}
    for component in sorted(path for path in Path(folder).iterdir() if path.is_dir()):
        count = Counter()
        for path in component.glob("*.safetensors"):
            if variant_of(path.name) == (variant or ""):
                with safe_open(path, framework="pt") as file:
                    count.update(file.get_slice(key).get_dtype() for key in file.keys())
        known = [types[name] for name, _ in count.most_common() if name in types]
        if known:
            dtypes[component.name] = known[0]
    return dtypes


def describe_pipeline(pipeline: JascoPipeline) -> str:
    """A human-readable summary of a pipeline: sizes, options, defaults."""
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
        f" {pipeline.frame_rate:g} frames per second"
    )
    lines.append(
        f"  defaults      {type(pipeline.scheduler).__name__}, guidance {pipeline.defaults['guidance_scale']:g},"
        f" text guidance {pipeline.defaults['text_guidance_scale']:g}"
    )
    return "\n".join(lines)
