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

"""Temporary state of sessions: cancellation tokens of runs, and files."""

import atexit
import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CancellationTokens:
    """
    A run continues while its token exists. Each session can only revoke its own tokens. Tokens are files, so that ZeroGPU's
    processes see them, too.
    """

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="jasco-tokens-")

    def issue(self, session: str) -> Path:
        """Creates a token for a run of a session."""
        token = Path(self._folder.name, f"{self._prefix(session)}{secrets.token_hex(8)}")
        token.touch()
        return token

    def revoke(self, session: str) -> int:
        """Stops all running and waiting runs of a session, and returns their number."""
        tokens = list(Path(self._folder.name).glob(f"{self._prefix(session)}*"))
        for token in tokens:
            token.unlink(missing_ok=True)
        return len(tokens)

    @contextmanager
    def using(self, token: Path) -> Iterator[Path]:
        """Deletes the token when the block ends."""
        try:
            yield token
        finally:
            token.unlink(missing_ok=True)

    @staticmethod
    def _prefix(session: str) -> str:
        # Clients choose their session's name, which may be any text.
        return hashlib.sha256(session.encode()).hexdigest()[:32] + "-"


def own_folder() -> Path:
    """A folder for all files of the app, Gradio's included, which is deleted when the app exits."""
    parent = os.environ.get("GRADIO_TEMP_DIR")
    if parent:
        Path(parent).mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="jasco-", dir=parent)
    os.environ["GRADIO_TEMP_DIR"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


class TempFolders:
    r"""
    Folders with unguessable names, deleted some time after their creation.

    Args:
        parent (`Path`): folder that contains them.
        life (`float`): seconds until a folder is deleted.
    """

    def __init__(self, parent: Path, life: float):
        parent.mkdir(parents=True, exist_ok=True)
        self.root, self.life = Path(tempfile.mkdtemp(prefix="jasco-", dir=parent)), life
        atexit.register(shutil.rmtree, self.root, ignore_errors=True)

    def new_folder(self) -> Path:
        """Deletes expired folders, and creates an empty one."""
        for folder in self.root.iterdir():
            try:
                is_old = time.time() - folder.stat().st_mtime > self.life
            except FileNotFoundError:
                continue
            if is_old:
                shutil.rmtree(folder, ignore_errors=True)
        folder = self.root / secrets.token_hex(16)
        folder.mkdir()
        return folder
