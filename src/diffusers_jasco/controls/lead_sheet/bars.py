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

"""Bars and sections of lead sheets."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from ...utils.errors import InputError, shorten
from ...utils.numbers import to_float, to_integer
from ..beats import FASTEST, SLOWEST
from ..chord_syntax import is_no_chord, parse_chord
from ..drum_machine import DRUMS
from .keys import parse_tonality


JUMPS = ("D.C.", "D.S.", "D.C. al Fine", "D.S. al Fine", "D.C. al Coda", "D.S. al Coda")
MAX_REPEATS = 100

_MAX_DENOMINATOR = 100_000
_MAX_BAR = 256  # quarter notes


class TimeSignature(NamedTuple):
    r"""
    A time signature.

    Args:
        numerator (`int`): note values per bar.
        denominator (`int`): the note value, as a fraction of a whole note.
    """

    numerator: int
    denominator: int

    @property
    def length(self) -> Fraction:
        """The length of a bar in quarter notes."""
        return Fraction(4 * self.numerator, self.denominator)

    @property
    def is_compound(self) -> bool:
        """Whether three eighth notes (or sixteenth notes) form a beat, as in 6/8, 9/8 and 12/8."""
        return self.denominator >= 8 and self.numerator % 3 == 0 and self.numerator > 3

    @property
    def beat(self) -> Fraction:
        """The length of a beat in quarter notes: 1 for 4/4, 3/2 for 6/8."""
        return Fraction(4, self.denominator) * (3 if self.is_compound else 1)

    @classmethod
    def parse(cls, text: str) -> "TimeSignature":
        r"""
        Parses `"6/8"`, `"C"` (4/4) and `"C|"` (2/2).

        Raises:
            [`InputError`]: for other text, or if a number is out of range.
        """
        plain = {"C": "4/4", "C|": "2/2"}.get(str(text).strip(), str(text))
        match = re.fullmatch(r"\s*(\d{1,3})\s*/\s*(\d{1,3})\s*", plain)
        if match is None:
            raise InputError(
                f"`time_signature` has to be such as '4/4' or '6/8', but is {shorten(text)}.", "time_signature"
            )
        return cls(int(match[1]), int(match[2])).check()

    def check(self) -> "TimeSignature":
        """Raises an [`InputError`] unless there are 1 to 64 note values of 1 to 64 per bar; returns the signature."""
        numerator = to_integer(self.numerator, "time_signature", minimum=1, maximum=64)
        denominator = to_integer(self.denominator, "time_signature", minimum=1, maximum=64)
        if denominator & (denominator - 1):
            raise InputError(
                f"`time_signature`: the lower number has to be 1, 2, 4, 8, 16, 32 or 64, but is {denominator}.",
                "time_signature",
            )
        return TimeSignature(numerator, denominator)

    def __str__(self) -> str:
        return f"{self.numerator}/{self.denominator}"


class ChordMark(NamedTuple):
    r"""
    A chord in a bar.

    Args:
        label (`str`): the chord in any spelling that [`~controls.chord_syntax.parse_chord`] reads; `"N"`: no chord.
        start (`Fraction`, defaults to 0): quarter notes from the beginning of the bar.
    """

    label: str
    start: Fraction = Fraction(0)


class Note(NamedTuple):
    r"""
    A note of the melody. It ends within its bar.

    Args:
        pitch (`int`): MIDI number as it sounds, 0 to 127.
        start (`Fraction`): quarter notes from the beginning of the bar.
        length (`Fraction`): quarter notes.
        tied (`bool`, defaults to `False`): whether the next note of the same pitch, which begins where this one ends,
            continues it.
        lyric (`str`, *optional*): the syllable that is sung; it ends with `-` if the word continues.
    """

    pitch: int
    start: Fraction
    length: Fraction
    tied: bool = False
    lyric: str = ""

    @property
    def end(self) -> Fraction:
        """Quarter notes from the beginning of the bar."""
        return self.start + self.length


class Hit(NamedTuple):
    r"""
    A drum hit in a bar.

    Args:
        drum (`str`): a name in `controls.drum_machine.DRUMS`.
        start (`Fraction`): quarter notes from the beginning of the bar.
        velocity (`float`, defaults to `1.0`): loudness in (0, 1].
    """

    drum: str
    start: Fraction
    velocity: float = 1.0


class TempoMark(NamedTuple):
    r"""
    A tempo that begins in a bar.

    Args:
        bpm (`float`): beats per minute.
        unit (`Fraction`, defaults to 1): the length of a beat in quarter notes, such as 3/2 for a dotted quarter.
        start (`Fraction`, defaults to 0): quarter notes from the beginning of the bar.
    """

    bpm: float
    unit: Fraction = Fraction(1)
    start: Fraction = Fraction(0)

    @property
    def quarters_per_minute(self) -> float:
        return self.bpm * float(self.unit)


@dataclass(frozen=True)
class Bar:
    r"""
    A written bar. All positions and lengths are in quarter notes.

    Args:
        length (`Fraction`): length in quarter notes; a pick-up is shorter than the time signature says.
        chords (`tuple` of [`ChordMark`]): the chords that begin in this bar. A chord sounds until the next one.
        notes (`tuple` of [`Note`]): the melody, sorted by start.
        hits (`tuple` of [`Hit`]): drum hits. They replace the groove of the section.
        tempos (`tuple` of [`TempoMark`]): tempo changes.
        time_signature ([`TimeSignature`], *optional*): a time signature that applies from here on.
        key (`str`, *optional*): a key that applies from here on, such as `"Eb major"`.
        lyrics (`str`): the words that are sung in this bar.
        repeat_start (`bool`): whether a repeated passage begins here (`|:`).
        repeat_end (`int`): if a repeated passage ends with this bar (`:|`), how many times it is played in total.
        endings (`tuple[int, ...]`): numbers of the ending (volta) that begins here. It lasts until the bar with a repeat sign
            at its end, the next ending, or `ending_stop`.
        ending_stop (`bool`): whether an ending ends with this bar.
        segno, coda (`bool`): signs at the beginning of this bar.
        to_coda, fine (`bool`): signs at the end of this bar.
        jump (`str`): one of `JUMPS`, at the end of this bar.
    """

    length: Fraction
    chords: tuple[ChordMark, ...] = ()
    notes: tuple[Note, ...] = ()
    hits: tuple[Hit, ...] = ()
    tempos: tuple[TempoMark, ...] = ()
    time_signature: TimeSignature | None = None
    key: str | None = None
    lyrics: str = ""
    repeat_start: bool = False
    repeat_end: int = 0
    endings: tuple[int, ...] = ()
    ending_stop: bool = False
    segno: bool = False
    coda: bool = False
    to_coda: bool = False
    fine: bool = False
    jump: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether the bar is followed by the next one, without repeat signs, endings and jumps."""
        signs = (self.repeat_start, self.repeat_end, self.endings, self.ending_stop, self.segno, self.coda)
        return not any((*signs, self.to_coda, self.fine, self.jump))


@dataclass(frozen=True)
class Section:
    r"""
    A part of a song, such as a verse.

    Args:
        name (`str`): name, such as `"Chorus"`; empty if the song has no named sections.
        bars (`tuple` of [`Bar`]): its bars.
        prompt (`str`): description of the music in this section; empty: that of the sheet.
        groove (`str`, *optional*): name of a groove in `controls.drum_machine.GROOVES`; `None`: that of the sheet.
        repeats (`int`, defaults to 1): how many times the section is played.
        fill (`bool`, defaults to `False`): whether a drum fill in the bar before leads into the section.
    """

    name: str = ""
    bars: tuple[Bar, ...] = ()
    prompt: str = ""
    groove: str | None = None
    repeats: int = 1
    fill: bool = False


def to_length(value: Any, argument: str) -> Fraction:
    r"""
    Converts a positive number of quarter notes to a `Fraction`.

    Raises:
        [`InputError`]: if the value is not a number above 0 and at most 1,000.
    """
    if not isinstance(value, Fraction):
        value = Fraction(to_float(value, argument)).limit_denominator(_MAX_DENOMINATOR)
    if not 0 < value <= 1000:
        raise InputError(f"`{argument}` has to be quarter notes above 0 and at most 1,000, but is {value}.", argument)
    return value


def check_tempo(bpm: float, unit: Fraction) -> float:
    r"""
    Checks a tempo.

    Args:
        bpm (`float`): beats per minute.
        unit (`Fraction`): the length of a beat in quarter notes.

    Returns:
        `float`: quarter notes per minute.

    Raises:
        [`InputError`]: unless it is 20 to 400 beats and at most 1,000 quarter notes per minute.
    """
    quarters = to_float(bpm, "tempo", above=0, unit="beats per minute") * float(unit)
    if not SLOWEST / 4 <= quarters <= 4 * FASTEST:
        raise InputError(
            f"`tempo` has to be {SLOWEST / 4:g} to {4 * FASTEST:g} quarter notes per minute, but is {quarters:g}.",
            "tempo",
        )
    return quarters


def check_bar(bar: Bar, number: int):
    """Raises an [`InputError`] if a value of a bar is out of range; `number` is counted from 1."""

    def fail(text: str):
        raise InputError(f"`sections`: bar {number} {text}.", "sections", number - 1)

    if not isinstance(bar, Bar):
        fail(f"has to be a `Bar`, but is {shorten(bar)}")
    if not isinstance(bar.length, Fraction) or not 0 < bar.length <= _MAX_BAR:
        fail(f"has to last 0 to {_MAX_BAR} quarter notes (a `Fraction`), but has the length {shorten(bar.length)}")
    for chord in bar.chords:
        if not is_no_chord(chord.label) and parse_chord(chord.label) is None:
            fail(f"has the unknown chord {shorten(chord.label)}; write it as 'Am7', 'F#m7b5/E' or 'N' for no chord")
    for kind, items in (("chord", bar.chords), ("note", bar.notes), ("drum hit", bar.hits), ("tempo", bar.tempos)):
        starts = [item.start for item in items]
        if not all(0 <= start < bar.length for start in starts):
            fail(f"lasts {bar.length} quarter notes, but a {kind} begins at {max(starts, key=lambda s: abs(s))}")
        if any(later < earlier for earlier, later in zip(starts, starts[1:])):
            fail(f"has {kind}s that are not sorted by their start")
    for note in bar.notes:
        if not 0 <= note.pitch <= 127:
            fail(f"has a note with the MIDI number {note.pitch}, which has to be 0 to 127")
        if note.length <= 0 or note.end > bar.length:
            fail(f"lasts {bar.length} quarter notes, but a note lasts from {note.start} to {note.end}")
    for hit in bar.hits:
        if hit.drum not in DRUMS or not 0 < hit.velocity <= 1:
            fail(f"has the drum hit {hit.drum!r} with the velocity {hit.velocity}; drums are {', '.join(DRUMS)}")
    for tempo in bar.tempos:
        check_tempo(tempo.bpm, tempo.unit)
    if bar.time_signature is not None:
        bar.time_signature.check()
    if bar.key is not None:
        parse_tonality(bar.key)
    if bar.jump and bar.jump not in JUMPS:
        fail(f"has the jump {bar.jump!r}, which has to be one of {', '.join(JUMPS)}")
    if bar.repeat_end and not 1 <= bar.repeat_end <= MAX_REPEATS:
        fail(f"repeats a passage {bar.repeat_end} times, which has to be 1 to {MAX_REPEATS}")
