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


TOLERANCE = 0.07  # seconds: mir_eval's


def score_beats(estimate: Sequence[float], beats: Sequence[float]) -> dict[str, float]:
    r"""
    Args:
        estimate (`Sequence[float]`): beats in seconds that were heard.
        beats (`Sequence[float]`): beats that were asked for.

    Returns:
        `dict[str, float]`: `"beat_f1"`, F1 of the beats that meet within 70 ms, by mir_eval (`beat.f_measure`; Dixon, 2007),
        which here counts the first five seconds too. Half or twice the tempo costs a third. NaN with fewer than two beats.

    Raises:
        `ImportError`: without the package mir_eval.
    """
    if len(beats) < 2:
        return {"beat_f1": math.nan}
    if len(estimate) == 0:
        return {"beat_f1": 0.0}
    measure = import_optional("mir_eval.beat", "eval").f_measure
    return {"beat_f1": float(measure(np.asarray(beats), np.asarray(estimate), f_measure_threshold=TOLERANCE))}
