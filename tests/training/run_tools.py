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

"""What the tests of training runs share."""

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
        "config": ROOT / "training" / "configs" / "debug.yaml",
        "dataset": data / "train",
        "validation_dataset": data / "dev",
        "codec": CODEC,
        "tokenizer": data / "tokenizer",
        "output": output,
    }
    return [str(part) for name, value in options.items() for part in (f"--{name}", value)] + [str(e) for e in extra]


def read_log(output: Path) -> list[dict]:
    # A run may just be writing its last line, or have been killed at that.
    lines = (output / "log.jsonl").read_text().split("\n")[:-1]
    return [json.loads(line) for line in lines]


def assert_same_weights(output: Path, other: Path, step: int):
    for name in (*WEIGHTS, f"checkpoints/step-{step:08d}/model.safetensors"):
        weights, others = load_file(output / name), load_file(other / name)
        assert weights.keys() == others.keys()
        assert all(torch.equal(weights[key], others[key]) for key in weights), name


def without_times(log: list[dict]) -> list[dict]:
    return [{k: v for k, v in entry.items() if k not in ("minutes", "clips_per_second")} for entry in log]


def read_steps(output: Path) -> list[dict]:
    return [entry for entry in read_log(output) if "loss" in entry] if (output / "log.jsonl").exists() else []


def launch(
    *args: str, processes: int = 1, accelerate: Path | None = None, script: str = "train_jasco"
) -> subprocess.Popen:
    r"""
    Starts a script in processes of its own.

    Args:
        args (`str`): its options.
        processes (`int`): how many, started by torchrun.
        accelerate (`Path`, *optional*): a configuration of Accelerate, of which two processes run on the CPU.
        script (`str`): which one.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, str(ROOT / "training" / f"{script}.py"), *args]
    if processes > 1:
        command[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    if accelerate is not None:
        launcher = ["-m", "accelerate.commands.launch", "--config_file", str(accelerate), "--num_processes", "2"]
        command[1:1] = [*launcher, "--mixed_precision", "no"]
        environment["ACCELERATE_USE_CPU"] = "true"
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
