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

"""Source checks diffusers runs on its own files, pointed at the adapter's: docstrings, ruff, forbidden patterns."""

import importlib.util
import inspect
import pathlib
import re
import subprocess
import sys

import pytest

from . import adapter as S
from ._harness import DIFFUSERS_SRC


SOURCES = [
    (pathlib.Path(inspect.getsourcefile(S.model_class())), "model"),
    (pathlib.Path(inspect.getsourcefile(S.pipeline_class())), "pipeline"),
]


@pytest.mark.parametrize("path,kind", SOURCES, ids=lambda v: v.name if isinstance(v, pathlib.Path) else v)
def test_forward_and_call_docstrings(path, kind):
    # Every argument documented, none stale, a Returns: section where the return is annotated. ModelMixin /
    # DiffusionPipeline must be among the *written* bases for the upstream checker to see the class.
    spec = importlib.util.spec_from_file_location(
        "checker", DIFFUSERS_SRC / "utils" / "check_forward_call_docstrings.py"
    )
    checker = importlib.util.module_from_spec(spec)
    sys.modules["checker"] = checker  # dataclasses in the script resolve their module
    spec.loader.exec_module(checker)
    checker.REPO_ROOT = path.parent
    errors = checker.check_file(path, kind)
    assert not errors, "\n".join(errors)


@pytest.mark.parametrize("path,kind", SOURCES, ids=lambda v: v.name if isinstance(v, pathlib.Path) else v)
def test_forbidden_patterns(path, kind):
    text = path.read_text()
    rules = {
        r"^\s*(import|from) einops": "einops (models.md gotcha 2)",
        r"torch\.float64|\.double\(\)": "float64 (models.md gotcha 5)",
        r"torch\.empty\(": "torch.empty for parameters (models.md gotcha 6)",
        r"\{\s*k\s*:\s*locals\(\)\[k\]": "callback kwargs by comprehension (pipelines.md gotcha 9)",
        r"\.weight\.dtype": "activation dtype taken from a weight (models.md gotcha 4)",
        r"F\.scaled_dot_product_attention\((?!\")": "SDPA called directly: use dispatch_attention_fn",
        r"(hf_hub_download|load_file)\(": "weights loaded out of band",
    }
    if kind == "pipeline":
        rules[r"torch\.randn(_like)?\("] = "raw torch.randn for noise (pipelines.md gotcha 10): use randn_tensor"
    hits = [f"{why}: {m.group(0)!r}" for rule, why in rules.items() for m in re.finditer(rule, text, re.M)]
    assert not hits, "\n".join(hits)


@pytest.mark.parametrize(
    "command", [["check", "--extend-ignore", "I001"], ["format", "--check", "--diff"]], ids=lambda v: v[0]
)
def test_ruff(command):
    config = DIFFUSERS_SRC / "pyproject.toml"  # import order is the project's own
    files = [str(path) for path, _ in SOURCES]
    process = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--config", str(config), *files], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-1000:]
