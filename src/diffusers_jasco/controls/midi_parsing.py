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

"""Parses Standard MIDI Files, including damaged files that players accept."""

import os
import struct
from collections import Counter
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
from diffusers.utils import logging

from ..utils.errors import InputError, list_names
from .midi import Midi, MidiEvent, MidiTrack
from .midi_names import decode_name


logger = logging.get_logger(__name__)

MAX_BYTES = 10_000_000
MAX_NOTES = 400_000
MAX_SECONDS = 3 * 3600.0
_MAX_TRACKS = 2000
_MAX_EVENTS = 100_000  # meta events
_MAX_TEXT = 500  # bytes
_DEFAULT_DIVISION = 480  # ticks per beat
_DEFAULT_TEMPO = 500_000  # microseconds per beat
_NUM_DATA_BYTES = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}


def load_midi(path: str | os.PathLike, name: str) -> Midi:
    r"""
    Reads a MIDI file (`.mid`, `.kar`, or `.rmi`) of any format. Damaged files are read as far as possible, with a
    warning that lists the problems.

    Args:
        path (`str` or `os.PathLike`): the MIDI file.
        name (`str`): name of the argument for error messages.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the file is not MIDI or is too large.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"`{name}`: the file {path} does not exist.")
    if (size := os.path.getsize(path)) > MAX_BYTES:
        raise InputError(
            f"`{name}`: {path} has to be at most {MAX_BYTES / 1e6:.0f} MB, but has {size / 1e6:.0f} MB.", name
        )
    try:
        midi, problems = _parse(path.read_bytes())
    except _NotMidi as error:
        raise InputError(f"`{name}`: {path} can't be read as MIDI: {error}", name) from None
    if problems:
        logger.warning(f"`{name}`: {path} is damaged and was read as far as possible: {list_names(problems, 8)}.")
    return replace(midi, path=str(path))


# Cached because one file often provides the chords, the melody and the drums.
@lru_cache(maxsize=1)
def _parse(data: bytes) -> tuple[Midi, list[str]]:
    """Returns the content (without a path) and a list of problems."""
    reader = _Reader(data)
    reader.read()
    midi = reader.assemble()
    return midi, [f"{count} × {text}" if count > 1 else text for text, count in reader.problems.items() if count]


class _NotMidi(Exception):
    pass


class _Truncated(Exception):
    pass


@dataclass
class _Part:
    """The notes of one track on one channel."""

    names: list[str] = field(default_factory=list)
    programs: Counter = field(default_factory=Counter)
    notes: list[tuple[int, int, int, int]] = field(default_factory=list)  # start and end in ticks, pitch, velocity


class _Reader:
    """
    Parses the bytes of a file in one pass, so that the time is linear in the size of the file. Problems are counted
    instead of raised.
    """

    def __init__(self, data: bytes):
        self.data = data
        self.problems: Counter = Counter()
        self.parts: dict[tuple[int, int], _Part] = {}  # by track and channel
        self.track_names: dict[int, str] = {}
        self.tempos: list[tuple[int, int]] = []
        self.time_signatures: list[tuple[int, int, int]] = []
        self.lyrics: list[int] = []
        self.texts: list[int] = []
        self.events: list[MidiEvent] = []
        self.end = 0  # ticks
        self.num_notes = 0
        self.following = -1

    # 1. Chunks

    def read(self):
        data = self.data
        header = data.find(b"MThd", 0, 1 << 16)
        first = self.next_track(0)
        if first == len(data) or (header < 0 and first > 1 << 16):
            raise _NotMidi("it has no track (MTrk).")
        format, num_tracks, self.division = 1, None, _DEFAULT_DIVISION
        position = first
        if header < 0:
            self.problems["no header (MThd)"] += 1
        else:
            if header > 0 and not data.startswith(b"RIFF"):
                self.problems["data before the header"] += 1
            length = int.from_bytes(data[header + 4 : header + 8], "big")
            if length < 6 or first < header + 14:
                self.problems["incomplete header"] += 1
            else:
                format, num_tracks, self.division = struct.unpack(">HHH", data[header + 8 : header + 14])
            end = header + 8 + length
            position = end if end < first and self.is_chunk(end) else first
        if format > 2:
            self.problems[f"unknown format {format}"] += 1
        if self.division == 0:
            self.problems["no time division"] += 1
            self.division = _DEFAULT_DIVISION

        found, last_tick = 0, 0
        while position + 8 <= len(data):
            kind = data[position : position + 4]
            size = int.from_bytes(data[position + 4 : position + 8], "big")
            end = position + 8 + size
            if kind != b"MTrk":
                # Files may contain other chunks, such as Yamaha's.
                following = self.next_track(position)
                position = end if self.is_chunk(position) and end < following else following
                continue
            if found == _MAX_TRACKS:
                self.problems[f"more than {_MAX_TRACKS} tracks"] += 1
                break
            # The patterns of format 2 are placed one after another.
            start_tick = last_tick if format == 2 else 0
            position, last = self.read_track(found, position + 8, end, start_tick)
            last_tick = self.end = max(last_tick, last)
            found += 1
        if found == 0:
            raise _NotMidi("it has no track (MTrk).")
        if num_tracks is not None and num_tracks != found:
            self.problems[f"{num_tracks} tracks declared, {found} found"] += 1
        if format == 2 and found > 1:
            self.problems["independent patterns (format 2), placed one after another"] += 1

    def read_track(self, track: int, position: int, end: int, tick: int) -> tuple[int, int]:
        """Reads the events of a track. Returns the position of the next chunk and the last tick of the track."""
        data = self.data
        # Sizes are often wrong, so trust them only if another chunk follows.
        is_plausible = self.is_chunk(end)
        if end > len(data):
            self.problems["track cut off by the end of the file"] += 1
        events = _Events(self, track, data, min(end, len(data)) if is_plausible else len(data), position, tick)
        try:
            has_end = events.read()
        except _Truncated:
            has_end = False
            if end <= len(data):
                self.problems["track that ends within an event"] += 1
        else:
            if not has_end and end <= len(data):
                self.problems["track without an end"] += 1
        events.finish()
        if has_end and events.position < end and data.startswith(b"MTrk", events.position):
            is_plausible = False
        if is_plausible:
            return end, events.tick
        self.problems["wrong size of a track"] += events.position != end
        return self.next_track(events.position), events.tick

    def is_chunk(self, position: int) -> bool:
        """Whether a chunk starts at a position, or the file ends before it."""
        if position >= len(self.data) or self.data.startswith(b"MTrk", position):
            return True
        kind, size = self.data[position : position + 4], self.data[position + 4 : position + 8]
        return kind.isalpha() and len(size) == 4 and position + 8 + int.from_bytes(size, "big") <= len(self.data)

    def next_track(self, position: int) -> int:
        """The position of the first track at or after a position, or the end of the file."""
        if self.following < position:
            found = self.data.find(b"MTrk", position)
            self.following = len(self.data) if found < 0 else found
        return self.following

    # 2. Events → tracks

    def assemble(self) -> Midi:
        ticks, seconds, per_beat = self.tempo_map()
        sizes: Counter = Counter()
        for (track, _), part in self.parts.items():
            if part.notes:
                sizes[track] += len(part.notes)
        tracks, cut = [], 0
        for (track, channel), part in sorted(self.parts.items()):
            if not part.notes:
                continue
            notes = np.array(sorted(part.notes), dtype=np.int64)
            starts, ends = np.interp(notes[:, 0], ticks, seconds), np.interp(notes[:, 1], ticks, seconds)
            inside = starts < MAX_SECONDS
            cut += int((~inside).sum())
            if not inside.any():
                continue
            # In a single track with several channels, the name is the title of the piece.
            is_own = len(part.notes) == sizes[track] or (len(part.notes) >= 0.8 * sizes[track] and len(sizes) > 1)
            name = self.track_names.get(track, "") if is_own else ""
            name = part.names[-1] if part.names else name
            program = part.programs.most_common(1)[0][0]
            pitches, velocities = notes[inside, 2], notes[inside, 3]
            tracks.append(
                MidiTrack(
                    name, channel, program, pitches, velocities, starts[inside], ends[inside].clip(0, MAX_SECONDS)
                )
            )
        if cut:
            self.problems[f"note after {MAX_SECONDS / 3600:.0f} hours"] += cut
        signatures = [
            (tick / per_beat, upper, lower)
            for tick, upper, lower in sorted(self.time_signatures, key=lambda change: change[0])
        ]
        syllables = self.lyrics if len(self.lyrics) >= len(self.texts) else self.texts
        lyrics = np.interp(sorted(syllables), ticks, seconds) if syllables else np.zeros(0)
        is_smpte = bool(self.division & 0x8000)
        tempos = [] if is_smpte else list(self.tempo_changes().items())
        events = sorted(self.events, key=lambda event: event.tick)
        division = Fraction(per_beat).limit_denominator(1001)
        return Midi(
            "", tracks, ticks / per_beat, seconds, signatures, lyrics, division, is_smpte, tempos, events, self.end
        )

    def tempo_changes(self) -> dict[int, int]:
        """Microseconds per beat by tick; the last change in the file counts at each tick."""
        return dict(sorted(dict(self.tempos).items()))

    def tempo_map(self) -> tuple[np.ndarray, np.ndarray, float]:
        """The ticks and the seconds of tempo changes and of a point in the far future, and the ticks per beat."""
        division = self.division
        far = 1 << 40
        if division & 0x8000:  # SMPTE: frames per second and ticks per frame
            frames = 256 - (division >> 8)
            frames = 30000 / 1001 if frames == 29 else frames
            if frames not in (24, 25, 30000 / 1001, 30):
                self.problems[f"{frames} SMPTE frames per second"] += 1
            rate = frames * max(division & 0xFF, 1)
            return np.array([0, far]), np.array([0, far / rate]), 0.5 * rate
        tempos = self.tempo_changes()
        ticks = np.array([*sorted({0, *tempos}), far])
        values = np.array([tempos.get(int(tick)) or _DEFAULT_TEMPO for tick in ticks[:-1]])
        steps = np.diff(ticks) * values / 1e6 / division
        return ticks, np.concatenate([[0.0], np.cumsum(steps)]), float(division)


class _Events:
    """The events of one track."""

    def __init__(self, reader: _Reader, track: int, data: bytes, end: int, position: int, tick: int):
        self.reader, self.track, self.data, self.end, self.position, self.tick = (
            reader,
            track,
            data,
            end,
            position,
            tick,
        )
        self.channel_prefix: int | None = None
        self.programs = [0] * 16
        # Per channel: pitch → start in ticks, velocity, whether the key was pressed again while it sounded.
        self.open: list[dict[int, tuple[int, int, bool]]] = [{} for _ in range(16)]

    def number(self) -> int:
        """Reads a variable-length quantity of at most four bytes."""
        value = 0
        for _ in range(4):
            if self.position >= self.end:
                raise _Truncated
            byte = self.data[self.position]
            self.position += 1
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        self.reader.problems["number of more than four bytes"] += 1
        return value

    def read(self) -> bool:
        """Reads all events. Returns whether the track has an end event, after which reading stops."""
        data, end, problems, status = self.data, self.end, self.reader.problems, 0
        has_delta = False
        while self.position < end:
            if not has_delta:
                self.tick += self.number()
            has_delta = False
            if self.position >= end:
                raise _Truncated
            byte = data[self.position]
            if byte >= 0x80:
                self.position += 1
                if byte == 0xFF:
                    if self.read_meta():
                        return True
                    continue
                if byte in (0xF0, 0xF7):
                    self.skip_sysex()
                    continue
                if byte > 0xF0:
                    problems[f"event 0x{byte:02X}, which is invalid in files"] += 1
                    self.position += {0xF1: 1, 0xF2: 2, 0xF3: 1}.get(byte, 0)
                    continue
                status = byte
            elif status == 0:
                problems["data without an event"] += 1
                while self.position < end and data[self.position] < 0x80:
                    self.position += 1
                has_delta = True  # part of the skipped data
                continue
            size = _NUM_DATA_BYTES[status >> 4]
            if self.position + size > end:
                raise _Truncated
            first, second = data[self.position], data[self.position + size - 1]
            self.position += size
            if first > 127 or second > 127:
                problems["value above 127"] += 1
                second = min(second, 127)
            self.handle(status >> 4, status & 0xF, first, second)
        return False

    def handle(self, kind: int, channel: int, first: int, second: int):
        sounding = self.open[channel]
        if kind == 9 and second > 0 and first < 128:
            is_repeated = first in sounding
            self.close(channel, first)
            sounding[first] = (self.tick, second, is_repeated)
            self.reader.num_notes += 1
            if self.reader.num_notes > MAX_NOTES:
                raise _NotMidi(f"it has more than {MAX_NOTES} notes.")
        elif kind in (8, 9):
            # Some files write the end of a note after the start of the next one on the same key at the same tick.
            if first in sounding and not (sounding[first][2] and sounding[first][0] == self.tick):
                self.close(channel, first)
        elif kind == 0xC:
            self.programs[channel] = min(first, 127)
        elif kind == 0xB and first in (120, 123):  # all sound or all notes off
            for pitch in list(sounding):
                self.close(channel, pitch)

    def close(self, channel: int, pitch: int):
        """Ends a note, because of a note-off event or because the same key is pressed again."""
        if pitch not in self.open[channel]:
            return
        start, velocity, _ = self.open[channel].pop(pitch)
        part = self.reader.parts.setdefault((self.track, channel), _Part())
        part.notes.append((start, self.tick, pitch, velocity))
        part.programs[self.programs[channel]] += 1

    def finish(self):
        for channel, sounding in enumerate(self.open):
            self.reader.problems["note without an end"] += len(sounding)
            for pitch in list(sounding):
                self.close(channel, pitch)

    def read_meta(self) -> bool:
        """Reads a meta event. Returns whether it is the end of the track."""
        if self.position >= self.end:
            raise _Truncated
        kind = self.data[self.position]
        self.position += 1
        size = self.number()
        if kind == 0x2F:
            return True
        if self.position + size > self.end:
            self.position = self.end
            raise _Truncated
        value = self.data[self.position : self.position + size]
        self.position += size
        reader = self.reader
        if kind in (0x01, 0x03, 0x05, 0x06, 0x07, 0x59) and len(reader.events) < _MAX_EVENTS:
            reader.events.append(MidiEvent(self.tick, kind, self.track, value[:_MAX_TEXT]))
        if kind in (0x03, 0x04):
            name = decode_name(value)
            if self.channel_prefix is not None:
                reader.parts.setdefault((self.track, self.channel_prefix), _Part()).names.append(name)
            elif name and (kind == 0x03 or self.track not in reader.track_names):
                reader.track_names.setdefault(self.track, name)
        elif kind == 0x05:
            reader.lyrics.append(self.tick)
        elif kind == 0x01 and self.tick > 0:
            reader.texts.append(self.tick)
        elif kind == 0x20 and size == 1 and value[0] < 16:
            self.channel_prefix = value[0]
        elif kind == 0x51:
            tempo = int.from_bytes(value, "big")
            if size == 3 and tempo > 0:
                reader.tempos.append((self.tick, tempo))
            else:
                reader.problems["invalid tempo"] += 1
        elif kind == 0x58:
            if size >= 2 and 1 <= value[0] <= 64 and value[1] <= 6:
                reader.time_signatures.append((self.tick, value[0], 2 ** value[1]))
            else:
                reader.problems["invalid time signature"] += 1
        elif kind == 0x59 and not (size == 2 and (value[0] <= 7 or value[0] >= 249) and value[1] <= 1):
            reader.problems["invalid key signature"] += 1
        return False

    def skip_sysex(self):
        start = self.position
        size = self.number()
        if self.position + size <= self.end:
            self.position += size
            return
        # Some programs omit the size.
        self.reader.problems["system exclusive event of invalid size"] += 1
        closing = self.data.find(b"\xf7", start, self.end)
        if closing < 0:
            self.position = self.end
            raise _Truncated
        self.position = closing + 1
