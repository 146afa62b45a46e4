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

"""Collections of lead sheets: the sheets of a folder, and comparisons with other libraries that read them."""

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from ..controls.chord_syntax import is_no_chord, parse_chord
from ..controls.lead_sheet import LeadSheet, read_lead_sheet
from ..controls.lead_sheet.abc.reader import read_abc
from ..controls.lead_sheet.abc.text import is_abc, split_tunes
from ..controls.lead_sheet.charts.chordpro import is_chordpro
from ..controls.lead_sheet.charts.ireal import is_ireal, list_tunes
from ..controls.lead_sheet.json_format import FORMAT
from ..controls.lead_sheet.musicxml.file import MUSICXML_SUFFIXES, is_musicxml
from ..controls.lead_sheet.playback import Clock
from ..controls.midi import MIDI_SUFFIXES
from ..utils.errors import InputError
from ..utils.files import read_text
from ..utils.optional_imports import import_optional


SUFFIXES = {
    **dict.fromkeys(MUSICXML_SUFFIXES, "MusicXML"),
    **dict.fromkeys(MIDI_SUFFIXES, "MIDI"),
    **dict.fromkeys((".cho", ".chopro", ".chordpro", ".chord", ".crd", ".pro"), "ChordPro"),
    **dict.fromkeys((".html", ".htm", ".irealb"), "iReal Pro"),
    ".abc": "ABC",
    ".json": "JSON",
    ".txt": "text",
}
# Files with these suffixes are lead sheets only if their content is.
CONTENTS = {".xml": is_musicxml, ".html": is_ireal, ".htm": is_ireal, ".json": lambda text: FORMAT in text}
# Formats of text files, in the order in which `read_lead_sheet` tries them; others are charts.
TEXTS = {"iReal Pro": is_ireal, "ChordPro": is_chordpro, "ABC": is_abc}
FORMATS = (*dict.fromkeys(value for value in SUFFIXES.values() if value != "text"), "chart")
TICK = Fraction(1, 480)  # of a quarter note
TICKS = 96  # per quarter note, for comparisons with music21

Events = list[tuple[Any, ...]]


class Source(NamedTuple):
    """A file, or a tune of a file: the text of an ABC tune, the number of a tune of iReal Pro."""

    format: str
    path: Path
    text: str | None = None
    tune: int | None = None

    def read(self) -> LeadSheet:
        if self.text is not None:
            return read_abc(self.text, str(self.path))
        return read_lead_sheet(self.path, tune=self.tune)


# Files


def find_sources(folder: Path, formats: Sequence[str] = FORMATS) -> Iterator[Source]:
    r"""
    The lead sheets below a folder, in a fixed order. Each tune of an ABC file or an iReal Pro playlist is one.

    Args:
        folder (`Path`): the folder.
        formats (`Sequence[str]`): those of `FORMATS` to look for. A text file in no other format is a chart.
    """
    for path in sorted(folder.rglob("*")):
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        try:
            text = "" if suffix == ".mxl" or SUFFIXES[suffix] == "MIDI" else read_text(path, "source")
        except InputError:
            text = None
        name = SUFFIXES[suffix]
        if text is None and (suffix in CONTENTS or name == "text"):
            continue
        if text is not None and suffix in CONTENTS and not CONTENTS[suffix](text):
            continue
        if name == "text":
            name = next((name for name, is_format in TEXTS.items() if is_format(text)), "chart")
        if name in formats:
            yield from _split(name, path, text)


def _split(name: str, path: Path, text: str | None) -> Iterator[Source]:
    if name == "ABC" and text is not None and len(tunes := split_tunes(text, str(path))) > 1:
        for tune in tunes:
            yield Source(name, path, "\n".join(line.text for line in tune.lines))
        return
    if name == "iReal Pro" and text is not None:
        try:
            for number in range(1, len(list_tunes(text)) + 1):
                yield Source(name, path, tune=number)
            return
        except InputError:
            pass  # the reader reports it
    yield Source(name, path)


# Round trips


def chords_of(sheet: LeadSheet) -> Events:
    """`(parsed chord, start)` where the chord changes, in quarter notes; `None` for no chord."""
    events: Events = []
    for label, start in sheet.chords:
        chord = None if is_no_chord(label) else parse_chord(label)
        if not events or events[-1][0] != chord:
            events.append((chord, start))
    return events


def equal(first: Events, second: Events) -> bool:
    """Whether events are equal, with times that differ by at most 1/480 of a quarter note."""
    return len(first) == len(second) and all(
        one[0] == other[0] and all(abs(a - b) <= TICK for a, b in zip(one[1:], other[1:]))
        for one, other in zip(first, second)
    )


# Second readers


def compare_midi(source: Source, sheet: LeadSheet) -> dict[str, int]:
    """The numbers of notes of the melody and of those that pretty_midi also finds, with starts that differ by 3 ms at most."""
    music = import_optional("pretty_midi", "synthetic").PrettyMIDI(str(source.path))
    starts: dict[int, list[float]] = {}
    for instrument in music.instruments:
        for note in instrument.notes:
            starts.setdefault(note.pitch, []).append(note.start)
    starts = {pitch: sorted(times) for pitch, times in starts.items()}
    clock = Clock(sheet)
    found = 0
    for pitch, start, _ in sheet.melody:
        times, seconds = starts.get(pitch, []), clock(start)
        index = bisect_left(times, seconds - 0.003)
        found += index < len(times) and times[index] <= seconds + 0.003
    return {"same notes": found, "all notes": len(sheet.melody)}


def compare_music21(source: Source, sheet: LeadSheet) -> dict[str, int]:
    """
    The numbers of chords (root, bass, start) and notes (pitch, start, end), in written order, that both readers find, and
    that at least one finds. Several chords over one note, which music21 does not spread, are compared by their order.
    """
    converter = import_optional("music21.converter")
    if source.format == "ABC":
        text = source.text or read_text(source.path, "source")
        if not re.search(r"^X:", text, re.MULTILINE):
            text = f"X:1\n{text}"
        # In other versions, music21 applies accidentals to a single note.
        score = converter.parse(f"%abc-2.1\n{text}", format="abc")
    else:
        score = converter.parse(str(source.path), forceSource=True)
    score = score.toSoundingPitch()
    parts = [part.stripTies().flatten() for part in score.parts or [score]]
    notes = {(pitch, _ticks(start), _ticks(end)) for pitch, start, end in sheet.melody}
    other = max((_highest_notes(part) for part in parts), key=lambda found: (len(found & notes), -len(found)))
    symbols = max((_symbols(part) for part in parts), key=len)
    groups = sorted({start for _, start in symbols})
    ours = [
        (None if is_no_chord(label) else (parse_chord(label).root, parse_chord(label).bass_pitch_class), _ticks(start))
        for label, start in sheet.chords
    ]
    chords, other_chords = (_numbered(events, groups) for events in (ours, symbols))
    return {
        "same chords": len(chords & other_chords),
        "all chords": len(chords | other_chords),
        "same notes": len(notes & other),
        "all notes": len(notes | other),
    }


def _ticks(quarters: Any) -> int:
    return round(float(quarters) * TICKS)


def _highest_notes(part: Any) -> set[tuple[int, int, int]]:
    harmony = import_optional("music21.harmony").Harmony
    highest: dict[int, tuple[int, int, int]] = {}
    for note in part.notes:
        if isinstance(note, harmony) or note.duration.isGrace or not note.pitches or note.style.noteSize == "cue":
            continue
        start = _ticks(note.offset)
        found = (round(max(pitch.ps for pitch in note.pitches)), start, _ticks(note.offset + note.quarterLength))
        highest[start] = max(found, highest.get(start, found))
    return set(highest.values())


def _symbols(part: Any) -> Events:
    harmony = import_optional("music21.harmony")
    events: Events = []
    for symbol in part.getElementsByClass(harmony.Harmony):
        if isinstance(symbol, harmony.NoChord):
            events.append((None, _ticks(symbol.offset)))
        elif symbol.root() is not None:
            bass = symbol.bass() or symbol.root()
            events.append(((symbol.root().pitchClass, bass.pitchClass), _ticks(symbol.offset)))
    return events


def _numbered(events: Events, groups: list[int]) -> set[tuple[Any, ...]]:
    """Changes of chords as `(chord, start, position among those of the same start)`."""
    numbered = set()
    counts: Counter[int] = Counter()
    last: Any = ()
    for chord, start in events:
        group = groups[max(bisect_right(groups, start) - 1, 0)] if groups else start
        counts[group] += 1
        if chord != last:
            numbered.add((chord, start if counts[group] == 1 else group, counts[group]))
        last = chord
    return numbered
