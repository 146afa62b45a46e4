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

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...controls.chord_labels import NOTES
from .harmony import compose_progression, final_chord, label_chord
from .material import choose
from .parts import VOICINGS, Chord, Clock, Note, Setting, play_bass, play_comp, play_drums, play_line, play_pad
from .styles import STYLES, Style


SPLITS = ("train", "validation", "test")
SUBSETS = ("plain", "full")
STEMS = ("drums", "bass", "comp", "pad", "lead")
# Forms of clips, and their shares. The phrases for them are in `words.FORMS`.
FORMS = {"steady": 0.6, "intro": 0.1, "ending": 0.1, "build": 0.1, "quiet to loud": 0.1}

# Seconds by which pieces are longer than clips.
_MARGIN = 8.0
# Clips with another form than "steady" last at least this many bars.
_MIN_BARS = 2.25


@dataclass
class Piece:
    """
    A piece, with times in seconds from its beginning. `programs` maps stems to General MIDI programs, `patterns` bass
    and comp to the names of their patterns; `form` is one of those in [`~data.synthetic.words`], if it is known. Clips
    that start between the two times `starts` have this form.
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
    starts: tuple[float, float] = (0.0, 0.0)


@dataclass
class _Plan:
    """
    The course of a piece in bars: number of bars before its end, number of bars of its end, first and last start of a
    clip, bar in which stems enter, and levels: [(bar, factor of the velocities)].
    """

    form: str
    num_bars: int
    num_last_bars: int
    starts: tuple[float, float]
    entries: dict[str, int] = field(default_factory=dict)
    levels: list[tuple[float, float]] = field(default_factory=list)


def compose(split: str, subset: str, rng: np.random.Generator, duration: float, form: str = "steady") -> Piece:
    r"""
    Composes a piece for a clip of `duration` seconds.

    Args:
        split (`str`): `"train"`, `"validation"` or `"test"`; determines which progressions, grooves and phrases may be
            used.
        subset (`str`): `"plain"` (six chord types in root position, 4/4, no swing, no timing jitter, no key changes)
            or `"full"` (no such limits).
        rng (`np.random.Generator`): source of all random choices.
        duration (`float`): duration of the clip in seconds. The piece is at least 8 seconds longer, unless it ends.
        form (`str`): one of `FORMS`. The piece is `"steady"` if the clip is too short for another form.
    """
    plain = subset == "plain"
    style = choose(rng, [style for style in STYLES if not plain or "4/4" in style.time_signatures])
    time_signature = "4/4" if plain else choose(rng, style.time_signatures)
    steps = 16 if time_signature == "4/4" else 12
    beat_steps = 6 if time_signature == "6/8" else 4
    tempo = float(np.round(rng.uniform(*style.tempo), 1))
    swing = 0.5 if plain else style.swing
    seconds_per_bar = steps / beat_steps * 60 / tempo
    mode = "minor" if rng.random() < style.minor else "major"
    tonic = int(rng.integers(12))
    clock = Clock(60 / tempo, beat_steps, swing, 0.0 if plain else 0.006, rng)

    stems = [stem for stem, share in (("drums", style.drummed), ("pad", 0.4), ("lead", 0.88)) if rng.random() < share]
    stems = [stem for stem in STEMS if stem in (*stems, "bass", "comp")]
    plan = _make_plan(form, duration, seconds_per_bar, stems, rng)
    num_bars, num_steps = plan.num_bars, plan.num_bars * steps
    last_step = (num_bars + plan.num_last_bars) * steps

    tonics = [tonic] * (num_bars + plan.num_last_bars)
    if not plain and num_bars >= 8 and rng.random() < 0.12:
        change = 4 * int(rng.integers(1, num_bars // 4))
        tonics[change:] = [(tonic + choose(rng, (1, 2, 3, 5, 10))) % 12] * (len(tonics) - change)
    ends = plan.form == "ending"
    progression = compose_progression(split, plain, style, mode, num_bars, steps, beat_steps, ends, rng)
    if ends:
        # The final chord is held for at least a bar.
        held = int(choose(rng, (steps, steps + steps // 2, 2 * steps)))
        progression.append((num_steps, num_steps + held, final_chord(plain, style, mode, rng)))
    chords = [
        Chord(start, end, (tonics[start // steps] + offset) % 12, kind, bass)
        for start, end, (offset, kind, bass) in progression
    ]
    timeline: list[tuple[str, float]] = []
    for chord in chords:
        label = label_chord(chord.root, chord.form, chord.bass)
        if not timeline or timeline[-1][0] != label:
            timeline.append((label, clock.time(chord.start)))
    if chords[-1].end < last_step:
        timeline.append(("N", clock.time(chords[-1].end)))

    piece = Piece(
        style=style,
        subset=subset,
        key=f"{NOTES[tonic]} {mode}",
        tempo=tempo,
        time_signature=time_signature,
        swing=swing,
        duration=last_step / steps * seconds_per_bar,
        chords=timeline,
        beats=[clock.time(step) for step in range(0, last_step, beat_steps)],
        downbeats=[clock.time(step) for step in range(0, last_step, steps)],
        programs={},
        form=plan.form,
        starts=(plan.starts[0] * seconds_per_bar, plan.starts[1] * seconds_per_bar),
    )
    setting = Setting(split, style, chords, tonics, mode, num_bars, steps, beat_steps, clock, rng)
    _play(piece, stems, setting, plan)
    density = sum(len(notes) for notes in piece.notes.values()) / piece.duration
    piece.energy = "calm" if density < 9 else "energetic" if density > 22 else "medium"
    piece.notes = {stem: _arrange(notes, plan, stem, seconds_per_bar) for stem, notes in piece.notes.items()}
    return piece


def _make_plan(form: str, duration: float, bar: float, stems: Sequence[str], rng: np.random.Generator) -> _Plan:
    """The course of a piece with bars of `bar` seconds, so that a clip of `duration` seconds has the form."""
    clip = duration / bar
    # The comp plays from the beginning. Drums and lead enter last.
    early = [stem for stem in ("bass", "pad") if stem in stems]
    late = [stem for stem in ("drums", "lead") if stem in stems]
    rng.shuffle(early)
    rng.shuffle(late)
    order = early + late

    def whole_phrases(bars: float) -> int:
        return 4 * math.ceil(bars / 4 - 1e-9)

    def enter_until(bars: float) -> dict[str, int]:
        return {stem: math.ceil(bars * (index + 1) / len(order)) for index, stem in enumerate(order)}

    num_bars = whole_phrases(clip + _MARGIN / bar)
    if clip < _MIN_BARS:
        form = "steady"
    if form == "intro":
        entries = enter_until(next(bars for bars in (4, 2, 1) if bars <= 0.45 * clip))
        if len(order) > 1 and entries[order[0]] == entries[order[-1]]:
            entries[order[0]] = 0
        return _Plan(form, num_bars, 0, (0, 0), entries)
    if form == "ending":
        num_bars = whole_phrases(clip)
        # At least one bar before the last chord, and one bar of it.
        return _Plan(form, num_bars, 2, (num_bars + 1 - clip, min(num_bars + 2 - clip, num_bars - 1)))
    if form == "build":
        # Drums enter early, as they carry the beat.
        order.sort(key=lambda stem: stem != "drums")
        last = math.ceil(clip) + 1
        return _Plan(form, num_bars, 0, (0, 1), enter_until(0.5 * last), [(0, 0.6), (last, 1.1)])
    if form == "quiet to loud":
        change = whole_phrases(0.25 * clip)
        options = [stem for stem in ("pad", *late) if stem in stems] or ["bass"]
        absent = [stem for stem in options if rng.random() < 0.6] or [choose(rng, options)]
        num_bars = whole_phrases(change + 0.75 * clip)
        starts = max(0.0, change - 0.75 * clip), change - 0.25 * clip
        return _Plan(form, num_bars, 0, starts, dict.fromkeys(absent, change), [(change - 0.1, 0.6), (change, 1.05)])
    return _Plan(form, num_bars, 0, (0, num_bars - clip))


def _play(piece: Piece, stems: Sequence[str], setting: Setting, plan: _Plan):
    """Chooses instruments, and plays the parts."""
    rng, style = setting.rng, setting.style
    plain = piece.subset == "plain"
    bass_bar = plan.entries.get("bass", 0)
    voicing = choose(rng, VOICINGS, (5, 2, 2, 1 if style.sevenths >= 0.5 and bass_bar == 0 else 0))
    programs = {
        "drums": (style.kit,),
        "bass": style.bass_programs,
        "comp": style.comp_programs,
        "pad": style.pad_programs,
        "lead": style.lead_programs,
    }
    piece.programs = {stem: choose(rng, programs[stem]) for stem in stems}
    piece.patterns = {"bass": choose(rng, style.bass), "comp": choose(rng, style.comp)}
    # A softer melody below the lead, in addition to the chords or, in half of the pads, instead of them.
    counter = "pad" if "pad" in stems and rng.random() < 0.4 else "comp" if rng.random() < 0.06 else None

    def play_counter() -> list[Note]:
        return play_line(setting, int(rng.integers(45, 52)), 0.35, 74)

    parts: dict[str, Callable[[], list[Note]]] = {
        "drums": lambda: play_drums(setting, odd=not plain and rng.random() < 0.15),
        "bass": lambda: play_bass(setting, piece.patterns["bass"]),
        "comp": lambda: play_comp(setting, piece.patterns["comp"], voicing, bass_bar),
        "pad": lambda: play_pad(setting, choose(rng, ("close", "close", "open"))),
        # Requested melodies may be in any register, regardless of the instrument.
        "lead": lambda: play_line(
            setting,
            int(rng.integers(43, 77) if not plain and rng.random() < 0.3 else rng.integers(55, 68)),
            rng.uniform(0.6, 1.8),
            98,
            plan.entries.get("lead", 0),
        ),
    }
    for stem in stems:
        notes = parts[stem]() if stem != "pad" or counter != "pad" or rng.random() < 0.5 else []
        piece.notes[stem] = notes + (play_counter() if counter == stem else [])


def _arrange(notes: list[Note], plan: _Plan, stem: str, bar: float) -> list[Note]:
    """Lets a stem enter, and scales its velocities. Notes that are held when it enters start there."""
    entry = plan.entries.get(stem, 0) * bar
    if entry:
        notes = [
            note if note.start >= entry - 0.03 else replace(note, start=entry)
            for note in notes
            if note.start >= entry - 0.03 or note.end > entry + 0.25
        ]
    if plan.levels:
        bars, levels = zip(*plan.levels)
        factors = np.interp([note.start / bar + 0.01 for note in notes], bars, levels)
        if stem == "drums":
            # Soft hits would hardly be audible.
            factors = factors**0.35
        notes = [
            replace(note, velocity=int(np.clip(note.velocity * factor, 20, 127)))
            for note, factor in zip(notes, factors)
        ]
    return notes
