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

"""Variations of recordings."""

import inspect
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

from ..codecs import num_channels
from ..conditioning import JascoConditioning
from ..controls import CONTROLS
from ..extraction import extract_beats
from ..guiders.jasco_guidance import SCALES
from ..inputs import extract
from ..schedulers.steps import DEFAULT_STEPS, default_steps, is_adaptive, partial_sigmas
from ..utils.errors import InputError
from ..utils.numbers import to_float, to_integer
from ..utils.signatures import with_arguments_of
from .checks import Prompts, check_duration, check_generator, check_output_type, check_prompt
from .control_mixer import read_control_scales
from .denoising import GuidedVelocity, Velocity, initial_sigma, takes_sigmas
from .encoding import JascoEncodingMixin
from .pipeline_jasco import JascoPipeline
from .pipeline_output import JascoPipelineOutput
from .recordings import (
    encode_distinct,
    loudness_gains,
    pair_recordings,
    read_recordings,
    warn_of_cut_recordings,
)
from .source_velocity import SourceVelocity, check_euler, keep_controls, missing_controls


EXTRACT = "extract"

VARIATION_STRENGTH = 0.5
EDIT_STRENGTH = 0.93

_ENCODED = set(inspect.signature(JascoEncodingMixin.encode_conditioning).parameters)
# Arguments that source and target share; those of the tempo only where the source may need one.
_SHARED = {"duration", "normalize_drums", "audiocraft_compatible", "generator"}
_TEMPO = {"bpm", "beats_per_bar", "beats"}


class _Source(NamedTuple):
    """The source of an edit."""

    conditioning: JascoConditioning
    generator: torch.Generator | list[torch.Generator] | None


class JascoAudioToAudioPipeline(JascoPipeline):
    r"""
    Generates variations of recordings, with all controls of [`JascoPipeline`]: noise is added to the latents of a
    recording, and they are denoised from there (SDEdit, [arXiv 2108.01073](https://arxiv.org/abs/2108.01073)).

    With a description of the recording (`source_prompt`, `source_chords`, `source_drums`, `source_melody`), the
    recording is edited instead: prompt and controls that differ from the description change, and the rest stays
    (FlowEdit, [arXiv 2412.08629](https://arxiv.org/abs/2412.08629)).

    The results have the pipeline's sampling rate and channels, whatever those of the recordings are.

    Usually it shares the components of another pipeline: `JascoAudioToAudioPipeline.from_pipe(pipe)`. See
    [`JascoPipeline`] for the components.
    """

    _source: _Source | None = None

    @torch.no_grad()
    @with_arguments_of(JascoPipeline.__call__)
    def __call__(
        self,
        prompt: str | list | None = None,
        audio: Any = None,
        strength: float | None = None,
        source_prompt: str | list | None = None,
        source_chords: Any = None,
        source_drums: Any = None,
        source_melody: Any = None,
        duration: float | None = None,
        num_inference_steps: int | None = None,
        num_waveforms_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        **kwargs: Any,
    ) -> JascoPipelineOutput | tuple:
        r"""
        Generates variations.

        Args:
            prompt (`str` or `list`, *optional*): as in [`JascoPipeline.__call__`].
            audio:
                The recording, or a list with one per prompt, in any form that [`~audio.io.load_audio`] reads. One
                prompt with a list of recordings gives one piece for each.
            strength (`float`, *optional*):
                How much changes, from above 0 to 1, as in Diffusers' image-to-image pipelines; by default 0.5, and 0.93
                for edits with a `source_*`. With 1, a variation ignores the recording.
            source_prompt (`str` or `list`, *optional*):
                Prompt that describes the recording. If any `source_*` is given, the recording is edited: its
                differences from the target (`prompt`, `chords`, `drums`, `melody`) are changed, and the rest is kept.
                A source whose target is not given describes both, so this aspect is kept. A target without a source is
                added.
            source_chords, source_drums, source_melody (*optional*):
                The controls of the recording in any form of [`JascoPipeline.__call__`], or `"extract"` to estimate
                them from it. An empty target, such as `melody=[]`, removes the control of the source.
            duration (`float`, *optional*):
                Duration of the music in seconds; by default that of the recording (the longest one). Shorter
                recordings are padded with silence, which is kept below a strength of 1.
            num_inference_steps (`int`, *optional*):
                Number of steps from noise to music, by default that of the scheduler's configuration. A variation
                needs the share `strength` of them. If the scheduler's configuration has a grid for this number of steps,
                it begins at the sigma `strength` (before the scheduler's shift, if it has one), and uses the lower
                sigmas of the grid.
            num_waveforms_per_prompt, generator: as in [`JascoPipeline.__call__`].
            kwargs: all other arguments of [`JascoPipeline.__call__`], except `latents`, `sigmas`, `conditioning` and
                `loop`. `start` and `separate_drums` apply to the target's controls. In edits, a checkpoint with the
                control `beats` gets those of the recording by default.

        Returns:
            [`~pipelines.pipeline_output.JascoPipelineOutput`] or `tuple`: as from [`JascoPipeline.__call__`].

        Raises:
            [`~inputs.InputError`], `FileNotFoundError`: as in [`JascoPipeline.__call__`], for a `strength` outside
                (0, 1], for a scheduler that always begins with noise (an adaptive one, or one without `sigmas`), and
                in edits for all schedulers except Euler's method.
        """
        for name in ("latents", "sigmas", "conditioning", "loop"):
            # `in` would compare tensors.
            if kwargs.get(name) is not None and kwargs[name] is not False:
                raise InputError(f"`{name}` can't be used with a recording.", name)
        sources = {"prompt": source_prompt, "chords": source_chords, "drums": source_drums, "melody": source_melody}
        given = [name for name, value in sources.items() if value is not None]
        if given:
            check_euler(self.scheduler, f"source_{given[0]}")
        if strength is None:
            strength = EDIT_STRENGTH if given else VARIATION_STRENGTH
        strength = to_float(strength, "strength")
        if not 0 < strength <= 1:
            raise InputError(f"`strength` has to be above 0 and at most 1, but is {strength:g}.", "strength")
        if is_adaptive(self.scheduler) or not takes_sigmas(self.scheduler):
            raise InputError(
                f"`strength` is not supported by `{type(self.scheduler).__name__}`: use `FlowMatchEulerScheduler`.",
                "strength",
            )
        check_output_type(kwargs.get("output_type", "pt"))
        count = to_integer(num_waveforms_per_prompt, "num_waveforms_per_prompt", minimum=1)
        if num_inference_steps is None:
            num_inference_steps = default_steps(self.scheduler) or DEFAULT_STEPS
        steps = to_integer(num_inference_steps, "num_inference_steps", minimum=1)
        sigmas = partial_sigmas(self.scheduler, steps, strength)
        prompt = check_prompt(prompt)
        if given and prompt is None and kwargs.get("prompt_embeds") is None:
            prompt = _check_source_prompt(source_prompt)
        prompt, recordings = pair_recordings(prompt, audio, kwargs.get("prompt_embeds"))
        generator = check_generator(generator, len(recordings) * count, self._execution_device)
        kwargs |= {"num_waveforms_per_prompt": count, "generator": generator, "sigmas": sigmas}
        with self._lock:
            batch, gains, duration = self._read(recordings, check_duration(duration))
            kwargs |= {"duration": duration, "gains": gains.repeat_interleave(count, dim=0)}
            return self._edit(prompt, sources, batch, **kwargs) if given else self._vary(prompt, batch, **kwargs)

    def _read(self, recordings: list[Any], duration: float | None) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Reads recordings `(pieces, channels, samples)` at the model's loudness; also returns their gains and duration."""
        rate = self.sampling_rate
        waveforms = read_recordings(recordings, rate, num_channels(self.codec), self._hop_length)
        if duration is None:
            duration = check_duration(max(waveform.shape[-1] for waveform in waveforms) / rate)
            assert duration is not None
        warn_of_cut_recordings([waveform.shape[-1] for waveform in waveforms], round(duration * rate), rate)
        num_samples = self._num_frames(duration) * self._hop_length
        batch = torch.stack([F.pad(waveform, (0, num_samples))[..., :num_samples] for waveform in waveforms])
        gains = loudness_gains(waveforms, rate, self.transformer.config.music_loudness)
        return batch * gains, gains, duration

    def _vary(self, prompt: Prompts, recordings: torch.Tensor, **kwargs: Any) -> JascoPipelineOutput | tuple:
        """Generates variations of recordings `(pieces, channels, samples)`."""
        count, sigmas, device = kwargs["num_waveforms_per_prompt"], kwargs["sigmas"], self._execution_device
        data = encode_distinct(recordings, self.encode_audio).to(device, torch.float32)
        noise = self.prepare_latents(len(data) * count, data.shape[1], device, kwargs["generator"])
        level = initial_sigma(self.scheduler, sigmas)
        kwargs["latents"] = level * noise + (1 - level) * data.repeat_interleave(count, dim=0)
        return self._call_with_source(None, **kwargs, prompt=prompt)

    def _edit(
        self, prompt: Prompts, sources: dict[str, Any], recordings: torch.Tensor, duration: float, **kwargs: Any
    ) -> JascoPipelineOutput | tuple:
        """Edits recordings `(pieces, channels, samples)` from source conditions to target conditions."""
        num_pieces, count, generator = len(recordings), kwargs["num_waveforms_per_prompt"], kwargs.pop("generator")
        targets = {name: kwargs.pop(name) for name in _ENCODED & kwargs.keys()}
        scales = {name: kwargs.pop(name, None) for name in SCALES}
        scales["control_scales"] = read_control_scales(
            kwargs.pop("control_scales", None), num_pieces, targets | sources
        )
        guider = self._make_guider(kwargs.pop("guider", None), scales, targets.get("audiocraft_compatible", False))
        targets |= {
            "duration": duration,
            "generator": generator[::count] if isinstance(generator, list) else generator,
        }
        kept = {name: missing_controls(targets.get(name), num_pieces) for name in CONTROLS}
        extracted = [(recording, self.sampling_rate) for recording in recordings]
        if "beats" in self.transformer.controls and targets.get("bpm") is None and targets.get("beats") is None:
            found = [extract(extract_beats, recording, "audio") for recording in extracted]
            targets["beats"] = [single if single.beats else None for single in found]
            targets["bpm"] = [None if single.beats else False for single in found]
        target = self.encode_conditioning(prompt, **targets)
        if targets.get("bpm") is None and any(target.tempos):
            # Otherwise a tempo that fits the source prompt would be chosen for the source.
            targets["bpm"] = [tempo and tempo.bpm for tempo in target.tempos]
            targets["beats_per_bar"] = [tempo and tempo.beats_per_bar for tempo in target.tempos]
        source = self._encode_source(sources, extracted, targets)
        target = keep_controls(target, source, kept)
        data = encode_distinct(recordings, self.encode_audio).to(self._execution_device, torch.float32)
        kwargs |= {"latents": data.repeat_interleave(count, dim=0), "conditioning": target, "guider": guider}
        return self._call_with_source(source, generator, **kwargs)

    def _encode_source(
        self, sources: dict[str, Any], extracted: list[tuple[torch.Tensor, int]], targets: dict[str, Any]
    ) -> JascoConditioning:
        """Encodes the source conditions, with the settings of the target conditions."""
        prompt, num_pieces = _check_source_prompt(sources["prompt"]), len(extracted)
        if not isinstance(prompt, list):
            prompt = [prompt] * num_pieces
        if len(prompt) != num_pieces:
            raise InputError(
                f"`source_prompt` has {len(prompt)} elements for {num_pieces} piece(s). Give one for all, or a list with one"
                " for each.",
                "source_prompt",
            )
        controls = {name: value for name, value in sources.items() if name != "prompt" and value is not None}
        shared = _SHARED
        if "beats" in self.transformer.controls or not all(map(_is_extracted, controls.values())):
            shared = shared | _TEMPO
        arguments = {name: targets[name] for name in shared & targets.keys()}
        arguments |= {name: _extract_from(value, extracted) for name, value in controls.items()}
        separate = _is_extracted(sources["drums"]) or _lists_extracted(sources["drums"])
        try:
            return self.encode_conditioning(prompt, **arguments, separate_drums=separate)
        except InputError as error:
            raise error.renamed(f"source_{error.argument}") if error.argument in sources else error
        except FileNotFoundError as error:
            name = next((name for name in controls if str(error).startswith(f"`{name}`")), None)
            raise FileNotFoundError(f"`source_{str(error)[1:]}") if name else error

    def _call_with_source(
        self,
        source: JascoConditioning | None,
        generator: Any,
        gains: torch.Tensor,
        return_dict: bool = True,
        output_type: str = "pt",
        **kwargs: Any,
    ) -> JascoPipelineOutput | tuple:
        """
        Calls the base class, and undoes the gains of the recordings. A callback may call this pipeline again, with
        another source.
        """
        with self._lock:
            outer, self._source = self._source, None if source is None else _Source(source, generator)
            try:
                result = super().__call__(generator=generator, output_type=output_type, **kwargs)
            finally:
                self._source = outer
        if output_type == "np":
            result.audios = result.audios / gains.numpy()
        elif output_type == "pt":
            result.audios = result.audios / gains.to(result.audios.device)
        return result if return_dict else (result.audios,)

    def _make_velocity(self, velocity: GuidedVelocity, latents: torch.Tensor, *args: Any) -> Velocity:
        target = super()._make_velocity(velocity, latents, *args)
        if self._source is None:
            return target
        conditioning, generator = self._source
        conditioning = conditioning.to(latents.device).repeat(len(latents) // conditioning.batch_size)
        self._encode_silence(velocity.guider, conditioning)
        guided = GuidedVelocity(self.transformer, velocity.guider, conditioning, velocity.attention_kwargs)
        source = super()._make_velocity(guided.for_part(guided.conditioning, "source:"), latents, *args)
        size = len(latents), latents.shape[1], latents.device
        return SourceVelocity(target, source, latents, lambda: self.prepare_latents(*size, generator))


def _is_extracted(value: Any) -> bool:
    return isinstance(value, str) and value == EXTRACT


def _lists_extracted(value: Any) -> bool:
    return isinstance(value, list) and any(map(_is_extracted, value))


def _extract_from(value: Any, recordings: list[tuple[torch.Tensor, int]]) -> Any:
    """A source control, with the recording of the piece instead of `"extract"`."""
    if _is_extracted(value):
        first = recordings[0][0]
        is_shared = all(torch.equal(recording, first) for recording, _ in recordings)
        return recordings[0] if is_shared else recordings
    if _lists_extracted(value) and len(value) == len(recordings):
        return [own if _is_extracted(single) else single for single, own in zip(value, recordings)]
    return value


def _check_source_prompt(source_prompt: Any) -> Prompts:
    try:
        return check_prompt(source_prompt)
    except InputError as error:
        raise error.renamed("source_prompt") from error
