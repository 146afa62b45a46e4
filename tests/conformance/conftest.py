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
import sys


# Diffusers' tests are in its repository only. Without a clone there is nothing to collect here.
HAS_CLONE = "DIFFUSERS_SRC" in os.environ
collect_ignore_glob = [] if HAS_CLONE else ["test_*.py"]

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import warnings  # noqa: E402

import pytest  # noqa: E402


if HAS_CLONE:
    import _harness  # noqa: E402


warnings.simplefilter(action="ignore", category=FutureWarning)

MARKERS = (
    "attention autoround big_accelerator bitsandbytes cache compile context_parallel cpu_offload gguf group_offload "
    "ip_adapter lora memory modelopt nightly quantization quanto sdnq single_file slow tensor_parallel torchao training"
)


def pytest_configure(config):
    if not HAS_CLONE:
        return
    for marker in MARKERS.split():
        config.addinivalue_line("markers", f"{marker}: diffusers test mark")
    if hasattr(pytest, "PytestRemovedIn10Warning"):  # the mixins' class-scoped fixtures are instance methods
        config.addinivalue_line("filterwarnings", "ignore::pytest.PytestRemovedIn10Warning")
    _harness.install_tests_package()


def pytest_report_header(config):
    if not HAS_CLONE:
        return "conformance: not run, as DIFFUSERS_SRC names no clone of Diffusers' repository"
    import diffusers
    import torch

    return (
        f"conformance: subject={os.environ.get('CONFORMANCE_ADAPTER', 'adapter')} diffusers={diffusers.__version__} "
        f"({os.path.dirname(diffusers.__file__)}) mixins={_harness.DIFFUSERS_SRC} torch={torch.__version__}"
    )


def pytest_collection_modifyitems(config, items):
    """The adapter lists what does not apply (SKIPS) and what is known to fail (XFAILS), each with its reason."""
    subject = _harness.subject() if HAS_CLONE else None
    for item in items:
        keys = (f"{item.cls.__name__}.{item.originalname}" if item.cls else item.originalname, item.originalname)
        for key in keys:
            if key in getattr(subject, "SKIPS", {}):
                item.add_marker(pytest.mark.skip(reason="adapter: " + subject.SKIPS[key]))
                break
            if key in getattr(subject, "XFAILS", {}):
                item.add_marker(pytest.mark.xfail(reason="adapter: " + subject.XFAILS[key], strict=True))
                break
