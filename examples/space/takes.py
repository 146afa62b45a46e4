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

"""Finished takes: writing and scoring their files, and reading settings back from them."""

import io
import json
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import soundfile
import torch

from diffusers_jasco import __version__, export_audio, load_audio
from diffusers_jasco.audio.paste import paste
from diffusers_jasco.controls.chords import check_chords, chords_to_lab
from diffusers_jasco.evaluation.plotting import plot_music
from diffusers_jasco.evaluation.transcription import Score, score_transcription, transcribe
from diffusers_jasco.extraction import change_stem_levels
from engine import Engine, TakeRequest
from settings import DURATION, FieldError, Settings


LOUDNESS = -16.0  # LUFS
FLAC_SUBTYPES = ("PCM_16", "PCM_24")
MAX_SETTINGS_BYTES = 2_000_000
MAX_DRUMS_BYTES = int(DURATION[1] + 1) * 48_000 * 4


@dataclass(frozen=True)
class Take:
    r"""
    Args:
        settings ([`Settings`]): the settings that reproduce this take.
        folder (`Path`): folder of its files.
        scores (`dict[str, Score]`): how closely each control was followed.
        number (`int`, defaults to 1): number of the take in its session.
    """

    settings: Settings
    folder: Path
    scores: dict[str, Score]
    number: int = 1

    @property
    def wav(self) -> Path:
        return self.folder / f"{self.name}.wav"

    @property
    def flac(self) -> Path:
        return self.folder / f"{self.name}.flac"

    @property
    def zip(self) -> Path:
        return self.folder / f"{self.name}.zip"

    @property
    def picture(self) -> Path:
        return self.folder / f"{self.name}.png"

    @property
    def name(self) -> str:
        return f"jasco-{self.settings.seed}"


def finish_take(
    audio: torch.Tensor,
    request: TakeRequest,
    seed: int,
    engine: Engine,
    folder: Path,
    dark: bool = False,
) -> Take:
    r"""
    Writes the files of a take, and scores it.

    Args:
        audio (`torch.Tensor` of shape `(channels, samples)`): the generated music.
        request ([`TakeRequest`]), seed (`int`): inputs of the generation.
        engine ([`Engine`]): the engine that generated it.
        folder (`Path`): an empty folder.
        dark (`bool`, defaults to `False`): whether the picture is for a dark page.
    """
    take = Take(replace(request.settings, seed=seed, variations=1), folder, {})
    _write_music(take, audio, request, engine.sampling_rate)
    # Scores and picture describe the written file.
    written = load_audio(take.wav)
    transcription = transcribe(written)
    take = replace(take, scores=score_transcription(transcription, request.requested))
    # The picture's column on the page is always narrow.
    plot_music(written, request.requested, transcription, theme="dark" if dark else "light", narrow=True).savefig(
        take.picture
    )
    _write_zip(take, engine, request)
    return take


def _write_music(take: Take, audio: torch.Tensor, request: TakeRequest, sampling_rate: int):
    """Writes new music, or the recording with its new parts, which keeps its loudness."""
    settings = request.settings
    if settings.edit != "regions":
        audio = change_stem_levels(audio, sampling_rate, settings.drums_gain, settings.rest_gain)
        for path in (take.wav, take.flac):
            export_audio(audio, path, sampling_rate, loudness=LOUDNESS)
        return
    paste(request.source, audio, sampling_rate, request.regions, take.wav, settings.intro)
    info = soundfile.info(take.wav)
    if info.subtype in FLAC_SUBTYPES:
        samples, _ = soundfile.read(take.wav, dtype="int32")
        soundfile.write(take.flac, samples, info.samplerate, info.subtype)


def _write_zip(take: Take, engine: Engine, request: TakeRequest):
    settings = {
        "checkpoint": engine.checkpoint,
        "made_with": f"diffusers-jasco {__version__}",
        **take.settings.to_json(),
    }
    files = {
        "settings.json": json.dumps(settings, indent=1).encode(),
        take.wav.name: take.wav.read_bytes(),
        "target-and-result.png": take.picture.read_bytes(),
    }
    chords = take.settings.chord_timeline()
    if chords is not None:
        with tempfile.TemporaryDirectory() as folder:
            lab = Path(folder, "chords.lab")
            chords_to_lab(check_chords(chords, duration=take.settings.duration), lab, take.settings.duration)
            files[lab.name] = lab.read_bytes()
    if request.drums is not None:
        waveform, rate = request.drums
        content = io.BytesIO()
        soundfile.write(content, waveform.T.numpy(), rate, subtype="FLOAT", format="WAV")
        files["drums.wav"] = content.getvalue()
    with zipfile.ZipFile(take.zip, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def read_settings(path: str | Path, folder: Path) -> tuple[Settings, Path | None, str | None]:
    r"""
    Reads settings from a downloaded ZIP, or from the `settings.json` in it.

    Args:
        path (`str` or `Path`): the file. Only two members of it are read, as data.
        folder (`Path`): folder to write a drum recording to.

    Returns:
        `tuple` of the settings, the drum recording (or `None`), and the checkpoint that they were made with (or `None`).

    Raises:
        [`FieldError`]: if the file does not contain readable settings.
    """
    recording, path = None, Path(path)
    if path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                content = _read_member(archive, "settings.json", MAX_SETTINGS_BYTES)
                drums = _read_member(archive, "drums.wav", MAX_DRUMS_BYTES)
        except FieldError:
            raise
        # zipfile and zlib raise many kinds of errors for damaged archives.
        except Exception:
            raise FieldError("file", f"{path.name} is not a readable ZIP file.") from None
    elif path.suffix.lower() == ".json":
        content, drums = path.read_bytes()[: MAX_SETTINGS_BYTES + 1], None
    else:
        raise FieldError("file", f"{path.name} has to be a .zip downloaded from this page, or the .json in it.")
    if content is None:
        raise FieldError("file", f"There is no settings.json in {path.name}.")
    if len(content) > MAX_SETTINGS_BYTES:
        raise FieldError("file", f"{path.name} is too large for a settings file.")
    try:
        values: Any = json.loads(content)
    except (ValueError, RecursionError):
        raise FieldError("file", f"{path.name} is not valid JSON.") from None
    checkpoint = None
    if isinstance(values, dict):
        checkpoint = values.pop("checkpoint", None)
        values.pop("made_with", None)
    settings = Settings.from_json(values)
    if settings.drums == "recording":
        if drums is None:
            raise FieldError("file", "These settings use a drum recording, which is only in the .zip: load the .zip.")
        recording = folder / "drums.wav"
        recording.write_bytes(drums)
        try:
            length = soundfile.info(recording).duration
        except soundfile.LibsndfileError:
            raise FieldError("file", f"The drums.wav in {path.name} is not readable audio.") from None
        if length > DURATION[1] + 1:
            raise FieldError(
                "file",
                f"The drums.wav in {path.name} lasts {length:.0f} s, but at most {DURATION[1]:g} s are allowed.",
            )
    return settings, recording, checkpoint if isinstance(checkpoint, str) else None


def _read_member(archive: zipfile.ZipFile, name: str, most: int) -> bytes | None:
    if name not in archive.namelist():
        return None
    # The size in the archive's directory may be wrong, so limit the read itself.
    with archive.open(name) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise FieldError("file", f"{name} in {Path(archive.filename).name} is too large.")
    return content
