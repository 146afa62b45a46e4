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

# The spectrum has three bins per semitone and is computed per octave, from a signal decimated by two for each octave.
_OCTAVES = 8
_LOWEST = 31  # MIDI number: G1; the highest is F#9
_BINS_PER_SEMITONE = 3
_WINDOW = 512  # samples, at the octave's rate: 23 ms for the two highest octaves, 1.5 s for the lowest
_LARGEST_DECIMATION = 2 ** (_OCTAVES - 2)
DYNAMIC_RANGE = 80.0  # dB
# Samples that a spectrum needs on either side: half of the longest window, and the decimation filters.
CONTEXT = 68 * HOP

# Semitones above a pitch: the octave below, and harmonics 1 to 5 (rounded).
HARMONICS = (-12, 0, 12, 19, 24, 28)


@lru_cache(maxsize=1)
def _decimation_filter() -> np.ndarray:
    """
    A low-pass filter at a quarter of the rate, with at least 80 dB attenuation of aliases into the octaves in use.
    """
    taps = np.arange(-15, 16)
    weights = 0.5 * np.sinc(taps / 2) * np.kaiser(len(taps), 8.0)
    return (weights / weights.sum()).astype(np.float32)


@lru_cache(maxsize=1)
def _octave_banks() -> list[tuple[int, np.ndarray]]:
    """For each octave from the lowest: its decimation factor, and weights (FFT bins, bins of the octave)."""
    banks = []
    for octave in range(_OCTAVES):
        decimation = 2 ** max(_OCTAVES - 2 - octave, 0)
        bins = 12 * octave + (np.arange(12 * _BINS_PER_SEMITONE) - 1) / _BINS_PER_SEMITONE
        centers = 440 * 2 ** ((_LOWEST + bins - 69) / 12) * decimation / RATE * _WINDOW
        # Half a semitone on either side, but at least the neighboring FFT bins of a peak.
        widths = np.maximum(centers * (2 ** (1 / 24) - 1), 1.5)
        distance = np.abs(np.arange(_WINDOW // 2 + 1)[:, None] - centers) / widths
        weights = np.where(distance < 1, 0.5 + 0.5 * np.cos(np.pi * distance), 0)
        weights /= np.maximum(weights.sum(axis=0), 1e-9) * _WINDOW / 4
        banks.append((decimation, weights.astype(np.float32)))
    return banks


def log_frequency_levels(audio: torch.Tensor, stride: int = 1) -> torch.Tensor:
    r"""
    Computes the levels of a spectrum with three bins per semitone, from G1 on.

    Args:
        audio (`torch.Tensor` of shape `(batch, samples)`):
            Mono audio at 22050 Hz, with `CONTEXT` extra samples on either side.
        stride (`int`, defaults to `1`): hops of 256 samples between frames: 1, 2 or 4.

    Returns:
        `torch.Tensor` of shape `(batch, frames, 288)`: levels in dB. A sine of amplitude 1 has -2 dB (low pitches) to
        -9 dB (high pitches). Frame `i` is centered on sample `CONTEXT + 256 i stride`.
    """
    num_frames = -(-(audio.shape[-1] - 2 * CONTEXT) // (HOP * stride))
    window = torch.hann_window(_WINDOW, device=audio.device)
    kernel = torch.from_numpy(_decimation_filter()).to(audio.device)[None, None]
    signals = {1: audio}
    while max(signals) < _LARGEST_DECIMATION:
        finest = max(signals)
        signals[2 * finest] = F.conv1d(signals[finest][:, None], kernel, stride=2, padding=kernel.shape[-1] // 2)[:, 0]
    spectra, octaves = {}, []
    for decimation, bank in _octave_banks():
        if decimation not in spectra:
            hop, start = HOP * stride // decimation, CONTEXT // decimation - _WINDOW // 2
            length = (num_frames - 1) * hop + _WINDOW
            signal = signals[decimation][:, start : start + length]
            frames = F.pad(signal, (0, length - signal.shape[-1])).unfold(-1, _WINDOW, hop)
            spectra[decimation] = torch.fft.rfft(frames * window).abs()
        octaves.append(spectra[decimation] @ torch.from_numpy(bank).to(audio.device))
    return 20 * torch.cat(octaves, dim=-1).clamp(min=1e-7).log10()


class SalienceModel(ModelMixin, ConfigMixin):
    r"""
    Predicts the salience of each semitone from G2 to B6 from levels relative to the maximum of the recording.
    Convolutions run over the harmonics of every third of a semitone, then over semitones.

    Parameters:
        channels (`int`, defaults to `40`): width.
        num_layers (`int`, defaults to `4`): residual layers over semitones, with dilations in time of 1, 2, 4, 1, ...
        octave_channels (`int`, defaults to `12`): width of the last layer, which spans 15 semitones.
    """

    @register_to_config
    def __init__(self, channels: int = 40, num_layers: int = 4, octave_channels: int = 12):
        super().__init__()
        self.conv_in = nn.Conv2d(len(HARMONICS), channels // 2, 5, padding=2, bias=False)
        self.norm_in = nn.BatchNorm2d(channels // 2)
        self.conv_fold = nn.Conv2d(
            channels // 2,
            channels,
            (_BINS_PER_SEMITONE, 5),
            stride=(_BINS_PER_SEMITONE, 1),
            padding=(0, 2),
            bias=False,
        )
        self.norm_fold = nn.BatchNorm2d(channels)
        self.layers = nn.ModuleList()
        for dilation in self._dilations:
            conv = nn.Conv2d(channels, channels, 3, padding=(1, dilation), dilation=(1, dilation), bias=False)
            self.layers.append(nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU()))
        self.conv_octave = nn.Conv2d(channels, octave_channels, (15, 3), padding=(7, 1))
        self.conv_out = nn.Conv2d(octave_channels, 1, 1)

    @property
    def _dilations(self) -> list[int]:
        return [(1, 2, 4)[layer % 3] for layer in range(self.config.num_layers)]

    @property
    def context(self) -> int:
        """Frames on either side on which the salience depends."""
        return 2 + 2 + sum(self._dilations) + 1

    def forward(self, levels: torch.Tensor) -> torch.Tensor:
        r"""
        Args:
            levels (`torch.Tensor` of shape `(batch, frames, 288)`):
                Levels from [`log_frequency_levels`], minus the maximum of the recording.

        Returns:
            `torch.Tensor` of shape `(batch, frames, 53)`: logits of the salience.
        """
        levels = (1 + levels / DYNAMIC_RANGE).clamp(0, 1)
        levels = F.pad(levels, (0, (LOWEST_PITCH + MELODY_BINS + HARMONICS[-1] - _LOWEST) * _BINS_PER_SEMITONE))
        starts = [(LOWEST_PITCH - _LOWEST + semitones) * _BINS_PER_SEMITONE for semitones in HARMONICS]
        stacked = [levels[..., start : start + MELODY_BINS * _BINS_PER_SEMITONE] for start in starts]
        hidden = torch.stack(stacked, dim=1).transpose(2, 3).contiguous(memory_format=torch.channels_last)
        hidden = self.norm_in(self.conv_in(hidden)).relu()
        hidden = self.norm_fold(self.conv_fold(hidden)).relu()
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        return self.conv_out(self.conv_octave(hidden).relu())[:, 0].transpose(1, 2)
