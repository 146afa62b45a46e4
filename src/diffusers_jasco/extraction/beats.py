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


"""Beat tracking."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..audio.stream import AudioStream
from ..utils.spooling import SpooledRows
from .beat_model import BANDS, FRAME_RATE, HOP, LOUDEST, NUM_BANDS, RATE, WINDOW, BeatModel
from .lists import accepts_lists
from .progress import SecondsBar


class Beats(NamedTuple):
    r"""
    The beats of a recording.

    Attributes:
        beats (`list[float]`): times in seconds, ascending.
        downbeats (`list[float]`): the beats that start a bar.
        tempo (`float`, *optional*): beats per minute, or `None` without beats. Where the tempo varies, the median.
        time_signature (`str`, *optional*): "2/4", "3/4", "4/4" or "6/8", or `None` without beats. A beat of 6/8 is a
            dotted quarter.
    """

    beats: list[float]
    downbeats: list[float]
    tempo: float | None
    time_signature: str | None


@accepts_lists
def extract_beats(
    audio: Any,
    sampling_rate: int | None = None,
    progress: bool = False,
) -> Beats:
    r"""
    Estimates the beats, the downbeats, the tempo and the time signature of a recording: a network ([`BeatModel`])
    estimates the probability of beats, and a hidden Markov model finds the most probable sequence at 45 to 220 beats
    per minute (Krebs, Böck and Widmer, "An efficient state-space model for joint tempo and meter tracking", 2015).

    Args:
        audio (`str`, `os.PathLike`, `torch.Tensor` or `np.ndarray`, or a `list` of them):
            A file, or a waveform `(samples,)` or `(channels, samples)`. It is read in blocks, in bounded memory.
        sampling_rate (`int`, *optional*):
            Sampling rate of waveforms in Hz.
        progress (`bool`, defaults to `False`):
            Whether to show a progress bar.

    Returns:
        [`Beats`]: with empty lists and `None` for silence and for audio without a beat, if it lasts at least 10 s: in
        less, a beat is found even in noise. For a list of recordings, a list of `Beats`.

    Raises:
        `FileNotFoundError`: if a file does not exist.
        [`InputError`]: for input that is not audio.
    """
    stream = AudioStream(audio, sampling_rate, RATE)
    with SpooledRows((NUM_BANDS,), np.float16) as magnitudes:
        highest = _read_magnitudes(stream, magnitudes, progress)
        return _track(magnitudes, highest, stream.duration)


def tempo_of_beats(beats: Sequence[float] | np.ndarray) -> float | None:
    r"""
    The tempo of a sequence of beats: the median over half of the sequence, which is more precise than single intervals.

    Args:
        beats (`Sequence[float]` or `np.ndarray`): ascending times in seconds.

    Returns:
        `float` or `None`: beats per minute; `None` for fewer than two beats.
    """
    if len(beats) < 2:
        return None
    times, span = np.asarray(beats, dtype=float), len(beats) // 2
    return float(60 * span / np.median(times[span:] - times[:-span]))


def _track(magnitudes: SpooledRows, highest: np.ndarray, duration: float) -> Beats:
    scale = LOUDEST / max(float(highest.max(initial=0)), 1e-6)
    activations = _run_model(magnitudes, scale)
    frames, is_downbeat, meter = _decode(activations)
    # The hidden Markov model also continues through silence before and after the music. The last windows with sound
    # are centered after its end.
    sounding = np.flatnonzero(highest > _QUIET * highest.max(initial=0))
    first, last = (sounding[0], sounding[-1] - 2) if len(sounding) else (0, -1)
    kept = (frames >= first) & (frames <= last)
    frames, is_downbeat = frames[kept], is_downbeat[kept]
    if len(frames) < 2:
        return Beats([], [], None, None)
    times = np.clip(_refine(frames, activations) / FRAME_RATE, 0, duration)
    tempo = tempo_of_beats(times)
    assert tempo is not None
    beats = [round(float(time), 4) for time in times]
    time_signature = f"{meter}/4"
    if meter == 2 and _is_compound(times * FRAME_RATE, magnitudes, scale):
        time_signature = "6/8"
    downbeats = [beat for beat, is_first in zip(beats, is_downbeat) if is_first]
    return Beats(beats, downbeats, round(tempo, 2), time_signature)


# 1. Probabilities of beats

_QUIET = 1e-3  # relative magnitude: -60 dB
_LARGEST = 6e4  # magnitude
_BLOCK = 8192  # frames per forward pass: 164 s
_BEATS_AT_ONCE = 128  # of which spectra are compared


def _read_magnitudes(stream: AudioStream, magnitudes: SpooledRows, progress: bool) -> np.ndarray:
    """Appends the magnitudes of each frame, and returns the highest of each, `(frames,)`."""
    parts = [np.zeros(0, np.float16)]
    with SecondsBar("beats", stream.duration, progress) as bar:
        for frames in stream.frames(WINDOW, HOP):
            # Half precision is enough: waveforms within ±1 have magnitudes up to 320.
            part = BANDS.magnitudes(frames).clip(max=_LARGEST).astype(np.float16)
            magnitudes.append(part)
            parts.append(part.max(axis=1))
            bar.update(len(frames) / FRAME_RATE)
    return np.concatenate(parts)


@lru_cache(maxsize=1)
def _model() -> BeatModel:
    return BeatModel.from_pretrained(Path(__file__).parent / "weights" / "beats").eval()


@torch.inference_mode()
def _run_model(magnitudes: SpooledRows, scale: float) -> np.ndarray:
    """Scaled magnitudes → probabilities (frames, 2) of beats that do not start a bar, and of downbeats."""
    model, activations = _model(), np.zeros((len(magnitudes), 2), np.float32)
    for start in range(0, len(magnitudes), _BLOCK):
        first, end = max(start - model.context, 0), start + _BLOCK
        block = torch.from_numpy(magnitudes.read(first, end + model.context).astype(np.float32) * scale)
        activations[start:end] = model(block[None])[0].softmax(dim=-1)[start - first :][:_BLOCK, :2].numpy()
    return activations


# 2. Decoding. The tempo of the hidden Markov model changes at beats only. So a path is a sequence of beats, and the
# model is evaluated from beat to beat instead of from frame to frame, for all beats within the shortest interval at
# once.

# Beats per bar, and the weight of a bar. With equal weights, 4/4 with a strong third beat is often taken for 2/4, and
# 3/4, which is rare in the training data, for 4/4.
_METERS = {2: 0.3, 3: 1.5, 4: 1.0}
_SLOWEST = 45  # beats per minute
_FASTEST = 220  # beats per minute
_INTERVALS = np.arange(round(60 * FRAME_RATE / _FASTEST), round(60 * FRAME_RATE / _SLOWEST) + 1)  # frames
_BEAT_LENGTH = 1 / 16  # of the time from beat to beat
_STEADINESS = 100.0  # a relative change of the interval by x has a probability proportional to exp(-100 |x|)
_LARGEST_CHANGE = 6  # frames, from one interval to the next
_FLOOR = 1e-3  # lowest probability
_EVIDENCE = 3.0  # nats per second by which beats have to be more probable than none, so that noise has no beats


def _decode(activations: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Probabilities (frames, 2) → frames of the beats, whether each is a downbeat, and the beats per bar."""
    with SpooledRows((len(_INTERVALS), sum(_METERS)), np.uint8) as origins:
        return _find_beats(activations, origins)


def _find_beats(activations: np.ndarray, origins: SpooledRows) -> tuple[np.ndarray, np.ndarray, int]:
    """[`_decode`], with empty `origins` for the changes of the interval that lead to each frame and state."""
    # A frame before the recording, for a beat at its beginning.
    activations = np.pad(activations, ((1, 0), (0, 0)))
    num_frames = len(activations)
    intervals, shortest, longest = _INTERVALS, _INTERVALS[0], _INTERVALS[-1]
    # The state at a beat: the interval to the next beat, and the meter with the position in the bar.
    meters = np.concatenate([np.full(meter, meter) for meter in _METERS])
    positions = np.concatenate([np.arange(meter) for meter in _METERS])
    previous = np.arange(len(meters)) - 1 + meters * (positions == 0)
    starts_bar = positions[previous] == 0
    log_weights = np.where(starts_bar, np.log([_METERS[meter] for meter in meters]), 0).astype(np.float32)
    log_changes = _log_changes(intervals)

    # Sums of the log probabilities of a beat, a downbeat and neither before each frame; 0 outside the recording.
    neither = (1 - activations.sum(axis=1)).clip(_FLOOR) * _BEAT_LENGTH / (1 - _BEAT_LENGTH)
    logs = np.log([*activations.T.clip(_FLOOR), neither], dtype=np.float64)
    sums = np.pad(logs, ((0, 0), (longest + 1, longest + shortest)))
    sums.cumsum(axis=1, out=sums)

    # Scores of beats in the frames before the block, whose first beat has index `longest`.
    scores = np.tile(-np.log(meters).astype(np.float32), (longest, len(intervals), 1))
    ends = longest + np.arange(shortest)[:, None]
    starts = ends - intervals
    beat_ends = np.minimum(starts + np.ceil(intervals * _BEAT_LENGTH).astype(int), ends)
    # Padded by intervals that do not exist.
    padded = np.full((shortest, len(intervals) + 2 * _LARGEST_CHANGE, len(meters)), -np.inf, dtype=np.float32)
    arriving = padded[:, _LARGEST_CHANGE:-_LARGEST_CHANGE]
    total, best, last = 0.0, -np.inf, None
    for block in range(0, num_frames + longest, shortest):
        in_beat = sums[:2, block + beat_ends] - sums[:2, block + starts]
        observed = (in_beat + sums[2, block + ends] - sums[2, block + beat_ends]).astype(np.float32)
        arriving[:] = scores[starts, np.arange(len(intervals))][..., previous] + log_weights
        arriving += np.where(starts_bar, observed[1, ..., None], observed[0, ..., None])
        if block + shortest > num_frames:
            # A path ends with the first beat after the recording.
            is_last = (block + ends >= longest + num_frames) & (block + starts < longest + num_frames)
            final = np.where(is_last[..., None], arriving, -np.inf)
            if total + final.max() > best:
                best = total + final.max()
                frame, interval, state = np.unravel_index(final.argmax(), final.shape)
                last = block + frame, interval, state
        highest, origin = np.full_like(arriving, -np.inf), np.zeros(arriving.shape, np.uint8)
        for change, log_change in enumerate(log_changes):
            candidates = padded[:, change : change + len(intervals)] + log_change[:, None]
            origin[candidates > highest] = change
            np.maximum(highest, candidates, out=highest)
        origins.append(origin[: max(num_frames - block, 0)])
        # Kept relative to the highest, as they fall with every frame.
        top = highest.max()
        total += top
        scores = np.concatenate([scores[shortest:], highest]) - top

    assert last is not None
    frames, is_downbeat = [], []
    if best > sums[2, -1] + _EVIDENCE * num_frames / FRAME_RATE:
        frame, interval, state = last
        frame, state = frame - intervals[interval], previous[state]
        while frame >= 0:
            frames.append(frame)
            is_downbeat.append(positions[state] == 0)
            interval += int(origins.read(frame, frame + 1)[0, interval, state]) - _LARGEST_CHANGE
            frame, state = frame - intervals[interval], previous[state]
    return (
        np.maximum(np.array(frames[::-1], dtype=int) - 1, 0),
        np.array(is_downbeat[::-1], dtype=bool),
        int(meters[last[2]]),
    )


def _log_changes(intervals: np.ndarray) -> np.ndarray:
    """Log probabilities (changes, intervals) of an interval after that `changes - _LARGEST_CHANGE` positions above."""
    index = np.arange(len(intervals))
    distance = index[:, None] - index
    changes = np.exp(-_STEADINESS * np.abs(intervals / intervals[:, None] - 1))  # (from, to)
    changes[np.abs(distance) > _LARGEST_CHANGE] = 0
    changes /= changes.sum(axis=1, keepdims=True)
    origins = index + np.arange(-_LARGEST_CHANGE, _LARGEST_CHANGE + 1)[:, None]
    exists = (origins >= 0) & (origins < len(intervals))
    values = changes[origins.clip(0, len(intervals) - 1), index]
    return np.log(np.where(exists, values, 1e-30)).astype(np.float32)


def _refine(frames: np.ndarray, activations: np.ndarray) -> np.ndarray:
    """Moves each beat to the center of the activations around it: fractional frames."""
    offsets = np.arange(-2, 4)
    padded = np.pad(activations.sum(axis=1), (2, 3))
    weights = padded[frames[:, None] + offsets + 2] ** 2 + 1e-9
    return frames + (weights * offsets).sum(axis=1) / weights.sum(axis=1)


def _is_compound(beats: np.ndarray, magnitudes: SpooledRows, scale: float) -> bool:
    """Whether onsets at thirds of the beats (fractional frames) are stronger than those at halves."""

    def rises(first: int, *shares: float) -> np.ndarray:
        part = beats[first : first + _BEATS_AT_ONCE + 1]
        frames = np.round(part[:-1, None] + np.diff(part)[:, None] * shares).astype(int)
        nearby = (frames[..., None] + np.arange(-1, 2)).clip(1, len(magnitudes) - 1)
        start = int(nearby.min()) - 1
        levels = np.log10(1 + scale * magnitudes.read(start, int(nearby.max()) + 1).astype(np.float32))
        return (levels[nearby - start] - levels[nearby - start - 1]).clip(0).sum(axis=-1).max(axis=-1)

    def strength(*shares: float) -> float:
        starts = range(0, len(beats) - 1, _BEATS_AT_ONCE)
        return float(np.concatenate([rises(first, *shares) for first in starts]).mean())

    return strength(1 / 3, 2 / 3) > strength(1 / 2)
