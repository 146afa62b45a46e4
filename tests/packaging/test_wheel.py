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

"""The source distribution and the wheel: their files, and the wheel as a user without the repository runs it."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from .stderr import other_than_bars


pytest.importorskip("build")
ROOT = Path(__file__).parents[2]
# Outputs of other commands in the root of the repository.
NOT_COPIED = ("build", "data", "dist", "outputs", "runs", "site")
MAX_WHEEL_BYTES = 32_000_000  # 24 MB of jasco-nano, 7 MB of the drum separator


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("packaging")


@pytest.fixture(scope="module")
def distributions(folder):
    """The source distribution, and the wheel that is built from it."""
    # A copy, because setuptools writes into the source tree.
    skip = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", *NOT_COPIED)
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=lambda path, names: skip(path, names) if Path(path) == ROOT else ())
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", source]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-2000:]
    (sdist,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(folder, distributions):
    """A folder with the installed wheel. Dependencies come from this environment."""
    target = folder / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target]
    subprocess.run([*command, distributions[1]], check=True)
    shutil.rmtree(folder / "source")
    return target


def run(installed: Path, folder: Path, *arguments) -> subprocess.CompletedProcess:
    """Runs Python in an empty folder without a network. The installed wheel precedes other copies of the package."""
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
    environment |= {
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(folder / "home"),
        "PYTHONPATH": str(installed),
        "PYTHONUTF8": "1",
    }
    command = [sys.executable, *map(str, arguments)]
    process = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=600)
    assert process.returncode == 0, process.stderr[-5000:]
    return process


def test_distributions_have_the_model_and_no_tests(distributions):
    sdist, wheel = distributions
    assert wheel.stat().st_size < MAX_WHEEL_BYTES and sdist.stat().st_size < MAX_WHEEL_BYTES
    with tarfile.open(sdist) as archive:
        tops = {path.split("/")[1] for path in archive.getnames() if "/" in path}
    assert tops == {
        "CITATION.cff",
        "LICENSE",
        "MANIFEST.in",
        "PKG-INFO",
        "README.md",
        "pipelines",
        "pyproject.toml",
        "setup.cfg",
        "setup.py",
        "src",
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("/METADATA"))
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"diffusers_jasco"}
    model = {
        path.relative_to(ROOT / "pipelines") for path in (ROOT / "pipelines/jasco-nano").rglob("*") if path.is_file()
    }
    expected = {f"diffusers_jasco/checkpoints/{path.as_posix()}" for path in model if path.suffix != ".png"}
    assert {name for name in names if name.startswith("diffusers_jasco/checkpoints/")} == expected
    assert "diffusers_jasco/checkpoints/jasco-nano/README.md" in expected
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    package = ROOT / "src/diffusers_jasco"
    data = {path.relative_to(ROOT / "src").as_posix() for path in package.rglob("*.*") if path.is_file()}
    assert {name for name in data if "__pycache__" not in name} <= names
    fields = Parser().parsestr(metadata)
    assert fields["License-Expression"] == "Apache-2.0" and fields["Requires-Python"] == ">=3.11"


def test_twine_accepts_the_distributions(distributions):
    pytest.importorskip("twine")
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *distributions], check=True)


def test_the_first_snippet_runs_from_the_wheel_and_shows_only_progress_bars(installed, tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    snippet = re.search(r"```python\n(.+?)```", readme, re.DOTALL)[1]
    assert 'from_pretrained("jasco-nano")' in snippet
    script = tmp_path / "first.py"
    script.write_text(f"{snippet}\nimport diffusers_jasco\nprint(diffusers_jasco.__file__)\n", encoding="utf-8")
    process = run(installed, tmp_path / "first", script)
    assert Path(process.stdout.splitlines()[-1]).is_relative_to(installed)
    assert not other_than_bars(process.stderr) and "100%" in process.stderr
    assert [path.suffix for path in (tmp_path / "first").iterdir() if path.is_file()]


def test_the_command_runs_from_the_wheel_without_a_checkpoint(installed, tmp_path):
    code = "from importlib.metadata import entry_points; list(entry_points(name='jasco-generate'))[0].load()()"
    options = ["80s pop", "--chords", "C | Am | F | G", "--bpm", "96"]
    process = run(installed, tmp_path / "command", "-c", code, *options)
    assert process.stdout.split() == ["jasco.wav"] and (tmp_path / "command/jasco.wav").stat().st_size > 100_000
    assert not other_than_bars(process.stderr)
