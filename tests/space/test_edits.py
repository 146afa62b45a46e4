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

"""Tests of the page's loops, and edits and variations of recordings."""

import zipfile

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.inputs import InputError

from .conftest import C_AM_F_G


pytest.importorskip("gradio")

import actions  # noqa: E402
from settings import FieldError, Settings  # noqa: E402


RATE = 44100
C_AM = {**C_AM_F_G, "bars": 2, "chords": C_AM_F_G["chords"][:2]}


@pytest.fixture
def song(tmp_path):
    """A stereo recording of 3 s."""
    music = 0.5 * GROOVES["disco"].render(3.0, RATE)[0].numpy()
    path = tmp_path / "song.flac"
    soundfile.write(path, np.stack([music, 0.5 * music], axis=1), RATE, "PCM_16")
    return path


def make(song=None, **values):
    settings = Settings("rock, drums", chords=C_AM, steps=2, **values)
    takes, remarks = actions.make_takes(settings, None, actions.TOKENS.issue("me"), source=song and str(song))
    assert len(remarks) == 1, remarks
    return takes[0]


def read(path):
    return soundfile.read(path, dtype="int16", always_2d=True)[0]


def test_parts_of_a_recording_are_made_anew(song):
    take = make(song, edit="regions", regions="1-1.5, 2-2.2", duration=20.0)
    info = soundfile.info(take.wav)
    assert (info.samplerate, info.channels, info.subtype) == (RATE, 2, "PCM_16")
    before, after = read(song), read(take.wav)
    changed = (before != after).any(axis=1).nonzero()[0] / RATE
    assert len(before) == len(after) and ((changed >= 1) & (changed < 1.5) | (changed >= 2) & (changed < 2.2)).all()
    assert (before[RATE : RATE + RATE // 2] != after[RATE : RATE + RATE // 2]).mean() > 0.5
    np.testing.assert_array_equal(read(take.flac), after)
    # The rest of the recording does not follow the controls.
    assert not take.scores and take.settings.duration == pytest.approx(3.0)
    with zipfile.ZipFile(take.zip) as archive:
        assert {take.wav.name, "settings.json", "chords.lab"} <= set(archive.namelist())


def test_a_recording_is_extended(song):
    take = make(song, edit="regions", intro=0.5, outro=1.0, regions="2.5-3")
    before, after = read(song), read(take.wav)
    assert len(after) == pytest.approx(4.5 * RATE, abs=0.05 * RATE)
    # Times are those of the recording.
    first = round(0.5 * RATE)
    np.testing.assert_array_equal(after[first : first + round(2.5 * RATE)], before[: round(2.5 * RATE)])
    for part in (after[:first], after[first + round(2.6 * RATE) : first + 3 * RATE], after[first + 3 * RATE :]):
        assert np.abs(part).max() > 0


def test_files_that_flac_cannot_hold(tmp_path):
    path = tmp_path / "float.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, RATE * 3), RATE, "FLOAT")
    take = make(path, edit="regions", regions="0.5-1")
    assert take.wav.exists() and not take.flac.exists()


def test_a_variation_has_the_length_of_the_recording(song):
    take = make(song, edit="variation", strength=0.5, intro=9.0)
    assert soundfile.info(take.wav).duration == pytest.approx(3.0, abs=0.05)
    assert list(take.scores) == ["chords"] and take.settings.intro == 0


def test_a_variation_takes_a_share_of_the_steps(song):
    request = actions.ENGINE.make_request(Settings(edit="variation", steps=6, strength=0.5), source=str(song))
    steps = []
    actions.ENGINE.play(request, 0, on_step=steps.append)
    assert steps == [1, 2, 3] and actions.ENGINE.count_steps(request) == 3


def test_a_loop_continues_at_its_end():
    request = actions.ENGINE.make_request(Settings("rock, drums", loop=True, duration=2.0, steps=2))
    audio = actions.ENGINE.play(request, 0)
    plain = actions.ENGINE.make_pipeline()(
        "rock, drums",
        loop=True,
        bpm=120,
        duration=2.0,
        num_inference_steps=2,
        guidance_scale=1.5,
        generator=torch.Generator().manual_seed(0),
    )
    assert audio.shape[1] == 2 * actions.ENGINE.sampling_rate and audio.equal(plain.audios[0])


@pytest.mark.parametrize(
    "tempo, duration, expected",
    [(120.0, 4.0, 4.0), (110.0, 10.0, 96 / 11), (110.0, 8.72, 96 / 11), (40.0, 1.0, 6.0), (120.0, 180.0, 180.0)],
)
def test_loops_have_whole_bars(tempo, duration, expected):
    settings = Settings(tempo=tempo, duration=duration, loop=True)
    assert actions.ENGINE.make_request(settings).settings.duration == pytest.approx(expected)


def test_the_length_of_a_loop_is_reported():
    settings = Settings("rock", chords=C_AM, tempo=110.0, duration=3.0, loop=True, steps=1)
    (take,), remarks = actions.make_takes(settings, None, actions.TOKENS.issue("me"))
    assert remarks[1] == "The loop has 1 bar and lasts 2.18 s." and "1 chord(s) start after the end" in remarks[2]
    assert take.settings.duration == pytest.approx(24 / 11)


@pytest.mark.parametrize(
    "field, values, message",
    [
        ("regions", {"regions": "2-4"}, "within the music of 3 s, but one is from 2 to 4 s"),
        ("regions", {"regions": "1-2, 1.5-2.5"}, "overlap"),
        ("source", {"regions": "1-2", "outro": 178.0}, "would last 181.0 s"),
    ],
)
def test_errors_name_the_field(song, field, values, message):
    with pytest.raises(FieldError, match=message) as error:
        make(song, edit="regions", **values)
    assert error.value.field == field


def test_errors_of_the_recording(tmp_path, monkeypatch):
    (tmp_path / "song.wav").write_text("no audio")
    for path, message in ((None, "Choose a recording to edit first"), (tmp_path / "song.wav", "song.wav")):
        with pytest.raises(FieldError, match=message) as error:
            make(path, edit="variation")
        assert error.value.field == "source" and str(tmp_path) not in str(error.value)

    def refuse(*arguments):
        raise InputError("`mask_start_seconds` is wrong.", "mask_start_seconds")

    monkeypatch.setattr(actions, "play", refuse)
    with pytest.raises(FieldError, match="wrong") as error:
        make()
    assert error.value.field == "regions"


def test_the_duration_of_the_result(song):
    assert actions.measure_result(str(song), 0, 0) == 3.0
    assert actions.measure_result(str(song), 0.2, 0) == 3.5
    assert actions.measure_result(str(song), 0, 500) == 180.0


def test_loaded_settings_ask_for_the_recording(song):
    take = make(song, edit="variation", strength=0.5)
    settings, _, remarks = actions.load_settings(str(take.zip))
    assert settings == take.settings and "choose it again" in remarks[-1]
