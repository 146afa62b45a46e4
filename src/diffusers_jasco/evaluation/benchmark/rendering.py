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
Renderings of the benchmark's songs: the music that follows its request, whose scores are the ceilings.

The drums are those of the drum machine. The other instruments are organ tones (`"tones"`, which needs nothing else) or
General MIDI instruments of a sound font (`"tinysoundfont"` or `"fluidsynth"`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...controls.chord_labels import parse_chord
from ...controls.drum_machine import play_hits
from ...data.synthetic.rendering import RENDERERS, Renderer, find_soundfonts, get_renderer
from ..handwritten import add_sound, play_tone


TONES = "tones"
METHODS = (TONES, *RENDERERS)
RATE = 32_000  # Hz

# RMS levels of the stems in dB, relative to the lead.
_LEVELS = {"lead": 0.0, "chords": -6.0, "bass": -4.0, "drums": -1.0}
_PEAK = 0.8
_VELOCITIES = {"lead": 100, "chords": 80, "bass": 90}
_LOWEST_CHORD_TONE = 55  # MIDI number of G3
_LOWEST_BASS = 36  # MIDI number of C2
_GAP = 0.05  # share of a note that separates it from the next one
# General MIDI programs that decay: they repeat the chord on each beat. Others hold it.
_DECAYING = (*range(16), *range(24, 32), 46, 105)

Notes = list[tuple[int, float, float]]


def find_renderer(method: str) -> Renderer | None:
    r"""
    Prepares a method of `METHODS`, with the first default sound font of its renderer; `None` for `"tones"`.

    Raises:
        `ImportError`, `FileNotFoundError`: if the renderer or its sound font is not installed.
    """
    return None if method == TONES else get_renderer(method, str(find_soundfonts(method)[0]), RATE)


def describe_rendering(method: str) -> dict[str, str]:
    """The method, and the versions and the sound font that determine its audio."""
    renderer = find_renderer(method)
    return {"renderer": TONES} if renderer is None else renderer.description


def render_song(annotations: dict[str, Any], programs: dict[str, int], method: str = TONES) -> torch.Tensor:
    r"""
    Renders a song as requested.

    Args:
        annotations (`dict`): as [`~evaluation.benchmark.songs.annotate`] returns them.
        programs (`dict[str, int]`): General MIDI programs of `lead`, `chords` and `bass`, which `"tones"` ignores.
        method (`str`, defaults to `"tones"`): one of `METHODS`.

    Returns:
        `torch.Tensor` of shape `(1, samples)` at 32 kHz, with a peak of 0.8.
    """
    duration = annotations["duration"]
    parts = _arrange(annotations, programs)
    if method == TONES:
        stems = {name: _play_tones(notes, duration) for name, notes in parts.items()}
    else:
        played = {
            name: (programs[name], False, [(start, end, pitch, _VELOCITIES[name]) for pitch, start, end in notes])
            for name, notes in parts.items()
        }
        renderer = find_renderer(method)
        stems = {name: stem.astype(np.float64) for name, stem in renderer.render(played, duration).items()}
    if annotations["drum_hits"]:
        stems["drums"] = play_hits(annotations["drum_hits"], duration, RATE).astype(np.float64)
    mix = np.zeros(round(duration * RATE))
    for name, stem in stems.items():
        level = np.sqrt(np.mean(stem**2))
        if level > 0:
            mix += stem * 10 ** (_LEVELS[name] / 20) / level
    return torch.from_numpy(mix * _PEAK / max(np.abs(mix).max(), 1e-9))[None].float()


def _arrange(annotations: dict[str, Any], programs: dict[str, int]) -> dict[str, Notes]:
    """The notes of lead, chords and bass. Parts without notes are left out."""
    duration, downbeats = annotations["duration"], annotations["downbeats"]
    chords: Notes = []
    bass: Notes = []
    spans = [*annotations["chords"], (None, duration)]
    for (label, start), (_, end) in zip(spans, spans[1:]):
        chord = parse_chord(label)
        if chord is None:
            continue
        times = annotations["beats"] if programs["chords"] in _DECAYING else []
        for first, last in _divide(start, end, times):
            tones = {_LOWEST_CHORD_TONE + (tone - _LOWEST_CHORD_TONE) % 12 for tone in chord.pitch_classes}
            chords += [(pitch, first, last) for pitch in sorted(tones)]
        bass += [(_LOWEST_BASS + chord.bass_pitch_class, *span) for span in _divide(start, end, downbeats)]
    lead = [(pitch, start, end - _GAP * (end - start)) for pitch, start, end in annotations["melody"]]
    return {name: notes for name, notes in (("lead", lead), ("chords", chords), ("bass", bass)) if notes}


def _divide(start: float, end: float, times: Sequence[float]) -> list[tuple[float, float]]:
    """Divides a span at those of the times that are within it."""
    edges = [start, *(time for time in times if start + 1e-6 < time < end - 1e-6), end]
    return list(zip(edges, edges[1:]))


def _play_tones(notes: Notes, duration: float) -> np.ndarray:
    audio = torch.zeros(round(duration * RATE))
    for pitch, start, end in notes:
        add_sound(audio, play_tone(pitch, end - start, RATE, 1.0), start, RATE)
    return audio.double().numpy()
