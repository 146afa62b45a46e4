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

"""Engines: a function is applied to many items in this process, in several processes, or on a Ray cluster."""

import argparse
import itertools
import multiprocessing
import os
import socket
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers.utils import logging

from .arguments import CommandParser, fastest_device, integer
from .arguments import device as find_device
from .cli import end_with_parent
from .optional_imports import import_optional


logger = logging.get_logger(__name__)

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# How often a call is repeated on Ray if its process is killed.
MAX_RETRIES = 2
# Options of commands for the arguments that error messages name; see `run_command`.
ENGINE_FLAGS = {"address": "--ray_address", "threads": "--threads", "gpus": "--device"}
_PATIENCE = 60.0  # seconds
_NO_START = (
    f"Ray has not started a process for {_PATIENCE:g} s. If other jobs use the cores of the cluster, which `ray status`"
    " shows, this one waits for them. If other programs use them, Ray's processes are slow, because of their low priority:"
    " RAY_worker_niceness=0 changes it when Ray is started."
)
_CAUSE = "possibly due to lack of memory"
_HINT = "`ray start --head` starts one, and the address local starts one for this run."


class LostWorkerError(OSError):
    """A process was killed, so its item has no result."""

    def __init__(self, message: str):
        super().__init__(message)


class Engine(ABC):
    """Applies functions to items."""

    @abstractmethod
    def map(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> Iterator[tuple[_Item, _Result | LostWorkerError]]:
        r"""
        Applies a function to each item. Each process gets one copy of the function, so what the function loads in its
        first call, such as a model, is loaded once per process.

        Args:
            function (`Callable`): the function. It and its results have to be picklable, except with one local process.
            items (`Iterable`): the items, picklable as well. An item is taken when a process is free for it.

        Yields:
            Each item with its result, as soon as it is available. A local process that is killed ends the run. Ray starts
            another one, which repeats the call; if three processes were killed by the same item, its result is a
            [`LostWorkerError`].

        Raises:
            `Exception`: those of the function, which end the run.
            [`LostWorkerError`]: if a local process is killed.
        """


@dataclass(frozen=True)
class LocalEngine(Engine):
    r"""
    Processes on this machine.

    Args:
        num_proc (`int`, defaults to `1`): number of processes; with 1, the function runs in this process.
        threads (`int`, *optional*): CPU threads per process, by default PyTorch's.
    """

    num_proc: int = 1
    threads: int | None = None

    def map(self, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[tuple[_Item, _Result]]:
        """See [`Engine`]."""
        if self.num_proc <= 1:
            if self.threads is not None:
                torch.set_num_threads(self.threads)
            yield from ((item, function(item)) for item in items)
            return
        remaining, running = iter(items), dict[Future, Any]()
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.num_proc, context, _start_process, (function, self.threads)) as pool:
            try:
                while True:
                    for item in remaining:
                        running[pool.submit(_call, item)] = item
                        if len(running) >= self.num_proc:
                            break
                    if not running:
                        return
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        yield running.pop(future), future.result()
            except BrokenProcessPool as error:
                message = f"A process was killed, {_CAUSE}. Resume the run with fewer processes."
                raise LostWorkerError(message) from error
            finally:
                pool.shutdown(cancel_futures=True)


_function: Callable[[Any], Any] | None = None  # of a process of `LocalEngine`


def _start_process(function: Callable[[Any], Any], threads: int | None):
    global _function
    end_with_parent()
    logging.disable_progress_bar()  # of several processes, they would be mixed
    if threads is not None:
        torch.set_num_threads(threads)
    _function = function


def _call(item: Any) -> Any:
    assert _function is not None
    return _function(item)


@dataclass(frozen=True)
class RayEngine(Engine):
    r"""
    Processes on a Ray cluster. They find the input files under the same paths as this process; relative paths refer to its
    working folder.

    Args:
        address (`str`, *optional*):
            Address of the cluster (`"host:port"`), `"auto"` for the one that this machine belongs to, or `"local"` for a new
            one on this machine. By default, the one that Ray is connected to, that `RAY_ADDRESS` names, or that this
            machine belongs to; otherwise a new one.
        num_proc (`int`, *optional*): maximum number of processes, by default as many as the cluster has room for.
        threads (`int`, defaults to `1`): CPU cores and threads per process.
        gpus (`int`, *optional*): GPUs per process, by default 1 if the cluster has GPUs.

    Raises:
        `ImportError`: if Ray is not installed.
        `ValueError`: if the address is not one.
        `ConnectionError`: if nothing responds at the address, that of `RAY_ADDRESS`, or that of this machine's cluster.
    """

    address: str | None = None
    num_proc: int | None = None
    threads: int = 1
    gpus: int | None = None

    def __post_init__(self):
        ray = import_optional("ray", "cluster")
        if not ray.is_initialized():
            _check_cluster(*_find_cluster(self.address))

    def map(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> Iterator[tuple[_Item, _Result | LostWorkerError]]:
        r"""
        See [`Engine`].

        Raises:
            `ValueError`: if no machine of the cluster has the cores and GPUs of a process.
            `ConnectionError`: if Ray can't be started, or does not accept the connection.
        """
        ray = import_optional("ray", "cluster")
        _connect(ray, self.address)
        count, options = self._plan([node["Resources"] for node in ray.nodes() if node["Alive"]])
        remaining = iter(items)
        waiting = [_Call(item) for item in itertools.islice(remaining, count)][::-1]
        actor_class, shared = ray.remote(**options)(_RayProcess), ray.put(function)

        def start() -> tuple[Any, Any]:
            actor = actor_class.remote(shared, os.getcwd(), self.threads)
            return actor.start.remote(), actor

        # Actors get items once they have started: if others use the cluster as well, some may never start.
        starting = dict(start() for _ in waiting)
        idle: list[Any] = []
        running: dict[Any, tuple[Any, _Call]] = {}
        finished: list[tuple[Any, Any]] = []
        num_failed = 0  # starts in succession
        timeout: float | None = _PATIENCE  # until the first process has started
        try:
            while True:
                waiting += [_Call(item) for item in itertools.islice(remaining, max(0, len(idle) - len(waiting)))]
                while idle and waiting:
                    actor, call = idle.pop(), waiting.pop()
                    running[actor.call.remote(call.item)] = actor, call
                # After the calls have begun, as the caller may take its time.
                yield from finished
                finished = []
                if not running and (idle or not starting):
                    return
                ready, _ = ray.wait([*running, *starting], num_returns=1, timeout=timeout)
                timeout = None
                if not ready:
                    logger.warning(_NO_START)
                    continue
                (reference,) = ready
                if reference in starting:
                    actor = starting.pop(reference)
                    error = _fetch(ray, reference)[1]
                    if error is None:
                        idle.append(actor)
                        num_failed = 0
                    elif num_failed == MAX_RETRIES:
                        raise LostWorkerError(f"Ray can't start processes: {error}")
                    else:
                        num_failed += 1
                        starting |= [start()]
                    continue
                actor, call = running.pop(reference)
                result, error = _fetch(ray, reference)
                if error is None:
                    idle.append(actor)
                    finished.append((call.item, result))
                    continue
                ray.kill(actor)  # It may be its result that was lost.
                starting |= [start()]
                call.num_lost += 1
                if call.num_lost > MAX_RETRIES:
                    reason = str(error).partition("\n")[0]
                    error = LostWorkerError(f"{call.num_lost} processes were killed, {_CAUSE} ({reason})")
                    finished.append((call.item, error))
                else:
                    waiting.append(call)
        finally:
            for actor in [*starting.values(), *idle, *(actor for actor, _ in running.values())]:
                ray.kill(actor)

    def _plan(self, machines: Sequence[Mapping[str, float]]) -> tuple[int, dict[str, int]]:
        """The number of processes, and Ray's options for each, for the resources of the machines."""
        gpus = int(any(machine.get("GPU", 0) >= 1 for machine in machines)) if self.gpus is None else self.gpus
        options = {"num_cpus": self.threads, "num_gpus": gpus}
        needed = {"CPU": self.threads} | ({"GPU": gpus} if gpus else {})
        room = sum(min(int(machine.get(name, 0) // n) for name, n in needed.items()) for machine in machines)
        if room == 0:
            raise ValueError(
                f"No machine of the Ray cluster has {self.threads} CPU cores{f' and {gpus} GPUs' if gpus else ''}, which"
                " a process needs (`threads`, `gpus`)."
            )
        return self.num_proc or room, options


@dataclass
class _Call:
    """An item, and how many processes were lost with it."""

    item: Any
    num_lost: int = 0


class _RayProcess:
    """A Ray actor."""

    def __init__(self, function: Callable[[Any], Any], folder: str, threads: int):
        if os.path.isdir(folder):
            os.chdir(folder)
        logging.disable_progress_bar()  # of several processes, they would be mixed
        torch.set_num_threads(threads)
        self.function = function

    def start(self):
        """Does nothing; its result tells that the actor has started."""

    def call(self, item: Any) -> Any:
        return self.function(item)


def _connect(ray: Any, address: str | None):
    if ray.is_initialized():
        return
    # Otherwise, a Ray that is started here reports its usage over the internet.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    source, cluster = _find_cluster(address)
    try:
        with _one_attempt(cluster):
            ray.init(address, include_dashboard=False, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError) as error:
        if cluster is not None:
            message = (
                f"{source} {cluster}: {error}. Does it have the same versions of Ray and Python, and the same token?"
            )
        elif address == "auto":
            message = f"`address`: no Ray cluster runs on this machine. {_HINT}"
        else:
            message = f"Ray can't be started: {error}"
        raise ConnectionError(message) from error


def _find_cluster(address: str | None) -> tuple[str, str | None]:
    """Where the address of a cluster comes from, and the address; `None` where Ray looks for one, or starts one."""
    source = "`address`"
    if address in (None, "auto") and (variable := os.environ.get("RAY_ADDRESS")):
        source, address = "RAY_ADDRESS", variable
    if address in (None, "auto"):
        # `ray start` writes it; it may be outdated.
        file = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir(), "ray", "ray_current_cluster")
        source, address = str(file), file.read_text(encoding="utf-8").strip() if file.is_file() else None
    return source, None if address == "local" else address


def _check_cluster(source: str, cluster: str | None):
    """Raises an error at once where Ray would try to connect for many minutes."""
    if cluster is None:
        return
    host, _, port = cluster.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal() and int(port) < 2**16):
        raise ValueError(f"{source} has to be host:port, auto or local, but is {cluster}.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise ConnectionError(f"{source}: no Ray cluster responds at {cluster} ({error}). {_HINT}") from error


@contextmanager
def _one_attempt(cluster: str | None) -> Iterator[None]:
    """By default, Ray tries to connect 20 times, each for up to 40 s, even if another service responds."""
    name = "RAY_gcs_server_port_wait_time_s"
    if cluster is None or name in os.environ:
        yield
        return
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]


def _fetch(ray: Any, reference: Any) -> tuple[Any, Exception | None]:
    """The result of a call; or the error by which its process was lost. Raises the exceptions of the call itself."""
    try:
        return ray.get(reference), None
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise (cause if isinstance(cause, Exception) else error) from error
    except ray.exceptions.RayError as error:
        return None, error


def map_in_order(
    engine: Engine, function: Callable[[_Item], _Result], items: Sequence[_Item]
) -> Iterator[_Result | LostWorkerError]:
    """The results of [`Engine.map`] for different, hashable items, in their order."""
    pairs, results = engine.map(function, items), dict[_Item, Any]()
    for item in items:
        while item not in results:
            other, result = next(pairs)
            results[other] = result
        yield results.pop(item)


def add_engine_arguments(parser: argparse.ArgumentParser, device: str | None = None, threads: bool = True):
    r"""
    Adds the options `--engine`, `--ray_address`, `--num_proc`, `--device` and `--threads`.

    Args:
        parser (`argparse.ArgumentParser`): the parser.
        device (`str`, *optional*): default of `--device`, by default the fastest one.
        threads (`bool`, defaults to `True`): whether to add `--threads`.
    """
    add = parser.add_argument
    add("--engine", choices=("local", "ray"), default="local", help="where processes run: on this machine, or on Ray")
    add(
        "--ray_address",
        help="address of a Ray cluster, auto or local (default: auto if this machine has one, else local)",
    )
    add("--num_proc", type=integer(1), help="number of processes (default: 1; with Ray, as many as there is room for)")
    add("--device", default=device, help=f"cuda, cuda:1, mps or cpu (default: {device or 'the fastest'})")
    if threads:
        add(
            "--threads",
            type=integer(1),
            help="CPU threads per process (default: PyTorch's; with several processes, 1)",
        )


def check_engine_arguments(parser: CommandParser, args: argparse.Namespace):
    """Checks the options of [`add_engine_arguments`], and sets the default of `--device` for this machine."""
    if args.engine == "local":
        if args.ray_address is not None:
            parser.error("--ray_address requires --engine ray.")
        try:
            args.device = find_device(args.device or fastest_device())
        except argparse.ArgumentTypeError as error:
            parser.error(f"--device: {error}")
    elif args.device not in (None, "cpu", "cuda"):
        parser.error(f"--device has to be cpu or cuda with --engine ray, but is {args.device}.")


def create_engine(args: argparse.Namespace, threads: int | None = None) -> Engine:
    r"""
    The engine that the options of [`add_engine_arguments`] describe.

    Args:
        args (`argparse.Namespace`): the options.
        threads (`int`, *optional*): CPU threads per process, for commands without the option `--threads`.

    Raises:
        `ImportError`: if Ray is not installed.
    """
    threads = getattr(args, "threads", threads)
    if args.engine == "ray":
        gpus = None if args.device is None else int(args.device == "cuda")
        return RayEngine(args.ray_address, args.num_proc, threads or 1, gpus)
    num_proc = args.num_proc or 1
    return LocalEngine(num_proc, threads or (1 if num_proc > 1 else None))
