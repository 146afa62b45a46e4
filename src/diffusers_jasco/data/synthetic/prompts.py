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

"""Reads the attributes of music that a prompt names: style, tempo, key, time signature, feel, and instruments."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from ...controls.chord_labels import NOTES
from ...tempo import tempo_in_words
from . import words
from .captions import DRUM_WORDS, ENERGY_WORDS, STYLE_WORDS, TEMPO_WORDS, instrument_words, style_words
from .instruments import LEAD_FAMILIES, PROGRAM_NAMES
from .styles import STYLES, Style


# Weights of phrases for a style. A named style or genre outweighs all other phrases.
_NAME = 100.0
_GENRE = 60.0
_SCENE = 1.5
_SOUND = 1.0
_ERA = 0.6
_PATTERN = 0.8
_INSTRUMENT = 0.4
_ADJUSTED = 0.3  # of the fit of tempo, mode and energy

# Beats per minute; the classes are those of `captions.tempo_word`.
_TEMPO_RANGES = {"slow": (56.0, 83.0), "medium": (84.0, 125.0), "fast": (126.0, 176.0)}
_METERS = {"2/2": "4/4", "2/4": "4/4", "8/8": "4/4", "3/8": "3/4", "6/4": "3/4", "12/8": "6/8"}
_MODES = {
    "major": "major",
    "maj": "major",
    "dur": "major",
    "ionian": "major",
    "lydian": "major",
    "mixolydian": "major",
}
_MODES |= dict.fromkeys(("minor", "min", "moll", "dorian", "phrygian", "aeolian", "locrian"), "minor")
_ACCIDENTALS = {"#": 1, "♯": 1, "sharp": 1, "is": 1, "b": -1, "♭": -1, "flat": -1}
_KEY = re.compile(
    r"(?P<context>\b(?:in|key(?:\s+of)?|key\s*[:=])\s+(?:the\s+key\s+of\s+)?)?"
    r"(?<![\w#/])(?P<note>[A-Ga-g])(?:[\s-]?(?P<accidental>[#♯♭]|sharp\b|flat\b|b(?=m?\b)))?"
    rf"(?P<mode>[\s-]*(?:{'|'.join(_MODES)})\b|m(?=\b))?(?![\w#/])",
    re.IGNORECASE,
)
# Words after "a minor" that make "a" an article.
_NOT_A_KEY = re.compile(
    r"[\s-]*(?:key|mode|mood|scale|tonality|feel|vibe|chords?|ballad|blues|third|piece|song|tune)\b"
)
_AFTER_TONIC = re.compile(r"\s*(?:$|[,.;:!?)-]|(?:with|and|at|for|featuring|over)\b)")

_NEGATION = re.compile(r"(?:\b(?:no|not|without|minus|never|non|except)(?:\s+(?:any|a|an|the|too|much|very))?\s+)$")
_SOLO = re.compile(r"\b(?:a\s?cappella|unaccompanied|solo (?:piano|guitar)|(?:piano|guitar) solo piece)\b")
_LEAD_NOUNS = re.compile(r"\s*(?:melody|lead|solos?|playing the tune|line|theme)\b")
_LEADS_IN = re.compile(r"(?:melody on|featuring|lead by|led by)\s+(?:an?\s+|the\s+)?$")


class Phrase(NamedTuple):
    """Meaning of a phrase: an attribute of [`Description`] and its value, or a style and a weight."""

    attribute: str
    value: object
    weight: float = 0.0


@dataclass(frozen=True)
class Description:
    r"""
    The attributes of music that words name; `None` (or empty) for those that they do not.

    Args:
        style ([`~data.synthetic.styles.Style`]): the style, or `DEFAULT_STYLE`.
        is_named (`bool`): whether the words name a style, a genre, a scene, or the sound of a style.
        tempo (`float`, *optional*): beats per minute, if the words have a number.
        tempo_range (`tuple[float, float]`, *optional*): range of the tempo in beats per minute.
        tonic (`int`, *optional*): pitch class, 0 ... 11.
        mode (`str`, *optional*): `"major"` or `"minor"`.
        time_signature (`str`, *optional*): `"4/4"`, `"3/4"` or `"6/8"`.
        swing (`bool`, *optional*): whether eighths are swung.
        drums (`bool`, *optional*), melody (`bool`, *optional*): whether there are drums, and a melody.
        lead (`str`, *optional*): the instrument of the melody, as the words name it.
        energy (`str`, *optional*): `"calm"`, `"medium"` or `"energetic"`.
        register (`str`, *optional*): `"low"`, `"middle"` or `"high"`, of the melody.
        rhythm (`str`, *optional*): `"long"`, `"mixed"` or `"short"`, of the melody.
        harmony (`str`, *optional*): `"triads"`, `"sevenths"`, `"still"` or `"moving"`.
        drum_sounds (`tuple[str, ...]`): drums that the words name.
        understood (`tuple[str, ...]`): the phrases that were understood, in their order in the words.
        unsupported_meter (`str`, *optional*): a time signature that the composer can't write.
    """

    style: Style
    is_named: bool
    tempo: float | None = None
    tempo_range: tuple[float, float] | None = None
    tonic: int | None = None
    mode: str | None = None
    time_signature: str | None = None
    swing: bool | None = None
    drums: bool | None = None
    melody: bool | None = None
    lead: str | None = None
    energy: str | None = None
    register: str | None = None
    rhythm: str | None = None
    harmony: str | None = None
    drum_sounds: tuple[str, ...] = ()
    understood: tuple[str, ...] = ()
    unsupported_meter: str | None = None


DEFAULT_STYLE = STYLES[0]


def _normalize(text: str) -> str:
    """Lower case, with single spaces instead of hyphens and punctuation, except in numbers such as "6/8"."""
    text = text.lower().replace("&", " and ").replace("’", "'")
    text = re.sub(r"(?<=\d)'(?=s\b)", "", text.replace("'n'", " and ").replace("drum n bass", "drum and bass"))
    return re.sub(r"[^\w/#♯♭.,;:']+|_+", " ", text).strip()


@lru_cache(maxsize=1)
def _vocabulary() -> dict[str, tuple[Phrase, ...]]:
    """Normalized phrase → everything that it tells."""
    phrases: dict[str, list[Phrase]] = {}

    def add(options: Iterable[str], *told: Phrase):
        for option in options:
            entry = phrases.setdefault(_normalize(option).removeprefix("with ").removeprefix("in "), [])
            entry += [phrase for phrase in told if phrase not in entry]

    for style in STYLES:
        name = style.name
        add((name, *style_words(name), *STYLE_WORDS.get(name, ())), Phrase("style", name, _NAME))
        add((*words.GENRES[name], *words.OTHER_GENRES.get(name, ())), Phrase("style", name, _GENRE))
        scenes = [re.sub(r"^(?:a|an|the) ", "", scene) for scene in words.SCENES[name]]
        add(scenes, Phrase("style", name, _SCENE))
        # Words such as "fast" and "calm" fit many styles.
        general = {word for table in (TEMPO_WORDS, ENERGY_WORDS) for options in table.values() for word in options}
        adjectives = dict.fromkeys((*words.SOUNDS[name], *style.moods))
        add([word for word in adjectives if word not in general], Phrase("style", name, _SOUND))
        add([word for word in adjectives if word in general], Phrase("style", name, _INSTRUMENT))
        add((*words.ERAS[name], *words.PLACES.get(name, ())), Phrase("style", name, _ERA))
        for patterns, table in ((style.comp, words.COMP_PATTERNS), (style.bass, words.BASS_PATTERNS)):
            for pattern in patterns:
                add(table[pattern], Phrase("style", name, _PATTERN))
        for program in (*style.lead_programs, *style.comp_programs, *style.bass_programs):
            add(instrument_words(PROGRAM_NAMES[program]), Phrase("style", name, _INSTRUMENT))
    leads = {name for names in LEAD_FAMILIES.values() for name in names}
    for name in sorted({*leads, *PROGRAM_NAMES.values()}):
        if "bass" not in name and "pad" not in name:
            add(instrument_words(name), Phrase("instrument", name))
    add(("guitar",), Phrase("instrument", "acoustic guitar"))
    for tempo, options in TEMPO_WORDS.items():
        add(options, Phrase("tempo_range", _TEMPO_RANGES[tempo]))
    for low, high, options in words.TEMPO_TERMS:
        add(options, Phrase("tempo_range", (float(max(low, 48)), float(high))))
    for bounds, options in words.OTHER_TEMPOS:
        add(options, Phrase("tempo_range", (float(bounds[0]), float(bounds[1]))))
    for energy, options in ENERGY_WORDS.items():
        add(options, Phrase("energy", energy))
    add(words.FORCEFUL, Phrase("energy", "energetic"))
    add(words.RESTFUL, Phrase("energy", "calm"))
    for (mode, energy), options in words.MOODS.items():
        add(options, Phrase("mood", mode), Phrase("energy", energy))
    for meter, options in words.TIME_SIGNATURES.items():
        add(options, Phrase("time_signature", meter))
    add(("waltz", "waltzes"), Phrase("time_signature", "3/4"))
    for feel, options in words.FEELS.items():
        add(options, Phrase("swing", feel == "swing"))
    add(words.SWINGING, Phrase("swing", True))
    for attribute, table in (
        ("harmony", words.HARMONIES),
        ("rhythm", words.LEAD_RHYTHMS),
    ):
        for value, options in table.items():
            add(options, Phrase(attribute, value))
    for value, options in words.LEAD_REGISTERS.items():
        add([f"{option} {noun}" for option in options for noun in ("melody", "lead")], Phrase("register", value))
    add([word.removeprefix("with ") for word in DRUM_WORDS["yes"]], Phrase("drums", True))
    add(("percussion", "beat", "drum", "drumming"), Phrase("drums", True))
    add(DRUM_WORDS["no"], Phrase("drums", False))
    add(("melody", "melodic lead", "lead", "tune"), Phrase("melody", True))
    add(("backing track", "accompaniment only", "no melody", "without melody"), Phrase("melody", False))
    for drum, options in words.DRUM_SOUNDS.items():
        add(options, Phrase("drum_sound", drum))
    add(("twelve bar", "12 bar", "12 bar blues", "twelve bar blues"), Phrase("style", "blues", _GENRE))
    return {phrase: tuple(told) for phrase, told in phrases.items() if phrase}


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern:
    """All phrases, with or without the "s" of the plural; longer ones first."""
    options = sorted(_vocabulary(), key=lambda phrase: (-len(phrase), phrase))
    return re.compile(rf"(?<![\w/#])({'|'.join(map(re.escape, options))})(?:e?s)?(?![\w/#])")


def read_words(prompt: str) -> Description:
    r"""
    Reads a prompt. Phrases are those of the captions of the synthetic music (styles, genres, scenes, instruments,
    tempos, moods, ...), and some others.

    Args:
        prompt (`str`): the words.

    Returns:
        [`Description`]
    """
    understood: list[tuple[int, str]] = []
    key, without_key = _read_key(prompt, understood)
    text = _normalize(without_key)
    found: dict[str, object] = {}
    weights: dict[str, float] = {}
    named: set[str] = set()  # styles that more than an instrument or an era tells
    names: list[tuple[int, int, str]] = []  # start, end and style of named styles
    instruments: list[tuple[bool, str]] = []  # whether the instrument has the melody
    sounds: list[str] = []

    # 1. Numbers: tempo, time signature and key
    found |= _read_tempo(prompt, understood) | _read_meter(text, understood) | key

    # 2. Phrases
    for match in _pattern().finditer(text):
        phrase, before = match[1], text[max(0, match.start() - 60) : match.start()]
        is_negated = _NEGATION.search(before) is not None
        if is_negated and not any(isinstance(told.value, bool) for told in _vocabulary()[phrase]):
            continue
        for attribute, value, weight in _vocabulary()[phrase]:
            if is_negated and isinstance(value, bool):
                found[attribute] = not value
            elif is_negated:
                continue
            elif attribute == "style":
                weights[str(value)] = weights.get(str(value), 0.0) + weight
                named |= {str(value)} if weight >= _SOUND else set()
                if weight >= _GENRE:
                    names.append((match.start(), match.end(), str(value)))
            elif attribute == "instrument":
                leads = _LEAD_NOUNS.match(text, match.end()) or _LEADS_IN.search(before)
                instruments.append((leads is not None, phrase))
            elif attribute == "drum_sound":
                sounds.append(str(value))
            else:
                found.setdefault(attribute, value)
        understood.append((match.start(), match[0]))
    if _SOLO.search(text):
        found.setdefault("drums", False)
    if sounds:
        found.setdefault("drums", True)

    # 3. Conclusions
    mood = found.pop("mood", None)
    # A key without a mode is major.
    found.setdefault("mode", mood or ("major" if "tonic" in found else None))
    style = _choose_style(weights, names, text, found)
    if style.name != "waltz" and "waltz" in weights and weights["waltz"] >= _NAME:
        found["time_signature"] = found.get("time_signature") or "3/4"
    return Description(
        style=style,
        is_named=style.name in named,
        lead=_choose_lead(instruments),
        drum_sounds=tuple(dict.fromkeys(sounds)),
        understood=tuple(dict.fromkeys(phrase for _, phrase in sorted(understood))),
        **found,  # type: ignore[arg-type]
    )


def _choose_lead(instruments: Sequence[tuple[bool, str]]) -> str | None:
    """The instrument that the words give the melody to, or the first one that usually plays melodies, or the first."""
    for leads, name in instruments:
        if leads:
            return name
    return next((name for _, name in instruments if name in _melodic()), instruments[0][1] if instruments else None)


@lru_cache(maxsize=1)
def _melodic() -> frozenset[str]:
    """Words for instruments that usually play melodies instead of chords."""
    families = ("mallets", "strings", "brass", "reeds", "flute")
    names = [word for family in families for name in LEAD_FAMILIES[family] for word in instrument_words(name)]
    return frozenset(map(_normalize, names))


def _choose_style(
    weights: dict[str, float], names: Sequence[tuple[int, int, str]], text: str, found: dict[str, object]
) -> Style:
    """The style with the greatest weight. Of neighboring names, the last one counts most: "country rock" is rock."""
    totals = dict(weights)
    for index, (_, end, name) in enumerate(names):
        following = names[index + 1] if index + 1 < len(names) else None
        is_modifier = following is not None and following[2] != name and not text[end : following[0]].strip()
        # A waltz may be in any style.
        if following is not None and is_modifier and following[2] == "waltz":
            totals["waltz"] = 0.0
        elif is_modifier and name != "waltz":
            totals[name] *= 0.5
        elif name == "waltz" and any(other != "waltz" for *_, other in names):
            totals["waltz"] = 0.0
    best, best_total = DEFAULT_STYLE, 0.0
    for style in STYLES:
        total = totals.get(style.name, 0.0)
        if total > 0.0 or not totals:
            total += _ADJUSTED * _fit(style, found)
        # Earlier styles win ties, earlier names against later ones.
        total -= 0.01 * next((index for index, (*_, name) in enumerate(names) if name == style.name), 0)
        if total > best_total + 1e-9 and totals:
            best, best_total = style, total
    return best


def _fit(style: Style, found: dict[str, object]) -> float:
    """How well tempo, mode, energy and time signature fit a style, from 0 to 4."""
    total = 0.0
    bounds = found.get("tempo_range")
    tempo = found.get("tempo")
    if isinstance(tempo, float):
        bounds = tempo, tempo
    if isinstance(bounds, tuple):
        total += float(bounds[0] <= style.tempo[1] and style.tempo[0] <= bounds[1])
    if found.get("mode") in ("major", "minor"):
        total += style.minor if found["mode"] == "minor" else 1 - style.minor
    mean = sum(style.tempo) / 2
    total += float(
        (found.get("energy") == "calm" and mean < 90) or (found.get("energy") == "energetic" and mean > 115)
    )
    if found.get("time_signature"):
        total += float(found["time_signature"] in style.time_signatures)
    return total


def _read_tempo(prompt: str, understood: list[tuple[int, str]]) -> dict[str, object]:
    tempo = tempo_in_words(prompt)
    if tempo is None:
        match = re.search(r"\btempo\s*(?:of|is|:|=)?\s*(\d{2,3}(?:\.\d+)?)(?![\d/.]*\d)", prompt, re.IGNORECASE)
        tempo = float(match[1]) if match and 20 <= float(match[1]) <= 400 else None
    if tempo is None:
        return {}
    understood.append((0, f"{tempo:g} BPM"))
    return {"tempo": tempo}


def _read_meter(text: str, understood: list[tuple[int, str]]) -> dict[str, object]:
    """The first time signature in digits."""
    match = re.search(r"(?<![\d/.])(\d{1,2})/(\d{1,2})(?![\d/])", text)
    if match is None:
        return {}
    meter = f"{match[1]}/{match[2]}"
    meter = _METERS.get(meter, meter)
    if meter not in words.TIME_SIGNATURES:
        return {"unsupported_meter": meter}
    understood.append((match.start(), match[0]))
    return {"time_signature": meter}


def _read_key(prompt: str, understood: list[tuple[int, str]]) -> tuple[dict[str, object], str]:
    """The first key, such as "in E flat minor" or "in Bbm", or a mode alone; and the prompt without it."""
    for match in _KEY.finditer(prompt):
        note, mode = match["note"], (match["mode"] or "").strip(" -\t\n").lower()
        is_context = match["context"] is not None
        if not mode:
            # Without a mode, letters are rarely keys: "in D", "key of a flat".
            is_key = is_context and (note.isupper() or "key" in match["context"].lower())
            if not is_key or not _AFTER_TONIC.match(prompt, match.end()):
                continue
        elif mode == "m" and (note.islower() or not is_context):
            continue
        elif note == "a" and not match["accidental"] and "key of" not in (match["context"] or "").lower():
            follows = _NOT_A_KEY.match(prompt.lower(), match.end())
            if follows or not is_context:
                continue
        tonic = NOTES.index(note.upper()) + _ACCIDENTALS.get((match["accidental"] or "").lower(), 0)
        understood.append((match.start(), match[0].strip()))
        modes = {} if not mode else {"mode": "minor" if mode == "m" else _MODES[mode]}
        return {"tonic": tonic % 12, **modes}, f"{prompt[: match.start()]} {prompt[match.end() :]}"
    alone = re.search(rf"\b({'|'.join(_MODES)})\b", prompt.lower())
    if alone is None or alone[1] in ("min", "maj", "dur"):
        return {}, prompt
    understood.append((alone.start(), alone[1]))
    return {"mode": _MODES[alone[1]]}, prompt
