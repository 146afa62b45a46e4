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

"""Agreement of estimated chords with reference chords."""

import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from ...controls.chord_labels import NO_CHORD, UNKNOWN_CHORD, to_harte
from ...utils.optional_imports import import_optional


Chords = Sequence[tuple[str, float]]


def score_chords(estimate: Chords, reference: Chords, duration: float) -> dict[str, float]:
    r"""
    Weighted overlap of two progressions, by mir_eval.

    Args:
        estimate (`list` of `(label, start)`): the estimated progression.
        reference (`list` of `(label, start)`): the reference progression, in any spelling that
            [`~controls.chord_labels.to_harte`] accepts. Time without a chord is ignored.
        duration (`float`): length of the music in seconds.

    Returns:
        `dict[str, float]`: shares of the time in [0, 1], NaN if there is nothing to score: `"root"`, and `"majmin"`
        where the reference chord reduces to a major or minor triad.

    Raises:
        `ImportError`: without the package mir_eval.
    """
    chord = import_optional("mir_eval.chord", "eval")
    # mir_eval scores "N" but ignores "X".
    reference = [
        (UNKNOWN_CHORD if label == NO_CHORD else label, start) for label, start in reference if start < duration
    ]
    if not any(to_harte(label) != "X" for label, _ in reference):
        return {"root": math.nan, "majmin": math.nan}
    ref_labels, est_labels, durations = pair_labels(reference, estimate, duration)
    return {
        metric: weigh_overlap(getattr(chord, metric), ref_labels, est_labels, durations)
        for metric in ("root", "majmin")
    }


def compare_chords(estimate: Chords, reference: Chords, duration: float, start: float = 0.0) -> dict[str, float]:
    r"""
    Agreement of two progressions, by mir_eval. In contrast to [`score_chords`], "N" is scored like any other label.

    Args:
        estimate (`list` of `(label, start)`): the estimated progression.
        reference (`list` of `(label, start)`): the reference progression, from annotations or another estimator.
        duration (`float`): length of the music in seconds.
        start (`float`, defaults to `0.0`): start of the comparison in seconds.

    Returns:
        `dict[str, float]`: in [0, 1], NaN if there is nothing to compare. `"root"`, `"majmin"` (only where the
        reference reduces to a major or minor triad, or is "N"), `"sevenths"` (likewise, with three kinds of seventh
        chords) and `"exact"` (equal labels) are shares of the time; `"segmentation"` is the lower of the over- and
        under-segmentation scores (Harte, 2010).

    Raises:
        `ImportError`: without the package mir_eval.
    """
    chord = import_optional("mir_eval.chord", "eval")
    cut = [
        [(label, max(begin, start) - start) for label, begin in chords[_first(chords, start) :]]
        for chords in (estimate, reference)
    ]
    duration -= start
    chords = [(label, begin) for label, begin in cut[1] if begin < duration]
    if duration <= 0 or not chords:
        return dict.fromkeys(("root", "majmin", "sevenths", "exact", "segmentation"), math.nan)
    ref_labels, est_labels, durations = pair_labels(chords, cut[0], duration)
    scores = {
        metric: weigh_overlap(getattr(chord, metric), ref_labels, est_labels, durations)
        for metric in ("root", "majmin", "sevenths")
    }
    scores["exact"] = float(durations[np.array(ref_labels) == np.array(est_labels)].sum() / durations.sum())
    edges = np.cumsum([0, *durations])
    intervals = np.stack([edges[:-1], edges[1:]], axis=1)
    segments = [chord.merge_chord_intervals(intervals, labels) for labels in (ref_labels, est_labels)]
    scores["segmentation"] = float(chord.seg(*segments))
    return scores


def _first(chords: Chords, start: float) -> int:
    """Index of the chord that sounds at `start`."""
    return max(0, sum(begin <= start for _, begin in chords) - 1)


def pair_labels(reference: Chords, estimate: Chords, duration: float) -> tuple[list[str], list[str], np.ndarray]:
    """Labels of both progressions (Harte notation) and durations, in segments that cover the reference progression."""
    chord, util = (import_optional(f"mir_eval.{name}", "eval") for name in ("chord", "util"))
    ref_intervals = to_intervals(reference, duration)
    estimate = [(label, start) for label, start in estimate if start < duration] or [(NO_CHORD, 0.0)]
    est_intervals, est_labels = util.adjust_intervals(
        to_intervals(estimate, duration),
        [to_harte(label) for label, _ in estimate],
        ref_intervals[0, 0],
        duration,
        chord.NO_CHORD,
        chord.NO_CHORD,
    )
    ref_labels = [to_harte(label) for label, _ in reference]
    intervals, ref_labels, est_labels = util.merge_labeled_intervals(
        ref_intervals, ref_labels, est_intervals, est_labels
    )
    return ref_labels, est_labels, util.intervals_to_durations(intervals)


def weigh_overlap(metric: Callable, ref_labels: list[str], est_labels: list[str], durations: np.ndarray) -> float:
    """Time-weighted mean of a mir_eval comparison of [`pair_labels`]; NaN if nothing can be compared."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        comparison = metric(ref_labels, est_labels)
        accuracy = import_optional("mir_eval.chord", "eval").weighted_accuracy(comparison, durations)
    return float(accuracy) if (comparison >= 0).any() else math.nan


def to_intervals(chords: Chords, duration: float) -> np.ndarray:
    starts = [start for _, start in chords]
    return np.stack([starts, [*starts[1:], duration]], axis=1)
