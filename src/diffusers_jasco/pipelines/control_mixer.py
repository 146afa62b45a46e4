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

"""How strictly controls are followed, and where."""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from diffusers.utils import logging

from ..controls import CONTROLS
from ..guiders.jasco_guidance import check_control_scales
from ..per_prompt import check_per_prompt, is_given
from ..utils.errors import InputError, shorten
from ..utils.numbers import is_number, to_float


logger = logging.get_logger(__name__)

# The regions of each control that is restricted, as (start, end) in seconds.
ControlRegions = dict[str, list[tuple[float, float]]]


def read_control_scales(
    control_scales: Any, num_prompts: int, controls: dict[str, Any]
) -> list[dict[str, float]] | None:
    r"""
    Checks `control_scales` of a call.

    Args:
        control_scales (`dict[str, float]` or `list[dict]`, *optional*):
            The scale of each control, for all prompts, or a list with one (or `None`) per prompt.
        num_prompts (`int`): number of prompts.
        controls (`dict`): the controls of the call. Scales of others cause a warning.

    Returns:
        `list[dict[str, float]]`: the scales for each prompt, or `None` without scales.

    Raises:
        [`~inputs.InputError`]: for unknown controls, invalid scales, and a list of the wrong length.
    """
    if control_scales is None:
        return None
    rows = check_per_prompt("control_scales", control_scales, num_prompts, check_control_scales)
    # Beats also come from tempos.
    unused = {name for row in rows for name in row if name != "beats" and not is_given(controls.get(name))}
    if unused:
        logger.warning(f"`control_scales` for {', '.join(sorted(unused))} have no effect, as these are not given.")
    return rows


def read_control_regions(
    control_regions: Any, num_prompts: int, given: Collection[str], duration: float
) -> list[ControlRegions]:
    r"""
    Checks the parts of the time to which controls apply.

    Args:
        control_regions (`dict[str, list]` or `list[dict]`, *optional*):
            `{"melody": [(0.0, 8.0)]}`: where each control applies, in seconds; an end of `None` is the end of the music,
            and without any region the control is not used. Controls without an entry apply everywhere. One for all
            prompts, or a list with one (or `None`) per prompt.
        num_prompts (`int`): number of prompts.
        given (`Collection[str]`): the controls of the call.
        duration (`float`): duration of the music in seconds.

    Returns:
        `list[ControlRegions]`: the regions for each prompt.

    Raises:
        [`~inputs.InputError`]: for controls that are not given, and regions that are reversed, empty or outside the
            music.
    """

    def check(single: Any) -> ControlRegions:
        if single is None:
            return {}
        if not isinstance(single, dict):
            raise InputError(
                "`control_regions` has to be a dictionary such as {'melody': [(0.0, 8.0)]}, or a list of them, but is"
                f" {shorten(single)}.",
                "control_regions",
            )
        return {_check_name(name, given): _check_regions(name, regions, duration) for name, regions in single.items()}

    return check_per_prompt("control_regions", control_regions, num_prompts, check)


def region_masks(
    regions: Sequence[ControlRegions], num_frames: int, frame_rate: float, device: torch.device | str = "cpu"
) -> dict[str, torch.Tensor]:
    r"""
    Marks the frames to which controls apply, for [`JascoConditioning.mask`].

    Args:
        regions (`Sequence[ControlRegions]`): the regions for each prompt.
        num_frames (`int`): length of the music in frames.
        frame_rate (`float`): frames per second.
        device (`torch.device`, *optional*): device of the masks.

    Returns:
        `dict[str, torch.Tensor]`: masks of shape `(prompts, num_frames)` for the controls that are restricted. Frame i
            is in a region if i / `frame_rate` is.
    """
    times = torch.arange(num_frames, device=device) / frame_rate
    masks = {}
    for name in {name: None for single in regions for name in single}:
        rows = [single.get(name, [(0.0, num_frames / frame_rate)]) for single in regions]
        masks[name] = torch.zeros(len(rows), num_frames, dtype=torch.bool, device=device)
        for mask, row in zip(masks[name], rows):
            for start, end in row:
                mask |= (times >= start) & (times < end)
    return masks


def _check_name(name: Any, given: Collection[str]) -> str:
    if name not in CONTROLS:
        raise InputError(
            f"`control_regions` has to be for {', '.join(CONTROLS)}, but is for {shorten(name)}.", "control_regions"
        )
    if name not in given:
        raise InputError(f"`control_regions` is for {name}, but `{name}` was not given.", "control_regions")
    return name


def _check_regions(name: str, regions: Any, duration: float) -> list[tuple[float, float]]:
    if isinstance(regions, Sequence) and len(regions) == 2 and is_number(regions[0]):
        regions = [regions]
    if not isinstance(regions, Sequence) or isinstance(regions, str):
        raise InputError(
            f"`control_regions` for {name} has to be a list of (start, end) in seconds, but is {shorten(regions)}.",
            "control_regions",
        )
    checked = []
    for region in regions:
        if not isinstance(region, Sequence) or isinstance(region, str) or len(region) != 2:
            raise InputError(
                f"`control_regions` for {name} has to be a list of (start, end) in seconds, but contains"
                f" {shorten(region)}.",
                "control_regions",
            )
        start = to_float(region[0], "control_regions", unit="seconds")
        end = duration if region[1] is None else to_float(region[1], "control_regions", unit="seconds")
        if not 0 <= start < end or start >= duration:
            raise InputError(
                f"`control_regions` for {name} has to have regions that start before they end, within the music of"
                f" {duration:g} s, but one is from {start:g} to {end:g} s.",
                "control_regions",
            )
        checked.append((start, end))
    return checked
