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

"""The options of `jasco-generate` for recordings that are edited, continued, or varied."""

import argparse
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from ..audio.io import open_audio
from ..audio.paste import check_length, find_encoding, paste
from ..audio.regions import Regions, check_regions
from ..generation.batches import SOURCES
from ..pipelines.pipeline_jasco_audio2audio import EDIT_STRENGTH, VARIATION_STRENGTH
from ..utils.arguments import number
from ..utils.errors import InputError, shorten


KINDS = ("edit", "extend", "vary")
# Options that require one of others, and options that some kinds of edits refuse.
_REQUIRED = {"regions": ("edit", "extend"), "intro": ("extend",), "strength": ("vary",)} | dict.fromkeys(
    SOURCES, ("vary",)
)
_REFUSED = {
    "edit": ("duration", "loop", "rate", "loudness"),
    "extend": ("loop", "rate", "loudness"),
    "vary": ("loop", "latents"),
}


def add_edit_arguments(parser: argparse.ArgumentParser):
    group = parser.add_argument_group(
        "recordings (--edit and --extend write .wav or .flac at the recording's own rate, and leave its samples unchanged)"
    )
    add = group.add_argument
    add("--edit", metavar="FILE", help="recording of which --regions are regenerated")
    add("--regions", help="starts and ends of regions: '12-15,45-52' in seconds, or '1:02-1:10.5'")
    add("--extend", metavar="FILE", help="recording that is continued until --duration, and begins after --intro")
    add("--intro", type=number(above=0, unit="seconds"), help="seconds of new music before the recording of --extend")
    add("--vary", metavar="FILE", help="recording that is varied as a whole")
    add(
        "--strength",
        type=number(above=0, maximum=1),
        help=f"how much --vary changes, up to 1 (default: {VARIATION_STRENGTH:g}, or {EDIT_STRENGTH:g} with --source_*)",
    )
    for name in SOURCES:
        aspect = name.partition("_")[2]
        value = "words for" if aspect == "prompt" else f"{aspect} of"
        extract = "" if aspect == "prompt" else ", or 'extract'"
        add(f"--{name}", help=f"{value} the recording of --vary{extract}: with any of these, only differences change")


class Edit:
    r"""
    The recording of a command, if there is one. The constructor checks everything that can be checked without the
    checkpoint.

    Args:
        args (`argparse.Namespace`): the options of `jasco-generate`.
        paths (`Iterable[Path]`): the files to write.

    Raises:
        [`InputError`], `FileNotFoundError`: if options are invalid or incompatible.
    """

    def __init__(self, args: argparse.Namespace, paths: Iterable[Path]):
        self.args = args
        given = [kind for kind in KINDS if getattr(args, kind) is not None]
        if len(given) > 1:
            raise InputError(f"Give either `{given[0]}` or `{given[1]}`, not both.", given[0])
        for name, kinds in _REQUIRED.items():
            if getattr(args, name) is not None and not set(kinds) & set(given):
                raise InputError(f"`{name}` requires {' or '.join(f'`{kind}`' for kind in kinds)}.", name)
        self.kind = given[0] if given else None
        self.regions: Regions = []
        if self.kind is None:
            return
        for name in _REFUSED[self.kind]:
            if getattr(args, name) not in (None, False):
                hint = ": `extend` continues the recording" if name == "duration" else ""
                raise InputError(f"`{name}` can't be used with `{self.kind}`{hint}.", name)
        self.file = getattr(args, self.kind)
        source = open_audio(self.file, self.kind)
        self.end = (args.intro or 0.0) + source.frames / source.samplerate  # of the recording in the music, in seconds
        for path in paths:
            if path.exists() and path.samefile(self.file):
                raise InputError(f"`output` has to be another file than `{self.kind}`, but both are {path}.", "output")
        if self.kind == "vary":
            return
        find_encoding(args.output, source)
        if self.kind == "edit" and args.regions is None:
            raise InputError("`edit` requires `regions`, such as '12-15,45-52'.", "edit")
        if self.kind == "extend" and args.duration is None and args.intro is None:
            raise InputError("`extend` requires `duration`, the seconds of the whole piece, or `intro`.", "extend")
        if args.duration is not None:
            check_length(args.duration, self.end, bool(args.intro or args.regions))
        if args.regions is not None:
            self.regions = check_regions(parse_regions(args.regions), self.duration or self.end, "regions")

    @property
    def duration(self) -> float | None:
        """The duration of the music in seconds, or `None` for that of the checkpoint."""
        return self.args.duration or (None if self.kind is None else self.end)

    def adapt(self, pipe: Any) -> Any:
        """The pipeline that edits the recording: shares the components of `pipe`, or is `pipe` itself."""
        from .. import JascoAudioToAudioPipeline, JascoInpaintPipeline

        if self.kind is None:
            return pipe
        return (JascoAudioToAudioPipeline if self.kind == "vary" else JascoInpaintPipeline).from_pipe(pipe)

    def for_pipeline(self) -> dict[str, Any]:
        """The arguments of that pipeline, except those that all pipelines have."""
        args = self.args
        if self.kind is None:
            return {}
        if self.kind == "vary":
            return {"audio": self.file, "strength": args.strength} | {name: getattr(args, name) for name in SOURCES}
        starts, ends = ([region[index] for region in self.regions] or None for index in (0, 1))
        return {
            "audio": self.file,
            "mask_start_seconds": starts,
            "mask_end_seconds": ends,
            "audio_start_seconds": args.intro or 0.0,
        }

    @property
    def keeps_samples(self) -> bool:
        """Whether the output has the samples of the recording."""
        return self.kind in ("edit", "extend")

    def write(self, audio: torch.Tensor, sampling_rate: int, path: Path, metadata: dict[str, Any] | None):
        """Writes the recording with new music in it."""
        paste(self.file, audio, sampling_rate, self.regions, path, self.args.intro or 0.0, metadata)


def parse_regions(text: str) -> Regions:
    r"""
    Parses regions.

    Args:
        text (`str`): regions such as `"12-15, 45.5-52"` (seconds) or `"1:02-1:10"` (minutes and seconds).

    Returns:
        `list[tuple[float, float]]`: start and end of each region in seconds.

    Raises:
        [`InputError`]: for other texts.
    """
    regions = []
    for part in text.split(","):
        times = [_parse_time(time) for time in re.split(r"[-–]", part)]
        if len(times) != 2 or not all(map(math.isfinite, times)):
            raise InputError(
                f"`regions` has to be starts and ends such as '12-15,45-52' or '1:02-1:10', but is {shorten(text)}.",
                "regions",
            )
        regions.append((times[0], times[1]))
    return regions


def _parse_time(text: str) -> float:
    """Seconds, or minutes and seconds, or hours, minutes and seconds; NaN for other texts."""
    time = re.fullmatch(r"\s*(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)\s*", text)
    if time is None:
        return math.nan
    # `int` would have limits, whereas `float` gives infinity for too many digits.
    return 3600 * float(time[1] or 0) + 60 * float(time[2] or 0) + float(time[3])
