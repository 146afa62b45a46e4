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

"""Parses the fields of ABC tunes: meter, unit note length, tempo, key and voices."""

import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from ....utils.errors import InputError, shorten
from ..bars import FASTEST_TEMPO, SLOWEST_TEMPO, TempoMark, TimeSignature
from ..keys import MODES, parse_tonality


LETTERS = "FCGDAEB"  # by fifths

_FRACTION = re.compile(r"(\d{1,3}(?:\s*\+\s*\d{1,3})*)\s*\)?\s*/\s*(\d{1,3})")
_UNIT = re.compile(r"=?\s*(\d{1,3})\s*(?:/\s*(\d{1,3}))?")
_BEATS = re.compile(r"((?:\d{1,3}\s*/\s*\d{1,3}\s*)+)=\D*(\d{1,4}(?:\.\d{1,6})?)")
_UNIT_BEATS = re.compile(r"C\s*(\d{0,3})\s*(?:/\s*(\d{1,3}))?\s*=\s*(\d{1,4}(?:\.\d{1,6})?)")
_NUMBER = re.compile(r"=?\s*(\d{1,4}(?:\.\d{1,6})?)")
_TEMPO_WORDS = {
    "larghissimo": 24, "grave": 40, "largo": 50, "lento": 56, "larghetto": 63, "adagio": 70, "slow": 70, "slowly": 70,
    "andante": 88, "andantino": 94, "moderato": 108, "moderate": 108, "moderately": 108, "medium": 108,
    "allegretto": 116, "allegro": 134, "fast": 144, "vivo": 152, "vivace": 160, "presto": 180, "prestissimo": 200,
}  # fmt: skip

_TONIC = re.compile(r"([A-Ga-g])([#b♯♭]?)(?=$|[\s^_=]|maj|m|ion|aeo|mix|dor|phr|lyd|loc|exp)", re.IGNORECASE)
_MODE = re.compile(r"\s*(maj|min|ion|aeo|mix|dor|phr|lyd|loc|exp)[a-z]*|\s*(m)(?![a-z])", re.IGNORECASE)
_MODE_NAMES = {"maj": "major", "ion": "major", "min": "minor", "aeo": "minor", "mix": "mixolydian", "dor": "dorian",
               "phr": "phrygian", "lyd": "lydian", "loc": "locrian", "exp": "major"}  # fmt: skip
_ACCIDENTAL = re.compile(r"(\^\^|\^|__|_|=)([A-Ga-g])(?![a-z])")
_CLEF = re.compile(r"(?:clef\s*=\s*\"?|\b)(treble|alto|tenor|bass|soprano|mezzo|baritone|none|perc)\w*", re.IGNORECASE)
_CLEF_OCTAVE = re.compile(r"(?:treble|alto|tenor|bass|[GCF])\d?\s?([+-])(8|15)\b", re.IGNORECASE)
_PROPERTY = re.compile(r"(\w+)\s*=\s*(?:\"([^\"]*)\"|([^\s\"]+))")
_SIGNS = {"^^": 2, "^": 1, "=": 0, "_": -1, "__": -2}

_SWING = re.compile(r"\b(swing|swung|shuffle)\b", re.IGNORECASE)
_STRAIGHT = re.compile(r"\b(no|not|without|straight)\b", re.IGNORECASE)


class Meter(NamedTuple):
    """A meter: the time signature, or `None` for free meter, and the length of a bar in quarter notes."""

    signature: TimeSignature | None
    length: Fraction

    @property
    def default_unit(self) -> Fraction:
        """The unit note length without `L:` in quarter notes: a sixteenth for meters below 3/4, else an eighth."""
        return Fraction(1, 4) if self.signature is not None and self.length < 3 else Fraction(1, 2)


@dataclass(frozen=True)
class Key:
    r"""
    A key.

    Args:
        name (`str`): as written, such as `"D dorian"`; empty for `K:none`.
        alterations (`dict[str, int]`): semitones by which the signature alters the letters A to G.
    """

    name: str = ""
    alterations: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Shift:
    """Transposition of a voice; `None` leaves the previous value. `clef`: octaves of the clef."""

    semitones: int | None = None
    octave: int | None = None
    clef: int | None = None


def parse_meter(text: str) -> Meter:
    r"""
    Parses the value of `M:`, such as `6/8`, `C|`, `(2+2+3)/8` or `none`.

    Raises:
        [`InputError`]: for other text.
    """
    plain = text.strip().strip('"')
    if plain.lower() in ("", "none", "free"):
        return Meter(None, Fraction(4))
    if match := re.match(r"[Cc](\|?)($|\s)", plain):
        signature = TimeSignature(2, 2) if match[1] else TimeSignature(4, 4)
        return Meter(signature, signature.length)
    match = _FRACTION.search(plain)
    if match is None:
        raise InputError(f"M:{plain[:40]} is not a meter such as 4/4, 6/8, C, C| or none", "source")
    numerator, denominator = sum(int(part) for part in match[1].split("+")), int(match[2])
    if not 1 <= numerator <= 64 or denominator not in (1, 2, 4, 8, 16, 32, 64):
        raise InputError(
            f"M:{plain[:40]} is not a meter such as 4/4: the upper number has to be 1 to 64, the lower one 1, 2, 4, 8,"
            " 16, 32 or 64",
            "source",
        )
    signature = TimeSignature(numerator, denominator)
    return Meter(signature, signature.length)


def parse_unit(text: str) -> Fraction:
    r"""
    Parses the value of `L:`, such as `1/8`.

    Returns:
        `Fraction`: quarter notes.

    Raises:
        [`InputError`]: for other text.
    """
    match = _UNIT.match(text.strip())
    if match is None or not int(match[1]) or not int(match[2] or 1):
        raise InputError(f"L:{text.strip()[:40]} is not a note length such as 1/8", "source")
    return 4 * Fraction(int(match[1]), int(match[2] or 1))


def parse_tempo(text: str, unit: Fraction, beat: Fraction) -> TempoMark | None:
    r"""
    Parses the value of `Q:`, such as `1/4=120`, `"Allegro" 3/8=90`, `120` (quarter notes) or `C3=40` (three unit
    notes).

    Args:
        text (`str`): the value.
        unit (`Fraction`): the unit note length in quarter notes.
        beat (`Fraction`): the beat of the meter, which words such as `"Allegro"` refer to.

    Returns:
        [`TempoMark`], or `None` if the value is only a text that is not a known tempo.

    Raises:
        [`InputError`]: if the value is invalid.
    """
    plain = re.sub(r"\"[^\"]*\"?", " ", text).strip()
    if match := _BEATS.match(plain):
        parts = re.findall(r"(\d+)\s*/\s*(\d+)", match[1])
        if all(int(below) for _, below in parts):
            length = 4 * sum((Fraction(int(above), int(below)) for above, below in parts), Fraction(0))
            return _checked_tempo(float(match[2]), length, text)
    elif match := _UNIT_BEATS.match(plain):
        if int(match[2] or 1):
            length = Fraction(int(match[1] or 1), int(match[2] or 1)) * (unit if match[1] or match[2] else Fraction(1))
            return _checked_tempo(float(match[3]), length, text)
    elif match := _NUMBER.match(plain):
        return _checked_tempo(float(match[1]), Fraction(1), text)
    elif not re.search(r"\d", plain):
        words = re.findall(r"[a-z]+", text.lower())
        found = next((_TEMPO_WORDS[word] for word in words if word in _TEMPO_WORDS), None)
        return None if found is None else TempoMark(float(found), beat)
    raise InputError(f"Q:{text.strip()[:40]} is not a tempo such as 1/4=120", "source")


def _checked_tempo(bpm: float, unit: Fraction, text: str) -> TempoMark:
    if not bpm or not unit or not SLOWEST_TEMPO <= bpm * unit <= FASTEST_TEMPO or unit > 64:
        raise InputError(
            f"Q:{text.strip()[:40]} is not a tempo such as 1/4=120, between 5 and 1,600 quarter notes per minute",
            "source",
        )
    return TempoMark(bpm, unit)


def says_swing(text: str) -> bool:
    """Whether a tempo or rhythm text asks for swing."""
    return _SWING.search(text) is not None and _STRAIGHT.search(text) is None


def parse_key(text: str) -> tuple[Key | None, Shift]:
    r"""
    Parses the value of `K:`, such as `Ador`, `D exp _b ^f`, `HP` or `G clef=treble-8 transpose=-2`.

    Returns:
        `tuple`: the [`Key`], or `None` if the value has only a clef or a transposition; and the [`Shift`].

    Raises:
        [`InputError`]: if the key is unknown.
    """
    plain = text.strip()
    shift = parse_shift(plain)
    if plain[:2].lower() == "hp" and not plain[2:3].isalpha():
        return Key("A mixolydian", signature_of("D major")), shift
    if re.match(r"none\b", plain, re.IGNORECASE) or not plain:
        return Key(), shift
    tonic = _TONIC.match(plain)
    if tonic is None:
        explicit = _ACCIDENTAL.findall(plain)
        if explicit:
            return _altered(Key(), plain), shift
        if _PROPERTY.match(plain) or _CLEF.match(plain) or re.match(r"[+-]?8va|exp\b", plain):
            return None, shift
        raise InputError(f"K:{plain[:40]} is not a key such as G, Am, Ddor or Bb", "source")
    mode = _MODE.match(plain, tonic.end())
    word = (mode[1] or mode[2]) if mode else ""
    name = "major" if word == "M" else _MODE_NAMES.get(word[:3].lower(), "minor") if word else "major"
    accidental = tonic[2].replace("♯", "#").replace("♭", "b")
    key = f"{tonic[1].upper()}{accidental} {name}"
    signature = {} if word.lower() == "exp" else signature_of(key)
    return _altered(Key(key, signature), plain[mode.end() if mode else tonic.end() :]), shift


def _altered(key: Key, text: str) -> Key:
    """Adds the explicit accidentals of a text to a key."""
    properties = _PROPERTY.search(text)
    found = _ACCIDENTAL.findall(text[: properties.start()] if properties else text)
    if not found:
        return key
    signature = dict(key.alterations)
    for sign, letter in found:
        signature[letter.upper()] = _SIGNS[sign]
    signature = {letter: alteration for letter, alteration in signature.items() if alteration}
    tonic = key.name.split()[0] if key.name else ""
    modes = [key.name.split()[-1], *MODES] if tonic else []
    named = (f"{tonic} {mode}" for mode in modes)
    return Key(next((name for name in named if signature_of(name) == signature), key.name), signature)


def signature_of(key: str) -> dict[str, int]:
    """The alterations of a key in semitones by letter, without letters that are not altered."""
    if not key:
        return {}
    tonic, mode = parse_tonality(key)
    fifths = tonic + MODES[mode]
    signature: dict[str, int] = {}
    for position in range(abs(fifths)):
        letter = LETTERS[position % 7] if fifths > 0 else LETTERS[-1 - position % 7]
        signature[letter] = signature.get(letter, 0) + (1 if fifths > 0 else -1)
    return signature


def parse_shift(text: str) -> Shift:
    r"""
    Parses `transpose=`, `octave=` and the octave of a clef, such as `treble-8`, in a `K:` or `V:` field.

    Raises:
        [`InputError`]: if a number is out of range.
    """
    properties = {match[1].lower(): match[2] or match[3] for match in _PROPERTY.finditer(text)}
    semitones = _to_integer(properties.get("transpose", properties.get("t")), 48, "transpose")
    octave = _to_integer(properties.get("octave", properties.get("o")), 4, "octave")
    clef = None
    if match := _CLEF_OCTAVE.search(text):
        clef = (1 if match[1] == "+" else -1) * (1 if match[2] == "8" else 2)
    elif _CLEF.search(text):
        clef = 0
    return Shift(semitones, octave, clef)


def _to_integer(value: str | None, limit: int, name: str) -> int | None:
    if value is None or not re.fullmatch(r"[+-]?\d{1,4}", value):
        return None
    if abs(int(value)) > limit:
        raise InputError(f"{name}={value} has to be between -{limit} and {limit}", "source")
    return int(value)


def parse_voice(text: str) -> tuple[str, str]:
    """The identifier and the name of a voice from the value of `V:`; the name is empty if there is none."""
    words = text.split(None, 1)
    properties = {match[1].lower(): match[2] or match[3] for match in _PROPERTY.finditer(text)}
    name = properties.get("name") or properties.get("nm") or ""
    return (words[0] if words else "1"), name


def parse_order(text: str) -> list[str]:
    r"""
    Parses the order in which parts are played, such as `AABB`, `A2B2` or `(AB)3C`.

    Returns:
        `list[str]`: one letter per part, empty if the text is not an order of parts.

    Raises:
        [`InputError`]: if more than 1,000 parts are played.
    """
    plain = re.sub(r"[\s.,;]", "", text)
    if not re.fullmatch(r"[A-Z()\d]*[A-Z)\d]", plain) or not re.match(r"[A-Z(]", plain):
        return []
    stack: list[list[str]] = [[]]
    last: list[str] = []
    for match in re.finditer(r"[A-Z]|[()]|\d+", plain):
        token = match[0]
        if token == "(":
            stack.append([])
        elif token == ")":
            if len(stack) == 1:
                return []
            last = stack.pop()
            stack[-1].extend(last)
        elif token.isdigit():
            count = int(token[:5])
            if count * len(last) + sum(map(len, stack)) > 1000:
                raise InputError(f"P:{shorten(text)} plays more than 1,000 parts", "source")
            stack[-1].extend(last * (count - 1))
            last = []
        else:
            last = [token]
            stack[-1].append(token)
    return stack[0] if len(stack) == 1 else []
