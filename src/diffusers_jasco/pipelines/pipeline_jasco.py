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

import inspect
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.pipeline_utils import AudioPipelineOutput, DiffusionPipeline
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils import logging, replace_example_docstring
from diffusers.utils.torch_utils import randn_tensor
from transformers import EncodecModel, PreTrainedTokenizerBase, T5EncoderModel

from ..codecs import decode, encode_drums
from ..controls.chords import chords_to_frames
from ..inputs import is_chord_progression, is_drums, is_melody, read_chords, read_drums, read_melody
from ..loaders.audiocraft import HUB_ARGUMENTS, find_audiocraft_checkpoint, load_audiocraft_pipeline
from ..loaders.audiocraft.compat import read_melody_late
from ..loaders.lora import JascoLoraLoaderMixin
from ..models.codec_spectral import SpectralCodecModel
from ..models.transformer_jasco import JascoTransformerModel
from ..schedulers.scheduling_flow_match_dopri5 import FlowMatchDopri5Scheduler
from ..text_encoders import encode_prompts
from .hub_mixin import JascoPipelineHubMixin


logger = logging.get_logger(__name__)

# Guidance branches of smaller weight are not computed, as in the original.
MIN_BRANCH_WEIGHT = 1e-6

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


def _rescale(guided: torch.Tensor, unguided: torch.Tensor, share: float) -> torch.Tensor:
    """Brings velocities `(batch, frames, channels)` by that share to the standard deviation of others, each for itself."""
    ratio = unguided.std(dim=(1, 2), keepdim=True) / guided.std(dim=(1, 2), keepdim=True)
    return guided * (1 + share * (ratio - 1))


class JascoPipeline(JascoPipelineHubMixin, DiffusionPipeline, JascoLoraLoaderMixin):
    r"""
    Text-to-music generation with chords, drums and melody on a timeline: JASCO
    ([arXiv 2406.10970](https://arxiv.org/abs/2406.10970)).

    This model inherits from [`DiffusionPipeline`]. Check the superclass documentation for the generic methods
    implemented for all pipelines (downloading, saving, running on a particular device, etc.).

    Args:
        tokenizer ([`~transformers.T5TokenizerFast`]):
            Tokenizer of the text encoder.
        text_encoder ([`~transformers.T5EncoderModel`]):
            T5 encoder; the original's is T5-base.
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]):
            EnCodec, whose unquantised latents are generated; the original's runs at 32 kHz and 50 frames a second.
        transformer ([`JascoTransformerModel`]):
            The flow-matching transformer.
        scheduler ([`~diffusers.SchedulerMixin`]):
            [`FlowMatchEulerScheduler`], [`FlowMatchDopri5Scheduler`], or one of Diffusers' schedulers set up for flow
            matching.
        default_num_inference_steps (`int`, defaults to `100`):
            Steps of this checkpoint where a call does not say.
        default_guidance_scale (`float`, defaults to `5.0`):
            Weight of the branch with all conditions where a call does not say.
        default_text_guidance_scale (`float`, defaults to `0.0`):
            Weight of the branch with the text only where a call does not say.
        default_guidance_rescale (`float`, defaults to `0.0`):
            How far guided velocities keep the size of unguided ones where a call does not say, from 0 to 1.
        audiocraft (`dict`, *optional*):
            What a checkpoint that came from AudioCraft needs to go back as it was: its configuration and what else is in its
            files beside weights. See [`~loaders.audiocraft.save_audiocraft_checkpoint`].
    """

    model_cpu_offload_seq = "text_encoder->transformer->codec"
    # Its LSTM and its weight norm do not work under sequential offload.
    _exclude_from_cpu_offload = ["codec"]
    _callback_tensor_inputs = ["latents"]

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder: T5EncoderModel,
        codec: EncodecModel | SpectralCodecModel,
        transformer: JascoTransformerModel,
        scheduler: SchedulerMixin,
        default_num_inference_steps: int = 100,
        default_guidance_scale: float = 5.0,
        default_text_guidance_scale: float = 0.0,
        default_guidance_rescale: float = 0.0,
        audiocraft: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            codec=codec,
            transformer=transformer,
            scheduler=scheduler,
        )
        self.register_to_config(
            default_num_inference_steps=default_num_inference_steps,
            default_guidance_scale=default_guidance_scale,
            default_text_guidance_scale=default_text_guidance_scale,
            default_guidance_rescale=default_guidance_rescale,
            audiocraft=audiocraft,
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> "JascoPipeline":
        r"""
        Loads a pipeline from a folder or a Hub repository: one that `save_pretrained` wrote, as
        [`DiffusionPipeline.from_pretrained`] does, or one in the original's own layout (`state_dict.bin` and
        `compression_state_dict.bin`, or the `checkpoint.th` of a training run), which is converted on the fly.

        Args:
            pretrained_model_name_or_path (`str` or `os.PathLike`):
                Folder, Hub id or `checkpoint.th`.
            kwargs:
                Arguments of [`DiffusionPipeline.from_pretrained`]. For the original's layout: components (`codec`,
                `text_encoder`, `tokenizer`, `scheduler`) in the place of those that it holds or names, `dtype` (default:
                float32), `cache_dir`, `revision`, `token`, `local_files_only` and `force_download`.

        Raises:
            `FileNotFoundError`: if there is no such folder or repository.
            `PermissionError`: for a gated repository without access.
            `ValueError`: for a file in the original's layout that is not a JASCO checkpoint.
        """
        hub = {name: kwargs[name] for name in HUB_ARGUMENTS if name in kwargs}
        checkpoint = find_audiocraft_checkpoint(pretrained_model_name_or_path, **hub)
        if checkpoint is None:
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

        components = {name: kwargs.pop(name) for name in cls._get_signature_keys(cls)[0] if name in kwargs}
        dtype = kwargs.pop("dtype", kwargs.pop("torch_dtype", None)) or torch.float32
        if unknown := sorted(set(kwargs) - set(hub)):
            raise ValueError(f"{unknown} can't be used with a checkpoint in the original's layout.")
        loaded, arguments = load_audiocraft_pipeline(checkpoint, hub=hub, **components)
        dtypes = dtype if isinstance(dtype, dict) else {"default": dtype}
        for name in loaded.keys() - components.keys():
            wanted = dtypes.get(name, dtypes.get("default", torch.float32))
            # Diffusers warns of each cast, also of one to the same type.
            if isinstance(loaded[name], torch.nn.Module) and loaded[name].dtype != wanted:
                loaded[name].to(wanted)
        if not os.path.exists(pretrained_model_name_or_path):
            arguments["audiocraft"]["base_model"] = os.fspath(pretrained_model_name_or_path)
        return cls(**loaded, **arguments)

    @property
    def sampling_rate(self) -> int:
        """Samples a second of the audio, in Hz."""
        return self.codec.config.sampling_rate

    @property
    def frame_rate(self) -> float:
        """Latent frames a second, in Hz."""
        return self.sampling_rate / self._hop_length

    @property
    def _hop_length(self) -> int:
        return self.codec.config.hop_length

    @property
    def guidance_scale(self) -> float:
        """Weight of the branch with all conditions in the current call."""
        return self._guidance_scale

    @property
    def text_guidance_scale(self) -> float:
        """Weight of the branch with the text only in the current call."""
        return self._text_guidance_scale

    @property
    def guidance_rescale(self) -> float:
        """How far guided velocities keep the size of unguided ones in the current call, from 0 to 1."""
        return self._guidance_rescale

    @property
    def attention_kwargs(self) -> dict | None:
        return self._attention_kwargs

    @property
    def num_timesteps(self) -> int:
        return self._num_timesteps

    @property
    def interrupt(self) -> bool:
        return self._interrupt

    def enable_group_offload(self, *args: Any, exclude_modules: str | list[str] | None = None, **kwargs: Any):
        r"""
        As [`DiffusionPipeline.enable_group_offload`], but the codec stays on the device: its encoder and decoder are
        called apart, and group offloading moves weights when a whole model is called.
        """
        exclude_modules = [exclude_modules] if isinstance(exclude_modules, str) else list(exclude_modules or [])
        super().enable_group_offload(*args, exclude_modules=[*exclude_modules, "codec"], **kwargs)

    def check_inputs(
        self,
        prompt: str | list[str | None] | None,
        duration: float | None,
        num_waveforms_per_prompt: int,
        latents: torch.Tensor | None,
        prompt_embeds: torch.Tensor | None,
        prompt_attention_mask: torch.Tensor | None,
        output_type: str,
        callback_on_step_end_tensor_inputs: list[str] | None,
        guidance_rescale: float | None = None,
    ):
        if prompt is not None and prompt_embeds is not None:
            raise ValueError("Give either `prompt` or `prompt_embeds`, not both.")
        if prompt is not None and not isinstance(prompt, (str, list, tuple)):
            raise ValueError(f"`prompt` has to be a `str`, a list of them or `None`, but is {type(prompt)}.")
        if isinstance(prompt, (list, tuple)):
            if not prompt:
                raise ValueError("`prompt` is an empty list. For music without a text give `None` or an empty string.")
            for i, text in enumerate(prompt):
                if text is not None and not isinstance(text, str):
                    raise ValueError(f"`prompt[{i}]` has to be a `str` or `None`, but is {type(text)}.")
        if prompt_embeds is not None and (prompt_embeds.ndim != 3 or 0 in prompt_embeds.shape):
            raise ValueError(
                f"`prompt_embeds` has to have shape (batch, tokens, dim), but has {tuple(prompt_embeds.shape)}."
            )
        if prompt_attention_mask is not None:
            if prompt_embeds is None:
                raise ValueError("`prompt_attention_mask` belongs to `prompt_embeds`, which was not given.")
            if prompt_attention_mask.shape != prompt_embeds.shape[:2]:
                raise ValueError(
                    f"`prompt_attention_mask` has to have shape {tuple(prompt_embeds.shape[:2])}, as `prompt_embeds`, but"
                    f" has {tuple(prompt_attention_mask.shape)}."
                )
        if duration is not None and not (
            isinstance(duration, (int, float)) and math.isfinite(duration) and duration > 0
        ):
            raise ValueError(f"`duration` has to be a positive number of seconds, but is {duration!r}.")
        if latents is not None and duration is not None:
            frames = self._num_frames(duration)
            if latents.ndim > 1 and latents.shape[1] != frames:
                raise ValueError(f"`latents` has {latents.shape[1]} frames, but `duration` {duration} s is {frames}.")
        if not isinstance(num_waveforms_per_prompt, int) or num_waveforms_per_prompt < 1:
            raise ValueError(f"`num_waveforms_per_prompt` has to be at least 1, but is {num_waveforms_per_prompt!r}.")
        if guidance_rescale is not None and not 0 <= guidance_rescale <= 1:
            raise ValueError(f"`guidance_rescale` has to be between 0 and 1, but is {guidance_rescale!r}.")
        if output_type not in ("pt", "np", "latent"):
            raise ValueError(f"`output_type` has to be 'pt', 'np' or 'latent', but is {output_type!r}.")
        unknown = [
            name for name in callback_on_step_end_tensor_inputs or [] if name not in self._callback_tensor_inputs
        ]
        if unknown:
            raise ValueError(
                f"`callback_on_step_end_tensor_inputs` has to be in {self._callback_tensor_inputs}, but has {unknown}."
            )

    def check_scheduler(self):
        """Raises a `ValueError` if the scheduler does not integrate a flow."""
        name = type(self.scheduler).__name__
        config = self.scheduler.config
        if name.startswith("FlowMatch"):
            return
        if config.get("use_flow_sigmas") and config.get("prediction_type") == "flow_prediction":
            return
        cure = "FlowMatchEulerScheduler.from_config(pipe.scheduler.config)`, or another scheduler for flow matching"
        if "use_flow_sigmas" in config:
            cure = (
                f"{name}.from_config(pipe.scheduler.config, use_flow_sigmas=True, prediction_type='flow_prediction')`"
            )
        raise ValueError(f"`{name}` is not set up for flow matching. Set `pipe.scheduler = {cure}.")

    def encode_prompt(
        self,
        prompt: str | list[str | None] | None = None,
        device: torch.device | None = None,
        num_waveforms_per_prompt: int = 1,
        prompt_embeds: torch.Tensor | None = None,
        prompt_attention_mask: torch.Tensor | None = None,
        audiocraft_compatible: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        r"""
        Encodes prompts.

        Args:
            prompt (`str` or `list[str]`, *optional*):
                Prompts; `None` or an empty one is the null text.
            device (`torch.device`, *optional*):
                Device of the results.
            num_waveforms_per_prompt (`int`, defaults to `1`):
                How often each prompt is repeated.
            prompt_embeds (`torch.Tensor` of shape `(batch, tokens, text_dim)`, *optional*):
                States encoded before, in the place of `prompt`.
            prompt_attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*):
                Their mask; by default all tokens count.
            audiocraft_compatible (`bool`, defaults to `False`):
                Whether the padding of shorter prompts is attended to, as in the original.

        Returns:
            `tuple`: the text encoder's states, zeros where there is padding or no text, and the mask of the tokens that
            are attended to, both for `batch * num_waveforms_per_prompt` waveforms.
        """
        device = device or self._execution_device
        if prompt_embeds is None:
            prompts = [prompt] if prompt is None or isinstance(prompt, str) else prompt
            prompt_embeds, prompt_attention_mask = encode_prompts(
                prompts, self.tokenizer, self.text_encoder, device, attend_to_padding=audiocraft_compatible
            )
        elif prompt_attention_mask is None:
            prompt_attention_mask = torch.ones(prompt_embeds.shape[:2], device=device)

        prompt_embeds = prompt_embeds.to(device).repeat_interleave(num_waveforms_per_prompt, dim=0)
        prompt_attention_mask = prompt_attention_mask.to(device).bool()
        prompt_attention_mask = prompt_attention_mask.repeat_interleave(num_waveforms_per_prompt, dim=0)
        return prompt_embeds, prompt_attention_mask

    def encode_chords(self, chords: Any, batch_size: int, num_frames: int) -> torch.Tensor | None:
        r"""
        Chord ids of shape `(batch_size, num_frames)`, the null id where a prompt has no chords, or `None` if none has.
        `chords` as in [`__call__`].
        """
        labels = self.transformer.config.chord_labels

        def encode(progression: Any) -> torch.Tensor | None:
            timeline = read_chords(progression, labels, duration=num_frames / self.frame_rate)
            return chords_to_frames(timeline, labels, num_frames, self.frame_rate) if timeline else None

        null_value = len(labels or [])
        return self._encode_control(
            "chords", chords, is_chord_progression, encode, batch_size, (num_frames,), null_value
        )

    def encode_drums(
        self, drums: Any, batch_size: int, num_frames: int, separate_drums: bool = False
    ) -> torch.Tensor | None:
        r"""
        Drum latents of shape `(batch_size, num_frames, latent_dim)`, zeros where a prompt has no drums, or `None` if
        none has. `drums` and `separate_drums` as in [`__call__`].
        """

        def encode(recording: Any) -> torch.Tensor:
            waveform = read_drums(recording, self.sampling_rate, num_frames * self._hop_length, separate_drums)
            return self._encode_drum_waveform(waveform)

        shape = (num_frames, self.transformer.config.in_channels)
        return self._encode_control("drums", drums, is_drums, encode, batch_size, shape)

    def encode_melody(
        self, melody: Any, batch_size: int, num_frames: int, audiocraft_compatible: bool = False
    ) -> torch.Tensor | None:
        r"""
        Melody matrices of shape `(batch_size, num_frames, 53)`, zeros where a prompt has no melody, or `None` if none
        has. `melody` and `audiocraft_compatible` as in [`__call__`].
        """

        def encode(tune: Any) -> torch.Tensor:
            return (read_melody_late if audiocraft_compatible else read_melody)(tune, num_frames, self.frame_rate)

        shape = (num_frames, self.transformer.config.melody_bins)
        return self._encode_control("melody", melody, is_melody, encode, batch_size, shape)

    def _encode_control(
        self,
        name: str,
        control: Any,
        is_single: Callable[[Any], bool],
        encode: Callable[[Any], torch.Tensor | None],
        batch_size: int,
        null_shape: tuple[int, ...],
        null_value: float = 0,
    ) -> torch.Tensor | None:
        """One control for each prompt: encoded once if they share it, null where a prompt has none."""
        # What is neither one control nor a list of them goes to the reader, which knows best what to say about it.
        is_shared = is_single(control) or not isinstance(control, (list, tuple))
        if not is_shared and len(control) != batch_size:
            raise ValueError(
                f"`{name}` has {len(control)} elements for {batch_size} prompt(s). Give one for all prompts, or a list"
                " with one (or `None`) per prompt."
            )
        if control is None or (not is_shared and all(single is None for single in control)):
            return None
        if name not in self.transformer.controls:
            controls = ", ".join(self.transformer.controls) or "none"
            raise ValueError(f"`{name}` was given, but this checkpoint has no {name} control. It has: {controls}.")

        if is_shared:
            frames = [encode(control)] * batch_size
        else:
            frames = []
            for i, single in enumerate(control):
                try:
                    frames.append(None if single is None else encode(single))
                except ValueError as error:
                    raise ValueError(f"For prompt {i}: {error}") from error
        given = next((single for single in frames if single is not None), None)
        if given is None:
            return None
        null = torch.full(null_shape, null_value, dtype=given.dtype, device=given.device)
        return torch.stack([null if single is None else single for single in frames]).to(self._execution_device)

    def _encode_drum_waveform(self, waveform: torch.Tensor) -> torch.Tensor:
        """Drum latents (frames, latent_dim) of a waveform (1, samples) at the codec's rate."""
        return encode_drums(self.codec, waveform[None], self.transformer.config.drums_blur)[0]

    def prepare_latents(
        self,
        batch_size: int,
        num_frames: int,
        device: torch.device,
        generator: torch.Generator | list[torch.Generator] | None,
        latents: torch.Tensor | None = None,
    ) -> torch.Tensor:
        r"""
        The noise to start from, in float32 of shape `(batch_size, num_frames, latent_dim)`, or `latents` if given: the
        solver's state is float32 with weights of any type.

        Raises:
            `ValueError`: if `latents` has another shape, or there is another number of generators than waveforms.
        """
        shape = (batch_size, num_frames, self.transformer.config.in_channels)
        if isinstance(generator, list) and len(generator) != batch_size:
            raise ValueError(f"There are {len(generator)} generators for {batch_size} waveforms.")
        if latents is None:
            return randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)
        if latents.shape != shape:
            raise ValueError(f"`latents` has to have shape {shape}, but has {tuple(latents.shape)}.")
        return latents.to(device, torch.float32)

    def set_timesteps(
        self, num_inference_steps: int | None, sigmas: list[float] | np.ndarray | None, device: torch.device
    ):
        r"""
        Sets the scheduler's grid: `sigmas` if given, else the uniform one of `num_inference_steps`, for schedulers that
        take sigmas; the others use their own.

        Raises:
            `ValueError`: if the scheduler can't do what is asked.
        """
        if num_inference_steps is not None and (not isinstance(num_inference_steps, int) or num_inference_steps < 1):
            raise ValueError(
                f"`num_inference_steps` has to be a whole number from 1 on, but is {num_inference_steps!r}."
            )
        if isinstance(self.scheduler, FlowMatchDopri5Scheduler):
            self.scheduler.set_timesteps(num_inference_steps, device=device, sigmas=sigmas)
            return
        takes_sigmas = "sigmas" in inspect.signature(self.scheduler.set_timesteps).parameters
        if sigmas is not None:
            if not takes_sigmas:
                raise ValueError(f"`{type(self.scheduler).__name__}` takes no `sigmas`: give `num_inference_steps`.")
            if num_inference_steps not in (None, len(sigmas)):
                raise ValueError(
                    f"`num_inference_steps` is {num_inference_steps}, but there are {len(sigmas)} `sigmas`."
                )
        elif num_inference_steps is None:
            num_inference_steps = self.config.default_num_inference_steps
        if takes_sigmas:
            if sigmas is None:
                sigmas = np.linspace(1.0, 1.0 / num_inference_steps, num_inference_steps)
            self.scheduler.set_timesteps(sigmas=np.asarray(sigmas), device=device)
        else:
            self.scheduler.set_timesteps(num_inference_steps, device=device)
        # Some schedulers would look a timestep up, but theirs are integers and may repeat.
        self.scheduler.set_begin_index(0)

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Audio of shape `(batch, channels, samples)` from normalised latents of shape `(batch, frames, latent_dim)`."""
        config = self.transformer.config
        mean, std = (torch.tensor(value, device=latents.device) for value in (config.latents_mean, config.latents_std))
        return decode(self.codec, latents * std + mean)

    def _num_frames(self, duration: float) -> int:
        # The tolerance is for products such as 0.28 * 50 = 14.000000000000002.
        return max(1, math.ceil(duration * self.frame_rate - 1e-6))

    def _estimate_num_timesteps(self) -> int:
        """The number of timesteps, which an adaptive scheduler does not know before the end: then by its progress."""
        done, sigmas = len(self.scheduler.timesteps), self.scheduler.sigmas
        if len(sigmas) > done:
            return done
        return max(done, round(done / max(1 - float(sigmas[-1]), 0.01)))

    def _branch_weights(self) -> dict[str, float]:
        """The guidance branches that are to be computed, with their weights, which sum to 1."""
        weights = {
            "all": self.guidance_scale,
            "text": self.text_guidance_scale,
            "null": 1 - self.guidance_scale - self.text_guidance_scale,
        }
        return {branch: weight for branch, weight in weights.items() if abs(weight) >= MIN_BRANCH_WEIGHT}

    @torch.no_grad()
    @replace_example_docstring(EXAMPLE_DOC_STRING)
    def __call__(
        self,
        prompt: str | list[str | None] | None = None,
        chords: Any = None,
        drums: Any = None,
        separate_drums: bool = False,
        melody: Any = None,
        duration: float | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        text_guidance_scale: float | None = None,
        guidance_rescale: float | None = None,
        audiocraft_compatible: bool = False,
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
    ) -> AudioPipelineOutput | tuple:
        r"""
        Generates music.

        The velocity is `guidance_scale * v(all) + text_guidance_scale * v(text) + (1 - both) * v(null)` (multi-source
        classifier-free guidance, §3.4 of the paper). There is no negative prompt: the null branch is the null that the
        model was trained with.

        Args:
            prompt (`str` or `list[str]`, *optional*):
                What the music is like; `None` or an empty text for no text. Never truncated.
            chords (*optional*):
                A chord progression for all prompts, or a list with one (or `None`) per prompt: `[(label, start in
                seconds), ...]`, a text such as `"C:0 Am:2.5"`, a `.lab`, `.jams` or `.mid` file, or a recording; see
                [`~controls.chords.read_chords`].
            drums (*optional*):
                A drum recording for all prompts, or a list with one (or `None`) per prompt: a path, `(waveform,
                sampling_rate)` or `{"array", "sampling_rate"}`, at any rate; see [`~controls.drums.prepare_drums`].
            separate_drums (`bool`, defaults to `False`):
                Whether `drums` is a full mix whose drums are to be taken out first, by Demucs if it and its weights are
                on this machine, or else by a small network; see [`~extraction.drums.separate_drums`].
            melody (*optional*):
                A melody for all prompts, or a list with one (or `None`) per prompt: a matrix `(53, frames)`, notes
                `[(pitch, start, end), ...]`, a `.npz`, `.th`, `.pt` or `.mid` file, or a recording; see
                [`~controls.melody.read_melody`].
            duration (`float`, *optional*):
                Seconds of music; by default what the model was trained on.
            num_inference_steps (`int`, *optional*):
                Steps of the solver, by default the checkpoint's. Not for [`FlowMatchDopri5Scheduler`].
            guidance_scale (`float`, *optional*):
                Weight of the branch with all conditions (the original's `cfg_coef_all`), by default the checkpoint's.
            text_guidance_scale (`float`, *optional*):
                Weight of the branch with the text only (`cfg_coef_txt`), by default the checkpoint's.
            guidance_rescale (`float`, *optional*):
                From 0 to 1: how far the guided velocity is brought back to the standard deviation of the one with all
                conditions, against music that guidance makes too loud (§3.4 of [arXiv 2305.08891](https://arxiv.org/abs/2305.08891)),
                by default the checkpoint's.
            audiocraft_compatible (`bool`, defaults to `False`):
                Whether to reproduce the original's defects, for exact comparison: padding of shorter prompts is attended
                to; the text and null branches get encoded silence where drums are given, and keep the melody where no
                chords are given; melodies of recordings and salience maps come 0.15 % too late.
            num_waveforms_per_prompt (`int`, defaults to `1`):
                Waveforms per prompt.
            generator (`torch.Generator` or `list[torch.Generator]`, *optional*):
                Makes the result reproducible; a list has one per waveform.
            latents (`torch.Tensor` of shape `(waveforms, frames, latent_dim)`, *optional*):
                The noise to start from.
            sigmas (`list[float]`, *optional*):
                A grid of falling sigmas in (0, 1] in the place of the uniform one.
            prompt_embeds (`torch.Tensor` of shape `(batch, tokens, text_dim)`, *optional*):
                States of the text encoder, in the place of `prompt`.
            prompt_attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*):
                Their mask.
            attention_kwargs (`dict`, *optional*):
                `{"scale": float}` scales LoRA layers.
            output_type (`str`, defaults to `"pt"`):
                `"pt"`: a tensor, `"np"`: an array, `"latent"`: the model's normalised latents.
            return_dict (`bool`, defaults to `True`):
                Whether to return an [`~pipelines.AudioPipelineOutput`] instead of a plain tuple.
            callback_on_step_end (`Callable`, *optional*):
                Called with `(pipeline, step, timestep, callback_kwargs)` after each step; returns a dict with the tensors
                to go on with. With [`FlowMatchDopri5Scheduler`] after each completed solver step, with its solution.
            callback_on_step_end_tensor_inputs (`list[str]`, defaults to `["latents"]`):
                The tensors in `callback_kwargs`.

        Examples:

        Returns:
            [`~pipelines.AudioPipelineOutput`] or `tuple`: `audios` of shape `(waveforms, channels, samples)`, in float32
            and the codec's range, which may exceed ±1; or latents of shape `(waveforms, frames, latent_dim)`.

        Raises:
            `ValueError`: for input that can't be used, with the argument's name and what would be right.
            `FileNotFoundError`: for an absent file.
        """
        # 1. Check inputs
        self.check_inputs(
            prompt,
            duration,
            num_waveforms_per_prompt,
            latents,
            prompt_embeds,
            prompt_attention_mask,
            output_type,
            callback_on_step_end_tensor_inputs,
            guidance_rescale,
        )
        self.check_scheduler()

        defaults = self.config
        self._guidance_scale = defaults.default_guidance_scale if guidance_scale is None else guidance_scale
        self._text_guidance_scale = (
            defaults.default_text_guidance_scale if text_guidance_scale is None else text_guidance_scale
        )
        self._guidance_rescale = defaults.default_guidance_rescale if guidance_rescale is None else guidance_rescale
        self._attention_kwargs = attention_kwargs
        self._interrupt = False

        device = self._execution_device
        if prompt_embeds is not None:
            batch_size = prompt_embeds.shape[0]
        else:
            batch_size = 1 if prompt is None or isinstance(prompt, str) else len(prompt)

        num_frames = self.transformer.config.sample_size
        if duration is not None:
            num_frames = self._num_frames(duration)
        elif latents is not None and latents.ndim == 3:
            num_frames = latents.shape[1]
        if num_frames != self.transformer.config.sample_size:
            trained = self.transformer.config.sample_size / self.frame_rate
            logger.warning(
                f"{num_frames / self.frame_rate:g} s of music are asked for, but this checkpoint was trained on"
                f" {trained:g} s: expect less structure or quality."
            )

        # 2. Encode the prompts
        prompt_embeds, prompt_attention_mask = self.encode_prompt(
            prompt, device, num_waveforms_per_prompt, prompt_embeds, prompt_attention_mask, audiocraft_compatible
        )
        # Attention is faster without a mask, and needs none unless the prompts differ in length.
        mask = None if prompt_attention_mask.all() else prompt_attention_mask

        # 3. Encode the controls, and what the branches without them get
        controls = {
            "chords": self.encode_chords(chords, batch_size, num_frames),
            "drums": self.encode_drums(drums, batch_size, num_frames, separate_drums),
            "melody": self.encode_melody(melody, batch_size, num_frames, audiocraft_compatible),
        }
        nulls = {name: None if control is None else torch.zeros_like(control) for name, control in controls.items()}
        if controls["chords"] is not None:
            nulls["chords"] = torch.full_like(controls["chords"], self.transformer.null_chord)
        if audiocraft_compatible:
            nulls |= self._audiocraft_nulls(controls)

        # 4. Gather the guidance branches
        branches = {
            "all": {"encoder_hidden_states": prompt_embeds, **controls},
            "text": {"encoder_hidden_states": prompt_embeds, **nulls},
            "null": {"encoder_hidden_states": torch.zeros_like(prompt_embeds), **nulls},
        }
        for branch in branches.values():
            for name in controls:
                if branch[name] is not None:
                    branch[name] = branch[name].repeat_interleave(num_waveforms_per_prompt, dim=0)
            branch["encoder_attention_mask"] = mask

        def gather(names: tuple[str, ...]) -> dict[str, torch.Tensor | None]:
            first = branches[names[0]]
            return {
                key: None if first[key] is None else torch.cat([branches[name][key] for name in names])
                for key in first
            }

        # 5. Prepare latents and timesteps
        batch_size = batch_size * num_waveforms_per_prompt
        latents = self.prepare_latents(batch_size, num_frames, device, generator, latents)
        self.set_timesteps(num_inference_steps, sigmas, device)
        scheduler = self.scheduler
        # The model's time runs from noise to data. Most schedulers' sigma runs the other way, and so does their velocity.
        ascending = bool(scheduler.sigmas[-1] > scheduler.sigmas[0])
        takes_generator = "generator" in inspect.signature(scheduler.step).parameters
        step_kwargs = {"generator": generator} if takes_generator else {}

        # 6. Integrate from noise to data
        conditions, gathered = None, None
        dtype = self.transformer.dtype
        i, step = 0, 0
        with self.progress_bar(total=len(scheduler.timesteps)) as progress_bar:
            # An adaptive scheduler appends to its timesteps as it goes.
            while i < len(scheduler.timesteps) and not self.interrupt:
                self._num_timesteps = len(scheduler.timesteps)
                weights = self._branch_weights()
                if tuple(weights) != gathered:
                    gathered = tuple(weights)
                    conditions = gather(gathered)

                t, sigma = scheduler.timesteps[i], scheduler.sigmas[i]
                time = (sigma if ascending else 1 - sigma).to(device, torch.float32)
                with self.transformer.cache_context("+".join(gathered)):
                    velocities = self.transformer(
                        hidden_states=latents.to(dtype).repeat(len(weights), 1, 1),
                        timestep=time.expand(len(weights) * batch_size),
                        **conditions,
                        attention_kwargs=self.attention_kwargs,
                        return_dict=False,
                    )[0]
                velocities = velocities.float().chunk(len(weights))
                velocity = sum(weight * v for weight, v in zip(weights.values(), velocities))
                if self.guidance_rescale and weights.keys() > {"all"}:
                    velocity = _rescale(velocity, velocities[0], self.guidance_rescale)
                latents = scheduler.step(
                    velocity if ascending else -velocity, t, latents, **step_kwargs, return_dict=False
                )[0]
                i += 1

                # What an adaptive scheduler returns is mostly an intermediate point, not a solution.
                solution = getattr(scheduler, "accepted_sample", latents)
                if solution is not None:
                    if callback_on_step_end is not None:
                        callback_kwargs = {}
                        if "latents" in callback_on_step_end_tensor_inputs:
                            callback_kwargs["latents"] = solution.clone()
                        changed = callback_on_step_end(self, step, t, callback_kwargs).get("latents", solution)
                        if solution is latents or self.interrupt:
                            latents = changed
                        elif not torch.equal(changed, solution):
                            latents = scheduler.restart(changed)
                    step += 1
                progress_bar.total = self._estimate_num_timesteps()
                progress_bar.update()

        # 7. Decode
        if output_type == "latent":
            audio = latents
        else:
            audio = self.decode_latents(latents)
            if duration is not None:
                audio = audio[..., : round(duration * self.sampling_rate)]
            if output_type == "np":
                audio = audio.cpu().numpy()

        self.maybe_free_model_hooks()

        if not return_dict:
            return (audio,)
        return AudioPipelineOutput(audios=audio)

    def _audiocraft_nulls(self, controls: dict[str, torch.Tensor | None]) -> dict[str, torch.Tensor]:
        """What the original's text and null branches get by mistake in the place of the null drums and melody."""
        nulls = {}
        chords, drums, melody = controls["chords"], controls["drums"], controls["melody"]
        if drums is not None:
            silence = torch.zeros(1, drums.shape[1] * self._hop_length)
            is_given = (drums != 0).flatten(1).any(dim=1)[:, None, None]
            nulls["drums"] = self._encode_drum_waveform(silence) * is_given
        if melody is not None:
            has_chords = torch.zeros(len(melody), dtype=torch.bool, device=melody.device)
            if chords is not None:
                has_chords = (chords != self.transformer.null_chord).any(dim=1)
            nulls["melody"] = melody * ~has_chords[:, None, None]
        return nulls
