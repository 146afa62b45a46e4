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
import torch.nn.functional as F


_WINDOWS = (2048, 1024, 512, 256, 128)
_FLOOR = 3e-3


def spectral_loss(
    decoded: torch.Tensor, original: torch.Tensor, log_weight: float = 1.0, complex_weight: float = 0.0
) -> torch.Tensor:
    r"""
    The mean distance of spectra at five resolutions: of magnitudes relative to the original's, of their logarithms, and
    of complex values, for codecs that keep phases.

    Args:
        decoded, original (`torch.Tensor` of shape `(batch, 1, samples)`): waveforms.
        log_weight, complex_weight (`float`): of the second and third term; the first weighs 1.
    """
    total = decoded.new_zeros(())
    for window in _WINDOWS:
        shape = torch.hann_window(window, device=decoded.device)
        ours, theirs = (
            torch.stft(audio[:, 0], window, window // 4, window=shape, return_complex=True) * (2 / shape.sum())
            for audio in (decoded, original)
        )
        # `abs` of complex numbers has no gradient at zero.
        our_magnitude = (ours.real.square() + ours.imag.square() + 1e-10).sqrt()
        magnitude = theirs.abs()
        total = total + (our_magnitude - magnitude).norm() / magnitude.norm().clamp(min=1e-3)
        if log_weight:
            distance = ((our_magnitude + _FLOOR).log() - (magnitude + _FLOOR).log()).abs().mean()
            total = total + log_weight * distance
        if complex_weight:
            total = total + complex_weight * torch.view_as_real(ours - theirs).norm() / magnitude.norm().clamp(
                min=1e-3
            )
    return total / len(_WINDOWS)


@torch.no_grad()
def fit_codebook(
    latents: torch.Tensor, size: int, generator: torch.Generator, iterations: int = 20
) -> tuple[torch.Tensor, float]:
    r"""
    k-means, begun at latents drawn at random.

    Args:
        latents (`torch.Tensor` of shape `(vectors, latent_dim)`).
        size (`int`): vectors of the codebook; no more than there are latents.

    Returns:
        `tuple[torch.Tensor, float]`: the codebook `(size, latent_dim)`, and the share of the latents' variance that it
        loses.
    """
    if len(latents) < size:
        raise ValueError(f"a codebook of {size} vectors needs at least as many latents, not {len(latents)}.")
    centres = latents[torch.randperm(len(latents), generator=generator)[:size]].clone()
    for _ in range(iterations):
        nearest = torch.cat([torch.cdist(part, centres).argmin(1) for part in latents.split(16384)])
        counts = torch.bincount(nearest, minlength=size)
        sums = torch.zeros_like(centres).index_add_(0, nearest, latents)
        empty = counts == 0
        centres = sums / counts.clamp(min=1)[:, None]
        if empty.any():
            centres[empty] = latents[torch.randint(len(latents), (int(empty.sum()),), generator=generator)]
    nearest = torch.cat([torch.cdist(part, centres).argmin(1) for part in latents.split(16384)])
    lost = F.mse_loss(F.embedding(nearest, centres), latents) / latents.var(0, unbiased=False).mean()
    return centres, float(lost)
