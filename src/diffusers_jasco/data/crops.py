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

"""Random crops of recordings for codec training."""

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
    """A recording and its drum stem, if there is one."""

    mix: Recording
    drums: Recording | None = None


def open_tracks(folder: str | os.PathLike) -> list[Track]:
    r"""
    Opens the recordings that [`~data.sources.find_sources`] finds in a folder or a manifest, with the drum stems that
    the manifest names.

    Args:
        folder (`str` or `os.PathLike`): a folder or a manifest.

    Raises:
        `FileNotFoundError`: if the folder or manifest does not exist.
        `ValueError`: if files can't be read (the message names them), or if the folder is the root of a dataset with
            splits, which must not be mixed.
    """
    splits = [path.parent.name for path in sorted(Path(folder).glob("*/metadata.jsonl"))]
    if splits and not Path(folder, "metadata.jsonl").exists():
        split = Path(folder, "train" if "train" in splits else splits[0])
        raise ValueError(f"{folder} is a dataset with splits: pass one of them, such as {split}.")
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
            f"{len(errors)} of {len(sources)} recordings can't be read: {' '.join(errors[:5])}"
            f"{' …' * (len(errors) > 5)} Remove them, or use scripts/prepare_dataset.py, which skips and reports"
            " unreadable files."
        )
    return tracks


class AudioCrops(Dataset):
    r"""
    Random mono crops of recordings at one sampling rate, different in every epoch. They depend only on the seed, the
    epoch and the item.

    A recording of `n` times `num_samples` counts as `n` items (rounded down), and as at least one. Recordings that are
    shorter than `num_samples` are padded with silence.

    Args:
        tracks (`Sequence[Track]`):
            The recordings that [`open_tracks`] returns.
        sampling_rate (`int`):
            Sampling rate of the items in Hz.
        num_samples (`int`):
            Samples per item.
        seed (`int`, defaults to `0`):
            Seed of the crops.
        drums_share (`float`, defaults to `0.0`):
            Probability, 0…1, that an item is taken from the drum stem instead of the mix, if there is a stem.

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
        """Sets the epoch, which determines the crops."""
        self.epoch = epoch

    def has_drums(self, index: int) -> bool:
        """Whether the recording of an item has a drum stem."""
        return self.tracks[self._track_of[index]].drums is not None

    def read(self, index: int) -> torch.Tensor:
        """Reads an item without padding: (1, samples)."""
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
        """Indices of `count` items (or of all, if there are fewer), drawn without replacement from a fixed seed."""
        generator = torch.Generator().manual_seed(derive_seed("sample", self.seed))
        return torch.randperm(len(self), generator=generator)[:count].tolist()
