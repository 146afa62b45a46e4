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
Validation of call arguments, before any computation. The checks return the arguments in the form that the pipeline
uses: numbers of any type as Python numbers, arrays as tensors, sequences as lists.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..conditioning import JascoConditioning
from ..controls.beats import FASTEST, SLOWEST
from ..controls.forms import is_empty
from ..per_prompt import check_per_prompt, split_per_prompt
from ..utils.errors import InputError, list_names, shorten
from ..utils.numbers import is_number, to_float, to_integer
from .prompt_timeline import PromptTimeline, check_timeline, is_timeline


MIN_DURATION = 0.001  # seconds
MAX_DURATION = 3600.0  # seconds
# Overlap of windows in seconds, and how many of them are evaluated at once.
DEFAULT_OVERLAP = 2.0
DEFAULT_WINDOWS_PER_BATCH = 8
MAX_PROMPT_LENGTH = 20_000  # characters; the memory of attention grows with its square

# A prompt, or one per piece.
Prompts = str | list[str | PromptTimeline | None] | None


def check_text(
    prompt: Any, prompt_embeds: Any, prompt_attention_mask: Any, text_dim: int
) -> tuple[Prompts, torch.Tensor | None, torch.Tensor | None]:
    """Checks `prompt` and `prompt_embeds`, which are mutually exclusive."""
    if prompt is not None and prompt_embeds is not None:
        raise InputError("Give either `prompt` or `prompt_embeds`, not both.", "prompt")
    return check_prompt(prompt), *check_prompt_embeds(prompt_embeds, prompt_attention_mask, text_dim)


def check_prompt(prompt: Any) -> Prompts:
    r"""
    Args:
        prompt (`str`, `list` or `None`):
            A prompt, a timeline `[(text, start in seconds), ...]`, or a list, array or series with a prompt or a timeline
            per piece.

    Returns:
        `str`, `list` or `None`: the prompt, or the list of prompts, with timelines as tuples.

    Raises:
        [`~inputs.InputError`]: for any other type, an empty list, text that can't be encoded in UTF-8, or starts that do
            not increase from 0.
    """
    if hasattr(prompt, "tolist"):
        prompt = prompt.tolist()
    if prompt is None or isinstance(prompt, str):
        return prompt if prompt is None else _check_text(prompt, "prompt")
    if not isinstance(prompt, Sequence) or isinstance(prompt, (bytes, bytearray, memoryview, range)):
        raise InputError(
            f"`prompt` has to be a `str`, a timeline [(text, seconds), ...], a list of them or `None`, but is"
            f" {type(prompt)}.",
            "prompt",
        )
    if not len(prompt):
        raise InputError(
            "`prompt` is an empty list. Use `None` or an empty string for music without a text prompt.", "prompt"
        )
    if is_timeline(prompt):
        return [_check_single(prompt, "prompt", None)]
    return [_check_single(single, f"prompt[{i}]", i) for i, single in enumerate(prompt)]


def _check_single(prompt: Any, name: str, position: int | None) -> str | PromptTimeline | None:
    """Checks the prompt of one piece: text, a timeline, or `None`."""
    if not is_timeline(prompt):
        return None if prompt is None else _check_text(prompt, name, position)
    return tuple(
        (None if text is None else _check_text(text, name, position), start)
        for text, start in check_timeline(prompt, name, position)
    )


def _check_text(text: Any, name: str, position: int | None = None) -> str:
    if not isinstance(text, str):
        raise InputError(
            f"`{name}` has to be a `str`, a timeline [(text, seconds), ...] or `None`, but is {shorten(text)}.",
            "prompt",
            position,
        )
    if len(text) > MAX_PROMPT_LENGTH:
        raise InputError(
            f"`{name}` has to have at most {MAX_PROMPT_LENGTH} characters, but has {len(text)}.", "prompt", position
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"`{name}` has to be text that can be encoded in UTF-8, but character {error.start} is half a surrogate pair"
            f" (U+{ord(text[error.start]):04X}).",
            "prompt",
            position,
        ) from error
    return str(text)


def check_prompt_embeds(
    prompt_embeds: Any, prompt_attention_mask: Any, text_dim: int
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    r"""
    Args:
        prompt_embeds (`torch.Tensor` of shape `(batch, tokens, text_dim)`, *optional*): hidden states of the text
            encoder.
        prompt_attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): `True` (or 1) for text tokens.
        text_dim (`int`): number of channels of the states.

    Returns:
        `tuple`: both as tensors.

    Raises:
        [`~inputs.InputError`]: for an invalid type or shape, nonfinite states, or a mask without states.
    """
    if prompt_embeds is None:
        if prompt_attention_mask is not None:
            raise InputError(
                "`prompt_attention_mask` requires `prompt_embeds`, which was not given.", "prompt_attention_mask"
            )
        return None, None
    prompt_embeds = _to_tensor(prompt_embeds, "prompt_embeds")
    if prompt_embeds.ndim != 3 or 0 in prompt_embeds.shape:
        raise InputError(
            f"`prompt_embeds` has to have shape (batch, tokens, dim), but has {tuple(prompt_embeds.shape)}.",
            "prompt_embeds",
        )
    if prompt_embeds.shape[-1] != text_dim:
        raise InputError(
            f"`prompt_embeds` has to have {text_dim} channels, but has {prompt_embeds.shape[-1]}.", "prompt_embeds"
        )
    _check_finite(prompt_embeds, "prompt_embeds")
    if prompt_attention_mask is None:
        return prompt_embeds, None
    mask = _to_tensor(prompt_attention_mask, "prompt_attention_mask")
    if mask.shape != prompt_embeds.shape[:2]:
        raise InputError(
            f"`prompt_attention_mask` has to have shape {tuple(prompt_embeds.shape[:2])} to match `prompt_embeds`, but"
            f" has {tuple(mask.shape)}.",
            "prompt_attention_mask",
        )
    if not ((mask == 0) | (mask == 1)).all():
        raise InputError(
            "`prompt_attention_mask` has to be 1 for text tokens and 0 otherwise.", "prompt_attention_mask"
        )
    return prompt_embeds, mask


def count_pieces(prompt: Any, prompt_embeds: torch.Tensor | None, conditioning: JascoConditioning | None) -> int:
    """The number of pieces of music that a call describes, from arguments that passed the checks above and below."""
    if conditioning is not None:
        return conditioning.batch_size
    if prompt_embeds is not None:
        return len(prompt_embeds)
    return len(prompt) if isinstance(prompt, list) else 1


def check_duration(duration: Any) -> float | None:
    """Returns seconds as a `float`; raises an [`~inputs.InputError`] unless between one millisecond and one hour."""
    if duration is None:
        return None
    try:
        return to_float(duration, "duration", minimum=MIN_DURATION, maximum=MAX_DURATION)
    except InputError:
        raise InputError(
            f"`duration` has to be a positive number of seconds, from {MIN_DURATION:g} to {MAX_DURATION:g}, but is"
            f" {shorten(duration)}.",
            "duration",
        ) from None


def check_windows(window_overlap: Any, windows_per_batch: Any, window: float) -> tuple[float, int]:
    r"""
    Args:
        window_overlap (`float`, *optional*): least overlap of neighboring windows in seconds.
        windows_per_batch (`int`, *optional*): number of windows that are evaluated at once.
        window (`float`): length of a window in seconds.

    Returns:
        `tuple[float, int]`: both, with defaults where they are `None`.

    Raises:
        [`~inputs.InputError`]: unless the overlap is from 0 to three quarters of a window, and the number positive.
    """
    if window_overlap is None:
        window_overlap = min(DEFAULT_OVERLAP, window / 4)
    window_overlap = to_float(window_overlap, "window_overlap", minimum=0.0, maximum=0.75 * window)
    if windows_per_batch is None:
        windows_per_batch = DEFAULT_WINDOWS_PER_BATCH
    return window_overlap, to_integer(windows_per_batch, "windows_per_batch", minimum=1)


def check_tempos(
    bpm: Any, beats_per_bar: Any, beats: Any, num_prompts: int
) -> tuple[list[float | bool | None], list[int | None]]:
    r"""
    Args:
        bpm (`float`, `False` or a list, *optional*):
            Beats per minute, from 20 to 400, or `False` for no tempo; or a list with one per prompt.
        beats_per_bar (`int` or `list[int]`, *optional*): beats per bar, or a list with one per prompt.
        beats (*optional*): the control `beats` in any form.
        num_prompts (`int`): number of prompts.

    Returns:
        `tuple`: `bpm` and `beats_per_bar` for each prompt; `bpm` is `False` if `beats` is empty.

    Raises:
        [`~inputs.InputError`]: for other values, for a list of the wrong length, and for `beats` with a tempo or
            `False`.
    """

    def check_bpm(value: Any) -> float | bool | None:
        if value is None or (isinstance(value, (bool, np.bool_)) and not value):
            return None if value is None else False
        try:
            return to_float(value, "bpm", minimum=SLOWEST, maximum=FASTEST)
        except InputError:
            raise InputError(
                f"`bpm` has to be a number from {SLOWEST:g} to {FASTEST:g} beats per minute, `None` or `False`, but is"
                f" {shorten(value)}.",
                "bpm",
            ) from None

    def check_beats_per_bar(value: Any) -> int | None:
        return None if value is None else to_integer(value, "beats_per_bar", minimum=1, maximum=64)

    bpms = check_per_prompt("bpm", bpm, num_prompts, check_bpm)
    meters = check_per_prompt("beats_per_bar", beats_per_bar, num_prompts, check_beats_per_bar)
    grids = split_per_prompt("beats", beats, num_prompts)
    for single, grid in zip(bpms, grids):
        if single is False and grid is not None:
            raise InputError(
                "With `bpm=False`, the music has no beat grid, but `beats` sets one: omit one of them.", "bpm"
            )
        if single is not None and grid is not None:
            raise InputError("Give either `bpm` or `beats`, not both.", "bpm")
    if beats is not None and is_empty(beats):
        if any(bpms):
            raise InputError("Empty `beats` exclude a tempo, but `bpm` sets one: omit one of them.", "bpm")
        bpms = [False] * num_prompts
    return bpms, meters


def check_latents(
    latents: Any, num_waveforms: int, num_frames: int | None, channels: int, duration: float | None = None
) -> torch.Tensor | None:
    r"""
    Args:
        latents (`torch.Tensor` of shape `(num_waveforms, num_frames, channels)`, *optional*): the initial noise.
        num_waveforms (`int`), num_frames (`int`, *optional*), channels (`int`): the expected shape; by default, any
            number of frames is accepted.
        duration (`float`, *optional*): the duration in seconds that determines `num_frames`, for the error message.

    Raises:
        [`~inputs.InputError`]: for an invalid type or shape, or nonfinite values.
    """
    if latents is None:
        return None
    latents = _to_tensor(latents, "latents")
    if duration is not None and latents.ndim == 3 and latents.shape[1] != num_frames:
        raise InputError(
            f"`latents` has {latents.shape[1]} frames, but `duration` = {duration:g} s requires {num_frames}.",
            "latents",
        )
    if num_frames is None and latents.ndim == 3 and latents.shape[1]:
        num_frames = latents.shape[1]
    if latents.shape != (num_waveforms, num_frames, channels):
        raise InputError(
            f"`latents` has to have shape ({num_waveforms}, {num_frames or 'frames'}, {channels}), but has"
            f" {tuple(latents.shape)}.",
            "latents",
        )
    _check_finite(latents, "latents")
    return latents


def check_generator(
    generator: Any, num_waveforms: int, device: torch.device
) -> torch.Generator | list[torch.Generator] | None:
    r"""
    Args:
        generator (`torch.Generator` or a sequence of them, *optional*): one for all waveforms, or one per waveform.
        num_waveforms (`int`): number of waveforms of the call.
        device (`torch.device`): device of the noise.

    Raises:
        [`~inputs.InputError`]: for an invalid type or number of generators, or a generator on another accelerator.
    """
    if generator is None:
        return None
    is_list = isinstance(generator, (list, tuple))
    generators = list(generator) if is_list else [generator]
    for i, single in enumerate(generators):
        name = f"generator[{i}]" if is_list else "generator"
        if not isinstance(single, torch.Generator):
            hint = f": `torch.Generator().manual_seed({single})`" if isinstance(single, (int, np.integer)) else ""
            raise InputError(
                f"`{name}` has to be a `torch.Generator`, but is {shorten(single)}{hint}.", "generator", i * is_list
            )
        if single.device.type not in ("cpu", device.type):
            raise InputError(
                f"`{name}` has to be on the CPU or on the pipeline's device type ({device.type}), but is on"
                f" {single.device}.",
                "generator",
                i,
            )
    if not is_list:
        return generator
    if len(generators) != num_waveforms:
        raise InputError(
            f"`generator` has {len(generators)} elements for {num_waveforms} waveform(s). Give one generator, or a list with"
            " one per waveform.",
            "generator",
        )
    if len({single.device for single in generators}) > 1:
        raise InputError("All generators have to be on the same device.", "generator")
    return generators


def check_conditioning(conditioning: Any, controls: Sequence[str], others: dict[str, Any], loop: bool):
    r"""
    Args:
        conditioning ([`JascoConditioning`], *optional*): encoded conditions of a call.
        controls (`Sequence[str]`): the controls of the checkpoint.
        others (`dict[str, Any]`): the arguments that `conditioning` replaces; `None` and `False` mean not given.
        loop (`bool`): whether the music is a loop.

    Raises:
        [`~inputs.InputError`]: for an invalid type, if any of `others` is given as well, if the checkpoint lacks one of the
            controls, or for the conditions of a loop without `loop`.
    """
    if conditioning is None:
        return
    if not isinstance(conditioning, JascoConditioning):
        raise InputError(
            f"`conditioning` has to be a `JascoConditioning`, but is {type(conditioning)}.", "conditioning"
        )
    given = [f"`{name}`" for name, value in others.items() if value is not None and value is not False]
    if given:
        raise InputError(f"Give either `conditioning` or {', '.join(given)}, not both.", "conditioning")
    if conditioning.frame_rate is not None and not loop:
        raise InputError("`conditioning` is that of a loop: use it with `loop=True`.", "conditioning")
    if absent := sorted(set(conditioning.controls) - set(controls)):
        raise InputError(
            f"`conditioning` has {', '.join(absent)}, but the controls of this checkpoint are:"
            f" {', '.join(controls) or 'none'}.",
            "conditioning",
        )


def check_switches(**switches: Any):
    """Raises an [`~inputs.InputError`] unless all values are booleans or `None`; strings such as `"no"` are truthy."""
    for name, value in switches.items():
        if not (value is None or isinstance(value, (bool, np.bool_))):
            raise InputError(f"`{name}` has to be True or False, but is {shorten(value)}.", name)


def check_output_type(output_type: Any):
    if not isinstance(output_type, str) or output_type not in ("pt", "np", "latent"):
        raise InputError(
            f"`output_type` has to be 'pt', 'np' or 'latent', but is {shorten(output_type)}.", "output_type"
        )


def check_attention_kwargs(attention_kwargs: Any):
    if attention_kwargs is None:
        return
    if not isinstance(attention_kwargs, dict):
        raise InputError(
            f"`attention_kwargs` has to be a dictionary, but is {shorten(attention_kwargs)}.", "attention_kwargs"
        )
    if unknown := [repr(name) for name in attention_kwargs if name != "scale"]:
        raise InputError(
            f"`attention_kwargs` supports only 'scale', but has {list_names(unknown)}.", "attention_kwargs"
        )
    scale = attention_kwargs.get("scale")
    if scale is not None and not (is_number(scale) and math.isfinite(scale)):
        raise InputError(
            f"`attention_kwargs['scale']` has to be a number, but is {shorten(scale)}.", "attention_kwargs"
        )


def _to_tensor(value: Any, argument: str) -> torch.Tensor:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return torch.from_numpy(np.array(value, value.dtype.newbyteorder("=")))
    if not isinstance(value, torch.Tensor):
        found = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else shorten(value)
        raise InputError(f"`{argument}` has to be a tensor or an array, but is {found}.", argument)
    return value


def _check_finite(tensor: torch.Tensor, argument: str):
    if not tensor.is_floating_point():
        raise InputError(f"`{argument}` has to have a floating-point dtype, but has {tensor.dtype}.", argument)
    if not tensor.isfinite().all():
        raise InputError(f"`{argument}` has to be finite, but contains NaN or infinity.", argument)
