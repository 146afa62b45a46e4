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
import signal
import subprocess
import sys

import pytest
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from diffusers_jasco.utils import cli
from diffusers_jasco.utils.arguments import CommandParser
from diffusers_jasco.utils.cli import run_command, select_shard


@pytest.mark.parametrize(
    "error, code, message",
    [
        (ValueError("`steps` has to be positive."), 2, "make: `steps` has to be positive.\n"),
        (FileNotFoundError("No file."), 2, "make: No file.\n"),
        (ImportError("Install it."), 2, "make: Install it.\n"),
        (FloatingPointError("Diverged."), 2, "make: Diverged.\n"),
        (KeyboardInterrupt(), 130, "make: interrupted\n"),
    ],
)
def test_errors_become_one_line_and_an_exit_code(capsys, error, code, message):
    def command():
        raise error

    assert run_command(command, "make") == code
    assert capsys.readouterr().err == message


def test_the_launcher_of_several_processes_reports_the_error(tmp_path, monkeypatch):
    def fail():
        raise ValueError("`steps` has to be positive.")

    for command, message in (
        (fail, "make: `steps` has to be positive."),
        (lambda: CommandParser(prog="make").parse_args(["--steps"]), "make: unrecognized arguments: --steps (--help"),
    ):
        file = tmp_path / "error.json"
        monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(file))
        try:
            run_command(command, "make")
        except SystemExit:
            pass
        report = str(ChildFailedError("make.py", {0: ProcessFailure(0, 1, 2, str(file))})).splitlines()
        assert message in report[-2], report
        file.unlink()


def test_bugs_keep_their_traceback():
    with pytest.raises(TypeError):
        run_command(lambda: 1 + "1", "make")
    assert run_command(lambda: None, "make") == 0


def test_shards_are_disjoint_and_complete():
    items = list(range(11))
    shards = [select_shard(items, f"{index}/3") for index in range(3)]
    assert sorted(item for shard in shards for item in shard) == items
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    assert select_shard(items, None) == items and select_shard([], "0/2") == []


@pytest.mark.parametrize("shard", ["3/3", "0/0", "-1/3", "1", "a/b", "1/3/5", ""])
def test_invalid_shards_are_rejected(shard):
    with pytest.raises(ValueError, match="--shard has to be i/n with i from 0 to n - 1"):
        select_shard([1, 2, 3], shard)


POOL = """
import multiprocessing, os, runpy, sys, time
from concurrent.futures import ProcessPoolExecutor

# Does not import the package, which takes seconds.
end_with_parent = runpy.run_path(sys.argv[1])["end_with_parent"]
with ProcessPoolExecutor(1, multiprocessing.get_context("fork"), end_with_parent) as pool:
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_worker_exits_when_its_parent_is_killed():
    # The worker also has the pipe open, so the pipe is closed only when both processes have ended.
    parent = subprocess.Popen([sys.executable, "-c", POOL, cli.__file__], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    os.kill(worker, 0)
    parent.kill()
    try:
        parent.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.kill(worker, signal.SIGKILL)
        raise
