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
Notes of a single voice: the pitch by SwiftF0 (Nieradzik, 2025), divided into notes by dynamic programming.

A note is a stretch of time with one semitone. The notes minimize the sum of

- the deviations of the pitch from them, weighted by its confidence: a vibrato or a short glide deviates less than it
  would cost to follow it with notes of their own,
- the unvoiced and quiet frames within them, and
- a cost for each note, which is lower where the spectrum rises suddenly: at such an onset, a note is repeated.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ..audio.stream import AudioStream
from ..utils.optional_imports import import_optional
from .progress import SecondsBar


RATE = 16000  # Hz, of SwiftF0

_HOP = 128  # samples: 8 ms; SwiftF0 has a frame every second hop
_BLOCK = 1000  # frames: 8 s
_CONTEXT = 24  # frames on either side: more than any of the steps below needs, and SwiftF0's 11 frames
_WINDOW = 512  # samples, of the spectrum
_BANDS = (80, 300, 600, 1000, 1600, 2500, 4000, 7000)  # Hz
_PEAK = 0.5  # to which recordings are normalized
_SILENCE = 1e-4  # recordings with a lower peak have no notes
_FLOOR = -55.0  # dB; lower levels of a band are ignored

_NOTE_COST = 7.0  # of a note; 1 is the cost of a deviation by a semitone for 16 ms
_RESOLUTION = 0.25  # semitones, of notes from which the tuning is estimated
_LARGEST_DEVIATION = 1.5  # semitones; larger deviations are octave errors or noise
_RISE_SPAN = 4  # frames in which the spectrum rises
_SMALLEST_RISE = 4.0  # dB, mean over the bands, of an onset
_LARGEST_RISE = 10.0
_RISE_WEIGHT = 1.0  # reduction of the cost per dB
_RISE_DISTANCE = 8  # frames between onsets
_DIP = 2.0  # dB below the level before and after, from which frames are quiet
_DIP_WEIGHT = 2.0  # cost per dB
_DIP_SPAN = 8  # frames
_GAP = 0.08  # seconds; shorter gaps are consonants, not rests
_SHORTEST_NOTE = 0.05  # seconds; shorter notes are errors

Note = tuple[int, float, float]


def track_notes(audio: Any, sampling_rate: int | None = None, progress: bool = False) -> list[Note]:
    r"""
    Estimates the notes of a single voice or instrument.

    Args:
        audio, sampling_rate, progress: as [`extract_melody`].

    Returns:
        `list` of `(MIDI number, start, end)` in seconds, in temporal order and without overlaps, also outside the range
        of the melody control (G2–B6). Repeated notes are separate notes, even without a gap.

    Raises: as [`extract_melody`].
    """
    import_optional("swift_f0", "extraction")
    stream = AudioStream(audio, sampling_rate, RATE)
    peak = max((float(np.abs(block).max(initial=0)) for block in stream), default=0.0)
    if peak < _SILENCE:
        return []
    contours = [*_contours(stream, _PEAK / peak, progress)]
    pitches, confidences, rises, dips = (np.concatenate(parts) for parts in zip(*contours))
    notes: list[Note] = []
    for note, first, last in _divide(pitches, confidences, rises, dips):
        start = first * _HOP / RATE
        if (last - first) * _HOP / RATE < _SHORTEST_NOTE:
            continue
        if notes and start - notes[-1][2] < _GAP:
            notes[-1] = (*notes[-1][:2], start)
        notes.append((note, start, min(last * _HOP / RATE, stream.duration)))
    return notes


@lru_cache(maxsize=1)
def _detector() -> Any:
    swift_f0 = import_optional("swift_f0", "extraction")
    return swift_f0.SwiftF0(threads=torch.get_num_threads(), spin=False)


# 1. Contours


def _contours(stream: AudioStream, gain: float, progress: bool) -> Iterator[tuple[np.ndarray, ...]]:
    """
    Blocks of the pitch as a fractional MIDI number, its confidence (0 to 1), the rise of the spectrum at onsets (dB),
    and the depth of dips of the level (dB), one each every 8 ms.
    """
    num_frames, start = math.ceil(stream.duration * RATE / _HOP), 0
    size = (_CONTEXT + _BLOCK + _CONTEXT) * _HOP
    with SecondsBar("melody", stream.duration, progress) as bar:
        for blocks in stream.frames(size, _BLOCK * _HOP, before=_CONTEXT * _HOP):
            for block in blocks:
                samples = gain * block
                result = _detector().detect(samples, RATE)
                levels = _band_levels(samples)
                pitches, confidences = _double(result.pitch_hz, result.confidence)
                inside = slice(_CONTEXT, _CONTEXT + min(_BLOCK, num_frames - start))
                contours = pitches, confidences, _rises(levels), _dips(levels)
                yield tuple(contour[inside].astype(np.float32) for contour in contours)
                start += _BLOCK
                bar.update(_BLOCK * _HOP / RATE)


def _double(frequencies: np.ndarray, confidences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interpolates frames of 16 ms to 8 ms; frequencies in Hz become fractional MIDI numbers."""
    pitches = 69 + 12 * np.log2(np.maximum(frequencies, 1.0) / 440)
    following, confidences_after = (np.append(values[1:], values[-1]) for values in (pitches, confidences))
    surer = np.where(confidences_after > confidences, following, pitches)
    between = np.where(np.abs(following - pitches) < 1, (pitches + following) / 2, surer)
    return (
        np.stack([pitches, between], axis=1).ravel(),
        np.stack([confidences, (confidences + confidences_after) / 2], axis=1).ravel(),
    )


def _band_levels(samples: np.ndarray) -> np.ndarray:
    """Levels `(frames, bands)` in dB."""
    padded = np.pad(samples, _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[: len(samples) : _HOP]
    window = torch.hann_window(_WINDOW)
    power = torch.fft.rfft(torch.from_numpy(frames * window.numpy())).abs().square().numpy() / float(window.sum()) ** 2
    edges = np.round(np.array(_BANDS) * _WINDOW / RATE).astype(int)
    bands = np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1)
    return np.maximum(10 * np.log10(4 * bands + 1e-12), _FLOOR)


def _extreme(values: np.ndarray, function: Any, before: int, after: int) -> np.ndarray:
    """The minimum or maximum over `before` earlier and `after` later frames."""
    padded = np.pad(values, [(before, after)] + [(0, 0)] * (values.ndim - 1), mode="edge")
    return function(np.lib.stride_tricks.sliding_window_view(padded, before + after + 1, axis=0), axis=-1)


def _rises(levels: np.ndarray) -> np.ndarray:
    """Sudden rises of the spectrum in dB above the smallest one, 0 except at their peaks."""
    lowest, highest = _extreme(levels, np.min, _RISE_SPAN, 0), _extreme(levels, np.max, 0, _RISE_SPAN)
    rise = (highest - lowest).clip(0, 25).mean(axis=1)
    before = np.pad(_extreme(rise, np.max, _RISE_DISTANCE - 1, 0), (1, 0), mode="edge")[:-1]
    is_peak = (rise > before) & (rise >= _extreme(rise, np.max, 0, _RISE_DISTANCE))
    return np.where(is_peak, (rise.clip(max=_LARGEST_RISE) - _SMALLEST_RISE).clip(0), 0)


def _dips(levels: np.ndarray) -> np.ndarray:
    """Depth in dB of quiet moments between louder ones."""
    level = 10 * np.log10((10 ** (levels / 10)).sum(axis=1))
    around = np.minimum(_extreme(level, np.max, _DIP_SPAN, 0), _extreme(level, np.max, 0, _DIP_SPAN))
    return (around - level - _DIP).clip(0)


# 2. Notes


def _divide(
    pitches: np.ndarray, confidences: np.ndarray, rises: np.ndarray, dips: np.ndarray
) -> list[tuple[int, int, int]]:
    """Divides contours into notes `(MIDI number, first frame, frame after the last)`."""
    voiced = confidences > 0.5
    if not voiced.any():
        return []
    odds = confidences.astype(np.float64).clip(0.01, 0.99)
    frame_costs = _DIP_WEIGHT * dips - np.log(odds / (1 - odds))
    onset_costs = _NOTE_COST - _RISE_WEIGHT * rises
    semitones = np.arange(math.floor(pitches[voiced].min()) - 1, math.ceil(pitches[voiced].max()) + 2)
    # The tuning is estimated from notes on a finer grid: averaged over a note, a vibrato cancels out.
    fine = np.arange(semitones[0], semitones[-1] + 1, _RESOLUTION)
    tuning = 0j
    for _, first, last in _fit(fine, pitches, confidences, frame_costs, onset_costs):
        tuning += (last - first) * np.exp(2j * np.pi * np.average(pitches[first:last], weights=odds[first:last]))
    offset = np.angle(tuning) / (2 * np.pi)
    notes = _fit(semitones + offset, pitches, confidences, frame_costs, onset_costs)
    return [(int(semitones[index]), first, last) for index, first, last in notes]


def _fit(
    grid: np.ndarray, pitches: np.ndarray, confidences: np.ndarray, frame_costs: np.ndarray, onset_costs: np.ndarray
) -> list[tuple[int, int, int]]:
    """The notes `(index of the pitch in the grid, first frame, frame after the last)` with the lowest costs."""
    weight = _HOP / RATE / 0.016  # of a frame
    # Lowest costs of notes that last until the current frame, and their first frames.
    costs, starts = np.full(len(grid), np.inf), np.zeros(len(grid), dtype=np.int32)
    # The note that ends with each frame, if any, and its first frame.
    ended = np.full(len(pitches), -1, dtype=np.int16)
    first = np.arange(len(pitches), dtype=np.int32)
    best = 0.0
    for frame, pitch in enumerate(pitches):
        start = best + onset_costs[frame]
        starts[start < costs] = frame
        np.minimum(costs, start, out=costs)
        deviations = np.minimum(np.abs(grid - pitch), _LARGEST_DEVIATION)
        costs += weight * (confidences[frame] * deviations + frame_costs[frame])
        index = int(costs.argmin())
        if costs[index] < best:
            best, ended[frame], first[frame] = float(costs[index]), index, starts[index]
    notes, frame = [], len(pitches) - 1
    while frame >= 0:
        if ended[frame] >= 0:
            notes.append((int(ended[frame]), int(first[frame]), frame + 1))
        frame = int(first[frame]) - 1
    return notes[::-1]
