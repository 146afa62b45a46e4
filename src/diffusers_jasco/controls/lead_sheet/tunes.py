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

"""Chooses a tune of a file with several."""

import re
from collections import Counter
from collections.abc import Sequence

from diffusers.utils import logging

from ...utils.errors import InputError, list_names, shorten


logger = logging.get_logger(__name__)


def choose_tune(
    titles: Sequence[Sequence[str]], tune: int | str | None, name: str, numbers: Sequence[str] | None = None
) -> int:
    r"""
    Chooses a tune.

    Args:
        titles (`Sequence` of `Sequence[str]`): the titles of each tune, at least one tune.
        tune (`int` or `str`, *optional*):
            The number in the file if only one tune has it, otherwise the position from 1; or the title or a part of it.
            By default the first tune, with a warning if there are more.
        name (`str`): name of the file.
        numbers (`Sequence[str]`, *optional*): the number of each tune in the file (`X:` of ABC).

    Returns:
        `int`: the index of the tune.

    Raises:
        [`InputError`]: if the tune does not exist; the message lists the tunes.
    """
    positions = [str(position) for position in range(1, len(titles) + 1)]
    indices = dict(zip(positions, range(len(titles))))
    stripped = [number.strip().lstrip("0") for number in numbers or ()]
    counts = Counter(stripped)
    indices |= {number: index for index, number in enumerate(stripped) if number and counts[number] == 1}
    by_index = {index: number for number, index in indices.items()}  # numbers of the file replace positions
    labels = [_describe(by_index.get(index), own) for index, own in enumerate(titles)]
    if tune is None:
        if len(titles) > 1:
            logger.warning(
                f"{name} has {len(titles)} tunes. The first one is read: {labels[0]}. To read another one, set `tune` to"
                f" its number or title: {list_names(labels[1:], 8)}."
            )
        return 0
    wanted = str(tune).strip()
    if (index := indices.get(wanted.lstrip("0"))) is not None:
        return index
    if not isinstance(tune, int) and (simple := _simplify(wanted)):
        simplified = [[_simplify(title) for title in own] for own in titles]
        for matches in (str.__eq__, str.startswith, str.__contains__):
            for index, own in enumerate(simplified):
                if any(matches(title, simple) for title in own):
                    return index
    raise InputError(
        f"`tune`: {name} has no tune with the number or title {shorten(tune)}; it has: {list_names(labels, 8)}.",
        "tune",
    )


def _describe(number: str | None, titles: Sequence[str]) -> str:
    """The number and the first title of a tune."""
    title = titles[0] if titles else "without a title"
    return title if number is None else f"{number} ({title})"


def _simplify(title: str) -> str:
    return re.sub(r"[\W_]+", " ", title).strip().casefold()
