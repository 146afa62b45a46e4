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

"""Parts of recordings, for controls that begin somewhere within a file."""

import math
from pathlib import Path

import torch
from torch.nn import functional as F

from ..utils.errors import InputError
from .files import AudioFile
from .io import open_audio
from .resampling import resample, resampled_span
from .waveforms import Waveform


# Seconds before and after an excerpt that are analyzed with it: on two-minute pieces, 98 % of the chords and of the melody then equal
# those of the whole recording, as with 30 s.
CONTEXT_SECONDS = 10.0


def read_excerpt(
    source: AudioFile | Waveform, start: float, seconds: float | None, frame_rate: float | None = None
) -> tuple[tuple[torch.Tensor, int], float]:
    r"""
    The part of a recording from `start` on, with the context that extractors need. The rest is not decoded.

    Args:
        source ([`~audio.files.AudioFile`] or [`~audio.waveforms.Waveform`]): the recording, by [`open_from`].
        start (`float`): seconds.
        seconds (`float`, *optional*): length of the part; by default to the end.
        frame_rate (`float`, *optional*): Hz, for a context before `start` of whole frames.

    Returns:
        `tuple` of `(waveform, sampling_rate)`, a mono waveform `(1, samples)` at the recording's rate, and the seconds of it
        that are before `start`.

    Raises:
        [`InputError`]: if the recording breaks off.
    """
    lead = min(start, CONTEXT_SECONDS)
    if frame_rate is not None:
        lead = math.floor(lead * frame_rate + 1e-6) / frame_rate
    rate, last = source.samplerate, source.frames
    if seconds is not None:
        last = min(last, math.ceil((start + seconds + CONTEXT_SECONDS) * rate))
    return (_read_mono(source, round((start - lead) * rate), last), rate), lead


def read_resampled(source: AudioFile | Waveform, start: float, num_samples: int, rate: int) -> torch.Tensor:
    r"""
    The samples of a recording from `start` seconds on at another rate, as those of the whole resampled recording.

    Args:
        source, start: as [`read_excerpt`].
        num_samples (`int`): number of samples at `rate`, with silence after the recording's end.
        rate (`int`): Hz.

    Returns:
        `torch.Tensor` of shape `(1, num_samples)`.

    Raises: as [`read_excerpt`].
    """
    begin = round(start * rate)
    first, last, surplus = resampled_span(begin, begin + num_samples, source.samplerate, rate)
    part = resample(_read_mono(source, first, min(last, source.frames)), source.samplerate, rate)
    part = part[:, surplus : surplus + num_samples]
    return F.pad(part, (0, num_samples - part.shape[-1]))


def open_from(recording: Path | tuple[torch.Tensor, int], name: str, start: float) -> AudioFile | Waveform:
    r"""
    Args:
        recording (`Path` or `(waveform, sampling_rate)`): the recording.
        name (`str`): name of the argument, for messages.
        start (`float`): seconds.

    Raises:
        [`InputError`]: if the recording ends before `start`, is not audio, or breaks off; an
            [`~utils.errors.EmptyInputError`] if it has no samples.
    """
    source = open_audio(recording, name)
    seconds = source.frames / source.samplerate
    if start >= seconds:
        place = f" ({recording})" if isinstance(recording, Path) else ""
        raise InputError(f"`start` is {start:g} s, but `{name}` ends at {seconds:.2f} s{place}.", "start")
    return source


def _read_mono(source: AudioFile | Waveform, first: int, last: int) -> torch.Tensor:
    """Samples `first` to `last`, `(1, samples)`."""
    return torch.from_numpy(source.read(first, last)).mean(dim=1)[None]
