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

"""The melody, the chords and the drums of a MIDI file in ticks."""

import math
from collections.abc import Sequence

import numpy as np
from diffusers.utils import logging

from ....utils.errors import list_names
from ...midi import Midi, MidiTrack
from ...midi_chords import chords_of_tracks
from ...midi_drums import DRUM_VOICES, drum_tracks
from ...midi_melody import choose_melody_track, pitched_tracks
from ...midi_names import is_bass_name, is_chords_name, melody_rank
from .words import read_chord_labels


logger = logging.get_logger(__name__)

_TOGETHER = 1 / 16  # quarter notes; notes that start closer together are a chord
_LEGATO = 1 / 8  # quarter notes by which a note may reach into the next one
_LOWEST_MELODY = 48  # MIDI number; tracks with a lower median are not melodies unless their name says so
_SHARE_OF_CHORDS = 0.5  # of the onsets of a track that is not a melody
_ON_BEAT = 1 / 10  # quarter notes; estimated chords move to a half beat that is closer
_SHARE_OF_OVERLAP = 0.1  # of the notes of a track with chords


def read_parts(
    midi: Midi, part: str | int | None, warns: bool = True
) -> tuple[list[tuple[int, int, int]], list[tuple[str, int]], list[tuple[str, int, float]]]:
    r"""
    Reads the parts of a lead sheet.

    Args:
        midi ([`Midi`]): the MIDI file.
        part (`str` or `int`, *optional*): name or index of the melody track; by default, it is found by name or notes.
        warns (`bool`, defaults to `True`): whether to warn if the file has notes, but no melody.

    Returns:
        the melody `[(MIDI number, start, end)]`, without overlaps; the chords `[(label, start)]`; the drum hits `[(drum,
        start, velocity)]`. Times are in ticks, and each list is sorted; a part that the file does not have is empty.

    Raises:
        [`InputError`]: if `part` is unknown.
    """
    drums = drum_tracks(midi)
    pitched = [
        index for index in pitched_tracks(midi) if all(midi.tracks[index] is not drum_track for drum_track in drums)
    ]
    index = _find_melody(midi, pitched, part, warns)
    melody = [] if index is None else _to_melody(midi, midi.tracks[index])
    chords = read_chord_labels(midi)
    others = [other for other in pitched if other != index]
    if not chords and (others or any(_is_polyphonic(midi.tracks[other]) for other in pitched)):
        chords = _estimate_chords(midi, pitched)
    return melody, chords, _read_hits(midi, drums)


# 1. Melody


def _find_melody(midi: Midi, pitched: Sequence[int], part: str | int | None, warns: bool) -> int | None:
    if part is not None:
        return midi.find_track(part, pitched, "part")
    if not pitched:
        return None
    possible = [index for index in pitched if _may_be_melody(midi.tracks[index])]
    if possible:
        return choose_melody_track(midi, 0.0, math.inf, possible)
    if warns:
        logger.warning(
            f"{midi.path} has no melody, only chords or a bass. To use one of its tracks as the melody, write its name"
            f" or number after the path, as in '….mid#{pitched[0]}':"
            f" {list_names([midi.describe(index) for index in pitched])}."
        )
    return None


def _may_be_melody(track: MidiTrack) -> bool:
    """Whether a track has the name of a melody, or neither the name nor the notes of chords or a bass."""
    if melody_rank(track.name) is not None:
        return True
    if is_chords_name(track.name) or is_bass_name(track.name):
        return False
    sizes = np.unique(track.starts.round(2), return_counts=True)[1]
    is_chordal = (sizes >= 3).mean() > _SHARE_OF_CHORDS
    return not is_chordal and float(np.median(track.pitches)) >= _LOWEST_MELODY


def _to_melody(midi: Midi, track: MidiTrack) -> list[tuple[int, int, int]]:
    """The highest notes of a track."""
    together, legato = (int(length * midi.division) for length in (_TOGETHER, _LEGATO))
    starts, ends = midi.to_ticks(track.starts), midi.to_ticks(track.ends)
    order = np.lexsort((-track.pitches, starts))
    melody: list[tuple[int, int, int]] = []
    for pitch, start, end in zip(track.pitches[order].tolist(), starts[order].tolist(), ends[order].tolist()):
        if end <= start:
            continue
        if melody and melody[-1][2] > start:
            upper, first, last = melody[-1]
            if start - first <= together:
                if pitch > upper:
                    melody[-1] = (pitch, first, end)
                continue
            if pitch < upper and last - start > min(legato, (end - start) // 2):
                continue
            melody[-1] = (upper, first, start)
        melody.append((pitch, start, end))
    return melody


# 2. Chords


def _is_polyphonic(track: MidiTrack) -> bool:
    """Whether notes of a track sound together."""
    starts, ends = track.starts[1:], np.maximum.accumulate(track.ends)[:-1]
    return len(starts) > 0 and float((starts < ends - 0.05).mean()) > _SHARE_OF_OVERLAP


def _estimate_chords(midi: Midi, pitched: Sequence[int]) -> list[tuple[str, int]]:
    chords = chords_of_tracks(midi, pitched)
    # The last label is "N", where the notes end.
    ticks = midi.to_ticks(np.array([start for _, start in chords])).tolist()
    half_beat = float(midi.division) / 2
    placed: dict[int, str] = {}
    for (label, _), tick in zip(chords[:-1], ticks):
        nearest = round(tick / half_beat) * half_beat
        placed[round(nearest) if abs(tick - nearest) < _ON_BEAT * midi.division else tick] = label
    return [(label, tick) for tick, label in sorted(placed.items())]


# 3. Drums


def _read_hits(midi: Midi, tracks: Sequence[MidiTrack]) -> list[tuple[str, int, float]]:
    hits: dict[tuple[int, str], int] = {}
    for track in tracks:
        ticks = midi.to_ticks(track.starts).tolist()
        for key, tick, velocity in zip(track.pitches.tolist(), ticks, track.velocities.tolist()):
            drum = DRUM_VOICES.get(key)
            if drum is not None:
                hits[tick, drum] = max(velocity, hits.get((tick, drum), 1))
    return [(drum, tick, velocity / 127) for (tick, drum), velocity in sorted(hits.items())]
