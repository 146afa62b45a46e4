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

"""Prompts that change during a piece."""

import math
from collections.abc import Sequence
from typing import Any

from diffusers.utils import logging

from ..utils.errors import InputError, shorten
from ..utils.numbers import is_number, to_float


logger = logging.get_logger(__name__)

# Texts with their starts in seconds; the first one starts at 0.
PromptTimeline = tuple[tuple[str | None, float], ...]


def is_timeline(prompt: Any) -> bool:
    """Whether a prompt is a list of pairs of a text (or `None`) and a number."""
    return _is_sequence(prompt) and len(prompt) > 0 and all(map(_is_section, prompt))


def _is_section(item: Any) -> bool:
    return (
        _is_sequence(item) and len(item) == 2 and (item[0] is None or isinstance(item[0], str)) and is_number(item[1])
    )


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))


def check_timeline(prompt: Sequence[Sequence[Any]], name: str, position: int | None = None) -> PromptTimeline:
    r"""
    Args:
        prompt (`Sequence`): a prompt for which [`is_timeline`] is true.
        name (`str`): name of the prompt in messages.
        position (`int`, *optional*): number of the piece.

    Raises:
        [`~inputs.InputError`]: unless the starts are finite and increase from 0.
    """
    starts = []
    for text, start in prompt:
        try:
            starts.append(to_float(start, name))
        except InputError:
            raise InputError(
                f"`{name}` has to have finite starts in seconds, but {shorten(text)} begins at {start}.",
                "prompt",
                position,
            ) from None
    if starts[0] != 0:
        raise InputError(
            f"`{name}` has to begin at 0 seconds, but {shorten(prompt[0])} begins at {starts[0]:g}.",
            "prompt",
            position,
        )
    for (text, _), before, after in zip(prompt[1:], starts, starts[1:]):
        if after <= before:
            raise InputError(
                f"`{name}` has to have increasing starts, but {shorten(text)} begins at {after:g} s, after {before:g} s.",
                "prompt",
                position,
            )
    return tuple((text, start) for (text, _), start in zip(prompt, starts))


def opening(prompt: str | PromptTimeline | None) -> str | None:
    """The text with which a piece begins."""
    return prompt[0][0] if isinstance(prompt, tuple) else prompt


def split_sections(
    prompts: Sequence[str | PromptTimeline | None], num_frames: int, frame_rate: float
) -> list[tuple[int, list[str | None]]]:
    r"""
    Divides a batch into sections in which the text of no piece changes. Warns of texts that begin after the end.

    Args:
        prompts (`Sequence`): the prompt of each piece.
        num_frames (`int`), frame_rate (`float`): the length in frames, and frames per second.

    Returns:
        `list`: the first frame of each section, and the text of each piece. A frame has the last text that starts at or
        before its time.
    """
    # Tolerance for float products such as 0.28 * 50 = 14.000000000000002.
    timelines = [
        [(text, math.ceil(start * frame_rate - 1e-6)) for text, start in prompt]
        if isinstance(prompt, tuple)
        else [(prompt, 0)]
        for prompt in prompts
    ]
    for timeline in timelines:
        for text, first in timeline:
            if first >= num_frames:
                logger.warning(
                    f"The section {shorten(text)} of the prompt begins at {first / frame_rate:g} s, after the end of the"
                    f" music at {num_frames / frame_rate:g} s: it is not used."
                )
    borders = sorted({first for timeline in timelines for _, first in timeline if first < num_frames})
    return [
        (border, [next(text for text, first in reversed(timeline) if first <= border) for timeline in timelines])
        for border in borders
    ]
