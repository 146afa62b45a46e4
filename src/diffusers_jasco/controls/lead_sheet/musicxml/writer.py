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


"""Writes lead sheets as MusicXML scores."""

import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import lcm
from statistics import fmean
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from diffusers.utils import logging

from ...midi_drums import DRUM_KEYS
from ..bars import Bar, Hit, Note, Section, TempoMark, TimeSignature
from ..keys import SEMITONES, key_signature, note_name, parse_tonality
from ..sheet import LeadSheet
from .harmony import write_harmony
from .note_values import NoteValue, split_value, to_note_values


logger = logging.get_logger(__name__)

_MAX_DIVISIONS = 1_000_000
_DOCTYPE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0'
    ' Partwise//EN" "http://www.musicxml.org/dtds/partwise.dtd">\n'
)
_INVALID = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Places of the drums on the staff, and their noteheads.
_DRUMS = {
    "kick": ("F4", ""), "snare": ("C5", ""), "rim": ("C5", "x"), "clap": ("D5", "x"), "hat": ("G5", "x"),
    "open hat": ("G5", "circle-x"), "ride": ("F5", "x"), "tom": ("D5", ""), "cowbell": ("E5", "triangle"),
    "shaker": ("A5", "x"),
}  # fmt: skip
_HIT = Fraction(1, 4)  # quarter notes; the longest written length of a hit


def to_musicxml(sheet: LeadSheet) -> str:
    r"""
    Converts a sheet to a MusicXML 4.0 score: the melody with its lyrics and chord symbols in one part, and drum hits in
    another one.

    Repeats, endings, jumps and section names are kept. Prompts, grooves, fills and the ending are not part of the format; they
    are left out, with a warning.

    Args:
        sheet ([`LeadSheet`]): the sheet.

    Returns:
        `str`: the content of a `.musicxml` file in UTF-8.
    """
    lost = {
        "prompts": sheet.prompt or any(section.prompt for section in sheet.sections),
        "grooves": sheet.groove or any(section.groove for section in sheet.sections),
        "drum fills": any(section.fill for section in sheet.sections),
        f"the ending {sheet.ending!r}": sheet.ending != "cut",
    }
    if names := [name for name, is_lost in lost.items() if is_lost]:
        logger.warning(f"Not part of MusicXML, and left out: {', '.join(names)}. JSON and ABC files keep them.")
    if count := sum(bool(bar.lyrics and not bar.notes) for bar in sheet.bars):
        logger.warning(f"The words of {count} bar(s) without notes are not written to MusicXML.")
    sheet = _write_repeats(sheet)
    root = Element("score-partwise", {"version": "4.0"})
    if sheet.title:
        _text(SubElement(root, "work"), "work-title", sheet.title)
    identification = SubElement(root, "identification")
    if sheet.composer:
        _text(identification, "creator", sheet.composer, type="composer")
    _text(SubElement(identification, "encoding"), "software", "diffusers-jasco")
    listed = SubElement(root, "part-list")
    melody = SubElement(listed, "score-part", {"id": "P1"})
    _text(melody, "part-name", "Melody")
    writer = _Writer(sheet)
    writer.write_melody(SubElement(root, "part", {"id": "P1"}))
    if any(bar.hits for bar in sheet.bars):
        _list_drums(listed, {hit.drum for bar in sheet.bars for hit in bar.hits})
        writer.write_drums(SubElement(root, "part", {"id": "P2"}))
    indent(root)
    return _DOCTYPE + tostring(root, encoding="unicode") + "\n"


def to_mxl(sheet: LeadSheet) -> bytes:
    """Converts a sheet to compressed MusicXML, the content of an `.mxl` file; see [`to_musicxml`]."""
    data = io.BytesIO()
    container = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<container><rootfiles><rootfile full-path="score.musicxml"'
        ' media-type="application/vnd.recordare.musicxml+xml"/></rootfiles></container>\n'
    )
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (("META-INF/container.xml", container), ("score.musicxml", to_musicxml(sheet))):
            archive.writestr(zipfile.ZipInfo(name), content.encode("utf-8"), zipfile.ZIP_DEFLATED)
    return data.getvalue()


def _text(parent: Element, tag: str, text: str, **attributes: str) -> Element:
    element = SubElement(parent, tag, attributes)
    element.text = _INVALID.sub(" ", text)
    return element


def _write_repeats(sheet: LeadSheet) -> LeadSheet:
    """Writes sections that are played several times with repeat signs, or out where they have signs of their own."""
    if all(section.repeats == 1 for section in sheet.sections):
        return sheet
    is_simple = all(
        section.repeats == 1 or all(bar.is_plain for bar in section.bars) for section in sheet.sections
    ) and not any(bar.jump for bar in sheet.bars)
    if not is_simple:
        return sheet.expand()
    return replace(sheet, sections=tuple(_repeat(section) for section in sheet.sections))


def _repeat(section: Section) -> Section:
    if section.repeats == 1 or not section.bars:
        return section
    bars = list(section.bars)
    bars[0] = replace(bars[0], repeat_start=True)
    bars[-1] = replace(bars[-1], repeat_end=section.repeats)
    return replace(section, bars=tuple(bars), repeats=1)


def _list_drums(names: Element, drums: set[str]):
    part = SubElement(names, "score-part", {"id": "P2"})
    _text(part, "part-name", "Drums")
    used = [drum for drum in _DRUMS if drum in drums]
    for drum in used:
        _text(SubElement(part, "score-instrument", {"id": _drum_id(drum)}), "instrument-name", drum.capitalize())
    for drum in used:
        instrument = SubElement(part, "midi-instrument", {"id": _drum_id(drum)})
        _text(instrument, "midi-channel", "10")
        _text(instrument, "midi-unpitched", str(DRUM_KEYS[drum] + 1))


def _drum_id(drum: str) -> str:
    return f"P2-I{DRUM_KEYS[drum]}"


class _Writer:
    """Writes the measures of a sheet. Positions are converted to divisions of a quarter note."""

    def __init__(self, sheet: LeadSheet):
        self.sheet = sheet
        self.bars = sheet.bars
        self.keys = sheet.keys()
        self.signatures = sheet.time_signatures()
        self.sections: dict[int, Section] = {}
        index = 0
        for section in sheet.sections:
            if section.bars and section.name:
                self.sections[index] = section
            index += len(section.bars)
        self.divisions = self._find_divisions()
        self.ending: tuple[int, ...] = ()  # the ending that is open
        self.tied: int | None = None  # pitch of a note that is continued
        self.in_word = False

    def _find_divisions(self) -> int:
        divisions = 1
        for bar in self.bars:
            times = [bar.length, *(chord.start for chord in bar.chords), *(hit.start for hit in bar.hits)]
            times += [tempo.start for tempo in bar.tempos]
            times += [time for note in bar.notes for time in (note.start, note.length)]
            divisions = lcm(divisions, *(time.denominator for time in times))
            if divisions > _MAX_DIVISIONS:
                logger.warning("Positions are rounded to 1/80640 of a quarter note in MusicXML.")
                return 80640
        # Some programs expect multiples for the pieces into which notes are divided.
        return divisions * 4 if divisions * 4 <= _MAX_DIVISIONS else divisions

    def _ticks(self, start: Fraction, length: Fraction) -> str:
        return str(round((start + length) * self.divisions) - round(start * self.divisions))

    # Measures

    def write_melody(self, part: Element):
        for index, bar in enumerate(self.bars):
            measure = self._begin(part, index)
            self._write_attributes(measure, index)
            self._write_left(measure, index)
            self._write_directions(measure, index)
            self._write_notes(measure, bar, self.keys[index])
            self._write_end_signs(measure, bar)
            self._write_right(measure, index)

    def write_drums(self, part: Element):
        for index, bar in enumerate(self.bars):
            measure = self._begin(part, index)
            self._write_attributes(measure, index, is_drums=True)
            self._write_left(measure, index, with_endings=False)
            self._write_hits(measure, bar)
            self._write_right(measure, index, with_endings=False)

    def _begin(self, part: Element, index: int) -> Element:
        first_is_short = self.bars[0].length < self.sheet.time_signature.length and len(self.bars) > 1
        attributes = {"number": str(index + (not first_is_short))}
        if first_is_short and index == 0:
            attributes["implicit"] = "yes"
        return SubElement(part, "measure", attributes)

    def _write_attributes(self, measure: Element, index: int, is_drums: bool = False):
        bar = self.bars[index]
        attributes = Element("attributes")
        if index == 0:
            _text(attributes, "divisions", str(self.divisions))
        key = self.keys[index]
        if key and not is_drums and (index == 0 or bar.key is not None):
            element = SubElement(attributes, "key")
            _text(element, "fifths", str(key_signature(key)))
            _text(element, "mode", parse_tonality(key)[1])
        if index == 0 or bar.time_signature is not None:
            _write_time(attributes, self.signatures[index])
        if index == 0:
            clef = SubElement(attributes, "clef")
            pitches = [note.pitch for other in self.bars for note in other.notes]
            is_low = bool(pitches) and fmean(pitches) < 55
            sign, line = ("percussion", "") if is_drums else ("F", "4") if is_low else ("G", "2")
            _text(clef, "sign", sign)
            if line:
                _text(clef, "line", line)
        if len(attributes):
            measure.append(attributes)

    # Bar lines and signs

    def _write_left(self, measure: Element, index: int, with_endings: bool = True):
        bar = self.bars[index]
        has_ending = with_endings and bool(bar.endings)
        if not (bar.repeat_start or has_ending):
            return
        line = SubElement(measure, "barline", {"location": "left"})
        if bar.repeat_start:
            _text(line, "bar-style", "heavy-light")
        if has_ending:
            self.ending = bar.endings
            self._write_ending(line, "start")
        if bar.repeat_start:
            SubElement(line, "repeat", {"direction": "forward"})

    def _write_ending(self, line: Element, kind: str):
        SubElement(line, "ending", {"number": ", ".join(map(str, self.ending)), "type": kind})

    def _write_right(self, measure: Element, index: int, with_endings: bool = True):
        bar = self.bars[index]
        following = self.bars[index + 1] if index + 1 < len(self.bars) else None
        is_last = following is None
        closes = bar.repeat_end or bar.ending_stop or following is None or following.endings or following.repeat_start
        closes = bool(self.ending and closes) and with_endings
        if not (bar.repeat_end or closes or is_last):
            return
        line = SubElement(measure, "barline", {"location": "right"})
        if bar.repeat_end or is_last:
            _text(line, "bar-style", "light-heavy")
        if closes:
            self._write_ending(line, "stop" if bar.repeat_end else "discontinue")
            self.ending = ()
        if bar.repeat_end:
            times = {"times": str(bar.repeat_end)} if bar.repeat_end != 2 else {}
            SubElement(line, "repeat", {"direction": "backward", **times})

    def _write_directions(self, measure: Element, index: int):
        bar = self.bars[index]
        if section := self.sections.get(index):
            direction = _direction(measure)
            _text(SubElement(direction, "direction-type"), "rehearsal", section.name)
        for tag in ("segno", "coda"):
            if getattr(bar, tag):
                direction = _direction(measure)
                SubElement(SubElement(direction, "direction-type"), tag)
                SubElement(direction, "sound", {tag: tag})
        if index == 0:
            self._write_tempo(measure, TempoMark(self.sheet.tempo, self.sheet.beat_unit))
            if self.sheet.swing:
                direction = _words(measure, "Swing")
                swing = SubElement(SubElement(direction, "sound"), "swing")
                for tag, value in (("first", "2"), ("second", "1"), ("swing-type", "eighth")):
                    _text(swing, tag, value)

    def _write_tempo(self, measure: Element, mark: TempoMark, offset: Fraction = Fraction(0)):
        value = split_value(mark.unit)
        name, dots = value or ("quarter", 0)
        bpm = mark.bpm if value else mark.bpm * float(mark.unit)
        direction = _direction(measure)
        metronome = SubElement(SubElement(direction, "direction-type"), "metronome", {"parentheses": "no"})
        _text(metronome, "beat-unit", name)
        for _ in range(dots):
            SubElement(metronome, "beat-unit-dot")
        _text(metronome, "per-minute", _number(bpm))
        if offset:
            _text(direction, "offset", self._ticks(Fraction(0), offset), sound="yes")
        SubElement(direction, "sound", {"tempo": _number(mark.quarters_per_minute)})

    def _write_end_signs(self, measure: Element, bar: Bar):
        if bar.to_coda:
            SubElement(_words(measure, "To Coda"), "sound", {"tocoda": "coda"})
        if bar.fine:
            SubElement(_words(measure, "Fine"), "sound", {"fine": "yes"})
        if bar.jump:
            sound = {"dacapo": "yes"} if bar.jump.startswith("D.C.") else {"dalsegno": "segno"}
            SubElement(_words(measure, bar.jump), "sound", sound)

    # Notes

    def _write_notes(self, measure: Element, bar: Bar, key: str):
        notes = _to_line(bar.notes)
        cuts = [chord.start for chord in bar.chords] + [tempo.start for tempo in bar.tempos]
        events = _fill(notes, bar.length, cuts)
        rows = to_note_values([(start, end) for _, start, end in events])
        words = bar.lyrics if bar.lyrics and not any(note.lyric for note in notes) else ""
        is_empty = len(events) == 1 and events[0][0] is None
        for (note, start, end), row in zip(events, rows):
            for chord in bar.chords:
                if start <= chord.start < end:
                    harmony = write_harmony(chord.label, key)
                    if chord.start > start:
                        _text(harmony, "offset", self._ticks(start, chord.start - start))
                    measure.append(harmony)
            for mark in bar.tempos:
                if start <= mark.start < end:
                    self._write_tempo(measure, mark, mark.start - start)
            if note is None:
                for value in row:
                    self._write_rest(measure, value, is_empty)
                continue
            lyric, words = note.lyric or words, "" if not note.lyric else words
            for position, value in enumerate(row):
                self._write_note(measure, note, value, key, lyric if not position else "", position == len(row) - 1)

    def _write_rest(self, measure: Element, value: NoteValue, is_whole_bar: bool = False):
        element = SubElement(measure, "note")
        SubElement(element, "rest", {"measure": "yes"} if is_whole_bar else {})
        _text(element, "duration", self._ticks(value.start, value.length))
        _text(element, "voice", "1")
        if not is_whole_bar:
            _write_type(element, value)
            _write_notations(element, [], value)

    def _write_note(self, measure: Element, note: Note, value: NoteValue, key: str, lyric: str, is_last: bool):
        element = SubElement(measure, "note")
        _write_pitch(SubElement(element, "pitch"), note.pitch, key)
        _text(element, "duration", self._ticks(value.start, value.length))
        ties = ["stop"] if self.tied == note.pitch else []
        ties += ["start"] if note.tied or not is_last else []
        for tie in ties:
            SubElement(element, "tie", {"type": tie})
        self.tied = note.pitch if "start" in ties else None
        _text(element, "voice", "1")
        _write_type(element, value)
        _write_notations(element, ties, value)
        if lyric:
            self._write_lyric(element, lyric)

    def _write_lyric(self, element: Element, text: str):
        continues = text.endswith("-") and len(text) > 1
        syllabic = {(False, False): "single", (False, True): "begin", (True, True): "middle", (True, False): "end"}
        lyric = SubElement(element, "lyric", {"number": "1"})
        _text(lyric, "syllabic", syllabic[self.in_word, continues])
        _text(lyric, "text", text.rstrip("-") if continues else text)
        self.in_word = continues

    # Drums

    def _write_hits(self, measure: Element, bar: Bar):
        starts = sorted({hit.start for hit in bar.hits})
        spans: list[tuple[Fraction, Fraction]] = []
        position = Fraction(0)
        for start, following in zip(starts, [*starts[1:], bar.length]):
            if position < start:
                spans.append((position, start))
            position = min(start + _HIT, following)
            spans.append((start, position))
        if position < bar.length:
            spans.append((position, bar.length))
        by_start: dict[Fraction, list[Hit]] = {}
        for hit in bar.hits:
            by_start.setdefault(hit.start, []).append(hit)
        for (start, _), row in zip(spans, to_note_values(spans)):
            hits = by_start.get(start, [])
            for number, value in enumerate(row):
                if number or not hits:
                    self._write_rest(measure, value, is_whole_bar=not starts)
                for place, hit in enumerate(hits if not number else ()):
                    self._write_hit(measure, hit, value, is_chord=place > 0)

    def _write_hit(self, measure: Element, hit: Hit, value: NoteValue, is_chord: bool):
        place, head = _DRUMS[hit.drum]
        # The loudness is a percentage of the MIDI velocity 90.
        element = SubElement(measure, "note", {"dynamics": _number(round(hit.velocity * 12700 / 90, 4))})
        if is_chord:
            SubElement(element, "chord")
        unpitched = SubElement(element, "unpitched")
        _text(unpitched, "display-step", place[0])
        _text(unpitched, "display-octave", place[1])
        _text(element, "duration", self._ticks(value.start, value.length))
        SubElement(element, "instrument", {"id": _drum_id(hit.drum)})
        _text(element, "voice", "1")
        _write_type(element, value)
        if head:
            _text(element, "notehead", head)
        _write_notations(element, [], value if not is_chord else value._replace(tuplet=""))


def _to_line(notes: Sequence[Note]) -> list[Note]:
    """A single line: of notes that begin together the highest one; a note ends where the next one begins."""
    line: list[Note] = []
    for note in sorted(notes, key=lambda item: (item.start, -item.pitch)):
        if line and line[-1].start == note.start:
            continue
        if line and line[-1].end > note.start:
            line[-1] = line[-1]._replace(length=note.start - line[-1].start, tied=False)
        line.append(note)
    return line


def _fill(
    notes: Sequence[Note], length: Fraction, cuts: Sequence[Fraction]
) -> list[tuple[Note | None, Fraction, Fraction]]:
    """Notes and rests of a bar as `(note or None, start, end)`; rests are divided at `cuts`."""
    events: list[tuple[Note | None, Fraction, Fraction]] = []
    position = Fraction(0)
    for note, start, end in [*((note, note.start, note.end) for note in notes), (None, length, length)]:
        edges = [position, *sorted({cut for cut in cuts if position < cut < start}), start]
        events.extend((None, first, last) for first, last in zip(edges, edges[1:]) if first < last)
        if note is not None:
            events.append((note, start, end))
        position = end
    return events


def _direction(measure: Element) -> Element:
    return SubElement(measure, "direction", {"placement": "above"})


def _words(measure: Element, text: str) -> Element:
    direction = _direction(measure)
    _text(SubElement(direction, "direction-type"), "words", text)
    return direction


def _write_time(attributes: Element, signature: TimeSignature):
    time = SubElement(attributes, "time")
    _text(time, "beats", str(signature.numerator))
    _text(time, "beat-type", str(signature.denominator))


def _write_pitch(pitch: Element, number: int, key: str):
    name = note_name(number % 12, key)
    alter = name.count("#") - name[1:].count("b")
    _text(pitch, "step", name[0])
    if alter:
        _text(pitch, "alter", str(alter))
    _text(pitch, "octave", str((number - alter - SEMITONES[name[0]]) // 12 - 1))


def _write_type(element: Element, value: NoteValue):
    if value.name:
        _text(element, "type", value.name)
        for _ in range(value.dots):
            SubElement(element, "dot")
        if value.actual > 1:
            modification = SubElement(element, "time-modification")
            _text(modification, "actual-notes", str(value.actual))
            _text(modification, "normal-notes", str(value.normal))


def _write_notations(element: Element, ties: Sequence[str], value: NoteValue):
    if not (ties or value.tuplet):
        return
    notations = SubElement(element, "notations")
    for tie in ties:
        SubElement(notations, "tied", {"type": tie})
    for kind in ("start", "stop"):
        if value.tuplet in (kind, "both"):
            SubElement(notations, "tuplet", {"type": kind})


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
