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


"""Reads a part of a MusicXML score: notes, chords, directions and signs of each measure."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple
from xml.etree.ElementTree import Element

from ....utils.errors import InputError
from ..bars import TimeSignature
from ..keys import MODES, SEMITONES, key_of_signature
from .directions import NOTE_VALUES, Direction, dotted, read_direction, read_sound
from .file import fraction_of, number_of, text_of
from .harmony import HarmonyError, read_harmony


_MAX_DIVISIONS = 1_000_000
_MAX_REPEATS = 100
_MAX_EVENTS = 5000  # in a measure of a part


class WrittenNote(NamedTuple):
    """A note in a measure; positions and lengths are in quarter notes. `pitch` is a sounding MIDI number."""

    voice: tuple[int, str]  # staff and voice
    start: Fraction
    length: Fraction
    pitch: int | None = None
    drum: str = ""
    tied: bool = False
    lyric: str = ""
    velocity: float = 1.0


@dataclass
class Measure:
    r"""
    The content of one part in a measure.

    Args:
        number (`str`): printed number.
        content (`Fraction`): end of the last note or rest, in quarter notes.
        voices (`set`): voices with notes or rests.
        unread (`list`): reasons why chord symbols can't be read.
        pauses (`list`): positions of the words N.C.
        time_signature, key: changes that begin here.
        repeat_of (`int`): how many measures before the one is that a repeat sign (%) stands for.
        endings (`tuple[int, ...]`): numbers of an ending that begins here.
    """

    number: str = ""
    content: Fraction = Fraction(0)
    voices: set[tuple[int, str]] = field(default_factory=set)
    notes: list[WrittenNote] = field(default_factory=list)
    chords: list[tuple[Fraction, str]] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    pauses: list[Fraction] = field(default_factory=list)
    directions: list[tuple[Fraction, Direction]] = field(default_factory=list)
    time_signature: TimeSignature | None = None
    key: str | None = None
    repeat_start: bool = False
    repeat_end: int = 0
    endings: tuple[int, ...] = ()
    ending_stop: bool = False
    repeat_of: int = 0


def read_part(part: Element, drums: Mapping[str, str], problems: Counter[str]) -> list[Measure]:
    r"""
    Reads a part.

    Args:
        part (`Element`): the part with its measures.
        drums (`Mapping[str, str]`): names of drums by the identifiers of instruments.
        problems (`Counter`): receives descriptions of elements that are ignored.

    Raises:
        [`InputError`]: if a measure has too many notes.
    """
    reader = _PartReader(drums, problems)
    first = next(part.iter("divisions"), None)
    if first is not None:
        reader.set_divisions(text_of(first))  # some files have notes before the divisions
    measures = [reader.read_measure(measure) for measure in part.iterfind("measure")]
    # Barlines may be written at the other side of the measure that they belong to.
    for index, (start, stop) in enumerate(reader.misplaced):
        if start and index + 1 < len(measures):
            measures[index + 1].repeat_start = True
        if stop and index:
            measures[index - 1].repeat_end = stop
    return measures


class _PartReader:
    """Reads measures one after the other; attributes apply until they change."""

    def __init__(self, drums: Mapping[str, str], problems: Counter[str]):
        self.drums, self.problems = drums, problems
        self.divisions = Fraction(1)
        self.transposition: dict[int, int] = {}  # semitones by staff; 0: all staves
        self.fifths: tuple[int, str] | None = None
        self.key = ""
        self.slashes: set[int] = set()  # staves with rhythmic slashes instead of notes
        self.repeat_of: dict[int, int] = {}  # measure repeats by staff
        self.pending: list[Element] = []  # attributes within a measure apply from the next one on
        self.misplaced: list[tuple[bool, int]] = []
        self._begin(Measure())

    def _begin(self, measure: Measure):
        self.measure = measure
        self.position = Fraction(0)
        self.last_start = Fraction(0)
        # Positions in the divisions of the file, and exact ones where the file rounds tuplets.
        self.rounded = Fraction(0)
        self.exact = {Fraction(0): Fraction(0)}

    def read_measure(self, element: Element) -> Measure:
        self._begin(Measure(number=element.get("number", "")))
        pending, self.pending = self.pending, []
        for item in pending:
            self._read_signatures(item)
        self.misplaced.append((False, 0))
        for item in element:
            if item.tag == "note":
                self._read_note(item)
            elif item.tag in ("backup", "forward"):
                self._move(item)
            elif item.tag == "attributes":
                self._read_attributes(item)
            elif item.tag == "harmony":
                self._read_harmony(item)
            elif item.tag == "direction":
                self._add_direction(read_direction(item), item)
            elif item.tag == "sound":
                direction = Direction()
                read_sound(item, direction)
                self._add_direction(direction, item)
            elif item.tag == "barline":
                self._read_barline(item)
        if len(self.measure.notes) + len(self.measure.chords) + len(self.measure.directions) > _MAX_EVENTS:
            name = f"bar {self.measure.number[:20]}" if self.measure.number else "a bar"
            raise InputError(f"{name} has more than {_MAX_EVENTS:,} notes, chord symbols and directions.", "source")
        self.measure.repeat_of = max(self.repeat_of.values(), default=0)
        return self.measure

    # Positions

    def _quarters(self, text: str) -> Fraction:
        return (fraction_of(text) or Fraction(0)) / self.divisions

    def _move(self, element: Element):
        length = self._quarters(text_of(element, "duration"))
        if element.tag == "backup":
            self._go_to(max(self.rounded - length, Fraction(0)))
        else:
            self._go_to(self.rounded + max(length, Fraction(0)))
            self.measure.content = max(self.measure.content, self.position)

    def _go_to(self, rounded: Fraction):
        if rounded.denominator > _MAX_DIVISIONS:
            rounded = rounded.limit_denominator(_MAX_DIVISIONS)
        self.rounded = rounded
        self.position = self.exact.get(rounded, rounded)

    def _advance(self, rounded: Fraction, exact: Fraction):
        self.rounded += rounded
        self.position += exact
        for name in ("rounded", "position"):
            value = getattr(self, name)
            if value.denominator > _MAX_DIVISIONS:
                setattr(self, name, value.limit_denominator(_MAX_DIVISIONS))
        self.exact[self.rounded] = self.position
        self.measure.content = max(self.measure.content, self.position)

    def _offset(self, element: Element) -> Fraction:
        return self.position + self._quarters(text_of(element, "offset"))

    # Notes

    def _read_note(self, element: Element):
        if element.find("grace") is not None:
            return
        rounded, exact = self._length(element)
        if element.find("chord") is None:
            self.last_start = self.position
            self._advance(rounded, exact)
        staff = int(number_of(text_of(element, "staff")) or 1)
        voice = (staff, text_of(element, "voice", "1") or "1")
        self.measure.voices.add(voice)
        if element.find("rest") is not None or element.find("cue") is not None or exact <= 0:
            return
        if staff in self.slashes or 0 in self.slashes or text_of(element, "notehead") == "slash":
            return
        start = self.last_start
        if (pitch := element.find("pitch")) is not None:
            number = self._pitch(pitch, staff)
            if number is None:
                self.problems["notes without a valid pitch"] += 1
                return
            note = WrittenNote(voice, start, exact, number, "", _is_tied(element), _read_lyric(element))
            self.measure.notes.append(note)
        elif (unpitched := element.find("unpitched")) is not None:
            drum = self._drum(element, unpitched)
            if drum:
                loudness = number_of(element.get("dynamics"))  # percentage of the MIDI velocity 90
                velocity = 1.0 if not loudness else min(max(round(loudness * 0.9 / 127, 4), 0.05), 1.0)
                self.measure.notes.append(WrittenNote(voice, start, exact, None, drum, velocity=velocity))
            else:
                self.problems["drum notes of unknown instruments"] += 1

    def _length(self, element: Element) -> tuple[Fraction, Fraction]:
        """The length in the file's divisions, and the exact length if the file rounds it."""
        text = text_of(element, "duration")
        value = NOTE_VALUES.get(text_of(element, "type"))
        is_tuplet = False
        if value is not None:
            value = dotted(value, len(element.findall("dot")))
            actual = number_of(text_of(element, "time-modification/actual-notes")) or 1
            normal = number_of(text_of(element, "time-modification/normal-notes")) or 1
            if 1 <= actual <= 1000 and 1 <= normal <= 1000:
                value *= Fraction(int(normal), int(actual))
                is_tuplet = actual != normal
        if not text:
            return (value or Fraction(0),) * 2
        length = max(self._quarters(text), Fraction(0))
        if value is None or not is_tuplet or abs(value - length) * self.divisions >= 1:
            return length, length
        return length, value if (value * self.divisions).denominator > 1 else length

    def _pitch(self, pitch: Element, staff: int) -> int | None:
        step = SEMITONES.get(text_of(pitch, "step").upper())
        octave = number_of(text_of(pitch, "octave"))
        if step is None or octave is None:
            return None
        alter = round(number_of(text_of(pitch, "alter")) or 0)
        number = 12 * (int(octave) + 1) + step + alter + self._semitones(staff)
        return number if 0 <= number <= 127 else None

    def _semitones(self, staff: int) -> int:
        return self.transposition.get(staff, self.transposition.get(0, 0))

    def _drum(self, element: Element, unpitched: Element) -> str:
        instrument = element.find("instrument")
        identifier = instrument.get("id", "") if instrument is not None else ""
        if identifier in self.drums:
            return self.drums[identifier]
        place = text_of(unpitched, "display-step").upper() + text_of(unpitched, "display-octave")
        is_cross = text_of(element, "notehead") in ("x", "cross", "circle-x")
        return (_CROSSES if is_cross else _PLACES).get(place, "")

    # Attributes

    def _read_attributes(self, element: Element):
        self.set_divisions(text_of(element, "divisions"))
        for transpose in element.iterfind("transpose"):
            semitones = (number_of(text_of(transpose, "chromatic")) or 0) + 12 * (
                number_of(text_of(transpose, "octave-change")) or 0
            )
            if abs(semitones) <= 127:
                self.transposition[int(number_of(transpose.get("number")) or 0)] = round(semitones)
                self._set_key()
        for style in element.iterfind("measure-style"):
            self._read_style(style)
        if self.position > 0:
            self.pending.append(element)
        else:
            self._read_signatures(element)

    def set_divisions(self, text: str):
        value = (fraction_of(text) or Fraction(0)).limit_denominator(1000)
        if 0 < value <= _MAX_DIVISIONS:
            self.divisions = value

    def _read_style(self, style: Element):
        staff = int(number_of(style.get("number")) or 0)
        slash, repeat = style.find("slash"), style.find("measure-repeat")
        if slash is not None:
            if slash.get("type") == "start":
                self.slashes.add(staff)
            else:
                self.slashes.discard(staff)
        if repeat is not None:
            count = int(number_of(text_of(repeat)) or 1)
            if repeat.get("type") == "start" and 1 <= count <= 16:
                self.repeat_of[staff] = count
            else:
                self.repeat_of.pop(staff, None)

    def _read_signatures(self, element: Element):
        time = element.find("time")
        if time is not None:
            self.measure.time_signature = self._read_time(time)
        key = element.find("key")
        fifths = number_of(text_of(key, "fifths")) if key is not None else None
        if key is not None and fifths is not None and abs(fifths) <= 21:
            mode = text_of(key, "mode").lower()
            self.fifths = (int(fifths), mode if mode in MODES else "major")
            self._set_key()

    def _set_key(self):
        if self.fifths is None:
            return
        key = key_of_signature(*self.fifths, self._semitones(1))
        if key != self.key:
            self.key = self.measure.key = key

    def _read_time(self, time: Element) -> TimeSignature | None:
        if time.find("senza-misura") is not None:
            return None
        total = Fraction(0)
        smallest = 1
        for beats, unit in zip(time.iterfind("beats"), time.iterfind("beat-type")):
            numerators = [number_of(text) for text in re.split(r"\s*\+\s*", text_of(beats)[:40])]
            denominator = number_of(text_of(unit))
            if any(not number for number in numerators) or denominator not in (1, 2, 4, 8, 16, 32, 64):
                self.problems["time signatures that are not numbers"] += 1
                return None
            total += sum((Fraction(number or 0) for number in numerators), Fraction(0)) / int(denominator)
            smallest = max(smallest, int(denominator))
        numerator = total * smallest
        if numerator.denominator > 1 or not 1 <= numerator <= 64:
            if total:
                self.problems["time signatures out of range"] += 1
            return None
        return TimeSignature(int(numerator), smallest)

    # Chords, directions and bar lines

    def _read_harmony(self, element: Element):
        staff = int(number_of(text_of(element, "staff")) or 1)
        try:
            label = read_harmony(element, self._semitones(staff), self.key)
        except HarmonyError as error:
            self.measure.unread.append(str(error))
            return
        self.measure.chords.append((self._offset(element), label))

    def _add_direction(self, direction: Direction, element: Element):
        position = self.position
        offset = element.find("offset")
        if element.tag == "direction":
            sound = element.find("sound/offset")
            offset = sound if sound is not None else offset if offset is not None else None
            if offset is not None and offset is not sound and offset.get("sound") != "yes":
                offset = None
        if offset is not None:
            position += self._quarters(text_of(offset))
        if direction.no_chord:
            self.measure.pauses.append(position)
        if direction != Direction():
            self.measure.directions.append((position, direction))

    def _read_barline(self, element: Element):
        measure = self.measure
        is_left = element.get("location", "right") == "left"
        repeat, ending = element.find("repeat"), element.find("ending")
        if repeat is not None:
            times = int(number_of(repeat.get("times")) or 2)
            if repeat.get("direction") == "forward":
                if is_left or self.position == 0:
                    measure.repeat_start = True
                else:
                    self.misplaced[-1] = (True, self.misplaced[-1][1])
            elif is_left:
                self.misplaced[-1] = (self.misplaced[-1][0], min(max(times, 1), _MAX_REPEATS))
            else:
                measure.repeat_end = min(max(times, 1), _MAX_REPEATS)
        if ending is not None:
            if ending.get("type") == "start":
                measure.endings = _read_numbers(ending.get("number", "")) or _read_numbers(text_of(ending)) or (0,)
            else:
                measure.ending_stop = True


# Positions of a standard drum set on a staff with treble or percussion clef.
_PLACES = {"F4": "kick", "E4": "kick", "C5": "snare", "D5": "tom", "E5": "tom", "A4": "tom", "B4": "tom", "G4": "tom"}
_CROSSES = {
    "G5": "hat", "A5": "open hat", "B5": "open hat", "F5": "ride", "D4": "hat", "C5": "rim", "D5": "cowbell", "E5": "cowbell",
}  # fmt: skip


def _is_tied(element: Element) -> bool:
    ties = [*element.iterfind("tie")] or [*element.iterfind("notations/tied")]
    return any(tie.get("type") == "start" for tie in ties)


def _read_lyric(element: Element) -> str:
    """The syllable of the first verse; it ends with a hyphen if the word continues."""
    lyrics = element.findall("lyric")
    lyric = next((item for item in lyrics if item.get("number", "1") == "1"), lyrics[0] if lyrics else None)
    if lyric is None:
        return ""
    text = ""
    for item in lyric:
        if item.tag == "text":
            text += item.text or ""
        elif item.tag == "elision":
            text += " "
    text = " ".join(text[:200].split())
    syllabic = [item.text for item in lyric.iterfind("syllabic")]
    return text + "-" if text and syllabic[-1:] in (["begin"], ["middle"]) and not text.endswith("-") else text


def _read_numbers(text: str) -> tuple[int, ...]:
    """Numbers of an ending such as "1", "1, 2", "1.-3."."""
    numbers: list[int] = []
    for match in re.finditer(r"(\d{1,3})\.?(?:\s*[-–]\s*(\d{1,3}))?", text[:60]):
        first, last = int(match[1]), int(match[2] or match[1])
        numbers.extend(range(first, min(last, first + _MAX_REPEATS) + 1))
    return tuple(sorted({number for number in numbers if 1 <= number <= _MAX_REPEATS}))
