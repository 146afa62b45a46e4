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

from diffusers_jasco.controls.melody import melody_from_notes
from diffusers_jasco.evaluation.estimators.beats import track_beats
from diffusers_jasco.evaluation.metrics.beats import score_beats
from diffusers_jasco.evaluation.metrics.chords import compare_chords
from diffusers_jasco.evaluation.metrics.melody import compare_melodies, score_melody, score_salience
from diffusers_jasco.evaluation.metrics.onsets import score_onsets
from diffusers_jasco.evaluation.metrics.separation import sdr, si_sdr, suppression

from .clips import RATE, play_drums


CHORDS = [("C", 0.0), ("Am7", 4.0), ("N", 8.0)]


def test_equal_progressions_agree_regardless_of_spelling():
    assert set(compare_chords(CHORDS, CHORDS, 10.0).values()) == {1.0}
    assert compare_chords([("Db", 0.0)], [("C#", 0.0)], 10.0)["exact"] == 1


def test_levels_of_agreement():
    scores = compare_chords([("C7", 0.0), ("Am", 4.0), ("N", 8.0)], CHORDS, 10.0)
    assert scores["root"] == scores["majmin"] == scores["segmentation"] == 1
    assert scores["sevenths"] == scores["exact"] == pytest.approx(0.2)
    # "N" is scored, too, and an inversion is a different label.
    assert compare_chords([("C", 0.0)], [("N", 0.0)], 10.0)["exact"] == 0
    assert compare_chords([("C/E", 0.0)], [("C", 0.0)], 10.0)["exact"] == 0
    assert compare_chords([("C/E", 0.0)], [("C", 0.0)], 10.0)["sevenths"] == 1


def test_split_segments_lower_the_segmentation_score():
    scores = compare_chords([("C", 0.0), ("G", 5.0)], [("C", 0.0)], 10.0)
    assert scores["segmentation"] == pytest.approx(0.5) and scores["root"] == pytest.approx(0.5)


def test_progressions_are_compared_from_the_start_time():
    estimate = [("N", 0.0), ("C", 1.0), ("Am7", 4.0), ("N", 8.0)]
    assert compare_chords(estimate, CHORDS, 10.0)["exact"] == pytest.approx(0.9)
    assert compare_chords(estimate, CHORDS, 10.0, start=1.0)["exact"] == 1
    assert all(math.isnan(score) for score in compare_chords(estimate, CHORDS, 1.0, start=1.0).values())


def test_melody_comparison():
    reference = melody_from_notes([(60, 0.0, 1.0), (64, 1.5, 2.0)], 100, 50).T
    assert compare_melodies(reference, reference) == {"rpa": 1, "rca": 1, "vr": 1, "vfa": 0, "equal": 1}
    # One note is an octave too high, one is missing, and one is in the rest.
    estimate = melody_from_notes([(72, 0.0, 1.0), (64, 1.0, 1.25)], 100, 50).T
    scores = compare_melodies(estimate, reference)
    assert scores["rpa"] == 0 and scores["rca"] == scores["vr"] == pytest.approx(2 / 3)
    assert scores["vfa"] == pytest.approx(12 / 25, abs=0.05) and scores["equal"] == pytest.approx(13 / 100, abs=0.02)
    unvoiced = compare_melodies(estimate, torch.zeros(53, 100))
    assert math.isnan(unvoiced["rpa"]) and unvoiced["vfa"] > 0.5
    with pytest.raises(ValueError, match="same shape"):
        compare_melodies(estimate, reference[:, :50])


def test_separation_metrics():
    generator = torch.Generator().manual_seed(0)
    stem, noise = torch.randn(2, 1, 16000, generator=generator)
    assert sdr(stem + 0.1 * noise, stem) == pytest.approx(20, abs=0.2)
    assert sdr(0.5 * stem, stem) == pytest.approx(6.02, abs=0.01) and si_sdr(0.5 * stem, stem) == pytest.approx(100)
    assert si_sdr(3 * (stem + 0.1 * noise), stem) == pytest.approx(20, abs=0.2)
    assert suppression(0.01 * stem, stem) == pytest.approx(40)
    assert si_sdr(torch.zeros_like(stem), stem) == -100 and math.isnan(sdr(stem, torch.zeros_like(stem)))


def test_pitch_depends_on_the_octave_and_chroma_does_not():
    lead = [(60, 0.0, 1.0), (64, 1.0, 2.0)]
    pitches = np.repeat([60, 64], 50)
    assert score_melody(pitches, lead) == {"pitch": 1, "chroma": 1}
    assert score_melody(pitches + 12, lead) == {"pitch": 0, "chroma": 1}
    assert score_melody(pitches + 1, lead) == {"pitch": 0, "chroma": 0}
    half = np.where(np.arange(100) < 50, pitches, -1)
    assert score_melody(half, lead) == {"pitch": 0.5, "chroma": 0.5}
    assert score_melody(np.full(100, -1), lead) == {"pitch": 0, "chroma": 0}


def test_salience_is_compared_frame_by_frame():
    salience = np.eye(53)[:, :40]
    assert score_salience(salience, salience)["cosine"] == pytest.approx(1)
    assert score_salience(3 * salience, salience[:, :30])["cosine"] == pytest.approx(1)
    assert score_salience(np.roll(salience, 1, axis=0), salience)["cosine"] == 0
    # One of two equally loud notes is at 45°; silent frames count as 0.
    assert score_salience(salience, salience + np.roll(salience, 1, axis=0))["cosine"] == pytest.approx(0.5**0.5)
    assert score_salience(salience * (np.arange(40) < 10), salience)["cosine"] == pytest.approx(0.25)


def test_onset_tolerances_are_50_and_70_ms():
    onsets = np.arange(0.5, 8, 0.4)
    assert score_onsets(onsets, onsets) == {"onset_f1": 1, "onset_f1_70ms": 1}
    assert score_onsets(onsets + 0.04, onsets) == {"onset_f1": 1, "onset_f1_70ms": 1}
    assert score_onsets(onsets + 0.06, onsets) == {"onset_f1": 0, "onset_f1_70ms": 1}
    assert score_onsets(onsets + 0.08, onsets) == {"onset_f1": 0, "onset_f1_70ms": 0}
    # Perfect precision, half recall.
    assert score_onsets(onsets[:8], onsets[:16])["onset_f1"] == pytest.approx(2 / 3)


def test_beat_scores():
    beats = np.arange(0, 10, 0.5)
    assert score_beats(beats, beats)["beat_f1"] == 1
    assert score_beats(beats + 0.06, beats)["beat_f1"] == 1
    assert score_beats(beats + 0.08, beats)["beat_f1"] == 0
    assert score_beats(beats[::2], beats)["beat_f1"] == pytest.approx(2 / 3)
    assert score_beats([], beats)["beat_f1"] == 0 and math.isnan(score_beats(beats, [])["beat_f1"])


def test_the_beat_of_a_drum_machine_is_tracked():
    beats = np.arange(0.25, 10, 0.5)
    assert score_beats(track_beats((play_drums(beats, 10.0), RATE)), beats)["beat_f1"] > 0.9
    assert len(track_beats((torch.zeros(1, RATE), RATE))) == 0
