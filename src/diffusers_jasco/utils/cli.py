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

"""What the commands of this project have in common."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar


T = TypeVar("T")


def run_command(function: Callable[[], object], name: str) -> int:
    r"""
    Runs a command; bad input, and a training that went out of bounds, ends in one line that says what is wrong.

    Args:
        function (`Callable`): the command.
        name (`str`): its name, which the line begins with.

    Returns:
        `int`: the exit code: 0, 2, or 130 after Ctrl-C.
    """
    try:
        function()
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    return 0


def end_with_parent():
    """For the start of a pool's process: if the parent is killed, it would wait for work for ever."""

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def select_shard(items: Sequence[T], shard: str | None) -> list[T]:
    r"""
    The part of the work that one of several runs does.

    Args:
        items (`Sequence`): all of it.
        shard (`str`, *optional*): `"i/n"` with i from 0 to n - 1: every n-th item from the i-th on; by default all.

    Raises:
        `ValueError`: for another `shard`.
    """
    if shard is None:
        return list(items)
    index, _, count = shard.partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise ValueError(f"--shard has to be i/n with i from 0 to n - 1, but is {shard!r}.")
    return list(items[int(index) :: int(count)])
