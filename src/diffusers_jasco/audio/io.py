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

import numpy as np
import torch

from ..utils.errors import InputError


# What is taken for a recording by its name; whether it can be read depends on what is in it.
AUDIO_SUFFIXES = (".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".aif", ".aiff")
MAX_RATE = 1_000_000  # Hz
MAX_CHANNELS = 64  # more "channels" than this are samples in the wrong place


def load_audio(audio: Any, name: str = "audio") -> tuple[torch.Tensor, int]:
    r"""
    Audio from wherever it comes.

    Args:
        audio (`str`, `os.PathLike`, `tuple` or `dict`):
            A file that soundfile reads (WAV, FLAC, OGG, MP3, ...), `(waveform, sampling_rate)`, or `{"array":
            waveform, "sampling_rate": rate}` as in Hugging Face datasets. A waveform is a tensor or array of shape
            `(samples,)` or `(channels, samples)`, with at most 64 channels; integers are scaled to [-1, 1).
        name (`str`, defaults to `"audio"`):
            Name of the argument, for messages.

    Returns:
        `tuple[torch.Tensor, int]`: the waveform `(channels, samples)` in float32, and its rate in Hz.

    Raises:
        `FileNotFoundError`: for an absent file.
        [`InputError`]: for a file that is not audio, and for an invalid waveform or rate.
    """
    if isinstance(audio, (str, os.PathLike)):
        waveform, rate = _read_file(check_file(audio, name), name)
    elif isinstance(audio, dict):
        if not {"array", "sampling_rate"} <= audio.keys():
            raise InputError(
                f"`{name}` has to have the keys 'array' and 'sampling_rate', but has {list(audio)}.", name
            )
        waveform, rate = audio["array"], audio["sampling_rate"]
    elif isinstance(audio, (tuple, list)) and len(audio) == 2:
        waveform, rate = audio
    else:
        raise InputError(
            f"`{name}` has to be a path, (waveform, sampling_rate) or {{'array', 'sampling_rate'}}, but is a"
            f" {type(audio).__name__}.",
            name,
        )
    return _check_waveform(waveform, name), _check_rate(rate, name)


def check_file(path: str | os.PathLike, name: str) -> Path:
    r"""
    Args:
        path (`str` or `os.PathLike`): a file.
        name (`str`): name of the argument, for messages.

    Raises:
        `FileNotFoundError`: if there is none.
        [`InputError`]: if it is a folder.
    """
    path = Path(os.fsdecode(path))
    if os.path.isdir(path):
        raise InputError(f"`{name}` has to be an audio file, but {path} is a folder.", name)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"`{name}`: there is no file {path}.")
    return path


def _read_file(path: Path, name: str) -> tuple[np.ndarray, int]:
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    # A false header can claim more samples than there is memory for.
    except (soundfile.LibsndfileError, RuntimeError, TypeError, MemoryError) as error:
        raise InputError(f"`{name}`: {path} can't be read as audio ({error}).", name) from error
    return samples.T, rate


def to_real_tensor(values: Any, owner: str, name: str) -> torch.Tensor:
    r"""
    Args:
        values (`torch.Tensor`, `np.ndarray` or nested `list`): numbers of any real type, on any device.
        owner (`str`): what holds them, to begin a message with.
        name (`str`): name of the argument that they came with.

    Returns:
        `torch.Tensor`: the same, as an ordinary tensor on the CPU.

    Raises:
        [`InputError`]: for what holds no real numbers, or not as an ordinary array.
    """
    try:
        if torch.is_tensor(values):
            if values.layout is not torch.strided or values.is_nested or values.is_quantized:
                raise TypeError("a sparse, nested or quantized tensor")
            tensor = values.detach().cpu()
        else:
            array = np.asarray(values)
            if array.dtype == object:
                raise TypeError("elements of different types or lengths")
            # torch takes neither reversed views nor a foreign byte order.
            tensor = torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))
        if tensor.is_complex():
            raise TypeError("complex numbers")
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{owner} has to hold real numbers ({error}).", name) from error
    return tensor


def _check_waveform(waveform: Any, name: str) -> torch.Tensor:
    waveform = to_real_tensor(waveform, f"The waveform of `{name}`", name)
    shape = tuple(waveform.shape)
    if waveform.ndim not in (1, 2) or (waveform.ndim == 2 and shape[0] > MAX_CHANNELS):
        raise InputError(
            f"The waveform of `{name}` has to be (samples,) or (channels, samples), but has shape {shape}.", name
        )
    if waveform.numel() == 0:
        raise InputError(f"The waveform of `{name}` is empty: its shape is {shape}.", name)
    if waveform.dtype == torch.bool:
        raise InputError(f"The waveform of `{name}` has to hold real numbers, but is {waveform.dtype}.", name)
    if not waveform.is_floating_point():
        info = torch.iinfo(waveform.dtype)
        offset = (info.max + 1) / 2 if info.min == 0 else 0
        waveform = (waveform.double() - offset) / (info.max + 1 - offset)
    waveform = waveform.float()
    if not waveform.isfinite().all():
        raise InputError(f"The waveform of `{name}` has values that are not finite (NaN or infinite).", name)
    return waveform if waveform.ndim == 2 else waveform[None]


def _check_rate(rate: Any, name: str) -> int:
    try:
        whole = int(rate)
        valid = whole == rate and 0 < whole <= MAX_RATE
    except (TypeError, ValueError, OverflowError):
        valid = False
    if not valid:
        raise InputError(
            f"The sampling rate of `{name}` has to be a positive whole number of Hz, at most {MAX_RATE}, but is {rate!r}.",
            name,
        )
    return whole
