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


"""The feature cache: clips encoded once, for training.

A clip may be a whole song. Training then takes random crops of it, as many per epoch as fit into the song.

A cache is a folder with `features.json` (rates, sizes, the hashes of the codec and the text encoder, the chord labels,
statistics of the latents), `captions.jsonl` (one object per clip: its number of frames and its caption variants),
`codebook.safetensors` (the codec's first codebook), and shards `features-00000.safetensors`, ... Each shard
concatenates several clips:

| tensor | shape | type | |
|---|---|---|---|
| `latents` | (total frames, dim) | float16 | the codec's latents, neither quantized nor normalized |
| `drum_codes` | (total frames,) | int16 | first-codebook indices of the drum stem |
| `has_drums` | (clips,) | uint8 | whether a clip has drums |
| `chords` | (total frames,) | int16 | indices into the chord labels; -1: unknown |
| `melody` | (total frames,) | int8 | pitch index of the melody matrix; -1: rest; -2: unknown |
| `beat_phases` | (total frames, 2) | float16 | phases of the beat and of the bar in [0, 1]; -1: unknown |
| `tempo` | (clips,) | float32 | beats per minute; 0: unknown |
| `beats_per_bar` | (clips,) | int8 | beats per bar; 0: unknown |
| `has_text` | (clips,) | uint8 | whether the captions are used; the text of other clips is dropped in training |
| `offsets` | (clips + 1,) | int64 | first frame of each clip, and the end of the last one |
| `text_embeds` | (total tokens, text dim) | float16 | the text encoder's last hidden states; optional |
| `text_offsets` | (total captions + 1,) | int64 | first token of each caption, and the last one's end; optional |

Caches of format 1 have no beats, tempo or `has_text`, and rests where the melody is unknown. They can still be read.
"""

import itertools
import json
import math
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import torch
from diffusers.utils import logging
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from ..audio.io import load_audio
from ..audio.resampling import resample
from ..codecs import Codec, blur_frames, codec_hash, drum_codes, encode, first_codebook
from ..controls import null_value
from ..controls.beats import beat_phases, phases_to_frames
from ..controls.chord_labels import default_chord_labels, normalize_chord
from ..controls.chords import check_chords, chords_to_frames
from ..controls.melody import MELODY_BINS, melody_from_notes
from ..extraction.beats import tempo_of_beats
from ..text_encoders import encode_captions, text_encoder_hash, warn_of_unknown_captions
from ..utils.files import atomic_folder
from ..utils.seeding import derive_seed
from .latent_statistics import LatentStatistics
from .tensor_files import TensorSpool


logger = logging.get_logger(__name__)

FORMAT = 2
READABLE_FORMATS = (1, 2)
# Tensors with one row per frame, in clips and in shards.
FRAME_TENSORS = ("latents", "drum_codes", "chords", "melody", "beat_phases")
# Values with one entry per clip in shards, their types, and the values of clips without them.
CLIP_VALUES = {
    "has_drums": (torch.uint8, 0),
    "tempo": (torch.float32, 0.0),
    "beats_per_bar": (torch.int8, 0),
    "has_text": (torch.uint8, 1),
}
# Values of `melody` without a note.
REST = -1
UNKNOWN_MELODY = -2
# Drum stems with a lower peak amplitude than this count as silent.
SILENCE = 1e-4


def encode_controls(
    item: dict[str, Any], num_frames: int, frame_rate: float, labels: Sequence[str] | None = None
) -> dict[str, torch.Tensor]:
    r"""
    Converts the chords, the melody and the beats of a clip to the cache's format.

    Args:
        item (`dict`): a clip with, where known, `"chords"`, `"melody"`, `"beats"` and `"downbeats"`, as in
            [`write_features`].
        num_frames (`int`): number of frames in the clip.
        frame_rate (`float`): frames per second.
        labels (`Sequence[str]`, *optional*): the chord labels, by default AudioCraft's.

    Returns:
        `dict[str, torch.Tensor]`: `chords` `(frames,)`, `melody` `(frames,)` and `beat_phases` `(frames, 2)`.

    Raises:
        `ValueError`: for an invalid chord or note, or beats that do not increase.
    """
    labels = default_chord_labels() if labels is None else labels
    chords = torch.full((num_frames,), -1)
    if item.get("chords") is not None:
        timeline = check_chords([tuple(chord) for chord in item["chords"]], labels, duration=num_frames / frame_rate)
        chords = chords_to_frames(timeline, labels, num_frames, frame_rate)
    melody = torch.full((num_frames,), UNKNOWN_MELODY)
    if item.get("melody") is not None:
        matrix = melody_from_notes([tuple(note) for note in item["melody"]], num_frames, frame_rate)
        melody = torch.where(matrix.any(dim=1), matrix.argmax(dim=1), REST)
    grid = beat_grid(item)
    phases = torch.full((num_frames, 2), -1.0) if grid is None else beat_phases(*grid, num_frames, frame_rate)
    return {"chords": chords.to(torch.int16), "melody": melody.to(torch.int8), "beat_phases": phases.half()}


def encode_tempo(item: dict[str, Any]) -> dict[str, float | int]:
    r"""
    Returns the tempo and the beats per bar of a clip: those of its beats and downbeats, or of its `"tempo"`
    (or, without it, its beats) and its `"beats_per_bar"` or `"time_signature"`. Compound meters have dotted beats: 6/8 has two per bar.

    Args:
        item (`dict`): a clip, as in [`write_features`].

    Returns:
        `dict`: `tempo` in beats per minute and `beats_per_bar`; 0 where they are unknown.
    """
    grid, tempo = beat_grid(item), item.get("tempo")
    if grid is not None:
        seconds_per_bar = 60 / (tempo_of_beats(grid[1]) or math.inf)
        tempo = tempo_of_beats(grid[0]) or 0.0
        return {"tempo": tempo, "beats_per_bar": min(round(seconds_per_bar * tempo / 60), 127)}
    if not isinstance(tempo, (int, float)) or not 0 < tempo < math.inf:
        tempo = tempo_of_beats(item.get("beats") or []) or 0.0
    return {"tempo": float(tempo), "beats_per_bar": _meter(item)}


def _meter(item: dict[str, Any]) -> int:
    """The beats per bar that a clip states, or 0."""
    stated = item.get("beats_per_bar")
    if isinstance(stated, int) and 0 < stated < 128:
        return stated
    upper, _, lower = str(item.get("time_signature") or "").partition("/")
    if not upper.isdigit() or not lower.isdigit() or int(upper) > 127:
        return 0
    is_compound = int(lower) >= 8 and int(upper) > 3 and int(upper) % 3 == 0
    return int(upper) // 3 if is_compound else int(upper)


def beat_grid(item: dict[str, Any]) -> tuple[list[float], list[float]] | None:
    r"""
    Returns the beats and downbeats of a clip.

    Args:
        item (`dict`): a clip, as in [`write_features`].

    Returns:
        `tuple[list[float], list[float]]`: at least two times of each in seconds, or `None` if they are unknown.
    """
    beats, downbeats = (list(item.get(name) or []) for name in ("beats", "downbeats"))
    tempo, beats_per_bar = tempo_of_beats(beats), _meter(item)
    if len(downbeats) == 1 and tempo and beats_per_bar:
        # A short clip: the next downbeat would be a bar later.
        downbeats.append(downbeats[0] + beats_per_bar * 60 / tempo)
    return (beats, downbeats) if tempo and len(downbeats) >= 2 else None


def encode_audio(items: list[dict[str, Any]], codec: Codec) -> list[dict[str, Any]]:
    r"""
    Encodes clips of the same length to latents and drum codes.

    Args:
        items (`list[dict]`): clips in the form that [`prepare_audio`] returns.
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]): the codec.

    Returns:
        `list[dict]`: for each clip, `latents` `(frames, dim)` in float16, `drum_codes` `(frames,)` in int16, and
            `has_drums`.
    """
    stems = [item["stems"].get("drums") for item in items]
    has_drums = [stem is not None for stem in stems]
    latents = encode(codec, torch.stack([item["audio"] for item in items])).cpu()

    codes = torch.zeros(latents.shape[:2], dtype=torch.int16)
    if any(has_drums):
        drums = torch.stack([stem for stem in stems if stem is not None])
        codes[torch.tensor(has_drums)] = drum_codes(codec, drums).to("cpu", torch.int16)
    return [
        {"latents": latents[i].half().contiguous(), "drum_codes": codes[i], "has_drums": has_drums[i]}
        for i in range(len(items))
    ]


def load_clip(
    item: dict[str, Any], folder: str | os.PathLike = "", names: Sequence[str] | None = ("drums",)
) -> dict[str, Any]:
    r"""
    Loads the audio of a clip for [`write_features`].

    Args:
        item (`dict`): a line of a dataset's `metadata.jsonl`: `file_name` (the mix), `stems` (`{"drums": file}`), ...
        folder (`str` or `os.PathLike`): base folder of the files' paths.
        names (`Sequence[str]`, *optional*): the stems to load; `None` for all of them.

    Raises:
        `FileNotFoundError`: if a file does not exist.
        `ValueError`: if a file is not audio.
    """
    audio, sampling_rate = load_audio(Path(folder, item["file_name"]))
    stems = {}
    for name, file in (item.get("stems") or {}).items():
        if file and (names is None or name in names):
            stem, rate = load_audio(Path(folder, file), name=name)
            stems[name] = resample(stem, rate, sampling_rate)
    return item | {"audio": audio, "sampling_rate": sampling_rate, "stems": stems}


def prepare_audio(
    item: dict[str, Any], sampling_rate: int, names: Sequence[str] | None = ("drums",)
) -> dict[str, Any]:
    r"""
    Converts the audio of a clip to mono at the codec's rate, and pads or cuts its stems to the same length. Silent
    stems are removed.

    Args:
        item (`dict`): a clip in the form that [`write_features`] expects.
        sampling_rate (`int`): the codec's rate in Hz.
        names (`Sequence[str]`, *optional*): the stems to convert, the others are removed; `None` for all of them.
    """

    def convert(waveform: Any) -> torch.Tensor:
        waveform = torch.as_tensor(waveform, dtype=torch.float32)
        waveform = waveform[None] if waveform.ndim == 1 else waveform.mean(dim=0, keepdim=True)
        return resample(waveform, int(item["sampling_rate"]), sampling_rate)

    audio = convert(item["audio"])
    stems = {}
    for name, stem in (item.get("stems") or {}).items():
        if stem is None or (names is not None and name not in names):
            continue
        stem = convert(stem)[:, : audio.shape[-1]]
        if stem.abs().max() > SILENCE:
            stems[name] = F.pad(stem, (0, audio.shape[-1] - stem.shape[-1]))
    return item | {"audio": audio, "sampling_rate": sampling_rate, "stems": stems}


def captions_of(item: dict[str, Any]) -> list[str]:
    """The captions of a clip: at least one, possibly empty."""
    return list(item.get("captions") or []) or [item.get("caption") or ""]


def _batches(items: Iterable[dict[str, Any]], sampling_rate: int, batch_size: int) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    lower_rates: list[int] = []
    for item in items:
        if item["sampling_rate"] < sampling_rate:
            lower_rates.append(item["sampling_rate"])
        item = prepare_audio(item, sampling_rate)
        if batch and item["audio"].shape != batch[0]["audio"].shape:
            yield batch
            batch = []
        batch.append(item)
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch
    if lower_rates:
        logger.warning(
            f"{len(lower_rates)} clips have a lower sampling rate (lowest: {min(lower_rates)} Hz) than the codec"
            f" ({sampling_rate} Hz). They lack high frequencies, and so will the music of a model trained on them: use"
            " recordings at the codec's rate."
        )


def write_features(
    items: Iterable[dict[str, Any]],
    codec: Codec,
    folder: str | os.PathLike,
    batch_size: int = 16,
    shard_size: int = 1024,
    overwrite: bool = False,
    tokenizer: PreTrainedTokenizerBase | None = None,
    text_encoder: torch.nn.Module | None = None,
) -> dict[str, Any]:
    r"""
    Encodes clips and writes the feature cache. The folder appears only once it is complete.

    Args:
        items (`Iterable[dict]`):
            Clips: `"audio"` (float32, `(1, samples)`), `"sampling_rate"` in Hz, and, where known, `"chords"`
            (`[(label, start in seconds), ...]`), `"melody"` (`[(MIDI number, start, end), ...]`; an empty list if
            there is none), `"beats"` and `"downbeats"` (seconds), `"tempo"` (beats per minute), `"time_signature"`
            (such as `"3/4"`) or `"beats_per_bar"`, `"stems"` (`{"drums": (1, samples)}`), and `"captions"` (variants
            of the same description) or `"caption"`, and `"has_text"`, `False` if they are not used.
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]):
            The codec.
        folder (`str` or `os.PathLike`):
            Folder to write.
        batch_size (`int`, defaults to `16`):
            Maximum number of clips that are encoded together. Clips in a batch have the same length.
        shard_size (`int`, defaults to `1024`):
            Clips per file.
        overwrite (`bool`, defaults to `False`):
            Whether an existing cache is replaced.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`], *optional*):
            The text encoder's tokenizer.
        text_encoder ([`~transformers.T5EncoderModel`], *optional*):
            A frozen text encoder. If given, the captions are encoded, too.

    Returns:
        `dict`: the contents of `features.json`.

    Raises:
        `ValueError`: if there are no items, an item can't be encoded (the message has its number), or the folder
            exists.
    """
    folder = Path(folder)
    if folder.exists() and not overwrite:
        raise ValueError(f"{folder} exists: choose another folder, or overwrite it (`overwrite`).")
    frame_rate = codec.config.sampling_rate / codec.config.hop_length

    captions = []

    def encode_clips() -> Iterator[dict[str, Any]]:
        num_clips = 0
        for batch in _batches(items, codec.config.sampling_rate, batch_size):
            try:
                for item, audio in zip(batch, encode_audio(batch, codec)):
                    controls = encode_controls(item, len(audio["latents"]), frame_rate)
                    clip = audio | controls | encode_tempo(item) | {"captions": captions_of(item)}
                    clip["has_text"] = item.get("has_text", True)
                    if text_encoder is not None:
                        captions.extend(clip["captions"])
                        clip["text_embeds"] = encode_captions(clip["captions"], tokenizer, text_encoder)
                    yield clip
            except ValueError as error:
                last = num_clips + len(batch) - 1
                raise ValueError(f"One of the clips {num_clips} to {last}: {error}") from error
            num_clips += len(batch)

    text_hash = None if text_encoder is None else text_encoder_hash(tokenizer, text_encoder)
    info = write_encoded(encode_clips(), codec, folder, default_chord_labels(), shard_size, text_hash)
    if tokenizer is not None:
        warn_of_unknown_captions(str(folder), captions, tokenizer)
    return info


def write_encoded(
    clips: Iterable[dict[str, Any]],
    codec: Codec,
    folder: str | os.PathLike,
    labels: Sequence[str],
    shard_size: int = 1024,
    text_hash: str | None = None,
) -> dict[str, Any]:
    r"""
    Writes the feature cache of encoded clips. The folder appears only once it is complete, and replaces an existing
    one.

    Args:
        clips (`Iterable[dict]`):
            Clips with the values that [`encode_audio`], [`encode_controls`] and [`encode_tempo`] return, and
            `"captions"`; with `text_hash` also `"text_embeds"`, the captions' encodings from [`encode_captions`].
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]):
            The codec that encoded the clips.
        folder (`str` or `os.PathLike`):
            Folder to write.
        labels (`Sequence[str]`):
            The chord labels that the chord ids index.
        shard_size (`int`, defaults to `1024`):
            Clips per file.
        text_hash (`str`, *optional*):
            [`text_encoder_hash`] of the text encoder that encoded the captions.

    Returns:
        `dict`: the contents of `features.json`.

    Raises:
        `ValueError`: if there are no clips.
    """
    num_clips, statistics = 0, LatentStatistics()
    shards: list[dict[str, Any]] = []
    with atomic_folder(folder) as partial:
        with open(partial / "captions.jsonl", "w", encoding="utf-8") as captions:
            clips = iter(clips)
            for first in clips:
                name = f"features-{len(shards):05d}.safetensors"
                shard = itertools.chain([first], itertools.islice(clips, shard_size - 1))
                count = _write_shard(shard, partial / name, captions, statistics, text_hash is not None)
                shards.append({"file": name, "clips": count})
                num_clips += count
        if not num_clips:
            raise ValueError("There are no clips to encode.")

        latent_statistics = statistics.to_dict()
        sampling_rate, hop_length = codec.config.sampling_rate, codec.config.hop_length
        info = {
            "format": FORMAT,
            "num_clips": num_clips,
            "num_frames": latent_statistics["num_frames"],
            "sampling_rate": sampling_rate,
            "hop_length": hop_length,
            "frame_rate": sampling_rate / hop_length,
            "latent_dim": len(latent_statistics["channel_mean"]),
            "codec_hash": codec_hash(codec),
            "text_encoder_hash": text_hash,
            "chord_labels": list(labels),
            "latents_mean": latent_statistics["channel_mean"],
            "latents_std": latent_statistics["channel_std"],
            "shards": shards,
        }
        save_file({"codebook": first_codebook(codec)}, partial / "codebook.safetensors")
        (partial / "features.json").write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
    return info


def _write_shard(
    clips: Iterable[dict[str, Any]], path: Path, captions: TextIO, statistics: LatentStatistics, with_text: bool
) -> int:
    """Writes a shard of a feature cache and the captions of its clips; returns their number."""
    values: dict[str, list[Any]] = {name: [] for name in CLIP_VALUES}
    offsets, text_offsets = [0], [0]
    with TensorSpool() as tensors:
        for clip in clips:
            statistics.add(clip["latents"])
            num_frames = len(clip["latents"])
            captions.write(json.dumps({"frames": num_frames, "captions": clip["captions"]}, ensure_ascii=False) + "\n")
            offsets.append(offsets[-1] + num_frames)
            for name in FRAME_TENSORS:
                tensors.append(name, clip[name])
            for name, (_, default) in CLIP_VALUES.items():
                values[name].append(clip.get(name, default))
            for states in clip["text_embeds"] if with_text else ():
                tensors.append("text_embeds", states)
                text_offsets.append(text_offsets[-1] + len(states))
        for name, (dtype, _) in CLIP_VALUES.items():
            tensors.append(name, torch.tensor(values[name], dtype=dtype))
        tensors.append("offsets", torch.tensor(offsets))
        if with_text:
            tensors.append("text_offsets", torch.tensor(text_offsets))
        tensors.save(path)
    return len(offsets) - 1


def _chord_id(label: str, labels: Sequence[str]) -> int:
    """The id of the nearest chord in a vocabulary, or the null chord's if there is none."""
    try:
        return labels.index(normalize_chord(label, labels)[0])
    except ValueError:
        return null_value("chords", labels)


class ClipItems(Dataset):
    r"""
    Fixed-length items from clips of any length. A clip of `n` times `num_frames` counts as `n` items (rounded down),
    so that clips are sampled in proportion to their duration.
    """

    def __init__(self):
        self.epoch = 0

    def _divide(self, lengths: Sequence[int], num_frames: int | None):
        """Divides clips of these lengths into items of `num_frames`, by default the length of the shortest clip."""
        shortest = min(range(len(lengths)), key=lengths.__getitem__)
        self.num_frames = lengths[shortest] if num_frames is None else num_frames
        if lengths[shortest] < self.num_frames:
            raise ValueError(
                f"Clip {shortest} has {lengths[shortest]} frames, fewer than `num_frames` = {self.num_frames}."
            )
        counts = torch.tensor(lengths) // self.num_frames
        self._clip_of = torch.arange(len(lengths)).repeat_interleave(counts).tolist()

    def __len__(self) -> int:
        return len(self._clip_of)

    def set_epoch(self, epoch: int):
        """Sets the epoch, which determines the captions and the crops."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.item(index, self.epoch)

    @abstractmethod
    def item(self, index: int, epoch: int) -> dict[str, Any]:
        """An item in a specific epoch, regardless of [`set_epoch`]."""


class FeatureDataset(ClipItems):
    r"""
    Clips of a feature cache, as tensors for training. The shards are memory-mapped. Random choices (which caption,
    where a long clip is cropped) depend only on the seed, the epoch and the item.

    Args:
        folder (`str` or `os.PathLike`):
            A cache written by [`write_features`].
        labels (`Sequence[str]`, *optional*):
            The model's chord vocabulary, by default [`~controls.chord_labels.default_chord_labels`].
        num_frames (`int`, *optional*):
            Frames per item, by default the length of the shortest clip. Longer clips are cropped at random.
        drums_blur (`int`, defaults to `3`):
            Number of frames over which drum latents are averaged, as in the transformer's `drums_blur`.
        latents_mean (`float` or `Sequence[float]`, *optional*):
            Mean of the latents, overall or per channel, by default the cache's. For a model that was trained on
            another dataset, pass the model's values.
        latents_std (`float` or `Sequence[float]`, *optional*):
            Standard deviation of the latents.
        null_melody (`int`, defaults to `0`):
            Value of frames whose melody is unknown, as in the transformer's `null_controls`.
        seed (`int`, defaults to `0`):
            Seed of the random choices.

    An item has the entries of [`to_training_item`] and, if the cache has text embeddings, `text_embeds` `(tokens, text
    dim)`, the hidden states of the caption. `info["text_encoder_hash"]` identifies their text encoder
    ([`text_encoder_hash`]); it is `None` if there are no text embeddings.

    Raises:
        `FileNotFoundError`: if the folder is not a cache.
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
        null_melody: int = 0,
        seed: int = 0,
    ):
        super().__init__()
        self.folder = Path(folder)
        if not (self.folder / "features.json").is_file():
            raise FileNotFoundError(f"{self.folder} is not a feature cache: it has no features.json.")
        # Old caches, written before text embeddings were supported, lack this entry.
        self.info: dict[str, Any] = {"text_encoder_hash": None}
        self.info |= json.loads((self.folder / "features.json").read_text(encoding="utf-8"))
        if self.info["format"] not in READABLE_FORMATS:
            raise ValueError(
                f"{self.folder} has format {self.info['format']}, but this version reads {READABLE_FORMATS}: encode the"
                " clips again (scripts/encode_features.py, or scripts/prepare_dataset.py)."
            )
        has_beats = self.info["format"] > 1
        self._frame_tensors = [name for name in FRAME_TENSORS if has_beats or name != "beat_phases"]
        with open(self.folder / "captions.jsonl", encoding="utf-8") as lines:
            clips = [json.loads(line) for line in lines]
        self.captions = [clip["captions"] for clip in clips]
        self._lengths = [clip["frames"] for clip in clips]
        self.codebook = load_file(self.folder / "codebook.safetensors")["codebook"]
        self._shard_of = [i for i, shard in enumerate(self.info["shards"]) for _ in range(shard["clips"])]
        self._first_of = torch.tensor([0] + [shard["clips"] for shard in self.info["shards"]]).cumsum(0).tolist()
        self._captions_before = [0, *itertools.accumulate(map(len, self.captions))]
        self._open: dict[int, Any] = {}
        self.configure(labels, num_frames, drums_blur, latents_mean, latents_std, null_melody, seed)

    def configure(
        self,
        labels: Sequence[str] | None = None,
        num_frames: int | None = None,
        drums_blur: int = 3,
        latents_mean: float | Sequence[float] | None = None,
        latents_std: float | Sequence[float] | None = None,
        null_melody: int = 0,
        seed: int = 0,
    ):
        """Replaces all options of the items without reading the cache again."""
        self._divide(self._lengths, num_frames)
        mean = self.info["latents_mean"] if latents_mean is None else latents_mean
        std = self.info["latents_std"] if latents_std is None else latents_std
        self.mean, self.std = torch.tensor(mean), torch.tensor(std)
        self.drums_blur, self.null_melody = drums_blur, null_melody
        self.seed = seed
        vocabulary = default_chord_labels() if labels is None else list(labels)
        self._null_chord = null_value("chords", vocabulary)
        self._chord_ids = torch.tensor(
            [_chord_id(label, vocabulary) for label in self.info.get("chord_labels", default_chord_labels())]
        )

    def __getstate__(self) -> dict[str, Any]:
        # Open files can't be pickled for data loader workers.
        return self.__dict__ | {"_open": {}}

    def _shard(self, number: int) -> tuple[dict[str, torch.Tensor], list[int], dict[str, list]]:
        """The memory-mapped tensors of a shard, the offsets of its clips, and their values."""
        if number not in self._open:
            num_clips = self.info["shards"][number]["clips"]
            with safe_open(self.folder / self.info["shards"][number]["file"], framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
            values = {
                name: tensors[name].tolist() if name in tensors else [default] * num_clips
                for name, (_, default) in CLIP_VALUES.items()
            }
            self._open[number] = tensors, tensors["offsets"].tolist(), values
        return self._open[number]

    def has_beats(self) -> bool:
        """Whether at least one clip has beats."""
        shards = (self._shard(number)[:2] for number in range(len(self.info["shards"])))
        # Either all frames of a clip have beats or none.
        return any(
            bool((tensors["beat_phases"][offsets[:-1]] >= 0).any())
            for tensors, offsets in shards
            if "beat_phases" in tensors
        )

    def has_tempo(self) -> bool:
        """Whether at least one clip has a tempo."""
        return any(max(self._shard(number)[2]["tempo"]) > 0 for number in range(len(self.info["shards"])))

    def crop(self, index: int, epoch: int) -> dict[str, Any]:
        """An item in a specific epoch as it is stored, in the form that [`to_training_item`] expects."""
        clip = self._clip_of[index]
        number = self._shard_of[clip]
        tensors, offsets, values = self._shard(number)
        position = clip - self._first_of[number]
        start, end = offsets[position : position + 2]
        start += derive_seed("crop", self.seed, epoch, index) % (end - start - self.num_frames + 1)
        crop: dict[str, Any] = {
            name: tensors[name][start : start + self.num_frames] for name in FRAME_TENSORS if name in tensors
        }
        if "beat_phases" not in crop:
            crop["beat_phases"] = torch.full((self.num_frames, 2), -1.0)
        chords = crop["chords"].long()
        crop["chords"] = torch.where(chords < 0, self._null_chord, self._chord_ids[chords.clamp(min=0)])
        crop |= {name: by_clip[position] for name, by_clip in values.items()}
        captions = self.captions[clip]
        caption = derive_seed("caption", self.seed, epoch, index) % len(captions)
        crop["caption"] = captions[caption]
        if self.info["text_encoder_hash"] is not None:
            before = self._captions_before
            caption += before[clip] - before[self._first_of[number]]
            start, end = tensors["text_offsets"][caption : caption + 2].tolist()
            crop["text_embeds"] = tensors["text_embeds"][start:end].float()
        return crop

    def _convert(self, crop: dict[str, Any]) -> dict[str, Any]:
        return to_training_item(crop, self.codebook, self.mean, self.std, self.drums_blur, self.null_melody)

    def item(self, index: int, epoch: int) -> dict[str, Any]:
        return self._convert(self.crop(index, epoch))

    def batch(self, indices: Sequence[int]) -> dict[str, Any]:
        """Returns items collated by [`collate_features`], which it converts all at once, several times as fast."""
        return self.convert_batch([self.crop(index, self.epoch) for index in indices])

    def convert_batch(self, crops: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Collates crops and converts them to training items."""
        return self._convert(collate_features(crops))


def to_training_item(
    crop: dict[str, Any],
    codebook: torch.Tensor,
    mean: torch.Tensor,
    std: torch.Tensor,
    drums_blur: int,
    null_melody: int = 0,
) -> dict[str, Any]:
    r"""
    Converts an encoded crop, from a cache or fresh from the codec, to a training item, or a batch of crops to a batch
    of items.

    Args:
        crop (`dict`):
            `latents` `(frames, dim)`, `drum_codes` `(frames,)` and `has_drums` of [`encode_audio`], `chords`
            `(frames,)` (ids in the model's vocabulary), `melody` `(frames,)` (pitch indices of the melody matrix, -1
            for rests, -2 where it is unknown), `beat_phases` `(frames, 2)`, `tempo` and `beats_per_bar` of
            [`encode_tempo`], `has_text` (whether the caption is used, by default it is), `caption`, and optionally
            `text_embeds`. The tensors of a batch have a first dimension `batch`.
        codebook (`torch.Tensor` of shape `(entries, dim)`): the codec's first codebook.
        mean, std (`torch.Tensor`): mean and standard deviation of the latents, overall or per channel `(dim,)`.
        drums_blur (`int`): number of frames over which drum latents are averaged.
        null_melody (`int`, defaults to `0`): value of frames whose melody is unknown.

    Returns:
        `dict`:
            `latents` `(frames, dim)` (normalized), `chords` `(frames,)` (ids; `len(labels)` where the chord is
            unknown), `drums` `(frames, dim)` (not normalized; zeros without drums), `melody` `(frames, 53)` (one-hot;
            zeros for rests; `null_melody` where it is unknown), `beats` `(frames, 5)` (see
            [`~controls.beats.phases_to_frames`]), the scalars `tempo`, `beats_per_bar` and `has_text`, and `caption`.
    """
    # In place where possible: most of the time would be spent on allocating memory.
    latents = crop["latents"].to(torch.float32, copy=True).sub_(mean).div_(std)
    pitches = crop["melody"].long()
    melody = F.one_hot(pitches.clamp(min=0), MELODY_BINS).float().mul_((pitches >= 0)[..., None])
    if (is_unknown := pitches == UNKNOWN_MELODY).any():
        melody.masked_fill_(is_unknown[..., None], null_melody)
    has_drums = torch.as_tensor(crop["has_drums"], dtype=torch.bool).reshape(-1)
    drums = torch.zeros_like(latents)
    if has_drums.any():
        codes = crop["drum_codes"].long().reshape(-1, latents.shape[-2])
        by_clip = drums.view(codes.shape + drums.shape[-1:])
        by_clip[has_drums] = blur_frames(F.embedding(codes[has_drums], codebook), drums_blur)
    item = {
        "latents": latents,
        "chords": crop["chords"],
        "drums": drums,
        "melody": melody,
        "beats": phases_to_frames(crop["beat_phases"]),
        "tempo": torch.as_tensor(crop["tempo"], dtype=torch.float32),
        "beats_per_bar": torch.as_tensor(crop["beats_per_bar"], dtype=torch.long),
        "has_text": torch.as_tensor(crop.get("has_text", True), dtype=torch.bool),
        "caption": crop["caption"],
    }
    return item | {name: crop[name] for name in ("text_embeds", "text_mask") if name in crop}


def collate_features(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """
    Collates items or crops of [`FeatureDataset`] into tensors with a first dimension `batch` and a list of captions. Text
    embeddings are zero-padded to `(batch, tokens, text dim)`; `text_mask` `(batch, tokens)` is 1 for tokens and 0 for
    padding.
    """
    batch: dict[str, Any] = {name: [item[name] for item in items] for name in items[0]}
    if "text_embeds" in batch:
        batch["text_mask"] = [torch.ones(len(states), dtype=torch.long) for states in batch["text_embeds"]]
    for name, values in batch.items():
        if name in ("text_embeds", "text_mask"):
            batch[name] = pad_sequence(values, batch_first=True)
        elif name != "caption":
            batch[name] = torch.stack(values) if torch.is_tensor(values[0]) else torch.tensor(values)
    return batch
