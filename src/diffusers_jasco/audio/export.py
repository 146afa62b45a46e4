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
from collections.abc import Iterator
from contextlib import contextmanager
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
    An output format.

    Args:
        name (`str`): libsndfile's name of the container.
        subtype (`str`): libsndfile's name of the encoding.
        max_channels (`int`): maximum number of channels.
        max_rate (`int`): highest sampling rate in Hz.
        rates (`tuple[int, ...]`, *optional*): the supported sampling rates in Hz, if only some are.
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
    Checks that audio can be written to a file with the given name.

    Args:
        path (`str` or `os.PathLike`): the file.
        sampling_rate (`int`, *optional*): sampling rate in Hz.
        num_channels (`int`, *optional*): number of channels.

    Returns:
        [`AudioFormat`]: the format of the file.

    Raises:
        [`InputError`]: if the suffix is not in `FORMATS`, or the format does not support the sampling rate or the
            number of channels.
    """
    suffix = Path(path).suffix.lower() if isinstance(path, (str, os.PathLike)) else None
    if suffix not in FORMATS:
        raise InputError(
            f"`path` has to be a file name that ends in {_or(list(FORMATS))}, but is {shorten(path)}.", "path"
        )
    file_format = FORMATS[suffix]
    if num_channels is not None and num_channels > file_format.max_channels:
        raise InputError(
            f"{suffix} supports at most {file_format.max_channels} channels, but `audio` has {num_channels}: write it"
            " as .wav.",
            "audio",
        )
    if sampling_rate is None:
        return file_format
    if file_format.rates is not None and sampling_rate not in file_format.rates:
        raise InputError(
            f"{suffix} supports rates of {_or([str(rate) for rate in file_format.rates])} Hz, but `sampling_rate` is"
            f" {sampling_rate}: resample the audio first, or write it as .wav or .flac.",
            "sampling_rate",
        )
    if sampling_rate > file_format.max_rate:
        raise InputError(
            f"{suffix} supports rates up to {file_format.max_rate} Hz, but `sampling_rate` is {sampling_rate}:"
            " resample the audio first, or write it as .wav.",
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
    Writes a waveform as 24-bit WAV or FLAC, OGG Vorbis, Opus or MP3. The file is written atomically.

    Args:
        audio (`torch.Tensor` or `np.ndarray` of shape `(channels, samples)` or `(samples,)`):
            Audio in [-1, 1].
        path (`str` or `os.PathLike`):
            Name of the file, which ends in `.wav`, `.flac`, `.ogg`, `.opus` or `.mp3`.
        sampling_rate (`int`):
            Sampling rate in Hz.
        loudness (`float`, *optional*):
            Target loudness in LUFS (ITU-R BS.1770), such as -14; peaks above −1 dBFS are then limited. This replaces
            AudioCraft's `audio_write(strategy="loudness")`. Silence and audio shorter than 0.4 s have no defined
            loudness and are left unchanged, with a warning. By default samples are not scaled, and samples beyond ±1
            are clipped, with a warning.
        metadata (`dict`, *optional*):
            JSON-serializable metadata, such as `{"prompt": "80s pop", "seed": 7}`, stored in the comment field of the
            file; [`~audio.metadata.read_metadata`] reads it. `"title"` or `"prompt"` becomes the title that players
            show.

    Returns:
        `Path`: the file.

    Raises:
        [`InputError`]: if the suffix, the audio, the rate, the loudness or the metadata is invalid, or if the format
            does not support the rate or the number of channels (FLAC: 8 channels, 655350 Hz; MP3: 2 channels, 48000
            Hz).
        `FileNotFoundError`: if the folder does not exist.
    """
    check_export(path)
    path = Path(path)
    audio, rate = check_samples(audio, "audio"), check_rate(sampling_rate, "audio")
    file_format = check_export(path, rate, len(audio))
    if loudness is not None:
        audio = limit_peaks(_normalize_loudness(audio, rate, loudness), rate)
    peak = float(audio.abs().max())
    if peak > 1:
        logger.warning(f"{path}: samples reach {peak:.2f}; values beyond ±1 are clipped. Set `loudness` to avoid it.")
        audio = audio.clamp(-1, 1)

    with write_audio(path, rate, len(audio), file_format.subtype, metadata) as file:
        file.write(audio.T.numpy())
    return path


@contextmanager
def write_audio(
    path: str | os.PathLike,
    sampling_rate: int,
    num_channels: int,
    encoding: str,
    metadata: dict[str, Any] | None = None,
) -> Iterator[Any]:
    r"""
    Opens an audio file for writing in blocks. It is written atomically.

    Args:
        path (`str` or `os.PathLike`): name of the file, for which [`check_export`] succeeds.
        sampling_rate (`int`): sampling rate in Hz.
        num_channels (`int`): number of channels.
        encoding (`str`): libsndfile's name of the encoding, such as `"PCM_24"`.
        metadata (`dict`, *optional*): see [`export_audio`].

    Yields:
        `soundfile.SoundFile`: a file whose method `write` takes samples `(samples, channels)`.
    """
    import soundfile

    document = None if metadata is None else make_document(metadata)
    name = check_export(path).name
    with replace_file(path) as temporary:
        with soundfile.SoundFile(temporary, "w", sampling_rate, num_channels, subtype=encoding, format=name) as file:
            if document is not None and name != "WAV":
                # libsndfile writes MP3 titles in Latin-1 and rejects empty titles.
                if title := make_title(metadata or {}, ascii_only=name == "MP3"):
                    file.title = title
                file.comment = document
            yield file
        if document is not None and name == "WAV":
            append_wav_info(temporary, make_title(metadata or {}), document)


def _or(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
