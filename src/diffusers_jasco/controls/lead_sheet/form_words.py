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

"""Words and numbers of jumps and endings in text formats."""

import re


def jump_name(sign: str, target: str | None = None) -> str:
    r"""
    The name of a jump, as in [`Bar`].

    Args:
        sign (`str`): `"D.C."`, `"da capo"`, `"D.S."` or `"dal segno"` in any spelling.
        target (`str`, *optional*): `"fine"` or `"coda"`.

    Returns:
        `str` such as `"D.C. al Fine"`.
    """
    plain = re.sub(r"[\s.]", "", sign).lower()
    start = "D.S." if plain in ("ds", "dalsegno") else "D.C."
    return f"{start} al {target.capitalize()}" if target else start


def parse_ending_numbers(text: str) -> tuple[int, ...]:
    r"""
    Parses the numbers of an ending.

    Args:
        text (`str`): numbers of up to two digits, such as `"1"`, `"1,3-4"` or `"1st ending"`.

    Returns:
        `tuple[int, ...]`: the numbers from 1 on in ascending order; empty if there are none.
    """
    if match := re.match(r"(\d{1,2})(st|nd|rd|th)", text):
        return (int(match[1]),)
    numbers: set[int] = set()
    for first, last in re.findall(r"(\d{1,2})\.?(?:\s*[-–]\s*(\d{1,2}))?", text):
        numbers.update(range(max(int(first), 1), int(last or first) + 1))
    return tuple(sorted(numbers))
