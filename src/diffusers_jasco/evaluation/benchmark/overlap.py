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

"""Checks that the judges' training music does not contain the benchmark's songs."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ...controls.chord_labels import parse_chord
from ...controls.progressions import PROGRESSIONS, chords_from_progression
from ...data.synthetic.music import SyntheticMusic
from ...utils.errors import InputError
from ..control_estimators import tempo_of_beats
from .songs import Song, annotate


# The synthetic music on which trained judges were trained, as their READMEs in `extraction/weights` describe it.
# Orchestrated music needs scores that are 1.6 times as long as its clips.
TRAINING_MUSIC: dict[str, dict[str, Any]] = {
    "melody extractor": {"size": 4000, "subset": "both", "duration": 9.6, "seed": 28},
    "beat extractor": {"size": 1500, "subset": "both", "duration": 20.0, "seed": 31},
    "key extractor": {"size": 2400, "subset": "both", "duration": 10.0, "seed": 0},
}
# The versions of the generator (`GENERATOR_VERSION`) that made it. Another version composes other music.
TRAINING_VERSIONS = {"melody extractor": 3, "beat extractor": 1, "key extractor": 1}

_EMPTY: dict[str, Any] = {"chords": [], "melody": [], "beats": []}  # the annotations that are compared
_GRID = 12  # divisions of a beat
NUM_NOTES = 8  # of a melodic pattern
NUM_CHORDS = 6  # of a progression


def melodic_patterns(annotations: dict[str, Any], length: int = NUM_NOTES) -> set[tuple[tuple[int, int], ...]]:
    r"""
    Successive notes of a melody as intervals in semitones and distances in twelfths of a beat: independent of key and tempo.

    Args:
        annotations (`dict`): with `melody`, and `beats` (seconds).
        length (`int`, defaults to `8`): notes of a pattern.
    """
    beat = 60 / (tempo_of_beats(annotations["beats"]) or 60)
    notes = sorted(annotations["melody"], key=lambda note: note[1])
    steps = [
        (second[0] - first[0], round((second[1] - first[1]) / beat * _GRID)) for first, second in zip(notes, notes[1:])
    ]
    return {tuple(steps[start : start + length - 1]) for start in range(len(steps) - length + 2)}


def harmonic_patterns(annotations: dict[str, Any], length: int = NUM_CHORDS) -> set[tuple[Any, ...]]:
    r"""
    Successive chords as types, basses and intervals between roots, independent of key and durations.

    Args:
        annotations (`dict`): with `chords`.
        length (`int`, defaults to `6`): chords of a pattern.
    """
    chords = [chord for label, _ in annotations["chords"] if (chord := parse_chord(label)) is not None]
    patterns = set()
    for start in range(len(chords) - length + 1):
        part = chords[start : start + length]
        patterns.add(tuple(((chord.root - part[0].root) % 12, chord.intervals, chord.bass) for chord in part))
    return patterns


def measure_overlap(songs: Sequence[Song], training: Iterable[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    r"""
    Counts how many patterns of the songs are in training music.

    Args:
        songs (`Sequence[Song]`): the songs.
        training (`Iterable[dict]`): annotations of the training music.

    Returns:
        `dict`: for `"melody"` (8 successive notes) and `"chords"` (6 successive chords), the number of the songs' different
        patterns that also are in the training music, and the number of all their patterns.
    """
    kinds = {"melody": melodic_patterns, "chords": harmonic_patterns}
    own = {kind: set().union(*(find(annotate(song.sheet)) for song in songs)) for kind, find in kinds.items()}
    found: dict[str, set[Any]] = {kind: set() for kind in kinds}
    for annotations in training:
        for kind, find in kinds.items():
            found[kind] |= find(annotations) & own[kind]
    return {kind: (len(found[kind]), len(own[kind])) for kind in kinds}


def read_annotations(path: Path) -> Iterator[dict[str, Any]]:
    r"""
    Reads annotations of training music.

    Args:
        path (`Path`): JSON Lines with `chords` (`[label, start]`), `melody` (`[MIDI number, start, end]`) and `beats`
            (seconds), such as the `metadata.jsonl` of a synthetic dataset. Missing ones are empty.

    Raises:
        [`InputError`]: if a line has none of them, or one that is not a list.
    """
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                values = json.loads(line)
                annotations = {name: values.get(name) or [] for name in _EMPTY}
            except (ValueError, AttributeError):
                annotations = {}
            if not any(annotations.values()) or not all(isinstance(value, list) for value in annotations.values()):
                raise InputError(
                    f"`check_training`: line {number} of {path} has to be a JSON object with lists of {', '.join(_EMPTY)}.",
                    "check_training",
                )
            yield annotations


def known_progressions() -> Iterator[dict[str, Any]]:
    """Annotations of the well-known progressions on which the key extractor was trained, too: each one twice in a row."""
    for name, progression in PROGRESSIONS.items():
        num_bars = 2 * len(progression.numerals.split("|"))
        yield _EMPTY | {"chords": chords_from_progression(name, "C", bpm=240, num_bars=num_bars)}


def check_training(
    songs: Sequence[Song], limit: int | None = None, progress: bool = False
) -> dict[str, dict[str, tuple[int, int]]]:
    r"""
    [`measure_overlap`] with the training music of each trained judge, which is composed again by the present version of the
    generator, and with the well-known progressions on which the key extractor was trained. `TRAINING_VERSIONS` has the
    versions that made the training music.

    Args:
        songs (`Sequence[Song]`): the songs.
        limit (`int`, *optional*): largest number of pieces of each judge; by default all.
        progress (`bool`, defaults to `False`): whether to show a progress bar.
    """
    result = {}
    for judge, options in TRAINING_MUSIC.items():
        size = min(options["size"], limit or options["size"])
        music = SyntheticMusic("train", **(options | {"size": size}), renderer=None)
        scores = (music.score(index) for index in tqdm(range(size), judge, unit="piece", disable=not progress))
        result[judge] = measure_overlap(songs, (score.annotations for score in scores))
    return result | {"key extractor: known progressions": measure_overlap(songs, known_progressions())}
