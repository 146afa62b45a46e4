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


r"""
Reads all lead sheets in folders, and reports how many can be read and why others can't:

    python scripts/evaluate_lead_sheets.py collections/OpenEWLD collections/tunebook --round_trips --second_reader

Each tune of an ABC file and of an iReal Pro playlist counts. `--round_trips` writes each sheet in each format and reads it
again. `--second_reader` compares the sheets with those of music21 (MusicXML and ABC) and pretty_midi (MIDI), which have
to be installed: `pip install music21 pretty_midi`. `--output` writes the tables, and the messages with an example each, to
`lead_sheets.md` and `lead_sheets.json`. docs/reports/lead_sheets.md shows results.
"""

import argparse
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from diffusers_jasco.controls.lead_sheet import LeadSheet, read_lead_sheet
from diffusers_jasco.evaluation.lead_sheets import (
    FORMATS,
    Source,
    chords_of,
    compare_midi,
    compare_music21,
    equal,
    find_sources,
)
from diffusers_jasco.evaluation.output import write_json, write_text
from diffusers_jasco.utils.arguments import CommandParser, check_writable, existing, integer
from diffusers_jasco.utils.cli import run_command, without_warnings
from diffusers_jasco.utils.errors import InputError
from diffusers_jasco.utils.optional_imports import import_optional


TARGETS = (".abc", ".musicxml", ".mid", ".json")
SECOND_READERS = {"MusicXML": compare_music21, "ABC": compare_music21, "MIDI": compare_midi}
NUM_MESSAGES = 12


@dataclass
class Row:
    """Results of the sheets of one format in one folder. `counts` has the numbers of round trips and comparisons."""

    format: str
    folder: str
    files: set[Path] = field(default_factory=set)
    sheets: int = 0
    read: int = 0
    seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def fail(self, message: str, example: str):
        self.errors[message] += 1
        self.examples.setdefault(message, example)

    def to_json(self) -> dict[str, Any]:
        return vars(self) | {"files": len(self.files)}

    def share(self, name: str, total: str) -> str:
        """A share in percent, with the count."""
        if not self.counts[total]:
            return ""
        return f"{_percent(self.counts[name], self.counts[total])} of {self.counts[total]:,}"


def _percent(part: int, whole: int) -> str:
    # Only complete agreement is 100%.
    share = 100 * part / whole
    return f"{min(share, 99.99) if part < whole else share:.{0 if part == whole else 2}f}%"


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("folders", type=existing, nargs="+", metavar="FOLDER", help="folders with lead sheets")
    add("--formats", nargs="+", choices=FORMATS, default=list(FORMATS), help="formats to read (default: all)")
    add("--limit", type=integer(1), help="number of sheets per folder and format, evenly spaced (default: all)")
    add("--round_trips", action="store_true", help="write each sheet in each format, and read it again")
    add("--second_reader", action="store_true", help="compare the sheets with those of music21 and pretty_midi")
    add("--output", type=Path, help="folder for lead_sheets.md and lead_sheets.json")
    return parser.parse_args(args)


@without_warnings()
def main(args: list[str] | None = None):
    args = parse_args(args)
    if args.output is not None:
        check_writable(args.output)
    if args.second_reader:
        import_optional("music21")
        import_optional("pretty_midi", "synthetic")
    rows = []
    for folder in args.folders:
        sources: dict[str, list[Source]] = {}
        for source in find_sources(folder, args.formats):
            sources.setdefault(source.format, []).append(source)
        for name in sorted(sources):
            rows.append(row := Row(name, folder.resolve().name))
            for source in tqdm(take(sources[name], args.limit), desc=f"{row.folder}: {name}", unit="sheet"):
                if (sheet := read(source, row)) is None:
                    continue
                if args.round_trips:
                    check_round_trips(source, sheet, row)
                if args.second_reader and name in SECOND_READERS:
                    compare(source, sheet, row)
    if not rows:
        raise InputError(f"There are no lead sheets in {', '.join(map(str, args.folders))}.", "folders")
    rows.sort(key=lambda row: row.format)
    table = write_table(rows)
    print(f"\n{table}")
    if args.output is not None:
        args.output.mkdir(parents=True, exist_ok=True)
        write_text(args.output / "lead_sheets.md", table + "\n")
        write_json(args.output / "lead_sheets.json", [row.to_json() for row in rows])


def take(sources: list[Source], limit: int | None) -> list[Source]:
    """At most `limit` sources, evenly spaced."""
    if limit is None or len(sources) <= limit:
        return sources
    return [sources[index * len(sources) // limit] for index in range(limit)]


def read(source: Source, row: Row) -> LeadSheet | None:
    row.sheets += 1
    row.files.add(source.path)
    start = time.perf_counter()
    try:
        sheet = source.read()
        sheet.duration  # with all repeats
    except (InputError, FileNotFoundError) as error:
        message = str(error).replace(str(source.path), "FILE")
        row.fail(_generalize(message), f"{source.path}: {message}")
        return None
    except Exception as error:  # a bug
        row.fail(f"BUG: {type(error).__name__}", f"{source.path}: {error!r}")
        return None
    finally:
        row.seconds += time.perf_counter() - start
    row.read += 1
    return sheet


def _generalize(message: str) -> str:
    """A message without positions and values, so that equal ones can be counted."""
    message = re.sub(r"^(`source`:? )?(FILE)?[:,]? ?", "", message)
    message = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", message)
    message = re.sub(r"^('…': )?(line|bar|measure) [\d,]+(, column \d+)?: ", "", message)
    return re.sub(r"\d[\d,.]*", "#", message)[:110]


def check_round_trips(source: Source, sheet: LeadSheet, row: Row):
    played = sheet.expand()
    chords, notes = chords_of(played), list(played.melody)
    if not notes and all(chord is None for chord, _ in chords):
        return  # drums only
    for suffix in TARGETS:
        row.counts[f"{suffix} sheets"] += 1
        try:
            with tempfile.TemporaryDirectory() as folder:
                sheet.save(path := Path(folder, f"sheet{suffix}"))
                again = read_lead_sheet(path).expand()
        except Exception as error:
            row.fail(f"BUG: written as {suffix}: {_generalize(str(error))}", f"{source.path}: {error!r}")
            continue
        kept = {"chords": equal(chords_of(again), chords), "notes": equal(list(again.melody), notes)}
        for part, is_kept in kept.items():
            row.counts[f"{suffix} {part}"] += is_kept
            if not is_kept:
                row.examples.setdefault(f"{suffix} {part}", str(source.path))


def compare(source: Source, sheet: LeadSheet, row: Row):
    row.counts["tried"] += 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            counts = SECOND_READERS[source.format](source, sheet)
    except Exception:
        return  # the second reader can't read it
    row.counts["compared"] += 1
    row.counts.update(counts)


# Tables


def write_table(rows: list[Row]) -> str:
    blocks = ["| format | folder | files | sheets | read | refused | seconds |\n" + "| --- " * 7 + "|"]
    for row in rows:
        cells = (
            len(row.files),
            row.sheets,
            _percent(row.read, row.sheets),
            row.sheets - row.read,
            round(row.seconds, 1),
        )
        blocks[0] += f"\n| {row.format} | {row.folder} | {' | '.join(map(str, cells))} |"
    trips = {f"{target} {part}": f"{target} sheets" for target in TARGETS for part in ("chords", "notes")}
    second = {"compared": "tried", "same chords": "all chords", "same notes": "all notes"}
    for title, totals in (("written as", trips), ("second reader", second)):
        lines = [
            f"| {row.format} | {row.folder} | {' | '.join(row.share(*pair) for pair in totals.items())} |"
            for row in rows
            if any(row.counts[total] for total in totals.values())
        ]
        if lines:
            header = f"| {title}: | folder | {' | '.join(totals)} |\n" + "| --- " * (len(totals) + 2) + "|"
            blocks.append("\n".join([header, *lines]))
    messages = [
        f"- {row.format}, {row.folder}: {count} × {message}"
        for row in rows
        for message, count in row.errors.most_common(NUM_MESSAGES)
    ]
    return "\n\n".join([*blocks, "\n".join(messages)]).rstrip()


if __name__ == "__main__":
    sys.exit(run_command(main, "evaluate_lead_sheets"))
