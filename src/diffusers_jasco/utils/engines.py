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
import logging
import multiprocessing
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from .arguments import CommandParser, fastest_device, integer
from .arguments import device as find_device
from .cli import end_with_parent
from .optional_imports import import_optional


_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# How often a call is repeated on Ray if its process is killed.
MAX_RETRIES = 2
_CAUSE = "possibly due to lack of memory"


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
            Address of the cluster, or `"auto"` for the one that this machine belongs to. By default, the one that Ray is
            connected to, that `RAY_ADDRESS` names, or that this machine belongs to; otherwise Ray is started on this
            machine.
        num_proc (`int`, *optional*): maximum number of processes, by default as many as the cluster has room for.
        threads (`int`, defaults to `1`): CPU cores and threads per process.
        gpus (`int`, *optional*): GPUs per process, by default 1 if the cluster has GPUs.

    Raises:
        `ImportError`: if Ray is not installed.
    """

    address: str | None = None
    num_proc: int | None = None
    threads: int = 1
    gpus: int | None = None

    def __post_init__(self):
        import_optional("ray", "cluster")

    def map(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> Iterator[tuple[_Item, _Result | LostWorkerError]]:
        r"""
        See [`Engine`].

        Raises:
            `ValueError`: if no machine of the cluster has the cores and GPUs of a process.
            `ConnectionError`: if no cluster can be reached at the address.
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
                (reference,), _ = ray.wait([*running, *starting], num_returns=1)
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
                " a process needs (`threads`, `device`)."
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
    ray.init(address, include_dashboard=False, logging_level=logging.WARNING)


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
    add("--ray_address", help="address of a Ray cluster, or auto (default: the one of this machine, or a new one)")
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
