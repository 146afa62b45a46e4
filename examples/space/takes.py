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

"""A finished piece: its files, what is heard in it, and the way back from its files to its settings."""

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
from diffusers_jasco.controls.chords import check_chords, chords_to_lab
from diffusers_jasco.evaluation.plotting import plot_music
from diffusers_jasco.evaluation.transcription import Score, score_transcription, transcribe
from engine import Engine, TakeRequest
from settings import DURATION, FieldError, Settings


LOUDNESS = -16.0  # LUFS
MAX_SETTINGS_BYTES = 2_000_000
MAX_DRUMS_BYTES = int(DURATION[1] + 1) * 48_000 * 4


@dataclass(frozen=True)
class Take:
    r"""
    Args:
        settings ([`Settings`]): what was asked for; they make this one piece again.
        folder (`Path`): where its files are.
        scores (`dict[str, Score]`): how far each control was followed.
        number (`int`, defaults to 1): of the takes of a visit.
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
    Writes the files of a piece, and listens to it.

    Args:
        audio (`torch.Tensor` of shape `(channels, samples)`): the music.
        request ([`TakeRequest`]), seed (`int`): what it was made from.
        engine ([`Engine`]): who made it.
        folder (`Path`): an empty folder.
        dark (`bool`, defaults to `False`): whether the picture is for a dark page.
    """
    take = Take(replace(request.settings, seed=seed, variations=1), folder, {})
    for path in (take.wav, take.flac):
        export_audio(audio, path, engine.sampling_rate, loudness=LOUDNESS)
    # Scores and picture are of the file, whose loudness is normalized.
    written = load_audio(take.wav)
    transcription = transcribe(written)
    take = replace(take, scores=score_transcription(transcription, request.requested))
    # Its column on the page is narrow everywhere.
    plot_music(written, request.requested, transcription, theme="dark" if dark else "light", narrow=True).savefig(
        take.picture
    )
    _write_zip(take, engine, request)
    return take


def _write_zip(take: Take, engine: Engine, request: TakeRequest):
    settings = {
        "checkpoint": engine.checkpoint,
        "made_with": f"diffusers-jasco {__version__}",
        **take.settings.to_json(),
    }
    files = {
        "settings.json": json.dumps(settings, indent=1).encode(),
        take.wav.name: take.wav.read_bytes(),
        "asked-and-heard.png": take.picture.read_bytes(),
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
    Settings from a ZIP that was downloaded here, or from the `settings.json` in it.

    Args:
        path (`str` or `Path`): the file. It is data: nothing in it is run, and nothing but two files of it is read.
        folder (`Path`): where a drum recording goes.

    Returns:
        `tuple` of the settings, the drum recording if they have one, and the checkpoint that they were made for, if it is said.

    Raises:
        [`FieldError`]: for anything else.
    """
    recording, path = None, Path(path)
    if path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                content = _read_member(archive, "settings.json", MAX_SETTINGS_BYTES)
                drums = _read_member(archive, "drums.wav", MAX_DRUMS_BYTES)
        except FieldError:
            raise
        # A broken archive makes zipfile and zlib fail in many ways.
        except Exception:
            raise FieldError("file", f"{path.name} is no ZIP file that can be read.") from None
    elif path.suffix.lower() == ".json":
        content, drums = path.read_bytes()[: MAX_SETTINGS_BYTES + 1], None
    else:
        raise FieldError("file", f"{path.name} has to be a .zip that was downloaded here, or a .json from one.")
    if content is None:
        raise FieldError("file", f"There is no settings.json in {path.name}.")
    if len(content) > MAX_SETTINGS_BYTES:
        raise FieldError("file", f"{path.name} is larger than settings can be.")
    try:
        values: Any = json.loads(content)
    except (ValueError, RecursionError):
        raise FieldError("file", f"{path.name} holds no JSON that can be read.") from None
    checkpoint = None
    if isinstance(values, dict):
        checkpoint = values.pop("checkpoint", None)
        values.pop("made_with", None)
    settings = Settings.from_json(values)
    if settings.drums == "recording":
        if drums is None:
            raise FieldError("file", "The drums were a recording, which is in the .zip: load that.")
        recording = folder / "drums.wav"
        recording.write_bytes(drums)
        try:
            length = soundfile.info(recording).duration
        except soundfile.LibsndfileError:
            raise FieldError("file", f"The drums.wav in {path.name} is no audio.") from None
        if length > DURATION[1] + 1:
            raise FieldError(
                "file", f"The drums.wav in {path.name} lasts {length:.0f} s; at most {DURATION[1]:g} s fit."
            )
    return settings, recording, checkpoint if isinstance(checkpoint, str) else None


def _read_member(archive: zipfile.ZipFile, name: str, most: int) -> bytes | None:
    if name not in archive.namelist():
        return None
    # A false size is no way around the limit.
    with archive.open(name) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise FieldError("file", f"{name} in {Path(archive.filename).name} is too large.")
    return content
