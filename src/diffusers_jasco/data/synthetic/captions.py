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

"""Captions of composed pieces."""

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from . import words
from .composition import Piece
from .harmony import follows_key
from .instruments import DRUM_KEYS, PROGRAM_NAMES


_SLOW_BELOW, _FAST_FROM = 84, 126  # beats per minute

# Caption synonyms, most common first. Names that are not listed have no synonyms.
STYLE_WORDS = {
    "80s pop": ("80s pop", "eighties pop"),
    "rock": ("rock", "rock band"),
    "metal": ("metal", "heavy metal"),
    "country": ("country", "country and western"),
    "blues": ("blues", "blues shuffle"),
    "swing jazz": ("swing jazz", "jazz", "swing"),
    "bossa nova": ("bossa nova", "bossa"),
    "house": ("house", "house music", "deep house"),
    "trance": ("trance", "uplifting trance"),
    "hip hop": ("hip hop", "hip-hop", "rap beat"),
    "lo-fi": ("lo-fi", "lofi", "chillhop"),
    "salsa": ("salsa", "latin"),
    "celtic jig": ("celtic jig", "irish jig", "celtic"),
    "slow 6/8 soul": ("slow 6/8 soul", "6/8 soul", "soul"),
    "orchestral": ("orchestral", "orchestra", "film music", "classical"),
    "ambient": ("ambient", "ambient soundscape"),
    "synthwave": ("synthwave", "retrowave"),
    "march": ("march", "marching band"),
}
INSTRUMENT_WORDS = {
    "piano": ("piano", "grand piano"),
    "electric piano": ("electric piano", "rhodes"),
    "vibraphone": ("vibraphone", "vibes"),
    "organ": ("organ", "hammond organ"),
    "acoustic guitar": ("acoustic guitar", "steel guitar"),
    "nylon guitar": ("nylon guitar", "classical guitar"),
    "clean electric guitar": ("clean electric guitar", "electric guitar", "clean guitar"),
    "overdriven guitar": ("overdriven guitar", "electric guitar", "crunchy guitar"),
    "distorted guitar": ("distorted guitar", "electric guitar", "heavy guitar"),
    "upright bass": ("upright bass", "acoustic bass", "bass"),
    "electric bass": ("electric bass", "bass guitar", "bass"),
    "synth bass": ("synth bass", "bass"),
    "strings": ("strings", "string section"),
    "slow strings": ("legato strings", "strings"),
    "french horns": ("french horns", "horns"),
    "brass section": ("brass section", "brass", "horns"),
    "soprano saxophone": ("soprano saxophone", "saxophone", "sax"),
    "alto saxophone": ("alto saxophone", "saxophone", "sax"),
    "tenor saxophone": ("tenor saxophone", "saxophone", "sax"),
    "synth lead": ("synth lead", "lead synth", "synth"),
    "synth pad": ("synth pad", "pad", "synth"),
}
TEMPO_WORDS = {
    "slow": ("slow", "slow-paced", "unhurried", "slow tempo", "downtempo"),
    "medium": ("mid-tempo", "moderate", "medium tempo"),
    "fast": ("fast", "up-tempo", "quick", "fast-paced", "fast tempo"),
}
ENERGY_WORDS = {
    "calm": ("calm", "gentle", "soft", "quiet", "subdued", "hushed"),
    "medium": ("steady", "flowing", "balanced", "even"),
    "energetic": ("energetic", "busy", "powerful", "lively", "vigorous", "high energy"),
}
DRUM_WORDS = {
    "yes": ("drums", "with drums", "with a beat", "drum beat", "drums and percussion"),
    "no": ("no drums", "without drums", "drumless", "no percussion"),
}
LEAD_FORMS = ("{} melody", "{} lead", "{} solo", "melody on {}", "{} playing the tune", "featuring {}")
_LEAD_NOUNS = LEAD_FORMS[:-1]  # for sentences, in which "featuring" would follow "with"
_COMP_FORMS = ("{} chords", "{} accompaniment", "{}")
_BPM_FORMS = ("{} bpm", "{} bpm", "at {} bpm", "tempo {}", "{} beats per minute")
_SCENE_FORMS = ("for {}", "music for {}", "perfect for {}", "reminds me of {}", "sounds like {}", "fit for {}")
# Words that would contradict the energy of a piece.
_UNTRUE = {
    "calm": ENERGY_WORDS["energetic"] + words.FORCEFUL,
    "medium": ENERGY_WORDS["calm"] + ENERGY_WORDS["energetic"],
    "energetic": ENERGY_WORDS["calm"] + words.RESTFUL,
}
_PIECES = ("track", "piece", "tune", "song", "groove", "loop")


def tempo_word(tempo: float) -> str:
    """The tempo class for a tempo in beats per minute: `"slow"`, `"medium"` or `"fast"`."""
    return "slow" if tempo < _SLOW_BELOW else "fast" if tempo >= _FAST_FROM else "medium"


def instrument_names(piece: Piece) -> dict[str, str]:
    """Stem → instrument name, without the drums."""
    return {stem: PROGRAM_NAMES[program] for stem, program in piece.programs.items() if stem != "drums"}


def mentions(caption: str, phrases: Sequence[str]) -> bool:
    """Whether a caption contains any of the phrases, as whole words."""
    return bool(phrases) and _any_of(tuple(phrases)).search(caption) is not None


@lru_cache(maxsize=1024)
def _any_of(phrases: tuple[str, ...]) -> re.Pattern:
    return re.compile(rf"(?<![\w/-])(?:{'|'.join(map(re.escape, phrases))})(?![\w/-])")


def write_captions(piece: Piece, rng: np.random.Generator, count: int = 5) -> list[str]:
    """
    Writes `count` different captions of a piece. They cover style, tempo, mood, energy, instruments and whether there
    are drums, and details such as key, form, texture, patterns, and where such music is played. Most captions omit
    most of these attributes, and some mention only one; omitted attributes are unspecified. No caption contains a word
    twice (function words such as "and" excepted), or contradicts the tempo, the energy or the feel of the piece.
    """
    captions: dict[str, None] = {}
    while len(captions) < count:
        captions[_CaptionVariant(piece, rng).write()] = None
    return list(captions)


class _CaptionVariant:
    """A random caption: chooses the attributes to mention and their synonyms, true of the piece and each word once."""

    def __init__(self, piece: Piece, rng: np.random.Generator):
        self.piece, self.rng = piece, rng
        # Pieces with free chords have no audible key.
        self.has_key = follows_key(piece.chords, piece.key)
        self.swings = piece.swing != 0.5
        # Moods of the style and of the key could contradict each other.
        self.moods = piece.style.moods
        if self.has_key and rng.random() < 0.5:
            self.moods = words.MOODS[piece.key.split()[1], piece.energy]
        self.untrue = _UNTRUE[piece.energy] + (words.STRAIGHT if self.swings else words.SWINGING)
        self.used: set[str] = set()

    def write(self) -> str:
        kind = self.rng.random()
        if kind < 0.4:
            return self._sentence()
        if kind < 0.5:
            return self._tags()[0]
        phrases = self._tags() + self._details()
        phrases = [phrases[i] for i in self.rng.permutation(len(phrases))]
        return self._pick((", ", ", ", "; ", " ", " - ")).join(phrases)

    def _pick(self, options: Sequence[str]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def _choose(self, options: Sequence[str]) -> str | None:
        """A random option that is true of the piece and repeats no word, or `None` if there is none."""
        options = [phrase for phrase in options if self._fits(phrase)]
        if not options:
            return None
        phrase = self._pick(options)
        self.used.update(_content_words(phrase))
        return phrase

    def _fits(self, phrase: str) -> bool:
        content = _content_words(phrase)
        return (
            len(set(content)) == len(content) and self.used.isdisjoint(content) and not mentions(phrase, self.untrue)
        )

    def _choose_some(self, phrases: Sequence[tuple[Sequence[str], float]]) -> list[str]:
        """An option of each of a random subset of the attributes, given as (options, probability), in random order."""
        order = self.rng.permutation(len(phrases))
        chosen = [self._choose(phrases[i][0]) for i in order if self.rng.random() < phrases[i][1]]
        return [phrase for phrase in chosen if phrase is not None]

    def _tags(self) -> list[str]:
        """Phrases for a random subset of the attributes (at least one), in random order."""
        attributes = [
            (style_words(self.piece.style.name), 0.8),
            (self._tempos(), 0.5),
            (self.moods, 0.4),
            (ENERGY_WORDS[self.piece.energy], 0.4),
            (self._drums(), 0.6),
            *((options, 0.75) for options in self._instruments(LEAD_FORMS)),
        ]
        return self._choose_some(attributes) or self._choose_some([(style_words(self.piece.style.name), 1)])

    def _sentence(self) -> str:
        style = self._choose(style_words(self.piece.style.name))
        instruments = [self._choose(options) for options in self._instruments(_LEAD_NOUNS)]
        sounds = " and ".join(phrase for phrase in instruments if phrase is not None)
        if not sounds:
            # The chosen instruments may repeat words of the style, as in "heavy metal with heavy guitar".
            names = instrument_names(self.piece).values()
            sounds = self._choose([word for name in names for word in instrument_words(name)]) or ""
        if self.rng.random() >= 0.4:
            drums = self._choose([phrase.removeprefix("with ") for phrase in self._drums()])
            if drums is not None:
                sounds += (" and " if "drums" in self.piece.programs else ", ") + drums
        adjectives = [TEMPO_WORDS[tempo_word(self.piece.tempo)], self.moods, ENERGY_WORDS[self.piece.energy]]
        adjectives = [adjectives[i] for i in self.rng.permutation(3)[: int(self.rng.integers(0, 3))]]
        head = " ".join(phrase for phrase in (*map(self._choose, adjectives), style) if phrase is not None)
        form = self._pick(
            (
                "{head} with {what}",
                "{head} {piece} with {what}",
                "{a} {head} {piece}, {what}",
                "{head}: {what}",
                "{head} in {mode}, {what}",
                "{what} in {a} {head} {piece}",
                "{head} at {bpm} bpm with {what}",
                "{head} {piece} {link} {what}",
                "{a} {head} {piece} {link} {what}",
            )
        )
        mode = self.piece.key.split()[1]
        if not self.has_key:
            form = form.replace(" in {mode}", "")
        sentence = form.format(
            a="an" if head[0] in "aeiou8" else "a",
            head=head,
            what=sounds,
            piece=self._choose(_PIECES),
            mode=mode,
            bpm=round(self.piece.tempo),
            link=self._pick(words.LINKS),
        )
        self.used.update(_content_words(sentence))
        if self.rng.random() < 0.25:
            sentence = self._pick(words.REQUESTS).format(sentence)
        return ", ".join([sentence, *self._details()])

    def _tempos(self) -> Sequence[str]:
        if self.rng.random() < 0.4:
            return [form.format(round(self.piece.tempo)) for form in _BPM_FORMS]
        return TEMPO_WORDS[tempo_word(self.piece.tempo)]

    def _details(self) -> list[str]:
        """Phrases for a random subset of the details, in random order."""
        return self._choose_some(self._describe_style() + self._describe_playing())

    def _describe_style(self) -> list[tuple[Sequence[str], float]]:
        """Phrases about what is typical of the style, with their probabilities."""
        style = self.piece.style.name
        scenes = [self._pick(_SCENE_FORMS).format(scene) for scene in words.SCENES[style]]
        return [
            (words.GENRES[style], 0.36),
            (scenes, 0.42),
            (words.ERAS[style], 0.25),
            *([(words.PLACES[style], 0.25)] if style in words.PLACES else []),
            (words.SOUNDS[style], 0.36),
        ]

    def _describe_playing(self) -> list[tuple[Sequence[str], float]]:
        """Phrases about the sound of this piece, with their probabilities."""
        piece = self.piece
        details: list[tuple[Sequence[str], float]] = [
            (words.TIME_SIGNATURES[piece.time_signature], 0.06 if piece.time_signature == "4/4" else 0.2),
            (words.FEELS["swing" if self.swings else "straight"], 0.15 if self.swings else 0.04),
            (words.COMP_PATTERNS[piece.patterns["comp"]], 0.25),
            (words.BASS_PATTERNS[piece.patterns["bass"]], 0.2),
            (words.TEXTURES[_texture(piece)], 0.12),
            (words.HARMONIES[_harmony(piece)], 0.12),
        ]
        if piece.time_signature != "6/8":
            terms = [terms for low, high, terms in words.TEMPO_TERMS if low <= piece.tempo < high]
            details.append((self.rng.permutation(np.concatenate(terms)).tolist(), 0.2))
        if self.has_key:
            tonic, mode = piece.key.split()
            forms = [f"in {name} {mode}" for name in words.KEY_NAMES[tonic]]
            details.append((forms + [f"key of {name} {mode}" for name in words.KEY_NAMES[tonic]], 0.25))
            details.append((self.moods, 0.3))
        if piece.form is not None:
            details.append((words.FORMS[piece.form], 0.1 if piece.form == "steady" else 0.4))
        if drums := piece.notes.get("drums"):
            keys = {note.key for note in drums}
            present = [phrases for drum, phrases in words.DRUM_SOUNDS.items() if DRUM_KEYS[drum] in keys]
            details.append(([self._pick(phrases) for phrases in present] or ("beat",), 0.3))
        if lead := piece.notes.get("lead"):
            pitch = float(np.mean([note.key for note in lead]))
            register = "low" if pitch < 60 else "high" if pitch >= 76 else "middle"
            details.append(([f"{word} melody" for word in words.LEAD_REGISTERS[register]], 0.1))
            length = float(np.mean([note.end - note.start for note in lead]))
            details.append(
                (words.LEAD_RHYTHMS["long" if length >= 0.6 else "short" if length < 0.25 else "mixed"], 0.08)
            )
        return details

    def _drums(self) -> Sequence[str]:
        return DRUM_WORDS["yes" if "drums" in self.piece.programs else "no"]

    def _instruments(self, lead_forms: Sequence[str]) -> list[Sequence[str]]:
        """Options for the instruments of lead and chords, which are most audible, and sometimes one of the others."""
        names = {stem: instrument_words(name) for stem, name in instrument_names(self.piece).items()}
        phrases: list[Sequence[str]] = []
        if "lead" in names:
            lead = self._pick(names["lead"])
            phrases.append([lead] if "lead" in lead else [form.format(lead) for form in lead_forms])
        if self.rng.random() < 0.7 or not phrases:
            phrases.append([form.format(name) for name in names["comp"] for form in _COMP_FORMS])
        return phrases + [names[stem] for stem in ("bass", "pad") if stem in names and self.rng.random() < 0.3]


@lru_cache(maxsize=16384)
def _content_words(phrase: str) -> tuple[str, ...]:
    return tuple(word for word in re.findall(r"[^\W_]+(?:/\d)?", phrase) if word not in words.FUNCTION_WORDS)


def _texture(piece: Piece) -> str:
    density = sum(len(notes) for notes in piece.notes.values()) / piece.duration
    stems = len(piece.notes)
    return "sparse" if stems <= 3 and density < 9 else "dense" if stems >= 5 or density > 22 else "medium"


def _harmony(piece: Piece) -> str:
    rate = len(piece.chords) / piece.duration
    sevenths = sum(any(mark in label for mark in "67") for label, _ in piece.chords) / len(piece.chords)
    if sevenths > 0.6:
        return "sevenths"
    if sevenths < 0.15 and rate < 0.8:
        return "triads"
    return "moving" if rate > 0.5 else "still"


def style_words(style: str) -> tuple[str, ...]:
    """Synonyms of a style in captions."""
    return STYLE_WORDS.get(style, (style,))


def instrument_words(instrument: str) -> tuple[str, ...]:
    """Synonyms of an instrument in captions."""
    return INSTRUMENT_WORDS.get(instrument, (instrument,))
