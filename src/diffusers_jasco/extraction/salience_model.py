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

"""The built-in melody extractor: a small network that imitates AudioCraft's (see [`deep_salience`])."""

import math
from functools import lru_cache

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import nn
from torch.nn import functional as F

from ..controls.melody import LOWEST_PITCH, MELODY_BINS


RATE = 22050  # Hz
HOP = 256  # samples

# Constant-Q transform of the teacher (see `deep_salience`), computed octave by octave from a signal that is decimated by
# two for each octave.
LOWEST_FREQUENCY = 32.7  # Hz: C1
_LOWEST = 24  # its MIDI number
_BINS_PER_SEMITONE = 5
NUM_BINS = 500  # up to E9
_BINS_PER_OCTAVE = 12 * _BINS_PER_SEMITONE
_FILTER = 1024  # samples at the octave's rate: the longest filter is shorter, 2.7 s for C1
_DECIMATIONS = (64, 32, 16, 8, 4, 2, 1, 1, 1)  # by octave
DYNAMIC_RANGE = 80.0  # dB
# Samples that a spectrum needs on either side: half of the longest filter, and the decimation filters.
CONTEXT = 144 * HOP

_LOWER_PITCHES = 6  # below G2, without an output

# Bins above a pitch: the octave below, and harmonics 1 to 5 (rounded).
HARMONICS = (-60, 0, 60, 95, 120, 139)


_TAPS = 63
_OUTPUTS = 32  # of the decimation filter per row of a matrix product, which is faster than a convolution


@lru_cache(maxsize=1)
def _decimation_filters() -> np.ndarray:
    """
    A low-pass filter at a quarter of the rate, with at least 80 dB attenuation of aliases into the octaves in use:
    `(samples, outputs)`, shifted by two samples per output.
    """
    taps = np.arange(_TAPS) - _TAPS // 2
    weights = 0.5 * np.sinc(taps / 2) * np.kaiser(_TAPS, 8.0)
    filters = np.zeros((_TAPS + 2 * (_OUTPUTS - 1), _OUTPUTS), np.float32)
    for output in range(_OUTPUTS):
        filters[2 * output : 2 * output + _TAPS, output] = weights / weights.sum()
    return filters


def _decimate(signal: torch.Tensor) -> torch.Tensor:
    """Halves the rate of signals `(batch, samples)`. The first sample stays the first one."""
    filters = torch.from_numpy(_decimation_filters()).to(signal.device)
    count = (signal.shape[-1] + 1) // 2
    size = (-(-count // _OUTPUTS) - 1) * 2 * _OUTPUTS + len(filters)
    padded = F.pad(signal, (_TAPS // 2, size - _TAPS // 2 - signal.shape[-1]))
    return (padded.unfold(-1, len(filters), 2 * _OUTPUTS) @ filters).flatten(1)[:, :count]


@lru_cache(maxsize=1)
def _octave_filters() -> list[np.ndarray]:
    """For each octave from the lowest: cosine and sine filters `(samples, bins, 2)`, with the gains of the transform."""
    step = 2 ** (2 / _BINS_PER_OCTAVE)
    quality = (step + 1) / (step - 1)
    filters = []
    for octave, decimation in enumerate(_DECIMATIONS):
        bins = np.arange(octave * _BINS_PER_OCTAVE, min((octave + 1) * _BINS_PER_OCTAVE, NUM_BINS))
        frequencies = LOWEST_FREQUENCY * 2 ** (bins / _BINS_PER_OCTAVE) * decimation / RATE
        lengths = quality / frequencies
        length = min(2 * math.ceil(lengths.max() / 2), _FILTER)
        time = np.arange(-length // 2, length // 2)[:, None]
        window = np.where(np.abs(time) < lengths / 2, 0.5 + 0.5 * np.cos(2 * np.pi * time / lengths), 0)
        window *= np.sqrt(lengths * decimation) / window.sum(axis=0)
        phases = 2 * np.pi * frequencies * time
        filters.append(np.stack([window * np.cos(phases), window * np.sin(phases)], axis=-1).astype(np.float32))
    return filters


def log_frequency_levels(audio: torch.Tensor, stride: int = 1) -> torch.Tensor:
    r"""
    Computes the levels of a constant-Q transform with five bins per semitone, from C1 on.

    Args:
        audio (`torch.Tensor` of shape `(batch, samples)`):
            Mono audio at 22050 Hz, with `CONTEXT` extra samples on either side.
        stride (`int`, defaults to `1`): hops of 256 samples between frames: 1, 2 or 4.

    Returns:
        `torch.Tensor` of shape `(batch, frames, 500)`: levels in dB. A sine of amplitude 1 has 42 dB (C1) to 17 dB (E9):
        longer filters have larger gains. Frame `i` is centered on sample `CONTEXT + 256 i stride`.
    """
    num_frames = -(-(audio.shape[-1] - 2 * CONTEXT) // (HOP * stride))
    signals = {1: audio}
    while max(signals) < max(_DECIMATIONS):
        signals[2 * max(signals)] = _decimate(signals[max(signals)])
    octaves = []
    for decimation, filters in zip(_DECIMATIONS, _octave_filters()):
        hop, start = HOP * stride // decimation, CONTEXT // decimation - len(filters) // 2
        length = (num_frames - 1) * hop + len(filters)
        signal = signals[decimation][:, start : start + length]
        frames = F.pad(signal, (0, length - signal.shape[-1])).unfold(-1, len(filters), hop)
        parts = frames @ torch.from_numpy(filters).to(audio.device).flatten(1)
        octaves.append(parts.unflatten(-1, (-1, 2)).square().sum(dim=-1))
    return 10 * torch.cat(octaves, dim=-1).clamp(min=1e-14).log10()


class SalienceModel(ModelMixin, ConfigMixin):
    r"""
    Predicts the salience of each semitone from G2 to B6 from levels relative to the maximum of the recording.
    Convolutions run over the harmonics of every fifth of a semitone, then over semitones and pairs of frames.

    Parameters:
        channels (`int`, defaults to `64`): width of the layers over semitones.
        fine_channels (`int`, defaults to `32`): width of the layer over fifths of semitones.
        num_layers (`int`, defaults to `5`): residual layers over semitones.
        octave_channels (`int`, defaults to `16`): width of the last layer, which spans 15 semitones.
    """

    @register_to_config
    def __init__(self, channels: int = 64, fine_channels: int = 32, num_layers: int = 5, octave_channels: int = 16):
        super().__init__()
        self.conv_in = nn.Conv2d(len(HARMONICS), fine_channels, 5, padding=2, bias=False)
        self.norm_in = nn.BatchNorm2d(fine_channels)
        kernel, stride = (_BINS_PER_SEMITONE, 6), (_BINS_PER_SEMITONE, 2)
        self.conv_fold = nn.Conv2d(fine_channels, channels, kernel, stride=stride, padding=(0, 2), bias=False)
        self.norm_fold = nn.BatchNorm2d(channels)
        self.layers = nn.ModuleList()
        for _ in range(num_layers):
            conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            self.layers.append(nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU()))
        self.conv_octave = nn.Conv2d(channels, octave_channels, (15, 3), padding=(7, 1))
        self.conv_out = nn.Conv2d(octave_channels, 2, 1)
        assert self.conv_out.bias is not None
        nn.init.constant_(self.conv_out.bias, -4.0)  # Few semitones are salient.

    @property
    def context(self) -> int:
        """Frames on either side of a pair of frames on which its salience depends."""
        return 2 + 2 + 2 * self.config.num_layers + 2

    def forward(self, levels: torch.Tensor) -> torch.Tensor:
        r"""
        Args:
            levels (`torch.Tensor` of shape `(batch, frames, 500)`):
                Levels from [`log_frequency_levels`], minus the maximum of the recording.

        Returns:
            `torch.Tensor` of shape `(batch, frames, 53)`: logits of the salience.
        """
        num_frames = levels.shape[1]
        levels = F.pad((1 + levels / DYNAMIC_RANGE).clamp(0, 1), (0, 0, 0, num_frames % 2))
        # From two fifths of a semitone below the center of the lowest pitch.
        lowest = (LOWEST_PITCH - _LOWER_PITCHES - _LOWEST) * _BINS_PER_SEMITONE - 2
        size = (_LOWER_PITCHES + MELODY_BINS) * _BINS_PER_SEMITONE
        stacked = [levels[..., lowest + bins : lowest + bins + size] for bins in HARMONICS]
        hidden = torch.stack(stacked, dim=1).transpose(2, 3).contiguous(memory_format=torch.channels_last)
        hidden = self.norm_in(self.conv_in(hidden)).relu()
        hidden = self.norm_fold(self.conv_fold(hidden)).relu()
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        # Two frames per pair: (batch, 2, pitches, pairs) to (batch, pairs, 2, pitches).
        logits = self.conv_out(self.conv_octave(hidden).relu())[:, :, _LOWER_PITCHES:].permute(0, 3, 1, 2)
        return logits.flatten(1, 2)[:, :num_frames]
