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

"""Several data sets as one."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from ..utils.seeding import derive_seed
from .features import ClipItems


def to_shares(weights: Sequence[float], count: int) -> list[float]:
    r"""
    Weights of data sets, relative to each other, as shares of 1.

    Args:
        weights (`Sequence[float]`): the weights.
        count (`int`): number of data sets.

    Raises:
        `ValueError`: for weights that are not positive or not as many as data sets.
    """
    if not count or len(weights) != count or not all(0 < weight < math.inf for weight in weights):
        raise ValueError(f"Each of {count} data sets needs a positive weight, but they are {list(weights)}.")
    return [weight / sum(weights) for weight in weights]


class MixedDataset(Dataset):
    r"""
    Several data sets as one, of which each has a share in every epoch. An epoch has as many items as the data sets have
    together. Of a set whose share is smaller than itself an epoch takes a part, and the next epoch goes on with another one; a
    set whose share is larger is gone through several times, with other crops and wordings each time. Each time has an order of its
    own.

    Args:
        datasets (`Sequence[ClipItems]`): data sets with items of the same form and length.
        weights (`Sequence[float]`): their shares, relative to each other.
        seed (`int`, defaults to `0`): seed of the orders.

    Raises:
        `ValueError`: for weights that are not positive or not as many as data sets, an empty data set, and for items of
            different numbers of frames.
    """

    def __init__(self, datasets: Sequence[ClipItems], weights: Sequence[float], seed: int = 0):
        shares = to_shares(weights, len(datasets))
        if 0 in (lengths := [len(dataset) for dataset in datasets]):
            raise ValueError(f"Data set {lengths.index(0)} is empty.")
        if len(frames := {dataset.num_frames for dataset in datasets}) > 1:
            raise ValueError(f"The data sets have items of {sorted(frames)} frames: give them the same `num_frames`.")
        self.datasets = list(datasets)
        self.num_frames = frames.pop()
        self.seed = seed
        # Rounded at the borders between them, so that they sum to the whole.
        total, borders = sum(lengths), torch.tensor(shares, dtype=torch.float64).cumsum(0)
        borders = [0, *(borders / borders[-1] * total).round().long().tolist()]
        self.quotas = [end - start for start, end in zip(borders, borders[1:])]
        self.set_epoch(0)

    def __len__(self) -> int:
        return sum(self.quotas)

    def set_epoch(self, epoch: int):
        """Sets the epoch, which chooses the items, their crops and wordings."""
        self._items = []
        for number, (dataset, quota) in enumerate(zip(self.datasets, self.quotas)):
            first, end = epoch * quota, (epoch + 1) * quota
            for turn in range(first // len(dataset), -(-end // len(dataset))):
                generator = torch.Generator().manual_seed(derive_seed("mixture", self.seed, number, turn))
                order = torch.randperm(len(dataset), generator=generator).tolist()
                start = turn * len(dataset)
                self._items += [(number, turn, i) for i in order[max(first - start, 0) : max(end - start, 0)]]

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number, turn, item = self._items[index]
        # The turn is what an epoch is to the data set alone.
        return self.datasets[number].item(item, turn)
