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

"""Validation of chord progressions (labels with start times) and conversion to one chord id per frame."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers.utils import logging

from ..utils.errors import InputError, shorten
from ..utils.numbers import is_number, to_float
from .chord_labels import default_chord_labels, normalize_chord
from .chord_syntax import FREE_CHORD, NO_CHORD, from_solfege, parse_chord


logger = logging.get_logger(__name__)

Chords = list[tuple[str, float]]

# Maximum length of a repeated progression: a chord every 0.1 s for a day.
_MAX_CHORDS = 1_000_000
_MILLISECONDS = 200.0  # seconds; a longer median duration suggests that the times are in milliseconds


def is_chord(value: Any) -> bool:
    """Whether `value` is a pair `(label, start)`. The label may be `None`: free."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return False
    return (value[0] is None or isinstance(value[0], str)) and is_number(value[1])


def check_chords(chords: Any, labels: Sequence[str] | None = None, duration: float | None = None) -> Chords:
    r"""
    Validates a progression: converts its labels to those of the vocabulary and sorts its chords by start. Each change
    causes a warning:

    - A chord that is not in the vocabulary is replaced by the nearest label. The warning describes the difference.
    - Unsorted chords are sorted.
    - The last chord that starts before 0 is moved to 0, unless another chord starts there; earlier chords are dropped.
    - Chords that start after the end are dropped.
    - If several chords start at the same time, the last one in the list is used.

    Args:
        chords (`list` of `(label, start)`):
            Labels with their starts in seconds. `"*"` or `None` is free: from there on, chords are not controlled.
        labels (`Sequence[str]`, *optional*):
            The vocabulary, by default [`~controls.chord_labels.default_chord_labels`].
        duration (`float`, *optional*):
            Duration of the music in seconds.

    Returns:
        `list` of `(label, start)`.

    Raises:
        [`InputError`]: if the progression is invalid; it has the position of the unknown chord or invalid time.
    """
    labels = default_chord_labels() if labels is None else labels
    timeline, replaced = [], {}
    pairs = check_pairs(chords)
    # "Do" is D diminished by itself, but C if the progression also contains notes such as Re or Sol.
    is_solfege = any(parse_chord(label) is None and from_solfege(label) for label, _ in pairs)
    for position, (spelling, start) in enumerate(pairs):
        try:
            label, loss = normalize_chord((from_solfege(spelling) if is_solfege else None) or spelling, labels)
        except ValueError as error:
            raise InputError(f"`chords`: position {position}: {error}", "chords", position) from None
        if loss is not None:
            replaced[spelling] = f"{spelling} → {label} ({loss})"
        timeline.append((label, start))

    if replaced:
        logger.warning(
            f"`chords`: not in the vocabulary and replaced by the nearest label: {'; '.join(replaced.values())}."
        )
    return _order(timeline, duration)


def check_pairs(chords: Any) -> Chords:
    """Validates a list of `(label, start)` without checking the labels."""
    if not isinstance(chords, (list, tuple)):
        raise InputError(
            "`chords` has to be a list of (label, start in seconds), text or a path, but is a"
            f" {type(chords).__name__}.",
            "chords",
        )
    pairs = []
    for position, item in enumerate(chords):
        if not is_chord(item):
            keys = (
                " or have the keys 'start' and 'chord' (optionally 'end' or 'duration')"
                if isinstance(item, dict)
                else ""
            )
            raise InputError(
                f"`chords`: position {position} has to be (label, start in seconds){keys}, but is {shorten(item)}.",
                "chords",
                position,
            )
        pairs.append((FREE_CHORD if item[0] is None else item[0], _check_time(item[1], position)))
    return pairs


def _order(timeline: Chords, duration: float | None) -> Chords:
    if any(later[1] < earlier[1] for earlier, later in zip(timeline, timeline[1:])):
        logger.warning("`chords`: the starts are not in order; the chords were sorted by start.")
    timeline = sorted(timeline, key=lambda chord: chord[1])

    early = [chord for chord in timeline if chord[1] < 0]
    if early:
        logger.warning(f"`chords`: {len(early)} chord(s) start before 0; the last one is moved to 0.")
        timeline = [(early[-1][0], 0.0)] + timeline[len(early) :]
        if len(timeline) > 1 and timeline[1][1] == 0:
            del timeline[0]

    kept = [
        chord for chord, following in zip(timeline, [*timeline[1:], None]) if not following or following[1] != chord[1]
    ]
    if len(kept) < len(timeline):
        logger.warning(
            f"`chords`: {len(timeline) - len(kept)} chord(s) start together with a later one and are ignored."
        )

    lengths = sorted(later[1] - earlier[1] for earlier, later in zip(kept, kept[1:]))
    if len(lengths) > 1 and lengths[len(lengths) // 2] >= _MILLISECONDS:
        logger.warning(
            f"`chords`: the median chord duration is {lengths[len(lengths) // 2]:g} s if the times are in seconds. Are"
            " they milliseconds?"
        )

    inside = [chord for chord in kept if duration is None or chord[1] < duration]
    if len(inside) < len(kept):
        logger.warning(
            f"`chords`: {len(kept) - len(inside)} chord(s) start after the end ({duration:g} s) and are ignored."
        )
    return inside


def repeat_chords(chords: Chords, duration: float, length: float | None = None) -> Chords:
    r"""
    Repeats a progression until the end of the music.

    Args:
        chords (`list` of `(label, start)`):
            The progression. Time before its first chord is not repeated.
        duration (`float`):
            Duration of the music in seconds. Chords that start at or after it are omitted.
        length (`float`, *optional*):
            Length of the progression in seconds, from its first chord to the first repetition. By default the last
            chord lasts until the next multiple of the longest chord: if all chords are equally long, it is as long as
            the others; in bars, it lasts until the end of the bar. Use the `duration` argument of [`chords_from_bars`]
            for chords in bars, whose length is exact.

    Returns:
        `list` of `(label, start)`. A single chord without `length` is returned unchanged.

    Raises:
        [`InputError`]: if the progression, the duration or the length is invalid.
    """
    duration = to_float(duration, "duration", above=0, unit="seconds")
    pattern = sorted(check_pairs(chords), key=lambda chord: chord[1])
    if not pattern:
        return []
    first, last = pattern[0][1], pattern[-1][1]
    if length is not None:
        length = to_float(length, "length", above=last - first, unit="seconds")
    elif last == first:
        return pattern  # a single chord lasts until the end
    else:
        length = _estimate_length([start - first for _, start in pattern])
    repeats = max(1, math.ceil((duration - first) / length))
    if repeats * len(pattern) > _MAX_CHORDS:
        raise InputError(
            f"`chords` that repeat every {length:g} s for {duration:g} s are more than {_MAX_CHORDS} chords.",
            "chords",
        )
    repeated = [(label, start + index * length) for index in range(repeats) for label, start in pattern]
    return [chord for chord in repeated if chord[1] < duration]


def _estimate_length(starts: list[float]) -> float:
    """Estimates the end of a progression that starts at 0: the multiple of its longest chord after the last start."""
    lengths = [later - earlier for earlier, later in zip(starts, starts[1:]) if later > earlier]
    longest, shortest = max(lengths), min(lengths)
    # Starts that were estimated from recordings are inexact, so leave half of the shortest chord as a margin.
    multiples = math.floor((starts[-1] + 0.5 * shortest) / longest) + 1
    return multiples * longest if shortest < 0.9 * longest else starts[-1] * (1 + 1 / len(lengths))


def warn_of_held_chord(chords: Chords, duration: float, is_in_bars: bool = False):
    r"""
    Warns if the last chord of a progression is held much longer than all others, which suggests that the progression
    should repeat.

    Args:
        chords (`list` of `(label, start)`): a sorted progression as returned by [`check_chords`].
        duration (`float`): duration of the music in seconds.
        is_in_bars (`bool`, defaults to `False`): whether it was given in bars, which a repeat sign repeats.
    """
    # One or two chords are not enough to judge.
    if len(chords) < 3 or chords[-1][0] in (NO_CHORD, FREE_CHORD):
        return
    label, last = chords[-1]
    held, longest = duration - last, max(later[1] - earlier[1] for earlier, later in zip(chords, chords[1:]))
    if held > 2 * longest + 0.05:
        remedy = "A repeat sign, ':|', at the end" if is_in_bars else f"`repeat_chords(chords, {duration:g})`"
        logger.warning(
            f"`chords`: the last chord, {label}, is held for {held:.4g} s to the end at {duration:g} s, while no other"
            f" chord lasts more than {longest:.4g} s. {remedy} repeats the progression instead."
        )


def chords_to_frames(chords: Chords, labels: Sequence[str], num_frames: int, frame_rate: float) -> torch.Tensor:
    r"""
    Converts a progression to one chord id per frame. Frame i has the last chord that starts at or before i /
    `frame_rate` seconds; frames before the first chord have no chord (`N`). AudioCraft uses the same rule. Free frames
    (`*`) have the null chord, whose id is the size of the vocabulary.

    Args:
        chords (`list` of `(label, start)`):
            A progression as returned by [`check_chords`].
        labels (`Sequence[str]`):
            The vocabulary.
        num_frames (`int`):
            Number of frames.
        frame_rate (`float`):
            Frame rate in Hz.

    Returns:
        `torch.Tensor` of shape `(num_frames,)` and type int64.
    """
    indices = {label: index for index, label in enumerate([*labels, FREE_CHORD])}
    ids = np.array([indices[NO_CHORD], *(indices[label] for label, _ in chords)])
    starts = np.array([start for _, start in chords])
    current = np.searchsorted(starts, np.arange(num_frames) / frame_rate, side="right")
    return torch.from_numpy(ids[current])


def _check_time(value: Any, position: int) -> float:
    try:
        return to_float(value, "chords")
    except InputError:
        raise InputError(
            f"`chords`: position {position}: the start has to be a finite number of seconds, but is {value!r}.",
            "chords",
            position,
        ) from None
