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

"""Encoding of clips during training."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ..codecs import Codec, first_codebook
from .features import collate_features, encode_audio, to_training_item
from .latent_statistics import LatentStatistics


class BatchEncoder:
    r"""
    Encodes items of [`ClipDataset`] and collates them with items of [`~data.features.FeatureDataset`].

    Args:
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]):
            The codec; audio is encoded on its device.
        drums_blur (`int`):
            Number of frames over which drum latents are averaged, as in the transformer's `drums_blur`.
        latents_mean (`float` or `Sequence[float]`):
            The transformer's mean of the latents, overall or per channel.
        latents_std (`float` or `Sequence[float]`):
            The transformer's standard deviation of the latents.
        null_melody (`int`, defaults to `0`):
            Value of frames whose melody is unknown, as in the transformer's `null_controls`.
    """

    def __init__(
        self,
        codec: Codec,
        drums_blur: int,
        latents_mean: float | Sequence[float],
        latents_std: float | Sequence[float],
        null_melody: int = 0,
    ):
        self.codec = codec
        self.drums_blur, self.null_melody = drums_blur, null_melody
        self.mean, self.std = torch.tensor(latents_mean), torch.tensor(latents_std)
        self.codebook = first_codebook(codec)

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        r"""
        Encodes items and collates them with [`~data.features.collate_features`]. The batch has text embeddings if all
        items have them.

        Args:
            items (`Sequence[dict]`): items with the same number of frames.
        """
        # Items near the ends of their clips have less context. Items with the same length share a batch.
        lengths: dict[int, list[int]] = {}
        for position, item in enumerate(items):
            if "audio" in item:
                lengths.setdefault(item["audio"].shape[-1], []).append(position)
        items = list(items)
        for positions in lengths.values():
            clips = [items[position] for position in positions]
            for position, clip, encoded in zip(positions, clips, encode_audio(clips, self.codec)):
                frames = slice(clip["first_frame"], clip["first_frame"] + len(clip["chords"]))
                crop = clip | encoded | {name: encoded[name][frames] for name in ("latents", "drum_codes")}
                statistics = self.mean, self.std
                items[position] = to_training_item(crop, self.codebook, *statistics, self.drums_blur, self.null_melody)
        shared = set.intersection(*(set(item) for item in items))
        return collate_features([{name: item[name] for name in item if name in shared} for item in items])


def measure_latents(items: Iterable[dict[str, Any]], codec: Codec) -> tuple[list[float], list[float]]:
    r"""
    Measures the mean and the standard deviation of each latent channel, for a new model that is trained without a
    cache.

    Args:
        items (`Iterable[dict]`): items of [`ClipDataset`], all of which are encoded.
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]): the codec.
    """
    encode = BatchEncoder(codec, 1, 0.0, 1.0)
    statistics = LatentStatistics()
    for item in items:
        statistics.add(encode([item])["latents"])
    values = statistics.to_dict()
    return values["channel_mean"], values["channel_std"]
