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

from ...models.codec_spectral import SpectralDecoder
from .objective import bass_loss, imitation_loss


class CodecTrainingModel(nn.Module):
    r"""
    Encodes and decodes without quantization, as JASCO uses the latents before quantization.

    Args:
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]): the codec.
        measures_bass (`bool`, defaults to `False`): whether to compute the bass loss of a [`SpectralCodecModel`].
        reference (`SpectralDecoder`, *optional*):
            Decoder of a [`SpectralCodecModel`] with the same latents, on the same device. The codec's decoder learns
            to imitate it, without synthesizing audio.
    """

    def __init__(self, codec: nn.Module, measures_bass: bool = False, reference: SpectralDecoder | None = None):
        super().__init__()
        self.codec, self.measures_bass = codec, measures_bass
        # A method, so that the reference is not a submodule, which would be saved in checkpoints.
        self.predict_reference = None if reference is None else reference.predict

    def forward(self, audio: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor, dict[str, torch.Tensor]]:
        """
        Waveforms `(batch, 1, samples)` → reconstructions of that shape (`None` with a reference), latents `(batch,
        frames, dim)`, and those of `bass_loss` and `imitation_loss` that apply.
        """
        latents, losses = self.codec.encoder(audio), {}
        if self.measures_bass or self.predict_reference is not None:
            loudness = self.codec.decoder.predict(latents)
        if self.measures_bass:
            losses["bass_loss"] = bass_loss(self.codec.average_bass(loudness[0]), self.codec.measure_bass(audio))
        if self.predict_reference is not None:
            with torch.no_grad():
                reference = self.predict_reference(latents)
            losses["imitation_loss"] = imitation_loss(loudness, reference, self.codec.num_bass_oscillators)
            decoded = None
        else:
            decoded = self.codec.decoder.play(*loudness) if self.measures_bass else self.codec.decoder(latents)
            decoded = decoded[..., : audio.shape[-1]]
        return decoded, latents.transpose(1, 2), losses
