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

"""Drum recordings as the codec takes them."""

import os
from typing import Any

import torch
from diffusers.utils import logging
from torch.nn import functional as F

from ..audio.io import load_audio
from ..audio.resampling import resample


logger = logging.get_logger(__name__)


def is_drums(value: Any) -> bool:
    """
    Whether `value` is one drum recording (a path, `(waveform, sampling_rate)`, or a dictionary with `"array"`), and not a
    list with one (or `None`) per prompt.
    """
    if isinstance(value, tuple):
        return len(value) == 2 and not isinstance(value[0], (str, os.PathLike, dict, tuple)) and value[0] is not None
    return isinstance(value, (str, os.PathLike, dict))


def prepare_drums(drums: Any, sampling_rate: int, num_samples: int, separate: bool = False) -> torch.Tensor:
    r"""
    A drum recording as the codec takes it: resampled, mixed to mono, and cut or padded with silence at its end, as in the
    original.

    Args:
        drums (`str`, `os.PathLike`, `tuple` or `dict`):
            Any recording that [`~audio.io.load_audio`] reads.
        sampling_rate (`int`):
            The codec's rate in Hz.
        num_samples (`int`):
            Length of the music in samples.
        separate (`bool`, defaults to `False`):
            Whether the recording is a full mix, of which the drums are taken; see
            [`~extraction.drums.separate_drums`].

    Returns:
        `torch.Tensor` of shape `(1, num_samples)`: the waveform.

    Raises:
        `ValueError`, `FileNotFoundError`: as [`~audio.io.load_audio`].
    """
    waveform, rate = load_audio(drums, name="drums")
    length = waveform.shape[-1] * sampling_rate // rate
    # A second and 100 samples beyond the music are more than the resampler's filter reaches at any rate.
    waveform = waveform[:, : (num_samples // sampling_rate + 2) * rate + 100]
    if separate:
        from ..extraction import separate_drums

        waveform, rate = separate_drums(waveform, rate)
    waveform = resample(waveform, rate, sampling_rate).mean(dim=0, keepdim=True)[:, :num_samples]
    surplus = length - num_samples
    if surplus > 0:
        logger.warning(
            f"`drums` has {length / sampling_rate:.2f} s, the music {num_samples / sampling_rate:g} s: the last"
            f" {surplus / sampling_rate:.2f} s of drums are not used."
        )
    return F.pad(waveform, (0, num_samples - waveform.shape[-1]))
