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

"""Drift over a long piece: of the time, of the level, and of the adherence to controls."""

import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...audio.io import load_audio
from ...data.preparation.controls import cut_chords, cut_notes
from ..adherence import Adherence, analyze, measure_adherence, score, score_floor
from ..control_estimators import ESTIMATORS, Estimator
from ..estimators.onsets import percussive_flux
from ..estimators.spectra import SAMPLING_RATE, load_mono
from .sample_sizes import MIN_CLIPS
from .sound import SILENT_LEVEL


WINDOW_SECONDS = 10.0
MAX_LAG = 0.25  # seconds
MIN_CORRELATION = 0.35
_FRAME_RATE = 100  # Hz, that of `percussive_flux`
_SMOOTHING = 0.03  # seconds: standard deviation of a Gaussian
_BURST_SECONDS = 0.1
_DECAY = 0.02  # seconds


@dataclass(frozen=True)
class Drift:
    r"""
    How far a piece runs ahead of its requested onsets or behind them, from [`measure_drift`].

    Args:
        times (`np.ndarray` of shape `(windows,)`): centers of the windows in seconds.
        lags (`np.ndarray` of shape `(windows,)`): ms, positive if the piece is late; NaN without a clear lag.
        correlations (`np.ndarray` of shape `(windows,)`): correlation of the envelopes at the best lag, in [-1, 1]; 0
            where one of them is constant.
        slope (`float`): ms per minute; NaN with fewer than two lags.
        last_minus_first (`float`): last lag minus first lag in ms; NaN with fewer than two lags.
    """

    times: np.ndarray
    lags: np.ndarray
    correlations: np.ndarray
    slope: float
    last_minus_first: float


def measure_drift(audio: Any, requested: Any) -> Drift:
    r"""
    Measures how the timing of a piece drifts away from the requested onsets. In windows of 10 s, the lag is that of
    the largest cross-correlation of the requested with the estimated onset envelope, to a fraction of a frame by
    parabolic interpolation. Lags within 250 ms of the previous window's lag are considered (within 250 ms of 0 before
    the first). The slope is the median of the slopes of all pairs of windows (Theil, 1950; Sen, 1968), so single
    outliers do not affect it. The measure is ours.

    Both envelopes are [`~evaluation.estimators.onsets.percussive_flux`], smoothed by a Gaussian of 30 ms. Requested
    onsets are played as short bursts of noise, so that the estimator's delay cancels out. Drift within a window lowers
    the correlation, so at 1% dense rhythms may have no lag.

    Args:
        audio: the piece, as [`~evaluation.estimators.spectra.load_mono`] takes it.
        requested (`Sequence[float]`, `tuple`, `dict`, `str` or `os.PathLike`):
            Requested onsets in seconds (a list or an array), or a recording of the requested drums.

    Returns:
        [`Drift`]: windows in which the largest correlation is below 0.35 have no lag. An incomplete last window is
        ignored, unless it is the only one, and so are requested onsets after the end of the piece.
    """
    samples = load_mono(audio)
    is_onsets = isinstance(requested, (list, np.ndarray, torch.Tensor)) and np.ndim(requested) == 1
    reference = _play_bursts(requested, len(samples)) if is_onsets else load_mono(load_audio(requested, "requested"))
    estimate, target = (_smooth(percussive_flux((part, SAMPLING_RATE))) for part in (samples, reference))
    frames = min(len(estimate), len(target))
    size = min(round(WINDOW_SECONDS * _FRAME_RATE), frames)
    starts = np.arange(frames // size) * size
    lags, correlations, expected = np.full(len(starts), np.nan), np.zeros(len(starts)), 0.0
    for index, start in enumerate(starts):
        lag, correlations[index] = _find_lag(estimate, target, start, size, expected)
        if correlations[index] >= MIN_CORRELATION:
            lags[index] = expected = lag
    times = (starts + size / 2) / _FRAME_RATE
    lags *= 1000 / _FRAME_RATE
    found = np.flatnonzero(~np.isnan(lags))
    slope = last_minus_first = math.nan
    if len(found) >= 2:
        first, second = np.triu_indices(len(found), 1)
        rises = lags[found[second]] - lags[found[first]]
        slope = float(np.median(rises / (times[found[second]] - times[found[first]]))) * 60
        last_minus_first = float(lags[found[-1]] - lags[found[0]])
    return Drift(times, lags, correlations, slope, last_minus_first)


def _play_bursts(onsets: Sequence[float], num_samples: int) -> np.ndarray:
    """Bursts of noise that decay within some 20 ms, at 16 kHz."""
    size = round(_BURST_SECONDS * SAMPLING_RATE)
    onsets = np.asarray(onsets, dtype=float)
    if not (np.isfinite(onsets).all() and (onsets >= 0).all()):
        raise ValueError(f"`requested` has to consist of times in seconds from 0 on, but got {reprlib.repr(onsets)}.")
    burst = 0.1 * np.random.default_rng(0).standard_normal(size) * np.exp(-np.arange(size) / (_DECAY * SAMPLING_RATE))
    samples = np.zeros(num_samples + size)
    for onset in onsets:
        first = round(onset * SAMPLING_RATE)
        if 0 <= first < num_samples:
            samples[first : first + size] = burst
    return samples[:num_samples].astype(np.float32)


def _smooth(envelope: np.ndarray) -> np.ndarray:
    half = round(4 * _SMOOTHING * _FRAME_RATE)
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / (_SMOOTHING * _FRAME_RATE)) ** 2)
    return np.convolve(envelope, kernel / kernel.sum())[half : half + len(envelope)]


def _find_lag(estimate: np.ndarray, target: np.ndarray, start: int, size: int, expected: float) -> tuple[float, float]:
    """The lag in frames with the largest correlation of `target` in a window with `estimate`, and the correlation."""
    reach = round(MAX_LAG * _FRAME_RATE)
    window = target[start : start + size] - target[start : start + size].mean()
    # One more lag on either side for the interpolation. Frames beyond the ends are silent.
    first = start + round(expected) - reach - 1
    frames = np.arange(first, first + size + 2 * reach + 2)
    padded = np.where((frames >= 0) & (frames < len(estimate)), estimate[np.clip(frames, 0, len(estimate) - 1)], 0)
    shifted = np.lib.stride_tricks.sliding_window_view(padded, size)
    shifted = shifted - shifted.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(shifted, axis=1) * np.linalg.norm(window)
    correlations = shifted @ window / np.maximum(norms, 1e-9)
    best = 1 + int(correlations[1:-1].argmax())
    before, peak, after = correlations[best - 1 : best + 2]
    curvature = before - 2 * peak + after
    # The largest value within the range need not be a peak.
    is_peak = curvature < 0 and peak >= max(before, after)
    fraction = 0.5 * (before - after) / curvature if is_peak else 0.0
    return round(expected) + best - 1 - reach + fraction, float(peak)


def loudness_deviation(audio: Any, reference: Any = None) -> float:
    r"""
    The largest deviation of the level in a window of 10 s from the median of all windows. It finds a level that
    wanders over a long piece. The measure is ours.

    Args:
        audio: the piece, as [`~audio.io.load_audio`] takes it.
        reference (*optional*): a reference piece in the same form, such as the recording or the rendered music with
            the same controls. Its own largest deviation is subtracted.

    Returns:
        `float`: dB; 0 if the level does not deviate more than that of the reference, and for silence. Levels below
        −60 dBFS count as −60 dBFS. An incomplete last window is ignored, unless it is the only one.
    """
    deviation = _level_deviation(audio)
    return deviation if reference is None else max(0.0, deviation - _level_deviation(reference))


def _level_deviation(audio: Any) -> float:
    waveform, rate = load_audio(audio)
    size = min(round(WINDOW_SECONDS * rate), waveform.shape[-1])
    windows = waveform[:, : waveform.shape[-1] // size * size].unflatten(1, (-1, size))
    power = windows.double().square().mean(dim=(0, 2)).numpy()
    levels = 10 * np.log10(np.maximum(power, 10 ** (SILENT_LEVEL / 10)))
    return float(np.abs(levels - np.median(levels)).max())


def cut_item(item: dict[str, Any], start: float, duration: float) -> dict[str, Any]:
    r"""
    Cuts a section from a long piece.

    Args:
        item (`dict`): the piece: `audio` `(channels, samples)`, `sampling_rate`, `chords`, `melody`, `drum_onsets`,
            `duration` and, if they are known, `beats`, as [`~evaluation.items.compose_items`] returns them.
        start (`float`): beginning of the section in seconds.
        duration (`float`): its length in seconds.

    Returns:
        `dict`: the item with these entries cut, and times relative to `start`. Other entries that apply to the whole
        piece are kept.

    Raises:
        `ValueError`: if the section is not within the piece.
    """
    if not 0 <= start <= start + duration <= item["duration"] + 1e-3:
        raise ValueError(
            f"`start` and `duration` have to be within the {item['duration']:g} s of the piece, but got {start:g} s"
            f" and {duration:g} s."
        )
    rate = item["sampling_rate"]
    first = round(start * rate)

    def cut_times(times: Sequence[float]) -> list[float]:
        return [round(time - start, 4) for time in times if start <= time < start + duration]

    section = item | {
        "audio": item["audio"][:, first : first + round(duration * rate)],
        "duration": duration,
        "chords": cut_chords(item["chords"], start, duration),
        "melody": cut_notes(item["melody"], start, duration),
        "drum_onsets": cut_times(item["drum_onsets"]),
    }
    return section | ({"beats": cut_times(item["beats"])} if "beats" in item else {})


def first_against_last(
    audios: Sequence[tuple[Any, int]],
    items: Sequence[dict[str, Any]],
    estimators: Sequence[Estimator] = ESTIMATORS,
    seed: int = 0,
    min_clips: int = MIN_CLIPS,
) -> dict[str, list[Adherence]]:
    r"""
    Adherence in the first and in the last 10 s of long pieces. Both have their own ceilings and floors, from the same
    seconds of the reference audio.

    Args:
        audios (`Sequence` of `(waveform, sampling_rate)`): generated pieces, with waveforms `(channels, samples)`.
        items (`Sequence[dict]`): the requested controls and reference audio of each piece, as [`cut_item`] takes them.
            Pieces have to last at least 20 s.
        estimators (`Sequence[Estimator]`): the estimators. Estimators of captions are meaningful only if captions
            apply to the whole piece.
        seed (`int`, defaults to `0`): random seed of floors and bootstrap.
        min_clips (`int`, defaults to `20`): minimum number of pieces for a score.

    Returns:
        `dict[str, list[Adherence]]`: under `"first"` and `"last"`, as [`~evaluation.adherence.measure_adherence`]
        returns them.

    Raises:
        `ValueError`: if a piece is shorter than 20 s, or the numbers of pieces differ.
    """
    if len(audios) != len(items):
        raise ValueError(f"`audios` has to have an entry for each of the {len(items)} items, but has {len(audios)}.")
    for item in items:
        if item["duration"] < 2 * WINDOW_SECONDS:
            raise ValueError(
                f"`items` have to last at least {2 * WINDOW_SECONDS:g} s, but one lasts {item['duration']:g} s."
            )
    pieces = [item | {"audio": audio, "sampling_rate": rate} for (audio, rate), item in zip(audios, items)]
    rows = {}
    for name in ("first", "last"):
        starts = [0.0 if name == "first" else item["duration"] - WINDOW_SECONDS for item in items]
        references = [cut_item(item, start, WINDOW_SECONDS) for item, start in zip(items, starts)]
        sections = [cut_item(piece, start, WINDOW_SECONDS) for piece, start in zip(pieces, starts)]
        estimates, ceiling = (
            analyze(((section["audio"], section["sampling_rate"]) for section in part), estimators)
            for part in (sections, references)
        )
        rows[name] = measure_adherence(
            score(estimates, references, estimators),
            score_floor(ceiling, references, seed, estimators=estimators),
            score(ceiling, references, estimators),
            estimators,
            seed,
            min_clips,
        )
    return rows
