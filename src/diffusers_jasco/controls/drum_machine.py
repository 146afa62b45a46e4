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

"""A drum machine: steps of a bar → strokes → audio that the pipeline takes as `drums`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch


_LEVELS = {".": 0.0, "o": 0.5, "x": 1.0}
DRUMS = ("kick", "snare", "hat", "open hat", "clap", "rim", "tom", "cowbell", "ride", "shaker")


@dataclass(frozen=True)
class Groove:
    r"""
    A pattern of drum strokes that is repeated.

    Args:
        tracks (`dict`):
            By drum (one of `DRUMS`) its steps, all of equal number: a text of `x` (loud), `o` (soft) and `.` (nothing), or
            velocities in [0, 1].
        bpm (`float`, defaults to `120.0`): beats a minute.
        swing (`float`, defaults to `0.5`): where the second of two steps falls between the first and the next pair, from 0.5
            (straight) to 0.75.
        steps_per_beat (`int`, defaults to `4`): 4 for sixteenths, 3 for triplets.

    Raises:
        `ValueError`: for an unknown drum, other steps, and an impossible tempo or swing, with what is possible.
    """

    tracks: Mapping[str, str | Sequence[float]]
    bpm: float = 120.0
    swing: float = 0.5
    steps_per_beat: int = 4

    @property
    def num_steps(self) -> int:
        return max((len(steps) for steps in self.tracks.values()), default=0)

    @property
    def duration(self) -> float:
        """Seconds of the pattern, played once."""
        return self.num_steps * 60 / (self.bpm * self.steps_per_beat)

    def strokes(self, duration: float) -> list[tuple[str, float, float]]:
        r"""
        Args:
            duration (`float`): seconds; the pattern is repeated, and cut there.

        Returns:
            `list` of `(drum, start in seconds, velocity)`, by their starts.
        """
        step = 60 / (self.bpm * self.steps_per_beat)
        count = math.ceil(duration / step - 1e-9) if self.num_steps else 0
        strokes = []
        for drum, steps in self.tracks.items():
            for index in range(count):
                level = steps[index % len(steps)]
                level = _LEVELS[level] if isinstance(level, str) else float(level)
                start = (index + (2 * self.swing - 1) * (index % 2)) * step
                if level > 0 and start < duration:
                    strokes.append((drum, start, level))
        return sorted(strokes, key=lambda stroke: stroke[1])

    def onsets(self, duration: float) -> list[float]:
        """The times of the strokes in seconds, each once."""
        return sorted({start for _, start, _ in self.strokes(duration)})

    def render(self, duration: float, sampling_rate: int = 32000) -> torch.Tensor:
        r"""
        Args:
            duration (`float`): seconds; the pattern is repeated, and cut there.
            sampling_rate (`int`, defaults to `32000`): Hz.

        Returns:
            `torch.Tensor` of shape `(1, samples)`, in ±1: `(groove.render(10.0, rate), rate)` is what the pipeline takes as
            `drums`.
        """
        audio = np.zeros(round(duration * sampling_rate))
        for drum, start, velocity in self.strokes(duration):
            sound = velocity * _synthesize(drum, sampling_rate)
            first = round(start * sampling_rate)
            size = min(len(sound), len(audio) - first)
            audio[first : first + size] += sound[:size]
        return torch.from_numpy(0.8 * np.tanh(audio)).float()[None]


GROOVES = {
    "four on the floor": Groove({"kick": "x...x...x...x...", "hat": "..x...x...x...x."}, 124),
    "rock backbeat": Groove({"kick": "x.....x.x.......", "snare": "....x.......x...", "hat": "x.o.x.o.x.o.x.o."}, 116),
}


def _synthesize(drum: str, rate: int) -> np.ndarray:
    time = np.arange(round(0.25 * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(len(time))
    if drum == "kick":
        phase = 2 * np.pi * (50 * time + 100 * 0.03 * (1 - np.exp(-time / 0.03)))
        return 0.8 * np.sin(phase) * np.exp(-time / 0.09)
    if drum in ("snare", "clap"):
        return 0.3 * noise * np.exp(-time / 0.05)
    return 0.1 * np.diff(noise, prepend=0) * np.exp(-time / 0.025)
