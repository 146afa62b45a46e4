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
from diffusers_jasco.inputs import InputError, read_chords
from diffusers_jasco.pipelines.control_mixer import read_control_regions, region_masks


CHORDS = [("C", 0.0), ("Am", 0.5)]
MELODY = [(60, 0.0, 0.4), (64, 0.5, 1.0)]


def generate(pipe, prompt="rock", seeds=(0,), **kwargs):
    arguments = {
        "chords": CHORDS,
        "melody": MELODY,
        "duration": 1.0,
        "num_inference_steps": 3,
        "output_type": "latent",
    }
    generator = [torch.Generator().manual_seed(seed) for seed in seeds]
    return pipe(prompt, generator=generator, **arguments | kwargs).audios


@pytest.mark.parametrize("duration", [1.0, 14.0])
def test_a_scale_of_0_is_the_same_as_not_giving_the_control(pipe, duration):
    scaled = generate(pipe, duration=duration, control_scales={"chords": 0})
    assert torch.equal(scaled, generate(pipe, duration=duration, chords=None))
    assert not torch.equal(scaled, generate(pipe, duration=duration))
    neither = generate(pipe, duration=duration, control_scales={"chords": 0, "melody": 0})
    assert torch.equal(neither, generate(pipe, duration=duration, chords=None, melody=None))


def test_scales_of_1_change_nothing(pipe):
    assert torch.equal(generate(pipe, control_scales={"chords": 1, "melody": 1.0}), generate(pipe))


def test_a_scale_of_one_control_is_linear_in_the_velocity(pipe):
    start, half, full = (generate(pipe, num_inference_steps=1, control_scales={"chords": s}) for s in (0, 0.5, 1))
    torch.testing.assert_close(half, (start + full) / 2, rtol=1e-4, atol=1e-4)


def test_one_scale_per_prompt(pipe):
    rows, prompts, seeds = [{"chords": 0.5, "melody": 2.0}, None], ["rock", "jazz"], [0, 0, 1, 1]
    batch = generate(pipe, prompts, seeds, control_scales=rows, num_waveforms_per_prompt=2)
    for index, (prompt, row) in enumerate(zip(prompts, rows)):
        single = generate(pipe, prompt, seeds[2 * index : 2 * index + 1], control_scales=row)
        torch.testing.assert_close(batch[2 * index :][:2], single.repeat(2, 1, 1), rtol=1e-4, atol=1e-4)


def test_scales_and_regions_apply_in_windows(pipe):
    frame_rate = pipe.frame_rate
    regions = {"chords": [(0.0, 6.0)]}
    conditioning = pipe.encode_conditioning("rock", CHORDS, duration=14.0, control_regions=regions)
    free = conditioning.controls["chords"][0] == conditioning.nulls["chords"]
    assert free.tolist() == [frame / frame_rate >= 6.0 for frame in range(conditioning.num_frames)]
    masked = generate(pipe, duration=14.0, control_regions=regions, control_scales={"melody": 0.5})
    assert masked.isfinite().all()


def test_free_chords_are_the_same_as_a_region(pipe):
    as_label = pipe.encode_conditioning("rock", [*CHORDS, (None, 0.75)], duration=1.0)
    as_region = pipe.encode_conditioning("rock", CHORDS, duration=1.0, control_regions={"chords": (0.0, 0.75)})
    assert torch.equal(as_label.controls["chords"], as_region.controls["chords"])
    assert (as_label.controls["chords"] == len(pipe.transformer.config.chord_labels)).any()


def test_free_chords_in_every_form():
    expected = [("C", 0.0), ("*", 1.0), ("G", 2.0)]
    for chords in ("C:0 *:1 G:2", [("C", 0.0), (None, 1.0), ("G", 2.0)], [("C", 0, 1), ("*", 1, 2), ("G", 2, 3)]):
        assert read_chords(chords, duration=3.0) == expected
    assert read_chords("C | * | G", duration=3.0, bpm=240.0) == expected


def test_regions_of_several_prompts():
    regions = read_control_regions([{"melody": [(0, 1), (2, None)], "chords": []}, None], 2, ["melody", "chords"], 4.0)
    masks = region_masks(regions, 8, 2.0)
    assert masks["melody"].tolist() == [[True, True, False, False, True, True, True, True], [True] * 8]
    assert masks["chords"].tolist() == [[False] * 8, [True] * 8]


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ({"melody": [(1.0, 0.5)]}, "start before they end, within the music of 1 s, but one is from 1 to 0.5 s"),
        ({"melody": [(2.0, 3.0)]}, "within the music of 1 s, but one is from 2 to 3 s"),
        ({"melody": [(0.0, float("nan"))]}, "has to be a number of seconds, but is nan"),
        ({"melody": 3}, "has to be a list of \\(start, end\\) in seconds, but is 3"),
        ({"melody": ["0-1"]}, "has to be a list of \\(start, end\\) in seconds, but contains '0-1'"),
        ({"drums": [(0.0, 1.0)]}, "`control_regions` is for drums, but `drums` was not given"),
        ({"voice": [(0.0, 1.0)]}, "has to be for chords, drums, melody, beats, but is for 'voice'"),
        ([(0.0, 1.0)], "has to be a dictionary"),
        ([{}, {}], "`control_regions` has 2 elements for 1 prompt"),
    ],
)
def test_invalid_regions(pipe, regions, message):
    with pytest.raises(InputError, match=message) as error:
        generate(pipe, control_regions=regions)
    assert error.value.argument == "control_regions"


def test_a_free_melody_rests_without_presence_bits(pipe, warnings):
    generate(pipe, control_regions={"melody": [(0.0, 0.5)]})
    assert "the melody rests outside of its regions" in warnings.text


def test_scales_of_controls_that_are_not_given(pipe, warnings):
    plain = generate(pipe, melody=None)
    assert torch.equal(generate(pipe, melody=None, control_scales={"melody": 2}), plain)
    assert "`control_scales` for melody have no effect" in warnings.text


def test_scales_and_a_guider_exclude_each_other(pipe):
    with pytest.raises(InputError, match="Give either `guider` or `control_scales`, not both"):
        generate(pipe, guider=JascoGuidance(), control_scales={"chords": 0.5})
    with pytest.raises(InputError, match="`control_scales` has 3 elements for 1 prompt"):
        generate(pipe, control_scales=[{}, {}, {}])
