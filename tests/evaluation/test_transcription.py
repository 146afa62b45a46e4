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
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusers_jasco import JascoPipeline, export_audio
from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.controls.melody import melody_from_notes
from diffusers_jasco.controls.previews import preview_chords, preview_melody
from diffusers_jasco.evaluation.transcription import (
    RequestedControls,
    Score,
    Transcription,
    match_chords,
    match_notes,
    match_onsets,
    read_requested_controls,
    score_transcription,
    transcribe,
)


pytest.importorskip("mir_eval")

NANO = Path(__file__).parents[2] / "pipelines/jasco-nano"
RATE, DURATION = 16000, 8.0
LENGTH = {"duration": DURATION, "frame_rate": 50.0}
CHORDS = [("D", 0.0), ("Bm", 2.0), ("G", 4.0), ("A", 6.0)]
LEAD = [(78, 0.0, 0.9), (81, 1.0, 1.9), (74, 2.0, 3.9), (71, 4.0, 4.9), (74, 5.0, 5.9), (76, 6.0, 7.9)]
GROOVE = replace(GROOVES["bossa nova"], bpm=120)
REQUESTED = RequestedControls(CHORDS, LEAD, GROOVE.onsets(DURATION))


def play(chords=CHORDS, lead=LEAD, groove=GROOVE):
    """Plays exactly the requested controls."""
    audio = 0.4 * preview_chords(chords, DURATION, RATE) + 0.5 * preview_melody(lead, DURATION, RATE)
    return audio + 0.5 * groove.render(DURATION, RATE), RATE


@pytest.fixture(scope="module")
def transcription():
    return transcribe(play())


def test_played_controls_are_transcribed(transcription):
    scores = score_transcription(transcription, REQUESTED)
    assert list(scores) == ["chords", "melody", "drums"]
    assert all(score.value > 0.9 and score.words == "very close" for score in scores.values())
    assert transcription.duration == DURATION and [label for label, _ in transcription.chords] == ["D", "Bm", "G", "A"]
    assert (
        transcription.salience.shape[0] == 53
        and 0 <= transcription.salience.min()
        and transcription.salience.max() <= 1
    )
    assert match_notes(transcription, REQUESTED) == ["same"] * len(LEAD)
    assert (
        sum(end - start for start, end, agreement in match_chords(transcription, REQUESTED) if agreement == "same")
        > 0.9 * DURATION
    )
    onsets, ref_matched, est_matched = match_onsets(transcription, REQUESTED)
    assert len(onsets) == len(ref_matched) and len(est_matched) == len(transcription.drum_onsets)
    assert ref_matched.mean() > 0.9 and est_matched.mean() > 0.9 and ref_matched[0]


def test_unrelated_audio_lowers_the_scores(transcription, tmp_path):
    other = play([("Eb", 0.0), ("Fm", 2.0), ("Db", 5.0)], [(66, 0.5, 3.0), (68, 3.0, 7.0)], GROOVES["half time"])
    other = transcribe(export_audio(*(other[0] / other[0].abs().max(), tmp_path / "other.wav", other[1])))
    for control, score in score_transcription(other, REQUESTED).items():
        assert score.value < score_transcription(transcription, REQUESTED)[control].value - 0.3, control
    assert {score.words for score in score_transcription(other, REQUESTED).values()} == {"poor"}
    assert match_notes(other, REQUESTED).count("same") <= 1
    assert not any(agreement == "same" for *_, agreement in match_chords(other, REQUESTED))


def test_generated_music_follows_its_own_controls_only():
    pipe = JascoPipeline.from_pretrained(NANO)
    pipe.set_progress_bar_config(disable=True)
    rate = pipe.sampling_rate
    others = (
        [("Eb", 0.0), ("Ab", 2.5), ("Bb", 5.0)],
        replace(GROOVES["waltz"], bpm=100),
        [(63, 0.0, 3.0), (68, 3.5, 7.0)],
    )
    results = []
    for chords, groove, lead in ((CHORDS, GROOVE, LEAD), others):
        controls = {"chords": chords, "drums": (groove.render(DURATION, rate), rate), "melody": lead}
        generator = torch.Generator().manual_seed(1)
        audio = pipe("pop with piano and drums", **controls, duration=DURATION, generator=generator).audios[0]
        results.append(
            (
                read_requested_controls(**controls, duration=DURATION, frame_rate=pipe.frame_rate),
                transcribe((audio, rate)),
            )
        )
    (requested, own), (_, other) = results
    for control, score in score_transcription(own, requested).items():
        assert score.value > 0.6, score.sentence
        assert score_transcription(other, requested)[control].value < score.value - 0.2, control


def test_score_sentences():
    for score, sentence in (
        (Score("chords", 0.921, {}), "Chords: 92% of the time as requested — very close"),
        (Score("melody", 0.6, {}), "Melody: 60% of the melody as requested — close"),
        (Score("drums", 0.7, {}), "Drums: 70% of the hits on time — partial"),
        (Score("chords", 0.1, {}), "Chords: 10% of the time as requested — poor"),
        (Score("drums", math.nan, {}), "Drums: nothing to compare"),
    ):
        assert score.sentence == sentence


def test_only_requested_controls_are_scored(transcription):
    assert score_transcription(transcription, RequestedControls()) == {}
    assert (
        read_requested_controls([], None, [], **LENGTH) == read_requested_controls("", **LENGTH) == RequestedControls()
    )
    assert list(score_transcription(transcription, RequestedControls(melody=LEAD))) == ["melody"]
    silent_drums = read_requested_controls(drums=(torch.zeros(1, RATE), RATE), **LENGTH).drum_onsets
    for requested in (
        RequestedControls([("N", 0.0)], [(60, 0.0, 0.1)], [99.0]),
        RequestedControls([], [], silent_drums),
    ):
        assert [score.words for score in score_transcription(transcription, requested).values()] == [
            "nothing to compare"
        ] * 3


def test_silence_scores_0():
    silence = transcribe((torch.zeros(1, 2 * RATE), RATE))
    assert silence.chords == [("N", 0.0)] and len(silence.drum_onsets) == 0 and set(silence.pitches) == {-1}
    assert [score.value for score in score_transcription(silence, REQUESTED).values()] == [0, 0, 0]


def test_equal_roots_and_octaves_are_near():
    salience = np.zeros((53, 862), dtype=np.float32)
    salience[60 - 43, :431], salience[62 - 43, 431:] = 1, 1
    transcription = Transcription(10.0, [("Cm", 0.0), ("G7", 5.0)], salience, np.array([1.0, 2.04, 4.0]))
    requested = RequestedControls(
        [("C", 0.0), ("N", 4.0), ("F", 5.0), ("G", 7.0)], [(72, 0.0, 4.0), (62, 5.5, 9.0)], [1.0, 2.0, 3.0]
    )
    assert match_chords(transcription, requested) == [(0, 4, "near"), (4, 5, None), (5, 7, "other"), (7, 10, "same")]
    assert match_notes(transcription, requested) == ["near", "same"]
    _, ref_matched, est_matched = match_onsets(transcription, requested)
    assert (list(ref_matched), list(est_matched)) == ([True, True, False], [True, True, False])
    scores = score_transcription(transcription, requested)
    assert scores["chords"].details == pytest.approx({"root": 7 / 9, "majmin": 3 / 9})
    assert scores["melody"].value > 0.95 and scores["melody"].details["pitch"] < 0.6
    assert scores["drums"].value == pytest.approx(2 / 3)


def test_controls_in_any_form_are_read(tmp_path):
    drums = GROOVE.render(DURATION, RATE)
    matrix = melody_from_notes(LEAD, 200, 25.0).T
    requested = read_requested_controls("D:0 Bm:2 G:4 A:6", (drums, RATE), matrix, duration=DURATION, frame_rate=25.0)
    assert requested.chords == CHORDS
    assert [pitch for pitch, *_ in requested.melody] == [pitch for pitch, *_ in LEAD]
    assert np.allclose([times for _, *times in requested.melody], [times for _, *times in LEAD], atol=0.04)
    assert len(requested.drum_onsets) == len(REQUESTED.drum_onsets)
    assert np.allclose(requested.drum_onsets, REQUESTED.drum_onsets, atol=0.02)
    # Drums are separated from a full mix.
    mixed = read_requested_controls(drums=play(), separate_drums=True, **LENGTH)
    assert score_transcription(transcribe((drums, RATE)), mixed)["drums"].value > 0.8
    with pytest.raises(ValueError, match="unknown chord"):
        read_requested_controls(chords=[("H", 0.0)], **LENGTH)
    with pytest.raises(FileNotFoundError, match="`drums`"):
        read_requested_controls(drums=tmp_path / "absent.wav", **LENGTH)
