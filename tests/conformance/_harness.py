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

"""Makes the test mixins of a Diffusers clone importable, and lifts their accelerator-only gates on a CPU machine.

Nothing here knows about JASCO: what is tested comes from `adapter.py`.

Environment:
  DIFFUSERS_SRC           a clone of diffusers, whose tests are in no release; the installed diffusers is what runs
  CONFORMANCE_LIFT=0      keep the accelerator gates (default: run on the CPU what can run on the CPU)
  CONFORMANCE_COMPILE=1   also compile with inductor on the CPU (3 tests, some minutes, needs a C++ compiler)
"""

import importlib
import importlib.util
import os
import pathlib
import sys
import types

import pytest


if not os.environ.get("DIFFUSERS_SRC"):
    pytest.skip(
        "needs a clone of diffusers, whose tests are in no release: `make conformance DIFFUSERS_SRC=<clone>`",
        allow_module_level=True,
    )

DIFFUSERS_SRC = pathlib.Path(os.environ["DIFFUSERS_SRC"]).expanduser().resolve()
PACKAGE = "diffusers_tests"  # the clone's `tests` package under another name: the project has a `tests` of its own
LIFT = os.environ.get("CONFORMANCE_LIFT", "1") == "1"
COMPILE = os.environ.get("CONFORMANCE_COMPILE", "0") == "1"


def install_tests_package():
    if PACKAGE in sys.modules:
        return
    root = DIFFUSERS_SRC / "tests"
    if not (root / "__init__.py").is_file():
        raise RuntimeError(f"DIFFUSERS_SRC={DIFFUSERS_SRC} is not a clone of diffusers (it has no tests/__init__.py).")
    pytest.register_assert_rewrite(PACKAGE)
    if importlib.util.find_spec("requests_mock") is None:  # imported, never used by what we run
        stub = types.ModuleType("requests_mock")
        stub.Mocker = object
        sys.modules["requests_mock"] = stub
    spec = importlib.util.spec_from_file_location(
        PACKAGE, root / "__init__.py", submodule_search_locations=[str(root)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)


def mixins(path):
    """`mixins("models.testing_utils")`: the clone's tests/models/testing_utils package."""
    install_tests_package()
    return importlib.import_module(f"{PACKAGE}.{path}")


_GATES = ("skipif", "skip")


def _ungated(function):
    marks = [m for m in getattr(function, "pytestmark", []) if m.name not in _GATES]
    copy = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__dict__.update({k: v for k, v in function.__dict__.items() if k not in ("pytestmark", "__wrapped__")})
    if hasattr(function, "__wrapped__"):
        copy.__wrapped__ = function.__wrapped__  # `functools.wraps` decorators: pytest reads the signature through it
    copy.__doc__ = function.__doc__
    if marks:
        copy.pytestmark = marks
    return copy


def lift(mixin, only):
    """Copy of a tester mixin without its accelerator gates, keeping just the tests named in `only`.

    The copy is flat (no inheritance from `mixin`), because pytest reads class marks from the whole MRO. The tests in
    `only` are meaningful on a CPU; all others stay in the gated class.
    """
    namespace = {}
    for klass in reversed(mixin.__mro__[:-1]):
        for name, value in vars(klass).items():
            if name in ("pytestmark", "__dict__", "__weakref__", "__module__", "__qualname__"):
                continue
            if name.startswith("test_"):
                if name in only:
                    namespace[name] = _ungated(value)
                continue
            namespace[name] = value
    unknown = set(only) - set(namespace)
    if unknown:
        raise RuntimeError(f"{mixin.__name__} has no {sorted(unknown)}: the clone has changed, update the harness.")
    return type("Lifted" + mixin.__name__, (), namespace)
