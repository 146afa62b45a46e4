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

from diffusers_jasco.audio.resampling import resample
from diffusers_jasco.evaluation.control_estimators import ESTIMATORS
from diffusers_jasco.evaluation.metrics.drift import cut_item, first_against_last, loudness_deviation, measure_drift

from .clips import RATE, make_item, play_chords, play_drums


SECONDS = 40.0


@pytest.fixture(scope="module")
def onsets() -> list[float]:
    times = 0.2 + np.cumsum(np.random.default_rng(0).choice([0.2, 0.4, 0.6], 200))
    return times[times < SECONDS - 0.2].tolist()


@pytest.fixture(scope="module")
def piece(onsets) -> torch.Tensor:
    return play_drums(onsets, SECONDS) + 0.3 * play_chords([("C", 0.0), ("Am", 15.0), ("F", 25.0)], SECONDS)


def delayed(audio: torch.Tensor, seconds: float) -> torch.Tensor:
    return torch.nn.functional.pad(audio, (round(seconds * RATE), 0))


def test_a_steady_piece_does_not_drift(piece, onsets):
    drift = measure_drift((piece, RATE), onsets)
    assert drift.times.tolist() == [5, 15, 25, 35]
    assert np.abs(drift.lags).max() < 8 and (drift.correlations > 0.8).all()
    assert abs(drift.slope) < 5 and abs(drift.last_minus_first) < 5


def test_a_constant_delay_is_a_lag_but_not_a_drift(piece, onsets):
    steady, late = measure_drift((piece, RATE), onsets), measure_drift((delayed(piece, 0.03), RATE), onsets)
    assert late.lags - steady.lags == pytest.approx(30, abs=3)
    assert abs(late.slope - steady.slope) < 5
    early = measure_drift((piece[:, round(0.1 * RATE) :], RATE), onsets)
    assert early.lags - steady.lags[: len(early.lags)] == pytest.approx(-100, abs=3)


@pytest.mark.parametrize("percent, slope", [(1, 600), (-0.5, -300)])
def test_slower_and_faster_playback_drifts(piece, onsets, percent, slope):
    played = resample(piece, RATE, round(RATE * (1 + percent / 100)))
    drift = measure_drift((played, RATE), onsets)
    assert drift.slope == pytest.approx(slope, rel=0.05)
    # At the end the lag of 1% exceeds 250 ms, since lags are searched near the previous one.
    assert drift.last_minus_first == pytest.approx(slope * (drift.times[-1] - drift.times[0]) / 60, rel=0.1)


def test_a_jump_is_found_in_its_window(piece, onsets):
    last = round(30 * RATE)
    jump = torch.cat([piece[:, :last], delayed(piece[:, last:], 0.2)], dim=1)
    drift = measure_drift((jump, RATE), onsets)
    assert drift.last_minus_first == pytest.approx(200, abs=10)
    assert drift.lags - drift.lags[0] == pytest.approx([0, 0, 0, 200], abs=10)


def test_a_recording_can_be_requested(piece, onsets):
    drums = play_drums(onsets, SECONDS, seed=1)
    drift = measure_drift((delayed(piece, 0.05), RATE), (drums, RATE))
    assert drift.lags == pytest.approx(50, abs=5)


@pytest.mark.parametrize("kind", ["noise", "silence", "other rhythm", "tones"])
def test_unrelated_audio_has_no_lag(onsets, kind):
    audio = {
        "noise": 0.1 * torch.randn(1, round(SECONDS * RATE), generator=torch.Generator().manual_seed(0)),
        "silence": torch.zeros(1, round(SECONDS * RATE)),
        "other rhythm": play_drums(np.cumsum(np.random.default_rng(1).uniform(0.1, 0.6, 100)).tolist(), SECONDS),
        "tones": play_chords([("C", 0.0)], SECONDS),
    }[kind]
    drift = measure_drift((audio, RATE), onsets)
    assert np.isnan(drift.lags).all() and drift.correlations.max() < 0.35
    assert math.isnan(drift.slope) and math.isnan(drift.last_minus_first)


@pytest.mark.parametrize("seconds", [0.01, 0.2, 2.0])
def test_short_pieces_have_one_window(piece, onsets, seconds):
    drift = measure_drift((piece[:, : round(seconds * RATE)], RATE), onsets)
    assert len(drift.lags) == 1 and math.isnan(drift.slope)


def test_without_requested_onsets_there_is_no_lag(piece):
    drift = measure_drift((piece, RATE), [])
    assert np.isnan(drift.lags).all() and (drift.correlations == 0).all()


def test_a_random_walk_of_the_level_is_found():
    generator = torch.Generator().manual_seed(0)
    steady = 0.05 * torch.randn(1, 60 * RATE, generator=generator)
    walk = torch.randn(60, generator=generator).mul(1.5).cumsum(0).repeat_interleave(RATE)
    wandering = steady * 10 ** (walk / 20)
    assert loudness_deviation((steady, RATE)) < 0.1
    assert loudness_deviation((wandering, RATE)) > 3
    # A known step: the median is the level of the majority.
    step = torch.cat([steady[:, : 50 * RATE], 2 * steady[:, 50 * RATE :]], dim=1)
    assert loudness_deviation((step, RATE)) == pytest.approx(6.02, abs=0.1)


def test_deviations_of_the_reference_are_allowed():
    steady = 0.05 * torch.randn(1, 60 * RATE, generator=torch.Generator().manual_seed(0))
    crescendo = steady * torch.logspace(-0.5, 0, 60 * RATE)
    assert loudness_deviation((crescendo, RATE)) > 3
    assert loudness_deviation((crescendo, RATE), (crescendo, RATE)) == 0
    assert loudness_deviation((crescendo, RATE), (steady, RATE)) == pytest.approx(
        loudness_deviation((crescendo, RATE)), abs=0.1
    )
    assert loudness_deviation((torch.zeros(100), RATE)) == 0


def test_sections_have_the_controls_of_their_time():
    item = make_item(0, 24.0) | {"beats": [0.0, 10.0, 14.5, 20.0], "caption": "music"}
    section = cut_item(item, 14.0, 10.0)
    assert section["duration"] == 10 and section["audio"].shape[-1] == 10 * RATE and section["caption"] == "music"
    assert section["beats"] == [0.5, 6.0]
    assert section["chords"] == [(item["chords"][-1][0], 0.0)]
    assert section["drum_onsets"] == pytest.approx(
        [onset - 14 for onset in item["drum_onsets"] if onset >= 14], abs=1e-4
    )
    assert section["melody"][0][1:] == (0.0, 0.45) and section["melody"][0][0] == item["melody"][28][0]
    assert torch.equal(section["audio"], item["audio"][:, 14 * RATE :])
    with pytest.raises(ValueError, match="within the 24 s"):
        cut_item(item, 15.0, 10.0)


def test_the_end_is_compared_with_the_beginning():
    pytest.importorskip("mir_eval")
    items = [make_item(seed, 20.0) for seed in range(4)]
    estimators = [estimator for estimator in ESTIMATORS if estimator.name in ("noise flux", "segment templates")]
    # The second half of each generated piece is that of another piece.
    forgetful = [
        (torch.cat([item["audio"][:, : 10 * RATE], other["audio"][:, 10 * RATE :]], dim=1), RATE)
        for item, other in zip(items, items[1:] + items[:1])
    ]
    rows = first_against_last(forgetful, items, estimators, min_clips=2)
    first, last = (
        {(row.estimator, row.metric): row.value for row in rows[name] if row.counts} for name in ("first", "last")
    )
    assert first["noise flux", "onset_f1"] == pytest.approx(1) and last["noise flux", "onset_f1"] < 0.3
    with pytest.raises(ValueError, match="at least 20 s"):
        first_against_last([(items[0]["audio"], RATE)], [items[0] | {"duration": 19.0}], estimators)
    with pytest.raises(ValueError, match="4 items"):
        first_against_last(forgetful[:1], items, estimators)


def test_onsets_can_be_a_tensor_and_have_to_be_times():
    onsets = [0.5 * index for index in range(20)]
    audio = play_drums(onsets, 10.0), RATE
    assert measure_drift(audio, torch.tensor(onsets)).lags == pytest.approx(measure_drift(audio, onsets).lags)
    for invalid in ([math.nan], [-1.0]):
        with pytest.raises(ValueError, match="`requested` has to consist of times"):
            measure_drift(audio, invalid)
    with pytest.raises(FileNotFoundError):
        measure_drift(audio, "missing.wav")
