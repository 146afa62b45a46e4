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
import subprocess
import sys
from pathlib import Path

import pytest

import diffusers_jasco
from diffusers_jasco import JascoPipeline
from diffusers_jasco.codecs import load_codec
from diffusers_jasco.utils import bundled
from diffusers_jasco.utils.bundled import resolve_checkpoint


OPTIONAL = {
    "av",
    "datasets",
    "demucs",
    "demucs_infer",
    "gradio",
    "h5py",
    "hypothesis",
    "librosa",
    "onnxruntime",
    "swift_f0",
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


def test_importing_needs_no_optional_dependency():
    output = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    loaded = set(json.loads(output.splitlines()[-1]))
    assert "diffusers_jasco.pipelines.pipeline_jasco" in loaded and not loaded & OPTIONAL


def test_controls_are_parsed_without_the_extractors():
    """Parsers and rasterizers are below the extractors, which read audio with models."""
    folder = Path(diffusers_jasco.__file__).parent
    modules = sorted(f"diffusers_jasco.controls.{path.stem}" for path in folder.glob("controls/[!_]*.py"))
    # Importing the package imports the pipeline and all of its dependencies.
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


def test_the_shipped_model_is_found_from_any_folder(tmp_path, monkeypatch, warnings):
    monkeypatch.chdir(tmp_path)
    pipe = JascoPipeline.from_pretrained("jasco-nano")
    assert pipe.sampling_rate == 24000 and load_codec("jasco-nano").config.sampling_rate == 24000
    assert not warnings.text


def test_a_folder_named_jasco_nano_takes_precedence_with_a_warning(tmp_path, monkeypatch, warnings):
    (tmp_path / "jasco-nano").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError):
        JascoPipeline.from_pretrained("jasco-nano")
    assert f"{tmp_path / 'jasco-nano'} is loaded" in warnings.text and "pass './jasco-nano'" in warnings.text
    warnings.clear()
    with pytest.raises(OSError):
        JascoPipeline.from_pretrained("./jasco-nano")
    assert not warnings.text
    # The shipped model itself.
    monkeypatch.chdir(Path(__file__).parents[1] / "pipelines")
    assert resolve_checkpoint("jasco-nano") == "jasco-nano" and not warnings.text


def test_an_installation_without_the_shipped_model_causes_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "_IN_WHEEL", tmp_path / "wheel")
    monkeypatch.setattr(bundled, "_IN_CLONE", tmp_path / "clone")
    with pytest.raises(FileNotFoundError, match="does not contain jasco-nano: install"):
        JascoPipeline.from_pretrained("jasco-nano")
