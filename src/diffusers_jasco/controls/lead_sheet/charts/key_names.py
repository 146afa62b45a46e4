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

"""Names of keys in charts."""

import re

from ....utils.errors import InputError
from ..keys import parse_tonality


_GERMAN = re.compile(r"(?i)([a-h](?:is|es|s|#|b)?)[\s-]*(dur|moll)?")


def read_key(text: str) -> str | None:
    r"""
    Reads a key.

    Args:
        text (`str`): the key, such as `"G"`, `"Gm"`, `"ADor"`, `"F# minor"`, `"D-"` (iReal Pro) or `"fis-moll"`.

    Returns:
        `str` such as `"A dorian"`, or `None` if the text is not a key.
    """
    text = re.split(r"[,;(/\[]", text.strip().replace("♯", "#").replace("♭", "b"))[0].strip()
    text = re.sub(r"(?i)\s*\b(key|tonart)\b\s*", "", text)
    if match := re.fullmatch(r"([A-Ga-g][#b]?)-", text):
        text = match[1] + "m"
    key = _normalize(text)
    if key is None and (match := _GERMAN.fullmatch(text)):
        letter, sign = match[1][0].upper(), match[1][1:].lower()
        sign = {"is": "#", "es": "b", "s": "b"}.get(sign, sign)
        letter = "B" if letter == "H" else letter
        is_minor = (match[2] or "").lower() == "moll" or (not match[2] and match[1][0].islower())
        key = _normalize(f"{letter}{sign} {'minor' if is_minor else 'major'}")
    return key


def _normalize(text: str) -> str | None:
    try:
        parse_tonality(text)
    except InputError:
        return None
    match = re.match(r"([A-Ga-g])([#b]?)", text)
    return None if match is None else f"{match[1].upper()}{match[2]} {parse_tonality(text)[1]}"
