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


"""Clips whose scores are stored, so that they do not depend on the generator."""

import os
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from .scores import RenderedMusic, Score


_TICKS = 1_000_000_000  # per second


class FrozenMusic(RenderedMusic):
    r"""
    Clips of stored scores, with the same items as those of [`~data.SyntheticMusic`].

    Args:
        scores (`Sequence[Score]`): scores of the same duration, at least one.
        sampling_rate (`int`, defaults to `16000`): Hz.
        renderer (`str`, defaults to `"fluidsynth"`): `"fluidsynth"` or `"tinysoundfont"`.
        soundfonts (`Sequence[str | os.PathLike]`, *optional*): General MIDI sound fonts; each clip uses a random one.
            Default: `find_soundfonts(renderer)`.
        stems (`bool`, defaults to `False`): whether items contain their stems.
    """

    def __init__(
        self,
        scores: Sequence[Score],
        sampling_rate: int = 16000,
        renderer: str = "fluidsynth",
        soundfonts: Sequence[str | os.PathLike] | None = None,
        stems: bool = False,
    ):
        super().__init__(scores[0].duration, sampling_rate, renderer, soundfonts, stems)
        self.scores = scores

    def __len__(self) -> int:
        return len(self.scores)

    def score(self, index: int) -> Score:
        if not 0 <= index < len(self):
            raise IndexError(f"Index {index} is out of range for {len(self)} clips.")
        return self.scores[index]


def score_to_json(score: Score) -> dict[str, Any]:
    """A score as JSON values, with times as integers of 1e-9 s. Onsets are stored as differences, for compression."""
    return {
        "annotations": score.annotations,
        "duration": score.duration,
        "preroll": round(score.preroll * _TICKS),
        "programs": score.programs,
        "notes": {name: _notes_to_json(notes) for name, notes in score.notes.items()},
        "drum_machine": score.drum_machine,
        "random_state": score.random_state,
    }


def score_from_json(values: dict[str, Any]) -> Score:
    """The score that [`score_to_json`] stored. Raises `KeyError`, `TypeError` or `ValueError` for other values."""
    annotations = {
        key: [tuple(element) for element in value] if key in ("chords", "melody") else value
        for key, value in values["annotations"].items()
    }
    return Score(
        annotations=annotations,
        duration=values["duration"],
        preroll=values["preroll"] / _TICKS,
        programs=values["programs"],
        notes={name: _notes_from_json(notes) for name, notes in values["notes"].items()},
        drum_machine=values["drum_machine"],
        random_state=values["random_state"],
    )


def _notes_to_json(notes) -> dict[str, list[int]]:
    starts = [round(start * _TICKS) for start, *_ in notes]
    return {
        "onsets": [start - previous for start, previous in zip(starts, [0, *starts])],
        "lengths": [round(end * _TICKS) - start for (_, end, *_), start in zip(notes, starts)],
        "keys": [key for *_, key, _ in notes],
        "velocities": [velocity for *_, velocity in notes],
    }


def _notes_from_json(columns: dict[str, list[int]]):
    starts = list(accumulate(columns["onsets"]))
    ends = [start + length for start, length in zip(starts, columns["lengths"])]
    return [
        (start / _TICKS, end / _TICKS, key, velocity)
        for start, end, key, velocity in zip(starts, ends, columns["keys"], columns["velocities"], strict=True)
    ]
