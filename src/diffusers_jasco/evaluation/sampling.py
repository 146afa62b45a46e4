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

"""Cost and quality of samplers: accuracy, adherence and sound by scheduler, number of steps, time grid and guidance."""

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchHeunDiscreteScheduler,
    UniPCMultistepScheduler,
)

from ..generation.batches import generate_clips
from ..guiders.jasco_guidance import OPTIONS, JascoGuidance
from ..schedulers.grids import power_sigmas
from ..schedulers.scheduling_flow_match_dopri5 import FlowMatchDopri5Scheduler
from ..schedulers.scheduling_flow_match_euler import FlowMatchEulerScheduler
from ..schedulers.scheduling_flow_match_multistep import FlowMatchMultistepScheduler
from ..utils.files import replace_file
from .control_estimators import ESTIMATORS
from .estimators import caption_probe
from .evaluate import CONDITIONS, References, evaluate_clips, make_requests, reconstruct
from .metrics.captions import measure_captions
from .metrics.sample_sizes import MIN_CLIPS
from .metrics.sound import drum_level


_FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
# Schedulers that derive sigmas from integer timesteps, which have to be fine-grained.
_FINE_FLOW = _FLOW | {"num_train_timesteps": 100_000}
ADAPTIVE = "dopri5"  # chooses its own steps
WITHOUT_GRIDS = ("heun", "dpm++", "deis")  # do not take sigmas
SCHEDULERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "euler": FlowMatchEulerScheduler.from_config,
    "multistep": FlowMatchMultistepScheduler.from_config,
    "heun": FlowMatchHeunDiscreteScheduler.from_config,
    "unipc": lambda config: UniPCMultistepScheduler.from_config(config, **_FLOW),
    "unipc3": lambda config: UniPCMultistepScheduler.from_config(config, solver_order=3, **_FLOW),
    "dpm++": lambda config: DPMSolverMultistepScheduler.from_config(config, **_FINE_FLOW),
    "deis": lambda config: DEISMultistepScheduler.from_config(config, **_FINE_FLOW),
    ADAPTIVE: FlowMatchDopri5Scheduler.from_config,
}
TOLERANCE = 1e-6  # of dopri5, whose latents are the reference of `latent_error`
# One metric per control.
METRICS = {"root": ("chords", "root"), "chroma": ("melody", "chroma"), "onsets": ("drums", "onset_f1")}
# Estimators that report at least one of these metrics, and the one of captions.
SAMPLING_ESTIMATORS = tuple(
    estimator
    for estimator in ESTIMATORS
    if estimator.name == caption_probe.NAME
    or any(estimator.control == control and metric in estimator.metrics for control, metric in METRICS.values())
)


@dataclass(frozen=True)
class Sampler:
    r"""
    Args:
        scheduler (`str`): one of `SCHEDULERS`.
        steps (`int`, *optional*): number of inference steps; `None` for the adaptive `"dopri5"`.
        power (`float`, defaults to `1.0`), end_power (`float`, defaults to `1.0`): above 1, steps are shorter near
            noise and near data; see [`~schedulers.grids.power_sigmas`].
        guidance (`dict`): arguments of [`JascoGuidance`] that differ from the checkpoint's guidance.
    """

    scheduler: str
    steps: int | None
    power: float = 1.0
    end_power: float = 1.0
    guidance: dict[str, Any] = field(default_factory=dict)

    @property
    def grid(self) -> dict[str, Any]:
        """The arguments of [`JascoPipeline`] for the steps."""
        if self.steps is None or self.power == self.end_power == 1:
            return {"num_inference_steps": self.steps}
        return {"sigmas": power_sigmas(self.steps, self.power, self.end_power)}


def list_samplers(
    schedulers: Sequence[str],
    steps: Sequence[int],
    guidance: Sequence[dict[str, Any]] = ({},),
    powers: Sequence[float] = (1.0,),
    end_powers: Sequence[float] = (1.0,),
) -> list[Sampler]:
    r"""
    Args:
        schedulers (`Sequence[str]`): some of `SCHEDULERS`.
        steps (`Sequence[int]`): numbers of inference steps. The adaptive scheduler ignores them and is listed once.
        guidance (`Sequence[dict]`): as in [`Sampler`]; by default the checkpoint's guidance only.
        powers (`Sequence[float]`, defaults to `(1.0,)`), end_powers (`Sequence[float]`, defaults to `(1.0,)`): powers
            of the time grid. Schedulers in `WITHOUT_GRIDS` ignore them.

    Returns:
        `list[Sampler]`: all combinations.

    Raises:
        `ValueError`: for an unknown scheduler.
    """
    if unknown := sorted(set(schedulers) - SCHEDULERS.keys()):
        raise ValueError(f"`schedulers` have to be some of {', '.join(SCHEDULERS)}, but got {', '.join(unknown)}.")
    samplers = []
    for options, name in product(guidance, schedulers):
        if name == ADAPTIVE:
            samplers.append(Sampler(name, None, guidance=options))
            continue
        grids = [(1.0, 1.0)] if name in WITHOUT_GRIDS else product(powers, end_powers)
        samplers += [Sampler(name, count, *grid, options) for grid, count in product(grids, steps)]
    return samplers


def make_guider(guidance: dict[str, Any], default: JascoGuidance | None = None) -> JascoGuidance:
    r"""
    Args:
        guidance (`dict`): arguments of [`JascoGuidance`].
        default (`JascoGuidance`, *optional*): has the values of the others.

    Returns:
        [`JascoGuidance`].

    Raises:
        `ValueError`: for unknown arguments.
        [`~inputs.InputError`]: for invalid values.
    """
    if unknown := [name for name in guidance if name not in OPTIONS]:
        raise ValueError(f"`guidance` has to consist of {', '.join(OPTIONS)}, but got {unknown[0]}.")
    default = default or JascoGuidance()
    return JascoGuidance(**{name: getattr(default, name) for name in OPTIONS} | guidance)


def describe_guidance(guidance: dict[str, Any]) -> str:
    r"""
    Args:
        guidance (`dict`): arguments of [`JascoGuidance`] that differ from the checkpoint's guidance.

    Returns:
        `str`: such as "guidance_scale=2, chords=0.5"; "default" without any.
    """
    options = {**guidance, **guidance.get("control_scales", {})}
    options.pop("control_scales", None)
    return ", ".join(f"{name}={value:g}" for name, value in options.items()) or "default"


class SamplerEvaluator:
    r"""
    Evaluates samplers on the same clips, conditions and noise.

    Args:
        pipe ([`JascoPipeline`]): the pipeline. Its scheduler is replaced during an evaluation.
        clips (`References` or `Sequence[dict]`):
            Clips of equal length: to evaluate music, the result of [`~evaluation.evaluate.analyze_references`], for
            which `SAMPLING_ESTIMATORS` are sufficient; to compare latents only, items as it takes them.
        condition (`str`, defaults to `"all"`): inputs of the pipeline, one of [`~evaluation.evaluate.CONDITIONS`],
            such as all controls or, with `"text"`, the captions only.
        tolerance (`float`, *optional*, defaults to `1e-6`):
            `rtol` and `atol` of dopri5, with whose latents others are compared; it can take hundreds of evaluations for
            each guidance. `None`: latents are not compared.
        cache (`Path`, *optional*):
            Folder for the latents of dopri5. Existing ones are reused; the caller ensures that they come from the same
            model, clips, and arguments.
        batch_size (`int`, defaults to `8`): number of clips generated together.
        min_clips (`int`, defaults to `20`): as [`~evaluation.evaluate.evaluate_pipeline`] takes it.
        seed (`int`, defaults to `0`): random seed of the noise of clips that are no `References`.
    """

    def __init__(
        self,
        pipe: Any,
        clips: References | Sequence[dict[str, Any]],
        condition: str = "all",
        tolerance: float | None = TOLERANCE,
        batch_size: int = 8,
        min_clips: int = MIN_CLIPS,
        seed: int = 0,
        cache: Path | None = None,
    ):
        self.pipe = pipe
        self.references = clips if isinstance(clips, References) else None
        self.items = clips if self.references is None else self.references.items
        self.condition = condition
        self.tolerance = tolerance
        self.batch_size = batch_size
        self.min_clips = min_clips
        self.seed = seed if self.references is None else self.references.seed
        self.cache = cache
        self._solutions: dict[str, torch.Tensor] = {}  # latents of dopri5 by the name of their file
        if self.references is not None:
            self._drum_levels = self._measure_drums([(item["audio"], item["sampling_rate"]) for item in self.items])
            self._captions = self._read_captions_through_codec()

    def evaluate(self, sampler: Sampler) -> dict[str, Any]:
        r"""
        Generates latents, and if the clips are `References`, music; and evaluates them.

        Args:
            sampler (`Sampler`): the sampler.

        Returns:
            `dict`, ready for JSON: the fields of `sampler`, `condition`, and

            - `evaluations`: mean number of transformer evaluations per batch; all guidance branches together are one
            - `forward_passes`: mean number of forward passes of the transformer per clip, summed over the branches
            - `latent_error`: norm of the difference from the latents of dopri5 with the same guidance, ÷ the norm of
              the latter; `default_error`: the same for dopri5 with the checkpoint's guidance. Only with a `tolerance`

            and, if the clips are `References`:

            - `adherence`: the reported A of `"root"`, `"chroma"` and `"onsets"` with its interval (`value`, `low`,
              `high`), without those that lack a reliable estimator; `mean_adherence`: their mean, each capped at 1,
              `None` without any
            - `captions`: A of each attribute of the captions in the same form, without those that are mentioned in
              fewer than `min_clips` clips; `mean_captions`: their mean, `None` without any
            - `form`: A of `"beat_strength"` and `"harmony"` in the same form, as
              [`~evaluation.metrics.form.compare_form`] defines them; `None` for fewer than `min_clips` clips
            - `kernel_distance`, with `low` and `high`: distance to the reference clips; `None` for fewer than
              `min_clips` clips
            - `worst_band` and `band_difference`: the octave band whose level differs most from the reference clips,
              and the difference in dB
            - `loudness`: median over clips in LUFS; `loudness_difference`: from the reference clips, in LU
            - `drum_level_difference`: difference from the reference clips in the level of the drums relative to
              everything else, in dB: median over the clips whose references have drums, `None` without any
            - `harmonic_to_noise`, `rise`: means of these fields of [`~evaluation.metrics.sound.SoundCheck`] over
              clips
            - `seconds_per_second`: generation time in seconds per second of music
        """
        started = time.perf_counter()
        latents, cost = self._sample(SCHEDULERS[sampler.scheduler], sampler.guidance, sampler.grid)
        seconds = time.perf_counter() - started
        point = dataclasses.asdict(sampler) | {"condition": self.condition} | cost
        if self.tolerance is not None:
            for name, guidance in (("latent_error", sampler.guidance), ("default_error", {})):
                solution = self._solve(guidance)
                point[name] = float((latents - solution).norm() / solution.norm())
        return point if self.references is None else point | self._evaluate_music(latents, seconds)

    def _sample(
        self, make_scheduler: Callable[[Any], Any], guidance: dict[str, Any], grid: dict[str, Any]
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Latents `(clips, frames, channels)`, and the numbers of evaluations and forward passes."""
        inputs = [
            part for part in CONDITIONS[self.condition] if part == "text" or part in self.pipe.transformer.controls
        ]
        settings = grid | {"guider": make_guider(guidance, self.pipe.guider), "output_type": "latent"}
        requests = make_requests(self.items, np.arange(len(self.items)), inputs, settings, self.seed)
        rows: list[int] = []  # batch size of each evaluation
        hook = self.pipe.transformer.register_forward_pre_hook(
            lambda _, args, kwargs: rows.append(len(kwargs["hidden_states"])), with_kwargs=True
        )
        latents = []
        try:
            with _use_scheduler(self.pipe, make_scheduler):
                for _, clip in generate_clips(self.pipe, requests, self.batch_size):
                    if isinstance(clip, Exception):
                        raise clip
                    latents.append(clip.audio)
        finally:
            hook.remove()
        num_clips = len(requests)
        cost = {
            "evaluations": len(rows) / math.ceil(num_clips / self.batch_size),
            "forward_passes": sum(rows) / num_clips,
        }
        return torch.stack(latents), cost

    def _solve(self, guidance: dict[str, Any]) -> torch.Tensor:
        """The latents of dopri5."""
        key = json.dumps(guidance, sort_keys=True)
        name = f"{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}.npy"
        if name not in self._solutions:
            path = self.cache and self.cache / name
            if path and path.is_file():
                self._solutions[name] = torch.from_numpy(np.load(path))
            else:
                tolerances = {"rtol": self.tolerance, "atol": self.tolerance}
                make_scheduler = partial(FlowMatchDopri5Scheduler.from_config, **tolerances)
                self._solutions[name] = self._sample(make_scheduler, guidance, {})[0]
                if path:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with replace_file(path) as partial_file, open(partial_file, "wb") as file:
                        np.save(file, self._solutions[name].numpy())
        return self._solutions[name]

    def _evaluate_music(self, latents: torch.Tensor, seconds: float) -> dict[str, Any]:
        """The entries of [`evaluate`] for music. `seconds` were spent on the latents."""
        assert self.references is not None
        audios = list(self._decode(latents))
        rate = self.pipe.sampling_rate
        result = evaluate_clips(((audio, rate) for audio in audios), self.references, min_clips=self.min_clips)
        reported = {(row["control"], row["metric"]): row for row in result["reported"]}
        adherence = {name: _interval(reported[metric]) for name, metric in METRICS.items() if metric in reported}
        captions = self._measure_captions(result["scores"])
        against = result["against_references"]
        loudness, usual = (
            float(np.nanmedian([check["loudness"] for check in checks]))
            for checks in (result["sound"], self.references.sound)
        )
        differences = self._measure_drums([(audio, rate) for audio in audios]) - self._drum_levels
        drums = differences[~np.isnan(differences)]
        music_seconds = sum(item["duration"] for item in self.items)
        return {
            "adherence": adherence,
            "mean_adherence": _mean([min(row["value"], 1.0) for row in adherence.values()]),
            "captions": captions,
            "mean_captions": _mean([row["value"] for row in captions.values()]),
            "form": {name: _interval(result["form_adherence"][name]) for name in ("beat_strength", "harmony")},
            **{key: result["distance"][key] for key in ("kernel_distance", "low", "high")},
            "worst_band": against["worst_band"],
            "band_difference": against["bands"].get(against["worst_band"]),
            "loudness": loudness,
            "loudness_difference": loudness - usual,
            "drum_level_difference": float(np.median(drums)) if len(drums) else None,
            **{
                key: float(np.nanmean([check[key] for check in result["sound"]]))
                for key in ("harmonic_to_noise", "rise")
            },
            "seconds_per_second": seconds / music_seconds + result["seconds_per_second"],
        }

    def _decode(self, latents: torch.Tensor) -> Iterator[torch.Tensor]:
        """A waveform `(1, samples)` per clip."""
        num_samples = round(self.items[0]["duration"] * self.pipe.sampling_rate)
        for part in latents.split(self.batch_size):
            with torch.no_grad():
                audios = self.pipe.decode_latents(part.to(self.pipe.device))[..., :num_samples]
            yield from audios.float().mean(dim=1, keepdim=True).cpu()

    def _measure_drums(self, audios: Sequence[tuple[torch.Tensor, int]]) -> np.ndarray:
        """Drum levels, NaN for clips whose references have no drums."""
        pairs = zip(audios, self.items, strict=True)
        return np.array([drum_level(audio) if item["drum_onsets"] else math.nan for audio, item in pairs])

    def _read_captions_through_codec(self) -> dict[str, list[float]]:
        """Scores of the caption probe for the reference clips through the codec, empty without that estimator."""
        assert self.references is not None
        if caption_probe.NAME not in {estimator.name for estimator in self.references.estimators}:
            return {}
        rows = [
            caption_probe.score_answers(caption_probe.predict_answers((audio, self.pipe.sampling_rate)), item)
            for audio, item in zip(reconstruct(self.pipe, self.items, self.batch_size), self.items)
        ]
        return {question: [row[question] for row in rows] for question in caption_probe.QUESTIONS}

    def _measure_captions(self, scores: dict[str, list[float]]) -> dict[str, dict[str, float | None]]:
        """A by question of the caption probe."""
        if not self._captions:
            return {}
        assert self.references is not None
        music = {question: scores[f"{caption_probe.NAME}/{question}"] for question in caption_probe.QUESTIONS}
        ceilings = self.references.ceilings
        clips = {question: ceilings[caption_probe.NAME, question].tolist() for question in caption_probe.QUESTIONS}
        answers = [caption_probe.read_caption(item) for item in self.items]
        rows = measure_captions(music, clips, self._captions, answers, self.seed, self.min_clips)
        return {row.question: _interval(dataclasses.asdict(row)) for row in rows if not math.isnan(row.value)}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _interval(row: dict[str, float]) -> dict[str, float | None]:
    return {key: None if math.isnan(row[key]) else row[key] for key in ("value", "low", "high")}


@contextmanager
def _use_scheduler(pipe: Any, make_scheduler: Callable[[Any], Any]) -> Iterator[None]:
    """Temporarily replaces the pipeline's scheduler."""
    original = pipe.scheduler
    pipe.scheduler = make_scheduler(original.config)
    try:
        yield
    finally:
        pipe.scheduler = original
