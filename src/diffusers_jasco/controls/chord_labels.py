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

"""Maps chord spellings to the labels of a vocabulary."""

import difflib
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

from ..utils.errors import InputError
from .chord_syntax import (
    FREE_CHORD,
    MAX_LENGTH,
    NO_CHORD,
    UNKNOWN_CHORD,
    Chord,
    is_no_chord,
    parse_chord,
    parse_solfege,
)


# Chordino's spelling of the twelve pitch classes.
NOTES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

_SIMILAR = 0.4  # least similarity of labels that error messages suggest, from 0 to 1
_ROMAN_NUMERAL = re.compile(
    r"[#b♯♭]{0,2}(?:VII|VI|IV|V|III|II|I|vii|vi|iv|v|iii|ii|i)(?:maj|dim|aug|sus|add|[mMohøØ°+#b♯♭/\d]|[IViv]+)*"
)

_HARTE = {
    frozenset({0, 4, 7}): "maj",
    frozenset({0, 3, 7}): "min",
    frozenset({0, 3, 6}): "dim",
    frozenset({0, 4, 8}): "aug",
    frozenset({0, 4, 7, 10}): "7",
    frozenset({0, 4, 7, 11}): "maj7",
    frozenset({0, 3, 7, 10}): "min7",
    frozenset({0, 4, 7, 9}): "maj6",
    frozenset({0, 3, 7, 9}): "min6",
    frozenset({0, 3, 6, 10}): "hdim7",
}
_DEGREE_NAMES = ("1", "b2", "2", "b3", "3", "4", "b5", "5", "#5", "6", "b7", "7")

# Importance of notes in the search for the nearest label, by the interval above the root: root, thirds, fifths and
# sevenths, sixth, other intervals.
_WEIGHTS = (4, 1, 1, 3, 3, 1, 2, 2, 2, 1.5, 2, 2)
_ADDED_NOTE = 1.5
_OTHER_BASS = 1.5
_OTHER_ROOT = 4.0


@lru_cache(maxsize=1)
def _load_labels() -> tuple[str, ...]:
    return tuple(json.loads(files(__package__).joinpath("chord_labels.json").read_text(encoding="utf-8")))


def default_chord_labels() -> list[str]:
    """AudioCraft's chord vocabulary in the order of its ids: the 193 labels of Chordino, and `"UNK"`."""
    return list(_load_labels())


@lru_cache(maxsize=16)
def _parse_vocabulary(labels: tuple[str, ...]) -> dict[str, Chord]:
    return {label: chord for label in labels if label != UNKNOWN_CHORD and (chord := parse_chord(label)) is not None}


def normalize_chord(label: str, labels: Sequence[str] | None = None) -> tuple[str, str | None]:
    r"""
    Finds the vocabulary label for a chord in any spelling that [`parse_chord`] reads.

    Args:
        label (`str`):
            The chord. Labels of the vocabulary are returned unchanged. `N`, `NC` and `N.C.` mean no chord; Harte's `X`
            is an unknown chord; `*` is free, and returned unchanged.
        labels (`Sequence[str]`, *optional*):
            The vocabulary, by default [`default_chord_labels`].

    Returns:
        `tuple[str, str | None]`: the label with the same notes and bass, and `None`; or the nearest label, and a
            description of the difference.

    Raises:
        [`InputError`]: if the label is not a chord. The message suggests similar labels.
    """
    labels = _load_labels() if labels is None else tuple(labels)
    if label in labels:
        return label, None
    if is_no_chord(label) and NO_CHORD in labels:
        return NO_CHORD, None
    if label.strip() == FREE_CHORD:
        return FREE_CHORD, None
    if label.strip() == "X":
        return (UNKNOWN_CHORD, None) if UNKNOWN_CHORD in labels else (NO_CHORD, "what it is")
    vocabulary = _parse_vocabulary(labels)
    chord = parse_chord(label) or parse_solfege(label)
    if chord is None or not vocabulary:
        similar = suggest_chords(label, labels, cutoff=_SIMILAR)
        hint = f"Did you mean {similar}?" if similar else "Chords are written like 'C', 'Am7' or 'F/A'."
        if _ROMAN_NUMERAL.fullmatch(label.strip()[:MAX_LENGTH]):
            hint = "For Roman numerals, use `chords_from_roman(..., key=...)`, or `--key` on the command line."
        raise InputError(f"unknown chord {label[:MAX_LENGTH]!r}. {hint}", "label")
    nearest = _nearest(chord, labels)
    return nearest, _difference(chord, vocabulary[nearest])


@lru_cache(maxsize=4096)
def _nearest(chord: Chord, labels: tuple[str, ...]) -> str:
    vocabulary = _parse_vocabulary(labels)
    return min(vocabulary, key=lambda name: (_distance(chord, vocabulary[name]), len(name), labels.index(name)))


def suggest_chords(label: str, labels: Sequence[str], cutoff: float = 0.0) -> str:
    r"""
    Lists labels with a similar spelling.

    Args:
        label (`str`): a text that is not a chord.
        labels (`Sequence[str]`): the vocabulary.
        cutoff (`float`, defaults to `0.0`): least similarity of a label, from 0 to 1.

    Returns:
        `str`: at most three labels, or an empty string.
    """
    # German notation uses "H" for B.
    text = re.sub("^H", "B", label.strip()[:1].upper() + label.strip()[1:MAX_LENGTH])
    chords = [name for name in labels if name != UNKNOWN_CHORD]
    return ", ".join(repr(name) for name in difflib.get_close_matches(text, chords, n=3, cutoff=cutoff))


def _distance(chord: Chord, other: Chord) -> float:
    """The weighted number of notes that are lost and added if `other` replaces `chord`."""
    notes, others = chord.pitch_classes, other.pitch_classes
    distance = sum(_WEIGHTS[(note - chord.root) % 12] for note in notes - others)
    distance += sum(_ADDED_NOTE * _WEIGHTS[(note - chord.root) % 12] for note in others - notes)
    distance += _OTHER_BASS * (chord.bass_pitch_class != other.bass_pitch_class)
    return distance + _OTHER_ROOT * (chord.root != other.root)


def _difference(chord: Chord, other: Chord) -> str | None:
    def names(notes: frozenset[int]) -> str:
        return " ".join(NOTES[note] for note in sorted(notes))

    parts = []
    if lost := chord.pitch_classes - other.pitch_classes:
        parts.append(f"without {names(lost)}")
    if added := other.pitch_classes - chord.pitch_classes:
        parts.append(f"with {names(added)}")
    if chord.bass_pitch_class != other.bass_pitch_class:
        parts.append(f"{NOTES[other.bass_pitch_class]} instead of {NOTES[chord.bass_pitch_class]} in the bass")
    return ", ".join(parts) or None


def nearest_to_notes(notes: frozenset[int], bass: int, labels: Sequence[str] | None = None) -> str:
    r"""
    Finds the label that is nearest to a set of notes.

    Args:
        notes (`frozenset[int]`): pitch classes, at least one.
        bass (`int`): pitch class of the lowest note.
        labels (`Sequence[str]`, *optional*): the vocabulary, by default [`default_chord_labels`].
    """
    labels = _load_labels() if labels is None else tuple(labels)

    def distance(chord: Chord) -> float:
        others = chord.pitch_classes
        missing, added = len(notes - others), _ADDED_NOTE * len(others - notes)
        return missing + added + 0.5 * (bass != chord.bass_pitch_class) + 0.25 * (bass != chord.root)

    vocabulary = _parse_vocabulary(labels)
    return min(vocabulary, key=lambda name: (distance(vocabulary[name]), len(name), labels.index(name)))


def to_harte(label: str) -> str:
    """
    Converts a chord to the syntax of Harte et al. (2005), which `.lab` and JAMS files use: `Am7b5/G` becomes
    `A:hdim7/b7`. Free chords (`*`) are `X`, as unknown ones.

    Raises:
        [`InputError`]: if the label is not a chord.
    """
    if is_no_chord(label):
        return "N"
    if label in (UNKNOWN_CHORD, FREE_CHORD):
        return "X"
    chord = parse_chord(label)
    if chord is None:
        raise InputError(f"unknown chord {label[:MAX_LENGTH]!r}.", "label")
    quality = _HARTE.get(chord.intervals)
    if quality is None:
        quality = f"({','.join(_DEGREE_NAMES[interval] for interval in sorted(chord.intervals - {0}))})"
    bass = f"/{_DEGREE_NAMES[chord.bass]}" if chord.bass else ""
    return f"{NOTES[chord.root]}:{quality}{bass}"
