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
# With fewer reference beats, the variants at half tempo have no interval.
MIN_CONTINUITY_BEATS = 4


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


def score_continuity(estimate: Sequence[float], reference: Sequence[float]) -> dict[str, float]:
    r"""
    Continuity of beats, which drops where the tempo drifts away from the reference: a beat counts only if it and the
    interval before it deviate from the reference by less than 17.5% of a beat.

    Args:
        estimate (`Sequence[float]`): estimated beats in seconds.
        reference (`Sequence[float]`): reference beats in seconds.

    Returns:
        `dict[str, float]`: shares of the beats in [0, 1], by mir_eval (`beat.continuity`; Hainsworth, 2004; Klapuri et
        al., 2006), including the first five seconds: `"cmlt"` at the metrical level of the reference, `"amlt"` also at
        half and double tempo and on the off-beat. A constant deviation of the tempo by 1% gives less than 0.5 within a
        minute; beats that have slipped by a whole beat count again. NaN with fewer than four reference beats.

    Raises:
        `ImportError`: without the package mir_eval.
    """
    if len(reference) < MIN_CONTINUITY_BEATS:
        return {"cmlt": math.nan, "amlt": math.nan}
    # mir_eval warns about missing beats.
    if len(estimate) < 2:
        return {"cmlt": 0.0, "amlt": 0.0}
    measure = import_optional("mir_eval.beat", "eval").continuity
    _, cmlt, _, amlt = measure(np.asarray(reference), np.asarray(estimate))
    return {"cmlt": float(cmlt), "amlt": float(amlt)}
