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

import math

import pytest
import torch

from diffusers_jasco.controls.beats import (
    beat_phases,
    beats_to_frames,
    check_beats,
    complete_downbeats,
    phases_to_frames,
    regular_beats,
)
from diffusers_jasco.controls.drum_machine import GROOVES, Groove
from diffusers_jasco.inputs import InputError


def test_regular_beats_reach_the_first_downbeat_after_the_end():
    beats, downbeats = regular_beats(120, 3, 4.0)
    assert beats == pytest.approx([0.5 * index for index in range(10)]) and downbeats == [0.0, 1.5, 3.0, 4.5]
    beats, downbeats = regular_beats(60, 4, 4.0, start=0.25)
    assert downbeats == [0.25, 4.25] and len(beats) == 5
    for bpm, beats_per_bar, argument in ((19, 4, "bpm"), (401, 4, "bpm"), (120, 0, "beats_per_bar")):
        with pytest.raises(InputError) as error:
            regular_beats(bpm, beats_per_bar, 4.0)
        assert error.value.argument == argument


def test_phases_increase_from_beat_to_beat_and_from_downbeat_to_downbeat():
    phases = beat_phases([0.0, 0.5, 1.0, 2.0], [0.0, 1.0], 8, 4.0)
    assert phases[:, 0].tolist() == pytest.approx([0, 0.5, 0, 0.5, 0, 0.25, 0.5, 0.75])
    assert phases[:, 1].tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 0, 0.25, 0.5, 0.75])


def test_phases_continue_before_and_after_the_beats():
    phases = beat_phases([1.0, 1.5], [1.0, 3.0], 16, 4.0)
    whole = beat_phases(*regular_beats(120, 4, 4.0, start=-1.0), 16, 4.0)
    torch.testing.assert_close(phases, whole)
    assert (phases >= 0).all() and (phases < 1).all()


def test_frames_on_a_beat_have_the_phase_0_whatever_the_rounding():
    beats, downbeats = regular_beats(97, 4, 600.0)
    frame_rate = 97 / 60 * 10  # ten frames per beat
    phases = beat_phases(beats, downbeats, 9000, frame_rate)
    assert (phases[::10, 0] == 0).all() and (phases[::40, 1] == 0).all()


def test_frames_have_sines_cosines_and_presence():
    phases = torch.tensor([[0.0, 0.25], [0.5, 0.75], [-1.0, -1.0]])
    expected = torch.tensor([[0.0, 1.0, 1.0, 0.0, 1.0], [0.0, -1.0, -1.0, 0.0, 1.0], [0.0] * 5])
    torch.testing.assert_close(phases_to_frames(phases), expected, atol=1e-6, rtol=0)
    frames = beats_to_frames(*regular_beats(120, 4, 2.0), 16, 8.0)
    assert frames.shape == (16, 5) and (frames[:, 4] == 1).all()
    torch.testing.assert_close(frames[:4, 0], torch.sin(math.tau * torch.arange(4) / 4), atol=1e-6, rtol=0)


def test_missing_downbeats_follow_from_the_beats_per_bar():
    beats = [0.5, 1.0, 1.5, 2.0, 2.5]
    assert complete_downbeats(beats, [], 2) == [0.5, 1.5, 2.5]
    assert complete_downbeats(beats, [1.5], 4) == [1.5, 3.5]
    assert complete_downbeats(beats, [1.5], 2) == [0.5, 1.5, 2.5]
    assert complete_downbeats(beats, [0.7, 0.9], 2) == [0.7, 0.9]
    assert complete_downbeats(beats[:2], [], 4) == [0.5, 2.5]


@pytest.mark.parametrize(
    "beats, position, message",
    [
        ([0.0], None, "at least two"),
        ([0.0, 0.5, 0.5], 2, "increasing"),
        ([0.0, math.nan], 1, "finite"),
        ([0.0, "x"], 1, "seconds"),
        (0.5, None, "times of beats"),
        ([0, 500, 1000], None, "Are the times in seconds"),
        (torch.arange(100) / 50, None, "20 to 400 beats per minute"),
    ],
)
def test_invalid_beats(beats, position, message):
    with pytest.raises(InputError, match=message) as error:
        check_beats(beats)
    assert (error.value.argument, error.value.position) == ("beats", position)


def test_downbeats_are_beats():
    beats = [0.1, 0.6, 1.1, 1.6]
    # Times may be rounded, and downbeats may lie before and after the beats.
    assert check_beats(beats, [-1.9, 0.119, 3.0])[1] == [-1.9, 0.119, 3.0]
    with pytest.raises(InputError, match="the downbeat at 0.57 s is 30 ms from the nearest beat, 0.6 s") as error:
        check_beats(beats, [0.1, 0.57, 1.3])
    assert (error.value.argument, error.value.position) == ("beats", 1)


def test_beats_per_bar_of_grooves():
    assert {name: GROOVES[name].beats_per_bar for name in ("house", "waltz", "swing")} == {
        "house": 4,
        "waltz": 3,
        "swing": 4,
    }
    assert Groove({"kick": "x......."}).beats_per_bar == 2 and Groove({"kick": "x" * 20}).beats_per_bar == 4
