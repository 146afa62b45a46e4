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

"""Agreement of estimated beats with reference beats."""

import math
from collections.abc import Sequence

import numpy as np

from ...utils.optional_imports import import_optional


TOLERANCE = 0.07  # seconds, the default of mir_eval


def score_beats(estimate: Sequence[float], reference: Sequence[float]) -> dict[str, float]:
    r"""
    Args:
        estimate (`Sequence[float]`): estimated beats in seconds.
        reference (`Sequence[float]`): reference beats in seconds.

    Returns:
        `dict[str, float]`: `"beat_f1"`, F1 of beats that match within 70 ms, by mir_eval (`beat.f_measure`; Dixon,
        2007), including the first five seconds. Half or double tempo scores about 2/3. NaN with fewer than two
        reference beats.

    Raises:
        `ImportError`: without the package mir_eval.
    """
    if len(reference) < 2:
        return {"beat_f1": math.nan}
    if len(estimate) == 0:
        return {"beat_f1": 0.0}
    measure = import_optional("mir_eval.beat", "eval").f_measure
    return {"beat_f1": float(measure(np.asarray(reference), np.asarray(estimate), f_measure_threshold=TOLERANCE))}
