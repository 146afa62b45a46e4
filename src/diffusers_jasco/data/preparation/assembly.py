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

"""
Assembles prepared tracks into datasets.

| | |
|---|---|
| `<split>/metadata.jsonl` | one line per clip, for `scripts/encode_features.py` and `training/train_codec.py` |
| `dataset/` | the clips with their audio, for `datasets.load_from_disk` |
| `features/<split>/` | the feature cache of encoded clips, for `training/train_jasco.py` |
| `shards/<split>-00000.tar`, ... | optional WebDataset: `<clip>.flac`, `<clip>.drums.flac` and `<clip>.json` |
| `errors.jsonl` | unusable tracks and the reasons |
| `summary.json` | statistics and a hash of the inputs; written last, so without it everything is assembled again |
"""

import hashlib
import io
import itertools
import json
import posixpath
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from diffusers.utils import logging

from ...codecs import load_codec
from ...text_encoders import load_text_encoder, text_encoder_hash, warn_of_unknown_captions
from ...utils.optional_imports import import_optional
from ..features import CLIP_VALUES, FORMAT, FRAME_TENSORS, captions_of, encode_tempo, write_encoded
from ..output import OutputFolder
from ..sources import Source
from ..tensor_files import TensorReader
from .settings import PreparationSettings
from .track import TRACKS, find_track


logger = logging.get_logger(__name__)

SPLITS = ("train", "validation", "evaluation", "generation")
DEFAULT_SHARES = (0.9, 0.05, 0.025, 0.025)
# With fewer groups, the other splits (at least one group each) would take too much from the training set.
MIN_GROUPS_TO_SPLIT = 20
ITEM_SECONDS = 10.0  # maximum duration of a training item, in seconds
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
CLIPS_PER_SHARD = 256
ROWS_IN_MEMORY = 16

Clip = dict[str, Any]


def check_shares(shares: Sequence[float]):
    """Raises a `ValueError` unless there is one non-negative share per split and the shares sum to 1."""
    if len(shares) != len(SPLITS) or not min(shares) >= 0 or not abs(sum(shares) - 1) <= 1e-6:
        raise ValueError(f"The shares of {', '.join(SPLITS)} have to be four numbers that sum to 1, but got {shares}.")


def group_tracks(tracks: Sequence[dict[str, Any]], group_by: str) -> list[str]:
    """The group of each track (contents of `track.json`). Groups are never split; see [`assign_splits`]."""
    if group_by == "track":
        return [track["path"] for track in tracks]
    return [
        f"{track['artist']}/{track['album']}" if track["album"] else posixpath.dirname(track["path"])
        for track in tracks
    ]


def assign_splits(tracks: Sequence[dict[str, Any]], group_by: str, shares: Sequence[float]) -> list[str]:
    r"""
    Divides tracks into train, validation, evaluation and generation sets. Groups stay together, and their order
    depends only on a hash of their names.

    Args:
        tracks (`Sequence[dict]`): contents of `track.json`.
        group_by (`str`): `"track"`, or `"album"` to group by artist and album where known, otherwise by folder.
        shares (`Sequence[float]`): share of the groups for each split. Each split with a positive share gets at least
            one group, as long as there are groups; the first split takes the rest.

    Returns:
        `list[str]`: the split of each track.

    Raises:
        `ValueError`: if shares are negative or do not sum to 1.
    """
    check_shares(shares)
    names = group_tracks(tracks, group_by)
    order = sorted(set(names), key=lambda name: hashlib.blake2b(name.encode()).digest())
    split_of: dict[str, str] = {}
    first = 0
    for split, share in list(zip(SPLITS, shares))[1:]:
        # Keeps at least one group for the first split.
        count = min(max(1, round(share * len(order))) if share else 0, max(len(order) - first - bool(shares[0]), 0))
        split_of |= {name: split for name in order[first : first + count]}
        first += count
    return [split_of.get(name, SPLITS[0]) for name in names]


def assemble(
    sources: Sequence[Source],
    settings: PreparationSettings,
    output: OutputFolder,
    group_by: str = "track",
    shares: Sequence[float] | None = None,
    webdataset: bool = False,
) -> dict[str, Any]:
    r"""
    Assembles prepared tracks into datasets, and replaces existing ones if anything has changed.

    Args:
        sources (`Sequence[Source]`): all tracks.
        settings (`PreparationSettings`): the settings of their preparation.
        output (`OutputFolder`): the folder of the prepared tracks, which also gets the datasets.
        group_by (`str`): as in [`assign_splits`].
        shares (`Sequence[float]`, *optional*):
            As in [`assign_splits`], by default .9, .05, .025 and .025. With fewer than 20 groups, all tracks are for
            training by default.
        webdataset (`bool`, defaults to `False`): whether to also write tar shards. Existing shards are always updated.

    Returns:
        `dict`: the contents of `summary.json`.

    Raises:
        `ValueError`: if a track is not prepared, or no track is usable.
    """
    tracks: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    webdataset = webdataset or output.exists("shards")
    digest = hashlib.blake2b(
        repr((FORMAT, group_by, None if shares is None else tuple(shares), webdataset, settings.labels)).encode(),
        digest_size=8,
    )
    for source in sources:
        done = find_track(output, source)
        if done is None:
            raise ValueError(f"{source.name} is not prepared yet.")
        content = output.read(posixpath.join(TRACKS, source.id, done))
        digest.update(content)
        (tracks if done == "track.json" else errors).append(json.loads(content) | {"id": source.id})
    if output.exists("summary.json"):
        summary = json.loads(output.read("summary.json"))
        if summary.get("hash") == digest.hexdigest():
            return summary
        # Without a summary, the next run assembles everything again if this one is killed.
        output.remove("summary.json")
    output.write("errors.jsonl", "".join(_line({key: e[key] for key in ("path", "error")}) for e in errors))
    if not tracks:
        raise ValueError(
            f"None of {len(errors)} tracks can be used: see errors.jsonl in {output.url}. The first error:"
            f" {errors[0]['error']}"
        )

    if shares is None:
        shares = _default_shares(len(set(group_tracks(tracks, group_by))), group_by)
    splits: dict[str, list[Clip]] = {split: [] for split in SPLITS}
    for track, split in zip(tracks, assign_splits(tracks, group_by, shares)):
        splits[split] += [_clip_of(track, index) for index in range(len(track["clips"]))]
    for split in [split for split, clips in splits.items() if not clips]:
        del splits[split]
        # Its clips may have moved to another split.
        output.remove(f"{split}/metadata.jsonl")
        output.remove(f"features/{split}")

    for split, clips in splits.items():
        lines = []
        for clip in clips:
            stems = {name: f"../{file}" for name, file in clip["stems"].items()}
            lines.append(_line(clip | {"file_name": f"../{clip['file_name']}", "stems": stems}))
        output.write(f"{split}/metadata.jsonl", "".join(lines))
    _write_dataset(splits, output)
    if settings.codec is not None:
        codec = load_codec(settings.codec)
        text_hash = None
        if settings.text_encoder is not None:
            tokenizer, text_encoder = load_text_encoder(settings.text_encoder)
            text_hash = text_encoder_hash(tokenizer, text_encoder)
            captions = (caption for track in tracks for caption in captions_of(track))
            warn_of_unknown_captions(output.url, captions, tokenizer)
        for split, clips in splits.items():
            with output.folder(f"features/{split}", last="features.json") as target:
                write_encoded(_encoded(clips, output), codec, target, settings.labels, text_hash=text_hash)
    if webdataset:
        _write_shards(splits, output)

    unknown = sum((Counter(track["unknown_chords"]) for track in tracks), Counter())
    summary = {
        "tracks": len(tracks),
        "errors": len(errors),
        "clips": {split: len(clips) for split, clips in splits.items()},
        "hours": {split: round(sum(c["duration"] for c in clips) / 3600, 4) for split, clips in splits.items()},
        "training": _count_steps(splits.get("train", [])),
        "without_captions": sum(not track["captions"] for track in tracks),
        "unknown_chords": dict(sorted(unknown.items())),
        "hash": digest.hexdigest(),
    }
    output.write("summary.json", json.dumps(summary, ensure_ascii=False, indent=1) + "\n")
    return summary


def _default_shares(num_groups: int, group_by: str) -> Sequence[float]:
    if num_groups >= MIN_GROUPS_TO_SPLIT:
        return DEFAULT_SHARES
    logger.warning(
        f"All clips are for training, because {num_groups} {group_by}{'s' * (num_groups != 1)} are too few to hold"
        " some out: train without --validation_dataset, or set the splits with --shares, such as --shares .8 .2 0 0."
    )
    return (1.0, *(0.0,) * (len(SPLITS) - 1))


def _count_steps(clips: Sequence[Clip]) -> dict[str, Any]:
    """Number of training items, and steps per epoch by batch size; see [`~data.features.ClipItems`]."""
    if not clips:
        return {"items": 0}
    seconds = min(ITEM_SECONDS, *(clip["duration"] for clip in clips))
    count = sum(int(clip["duration"] / seconds + 1e-6) for clip in clips)
    steps = {str(size): count // size for size in BATCH_SIZES if size <= count}
    return {"items": count, "seconds_per_item": round(seconds, 2), "steps_per_epoch_by_batch_size": steps}


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _clip_of(track: dict[str, Any], index: int) -> Clip:
    """A clip with the metadata of its track, and paths relative to the output folder."""
    clip, folder = track["clips"][index], posixpath.join(TRACKS, track["id"])
    captions = captions_of(track)
    return (
        track.get("metadata", {})
        | clip
        | {
            "file_name": posixpath.join(folder, clip["file_name"]),
            "stems": {name: posixpath.join(folder, file) for name, file in clip["stems"].items()},
            "captions": captions,
            "caption": captions[0],
            "track": track["path"],
            "track_id": track["id"],
            "index": index,
            **{name: track[name] for name in ("title", "artist", "album")},
        }
    )


def _encoded(clips: Sequence[Clip], output: OutputFolder) -> Iterator[dict[str, Any]]:
    for track_id, group in itertools.groupby(clips, key=lambda clip: clip["track_id"]):
        with output.open(posixpath.join(TRACKS, track_id, "features.safetensors")) as file:
            tensors = TensorReader(file)
            for clip in group:
                yield _read_encoded(clip, tensors)


def _read_encoded(clip: Clip, tensors: TensorReader) -> dict[str, Any]:
    prefix = f"{clip['index']:03d}."
    encoded: dict[str, Any] = {name: tensors[prefix + name] for name in FRAME_TENSORS if prefix + name in tensors}
    # Tracks that an older version prepared have no beats.
    encoded.setdefault("beat_phases", torch.full((len(encoded["latents"]), 2), -1.0, dtype=torch.float16))
    values = {name: tensors[prefix + name].item() for name in CLIP_VALUES if prefix + name in tensors}
    captions = clip["captions"]
    embeds = [tensors[f"caption.{number}"] for number in range(len(captions)) if "caption.0" in tensors]
    return encoded | values | {"captions": captions, "text_embeds": embeds}


def _write_dataset(splits: dict[str, list[Clip]], output: OutputFolder):
    datasets = import_optional("datasets", "train")
    audio = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    text, number = datasets.Value("string"), datasets.Value("float64")
    features = datasets.Features(
        {
            "audio": audio,
            "drums": audio,
            "captions": datasets.List(text),
            "chords": datasets.List({"label": text, "start": number}),
            "melody": datasets.List({"pitch": datasets.Value("int32"), "start": number, "end": number}),
            **{name: datasets.List(number) for name in ("beats", "downbeats")},
            "tempo": number,
            "beats_per_bar": datasets.Value("int32"),
            **{name: number for name in ("start", "duration")},
            **{name: text for name in ("track", "title", "artist", "album")},
        }
    )

    def rows(clips: list[Clip]) -> Iterator[dict[str, Any]]:
        for clip in clips:
            drums = clip["stems"].get("drums")
            yield {
                name: clip[name] for name in ("captions", "start", "duration", "track", "title", "artist", "album")
            } | {
                "audio": {"bytes": output.read(clip["file_name"]), "path": posixpath.basename(clip["file_name"])},
                "drums": None if drums is None else {"bytes": output.read(drums), "path": posixpath.basename(drums)},
                # Keeps the difference between `None` (unknown) and an empty list.
                "chords": clip["chords"] and [{"label": label, "start": start} for label, start in clip["chords"]],
                "melody": clip["melody"]
                and [{"pitch": key, "start": start, "end": end} for key, start, end in clip["melody"]],
                **{name: clip.get(name) for name in ("beats", "downbeats")},
                # 0 where they are unknown.
                **{name: value or None for name, value in encode_tempo(clip).items()},
            }

    with output.folder("dataset", last="dataset_dict.json") as target, TemporaryDirectory() as cache:
        for split, clips in splits.items():
            # The library's own fingerprint differs between processes.
            digest = hashlib.blake2b("".join(map(_line, clips)).encode(), digest_size=8).hexdigest()
            dataset = datasets.Dataset.from_generator(
                rows,
                features=features,
                gen_kwargs={"clips": clips},
                cache_dir=cache,
                fingerprint=digest,
                split=split,
                writer_batch_size=ROWS_IN_MEMORY,
            )
            empty = datasets.Dataset.from_dict({name: [] for name in features}, features, dataset.info, split)
            files = [file["filename"] for file in dataset.cache_files]
            del dataset
            _save_files(empty, files, digest, target / split)
        (target / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}), encoding="utf-8")


def _save_files(empty: Any, files: Sequence[str], fingerprint: str, target: Path):
    """
    Saves a dataset whose rows are in Arrow files. `save_to_disk` alone would read up to 1000 clips into memory.
    """
    empty.save_to_disk(target)
    for written in target.glob("*.arrow"):
        written.unlink()
    state = json.loads((target / "state.json").read_text(encoding="utf-8"))
    state |= {"_fingerprint": fingerprint, "_data_files": []}
    for number, file in enumerate(files):
        name = f"data-{number:05d}-of-{len(files):05d}.arrow"
        shutil.move(file, target / name)
        state["_data_files"].append({"filename": name})
    (target / "state.json").write_text(json.dumps(state, indent=2, sort_keys=True), encoding="utf-8")


def _write_shards(splits: dict[str, list[Clip]], output: OutputFolder):
    with output.folder("shards", last="") as target:
        for split, clips in splits.items():
            for number, start in enumerate(range(0, len(clips), CLIPS_PER_SHARD)):
                with tarfile.open(target / f"{split}-{number:05d}.tar", "w") as shard:
                    for clip in clips[start : start + CLIPS_PER_SHARD]:
                        key = f"{clip['track_id']}-{clip['index']:03d}"
                        info = {k: v for k, v in clip.items() if k not in ("file_name", "stems", "track_id", "index")}
                        _add(shard, f"{key}.flac", output.read(clip["file_name"]))
                        for name, file in clip["stems"].items():
                            _add(shard, f"{key}.{name}.flac", output.read(file))
                        _add(shard, f"{key}.json", _line(info).encode("utf-8"))


def _add(shard: tarfile.TarFile, name: str, content: bytes):
    # No timestamp or owner, so that the same clips give the same bytes.
    member = tarfile.TarInfo(name)
    member.size = len(content)
    shard.addfile(member, io.BytesIO(content))
