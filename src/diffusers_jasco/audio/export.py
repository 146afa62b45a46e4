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

"""Writing audio files."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.utils import logging

from ..utils.errors import InputError, shorten
from ..utils.files import replace_file
from .loudness import _normalize_loudness, limit_peaks
from .metadata import append_wav_info, make_document, make_title
from .waveforms import check_rate, check_samples


logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class AudioFormat:
    r"""
    Args:
        name (`str`): name of the container in libsndfile.
        subtype (`str`): its encoding.
        max_channels (`int`): most channels it holds.
        max_rate (`int`): highest rate in Hz.
        rates (`tuple[int, ...]`, *optional*): the only rates that it has, in Hz.
    """

    name: str
    subtype: str
    max_channels: int
    max_rate: int
    rates: tuple[int, ...] | None = None


FORMATS = {
    ".wav": AudioFormat("WAV", "PCM_24", 64, 1_000_000),
    ".flac": AudioFormat("FLAC", "PCM_24", 8, 655_350),
    ".ogg": AudioFormat("OGG", "VORBIS", 8, 192_000),
    ".opus": AudioFormat("OGG", "OPUS", 8, 48_000, (8000, 12000, 16000, 24000, 48000)),
    ".mp3": AudioFormat(
        "MP3", "MPEG_LAYER_III", 2, 48_000, (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
    ),
}


def check_export(
    path: str | os.PathLike, sampling_rate: int | None = None, num_channels: int | None = None
) -> AudioFormat:
    r"""
    Whether audio can be written to a file of that name.

    Args:
        path (`str` or `os.PathLike`): the file.
        sampling_rate (`int`, *optional*): rate in Hz.
        num_channels (`int`, *optional*): number of channels.

    Raises:
        [`InputError`]: for another ending than those of `FORMATS`, and for a rate or channels that the format does not have.
    """
    suffix = Path(path).suffix.lower() if isinstance(path, (str, os.PathLike)) else None
    if suffix not in FORMATS:
        raise InputError(
            f"`path` has to be a file name that ends in {_or(list(FORMATS))}, but is {shorten(path)}.", "path"
        )
    file_format = FORMATS[suffix]
    if num_channels is not None and num_channels > file_format.max_channels:
        raise InputError(
            f"{suffix} holds at most {file_format.max_channels} channels, but `audio` has {num_channels}: write it as .wav.",
            "audio",
        )
    if sampling_rate is None:
        return file_format
    if file_format.rates is not None and sampling_rate not in file_format.rates:
        raise InputError(
            f"{suffix} has rates of {_or([str(rate) for rate in file_format.rates])} Hz, but `sampling_rate` is"
            f" {sampling_rate}: resample the audio first, or write it as .wav or .flac.",
            "sampling_rate",
        )
    if sampling_rate > file_format.max_rate:
        raise InputError(
            f"{suffix} has rates up to {file_format.max_rate} Hz, but `sampling_rate` is {sampling_rate}: resample the audio"
            " first, or write it as .wav.",
            "sampling_rate",
        )
    return file_format


def export_audio(
    audio: torch.Tensor | np.ndarray,
    path: str | os.PathLike,
    sampling_rate: int,
    loudness: float | None = None,
    metadata: dict[str, Any] | None = None,
) -> Path:
    r"""
    Writes one waveform as 24-bit WAV or FLAC, as OGG Vorbis, Opus or MP3. The file appears whole or not at all.

    Args:
        audio (`torch.Tensor` or `np.ndarray` of shape `(channels, samples)` or `(samples,)`):
            Audio in [-1, 1].
        path (`str` or `os.PathLike`):
            File name that ends in `.wav`, `.flac`, `.ogg`, `.opus` or `.mp3`.
        sampling_rate (`int`):
            Rate in Hz.
        loudness (`float`, *optional*):
            Loudness to normalize to, in LUFS (ITU-R BS.1770), such as -14; peaks above −1 dBFS are then limited. This
            is for users of AudioCraft's `audio_write(strategy="loudness")`. Silence and audio shorter than 0.4 s,
            which have no defined loudness, are left as loud as they are, with a warning. By default samples are written
            as they are, and those beyond ±1 clipped, with a warning.
        metadata (`dict`, *optional*):
            Names and values that JSON has, such as `{"prompt": "80s pop", "seed": 7}`, for the comment in the file;
            [`~audio.metadata.read_metadata`] reads them. `"title"` or `"prompt"` becomes the title that players show.

    Returns:
        `Path`: the file.

    Raises:
        [`InputError`]: for another ending; for audio, a rate, a loudness or metadata that can't be one; and for a rate or a
            number of channels that the format does not have (FLAC: 8 channels, 655350 Hz; MP3: 2 channels, 48000 Hz).
        `FileNotFoundError`: for a folder that does not exist.
    """
    check_export(path)
    path = Path(path)
    audio, rate = check_samples(audio, "audio"), check_rate(sampling_rate, "audio")
    file_format = check_export(path, rate, len(audio))
    document = None if metadata is None else make_document(metadata)
    if loudness is not None:
        audio = limit_peaks(_normalize_loudness(audio, rate, loudness), rate)
    peak = float(audio.abs().max())
    if peak > 1:
        logger.warning(f"{path}: samples reach {peak:.2f}; values beyond ±1 are clipped. Set `loudness` to avoid it.")
        audio = audio.clamp(-1, 1)

    import soundfile

    with replace_file(path) as temporary:
        options = {"subtype": file_format.subtype, "format": file_format.name}
        with soundfile.SoundFile(temporary, "w", rate, len(audio), **options) as file:
            if document is not None and file_format.name != "WAV":
                # libsndfile writes titles of MP3 files as Latin-1, and refuses empty ones.
                if title := make_title(metadata or {}, ascii_only=file_format.name == "MP3"):
                    file.title = title
                file.comment = document
            file.write(audio.T.numpy())
        if document is not None and file_format.name == "WAV":
            append_wav_info(temporary, make_title(metadata or {}), document)
    return path


def _or(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
