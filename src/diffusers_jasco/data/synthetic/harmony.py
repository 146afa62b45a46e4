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


"""Chord progressions of the synthetic music: functional harmony, common turns, twelve-bar blues, and free chords."""

from collections.abc import Sequence
from functools import lru_cache, partial

import numpy as np

from ...controls.chord_labels import NOTES, default_chord_labels, parse_chord
from .material import choose, draw_for
from .styles import Style


# Intervals of the chord types in root position.
_MAJOR, _MINOR, _DIM, _AUG = (0, 4, 7), (0, 3, 7), (0, 3, 6), (0, 4, 8)
CHORD_TYPES: dict[str, tuple[int, ...]] = {
    "": _MAJOR, "m": _MINOR, "dim": _DIM, "aug": _AUG, "7": (0, 4, 7, 10), "maj7": (0, 4, 7, 11), "m7": (0, 3, 7, 10),
    "6": (0, 4, 7, 9), "m6": (0, 3, 7, 9), "m7b5": (0, 3, 6, 10),
}  # fmt: skip
_PLAIN_TYPES = ("", "m", "7", "m7", "maj7", "dim")
_PLAIN_SUBSTITUTES = {"6": "maj7", "m6": "m7", "m7b5": "dim", "aug": ""}

# A chord of a progression: (semitones from the tonic to the root, chord type, semitones from the root to the bass).
Degree = tuple[int, str, int]
# Progressions of four bars: ((sixteenths, chord), ...).
Phrase = tuple[tuple[int, Degree], ...]

# Functional harmony: scale degree → (chord types as triad, chord types with a seventh, weights of the next degrees).
_HARMONY: dict[str, dict[int, tuple[tuple[str, ...], tuple[str, ...], dict[int, float]]]] = {
    "major": {
        0: (("",), ("maj7", "6"), {5: 3, 7: 2, 9: 3, 2: 2, 4: 1, 10: 0.5, 8: 0.3}),
        2: (("m",), ("m7", "7"), {7: 5, 5: 1, 11: 0.4}),
        4: (("m",), ("m7", "7"), {9: 3, 5: 2, 2: 1}),
        5: (("", "", "m"), ("maj7", "6", "m6"), {7: 3, 0: 3, 2: 1, 9: 1}),
        7: (("",), ("7",), {0: 5, 9: 2, 5: 1}),
        8: (("",), ("maj7",), {10: 2, 7: 1, 0: 1}),
        9: (("m", "m", ""), ("m7", "7"), {5: 3, 2: 3, 7: 1, 4: 0.5}),
        10: (("",), ("7", "maj7"), {5: 2, 0: 2}),
        11: (("dim",), ("m7b5",), {0: 3, 4: 1}),
    },
    "minor": {
        0: (("m",), ("m7", "m6"), {8: 3, 5: 3, 10: 3, 7: 2, 3: 1, 2: 0.7}),
        2: (("dim",), ("m7b5",), {7: 4, 10: 0.5}),
        3: (("", "", "aug"), ("maj7",), {8: 2, 5: 1, 10: 2}),
        5: (("m", "m", ""), ("m7", "m6"), {7: 3, 0: 2, 10: 2}),
        7: (("", "m"), ("7", "7", "m7"), {0: 5, 8: 2}),
        8: (("",), ("maj7",), {10: 3, 3: 2, 5: 1, 7: 1}),
        10: (("",), ("7",), {3: 3, 0: 2, 8: 2}),
        11: (("dim",), ("dim",), {0: 3}),
    },
}  # fmt: skip
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}

# Degrees of the four bars of common turns, and of jazz turns for styles with many sevenths.
_TURNS: dict[str, tuple[tuple[int, ...], ...]] = {
    "major": (
        (0, 7, 9, 5), (9, 5, 0, 7), (0, 9, 5, 7), (0, 5, 9, 7), (5, 0, 7, 9), (0, 4, 5, 7), (0, 5, 0, 7), (0, 2, 5, 7),
        (5, 7, 4, 9), (0, 10, 5, 0), (0, 5, 7, 5), (0, 8, 10, 0),
    ),
    "minor": (
        (0, 8, 3, 10), (0, 10, 8, 7), (0, 5, 7, 0), (0, 8, 10, 0), (0, 5, 10, 3), (0, 3, 10, 5), (8, 10, 0, 0),
        (0, 10, 8, 10), (0, 7, 8, 5), (0, 5, 8, 7),
    ),
}  # fmt: skip
_JAZZ_TURNS: dict[str, tuple[tuple[int, ...], ...]] = {
    "major": ((2, 7, 0, 0), (2, 7, 0, 9), (0, 9, 2, 7), (4, 9, 2, 7), (9, 2, 7, 0), (0, 2, 2, 7), (5, 7, 4, 9)),
    "minor": ((2, 7, 0, 0), (0, 5, 2, 7), (5, 10, 3, 8), (0, 8, 2, 7), (8, 2, 7, 0)),
}
# Last degrees of phrases that lead back to the tonic.
_CADENCES = {
    "major": ((5, 7), (2, 7), (7,), (5,), (8, 10)),
    "minor": ((5, 7), (2, 7), (7,), (8, 10)),
}
# Degrees of the three phrases of a twelve-bar blues.
_BLUES = (
    ((0, 0, 0, 0), (0, 5, 0, 0)),
    ((5, 5, 0, 0),),
    ((7, 5, 0, 7), (2, 7, 0, 7), (7, 5, 0, 0), (7, 7, 0, 0)),
)
# Bass notes in semitones from the root → weight.
_BASS_WEIGHTS = {2: 0.5, 4: 1, 7: 1, 10: 0.5}
_BLUES_TYPES = {"major": ("7", "7", "7", "", "6"), "minor": ("m7", "m7", "m", "m6")}


@lru_cache(maxsize=1)
def _labels() -> dict[tuple[int, frozenset[int], int], str]:
    """(root, intervals, bass) → label of the vocabulary."""
    chords = {label: parse_chord(label) for label in default_chord_labels()}
    return {(chord.root, chord.intervals, chord.bass): label for label, chord in chords.items() if chord is not None}


def label_chord(root: int, form: str, bass: int) -> str:
    """The label of a chord, in root position if the vocabulary does not have its inversion."""
    labels, intervals = _labels(), frozenset(CHORD_TYPES[form])
    return labels.get((root % 12, intervals, bass)) or labels[root % 12, intervals, 0]


@lru_cache(maxsize=1)
def _inversions() -> dict[str, tuple[int, ...]]:
    """Chord type → bass intervals (other than the root) in the vocabulary."""
    return {
        form: tuple(sorted({bass for _, intervals, bass in _labels() if bass and intervals == frozenset(tones)}))
        for form, tones in CHORD_TYPES.items()
    }


def compose_progression(
    split: str,
    plain: bool,
    style: Style,
    mode: str,
    num_bars: int,
    steps: int,
    beat_steps: int,
    ends: bool,
    rng: np.random.Generator,
) -> list[tuple[int, int, Degree]]:
    r"""
    Composes phrases of four bars, in a form such as AABA or as a twelve-bar blues.

    Args:
        split (`str`): `"train"`, `"validation"` or `"test"`.
        plain (`bool`): whether to use only six chord types in root position.
        style (`Style`): determines the shares of sevenths and of blues.
        mode (`str`): `"major"` or `"minor"`.
        num_bars (`int`): number of bars, a multiple of four.
        steps, beat_steps (`int`): sixteenths per bar and per beat.
        ends (`bool`): whether the last phrase ends with a cadence, after which the tonic is expected.
        rng (`np.random.Generator`): source of all random choices.

    Returns:
        `list[tuple[int, int, Degree]]`: first step, last step + 1, and chord.
    """
    composer = _Composer(plain, style, mode, steps, beat_steps, rng)
    phrases: list[Phrase]
    if steps == 16 and rng.random() < style.blues:
        phrases = [draw_for(split, partial(composer.draw_blues, options)) for options in _BLUES]
        order = [index % 3 for index in range(num_bars // 4)]
    else:
        free = rng.random() < (0.5 if plain else 0.35)
        draw = composer.draw_free if free else composer.draw_functional
        phrases = [draw_for(split, draw) for _ in "AB"]
        order = list(choose(rng, ((0, 0, 1, 0), (0, 1, 0, 1), (0, 0, 1, 1), (0, 1, 1, 0)))) * num_bars
    if ends:
        phrases.append(draw_for(split, lambda: composer.draw_functional(ends=True)))
        order[num_bars // 4 - 1] = len(phrases) - 1
    timeline, step = [], 0
    for index in order[: num_bars // 4]:
        for length, chord in phrases[index]:
            timeline.append((step, step + length, chord))
            step += length
    return timeline


def compose_functional(
    split: str, style: Style, mode: str, steps: int, beat_steps: int, rng: np.random.Generator, ends: bool = False
) -> Phrase:
    """A phrase of four bars of functional harmony, as in [`compose_progression`]; with `ends`, it ends with a cadence."""
    composer = _Composer(False, style, mode, steps, beat_steps, rng)
    return draw_for(split, lambda: composer.draw_functional(ends))


def compose_blues(
    split: str, style: Style, mode: str, steps: int, beat_steps: int, rng: np.random.Generator
) -> list[Phrase]:
    """The three phrases of a twelve-bar blues, as in [`compose_progression`]."""
    composer = _Composer(False, style, mode, steps, beat_steps, rng)
    return [draw_for(split, partial(composer.draw_blues, options)) for options in _BLUES]


def final_chord(plain: bool, style: Style, mode: str, rng: np.random.Generator) -> Degree:
    """The tonic at the end of a piece."""
    forms = ("maj7", "maj7" if plain else "6") if mode == "major" else ("m7", "m7" if plain else "m6")
    triad = "" if mode == "major" else "m"
    return 0, choose(rng, forms) if rng.random() < 0.6 * style.sevenths else triad, 0


class _Composer:
    """Draws phrases of four bars."""

    def __init__(self, plain: bool, style: Style, mode: str, steps: int, beat_steps: int, rng: np.random.Generator):
        self.plain, self.style, self.mode, self.steps, self.rng = plain, style, mode, steps, rng
        # Chords change on beats.
        self.half = {16: 8, 12: 6 if beat_steps == 6 else 8}[steps]
        self.beat_steps = beat_steps

    def draw_free(self) -> Phrase:
        """Chords without a key."""
        phrase: list[tuple[int, Degree]] = []
        for length in self._draw_lengths():
            if self.plain:
                chord = int(self.rng.integers(12)), choose(self.rng, _PLAIN_TYPES), 0
            else:
                form = choose(self.rng, tuple(CHORD_TYPES), (4, 3, 1, 1, 2.5, 2, 2, 1, 1, 1))
                chord = int(self.rng.integers(12)), form, self._invert(form, 0.55)
            if phrase and phrase[-1][1] == chord:
                chord = ((chord[0] + int(self.rng.integers(1, 12))) % 12, *chord[1:])
            phrase.append((length, chord))
        return tuple(phrase)

    def draw_functional(self, ends: bool = False) -> Phrase:
        """A common turn, or a walk from degree to degree; sometimes with a cadence, with `ends` always."""
        lengths = self._draw_lengths()
        jazz = self.style.sevenths >= 0.5 and self.rng.random() < 0.6
        if self.rng.random() < 0.5:
            turn = choose(self.rng, (_JAZZ_TURNS if jazz else _TURNS)[self.mode])
            starts = np.cumsum([0, *lengths[:-1]])
            degrees = [turn[start // self.steps] for start in starts]
        else:
            degrees = self._walk(len(lengths))
        if ends or self.rng.random() < 0.3:
            cadence = choose(self.rng, _CADENCES[self.mode])[-len(degrees) :]
            degrees[len(degrees) - len(cadence) :] = cadence
        sevenths = max(self.style.sevenths, 0.75) if jazz else self.style.sevenths
        chords = [(degree, self._draw_type(degree, sevenths)) for degree in degrees]
        return self._add_basses(lengths, chords)

    def draw_blues(self, options: Sequence[tuple[int, ...]]) -> Phrase:
        """A phrase of a twelve-bar blues."""
        types = {degree: choose(self.rng, _BLUES_TYPES[self.mode]) for degree in (0, 5)}
        types |= {7: "7", 2: choose(self.rng, ("m7", "7"))}
        turn = choose(self.rng, options)
        lengths, chords = [], []
        for degree in turn:
            form = types[degree]
            if self.rng.random() < 0.2:
                form = choose(self.rng, _BLUES_TYPES[self.mode]) if degree in (0, 5) else form
            if self.plain and form not in _PLAIN_TYPES:
                form = _PLAIN_SUBSTITUTES[form]
            parts = (self.half, self.steps - self.half) if self.rng.random() < 0.15 else (self.steps,)
            for number, length in enumerate(parts):
                lengths.append(length)
                # The second half of a bar approaches the chord from above or below.
                chords.append(((degree + choose(self.rng, (1, 11, 5, 7))) % 12 if number else degree, form))
        return self._add_basses(lengths, chords)

    def _draw_lengths(self) -> list[int]:
        half = self.half
        rhythms = (
            (self.steps,),
            (half, self.steps - half),
            (2 * self.steps,),
            (self.beat_steps,) * (self.steps // self.beat_steps),
        )
        weights = (6, 3, 0.7, 0 if self.plain else 0.4)
        lengths: list[int] = []
        while (rest := 4 * self.steps - sum(lengths)) > 0:
            lengths += [min(length, rest) for length in choose(self.rng, rhythms, weights)]
        return lengths

    def _walk(self, size: int) -> list[int]:
        harmony = _HARMONY[self.mode]
        degrees = [0 if self.rng.random() < 0.7 else choose(self.rng, tuple(harmony))]
        while len(degrees) < size:
            following = harmony[degrees[-1]][2]
            degrees.append(choose(self.rng, tuple(following), tuple(following.values())))
        return degrees

    def _draw_type(self, degree: int, sevenths_share: float) -> str:
        triads, sevenths, _ = _HARMONY[self.mode][degree]
        form = choose(self.rng, sevenths if self.rng.random() < sevenths_share else triads)
        return _PLAIN_SUBSTITUTES.get(form, form) if self.plain else form

    def _invert(self, form: str, probability: float) -> int:
        options = _inversions()[form]
        if not options or self.rng.random() >= probability:
            return 0
        return choose(self.rng, options, [_BASS_WEIGHTS[option] for option in options])

    def _add_basses(self, lengths: Sequence[int], chords: Sequence[tuple[int, str]]) -> Phrase:
        """Inverts chords, preferably where the bass then moves by step, and adds passing basses."""
        phrase: list[tuple[int, Degree]] = []
        for index, (length, (root, form)) in enumerate(zip(lengths, chords)):
            # Shorter inversions would be hard to recognize.
            options = () if self.plain or length < self.steps // 2 else _inversions()[form]
            following = chords[(index + 1) % len(chords)][0]
            bass = 0
            if options and self.rng.random() < (0.4 if phrase else 0.2):
                before = sum(phrase[-1][1][::2]) if phrase else following
                weights = [
                    _BASS_WEIGHTS[option] * (3 if _is_step(root + option - before) else 1)
                    * (3 if _is_step(root + option - following) else 1)
                    for option in options
                ]  # fmt: skip
                bass = choose(self.rng, options, weights)
            if root == following:
                options = ()
            passing = [option for option in options if option != bass and _is_step(root + option - following)]
            if passing and length >= self.steps and self.rng.random() < 0.15:
                last = self.steps - self.half
                phrase.append((length - last, (root, form, bass)))
                length, bass = last, choose(self.rng, passing)
            phrase.append((length, (root, form, bass)))
        return tuple(phrase)


def _is_step(interval: int) -> bool:
    return interval % 12 in (1, 2, 10, 11)


def follows_key(chords: Sequence[tuple[str, float]], key: str) -> bool:
    """
    Whether all chords, apart from silence, belong to the functional harmony of a key. Many pieces have free
    chords or a blues instead, to which their `key` does not apply, and a few change the key.
    """
    tonic, mode = key.split()
    for label, _ in chords:
        if label == "N":
            continue
        chord = parse_chord(label)
        if chord is None:
            return False
        degree = (chord.root - NOTES.index(tonic)) % 12
        if degree not in _HARMONY[mode]:
            return False
        triads, sevenths, _ = _HARMONY[mode][degree]
        forms = {*triads, *sevenths}
        forms |= {_PLAIN_SUBSTITUTES[form] for form in forms if form not in _PLAIN_TYPES}
        if chord.intervals not in {frozenset(CHORD_TYPES[form]) for form in forms}:
            return False
    return True
