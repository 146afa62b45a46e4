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

"""Imports of optional dependencies."""

import functools
import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock


_Function = TypeVar("_Function", bound=Callable)


def pip_install(extra: str) -> str:
    """The command that installs an extra. The package itself is installed already, from a clone or a wheel."""
    return f'pip install "diffusers-jasco[{extra}]"'


def import_optional(name: str, extra: str | None = None) -> Any:
    r"""
    Imports an optional dependency.

    Args:
        name (`str`): name of the module.
        extra (`str`, *optional*): the extra of this package that installs it, if there is one.

    Raises:
        `ImportError`: if the module is not installed. The message contains the installation command.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        command = f"pip install {package}" if extra is None else pip_install(extra)
        raise ImportError(f"This needs {package}: {command}") from error


def _lock_path() -> Path:
    # A shared home directory usually means a shared cache.
    folder = Path.home() / ".cache" / "diffusers_jasco"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "numba.lock").touch()
    except OSError:
        folder = Path(tempfile.gettempdir())
    return folder / "numba.lock"


def compiles_with_numba(function: _Function) -> _Function:
    r"""
    Decorates a function that compiles code with numba: its first call in a process holds a lock across processes.
    numba compiles librosa's code on the first call and caches it on disk. Processes that fill the cache at the same
    time corrupt it permanently, and every process that reads it crashes with a segmentation fault (numba 0.68; four
    processes with an empty cache nearly always).

    Args:
        function (`Callable`): the function. It must not call another decorated function.
    """
    called = False

    @functools.wraps(function)
    def call(*args, **kwargs):
        nonlocal called
        if called:
            return function(*args, **kwargs)
        with FileLock(_lock_path()):
            result = function(*args, **kwargs)
        called = True
        return result

    return call
