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

"""Feature caches that grow while a model is trained on them.

A growing cache is a folder with `parts.json` and parts `part-00000/`, `part-00001/`, ..., each of which is a complete
feature cache (see `data/features.py`). `scripts/render_features.py` writes it.
"""

import bisect
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from diffusers.utils import logging

from ..utils.seeding import derive_seed
from .features import ClipItems, FeatureDataset


logger = logging.get_logger(__name__)

PARTS_FILE = "parts.json"
# The clips of a cache that has just started to grow are repeated up to this number of items. An epoch of less than a
# second would be spent on restarting the loader's workers.
MIN_ITEMS = 32_768
TIMEOUT = 600.0  # seconds


def part_path(folder: str | os.PathLike, number: int) -> Path:
    """The path of a part of a growing cache."""
    return Path(folder, f"part-{number:05d}")


def is_growing(folder: str | os.PathLike) -> bool:
    """Whether a folder is a growing feature cache."""
    return Path(folder, PARTS_FILE).is_file()


class GrowingFeatures(ClipItems):
    r"""
    Clips of a growing feature cache, in the form of [`FeatureDataset`]. New parts are only used from the next call of
    [`use_parts`], so that an epoch has a fixed order. `info` (with the statistics of the latents) and `codebook` are
    those of the first part, so they do not depend on how far the cache has grown. The clips of a small cache are
    repeated, with other crops and captions, up to 32,768 items.

    Args:
        folder (`str` or `os.PathLike`):
            The folder of the parts.
        num_frames (`int`, *optional*):
            Frames per item, by default the length of the shortest clip in the first part.
        timeout (`float`, defaults to `600.0`):
            Maximum time to wait for the first part, in seconds.

    Raises:
        `FileNotFoundError`: if the folder is not a growing cache.
        `TimeoutError`: if no part is complete within `timeout`.
        `ValueError`: if a clip is shorter than `num_frames`.
    """

    def __init__(self, folder: str | os.PathLike, num_frames: int | None = None, timeout: float = TIMEOUT):
        super().__init__()
        self.folder = Path(folder)
        if not is_growing(folder):
            raise FileNotFoundError(f"{folder} is not a growing feature cache: it has no {PARTS_FILE}.")
        self._wait(timeout)
        self._parts = [FeatureDataset(part_path(folder, 0))]
        self.info, self.codebook = self._parts[0].info, self._parts[0].codebook
        self.configure(num_frames=num_frames)
        self.use_parts(self.count_parts())

    def _wait(self, timeout: float):
        start = time.monotonic()
        if not self.count_parts():
            logger.warning(f"Waiting for the first part of {self.folder}.")
        while not self.count_parts():
            if time.monotonic() - start > timeout:
                raise TimeoutError(
                    f"{self.folder} has no complete part after {timeout:g} seconds. Is scripts/render_features.py"
                    " running?"
                )
            time.sleep(min(timeout, 1.0))

    def configure(self, num_frames: int | None = None, seed: int = 0, **options: Any):
        """Replaces all options of the items, which are those of [`FeatureDataset.configure`]."""
        self.num_frames = self._parts[0].num_frames if num_frames is None else num_frames
        self._seed, self._options = seed, options
        for number in range(len(self._parts)):
            self._configure_part(number)

    def _configure_part(self, number: int):
        defaults = {name: self.info[name] for name in ("latents_mean", "latents_std")}
        seed = derive_seed("part", self._seed, number)
        self._parts[number].configure(num_frames=self.num_frames, seed=seed, **defaults | self._options)

    def count_parts(self) -> int:
        """Number of parts that are complete now, up to the first one that is not."""
        return next(number for number in itertools.count() if not part_path(self.folder, number).is_dir())

    def use_parts(self, num_parts: int, repeats: bool = True):
        r"""
        Sets the number of parts whose clips are items.

        Args:
            num_parts (`int`): number of parts, at least 1.
            repeats (`bool`, defaults to `True`): whether the clips of a small cache are repeated.

        Raises:
            `ValueError`: if a part is missing, or was encoded with another codec or text encoder than the first one.
        """
        for number in range(len(self._parts), num_parts):
            path = part_path(self.folder, number)
            if not path.is_dir():
                raise ValueError(f"{path} is missing: a resumed run needs the {num_parts} parts that it has used.")
            part = FeatureDataset(path)
            if part.info["codec_hash"] != self.info["codec_hash"] or not part.codebook.equal(self.codebook):
                raise ValueError(f"{path} was encoded with another codec than the first part.")
            if part.info["text_encoder_hash"] != self.info["text_encoder_hash"]:
                raise ValueError(f"{path} was encoded with another text encoder than the first part.")
            self._parts.append(part)
            self._configure_part(number)
        self.num_parts = num_parts
        self._ends = list(itertools.accumulate(map(len, self._parts[:num_parts])))
        self._num_repeats = max(MIN_ITEMS // self._ends[-1], 1) if repeats else 1

    @property
    def captions(self) -> Iterator[list[str]]:
        """The captions of each clip in the parts in use."""
        return (captions for part in self._parts[: self.num_parts] for captions in part.captions)

    def has_beats(self) -> bool:
        """Whether at least one clip has beats."""
        return any(part.has_beats() for part in self._parts)

    def has_tempo(self) -> bool:
        """Whether at least one clip has a tempo."""
        return any(part.has_tempo() for part in self._parts)

    def __len__(self) -> int:
        return self._ends[-1] * self._num_repeats

    def _find(self, index: int, epoch: int) -> tuple[FeatureDataset, int, int]:
        """The part of an item, its index in the part, and the part's epoch."""
        repeat, clip = divmod(index, self._ends[-1])
        number = bisect.bisect_right(self._ends, clip)
        first = self._ends[number - 1] if number else 0
        return self._parts[number], clip - first, epoch * self._num_repeats + repeat

    def item(self, index: int, epoch: int) -> dict[str, Any]:
        part, *position = self._find(index, epoch)
        return part.item(*position)

    def batch(self, indices: Sequence[int]) -> dict[str, Any]:
        """Returns items collated by [`~data.features.collate_features`], as [`FeatureDataset.batch`]."""
        found = [self._find(index, self.epoch) for index in indices]
        return self._parts[0].convert_batch([part.crop(*position) for part, *position in found])
