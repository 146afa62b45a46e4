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

"""Converts Roman numerals in a key to chords."""

import re

from ..utils.errors import InputError, shorten
from .chord_labels import NO_CHORD, NOTES, Chord, is_no_chord, parse_chord


_NUMERAL = re.compile(r"([#b♯♭]{0,2})(VII|VI|IV|V|III|II|I|vii|vi|iv|v|iii|ii|i)(.*)")
_JOINED = re.compile(r"\s*[-–—→⇒>,;·•]+\s*(?=[#b♯♭]*[IViv])")
_NUMERALS = ("I", "II", "III", "IV", "V", "VI", "VII")
_MAX_LENGTH = 40
_SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
_LETTERS = "CDEFGAB"
_NATURAL = (0, 2, 4, 5, 7, 9, 11)
_SCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉", "01234567890123456789")
# Quality symbols before the figures; half-diminished may also be written "h", "/o" or "%".
_QUALITY = re.compile(r"(?:/o(?=\d|$)|ø|Ø|%|h(?!dim)|hdim|o|°|º|dim|\+|aug|maj|M|Δ|m7b5|m(?!aj)|min|-(?=\d|$))?")
_SPELLINGS = {"/o": "hdim", "ø": "hdim", "Ø": "hdim", "%": "hdim", "h": "hdim", "o": "dim", "°": "dim", "º": "dim",
              "+": "aug", "M": "maj", "Δ": "maj", "min": "m", "-": "m"}  # fmt: skip
# Figured bass: the chord note in the bass (0 root, 1 third, 2 fifth, 3 seventh), and whether the chord has a seventh.
_FIGURES = {
    "53": (0, False), "63": (1, False), "6": (1, False), "64": (2, False), "6/4": (2, False),
    "65": (1, True), "6/5": (1, True), "653": (1, True), "43": (2, True), "4/3": (2, True), "643": (2, True),
    "42": (3, True), "4/2": (3, True), "2": (3, True), "642": (3, True),
}  # fmt: skip
# Chords with special names: interval of the root above the tonic in semitones, degree, quality, and the note in the
# bass.
_NAMED = {"N6": (1, 1, "", 1), "It6": (8, 5, "7(no5)", 0), "Ger6": (8, 5, "7", 0), "Ger65": (8, 5, "7", 0),
          "Fr6": (8, 5, "7b5", 0), "Fr43": (8, 5, "7b5", 0), "Cad64": (0, 0, "", 2)}  # fmt: skip


def split_numerals(text: str) -> str:
    """Replaces dashes, commas and arrows between numerals by spaces."""
    return _JOINED.sub(" ", str(text))


def parse_key(key: str) -> tuple[int, str]:
    r"""
    Parses a key.

    Args:
        key (`str`): the key, such as `"Bb"`, `"F# minor"`, `"Am"` or `"A:min"`.

    Returns:
        `tuple[int, str]`: the pitch class of the tonic, 0 (C) ... 11 (B), and the mode, `"major"` or `"minor"`.

    Raises:
        [`InputError`]: if the text is not a key.
    """
    text = re.sub(r"(?i)[\s:-]*(major|maj|dur)$", "", str(key).strip())
    text = re.sub(r"(?i)[\s:-]*(minor|min|moll)$", "m", text)
    if re.match(r"[a-g]([#b♯♭]*)m?$", text):
        # A lower-case note by itself is a minor key: "a", "f#".
        text = text[0].upper() + text[1:] + ("" if text.endswith("m") or text != str(key).strip() else "m")
    tonic = parse_chord(text)
    if tonic is None or tonic.bass or tonic.intervals not in ({0, 4, 7}, {0, 3, 7}):
        raise InputError(
            f"`key` has to be a note and a mode, such as 'Bb' or 'F# minor', but is {shorten(key)}.", "key"
        )
    return tonic.root, "minor" if 3 in tonic.intervals else "major"


def numeral_to_chord(numeral: str, key: str) -> str:
    r"""
    Converts a Roman numeral to a chord label; see [`~controls.chords.chords_from_roman`] for the syntax.

    Args:
        numeral (`str`): the numeral, such as `"ii65"`; `N` and `NC` mean no chord.
        key (`str`): the key; see [`parse_key`].

    Raises:
        `ValueError`: if the text is not a numeral or the key is invalid.
    """
    tonic, mode = parse_key(key)
    word = str(numeral).strip().translate(_SCRIPTS)
    if is_no_chord(word):
        return NO_CHORD
    root = str(key).strip()[:1].upper() + str(key).strip()[1:2]
    label = _read(word, tonic, mode, root) if len(word) <= _MAX_LENGTH else None
    if label is None or parse_chord(label) is None:
        raise ValueError(f"{shorten(numeral)} is not a Roman numeral such as 'ii7', 'V65', 'bVII' or 'V7/V'.")
    return label


def _read(word: str, tonic: int, mode: str, key: str) -> str | None:
    if word.replace("+6", "6") in _NAMED:
        above, number, quality, position = _NAMED[word.replace("+6", "6")]
        if word == "Cad64" and mode == "minor":
            quality = "m"
        return _invert((tonic + above) % 12, number, quality, "", position, key)
    match = _NUMERAL.fullmatch(word)
    if match is None or word.endswith("/"):
        return None
    accidentals, degree, rest = match.groups()
    quality = _QUALITY.match(rest)[0]  # type: ignore[index]
    rest = rest[len(quality) :]
    quality = _SPELLINGS.get(quality, quality)
    rest = re.sub(r"^6/9(?!\d)", "69", rest)
    figures = re.match(r"6/[45](?!\d)|4/[23](?!\d)|\d*", rest)[0]  # type: ignore[index]
    extension, _, target = rest[len(figures) :].partition("/")

    of, *bass = target.split("/", 1)
    if _NUMERAL.fullmatch(of) or of in _NAMED:
        applied = parse_chord(_read(of, tonic, mode, key) or "")
        if applied is None:
            raise ValueError(f"{shorten(word)} is relative to {shorten(of)}, which is not a chord.")
        name = _read(of, tonic, mode, key) or ""
        word = "/".join([word[: len(word) - len(target) - 1], *bass])
        return _read(word, applied.root, "minor" if 3 in applied.intervals else "major", name[:2])

    number = _NUMERALS.index(degree.upper())
    root = (tonic + _scale_degree(number, degree, accidentals, quality, mode)) % 12
    name = _spell(root, number, key)
    if quality == "hdim" and figures in ("", "7", *_FIGURES):
        quality, figures = "m7b5", figures.replace("7", "")
    if degree.islower() and quality not in ("dim", "hdim", "m7b5", "m"):
        quality = f"m{quality}"
    if figures not in _FIGURES:
        return f"{name}{quality}{figures}{extension}" + (f"/{target}" if target else "")
    position, has_seventh = _FIGURES[figures]
    if target:
        return None
    if has_seventh:
        quality += _seventh(quality, number, degree, accidentals, mode)
    return _invert(root, number, quality, extension, position, key)


def _invert(root: int, number: int, quality: str, extension: str, position: int, key: str) -> str | None:
    """
    The label of a chord on a degree of a key, with its root (0), third (1), fifth (2) or seventh (3) in the bass.
    """
    label = f"{_spell(root, number, key)}{quality}{extension}"
    chord = parse_chord(label)
    if chord is None or position == 0:
        return label
    bass = _spell((root + _note(chord, position)) % 12, number + 2 * position, key)
    return f"{label}/{bass}"


def _scale_degree(number: int, degree: str, accidentals: str, quality: str, mode: str) -> int:
    """The interval of the root of a numeral above the tonic, in semitones."""
    shift = sum(1 if sign in "#♯" else -1 for sign in accidentals)
    if mode == "minor":
        # bIII, bVI and bVII are common spellings of the diatonic degrees.
        if shift < 0 and number in (2, 5, 6):
            shift += 1
        # Leading-tone chords are on the raised seventh degree, diminished chords on the sixth degree on the raised
        # sixth.
        elif not shift and degree.islower() and (number == 6 or (number == 5 and quality in ("dim", "hdim"))):
            shift = 1
    return _SCALES[mode][number] + shift


def _seventh(quality: str, number: int, degree: str, accidentals: str, mode: str) -> str:
    """The seventh of an inverted chord that does not specify it: diatonic, or else minor."""
    if quality in ("hdim", "m7b5"):
        return ""
    # I and IV have a major seventh in major, III and VI in minor.
    is_major = degree.isupper() and not accidentals and number in ((0, 3) if mode == "major" else (2, 5))
    return "maj7" if is_major and not quality else "7"


def _note(chord: Chord, position: int) -> int:
    """The interval of the root (0), third (1), fifth (2) or seventh (3) above the root, in semitones."""
    choices = ((0,), (4, 3, 5, 2), (7, 6, 8), (10, 11, 9))[position]
    return next((interval for interval in choices if interval in chord.intervals), choices[0])


def _spell(pitch_class: int, degree: int, key: str) -> str:
    """The name of a note by its degree in a key (G# in A minor), or the default name instead of double accidentals."""
    letter = (_LETTERS.index(key[0]) + degree) % 7 if key[:1] in _LETTERS and key else None
    if letter is None:
        return NOTES[pitch_class]
    shift = (pitch_class - _NATURAL[letter] + 6) % 12 - 6
    return _LETTERS[letter] + ("#" * shift if shift >= 0 else "b" * -shift) if abs(shift) <= 1 else NOTES[pitch_class]
