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

"""The best of several takes, by measurement."""

import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.utils import logging

from ..audio.levels import DRUMS_LOUDNESS
from ..conditioning import JascoConditioning
from ..controls import CONTROLS
from ..controls.beats import Tempo, frames_to_beats
from ..controls.chord_syntax import FREE_CHORD
from ..controls.melody import frames_to_notes
from ..generation.batches import GeneratedClip, GenerationRequest, generate_batch
from ..inputs import read_drums
from ..pipelines.control_mixer import read_control_scales
from ..utils.errors import InputError
from ..utils.numbers import to_float, to_integer
from .control_estimators import ESTIMATORS
from .estimators.onsets import onsets_by_percussive_flux


logger = logging.get_logger(__name__)

# For each control, the estimator and metric that selects, and those that report: a selection would flatter itself.
SELECTING = {
    "chords": ("chord extractor", "majmin"),
    "drums": ("noise flux", "onset_f1"),
    "melody": ("melody extractor", "chroma"),
    "beats": ("beat extractor", "beat_f1"),
}
REPORTING = {
    "chords": ("blind estimate", "majmin"),
    "drums": ("percussive flux", "onset_f1"),
    "melody": ("note fit", "chroma"),
    "beats": ("beat tracker", "beat_f1"),
}
BATCH_SIZE = 4
# The key of each control in an item.
_KEYS = dict(zip(CONTROLS, ("chords", "drum_onsets", "melody", "beats"), strict=True))


@dataclass(frozen=True)
class Take:
    r"""
    The scores of a take, and its tempo.

    Args:
        selecting (`dict[str, float]`): for each control, the score in [0, 1] by which the take was selected; or `"score"`,
            the result of a callable.
        reporting (`dict[str, float]`): for each control, the score of another estimator, in [0, 1].
        is_best (`bool`): whether this take was selected.
        tempo ([`~controls.beats.Tempo`], *optional*): its tempo, as the pipeline reports it.
    """

    selecting: dict[str, float]
    reporting: dict[str, float]
    is_best: bool
    tempo: Tempo | None = None


def best_of(
    pipe: Any,
    count: int,
    score: Callable[[torch.Tensor, int], float] | None = None,
    batch_size: int = BATCH_SIZE,
    generator: torch.Generator | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, list[Take]]:
    r"""
    Generates several takes of a piece and returns the one that follows its controls best: the one whose lowest score of
    any control is the highest. The conditions are encoded once.

    Args:
        pipe ([`JascoPipeline`]): the pipeline.
        count (`int`): number of takes.
        score (`Callable`, *optional*):
            Maps the audio of a take `(channels, samples)` and its sampling rate in Hz to a number, instead of the
            estimators; the highest one is selected.
        batch_size (`int`, defaults to `4`): number of takes that are generated at once. It does not affect the result.
        generator (`torch.Generator`, *optional*): random generator for reproducible results.
        kwargs: all other arguments of [`JascoPipeline.__call__`] for one prompt.

    Returns:
        `tuple[torch.Tensor, list[Take]]`: the best take `(channels, samples)`, and the scores of all takes.

    Raises:
        [`~inputs.InputError`]: for several prompts, and without a control to select by and without `score`; also as the
            pipeline.
        `ImportError`: without `diffusers-jasco[eval]`, except with `score`.
    """
    count = to_integer(count, "count", minimum=1)
    batch_size = to_integer(batch_size, "batch_size", minimum=1)
    for name in ("num_waveforms_per_prompt", "latents", "output_type", "return_dict"):
        if name in kwargs:
            raise InputError(f"`{name}` can't be used with `best_of`.", name)
    if kwargs.get("audiocraft_compatible"):
        raise InputError("`audiocraft_compatible` can't be used with `best_of`.", "audiocraft_compatible")
    seeds = torch.randint(2**62, (count,), generator=generator).tolist()
    encoding = kwargs
    if kwargs.get("conditioning") is None:
        names = inspect.signature(pipe.encode_conditioning).parameters
        encoding = {name: value for name, value in kwargs.items() if name in names}
        conditioning = pipe.encode_conditioning(**encoding, generator=torch.Generator().manual_seed(seeds[0]))
        kept = {name: value for name, value in kwargs.items() if name == "loop" or name not in names}
        kwargs = kept | {"conditioning": conditioning}
    conditioning = kwargs["conditioning"]
    if conditioning.batch_size != 1:
        raise InputError(f"`best_of` takes one prompt, but there are {conditioning.batch_size}.", "prompt")
    (scales,) = read_control_scales(kwargs.get("control_scales"), 1, conditioning.controls) or [{}]
    unused = {name for name, scale in scales.items() if scale == 0}
    requested = {} if score is not None else _requested(pipe, conditioning, encoding, unused)
    if score is None and not requested:
        raise InputError(
            "`best_of` needs a control to select by: chords, drums, a melody or beats. (Or, in Python, a function `score`.)",
            "score",
        )
    best: tuple[tuple[float, float], torch.Tensor] | None = None
    rows, best_index = [], 0
    for first in range(0, count, batch_size):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds[first : first + batch_size]]
        output = pipe(num_waveforms_per_prompt=len(generators), generator=generators, **kwargs)
        for index, audio in enumerate(output.audios.cpu(), start=first):
            if score is not None:
                selecting, reporting = {"score": to_float(score(audio, pipe.sampling_rate), "score")}, {}
            else:
                selecting, reporting = _score((audio, pipe.sampling_rate), requested)
            rows.append((selecting, reporting, output.tempos[index - first]))
            values = [*selecting.values()] or [-math.inf]
            rank = min(values), sum(values) / len(values)
            if best is None or rank > best[0]:
                best, best_index = (rank, audio), index
    assert best is not None
    return best[1], [
        Take(selecting, reporting, index == best_index, tempo)
        for index, (selecting, reporting, tempo) in enumerate(rows)
    ]


def generate_best(
    pipe: Any, requests: Sequence[GenerationRequest], batch_size: int = BATCH_SIZE
) -> list[GeneratedClip]:
    r"""
    Generates a batch of requests, and selects the clips of those with `best_of` from several takes; for the argument
    `generate` of [`~generation.batches.save_clips`].

    Args:
        pipe ([`JascoPipeline`]): the pipeline.
        requests (`Sequence[GenerationRequest]`): a batch of [`~generation.batches.plan_batches`].
        batch_size (`int`, defaults to `4`): number of takes that are generated at once.

    Returns:
        `list[GeneratedClip]`: one per request.

    Raises:
        `ValueError`, `OSError`, `ImportError`: as [`best_of`] and [`~generation.batches.generate_batch`].
    """
    if requests[0].best_of == 1:
        return generate_batch(pipe, requests)
    clips = []
    for request in requests:
        generator = torch.Generator().manual_seed(request.seed)
        arguments = {name: value for name, value in request.inputs.items() if value is not None} | request.options
        audio, takes = best_of(pipe, request.best_of, batch_size=batch_size, generator=generator, **arguments)
        scores = [{name: getattr(take, name) for name in ("selecting", "reporting", "is_best")} for take in takes]
        clips.append(GeneratedClip(audio.float(), takes[0].tempo, scores))
    return clips


def _requested(
    pipe: Any, conditioning: JascoConditioning, arguments: Mapping[str, Any], unused: Collection[str]
) -> dict[str, Any]:
    """The controls of a piece in the form of the evaluation's items, without those that are not given or not used."""
    controls = {name: control[0].cpu() for name, control in conditioning.controls.items() if name not in unused}
    rate = conditioning.frame_rate or pipe.frame_rate
    item: dict[str, Any] = {}
    if "chords" in controls:
        labels = [*pipe.transformer.config.chord_labels, FREE_CHORD]
        ids, lengths = torch.unique_consecutive(controls["chords"], return_counts=True)
        starts = (lengths.cumsum(0) - lengths).tolist()
        item["chords"] = [(labels[label], start / rate) for label, start in zip(ids.tolist(), starts)]
    if "melody" in controls:
        # Free frames are -1.
        item["melody"] = frames_to_notes(controls["melody"].clamp(min=0), rate)
    if "beats" in controls:
        item["beats"] = frames_to_beats(controls["beats"], rate)
    if "drums" in controls:
        if arguments.get("drums") is None:
            logger.warning(
                "`best_of` does not score the drums of `conditioning`: give `drums` and the other inputs instead."
            )
        else:
            applies = (conditioning.controls["drums"] != conditioning.nulls["drums"])[0].any(dim=-1).cpu()
            item["drum_frames"] = applies, rate
            item["drum_onsets"] = _select(_drum_onsets(pipe, conditioning, arguments), *item["drum_frames"])
    return item and item | {"duration": conditioning.num_frames / rate}


def _select(onsets: Sequence[float], frames: torch.Tensor, rate: float) -> list[float]:
    """The onsets in frames that are `True`, of which there are `rate` per second."""
    return [onset for onset in onsets if frames[min(int(onset * rate), len(frames) - 1)]]


def _drum_onsets(pipe: Any, conditioning: JascoConditioning, arguments: Mapping[str, Any]) -> list[float]:
    """Onsets of the drum recording in seconds."""
    rate = pipe.sampling_rate
    num_samples = round(conditioning.num_frames / (conditioning.frame_rate or pipe.frame_rate) * rate)
    tempo, drums = conditioning.tempos[0], arguments["drums"]
    drums = drums[0] if isinstance(drums, list) and len(drums) == 1 else drums
    options = arguments.get("separate_drums", False), DRUMS_LOUDNESS, arguments.get("start", 0.0)
    waveform = read_drums(drums, rate, num_samples, *options, tempo and tempo.bpm)
    assert waveform is not None
    return onsets_by_percussive_flux((waveform, rate)).tolist()


def _score(audio: Any, requested: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """The scores of the selecting and of the reporting estimators, of the controls for which there is a reference."""
    scores = []
    for chosen in (SELECTING, REPORTING):
        row = {}
        for control, key in _KEYS.items():
            if key in requested:
                name, metric = chosen[control]
                estimator = next(estimator for estimator in ESTIMATORS if estimator.name == name)
                estimate = estimator.analyze(audio)
                if control == "drums":
                    estimate = _select(estimate, *requested["drum_frames"])
                row[control] = estimator.compare(estimate, dict(requested))[metric]
        scores.append({control: value for control, value in row.items() if not math.isnan(value)})
    return scores[0], scores[1]
