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

"""Opens training datasets from folders, the Hub, or synthetic music."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from ..codecs import Codec, is_same_codec
from ..utils.optional_imports import import_optional
from .clips import ClipDataset
from .features import FeatureDataset
from .growing import GrowingFeatures, is_growing
from .streams import ClipStream
from .synthetic.music import SyntheticMusic


if TYPE_CHECKING:
    import datasets


SYNTHETIC_CLIPS = 10_000
DEFAULT_SECONDS = 10.0  # as in the paper
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_SYNTHETIC = re.compile(r"synthetic(:(\d+))?")
ACCEPTED_SPECS = (
    "a folder written by scripts/prepare_dataset.py, a feature cache (features.json), a growing feature cache"
    " (parts.json), a folder with metadata.jsonl, a folder written by `save_to_disk`, a dataset on the Hub (`user/name` or"
    " `user/name@revision`), `synthetic` or `synthetic:<clips>`"
)


def is_synthetic(spec: str) -> bool:
    """Whether [`open_dataset`] treats a specification as synthetic music."""
    return bool(_SYNTHETIC.fullmatch(spec))


def is_on_hub(spec: str) -> bool:
    """Whether [`open_dataset`] treats a specification as a Hub dataset: it is neither synthetic nor a local path."""
    return not (Path(spec).exists() or is_synthetic(spec))


def check_spec(spec: str):
    r"""
    Checks that a specification may be a dataset, without opening it.

    Raises:
        `ValueError`: if it is neither a local folder, nor synthetic music, nor the name of a dataset on the Hub.
    """
    if is_on_hub(spec) and not _HUB_NAME.fullmatch(spec):
        raise ValueError(f"{spec!r} is not a dataset: there is no such folder. Valid options: {ACCEPTED_SPECS}.")
    if Path(spec).is_file():
        raise ValueError(f"{spec!r} is a file, not a dataset. Valid options: {ACCEPTED_SPECS}.")


def open_dataset(
    spec: str,
    codec: Codec,
    split: str = "train",
    num_frames: int | None = None,
    streaming: bool = False,
    renderer: str = "fluidsynth",
) -> FeatureDataset | GrowingFeatures | ClipDataset | ClipStream:
    r"""
    Opens a dataset. Its `configure` method sets the options that depend on a model, and the seed.

    Args:
        spec (`str`):
            One of:
            - `"synthetic"` or `"synthetic:200"`: [`SyntheticMusic`] with 10,000 clips, or with the given number
            - a feature cache, regardless of its split
            - a growing feature cache, written by `scripts/render_features.py`
            - a folder written by `scripts/prepare_dataset.py`: its feature cache if it has one, otherwise its clips
              with audio
            - a folder of `datasets.Dataset.save_to_disk` or `datasets.DatasetDict.save_to_disk`
            - a folder with `metadata.jsonl`, as `scripts/make_synthetic_dataset.py` writes it, or with one in
              `<split>/`
            - `"user/name"` or `"user/name@revision"`: a dataset on the Hub with rows in the form that
              [`~data.clips.ClipReader.read`] expects
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]):
            The codec. A feature cache has to be encoded with the same codec.
        split (`str`, defaults to `"train"`):
            The split.
        num_frames (`int`, *optional*):
            Frames per item, by default the length of the shortest clip, or 10 s for synthetic music and streams.
        streaming (`bool`, defaults to `False`):
            Stream a dataset from the Hub during training instead of downloading it first.
        renderer (`str`, defaults to `"fluidsynth"`):
            The renderer of synthetic music.

    Returns:
        [`~data.features.FeatureDataset`] or [`~data.growing.GrowingFeatures`] (encoded), [`~data.clips.ClipDataset`]
        or [`~data.streams.ClipStream`] (with audio).

    Raises:
        `ValueError`: if there is no such dataset or split, or a feature cache was encoded with another codec.
    """
    config = codec.config
    audio = {"sampling_rate": config.sampling_rate, "hop_length": config.hop_length}
    default_frames = round(DEFAULT_SECONDS * config.sampling_rate / config.hop_length)
    folder, synthetic = Path(spec), _SYNTHETIC.fullmatch(spec)
    if streaming and not is_on_hub(spec):
        raise ValueError(f"`streaming` is for datasets on the Hub, but {spec} is local.")

    if synthetic:
        num_frames = default_frames if num_frames is None else num_frames
        size = int(synthetic[2] or SYNTHETIC_CLIPS)
        duration = num_frames * config.hop_length / config.sampling_rate
        options = {"duration": duration, "sampling_rate": config.sampling_rate, "renderer": renderer, "stems": True}
        return ClipDataset(SyntheticMusic(split, size, **options), num_frames=num_frames, **audio)

    dataset: FeatureDataset | GrowingFeatures
    if folder.is_dir():
        if is_growing(folder):
            dataset = GrowingFeatures(folder, num_frames)
            _check_codec(dataset, codec)
            return dataset
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
            f"{folder} does not contain a dataset with a split {split!r}, but {', '.join(names[:10]) or 'nothing'}."
            f" Valid options: {ACCEPTED_SPECS}."
        )

    check_spec(spec)
    rows = _load_from_hub(spec, split, streaming)
    if streaming:
        return ClipStream(rows, num_frames=default_frames if num_frames is None else num_frames, **audio)
    return ClipDataset(rows, num_frames=num_frames, **audio)


def _check_codec(dataset: FeatureDataset | GrowingFeatures, codec: Codec):
    if not is_same_codec(codec, dataset.info["codec_hash"], dataset.codebook):
        raise ValueError(
            f"The features in {dataset.folder} were encoded with another codec: encode the clips again, or open the"
            " clips themselves (the subfolder `dataset` of a prepared folder)."
        )


def _read_metadata(folder: Path) -> list[dict[str, Any]]:
    rows = []
    with open(folder / "metadata.jsonl", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise ValueError(f"{folder / 'metadata.jsonl'}, line {number} is not valid JSON ({error}).") from error
    return rows


def _load_saved(folder: Path, split: str) -> "datasets.Dataset":
    saved = import_optional("datasets", "train").load_from_disk(str(folder))
    if not isinstance(saved, dict):
        return saved
    if split not in saved:
        raise ValueError(f"{folder} has no split {split!r}; its splits are {', '.join(saved)}.")
    return saved[split]


def _load_from_hub(spec: str, split: str, streaming: bool) -> Union["datasets.Dataset", "datasets.IterableDataset"]:
    datasets = import_optional("datasets", "train")
    name, _, revision = spec.partition("@")
    try:
        return datasets.load_dataset(name, split=split, revision=revision or None, streaming=streaming)
    except (FileNotFoundError, ConnectionError) as error:
        raise ValueError(
            f"There is no folder {spec}, and no dataset with that name was found on the Hub ({error})."
        ) from error
