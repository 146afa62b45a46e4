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


Answers = Mapping[str, str | None]  # correct answers by question, `None` where the caption has none


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
    captions: Sequence[Answers],
    seed: int = 0,
    min_clips: int = MIN_CLIPS,
    reference_captions: Sequence[Answers] | None = None,
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
        reference_captions (`Sequence[Mapping]`, *optional*): the correct answers for the reference clips, if the music
            was generated from other captions.

    Returns:
        `list[CaptionAdherence]`: one per question that the captions answer in at least two ways.
    """
    reference_captions = captions if reference_captions is None else reference_captions
    rows = []
    for question in QUESTIONS:
        music = _Accuracy(scores[question], captions, question, seed)
        if music.num_answers < 2:
            continue
        if music.num_clips < min_clips:
            values = [np.nan] * 6
        else:
            reference, through_codec = (
                _Accuracy(part[question], reference_captions, question, seed) for part in (references, codec)
            )
            value = float(to_ratio(music.above_chance, 0, through_codec.above_chance))
            # Equal sets of clips are resampled in the same way.
            low, high = interval(to_ratio(music.resampled, 0, through_codec.resampled))
            values = [music.score, reference.score, through_codec.score, value, low, high]
        rows.append(CaptionAdherence(question, music.num_clips, music.num_answers, *values, min_clips=min_clips))
    return rows


class _Accuracy:
    """
    Balanced accuracy of the clips whose captions answer a question: `score`, `above_chance`, and `resampled`, the
    excess over chance in each bootstrap resample. NaN with fewer than two different answers.
    """

    def __init__(self, scores: Sequence[float], captions: Sequence[Answers], question: str, seed: int):
        clips = [index for index, answers in enumerate(captions) if answers[question] is not None]
        answers = [captions[index][question] for index in clips]
        self.num_clips, self.num_answers = len(clips), len(set(answers))
        self.score, self.above_chance, self.resampled = np.nan, np.nan, np.full(NUM_RESAMPLES, np.nan)
        if self.num_answers < 2:
            return
        is_correct = np.asarray(scores, dtype=float)[clips]
        self.score = float(balanced_accuracy(is_correct, answers))
        self.above_chance = self.score - 1 / self.num_answers
        size = len(clips)
        draws = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), NUM_RESAMPLES)
        in_draw = draws @ (np.asarray(answers)[:, None] == np.unique(answers)) > 0
        self.resampled = balanced_accuracy(is_correct, answers, draws) - 1 / in_draw.sum(axis=1)
