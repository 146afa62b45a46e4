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

"""The network of the caption probe, which classifies attributes of music that captions mention."""

from functools import lru_cache

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import nn
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

from .spectra import SAMPLING_RATE, power_spectrogram


HOP = 320  # samples: 20 ms
WINDOW = 1024  # samples: 64 ms
NUM_BANDS = 48
FLOOR = 1e-10  # power of silence
DYNAMIC_RANGE = 50.0  # dB; levels this far below a clip's mean power are clamped

_REGISTERS = 3
_TEMPI = 20 * 2 ** (np.arange(65) / 16)  # BPM, sixteen per octave


@lru_cache(maxsize=1)
def _band_weights() -> torch.Tensor:
    """Shape (bins, bands), with bands of equal width on the mel scale up to 8 kHz."""
    return melscale_fbanks(WINDOW // 2 + 1, 0.0, SAMPLING_RATE / 2, NUM_BANDS, SAMPLING_RATE)


def band_levels(samples: np.ndarray) -> torch.Tensor:
    r"""
    Args:
        samples (`np.ndarray` of shape `(samples,)`): audio at 16 kHz, as [`~evaluation.estimators.spectra.load_mono`]
            returns it.

    Returns:
        `torch.Tensor` of shape `(frames, 48)`: dB; frame `i` is centered on sample `320 i`.
    """
    power = torch.from_numpy(power_spectrogram(samples, HOP, WINDOW)) @ _band_weights()
    return 10 * power.clamp(min=FLOOR).log10()


@lru_cache(maxsize=1)
def _lag_weights() -> torch.Tensor:
    """Shape (lags in frames, tempi): linear interpolation between frames."""
    lags = 60 / _TEMPI * SAMPLING_RATE / HOP
    distance = np.abs(np.arange(int(lags.max()) + 2)[:, None] - lags)
    return torch.from_numpy(np.maximum(1 - distance, 0).astype(np.float32))


def repetition(levels: torch.Tensor) -> torch.Tensor:
    r"""
    Args:
        levels (`torch.Tensor` of shape `(batch, frames, 48)`): levels of bands.

    Returns:
        `torch.Tensor` of shape `(batch, 195)`: the autocorrelation of level rises in low, middle and high bands, at a
        lag of one beat for each of 65 tempi from 20 to 320 BPM.
    """
    rises = levels.diff(dim=1, prepend=levels[:, :1]).clamp(min=0)
    rises = rises.unflatten(2, (_REGISTERS, -1)).mean(dim=3)
    rises = rises - rises.mean(dim=1, keepdim=True)
    weights = _lag_weights().to(rises)
    # Zero padding prevents circular correlation.
    spectrum = torch.fft.rfft(rises, rises.shape[1] + max(rises.shape[1], len(weights)), dim=1)
    correlation = torch.fft.irfft(spectrum.abs().square(), dim=1)[:, : len(weights)]
    correlation = correlation / (correlation[:, :1] + 1e-6)
    return (correlation.transpose(1, 2) @ weights).flatten(1)


def _conv(in_channels: int, out_channels: int, kernel, stride=1, padding=0) -> nn.Sequential:
    """A convolution over (frames, bands) with normalization and activation."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class CaptionModel(ModelMixin, ConfigMixin):
    r"""
    A multi-task classifier: convolutions over bands and time, pooled over the whole clip, and [`repetition`] predict
    one answer per question.

    Parameters:
        answers (`dict[str, list[str]]`): possible answers by question, such as `"tempo"`.
        channels (`tuple[int, ...]`, defaults to `(16, 32, 64, 88)`):
            Widths of the convolutions. The first three halve the bands, the first two halve the frames.
        rhythm_channels (`int`, defaults to `64`): width of the projection of [`repetition`].
        dropout (`float`, defaults to `0.3`): dropout before the classification heads.
    """

    @register_to_config
    def __init__(
        self,
        answers: dict[str, list[str]],
        channels: tuple[int, ...] = (16, 32, 64, 88),
        rhythm_channels: int = 64,
        dropout: float = 0.3,
    ):
        super().__init__()
        first, second, third, fourth = channels
        self.spectrum = nn.Sequential(
            _conv(1, first, 5, 2, 2),
            _conv(first, second, 3, 2, 1),
            _conv(second, third, 3, (1, 2), 1),
            # The kernel spans all bands.
            _conv(third, fourth, (3, NUM_BANDS // 8), padding=(1, 0)),
        )
        self.time = _conv(fourth, fourth, (5, 1), padding=(2, 0))
        self.rhythm = nn.Sequential(nn.Linear(_REGISTERS * len(_TEMPI), rhythm_channels), nn.ReLU())
        features = 3 * fourth + rhythm_channels
        self.heads = nn.ModuleDict(
            {question: nn.Linear(features, len(labels)) for question, labels in answers.items()}
        )

    def forward(self, levels: torch.Tensor) -> dict[str, torch.Tensor]:
        r"""
        Args:
            levels (`torch.Tensor` of shape `(batch, frames, 48)`): as [`band_levels`] returns them.

        Returns:
            `dict[str, torch.Tensor]`: logits of shape `(batch, answers)` by question.
        """
        loudness = 10 * (10 ** (levels / 10)).mean(dim=(1, 2), keepdim=True).log10()
        levels = (1 + (levels - loudness) / DYNAMIC_RANGE).clamp(min=0)
        hidden = levels[:, None].contiguous(memory_format=torch.channels_last)
        hidden = self.spectrum(hidden)
        later = self.time(hidden)
        deviation = (later.var(dim=(2, 3), correction=0) + 1e-5).sqrt()
        features = [hidden.mean(dim=(2, 3)), later.mean(dim=(2, 3)), deviation, self.rhythm(repetition(levels))]
        features = F.dropout(torch.cat(features, dim=1), self.config.dropout, self.training)
        return {question: head(features) for question, head in self.heads.items()}
