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

"""
A few controls written by hand: progressions, tunes and beats as a user would give them, with none of a recording's detail.

They come with a plain rendering of their own (organ tones and simple drums), which is their "original": what the recognisers
find in it is the ceiling, and the drums of it are the drum recording that the model is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..controls.chord_labels import parse_chord
from ..controls.chords import chords_from_bars
from ..data.preparation import cut_chords, cut_notes


@dataclass(frozen=True)
class Sketch:
    r"""
    A piece as it is written down; whatever is shorter than the clip is repeated.

    Args:
        caption (`str`): the prompt.
        bpm (`float`): beats a minute.
        bars (`str`): chords, as [`~controls.chords.chords_from_bars`] reads them.
        tune (`str`): notes and their lengths in beats, such as `"C5:1 R:.5 D5:1.5"`; `R` is a rest.
        kick, snare, hat (`str`): a bar in steps of a quarter of a beat: `x` is a stroke.
        beats_per_bar (`int`, defaults to `4`): the metre.
    """

    caption: str
    bpm: float
    bars: str
    tune: str
    kick: str
    snare: str
    hat: str
    beats_per_bar: int = 4


# The tunes are traditional, or by Beethoven, or of no more than scales and broken chords.
SKETCHES = (
    Sketch(
        "pop with piano, synth lead and drums",
        100,
        "C | G | Am | F",
        "E5:1 G5:1 E5:1 C5:1 D5:1.5 B4:.5 G4:2 C5:1 E5:1 A5:1 E5:1 F5:1.5 E5:.5 D5:2",
        "x...x...x...x...",
        "....x.......x...",
        "x.x.x.x.x.x.x.x.",
    ),
    Sketch(
        "classical, strings, with a beat",
        112,
        "D | A | D | A D",
        "F#5:1 F#5:1 G5:1 A5:1 A5:1 G5:1 F#5:1 E5:1 D5:1 D5:1 E5:1 F#5:1 E5:1 E5:.5 D5:.5 D5:2",
        "x.......x.......",
        "....x.......x...",
        "................",
    ),
    Sketch(
        "blues with electric guitar, drums",
        126,
        "A7 | D7 | A7 | E7",
        "A4:.5 C5:.5 D5:.5 E5:.5 G5:1 E5:1 F#5:1 D5:1 C5:1 D5:1 E5:1 C5:.5 A4:.5 G4:1 A4:1 B4:1 D5:1 G#5:1 E5:1",
        "x.....x.x.......",
        "....x.......x..x",
        "x..xx..xx..xx..x",
    ),
    Sketch(
        "jazz with piano and flute, drums",
        138,
        "Dm7 | G7 | Cmaj7 | Am7",
        "F5:1 A5:1 C6:1 A5:1 B5:1.5 G5:.5 F5:2 E5:1 G5:1 B5:1 G5:1 A5:1.5 G5:.5 E5:2",
        "x.........x.....",
        "......x.......x.",
        "x...x..xx...x..x",
    ),
    Sketch(
        "rock with electric guitar and drums",
        148,
        "Am | G | F | E",
        "A4:.5 B4:.5 C5:1 B4:1 A4:1 B4:1 D5:1 G5:2 A5:1 G5:1 F5:1 C5:1 B4:1 G#4:1 E5:2",
        "x.x.....x.x.....",
        "....x.......x...",
        "x...x...x...x...",
    ),
    Sketch(
        "folk with acoustic guitar and flute, drums",
        96,
        "F | F C | F | C F",
        "F4:1 G4:1 A4:1 F4:1 F4:1 G4:1 A4:1 F4:1 A4:1 Bb4:1 C5:2 A4:1 Bb4:1 C5:2",
        "x.......x.x.....",
        "....x.......x...",
        "..x...x...x...x.",
    ),
    Sketch(
        "waltz with piano and violin, drums",
        152,
        "Em | D | Em | Bm | G | D/F# | Em | B7",
        "E5:1 G5:2 A5:1 B5:1.5 C6:.5 B5:1 A5:2 F#5:1 D5:1.5 E5:.5 F#5:1 G5:2 E5:1 E5:1.5 D#5:.5 E5:1 F#5:2 D#5:1 B4:2",
        "x...........",
        "....x...x...",
        "x.x.x.x.x.x.",
        beats_per_bar=3,
    ),
    Sketch(
        "slow soul with organ and drums",
        78,
        "Bbmaj7 | Cm7 | Dm7 | Ebmaj7 F7",
        "D5:2 F5:1 D5:1 Eb5:2 G5:2 F5:1 A5:1 C6:2 Bb5:1 G5:1 A5:1 Eb5:1",
        "x......x..x.....",
        "....x.......x...",
        "x.x.x.x.x.x.x.xx",
    ),
)


def handwritten_items(sampling_rate: int, duration: float = 10.0) -> list[dict[str, Any]]:
    r"""
    Args:
        sampling_rate (`int`): Hz.
        duration (`float`, defaults to `10.0`): seconds of each.

    Returns:
        `list[dict]`: one item per sketch, as [`~evaluation.evaluate.hear_originals`] takes it.
    """
    return [_play(sketch, sampling_rate, duration) for sketch in SKETCHES]


def _play(sketch: Sketch, rate: int, duration: float) -> dict[str, Any]:
    beat = 60 / sketch.bpm
    chords = chords_from_bars(sketch.bars, sketch.bpm, sketch.beats_per_bar)
    cycle = len(sketch.bars.split("|")) * sketch.beats_per_bar * beat
    chords = cut_chords(_repeat(chords, cycle, duration), 0.0, duration)
    melody = cut_notes(_read_tune(sketch.tune, beat, duration), 0.0, duration)
    strokes = {name: _read_steps(getattr(sketch, name), beat / 4, duration) for name in ("kick", "snare", "hat")}

    ends = [start for _, start in chords[1:]] + [duration]
    music = torch.zeros(round(duration * rate))
    for (label, start), end in zip(chords, ends):
        chord = parse_chord(label)
        pitches = [36 + chord.bass_pitch_class, *sorted(55 + (note - 55) % 12 for note in chord.pitch_classes)]
        for pitch in pitches:
            _add(music, _tone(pitch, end - start, rate, 0.06), start, rate)
    for pitch, start, end in melody:
        _add(music, _tone(pitch, end - start, rate, 0.16), start, rate)
    drums = torch.zeros_like(music)
    sounds = {name: _stroke(name, rate) for name in strokes}
    for name, times in strokes.items():
        for time in times:
            _add(drums, sounds[name], time, rate)
    audio = music + drums
    gain = 0.9 / float(audio.abs().max())
    return {
        "audio": gain * audio[None],
        "stems": {"drums": gain * drums[None]},
        "sampling_rate": rate,
        "duration": duration,
        "caption": sketch.caption,
        "chords": chords,
        "melody": melody,
        "drum_onsets": sorted({time for times in strokes.values() for time in times}),
        "beats": [float(time) for time in np.arange(0, duration, beat)],
        "tempo": sketch.bpm,
    }


def _repeat(chords: Sequence[tuple[str, float]], cycle: float, duration: float) -> list[tuple[str, float]]:
    return [(label, start + cycle * turn) for turn in range(int(duration / cycle) + 1) for label, start in chords]


def _read_tune(tune: str, beat: float, duration: float) -> list[tuple[int, float, float]]:
    notes, start = [], 0.0
    while start < duration:
        for word in tune.split():
            name, _, length = word.partition(":")
            end = start + float(length) * beat
            if name != "R":
                # Not quite tied, as a player would have it.
                notes.append((_to_pitch(name), start, end - 0.05 * beat))
            start = end
    return [note for note in notes if note[1] < duration]


def _to_pitch(name: str) -> int:
    """`"C#5"` → 73."""
    return 12 * (int(name[-1]) + 1) + parse_chord(name[:-1]).root


def _read_steps(bar: str, step: float, duration: float) -> list[float]:
    count = int(np.ceil(duration / step - 1e-9))
    return [round(index * step, 4) for index in range(count) if bar[index % len(bar)] == "x"]


def _add(audio: torch.Tensor, sound: torch.Tensor, start: float, rate: int):
    first = round(start * rate)
    size = min(len(sound), len(audio) - first)
    audio[first : first + size] += sound[:size]


def _tone(pitch: int, seconds: float, rate: int, level: float) -> torch.Tensor:
    """Six harmonics with soft ends, as clicks would be drums."""
    time = torch.arange(round(seconds * rate)) / rate
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    fade = torch.minimum(time, time.flip(0)).div(0.02).clamp(max=1)
    harmonics = [number for number in range(1, 7) if number * frequency < rate / 2]
    return level * fade * sum(0.6 ** (n - 1) * torch.sin(2 * np.pi * n * frequency * time) for n in harmonics)


def _stroke(name: str, rate: int) -> torch.Tensor:
    time = torch.arange(round(0.25 * rate)) / rate
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(len(time))).float()
    if name == "kick":
        # From 150 Hz down to 50 Hz, with a click.
        phase = 2 * np.pi * (50 * time + 100 * 0.03 * (1 - torch.exp(-time / 0.03)))
        return 0.6 * torch.sin(phase) * torch.exp(-time / 0.08) + 0.1 * noise * torch.exp(-time / 0.004)
    if name == "snare":
        return 0.25 * noise * torch.exp(-time / 0.05) + 0.2 * torch.sin(2 * np.pi * 190 * time) * torch.exp(
            -time / 0.04
        )
    # The difference of noise is bright.
    return 0.1 * torch.diff(noise, prepend=noise[:1]) * torch.exp(-time / 0.025)
