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
import pathlib

import pytest


os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

HERE = pathlib.Path(__file__).parent
MARKERS = (
    "attention autoround big_accelerator bitsandbytes cache compile context_parallel cpu_offload gguf group_offload "
    "ip_adapter lora memory modelopt nightly quantization quanto sdnq single_file slow tensor_parallel torchao training"
)


def pytest_configure(config):
    for marker in MARKERS.split():
        config.addinivalue_line("markers", f"{marker}: diffusers test mark")
    if hasattr(pytest, "PytestRemovedIn10Warning"):  # the mixins' class-scoped fixtures are instance methods
        config.addinivalue_line("filterwarnings", "ignore::pytest.PytestRemovedIn10Warning")


def pytest_report_header(config):
    import diffusers
    import torch

    clone = os.environ.get("DIFFUSERS_SRC") or "none (conformance is skipped)"
    return f"conformance: diffusers {diffusers.__version__}, torch {torch.__version__}, mixins of {clone}"


def pytest_collection_modifyitems(config, items):
    """The adapter lists what does not apply (SKIPS) and what is known to fail (XFAILS), each with its reason."""
    items = [item for item in items if HERE in item.path.parents]
    if not items:
        return
    from . import adapter

    for item in items:
        keys = (f"{item.cls.__name__}.{item.originalname}" if item.cls else item.originalname, item.originalname)
        for key in keys:
            if key in adapter.SKIPS:
                item.add_marker(pytest.mark.skip(reason="adapter: " + adapter.SKIPS[key]))
                break
            if key in adapter.XFAILS:
                item.add_marker(pytest.mark.xfail(reason="adapter: " + adapter.XFAILS[key], strict=True))
                break


@pytest.fixture(scope="module", autouse=True)
def full_determinism():
    from ._harness import mixins

    utils = mixins("testing_utils")
    utils.enable_full_determinism()
    yield
    utils.disable_full_determinism()
