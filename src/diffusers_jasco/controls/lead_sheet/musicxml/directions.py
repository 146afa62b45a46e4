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


"""Interprets directions of MusicXML: tempos, repeat signs as marks or words, section names and swing."""

import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple
from xml.etree.ElementTree import Element

from .file import number_of, text_of


NOTE_VALUES = {
    "maxima": Fraction(32), "long": Fraction(16), "breve": Fraction(8), "whole": Fraction(4), "half": Fraction(2),
    "quarter": Fraction(1), "eighth": Fraction(1, 2), "16th": Fraction(1, 4), "32nd": Fraction(1, 8),
    "64th": Fraction(1, 16), "128th": Fraction(1, 32), "256th": Fraction(1, 64), "512th": Fraction(1, 128),
    "1024th": Fraction(1, 256),
}  # fmt: skip

_MAX_WORDS = 200  # characters of a direction that are interpreted
_GLYPHS = {"𝄋": " segno ", "𝄌": " coda ", "⊕": " coda ", "\ue047": " segno ", "\ue048": " coda "}
_DA_CAPO = re.compile(r"\bda capo\b|(?<![a-z.])d\. ?c\b|^d ?c\b(?! ?=)")
_DAL_SEGNO = re.compile(r"\bd[ae]l segno\b|(?<![a-z.])d\. ?s\b|^d ?s\b(?! ?=)")
_AL_FINE = re.compile(r"\b(al?|alla|to|until|bis|zum) ?(the )?(fine|end|ende)\b")
_AL_CODA = re.compile(r"\b(alla|al?|to|then|e poi|e|y|and|zur) ?(la |the )?coda\b")
_TO_CODA = re.compile(r"^(to|al|alla|a la|zur|para|go to) ?(the )?coda( \d)?$")
_FINE = re.compile(r"^(\d+x )?(al )?fine$")
_CODA = re.compile(r"^coda( \d)?( coda)?$")
_SWING = re.compile(r"\b(swing|swung|shuffle|swingfeel)\b")
_STRAIGHT = re.compile(r"\b(straight|even) (8|eighth)|\bno swing\b|\bnot swung\b|^straight$")
_TEMPO = re.compile(r"(𝅗𝅥|♩|♪|𝅘𝅥𝅮|𝅘𝅥)?( ?\.)? ?[=≈~] ?(?:ca?\.? ?)?([0-9]{2,3}(?:\.[0-9]+)?)(?![\d/])")
_NOTE_SIGNS = {"𝅗𝅥": Fraction(2), "♪": Fraction(1, 2), "𝅘𝅥𝅮": Fraction(1, 2)}
_SECTION = re.compile(
    r"^(pre|post)?[- ]?(verse|chorus|refrain|bridge|intro|introduction|outro|ending|interlude|solo|tag|vamp|strophe|vers"
    r"|estribillo|estrofa|couplet|refrão|verso|ritornello|strofa|head|middle eight|hook)( ?[0-9]{1,2}| ?[a-d])?:?$"
)


class Tempo(NamedTuple):
    """A tempo in beats per minute; `unit` is the length of a beat in quarter notes."""

    bpm: float
    unit: Fraction


@dataclass
class Direction:
    r"""
    The meaning of a direction or sound element.

    Args:
        tempo (`Tempo`, *optional*): a tempo.
        jump (`str`): `"D.C."` or `"D.S."` with or without `"al Fine"` or `"al Coda"`.
        signs (`set`): any of `"segno"`, `"coda"`, `"to_coda"`, `"fine"`, `"coda?"` (a sign that is one of the two).
        section (`str`): name of a section that begins here.
        swing (`bool`, *optional*): swing or straight eighth notes.
        no_chord (`bool`): whether the chords pause from here on (N.C. as words).
    """

    tempo: Tempo | None = None
    jump: str = ""
    signs: set[str] = field(default_factory=set)
    section: str = ""
    swing: bool | None = None
    no_chord: bool = False


def read_direction(element: Element) -> Direction:
    """Interprets a direction element."""
    result = Direction()
    parts, glyphs = [], set()
    for kind in element.iterfind("direction-type"):
        for item in kind:
            if item.tag in ("words", "symbol"):
                parts.append(item.text or "")
            elif item.tag in ("coda", "segno"):
                glyphs.add(item.tag)
                parts.append(f" {item.tag} ")
            elif item.tag == "rehearsal":
                result.section = " ".join((result.section + " " + (item.text or "")).split())
            elif item.tag == "metronome":
                result.tempo = _read_metronome(item) or result.tempo
    words = _normalize("".join(parts))
    if words:
        _read_words(words, glyphs, result)
    for sound in element.iterfind("sound"):
        read_sound(sound, result)
    if result.section and result.section.lower() == "coda" and not result.signs:
        result.signs.add("coda")
    if not result.section and _SECTION.match(words):
        result.section = " ".join("".join(parts).split()).rstrip(":")
    return result


def read_sound(sound: Element, result: Direction):
    """Adds the meaning of a sound element, which is more reliable than words, to `result`."""
    quarters = number_of(sound.get("tempo"))
    if quarters and quarters > 0:
        unit = result.tempo.unit if result.tempo is not None else Fraction(1)
        marked = result.tempo.bpm * float(unit) if result.tempo is not None else 0.0
        if abs(marked - quarters) > 0.02 * quarters:
            result.tempo = Tempo(round(quarters / float(unit), 4), unit)
    for attribute, sign in (("segno", "segno"), ("coda", "coda"), ("tocoda", "to_coda"), ("fine", "fine")):
        if sound.get(attribute, "no") not in ("no", ""):
            result.signs -= {"coda?"} if "coda" in sign else set()
            result.signs.add(sign)
    for attribute, jump in (("dacapo", "D.C."), ("dalsegno", "D.S.")):
        if sound.get(attribute, "no") not in ("no", "") and not result.jump:
            result.jump = jump
    if result.jump:
        result.signs -= {"coda?", "segno"} if sound.get("segno") is None else {"coda?"}
    swing = sound.find("swing")
    if swing is not None:
        first, second = (number_of(text_of(swing, tag)) for tag in ("first", "second"))
        result.swing = bool(first and second and first > second)


def _normalize(text: str) -> str:
    text = re.sub(r"<[^<>]{0,40}>", " ", text[:_MAX_WORDS])
    for glyph, word in _GLYPHS.items():
        text = text.replace(glyph, word)
    return " ".join(text.lower().strip(" ()[].,;:*\"'").split())


def _read_words(words: str, glyphs: set[str], result: Direction):
    # "d.c.alfine" has neither spaces nor word boundaries.
    spaced = " ".join(re.sub(r"(?<=[cs])\.(?=[a-z])", ". ", words).split())
    spaced = re.sub(r"\bal(?=(fine|coda)\b)", "al ", spaced)
    if _DA_CAPO.search(spaced) or _DAL_SEGNO.search(spaced):
        jump = "D.C." if _DA_CAPO.search(spaced) else "D.S."
        # "D.S. al Coda e poi Fine" names the coda first.
        found = [(match.start(), suffix) for pattern, suffix in ((_AL_FINE, " al Fine"), (_AL_CODA, " al Coda"))
                 if (match := pattern.search(spaced))]  # fmt: skip
        result.jump = jump + (min(found)[1] if found else "")
    elif _TO_CODA.match(spaced):
        result.signs.add("to_coda")
    elif _FINE.match(spaced):
        result.signs.add("fine")
    elif _CODA.match(spaced):
        result.signs.add("coda?")
    elif "segno" in glyphs or spaced == "segno":
        result.signs.add("segno")
    result.no_chord = words.replace(" ", "") in ("n.c", "nc")
    if _STRAIGHT.search(words):
        result.swing = False
    elif _SWING.search(words):
        result.swing = True
    if result.tempo is None and (match := _TEMPO.search(words)):
        unit = dotted(_NOTE_SIGNS.get(match[1] or "", Fraction(1)), 1 if match[2] else 0)
        result.tempo = _check(Tempo(float(match[3]), unit))


def _read_metronome(element: Element) -> Tempo | None:
    """A tempo mark such as "dotted quarter = 80". Equations of two note values have no tempo."""
    unit, dots, count = Fraction(0), 0, 0
    for item in element:
        if item.tag == "beat-unit":
            unit, dots, count = NOTE_VALUES.get(text_of(item), Fraction(0)), 0, count + 1
        elif item.tag == "beat-unit-dot":
            dots += 1
        elif item.tag == "per-minute" and count == 1 and unit:
            match = re.search(r"[0-9]{1,4}(\.[0-9]{1,6})?", text_of(item))
            return _check(Tempo(float(match[0]), dotted(unit, dots))) if match else None
    return None


def dotted(value: Fraction, dots: int) -> Fraction:
    """The length of a note value with dots, at most four of which count."""
    return value * (2 - Fraction(1, 2 ** min(dots, 4)))


def _check(tempo: Tempo) -> Tempo | None:
    return tempo if tempo.bpm > 0 else None
