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

"""Metadata that `jasco-generate` writes into audio files, and reads with `--from` to regenerate the music."""

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers.utils import logging

from ..audio.metadata import read_metadata
from ..controls import CONTROLS
from ..controls.beats import Tempo
from ..controls.midi import split_track
from ..generation.batches import SOURCES
from ..generation.requests import control_from_json
from ..pipelines.prompt_timeline import is_timeline
from ..utils.arguments import CommandParser
from ..utils.errors import InputError, list_names, shorten
from ..utils.files import hash_file
from .edit_arguments import KINDS


logger = logging.get_logger(__name__)

# Options that do not change the music.
NOT_RECORDED = {"help", "output", "device", "source", "no_metadata", "save_lead_sheet"}
# Options with files whose content is compared when music is regenerated.
FILES = (*CONTROLS, "groove", "lead_sheet", "latents", *KINDS, *SOURCES[1:])
# Metadata entries that are not options: package version, model hash, waveform index, file hashes, the chosen tempo, and
# the clip name that `scripts/generate_jasco.py` adds.
_NOT_OPTIONS = {"diffusers-jasco", "model", "waveform", "files", "tempo", "name"}
# Option on the command line → other recorded options that it overrides.
_OVERRIDES = {
    "chords": {"progression", "key", "repeat_chords"},
    "progression": {"chords", "key", "repeat_chords"},
    "drums": {"groove", "separate_drums"},
    "melody": {"melody_method"},
    "groove": {"drums", "separate_drums"},
    "lead_sheet": {"tune", "part", "transpose", "beats", "suggest"},
    "suggest": {"lead_sheet", "tune", "part", "transpose", "save_lead_sheet", "beats"},
    "bpm": {"beats"},
    "beats": {"bpm", "suggest"},
    "seed": {"latents"},
    "checkpoint": {"text_encoder", "codec", "lora", "variant"},
    "num_waveforms": {"waveform"},
    "edit": {"extend", "vary", "intro", "strength", "duration", "loop", "rate", "loudness", *SOURCES},
    "extend": {"edit", "vary", "regions", "intro", "strength", "duration", "loop", "rate", "loudness", *SOURCES},
    "vary": {"edit", "extend", "regions", "intro", "duration", "loop", "latents"},
}


def describe(args: argparse.Namespace, model: str, tempo: Tempo | None = None) -> dict[str, Any]:
    r"""
    Describes how music is generated.

    Args:
        args (`argparse.Namespace`): the options.
        model (`str`): hash of the model.
        tempo ([`~controls.beats.Tempo`], *optional*): the tempo of the music.

    Returns:
        `dict`: metadata with everything that is needed to regenerate the music.
    """
    options = {
        name: value for name, value in vars(args).items() if name not in NOT_RECORDED | {"waveform", "recorded"}
    }
    options = {name: value for name, value in options.items() if value is not None}
    files = {name: hash_file(path) for name in FILES if (path := _find_file(options.get(name)))}
    extra = {"files": files} if files else {}
    return options | {"model": model} | extra | ({} if tempo is None else {"tempo": tempo._asdict()})


def _find_file(value: Any) -> str | None:
    """The existing file that an option names, possibly with a track (`"song.mid#vocals"`), otherwise `None`."""
    path = split_track(value)[0] if isinstance(value, str) else ""
    return path if os.path.isfile(path) else None


def parse_with_source(parser: CommandParser, argv: Sequence[str] | None) -> argparse.Namespace:
    r"""
    Parses the options of a command. Omitted options are taken from the metadata of the file that `--from` names.

    Args:
        parser (`CommandParser`): a parser with the option `--from`, stored as `source`.
        argv (`Sequence[str]`, *optional*): the command's arguments.

    Returns:
        `argparse.Namespace`:
            The options, and two additional attributes: `waveform`, which is `(index, count)` if the file is one of
            several waveforms, otherwise `None`; and `recorded`, the file's metadata, or `None` without `--from`.

    Raises:
        [`InputError`], `FileNotFoundError`: if the file does not exist or has no metadata of this package.
    """
    args = parser.parse_args(argv)
    args.waveform = args.recorded = None
    if args.source is None:
        return args
    recorded = _read(args.source)
    explicit = _parse_without_defaults(parser, argv)
    overridden = set(explicit).union(*(_OVERRIDES.get(name, ()) for name in explicit))
    actions = {action.dest: action for action in parser._actions if action.dest not in NOT_RECORDED}
    inherited = {name: value for name, value in recorded.items() if name in actions and name not in overridden}
    if unknown := sorted(set(recorded) - set(actions) - _NOT_OPTIONS):
        logger.warning(f"Ignored entries of {args.source} that are not options: {list_names(unknown)}.")

    # The parser also validates recorded values, except for lists (chords, notes, and prompt timelines).
    lists = {
        name: value for name, value in inherited.items() if name in (*CONTROLS, *SOURCES) and isinstance(value, list)
    }
    lists |= {name: value for name, value in inherited.items() if name == "prompt" and is_timeline(value)}
    tokens: list[str] = []
    # Positional arguments come last, after "--".
    for name, value in sorted(inherited.items(), key=lambda item: not actions[item[0]].option_strings):
        if name not in lists and value is not None:
            tokens += _to_tokens(actions[name], value, args.source)
    parser.context = f"{args.source}: "
    args = parser.parse_args(tokens)
    parser.context = ""
    for name, value in lists.items():
        setattr(args, name, control_from_json(name, value))
    for name, value in explicit.items():
        setattr(args, name, value)
    args.waveform = None if "waveform" in overridden else _waveform(recorded.get("waveform"), args.num_waveforms)
    args.recorded = {name: value for name, value in recorded.items() if name not in overridden}
    _find_moved_files(args)
    if overridden & {"checkpoint", "lora", "dtype", "scheduler", "codec", "text_encoder", "variant"}:
        args.recorded.pop("model", None)
    return args


def _find_moved_files(args: argparse.Namespace):
    """Looks for missing files in the audio file's folder. [`warn_of_differences`] compares their content later."""
    files = args.recorded.get("files")
    for name in files if isinstance(files, dict) else ():
        value = getattr(args, name, None) if name in FILES and name in args.recorded else None
        if not isinstance(value, str) or _find_file(value) is not None:
            continue
        path = split_track(value)[0]
        beside = os.path.join(os.path.dirname(args.source), re.split(r"[/\\]", path)[-1])
        if not os.path.isfile(beside):
            raise InputError(
                f"`{name}`: {args.source} was generated with the file {path}, which does not exist. Put it into the"
                f" same folder as {args.source}, or set the option.",
                name,
            )
        setattr(args, name, beside + value[len(path) :])


def _read(path: str) -> dict[str, Any]:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"`source`: the file {path} does not exist.")
    try:
        recorded = read_metadata(path)
    except InputError as error:
        raise error.renamed("source") from error
    if recorded is None:
        raise InputError(
            f"`source`: {path} has no metadata of this package, so its music can't be regenerated.", "source"
        )
    return recorded


def _parse_without_defaults(parser: CommandParser, argv: Sequence[str] | None) -> dict[str, Any]:
    """The options that are set on the command line, without defaults."""
    defaults = {action: action.default for action in parser._actions}
    try:
        for action in parser._actions:
            action.default = argparse.SUPPRESS
        return vars(parser.parse_args(argv))
    finally:
        for action, default in defaults.items():
            action.default = default


def _to_tokens(action: argparse.Action, value: Any, source: str) -> list[str]:
    """Converts a recorded value to command-line arguments."""
    if isinstance(action, argparse.BooleanOptionalAction):
        if isinstance(value, bool):
            return [action.option_strings[0 if value else 1]]
    elif isinstance(action, argparse._StoreTrueAction):
        if isinstance(value, bool):
            return [action.option_strings[0]] if value else []
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return [f"{action.option_strings[0]}={value}"] if action.option_strings else ["--", str(value)]
    raise InputError(
        f"{source} has an invalid value for `{action.dest}`: {shorten(value)}. Set the option.", action.dest
    )


def _waveform(value: Any, count: int) -> tuple[int, int] | None:
    if not isinstance(value, list) or len(value) != 2 or any(type(item) is not int for item in value):
        return None
    return (value[0], value[1]) if 1 <= value[0] <= value[1] == count > 1 else None


def warn_of_differences(args: argparse.Namespace, model: str):
    """Warns if the music of `--from` was generated with another model or other files."""
    recorded = args.recorded or {}
    if recorded.get("model") not in (None, model):
        logger.warning(
            f"{args.source} was generated with another model than {Path(args.checkpoint).name}: the music will differ."
        )
    files = recorded.get("files")
    for name, digest in files.items() if isinstance(files, dict) else ():
        path = _find_file(getattr(args, name, None)) if name in FILES and name in recorded else None
        if path and hash_file(path) != digest:
            logger.warning(f"{path} is not the file that {args.source} was generated with: the music will differ.")
