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

"""Form of clips generated from words alone: beat and harmony, which have no reference to be compared with."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..adherence import NUM_RESAMPLES, interval, to_ratio
from ..estimators.spectra import SAMPLING_RATE, load_mono, running_mean
from .beat_strength import estimate_beat
from .harmony import measure_harmony
from .sample_sizes import MIN_CLIPS


USUAL_RANGE = (10, 90)  # percentiles of the reference clips
_SMOOTHING_BINS = 201  # of the power spectrum


@dataclass(frozen=True)
class Form:
    r"""
    The form of a clip, from [`measure_form`]. Values that cannot be measured are NaN.

    Args:
        beat_strength (`float`): P of [`~evaluation.metrics.beat_strength.estimate_beat`], in [-1, 1].
        rise (`float`): level rise at predicted beats in dB, from the same function.
        tempo (`float`): beats per minute, from the same function.
        harmony (`float`): mean cosine of beats with their best triads, in [0, 1], from
            [`~evaluation.metrics.harmony.measure_harmony`].
        distinct_triads (`float`): different triads in 10 s, from the same function.
        chord_changes (`float`): number of chord changes, from the same function.
        changes_on_beats (`float`): share of chord changes within 70 ms of a beat, in [0, 1], from the same function.
        chance_on_beats (`float`): its chance level, in [0, 1].
    """

    beat_strength: float
    rise: float
    tempo: float
    harmony: float
    distinct_triads: float
    chord_changes: float
    changes_on_beats: float
    chance_on_beats: float


def measure_form(audio: Any) -> Form:
    r"""
    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.

    Returns:
        [`Form`]: beat and harmony of the clip.
    """
    samples = torch.from_numpy(load_mono(audio)), SAMPLING_RATE
    beat = estimate_beat(samples)
    harmony = measure_harmony(samples, beat.beats)
    return Form(
        beat.strength,
        beat.rise,
        beat.tempo,
        harmony.harmony,
        harmony.distinct_triads,
        harmony.chord_changes,
        harmony.changes_on_beats,
        harmony.chance_on_beats,
    )


def form_floor(audio: Any, seed: int = 0) -> Form:
    r"""
    The chance level of [`measure_form`] for a clip: the beat of noise with the clip's mean spectrum, and the harmony
    of the clip's chroma averaged over time.

    Args:
        audio: the clip, as [`~evaluation.estimators.spectra.load_mono`] takes it.
        seed (`int`, defaults to `0`): random seed of the noise. Use another one for each clip.

    Returns:
        [`Form`]: with one distinct triad and no chord changes; NaN throughout for silence, so that
        [`compare_form`] ignores silent reference clips.
    """
    samples = load_mono(audio)
    averaged = measure_harmony((torch.from_numpy(samples), SAMPLING_RATE)).averaged
    if math.isnan(averaged):
        return Form(*[math.nan] * 8)
    power = running_mean(np.abs(np.fft.rfft(samples)) ** 2, _SMOOTHING_BINS)
    noise = np.random.default_rng(seed).standard_normal(len(samples))
    shaped = np.fft.irfft(np.fft.rfft(noise) * np.sqrt(power / len(samples)), len(samples)).astype(np.float32)
    beat = estimate_beat((torch.from_numpy(shaped), SAMPLING_RATE))
    return Form(
        beat_strength=beat.strength,
        rise=beat.rise,
        tempo=beat.tempo,
        harmony=averaged,
        distinct_triads=1.0,
        chord_changes=0.0,
        changes_on_beats=math.nan,
        chance_on_beats=math.nan,
    )


def compare_form(
    forms: Sequence[Form],
    references: Sequence[Form],
    floors: Sequence[Form],
    seed: int = 0,
    min_clips: int = MIN_CLIPS,
) -> dict[str, dict[str, float]]:
    r"""
    Compares the form of clips with that of reference clips. A = (score − floor) / (ceiling − floor), as in
    [`~evaluation.adherence`]; the ceiling is the mean over the reference clips. Silent clips count as clips without
    form. Clips without a value (shorter than 4 s, or for `changes_on_beats` without chord changes) are ignored.

    Args:
        forms (`Sequence[Form]`): [`measure_form`] of the clips.
        references (`Sequence[Form]`): [`measure_form`] of the reference clips, of any number.
        floors (`Sequence[Form]`): [`form_floor`] of each reference clip.
        seed (`int`, defaults to `0`): random seed of the bootstrap.
        min_clips (`int`, defaults to `20`): minimum number of clips for a score.

    Returns:
        `dict[str, dict[str, float]]`. Each measure has `num_clips`, `min_clips`, `score`, `floor` and `ceiling` (means
        over clips), `value`, and `low` and `high` (bounds of its 95% confidence interval, by bootstrap over clips and
        over reference clips); with fewer than `min_clips` clips all but the first two are NaN. The measures and their
        values:

        - `beat_strength`: A of the beat strength, times the mean rise ÷ that of the reference clips, limited to
          [0, 1], which rejects soft periodic changes such as swells
        - `rise`: mean rise at predicted beats in dB
        - `above_p10`: share of clips whose beat strength and rise both reach the 10th percentile of the reference
          clips; `ceiling` is the share of the reference clips themselves
        - `harmony`: A of the harmony. Read it together with the next two: a held chord has a high value
        - `distinct_triads`: mean number of distinct triads in 10 s
        - `triads_in_range`: share of clips whose number of distinct triads is between the 10th and the 90th percentile
          of the reference clips
        - `changes_on_beats`: A of the share of chord changes within 70 ms of a beat, whose floor is the share of time
          within 70 ms of a beat
    """

    def column(name: str, group: Sequence[Form]) -> np.ndarray:
        return np.array([getattr(form, name) for form in group], dtype=float)

    def bounds(name: str) -> list[np.ndarray]:
        return [column(name, floors), column(name, references)]

    def usual_range(name: str) -> tuple[float, float]:
        values = column(name, references)
        known = values[~np.isnan(values + column(name, floors))]
        return tuple(np.percentile(known, USUAL_RANGE)) if known.size else (math.nan, math.nan)

    def shares(is_usual: Callable[[Sequence[Form]], np.ndarray]) -> dict[str, float]:
        return summarize([is_usual(forms)], [is_usual(floors), is_usual(references)], _first)

    def reaches_p10(group: Sequence[Form]) -> np.ndarray:
        limits = {name: usual_range(name)[0] for name in ("beat_strength", "rise")}
        return np.prod([_is_within(column(name, group), low, math.inf) for name, low in limits.items()], axis=0)

    def has_usual_triads(group: Sequence[Form]) -> np.ndarray:
        return _is_within(column("distinct_triads", group), *usual_range("distinct_triads"))

    def summarize(
        own: list[np.ndarray], reference: list[np.ndarray], statistic: Callable[..., tuple[np.ndarray, ...]]
    ) -> dict[str, float]:
        """`statistic` maps the means of all arrays to score, floor, ceiling and value."""
        groups = [np.stack(values) for values in (own, reference)]
        groups = [values[:, ~np.isnan(values).any(axis=0)] for values in groups]
        size, num_references = (values.shape[1] for values in groups)
        row = dict.fromkeys(("score", "floor", "ceiling", "value", "low", "high"), math.nan)
        if size >= max(1, min_clips) and num_references:
            # Sets of the same number of clips are resampled in the same way: a clip stays with its reference clip.
            draws = [
                np.random.default_rng(seed).integers(count, size=(NUM_RESAMPLES, count))
                for count in (size, num_references)
            ]
            *_, resampled = statistic(*(mean for v, draw in zip(groups, draws) for mean in v[:, draw].mean(axis=2)))
            means = statistic(*(mean for values in groups for mean in values.mean(axis=1)))
            row = dict(zip(row, (*map(float, means), *interval(resampled))))
        return {"num_clips": size, "min_clips": min_clips} | row

    return {
        "beat_strength": summarize(
            [column("beat_strength", forms), column("rise", forms)],
            [*bounds("beat_strength"), column("rise", references)],
            _scale_by_rise,
        ),
        "rise": summarize([column("rise", forms)], bounds("rise"), _first),
        "above_p10": shares(reaches_p10),
        "harmony": summarize([column("harmony", forms)], bounds("harmony"), _ratio),
        "distinct_triads": summarize([column("distinct_triads", forms)], bounds("distinct_triads"), _first),
        "triads_in_range": shares(has_usual_triads),
        "changes_on_beats": summarize(
            [column(name, forms) for name in ("changes_on_beats", "chance_on_beats")],
            [column("changes_on_beats", references)],
            _ratio,
        ),
    }


def _is_within(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """1 or 0, NaN for missing values."""
    return np.where(np.isnan(values), np.nan, (values >= low) & (values <= high))


def _first(score: np.ndarray, floor: np.ndarray, ceiling: np.ndarray) -> tuple[np.ndarray, ...]:
    return score, floor, ceiling, score


def _ratio(score: np.ndarray, floor: np.ndarray, ceiling: np.ndarray) -> tuple[np.ndarray, ...]:
    return score, floor, ceiling, to_ratio(score, floor, ceiling)


def _scale_by_rise(
    score: np.ndarray, rise: np.ndarray, floor: np.ndarray, ceiling: np.ndarray, reference_rise: np.ndarray
) -> tuple[np.ndarray, ...]:
    scale = np.clip(to_ratio(rise, np.zeros_like(rise), reference_rise), 0, 1)
    return score, floor, ceiling, to_ratio(score, floor, ceiling) * scale
