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

"""Agreement of an estimated tempo with a reference tempo."""

import math


TOLERANCE = 0.04  # relative
METRICAL_LEVELS = (1, 2, 3, 1 / 2, 1 / 3)  # factors of the reference tempo that `acc2` accepts


def score_tempo(estimate: float | None, reference: float | None) -> dict[str, float]:
    r"""
    Args:
        estimate (`float` or `None`): the estimated tempo in BPM; `None` if no beat was found.
        reference (`float` or `None`): the reference tempo in BPM; `None` for music without a beat.

    Returns:
        `dict[str, float]`: 1 or 0, so that means over recordings are accuracies (Gouyon et al., 2006): `"acc1"`,
        whether the estimate is within 4% of the reference; `"acc2"`, whether it is within 4% of 1, 2, 3, 1/2 or 1/3
        times the reference, which allows for another metrical level. NaN without a reference.
    """
    if not _is_tempo(reference):
        return {"acc1": math.nan, "acc2": math.nan}
    if not _is_tempo(estimate):
        return {"acc1": 0.0, "acc2": 0.0}
    # The margin is for rounding: 104 BPM is within 4% of 100.
    matches = [abs(estimate / (level * reference) - 1) <= TOLERANCE + 1e-9 for level in METRICAL_LEVELS]
    return {"acc1": float(matches[0]), "acc2": float(any(matches))}


def _is_tempo(tempo: float | None) -> bool:
    return tempo is not None and math.isfinite(tempo) and tempo > 0
