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

"""
The built-in drum separator: a small network predicts a soft mask of the drums for each band of a spectrum, and another
one a complex mask for each bin up to 1 kHz.
"""

from functools import lru_cache

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import nn
from torch.nn import functional as F


RATE = 32000  # Hz
WINDOW, HOP = 2048, 512  # samples: 64 and 16 ms
NUM_BINS = WINDOW // 2 + 1
NOISE = (3 / 8 * WINDOW) ** 0.5  # about the magnitude of white noise with a root mean square of 1
FLOOR = 1e-3  # magnitude floor: 60 dB below the recording's loudness

TIME_STRIDE = 4  # frames of the coarsest layer

LOW_BINS = 64  # up to 1 kHz


@lru_cache(maxsize=8)
def _band_weights(num_bands: int) -> np.ndarray:
    """Triangular bands (bins, bands) on a scale that is linear up to 1 kHz and logarithmic above."""
    frequencies = np.arange(NUM_BINS) * RATE / WINDOW

    def scale(hertz: np.ndarray) -> np.ndarray:
        return np.where(hertz < 1000, hertz / 1000, 1 + np.log(np.maximum(hertz, 1000) / 1000))

    positions = scale(frequencies) / scale(np.array(RATE / 2)) * (num_bands - 1)
    # Every band has to span at least one bin.
    weights = np.maximum(1 - np.abs(positions[:, None] - np.arange(num_bands)), 0)
    return weights.astype(np.float32)


def spectrogram(audio: torch.Tensor) -> torch.Tensor:
    r"""
    Args:
        audio (`torch.Tensor` of shape `(batch, samples)`): at 32 kHz, a multiple of 512 samples.

    Returns:
        `torch.Tensor` of shape `(batch, frames + 1, 1025)`: complex; frame `i` is centered on sample `512 i`.
    """
    window = torch.hann_window(WINDOW, device=audio.device)
    return torch.stft(
        audio, WINDOW, HOP, window=window, center=True, pad_mode="constant", return_complex=True
    ).transpose(1, 2)


def inverse_spectrogram(spectrum: torch.Tensor, num_samples: int) -> torch.Tensor:
    """The inverse of [`spectrogram`]: audio `(batch, num_samples)`."""
    window = torch.hann_window(WINDOW, device=spectrum.device)
    return torch.istft(spectrum.transpose(1, 2), WINDOW, HOP, window=window, center=True, length=num_samples)


def _conv1d(in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    """A convolution over time with batch norm and ReLU."""
    padding = kernel // 2 * dilation
    return nn.Sequential(
        nn.Conv1d(in_channels, out_channels, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm1d(out_channels),
        nn.ReLU(),
    )


def _conv(in_channels: int, out_channels: int, kernel: int = 3, dilation: int = 1) -> nn.Sequential:
    """A convolution over (frames, bands), dilated in time, with batch norm and ReLU."""
    padding = (kernel // 2 * dilation, kernel // 2)
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=padding, dilation=(dilation, 1), bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class _LowBand(nn.Module):
    """
    Refines the mask of the lowest bins, where kick and bass overlap, to a complex mask per bin. Its layers connect all
    these bins, over more than a second.
    """

    def __init__(self, num_bands: int, channels: int, dilations: tuple[int, ...]):
        super().__init__()
        self.conv_in = _conv1d(num_bands + 4 * LOW_BINS, channels, 3)
        self.middle = nn.ModuleList(_conv1d(channels, channels, 3, dilation) for dilation in dilations)
        self.conv_out = nn.Conv1d(channels, 3 * LOW_BINS, 1)
        # At first, the mask stays as it is.
        for parameter in self.conv_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, spectrum: torch.Tensor, mask: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Refines a mask `(batch, frames, 64)` for a spectrum of this shape and levels `(batch, frames, bands)`."""
        magnitudes = spectrum.abs()
        # Phase increments depend on the pitches of sustained notes, and change at onsets.
        advance = spectrum[:, 1:] * spectrum[:, :-1].conj()
        advance = advance / (magnitudes[:, 1:] * magnitudes[:, :-1] + 1e-3)
        advance = F.pad(torch.view_as_real(advance).flatten(2), (0, 0, 1, 0))
        levels_of_bins = (magnitudes / NOISE).clamp(min=FLOOR).log10() + 1.5
        hidden = self.conv_in(torch.cat([levels, levels_of_bins, mask, advance], dim=2).transpose(1, 2))
        for layer in self.middle:
            hidden = hidden + layer(hidden)
        logits, real, imaginary = self.conv_out(hidden).float().transpose(1, 2).chunk(3, dim=2)
        mask = (torch.logit(mask, eps=1e-6) + logits).sigmoid()
        # Where there are only drums, or none, the phase is that of the mix.
        return mask + 4 * mask * (1 - mask) * torch.complex(real, imaginary)


class DrumMaskModel(ModelMixin, ConfigMixin):
    r"""
    A U-Net over bands and time that predicts a mask, and a network that refines it up to 1 kHz.

    Parameters:
        num_bands (`int`, defaults to `160`): bands from 0 to 16 kHz.
        channels (`tuple[int, ...]`, defaults to `(16, 24, 48, 64)`):
            Width of the U-Net at each scale. Each scale halves the bands; the last two also halve the frames.
        dilations (`tuple[int, ...]`, defaults to `(1, 2, 4)`): dilations in time of the residual layers at the
            coarsest scale.
        low_channels (`int`, defaults to `192`): width of the network that refines the mask of the lowest bins.
        low_dilations (`tuple[int, ...]`, defaults to `(1, 2, 4, 8, 16, 1, 2, 4)`): dilations of its residual layers.
    """

    @register_to_config
    def __init__(
        self,
        num_bands: int = 160,
        channels: tuple[int, ...] = (16, 24, 48, 64),
        dilations: tuple[int, ...] = (1, 2, 4),
        low_channels: int = 192,
        low_dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 1, 2, 4),
    ):
        super().__init__()
        first, second, third, fourth = channels
        # The position of a band distinguishes kick from cymbal.
        self.position = nn.Parameter(torch.zeros(2, 1, num_bands))
        self.conv_in = nn.Sequential(_conv(3, first, 5), _conv(first, first))
        self.down = nn.ModuleList(
            [
                nn.Sequential(_conv(first, second), _conv(second, second)),
                nn.Sequential(_conv(second, third), _conv(third, third)),
                _conv(third, fourth),
            ]
        )
        self.middle = nn.ModuleList(_conv(fourth, fourth, dilation=dilation) for dilation in dilations)
        self.up = nn.ModuleList(
            [_conv(fourth + third, third), _conv(third + second, second), _conv(second + first, first)]
        )
        self.conv_out = nn.Conv2d(first, 1, 1)
        nn.init.normal_(self.position, std=0.1)
        self.low = _LowBand(num_bands, low_channels, low_dilations)

    @property
    def context(self) -> int:
        """Frames on either side on which the drums depend, a multiple of 4."""
        finest, half, coarsest = 7, 3, 1 + sum(self.config.dilations)
        mask = TIME_STRIDE * (2 + coarsest) + finest + 2 * half
        low = 2 + sum(self.config.low_dilations)
        return -(-(mask + low) // TIME_STRIDE) * TIME_STRIDE

    def forward(self, spectrum: torch.Tensor) -> torch.Tensor:
        r"""
        Args:
            spectrum (`torch.Tensor` of shape `(batch, frames, 1025)`):
                Output of [`spectrogram`] for audio with a root mean square of 1.

        Returns:
            `torch.Tensor` of shape `(batch, frames, 1025)`: the spectrum of the drums.
        """
        levels = self.levels(spectrum)
        mask = self.mask(levels)
        low = self.low(spectrum[:, :, :LOW_BINS], mask[:, :, :LOW_BINS], levels)
        return spectrum * torch.cat([low, mask[:, :, LOW_BINS:]], dim=2)

    def levels(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Levels `(batch, frames, bands)` of a spectrum `(batch, frames, 1025)`."""
        weights = torch.from_numpy(_band_weights(self.config.num_bands)).to(spectrum.device)
        bands = spectrum.abs() @ (weights / weights.sum(dim=0)) / NOISE
        return bands.clamp(min=FLOOR).log10() + 1.5

    def mask(self, levels: torch.Tensor) -> torch.Tensor:
        """The mask `(batch, frames, 1025)` of the drums for the output of `levels`."""
        num_frames = levels.shape[1]
        levels = F.pad(levels, (0, 0, 0, -num_frames % TIME_STRIDE))[:, None]
        position = self.position.expand(len(levels), -1, levels.shape[2], -1)
        hidden = torch.cat([levels, position], dim=1).contiguous(memory_format=torch.channels_last)

        skips = [self.conv_in(hidden)]
        for layer, pool in zip(self.down, ((1, 2), (2, 2), (2, 2))):
            skips.append(layer(F.avg_pool2d(skips[-1], pool)))
        hidden = skips.pop()
        for layer in self.middle:
            hidden = hidden + layer(hidden)
        for layer in self.up:
            skip = skips.pop()
            hidden = layer(torch.cat([F.interpolate(hidden, size=skip.shape[2:]), skip], dim=1))
        mask = self.conv_out(hidden)[:, 0, :num_frames].float().sigmoid()
        return mask @ torch.from_numpy(_band_weights(self.config.num_bands)).to(mask).T
