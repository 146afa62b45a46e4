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
import sys
from pathlib import Path

import pytest
import torch

from diffusers_jasco.utils import engines
from diffusers_jasco.utils.arguments import CommandParser
from diffusers_jasco.utils.engines import (
    LocalEngine,
    LostWorkerError,
    RayEngine,
    add_engine_arguments,
    check_engine_arguments,
    create_engine,
    map_in_order,
)


class Square:
    """Squares numbers. Its process is killed at -1 if the file does not exist, at -2 always; -3 is an error."""

    def __init__(self, file: Path):
        self.file, self.num_calls = file, 0

    def __call__(self, number: int) -> tuple[int, int, int, str]:
        self.num_calls += 1
        if number == -2 or (number == -1 and not self.file.exists()):
            self.file.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == -3:
            raise ValueError("numbers have to be at least -2")
        return number**2, self.num_calls, torch.get_num_threads(), os.getcwd()


def test_items_are_taken_when_a_process_is_free(tmp_path):
    taken = []
    results = LocalEngine().map(Square(tmp_path / "killed"), (taken.append(number) or number for number in range(3)))
    assert next(results)[0] == 0 and taken == [0]
    assert [(item, result[:2]) for item, result in results] == [(1, (1, 2)), (2, (4, 3))]


def test_local_processes(tmp_path):
    function = Square(tmp_path / "killed")
    results = list(map_in_order(LocalEngine(2, threads=1), function, range(6)))
    assert [result[0] for result in results] == [0, 1, 4, 9, 16, 25]
    assert {result[2] for result in results} == {1} and function.num_calls == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_killed_local_process_ends_the_run(tmp_path):
    with pytest.raises(LostWorkerError, match="A process was killed, possibly due to lack of memory. Resume"):
        list(LocalEngine(2).map(Square(tmp_path / "killed"), [1, -2, 3]))


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_killed_ray_process_is_replaced(tmp_path, ray_cluster, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = RayEngine(num_proc=1).map(Square(Path("killed")), [3, 4, -1, -3])
    # One process for several items, with one thread, in this folder.
    assert [next(results) for _ in range(3)] == [
        (3, (9, 1, 1, str(tmp_path))),
        (4, (16, 2, 1, str(tmp_path))),
        (-1, (1, 1, 1, str(tmp_path))),
    ]
    with pytest.raises(ValueError, match="at least -2"):
        next(results)
    assert list(RayEngine().map(Square(Path("killed")), [])) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_an_item_that_kills_every_ray_process_is_lost(tmp_path, ray_cluster):
    results = dict(RayEngine().map(Square(tmp_path / "killed"), [3, -2, 4, -1, 5]))
    assert isinstance(results[-2], LostWorkerError) and "3 processes were killed" in str(results.pop(-2))
    assert {item: result[0] for item, result in results.items()} == {3: 9, 4: 16, -1: 1, 5: 25}


@pytest.mark.parametrize(
    "machines, options, expected",
    [
        ([{"CPU": 7.0}, {"CPU": 3.0}], {"threads": 2}, (4, {"num_cpus": 2, "num_gpus": 0})),
        ([{"CPU": 8.0, "GPU": 2.0}, {"CPU": 64.0}], {}, (2, {"num_cpus": 1, "num_gpus": 1})),
        ([{"CPU": 8.0, "GPU": 2.0}], {"gpus": 0, "num_proc": 3}, (3, {"num_cpus": 1, "num_gpus": 0})),
    ],
)
def test_there_are_as_many_ray_processes_as_the_machines_have_room_for(machines, options, expected, monkeypatch):
    monkeypatch.setattr(engines, "import_optional", lambda *names: None)
    assert RayEngine(**options)._plan(machines) == expected
    with pytest.raises(ValueError, match="No machine of the Ray cluster has 99 CPU cores"):
        RayEngine(threads=99)._plan(machines)


def parse(*arguments: str):
    parser = CommandParser(prog="program")
    add_engine_arguments(parser)
    args = parser.parse_args(arguments)
    check_engine_arguments(parser, args)
    return args


def test_the_options_describe_an_engine(monkeypatch):
    assert create_engine(parse()) == LocalEngine(1, None)
    assert create_engine(parse("--num_proc", "2", "--device", "cpu")) == LocalEngine(2, 1)
    assert create_engine(parse("--num_proc", "2"), threads=3) == LocalEngine(2, 1)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'pip install "diffusers-jasco\[cluster\]"'):
        create_engine(parse("--engine", "ray"))
    monkeypatch.setattr(engines, "import_optional", lambda *names: None)
    options = ("--ray_address", "auto", "--threads", "4")
    assert create_engine(parse("--engine", "ray", *options)) == RayEngine("auto", None, 4, None)
    assert create_engine(parse("--engine", "ray", "--device", "cuda")).gpus == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--ray_address", "auto"], "--ray_address requires --engine ray"),
        (["--device", "xyz"], "--device: there is no device 'xyz'"),
        (["--engine", "ray", "--device", "cuda:1"], "--device has to be cpu or cuda with --engine ray, but is cuda:1"),
    ],
)
def test_options_that_do_not_fit_together(arguments, message, capsys):
    with pytest.raises(SystemExit):
        parse(*arguments)
    assert message in capsys.readouterr().err
