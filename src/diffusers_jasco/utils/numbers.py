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

"""Validation of numbers of any numeric type: Python, NumPy and PyTorch."""

import math
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import torch

from .errors import InputError, shorten


def is_number(value: Any) -> bool:
    """
    Whether `value` is a single real number of any numeric type: a Python number (also `Fraction` and `Decimal`), a
    NumPy scalar, or an array or tensor with one element (librosa returns tempos this way). Booleans, strings and
    complex numbers are not.
    """
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and value.dtype != torch.bool and not value.is_complex()
    if isinstance(value, (np.ndarray, np.generic)):
        return value.size == 1 and value.dtype.kind in "iuf"
    return isinstance(value, (Real, Decimal)) and not isinstance(value, bool)


def to_float(
    value: Any,
    argument: str,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    above: float = -math.inf,
    unit: str = "",
) -> float:
    r"""
    Converts a finite number of any numeric type (see [`is_number`]) to `float`.

    Args:
        value: the user's value.
        argument (`str`): name of the argument for the error message.
        minimum (`float`, *optional*): smallest allowed number.
        maximum (`float`, *optional*): largest allowed number.
        above (`float`, *optional*): exclusive lower bound.
        unit (`str`, *optional*): unit of the number for the error message, such as `"seconds"`.

    Raises:
        [`InputError`]: if the value is not a finite number in the range. The message states the range.
    """
    try:
        number = float(_scalar(value)) if is_number(value) else math.nan
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and minimum <= number <= maximum and number > above):
        raise InputError(
            f"`{argument}` has to be {_describe('a number', minimum, maximum, above, unit)}, but is {shorten(value)}.",
            argument,
        )
    return number


def to_integer(value: Any, argument: str, minimum: int | None = None, maximum: int | None = None) -> int:
    r"""
    Converts a whole number of any numeric type (see [`is_number`]; also `4.0`) to `int`.

    Args:
        value: the user's value.
        argument (`str`): name of the argument for the error message.
        minimum (`int`, *optional*): smallest allowed number.
        maximum (`int`, *optional*): largest allowed number.

    Raises:
        [`InputError`]: if the value is not a whole number in the range. The message states the range.
    """
    lower = -math.inf if minimum is None else minimum
    upper = math.inf if maximum is None else maximum
    scalar = _scalar(value) if is_number(value) else None
    try:
        number = None if scalar is None else int(scalar)
    except (OverflowError, ValueError):  # infinity or NaN
        number = None
    if number is None or number != scalar or not lower <= number <= upper:
        raise InputError(
            f"`{argument}` has to be {_describe('a whole number', lower, upper)}, but is {shorten(value)}.", argument
        )
    return number


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, (np.ndarray, np.generic, torch.Tensor)) else value


def _describe(kind: str, minimum: float, maximum: float, above: float = -math.inf, unit: str = "") -> str:
    text = f"{kind} of {unit}" if unit else kind
    if above > -math.inf:
        return f"{text} above {_format(above)}" + (f" and at most {_format(maximum)}" if maximum < math.inf else "")
    if minimum > -math.inf and maximum < math.inf:
        return f"{text} from {_format(minimum)} to {_format(maximum)}"
    if minimum > -math.inf:
        return f"{text}, at least {_format(minimum)}"
    if maximum < math.inf:
        return f"{text}, at most {_format(maximum)}"
    return text


def _format(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"
