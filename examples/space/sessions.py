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

"""What the app keeps of visits for a while: the tickets of runs, and files."""

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
    A run goes on for as long as its ticket is there. Each visit can only take away its own. CancellationTokens are files, so that
    they reach the processes of ZeroGPU, too.
    """

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="jasco-tickets-")

    def issue(self, visit: str) -> Path:
        """A ticket for a run of a visit, which is known by its session's name."""
        ticket = Path(self._folder.name, f"{self._prefix(visit)}{secrets.token_hex(8)}")
        ticket.touch()
        return ticket

    def revoke(self, visit: str) -> int:
        """Stops all runs of a visit, those that wait as well, and counts them."""
        tickets = list(Path(self._folder.name).glob(f"{self._prefix(visit)}*"))
        for ticket in tickets:
            ticket.unlink(missing_ok=True)
        return len(tickets)

    @contextmanager
    def using(self, ticket: Path) -> Iterator[Path]:
        """The ticket of a run ends with it."""
        try:
            yield ticket
        finally:
            ticket.unlink(missing_ok=True)

    @staticmethod
    def _prefix(visit: str) -> str:
        # What a browser calls its session is any text.
        return hashlib.sha256(visit.encode()).hexdigest()[:32] + "-"


def own_folder() -> Path:
    """A folder for all files of the app, which goes with it. It is Gradio's as well, which leaves empty files behind."""
    parent = os.environ.get("GRADIO_TEMP_DIR")
    if parent:
        Path(parent).mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="jasco-", dir=parent)
    os.environ["GRADIO_TEMP_DIR"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


class TempFolders:
    r"""
    Folders with names that nobody can guess, which are deleted some time after they were made.

    Args:
        parent (`Path`): where they are.
        life (`float`): seconds.
    """

    def __init__(self, parent: Path, life: float):
        parent.mkdir(parents=True, exist_ok=True)
        self.root, self.life = Path(tempfile.mkdtemp(prefix="jasco-", dir=parent)), life
        atexit.register(shutil.rmtree, self.root, ignore_errors=True)

    def new_folder(self) -> Path:
        """An empty folder, once the old ones are gone."""
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
