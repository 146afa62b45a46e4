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


"""Agreement of estimated drum hits and grooves with a reference."""

import math
from collections.abc import Sequence

import numpy as np

from ...controls.drum_machine import DRUMS, Groove, to_velocity
from .onsets import TOLERANCES, merge_onsets
from .tempo import TOLERANCE as TEMPO_TOLERANCE


# Classes of drums. Crash cymbals are open hats, as in MIDI files that the drum machine plays.
GROUPS = {"kick": ("kick",), "snare": ("snare",), "hat": ("hat", "open hat")}
GROUPS["other"] = tuple(drum for drum in DRUMS if drum not in sum(GROUPS.values(), ()))


def count_hits(
    estimate: Sequence[tuple[str, float, float]], reference: Sequence[tuple[str, float, float]]
) -> dict[str, tuple[float, float]]:
    r"""
    Counts the hits of each class (`GROUPS`) and each drum that are within 50 ms of a hit of the reference.

    Args:
        estimate, reference (`Sequence`): tuples `(drum, start in seconds, velocity)`.

    Returns:
        `dict[str, tuple[float, float]]`: twice the number of matched hits, and the number of estimated and reference hits
        together. F1 over several clips is the ratio of the sums.
    """
    counts = {}
    for name, drums in (GROUPS | {f"{drum} only": (drum,) for drum in DRUMS}).items():
        onsets = [merge_onsets([start for drum, start, _ in hits if drum in drums]) for hits in (estimate, reference)]
        counts[name] = 2.0 * match_onsets(*onsets, TOLERANCES["onset_f1"]), float(sum(map(len, onsets)))
    return counts


def match_onsets(estimate: Sequence[float], reference: Sequence[float], tolerance: float) -> int:
    r"""
    Counts the pairs in a largest one-to-one matching.

    Args:
        estimate, reference (`Sequence[float]`): ascending times.
        tolerance (`float`): largest distance within a pair, in the unit of the times.

    Returns:
        `int`: the number of pairs.
    """
    matched = index = 0
    for time in estimate:
        while index < len(reference) and reference[index] < time - tolerance:
            index += 1
        if index < len(reference) and reference[index] <= time + tolerance:
            matched, index = matched + 1, index + 1
    return matched


def compare_grooves(estimate: Groove | None, reference: Groove) -> dict[str, float]:
    r"""
    Compares two patterns step by step.

    Args:
        estimate ([`Groove`], *optional*): the estimate, or `None` if there is none.
        reference ([`Groove`]): the reference.

    Returns:
        `dict[str, float]`: `"steps"`, the share of the reference's steps of each class of `GROUPS` that are equal (hit or
        rest; classes that neither groove uses are left out), 0 if the tempo differs by more than 4%; `"any_downbeat"`, the
        same for the rotation by whole beats that fits best; `"equal"`, whether all steps are equal.
    """
    if estimate is None or abs(estimate.bpm / reference.bpm - 1) > TEMPO_TOLERANCE:
        return {"steps": 0.0, "any_downbeat": 0.0, "equal": 0.0}
    patterns = [groove.num_steps / groove.steps_per_beat for groove in (estimate, reference)]
    beats = math.lcm(*(max(round(length), 1) for length in patterns))
    cells = [_cells(groove, beats, reference) for groove in (estimate, reference)]
    used = np.any(np.concatenate(cells, axis=1), axis=1)
    shares = [
        float((np.roll(cells[0], shift * reference.steps_per_beat, axis=1) == cells[1])[used].mean())
        for shift in range(beats)
    ]
    return {"steps": shares[0], "any_downbeat": max(shares), "equal": float(shares[0] == 1)}


def _cells(groove: Groove, beats: int, grid: Groove) -> np.ndarray:
    """Whether each class is hit on each step of another groove, `(4, steps)`."""
    cells = np.zeros((len(GROUPS), beats * grid.steps_per_beat), bool)
    for step in range(beats * groove.steps_per_beat):
        place = (step + (2 * groove.swing - 1) * (step % 2)) / groove.steps_per_beat
        low = math.floor(place * grid.steps_per_beat)
        near = [
            (number + (2 * grid.swing - 1) * (number % 2)) / grid.steps_per_beat for number in range(low - 1, low + 2)
        ]
        column = low - 1 + int(np.abs(np.array(near) - place).argmin())
        for row, drums in enumerate(GROUPS.values()):
            if any(
                to_velocity(groove.tracks[drum][step % groove.num_steps]) > 0
                for drum in drums
                if drum in groove.tracks
            ):
                cells[row, column % cells.shape[1]] = True
    return cells
