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

"""Lead sheets of recordings."""

import math
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from diffusers.utils import logging

from ..audio.levels import measure_levels, warn_of_silence
from ..audio.stream import AudioStream
from ..controls.beats import FASTEST, SLOWEST
from ..controls.chord_labels import NO_CHORD
from ..controls.lead_sheet import LeadSheet, Section, TimeSignature, bars_from_timeline
from ..controls.melody import bins_to_notes
from ..utils.errors import InputError
from ..utils.numbers import to_float, to_integer
from .beats import RATE, Beats, extract_beats
from .chords import extract_chords
from .key import extract_key, find_key_of_notes
from .lists import accepts_lists
from .melody import extract_bins
from .singing import track_notes


logger = logging.get_logger(__name__)

_FRAME_RATE = 100.0  # Hz, of the melody
_SHORTEST_NOTE = 0.07  # seconds; shorter notes are errors
_GAP = 0.06  # seconds; shorter gaps within a note are errors
_STEADY = 0.05  # seconds; largest distance of the beats from those of a constant tempo
_DRIFT = 0.03  # seconds; by which rounding the tempo may move the last beat
_TEMPO_CHANGE = 0.005  # relative change from bar to bar that is written
_TRIPLETS = 0.75  # share of the deviation from sixteenths below which the melody is in triplets
_OFF_BEAT = 0.12  # beats from the nearest beat, of notes that tell triplets from sixteenths
_SHARE_OFF_BEAT = 0.2  # of the notes of a melody in triplets
_CHORD_CHANGES = 1.2  # weight of chord changes against estimated downbeats
_FARTHEST = 19  # semitones from the median pitch; notes farther away are errors
_EARLY = 0.3  # beats by which the music may begin before a beat and still begin with it
_LAST_BEAT = 0.3  # beats; what sounds in less of a beat is not counted at the end

Note = tuple[int, float, float]

_MELODY_METHODS = ("auto", "builtin", "monophonic")


@accepts_lists
def extract_lead_sheet(
    audio: Any,
    sampling_rate: int | None = None,
    progress: bool = False,
    bpm: float | None = None,
    beats_per_bar: int | None = None,
    melody_method: Literal["auto", "builtin", "monophonic"] = "auto",
) -> LeadSheet:
    r"""
    Transcribes a recording as a lead sheet: tempo and time signature ([`extract_beats`]), key ([`extract_key`]), chords
    that change on beats ([`extract_chords`]), and the melody ([`extract_melody`]) on sixteenths or triplets.

    The sheet begins with the first beat of the music, without silence before it; a bar that begins before the first
    downbeat is a pick-up. If the beats are steady, the sheet has one tempo, otherwise one per bar. It has a single section
    and no drum hits ([`extract_drum_hits`] transcribes them). A repeated note without a gap is one long note.

    With `melody_method="monophonic"`, for a single voice, repeated notes are separate notes, the sheet has no chords, and
    its key is estimated from the notes. A silent recording causes a warning.

    Args:
        audio (`str`, `os.PathLike`, `torch.Tensor` or `np.ndarray`, or a `list` of them):
            A file, or a waveform `(samples,)` or `(channels, samples)`.
        sampling_rate (`int`, *optional*):
            Sampling rate of waveforms in Hz.
        progress (`bool`, defaults to `False`):
            Whether to show progress bars.
        bpm (`float`, *optional*):
            Tempo in beats per minute (20 to 400) if it is known, such as that of generated music; constant throughout.
        beats_per_bar (`int`, *optional*):
            Beats (quarter notes) per bar if they are known, from 1 to 16.
        melody_method (`str`, defaults to `"auto"`):
            `method` of [`extract_melody`]: `"auto"`, `"builtin"`, or `"monophonic"`.

    Returns:
        [`LeadSheet`]: for a list of recordings, a list. `sheet.save("transcription.mid")` writes a file.

    Raises:
        `FileNotFoundError`: if a file does not exist.
        `ImportError`: if the packages of the method are not installed.
        [`InputError`]: for input that is not audio, and invalid arguments.
    """
    if bpm is not None:
        bpm = to_float(bpm, "bpm", minimum=SLOWEST, maximum=FASTEST, unit="beats per minute")
    if beats_per_bar is not None:
        beats_per_bar = to_integer(beats_per_bar, "beats_per_bar", minimum=1, maximum=16)
    if melody_method not in _MELODY_METHODS:
        methods = ", ".join(map(repr, _MELODY_METHODS))
        raise InputError(f"`melody_method` has to be one of {methods}, but is {melody_method!r}.", "melody_method")
    stream = AudioStream(audio, sampling_rate, RATE)
    warn_of_silence(measure_levels(stream.source), "audio")
    if melody_method == "monophonic":
        notes = _drop_errors(track_notes(audio, sampling_rate, progress))
    else:
        melody = extract_bins(audio, sampling_rate, melody_method, frame_rate=_FRAME_RATE, progress=progress)
        notes = _drop_errors(_close_gaps(bins_to_notes(melody, _FRAME_RATE)))
    beats = extract_beats(audio, sampling_rate, progress)
    grid = _BeatGrid(beats, stream.duration, bpm, beats_per_bar)
    if melody_method == "monophonic":
        return _write(grid, stream.duration, [], notes, find_key_of_notes(notes))
    chords = extract_chords(audio, sampling_rate, progress=progress, snap_to_beats=grid.within(stream.duration))
    grid.move_downbeat(chords)
    return _write(grid, stream.duration, chords, notes, extract_key(audio, sampling_rate, progress))


# 1. Beats


class _BeatGrid:
    """
    Beats as a grid that covers a recording.

    Args:
        beats ([`Beats`]): the estimate.
        duration (`float`): seconds.
        bpm (`float`, *optional*): tempo if it is known.
        beats_per_bar (`int`, *optional*): beats per bar if they are known.
    """

    def __init__(self, beats: Beats, duration: float, bpm: float | None, beats_per_bar: int | None):
        self.signature = TimeSignature.parse(beats.time_signature or "4/4")
        if beats_per_bar is not None:
            self.signature = TimeSignature(beats_per_bar, 4)
        self.beat = self.signature.beat  # quarter notes
        self.per_bar = int(self.signature.length / self.beat)
        found = np.array(beats.beats)
        if bpm is None and len(found) < 2:
            logger.warning(
                "No beats were found: the bars of the lead sheet are laid out at 120 beats per minute. Set `bpm` and"
                " `beats_per_bar` if you know them."
            )
        # Times of the beats, and the tempo if it is constant.
        self.times, self.bpm = found, None
        if bpm is not None:
            self.times, self.bpm = _constant_grid(60 / bpm, _phase(beats, 60 / bpm), duration), bpm
        elif len(found) < 2:
            self.times, self.bpm = _constant_grid(0.5, 0.0, duration), 120.0
        else:
            numbers = np.arange(len(found))
            interval, start = np.polyfit(numbers, found, 1) if len(found) > 2 else (found[1] - found[0], found[0])
            if np.abs(start + interval * numbers - found).max() < _STEADY:
                self.bpm = _round_tempo(60 / interval, len(found))
                middle = len(found) // 2
                interval, start = 60 / self.bpm, start + interval * middle - 60 / self.bpm * middle
                self.times = _constant_grid(interval, start, duration)
            else:
                self.times = _extend(found, duration)
        self._votes = self._count(beats.downbeats)
        self.downbeat = (
            int(self._votes.argmax()) if self._votes.any() else int(np.abs(self.times).argmin()) % self.per_bar
        )
        self.first = round(float(self.position(found[0]))) if len(found) else None

    def within(self, duration: float) -> np.ndarray:
        """The beats within a recording."""
        return self.times[(self.times >= 0) & (self.times < duration)]

    def position(self, seconds: Any) -> np.ndarray:
        """Converts times in seconds to beats: fractional indices of `times`."""
        return np.interp(seconds, self.times, np.arange(len(self.times)))

    def _count(self, seconds: list[float]) -> np.ndarray:
        """The share of the times that fall on each beat of a bar."""
        indices = np.round(self.position(np.array(seconds))).astype(int) % self.per_bar
        return np.bincount(indices, minlength=self.per_bar) / max(len(indices), 1)

    def move_downbeat(self, chords: list[tuple[str, float]]):
        """Also considers that chords change at the beginning of bars."""
        votes = self._votes + _CHORD_CHANGES * self._count([start for _, start in chords[1:]])
        if votes.any():
            self.downbeat = int(votes.argmax())


def _phase(beats: Beats, interval: float) -> float:
    """The time of a beat of a known interval (seconds) that fits the estimated beats, or the downbeats among them."""
    times = np.array(beats.downbeats or beats.beats)
    if not len(times):
        return 0.0
    return float(np.angle(np.exp(2j * np.pi * times / interval).sum()) / (2 * np.pi) * interval)


def _constant_grid(interval: float, start: float, duration: float) -> np.ndarray:
    """Beats of a constant tempo from before the beginning to after the end."""
    first = math.floor(-start / interval) - 1
    return start + interval * np.arange(first, math.ceil((duration - start) / interval) + 2)


def _extend(beats: np.ndarray, duration: float) -> np.ndarray:
    """Continues beats at both ends with the tempo there."""
    before, after = beats[1] - beats[0], beats[-1] - beats[-2]
    earlier = beats[0] - before * np.arange(math.floor(beats[0] / before) + 2, 0, -1)
    later = beats[-1] + after * np.arange(1, math.ceil((duration - beats[-1]) / after) + 2)
    return np.concatenate([earlier, beats, later])


def _round_tempo(bpm: float, num_beats: int) -> float:
    """The tempo with the fewest decimals that keeps the last beat in its place."""
    for decimals in (0, 1, 2):
        rounded = round(bpm, decimals)
        if num_beats * abs(60 / rounded - 60 / bpm) / 2 < _DRIFT:
            return rounded
    return bpm


# 2. Melody


def _close_gaps(notes: list[Note]) -> list[Note]:
    """Closes short gaps within notes."""
    joined: list[Note] = []
    for pitch, start, end in notes:
        if joined and joined[-1][0] == pitch and start - joined[-1][2] < _GAP:
            joined[-1] = (pitch, joined[-1][1], end)
        else:
            joined.append((pitch, start, end))
    return joined


def _drop_errors(notes: list[Note]) -> list[Note]:
    """Drops short notes and those far from the others."""
    lasting = [note for note in notes if note[2] - note[1] >= _SHORTEST_NOTE]
    median = float(np.median([pitch for pitch, _, _ in lasting])) if lasting else 0.0
    return [note for note in lasting if abs(note[0] - median) <= _FARTHEST]


def _quantize(notes: list[Note], grid: _BeatGrid) -> list[tuple[int, Fraction, Fraction]]:
    """Moves notes to sixteenths or triplets, in beats."""
    if not notes:
        return []
    starts, ends = (grid.position(np.array([note[number] for note in notes])) for number in (1, 2))
    steps = 6 if grid.beat != 1 else 3 if _is_in_triplets(starts) else 4
    placed: dict[int, tuple[int, int]] = {}
    for (pitch, *_), start, end in zip(notes, starts.tolist(), ends.tolist()):
        first, last = round(start * steps), max(round(end * steps), round(start * steps) + 1)
        if first not in placed or last > placed[first][1]:
            placed[first] = (pitch, last)
    melody = []
    for first, following in zip(sorted(placed), [*sorted(placed)[1:], None]):
        pitch, last = placed[first]
        last = last if following is None else min(last, following)
        melody.append((pitch, Fraction(first, steps), Fraction(last, steps)))
    return melody


def _is_in_triplets(starts: np.ndarray) -> bool:
    off_beat = starts[np.abs(starts - np.round(starts)) > _OFF_BEAT]
    if len(off_beat) < _SHARE_OFF_BEAT * len(starts) or len(off_beat) < 3:
        return False
    straight, triplets = (np.abs(off_beat * steps - np.round(off_beat * steps)).mean() for steps in (4, 3))
    return bool(triplets < _TRIPLETS * straight)


# 3. Sheet


def _write(
    grid: _BeatGrid, duration: float, chords: list[tuple[str, float]], notes: list[Note], key: str | None
) -> LeadSheet:
    melody = _quantize(notes, grid)
    changes = [(label, int(round(float(grid.position(start))))) for label, start in chords]
    sounding = [number for number, (label, _) in enumerate(changes) if label != NO_CHORD]
    # The music begins with its first chord, note or beat, and ends with its last chord or note.
    begins = [changes[sounding[0]][1]] if sounding else []
    begins += [math.floor(melody[0][1] + Fraction(_EARLY).limit_denominator(10))] if melody else []
    begins += [grid.first] if grid.first is not None and (begins or not chords) else []
    ends = [int(math.ceil(melody[-1][2]))] if melody else []
    if sounding and sounding[-1] + 1 < len(changes):
        ends.append(changes[sounding[-1] + 1][1])
    elif sounding or not ends:
        ends.append(math.ceil(float(grid.position(duration)) - _LAST_BEAT))
    start = min(begins, default=int(np.round(grid.position(0.0))))
    start = max(start, int(np.ceil(grid.position(0.0) - _EARLY)))
    end = max([*ends, start + 1])
    pickup = (grid.downbeat - start) % grid.per_bar

    def place(beats: Fraction | int) -> Fraction:
        return max(Fraction(beats) - start, Fraction(0)) * grid.beat

    first = start + pickup
    count = max(math.ceil((end - first) / grid.per_bar), 1)
    tempo, changes_of_tempo = _tempos(grid, first, count)
    estimated = changes[sounding[0] :] if sounding else [(label, start) for label, _ in changes[:1]]
    labels = {place(position): label for label, position in estimated if position < end}
    bars = bars_from_timeline(
        [(labels[position], position) for position in sorted(labels)],
        [(pitch, place(begin), place(stop)) for pitch, begin, stop in melody if place(stop) > place(begin)],
        length=place(end),
        time_signatures=[(Fraction(0), grid.signature)],
        pickup=pickup * grid.beat,
        tempos=[(place(beat), bpm, grid.beat) for beat, bpm in changes_of_tempo],
    )
    return LeadSheet(
        (Section("", bars),), tempo=tempo, beat_unit=grid.beat, time_signature=grid.signature, key=key or ""
    )


def _tempos(grid: _BeatGrid, first: int, count: int) -> tuple[float, list[tuple[int, float]]]:
    """The first tempo, and `(beat, tempo)` of later bars where it changes."""
    if grid.bpm is not None:
        return grid.bpm, []
    edges = np.clip(first + grid.per_bar * np.arange(count + 1), 0, len(grid.times) - 1)
    changes: list[tuple[int, float]] = []
    for begin, end in zip(edges.tolist(), edges[1:].tolist()):
        if end == begin:
            break
        bpm = round(60 * (end - begin) / float(grid.times[end] - grid.times[begin]), 2)
        if not changes or abs(bpm / changes[-1][1] - 1) > _TEMPO_CHANGE:
            changes.append((begin, bpm))
    if not changes:
        changes.append((first, round(60 / float(np.median(np.diff(grid.times))), 2)))
    return changes[0][1], changes[1:]
