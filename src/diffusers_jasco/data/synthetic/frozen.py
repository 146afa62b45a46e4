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

import copy
import os
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from .scores import RenderedMusic, Score


_COLUMNS = ("starts", "ends", "keys", "velocities")  # of notes


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
        # Scores can be shared, and items contain their annotations.
        return copy.deepcopy(self.scores[index])


def score_to_json(score: Score) -> dict[str, Any]:
    """A score as JSON values. Times are stored exactly, as rounding could move notes to another block of samples."""
    return {
        **{field.name: getattr(score, field.name) for field in fields(score)},
        "notes": {name: dict(zip(_COLUMNS, zip(*notes))) for name, notes in score.notes.items()},
    }


def score_from_json(values: dict[str, Any]) -> Score:
    """The score that [`score_to_json`] stored. Raises `KeyError`, `TypeError` or `ValueError` for other values."""
    # JSON has no tuples, which chords and notes are.
    annotations = {
        key: [tuple(element) if isinstance(element, list) else element for element in value]
        if isinstance(value, list)
        else value
        for key, value in values["annotations"].items()
    }
    notes = {
        name: list(zip(*(columns[column] for column in _COLUMNS), strict=True)) if columns else []
        for name, columns in values["notes"].items()
    }
    return Score(**values | {"annotations": annotations, "notes": notes})
