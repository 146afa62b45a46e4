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


"""Training on a feature cache that grows."""

from itertools import islice

from diffusers_jasco.data.features import collate_features
from diffusers_jasco.data.growing import GrowingFeatures
from diffusers_jasco.training import batches as batches_module
from diffusers_jasco.training.batches import EpochBatches

from ..data.test_growing import codec, grow  # noqa: F401
from .run_tools import arguments, read_log


def make_batches(folder) -> EpochBatches:
    return EpochBatches(GrowingFeatures(folder), batch_size=2, collate_fn=collate_features)


def read_keys(batches: EpochBatches, count: int) -> list[list[str]]:
    return [batch["key"] for batch in islice(batches, count)]


def test_an_epoch_has_the_parts_that_were_complete_at_its_beginning(tmp_path, grow):  # noqa: F811
    grow(0)
    batches = make_batches(tmp_path)
    stream = iter(batches)
    first = [next(stream)["key"]]
    state = batches.state_dict()
    assert state == {"epoch": 0, "position": 2, "num_parts": 1}
    grow(1)
    keys = [next(stream)["key"] for _ in range(5)]
    assert sorted(sum(first + keys[:1], [])) == [f"0/{index}" for index in range(4)]
    assert sorted(sum(keys[1:], [])) == [f"1/{index}" for index in range(8)]

    # A resumed run has the same order, although there are more parts by then.
    grow(2)
    resumed = make_batches(tmp_path)
    resumed.load_state_dict(state)
    assert read_keys(resumed, 3)[0] == keys[0] and resumed.num_parts == 3


def test_all_processes_use_the_same_parts(tmp_path, grow, monkeypatch):  # noqa: F811
    for number in range(3):
        grow(number)
    # Another process has found fewer parts.
    monkeypatch.setattr(batches_module, "_gather", lambda value: [value, 2])
    batches = make_batches(tmp_path)
    read_keys(batches, 1)
    assert (batches.num_parts, len(batches.dataset)) == (2, 8)


def test_a_run_uses_new_parts(tmp_path, grow, data, scripts):  # noqa: F811
    grow(0)
    flags = ["--dataset", tmp_path, "--validate_every", 0, "--checkpoint_every", 1]
    scripts[0].main(arguments(data, tmp_path / "run", *flags, "--max_steps", 3))
    grow(1)
    scripts[0].main(arguments(data, tmp_path / "run", *flags, "--max_steps", 9, "--resume", "latest"))
    assert [entry["epoch"] for entry in read_log(tmp_path / "run")] == [0, 0, 1, 1, 2, 2, 2, 2, 3]
