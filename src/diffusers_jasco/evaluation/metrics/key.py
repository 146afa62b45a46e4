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

"""Agreement of an estimated key with a reference key."""

import math

from ...utils.optional_imports import import_optional


def score_key(estimate: str | None, reference: str | None) -> dict[str, float]:
    r"""
    Args:
        estimate (`str` or `None`): the estimated key, such as `"C major"` or `"Eb minor"`; `None` if none was found.
        reference (`str` or `None`): the reference key; `None` for music without a key.

    Returns:
        `dict[str, float]`: `"key"`, the weighted score of MIREX by mir_eval (`key.weighted_score`): 1 for the same
        key, 0.5 for the key a fifth above the reference, 0.3 for its relative and 0.2 for its parallel key, 0 for
        other keys and no key. NaN without a reference.

    Raises:
        `ImportError`: without the package mir_eval.
        `ValueError`: if a key is not a pitch class with "major" or "minor".
    """
    if reference is None:
        return {"key": math.nan}
    if estimate is None:
        return {"key": 0.0}
    return {"key": float(import_optional("mir_eval.key", "eval").weighted_score(reference, estimate))}
