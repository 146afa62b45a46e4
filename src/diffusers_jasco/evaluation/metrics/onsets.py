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

"""Agreement of estimated onsets with reference onsets."""

import math
from collections.abc import Sequence

import numpy as np

from ...utils.optional_imports import import_optional


# Seconds: the default of mir_eval, and a wider tolerance for music with blurred onsets.
TOLERANCES = {"onset_f1": 0.05, "onset_f1_70ms": 0.07}
MIN_DISTANCE = 0.03  # seconds; closer reference onsets are merged


def score_onsets(estimate: Sequence[float], reference: Sequence[float]) -> dict[str, float]:
    r"""
    Args:
        estimate (`Sequence[float]`): estimated onsets in seconds.
        reference (`Sequence[float]`): reference onsets in seconds, merged as in [`merge_onsets`].

    Returns:
        `dict[str, float]`: F1 of onsets matched one-to-one, by mir_eval (`onset.f_measure`, as in MIREX's onset
        detection): `"onset_f1"` within 50 ms, `"onset_f1_70ms"` within 70 ms. NaN if there are no reference onsets.

    Raises:
        `ImportError`: without the package mir_eval.
    """
    if len(reference) == 0:
        return dict.fromkeys(TOLERANCES, math.nan)
    if len(estimate) == 0:
        return dict.fromkeys(TOLERANCES, 0.0)
    measure = import_optional("mir_eval.onset", "eval").f_measure
    onsets, estimates = merge_onsets(reference), np.asarray(estimate)
    return {metric: float(measure(onsets, estimates, window=window)[0]) for metric, window in TOLERANCES.items()}


def merge_onsets(onsets: Sequence[float]) -> np.ndarray:
    """Sorted onsets, without those less than 30 ms after the previous one."""
    kept = []
    for onset in sorted(onsets):
        if not kept or onset - kept[-1] >= MIN_DISTANCE:
            kept.append(onset)
    return np.array(kept)
