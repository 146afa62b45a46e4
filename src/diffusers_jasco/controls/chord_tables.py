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

"""Annotations with one line per chord: `.lab`, `.csv`, `.tsv` and `.txt` files of any kind."""

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from diffusers.utils import logging

from ..utils.errors import InputError, list_names, shorten
from ..utils.files import read_text
from .chord_labels import FREE_CHORD, NO_CHORD, UNKNOWN_CHORD, is_no_chord, parse_chord, to_harte
from .chord_timeline import Chords
from .field_names import NAMES, Fields, find_fields, warn_of_other_labels


logger = logging.get_logger(__name__)

_NUMBER = re.compile(r"([+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?)(?:\s?s(?:ec)?)?")
_BEGINS_WITH_TIME = re.compile(r"[\"']?[+-]?[.,]?\d")
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,3}):(\d{2}(?:[.,]\d+)?)")
_ROOT = re.compile(r"[A-G](#|b|♯|♭)?")
# Comments, and the frequency lines of Audacity label tracks ("\").
_COMMENTS = ("#", "//", ";", "%", "\\")
_INLINE_COMMENT = re.compile(r"\s+(#\s|#$|//|;|%\s).*")
_MAX_LINES = 200_000
# A day. Larger times are in samples, milliseconds or HTK's units of 100 ns.
_MAX_SECONDS = 86_400
_ROUNDING = 0.02  # seconds; some files round times to hundredths of a second


@dataclass
class _Row:
    line: int
    times: list[float]
    label: str
    recording: str = ""
    further: list[str] = field(default_factory=list)  # the cells after the chord


@dataclass(frozen=True)
class Segment:
    r"""
    A chord with its start and end.

    Args:
        start (`float`): start in seconds.
        end (`float` or `None`): end in seconds; `None` if the chord lasts until the next one.
        label (`str`): the chord.
    """

    start: float
    end: float | None
    label: str


def chords_from_lab(path: str | os.PathLike) -> Chords:
    r"""
    Reads an annotation with one line per chord: `start end chord` or `start chord`, in seconds (also `m:ss` or
    `h:mm:ss`), with tabs, spaces, commas or semicolons between the columns, and decimal points or commas. Header lines
    before the first chord, comments, quotes, columns that a header names, Audacity label tracks and the CSV files of
    Sonic Annotator and Sonic Visualiser, with or without durations, are also supported. Gaps between chords become no
    chord (`N`).

    Args:
        path (`str` or `os.PathLike`): a text file in UTF-8, UTF-16 or Latin-1.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if a line is invalid; the message contains its number.
    """
    return chords_from_table(read_text(path, "chords"), os.fspath(path))


def chords_from_table(text: str, name: str) -> Chords:
    r"""
    Reads the content of a file as [`chords_from_lab`] does.

    Args:
        text (`str`): content of the file.
        name (`str`): name of the file for error messages.
    """
    chords = join_segments(_to_segments(list(_read_rows(text, name)), name))
    if not chords:
        logger.warning(f"`chords`: {name} has no chords.")
    return chords


def chords_to_lab(chords: Chords, path: str | os.PathLike, duration: float):
    """Writes a `.lab` file in the syntax of Harte et al. The last chord ends at `duration` seconds."""
    lines = [f"{start!r}\t{end!r}\t{label}\n" for start, end, label in to_harte_segments(chords, duration)]
    Path(path).write_text("".join(lines), encoding="utf-8")


def to_harte_segments(chords: Chords, duration: float) -> list[tuple[float, float, str]]:
    """The start, the end and the label in Harte syntax of each chord. The last chord ends at `duration` seconds."""
    ends = [*(start for _, start in chords[1:]), duration]
    return [(start, end, to_harte(label)) for (label, start), end in zip(chords, ends)]


def join_segments(segments: list[Segment]) -> Chords:
    """Converts segments in any order to a progression, with no chord (`N`) in gaps."""
    if any(later.start < earlier.start for earlier, later in zip(segments, segments[1:])):
        logger.warning("`chords`: the starts are not in order; the chords were sorted by start.")
        segments = sorted(segments, key=lambda segment: segment.start)
    chords: Chords = []
    for segment, following in zip(segments, [*segments[1:], None]):
        chords.append((segment.label, segment.start))
        if following is not None and segment.end is not None and following.start > segment.end + _ROUNDING:
            chords.append((NO_CHORD, segment.end))
    return chords


def parse_time(text: str) -> float | None:
    """Parses a time in seconds: `2.5`, `2,5`, `2.5e0`, `1:02.5` or `0:01:02.5`. Returns `None` for other text."""
    if number := _NUMBER.fullmatch(text):
        return float(number[1].replace(",", "."))
    clock = _CLOCK.fullmatch(text)
    if clock is None or float(clock[3].replace(",", ".")) >= 60 or (clock[1] and int(clock[2]) >= 60):
        return None
    return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3].replace(",", "."))


def is_label(text: str) -> bool:
    """Whether a text is a chord, no chord (`N`) or an unknown chord (`X`)."""
    return is_no_chord(text) or text in ("X", UNKNOWN_CHORD, FREE_CHORD) or parse_chord(text) is not None


# 1. Lines → rows


def _read_rows(text: str, name: str) -> Iterator[_Row]:
    lines = re.split(r"\r\n|\r|\n", text)
    if len(lines) > _MAX_LINES:
        raise InputError(f"`chords`: {name} has more than {_MAX_LINES} lines.", "chords")
    header: _Header | None = None
    other_header: list[str] = []
    started, end_line = False, None
    for number, line in enumerate(lines, start=1):
        line = line.strip(" ")
        if not line.strip() or line.lstrip().startswith(_COMMENTS):
            continue
        if end_line is not None:
            _reject(end_line, name, lines[end_line - 1])
        if header and _is_of_another_type(line, header):
            continue
        row = _read_named(line, header) if header else None
        row = row or _read_row(line)
        if row is not None:
            started, row.line = True, number
            yield row
        elif started and parse_time(line.strip()) is not None:
            end_line = number  # the end of the annotation, which has to be the last line
        elif started or _BEGINS_WITH_TIME.match(line):
            if not header and any(len(cells) == len(other_header) for cells, in_columns in _split(line) if in_columns):
                _reject_header(other_header, name)
            _reject(number, name, line)
        elif not header:
            header = _read_header(line)
            warn_of_other_labels(header.fields if header else None)
            other_header = other_header or next((cells for cells, in_columns in _split(line) if in_columns), [])


def _reject(number: int, name: str, line: str):
    raise InputError(
        f"`chords`: line {number} of {name} has to be 'start end chord' or 'start chord' with times in seconds, but is"
        f" {shorten(line)}.",
        "chords",
    )


def _reject_header(cells: list[str], name: str):
    raise InputError(
        f"`chords`: {name} has the columns {list_names([repr(cell) for cell in cells])}. Its header has to name a"
        f" column of starts in seconds (such as {list_names(NAMES['start'], 4)}) and a column of chords (such as"
        f" {list_names(NAMES['label'], 4)}).",
        "chords",
    )


def _split(line: str) -> Iterator[tuple[list[str], bool]]:
    """
    Yields the cells of a line for each possible separator, the most reliable one first, and whether the separator is
    unambiguous (not spaces).
    """
    if "\t" in line:
        yield [_unquote(cell) for cell in line.split("\t")], True
    if ";" in line:
        yield _split_quoted(line, ";"), True
    if "," in line:
        yield _split_quoted(line, ","), True
    yield [_unquote(cell) for cell in line.split()], False


def _split_quoted(line: str, separator: str) -> list[str]:
    # Commas in parentheses belong to the chord: C:maj(9,11).
    guarded = re.sub(r"\([^()]*\)", lambda match: match[0].replace(separator, "\0"), line)
    try:
        cells = next(csv.reader([guarded], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return []
    return [_unquote(cell.replace("\0", separator)) for cell in cells]


def _unquote(cell: str) -> str:
    cell = cell.strip()
    return cell[1:-1].strip() if len(cell) > 1 and cell[0] == cell[-1] and cell[0] in "\"'" else cell


def _read_row(line: str) -> _Row | None:
    rows = (_to_row(cells, in_columns) for cells, in_columns in _split(line))
    return next((row for row in rows if row is not None), None)


def _to_row(cells: list[str], in_columns: bool) -> _Row | None:
    """Parses cells: an optional name of the recording, up to three numbers, and the chord; or the chord first."""
    numeric = [parse_time(cell) for cell in cells]
    first = next((index for index, time in enumerate(numeric) if time is not None), None)
    if first is None:
        return None
    last = next((index for index in range(first, len(cells)) if numeric[index] is None), len(cells))
    times = [time for time in numeric[first:last] if time is not None]
    before = [cell for cell in cells[:first] if cell]
    label, *further = [cell for cell in cells[last:] if cell] or [""]
    if len(times) > 3 or len(before) > 1 or label[:1].isdigit():
        return None
    if not label:
        if before:
            return _Row(0, times, before[0]) if is_label(before[0]) else None  # chord first
        return _Row(0, times, "") if last < len(cells) else None  # empty chord cell
    if before and (not in_columns or is_label(before[0])):
        return None
    recording = before[0] if before else ""
    if not in_columns and further:
        words = _INLINE_COMMENT.sub("", " ".join([label, *further]))
        if is_label(words) and re.fullmatch(r"[^\s]+( [A-Za-z]+)*", words):
            return _Row(0, times, words)  # C major
        # Additional cells may be numbers, such as a confidence, but not words.
        if not is_label(label) or any(parse_time(cell) is None for cell in further):
            return None
    return _Row(0, times, label, recording, further)


def is_table(text: str) -> bool:
    """Whether a text has a line with a time and a chord, or a line that starts with a time."""
    lines = [line.strip(" ") for line in re.split(r"[\r\n]+", text)]
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith(_COMMENTS)][:200]
    return any(_BEGINS_WITH_TIME.match(line) or _read_row(line) is not None for line in lines)


@dataclass(frozen=True)
class _Header:
    """The column names of a table."""

    cells: list[str]
    fields: Fields

    def read(self, cells: list[str], name: str | None) -> float | None:
        """The time in the column `name` of a row, in seconds."""
        time = None if name is None else parse_time(cells[self.cells.index(name)])
        return None if time is None else time / self.fields.per_second


def _read_header(line: str) -> _Header | None:
    """Parses a header line. Returns `None` if it does not name a start and a chord column."""
    for cells, _ in _split(line):
        if fields := find_fields(tuple(cells)):
            return _Header(cells, fields)
    return None


def _is_of_another_type(line: str, header: _Header) -> bool:
    """Whether the type column of a line says that it is not a chord, but, for example, a key or a beat."""
    column = next((index for index, cell in enumerate(header.cells) if cell.strip().lower() == "type"), None)
    cells = next((cells for cells, _ in _split(line) if len(cells) == len(header.cells)), None)
    return column is not None and cells is not None and "chord" not in cells[column].lower()


def _read_named(line: str, header: _Header) -> _Row | None:
    fields = header.fields
    for cells, _ in _split(line):
        if len(cells) != len(header.cells):
            continue
        start = header.read(cells, fields.start)
        if start is None:
            continue
        times = [start]
        if fields.end is not None or fields.duration is not None:
            value = header.read(cells, fields.end or fields.duration)
            if value is None:
                continue
            times.append(value if fields.end is not None else start + value)
        return _Row(0, times, cells[header.cells.index(fields.label)])
    return None


# 2. Rows → segments


def _to_segments(rows: list[_Row], name: str) -> list[Segment]:
    recordings = sorted({row.recording for row in rows if row.recording})
    if len(recordings) > 1:
        raise InputError(
            f"`chords`: {name} has the chords of {len(recordings)} recordings ({shorten(recordings[0])}, ...). Use a"
            " file with the chords of one recording.",
            "chords",
        )
    # An empty label means no chord if lines have ends; otherwise the previous chord continues.
    empty = [row for row in rows if not row.label]
    if empty and not (len(empty) == 1 and empty[0] is rows[-1]):
        logger.warning(
            f"`chords`: {len(empty)} line(s) of {name} have no chord; the first one is line {empty[0].line}."
        )
    chosen = _join_qualities(_choose_times([row for row in rows if row.label]))
    ignored = next((row.further[0] for row in chosen if row.further), None)
    if ignored is not None:
        logger.warning(f"`chords`: columns of {name} after the chord, such as {shorten(ignored)}, are ignored.")
    rows = chosen
    has_durations = _has_durations(rows)
    segments = []
    for row in rows:
        start, *rest = row.times
        end = (start + rest[0] if has_durations else rest[0]) if rest else None
        if start > _MAX_SECONDS:
            raise InputError(
                f"`chords`: line {row.line} of {name}: the times have to be in seconds, but this one is {start:g}.",
                "chords",
            )
        if end is not None and not start <= end:
            raise InputError(
                f"`chords`: line {row.line} of {name}: the chord has to start before it ends, but lasts from {start:g}"
                f" to {end:g} s.",
                "chords",
            )
        segments.append(Segment(start, None if end == start else end, row.label))
    return segments


def _choose_times(rows: list[_Row]) -> list[_Row]:
    """
    Reduces the times of rows to the start and, if present, the end or duration, without columns that count in whole
    numbers.
    """
    first = [row.times[0] for row in rows]
    if len(rows) > 1 and first[0] in (0, 1) and _counts(first):
        # The first column counts rows or bars, and the starts are in another column, before or after the chord.
        if _follow_a_count(first, [row.times[1:] for row in rows]):
            return [replace(row, times=row.times[1:]) for row in rows]
        after = [[time for time in map(parse_time, row.further[:2]) if time is not None] for row in rows]
        if all(len(row.times) == 1 for row in rows) and _are_times_after(first, after):
            return [replace(row, times=times, further=row.further[len(times) :]) for row, times in zip(rows, after)]
    if _are_bars([row.times for row in rows]):
        return [replace(row, times=row.times[:1]) for row in rows]
    return [replace(row, times=row.times[:2]) for row in rows]


def _join_qualities(rows: list[_Row]) -> list[_Row]:
    """Joins the root and the quality of chords if they are in two columns."""
    roots = [row for row in rows if not is_no_chord(row.label)]
    if any(not row.further or not _ROOT.fullmatch(row.label) for row in roots):
        return rows
    if not any(parse_time(row.further[0]) is None for row in roots):
        return rows  # the other column has confidences
    labels = {row.line: f"{row.label}:{row.further[0]}" for row in roots}
    if not all(is_label(label) for label in labels.values()):
        return rows
    return [replace(row, label=labels.get(row.line, row.label), further=row.further[1:]) for row in rows]


def _counts(values: list[float]) -> bool:
    return all(value.is_integer() for value in values) and all(
        earlier <= later for earlier, later in zip(values, values[1:])
    )


def _follow_a_count(count: list[float], rest: list[list[float]]) -> bool:
    """
    Whether the first column is an index and the times are in the columns after it: they do not fit as ends of the
    first column, or there are two of them.
    """
    if not all(rest):
        return False
    starts = [times[0] for times in rest]
    rising = all(earlier < later for earlier, later in zip(starts, starts[1:]))
    if late := sum(start < number for start, number in zip(starts, count)):
        return _are_intervals(rest) or (rising and (_counts_rows(count) or late > len(rest) / 2))
    if not _counts_rows(count) or _are_bars([[number, *times] for number, times in zip(count, rest)]):
        return False
    if all(len(times) == 2 for times in rest):
        return _are_intervals(rest)
    touching = any(abs(start - number) <= _ROUNDING for start, number in zip(starts, count[1:]))
    return len(count) > 2 and rising and not touching


def _are_times_after(count: list[float], rest: list[list[float]]) -> bool:
    """Whether the numbers after the chord are its times, as opposed to its confidence."""
    if len({len(times) for times in rest}) != 1 or not rest[0] or rest[-1][0] <= 1:
        return False
    if len(rest[0]) == 2:
        return _are_intervals(rest)
    return _counts_rows(count) and rest[0][0] <= 1 and _follow_a_count(count, rest)


def _counts_rows(values: list[float]) -> bool:
    return all(later - earlier == 1 for earlier, later in zip(values, values[1:]))


def _are_intervals(times: list[list[float]]) -> bool:
    """Whether all rows have ordered starts and ends, or starts and durations that last until the next start."""
    if any(len(row) != 2 for row in times):
        return False
    pairs = list(zip(times, times[1:]))
    lasting = all(abs(sum(row) - following[0]) <= _ROUNDING for row, following in pairs)
    return lasting or (
        all(start < end for start, end in times)
        and all(row[1] <= following[0] + _ROUNDING for row, following in pairs)
    )


def _are_bars(times: list[list[float]]) -> bool:
    """Whether the columns after the start are bar numbers, or bar and beat numbers, instead of ends or durations."""
    if len({len(row) for row in times}) != 1 or len(times) < 2 or len(times[0]) < 2:
        return False
    bars = [row[1] for row in times]
    if (
        bars[0] not in (0, 1)
        or not _counts(bars)
        or not all(number.is_integer() for row in times for number in row[1:])
    ):
        return False
    if _are_intervals([row[:2] for row in times]):
        return False
    late = sum(row[1] < row[0] for row in times)
    return late > len(times) / 2 or len(times[0]) == 3


def _has_durations(rows: list[_Row]) -> bool:
    """Whether the second column has durations instead of ends, so that chords end where the next one starts."""
    pairs = [(row.times, following.times[0]) for row, following in zip(rows, rows[1:]) if len(row.times) == 2]
    ends = sum(abs(times[1] - following) <= _ROUNDING for times, following in pairs)
    durations = sum(abs(times[0] + times[1] - following) <= _ROUNDING for times, following in pairs)
    return durations > ends and durations >= 0.8 * len(pairs)
