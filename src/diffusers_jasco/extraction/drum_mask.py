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
The network of the built-in drum separator: above 1 kHz, a U-Net predicts a soft mask of the drums for each band; below,
a second network predicts a complex mask for each bin.
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
NOISE = (3 / 8 * WINDOW) ** 0.5  # root mean square magnitude of white noise whose samples have a root mean square of 1
FLOOR = 1e-3  # lowest magnitude in levels, relative to `NOISE`: -60 dB

TIME_STRIDE = 4  # frames of the spectrum per frame of the coarsest layers

# The lowest bins, as a spectrum of audio at 2 kHz
LOW_BINS = 64  # up to 1 kHz
LOW_WINDOW, LOW_HOP = 2 * LOW_BINS, 32  # samples at 2 kHz: 64 and 16 ms, as above
LONG_WINDOW = 512  # samples at 2 kHz: 256 ms
LONG_BINS = 128  # of the long windows: up to 500 Hz
TONE_BINS = 32  # of the short windows: up to 500 Hz
SHORT_STEP, LONG_STEP = 4, 12  # frames by which tones are extrapolated, in short and in long windows: 64 and 192 ms
NUM_PREDICTIONS = 4  # forward and backward, in short and in long windows
NUM_HEADS = 4  # of the attention


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
        audio (`torch.Tensor` of shape `(batch, samples)`): at 32 kHz.

    Returns:
        `torch.Tensor` of shape `(batch, samples // 512 + 1, 1025)`: complex; frame `i` is centered on sample `512 i`.
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


class _Attention(nn.Module):
    """Self-attention between frames that are at most `span` frames apart, so that repeated hits inform each other."""

    def __init__(self, channels: int, span: int):
        super().__init__()
        self.span = span
        self.norm = nn.BatchNorm1d(channels)
        self.conv_in = nn.Conv1d(channels, 3 * channels, 1)
        self.conv_out = nn.Conv1d(channels, channels, 1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Maps `(batch, channels, frames)` to the same shape."""
        query, key, value = self.conv_in(self.norm(hidden)).unflatten(1, (3, NUM_HEADS, -1)).mT.unbind(1)
        frames = torch.arange(hidden.shape[2], device=hidden.device)
        near = (frames[:, None] - frames).abs() <= self.span
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=near)
        return self.conv_out(attended.mT.flatten(1, 2))


class _LowBand(nn.Module):
    """
    Separates the lowest bins, where kick and bass overlap; each layer connects all of them. The estimate is the mix times
    a complex mask, plus predictions of sustained tones times complex gains. The predictions can cancel a bass even where
    a kick hides its phase in the mix.
    """

    def __init__(self, num_bands: int, channels: int, dilations: tuple[int, ...], span: int):
        super().__init__()
        # Features, see `_low_features`: levels, phase differences, and three of each predicted bin.
        num_levels, num_differences = num_bands + LOW_BINS + LONG_BINS, 2 * LOW_BINS + 2 * (LOW_BINS - 1)
        num_predicted = NUM_PREDICTIONS * TONE_BINS
        self.conv_in = _conv1d(num_levels + num_differences + 3 * num_predicted, channels, 3)
        layers: list[nn.Module] = [_conv1d(channels, channels, 3, dilation) for dilation in dilations]
        layers.insert(len(layers) // 2, _Attention(channels, span))
        self.middle = nn.ModuleList(layers)
        self.conv_out = nn.Conv1d(channels, 3 * LOW_BINS + 2 * num_predicted, 1)

    def forward(self, spectrum: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Maps a spectrum `(batch, frames, 64)` and levels `(batch, frames, bands)` to the drums `(batch, frames, 64)`."""
        long = _long_spectrum(spectrum)
        predictions = _predictions(spectrum, long)
        inputs = torch.cat([levels, *_low_features(spectrum, long, predictions)], dim=2)
        hidden = self.conv_in(inputs.transpose(1, 2))
        for layer in self.middle:
            hidden = hidden + layer(hidden)
        outputs = self.conv_out(hidden).float().transpose(1, 2)
        logits, real, imaginary, gains = outputs.split([*3 * [LOW_BINS], outputs.shape[2] - 3 * LOW_BINS], dim=2)
        mask = logits.sigmoid()
        # Where the mask is 1, the mix is kept, with its phase.
        drums = spectrum * (1 + 4 * (1 - mask) * torch.complex(real, imaginary))
        gains = torch.complex(*gains.unflatten(2, (2, NUM_PREDICTIONS, TONE_BINS)).unbind(2))
        tones = (gains * predictions).sum(dim=2)
        return mask * (drums + F.pad(tones, (0, LOW_BINS - TONE_BINS)))


def _levels(magnitudes: torch.Tensor) -> torch.Tensor:
    """Decimal logarithms of magnitudes, from -1.5 (`FLOOR`); 1.5 is the level of `NOISE`."""
    return (magnitudes / NOISE).clamp(min=FLOOR).log10() + 1.5


def _unit(values: torch.Tensor) -> torch.Tensor:
    """Complex values scaled to magnitudes of about 1; values near 0 stay near 0."""
    return values / (values.abs() + 1e-3)


def _real(values: torch.Tensor) -> torch.Tensor:
    """Real and imaginary parts `(batch, frames, 2 bins)`."""
    return torch.view_as_real(values).flatten(2)


def _low_features(spectrum: torch.Tensor, long: torch.Tensor, predictions: torch.Tensor) -> list[torch.Tensor]:
    """Features of the lowest bins, each `(batch, frames, features)`, nearly independent of the absolute phase."""
    # Phase differences between frames depend on the pitches of sustained notes; those between bins, on the times of
    # onsets.
    frames = _real(_unit(spectrum[:, 1:] * spectrum[:, :-1].conj()))
    bins = _real(_unit(spectrum[:, :, 1:] * spectrum[:, :, :-1].conj()))
    mix = spectrum[:, :, None, :TONE_BINS]
    ratios = predictions * mix.conj() / (mix.abs().square() + predictions.abs().square() + 1e-3)
    residues = (mix - predictions).abs().flatten(2)
    return [
        _levels(spectrum.abs()),
        _levels(long.abs()),
        F.pad(frames, (0, 0, 1, 0)),
        bins,
        _real(ratios),
        _levels(residues),
    ]


def _long_spectrum(spectrum: torch.Tensor) -> torch.Tensor:
    """
    Maps the lowest bins of a spectrum `(batch, frames, 64)` to bins up to 500 Hz `(batch, frames, 128)` in windows of
    256 ms, which resolve the pitches of a bass.
    """
    # Noise has twice the magnitude in windows that are four times as long.
    return _resize_windows(spectrum, LOW_WINDOW, LONG_WINDOW)[:, :, :LONG_BINS] / 2


def _resize_windows(spectrum: torch.Tensor, window: int, other: int) -> torch.Tensor:
    """
    Maps a spectrum `(batch, frames, bins)` in windows of `window` samples at 2 kHz to one in windows of `other` samples
    `(batch, frames, other // 2 + 1)`. Missing higher bins are taken as 0.
    """
    num_frames = spectrum.shape[1]
    padded = F.pad(spectrum, (0, window // 2 + 1 - spectrum.shape[2])).transpose(1, 2)
    hann, other_hann = (torch.hann_window(size, device=spectrum.device) for size in (window, other))
    signal = torch.istft(padded, window, LOW_HOP, window=hann, length=num_frames * LOW_HOP)
    resized = torch.stft(signal, other, LOW_HOP, window=other_hann, pad_mode="constant", return_complex=True)
    return resized[:, :, :num_frames].transpose(1, 2)


def _predictions(spectrum: torch.Tensor, long: torch.Tensor) -> torch.Tensor:
    """
    Predictions of sustained tones `(batch, frames, 4, 32)`: each frame is extrapolated from earlier and from later frames
    of both spectra, with constant magnitudes and phase increments.
    """
    short = spectrum[:, :, :TONE_BINS]
    predictions = [_extrapolate(short, count) for count in (SHORT_STEP, -SHORT_STEP)]
    for count in (LONG_STEP, -LONG_STEP):
        tones = 2 * _extrapolate(long, count)
        predictions.append(_resize_windows(tones, LONG_WINDOW, LOW_WINDOW)[:, :, :TONE_BINS])
    return torch.stack(predictions, dim=2)


def _extrapolate(spectrum: torch.Tensor, count: int) -> torch.Tensor:
    """Predicts frames `(batch, frames, bins)` from the ones `count` frames earlier, or later if `count` is negative."""
    advance = F.pad(_unit(spectrum[:, 1:] * spectrum[:, :-1].conj()), (0, 0, 1, 0))
    if count < 0:
        # From each frame to the next one.
        advance = F.pad(advance[:, 1:], (0, 0, 0, 1))
    rotated = spectrum * torch.polar(torch.ones_like(advance.real), count * advance.angle())
    num_frames = spectrum.shape[1]
    if count > 0:
        return F.pad(rotated, (0, 0, count, 0))[:, :num_frames]
    return F.pad(rotated, (0, 0, 0, -count))[:, -num_frames:]


class DrumMaskModel(ModelMixin, ConfigMixin):
    r"""
    Separates the spectrum of the drums from that of a mix. Above 1 kHz, a U-Net over bands and frames predicts a soft
    mask; below, a second network predicts a complex mask and gains of sustained tones.

    Parameters:
        num_bands (`int`, defaults to `160`): number of bands from 0 to 16 kHz, 8 to 483.
        channels (`tuple[int, ...]`, defaults to `(16, 24, 48, 64)`):
            Width of the U-Net at each scale. Each scale halves the bands; the last two also halve the frames.
        dilations (`tuple[int, ...]`, defaults to `(1, 2, 4)`): dilations in time of the residual layers at the
            coarsest scale.
        low_channels (`int`, defaults to `256`): width of the network for the lowest bins, a multiple of 4.
        low_dilations (`tuple[int, ...]`, defaults to `(1, 2, 4, 8, 16, 32, 1, 2, 4, 8)`): dilations of its residual
            layers.
        low_span (`int`, defaults to `128`): frames on either side that the attention of this network attends to.
    """

    @register_to_config
    def __init__(
        self,
        num_bands: int = 160,
        channels: tuple[int, ...] = (16, 24, 48, 64),
        dilations: tuple[int, ...] = (1, 2, 4),
        low_channels: int = 256,
        low_dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 1, 2, 4, 8),
        low_span: int = 128,
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
        self.low = _LowBand(num_bands, low_channels, low_dilations, low_span)

    @property
    def context(self) -> int:
        """Number of frames on either side on which a frame of the drums depends, a multiple of 4."""
        # Convolutions of three frames at each resolution, and the alignment of coarse frames.
        finest, half, coarsest = 7, 3, 1 + sum(self.config.dilations)
        mask = TIME_STRIDE * (2 + coarsest) + finest + 2 * half
        # Tones in long windows reach furthest: short windows are converted to long ones and back. Windows overlap if their
        # centers are less than half of the sum of their lengths apart.
        overlap = (LOW_WINDOW + LONG_WINDOW) // (2 * LOW_HOP) - 1
        features = overlap + LONG_STEP + 1 + overlap
        low = features + 1 + sum(self.config.low_dilations) + self.config.low_span
        return -(-max(mask, low) // TIME_STRIDE) * TIME_STRIDE

    def forward(self, spectrum: torch.Tensor) -> torch.Tensor:
        r"""
        Args:
            spectrum (`torch.Tensor` of shape `(batch, frames, 1025)`):
                Output of [`spectrogram`] for audio with a root mean square of 1.

        Returns:
            `torch.Tensor` of shape `(batch, frames, 1025)`: the spectrum of the drums.
        """
        levels = self.levels(spectrum)
        low, high = spectrum[:, :, :LOW_BINS], spectrum[:, :, LOW_BINS:]
        return torch.cat([self.low(low, levels), high * self.mask(levels)[:, :, LOW_BINS:]], dim=2)

    def levels(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Levels `(batch, frames, bands)` of a spectrum `(batch, frames, 1025)`."""
        weights = torch.from_numpy(_band_weights(self.config.num_bands)).to(spectrum.device)
        return _levels(spectrum.abs() @ (weights / weights.sum(dim=0)))

    def mask(self, levels: torch.Tensor) -> torch.Tensor:
        """The mask `(batch, frames, 1025)` of the drums for the output of `levels`; `forward` uses it above 1 kHz."""
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
