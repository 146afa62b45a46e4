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

"""Grids of sigmas."""

import numpy as np

from ..utils.numbers import to_float
from .steps import check_steps


def power_sigmas(steps: int, power: float = 1.0, end_power: float = 1.0) -> tuple[float, ...]:
    r"""
    A grid whose steps are shorter near noise and near data: step `i` of `n` starts at the flow time
    `1 - (1 - (i / n) ** power) ** end_power`.

    Args:
        steps (`int`): number of steps.
        power (`float`, defaults to `1.0`): above 1, steps are shorter near noise.
        end_power (`float`, defaults to `1.0`): above 1, steps are shorter near data.

    Returns:
        `tuple[float, ...]`: the sigma, 1 − time, at which each step starts, from 1 on.

    Raises:
        [`~inputs.InputError`]: if an argument is not positive.
    """
    steps = check_steps(steps)
    power, end_power = to_float(power, "power", above=0.0), to_float(end_power, "end_power", above=0.0)
    shares = np.arange(steps) / steps
    return tuple(((1 - shares**power) ** end_power).tolist())
