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

"""Clips that arrive one after the other, from a data set that is not on this machine."""

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
    """A place in the order of a part: `given` items after the beginning of a block, which begins with this row."""

    epoch: int = 0
    shard: int = 0  # its number in the part's order of the epoch
    row: int = 0
    given: int = 0


@dataclass(frozen=True)
class StreamedRow:
    """A row as it is stored, and how many items it has."""

    place: StreamPosition
    key: str
    content: dict[str, Any]
    count: int


class ClipStream:
    r"""
    Clips of a streaming data set, as items of [`ClipDataset`]'s form. The data set's shards are read in another order in each
    epoch, and the rows that are read after each other are mixed.

    A clip of `n` times `num_frames` is `n` items (rounded down). Shorter clips are left out, with a warning.

    Args:
        dataset (`datasets.IterableDataset`): rows as [`ClipReader.read`] takes them.
        sampling_rate (`int`): the codec's rate in Hz.
        hop_length (`int`): the codec's samples per frame.
        num_frames (`int`): frames of an item.
        labels (`Sequence[str]`, *optional*): the model's chord vocabulary, by default the original's.
        seed (`int`, defaults to `0`): seed of what is random in the items.

    Raises:
        `ValueError`: if the data set has no audio.
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

    def configure(self, labels: Sequence[str] | None, num_frames: int, seed: int = 0):
        """Sets all options of the items anew; to be called before iteration begins."""
        self.num_frames = num_frames
        self.reader = ClipReader(self.sampling_rate, self.hop_length, num_frames, labels, seed)

    @property
    def num_shards(self) -> int:
        return self.dataset.num_shards

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Items one after the other, endlessly."""
        clips = StreamedClips(self.reader)
        for item, _ in self.part(0, 1, self.reader.seed, 1, StreamPosition()):
            yield clips[item]

    def part(
        self, index: int, num_parts: int, seed: int, block_size: int, place: StreamPosition
    ) -> Iterator[tuple[Any, StreamPosition]]:
        r"""
        One of several parts of the data set, endlessly: in each epoch another part of the shards, in another order. Blocks of
        rows are shuffled; the next block is read while one is given out.

        Args:
            index (`int`), num_parts (`int`): which part.
            seed (`int`): seed of the order.
            block_size (`int`): rows that are shuffled together.
            place (`StreamPosition`): where to begin.

        Yields:
            `tuple[tuple[StreamedRow, str], StreamPosition]`: a row and the key of an item of it, for [`StreamedClips`], and the place
            after it. A key tells the item's epoch, shard, row and number, whatever the number of parts.
        """
        rows = self._rows(index, num_parts, seed, place)
        waiting = next(rows)

        def extend(block: list[StreamedRow]):
            # A block ends with its epoch.
            nonlocal waiting
            if not block or block[0].place.epoch == waiting.place.epoch:
                block.append(waiting)
                waiting = next(rows)

        block: list[StreamedRow] = []
        for _ in range(block_size):
            extend(block)
        given = place.given
        while True:
            start, items = block[0].place, [(row, f"{row.key}/{n}") for row in block for n in range(row.count)]
            generator = torch.Generator().manual_seed(derive_seed("block", seed, index, *astuple(start)))
            block, num_read = [], 0
            for number, position in enumerate(torch.randperm(len(items), generator=generator).tolist(), 1):
                while num_read < block_size * number // len(items):
                    extend(block)
                    num_read += 1
                # What was given out is needed no more.
                item, items[position] = items[position], None
                if number > given:
                    yield item, StreamPosition(start.epoch, start.shard, start.row, number)
            given = 0

    def _rows(self, index: int, num_parts: int, seed: int, place: StreamPosition) -> Iterator[StreamedRow]:
        epoch, first_shard, first_row = place.epoch, place.shard, place.row
        while True:
            generator = torch.Generator().manual_seed(derive_seed("shards", seed, epoch))
            order = torch.randperm(self.num_shards, generator=generator).tolist()[index::num_parts]
            is_empty = (first_shard, first_row) == (0, 0)
            for number in range(first_shard, len(order)):
                shard = self.dataset.shard(self.num_shards, order[number])
                for position, content in enumerate(shard.skip(first_row), first_row):
                    key = f"{epoch}/{order[number]}/{position}"
                    row = self._open(StreamPosition(epoch, number, position), key, content)
                    if row.count:
                        is_empty = False
                        yield row
                first_row = 0
            if is_empty:
                raise ValueError(f"No clip of the shards {order} is as long as {self.num_frames} frames.")
            epoch, first_shard = epoch + 1, 0

    def _open(self, place: StreamPosition, key: str, content: dict[str, Any]) -> StreamedRow:
        audio = find_audio(content)
        downloaded = None if audio.waveform is not None else audio.file.file
        if isinstance(downloaded, bytes):
            # What was downloaded is not downloaded again.
            content = content | {"audio": {"bytes": downloaded, "path": audio.name}}
        frames = self.reader.count_frames(audio)
        if frames < self.num_frames:
            logger.warning(f"{audio.name} is left out: it has {frames} frames, `num_frames` is {self.num_frames}.")
        return StreamedRow(place, key, content, frames // self.num_frames)


class StreamedClips(torch.utils.data.Dataset):
    """What reads the items of [`ClipStream.part`], in the loader's processes."""

    def __init__(self, reader: ClipReader):
        self.reader = reader

    def __getitem__(self, item: tuple[StreamedRow, str]) -> dict[str, Any]:
        row, key = item
        return self.reader.read(row.content, row.place.epoch, key)
