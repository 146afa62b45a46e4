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

"""Helpers for tests of training runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from ..conftest import FIXTURES


ROOT = Path(__file__).parents[2]
CODEC = FIXTURES / "chords-drums-melody" / "encodec"
WEIGHTS = ("transformer/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors")


def arguments(data: Path, output: Path, *extra) -> list[str]:
    options = {
        "config": Path(__file__).with_name("tiny.yaml"),
        "dataset": data / "train",
        "validation_dataset": data / "dev",
        "codec": CODEC,
        "tokenizer": data / "tokenizer",
        "output": output,
    }
    return [str(part) for name, value in options.items() for part in (f"--{name}", value)] + [str(e) for e in extra]


def read_log(output: Path) -> list[dict]:
    # The last line may be incomplete if the run is still writing it, or was killed while writing it.
    lines = (output / "log.jsonl").read_text().split("\n")[:-1]
    return [json.loads(line) for line in lines]


def assert_same_weights(output: Path, reference: Path, step: int):
    for name in (*WEIGHTS, f"checkpoints/step-{step:08d}/model.safetensors"):
        weights, expected = load_file(output / name), load_file(reference / name)
        assert weights.keys() == expected.keys()
        assert all(torch.equal(weights[key], expected[key]) for key in weights), name


def without_times(log: list[dict]) -> list[dict]:
    return [{k: v for k, v in entry.items() if k not in ("minutes", "clips_per_second")} for entry in log]


def read_steps(output: Path) -> list[dict]:
    return [entry for entry in read_log(output) if "loss" in entry] if (output / "log.jsonl").exists() else []


def launch(*args: str, processes: int = 1, script: Path = ROOT / "training" / "train_jasco.py", **environment: str):
    """Starts a script in one process, or in several with torchrun, with one thread each."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")} | environment
    command = [sys.executable, str(script), *args]
    if processes > 1:
        command[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
