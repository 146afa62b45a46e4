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

"""Choosing one of several things by a name that a user typed."""

import difflib
import re
from collections.abc import Iterable

from .errors import InputError


def find_name(name: str, names: Iterable[str], kind: str) -> str:
    r"""
    The name out of `names` that the user means: capitals, hyphens and spaces do not matter.

    Args:
        name (`str`): what the user typed.
        names (`Iterable[str]`): the names that exist.
        kind (`str`): what they name, in the singular, for the message.

    Raises:
        [`InputError`]: for an unknown name, with the most similar one and all others.
    """
    known = {_simplify(one): one for one in names}
    wanted = _simplify(str(name))
    if wanted in known:
        return known[wanted]
    similar = [one for one in known if wanted and wanted in one.split()] or difflib.get_close_matches(
        wanted, known, n=1
    )
    hint = f" Did you mean {known[similar[0]]!r}?" if similar else ""
    raise InputError(f"`name`: there is no {kind} {name!r}.{hint} All {kind}s: {', '.join(known.values())}.", "name")


def _simplify(name: str) -> str:
    return " ".join(re.findall(r"\w+", name.lower().replace("_", " ")))
