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

"""Drum waveforms → drum latents per frame."""

import torch
from torch.nn import functional as F


def encode_drums(codec: torch.nn.Module, waveform: torch.Tensor, blur: int = 3) -> torch.Tensor:
    r"""
    The model's drum condition: what the first codebook keeps of the drums, averaged over groups of `blur` frames (§3.2 of
    the paper: enough for the rhythm, too little for the sound).

    Args:
        codec ([`~transformers.EncodecModel`]):
            The codec.
        waveform (`torch.Tensor` of shape `(batch, 1, samples)`):
            Drums at the codec's rate.
        blur (`int`, defaults to `3`):
            Frames per group; a last group that is not full is completed by reflection, or with its last frame where there
            is too little music to reflect.

    Returns:
        `torch.Tensor` of shape `(batch, frames, latent_dim)`: drum latents.
    """
    codebook = codec.quantizer.layers[0]
    latents = codebook.decode(codebook.encode(codec.encoder(waveform)))  # (batch, latent_dim, frames)
    return blur_frames(latents.transpose(1, 2), blur)


def blur_frames(latents: torch.Tensor, blur: int) -> torch.Tensor:
    r"""
    Means over groups of frames.

    Args:
        latents (`torch.Tensor` of shape `(batch, frames, dim)`): one value per frame.
        blur (`int`): frames per group; see [`encode_drums`] for the last one.

    Returns:
        `torch.Tensor` of shape `(batch, frames, dim)`.
    """
    from einops import reduce, repeat

    frames = latents.shape[1]
    if missing := -frames % blur:
        mode = "reflect" if missing < frames else "replicate"
        latents = F.pad(latents.transpose(1, 2), (0, missing), mode=mode).transpose(1, 2)
    groups = reduce(latents, "batch (groups blur) dim -> batch groups dim", "mean", blur=blur)
    return repeat(groups, "batch groups dim -> batch (groups blur) dim", blur=blur)[:, :frames]
