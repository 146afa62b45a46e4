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

"""Tests of training in separate processes: distributed runs, and runs that are killed."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import EncodecModel

from diffusers_jasco import JascoPipeline
from diffusers_jasco.data.features import write_features

from ..data.test_features import make_items
from .run_tools import (
    CODEC,
    ROOT,
    WEIGHTS,
    arguments,
    assert_same_weights,
    launch,
    read_log,
    read_steps,
    without_times,
)


pytestmark = pytest.mark.slow
# The text encoder's dropout depends on the batch.
NO_DROPOUT = ("--text_encoder_config", "{dropout_rate: 0.0}")


def finish(process):
    errors = process.communicate(timeout=400)[1]
    assert process.returncode == 0, errors


def wait_for_steps(output, count: int, process):
    deadline = time.monotonic() + 200
    while len(read_steps(output)) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.poll() is None, process.stderr.read()


def test_bad_input_is_reported_in_one_line(tmp_path, data):
    process = launch(*arguments(data, tmp_path / "run", "--dataset", tmp_path / "none"))
    errors = process.communicate(timeout=200)[1]
    assert process.returncode == 2
    assert errors.startswith("train_jasco: ") and "is not a dataset" in errors and errors.count("\n") == 1


def test_sigterm_stops_with_a_checkpoint(tmp_path, data):
    process = launch(*arguments(data, tmp_path, "--max_steps", 100_000, "--validate_every", 100_000))
    wait_for_steps(tmp_path, 3, process)
    process.terminate()
    assert process.wait(timeout=60) == 0, process.stderr.read()
    last = read_steps(tmp_path)[-1]["step"]
    assert (tmp_path / "checkpoints" / f"step-{last:08d}").is_dir() and (tmp_path / "model_index.json").exists()


def test_all_processes_stop_after_the_same_step_if_one_gets_a_signal(tmp_path, data):
    process = launch(*arguments(data, tmp_path, "--max_steps", 100_000, "--validate_every", 100_000), processes=2)
    wait_for_steps(tmp_path, 3, process)
    workers = [int(pid) for pid in os.popen(f"pgrep -P {process.pid}").read().split()]
    os.kill(workers[-1], signal.SIGTERM)
    assert process.wait(timeout=60) == 0, process.stderr.read()
    last = read_steps(tmp_path)[-1]["step"]
    assert (tmp_path / "checkpoints" / f"step-{last:08d}").is_dir()


def test_two_processes_resume_exactly(tmp_path, data):
    def train(output, *extra):
        finish(launch(*arguments(data, output, "--max_steps", 6, *extra), processes=2))

    train(tmp_path / "straight")
    train(tmp_path / "parts", "--max_minutes", 0)
    assert len(read_steps(tmp_path / "parts")) == 1
    train(tmp_path / "parts", "--resume", "latest")
    assert_same_weights(tmp_path / "straight", tmp_path / "parts", 6)
    assert without_times(read_log(tmp_path / "straight")) == without_times(read_log(tmp_path / "parts"))


def test_two_processes_resume_exactly_with_muon_and_a_tempo_model(tmp_path, data):
    codec = EncodecModel.from_pretrained(CODEC).eval()
    grid = {"beats": [0.1, 0.5, 0.9], "downbeats": [0.1, 0.9]}
    write_features([item | grid for item in make_items(count=12)], codec, tmp_path / "clips")
    options = ("--dataset", tmp_path / "clips", "--transformer", "{beats: true, qk_norm: rms_norm}", *NO_DROPOUT)
    options += ("--tempo_weight", 0.1, "--optimizer", "muon", "--lr_scheduler", "wsd", "--max_steps", 6)

    def train(output, *extra, processes=2):
        finish(launch(*arguments(data, output, *options, *extra), processes=processes))

    train(tmp_path / "straight")
    train(tmp_path / "parts", "--max_minutes", 0)
    train(tmp_path / "parts", "--resume", "latest")
    assert_same_weights(tmp_path / "straight", tmp_path / "parts", 6)
    train(tmp_path / "one", "--batch_size", 4, processes=1)
    one, two = (read_log(tmp_path / name) for name in ("one", "straight"))
    for name in ("loss", "tempo_loss", "validation_loss"):
        values, expected = ([entry[name] for entry in log if name in entry] for log in (two, one))
        assert len(values) >= 3 and values == pytest.approx(expected, abs=1e-3)


def test_all_processes_start_the_decay_after_the_same_step(tmp_path, data):
    options = ("--max_steps", 100_000, "--lr_scheduler", "wsd", "--total_minutes", 0.02, "--validate_every", 0)
    finish(launch(*arguments(data, tmp_path, *options), processes=2))
    steps = read_steps(tmp_path)
    peak = max(entry["learning_rate"] for entry in steps)
    start = max(entry["step"] for entry in steps if entry["learning_rate"] == peak)
    assert steps[-1]["step"] == pytest.approx(start * 4 / 3, abs=2) and steps[-1]["learning_rate"] < 0.5 * peak


def test_two_processes_learn_the_same_as_one_with_twice_the_batch_size(tmp_path, data):
    common = ("--max_steps", 12, "--drop_span", 0.3, *NO_DROPOUT)
    finish(launch(*arguments(data, tmp_path / "one", *common, "--batch_size", 4)))
    finish(launch(*arguments(data, tmp_path / "two", *common, "--batch_size", 2), processes=2))
    one, two = (read_log(tmp_path / name) for name in ("one", "two"))
    for name in ("loss", "grad_norm", "validation_loss"):
        values, expected = ([entry[name] for entry in log if name in entry] for log in (two, one))
        assert len(values) >= 6 and values == pytest.approx(expected, abs=1e-5 if name != "grad_norm" else 1e-3)


def test_all_processes_end_if_one_dies(tmp_path, data):
    process = launch(*arguments(data, tmp_path, "--max_steps", 100_000, "--validate_every", 100_000), processes=2)
    wait_for_steps(tmp_path, 3, process)
    workers = [int(pid) for pid in os.popen(f"pgrep -P {process.pid}").read().split()]
    assert len(workers) >= 2
    start = time.monotonic()
    os.kill(workers[-1], signal.SIGKILL)
    assert process.wait(timeout=60) != 0
    while any(os.path.exists(f"/proc/{pid}") for pid in workers) and time.monotonic() - start < 60:
        time.sleep(0.1)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in workers)


def test_fsdp_learns_the_same(tmp_path, data):
    # Options of the configuration file in the form that Accelerate's launcher passes them.
    common = ("--max_steps", 6, "--checkpoint_every", 3, *NO_DROPOUT)
    finish(launch(*arguments(data, tmp_path / "one", *common, "--batch_size", 4)))
    config = yaml.safe_load((ROOT / "training" / "configs" / "accelerate" / "fsdp2.yaml").read_text())["fsdp_config"]
    environment = {name.upper(): str(value) for name, value in config.items()} | {"ACCELERATE_USE_FSDP": "true"}
    options = {"processes": 2, "script": Path(__file__).with_name("fsdp_on_cpu.py"), **environment}
    sharded = arguments(data, tmp_path / "sharded", *common, "--batch_size", 2)
    finish(launch(*sharded, **options))
    before = read_steps(tmp_path / "sharded")
    assert [entry["loss"] for entry in read_steps(tmp_path / "one")] == pytest.approx(
        [entry["loss"] for entry in before], abs=1e-4
    )
    for name in WEIGHTS:
        expected, weights = load_file(tmp_path / "one" / name), load_file(tmp_path / "sharded" / name)
        for key in expected:
            torch.testing.assert_close(weights[key], expected[key], atol=1e-4, rtol=1e-3)
    assert JascoPipeline.from_pretrained(tmp_path / "sharded").transformer.controls == ("chords", "drums", "melody")
    # The checkpoint consists of one shard per process, and can be resumed.
    shards = tmp_path / "sharded" / "checkpoints" / "step-00000003" / "pytorch_model_fsdp_0"
    assert len(list(shards.glob("*.distcp"))) == 2
    shutil.rmtree(tmp_path / "sharded" / "checkpoints" / "step-00000006")
    finish(launch(*sharded, "--resume", "latest", **options))
    resumed = read_steps(tmp_path / "sharded")
    assert [entry["loss"] for entry in resumed] == pytest.approx([entry["loss"] for entry in before], abs=1e-6)


@pytest.mark.parametrize("precision, tolerance", [("no", 1e-4), ("bf16", 0.02)])
def test_deepspeed_learns_the_same(tmp_path, data, precision, tolerance):
    # Options of the configuration file in the form that Accelerate's launcher passes them.
    pytest.importorskip("deepspeed")
    common = ("--max_steps", 6, "--checkpoint_every", 3, *NO_DROPOUT)
    finish(launch(*arguments(data, tmp_path / "one", *common, "--batch_size", 4)))
    path = ROOT / "training" / "configs" / "accelerate" / "deepspeed_zero2.yaml"
    config = yaml.safe_load(path.read_text())["deepspeed_config"]
    environment = {f"ACCELERATE_DEEPSPEED_{name.upper()}": str(value) for name, value in config.items()}
    script = Path(__file__).with_name("deepspeed_on_cpu.py")
    options = {"processes": 2, "script": script, "DS_ACCELERATOR": "cpu", **environment}
    # Two processes with two batches per step.
    halves = ("--batch_size", 1, "--gradient_accumulation_steps", 2, "--mixed_precision", precision)
    sharded = arguments(data, tmp_path / "sharded", *common, *halves)
    finish(launch(*sharded, **options))
    one, two = (read_log(tmp_path / name) for name in ("one", "sharded"))
    for name in ("loss", "grad_norm", "validation_loss"):
        expected, values = ([entry[name] for entry in log if name in entry] for log in (one, two))
        assert len(values) >= 3 and values == pytest.approx(
            expected, abs=tolerance if name != "grad_norm" else 20 * tolerance
        )
    weights = load_file(tmp_path / "sharded" / WEIGHTS[0])
    assert all(weight.dtype == torch.float32 for weight in weights.values())
    shutil.rmtree(tmp_path / "sharded" / "checkpoints" / "step-00000006")
    finish(launch(*sharded, "--resume", "latest", **options))
    resumed = read_steps(tmp_path / "sharded")
    assert [entry["loss"] for entry in resumed] == pytest.approx([e["loss"] for e in two if "loss" in e], abs=1e-6)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [20])
def test_a_run_resumes_exactly_after_being_killed_at_any_time(tmp_path, data, kills):
    common = ("--max_steps", 60, "--checkpoint_every", 2, "--validate_every", 5, "--log_every", 3, "--drop_span", 0.3)
    start = time.monotonic()
    finish(launch(*arguments(data, tmp_path / "straight", *common)))
    duration = time.monotonic() - start
    rng, killed, while_training = random.Random(0), 0, 0
    command = arguments(data, tmp_path / "killed", *common, "--resume", "latest")
    while killed < kills:
        process = launch(*command)
        before = len(read_steps(tmp_path / "killed"))
        # Two runs, then half of the others, are killed after training has started, the rest at any time.
        if while_training < 2 or rng.random() < 0.5:
            while len(read_steps(tmp_path / "killed")) <= before and process.poll() is None:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.5))
        else:
            time.sleep(rng.uniform(0, duration))
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        killed += 1
        while_training += len(read_steps(tmp_path / "killed")) > before
    finish(launch(*command))
    print(f"{killed} kills, {while_training} of them during training")
    assert while_training >= 2
    assert_same_weights(tmp_path / "straight", tmp_path / "killed", 60)
    for name in WEIGHTS:
        best = [load_file(tmp_path / run / "best" / name) for run in ("straight", "killed")]
        assert all(torch.equal(best[0][key], best[1][key]) for key in best[0])
    assert without_times(read_log(tmp_path / "straight")) == without_times(read_log(tmp_path / "killed"))
