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

"""Parses chord labels in any common spelling."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache


NO_CHORD = "N"
UNKNOWN_CHORD = "UNK"
# From here on, chords are not controlled. In lists, `None` means the same.
FREE_CHORD = "*"
MAX_LENGTH = 40  # characters

_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
_NOTE = re.compile(r"([A-G])([#b]{0,2})")
_DEGREE = re.compile(r"([#b]{0,2})(1[0-3]|[1-9])")
_QUALITY_TOKEN = re.compile(r"maj|min|hdim|dim|aug|dom|sus|add|omit|no|alt|M|m|j|o|-|\+|[#b*]|\d+|[(),/]")
_SIGNS = {"+": "#", "-": "b", "#": "#", "b": "b"}
_NO_CHORDS = {"N", "NC", "NOCHORD", "NONE", "SILENCE", "SILENT", "&PAUSE", "PAUSE", "REST", "TACET", "END"}

# Equivalent symbols. Triangles and carets are a major seventh, alone and with a number (CΔ, C^9).
_SIGN_SPELLINGS = str.maketrans({
    "♯": "#", "♭": "b", "−": "-", "–": "-", "—": "-", "Δ": "^", "△": "^", "∆": "^", "°": "dim", "˚": "dim",
    "ø": "hdim",
    "Ø": "hdim", "∅": "hdim", "⌀": "hdim", "’": "", "'": "",
})  # fmt: skip
# Words and other spellings of qualities, applied in this order.
_SPELLINGS = (
    (r"\^(?=\d)", "maj"),
    (r"\^", "maj7"),
    (r"(?i)half-?dim(inished)?", "hdim"),
    (r"(?i)diminished", "dim"),
    (r"(?i)augmented", "aug"),
    (r"(?i)dominant", "dom"),
    (r"(?i)suspended", "sus"),
    (r"(?i)subtract|omit|no(?=\d)", "omit"),
    (r"(?i)power", "5"),
    (r"(?i)alter(ed)?(?=[#b])", ""),
    (r"(?i)altered", "alt"),
    (r"(?<=\d)(st|nd|rd|th|d)(?=$|[^a-z])", ""),
    (r"(?i)major|maj|ma(?=[\d(#b]|$)", "maj"),
    (r"(?i)minor|min|(?<!di)mi(?=[\d(#b/m-]|$)", "min"),
    (r"(?i)(hdim|dim|aug|dom|sus|add|alt)", lambda match: match[0].lower()),
    (r"^h(?!dim)", "hdim"),  # iReal Pro
    (r"^0(?=7|$|/)", "dim"),
    (r"^(m|min|-)/(?=maj|M|7M)", "min"),
    (r"6/9", "69"),
)

_SOLFEGE = {"Do": "C", "Re": "D", "Mi": "E", "Fa": "F", "Sol": "G", "La": "A", "Si": "B"}
_SOLFEGE_NOTE = re.compile(r"(?:^|(?<=/))(Do|Re|Mi|Fa|Sol|La|Si)")


@dataclass(frozen=True)
class Chord:
    """
    The notes of a chord.

    Args:
        root (`int`): pitch class of the root, 0 (C) ... 11 (B).
        intervals (`frozenset[int]`): intervals of the notes above the root in semitones, without an added bass note.
        bass (`int`): interval of the bass note above the root in semitones, 0 in root position.
    """

    root: int
    intervals: frozenset[int]
    bass: int = 0

    @property
    def pitch_classes(self) -> frozenset[int]:
        """The pitch classes 0 ... 11 of all notes, including the bass."""
        return frozenset((self.root + interval) % 12 for interval in self.intervals | {self.bass})

    @property
    def bass_pitch_class(self) -> int:
        return (self.root + self.bass) % 12


def is_no_chord(label: str) -> bool:
    """Whether `label` means no chord: N, NC, N.C., "no chord", silence, end, ..."""
    return re.sub(r"[\s._-]", "", label).upper() in _NO_CHORDS


@lru_cache(maxsize=4096)
def parse_chord(label: str) -> Chord | None:
    r"""
    Parses a chord in any common spelling.

    - Lead sheets and the Real Book: `Db`, `C-7`, `CM7`, `Cmi7`, `CΔ9`, `Cø`, `Bdim7`, `C6/9`, `F#m7b5/E`, `C7(b9)`,
      `Gsus4`.
    - Harte et al. (2005): `C:maj7/3`, `A:min(9)`, `D:hdim7`.
    - iReal Pro: `Dh7`, `C^9`, `C-^7`, `G7alt`, `G7b9#5`, `F9sus`.
    - Brazilian: `C7M(9)`, `Cm7(5-)`, `D7/9`, `C4/7`, `B7(9-/13-)`, `F5+`.

    Some spellings are ambiguous. Here `C7+` is C7#5 (in Brazil also a major seventh), `C9` has a minor seventh, `C2`
    is an added second, and `Do` is D diminished. After a slash, a note is the bass (`C/G`), and so is a degree up to
    the seventh after a triad (`C/3`, `C/b7`); other degrees are added notes (`C/9`, `D7/9`, `C7/4`); a chord is the
    lower part of a polychord (`D/C7`).

    Args:
        label (`str`): the chord.

    Returns:
        [`Chord`], or `None` if the label is not a chord.
    """
    if len(label) > MAX_LENGTH:
        return None
    text = re.sub(r"\s", "", unicodedata.normalize("NFKC", label.replace("º", "°").replace("´", "")))
    text = text.translate(_SIGN_SPELLINGS)
    # Some datasets write sharps as "s".
    text = re.sub(r"^([A-G])s(?!us)", r"\1#", text)
    root = _NOTE.match(text)
    if root is None:
        return None
    body, root_class = text[root.end() :], _pitch_class(root)
    if body.startswith(":"):
        quality, slash, degree = body[1:].partition("/")
        return _to_chord(root_class, _plain(quality), True, _parse_bass(degree, root_class) if slash else 0)
    body = _plain(body)
    if re.search(r"/(/|\)|$)", body):
        return None
    quality, slash, last = body.rpartition("/")
    if not slash or body.rfind(")") > body.rfind("/"):
        return _to_chord(root_class, body, False, 0)
    if _is_bass(last, quality):
        return _to_chord(root_class, quality, False, _parse_bass(last, root_class))
    lower = parse_chord(last) if _NOTE.match(last) else None
    if lower is None:
        return _to_chord(root_class, body, False, 0)
    upper = _to_chord(root_class, quality, False, 0)
    return upper and Chord(
        lower.root, frozenset((note - lower.root) % 12 for note in lower.pitch_classes | upper.pitch_classes)
    )


def _plain(quality: str) -> str:
    for spelling, plain in _SPELLINGS:
        quality = re.sub(spelling, plain, quality)
    return quality


def parse_solfege(label: str) -> Chord | None:
    """Parses a chord whose notes are named Do, Re, Mi, Fa, Sol, La and Si; see [`parse_chord`]."""
    plain = from_solfege(label)
    return None if plain is None else parse_chord(plain)


def from_solfege(label: str) -> str | None:
    """Replaces Do, Re, Mi, ... by letters: `Solm7` becomes `Gm7`. Returns `None` for other labels, such as `Fadd9`."""
    text = unicodedata.normalize("NFKD", label.strip())
    text = "".join(sign for sign in text if not unicodedata.combining(sign))
    if not _SOLFEGE_NOTE.match(text):
        return None
    plain = _SOLFEGE_NOTE.sub(lambda match: _SOLFEGE[match[1]], text)
    return plain if parse_chord(plain) is not None else None


def _pitch_class(match: re.Match) -> int:
    return (_LETTERS[match[1]] + match[2].count("#") - match[2].count("b")) % 12


def _is_bass(text: str, quality: str) -> bool:
    """Whether the text after a slash is the bass of a chord, as opposed to an added note."""
    if _NOTE.fullmatch(text):
        return True
    degree = _DEGREE.fullmatch(text)
    if degree is None or int(degree[2]) > 7:
        return False
    has_number = any(sign.isdigit() for sign in quality) or "sus" in quality
    if not has_number:
        return True
    # After a chord with numbers, it may also be an added note or an altered fifth.
    if degree[2] == "7":
        return "7" in quality
    return degree[2] in "123" or (degree[2] == "5" and not degree[1])


def _parse_bass(bass: str, root: int) -> int | None:
    """The interval of a note name or a degree of the major scale above the root, in semitones."""
    if note := _NOTE.fullmatch(bass):
        return (_pitch_class(note) - root) % 12
    if degree := _DEGREE.fullmatch(bass):
        return _degree(degree[1], int(degree[2]))
    return None


def _degree(accidentals: str, number: int) -> int:
    return (_MAJOR_SCALE[(number - 1) % 7] + accidentals.count("#") - accidentals.count("b")) % 12


def _to_chord(root: int, quality: str, harte: bool, bass: int | None) -> Chord | None:
    tokens = _tokenize(quality)
    if bass is None or tokens is None or tokens.count("(") != tokens.count(")"):
        return None
    try:
        return Chord(root, _QualityParser(tokens, harte).parse(), bass)
    except ValueError:
        return None


def _tokenize(quality: str) -> list[str] | None:
    quality = re.sub(r"(?i)(maj|min|hdim|dim|aug|dom|sus|add|omit|alt)", lambda match: match[0].lower(), quality)
    tokens, position = [], 0
    while position < len(quality):
        match = _QUALITY_TOKEN.match(quality, position)
        if match is None:
            return None
        tokens.append({"M": "maj", "j": "maj", "m": "min", "o": "dim", "no": "omit"}.get(match[0], match[0]))
        position = match.end()
    return tokens


class _QualityParser:
    """
    Parses the tokens of a chord quality: first the triad, then the extension, then alterations. The methods raise a
    `ValueError` if the tokens are not a chord.
    """

    def __init__(self, tokens: list[str], harte: bool):
        self.tokens, self.harte = tokens[::-1], harte  # reversed: the next token is at the end
        self.third: int | None = 4
        self.fifth: int | None = 7
        self.seventh: int | None = None
        self.extra: set[int] = set()
        self.removed: set[int] = set()
        self.implied: set[int] = set()  # degrees that an extension implies: 13 implies 9 and 11

    def peek(self, *names: str) -> bool:
        return bool(self.tokens) and self.tokens[-1] in names

    def take(self, *names: str) -> bool:
        """Consumes the next token if it is one of `names`, and returns whether it is."""
        found = self.peek(*names)
        if found:
            self.tokens.pop()
        return found

    def take_degree(self) -> int:
        if not self.tokens or not self.tokens[-1].isdigit() or int(self.tokens[-1]) not in range(1, 14):
            raise ValueError
        return int(self.tokens.pop())

    def take_sign(self) -> str:
        """Consumes an accidental after a degree, as in C7(9-), unless it belongs to the next degree, as in C7-9."""
        if self.peek("+", "-", "#", "b") and not (len(self.tokens) > 1 and self.tokens[-2].isdigit()):
            return _SIGNS[self.tokens.pop()]
        return ""

    def parse(self) -> frozenset[int]:
        """Returns the intervals above the root."""
        self.parse_extension(self.parse_triad())
        while self.tokens:
            self.parse_alteration()
        notes = {note for note in (self.third, self.fifth, self.seventh) if note is not None}
        return frozenset((notes | self.extra) - self.removed | {0})

    def parse_triad(self) -> int:
        """Parses the triad and returns the seventh that extensions of it have."""
        if self.harte and self.peek("("):
            self.third = self.fifth = None  # an explicit list of degrees
        elif self.take("maj"):
            return 11
        elif self.take("min", "-"):
            self.third = 3
            in_parentheses = self.tokens[-2:] == ["maj", "("] and self.take("(")
            if self.take("maj"):
                if not self.peek("7", "9", "11", "13"):
                    raise ValueError
                return 11
            if in_parentheses:
                raise ValueError
            if self.take("aug"):
                self.fifth = 8
        elif self.take("dim"):
            self.third, self.fifth = 3, 6
            return 9
        elif self.take("hdim"):
            self.third, self.fifth, self.seventh = 3, 6, 10
        elif self.take("aug", "+"):
            self.fifth = 8
            return 11 if self.take("maj") else 10
        elif self.take("dom"):
            self.seventh = 10
        return 10

    def parse_extension(self, seventh: int):
        added: dict[str, set[int]]
        added = {"7": set(), "9": {2}, "11": {2, 5}, "13": {2, 5, 9}, "6": {9}, "69": {9, 2}, "2": {2}}
        if self.peek(*added):
            number = self.tokens.pop()
            if number in ("7", "9", "11", "13"):
                # A major seventh may also be written after the number: C7M.
                is_major = self.peek("maj") and self.tokens[-2:] != ["7", "maj"] and self.take("maj")
                self.seventh = 11 if is_major else seventh
            self.extra = added[number]
            self.implied = {degree for degree in (9, 11, 13) if number in ("9", "11", "13") and degree <= int(number)}
        elif self.take("5"):
            if sign := self.take_sign():
                self.fifth = _degree(sign, 5)  # F5+
            else:
                self.third = None
        elif self.take("4"):
            self.third = 5
        elif self.harte and self.take("1"):
            self.third = self.fifth = None

    def parse_alteration(self):
        if self.take("(", ")", ",", "/"):
            pass
        elif self.take("sus"):
            self.third = 2 if self.take("2") else 5
            self.take("4")
        elif self.take("alt"):
            self.fifth = None
            self.extra.add(1)
        elif self.take("maj"):
            if not self.take("7"):
                raise ValueError
            self.seventh = 11
        elif self.take("omit", "*"):
            accidental = self.tokens.pop() if self.peek("#", "b") else ""
            self.removed.add(_degree(accidental, self.take_degree()))
        else:
            self.parse_degree(is_added=self.take("add"))

    def parse_degree(self, is_added: bool):
        accidental = ""
        while self.peek("#", "b", "+", "-"):
            token = self.tokens.pop()
            accidental += _SIGNS[token]
        if accidental == "#" and not self.tokens:
            self.fifth = 8  # C7+
            return
        number = self.take_degree()
        accidental = accidental or self.take_sign()
        if len(accidental) > 2:
            raise ValueError
        if number == 7 and not self.harte and (accidental == "#" or self.take("maj")):
            self.seventh = 11  # Am(7M)
        elif number == 4 and not accidental and not is_added and not self.harte and self.third == 4:
            self.third = 5  # C7(4), C7/4
        elif number == 5 and accidental and not is_added and not (self.harte and self.fifth is None):
            self.fifth = _degree(accidental, 5)
        elif number == 7 and not accidental and not self.harte:
            self.seventh = self.seventh or 10
        else:
            if accidental and number in self.implied and not self.harte:
                self.extra.discard(_degree("", number))  # G13(b9): the altered note replaces the natural one
            self.extra.add(_degree(accidental, number))
