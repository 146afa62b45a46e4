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
Estimates the memory and the hours of `training/train_jasco_distill.py` on a GPU from the shapes of a model, without running
it:

    python scripts/estimate_distillation.py --config training/configs/chords-drums-melody-400M.yaml --batch_size 8

The memory is that of weights, gradients, optimizer, EMA and of the activations that autograd saves in bfloat16, which are
counted on the CPU for models of 2 and 4 layers and extrapolated. Fragmentation and temporary buffers come on top. The
time is that of the matrix products at `--rate`, an assumption.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from benchmark_inference import matrix_products
from transformers import T5Config, T5EncoderModel

from diffusers_jasco import JascoTransformerModel
from diffusers_jasco.utils.arguments import CommandParser, integer, number
from diffusers_jasco.utils.cli import run_command


CONFIG = Path(__file__).parents[1] / "training" / "configs" / "chords-drums-melody-400M.yaml"
T5_BASE = {"d_ff": 3072, "d_kv": 64, "d_model": 768, "num_heads": 12, "num_layers": 12, "vocab_size": 32128}
# Bytes per weight in float32: the student with its gradient, two moments of AdamW and EMA, and its copy in bfloat16, which
# autograd keeps for the backward pass.
STUDENT_BYTES = {"weights": 4, "gradients": 4, "AdamW": 8, "EMA": 4, "bfloat16 copies": 2}


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--config", type=Path, default=CONFIG, help="YAML file with the options of a transformer")
    add("--batch_size", type=integer(1), default=8, help="clips per step and GPU (default: 8)")
    add("--num_steps", type=integer(1), default=4, help="steps of the student (default: 4)")
    add("--substeps", type=integer(1), default=2, help="midpoint steps of the teacher per step (default: 2)")
    add("--branches", type=integer(1), default=3, help="branches of the teacher's guidance (default: 3)")
    add("--tokens", type=integer(1), default=24, help="tokens of a caption (default: 24)")
    add("--clips", type=integer(1), default=100_000, help="clips of the whole training (default: 100,000)")
    add("--rate", type=number(above=0), default=400.0, help="achieved TFLOP/s (default: 400, 40%% of an H100's 989)")
    return parser.parse_args(args)


def make_model(config: dict[str, Any], device: str, **options: Any) -> JascoTransformerModel:
    with torch.device(device):
        return JascoTransformerModel(**config | options)


def count_saved_bytes(config: dict[str, Any], layers: int, batch: int, tokens: int) -> int:
    """Bytes of the tensors that autograd saves in a forward pass in bfloat16."""
    model = make_model(config, "cpu", num_layers=layers)
    frames, sizes = model.config.sample_size, {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes(), tensor  # kept, so that addresses are not reused
        return tensor

    inputs = {"hidden_states": torch.randn(batch, frames, model.config.in_channels), "timestep": torch.rand(batch)}
    inputs["encoder_hidden_states"] = torch.randn(batch, tokens, model.config.text_dim)
    with torch.autocast("cpu", torch.bfloat16), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(**inputs)
    return sum(size for size, _ in sizes.values())


def activations_per_clip(config: dict[str, Any], tokens: int) -> tuple[float, float]:
    """Bytes of activations of one clip, and those of a single block, extrapolated from small models."""
    # The difference of two batch sizes has no weights.
    small, large = (
        count_saved_bytes(config, layers, 2, tokens) - count_saved_bytes(config, layers, 1, tokens)
        for layers in (2, 4)
    )
    block = (large - small) / 2
    return small + block * (config["num_layers"] - 2), block


def main(args: list[str] | None = None):
    args = parse_args(args)
    config = yaml.safe_load(args.config.read_text(encoding="utf-8"))["transformer"]
    transformer = make_model(config, "meta")
    config = dict(config) | {"num_layers": transformer.config.num_layers}
    with torch.device("meta"):
        text_encoder = T5EncoderModel(T5Config(**T5_BASE))
    weights, text_weights = (sum(p.numel() for p in model.parameters()) for model in (transformer, text_encoder))
    frames, dim = transformer.config.sample_size, transformer.proj_in.out_features
    products = matrix_products(transformer, 1, frames, args.tokens)
    forward = sum(2 * count * rows * inner * columns for count, rows, inner, columns in products) / 1e12
    kept, block = activations_per_clip(config, args.tokens)
    # Gradient checkpointing keeps the inputs of the blocks, in float32, and recomputes one block at a time.
    checkpointed = 4 * frames * dim * config["num_layers"] + block

    print(f"Transformer: {weights / 1e6:.0f}M weights; text encoder (T5-base): {text_weights / 1e6:.0f}M")
    print("\n| Memory | Bytes per weight | GB |\n|---|---|---|")
    rows = {f"student: {name}": (size, weights) for name, size in STUDENT_BYTES.items()}
    rows |= {"teacher": (4, weights), "text encoder": (4, text_weights)}
    fixed = sum(size * count for size, count in rows.values()) / 1e9
    for name, (size, count) in rows.items():
        print(f"| {name} | {size} | {size * count / 1e9:.1f} |")
    print(f"| sum | | {fixed:.1f} |")
    samples = args.batch_size * args.num_steps
    print("\n| Gradient checkpointing | Activations per sample, GB | × samples | Total, GB |\n|---|---|---|---|")
    for name, size in (("no", kept), ("yes", checkpointed)):
        print(f"| {name} | {size / 1e9:.2f} | {samples} | {fixed + samples * size / 1e9:.0f} |")

    evaluations = 2 * args.substeps * args.branches * args.num_steps
    print(f"\nA forward pass of {frames} frames: {forward:.2f} TFLOP")
    print("\n| Gradient checkpointing | Teacher, forward passes per clip | Student | Sum, TFLOP | Hours |")
    print("|---|---|---|---|---|")
    for name, passes in (("no", 3), ("yes", 4)):
        student = passes * args.num_steps
        total = (evaluations + student) * forward
        hours = total * args.clips / args.rate / 3600
        print(f"| {name} | {evaluations} | {student} | {total:.1f} | {hours:.1f} |")
    stored = 2 * (args.num_steps + 1) * frames * transformer.config.in_channels
    print(f"\nHours for {args.clips:,} clips at {args.rate:g} TFLOP/s. A stored trajectory: {stored / 1e6:.2f} MB.")


if __name__ == "__main__":
    sys.exit(run_command(main, "estimate_distillation"))
