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

import copy

import torch

from diffusers_jasco.training.optimization import make_optimizer, parameter_groups


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
