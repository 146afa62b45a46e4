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


"""The network of the beat tracker: a temporal convolutional network on a spectrogram."""

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import nn
from torch.nn import functional as F

from ..audio.bands import LogBands


RATE = 22050  # Hz
WINDOW = 1280  # samples: 58 ms
HOP = 441  # samples: 20 ms
FRAME_RATE = RATE / HOP  # Hz

NUM_BANDS = 96  # 8 octaves, up to 9.7 kHz
BANDS = LogBands(RATE, WINDOW, lowest=40.0, per_octave=12, count=NUM_BANDS)
LOUDEST = 60.0  # magnitude to which the maximum of a recording is scaled before compression


class BeatModel(ModelMixin, ConfigMixin):
    r"""
    Predicts beats and downbeats from a spectrogram: a linear layer over the bands, and residual layers of dilated
    convolutions in time, as in the network of Böck and Davies ("Deconstruct, analyse, reconstruct", 2020).

    Parameters:
        channels (`int`, defaults to `32`): width.
        num_layers (`int`, defaults to `9`): residual layers, with dilations of 1, 2, 4, ... frames.
        dropout (`float`, defaults to `0.1`): dropout within the residual layers during training.
    """

    @register_to_config
    def __init__(self, channels: int = 32, num_layers: int = 9, dropout: float = 0.1):
        super().__init__()
        self.conv_in = nn.Conv1d(NUM_BANDS, 2 * channels, 3, padding=1)
        self.proj_in = nn.Conv1d(2 * channels, channels, 1)
        self.layers = nn.ModuleList()
        for dilation in self._dilations:
            conv = nn.Conv1d(channels, channels, 5, padding=2 * dilation, dilation=dilation)
            self.layers.append(nn.Sequential(conv, nn.ELU(), nn.Dropout(dropout), nn.Conv1d(channels, channels, 1)))
        self.proj_out = nn.Conv1d(channels, 3, 1)

    @property
    def _dilations(self) -> list[int]:
        return [2**layer for layer in range(self.config.num_layers)]

    @property
    def context(self) -> int:
        """Frames on either side on which the output depends."""
        return 1 + 2 * sum(self._dilations)

    def forward(self, magnitudes: torch.Tensor) -> torch.Tensor:
        r"""
        Args:
            magnitudes (`torch.Tensor` of shape `(batch, frames, 96)`):
                Magnitudes from `BANDS`, scaled so that the maximum of the recording is `LOUDEST`.

        Returns:
            `torch.Tensor` of shape `(batch, frames, 3)`: logits of a beat that does not start a bar, a downbeat, and
            neither.
        """
        hidden = torch.log10(1 + magnitudes).transpose(1, 2)
        hidden = F.elu(self.proj_in(F.elu(self.conv_in(hidden))))
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        return self.proj_out(F.elu(hidden)).transpose(1, 2)
