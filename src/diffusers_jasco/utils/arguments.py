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

"""Types for command-line arguments that are validated during parsing."""

import argparse
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch

from .cli import report_to_launcher
from .errors import InputError
from .numbers import to_float, to_integer


T = TypeVar("T")

MAX_SEED = 2**63 - 1


class CommandParser(argparse.ArgumentParser):
    """A parser that reports errors in one line, without the usage, and exits with code 2."""

    def __init__(self, *args: Any, formatter_class: Any = argparse.RawDescriptionHelpFormatter, **options: Any):
        super().__init__(*args, formatter_class=formatter_class, **options)

        self.context = ""  # prefix of error messages, such as the name of the file being parsed

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments: ") and " -" not in message:
            message += ". Put a text of several words in quotes."
        message = f"{self.prog}: {self.context}{message.removeprefix('argument ')} (--help lists the options)"
        report_to_launcher(message)
        self.exit(2, f"{message}\n")


def number(
    minimum: float = -float("inf"), maximum: float = float("inf"), above: float = -float("inf"), unit: str = ""
) -> Callable[[str], float]:
    """An argument type: a finite number in a range, as in [`~utils.numbers.to_float`]."""
    return lambda text: _checked(to_float, _parse(float, text), minimum, maximum, above, unit)


def integer(minimum: int | None = None, maximum: int | None = None) -> Callable[[str], int]:
    """An argument type: a whole number in a range."""
    return lambda text: _checked(to_integer, _parse(int, text), minimum, maximum)


seed = integer(0, MAX_SEED)


def existing(text: str) -> Path:
    """An argument type: an existing file or folder."""
    if not os.path.exists(text):
        raise argparse.ArgumentTypeError(f"the file or folder {text} does not exist")
    return Path(text)


def device(text: str) -> str:
    """An argument type: a device that this machine has."""
    try:
        found = torch.device(text)
        if found.type == "meta":
            raise RuntimeError
        torch.empty(1, device=found)
    # Builds without CUDA raise an AssertionError; other missing backends raise any of these.
    except (AssertionError, RuntimeError, ImportError, ValueError, TypeError):
        raise argparse.ArgumentTypeError(
            f"there is no device {text!r}; available devices: {', '.join(list_devices())}"
        ) from None
    return text


def list_devices() -> list[str]:
    """The devices of this machine, fastest first."""
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return [*cuda, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def fastest_device() -> str:
    """The fastest device of this machine, without an index."""
    return list_devices()[0].partition(":")[0]


def add_device(parser: argparse.ArgumentParser | argparse._ArgumentGroup, default: str | None = None):
    """Adds the option `--device`, which defaults to the fastest device of this machine."""
    parser.add_argument(
        "--device",
        type=device,
        default=default or fastest_device(),
        help="cuda, cuda:1, mps or cpu",
    )


def _parse(kind: Callable[[str], T], text: str) -> T | str:
    try:
        return kind(text)
    except ValueError:
        return text


def _checked(check: Callable[..., T], value: Any, *limits: Any) -> T:
    try:
        return check(value, "value", *limits)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("`value` ").rstrip(".")) from None


def check_writable(path: str | os.PathLike, argument: str = "output"):
    r"""
    Checks that a file or folder can be written, without creating anything.

    Args:
        path (`str` or `os.PathLike`): the file or folder; its parent folders need not exist.
        argument (`str`, defaults to `"output"`): name of the argument for error messages.

    Raises:
        [`InputError`]: if the path can't be written.
    """
    folder = Path(path).absolute()
    if not os.path.isdir(folder):
        folder = next(parent for parent in folder.parents if os.path.lexists(parent))
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        with suppress(FileNotFoundError):
            os.lstat(path)  # fails if the name is too long
    except OSError as error:
        raise InputError(f"`{argument}`: {path} can't be written: {error.strerror or error}.", argument) from error
