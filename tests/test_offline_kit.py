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


"""Tests of the offline kit's parts. The whole kit needs downloads, so it is tried by hand."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
KIT = ROOT / "scripts" / "offline_kit"


@pytest.fixture(scope="module")
def build_offline_kit():
    sys.path.insert(0, str(ROOT / "scripts"))
    import build_offline_kit

    yield build_offline_kit
    sys.path.remove(str(ROOT / "scripts"))


@pytest.fixture
def kit(tmp_path, build_offline_kit) -> Path:
    """A kit with one small package and an empty sound font."""
    wheels, folder = tmp_path / "wheels", tmp_path / "kit"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "tiny-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("tiny.py", "value = 7\n" * 1000)
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        names = ("tiny.py", "tiny-1.0.dist-info/METADATA", "tiny-1.0.dist-info/WHEEL", "tiny-1.0.dist-info/RECORD")
        wheel.writestr(names[-1], "".join(f"{name},,\n" for name in names))
    shutil.copytree(KIT, folder)
    (folder / "font.sf3").touch()
    (folder / "packages.tar.xz").write_bytes(build_offline_kit.pack_wheels(wheels))
    subprocess.run("sha256sum * > SHA256SUMS", shell=True, cwd=folder, check=True)
    return folder


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | environment
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_packages_that_a_machine_lacks(build_offline_kit):
    versions = build_offline_kit.find_packages("3.12", ["torch", "torchaudio", "numpy", "Pillow"])
    assert {"diffusers", "transformers", "tokenizers", "soundfile", "cffi", "tinysoundfont", "pytest"} <= set(versions)
    assert not {"diffusers-jasco", "torch", "sympy", "numpy", "pillow", "hf-xet", "pyaudio"} & set(versions)
    assert "peft" not in build_offline_kit.find_packages("3.12", ["peft"])


def test_packages_are_installed_without_internet(kit, tmp_path):
    process = run(kit / "install.sh", tmp_path / "site")
    assert process.returncode == 0, process.stderr
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import tiny; print(tiny.value)"
    assert run(tmp_path / "site/bin/python", "-c", code).stdout == "7\n"
    (kit / "font.sf3").write_text("damaged")
    assert run(kit / "install.sh", tmp_path / "other").returncode != 0 and not (tmp_path / "other").exists()


def test_selected_steps_run_in_the_repository(kit, tmp_path):
    script = tmp_path / "repository" / "scripts" / "train_nano.sh"
    script.parent.mkdir(parents=True)
    script.write_text(
        '#!/bin/sh\necho "$PWD $DEVICE $SOUNDFONTS $MAX_MINUTES $RESULTS"\npython -c "import tiny"\nexit 3\n'
    )
    script.chmod(0o755)
    settings = {"SITE": str(tmp_path / "site"), "SELECT": "train", "MAX_MINUTES": "2"}
    process = run(kit / "run.sh", tmp_path / "repository", tmp_path / "results", **settings)
    assert "train: exit code 3" in process.stdout
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["train.log"]
    expected = f"{tmp_path / 'repository'} cuda {kit / 'font.sf3'} 2 {tmp_path / 'results'}\n"
    assert (tmp_path / "results/train.log").read_text() == expected


@pytest.mark.slow
def test_results_of_gpu_tests_survive_the_time_limit(kit, tmp_path):
    folder = tmp_path / "repository" / "tests" / "gpu"
    folder.mkdir(parents=True)
    for name in ("codecs", "transformer", "training", "pipeline"):
        code = "import time, pytest\n\n@pytest.mark.gpu\ndef test_it():\n    time.sleep(SECONDS)\n"
        (folder / f"test_{name}.py").write_text(code.replace("SECONDS", "60" if name == "training" else "0"))
    settings = {"SITE": str(tmp_path / "site"), "SELECT": "test", "TEST_SECONDS": "15"}
    process = run(kit / "run.sh", tmp_path / "repository", tmp_path / "results", **settings)
    assert "test: exit code 124" in process.stdout
    assert "2 passed" in (tmp_path / "results/test.log").read_text()
