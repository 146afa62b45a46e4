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


"""Resumable batches: after an interruption, the order of the data continues where it stopped."""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import torch
from diffusers.utils import logging
from torch.utils.data import DataLoader, Dataset, default_collate

from ..data.features import collate_features
from ..data.growing import GrowingFeatures
from ..data.mixing import to_shares
from ..data.streams import StreamedClips, StreamPosition
from ..utils.seeding import derive_seed


logger = logging.get_logger(__name__)

# Streams are read in at most this many parts (or one per process, if there are more): each part keeps files open.
MAX_PARTS = 8


@dataclass(eq=False)
class _Batches(ABC):
    r"""
    Endless, resumable batches for one process. The state is the position after the last batch that was yielded,
    regardless of how far the loader's workers have prefetched.

    Attributes:
        prepare (`Callable`, *optional*):
            Called with each batch that is a `dict`, in the loader's workers unless there is an `encode`; returns the
            batch to yield, for example with the noise of a training step added.
        key_prefix (`str`): prefix of the items' keys.
        distinct_epochs (`int`, *optional*):
            Number of epochs after which the items (their captions, crops and keys) are the same again, in another
            order. By default, they never are.
    """

    dataset: Any
    batch_size: int
    collate_fn: Callable | None = None
    seed: int = 0
    process_index: int = 0
    num_processes: int = 1
    num_workers: int = 0
    encode: Callable | None = None
    # Without annotations, so that they are not fields of the dataclass.
    prepare = None
    key_prefix = ""
    distinct_epochs = None

    @property
    def global_batch_size(self) -> int:
        """Items per batch over all processes."""
        return self.batch_size * self.num_processes

    @property
    def num_frames(self) -> int:
        """Latent frames per item."""
        return self.dataset.num_frames

    @abstractmethod
    def __iter__(self) -> Iterator[Any]:
        """Yields batches; if they are a `dict`, with the items' keys as `key`."""

    def _load(self, dataset: Dataset, plan: Iterator[tuple[list, list[str], Any]]) -> Iterator[tuple[Any, Any]]:
        """Yields (batch, position after it) for a plan of (indices into `dataset`, keys, position after the batch)."""
        fetched = deque()

        def requests() -> Iterator[tuple[list, list[str]]]:
            for indices, keys, position in plan:
                keys = [self.key_prefix + key for key in keys]
                fetched.append((keys, position))
                yield indices, keys

        loader = DataLoader(
            _BatchMaker(dataset, self.collate_fn, None if self.encode else self.prepare),
            sampler=requests(),
            batch_size=None,
            collate_fn=_identity,
            num_workers=self.num_workers,
            # A separate generator: otherwise each new loader would advance the global one.
            generator=torch.Generator(),
        )
        for batch in loader:
            keys, position = fetched.popleft()
            if self.encode is not None:
                batch = _finish(self.encode(batch), keys, self.prepare)
            yield batch, position


class _BatchMaker(Dataset):
    """Dataset of whole batches, which makes their keys available in the loader's workers."""

    def __init__(self, dataset: Dataset, collate_fn: Callable | None, prepare: Callable | None):
        self.dataset, self.collate_fn, self.prepare = dataset, collate_fn or default_collate, prepare

    def __getitem__(self, request: tuple[list, list[str]]) -> Any:
        indices, keys = request
        if self.collate_fn is collate_features and hasattr(self.dataset, "batch"):
            batch = self.dataset.batch(indices)
        else:
            batch = self.collate_fn([self.dataset[index] for index in indices])
        return _finish(batch, keys, self.prepare)


def _finish(batch: Any, keys: list[str], prepare: Callable | None) -> Any:
    if not isinstance(batch, dict):
        return batch
    batch = batch | {"key": keys}
    return batch if prepare is None else prepare(batch)


def _identity(batch: Any) -> Any:
    return batch


def _gather(value: Any) -> list[Any]:
    """The values of all processes, which have to call it together."""
    values = [value]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        values = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(values, value)
    return values


def fitting_batch_size(batch_size: int, num_items: int, num_processes: int = 1, warns: bool = True) -> int:
    r"""
    Reduces the batch size, with a warning, if the dataset has too few items for one batch in each process.

    Args:
        batch_size (`int`): requested number of items per batch in each process.
        num_items (`int`): number of items in the dataset.
        num_processes (`int`, defaults to `1`): number of processes.
        warns (`bool`, defaults to `True`): whether this process logs the warning.

    Returns:
        `int`: the largest possible batch size up to `batch_size`.

    Raises:
        `ValueError`: if there are fewer items than processes, or the batch size is less than 1.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` has to be at least 1, but is {batch_size}.")
    if num_items < num_processes:
        raise ValueError(f"There are only {num_items} clips for training, fewer than processes ({num_processes}).")
    fitting = min(batch_size, num_items // num_processes)
    if fitting < batch_size and warns:
        logger.warning(
            f"The batch size is {fitting} instead of {batch_size}: there are only {num_items} clips for training"
            + (f" in {num_processes} processes." if num_processes > 1 else ".")
        )
    return fitting


def to_device(batch: Any, device: torch.device) -> Any:
    """Moves the tensors of a batch to a device asynchronously."""
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
    Endless batches of a dataset for one of several processes. Each epoch has its own permutation, which depends only
    on the seed and the epoch. Together, the processes consume `batch_size * num_processes` items at a time; an
    incomplete batch at the end of an epoch is dropped.

    `state_dict` holds the position after the last batch that was yielded, so that a resumed run continues with the
    next one, regardless of how far the loader's workers had prefetched.

    A batch that is a `dict` also gets the keys of its items: `key`, a list of `"<epoch>/<index>"`, which does not
    depend on the number of processes.

    At the beginning of each epoch, [`~data.growing.GrowingFeatures`] gets the parts that are complete by then. Their
    number is part of the state.

    Args:
        dataset (`Dataset`):
            The dataset; its `set_epoch`, if it has one, is called before each epoch.
        batch_size (`int`):
            Items per batch of one process.
        collate_fn (`Callable`, *optional*):
            Collates items into a batch, in the loader's workers.
        seed (`int`, defaults to `0`):
            Seed of the order.
        process_index (`int`, defaults to `0`):
            Index of this process.
        num_processes (`int`, defaults to `1`):
            Number of processes.
        num_workers (`int`, defaults to `0`):
            Number of data loader workers.
        encode (`Callable`, *optional*):
            Turns the output of `collate_fn` into a batch, in this process; such as
            [`~data.online_encoding.BatchEncoder`], with `list` as `collate_fn`.

    Raises:
        `ValueError`: if the dataset has fewer items than one batch.
    """

    def __post_init__(self):
        self.epoch = 0
        self.position = 0
        self.num_parts: int | None = None  # of a growing dataset, in this epoch
        self._check_size()

    def _check_size(self):
        if len(self.dataset) < self.global_batch_size:
            raise ValueError(
                f"The dataset has {len(self.dataset)} items, fewer than one batch over all processes"
                f" ({self.global_batch_size}): add clips or use a smaller `batch_size`."
            )

    @property
    def _item_epoch(self) -> int:
        return self.epoch % self.distinct_epochs if self.distinct_epochs else self.epoch

    def _rest_of_epoch(self) -> Iterator[tuple[list[int], list[str], int]]:
        generator = torch.Generator().manual_seed(derive_seed("order", self.seed, self.epoch))
        order = torch.randperm(len(self.dataset), generator=generator).tolist()
        epoch, offset = self._item_epoch, self.process_index * self.batch_size
        for start in range(self.position, len(order) - self.global_batch_size + 1, self.global_batch_size):
            indices = order[start + offset : start + offset + self.batch_size]
            yield indices, [f"{epoch}/{index}" for index in indices], start + self.global_batch_size

    def __iter__(self) -> Iterator[Any]:
        while True:
            if isinstance(self.dataset, GrowingFeatures):
                if self.num_parts is None:
                    self.num_parts = min(_gather(self.dataset.count_parts()))
                self.dataset.use_parts(self.num_parts, repeats=not self.distinct_epochs)
                self._check_size()
            if hasattr(self.dataset, "set_epoch"):
                self.dataset.set_epoch(self._item_epoch)
            for batch, position in self._load(self.dataset, self._rest_of_epoch()):
                self.position = position
                yield batch
            self.epoch, self.position, self.num_parts = self.epoch + 1, 0, None

    def state_dict(self) -> dict[str, int | None]:
        """Returns the position in the data."""
        return {"epoch": self.epoch, "position": self.position, "num_parts": self.num_parts}

    def load_state_dict(self, state_dict: dict[str, int | None]):
        """Restores a position in the data. Call it before iterating."""
        self.epoch, self.position = state_dict["epoch"], state_dict["position"]
        self.num_parts = state_dict.get("num_parts")


@dataclass(eq=False)
class StreamBatches(_Batches):
    r"""
    Endless batches of a streaming dataset for one of several processes.

    The stream is read in parts, each with its own shards, and a global batch (over all processes) has the same number
    of items from each part. The number of parts divides the number of shards and the global batch size. Up to 8
    processes, it does not depend on the number of processes, and neither do the items of a global batch. A process
    reads the parts that its items come from: if the number of parts is a multiple of the number of processes, no data
    is read twice.

    Each part proceeds to its next epoch independently of the others. Batches, keys and `state_dict` are like those of
    [`EpochBatches`]; a resumed run reads at most `shuffle_buffer` rows again.

    Args:
        dataset ([`~data.streams.ClipStream`]):
            The clips.
        batch_size (`int`), collate_fn (`Callable`, *optional*), seed (`int`), process_index (`int`),
        num_processes (`int`), num_workers (`int`), encode (`Callable`, *optional*):
            As for [`EpochBatches`]. Rows are read in this process and decoded by the workers.
        shuffle_buffer (`int`, defaults to `512`):
            Total size of the shuffle buffers of all parts, in rows. Rows are kept in memory undecoded.
    """

    shuffle_buffer: int = 512

    def __post_init__(self):
        common = math.gcd(self.global_batch_size, self.dataset.num_shards)
        limit = max(MAX_PARTS, self.num_processes)
        self.num_parts = max(n for n in range(1, min(common, limit) + 1) if common % n == 0)
        self.block_size = max(self.shuffle_buffer // self.num_parts, 1)
        # For each part that this process reads: whether each of the part's items in a global batch is this process's.
        local = range(self.process_index * self.batch_size, (self.process_index + 1) * self.batch_size)
        per_part = self.global_batch_size // self.num_parts
        self._is_local = {
            part: [part * per_part + index in local for index in range(per_part)]
            for part in range(local[0] // per_part, local[-1] // per_part + 1)
        }
        self._positions = {part: StreamPosition() for part in self._is_local}

    @property
    def epoch(self) -> int:
        """The lowest epoch of the parts that this process reads."""
        return min(position.epoch for position in self._positions.values())

    def _plan(self) -> Iterator[tuple[list, list[str], dict[int, StreamPosition]]]:
        if self.distinct_epochs:
            raise ValueError("`distinct_epochs` can't be used with a stream, whose items differ in each epoch.")
        positions = dict(self._positions)
        parts = {
            part: self.dataset.worker_shard(part, self.num_parts, self.seed, self.block_size, position)
            for part, position in positions.items()
        }
        while True:
            items = []
            for part, is_local in self._is_local.items():
                for keep, (item, position) in zip(is_local, parts[part]):
                    positions[part] = position
                    if keep:
                        items.append(item)
            yield items, [key for _, key in items], dict(positions)

    def __iter__(self) -> Iterator[Any]:
        for batch, positions in self._load(StreamedClips(self.dataset.reader), self._plan()):
            self._positions = positions
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Returns the positions of all processes in the data. All processes have to call it together."""
        merged = {
            part: astuple(position) for by_part in _gather(self._positions) for part, position in by_part.items()
        }
        return {"num_parts": self.num_parts, "block_size": self.block_size, "places": merged}

    def load_state_dict(self, state_dict: dict[str, Any]):
        r"""
        Restores a position in the data. Call it before iterating.

        Raises:
            `ValueError`: if the data was divided into other parts.
        """
        for name in ("num_parts", "block_size"):
            if state_dict[name] != getattr(self, name):
                raise ValueError(
                    f"The stream was read with `{name}` {state_dict[name]}, but now it is {getattr(self, name)}: the"
                    " shards, the batch size, the number of processes and the shuffle buffer have to stay the same."
                )
        self._positions = {part: StreamPosition(*state_dict["places"][part]) for part in self._is_local}


class InterleavedBatches:
    r"""
    Endless batches of several datasets, some of which may be streams, for one of several processes. Each batch comes
    from one dataset, the same in all processes: the one furthest behind its share. Keys are prefixed with the index
    of the dataset. The state holds the positions in all datasets.

    Args:
        sources (`Sequence[EpochBatches | StreamBatches]`):
            Batches of each dataset, with equal batch size and processes.
        weights (`Sequence[float]`): relative shares of the batches.

    Raises:
        `ValueError`: if there is not one positive weight per dataset.
    """

    def __init__(self, sources: Sequence[EpochBatches | StreamBatches], weights: Sequence[float]):
        self.sources = list(sources)
        self.shares = to_shares(weights, len(sources))
        self.num_yielded = [0] * len(sources)  # batches of each dataset
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
    def distinct_epochs(self) -> int | None:
        """As for [`EpochBatches`]."""
        return self.sources[0].distinct_epochs

    @distinct_epochs.setter
    def distinct_epochs(self, distinct_epochs: int | None):
        for source in self.sources:
            source.distinct_epochs = distinct_epochs

    @property
    def global_batch_size(self) -> int:
        """Items per batch over all processes."""
        return self.sources[0].global_batch_size

    @property
    def num_frames(self) -> int:
        """Latent frames per item."""
        return self.sources[0].num_frames

    @property
    def epoch(self) -> int:
        """The lowest epoch of the datasets."""
        return min(source.epoch for source in self.sources)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        streams = [iter(source) for source in self.sources]
        while True:
            count = sum(self.num_yielded) + 1
            deficits = [share * count - yielded for share, yielded in zip(self.shares, self.num_yielded)]
            number = deficits.index(max(deficits))
            batch = next(streams[number])
            self.num_yielded[number] += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Returns the positions of all processes in the data. All processes have to call it together."""
        return {"given": list(self.num_yielded), "sources": [source.state_dict() for source in self.sources]}

    def load_state_dict(self, state_dict: dict[str, Any]):
        r"""
        Restores a position in the data. Call it before iterating.

        Raises:
            `ValueError`: if the data was divided into other parts.
        """
        self.num_yielded = list(state_dict["given"])
        for source, state in zip(self.sources, state_dict["sources"], strict=True):
            source.load_state_dict(state)
