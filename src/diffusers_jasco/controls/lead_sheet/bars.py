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
from functools import partial
from typing import Any, NamedTuple

from diffusers.utils import logging

from ...utils.errors import InputError, shorten
from ...utils.numbers import is_number, to_float, to_integer
from ..chord_syntax import is_no_chord, parse_chord
from ..drum_machine import DRUMS
from .keys import parse_tonality


logger = logging.get_logger(__name__)

JUMPS = ("D.C.", "D.S.", "D.C. al Fine", "D.S. al Fine", "D.C. al Coda", "D.S. al Coda")
MAX_REPEATS = 100
DEFAULT_TEMPO = 120.0  # beats per minute
SLOWEST_TEMPO = 5.0  # quarter notes per minute
FASTEST_TEMPO = 1600.0  # quarter notes per minute

_MAX_DENOMINATOR = 100_000
_MAX_BAR = 256  # quarter notes
_POSITIONS = ("start", "length", "unit")


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

    def __post_init__(self):
        set_field = partial(object.__setattr__, self)
        set_field("length", _to_fraction(self.length, "length"))
        for name, kind in (("chords", ChordMark), ("notes", Note), ("hits", Hit), ("tempos", TempoMark)):
            set_field(name, tuple(_to_item(item, kind, name) for item in to_tuple(getattr(self, name), name)))
        set_field("endings", to_tuple(self.endings, "endings"))
        if isinstance(self.time_signature, str):
            set_field("time_signature", TimeSignature.parse(self.time_signature))

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

    def __post_init__(self):
        object.__setattr__(self, "bars", to_tuple(self.bars, "bars"))


def to_tuple(value: Any, argument: str) -> tuple[Any, ...]:
    """Converts a list to a tuple; raises an [`InputError`] for values that are not lists or tuples."""
    if not isinstance(value, (tuple, list)):
        raise InputError(f"`{argument}` has to be a list or a tuple, but is {shorten(value)}.", argument)
    return tuple(value)


def _to_item(item: Any, kind: Any, argument: str) -> Any:
    """Converts a tuple to an item of a bar, and its positions to fractions."""
    if type(item) is not kind:
        if not isinstance(item, (tuple, list)) or not len(kind._fields) - len(kind._field_defaults) <= len(
            item
        ) <= len(kind._fields):
            raise InputError(
                f"`{argument}` has to contain `{kind.__name__}`s, but contains {shorten(item)}.", argument
            )
        item = kind(*item)
    for name in _POSITIONS:
        value = getattr(item, name, None)
        if value is not None and not isinstance(value, Fraction):
            item = item._replace(**{name: _to_fraction(value, argument)})
    return item


def _to_fraction(value: Any, argument: str) -> Fraction:
    if isinstance(value, Fraction):
        return value
    return Fraction(to_float(value, argument, unit="quarter notes")).limit_denominator(_MAX_DENOMINATOR)


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


def default_tempo(signature: TimeSignature, name: str) -> TempoMark:
    """The tempo of a source without one, with a warning. `name` is that of the source."""
    beat = "beats (dotted quarters)" if signature.beat == Fraction(3, 2) else "beats"
    logger.warning(f"{name} has no tempo: it is {DEFAULT_TEMPO:g} {beat} per minute, unless you change it.")
    return TempoMark(DEFAULT_TEMPO, signature.beat)


def check_tempo(bpm: float, unit: Fraction) -> float:
    r"""
    Checks a tempo.

    Args:
        bpm (`float`): beats per minute.
        unit (`Fraction`): the length of a beat in quarter notes.

    Returns:
        `float`: quarter notes per minute.

    Raises:
        [`InputError`]: unless it is 5 to 1,600 quarter notes per minute.
    """
    quarters = to_float(bpm, "tempo", above=0, unit="beats per minute") * float(unit)
    if not SLOWEST_TEMPO <= quarters <= FASTEST_TEMPO:
        raise InputError(
            f"`tempo` has to be {SLOWEST_TEMPO:g} to {FASTEST_TEMPO:g} quarter notes per minute, but is {quarters:g}.",
            "tempo",
        )
    return quarters


_SIGNS = ("repeat_start", "ending_stop", "segno", "coda", "to_coda", "fine")


def is_text(value: Any) -> bool:
    """Whether a value is a string that can be written to files: without lone surrogates."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def check_bar(bar: Bar, number: int):
    """Raises an [`InputError`] if a value of a bar is out of range; `number` is counted from 1."""

    def fail(text: str):
        raise InputError(f"`sections`: bar {number} {text}.", "sections", number - 1)

    if not isinstance(bar, Bar):
        fail(f"has to be a `Bar`, but is {shorten(bar)}")
    if not 0 < bar.length <= _MAX_BAR:
        fail(f"has to last more than 0 and at most {_MAX_BAR} quarter notes, but lasts {bar.length}")
    for name in ("lyrics", "jump"):
        if not is_text(getattr(bar, name)):
            fail(f"has to have text as `{name}`, but has {shorten(getattr(bar, name))}")
    for name in _SIGNS:
        if not isinstance(getattr(bar, name), bool):
            fail(f"has to have True or False as `{name}`, but has {shorten(getattr(bar, name))}")
    for repetition in (bar.repeat_end, *bar.endings):
        if type(repetition) is not int or not 0 <= repetition <= MAX_REPEATS:
            fail(f"has the repeat or ending {shorten(repetition)}, which has to be a whole number up to {MAX_REPEATS}")
    for chord in bar.chords:
        if not isinstance(chord.label, str) or not is_no_chord(chord.label) and parse_chord(chord.label) is None:
            fail(f"has the unknown chord {shorten(chord.label)}; write it as 'Am7', 'F#m7b5/E' or 'N' for no chord")
    for kind, items in (("chord", bar.chords), ("note", bar.notes), ("drum hit", bar.hits), ("tempo", bar.tempos)):
        starts = [item.start for item in items]
        if not all(0 <= start < bar.length for start in starts):
            fail(f"lasts {bar.length} quarter notes, but a {kind} begins at {max(starts, key=lambda s: abs(s))}")
        if any(later < earlier for earlier, later in zip(starts, starts[1:])):
            fail(f"has {kind}s that are not sorted by their start")
    for note in bar.notes:
        if type(note.pitch) is not int or not 0 <= note.pitch <= 127:
            fail(f"has a note with the MIDI number {shorten(note.pitch)}, which has to be 0 to 127")
        if not is_text(note.lyric):
            fail(f"has the lyric {shorten(note.lyric)}, which has to be text")
        if note.length <= 0 or note.end > bar.length:
            fail(f"lasts {bar.length} quarter notes, but a note lasts from {note.start} to {note.end}")
    for hit in bar.hits:
        if hit.drum not in DRUMS or not is_number(hit.velocity) or not 0 < hit.velocity <= 1:
            fail(f"has the drum hit {hit.drum!r} with the velocity {hit.velocity}; drums are {', '.join(DRUMS)}")
    for tempo in bar.tempos:
        check_tempo(tempo.bpm, tempo.unit)
    if bar.time_signature is not None:
        bar.time_signature.check()
    if bar.key is not None:
        parse_tonality(bar.key)
    if bar.jump and bar.jump not in JUMPS:
        fail(f"has the jump {bar.jump!r}, which has to be one of {', '.join(JUMPS)}")
