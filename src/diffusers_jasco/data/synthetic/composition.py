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


"""Composes random pieces of music: notes for chords, bass, accompaniment, lead and drums, with their annotations."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from ...controls.chord_labels import NOTES, default_chord_labels, parse_chord
from . import instruments as gm
from .styles import STYLES, Style


SPLITS = ("train", "validation", "test")
SUBSETS = ("plain", "full")
STEMS = ("drums", "bass", "comp", "pad", "lead")

# Intervals of the chord types in root position.
_MAJOR, _MINOR, _DIM, _AUG = (0, 4, 7), (0, 3, 7), (0, 3, 6), (0, 4, 8)
_FORMS: dict[str, tuple[int, ...]] = {
    "": _MAJOR, "m": _MINOR, "dim": _DIM, "aug": _AUG, "7": (0, 4, 7, 10), "maj7": (0, 4, 7, 11), "m7": (0, 3, 7, 10),
    "6": (0, 4, 7, 9), "m6": (0, 3, 7, 9), "m7b5": (0, 3, 6, 10),
}  # fmt: skip
_PLAIN_FORMS = ("", "m", "7", "m7", "maj7", "dim")
_PLAIN_SUBSTITUTES = {"6": "maj7", "m6": "m7", "m7b5": "dim", "aug": ""}

# A chord of a progression: (semitones from the tonic to the root, chord type, semitones from the root to the bass).
Degree = tuple[int, str, int]

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
_SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}

# Bass and accompaniment rhythms of one bar in sixteenths; 3/4 and 6/8 use the first twelve. "x" starts a note, "-"
# holds it, "." is a rest.
_BASS: dict[str, tuple[str, str]] = {
    # name: (rhythm, chord tones: r root, f fifth, o octave, t third, n approach to the next chord)
    "roots": ("x-------x-------", "rr"),
    "fifths": ("x-------x-------", "rf"),
    "eighths": ("x-x-x-x-x-x-x-x-", "rrrrrrrr"),
    "octaves": ("x-x-x-x-x-x-x-x-", "rorororo"),
    "sixteenths": ("xxxxxxxxxxxxxxxx", "rrorrrorrrorrror"),
    "offbeats": ("..x-..x-..x-..x-", "rrrr"),
    "syncopated": ("x--x--x---x-x---", "rrorf"),
    "gallop": ("x-xxx-xxx-xxx-xx", "rrrrrrrrrrrr"),
    "walking": ("x---x---x---x---", "rtfn"),
    "bossa": ("x-----x-x-----x-", "rrff"),
    "funk": ("x--x..x...x-.xx.", "rrorfr"),
    "reggae": ("x---..x-x---x-..", "rrft"),
    "tumbao": ("......x-----x---", "fr"),
}
_COMP: dict[str, str] = {
    # Rhythms of block chords; for broken chords see `_ARPEGGIOS`.
    "block": "x-------x-------",
    "eighths": "x-x-x-x-x-x-x-x-",
    "push": "x-----x---x-----",
    "stabs": "..x...x.x.....x.",
    "skank": "....x.......x...",
    "sixteenths": "x.xx.xx.x.xx.xx.",
    "gallop": "x-xxx-xxx-xxx-xx",
    "charleston": "x-----x.........",
    "bossa": "x--x--x---x--x--",
    "strum": "x---x-x-.-x-x-x-",
    "boom-chick": "....x-......x-..",
    "montuno": "x-.x-.x-.x-x-.x-",
    "waltz": "....x---x---....",
    "tremolo": "xxxxxxxxxxxxxxxx",
}
_ARPEGGIOS: dict[str, tuple[int, tuple[int, ...]]] = {
    # name: (sixteenths per note, order of the chord's notes)
    "arpeggio": (2, (0, 1, 2, 3, 2, 1)),
    "alberti": (2, (0, 2, 1, 2)),
    "travis": (2, (0, 2, 1, 3)),
}


@dataclass(frozen=True)
class Note:
    """A note: `start` and `end` in seconds, MIDI note number `key`, and `velocity` 1 ... 127."""

    start: float
    end: float
    key: int
    velocity: int


@dataclass
class Piece:
    """
    A piece, with times in seconds from its beginning. `programs` maps stems to General MIDI programs, `patterns` bass
    and comp to the names of their patterns; `form` is one of those in [`~data.synthetic.words`], if it is known.
    """

    style: Style
    subset: str
    key: str
    tempo: float
    time_signature: str
    swing: float
    duration: float
    chords: list[tuple[str, float]]
    beats: list[float]
    downbeats: list[float]
    programs: dict[str, int]
    notes: dict[str, list[Note]] = field(default_factory=dict)
    energy: str = "medium"
    patterns: dict[str, str] = field(default_factory=dict)
    form: str | None = None


def split_of(material: object) -> str:
    """The split that may use a progression, groove or phrase: 80% train, 10% validation, 10% test."""
    digest = hashlib.blake2b(repr(material).encode(), digest_size=4).digest()
    share = int.from_bytes(digest, "big") % 10
    return "train" if share < 8 else "validation" if share == 8 else "test"


def _draw_for(split: str, draw: Callable[[], object]):
    """Draws material until it belongs to the split."""
    while True:
        material = draw()
        if split_of(material) == split:
            return material


def _choose(rng: np.random.Generator, options: Sequence, weights: Sequence[float] | None = None):
    """Like `rng.choice`, for options that NumPy would convert to arrays."""
    if weights is None:
        return options[int(rng.integers(len(options)))]
    edges = np.cumsum(weights)
    return options[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]


@lru_cache(maxsize=1)
def _labels() -> dict[tuple[int, frozenset[int], int], str]:
    """(root, intervals, bass) → label of the vocabulary."""
    chords = {label: parse_chord(label) for label in default_chord_labels()}
    return {(chord.root, chord.intervals, chord.bass): label for label, chord in chords.items() if chord is not None}


def _label(root: int, form: str, bass: int) -> str:
    """The label of a chord, in root position if the vocabulary does not have its inversion."""
    labels, intervals = _labels(), frozenset(_FORMS[form])
    return labels.get((root % 12, intervals, bass)) or labels[root % 12, intervals, 0]


@lru_cache(maxsize=1)
def _inversions() -> dict[str, tuple[int, ...]]:
    """Chord type → bass intervals (other than the root) in the vocabulary."""
    return {
        form: tuple(sorted({bass for _, intervals, bass in _labels() if bass and intervals == frozenset(tones)}))
        for form, tones in _FORMS.items()
    }


def compose(split: str, subset: str, rng: np.random.Generator, duration: float) -> Piece:
    r"""
    Composes a piece of at least `duration` seconds.

    Args:
        split (`str`): `"train"`, `"validation"` or `"test"`; determines which progressions, grooves and phrases may be
            used.
        subset (`str`): `"plain"` (six chord types in root position, 4/4, no swing, no timing jitter, no key changes)
            or `"full"` (no such limits).
        rng (`np.random.Generator`): source of all random choices.
        duration (`float`): minimum duration in seconds.
    """
    plain = subset == "plain"
    style = _choose(rng, [style for style in STYLES if not plain or "4/4" in style.time_signatures])
    time_signature = "4/4" if plain else _choose(rng, style.time_signatures)
    steps = 16 if time_signature == "4/4" else 12
    beat_steps = 6 if time_signature == "6/8" else 4
    tempo = float(np.round(rng.uniform(*style.tempo), 1))
    swing = 0.5 if plain else style.swing
    seconds_per_bar = steps / beat_steps * 60 / tempo
    num_bars = 4 * math.ceil(math.ceil(duration / seconds_per_bar) / 4)

    clock = _Clock(60 / tempo, beat_steps, swing, 0.0 if plain else 0.006, rng)
    mode = "minor" if rng.random() < style.minor else "major"
    tonic = int(rng.integers(12))
    progression = _compose_chords(split, plain, style, mode, num_bars, steps, rng)
    tonics = [tonic] * num_bars
    if not plain and num_bars >= 8 and rng.random() < 0.12:
        change = 4 * int(rng.integers(1, num_bars // 4))
        tonics[change:] = [(tonic + _choose(rng, (1, 2, 3, 5, 10))) % 12] * (num_bars - change)

    chords, timeline = [], []
    for start, end, (offset, form, bass) in progression:
        root = (tonics[start // steps] + offset) % 12
        chords.append((start, end, root, form, bass))
        label = _label(root, form, bass)
        if not timeline or timeline[-1][0] != label:
            timeline.append((label, clock.time(start)))

    piece = Piece(
        style=style,
        subset=subset,
        key=f"{NOTES[tonic]} {mode}",
        tempo=tempo,
        time_signature=time_signature,
        swing=swing,
        duration=num_bars * seconds_per_bar,
        chords=timeline,
        beats=[clock.time(step) for step in range(0, num_bars * steps, beat_steps)],
        downbeats=[clock.time(step) for step in range(0, num_bars * steps, steps)],
        programs={},
    )

    if rng.random() < style.drummed:
        piece.programs["drums"] = style.kit
        odd = not plain and rng.random() < 0.15
        piece.notes["drums"] = _play_drums(split, style, odd, num_bars, steps, clock, rng)
    piece.programs["bass"] = _choose(rng, style.bass_programs)
    piece.patterns["bass"] = _choose(rng, style.bass)
    piece.notes["bass"] = _play_bass(chords, piece.patterns["bass"], steps, clock, rng)
    piece.programs["comp"] = _choose(rng, style.comp_programs)
    piece.patterns["comp"] = _choose(rng, style.comp)
    piece.notes["comp"] = _play_comp(chords, piece.patterns["comp"], steps, clock, rng)
    if rng.random() < 0.4:
        piece.programs["pad"] = _choose(rng, style.pad_programs)
        piece.notes["pad"] = _play_pad(chords, clock)
    if rng.random() < 0.88:
        piece.programs["lead"] = _choose(rng, style.lead_programs)
        # Requested melodies may be in any register, regardless of the instrument.
        lowest = int(rng.integers(43, 77) if not plain and rng.random() < 0.3 else rng.integers(55, 68))
        piece.notes["lead"] = _play_lead(split, lowest, chords, tonics, mode, num_bars, steps, beat_steps, clock, rng)
    density = sum(len(notes) for notes in piece.notes.values()) / piece.duration
    piece.energy = "calm" if density < 9 else "energetic" if density > 22 else "medium"
    return piece


class _Clock:
    """Converts sixteenths to seconds: `time` is exact (with swing), `play` adds timing jitter."""

    def __init__(self, beat: float, beat_steps: int, swing: float, jitter: float, rng: np.random.Generator):
        self.beat, self.beat_steps, self.swing, self.jitter, self.rng = beat, beat_steps, swing, jitter, rng

    def time(self, step: float) -> float:
        beats, phase = divmod(step / self.beat_steps, 1.0)
        if phase < 0.5:
            phase *= 2 * self.swing
        else:
            phase = self.swing + (2 * phase - 1) * (1 - self.swing)
        return (beats + phase) * self.beat

    def play(self, step: float) -> float:
        jitter = np.clip(self.rng.normal(0, self.jitter), -2 * self.jitter, 2 * self.jitter) if self.jitter else 0.0
        return max(0.0, self.time(step) + float(jitter))


def _compose_chords(
    split: str, plain: bool, style: Style, mode: str, num_bars: int, steps: int, rng: np.random.Generator
) -> list[tuple[int, int, Degree]]:
    """[(first step, last step + 1, chord)] in phrases of four bars, in a form such as AABA."""
    free = rng.random() < (0.5 if plain else 0.35)
    half = steps // 2 // 4 * 4
    beats = (4,) * (steps // 4)
    rhythms = [(steps,), (half, steps - half), (2 * steps,), beats]
    weights = (6, 3, 0.7, 0 if plain else 0.4)

    def draw():
        phrase, degree, filled = [], 0 if rng.random() < 0.7 else None, 0
        while filled < 4 * steps:
            for length in _choose(rng, rhythms, weights):
                length = min(length, 4 * steps - filled)
                if length == 0:
                    continue
                if free:
                    chord = _free_chord(plain, rng)
                else:
                    chord, degree = _functional_chord(plain, style, mode, degree, rng)
                if phrase and phrase[-1][1] == chord and free:
                    chord = ((chord[0] + int(rng.integers(1, 12))) % 12, *chord[1:])
                phrase.append((length, chord))
                filled += length
        return tuple(phrase)

    sections = {name: _draw_for(split, draw) for name in "AB"}
    form = _choose(rng, ("AABA", "ABAB", "AABB", "ABBA"))
    timeline, step = [], 0
    for index in range(num_bars // 4):
        for length, chord in sections[form[index % 4]]:
            timeline.append((step, step + length, chord))
            step += length
    return timeline


def _free_chord(plain: bool, rng: np.random.Generator) -> Degree:
    if plain:
        return int(rng.integers(12)), _choose(rng, _PLAIN_FORMS), 0
    form = _choose(rng, tuple(_FORMS), (3, 3, 1, 1, 2, 2, 2, 1, 1, 1))
    return int(rng.integers(12)), form, _invert(form, 0.35, rng)


def _functional_chord(
    plain: bool, style: Style, mode: str, degree: int | None, rng: np.random.Generator
) -> tuple[Degree, int]:
    harmony = _HARMONY[mode]
    if degree is None:
        degree = _choose(rng, tuple(harmony))
    triads, sevenths, following = harmony[degree]
    form = _choose(rng, sevenths if rng.random() < style.sevenths else triads)
    if plain and form not in _PLAIN_FORMS:
        form = _PLAIN_SUBSTITUTES[form]
    bass = 0 if plain else _invert(form, 0.15, rng)
    return (degree, form, bass), _choose(rng, tuple(following), tuple(following.values()))


def follows_key(chords: Sequence[tuple[str, float]], key: str) -> bool:
    """
    Whether all chords belong to the functional harmony of a key. Many pieces have free chords instead, to which their
    `key` does not apply, and a few change the key.
    """
    tonic, mode = key.split()
    for label, _ in chords:
        chord = parse_chord(label)
        degree = chord and (chord.root - NOTES.index(tonic)) % 12
        if degree not in _HARMONY[mode]:
            return False
        triads, sevenths, _ = _HARMONY[mode][degree]
        forms = {*triads, *sevenths}
        forms |= {_PLAIN_SUBSTITUTES[form] for form in forms if form not in _PLAIN_FORMS}
        if chord.intervals not in {frozenset(_FORMS[form]) for form in forms}:
            return False
    return True


def _invert(form: str, probability: float, rng: np.random.Generator) -> int:
    options = _inversions()[form]
    return _choose(rng, options) if options and rng.random() < probability else 0


def _hits(rhythm: str) -> list[tuple[int, int]]:
    """[(step, length)] of the notes in a rhythm of "x", "-" and "."."""
    hits = []
    for step, sign in enumerate(rhythm):
        if sign == "x":
            length = 1
            while step + length < len(rhythm) and rhythm[step + length] == "-":
                length += 1
            hits.append((step, length))
    return hits


def _chord_at(chords: list, step: int) -> int:
    """Index of the chord that sounds at a step."""
    return next(index for index, chord in enumerate(chords) if chord[0] <= step < chord[1])


def _velocity(rng: np.random.Generator, mean: int) -> int:
    return int(np.clip(rng.normal(mean, 6), 20, 127))


def _play_bass(chords: list, pattern: str, steps: int, clock: _Clock, rng: np.random.Generator) -> list[Note]:
    rhythm, tones = _BASS[pattern]
    notes = []
    for index, (start, end, root, form, bass) in enumerate(chords):
        low = 33 + (root + bass - 9) % 12  # A1 ... G#2
        following = chords[index + 1] if index + 1 < len(chords) else chords[0]
        target = 33 + (following[2] + following[4] - 9) % 12
        third, fifth = (_FORMS[form][1], _FORMS[form][2]) if bass == 0 else (0, 12)
        pitches = {"r": low, "f": low + fifth - (12 if low + fifth > 47 else 0), "o": low + 12, "t": low + third}
        pitches["n"] = target + (1 if target < low else -1)
        hits = [
            (bar * steps + step, length, tone)
            for bar in range(start // steps, -(-end // steps))
            for (step, length), tone in zip(_hits(rhythm[:steps]), tones)
            if start <= bar * steps + step < end
        ]
        # Every chord starts on its bass note, regardless of the pattern.
        if not hits or hits[0][0] > start + (0 if pattern not in ("offbeats", "tumbao") else 2):
            hits.insert(0, (start, min(4, end - start), "r"))
        for position, (step, length, tone) in enumerate(hits):
            length = min(length, end - step)
            if position == 0:
                tone = "r"
            elif tone == "n" and step + length < end:
                tone = "f"
            velocity = _velocity(rng, 96)
            notes.append(Note(clock.play(step), clock.time(step + 0.92 * length), pitches[tone], velocity))
    return notes


def _voice(pitch_classes: Sequence[int], center: float) -> list[int]:
    """Places each pitch class in the octave nearest to a center, which stays the same from chord to chord."""
    return sorted(int(round((center - pitch) / 12)) * 12 + pitch for pitch in pitch_classes)


def _play_comp(chords: list, pattern: str, steps: int, clock: _Clock, rng: np.random.Generator) -> list[Note]:
    center = rng.uniform(57, 66)
    spread = 0.012 if pattern in ("strum", "boom-chick") and clock.jitter else 0.0
    notes = []
    for start, end, root, form, _ in chords:
        keys = _voice([(root + interval) % 12 for interval in _FORMS[form]], center)
        if pattern in _ARPEGGIOS:
            every, order = _ARPEGGIOS[pattern]
            keys = [*keys, keys[0] + 12]
            for position, step in enumerate(range(start, end, every)):
                key = keys[order[position % len(order)] % len(keys)]
                finish = clock.time(min(step + 2 * every, end))
                notes.append(Note(clock.play(step), finish, key, _velocity(rng, 84)))
            continue
        hits = [
            (bar * steps + step, length)
            for bar in range(start // steps, -(-end // steps))
            for step, length in _hits(_COMP[pattern][:steps])
            if start <= bar * steps + step < end
        ]
        if not hits:
            hits = [(start, min(4, end - start))]
        for step, length in hits:
            begin, finish = clock.play(step), clock.time(min(step + 0.95 * length, end))
            velocity = _velocity(rng, 84)
            for order, key in enumerate(keys):
                first = begin + order * spread
                notes.append(Note(first, max(finish, first + 0.05), key, velocity))
    return notes


def _play_pad(chords: list, clock: _Clock) -> list[Note]:
    return [
        Note(clock.time(start), clock.time(end) - 0.02, key, 70)
        for start, end, root, form, _ in chords
        for key in _voice([(root + interval) % 12 for interval in _FORMS[form]], 64)
    ]


def _compose_phrase(steps: int, beat_steps: int, busy: float, rng: np.random.Generator) -> tuple:
    """A melodic phrase of two bars: ((step, length, scale steps from the previous note), ...)."""
    lengths = (1, 2, 3, 4, 6, 8)
    weights = np.array([0.3 * busy, 3 * busy, 1, 3, 1, 2 / busy])
    phrase, step = [], int(_choose(rng, (0, 0, 0, 2, beat_steps)))
    last = 2 * steps - int(_choose(rng, (0, 2, 4, 8)))
    while step < last:
        length = int(_choose(rng, lengths, weights))
        if step % 2 and length % 2 == 0:
            length = 1
        length = min(length, last - step)
        if rng.random() < 0.14 and phrase:
            step += length
            continue
        phrase.append((step, length, int(_choose(rng, (-4, -3, -2, -1, 0, 1, 2, 3, 4), (1, 1, 3, 6, 2, 6, 3, 1, 1)))))
        step += length
    return tuple(phrase) or ((0, steps, 0),)


def _play_lead(
    split: str, low: int, chords: list, tonics: list[int], mode: str, num_bars: int, steps: int, beat_steps: int,
    clock: _Clock, rng: np.random.Generator,
) -> list[Note]:  # fmt: skip
    busy = rng.uniform(0.6, 1.8)
    phrases = [_draw_for(split, lambda: _compose_phrase(steps, beat_steps, busy, rng)) for _ in range(3)]
    form = _choose(rng, ((0, 1, 0, 2), (0, 0, 1, 2), (0, 1, 0, 1), (0, None, 1, None)))
    legato = rng.uniform(0.75, 1.0)
    notes: list[Note] = []
    key = low + 9
    for start in range(0, num_bars, 2):
        choice = form[start // 2 % 4]
        if choice is None:
            continue
        for step, length, move in phrases[choice]:
            step += start * steps
            if step >= num_bars * steps:
                break
            length = min(length, num_bars * steps - step)
            _, _, root, chord_form, _ = chords[_chord_at(chords, step)]
            tones = {(root + interval) % 12 for interval in _FORMS[chord_form]}
            strong = step % beat_steps == 0 or length >= 4
            scale = {(tonics[step // steps] + degree) % 12 for degree in _SCALES[mode]}
            # Removes scale tones a semitone below a chord tone, which would clash with chords outside the key.
            allowed = tones if strong else tones | {tone for tone in scale if (tone + 1) % 12 not in tones}
            key = _move(key, move, allowed, low, low + 19)
            begin = clock.play(step)
            if notes and notes[-1].end > begin - 0.005:
                notes[-1] = Note(notes[-1].start, max(begin - 0.005, notes[-1].start + 0.03), *_tone(notes[-1]))
            finish = max(clock.time(step + legato * length), begin + 0.06)
            notes.append(Note(begin, finish, key, _velocity(rng, 98)))
    return notes


def _tone(note: Note) -> tuple[int, int]:
    return note.key, note.velocity


def _move(key: int, move: int, allowed: set[int], low: int, high: int) -> int:
    """Moves by `move` steps among the allowed pitch classes; reverses direction at the limits of the range."""
    keys = [candidate for candidate in range(low, high + 1) if candidate % 12 in allowed]
    nearest = min(range(len(keys)), key=lambda index: (abs(keys[index] - key), index))
    index = nearest + move
    if not 0 <= index < len(keys):
        index = nearest - move
    return keys[min(max(index, 0), len(keys) - 1)]


def _play_drums(
    split: str, style: Style, odd: bool, num_bars: int, steps: int, clock: _Clock, rng: np.random.Generator
) -> list[Note]:
    base = _choose(rng, style.drums)
    groove = dict(_draw_for(split, lambda: _odd_groove(steps, rng) if odd else _vary_groove(base, steps, rng)))
    crash = rng.random() < 0.6
    notes = []
    for bar in range(num_bars):
        is_fill = bar % 4 == 3 and rng.random() < 0.6
        fill_from = steps - int(_choose(rng, (2, 4, 8))) if is_fill else steps
        for name, pattern in groove.items():
            for step, sign in enumerate(pattern[:fill_from]):
                if sign != ".":
                    velocity = _velocity(rng, 104 if sign == "x" else 66)
                    notes.append(_hit(clock, bar * steps + step, gm.DRUM_KEYS[name], velocity))
        if is_fill:
            drums = _choose(rng, (("snare",), ("high tom", "tom", "low tom"), ("snare", "tom", "low tom")))
            for order, step in enumerate(range(fill_from, steps)):
                if rng.random() < 0.75:
                    name = drums[order * len(drums) // (steps - fill_from)]
                    notes.append(_hit(clock, bar * steps + step, gm.DRUM_KEYS[name], _velocity(rng, 98)))
        if crash and bar % 4 == 0:
            notes.append(_hit(clock, bar * steps, gm.DRUM_KEYS["crash"], _velocity(rng, 92)))
    return notes


def _hit(clock: _Clock, step: int, key: int, velocity: int) -> Note:
    start = clock.play(step)
    return Note(start, start + 0.12, key, velocity)


def _odd_groove(steps: int, rng: np.random.Generator) -> tuple[tuple[str, str], ...]:
    """Random hits on some drums: unusual beats that users may nevertheless request."""
    names = [
        "kick",
        *(name for name in ("snare", "hat", "clap", "tom", "rim", "ride", "cowbell") if rng.random() < 0.4),
    ]
    return tuple(
        (name, "".join(_choose(rng, "x.", (share, 1 - share)) for _ in range(steps)))
        for name, share in zip(sorted(names), rng.uniform(0.1, 0.5, len(names)))
    )


def _vary_groove(base: dict[str, str], steps: int, rng: np.random.Generator) -> tuple[tuple[str, str], ...]:
    """A variation of `base`: some soft hits are added, some hits removed, and cymbals replaced."""
    groove = {name: list(pattern.ljust(steps, ".")[:steps]) for name, pattern in base.items()}
    for name, pattern in groove.items():
        for step in range(steps):
            if pattern[step] == "." and rng.random() < (0.05 if name in ("kick", "snare") else 0.03):
                pattern[step] = "o" if name != "kick" else "x"
            elif pattern[step] != "." and step % (steps // 2) and rng.random() < 0.05:
                pattern[step] = "."
    if "hat" in groove and rng.random() < 0.25:
        groove["ride"] = groove.pop("hat")
    elif "hat" in groove and rng.random() < 0.3:
        step = steps - 2
        groove["hat"][step] = "."
        groove["open hat"] = ["x" if position == step else "." for position in range(steps)]
    return tuple((name, "".join(pattern)) for name, pattern in sorted(groove.items()))
