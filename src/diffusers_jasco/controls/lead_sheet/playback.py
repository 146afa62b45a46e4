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

"""Converts lead sheets to the arguments of the pipeline: times in seconds, and drums as audio."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from diffusers.utils import logging

from ...audio.loudness import limit_peaks
from ...utils.errors import InputError
from ..chord_syntax import NO_CHORD, is_no_chord
from ..drum_machine import Groove, find_groove, play_hits, to_velocity
from ..melody import HIGHEST_PITCH, LOWEST_PITCH, fold_pitch
from .bars import Bar, Hit, Section, TimeSignature


if TYPE_CHECKING:
    from .sheet import LeadSheet

logger = logging.get_logger(__name__)

MAX_SECONDS = 3 * 3600.0

_DRUM_RATE = 32_000  # Hz
_FADE_BARS = 4
# A fill in sixteenths: the drum and its velocity, for the last half of a bar.
_FILL = (
    ("snare", 0.6),
    ("snare", 0.7),
    ("snare", 0.8),
    ("snare", 0.9),
    ("tom", 0.8),
    ("tom", 0.9),
    ("tom", 0.95),
    ("tom", 1.0),
)
_RING = (("kick", 1.0), ("open hat", 0.7))

Position = Fraction
Hits = list[tuple[str, Position, float]]


def metrical_offsets(bars: Sequence[Bar], signatures: Sequence[TimeSignature]) -> list[Fraction]:
    r"""
    Finds pick-ups, and bars that are divided, for example by a repeat sign.

    Args:
        bars (`Sequence[Bar]`): bars in playing order.
        signatures (`Sequence[TimeSignature]`): the time signature of each bar.

    Returns:
        `list[Fraction]`: position at which each bar begins within a whole bar, in quarter notes. It is 0 on downbeats.
    """
    offsets = []
    end = Fraction(0)  # position at the end of the bar before
    for index, (bar, signature) in enumerate(zip(bars, signatures)):
        start = Fraction(0)
        if bar.length < signature.length and index == 0:
            start = signature.length - bar.length
        elif bar.length < signature.length and end + bar.length <= signature.length:
            start = end
        offsets.append(start)
        end = (start + bar.length) % signature.length
    return offsets


def can_swing(signature: TimeSignature) -> bool:
    """Whether eighth notes are halves of beats, as in 4/4, unlike in 6/8 and 7/8."""
    return signature.denominator <= 4


def swung(position: Position) -> Position:
    """The position in quarter notes, counted from a beat, at which swing eighth notes are played."""
    beat, part = divmod(position, 1)
    return beat + (part * Fraction(4, 3) if part < Fraction(1, 2) else Fraction(1, 3) + part * Fraction(2, 3))


def straightened(position: Position) -> Position:
    """The inverse of [`swung`]."""
    beat, part = divmod(position, 1)
    return beat + (part * Fraction(3, 4) if part < Fraction(2, 3) else (part - Fraction(1, 3)) * Fraction(3, 2))


class Clock:
    r"""
    Converts positions of a lead sheet to seconds.

    Args:
        sheet ([`LeadSheet`]): a sheet as played; see [`LeadSheet.expand`].
    """

    def __init__(self, sheet: "LeadSheet"):
        self.bars = sheet.bars
        self.starts = sheet.bar_starts
        self.signatures = sheet.time_signatures()
        self.offsets = metrical_offsets(self.bars, self.signatures)
        self.swing = sheet.swing
        marks = [(Fraction(0), sheet.tempo * float(sheet.beat_unit))]
        for start, bar in zip(self.starts, self.bars):
            marks.extend((start + tempo.start, tempo.quarters_per_minute) for tempo in bar.tempos)
        self._positions = [position for position, _ in marks]
        self._quarters = [60 / tempo for _, tempo in marks]
        self._times = [0.0]
        for (before, tempo), (position, _) in zip(marks, marks[1:]):
            self._times.append(self._times[-1] + float(position - before) * 60 / tempo)

    def __call__(self, position: Position) -> float:
        """Seconds of a position in quarter notes; with swing, off-beat eighth notes are late."""
        position = self.played(position)
        index = bisect_right(self._positions, position) - 1
        return self._times[index] + float(position - self._positions[index]) * self._quarters[index]

    def played(self, position: Position) -> Position:
        """The position in quarter notes at which a written position is played: with swing, off-beat notes are late."""
        if not self.swing:
            return position
        index = min(bisect_right(self.starts, position), len(self.bars)) - 1
        if not can_swing(self.signatures[index]):
            return position
        start = self.starts[index] - self.offsets[index]
        return start + swung(position - start)

    @property
    def end(self) -> float:
        """Seconds at the end of the last bar."""
        return self(self.starts[-1])


def duration_of(sheet: "LeadSheet") -> float:
    r"""
    Duration of a sheet as played, with its ending.

    Args:
        sheet ([`LeadSheet`]): a sheet as played.

    Returns:
        `float`: seconds.

    Raises:
        [`InputError`]: if it is more than three hours.
    """
    clock = Clock(sheet)
    seconds = clock(clock.starts[-1] + (clock.signatures[-1].length if sheet.ending == "ring" else 0))
    if seconds > MAX_SECONDS:
        raise InputError(
            f"The lead sheet lasts {seconds:,.0f} seconds with its repeats, but music can last {MAX_SECONDS:,.0f}.",
            "sections",
        )
    return seconds


def fade_seconds(sheet: "LeadSheet") -> float:
    """Duration of the fade-out of a sheet as played: its last four bars, or its second half if that is shorter."""
    if sheet.ending != "fade":
        return 0.0
    clock = Clock(sheet)
    first = max(len(sheet.bars) - _FADE_BARS, len(sheet.bars) // 2)
    return clock.end - clock(clock.starts[first])


def beats_of(sheet: "LeadSheet") -> tuple[list[float], list[float]]:
    """The beats and downbeats of a sheet as played, in seconds."""
    clock = Clock(sheet)
    beats, downbeats = [], []
    for start, bar, signature, offset in zip(clock.starts, clock.bars, clock.signatures, clock.offsets):
        if offset == 0:
            downbeats.append(clock(start))
        position = start + -offset % signature.beat
        while position < start + bar.length:
            beats.append(clock(position))
            position += signature.beat
    return beats, downbeats


def controls_of(sheet: "LeadSheet", prompt: str | None) -> dict[str, Any]:
    """The arguments of the pipeline for a sheet as played; see [`LeadSheet.to_controls`]."""
    clock = Clock(sheet)
    duration = duration_of(sheet)
    controls: dict[str, Any] = {}
    if words := _prompt(sheet, clock, sheet.prompt if prompt is None else prompt):
        controls["prompt"] = words
    if chords := _chords(sheet, clock):
        controls["chords"] = chords
    if sheet.melody:
        controls["melody"] = [(pitch, clock(start), clock(end)) for pitch, start, end in _fold(sheet.melody)]
    if hits := [(drum, clock(start), velocity) for drum, start, velocity in drum_hits(sheet)]:
        audio = torch.from_numpy(play_hits(hits, duration, _DRUM_RATE))[None]
        controls["drums"] = (limit_peaks(audio, _DRUM_RATE), _DRUM_RATE)
    controls["duration"] = duration
    return controls


def cut_controls(controls: dict[str, Any], duration: float) -> dict[str, Any]:
    """Cuts the controls of [`LeadSheet.to_controls`] at an earlier end, in seconds."""
    cut = dict(controls)
    if isinstance(cut.get("prompt"), list):
        cut["prompt"] = [(text, start) for text, start in cut["prompt"] if start < duration]
    if "chords" in cut:
        cut["chords"] = [(label, start) for label, start in cut["chords"] if start < duration]
    if "melody" in cut:
        notes = [(pitch, start, min(end, duration)) for pitch, start, end in cut["melody"] if start < duration]
        cut["melody"] = notes
    if "drums" in cut:
        waveform, rate = cut["drums"]
        cut["drums"] = waveform[..., : round(duration * rate)], rate
    return cut


def _prompt(sheet: "LeadSheet", clock: Clock, prompt: str) -> str | list[tuple[str | None, float]]:
    if not any(section.prompt for section in sheet.sections):
        return prompt
    timeline: list[tuple[str | None, float]] = []
    index = 0
    for section in sheet.sections:
        text = ", ".join(words for words in (prompt, section.prompt) if words) or None
        if section.bars and (not timeline or timeline[-1][0] != text):
            timeline.append((text, clock(clock.starts[index])))
        index += len(section.bars)
    return timeline if len(timeline) > 1 else timeline[0][0] or ""


def _chords(sheet: "LeadSheet", clock: Clock) -> list[tuple[str, float]]:
    chords: list[tuple[str, float]] = []
    for label, start in sheet.chords:
        name = NO_CHORD if is_no_chord(label) else label
        if not chords or chords[-1][0] != name:
            chords.append((name, clock(start)))
    return chords


def _fold(melody: tuple[tuple[int, Fraction, Fraction], ...]) -> Iterator[tuple[int, Fraction, Fraction]]:
    """Transposes the melody, then single notes, by octaves to the range of the melody control."""

    def count_outside(octaves: int) -> int:
        return sum(not LOWEST_PITCH <= pitch + 12 * octaves <= HIGHEST_PITCH for pitch, _, _ in melody)

    octaves = min(range(-6, 7), key=lambda number: (count_outside(number), abs(number))) if count_outside(0) else 0
    if octaves:
        direction = "up" if octaves > 0 else "down"
        logger.warning(f"The melody is outside G2–B6 and was transposed {direction} by {abs(octaves)} octave(s).")
    if outside := count_outside(octaves):
        logger.warning(f"{outside} note(s) of the melody outside G2–B6 were transposed by octaves.")
    for pitch, start, end in melody:
        yield fold_pitch(pitch + 12 * octaves), start, end


# Drums


def drum_hits(sheet: "LeadSheet") -> Hits:
    r"""
    The drum hits of a sheet as played: the written ones, those of grooves in bars without, and fills.

    Args:
        sheet ([`LeadSheet`]): a sheet as played.

    Returns:
        `list` of `(drum, start, velocity)`, with starts in quarter notes, sorted.
    """
    hits: Hits = []
    unfitting: set[str] = set()
    places = zip(sheet.bar_starts, _places(sheet))
    sections = [section for section in sheet.sections if section.bars]
    for section, following in zip(sections, [*sections[1:], None]):
        name = section.groove if section.groove is not None else sheet.groove
        groove = None if name is None else find_groove(name)
        for index, bar in enumerate(section.bars):
            start, place = next(places)
            played = [(hit.drum, hit.start, hit.velocity) for hit in bar.hits]
            if not played and groove is not None and not place.is_pickup:
                unfitting |= set() if groove_fits(groove, place.signature) else {f"{name!r} in {place.signature}"}
                played = list(_groove_hits(groove, place, bar.length))
            if following is not None and following.fill and index == len(section.bars) - 1 and played:
                played = _with_fill(played, bar, place.signature)
            hits.extend((drum, start + position, velocity) for drum, position, velocity in played)
    _warn_of_unfitting(unfitting)
    if hits and sheet.ending == "ring":
        hits.extend((drum, sheet.length, velocity) for drum, velocity in _RING)
    return sorted(hits, key=lambda hit: hit[1])


def write_groove(sheet: "LeadSheet", groove: Groove) -> tuple[Section, ...]:
    r"""
    Writes a groove into bars.

    Args:
        sheet ([`LeadSheet`]): the sheet.
        groove ([`~controls.drum_machine.Groove`]): the groove; its tempo does not matter.

    Returns:
        The sections of the sheet, with the hits of the groove as their only drums.
    """
    places, sections = _places(sheet), []
    unfitting: set[str] = set()
    for section in sheet.sections:
        bars = []
        for bar in section.bars:
            place = next(places)
            unfitting |= set() if groove_fits(groove, place.signature) else {f"the groove in {place.signature}"}
            hits = [] if place.is_pickup else _groove_hits(groove, place, bar.length)
            bars.append(replace(bar, hits=tuple(Hit(*hit) for hit in hits)))
        sections.append(replace(section, groove=None, bars=tuple(bars)))
    _warn_of_unfitting(unfitting)
    return tuple(sections)


def _warn_of_unfitting(grooves: set[str]):
    if grooves:
        logger.warning(f"Grooves don't divide the beats of the time signature: {', '.join(sorted(grooves))}.")


class _Place(NamedTuple):
    """The whole bar that a bar is in, its number in the section, and the position in it (quarter notes)."""

    signature: TimeSignature
    measure: int
    offset: Fraction
    is_pickup: bool  # before the drums begin


def _places(sheet: "LeadSheet") -> Iterator[_Place]:
    """The place of each bar."""
    signatures = sheet.time_signatures()
    offsets = metrical_offsets(sheet.bars, signatures)
    number = 0
    for section in sheet.sections:
        measure = -1
        for index in range(len(section.bars)):
            offset = offsets[number]
            measure += index == 0 or offset == 0
            yield _Place(signatures[number], measure, offset, number == 0 and offset != 0)
            number += 1


def groove_fits(groove: Groove, signature: TimeSignature) -> bool:
    """Whether the steps of a groove divide the beats of a time signature: in three in 6/8, for example."""
    return groove.steps_per_beat % 3 == 0 if signature.is_compound else signature.denominator <= 4


def _groove_hits(groove: Groove, place: _Place, length: Fraction) -> Iterator[tuple[str, Fraction, float]]:
    """The hits in a bar of `length` quarter notes. A pattern that doesn't fit the time signature restarts in each bar."""
    signature, measure, offset, _ = place
    per_beat = groove.steps_per_beat
    bar_beats, pattern_beats = signature.length / signature.beat, Fraction(groove.num_steps, per_beat)
    first = Fraction(0) if pattern_beats % bar_beats and bar_beats % pattern_beats else measure * bar_beats
    begin = (first + offset / signature.beat) * per_beat  # in steps
    late = Fraction(2 * groove.swing - 1).limit_denominator(100)
    for index in range(math.floor(begin), math.ceil(begin + length / signature.beat * per_beat)):
        position = (index + late * (index % 2) - begin) / per_beat * signature.beat
        for drum, steps in groove.tracks.items():
            velocity = to_velocity(steps[index % groove.num_steps])
            if velocity > 0 and 0 <= position < length:
                yield drum, position, velocity


def _with_fill(hits: Hits, bar: Bar, signature: TimeSignature) -> Hits:
    """Replaces the last half of a bar, at most two beats, by a fill."""
    beats = min(2, max(1, int(bar.length / signature.beat / 2)))
    start = bar.length - beats * signature.beat
    notes = _FILL[-4 * beats :]
    fill = [
        (drum, start + signature.beat * Fraction(index, 4), velocity) for index, (drum, velocity) in enumerate(notes)
    ]
    return [hit for hit in hits if hit[1] < start] + fill
