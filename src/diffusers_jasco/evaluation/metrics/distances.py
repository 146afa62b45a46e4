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

"""How far one set of clips is from another, by vectors that stand for their sound."""

import math
from typing import Any

import numpy as np

from .sample_sizes import MIN_CLIPS, MIN_FRECHET_CLIPS


Z = 1.96  # standard deviations on either side of a 95 % interval


def kernel_distance(vectors: np.ndarray, references: np.ndarray) -> tuple[float, float, float]:
    r"""
    The squared maximum mean discrepancy with the kernel `(x · y / dim + 1)³`, without bias (Gretton et al., 2012; as the
    "kernel inception distance" of Bińkowski et al., 2018): 0 on average for sets from the same source, and, by chance,
    negative. Vectors are first scaled with the mean and deviation of both sets together, so that no dimension's unit matters
    (with those of one set there would be a bias).

    Args:
        vectors (`np.ndarray` of shape `(clips, dim)`): of one set.
        references (`np.ndarray` of shape `(clips, dim)`): of the other, of which clip `i` belongs to clip `i` of the first.

    Returns:
        `tuple[float, float, float]`: the distance and its 95 % interval, by the jackknife over clips. (For equal sources the
        distance has no normal distribution, and the interval is only roughly right.)

    Raises:
        `ValueError`: for less than 3 clips, and for sets of different shapes.
    """
    vectors, references = _scale(vectors, references)
    size, dim = vectors.shape
    kernels = [(one @ other.T / dim + 1) ** 3 for one, other in ((vectors, vectors), (references, references))]
    cross = (vectors @ references.T / dim + 1) ** 3
    # All pairs of different clips: with clip i of both sets left out, a clip is not compared with itself in any.
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
    The Fréchet distance of two normal distributions with the sets' means and covariances (Kilgour et al., 2019: "Fréchet
    audio distance"). Its bias is large in small sets: see `MIN_FRECHET_CLIPS`.

    Args:
        vectors (`np.ndarray` of shape `(clips, dim)`): of one set.
        references (`np.ndarray` of shape `(clips, dim)`): of the other.
    """
    means = [values.mean(axis=0) for values in (vectors, references)]
    covariances = [np.atleast_2d(np.cov(values, rowvar=False)) for values in (vectors, references)]
    # The trace of the root of a product: its eigenvalues are real and none is negative, but for rounding.
    eigenvalues = np.linalg.eigvals(covariances[0] @ covariances[1])
    root = np.sqrt(np.maximum(eigenvalues.real, 0)).sum()
    return float(np.square(means[0] - means[1]).sum() + np.trace(covariances[0] + covariances[1]) - 2 * root)


def sound_distance(vectors: np.ndarray, references: np.ndarray, min_clips: int = MIN_CLIPS) -> dict[str, Any]:
    r"""
    What a set of this size allows to say.

    Args:
        vectors (`np.ndarray` of shape `(clips, dim)`): of the music.
        references (`np.ndarray` of shape `(clips, dim)`): of the originals, clip by clip.
        min_clips (`int`, defaults to `20`): clips that the kernel distance needs, at least 3.

    Returns:
        `dict`: `num_clips`, `dim`; `kernel_distance` with `low` and `high`, from `min_clips` on; `frechet_distance`, from
        1,000 clips on; both `None` below.
    """
    size, dim = vectors.shape
    kernel = kernel_distance(vectors, references) if size >= max(min_clips, 3) else (None, None, None)
    frechet = frechet_distance(vectors, references) if size >= MIN_FRECHET_CLIPS else None
    names = ("kernel_distance", "low", "high")
    return {"num_clips": size, "dim": dim, **dict(zip(names, kernel)), "frechet_distance": frechet}


def _scale(vectors: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if vectors.shape != references.shape or vectors.ndim != 2 or len(vectors) < 3:
        raise ValueError(
            f"Two sets of shape (clips, dim) with at least 3 clips are needed, not {vectors.shape} and {references.shape}."
        )
    both = np.concatenate([vectors, references]).astype(np.float64)
    mean, deviation = both.mean(axis=0), both.std(axis=0)
    # What is the same in all has no scale.
    deviation = np.where(deviation > 1e-6 * (1 + np.abs(mean)), deviation, 1)
    return (vectors - mean) / deviation, (references - mean) / deviation
