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

from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.evaluation.estimators.caption_model import band_levels, repetition
from diffusers_jasco.evaluation.estimators.caption_probe import (
    QUESTIONS,
    predict_answers,
    read_caption,
    score_answers,
    true_answers,
)
from diffusers_jasco.evaluation.estimators.spectra import load_mono
from diffusers_jasco.evaluation.metrics.captions import balanced_accuracy, measure_captions

from .clips import RATE, play_chords, play_drums


JIG = {
    "style": "celtic jig",
    "tempo": 112.4,
    "energy": "energetic",
    "instruments": {"lead": "fiddle", "comp": "accordion"},
    "drum_onsets": [0.5, 1.0],
}


def test_true_answers_come_from_the_metadata():
    answers = {"style": "celtic jig", "lead": "strings", "tempo": "medium", "energy": "energetic", "drums": "yes"}
    assert true_answers(JIG) == answers
    assert true_answers(JIG | {"instruments": {"comp": "harp"}, "drum_onsets": []})["lead"] == "none"
    assert set(true_answers({}).values()) == {None}


@pytest.mark.parametrize(
    "caption, answers",
    [
        ("Celtic jig", {"style": "celtic jig"}),
        ("irish jig, 112 bpm", {"style": "celtic jig", "tempo": "medium"}),
        ("a lively moderate tune with fiddle solo", {"energy": "energetic", "tempo": "medium", "lead": "strings"}),
        ("featuring fiddle, drums and percussion", {"lead": "strings", "drums": "yes"}),
        # An instrument without a role may play another part.
        ("fiddle chords, drumless", {"drums": "no"}),
        ("jig without drums", {"drums": "no"}),
        ("celtic with harp and a beat", {"style": "celtic jig", "drums": "yes"}),
        # Words that contradict the metadata are ignored: they may mean something else ("fast" is a mood of ska).
        ("fast calm rock at 90 bpm, slow-moderated", {}),
        ("", {}),
    ],
)
def test_answers_are_read_from_a_caption(caption, answers):
    assert read_caption(JIG | {"caption": caption}) == dict.fromkeys(QUESTIONS) | answers


def test_without_metadata_only_drums_are_read_from_a_caption():
    assert read_caption({"caption": "slow rock with drums"}) == dict.fromkeys(QUESTIONS) | {"drums": "yes"}
    assert set(read_caption({}).values()) == {None}


def test_only_attributes_in_the_caption_are_scored():
    estimate = {"style": "celtic jig", "lead": "flute", "tempo": "fast", "energy": "calm", "drums": "yes"}
    scores = score_answers(estimate, JIG | {"caption": "irish jig, fiddle melody"})
    assert (scores["style"], scores["lead"]) == (1, 0)
    assert all(math.isnan(scores[question]) for question in ("tempo", "energy", "drums"))


def test_repetition_peaks_at_the_tempo():
    audio = (play_drums(np.arange(0.1, 8, 0.5), 8.0), RATE)
    repeats = repetition(band_levels(load_mono(audio))[None])[0].reshape(3, -1).sum(dim=0)
    tempi = 20 * 2 ** (np.arange(65) / 16)
    # Beats also repeat at multiples of their period.
    beats = 120 / tempi[int(repeats.argmax())]
    assert abs(beats / max(round(beats), 1) - 1) < 0.03
    assert repeats[(np.abs(tempi - 120)).argmin()] > 2 * repeats[(np.abs(tempi - 90)).argmin()]


@pytest.mark.parametrize("seconds", [0.01, 0.7, 60.0])
def test_answers_for_any_length_do_not_depend_on_loudness(seconds):
    audio = play_chords([("C", 0.0)], seconds) + play_drums(np.arange(0, seconds - 0.005, 0.4), seconds)
    estimate = predict_answers((audio, RATE))
    assert estimate.keys() == set(QUESTIONS)
    assert predict_answers((0.05 * audio, RATE)) == estimate


def test_silence_has_no_drums():
    assert predict_answers((torch.zeros(1, RATE), RATE))["drums"] == "no"


def test_the_probe_is_accurate_on_held_out_music():
    pytest.importorskip("tinysoundfont")
    music = SyntheticMusic("test", 40, "plain", renderer="tinysoundfont")
    # The probe was trained on the first version of the generator, whose clips are all steady.
    steady = [index for index in range(len(music)) if music.score(index).annotations["form"] == "steady"]
    is_correct = {question: [] for question in QUESTIONS}
    for item in map(music.__getitem__, steady):
        estimate, reference = predict_answers((item["audio"], item["sampling_rate"])), true_answers(item)
        for question in QUESTIONS:
            is_correct[question].append(estimate[question] == reference[question])
    shares = {question: np.mean(values) for question, values in is_correct.items()}
    # There are 27 styles, 10 families, 3 tempi and 3 energies.
    assert shares["style"] > 0.6 and shares["lead"] > 0.5 and shares["tempo"] > 0.8, shares
    assert shares["energy"] > 0.6 and shares["drums"] > 0.85, shares


def test_balanced_accuracy_weights_answers_equally():
    answers = ["yes"] * 9 + ["no"]
    assert balanced_accuracy(np.array([1] * 9 + [0]), answers) == 0.5
    assert balanced_accuracy(np.array([1] * 9 + [1]), answers) == 1
    # The first resample has no "no"; the second contains each clip twice.
    draws = np.array([[1] * 9 + [0], [2] * 10])
    np.testing.assert_allclose(balanced_accuracy(np.array([1] * 6 + [0] * 4), answers, draws), [6 / 9, 1 / 3])


def measure(answers, music, codec):
    captions = [dict.fromkeys(QUESTIONS) | {"tempo": answer} for answer in answers]
    columns = [{question: np.full(len(captions), np.nan) for question in QUESTIONS} for _ in range(3)]
    for column, values in zip(columns, (music, np.ones(len(captions)), codec)):
        column["tempo"] = np.array(values, dtype=float)
    return measure_captions(*columns, captions, min_clips=2)


def test_caption_adherence_is_1_for_codec_audio_and_0_for_chance():
    answers = ["slow", "fast"] * 20 + [None] * 5
    codec = [1, 1, 1, 0] * 10 + [np.nan] * 5  # accuracy 1 for slow, 0.5 for fast
    (same,) = measure(answers, codec, codec)
    assert (same.question, same.num_clips, same.num_answers) == ("tempo", 40, 2)
    assert same.codec == 0.75 and same.reference == 1 and same.value == same.low == same.high == 1
    (chance,) = measure(answers, [1, 0] * 20 + [np.nan] * 5, codec)
    assert chance.score == 0.5 and chance.value == 0
    (half,) = measure(answers, [1, 1, 1, 0, 0, 0, 1, 0] * 5 + [np.nan] * 5, codec)
    assert half.value == pytest.approx((0.5 * (0.75 + 0.25) - 0.5) / 0.25)
    assert half.low < half.value < half.high


def test_questions_with_a_single_answer_are_omitted():
    assert measure(["slow"] * 8, np.ones(8), np.ones(8)) == []
