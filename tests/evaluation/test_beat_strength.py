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

import numpy as np
import pytest
import torch

from diffusers_jasco.evaluation.metrics.beat_strength import BeatEstimate, estimate_beat

from .clips import RATE, play_chords, play_drums


SECONDS = 10.0
TIME = torch.arange(round(SECONDS * RATE)) / RATE


def play_groove(tempo: float, seconds: float = SECONDS, start: float = 0.3, seed: int = 0) -> torch.Tensor:
    """Loud drums on beats and quiet ones on some eighths between, over held chords."""
    beat = 60 / tempo
    loud = np.arange(start, seconds - 0.1, beat)
    quiet = np.concatenate([loud[1::4] + beat / 2, loud[2::4] + beat / 2])
    drums = play_drums(loud, seconds, seed=seed) + 0.4 * play_drums(quiet[quiet < seconds - 0.1], seconds, seed=seed)
    return (drums + 0.5 * play_chords([("C", 0.0), ("F", seconds / 2)], seconds))[0]


def white_noise(seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(len(TIME), generator=torch.Generator().manual_seed(seed))


def modulate(audio: torch.Tensor, frequency: float, phase: float) -> torch.Tensor:
    return audio * (0.5 - 0.5 * torch.cos(2 * math.pi * frequency * TIME + phase))


def random_walk(seed: int) -> torch.Tensor:
    steps = torch.randn(len(TIME) // 160, generator=torch.Generator().manual_seed(seed)).cumsum(0)
    levels = 6 * (steps - steps.mean()) / steps.std()
    return white_noise(seed) * 10 ** (levels.repeat_interleave(160) / 20)


def random_clicks(seed: int) -> torch.Tensor:
    times = np.random.default_rng(seed).uniform(0, SECONDS - 0.1, size=20)
    return play_drums(times, SECONDS, seed=seed)[0] + 0.001 * white_noise(seed)


def blur(audio: torch.Tensor, seconds: float, seed: int) -> torch.Tensor:
    """Averages magnitudes over time, with random phases."""
    window = torch.hann_window(1024)
    magnitudes = torch.stft(audio, 1024, 256, window=window, return_complex=True).abs()
    size = 2 * round(seconds * RATE / 512) + 1
    magnitudes = torch.nn.functional.avg_pool1d(magnitudes, size, 1, size // 2, count_include_pad=False)
    phases = 2 * math.pi * torch.rand(magnitudes.shape, generator=torch.Generator().manual_seed(seed))
    return torch.istft(torch.polar(magnitudes, phases), 1024, 256, window=window, length=len(audio))


def scaled_strength(estimate: BeatEstimate) -> float:
    """As in [`compare_form`], with a groove as the reference."""
    groove = estimate_beat((play_groove(120), RATE))
    return estimate.strength / groove.strength * min(max(estimate.rise / groove.rise, 0), 1)


@pytest.mark.parametrize("tempo", [72.0, 96.0, 120.0, 163.0])
def test_a_groove_is_predicted_from_its_other_half(tempo):
    estimate = estimate_beat((play_groove(tempo), RATE))
    assert estimate.strength > 0.8 and estimate.rise > 5
    assert min(abs(estimate.tempo / tempo / factor - 1) for factor in (0.5, 1, 2)) < 0.01
    # Estimated beats are at drums, and these at multiples of half a beat.
    position = (estimate.beats - 0.3) / (30 / tempo)
    assert np.abs(position - np.round(position)).max() * 30 / tempo < 0.03


def test_form_is_measured_rather_than_timing():
    groove, slower = (estimate_beat((play_groove(tempo), RATE)) for tempo in (120.0, 120 / 1.01))
    assert slower.strength == pytest.approx(groove.strength, abs=0.05)
    assert slower.tempo / groove.tempo == pytest.approx(1 / 1.01, abs=0.002)


def test_a_tempo_that_changes_is_not_predicted():
    half = len(TIME) // 2
    audio = torch.cat([play_groove(120)[:half], play_groove(98)[:half]])
    assert estimate_beat((audio, RATE)).strength < 0.3


BAD_SIGNALS = {
    "noise": white_noise,
    "random walk of the level": random_walk,
    "random clicks": random_clicks,
    "blur of 0.5 s": lambda seed: blur(play_groove(110 + 7 * seed, seed=seed), 0.5, seed),
    "blur of 1 s": lambda seed: blur(play_groove(110 + 7 * seed, seed=seed), 1.0, seed),
}
for frequency in (0.5, 1.0, 12.5, 25.0):
    BAD_SIGNALS[f"noise at {frequency} Hz"] = lambda seed, f=frequency: modulate(white_noise(seed), f, seed)
    BAD_SIGNALS[f"chord at {frequency} Hz"] = lambda seed, f=frequency: modulate(
        play_chords([("Am", 0.0)], SECONDS)[0], f, seed
    )


@pytest.mark.parametrize("name", BAD_SIGNALS)
def test_signals_without_a_beat_score_low(name):
    scores = [scaled_strength(estimate_beat((BAD_SIGNALS[name](seed), RATE))) for seed in range(4)]
    assert np.mean(scores) <= 0.1 and max(scores) <= 0.2


def test_softer_onsets_have_a_lower_rise():
    groove = play_groove(120)
    soft = torch.nn.functional.avg_pool1d(groove.square()[None], 1601, 1, 800)[0].sqrt() * white_noise() * 10
    assert estimate_beat((soft, RATE)).rise < 0.4 * estimate_beat((groove, RATE)).rise


def test_level_rate_and_channels_do_not_matter():
    groove = play_groove(120)
    estimate = estimate_beat((groove, RATE))
    quiet = estimate_beat((0.05 * groove.repeat(2, 1), RATE))
    assert quiet.strength == pytest.approx(estimate.strength, abs=1e-3)
    assert quiet.rise == pytest.approx(estimate.rise, abs=1e-2)
    upsampled = torch.nn.functional.interpolate(groove[None, None], scale_factor=3, mode="linear")[0]
    other = estimate_beat((upsampled, 3 * RATE))
    assert other.strength == pytest.approx(estimate.strength, abs=0.05)
    assert other.tempo == pytest.approx(estimate.tempo, abs=0.5)


def test_any_duration():
    for seconds in (4.0, 7.0, 14.0, 33.0):
        estimate = estimate_beat((play_groove(120, seconds), RATE))
        assert estimate.strength > 0.7
        assert estimate.beats.min() < 0.8 and seconds - 0.8 < estimate.beats.max() < seconds
    short = estimate_beat((play_groove(120, 3.9), RATE))
    assert math.isnan(short.strength) and math.isnan(short.rise) and math.isnan(short.tempo) and len(short.beats) == 0


def test_silence_has_no_beat():
    silence = estimate_beat((torch.zeros(len(TIME)), RATE))
    assert silence.strength == silence.rise == 0 and math.isnan(silence.tempo) and len(silence.beats) == 0
    constant = estimate_beat((torch.full((len(TIME),), 0.5), RATE))
    assert abs(constant.strength) < 0.1
