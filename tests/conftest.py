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

import copy
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from safetensors.torch import load_file


os.environ.setdefault("HF_HUB_OFFLINE", "1")
# By default, Ray's processes have the niceness 15, so they hardly run beside others.
os.environ.setdefault("RAY_worker_niceness", "0")

FIXTURES = Path(__file__).parent / "fixtures"
CHECKPOINTS = ("chords-drums", "chords-drums-melody")
CASES = [
    (checkpoint, index)
    for checkpoint in CHECKPOINTS
    for index in range(len(json.loads((FIXTURES / checkpoint / "cases.json").read_text())))
]


def load_case(checkpoint: str, index: int) -> tuple[dict, dict[str, torch.Tensor]]:
    """Arguments, intermediate values and results of one call of AudioCraft (see fixtures/README.md)."""
    case = json.loads((FIXTURES / checkpoint / "cases.json").read_text())[index]
    return case, load_file(FIXTURES / checkpoint / case["file"])


def case_inputs(case: dict, tensors: dict[str, torch.Tensor]) -> dict:
    """The same call as arguments of our pipeline."""
    inputs = {
        "prompt": case["prompts"],
        "chords": case.get("chords"),
        "drums": (tensors["drums"], 32000) if "drums" in case else None,
        "guidance_scale": case["all"],
        "text_guidance_scale": case["txt"],
        "latents": tensors["initial_noise"],
    }
    if "melody" in case:
        inputs["melody"] = tensors["melody"]
    if case["solver"] == "euler":
        inputs["num_inference_steps"] = case["steps"]
    return inputs


def load_pipeline(checkpoint: str, **components):
    """A pipeline with the fixtures' small random weights: 1 s of music at 50 frames per second."""
    from transformers import AutoTokenizer, EncodecModel, T5EncoderModel

    from diffusers_jasco import FlowMatchEulerScheduler, JascoPipeline

    components = {
        "tokenizer": AutoTokenizer.from_pretrained(FIXTURES / "t5"),
        "text_encoder": T5EncoderModel.from_pretrained(FIXTURES / "t5").eval(),
        "codec": EncodecModel.from_pretrained(FIXTURES / checkpoint / "encodec").eval(),
        "scheduler": FlowMatchEulerScheduler(),
    } | components
    pipe = JascoPipeline.from_pretrained(FIXTURES / checkpoint, **components)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def relative_error(value: torch.Tensor, reference: torch.Tensor) -> float:
    return float((value - reference).detach().norm() / reference.norm())


def run_script(name: str, *arguments):
    """Runs the command `scripts/<name>.py` or `training/<name>.py` in this process."""
    root = Path(__file__).parents[1]
    script = next(
        path for path in (root / "scripts" / f"{name}.py", root / "training" / f"{name}.py") if path.is_file()
    )
    runpy.run_path(str(script))["main"]([str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def ray_cluster():
    """A Ray with two CPUs on this machine, to which `RayEngine` connects."""
    ray = pytest.importorskip("ray")
    root = Path(__file__).parents[1]
    with pytest.MonkeyPatch.context() as patch:
        # Its processes import the package, and the functions of tests.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(root / "src"), str(root)]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init("local", num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            yield ray
        finally:
            ray.shutdown()


class ClusterOnThisMachine:
    """
    A Ray cluster with two CPUs that `ray start` has started, as on the first machine of a cluster. Its address is `auto`.

    Args:
        folder (`str`): folder of its files. Short, as paths of sockets have at most 107 characters.
    """

    def __init__(self, folder: str):
        root = Path(__file__).parents[1]
        self.environment = os.environ | {
            "RAY_TMPDIR": folder,
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(root / "src"),
        }
        self.environment.pop("RAY_ADDRESS", None)
        options = ["--head", "--port=0", "--num-cpus=2", "--num-gpus=0", "--include-dashboard=false", "--block"]
        self.log = open(Path(folder, "log.txt"), "w+")
        self.process = subprocess.Popen(
            [Path(sys.executable).with_name("ray"), "start", *options],
            env=self.environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        while not Path(folder, "ray/ray_current_cluster").is_file():
            assert self.process.poll() is None, self.read_log()
            time.sleep(0.2)

    def read_log(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def start_script(self, name: str, *arguments) -> subprocess.Popen:
        """Starts a command of `scripts/` on it, whose output can be read."""
        script = Path(__file__).parents[1] / "scripts" / f"{name}.py"
        command = [sys.executable, script, *arguments, "--engine", "ray", "--ray_address", "auto"]
        return subprocess.Popen(
            [str(argument) for argument in command],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=120)
        finally:
            # `ray stop` would stop the clusters of others as well.
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.log.close()


@pytest.fixture(scope="session")
def cluster_on_this_machine():
    pytest.importorskip("ray")
    with TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        cluster = ClusterOnThisMachine(folder)
        try:
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture(scope="session")
def loaded_once():
    return load_pipeline("chords-drums-melody")


@pytest.fixture
def pipe(loaded_once):
    """A pipeline with all three controls and the Euler scheduler."""
    return copy.deepcopy(loaded_once)


@pytest.fixture(scope="session")
def nano_in_two_steps(tmp_path_factory):
    """A folder with `pipelines/jasco-nano` as in the repository, except for the default number of steps."""
    folder = tmp_path_factory.mktemp("repository")
    source, target = Path(__file__).parents[1] / "pipelines/jasco-nano", folder / "pipelines/jasco-nano"
    target.mkdir(parents=True)
    for path in source.iterdir():
        (target / path.name).symlink_to(path)
    config = json.loads((source / "scheduler/scheduler_config.json").read_text())
    # The noise levels of a distilled model belong to its own number of steps.
    config |= {"num_inference_steps": 2, "inference_sigmas": None}
    (target / "scheduler").unlink()
    (target / "scheduler").mkdir()
    (target / "scheduler/scheduler_config.json").write_text(json.dumps(config))
    (folder / "jasco-nano").symlink_to(target)  # takes precedence over the one in the package
    return folder


@pytest.fixture
def warnings(caplog):
    """Warnings of this package, which Diffusers' logger does not propagate by default."""
    from diffusers.utils import logging

    logging.enable_propagation()
    with caplog.at_level("WARNING"):
        yield caplog
    logging.disable_propagation()


@pytest.fixture(scope="module")
def hub():
    """A Hub on localhost; its clients run in separate processes, since this one is offline (see test_hub.py)."""
    from .hub_server import Hub

    server = Hub()
    yield server
    server.stop()
