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


"""The feature cache: what training reads of each clip, encoded once.

A cache is a folder: `features.json` (rates, sizes, the codec's hash, statistics of the latents), `captions.jsonl` (one
object per clip: its number of frames and the wordings of its caption), `codebook.safetensors` (the codec's first
codebook), and shards `features-00000.safetensors`, ..., each of which holds some clips one after the other:

| tensor | shape | type | |
|---|---|---|---|
| `latents` | (frames of all, dim) | float16 | the codec's latents, neither quantised nor normalised |
| `drum_codes` | (frames of all,) | int16 | the drum stem's entries of the first codebook |
| `has_drums` | (clips,) | uint8 | whether a clip has drums |
| `chords` | (frames of all,) | int16 | ids of the default labels; -1: the chords are not known |
| `melody` | (frames of all,) | int8 | the row of the melody matrix; -1: none |
| `offsets` | (clips + 1,) | int64 | where each clip starts and ends |
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from torch.utils.data import Dataset

from ..audio import resample
from ..controls.chord_labels import default_chord_labels, normalize_chord
from ..controls.chords import chords_to_frames, read_chords
from ..controls.drums import blur_frames
from ..controls.melody import MELODY_BINS, melody_from_notes
from ..files import atomic_folder


FORMAT = 1
# Quieter stems than this are no drums.
SILENCE = 1e-4


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2^63) that depends on all of `parts`, the same on every machine."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def codec_hash(codec: torch.nn.Module) -> str:
    """A hash of the codec's configuration, without what says nothing about its latents (versions, paths, types)."""
    config = codec.config.to_dict() if hasattr(codec.config, "to_dict") else dict(codec.config)
    ignored = ("transformers_version", "torch_dtype", "dtype", "architectures", "model_type", "num_parameters")
    config = {key: value for key, value in config.items() if key not in ignored and not key.startswith("_")}
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:16]


@torch.no_grad()
def first_codebook(codec: torch.nn.Module) -> torch.Tensor:
    """The codec's first codebook, of shape `(entries, latent_dim)`."""
    codes = torch.arange(codec.config.codebook_size, device=next(codec.parameters()).device)
    return codec.quantizer.layers[0].decode(codes[None])[0].T.float().cpu().contiguous()


def _encode_controls(item: dict[str, Any], num_frames: int, frame_rate: float) -> dict[str, torch.Tensor]:
    labels = default_chord_labels()
    chords = torch.full((num_frames,), -1)
    if item.get("chords") is not None:
        timeline = read_chords([tuple(chord) for chord in item["chords"]], labels, duration=num_frames / frame_rate)
        chords = chords_to_frames(timeline, labels, num_frames, frame_rate)
    notes = [tuple(note) for note in item.get("melody") or []]
    matrix = melody_from_notes(notes, num_frames, frame_rate)
    melody = torch.where(matrix.any(dim=1), matrix.argmax(dim=1), -1)
    return {"chords": chords.to(torch.int16), "melody": melody.to(torch.int8)}


@torch.no_grad()
def encode_clips(items: list[dict[str, Any]], codec: torch.nn.Module) -> list[dict[str, Any]]:
    r"""
    Encodes clips of the same length, at the codec's rate.

    Args:
        items (`list[dict]`): clips as [`write_features`] takes them.
        codec: as in [`write_features`].

    Returns:
        `list[dict]`: for each clip its tensors `"latents"`, `"drum_codes"`, `"chords"` and `"melody"` as in the cache,
        `"has_drums"` (`bool`) and `"captions"` (`list[str]`).
    """
    frame_rate = codec.config.sampling_rate / codec.config.hop_length
    mix = torch.stack([item["audio"] for item in items])
    stems = [item.get("stems", {}).get("drums") for item in items]
    has_drums = [stem is not None and stem.abs().max().item() > SILENCE for stem in stems]
    parameter = next(codec.parameters())
    latents = codec.encoder(mix.to(parameter)).transpose(1, 2).float().cpu()
    num_frames = latents.shape[1]

    codes = torch.zeros(len(items), num_frames, dtype=torch.int16)
    if any(has_drums):
        drums = torch.stack([stem for stem, given in zip(stems, has_drums) if given])
        encoded = codec.quantizer.layers[0].encode(codec.encoder(drums.to(parameter)))
        codes[torch.tensor(has_drums)] = encoded.to("cpu", torch.int16)

    features = []
    for i, item in enumerate(items):
        captions = list(item.get("captions") or []) or [item.get("caption") or ""]
        features.append(
            {
                "latents": latents[i].half(),
                "drum_codes": codes[i],
                "has_drums": has_drums[i],
                "captions": captions,
                **_encode_controls(item, num_frames, frame_rate),
            }
        )
    return features


def _prepare(item: dict[str, Any], sampling_rate: int) -> dict[str, Any]:
    """The item with its audio at the codec's rate, and a drum stem of the same length."""

    def convert(waveform: Any) -> torch.Tensor:
        waveform = torch.as_tensor(waveform, dtype=torch.float32)
        waveform = waveform[None] if waveform.ndim == 1 else waveform.mean(dim=0, keepdim=True)
        return resample(waveform, int(item["sampling_rate"]), sampling_rate)

    audio = convert(item["audio"])
    stems = {}
    drums = (item.get("stems") or {}).get("drums")
    if drums is not None:
        drums = convert(drums)[:, : audio.shape[-1]]
        stems["drums"] = F.pad(drums, (0, audio.shape[-1] - drums.shape[-1]))
    return item | {"audio": audio, "stems": stems}


def _batches(items: Iterable[dict[str, Any]], sampling_rate: int, batch_size: int) -> Iterator[list[dict[str, Any]]]:
    batch = []
    for item in items:
        item = _prepare(item, sampling_rate)
        if batch and item["audio"].shape != batch[0]["audio"].shape:
            yield batch
            batch = []
        batch.append(item)
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def write_features(
    items: Iterable[dict[str, Any]],
    codec: torch.nn.Module,
    folder: str | os.PathLike,
    batch_size: int = 16,
    shard_size: int = 1024,
    overwrite: bool = False,
) -> dict[str, Any]:
    r"""
    Encodes clips and writes the feature cache. The folder appears when it is complete.

    Args:
        items (`Iterable[dict]`):
            Clips: `"audio"` (float32, `(1, samples)`), `"sampling_rate"` in Hz, and what is known of `"chords"` (`[(label,
            start in seconds), ...]`), `"melody"` (`[(MIDI number, start, end), ...]`), `"stems"` (`{"drums": (1,
            samples)}`), `"captions"` (wordings of the same description) or `"caption"`.
        codec ([`~transformers.EncodecModel`] or a model with its parts):
            The codec: `encoder`, `quantizer`, `config`.
        folder (`str` or `os.PathLike`):
            Where to write.
        batch_size (`int`, defaults to `16`):
            Clips of one length that are encoded together.
        shard_size (`int`, defaults to `1024`):
            Clips per file.
        overwrite (`bool`, defaults to `False`):
            Whether an existing cache is replaced.

    Returns:
        `dict`: the contents of `features.json`.

    Raises:
        `ValueError`: if there are no items, if an item can't be encoded (with its number), or the folder exists.
    """

    def encode() -> Iterator[dict[str, Any]]:
        count = 0
        for batch in _batches(items, codec.config.sampling_rate, batch_size):
            try:
                yield from encode_clips(batch, codec)
            except ValueError as error:
                raise ValueError(f"One of the clips {count} to {count + len(batch) - 1}: {error}") from error
            count += len(batch)

    return write_encoded(encode(), codec, folder, shard_size, overwrite)


def write_encoded(
    clips: Iterable[dict[str, Any]],
    codec: torch.nn.Module,
    folder: str | os.PathLike,
    shard_size: int = 1024,
    overwrite: bool = False,
) -> dict[str, Any]:
    r"""
    Writes the feature cache of clips that [`encode_clips`] encoded. For the arguments see [`write_features`].
    """
    folder = Path(folder)
    if folder.exists() and not overwrite:
        raise ValueError(f"{folder} exists. Give another folder, or overwrite=True.")

    with atomic_folder(folder) as partial:
        shard: list[dict[str, Any]] = []
        num_frames, shards = 0, []
        total = squares = 0.0

        def flush():
            lengths = torch.tensor([0] + [len(clip["latents"]) for clip in shard])
            names = ("latents", "drum_codes", "chords", "melody")
            tensors = {name: torch.cat([clip[name] for clip in shard]).contiguous() for name in names}
            tensors["has_drums"] = torch.tensor([clip["has_drums"] for clip in shard], dtype=torch.uint8)
            tensors["offsets"] = lengths.cumsum(0)
            name = f"features-{len(shards):05d}.safetensors"
            save_file(tensors, partial / name)
            shards.append({"file": name, "clips": len(shard)})
            shard.clear()

        with open(partial / "captions.jsonl", "w", encoding="utf-8") as captions:
            for clip in clips:
                values = clip["latents"].double()
                total, squares = total + values.sum(dim=0), squares + values.square().sum(dim=0)
                num_frames += len(values)
                line = {"frames": len(values), "captions": clip["captions"]}
                captions.write(json.dumps(line, ensure_ascii=False) + "\n")
                shard.append(clip)
                if len(shard) == shard_size:
                    flush()
        if shard:
            flush()
        if not shards:
            raise ValueError("There are no clips to encode.")

        mean = total / num_frames
        std = (squares / num_frames - mean.square()).clamp(min=0).sqrt()
        # A channel that never changes stays as it is.
        std = torch.where(std < 1e-5, 1.0, std)
        info = {
            "format": FORMAT,
            "num_clips": sum(shard["clips"] for shard in shards),
            "num_frames": num_frames,
            "sampling_rate": codec.config.sampling_rate,
            "hop_length": codec.config.hop_length,
            "frame_rate": codec.config.sampling_rate / codec.config.hop_length,
            "latent_dim": len(mean),
            "codec_hash": codec_hash(codec),
            "latents_mean": mean.float().tolist(),
            "latents_std": std.float().tolist(),
            "shards": shards,
        }
        save_file({"codebook": first_codebook(codec)}, partial / "codebook.safetensors")
        (partial / "features.json").write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
    return info


def _chord_id(label: str, labels: Sequence[str]) -> int:
    """The id of the nearest chord in a vocabulary; that of the null chord where it has none."""
    try:
        return labels.index(normalize_chord(label, labels)[0])
    except ValueError:
        return len(labels)


class FeatureDataset(Dataset):
    r"""
    Clips of a feature cache, as tensors for training. The shards are memory-mapped. What is random (the wording of a
    caption, where a long clip is cropped) depends on the seed, the epoch and the clip only.

    Args:
        folder (`str` or `os.PathLike`):
            The cache that [`write_features`] wrote.
        labels (`Sequence[str]`, *optional*):
            The model's chord vocabulary, by default [`~controls.chord_labels.default_chord_labels`].
        num_frames (`int`, *optional*):
            Frames of an item, by default those of the shortest clip. Longer clips are cropped, at random.
        drums_blur (`int`, defaults to `3`):
            Frames over which drum latents are averaged, as the transformer's `drums_blur`.
        latents_mean (`float` or `Sequence[float]`, *optional*):
            Mean of the latents, of all or of each channel, by default the cache's own. Another set than the one that a
            model was trained on needs the model's.
        latents_std (`float` or `Sequence[float]`, *optional*):
            Their standard deviation.
        seed (`int`, defaults to `0`):
            Seed of what is random.

    An item is a `dict`: `latents` `(frames, dim)` normalised, `chords` `(frames,)` ids, `len(labels)` where the chords
    are not known, `drums` `(frames, dim)` (not normalised; zeros without drums), `melody` `(frames, 53)` one-hot or zero,
    `caption` `str`.

    Raises:
        `FileNotFoundError`: if the folder holds no cache.
        `ValueError`: if a clip is shorter than `num_frames`.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        labels: Sequence[str] | None = None,
        num_frames: int | None = None,
        drums_blur: int = 3,
        latents_mean: float | Sequence[float] | None = None,
        latents_std: float | Sequence[float] | None = None,
        seed: int = 0,
    ):
        self.folder = Path(folder)
        if not (self.folder / "features.json").is_file():
            raise FileNotFoundError(f"{self.folder} is no feature cache: it has no features.json.")
        self.info = json.loads((self.folder / "features.json").read_text(encoding="utf-8"))
        if self.info["format"] != FORMAT:
            raise ValueError(f"{self.folder} has format {self.info['format']}, this version reads {FORMAT}.")
        with open(self.folder / "captions.jsonl", encoding="utf-8") as lines:
            clips = [json.loads(line) for line in lines]
        self.captions = [clip["captions"] for clip in clips]
        lengths = [clip["frames"] for clip in clips]
        self.num_frames = min(lengths) if num_frames is None else num_frames
        if min(lengths) < self.num_frames:
            short = min(range(len(lengths)), key=lengths.__getitem__)
            raise ValueError(f"Clip {short} has {lengths[short]} frames, fewer than `num_frames` = {self.num_frames}.")

        mean = self.info["latents_mean"] if latents_mean is None else latents_mean
        std = self.info["latents_std"] if latents_std is None else latents_std
        self.mean, self.std = torch.tensor(mean), torch.tensor(std)
        self.drums_blur = drums_blur
        self.seed = seed
        self.epoch = 0
        self.codebook = load_file(self.folder / "codebook.safetensors")["codebook"]
        defaults = default_chord_labels()
        labels = defaults if labels is None else list(labels)
        # The last one, at position -1, is for chords that are not known.
        ids = [_chord_id(label, labels) for label in defaults]
        self.chord_ids = torch.tensor([*ids, len(labels)])
        self._shard_of = [i for i, shard in enumerate(self.info["shards"]) for _ in range(shard["clips"])]
        self._first_of = torch.tensor([0] + [shard["clips"] for shard in self.info["shards"]]).cumsum(0).tolist()
        self._open: dict[int, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Open files do not go to the loader's workers.
        return self.__dict__ | {"_open": {}}

    def __len__(self) -> int:
        return self.info["num_clips"]

    def set_epoch(self, epoch: int):
        """Sets the epoch, which chooses the wordings and the crops."""
        self.epoch = epoch

    def _shard(self, number: int) -> tuple[Any, list[int], list[int]]:
        if number not in self._open:
            file = safe_open(self.folder / self.info["shards"][number]["file"], framework="pt")
            offsets, has_drums = (file.get_tensor(name).tolist() for name in ("offsets", "has_drums"))
            self._open[number] = file, offsets, has_drums
        return self._open[number]

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = self._shard_of[index]
        file, offsets, has_drums = self._shard(number)
        position = index - self._first_of[number]
        start, end = offsets[position : position + 2]
        start += derive_seed("crop", self.seed, self.epoch, index) % (end - start - self.num_frames + 1)
        frames = slice(start, start + self.num_frames)

        latents = (file.get_slice("latents")[frames].float() - self.mean) / self.std
        if has_drums[position]:
            drums = self.codebook[file.get_slice("drum_codes")[frames].long()]
            drums = blur_frames(drums[None], self.drums_blur)[0]
        else:
            drums = torch.zeros_like(latents)
        bins = file.get_slice("melody")[frames].long()
        captions = self.captions[index]
        return {
            "latents": latents,
            "chords": self.chord_ids[file.get_slice("chords")[frames].long()],
            "drums": drums,
            "melody": F.one_hot(bins.clamp(min=0), MELODY_BINS).float() * (bins >= 0)[:, None],
            "caption": captions[derive_seed("caption", self.seed, self.epoch, index) % len(captions)],
        }


def collate_features(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch of [`FeatureDataset`]'s items: tensors with a first dimension `batch`, and a list of captions."""
    return {
        name: [item[name] for item in items] if name == "caption" else torch.stack([item[name] for item in items])
        for name in items[0]
    }
