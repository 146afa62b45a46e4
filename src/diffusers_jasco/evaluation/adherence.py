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

Raw scores are hard to interpret: estimators make errors on reference clips too, and the chance level is not zero. The
ceiling is the same estimator's score on a clip's own reference audio, the floor its score on the reference audio of
other clips. A is 1 for music that follows its controls as well as the reference clips do, and 0 for unrelated music.
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
# Resampled ceilings closer to their floor than this (in score) are ignored.
MIN_RANGE = 1e-6

Metric = tuple[str, str]  # an estimator's name, and one of its metrics


@dataclass(frozen=True)
class Adherence:
    r"""
    How well clips follow one control, according to one metric of one estimator. Scores are means over clips.

    Args:
        control (`str`): `"chords"`, `"melody"`, `"drums"` or `"text"`.
        metric (`str`): the metric's name.
        estimator (`str`): the estimator's name.
        num_clips (`int`): number of clips with a reference for this metric.
        score (`float`): score of the generated music, in [0, 1].
        floor (`float`): score of the reference audio of other clips, in [0, 1].
        ceiling (`float`): score of the clips' own reference audio, in [0, 1].
        value (`float`): A.
        low, high (`float`): bounds of the 95% confidence interval of A, by bootstrap over clips.
        min_ceiling (`float`, defaults to `0.7`): lowest ceiling at which the estimator is considered reliable.
        min_clips (`int`, defaults to `20`): minimum number of clips; with fewer, all six values above are NaN.
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
        """Whether A is meaningful: there are enough clips, and the estimator is reliable on the reference clips."""
        return self.num_clips >= self.min_clips and self.ceiling >= self.min_ceiling and self.ceiling > self.floor


def analyze(audios: Iterable[Any], estimators: Sequence[Estimator] = ESTIMATORS) -> list[list[Any]]:
    r"""
    Args:
        audios (`Iterable`): one audio per clip, as [`~evaluation.estimators.spectra.load_mono`] takes it.
        estimators (`Sequence[Estimator]`): the estimators.

    Returns:
        `list[list]`: for each clip, the estimate of each estimator.
    """
    return [[estimator.analyze(audio) for estimator in estimators] for audio in audios]


def score(
    estimates: Sequence[Sequence[Any]], items: Sequence[dict[str, Any]], estimators: Sequence[Estimator] = ESTIMATORS
) -> dict[Metric, np.ndarray]:
    r"""
    Args:
        estimates (`Sequence[Sequence]` of length `clips`): as [`analyze`] returns them.
        items (`Sequence[dict]` of length `clips`): the requested controls, under the keys `chords`, `melody`,
            `drum_onsets`, `duration`, and, if they are known, `beats`, `salience` (that of the reference audio, from
            [`~evaluation.control_estimators.builtin_salience`]), and the keys that
            [`~evaluation.estimators.caption_probe.read_caption`] reads.
        estimators (`Sequence[Estimator]`): the estimators that made the estimates.

    Returns:
        `dict`: for each estimator and metric an array of shape `(clips,)`, NaN for clips without a reference.
    """
    scores = {(estimator.name, metric): [] for estimator in estimators for metric in estimator.metrics}
    for clip_estimates, item in zip(estimates, items, strict=True):
        for estimator, estimate in zip(estimators, clip_estimates, strict=True):
            for metric, value in estimator.compare(estimate, item).items():
                scores[estimator.name, metric].append(value)
    return {key: np.array(values) for key, values in scores.items()}


def derangements(size: int, count: int, seed: int) -> np.ndarray:
    r"""
    Permutations without fixed points, no two of which agree at any position.

    Args:
        size (`int`): number of clips, at least 2.
        count (`int`): number of permutations, limited to `size - 1`.
        seed (`int`): random seed.

    Returns:
        `np.ndarray` of shape `(min(count, size - 1), size)`.
    """
    if size < 2:
        raise ValueError(f"At least 2 clips are needed, but there are {size}.")
    rng = np.random.default_rng(seed)
    order = rng.permutation(size)
    positions = np.argsort(order)
    shifts = 1 + rng.permutation(size - 1)[:count]
    return order[(positions + shifts[:, None]) % size]


def score_floor(
    estimates: Sequence[Sequence[Any]],
    items: Sequence[dict[str, Any]],
    seed: int = 0,
    num_others: int = NUM_OTHERS,
    estimators: Sequence[Estimator] = ESTIMATORS,
) -> dict[Metric, np.ndarray]:
    r"""
    Chance level: mean score of each clip's controls on the reference audio of other clips that have the same control.

    Args:
        estimates (`Sequence[Sequence]` of length `clips`): [`analyze`] of the reference audio.
        items (`Sequence[dict]` of length `clips`): the clips.
        seed (`int`, defaults to `0`): random seed that selects the other clips.
        num_others (`int`, defaults to `8`): number of other clips per clip.
        estimators (`Sequence[Estimator]`): the estimators that made the estimates.

    Returns:
        `dict`: as [`score`] returns it, with the mean over the other clips for each clip.
    """
    ceiling = score(estimates, items, estimators)
    floors = {}
    for index, estimator in enumerate(estimators):
        for metric in estimator.metrics:
            floors[estimator.name, metric] = np.full(len(items), np.nan)
        # Clips without the control, such as clips without drums, would lower the floor.
        is_defined = ~np.isnan([ceiling[estimator.name, metric] for metric in estimator.metrics]).all(axis=0)
        clips = np.flatnonzero(is_defined)
        if len(clips) < 2:
            continue
        others = derangements(len(clips), num_others, seed)
        for position, clip in enumerate(clips):
            compared = [estimator.compare(estimates[clips[i]][index], items[clip]) for i in others[:, position]]
            for metric in estimator.metrics:
                floors[estimator.name, metric][clip] = np.mean([values[metric] for values in compared])
    return floors


def bootstrap(score: np.ndarray, floor: np.ndarray, ceiling: np.ndarray, seed: int = 0) -> tuple[float, float]:
    r"""
    The 95% confidence interval of A, from 2,000 resamples of clips. The three scores of a clip stay together.

    Args:
        score, floor, ceiling (`np.ndarray` of shape `(clips,)`): scores of each clip, without NaN.
        seed (`int`, defaults to `0`): random seed of the resampling.

    Returns:
        `tuple[float, float]`: lower and upper bound.
    """
    draws = np.random.default_rng(seed).integers(len(score), size=(NUM_RESAMPLES, len(score)))
    means = np.stack([score, floor, ceiling])[:, draws].mean(axis=-1)
    return interval(to_ratio(*means))


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 2.5th and 97.5th percentiles of resampled values, ignoring NaN."""
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
        ceilings (`dict`): [`score`] of the reference audio of the same controls, clip by clip.
        estimators (`Sequence[Estimator]`): the estimators.
        seed (`int`, defaults to `0`): random seed of the bootstrap.
        min_clips (`int`, defaults to `20`): minimum number of clips for a score.

    Returns:
        `list[Adherence]`: one per estimator and metric with at least one clip.
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
    """For each control and metric, the row with the lowest A among those that count."""
    chosen = {}
    for row in rows:
        key = row.control, row.metric
        if row.counts and (key not in chosen or row.value < chosen[key].value):
            chosen[key] = row
    return list(chosen.values())


def to_markdown(rows: Sequence[Adherence], through_codec: dict[Metric, float] | None = None) -> str:
    r"""
    All rows as a table. Reported values, those of the lowest-scoring estimator that counts, are bold.

    Args:
        rows (`Sequence[Adherence]`): the rows.
        through_codec (`dict`, *optional*):
            Scores of the codec's reconstruction of the reference clips by estimator and metric, shown in a column.
    """
    through_codec = through_codec or {}
    head = ["control", "metric", "estimator", "clips", "score", "floor", "ceiling", "codec", "A", "95%"]
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
            f" {'' if codec is None else f'{codec:.3f}'} |"
            f" {f'**{value}**' if row in reported else value} | {interval} |"
        )
    return "\n".join(lines)
