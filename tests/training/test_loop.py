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

import argparse
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from diffusers_jasco.training.batches import EpochBatches
from diffusers_jasco.training.logs import RunLog
from diffusers_jasco.training.loop import TrainingLoop

from ..conftest import run_script
from .run_tools import arguments, read_log


# Functions that synchronize with the device, including `torch.tensor`, which copies numbers to it.
READS = {"tolist", "item", "cpu", "numpy", "nonzero", "tensor", "__bool__", "__int__", "__float__", "__index__"}
READING_OPERATORS = ("_local_scalar_dense", "nonzero", "equal", "masked_select", "is_nonzero", "_unique2")


class ReadsInPython(TorchFunctionMode):
    """Records functions that return tensor values to Python."""

    def __init__(self, reads: list[str]):
        super().__init__()
        self.reads = reads

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func.__name__ in READS:
            self.reads.append(func.__name__)
        return func(*args, **(kwargs or {}))


class ReadsInOperators(TorchDispatchMode):
    """Records operators that synchronize with a GPU, as their results depend on tensor values."""

    def __init__(self, reads: list[str]):
        super().__init__()
        self.reads = reads

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._schema.name.removeprefix("aten::") in READING_OPERATORS:
            self.reads.append(func._schema.name)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def reads(monkeypatch):
    """Tensor reads in each step, from one batch until the next one is requested."""
    reads_of_steps, iterate = [], EpochBatches.__iter__

    def watched(self):
        for batch in iterate(self):
            reads_of_steps.append([])
            with ReadsInPython(reads_of_steps[-1]), ReadsInOperators(reads_of_steps[-1]):
                yield batch

    monkeypatch.setattr(EpochBatches, "__iter__", watched)
    return reads_of_steps


STEPS = ("--max_steps", 4, "--log_every", 4, "--validate_every", 0, "--checkpoint_minutes", 60, "--drop_span", 0.5)


@pytest.mark.parametrize("script", ["train_jasco", "train_jasco_lora"])
@pytest.mark.parametrize("batches_per_step", [1, 2])
def test_a_step_does_not_synchronize_with_the_device(tmp_path, data, run, scripts, reads, script, batches_per_step):
    options = (*STEPS, "--gradient_accumulation_steps", batches_per_step)
    if script == "train_jasco":
        options += ("--transformer", "{beats: true}", "--tempo_weight", 0.1, "--optimizer", "muon")
        scripts[0].main(arguments(data, tmp_path, *options))
    else:
        paths = ("--dataset", data / "train", "--base", run, "--output", tmp_path, "--batch_size", 2, "--cpu")
        run_script(script, *paths, *options, "--log_with", "none")
    assert len(reads) == 4 * batches_per_step
    *before, last = reads
    assert not any(before), before
    assert "tolist" in last, "values are read when a log entry is due"


class Numbers(torch.utils.data.Dataset):
    """The items 0 to 7."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return {"x": torch.tensor([float(index)])}


def make_loop(folder: Path, **options) -> tuple[TrainingLoop, torch.optim.Optimizer, RunLog]:
    options = {"seed": 0, "max_steps": 8, "max_minutes": None, "log_every": 3, "max_grad_norm": 1.0} | options
    args = argparse.Namespace(output=folder, checkpoint_every=0, checkpoint_minutes=0, keep_checkpoints=0, **options)
    accelerator = Accelerator(cpu=True)
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    lr_scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    model, optimizer = accelerator.prepare(model, optimizer)
    loop = TrainingLoop(args, accelerator, model, EpochBatches(Numbers(), 2), [lr_scheduler])
    return loop, optimizer, RunLog(folder, accelerator, 0, {})


@pytest.mark.parametrize("broken", [1, 6])
def test_an_infinite_gradient_is_reported_and_not_saved(tmp_path, broken):
    loop, optimizer, log = make_loop(tmp_path)

    def train_step(batch):
        loss = loop.model(batch["x"]).square().mean() * (torch.inf if loop.state.step == broken else 1)
        loop.optimize(loss, optimizer)
        loop.means.add(loss=loss)

    with pytest.raises(FloatingPointError, match=f"gradient norm of step {broken} is (nan|inf)"):
        loop.run(train_step, pytest.fail, log)
    assert [line["step"] for line in read_log(tmp_path)] == [step for step in (3, 6) if step <= broken]


def test_hooks_are_called_when_due_and_at_the_end(tmp_path):
    loop, optimizer, log = make_loop(tmp_path, log_every=4, max_steps=7)
    calls = []

    def train_step(batch):
        assert loop.model.training
        loop.optimize(loop.model(batch["x"]).square().mean(), optimizer)
        loop.means.add(loss=torch.tensor(float(loop.state.step)))

    def hook():
        calls.append(loop.state.step)
        loop.model.eval()

    loop.run(train_step, lambda: calls.append("saved"), log, [(3, hook), (0, pytest.fail)])
    assert calls == [3, 6, 7, "saved"]
    assert [(line["step"], line["loss"]) for line in read_log(tmp_path)] == [(4, 1.5), (7, 5.0)]
    assert (tmp_path / "checkpoints" / "step-00000007").is_dir()
