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

"""Cost and quality of samplers: adherence and sound by scheduler, number of steps and guidance scales."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from diffusers import DPMSolverMultistepScheduler, FlowMatchHeunDiscreteScheduler, UniPCMultistepScheduler

from ..schedulers.scheduling_flow_match_dopri5 import FlowMatchDopri5Scheduler
from ..schedulers.scheduling_flow_match_euler import FlowMatchEulerScheduler
from .control_estimators import ESTIMATORS
from .evaluate import References, evaluate_pipeline
from .metrics.sample_sizes import MIN_CLIPS


_FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
ADAPTIVE = "dopri5"  # chooses its own steps
WITHOUT_GRIDS = ("heun", "dpm++")  # do not take sigmas
SCHEDULERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "euler": FlowMatchEulerScheduler.from_config,
    "heun": FlowMatchHeunDiscreteScheduler.from_config,
    "unipc": lambda config: UniPCMultistepScheduler.from_config(config, **_FLOW),
    # It derives sigmas from integer timesteps, so they have to be fine-grained.
    "dpm++": lambda config: DPMSolverMultistepScheduler.from_config(config, num_train_timesteps=100_000, **_FLOW),
    ADAPTIVE: FlowMatchDopri5Scheduler.from_config,
}
# One metric per control.
METRICS = {"root": ("chords", "root"), "chroma": ("melody", "chroma"), "onsets": ("drums", "onset_f1")}
# Estimators that report at least one of these metrics.
SAMPLING_ESTIMATORS = tuple(
    estimator
    for estimator in ESTIMATORS
    if any(estimator.control == control and metric in estimator.metrics for control, metric in METRICS.values())
)


@dataclass(frozen=True)
class Sampler:
    r"""
    Args:
        scheduler (`str`): one of `SCHEDULERS`.
        steps (`int`, *optional*): number of inference steps; `None` for the adaptive `"dopri5"`.
        guidance_scale (`float`), text_guidance_scale (`float`): as [`JascoPipeline`] takes them.
        power (`float`, defaults to `1.0`): step `i` of `n` starts at the flow time `(i / n) ** power`; above 1, steps
            are shorter near noise.
    """

    scheduler: str
    steps: int | None
    guidance_scale: float
    text_guidance_scale: float
    power: float = 1.0

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of [`JascoPipeline`]."""
        settings = {"guidance_scale": self.guidance_scale, "text_guidance_scale": self.text_guidance_scale}
        if self.power == 1 or self.steps is None:
            return settings | {"num_inference_steps": self.steps}
        return settings | {"sigmas": tuple(1 - (np.arange(self.steps) / self.steps) ** self.power)}


def list_samplers(
    schedulers: Sequence[str],
    steps: Sequence[int],
    guidance_scales: Sequence[tuple[float, float]],
    powers: Sequence[float] = (1.0,),
) -> list[Sampler]:
    r"""
    Args:
        schedulers (`Sequence[str]`): some of `SCHEDULERS`.
        steps (`Sequence[int]`): numbers of inference steps. The adaptive scheduler ignores them and is listed once.
        guidance_scales (`Sequence[tuple[float, float]]`): pairs of `guidance_scale` and `text_guidance_scale`.
        powers (`Sequence[float]`, defaults to `(1.0,)`): powers of the time grid. Only `"euler"` and `"unipc"` have
            time grids; others ignore them.

    Returns:
        `list[Sampler]`: all combinations.

    Raises:
        `ValueError`: for an unknown scheduler.
    """
    if unknown := sorted(set(schedulers) - SCHEDULERS.keys()):
        raise ValueError(f"`schedulers` have to be some of {', '.join(SCHEDULERS)}, but got {', '.join(unknown)}.")
    return [
        Sampler(scheduler, count, *scales, power)
        for scales, scheduler in product(guidance_scales, schedulers)
        for power, count in (
            [(1.0, None)] if scheduler == ADAPTIVE else product([1.0] if scheduler in WITHOUT_GRIDS else powers, steps)
        )
    ]


def evaluate_sampler(
    pipe: Any,
    references: References,
    sampler: Sampler,
    batch_size: int = 8,
    min_clips: int = MIN_CLIPS,
    condition: str = "all",
) -> dict[str, Any]:
    r"""
    Generates music for clips with one sampler, and evaluates it.

    Args:
        pipe ([`JascoPipeline`]): the pipeline. Its scheduler is replaced during the evaluation.
        references (`References`): clips of equal length from [`~evaluation.evaluate.analyze_references`], for which
            `SAMPLING_ESTIMATORS` are sufficient.
        sampler (`Sampler`): the sampler.
        batch_size (`int`, defaults to `8`): number of clips generated together.
        min_clips (`int`, defaults to `20`): as [`~evaluation.evaluate.evaluate_pipeline`] takes it.
        condition (`str`, defaults to `"all"`): inputs of the pipeline, one of [`~evaluation.evaluate.CONDITIONS`],
            such as all controls or, with `"text"`, the captions only.

    Returns:
        `dict`, ready for JSON: the fields of `sampler`, `condition`, and

        - `evaluations`: mean number of transformer evaluations per batch; all guidance branches together are one
        - `adherence`: the reported A of `"root"`, `"chroma"` and `"onsets"` with its interval (`value`, `low`,
          `high`), without those that lack a reliable estimator; `mean_adherence`: their mean, `None` without any
        - `form`: A of `"beat_strength"` and `"harmony"` in the same form, as
          [`~evaluation.metrics.form.compare_form`] defines them; `None` for fewer than `min_clips` clips
        - `kernel_distance`, with `low` and `high`: distance to the reference clips; `None` for fewer than `min_clips`
          clips
        - `worst_band` and `band_difference`: the octave band whose level differs most from the reference clips, and
          the difference in dB
        - `harmonic_to_noise`, `rise`: means of these fields of [`~evaluation.metrics.sound.SoundCheck`] over clips
        - `seconds_per_second`: generation time in seconds per second of music
    """
    calls = []
    hook = pipe.transformer.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        with _use_scheduler(pipe, sampler.scheduler):
            result = evaluate_pipeline(
                pipe, references, (condition,), batch_size, sampler.settings, min_clips=min_clips
            )
    finally:
        hook.remove()
    result = result["conditions"][condition]
    reported = {(row["control"], row["metric"]): row for row in result["reported"]}
    adherence = {
        name: {key: reported[metric][key] for key in ("value", "low", "high")}
        for name, metric in METRICS.items()
        if metric in reported
    }
    against = result["against_references"]
    return dataclasses.asdict(sampler) | {
        "evaluations": len(calls) / math.ceil(len(references.items) / batch_size),
        "adherence": adherence,
        "condition": condition,
        "form": {name: _select_interval(result["form_adherence"][name]) for name in ("beat_strength", "harmony")},
        "mean_adherence": float(np.mean([row["value"] for row in adherence.values()])) if adherence else None,
        **{key: result["distance"][key] for key in ("kernel_distance", "low", "high")},
        "worst_band": against["worst_band"],
        "band_difference": against["bands"].get(against["worst_band"]),
        **{key: float(np.nanmean([check[key] for check in result["sound"]])) for key in ("harmonic_to_noise", "rise")},
        "seconds_per_second": result["seconds_per_second"],
    }


def _select_interval(row: dict[str, float]) -> dict[str, float | None]:
    return {key: None if math.isnan(row[key]) else row[key] for key in ("value", "low", "high")}


@contextmanager
def _use_scheduler(pipe: Any, name: str) -> Iterator[None]:
    """Temporarily replaces the pipeline's scheduler."""
    original = pipe.scheduler
    pipe.scheduler = SCHEDULERS[name](original.config)
    try:
        yield
    finally:
        pipe.scheduler = original
