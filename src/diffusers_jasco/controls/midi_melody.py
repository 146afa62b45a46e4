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

"""Selects the melody track of a MIDI file by its name, or else by features of its notes."""

from collections.abc import Sequence

import numpy as np
from diffusers.utils import logging

from ..utils.errors import EmptyInputError, list_names
from .midi import Midi, MidiTrack
from .midi_names import is_bass_name, is_chords_name, is_drum_name, melody_rank


logger = logging.get_logger(__name__)

# Weights of a softmax regression over the tracks of a song, fitted to songs with a named melody track.
_WEIGHTS = {
    "monophony": 5.0,
    "steps": 3.3,
    "leaps": -2.0,
    "variety": -2.8,
    "activity": 2.6,
    "lyrics": 2.6,
    "below the voice": -3.1,
    "above the voice": -1.0,
    "too fast": -1.6,
    "too few notes": -2.2,
    "wind or bowed": 2.5,
    "synth lead": 1.0,
    "voice": 0.9,
    "bass": -1.2,
    "sound effect": -2.0,
    "velocity": 0.85,
    "channel 4": 0.8,
    "named an accompaniment": -3.0,
}
# Range of the median pitch (MIDI numbers): most melodies are in the range of a voice.
_LOWEST_MEDIAN = 57
_HIGHEST_MEDIAN = 79
_FASTEST = 3.5  # notes per second
_REST = 2.0  # seconds; shorter rests belong to a phrase
_MIN_NOTES = 16
_MIN_LYRICS = 16  # syllables
_SOLO_PROGRAMS = frozenset((*range(64, 80), 22, 40, 56, 59))
_CERTAIN = 0.75  # selections with a lower probability are reported as uncertain


def choose_melody_track(midi: Midi, start: float, end: float, tracks: Sequence[int] | None = None) -> int:
    r"""
    Selects the melody track: the track with the best name (see [`~controls.midi_names.melody_rank`]), or else the most
    probable one. Tracks that sound in the requested time range take precedence. The selection is logged.

    Args:
        midi ([`Midi`]): the MIDI file.
        start, end (`float`): the requested time range in seconds.
        tracks (`Sequence[int]`, *optional*): indices of the tracks to choose from; by default all except drums.

    Returns:
        `int`: the index of the track.

    Raises:
        [`InputError`]: if the file has no notes except drums.
    """
    pitched = pitched_tracks(midi) if tracks is None else list(tracks)
    if not pitched:
        raise EmptyInputError(f"`melody`: {midi.path} has no track with notes (drums do not count).", "melody")
    sounding = [index for index in pitched if _sounds(midi.tracks[index], start, end)]
    candidates = sounding or pitched
    scores = melody_scores(midi, candidates)
    ranks = {index: melody_rank(midi.tracks[index].name) for index in pitched}
    named = [index for index in pitched if ranks[index] is not None]
    best = min((rank for index in candidates if (rank := ranks[index]) is not None), default=None)
    if best is not None:
        scores[[ranks[index] != best for index in candidates]] = -np.inf
    position = int(scores.argmax())
    chosen = candidates[position]
    if len(pitched) == 1:
        return chosen

    if best is not None:
        reason = "by its name"
    else:
        probability = 1 / np.exp(scores - scores[position]).sum()
        reason = "an uncertain guess by its notes" if probability < _CERTAIN else "by its notes"
        if silent := [index for index in named if index not in sounding]:
            reason += f", as {list_names([midi.describe(index) for index in silent])} is silent in this time range"
    others = [index for index in pitched if index != chosen]
    logger.warning(
        f"`melody`: track {midi.describe(chosen)} of {midi.path} is used as the melody ({reason}). To use another"
        f" track, write its name or number after the path, as in '….mid#{others[0]}':"
        f" {list_names([midi.describe(index) for index in others])}."
    )
    return chosen


def melody_scores(midi: Midi, indices: Sequence[int]) -> np.ndarray:
    """The logit of each track to be the melody, computed from its notes."""
    features = [_features(midi, midi.tracks[index]) for index in indices]
    return np.array([sum(_WEIGHTS[name] * value for name, value in track.items()) for track in features])


def pitched_tracks(midi: Midi) -> list[int]:
    """Indices of the tracks that have notes and are not drums."""
    return [
        index
        for index, track in enumerate(midi.tracks)
        if not track.is_drum and not is_drum_name(track.name) and (track.ends > track.starts).any()
    ]


def _sounds(track: MidiTrack, start: float, end: float) -> bool:
    return bool(((track.ends > np.maximum(start, track.starts)) & (track.starts < end)).any())


def _features(midi: Midi, track: MidiTrack) -> dict[str, float]:
    starts, first = np.unique(track.starts.round(2), return_index=True)
    top = np.maximum.reduceat(track.pitches, first).astype(float)
    intervals = np.diff(top)
    steps = np.abs(intervals)[np.diff(starts) < _REST] if len(top) > 1 else np.zeros(0)
    steps = steps if len(steps) else np.zeros(1)
    length = max(float(other.ends.max()) for other in midi.tracks)
    active = _covered_time(track)
    patterns = len(np.unique(np.lib.stride_tricks.sliding_window_view(intervals, 4), axis=0)) if len(top) > 5 else 1
    median, program = float(np.median(top)), track.program
    loudness = [other.velocities.mean() for other in midi.tracks if not other.is_drum]
    return {
        "monophony": len(starts) / len(track.starts),
        "steps": float((steps <= 2).mean()),
        "leaps": float((steps > 7).mean()),
        "variety": patterns / max(len(top) - 4, 1),
        "activity": min(active / max(length, 1e-9), 1.0),
        "lyrics": _lyrics_agreement(starts, midi.lyrics),
        "below the voice": max(0.0, _LOWEST_MEDIAN - median) / 12,
        "above the voice": max(0.0, median - _HIGHEST_MEDIAN) / 12,
        "too fast": max(0.0, float(np.log2(len(starts) / max(active, 0.5) / _FASTEST))),
        "too few notes": float(len(starts) < _MIN_NOTES or len(np.unique(top)) < 3),
        "wind or bowed": float(program in _SOLO_PROGRAMS),
        "synth lead": float(80 <= program <= 87),
        "voice": float(52 <= program <= 54 or program == 85),
        "bass": float(32 <= program <= 39),
        "sound effect": float(program >= 112),
        "velocity": float(track.velocities.mean() - np.mean(loudness)) / 20 if loudness else 0.0,
        "channel 4": float(track.channel == 3),
        "named an accompaniment": float(is_bass_name(track.name) or is_chords_name(track.name)),
    }


def _covered_time(track: MidiTrack) -> float:
    """The total duration of the phrases of a track in seconds."""
    ends = np.maximum.accumulate(track.ends)
    breaks = np.flatnonzero(track.starts[1:] > ends[:-1] + _REST)
    first, last = np.append(0, breaks + 1), np.append(breaks, len(ends) - 1)
    return float((ends[last] - track.starts[first]).sum())


def _lyrics_agreement(starts: np.ndarray, lyrics: np.ndarray) -> float:
    """The F1 score between syllables and note onsets, or 0 if the file has few syllables."""
    if len(lyrics) < _MIN_LYRICS or len(starts) < 2:
        return 0.0
    after = np.searchsorted(starts, lyrics).clip(1, len(starts) - 1)
    distance = np.minimum(np.abs(starts[after] - lyrics), np.abs(starts[after - 1] - lyrics))
    recall, precision = float((distance < 0.06).mean()), min(1.0, len(lyrics) / len(starts))
    return 2 * recall * precision / (recall + precision) if recall else 0.0
