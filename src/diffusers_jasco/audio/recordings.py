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

"""Recordings of which only parts are read."""

import os
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from .files import AudioFile
from .io import load_audio
from .resampling import resample, resampled_span
from .waveforms import MAX_FLOAT_SAMPLE


class Recording:
    r"""
    Audio wherever it is, in mono, of which parts can be read.

    Args:
        audio (`str`, `os.PathLike`, `bytes`, file object, or `tuple`):
            A file that soundfile reads: its path or a URL of fsspec, its contents, or opened and seekable; or what
            [`~audio.io.load_audio`] takes as `(waveform, sampling_rate)`.
        name (`str`, *optional*):
            Its name, for messages.

    Raises:
        `FileNotFoundError`: for an absent file.
        `ValueError`: for what is no audio, is empty, or has less than it claims.
    """

    def __init__(self, audio: Any, name: str | None = None):
        self.waveform = None
        if isinstance(audio, (str, os.PathLike)):
            audio = os.fspath(audio)
            name = audio if name is None else name
            if "://" in audio:
                import fsspec

                # Whole, as it is read more than once.
                with fsspec.open(audio, "rb") as file:
                    audio = file.read()
            elif not os.path.isfile(audio):
                raise FileNotFoundError(f"There is no file {audio}.")
        self.name = "the audio" if name is None else name
        if isinstance(audio, (tuple, list)):
            self.waveform, self.sampling_rate = load_audio(audio, self.name)
            self.waveform = self.waveform.mean(dim=0, keepdim=True)
            self.num_samples = self.waveform.shape[-1]  # at its own rate
            return
        self.file = AudioFile(audio, name=self.name)
        self.sampling_rate, self.num_samples = self.file.samplerate, self.file.frames

    def length(self, rate: int) -> int:
        """Number of samples at a rate in Hz."""
        return self.num_samples * rate // self.sampling_rate

    def read(self, start: int, end: int, rate: int) -> torch.Tensor:
        r"""
        Samples `start` to `end` at a rate in Hz; they equal those of the whole recording resampled.

        Returns:
            `torch.Tensor` of shape `(1, end - start)`: in float32, with silence after the recording's end.

        Raises:
            `ValueError`: if the file breaks off, or has values that are not finite.
        """
        first, last, surplus = resampled_span(start, end, self.sampling_rate, rate)
        last = min(last, self.num_samples)
        if first >= last:
            return torch.zeros(1, end - start)
        if self.waveform is not None:
            part = self.waveform[:, first:last]
        else:
            samples = self.file.read(first, last, scaled=False)
            if np.abs(samples).max(initial=0) > MAX_FLOAT_SAMPLE:
                raise ValueError(
                    f"The samples of {self.name} have to be in [-1, 1], but reach {np.abs(samples).max():g}: divide those of"
                    " 16-bit integers by 32768."
                )
            part = torch.from_numpy(samples).mean(dim=1)[None]
            # MP3 files may claim a little too much.
            part = F.pad(part, (0, last - first - part.shape[-1]))
        part = resample(part, self.sampling_rate, rate)[:, surplus : surplus + end - start]
        return F.pad(part, (0, end - start - part.shape[-1]))
