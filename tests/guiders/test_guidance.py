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
    guided = JascoGuidance(1.75, 3.5).combine(parts, 0.5)
    torch.testing.assert_close(guided, 1.75 * parts[ALL] + 3.5 * parts[TEXT] - 4.25 * parts[NULL])


def test_rescaling_matches_the_standard_deviation_of_each_unguided_sample():
    parts = velocities(ALL, NULL)
    plain = JascoGuidance(5.0).combine(parts, 0.5)
    full = JascoGuidance(5.0, guidance_rescale=1.0).combine(parts, 0.5)
    torch.testing.assert_close(full.std(dim=(1, 2)), parts[ALL].std(dim=(1, 2)))
    half = JascoGuidance(5.0, guidance_rescale=0.5).combine(parts, 0.5)
    torch.testing.assert_close(half, (plain + full) / 2)
    single = JascoGuidance(1.0, guidance_rescale=1.0).combine(velocities(ALL), 0.5)
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
