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


"""Takes: the same again from what was kept, stopped when wanted, and judged by their sound alone."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco import load_audio
from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.evaluation.heard import hear, score_heard

from ..conftest import load_pipeline
from .conftest import BACKBEAT, C_AM_F_G, ROOT, TUNE


pytest.importorskip("gradio")

from settings import FieldError, Settings  # noqa: E402
from studio import Stopped, Studio  # noqa: E402
from takes import finish_take, read_settings  # noqa: E402


@pytest.fixture(scope="module")
def studio():
    return Studio(str(ROOT / "pipelines/jasco-nano"))


@pytest.fixture(scope="module")
def settings(studio):
    return Settings(
        prompt="80s pop, drums", chords=C_AM_F_G, drums="pattern", pattern=BACKBEAT, melody=TUNE,
        steps=studio.default_steps, guidance_scale=studio.default_guidance_scale,
        text_guidance_scale=studio.default_text_guidance_scale,
    )  # fmt: skip


@pytest.fixture(scope="module")
def asked_for(studio, settings):
    return studio.make_request(settings)


@pytest.fixture(scope="module")
def take(studio, asked_for, tmp_path_factory):
    return finish_take(studio.play(asked_for, 7), asked_for, 7, studio, tmp_path_factory.mktemp("take"))


def test_every_run_has_a_pipeline_of_its_own_with_the_same_weights(studio):
    first, second = studio.make_pipeline(), studio.make_pipeline()
    assert first is not second and first.scheduler is not second.scheduler and first.tokenizer is not second.tokenizer
    assert first.transformer is second.transformer is studio.components["transformer"]


def test_a_checkpoint_with_another_codec_and_an_adaptive_solver(tmp_path):
    """Steps can be counted with any checkpoint; controls that it does not have are named, to be left out of the page."""
    from diffusers_jasco import FlowMatchDopri5Scheduler

    load_pipeline("chords-drums", scheduler=FlowMatchDopri5Scheduler()).save_pretrained(tmp_path)
    studio = Studio(str(tmp_path))
    assert (studio.controls, studio.sampling_rate, studio.frame_rate) == (("chords", "drums"), 32000, 50)
    assert (studio.default_steps, studio.default_guidance_scale) == (100, 5.0)
    steps, settings = [], Settings(chords=C_AM_F_G, drums="pattern", pattern=BACKBEAT, duration=1.0, steps=3)
    music = studio.play(studio.make_request(settings), 0, on_step=steps.append)
    assert music.shape == (1, 32000) and steps == [1, 2, 3]
    with pytest.raises(ValueError, match="no melody control"):
        studio.play(studio.make_request(replace(settings, melody=TUNE)), 0)


def test_a_take_is_what_its_settings_make(studio, take, tmp_path):
    """A downloaded ZIP, loaded again, gives the same file to the byte."""
    loaded, recording, checkpoint = read_settings(take.zip, tmp_path)
    assert (loaded.seed, loaded.variations, recording, checkpoint) == (7, 1, None, studio.checkpoint)
    request = studio.make_request(loaded)
    again = finish_take(studio.play(request, loaded.seed), request, loaded.seed, studio, tmp_path)
    assert again.wav.read_bytes() == take.wav.read_bytes()
    with zipfile.ZipFile(take.zip) as archive:
        assert archive.read("jasco-7.wav") == take.wav.read_bytes()
        assert set(archive.namelist()) >= {"settings.json", "chords.lab", "drums.wav", "asked-and-heard.png"}
        assert json.loads(archive.read("settings.json"))["prompt"] == "80s pop, drums"
    (tmp_path / "settings.json").write_text(json.dumps(loaded.to_json()))
    assert read_settings(tmp_path / "settings.json", tmp_path)[0] == loaded
    waveform, rate = soundfile.read(take.flac)
    assert rate == studio.sampling_rate
    assert np.abs(waveform - soundfile.read(take.wav)[0]).max() <= 2**-23


def test_a_drum_recording_comes_back_with_its_take(studio, settings, tmp_path):
    recording = tmp_path / "drums.wav"
    soundfile.write(recording, GROOVES["disco"].render(12.0, 44100)[0].numpy(), 44100, subtype="FLOAT")
    settings = replace(settings, drums="recording", duration=4.0)
    request = studio.make_request(settings, load_audio(recording))
    music = studio.play(request, 1)
    (tmp_path / "take").mkdir()
    take = finish_take(music, request, 1, studio, tmp_path / "take")
    (tmp_path / "again").mkdir()
    loaded, drums, _ = read_settings(take.zip, tmp_path / "again")
    assert torch.equal(studio.play(studio.make_request(loaded, load_audio(drums)), 1), music)
    assert not torch.equal(studio.play(studio.make_request(replace(loaded, drums="off")), 1), music)


def test_scores_are_heard_in_the_file_alone(studio, asked_for, take, tmp_path):
    """With another piece in the place of the take, all scores fall."""
    scores = score_heard(hear(take.wav), asked_for.asked)
    assert scores == take.scores and list(scores) == ["chords", "melody", "drums"]
    other = Settings(
        prompt="calm ballad, no drums",
        chords={**C_AM_F_G, "chords": [{"label": "F#m", "beat": 0.0}, {"label": "B", "beat": 10.0}]},
        melody={"beats": 20.0, "notes": [{"midi": 61, "beat": 0.3, "beats": 9.0}]},
        steps=studio.default_steps,
        guidance_scale=studio.default_guidance_scale,
    )
    (tmp_path / "other").mkdir()
    other = studio.make_request(other)
    placed = finish_take(studio.play(other, 3), other, 3, studio, tmp_path / "other").wav
    others = score_heard(hear(placed), asked_for.asked)
    for control, score in scores.items():
        assert others[control].value < score.value - 0.2, control
    assert scores["chords"].value > 0.7 and scores["drums"].value > 0.6


def test_a_stop_ends_a_run_within_a_step(studio, asked_for):
    done = []
    with pytest.raises(Stopped):
        studio.play(asked_for, 0, on_step=done.append, is_stopped=lambda: len(done) == 3)
    assert done == [1, 2, 3]
    with pytest.raises(Stopped):
        studio.play(asked_for, 0, on_step=done.append, is_stopped=lambda: True)
    assert done == [1, 2, 3]


@pytest.mark.parametrize("content, says", [(b"PK\x03\x04 nonsense", "no ZIP"), (b"", "no ZIP")])
def test_broken_archives(tmp_path, content, says):
    path = tmp_path / "take.zip"
    path.write_bytes(content)
    with pytest.raises(FieldError, match=says) as error:
        read_settings(path, tmp_path)
    assert error.value.field == "file" and str(tmp_path) not in str(error.value)


def test_archives_that_hold_something_else(tmp_path):
    path = tmp_path / "take.zip"

    def write(**files):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name.replace("_", "."), content)

    write(readme_txt="hello")
    with pytest.raises(FieldError, match="no settings.json"):
        read_settings(path, tmp_path)
    write(settings_json=b" " * 10_000_000)
    with pytest.raises(FieldError, match="settings.json in take.zip is too large"):
        read_settings(path, tmp_path)
    write(settings_json="[" * 100_000)
    with pytest.raises(FieldError, match="no JSON"):
        read_settings(path, tmp_path)
    values = Settings(drums="recording").to_json()
    write(settings_json=json.dumps(values))
    with pytest.raises(FieldError, match="a recording, which is in the .zip"):
        read_settings(path, tmp_path)
    write(settings_json=json.dumps(values), drums_wav=b"RIFF")
    with pytest.raises(FieldError, match="no audio"):
        read_settings(path, tmp_path)
    with pytest.raises(FieldError, match="has to be a .zip"):
        read_settings(tmp_path / "take.pkl", tmp_path)


def test_the_picture_has_the_light_of_the_page(studio, asked_for, take, tmp_path):
    from PIL import Image

    other = finish_take(studio.play(asked_for, 7), asked_for, 7, studio, tmp_path, dark=True)
    assert other.wav.read_bytes() == take.wav.read_bytes()
    light, dark = (np.asarray(Image.open(picture).convert("L")) for picture in (take.picture, other.picture))
    assert light.shape == dark.shape and light.mean() > 160 and dark.mean() < 96
