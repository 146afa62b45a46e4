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

"""Checking and calling of `callback_on_step_end`."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback

from ..utils.errors import InputError, shorten


_ARGUMENTS = "(pipeline, step, timestep, callback_kwargs)"


def check_callback(callback: Any, tensor_inputs: list[str] | None, available: list[str]) -> list[str]:
    r"""
    Args:
        callback (`Callable`, *optional*): `callback_on_step_end` of a call.
        tensor_inputs (`list[str]`, *optional*): `callback_on_step_end_tensor_inputs` of the call.
        available (`list[str]`): names of the tensors that the pipeline provides.

    Returns:
        `list[str]`: names of the tensors to pass to the callback: `tensor_inputs`, or those of the callback itself if
        it is a [`~diffusers.callbacks.PipelineCallback`].

    Raises:
        [`~inputs.InputError`]: if the callback can't be called with `(pipeline, step, timestep, callback_kwargs)`, or
        a
            tensor is not available.
    """
    if callback is not None and not callable(callback):
        raise InputError(
            f"`callback_on_step_end` has to be a function of {_ARGUMENTS}, but is {shorten(callback)}.",
            "callback_on_step_end",
        )
    if callback is not None and not _takes_arguments(callback):
        raise InputError(
            f"`callback_on_step_end` has to take {_ARGUMENTS}, but takes {inspect.signature(callback)}. To use an"
            " AudioCraft callback `f(completed_steps, num_steps)`, pass `lambda pipe, step, timestep, kwargs:"
            " f(step + 1, pipe.num_timesteps)`.",
            "callback_on_step_end",
        )
    if isinstance(callback, (PipelineCallback, MultiPipelineCallbacks)):
        tensor_inputs = callback.tensor_inputs
    tensor_inputs = [] if tensor_inputs is None else tensor_inputs
    is_list = isinstance(tensor_inputs, (list, tuple))
    if not is_list or (unknown := [name for name in tensor_inputs if name not in available]):
        raise InputError(
            f"`callback_on_step_end_tensor_inputs` has to be in {available}, but"
            f" {f'has {unknown}' if is_list else f'is {shorten(tensor_inputs)}'}.",
            "callback_on_step_end_tensor_inputs",
        )
    return list(tensor_inputs)


def _takes_arguments(callback: Callable) -> bool:
    try:
        signature = inspect.signature(callback)
    except ValueError:  # Some C functions have no signature.
        return True
    try:
        signature.bind(None, 0, None, {})
    except TypeError:
        return False
    return True


def call_back(
    pipeline: Any,
    callback: Callable,
    tensor_inputs: list[str],
    step: int,
    timestep: torch.Tensor,
    latents: torch.Tensor,
) -> torch.Tensor:
    r"""
    Args:
        pipeline ([`JascoPipeline`]): the running pipeline.
        callback (`Callable`): a callback that passed [`check_callback`].
        tensor_inputs (`list[str]`): names of the tensors to pass to it.
        step (`int`), timestep (`torch.Tensor`): the completed step.
        latents (`torch.Tensor` of shape `(batch, frames, channels)`): the latents after this step.

    Returns:
        `torch.Tensor` of the same shape: the latents to continue with (unchanged if the callback returns `None`).

    Raises:
        [`~inputs.InputError`]: if the callback returns anything but a dictionary or `None`, or latents of another
        shape.
    """
    tensors = {"latents": latents.clone()} if "latents" in tensor_inputs else {}
    returned = callback(pipeline, step, timestep, tensors)
    if returned is None:
        return latents
    if not isinstance(returned, Mapping):
        raise InputError(
            "`callback_on_step_end` has to return a dictionary of tensors, or `None` to change nothing, but returned"
            f" {shorten(returned)}.",
            "callback_on_step_end",
        )
    changed = returned.get("latents", latents)
    if not isinstance(changed, torch.Tensor) or changed.shape != latents.shape:
        found = tuple(changed.shape) if isinstance(changed, torch.Tensor) else shorten(changed)
        raise InputError(
            f"`callback_on_step_end` has to return latents of shape {tuple(latents.shape)}, but returned {found}.",
            "callback_on_step_end",
        )
    return changed.to(latents)
