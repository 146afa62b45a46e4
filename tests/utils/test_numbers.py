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

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from diffusers_jasco.utils.errors import InputError
from diffusers_jasco.utils.numbers import to_float, to_integer


@pytest.mark.parametrize(
    "value",
    [
        3,
        3.0,
        Fraction(3),
        Decimal(3),
        np.int64(3),
        np.float16(3),
        np.uint8(3),
        np.array([3.0]),
        np.array(3),
        torch.tensor(3),
        torch.tensor([[3.0]], dtype=torch.bfloat16),
    ],
)
def test_numbers_of_any_numeric_type(value):
    assert to_float(value, "bpm") == 3.0 and type(to_float(value, "bpm")) is float
    assert to_integer(value, "bars") == 3 and type(to_integer(value, "bars")) is int


@pytest.mark.parametrize(
    "value",
    [
        "3",
        True,
        np.bool_(True),
        torch.tensor(True),
        None,
        math.nan,
        math.inf,
        1j,
        np.array([1.0, 2.0]),
        np.array([]),
        torch.ones(2),
        10**400,
        np.timedelta64(3, "s"),
    ],
)
def test_other_values_are_rejected(value):
    with pytest.raises(InputError, match="`bpm` has to be a number above 0, but is") as caught:
        to_float(value, "bpm", above=0)
    assert caught.value.argument == "bpm"
    with pytest.raises(InputError, match="`bars` has to be a whole number from 1 to 64, but is"):
        to_integer(value, "bars", 1, 64)


def test_ranges():
    assert to_float(0, "x", minimum=0, maximum=1) == 0
    with pytest.raises(InputError, match="has to be a number from 0 to 1, but is -0.5"):
        to_float(-0.5, "x", minimum=0, maximum=1)
    with pytest.raises(InputError, match="a number of seconds above 0 and at most 30, but is 0"):
        to_float(0, "x", above=0, maximum=30, unit="seconds")
    with pytest.raises(InputError, match="a whole number, at least 1, but is 2.5"):
        to_integer(2.5, "x", minimum=1)
