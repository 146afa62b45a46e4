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

"""The objective of the tempo model."""

import math
from collections.abc import Mapping
from typing import Any

import torch


TOLERANCE = 1.04  # largest ratio of an estimated tempo and a clip's that counts as correct


def tempo_cells(tempo: torch.Tensor, beats_per_bar: torch.Tensor, config: Mapping[str, Any]) -> torch.Tensor:
    r"""
    Returns the cells of a tempo model's distribution that fit clips: one cell where the tempo and the beats per bar
    are known, a row or a column where one of them is, and all cells where neither is, or the model lacks them.

    Args:
        tempo (`torch.Tensor` of shape `(batch,)`): beats per minute; 0: unknown.
        beats_per_bar (`torch.Tensor` of shape `(batch,)`): beats per bar; 0: unknown.
        config (`Mapping`): configuration of the [`JascoTempoModel`].

    Returns:
        `torch.Tensor` of shape `(batch, meters, tempos)`: boolean.
    """
    centers = torch.tensor(config["tempos"], dtype=torch.float64).log()
    distances = (tempo.double().clamp(min=1e-9).log()[:, None] - centers).abs()
    nearest = distances.min(dim=1, keepdim=True)
    is_known = nearest.values <= math.log(TOLERANCE)
    fits_tempo = (torch.arange(len(centers)) == nearest.indices) | ~is_known
    fits_meter = beats_per_bar[:, None] == torch.tensor(config["beats_per_bar"])
    fits_meter |= ~fits_meter.any(dim=1, keepdim=True)
    return fits_meter[:, :, None] & fits_tempo[:, None]


def tempo_errors(logits: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    r"""
    Returns the negative log-likelihood of each clip's cells, in nats; 0 where nothing is known.

    Args:
        logits (`torch.Tensor` of shape `(batch, meters, tempos)`): output of a [`JascoTempoModel`].
        cells (`torch.Tensor` of the same shape): [`tempo_cells`].
    """
    logits = logits.flatten(1).float()
    fitting = logits.masked_fill(~cells.flatten(1), -math.inf)
    return logits.logsumexp(dim=1) - fitting.logsumexp(dim=1)


def is_tempo_correct(logits: torch.Tensor, tempo: torch.Tensor, config: Mapping[str, Any]) -> torch.Tensor:
    r"""
    Whether the most likely tempo of each clip is within 4% of its tempo.

    Args:
        logits (`torch.Tensor` of shape `(batch, meters, tempos)`): output of the model.
        tempo (`torch.Tensor` of shape `(batch,)`): beats per minute, above 0.
        config (`Mapping`): configuration of the [`JascoTempoModel`].
    """
    centers = torch.tensor(config["tempos"], device=logits.device)
    estimates = centers[logits.float().logsumexp(dim=1).argmax(dim=1)]
    return (estimates / tempo).log().abs() <= math.log(TOLERANCE) + 1e-6
