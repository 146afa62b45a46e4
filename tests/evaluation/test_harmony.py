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

from diffusers_jasco.evaluation.metrics.harmony import fit_triads, measure_harmony

from .clips import RATE, play_chords, tone


SECONDS = 8.0
BEATS = np.arange(0.5, SECONDS, 0.5)
PROGRESSION = [("C", 0.0), ("Am", 2.0), ("F", 4.0), ("G", 6.0)]


def average_spectra(audio: torch.Tensor) -> torch.Tensor:
    """Gives every moment the clip's mean magnitudes, with random phases."""
    window = torch.hann_window(4096)
    magnitudes = torch.stft(audio, 4096, 1024, window=window, return_complex=True).abs()
    magnitudes = magnitudes.mean(dim=1, keepdim=True).expand_as(magnitudes)
    phases = 2 * math.pi * torch.rand(magnitudes.shape, generator=torch.Generator().manual_seed(0))
    return torch.istft(torch.polar(magnitudes.contiguous(), phases), 4096, 1024, window=window, length=len(audio))


def random_notes(seed: int, num_voices: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.cat([sum(tone(pitch, 0.5) for pitch in rng.integers(48, 84, num_voices)) for _ in range(16)])


def test_cosines_with_triads():
    fits = fit_triads(np.eye(12)[[[0, 4, 7], [9, 0, 4], [0, 3, 6]]].sum(axis=1))
    assert fits.shape == (3, 24)
    assert fits[0].argmax() == 0 and fits[1].argmax() == 12 + 9
    assert fits.max(axis=1) == pytest.approx([1, 1, 2 / 3])
    assert fit_triads(np.ones((1, 12))) == pytest.approx(np.full((1, 24), 0.5))
    assert (fit_triads(np.zeros((1, 12))) == 0).all()


def test_a_progression():
    estimate = measure_harmony((play_chords(PROGRESSION, SECONDS), RATE), BEATS)
    assert estimate.harmony > 0.8 and estimate.averaged < estimate.harmony - 0.1
    assert estimate.distinct_triads == 4 and estimate.chord_changes == 3 and estimate.changes_on_beats == 1
    # 15 beats with 140 ms around each
    assert estimate.chance_on_beats == pytest.approx(15 * 0.14 / SECONDS)


def test_chord_changes_between_beats():
    off = [(label, start + 0.25 * (start > 0)) for label, start in PROGRESSION]
    assert measure_harmony((play_chords(off, SECONDS), RATE), BEATS).changes_on_beats == 0
    dense = measure_harmony((play_chords(off, SECONDS), RATE), np.arange(0, SECONDS, 0.1))
    assert dense.changes_on_beats == 1 and dense.chance_on_beats > 0.99


def test_a_held_chord_is_clear_but_not_a_progression():
    estimate = measure_harmony((play_chords([("Eb", 0.0)], SECONDS), RATE), BEATS)
    assert estimate.harmony == pytest.approx(estimate.averaged, abs=0.02) and estimate.harmony > 0.8
    assert estimate.distinct_triads == 1 and estimate.chord_changes == 0 and math.isnan(estimate.changes_on_beats)


def test_noise_and_random_notes_fit_triads_badly():
    music = measure_harmony((play_chords(PROGRESSION, SECONDS), RATE), BEATS)
    noise = torch.randn(round(SECONDS * RATE), generator=torch.Generator().manual_seed(0))
    assert measure_harmony((noise, RATE), BEATS).harmony < 0.56
    for num_voices in (1, 3):
        estimates = [measure_harmony((random_notes(seed, num_voices), RATE), BEATS) for seed in range(4)]
        assert np.mean([estimate.harmony for estimate in estimates]) < (music.harmony + music.averaged) / 2
        assert min(estimate.distinct_triads for estimate in estimates) >= 7


def test_averaged_spectra_have_no_more_than_the_chance_level():
    audio = play_chords(PROGRESSION, SECONDS)[0]
    music, blurred = (measure_harmony((clip, RATE), BEATS) for clip in (audio, average_spectra(audio)))
    assert (blurred.harmony - music.averaged) / (music.harmony - music.averaged) < 0.1


def test_level_and_silence():
    audio = play_chords(PROGRESSION, SECONDS)
    loud, quiet = (measure_harmony((gain * audio, RATE), BEATS) for gain in (1, 0.01))
    assert quiet.harmony == pytest.approx(loud.harmony, abs=1e-3) and quiet.distinct_triads == 4
    # Rests are ignored.
    rest = audio.clone()
    rest[:, 4 * RATE :] = 0
    estimate = measure_harmony((rest, RATE), BEATS)
    assert estimate.harmony == pytest.approx(loud.harmony, abs=0.05) and estimate.distinct_triads <= 3
    silence = measure_harmony((torch.zeros(8 * RATE), RATE), BEATS)
    assert silence.harmony == 0.5 and silence.distinct_triads == silence.chord_changes == 0
    assert math.isnan(silence.averaged) and math.isnan(silence.changes_on_beats)
    short = measure_harmony((torch.zeros(100), RATE), BEATS)
    assert all(math.isnan(value) for value in vars(short).values())


def test_without_beats_and_in_long_clips():
    audio = play_chords(PROGRESSION, SECONDS)
    estimate = measure_harmony((audio, RATE))
    assert estimate.distinct_triads == 4 and estimate.chord_changes == 3
    assert math.isnan(estimate.changes_on_beats) and math.isnan(estimate.chance_on_beats)
    # Triads are counted in windows of about 10 s.
    repeated = measure_harmony((audio.repeat(1, 4), RATE), np.arange(0.5, 4 * SECONDS, 0.5))
    assert repeated.distinct_triads == pytest.approx(4, abs=0.5)
