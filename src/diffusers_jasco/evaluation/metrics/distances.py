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

"""Distances between two sets of clips, from embeddings of their sound."""

import math
from typing import Any

import numpy as np

from .sample_sizes import MIN_CLIPS, MIN_FRECHET_CLIPS


Z = 1.96  # half-width of a 95% interval in standard deviations


def kernel_distance(vectors: np.ndarray, references: np.ndarray) -> tuple[float, float, float]:
    r"""
    Unbiased squared maximum mean discrepancy with the kernel `(x · y / dim + 1)³` (Gretton et al., 2012; used as
    "kernel inception distance" by Bińkowski et al., 2018): 0 on average for sets from the same source, so it can be
    negative. Vectors are standardized with the mean and deviation of both sets together, so the units of dimensions do
    not matter (standardizing with one set would introduce a bias).

    Args:
        vectors (`np.ndarray` of shape `(clips, dim)`): embeddings of one set.
        references (`np.ndarray` of shape `(clips, dim)`): embeddings of the other; clip `i` corresponds to clip `i` of
            the first.

    Returns:
        `tuple[float, float, float]`: the distance and its 95% confidence interval, by the jackknife over clips. (For
        sets from the same source the distance is not normally distributed, so the interval is only approximate.)

    Raises:
        `ValueError`: for fewer than 3 clips, and for sets of different shapes.
    """
    vectors, references = _standardize(vectors, references)
    size, dim = vectors.shape
    kernels = [(values @ values.T / dim + 1) ** 3 for values in (vectors, references)]
    cross = (vectors @ references.T / dim + 1) ** 3
    # Exclude pairs of corresponding clips everywhere, so that the jackknife can drop clip i from both sets.
    for kernel in (*kernels, cross):
        np.fill_diagonal(kernel, 0)
    pairs = kernels[0] + kernels[1] - cross - cross.T
    total, of_clip = pairs.sum(), pairs.sum(axis=1)
    value = total / (size * (size - 1))
    without = (total - 2 * of_clip) / ((size - 1) * (size - 2))
    deviation = math.sqrt((size - 1) / size * np.square(without - without.mean()).sum())
    return float(value), float(value - Z * deviation), float(value + Z * deviation)


def frechet_distance(vectors: np.ndarray, references: np.ndarray) -> float:
    r"""
    The Fréchet distance of two normal distributions with the sets' means and covariances (Kilgour et al., 2019:
    "Fréchet audio distance"). It has a large bias for small sets: see `MIN_FRECHET_CLIPS`.

    Args:
        vectors (`np.ndarray` of shape `(clips, dim)`): embeddings of one set.
        references (`np.ndarray` of shape `(clips, dim)`): embeddings of the other.
    """
    means = [values.mean(axis=0) for values in (vectors, references)]
    covariances = [np.atleast_2d(np.cov(values, rowvar=False)) for values in (vectors, references)]
    # The product's eigenvalues are real and non-negative up to rounding; the trace of its root is the sum of theirs.
    eigenvalues = np.linalg.eigvals(covariances[0] @ covariances[1])
    root = np.sqrt(np.maximum(eigenvalues.real, 0)).sum()
    return float(np.square(means[0] - means[1]).sum() + np.trace(covariances[0] + covariances[1]) - 2 * root)


def sound_distance(vectors: np.ndarray, references: np.ndarray, min_clips: int = MIN_CLIPS) -> dict[str, Any]:
    r"""
    The distances that are meaningful for the number of clips.

    Args:
        vectors (`np.ndarray` of shape `(clips, dim)`): embeddings of the music.
        references (`np.ndarray` of shape `(clips, dim)`): embeddings of the corresponding reference clips.
        min_clips (`int`, defaults to `20`): minimum number of clips for the kernel distance, at least 3.

    Returns:
        `dict`: `num_clips`, `dim`; `kernel_distance` with `low` and `high`, or `None` for fewer than `min_clips`
        clips; `frechet_distance`, or `None` for fewer than 1,000 clips.
    """
    size, dim = vectors.shape
    kernel = kernel_distance(vectors, references) if size >= max(min_clips, 3) else (None, None, None)
    frechet = frechet_distance(vectors, references) if size >= MIN_FRECHET_CLIPS else None
    names = ("kernel_distance", "low", "high")
    return {"num_clips": size, "dim": dim, **dict(zip(names, kernel)), "frechet_distance": frechet}


def _standardize(vectors: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if vectors.shape != references.shape or vectors.ndim != 2 or len(vectors) < 3:
        raise ValueError(
            "`vectors` and `references` have to have the same shape (clips, dim) with at least 3 clips, but got "
            f"{vectors.shape} and {references.shape}."
        )
    both = np.concatenate([vectors, references]).astype(np.float64)
    mean, deviation = both.mean(axis=0), both.std(axis=0)
    # Constant features have no scale.
    deviation = np.where(deviation > 1e-6 * (1 + np.abs(mean)), deviation, 1)
    return (vectors - mean) / deviation, (references - mean) / deviation
