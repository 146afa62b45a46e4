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

"""Excerpts of recordings, for controls that start at an offset within a file."""

import math
from pathlib import Path

import torch
from torch.nn import functional as F

from ..utils.errors import InputError
from .files import AudioFile
from .io import open_audio
from .resampling import resample, resampled_span
from .waveforms import Waveform


# Seconds before and after an excerpt that extractors also analyze. On two-minute pieces, 98% of the chords and of the
# melody then equal those of the whole recording; 30 s is not better.
CONTEXT_SECONDS = 10.0


def read_excerpt(
    source: AudioFile | Waveform, start: float, seconds: float | None, frame_rate: float | None = None
) -> tuple[tuple[torch.Tensor, int], float]:
    r"""
    Reads the excerpt of a recording that starts at `start`, with the context that extractors need around it. The rest
    is not decoded.

    Args:
        source ([`~audio.files.AudioFile`] or [`~audio.waveforms.Waveform`]): the recording as returned by
            [`open_from`].
        start (`float`): start of the excerpt in seconds.
        seconds (`float`, *optional*): duration of the excerpt; by default until the end of the recording.
        frame_rate (`float`, *optional*): frame rate in Hz; the context before `start` is then a whole number of
            frames.

    Returns:
        `tuple` of `(waveform, sampling_rate)`, a mono waveform `(1, samples)` at the recording's own rate, and the
        duration of the context before `start` in seconds.

    Raises:
        [`InputError`]: if the recording is truncated.
    """
    context = min(start, CONTEXT_SECONDS)
    if frame_rate is not None:
        context = math.floor(context * frame_rate + 1e-6) / frame_rate
    rate, last = source.samplerate, source.frames
    if seconds is not None:
        last = min(last, math.ceil((start + seconds + CONTEXT_SECONDS) * rate))
    return (_read_mono(source, round((start - context) * rate), last), rate), context


def read_resampled(source: AudioFile | Waveform, start: float, num_samples: int, rate: int) -> torch.Tensor:
    r"""
    Reads an excerpt at another sampling rate. The samples equal those of the whole resampled recording.

    Args:
        source, start: see [`read_excerpt`].
        num_samples (`int`): number of samples at `rate`; the recording is padded with silence.
        rate (`int`): sampling rate of the result in Hz.

    Returns:
        `torch.Tensor` of shape `(1, num_samples)`.

    Raises: see [`read_excerpt`].
    """
    begin = round(start * rate)
    first, last, surplus = resampled_span(begin, begin + num_samples, source.samplerate, rate)
    part = resample(_read_mono(source, first, min(last, source.frames)), source.samplerate, rate)
    part = part[:, surplus : surplus + num_samples]
    return F.pad(part, (0, num_samples - part.shape[-1]))


def open_from(recording: Path | tuple[torch.Tensor, int], name: str, start: float) -> AudioFile | Waveform:
    r"""
    Opens a recording and checks that it reaches beyond `start`.

    Args:
        recording (`Path` or `(waveform, sampling_rate)`): the recording.
        name (`str`): name of the argument for error messages.
        start (`float`): start of the excerpt in seconds.

    Raises:
        [`InputError`]: if the recording ends before `start`, is not audio, or is truncated; an
            [`~utils.errors.EmptyInputError`] if it has no samples.
    """
    source = open_audio(recording, name)
    seconds = source.frames / source.samplerate
    if start >= seconds:
        place = f" ({recording})" if isinstance(recording, Path) else ""
        raise InputError(f"`start` is {start:g} s, but `{name}` ends at {seconds:.2f} s{place}.", "start")
    return source


def _read_mono(source: AudioFile | Waveform, first: int, last: int) -> torch.Tensor:
    """Samples `first` to `last` of the mono mix, `(1, samples)`."""
    return torch.from_numpy(source.read(first, last)).mean(dim=1)[None]
