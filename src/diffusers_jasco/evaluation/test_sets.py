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

"""Frozen test sets: clips and captions that stay the same when the generator of synthetic music changes."""

import hashlib
import json
import lzma
import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..data.synthetic.composition import SUBSETS
from ..data.synthetic.frozen import FrozenMusic, score_from_json, score_to_json
from ..data.synthetic.scores import RenderedMusic, Score
from ..utils.errors import list_names


FOLDER = Path(__file__).parent / "test_set_data"
TEST_SETS = ("v1",)
DURATION = 10.0  # seconds of a clip
NUM_CLIPS = 128  # of a subset
MUSIC_FILE = "music.json.xz"
CAPTIONS_FILE = "captions.jsonl"

_FORMAT = 1
# Keys of items that determine the audio of a score.
_RENDERING = ("renderer", "renderer_version", "soundfont", "soundfont_sha256", "sampling_rate")


def load_test_set(
    name: str,
    subset: str = "plain",
    sampling_rate: int = 16000,
    renderer: str = "fluidsynth",
    soundfonts: Sequence[str | os.PathLike] | None = None,
) -> FrozenMusic:
    r"""
    Loads the clips of a frozen test set. Their scores are stored: notes, annotations, captions, and the state of the
    random generator that chooses sound fonts and mix. Nothing is composed.

    Args:
        name (`str`): `"v1"`.
        subset (`str`, defaults to `"plain"`): `"plain"` or `"full"`, as in [`~data.SyntheticMusic`].
        sampling_rate (`int`, defaults to `16000`): Hz.
        renderer (`str`, defaults to `"fluidsynth"`): `"fluidsynth"` or `"tinysoundfont"`.
        soundfonts (`Sequence[str | os.PathLike]`, *optional*):
            General MIDI sound fonts. The order matters. Default: `find_soundfonts(renderer)`, as for published
            numbers.

    Returns:
        `FrozenMusic`: a dataset of the same items as [`~data.SyntheticMusic`] with `stems=True`, of 10 s each.

    Raises:
        `ValueError`: if the test set or the subset is unknown, or the file is damaged.
        `ImportError`, `FileNotFoundError`: if the renderer or its sound fonts are not installed.
    """
    scores = [clip["score"] for clip in _read(name, subset)]
    return FrozenMusic(scores, sampling_rate, renderer, soundfonts, stems=True)


def load_captions(name: str) -> list[dict[str, Any]]:
    r"""
    Loads the captions of a frozen test set that are for music from words alone. There are no clips for them.

    Args:
        name (`str`): `"v1"`.

    Returns:
        `list[dict]`: different captions with the keys
            - `caption`
            - `style`, `lead`, `tempo`, `energy`, `drums`: the answers that the caption names, as
              [`~evaluation.estimators.caption_probe.read_caption`] reads them, or `None`
            - `bpm` (`int`): the tempo in beats per minute, if the caption names a number, or `None`

    Raises:
        `ValueError`: if the test set is unknown, or the file is damaged.
    """
    path = _find(name, CAPTIONS_FILE)
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): reinstall the package.") from error


def verify_clips(name: str, subset: str, items: Iterable[dict[str, Any]]) -> list[str]:
    r"""
    Compares clips with the record of a frozen test set: hashes of the annotations, and of the audio (the mix and the
    drums). Other versions of the renderer, sound font or NumPy can give other audio from the same scores.

    Args:
        name (`str`): `"v1"`.
        subset (`str`): `"plain"` or `"full"`.
        items (`Iterable[dict]`): clips of the test set, or other clips with the same indices.

    Returns:
        `list[str]`: a sentence for each difference. It is empty if all clips are identical.

    Raises:
        `ValueError`: if the test set or the subset is unknown, or the file is damaged.
    """
    if isinstance(items, dict):
        raise ValueError("`items` has to be a list of clips, but got a single clip.")
    records = _read(name, subset)
    without_record: dict[str, None] = {}
    other_annotations, other_audio, reasons = [], [], {}
    for item in items:
        record, index = records[item["index"]], str(item["index"])
        if hash_annotations(item) != record["annotations"]:
            other_annotations.append(index)
        rendering, made_with = describe_rendering(item), (item["renderer"], item["sampling_rate"])
        expected = next(
            (it for it in record["renderings"] if (it["renderer"], it["sampling_rate"]) == made_with), None
        )
        if expected is None:
            without_record[f"Audio is not compared: {name} has no hashes for {made_with[0]} at {made_with[1]} Hz."] = (
                None
            )
        elif rendering["audio"] != expected["audio"]:
            other_audio.append(index)
            for key in ("renderer_version", "soundfont", "soundfont_sha256", "numpy_version"):
                if rendering[key] != expected[key]:
                    reasons[f"{key} {rendering[key][:16]} instead of {expected[key][:16]}"] = None
    differences = [*without_record]
    if other_annotations:
        differences.append(
            f"Other annotations than in {name} in {len(other_annotations)} clips: {list_names(other_annotations)}."
        )
    if other_audio:
        differences.append(
            f"Other audio than in {name} in {len(other_audio)} clips: {list_names(other_audio)}. Versions:"
            f" {', '.join(reasons) or 'the same'}."
        )
    return differences


def write_clips(
    folder: str | os.PathLike,
    header: dict[str, Any],
    music: dict[str, Sequence[RenderedMusic]],
    progress: bool = False,
):
    r"""
    Writes the clips of a new test set.

    Args:
        folder (`str` or `os.PathLike`): an existing folder.
        header (`dict`): what describes the source of the clips.
        music (`dict[str, Sequence[RenderedMusic]]`):
            Subset → the same clips with each renderer whose audio is recorded, with stems.
        progress (`bool`, defaults to `False`): whether to show a progress bar.
    """
    clips = {
        subset: [
            _freeze([rendered[index] for rendered in renderings], renderings[0].score(index))
            for index in tqdm(range(len(renderings[0])), subset, unit="clip", disable=not progress)
        ]
        for subset, renderings in music.items()
    }
    content = json.dumps({"format": _FORMAT, **header, "clips": clips}, separators=(",", ":")).encode()
    Path(folder, MUSIC_FILE).write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))


def _freeze(items: list[dict[str, Any]], score: Score) -> dict[str, Any]:
    return {
        "score": score_to_json(score),
        "annotations": hash_annotations(items[0]),
        "renderings": [describe_rendering(item) for item in items],
    }


def describe_rendering(item: dict[str, Any]) -> dict[str, Any]:
    r"""
    Args:
        item (`dict`): a clip with stems.

    Returns:
        `dict`: everything but the score that determines the audio (renderer, sound font, sampling rate, and the
        versions), and `audio`, a hash of the samples of mix and drums.
    """
    waveforms = [item["audio"], *(stem for name, stem in item["stems"].items() if name == "drums")]
    samples = [waveform[0].numpy().astype("<f4") for waveform in waveforms]
    return {
        **{key: item[key] for key in _RENDERING},
        "numpy_version": np.__version__,
        "audio": _hash(b"".join(waveform.tobytes() for waveform in samples)),
    }


def hash_annotations(item: dict[str, Any]) -> str:
    """Identifies the annotations, captions and seeds of a clip: 16 hexadecimal digits."""
    values = {key: value for key, value in item.items() if key not in ("audio", "stems", *_RENDERING)}
    return _hash(json.dumps(values, sort_keys=True).encode())


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _find(name: str, file: str) -> Path:
    if name not in TEST_SETS:
        raise ValueError(f"`name` has to be one of {', '.join(TEST_SETS)}, but got {name!r}.")
    return FOLDER / name / file


@lru_cache(maxsize=None)
def _read(name: str, subset: str) -> list[dict[str, Any]]:
    """The clips of a subset, with their scores."""
    path = _find(name, MUSIC_FILE)
    if subset not in SUBSETS:
        raise ValueError(f"`subset` has to be one of {', '.join(SUBSETS)}, but got {subset!r}.")
    try:
        values = json.loads(lzma.decompress(path.read_bytes()))
        if values["format"] != _FORMAT:
            raise ValueError(f"its format is {values['format']} instead of {_FORMAT}")
        return [clip | {"score": score_from_json(clip["score"])} for clip in values["clips"][subset]]
    except (lzma.LZMAError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}): reinstall the package.") from error
