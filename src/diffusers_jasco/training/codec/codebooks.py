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

"""Training of the codebooks of a codec's residual vector quantizer."""

import torch
import torch.nn.functional as F
from accelerate.utils import broadcast, reduce
from torch import nn

from ...codecs import codebooks


DEAD_USAGE = 0.1  # usage, relative to the mean, below which a vector is dead


@torch.no_grad()
def fit_codebook(
    latents: torch.Tensor, size: int, generator: torch.Generator, iterations: int = 20
) -> tuple[torch.Tensor, float]:
    r"""
    Fits a codebook by k-means, initialized with random latents.

    Args:
        latents (`torch.Tensor` of shape `(vectors, latent_dim)`): the latents.
        size (`int`): number of vectors in the codebook, at most the number of latents.
        generator (`torch.Generator`): random generator.
        iterations (`int`, defaults to `20`): iterations of k-means.

    Returns:
        `tuple[torch.Tensor, float]`: the codebook `(size, latent_dim)`, and the share of the latents' variance that is
        lost by quantization.
    """
    if len(latents) < size:
        raise ValueError(f"A codebook of {size} vectors needs at least {size} latents, but got {len(latents)}.")
    centers = latents[torch.randperm(len(latents), generator=generator)[:size]].clone()
    for _ in range(iterations):
        nearest = _nearest(latents, centers)
        counts = torch.bincount(nearest, minlength=size)
        sums = torch.zeros_like(centers).index_add_(0, nearest, latents)
        empty = counts == 0
        centers = sums / counts.clamp(min=1)[:, None]
        if empty.any():
            centers[empty] = latents[torch.randint(len(latents), (int(empty.sum()),), generator=generator)]
    nearest = _nearest(latents, centers)
    lost = F.mse_loss(F.embedding(nearest, centers), latents) / latents.var(0, unbiased=False).mean()
    return centers, float(lost)


@torch.no_grad()
def fit_codebooks(codec: nn.Module, latents: torch.Tensor, generator: torch.Generator):
    r"""
    Fits the codec's codebooks by k-means, each one to the residual of the previous ones.

    Args:
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]): the codec.
        latents (`torch.Tensor` of shape `(vectors, latent_dim)`): latents of a large amount of music.
        generator (`torch.Generator`): random generator.
    """
    for codebook in codebooks(codec):
        vectors, _ = fit_codebook(latents, len(codebook.embed), generator)
        codebook.embed.copy_(vectors)
        latents = latents - F.embedding(_nearest(latents, vectors), vectors)


@torch.no_grad()
def quantization_errors(codec: nn.Module, latents: torch.Tensor) -> torch.Tensor:
    r"""
    Computes the quantization errors with the first codebook, with the first two, and so on.

    Args:
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]): the codec.
        latents (`torch.Tensor` of shape `(batch, frames, latent_dim)`): latents.

    Returns:
        `torch.Tensor` of shape `(codebooks,)`: sums of squared errors.
    """
    residual, errors = latents.flatten(0, 1), []
    for codebook in codebooks(codec):
        residual = residual - F.embedding(_nearest(residual, codebook.embed), codebook.embed)
        errors.append(residual.square().sum())
    return torch.stack(errors)


class CodebookTrainer(nn.Module):
    r"""
    Updates the codec's codebooks during training: vectors are exponential moving averages of the latents that are
    nearest to them (VQ-VAE, [arXiv 1711.00937](https://arxiv.org/abs/1711.00937), appendix A.1), and dead vectors are
    reset to latents of the batch (Jukebox, [arXiv 2005.00341](https://arxiv.org/abs/2005.00341)).

    To resume training, save its state in addition to the codec's.

    Args:
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]): the codec, with initialized codebooks.
        decay (`float`, defaults to `0.99`): decay of the averages.
    """

    def __init__(self, codec: nn.Module, decay: float = 0.99):
        super().__init__()
        # In a list, so that they are not registered as submodules.
        self._codebooks = codebooks(codec)
        self.decay = decay
        embeds = torch.stack([codebook.embed for codebook in self._codebooks])
        self.cluster_size = nn.Buffer(torch.ones_like(embeds[..., 0]))
        self.embed_avg = nn.Buffer(embeds)

    def forward(self, latents: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        r"""
        Updates the codebooks with a batch. All processes have to call it.

        Args:
            latents (`torch.Tensor` of shape `(batch, frames, latent_dim)`): latents.
            generator (`torch.Generator`): random generator that chooses new values for dead vectors.

        Returns:
            `torch.Tensor`: the commitment loss, that is the squared distance between latents and quantized latents,
            averaged over all depths and divided by the variance of the latents. (Otherwise the encoder could reduce
            the distance by shrinking the latents, as audio is decoded from unquantized latents.) Its gradient is for
            the encoder.
        """
        residual = latents.flatten(0, 1)
        variance = residual.var(dim=0, unbiased=False).mean().clamp(min=1e-8)
        commitment = residual.new_zeros(())
        for codebook, cluster_size, embed_avg in zip(self._codebooks, self.cluster_size, self.embed_avg):
            codes = _nearest(residual.detach(), codebook.embed)
            quantized = F.embedding(codes, codebook.embed)
            commitment = commitment + F.mse_loss(residual, quantized)
            self._average(codebook, cluster_size, embed_avg, residual.detach(), codes, generator)
            residual = residual - quantized
        return commitment / len(self._codebooks) / variance

    @torch.no_grad()
    def _average(
        self,
        codebook: nn.Module,
        cluster_size: torch.Tensor,
        embed_avg: torch.Tensor,
        vectors: torch.Tensor,
        codes: torch.Tensor,
        generator: torch.Generator,
    ):
        counts = torch.zeros_like(cluster_size).index_add_(0, codes, torch.ones_like(codes).to(vectors))
        sums = torch.zeros_like(embed_avg).index_add_(0, codes, vectors)
        cluster_size.lerp_(reduce(counts, "sum"), 1 - self.decay)
        embed_avg.lerp_(reduce(sums, "sum"), 1 - self.decay)
        mean = cluster_size.mean()
        dead = cluster_size < DEAD_USAGE * mean
        # Drawn for all vectors, as counting the dead ones would synchronize with the device.
        chosen = torch.randint(len(vectors), (len(dead),), generator=generator).to(vectors.device)
        embed_avg.copy_(torch.where(dead[:, None], broadcast(vectors[chosen]) * mean, embed_avg))
        cluster_size.copy_(torch.where(dead, mean, cluster_size))
        codebook.embed.copy_(embed_avg / cluster_size[:, None])
        # The codebooks of Transformers have these buffers, too, for continued training.
        if hasattr(codebook, "embed_avg"):
            codebook.cluster_size.copy_(cluster_size)
            codebook.embed_avg.copy_(embed_avg)


def _nearest(vectors: torch.Tensor, embed: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.cdist(part, embed).argmin(1) for part in vectors.split(16384)])
