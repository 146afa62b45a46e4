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

"""Evaluates the form of music from captions alone, and its agreement with the captions."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..generation.batches import GenerationRequest, Workers
from .adherence import bootstrap, derangements
from .control_estimators import builtin_beats
from .estimators.caption_probe import QUESTIONS, predict_answers, true_answers
from .evaluate import References, describe_references, generate, measure_music, reconstruct
from .metrics.captions import measure_captions
from .metrics.sample_sizes import MIN_CLIPS
from .metrics.tempo import score_tempo


def evaluate_words(
    pipe: Any,
    captions: Sequence[Mapping[str, Any]],
    references: References,
    batch_size: int = 8,
    settings: dict[str, Any] | None = None,
    cache: Path | None = None,
    progress: bool = False,
    min_clips: int = MIN_CLIPS,
    workers: Workers | None = None,
) -> dict[str, Any]:
    r"""
    Generates music for captions without any control, and measures its form and its agreement with the captions. If the
    checkpoint supports it, the pipeline chooses a tempo by itself.

    Args:
        pipe ([`JascoPipeline`]): the pipeline.
        captions (`Sequence[Mapping]`): as [`~evaluation.test_sets.load_captions`] returns them: `caption`; its answers
            to the questions of the caption probe (`style`, `lead`, `tempo`, `energy`, `drums`), `None` for attributes
            that it does not mention; and `bpm`, the number of its "N bpm", or `None`.
        references (`References`): reference clips of the same kind of music, as
            [`~evaluation.evaluate.analyze_references`] returns them, but not necessarily of these captions.
        batch_size (`int`, defaults to `8`): number of clips generated together.
        settings (`dict`, *optional*), cache (`Path`, *optional*), progress (`bool`), min_clips (`int`): as
            [`~evaluation.evaluate.evaluate_pipeline`] takes them.
        workers (`Workers`, *optional*): as [`~evaluation.evaluate.evaluate_pipeline`] takes them.

    Returns:
        `dict`, ready for JSON, as [`~evaluation.evaluate.evaluate_pipeline`] returns it, with the condition `"text"`.
        It has `form`, `form_adherence`, `sound`, `against_references`, `seconds_per_second` and

        - `captions`: a [`~evaluation.metrics.captions.CaptionAdherence`] for each attribute of the captions. The codec
          scores are those of the reference clips
        - `tempo`: for each estimator of tempo, `num_clips` with a tempo in BPM, `acc1` and `acc2` as
          [`~evaluation.metrics.tempo.score_tempo`] defines them, and `chance_acc1`, the score against the tempo of
          other captions, with `low` and `high`, the 95% confidence interval of `acc1`
    """
    duration = references.items[0]["duration"]
    requests = [
        GenerationRequest(
            name=f"{index:05d}",
            prompt=row["caption"],
            duration=duration,
            seed=1_000_000 * references.seed + index,
            settings=settings or {},
        )
        for index, row in enumerate(captions)
    ]
    answers, tempos = [], []

    def analyze(audio: Any):
        answers.append(predict_answers(audio))
        tempos.append(builtin_beats(audio).tempo)

    clips = generate(pipe, requests, batch_size, cache, workers, progress)
    audios = ((clip, pipe.sampling_rate) for clip in clips)
    onsets: list[Sequence[float]] = [()] * len(captions)
    condition = measure_music(audios, references, onsets, "captions", progress, min_clips, analyze)
    condition["captions"] = _measure_captions(pipe, answers, captions, references, batch_size, min_clips)
    condition["tempo"] = {
        name: score_tempos(estimates, [row["bpm"] for row in captions], references.seed, min_clips)
        for name, estimates in (
            ("beat strength", [form["tempo"] for form in condition["form"]]),
            ("beat extractor", tempos),
        )
    }
    result = describe_references(references, min_clips) | {"num_clips": len(captions)}
    # No control was requested.
    condition |= {"adherence": [], "reported": [], "scores": {}, "given": ["text"]}
    return result | {"conditions": {"text": condition}}


def score_tempos(
    estimates: Sequence[float | None], references: Sequence[float | None], seed: int = 0, min_clips: int = MIN_CLIPS
) -> dict[str, float]:
    r"""
    Args:
        estimates (`Sequence[float]` of length `clips`): estimated tempi in BPM, `None` or NaN without a
            detected beat.
        references (`Sequence[float]` of length `clips`): requested tempi in BPM, `None` for clips without one.
        seed (`int`, defaults to `0`): random seed of the bootstrap and of chance.
        min_clips (`int`, defaults to `20`): minimum number of clips for a score.

    Returns:
        `dict[str, float]`: `num_clips` with a requested tempo; means of `acc1` and `acc2` of
        [`~evaluation.metrics.tempo.score_tempo`] over them; `low` and `high`, the 95% confidence interval of `acc1` by
        bootstrap over clips; `chance_acc1` and `chance_acc2`, the scores against the tempi requested for other clips.
        NaN for fewer than `min_clips` clips.
    """
    pairs = [(estimate, tempo) for estimate, tempo in zip(estimates, references, strict=True) if tempo is not None]
    names = ("acc1", "acc2", "low", "high", "chance_acc1", "chance_acc2")
    if len(pairs) < max(min_clips, 2):
        return {"num_clips": len(pairs)} | dict.fromkeys(names, math.nan)
    scores = [score_tempo(estimate, tempo) for estimate, tempo in pairs]
    others = derangements(len(pairs), len(pairs) - 1, seed)
    by_chance = [score_tempo(pairs[i][0], pairs[j][1]) for order in others for i, j in enumerate(order)]
    acc1 = np.array([values["acc1"] for values in scores])
    # With a floor of 0 and a ceiling of 1, A is the mean.
    low, high = bootstrap(acc1, np.zeros_like(acc1), np.ones_like(acc1), seed)
    means = {name: float(np.mean([values[name] for values in scores])) for name in ("acc1", "acc2")}
    chance = {f"chance_{name}": float(np.mean([values[name] for values in by_chance])) for name in ("acc1", "acc2")}
    return {"num_clips": len(pairs), **means, "low": low, "high": high, **chance}


def _measure_captions(
    pipe: Any,
    answers: Sequence[Mapping[str, str]],
    captions: Sequence[Mapping[str, Any]],
    references: References,
    batch_size: int,
    min_clips: int,
) -> list[dict[str, Any]]:
    """Caption adherence, relative to the reference clips through the codec."""
    true = [true_answers(item) for item in references.items]
    clips = [(item["audio"], item["sampling_rate"]) for item in references.items]
    through_codec = [(clip, pipe.sampling_rate) for clip in reconstruct(pipe, references.items, batch_size)]
    rows = measure_captions(
        _score(answers, captions),
        *(_score([predict_answers(audio) for audio in part], true) for part in (clips, through_codec)),
        captions,
        references.seed,
        min_clips,
        true,
    )
    return [dataclasses.asdict(row) for row in rows]


def _score(estimates: Sequence[Mapping[str, str]], answers: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    return {
        question: [float(estimate[question] == row[question]) for estimate, row in zip(estimates, answers)]
        for question in QUESTIONS
    }
