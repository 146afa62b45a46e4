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

"""Writes lead sheets as MIDI files."""

import math
import struct
from collections.abc import Sequence
from fractions import Fraction

from diffusers.utils import logging

from ...chord_syntax import is_no_chord, parse_chord
from ...midi_drums import DRUM_KEYS
from ..bars import Bar, TimeSignature
from ..keys import key_signature, parse_tonality
from ..playback import Clock, drum_hits
from ..sheet import LeadSheet
from .words import CHORD_PREFIX, COMPOSER_PREFIX, ENDING_PREFIX, KEY, LYRIC, MARKER, NAME, OWN_FILE, SWING, TEXT


logger = logging.get_logger(__name__)

_TICKS = 480  # per quarter note; a multiple where positions need a finer grid
_MOST_TICKS = 32_767
_FINE_TICKS = 25_200
_LOWEST_BASS = 36  # MIDI number of C2
_LOWEST_NOTE = 55  # MIDI number of G3
_MELODY, _CHORDS, _DRUMS = (0, 73, 100), (1, 0, 64), 9  # channel, program (flute, piano), velocity
_HIT_LENGTH = Fraction(1, 8)  # quarter notes

_END_OF_TRACK, _TEMPO, _TIME_SIGNATURE = 0x2F, 0x51, 0x58

Event = tuple[Fraction, int, bytes]  # position in quarter notes, order at the same position, data


def to_midi(sheet: LeadSheet) -> bytes:
    r"""
    Writes a sheet as a MIDI file of format 1. Repeats and swing are written as they are played.

    The first track has the tempos, time signatures, keys and section names (markers). `Melody` has the notes and lyrics,
    `Chords` voiced chords on a piano and their labels as texts (`chord: Am7`), and `Drums` (channel 10) the hits of the
    sheet or its grooves. Tracks without notes are left out; so are prompts, with a
    warning.

    Args:
        sheet ([`LeadSheet`]): the sheet.

    Returns:
        `bytes`: the file, with 480 ticks per quarter note, or more if positions require it.
    """
    if sheet.prompt or any(section.prompt for section in sheet.sections):
        logger.warning("MIDI files have no prompts: they are left out. JSON and ABC files keep them.")
    ending = sheet.ending
    sheet = sheet.expand()
    clock = Clock(sheet)
    ring = clock.signatures[-1].length if ending == "ring" else Fraction(0)
    tracks = [
        _conductor(sheet, ending),
        _melody(sheet, clock),
        _chords(sheet, clock, ring),
        _drums(sheet, clock, ring),
    ]
    tracks = [track for number, track in enumerate(tracks) if track or number == 0]
    ticks = _choose_division([position for track in tracks for position, *_ in track])
    chunks = [_encode(track, sheet.length + ring, ticks) for track in tracks]
    header = b"MThd" + struct.pack(">IHHH", 6, 1, len(chunks), ticks)
    return header + b"".join(b"MTrk" + struct.pack(">I", len(chunk)) + chunk for chunk in chunks)


def _choose_division(positions: Sequence[Fraction]) -> int:
    """Ticks per quarter note that represent all positions exactly, if there are few enough."""
    needed = 1
    for denominator in {position.denominator for position in positions}:
        needed = math.lcm(needed, denominator)
        if needed > _MOST_TICKS:
            return _FINE_TICKS
    if (multiple := math.lcm(needed, _TICKS)) <= _MOST_TICKS:
        return multiple
    return needed * math.ceil(_TICKS / needed)


# 1. Tracks


def _conductor(sheet: LeadSheet, ending: str) -> list[Event]:
    start = Fraction(0)
    events = [_meta(start, NAME, sheet.title)] if sheet.title else []
    texts = [OWN_FILE, SWING] if sheet.swing else [OWN_FILE]
    texts += [COMPOSER_PREFIX + sheet.composer] if sheet.composer else []
    events += [_meta(start, TEXT, text) for text in texts]
    events += [_meta(sheet.length, TEXT, ENDING_PREFIX + ending)] if ending != "cut" else []
    events.append(_tempo(start, sheet.tempo * float(sheet.beat_unit)))
    events += _signatures(sheet)
    last = None
    for position, bar, key in zip(sheet.bar_starts, sheet.bars, sheet.keys()):
        if key and key != last:
            is_minor = parse_tonality(key)[1] in ("minor", "aeolian")
            events.append(_meta(position, KEY, struct.pack("bB", key_signature(key), is_minor)))
        last = key
        events += [_tempo(position + tempo.start, tempo.quarters_per_minute) for tempo in bar.tempos]
    number = 0
    for section in sheet.sections:
        if section.name and section.bars:
            events.append(_meta(sheet.bar_starts[number], MARKER, section.name))
        number += len(section.bars)
    return events


def _signatures(sheet: LeadSheet) -> list[Event]:
    """Time signatures, also for bars that are shorter or longer than usual, such as a pick-up."""
    events, current = [], None
    for position, bar, usual in zip(sheet.bar_starts, sheet.bars, sheet.time_signatures()):
        signature = usual if bar.length == usual.length else _signature_of(bar)
        if signature is not None and signature != current:
            data = bytes([signature.numerator, signature.denominator.bit_length() - 1, 24, 8])
            events.append(_meta(position, _TIME_SIGNATURE, data))
        # After a bar that no time signature describes, the next one marks its end.
        current = signature
    return events


def _signature_of(bar: Bar) -> TimeSignature | None:
    share = bar.length / 4
    factor = max(1, 4 // share.denominator)
    numerator, denominator = share.numerator * factor, share.denominator * factor
    if denominator & (denominator - 1) or denominator > 64 or numerator > 64:
        return None
    return TimeSignature(numerator, denominator)


def _melody(sheet: LeadSheet, clock: Clock) -> list[Event]:
    channel, program, velocity = _MELODY
    events: list[Event] = []
    for pitch, start, end in sheet.melody:
        events += _note(clock.played(start), clock.played(end), channel, pitch, velocity)
    if events:
        events = [*_begin("Melody", channel, program), *events]
    for position, bar in zip(sheet.bar_starts, sheet.bars):
        sung = [(position + note.start, note.lyric) for note in bar.notes if note.lyric]
        if not sung and bar.lyrics:
            sung = [(position, bar.lyrics)]
        for start, text in sung:
            events.append(_meta(clock.played(start), LYRIC, text if text.endswith("-") else f"{text} "))
    return events


def _chords(sheet: LeadSheet, clock: Clock, ring: Fraction) -> list[Event]:
    channel, program, velocity = _CHORDS
    ends = [start for _, start in sheet.chords[1:]] + [sheet.length]
    events: list[Event] = []
    for number, ((label, start), end) in enumerate(zip(sheet.chords, ends)):
        start, end = clock.played(start), clock.played(end)
        end += ring if number == len(ends) - 1 else 0
        events.append(_meta(start, TEXT, f"{CHORD_PREFIX} {label}"))
        chord = None if is_no_chord(label) else parse_chord(label)
        if chord is None or start == end:
            continue
        notes = {_LOWEST_NOTE + (note - _LOWEST_NOTE) % 12 for note in chord.pitch_classes}
        for pitch in sorted(notes | {_LOWEST_BASS + chord.bass_pitch_class}):
            events += _note(start, end, channel, pitch, velocity)
    return [*_begin("Chords", channel, program), *events] if events else []


def _drums(sheet: LeadSheet, clock: Clock, ring: Fraction) -> list[Event]:
    hits: dict[str, dict[Fraction, float]] = {}
    for drum, start, velocity in drum_hits(sheet):
        at = hits.setdefault(drum, {})
        start = clock.played(start)
        at[start] = max(velocity, at.get(start, 0.0))
    events: list[Event] = []
    for drum, at in hits.items():
        starts = sorted(at)
        for start, following in zip(starts, [*starts[1:], sheet.length + ring]):
            end = min(start + _HIT_LENGTH, following)
            events += _note(start, end, _DRUMS, DRUM_KEYS[drum], max(1, round(127 * at[start])))
    return [_meta(Fraction(0), NAME, "Drums"), *events] if events else []


# 2. Events


def _begin(name: str, channel: int, program: int) -> list[Event]:
    return [_meta(Fraction(0), NAME, name), (Fraction(0), 1, bytes([0xC0 | channel, program]))]


def _note(start: Fraction, end: Fraction, channel: int, pitch: int, velocity: int) -> list[Event]:
    return [(start, 3, bytes([0x90 | channel, pitch, velocity])), (end, 2, bytes([0x80 | channel, pitch, 0]))]


def _meta(position: Fraction, kind: int, content: str | bytes) -> Event:
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    return position, 0, bytes([0xFF, kind]) + _number(len(data)) + data


def _tempo(position: Fraction, quarters_per_minute: float) -> Event:
    return _meta(position, _TEMPO, round(60e6 / quarters_per_minute).to_bytes(3, "big"))


def _number(value: int) -> bytes:
    """A variable-length quantity."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def _encode(events: Sequence[Event], end: Fraction, ticks: int) -> bytes:
    timed = sorted(((round(position * ticks), order, data) for position, order, data in events), key=lambda e: e[:2])
    data, now = bytearray(), 0
    for tick, _, content in timed:
        data += _number(tick - now) + content
        now = tick
    return bytes(data + _number(max(0, round(end * ticks) - now)) + bytes([0xFF, _END_OF_TRACK, 0]))
