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

"""Chord files, with one track per file or all tracks in one file: our format (JSON) and AudioCraft's (pickles)."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...controls.chord_labels import UNKNOWN_CHORD, normalize_chord
from ...controls.chords import chords_from_file
from ...loaders.audiocraft.files import load_json, load_plain_pickle
from ...utils.files import replace_file


Chords = list[tuple[str, float]]

# Files with all tracks: the name that AudioCraft's dataset looks for, and the one that its script writes.
COMBINED = ("chords_per_track", "combined_chord_dict")
# Files with one track: suffixes after the track's name.
SUFFIXES = (".chords.json", ".chords", ".lab", ".jams")


def write_json(path: str | os.PathLike, value: Any):
    """Writes a JSON file atomically."""
    with replace_file(path) as partial:
        Path(partial).write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8")


def read_track_chords(path: str | os.PathLike) -> Chords:
    r"""
    Reads the chords of one track.

    Args:
        path (`str` or `os.PathLike`):
            `<track>.chords.json`, a list of `[label, start in seconds]`; AudioCraft's `<track>.chords`, a pickle of
            such a list, which is read without executing any code; or an annotation file, `<track>.lab` or
            `<track>.jams`.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        `ValueError`: if the file's content is invalid.
    """
    if Path(path).suffix in (".lab", ".jams"):
        return chords_from_file(path)
    return _check_chords(load_json(path) if Path(path).suffix == ".json" else load_plain_pickle(path), str(path))


def read_chords_per_track(path: str | os.PathLike) -> dict[str, Chords]:
    r"""
    Reads the chords of many tracks.

    Args:
        path (`str` or `os.PathLike`):
            A file with all tracks (`chords_per_track.json`, or AudioCraft's `chords_per_track.pkl` or
            `combined_chord_dict.pkl`), a folder that contains such a file, or a folder of files that
            [`read_track_chords`] reads.

    Returns:
        `dict`: track name → chords.

    Raises:
        `FileNotFoundError`: if there are no chord files.
        `ValueError`: if a file's content is invalid.
    """
    path = Path(path)
    if path.is_dir():
        candidates = [path / f"{name}{suffix}" for name in COMBINED for suffix in (".json", ".pkl")]
        files = [(file, suffix) for suffix in SUFFIXES for file in sorted(path.glob(f"*{suffix}"))]
        combined = next((file for file in candidates if file.is_file()), None)
        if files:
            tracks: dict[str, Chords] = {}
            for file, suffix in files:
                # If a track has several files, the first suffix takes precedence.
                tracks.setdefault(file.name.removesuffix(suffix), read_track_chords(file))
            return tracks
        if combined is None:
            raise FileNotFoundError(
                f"There are no chords in {path}: neither *.chords.json, *.lab or *.jams nor {COMBINED[0]}.json."
            )
        path = combined
    tracks = load_json(path) if path.suffix == ".json" else load_plain_pickle(path)
    if not isinstance(tracks, dict):
        raise ValueError(f"{path} has to contain a dictionary of tracks, but contains a {type(tracks).__name__}.")
    return {str(name): _check_chords(chords, f"{path}: {name}") for name, chords in tracks.items()}


def _check_chords(value: Any, where: str) -> Chords:
    if not isinstance(value, list):
        raise ValueError(f"{where}: chords have to be a list of [label, start], but got a {type(value).__name__}.")
    chords = []
    for position, chord in enumerate(value):
        if not (
            isinstance(chord, (list, tuple))
            and len(chord) == 2
            and isinstance(chord[0], str)
            and isinstance(chord[1], (int, float))
        ):
            raise ValueError(f"{where}: chord {position} has to be [label, start in seconds], but got {chord!r}.")
        chords.append((chord[0], float(chord[1])))
    return chords


def fit_vocabulary(chords: Chords, labels: Sequence[str]) -> tuple[Chords, Counter]:
    r"""
    Respells chords with the labels of a vocabulary (`Db` becomes `C#` if the vocabulary has that). Chords that are not
    in the vocabulary become "UNK" instead of the nearest chord, as in AudioCraft.

    Args:
        chords (`list` of `(label, start)`): the chords of a track.
        labels (`Sequence[str]`): the vocabulary.

    Returns:
        `tuple`: the chords, and how often each label became "UNK" (`Counter`).

    Raises:
        `ValueError`: if a chord is not in the vocabulary, and neither is "UNK".
    """
    spellings = {label: _find_label(label, labels) for label in {label for label, _ in chords}}
    unknown = Counter(label for label, _ in chords if spellings[label] is None)
    if unknown and UNKNOWN_CHORD not in labels:
        raise ValueError(f"The chord map has neither {', '.join(sorted(unknown))} nor {UNKNOWN_CHORD}.")
    return [(spellings[label] or UNKNOWN_CHORD, start) for label, start in chords], unknown


def _find_label(label: str, labels: Sequence[str]) -> str | None:
    """The label in the vocabulary with the same notes and bass, or `None`."""
    try:
        name, difference = normalize_chord(label, labels)
    except ValueError:
        return None
    return None if difference else name
