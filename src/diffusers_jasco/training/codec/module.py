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

"""Training wrapper of a codec."""

import torch
from torch import nn

from .objective import bass_loss


class CodecTrainingModel(nn.Module):
    r"""
    Encodes and decodes without quantization, as JASCO uses the latents before quantization.

    Args:
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]): the codec.
        measures_bass (`bool`, defaults to `False`): whether to compute the bass loss of a [`SpectralCodecModel`].
    """

    def __init__(self, codec: nn.Module, measures_bass: bool = False):
        super().__init__()
        self.codec, self.measures_bass = codec, measures_bass

    def forward(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """
        Waveforms `(batch, 1, samples)` → reconstructions of that shape, latents `(batch, frames, dim)`, and the bass
        loss.
        """
        latents, bass = self.codec.encoder(audio), None
        if self.measures_bass:
            oscillators, noise = self.codec.decoder.predict(latents)
            decoded = self.codec.decoder.play(oscillators, noise)
            bass = bass_loss(self.codec.average_bass(oscillators), self.codec.measure_bass(audio))
        else:
            decoded = self.codec.decoder(latents)
        return decoded[..., : audio.shape[-1]], latents.transpose(1, 2), bass
