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

"""The model behind the app: generates music from settings."""

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from diffusers_jasco import (
    FlowMatchDopri5Scheduler,
    FlowMatchEulerScheduler,
    JascoAudioToAudioPipeline,
    JascoInpaintPipeline,
    JascoPipeline,
)
from diffusers_jasco.audio.regions import Regions, check_regions
from diffusers_jasco.controls import CONTROLS
from diffusers_jasco.evaluation import best_of
from diffusers_jasco.evaluation.metrics.melody import FRAME_RATE
from diffusers_jasco.evaluation.transcription import RequestedControls, read_requested_controls
from diffusers_jasco.inputs import InputError
from diffusers_jasco.schedulers.steps import partial_sigmas, stored_sigmas
from diffusers_jasco.text_encoders import similar_words, unknown_words
from settings import DURATION, FieldError, Settings
from uploads import measure_recording


Sound = tuple[torch.Tensor, int]  # (channels, samples), Hz
CANDIDATES_AT_ONCE = 4
PIPELINES = {"off": JascoPipeline, "regions": JascoInpaintPipeline, "variation": JascoAudioToAudioPipeline}


class Stopped(Exception):
    """The user stopped the run."""


@dataclass(frozen=True)
class TakeRequest:
    r"""
    The settings and recordings of one click on "Generate", shared by all of its takes.

    Args:
        settings ([`Settings`]): values of the fields; with an edit, the duration is that of the result.
        drums (`tuple`, *optional*): `(waveform, sampling_rate)` of the recording or the rendered pattern.
        source (`str`, *optional*): the file that is edited.
        regions (`list`): the parts of the result that are regenerated, in seconds.
    """

    settings: Settings
    drums: Sound | None = None
    source: str | None = None
    regions: Regions = field(default_factory=list)

    @property
    def controls(self) -> dict[str, Any]:
        """The controls as the pipeline takes them, without those whose strength is 0."""
        # The page has the first three controls; `zip` ignores controls that are added later.
        controls = dict(zip(CONTROLS, (self.settings.chord_timeline(), self.drums, self.settings.notes())))
        scales = self.settings.control_scales()
        return {name: control for name, control in controls.items() if control is not None and scales[name]}

    @property
    def control_scales(self) -> dict[str, float]:
        """The strengths other than 1 of the controls."""
        scales = self.settings.control_scales()
        return {name: scales[name] for name in self.controls if scales[name] != 1}

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the edit, or of new music, as the pipeline takes them."""
        settings = self.settings
        if settings.edit == "off":
            return {"duration": settings.duration, "loop": settings.loop}
        if settings.edit == "variation":
            return {"audio": self.source, "strength": settings.strength}
        starts, ends = ([region[index] for region in self.regions] or None for index in (0, 1))
        return {
            "audio": self.source,
            "mask_start_seconds": starts,
            "mask_end_seconds": ends,
            "audio_start_seconds": settings.intro,
            # By default, the music ends with the recording.
            "duration": settings.duration if settings.outro else None,
        }

    @cached_property
    def requested(self) -> RequestedControls:
        """
        The controls on a timeline. Onsets of a pattern are exact; onsets of a recording are estimated. There are none for
        parts of a recording, whose rest does not follow them.
        """
        if self.settings.edit == "regions":
            return RequestedControls()
        settings, controls = self.settings, self.controls
        groove = settings.groove() if "drums" in controls else None
        chords, drums, melody = map(controls.get, CONTROLS[:3])
        drums = drums if groove is None else None
        requested = read_requested_controls(chords, drums, melody, duration=settings.duration, frame_rate=FRAME_RATE)
        return requested if groove is None else replace(requested, drum_onsets=groove.onsets(settings.duration))


class Engine:
    r"""
    A checkpoint, loaded once. Each run gets its own pipeline, scheduler and tokenizer, since a call changes their state, so
    any number of runs can overlap.

    Args:
        checkpoint (`str`): folder or Hub id, as [`JascoPipeline.from_pretrained`] takes it.
    """

    def __init__(self, checkpoint: str):
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        pipe = JascoPipeline.from_pretrained(checkpoint).to(device)
        # An adaptive solver has no fixed number of steps to show as progress.
        if isinstance(pipe.scheduler, FlowMatchDopri5Scheduler):
            pipe.scheduler = FlowMatchEulerScheduler.from_config(pipe.scheduler.config)
        # Display name without local paths.
        self.checkpoint = Path(checkpoint).resolve().name if Path(checkpoint).exists() else checkpoint
        self.components = pipe.components
        self.controls = pipe.transformer.controls
        self.sampling_rate = pipe.sampling_rate  # Hz
        self.frame_rate = pipe.frame_rate  # Hz
        self.trained_duration = pipe.transformer.config.sample_size / pipe.frame_rate  # seconds
        self.known_words = pipe.known_words()
        # Tokenizers change state when they are used, so each run uses a copy.
        self._tokenizer = copy.deepcopy(pipe.tokenizer)
        self.default_steps = pipe.defaults["num_inference_steps"]
        self.default_guidance_scale = pipe.defaults["guidance_scale"]
        self.is_distilled = stored_sigmas(pipe.scheduler) is not None and self.default_guidance_scale == 1
        self.default_text_guidance_scale = pipe.defaults["text_guidance_scale"]

    def count_steps(self, request: TakeRequest) -> int:
        """The number of solver steps of a take, with those of all batches of candidates."""
        settings = request.settings
        steps = settings.steps
        if settings.edit == "variation":
            steps = len(partial_sigmas(self.components["scheduler"], steps, settings.strength))
        return steps * math.ceil(settings.best_of / CANDIDATES_AT_ONCE)

    def find_unknown_words(self, prompt: str) -> dict[str, list[str]]:
        """Words of a prompt that the model does not know, each with similar words that it knows."""
        return {word: similar_words(word, self._tokenizer) for word in unknown_words(prompt, self._tokenizer)}

    def make_pipeline(self, pipeline_class: type[JascoPipeline] = JascoPipeline) -> JascoPipeline:
        """A pipeline for one run. All pipelines share their weights."""
        scheduler = self.components["scheduler"]
        own = {
            "scheduler": type(scheduler).from_config(scheduler.config),
            "tokenizer": copy.deepcopy(self.components["tokenizer"]),
        }
        pipe = pipeline_class(**{**self.components, **own})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def make_request(
        self, settings: Settings, recording: Sound | None = None, source: str | None = None
    ) -> TakeRequest:
        r"""
        Args:
            settings ([`Settings`]): values of the fields.
            recording (`tuple`, *optional*):
                `(waveform, sampling_rate)` for settings with recorded drums; cut to the duration of the music.
            source (`str`, *optional*): the file for settings that edit a recording.

        Raises:
            [`FieldError`]: if the file is unusable, or does not fit the settings.
        """
        regions: Regions = []
        if settings.edit == "off":
            source = None
            if settings.loop:
                settings = self._fit_loop(settings)
        else:
            settings, regions = _place_recording(settings, source)
        groove, drums = settings.groove(), None
        if groove is not None:
            drums = groove.render(settings.duration, self.sampling_rate), self.sampling_rate
        elif settings.drums == "recording" and recording is not None:
            waveform, rate = recording
            drums = waveform[:, : math.ceil(settings.duration * rate)], rate
        request = TakeRequest(settings, drums, source, regions)
        if settings.best_of > 1 and not request.controls and "beats" not in self.controls:
            raise FieldError(
                "best_of",
                "The best candidate is the one that follows its controls best: add chords, drums or a melody.",
            )
        return request

    def _fit_loop(self, settings: Settings) -> Settings:
        """The settings with the duration of the whole bars that fit into it, so that the beat continues."""
        bar = settings.chords["beats_per_bar"] * 60 / settings.tempo
        # Earlier versions saved durations that are rounded to frames.
        bars = max(1, math.floor((settings.duration + 1 / self.frame_rate) / bar))
        return replace(settings, duration=min(bars * bar, DURATION[1]))

    def play(
        self,
        request: TakeRequest,
        seed: int,
        on_step: Callable[[int], None] = lambda step: None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> torch.Tensor:
        r"""
        Generates one variation. The same request and seed give bit-identical audio on the same machine.

        Args:
            request ([`TakeRequest`]): from [`Engine.make_request`]; its seed and number of variations are ignored.
            seed (`int`): seed of the initial noise.
            on_step (`Callable`): called after each step with the number of finished steps, up to [`count_steps`].
            is_stopped (`Callable`): checked before the first step and after each step.

        Returns:
            `torch.Tensor` of shape `(channels, samples)`.

        Raises:
            [`Stopped`]: within one step after `is_stopped` returns `True`.
            [`InputError`]: for inputs that the pipeline can't use.
        """

        finished = itertools.count(1)

        def after_step(pipe: JascoPipeline, step: int, timestep: Any, tensors: dict) -> dict:
            on_step(next(finished))
            if is_stopped():
                raise Stopped
            return tensors

        if is_stopped():
            raise Stopped
        settings, tempo = request.settings, {}
        # Recorded drums have a tempo of their own.
        if "beats" in self.controls and settings.drums != "recording":
            tempo = {"bpm": settings.tempo, "beats_per_bar": settings.chords["beats_per_bar"]}
        arguments = {
            "prompt": settings.prompt,
            **request.controls,
            **tempo,
            **request.arguments,
            "num_inference_steps": settings.steps,
            "guidance_scale": settings.guidance_scale,
            "text_guidance_scale": settings.text_guidance_scale,
            "control_scales": request.control_scales or None,
            "generator": torch.Generator().manual_seed(seed),
            "callback_on_step_end": after_step,
        }
        pipe = self.make_pipeline(PIPELINES[settings.edit])
        if settings.best_of > 1:
            return best_of(pipe, settings.best_of, batch_size=CANDIDATES_AT_ONCE, **arguments)[0]
        return pipe(**arguments).audios[0]


def _place_recording(settings: Settings, source: str | None) -> tuple[Settings, Regions]:
    """The settings with the duration of the result, and its regions to regenerate, in seconds."""
    length = measure_recording(source, "source")
    if settings.edit == "variation":
        settings = replace(settings, intro=0.0, outro=0.0)
    try:
        regions = check_regions(settings.region_list(), length, "regions")
    except InputError as error:
        raise FieldError("regions", str(error)) from error
    total = settings.intro + length + settings.outro
    if not DURATION[0] <= total <= DURATION[1]:
        raise FieldError(
            "source",
            f"The result would last {total:.1f} s, but it has to be from {DURATION[0]:g} to {DURATION[1]:g} s long.",
        )
    regions = [(start + settings.intro, end + settings.intro) for start, end in regions]
    return replace(settings, duration=total), regions
