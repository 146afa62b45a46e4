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

"""Lookup of names that users type."""

import difflib
import re
from collections.abc import Iterable

from .errors import InputError


def find_name(name: str, names: Iterable[str], kind: str) -> str:
    r"""
    Finds the entry of `names` that matches `name`, ignoring case, hyphens and spaces.

    Args:
        name (`str`): the name that the user typed.
        names (`Iterable[str]`): the available names.
        kind (`str`): singular noun for the named things, for the error message.

    Raises:
        [`InputError`]: if the name is unknown. The message suggests the most similar name and lists all names.
    """
    known = {_simplify(known_name): known_name for known_name in names}
    query = _simplify(str(name))
    if query in known:
        return known[query]
    similar = [key for key in known if query and query in key.split()] or difflib.get_close_matches(query, known, n=1)
    hint = f" Did you mean {known[similar[0]]!r}?" if similar else ""
    raise InputError(f"`name`: unknown {kind} {name!r}.{hint} All {kind}s: {', '.join(known.values())}.", "name")


def _simplify(name: str) -> str:
    return " ".join(re.findall(r"\w+", name.lower().replace("_", " ")))
