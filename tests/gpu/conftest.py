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
Tests that run on a CUDA GPU, and at toy size on the CPU.

After a run on a GPU, a table with the seconds and the peak memory of each test is printed, and written as JSON to the
file in the environment variable `GPU_REPORT`.
"""

import gc
import json
import os
import time
from pathlib import Path

import pytest
import torch
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry


CUDA = pytest.param(
    "cuda",
    marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")],
)
RESULTS: list[dict] = []


@pytest.fixture(params=["cpu", CUDA])
def device(request) -> str:
    return request.param


@pytest.fixture(params=[CUDA])
def gpu(request) -> str:
    """The device of tests that need a GPU."""
    return request.param


@pytest.fixture(autouse=True)
def measured(request):
    """
    A dictionary for the relative error of a test (`"error"`); on a GPU, seconds and peak memory are added, and
    convolutions use full float32 precision, as on the CPU.
    """
    results = {"test": request.node.name}
    if "cuda" not in request.node.name or not torch.cuda.is_available():
        yield results
        return
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    start = time.monotonic()
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield results
    torch.cuda.synchronize()
    results["seconds"] = round(time.monotonic() - start, 1)
    results.setdefault("peak_memory_gb", round(torch.cuda.max_memory_allocated() / 1e9, 2))
    results["outcome"] = getattr(request.node, "outcome", "failed")
    if results["outcome"] != "skipped":
        RESULTS.append(results)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.outcome = report.outcome
    return report


@pytest.fixture(autouse=True)
def independent_tests():
    """Removes compiled graphs, and the attention backend that Diffusers also sets for models that are used later."""
    yield
    torch._dynamo.reset()
    _AttentionBackendRegistry.set_active_backend(AttentionBackendName.NATIVE)


def pytest_terminal_summary(terminalreporter):
    if not RESULTS:
        return
    terminalreporter.section(f"GPU tests on {torch.cuda.get_device_name()}")
    terminalreporter.write_line("| test | outcome | seconds | peak memory, GB | relative error |")
    terminalreporter.write_line("| --- | --- | --- | --- | --- |")
    for result in RESULTS:
        error = f"{result['error']:.2g}" if "error" in result else ""
        values = (result["test"], result["outcome"], result["seconds"], result["peak_memory_gb"], error)
        terminalreporter.write_line(f"| {' | '.join(map(str, values))} |")
    if path := os.environ.get("GPU_REPORT"):
        report = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "tests": RESULTS}
        Path(path).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
