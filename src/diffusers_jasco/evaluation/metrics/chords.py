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


def score_chords(estimate: Chords, chords: Chords, duration: float) -> dict[str, float]:
    r"""
    Weighted overlap of two progressions, by mir_eval.

    Args:
        estimate (`list` of `(label, start)`): what was heard.
        chords (`list` of `(label, start)`): what was asked for, in any spelling that
            [`~controls.chord_labels.to_harte`] knows. Where there is no chord, nothing is scored.
        duration (`float`): length of the music in seconds.

    Returns:
        `dict[str, float]`: shares of the time in [0, 1], NaN if there is nothing to score: `"root"`, and `"majmin"`, where
        the asked-for chord reduces to a major or minor triad.

    Raises:
        `ImportError`: without the package mir_eval.
    """
    chord = import_optional("mir_eval.chord", "eval")
    # mir_eval scores "N" but leaves "X" out.
    chords = [(UNKNOWN_CHORD if label == NO_CHORD else label, start) for label, start in chords if start < duration]
    if not any(to_harte(label) != "X" for label, _ in chords):
        return {"root": math.nan, "majmin": math.nan}
    requested, given, durations = pair_labels(chords, estimate, duration)
    return {
        metric: weigh_overlap(getattr(chord, metric), requested, given, durations) for metric in ("root", "majmin")
    }


def compare_chords(estimate: Chords, reference: Chords, duration: float, start: float = 0.0) -> dict[str, float]:
    r"""
    How far two progressions agree, by mir_eval. In contrast to [`score_chords`], "N" is a label as others.

    Args:
        estimate (`list` of `(label, start)`): what was heard.
        reference (`list` of `(label, start)`): what was played, or what another heard.
        duration (`float`): length of the music in seconds.
        start (`float`, defaults to `0.0`): seconds from which on they are compared.

    Returns:
        `dict[str, float]`: in [0, 1], NaN if there is nothing to compare. `"root"`, `"majmin"` (only where the reference
        reduces to a major or minor triad, or is "N"), `"sevenths"` (likewise, with three sevenths) and `"exact"` (equal
        labels) are shares of the time; `"segmentation"` is the lower one of over- and under-segmentation (Harte, 2010).

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
    requested, given, durations = pair_labels(chords, cut[0], duration)
    scores = {
        metric: weigh_overlap(getattr(chord, metric), requested, given, durations)
        for metric in ("root", "majmin", "sevenths")
    }
    scores["exact"] = float(durations[np.array(requested) == np.array(given)].sum() / durations.sum())
    edges = np.cumsum([0, *durations])
    pieces = np.stack([edges[:-1], edges[1:]], axis=1)
    segments = [chord.merge_chord_intervals(pieces, labels) for labels in (requested, given)]
    scores["segmentation"] = float(chord.seg(*segments))
    return scores


def _first(chords: Chords, start: float) -> int:
    """Index of the chord that sounds at `start`."""
    return max(0, sum(begin <= start for _, begin in chords) - 1)


def pair_labels(requested: Chords, given: Chords, duration: float) -> tuple[list[str], list[str], np.ndarray]:
    """The time that the first progression covers, in pieces without a change: both labels (Harte's) and the seconds."""
    chord, util = (import_optional(f"mir_eval.{name}", "eval") for name in ("chord", "util"))
    intervals = to_intervals(requested, duration)
    given = [(label, start) for label, start in given if start < duration] or [(NO_CHORD, 0.0)]
    estimated, estimate_labels = util.adjust_intervals(
        to_intervals(given, duration),
        [to_harte(label) for label, _ in given],
        intervals[0, 0],
        duration,
        chord.NO_CHORD,
        chord.NO_CHORD,
    )
    labels = [to_harte(label) for label, _ in requested]
    pieces, labels, estimate_labels = util.merge_labeled_intervals(intervals, labels, estimated, estimate_labels)
    return labels, estimate_labels, util.intervals_to_durations(pieces)


def weigh_overlap(metric: Callable, requested: list[str], given: list[str], durations: np.ndarray) -> float:
    """A metric of mir_eval on what [`pair_labels`] returns, weighted by time; NaN where it scores nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        comparison = metric(requested, given)
        accuracy = import_optional("mir_eval.chord", "eval").weighted_accuracy(comparison, durations)
    return float(accuracy) if (comparison >= 0).any() else math.nan


def to_intervals(chords: Chords, duration: float) -> np.ndarray:
    starts = [start for _, start in chords]
    return np.stack([starts, [*starts[1:], duration]], axis=1)
