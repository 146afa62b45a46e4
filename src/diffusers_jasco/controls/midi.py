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

"""The contents of MIDI files, for the chord, drum and melody controls."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..utils.errors import InputError, list_names
from ..utils.numbers import is_number, to_integer


MIDI_SUFFIXES = (".mid", ".midi", ".kar", ".rmi", ".smf")
DRUM_CHANNEL = 9  # General MIDI's channel 10
_FRAGMENT = re.compile(rf"(.+(?:{'|'.join(re.escape(suffix) for suffix in MIDI_SUFFIXES)}))#(.+)", re.I | re.S)


@dataclass(frozen=True)
class MidiTrack:
    r"""
    The notes of one track on one channel, by their starts.

    Args:
        name (`str`): the track's name, `""` if it has none or shares it with other channels.
        channel (`int`): from 0; 9 is the drums' in General MIDI.
        program (`int`): General MIDI program of most of its notes, from 0.
        pitches, velocities (`np.ndarray` of shape `(notes,)`): MIDI numbers 0 ... 127.
        starts, ends (`np.ndarray` of shape `(notes,)`): seconds.
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


@dataclass(frozen=True)
class Midi:
    r"""
    The contents of a MIDI file.

    Args:
        path (`str`): the file, for messages.
        tracks (`list[MidiTrack]`): those that have notes.
        beats, seconds (`np.ndarray`): the tempo map, linear between these points.
        time_signatures (`list`): `(beat, numerator, denominator)`, where a beat is a quarter note.
        lyrics (`np.ndarray`): when syllables are sung, in seconds.
    """

    path: str
    tracks: list[MidiTrack]
    beats: np.ndarray
    seconds: np.ndarray
    time_signatures: list[tuple[float, int, int]]
    lyrics: np.ndarray

    def to_seconds(self, beats: np.ndarray) -> np.ndarray:
        """Times of beats (quarter notes) in seconds."""
        return np.interp(beats, self.beats, self.seconds)

    def to_beats(self, seconds: np.ndarray) -> np.ndarray:
        """Positions in beats (quarter notes) of times in seconds."""
        return np.interp(seconds, self.seconds, self.beats)

    def describe(self, index: int) -> str:
        """A track for messages, such as `3 'Vocals'`."""
        return f"{index} {self.tracks[index].name!r}"

    def find_track(self, track: str | int, indices: Sequence[int], name: str) -> int:
        r"""
        The index of a track that the user chose.

        Args:
            track (`str` or `int`): its name, in any case, or a part of it, or its index, also as text.
            indices (`Sequence[int]`): tracks to choose from.
            name (`str`): name of the argument, for messages.

        Raises:
            [`InputError`]: for an unknown track, with those there are.
        """
        if isinstance(track, str):
            wanted = track.strip().casefold()
            for matches in (str.__eq__, str.__contains__):
                for index in indices:
                    if matches(self.tracks[index].name.strip().casefold(), wanted):
                        return index
                if wanted.isdecimal():
                    break
        if (isinstance(track, str) and track.strip().isdecimal()) or is_number(track):
            index = to_integer(int(track) if isinstance(track, str) else track, "track")
            if index in indices:
                return index
        names = list_names([self.describe(index) for index in indices]) or "none"
        raise InputError(f"`{name}`: there is no track {track!r} with notes in {self.path}, but {names}.", name)


def check_start(start: float, tracks: Sequence[MidiTrack], name: str):
    r"""
    Raises:
        [`InputError`]: for a `start` (seconds) after the last note of the tracks.
    """
    end = max((float(track.ends.max()) for track in tracks), default=0.0)
    if start > 0 and start >= end:
        raise InputError(f"`start` is {start:g} s, but the notes of `{name}` end at {end:.2f} s.", "start")


def is_midi_file(value: Any) -> bool:
    """Whether `value` is the path of a file with a MIDI file's suffix, also with a track (`"song.mid#vocals"`)."""
    if not isinstance(value, (str, os.PathLike)):
        return False
    return os.path.splitext(split_track(value)[0])[1].lower() in MIDI_SUFFIXES


def split_track(path: str | os.PathLike) -> tuple[str, str | None]:
    """The path and the track of `"song.mid#vocals"` or `"song.mid#3"`; without a track, the path and `None`."""
    path = os.fsdecode(path)
    match = _FRAGMENT.fullmatch(path)
    if match is None or os.path.isfile(path):
        return path, None
    return match[1], match[2]
