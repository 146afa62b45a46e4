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

"""Data sets by name, as training needs them."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import torch

from ..codecs import is_same_codec
from ..utils.optional_imports import import_optional
from .clips import ClipDataset
from .features import FeatureDataset
from .streams import ClipStream
from .synthetic.music import SyntheticMusic


if TYPE_CHECKING:
    import datasets


SYNTHETIC_CLIPS = 10_000
DEFAULT_SECONDS = 10.0  # as in the paper
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_SYNTHETIC = re.compile(r"synthetic(:(\d+))?")
POSSIBLE = (
    "a folder written by scripts/prepare_dataset.py, a feature cache (features.json), a folder with metadata.jsonl, one of"
    " `save_to_disk`, a data set on the Hub (`user/name` or `user/name@revision`), `synthetic` or `synthetic:<clips>`"
)


def is_synthetic(spec: str) -> bool:
    """Whether [`open_dataset`] takes this for synthetic music."""
    return bool(_SYNTHETIC.fullmatch(spec))


def is_on_hub(spec: str) -> bool:
    """Whether [`open_dataset`] takes this for a data set on the Hub, as it is nothing on this machine."""
    return not (Path(spec).exists() or is_synthetic(spec))


def check_spec(spec: str):
    r"""
    Checks that something may be a data set, without opening it.

    Raises:
        `ValueError`: for what is neither on this machine, nor synthetic, nor named like a data set on the Hub.
    """
    if is_on_hub(spec) and not _HUB_NAME.fullmatch(spec):
        raise ValueError(f"{spec!r} is no data set: there is no such folder. Possible are: {POSSIBLE}.")
    if Path(spec).is_file():
        raise ValueError(f"{spec!r} is no data set, but a file. Possible are: {POSSIBLE}.")


def open_dataset(
    spec: str,
    codec: torch.nn.Module,
    split: str = "train",
    num_frames: int | None = None,
    streaming: bool = False,
    renderer: str = "fluidsynth",
) -> FeatureDataset | ClipDataset | ClipStream:
    r"""
    Opens a data set. Its `configure` sets the options of its items that depend on a model, and their seed.

    Args:
        spec (`str`):
            One of:
            - `"synthetic"` or `"synthetic:200"`: [`SyntheticMusic`], of 10,000 or so many clips
            - a feature cache, whatever its split
            - a folder that `scripts/prepare_dataset.py` wrote: its feature cache if it has one, or else its clips with audio
            - a folder of `datasets.Dataset.save_to_disk` or `datasets.DatasetDict.save_to_disk`
            - a folder with `metadata.jsonl`, as `scripts/make_synthetic_dataset.py` writes it, or with one in `<split>/`
            - `"user/name"` or `"user/name@revision"`: a data set on the Hub, whose rows are as [`~data.clips.ClipReader.read`]
              takes them
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]):
            The codec. A feature cache has to be of the same.
        split (`str`, defaults to `"train"`):
            The split.
        num_frames (`int`, *optional*):
            Frames of an item, by default those of the shortest clip; 10 s of synthetic music and of streams.
        streaming (`bool`, defaults to `False`):
            Read a data set of the Hub while training, and do not download it before.
        renderer (`str`, defaults to `"fluidsynth"`):
            What plays synthetic music.

    Returns:
        [`~data.features.FeatureDataset`] (encoded), [`~data.clips.ClipDataset`] or [`~data.streams.ClipStream`] (with audio).

    Raises:
        `ValueError`: if there is no such data set or split, or a feature cache is of another codec.
    """
    config = codec.config
    audio = {"sampling_rate": config.sampling_rate, "hop_length": config.hop_length}
    default_frames = round(DEFAULT_SECONDS * config.sampling_rate / config.hop_length)
    folder, synthetic = Path(spec), _SYNTHETIC.fullmatch(spec)
    if streaming and not is_on_hub(spec):
        raise ValueError(f"`streaming` is for data sets on the Hub, but {spec} is on this machine.")

    if synthetic:
        num_frames = default_frames if num_frames is None else num_frames
        size = int(synthetic[2] or SYNTHETIC_CLIPS)
        duration = num_frames * config.hop_length / config.sampling_rate
        options = {"duration": duration, "sampling_rate": config.sampling_rate, "renderer": renderer, "stems": True}
        return ClipDataset(SyntheticMusic(split, size, **options), num_frames=num_frames, **audio)

    if folder.is_dir():
        for cache in (folder, folder / "features" / split, folder / split):
            if (cache / "features.json").is_file():
                dataset = FeatureDataset(cache, num_frames=num_frames)
                _check_codec(dataset, codec)
                return dataset
        for saved in (folder / "dataset", folder):
            if any((saved / name).is_file() for name in ("dataset_dict.json", "state.json")):
                return ClipDataset(_load_saved(saved, split), num_frames=num_frames, **audio)
        for clips in (folder, folder / split):
            if (clips / "metadata.jsonl").is_file():
                return ClipDataset(_read_metadata(clips), num_frames=num_frames, folder=clips, **audio)
        names = sorted(path.name for path in folder.iterdir())
        raise ValueError(
            f"{folder} holds no data set with a split {split!r}, but {', '.join(names[:10]) or 'nothing'}. Possible are: {POSSIBLE}."
        )

    check_spec(spec)
    rows = _load_from_hub(spec, split, streaming)
    if streaming:
        return ClipStream(rows, num_frames=default_frames if num_frames is None else num_frames, **audio)
    return ClipDataset(rows, num_frames=num_frames, **audio)


def _check_codec(dataset: FeatureDataset, codec: torch.nn.Module):
    if not is_same_codec(codec, dataset.info["codec_hash"], dataset.codebook):
        raise ValueError(
            f"The features in {dataset.folder} were made with another codec: encode them anew, or open the clips with their"
            " audio (of a prepared folder: its folder `dataset`)."
        )


def _read_metadata(folder: Path) -> list[dict[str, Any]]:
    rows = []
    with open(folder / "metadata.jsonl", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise ValueError(f"{folder / 'metadata.jsonl'}, line {number} is no JSON ({error}).") from error
    return rows


def _load_saved(folder: Path, split: str) -> "datasets.Dataset":
    saved = import_optional("datasets", "train").load_from_disk(str(folder))
    if not isinstance(saved, dict):
        return saved
    if split not in saved:
        raise ValueError(f"{folder} has no split {split!r}, but {', '.join(saved)}.")
    return saved[split]


def _load_from_hub(spec: str, split: str, streaming: bool) -> Union["datasets.Dataset", "datasets.IterableDataset"]:
    datasets = import_optional("datasets", "train")
    name, _, revision = spec.partition("@")
    try:
        return datasets.load_dataset(name, split=split, revision=revision or None, streaming=streaming)
    except (FileNotFoundError, ConnectionError) as error:
        raise ValueError(
            f"There is no folder {spec}, and no data set of that name was found on the Hub ({error})."
        ) from error
