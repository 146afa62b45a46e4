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

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils import logging, replace_example_docstring
from diffusers.utils.torch_utils import randn_tensor
from transformers import EncodecModel, PreTrainedTokenizerBase, T5EncoderModel

from ..codecs import encode_drums
from ..conditioning import JascoConditioning
from ..controls import CONTROLS
from ..controls.forms import to_list
from ..guiders import AudiocraftGuidance, JascoGuidance
from ..guiders.jasco_guidance import OPTIONS, SCALES
from ..loaders.lora import JascoLoraLoaderMixin
from ..models.codec_spectral import SpectralCodecModel
from ..models.tempo_model import JascoTempoModel
from ..models.transformer_jasco import JascoTransformerModel
from ..schedulers.steps import default_steps, stored_steps, with_default_steps
from ..utils.errors import InputError
from ..utils.locks import Lock
from ..utils.numbers import is_number, to_integer
from .callbacks import call_back, check_callback
from .checks import (
    check_attention_kwargs,
    check_conditioning,
    check_duration,
    check_generator,
    check_latents,
    check_output_type,
    check_switches,
    check_tempos,
    check_text,
    check_windows,
    count_pieces,
)
from .control_mixer import read_control_scales
from .denoising import GuidedVelocity, Velocity, check_scheduler, check_timesteps, denoise, set_timesteps
from .encoding import JascoEncodingMixin
from .hub_mixin import JascoPipelineHubMixin
from .loading import JascoPipelineLoadingMixin
from .pipeline_output import JascoPipelineOutput
from .windows import WindowedVelocity, place_windows


logger = logging.get_logger(__name__)

EXAMPLE_DOC_STRING = """
    Examples:
        ```py
        >>> from diffusers_jasco import JascoPipeline, export_audio

        >>> pipe = JascoPipeline.from_pretrained("path/to/jasco")
        >>> audio = pipe(
        ...     "80s pop, groovy synth bass",
        ...     chords=[("C", 0.0), ("Am", 2.5), ("F", 5.0), ("G", 7.5)],
        ...     drums="beat.wav",
        ... ).audios[0]
        >>> export_audio(audio, "song.wav", pipe.sampling_rate)
        ```
"""


def _scale_of_guider(name: str, description: str) -> property:
    """
    Property for a scale of the current or last call's guider. Callbacks may set it; it applies from the next step.
    """

    def set_scale(self: Any, value: Any):
        if not self._is_running:
            raise AttributeError(
                f"`{name}` can only be set by a callback during a call. Use `set_defaults` to change it for later calls."
            )
        setattr(self._guider, name, value)

    return property(lambda self: getattr(self._guider, name), set_scale, doc=description)


class JascoPipeline(
    JascoPipelineHubMixin, JascoPipelineLoadingMixin, JascoEncodingMixin, DiffusionPipeline, JascoLoraLoaderMixin
):
    r"""
    Text-to-music generation with chords, drums and melody on a timeline: JASCO
    ([arXiv 2406.10970](https://arxiv.org/abs/2406.10970)).

    This model inherits from [`DiffusionPipeline`]. Check the superclass documentation for the generic methods
    implemented for all pipelines (downloading, saving, running on a particular device, etc.).

    Args:
        tokenizer ([`~transformers.T5TokenizerFast`]):
            Tokenizer of the text encoder.
        text_encoder ([`~transformers.T5EncoderModel`]):
            T5 encoder; AudioCraft's checkpoints use T5-base.
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]):
            EnCodec, whose unquantized latents are generated (AudioCraft's checkpoints: 32 kHz, 50 frames per second),
            or a spectral codec.
        transformer ([`JascoTransformerModel`]):
            The flow-matching transformer.
        scheduler ([`~diffusers.SchedulerMixin`]):
            [`FlowMatchEulerScheduler`], [`FlowMatchDopri5Scheduler`], or one of Diffusers' schedulers set up for flow
            matching.
        default_num_inference_steps (`int`, *optional*), default_guidance_scale (`float`, *optional*), \
        default_text_guidance_scale (`float`, *optional*), default_guidance_rescale (`float`, *optional*):
            Defaults of older checkpoints. Newer ones have `num_inference_steps` in the configuration of `scheduler`,
            and a `guider`.
        audiocraft (`dict`, *optional*):
            For checkpoints converted from AudioCraft: their configuration and the other contents of their files except
            weights, so that the conversion can be reversed. See [`~loaders.audiocraft.save_audiocraft_checkpoint`].
        guider ([`JascoGuidance`], *optional*):
            Default guidance of this checkpoint.
        tempo_model ([`JascoTempoModel`], *optional*):
            Chooses tempos that fit the prompts.
    """

    model_cpu_offload_seq = "text_encoder->tempo_model->transformer->codec"
    # EnCodec's LSTM and weight norm do not work with sequential offload.
    _exclude_from_cpu_offload = ["codec"]
    _callback_tensor_inputs = ["latents"]
    _optional_components = ["guider", "tempo_model"]

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder: T5EncoderModel,
        codec: EncodecModel | SpectralCodecModel,
        transformer: JascoTransformerModel,
        scheduler: SchedulerMixin,
        default_num_inference_steps: int | None = None,
        default_guidance_scale: float | None = None,
        default_text_guidance_scale: float | None = None,
        default_guidance_rescale: float | None = None,
        audiocraft: dict[str, Any] | None = None,
        guider: JascoGuidance | None = None,
        tempo_model: JascoTempoModel | None = None,
    ):
        super().__init__()
        scales = zip(SCALES, (default_guidance_scale, default_text_guidance_scale, default_guidance_rescale))
        given = {name: scale for name, scale in scales if scale is not None}
        if guider is not None and given:
            ignored = ", ".join(f"`default_{name}`" for name in given)
            logger.warning(f"`guider` takes precedence over {ignored}: pass only one of them.")
        elif given:
            guider = JascoGuidance(**given)
        if default_num_inference_steps not in (None, stored_steps(scheduler) or default_num_inference_steps):
            logger.warning(
                "`scheduler.config.num_inference_steps` takes precedence over `default_num_inference_steps`: pass only one of them."
            )
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            codec=codec,
            transformer=transformer,
            scheduler=with_default_steps(scheduler, default_num_inference_steps),
            guider=guider,
            tempo_model=tempo_model,
        )
        self.register_to_config(audiocraft=audiocraft)
        rules = getattr(tokenizer, "backend_tokenizer", None)
        if rules is not None and rules.padding is not None:
            # Otherwise the first call would modify the tokenizer, which fails if threads share it.
            rules.no_padding()
        self._lock = Lock()
        self._is_running = self._interrupt = False
        self._guider = copy(guider) or JascoGuidance()
        self._attention_kwargs: dict[str, Any] | None = None

    guidance_scale = _scale_of_guider("guidance_scale", "Weight of the branch with all conditions in this call.")
    text_guidance_scale = _scale_of_guider(
        "text_guidance_scale", "Weight of the branch with the text only in this call."
    )
    guidance_rescale = _scale_of_guider(
        "guidance_rescale", "Strength of guidance rescaling in this call, from 0 to 1."
    )
    # Callbacks written for Diffusers' pipelines set the private attributes.
    _guidance_scale = guidance_scale
    _text_guidance_scale = text_guidance_scale
    _guidance_rescale = guidance_rescale

    @property
    def attention_kwargs(self) -> dict | None:
        return self._attention_kwargs

    @property
    def num_timesteps(self) -> int:
        return len(self.scheduler.timesteps)

    @property
    def interrupt(self) -> bool:
        return self._interrupt

    def enable_group_offload(self, *args: Any, exclude_modules: str | list[str] | None = None, **kwargs: Any):
        r"""
        Like [`DiffusionPipeline.enable_group_offload`], but the codec stays on the device: its encoder and decoder are
        called separately, whereas group offloading moves weights when a whole model is called.
        """
        exclude_modules = [exclude_modules] if isinstance(exclude_modules, str) else list(exclude_modules or [])
        super().enable_group_offload(*args, exclude_modules=[*exclude_modules, "codec"], **kwargs)

    def prepare_latents(
        self,
        batch_size: int,
        num_frames: int,
        device: torch.device,
        generator: torch.Generator | list[torch.Generator] | None,
        latents: torch.Tensor | None = None,
    ) -> torch.Tensor:
        r"""
        Returns the initial noise of shape `(batch_size, num_frames, latent_dim)`, or `latents` if given. Pieces that are
        longer than the training clips get one draw per block of their length, so a longer piece begins with the same
        noise. The result is float32, since the solver's state is float32 whatever the dtype of the weights.
        """
        if latents is not None:
            return latents.to(device, torch.float32)
        config = self.transformer.config
        shape = (batch_size, min(num_frames, config.sample_size), config.in_channels)
        blocks = [
            randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)
            for _ in range(0, num_frames, config.sample_size)
        ]
        return torch.cat(blocks, dim=1)[:, :num_frames]

    def _make_guider(
        self, guider: JascoGuidance | None, scales: dict[str, Any], audiocraft_compatible: bool
    ) -> JascoGuidance:
        """Returns the guider of a call: a copy, because a callback may change its scales."""
        given = {name: scale for name, scale in scales.items() if scale is not None}
        if guider is not None and given:
            raise InputError(
                f"Give either `guider` or {', '.join(f'`{name}`' for name in given)}, not both.", "guider"
            )
        is_default = guider is None
        guider = (self.guider or JascoGuidance()) if guider is None else guider
        if not isinstance(guider, JascoGuidance):
            raise InputError(f"`guider` has to be a `JascoGuidance`, but is {type(guider)}.", "guider")
        if not audiocraft_compatible or isinstance(guider, AudiocraftGuidance):
            guider = copy(guider)
        elif is_default and type(guider) is JascoGuidance:
            guider = AudiocraftGuidance(**{name: getattr(guider, name) for name in OPTIONS})
        else:
            raise InputError("`guider` has to be an `AudiocraftGuidance` with `audiocraft_compatible=True`.", "guider")
        for name, scale in given.items():
            setattr(guider, name, scale)
        return guider

    def _encode_silence(self, guider: JascoGuidance, conditioning: JascoConditioning):
        """Gives AudioCraft's guidance its null drums, if there are drums."""
        if isinstance(guider, AudiocraftGuidance) and "drums" in conditioning.controls:
            silence = torch.zeros(1, 1, conditioning.num_frames * self._hop_length)
            guider.silence = encode_drums(self.codec, silence, self.transformer.config.drums_blur)

    def _make_velocity(
        self,
        velocity: GuidedVelocity,
        latents: torch.Tensor,
        window_overlap: float,
        windows_per_batch: int,
        loop: bool,
    ) -> Velocity:
        """Divides pieces that are longer than the training clips into windows, and loops and those whose text changes."""
        config, num_frames = self.transformer.config, velocity.conditioning.num_frames
        if num_frames <= config.sample_size and len(velocity.conditioning.sections) == 1 and not loop:
            return velocity
        overlap = self._num_frames(window_overlap) if window_overlap else 0
        windows = place_windows(num_frames, config.sample_size, overlap, config.drums_blur, loop)
        return WindowedVelocity(velocity, windows, windows_per_batch)

    def _decode(self, latents: torch.Tensor, conditioning: JascoConditioning, loop: bool) -> torch.Tensor:
        """The audio of a call, without the end of the last frame if the duration ends within it."""
        duration = conditioning.duration
        if loop:
            seconds = conditioning.num_frames / (conditioning.frame_rate or self.frame_rate)
            if duration is not None and abs(seconds - duration) * self.sampling_rate > 1:
                logger.warning(
                    f"The loop has {seconds:g} s instead of {duration:g} s, because its `conditioning` was encoded without"
                    " `loop=True`."
                )
            return self.decode_latents(latents, loop, round(seconds * self.sampling_rate))
        audio = self.decode_latents(latents)
        return audio if duration is None else audio[..., : round(duration * self.sampling_rate)]

    @contextmanager
    def _call(self, guider: JascoGuidance, attention_kwargs: dict[str, Any] | None) -> Iterator[None]:
        """
        Serializes calls and runs each on a copy of the scheduler, which pipelines may share. After a nested call (from
        a callback), the outer call's state is restored.
        """
        with self._lock:
            state = {"scheduler": deepcopy(self.scheduler), "_guider": guider, "_attention_kwargs": attention_kwargs}
            state |= {"_interrupt": False, "_is_running": True}
            outer = {name: getattr(self, name) for name in state} if self._is_running else {"_is_running": False}
            try:
                for name, value in state.items():
                    setattr(self, name, value)
                yield
            finally:
                for name, value in outer.items():
                    setattr(self, name, value)

    @torch.no_grad()
    @replace_example_docstring(EXAMPLE_DOC_STRING)
    def __call__(
        self,
        prompt: str | list | None = None,
        chords: Any = None,
        drums: Any = None,
        separate_drums: bool = False,
        normalize_drums: bool | None = None,
        melody: Any = None,
        start: float | list[float] = 0.0,
        duration: float | None = None,
        bpm: float | bool | list[float | bool | None] | None = None,
        beats_per_bar: int | list[int | None] | None = None,
        beats: Any = None,
        window_overlap: float | None = None,
        windows_per_batch: int | None = None,
        loop: bool = False,
        control_scales: dict[str, float] | list[dict[str, float] | None] | None = None,
        control_regions: dict[str, list] | list[dict[str, list] | None] | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        text_guidance_scale: float | None = None,
        guidance_rescale: float | None = None,
        guider: JascoGuidance | None = None,
        conditioning: JascoConditioning | None = None,
        num_waveforms_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        sigmas: list[float] | np.ndarray | None = None,
        prompt_embeds: torch.Tensor | None = None,
        prompt_attention_mask: torch.Tensor | None = None,
        attention_kwargs: dict | None = None,
        output_type: str = "pt",
        return_dict: bool = True,
        callback_on_step_end: Callable[["JascoPipeline", int, Any, dict], dict] | None = None,
        callback_on_step_end_tensor_inputs: list[str] = ["latents"],
        audiocraft_compatible: bool = False,
    ) -> JascoPipelineOutput | tuple:
        r"""
        Generates music. Calls from several threads run one after another, each on its own copy of the scheduler.

        The velocity is `guidance_scale * v(all) + text_guidance_scale * v(text) + (1 - guidance_scale -
        text_guidance_scale) * v(null)` (multi-source classifier-free guidance, §3.4 of the paper). Negative prompts
        are not supported: the null branch uses the null conditions of training.

        Args:
            prompt (`str` or `list`, *optional*):
                Description of the music, never truncated; `None` or an empty string for no text condition. `[("calm
                piano", 0.0), ("full band", 20.0)]` describes sections by their starts in seconds. A list has a prompt,
                or such a timeline, for each piece.
            chords (*optional*):
                A chord progression for all prompts, or a list with one (or `None`) per prompt: `[(label, start in
                seconds), ...]`, a string such as `"C:0 Am:2.5"`, chords in bars (`"C | Am | F G"`; with `:|` at the
                end, they are repeated), a `.lab`, `.jams` or `.mid` file, or a recording; see
                [`~inputs.read_chords`].
            drums (*optional*):
                A drum recording for all prompts, or a list with one (or `None`) per prompt: a path, `(waveform,
                sampling_rate)` or `{"array", "sampling_rate"}`, at any sampling rate, or a
                [`~controls.drum_machine.Groove`] or its file (`.groove.json`); see [`~inputs.read_drums`].
            separate_drums (`bool`, defaults to `False`):
                Whether to separate the drums from `drums` first, if that is a full mix: with Demucs if it and its
                weights are installed, otherwise with a small network; see [`~extraction.drums.separate_drums`].
            normalize_drums (`bool`, *optional*):
                Whether to apply one gain per drum recording to match the loudness of the training data
                (`drums_loudness` in the transformer's configuration, or -20 LUFS if the checkpoint does not specify
                it). By default `True` if the checkpoint specifies a loudness, and `False` with
                `audiocraft_compatible`.
            melody (*optional*):
                A melody for all prompts, or a list with one (or `None`) per prompt: a matrix `(53, frames)`, notes
                `[(pitch, start, end), ...]`, notes as text (`"C4 D4 E4 -"`), a `.npz`, `.th`, `.pt` or `.mid` file, a
                recording, or a [`~inputs.SingleVoice`], a recording of a voice alone; see [`~inputs.read_melody`].
            start (`float` or `list[float]`, defaults to `0.0`):
                Offset in seconds into files and recordings (also in memory) at which the music begins, for all prompts
                or one per prompt: the chord and the note that sound there begin at 0. Controls given as lists, strings
                and matrices, chords in bars and grooves are not affected. Only the needed part of a recording is
                analyzed.
            duration (`float`, *optional*):
                Duration in seconds, at most 3600; by default that of the training clips. The audio has exactly this
                length, rounded to samples. A longer piece is generated in windows of that length, which overlap and are
                denoised together. All controls apply to the whole piece.
            bpm (`float`, `False` or a list, *optional*):
                Tempo in beats per minute for all prompts, or a list with one per prompt: of chords in bars, grooves
                and notes as text, and, if the checkpoint has the control `beats`, of the music; the first downbeat is
                at 0. By default, the tempo of a groove; otherwise, if the checkpoint has a `tempo_model`, one that
                fits the prompt: the number in "at 96 bpm", or else a random one. If chords have starts in seconds, it
                is the most probable tempo on whose beats they start. No tempo is chosen if none fits the chords, with
                a recording of drums, with a melody in seconds, or with `False`. A number in the prompt that
                is not used causes a warning, except with `False`.
            beats_per_bar (`int` or `list[int]`, *optional*):
                Beats per bar for all prompts, or a list with one per prompt; a bar of 6/8 has two. By default those of
                a groove, or 4 if `bpm` is given, or those that fit the prompt. Another number than the groove's has to
                fit its pattern: for a pattern of four beats, it can be two, but not three.
            beats (*optional*):
                Beats that the music follows, instead of `bpm`, for all prompts, or a list with one (or `None`) per
                prompt: times in seconds, the tuple `(beats, downbeats)`, or a recording; see [`~inputs.read_beats`].
            window_overlap (`float`, *optional*):
                Least overlap of neighboring windows in seconds, from 0 to three quarters of a window; by default 2 s,
                or a quarter of a window that is shorter than 8 s.
            windows_per_batch (`int`, *optional*):
                Number of windows that are evaluated at once, 8 by default. Fewer need less memory.
            loop (`bool`, defaults to `False`):
                Whether the end of the music continues with its beginning without a seam, so that it can be repeated.
                `duration` should be a whole number of bars. It is kept exactly, although a loop has a whole number of
                frames: controls are placed on slightly shorter or longer frames, and the audio is resampled. The pitch
                stays with a spectral codec, and changes by at most 0.2% (3.5 cents) with EnCodec. Only very short loops
                that would need more (less than 5 s at 50 frames per second of EnCodec, less than 1 s at 25 of a
                spectral codec) may be rounded to whole frames, with a warning.
            control_scales (`dict[str, float]` or `list`, *optional*):
                How strictly each control is followed: `{"chords": 1.5, "melody": 0.5}`, for all prompts, or a list with
                one (or `None`) per prompt. By default 1; with 0, a control is not used. See [`JascoGuidance`].
            control_regions (`dict[str, list]` or `list`, *optional*):
                Where controls apply: `{"melody": [(0.0, 8.0)]}` in seconds, for all prompts, or a list with one (or
                `None`) per prompt. Elsewhere, the control is free (the melody rests, if the checkpoint has no presence
                bits). By default, all controls apply everywhere.
            num_inference_steps (`int`, *optional*):
                Number of solver steps, by default that of the scheduler's configuration. Not supported by
                [`FlowMatchDopri5Scheduler`].
            guidance_scale (`float`, *optional*):
                Nonnegative weight of the branch with all conditions (AudioCraft's `cfg_coef_all`), by default that of
                the `guider` component.
            text_guidance_scale (`float`, *optional*):
                Nonnegative weight of the text-only branch (`cfg_coef_txt`), by default that of the `guider` component.
            guidance_rescale (`float`, *optional*):
                Strength of guidance rescaling from 0 to 1, by default that of the `guider` component: the guided
                velocity is rescaled toward the standard deviation of the one with all conditions, since guidance makes
                music too loud (§3.4 of [arXiv 2305.08891](https://arxiv.org/abs/2305.08891)).
            guider ([`JascoGuidance`], *optional*):
                The guidance, instead of the three scales above.
            conditioning ([`JascoConditioning`], *optional*):
                The result of [`encode_conditioning`], instead of the prompt, the controls, the tempo and the duration.
                It can be reused in any number of calls.
            num_waveforms_per_prompt (`int`, defaults to `1`):
                Number of waveforms per prompt.
            generator (`torch.Generator` or `list[torch.Generator]`, *optional*):
                Random generator for reproducible results, or a list with one per waveform; on the CPU or on the
                pipeline's device. Their noise does not depend on whether a tempo is chosen.
            latents (`torch.Tensor` of shape `(waveforms, frames, latent_dim)`, *optional*):
                The initial noise.
            sigmas (`list[float]`, *optional*):
                Decreasing sigmas in (0, 1], instead of the uniform grid.
            prompt_embeds (`torch.Tensor` of shape `(batch, tokens, text_dim)`, *optional*):
                Hidden states of the text encoder, instead of `prompt`.
            prompt_attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*):
                `True` (or 1) where a token is text; a row without text is the null text. By default all tokens are
                text.
            attention_kwargs (`dict`, *optional*):
                `{"scale": float}` scales LoRA layers.
            output_type (`str`, defaults to `"pt"`):
                `"pt"` for a tensor, `"np"` for an array, or `"latent"` for the model's normalized latents.
            return_dict (`bool`, defaults to `True`):
                Whether to return a [`~pipelines.pipeline_output.JascoPipelineOutput`] instead of a plain tuple with the
                audio.
            callback_on_step_end (`Callable`, *optional*):
                Called with `(pipeline, step, timestep, callback_kwargs)` after each step; returns a dictionary with
                the tensors to continue with, or `None` to change nothing. With [`FlowMatchDopri5Scheduler`], it is
                called with the solution after each completed solver step.
            callback_on_step_end_tensor_inputs (`list[str]`, defaults to `["latents"]`):
                The tensors in `callback_kwargs`.
            audiocraft_compatible (`bool`, defaults to `False`):
                Whether to reproduce AudioCraft's known bugs, for exact comparison: padding of shorter prompts is
                attended to; the text and null branches get encoded silence where drums are given, and keep the melody
                where no chords are given; melodies of recordings and salience maps are 0.15% late.

        Examples:

        Returns:
            [`~pipelines.pipeline_output.JascoPipelineOutput`] or `tuple`: `audios` of shape `(waveforms, channels,
            samples)`, in float32 and the codec's range, which may exceed ±1; or latents of shape `(waveforms, frames,
            latent_dim)`; and the `tempos`.

        Raises:
            [`~inputs.InputError`] (a `ValueError`): for invalid input; the message names the argument and the accepted
            values.
            `FileNotFoundError`: if a file does not exist.
        """
        # 1. Check inputs, before any work
        switches = {"separate_drums": separate_drums, "normalize_drums": normalize_drums}
        switches |= {"audiocraft_compatible": audiocraft_compatible}
        check_switches(**switches, loop=loop)
        inputs: dict[str, Any] = dict(zip(CONTROLS, map(to_list, (chords, drums, melody, beats)), strict=True))
        inputs |= {**switches, "bpm": bpm, "beats_per_bar": beats_per_bar, "control_regions": control_regions}
        others = {"prompt": prompt, "prompt_embeds": prompt_embeds, "duration": duration, **inputs}
        others |= {} if is_number(start) and start == 0 else {"start": start}
        check_conditioning(conditioning, self.transformer.controls, others, bool(loop))
        config = self.transformer.config
        prompt, prompt_embeds, prompt_attention_mask = check_text(
            prompt, prompt_embeds, prompt_attention_mask, config.text_dim
        )
        duration = check_duration(duration)
        device = self._execution_device
        num_prompts = count_pieces(prompt, prompt_embeds, conditioning)
        check_tempos(bpm, beats_per_bar, inputs["beats"], num_prompts)
        batch_size = num_prompts * to_integer(num_waveforms_per_prompt, "num_waveforms_per_prompt", minimum=1)
        num_frames = None if duration is None else self._place_frames(duration, loop).num_frames
        num_frames = num_frames if conditioning is None else conditioning.num_frames
        latents = check_latents(latents, batch_size, num_frames, config.in_channels, duration)
        generator = check_generator(generator, batch_size, device)
        check_scheduler(self.scheduler)
        num_inference_steps, sigmas = check_timesteps(self.scheduler, num_inference_steps, sigmas)
        mixer = read_control_scales(
            control_scales, num_prompts, inputs if conditioning is None else conditioning.controls
        )
        scales = dict(zip(OPTIONS, (guidance_scale, text_guidance_scale, guidance_rescale, mixer)))
        guider = self._make_guider(guider, scales, audiocraft_compatible)
        windows = check_windows(window_overlap, windows_per_batch, config.sample_size / self.frame_rate)
        check_attention_kwargs(attention_kwargs)
        check_output_type(output_type)
        tensor_inputs = check_callback(
            callback_on_step_end, callback_on_step_end_tensor_inputs, self._callback_tensor_inputs
        )

        with self._call(guider, attention_kwargs):
            set_timesteps(self.scheduler, num_inference_steps, sigmas, device, default_steps(self.scheduler))

            # 2. Encode the conditions
            if conditioning is None:
                conditioning = self.encode_conditioning(
                    prompt,
                    start=start,
                    duration=duration,
                    prompt_embeds=prompt_embeds,
                    prompt_attention_mask=prompt_attention_mask,
                    num_frames=latents.shape[1] if duration is None and latents is not None else None,
                    generator=generator[:: batch_size // num_prompts] if isinstance(generator, list) else generator,
                    loop=loop,
                    **inputs,
                )
            conditioning = conditioning.to(device).repeat(batch_size // conditioning.batch_size)
            num_frames = conditioning.num_frames
            self._encode_silence(guider, conditioning)

            # 3. Integrate from noise to data
            latents = self.prepare_latents(batch_size, num_frames, device, generator, latents)
            velocity = GuidedVelocity(self.transformer, guider, conditioning, attention_kwargs)
            latents = denoise(
                self._make_velocity(velocity, latents, *windows, loop),
                self.scheduler,
                latents,
                generator,
                callback_on_step_end and partial(call_back, self, callback_on_step_end, tensor_inputs),
                self.progress_bar,
                lambda: self.interrupt,
            )

            # 4. Decode
            audio = latents if output_type == "latent" else self._decode(latents, conditioning, loop)
            result = audio.cpu().numpy() if output_type == "np" else audio

            self.maybe_free_model_hooks()

        if not return_dict:
            return (result,)
        return JascoPipelineOutput(audios=result, tempos=list(conditioning.tempos))
