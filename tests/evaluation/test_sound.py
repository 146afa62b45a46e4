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

from diffusers_jasco.evaluation.sound import check_sound, spectral_distance

from .clips import RATE, play_chords, tone


def test_a_sine():
    check = check_sound((0.5 * torch.sin(2 * math.pi * 440 * torch.arange(RATE) / RATE), RATE))
    assert check.peak == pytest.approx(0.5, abs=1e-3)
    assert check.level == pytest.approx(-9.03, abs=0.01)
    assert check.clipped_share == check.silent_share == check.longest_silence == 0
    assert check.dc < 1e-6 and check.loudness_spread < 0.1


def test_faults_are_found():
    wave = tone(60, 4.0, level=0.3)
    clipped = check_sound(((10 * wave).clamp(-1, 1), RATE))
    assert clipped.peak == 1 and clipped.clipped_share > 0.3
    assert check_sound((wave + 0.1, RATE)).dc == pytest.approx(0.1, abs=1e-3)
    gap = wave.clone()
    gap[RATE : 2 * RATE] = 0
    gap[3 * RATE : 3 * RATE + RATE // 2] = 0
    check = check_sound((gap, RATE))
    assert check.longest_silence == pytest.approx(1.0, abs=0.06)
    assert check.silent_share == pytest.approx(1.5 / 4, abs=0.03)
    fading = check_sound((wave * torch.logspace(0, -2, len(wave)), RATE))
    assert fading.loudness_spread > 5


@pytest.mark.parametrize("samples", [1, 100, RATE])
def test_silence_and_short_audio(samples):
    check = check_sound((torch.zeros(2, samples), RATE))
    assert check.silent_share == 1 and check.peak == 0 and check.level == -120
    assert spectral_distance((torch.zeros(samples), RATE), (torch.zeros(samples), RATE)) == 0


def test_distances_grow_with_the_difference_and_ignore_phase():
    chord, other = play_chords([("C", 0.0)], 2.0), play_chords([("F#m", 0.0)], 2.0)
    noise = torch.randn(chord.shape, generator=torch.Generator().manual_seed(0))
    assert spectral_distance((chord, RATE), (chord, RATE)) == 0
    assert spectral_distance((-chord, RATE), (chord, RATE)) == pytest.approx(0, abs=1e-5)
    near = spectral_distance((chord + 1e-4 * noise, RATE), (chord, RATE))
    far = spectral_distance((chord + 1e-2 * noise, RATE), (chord, RATE))
    assert 0 < near < far
    assert spectral_distance((other, RATE), (chord, RATE)) > near
    first = (chord + 1e-2 * noise, RATE)
    assert spectral_distance((chord, RATE), first) == pytest.approx(far)
