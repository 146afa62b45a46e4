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


from itertools import islice

import pytest
import torch
from torch.utils.data import Dataset

from diffusers_jasco.training.data_order import EpochBatches


class Numbers(Dataset):
    epoch = 0

    def __len__(self):
        return 23

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __getitem__(self, index):
        return self.epoch, index


def make_batches(batch_size=2, **options) -> EpochBatches:
    return EpochBatches(Numbers(), batch_size, collate_fn=list, **options)


def test_processes_share_every_epoch():
    parts = [make_batches(batch_size=3, process_index=i, num_processes=2, seed=5) for i in range(2)]
    given = [list(islice(iter(part), 6)) for part in parts]
    for epoch in range(2):
        items = [item for batches in given for batch in batches[3 * epoch : 3 * epoch + 3] for item in batch]
        assert {item[0] for item in items} == {epoch}
        # 23 items are 3 batches of 6, and 5 that are left out.
        assert len({item[1] for item in items}) == len(items) == 18
    assert given[0][:3] != given[0][3:], "each epoch has another order"
    whole = list(islice(iter(make_batches(batch_size=6, seed=5)), 6))
    assert [a + b for a, b in zip(*given)] == whole, "two processes train on what one with twice the batch would"


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("done", [0, 1, 10, 11, 12, 25])
def test_goes_on_where_it_stopped(done, num_workers):
    straight = list(islice(iter(make_batches()), 30))
    first = make_batches(num_workers=num_workers)
    stream = iter(first)
    assert [next(stream) for _ in range(done)] == straight[:done]
    second = make_batches()
    second.load_state_dict(first.state_dict())
    assert list(islice(iter(second), 30 - done)) == straight[done:]


def test_draws_nothing_from_the_training_generator():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    list(islice(iter(make_batches()), 30))
    assert torch.equal(torch.get_rng_state(), state)


def test_too_few_items_are_refused():
    with pytest.raises(ValueError, match="23 items.*24"):
        make_batches(batch_size=12, num_processes=2)
