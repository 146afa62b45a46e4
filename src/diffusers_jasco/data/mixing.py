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

"""Weighted mixtures of datasets."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from ..utils.seeding import derive_seed
from .features import ClipItems


def to_shares(weights: Sequence[float], count: int) -> list[float]:
    r"""
    Normalizes the weights of datasets to a sum of 1.

    Args:
        weights (`Sequence[float]`): relative weights.
        count (`int`): number of datasets.

    Raises:
        `ValueError`: if a weight is not positive, or their number is not `count`.
    """
    if not count or len(weights) != count or not all(0 < weight < math.inf for weight in weights):
        raise ValueError(f"Each of {count} datasets needs a positive weight, but the weights are {list(weights)}.")
    return [weight / sum(weights) for weight in weights]


class MixedDataset(Dataset):
    r"""
    A mixture of datasets in which each dataset has a fixed share of every epoch. An epoch has as many items as all
    datasets together. If a share is smaller than its dataset, an epoch covers a part of the dataset, and the next
    epoch continues where it ended. If it is larger, the dataset repeats within the epoch, with other crops and
    captions in each pass. Every pass through a dataset has its own random order.

    Args:
        datasets (`Sequence[ClipItems]`): datasets with items of the same form and length.
        weights (`Sequence[float]`): relative weights of the datasets.
        seed (`int`, defaults to `0`): seed of the random orders.

    Raises:
        `ValueError`: if a weight is not positive, the number of weights is not that of the datasets, a dataset is
            empty, or the items have different numbers of frames.
    """

    def __init__(self, datasets: Sequence[ClipItems], weights: Sequence[float], seed: int = 0):
        shares = to_shares(weights, len(datasets))
        if 0 in (lengths := [len(dataset) for dataset in datasets]):
            raise ValueError(f"Dataset {lengths.index(0)} is empty.")
        if len(frames := {dataset.num_frames for dataset in datasets}) > 1:
            raise ValueError(f"The datasets have items of {sorted(frames)} frames: set the same `num_frames` for all.")
        self.datasets = list(datasets)
        self.num_frames = frames.pop()
        self.seed = seed
        # Rounds cumulative shares instead of the quotas, so that the quotas sum to the total.
        cumulative = torch.tensor(shares, dtype=torch.float64).cumsum(0)
        borders = [0, *(cumulative / cumulative[-1] * sum(lengths)).round().long().tolist()]
        self.quotas = [end - start for start, end in zip(borders, borders[1:])]
        self.set_epoch(0)

    def __len__(self) -> int:
        return sum(self.quotas)

    def set_epoch(self, epoch: int):
        """Sets the epoch, which determines the items, their crops and their captions."""
        self._items = []
        for number, (dataset, quota) in enumerate(zip(self.datasets, self.quotas)):
            first, end = epoch * quota, (epoch + 1) * quota
            for dataset_epoch in range(first // len(dataset), -(-end // len(dataset))):
                generator = torch.Generator().manual_seed(derive_seed("mixture", self.seed, number, dataset_epoch))
                order = torch.randperm(len(dataset), generator=generator).tolist()
                start = dataset_epoch * len(dataset)
                self._items += [(number, dataset_epoch, i) for i in order[max(first - start, 0) : max(end - start, 0)]]

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number, dataset_epoch, item = self._items[index]
        return self.datasets[number].item(item, dataset_epoch)
