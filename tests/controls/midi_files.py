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

"""Writes MIDI files byte by byte (including invalid ones) and arrangements of chord progressions."""

import struct
from collections.abc import Sequence

from diffusers_jasco.controls.chord_labels import parse_chord


DIVISION = 480  # ticks per beat


def number(value: int) -> bytes:
    """Encodes a variable-length quantity."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def meta(kind: int, data: bytes, delta: int = 0) -> bytes:
    return number(delta) + bytes([0xFF, kind]) + number(len(data)) + data


END = meta(0x2F, b"")


def note_events(notes: Sequence[tuple], channel: int = 0, bpm: float = 120.0, velocity: int = 80) -> bytes:
    """Encodes notes `(pitch, start, end)` or `(pitch, start, end, velocity)` with times in seconds as events."""
    per_second = DIVISION * bpm / 60
    events = []
    for pitch, start, end, *velocities in notes:
        events.append((round(start * per_second), 1, pitch, *(velocities or [velocity])))
        events.append((round(end * per_second), 0, pitch, 0))
    data, now = b"", 0
    for tick, is_on, pitch, event_velocity in sorted(events):
        data += number(tick - now) + bytes([(0x90 if is_on else 0x80) | channel, pitch, event_velocity])
        now = tick
    return data


def track(events: bytes, name: str | bytes = "", end: bytes = END, size: int | None = None) -> bytes:
    name = name.encode() if isinstance(name, str) else name
    body = (meta(0x03, name) if name else b"") + events + end
    return b"MTrk" + struct.pack(">I", len(body) if size is None else size) + body


def midi(*tracks: bytes, format: int = 1, division: int = DIVISION, count: int | None = None) -> bytes:
    return (
        b"MThd" + struct.pack(">IHHH", 6, format, len(tracks) if count is None else count, division) + b"".join(tracks)
    )


def song(path, parts: Sequence[tuple], bpm: float = 120.0, signature: tuple[int, int] | None = None):
    """Writes tracks `(name, channel, program, notes)` and returns the path."""
    tempo = meta(0x51, round(6e7 / bpm).to_bytes(3, "big"))
    if signature is not None:
        tempo += meta(0x58, bytes([signature[0], signature[1].bit_length() - 1, 24, 8]))
    tracks = [track(tempo)]
    for name, channel, program, notes in parts:
        tracks.append(track(bytes([0, 0xC0 | channel, program]) + note_events(notes, channel, bpm), name))
    path.write_bytes(midi(*tracks))
    return path


# Arrangements: each function returns the notes of a chord for each track, with times in beats.


def _voicing(label: str) -> tuple[int, list[int]]:
    """The bass note below C3, and the chord notes above it."""
    chord = parse_chord(label)
    return 36 + chord.bass_pitch_class, sorted(48 + note for note in chord.pitch_classes)


def block(label: str, beats: int, beats_per_bar: int) -> list[list[tuple]]:
    bass, notes = _voicing(label)
    return [[(note, 0, beats) for note in (bass, *notes)]]


def arpeggio(label: str, beats: int, beats_per_bar: int) -> list[list[tuple]]:
    bass, notes = _voicing(label)
    order = [bass, *notes, 12 + notes[0], *notes[:0:-1]]
    return [[(order[i % len(order)], i / 2, (i + 1) / 2) for i in range(2 * beats)]]


def alberti(label: str, beats: int, beats_per_bar: int) -> list[list[tuple]]:
    _, notes = _voicing(label)
    chord = parse_chord(label)
    low = 48 + chord.bass_pitch_class
    others = sorted(note + 12 if note < low else note for note in notes if note % 12 != low % 12)
    order = [low, others[-1], others[0], others[-1]]
    return [[(order[i % 4], i / 2, (i + 1) / 2) for i in range(2 * beats)]]


def offbeats(label: str, beats: int, beats_per_bar: int) -> list[list[tuple]]:
    """Chords strummed string by string on the offbeats, with the bass on the beats."""
    bass, notes = _voicing(label)
    strummed = [
        (note + 12, beat + 0.5 + 0.04 * i, beat + 0.9) for beat in range(beats) for i, note in enumerate(notes)
    ]
    return [[(bass, beat, beat + 0.5) for beat in range(0, beats, 2)], strummed]


def walking(label: str, beats: int, beats_per_bar: int) -> list[list[tuple]]:
    """A walking bass with passing notes under syncopated chords."""
    bass, notes = _voicing(label)
    third = next((interval for interval in (4, 3) if any((note - bass) % 12 == interval for note in notes)), 5)
    path = [bass, bass + third, bass + 7, bass + 9]
    comping = [
        (note + 12, beat, beat + 0.4) for beat in (0.5, 1.5, 2, 3.5)[: max(2, beats)] for note in notes if beat < beats
    ]
    return [[(path[i % 4], i, i + 1) for i in range(beats)], comping]


def with_melody(label: str, beats: int, beats_per_bar: int) -> list[list[tuple]]:
    """Held chords, a bass, and a melody with non-chord tones."""
    bass, notes = _voicing(label)
    top = [24 + notes[-1], 26 + notes[-1], 24 + notes[0] + 12, 24 + notes[1] + 12]
    melody = [(top[i % 4], i, i + 1) for i in range(beats)]
    return [[(bass, 0, beats)], [(note + 12, 0, beats) for note in notes], melody]


def waltz(label: str, beats: int, beats_per_bar: int) -> list[list[tuple]]:
    """The bass on the first beat of a bar, the chord on the other beats."""
    bass, notes = _voicing(label)
    played = []
    for beat in range(beats):
        pitches = [bass] if beat % beats_per_bar == 0 else [note + 12 for note in notes]
        played += [(pitch, beat, beat + 0.8) for pitch in pitches]
    return [played]


def staccato(label: str, beats: int, beats_per_bar: int) -> list[list[tuple]]:
    bass, notes = _voicing(label)
    return [[(note, beat, beat + 0.3) for beat in range(beats) for note in (bass, *notes)]]


TEXTURES = {
    function.__name__: function
    for function in (block, arpeggio, alberti, offbeats, walking, with_melody, waltz, staccato)
}


def arrange(
    path, texture: str, chords: Sequence[tuple[str, int]], bpm: float = 120.0, beats_per_bar: int = 4, shift=0.0
):
    """
    Writes a progression of `(label, beats)` in a texture. Returns the chords with their starts in seconds, and the
    end.
    """
    parts: list[list[tuple]] = []
    timeline, beat, seconds = [], 0, 60 / bpm
    for label, beats in chords:
        timeline.append((label, beat * seconds + shift))
        for i, notes in enumerate(TEXTURES[texture](label, beats, beats_per_bar)):
            parts += [[]] if i == len(parts) else []
            parts[i] += [
                (pitch, (beat + start) * seconds + shift, (beat + end) * seconds + shift)
                for pitch, start, end in notes
            ]
        beat += beats
    song(path, [("", i, 0, notes) for i, notes in enumerate(parts)], bpm, (beats_per_bar, 4))
    return timeline, beat * seconds + shift
