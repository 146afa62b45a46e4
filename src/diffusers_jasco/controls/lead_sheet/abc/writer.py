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

"""Writes lead sheets in ABC notation."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple

from diffusers.utils import logging

from ...chord_labels import normalize_chord
from ...chord_syntax import is_no_chord
from ..bars import Bar, Note, Section, TempoMark, TimeSignature
from ..keys import note_name, parse_tonality
from ..sheet import LeadSheet
from .header import signature_of


logger = logging.get_logger(__name__)

_UNIT = Fraction(1, 2)  # L:1/8 in quarter notes
_BARS_PER_LINE = 4
_MODES = {"major": "", "ionian": "", "minor": "m", "aeolian": "m"}
_SIGNS = {0: "=", 1: "^", 2: "^^", -1: "_", -2: "__"}
_NATURAL = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SHORTHANDS = {"D.C.": "D.C.", "D.S.": "D.S.", "D.C. al Fine": "D.C.alfine", "D.S. al Fine": "D.S.alfine",
               "D.C. al Coda": "D.C.alcoda", "D.S. al Coda": "D.S.alcoda"}  # fmt: skip
# Numerators of lengths that one note can have, with up to two dots.
_WHOLE = (1, 3, 7)
_LARGEST_TUPLET = 9


def to_abc(sheet: LeadSheet) -> str:
    r"""
    Writes a sheet in ABC notation (2.1).

    Repeats, endings, jumps and names of sections (`P:`) are kept. Prompts, grooves, drum fills, swing and the ending are
    stored in `%%jasco` directives, which other programs ignore; written drum hits are left out, with a warning.

    Args:
        sheet ([`LeadSheet`]): the sheet.

    Returns:
        `str`: the tune.
    """
    if sheet.hits:
        logger.warning("ABC has no drums: the written drum hits are left out.")
    sections = _with_starts(_write_repeats(sheet.sections))
    lines = _header(sheet)
    writer = _BarWriter(sheet.key, sheet.time_signature)
    bars = [bar for section in sections for bar in section.bars]
    index, in_ending, is_closed = 0, False, False
    for number, section in enumerate(sections):
        lines += _section_lines(section, number)
        line: list[str] = []
        syllables: list[str] = []
        for position, bar in enumerate(section.bars):
            following = bars[index + 1] if index + 1 < len(bars) else None
            text, words = writer.write(bar, is_first=index == 0, is_line_start=not line)
            is_last = position + 1 == len(section.bars)
            in_ending = bool(bar.endings) or (in_ending and not is_closed)
            is_closed = bool(bar.repeat_end) or bar.ending_stop
            line.append(text + _bar_line(bar, following, in_ending, is_last))
            syllables += words
            index += 1
            if is_last or (len(line) >= _BARS_PER_LINE and not (following is not None and following.endings)):
                lines.append(" ".join(line))
                if any(syllable != "*" for syllable in syllables):
                    lines.append("w: " + " ".join(syllables))
                line, syllables = [], []
    if any(bar.lyrics for bar in bars):
        lines += [f"W: {_plain(text)}" for text in sheet.lyrics.splitlines()]
    return "\n".join(lines) + "\n"


# Header and sections


def _header(sheet: LeadSheet) -> list[str]:
    lines = ["%abc-2.1", "X:1", f"T:{_plain(sheet.title)}"]
    if sheet.composer:
        lines.append(f"C:{_plain(sheet.composer)}")
    lines += [f"M:{sheet.time_signature}", "L:1/8"]
    tempo = _tempo(TempoMark(sheet.tempo, sheet.beat_unit))
    lines.append(f'Q:"Swing" {tempo}' if sheet.swing else f"Q:{tempo}")
    for name, value in (("prompt", sheet.prompt), ("groove", sheet.groove), ("ending", sheet.ending)):
        if value and value != "cut":
            lines.append(f"%%jasco {name} {_plain(value)}")
    return [*lines, f"K:{_key(sheet.key)}"]


def _section_lines(section: Section, number: int) -> list[str]:
    lines = []
    if re.search(r"\w", section.name):
        lines.append(f"P:{_plain(section.name)}")
    elif number:
        lines.append("%%jasco section unnamed")
    options = (("section-prompt", section.prompt), ("section-groove", section.groove), ("fill", section.fill and "on"))
    return lines + [f"%%jasco {name} {_plain(value)}" for name, value in options if value]


def _plain(text: str) -> str:
    """Text in one line, without the characters that have a meaning in ABC."""
    text = re.sub(r"\s+", " ", text).strip()
    text = text.replace("\\", "\\\\").replace("%", "\\%")
    return re.sub(r"&(?=#?\w+;)", r"\\&", text)


def _tempo(tempo: TempoMark) -> str:
    beat = tempo.unit / 4
    bpm = f"{tempo.bpm:.6f}".rstrip("0").rstrip(".")
    return f"{beat.numerator}/{beat.denominator}={bpm}"


def _key(key: str) -> str:
    if not key:
        return "none"
    tonic = key.strip()[:2] if key.strip()[1:2] in ("#", "b", "♯", "♭") else key.strip()[:1]
    mode = parse_tonality(key)[1]
    return tonic[0].upper() + tonic[1:].replace("♯", "#").replace("♭", "b") + _MODES.get(mode, mode[:3])


def _write_repeats(sections: Sequence[Section]) -> list[Section]:
    """Writes repeated sections with repeat signs if they have no other signs, or else several times."""
    result = []
    for section in sections:
        if section.repeats == 1 or not section.bars:
            result.append(section)
        elif _can_repeat(section):
            bars = list(section.bars)
            bars[0] = replace(bars[0], repeat_start=True)
            bars[-1] = replace(bars[-1], repeat_end=section.repeats)
            result.append(replace(section, bars=tuple(bars), repeats=1))
        else:
            for copy in range(section.repeats):
                is_last = copy + 1 == section.repeats
                bars = [replace(bar, segno=False, coda=False) if copy else bar for bar in section.bars]
                if not is_last:
                    bars = [replace(bar, jump="", fine=False, to_coda=False) for bar in bars]
                result.append(replace(section, bars=tuple(bars), repeats=1))
    return [section for section in result if section.bars]


def _can_repeat(section: Section) -> bool:
    changes = any(bar.tempos or bar.key or bar.time_signature for bar in section.bars)
    chords = [chord for bar in section.bars for chord in bar.chords]
    starts_with_chord = not chords or bool(section.bars[0].chords and not section.bars[0].chords[0].start)
    return all(bar.is_plain for bar in section.bars) and not changes and starts_with_chord and not section.fill


def _with_starts(sections: Sequence[Section]) -> list[Section]:
    """Marks the beginnings of repeated passages that the sheet leaves implicit: after the passage before."""
    bars = [bar for section in sections for bar in section.bars]
    marked: set[int] = set()
    start, is_written = 0, False
    for index, bar in enumerate(bars):
        if bar.repeat_start:
            start, is_written = index, True
        if bar.repeat_end and not is_written:
            marked.add(start)
            is_written = True
        following = bars[index + 1] if index + 1 < len(bars) else None
        if (bar.repeat_end or bar.ending_stop) and not (following is not None and following.endings):
            start, is_written = index + 1, False
    counted = iter(range(len(bars)))
    return [
        replace(section, bars=tuple(replace(bar, repeat_start=True) if next(counted) in marked else bar
                                    for bar in section.bars))
        for section in sections
    ]  # fmt: skip


def _bar_line(bar: Bar, following: Bar | None, in_ending: bool, is_last: bool) -> str:
    """The bar line after a bar, with the numbers of the ending that begins in the same line of text."""
    # With endings, their numbers tell how often the passage is played.
    count = min(bar.repeat_end, 2) if in_ending else bar.repeat_end
    ends = ":" * (count - 1) if count > 1 else ""
    begins = ":" if following is not None and following.repeat_start else ""
    numbers = _numbers(following) if following is not None and following.endings and not is_last else ""
    if begins and numbers:
        numbers = f" [{numbers}"
    if ends or begins:
        return f" {ends}|{begins}{numbers}"
    if following is None:
        return " |]"
    return " ||" if bar.ending_stop and not following.endings else f" |{numbers}"


def _numbers(bar: Bar) -> str:
    return ",".join(map(str, bar.endings))


# Bars


class _Piece(NamedTuple):
    """A note, or a rest, between two positions of a bar without a change of chord or tempo in between."""

    start: Fraction
    end: Fraction
    note: Note | None
    continues: bool  # whether the note continues after this piece


@dataclass
class _BarWriter:
    key: str
    time_signature: TimeSignature
    accidentals: set[str] = field(default_factory=set)  # letters with an accidental in this bar

    def write(self, bar: Bar, is_first: bool, is_line_start: bool) -> tuple[str, list[str]]:
        r"""
        Writes a bar.

        Args:
            bar ([`Bar`]): the bar.
            is_first (`bool`): whether it is the first one of the tune, before which no bar line has been written.
            is_line_start (`bool`): whether it begins a line; otherwise the bar line before it has the numbers of its ending.

        Returns:
            `tuple[str, list[str]]`: the bar without its bar line at the end, and the syllables of its notes.
        """
        self.accidentals = set()
        parts = []
        if bar.endings and (is_first or is_line_start):
            parts.append(f"[{_numbers(bar)}")
        elif is_first and bar.repeat_start:
            parts.append("|:")
        if bar.time_signature is not None:
            self.time_signature = bar.time_signature
            parts.append(f"[M:{bar.time_signature}]")
        if bar.key:
            self.key = bar.key
            parts.append(f"[K:{_key(bar.key)}]")
        parts += [f"!{name}!" for name in ("segno", "coda") if getattr(bar, name)]
        marks: dict[Fraction, str] = {}
        for tempo in bar.tempos:
            marks[tempo.start] = marks.get(tempo.start, "") + f"[Q:{_tempo(tempo)}]"
        for label, start in bar.chords:
            marks[start] = marks.get(start, "") + f'"{_chord(label)}"'
        pieces = _split(bar, sorted(marks))
        missing = self.time_signature.length - bar.length
        offset = missing if missing > 0 and (is_first or bar.repeat_start) else Fraction(0)
        parts += self._write_pieces(pieces, marks, offset)
        parts += [f"!{sign}!" for name, sign in (("to_coda", "dacoda"), ("fine", "fine")) if getattr(bar, name)]
        if bar.jump:
            parts.append(f"!{_SHORTHANDS[bar.jump]}!")
        return " ".join(parts), [_syllable(piece) for piece in pieces if piece.note is not None]

    def _write_pieces(self, pieces: Sequence[_Piece], marks: dict[Fraction, str], offset: Fraction) -> list[str]:
        """Writes notes and rests. Notes of one beam are one word; `offset` is the position of the first one."""
        words: list[str] = []
        beat = self.time_signature.beat
        beam = None  # number of the beat whose notes are joined
        for group in _groups(pieces):
            odd = max(_odd_part(piece.end - piece.start) for piece in group)
            scale = Fraction(1)
            prefix = ""
            instead = 1 << (odd.bit_length() - 1)
            if 1 < odd <= _LARGEST_TUPLET and all(odd % _odd_part(piece.end - piece.start) == 0 for piece in group):
                scale = Fraction(odd, instead)
                prefix = f"({odd}:{instead}:{len(group)}"
            for piece in group:
                length = (piece.end - piece.start) * scale
                text = marks.get(piece.start, "") + prefix + self._note(piece.note)
                text += _length(length / _UNIT) + ("-" if piece.continues else "")
                number = (piece.start + offset) // beat if piece.note is not None and length < 1 else None
                if number is not None and number == beam:
                    words[-1] += text
                else:
                    words.append(text)
                beam = number
                prefix = ""
        return words

    def _note(self, note: Note | None) -> str:
        if note is None:
            return "z"
        name = note_name(note.pitch % 12, self.key)
        letter, alteration = name[0], name.count("#") - name.count("b")
        octave = (note.pitch - alteration - 60 - _NATURAL[letter]) // 12
        accidental = ""
        if alteration != signature_of(self.key).get(letter, 0) or letter in self.accidentals:
            accidental = _SIGNS[alteration]
            self.accidentals.add(letter)
        if octave >= 1:
            return accidental + letter.lower() + "'" * (octave - 1)
        return accidental + letter + "," * -octave


def _split(bar: Bar, positions: Sequence[Fraction]) -> list[_Piece]:
    """The notes and rests of a bar in order, split where chords and tempos change."""
    spans: list[tuple[Fraction, Fraction, Note | None]] = []
    now = Fraction(0)
    notes = _monophonic(bar.notes)
    for note in notes:
        if note.start > now:
            spans.append((now, note.start, None))
        spans.append((note.start, note.end, note))
        now = note.end
    if now < bar.length:
        spans.append((now, bar.length, None))
    pieces = []
    for start, end, sounding in spans:
        cuts = [start, *(position for position in positions if start < position < end), end]
        limits = [point for first, last in zip(cuts, cuts[1:]) for point in _notatable(first, last)]
        for number, (first, last) in enumerate(zip([start, *limits], limits)):
            continues = sounding is not None and (number + 1 < len(limits) or sounding.tied)
            lyric = sounding.lyric if sounding is not None and not number else ""
            pieces.append(_Piece(first, last, sounding and sounding._replace(lyric=lyric), continues))
    return pieces


def _monophonic(notes: Sequence[Note]) -> list[Note]:
    """One note at a time: the highest one of those that begin together, until the next one begins."""
    result: list[Note] = []
    for note in sorted(notes, key=lambda note: (note.start, -note.pitch)):
        if result and note.start == result[-1].start:
            continue
        if result and result[-1].end > note.start:
            result[-1] = result[-1]._replace(length=note.start - result[-1].start, tied=False)
        result.append(note)
    for number, (note, following) in enumerate(zip(result, result[1:])):
        if note.tied and (following.pitch != note.pitch or following.start != note.end):
            result[number] = note._replace(tied=False)
    return result


def _notatable(start: Fraction, end: Fraction) -> list[Fraction]:
    """The ends of the notes, tied, that fill a length; one note if its length has at most two dots."""
    points: list[Fraction] = []
    while True:
        length = (end - start) / _UNIT
        odd = length.numerator
        while odd and odd % 2 == 0:
            odd //= 2
        if odd in _WHOLE or _odd_part(end - start) > 1:
            return [*points, end]
        start += _UNIT * Fraction(1 << (length.numerator.bit_length() - 1), length.denominator)
        points.append(start)


def _groups(pieces: Sequence[_Piece]) -> list[list[_Piece]]:
    """Groups pieces so that tuplets end where the position is a multiple of a binary fraction of a beat."""
    groups: list[list[_Piece]] = []
    is_open = False
    for piece in pieces:
        if is_open:
            groups[-1].append(piece)
        else:
            groups.append([piece])
        is_open = _odd_part(piece.end) > 1
    return groups


def _odd_part(value: Fraction) -> int:
    """The largest odd divisor of the denominator."""
    denominator = value.denominator
    return denominator // (denominator & -denominator)


def _length(value: Fraction) -> str:
    if value == 1:
        return ""
    if value.denominator == 1:
        return str(value.numerator)
    numerator = "" if value.numerator == 1 else str(value.numerator)
    return f"{numerator}/" if value.denominator == 2 else f"{numerator}/{value.denominator}"


def _chord(label: str) -> str:
    if is_no_chord(label):
        return "N.C."
    if ":" in label:
        plain, difference = normalize_chord(label)
        label = plain if difference is None else label
    return label.replace('"', "")


def _syllable(piece: _Piece) -> str:
    lyric = piece.note.lyric if piece.note is not None else ""
    if not lyric:
        return "*"
    text = re.sub(r"[*_|]", "", lyric.strip())
    body = text[:-1] if text.endswith("-") else text
    text = _plain(body).replace("-", "\\-").replace(" ", "~") + text[len(body) :]
    return text if body else "*"
