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


"""Conversion of synthetic music to the datasets library."""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Union

import soundfile

from ...utils.optional_imports import import_optional
from .music import SyntheticMusic


if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset


def to_datasets(
    music: SyntheticMusic, streaming: bool = True, num_shards: int = 1
) -> Union["Dataset", "IterableDataset"]:
    r"""
    Converts synthetic music to a dataset of the datasets library, with 24-bit FLAC audio, timelines as lists of
    dictionaries, and without stems. If torchcodec is installed, `cast_column("audio", datasets.Audio())` decodes the
    audio.

    Args:
        music (`SyntheticMusic`): the clips.
        streaming (`bool`): whether to generate clips on demand instead of writing all of them to the library's cache.
        num_shards (`int`): number of shards that workers or nodes can divide among themselves.

    Raises:
        `ImportError`: if the datasets library is not installed.
    """
    datasets = import_optional("datasets", "train")
    features = datasets.Features(
        {
            "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
            "duration": datasets.Value("float64"),
            "chords": datasets.List({"label": datasets.Value("string"), "start": datasets.Value("float64")}),
            "melody": datasets.List(
                {
                    "pitch": datasets.Value("int32"),
                    "start": datasets.Value("float64"),
                    "end": datasets.Value("float64"),
                }
            ),
            **{name: datasets.List(datasets.Value("float64")) for name in ("drum_onsets", "beats", "downbeats")},
            "tempo": datasets.Value("float64"),
            **{
                name: datasets.Value("string")
                for name in ("time_signature", "key", "style", "energy", "form", "caption", "split", "subset")
            },
            "captions": datasets.List(datasets.Value("string")),
            "instruments": datasets.List({"stem": datasets.Value("string"), "name": datasets.Value("string")}),
            "index": datasets.Value("int64"),
            "seed": datasets.Value("int64"),
            **{
                name: datasets.Value("string")
                for name in ("renderer", "renderer_version", "soundfont", "soundfont_sha256")
            },
        }
    )
    make = datasets.IterableDataset.from_generator if streaming else datasets.Dataset.from_generator
    # The library divides lists among workers.
    indices = [list(range(shard, len(music), num_shards)) for shard in range(num_shards)]
    return make(_generate, features=features, gen_kwargs={"music": music, "indices": indices})


def _generate(music: SyntheticMusic, indices: list[list[int]]) -> Iterator[dict[str, Any]]:
    for shard in indices:
        for index in shard:
            item = music[index]
            file = io.BytesIO()
            soundfile.write(file, item["audio"][0].numpy(), item["sampling_rate"], format="FLAC", subtype="PCM_24")
            row = {name: value for name, value in item.items() if name not in ("audio", "stems", "sampling_rate")}
            yield row | {
                "audio": {"bytes": file.getvalue(), "path": f"{index:06d}.flac"},
                "chords": [{"label": label, "start": start} for label, start in item["chords"]],
                "melody": [{"pitch": pitch, "start": start, "end": end} for pitch, start, end in item["melody"]],
                "instruments": [{"stem": stem, "name": name} for stem, name in item["instruments"].items()],
            }
