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

"""The recipe of a piece: metadata that `jasco-generate` writes into the file, and reads again with `--from`."""

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers.utils import logging

from ..audio.metadata import read_metadata
from ..controls import CONTROLS
from ..controls.midi import split_track
from ..utils.arguments import CommandParser
from ..utils.errors import InputError, list_names, shorten
from ..utils.files import hash_file


logger = logging.get_logger(__name__)

# Options that do not change the music.
NOT_RECORDED = {"help", "output", "device", "source", "no_metadata"}
# Files whose content is compared when music is made again.
FILES = (*CONTROLS, "latents")
# Entries that are not options: the mark and version, the hash of the model, which waveform it is, hashes of files, and what
# `scripts/generate_jasco.py` adds.
_ABOUT = {"diffusers-jasco", "model", "waveform", "files", "name"}
# An option that is given replaces others of the file, too.
_REPLACES = {
    "chords": {"progression", "key", "repeat_chords"},
    "progression": {"chords", "key", "repeat_chords"},
    "drums": {"groove", "separate_drums"},
    "groove": {"drums", "separate_drums"},
    "seed": {"latents"},
    "checkpoint": {"text_encoder", "codec", "lora", "variant"},
    "num_waveforms": {"waveform"},
}


def describe(args: argparse.Namespace, model: str) -> dict[str, Any]:
    r"""
    Args:
        args (`argparse.Namespace`): the options.
        model (`str`): hash of the model.

    Returns:
        `dict`: what it takes to make the music again.
    """
    options = {
        name: value for name, value in vars(args).items() if name not in NOT_RECORDED | {"waveform", "recorded"}
    }
    given = {name: value for name, value in options.items() if value is not None}
    files = {name: hash_file(path) for name in FILES if (path := _find_file(given.get(name)))}
    return given | {"model": model} | ({"files": files} if files else {})


def _find_file(value: Any) -> str | None:
    """The file that an option names, also with a track (`"song.mid#vocals"`), or `None` for texts."""
    path = split_track(value)[0] if isinstance(value, str) else ""
    return path if os.path.isfile(path) else None


def parse_with_source(parser: CommandParser, argv: Sequence[str] | None) -> argparse.Namespace:
    r"""
    Parses the options of a command; those of the file that `--from` names are used where none are given.

    Args:
        parser (`CommandParser`): it has `--from` as `source`.
        argv (`Sequence[str]`, *optional*): the command's arguments.

    Returns:
        `argparse.Namespace`: the options; `waveform`: `(index, number)` if the file is one of several waveforms, else `None`;
        `recorded`: the file's metadata, else `None`.

    Raises:
        [`InputError`], `FileNotFoundError`: for a file without metadata of this package.
    """
    args = parser.parse_args(argv)
    args.waveform = args.recorded = None
    if args.source is None:
        return args
    recorded = _read(args.source)
    given = _given(parser, argv)
    replaced = set(given).union(*(_REPLACES.get(name, ()) for name in given))
    actions = {action.dest: action for action in parser._actions if action.dest not in NOT_RECORDED}
    wanted = {name: value for name, value in recorded.items() if name in actions and name not in replaced}
    if unknown := sorted(set(recorded) - set(actions) - _ABOUT):
        logger.warning(f"{args.source} has entries that are not options, and are not used: {list_names(unknown)}.")

    # Values go through the parser, like those that are typed; lists are chords and notes.
    lists = {name: value for name, value in wanted.items() if name in CONTROLS and isinstance(value, list)}
    words: list[str] = []
    # Positional ones come last, after "--".
    for name, value in sorted(wanted.items(), key=lambda item: not actions[item[0]].option_strings):
        if name not in lists and value is not None:
            words += _to_words(actions[name], value, args.source)
    parser.context = f"{args.source}: "
    args = parser.parse_args(words)
    parser.context = ""
    for name, value in lists.items():
        setattr(args, name, [tuple(item) if isinstance(item, list) else item for item in value])
    for name, value in given.items():
        setattr(args, name, value)
    args.waveform = None if "waveform" in replaced else _waveform(recorded.get("waveform"), args.num_waveforms)
    args.recorded = {name: value for name, value in recorded.items() if name not in replaced}
    _find_moved_files(args)
    if replaced & {"checkpoint", "lora", "dtype", "scheduler", "codec", "text_encoder", "variant"}:
        args.recorded.pop("model", None)
    return args


def _find_moved_files(args: argparse.Namespace):
    """Files that are not where they were may have moved together with the music; [`warn_of_differences`] compares them."""
    files = args.recorded.get("files")
    for name in files if isinstance(files, dict) else ():
        value = getattr(args, name, None) if name in FILES and name in args.recorded else None
        if not isinstance(value, str) or _find_file(value) is not None:
            continue
        path = split_track(value)[0]
        beside = os.path.join(os.path.dirname(args.source), re.split(r"[/\\]", path)[-1])
        if not os.path.isfile(beside):
            raise InputError(
                f"`{name}`: {args.source} was made with the file {path}, which is not there. Put it beside {args.source}, or give"
                " it again.",
                name,
            )
        setattr(args, name, beside + value[len(path) :])


def _read(path: str) -> dict[str, Any]:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"`source`: there is no file {path}.")
    try:
        recorded = read_metadata(path)
    except InputError as error:
        raise error.renamed("source") from error
    if recorded is None:
        raise InputError(
            f"`source`: {path} does not say how it was made: it has no metadata of this package.", "source"
        )
    return recorded


def _given(parser: CommandParser, argv: Sequence[str] | None) -> dict[str, Any]:
    """The options that were typed, without defaults."""
    defaults = {action: action.default for action in parser._actions}
    try:
        for action in parser._actions:
            action.default = argparse.SUPPRESS
        return vars(parser.parse_args(argv))
    finally:
        for action, default in defaults.items():
            action.default = default


def _to_words(action: argparse.Action, value: Any, source: str) -> list[str]:
    """A value of a file as it would be typed."""
    if isinstance(action, argparse.BooleanOptionalAction):
        if isinstance(value, bool):
            return [action.option_strings[0 if value else 1]]
    elif isinstance(action, argparse._StoreTrueAction):
        if isinstance(value, bool):
            return [action.option_strings[0]] if value else []
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return [f"{action.option_strings[0]}={value}"] if action.option_strings else ["--", str(value)]
    raise InputError(f"{source} does not hold `{action.dest}`, but {shorten(value)}: give it again.", action.dest)


def _waveform(value: Any, count: int) -> tuple[int, int] | None:
    if not isinstance(value, list) or len(value) != 2 or any(type(item) is not int for item in value):
        return None
    return (value[0], value[1]) if 1 <= value[0] <= value[1] == count > 1 else None


def warn_of_differences(args: argparse.Namespace, model: str):
    """Warns where the music of `--from` was made by another model or from other files."""
    recorded = args.recorded or {}
    if recorded.get("model") not in (None, model):
        logger.warning(
            f"{args.source} was made by another model than {Path(args.checkpoint).name}: the music will differ."
        )
    files = recorded.get("files")
    for name, digest in files.items() if isinstance(files, dict) else ():
        path = _find_file(getattr(args, name, None)) if name in FILES and name in recorded else None
        if path and hash_file(path) != digest:
            logger.warning(f"{path} is not the file that {args.source} was made with: the music will differ.")
