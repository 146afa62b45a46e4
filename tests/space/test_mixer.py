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

"""Tests of the page's mixer: strength of the controls, candidates, and levels."""

import json
import zipfile
from dataclasses import replace

import pytest
import torch

from diffusers_jasco import export_audio, load_audio
from diffusers_jasco.evaluation import best_of
from diffusers_jasco.extraction import change_stem_levels

from .conftest import BACKBEAT, C_AM_F_G, MELODY


pytest.importorskip("gradio")

import actions  # noqa: E402
from settings import FieldError, Settings  # noqa: E402
from takes import LOUDNESS, read_settings  # noqa: E402
from widgets import describe_settings, describe_take  # noqa: E402


SETTINGS = Settings("rock, drums", chords=C_AM_F_G, drums="pattern", pattern=BACKBEAT, duration=4.0, steps=2)


def play(settings: Settings) -> torch.Tensor:
    return actions.ENGINE.play(actions.ENGINE.make_request(settings), 3)


def make(settings: Settings):
    (take,), _ = actions.make_takes(settings, None, actions.TOKENS.issue("me"))
    return take


def test_a_control_of_strength_0_is_not_used():
    plain = play(SETTINGS)
    assert not torch.equal(play(replace(SETTINGS, chords_scale=1.5)), plain)
    without = replace(SETTINGS, chords_scale=0.0)
    assert torch.equal(play(without), play(replace(SETTINGS, use_chords=False)))
    assert list(make(without).scores) == ["drums"]
    # Controls that are not given have no strength.
    assert torch.equal(play(replace(SETTINGS, melody_scale=0.5)), plain)


def test_the_best_candidate_is_the_take():
    engine, steps = actions.ENGINE, []
    request = engine.make_request(replace(SETTINGS, best_of=5))
    audio = engine.play(request, 3, steps.append)
    assert steps == [1, 2, 3, 4] and engine.count_steps(request) == 4, "two batches of two steps"
    expected, takes = best_of(
        engine.make_pipeline(),
        5,
        generator=torch.Generator().manual_seed(3),
        prompt="rock, drums",
        chords=SETTINGS.chord_timeline(),
        drums=request.drums,
        bpm=SETTINGS.tempo,
        duration=4.0,
        num_inference_steps=2,
        guidance_scale=1.5,
    )
    assert torch.equal(audio, expected) and len(takes) == 5


def test_candidates_need_a_control(monkeypatch):
    settings = Settings("rock", best_of=2, chords=C_AM_F_G, chords_scale=0.0)
    monkeypatch.setattr(actions.ENGINE, "controls", ("chords", "drums", "melody"))
    with pytest.raises(FieldError, match="add chords, drums or a melody") as error:
        actions.ENGINE.make_request(settings)
    assert error.value.field == "best_of"
    # The tempo of the page is a control, too.
    monkeypatch.setattr(actions.ENGINE, "controls", ("chords", "drums", "melody", "beats"))
    assert not actions.ENGINE.make_request(settings).controls


def test_levels_of_the_drums_and_the_rest(tmp_path):
    plain, rate = play(SETTINGS), actions.ENGINE.sampling_rate
    take = make(replace(SETTINGS, seed=3, drums_gain=-6.0, rest_gain=2.0))
    written = load_audio(take.wav)[0]
    for gains, is_equal in ((-6.0, 2.0), True), ((0.0, 0.0), False):
        expected = export_audio(change_stem_levels(plain, rate, *gains), tmp_path / "a.wav", rate, loudness=LOUDNESS)
        assert torch.equal(written, load_audio(expected)[0]) == is_equal


def test_the_mixer_is_shown_and_stored(tmp_path):
    take = make(replace(SETTINGS, seed=3, melody=MELODY, chords_scale=1.5, melody_scale=0.0, best_of=2, drums_gain=-6))
    assert describe_settings(take) == "seed 3 · chords × 1.5 · melody × 0 · best of 2 · drums -6 dB"
    assert describe_take(take).endswith("seed 3 · chords × 1.5 · melody × 0 · best of 2 · drums -6 dB")
    with zipfile.ZipFile(take.zip) as archive:
        assert json.loads(archive.read("settings.json"))["chords_scale"] == 1.5
    loaded, _, _ = read_settings(take.zip, tmp_path)
    assert loaded == take.settings and make(loaded).wav.read_bytes() == take.wav.read_bytes()
