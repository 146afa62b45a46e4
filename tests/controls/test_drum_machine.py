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

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from diffusers_jasco.controls.drum_machine import DRUMS, GROOVES, Groove, load_groove, read_groove
from diffusers_jasco.evaluation.estimators.onsets import onsets_by_noise_flux
from diffusers_jasco.evaluation.metrics.onsets import score_onsets
from diffusers_jasco.utils.errors import InputError


def test_steps_become_hits():
    groove = Groove({"kick": "x..o", "snare": (0, 0.25, 0, 1)}, bpm=60)
    assert (groove.num_steps, groove.seconds) == (4, 1.0)
    expected = [("kick", 0.0, 1.0), ("snare", 0.25, 0.25), ("kick", 0.75, 0.5), ("snare", 0.75, 1.0)]
    assert groove.hits(1.0) == expected
    assert groove.hits(2.0) == expected + [(drum, start + 1, velocity) for drum, start, velocity in expected]
    assert groove.onsets(1.3) == [0.0, 0.25, 0.75, 1.0, 1.25]


def test_swing_delays_every_second_step():
    straight, swung = (Groove({"hat": "xxxx"}, bpm=60, swing=swing) for swing in (0.5, 0.66))
    assert straight.onsets(1.0) == [0.0, 0.25, 0.5, 0.75]
    assert np.allclose(swung.onsets(1.0), [0.0, 0.33, 0.5, 0.83])


def test_triplets():
    assert np.allclose(Groove({"ride": "x.x"}, bpm=60, steps_per_beat=3).onsets(2.0), [0, 2 / 3, 1, 5 / 3])


@pytest.mark.parametrize("rate", (16000, 32000, 44100))
@pytest.mark.parametrize("drum", DRUMS)
def test_drums_decay_and_do_not_clip(drum, rate):
    sound = Groove({drum: "x" + 31 * "."}, bpm=60).render(2.0, rate)
    assert sound.shape == (1, 2 * rate) and sound.dtype == torch.float32
    assert 0.1 < sound.abs().max() < 0.9 and sound[:, int(1.5 * rate) :].abs().max() < 1e-3
    assert sound.mean().abs() < 1e-3
    soft = Groove({drum: (0.5, *(31 * [0]))}, bpm=60).render(2.0, rate)
    assert torch.allclose(soft, 0.5 * sound, atol=1e-6)


@pytest.mark.parametrize("name", GROOVES)
def test_onsets_of_rendered_grooves_match_the_patterns(name):
    groove = GROOVES[name]
    audio = groove.render(8.0, 16000)
    assert audio.shape == (1, 128000) and audio.abs().max() < 0.9
    assert score_onsets(onsets_by_noise_flux((audio, 16000)), groove.onsets(8.0))["onset_f1"] > 0.8
    assert torch.equal(audio, replace(groove).render(8.0, 16000))


def test_all_drums_at_once_do_not_clip():
    assert Groove({drum: "xxxx" for drum in DRUMS}, bpm=200).render(2.0, 16000).abs().max() < 0.9


def test_a_closed_hat_ends_an_open_one():
    alone, closed = (Groove({"open hat": "x...", "hat": hat}, bpm=60).render(1.0, 16000) for hat in ("....", "..x."))
    assert torch.equal(alone[:, :8000], closed[:, :8000])
    assert closed[:, 11000:].abs().max() < 1e-3 < alone[:, 11000:].abs().max()


def test_invalid_grooves_are_rejected():
    for tracks, message in (
        ({}, "at least one drum"),
        (["x"], "at least one drum"),
        ({"gong": "x"}, "unknown drum 'gong'; available drums: kick, snare"),
        ({"kick": "x-x"}, "steps of 'kick'"),
        ({"kick": ""}, "there have to be 1 to 256 steps of 'kick', but there are 0"),
        ({"kick": "x" * 300}, "there have to be 1 to 256 steps of 'kick', but there are 300"),
        ({"kick": (0, 1.5)}, "steps of 'kick'"),
        ({"kick": (0, "x")}, "steps of 'kick'"),
        ({"kick": 5}, "steps of 'kick'"),
        ({"kick": "x...", "hat": "x."}, "the same number of steps, but they have: kick 4, hat 2"),
    ):
        with pytest.raises(ValueError, match=message):
            Groove(tracks)
    for setting in ({"bpm": 0}, {"bpm": "fast"}, {"bpm": float("nan")}, {"swing": 0.4}, {"swing": 0.8}):
        with pytest.raises(ValueError, match=f"`{next(iter(setting))}` has to be"):
            Groove({"kick": "x..."}, **setting)
    for setting in ({"steps_per_beat": 0}, {"steps_per_beat": 2.5}, {"steps_per_beat": 3, "swing": 0.6}):
        with pytest.raises(ValueError, match="steps.per.beat"):
            Groove({"kick": "x..."}, **setting)


@pytest.mark.parametrize(
    "steps, fitting, others",
    [("x" * 16, (1, 2, 4, 8), (3, 5, 6)), ("x" * 12, (3, 6), (2, 4)), ("x" * 20, (4, 5), (3,)), ("x" * 3, (4, 3), ())],
)
def test_beats_per_bar_that_fit_a_groove(steps, fitting, others):
    groove = Groove({"kick": steps})
    for beats_per_bar in fitting:
        groove.check_beats_per_bar(beats_per_bar)
    for beats_per_bar in others:
        with pytest.raises(InputError, match=f"`beats_per_bar` is {beats_per_bar}, but the groove has"):
            groove.check_beats_per_bar(beats_per_bar)


def test_a_groove_is_read_from_its_file(tmp_path):
    for groove in (GROOVES["boom bap"], GROOVES["shuffle"], Groove({"kick": (1.0, 0.0, 0.4, 0.0)}, 97.5)):
        (tmp_path / "loop.groove.json").write_text(json.dumps(asdict(groove)))
        assert read_groove(tmp_path / "loop.groove.json").hits(4.0) == groove.hits(4.0)
        assert load_groove(tmp_path / "loop.groove.json") == read_groove(tmp_path / "loop.groove.json")
    assert load_groove("Boom-Bap") == GROOVES["boom bap"]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "loop.json is not JSON"),
        (b"\xff\xfe{", "loop.json is not JSON"),
        (b"[" * 100000, "loop.json is not JSON"),
        (b"[1, 2]", "loop.json is not a groove, an object with the field `tracks`"),
        (b'{"bpm": 120}', "loop.json is not a groove, an object with the field `tracks`"),
        (b'{"tracks": {"kick": "x"}, "tempo": 90}', "loop.json: unknown field 'tempo'; known: tracks, bpm, swing"),
        (b'{"tracks": {"gong": "x"}}', "loop.json: `tracks`: unknown drum 'gong'"),
        (b'{"tracks": {"kick": "x", "hat": "xx"}}', "loop.json: `tracks` have to have the same number of steps"),
        (b'{"tracks": {"kick": [1, NaN]}}', "loop.json: `tracks`: the steps of 'kick' have to be"),
        (b'{"tracks": {"kick": [[1], 0]}}', "loop.json: `tracks`: the steps of 'kick' have to be"),
        (b'{"tracks": {"kick": null}}', "loop.json: `tracks`: the steps of 'kick' have to be"),
        (b'{"tracks": ["kick"]}', "loop.json: `tracks` has to contain the steps of at least one drum"),
        (b'{"tracks": {"kick": "x"}, "bpm": "fast"}', "loop.json: `bpm` has to be a number"),
        (b'{"tracks": {"kick": "x"}, "swing": null}', "loop.json: `swing` has to be a number"),
    ],
)
def test_files_that_are_not_grooves_are_rejected(content, message, tmp_path):
    (tmp_path / "loop.json").write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_groove(tmp_path / "loop.json")
    assert error.value.argument == "path"


def test_a_missing_groove_file():
    with pytest.raises(FileNotFoundError, match="absent.json does not exist"):
        read_groove("absent.json")
