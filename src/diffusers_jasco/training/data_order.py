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


"""The order of the data, which goes on after an interruption where it stopped."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ..data.features import derive_seed


class EpochBatches:
    r"""
    Endless batches of a dataset for one of several processes: in each epoch another permutation, which depends on the
    seed and the epoch only. Together the processes take `batch_size * num_processes` items at a time; what does not fill
    the last batch of an epoch is left out.

    Its `state_dict` is the place in the data after the last batch that was given out, so that a resumed run goes on with
    the next one, whatever the loader's workers had fetched ahead.

    Args:
        dataset (`Dataset`):
            The dataset; its `set_epoch`, if it has one, is called before each epoch.
        batch_size (`int`):
            Items per batch of one process.
        collate_fn (`Callable`, *optional*):
            Makes a batch of items.
        seed (`int`, defaults to `0`):
            Seed of the order.
        process_index (`int`, defaults to `0`):
            Which process this is.
        num_processes (`int`, defaults to `1`):
            Number of processes.
        num_workers (`int`, defaults to `0`):
            Processes that load data, besides this one.

    Raises:
        `ValueError`: if the dataset does not fill one batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        collate_fn: Callable | None = None,
        seed: int = 0,
        process_index: int = 0,
        num_processes: int = 1,
        num_workers: int = 0,
    ):
        self.dataset = dataset
        self.batch_size = batch_size
        self.collate_fn = collate_fn
        self.seed = seed
        self.process_index = process_index
        self.num_processes = num_processes
        self.num_workers = num_workers
        self.epoch = 0
        self.position = 0
        if len(dataset) < self.global_batch_size:
            raise ValueError(
                f"The dataset has {len(dataset)} items, fewer than one batch of all processes, {self.global_batch_size}."
            )

    @property
    def global_batch_size(self) -> int:
        """Items per batch of all processes."""
        return self.batch_size * self.num_processes

    def _rest_of_epoch(self) -> list[list[int]]:
        generator = torch.Generator().manual_seed(derive_seed("order", self.seed, self.epoch))
        order = torch.randperm(len(self.dataset), generator=generator).tolist()[self.position :]
        own = self.process_index * self.batch_size
        starts = range(own, len(order) - self.global_batch_size + own + 1, self.global_batch_size)
        return [order[start : start + self.batch_size] for start in starts]

    def __iter__(self) -> Iterator[Any]:
        while True:
            if hasattr(self.dataset, "set_epoch"):
                self.dataset.set_epoch(self.epoch)
            loader = DataLoader(
                self.dataset,
                batch_sampler=self._rest_of_epoch(),
                collate_fn=self.collate_fn,
                num_workers=self.num_workers,
                # Its own, so that a new loader draws nothing from the generator of the training.
                generator=torch.Generator(),
            )
            for batch in loader:
                self.position += self.global_batch_size
                yield batch
            self.epoch, self.position = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """The place in the data."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state_dict: dict[str, int]):
        """Goes to a place in the data; to be called before iteration begins."""
        self.epoch, self.position = state_dict["epoch"], state_dict["position"]
