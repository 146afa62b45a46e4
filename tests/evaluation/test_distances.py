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


import numpy as np
import pytest

from diffusers_jasco.evaluation.metrics.distances import frechet_distance, kernel_distance, sound_distance


def draw(size, dim=4, shift=0.0, seed=0):
    return shift + np.random.default_rng(seed).standard_normal((size, dim))


def test_the_kernel_distance_matches_its_formula():
    """Three one-dimensional clips per set; all six together have mean 0 and deviation 1."""
    x, y = np.array([-2.0, 0.0, 0.0]), np.array([0.0, 1.0, 1.0])

    def kernel(a, b):
        return (a * b + 1) ** 3

    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    expected = np.mean([kernel(x[i], x[j]) + kernel(y[i], y[j]) - 2 * kernel(x[i], y[j]) for i, j in pairs])
    value, low, high = kernel_distance(x[:, None], y[:, None])
    assert value == pytest.approx(expected) == pytest.approx(11 / 3) and low < value < high


def test_the_kernel_distance_is_unbiased_and_grows_with_the_difference():
    same = [kernel_distance(draw(12, seed=seed), draw(12, seed=100 + seed))[0] for seed in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(200)
    near, far = (kernel_distance(draw(200, shift=shift), draw(200, seed=1)) for shift in (0.5, 1.0))
    assert 0 < near[1] < near[2] < far[0]


def test_the_kernel_distance_does_not_depend_on_units():
    x, y, scale = draw(20, shift=0.5), draw(20, seed=1), np.array([1.0, 1e3, 1e-3, 5.0])
    assert kernel_distance(x * scale, y * scale) == pytest.approx(kernel_distance(x, y))


def test_the_frechet_distance_of_known_distributions():
    x = draw(500)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(x + np.array([3.0, 4.0, 0, 0]), x) == pytest.approx(25)
    # N(0, 4) and N(0, 1): (2 - 1)^2.
    normal = (x[:, :1] - x[:, 0].mean()) / x[:, 0].std(ddof=1)
    assert frechet_distance(2 * normal, normal) == pytest.approx(1)


def test_the_frechet_distance_needs_many_clips():
    few = sound_distance(draw(50), draw(50, seed=1))
    assert few["frechet_distance"] is None and few["low"] < few["kernel_distance"] < few["high"]
    assert few["num_clips"] == 50 and few["dim"] == 4
    assert sound_distance(draw(1000), draw(1000, seed=1))["frechet_distance"] == pytest.approx(0, abs=0.1)
    assert sound_distance(draw(2), draw(2))["kernel_distance"] is None
    with pytest.raises(ValueError, match="at least 3"):
        kernel_distance(draw(2), draw(2))
