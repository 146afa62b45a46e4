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

from diffusers_jasco import JascoGuidance
from diffusers_jasco.guiders import AudiocraftGuidance
from diffusers_jasco.guiders.jasco_guidance import ALL, NULL, TEXT
from diffusers_jasco.inputs import InputError


LATENTS = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(7))


def velocities(*branches, seed: int = 0) -> dict:
    generator = torch.Generator().manual_seed(seed)
    return {branch: torch.randn(2, 5, 3, generator=generator) for branch in branches}


@pytest.mark.parametrize(
    "scales, expected",
    [
        ((1.0, 0.0), {ALL: 1.0}),
        ((5.0, 0.0), {ALL: 5.0, NULL: -4.0}),
        ((0.0, 1.0), {TEXT: 1.0}),
        ((1.75, 3.5), {ALL: 1.75, TEXT: 3.5, NULL: -4.25}),
        ((0.0, 0.0), {NULL: 1.0}),
    ],
)
def test_branches_without_weight_are_not_computed(scales, expected):
    branches = JascoGuidance(*scales).branches(0.5)
    assert branches == expected and list(branches) == list(expected)


def test_velocities_are_combined_by_weight():
    parts = velocities(ALL, TEXT, NULL)
    guided = JascoGuidance(1.75, 3.5).combine(parts, 0.5, LATENTS)
    torch.testing.assert_close(guided, 1.75 * parts[ALL] + 3.5 * parts[TEXT] - 4.25 * parts[NULL])


def test_rescaling_matches_the_standard_deviation_of_each_unguided_sample():
    parts = velocities(ALL, NULL)
    plain = JascoGuidance(5.0).combine(parts, 0.5, LATENTS)
    full = JascoGuidance(5.0, guidance_rescale=1.0).combine(parts, 0.5, LATENTS)
    torch.testing.assert_close(full.std(dim=(1, 2)), parts[ALL].std(dim=(1, 2)))
    half = JascoGuidance(5.0, guidance_rescale=0.5).combine(parts, 0.5, LATENTS)
    torch.testing.assert_close(half, (plain + full) / 2)
    single = JascoGuidance(1.0, guidance_rescale=1.0).combine(velocities(ALL), 0.5, LATENTS)
    assert torch.equal(single, velocities(ALL)[ALL])
    with pytest.raises(ValueError, match="`guidance_rescale` has to be between 0 and 1"):
        JascoGuidance(guidance_rescale=1.5)


def test_a_guider_survives_saving_and_loading(tmp_path):
    JascoGuidance(2.5, 0.5, 0.7).save_pretrained(tmp_path)
    loaded = JascoGuidance.from_pretrained(tmp_path)
    assert (loaded.guidance_scale, loaded.text_guidance_scale, loaded.guidance_rescale) == (2.5, 0.5, 0.7)


def test_changed_scales_are_saved(tmp_path):
    guider = JascoGuidance()
    guider.guidance_scale = 2.0
    guider.save_pretrained(tmp_path)
    assert JascoGuidance.from_pretrained(tmp_path).guidance_scale == 2.0


@pytest.mark.parametrize("name", ["guidance_scale", "text_guidance_scale", "guidance_rescale"])
def test_scales_that_are_not_numbers(name):
    with pytest.raises(InputError, match=f"`{name}` has to be") as error:
        JascoGuidance(**{name: float("nan")})
    assert error.value.argument == name


def test_audiocrafts_nulls():
    controls = {"drums": torch.ones(3, 4, 2), "melody": torch.ones(3, 4, 53), "chords": torch.ones(3, 4).long()}
    presence = {
        "drums": torch.tensor([True, False, True]),
        "melody": torch.tensor([True, True, False]),
        "chords": torch.tensor([True, False, False]),
    }
    learned = {"chords": 9, "drums": 0, "melody": 0}
    nulls = AudiocraftGuidance(silence=torch.full((1, 4, 2), 7.0)).nulls(learned, controls, presence)
    assert nulls["chords"] == 9
    assert nulls["drums"][:, 0, 0].tolist() == [7, 0, 7]
    assert nulls["melody"][:, 0, 0].tolist() == [0, 1, 1], "kept where there are no chords"
    free = AudiocraftGuidance(silence=torch.zeros(1, 4, 2)).nulls(learned | {"melody": -1}, controls, presence)
    assert free["melody"][:, 0, 0].tolist() == [-1, 1, 1], "with presence bits, zeros would be a rest"
    del controls["chords"], presence["chords"]
    assert (AudiocraftGuidance(silence=torch.zeros(1, 4, 2)).nulls(learned, controls, presence)["melody"] == 1).all()
    with pytest.raises(ValueError, match="`silence` is required"):
        AudiocraftGuidance().nulls(learned, controls, presence)


def test_control_scales_mix_branches_with_fewer_controls():
    guider = JascoGuidance(1.0, control_scales={"chords": 0.75, "drums": 0.25})
    chords = frozenset({"text", "chords"})
    parts = velocities(ALL, chords, TEXT)
    assert set(guider.branches(0.5, ["chords", "drums"])) == {ALL, chords, TEXT}
    guided = guider.combine(parts, 0.5, LATENTS, ["chords", "drums"])
    torch.testing.assert_close(guided, 0.25 * parts[TEXT] + 0.5 * parts[chords] + 0.25 * parts[ALL])


@pytest.mark.parametrize("scales", [None, {}, {"chords": 1.0}, {"melody": 0.5}, {"chords": 1, "drums": 1.0}])
def test_control_scales_of_1_and_of_absent_controls_cost_no_branches(scales):
    branches = JascoGuidance(5.0, control_scales=scales).branches(0.5, ["chords", "drums"])
    assert branches == {ALL: 5.0, NULL: -4.0}


def test_scales_above_1_extrapolate_from_the_words():
    guider = JascoGuidance(1.0, control_scales={"chords": 2.0})
    assert guider.branches(0.5, ["chords"]) == {ALL: 2.0, TEXT: -1.0}


def test_controls_with_scale_0_are_masked_per_sample():
    guider = JascoGuidance(control_scales=[{"chords": 0.0, "drums": 0.5}, {}])
    masks = guider.used(["chords", "drums"], 2)
    assert list(masks) == ["chords"] and masks["chords"].tolist() == [False, True]
    weights = guider.branches(0.5, ["chords", "drums"], 2)
    assert weights[ALL].tolist() == [2.5, 5.0], "of the first sample, everything but the masked chords"
    assert weights[TEXT].tolist() == [2.5, 0.0] and weights[NULL] == -4.0


def test_scales_per_sample_equal_single_runs():
    rows = [{"chords": 0.5}, {"drums": 0.25, "chords": 2.0}]
    batch = JascoGuidance(2.5, 0.5, control_scales=rows)
    branches = batch.branches(0.5, ["chords", "drums"], 2)
    # Two windows of each sample.
    parts = {branch: torch.randn(4, 5, 3) for branch in branches}
    latents = torch.randn(4, 5, 3)
    guided = batch.combine(parts, 0.5, latents, ["chords", "drums"], 2)
    for index, row in enumerate(rows):
        single = JascoGuidance(2.5, 0.5, control_scales=row)
        own = {branch: parts[branch][index::2] for branch in single.branches(0.5, ["chords", "drums"])}
        torch.testing.assert_close(guided[index::2], single.combine(own, 0.5, latents[index::2], ["chords", "drums"]))


def test_guidance_acts_within_its_interval():
    guider = JascoGuidance(5.0, start_time=0.1, stop_time=0.8, control_scales={"chords": 0.5})
    assert set(guider.branches(0.5, ["chords"])) == {ALL, TEXT, NULL}
    for time in (0.0, 0.09, 0.9):
        assert guider.branches(time, ["chords"]) == {ALL: 0.5, TEXT: 0.5}


@pytest.mark.parametrize("scales", [(3.0, 0.0), (1.75, 3.5), (0.5, 0.5)])
def test_projection_without_reduction_equals_the_weighted_sum(scales):
    guider = JascoGuidance(*scales, control_scales={"chords": 0.5})
    parts = velocities(*guider.branches(0.5, ["chords"]))
    plain = guider.combine(parts, 0.5, LATENTS, ["chords"])
    guider.max_difference = 1e6
    torch.testing.assert_close(guider.combine(parts, 0.5, LATENTS, ["chords"]), plain)


def test_projection_removes_the_difference_along_the_data_prediction():
    guider = JascoGuidance(3.0, parallel_scale=0.0)
    parts = velocities(ALL, NULL)
    added = guider.combine(parts, 0.4, LATENTS) - parts[ALL]
    prediction = LATENTS + 0.6 * parts[ALL]
    torch.testing.assert_close((added * prediction).sum(dim=(1, 2)), torch.zeros(2), atol=1e-5, rtol=0)
    assert added.norm() > 1


def test_large_differences_are_limited():
    guider = JascoGuidance(3.0, max_difference=0.1)
    parts = velocities(ALL, NULL)
    added = 0.6 * (guider.combine(parts, 0.4, LATENTS) - parts[ALL])
    torch.testing.assert_close(added.square().mean(dim=(1, 2)).sqrt(), torch.tensor([0.2, 0.2]))


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("control_scales", {"chord": 1.0}, "`control_scales` has to be for chords, drums, melody, beats, but is for 'chord'"),
        ("control_scales", {"chords": -1}, "`control_scales` has to be a number, at least 0, but is -1"),
        ("control_scales", 0.5, "`control_scales` has to be a dictionary"),
        ("start_time", 1.5, "`start_time` has to be between 0 and 1, but is 1.5"),
        ("parallel_scale", -1, "`parallel_scale` has to be between 0 and 1, but is -1"),
        ("max_difference", 0, "`max_difference` has to be a number above 0, but is 0"),
    ],
)  # fmt: skip
def test_invalid_options(name, value, message):
    with pytest.raises(InputError, match=message) as error:
        JascoGuidance(**{name: value})
    assert error.value.argument == name


def test_options_are_saved(tmp_path):
    JascoGuidance(control_scales={"chords": 0.5}, stop_time=0.9, parallel_scale=0.0).save_pretrained(tmp_path)
    loaded = JascoGuidance.from_pretrained(tmp_path)
    assert (loaded.control_scales, loaded.stop_time, loaded.parallel_scale) == ({"chords": 0.5}, 0.9, 0.0)
