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

"""
Renders the screenshots of the web page in the documentation: light and dark on a large screen, and on a phone.

    python scripts/render_screenshots.py --output docs

Needs Playwright and Chromium (`CHROMIUM` is its path, `/usr/bin/chromium` by default).
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright


ROOT = Path(__file__).resolve().parents[1]
DESKTOP = {"width": 1400, "height": 1000}
PHONE = {"width": 390, "height": 844}
TIMEOUT = 120_000  # milliseconds


def start_app() -> tuple[subprocess.Popen, str]:
    """Starts the page on a free port. Returns the process and the URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "examples/space/app.py")], env=os.environ | {"GRADIO_SERVER_PORT": str(port)}
    )
    url = f"http://127.0.0.1:{port}"
    for _ in range(120):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return process, url
        except OSError:
            time.sleep(1)
    process.terminate()
    raise RuntimeError("The web page did not start within two minutes.")


def generate(page: Page):
    """Generates a take from the initial fields, with a fixed seed, and waits for its scores."""
    page.locator("#timeline .beat").first.wait_for(timeout=TIMEOUT)
    page.locator("#new-seed input").uncheck()
    page.locator("#seed input").fill("7")
    page.locator("#go").click()
    page.locator(".card .scores li").first.wait_for(timeout=TIMEOUT)
    page.wait_for_function("document.querySelector('.card .picture img')?.naturalWidth > 0", timeout=TIMEOUT)
    page.wait_for_function("!document.querySelector('#go').disabled", timeout=TIMEOUT)
    page.wait_for_timeout(2000)  # the player draws the waveform


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs", help="Output folder.")
    args = parser.parse_args()

    process, url = start_app()
    try:
        with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
            browser = playwright.chromium.launch(
                executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
            )
            for name, viewport, scheme in (
                ("space-light", DESKTOP, "light"),
                ("space-dark", DESKTOP, "dark"),
                ("space-phone", PHONE, "light"),
            ):
                page = browser.new_page(viewport=viewport, color_scheme=scheme)
                page.goto(url)
                generate(page)
                path = Path(folder, f"{name}.png")
                page.screenshot(path=path, full_page=True)
                # A palette of 256 colors takes a third of the space. K-means keeps rare colors, such as those of
                # deviations, better.
                reduced = Image.open(path).convert("RGB").quantize(256, kmeans=3)
                reduced.save(args.output / path.name, optimize=True)
                page.close()
            browser.close()
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
