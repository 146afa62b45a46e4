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


import pytest
import torch

from diffusers_jasco import FlowMatchEulerScheduler
from diffusers_jasco.training.conditions import ConditionDropout, drop_controls, mask_text
from diffusers_jasco.training.objective import draw_times, flow_matching_loss, noise_latents


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_times_have_the_distribution_of_a_power(power):
    times = draw_times(100_000, "power", power, torch.Generator().manual_seed(0))
    assert 0 <= times.min() and times.max() < 1
    # u^p is below x with probability x^(1/p).
    for x in (0.1, 0.5, 0.9):
        assert abs((times < x).float().mean().item() - x ** (1 / power)) < 0.01


def test_uniform_times_and_impossible_ones():
    times = draw_times(100_000, generator=torch.Generator().manual_seed(0))
    assert abs(times.mean() - 0.5) < 0.01 and abs(times.var() - 1 / 12) < 0.01
    with pytest.raises(ValueError, match="power.*-1"):
        draw_times(1, "power", -1.0)
    with pytest.raises(ValueError, match="sampling"):
        draw_times(1, "normal")


def test_path_and_velocity_are_the_papers():
    generator = torch.Generator().manual_seed(0)
    data, noise = torch.randn(2, 4, 6, 8, generator=generator)
    times, sigma_min = torch.tensor([0.0, 0.25, 0.5, 1.0]), 1e-5
    z, target = noise_latents(FlowMatchEulerScheduler(sigma_min=sigma_min), data, noise, times)
    t = times[:, None, None]
    torch.testing.assert_close(z, (1 - (1 - sigma_min) * t) * noise + t * data)
    torch.testing.assert_close(target, data - (1 - sigma_min) * noise)
    assert torch.equal(z[0], noise[0])


@pytest.mark.parametrize(
    "weighting, weights", [("uniform", [1, 1]), ("increasing", [1.25, 2]), ("decreasing", [1.75, 1])]
)
def test_loss_is_the_weighted_mean_of_squares(weighting, weights):
    velocity = torch.tensor([[[1.0, 3.0]], [[0.0, 0.0]]], requires_grad=True)
    target = torch.tensor([[[0.0, 0.0]], [[4.0, 0.0]]])
    loss, errors = flow_matching_loss(
        FlowMatchEulerScheduler(), velocity, target, torch.tensor([0.25, 1.0]), weighting
    )
    assert errors.tolist() == [5.0, 8.0] and not errors.requires_grad
    assert loss.item() == pytest.approx((weights[0] * 5 + weights[1] * 8) / 2)
    loss.backward()
    assert velocity.grad[0, 0, 0].item() == pytest.approx(weights[0] * 2 * 1.0 / 2 / 2)


def test_each_condition_is_dropped_as_often_as_asked():
    dropout = ConditionDropout(all=0.1, text=0.1, chords=0.2, drums=0.3, melody=0.0)
    keep = dropout.draw(50_000, torch.Generator().manual_seed(0))
    for name, probability in (("text", 0.1), ("chords", 0.2), ("drums", 0.3), ("melody", 0.0)):
        assert abs(keep[name].float().mean().item() - 0.9 * (1 - probability)) < 0.01
    # Apart from "all", they are dropped independently, each sample on its own.
    some = keep["melody"]
    assert not any(keep[name][~some].any() for name in keep)
    both = (keep["chords"] & keep["drums"])[some].float().mean().item()
    assert abs(both - 0.8 * 0.7) < 0.01
    assert 0 < keep["chords"][:20].sum() < 20


def test_no_dropout_keeps_and_certain_dropout_drops():
    assert all(mask.all() for mask in ConditionDropout().draw(1000).values())
    assert not any(mask.any() for mask in ConditionDropout(all=1.0).draw(1000).values())
    with pytest.raises(ValueError, match="`drums`.*1.5"):
        ConditionDropout(drums=1.5)


def test_dropped_controls_are_the_models_nulls():
    keep = {
        "chords": torch.tensor([True, False]),
        "drums": torch.tensor([False, True]),
        "melody": torch.ones(2).bool(),
    }
    controls = {"chords": torch.full((2, 5), 7), "drums": torch.ones(2, 5, 3), "melody": torch.ones(2, 5, 53)}
    dropped = drop_controls(controls, keep, null_chord=194)
    assert dropped["chords"].tolist() == [[7] * 5, [194] * 5]
    assert not dropped["drums"][0].any() and torch.equal(dropped["drums"][1], controls["drums"][1])
    assert torch.equal(dropped["melody"], controls["melody"])
    assert (controls["chords"] == 7).all()


def test_dropped_text_and_padding_are_zero_vectors():
    states, mask = torch.ones(3, 4, 2), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])
    text = mask_text(states, mask, torch.tensor([True, True, False]))
    assert text[..., 0].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]]
