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

"""Random weights in the layout of the published deep salience file."""

import math
from pathlib import Path

import numpy as np
import pytest

from diffusers_jasco.extraction import deep_salience


def write_deep_salience_weights(path: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    shapes, channels = {}, 6
    for index, (name, kernel, out_channels) in enumerate(deep_salience._CONVOLUTIONS):
        norm = f"batch_normalization_{79 + index}"
        shapes[norm] = {key: (channels,) for key in ("gamma", "beta", "moving_mean", "moving_variance")}
        shapes[name] = {"kernel": (*kernel, channels, out_channels), "bias": (out_channels,)}
        channels = out_channels
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"input_14", *(name.encode() for name in shapes), b"lambda_14"]
        for layer, arrays in shapes.items():
            for name, shape in arrays.items():
                values = rng.standard_normal(shape) / math.sqrt(np.prod(shape[:-1]) if len(shape) > 1 else 4)
                values = np.abs(values) + 0.5 if name in ("gamma", "moving_variance") else values
                file[f"{layer}/{layer}_14/{name}:0"] = values.astype(np.float32)
    return path
