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

"""Losses for codec training."""

from collections.abc import Sequence

import torch


_WINDOWS = (4096, 2048, 1024, 512, 256, 128)  # samples
OCTAVE_WINDOW = 8192  # samples, enough to resolve the overtones of bass notes
_OCTAVES = [4 << octave for octave in range(10)]  # first bin of each octave
# Added to magnitudes before the logarithm. It is lower for octaves: soft errors between bass notes sound like notes.
_OCTAVE_FLOOR = 5e-4
_FLOOR = 3e-3
_BASS_FLOOR = 1e-2  # added to the loudness of all oscillators; softer basses count less
_BASS_LEVEL_WEIGHT = 0.3  # weight of the level of the bass relative to all other oscillators, and to the noise


def spectral_loss(
    decoded: torch.Tensor, reference: torch.Tensor, log_weight: float = 1.0, complex_weight: float = 0.0
) -> torch.Tensor:
    r"""
    Mean spectral distance over up to six resolutions (windows of 4096 to 128 samples, if the audio is long enough).
    The terms are the distance of magnitudes relative to the reference, of log magnitudes, and, for codecs that keep
    phases, of complex values.

    Args:
        decoded, reference (`torch.Tensor` of shape `(batch, 1, samples)`): waveforms.
        log_weight, complex_weight (`float`): weights of the second and the third term; that of the first is 1.
    """
    total = decoded.new_zeros(())
    windows = [window for window in _WINDOWS if window <= decoded.shape[-1]]
    for window in windows:
        estimate_spectrum, reference_spectrum = _spectrum(decoded, window), _spectrum(reference, window)
        estimate, magnitude = _magnitude(estimate_spectrum), reference_spectrum.abs()
        norm = magnitude.norm().clamp(min=1e-3)
        total = total + (estimate - magnitude).norm() / norm
        if log_weight:
            total = total + log_weight * _log_distance(estimate, magnitude).mean()
        if complex_weight:
            difference = torch.view_as_real(estimate_spectrum - reference_spectrum)
            total = total + complex_weight * difference.norm() / norm
    return total / len(windows)


def octave_loss(decoded: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    r"""
    Mean log-spectral distance in which every octave has the same weight, in its bins and in its level. It complements
    [`spectral_loss`], in which the two octaves of a bass are only one percent of all bins, and which is lowest if
    unpredictable components such as noise are too soft, so that a codec trained with it alone sounds dull.

    Args:
        decoded, reference (`torch.Tensor` of shape `(batch, 1, samples)`):
            Waveforms of at least `OCTAVE_WINDOW` samples.
    """
    estimate, magnitude = (_magnitude(_spectrum(audio, OCTAVE_WINDOW)) for audio in (decoded, reference))
    # Lower bins, within the main lobe of the window, are skipped. The last octave ends at half the sampling rate.
    octaves = [(estimate[:, first : 2 * first], magnitude[:, first : 2 * first]) for first in _OCTAVES]
    bins = [_log_distance(*octave, _OCTAVE_FLOOR).mean() for octave in octaves]
    levels = [_log_distance(first.norm(dim=1), second.norm(dim=1)).mean() for first, second in octaves]
    return torch.stack(bins + levels).sum() / len(octaves)


def bass_loss(estimate: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    r"""
    Distance of the loudness of bass oscillators, relative to the loudness of all of them. Spectra can't replace it:
    windows that tell the semitones of a bass apart contain several of its notes, and neighboring oscillators that
    sound together cancel each other in a part of the windows.

    Args:
        estimate, target (`torch.Tensor` of shape `(batch, hops, oscillators)`):
            Loudness from [`SpectralCodecModel.average_bass`] and [`SpectralCodecModel.measure_bass`].
    """
    return ((estimate - target).abs().sum(-1) / (target.sum(-1) + _BASS_FLOOR)).mean()


def imitation_loss(
    estimate: tuple[torch.Tensor, torch.Tensor], reference: tuple[torch.Tensor, torch.Tensor], num_bass: int
) -> torch.Tensor:
    r"""
    Distance of log loudness to that predicted by another decoder, without synthesis. The bass is only compared as a
    whole, so that [`bass_loss`] can choose its notes.

    Args:
        estimate, reference (`tuple[torch.Tensor, torch.Tensor]`):
            Loudness of oscillators `(batch, hops, oscillators)` and noise bands `(batch, hops, bands)` from
            [`SpectralDecoder.predict`].
        num_bass (`int`): [`SpectralCodecModel.num_bass_oscillators`].
    """
    (oscillators, noise), (reference_oscillators, reference_noise) = estimate, reference
    levels = (loudness[..., :num_bass].norm(dim=-1) for loudness in (oscillators, reference_oscillators))
    return (
        _log_distance(oscillators[..., num_bass:], reference_oscillators[..., num_bass:]).mean()
        + _log_distance(noise, reference_noise).mean()
        + _BASS_LEVEL_WEIGHT * _log_distance(*levels).mean()
    )


def _spectrum(audio: torch.Tensor, size: int) -> torch.Tensor:
    """Complex spectrum (batch, bins, hops), in which a full-scale sine has the magnitude 1."""
    window = torch.hann_window(size, device=audio.device)
    return torch.stft(audio[:, 0], size, size // 4, window=window, return_complex=True) * (2 / window.sum())


def _magnitude(spectrum: torch.Tensor) -> torch.Tensor:
    # The gradient of `abs` of complex numbers is undefined at zero.
    return (spectrum.real.square() + spectrum.imag.square() + 1e-10).sqrt()


def _log_distance(first: torch.Tensor, second: torch.Tensor, floor: float = _FLOOR) -> torch.Tensor:
    return ((first + floor).log() - (second + floor).log()).abs()


def balance_losses(decoded: torch.Tensor, losses: Sequence[tuple[float, torch.Tensor]]) -> torch.Tensor:
    r"""
    Combines losses of a waveform so that their weights are shares of its gradient, regardless of the losses' scales.
    This is EnCodec's balancer ([arXiv 2210.13438](https://arxiv.org/abs/2210.13438)), but with the gradient norms of
    the batch.

    Args:
        decoded (`torch.Tensor`): the waveform that the losses are computed from.
        losses (`Sequence[tuple[float, torch.Tensor]]`): weights and losses; the first loss keeps its scale.

    Returns:
        `torch.Tensor`: a scalar for `backward`; only its gradient is meaningful.
    """
    gradients = [torch.autograd.grad(loss, decoded, retain_graph=True)[0] for _, loss in losses]
    scale = gradients[0].norm()
    total = sum(weight * scale / part.norm().clamp(min=1e-12) * part for (weight, _), part in zip(losses, gradients))
    return (decoded * total).sum()
