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


import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from diffusers_jasco.training.modules import JascoTrainingModel

from ..conftest import load_pipeline
from ..training.conftest import data, scripts  # noqa: F401
from ..training.run_tools import ROOT, WEIGHTS, arguments, read_steps
from .sizes import compiled_layers, is_gpu, make_inputs, make_transformer


# The width of the 400M models.
WIDE = "{num_layers: 4, num_attention_heads: 16, attention_head_dim: 64, ff_inner_dim: 4096}"
MEASURE = Path(__file__).with_name("with_peak_memory.py")


def train(measured, *args, script: str = "train_jasco", launcher: tuple[str, ...] = ()) -> None:
    """Runs a training script in a process of its own, which has to succeed."""
    command = [sys.executable, *launcher, MEASURE, ROOT / "training" / f"{script}.py", *args]
    # The packages of an offline kit are in the path, too.
    paths = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    result = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-4000:]
    if torch.cuda.is_available():
        peak = round(float(result.stdout.split()[-1]), 2)
        measured["peak_memory_gb"] = max(peak, measured.get("peak_memory_gb", 0.0))


def options_for(device: str) -> tuple[str, ...]:
    return ("--no-cpu", "--transformer", WIDE, "--batch_size", "8") if is_gpu(device) else ()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("kind", ["compiled", pytest.param("not compiled", marks=pytest.mark.slow)])
def test_fifty_steps_in_bfloat16_with_a_resume(gpu, data, folder, kind, measured):  # noqa: F811
    losses = check_training(gpu, data, folder / kind, 50, ("--compile",) if kind == "compiled" else (), measured)
    assert sum(losses[-12:]) / 12 < 0.9 * losses[0]


@pytest.mark.slow
def test_training_on_the_cpu_in_bfloat16_with_a_resume(data, tmp_path, measured):  # noqa: F811
    check_training("cpu", data, tmp_path / "run", 6, ("--compile",), measured)


def check_training(device, data, output, steps, options, measured) -> list[float]:  # noqa: F811
    common = ("--mixed_precision", "bf16", "--gradient_checkpointing", *options_for(device), *options)
    common += ("--log_every", 1, "--validate_every", steps // 2, "--learning_rate", "3e-4")
    train(measured, *arguments(data, output, *common, "--max_steps", steps, "--max_minutes", 0))
    assert len(read_steps(output)) == 1
    train(measured, "--output", output, "--resume", "latest", "--max_minutes", 9)
    losses = [entry["loss"] for entry in read_steps(output)]
    assert len(losses) == steps and torch.tensor(losses).isfinite().all()
    assert all(weight.isfinite().all() for weight in load_file(output / WEIGHTS[0]).values())
    return losses


def test_a_lora_is_trained(gpu, data, tmp_path, measured):  # noqa: F811
    base, output = tmp_path / "base", tmp_path / "lora"
    load_pipeline("chords-drums-melody").save_pretrained(base)
    paths = ("--base", base, "--dataset", data / "train", "--output", output, "--log_with", "none")
    train(measured, *paths, "--max_steps", 10, "--mixed_precision", "bf16", script="train_jasco_lora")
    weights = load_file(output / "pytorch_lora_weights.safetensors")
    # They are zero before training.
    assert any(weight.any() for name, weight in weights.items() if "lora_B" in name)


def test_one_process_with_fsdp2(gpu, data, tmp_path, measured):  # noqa: F811
    config = ROOT / "training" / "configs" / "accelerate" / "fsdp2.yaml"
    launcher = ("-m", "accelerate.commands.launch", "--config_file", config, "--num_processes", 1)
    options = (*options_for(gpu), "--mixed_precision", "bf16", "--log_every", 1, "--max_steps", 6)
    train(measured, *arguments(data, tmp_path, *options, "--max_minutes", 0), launcher=launcher)
    train(measured, "--output", tmp_path, "--resume", "latest", "--max_minutes", 9, launcher=launcher)
    losses = torch.tensor([entry["loss"] for entry in read_steps(tmp_path)])
    assert len(losses) == 6 and losses.isfinite().all()


def test_batches_of_captions_do_not_recompile(device):
    # Captions of equal and of different lengths, in training and in validation.
    transformer = make_transformer(device, compiled_layers(device))
    transformer.enable_gradient_checkpointing()
    transformer.compile_repeated_blocks(backend="inductor" if is_gpu(device) else "eager")
    model = JascoTrainingModel(transformer, torch.nn.Linear(1, 1))
    keep = {name: torch.ones(4, dtype=torch.bool, device=device) for name in ("text", *transformer.controls)}

    def step(tokens: int, is_padded: bool):
        inputs = make_inputs(transformer, 4, tokens)
        mask = inputs["text_mask"] if is_padded else torch.ones_like(inputs["text_mask"])
        text = {"hidden_states": inputs["encoder_hidden_states"], "attention_mask": mask, "is_padded": is_padded}
        controls = {name: inputs[name] for name in transformer.controls}
        batch = inputs["hidden_states"], inputs["timestep"], text, controls, keep
        model.train()
        model(*batch)[0].square().mean().backward()
        model.eval()
        with torch.no_grad():
            model(*batch)

    step(7, True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for tokens, is_padded in ((7, False), (12, True), (12, False), (32, False)):
            step(tokens, is_padded)
