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


"""Synthetic voices: melodies that are sung, hummed and whistled, with their notes."""

import math
from dataclasses import dataclass

import numpy as np


_CONTROL_RATE = 200  # Hz, of pitch and level
_MAX_FREQUENCY = 7000.0  # Hz, of harmonics
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))
_RHYTHMS = ((1, 1, 1, 1), (1, 0.5, 0.5, 1, 1), (0.5, 0.5, 0.5, 0.5, 1, 1), (1.5, 0.5, 2), (2, 1, 1))
_FAST_RHYTHMS = ((0.25, 0.25, 0.25, 0.25, 0.5, 0.5, 1), (0.5, 0.25, 0.25, 1, 0.25, 0.25, 0.5))
# Frequencies of the first three formants in Hz.
_VOWELS = {"a": (800, 1200, 2700), "o": (450, 800, 2600), "u": (330, 700, 2500), "i": (300, 2200, 3000)}
_NASAL = (250, 1100, 2400)

Note = tuple[int, float, float]


@dataclass(frozen=True)
class Voice:
    r"""
    A manner of singing.

    Args:
        name (`str`): name of the voice.
        lowest, highest (`int`): range in MIDI numbers.
        vibrato (`float`): largest deviation of the vibrato in semitones.
        glide (`float`): duration of glides between notes in seconds.
        scoop (`float`): semitones below the note from which notes begin after rests.
        syllables (`str`): `"consonants"`, `"hum"` (softer for a moment), or `"slurred"` (only repeated notes are
            separated).
        noise (`float`): level of the background noise in dB relative to the voice.
        breathiness (`float`): amplitude of aspiration relative to the voice.
        fast (`bool`): whether there are sixteenths.
        whistled (`bool`): whether it is a whistle: a single harmonic.
    """

    name: str
    lowest: int
    highest: int
    vibrato: float = 0.0
    glide: float = 0.05
    scoop: float = 0.0
    syllables: str = "consonants"
    noise: float = -45.0
    breathiness: float = 0.02
    fast: bool = False
    whistled: bool = False


VOICES = (
    Voice("bass", 43, 57, vibrato=0.3, scoop=1.0),
    Voice("baritone, vibrato", 45, 62, vibrato=0.8, glide=0.09),
    Voice("tenor, glides", 50, 67, vibrato=0.3, glide=0.14, scoop=2.0, syllables="slurred"),
    Voice("alto, hummed", 55, 72, glide=0.08, syllables="hum"),
    Voice("soprano, vibrato", 62, 81, vibrato=1.0, glide=0.09, syllables="slurred"),
    Voice("fast syllables", 52, 72, glide=0.03, fast=True),
    Voice("hummed, noisy", 48, 65, vibrato=0.2, glide=0.07, syllables="hum", noise=-18.0),
    Voice("breathy", 57, 74, vibrato=0.3, glide=0.06, scoop=1.5, breathiness=0.15, noise=-30.0),
    Voice("whistled", 74, 93, vibrato=0.3, glide=0.06, syllables="hum", breathiness=0.05, whistled=True),
)


def compose_melody(voice: Voice, duration: float, rng: np.random.Generator) -> list[Note]:
    """Notes `(MIDI number, start, end)` of phrases with rests, steps, leaps and repeated notes."""
    beat = 60 / rng.uniform(130, 140) if voice.fast else 60 / rng.uniform(70, 125)
    tonic, scale = int(rng.integers(12)), _SCALES[rng.integers(len(_SCALES))]
    degrees = [key for key in range(voice.lowest, voice.highest + 1) if (key - tonic) % 12 in scale]
    position, time = len(degrees) // 2, rng.uniform(0.3, 0.6)
    notes: list[Note] = []
    while True:
        rhythms = _FAST_RHYTHMS if voice.fast else _RHYTHMS
        lengths = [length * beat for _ in range(2) for length in rhythms[rng.integers(len(rhythms))]]
        for number, length in enumerate(lengths):
            step = rng.choice([0, 1, -1, 2, -2, 4, -3], p=[0.22, 0.25, 0.25, 0.09, 0.09, 0.05, 0.05])
            position = int(np.clip(position + step, 0, len(degrees) - 1))
            end = time + length - (0.3 * beat if number == len(lengths) - 1 else 0)
            if end > duration - 0.3:
                return notes
            notes.append((degrees[position], float(time), float(end)))
            time += length
        time += beat * rng.choice([0, 1])


def sing(
    notes: list[Note], duration: float, voice: Voice, rng: np.random.Generator, sampling_rate: int = 32000
) -> np.ndarray:
    r"""
    Sings notes.

    Args:
        notes (`list[tuple[int, float, float]]`): MIDI number, start and end in seconds, one after another.
        duration (`float`): seconds.
        voice ([`Voice`]): the manner of singing.
        rng (`np.random.Generator`): source of all random choices.
        sampling_rate (`int`, defaults to `32000`): Hz.

    Returns:
        `np.ndarray` of shape `(samples,)`, float32.
    """
    size, frames = round(duration * sampling_rate), round(duration * _CONTROL_RATE) + 1
    times = np.arange(frames) / _CONTROL_RATE
    pitch, level, hiss = _shape_pitch(notes, times, voice, rng), *_shape_level(notes, times, voice, rng)
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    samples = np.arange(size) / sampling_rate
    phase = 2 * np.pi * np.cumsum(np.interp(samples, times, frequency)) / sampling_rate
    audio = np.zeros(size)
    amplitudes = _harmonics(notes, times, frequency, voice, rng)
    for number, amplitude in enumerate(amplitudes, start=1):
        if amplitude.any():
            audio += np.interp(samples, times, amplitude * level) * np.sin(number * phase)
    audio *= 0.1 / max(np.sqrt(np.mean(audio**2)), 1e-6)
    # Aspiration, consonants and breaths, and a room.
    audio += 0.3 * np.interp(samples, times, hiss) * _noise(size, sampling_rate, 1500, 6000, rng)
    audio += 0.1 * 10 ** (voice.noise / 20) * _noise(size, sampling_rate, 0, 3000, rng)
    return (0.5 * audio / np.abs(audio).max()).astype(np.float32)


def _shape_pitch(notes: list[Note], times: np.ndarray, voice: Voice, rng: np.random.Generator) -> np.ndarray:
    """Fractional MIDI numbers, with glides, scoops, vibrato and drift."""
    pitch = np.full(len(times), float(notes[0][0]) if notes else 60.0)
    last_key, last_end = 0, -math.inf
    for key, start, end in notes:
        after = times >= start - 0.4 * voice.glide
        elapsed = times[after] - start
        legato = start - last_end < 0.05
        origin = last_key if legato else key - voice.scoop * rng.uniform(0.5, 1)
        glide = max(voice.glide, 0.02) if legato else 0.1
        part = np.clip(elapsed / glide + (0.4 if legato else 0), 0, 1)
        pitch[after] = origin + (key - origin) * (0.5 - 0.5 * np.cos(np.pi * part))
        depth = voice.vibrato * rng.uniform(0.6, 1) * np.clip((elapsed - 0.1) / 0.2, 0, 1)
        pitch[after] += depth * np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * elapsed)
        last_key, last_end = key, end
    drift = np.convolve(rng.standard_normal(len(times) + 99), np.hanning(100), mode="valid")
    return pitch + rng.uniform(-0.3, 0.3) + 0.1 * drift / max(drift.std(), 1e-6)


def _shape_level(
    notes: list[Note], times: np.ndarray, voice: Voice, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes of the voice and of its noises."""
    level, hiss = np.zeros(len(times)), np.zeros(len(times))
    for number, (key, start, end) in enumerate(notes):
        inside = (times >= start) & (times < end)
        elapsed, left = times[inside] - start, end - times[inside]
        follows = number and start - notes[number - 1][2] < 0.05
        repeated = follows and notes[number - 1][0] == key
        leads = number + 1 < len(notes) and notes[number + 1][1] - end < 0.05
        shape = rng.uniform(0.7, 1) * (1 - 0.2 * elapsed / (end - start))
        if not leads:
            shape *= np.clip(left / 0.06, 0, 1)
        slurred = voice.syllables == "slurred" and follows and not repeated
        if voice.syllables == "consonants" or (voice.syllables == "slurred" and repeated):
            shape *= np.clip(elapsed / 0.03, 0, 1)
            # Half of the consonants are unvoiced, the others only soften the voice.
            closed, burst = (0.02, 0.25) if rng.random() < 0.5 else (0.3, 0.05)
            closure = (times >= start - 0.05) & (times < start)
            level[closure] *= closed
            hiss[(times >= start - 0.02) & (times < start + 0.01)] += burst
        elif not slurred:
            shape *= 1 - rng.uniform(0.75, 0.9) * np.clip(1 - elapsed / 0.05, 0, 1) if follows else 1
            shape *= 1 if follows else np.clip(elapsed / 0.05, 0, 1)
        level[inside] = shape
        if not follows and start > 0.35 and rng.random() < 0.6:
            hiss[(times >= start - 0.3) & (times < start - 0.1)] += 0.06  # breath
    smooth = np.hanning(5) / np.hanning(5).sum()
    level = np.convolve(level, smooth, mode="same")
    return level, np.convolve(hiss, smooth, mode="same") + voice.breathiness * level


def _harmonics(
    notes: list[Note], times: np.ndarray, frequency: np.ndarray, voice: Voice, rng: np.random.Generator
) -> np.ndarray:
    """Amplitudes `(harmonics, frames)`: a falling spectrum through the formants of a vowel per note."""
    if voice.whistled:
        return np.stack([np.ones(len(times)), np.full(len(times), 0.01)])
    formants = np.tile(np.array(_NASAL, dtype=float), (len(times), 1))
    if voice.syllables != "hum":
        for _, start, _ in notes:
            formants[times >= start] = _VOWELS[str(rng.choice(list(_VOWELS)))]
        kernel = np.hanning(11) / np.hanning(11).sum()
        formants = np.stack([np.convolve(np.pad(line, 5, mode="edge"), kernel, "valid") for line in formants.T], 1)
    count = max(int(_MAX_FREQUENCY / frequency.min()), 1)
    amplitudes = np.zeros((count, len(times)))
    for number in range(1, count + 1):
        partial = number * frequency
        gain = sum(
            weight / np.sqrt((1 - (partial / center) ** 2) ** 2 + (0.15 * partial / center) ** 2)
            for weight, center in zip((1.0, 0.5, 0.25), formants.T)
        )
        amplitudes[number - 1] = np.where(partial < _MAX_FREQUENCY, gain / number, 0)
    return amplitudes


def _noise(size: int, sampling_rate: int, lowest: float, highest: float, rng: np.random.Generator) -> np.ndarray:
    """Noise with a soft band from `lowest` to `highest` (Hz), with unit variance."""
    spectrum = np.fft.rfft(rng.standard_normal(size))
    frequencies = np.fft.rfftfreq(size, 1 / sampling_rate)
    spectrum *= 1 / (1 + (frequencies / highest) ** 4) * (frequencies**2 / (frequencies**2 + lowest**2 + 1e-9))
    noise = np.fft.irfft(spectrum, size)
    return noise / max(noise.std(), 1e-9)
