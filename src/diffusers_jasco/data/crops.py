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

"""Random parts of recordings: what a codec is trained on."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils.data import Dataset

from ..audio.recordings import Recording
from ..utils.seeding import derive_seed
from .sources import find_sources, resolve_beside


@dataclass(frozen=True)
class Track:
    """A recording, and its drum stem if there is one."""

    mix: Recording
    drums: Recording | None = None


def open_tracks(folder: str | os.PathLike) -> list[Track]:
    r"""
    The recordings of a folder or a manifest, as [`~data.sources.find_sources`] finds them, with the drum stems that a
    manifest names.

    Args:
        folder (`str` or `os.PathLike`): folder, or manifest.

    Raises:
        `FileNotFoundError`: if there is nothing at that place.
        `ValueError`: for files that can't be read, with their names; and for the root of a data set, whose splits have to
            stay apart.
    """
    splits = [path.parent.name for path in sorted(Path(folder).glob("*/metadata.jsonl"))]
    if splits and not Path(folder, "metadata.jsonl").exists():
        split = Path(folder, "train" if "train" in splits else splits[0])
        raise ValueError(f"{folder} is a data set with splits: give one of them, such as {split}.")
    tracks, errors = [], []
    sources = find_sources(folder)
    for source in sources:
        stem = (source.info.get("stems") or {}).get("drums")
        try:
            drums = None if stem is None else Recording(resolve_beside(source, stem))
            tracks.append(Track(Recording(source.url), drums))
        except (ValueError, FileNotFoundError) as error:
            errors.append(str(error))
    if errors:
        raise ValueError(
            f"{len(errors)} of {len(sources)} recordings can't be read: {' '.join(errors[:5])}{' …' * (len(errors) > 5)}"
            " Remove them, or use scripts/prepare_dataset.py, which leaves out and reports what can't be read."
        )
    return tracks


class AudioCrops(Dataset):
    r"""
    Parts of recordings, in mono at one rate: in every epoch others. Which ones depends on the seed, the epoch and the item
    only.

    A recording of `n` times `num_samples` is `n` items (rounded down), and at least one; shorter ones end in silence.

    Args:
        tracks (`Sequence[Track]`):
            The recordings, as [`open_tracks`] lists them.
        sampling_rate (`int`):
            Rate of the items in Hz.
        num_samples (`int`):
            Samples of an item.
        seed (`int`, defaults to `0`):
            Seed of what is random.
        drums_share (`float`, defaults to `0.0`):
            How often an item is of the drum stem, where there is one.

    An item is a `dict` with `audio`, a `torch.Tensor` of shape `(1, num_samples)`.
    """

    def __init__(
        self, tracks: Sequence[Track], sampling_rate: int, num_samples: int, seed: int = 0, drums_share: float = 0.0
    ):
        self.tracks = tracks
        self.sampling_rate, self.num_samples = sampling_rate, num_samples
        self.seed, self.drums_share, self.epoch = seed, drums_share, 0
        counts = torch.tensor([max(track.mix.length(sampling_rate) // num_samples, 1) for track in tracks])
        self._track_of = torch.arange(len(counts)).repeat_interleave(counts).tolist()

    def __len__(self) -> int:
        return len(self._track_of)

    def set_epoch(self, epoch: int):
        """Sets the epoch, which chooses the parts."""
        self.epoch = epoch

    def has_drums(self, index: int) -> bool:
        """Whether there is a drum stem of an item."""
        return self.tracks[self._track_of[index]].drums is not None

    def read(self, index: int) -> torch.Tensor:
        """An item without the silence after a short recording: (1, samples)."""
        recording = self.tracks[self._track_of[index]].mix
        if self.has_drums(index):
            if derive_seed("drums", self.seed, self.epoch, index) < self.drums_share * 2**63:
                recording = self.tracks[self._track_of[index]].drums
        surplus = max(recording.length(self.sampling_rate) - self.num_samples, 0)
        start = derive_seed("crop", self.seed, self.epoch, index) % (surplus + 1)
        length = min(self.num_samples, recording.length(self.sampling_rate))
        return recording.read(start, start + length, self.sampling_rate)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        audio = self.read(index)
        return {"audio": F.pad(audio, (0, self.num_samples - audio.shape[-1]))}

    def sample(self, count: int) -> list[int]:
        """Numbers of `count` items (or of all, if there are fewer) drawn without replacement, the same for the same seed."""
        generator = torch.Generator().manual_seed(derive_seed("sample", self.seed))
        return torch.randperm(len(self), generator=generator)[:count].tolist()
