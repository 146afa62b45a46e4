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


"""Composed clips before rendering, and the dataset that renders them."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...controls.drum_machine import play_hits
from ...controls.midi_drums import DRUM_VOICES
from .augmentation import mix
from .rendering import Renderer, find_soundfonts, get_renderer


# Start and end in seconds from the beginning of the pre-roll, MIDI note number, velocity 1 ... 127.
ScoreNote = tuple[float, float, int, int]


@dataclass(frozen=True)
class Score:
    r"""
    A composed clip: everything that determines its audio, apart from the sampling rate, the renderer, and its sound
    fonts.

    Args:
        annotations (`dict`): the keys of the clip's item that do not depend on the rendering.
        duration (`float`): duration of the clip in seconds.
        preroll (`float`):
            Seconds that are rendered before the clip, so that notes that started earlier are sounding at its
            beginning.
        programs (`dict[str, int]`): stem → General MIDI program, in the order in which the stems are rendered.
        notes (`dict[str, list[tuple[float, float, int, int]]]`):
            Stem → notes: start and end in seconds from the beginning of the pre-roll, MIDI note number, and velocity
            1 ... 127.
        drum_machine (`float`, *optional*):
            Tuning of the drum machine, if it plays the drums instead of the sound font.
        random_state (`Mapping`):
            State of the NumPy bit generator from which the sound font and the mix are drawn: levels, room, equalizers
            and compression.
    """

    annotations: dict[str, Any]
    duration: float
    preroll: float
    programs: dict[str, int]
    notes: dict[str, list[ScoreNote]]
    drum_machine: float | None
    random_state: Mapping[str, Any]


class RenderedMusic(torch.utils.data.Dataset, ABC):
    r"""
    Clips that are rendered from their scores when they are accessed.

    Args:
        duration (`float`): duration of a clip in seconds.
        sampling_rate (`int`): Hz.
        renderer (`str`, *optional*): `"fluidsynth"` or `"tinysoundfont"`; `None`: clips can't be rendered.
        soundfonts (`Sequence[str | os.PathLike]`, *optional*): General MIDI sound fonts; each clip uses a random one.
            Default: `find_soundfonts(renderer)`.
        stems (`bool`): whether items contain their stems.
    """

    def __init__(
        self,
        duration: float,
        sampling_rate: int,
        renderer: str | None,
        soundfonts: Sequence[str | os.PathLike] | None,
        stems: bool,
    ):
        if not 8000 <= sampling_rate <= 48000:
            raise ValueError(f"`sampling_rate` has to be between 8000 and 48000 Hz, but got {sampling_rate}.")
        self.duration, self.sampling_rate, self.stems = duration, sampling_rate, stems
        self.renderer = renderer
        self.soundfonts = [] if renderer is None else [str(font) for font in (soundfonts or find_soundfonts(renderer))]
        for font in self.soundfonts:
            get_renderer(renderer, font, sampling_rate)

    @abstractmethod
    def __len__(self) -> int:
        """Number of clips."""

    @abstractmethod
    def score(self, index: int) -> Score:
        """The score of a clip. Nothing is rendered."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        score = self.score(index)
        rng = np.random.Generator(np.random.PCG64(0))
        rng.bit_generator.state = score.random_state
        font = self.soundfonts[int(rng.integers(len(self.soundfonts)))]
        renderer = get_renderer(self.renderer, font, self.sampling_rate)
        audio, stems = _render(score, renderer, rng)
        item = {
            "audio": torch.from_numpy(audio)[None],
            "sampling_rate": self.sampling_rate,
            "duration": score.duration,
            **score.annotations,
            **renderer.description,
        }
        if self.stems:
            item["stems"] = {name: torch.from_numpy(samples)[None] for name, samples in stems.items()}
        return item

    def captions(self, index: int) -> list[str]:
        """The captions of a clip. Nothing is rendered."""
        return self.score(index).annotations["captions"]


def _render(score: Score, renderer: Renderer, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The mix, and the stems, which sum to it in this order."""
    duration = score.preroll + score.duration
    tracks: dict[str, tuple[int, bool, Sequence[ScoreNote]]]
    tracks = {name: (program, name == "drums", score.notes[name]) for name, program in score.programs.items()}
    stems = {}
    if score.drum_machine and "drums" in tracks:
        *_, notes = tracks.pop("drums")
        hits = [(DRUM_VOICES[key], start, velocity / 127) for start, _, key, velocity in notes]
        stems["drums"] = play_hits(hits, duration, renderer.sampling_rate, score.drum_machine)
    stems |= renderer.render(tracks, duration)
    num_samples = int(round(score.duration * renderer.sampling_rate))
    return mix(stems, num_samples, renderer.sampling_rate, rng, dry=score.annotations["subset"] == "plain")
