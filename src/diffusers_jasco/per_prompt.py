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

"""One control for all prompts, or a list with one per prompt."""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from diffusers.utils import logging

from .audio.waveforms import is_waveform
from .controls import CONTROLS
from .controls.beats import Tempo
from .controls.chords import Chords, is_in_bars
from .controls.forms import is_chord_item, is_empty, is_note_item, to_list
from .inputs import (
    is_audio_file,
    is_beats,
    is_chord_progression,
    is_drums,
    is_file,
    is_melody,
    open_groove,
    read_chords,
    warn_empty,
)
from .utils.errors import InputError, shorten
from .utils.numbers import is_number, to_float


logger = logging.get_logger(__name__)

T = TypeVar("T")

_IS_SINGLE = dict(zip(CONTROLS, (is_chord_progression, is_drums, is_melody, is_beats), strict=True))
_IS_ELEMENT = {"chords": is_chord_item, "melody": is_note_item}
_FORMS = dict(
    zip(
        CONTROLS,
        (
            "a list of chords, [('C', 0.0), ('Am', 2.5)] (each with its start in seconds), a string such as 'C:0 Am:2.5',"
            " or a file",
            "a file, or a waveform with its rate, (waveform, sampling_rate)",
            "a list of notes, [('C4', 0.0, 0.5)] (each with its start and end in seconds), a matrix (53, frames), a recording"
            " (waveform, sampling_rate), or a file",
            "a list of times in seconds, [0.0, 0.5, 1.0], the tuple (beats, downbeats), a recording (waveform, sampling_rate),"
            " or its file",
        ),
        strict=True,
    )
)


def is_given(control: Any) -> bool:
    """Whether any prompt has a control that is neither `None` nor empty."""
    control = to_list(control)
    if control is None or is_empty(control):
        return False
    return not isinstance(control, (list, tuple)) or any(item is not None and not is_empty(item) for item in control)


def check_starts(start: Any, num_prompts: int, controls: Sequence[Any] = ()) -> list[float]:
    r"""
    Checks the offsets into files and recordings at which the music begins.

    Args:
        start (`float` or `list[float]`): offset in seconds, for all prompts or one per prompt.
        num_prompts (`int`): number of prompts.
        controls (`Sequence`, *optional*): the controls; if `start` applies to none of them, there is a warning.

    Returns:
        `list[float]`: one offset per prompt.

    Raises:
        [`InputError`]: for negative and other invalid values, and for a list of the wrong length.
    """
    starts = check_per_prompt(
        "start", start, num_prompts, lambda value: to_float(value, "start", minimum=0, unit="seconds")
    )
    if any(starts) and not any(_comes_from_file(control) for control in controls if is_given(control)):
        logger.warning(
            "`start` has no effect: it applies only to files and recordings, but no control is one of these."
        )
    return starts


def _comes_from_file(control: Any) -> bool:
    if is_file(control):
        # The first of bars in a file is always at the beginning of the music.
        return os.path.splitext(control)[1].lower() != ".txt" or not is_in_bars(control)
    if is_waveform(control) or (isinstance(control, dict) and "array" in control):
        return True
    return isinstance(control, (list, tuple)) and any(_comes_from_file(item) for item in control if item is not None)


def check_per_prompt(name: str, value: Any, num_prompts: int, check: Callable[[Any], T]) -> list[T]:
    r"""
    Checks a setting that may differ between prompts.

    Args:
        name (`str`): name of the argument.
        value: one for all prompts, or a list with one per prompt.
        num_prompts (`int`): number of prompts.
        check (`Callable`): returns the value for one prompt; raises an [`InputError`] if it is invalid.

    Returns:
        `list` of length `num_prompts`.

    Raises:
        [`InputError`]: for a list of the wrong length, and from `check`, with the index of the prompt.
    """
    if not isinstance(value, (list, tuple, np.ndarray, torch.Tensor)) or is_number(value):
        return [check(value)] * num_prompts
    if len(value) != num_prompts:
        raise InputError(
            f"`{name}` has {len(value)} elements for {num_prompts} prompt(s). Give one value for all prompts, or a list"
            " with one per prompt.",
            name,
        )
    checked = []
    for index, single in enumerate(value):
        try:
            checked.append(check(single))
        except InputError as error:
            raise error.for_prompt(index) if num_prompts > 1 else error
    return checked


def split_per_prompt(name: str, control: Any, num_prompts: int) -> list[Any]:
    r"""
    Returns the control of each prompt in the form in which it is given.

    Args:
        name (`str`): the control, one of [`~controls.CONTROLS`].
        control: one for all prompts, or a list with one (or `None`) per prompt.
        num_prompts (`int`): number of prompts.

    Returns:
        `list` of length `num_prompts`, with `None` for prompts without the control.

    Raises:
        [`InputError`]: for a list of the wrong length.
    """
    control = to_list(control)
    if control is None or is_empty(control):
        return [None] * num_prompts
    if not isinstance(control, (list, tuple)) or _IS_SINGLE[name](control):
        return [control] * num_prompts
    _check_elements(name, control, num_prompts)
    return [None if value is None or is_empty(value) else value for value in control]


def open_grooves(drums: Any) -> Any:
    r"""
    Reads the files of grooves, whose tempo is that of the music, before anything depends on it.

    Args:
        drums: one for all prompts, or a list with one (or `None`) per prompt.

    Returns:
        `drums`, with grooves instead of their files.

    Raises:
        [`InputError`], `FileNotFoundError`: as [`~inputs.open_groove`], with the index of the prompt.
    """
    if not isinstance(drums, (list, tuple)) or is_drums(drums):
        return open_groove(drums)
    opened = []
    for index, single in enumerate(drums):
        try:
            opened.append(open_groove(single))
        except InputError as error:
            raise error.for_prompt(index) from error
    return opened


def encode_per_prompt(
    name: str,
    control: Any,
    num_prompts: int,
    encode: Callable[..., T | None],
    starts: Sequence[float],
    **options: Sequence[Any],
) -> list[T | None]:
    r"""
    Encodes the control of each prompt, but only once if all prompts share it.

    Args:
        name (`str`): the control, one of [`~controls.CONTROLS`].
        control: one for all prompts, or a list with one (or `None`) per prompt.
        num_prompts (`int`): number of prompts.
        encode (`Callable`): encodes one control, called as `encode(control, start=, **options)`.
        starts (`Sequence[float]`): the result of [`check_starts`].
        options: further arguments of `encode`, each a sequence with one hashable value per prompt.

    Returns:
        `list` of length `num_prompts`: the encoded controls, or `None` for prompts without the control.

    Raises:
        [`InputError`]: for a list of the wrong length, and from `encode`, with the index of the prompt.
    """
    control = to_list(control)
    if control is None:
        return [None] * num_prompts
    if is_empty(control):
        warn_empty(name)
        return [None] * num_prompts
    # The arguments of `encode` for each prompt.
    columns = {"start": starts, **options}
    settings = [tuple(zip(columns, row)) for row in zip(*columns.values())]
    # Anything else is passed on to the encoder, whose error message is more specific.
    if not isinstance(control, (list, tuple)) or _IS_SINGLE[name](control):
        encoded_with = {key: encode(control, **dict(key)) for key in dict.fromkeys(settings)}
        return [encoded_with[key] for key in settings]
    _check_elements(name, control, num_prompts)
    encoded: list[T | None] = []
    # A file that several prompts share is read, and warned about, only once.
    files: dict[tuple[str | bytes, tuple], T | None] = {}
    for index, (value, setting) in enumerate(zip(control, settings)):
        try:
            if isinstance(value, (str, os.PathLike)):
                key = os.fspath(value), setting
                if key not in files:
                    files[key] = encode(value, **dict(setting))
                encoded.append(files[key])
            else:
                encoded.append(None if value is None else encode(value, **dict(setting)))
        except InputError as error:
            raise error.for_prompt(index) from error
    return encoded


def _check_elements(name: str, control: Sequence[Any], num_prompts: int):
    """Raises an [`InputError`] for a list that does not contain one control per prompt."""
    if name in _IS_ELEMENT and _IS_ELEMENT[name](control):
        raise InputError(
            f"`{name}` has to be {_FORMS[name]}, but is one element of such a list: {shorten(control)}. Put it in a list.",
            name,
        )
    fits = len(control) == num_prompts
    # The encoder's own message about a text or a number instead of a control is more specific.
    odd = next(
        (
            index
            for index, value in enumerate(control)
            if not _looks_like_control(name, value) and (not fits or isinstance(value, (list, tuple)))
        ),
        None,
    )
    if fits and odd is None:
        return
    if odd is not None:
        raise InputError(
            f"`{name}` has to be {_FORMS[name]}, or a list with one of these (or `None`) per prompt, but position {odd} is"
            f" {shorten(control[odd])}.",
            name,
            odd,
        )
    hint = (
        " To give the beats and the downbeats of a prompt, use a tuple, `(beats, downbeats)`."
        if name == "beats"
        else ""
    )
    raise InputError(
        f"`{name}` has {len(control)} elements for {num_prompts} prompt(s). Give one for all prompts, or a list with one"
        f" (or `None`) per prompt.{hint}",
        name,
    )


def _looks_like_control(name: str, value: Any) -> bool:
    value = to_list(value)
    if value is None or is_empty(value):
        return True
    if name == "chords" and isinstance(value, str) and not is_file(value):
        return any(mark in value for mark in ":(|./\\")  # A string with starts or bars, or a path; not a single label.
    if name == "beats" and isinstance(value, str):
        return is_audio_file(value)
    return _IS_SINGLE[name](value)


def place_chords(
    chords: Sequence[Chords | str | None], tempos: Sequence[Tempo | None], labels: Sequence[str], duration: float
) -> list[Chords | None]:
    r"""
    Places chords in bars on the timeline, at the tempo of each prompt.

    Args:
        chords (`Sequence`): for each prompt, the result of [`~inputs.read_chords_or_bars`] or `None`.
        tempos (`Sequence[Tempo | None]`): the tempo for each prompt.
        labels (`Sequence[str]`), duration (`float`): as in [`~inputs.read_chords`].

    Returns:
        `list`: for each prompt, `(label, start in seconds)`, or `None`.

    Raises:
        [`InputError`]: for invalid chords, and for chords in bars without a tempo.
    """
    placed: list[Chords | None] = []
    # Bars that prompts share are read, and warned about, only once for each tempo.
    read: dict[tuple[str, Tempo | None], Chords] = {}
    for index, (single, tempo) in enumerate(zip(chords, tempos)):
        if isinstance(single, str):
            key = single, tempo
            try:
                if key not in read:
                    read[key] = read_chords(single, labels, duration, **({} if tempo is None else tempo._asdict()))
            except InputError as error:
                raise error.for_prompt(index) if len(chords) > 1 else error
            single = read[key]
        placed.append(single)
    return placed
