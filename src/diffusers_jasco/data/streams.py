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

"""Clips of streaming datasets."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import torch
from diffusers.utils import logging

from ..utils.seeding import derive_seed
from .clips import ClipReader, find_audio, keep_encoded


if TYPE_CHECKING:
    import datasets


logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class StreamPosition:
    """Resume position of a worker shard: `num_yielded` items into the block that starts at `row`."""

    epoch: int = 0
    shard: int = 0  # position in the worker shard's order of this epoch
    row: int = 0
    num_yielded: int = 0


@dataclass(frozen=True)
class StreamedRow:
    """A row as it is stored, and its number of items."""

    position: StreamPosition
    key: str
    content: dict[str, Any]
    count: int


class ClipStream:
    r"""
    Clips of a streaming dataset, in the form of [`ClipDataset`]'s items. Each epoch reads the shards in another order
    and shuffles nearby rows.

    A clip of `n` times `num_frames` counts as `n` items (rounded down). Shorter clips are skipped with a warning.

    Args:
        dataset (`datasets.IterableDataset`): rows in the form that [`ClipReader.read`] expects.
        sampling_rate (`int`): the codec's rate in Hz.
        hop_length (`int`): the codec's samples per frame.
        num_frames (`int`): frames per item.
        labels (`Sequence[str]`, *optional*): the model's chord vocabulary, by default AudioCraft's.
        seed (`int`, defaults to `0`): seed of the crops and of the choice of captions.

    Raises:
        `ValueError`: if the dataset has no audio.
    """

    def __init__(
        self,
        dataset: "datasets.IterableDataset",
        sampling_rate: int,
        hop_length: int,
        num_frames: int,
        labels: Sequence[str] | None = None,
        seed: int = 0,
    ):
        self.dataset = keep_encoded(dataset)
        self.sampling_rate, self.hop_length = sampling_rate, hop_length
        self.configure(labels, num_frames, seed)

    def configure(
        self,
        labels: Sequence[str] | None,
        num_frames: int,
        seed: int = 0,
        remix: float = 0.0,
        vary_drums: float = 0.0,
    ):
        """Replaces all options of the items. Call before iterating."""
        self.num_frames = num_frames
        options = labels, seed, remix, vary_drums
        self.reader = ClipReader(self.sampling_rate, self.hop_length, num_frames, *options)

    @property
    def num_shards(self) -> int:
        return self.dataset.num_shards

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All items, repeated endlessly."""
        clips = StreamedClips(self.reader)
        for item, _ in self.worker_shard(0, 1, self.reader.seed, 1, StreamPosition()):
            yield clips[item]

    def worker_shard(
        self, index: int, num_worker_shards: int, seed: int, block_size: int, start: StreamPosition
    ) -> Iterator[tuple[Any, StreamPosition]]:
        r"""
        Yields the items of a worker shard, endlessly. In each epoch, the dataset's shards are shuffled and divided
        among the worker shards. Rows are shuffled in blocks; the next block is read while the items of the current one
        are yielded.

        Args:
            index (`int`): index of the worker shard.
            num_worker_shards (`int`): number of worker shards.
            seed (`int`): seed of the order.
            block_size (`int`): number of rows that are shuffled together.
            start (`StreamPosition`): position to start from.

        Yields:
            `tuple[tuple[StreamedRow, str], StreamPosition]`:
                A row and the key of one of its items, for [`StreamedClips`], and the position after it. A key
                identifies the item's epoch, shard, row and number. It does not depend on `num_worker_shards`.
        """
        rows = self._rows(index, num_worker_shards, seed, start)
        next_row = next(rows)

        def extend(block: list[StreamedRow]):
            # Blocks do not extend beyond an epoch.
            nonlocal next_row
            if not block or block[0].position.epoch == next_row.position.epoch:
                block.append(next_row)
                next_row = next(rows)

        block: list[StreamedRow] = []
        for _ in range(block_size):
            extend(block)
        num_skipped = start.num_yielded
        while True:
            first = block[0].position
            items = dict(enumerate((row, f"{row.key}/{n}") for row in block for n in range(row.count)))
            num_items = len(items)
            generator = torch.Generator().manual_seed(derive_seed("block", seed, index, *astuple(first)))
            block, num_read = [], 0
            for number, i in enumerate(torch.randperm(num_items, generator=generator).tolist(), 1):
                while num_read < block_size * number // num_items:
                    extend(block)
                    num_read += 1
                # Frees items that were yielded already.
                item = items.pop(i)
                if number > num_skipped:
                    yield item, StreamPosition(first.epoch, first.shard, first.row, number)
            num_skipped = 0

    def _rows(self, index: int, num_worker_shards: int, seed: int, start: StreamPosition) -> Iterator[StreamedRow]:
        epoch, first_shard, first_row = start.epoch, start.shard, start.row
        while True:
            generator = torch.Generator().manual_seed(derive_seed("shards", seed, epoch))
            order = torch.randperm(self.num_shards, generator=generator).tolist()[index::num_worker_shards]
            is_empty = (first_shard, first_row) == (0, 0)
            for number in range(first_shard, len(order)):
                shard = self.dataset.shard(self.num_shards, order[number])
                for i, content in enumerate(shard.skip(first_row), first_row):
                    key = f"{epoch}/{order[number]}/{i}"
                    row = self._open(StreamPosition(epoch, number, i), key, content)
                    if row.count:
                        is_empty = False
                        yield row
                first_row = 0
            if is_empty:
                raise ValueError(f"No clip of the shards {order} has at least {self.num_frames} frames.")
            epoch, first_shard = epoch + 1, 0

    def _open(self, position: StreamPosition, key: str, content: dict[str, Any]) -> StreamedRow:
        audio = find_audio(content)
        downloaded = None if audio.waveform is not None else audio.file.file
        if isinstance(downloaded, bytes):
            # Keeps the downloaded bytes, so that the worker does not download them again.
            content = content | {"audio": {"bytes": downloaded, "path": audio.name}}
        frames = self.reader.count_frames(audio)
        if frames < self.num_frames:
            logger.warning(f"Skipped {audio.name}: it has {frames} frames, but `num_frames` is {self.num_frames}.")
        return StreamedRow(position, key, content, frames // self.num_frames)


class StreamedClips(torch.utils.data.Dataset):
    """Reads the items of [`ClipStream.worker_shard`] in the data loader's processes."""

    def __init__(self, reader: ClipReader):
        self.reader = reader

    def __getitem__(self, item: tuple[StreamedRow, str]) -> dict[str, Any]:
        row, key = item
        return self.reader.read(row.content, row.position.epoch, key)
