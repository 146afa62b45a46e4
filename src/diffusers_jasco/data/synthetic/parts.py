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


"""Plays the parts of a piece: bass, accompaniment, lines and drums."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import instruments as gm
from .harmony import CHORD_TYPES, SCALES
from .material import choose, draw_for
from .styles import Style


# Bass and accompaniment rhythms of one bar in sixteenths; 3/4 and 6/8 use the first twelve. "x" starts a note, "-"
# holds it, "." is a rest.
BASS: dict[str, tuple[str, str]] = {
    # name: (rhythm, chord tones: r root, f fifth, o octave, t third, n approach to the next chord)
    "roots": ("x-------x-------", "rr"),
    "fifths": ("x-------x-------", "rf"),
    "eighths": ("x-x-x-x-x-x-x-x-", "rrrrrrrr"),
    "octaves": ("x-x-x-x-x-x-x-x-", "rorororo"),
    "sixteenths": ("xxxxxxxxxxxxxxxx", "rrorrrorrrorrror"),
    "offbeats": ("..x-..x-..x-..x-", "rrrr"),
    "syncopated": ("x--x--x---x-x---", "rrorf"),
    "gallop": ("x-xxx-xxx-xxx-xx", "rrrrrrrrrrrr"),
    "bossa": ("x-----x-x-----x-", "rrff"),
    "funk": ("x--x..x...x-.xx.", "rrorfr"),
    "reggae": ("x---..x-x---x-..", "rrft"),
    "tumbao": ("......x-----x---", "fr"),
}
COMP: dict[str, str] = {
    # Rhythms of block chords; for broken chords see `ARPEGGIOS`.
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
ARPEGGIOS: dict[str, tuple[int, tuple[int, ...]]] = {
    # name: (sixteenths per note, order of the chord's notes)
    "arpeggio": (2, (0, 1, 2, 3, 2, 1)),
    "alberti": (2, (0, 2, 1, 2)),
    "travis": (2, (0, 2, 1, 3)),
}
# How the tones of a chord are spread.
VOICINGS = ("close", "open", "drop-2", "rootless")

# Loud, soft and ghost notes of grooves.
_DRUM_VELOCITIES = {"x": 104, "o": 66, "g": 56}
_FILLS = (
    ("snare",),
    ("high tom", "tom", "low tom"),
    ("snare", "tom", "low tom"),
    ("snare", "high tom", "snare", "low tom"),
    ("low tom", "tom", "high tom"),
    ("kick", "snare"),
)


@dataclass(frozen=True)
class Note:
    """A note: `start` and `end` in seconds, MIDI note number `key`, and `velocity` 1 ... 127."""

    start: float
    end: float
    key: int
    velocity: int


class Clock:
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


@dataclass(frozen=True)
class Chord:
    """A chord from step `start` to `end`: root 0 ... 11, type, and bass in semitones from the root."""

    start: int
    end: int
    root: int
    form: str
    bass: int

    @property
    def tones(self) -> list[int]:
        """Pitch classes, from the root."""
        return [(self.root + interval) % 12 for interval in CHORD_TYPES[self.form]]

    @property
    def lowest(self) -> int:
        """Pitch class of the bass."""
        return (self.root + self.bass) % 12


@dataclass(frozen=True)
class Setting:
    r"""
    The properties that all parts of a piece share.

    Args:
        split (`str`): split of the phrases and grooves.
        style (`Style`): style.
        chords (`list[Chord]`): chords without gaps. Those from bar `num_bars` on are held: they end the piece.
        tonics (`list[int]`): tonic of each bar.
        mode (`str`): `"major"` or `"minor"`.
        num_bars (`int`): number of bars before the end.
        steps, beat_steps (`int`): sixteenths per bar and per beat.
        clock (`Clock`): converts steps to seconds.
        rng (`np.random.Generator`): source of all random choices.
    """

    split: str
    style: Style
    chords: list[Chord]
    tonics: list[int]
    mode: str
    num_bars: int
    steps: int
    beat_steps: int
    clock: Clock
    rng: np.random.Generator

    def velocity(self, step: int, mean: int) -> int:
        """A velocity with the accents of the bar, and a swell over each phrase of four bars."""
        accent = 4 if step % self.steps == 0 else 1 if step % self.beat_steps == 0 else -3
        swell = 5 * np.sin(np.pi * (step / self.steps % 4) / 4) - 2
        return int(np.clip(self.rng.normal(mean + accent + swell, 5), 20, 127))

    def is_held(self, chord: Chord) -> bool:
        return chord.start >= self.num_bars * self.steps

    def chord_at(self, step: int) -> Chord:
        return self.chords[bisect.bisect_right(self.chords, step, key=lambda chord: chord.start) - 1]

    def scale(self, step: int, tones: set[int]) -> set[int]:
        """Tones and scale, without scale tones a semitone below a tone, which would clash with chords outside the key."""
        scale = {(self.tonics[step // self.steps] + degree) % 12 for degree in SCALES[self.mode]}
        return tones | {tone for tone in scale if (tone + 1) % 12 not in tones}

    def hits(self, chord: Chord, rhythm: str) -> list[tuple[int, int, int]]:
        """[(step, length, number in the bar)] of the notes of a bar's rhythm of "x", "-" and "." during a chord."""
        if self.is_held(chord):
            return [(chord.start, chord.end - chord.start, 0)]
        return [
            (bar * self.steps + step, length, number)
            for bar in range(chord.start // self.steps, -(-chord.end // self.steps))
            for number, (step, length) in enumerate(_hits(rhythm[: self.steps]))
            if chord.start <= bar * self.steps + step < chord.end
        ]


def _hits(rhythm: str) -> list[tuple[int, int]]:
    hits = []
    for step, sign in enumerate(rhythm):
        if sign == "x":
            length = 1
            while step + length < len(rhythm) and rhythm[step + length] == "-":
                length += 1
            hits.append((step, length))
    return hits


def play_bass(setting: Setting, pattern: str) -> list[Note]:
    """The bass. Every chord starts on its bass note, which is up to two sixteenths late in offbeat patterns."""
    if pattern == "walking":
        return _walk(setting)
    clock = setting.clock
    rhythm, tones = BASS[pattern]
    notes = []
    for chord in setting.chords:
        low = 33 + (chord.lowest - 9) % 12  # A1 ... G#2
        third, fifth = CHORD_TYPES[chord.form][1:3] if chord.bass == 0 else (0, 12)
        pitches = {"r": low, "f": low + fifth - (12 if low + fifth > 47 else 0), "o": low + 12, "t": low + third}
        hits = [(step, length, tones[number]) for step, length, number in setting.hits(chord, rhythm)]
        if not hits or hits[0][0] > chord.start + (0 if pattern not in ("offbeats", "tumbao") else 2):
            hits.insert(0, (chord.start, min(4, chord.end - chord.start), "r"))
        for position, (step, length, tone) in enumerate(hits):
            length = min(length, chord.end - step)
            key = pitches[tone if position else "r"]
            notes.append(Note(clock.play(step), clock.time(step + 0.92 * length), key, setting.velocity(step, 96)))
    return notes


def _walk(setting: Setting) -> list[Note]:
    """A walking bass: one note per beat, from the bass of a chord by scale to a tone next to the following bass."""
    rng, clock, beat = setting.rng, setting.clock, setting.beat_steps
    chords = setting.chords
    low, high = 30, 51
    notes: list[Note] = []
    key = 38
    for index, chord in enumerate(chords):
        key = _nearest(chord.lowest, key, low, high)
        if setting.is_held(chord):
            notes.append(_bass_note(setting, chord.start, chord.end - chord.start, key))
            continue
        target = _nearest(chords[(index + 1) % len(chords)].lowest, key, low, high)
        tones = set(chord.tones)
        scale = setting.scale(chord.start, tones)
        size = max(1, (chord.end - chord.start) // beat)
        for position in range(size):
            step = chord.start + position * beat
            if position == size - 1 and position:
                approaches = [
                    target + move for move in (-1, 1, -2, 2) if abs(move) == 1 or (target + move) % 12 in scale
                ]
                key = choose(rng, [approach for approach in approaches if approach != key])
            elif position:
                # Chord tones are preferred, on the third beat more than on the second.
                goal = key + (target - key) / (size - position) + rng.choice((-4, -2, 2, 4))
                options = [option for option in range(max(low, key - 5), min(high, key + 5) + 1)
                           if option % 12 in scale and option != key]  # fmt: skip
                costs = [abs(option - goal) + (0 if option % 12 in tones else 3 - position % 2) for option in options]
                key = options[int(np.argmin(costs))]
            notes.append(_bass_note(setting, step, min(beat, chord.end - step), key))
            if beat == 4 and rng.random() < 0.06:
                # A short, soft note before the next beat.
                start = clock.play(step + 2)
                notes.append(Note(start, clock.time(step + 3), key, setting.velocity(step + 2, 66)))
    return notes


def _bass_note(setting: Setting, step: int, length: int, key: int) -> Note:
    clock = setting.clock
    return Note(clock.play(step), clock.time(step + 0.92 * length), key, setting.velocity(step, 96))


def _nearest(pitch: int, key: int, low: int, high: int) -> int:
    """The key of a pitch class between `low` and `high` that is nearest to `key`."""
    return min(
        (option for option in range(low, high + 1) if option % 12 == pitch), key=lambda option: abs(option - key)
    )


def _voice(chords: Sequence[Chord], voicing: str, center: float) -> list[list[int]]:
    """The keys of each chord, in the inversion nearest to the previous chord and to the center."""
    voiced: list[list[int]] = []
    for chord in chords:
        tones = chord.tones
        if voicing == "rootless" and len(tones) == 4 and chord.bass == 0:
            tones = tones[1:]
        options = [option for rotation in range(len(tones)) for option in _spread(tones, rotation, voicing, center)]
        previous = voiced[-1] if voiced else None
        voiced.append(min(options, key=lambda keys: _voicing_cost(keys, previous, center)))
    return voiced


def _spread(tones: list[int], rotation: int, voicing: str, center: float) -> list[list[int]]:
    """An inversion in the octaves around the center."""
    keys = [tones[rotation]]
    for tone in tones[rotation + 1 :] + tones[:rotation]:
        keys.append(keys[-1] + (tone - keys[-1]) % 12)
    if voicing == "open":
        keys[1::2] = [key + 12 for key in keys[1::2]]
    elif voicing == "drop-2":
        keys[-2] -= 12
    octave = round((center - sum(keys) / len(keys)) / 12)
    return [sorted(key + 12 * (octave + shift) for key in keys) for shift in (-1, 0, 1)]


def _voicing_cost(keys: list[int], previous: list[int] | None, center: float) -> float:
    cost = 0.7 * abs(sum(keys) / len(keys) - center)
    if previous is not None:
        # Counted from the top, because the top voice is the most prominent.
        moves = [abs(key - other) for key, other in zip(reversed(keys), reversed(previous))]
        cost += sum(moves) / len(moves)
    return cost


def play_comp(setting: Setting, pattern: str, voicing: str, bass_bar: int) -> list[Note]:
    """Block or broken chords, with the bass notes of the chords before the bass enters in bar `bass_bar`."""
    clock, rng = setting.clock, setting.rng
    # Wide voicings are lower, so that their top voice stays below the lead.
    center = rng.uniform(57, 66) - {"open": 4, "drop-2": 3}.get(voicing, 0)
    spread = 0.012 if pattern in ("strum", "boom-chick") and clock.jitter else 0.0
    notes = []
    for chord, keys in zip(setting.chords, _voice(setting.chords, voicing, center)):
        if chord.start < bass_bar * setting.steps:
            keys = [_nearest(chord.lowest, keys[0] - 7, keys[0] - 13, keys[0] - 1), *keys]
        if pattern in ARPEGGIOS and not setting.is_held(chord):
            every, order = ARPEGGIOS[pattern]
            keys = [*keys, min(keys[0] + 12 * (1 + (keys[-1] - keys[0]) // 12), 84)]
            for position, step in enumerate(range(chord.start, chord.end, every)):
                key = keys[order[position % len(order)] % len(keys)]
                finish = clock.time(min(step + 2 * every, chord.end))
                notes.append(Note(clock.play(step), finish, key, setting.velocity(step, 84)))
            continue
        hits = setting.hits(chord, COMP.get(pattern, "")) or [(chord.start, min(4, chord.end - chord.start), 0)]
        for step, length, _ in hits:
            begin, finish = clock.play(step), clock.time(min(step + 0.95 * length, chord.end))
            velocity = setting.velocity(step, 84)
            for number, key in enumerate(keys):
                first = begin + number * spread
                notes.append(Note(first, max(finish, first + 0.05), key, velocity))
    return notes


def play_pad(setting: Setting, voicing: str) -> list[Note]:
    """Held chords."""
    clock = setting.clock
    return [
        Note(clock.time(chord.start), clock.time(chord.end) - 0.02, key, 70)
        for chord, keys in zip(setting.chords, _voice(setting.chords, voicing, 64))
        for key in keys
    ]


def _compose_phrase(steps: int, beat_steps: int, busy: float, rng: np.random.Generator) -> tuple:
    """A melodic phrase of two bars: ((step, length, scale steps from the previous note), ...)."""
    lengths = (1, 2, 3, 4, 6, 8)
    weights = np.array([0.3 * busy, 3 * busy, 1, 3, 1, 2 / busy])
    phrase: list[tuple[int, int, int]] = []
    step = int(choose(rng, (0, 0, 0, 2, beat_steps)))
    last = 2 * steps - int(choose(rng, (0, 2, 4, 8)))
    while step < last:
        length = int(choose(rng, lengths, weights))
        if step % 2 and length % 2 == 0:
            length = 1
        length = min(length, last - step)
        if rng.random() < 0.14 and phrase:
            step += length
            continue
        phrase.append((step, length, int(choose(rng, (-4, -3, -2, -1, 0, 1, 2, 3, 4), (1, 1, 3, 6, 2, 6, 3, 1, 1)))))
        step += length
    return tuple(phrase) or ((0, steps, 0),)


def play_line(setting: Setting, low: int, busy: float, mean_velocity: int, first_bar: int = 0) -> list[Note]:
    r"""
    A monophonic melody from `first_bar` on.

    Args:
        setting (`Setting`): the piece.
        low (`int`): lowest key; the highest is 19 semitones above.
        busy (`float`): density of notes, about 0.3 ... 2.
        mean_velocity (`int`): mean velocity.
        first_bar (`int`): bar of the first phrase.
    """
    rng, clock, steps = setting.rng, setting.clock, setting.steps
    phrases = [draw_for(setting.split, lambda: _compose_phrase(steps, setting.beat_steps, busy, rng)) for _ in "ABC"]
    form = choose(rng, ((0, 1, 0, 2), (0, 0, 1, 2), (0, 1, 0, 1), (0, None, 1, None)))
    legato = rng.uniform(0.75, 1.0)
    notes: list[Note] = []
    end = setting.num_bars * steps
    key = low + 9

    def play(step: int, length: float, move: int, allowed: set[int]) -> int:
        new = _move(key, move, allowed, low, low + 19)
        begin = clock.play(step)
        if notes and notes[-1].end > begin - 0.005:
            last = notes[-1]
            notes[-1] = Note(last.start, max(begin - 0.005, last.start + 0.03), last.key, last.velocity)
        finish = max(clock.time(step + length), begin + 0.06)
        notes.append(Note(begin, finish, new, setting.velocity(step, mean_velocity)))
        return new

    for number, bar in enumerate(range(first_bar, setting.num_bars, 2)):
        choice = form[number % 4]
        for step, length, move in phrases[choice] if choice is not None else ():
            step += bar * steps
            if step >= end:
                break
            length = min(length, end - step)
            tones = set(setting.chord_at(step).tones)
            is_strong = step % setting.beat_steps == 0 or length >= 4
            key = play(step, legato * length, move, tones if is_strong else setting.scale(step, tones))
    for chord in setting.chords:
        if setting.is_held(chord):
            key = play(chord.start, chord.end - chord.start, 0, set(chord.tones))
    return notes


def _move(key: int, move: int, allowed: set[int], low: int, high: int) -> int:
    """Moves by `move` steps among the allowed pitch classes; reverses direction at the limits of the range."""
    keys = [candidate for candidate in range(low, high + 1) if candidate % 12 in allowed]
    nearest = min(range(len(keys)), key=lambda index: (abs(keys[index] - key), index))
    index = nearest + move
    if not 0 <= index < len(keys):
        index = nearest - move
    return keys[min(max(index, 0), len(keys) - 1)]


def play_drums(setting: Setting, odd: bool) -> list[Note]:
    """A groove with fills at the ends of phrases of four and eight bars. Before the end of a piece, there is a fill."""
    rng, steps, style = setting.rng, setting.steps, setting.style
    base = choose(rng, style.drums)
    groove = dict(draw_for(setting.split, lambda: _odd_groove(steps, rng) if odd else _vary_groove(base, steps, rng)))
    crash = rng.random() < 0.6
    ends = setting.is_held(setting.chords[-1])
    notes = []

    def hit(step: int, name: str, mean_velocity: float):
        start = setting.clock.play(step)
        notes.append(Note(start, start + 0.12, gm.DRUM_KEYS[name], setting.velocity(step, round(mean_velocity))))

    for bar in range(setting.num_bars):
        first = bar * steps
        fill_from = steps - _fill_length(setting, bar, ends)
        for name, pattern in groove.items():
            for step, sign in enumerate(pattern[:fill_from]):
                if sign != ".":
                    hit(first + step, name, _DRUM_VELOCITIES[sign])
        if fill_from < steps:
            drums = choose(rng, _FILLS)
            every = choose(rng, (1, 1, 2)) if steps - fill_from > 2 else 1
            for step in range(fill_from, steps, every):
                if rng.random() < 0.8:
                    share = (step - fill_from) / (steps - fill_from)
                    hit(first + step, drums[int(share * len(drums))], 84 + 24 * share)
        if crash and bar % 4 == 0:
            hit(first, "crash", 92)
    if ends and rng.random() < 0.7:
        for name in ("kick", "crash"):
            hit(setting.num_bars * steps, name, 100)
    return notes


def _fill_length(setting: Setting, bar: int, ends: bool) -> int:
    """Sixteenths of the fill at the end of a bar, 0 without one."""
    rng, steps = setting.rng, setting.steps
    if bar % 8 == 7 or (ends and bar == setting.num_bars - 1):
        return choose(rng, (4, 8, steps), (3, 3, 1)) if ends or rng.random() < 0.85 else 0
    if bar % 4 == 3 and rng.random() < 0.5:
        return choose(rng, (2, 4, 8), (2, 2, 1))
    return 0


def _odd_groove(steps: int, rng: np.random.Generator) -> tuple[tuple[str, str], ...]:
    """Random hits on some drums: unusual beats that users may nevertheless request."""
    names = [
        "kick",
        *(name for name in ("snare", "hat", "clap", "tom", "rim", "ride", "cowbell") if rng.random() < 0.4),
    ]
    return tuple(
        (name, "".join(choose(rng, "x.", (share, 1 - share)) for _ in range(steps)))
        for name, share in zip(sorted(names), rng.uniform(0.1, 0.5, len(names)))
    )


def _vary_groove(base: dict[str, str], steps: int, rng: np.random.Generator) -> tuple[tuple[str, str], ...]:
    """A variation of `base`: some soft hits and ghost notes are added, some hits removed, and cymbals replaced."""
    groove = {name: list(pattern.ljust(steps, ".")[:steps]) for name, pattern in base.items()}
    for name, pattern in groove.items():
        for step in range(steps):
            if pattern[step] == "." and rng.random() < (0.05 if name in ("kick", "snare") else 0.03):
                pattern[step] = "o" if name != "kick" else "x"
            elif pattern[step] != "." and step % (steps // 2) and rng.random() < 0.05:
                pattern[step] = "."
    if "snare" in groove and rng.random() < 0.15:
        snare = groove["snare"]
        for step in range(1, steps, 2):
            if snare[step] == "." and rng.random() < 0.15:
                snare[step] = "g"
    if "hat" in groove and rng.random() < 0.25:
        groove["ride"] = groove.pop("hat")
    elif "hat" in groove and rng.random() < 0.3:
        step = steps - 2
        groove["hat"][step] = "."
        groove["open hat"] = ["x" if position == step else "." for position in range(steps)]
    return tuple((name, "".join(pattern)) for name, pattern in sorted(groove.items()))
