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

"""Lead sheets: chords, melody, lyrics and form of a song in bars."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial
from itertools import accumulate
from typing import Any

import torch

from ...audio.loudness import fade_out
from ...utils.errors import InputError, shorten
from ...utils.numbers import to_float, to_integer
from ..drum_machine import Groove, find_groove, is_groove_file, read_groove
from .bars import (
    JUMPS,
    MAX_REPEATS,
    Bar,
    ChordMark,
    Hit,
    Note,
    Section,
    TempoMark,
    TimeSignature,
    check_bar,
    check_tempo,
    is_text,
    to_length,
    to_tuple,
)
from .keys import parse_tonality, transpose_chord, transpose_key
from .order import MAX_BARS, expand_sections
from .playback import beats_of, controls_of, duration_of, fade_seconds, write_groove


__all__ = ["ENDINGS", "JUMPS", "Bar", "ChordMark", "Hit", "LeadSheet", "Note", "Section", "TempoMark", "TimeSignature"]

ENDINGS = ("cut", "ring", "fade")


@dataclass(frozen=True)
class LeadSheet:
    r"""
    A lead sheet: the chords, the melody and the form of a song.

    Positions and lengths are fractions of a quarter note, so that no rounding occurs; [`~LeadSheet.to_controls`]
    converts them to seconds once. Sheets are immutable: use `dataclasses.replace`.

    Args:
        sections (`tuple` of [`Section`]): the sections in written order, with 1 to 10,000 bars in total.
        title (`str`): title.
        composer (`str`): composer or artist.
        tempo (`float`, defaults to `120.0`): beats per minute, from 5 to 1,600 quarter notes per minute.
        beat_unit (`Fraction`, defaults to 1): length of a beat of the tempo in quarter notes, such as 3/2 in 6/8.
        time_signature ([`TimeSignature`], defaults to 4/4): time signature at the beginning.
        key (`str`): key at the beginning, such as `"C major"` or `"D dorian"`; empty if it is unknown.
        prompt (`str`): description of the music.
        groove (`str`, *optional*): name of a groove in `controls.drum_machine.GROOVES` for all sections without their own.
        swing (`bool`, defaults to `False`): whether eighth notes swing, in the melody and the drums.
        ending (`str`, defaults to `"cut"`): `"cut"`: the music ends with the last bar; `"ring"`: the last chord rings for one more
            bar; `"fade"`: the last bars fade out (see [`~LeadSheet.fade`]).

    Raises:
        [`InputError`]: if a value is out of range, a chord or a key can't be read, or a note, chord or hit is outside its
            bar; the message contains the number of the bar.
    """

    sections: tuple[Section, ...]
    title: str = ""
    composer: str = ""
    tempo: float = 120.0
    beat_unit: Fraction = Fraction(1)
    time_signature: TimeSignature = TimeSignature(4, 4)
    key: str = ""
    prompt: str = ""
    groove: str | None = None
    swing: bool = False
    ending: str = "cut"

    def __post_init__(self):
        _check_sheet(self)

    # 1. In written order. Positions are quarter notes from the beginning of the sheet.

    @cached_property
    def bars(self) -> tuple[Bar, ...]:
        """All bars in written order."""
        return tuple(bar for section in self.sections for bar in section.bars)

    @cached_property
    def bar_starts(self) -> tuple[Fraction, ...]:
        """The beginning of each bar, and the end of the last one."""
        return tuple(accumulate((bar.length for bar in self.bars), initial=Fraction(0)))

    @property
    def length(self) -> Fraction:
        """The length of all written bars."""
        return self.bar_starts[-1]

    @cached_property
    def chords(self) -> tuple[tuple[str, Fraction], ...]:
        """The chords as `(label, start)`."""
        marks = ((chord.label, start + chord.start) for start, bar in self._placed() for chord in bar.chords)
        return tuple(marks)

    @cached_property
    def melody(self) -> tuple[tuple[int, Fraction, Fraction], ...]:
        """The notes of the melody as `(MIDI number, start, end)`. Tied notes are joined."""
        notes: list[tuple[int, Fraction, Fraction]] = []
        held: dict[int, int] = {}  # positions in `notes` of notes that are tied to the next one
        for start, bar in self._placed():
            for note in bar.notes:
                first = held.pop(note.pitch, None)
                if first is not None and notes[first][2] == start + note.start:
                    notes[first] = (note.pitch, notes[first][1], start + note.end)
                else:
                    first = len(notes)
                    notes.append((note.pitch, start + note.start, start + note.end))
                if note.tied:
                    held[note.pitch] = first
        return tuple(notes)

    @cached_property
    def hits(self) -> tuple[tuple[str, Fraction, float], ...]:
        """The written drum hits as `(drum, start, velocity)`, without those of grooves."""
        return tuple((hit.drum, start + hit.start, hit.velocity) for start, bar in self._placed() for hit in bar.hits)

    @property
    def lyrics(self) -> str:
        """The words, with one line per section; the syllables of the melody if the bars have no text."""
        lines = []
        for section in self.sections:
            words = [bar.lyrics or _join_syllables(bar.notes) for bar in section.bars]
            lines.append(re.sub(r"- +", "", " ".join(word for word in words if word)))
        return "\n".join(line for line in lines if line)

    def time_signatures(self) -> tuple[TimeSignature, ...]:
        """The time signature of each bar."""
        changes = (bar.time_signature for bar in self.bars)
        return tuple(accumulate(changes, lambda last, new: new or last, initial=self.time_signature))[1:]

    def keys(self) -> tuple[str, ...]:
        """The key of each bar; empty where it is unknown."""
        return tuple(accumulate((bar.key for bar in self.bars), lambda last, new: new or last, initial=self.key))[1:]

    def _placed(self) -> Iterator[tuple[Fraction, Bar]]:
        return zip(self.bar_starts, self.bars)

    # 2. As played

    def expand(self) -> "LeadSheet":
        r"""
        Writes out repeated sections and passages, endings and jumps (D.C., D.S., al Fine, al Coda).

        Returns:
            [`LeadSheet`] with the bars in the order in which they are played. A chord that sounds at the end of the
            written bar before is written into bars that follow another bar.

        Raises:
            [`InputError`]: if there are more than 10,000 bars.
        """
        return self._expanded

    @cached_property
    def _expanded(self) -> "LeadSheet":
        tempo = TempoMark(self.tempo, self.beat_unit)
        sections = expand_sections(self.sections, tempo, self.time_signature, self.key)
        return self if sections == self.sections else replace(self, sections=sections)

    @cached_property
    def duration(self) -> float:
        """Duration in seconds as played, with repeats and the ending."""
        return duration_of(self.expand())

    def beats(self) -> tuple[list[float], list[float]]:
        """
        The beats and the downbeats as played, in seconds, for checkpoints with the beats control:
        `pipe(**sheet.to_controls(), beats=sheet.beats())`.
        """
        return beats_of(self.expand())

    def fade(self, audio: torch.Tensor, sampling_rate: int) -> torch.Tensor:
        r"""
        Fades out music that was generated for this sheet, if its ending is `"fade"`.

        Args:
            audio (`torch.Tensor` of shape `(channels, samples)`): the music.
            sampling_rate (`int`): sampling rate in Hz.

        Returns:
            `torch.Tensor` of the same shape, whose last four bars (at most the second half) fade out.
        """
        return fade_out(audio, sampling_rate, fade_seconds(self.expand()))

    def to_controls(self, prompt: str | None = None) -> dict[str, Any]:
        r"""
        Converts the sheet, as played, to arguments of [`JascoPipeline`]: `pipe(**sheet.to_controls())`.

        Args:
            prompt (`str`, *optional*): replaces the prompt of the sheet; prompts of sections are appended to it.

        Returns:
            `dict` with `duration` (seconds) and those of the following that the sheet has: `prompt` (a string or a prompt
            timeline `[(text, start), ...]`), `chords` (`[(label, start), ...]`), `melody` (`[(MIDI number, start, end),
            ...]`, transposed by octaves to G2–B6 with a warning) and `drums` (`(waveform, sampling_rate)` of the
            written hits or the grooves). Times are in seconds.

        Raises:
            [`InputError`]: if the music is longer than three hours.
        """
        return controls_of(self.expand(), prompt)

    def transpose(self, semitones: int) -> "LeadSheet":
        r"""
        Transposes chords, melody and keys.

        Args:
            semitones (`int`): -48 to 48; positive is up.

        Raises:
            [`InputError`]: if a note leaves the range of MIDI.
        """
        semitones = to_integer(semitones, "semitones", minimum=-48, maximum=48)
        if not semitones:
            return self
        keys = iter(self.keys())

        def move(bar: Bar) -> Bar:
            target = transpose_key(next(keys), semitones)
            chords = tuple(ChordMark(transpose_chord(label, semitones, target), start) for label, start in bar.chords)
            notes = tuple(note._replace(pitch=note.pitch + semitones) for note in bar.notes)
            key = bar.key and transpose_key(bar.key, semitones)
            return replace(bar, chords=chords, notes=notes, key=key)

        sections = tuple(replace(section, bars=tuple(map(move, section.bars))) for section in self.sections)
        return replace(self, sections=sections, key=transpose_key(self.key, semitones))

    def with_tempo(self, bpm: float) -> "LeadSheet":
        r"""
        Changes the tempo. Tempo changes keep their ratio to the tempo at the beginning.

        Args:
            bpm (`float`): beats of `beat_unit` per minute at the beginning.

        Raises:
            [`InputError`]: if a tempo is out of range.
        """
        bpm = to_float(bpm, "bpm", above=0, unit="beats per minute")
        ratio = bpm / self.tempo

        def change(bar: Bar) -> Bar:
            tempos = tuple(tempo._replace(bpm=tempo.bpm * ratio) for tempo in bar.tempos)
            return replace(bar, tempos=tempos) if tempos else bar

        sections = tuple(replace(section, bars=tuple(map(change, section.bars))) for section in self.sections)
        return replace(self, sections=sections, tempo=bpm)

    def with_groove(self, name: str | os.PathLike | Groove) -> "LeadSheet":
        r"""
        Replaces the drums by a groove, at the tempo of the sheet.

        Args:
            name (`str`, `os.PathLike` or [`~controls.drum_machine.Groove`]):
                Name of a groove in `controls.drum_machine.GROOVES`, or a groove or its file (`loop.groove.json`), whose
                hits are written into the bars.

        Raises:
            [`InputError`], `FileNotFoundError`: if the name is unknown, or the file is not a groove or does not exist.
        """
        if not isinstance(name, Groove) and is_groove_file(name):
            name = read_groove(name)
        if isinstance(name, Groove):
            return replace(self, sections=write_groove(self, name), groove=None)
        sections = tuple(
            replace(
                section, groove=None, bars=tuple(replace(bar, hits=()) if bar.hits else bar for bar in section.bars)
            )
            for section in self.sections
        )
        return replace(self, sections=sections, groove=os.fspath(name) if isinstance(name, os.PathLike) else name)

    def save(self, path: str | os.PathLike):
        r"""
        Writes a file. Repeats are kept where the format has them; `.mid` and `.lab` files contain the music as played.

        Args:
            path (`str` or `os.PathLike`):
                The file, whose suffix sets the format: `.abc`, `.musicxml` (or `.xml`, `.mxl`), `.mid` (or `.midi`), `.lab` or `.json`.

        Raises:
            `FileNotFoundError`: if the folder does not exist.
            [`InputError`]: for another suffix.
        """
        from .files import save_lead_sheet

        save_lead_sheet(self, path)


def _join_syllables(notes: Sequence[Note]) -> str:
    return " ".join(note.lyric for note in notes if note.lyric)


# Checks


def _check_sheet(sheet: LeadSheet):
    set_field = partial(object.__setattr__, sheet)
    set_field("sections", to_tuple(sheet.sections, "sections"))
    if not all(isinstance(section, Section) for section in sheet.sections):
        raise InputError(f"`sections` has to contain `Section`s, but is {shorten(sheet.sections)}.", "sections")
    count = sum(len(section.bars) for section in sheet.sections)
    if not 1 <= count <= MAX_BARS:
        raise InputError(f"`sections` have to contain 1 to {MAX_BARS:,} bars, but contain {count:,}.", "sections")
    for name in ("title", "composer", "prompt", "key"):
        _check_text(sheet, name)
    set_field("tempo", to_float(sheet.tempo, "tempo", above=0, unit="beats per minute"))
    set_field("beat_unit", to_length(sheet.beat_unit, "beat_unit"))
    check_tempo(sheet.tempo, sheet.beat_unit)
    set_field("time_signature", _to_signature(sheet.time_signature))
    if sheet.key:
        parse_tonality(sheet.key)
    _check_groove(sheet.groove)
    _check_flag(sheet, "swing")
    if sheet.ending not in ENDINGS:
        raise InputError(f"`ending` has to be one of {', '.join(ENDINGS)}, but is {shorten(sheet.ending)}.", "ending")
    number = 0
    for section in sheet.sections:
        for name in ("name", "prompt"):
            _check_text(section, name)
        to_integer(section.repeats, "repeats", minimum=1, maximum=MAX_REPEATS)
        _check_flag(section, "fill")
        _check_groove(section.groove)
        for bar in section.bars:
            number += 1
            check_bar(bar, number)


def _check_text(item: Any, name: str):
    if not is_text(getattr(item, name)):
        raise InputError(f"`{name}` has to be text, but is {shorten(getattr(item, name))}.", name)


def _check_groove(name: str | None):
    try:
        if name is not None:
            find_groove(name)
    except InputError as error:
        raise error.renamed("groove") from None


def _check_flag(item: Any, name: str):
    if not isinstance(getattr(item, name), bool):
        raise InputError(f"`{name}` has to be True or False, but is {shorten(getattr(item, name))}.", name)


def _to_signature(value: Any) -> TimeSignature:
    if isinstance(value, str):
        return TimeSignature.parse(value)
    if not isinstance(value, tuple) or len(value) != 2:
        raise InputError(
            f"`time_signature` has to be a `TimeSignature` or text such as '6/8', but is {shorten(value)}.",
            "time_signature",
        )
    return TimeSignature(*value).check()
