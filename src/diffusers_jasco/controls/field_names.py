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

"""Names of columns in tables and of keys in dictionaries → which one is the start, the end, the duration and the chord."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from diffusers.utils import logging

from ..utils.errors import list_names


logger = logging.get_logger(__name__)

# The best names first; case, signs between words and units do not count.
NAMES = {
    "start": (
        "start", "start_time", "time_start", "onset", "onset_time", "begin", "from", "time", "times", "timestamp", "tmin",
        "starts", "start_s", "start_seconds", "seconds", "sec",
    ),
    "end": (
        "end", "end_time", "time_end", "offset", "offset_time", "stop", "to", "until", "tmax", "finish", "ends", "end_s",
        "end_seconds",
    ),
    "duration": ("duration", "dur", "length", "durations", "duration_s"),
    "label": (
        "chord", "chord_label", "chord_name", "chord_symbol", "chords", "harte", "shorthand", "converted", "label", "labels",
        "symbol", "value", "annotation", "text", "name",
    ),
}  # fmt: skip
# Words of longer names: "current_beat_time" is a start and "estimated_chord" a chord.
_WORDS = {
    "start": {"time", "times", "timestamp", "onset", "start", "begin"},
    "end": {"end", "stop", "offset"},
    "duration": {"duration", "dur", "length"},
    "label": {"chord", "chords"},
}
_OTHER_WORDS = set(
    "prev previous next last created updated modified signature mc mn measure bar score quarter quarterbeats root bass quality"
    " type kind id index number count degree degrees notes confidence probability roman nashville".split()
)
_UNIT = re.compile(r"(?:in)?(?:(ms|msec|millis|milliseconds)|seconds|second|secs|sec)$")


@dataclass(frozen=True)
class Fields:
    r"""
    Args:
        start, label (`str`): names of the fields with the start and the chord.
        end, duration (`str`, *optional*): of those with the end and the duration.
        per_second (`int`): 1000 for times in milliseconds, 1 for seconds.
        other_labels (`tuple[str, ...]`): further fields that are called chords.
    """

    start: str
    label: str
    end: str | None = None
    duration: str | None = None
    per_second: int = 1
    other_labels: tuple[str, ...] = ()


@lru_cache(maxsize=1024)
def find_fields(names: tuple[str, ...]) -> Fields | None:
    r"""
    Which fields have the start, the chord, and the end or duration: known names (`NAMES`), or else longer ones with a word
    that tells it.

    Args:
        names (`tuple[str, ...]`): names of the columns or keys.

    Returns:
        [`Fields`], or `None` if none is a start or a chord.
    """
    candidates = {kind: _candidates(kind, names) for kind in NAMES}
    if not candidates["start"] or not candidates["label"]:
        return None
    start = candidates["start"][0]
    labels = [name for name in candidates["label"] if name != start]
    if not labels:
        return None
    end, duration = (next(iter(candidates[kind]), None) for kind in ("end", "duration"))
    unit = _UNIT.search(_letters(start))
    per_second = 1000 if unit and unit[1] else 1
    return Fields(start, labels[0], end, duration, per_second, tuple(labels[1:]))


def warn_of_other_labels(fields: Fields | None):
    """Says which one of several fields that are called chords is used."""
    if fields is not None and fields.other_labels:
        others = list_names(list(map(repr, fields.other_labels)))
        logger.warning(f"`chords`: {fields.label!r} is taken for the chord, and not {others}.")


def _candidates(kind: str, names: Sequence[str]) -> list[str]:
    plain: dict[str, str] = {}
    for name in names:
        letters = _letters(name)
        plain.setdefault(letters, name)
        plain.setdefault(_UNIT.sub("", letters) or letters, name)
    if known := [plain[known] for known in map(_letters, NAMES[kind]) if known in plain]:
        return known[:1]
    words = {name: set(re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)) for name in names}
    words = {name: {word.lower() for word in found} for name, found in words.items()}
    foreign = _OTHER_WORDS.union(
        *(_WORDS[other] for other in _WORDS if other != kind and (kind, other) != ("end", "start"))
    )
    if kind == "start":
        foreign -= _WORDS["label"]  # "chord_start"
    elif kind in ("end", "duration"):
        foreign -= _WORDS["label"] | _WORDS["start"]
    return [name for name, found in words.items() if found & _WORDS[kind] and not found & foreign]


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())
