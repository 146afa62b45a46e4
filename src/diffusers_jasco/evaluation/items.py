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

"""Clips of a prepared dataset or of synthetic music, with the reference controls that an evaluation needs."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diffusers.utils import logging
from torch.utils.data import Dataset
from tqdm import tqdm

from ..data.features import captions_of, load_clip, prepare_audio
from ..data.preparation.controls import cut_chords, cut_notes
from .estimators.beats import track_beats
from .estimators.onsets import onsets_by_percussive_flux


logger = logging.get_logger(__name__)


def read_items(
    dataset: str | os.PathLike,
    sampling_rate: int,
    num_clips: int | None = None,
    duration: float = 10.0,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    r"""
    Reads the beginnings of a dataset's clips. Chords, melody and downbeats come from the dataset. Onsets and beats are
    estimated from the drum stem, unless the dataset contains them, as synthetic music does.

    Args:
        dataset (`str` or `os.PathLike`):
            Folder with `metadata.jsonl`, as `scripts/prepare_dataset.py` (one of its splits) and
            `scripts/make_synthetic_dataset.py` write it.
        sampling_rate (`int`): Hz.
        num_clips (`int`, *optional*): number of clips, evenly spaced over the dataset; by default all.
        duration (`float`, defaults to `10.0`): seconds of each clip. Shorter clips are skipped, with a warning.
        limit (`int`, *optional*): read only the first `limit` of these clips.

    Returns:
        `list[dict]`: items as [`~evaluation.evaluate.analyze_references`] takes them.

    Raises:
        `FileNotFoundError`: if the folder is not a dataset, or an audio file is missing.
        `ValueError`: if no clip is long enough.
    """
    folder = Path(dataset)
    if not (folder / "metadata.jsonl").is_file():
        raise FileNotFoundError(
            f"{folder} is not a dataset: it has no metadata.jsonl."
            " (For a prepared dataset, pass the folder of a split.)"
        )
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines() if line]
    long_enough = [line for line in lines if line["duration"] >= duration - 1e-3]
    if not long_enough:
        raise ValueError(f"None of the {len(lines)} clips of {folder} is at least {duration:g} s long.")
    if len(long_enough) < len(lines):
        logger.warning(
            f"Skipped {len(lines) - len(long_enough)} clips of {folder} that are shorter than {duration:g} s."
        )
    count = min(num_clips or len(long_enough), len(long_enough))
    chosen = [long_enough[index * len(long_enough) // count] for index in range(count)]
    return [_read_item(line, folder, sampling_rate, duration) for line in chosen[:limit]]


def compose_items(music: Dataset, progress: bool = False) -> list[dict[str, Any]]:
    r"""
    Args:
        music (`torch.utils.data.Dataset`):
            Clips with stems: [`~data.SyntheticMusic`], or those of [`~evaluation.test_sets.load_test_set`].
        progress (`bool`, defaults to `False`): whether to show a progress bar.

    Returns:
        `list[dict]`: items as [`~evaluation.evaluate.analyze_references`] takes them, with drums as the only stem.
    """
    items = [music[index] for index in tqdm(range(len(music)), "synthetic music", unit="clip", disable=not progress)]
    return [item | {"stems": {k: stem for k, stem in item["stems"].items() if k == "drums"}} for item in items]


def hash_items(items: Sequence[dict[str, Any]]) -> str:
    """Identifies a set of clips by its captions and controls: 32 hexadecimal digits."""
    requested = [[item[key] for key in ("caption", "chords", "melody", "drum_onsets")] for item in items]
    return hashlib.blake2b(json.dumps(requested).encode(), digest_size=16).hexdigest()


def _read_item(line: dict[str, Any], folder: Path, sampling_rate: int, duration: float) -> dict[str, Any]:
    clip = prepare_audio(load_clip(line, folder), sampling_rate)
    num_samples = round(duration * sampling_rate)
    stems = {name: stem[:, :num_samples] for name, stem in clip["stems"].items()}
    stems = {name: stem for name, stem in stems.items() if stem.abs().max() > 0}
    drums = (stems["drums"], sampling_rate) if "drums" in stems else None
    item = line | {
        "audio": clip["audio"][:, :num_samples],
        "stems": stems,
        "sampling_rate": sampling_rate,
        "duration": duration,
        "caption": captions_of(line)[0],
        "chords": cut_chords([tuple(chord) for chord in line.get("chords") or []], 0.0, duration),
        "melody": cut_notes(line.get("melody") or [], 0.0, duration),
    }
    estimators: dict[str, Callable] = {"drum_onsets": onsets_by_percussive_flux, "beats": track_beats}
    for key in (*estimators, "downbeats"):
        times = line.get(key)
        if times is None:
            times = estimators[key](drums) if key in estimators and drums else []
        item[key] = [float(time) for time in times if time < duration]
    return item
