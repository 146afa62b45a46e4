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

"""Metrics of source separation."""

import torch


FLOOR = 1e-10  # of the power, limiting ratios to 100 dB
WORST = -100.0  # dB


def sdr(estimate: torch.Tensor, reference: torch.Tensor) -> float:
    r"""
    Signal-to-distortion ratio. All differences from the reference, including its level, are distortion.

    Args:
        estimate (`torch.Tensor` of shape `(..., samples)`): the separated stem.
        reference (`torch.Tensor` of the same shape): the reference stem.

    Returns:
        `float`: dB, at most 100; NaN if the reference is silent.
    """
    estimate, reference = estimate.double(), reference.double()
    return _ratio(reference.square().sum(), (estimate - reference).square().sum())


def si_sdr(estimate: torch.Tensor, reference: torch.Tensor) -> float:
    r"""
    Scale-invariant signal-to-distortion ratio (Le Roux et al., 2019). Any part that is not a multiple of the reference
    is distortion.

    Args:
        estimate (`torch.Tensor` of shape `(..., samples)`): the separated stem.
        reference (`torch.Tensor` of the same shape): the reference stem.

    Returns:
        `float`: dB, in [-100, 100]; NaN if the reference is silent.
    """
    estimate, reference = estimate.double(), reference.double()
    power = reference.square().sum()
    if power == 0:
        return float("nan")
    target = (estimate * reference).sum() / power * reference
    if not target.any():
        return WORST
    return max(WORST, _ratio(target.square().sum(), (estimate - target).square().sum()))


def suppression(estimate: torch.Tensor, mix: torch.Tensor) -> float:
    r"""
    Attenuation of a mix that does not contain the stem.

    Args:
        estimate (`torch.Tensor` of shape `(..., samples)`): the separated stem.
        mix (`torch.Tensor` of the same shape): the mix.

    Returns:
        `float`: dB, at most 100; NaN if the mix is silent.
    """
    return _ratio(mix.double().square().sum(), estimate.double().square().sum())


def _ratio(power: torch.Tensor, distortion: torch.Tensor) -> float:
    if power == 0:
        return float("nan")
    return float(10 * torch.log10(power / (distortion + FLOOR * power)))
