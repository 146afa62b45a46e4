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

"""The public API is what tests/api.txt says: names, parameters and defaults. `make api` writes the file."""

import ast
import difflib
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import diffusers_jasco


SNAPSHOT = Path(__file__).with_name("api.txt")
ROOT = SNAPSHOT.parents[1]
PAGES = (ROOT / "README.md", ROOT / "training/README.md", *sorted((ROOT / "docs").rglob("*.md")))
# Modules that only this package uses.
INTERNAL = {"commands", "utils"}


def documented_imports() -> dict[str, set[str]]:
    """The names that snippets of the documentation import, by module."""
    imports: dict[str, set[str]] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for module, names in re.findall(r"^from (diffusers_jasco[\w.]*) import ([\w, ]+)$", text, re.M):
            imports.setdefault(module, set()).update(name.strip() for name in names.split(","))
    return imports


def public_modules() -> Iterator[ModuleType]:
    """The package, its subpackages, the denoising loop, and the modules that the documentation imports from."""
    names = {f"diffusers_jasco.{module.name}" for module in pkgutil.iter_modules(diffusers_jasco.__path__)}
    names -= {f"diffusers_jasco.{name}" for name in INTERNAL}
    names |= {"diffusers_jasco", "diffusers_jasco.pipelines.denoising"} | set(documented_imports())
    yield from map(importlib.import_module, sorted(names))


def public_names(module: ModuleType) -> list[str]:
    """`__all__`, or else the functions, classes and constants that a module defines."""
    names = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    for node in ast.parse(inspect.getsource(module)).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        names += [target.id for target in targets if isinstance(target, ast.Name) and target.id.isupper()]
    return sorted({name for name in getattr(module, "__all__", names) if not name.startswith("_")})


def signature(function) -> str:
    """Parameters with defaults and without types; values without a stable representation are `...`."""
    parameters = []
    for parameter in inspect.signature(function).parameters.values():
        parameter = parameter.replace(annotation=inspect.Parameter.empty)
        if parameter.default is not inspect.Parameter.empty and " at 0x" in repr(parameter.default):
            parameter = parameter.replace(default=...)
        parameters.append(parameter)
    return str(inspect.Signature(parameters)).replace("Ellipsis", "...")


def members(cls: type) -> Iterator[str]:
    """Public methods and properties of a class that are defined in this package."""
    found = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("diffusers_jasco"):
            found |= vars(base)
    for name, value in sorted(found.items()):
        if name.startswith("_") and name != "__call__":
            continue
        if isinstance(value, (classmethod, staticmethod)):
            value = value.__func__
        if inspect.isfunction(value):
            yield f"{name}{signature(value)}"
        elif hasattr(value, "__get__"):
            yield name


def describe() -> str:
    lines = []
    for module in public_modules():
        for name in public_names(module):
            value = getattr(module, name)
            path = f"{module.__name__}.{name}"
            if inspect.isclass(value):
                lines.append(f"class {path}{signature(value)}")
                lines += [f"    .{member}" for member in members(value)]
            else:
                lines.append(f"{path}{signature(value)}" if callable(value) else path)
    return "\n".join(lines) + "\n"


def test_the_public_api_equals_the_recorded_one():
    recorded, present = SNAPSHOT.read_text(encoding="utf-8"), describe()
    changes = difflib.unified_diff(
        recorded.splitlines(), present.splitlines(), "tests/api.txt", "now", lineterm="", n=0
    )
    assert recorded == present, "The public API has changed. If it is meant to, run `make api`.\n" + "\n".join(changes)


def test_the_documentation_imports_only_public_names():
    for module, names in documented_imports().items():
        missing = names - set(public_names(importlib.import_module(module)))
        assert not missing, f"{module}: {', '.join(sorted(missing))}"


if __name__ == "__main__":
    SNAPSHOT.write_text(describe(), encoding="utf-8")
