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

"""Renders the drums of MIDI files with the drum machine."""

import os

import numpy as np
import torch
from diffusers.utils import logging

from ..audio.loudness import limit_peaks
from ..utils.errors import EmptyInputError, InputError, list_names
from .drum_machine import play_hits
from .midi import Midi, MidiTrack, check_start, split_track
from .midi_names import is_bass_name, is_chords_name, is_drum_name, melody_rank
from .midi_parsing import load_midi


logger = logging.get_logger(__name__)

# Sounds of the drum machine and their General MIDI drum keys (below 35 and above 81: Roland's and Yamaha's keys).
_VOICES = {
    "kick": (33, 35, 36),
    "snare": (38, 40),
    "rim": (31, 34, 37, 60, 61, 67, 68, 75, 76, 77, 85),
    "clap": (28, 39),
    "hat": (42, 44, 80),
    "open hat": (46, 49, 52, 55, 57, 81),
    "ride": (51, 53, 59, 83, 84),
    "tom": (27, 29, 30, 32, 41, 43, 45, 47, 48, 50, 62, 63, 64, 65, 66, 71, 72, 73, 74, 78, 79, 86, 87),
    "cowbell": (56,),
    "shaker": (54, 58, 69, 70, 82),
}
# The keys with which drums are written.
DRUM_KEYS = {
    "kick": 36, "snare": 38, "rim": 37, "clap": 39, "hat": 42, "open hat": 46, "ride": 51, "tom": 47, "cowbell": 56,
    "shaker": 70,
}  # fmt: skip
DRUM_VOICES = {key: voice for voice, keys in _VOICES.items() for key in keys}
_KIT = range(35, 60)  # kick to ride
_BEAT = frozenset((35, 36, 37, 38, 39, 40, 42, 44, 46))
_SHARE_OF_KIT = 0.8
_SHARE_OF_CHORDS = 0.5  # of the onsets, in a track of chords
_MIN_APART = 0.002  # seconds; closer hits of the same sound are merged


def drums_from_midi(
    path: str | os.PathLike,
    duration: float,
    sampling_rate: int,
    start: float = 0.0,
    track: str | int | None = None,
) -> torch.Tensor:
    r"""
    Renders the drums of a MIDI file (channel 10) with the drum machine, at the tempo and with the velocities of the
    file.

    Args:
        path (`str` or `os.PathLike`):
            The MIDI file; `"song.mid#drums"` or `"song.mid#3"` selects a track on any channel.
        duration (`float`):
            Duration of the audio in seconds.
        sampling_rate (`int`):
            Sampling rate in Hz.
        start (`float`, defaults to `0.0`):
            Start of the audio within the file, in seconds.
        track (`str` or `int`, *optional*):
            Name or index of the only track to render; by default all drums.

    Returns:
        `torch.Tensor` of shape `(1, samples)`, in [-0.89, 0.89].

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the file is not MIDI or has no drums, the track is unknown, or `start` is after the end.
    """
    path, named = split_track(path)
    track = named if track is None else track
    midi = load_midi(path, "drums")
    if track is None:
        tracks = _require_drum_tracks(midi)
    else:
        tracks = [midi.tracks[midi.find_track(track, range(len(midi.tracks)), "drums")]]
    check_start(start, tracks, "drums")
    keys, starts, velocities = (
        np.concatenate([getattr(part, name) for part in tracks]) for name in ("pitches", "starts", "velocities")
    )
    known = np.isin(keys, list(DRUM_VOICES))
    if not known.any():
        raise InputError(f"`drums`: {midi.path} has no note of a General MIDI drum (keys 27 ... 87).", "drums")
    if not known.all():
        logger.warning(
            f"`drums`: {int((~known).sum())} note(s) of {midi.path} are not General MIDI drums (keys 27 ... 87) and"
            " are ignored."
        )
    inside = known & (starts >= start) & (starts < start + duration)
    first, last = float(starts[known].min()), float(starts[known].max())
    if not inside.any():
        logger.warning(
            f"`drums`: {midi.path} has no drums from {start:g} to {start + duration:g} s: they are from {first:.2f} to"
            f" {last:.2f} s."
        )
    elif last >= start + duration:
        logger.warning(
            f"`drums`: the drums of {midi.path} last until {last:.2f} s; they are used from {start:g} to"
            f" {start + duration:g} s."
        )
    hits: dict[tuple[str, int], tuple[str, float, float]] = {}
    for key, time, velocity in zip(keys[inside].tolist(), starts[inside].tolist(), velocities[inside].tolist()):
        voice = DRUM_VOICES[key]
        place = voice, round((time - start) / _MIN_APART)
        if place not in hits or hits[place][2] < velocity / 127:
            hits[place] = voice, time - start, velocity / 127
    sequence = sorted(hits.values(), key=lambda hit: hit[1])
    audio = torch.from_numpy(play_hits(sequence, duration, sampling_rate))[None]
    return limit_peaks(audio, sampling_rate)


def drum_tracks(midi: Midi) -> list[MidiTrack]:
    """The tracks on channel 10, or else tracks with a drum name, or a single track with the keys of drums."""
    if on_channel := [track for track in midi.tracks if track.is_drum]:
        return on_channel
    others = [track for track in midi.tracks if is_drum_name(track.name)]
    # A melody of low notes has the keys of drums, too.
    if not others and len(midi.tracks) == 1 and not _is_pitched(midi.tracks[0].name) and _is_drum_like(midi.tracks[0]):
        others = midi.tracks
    return others


def _is_pitched(name: str) -> bool:
    return melody_rank(name) == 0 or is_bass_name(name) or is_chords_name(name)


def _require_drum_tracks(midi: Midi) -> list[MidiTrack]:
    tracks = drum_tracks(midi)
    if not midi.tracks:
        raise EmptyInputError(f"`drums`: {midi.path} has no notes.", "drums")
    if not tracks:
        names = list_names([midi.describe(index) for index in range(len(midi.tracks))]) or "none"
        raise InputError(
            f"`drums`: {midi.path} has no drums: no notes on channel 10 and no track with a drum name. Tracks with"
            f" notes: {names}.",
            "drums",
        )
    if not any(track.is_drum for track in tracks):
        names = list_names([f"{track.name!r} (channel {track.channel + 1})" for track in tracks])
        logger.warning(f"`drums`: {midi.path} has no notes on channel 10; track {names} is used as drums.")
    return tracks


def _is_drum_like(track: MidiTrack) -> bool:
    in_kit = np.isin(track.pitches, list(_KIT)).mean() >= _SHARE_OF_KIT
    if not in_kit or np.isin(track.pitches, list(_BEAT)).mean() < 0.3:
        return False
    # Low block chords use the same keys, but more than two at once.
    simultaneous = np.unique(track.starts.round(2), return_counts=True)[1]
    return bool((simultaneous >= 3).mean() <= _SHARE_OF_CHORDS)
