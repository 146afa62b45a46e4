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

"""Diversity of several takes of the same piece."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ..estimators.embeddings import Embedding
from ..estimators.spectra import load_mono
from .harmony import treble_chroma


def measure_diversity(takes: Sequence[Any], embedding: Embedding, scale: np.ndarray) -> dict[str, float]:
    r"""
    Args:
        takes (`Sequence`): at least 2 clips of equal length, each as [`~evaluation.estimators.spectra.load_mono`] takes
            it.
        embedding (`Embedding`): embedding of the sound.
        scale (`np.ndarray` of shape `(dim,)`): units of the embedding's dimensions, such as their standard deviation
            over other clips.

    Returns:
        `dict[str, float]`: means over all pairs of takes:

        - `sound`: root mean square difference of the embeddings, in units of `scale`
        - `chroma`: 1 − the cosine of their chroma at the same time, averaged over time; 0 if they play the same
          pitch classes at all times

    Raises:
        `ValueError`: for fewer than 2 takes.
    """
    if len(takes) < 2:
        raise ValueError(f"`takes` has to contain at least 2 clips, but has {len(takes)}.")
    vectors = [embedding(take) / np.maximum(scale, 1e-12) for take in takes]
    chroma = [treble_chroma(load_mono(take)) for take in takes]
    units = [frames / np.maximum(np.linalg.norm(frames, axis=1, keepdims=True), 1e-12) for frames in chroma]
    return {
        "sound": float(np.mean([np.sqrt(np.square(a - b).mean()) for a, b in combinations(vectors, 2)])),
        "chroma": float(np.mean([1 - (a * b).sum(axis=1).mean() for a, b in combinations(units, 2)])),
    }
