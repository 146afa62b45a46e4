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

"""Reads MIDI files as lead sheets."""

import os
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate

from diffusers.utils import logging

from ....utils.errors import InputError
from ...chord_syntax import NO_CHORD
from ...midi import Midi, split_track
from ...midi_parsing import load_midi
from ..bars import FASTEST_TEMPO, SLOWEST_TEMPO, Bar, Section, TimeSignature
from ..keys import key_of_signature
from ..layout import bars_from_timeline
from ..order import MAX_BARS
from ..playback import can_swing, metrical_offsets, straightened
from ..sheet import LeadSheet
from .parts import read_parts
from .words import (
    COMPOSER_PREFIX,
    KEY,
    NAME,
    OWN_FILE,
    SWING,
    decode_all,
    midi_texts,
    read_ending,
    read_sections,
    read_syllables,
)


logger = logging.get_logger(__name__)

_NEAR = Fraction(1, 8)  # quarter notes between a syllable and its note
_GENERIC_NAMES = r"(track|tempo|conductor|untitled|midi|master|meta|control|instrument|staff|seq)"


def read_midi(path: str | os.PathLike, part: str | int | None = None) -> LeadSheet:
    r"""
    Reads a MIDI file (`.mid`, `.kar`, `.rmi`) as a lead sheet.

    The melody is the highest notes of one track: the one with the best name, or else the most probable one. Chords are
    read from texts such as `chord: Am7` (which [`~LeadSheet.save`] writes) or from the notes of all tracks; drums from
    channel 10. Tempos, time signatures, keys, lyrics and markers are read from all tracks; markers such as `Verse` begin
    sections. If the first time signature lasts a single bar that is shorter than the next, that bar is a pick-up.

    Args:
        path (`str` or `os.PathLike`): the file; `"song.mid#vocals"` or `"song.mid#3"` selects the melody track.
        part (`str` or `int`, *optional*): name or zero-based number of the melody track.

    Returns:
        [`LeadSheet`]: chords, melody or drums are empty if the file has none.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the file is not MIDI, has no notes and no chords, is longer than 10,000 bars, or the part is
            unknown.
    """
    path, named = split_track(path)
    midi = load_midi(path, "source")
    pickup, signatures = _read_signatures(midi)
    _check_length(path, _end_of_notes(midi) / midi.division, signatures)
    texts = midi_texts(midi)
    is_own = OWN_FILE in texts
    melody, chords, hits = read_parts(midi, named if part is None else part, warns=not is_own)
    if not melody and not hits and not any(label != NO_CHORD for label, _ in chords):
        raise InputError(f"`source`: {path} has no melody, no chords and no drums.", "source")
    if midi.is_smpte:
        logger.warning(
            f"{path} has times in SMPTE frames instead of beats: its bars assume 120 quarter notes per minute."
        )

    def place(tick: int) -> Fraction:
        return tick / midi.division

    ends = [end for *_, end in melody] + [tick + 1 for _, tick, _ in hits] + [tick + 1 for _, tick in chords]
    length = place(max([*ends, midi.end if is_own else 0, _end_of_notes(midi) if chords else 0]))
    ending, end = read_ending(midi) if is_own else ("cut", 0)
    length = place(end) if end else length
    _check_length(path, length, signatures)
    tempos = _read_tempos(midi)
    # MIDI files count quarter notes.
    unit = signatures[0][1].beat if signatures[0][1].is_compound else Fraction(1)
    bars: Sequence[Bar] = bars_from_timeline(
        [(label, place(tick)) for label, tick in chords],
        [(pitch, place(start), place(end)) for pitch, start, end in melody],
        [(drum, place(tick), velocity) for drum, tick, velocity in hits],
        length=length,
        time_signatures=signatures,
        pickup=pickup,
        tempos=[(position, tempo / float(unit), unit) for position, tempo in tempos[1:]],
    )
    key, bars = _add_keys(midi, bars)
    bars = _add_lyrics(midi, bars)
    swing = is_own and SWING in texts
    if swing:
        bars = _straighten(bars, signatures[0][1])
    return LeadSheet(
        sections=_split(midi, bars),
        title=_read_title(midi),
        composer=next(
            (text[len(COMPOSER_PREFIX) :] for text in sorted(texts) if text.startswith(COMPOSER_PREFIX)), ""
        ),
        tempo=tempos[0][1] / float(unit),
        beat_unit=unit,
        time_signature=signatures[0][1],
        key=key,
        swing=swing,
        ending=ending,
    )


def _end_of_notes(midi: Midi) -> int:
    return max((int(midi.to_ticks(track.ends).max()) for track in midi.tracks), default=0)


def _read_signatures(midi: Midi) -> tuple[Fraction, list[tuple[Fraction, TimeSignature]]]:
    """The length of the pick-up, and the time signatures with their positions in quarter notes."""
    changes: list[tuple[Fraction, TimeSignature]] = []
    latest = {}
    for beat, numerator, denominator in midi.time_signatures:
        latest[round(beat * float(midi.division)) / midi.division] = TimeSignature(numerator, denominator)
    for position, signature in sorted(latest.items()):
        if not changes or signature != changes[-1][1]:
            changes.append((position, signature))
    if not changes:
        return Fraction(0), [(Fraction(0), TimeSignature(4, 4))]
    (start, first), *others = changes
    if start > 0:
        # Our files begin like this if no time signature is as short as the pick-up.
        if start < first.length:
            return start, [(Fraction(0), first), *others]
        changes.insert(0, (Fraction(0), TimeSignature(4, 4)))
    elif others and others[0][0] == first.length < others[0][1].length:
        return first.length, [(Fraction(0), others[0][1]), *others[1:]]
    return Fraction(0), changes


def _check_length(path: str, length: Fraction, signatures: Sequence[tuple[Fraction, TimeSignature]]):
    ends = [*(position for position, _ in signatures[1:]), length]
    count = Fraction(0)
    for (start, signature), end in zip(signatures, ends):
        count += max(Fraction(0), min(end, length) - start) / signature.length
    if count > MAX_BARS:
        raise InputError(
            f"`source`: {path} has to have at most {MAX_BARS:,} bars, but has {int(count):,}; is its time division right?",
            "source",
        )


def _read_tempos(midi: Midi) -> list[tuple[Fraction, float]]:
    """Quarter notes per minute with their positions; the first one is at 0."""
    changes: list[tuple[Fraction, float]] = [(Fraction(0), 120.0)]
    outside = set()
    for tick, microseconds in midi.tempos:
        tempo = 60e6 / microseconds
        if not SLOWEST_TEMPO <= tempo <= FASTEST_TEMPO:
            outside.add(tempo)
            tempo = min(max(tempo, SLOWEST_TEMPO), FASTEST_TEMPO)
        tempo = _round_tempo(tempo)
        if tick == 0:
            changes = [(Fraction(0), tempo)]
        elif tempo != changes[-1][1]:
            changes.append((tick / midi.division, tempo))
    if outside:
        logger.warning(
            f"{midi.path} has tempos outside {SLOWEST_TEMPO:g} to {FASTEST_TEMPO:g} quarter notes per minute, such as"
            f" {outside.pop():.4g}: the nearest valid tempo is used, so times differ from those of the file."
        )
    return changes


def _round_tempo(tempo: float) -> float:
    """The tempo with the fewest decimals that a file stores as the same number of microseconds."""
    for decimals in range(5):
        if round(60e6 / round(tempo, decimals)) == round(60e6 / tempo):
            return round(tempo, decimals)
    return tempo


# Additions to bars


def _starts(bars: Sequence[Bar]) -> list[Fraction]:
    return list(accumulate((bar.length for bar in bars), initial=Fraction(0)))[:-1]


def _add_keys(midi: Midi, bars: Sequence[Bar]) -> tuple[str, list[Bar]]:
    """The first key, and the bars with the other ones at the nearest bar lines."""
    starts, bars = _starts(bars), list(bars)
    first, last = "", ""
    for event in midi.events:
        if event.kind != KEY or len(event.data) != 2:
            continue
        fifths, is_minor = (event.data[0] + 128) % 256 - 128, event.data[1]
        if not -7 <= fifths <= 7 or is_minor > 1:
            continue
        key = key_of_signature(fifths, "minor" if is_minor else "major")
        index = _nearest(starts, event.tick / midi.division)
        if index == 0:
            first = last = key
        elif key != last and event.tick / midi.division < starts[-1] + bars[-1].length:
            bars[index], last = replace(bars[index], key=key), key
    return first, bars


def _nearest(starts: Sequence[Fraction], position: Fraction) -> int:
    index = max(bisect_right(starts, position) - 1, 0)
    is_late = index + 1 < len(starts) and starts[index + 1] - position < position - starts[index]
    return index + is_late


def _add_lyrics(midi: Midi, bars: Sequence[Bar]) -> list[Bar]:
    """Adds syllables to the notes where they are sung, or to bars if most of them have no note."""
    syllables = [(tick / midi.division, text) for tick, text in read_syllables(midi)]
    if not syllables:
        return list(bars)
    starts = _starts(bars)
    continued = {
        (pitch, end)
        for start, bar in zip(starts, bars)
        for pitch, end in ((note.pitch, start + note.end) for note in bar.notes if note.tied)
    }
    onsets = [
        (start + note.start, index, number)
        for index, (start, bar) in enumerate(zip(starts, bars))
        for number, note in enumerate(bar.notes)
        if (note.pitch, start + note.start) not in continued
    ]
    positions = [position for position, *_ in onsets]
    words: dict[tuple[int, int], str] = {}
    for position, text in syllables:
        index = _nearest(positions, position) if positions else 0
        if positions and abs(positions[index] - position) <= _NEAR:
            place = onsets[index][1:]
            words[place] = (words[place].removesuffix("-") + text) if place in words else text
    added = list(bars)
    has_lines = 2 * sum(" " in text for _, text in syllables) > len(syllables)
    if len(words) >= len(syllables) / 2 and not has_lines:
        for index, bar in enumerate(bars):
            notes = [note._replace(lyric=words.get((index, number), "")) for number, note in enumerate(bar.notes)]
            added[index] = replace(bar, notes=tuple(notes))
        return added
    lines: dict[int, str] = {}
    for position, text in syllables:
        index = bisect_right(starts, position) - 1
        lines[index] = f"{lines[index]} {text}" if index in lines else text
    for index, line in lines.items():
        added[index] = replace(added[index], lyrics=line.replace("- ", ""))
    return added


def _straighten(bars: Sequence[Bar], signature: TimeSignature) -> list[Bar]:
    """Moves swung notes back to the positions at which they are written; see [`Clock.played`]."""
    signatures = list(
        accumulate((bar.time_signature for bar in bars), lambda last, new: new or last, initial=signature)
    )
    straight = []
    for bar, signature, offset in zip(bars, signatures[1:], metrical_offsets(bars, signatures[1:])):

        def move(position: Fraction, offset: Fraction = offset) -> Fraction:
            return max(straightened(offset + position) - offset, Fraction(0))

        if can_swing(signature):
            notes = (
                note._replace(start=move(note.start), length=move(note.end) - move(note.start)) for note in bar.notes
            )
            bar = replace(
                bar,
                notes=tuple(notes),
                chords=tuple(chord._replace(start=move(chord.start)) for chord in bar.chords),
                hits=tuple(hit._replace(start=move(hit.start)) for hit in bar.hits),
            )
        straight.append(bar)
    return straight


def _split(midi: Midi, bars: Sequence[Bar]) -> tuple[Section, ...]:
    """Sections from the nearest bar lines to the markers on."""
    starts = _starts(bars)
    names: dict[int, str] = {0: ""}
    for tick, name in read_sections(midi):
        if tick / midi.division < starts[-1] + bars[-1].length:
            names[_nearest(starts, tick / midi.division)] = name
    firsts = sorted(names)
    return tuple(Section(names[first], tuple(bars[first:end])) for first, end in zip(firsts, [*firsts[1:], len(bars)]))


def _read_title(midi: Midi) -> str:
    """The name of the first track if it has no notes."""
    names = [event for event in midi.events if event.kind == NAME and event.track == 0]
    title = decode_all([names[0].data])[0].strip() if names else ""
    has_notes = any(track.name and title.startswith(track.name[:20]) for track in midi.tracks)
    return "" if has_notes or re.match(_GENERIC_NAMES, title, re.IGNORECASE) else title
