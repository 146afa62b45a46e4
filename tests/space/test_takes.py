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


"""Tests of takes: reproducing, stopping and scoring them."""

import json
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco import FlowMatchEulerScheduler, load_audio
from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.evaluation.transcription import score_transcription, transcribe

from ..conftest import load_pipeline
from .conftest import BACKBEAT, C_AM_F_G, MELODY, ROOT


pytest.importorskip("gradio")

from engine import Engine, Stopped  # noqa: E402
from settings import FieldError, Settings  # noqa: E402
from takes import finish_take, read_settings  # noqa: E402


@pytest.fixture(scope="module")
def engine():
    return Engine(str(ROOT / "pipelines/jasco-nano"))


@pytest.fixture(scope="module")
def settings(engine):
    return Settings(
        prompt="80s pop, drums", chords=C_AM_F_G, drums="pattern", pattern=BACKBEAT, melody=MELODY,
        steps=engine.default_steps, guidance_scale=engine.default_guidance_scale,
        text_guidance_scale=engine.default_text_guidance_scale,
    )  # fmt: skip


@pytest.fixture(scope="module")
def request_(engine, settings):
    return engine.make_request(settings)


@pytest.fixture(scope="module")
def take(engine, request_, tmp_path_factory):
    return finish_take(engine.play(request_, 7), request_, 7, engine, tmp_path_factory.mktemp("take"))


def test_checkpoints_with_beats_follow_the_tempo_of_the_page(engine, settings, monkeypatch):
    calls = []

    def pipeline(prompt, **arguments):
        calls.append(arguments)
        return SimpleNamespace(audios=[torch.zeros(1, 9)])

    monkeypatch.setattr(engine, "make_pipeline", lambda *_: pipeline)
    monkeypatch.setattr(engine, "controls", ("chords", "drums", "melody"))
    engine.play(engine.make_request(settings), 0)
    monkeypatch.setattr(engine, "controls", (*engine.controls, "beats"))
    engine.play(engine.make_request(settings), 0)
    engine.play(engine.make_request(replace(settings, drums="recording"), (torch.zeros(1, 9), 9)), 0)
    assert [call.get("bpm") for call in calls] == [None, settings.tempo, None]
    assert calls[1]["beats_per_bar"] == settings.chords["beats_per_bar"] == 4


def test_the_default_number_of_steps_has_the_noise_levels_of_the_checkpoint(engine, monkeypatch):
    distilled = FlowMatchEulerScheduler(num_inference_steps=2, inference_sigmas=[1.0, 0.3])
    monkeypatch.setitem(engine.components, "scheduler", distilled)
    settings = Settings("80s pop", duration=1.0, use_chords=False)
    for steps, sigmas in ((2, [1.0, 0.3]), (3, [1.0, 2 / 3, 1 / 3])):
        expected = engine.make_pipeline()(
            "80s pop",
            bpm=settings.tempo,
            duration=1.0,
            sigmas=sigmas,
            guidance_scale=settings.guidance_scale,
            generator=torch.Generator().manual_seed(0),
        )
        assert torch.equal(engine.play(engine.make_request(replace(settings, steps=steps)), 0), expected.audios[0])


def test_every_run_has_its_own_pipeline_with_shared_weights(engine):
    first, second = engine.make_pipeline(), engine.make_pipeline()
    assert first is not second and first.scheduler is not second.scheduler and first.tokenizer is not second.tokenizer
    assert first.transformer is second.transformer is engine.components["transformer"]


def test_a_checkpoint_with_another_codec_and_an_adaptive_solver(tmp_path):
    """The step count is defined for any checkpoint, and missing controls are listed."""
    from diffusers_jasco import FlowMatchDopri5Scheduler

    load_pipeline("chords-drums", scheduler=FlowMatchDopri5Scheduler()).save_pretrained(tmp_path)
    engine = Engine(str(tmp_path))
    assert (engine.controls, engine.sampling_rate, engine.frame_rate) == (("chords", "drums"), 32000, 50)
    assert (engine.default_steps, engine.default_guidance_scale) == (100, 5.0)
    steps, settings = [], Settings(chords=C_AM_F_G, drums="pattern", pattern=BACKBEAT, duration=1.0, steps=3)
    music = engine.play(engine.make_request(settings), 0, on_step=steps.append)
    assert music.shape == (1, 32000) and steps == [1, 2, 3]
    with pytest.raises(ValueError, match="no melody control"):
        engine.play(engine.make_request(replace(settings, melody=MELODY)), 0)


def test_a_take_is_reproduced_from_its_settings(engine, take, tmp_path):
    """A downloaded ZIP reproduces the same file byte for byte."""
    loaded, recording, checkpoint = read_settings(take.zip, tmp_path)
    assert (loaded.seed, loaded.variations, recording, checkpoint) == (7, 1, None, engine.checkpoint)
    request = engine.make_request(loaded)
    again = finish_take(engine.play(request, loaded.seed), request, loaded.seed, engine, tmp_path)
    assert again.wav.read_bytes() == take.wav.read_bytes()
    with zipfile.ZipFile(take.zip) as archive:
        assert archive.read("jasco-7.wav") == take.wav.read_bytes()
        assert set(archive.namelist()) >= {"settings.json", "chords.lab", "drums.wav", "target-and-result.png"}
        assert json.loads(archive.read("settings.json"))["prompt"] == "80s pop, drums"
    (tmp_path / "settings.json").write_text(json.dumps(loaded.to_json()))
    assert read_settings(tmp_path / "settings.json", tmp_path)[0] == loaded
    waveform, rate = soundfile.read(take.flac)
    assert rate == engine.sampling_rate
    assert np.abs(waveform - soundfile.read(take.wav)[0]).max() <= 2**-23


def test_a_drum_recording_is_stored_with_its_take(engine, settings, tmp_path):
    recording = tmp_path / "drums.wav"
    soundfile.write(recording, GROOVES["disco"].render(12.0, 44100)[0].numpy(), 44100, subtype="FLOAT")
    settings = replace(settings, drums="recording", duration=4.0)
    request = engine.make_request(settings, load_audio(recording))
    music = engine.play(request, 1)
    (tmp_path / "take").mkdir()
    take = finish_take(music, request, 1, engine, tmp_path / "take")
    (tmp_path / "again").mkdir()
    loaded, drums, _ = read_settings(take.zip, tmp_path / "again")
    assert torch.equal(engine.play(engine.make_request(loaded, load_audio(drums)), 1), music)
    assert not torch.equal(engine.play(engine.make_request(replace(loaded, drums="off")), 1), music)


def test_scores_depend_only_on_the_file(engine, request_, take, tmp_path):
    """All scores drop when the file is replaced by another piece."""
    scores = score_transcription(transcribe(take.wav), request_.requested)
    assert scores == take.scores and list(scores) == ["chords", "melody", "drums"]
    other = Settings(
        prompt="calm ballad, no drums",
        chords={**C_AM_F_G, "chords": [{"label": "F#m", "beat": 0.0}, {"label": "B", "beat": 10.0}]},
        melody={"beats": 20.0, "notes": [{"midi": 61, "beat": 0.3, "beats": 9.0}]},
        steps=engine.default_steps,
        guidance_scale=engine.default_guidance_scale,
    )
    (tmp_path / "other").mkdir()
    other = engine.make_request(other)
    placed = finish_take(engine.play(other, 3), other, 3, engine, tmp_path / "other").wav
    others = score_transcription(transcribe(placed), request_.requested)
    for control, score in scores.items():
        assert others[control].value < score.value - 0.2, control
    assert scores["chords"].value > 0.7 and scores["drums"].value > 0.6


def test_a_stop_ends_a_run_within_a_step(engine, request_):
    done = []
    with pytest.raises(Stopped):
        engine.play(request_, 0, on_step=done.append, is_stopped=lambda: len(done) == 3)
    assert done == [1, 2, 3]
    with pytest.raises(Stopped):
        engine.play(request_, 0, on_step=done.append, is_stopped=lambda: True)
    assert done == [1, 2, 3]


@pytest.mark.parametrize(
    "content, message", [(b"PK\x03\x04 nonsense", "not a readable ZIP"), (b"", "not a readable ZIP")]
)
def test_broken_archives(tmp_path, content, message):
    path = tmp_path / "take.zip"
    path.write_bytes(content)
    with pytest.raises(FieldError, match=message) as error:
        read_settings(path, tmp_path)
    assert error.value.field == "file" and str(tmp_path) not in str(error.value)


def test_archives_with_other_content(tmp_path):
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
    with pytest.raises(FieldError, match="not valid JSON"):
        read_settings(path, tmp_path)
    values = Settings(drums="recording").to_json()
    write(settings_json=json.dumps(values))
    with pytest.raises(FieldError, match="drum recording, which is only in the .zip"):
        read_settings(path, tmp_path)
    write(settings_json=json.dumps(values), drums_wav=b"RIFF")
    with pytest.raises(FieldError, match="not readable audio"):
        read_settings(path, tmp_path)
    with pytest.raises(FieldError, match="has to be a .zip"):
        read_settings(tmp_path / "take.pkl", tmp_path)


def test_the_picture_has_the_theme_of_the_page(engine, request_, take, tmp_path):
    from PIL import Image

    other = finish_take(engine.play(request_, 7), request_, 7, engine, tmp_path, dark=True)
    assert other.wav.read_bytes() == take.wav.read_bytes()
    light, dark = (np.asarray(Image.open(picture).convert("L")) for picture in (take.picture, other.picture))
    assert light.shape == dark.shape and light.mean() > 160 and dark.mean() < 96
