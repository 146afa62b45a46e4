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
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from diffusers_jasco import FlowMatchDopri5Scheduler, FlowMatchEulerScheduler, JascoPipeline
from diffusers_jasco.controls import CONTROLS
from diffusers_jasco.evaluation.metrics.melody import FRAME_RATE
from diffusers_jasco.evaluation.transcription import RequestedControls, read_requested_controls
from diffusers_jasco.text_encoders import similar_words, unknown_words
from settings import Settings


Sound = tuple[torch.Tensor, int]  # (channels, samples), Hz


class Stopped(Exception):
    """The user stopped the run."""


@dataclass(frozen=True)
class TakeRequest:
    r"""
    The settings and drums of one click on "Generate", shared by all of its takes.

    Args:
        settings ([`Settings`]): values of the fields.
        drums (`tuple`, *optional*): `(waveform, sampling_rate)` of the recording or the rendered pattern.
    """

    settings: Settings
    drums: Sound | None = None

    @property
    def controls(self) -> dict[str, Any]:
        """The controls as the pipeline takes them."""
        # The page has the first three controls; `zip` ignores controls that are added later.
        return dict(zip(CONTROLS, (self.settings.chord_timeline(), self.drums, self.settings.notes())))

    @cached_property
    def requested(self) -> RequestedControls:
        """The controls on a timeline. Onsets of a pattern are exact; onsets of a recording are estimated."""
        settings, groove = self.settings, self.settings.groove()
        drums = self.drums if groove is None else None
        requested = read_requested_controls(
            settings.chord_timeline(), drums, settings.notes(), duration=settings.duration, frame_rate=FRAME_RATE
        )
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
        self.default_text_guidance_scale = pipe.defaults["text_guidance_scale"]

    def find_unknown_words(self, prompt: str) -> dict[str, list[str]]:
        """Words of a prompt that the model does not know, each with similar words that it knows."""
        return {word: similar_words(word, self._tokenizer) for word in unknown_words(prompt, self._tokenizer)}

    def make_pipeline(self) -> JascoPipeline:
        """A pipeline for one run. All pipelines share their weights."""
        scheduler = self.components["scheduler"]
        own = {
            "scheduler": type(scheduler).from_config(scheduler.config),
            "tokenizer": copy.deepcopy(self.components["tokenizer"]),
        }
        pipe = JascoPipeline(**{**self.components, **own})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def make_request(self, settings: Settings, recording: Sound | None = None) -> TakeRequest:
        r"""
        Args:
            settings ([`Settings`]): values of the fields.
            recording (`tuple`, *optional*):
                `(waveform, sampling_rate)` for settings with recorded drums; cut to the duration of the music.
        """
        groove, drums = settings.groove(), None
        if groove is not None:
            drums = groove.render(settings.duration, self.sampling_rate), self.sampling_rate
        elif settings.drums == "recording" and recording is not None:
            waveform, rate = recording
            drums = waveform[:, : math.ceil(settings.duration * rate)], rate
        return TakeRequest(settings, drums)

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
            on_step (`Callable`): called after each step with the number of finished steps.
            is_stopped (`Callable`): checked before the first step and after each step.

        Returns:
            `torch.Tensor` of shape `(channels, samples)`.

        Raises:
            [`Stopped`]: within one step after `is_stopped` returns `True`.
            [`InputError`]: for inputs that the pipeline can't use.
        """

        def after_step(pipe: JascoPipeline, step: int, timestep: Any, tensors: dict) -> dict:
            on_step(step + 1)
            if is_stopped():
                raise Stopped
            return tensors

        if is_stopped():
            raise Stopped
        settings, tempo = request.settings, {}
        # Recorded drums have a tempo of their own.
        if "beats" in self.controls and settings.drums != "recording":
            tempo = {"bpm": settings.tempo, "beats_per_bar": settings.chords["beats_per_bar"]}
        return self.make_pipeline()(
            settings.prompt,
            **request.controls,
            **tempo,
            duration=settings.duration,
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance_scale,
            text_guidance_scale=settings.text_guidance_scale,
            generator=torch.Generator().manual_seed(seed),
            callback_on_step_end=after_step,
        ).audios[0]
