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

"""Roman numerals in a key → chords."""

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
# Signs of quality in front of the figures, as labels spell them; half-diminished is also written "h", "/o" or "%".
_QUALITY = re.compile(r"(?:/o(?=\d|$)|ø|Ø|%|h(?!dim)|hdim|o|°|º|dim|\+|aug|maj|M|Δ|m7b5|m(?!aj)|min|-(?=\d|$))?")
_SPELLINGS = {"/o": "hdim", "ø": "hdim", "Ø": "hdim", "%": "hdim", "h": "hdim", "o": "dim", "°": "dim", "º": "dim",
              "+": "aug", "M": "maj", "Δ": "maj", "min": "m", "-": "m"}  # fmt: skip
# Figured bass → which note of the chord is in the bass (0 root, 1 third, 2 fifth, 3 seventh), and whether it has a seventh.
_FIGURES = {
    "53": (0, False), "63": (1, False), "6": (1, False), "64": (2, False), "6/4": (2, False),
    "65": (1, True), "6/5": (1, True), "653": (1, True), "43": (2, True), "4/3": (2, True), "643": (2, True),
    "42": (3, True), "4/2": (3, True), "2": (3, True), "642": (3, True),
}  # fmt: skip
# Chords with names of their own: semitones of the root above the tonic, its degree, quality, and the note in the bass.
_NAMED = {"N6": (1, 1, "", 1), "It6": (8, 5, "7(no5)", 0), "Ger6": (8, 5, "7", 0), "Ger65": (8, 5, "7", 0),
          "Fr6": (8, 5, "7b5", 0), "Fr43": (8, 5, "7b5", 0), "Cad64": (0, 0, "", 2)}  # fmt: skip


def split_numerals(text: str) -> str:
    """A text of numerals with spaces or bar lines alone between them, where it had dashes, commas or arrows."""
    return _JOINED.sub(" ", str(text))


def parse_key(key: str) -> tuple[int, str]:
    r"""
    A key's tonic and mode.

    Args:
        key (`str`): `"Bb"`, `"F# minor"`, `"Am"` or `"A:min"`.

    Returns:
        `tuple[int, str]`: pitch class, 0 (C) ... 11 (B), and `"major"` or `"minor"`.

    Raises:
        [`InputError`]: for text that is not a key.
    """
    text = re.sub(r"(?i)[\s:-]*(major|maj|dur)$", "", str(key).strip())
    text = re.sub(r"(?i)[\s:-]*(minor|min|moll)$", "m", text)
    if re.match(r"[a-g]([#b♯♭]*)m?$", text):
        # A lower-case letter alone is a minor key: "a", "f#".
        text = text[0].upper() + text[1:] + ("" if text.endswith("m") or text != str(key).strip() else "m")
    tonic = parse_chord(text)
    if tonic is None or tonic.bass or tonic.intervals not in ({0, 4, 7}, {0, 3, 7}):
        raise InputError(
            f"`key` has to be a note and a mode, such as 'Bb' or 'F# minor', but is {shorten(key)}.", "key"
        )
    return tonic.root, "minor" if 3 in tonic.intervals else "major"


def numeral_to_chord(numeral: str, key: str) -> str:
    r"""
    The chord of a Roman numeral, as [`~controls.chords.chords_from_roman`] describes it.

    Args:
        numeral (`str`): such as `"ii65"`; `N` and `NC` are no chord.
        key (`str`): as [`parse_key`] reads it.

    Raises:
        `ValueError`: for a text that is not a numeral, and as [`parse_key`].
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
            raise ValueError(f"{shorten(word)} is a chord of {shorten(of)}, which is none.")
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
    """The chord on a degree of a key with its root (0), third (1), fifth (2) or seventh (3) in the bass."""
    label = f"{_spell(root, number, key)}{quality}{extension}"
    chord = parse_chord(label)
    if chord is None or position == 0:
        return label
    bass = _spell((root + _note(chord, position)) % 12, number + 2 * position, key)
    return f"{label}/{bass}"


def _scale_degree(number: int, degree: str, accidentals: str, quality: str, mode: str) -> int:
    """Semitones of a numeral's root above the tonic."""
    shift = sum(1 if sign in "#♯" else -1 for sign in accidentals)
    if mode == "minor":
        # bIII, bVI and bVII are the scale's own, as many write them.
        if shift < 0 and number in (2, 5, 6):
            shift += 1
        # The leading-tone chord is on the raised seventh, and diminished chords of the sixth degree on the raised sixth.
        elif not shift and degree.islower() and (number == 6 or (number == 5 and quality in ("dim", "hdim"))):
            shift = 1
    return _SCALES[mode][number] + shift


def _seventh(quality: str, number: int, degree: str, accidentals: str, mode: str) -> str:
    """The seventh of an inverted chord without one of its own: that of the scale, or a minor one."""
    if quality in ("hdim", "m7b5"):
        return ""
    # In major I and IV have a major seventh, in minor III and VI.
    is_major = degree.isupper() and not accidentals and number in ((0, 3) if mode == "major" else (2, 5))
    return "maj7" if is_major and not quality else "7"


def _note(chord: Chord, position: int) -> int:
    """Semitones above the root of its root, third, fifth or seventh."""
    choices = ((0,), (4, 3, 5, 2), (7, 6, 8), (10, 11, 9))[position]
    return next((interval for interval in choices if interval in chord.intervals), choices[0])


def _spell(pitch_class: int, degree: int, key: str) -> str:
    """The note's name by its degree in a key (G# in A minor), or our usual one where that has double accidentals."""
    letter = (_LETTERS.index(key[0]) + degree) % 7 if key[:1] in _LETTERS and key else None
    if letter is None:
        return NOTES[pitch_class]
    shift = (pitch_class - _NATURAL[letter] + 6) % 12 - 6
    return _LETTERS[letter] + ("#" * shift if shift >= 0 else "b" * -shift) if abs(shift) <= 1 else NOTES[pitch_class]
