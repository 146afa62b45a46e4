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


"""Tests of the app on ZeroGPU, with a stand-in for its package that follows the same rules: it is imported before torch, and
runs decorated functions in another process."""

import os
import subprocess
import sys

import pytest

from .conftest import ROOT, SPACE


pytest.importorskip("gradio")

SPACES = """
import multiprocessing, os, pickle, sys

assert "torch" not in sys.modules, "spaces has to be imported before torch"
decorated = []

def GPU(function):
    decorated.append(function.__name__)

    def run(*arguments):
        def work(arguments, results):
            import torch
            torch.set_num_threads(1)
            try:
                result = "done", function(*pickle.loads(arguments)), os.getpid()
            except BaseException as error:
                result = "failed", error, os.getpid()
            results.send_bytes(pickle.dumps(result))

        # Arguments and results are pickled.
        results, sender = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(target=work, args=(pickle.dumps(arguments), sender))
        process.start()
        word, value, pid = pickle.loads(results.recv_bytes())
        process.join()
        assert pid != os.getpid()
        if word == "failed":
            raise value
        return value

    return run
"""

CHECK = """
import threading, time
import app, actions, spaces
from settings import Settings

assert spaces.decorated == ["play"]
settings = Settings(prompt="rock", duration=2.0, steps=4)
takes, remarks = actions.make_takes(settings, None, actions.TOKENS.issue("me"))
assert len(takes) == 1 and takes[0].wav.exists(), remarks

# A stop reaches the worker process.
token = actions.TOKENS.issue("me")
threading.Timer(1.0, actions.TOKENS.revoke, ["me"]).start()
started = time.monotonic()
takes, remarks = actions.make_takes(Settings(duration=30.0, steps=100, variations=4), None, token)
assert (takes, remarks) == ([], ["Stopped."]), remarks
assert time.monotonic() - started < 30
print("good")
"""


@pytest.mark.slow
def test_a_run_can_take_place_in_another_process(tmp_path):
    (tmp_path / "spaces.py").write_text(SPACES)
    paths = [str(tmp_path), str(SPACE), os.environ.get("PYTHONPATH", ""), str(ROOT / "src")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "GRADIO_TEMP_DIR": str(tmp_path / "gradio"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run([sys.executable, "-c", CHECK], env=environment, capture_output=True, text=True, timeout=600)
    assert done.stdout.strip().endswith("good"), done.stderr
