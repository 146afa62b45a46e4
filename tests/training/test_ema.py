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


def test_it_is_the_average_of_diffusers():
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(3)) for _ in range(2)]
    ours, theirs = (averages(weights, decay=0.9) for averages in (EMA, EMAModel))
    for _ in range(20):
        for weight in weights:
            weight.data += torch.randn_like(weight)
        ours.step(weights), theirs.step(weights)
    for our_average, their_average in zip(ours.shadow_params, theirs.shadow_params):
        torch.testing.assert_close(our_average, their_average)
    assert ours.cur_decay_value == theirs.cur_decay_value


def weights_of(model) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in model.parameters()]


def test_a_model_has_the_averages_for_a_while():
    model, ema = make_run(5)
    before, averages = weights_of(model), [average.clone() for average in ema.shadow_params]
    with pytest.raises(RuntimeError, match="in between"), ema.applied(model):
        assert all(map(torch.equal, weights_of(model), averages))
        raise RuntimeError("in between")
    assert all(map(torch.equal, weights_of(model), before))
    assert all(map(torch.equal, ema.shadow_params, averages))
    assert not any(map(torch.equal, before, averages))


def test_averages_are_copied_into_a_model_of_the_same_kind():
    model, ema = make_run(3)
    other = copy.deepcopy(model)
    before = weights_of(model)
    ema.copy_whole_to(other)
    assert all(map(torch.equal, weights_of(other), ema.shadow_params))
    assert all(map(torch.equal, weights_of(model), before))
    ema.copy_whole_to(None)


def test_saved_and_loaded_it_goes_on_the_same():
    model, ema = make_run(4)
    fresh, other = make_run(0)
    other.load_state_dict(ema.state_dict())
    for weight in model.parameters():
        weight.data += 1
    for average in (ema, other):
        average.step(model.parameters())
    assert all(map(torch.equal, ema.shadow_params, other.shadow_params))
