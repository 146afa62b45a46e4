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

"""Tickets: a run goes on for as long as its ticket is there. They are files, so that they reach the processes of ZeroGPU, too."""

import hashlib
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Tickets:
    """The tickets of all visitors; each visit can only take away its own."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="jasco-tickets-")

    def issue(self, visit: str) -> Path:
        """A ticket for a run of a visit (by its session's name)."""
        ticket = Path(self._folder.name, f"{self._prefix(visit)}{secrets.token_hex(8)}")
        ticket.touch()
        return ticket

    def revoke(self, visit: str) -> int:
        """Stops all runs of a visit, those that wait as well, and counts them."""
        count = 0
        for ticket in Path(self._folder.name).glob(f"{self._prefix(visit)}*"):
            ticket.unlink(missing_ok=True)
            count += 1
        return count

    @contextmanager
    def using(self, ticket: Path) -> Iterator[Path]:
        """A ticket that ends with the block."""
        try:
            yield ticket
        finally:
            ticket.unlink(missing_ok=True)

    @staticmethod
    def _prefix(visit: str) -> str:
        # What a browser calls its session is any text.
        return hashlib.sha256(visit.encode()).hexdigest()[:32] + "-"
