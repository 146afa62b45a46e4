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

"""Chords of MIDI files."""

import os
from collections.abc import Sequence

import numpy as np

from ..utils.errors import InputError
from .chord_labels import NO_CHORD, nearest_to_notes
from .chord_timeline import Chords
from .midi import load_midi


# Notes of a MIDI chord that begin or end this close together, in seconds, do so at once.
_ROLLED = 0.05


def chords_from_midi(path: str | os.PathLike, labels: Sequence[str] | None = None) -> Chords:
    r"""
    The chords of a MIDI file: at each change, the label that is nearest to the sounding notes of all tracks but drums, or
    no chord (`N`) in silence.

    Args:
        path (`str` or `os.PathLike`):
            MIDI file.
        labels (`Sequence[str]`, *optional*):
            The vocabulary.

    Returns:
        `list` of `(label, start)`.

    Raises:
        `ImportError`: without the package pretty_midi.
        `FileNotFoundError`: for an absent file.
        [`InputError`]: for a file that is no MIDI, and one without notes.
    """
    tracks = load_midi(path, "chords").instruments
    notes = [note for track in tracks if not track.is_drum for note in track.notes if note.end > note.start]
    if not notes:
        raise InputError(f"`chords`: {os.fspath(path)} has no notes (drums do not count).", "chords")
    starts, ends, pitches = (np.array([getattr(note, name) for note in notes]) for name in ("start", "end", "pitch"))
    changes: list[float] = []
    for time in np.unique(np.concatenate([starts, ends])):
        if not changes or time - changes[-1] >= _ROLLED:
            changes.append(float(time))

    chords: Chords = []
    for start, end in zip(changes, changes[1:]):
        middle = (start + end) / 2
        sounding = pitches[(starts <= middle) & (ends > middle)]
        label = NO_CHORD
        if len(sounding):
            label = nearest_to_notes(
                frozenset(int(pitch) % 12 for pitch in sounding), int(sounding.min()) % 12, labels
            )
        if not chords or chords[-1][0] != label:
            chords.append((label, start))
    return [*chords, (NO_CHORD, changes[-1])]
