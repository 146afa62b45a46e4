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

import argparse
import copy

import pytest
import torch
from accelerate.utils import DistributedType

from diffusers_jasco.training.optimization import (
    check_sharding,
    make_optimizer,
    make_optimizers_and_schedulers,
    parameter_groups,
)


OPTIONS = {"lr": 0.1, "betas": (0.9, 0.95), "eps": 1e-8}


def make_model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Embedding(5, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))


def take_steps(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int):
    for _ in range(steps):
        model(torch.arange(5)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_weight_decay_excludes_norms_biases_and_embeddings():
    model = make_model()
    decayed, others = parameter_groups(model, 0.5)
    assert decayed == {"params": [model[2].weight], "weight_decay": 0.5}
    assert len(others["params"]) == 4 and others["weight_decay"] == 0.0


def test_a_checkpoint_of_the_default_adamw_resumes_fused():
    reference = make_model()
    default = torch.optim.AdamW(parameter_groups(reference, 0.5), **OPTIONS)
    take_steps(reference, default, 3)
    model = copy.deepcopy(reference)
    optimizer = make_optimizer(model, 0.1, (0.9, 0.95), 1e-8, 0.5)
    optimizer.load_state_dict(copy.deepcopy(default.state_dict()))
    assert all(group["fused"] for group in optimizer.param_groups)
    take_steps(reference, default, 3)
    take_steps(model, optimizer, 3)
    for weight, expected in zip(model.parameters(), reference.parameters()):
        torch.testing.assert_close(weight, expected)


class Blocks(torch.nn.Module):
    """A model with one block, which has a linear layer, a norm and a table of its own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        block = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4))
        block.table = torch.nn.Parameter(torch.zeros(6, 4))
        self.proj_in, self.transformer_blocks = torch.nn.Linear(3, 4), torch.nn.ModuleList([block])

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        block = self.transformer_blocks[0]
        return (block(self.proj_in(states)) + block.table[0]).square().sum()


def make_arguments(**options) -> argparse.Namespace:
    defaults = {"optimizer": "muon", "learning_rate": 0.1, "muon_learning_rate": None, "weight_decay": 0.0}
    defaults |= {"adam_beta1": 0.9, "adam_beta2": 0.95, "adam_epsilon": 1e-8, "use_8bit_adam": False}
    defaults |= {"lr_scheduler": "constant", "warmup_steps": 0, "max_steps": 10}
    return argparse.Namespace(**defaults | options)


def test_muon_updates_only_the_matrices_of_blocks():
    model = Blocks()
    (adamw, muon), schedulers = make_optimizers_and_schedulers(model, make_arguments(muon_learning_rate=0.02))
    matrix = model.transformer_blocks[0][0].weight
    assert muon.param_groups[0]["params"] == [matrix] and len(schedulers) == 2
    assert (adamw.param_groups[0]["lr"], muon.param_groups[0]["lr"]) == (0.1, 0.02)
    others = {id(parameter) for group in adamw.param_groups for parameter in group["params"]}
    assert others == {id(parameter) for parameter in model.parameters()} - {id(matrix)}
    before = matrix.detach().clone()
    model(torch.randn(8, 3)).backward()
    muon.step()
    # An orthogonal matrix, scaled to the root mean square of AdamW's updates: 0.2 times the rate.
    singular_values = torch.linalg.svdvals((matrix.detach() - before)[:, :])
    assert singular_values.max() < 1.3 * 0.02 * 0.2 * 2 and (singular_values > 0.3 * 0.02 * 0.2 * 2).sum() >= 3


def test_adamw_alone_is_the_default():
    optimizers, _ = make_optimizers_and_schedulers(Blocks(), make_arguments(optimizer="adamw"))
    assert [type(optimizer) for optimizer in optimizers] == [torch.optim.AdamW]


def test_muon_needs_a_recent_version_and_whole_matrices(monkeypatch):
    sharded = argparse.Namespace(distributed_type=DistributedType.FSDP)
    with pytest.raises(ValueError, match="muon can't be used with FSDP"):
        check_sharding(sharded, make_arguments())
    check_sharding(sharded, make_arguments(optimizer="adamw"))
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(ImportError, match='pip install "torch>=2.9"'):
        make_optimizers_and_schedulers(Blocks(), make_arguments())
