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

import dataclasses
import math

import pytest
import torch

from diffusers_jasco.evaluation.metrics.sound import (
    check_sound,
    compare_sound,
    harmonic_to_noise,
    octave_levels,
    rise_at_onsets,
    spectral_distance,
)

from .clips import RATE, play_chords, play_drums, tone


TONES = (250.3, 507.0, 1010.0, 1999.0, 4040.0)  # Hz, one in each band of the harmonic-to-noise ratio


def sines(level: float, seconds: float = 4.0, rate: int = RATE) -> torch.Tensor:
    time = torch.arange(round(seconds * rate)) / rate
    return level * sum(torch.sin(2 * math.pi * frequency * time) for frequency in TONES)


def white_noise(level: float, seconds: float = 4.0, rate: int = RATE) -> torch.Tensor:
    return level * torch.randn(round(seconds * rate), generator=torch.Generator().manual_seed(0))


def test_sound_check_of_a_sine():
    check = check_sound((0.5 * torch.sin(2 * math.pi * 440 * torch.arange(RATE) / RATE), RATE))
    assert check.peak == pytest.approx(0.5, abs=1e-3)
    assert check.level == pytest.approx(-9.03, abs=0.01)
    assert check.clipped_share == check.silent_share == check.longest_silence == 0
    assert check.dc < 1e-6 and check.loudness_spread < 0.1


def test_clipping_dc_and_silence_are_detected():
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
    assert set(check.bands.values()) == {-120}
    assert math.isnan(check.loudness) and math.isnan(check.harmonic_to_noise) and math.isnan(check.rise)
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


@pytest.mark.parametrize("rate, highest", [(8000, "2 kHz"), (16000, "4 kHz"), (24000, "8 kHz"), (44100, "8 kHz")])
def test_the_level_of_each_octave_band(rate, highest):
    levels = octave_levels((sines(0.1, rate=rate), rate))
    assert list(levels)[0] == "63 Hz" and list(levels)[-1] == highest
    for band in ("250 Hz", "500 Hz", "1 kHz", "2 kHz"):
        assert levels[band] == pytest.approx(-23.01, abs=0.1)
    assert levels["63 Hz"] < -55
    # Twice the bandwidth has twice the power, and all bands together have their share of the total bandwidth.
    levels = octave_levels((white_noise(0.1, rate=rate), rate))
    steps = [after - before for before, after in zip(list(levels.values())[2:], list(levels.values())[3:])]
    assert steps == pytest.approx([3.01] * len(steps), abs=0.5)
    lowest, nominal = 63 / math.sqrt(2), {"2 kHz": 2000, "4 kHz": 4000, "8 kHz": 8000}[highest] * math.sqrt(2)
    total = 10 * math.log10(sum(10 ** (level / 10) for level in levels.values()))
    assert total == pytest.approx(-20 + 10 * math.log10((nominal - lowest) / (rate / 2)), abs=0.2)


def test_the_harmonic_to_noise_ratio_separates_tones_from_noise():
    assert harmonic_to_noise((sines(0.1), RATE)) > 45
    assert harmonic_to_noise((white_noise(0.1), RATE)) < -8
    # The power of white noise in a band is proportional to the bandwidth.
    expected = [
        10 * math.log10(0.1**2 / 2 / (0.03**2 * f / math.sqrt(2) / (RATE / 2))) for f in (250, 500, 1000, 2000, 4000)
    ]
    assert harmonic_to_noise((sines(0.1) + white_noise(0.03), RATE)) == pytest.approx(sum(expected) / 5, abs=1)
    chord = play_chords([("C", 0.0), ("F", 2.0)], 4.0)
    ratios = [harmonic_to_noise((chord + white_noise(level), RATE)) for level in (0.0, 0.001, 0.01, 0.1)]
    assert ratios == sorted(ratios, reverse=True) and ratios[0] > ratios[-1] + 15
    # The ratio does not depend on loudness, and silent bands are ignored.
    assert harmonic_to_noise((0.3 * (chord + white_noise(0.01)), RATE)) == pytest.approx(ratios[2], abs=0.01)
    assert harmonic_to_noise((0.5 * torch.sin(2 * math.pi * 440 * torch.arange(4 * RATE) / RATE), RATE)) > 45


def test_softened_and_late_onsets_rise_less():
    onsets = [0.25, 0.75, 1.25, 1.75]
    drums = play_drums(onsets, 2.0) + white_noise(0.001, 2.0)
    sharp = rise_at_onsets((drums, RATE), onsets)
    # The mean power over 30 ms of a burst that decays within 30 ms, relative to the noise before it.
    assert sharp == pytest.approx(10 * math.log10(0.16 * (1 - math.exp(-2)) / 2 / 0.001**2), abs=1)
    soft = torch.nn.functional.avg_pool1d(drums.square()[None], 801, 1, 400)[0].sqrt()
    assert 3 < rise_at_onsets((soft, RATE), onsets) < sharp - 5
    assert rise_at_onsets((drums, RATE), [onset - 0.025 for onset in onsets]) < sharp - 3
    assert abs(rise_at_onsets((white_noise(0.1), RATE), onsets)) < 1
    assert math.isnan(rise_at_onsets((drums, RATE), [0.01]))


def check(waveform: torch.Tensor, rate: int = RATE) -> dict:
    return dataclasses.asdict(check_sound((waveform, rate)))


def test_sets_of_clips_are_compared_by_band_and_loudness():
    references = [check(white_noise(level)) for level in (0.05, 0.06, 0.07, 0.08)]
    same = compare_sound(references, references)
    assert set(same["bands"].values()) == {0.0} and same["usual_loudness"] == 0.5
    # Twice the amplitude is 6 dB in every band, outside the usual loudness.
    loud = compare_sound([check(white_noise(level)) for level in (0.1, 0.12, 0.14, 0.16)], references)
    assert loud["bands"] == pytest.approx(dict.fromkeys(same["bands"], 6.02), abs=0.01) and loud["usual_loudness"] == 0
    bright = compare_sound([check(white_noise(0.065) + 0.1 * tone(96, 4.0, 1, 1.0))] * 4, references)
    assert bright["worst_band"] == "2 kHz" and bright["bands"]["2 kHz"] > 3 and abs(bright["bands"]["500 Hz"]) < 0.5
    # Inaudible levels do not differ, and bands that are missing in one set are not compared.
    silent = [check(torch.zeros(4 * RATE))] * 2
    faint = compare_sound([check(white_noise(1e-4))] * 2, silent)
    assert set(faint["bands"].values()) == {0.0} and math.isnan(faint["usual_loudness"])
    assert "8 kHz" not in compare_sound([check(white_noise(0.1, rate=24000), 24000)], references)["bands"]
