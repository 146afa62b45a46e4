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

from diffusers_jasco.controls.chord_labels import default_chord_labels, parse_chord
from diffusers_jasco.evaluation.metrics.chord_qualities import FAMILIES, LABEL_METRICS, chord_family, score_labels


def test_equal_progressions_score_1():
    chords = [("Db", 0.0), ("F#m7b5", 1.0), ("C7/E", 2.0), ("N", 3.0), ("Caug", 5.0)]
    scores = score_labels([("C#", 0.0), ("Gbm7b5", 1.0), *chords[2:]], chords, 6.0)
    assert scores.keys() == set(LABEL_METRICS)
    assert all(math.isnan(value) or value == 1 for value in scores.values())
    for metric in ("sevenths", "exact", "iou", "tones", "bass", "tones: aug", "bass: m7b5", "tones: inversions"):
        assert scores[metric] == 1, metric
    assert math.isnan(scores["tones: dim"])


def test_half_of_the_time_correct_is_a_third_of_the_union():
    scores = score_labels([("C", 0.0), ("F#", 2.0)], [("C", 0.0)], 4.0)
    assert scores["exact"] == scores["sevenths"] == scores["bass"] == pytest.approx(0.5)
    assert scores["iou"] == pytest.approx(2 / 6)
    # C and F# have no tone in common.
    assert scores["tones"] == pytest.approx(0.5)


def test_chords_in_time_without_a_reference_only_affect_the_union():
    scores = score_labels([("C", 0.0)], [("C", 0.0), ("N", 2.0)], 4.0)
    assert scores["exact"] == 1 and scores["iou"] == pytest.approx(0.5)
    # Unknown chords do not count toward the union.
    assert score_labels([("C", 0.0)], [("C", 0.0), ("UNK", 2.0)], 4.0)["iou"] == 1


def test_late_changes_reduce_scores_by_their_delay():
    scores = score_labels([("C", 0.0), ("G", 2.5)], [("C", 0.0), ("G", 2.0)], 4.0)
    assert scores["exact"] == pytest.approx(3.5 / 4) and scores["iou"] == pytest.approx(3.5 / 4.5)


def test_tones_and_bass_score_chords_that_mir_eval_ignores():
    # Three of four tones and the bass are right.
    scores = score_labels([("Cdim", 0.0)], [("Cm7b5", 0.0)], 2.0)
    assert scores["tones"] == scores["tones: m7b5"] == pytest.approx(6 / 7)
    assert scores["bass: m7b5"] == 1 and scores["exact"] == 0 and math.isnan(scores["sevenths"])
    inverted = score_labels([("C", 0.0)], [("C/E", 0.0)], 2.0)
    assert inverted["tones: inversions"] == 1 and inverted["bass: inversions"] == 0 and inverted["exact"] == 0
    augmented = score_labels([("C", 0.0)], [("Caug", 0.0)], 2.0)
    assert augmented["tones: aug"] == pytest.approx(2 / 3) and augmented["bass: aug"] == 1


def test_silence_scores_0_and_no_reference_chord_scores_nan():
    scores = score_labels([("N", 0.0)], [("C", 0.0)], 2.0)
    assert scores["exact"] == scores["iou"] == scores["tones"] == scores["bass"] == scores["sevenths"] == 0
    assert all(math.isnan(value) for value in score_labels([("C", 0.0)], [("N", 0.0)], 2.0).values())
    assert all(math.isnan(value) for value in score_labels([("C", 0.0)], [], 2.0).values())


def test_every_chord_of_the_vocabulary_has_a_family():
    families = {chord_family(parse_chord(label)) for label in default_chord_labels() if label not in ("N", "UNK")}
    assert families == set(FAMILIES)
