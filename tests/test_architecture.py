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

"""The rules of CONTRIBUTING.md about how the code is built."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from diffusers_jasco.controls import CONTROLS


ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/diffusers_jasco"
CODE = ("src", "scripts", "training", "examples")

# Tables by control whose entries differ in kind, and lists of the fields of a file. Everything else uses `CONTROLS`.
ALLOWED = {
    "src/diffusers_jasco/data/features.py: FRAME_TENSORS": "tensors of a shard",
    "src/diffusers_jasco/data/preparation/settings.py: METHODS": "extractors by control",
    "src/diffusers_jasco/evaluation/edit_plans.py: KINDS": "kinds of edits",
    "src/diffusers_jasco/evaluation/source_edits.py: KINDS": "kinds of edits",
    "src/diffusers_jasco/evaluation/edit_plans.py: _plan": "the controls that are new in a continuation",
    "src/diffusers_jasco/evaluation/edit_plans.py: new": "new controls by kind of edit",
    "src/diffusers_jasco/evaluation/evaluate.py: select": "fields of an item by control",
    "src/diffusers_jasco/evaluation/takes.py: SELECTING": "estimators by control",
    "src/diffusers_jasco/evaluation/takes.py: REPORTING": "estimators by control",
    "src/diffusers_jasco/evaluation/takes.py: _KEYS": "fields of an item by control",
    "src/diffusers_jasco/evaluation/transcription.py: _BOUNDS": "bounds measured for each control",
    "src/diffusers_jasco/evaluation/transcription.py: _MEANINGS": "texts",
    "src/diffusers_jasco/evaluation/items.py: requested": "fields of an item",
    "src/diffusers_jasco/training/condition_dropout.py: _DROP_DRAWS": "columns of random numbers",
    "src/diffusers_jasco/training/condition_dropout.py: _SPAN_DRAWS": "columns of random numbers",
    "src/diffusers_jasco/training/validation.py: _SETS": "sets of conditions",
    "src/diffusers_jasco/loaders/audiocraft/exporting.py: controls": "AudioCraft's names",
    "scripts/evaluate_extraction.py: METRICS": "metrics by control",
    "scripts/evaluate_extraction.py: EVALUATE": "functions by control",
    "scripts/evaluate_extraction.py: methods": "extractors by control",
}


def lint_imports(root: Path) -> subprocess.CompletedProcess:
    """Checks the contract in pyproject.toml, as `make quality` does."""
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--no-logo"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
    )


def test_imports_point_downwards():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "importer, statement",
    [
        ("utils/files.py", "from ..controls.chord_labels import NO_CHORD"),
        ("controls/chords.py", "def read():\n    from ..extraction.chords import extract_chords"),
        ("models/codec_spectral.py", "from ..pipelines.pipeline_jasco import JascoPipeline"),
        ("data/features.py", "from ..training.objective import FlowMatchingObjective"),
    ],
)
def test_an_upward_import_is_found(tmp_path, importer, statement):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    copy = tmp_path / "src/diffusers_jasco"
    shutil.copytree(PACKAGE, copy, ignore=lambda folder, names: {n for n in names if n in ("__pycache__", "weights")})
    with open(copy / importer, "a") as file:
        file.write(f"\n\n{statement}\n")
    result = lint_imports(tmp_path)
    module = importer.removesuffix(".py").replace("/", ".")
    assert result.returncode != 0 and f"diffusers_jasco.{module} -> " in result.stdout, result.stdout + result.stderr


def find_enumerations(tree: ast.AST, name: str = "") -> Iterator[tuple[str, int]]:
    """Yields the innermost function or variable and the line of each literal that lists controls or has them as keys."""
    for node in ast.iter_child_nodes(tree):
        inner = name
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inner = node.name
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            inner = target.id if isinstance(target, ast.Name) else name
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            values = {element.value for element in node.elts if isinstance(element, ast.Constant)}
            if len(values & set(CONTROLS)) >= 2:
                yield inner, node.lineno
        elif isinstance(node, ast.Dict):
            # With other keys, it is a row of a dataset or the arguments of a call; with fewer, it concerns specific controls.
            keys = {key.value if isinstance(key, ast.Constant) else None for key in node.keys}
            if keys == set(CONTROLS):
                yield inner, node.lineno
        yield from find_enumerations(node, inner)


def test_controls_are_listed_in_one_place():
    """Other literals would be forgotten when a control is added."""
    found = {
        f"{path.relative_to(ROOT).as_posix()}: {name}": f"{path.relative_to(ROOT).as_posix()}:{line}"
        for folder in CODE
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != PACKAGE / "controls/__init__.py"
        for name, line in find_enumerations(ast.parse(path.read_text(encoding="utf-8")))
    }
    others = [place for name, place in found.items() if name not in ALLOWED]
    assert not others, f"Use `diffusers_jasco.controls.CONTROLS`: {', '.join(others)}"


def test_controls_need_only_torch_and_numpy():
    """Checks imports at module level; parsers import optional packages lazily."""
    allowed = {*sys.stdlib_module_names, "torch", "numpy", "diffusers.utils"}
    for path in (PACKAGE / "controls").glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            others = [name for name in names if name not in allowed and name.split(".")[0] not in allowed]
            assert not others, f"{path.relative_to(ROOT)}: {', '.join(others)}"


def test_no_function_is_too_long():
    """Lines of the body, without signature and docstring."""
    too_long = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[ast.get_docstring(node) is not None :]
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                is_call = node.name == "__call__" and path.name == "pipeline_jasco.py"
                if lines > (80 if is_call else 100):
                    too_long.append(f"{path.relative_to(ROOT)}:{node.lineno} `{node.name}` has {lines} lines")
    assert not too_long, "\n".join(too_long)
