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

import pytest
import torch
from diffusers.training_utils import EMAModel

from diffusers_jasco.training.ema import EMA


def make_run(steps: int):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    ema = EMA(model.parameters(), decay=0.5)
    for _ in range(steps):
        for weight in model.parameters():
            weight.data += torch.randn_like(weight)
        ema.step(model.parameters())
    return model, ema


def test_averages_are_those_of_diffusers():
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(3)) for _ in range(2)]
    ema, reference = (ema_class(weights, decay=0.9) for ema_class in (EMA, EMAModel))
    for _ in range(20):
        for weight in weights:
            weight.data += torch.randn_like(weight)
        ema.step(weights), reference.step(weights)
    for average, expected in zip(ema.shadow_params, reference.shadow_params):
        torch.testing.assert_close(average, expected)
    assert ema.cur_decay_value == reference.cur_decay_value


def weights_of(model) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in model.parameters()]


def test_averages_are_applied_temporarily():
    model, ema = make_run(5)
    before, averages = weights_of(model), [average.clone() for average in ema.shadow_params]
    with pytest.raises(RuntimeError, match="in between"), ema.applied(model):
        assert all(map(torch.equal, weights_of(model), averages))
        raise RuntimeError("in between")
    assert all(map(torch.equal, weights_of(model), before))
    assert all(map(torch.equal, ema.shadow_params, averages))
    assert not any(map(torch.equal, before, averages))


def test_averages_are_copied_into_another_model():
    model, ema = make_run(3)
    other = copy.deepcopy(model)
    before = weights_of(model)
    ema.copy_whole_to(other)
    assert all(map(torch.equal, weights_of(other), ema.shadow_params))
    assert all(map(torch.equal, weights_of(model), before))
    ema.copy_whole_to(None)


def test_averaging_resumes_from_a_saved_state():
    model, ema = make_run(4)
    _, resumed = make_run(0)
    resumed.load_state_dict(ema.state_dict())
    for weight in model.parameters():
        weight.data += 1
    for average in (ema, resumed):
        average.step(model.parameters())
    assert all(map(torch.equal, ema.shadow_params, resumed.shadow_params))
