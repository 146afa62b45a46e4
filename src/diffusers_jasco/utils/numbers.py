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

"""Numbers of any numeric type, as users have them: Python's, NumPy's and PyTorch's."""

import math
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import torch

from .errors import InputError, shorten


def is_number(value: Any) -> bool:
    """
    Whether `value` is one real number of any numeric type: Python's (also `Fraction` and `Decimal`), a NumPy scalar, or an
    array or tensor with one element, as librosa returns a tempo. Truth values, texts and complex numbers are not.
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
    A finite number of any numeric type (see [`is_number`]) as a `float`.

    Args:
        value: what the user gave.
        argument (`str`): name of the argument, for the message.
        minimum (`float`, *optional*): smallest number allowed.
        maximum (`float`, *optional*): largest number allowed.
        above (`float`, *optional*): the number has to be larger than this.
        unit (`str`, *optional*): unit of the number for the message, such as `"seconds"`.

    Raises:
        [`InputError`]: for anything else, with the range that is allowed.
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
    A whole number of any numeric type (see [`is_number`]; also `4.0`) as an `int`.

    Args:
        value: what the user gave.
        argument (`str`): name of the argument, for the message.
        minimum (`int`, *optional*): smallest number allowed.
        maximum (`int`, *optional*): largest number allowed.

    Raises:
        [`InputError`]: for anything else, with the range that is allowed.
    """
    least = -math.inf if minimum is None else minimum
    most = math.inf if maximum is None else maximum
    scalar = _scalar(value) if is_number(value) else None
    try:
        number = None if scalar is None else int(scalar)
    except (OverflowError, ValueError):  # Infinity, or not a number.
        number = None
    if number is None or number != scalar or not least <= number <= most:
        raise InputError(
            f"`{argument}` has to be {_describe('a whole number', least, most)}, but is {shorten(value)}.", argument
        )
    return number


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, (np.ndarray, np.generic, torch.Tensor)) else value


def _describe(kind: str, minimum: float, maximum: float, above: float = -math.inf, unit: str = "") -> str:
    words = f"{kind} of {unit}" if unit else kind
    if above > -math.inf:
        return f"{words} above {_format(above)}" + (f" and at most {_format(maximum)}" if maximum < math.inf else "")
    if minimum > -math.inf and maximum < math.inf:
        return f"{words} from {_format(minimum)} to {_format(maximum)}"
    if minimum > -math.inf:
        return f"{words}, at least {_format(minimum)}"
    if maximum < math.inf:
        return f"{words}, at most {_format(maximum)}"
    return words


def _format(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"
