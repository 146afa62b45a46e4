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


"""Resumable batches: after an interruption the order of the data continues where it stopped."""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import torch
from diffusers.utils import logging
from torch.utils.data import DataLoader, Dataset, default_collate

from ..data.mixing import to_shares
from ..data.streams import StreamedClips, StreamPosition
from ..utils.seeding import derive_seed


# A stream is read in at most so many parts, or as many as there are processes: each part has files open.
logger = logging.get_logger(__name__)

MAX_PARTS = 8


@dataclass(eq=False)
class _Batches(ABC):
    r"""
    Endless batches for one of several processes, which go on where they stopped. The state is the place in the data after the
    last batch that was given out, whatever the loader's workers had fetched ahead.

    Attributes:
        prepare (`Callable`, *optional*):
            Called with each batch that is a `dict`, in the loader's processes unless `encode` makes it; returns the batch to
            give out, such as one with the noise of a training step.
        key_prefix (`str`): comes before the keys of the items.
    """

    dataset: Any
    batch_size: int
    collate_fn: Callable | None = None
    seed: int = 0
    process_index: int = 0
    num_processes: int = 1
    num_workers: int = 0
    encode: Callable | None = None
    # Not annotated, as they are no arguments.
    prepare = None
    key_prefix = ""

    @property
    def global_batch_size(self) -> int:
        """Items per batch of all processes."""
        return self.batch_size * self.num_processes

    @property
    def num_frames(self) -> int:
        """Frames of an item."""
        return self.dataset.num_frames

    @abstractmethod
    def __iter__(self) -> Iterator[Any]:
        """Batches; a `dict` has the keys of its items, `key`."""

    def _load(self, dataset: Dataset, plan: Iterator[tuple[list, list[str], Any]]) -> Iterator[tuple[Any, Any]]:
        """Batches of what is planned, (what the dataset is asked for, keys, place afterwards), with their places."""
        fetched = deque()

        def requests() -> Iterator[tuple[list, list[str]]]:
            for request, keys, place in plan:
                keys = [self.key_prefix + key for key in keys]
                fetched.append((keys, place))
                yield request, keys

        loader = DataLoader(
            _BatchMaker(dataset, self.collate_fn, None if self.encode else self.prepare),
            sampler=requests(),
            batch_size=None,
            collate_fn=_unchanged,
            num_workers=self.num_workers,
            # Its own, so that a new loader draws nothing from the generator of the training.
            generator=torch.Generator(),
        )
        for batch in loader:
            keys, place = fetched.popleft()
            if self.encode is not None:
                batch = _finish(self.encode(batch), keys, self.prepare)
            yield batch, place


class _BatchMaker(Dataset):
    """Makes whole batches, as only then their keys are known in the loader's processes."""

    def __init__(self, dataset: Dataset, collate_fn: Callable | None, prepare: Callable | None):
        self.dataset, self.collate_fn, self.prepare = dataset, collate_fn or default_collate, prepare

    def __getitem__(self, request: tuple[list, list[str]]) -> Any:
        items, keys = request
        return _finish(self.collate_fn([self.dataset[item] for item in items]), keys, self.prepare)


def _finish(batch: Any, keys: list[str], prepare: Callable | None) -> Any:
    if not isinstance(batch, dict):
        return batch
    batch = batch | {"key": keys}
    return batch if prepare is None else prepare(batch)


def _unchanged(batch: Any) -> Any:
    return batch


def fitting_batch_size(batch_size: int, num_items: int, num_processes: int = 1, warns: bool = True) -> int:
    r"""
    The largest batch size that so many items fill once, at most `batch_size`; a smaller one comes with a warning.

    Args:
        batch_size (`int`): requested items per batch of each process.
        num_items (`int`): items of the data set.
        num_processes (`int`, defaults to `1`): number of processes.
        warns (`bool`, defaults to `True`): whether this process warns.

    Raises:
        `ValueError`: if there are fewer items than processes, or the batch size is less than 1.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` has to be at least 1, but is {batch_size}.")
    if num_items < num_processes:
        raise ValueError(f"There are {num_items} clips for training, fewer than processes ({num_processes}).")
    fitting = min(batch_size, num_items // num_processes)
    if fitting < batch_size and warns:
        logger.warning(
            f"The batch size is {fitting} instead of {batch_size}: there are {num_items} clips for training"
            + (f" in {num_processes} processes." if num_processes > 1 else ".")
        )
    return fitting


def to_device(batch: Any, device: torch.device) -> Any:
    """The tensors of a batch on a device, copied without waiting for it."""
    if isinstance(batch, dict):
        return {name: to_device(value, device) for name, value in batch.items()}
    if not torch.is_tensor(batch):
        return batch
    if device.type != "cuda" or batch.is_cuda:
        return batch.to(device)
    return batch.pin_memory().to(device, non_blocking=True)


@dataclass(eq=False)
class EpochBatches(_Batches):
    r"""
    Endless batches of a dataset for one of several processes: in each epoch another permutation, which depends on the
    seed and the epoch only. Together the processes take `batch_size * num_processes` items at a time; what does not fill
    the last batch of an epoch is left out.

    Its `state_dict` is the place in the data after the last batch that was given out, so that a resumed run goes on with
    the next one, whatever the loader's workers had fetched ahead.

    To a batch that is a `dict` the keys of its items are added: `key`, a list of `"<epoch>/<index>"`, which depend neither on
    the process nor on how many there are.

    Args:
        dataset (`Dataset`):
            The dataset; its `set_epoch`, if it has one, is called before each epoch.
        batch_size (`int`):
            Items per batch of one process.
        collate_fn (`Callable`, *optional*):
            Makes a batch of items, in the loader's processes.
        seed (`int`, defaults to `0`):
            Seed of the order.
        process_index (`int`, defaults to `0`):
            Which process this is.
        num_processes (`int`, defaults to `1`):
            Number of processes.
        num_workers (`int`, defaults to `0`):
            Processes that load data, besides this one.
        encode (`Callable`, *optional*):
            Makes the batch of what `collate_fn` returns, in this process; such as [`~data.online_encoding.BatchEncoder`], with `list`
            as `collate_fn`.

    Raises:
        `ValueError`: if the dataset does not fill one batch.
    """

    def __post_init__(self):
        self.epoch = 0
        self.position = 0
        if len(self.dataset) < self.global_batch_size:
            raise ValueError(
                f"The dataset has {len(self.dataset)} items, fewer than one batch of all processes,"
                f" {self.global_batch_size}: give it more clips, or a smaller `batch_size`."
            )

    def _rest_of_epoch(self) -> Iterator[tuple[list[int], list[str], int]]:
        generator = torch.Generator().manual_seed(derive_seed("order", self.seed, self.epoch))
        order = torch.randperm(len(self.dataset), generator=generator).tolist()
        epoch, own = self.epoch, self.process_index * self.batch_size
        for start in range(self.position, len(order) - self.global_batch_size + 1, self.global_batch_size):
            indices = order[start + own : start + own + self.batch_size]
            yield indices, [f"{epoch}/{index}" for index in indices], start + self.global_batch_size

    def __iter__(self) -> Iterator[Any]:
        while True:
            if hasattr(self.dataset, "set_epoch"):
                self.dataset.set_epoch(self.epoch)
            for batch, position in self._load(self.dataset, self._rest_of_epoch()):
                self.position = position
                yield batch
            self.epoch, self.position = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """The place in the data."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state_dict: dict[str, int]):
        """Goes to a place in the data; to be called before iteration begins."""
        self.epoch, self.position = state_dict["epoch"], state_dict["position"]


@dataclass(eq=False)
class StreamBatches(_Batches):
    r"""
    Endless batches of a streaming data set for one of several processes.

    The stream is read in parts, each of them with shards of its own, and a batch of all processes has as many items from
    each part. The number of parts divides those of shards and of items in such a batch; it does not depend on the number of
    processes up to 8 of them, and so neither do the items. A process reads the parts that its items come from: if there
    are as many parts as processes, or a multiple, then no process reads what another does.

    Epochs follow each other without a gap, in each part by itself. The batches, their keys and `state_dict` are like those
    of [`EpochBatches`]; where a run goes on, at most `shuffle_buffer` rows are read again.

    Args:
        dataset ([`~data.streams.ClipStream`]):
            The clips.
        batch_size (`int`), collate_fn (`Callable`, *optional*), seed (`int`), process_index (`int`), num_processes (`int`),
        num_workers (`int`), encode (`Callable`, *optional*):
            As for [`EpochBatches`]. Rows are read in this process, and decoded by the workers.
        shuffle_buffer (`int`, defaults to `512`):
            Rows that are shuffled together, in all parts. They are kept in memory as they are stored.
    """

    shuffle_buffer: int = 512

    def __post_init__(self):
        common = math.gcd(self.global_batch_size, self.dataset.num_shards)
        limit = max(MAX_PARTS, self.num_processes)
        self.num_parts = max(n for n in range(1, min(common, limit) + 1) if common % n == 0)
        self.block_size = max(self.shuffle_buffer // self.num_parts, 1)
        # Which items of a batch of all processes are this one's, and the parts that they come from.
        own = range(self.process_index * self.batch_size, (self.process_index + 1) * self.batch_size)
        per_part = self.global_batch_size // self.num_parts
        self._own = {
            part: [part * per_part + position in own for position in range(per_part)]
            for part in range(own[0] // per_part, own[-1] // per_part + 1)
        }
        self._places = {part: StreamPosition() for part in self._own}

    @property
    def epoch(self) -> int:
        """The epoch of the part that is the farthest behind, of those that this process reads."""
        return min(place.epoch for place in self._places.values())

    def _plan(self) -> Iterator[tuple[list, list[str], dict[int, StreamPosition]]]:
        places = dict(self._places)
        parts = {
            part: self.dataset.worker_shard(part, self.num_parts, self.seed, self.block_size, place)
            for part, place in places.items()
        }
        while True:
            request = []
            for part, is_own in self._own.items():
                for keep, (item, place) in zip(is_own, parts[part]):
                    places[part] = place
                    if keep:
                        request.append(item)
            yield request, [key for _, key in request], dict(places)

    def __iter__(self) -> Iterator[Any]:
        for batch, places in self._load(StreamedClips(self.dataset.reader), self._plan()):
            self._places = places
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """The place in the data of all processes, which have to call this together."""
        places = [self._places]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            places = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(places, self._places)
        merged = {part: astuple(place) for own in places for part, place in own.items()}
        return {"num_parts": self.num_parts, "block_size": self.block_size, "places": merged}

    def load_state_dict(self, state_dict: dict[str, Any]):
        r"""
        Goes to a place in the data; to be called before iteration begins.

        Raises:
            `ValueError`: if the data were divided otherwise.
        """
        for name in ("num_parts", "block_size"):
            if state_dict[name] != getattr(self, name):
                raise ValueError(
                    f"The stream was read with `{name}` {state_dict[name]}, now it is {getattr(self, name)}: shards, batch size,"
                    " number of processes and shuffle buffer have to be as they were."
                )
        self._places = {part: StreamPosition(*state_dict["places"][part]) for part in self._own}


class InterleavedBatches:
    r"""
    Endless batches of several data sets, some of which may be streams, for one of several processes: each batch is from one
    data set, in all processes from the same; the next one is from that which is the farthest behind its share. A batch's keys
    are those of its data set with the number of it before them. The state is the places in all of them.

    Args:
        sources (`Sequence[EpochBatches | StreamBatches]`): batches of each data set, with the same batch size and processes.
        weights (`Sequence[float]`): shares of the batches, relative to each other.

    Raises:
        `ValueError`: for weights that are not positive or not as many as data sets.
    """

    def __init__(self, sources: Sequence[EpochBatches | StreamBatches], weights: Sequence[float]):
        self.sources = list(sources)
        self.shares = to_shares(weights, len(sources))
        self.given = [0] * len(sources)  # batches of each data set
        for number, source in enumerate(self.sources):
            source.key_prefix = f"{number}/"

    @property
    def prepare(self) -> Callable | None:
        """As for [`EpochBatches`]."""
        return self.sources[0].prepare

    @prepare.setter
    def prepare(self, prepare: Callable | None):
        for source in self.sources:
            source.prepare = prepare

    @property
    def global_batch_size(self) -> int:
        """Items per batch of all processes."""
        return self.sources[0].global_batch_size

    @property
    def num_frames(self) -> int:
        """Frames of an item."""
        return self.sources[0].num_frames

    @property
    def epoch(self) -> int:
        """The epoch of the data set that is the farthest behind."""
        return min(source.epoch for source in self.sources)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        streams = [iter(source) for source in self.sources]
        while True:
            count = sum(self.given) + 1
            behind = [share * count - given for share, given in zip(self.shares, self.given)]
            number = behind.index(max(behind))
            batch = next(streams[number])
            self.given[number] += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """The places in the data of all processes, which have to call this together."""
        return {"given": list(self.given), "sources": [source.state_dict() for source in self.sources]}

    def load_state_dict(self, state_dict: dict[str, Any]):
        r"""
        Goes to a place in the data; to be called before iteration begins.

        Raises:
            `ValueError`: if the data were divided otherwise.
        """
        self.given = list(state_dict["given"])
        for source, state in zip(self.sources, state_dict["sources"], strict=True):
            source.load_state_dict(state)
