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


"""Steps of a drum machine from recorded drums."""

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from diffusers.utils import logging

from ..audio.stream import AudioStream
from ..controls.beats import FASTEST, SLOWEST
from ..controls.drum_machine import DRUMS, Groove
from ..utils.errors import EmptyInputError, InputError, shorten
from ..utils.numbers import is_number, to_float, to_integer
from .beats import RATE, Beats, extract_beats
from .drum_hits import Hits, extract_drum_hits
from .lists import accepts_lists


logger = logging.get_logger(__name__)

# Two bars of 2/4 are one of 4/4.
_BEATS_PER_BAR = {"2/4": 4, "3/4": 3, "4/4": 4, "6/8": 2}
_MOST_BARS = 16
_MOST_STEPS = 256
_TOGETHER = 0.015  # seconds within which hits are one onset
_JITTER = 0.014  # seconds: standard deviation of onsets around their steps
_STRAY = 0.05  # share of onsets beside the steps
_AT_ONCE = 0.03  # seconds from the beginning of a trimmed loop to its first hit
_STEADY = 0.04  # seconds; largest distance of the beats from those of a constant tempo


@accepts_lists
def extract_groove(
    audio: Any,
    sampling_rate: int | None = None,
    bars: int | None = None,
    bpm: float | None = None,
    beats_per_bar: int | None = None,
    separate_drums: bool = True,
    velocities: bool = False,
    progress: bool = False,
) -> Groove:
    r"""
    Transcribes the drums of a recording as a pattern of steps, which can be edited, rendered, and given to the pipeline as
    `drums`.

    [`extract_drum_hits`] finds the hits and [`extract_beats`] the beats. The pattern has one or two bars: in each step, the
    drums that are hit in most repetitions.

    Args:
        audio (`str`, `os.PathLike`, `torch.Tensor` or `np.ndarray`, or a `list` of them):
            A file, or a waveform `(samples,)` or `(channels, samples)`. It is read in blocks, in bounded memory.
        sampling_rate (`int`, *optional*):
            Sampling rate of waveforms in Hz.
        bars (`int`, *optional*):
            Length of the pattern in bars, from 1 to 16; by default 1 or 2.
        bpm (`float`, *optional*):
            Tempo in beats per minute (20 to 400) if it is known; constant throughout.
        beats_per_bar (`int`, *optional*):
            Beats per bar if they are known, from 1 to 16.
        separate_drums (`bool`, defaults to `True`):
            Whether to separate the drums first. `False` is faster, for recordings of drums alone.
        velocities (`bool`, defaults to `False`):
            Whether steps are velocities from 0 to 1 instead of `x` (loud), `o` (soft) and `.` (rest).
        progress (`bool`, defaults to `False`):
            Whether to show progress bars.

    Returns:
        [`Groove`]: for a list of recordings, a list.

    A groove that is nearly empty, or has less than half of the hits, is reported in a warning.

    Raises:
        `FileNotFoundError`: if a file does not exist.
        [`InputError`]: for input that is not audio, invalid arguments, a recording with fewer bars than `bars`, and drums
            that do not repeat a pattern.
        [`EmptyInputError`]: if the recording has no drums.
    """
    _check(bars, bpm, beats_per_bar)
    hits = extract_drum_hits(audio, sampling_rate, separate_drums, progress)
    if not hits:
        raise EmptyInputError("No drum hits were found in `audio`: give a recording with drums.", "audio")
    beats = extract_beats(audio, sampling_rate, progress)
    duration = AudioStream(audio, sampling_rate, RATE).duration
    return _find_groove(hits, beats, bars, bpm, beats_per_bar, velocities, duration, _ESTIMATED_DOWNBEATS)


def groove_from_hits(
    hits: Hits,
    beats: Beats | None = None,
    bars: int | None = None,
    bpm: float | None = None,
    beats_per_bar: int | None = None,
    velocities: bool = False,
    duration: float | None = None,
) -> Groove:
    r"""
    Turns drum hits into a pattern of steps: sixteenths, which may swing, or triplets.

    Args:
        hits (`list`): `(drum, start in seconds, velocity)`, as [`extract_drum_hits`] returns them.
        beats ([`Beats`], *optional*):
            The beats of the recording; by default, they are estimated from the hits. Bars begin on the downbeats, if there
            are any; otherwise, kicks, snares and the first hit decide.
        bars, bpm, beats_per_bar, velocities: as [`extract_groove`].
        duration (`float`, *optional*):
            Duration of the recording in seconds, which gives the tempo of a loop that was cut to whole bars. Its pattern
            begins where the loop begins.

    Returns:
        [`Groove`]: the pattern.

    Raises:
        [`EmptyInputError`]: if there are no hits.
        [`InputError`]: for invalid hits and arguments, fewer bars than `bars`, and drums that do not repeat a pattern.
    """
    return _find_groove(hits, beats, bars, bpm, beats_per_bar, velocities, duration, _GIVEN_DOWNBEATS)


def _find_groove(
    hits: Hits,
    beats: Beats | None,
    bars: int | None,
    bpm: float | None,
    beats_per_bar: int | None,
    velocities: bool,
    duration: float | None,
    downbeat_weight: float,
) -> Groove:
    """The groove of [`groove_from_hits`], with the weight of downbeats against that of the hits."""
    bars, bpm, beats_per_bar = _check(bars, bpm, beats_per_bar)
    if duration is not None:
        duration = to_float(duration, "duration", above=0, unit="seconds")
    drums, starts, loudness = _check_hits(hits)
    if duration is not None and duration < starts[-1] - 0.01:
        raise InputError(
            f"`duration` is {duration:g} s, but the last of the `hits` starts at {starts[-1]:g} s.", "duration"
        )
    beats = _check_beats(beats)
    feel = _find_feel(drums, starts, beats, bpm, duration, beats_per_bar)
    steps, num_steps = feel.steps(starts), None
    if feel.loop:
        num_steps = feel.loop * feel.steps_per_beat
        origin = int(feel.steps(np.zeros(1))[0])
        steps = (steps - origin) % num_steps
        beats_per_bar = beats_per_bar or _meter_of_loop(steps, drums, loudness, feel, beats.time_signature)
        size = beats_per_bar * feel.steps_per_beat
        scores = downbeat_weight * _downbeat_shares(feel, beats.downbeats, beats_per_bar, origin)
        scores[0] += _BEGINNING
        steps = (steps - int(scores.argmax()) * feel.steps_per_beat) % num_steps
    else:
        beats_per_bar = beats_per_bar or _BEATS_PER_BAR[beats.time_signature or "4/4"]
        size = beats_per_bar * feel.steps_per_beat
        scores = downbeat_weight * _downbeat_shares(feel, beats.downbeats, beats_per_bar)
        steps -= _first_step(steps, drums, loudness, feel, scores, starts)
    steps = steps - int(steps.min()) // size * size
    pattern = _fold(steps, drums, loudness, size, bars, num_steps)
    _warn_if_sparse(pattern, steps, drums, feel.steps_per_beat)
    tracks = {
        drum: _round_velocities(pattern[drum]) if velocities else _write(pattern[drum])
        for drum in DRUMS
        if drum in pattern
    }
    tempo = _round_tempo(feel.bpm, starts) if bpm is None else bpm
    return Groove(tracks, tempo, round(feel.swing, 2), feel.steps_per_beat)


def _check(
    bars: int | None, bpm: float | None, beats_per_bar: int | None
) -> tuple[int | None, float | None, int | None]:
    if bars is not None:
        bars = to_integer(bars, "bars", minimum=1, maximum=_MOST_BARS)
    if bpm is not None:
        bpm = to_float(bpm, "bpm", minimum=SLOWEST, maximum=FASTEST, unit="beats per minute")
    if beats_per_bar is not None:
        beats_per_bar = to_integer(beats_per_bar, "beats_per_bar", minimum=1, maximum=16)
    return bars, bpm, beats_per_bar


def _check_hits(hits: Hits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Drums, starts and velocities."""
    if not isinstance(hits, (list, tuple)):
        raise InputError(f"`hits` has to be a list of hits, but is {shorten(hits)}.", "hits")
    checked = []
    for number, hit in enumerate(hits):
        try:
            drum, start, velocity = hit
            if not isinstance(drum, str) or drum not in DRUMS:
                raise ValueError
            checked.append((drum, to_float(start, "hits", 0), to_float(velocity, "hits", above=0, maximum=1)))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"`hits`: hit {number} has to be a drum of {', '.join(DRUMS)}, a start in seconds, at least 0, and a"
                f" velocity above 0 and at most 1, but is {shorten(hit)}.",
                "hits",
            ) from error
    if not checked:
        raise EmptyInputError("`hits` is empty: give at least one hit.", "hits")
    drums, starts, loudness = (np.array(values) for values in zip(*sorted(checked, key=lambda hit: hit[1])))
    return drums, starts, loudness


def _check_beats(beats: Beats | None) -> Beats:
    if beats is None:
        return Beats([], [], None, None)
    if not isinstance(beats, Beats):
        raise InputError(f"`beats` has to be the result of `extract_beats`, but is {shorten(beats)}.", "beats")
    try:
        times, downbeats = (np.array(values, dtype=float) for values in (beats.beats, beats.downbeats))
    except (TypeError, ValueError):
        times = downbeats = np.zeros((0, 0))
    if times.ndim != 1 or downbeats.ndim != 1:
        raise InputError(
            f"`beats` has to have lists of beats and downbeats in seconds, but is {shorten(beats)}.", "beats"
        )
    if not (np.isfinite(times).all() and np.isfinite(downbeats).all()):
        raise InputError("`beats` has times that are not finite.", "beats")
    if beats.tempo is not None and not (is_number(beats.tempo) and 0 < beats.tempo < math.inf):
        raise InputError(
            f"`beats.tempo` has to be None or a number of beats per minute above 0, but is {shorten(beats.tempo)}.",
            "beats",
        )
    if beats.time_signature not in (None, *_BEATS_PER_BAR):
        raise InputError(
            f"`beats.time_signature` has to be None or one of {', '.join(_BEATS_PER_BAR)}, but is"
            f" {shorten(beats.time_signature)}. Set `beats_per_bar` for others.",
            "beats",
        )
    intervals = np.diff(times)
    if (intervals <= 0).any():
        number = int((intervals <= 0).argmax()) + 1
        raise InputError(
            f"`beats` has to be in ascending order, but beat {number} ({times[number]:g} s) follows {times[number - 1]:g} s.",
            "beats",
        )
    if len(intervals) and not SLOWEST <= round(60 / np.median(intervals), 6) <= FASTEST:
        raise InputError(
            f"`beats` has to have a tempo from {SLOWEST:g} to {FASTEST:g} beats per minute, but has"
            f" {60 / np.median(intervals):.4g}.",
            "beats",
        )
    return beats


def _merge(starts: np.ndarray) -> np.ndarray:
    """The distinct onsets of simultaneous hits."""
    groups = np.concatenate([[0], np.cumsum(np.diff(starts) > _TOGETHER)])
    return np.bincount(groups, weights=starts) / np.bincount(groups)


# 1. Tempo and feel


@dataclass(frozen=True)
class _Feel:
    """Beats at `times` (seconds), and the steps between them."""

    times: np.ndarray
    steps_per_beat: int = 4
    swing: float = 0.5
    likelihood: float = -np.inf
    loop: int = 0  # beats of the recording, if it is a loop

    @property
    def bpm(self) -> float:
        return float(60 / np.median(np.diff(self.times)))

    def position(self, seconds: np.ndarray) -> np.ndarray:
        """Beats."""
        times, last = self.times, len(self.times) - 1
        inside = np.interp(seconds, times, np.arange(last + 1))
        before = np.minimum(seconds - times[0], 0) / (times[1] - times[0])
        after = np.maximum(seconds - times[-1], 0) / (times[-1] - times[-2])
        return inside + before + after

    def steps(self, seconds: np.ndarray) -> np.ndarray:
        """The nearest steps."""
        position = self.position(seconds)
        beat = np.floor(position)
        points = np.append(self.points, 1.0)
        nearest = np.abs((position - beat)[:, None] - points).argmin(axis=1)
        return (beat * self.steps_per_beat + nearest).astype(int)

    @property
    def points(self) -> np.ndarray:
        """Positions of the steps of a beat."""
        return _points(self.steps_per_beat, self.swing)


def _points(steps_per_beat: int, swing: float) -> np.ndarray:
    numbers = np.arange(steps_per_beat)
    return (numbers + (2 * swing - 1) * (numbers % 2)) / steps_per_beat


_SWINGS = (0.5, *np.arange(0.54, 0.755, 0.01).round(2))
# Steps per beat, with log priors.
_FEELS = {1: 0.0, 2: 0.0, 3: -2.0, 4: 0.0, 6: -8.0}
_SWING_PRIOR = -4.0
# Metrical levels other than that of the beat tracker.
_MULTIPLES = {1.0: 0.0, 2.0: -2.0, 0.5: -1.0, 1.5: -4.0, 2 / 3: -6.0, 0.75: -9.0, 4 / 3: -9.0}
# Beats of loops of whole bars.
_LOOPS = {4: 5.0, 8: 5.0, 16: 5.0, 32: 5.0, 2: 3.0, 3: 2.0, 6: 2.0, 12: 2.0, 24: 2.0}
_TRACKED = 2.0  # for loops at the tempo of the beat tracker
_SAME_TEMPO = 0.01  # largest difference of a loop's tempo from a given one
_FASTEST_ESTIMATE = 240.0  # beats per minute
_USUAL_TEMPO = 115.0
_TEMPO_SPREAD = 0.4  # octaves
_VERY_FAST = 3.0  # for tempos above 180: half the tempo is more usual
_TEMPOS = 60 * 2 ** np.arange(0, 1.7, 0.003)
_FITTED_TEMPOS = 12
# Probabilities of strong hits on the sixteenths and triplets of a beat.
_METER = {4: (0.37, 0.13, 0.33, 0.17), 3: (0.5, 0.15, 0.35)}
_STRONG = ("kick", "snare", "clap")
_BEGINS_ON_BEAT = 0.5  # share of the strong hits


def _find_feel(
    drums: np.ndarray,
    starts: np.ndarray,
    beats: Beats,
    bpm: float | None,
    duration: float | None,
    beats_per_bar: int | None,
) -> _Feel:
    """The tempo, the subdivision and the swing that explain the onsets best."""
    onsets = _merge(starts)
    strong = starts[np.isin(drums, _STRONG)]
    if bpm is not None or len(beats.beats) < 3:
        pulse = np.concatenate([onsets, strong, strong, beats.beats, beats.beats])
        tempos = _TEMPOS if bpm is None else [bpm]
        clocks = sorted((_clock_of_tempo(pulse, tempo) for tempo in tempos), key=lambda item: -item[0])
        candidates = [(clock, 0.0) for _, clock in clocks[:_FITTED_TEMPOS]]
    else:
        base = _clock_of_beats(np.array(beats.beats))
        base = _on_beat(base, strong, starts[0])
        scaled = ((_scale(base, multiple), prior) for multiple, prior in _MULTIPLES.items())
        fastest = max(_FASTEST_ESTIMATE, base.bpm)
        candidates = [(clock, prior) for clock, prior in scaled if len(clock.times) > 1 and clock.bpm <= fastest]
    tracked = beats.tempo if bpm is None else bpm
    if duration is not None and starts[0] < _AT_ONCE:
        for number, prior in _LOOPS.items():
            tempo = 60 * number / duration
            if number % (beats_per_bar or 1):
                continue
            if SLOWEST <= tempo <= _FASTEST_ESTIMATE if bpm is None else abs(tempo / bpm - 1) < _SAME_TEMPO:
                prior += _TRACKED * (tracked is not None and abs(tempo / tracked - 1) < 0.04)
                candidates.append((_Feel(np.arange(2) * duration / number, loop=number), prior))
    best = None
    for clock, prior in candidates:
        if not SLOWEST <= round(clock.bpm, 6) <= FASTEST:
            continue
        feel = _fit_steps(clock, onsets)
        if feel.loop and feel.steps_per_beat % 3 == 0 and _is_other_level(feel.bpm, tracked):
            # Steps of the same length are sixteenths at the tempo of the beat tracker: a duration of whole bars is chance.
            continue
        score = feel.likelihood + prior + _tempo_prior(clock.bpm)
        if best is None or score > best[0]:
            best = score, feel
    assert best is not None
    feel = best[1]
    for _ in range(2):
        feel = _fit_steps(_refine(feel, onsets, feel.bpm if feel.loop else bpm), onsets)
    return _to_common(feel)


def _is_other_level(bpm: float, tracked: float | None) -> bool:
    """Whether a tempo differs from that of the beat tracker by more than octaves."""
    octaves = 0.0 if tracked is None else np.log2(bpm / tracked)
    return abs(octaves - round(octaves)) > np.log2(1.04)


def _tempo_prior(bpm: float) -> float:
    return float(-0.5 * (np.log2(bpm / _USUAL_TEMPO) / _TEMPO_SPREAD) ** 2 - _VERY_FAST * (bpm > 180))


def _on_beat(clock: _Feel, strong: np.ndarray, first: float) -> _Feel:
    """Moves beats by half a beat if more kicks and snares are between them."""
    fractions = clock.position(strong) % 1

    def share(point: float) -> float:
        return float((np.abs((fractions - point + 0.5) % 1 - 0.5) < 0.1).sum() / max(len(strong), 1))

    balance = share(0.0) - share(0.5)
    if first < _AT_ONCE:
        begin = clock.position(np.array([first]))[0] % 1
        balance += _BEGINS_ON_BEAT * (int(min(begin, 1 - begin) < 0.12) - int(abs(begin - 0.5) < 0.12))
    if balance >= 0:
        return clock
    return _Feel(np.interp(np.arange(len(clock.times) - 1) + 0.5, np.arange(len(clock.times)), clock.times))


def _clock_of_beats(times: np.ndarray) -> _Feel:
    numbers = np.arange(len(times))
    interval, start = np.polyfit(numbers, times, 1)
    if np.abs(start + interval * numbers - times).max() < _STEADY:
        times = start + interval * numbers
    else:
        padded = np.pad(times, 2, mode="reflect", reflect_type="odd")
        times = np.convolve(padded, [0.1, 0.2, 0.4, 0.2, 0.1], "valid")
    return _Feel(times)


def _clock_of_tempo(pulse: np.ndarray, bpm: float) -> tuple[float, _Feel]:
    """Beats at a tempo, with the phase at which sixteenths or triplets fit best, and the score of the tempo."""
    interval = 60 / bpm
    phases = np.arange(24)[:, None] / 24
    fractions = (pulse / interval - phases) % 1
    metrical = np.max([_likelihood(fractions, bpm, _points(size, 0.5), _METER[size]) for size in (4, 3)], axis=0)
    phase = int(metrical.argmax())
    score = max(_likelihood(fractions[phase], bpm, _points(size, 0.5)) + _FEELS[size] for size in (4, 3))
    return float(score) + _tempo_prior(bpm), _Feel(interval * (float(phases[phase, 0]) + np.arange(2)))


def _scale(clock: _Feel, multiple: float) -> _Feel:
    """The clock at another metrical level."""
    size = len(clock.times)
    numbers = np.arange(0, (size - 1) * multiple + 1e-6) / multiple
    return _Feel(np.interp(numbers, np.arange(size), clock.times))


def _fit_steps(clock: _Feel, onsets: np.ndarray) -> _Feel:
    """The subdivision and the swing with the highest likelihood."""
    fractions = clock.position(onsets) % 1
    best = replace(clock, likelihood=-math.inf)
    for steps_per_beat, prior in _FEELS.items():
        for swing in _SWINGS if steps_per_beat in (2, 4) else _SWINGS[:1]:
            likelihood = float(_likelihood(fractions, clock.bpm, _points(steps_per_beat, swing))) + prior
            likelihood += _SWING_PRIOR * (swing != 0.5)
            if likelihood > best.likelihood:
                best = replace(clock, steps_per_beat=steps_per_beat, swing=swing, likelihood=likelihood)
    return best


def _likelihood(
    fractions: np.ndarray, bpm: float, points: np.ndarray, weights: tuple[float, ...] | None = None
) -> np.ndarray:
    """Log likelihood of onsets at fractions of a beat `(..., onsets)`, with steps that are equally probable by default."""
    spread = _JITTER * bpm / 60
    density = np.zeros_like(fractions)
    for point, weight in zip(points, weights or [1 / len(points)] * len(points)):
        distance = np.abs((fractions - point + 0.5) % 1 - 0.5)
        density += weight * np.exp(-0.5 * (distance / spread) ** 2) / (spread * np.sqrt(2 * np.pi))
    return np.log((1 - _STRAY) * density + _STRAY).sum(axis=-1)


def _refine(feel: _Feel, onsets: np.ndarray, bpm: float | None) -> _Feel:
    """Moves the beats of a constant tempo to the onsets."""
    if bpm is None and np.ptp(np.diff(feel.times)) > 1e-6:
        return feel
    steps = feel.steps(onsets)
    expected = steps // feel.steps_per_beat + feel.points[steps % feel.steps_per_beat]
    residual = feel.position(onsets) - expected
    near = np.abs(residual) < 0.35 / feel.steps_per_beat
    interval = 60 / feel.bpm
    if bpm is None and near.sum() > 3 and np.ptp(expected[near]) > 1:
        interval, start = np.polyfit(expected[near], onsets[near], 1)
    else:
        start = float(np.median((onsets - expected * interval)[near])) if near.any() else feel.times[0]
    count = max(len(feel.times), 2)
    return replace(feel, times=start + interval * np.arange(count))


def _to_common(feel: _Feel) -> _Feel:
    """Sixteenths or triplets for steps that are coarser, which are easier to edit."""
    steps_per_beat, swing = feel.steps_per_beat, feel.swing
    if steps_per_beat == 1 or (steps_per_beat == 2 and swing == 0.5):
        steps_per_beat = 4
    elif steps_per_beat == 2 and abs(swing - 2 / 3) < 0.035:
        steps_per_beat, swing = 3, 0.5
    return replace(feel, steps_per_beat=steps_per_beat, swing=swing)


def _round_tempo(bpm: float, onsets: np.ndarray) -> float:
    """The tempo with the fewest decimals that keeps the onsets in their places."""
    span = float(onsets[-1] - onsets[0])
    bpm = min(max(bpm, SLOWEST), FASTEST)
    for decimals in (0, 1):
        rounded = round(bpm, decimals)
        if span * abs(bpm / rounded - 1) < 0.02 + 0.002 * span:
            return float(rounded)
    return round(bpm, 2)


# 2. Bars

_ESTIMATED_DOWNBEATS = 1.0
_GIVEN_DOWNBEATS = 100.0  # the others decide only between beats with equally many
_BACKBEAT = 1.0
_KICK = 0.5
_BEGINNING = 1.5  # for a recording that begins with a hit, or a loop


def _first_step(
    steps: np.ndarray,
    drums: np.ndarray,
    loudness: np.ndarray,
    feel: _Feel,
    downbeats: np.ndarray,
    starts: np.ndarray,
) -> int:
    """A step that begins a bar; `downbeats` are scores of the beats of a bar."""
    per_beat, beats_per_bar = feel.steps_per_beat, len(downbeats)
    scores = downbeats.copy()

    def profile(*names: str) -> np.ndarray:
        """Shares of the hits on each beat of the bar."""
        chosen = np.isin(drums, names) & (steps % per_beat == 0)
        sums = np.bincount(steps[chosen] // per_beat % beats_per_bar, loudness[chosen], beats_per_bar)
        return sums / max(sums.sum(), 1e-9)

    snare, kick = profile("snare", "clap", "rim"), profile("kick")
    for first in range(beats_per_bar):
        scores[first] += _BACKBEAT * _backbeat(np.roll(snare, -first))
        scores[first] += _KICK * (kick[first] - kick.mean())
    first_beat = steps[0] / per_beat
    if starts[0] < _AT_ONCE and first_beat == round(first_beat):
        scores[int(first_beat) % beats_per_bar] += _BEGINNING
    first = int(scores.argmax())
    return first * per_beat


def _downbeat_shares(feel: _Feel, downbeats: list[float], beats_per_bar: int, origin: int = 0) -> np.ndarray:
    """Shares of the downbeats on each beat of the bars that begin at the step `origin`."""
    if not len(downbeats):
        return np.zeros(beats_per_bar)
    beats = np.round(feel.position(np.array(downbeats)) - origin / feel.steps_per_beat).astype(int)
    return np.bincount(beats % beats_per_bar, minlength=beats_per_bar) / len(downbeats)


def _backbeat(shares: np.ndarray) -> float:
    """A score of the shares of snare hits on each beat: on the second and fourth of four, or in half time on the third."""
    if len(shares) != 4:
        return float(shares[1:].min() - shares[0]) if len(shares) > 1 else 0.0
    return float(2 * min(shares[1], shares[3]) + 0.5 * shares[2] - shares[0])


_SHARE = 0.5  # of the repetitions in which a step is hit
_COST_PER_HIT = 0.25  # of a longer pattern, in hits that a shorter one does not explain


Pattern = dict[str, np.ndarray]  # velocities of the steps of each drum


def _meter_of_loop(
    steps: np.ndarray, drums: np.ndarray, loudness: np.ndarray, feel: _Feel, time_signature: str | None
) -> int:
    """Beats per bar of a loop: if there may be three or four, the number with which bars repeat better."""
    if feel.loop % 12:
        return next(number for number in (4, 3, 2) if feel.loop % number == 0)
    usual, num_steps = 3 if time_signature == "3/4" else 4, feel.loop * feel.steps_per_beat
    costs = {}
    for number in (4, 3):
        found = _find_pattern(steps, drums, loudness, number * feel.steps_per_beat, (1, 2), num_steps)
        costs[number] = math.inf if found is None else found[0] + (number != usual)
    return min(costs, key=lambda number: costs[number])


def _fold(
    steps: np.ndarray, drums: np.ndarray, loudness: np.ndarray, size: int, bars: int | None, num_steps: int | None
) -> Pattern:
    """The pattern of hits in bars of a number of steps; `num_steps` is the length of a loop."""
    length = -(-(num_steps or int(steps.max()) + 1) // size)  # bars
    if bars is not None and bars > length:
        lasting = f"{length} bar{'s' if length > 1 else ''}"
        raise InputError(
            f"`bars` is {bars}, but the drums last {lasting}. Repeat the steps of the groove instead.", "bars"
        )
    if bars is not None and bars * size > _MOST_STEPS:
        raise InputError(
            f"`bars` is {bars}, but a pattern has at most {_MOST_STEPS} steps, of which a bar here has {size}.", "bars"
        )
    found = _find_pattern(steps, drums, loudness, size, (1, 2) if bars is None else (bars,), num_steps)
    if found is None:
        raise InputError(
            f"The drums do not repeat a pattern: no drum is hit on the same step in most of the {length} bars. Use an"
            " excerpt, or set `bpm`, `beats_per_bar` or `bars`.",
            "audio",
        )
    return found[1]


def _find_pattern(
    steps: np.ndarray,
    drums: np.ndarray,
    loudness: np.ndarray,
    size: int,
    counts: tuple[int, ...],
    num_steps: int | None,
) -> tuple[float, Pattern] | None:
    """The cost and the pattern of the best number of bars, if there is one."""
    end = num_steps or int(steps.max()) + 1
    best = None
    for count in counts:
        if (count - 1) * size >= end:
            continue
        pattern, errors = _median_pattern(
            steps, drums, loudness, count * size, 0 if num_steps else int(steps.min()), end
        )
        hits = sum(int((values > 0).sum()) for values in pattern.values())
        cost = errors + _COST_PER_HIT * hits
        if pattern and (best is None or cost < best[0]):
            best = cost, pattern
    if best is None and num_steps:  # silence after the drums
        return _find_pattern(steps, drums, loudness, size, counts, None)
    return best


def _median_pattern(
    steps: np.ndarray, drums: np.ndarray, loudness: np.ndarray, size: int, begin: int, end: int
) -> tuple[Pattern, int]:
    """
    The pattern that most repetitions from `begin` to `end` share, and the number of hits by which the recording differs
    from it.
    """
    covered = np.bincount(np.arange(begin, end) % size, minlength=size)
    pattern, errors = {}, 0
    for drum in np.unique(drums):
        own = drums == drum
        values = np.zeros(end)
        np.maximum.at(values, steps[own], loudness[own])
        columns = [values[place::size] for place in range(size)]
        counts = np.array([(column > 0).sum() for column in columns])
        is_hit = counts > _SHARE * covered
        errors += int(np.where(is_hit, covered - counts, counts).sum())
        if is_hit.any():
            pattern[str(drum)] = np.array(
                [np.median(column[column > 0]) if hit else 0.0 for column, hit in zip(columns, is_hit)]
            )
    return pattern, errors


_FEWEST_HITS = 0.5  # per beat, of a groove that is not nearly empty


def _warn_if_sparse(pattern: Pattern, steps: np.ndarray, drums: np.ndarray, steps_per_beat: int):
    """Warns if a pattern is nearly empty, or lacks most of the hits."""
    size = len(next(iter(pattern.values())))
    num_hits = sum(int((values > 0).sum()) for values in pattern.values())
    kept = sum(drum in pattern and pattern[drum][step % size] > 0 for drum, step in zip(drums, steps))
    if num_hits >= _FEWEST_HITS * size / steps_per_beat and kept >= _SHARE * len(steps):
        return
    found = ", ".join(f"{count} {drum}" for drum, count in Counter(map(str, drums)).items())
    logger.warning(
        f"The groove may not be that of the drums: it has {num_hits} hit{'s' * (num_hits != 1)} in"
        f" {size // steps_per_beat} beats, and {kept} of the {len(steps)} hits that were found ({found}). If the recording has drums, use an excerpt, or set `bpm`,"
        " `beats_per_bar` or `bars`."
    )


_SOFT = 0.71  # velocity between those of "o" (0.5) and "x" (1)


def _write(values: np.ndarray) -> str:
    return "".join("." if value == 0 else "x" if value >= _SOFT else "o" for value in values)


def _round_velocities(values: np.ndarray) -> tuple[float, ...]:
    """Velocities with two decimals; hits stay hits."""
    return tuple(max(round(float(value), 2), 0.01) if value > 0 else 0.0 for value in values)
