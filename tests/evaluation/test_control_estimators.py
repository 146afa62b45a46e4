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
import sys

import numpy as np
import pytest
import torch

from diffusers_jasco.controls.chord_labels import default_chord_labels
from diffusers_jasco.evaluation.estimators.chords import chord_spectra, estimate_chords, score_chord_spectra
from diffusers_jasco.evaluation.estimators.melody import melody_by_harmonic_sum, melody_by_note_fit
from diffusers_jasco.evaluation.estimators.onsets import onsets_by_noise_flux, onsets_by_percussive_flux
from diffusers_jasco.evaluation.metrics.chords import score_chords
from diffusers_jasco.evaluation.metrics.melody import score_melody
from diffusers_jasco.evaluation.metrics.onsets import merge_onsets, score_onsets

from .clips import RATE, play_chords, play_drums, play_melody, tone


PROGRESSION = [("C", 0.0), ("Am", 1.5), ("F7", 3.0), ("Ebm7", 4.5)]
LEAD = [(60, 0.0, 0.5), (64, 0.5, 1.0), (67, 1.0, 1.5), (72, 1.5, 2.0), (69, 2.2, 3.0), (81, 3.0, 4.0)]
SILENCE = (torch.zeros(1, 6 * RATE), RATE)


def score_segments(audio, chords, duration):
    return score_chord_spectra(chord_spectra(audio), chords, duration)


def score_blind_estimate(audio, chords, duration):
    return score_chords(estimate_chords(audio), chords, duration)


@pytest.mark.parametrize("score", [score_segments, score_blind_estimate])
def test_a_major_triad_is_distinguished_from_other_chords(score):
    audio = (play_chords([("C", 0.0)], 3.0), RATE)
    assert score(audio, [("C", 0.0)], 3.0) == {"root": 1.0, "majmin": 1.0}
    assert score(audio, [("F#", 0.0)], 3.0) == {"root": 0.0, "majmin": 0.0}
    minor = score(audio, [("Cm", 0.0)], 3.0)
    assert minor == {"root": 1.0, "majmin": 0.0}


@pytest.mark.parametrize("score", [score_segments, score_blind_estimate])
@pytest.mark.parametrize("rate", [16000, 32000, 44100])
def test_a_progression_is_recognized_at_any_rate_and_level(score, rate):
    audio = play_chords(PROGRESSION, 6.0, rate)
    for gain in (1.0, 0.05):
        scores = score((gain * audio.repeat(2, 1), rate), PROGRESSION, 6.0)
        assert scores["root"] > 0.9 and scores["majmin"] > 0.9


@pytest.mark.parametrize("score", [score_segments, score_blind_estimate])
def test_wrong_chords_for_half_of_the_time_halve_the_score(score):
    audio = (play_chords([("C", 0.0), ("D", 3.0)], 6.0), RATE)
    assert score(audio, [("C", 0.0), ("G#", 3.0)], 6.0)["root"] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("score", [score_segments, score_blind_estimate])
def test_chords_that_are_neither_major_nor_minor_are_not_scored_as_such(score):
    audio = (play_chords([("C", 0.0), ("Cdim", 3.0)], 6.0), RATE)
    # Cdim is scored by its root only, "N" and unknown chords are not scored.
    assert score(audio, [("C", 0.0), ("Cdim", 3.0)], 6.0)["majmin"] > 0.9
    assert score(audio, [("C", 0.0), ("N", 3.0)], 6.0)["root"] > 0.9
    undefined = score(audio, [("N", 0.0), ("UNK", 3.0)], 6.0)
    assert math.isnan(undefined["root"]) and math.isnan(undefined["majmin"])
    dim = score(audio, [("Cdim", 0.0)], 6.0)
    assert math.isnan(dim["majmin"]) and not math.isnan(dim["root"])


def test_all_labels_of_the_vocabulary_can_be_scored():
    for label in default_chord_labels():
        scores = score_chords([(label, 0.0)], [(label, 0.0)], 2.0)
        assert all(math.isnan(value) or value == 1 for value in scores.values()), label
        assert label in ("N", "UNK") or scores["root"] == 1


def test_chords_after_the_end_are_not_scored():
    assert score_chords([("C", 0.0), ("D", 2.5)], [("C", 0.0), ("E", 2.0), ("F", 3.0)], 2.0)["root"] == 1


@pytest.mark.parametrize("score", [score_segments, score_blind_estimate])
def test_silence_scores_0_for_chords(score):
    assert score(SILENCE, PROGRESSION, 6.0)["root"] == 0


@pytest.mark.parametrize("estimate", [melody_by_harmonic_sum, melody_by_note_fit])
@pytest.mark.parametrize("rate", [16000, 32000])
def test_a_melody_is_estimated(estimate, rate):
    audio = (play_melody(LEAD, 4.0, rate), rate)
    pitches = estimate(audio)
    assert pitches.shape == (200,)
    assert score_melody(pitches, LEAD)["chroma"] > 0.9
    assert pitches[30] == 64 and pitches[130] == 69 and pitches[180] == 81
    wrong = [(pitch + 6, start, end) for pitch, start, end in LEAD]
    assert score_melody(pitches, wrong)["chroma"] < 0.1


@pytest.mark.parametrize("estimate", [melody_by_harmonic_sum, melody_by_note_fit])
def test_melodies_of_sines_and_above_chords_are_estimated(estimate):
    time = torch.arange(2 * RATE) / RATE
    sines = torch.cat([torch.sin(2 * math.pi * frequency * time) for frequency in (440.0, 523.25)])[None]
    assert score_melody(estimate((sines, RATE)), [(69, 0, 2), (72, 2, 4)])["chroma"] > 0.9
    mix = play_melody([(pitch + 12, start, end) for pitch, start, end in LEAD], 4.0) + play_chords(
        PROGRESSION[:3], 4.0
    )
    assert score_melody(estimate((mix, RATE)), LEAD)["chroma"] > 0.8


@pytest.mark.parametrize("estimate", [melody_by_harmonic_sum, melody_by_note_fit])
def test_silence_has_no_melody_and_short_melodies_are_not_scored(estimate):
    assert (estimate(SILENCE) == -1).all()
    assert score_melody(estimate(SILENCE), LEAD)["chroma"] == 0
    assert math.isnan(score_melody(estimate(SILENCE), [(60, 0, 0.1)])["chroma"])
    assert math.isnan(score_melody(estimate(SILENCE), [])["chroma"])


@pytest.mark.parametrize("estimate", [onsets_by_percussive_flux, onsets_by_noise_flux])
@pytest.mark.parametrize("rate", [16000, 32000])
def test_onsets_are_detected_within_50_ms(estimate, rate):
    onsets = [0.3, 0.8, 1.05, 1.3, 2.0, 2.25, 3.1, 3.6]
    audio = (play_drums(onsets, 4.0, rate), rate)
    estimated = estimate(audio)
    assert len(estimated) == len(onsets) and np.abs(estimated - onsets).max() < 0.03
    assert score_onsets(estimated, onsets)["onset_f1"] == 1
    assert score_onsets(estimated, [onset + 0.12 for onset in onsets])["onset_f1"] < 0.3


@pytest.mark.parametrize("estimate", [onsets_by_percussive_flux, onsets_by_noise_flux])
def test_onsets_are_detected_in_a_mix(estimate):
    onsets = [0.3, 0.8, 1.05, 1.3, 2.0, 2.25, 3.1, 3.6]
    mix = play_drums(onsets, 4.0) + play_chords(PROGRESSION[:3], 4.0)
    assert score_onsets(estimate((mix, RATE)), onsets)["onset_f1"] > 0.8


@pytest.mark.parametrize("estimate", [onsets_by_percussive_flux, onsets_by_noise_flux])
def test_silence_has_no_onsets_and_clips_without_drums_are_not_scored(estimate):
    assert len(estimate(SILENCE)) == 0
    assert score_onsets(estimate(SILENCE), [1.0, 2.0])["onset_f1"] == 0
    assert math.isnan(score_onsets([1.0], [])["onset_f1"])


def test_noise_flux_detects_few_onsets_in_notes():
    onsets = [0.15, 0.55, 0.92, 1.6, 1.8, 2.6, 2.85, 3.35]
    lead = play_melody([(72 + step, onset, onset + 0.25) for step, onset in enumerate(onsets)], 4.0, level=0.1)
    assert len(onsets_by_noise_flux((lead + play_chords([("C", 0.0)], 4.0), RATE))) <= 3


def test_close_onsets_are_merged():
    np.testing.assert_allclose(merge_onsets([1.0, 0.5, 1.02, 1.04, 1.08]), [0.5, 1.0, 1.04, 1.08])
    assert score_onsets([0.5], [0.5, 0.51])["onset_f1"] == 1


@pytest.mark.parametrize("samples", [1, 100, 3000])
def test_very_short_audio_raises_no_error(samples):
    audio = (tone(60, 1.0)[:samples], RATE)
    for estimate in (
        chord_spectra,
        estimate_chords,
        melody_by_harmonic_sum,
        melody_by_note_fit,
        onsets_by_percussive_flux,
        onsets_by_noise_flux,
    ):
        estimate(audio)
    score_chord_spectra(chord_spectra(audio), [("C", 0.0), ("D", 1.0)], 2.0)


def test_without_mir_eval_the_extra_is_named(monkeypatch):
    for name in ("mir_eval", "mir_eval.chord", "mir_eval.onset", "mir_eval.util"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r'pip install "diffusers-jasco\[eval\]"'):
        score_onsets([1.0], [1.0])
    with pytest.raises(ImportError, match=r'pip install "diffusers-jasco\[eval\]"'):
        score_chords([("C", 0.0)], [("C", 0.0)], 1.0)
