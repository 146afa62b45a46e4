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


"""Reads lead sheets from MusicXML scores."""

import math
import os
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate, groupby
from statistics import fmean
from xml.etree.ElementTree import Element

from diffusers.utils import logging

from ....utils.errors import EmptyInputError, InputError, list_names, shorten
from ...chord_syntax import NO_CHORD
from ...midi_drums import DRUM_VOICES
from ...midi_names import is_bass_name, melody_rank
from ..bars import Bar, ChordMark, Hit, Note, Section, TempoMark, TimeSignature, check_tempo, default_tempo
from ..order import MAX_BARS
from ..sheet import LeadSheet
from .directions import Direction, Tempo
from .file import load_score, number_of, parse_score, text_of
from .part import Measure, WrittenNote, read_part


logger = logging.get_logger(__name__)

_MAX_BAR = 256  # quarter notes
_MAX_PARTS = 500
_ROUNDING = Fraction(1, 16)  # quarter notes; smaller deviations of a bar from its time signature are rounding errors
# Words in names of drums, most specific first.
_DRUM_WORDS = (
    ("kick", r"kick|bass drum|grosse caisse|bassdrum"),
    ("rim", r"rim|side ?stick|cross ?stick|clave|wood ?block|conga|bongo|stick"),
    ("snare", r"snare|side drum|caisse claire"),
    ("clap", r"clap"),
    ("open hat", r"open hi|open hat|hi-?hat open|crash|splash|china|cymbal$"),
    ("hat", r"hi-?hat|hihat|hh"),
    ("ride", r"ride|triangle"),
    ("cowbell", r"cow ?bell|agogo"),
    ("shaker", r"shaker|maraca|tambourine|cabasa|tamborim"),
    ("tom", r"tom|timbale"),
)


@dataclass
class _Part:
    """A part of the score with its measures."""

    number: int  # from 1
    identifier: str
    name: str
    measures: list[Measure]

    def __post_init__(self):
        notes = [note for measure in self.measures for note in measure.notes if note.pitch is not None]
        self.num_notes = len(notes)
        self.num_lyrics = sum(bool(note.lyric) for note in notes)
        self.num_chords = sum(len(measure.chords) for measure in self.measures)
        self.mean_pitch = fmean(note.pitch for note in notes) if notes else 0.0

    @property
    def label(self) -> str:
        return repr(self.name or self.identifier or self.number)


def read_musicxml(path: str | os.PathLike, part: str | int | None = None) -> LeadSheet:
    r"""
    Reads a lead sheet from a MusicXML file.

    Args:
        path (`str` or `os.PathLike`):
            A `.musicxml`, `.xml` or `.mxl` file.
        part (`str` or `int`, *optional*):
            Part with the melody: its name, its identifier (`"P1"`), or its number from 1. By default the highest part with
            lyrics, or else with chord symbols.

    Returns:
        [`LeadSheet`] with sounding pitches: the upper voice of the part, its chord symbols (or those of another part if
        it has none), and the drums of percussion parts.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the file is not a MusicXML score, declares XML entities, is too large or empty, or has no such part.
    """
    return _read_score(load_score(path), os.fspath(path), part)


def parse_musicxml(data: bytes | str, name: str = "the text", part: str | int | None = None) -> LeadSheet:
    """Reads a lead sheet from the content of a MusicXML file; see [`read_musicxml`]."""
    return _read_score(parse_score(data, name), name, part)


def _read_score(root: Element, name: str, part: str | int | None) -> LeadSheet:
    title = text_of(root, "work/work-title") or text_of(root, "movement-title") or _credit(root)
    problems: Counter[str] = Counter()
    parts = _read_parts(root, name, problems)
    melody = _choose_part(parts, part, name)
    harmony = melody if melody.num_chords else max(parts, key=lambda item: item.num_chords)
    has_drums = any(note.drum for item in parts for measure in item.measures for note in measure.notes)
    if not (melody.num_notes or harmony.num_chords or has_drums):
        raise EmptyInputError(f"`source`: {name} is empty: it has no notes and no chord symbols.", "source")
    sheet = _Assembly(name, parts, melody, harmony).assemble()
    unread = {
        f"bar {measure.number or index + 1} ({measure.unread[0]})": None
        for item in parts
        for index, measure in enumerate(item.measures)
        if measure.unread
    }
    if unread:
        logger.warning(
            f"{name}: chord symbols that can't be read are ignored, and the chord before them continues:"
            f" {list_names(list(unread), 5)}."
        )
    if problems:
        listed = list_names([f"{text} ({count}×)" for text, count in problems.most_common()], 5)
        logger.warning(f"{name}: ignored: {listed}.")
    return replace(sheet, title=_line(title), composer=_line(_composer(root)))


def _line(text: str) -> str:
    return " ".join(text.split())[:500]


def _credit(root: Element) -> str:
    for credit in root.iterfind("credit"):
        if text_of(credit, "credit-type") == "title":
            return text_of(credit, "credit-words")
    return ""


def _composer(root: Element) -> str:
    creators = [(item.get("type", ""), text_of(item)) for item in root.iterfind("identification/creator")]
    return next((text for kind, text in creators if kind in ("composer", "") and text), "")


# Parts


def _read_parts(root: Element, name: str, problems: Counter[str]) -> list[_Part]:
    described = {item.get("id", ""): item for item in root.iterfind("part-list/score-part")}
    elements = root.findall("part")
    if not elements:
        raise EmptyInputError(f"`source`: {name} has no <part> with measures.", "source")
    if len(elements) > _MAX_PARTS:
        raise InputError(f"`source`: {name} has {len(elements)} parts; at most {_MAX_PARTS} are read.", "source")
    parts = []
    for number, element in enumerate(elements, 1):
        identifier = element.get("id", "")
        description = described.get(identifier)
        count = len(element.findall("measure"))
        if count > MAX_BARS:
            raise InputError(f"`source`: {name} has {count:,} bars; at most {MAX_BARS:,} are read.", "source")
        try:
            measures = read_part(element, _drums_of(description), problems)
        except InputError as error:
            raise InputError(f"`source`: {name}, part {number}: {error}", "source") from None
        parts.append(_Part(number, identifier, _line(text_of(description, "part-name")), measures))
    if not any(part.measures for part in parts):
        raise EmptyInputError(f"`source`: {name} has no measures.", "source")
    return parts


def _drums_of(description: Element | None) -> dict[str, str]:
    """The drums of a part by the identifiers of its instruments: from their MIDI keys, or else from their names."""
    if description is None:
        return {}
    drums = {}
    for instrument in description.iterfind("score-instrument"):
        name = text_of(instrument, "instrument-name").lower()
        drum = next((drum for drum, words in _DRUM_WORDS if re.search(words, name)), "")
        if drum:
            drums[instrument.get("id", "")] = drum
    for instrument in description.iterfind("midi-instrument"):
        key = number_of(text_of(instrument, "midi-unpitched"))
        if key is not None and int(key) - 1 in DRUM_VOICES:
            drums[instrument.get("id", "")] = DRUM_VOICES[int(key) - 1]
    return drums


def _choose_part(parts: Sequence[_Part], part: str | int | None, name: str) -> _Part:
    if part is not None:
        return _find_part(parts, part, name)
    candidates = [item for item in parts if item.num_notes]
    if not candidates:
        return max(parts, key=lambda item: item.num_chords)
    # Voices of accompaniment may have lyrics in some bars.
    lyrics = max(item.num_lyrics for item in candidates)

    def rank(item: _Part) -> tuple[bool, bool, bool, int, float]:
        named = melody_rank(item.name)
        return (
            item.num_lyrics > 0.5 * lyrics,
            item.num_chords > 0,
            not is_bass_name(item.name),
            -9 if named is None else -named,
            item.mean_pitch,
        )

    best = max(candidates, key=rank)
    if len(candidates) > 1:
        others = list_names([item.label for item in candidates if item is not best], 5)
        logger.warning(
            f"{name}: the melody is that of part {best.number}, {best.label}; choose another one with `part`: {others}."
        )
    return best


def _find_part(parts: Sequence[_Part], part: str | int, name: str) -> _Part:
    wanted = str(part).strip()
    for item in parts:
        if wanted == item.identifier and not isinstance(part, int):
            return item
    for item in parts:
        if wanted.lower() == item.name.lower() and wanted:
            return item
    if re.fullmatch(r"\d{1,4}", wanted) and 1 <= int(wanted) <= len(parts):
        return parts[int(wanted) - 1]
    names = list_names([f"{item.number} {item.label}" for item in parts])
    raise InputError(f"`part`: {name} has no part {shorten(part)}; it has {names}.", "part")


class _Assembly:
    """Puts the bars of the selected parts together."""

    def __init__(self, name: str, parts: Sequence[_Part], melody: _Part, harmony: _Part):
        self.name = name
        self.parts = [melody, *(part for part in parts if part is not melody)]
        self.melody, self.harmony = melody, harmony
        self.count = max(len(part.measures) for part in parts)
        self.rows = [[part.measures[index] for part in self.parts if index < len(part.measures)]
                     for index in range(self.count)]  # fmt: skip
        self.voices = _rank_voices(melody.measures)

    def assemble(self) -> LeadSheet:
        signatures, keys = self._signatures(), self._keys()
        lengths = self._lengths([signature for signature, _ in signatures])
        starts = list(accumulate(lengths, initial=Fraction(0)))
        first, tempos = self._tempos(lengths, signatures[0][0])
        chords = self._chords(starts, [signature for signature, _ in signatures])
        notes = self._notes(lengths)
        hits = self._hits(lengths)
        self._repeat_measures(lengths, chords, notes, hits)
        _check_ties(notes, lengths)
        fields: list[dict] = [
            {"length": lengths[i], "chords": tuple(chords[i]), "notes": tuple(notes[i]), "hits": tuple(hits[i]),
             "tempos": tuple(tempos[i])}
            for i in range(self.count)
        ]  # fmt: skip
        for index in range(1, self.count):
            if signatures[index][1]:
                fields[index]["time_signature"] = signatures[index][0]
            if keys[index] != keys[index - 1]:
                fields[index]["key"] = keys[index]
        self._repeats(fields)
        self._signs(fields, lengths)
        bars = [Bar(**values) for values in fields]
        return LeadSheet(
            tuple(self._sections(bars)),
            tempo=first.bpm,
            beat_unit=first.unit,
            time_signature=signatures[0][0],
            key=keys[0],
            swing=self._swing(),
        )

    # Attributes

    def _signatures(self) -> list[tuple[TimeSignature, bool]]:
        """The time signature of each bar, and whether it begins there. Other parts count only if the part has none."""
        has_own = any(measure.time_signature is not None for measure in self.melody.measures)
        current = TimeSignature(4, 4)
        result = []
        for index, row in enumerate(self.rows):
            measures = self.melody.measures[index : index + 1] if has_own else row
            new = next((measure.time_signature for measure in measures if measure.time_signature is not None), current)
            result.append((new, new != current))
            current = new
        return result

    def _keys(self) -> list[str]:
        """The key of each bar. Other parts count only if the part has no key at all."""
        measures = self.melody.measures
        if not any(measure.key for measure in measures):
            measures = next(
                (part.measures for part in self.parts if any(item.key for item in part.measures)), measures
            )
        keys: list[str] = []
        for index in range(self.count):
            new = measures[index].key if index < len(measures) else None
            keys.append(new or (keys[-1] if keys else ""))
        return keys

    def _lengths(self, signatures: Sequence[TimeSignature]) -> list[Fraction]:
        lengths = []
        for index, (row, signature) in enumerate(zip(self.rows, signatures)):
            nominal = signature.length
            selected = [part.measures[index] for part in (self.melody, self.harmony) if index < len(part.measures)]
            content = max((measure.content for measure in selected), default=Fraction(0))
            content = content or max(measure.content for measure in row)
            is_full = any(measure.content >= nominal for measure in row)
            is_rounded = abs(content - nominal) < min(_ROUNDING, nominal / 2)
            if not content or is_rounded or (content < nominal and is_full):
                content = nominal
            if content > _MAX_BAR:
                number = self.rows[index][0].number[:20]
                raise InputError(
                    f"`source`: {self.name}: bar {number or index + 1} lasts {float(content):g} quarter notes; at most {_MAX_BAR}"
                    " are read. Check its divisions and durations.",
                    "source",
                )
            lengths.append(content)
        return lengths

    def _tempos(self, lengths: Sequence[Fraction], signature: TimeSignature) -> tuple[Tempo, list[list[TempoMark]]]:
        """The tempo at the beginning, and the changes in each bar."""
        marks: dict[tuple[int, Fraction], Tempo] = {}
        for part in self.parts:
            own: dict[tuple[int, Fraction], Tempo] = {}
            for index, position, direction in self._directions(part, lengths):
                if direction.tempo is not None and _is_tempo(direction.tempo, self.name, index):
                    own[index, min(max(position, Fraction(0)), lengths[index])] = direction.tempo
            marks = own | marks
        first = marks.pop((0, Fraction(0)), None) or Tempo(*default_tempo(signature, self.name)[:2])
        rows: list[list[TempoMark]] = [[] for _ in lengths]
        current = first
        for (index, position), tempo in sorted(marks.items()):
            if position >= lengths[index]:
                index, position = index + 1, Fraction(0)
            if tempo != current and index < len(rows):
                rows[index].append(TempoMark(*tempo, position))
                current = tempo
        return first, rows

    def _directions(self, part: _Part, lengths: Sequence[Fraction]) -> Iterator[tuple[int, Fraction, Direction]]:
        for index, measure in enumerate(part.measures):
            for position, direction in measure.directions:
                yield index, position, direction

    def _swing(self) -> bool:
        found = (
            direction.swing
            for row in self.rows
            for measure in row
            for _, direction in measure.directions
            if direction.swing is not None
        )
        return next(found, False)

    # Events

    def _chords(self, starts: Sequence[Fraction], signatures: Sequence[TimeSignature]) -> list[list[ChordMark]]:
        rows: list[list[ChordMark]] = [[] for _ in starts[1:]]
        for index, measure in enumerate(self.harmony.measures if self.harmony.num_chords else ()):
            # The words N.C. apply unless there is a chord symbol.
            positions = {position for position, _ in measure.chords}
            pauses = [(position, NO_CHORD) for position in measure.pauses if position not in positions]
            for position, label in [*measure.chords, *pauses]:
                start = max(starts[index] + position, Fraction(0))
                place = bisect_right(starts, start) - 1
                if place < len(rows):
                    rows[place].append(ChordMark(label, start - starts[place]))
        count = 0
        for index, row in enumerate(rows):
            row.sort(key=lambda mark: mark.start)
            row[:] = [mark for number, mark in enumerate(row) if not number or mark != row[number - 1]]
            if len({mark.start for mark in row}) < len(row):
                measures = self.harmony.measures
                onsets = [note.start for note in measures[index].notes] if index < len(measures) else []
                row[:] = _spread(row, [*onsets, starts[index + 1] - starts[index]], signatures[index].beat)
                count += 1
        if count:
            logger.warning(
                f"{self.name}: in {count} bar(s), several chord symbols have the same position; they are spread over the"
                " note."
            )
        return rows

    def _notes(self, lengths: Sequence[Fraction]) -> list[list[Note]]:
        rows: list[list[Note]] = [[] for _ in lengths]
        for index, measure in enumerate(self.melody.measures):
            by_voice: dict[tuple[int, str], list[WrittenNote]] = defaultdict(list)
            for note in measure.notes:
                if note.pitch is not None:
                    by_voice[note.voice].append(note)
            present = [voice for voice in self.voices if voice in by_voice]
            main = self.voices[0] if self.voices else None
            if main in measure.voices and main not in by_voice:
                continue  # the voice rests
            if present:
                rows[index] = _top_line(by_voice[present[0]], lengths[index])
        return rows

    def _hits(self, lengths: Sequence[Fraction]) -> list[list[Hit]]:
        rows = []
        for row, length in zip(self.rows, lengths):
            hits = {
                (note.start, note.drum): Hit(note.drum, note.start, note.velocity)
                for measure in row
                for note in measure.notes
                if note.drum and note.start < length
            }
            rows.append(sorted(hits.values(), key=lambda hit: hit.start))
        return rows

    def _repeat_measures(self, lengths: Sequence[Fraction], chords: list, notes: list, hits: list):
        """Copies the measures that repeat signs (%) stand for, unless the file writes them out."""
        for part, rows in ((self.melody, (notes,)), (self.harmony, (chords,)), *((p, (hits,)) for p in self.parts)):
            for index, measure in enumerate(part.measures):
                source = index - measure.repeat_of
                if not measure.repeat_of or source < 0 or lengths[source] != lengths[index]:
                    continue
                for row in rows:
                    row[index] = row[index] or row[source]

    # Form

    def _repeats(self, fields: list[dict]):
        last: tuple[int, ...] = ()
        for index, row in enumerate(self.rows):
            values = fields[index]
            if any(measure.repeat_start for measure in row):
                values["repeat_start"] = True
            if times := max(measure.repeat_end for measure in row):
                values["repeat_end"] = times
            if endings := next((measure.endings for measure in row if measure.endings), ()):
                if endings == (0,):
                    endings = (max(last) + 1 if last and max(last) < 9 else 1,)
                values["endings"] = last = endings
        for index, row in enumerate(self.rows[:-1]):
            following = fields[index + 1]
            closes = fields[index].get("repeat_end") or following.get("endings") or following.get("repeat_start")
            if any(measure.ending_stop for measure in row) and not closes:
                fields[index]["ending_stop"] = True

    def _signs(self, fields: list[dict], lengths: Sequence[Fraction]):
        found = [(index, position, direction) for part in self.parts
                 for index, position, direction in self._directions(part, lengths)]  # fmt: skip
        for index, position, direction in found:
            if direction.jump and len(direction.jump) > len(fields[index].get("jump", "")):
                fields[index]["jump"] = direction.jump
            is_late = position * 2 > lengths[index]
            following = index + 1 if is_late else index
            for sign in direction.signs:
                if sign == "coda?":
                    # A coda sign at the end of a bar without words is where the coda is entered.
                    sign, place = ("to_coda", index) if is_late and not direction.section else ("coda", following)
                else:
                    place = following if sign in ("segno", "coda") else index
                if place < len(fields):
                    fields[place][sign] = True
        codas = [index for index, values in enumerate(fields) if values.get("coda")]
        has_target = any(values.get("to_coda") for values in fields)
        if len(codas) > 1 and not has_target and codas[0] > 0:
            del fields[codas[0]]["coda"]
            fields[codas[0] - 1]["to_coda"] = True

    def _sections(self, bars: Sequence[Bar]) -> Iterator[Section]:
        names: dict[int, str] = {}
        for part in self.parts:
            for index, measure in enumerate(part.measures):
                for position, direction in measure.directions:
                    if direction.section:
                        place = index + (position * 2 > bars[index].length)
                        names.setdefault(place, _line(direction.section)[:100])
        begins = sorted({0, *(place for place in names if place < len(bars))})
        for begin, end in zip(begins, [*begins[1:], len(bars)]):
            yield Section(names.get(begin, ""), tuple(bars[begin:end]))


def _is_tempo(tempo: Tempo, name: str, index: int) -> bool:
    try:
        check_tempo(*tempo)
    except InputError:
        logger.warning(f"{name}: the tempo {tempo.bpm:g} in bar {index + 1} is out of range and is ignored.")
        return False
    return True


def _rank_voices(measures: Sequence[Measure]) -> list[tuple[int, str]]:
    """
    The voices with notes: first the melody, which is the highest one of the upper staff that has lyrics or sounds for more
    than a third as long as the voice that sounds longest.
    """
    notes: dict[tuple[int, str], list[WrittenNote]] = defaultdict(list)
    for measure in measures:
        for note in measure.notes:
            if note.pitch is not None:
                notes[note.voice].append(note)
    if not notes:
        return []
    upper = min(staff for staff, _ in notes)
    lyrics = {voice: sum(bool(note.lyric) for note in items) for voice, items in notes.items()}
    sounding = {voice: sum(note.length for note in items) for voice, items in notes.items()}
    most_lyrics, most = max(lyrics.values()), max(sounding[voice] for voice in notes if voice[0] == upper)

    def rank(voice: tuple[int, str]) -> tuple[bool, bool, bool, float]:
        items = notes[voice]
        return (
            most_lyrics > 0 and lyrics[voice] > 0.5 * most_lyrics,
            voice[0] == upper,
            sounding[voice] > most / 3,
            fmean(note.pitch for note in items if note.pitch is not None),
        )

    return sorted(notes, key=rank, reverse=True)


def _spread(row: Sequence[ChordMark], onsets: Sequence[Fraction], beat: Fraction) -> Iterator[ChordMark]:
    """Spreads chords with the same start until the next chord or note, on beats if there are enough of them."""
    times = sorted({*onsets, *(mark.start for mark in row)})
    for start, group in groupby(row, key=lambda mark: mark.start):
        marks = list(group)
        span = times[bisect_right(times, start)] - start
        for number, mark in enumerate(marks):
            position = span * Fraction(number, len(marks))
            if span >= beat * len(marks):
                position = beat * math.ceil(position / beat)
            yield mark._replace(start=start + position)


def _top_line(written: Sequence[WrittenNote], length: Fraction) -> list[Note]:
    """The highest notes of a voice; a note ends where the next one begins, and at the end of the bar."""
    line: list[Note] = []
    for note in sorted(written, key=lambda item: (item.start, -(item.pitch or 0))):
        if note.start >= length:
            continue
        if line and line[-1].start == note.start:
            if note.lyric and not line[-1].lyric:
                line[-1] = line[-1]._replace(lyric=note.lyric)
            continue
        if line and line[-1].end > note.start:
            line[-1] = line[-1]._replace(length=note.start - line[-1].start)
        end = min(note.start + note.length, length)
        line.append(Note(note.pitch or 0, note.start, end - note.start, note.tied, note.lyric))
    return line


def _check_ties(rows: list[list[Note]], lengths: Sequence[Fraction]):
    """Removes ties that the next written note does not continue."""
    previous: tuple[int, int] | None = None
    for index, row in enumerate(rows):
        for place, note in enumerate(row):
            if previous is not None:
                before = rows[previous[0]][previous[1]]
                same_bar = previous[0] == index and before.end == note.start
                next_bar = previous[0] == index - 1 and before.end == lengths[index - 1] and note.start == 0
                if before.tied and not (before.pitch == note.pitch and (same_bar or next_bar)):
                    rows[previous[0]][previous[1]] = before._replace(tied=False)
            previous = (index, place)
    if previous is not None:
        rows[previous[0]][previous[1]] = rows[previous[0]][previous[1]]._replace(tied=False)
