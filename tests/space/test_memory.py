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


"""The app's memory and files over many requests."""

import pytest

from .conftest import start_server
from .test_app import REQUESTED, connect


gradio_client = pytest.importorskip("gradio_client")


def resident_megabytes(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


@pytest.mark.slow
def test_memory_does_not_grow_over_fifty_requests(tmp_path):
    process, server = start_server(tmp_path)
    try:
        client = connect(server, tmp_path / "downloads")

        def use(session, seed: int) -> float:
            session.predict(**REQUESTED | {"steps": 3}, seed=seed, api_name="/generate")
            return resident_megabytes(process.pid)

        # The first requests fill caches, and the pools of memory of each of the server's threads.
        sizes = [use(client, number) for number in range(71)]
        print("\nMB by the number of requests:", {number: round(sizes[number]) for number in range(0, 71, 10)})
        assert sizes[70] - sizes[20] < 30

        # Gradio keeps the state of a session for an hour, for at most MAX_SESSIONS sessions.
        for number in range(40):
            session = connect(server, tmp_path / "downloads")
            size = use(session, number)
            session.close()
        print(f"MB per session: {(size - sizes[70]) / 40:.1f}")
        assert size - sizes[70] < 40 * 2.5
    finally:
        process.terminate()
        process.wait(120)
