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

"""A drum machine: converts step patterns to hits and renders audio for the `drums` control."""

import json
import math
import os
from bisect import bisect_right
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..audio.loudness import limit_peaks
from ..utils.errors import InputError, shorten
from ..utils.names import find_name
from ..utils.numbers import is_number, to_float, to_integer
from .beats import FASTEST, SLOWEST


_VELOCITIES = {".": 0.0, "o": 0.5, "x": 1.0}
_MAX_STEPS = 256
_CHOKE = 0.005  # seconds of the fade-out of an open hat when a closed hat is hit


@dataclass(frozen=True)
class Groove:
    r"""
    A repeating pattern of drum hits.

    Args:
        tracks (`dict`):
            Maps drums (names in `DRUMS`) to their steps, the same number for all drums: a string of `x` (loud), `o`
            (soft) and `.` (rest), or velocities in [0, 1].
        bpm (`float`, defaults to `120.0`): tempo in beats per minute, from 20 to 400.
        swing (`float`, defaults to `0.5`):
            Position of every second step within a pair of steps: 0.5 is straight, 0.67 a shuffle, 0.75 the maximum.
        steps_per_beat (`int`, defaults to `4`): 4 for sixteenths, 3 for triplets; from 1 to 12.

    Raises:
        [`InputError`]: if a drum is unknown, or the steps, the tempo, the swing or the number of steps per beat are
            invalid.
    """

    tracks: Mapping[str, str | Sequence[float]]
    bpm: float = 120.0
    swing: float = 0.5
    steps_per_beat: int = 4

    def __post_init__(self):
        if not isinstance(self.tracks, Mapping) or not self.tracks:
            raise InputError(
                "`tracks` has to contain the steps of at least one drum, such as {'kick': 'x...x...'}.", "tracks"
            )
        for drum, steps in self.tracks.items():
            if drum not in DRUMS:
                raise InputError(f"`tracks`: unknown drum {drum!r}; available drums: {', '.join(DRUMS)}.", "tracks")
            _check_steps(drum, steps)
        if len({len(steps) for steps in self.tracks.values()}) > 1:
            counts = ", ".join(f"{drum} {len(steps)}" for drum, steps in self.tracks.items())
            raise InputError(f"`tracks` have to have the same number of steps, but they have: {counts}.", "tracks")
        # The dataclass is frozen.
        set_field = partial(object.__setattr__, self)
        set_field("bpm", to_float(self.bpm, "bpm", minimum=SLOWEST, maximum=FASTEST, unit="beats per minute"))
        set_field("swing", to_float(self.swing, "swing", minimum=0.5, maximum=0.75))
        set_field("steps_per_beat", to_integer(self.steps_per_beat, "steps_per_beat", minimum=1, maximum=12))
        if self.swing != 0.5 and self.steps_per_beat % 2:
            raise InputError(
                f"`swing` requires an even number of steps per beat, but `steps_per_beat` is {self.steps_per_beat}.",
                "swing",
            )

    @property
    def num_steps(self) -> int:
        """The number of steps of the pattern."""
        return len(next(iter(self.tracks.values())))

    @property
    def seconds(self) -> float:
        """The duration of the pattern in seconds."""
        return self.num_steps * 60 / (self.bpm * self.steps_per_beat)

    @property
    def beats_per_bar(self) -> int:
        """Beats per bar: 4, 3 or 2 if the pattern is one or more such bars, otherwise 4."""
        return next((beats for beats in (4, 3, 2) if self.num_steps % (beats * self.steps_per_beat) == 0), 4)

    def check_beats_per_bar(self, beats_per_bar: int):
        r"""
        Checks a time signature that differs from the groove's.

        Args:
            beats_per_bar (`int`): beats per bar.

        Raises:
            [`InputError`]: unless the pattern lasts a whole number of bars, or a bar a whole number of patterns; a
            pattern with a fraction of a beat fits every time signature.
        """
        beats, fraction = divmod(self.num_steps, self.steps_per_beat)
        if fraction or beats_per_bar == self.beats_per_bar or not (beats % beats_per_bar and beats_per_bar % beats):
            return
        raise InputError(
            f"`beats_per_bar` is {beats_per_bar}, but the groove has {self.beats_per_bar} beats per bar: omit"
            " `beats_per_bar`, or choose another groove.",
            "beats_per_bar",
        )

    def hits(self, duration: float) -> list[tuple[str, float, float]]:
        r"""
        Lists the hits of the repeated pattern.

        Args:
            duration (`float`): duration in seconds, after which the pattern is cut off.

        Returns:
            `list` of `(drum, start in seconds, velocity)`, sorted by start.
        """
        duration = to_float(duration, "duration", minimum=0, unit="seconds")
        step = 60 / (self.bpm * self.steps_per_beat)
        hits = []
        for index in range(math.ceil(duration / step - 1e-9)):
            start = (index + (2 * self.swing - 1) * (index % 2)) * step
            for drum, steps in self.tracks.items():
                velocity = to_velocity(steps[index % self.num_steps])
                if velocity > 0 and start < duration:
                    hits.append((drum, start, velocity))
        return hits

    def onsets(self, duration: float) -> list[float]:
        """The distinct times of the hits in seconds."""
        return sorted({start for _, start, _ in self.hits(duration)})

    def render(self, duration: float, sampling_rate: int) -> torch.Tensor:
        r"""
        Renders audio of the repeated pattern. `(groove.render(10.0, rate), rate)` can be passed to the pipeline as
        `drums`.

        Args:
            duration (`float`): duration in seconds, after which the pattern is cut off.
            sampling_rate (`int`): sampling rate in Hz.

        Returns:
            `torch.Tensor` of shape `(1, samples)`, in [-0.89, 0.89].
        """
        duration = to_float(duration, "duration", minimum=0, unit="seconds")
        sampling_rate = to_integer(sampling_rate, "sampling_rate", minimum=1)
        audio = play_hits(self.hits(duration), duration, sampling_rate)
        return limit_peaks(torch.from_numpy(audio)[None], sampling_rate)


def to_velocity(step: str | float) -> float:
    """The velocity of a step of a groove, which is a character or a velocity; 0 for a rest."""
    return _VELOCITIES[step] if isinstance(step, str) else float(step)


def play_hits(
    hits: Sequence[tuple[str, float, float]], duration: float, sampling_rate: int, tuning: float = 1.0
) -> np.ndarray:
    r"""
    Renders drum hits.

    Args:
        hits (`Sequence`): tuples `(drum, start in seconds, velocity in [0, 1])`.
        duration (`float`): duration of the audio in seconds.
        sampling_rate (`int`): sampling rate in Hz.
        tuning (`float`, defaults to `1.0`): playback speed of the sounds; 2 is an octave higher and half as long.

    Returns:
        `np.ndarray` of shape `(samples,)`, float32. Simultaneous hits may exceed ±1.
    """
    hats = sorted(start for drum, start, _ in hits if drum == "hat")
    audio = np.zeros(round(duration * sampling_rate), dtype=np.float32)
    for drum, start, velocity in hits:
        sound = velocity * _synthesize(drum, round(sampling_rate / tuning))
        if drum == "open hat" and (closing := bisect_right(hats, start)) < len(hats):
            time = np.arange(len(sound)) / sampling_rate
            sound *= np.clip(1 - (time - (hats[closing] - start)) / _CHOKE, 0, 1)
        first = round(start * sampling_rate)
        size = min(len(sound), len(audio) - first)
        audio[first : first + size] += sound[:size]
    return audio


def _check_steps(drum: str, steps: str | Sequence[float]):
    if isinstance(steps, str):
        valid = set(steps) <= _VELOCITIES.keys()
    else:
        is_list = isinstance(steps, Sequence) or (isinstance(steps, (np.ndarray, torch.Tensor)) and steps.ndim == 1)
        valid = is_list and all(is_number(value) and 0 <= value <= 1 for value in steps)
    if not valid:
        raise InputError(
            f"`tracks`: the steps of {drum!r} have to be characters 'x', 'o' and '.', or velocities from 0 to 1, but are"
            f" {shorten(steps)}.",
            "tracks",
        )
    if not 1 <= len(steps) <= _MAX_STEPS:
        raise InputError(
            f"`tracks`: there have to be 1 to {_MAX_STEPS} steps of {drum!r}, but there are {len(steps)}.", "tracks"
        )


# Synthesis of the sounds: decaying sines and band-limited noise.


@lru_cache(maxsize=64)
def _synthesize(drum: str, rate: int) -> np.ndarray:
    """One loud hit with its complete decay."""
    return DRUMS[drum](rate).astype(np.float32)


def _decay(rate: int, half_life: float, attack: float = 0.0005) -> np.ndarray:
    """An exponential envelope of eight half-lives (seconds each) with a short fade-in and fade-out."""
    time = np.arange(round(8 * half_life * rate)) / rate
    return np.minimum(time / attack, 1) * 0.5 ** (time / half_life) * np.minimum((time[-1] - time) / 0.002, 1)


def _noise(envelope: np.ndarray, rate: int, low: float, high: float = math.inf) -> np.ndarray:
    """Noise between two frequencies in Hz, with slopes that are an octave wide."""
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(len(envelope)))
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(envelope), 1 / rate), 1))
    gain = np.clip(octaves - math.log2(low) + 1, 0, 1) * np.clip(math.log2(high) + 1 - octaves, 0, 1)
    noise = np.fft.irfft(spectrum * gain, len(envelope))
    return envelope * noise / (np.abs(noise).max() + 1e-9)


def _sine(envelope: np.ndarray, rate: int, frequency: float, bend: float = 0.0, bend_time: float = 0.03) -> np.ndarray:
    """A sine whose frequency (Hz) starts higher by `bend` (Hz) and falls with the time constant `bend_time` (s)."""
    time = np.arange(len(envelope)) / rate
    return envelope * np.sin(2 * np.pi * (frequency * time + bend * bend_time * (1 - np.exp(-time / bend_time))))


def _mix(*sounds: np.ndarray) -> np.ndarray:
    mixed = np.zeros(max(map(len, sounds)))
    for sound in sounds:
        mixed[: len(sound)] += sound
    return mixed


def _kick(rate: int) -> np.ndarray:
    click = _noise(_decay(rate, 0.003), rate, 1500, 5000)
    return _mix(0.75 * _sine(_decay(rate, 0.07, 0.001), rate, 50, bend=170), 0.12 * click)


def _snare(rate: int) -> np.ndarray:
    head = _mix(_sine(_decay(rate, 0.025), rate, 185, bend=60), 0.5 * _sine(_decay(rate, 0.015), rate, 330))
    return _mix(0.3 * head, 0.45 * _noise(_decay(rate, 0.045), rate, 1800))


def _hat(rate: int) -> np.ndarray:
    return 0.45 * _noise(_decay(rate, 0.014), rate, 6000)


def _open_hat(rate: int) -> np.ndarray:
    return 0.35 * _noise(_decay(rate, 0.09), rate, 5500)


def _clap(rate: int) -> np.ndarray:
    hands = np.zeros(round(0.03 * rate))
    for start in (0, 0.01, 0.02):
        first = round(start * rate)
        hands[first:] = 0.5 ** (np.arange(len(hands) - first) / rate / 0.003)
    room = np.concatenate([np.zeros(round(0.02 * rate)), 0.7 * _decay(rate, 0.04)])
    envelope = np.maximum(room, np.pad(hands, (0, len(room) - len(hands))))
    return 0.9 * _noise(envelope, rate, 1000, 4000)


def _rim(rate: int) -> np.ndarray:
    return _mix(0.35 * _sine(_decay(rate, 0.008), rate, 1700), 0.3 * _sine(_decay(rate, 0.01), rate, 480))


def _tom(rate: int) -> np.ndarray:
    return _mix(
        0.6 * _sine(_decay(rate, 0.08), rate, 110, bend=60), 0.08 * _noise(_decay(rate, 0.01), rate, 800, 3000)
    )


def _ride(rate: int) -> np.ndarray:
    bell = np.sum([_sine(_decay(rate, 0.12), rate, frequency) for frequency in (2610, 3480, 4370, 5290)], axis=0)
    return _mix(
        0.04 * bell, 0.14 * _noise(_decay(rate, 0.1), rate, 5000), 0.1 * _noise(_decay(rate, 0.006), rate, 3000)
    )


def _cowbell(rate: int) -> np.ndarray:
    envelope = _mix(0.6 * _decay(rate, 0.05), 0.4 * _decay(rate, 0.01))
    harmonics = [(number, frequency) for number in (1, 3, 5) for frequency in (540, 800)]
    return 0.22 * np.sum(
        [_sine(envelope, rate, number * frequency) / number for number, frequency in harmonics], axis=0
    )


def _shaker(rate: int) -> np.ndarray:
    return 0.4 * _noise(_decay(rate, 0.02, attack=0.02), rate, 4500)


DRUMS = {
    "kick": _kick,
    "snare": _snare,
    "rim": _rim,
    "clap": _clap,
    "hat": _hat,
    "open hat": _open_hat,
    "ride": _ride,
    "tom": _tom,
    "cowbell": _cowbell,
    "shaker": _shaker,
}

_FOUR = "x...x...x...x..."
_BACK = "....x.......x..."
_EIGHTHS = "x.o.x.o.x.o.x.o."

# Standard (public-domain) drum patterns, one bar each.
GROOVES = {
    "four on the floor": Groove({"kick": _FOUR, "hat": "..x...x...x...x."}, 122),
    "house": Groove({"kick": _FOUR, "clap": _BACK, "hat": "oo.ooo.ooo.ooo.o", "open hat": "..x...x...x...x."}, 124),
    "techno": Groove({"kick": _FOUR, "clap": _BACK, "hat": "o.xoo.xoo.xoo.xo", "rim": "...x..x....x..x."}, 132),
    "disco": Groove({"kick": _FOUR, "snare": _BACK, "hat": "xo.oxo.oxo.oxo.o", "open hat": "..x...x...x...x."}, 116),
    "rock backbeat": Groove({"kick": "x.....x.x.......", "snare": _BACK, "hat": _EIGHTHS}, 116),
    "half time": Groove({"kick": "x.....x.......x.", "snare": "........x.......", "hat": _EIGHTHS}, 140),
    "funk": Groove({"kick": "x.x...x...x..x..", "snare": "....x..o.o..x..o", "hat": "xoxoxoxoxoxoxoxo"}, 100),
    "boom bap": Groove({"kick": "x.o....x..x.....", "snare": _BACK, "hat": _EIGHTHS}, 90, swing=0.58),
    "trap hats": Groove({"kick": "x.....x...x.....", "clap": "........x.......", "hat": "x.x.xxx.x.xxx.ox"}, 140),
    "breakbeat": Groove({"kick": "x.x.......xx....", "snare": "....x..o.o..x..o", "ride": "x.x.x.x.x.x.x.x."}, 138),
    "drum and bass": Groove({"kick": "x.........x.....", "snare": _BACK, "hat": "x.o.xoo.x.o.xoo."}, 172),
    "reggae one drop": Groove(
        {"kick": "........x.......", "rim": "........x.......", "hat": _EIGHTHS}, 76, swing=0.56
    ),
    "reggaeton": Groove({"kick": _FOUR, "snare": "...x..x....x..x.", "hat": "x.x.x.x.x.x.x.x."}, 94),
    "bossa nova": Groove({"kick": "x..xx..xx..xx..x", "rim": "x..x..x...x..x..", "shaker": "xoooxoooxoooxooo"}, 128),
    "shuffle": Groove({"kick": "x.....x.....", "snare": "...x.....x..", "hat": "x.ox.ox.ox.o"}, 112, steps_per_beat=3),
    "swing": Groove({"kick": "o..o..o..o..", "hat": "...x.....x..", "ride": "x..x.xx..x.x"}, 150, steps_per_beat=3),
    "waltz": Groove({"kick": "x...........", "snare": "....o...o...", "hat": "x...x...x..."}, 144),
}


def find_groove(name: str, bpm: float | None = None) -> Groove:
    r"""
    Finds a groove of `GROOVES` by name.

    Args:
        name (`str`): name of the groove; case, hyphens and spaces are ignored.
        bpm (`float`, *optional*): overrides the tempo of the groove (beats per minute).

    Raises:
        [`InputError`]: if the name is unknown (the message lists the known names) or the tempo is invalid.
    """
    groove = GROOVES[find_name(name, GROOVES, "groove")]
    return groove if bpm is None else replace(groove, bpm=bpm)


def is_groove_name(value: Any) -> bool:
    """Whether `value` is the name of a groove of `GROOVES`, as [`find_groove`] accepts it."""
    if not isinstance(value, str):
        return False
    try:
        find_groove(value)
    except InputError:
        return False
    return True


def read_groove(path: str | os.PathLike) -> Groove:
    r"""
    Reads a groove from a JSON file with the arguments of [`Groove`], as `scripts/extract_grooves.py` writes it.

    Args:
        path (`str` or `os.PathLike`): the file, such as `loop.groove.json`.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the file is not JSON, or a field is unknown, missing or invalid; the message names the file and
            the field.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"`path`: the file {file} does not exist.")
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:  # also for other encodings
        raise InputError(f"`path`: {file} is not JSON: {error}.", "path") from None
    names = [field.name for field in fields(Groove)]
    if not isinstance(content, dict) or "tracks" not in content:
        raise InputError(
            f"`path`: {file} is not a groove, an object with the field `tracks`, but {shorten(content)}.", "path"
        )
    if unknown := sorted(set(content) - set(names)):
        raise InputError(f"`path`: {file}: unknown field {shorten(unknown[0])}; known: {', '.join(names)}.", "path")
    try:
        return Groove(**content)
    except InputError as error:
        raise InputError(f"`path`: {file}: {error}", "path") from None


def is_groove_file(value: Any) -> bool:
    """Whether `value` is the name of a file for [`read_groove`]: one that ends in `.json`."""
    return isinstance(value, (str, os.PathLike)) and os.fsdecode(value).lower().endswith(".json")


def load_groove(name: str | os.PathLike) -> Groove:
    """Returns the groove of a file, see [`is_groove_file`] and [`read_groove`], or of a name, see [`find_groove`]."""
    return read_groove(name) if is_groove_file(name) else find_groove(os.fsdecode(name))


def accept_groove_as_drums(options: MutableMapping[str, Any]):
    """Moves the file of a groove from `options["drums"]` to `options["groove"]`, which names a preset or a file."""
    if options.get("groove") is None and is_groove_file(options.get("drums")):
        options["groove"], options["drums"] = options["drums"], None
