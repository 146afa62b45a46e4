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

import numpy as np

from .composition import Piece
from .instruments import PROGRAM_NAMES


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
    "calm": ("calm", "gentle", "soft", "quiet"),
    "medium": ("steady", "flowing", "balanced"),
    "energetic": ("energetic", "busy", "powerful", "lively"),
}
DRUM_WORDS = {
    "yes": ("drums", "with drums", "with a beat", "drum beat", "drums and percussion"),
    "no": ("no drums", "without drums", "drumless", "no percussion"),
}
LEAD_FORMS = ("{} melody", "{} lead", "{} solo", "melody on {}", "{} playing the tune", "featuring {}")
_COMP_FORMS = ("{} chords", "{} accompaniment", "{}")
_PIECES = ("track", "piece", "tune", "song", "groove", "loop")


def tempo_word(tempo: float) -> str:
    """The tempo class for a tempo in beats per minute: `"slow"`, `"medium"` or `"fast"`."""
    return "slow" if tempo < _SLOW_BELOW else "fast" if tempo >= _FAST_FROM else "medium"


def instrument_names(piece: Piece) -> dict[str, str]:
    """Stem → instrument name, without the drums."""
    return {stem: PROGRAM_NAMES[program] for stem, program in piece.programs.items() if stem != "drums"}


def mentions(caption: str, words: Sequence[str]) -> bool:
    """Whether a caption contains any of the words, as a whole word."""
    return any(re.search(rf"(?<![\w/-]){re.escape(word)}(?![\w/-])", caption) for word in words)


def write_captions(piece: Piece, rng: np.random.Generator, count: int = 5) -> list[str]:
    """
    Writes `count` different captions of a piece. They cover style, tempo, mood, energy, instruments and whether there
    are drums. Most captions omit some of these attributes, and some mention only one; omitted attributes are
    unspecified.
    """
    captions: dict[str, None] = {}
    while len(captions) < count:
        captions[_CaptionVariant(piece, rng).write()] = None
    return list(captions)


class _CaptionVariant:
    """A random caption: chooses the attributes to mention and their synonyms."""

    def __init__(self, piece: Piece, rng: np.random.Generator):
        self.piece, self.rng = piece, rng

    def write(self) -> str:
        kind = self.rng.random()
        if kind < 0.4:
            return self._sentence()
        tags = self._tags()
        if kind < 0.5:
            return tags[0]
        return self._pick((", ", ", ", "; ", " ", " - ")).join(tags)

    def _pick(self, options: Sequence[str]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def _tags(self) -> list[str]:
        """Phrases for a random subset of the attributes (at least one), in random order."""
        phrases = [
            (self._style(), 0.8),
            (self._tempo(), 0.5),
            (self._mood(), 0.4),
            (self._energy(), 0.4),
            (self._drums(), 0.6),
            *((phrase, 0.75) for phrase in self._instruments()),
        ]
        order = self.rng.permutation(len(phrases))
        chosen = [phrases[i][0] for i in order if self.rng.random() < phrases[i][1]]
        return chosen or [phrases[order[0]][0]]

    def _sentence(self) -> str:
        instruments = " and ".join(self._instruments())
        drums = "" if self.rng.random() < 0.4 else self._drums().removeprefix("with ")
        sounds = " and ".join(phrase for phrase in (instruments, drums) if phrase)
        if "no " in drums or "without" in drums or drums == "drumless":
            sounds = f"{instruments}, {drums}"
        adjectives = [self._tempo(), self._mood(), self._energy()]
        self.rng.shuffle(adjectives)
        adjectives = " ".join(adjectives[: int(self.rng.integers(0, 3))])
        head = f"{adjectives} {self._style()}".strip()
        form = self._pick(
            (
                "{head} with {what}",
                "{head} {piece} with {what}",
                "{a} {head} {piece}, {what}",
                "{head}: {what}",
                "{head} in {mode}, {what}",
                "{what} in {a} {head} {piece}",
                "{head} at {bpm} bpm with {what}",
            )
        )
        mode = self.piece.key.split()[1]
        return form.format(
            a="an" if head[0] in "aeiou8" else "a",
            head=head,
            what=sounds,
            piece=self._pick(_PIECES),
            mode=mode,
            bpm=round(self.piece.tempo),
        )

    def _style(self) -> str:
        return self._pick(style_words(self.piece.style.name))

    def _tempo(self) -> str:
        if self.rng.random() < 0.25:
            return f"{round(self.piece.tempo)} bpm"
        return self._pick(TEMPO_WORDS[tempo_word(self.piece.tempo)])

    def _mood(self) -> str:
        return self._pick(self.piece.style.moods)

    def _energy(self) -> str:
        return self._pick(ENERGY_WORDS[self.piece.energy])

    def _drums(self) -> str:
        return self._pick(DRUM_WORDS["yes" if "drums" in self.piece.programs else "no"])

    def _instruments(self) -> list[str]:
        """The instruments of lead and chords, which are most audible, and sometimes one of the others."""
        names = instrument_names(self.piece)
        words = {stem: self._pick(instrument_words(name)) for stem, name in names.items()}
        phrases = []
        if "lead" in words:
            # Avoids "synth lead lead".
            form = "{}" if "lead" in words["lead"] else self._pick(LEAD_FORMS)
            phrases.append(form.format(words["lead"]))
        if self.rng.random() < 0.7 or not phrases:
            phrases.append(self._pick(_COMP_FORMS).format(words["comp"]))
        phrases += [words[stem] for stem in ("bass", "pad") if stem in words and self.rng.random() < 0.3]
        return phrases


def style_words(style: str) -> tuple[str, ...]:
    """Synonyms of a style in captions."""
    return STYLE_WORDS.get(style, (style,))


def instrument_words(instrument: str) -> tuple[str, ...]:
    """Synonyms of an instrument in captions."""
    return INSTRUMENT_WORDS.get(instrument, (instrument,))
