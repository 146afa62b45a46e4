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


"""The network of the drum transcription: a convolutional network on a spectrogram."""

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import nn
from torch.nn import functional as F

from ..audio.bands import LogBands
from ..controls.drum_machine import DRUMS


RATE = 32000  # Hz
WINDOW = 1280  # samples: 40 ms
HOP = 320  # samples: 10 ms
FRAME_RATE = RATE / HOP  # Hz

NUM_BANDS = 70  # 8.6 octaves, up to 15.8 kHz
BANDS = LogBands(RATE, WINDOW, lowest=40.0, per_octave=8, count=NUM_BANDS)
LOUDEST = 60.0  # magnitude to which the maximum of a recording is scaled before compression

VOICES = tuple(DRUMS)


class DrumHitModel(ModelMixin, ConfigMixin):
    r"""
    Predicts the onsets of drums from a spectrogram: convolutions over frames and bands, and residual layers of dilated
    convolutions in time.

    Parameters:
        filters (`tuple[int, ...]`, defaults to `(8, 16, 32)`): channels of the convolutions over frames and bands.
        channels (`int`, defaults to `64`): channels of the layers in time.
        num_layers (`int`, defaults to `5`): residual layers, with dilations of 1, 2, 4, ... frames.
        dropout (`float`, defaults to `0.1`): dropout within the residual layers during training.
    """

    @register_to_config
    def __init__(
        self, filters: tuple[int, ...] = (8, 16, 32), channels: int = 64, num_layers: int = 5, dropout: float = 0.1
    ):
        super().__init__()
        self.convs = nn.ModuleList()
        bands = NUM_BANDS
        for before, after in zip((1, *filters), filters):
            conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
            self.convs.append(nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d((1, 2))))
            bands //= 2
        self.proj_in = nn.Conv1d(filters[-1] * bands, channels, 1)
        self.layers = nn.ModuleList()
        for dilation in self._dilations:
            dilated = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
            self.layers.append(nn.Sequential(dilated, nn.ELU(), nn.Dropout(dropout), nn.Conv1d(channels, channels, 1)))
        self.proj_out = nn.Conv1d(channels, 2 * len(VOICES), 1)

    @property
    def _dilations(self) -> list[int]:
        return [2**layer for layer in range(self.config.num_layers)]

    @property
    def context(self) -> int:
        """Frames on either side on which the output depends."""
        return len(self.convs) + sum(self._dilations)

    def forward(self, magnitudes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        r"""
        Args:
            magnitudes (`torch.Tensor` of shape `(batch, frames, 70)`):
                Magnitudes from `BANDS`, scaled so that the maximum of the recording is `LOUDEST`.

        Returns:
            `tuple` of logits of an onset and levels of the hit, both `(batch, frames, 10)`, in the order of `VOICES`. A
            level is the decimal logarithm of the root mean square of the first 80 ms of the hit, scaled like the
            magnitudes.
        """
        hidden = torch.log10(1 + magnitudes)[:, None]
        for conv in self.convs:
            hidden = conv(hidden)
        hidden = F.elu(self.proj_in(hidden.transpose(2, 3).flatten(1, 2)))
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        logits, levels = self.proj_out(F.elu(hidden)).transpose(1, 2).chunk(2, dim=-1)
        return logits, levels
