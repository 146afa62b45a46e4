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


r"""
Measures the form of signals that have none, to check that the measures of form reject them:

    OMP_NUM_THREADS=1 python scripts/evaluate_form.py

Signals are noise, modulated noise and pads, blurred music, and sounds with a beat or a harmony only. They are compared
with synthetic music of the validation split. Prints a table of means over signals, and of A of beat strength and of
harmony (0: chance, 1: the music), as docs/guides/evaluation/form.md defines them.
"""

import sys
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from diffusers_jasco.audio.resampling import resample
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.synthetic.rendering import RENDERERS
from diffusers_jasco.evaluation.metrics.form import Form, compare_form, form_floor, measure_form
from diffusers_jasco.utils.arguments import CommandParser, integer
from diffusers_jasco.utils.cli import run_command


RATE = 16000  # Hz
DURATION = 10.0  # seconds
SIZE = round(DURATION * RATE)
TIMES = np.arange(SIZE) / RATE
_BLUR_FFT, _BLUR_HOP = 1024, 256  # samples
_AVERAGE_FFT, _AVERAGE_HOP = 4096, 1024  # samples


def white_noise(index: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(index).standard_normal(SIZE)


def noise_like(music: np.ndarray, index: int) -> np.ndarray:
    """Noise with the mean spectrum of the music."""
    power = np.convolve(np.abs(np.fft.rfft(music)) ** 2, np.full(201, 1 / 201), mode="same")
    return np.fft.irfft(np.fft.rfft(white_noise(index)) * np.sqrt(power), SIZE) / 0.1 / np.sqrt(SIZE)


def modulate(samples: np.ndarray, frequency: float, index: int) -> np.ndarray:
    """Amplitude modulation of depth 1."""
    return samples * (0.5 - 0.5 * np.cos(2 * np.pi * frequency * TIMES + index))


def blur(music: np.ndarray, seconds: float | None, index: int) -> np.ndarray:
    """Averages magnitudes over time, or over the whole clip for `None`, with random phases."""
    size, hop = (_BLUR_FFT, _BLUR_HOP) if seconds else (_AVERAGE_FFT, _AVERAGE_HOP)
    window = torch.hann_window(size)
    magnitudes = torch.stft(torch.from_numpy(music).float(), size, hop, window=window, return_complex=True).abs()
    if seconds:
        width = int(seconds * RATE / hop) | 1
        magnitudes = F.avg_pool1d(magnitudes[None], width, 1, width // 2, count_include_pad=False)[0]
    else:
        magnitudes = magnitudes.mean(dim=1, keepdim=True).expand_as(magnitudes)
    phases = 2 * torch.pi * torch.rand(magnitudes.shape, generator=torch.Generator().manual_seed(index))
    return torch.istft(torch.polar(magnitudes, phases), size, hop, window=window, length=SIZE).numpy()


def wandering_level(index: int) -> np.ndarray:
    """Noise whose level is a random walk with a standard deviation of 6 dB."""
    walk = np.cumsum(np.random.default_rng([index, 1]).standard_normal(round(100 * DURATION)))
    level = 6 * (walk - walk.mean()) / walk.std()
    return white_noise(index) * 10 ** (np.interp(TIMES, np.arange(len(walk)) / 100, level) / 20)


def clicks(times: np.ndarray, index: int) -> np.ndarray:
    """Bursts of noise that decay by 1/e in 30 ms."""
    burst = np.arange(RATE // 10)
    samples = np.zeros(SIZE + len(burst))
    for time in times:
        noise = np.random.default_rng([index, round(1000 * time)]).standard_normal(len(burst))
        samples[round(time * RATE) :][: len(burst)] += 0.4 * noise * np.exp(-burst / (0.03 * RATE))
    return samples[:SIZE]


def random_clicks(index: int) -> np.ndarray:
    return clicks(np.random.default_rng([index, 2]).uniform(0, DURATION, 20 + index), index)


def metronome(index: int) -> np.ndarray:
    """From 60 BPM upward."""
    return clicks(np.arange(0.1, DURATION, 60 / (60 + 6 * index)), index)


def play_notes(pitches: np.ndarray, starts: np.ndarray, length: float) -> np.ndarray:
    """Tones with six harmonics that decay by 1/e in `length` seconds: pitches (notes, voices)."""
    samples = np.zeros(SIZE)
    for voices, start in zip(pitches, starts):
        time = TIMES[: SIZE - round(start * RATE)]
        frequency = 440 * 2 ** ((voices[:, None, None] - 69) / 12) * np.arange(1, 7)[:, None]
        tones = (np.sin(2 * np.pi * frequency * time) * 0.5 ** np.arange(6)[:, None]).sum(axis=(0, 1))
        samples[round(start * RATE) :] += 0.05 * tones * np.exp(-time / length) * np.minimum(time / 0.005, 1)
    return samples


def held_chord(index: int) -> np.ndarray:
    root = 60 + index % 12
    return play_notes(np.array([[root, root + 3 + index % 2, root + 7]]), np.zeros(1), 10.0)


def random_notes(index: int) -> np.ndarray:
    """Three random voices in eighth notes."""
    starts = np.arange(0, DURATION - 0.1, 0.25)
    pitches = np.random.default_rng([index, 3]).integers(48, 84, size=(len(starts), 3))
    return play_notes(pitches, starts, 0.2)


def slow_down(music: np.ndarray, index: int) -> np.ndarray:
    """1% slower."""
    return np.interp(np.arange(SIZE) / 1.01, np.arange(SIZE), music)


# Signals that are made from music or from its pads, and others.
FROM_MUSIC: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "music, 1% slower": slow_down,
    "noise with the spectrum of music": noise_like,
    "blur of 0.5 s": lambda music, index: blur(music, 0.5, index),
    "blur of 1 s": lambda music, index: blur(music, 1.0, index),
    "spectrum averaged over the clip": lambda music, index: blur(music, None, index),
}
FREQUENCIES = {"ripple of 25 Hz": 25.0, "ripple of 12.5 Hz": 12.5, "swell of 1 Hz": 1.0, "swell of 0.5 Hz": 0.5}
OTHERS: dict[str, Callable[[int], np.ndarray]] = {
    "white noise": white_noise,
    "level of a random walk": wandering_level,
    "random clicks": random_clicks,
    "bare metronome": metronome,
    "held chord": held_chord,
    "random notes, three voices": random_notes,
}


def main(args: list[str] | None = None):
    parser = CommandParser(description=__doc__)
    parser.add_argument("--num_clips", type=integer(2), default=64, help="clips of music")
    parser.add_argument("--num_signals", type=integer(1), default=24, help="signals of each kind")
    parser.add_argument("--renderer", choices=RENDERERS, default="fluidsynth")
    args = parser.parse_args(args)

    items = list_items(args.num_clips, args.renderer)
    music, pads = ([part for part in parts if part is not None] for parts in zip(*items))
    references = [measure(samples) for samples in music]
    floors = [form_floor((torch.from_numpy(samples).float(), RATE), index) for index, samples in enumerate(music)]
    print("| signal | beat strength | rise | A: beat strength | harmony | A: harmony | distinct triads | in range |")
    print("| --- " * 8 + "|")

    def report(name: str, signals: list[np.ndarray], forms: list[Form] | None = None):
        scores = compare_form(forms or list(map(measure, signals)), references, floors, min_clips=1)
        beat, rise, harmony, triads, usual = (
            scores[key] for key in ("beat_strength", "rise", "harmony", "distinct_triads", "triads_in_range")
        )
        cells = [f"{beat['score']:z.2f}", f"{rise['score']:z.1f} dB", describe(beat), f"{harmony['score']:.3f}"]
        cells += [describe(harmony), f"{triads['score']:.1f}", f"{usual['score']:.0%}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)

    report("music", music, references)
    for name, change in FROM_MUSIC.items():
        report(name, [change(samples, index) for index, samples in enumerate(music[: args.num_signals])])
    for name, make in OTHERS.items():
        report(name, [make(index) for index in range(args.num_signals)])
    for name, frequency in FREQUENCIES.items():
        noises = [white_noise(index) for index in range(args.num_signals)]
        for source, signals in (("noise", noises), ("pads", pads[: args.num_signals])):
            changed = [modulate(samples, frequency, index) for index, samples in enumerate(signals)]
            report(f"{name}, {source}", changed)


def list_items(num_clips: int, renderer: str) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Clips of music at 16 kHz, and their pads."""
    clips = SyntheticMusic("validation", num_clips, "both", DURATION, 24000, renderer, stems=True)

    def to_samples(waveform: torch.Tensor) -> np.ndarray:
        return resample(waveform[0], 24000, RATE).double().numpy()

    return [
        (to_samples(clip["audio"]), to_samples(clip["stems"]["pad"]) if "pad" in clip["stems"] else None)
        for clip in map(clips.__getitem__, range(num_clips))
    ]


def measure(samples: np.ndarray) -> Form:
    return measure_form((torch.from_numpy(samples).float(), RATE))


def describe(row: dict[str, float]) -> str:
    return f"{row['value']:z.2f} ({row['low']:z.2f} … {row['high']:z.2f})"


if __name__ == "__main__":
    sys.exit(run_command(main, "evaluate_form"))
