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
U-turns: reference clips are noised to a flow time and denoised with their captions, or with some of their controls as
well. Other properties that survive are determined by the latents of that time, so that the model decides them before
it.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ..codecs import encode
from ..data.features import prepare_audio
from ..schedulers.steps import partial_sigmas, stored_sigmas
from .evaluate import References, add_captions, describe_references, evaluate_clips, make_requests, reconstruct
from .metrics.sample_sizes import MIN_CLIPS
from .report import find_row


# Metrics of controls, as control and metric, by their names in figures.
METRICS = {"tempo": ("beats", "acc1"), "beats": ("beats", "beat_f1"), "chords": ("chords", "root")}
TIMES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)


@torch.no_grad()
def make_uturns(
    pipe: Any,
    items: Sequence[dict[str, Any]],
    time: float,
    batch_size: int = 8,
    settings: dict[str, Any] | None = None,
    seed: int = 0,
    inputs: Sequence[str] = ("text",),
) -> Iterator[torch.Tensor]:
    r"""
    Noises reference clips to a flow time and denoises them (Sclocchi et al., 2024, "A Phase Transition in Diffusion
    Models Reveals the Hierarchical Nature of Data").

    Args:
        pipe ([`JascoPipeline`]): the pipeline.
        items (`Sequence[dict]`): clips of equal length, as [`~evaluation.evaluate.analyze_references`] takes them.
        time (`float`): flow time in [0, 1), from 0 (noise: music from the captions alone) to 1 (data).
        batch_size (`int`, defaults to `8`): number of clips generated together.
        settings (`dict`, *optional*): as [`~evaluation.evaluate.evaluate_pipeline`] takes it. The remaining interval
            from `time` to 1 is divided into `num_inference_steps` equal steps. By default, that is the scheduler's number,
            or, if the scheduler has a grid, its part after `time` is used.
        seed (`int`, defaults to `0`): random seed of the noise, which is that of
            [`~evaluation.evaluate.make_requests`] and the same for all times.
        inputs (`Sequence[str]`, defaults to `("text",)`): inputs of the pipeline, as
            [`~evaluation.evaluate.make_requests`] takes them. The pipeline does not choose a tempo by itself.

    Yields:
        `torch.Tensor` of shape `(1, samples)`: waveforms at the pipeline's sampling rate.

    Raises:
        `ValueError`: if `time` is not in [0, 1).
    """
    if not 0 <= time < 1:
        raise ValueError(f"`time` has to be in [0, 1), but got {time}.")
    settings = dict(settings or {})
    num_steps = settings.pop("num_inference_steps", None)
    if num_steps is None and stored_sigmas(pipe.scheduler):
        sigmas = partial_sigmas(pipe.scheduler, pipe.defaults["num_inference_steps"], 1 - time)
    else:
        num_steps = num_steps or pipe.defaults["num_inference_steps"]
        sigmas = (1 - time) * np.linspace(1, 1 / num_steps, num_steps)
    config = pipe.transformer.config
    mean, std = (torch.tensor(value) for value in (config.latents_mean, config.latents_std))
    requests = make_requests(items, np.arange(len(items)), inputs, {}, seed)
    for first in range(0, len(items), batch_size):
        batch = requests[first : first + batch_size]
        clips = (prepare_audio(item, pipe.sampling_rate)["audio"] for item in items[first : first + batch_size])
        audios = torch.stack(list(clips))
        data = (encode(pipe.codec, audios).float().cpu() - mean) / std
        noise = torch.stack(
            [torch.randn(data.shape[1:], generator=torch.Generator().manual_seed(it.seed)) for it in batch]
        )
        controls = {name: [request.controls[name] for request in batch] for name in batch[0].controls}
        controls = {name: values for name, values in controls.items() if any(value is not None for value in values)}
        waveforms = pipe(
            [request.prompt for request in batch],
            **controls,
            bpm=[None if grid else False for grid in controls.get("beats", [None] * len(batch))],
            latents=time * data + (1 - time) * noise,
            sigmas=sigmas,
            **settings,
        ).audios
        yield from waveforms[..., : audios.shape[-1]].float().mean(dim=1, keepdim=True).cpu()


def evaluate_uturns(
    pipe: Any,
    references: References,
    times: Sequence[float] = TIMES,
    batch_size: int = 8,
    settings: dict[str, Any] | None = None,
    progress: bool = False,
    min_clips: int = MIN_CLIPS,
    inputs: Sequence[str] = ("text",),
) -> dict[str, Any]:
    r"""
    Evaluates U-turns at several flow times against the reference clips.

    Args:
        pipe ([`JascoPipeline`]): the pipeline.
        references (`References`): clips of equal length from [`~evaluation.evaluate.analyze_references`].
        times (`Sequence[float]`, defaults to `TIMES`): flow times in [0, 1).
        batch_size (`int`, defaults to `8`), settings (`dict`, *optional*): as [`make_uturns`] takes them.
        progress (`bool`, defaults to `False`): whether to show progress bars.
        min_clips (`int`, defaults to `20`): as [`~evaluation.evaluate.evaluate_pipeline`] takes it.
        inputs (`Sequence[str]`, defaults to `("text",)`): as [`make_uturns`] takes them.

    Returns:
        `dict`, ready for JSON: as [`~evaluation.evaluate.evaluate_pipeline`] returns it, with conditions named after
        the times, such as `"t = 0.05"`, and `"codec"`; and `times` (name of the condition → time).
    """
    result = describe_references(references, min_clips)
    names = {f"t = {time:g}": float(time) for time in times}
    for name, time in names.items():
        clips = make_uturns(pipe, references.items, time, batch_size, settings, references.seed, inputs)
        audios = ((clip, pipe.sampling_rate) for clip in clips)
        result["conditions"][name] = evaluate_clips(audios, references, None, name, progress, min_clips)
    audios = ((clip, pipe.sampling_rate) for clip in reconstruct(pipe, references.items, batch_size))
    result["conditions"]["codec"] = evaluate_clips(audios, references, None, "codec", progress, min_clips)
    add_captions(result, references)
    return result | {"times": names}


def survival(result: dict[str, Any]) -> dict[str, list[tuple[float, float, float, float]]]:
    r"""
    Shares of the reference clips' properties that survive, by flow time.

    Args:
        result (`dict`): as [`evaluate_uturns`] returns it.

    Returns:
        `dict`: for `"beat strength"`, `"tempo"`, `"beats"`, `"chords"` and each attribute of the captions, such as
        `"caption: style"`, a list of `(time, value, low, high)` with the 95% confidence interval. The value is A, or the
        caption adherence. Measures without a reliable estimator or with too few clips are omitted.
    """
    curves: dict[str, list[tuple[float, float, float, float]]] = {}
    for name, time in result["times"].items():
        condition = result["conditions"][name]
        rows = {"beat strength": condition["form_adherence"]["beat_strength"]}
        rows |= {label: find_row(condition, metric) for label, metric in METRICS.items()}
        captions = [row for row in condition["captions"] if row["num_clips"] >= row["min_clips"]]
        rows |= {f"caption: {row['question']}": row for row in captions}
        for label, row in rows.items():
            if row is not None and not math.isnan(row["value"]):
                curves.setdefault(label, []).append((time, row["value"], row["low"], row["high"]))
    return curves
