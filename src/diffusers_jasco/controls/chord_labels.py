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

"""Spellings of chords → labels of a vocabulary."""

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from ..utils.errors import InputError


# Chordino's spelling of the twelve pitch classes.
NOTES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
NO_CHORD = "N"
UNKNOWN_CHORD = "UNK"

_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
_NOTE = re.compile(r"([A-G])([#b]{0,2})")
_DEGREE = re.compile(r"([#b]{0,2})(1[0-3]|[1-9])")
_QUALITY_TOKEN = re.compile(r"maj|min|hdim|dim|aug|dom|sus|add|omit|no|alt|M|m|j|o|-|\+|[#b*]|\d+|[(),]")
_MAX_LENGTH = 40

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

# How much a note matters when the nearest label is looked for, by its interval above the root: the root itself, then
# the third, then fifth and seventh, the sixth, then the rest.
_WEIGHTS = (4, 1, 1, 3, 3, 1, 2, 2, 2, 1.5, 2, 2)
_ADDED_NOTE, _OTHER_BASS, _OTHER_ROOT = 1.5, 1.5, 4.0


@dataclass(frozen=True)
class Chord:
    """
    A chord's notes.

    Args:
        root (`int`): pitch class, 0 (C) ... 11 (B).
        intervals (`frozenset[int]`): semitones of its notes above the root, without a bass that is added below.
        bass (`int`): semitones of the lowest note above the root, 0 in root position.
    """

    root: int
    intervals: frozenset[int]
    bass: int = 0

    @property
    def pitch_classes(self) -> frozenset[int]:
        """All notes, bass included, as pitch classes 0 ... 11."""
        return frozenset((self.root + interval) % 12 for interval in self.intervals | {self.bass})

    @property
    def bass_pitch_class(self) -> int:
        return (self.root + self.bass) % 12


@lru_cache(maxsize=1)
def _load_labels() -> tuple[str, ...]:
    return tuple(json.loads(files(__package__).joinpath("chord_labels.json").read_text(encoding="utf-8")))


def default_chord_labels() -> list[str]:
    """The original's vocabulary in the order of its ids: the 193 labels of Chordino, and `"UNK"`."""
    return list(_load_labels())


def is_no_chord(label: str) -> bool:
    """Whether `label` means that there is no chord: N, NC, N.C., ..."""
    return label.strip().upper().replace(".", "") in ("N", "NC")


def parse_chord(label: str) -> Chord | None:
    r"""
    Reads a chord in any common spelling: of lead sheets (`Db`, `C-7`, `CM7`, `Cø`, `Bdim7`, `C6/9`, `F#m7b5/E`,
    `C7(b9)`, `Gsus4`), or of Harte et al. (2005) (`C:maj7/3`, `A:min(9)`, `D:hdim7`).

    Args:
        label (`str`): the chord.

    Returns:
        [`Chord`], or `None` if it is none.
    """
    text = re.sub(r"\s", "", label)
    if len(text) > _MAX_LENGTH:
        return None
    for sign, plain in (("♯", "#"), ("♭", "b"), ("−", "-"), ("–", "-"), ("Δ7", "maj7"), ("△7", "maj7"), ("^7", "maj7"),
                        ("Δ", "maj7"), ("△", "maj7"), ("^", "maj7"), ("°", "dim"), ("º", "dim"), ("ø", "hdim"),
                        ("Ø", "hdim"), ("6/9", "69")):  # fmt: skip
        text = text.replace(sign, plain)
    root = _NOTE.match(text)
    if root is None:
        return None
    body, slash, bass = text[root.end() :].partition("/")
    harte = body.startswith(":")
    intervals = _parse_quality(body[harte:], harte)
    interval = _parse_bass(bass, _pitch_class(root)) if slash else 0
    if intervals is None or interval is None:
        return None
    return Chord(_pitch_class(root), intervals, interval)


def _pitch_class(match: re.Match) -> int:
    return (_LETTERS[match[1]] + match[2].count("#") - match[2].count("b")) % 12


def _parse_bass(bass: str, root: int) -> int | None:
    """Semitones above the root of a note name or a degree of the major scale."""
    if note := _NOTE.fullmatch(bass):
        return (_pitch_class(note) - root) % 12
    if degree := _DEGREE.fullmatch(bass):
        return _degree(degree[1], int(degree[2]))
    return None


def _degree(accidentals: str, number: int) -> int:
    return (_MAJOR_SCALE[(number - 1) % 7] + accidentals.count("#") - accidentals.count("b")) % 12


def _tokenize(quality: str) -> list[str] | None:
    quality = re.sub(r"(?i)major|maj|ma(?=\d|$)", "maj", quality)
    quality = re.sub(r"(?i)minor|min|(?<!di)mi(?=\d|$)", "min", quality)
    quality = re.sub(r"(?i)(hdim|dim|aug|dom|sus|add|omit|alt)", lambda match: match[0].lower(), quality)
    tokens, position = [], 0
    while position < len(quality):
        match = _QUALITY_TOKEN.match(quality, position)
        if match is None:
            return None
        tokens.append({"M": "maj", "j": "maj", "m": "min", "o": "dim", "no": "omit"}.get(match[0], match[0]))
        position = match.end()
    return tokens


class _QualityParser:
    """
    Reads the tokens of a chord's quality: first its triad, then its extension, then alterations. Each method raises a
    `ValueError` for tokens that are not a chord.
    """

    def __init__(self, tokens: list[str], harte: bool):
        self.tokens, self.harte = tokens[::-1], harte  # the next token is the last of the list
        self.third: int | None = 4
        self.fifth: int | None = 7
        self.seventh: int | None = None
        self.extra: set[int] = set()
        self.removed: set[int] = set()

    def peek(self, *names: str) -> bool:
        return bool(self.tokens) and self.tokens[-1] in names

    def take(self, *names: str) -> bool:
        """Whether the next token is one of these, which is then done with."""
        found = self.peek(*names)
        if found:
            self.tokens.pop()
        return found

    def take_degree(self) -> int:
        if not self.tokens or not self.tokens[-1].isdigit() or int(self.tokens[-1]) not in range(1, 14):
            raise ValueError
        return int(self.tokens.pop())

    def parse(self) -> frozenset[int]:
        """The intervals above the root."""
        self.parse_extension(self.parse_triad())
        while self.tokens:
            self.parse_alteration()
        notes = {note for note in (self.third, self.fifth, self.seventh) if note is not None}
        return frozenset((notes | self.extra) - self.removed | {0})

    def parse_triad(self) -> int:
        """Returns the seventh that an extension of this triad has."""
        if self.harte and self.peek("("):
            self.third = self.fifth = None  # a list of degrees stands for itself
        elif self.take("maj"):
            return 11
        elif self.take("min", "-"):
            self.third = 3
            in_parentheses = self.tokens[-2:] == ["maj", "("] and self.take("(")
            if self.take("maj"):
                if not self.peek("7", "9", "11", "13"):
                    raise ValueError
                return 11
            if in_parentheses:
                raise ValueError
        elif self.take("dim"):
            self.third, self.fifth = 3, 6
            return 9
        elif self.take("hdim"):
            self.third, self.fifth, self.seventh = 3, 6, 10
        elif self.take("aug", "+"):
            self.fifth = 8
            return 11 if self.take("maj") else 10
        elif self.take("dom"):
            self.seventh = 10
        return 10

    def parse_extension(self, seventh: int):
        added: dict[str, set[int]]
        added = {"7": set(), "9": {2}, "11": {2, 5}, "13": {2, 5, 9}, "6": {9}, "69": {9, 2}, "2": {2}}
        if self.peek(*added):
            if self.peek("7", "9", "11", "13"):
                self.seventh = seventh
            self.extra = added[self.tokens.pop()]
        elif self.take("5"):
            self.third = None
        elif self.take("4"):
            self.third = 5
        elif self.harte and self.take("1"):
            self.third = self.fifth = None

    def parse_alteration(self):
        if self.take("(", ")", ","):
            pass
        elif self.take("sus"):
            self.third = 2 if self.take("2") else 5
            self.take("4")
        elif self.take("alt"):
            self.fifth = None
            self.extra.add(1)
        elif self.take("maj"):
            if not self.take("7"):
                raise ValueError
            self.seventh = 11
        elif self.take("omit", "*"):
            accidental = self.tokens.pop() if self.peek("#", "b") else ""
            self.removed.add(_degree(accidental, self.take_degree()))
        else:
            self.parse_degree(is_added=self.take("add"))

    def parse_degree(self, is_added: bool):
        accidental = ""
        while self.peek("#", "b", "+", "-"):
            token = self.tokens.pop()
            accidental += {"+": "#", "-": "b"}.get(token, token)
        if accidental == "#" and not self.tokens:
            self.fifth = 8  # C7+
            return
        number = self.take_degree()
        if len(accidental) > 2:
            raise ValueError
        if number == 5 and accidental and not is_added and not (self.harte and self.fifth is None):
            self.fifth = _degree(accidental, 5)
        elif number == 7 and not accidental and not self.harte:
            self.seventh = self.seventh or 10
        else:
            self.extra.add(_degree(accidental, number))


def _parse_quality(quality: str, harte: bool) -> frozenset[int] | None:
    """The intervals of a chord's quality."""
    tokens = _tokenize(quality)
    if tokens is None or tokens.count("(") != tokens.count(")"):
        return None
    try:
        return _QualityParser(tokens, harte).parse()
    except ValueError:
        return None


@lru_cache(maxsize=16)
def _parse_vocabulary(labels: tuple[str, ...]) -> dict[str, Chord]:
    return {label: chord for label in labels if label != UNKNOWN_CHORD and (chord := parse_chord(label)) is not None}


def normalize_chord(label: str, labels: Sequence[str] | None = None) -> tuple[str, str | None]:
    r"""
    The label of a vocabulary for a chord in any spelling that [`parse_chord`] reads.

    Args:
        label (`str`):
            The chord; a label of the vocabulary is returned as it is. `N`, `NC`, `N.C.` is no chord, Harte's `X` an unknown
            one.
        labels (`Sequence[str]`, *optional*):
            The vocabulary, by default [`default_chord_labels`].

    Returns:
        `tuple[str, str | None]`: the label with the same notes and bass, and `None`; or the nearest one, and what differs.

    Raises:
        [`InputError`]: for a label that is not a chord, with the nearest labels.
    """
    labels = _load_labels() if labels is None else tuple(labels)
    if label in labels:
        return label, None
    if is_no_chord(label) and NO_CHORD in labels:
        return NO_CHORD, None
    if label.strip() == "X":
        return (UNKNOWN_CHORD, None) if UNKNOWN_CHORD in labels else (NO_CHORD, "what it is")
    vocabulary = _parse_vocabulary(labels)
    chord = parse_chord(label)
    if chord is None or not vocabulary:
        raise InputError(
            f"unknown chord {label[:_MAX_LENGTH]!r}. Did you mean {suggest_chords(label, labels)}?", "label"
        )
    nearest = min(vocabulary, key=lambda name: (_distance(chord, vocabulary[name]), len(name), labels.index(name)))
    return nearest, _difference(chord, vocabulary[nearest])


def suggest_chords(label: str, labels: Sequence[str]) -> str:
    """Three labels that look like `label`."""
    # German writers call B "H".
    text = re.sub("^H", "B", label.strip()[:1].upper() + label.strip()[1:_MAX_LENGTH])
    return ", ".join(repr(name) for name in difflib.get_close_matches(text, labels, n=3, cutoff=0.0))


def _distance(chord: Chord, other: Chord) -> float:
    """How much of `chord` is lost, and how much is added, when `other` is played."""
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
    The label that is nearest to sounding notes.

    Args:
        notes (`frozenset[int]`): pitch classes, at least one.
        bass (`int`): the lowest one.
        labels (`Sequence[str]`, *optional*): the vocabulary.
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
    A chord in the syntax of Harte et al. (2005), which `.lab` and JAMS files use: `Am7b5/G` is `A:hdim7/b7`.

    Raises:
        [`InputError`]: for a label that is not a chord.
    """
    if is_no_chord(label):
        return "N"
    if label == UNKNOWN_CHORD:
        return "X"
    chord = parse_chord(label)
    if chord is None:
        raise InputError(f"unknown chord {label[:_MAX_LENGTH]!r}.", "label")
    quality = _HARTE.get(chord.intervals)
    if quality is None:
        quality = f"({','.join(_DEGREE_NAMES[interval] for interval in sorted(chord.intervals - {0}))})"
    bass = f"/{_DEGREE_NAMES[chord.bass]}" if chord.bass else ""
    return f"{NOTES[chord.root]}:{quality}{bass}"
