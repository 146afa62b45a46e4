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
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers.utils import logging

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


CONNECTED = SimpleNamespace(is_initialized=lambda: True)  # instead of Ray


class Square:
    """Squares numbers. Its process is killed at -1 if the file does not exist, at -2 always; -3 is an error."""

    def __init__(self, file: Path):
        self.file, self.num_calls = file, 0

    def __call__(self, number: int) -> tuple[int, int, int, str, bool]:
        self.num_calls += 1
        if number == -2 or (number == -1 and not self.file.exists()):
            self.file.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == -3:
            raise ValueError("numbers have to be at least -2")
        return number**2, self.num_calls, torch.get_num_threads(), os.getcwd(), logging.is_progress_bar_enabled()


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
    # Their progress bars would be mixed.
    assert not any(result[4] for result in results)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_killed_local_process_ends_the_run(tmp_path):
    with pytest.raises(LostWorkerError, match="A process was killed, possibly due to lack of memory. Resume"):
        list(LocalEngine(2).map(Square(tmp_path / "killed"), [1, -2, 3]))


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_killed_ray_process_is_replaced(tmp_path, ray_cluster, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = RayEngine(num_proc=1).map(Square(Path("killed")), [3, 4, -1, -3])
    # One process for several items, with one thread, in this folder, without progress bars.
    assert [next(results) for _ in range(3)] == [
        (3, (9, 1, 1, str(tmp_path), False)),
        (4, (16, 2, 1, str(tmp_path), False)),
        (-1, (1, 1, 1, str(tmp_path), False)),
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


@pytest.mark.slow
def test_a_run_that_waits_for_cores_says_so(tmp_path, ray_cluster, monkeypatch):
    monkeypatch.setattr(engines, "_PATIENCE", 1.0)
    other = ray_cluster.remote(num_cpus=2)(Square).remote(tmp_path)
    ray_cluster.get(other.__call__.remote(1))
    monkeypatch.setattr(engines.logger, "warning", lambda text: messages.append(text) or ray_cluster.kill(other))
    messages = []
    assert [result[0] for _, result in RayEngine().map(Square(tmp_path), [3])] == [9]
    assert messages == [engines._NO_START] and "has not started a process for 60 s" in messages[0]


@pytest.fixture
def unconnected_ray(monkeypatch, tmp_path):
    """Instead of Ray: is not connected, and `init` raises `error`. No cluster was started on this machine."""

    def init(address, **options):
        raise ray.error

    ray = SimpleNamespace(is_initialized=lambda: False, init=init, error=None)
    monkeypatch.setattr(engines, "import_optional", lambda *names: ray)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return ray


@pytest.fixture
def port():
    """A port at which nothing responds."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        yield other.getsockname()[1]


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1", ":6379", "127.0.0.1:99999", "127.0.0.1:x"])
def test_an_address_has_a_host_and_a_port(unconnected_ray, address):
    with pytest.raises(ValueError, match=f"`address` has to be host:port, auto or local, but is {address}"):
        RayEngine(address)


def test_an_address_where_nothing_responds_is_an_error_at_once(unconnected_ray, port, monkeypatch, tmp_path):
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with pytest.raises(ConnectionError, match=f"`address`: no Ray cluster responds at {address} .*ray start"):
            RayEngine(address)
    (tmp_path / "ray").mkdir()
    # Of a cluster that has been killed.
    (tmp_path / "ray/ray_current_cluster").write_text(f"127.0.0.1:{port}")
    for address in (None, "auto"):
        with pytest.raises(ConnectionError, match=f"ray_current_cluster: no Ray cluster responds at 127.0.0.1:{port}"):
            RayEngine(address)
    monkeypatch.setenv("RAY_ADDRESS", f"localhost:{port}")
    for address in (None, "auto"):
        with pytest.raises(ConnectionError, match=f"RAY_ADDRESS: no Ray cluster responds at localhost:{port}"):
            RayEngine(address)
    RayEngine("local")


@pytest.mark.parametrize(
    "address, error, message",
    [
        (
            "auto",
            ConnectionError("set the --address flag"),
            "`address`: no Ray cluster runs on this machine. `ray start",
        ),
        (None, RuntimeError("no memory"), "Ray can't be started: no memory"),
        (
            "127.0.0.1:{port}",
            RuntimeError("Version mismatch"),
            r"`address` 127.0.0.1:\d+: Version mismatch. .*same versions",
        ),
    ],
)
def test_ray_that_does_not_connect_is_an_error(unconnected_ray, address, error, message):
    unconnected_ray.error = error
    with socket.create_server(("127.0.0.1", 0)) as server:
        engine = RayEngine(address and address.format(port=server.getsockname()[1]))
        with pytest.raises(ConnectionError, match=message):
            next(engine.map(abs, [1]))
    assert "RAY_gcs_server_port_wait_time_s" not in os.environ


@pytest.mark.slow
def test_another_service_at_the_address_is_an_error_after_one_attempt(tmp_path):
    pytest.importorskip("ray")
    code = "from diffusers_jasco.utils.engines import RayEngine; next(RayEngine('{}').map(abs, [1]))"
    with socket.create_server(("", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, "-c", code.format(address)]
        environment = os.environ | {"RAY_TMPDIR": str(tmp_path)}
        # Without a limit, Ray tries for a quarter of an hour.
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert f"ConnectionError: `address` {address}: Failed to connect to Ray cluster" in result.stderr


@pytest.mark.parametrize(
    "machines, options, expected",
    [
        ([{"CPU": 7.0}, {"CPU": 3.0}], {"threads": 2}, (4, {"num_cpus": 2, "num_gpus": 0})),
        ([{"CPU": 8.0, "GPU": 2.0}, {"CPU": 64.0}], {}, (2, {"num_cpus": 1, "num_gpus": 1})),
        ([{"CPU": 8.0, "GPU": 2.0}], {"gpus": 0, "num_proc": 3}, (3, {"num_cpus": 1, "num_gpus": 0})),
    ],
)
def test_there_are_as_many_ray_processes_as_the_machines_have_room_for(machines, options, expected, monkeypatch):
    monkeypatch.setattr(engines, "import_optional", lambda *names: CONNECTED)
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
    monkeypatch.setattr(engines, "import_optional", lambda *names: CONNECTED)
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
