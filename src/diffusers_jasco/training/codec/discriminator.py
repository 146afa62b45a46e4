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

"""Discriminator for adversarial codec training."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm


WINDOWS = (2048, 1024, 512, 256, 128)  # samples
SLOPE = 0.2  # negative slope of the leaky ReLUs


class STFTDiscriminator(nn.Module):
    r"""
    Discriminator of 2D convolutions over a complex spectrogram, which scores each position.

    Args:
        window (`int`): length of the Hann window in samples; the hop is a quarter of it.
        num_filters (`int`): number of channels.
    """

    def __init__(self, window: int, num_filters: int):
        super().__init__()
        self.window = window
        layers = [nn.Conv2d(2, num_filters, (3, 9), padding=(1, 4))]
        for dilation in (1, 2, 4):
            layers.append(nn.Conv2d(num_filters, num_filters, (3, 9), (1, 2), (dilation, 4), dilation=(dilation, 1)))
        layers.append(nn.Conv2d(num_filters, num_filters, 3, padding=1))
        # With PyTorch's default initialization, the signal would fade from layer to layer.
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            nn.init.zeros_(layer.bias)
        self.layers = nn.ModuleList([weight_norm(layer) for layer in layers])
        self.judge = weight_norm(nn.Conv2d(num_filters, 1, 3, padding=1))

    def forward(self, audio: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Waveforms `(batch, 1, samples)` → scores `(batch, 1, frames, bins)`, and the outputs of the layers."""
        window = torch.hann_window(self.window, device=audio.device)
        spectrum = torch.stft(
            audio[:, 0], self.window, self.window // 4, window=window, center=False, return_complex=True
        )
        hidden_states = torch.view_as_real(spectrum / window.norm()).permute(0, 3, 2, 1)
        features = []
        for layer in self.layers:
            hidden_states = F.leaky_relu(layer(hidden_states), SLOPE)
            features.append(hidden_states)
        return self.judge(hidden_states), features


class MultiScaleSTFTDiscriminator(nn.Module):
    r"""
    One [`STFTDiscriminator`] for each of five windows, as in EnCodec
    ([arXiv 2210.13438](https://arxiv.org/abs/2210.13438)). The audio has to have at least 2048 samples.

    Args:
        num_filters (`int`, defaults to `32`): number of channels of each.
    """

    def __init__(self, num_filters: int = 32):
        super().__init__()
        self.discriminators = nn.ModuleList([STFTDiscriminator(window, num_filters) for window in WINDOWS])

    def forward(self, audio: torch.Tensor) -> list[tuple[torch.Tensor, list[torch.Tensor]]]:
        """Waveforms `(batch, 1, samples)` → scores and features of each scale."""
        return [discriminator(audio) for discriminator in self.discriminators]


def discriminator_loss(outputs: list[tuple[torch.Tensor, list[torch.Tensor]]]) -> torch.Tensor:
    """The hinge loss for discriminator outputs whose first half is for recordings and the second for decoded audio."""
    losses = []
    for scores, _ in outputs:
        real, fake = scores.chunk(2)
        losses.append(F.relu(1 - real).mean() + F.relu(1 + fake).mean())
    return sum(losses) / len(losses)


def adversarial_losses(outputs: list[tuple[torch.Tensor, list[torch.Tensor]]]) -> tuple[torch.Tensor, torch.Tensor]:
    r"""
    The codec's losses for discriminator outputs as in [`discriminator_loss`].

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: the hinge loss of the decoded audio, and the feature matching loss: the
        distance between the layers' outputs for decoded audio and for recordings, relative to the latter.
    """
    hinge, matching = [], []
    for scores, features in outputs:
        hinge.append(F.relu(1 - scores.chunk(2)[1]).mean())
        for values in features:
            real, fake = values.chunk(2)
            real = real.detach()
            matching.append((real - fake).abs().mean() / real.abs().mean().clamp(min=1e-6))
    return sum(hinge) / len(hinge), sum(matching) / len(matching)
