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

import os
from pathlib import Path
from typing import Any

import torch

from ..utils.errors import InputError
from .files import AudioFile
from .waveforms import Waveform, is_encoded


VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mkv", ".avi", ".flv", ".mpg", ".mpeg")
# File suffixes treated as audio; decoding may still fail.
AUDIO_SUFFIXES = (
    *(".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".caf", ".au", ".w64", ".rf64"),
    *(".m4a", ".m4b", ".aac", ".webm", ".weba", ".mka", ".wma", ".amr", ".ac3", ".wv", ".ape", ".tta", ".mp2"),
    *VIDEO_SUFFIXES,
)


def load_audio(audio: Any, name: str = "audio") -> tuple[torch.Tensor, int]:
    r"""
    Loads audio in any form.

    Args:
        audio (`str`, `os.PathLike`, `bytes`, file object, `tuple`, `list`, `dict` or object):
            - an audio or video file as a path, bytes or a file object. soundfile reads WAV, FLAC, OGG, MP3, AIFF and
              others; PyAV (the extra `formats`) reads M4A, WebM, WMA, MP4 and others. The format is detected from the
              content, not from the suffix
            - `(waveform, sampling_rate)`; or `(sampling_rate, waveform)` as in Gradio and SciPy, then also `(samples,
              channels)`
            - `{"array": waveform, "sampling_rate": rate}` as in Hugging Face datasets, or with the keys `"waveform"`,
              `"audio"` or `"raw"`, and `"sample_rate"`; or `{"bytes", "path"}`, where `"bytes"` takes precedence
              unless it is `None`
            - an audio object of datasets, torchcodec or pydub

            A waveform is a tensor or array of shape `(samples,)` or `(channels, samples)` with at most 64 channels. A
            batch of one and `(samples, channels)` (as soundfile returns it, with more than 64 samples and at most 8
            channels) are also accepted. Integers are scaled to [-1, 1). Floats far beyond ±1 are treated as integers,
            too, with a warning.
        name (`str`, defaults to `"audio"`):
            Name of the argument for error messages.

    Returns:
        `tuple[torch.Tensor, int]`: the waveform `(channels, samples)` in float32 and its sampling rate in Hz.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the file is truncated or not audio, or the waveform or the rate is invalid; an
            [`~utils.errors.EmptyInputError`] if there are no samples.
    """
    source = open_audio(audio, name)
    return torch.from_numpy(source.read()).T.contiguous(), source.samplerate


def open_audio(audio: Any, name: str = "audio") -> AudioFile | Waveform:
    r"""
    Opens a recording for reading in blocks.

    Args:
        audio: a recording in any form that [`load_audio`] accepts.
        name (`str`, defaults to `"audio"`): name of the argument for error messages.

    Returns:
        [`~audio.files.AudioFile`] or [`~audio.waveforms.Waveform`]: an object with the attributes `samplerate`,
        `channels` and `frames` (samples per channel) and the methods `blocks(start, stop)` and `read(start, stop)`,
        which return samples `(samples, channels)` in float32.

    Raises:
        `FileNotFoundError`, [`InputError`]: see [`load_audio`].
    """
    if isinstance(audio, dict) and audio and audio.keys() <= {"bytes", "path"}:
        audio = audio.get("path") if audio.get("bytes") is None else audio["bytes"]
    if isinstance(audio, (str, os.PathLike)):
        return AudioFile(check_file(audio, name), name)
    return AudioFile(audio, name) if is_encoded(audio) else Waveform(audio, name)


def check_file(path: str | os.PathLike, name: str) -> Path:
    r"""
    Checks that a file exists.

    Args:
        path (`str` or `os.PathLike`): the file.
        name (`str`): name of the argument for error messages.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the path is a folder.
    """
    path = Path(os.fsdecode(path))
    if os.path.isdir(path):
        raise InputError(f"`{name}` has to be an audio file, but {path} is a folder.", name)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"`{name}`: the file {path} does not exist.")
    return path
