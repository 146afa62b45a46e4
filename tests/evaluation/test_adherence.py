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

import numpy as np
import pytest

from diffusers_jasco.evaluation.adherence import (
    Adherence,
    analyze,
    bootstrap,
    derangements,
    measure_adherence,
    score,
    score_floor,
    to_markdown,
    worst,
)
from diffusers_jasco.evaluation.control_estimators import ESTIMATORS, Estimator
from diffusers_jasco.evaluation.metrics.chord_qualities import FAMILY_METRICS

from .clips import make_item


@pytest.fixture(scope="module")
def items():
    clips = [make_item(seed) for seed in range(10)]
    clips[3]["drum_onsets"] = []
    clips[4]["melody"] = []
    # Their drums are irregular.
    return [{name: value for name, value in clip.items() if "beats" not in name} for clip in clips]


@pytest.fixture(scope="module")
def estimates(items):
    return analyze((item["audio"], item["sampling_rate"]) for item in items)


def make_row(estimator="a", value=0.5, ceiling=0.9, metric="root", floor=0.1):
    return Adherence("chords", metric, estimator, 20, 0.5, floor, ceiling, value, 0.4, 0.6)


def test_adherence_is_1_for_references_and_0_for_other_clips(items, estimates):
    ceilings, floors = score(estimates, items), score_floor(estimates, items)
    for row in measure_adherence(ceilings, floors, ceilings, min_clips=1):
        assert row.value == pytest.approx(1), row
        assert row.low == pytest.approx(1) and row.high == pytest.approx(1)
        assert row.ceiling > row.floor
    swap = derangements(len(items), 1, seed=5)[0]
    others = score([estimates[i] for i in swap], items)
    for row in measure_adherence(others, floors, ceilings, min_clips=2):
        if row.metric in (*FAMILY_METRICS, "iou"):  # too few clips, and a low ceiling for short clips
            continue
        assert row.counts, row
        assert abs(row.value) < 0.3, row
        assert row.low <= row.value <= row.high


def test_clips_without_a_control_are_ignored(items, estimates):
    ceilings, floors = score(estimates, items), score_floor(estimates, items)
    for name in ("percussive flux", "noise flux"):
        for values in (ceilings, floors):
            np.testing.assert_array_equal(np.flatnonzero(np.isnan(values[name, "onset_f1"])), [3])
    rows = measure_adherence(ceilings, floors, ceilings, min_clips=2)
    clips = {row.metric: row.num_clips for row in rows}
    assert clips["root"] == clips["exact"] == 10 and clips["pitch"] == clips["onset_f1"] == 9
    # These items have neither beats nor the salience of their reference audio.
    assert not {"beat_f1", "cosine"} & clips.keys()


def test_derangements_have_no_fixed_points_and_never_agree():
    others = derangements(7, 4, seed=1)
    assert others.shape == (4, 7)
    assert (np.sort(others, axis=1) == np.arange(7)).all()
    assert (others != np.arange(7)).all()
    assert all(len(set(column)) == 4 for column in others.T)
    np.testing.assert_array_equal(others, derangements(7, 4, seed=1))
    assert derangements(3, 8, seed=0).shape == (2, 3)
    with pytest.raises(ValueError, match="At least 2 clips"):
        derangements(1, 1, seed=0)


def test_intervals_contain_the_mean_and_narrow_with_more_clips():
    rng = np.random.default_rng(0)
    widths = []
    for size in (20, 2000):
        ceiling = np.clip(rng.normal(0.9, 0.05, size), 0, 1)
        floor = np.clip(rng.normal(0.1, 0.05, size), 0, 1)
        values = np.clip(rng.normal(0.5, 0.2, size), 0, 1)
        low, high = bootstrap(values, floor, ceiling)
        mean = (values.mean() - floor.mean()) / (ceiling.mean() - floor.mean())
        assert low < mean < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 5


def test_intervals_have_their_nominal_coverage():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        low, high = bootstrap(rng.normal(0.5, 0.2, 40), rng.normal(0.1, 0.05, 40), rng.normal(0.9, 0.05, 40))
        covered += low < 0.5 < high
    assert 180 <= covered <= 200


def test_the_lowest_row_that_counts_is_reported():
    rows = [
        make_row("a", 0.8),
        make_row("b", 0.6),
        make_row("c", 0.1, ceiling=0.69),
        make_row("a", 0.9, metric="majmin"),
    ]
    assert [(row.estimator, row.metric) for row in worst(rows)] == [("b", "root"), ("a", "majmin")]
    assert not rows[2].counts and not make_row(floor=0.95).counts
    assert worst(rows[2:3]) == []
    table = to_markdown(rows)
    assert len(table.splitlines()) == 2 + len(rows)
    assert "**0.60**" in table and "**0.80**" not in table and "ceiling < 0.7" in table


def test_a_constant_estimator_gives_no_value():
    constant = Estimator("constant", "chords", ("root",), lambda audio: None, lambda estimate, item: {"root": 0.2})
    clips = [{}, {}, {}]
    estimates = analyze(clips, (constant,))
    scores, floors = score(estimates, clips, (constant,)), score_floor(estimates, clips, estimators=(constant,))
    (row,) = measure_adherence(scores, floors, scores, (constant,), min_clips=2)
    assert np.isnan(row.value) and not row.counts
    assert worst([row]) == [] and "ceiling" in to_markdown([row])


def test_scores_need_enough_clips():
    estimator = Estimator(
        "oracle", "chords", ("root",), lambda audio: None, lambda estimate, item: {"root": item["score"]}
    )
    key = "oracle", "root"
    for size, is_enough in ((19, False), (20, True)):
        scores, floors, ceilings = ({key: np.full(size, value)} for value in (0.5, 0.1, 0.9))
        (row,) = measure_adherence(scores, floors, ceilings, (estimator,))
        assert row.num_clips == size and row.counts == is_enough and bool(worst([row])) == is_enough
        assert np.isnan([row.score, row.value, row.low, row.high]).all() != is_enough
        assert (f"n/a ({size} of at least 20 clips)" in to_markdown([row])) != is_enough
        assert "nan" not in to_markdown([row])


def test_every_metric_has_two_estimators():
    for metric in (
        "root",
        "sevenths",
        "exact",
        "iou",
        "tones",
        "bass",
        "pitch",
        "chroma",
        "onset_f1",
        "onset_f1_70ms",
    ):
        assert len({estimator.name for estimator in ESTIMATORS if metric in estimator.metrics}) >= 2
