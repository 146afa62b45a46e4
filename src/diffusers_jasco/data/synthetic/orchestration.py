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

"""Synthetic music with other instruments: training music of the melody extractor, without annotations."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .augmentation import balance, make_room, master
from .material import choose
from .music import SyntheticMusic
from .rendering import get_renderer
from .scores import Score, ScoreNote


# General MIDI programs by role. Half of the stems play these, the others any program with a pitch.
_ORCHESTRA = {
    "lead": (0, 8, 9, 14, 22, 24, 40, 40, 41, 42, 46, 48, 48, 49, 52, 53, 56, 57, 60, 60, 61, 68, 68, 69, 71, 71, 72, 73,
             73, 74, 75, 77, 79, 104, 107, 109, 110),
    "comp": (0, 8, 11, 12, 15, 19, 24, 25, 44, 44, 45, 45, 46, 46, 48, 48, 48, 49, 49, 50, 52, 52, 60, 60, 61, 61, 71, 107),
    "pad": (16, 19, 48, 48, 49, 49, 50, 51, 52, 52, 53, 54, 60, 61, 71, 73, 88, 89, 91, 92, 94, 95),
    "bass": (19, 32, 42, 42, 43, 43, 43, 48, 49, 57, 58, 58, 60, 70, 70, 89),
}  # fmt: skip
_TIMPANI = 47
_PITCHED = (*range(96), *range(104, 113))
_LEVELS = {"lead": (-9, 0), "comp": (-16, -3), "pad": (-18, -6), "bass": (-16, -3), "drums": (-12, -3)}
_DROPPED = {"lead": 0.12, "comp": 0.3, "pad": 0.3, "bass": 0.3, "drums": 0.8}
_TEMPO = (0.65, 1.6)  # factors
_UNCHANGED = 0.3  # share of the clips that are those of `SyntheticMusic`


class OrchestratedMusic(SyntheticMusic):
    r"""
    The pieces of [`SyntheticMusic`] with random instruments, mostly of the orchestra, in random octaves, tempos,
    articulations, balances and halls, mostly without drums. Parts are doubled or left out, and the loudness changes
    within a clip. Three clips in ten are those of [`SyntheticMusic`].

    Items have `audio`, `sampling_rate`, `duration`, `split`, `index` and `seed`, and describe the renderer. They have no
    annotations, because they would not be those of the pieces.

    Args:
        split, size, subset, duration, sampling_rate, renderer, soundfonts, seed, start: as [`SyntheticMusic`].
        stems (`bool`, defaults to `False`): has to be `False`.

    Raises:
        `ValueError`: for invalid arguments.
        `IndexError`: if an index is out of range.
    """

    # Faster pieces need more notes.
    _score_length = _TEMPO[1]

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if self.stems:
            raise ValueError("Orchestrated music has no stems, but got stems=True.")

    def __getitem__(self, index: int) -> dict[str, Any]:
        num_samples = round(self.duration * self.sampling_rate)
        score = self.score(index)
        rng = np.random.default_rng([self.seed, 4, index])
        font = self.soundfonts[int(rng.integers(len(self.soundfonts)))]
        renderer = get_renderer(self.renderer, font, self.sampling_rate)
        description = renderer.description
        if rng.random() < _UNCHANGED:
            item = super().__getitem__(index)
            audio = item["audio"][:, :num_samples]
            # With a font of its own.
            description = {key: item[key] for key in description}
        else:
            tracks = orchestrate(score, rng)
            stems = renderer.render(tracks, score.preroll + self.duration)
            audio = torch.from_numpy(_mix(stems, num_samples, self.sampling_rate, rng))[None]
        return {
            "audio": audio,
            "sampling_rate": self.sampling_rate,
            "duration": self.duration,
            "split": self.split,
            "index": index,
            "seed": self.seed,
            **description,
        }


def orchestrate(score: Score, rng: np.random.Generator) -> dict[str, tuple[int, bool, Sequence[ScoreNote]]]:
    r"""
    Draws instruments, octaves, articulations and a tempo for the stems of a score.

    Args:
        score (`Score`): the score.
        rng (`np.random.Generator`): source of all random choices.

    Returns:
        `dict`: the tracks of [`~data.synthetic.rendering.Renderer.render`]: name → (program, is drum kit, notes).
    """
    kept = [stem for stem in score.programs if rng.random() >= _DROPPED[stem] and score.notes[stem]]
    if not any(stem != "drums" for stem in kept):
        kept = [stem for stem in ("lead", "comp", "bass") if score.notes.get(stem)][:1] + kept
    tempo, key = float(np.exp(rng.uniform(*np.log(_TEMPO)))), int(rng.integers(-6, 6))

    def play(stem: str, octaves: int) -> list[ScoreNote]:
        articulation, force = float(np.exp(rng.uniform(np.log(0.5), np.log(2.2)))), rng.uniform(0.55, 1.15)
        notes = []
        for start, end, pitch, velocity in score.notes[stem]:
            length = (end - start) / tempo * articulation
            velocity = int(np.clip(velocity * force, 20, 127))
            notes.append(
                (start / tempo, start / tempo + length, int(np.clip(pitch + key + 12 * octaves, 21, 108)), velocity)
            )
        return notes

    tracks: dict[str, tuple[int, bool, Sequence[ScoreNote]]] = {}
    for stem in kept:
        if stem == "drums":
            hits = [(start / tempo, end / tempo, pitch, velocity) for start, end, pitch, velocity in score.notes[stem]]
            tracks[stem] = (score.programs[stem], True, hits)
            continue
        octaves = int(choose(rng, (-1, 0, 1), (1, 5, 1.5)))
        tracks[stem] = (_draw_program(score, stem, rng), False, play(stem, octaves))
        if rng.random() < 0.3:
            tracks[f"{stem} doubled"] = (
                _draw_program(score, stem, rng),
                False,
                play(stem, octaves + int(rng.integers(-1, 2))),
            )
    if "bass" in kept and rng.random() < 0.2:
        tracks["bass timpani"] = (_TIMPANI, False, play("bass", int(rng.integers(0, 2))))
    return tracks


def _draw_program(score: Score, stem: str, rng: np.random.Generator) -> int:
    kind = rng.random()
    return int(score.programs[stem] if kind < 0.15 else choose(rng, _ORCHESTRA[stem] if kind < 0.75 else _PITCHED))


def _mix(stems: dict[str, np.ndarray], num_samples: int, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Balances the stems, and adds a hall, equalizers, changes of the loudness, noise, and compression."""
    stems = {name: samples for name, samples in stems.items() if np.abs(samples).max() > 1e-4}
    if not stems:
        return np.zeros(num_samples, np.float32)
    stems = balance(stems, {name: rng.uniform(*_LEVELS[name.split()[0]]) for name in stems})
    wetness = float(choose(rng, (0.0, 1.0, 2.5)))
    stems = make_room(stems, sampling_rate, rng, dict.fromkeys(stems, wetness), seconds=(0.4, 3.0))
    stems = {name: samples[-num_samples:] for name, samples in stems.items()}
    mix, _ = master(stems, sampling_rate, float(rng.uniform(1, 4)))
    if rng.random() < 0.5:
        decibels = rng.uniform(-20, 0, 4)
        envelope = np.interp(np.arange(num_samples), np.linspace(0, num_samples, 4), decibels)
        mix = mix * (10 ** (envelope / 20)).astype(np.float32)
    if rng.random() < 0.3:
        mix = mix + np.float32(10 ** (rng.uniform(-75, -50) / 20)) * rng.standard_normal(num_samples, dtype=np.float32)
    return mix / np.float32(max(1.0, np.abs(mix).max() / 0.95))
