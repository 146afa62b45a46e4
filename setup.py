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

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py


ROOT = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (ROOT / "src/diffusers_jasco/utils/version.py").read_text(), re.M)[1]

# PyAV 19 has no `metadata_errors`, so tags that are not UTF-8 cannot be ignored.
PYAV = "av<19"
EXTRAS = {
    "train": ["datasets", "peft", "tensorboard"],
    "chords": ["vamphost"],
    "extraction": ["librosa", "h5py", "swift-f0>=0.3"],
    "drums": ["demucs-infer", "librosa"],
    "eval": ["mir_eval", "matplotlib", "librosa"],
    # tinysoundfont has to be installed with --no-deps: it requires PyAudio, which needs a compiler and is not used.
    "synthetic": ["pretty_midi", "pyfluidsynth"],
    "plot": ["matplotlib", "mir_eval"],
    "space": ["gradio>=6", "matplotlib", "mir_eval", PYAV],
    "bitsandbytes": ["bitsandbytes"],
    # Recordings in M4A, WebM, WMA, video and other containers.
    "formats": [PYAV],
    "cluster": ["ray"],
}
EXTRAS["dev"] = [
    "pytest>=8.2",
    "pytest-xdist",
    "pytest-timeout",
    "hypothesis",
    "ruff==0.9.10",
    "import-linter",
    "mypy",
    "peft",
    "pretty_midi",
    "julius",
    "parameterized",
    "mir_eval",
    "matplotlib",
    "datasets",
    "ray",
    "omegaconf",
    "librosa",
    PYAV,
    "h5py",
    "swift-f0>=0.3",
    "scikit-learn",
    "tensorboard",
    "nbclient",
    "nbformat",
    "ipykernel",
    "gradio>=6",
    "playwright",
    "build",
    "twine",
    "setuptools>=77",
    "mkdocs<2",
    "mkdocs-material",
    "mkdocstrings[python]",
]
# Everything for users: no developer tools, and no bitsandbytes, which needs a GPU.
EXTRAS["all"] = sorted({package for name in EXTRAS if name not in ("bitsandbytes", "dev") for package in EXTRAS[name]})


class BuildWithModel(build_py):
    """Copies jasco-nano into the package, where `utils/bundled.py` looks for it."""

    def run(self):
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "diffusers_jasco/checkpoints/jasco-nano")
            ignore = shutil.ignore_patterns("*.png")
            shutil.copytree(ROOT / "pipelines/jasco-nano", target, ignore=ignore, dirs_exist_ok=True)


setup(
    name="diffusers-jasco",
    version=VERSION,
    description="JASCO for Diffusers: text-to-music that follows chords, drums and melody",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The diffusers-jasco authors",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["text-to-music", "music-generation", "diffusion", "flow-matching", "diffusers", "jasco", "audiocraft"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Multimedia :: Sound/Audio :: Sound Synthesis",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    project_urls={"Paper": "https://arxiv.org/abs/2406.10970"},
    package_dir={"": "src"},
    packages=find_packages("src"),
    package_data={
        "diffusers_jasco": [
            "py.typed",
            "controls/*.json",
            "extraction/weights/*/*",
            "evaluation/estimators/weights/*/*",
            "evaluation/test_set_data/*/*",
            "evaluation/benchmark_data/*/*",
        ]
    },
    python_requires=">=3.11",
    install_requires=[
        # torchaudio 2.11, the newest release, refuses the CUDA version that PyTorch 2.15 is built with.
        "torch>=2.6,<2.15",
        "torchaudio>=2.6",
        "diffusers>=0.42",
        "transformers>=5.4",
        "accelerate",
        "safetensors",
        "huggingface-hub",
        "numpy",
        "soundfile",
        "soxr",
        "einops",
        "pyyaml",
        "filelock",
    ],
    extras_require=EXTRAS,
    cmdclass={"build_py": BuildWithModel},
    entry_points={"console_scripts": ["jasco-generate = diffusers_jasco.commands.generate:main"]},
)
