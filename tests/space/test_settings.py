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


"""Tests of the settings: checks, JSON and conversion to seconds."""

import copy
import json
import pickle

import pytest

from .conftest import BACKBEAT, C_AM_F_G, MELODY


pytest.importorskip("gradio")

from settings import FieldError, Settings, count_bars  # noqa: E402


def make_settings(**changes) -> Settings:
    values = {"prompt": "80s pop", "chords": C_AM_F_G, "drums": "pattern", "pattern": BACKBEAT, "melody": MELODY}
    return Settings(**(values | changes))


def test_beats_become_seconds_at_the_tempo():
    settings = make_settings(tempo=90.0)
    assert settings.chord_timeline()[1] == ("Am", pytest.approx(4 * 60 / 90))
    assert settings.notes()[1] == (67, pytest.approx(2 * 60 / 90), pytest.approx(3.75 * 60 / 90))
    # The snare is on the second and fourth beat; the hat plays on each half beat.
    onsets = settings.groove().onsets(4 * 60 / 90)
    assert onsets == pytest.approx([index * 30 / 90 for index in range(8)])


def test_swing_matches_the_step_sequencer():
    from parts import step_start

    pattern = copy.deepcopy(BACKBEAT)
    pattern["tracks"] = {"hat": [1.0] * 16}
    pattern["swing"] = 0.6
    onsets = make_settings(pattern=pattern, tempo=120.0).groove().onsets(2.0)
    assert onsets == pytest.approx([step_start(step, 0.6) * 0.125 for step in range(16)])


def test_disabled_or_empty_controls_are_not_requested():
    settings = make_settings(use_chords=False, use_melody=False, drums="off")
    assert (settings.chord_timeline(), settings.notes(), settings.groove()) == (None, None, None)
    settings = Settings(drums="pattern")
    assert (settings.chord_timeline(), settings.notes(), settings.groove()) == (None, None, None)


def test_settings_survive_json():
    settings = make_settings(tempo=97.3, seed=2**31 - 1, guidance_scale=0.1 + 0.2)
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("prompt", "la " * 200, "600 characters"),
        ("prompt", 7, "text"),
        ("duration", 181, "from 1 to 180 seconds"),
        ("duration", float("nan"), "nan"),
        ("duration", "10", "'10'"),
        ("tempo", 1e9, "from 40 to 240"),
        ("variations", 5, "from 1 to 4"),
        ("steps", 0, "from 1 to 100"),
        ("steps", 1.5, "whole"),
        ("steps", True, "True"),
        ("seed", -1, "seed"),
        ("seed", None, "seed"),
        ("guidance_scale", 11, "from 0 to 10"),
        ("text_guidance_scale", float("inf"), "from 0 to 10"),
        ("drums", "loud", "off, pattern, recording"),
        ("loop", "yes", "true or false"),
        ("edit", "cut", "off, regions, variation"),
        ("regions", 7, "text"),
        ("intro", -1, "from 0 to 180 seconds"),
        ("strength", 0, "from 0.05 to 1"),
        ("melody_scale", 2.1, "strength of the melody has to be from 0 to 2"),
        ("best_of", 9, "candidates has to be from 1 to 8"),
        ("drums_gain", -13, "from -12 to 12 dB"),
    ],
)
def test_errors_of_limits_name_the_field(name, value, message):
    with pytest.raises(FieldError, match=message) as error:
        make_settings(**{name: value})
    assert error.value.field == name


def test_the_variations_together_are_limited():
    assert make_settings(duration=180.0, variations=2).variations == 2
    with pytest.raises(FieldError, match="3 variations of 180 s are 540 s of music, but at most 360") as error:
        make_settings(duration=180.0, variations=3)
    assert error.value.field == "variations"
    with pytest.raises(FieldError, match="2 variations with 8 candidates of 30 s are 480 s of music"):
        make_settings(duration=30.0, variations=2, best_of=8)


@pytest.mark.parametrize(
    "field, values, message",
    [
        ("regions", {"regions": "12 to 15"}, "like “12-15, 45-52” .* not '12 to 15'"),
        ("regions", {"regions": "1-" + "9" * 310 + ":00"}, "The parts have to be like “12-15, 45-52”"),
        ("regions", {"regions": "9" * 310 + ":00:00-1"}, "The parts have to be like “12-15, 45-52”"),
        ("regions", {"regions": " "}, "Enter the parts to regenerate"),
        ("loop", {"regions": "1-2", "loop": True}, "can’t be edited as a loop"),
        ("best_of", {"regions": "1-2", "best_of": 2}, "have no candidates"),
        ("drums_gain", {"regions": "1-2", "rest_gain": 3}, "keeps its samples"),
    ],
)
def test_errors_of_edits_name_the_field(field, values, message):
    with pytest.raises(FieldError, match=message) as error:
        make_settings(edit="regions", **values)
    assert error.value.field == field


def test_parts_of_a_recording():
    assert make_settings(edit="regions", regions="12-15, 1:02-1:10.5").region_list() == [(12, 15), (62, 70.5)]
    # Text that is not used is not read.
    assert make_settings(edit="variation", regions="the chorus").region_list() == []


def test_settings_of_earlier_versions_are_read():
    values = make_settings().to_json()
    for name in ("loop", "edit", "regions", "intro", "outro", "strength"):
        del values[name]
    assert Settings.from_json(values) == make_settings()


@pytest.mark.parametrize(
    "field, name, value, message",
    [
        ("chords", "chords", {**C_AM_F_G, "chords": [{"label": "Hm", "beat": 6.0}]}, "Bar 2, beat 3.*Hm"),
        ("chords", "chords", {**C_AM_F_G, "chords": [{"label": "C", "beat": float("nan")}]}, "nan"),
        ("chords", "chords", {**C_AM_F_G, "beats_per_bar": 9}, "from 2 to 7"),
        ("chords", "chords", [], "object"),
        ("chords", "use_chords", "yes", "true or false"),
        ("drums", "pattern", {**BACKBEAT, "tracks": {"gong": [1.0] * 16}}, "gong"),
        ("drums", "pattern", {**BACKBEAT, "tracks": {"kick": [1.0] * 15}}, "15"),
        ("melody", "melody", {"beats": 4.0, "notes": [{"midi": 20, "beat": 0.0, "beats": 1.0}]}, "43"),
        ("melody", "melody", {"beats": 4.0, "notes": [{"midi": 60, "beat": 0.0, "beats": -1.0}]}, "beats"),
    ],
)
def test_errors_of_controls_name_the_position(field, name, value, message):
    with pytest.raises(FieldError, match=message) as error:
        make_settings(**{name: value})
    assert error.value.field == field


@pytest.mark.parametrize(
    "content, message",
    [
        ([], "not a settings file"),
        ({"format": "something else"}, "not a settings file"),
        ({**Settings().to_json(), "shell": "rm"}, "unknown fields: shell"),
        ({name: value for name, value in Settings().to_json().items() if name != "tempo"}, "have no tempo"),
    ],
)
def test_other_files_are_refused_as_settings(content, message):
    with pytest.raises(FieldError, match=message) as error:
        Settings.from_json(content)
    assert error.value.field == "file"


def test_errors_reach_other_processes():
    error = pickle.loads(pickle.dumps(FieldError("drums", "Choose a file first.")))
    assert (type(error), error.field, str(error)) == (FieldError, "drums", "Choose a file first.")


def test_count_bars():
    assert count_bars(10.0, 120.0, 4) == 5
    assert count_bars(10.1, 120.0, 4) == 6
    assert count_bars(1.0, 40.0, 4) == 1
