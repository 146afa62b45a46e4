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

"""What a codec's reconstruction is judged by in training."""

from collections.abc import Sequence

import torch


_WINDOWS = (4096, 2048, 1024, 512, 256, 128)
# Samples that tell the notes of a bass apart by their overtones, and the bins where octaves begin.
OCTAVE_WINDOW = 8192
_OCTAVES = [4 << octave for octave in range(10)]
# Between the notes of a bass it is quiet: what is played there is heard as other notes.
_OCTAVE_FLOOR = 5e-4
_FLOOR = 3e-3


def spectral_loss(
    decoded: torch.Tensor, original: torch.Tensor, log_weight: float = 1.0, complex_weight: float = 0.0
) -> torch.Tensor:
    r"""
    The mean distance of spectra at six resolutions (windows of 4096 to 128 samples, those that fit in): of magnitudes
    relative to the original's, of their logarithms, and of complex values, for codecs that keep phases.

    Args:
        decoded, original (`torch.Tensor` of shape `(batch, 1, samples)`): waveforms.
        log_weight, complex_weight (`float`): of the second and third term; the first weighs 1.
    """
    total = decoded.new_zeros(())
    windows = [window for window in _WINDOWS if window <= decoded.shape[-1]]
    for window in windows:
        ours, theirs = _spectrum(decoded, window), _spectrum(original, window)
        our_magnitude, magnitude = _magnitude(ours), theirs.abs()
        total = total + (our_magnitude - magnitude).norm() / magnitude.norm().clamp(min=1e-3)
        if log_weight:
            total = total + log_weight * _log_distance(our_magnitude, magnitude).mean()
        if complex_weight:
            total = total + complex_weight * torch.view_as_real(ours - theirs).norm() / magnitude.norm().clamp(
                min=1e-3
            )
    return total / len(windows)


def octave_loss(decoded: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    r"""
    The mean distance of logarithms over frequency as it is heard, where every octave counts alike: of magnitudes, and of
    the octaves' levels. In [`spectral_loss`] the two octaves of a bass are one percent of all bins, and what can't be
    predicted to the bin, such as noise, costs the less the softer it is, so a codec that knows it alone is dull.

    Args:
        decoded, original (`torch.Tensor` of shape `(batch, 1, samples)`): waveforms of at least `OCTAVE_WINDOW` samples.
    """
    ours, theirs = (_magnitude(_spectrum(audio, OCTAVE_WINDOW)) for audio in (decoded, original))
    # What is below the width of the window's main lobe is no pitch. The last octave ends at half the sampling rate.
    octaves = [(ours[:, first : 2 * first], theirs[:, first : 2 * first]) for first in _OCTAVES]
    bins = [_log_distance(*octave, _OCTAVE_FLOOR).mean() for octave in octaves]
    levels = [_log_distance(our.norm(dim=1), their.norm(dim=1)).mean() for our, their in octaves]
    return torch.stack(bins + levels).sum() / len(octaves)


def _spectrum(audio: torch.Tensor, window: int) -> torch.Tensor:
    """Complex, (batch, bins, hops); a sine of full scale has the magnitude 1."""
    shape = torch.hann_window(window, device=audio.device)
    return torch.stft(audio[:, 0], window, window // 4, window=shape, return_complex=True) * (2 / shape.sum())


def _magnitude(spectrum: torch.Tensor) -> torch.Tensor:
    # `abs` of complex numbers has no gradient at zero.
    return (spectrum.real.square() + spectrum.imag.square() + 1e-10).sqrt()


def _log_distance(first: torch.Tensor, second: torch.Tensor, floor: float = _FLOOR) -> torch.Tensor:
    return ((first + floor).log() - (second + floor).log()).abs()


def balance_losses(decoded: torch.Tensor, losses: Sequence[tuple[float, torch.Tensor]]) -> torch.Tensor:
    r"""
    Losses of one waveform whose weights are shares of its gradient, whatever the losses' scales: the balancer of EnCodec
    ([arXiv 2210.13438](https://arxiv.org/abs/2210.13438)), with the gradients' norms of this batch.

    Args:
        decoded (`torch.Tensor`): what the losses are of.
        losses (`Sequence[tuple[float, torch.Tensor]]`): weights and losses; the first one keeps its scale.

    Returns:
        `torch.Tensor`: a scalar to call `backward` on. Only its gradient means something.
    """
    gradients = [torch.autograd.grad(loss, decoded, retain_graph=True)[0] for _, loss in losses]
    scale = gradients[0].norm()
    total = sum(weight * scale / part.norm().clamp(min=1e-12) * part for (weight, _), part in zip(losses, gradients))
    return (decoded * total).sum()
