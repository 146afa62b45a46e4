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


import pytest

from diffusers_jasco.data.features import ClipItems
from diffusers_jasco.data.mixing import MixedDataset


class Numbers(ClipItems):
    num_frames = 50

    def __init__(self, first: int, count: int):
        self.numbers = range(first, first + count)

    def __len__(self):
        return len(self.numbers)

    def item(self, index, epoch):
        return epoch, self.numbers[index]


def draw(mixture: MixedDataset, epoch: int) -> list[tuple[int, int]]:
    mixture.set_epoch(epoch)
    return [mixture[index] for index in range(len(mixture))]


def test_mixtures_keep_their_shares_and_visit_all_items_evenly():
    mixture = MixedDataset([Numbers(0, 30), Numbers(100, 7), Numbers(200, 13)], [3, 1, 1], seed=4)
    assert len(mixture) == 50 and mixture.quotas == [30, 10, 10]
    epochs = [draw(mixture, epoch) for epoch in range(7)]
    for items in epochs:
        assert [sum(first <= n < first + 100 for _, n in items) for first in (0, 100, 200)] == [30, 10, 10]
    # The 70 items of the small dataset are ten of its epochs.
    small = [item for items in epochs for item in items if 100 <= item[1] < 200]
    assert [epoch for epoch, _ in small] == [epoch for epoch in range(10) for _ in range(7)]
    for epoch in range(10):
        assert sorted(n for e, n in small if e == epoch) == list(range(100, 107))
    assert [n for e, n in small if e == 0] != [n for e, n in small if e == 1]


def test_mixtures_depend_only_on_seed_and_epoch():
    def make(seed=0):
        return MixedDataset([Numbers(0, 5), Numbers(100, 20)], [0.3, 0.7], seed)

    mixture = make()
    assert mixture.quotas == [8, 17] or mixture.quotas == [7, 18]
    third = draw(mixture, 3)
    draw(mixture, 0)
    assert draw(mixture, 3) == draw(make(), 3) == third != draw(make(1), 3)


def test_mixtures_do_not_change_the_epoch_of_their_datasets():
    numbers = Numbers(0, 5)
    mixture = MixedDataset([numbers, Numbers(100, 5)], [9, 1])
    numbers.set_epoch(7)
    assert {mixture[index][0] for index in range(9)} == {0, 1}
    assert numbers[0] == (7, 0)


def test_errors():
    datasets = [Numbers(0, 5), Numbers(0, 5)]
    for weights in ([1.0], [1.0, 0.0], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="positive weight"):
            MixedDataset(datasets, weights)
    with pytest.raises(ValueError, match="Dataset 1 is empty"):
        MixedDataset([datasets[0], Numbers(0, 0)], [1, 1])
    datasets[0].num_frames, datasets[1].num_frames = 50, 60
    with pytest.raises(ValueError, match=r"\[50, 60\] frames"):
        MixedDataset(datasets, [1, 1])
