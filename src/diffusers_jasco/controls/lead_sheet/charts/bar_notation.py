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

"""Bar notation, as in chord charts and ChordPro grids: `|: C . G/B . | Am | F % :| x2`."""

import re
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NoReturn

from ....utils.errors import InputError, shorten
from ..bars import MAX_REPEATS, Bar, ChordMark, TempoMark, TimeSignature
from ..form_words import jump_name, parse_ending_numbers
from ..keys import transpose_chord, transpose_key
from ..order import MAX_BARS
from .chords import read_label


_MAX_CELLS = 256  # per bar

_REPLACED = {"‖": "||", "𝄆": "|:", "𝄇": ":|", "𝄀": "|", "𝄁": "||", "𝄂": "|", "¦": "|", "𝄎": "%",
             "𝄏": "%%"}  # fmt: skip
_BAR_LINE = re.compile(
    r"(?P<close>:\s*)?\|+(?:\s?\|)?[\].]?(?P<open>\s?:(?!\s*\|))?"
    r"(?:\s?\[?(?P<endings>\d{1,2}(?:\s?[,.–-]\s?\d{1,2})*)[.)>:]?(?=\s|$))?"
)
_ENDINGS_ALONE = re.compile(r"\[(\d{1,2}(?:[,–-]\d{1,2})*)\.?(?=\s)")
_COUNT = re.compile(r"[(\[]?(?:[x×*]\s?(\d{1,3})|(\d{1,3})\s?[x×])[)\]]?(?=[\s|]|$)", re.IGNORECASE)
_JUMP = re.compile(r"\(?\b(D\.\s?[CS]\.|da capo|dal segno)(?:\s+al\s+(fine|coda))?\)?(?=[\s|]|$)", re.IGNORECASE)
_SIGN = re.compile(r"\(?(to coda|al coda|segno|coda|fine|𝄋|𝄌)\)?(?=[\s|]|$)", re.IGNORECASE)
_CELL = re.compile(r"(?:(?!:\s*\|)[^\s|])+")
_HOLD = ("", ".", "/", "-", "–", "\\", "_")


@dataclass
class Cell:
    """One entry of a bar: a chord, `.` (hold) or `%` (repeat)."""

    text: str
    column: int


@dataclass
class Measure:
    """A bar as written. `line` and `column` say where it begins."""

    line: int = 0
    column: int = 0
    cells: list[Cell] = field(default_factory=list)
    repeat_start: bool = False
    repeat_end: int = 0
    endings: tuple[int, ...] = ()
    segno: bool = False
    coda: bool = False
    to_coda: bool = False
    fine: bool = False
    jump: str = ""


def parse_row(text: str, name: str, line: int, first_column: int = 1) -> list[Measure]:
    r"""
    Splits a line of bar notation into bars. A line break ends a bar.

    Args:
        text (`str`): the line.
        name (`str`): the source, for error messages.
        line (`int`): the number of the line.
        first_column (`int`): the column of its first character.

    Returns:
        `list` of [`Measure`]. The first may have no cells if a repeat sign belongs to the bar of the line before.

    Raises:
        [`InputError`]: if a passage is repeated more than 100 times or a bar has more than 256 entries.
    """
    for sign, plain in _REPLACED.items():
        text = text.replace(sign, plain)
    return _RowParser(name, line, first_column).parse(text)


def input_error(name: str, line: int, column: int, problem: str) -> InputError:
    """An error at a position of a chart."""
    return InputError(f"`source`: {name}, line {line}, column {column}: {problem}", "source")


class _RowParser:
    def __init__(self, name: str, line: int, first_column: int):
        self.name, self.line, self.first_column = name, line, first_column
        self.measures: list[Measure] = []
        self.current = Measure(line, first_column)
        self.count: int | None = None  # "x3" at the end
        self.after_repeat = False

    def parse(self, text: str) -> list[Measure]:
        position = 0
        while position < len(text):
            if text[position].isspace():
                position += 1
            else:
                position = self._take(text, position)
        if self.current.cells:
            self._close()
        elif _has_signs(self.current):
            self.measures.append(self.current)
        if self.count is not None:
            self._repeat_row()
        return self.measures

    def _take(self, text: str, position: int) -> int:
        column = self.first_column + position
        if match := _BAR_LINE.match(text, position):
            self._take_bar_line(match)
        elif match := _ENDINGS_ALONE.match(text, position):
            self.current.endings = parse_ending_numbers(match[1])
        elif match := _COUNT.match(text, position):
            count = int(match[1] or match[2])
            if not 1 <= count <= MAX_REPEATS:
                raise self._error(column, f"{match[0]!r} has to repeat 1 to {MAX_REPEATS} times.")
            if self.after_repeat and self.measures and not self.current.cells:
                self.measures[-1].repeat_end = count
            else:
                self.count = count
        elif match := _JUMP.match(text, position):
            self._last().jump = jump_name(match[1], match[2])
        elif match := _SIGN.match(text, position):
            self._take_sign(match[1].lower())
        else:
            match = _CELL.match(text, position)
            if match is None:  # a colon before a bar line
                return position + 1
            self._take_cell(match[0], column)
        return match.end()

    def _take_bar_line(self, match: re.Match):
        if self.current.cells:
            self._close()
        self.after_repeat = False
        if match["close"]:
            if not self.measures:
                self.measures.append(Measure(self.line, self.first_column + match.start()))
            self.measures[-1].repeat_end = 2
            self.after_repeat = True
        self.current.column = self.first_column + match.end()
        if match["open"]:
            self.current.repeat_start = True
        if match["endings"]:
            self.current.endings = parse_ending_numbers(match["endings"])

    def _take_sign(self, name: str):
        if name in ("segno", "𝄋"):
            self.current.segno = True
        elif name in ("to coda", "al coda"):
            self._last().to_coda = True
        elif name in ("coda", "𝄌"):
            self.current.coda = True
        else:
            self._last().fine = True

    def _take_cell(self, text: str, column: int):
        self.after_repeat = False
        if not self.current.cells:
            self.current.column = column
        if len(self.current.cells) >= _MAX_CELLS:
            raise self._error(column, f"a bar can't have more than {_MAX_CELLS} chords.")
        text = text.strip(",;") or "."
        chord = text.rstrip("./\\")
        holds = text[len(chord) :]
        is_held = len(holds) > 1 or (holds == "." and chord)
        if is_held and not re.fullmatch(r"(?i)n\.?c\.", text) and text not in _HOLD:
            if chord:
                self.current.cells.append(Cell(chord, column))
            self.current.cells.extend(Cell(".", column) for _ in holds[:_MAX_CELLS])
        else:
            self.current.cells.append(Cell(text, column))

    def _error(self, column: int, problem: str) -> InputError:
        return input_error(self.name, self.line, column, problem)

    def _last(self) -> Measure:
        """The bar at whose end a sign is."""
        return self.current if self.current.cells or not self.measures else self.measures[-1]

    def _close(self):
        self.measures.append(self.current)
        self.current = Measure(self.line)

    def _repeat_row(self):
        count = self.count or 1
        rows = [measure for measure in self.measures if measure.cells]
        if not rows or count == 1:
            return
        if any(measure.repeat_start or measure.repeat_end or measure.endings for measure in rows):
            if len(rows) * count > MAX_BARS:
                raise self._error(self.first_column, f"the line has more than {MAX_BARS:,} bars with its repeats.")
            self.measures = [replace(measure) for _ in range(count) for measure in self.measures]
        else:
            rows[0].repeat_start, rows[-1].repeat_end = True, count


def _has_signs(measure: Measure) -> bool:
    return replace(measure, line=0, column=0) != Measure()


class BarList:
    r"""
    Bars of a lead sheet while a chart is read.

    Args:
        name (`str`): the source, for error messages.
        time_signature ([`TimeSignature`]): the time signature at the beginning.
    """

    def __init__(self, name: str, time_signature: TimeSignature = TimeSignature(4, 4)):
        self.name = name
        self.time_signature = time_signature
        self.first_signature = time_signature
        self.notation = ""  # of the note names
        self.key = ""  # as written
        self.transposition = 0  # semitones
        self.bars: list[Bar] = []
        self.chord: str | None = None
        self.changes: dict = {}  # fields of the next bar

    def change(self, **fields):
        """Sets fields of the next bar, such as `time_signature`."""
        if signature := fields.get("time_signature"):
            self.time_signature = signature
            if not self.bars:
                self.first_signature = fields.pop("time_signature")
        self.changes.update(fields)

    def add_chord(self, label: str):
        """Adds a bar with one chord."""
        self._append((ChordMark(label),))

    def add_measure(self, measure: Measure):
        r"""
        Adds a bar as written.

        Args:
            measure ([`Measure`]): the bar.

        Raises:
            [`InputError`]: if a cell is not a chord, or there is nothing that it could repeat or hold.
        """
        if not measure.cells:
            self._add_signs(measure)
            return
        texts = [cell.text for cell in measure.cells]
        rest_is_held = all(text in _HOLD for text in texts[1:])
        if texts[0] in ("%", "%%") and rest_is_held:
            count = len(texts[0])
            if len(self.bars) < count:
                self.fail(
                    measure,
                    measure.cells[0],
                    f"has no {'previous bar' if count == 1 else 'two previous bars'} to repeat",
                )
            for index, bar in enumerate(self.bars[-count:]):
                self._append(bar.chords, Measure() if index else measure, length=bar.length if index else None)
            return
        self._append(self._place(measure), measure)

    def _place(self, measure: Measure) -> tuple[ChordMark, ...]:
        """The chords of a bar, which divide it equally."""
        chords: list[ChordMark] = []
        step = self.time_signature.length / len(measure.cells)
        for index, cell in enumerate(measure.cells):
            if cell.text in _HOLD or (cell.text in ("%", "%%") and index):
                if index or chords:
                    continue
                if self.chord is None:
                    self.fail(measure, cell, "has no previous chord to hold")
                chords.append(ChordMark(self.chord))
                continue
            parts = [part for part in cell.text.split("~") if part]
            for number, part in enumerate(parts):
                start = (index + Fraction(number, len(parts))) * step
                label = self.read(part)
                if label is None:
                    self.fail(measure, cell, "is not a chord", part)
                chords.append(ChordMark(label, start))
                self.chord = label
        return tuple(chords)

    def read(self, text: str) -> str | None:
        """Reads a chord and transposes it; `None` if it is not a chord."""
        label = read_label(text, self.notation)
        if label is not None and self.transposition:
            label = transpose_chord(label, self.transposition, transpose_key(self.key, self.transposition))
        return label

    def fail(self, measure: Measure, cell: Cell, problem: str, text: str | None = None) -> NoReturn:
        raise input_error(
            self.name,
            measure.line,
            cell.column,
            f"{shorten(text or cell.text)} {problem}. Bars contain chords such as 'Am7' or 'C/G', '.' to hold the"
            " previous chord, 'N.C.' for no chord, or '%' to repeat the previous bar: '| C . G7 . | % |'.",
        )

    def _append(self, chords: tuple[ChordMark, ...], measure: Measure = Measure(), length: Fraction | None = None):
        length = length or self.time_signature.length
        chords = tuple(mark for mark in chords if mark.start < length)
        if len(self.bars) >= MAX_BARS:
            raise InputError(f"`source`: {self.name} has more than {MAX_BARS:,} bars, which is the limit.", "source")
        signs = {
            name: value
            for name in ("repeat_start", "repeat_end", "endings", "segno", "coda", "to_coda", "fine", "jump")
            if (value := getattr(measure, name))
        }
        self.bars.append(Bar(length, chords, **{**self.changes, **signs}))
        self.changes = {}
        if chords:
            self.chord = chords[-1].label

    def _add_signs(self, measure: Measure):
        """Adds the signs of a bar without chords: those at the end to the last bar, the others to the next one."""
        if self.bars:
            last = self.bars[-1]
            self.bars[-1] = replace(
                last,
                repeat_end=measure.repeat_end or last.repeat_end,
                to_coda=measure.to_coda or last.to_coda,
                fine=measure.fine or last.fine,
                jump=measure.jump or last.jump,
            )
        for name in ("repeat_start", "endings", "segno", "coda"):
            if value := getattr(measure, name):
                self.changes[name] = value


_TEMPO = re.compile(
    r"(?:(?P<unit>\d+/\d+|[♩♪𝅗𝅥qeh]\.?|(?:dotted[ -])?(?:quarter|eighth|half)(?:[ -]note)?)\s*=\s*)?"
    r"(?:ca?\.?\s*|~\s*)?(?P<bpm>\d{1,4}(?:[.,]\d+)?)\s*(?:-\s*\d+\s*)?(?:bpm|beats per minute)?",
    re.IGNORECASE,
)
_UNITS = {"♩": Fraction(1), "q": Fraction(1), "♪": Fraction(1, 2), "e": Fraction(1, 2), "h": Fraction(2)}


def parse_tempo(text: str, beat: Fraction) -> TempoMark | None:
    r"""
    Parses a tempo: `"120"`, `"120 bpm"`, `"q.=60"`, `"3/8=60"`, `"♩ = 96"`.

    Args:
        text (`str`): the tempo.
        beat (`Fraction`): length of a beat in quarter notes if the text has no note value.

    Returns:
        [`TempoMark`], or `None` if the text is not a tempo of 20 to 400 beats per minute.
    """
    match = _TEMPO.fullmatch(text.strip())
    if match is None:
        return None
    bpm = float(match["bpm"].replace(",", "."))
    unit = beat
    if name := (match["unit"] or "").lower():
        if "/" in name:
            numerator, denominator = map(int, name.split("/"))
            if not 0 < denominator <= 64 or not 0 < numerator <= 64:
                return None
            unit = Fraction(4 * numerator, denominator)
        else:
            first = name.removeprefix("dotted").strip(" -")[0]
            unit = _UNITS.get(first, Fraction(2)) * (Fraction(3, 2) if "dotted" in name or name.endswith(".") else 1)
    return TempoMark(bpm, unit) if 20 <= bpm <= 400 and 5 <= bpm * unit <= 1600 else None
