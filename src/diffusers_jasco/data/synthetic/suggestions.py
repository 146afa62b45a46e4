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

"""Suggests lead sheets in the style that words name, by the composer of the synthetic music."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count, islice
from typing import Any

import numpy as np
from diffusers.utils import logging

from ...controls.chord_labels import NOTES
from ...controls.chord_syntax import is_no_chord, parse_chord
from ...controls.lead_sheet import LeadSheet, Section, TimeSignature, bars_from_timeline
from ...controls.lead_sheet.keys import transpose_chord
from ...controls.midi_drums import DRUM_VOICES
from ...utils.errors import InputError, list_names, shorten
from ...utils.numbers import to_integer
from ...utils.seeding import derive_seed
from .harmony import SCALES, Degree, Phrase, compose_blues, compose_functional, label_chord
from .material import choose
from .parts import Chord, Clock, Setting, play_drums, play_line
from .prompts import Description, read_words
from .styles import STYLES, Style


logger = logging.get_logger(__name__)

MAX_BARS = 10_000
# Material of this split is in no training data of the models that were trained on synthetic music.
_SPLIT = "validation"
_STEP = Fraction(1, 4)  # quarter notes per sixteenth
_PHRASE = 4  # bars
_SWINGING = 0.6  # styles swing from this position of the second half of a beat on
_HARDLY_DRUMMED = 0.3  # probability of drums in a style, below which they are only suggested if the words name them
_LOUD = 104  # velocity of a loud hit, as in `parts`
_CANDIDATES = 8  # phrases among which the words choose that with the fewest or the most chords
_LINES = 3  # melodies, of which the first one with at least so many notes per bar is used, or the one with the most
_ENOUGH_NOTES = 1.5
# Order of the sections, repeated.
_FORMS = ("ABAB", "ABAC", "AABA")
# Keys whose usual spelling differs from that of the labels of their chords.
_KEY_NAMES = {(1, "major"): "Db", (1, "minor"): "C#", (8, "minor"): "G#"}
# Styles whose grooves are used in time signatures that a style does not have.
_METER_STYLES = {"3/4": "waltz", "6/8": "slow 6/8 soul", "4/4": "ballad"}
_TEMPO_WIDTH = (
    10.0  # beats per minute; part of the range of "slow", "fast", ... that is nearest to a style outside of it
)

# Lowest note of the melody, the range of which is 19 semitones, by words for instruments and registers.
_LOWEST_NOTES = {
    "low": 45, "middle": 57, "high": 69,
    "piccolo": 72, "glockenspiel": 74, "music box": 72, "recorder": 69, "flute": 67, "pan flute": 64,
    "violin": 62, "fiddle": 60, "viola": 52, "cello": 45, "oboe": 62, "clarinet": 55, "harmonica": 60,
    "trumpet": 57, "trombone": 45, "french horns": 48, "horns": 50, "tuba": 43, "accordion": 57,
    "soprano saxophone": 60, "alto saxophone": 54, "tenor saxophone": 50, "saxophone": 54, "sax": 54,
    "vibraphone": 60, "vibes": 60, "marimba": 57, "banjo": 57, "guitar": 52, "acoustic guitar": 52,
    "nylon guitar": 52, "classical guitar": 52, "jazz guitar": 52, "electric guitar": 55,
}  # fmt: skip
# Density of notes of the melody for `parts.play_line`.
_BUSY = {"long": (0.5, 0.7), "mixed": (0.8, 1.2), "short": (1.5, 1.9)}
_BUSY |= {"calm": (0.6, 0.9), "medium": (0.8, 1.3), "energetic": (1.0, 1.6)}


def suggest_lead_sheet(words: str, bars: int = 8, seed: int = 0) -> LeadSheet:
    r"""
    Suggests a chord progression, drums and a melody in the style that words name, composed as the synthetic music is.

    The words may name a style, a genre or a scene, a tempo ("slow", "120 bpm"), a key or a mode ("in E flat minor", "sad"), a
    time signature ("waltz", "6/8"), a feel ("swing"), the instrument of the melody, and what is left out ("no drums", "no
    melody"). The rest is random, and the same for the same words and seed. More bars only continue a sheet: sections of eight
    bars (twelve for a blues) are named A, B and C, and repeated.

    Args:
        words (`str`): description of the music; the prompt of the sheet.
        bars (`int`, defaults to `8`): number of bars, from 1 to 10,000.
        seed (`int`, defaults to `0`): random seed.

    Returns:
        [`~controls.lead_sheet.LeadSheet`]: with tempo, key, time signature, swing, title, prompt, and named sections.

    Raises:
        [`~inputs.InputError`]: if `words` is not text, or a number is out of range.

    Example:

    ```py
    >>> from diffusers_jasco.data import suggest_lead_sheet

    >>> sheet = suggest_lead_sheet("slow bossa nova with flute", bars=8)
    >>> audio = pipe(**sheet.to_controls()).audios[0]
    ```
    """
    description = describe_words(words)
    bars = to_integer(bars, "bars", minimum=1, maximum=MAX_BARS)
    return compose_sheet(choose_setting(description, seed), words, bars)


def describe_words(words: str) -> Description:
    """Reads words as [`suggest_lead_sheet`] does. Warns if they name no style, or an unknown time signature."""
    if not isinstance(words, str):
        raise InputError(f"`words` has to be text, such as 'slow bossa nova', but is {shorten(words)}.", "words")
    description = read_words(words)
    if not description.is_named:
        known = ", ".join(f"'{phrase}'" for phrase in description.understood) or "nothing"
        logger.warning(
            f"{shorten(words)} names no style that can be composed, so {description.style.name} is suggested; understood:"
            f" {known}. Styles: {list_names([style.name for style in STYLES], len(STYLES))}."
        )
    if description.unsupported_meter:
        logger.warning(
            f"The time signature {description.unsupported_meter} can't be composed: 4/4, 3/4 and 6/8 can. It is ignored."
        )
    return description


@dataclass(frozen=True)
class SheetSetting:
    r"""
    Properties that all bars of a suggestion share.

    Args:
        description ([`Description`]): the words.
        style ([`Style`]): the style, with the drums and the share of sevenths that the words name.
        tempo (`float`): beats per minute. A beat of 6/8 is a dotted quarter.
        time_signature (`str`): `"4/4"`, `"3/4"` or `"6/8"`.
        tonic (`int`): 0 ... 11.
        mode (`str`): `"major"` or `"minor"`.
        swing (`bool`): whether eighths are swung.
        is_blues (`bool`): whether the chords are those of a twelve-bar blues.
        seed (`int`): random seed.
    """

    description: Description
    style: Style
    tempo: float
    time_signature: str
    tonic: int
    mode: str
    swing: bool
    is_blues: bool
    seed: int

    @property
    def steps(self) -> int:
        """Sixteenths per bar."""
        return 16 if self.time_signature == "4/4" else 12

    @property
    def beat_steps(self) -> int:
        """Sixteenths per beat."""
        return 6 if self.time_signature == "6/8" else 4

    @property
    def seconds_per_bar(self) -> float:
        return self.steps / self.beat_steps * 60 / self.tempo

    @property
    def beats_per_bar(self) -> int:
        return self.steps // self.beat_steps

    @property
    def key(self) -> str:
        return f"{_KEY_NAMES.get((self.tonic, self.mode), NOTES[self.tonic])} {self.mode}"

    @property
    def section_bars(self) -> int:
        return 12 if self.is_blues else 2 * _PHRASE

    def spell(self, label: str) -> str:
        """A chord label with the accidentals of the key: Db in F minor, not C#."""
        return transpose_chord(label, 0, self.key)

    def random(self, *part: str) -> np.random.Generator:
        """A random generator for a part of the sheet, so that words that change one part leave the others unchanged."""
        return np.random.default_rng(derive_seed("suggestion", self.seed, self.style.name, *part))


def choose_setting(description: Description, seed: int = 0, **given: Any) -> SheetSetting:
    r"""
    Chooses the values that the words don't specify.

    Args:
        description ([`Description`]): the words.
        seed (`int`, defaults to `0`): random seed.
        given: values of `tempo`, `time_signature`, `tonic` and `mode` that override the words.
    """
    seed = to_integer(seed, "seed", minimum=-(2**63), maximum=2**64 - 1)
    description = replace(description, **given)
    style = description.style
    # The same number of random draws in every case, so that one more word leaves the rest unchanged.
    draws = np.random.default_rng(derive_seed("suggestion", seed, style.name, "setting")).random(5)
    time_signature = description.time_signature or style.time_signatures[int(draws[0] * len(style.time_signatures))]
    tempo = description.tempo
    if tempo is None:
        low, high = _tempo_range(description, time_signature)
        tempo = float(round(low + draws[1] * (high - low)))
    mode = description.mode or ("minor" if draws[2] < style.minor else "major")
    tonic = int(draws[3] * 12) if description.tonic is None else description.tonic
    swing = style.swing >= _SWINGING if description.swing is None else description.swing
    is_twelve_bar = any(phrase.startswith(("12 bar", "twelve bar")) for phrase in description.understood)
    is_blues = time_signature == "4/4" and (is_twelve_bar or draws[4] < style.blues)
    return SheetSetting(
        description=description,
        style=_adapt(style, time_signature, description),
        tempo=tempo,
        time_signature=time_signature,
        tonic=tonic,
        mode=mode,
        swing=swing and time_signature != "6/8",
        is_blues=is_blues,
        seed=seed,
    )


def _tempo_range(description: Description, time_signature: str) -> tuple[float, float]:
    """The style's tempos that the words allow, or those of the words that are nearest to the style's."""
    style = description.style
    low, high = map(float, style.tempo)
    # A beat of 6/8 has three eighths instead of two.
    if time_signature == "6/8" and "6/8" not in style.time_signatures:
        low, high = low * 2 / 3, high * 2 / 3
    elif time_signature != "6/8" and style.time_signatures == ("6/8",):
        low, high = low * 3 / 2, high * 3 / 2
    if description.tempo_range is not None:
        first, last = description.tempo_range
        if last < low:
            return max(first, last - _TEMPO_WIDTH), last
        if first > high:
            return first, min(last, first + _TEMPO_WIDTH)
        return max(low, first), min(high, last)
    middle = (low + high) / 2
    return {"calm": (low, middle), "energetic": (middle, high)}.get(description.energy or "", (low, high))


def _adapt(style: Style, time_signature: str, description: Description) -> Style:
    """The style with grooves for the time signature, preferably with the drums that the words name."""
    grooves = style.drums
    if time_signature not in style.time_signatures:
        grooves = next(other.drums for other in STYLES if other.name == _METER_STYLES[time_signature])
    for drum in description.drum_sounds:
        grooves = tuple(groove for groove in grooves if drum in groove) or grooves
    sevenths = {"triads": 0.0, "sevenths": 0.95}.get(description.harmony or "", style.sevenths)
    return replace(style, drums=grooves, sevenths=sevenths)


def compose_sheet(
    setting: SheetSetting, words: str, bars: int, chords: Sequence[tuple[str, Fraction]] | None = None
) -> LeadSheet:
    r"""
    Composes a lead sheet.

    Args:
        setting ([`SheetSetting`]): style, tempo, key, ...
        words (`str`): the prompt.
        bars (`int`): number of bars.
        chords (`Sequence[tuple[str, Fraction]]`, *optional*): given chords, for which a melody is composed: label and
            start in quarter notes.

    Returns:
        [`~controls.lead_sheet.LeadSheet`] with this number of bars.
    """
    if chords is not None and setting.description.tonic is None:
        setting = _fit_key(setting, chords)
    size = setting.section_bars if chords is None else bars
    names = list(islice(_section_names(setting), -(-bars // size)))
    timeline: list[tuple[str, Fraction]] = [] if chords is None else list(chords)
    melody: list[tuple[int, Fraction, Fraction]] = []
    if chords is None:
        composed = {name: _compose_section(setting, name) for name in sorted(set(names))}
        for index, name in enumerate(names):
            offset = index * size * setting.steps * _STEP
            timeline += [(label, offset + start) for label, start in composed[name][0]]
            melody += [(pitch, offset + start, offset + end) for pitch, start, end in composed[name][1]]
    else:
        melody = _melody_over(setting, chords, bars)
    length = bars * setting.steps * _STEP
    signature = TimeSignature.parse(setting.time_signature)
    melody = [(pitch, start, min(end, length)) for pitch, start, end in melody if start < length]
    written = bars_from_timeline(
        [chord for chord in timeline if chord[1] < length],
        melody,
        _compose_drums(setting, bars),
        length,
        ((Fraction(0), signature),),
    )
    sections = tuple(
        Section(name if bars > size else "", written[index * size : (index + 1) * size])
        for index, name in enumerate(names)
    )
    style = setting.style.name
    return LeadSheet(
        sections,
        title=f"{style[0].upper()}{style[1:]} in {setting.key}",
        tempo=setting.tempo,
        beat_unit=setting.beat_steps * _STEP,
        time_signature=signature,
        key=setting.key,
        prompt=words,
        swing=setting.swing,
    )


def _section_names(setting: SheetSetting):
    """The endless order of the sections."""
    # The chords of a blues are the same in all sections.
    form = "AB" if setting.is_blues else str(choose(setting.random("form"), _FORMS))
    return (form[index % len(form)] for index in count())


Timeline = tuple[list[tuple[str, Fraction]], list[tuple[int, Fraction, Fraction]]]


def _compose_section(setting: SheetSetting, name: str) -> Timeline:
    """Chords and melody of a section, in quarter notes from its beginning."""
    chords: list[Chord] = []
    step = 0
    for length, (offset, form, bass) in _compose_chords(setting, name):
        chords.append(Chord(step, step + length, (setting.tonic + offset) % 12, form, bass))
        step += length
    labels = [
        (setting.spell(label_chord(chord.root, chord.form, chord.bass)), chord.start * _STEP) for chord in chords
    ]
    timeline = [chord for index, chord in enumerate(labels) if not index or labels[index - 1][0] != chord[0]]
    return timeline, _compose_melody(setting, name, chords, setting.section_bars)


@dataclass(frozen=True)
class _GivenChord(Chord):
    """A chord of any type, or the scale where no chord is given."""

    pitch_classes: tuple[int, ...] = ()

    @property
    def tones(self) -> list[int]:
        return list(self.pitch_classes)


def _fit_key(setting: SheetSetting, chords: Sequence[tuple[str, Fraction]]) -> SheetSetting:
    """The setting in the key that has the most notes of given chords, preferably with the first root as its tonic."""
    parsed = [chord for label, _ in chords if not is_no_chord(label) and (chord := parse_chord(label)) is not None]
    if not parsed:
        return setting

    def count(key: tuple[int, str]) -> tuple[int, bool, bool]:
        tonic, mode = key
        scale = {(tonic + degree) % 12 for degree in SCALES[mode]}
        inside = sum(len(scale & chord.pitch_classes) - len(chord.pitch_classes - scale) for chord in parsed)
        third = (parsed[0].root + (3 if mode == "minor" else 4)) % 12
        return inside, tonic == parsed[0].root and third in parsed[0].pitch_classes, mode == setting.mode

    tonic, mode = max(((tonic, mode) for tonic in range(12) for mode in SCALES), key=count)
    return replace(setting, tonic=tonic, mode=mode)


def _melody_over(
    setting: SheetSetting, chords: Sequence[tuple[str, Fraction]], bars: int
) -> list[tuple[int, Fraction, Fraction]]:
    """A melody over given chords, with rests during `N`."""
    scale = tuple((setting.tonic + degree) % 12 for degree in SCALES[setting.mode])
    starts = [int(start / _STEP) for _, start in chords]
    spans: list[Chord] = []
    for (label, _), start, end in zip(chords, starts, [*starts[1:], bars * setting.steps]):
        chord = None if is_no_chord(label) else parse_chord(label)
        pitch_classes = scale if chord is None else tuple(sorted(chord.pitch_classes))
        if start < end:
            spans.append(_GivenChord(start if spans else 0, end, 0, label, 0, pitch_classes))
    if not spans:
        return []
    rests = [(span.start * _STEP, span.end * _STEP) for span in spans if is_no_chord(span.form)]
    notes = _compose_melody(setting, "A", spans, bars)
    return [note for note in notes if not any(first <= note[1] < last for first, last in rests)]


def _compose_chords(setting: SheetSetting, name: str) -> list[tuple[int, Degree]]:
    """The chords of a section: (sixteenths, chord)."""
    rng = setting.random("chords", "" if setting.is_blues else name)
    arguments = _SPLIT, setting.style, setting.mode, setting.steps, setting.beat_steps
    if setting.is_blues:
        phrases: Sequence[Phrase] = compose_blues(*arguments, rng)
        return [chord for phrase in phrases for chord in phrase]
    is_repeated = rng.random() < 0.5

    def draw(ends: bool) -> Phrase:
        harmony = setting.description.harmony
        if harmony not in ("still", "moving"):
            return compose_functional(*arguments, rng, ends)
        candidates = [compose_functional(*arguments, rng, ends) for _ in range(_CANDIDATES)]
        return (min if harmony == "still" else max)(candidates, key=len)

    first = draw(False)
    return [*first, *(first if is_repeated else draw(True))]


def _compose_melody(
    setting: SheetSetting, name: str, chords: list[Chord], bars: int
) -> list[tuple[int, Fraction, Fraction]]:
    """The melody of a section of `bars` bars: (MIDI number, start, end)."""
    if setting.description.melody is False:
        return []
    description = setting.description
    shared = setting.random("melody")
    register, lead = description.register or "", description.lead or ""
    lowest = _LOWEST_NOTES.get(register, _LOWEST_NOTES.get(lead, int(shared.integers(55, 66))))
    low, high = _BUSY[description.rhythm or description.energy or "medium"]
    busy = shared.uniform(low, high)
    # Sections differ in register.
    lowest = min(max(lowest + {"A": 0, "B": 3, "C": -2}[name], 43), 76)
    rng = setting.random("melody", name)
    part = _make_setting(setting, chords, bars, rng)
    lines = (play_line(part, lowest, busy, 98) for _ in range(_LINES))
    # Not mostly rests, which some random lines are.
    notes = max(lines, key=lambda line: min(len(line), _ENOUGH_NOTES * bars))
    size = bars * setting.steps
    spans = [(note.key, round(note.start), max(round(note.end), round(note.start) + 1)) for note in notes]
    ends = [*(start for _, start, _ in spans[1:]), size]
    return [(key, start * _STEP, min(end, last, size) * _STEP) for (key, start, end), last in zip(spans, ends)]


def _compose_drums(setting: SheetSetting, bars: int) -> list[tuple[str, Fraction, float]]:
    """The drum hits of all bars: (drum, start, velocity)."""
    has_drums = setting.description.drums
    if has_drums is None:
        has_drums = setting.style.drummed >= _HARDLY_DRUMMED
    if not has_drums:
        return []
    chord = Chord(0, bars * setting.steps, setting.tonic, "", 0)
    notes = play_drums(_make_setting(setting, [chord], bars, setting.random("drums")), odd=False)
    hits: dict[tuple[int, str], float] = {}
    for note in notes:
        place = round(note.start), DRUM_VOICES[note.key]
        hits[place] = max(hits.get(place, 0.0), round(min(note.velocity / _LOUD, 1.0), 2))
    return [(drum, step * _STEP, velocity) for (step, drum), velocity in sorted(hits.items())]


def _make_setting(setting: SheetSetting, chords: list[Chord], bars: int, rng: np.random.Generator) -> Setting:
    """The setting of a part, whose times are sixteenths without swing and jitter."""
    clock = Clock(float(setting.beat_steps), setting.beat_steps, 0.5, 0.0, rng)
    tonics = [setting.tonic] * bars
    return Setting(
        _SPLIT, setting.style, chords, tonics, setting.mode, bars, setting.steps, setting.beat_steps, clock, rng
    )
