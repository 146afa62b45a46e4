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

import pytest
import torch
from torch.nn import functional as F

from diffusers_jasco import FlowMatchEulerScheduler
from diffusers_jasco.training.condition_dropout import ConditionDropout
from diffusers_jasco.training.context import draw_contexts, unknown_errors
from diffusers_jasco.training.objective import (
    FlowMatchingObjective,
    flow_matching_loss,
    interpolate,
    sample_noise,
    sample_times,
)
from diffusers_jasco.training.recipes import OBJECTIVE


UNIFORM = torch.rand(100_000, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_power_distribution_of_times(power):
    times = sample_times(UNIFORM, "power", power)
    assert 0 <= times.min() and times.max() < 1
    # u^p is below x with probability x^(1/p).
    for x in (0.1, 0.5, 0.9):
        assert abs((times < x).float().mean().item() - x ** (1 / power)) < 0.01


@pytest.mark.parametrize("mean, std", [(0.0, 1.0), (-0.5, 0.8)])
def test_logit_normal_distribution_of_times(mean, std):
    times = sample_times(UNIFORM, "logit_normal", logit_mean=mean, logit_std=std)
    normal = torch.distributions.Normal(mean, std)
    for x in (0.1, 0.5, 0.9):
        expected = normal.cdf(torch.tensor(x / (1 - x)).log()).item()
        assert abs((times < x).float().mean().item() - expected) < 0.01
    assert sample_times(torch.tensor([0.0]), "logit_normal").tolist() == [0.0]


def test_uniform_times_and_invalid_options():
    assert torch.equal(sample_times(UNIFORM), UNIFORM)
    for options, message in (
        (("power", -1.0), "power.*-1"),
        (("logit_normal", 2.0, 0.0, 0.0), "logit_std.*0.0"),
        (("normal",), "sampling"),
    ):
        with pytest.raises(ValueError, match=message):
            sample_times(UNIFORM, *options)


def test_random_numbers_only_depend_on_the_sample():
    keys = [(0, 5), (0, 3), (1, 5)]
    noise, draws = sample_noise(keys, 7, (4, 2), 3)
    assert noise.shape == (3, 4, 2) and draws.shape == (3, 3) and 0 <= draws.min() and draws.max() < 1
    alone = sample_noise(keys[1:2], 7, (4, 2), 3)
    assert torch.equal(alone[0][0], noise[1]) and torch.equal(alone[1][0], draws[1])
    other_seed = sample_noise(keys, 8, (4, 2), 3)
    assert len({tensor.flatten()[0].item() for tensor in (*noise, *other_seed[0])}) == 6


def test_path_and_velocity_are_those_of_the_paper():
    generator = torch.Generator().manual_seed(0)
    data, noise = torch.randn(2, 4, 6, 8, generator=generator)
    times, sigma_min = torch.tensor([0.0, 0.25, 0.5, 1.0]), 1e-5
    z, target = interpolate(FlowMatchEulerScheduler(sigma_min=sigma_min), data, noise, times)
    t = times[:, None, None]
    torch.testing.assert_close(z, (1 - (1 - sigma_min) * t) * noise + t * data)
    torch.testing.assert_close(target, data - (1 - sigma_min) * noise)
    assert torch.equal(z[0], noise[0])


@pytest.mark.parametrize(
    "weighting, weights", [("uniform", [1, 1]), ("increasing", [1.25, 2]), ("decreasing", [1.75, 1])]
)
def test_loss_is_the_weighted_mean_squared_error(weighting, weights):
    velocity = torch.tensor([[[1.0, 3.0]], [[0.0, 0.0]]], requires_grad=True)
    target = torch.tensor([[[0.0, 0.0]], [[4.0, 0.0]]])
    loss, errors = flow_matching_loss(
        FlowMatchEulerScheduler(), velocity, target, torch.tensor([0.25, 1.0]), weighting
    )
    assert errors.tolist() == [5.0, 8.0] and not errors.requires_grad
    assert loss.item() == pytest.approx((weights[0] * 5 + weights[1] * 8) / 2)
    loss.backward()
    assert velocity.grad[0, 0, 0].item() == pytest.approx(weights[0] * 2 * 1.0 / 2 / 2)


def test_min_snr_weights_the_error_in_the_data():
    # A velocity v implies the data x1 = z + (1 - t) v, so the error in the data is (1 - t) times that of the velocity.
    times = torch.tensor([0.25, 0.8])
    velocity, target = torch.tensor([[[1.0]], [[3.0]]]), torch.zeros(2, 1, 1)
    loss = flow_matching_loss(FlowMatchEulerScheduler(), velocity, target, times, "min_snr", snr_gamma=5.0)[0]
    snr = (times / (1 - times)) ** 2
    expected = (snr.clamp(max=5) * ((1 - times) * velocity.flatten()) ** 2).mean()
    assert loss.item() == pytest.approx(expected.item()) and snr[1] > 5 > snr[0]


def draw_masks(count: int, num_frames: int = 1, **options) -> dict[str, torch.Tensor]:
    dropout = ConditionDropout(**options)
    draws = torch.rand(count, dropout.num_draws, generator=torch.Generator().manual_seed(0))
    return dropout.keep(draws, num_frames)


def test_each_condition_is_dropped_with_its_probability():
    keep = draw_masks(50_000, all=0.1, text=0.1, single={"chords": 0.2, "drums": 0.3})
    keep = {name: mask.flatten() for name, mask in keep.items()}
    for name, probability in (("text", 0.1), ("chords", 0.2), ("drums", 0.3), ("melody", 0.0)):
        assert abs(keep[name].float().mean().item() - 0.9 * (1 - probability)) < 0.01
    # Apart from "all", conditions are dropped independently, in each sample separately.
    keeps_any = keep["melody"]
    assert not any(keep[name][~keeps_any].any() for name in keep)
    both = (keep["chords"] & keep["drums"])[keeps_any].float().mean().item()
    assert abs(both - 0.8 * 0.7) < 0.01
    assert 0 < keep["chords"][:20].sum() < 20


def test_controls_are_dropped_together_without_the_text():
    keep = {
        name: mask.flatten()
        for name, mask in draw_masks(50_000, text=0.1, controls=0.3, single={"chords": 0.2}).items()
    }
    for name, expected in (("text", 0.9), ("chords", 0.7 * 0.8), ("drums", 0.7), ("melody", 0.7)):
        assert abs(keep[name].float().mean().item() - expected) < 0.01
    assert torch.equal(keep["drums"], keep["melody"]) and not (keep["chords"] & ~keep["drums"]).any()
    assert abs(keep["text"][~keep["drums"]].float().mean().item() - 0.9) < 0.01


def test_dropout_per_batch():
    masks = [draw_masks(8, 3, single={"chords": 0.5}, per_batch=True)["chords"]]
    for seed in range(30):
        draws = torch.rand(8, ConditionDropout.num_draws, generator=torch.Generator().manual_seed(seed))
        masks.append(ConditionDropout(single={"chords": 0.5}, per_batch=True).keep(draws, 3)["chords"])
    assert all(mask.all() or not mask.any() for mask in masks)
    assert 5 < sum(mask.all().item() for mask in masks) < 26


def test_spans_are_contiguous():
    keep = draw_masks(4000, 100, span=0.5, single={"drums": 0.1})
    assert keep["text"].all()
    for name, dropped in (("chords", 0.0), ("drums", 0.1)):
        mask = keep[name].int()
        starts = (mask.diff(dim=1, prepend=torch.zeros(len(mask), 1)) == 1).sum(dim=1)
        lengths = mask.sum(dim=1)
        assert starts.max() == 1
        assert abs((lengths == 0).float().mean() - dropped) < 0.03
        parts = (lengths > 0) & (lengths < 100)
        assert abs(parts.float().mean() - 0.5 * (1 - dropped)) < 0.03
        # The distance of two uniform numbers is a third on average.
        assert abs(lengths[parts].float().mean() - 34) < 2
    assert not torch.equal(keep["chords"], keep["melody"])


def test_dropout_with_probability_0_and_1():
    assert all(mask.all() for mask in draw_masks(1000).values())
    assert not any(mask.any() for mask in draw_masks(1000, all=1.0).values())
    with pytest.raises(ValueError, match="`drums`.*1.5"):
        ConditionDropout(single={"drums": 1.5})


def test_beats_are_the_only_control_of_a_part_of_the_samples():
    keep = draw_masks(50_000, all=0.1, controls=0.4, only_beats=0.3, single={"beats": 0.5, "chords": 0.2})
    keep = {name: mask.flatten() for name, mask in keep.items()}
    alone = keep["beats"] & ~(keep["chords"] | keep["drums"] | keep["melody"])
    # Either by `only_beats`, or all others are dropped one by one, which only happens to chords here.
    assert abs(alone.float().mean().item() - 0.9 * 0.3) < 0.01
    assert keep["text"][alone].all()
    assert abs(keep["beats"].float().mean().item() - 0.9 * (0.3 + 0.7 * 0.6 * 0.5)) < 0.01
    assert abs(keep["chords"].float().mean().item() - 0.9 * 0.7 * 0.6 * 0.8) < 0.01


def prepare_batch(
    count: int = 4000, controls=("chords", "beats"), has_text=True, frames: int = 2, reach=None, **options
) -> dict:
    """A batch of small clips with noise, times and masks."""
    options = OBJECTIVE | {"seed": 0, "time_sampling": "power", "time_power": 2.0} | options
    objective = FlowMatchingObjective(argparse.Namespace(**options), controls, tokenizer=None, reach=reach)
    latents, mask = torch.zeros(count, frames, 3), torch.ones(count, 1)
    batch = {"latents": latents, "key": list(range(count)), "has_text": torch.full((count,), has_text)}
    return objective.prepare(batch | {"text_embeds": torch.zeros(count, 1, 4), "text_mask": mask})


def test_samples_with_words_alone_have_times_of_their_own():
    options = {"drop_all": 0.1, "drop_controls": 0.3, "drop_drums": 0.0, "drop_melody": 0.0}
    default = prepare_batch(**options)
    batch = prepare_batch(words_time_logit_mean=4.0, words_time_logit_std=0.1, **options)
    keep = batch["keep"]
    # The model has neither drums nor melody, and beats go with words.
    alone = keep["text"] & ~keep["chords"][:, 0]
    assert 0.4 < alone.float().mean() < 0.8 and (alone & keep["beats"][:, 0]).any()
    assert (batch["times"][alone] > 0.95).all()
    assert torch.equal(batch["times"][~alone], default["times"][~alone]) and (default["times"] < 0.5).any()


def test_text_that_is_not_true_is_dropped():
    assert prepare_batch(drop_all=0.0)["keep"]["text"].all()
    assert not prepare_batch(drop_all=0.0, has_text=False)["keep"]["text"].any()


def test_a_model_without_controls_has_only_words():
    batch = prepare_batch(controls=(), drop_all=0.0, words_time_logit_mean=4.0, words_time_logit_std=0.1)
    assert (batch["times"] > 0.95).all()


def test_known_parts_are_drawn_for_each_sample():
    keys, reach = [f"0/{index}" for index in range(3000)], (2, 1)
    contexts = draw_contexts(keys, 0, 100, 0.5, reach)
    has_context = contexts.known.any(dim=1)
    # A few spans fill the whole clip.
    assert abs(has_context.float().mean() - 0.5) < 0.05
    # The draws of a sample do not depend on its batch.
    some = draw_contexts(keys[5:8], 0, 100, 0.5, reach)
    assert all(torch.equal(one, all_[5:8]) for one, all_ in zip(some, contexts))
    assert not torch.equal(draw_contexts(keys, 1, 100, 0.5, reach).known, contexts.known)
    assert not draw_contexts(keys, 0, 100, 0.0, reach).known.any()

    known = contexts.known[has_context].int()
    inner = F.pad(known, (1, 1), value=1)
    num_spans = (inner.diff(dim=1) == -1).sum(dim=1)
    # A span without frames between its neighbors and their reach is part of them.
    assert num_spans.min() == 1 and num_spans.max() == 4 and (num_spans == 1).float().mean() > 0.5
    is_continued = (num_spans == 1) & (known[:, 0] + known[:, -1] == 1)
    assert 0.15 < is_continued.float().mean() < 0.5
    assert (known[is_continued, 0] == 1).float().mean().item() == pytest.approx(0.5, abs=0.1)
    unknown = 1 - known.float().mean(dim=1)
    assert 0.4 < unknown.mean() < 0.8 and unknown[~is_continued].min() >= 0.2


def test_frames_that_the_codec_reaches_are_unknown():
    narrow, wide = (draw_contexts(range(200), 0, 100, 1.0, reach).known for reach in ((0, 0), (2, 1)))
    for unknown, extended in zip(~narrow, ~wide):
        expected = unknown.clone()
        for shift in (1, 2):
            expected[:-shift] |= unknown[shift:]
        expected[1:] |= unknown[:-1]
        assert torch.equal(extended, expected)


def test_samples_with_a_context_keep_or_free_their_controls():
    options = {"count": 2000, "frames": 50, "drop_all": 1.0, "reach": (1, 1)}
    plain, batch = prepare_batch(**options), prepare_batch(context=1.0, **options)
    known, keep = batch["known"], batch["keep"]
    assert not plain["known"].any() and not any(mask.any() for mask in plain["keep"].values())
    # Everything else is dropped as usual, here always; so is the text.
    assert not keep["text"].any()
    some = known.any(dim=1)
    keeps, is_free = keep["chords"].all(dim=1), (keep["chords"] == known).all(dim=1)
    assert abs(keeps[some].float().mean() - 0.5) < 0.05 and abs(is_free[some].float().mean() - 0.25) < 0.05
    assert not keep["chords"][~(keeps | is_free)].any()
    assert torch.equal(keep["beats"], keep["chords"])
    # Noise and times are those of a run without a context.
    assert torch.equal(batch["noise"], plain["noise"]) and torch.equal(batch["times"], plain["times"])


def test_the_loss_of_unknown_frames_is_separate():
    target, known = torch.zeros(2, 4, 3), torch.tensor([[True, True, False, False], [False] * 4])
    velocity = torch.tensor([9.0, 9.0, 1.0, 3.0])[:, None].expand(2, 4, 3)
    assert unknown_errors(velocity, target, known).tolist() == [5.0, 43.0]


def test_a_context_needs_a_model_that_has_it():
    with pytest.raises(ValueError, match="--context needs a transformer"):
        prepare_batch(context=0.5)
