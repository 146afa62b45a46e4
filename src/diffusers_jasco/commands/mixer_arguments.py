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

"""The options of `jasco-generate` for the strength of controls, the choice of a take, and the levels of stems."""

import argparse
import re
from collections.abc import Collection
from typing import Any

import torch

from ..utils.arguments import integer, number
from ..utils.errors import InputError, shorten
from .edit_arguments import parse_regions


def add_mixer_arguments(parser: argparse.ArgumentParser):
    group = parser.add_argument_group("mixer")
    add = group.add_argument
    add("--control_scales", help="how strictly controls are followed, such as 'chords=1.5,melody=0.5' (default: 1)")
    add(
        "--control_regions", help="where controls apply, such as 'melody=0-8,12-20 chords=4-end' (default: everywhere)"
    )
    add(
        "--best_of",
        type=integer(1),
        default=1,
        help="number of takes, of which the one that follows its controls best is written (default: 1)",
    )
    add("--drums_gain", type=number(-60, 60, unit="dB"), default=0.0, help="gain of the drums in dB (default: 0)")
    add("--rest_gain", type=number(-60, 60, unit="dB"), default=0.0, help="gain of everything else in dB (default: 0)")


def parse_scales(text: str | None) -> dict[str, float] | None:
    r"""
    Parses `--control_scales`.

    Args:
        text (`str`, *optional*): scales such as `"chords=1.5,melody=0.5"`.

    Returns:
        `dict[str, float]`, which [`JascoPipeline`] checks, or `None` without a text.

    Raises:
        [`InputError`]: for other texts.
    """
    if text is None:
        return None
    scales: dict[str, float] = {}
    # Spaces are allowed around "=", and instead of commas.
    for part in re.split(r",|(?<=\w)\s+(?=\w+\s*=)", text):
        name, separator, value = (item.strip() for item in part.partition("="))
        try:
            number = float(value)
        except ValueError:
            separator = ""
        if not separator:
            raise InputError(
                f"`control_scales` has to be scales such as 'chords=1.5,melody=0.5', but is {shorten(text)}.",
                "control_scales",
            )
        scales[_check_new(name, scales, "control_scales")] = number
    return scales


def parse_control_regions(text: str | None) -> dict[str, list[tuple[float, float | None]]] | None:
    r"""
    Parses `--control_regions`.

    Args:
        text (`str`, *optional*): regions such as `"melody=0-8,12-20 chords=4-end"`, in seconds or as in
            [`parse_regions`].

    Returns:
        `dict[str, list]`, which [`JascoPipeline`] checks, or `None` without a text.

    Raises:
        [`InputError`]: for other texts.
    """
    if text is None:
        return None
    regions: dict[str, list[tuple[float, float | None]]] = {}
    for part in text.split():
        name, separator, value = part.partition("=")
        try:
            pairs = [_parse_region(item) for item in value.split(",")]
        except InputError:
            separator = ""
        if not separator:
            raise InputError(
                f"`control_regions` has to be regions such as 'melody=0-8,12-20 chords=4-end', but is {shorten(text)}.",
                "control_regions",
            )
        regions[_check_new(name, regions, "control_regions")] = pairs
    return regions


def _parse_region(text: str) -> tuple[float, float | None]:
    start = text.removesuffix("-end")
    ((first, last),) = parse_regions(text if start == text else f"{start}-0")
    return first, last if start == text else None


def _check_new(name: str, names: Collection[str], argument: str) -> str:
    if name in names:
        raise InputError(f"`{argument}` has {name} twice.", argument)
    return name


class Mixer:
    r"""
    The options of the mixer. The constructor checks what can be checked without the checkpoint.

    Args:
        args (`argparse.Namespace`): the options of `jasco-generate`.

    Raises:
        [`InputError`]: for invalid and incompatible options.
    """

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.arguments = {
            "control_scales": parse_scales(args.control_scales),
            "control_regions": parse_control_regions(args.control_regions),
        }
        kind = next((name for name in ("edit", "extend", "vary") if getattr(args, name) is not None), None)
        if args.best_of > 1:
            others = {
                "num_waveforms": args.num_waveforms > 1,
                "latents": args.latents is not None,
                kind: kind is not None,
            }
            for name, is_given in others.items():
                if is_given:
                    raise InputError(f"`best_of` can't be used with `{name}`.", "best_of")
        if (args.drums_gain or args.rest_gain) and kind in ("edit", "extend"):
            name = "drums_gain" if args.drums_gain else "rest_gain"
            raise InputError(f"`{name}` can't be used with `{kind}`, which keeps the samples of the recording.", name)

    def generate(self, pipe: Any, **kwargs: Any) -> tuple[torch.Tensor, list[Any], list[Any]]:
        """Returns the audio `(waveforms, channels, samples)`, the tempos, and the scores of the takes, if there are several."""
        if self.args.best_of == 1:
            generator = torch.Generator().manual_seed(self.args.seed)
            result = pipe(**kwargs, **self.arguments, generator=generator)
            return result.audios, result.tempos, []
        from ..evaluation import best_of

        generator = torch.Generator().manual_seed(self.args.seed)
        for name in ("num_waveforms_per_prompt", "latents"):
            kwargs.pop(name)
        audio, takes = best_of(pipe, self.args.best_of, generator=generator, **kwargs, **self.arguments)
        return audio[None], [takes[0].tempo], takes

    def mix(self, audio: torch.Tensor, sampling_rate: int) -> torch.Tensor:
        """Changes the levels of the stems of a piece `(channels, samples)`."""
        if not (self.args.drums_gain or self.args.rest_gain):
            return audio
        from ..extraction import change_stem_levels

        return change_stem_levels(audio, sampling_rate, self.args.drums_gain, self.args.rest_gain)
