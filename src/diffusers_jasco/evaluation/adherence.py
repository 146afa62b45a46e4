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
Adherence to controls: A = (score − floor) / (ceiling − floor).

A raw score says little, as an estimator errs on originals too, and chance is not zero. The ceiling is what the same
estimator finds in the originals, the floor what it finds in other clips' originals: A is 1 for music that follows its
controls as well as the originals do, and 0 for music that does not follow them at all.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .control_estimators import ESTIMATORS, MIN_CEILING, Estimator
from .metrics.sample_sizes import MIN_CLIPS, describe_shortage


NUM_OTHERS = 8
NUM_RESAMPLES = 2000
CONFIDENCE = 0.95
# Resampled ceilings that are this close to their floor (in score) make no ratio.
MIN_RANGE = 1e-6

Metric = tuple[str, str]  # an estimator's name, and one of its metrics


@dataclass(frozen=True)
class Adherence:
    r"""
    How well clips follow one control, by one metric of one estimator. Scores are means over clips.

    Args:
        control (`str`): `"chords"`, `"melody"`, `"drums"` or `"text"`.
        metric (`str`): the metric's name.
        estimator (`str`): the estimator's name.
        num_clips (`int`): clips that have something to compare with.
        score, floor, ceiling (`float`): of the music, of other clips' originals and of the originals, in [0, 1].
        value (`float`): A.
        low, high (`float`): its 95 % interval, by bootstrap over clips.
        min_ceiling (`float`, defaults to `0.7`): the ceiling from which on the estimator is good enough.
        min_clips (`int`, defaults to `20`): clips that a score needs; with fewer, all six values above are NaN.
    """

    control: str
    metric: str
    estimator: str
    num_clips: int
    score: float
    floor: float
    ceiling: float
    value: float
    low: float
    high: float
    min_ceiling: float = MIN_CEILING
    min_clips: int = MIN_CLIPS

    @property
    def counts(self) -> bool:
        """Whether there are enough clips, and the estimator is good enough on the originals, for A to mean anything."""
        return self.num_clips >= self.min_clips and self.ceiling >= self.min_ceiling and self.ceiling > self.floor


def analyze(audios: Iterable[Any], estimators: Sequence[Estimator] = ESTIMATORS) -> list[list[Any]]:
    r"""
    Args:
        audios (`Iterable`): one audio per clip, as [`~evaluation.estimators.spectra.load_mono`] takes it.
        estimators (`Sequence[Estimator]`): the estimators.

    Returns:
        `list[list]`: for each clip, what each estimator heard.
    """
    return [[estimator.analyze(audio) for estimator in estimators] for audio in audios]


def score(
    estimate: Sequence[Sequence[Any]], items: Sequence[dict[str, Any]], estimators: Sequence[Estimator] = ESTIMATORS
) -> dict[Metric, np.ndarray]:
    r"""
    Args:
        heard (`Sequence[Sequence]` of length `clips`): as [`analyze`] returns it.
        items (`Sequence[dict]` of length `clips`): what was asked for, with the keys `chords`, `melody`, `drum_onsets`,
            `duration`, and, if they are known, `beats`, `salience` (what [`~evaluation.control_estimators.builtin_salience`] hears in the
            original), and what [`~evaluation.estimators.caption_probe.read_caption`] reads.
        estimators (`Sequence[Estimator]`): the estimators that heard it.

    Returns:
        `dict`: for each estimator and metric an array of shape `(clips,)`, NaN where there is nothing to compare with.
    """
    scores = {(estimator.name, metric): [] for estimator in estimators for metric in estimator.metrics}
    for analyses, item in zip(estimate, items, strict=True):
        for estimator, analysis in zip(estimators, analyses, strict=True):
            for metric, value in estimator.compare(analysis, item).items():
                scores[estimator.name, metric].append(value)
    return {key: np.array(values) for key, values in scores.items()}


def derangements(size: int, count: int, seed: int) -> np.ndarray:
    r"""
    Permutations that leave nothing in its place, and of which no two agree anywhere.

    Args:
        size (`int`): number of clips, at least 2.
        count (`int`): number of permutations; at most `size - 1` exist.
        seed (`int`): seed.

    Returns:
        `np.ndarray` of shape `(min(count, size - 1), size)`.
    """
    if size < 2:
        raise ValueError(f"Nothing can be exchanged among {size} clip(s): at least 2 are needed.")
    rng = np.random.default_rng(seed)
    order = rng.permutation(size)
    places = np.argsort(order)
    shifts = 1 + rng.permutation(size - 1)[:count]
    return order[(places + shifts[:, None]) % size]


def score_floor(
    estimate: Sequence[Sequence[Any]],
    items: Sequence[dict[str, Any]],
    seed: int = 0,
    num_others: int = NUM_OTHERS,
    estimators: Sequence[Estimator] = ESTIMATORS,
) -> dict[Metric, np.ndarray]:
    r"""
    What chance gives: each clip's controls against the originals of other clips that have that control too, on average.

    Args:
        heard (`Sequence[Sequence]` of length `clips`): [`analyze`] of the originals.
        items (`Sequence[dict]` of length `clips`): the clips.
        seed (`int`, defaults to `0`): seed of the choice of the others.
        num_others (`int`, defaults to `8`): other clips per clip.
        estimators (`Sequence[Estimator]`): the estimators.

    Returns:
        `dict`: as [`score`], in the place of a clip the mean over the others.
    """
    ceiling = score(estimate, items, estimators)
    floors = {}
    for index, estimator in enumerate(estimators):
        for metric in estimator.metrics:
            floors[estimator.name, metric] = np.full(len(items), np.nan)
        # A clip without drums would be a floor too low for one with drums.
        is_defined = ~np.isnan([ceiling[estimator.name, metric] for metric in estimator.metrics]).all(axis=0)
        clips = np.flatnonzero(is_defined)
        if len(clips) < 2:
            continue
        others = derangements(len(clips), num_others, seed)
        for position, clip in enumerate(clips):
            compared = [estimator.compare(estimate[clips[i]][index], items[clip]) for i in others[:, position]]
            for metric in estimator.metrics:
                floors[estimator.name, metric][clip] = np.mean([values[metric] for values in compared])
    return floors


def bootstrap(score: np.ndarray, floor: np.ndarray, ceiling: np.ndarray, seed: int = 0) -> tuple[float, float]:
    r"""
    The 95 % interval of A, from 2,000 draws of clips, with all three of a drawn clip.

    Args:
        score, floor, ceiling (`np.ndarray` of shape `(clips,)`): scores of each clip, without NaN.
        seed (`int`, defaults to `0`): seed of the draws.

    Returns:
        `tuple[float, float]`: its ends.
    """
    draws = np.random.default_rng(seed).integers(len(score), size=(NUM_RESAMPLES, len(score)))
    means = np.stack([score, floor, ceiling])[:, draws].mean(axis=-1)
    return interval(to_ratio(*means))


def interval(values: np.ndarray) -> tuple[float, float]:
    """The ends of the middle 95 % of resampled values; those that are NaN are left out."""
    values = values[~np.isnan(values)]
    if values.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def to_ratio(score: np.ndarray, floor: np.ndarray, ceiling: np.ndarray) -> np.ndarray:
    """(score − floor) / (ceiling − floor), NaN where the ceiling is not above the floor."""
    span = np.asarray(ceiling - floor)
    return np.where(span > MIN_RANGE, (score - floor) / np.where(span > MIN_RANGE, span, 1), np.nan)


def measure_adherence(
    scores: dict[Metric, np.ndarray],
    floors: dict[Metric, np.ndarray],
    ceilings: dict[Metric, np.ndarray],
    estimators: Sequence[Estimator] = ESTIMATORS,
    seed: int = 0,
    min_clips: int = MIN_CLIPS,
) -> list[Adherence]:
    r"""
    Args:
        scores (`dict`): [`score`] of the music.
        floors (`dict`): [`score_floor`] of the same controls, clip by clip.
        ceilings (`dict`): [`score`] of the originals of the same controls, clip by clip.
        estimators (`Sequence[Estimator]`): the estimators.
        seed (`int`, defaults to `0`): seed of the intervals.
        min_clips (`int`, defaults to `20`): clips that a score needs.

    Returns:
        `list[Adherence]`: one per metric and estimator that has at least one clip.
    """
    rows = []
    for estimator in estimators:
        for metric in estimator.metrics:
            key = estimator.name, metric
            clips = np.stack([scores[key], floors[key], ceilings[key]])
            clips = clips[:, ~np.isnan(clips).any(axis=0)]
            if clips.shape[1] == 0:
                continue
            means, value, low, high = np.full(3, np.nan), np.nan, np.nan, np.nan
            if clips.shape[1] >= min_clips:
                means = clips.mean(axis=1)
                low, high = bootstrap(*clips, seed=seed)
                value = float(to_ratio(*means))
            row = Adherence(
                estimator.control,
                metric,
                estimator.name,
                clips.shape[1],
                *map(float, means),
                value,
                low,
                high,
                estimator.min_ceiling,
                min_clips,
            )
            rows.append(row)
    return rows


def worst(rows: Sequence[Adherence]) -> list[Adherence]:
    """Of each control and metric the estimator with the lower A, among those that count."""
    chosen = {}
    for row in rows:
        key = row.control, row.metric
        if row.counts and (key not in chosen or row.value < chosen[key].value):
            chosen[key] = row
    return list(chosen.values())


def to_markdown(rows: Sequence[Adherence], through_codec: dict[Metric, float] | None = None) -> str:
    r"""
    All rows as a table. Bold is what is reported: the worse estimator of those that count.

    Args:
        rows (`Sequence[Adherence]`): the rows.
        through_codec (`dict`, *optional*): by estimator and metric the score of the originals through the codec, for a column.
    """
    through_codec = through_codec or {}
    head = ["control", "metric", "estimator", "clips", "score", "floor", "ceiling", "codec", "A", "95 %"]
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    reported = worst(rows)
    for row in rows:
        codec = through_codec.get((row.estimator, row.metric))
        if row.num_clips < row.min_clips:
            scores, value, interval = ["", "", ""], describe_shortage(row.num_clips, row.min_clips), ""
        else:
            scores = [f"{score:.3f}" for score in (row.score, row.floor, row.ceiling)]
            value = f"{row.value:.2f}" if row.counts else f"(ceiling < {row.min_ceiling})"
            interval = f"{row.low:.2f} … {row.high:.2f}" if row.counts else ""
        lines.append(
            f"| {row.control} | {row.metric} | {row.estimator} | {row.num_clips} | {' | '.join(scores)} |"
            f" {'' if codec is None else f'{codec:.3f}'} | {f'**{value}**' if row in reported else value} | {interval} |"
        )
    return "\n".join(lines)
