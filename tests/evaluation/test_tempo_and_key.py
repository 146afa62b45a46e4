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

from diffusers_jasco.evaluation.metrics.beats import score_continuity
from diffusers_jasco.evaluation.metrics.key import score_key
from diffusers_jasco.evaluation.metrics.tempo import score_tempo


# A minute at 120 BPM.
BEATS = np.arange(0.2, 60, 0.5)


@pytest.mark.parametrize(
    ("estimate", "acc1", "acc2"),
    [
        (100.0, 1, 1),
        (104.0, 1, 1),
        (96.0, 1, 1),
        (105.0, 0, 0),
        (95.0, 0, 0),
        (50.0, 0, 1),
        (200.0, 0, 1),
        (300.0, 0, 1),
        (100 / 3, 0, 1),
        (208.0, 0, 1),
        (210.0, 0, 0),
        (150.0, 0, 0),
        (75.0, 0, 0),
        (400.0, 0, 0),
    ],
)
def test_tempo_within_4_percent(estimate, acc1, acc2):
    assert score_tempo(estimate, 100.0) == {"acc1": acc1, "acc2": acc2}


def test_music_or_estimates_without_a_tempo():
    assert score_tempo(None, 100.0) == score_tempo(0.0, 100.0) == score_tempo(math.nan, 100.0)
    assert score_tempo(None, 100.0) == {"acc1": 0, "acc2": 0}
    assert all(math.isnan(value) for value in score_tempo(100.0, None).values())


def test_random_tempi_are_rarely_right():
    rng = np.random.default_rng(0)
    scores = [score_tempo(*rng.uniform(60, 180, 2)) for _ in range(2000)]
    assert np.mean([score["acc1"] for score in scores]) < 0.12 and np.mean([score["acc2"] for score in scores]) < 0.25


@pytest.mark.parametrize(
    ("estimate", "score"),
    [
        ("C major", 1.0),
        ("G major", 0.5),
        ("A minor", 0.3),
        ("C minor", 0.2),
        ("F major", 0.0),
        ("F# major", 0.0),
        ("E minor", 0.0),
        (None, 0.0),
    ],
)
def test_related_keys(estimate, score):
    pytest.importorskip("mir_eval")
    assert score_key(estimate, "C major") == {"key": score}


def test_spellings_and_missing_keys():
    pytest.importorskip("mir_eval")
    assert score_key("Eb minor", "D# minor")["key"] == 1 and score_key("C minor", "Eb major")["key"] == 0.3
    assert math.isnan(score_key("C major", None)["key"])
    with pytest.raises(ValueError):
        score_key("C", "C major")


def test_random_keys_score_low():
    pytest.importorskip("mir_eval")
    from diffusers_jasco.controls.chord_labels import NOTES

    keys = [f"{note} {mode}" for mode in ("major", "minor") for note in NOTES]
    # Two keys per reference score 1 and 0.5, and the relative and the parallel key 0.3 and 0.2.
    assert np.mean([score_key(a, b)["key"] for a in keys for b in keys]) == pytest.approx(2 / 24)


def test_continuity_of_beats_at_each_metrical_level():
    pytest.importorskip("mir_eval")
    assert score_continuity(BEATS, BEATS) == {"cmlt": 1, "amlt": 1}
    # Within 17.5% of a beat.
    assert score_continuity(BEATS + 0.08, BEATS) == {"cmlt": 1, "amlt": 1}
    off_beat = BEATS + 0.25
    double = np.sort(np.concatenate([BEATS, off_beat]))
    for estimate in (BEATS[::2], BEATS[1::2], double, off_beat):
        scores = score_continuity(estimate, BEATS)
        assert scores["cmlt"] == 0 and scores["amlt"] > 0.98
    # Neither a third of the tempo nor a quarter of a beat late is a metrical level.
    for estimate in (BEATS[::3], BEATS + 0.125):
        assert score_continuity(estimate, BEATS) == {"cmlt": 0, "amlt": 0}


@pytest.mark.parametrize("bpm", [60, 90, 120, 180])
def test_slower_playback_fails_within_a_minute(bpm):
    pytest.importorskip("mir_eval")
    beats = np.arange(0.2, 60, 60 / bpm)
    for factor in (1.01, 1.05, 0.95):
        scores = score_continuity(factor * beats, beats)
        assert scores["cmlt"] <= scores["amlt"] < 0.5
    # Two seconds are too short to drift away.
    assert score_continuity(1.01 * beats[:4], beats[:4])["cmlt"] == 1


def test_random_beats_are_not_continuous():
    pytest.importorskip("mir_eval")
    estimate = np.sort(np.random.default_rng(0).uniform(0, 60, len(BEATS)))
    assert score_continuity(estimate, BEATS)["amlt"] < 0.2


def test_continuity_of_few_beats():
    pytest.importorskip("mir_eval")
    assert score_continuity([], BEATS) == score_continuity([1.0], BEATS) == {"cmlt": 0, "amlt": 0}
    assert all(math.isnan(value) for value in score_continuity(BEATS, BEATS[:3]).values())
