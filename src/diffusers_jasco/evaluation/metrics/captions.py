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

"""Caption adherence by attribute, normalized by the codec's reconstruction of the reference clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..adherence import NUM_RESAMPLES, interval, to_ratio
from ..estimators.caption_probe import QUESTIONS
from .sample_sizes import MIN_CLIPS


@dataclass(frozen=True)
class CaptionAdherence:
    r"""
    How well clips match one attribute of their captions. Scores are balanced accuracies.

    Args:
        question (`str`): one of [`~evaluation.estimators.caption_probe.QUESTIONS`].
        num_clips (`int`): number of clips whose caption mentions the attribute.
        num_answers (`int`): number of different answers in the captions; chance is 1 / `num_answers`.
        score (`float`): score of the generated music.
        reference (`float`): score of the reference clips.
        codec (`float`): score of the reference clips through the codec.
        value (`float`): (score − chance) / (codec − chance); NaN where the codec score is not above chance.
        low, high (`float`): bounds of its 95% confidence interval, by bootstrap over clips.
        min_clips (`int`, defaults to `20`): minimum number of clips; with fewer, all six values above are NaN.
    """

    question: str
    num_clips: int
    num_answers: int
    score: float
    reference: float
    codec: float
    value: float
    low: float
    high: float
    min_clips: int = MIN_CLIPS


def balanced_accuracy(
    is_correct: np.ndarray, answers: Sequence[str], counts: np.ndarray | None = None
) -> float | np.ndarray:
    r"""
    Mean over answers of the share of correct clips. A constant or random estimate has 1 divided by the number of
    answers.

    Args:
        is_correct (`np.ndarray` of shape `(clips,)`): 1 where the estimated answer is correct, 0 elsewhere.
        answers (`Sequence[str]` of length `clips`): the correct answers.
        counts (`np.ndarray` of shape `(draws, clips)`, *optional*):
            How often each clip occurs in each bootstrap resample; by default once.

    Returns:
        `float`, or `np.ndarray` of shape `(draws,)`: mean over the answers that occur in a resample.
    """
    counts = np.ones(len(answers)) if counts is None else counts
    is_answer = np.asarray(answers)[:, None] == np.unique(answers)
    with np.errstate(invalid="ignore"):
        shares = (counts * is_correct) @ is_answer / (counts @ is_answer)
    return np.nanmean(shares, axis=-1)


def measure_captions(
    scores: Mapping[str, Sequence[float]],
    references: Mapping[str, Sequence[float]],
    codec: Mapping[str, Sequence[float]],
    captions: Sequence[Mapping[str, str | None]],
    seed: int = 0,
    min_clips: int = MIN_CLIPS,
) -> list[CaptionAdherence]:
    r"""
    Args:
        scores, references, codec (`Mapping`):
            Scores of each clip by question, from [`~evaluation.estimators.caption_probe.score_answers`], of the music,
            of the reference clips, and of the reference clips through the codec.
        captions (`Sequence[Mapping]` of length `clips`): [`~evaluation.estimators.caption_probe.read_caption`] of the
            clips.
        seed (`int`, defaults to `0`): random seed of the bootstrap.
        min_clips (`int`, defaults to `20`): minimum number of clips for a score.

    Returns:
        `list[CaptionAdherence]`: one per question that the captions answer in at least two ways.
    """
    rows = []
    for question in QUESTIONS:
        clips = [index for index, answers in enumerate(captions) if answers[question] is not None]
        answers = [captions[index][question] for index in clips]
        if len(set(answers)) < 2:
            continue
        size = len(clips)
        if size < min_clips:
            rows.append(CaptionAdherence(question, size, len(set(answers)), *[np.nan] * 6, min_clips=min_clips))
            continue
        draws = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), NUM_RESAMPLES)
        is_correct = [np.asarray(part[question], dtype=float)[clips] for part in (scores, references, codec)]
        score, reference, through_codec = (float(balanced_accuracy(part, answers)) for part in is_correct)
        resampled = [balanced_accuracy(part, answers, draws) for part in is_correct]
        in_draw = draws @ (np.asarray(answers)[:, None] == np.unique(answers)) > 0
        low, high = interval(to_ratio(resampled[0], 1 / in_draw.sum(axis=1), resampled[2]))
        value = float(to_ratio(score, 1 / len(set(answers)), through_codec))
        rows.append(
            CaptionAdherence(
                question, size, len(set(answers)), score, reference, through_codec, value, low, high, min_clips
            )
        )
    return rows
