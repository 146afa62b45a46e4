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

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import nn


class JascoTempoModel(ModelMixin, ConfigMixin):
    r"""
    Estimates which tempos and time signatures fit a text: a small network on the mean of the text encoder's hidden
    states.

    Args:
        text_dim (`int`, defaults to `768`):
            Number of channels of the text encoder's hidden states.
        hidden_dim (`int`, defaults to `256`):
            Width of the hidden layer.
        tempos (`list[float]`, *optional*):
            Centers of the tempo bins in beats per minute, ascending, each greater than the previous one by the same
            factor. By default from 40 to 225 in steps of 4%.
        beats_per_bar (`list[int]`, *optional*):
            Numbers of beats per bar, by default 2, 3 and 4. A bar of 6/8 has two (dotted) beats.
    """

    @register_to_config
    def __init__(
        self,
        text_dim: int = 768,
        hidden_dim: int = 256,
        tempos: list[float] | None = None,
        beats_per_bar: list[int] | None = None,
    ):
        super().__init__()
        tempos = [round(40 * 1.04**index, 3) for index in range(45)] if tempos is None else list(tempos)
        beats_per_bar = [2, 3, 4] if beats_per_bar is None else list(beats_per_bar)
        self.register_to_config(tempos=tempos, beats_per_bar=beats_per_bar)
        self.proj_in = nn.Linear(text_dim, hidden_dim)
        self.proj_out = nn.Linear(hidden_dim, len(beats_per_bar) * len(tempos))
        # An untrained model finds all tempos equally probable.
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, encoder_hidden_states: torch.Tensor, text_mask: torch.Tensor) -> torch.Tensor:
        r"""
        Args:
            encoder_hidden_states (`torch.Tensor` of shape `(batch, tokens, text_dim)`): hidden states of the text
                encoder.
            text_mask (`torch.Tensor` of shape `(batch, tokens)`): `True` where a token is text. A row without text is
                the null text.

        Returns:
            `torch.Tensor` of shape `(batch, len(beats_per_bar), len(tempos))`: logits of the joint distribution of
            beats per bar and tempo.
        """
        mask = text_mask.to(encoder_hidden_states)[..., None]
        pooled = (encoder_hidden_states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        logits = self.proj_out(nn.functional.silu(self.proj_in(pooled)))
        return logits.unflatten(-1, (len(self.config.beats_per_bar), len(self.config.tempos)))
