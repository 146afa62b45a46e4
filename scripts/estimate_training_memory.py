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
Estimates how much memory the training of a configuration takes on each GPU with FSDP2, without a GPU.

    python scripts/estimate_training_memory.py --config training/configs/chords-drums-melody-1B.yaml --num_processes 8 16 64

Accelerate shards the model of the configuration, which has no storage, in a process group that consists of its first
process only. The table adds up the shards of that process, which are the largest ones: weights, gradients, AdamW's
averages and the EMA; and the weights that are gathered at a time: those outside of blocks, and two blocks, as the next one
is gathered in advance. One GPU stands for unsharded training (`ddp.yaml`). Activations are not included, as they depend
on the batch, nor are a frozen text encoder and the codec, which are not sharded.
"""

import argparse
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import yaml
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.fsdp_utils import fsdp2_prepare_model
from torch import distributed
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import T5Config, T5EncoderModel

from diffusers_jasco import JascoTransformerModel
from diffusers_jasco.training.ema import EMA
from diffusers_jasco.training.modules import JascoTrainingModel
from diffusers_jasco.training.optimization import parameter_groups
from diffusers_jasco.utils.arguments import CommandParser, existing, integer
from diffusers_jasco.utils.cli import run_command


FSDP2 = Path(__file__).parents[1] / "training/configs/accelerate/fsdp2.yaml"
GIB = 2**30


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--config", type=existing, required=True, help="configuration of training/train_jasco.py")
    add("--accelerate", type=existing, default=FSDP2, help="configuration of Accelerate (default: fsdp2.yaml)")
    add("--num_processes", type=integer(1), nargs="+", help="numbers of GPUs (default: that of --accelerate)")
    return parser.parse_args(args)


def make_model(config: dict[str, Any]) -> JascoTrainingModel:
    """The trained modules of a configuration, without storage."""
    text_config = T5Config(**config.get("text_encoder_config", {}))
    trains_text = config.get("train_text_encoder", False)
    options = {"text_dim": text_config.d_model} if trains_text else {}
    with torch.device("meta"):
        transformer = JascoTransformerModel(**options | config.get("transformer", {}))
        text_encoder = T5EncoderModel(text_config) if trains_text else torch.nn.Identity()
    return JascoTrainingModel(transformer, text_encoder, trains_text)


def shard(model: torch.nn.Module, fsdp_config: dict[str, Any], precision: str, num_processes: int):
    """Shards a model as Accelerate does for the first of several processes."""
    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=num_processes)
    # Accelerate's launcher passes the options to its processes in this form.
    environment = {name.upper().replace("LAYER_CLS", "CLS"): str(value) for name, value in fsdp_config.items()}
    with patch.dict(os.environ, environment):
        plugin = FullyShardedDataParallelPlugin()
    if precision != "no":
        plugin.set_mixed_precision(precision)
    state = SimpleNamespace(fsdp_plugin=plugin)
    fsdp2_prepare_model(SimpleNamespace(state=state, mixed_precision=precision, is_main_process=True), model)


def local_bytes(tensors: Any) -> int:
    locals_ = [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
    return sum(tensor.numel() * tensor.element_size() for tensor in locals_)


def group_bytes(model: torch.nn.Module, precision: str) -> list[int]:
    """The sizes of the groups of weights that are gathered together: the blocks, and last the remaining weights."""
    size = 4 if precision == "no" else 2
    groups, counted = [], set()
    # Modules inside others come first.
    for module in reversed(list(model.modules())):
        if isinstance(module, FSDPModule):
            weights = {id(weight): weight.numel() for weight in module.parameters() if id(weight) not in counted}
            counted |= weights.keys()
            groups.append(sum(weights.values()) * size)
    return groups


def estimate(config: dict[str, Any], accelerate: dict[str, Any], num_processes: int) -> dict[str, int]:
    """Bytes per GPU."""
    precision = config.get("mixed_precision", accelerate.get("mixed_precision", "no"))
    model = make_model(config)
    if num_processes > 1:
        shard(model, accelerate["fsdp_config"], precision, num_processes)
    try:
        weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(parameter_groups(model, 0.1), foreach=False)
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        optimizer.step()
        *blocks, rest = group_bytes(model, precision) or [0]
        averages = [value for state in optimizer.state.values() for value in state.values() if value.ndim > 0]
        return {
            "weights": local_bytes(model.parameters()),
            "gradients": local_bytes(weight.grad for weight in weights),
            "AdamW": local_bytes(averages),
            "EMA": local_bytes(EMA(model.parameters()).shadow_params),
            # The next block is gathered in advance.
            "gathered": rest + sum(sorted(blocks)[-2:]),
            "largest block": max(blocks, default=0),
        }
    finally:
        if num_processes > 1:
            distributed.destroy_process_group()


def main(args: list[str] | None = None):
    args = parse_args(args)
    config, accelerate = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in (args.config, args.accelerate))
    if "fsdp_config" not in accelerate:
        raise ValueError(f"--accelerate {args.accelerate} does not configure FSDP.")
    if config.get("optimizer") == "muon":
        raise ValueError(f"--config {args.config} uses Muon, which can't be used with FSDP.")
    count = sum(parameter.numel() for parameter in make_model(config).parameters())
    print(f"{args.config.stem}: {count / 1e6:.1f}M parameters; GiB per GPU:\n")
    rows = {n: estimate(config, accelerate, n) for n in args.num_processes or [accelerate["num_processes"]]}
    largest = [row.pop("largest block") for row in rows.values()][-1]
    names = list(next(iter(rows.values())))
    print(f"| GPUs | {' | '.join(names)} | sum |")
    print("|---" * (len(names) + 2) + "|")
    for n, row in rows.items():
        values = [*row.values(), sum(row.values())]
        print(f"| {n} | {' | '.join(f'{value / GIB:.2f}' for value in values)} |")
    print(f"\nThe largest block has {largest / GIB:.3f} GiB when it is gathered.")


if __name__ == "__main__":
    sys.exit(run_command(main, "estimate_training_memory"))
