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
The estimators that judge the benchmark, with their training, and their scores.

No judge was trained on the benchmark's songs, on their renderings, or on the output of a system.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...controls.chord_labels import NO_CHORD, UNKNOWN_CHORD
from ...data.preparation.controls import cut_chords, cut_notes
from ...extraction.beats import tempo_of_beats
from ...utils.optional_imports import import_optional
from ..adherence import NUM_OTHERS, Metric, derangements
from ..control_estimators import ESTIMATORS, Estimator, score_beat_estimate, score_label_estimate
from ..estimators.spectra import SAMPLING_RATE, load_mono
from ..metrics.chords import Chords, pair_labels, weigh_overlap
from ..metrics.drift import WINDOW_SECONDS, measure_drift
from ..metrics.key import score_key
from ..metrics.onsets import score_onsets


MAX_LAG = 70.0  # ms: a window of 10 s with a larger lag is out of time
CHORD_METRICS = ("root", "majmin", "triads", "tetrads", "iou", "bass")
DRIFT = "onset correlation"

# Methods of the judges, and the data on which they were trained.
JUDGES = {
    "segment templates": ("templates on the requested segments (Fujishima, 1999)", "nothing"),
    "blind estimate": ("NNLS chroma, hidden Markov model (after Mauch and Dixon, 2010)", "nothing"),
    "chord extractor": (
        "NNLS chroma, hidden Markov model (`extract_chords`)",
        "nothing; its settings were selected on synthetic music (`train`, `validation`)",
    ),
    "harmonic sum": ("harmonic summation (Hermes, 1988)", "nothing"),
    "note fit": ("NNLS with harmonic templates, hidden Markov model", "nothing"),
    "melody extractor": ("network (`extract_melody`)", "synthetic music (`train`), to imitate DeepSalience"),
    "percussive flux": ("rises of the percussive mel spectrum", "nothing"),
    "noise flux": ("rises of the noise above 2 kHz", "nothing"),
    "beat tracker": ("librosa (Ellis, 2007)", "nothing"),
    "beat extractor": ("network (`extract_beats`)", "synthetic music (`train`)"),
    "key extractor": (
        "log-linear model (`extract_key`)",
        "synthetic music (`train`), and previews of 20 well-known progressions",
    ),
    DRIFT: ("cross-correlation of onset envelopes in windows of 10 s", "nothing"),
}


def score_chord_labels(estimate: Chords, item: dict[str, Any]) -> dict[str, float]:
    r"""
    Scores estimated chords.

    Args:
        estimate (`list` of `(label, start)`): the estimated progression.
        item (`dict`): the annotations.

    Returns:
        `dict[str, float]`: in [0, 1]: `"root"`, `"majmin"`, `"triads"` and `"tetrads"`, weighted overlaps by mir_eval;
        `"iou"` and `"bass"` as in [`~evaluation.metrics.chord_qualities.score_labels`].

    Raises:
        `ImportError`: without the package mir_eval.
    """
    scores = score_label_estimate(estimate, item)
    chord = import_optional("mir_eval.chord", "eval")
    if math.isnan(scores["root"]):
        return dict.fromkeys(CHORD_METRICS, math.nan)
    # mir_eval scores "N" but ignores "X", which stands for unknown chords.
    reference = [(UNKNOWN_CHORD if label == NO_CHORD else label, start) for label, start in item["chords"]]
    labels = pair_labels(reference, estimate, item["duration"])
    scores |= {name: weigh_overlap(getattr(chord, name), *labels) for name in ("triads", "tetrads")}
    return {name: scores[name] for name in CHORD_METRICS}


def _before(times: Sequence[float], end: float) -> np.ndarray:
    times = np.asarray(times, dtype=float)
    return times[times < end]


def _score_onsets(estimate: Sequence[float], item: dict[str, Any]) -> dict[str, float]:
    return score_onsets(_before(estimate, item["duration"]), item["drum_onsets"])


def _score_beats(beats: Sequence[float], tempo: float | None, item: dict[str, Any]) -> dict[str, float]:
    return score_beat_estimate(_before(beats, item["duration"]), tempo, item)


def measure_lags(samples: np.ndarray, item: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    r"""
    Measures how early or late a recording is in windows of 10 s, each by itself: the lag of
    [`~evaluation.metrics.drift.measure_drift`].

    Args:
        samples (`np.ndarray` of shape `(samples,)`): mono samples at 16 kHz.
        item (`dict`): annotations with `drum_onsets` and `duration`.

    Returns:
        `tuple`: centers of the windows in seconds, and lags in ms, NaN without a clear lag. An incomplete last window is
        ignored, unless it is the only one. Both are empty for songs without drums.
    """
    if len(item["drum_onsets"]) < 2:
        return np.zeros(0), np.zeros(0)
    samples, rate = cut_samples(samples, item["duration"])
    length = min(WINDOW_SECONDS, item["duration"])
    starts = np.arange(max(1, int(item["duration"] // WINDOW_SECONDS))) * WINDOW_SECONDS
    lags = []
    for start in starts:
        part = samples[round(start * rate) : round((start + length) * rate)]
        onsets = [time - start for time in item["drum_onsets"] if start <= time < start + length]
        lags.append(float(measure_drift((part, rate), onsets).lags[0]) if len(part) else math.nan)
    return starts + length / 2, np.array(lags)


def _score_drift(samples: np.ndarray, item: dict[str, Any]) -> dict[str, float]:
    _, lags = measure_lags(samples, item)
    return {"in_time": float(np.mean(np.abs(lags) <= MAX_LAG)) if len(lags) else math.nan}


def cut_samples(samples: np.ndarray, duration: float) -> tuple[np.ndarray, int]:
    """Mono samples at 16 kHz, cut to `duration` (seconds), with their sampling rate."""
    return samples[: round(duration * SAMPLING_RATE)], SAMPLING_RATE


def _make_judges() -> tuple[Estimator, ...]:
    """The estimators of the evaluation, with the benchmark's metrics."""
    metrics = {
        "blind estimate": CHORD_METRICS,
        "chord extractor": CHORD_METRICS,
        "melody extractor": ("pitch", "chroma"),
    }
    compare: dict[str, Callable[[Any, dict[str, Any]], dict[str, float]]] = {
        "blind estimate": score_chord_labels,
        "chord extractor": score_chord_labels,
        "percussive flux": _score_onsets,
        "noise flux": _score_onsets,
        "beat tracker": lambda beats, item: _score_beats(beats, tempo_of_beats(beats), item),
        "beat extractor": lambda beats, item: _score_beats(beats.beats, beats.tempo, item),
        # All songs have a key, also those with chords from outside of it.
        "key extractor": lambda key, item: score_key(key, item["key"]),
    }
    judges = [
        replace(
            estimator,
            metrics=metrics.get(estimator.name, estimator.metrics),
            compare=compare.get(estimator.name, estimator.compare),
        )
        for estimator in ESTIMATORS
        if estimator.control != "text"
    ]
    drift = Estimator(DRIFT, "drift", ("in_time",), load_mono, _score_drift)
    return (*judges, drift)


ALL_JUDGES = _make_judges()
EDIT_JUDGES = tuple(
    replace(judge, metrics=("root", "majmin"))
    for judge in ALL_JUDGES
    if judge.control == "chords" and "root" in judge.metrics
)


def cut_annotations(item: dict[str, Any], duration: float) -> dict[str, Any]:
    """The annotations of the first `duration` seconds."""
    if duration >= item["duration"]:
        return item
    return item | {
        "duration": duration,
        "chords": cut_chords(item["chords"], 0.0, duration),
        "melody": cut_notes(item["melody"], 0.0, duration),
        **{name: [time for time in item[name] if time < duration] for name in ("drum_onsets", "beats", "downbeats")},
    }


def keep_region(item: dict[str, Any], region: tuple[float, float]) -> dict[str, Any]:
    """The annotations with chords in a region only, and `"N"`, which is not scored, outside of it."""
    start, end = region
    chords = [(label, max(time, start)) for label, time in cut_chords(item["chords"], 0.0, end)]
    sounding = [
        chord for index, chord in enumerate(chords) if index + 1 == len(chords) or chords[index + 1][1] > start
    ]
    silence = [(NO_CHORD, end)] if end < item["duration"] - 1e-6 else []
    return item | {"chords": [*([(NO_CHORD, 0.0)] if start > 0 else []), *sounding, *silence]}


def compare_all(
    estimates: Sequence[Any], item: dict[str, Any], judges: Sequence[Estimator] = ALL_JUDGES
) -> dict[Metric, float]:
    """The scores of the estimates of one recording, one estimate per judge, by judge and metric."""
    scores = {}
    for judge, estimate in zip(judges, estimates, strict=True):
        values = judge.compare(estimate, item)
        scores |= {(judge.name, metric): values[metric] for metric in judge.metrics}
    return scores


def score_chance(
    estimates: Sequence[Sequence[Any]],
    items: Sequence[dict[str, Any]],
    judges: Sequence[Estimator] = ALL_JUDGES,
    num_others: int = NUM_OTHERS,
    seed: int = 0,
) -> dict[Metric, np.ndarray]:
    r"""
    Floors: mean score of each song's annotations on the reference recordings of other songs. Of two songs, the length of
    the shorter one is compared.

    Args:
        estimates (`Sequence[Sequence]` of length `songs`): estimates of the reference recordings, one per judge.
        items (`Sequence[dict]` of length `songs`): the annotations.
        judges (`Sequence[Estimator]`): the judges.
        num_others (`int`, defaults to `8`): number of other songs per song.
        seed (`int`, defaults to `0`): random seed that selects them.

    Returns:
        `dict`: arrays of shape `(songs,)` by judge and metric; NaN for songs without the annotation, and without others.
    """
    keys = [(judge.name, metric) for judge in judges for metric in judge.metrics]
    floors = {key: np.full(len(items), np.nan) for key in keys}
    if len(items) < 2:
        return floors
    others = derangements(len(items), num_others, seed)
    for index, item in enumerate(items):
        rows = [
            compare_all(estimates[other], cut_annotations(item, items[other]["duration"]), judges)
            for other in others[:, index]
        ]
        for key in keys:
            values = [row[key] for row in rows if not math.isnan(row[key])]
            floors[key][index] = np.mean(values) if values else np.nan
    return floors
