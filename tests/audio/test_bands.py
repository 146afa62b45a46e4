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

from diffusers_jasco.audio.bands import LogBands


@pytest.mark.parametrize("rate, per_octave, count", [(32000, 8, 70), (22050, 12, 96)])
def test_a_sine_is_in_its_band(rate, per_octave, count):
    bands = LogBands(rate, 1280, 40.0, per_octave, count)
    for band in (count // 2, count - 1):
        frequency = 40 * 2 ** (band / per_octave)
        magnitudes = bands.magnitudes(np.sin(2 * np.pi * frequency * np.arange(1280) / rate)[None])
        assert magnitudes.shape == (1, count) and magnitudes.dtype == np.float32
        assert magnitudes.argmax() == band and magnitudes.max() < 320


def test_bands_narrower_than_a_bin_have_weights():
    bands = LogBands(32000, 1280, 40.0, 8, 70)
    assert np.allclose(bands.weights.sum(axis=0), 1)
