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

"""Output folders of datasets, local or remote."""

import io
import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import fsspec

from ..utils.files import atomic_folder, replace_file


class OutputFolder:
    r"""
    A dataset's folder: local, or on any file system that fsspec can write to.

    Args:
        url (`str` or `os.PathLike`): path or URL.
    """

    def __init__(self, url: str | os.PathLike):
        self.url = os.fspath(url)
        self.fs, self.root = fsspec.core.url_to_fs(self.url)
        self.is_local = isinstance(self.fs, fsspec.implementations.local.LocalFileSystem)

    def path(self, name: str = "") -> str:
        return posixpath.join(self.root, name) if name else self.root

    def exists(self, name: str = "") -> bool:
        return self.fs.exists(self.path(name))

    def read(self, name: str) -> bytes:
        return self.fs.cat_file(self.path(name))

    def open(self, name: str) -> BinaryIO:
        """Opens a file for reading. Remote files are read as a whole."""
        return open(self.path(name), "rb") if self.is_local else io.BytesIO(self.read(name))

    def write(self, name: str, text: str):
        """Writes a file atomically."""
        if not self.is_local:
            self.fs.pipe_file(self.path(name), text.encode("utf-8"))
            return
        path = Path(self.path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as partial:
            partial.write_text(text, encoding="utf-8")

    def remove(self, name: str):
        """Deletes a file or a folder, if it exists."""
        if self.exists(name):
            self.fs.rm(self.path(name), recursive=True)

    @contextmanager
    def folder(self, name: str, last: str) -> Iterator[Path]:
        """A local folder to write into, which then becomes `name`. On remote file systems, `last` is uploaded last."""
        if self.is_local:
            with atomic_folder(self.path(name)) as partial:
                yield partial
            return
        with TemporaryDirectory() as temporary:
            yield Path(temporary)
            self.remove(name)
            files = sorted(path for path in Path(temporary).rglob("*") if path.is_file())
            for path in sorted(files, key=lambda path: path.name == last):
                target = self.path(posixpath.join(name, path.relative_to(temporary).as_posix()))
                self.fs.makedirs(posixpath.dirname(target), exist_ok=True)
                self.fs.put_file(str(path), target)
