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

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ROOT = Path(__file__).parents[2]
SPACE = ROOT / "examples/space"
try:
    from playwright.sync_api import expect

    # Timeout of assertions in milliseconds; generous for loaded machines.
    expect.set_options(timeout=60_000)
except ImportError:
    expect = None

# The app's modules are next to app.py, as in a Space.
sys.path.insert(0, str(SPACE))

C_AM_F_G = {
    "beats_per_bar": 4,
    "bars": 5,
    "chords": [{"label": label, "beat": 4.0 * bar} for bar, label in enumerate(("C", "Am", "F", "G", "C"))],
}
BACKBEAT = {
    "steps": 16,
    "tracks": {
        "kick": [1.0, *[0.0] * 7] * 2,
        "snare": [*[0.0] * 4, 1.0, *[0.0] * 3] * 2,
        "hat": [0.7, 0.0] * 8,
    },
    "swing": 0.0,
}
MELODY = {
    "beats": 20.0,
    "notes": [
        {"midi": midi, "beat": 2.0 * index, "beats": 1.75}
        for index, midi in enumerate((64, 67, 69, 72, 69, 65, 67, 71, 72, 67))
    ],
}


def start_server(folder: Path, **environment: str) -> tuple[subprocess.Popen, str]:
    """Starts the app in a separate process with its files in `folder`. Returns the process and the URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "gradio"),
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    with open(folder / "server.log", "w") as log:
        process = subprocess.Popen([sys.executable, SPACE / "app.py"], env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}/"
    for _ in range(1500):
        if process.poll() is not None:
            raise RuntimeError(f"exit code {process.returncode}: {(folder / 'server.log').read_text()}")
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return process, address
        except OSError:
            time.sleep(0.2)
    process.kill()
    raise TimeoutError((folder / "server.log").read_text())


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """URL of a running app."""
    pytest.importorskip("gradio")
    folder = tmp_path_factory.mktemp("server")
    process, address = start_server(folder)
    yield address
    process.terminate()
    assert process.wait(120) == 0 and "SystemExit" not in (folder / "server.log").read_text()
    # No files of its sessions are left.
    assert not [path for path in folder.glob("gradio/**/*") if path.is_file()]


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser: {CHROMIUM} is absent (Debian: apt install chromium; elsewhere set CHROMIUM)")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def eventually(page, look: Callable[[], Any], expected):
    """Waits for a value that Playwright's `expect` has no assertion for."""
    for _ in range(600):
        if look() == expected:
            break
        page.wait_for_timeout(100)
    assert look() == expected
