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

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import diffusers_jasco
from diffusers_jasco import JascoPipeline
from diffusers_jasco.codecs import load_codec


OPTIONAL = {
    "av",
    "datasets",
    "demucs",
    "demucs_infer",
    "gradio",
    "h5py",
    "hypothesis",
    "librosa",
    "matplotlib",
    "mir_eval",
    "peft",
    "pretty_midi",
    "vamp",
}
# Packages that Diffusers' own pipelines import are not ours to avoid.
CODE = """
import json, sys
from diffusers import StableAudio3Pipeline
before = set(sys.modules)
import diffusers_jasco
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_importing_takes_no_optional_dependency():
    output = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    loaded = set(json.loads(output.splitlines()[-1]))
    assert "diffusers_jasco.pipelines.pipeline_jasco" in loaded and not loaded & OPTIONAL


def test_controls_are_read_without_the_extractors():
    """Parsers and rasterizers are below the extractors, which read audio with models."""
    folder = Path(diffusers_jasco.__file__).parent
    modules = sorted(f"diffusers_jasco.controls.{path.stem}" for path in folder.glob("controls/[!_]*.py"))
    # The package itself imports the pipeline, and with it everything.
    code = f"""
import json, sys, types
sys.modules["diffusers_jasco"] = package = types.ModuleType("diffusers_jasco")
package.__path__ = [{str(folder)!r}]
import {", ".join(modules)}
print(json.dumps(sorted(sys.modules)))
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = set(json.loads(output.splitlines()[-1]))
    assert set(modules) <= loaded
    above = ("diffusers_jasco.extraction", "diffusers_jasco.inputs", "diffusers_jasco.models")
    assert not [name for name in loaded if name.startswith(above)]


def test_the_small_model_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pipe = JascoPipeline.from_pretrained("jasco-nano")
    assert pipe.sampling_rate == 24000 and load_codec("jasco-nano").config.sampling_rate == 24000
    # One's own folder of that name comes first.
    (tmp_path / "jasco-nano").mkdir()
    with pytest.raises(OSError):
        JascoPipeline.from_pretrained("jasco-nano")


@pytest.mark.slow
def test_the_small_model_is_in_the_wheel(tmp_path):
    root = Path(__file__).parents[1]
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.py", "README.md", "pyproject.toml", "LICENSE", "src", "pipelines"):
        copy = shutil.copytree if (root / name).is_dir() else shutil.copy
        copy(root / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", tmp_path, source]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "installed", "zip")
    code = (
        "from diffusers_jasco import JascoPipeline; print(JascoPipeline.from_pretrained('jasco-nano').sampling_rate)"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert output.split() == ["24000"]
