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

"""Edits of recordings whose controls are known: which regions are regenerated, and with which controls."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ..controls.chord_labels import nearest_to_notes
from ..controls.chord_syntax import parse_chord
from ..controls.drum_machine import GROOVES, find_groove
from ..controls.melody import HIGHEST_PITCH, LOWEST_PITCH
from ..data.preparation.chord_files import Chords
from ..data.preparation.controls import cut_chords, cut_notes


KINDS = ("chords", "drums", "melody", "same", "continuation")
MIN_REGION = 4.0  # seconds
_KEPT = 2.0  # least seconds of the recording before, between and after regions
_LONGEST_REGION = 5.2  # seconds
_MIN_NOTES = 3
_SHORTEST = 0.05  # seconds of a chord, and of what is left of a note
# Not all recordings have drums and a melody everywhere, so these controls need more edits.
_ORDER = (*KINDS, *KINDS, *KINDS[1:], *KINDS[1:3])

Notes = list[tuple[int, float, float]]


@dataclass(frozen=True)
class Edit:
    r"""
    An edit of a recording.

    Args:
        kind (`str`): one of `KINDS`.
        recording (`dict`): the recording with its own controls, an item of [`~evaluation.items.compose_items`].
        target (`dict`): the same item with the requested controls of the whole music: `chords`, `melody`, the stem
            `drums`, and `drum_onsets`.
        regions (`tuple[tuple[float, float], ...]`): start and end of each regenerated region in seconds, in order.
        new (`tuple[str, ...]`): controls that are requested in the regions, and that nothing else reveals.
        span (`tuple[float, float]`): the part of the recording that is given, in seconds.
    """

    kind: str
    recording: dict[str, Any]
    target: dict[str, Any]
    regions: tuple[tuple[float, float], ...]
    new: tuple[str, ...]
    span: tuple[float, float]

    @property
    def borders(self) -> list[float]:
        """Where the recording and the new music meet, in seconds."""
        limits = (limit for region in self.regions for limit in region)
        return [limit for limit in limits if 0 < limit < self.recording["duration"]]

    @property
    def audio(self) -> torch.Tensor:
        """The part of the recording that is given, of shape `(1, samples)`."""
        first, last = (round(limit * self.recording["sampling_rate"]) for limit in self.span)
        return self.recording["audio"][:, first:last]


def plan_edits(items: Sequence[dict[str, Any]], seed: int = 0) -> list[Edit]:
    r"""
    Plans one edit of each recording. Regions last 4 to 5.2 s. Every third edit of a recording of at least 16 s has two of
    them.

    - `"chords"`: from a downbeat to a beat, with the chords of another recording of the same mode and time signature,
      transposed to the key, and without melody
    - `"drums"`: from a downbeat to a beat, with a groove of the drum machine in the same tempo
    - `"melody"`: from a downbeat to a beat, with melody and chords of another recording
    - `"same"`: anywhere, with the recording's own controls
    - `"continuation"`: a half of the recording continues, or its middle to both sides, with the recording's own controls

    Args:
        items (`Sequence[dict]`): at least 2 recordings of at least 10 s, as [`~evaluation.items.compose_items`] returns
            them.
        seed (`int`, defaults to `0`): random seed.

    Returns:
        `list[Edit]`: one per recording, in the order of the kinds.

    Raises:
        `ValueError`: for fewer than 2 recordings, or one that is too short.
    """
    if len(items) < 2:
        raise ValueError(f"`items` have to be at least 2 recordings, but there are {len(items)}.")
    if any(item["duration"] < 2 * _KEPT + _LONGEST_REGION for item in items):
        raise ValueError(f"`items` have to last at least {2 * _KEPT + _LONGEST_REGION:g} s.")
    rest = list(range(len(items)))
    counts = dict.fromkeys(KINDS, 0)
    edits = []
    for number in range(len(items)):
        kind = _ORDER[number % len(_ORDER)]
        possible = [index for index in rest if kind != "drums" or fitting_grooves(items[index])]
        if not possible:
            kind, possible = "same", rest
        index = possible[0]
        rest.remove(index)
        rng = np.random.default_rng([seed, index])
        counts[kind] += 1
        edits.append(_plan(kind, counts[kind], items[index], [*items[index + 1 :], *items[:index]], rng))
    return edits


def _plan(kind: str, count: int, item: dict[str, Any], others: list[dict[str, Any]], rng: np.random.Generator) -> Edit:
    """The edit number `count` of its kind."""
    if kind == "continuation":
        span = _choose_span(item, count)
        limits = [(0.0, span[0]), (span[1], item["duration"])]
        regions = tuple(limit for limit in limits if limit[0] < limit[1])
        return Edit(kind, item, item, regions, ("chords", "drums", "melody"), span)
    regions = _choose_regions(item, 1 + (count % 3 == 0), kind != "same", rng)
    whole = (0.0, item["duration"])
    if kind == "same":
        return Edit(kind, item, item, regions, (), whole)
    target = dict(item)
    for region in regions:
        if kind == "drums":
            target |= with_groove(target, region, rng)
        else:
            chords, notes = _borrow(item, others, region, needs_melody=kind == "melody")
            target["chords"] = _replace_chords(target["chords"], chords, region)
            target["melody"] = _replace_notes(target["melody"], notes if kind == "melody" else [], region)
    new = {"chords": ("chords",), "drums": ("drums",), "melody": ("chords", "melody")}[kind]
    return Edit(kind, item, target, regions, new, whole)


def _choose_regions(
    item: dict[str, Any], number: int, on_beats: bool, rng: np.random.Generator
) -> tuple[tuple[float, float], ...]:
    duration = item["duration"]
    number = number if duration >= number * (_LONGEST_REGION + _KEPT) + _KEPT else 1
    regions = []
    for index in range(number):
        first = _KEPT + index * (duration - _KEPT) / number
        last = (index + 1) * (duration - _KEPT) / number - _LONGEST_REGION
        start, length = rng.uniform(first, last), rng.uniform(MIN_REGION, _LONGEST_REGION)
        end = start + length
        if on_beats:
            start = _nearest([time for time in item["downbeats"] if first <= time <= last], start)
            ends = [beat for beat in item["beats"] if MIN_REGION - 1e-3 <= beat - start <= _LONGEST_REGION]
            end = min(ends, default=start + length)
        regions.append((round(start, 4), round(end, 4)))
    return tuple(regions)


def _choose_span(item: dict[str, Any], count: int) -> tuple[float, float]:
    """To the right, to the left, and to both sides in turn."""
    duration, downbeats = item["duration"], item["downbeats"]

    def near(share: float) -> float:
        usable = [time for time in downbeats if MIN_REGION <= time <= duration - MIN_REGION]
        return _nearest(usable, share * duration)

    direction = count % 3
    if direction == 0 and duration >= 2 * MIN_REGION + 4 * _KEPT:
        start, end = near(0.25), near(0.75)
        return (start, end) if end - start >= _KEPT else (0.25 * duration, 0.75 * duration)
    return (0.0, near(0.5)) if direction != 2 else (near(0.5), duration)


def _nearest(times: Sequence[float], time: float) -> float:
    return min(times, key=lambda other: abs(other - time), default=time)


def _borrow(
    item: dict[str, Any], others: Sequence[dict[str, Any]], region: tuple[float, float], needs_melody: bool
) -> tuple[Chords, Notes]:
    """Chords and notes of the first of the most suitable other recordings, as [`_fit`] returns them."""
    before = [label for label, _ in cut_chords(item["chords"], region[0], region[1] - region[0])]

    def rank(other: dict[str, Any]) -> tuple[bool, ...]:
        chords, notes = _fit(other, item, region)
        return (
            [label for label, _ in chords] == before,
            needs_melody and len(notes) < _MIN_NOTES,
            other.get("time_signature") != item.get("time_signature"),
            _key(other)[1] != _key(item)[1],
        )

    return _fit(min(others, key=rank), item, region)


def _fit(other: dict[str, Any], item: dict[str, Any], region: tuple[float, float]) -> tuple[Chords, Notes]:
    """
    Chords and notes from the middle of another recording, from a downbeat on, in the key and the tempo of `item`. Times
    are relative to the region.
    """
    length = region[1] - region[0]
    speed = _bar_seconds(other) / _bar_seconds(item)
    first = _nearest(other["downbeats"], (other["duration"] - speed * length) / 2)
    shift = (_key(item)[0] - _key(other)[0] + 6) % 12 - 6
    chords = cut_chords(other["chords"], first, speed * (length - _SHORTEST))
    notes = cut_notes(other["melody"], first, speed * length)
    return (
        [(_transpose(label, shift), time / speed) for label, time in chords],
        [(_into_range(pitch + shift), start / speed, end / speed) for pitch, start, end in notes],
    )


def _bar_seconds(item: dict[str, Any]) -> float:
    return float(np.diff(item["downbeats"]).mean()) if len(item["downbeats"]) > 1 else 2.0


def _key(item: dict[str, Any]) -> tuple[int, str]:
    tonic, _, mode = (item.get("key") or "C major").partition(" ")
    chord = parse_chord(tonic)
    return (chord.root if chord else 0), mode


@lru_cache(maxsize=None)
def _transpose(label: str, shift: int) -> str:
    chord = parse_chord(label)
    if chord is None or not shift:
        return label
    notes = frozenset((note + shift) % 12 for note in chord.pitch_classes)
    return nearest_to_notes(notes, (chord.bass_pitch_class + shift) % 12)


def _into_range(pitch: int) -> int:
    return pitch - 12 if pitch > HIGHEST_PITCH else pitch + 12 if pitch < LOWEST_PITCH else pitch


def _replace_chords(chords: Chords, new: Chords, region: tuple[float, float]) -> Chords:
    start, end = region
    before = [(label, time) for label, time in chords if time < start]
    inside = [(label, round(start + time, 4)) for label, time in new]
    after = [(label, round(end + time, 4)) for label, time in cut_chords(chords, end, float("inf"))]
    return before + inside + after


def _replace_notes(notes: Notes, new: Notes, region: tuple[float, float]) -> Notes:
    start, end = region
    before = [(pitch, first, min(last, start)) for pitch, first, last in notes if first < start]
    inside = [(pitch, round(start + first, 4), round(start + last, 4)) for pitch, first, last in new]
    after = [(pitch, max(first, end), last) for pitch, first, last in notes if last > end]
    return [note for note in before + inside + after if note[2] - note[1] >= _SHORTEST]


def fitting_grooves(item: dict[str, Any]) -> list[str]:
    """Grooves that fit the time signature, if the recording has drums."""
    tempo = _beats_per_minute(item)
    if "drums" not in item["stems"] or tempo is None:
        return []
    per_bar = round(_bar_seconds(item) * tempo / 60)
    return [name for name, groove in GROOVES.items() if groove.beats_per_bar == per_bar]


def _beats_per_minute(item: dict[str, Any]) -> float | None:
    beats, downbeats = item["beats"], item["downbeats"]
    return 60 / float(np.diff(beats).mean()) if len(beats) > 1 and len(downbeats) > 1 else None


def with_groove(item: dict[str, Any], region: tuple[float, float], rng: np.random.Generator) -> dict[str, Any]:
    """Drums and their onsets, with a groove of the level of the drums in a region."""
    start, end = region
    rate, drums = item["sampling_rate"], item["stems"]["drums"].clone()
    groove = find_groove(str(rng.choice(fitting_grooves(item))), _beats_per_minute(item))
    first, last = round(start * rate), round(end * rate)
    played = groove.render(end - start, rate)[:, : last - first]
    level = drums.square().mean().sqrt() / played.square().mean().sqrt().clamp(min=1e-6)
    drums[:, first : first + played.shape[-1]] = level * played
    drums[:, first + played.shape[-1] : last] = 0
    onsets = [time for time in item["drum_onsets"] if not start <= time < end]
    onsets += [round(start + time, 4) for time in groove.onsets(end - start)]
    return {"stems": item["stems"] | {"drums": drums}, "drum_onsets": sorted(onsets)}
