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

"""Finds the start, end, duration and chord fields among column names of tables or keys of dictionaries."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from diffusers.utils import logging

from ..utils.errors import list_names


logger = logging.get_logger(__name__)

# Best names first. Case, separators and units are ignored.
NAMES = {
    "start": (
        "start", "start_time", "time_start", "onset", "onset_time", "begin", "from", "time", "times", "timestamp",
        "tmin", "starts", "start_s", "start_seconds", "seconds", "sec",
    ),
    "end": (
        "end", "end_time", "time_end", "offset", "offset_time", "stop", "to", "until", "tmax", "finish", "ends",
        "end_s", "end_seconds",
    ),
    "duration": ("duration", "dur", "length", "durations", "duration_s"),
    "label": (
        "chord", "chord_label", "chord_name", "chord_symbol", "chords", "harte", "shorthand", "converted", "label",
        "labels", "symbol", "value", "annotation", "text", "name",
    ),
}  # fmt: skip
# Words that identify longer names: "current_beat_time" is a start and "estimated_chord" a chord.
_WORDS = {
    "start": {"time", "times", "timestamp", "onset", "start", "begin"},
    "end": {"end", "stop", "offset"},
    "duration": {"duration", "dur", "length"},
    "label": {"chord", "chords"},
}
_OTHER_WORDS = set(
    "prev previous next last created updated modified signature mc mn measure bar score quarter quarterbeats root bass"
    " quality"
    " type kind id index number count degree degrees notes confidence probability roman nashville".split()
)
_UNIT = re.compile(r"(?:in)?(?:(ms|msec|millis|milliseconds)|seconds|second|secs|sec)$")


@dataclass(frozen=True)
class Fields:
    r"""
    The names of the fields of a chord.

    Args:
        start, label (`str`): names of the fields with the start and the chord.
        end, duration (`str`, *optional*): names of the fields with the end and the duration.
        per_second (`int`): 1000 for times in milliseconds, 1 for seconds.
        other_labels (`tuple[str, ...]`): other fields whose names suggest chords.
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
    Finds the fields with the start, the chord, and the end or duration. Known names (`NAMES`) take precedence over
    longer names that contain a known word.

    Args:
        names (`tuple[str, ...]`): names of the columns or keys.

    Returns:
        [`Fields`], or `None` if there is no start field or no chord field.
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
    """Warns if several fields may be the chord, and names the one that is used."""
    if fields is not None and fields.other_labels:
        others = list_names(list(map(repr, fields.other_labels)))
        logger.warning(f"`chords`: {fields.label!r} is used as the chord instead of {others}.")


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
