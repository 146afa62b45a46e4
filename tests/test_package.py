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

import diffusers_jasco


def modules_after(statement: str) -> set[str]:
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return set(json.loads(output.splitlines()[-1]))


def test_importing_takes_no_optional_dependency():
    loaded = modules_after("import diffusers_jasco")
    optional = {"librosa", "pretty_midi", "gradio", "datasets", "mir_eval", "demucs", "demucs_infer", "vamp", "h5py"}
    # What Diffusers' own pipelines import is not ours to avoid.
    assert not (loaded & optional) - modules_after("from diffusers import StableAudio3Pipeline")
    assert "hypothesis" not in loaded


def test_controls_need_nothing_but_torch_and_numpy_of_the_heavy_packages():
    loaded = modules_after("import diffusers_jasco.controls.midi")
    assert "pretty_midi" not in loaded


def test_controls_are_read_without_what_extracts_them():
    """Parsers and rasterizers are below the extractors, which read audio with models."""
    folder = Path(diffusers_jasco.__file__).parent
    modules = sorted(f"diffusers_jasco.controls.{path.stem}" for path in folder.glob("controls/[!_]*.py"))
    # The package itself imports the pipeline, and with it everything.
    package = "import sys, types; sys.modules['diffusers_jasco'] = package = types.ModuleType('diffusers_jasco')"
    path = f"package.__path__ = [{str(folder)!r}]"
    loaded = modules_after(f"{package}\n{path}\nimport {', '.join(modules)}")
    assert set(modules) <= loaded
    above = ("diffusers_jasco.extraction", "diffusers_jasco.inputs", "diffusers_jasco.models")
    assert not [name for name in loaded if name.startswith(above)]
