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

import json
import math

import numpy as np
import soundfile
import torch

from diffusers_jasco.controls.chord_labels import parse_chord


RATE = 16000


def tone(pitch, seconds, harmonics=6, level=0.1, rate=RATE):
    time = torch.arange(round(seconds * rate)) / rate
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    # Fades avoid clicks, which would be detected as drums.
    fade = torch.minimum(time, time.flip(0)).div(0.02).clamp(max=1)
    return fade * level * sum(0.6**n * torch.sin(2 * math.pi * (n + 1) * frequency * time) for n in range(harmonics))


def play_chords(chords, duration, rate=RATE):
    """Plays chords in close position above C4, with the root in the bass."""
    ends = [start for _, start in chords[1:]] + [duration]
    parts = []
    for (label, start), end in zip(chords, ends):
        chord = parse_chord(label)
        if chord is None:
            parts.append(torch.zeros(round((end - start) * rate)))
            continue
        pitches = [36 + chord.root] + [60 + (chord.root + interval) % 12 for interval in chord.intervals]
        parts.append(sum(tone(pitch, end - start, rate=rate) for pitch in pitches))
    return torch.cat(parts)[None]


def play_melody(notes, duration, rate=RATE, level=0.3):
    audio = torch.zeros(round(duration * rate))
    for pitch, start, end in notes:
        sound = tone(pitch, end - start, level=level, rate=rate)
        first = round(start * rate)
        audio[first : first + len(sound)] += sound[: len(audio) - first]
    return audio[None]


def play_drums(onsets, duration, rate=RATE, seed=0):
    """Plays noise bursts that decay within 30 ms."""
    noise = torch.from_numpy(np.random.default_rng(seed).standard_normal(round(duration * rate))).float()
    audio = torch.zeros(round(duration * rate))
    for onset in onsets:
        first = round(onset * rate)
        burst = noise[first : first + round(0.1 * rate)]
        audio[first : first + len(burst)] += burst * torch.exp(-torch.arange(len(burst)) / (0.03 * rate)) * 0.4
    return audio[None]


def make_item(seed, duration=6.0):
    """A random clip with audible chords, melody and drums."""
    rng = np.random.default_rng(seed)
    labels = ["C", "Dm", "F#", "Bb7", "Am7", "Ebmaj7", "G", "Bm", "E", "Abm"]
    chords = [(str(rng.choice(labels)), start) for start in (0.0, 2.0, 4.0)]
    starts = np.arange(0, duration, 0.5)
    melody = [(int(rng.integers(67, 90)), float(start), float(start + 0.45)) for start in starts]
    onsets = np.cumsum(rng.uniform(0.15, 0.6, size=40))
    onsets = [float(onset) for onset in onsets if onset < duration - 0.1]
    audio = (
        0.7 * play_chords(chords, duration)
        + 0.7 * play_melody(melody, duration)
        + play_drums(onsets, duration, seed=seed)
    )
    return {
        "audio": audio,
        "sampling_rate": RATE,
        "duration": duration,
        "chords": chords,
        "melody": melody,
        "drum_onsets": onsets,
        "beats": np.arange(0, duration, 0.5).tolist(),
        "downbeats": np.arange(0, duration, 2.0).tolist(),
    }


def write_dataset(folder, items, **metadata):
    """Writes items of [`make_item`] as a dataset in the format of scripts/prepare_dataset.py."""
    lines = []
    for number, item in enumerate(items):
        soundfile.write(folder / f"{number}.flac", item["audio"][0].numpy().clip(-1, 1), RATE)
        drums = play_drums(item["drum_onsets"], item["duration"], seed=number)
        soundfile.write(folder / f"{number}.drums.flac", drums[0].numpy().clip(-1, 1), RATE)
        line = {key: item[key] for key in ("chords", "melody", "duration")} | metadata
        line |= {"file_name": f"{number}.flac", "stems": {"drums": f"{number}.drums.flac"}, "captions": ["music"]}
        lines.append(json.dumps(line))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
