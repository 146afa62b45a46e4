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


import itertools
import multiprocessing
import os
from itertools import islice

import pytest
import torch
from torch.utils.data import Dataset

from diffusers_jasco.controls import CONTROLS
from diffusers_jasco.data.clips import ClipDataset
from diffusers_jasco.data.online_encoding import BatchEncoder
from diffusers_jasco.data.streams import ClipStream
from diffusers_jasco.training.batches import EpochBatches, InterleavedBatches, StreamBatches

from ..data.test_clips import codec, make_songs, to_row  # noqa: F401
from ..data.test_features import RATE


class Numbers(Dataset):
    epoch = 0

    def __len__(self):
        return 23

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __getitem__(self, index):
        return self.epoch, index


def collate(items) -> dict:
    return {"items": list(items)}


def make_batches(batch_size=2, **options) -> EpochBatches:
    return EpochBatches(Numbers(), batch_size, **{"collate_fn": collate} | options)


def test_processes_share_every_epoch():
    parts = [make_batches(batch_size=3, process_index=i, num_processes=2, seed=5) for i in range(2)]
    yielded = [list(islice(iter(part), 6)) for part in parts]
    for epoch in range(2):
        items = [
            item for batches in yielded for batch in batches[3 * epoch : 3 * epoch + 3] for item in batch["items"]
        ]
        assert {item[0] for item in items} == {epoch}
        # 23 items make 3 batches of 6; the remaining 5 are dropped.
        assert len({item[1] for item in items}) == len(items) == 18
    indices = [[index for _, index in batch["items"]] for batch in yielded[0]]
    assert indices[:3] != indices[3:], "each epoch has its own order"
    whole = list(islice(iter(make_batches(batch_size=6, seed=5)), 6))
    assert join(*yielded) == whole, "two processes get the same data as one with twice the batch size"


def join(*parts: list[dict]) -> list[dict]:
    """Concatenates the batches of all processes."""
    return [
        {name: [item for batch in batches for item in batch[name]] for name in batches[0]} for batches in zip(*parts)
    ]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_keys_contain_epoch_and_index(num_workers):
    batches = list(islice(iter(make_batches(num_workers=num_workers)), 12))
    for batch in batches:
        assert batch["key"] == [f"{epoch}/{index}" for epoch, index in batch["items"]]
    assert batches[-1]["key"][0].startswith("1/")


def test_items_of_distinct_epochs_are_used_again_in_another_order():
    batches = make_batches(batch_size=1)
    batches.distinct_epochs = 2
    stream = iter(batches)
    epochs = [list(islice(stream, 23)) for _ in range(3)]
    keys = [[batch["key"][0] for batch in epoch] for epoch in epochs]
    assert sorted(keys[0]) == sorted(keys[2]) and keys[0] != keys[2] and not set(keys[0]) & set(keys[1])
    for batch in itertools.chain(*epochs):
        assert batch["key"] == [f"{epoch}/{index}" for epoch, index in batch["items"]]


def test_batches_that_are_not_dictionaries_have_no_keys():
    items = [batch["items"] for batch in islice(iter(make_batches()), 12)]
    assert list(islice(iter(make_batches(collate_fn=list)), 12)) == items


def test_batches_are_encoded_in_this_process():
    def encode(items):
        return {"sum": sum(index for _, index in items), "process": os.getpid()}

    plain = list(islice(iter(make_batches()), 12))
    encoded = list(islice(iter(make_batches(num_workers=1, collate_fn=list, encode=encode)), 12))
    for batch, other in zip(plain, encoded):
        assert other == {"sum": sum(index for _, index in batch["items"]), "process": os.getpid(), "key": batch["key"]}


def record_keys(batch: dict) -> dict:
    return batch | {"recorded": list(batch["key"]), "process": os.getpid()}


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("encode", [None, collate])
def test_batches_are_prepared_with_their_keys_by_the_workers(num_workers, encode):
    batches = make_batches(num_workers=num_workers, **({"collate_fn": list, "encode": encode} if encode else {}))
    batches.prepare = record_keys
    for batch, plain in zip(islice(iter(batches), 12), make_batches()):
        assert batch["recorded"] == batch["key"] == plain["key"] and batch["items"] == plain["items"]
        # Batches that are encoded in this process can't be prepared by the workers.
        assert (batch["process"] != os.getpid()) == (num_workers == 1 and encode is None)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("done", [0, 1, 10, 11, 12, 25])
def test_batches_resume_where_they_stopped(done, num_workers):
    straight = list(islice(iter(make_batches()), 30))
    first = make_batches(num_workers=num_workers)
    stream = iter(first)
    assert [next(stream) for _ in range(done)] == straight[:done]
    second = make_batches()
    second.load_state_dict(first.state_dict())
    assert list(islice(iter(second), 30 - done)) == straight[done:]


def test_the_global_generator_is_not_used():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    list(islice(iter(make_batches()), 30))
    assert torch.equal(torch.get_rng_state(), state)


def test_too_few_items_are_rejected():
    with pytest.raises(ValueError, match=r"23 items.*\(24\): .*`batch_size`"):
        make_batches(batch_size=12, num_processes=2)


FRAMES, HOP = 20, 640
LENGTHS = [1, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 2]  # lengths of the clips in multiples of FRAMES


@pytest.fixture(scope="module")
def rows():
    pytest.importorskip("datasets")
    generator = torch.Generator().manual_seed(0)
    noise = [0.1 * torch.randn(1, length * FRAMES * HOP, generator=generator) for length in LENGTHS]
    return [to_row({"audio": audio, "caption": f"clip {i}"}) for i, audio in enumerate(noise)]


def make_stream(rows, num_shards=4, frames=FRAMES) -> ClipStream:
    import datasets

    dataset = datasets.Dataset.from_list(rows).to_iterable_dataset(num_shards=num_shards)
    return ClipStream(dataset, RATE, HOP, frames, seed=1)


def stream_batches(rows, batch_size=4, num_shards=4, **options) -> StreamBatches:
    options = {"collate_fn": collate, "seed": 5, "shuffle_buffer": 8} | options
    return StreamBatches(make_stream(rows, num_shards), batch_size, **options)


def take(batches, count: int) -> list[dict]:
    """Takes batches, with the caption and some samples of each item."""
    taken = []
    for batch in islice(iter(batches), count):
        items = [(item["caption"], tuple(item["audio"][0, :4].tolist())) for item in batch["items"]]
        taken.append({"items": items, "key": batch["key"]})
    return taken


def test_a_stream_visits_all_items_in_every_epoch(rows):
    # The clips have 16 items, four in each shard, which make four batches.
    batches = stream_batches(rows)
    assert batches.num_parts == 4
    stream, epochs = iter(batches), []
    for epoch in range(4):
        keys = [key for batch in islice(stream, 4) for key in batch["key"]]
        assert {key.split("/")[0] for key in keys} == {str(epoch)} and batches.epoch == epoch
        assert len(set(keys)) == 16 and len({key.rpartition("/")[0] for key in keys}) == len(LENGTHS)
        epochs.append([key.partition("/")[2] for key in keys])
    assert all(sorted(keys) == sorted(epochs[0]) for keys in epochs)
    assert all(first != second for first, second in zip(epochs, epochs[1:])), "each epoch has its own order"


def test_rows_of_a_stream_are_shuffled(rows):
    def order(shuffle_buffer):
        batches = stream_batches(rows, 1, num_shards=1, shuffle_buffer=shuffle_buffer)
        return [batch["key"][0] for batch in take(batches, 16)]

    plain, shuffled = order(1), order(64)
    positions = [int(key.split("/")[2]) for key in plain]
    assert positions == sorted(positions) and sorted(plain) == sorted(shuffled)
    shifts = [abs(plain.index(key) - position) for position, key in enumerate(shuffled)]
    assert sum(shifts) > 2 * len(shifts)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("done", [0, 1, 3, 4, 7, 13])
def test_a_stream_resumes_where_it_stopped(rows, done, num_workers):
    options = {"shuffle_buffer": 6, "num_shards": 2}
    straight = take(stream_batches(rows, **options), 20)
    first = stream_batches(rows, num_workers=num_workers, **options)
    stream = iter(first)
    for batch in straight[:done]:
        assert next(stream)["key"] == batch["key"]
    second = stream_batches(rows, num_workers=num_workers, **options)
    second.load_state_dict(first.state_dict())
    assert take(second, 20 - done) == straight[done:]


@pytest.mark.parametrize("num_shards, num_parts", [(4, 4), (3, 1), (1, 1), (6, 2)])
def test_processes_share_a_stream(rows, num_shards, num_parts):
    whole = stream_batches(rows, 4, num_shards)
    assert whole.num_parts == num_parts
    whole = take(whole, 10)
    for count in (2, 4):
        parts = [
            stream_batches(rows, 4 // count, num_shards, process_index=i, num_processes=count) for i in range(count)
        ]
        assert join(*(take(part, 10) for part in parts)) == whole


def test_processes_read_only_their_parts(rows):
    by_process = [stream_batches(rows, 2, process_index=i, num_processes=2) for i in range(2)]
    assert [list(batches._is_local) for batches in by_process] == [[0, 1], [2, 3]]
    # The state can be resumed with another number of processes.
    whole = stream_batches(rows)
    stream = iter(whole)
    for _ in range(5):
        next(stream)
    state = whole.state_dict()
    for batches in by_process:
        batches.load_state_dict(state)
    assert join(*(take(batches, 5) for batches in by_process)) == take(stream_batches(rows), 10)[5:]
    with pytest.raises(ValueError, match="`block_size` 2, but now it is 4"):
        stream_batches(rows, shuffle_buffer=16).load_state_dict(state)


def gather_state(rank: int, rows, file, results):
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    batches = stream_batches(rows, 2, process_index=rank, num_processes=2)
    take(batches, 5)
    results.put(batches.state_dict())
    torch.distributed.destroy_process_group()


def test_each_process_saves_the_positions_of_all(rows, tmp_path):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [
        context.Process(target=gather_state, args=(rank, rows, tmp_path / "store", results)) for rank in range(2)
    ]
    for process in processes:
        process.start()
    states = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    whole = stream_batches(rows)
    take(whole, 5)
    assert states == [whole.state_dict()] * 2


def test_short_clips_of_a_stream_are_skipped_with_a_warning(rows, warnings):
    stream = make_stream(rows, num_shards=2, frames=2 * FRAMES)
    batches = StreamBatches(stream, 2, collate_fn=collate, seed=5)
    keys = [key for batch in take(batches, 3) for key in batch["key"]]
    assert len({key.rpartition("/")[0].partition("/")[2] for key in keys}) == LENGTHS.count(2)
    assert "Skipped a.flac: it has 20 frames, but `num_frames` is 40" in warnings.text
    with pytest.raises(ValueError, match="has at least 200 frames"):
        next(iter(StreamBatches(make_stream(rows, frames=200), 1)))


def test_a_stream_can_be_iterated(rows):
    captions = [item["caption"] for item in islice(make_stream(rows), 16)]
    assert sorted(captions) == sorted(f"clip {i}" for i, count in enumerate(LENGTHS) for _ in range(count))


def test_a_stream_without_audio_is_rejected():
    datasets = pytest.importorskip("datasets")
    with pytest.raises(ValueError, match="column `audio`, but has text"):
        ClipStream(datasets.Dataset.from_list([{"text": "a"}]).to_iterable_dataset(), RATE, HOP, FRAMES)


def interleave(rows, weights=(3, 1, 1), num_processes=1, process_index=0, num_workers=0) -> InterleavedBatches:
    """Two streams and a map-style dataset, interleaved, with a global batch size of four."""
    options = {
        "collate_fn": collate,
        "seed": 5,
        "num_processes": num_processes,
        "process_index": process_index,
        "num_workers": num_workers,
    }
    size = 4 // num_processes
    sources = [
        StreamBatches(make_stream(rows, num_shards), size, shuffle_buffer=8, **options) for num_shards in (4, 2)
    ]
    clips = ClipDataset(make_songs(), RATE, HOP, num_frames=FRAMES)
    return InterleavedBatches([*sources, EpochBatches(clips, size, **options)], weights)


def test_datasets_are_interleaved_by_weight(rows):
    interleaved = take(interleave(rows), 20)
    numbers = [{key.split("/")[0] for key in batch["key"]} for batch in interleaved]
    assert numbers[:5] == [{"0"}, {"1"}, {"0"}, {"2"}, {"0"}] and numbers[5:10] == numbers[:5]
    prepared = interleave(rows)
    prepared.prepare = record_keys
    assert [batch["recorded"] for batch in islice(iter(prepared), 20)] == [batch["key"] for batch in interleaved]
    # The batches of a dataset are the same as without the others.
    alone = take(StreamBatches(make_stream(rows, 4), 4, collate_fn=collate, seed=5, shuffle_buffer=8), 12)
    first = [batch["items"] for batch in interleaved if batch["key"][0][0] == "0"]
    assert first == [batch["items"] for batch in alone]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_interleaved_datasets_resume_where_they_stopped(rows, num_workers):
    straight = take(interleave(rows), 16)
    # Fewer cases with workers, which take a second to start.
    for done in (5,) if num_workers else (0, 1, 5, 9):
        first = interleave(rows, num_workers=num_workers)
        assert take(first, done) == straight[:done]
        second = interleave(rows, num_workers=num_workers)
        second.load_state_dict(first.state_dict())
        assert take(second, 16 - done) == straight[done:]


def test_processes_share_interleaved_datasets(rows):
    parts = [interleave(rows, num_processes=2, process_index=index) for index in range(2)]
    assert join(*(take(part, 10) for part in parts)) == take(interleave(rows), 10)
    with pytest.raises(ValueError, match="Each of 3 datasets needs a positive weight"):
        interleave(rows, weights=(1, 1))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_encoded_batches_are_the_same_after_an_interruption(codec, rows, num_workers):  # noqa: F811
    encode = BatchEncoder(codec, 3, 0.0, 4.0)
    options = {"collate_fn": list, "encode": encode, "num_workers": num_workers, "seed": 2}

    def make(kind):
        if kind is EpochBatches:
            return EpochBatches(ClipDataset(make_songs(), RATE, HOP, num_frames=50), 3, **options)
        return StreamBatches(make_stream(rows), 4, **options)

    for kind in (EpochBatches, StreamBatches):
        straight = list(islice(iter(make(kind)), 6))
        first = make(kind)
        stream = iter(first)
        for _ in range(2):
            next(stream)
        second = make(kind)
        second.load_state_dict(first.state_dict())
        for batch, reference in zip(islice(iter(second), 4), straight[2:]):
            names = {"latents", *CONTROLS, "tempo", "beats_per_bar", "has_text", "caption", "key"}
            assert batch.keys() == reference.keys() == names
            for name, value in reference.items():
                assert torch.equal(batch[name], value) if torch.is_tensor(value) else batch[name] == value
