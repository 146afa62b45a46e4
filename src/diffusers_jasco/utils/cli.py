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

"""Helpers for commands: one-line errors, exit codes and sharding."""

import json
import logging
import multiprocessing
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar


T = TypeVar("T")

_MAX_ERROR = 800  # characters


def run_command(function: Callable[[], object], name: str, flags: Mapping[str, str] | None = None) -> int:
    r"""
    Runs a command. Invalid input and diverging training runs end in a one-line error message instead of a traceback.

    Args:
        function (`Callable`): the command. If it returns an `int`, that is the exit code.
        name (`str`): name of the command, which error messages start with.
        flags (`Mapping[str, str]`, *optional*):
            Maps argument names to command-line options, such as `{"num_inference_steps": "--steps"}`. Error messages
            use the options.

    Returns:
        `int`: the exit code: 0, 1 if part of the work failed, 2 for invalid input, or 130 after Ctrl-C.
    """
    try:
        code = function()
    except (ValueError, OSError, ImportError, FloatingPointError, MemoryError) as error:
        return _fail(name, rename_arguments(_one_line(error), flags or {}))
    except KeyboardInterrupt:
        return _fail(name, "interrupted", 130)
    except Exception as error:
        reason = _describe_external_error(error)
        if reason is None:
            raise
        return _fail(name, f"{reason} ({_one_line(error)}).")
    return code if isinstance(code, int) else 0


def _fail(name: str, message: str, code: int = 2) -> int:
    print(f"{name}: {message}", file=sys.stderr)
    report_to_launcher(f"{name}: {message}")
    return code


def report_to_launcher(message: str):
    """
    Writes an error message to the file from which PyTorch's launcher (also that of `accelerate launch`) reads the cause of
    its report, which follows the message on the terminal. Does nothing if the launcher has not started this process.
    """
    if file := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        error = {"message": message, "extraInfo": {"timestamp": int(time.time())}}
        Path(file).write_text(json.dumps({"message": error}), encoding="utf-8")


def _describe_external_error(error: Exception) -> str | None:
    """Describes errors that the environment causes and that are not an `OSError`; `None` for bugs."""
    import torch
    from huggingface_hub.errors import HTTPError

    if isinstance(error, HTTPError):
        return "the Hugging Face Hub does not respond. Is this machine offline?"
    if isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error):
        return "there is not enough memory"
    return None


def _one_line(error: BaseException) -> str:
    line = " ".join(str(error).split()) or type(error).__name__
    # Diffusers' errors may contain the structure of a whole model.
    return line if len(line) <= _MAX_ERROR else f"{line[: _MAX_ERROR // 2]} ... {line[-_MAX_ERROR // 2 :]}"


def rename_arguments(message: str, flags: Mapping[str, str]) -> str:
    """
    Replaces arguments in a message, such as `` `chords` `` or `` `duration=10` ``, by the command-line options that
    set them. Function calls such as `` `repeat_chords(chords, 10)` `` are replaced, too, if an option has the
    function's name, and other code that `flags` contains as a whole.
    """
    for code, flag in flags.items():
        message = message.replace(f"`{code}`", flag)

    def rename(match: re.Match) -> str:
        name, value = match[1], match[2]
        if name not in flags:
            return match[0]
        return flags[name] if value in (None, "True") else f"{flags[name]} {value}"

    return re.sub(r"`(\w+)(?:\([^`()]*\)|=([^`]*))?`", rename, message)


@contextmanager
def warnings_name(flags: Mapping[str, str]) -> Iterator[None]:
    """Within the block, this package's warnings use command-line option names (see [`rename_arguments`])."""

    class Handler(logging.StreamHandler):
        def format(self, record: logging.LogRecord) -> str:
            return rename_arguments(record.getMessage(), flags)

    # Created here because tests replace the stream.
    handler, logger = Handler(), logging.getLogger(__name__.partition(".")[0])
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Suppresses warnings within the block, or in a decorated function."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def end_with_parent():
    """Pool initializer: makes a worker exit when its parent process dies, instead of waiting for work indefinitely."""

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def select_shard(items: Sequence[T], shard: str | None) -> list[T]:
    r"""
    Selects the items that one of several parallel runs processes.

    Args:
        items (`Sequence`): all items.
        shard (`str`, *optional*):
            `"i/n"` with i from 0 to n - 1 selects every n-th item, starting with item i. By default all items are
            selected.

    Raises:
        `ValueError`: if `shard` has a different form.
    """
    if shard is None:
        return list(items)
    index, _, count = shard.partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise ValueError(f"--shard has to be i/n with i from 0 to n - 1, but is {shard!r}.")
    return list(items[int(index) :: int(count)])
