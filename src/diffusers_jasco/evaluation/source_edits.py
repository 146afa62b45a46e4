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

"""Evaluates edits of recordings from source controls to target controls."""

from typing import Any

import numpy as np

from ..controls.chord_labels import NO_CHORD, default_chord_labels
from ..controls.chord_syntax import parse_chord


MIN_FIT = 0.7  # share of strong beats on which new chords have to contain the melody

_TRIADS = [
    label
    for label in default_chord_labels()
    if (chord := parse_chord(label)) and sorted(chord.intervals) in ([0, 3, 7], [0, 4, 7]) and not chord.bass
]
_SHORTEST = 0.03  # seconds that a note has to sound on a beat


def other_chords(item: dict[str, Any], seed: int = 0) -> tuple[list[tuple[str, float]], float]:
    r"""
    Chooses other chords for a recording: major and minor triads at the times of its own chords, each with another root,
    that contain as many of the melody's notes on strong beats as possible, and if possible stay in the key.

    Args:
        item (`dict`): a clip with `chords`, `melody`, `beats`, `downbeats` and `duration`.
        seed (`int`, defaults to `0`): random seed, which chooses between chords that fit equally well.

    Returns:
        `tuple`: `(label, start in seconds)` of each chord, and the share of strong beats with a note of the melody on which
        the chord contains it; 1 without such beats. Strong beats are the first and, in bars of four beats, the third.
    """
    rng = np.random.default_rng(seed)
    own = [(parse_chord(label), start) for label, start in item["chords"]]
    key = {note for chord, _ in own if chord for note in chord.pitch_classes}
    notes = _strong_notes(item)
    chords: list[tuple[str, float]] = []
    fitting = 0
    for (chord, start), (_, end) in zip(own, [*own[1:], (None, item["duration"])], strict=True):
        if chord is None:
            chords.append((NO_CHORD, start))
            continue
        sounding = [note for time, note in notes if start - _SHORTEST <= time < end - _SHORTEST]
        previous = chords[-1][0] if chords else None

        def preference(label: str) -> tuple[int, int, bool, float]:
            tones = parse_chord(label).pitch_classes
            return sum(note in tones for note in sounding), -len(tones - key), label != previous, rng.random()

        best = max((label for label in _TRIADS if parse_chord(label).root != chord.root), key=preference)
        fitting += preference(best)[0]
        chords.append((best, start))
    return chords, fitting / len(notes) if notes else 1.0


def _strong_notes(item: dict[str, Any]) -> list[tuple[float, int]]:
    """Time and pitch class of the melody on strong beats."""
    beats, downbeats = np.array(item["beats"]), np.array(item["downbeats"])
    strong = list(downbeats)
    for first, last in zip(downbeats[:-1], downbeats[1:]):
        inner = beats[(beats > first + _SHORTEST) & (beats < last - _SHORTEST)]
        if len(inner) == 3:
            strong.append(inner[1])
    found = []
    for time in sorted(strong):
        sounding = [note for note, start, end in item["melody"] if start <= time + _SHORTEST < end]
        found += [(float(time), note % 12) for note in sounding[:1]]
    return found
