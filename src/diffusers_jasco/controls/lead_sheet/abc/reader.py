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

"""Reads lead sheets in ABC notation."""

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import TypeVar

from diffusers.utils import logging

from ....utils.errors import InputError, list_names, shorten
from ...drum_machine import find_groove
from ..bars import Bar, Section, TempoMark, TimeSignature, default_tempo
from ..sheet import ENDINGS, LeadSheet
from ..tunes import choose_tune
from .form import complete_codas, complete_repeats, fill_rests, find_uneven_bars, merge_chords, to_sections
from .header import (
    Key,
    Meter,
    Shift,
    parse_key,
    parse_meter,
    parse_order,
    parse_shift,
    parse_tempo,
    parse_unit,
    parse_voice,
    says_swing,
)
from .music import MusicReader, align_lyrics, finish_signs, is_text_line
from .text import FIELD, Line, Notes, Tune, decode_text, is_abc, split_tunes
from .voice import Voice


__all__ = ["is_abc", "read_abc"]

logger = logging.get_logger(__name__)

T = TypeVar("T")

_MAX_VOICES = 200
# The voices of YuE2, whose sections are comments.
_YUE_VOICES = {"Vocal", "Ins"}


def read_abc(
    text: str, name: str = "the text", part: str | int | None = None, tune: str | int | None = None
) -> LeadSheet:
    r"""
    Reads a tune in ABC notation (2.1 and earlier).

    Args:
        text (`str`): the file.
        name (`str`): name of the file for messages.
        part (`str` or `int`, *optional*):
            Identifier, name or number (from 1) of the voice with the melody, by default the first one. In songs of YuE2, the
            voice `Ins` is taken by default where `Vocal` rests. Chords come from this voice, or from the first one that has
            any.
        tune (`str` or `int`, *optional*):
            Number (`X:`) of the tune, its position from 1 if no other tune has this number, or its title. By default the
            first one.

    Returns:
        [`LeadSheet`]

    Raises:
        [`InputError`]: if the text has no such tune or voice, or a field or a note can't be read; the message contains
            the line.
    """
    tunes = split_tunes(text, name)
    if not tunes:
        raise InputError(f"`source`: {name} has no tune in ABC notation, which begins with 'X:1'.", "source")
    chosen = tunes[choose_tune([found.titles for found in tunes], tune, name, [found.number for found in tunes])]
    reader = _TuneReader(chosen, name)
    reader.read()
    if not any(voice.bars for voice in reader.voices.values()):
        reader = _TuneReader(chosen, name, chords_only=True)
        reader.read()
    reader.notes.log()
    return reader.to_sheet(part)


class _TuneReader:
    """Reads the fields and the music of a tune."""

    def __init__(self, tune: Tune, name: str, chords_only: bool = False):
        self.tune = tune
        self.name = name
        self.notes = Notes(name)
        self.music = MusicReader(self.notes, self._inline, chords_only)
        self.voices: dict[str, Voice] = {}
        self.voice: Voice | None = None
        self.in_body = False
        self.has_key = False
        self.titles: list[str] = []
        self.composers: list[str] = []
        self.words: list[str] = []
        self.order: list[str] = []
        self.meter: Meter | None = None
        self.unit: Fraction | None = None
        self.key = Key()
        self.shift = Shift()
        self.extra_semitones = 0
        self.propagate = "pitch"
        self.tempo: TempoMark | None = None
        self.header_tempo: tuple[str, int] | None = None
        self.swing = False
        self.options: dict[str, str] = {}  # of %%jasco in the header
        self.section_options: list[tuple[int, str, str]] = []  # (bar, option, value)
        self.voice_fields: dict[str, str] = {}
        self.last_field = ""

    def read(self):
        lines = list(self.tune.lines)
        self.has_key = any(line.text.lstrip()[:2] == "K:" for line in lines)
        if not any((match := FIELD.match(line.text)) and match[1] == "K" for line in lines):
            self.notes.add("the key (K:) is missing, so it is C major", lines[0].number)
        comments = sorted(self.tune.comments.items(), reverse=True)
        for line in lines:
            while comments and comments[-1][0] < line.number:
                self._comment(comments.pop()[1])
            self._line(line)
        for voice in self.voices.values():
            voice.finish()
        if self.voice is not None:
            finish_signs(self.music, self.voice)

    def _comment(self, text: str):
        if self.in_body and text and set(self.voices) == _YUE_VOICES:
            self.voices["Vocal"].begin_section(text[:60])

    def _line(self, line: Line):
        text = line.text.strip()
        if text.startswith("%%"):
            self._directive(text[2:].strip(), line.number)
            return
        match = FIELD.match(text)
        if match:
            letter, value = match[1], match[2].strip()
            letter = self.last_field if letter == "+" else letter
            self.last_field = letter
            if self.in_body:
                self._body_field(letter, value, line.number)
            else:
                self._header_field(letter, value, line.number)
            return
        if not self.in_body:
            if "|" not in text or self.has_key:
                return  # free text in the header
            self._begin_body()
        if is_text_line(text):
            self.notes.add("lines that are not music are ignored", line.number, text)
            return
        self.voice = self.music.read(self._current(), line.text, line.number)

    # Fields

    def _header_field(self, letter: str, value: str, line: int):
        if letter == "T":
            self.titles.append(decode_text(value))
        elif letter == "C":
            self.composers.append(decode_text(value))
        elif letter == "M":
            self.meter = self._parse(parse_meter, value, line)
        elif letter == "L":
            self.unit = self._parse(parse_unit, value, line)
        elif letter == "Q":
            self.swing = self.swing or says_swing(value)
            self.header_tempo = (value, line)
        elif letter == "R":
            self.swing = self.swing or says_swing(value)
        elif letter == "P":
            self.order = self._parse(parse_order, value, line)
        elif letter == "V":
            identifier, _ = parse_voice(value)
            self.voice_fields[identifier] = f"{self.voice_fields.get(identifier, '')} {value}"
            if len(self.voice_fields) > _MAX_VOICES:
                self.notes.fail(line, f"there are more than {_MAX_VOICES} voices.")
        elif letter == "K":
            key, shift = self._parse(parse_key, value, line)
            self.key = key or self.key
            self.shift = shift
            self._begin_body()
        else:
            self._common_field(letter, value, line)

    def _common_field(self, letter: str, value: str, line: int):
        """Reads fields with the same meaning in the header and in the body."""
        if letter == "I":
            self._directive(value, line)
        elif letter == "U":
            self.music.define_symbol(value)
        elif letter == "m":
            self.notes.add("macros (m:) are not expanded", line, value)
        elif letter == "W":
            self.words.append(decode_text(value))

    def _begin_body(self):
        """Creates the voices of the header at its end, when its fields are known."""
        self.in_body = True
        self.meter = self.meter or Meter(None, Fraction(4))
        self.unit = self.unit or self.meter.default_unit
        if self.header_tempo is not None:
            value, line = self.header_tempo
            self.tempo = self._parse_tempo(value, line)
        for identifier, value in self.voice_fields.items():
            self._find_voice(identifier, value)

    def _parse_tempo(self, value: str, line: int, voice: Voice | None = None) -> TempoMark | None:
        meter = voice.meter if voice is not None else self.meter
        unit = voice.unit if voice is not None else self.unit
        beat = meter.signature.beat if meter is not None and meter.signature is not None else Fraction(1)
        return self._parse(lambda text: parse_tempo(text, unit or Fraction(1, 2), beat), value, line)

    def _inline(self, voice: Voice, letter: str, value: str, line: int) -> Voice:
        """Reads a field in brackets."""
        self.voice = voice
        self._body_field(letter, value, line)
        return self._current()

    def _body_field(self, letter: str, value: str, line: int):
        voice = self._current()
        if letter == "K":
            key, shift = self._parse(parse_key, value, line)
            voice.set_shift(shift)
            if key is not None:
                voice.set_key(key)
        elif letter == "M":
            voice.set_meter(self._parse(parse_meter, value, line))
        elif letter == "L":
            voice.unit = self._parse(parse_unit, value, line)
        elif letter == "Q":
            self.swing = self.swing or says_swing(value)
            tempo = self._parse_tempo(value, line, voice)
            if tempo is not None:
                starts = [mark for mark in voice.current.tempos if mark.start < voice.current.length]
                voice.current.tempos = [*starts, tempo._replace(start=voice.current.length)]
        elif letter == "V":
            identifier, _ = parse_voice(value)
            self.voice = self._find_voice(identifier, value)
            if len(self.voices) > _MAX_VOICES:
                self.notes.fail(line, f"there are more than {_MAX_VOICES} voices.")
        elif letter == "T" and not voice.bars and not voice.current.length:
            self.titles.append(decode_text(value))
        elif letter in "PT" and re.search(r"\w", value):
            voice.begin_section(decode_text(value)[:60])
        elif letter == "w":
            align_lyrics(voice, value)
        else:
            self._common_field(letter, value, line)

    def _directive(self, text: str, line: int):
        words = text.split()
        if not words:
            return
        name = words[0].lower()
        if name == "propagate-accidentals" and len(words) > 1 and words[1] in ("not", "octave", "pitch"):
            self.propagate = words[1]
            for voice in self.voices.values():
                voice.propagate = words[1]
        elif name == "midi" and len(words) > 1:
            if words[1].lower() == "transpose" and len(words) > 2 and re.fullmatch(r"[+-]?\d{1,2}", words[2]):
                self._set_extra_semitones(int(words[2]), line)
            self.swing = self.swing or says_swing(text)
        elif name.startswith("swing") or says_swing(name):
            self.swing = True
        elif name == "jasco" and len(words) > 2:
            value = decode_text(text.split(None, 2)[2])
            if self.in_body:
                voice = self._current()
                if words[1] == "section":
                    voice.begin_section("")
                index = len(voice.bars) + (1 if voice.current.length else 0)
                self.section_options.append((index, words[1], value))
            else:
                self.options[words[1]] = value

    def _set_extra_semitones(self, semitones: int, line: int):
        if abs(semitones) > 48:
            self.notes.fail(line, f"%%MIDI transpose {semitones} has to be between -48 and 48.")
        if self.in_body and self.voice is not None:
            self.voice.extra_semitones = semitones
        else:
            self.extra_semitones = semitones

    def _parse(self, parse: Callable[[str], T], value: str, line: int) -> T:
        try:
            return parse(value)
        except InputError as error:
            self.notes.fail(line, f"{error}.")

    # Voices

    def _current(self) -> Voice:
        """The voice of the music that follows, by default the first one."""
        if self.voice is None:
            self.voice = next(iter(self.voices.values()), None) or self._find_voice("1", "1")
        return self.voice

    def _find_voice(self, identifier: str, value: str) -> Voice:
        """The voice with an identifier, with the settings of a `V:` field."""
        voice = self.voices.get(identifier)
        if voice is None:
            meter = self.meter or Meter(None, Fraction(4))
            voice = Voice(identifier, self.key, meter, self.unit or meter.default_unit, propagate=self.propagate)
            voice.extra_semitones = self.extra_semitones
            voice.set_shift(self.shift)
            self.voices[identifier] = voice
        _, title = parse_voice(value)
        voice.title = voice.title or decode_text(title)
        try:
            voice.set_shift(parse_shift(value.partition(" ")[2] if " " in value else ""))
        except InputError as error:
            raise InputError(f"`source`: {self.name}: V:{value[:40]}: {error}.", "source") from None
        return voice

    # Result

    def to_sheet(self, part: str | int | None) -> LeadSheet:
        voices = [voice for voice in self.voices.values() if voice.bars]
        if not voices:
            raise InputError(
                f"`source`: {self.name}: the tune {shorten(self.titles[0] if self.titles else self.tune.number)} has no"
                " notes, rests or bars with chords.",
                "source",
            )
        voice = self._choose(voices, part)
        marks = next((other.sections for other in [voice, *voices] if other.sections), [])
        for other in voices:
            complete_repeats(other.bars, [index for index, _ in marks])
            complete_codas(other.bars)
        uneven = find_uneven_bars(voice.bars, self.meter or Meter(None, Fraction(4)))
        if uneven:
            logger.warning(
                f"{self.name}: bars whose length doesn't fit the meter, in quarter notes: {list_names(uneven, 5)}."
            )
        bars = voice.to_bars()
        if part is None and set(self.voices) == _YUE_VOICES and len(voices) > 1:
            bars = fill_rests(bars, voices[1].to_bars())
        if not any(bar.chords for bar in bars):
            donor = next((other for other in voices if any(bar.chords for bar in other.bars)), None)
            if donor is not None:
                bars = merge_chords(bars, donor.to_bars())
        return self._assemble(voice, bars, marks)

    def _choose(self, voices: list[Voice], part: str | int | None) -> Voice:
        if part is None:
            if len(voices) > 1 and set(self.voices) != _YUE_VOICES:
                others = list_names([_describe(other) for other in voices[1:]], 8)
                logger.warning(
                    f"{self.name} has {len(voices)} voices. The melody is the first one, {_describe(voices[0])}; to read"
                    f" another one, set `part` to its name or number: {others}."
                )
            return voices[0]
        wanted = str(part).strip().casefold()
        for voice in voices:
            if wanted in (voice.name.casefold(), voice.title.casefold()) and wanted:
                return voice
        if wanted.isdecimal() and 1 <= int(wanted) <= len(voices):
            return voices[int(wanted) - 1]
        known = list_names([_describe(voice) for voice in voices], 8)
        raise InputError(f"`part`: {self.name} has no voice {shorten(part)}; it has: {known}.", "part")

    def _assemble(self, voice: Voice, bars: list[Bar], marks: list[tuple[int, str]]) -> LeadSheet:
        meter = self.meter or Meter(None, Fraction(4))
        signature = meter.signature or TimeSignature(4, 4)
        tempo = self.tempo
        first = bars[0]
        if first.tempos and not first.tempos[0].start and self.tempo is None:
            tempo = first.tempos[0]
            first = replace(first, tempos=first.tempos[1:])
        key = self._initial_key(voice)
        if first.key:
            key, first = first.key, replace(first, key=None)
        if first.time_signature:
            signature, first = first.time_signature, replace(first, time_signature=None)
        tempo = tempo or default_tempo(signature, self.name)
        if self.words and not any(note.lyric for bar in bars for note in bar.notes):
            first = replace(first, lyrics="\n".join(self.words))
        bars[0] = first
        sections = to_sections(bars, marks, self.order, (key, signature, tempo))
        sections = self._with_options(sections, marks)
        swing = self.swing or self.options.get("swing") == "on"
        return LeadSheet(
            sections,
            title=self.titles[0] if self.titles else "",
            composer=", ".join(composer for composer in self.composers if composer),
            tempo=tempo.bpm,
            beat_unit=tempo.unit,
            time_signature=signature,
            key=key,
            prompt=self.options.get("prompt", ""),
            groove=_known_groove(self.options.get("groove")),
            swing=swing,
            ending=self.options["ending"] if self.options.get("ending") in ENDINGS else "cut",
        )

    def _initial_key(self, voice: Voice) -> str:
        """The key at the beginning as it sounds in a voice."""
        start = Voice(voice.name, self.key, voice.meter, voice.unit, extra_semitones=self.extra_semitones)
        start.set_shift(self.shift)
        start.set_shift(parse_shift(self.voice_fields.get(voice.name, "")))
        return start.sounding_key()

    def _with_options(self, sections: tuple[Section, ...], marks: list[tuple[int, str]]) -> tuple[Section, ...]:
        """Sets prompts, grooves and fills that our writer has stored in `%%jasco` directives."""
        if not self.section_options or self.order:
            return sections
        starts = [0] if not marks or marks[0][0] > 0 else []
        starts += [index for index, _ in marks]
        result = []
        for start, section in zip(starts, sections):
            values = {option: value for index, option, value in self.section_options if index == start}
            result.append(
                replace(
                    section,
                    prompt=values.get("section-prompt", ""),
                    groove=_known_groove(values.get("section-groove")),
                    fill=values.get("fill") == "on",
                )
            )
        return tuple(result) if len(result) == len(sections) else sections


def _known_groove(name: str | None) -> str | None:
    if name is None:
        return None
    try:
        find_groove(name)
    except InputError:
        return None
    return name


def _describe(voice: Voice) -> str:
    return f"{voice.name} ({voice.title})" if voice.title else voice.name
