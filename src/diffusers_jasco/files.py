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


"""Files and folders that are written whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_file(path: str | os.PathLike) -> Iterator[Path]:
    r"""
    A temporary file beside `path`, which takes its place if the block ends without an exception, and is deleted otherwise.

    Args:
        path (`str` or `os.PathLike`): the file to write. Its folder has to exist.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(temporary)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's files are for their owner alone
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def partial_path(path: str | os.PathLike) -> Path:
    """Where a folder is written before it gets its name: beside it, so that renaming is one step."""
    path = Path(path)
    return path.with_name(f".{path.name}.partial")


@contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    r"""
    A folder to write into, which gets the name `path` when all went well, and is deleted otherwise. A folder of that name
    is replaced.
    """
    path, partial = Path(path), partial_path(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        finish_folder(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def finish_folder(path: str | os.PathLike):
    """Gives the written `partial_path(path)` its name `path`."""
    path = Path(path)
    if path.exists():
        shutil.rmtree(path)
    os.replace(partial_path(path), path)


def publish_files(source: str | os.PathLike, target: str | os.PathLike):
    """Moves all files of a folder into another one on the same disk, one by one: each is the old or the new one."""
    source, target = Path(source), Path(target)
    for path in sorted(source.rglob("*")):
        if path.is_file():
            (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target / path.relative_to(source))
    shutil.rmtree(source)
