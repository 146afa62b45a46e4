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

from diffusers_jasco.controls.drum_machine import GROOVES, Groove
from diffusers_jasco.evaluation.metrics.drum_hits import compare_grooves, count_hits


def test_hits_are_matched_by_class_within_50_ms():
    reference = [("kick", 0.0, 1.0), ("kick", 1.0, 1.0), ("hat", 0.5, 1.0), ("tom", 2.0, 1.0)]
    estimate = [("kick", 0.04, 0.5), ("kick", 1.06, 0.5), ("open hat", 0.49, 0.5), ("ride", 2.0, 1.0)]
    counts = count_hits(estimate, reference)
    assert counts["kick"] == (2, 4) and counts["snare"] == (0, 0)
    assert counts["hat"] == (2, 2) and counts["hat only"] == (0, 1)
    assert counts["other"] == (2, 2) and counts["tom only"] == (0, 1)


def test_equal_grooves():
    for groove in GROOVES.values():
        assert compare_grooves(groove, groove) == {"steps": 1, "any_downbeat": 1, "equal": 1}
    one = Groove({"kick": "x...x...x...x..."}, 120)
    assert compare_grooves(Groove({"kick": "x...x..." * 4}, 121), one)["equal"] == 1
    # Sixteenths that swing like triplets are the same as triplets.
    swung = Groove({"kick": "x.x.x.x.", "hat": "xxxxxxxx"}, 100, swing=2 / 3, steps_per_beat=2)
    triplets = Groove({"kick": "x.." * 8, "hat": "x.x" * 8}, 100, steps_per_beat=3)
    assert compare_grooves(triplets, swung)["steps"] > 0.7


def test_errors_of_grooves():
    groove = Groove({"kick": "x...............", "snare": "........x......."}, 100)
    other = Groove({"kick": "x...............", "snare": "........xx......"}, 100)
    assert compare_grooves(other, groove)["steps"] == pytest.approx(31 / 32)
    later = Groove({"kick": "....x...........", "snare": "............x..."}, 100)
    scores = compare_grooves(later, groove)
    assert scores["steps"] == pytest.approx(28 / 32) and scores["any_downbeat"] == 1 and scores["equal"] == 0
    for wrong in (None, Groove(groove.tracks, 200)):
        assert compare_grooves(wrong, groove) == {"steps": 0, "any_downbeat": 0, "equal": 0}
