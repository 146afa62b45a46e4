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

"""Random access to parts of recordings."""

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
    A mono recording whose parts can be read at any sampling rate.

    Args:
        audio (`str`, `os.PathLike`, `bytes`, file object, or `tuple`):
            An audio file as a path, an fsspec URL, bytes or a seekable file object; or `(waveform, sampling_rate)` as
            in [`~audio.io.load_audio`].
        name (`str`, *optional*):
            Name of the recording for error messages.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        `ValueError`: if the recording is empty, truncated or not audio.
    """

    def __init__(self, audio: Any, name: str | None = None):
        self.waveform = None
        if isinstance(audio, (str, os.PathLike)):
            audio = os.fspath(audio)
            name = audio if name is None else name
            if "://" in audio:
                import fsspec

                # Downloaded completely because it is read more than once.
                with fsspec.open(audio, "rb") as file:
                    audio = file.read()
            elif not os.path.isfile(audio):
                raise FileNotFoundError(f"The file {audio} does not exist.")
        self.name = "the audio" if name is None else name
        if isinstance(audio, (tuple, list)):
            self.waveform, self.sampling_rate = load_audio(audio, self.name)
            self.waveform = self.waveform.mean(dim=0, keepdim=True)
            self.num_samples = self.waveform.shape[-1]  # at `sampling_rate`
            return
        self.file = AudioFile(audio, name=self.name)
        self.sampling_rate, self.num_samples = self.file.samplerate, self.file.frames

    def length(self, rate: int) -> int:
        """The number of samples at a sampling rate in Hz."""
        return self.num_samples * rate // self.sampling_rate

    def read(self, start: int, end: int, rate: int) -> torch.Tensor:
        r"""
        Reads samples `start` to `end` at a sampling rate in Hz. They equal those of the whole resampled recording.

        Returns:
            `torch.Tensor` of shape `(1, end - start)`: float32 samples, padded with silence after the end of the
                recording.

        Raises:
            `ValueError`: if the file is truncated or has values that are not finite.
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
                    f"The samples of {self.name} have to be in [-1, 1], but reach {np.abs(samples).max():g}: divide"
                    " 16-bit integer samples by 32768."
                )
            part = torch.from_numpy(samples).mean(dim=1)[None]
            # MP3 headers may claim slightly too many samples.
            part = F.pad(part, (0, last - first - part.shape[-1]))
        part = resample(part, self.sampling_rate, rate)[:, surplus : surplus + end - start]
        return F.pad(part, (0, end - start - part.shape[-1]))
