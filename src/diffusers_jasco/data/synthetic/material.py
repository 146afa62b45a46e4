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


"""Musical material and its splits: no progression, groove or phrase of one split is used in another."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def split_of(material: object) -> str:
    """The split that may use a progression, groove or phrase: 80% train, 10% validation, 10% test."""
    digest = hashlib.blake2b(repr(material).encode(), digest_size=4).digest()
    share = int.from_bytes(digest, "big") % 10
    return "train" if share < 8 else "validation" if share == 8 else "test"


def draw_for(split: str, draw: Callable[[], Any]) -> Any:
    """Draws material until it belongs to the split."""
    while True:
        material = draw()
        if split_of(material) == split:
            return material


def choose(rng: np.random.Generator, options: Sequence, weights: Sequence[float] | np.ndarray | None = None) -> Any:
    """Like `rng.choice`, for options that NumPy would convert to arrays."""
    if weights is None:
        return options[int(rng.integers(len(options)))]
    edges = np.cumsum(weights)
    return options[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]
