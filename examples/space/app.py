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
JASCO as a web page: describe a piece, shape its chords, drums and melody, listen to the result, and see how closely it
follows each control.

    python examples/space/app.py

Environment variables: `JASCO_CHECKPOINT` (a folder or Hub id; jasco-nano by default) and `JASCO_CONCURRENCY` (number of
pieces generated at the same time; 2 by default).
"""

import os
import signal
import threading
from pathlib import Path


# Disable Gradio's telemetry.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr

from api import add_endpoints
from page import CONCURRENCY, Page
from uploads import MAX_UPLOAD


MAX_WAITING = 64  # runs in the queue
MAX_SESSIONS = 200  # sessions whose state Gradio keeps

page = Page()
with page.blocks as demo:
    add_endpoints(page)
demo.queue(max_size=MAX_WAITING, default_concurrency_limit=CONCURRENCY)


def wait_for_signal(stopped: threading.Event):
    """Returns after SIGTERM or Ctrl-C."""
    try:
        while not stopped.wait(1):
            pass
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    # The handler only sets an event: an exception could be raised anywhere in the main thread.
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    demo.launch(
        prevent_thread_lock=True,
        # System fonts: the page loads nothing from other servers.
        theme=gr.themes.Default(
            primary_hue="indigo",
            neutral_hue="slate",
            spacing_size="sm",
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ),
        css_paths=Path(__file__).parent / "style.css",
        max_file_size=f"{MAX_UPLOAD}mb",
        state_session_capacity=MAX_SESSIONS,
        footer_links=["api"],
        show_error=False,
        ssr_mode=False,
        app_kwargs={"exception_handlers": demo.exception_handlers},
        # Skips Gradio's startup check, which ends the app if the page does not answer within three seconds.
        _frontend=False,
    )
    wait_for_signal(stopped)
    demo.close()  # exit handlers delete uploaded and generated files
