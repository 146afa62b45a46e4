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

"""How much of what captions say is heard in music, attribute by attribute, beside what the codec leaves of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..adherence import NUM_RESAMPLES, interval, to_ratio
from ..estimators.caption_probe import QUESTIONS
from .sample_sizes import MIN_CLIPS


@dataclass(frozen=True)
class CaptionAdherence:
    r"""
    How well clips are what their captions say of one attribute. Scores are balanced accuracies.

    Args:
        question (`str`): one of [`~evaluation.estimators.caption_probe.QUESTIONS`].
        num_clips (`int`): clips whose caption says it.
        num_answers (`int`): different things that the captions say; chance is 1 / `num_answers`.
        score, original, codec (`float`): of the music, of the originals, and of the originals through the codec.
        value (`float`): (score − chance) / (codec − chance); NaN where the codec leaves no more than chance.
        low, high (`float`): its 95 % interval, by bootstrap over clips.
        min_clips (`int`, defaults to `20`): clips that a score needs; with fewer, all six values above are NaN.
    """

    question: str
    num_clips: int
    num_answers: int
    score: float
    original: float
    codec: float
    value: float
    low: float
    high: float
    min_clips: int = MIN_CLIPS


def balanced_accuracy(
    is_right: np.ndarray, answers: Sequence[str], counts: np.ndarray | None = None
) -> float | np.ndarray:
    r"""
    The mean over answers of the share of clips in which it was found. Who always says the same, or anything, has 1 divided by
    the number of answers.

    Args:
        is_right (`np.ndarray` of shape `(clips,)`): 1 where the clip's answer was found, 0 where it was not.
        answers (`Sequence[str]` of length `clips`): the right ones.
        counts (`np.ndarray` of shape `(draws, clips)`, *optional*): how often each clip is in each draw; by default once.

    Returns:
        `float`, or `np.ndarray` of shape `(draws,)`: over the answers that are in a draw.
    """
    counts = np.ones(len(answers)) if counts is None else counts
    is_answer = np.asarray(answers)[:, None] == np.unique(answers)
    with np.errstate(invalid="ignore"):
        shares = (counts * is_right) @ is_answer / (counts @ is_answer)
    return np.nanmean(shares, axis=-1)


def measure_captions(
    scores: Mapping[str, Sequence[float]],
    references: Mapping[str, Sequence[float]],
    codec: Mapping[str, Sequence[float]],
    said: Sequence[Mapping[str, str | None]],
    seed: int = 0,
    min_clips: int = MIN_CLIPS,
) -> list[CaptionAdherence]:
    r"""
    Args:
        scores, originals, codec (`Mapping`):
            By question, clip by clip, what [`~evaluation.estimators.caption_probe.score_answers`] says of the music, of the originals, and
            of the originals through the codec.
        said (`Sequence[Mapping]` of length `clips`): [`~evaluation.estimators.caption_probe.read_caption`] of the clips.
        seed (`int`, defaults to `0`): seed of the intervals.
        min_clips (`int`, defaults to `20`): clips that a score needs.

    Returns:
        `list[CaptionAdherence]`: one per question of which captions say two different things at least.
    """
    rows = []
    for question in QUESTIONS:
        clips = [index for index, answers in enumerate(said) if answers[question] is not None]
        answers = [said[index][question] for index in clips]
        if len(set(answers)) < 2:
            continue
        size = len(clips)
        if size < min_clips:
            rows.append(CaptionAdherence(question, size, len(set(answers)), *[np.nan] * 6, min_clips=min_clips))
            continue
        draws = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), NUM_RESAMPLES)
        found = [np.asarray(part[question], dtype=float)[clips] for part in (scores, references, codec)]
        score, original, through_codec = (float(balanced_accuracy(part, answers)) for part in found)
        resampled = [balanced_accuracy(part, answers, draws) for part in found]
        in_draw = draws @ (np.asarray(answers)[:, None] == np.unique(answers)) > 0
        low, high = interval(to_ratio(resampled[0], 1 / in_draw.sum(axis=1), resampled[2]))
        value = float(to_ratio(score, 1 / len(set(answers)), through_codec))
        rows.append(
            CaptionAdherence(
                question, size, len(set(answers)), score, original, through_codec, value, low, high, min_clips
            )
        )
    return rows
