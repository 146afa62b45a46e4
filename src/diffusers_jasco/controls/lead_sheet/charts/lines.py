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

"""Lines of charts."""

import re

from ....utils.errors import InputError


_MAX_LINES = 100_000
_MAX_LENGTH = 10_000
_TAB_LINE = re.compile(r"(?:[A-Ga-g][#b]?)?\s*[|:]?[-–]([-–0-9hpxbrst/\\~()^ |:*.]*)")
_HYPHENS = re.compile(r"[-–]{3}")


def split_lines(text: str, name: str) -> list[str]:
    r"""
    Splits a text into lines.

    Args:
        text (`str`): the text.
        name (`str`): the source, for error messages.

    Raises:
        [`InputError`]: if there are more than 100,000 lines, or one has more than 10,000 characters.
    """
    lines = re.split(r"\r\n|\r|\n", text)
    if len(lines) > _MAX_LINES:
        raise InputError(f"`source`: {name} has more than {_MAX_LINES:,} lines, which is the limit.", "source")
    for number, line in enumerate(lines, start=1):
        if len(line) > _MAX_LENGTH:
            raise InputError(
                f"`source`: {name}, line {number}: the line has {len(line):,} characters; the limit is"
                f" {_MAX_LENGTH:,}.",
                "source",
            )
    return lines


def is_tab_line(line: str) -> bool:
    """Whether a line is one string of a tablature, such as `e|--0--2---|`."""
    match = _TAB_LINE.fullmatch(line.strip())
    return match is not None and _HYPHENS.search(match[1]) is not None
