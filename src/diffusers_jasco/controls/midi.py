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

"""The content of MIDI files, for the chord, drum and melody controls."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from ..utils.errors import InputError, list_names
from ..utils.numbers import is_number, to_integer


MIDI_SUFFIXES = (".mid", ".midi", ".kar", ".rmi", ".smf")
DRUM_CHANNEL = 9  # zero-based; channel 10 of General MIDI
_FRAGMENT = re.compile(rf"(.+(?:{'|'.join(re.escape(suffix) for suffix in MIDI_SUFFIXES)}))#(.+)", re.I | re.S)


@dataclass(frozen=True)
class MidiTrack:
    r"""
    The notes of one track on one channel, sorted by start.

    Args:
        name (`str`): name of the track; `""` if it has no name or shares it with other channels.
        channel (`int`): zero-based channel; 9 is the drum channel of General MIDI.
        program (`int`): zero-based General MIDI program of most of the notes.
        pitches, velocities (`np.ndarray` of shape `(notes,)`): MIDI numbers 0 ... 127.
        starts, ends (`np.ndarray` of shape `(notes,)`): times in seconds.
    """

    name: str
    channel: int
    program: int
    pitches: np.ndarray
    velocities: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    @property
    def is_drum(self) -> bool:
        return self.channel == DRUM_CHANNEL


class MidiEvent(NamedTuple):
    r"""
    A meta event: text, lyrics, a marker, a cue point, a track name or a key signature.

    Args:
        tick (`int`): position in ticks.
        kind (`int`): type of the meta event, such as 5 for lyrics.
        track (`int`): zero-based number of the track chunk.
        data (`bytes`): at most 500 bytes.
    """

    tick: int
    kind: int
    track: int
    data: bytes


@dataclass(frozen=True)
class Midi:
    r"""
    The content of a MIDI file.

    Args:
        path (`str`): path of the file for error messages.
        tracks (`list[MidiTrack]`): the tracks with notes.
        beats, seconds (`np.ndarray`): the tempo map, which is linear between these points.
        time_signatures (`list`): tuples `(beat, numerator, denominator)`, where a beat is a quarter note.
        lyrics (`np.ndarray`): times of the syllables of the lyrics in seconds.
        division (`Fraction`): ticks per beat; for SMPTE time, ticks per half second.
        is_smpte (`bool`): whether times are in SMPTE frames, so that the file has no beats: 120 per minute are assumed.
        tempos (`list`): tuples `(tick, microseconds per beat)`, one per tick.
        events (`list` of [`MidiEvent`]): the first 100,000 meta events, sorted by tick.
        end (`int`): the last tick of the longest track.
    """

    path: str
    tracks: list[MidiTrack]
    beats: np.ndarray
    seconds: np.ndarray
    time_signatures: list[tuple[float, int, int]]
    lyrics: np.ndarray
    division: Fraction = Fraction(480)
    is_smpte: bool = False
    tempos: list[tuple[int, int]] = field(default_factory=list)
    events: list[MidiEvent] = field(default_factory=list)
    end: int = 0

    def to_seconds(self, beats: np.ndarray) -> np.ndarray:
        """Converts positions in beats (quarter notes) to seconds."""
        return np.interp(beats, self.beats, self.seconds)

    def to_beats(self, seconds: np.ndarray) -> np.ndarray:
        """Converts times in seconds to positions in beats (quarter notes)."""
        return np.interp(seconds, self.seconds, self.beats)

    def to_ticks(self, seconds: np.ndarray) -> np.ndarray:
        """Converts times in seconds to the nearest ticks."""
        return np.rint(self.to_beats(seconds) * float(self.division)).astype(np.int64)

    def describe(self, index: int) -> str:
        """Describes a track for messages, such as `3 'Vocals'`."""
        return f"{index} {self.tracks[index].name!r}"

    def find_track(self, track: str | int, indices: Sequence[int], name: str) -> int:
        r"""
        Finds the index of a track by name or index.

        Args:
            track (`str` or `int`): the name of the track or a part of it, ignoring case; or its index, also as text.
            indices (`Sequence[int]`): indices of the tracks to choose from.
            name (`str`): name of the argument for error messages.

        Raises:
            [`InputError`]: if the track is unknown. The message lists the available tracks.
        """
        if isinstance(track, str):
            query = track.strip().casefold()
            for matches in (str.__eq__, str.__contains__):
                for index in indices:
                    if matches(self.tracks[index].name.strip().casefold(), query):
                        return index
                if query.isdecimal():
                    break
        if (isinstance(track, str) and track.strip().isdecimal()) or is_number(track):
            index = to_integer(int(track) if isinstance(track, str) else track, "track")
            if index in indices:
                return index
        names = list_names([self.describe(index) for index in indices]) or "none"
        raise InputError(f"`{name}`: {self.path} has no track {track!r} with notes; available tracks: {names}.", name)


def check_start(start: float, tracks: Sequence[MidiTrack], name: str):
    r"""
    Checks that `start` (seconds) is before the end of the tracks.

    Raises:
        [`InputError`]: if it is after the last note.
    """
    end = max((float(track.ends.max()) for track in tracks), default=0.0)
    if start > 0 and start >= end:
        raise InputError(f"`start` is {start:g} s, but the notes of `{name}` end at {end:.2f} s.", "start")


def is_midi_file(value: Any) -> bool:
    """Whether `value` is a path with the suffix of a MIDI file, optionally with a track (`"song.mid#vocals"`)."""
    if not isinstance(value, (str, os.PathLike)):
        return False
    return os.path.splitext(split_track(value)[0])[1].lower() in MIDI_SUFFIXES


def split_track(path: str | os.PathLike) -> tuple[str, str | None]:
    """Splits `"song.mid#vocals"` or `"song.mid#3"` into path and track; the track is `None` for other paths."""
    path = os.fsdecode(path)
    match = _FRAGMENT.fullmatch(path)
    if match is None or os.path.isfile(path):
        return path, None
    return match[1], match[2]
