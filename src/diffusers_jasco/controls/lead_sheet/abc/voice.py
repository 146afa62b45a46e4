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

"""A voice of an ABC tune: the notes, chords and signs of its bars."""

from dataclasses import dataclass, field
from fractions import Fraction

from ..bars import Bar, ChordMark, Note, TempoMark
from ..keys import transpose_chord, transpose_key
from ..order import MAX_BARS
from .header import Key, Meter, Shift


_NATURAL = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_LONGEST_BAR = Fraction(256)
_FINEST = 1_000_000


class VoiceError(ValueError):
    """An error in a voice; its message lacks the line."""


@dataclass
class DraftNote:
    """A note or, without a pitch, a rest."""

    pitch: int | None
    start: Fraction
    length: Fraction
    tied: bool = False
    lyric: str = ""


@dataclass
class Draft:
    """A bar that is being read."""

    line: int = 0
    notes: list[DraftNote] = field(default_factory=list)
    chords: list[ChordMark] = field(default_factory=list)
    tempos: list[TempoMark] = field(default_factory=list)
    length: Fraction = Fraction(0)
    meter: Meter | None = None
    key: str | None = None
    repeat_start: bool = False
    repeat_end: int = 0
    endings: tuple[int, ...] = ()
    ending_stop: bool = False
    after_double: bool = False  # a double bar line or a new section is before this bar
    segno: bool = False
    coda: bool = False
    to_coda: bool = False
    fine: bool = False
    jump: str = ""
    coda_inside: bool = False  # a coda sign after the beginning, which may mean "to coda"


@dataclass
class Voice:
    r"""
    A voice.

    Args:
        name (`str`): its identifier.
        key, meter, unit: their current values; `unit` in quarter notes.
        title (`str`): its name for readers.
        propagate (`str`): `"pitch"`: accidentals hold in all octaves until the end of the bar, `"octave"`: in their own, or
            `"not"`.
    """

    name: str
    key: Key
    meter: Meter
    unit: Fraction
    title: str = ""
    propagate: str = "pitch"
    semitones: int = 0
    extra_semitones: int = 0  # of %%MIDI transpose
    octave: int = 0
    clef: int = 0
    bars: list[Draft] = field(default_factory=list)
    current: Draft = field(default_factory=Draft)
    upcoming: Draft = field(default_factory=Draft)  # the bar after the current one
    last: tuple[tuple[str, int, int], ...] = ()  # letters, octaves and MIDI numbers of the last note or chord
    accidentals: dict[tuple[str, int], int] = field(default_factory=dict)
    ties: dict[tuple[str, int], int] = field(default_factory=dict)
    sections: list[tuple[int, str]] = field(default_factory=list)
    overlay: bool = False  # the rest of the bar is a second layer, which is ignored
    in_ending: bool = False
    opening: int = 0  # colons of the last repeat start
    broken: tuple[str, int] | None = None  # sign and count of a broken rhythm before the next note
    last_length: Fraction = Fraction(0)  # of the last note, before broken rhythms
    tuplets: list[list] = field(default_factory=list)  # [factor, remaining notes]
    verse: list[tuple[int, DraftNote]] = field(default_factory=list)  # notes since the last lyrics, with their bars
    verse_line: int = 0  # where the notes of the last line begin in `verse`

    # Notes

    @property
    def shift(self) -> int:
        """Semitones from the written to the sounding pitch."""
        return self.semitones + self.extra_semitones + 12 * (self.octave + self.clef)

    def set_shift(self, shift: Shift):
        if shift.semitones is not None:
            self.semitones = shift.semitones
        if shift.octave is not None:
            self.octave = shift.octave
        if shift.clef is not None:
            self.clef = shift.clef

    def pitch_of(self, letter: str, octave: int, accidental: int | None) -> int:
        r"""
        The MIDI number of a note.

        Args:
            letter (`str`): A to G.
            octave (`int`): 0 for `C`, 1 for `c`.
            accidental (`int`, *optional*): written accidental in semitones.

        Raises:
            [`VoiceError`]: if the note is out of range.
        """
        place = (letter, 0 if self.propagate == "pitch" else octave)
        natural = 60 + _NATURAL[letter] + 12 * octave + self.shift
        if accidental is None and (letter, octave) in self.ties:
            return self.ties[letter, octave]
        if accidental is not None and self.propagate != "not":
            self.accidentals[place] = accidental
        alteration = accidental
        if alteration is None:
            alteration = self.accidentals.get(place, self.key.alterations.get(letter, 0))
        pitch = natural + alteration
        if not 0 <= pitch <= 127:
            raise VoiceError(f"the note {letter} in octave {octave + 4} sounds outside of MIDI's range")
        return pitch

    def scale(self, length: Fraction) -> Fraction:
        """The length of the next note or rest with tuplets and broken rhythm, which are advanced."""
        for tuplet in self.tuplets:
            length *= tuplet[0]
            tuplet[1] -= 1
        self.tuplets = [tuplet for tuplet in self.tuplets if tuplet[1] > 0]
        before, self.last_length = self.last_length, length
        if self.broken is not None:
            length *= self._break_rhythm(before, length)
            self.broken = None
        if length > _LONGEST_BAR / 2 or length.denominator > _FINEST:
            raise VoiceError("a note has a length that is out of range")
        return length

    def _break_rhythm(self, before: Fraction, length: Fraction) -> Fraction:
        """
        Applies a broken rhythm to the last note, and returns the factor for the next one. Some write `A>B/` for `A>B`;
        between other notes of different lengths, the sign has no meaning.
        """
        sign, count = self.broken or (">", 1)
        short = Fraction(1, 2**count)
        first, second = (2 - short, short) if sign == ">" else (short, 2 - short)
        if sign == ">" and length == before * short:
            second = Fraction(1)
        elif sign == "<" and before == length * short:
            first = Fraction(1)
        elif length != before:
            return Fraction(1)
        if not self.overlay and self.current.notes:
            bar, last = self.current, self.current.notes[-1]
            end = bar.length
            last.length *= first
            bar.length = last.start + last.length
            bar.chords = [mark._replace(start=bar.length) if mark.start == end else mark for mark in bar.chords]
            bar.tempos = [mark._replace(start=bar.length) if mark.start == end else mark for mark in bar.tempos]
        return second

    def add(self, pitch: int | None, length: Fraction, line: int, letters: tuple[tuple[str, int, int], ...] = ()):
        r"""
        Adds a note or a rest.

        Args:
            pitch (`int`, *optional*): MIDI number; `None`: a rest.
            length (`Fraction`): quarter notes.
            line (`int`): number of the line.
            letters: `(letter, octave, MIDI number)` of the notes of a chord.
        """
        self.ties = {}
        self.last = letters
        if self.overlay or not length:
            return
        bar = self.current
        if not bar.notes and not bar.length:
            bar.line = line
        if bar.length and bar.length + length > _LONGEST_BAR / 2:
            self._split()
            bar = self.current
        note = DraftNote(pitch, bar.length, length)
        bar.notes.append(note)
        bar.length += length
        if bar.length.denominator > _FINEST:
            raise VoiceError("the notes of a bar have lengths that don't fit together")
        if pitch is not None:
            self.verse.append((len(self.bars), note))

    def rest_bars(self, count: int, line: int):
        """Adds bars of rest; the last one stays open."""
        for number in range(count):
            if number:
                self.end_bar("|")
            self.add(None, self.meter.length, line)

    def tie_last(self):
        """Ties the last note to the next one."""
        bar = self.current if self.current.notes or not self.bars else self.bars[-1]
        if bar.notes and self.last and not self.overlay:
            bar.notes[-1].tied = True
            self.ties = {(letter, octave): pitch for letter, octave, pitch in self.last}

    def break_rhythm(self, sign: str, count: int) -> bool:
        """
        Lengthens the last note of the bar at the expense of the next one (`>`), or the other way round (`<`). Returns
        whether there is a last note.
        """
        if self.current.notes:
            self.broken = (sign, count)
        return bool(self.current.notes)

    def add_chord(self, label: str, offset: Fraction = Fraction(0)):
        """Adds a chord at the current position. It replaces another one there."""
        if self.overlay:
            return
        if self.shift % 12:
            label = transpose_chord(label, self.shift, self.sounding_key())
        chords, start = self.current.chords, self.current.length + offset
        while chords and chords[-1].start >= start:
            chords.pop()
        chords.append(ChordMark(label, start))

    # Bars

    def _split(self):
        """Ends a bar that is too long."""
        double, self.current.after_double = self.current.after_double, False
        self.end_bar("|")
        self.bars[-1].after_double = double

    def end_bar(self, sign: str):
        r"""
        Ends the bar at a bar line.

        Args:
            sign (`str`): the bar line: `|`, `||`, `:|`, `|:`, `::` and similar ones.
        """
        self.overlay = False
        self.broken = None
        self.accidentals = {}
        bar = self.current
        if bar.length:
            if len(self.bars) >= MAX_BARS:
                raise VoiceError(f"there are more than {MAX_BARS:,} bars")
            self.current, self.upcoming = self.upcoming, Draft()
            self._carry(bar)
            self.bars.append(bar)
        self._set_signs(sign)

    def _carry(self, bar: Draft):
        """Moves chords and tempos at the end of a bar to the next one."""
        for chord in [chord for chord in bar.chords if chord.start >= bar.length]:
            bar.chords.remove(chord)
            self.current.chords = [ChordMark(chord.label, Fraction(0))]
        for tempo in [tempo for tempo in bar.tempos if tempo.start >= bar.length]:
            bar.tempos.remove(tempo)
            self.current.tempos = [tempo._replace(start=Fraction(0))]

    def _set_signs(self, sign: str):
        stripped = sign.replace("[", "").replace("]", "|").replace(".", "")
        ends = len(stripped) - len(stripped.lstrip(":"))
        begins = len(stripped) - len(stripped.rstrip(":"))
        if "|" not in stripped:
            ends, begins = (len(stripped) + 1) // 2, len(stripped) // 2
        last = self.bars[-1] if self.bars else None
        is_double = stripped.count("|") > 1 or bool(ends) or bool(begins) or "[" in sign
        if last is not None and ends:
            last.repeat_end = max(last.repeat_end, min(max(ends, self.opening) + 1, 100))
            self.opening = 0
        if self.in_ending and is_double and last is not None:
            last.ending_stop = not ends
            self.in_ending = False
        if is_double and last is not None:
            self.current.after_double = True
        if begins:
            self.current.repeat_start = True
            self.opening = begins

    def begin_ending(self, numbers: tuple[int, ...]):
        """Begins an ending."""
        if self.current.length:
            self.end_bar("|")
        self.current.endings = numbers
        self.in_ending = True

    def begin_section(self, name: str):
        """Begins a section with the next bar."""
        index = len(self.bars) + (1 if self.current.length else 0)
        if self.sections and self.sections[-1][0] == index:
            self.sections.pop()
        self.sections.append((index, name))
        self.next_bar().after_double = True

    def set_key(self, key: Key):
        self.accidentals = {}
        self.key = key
        self.next_bar().key = self.sounding_key()

    def sounding_key(self) -> str:
        """The name of the key as it sounds."""
        return transpose_key(self.key.name, self.shift) if self.shift % 12 else self.key.name

    def set_meter(self, meter: Meter):
        self.meter = meter
        self.next_bar().meter = meter

    def next_bar(self) -> Draft:
        """The bar to which a change of key or meter belongs: the current one unless it has begun."""
        return self.upcoming if self.current.length else self.current

    def finish(self):
        """Ends the last bar."""
        self.end_bar("|")
        if self.in_ending and self.bars:
            self.bars[-1].ending_stop = True

    def to_bars(self) -> list[Bar]:
        """The bars, with sounding pitches and keys."""
        return [_to_bar(draft, after) for draft, after in zip(self.bars, [*self.bars[1:], None])]


def _to_bar(draft: Draft, following: Draft | None) -> Bar:
    notes = []
    for position, note in enumerate(draft.notes):
        if note.pitch is None:
            continue
        last = position + 1 == len(draft.notes)
        after = following.notes[0] if last and following and following.notes else None
        if not last:
            after = draft.notes[position + 1]
        tied = note.tied and after is not None and after.pitch == note.pitch
        notes.append(Note(note.pitch, note.start, note.length, tied, note.lyric))
    signature = draft.meter.signature if draft.meter is not None else None
    return Bar(
        length=draft.length,
        chords=tuple(draft.chords),
        notes=tuple(notes),
        tempos=tuple(draft.tempos),
        time_signature=signature,
        key=draft.key or None,
        repeat_start=draft.repeat_start,
        repeat_end=draft.repeat_end,
        endings=draft.endings,
        ending_stop=draft.ending_stop,
        segno=draft.segno,
        coda=draft.coda,
        to_coda=draft.to_coda,
        fine=draft.fine,
        jump=draft.jump,
    )
