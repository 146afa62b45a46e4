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

"""The versions that `setup.py` claims, in the other files that name them."""

import ast
import re
from pathlib import Path

import yaml


ROOT = Path(__file__).parents[2]


def setup_arguments() -> dict:
    """The arguments of `setup` in `setup.py` that are literals."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    (call,) = (
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup"
    )
    literals = (ast.List, ast.Constant)
    return {item.arg: ast.literal_eval(item.value) for item in call.keywords if isinstance(item.value, literals)}


def test_constraints_are_the_lower_bounds():
    required = [item.partition(",")[0] for item in setup_arguments()["install_requires"]]
    bounds = dict(item.split(">=") for item in required if ">=" in item)
    lines = (ROOT / "constraints/minimum.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins == {name: bound + ".0" * (2 - bound.count(".")) for name, bound in bounds.items()}


def test_ci_runs_the_oldest_and_the_newest_python():
    arguments = setup_arguments()
    found = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line) for line in arguments["classifiers"]]
    versions = [match[1] for match in found if match]
    assert arguments["python_requires"] == f">={versions[0]}"
    jobs = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))["jobs"]
    for name in ("quick", "full"):
        assert jobs[name]["strategy"]["matrix"]["python"] == [versions[0], versions[-1]]
    assert f'python_version = "{versions[0]}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"Python (3\.\d+)", readme)) <= {versions[0]}
