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

"""Compares a distilled model with its teacher."""

import math
import statistics
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..generation.batches import GenerationRequest
from .evaluate import References, evaluate_pipeline, generate
from .metrics.diversity import measure_diversity
from .resource_use import make_controls


# All controls, the caption only, and the codec alone, to which the scores of captions refer.
CONDITIONS = ("all", "text", "codec")
_PROMPT = "80s pop, synth bass, drums"


def evaluate_model(
    pipe: Any,
    references: References,
    num_captions: int = 16,
    num_takes: int = 8,
    batch_size: int = 8,
    settings: dict[str, Any] | None = None,
    cache: Path | None = None,
    progress: bool = False,
    min_clips: int = 20,
) -> dict[str, float]:
    r"""
    Measures what distillation may change: adherence to the controls and captions, form, sound, and the diversity of takes.

    Args:
        pipe ([`JascoPipeline`]): the pipeline of the student or the teacher.
        references (`References`): reference clips, as [`~evaluation.evaluate.analyze_references`] returns them.
        num_captions (`int`, defaults to `16`), num_takes (`int`, defaults to `8`):
            The diversity is that of this number of takes of each of the first captions, without controls.
        batch_size (`int`), settings (`dict`), cache (`Path`), progress (`bool`), min_clips (`int`): as
            [`~evaluation.evaluate.evaluate_pipeline`] takes them.

    Returns:
        `dict[str, float]`: `"all: <control>, <metric>"`, the reported A of each control; `"text: beat strength"` and
        `"text: harmony"`, A of form; `"text: caption, <attribute>"`; `"all: kernel distance"` and
        `"text: kernel distance"`; `"takes: sound"` and `"takes: chroma"`, see
        [`~evaluation.metrics.diversity.measure_diversity`]; and `"all: forward passes"` and `"text: forward passes"` per
        clip, summed over the branches of guidance. Scores that are not reported are missing.
    """
    values: dict[str, float] = {}
    run: dict[str, Any] = {"batch_size": batch_size, "settings": settings, "cache": cache, "min_clips": min_clips}
    result = evaluate_pipeline(pipe, references, CONDITIONS, progress=progress, **run)["conditions"]
    for row in result["all"]["reported"]:
        values[f"all: {row['control']}, {row['metric']}"] = row["value"]
    for name in ("beat_strength", "harmony"):
        values[f"text: {name.replace('_', ' ')}"] = result["text"]["form_adherence"][name]["value"]
    for row in result["text"].get("captions", ()):
        values[f"text: caption, {row['question']}"] = row["value"]
    for name in ("all", "text"):
        distance = result[name]["distance"]["kernel_distance"]
        values[f"{name}: kernel distance"] = math.nan if distance is None else distance

    captions = [item["caption"] for item in references.items[:num_captions]]
    scale, takes = references.vectors.std(axis=0), []
    folder = None if cache is None else cache / "takes"
    requests = list_takes(captions, num_takes, references.items[0]["duration"], references.seed, settings)
    audios = generate(pipe, requests, batch_size, folder)
    clips = zip(requests, audios, strict=True)
    for _, group in groupby(clips, key=lambda clip: clip[0].name.split("-")[0]):
        audio = [(waveform, pipe.sampling_rate) for _, waveform in group]
        takes.append(measure_diversity(audio, references.embedding, scale))
    for name in ("sound", "chroma"):
        values[f"takes: {name}"] = float(np.mean([take[name] for take in takes]))
    for name, has_controls in (("all", True), ("text", False)):
        values[f"{name}: forward passes"] = count_forward_passes(pipe, has_controls, settings)
    return {name: value for name, value in values.items() if not math.isnan(value)}


def list_takes(
    captions: Sequence[str], num_takes: int, duration: float, seed: int, settings: dict[str, Any] | None = None
) -> list[GenerationRequest]:
    """Requests for several takes of each caption, `<caption>-<take>`, with different noise."""
    return [
        GenerationRequest(
            name=f"{index:05d}-{take}",
            prompt=caption,
            duration=duration,
            seed=1_000_000 * seed + 1000 * index + take,
            settings=settings or {},
        )
        for index, caption in enumerate(captions)
        for take in range(num_takes)
    ]


def count_forward_passes(pipe: Any, has_controls: bool, settings: dict[str, Any] | None = None) -> int:
    """Forward passes of the transformer for one clip, summed over the branches of guidance."""
    rows: list[int] = []
    hook = pipe.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(len(kwargs["hidden_states"])), with_kwargs=True
    )
    try:
        _generate(pipe, has_controls, settings, output_type="latent")
    finally:
        hook.remove()
    return sum(rows)


def compare_times(pipes: Sequence[Any], num_rounds: int = 5) -> list[float]:
    r"""
    Measures how long pipelines take to generate a clip of the training length from all their controls, in turn.

    Args:
        pipes (`Sequence` of [`JascoPipeline`]): the pipelines, on the CPU.
        num_rounds (`int`, defaults to `5`): number of clips of each pipeline.

    Returns:
        `list[float]`: the median processor time of each pipeline in seconds, which includes the controls and the
        decoder.
    """

    def seconds_of(pipe: Any) -> float:
        started = time.process_time()
        _generate(pipe, True)
        return time.process_time() - started

    for pipe in pipes:
        seconds_of(pipe)  # The first call prepares tables.
    rounds = [[seconds_of(pipe) for pipe in pipes] for _ in range(num_rounds)]
    return [statistics.median(times) for times in zip(*rounds)]


def _generate(pipe: Any, has_controls: bool, settings: dict[str, Any] | None = None, **kwargs: Any):
    duration = pipe.transformer.config.sample_size / pipe.frame_rate
    names = pipe.transformer.controls if has_controls else ()
    controls = make_controls(names, duration, pipe.sampling_rate) if has_controls else {}
    generator = torch.Generator().manual_seed(0)
    pipe(_PROMPT, **controls, duration=duration, generator=generator, **(settings or {}), **kwargs)


def compare_models(teacher: dict[str, float], student: dict[str, float]) -> list[dict[str, Any]]:
    r"""
    Args:
        teacher (`dict[str, float]`), student (`dict[str, float]`): as [`evaluate_model`] returns them.

    Returns:
        `list[dict]`: for each measure of both, `measure`, `teacher`, `student`, and `ratio`, student ÷ teacher, in which
        the adherence to controls is at most 1; `None` where the teacher's value is not positive.
    """
    rows = []
    for name in teacher:
        if name not in student:
            continue
        is_adherence = name.startswith("all: ") and "," in name
        values = [min(value, 1.0) if is_adherence else value for value in (teacher[name], student[name])]
        ratio = values[1] / values[0] if values[0] > 0 else None
        rows.append({"measure": name, "teacher": teacher[name], "student": student[name], "ratio": ratio})
    return rows


def to_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """A table of the rows of [`compare_models`]."""
    lines = ["| | teacher | student | student ÷ teacher |", "|---|---|---|---|"]
    for row in rows:
        ratio = "–" if row["ratio"] is None else f"{row['ratio']:.3f}"
        lines.append(f"| {row['measure']} | {row['teacher']:.3f} | {row['student']:.3f} | {ratio} |")
    return "\n".join(lines) + "\n"
