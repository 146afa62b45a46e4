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

"""
The songs of the benchmark. They are hand-written for this purpose, and not derived from synthetic music or other songs.

`benchmark_data/v1/songs.json` has, for each song, its `name`, `title`, `caption`, `key`, `time_signature`, `tempo` (beats
per minute; a beat is a dotted quarter in 6/8 and 12/8), General MIDI `programs` of a rendering, and the `form`, a sequence
of `sections`. A section has `chords` (bars as [`~controls.chords.chords_from_bars`] reads them), a `melody` (notes as
[`~controls.note_text.melody_from_text`] reads them, with lengths in quarter notes) and `drums`: steps of each drum, 12 per
bar in 3/4 and 6/8, 16 in 4/4 and 24 in 12/8; `x` is a loud hit and `o` a soft one. An `edit` replaces the chords of some
bars, counted from 1.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...controls.chord_bars import place_bars, split_bars
from ...controls.drum_machine import to_velocity
from ...controls.lead_sheet import ChordMark, LeadSheet, Section, TimeSignature, bars_from_timeline
from ...controls.lead_sheet.playback import Clock, drum_hits
from ...controls.melody import HIGHEST_PITCH, LOWEST_PITCH
from ...controls.note_text import melody_from_text
from ...utils.errors import InputError, list_names


VERSIONS = ("v1",)
FOLDER = Path(__file__).parents[1] / "benchmark_data"
STEPS = {"4/4": 16, "3/4": 12, "6/8": 12, "12/8": 24}  # per bar

_PER_MINUTE = 60.0  # at this tempo, seconds are beats
_MAX_DENOMINATOR = 48


@dataclass(frozen=True)
class Song:
    r"""
    A song of the benchmark.

    Args:
        name (`str`): name of its files, such as `"01_harbor_lights"`.
        sheet ([`~controls.lead_sheet.LeadSheet`]): chords, melody, drums, tempo, key, and the caption as its prompt.
        programs (`dict[str, int]`): General MIDI programs of `lead`, `chords` and `bass` in a rendering.
        edited (`tuple[int, int]`, *optional*): first and last bar that the edit of the song changes, from 1.
        edited_sheet ([`~controls.lead_sheet.LeadSheet`], *optional*): the sheet with other chords in these bars, which have
            no melody.
    """

    name: str
    sheet: LeadSheet
    programs: dict[str, int]
    edited: tuple[int, int] | None = None
    edited_sheet: LeadSheet | None = None

    @property
    def region(self) -> tuple[float, float] | None:
        """Start and end of the edit in seconds."""
        if self.edited is None:
            return None
        clock = Clock(self.sheet)
        first, last = self.edited
        return clock(self.sheet.bar_starts[first - 1]), clock(self.sheet.bar_starts[last])


def load_songs(version: str = "v1", names: Sequence[str] | None = None) -> list[Song]:
    r"""
    Loads the songs of the benchmark.

    Args:
        version (`str`, defaults to `"v1"`): version of the set.
        names (`Sequence[str]`, *optional*): names of songs, or their numbers such as `"01"`; by default all.

    Raises:
        [`InputError`]: if the version or a name is unknown.
    """
    songs = [_read_song(entry) for entry in _read(version)]
    if names is None:
        return songs
    known = {key: song for song in songs for key in (song.name, song.name.partition("_")[0])}
    for name in names:
        if name not in known:
            available = list_names([song.name for song in songs])
            raise InputError(f"`songs`: the benchmark has no song {name!r}, only {available}.", "songs")
    chosen = {known[name].name for name in names}
    return [song for song in songs if song.name in chosen]


def hash_songs(version: str = "v1") -> str:
    """Identifies the content of a version: the SHA-256 of its songs as JSON, without spaces and with sorted keys."""
    content = json.dumps(_read(version), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()


def annotate(sheet: LeadSheet, name: str = "") -> dict[str, Any]:
    r"""
    The annotations of a sheet, with times in seconds, as the estimators' scores take them.

    Args:
        sheet ([`~controls.lead_sheet.LeadSheet`]): a sheet without repeats.
        name (`str`): name of the song.

    Returns:
        `dict`: `name`, `caption`, `duration`, `tempo` (beats per minute), `time_signature`, `key`, `chords`
        (`[(label, start), ...]`), `melody` (`[(MIDI number, start, end), ...]`), `drum_hits` (`[(drum, start, velocity),
        ...]`), `drum_onsets` (distinct starts), `beats` and `downbeats`.
    """
    clock = Clock(sheet)
    hits = [(drum, clock(start), velocity) for drum, start, velocity in drum_hits(sheet)]
    beats, downbeats = sheet.beats()
    return {
        "name": name,
        "caption": sheet.prompt,
        "duration": sheet.duration,
        "tempo": sheet.tempo,
        "time_signature": str(sheet.time_signature),
        "key": sheet.key,
        "chords": [(label, clock(start)) for label, start in sheet.chords],
        "melody": [(pitch, clock(start), clock(end)) for pitch, start, end in sheet.melody],
        "drum_hits": hits,
        "drum_onsets": sorted({start for _, start, _ in hits}),
        "beats": beats,
        "downbeats": downbeats,
    }


@lru_cache(maxsize=None)
def _read(version: str) -> list[dict[str, Any]]:
    if version not in VERSIONS:
        raise InputError(f"`version` has to be one of {', '.join(VERSIONS)}, but is {version!r}.", "version")
    return json.loads((FOLDER / version / "songs.json").read_text(encoding="utf-8"))


def _read_song(entry: dict[str, Any]) -> Song:
    signature = TimeSignature.parse(entry["time_signature"])
    sections = tuple(
        _read_section(letter, entry["sections"][letter], signature, entry["name"]) for letter in entry["form"].split()
    )
    sheet = LeadSheet(
        sections,
        title=entry["title"],
        tempo=entry["tempo"],
        beat_unit=signature.beat,
        time_signature=signature,
        key=entry["key"],
        prompt=entry["caption"],
    )
    if "edit" not in entry:
        return Song(entry["name"], sheet, entry["programs"])
    first, last = entry["edit"]["bars"]
    edited = _edit(sheet, first, _read_chords(entry["edit"]["chords"], signature, last - first + 1, entry["name"]))
    return Song(entry["name"], sheet, entry["programs"], (first, last), edited)


def _read_section(letter: str, section: dict[str, Any], signature: TimeSignature, name: str) -> Section:
    place = f"{name}, section {letter}"
    melody_bars = section["melody"].split("|")
    melody: list[tuple[int, Fraction, Fraction]] = []
    for number, bar in enumerate(melody_bars):
        notes = [
            (
                pitch,
                Fraction(start).limit_denominator(_MAX_DENOMINATOR),
                Fraction(end).limit_denominator(_MAX_DENOMINATOR),
            )
            for pitch, start, end in melody_from_text(bar, _PER_MINUTE)
        ]
        words = (word.partition(":")[2] for word in bar.split())
        if (length := sum(Fraction(word or 1) for word in words)) != signature.length:
            raise ValueError(
                f"{place}: bar {number + 1} of the melody has {length} quarter notes, not {signature.length}."
            )
        if outside := [pitch for pitch, _, _ in notes if not LOWEST_PITCH <= pitch <= HIGHEST_PITCH]:
            raise ValueError(
                f"{place}: bar {number + 1} of the melody has the pitch {outside[0]}, outside of G2 to B6."
            )
        start = number * signature.length
        melody += [(pitch, start + first, start + last) for pitch, first, last in notes]
    length = len(melody_bars) * signature.length
    chords = _read_chords(section["chords"], signature, len(melody_bars), place)
    hits = _read_drums(section.get("drums", {}), signature, length, place)
    return Section(letter, bars_from_timeline(chords, melody, hits, length, ((Fraction(0), signature),)))


def _read_chords(text: str, signature: TimeSignature, num_bars: int, place: str) -> list[tuple[str, Fraction]]:
    bars = split_bars(text)
    if len(bars) != num_bars:
        raise ValueError(f"{place}: the chords have {len(bars)} bars, but there are {num_bars}.")
    placed = place_bars(bars, lambda position: position)
    return [
        (label, Fraction(position).limit_denominator(_MAX_DENOMINATOR) * signature.length)
        for label, position in placed
    ]


def _read_drums(
    drums: dict[str, str], signature: TimeSignature, length: Fraction, place: str
) -> list[tuple[str, Fraction, float]]:
    per_bar = STEPS[str(signature)]
    hits = []
    for drum, steps in drums.items():
        if len(steps) % per_bar:
            raise ValueError(f"{place}: the steps of {drum} are {len(steps)}, not a multiple of {per_bar}.")
        for index in range(int(length / signature.length * per_bar)):
            velocity = to_velocity(steps[index % len(steps)])
            if velocity > 0:
                hits.append((drum, index * signature.length / per_bar, velocity))
    return sorted(hits, key=lambda hit: hit[1])


def _edit(sheet: LeadSheet, first: int, chords: Sequence[tuple[str, Fraction]]) -> LeadSheet:
    """Replaces the chords from the bar `first` (from 1) on, and removes the melody there."""
    length = sheet.time_signature.length
    num_bars = int(chords[-1][1] // length) + 1
    edited, number = [], 0
    for section in sheet.sections:
        bars = []
        for bar in section.bars:
            number += 1
            offset = number - first
            if 0 <= offset < num_bars:
                marks = (
                    ChordMark(label, start - offset * length)
                    for label, start in chords
                    if offset * length <= start < (offset + 1) * length
                )
                bar = replace(bar, chords=tuple(marks), notes=())
            bars.append(bar)
        edited.append(replace(section, bars=tuple(bars)))
    return replace(sheet, sections=tuple(edited))
