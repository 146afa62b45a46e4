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
Handwritten controls: progressions, melodies and beats as a user would write them, without the detail of recordings.
Twelve of them walk through all chords of the model's vocabulary, with melodies over its whole range and unusual beats.

Each has a plain rendering (organ tones and simple drums) that serves as its reference clip: it determines the ceiling,
and its drums are the drum recording that the model receives.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..controls.chord_labels import NOTES, default_chord_labels, parse_chord
from ..controls.chords import chords_from_bars
from ..controls.melody import HIGHEST_PITCH, LOWEST_PITCH
from ..data.preparation.controls import cut_chords, cut_notes


@dataclass(frozen=True)
class Sketch:
    r"""
    A handwritten piece. Parts that are shorter than the clip are repeated.

    Args:
        caption (`str`): the prompt.
        bpm (`float`): tempo in BPM.
        bars (`str`): chords, as [`~controls.chords.chords_from_bars`] reads them.
        lead (`str`): notes with their lengths in beats, such as `"C5:1 R:.5 D5:1.5"`; `R` is a rest.
        kick, snare, hat (`str`):
            Step patterns in which `x` is a hit. Each repeats independently, so patterns may have different lengths.
        beats_per_bar (`int`, defaults to `4`): beats per bar.
        step (`float`, defaults to `0.25`): length of a step in beats.
    """

    caption: str
    bpm: float
    bars: str
    lead: str
    kick: str
    snare: str
    hat: str
    beats_per_bar: int = 4
    step: float = 0.25


# One chord of each of the sixteen kinds, all on C. A walk moves around the circle of fourths meanwhile, so that twelve
# walks, one from each root, contain all 192 chords.
WALK = (
    *("Cm7", "C7", "Cmaj7", "C6", "Cm7b5", "C7/E", "Cm", "Cm6"),
    *("C/Bb", "Cdim", "Caug", "C", "C/E", "C/D", "C/G", "Cm7b5/Bb"),
)
CHORD_SECONDS = 0.625  # one walk takes 10 s


def _walk(number: int, caption: str, bpm: float, first: int, last: int, rhythm: str, *hits: str, **meter) -> Sketch:
    r"""
    A sketch whose progression is a walk and whose melody consists of chord tones.

    Args:
        number (`int`): index of the walk, from 0 to 11.
        caption (`str`): the prompt.
        bpm (`float`): tempo in BPM. A chord has 1, 1.5 or 2 beats at 96, 144 or 192 BPM.
        first (`int`), last (`int`): MIDI pitches between which the melody moves from the beginning to the end.
        rhythm (`str`): repeated lengths of the melody's notes in beats; `"R:.5"` is a rest.
        hits (`str`): patterns of kick, snare and hat.
        meter: `beats_per_bar` and `step` of the sketch.
    """
    labels = {
        (chord.root, chord.intervals, chord.bass): label
        for label in default_chord_labels()
        if (chord := parse_chord(label))
    }
    kinds = [parse_chord(label) for label in WALK]
    walk = [labels[(number + 5 * index) % 12, kind.intervals, kind.bass] for index, kind in enumerate(kinds)]
    # Rotated, so that each walk starts with another kind of chord.
    walk = walk[number:] + walk[:number]
    beats = bpm / 60 * CHORD_SECONDS
    per_bar = round(meter.get("beats_per_bar", 4) / beats)
    bars = [walk[start : start + per_bar] for start in range(0, len(walk), per_bar)]
    # The last chord fills up the last bar.
    bars[-1] += ["."] * (per_bar - len(bars[-1]))

    lead, time, pitch = [], 0.0, None
    for note in itertools.cycle(rhythm.split()):
        position = time / beats
        if position > len(walk) - 0.01:
            break
        length = note.removeprefix("R:")
        if note == length:
            tones = parse_chord(walk[int(position + 0.01)]).pitch_classes
            candidates = [p for p in range(LOWEST_PITCH, HIGHEST_PITCH + 1) if p % 12 in tones and p != pitch]
            target = first + (last - first) * position / len(walk)
            pitch = min(candidates, key=lambda p: abs(p - target))
            note = f"{NOTES[pitch % 12]}{pitch // 12 - 1}:{length}"
        lead.append(note)
        time += float(length)
    return Sketch(caption, bpm, " | ".join(" ".join(bar) for bar in bars), " ".join(lead), *hits, **meter)


# The melodies are traditional, by Beethoven, or consist of scales and broken chords.
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
    # Two hits in two bars
    _walk(
        0,
        "slow soundtrack with cello and strings, drums",
        96,
        43,
        60,
        "1",
        "x...............................",
        "....................x...........",
        ".",
    ),
    # Five beats per bar
    _walk(
        1,
        "jazz with trombone and piano, drums",
        96,
        64,
        48,
        ".5 .5 1",
        "x.....x...x.........",
        "........x.......x...",
        "x.x.x.x.x.x.x.x.x.x.",
        beats_per_bar=5,
    ),
    # A seven-step pattern against the bar
    _walk(
        2,
        "funk with tenor saxophone and electric piano, drums",
        96,
        50,
        67,
        ".75 .25",
        "x..x...",
        ".....x.",
        "x.x.x..",
    ),
    # A fill in every fourth bar
    _walk(
        3,
        "rock with synth lead and electric guitar, drums",
        96,
        72,
        55,
        ".5 .5",
        "x...x...x...x..." * 3 + "x...x...x.......",
        "....x.......x..." * 3 + "x.xxx.xxx.xxxxxx",
        "x.x.x.x." * 6 + "........" * 2,
    ),
    # Triplets
    _walk(
        4,
        "blues with clarinet and piano, drums",
        96,
        57,
        76,
        ".6667 .3333",
        "x.....x..x..",
        "...x.....x..",
        "x.xx.xx.xx.x",
        step=1 / 3,
    ),
    # Quarter-note triplets
    _walk(
        5,
        "latin with trumpet and piano, drums",
        96,
        79,
        62,
        "1 .5 .5",
        "x.....",
        "..x..x",
        "xxx",
        step=2 / 3,
    ),
    # A clave
    _walk(
        6,
        "salsa with flute and piano, drums",
        96,
        64,
        83,
        ".5 R:.5 .5 .5",
        "......x.......x.",
        "x..x..x...x.x...",
        "x.xx",
    ),
    # Cycles of three and five steps
    _walk(
        7,
        "electronic music with synth lead and synth pad, drums",
        96,
        86,
        67,
        "1",
        "x..",
        "........x.......",
        "x....",
    ),
    # Two against three
    _walk(
        8,
        "waltz with violin and accordion, drums",
        144,
        71,
        90,
        ".5 .5 .5",
        "x.....x.....",
        "....x...x...",
        "x..x..",
        beats_per_bar=3,
    ),
    # Fast tempo
    _walk(
        9,
        "fast punk with synth lead and distorted guitar, drums",
        192,
        95,
        74,
        "1",
        "x.x.x.x.",
        ".x.x.x.x",
        "x",
        step=0.5,
    ),
    # Nothing on the first beat
    _walk(
        10,
        "reggae with piccolo and organ, drums",
        96,
        79,
        95,
        "R:.5 .5 .5 .5",
        "........x.......",
        "........x.....x.",
        ".x.x..x.",
    ),
    # Seven beats per bar
    _walk(
        11,
        "progressive rock with synth lead and organ, drums",
        96,
        95,
        43,
        ".5 .25 .25",
        "x.....x...x...",
        "....x.......x.",
        "x.x.x.x.x.x.xx",
        beats_per_bar=7,
        step=0.5,
    ),
)


def handwritten_items(sampling_rate: int, duration: float = 10.0) -> list[dict[str, Any]]:
    r"""
    Args:
        sampling_rate (`int`): Hz.
        duration (`float`, defaults to `10.0`): length of each clip in seconds.

    Returns:
        `list[dict]`: one item per sketch, as [`~evaluation.evaluate.analyze_references`] takes it.
    """
    return [_render(sketch, sampling_rate, duration) for sketch in SKETCHES]


def _render(sketch: Sketch, rate: int, duration: float) -> dict[str, Any]:
    beat = 60 / sketch.bpm
    chords = chords_from_bars(sketch.bars, sketch.bpm, sketch.beats_per_bar)
    cycle = len(sketch.bars.split("|")) * sketch.beats_per_bar * beat
    chords = cut_chords(_repeat(chords, cycle, duration), 0.0, duration)
    melody = cut_notes(_read_melody(sketch.lead, beat, duration), 0.0, duration)
    hits = {
        name: _read_steps(getattr(sketch, name), sketch.step * beat, duration) for name in ("kick", "snare", "hat")
    }

    ends = [start for _, start in chords[1:]] + [duration]
    music = torch.zeros(round(duration * rate))
    for (label, start), end in zip(chords, ends):
        chord = parse_chord(label)
        add_sound(music, play_tone(36 + chord.bass_pitch_class, end - start, rate, 0.12), start, rate)
        for note in sorted(chord.pitch_classes):
            add_sound(music, play_tone(55 + (note - 55) % 12, end - start, rate, 0.06), start, rate)
    for pitch, start, end in melody:
        add_sound(music, play_tone(pitch, end - start, rate, 0.16), start, rate)
    drums = torch.zeros_like(music)
    sounds = {name: _drum_sound(name, rate) for name in hits}
    for name, times in hits.items():
        for time in times:
            add_sound(drums, sounds[name], time, rate)
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
        "drum_onsets": sorted({time for times in hits.values() for time in times}),
        "beats": np.arange(0, duration, beat).tolist(),
        "downbeats": np.arange(0, duration, sketch.beats_per_bar * beat).tolist(),
        "beats_per_bar": sketch.beats_per_bar,
        "tempo": sketch.bpm,
    }


def _repeat(chords: Sequence[tuple[str, float]], cycle: float, duration: float) -> list[tuple[str, float]]:
    return [(label, start + cycle * n) for n in range(int(duration / cycle) + 1) for label, start in chords]


def _read_melody(lead: str, beat: float, duration: float) -> list[tuple[int, float, float]]:
    notes, start = [], 0.0
    while start < duration:
        for note in lead.split():
            name, _, length = note.partition(":")
            end = start + float(length) * beat
            if name != "R":
                # A short gap separates repeated notes.
                notes.append((_to_pitch(name), start, end - 0.05 * beat))
            start = end
    return [note for note in notes if note[1] < duration]


def _to_pitch(name: str) -> int:
    """`"C#5"` → 73."""
    return 12 * (int(name[-1]) + 1) + parse_chord(name[:-1]).root


def _read_steps(pattern: str, step: float, duration: float) -> list[float]:
    count = int(np.ceil(duration / step - 1e-9))
    return [round(index * step, 4) for index in range(count) if pattern[index % len(pattern)] == "x"]


def add_sound(audio: torch.Tensor, sound: torch.Tensor, start: float, rate: int):
    """Adds a sound to `audio` `(samples,)` from `start` (seconds) on; the part after the end of `audio` is left out."""
    first = round(start * rate)
    size = min(len(sound), len(audio) - first)
    audio[first : first + size] += sound[:size]


def play_tone(pitch: int, seconds: float, rate: int, level: float) -> torch.Tensor:
    """An organ tone `(samples,)`: six harmonics with fades, as clicks would be detected as drums."""
    time = torch.arange(round(seconds * rate)) / rate
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    fade = torch.minimum(time, time.flip(0)).div(0.02).clamp(max=1)
    harmonics = [number for number in range(1, 7) if number * frequency < rate / 2]
    return level * fade * sum(0.6 ** (n - 1) * torch.sin(2 * np.pi * n * frequency * time) for n in harmonics)


def _drum_sound(name: str, rate: int) -> torch.Tensor:
    time = torch.arange(round(0.25 * rate)) / rate
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(len(time))).float()
    if name == "kick":
        # A sweep from 150 Hz to 50 Hz with a click.
        phase = 2 * np.pi * (50 * time + 100 * 0.03 * (1 - torch.exp(-time / 0.03)))
        return 0.6 * torch.sin(phase) * torch.exp(-time / 0.08) + 0.1 * noise * torch.exp(-time / 0.004)
    if name == "snare":
        return 0.25 * noise * torch.exp(-time / 0.05) + 0.2 * torch.sin(2 * np.pi * 190 * time) * torch.exp(
            -time / 0.04
        )
    # Differentiation makes noise bright.
    return 0.1 * torch.diff(noise, prepend=noise[:1]) * torch.exp(-time / 0.025)
