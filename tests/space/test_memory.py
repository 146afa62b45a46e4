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
from .test_app import ASKED, connect


gradio_client = pytest.importorskip("gradio_client")


def resident_megabytes(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


@pytest.mark.slow
def test_memory_does_not_grow_over_fifty_requests(tmp_path):
    process, server = start_server(tmp_path)
    try:
        sizes = [resident_megabytes(process.pid)]
        for number in range(70):
            # A visitor each: what the app remembers of them counts as well.
            client = connect(server, tmp_path / "downloads")
            client.predict(**ASKED, seed=number, steps=3, api_name="/generate")
            client.close()
            sizes.append(resident_megabytes(process.pid))
        megabytes = {number: round(sizes[number]) for number in (0, 1, *range(10, 71, 10))}
        print("\nMB by the number of requests:", megabytes)
        # The first ones fill caches, and the pools of memory of each of the server's threads.
        assert sizes[70] - sizes[20] < 100
    finally:
        process.terminate()
        process.wait(120)
