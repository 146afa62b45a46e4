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

"""Keys of lead sheets, and transposition of chord labels with the spelling of a key."""

import re

from ...utils.errors import InputError, shorten
from ..chord_syntax import from_solfege, is_no_chord


# Steps on the circle of fifths by which the signature of a mode differs from that of the major key with the same tonic.
MODES = {
    "major": 0, "minor": -3, "ionian": 0, "dorian": -2, "phrygian": -4, "lydian": 1, "mixolydian": -1, "aeolian": -3,
    "locrian": -5,
}  # fmt: skip

LETTERS = "FCGDAEB"  # natural notes by fifths; C has position 0
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}  # above C
_LETTER = {"F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5}
_KEY = re.compile(r"\s*([A-Ga-g])([#b♯♭]?)\s*[ :-]?\s*([A-Za-z]*)\s*")
_ABBREVIATIONS = {"": "major", "m": "minor", "min": "minor", "moll": "minor", "maj": "major", "dur": "major"}
_NAME = re.compile(r"([A-G])(s(?!us)|[#b♯♭]{0,2})")
_BASS = re.compile(r"/([A-G])([#b♯♭]{0,2})(?![a-z0-9]*/)")


def parse_tonality(key: str) -> tuple[int, str]:
    r"""
    Parses a key.

    Args:
        key (`str`): a tonic and a mode, such as `"Bb"`, `"F# minor"`, `"Am"` or `"D dorian"`.

    Returns:
        `tuple[int, str]`: position of the tonic on the circle of fifths (0 is C, 1 is G, -1 is F), and a mode of `MODES`.

    Raises:
        [`InputError`]: if the text is not a key.
    """
    match = _KEY.fullmatch(str(key))
    mode = None
    if match is not None:
        word = match[3] if match[3] == "M" else match[3].lower()
        mode = "major" if word == "M" else _ABBREVIATIONS.get(word)
        mode = mode or next((name for name in MODES if len(word) >= 3 and name.startswith(word)), None)
        if match[1].islower() and not word:
            mode = "minor"
    if match is None or mode is None:
        raise InputError(
            f"`key` has to be a note and a mode, such as 'Bb major', 'F# minor' or 'D dorian', but is {shorten(key)}.",
            "key",
        )
    return _LETTER[match[1].upper()] + {"": 0, "#": 7, "♯": 7, "b": -7, "♭": -7}[match[2]], mode


def key_signature(key: str) -> int:
    """The number of sharps (negative: flats) of a key, from -7 to 7; keys with more are spelled enharmonically."""
    if not key:
        return 0
    tonic, mode = parse_tonality(key)
    fifths = tonic + MODES[mode]
    return fifths - 12 * ((fifths + 7) // 12) if not -7 <= fifths <= 7 else fifths


def note_name(pitch_class: int, key: str = "") -> str:
    r"""
    Spells a note in a key: D# in E minor, Eb in C minor.

    Args:
        pitch_class (`int`): 0 (C) to 11 (B).
        key (`str`, *optional*): the key; without one, the note is spelled as in C major.

    Returns:
        `str` such as `"F#"`, with `#` and `b`.
    """
    # Twelve neighbors on the line of fifths: Db to F# in C major, Bb to D# in A minor.
    lowest = key_signature(key) - (2 if key and parse_tonality(key)[1] in ("minor", "aeolian") else 5)
    return spell(lowest + (7 * pitch_class - lowest) % 12)


def key_of_signature(fifths: int, mode: str = "major", semitones: int = 0) -> str:
    r"""
    Names the key of a signature.

    Args:
        fifths (`int`): number of sharps (negative: flats).
        mode (`str`): one of `MODES`.
        semitones (`int`): interval by which the key is transposed, then with at most seven accidentals.

    Returns:
        `str` such as `"Eb minor"`.
    """
    fifths += (7 * semitones + 6) % 12 - 6
    while not -7 <= fifths <= 7:
        fifths += 12 if fifths < 0 else -12
    return f"{spell(fifths - MODES[mode])} {mode}"


def transpose_key(key: str, semitones: int) -> str:
    """Transposes a key, spelled with at most six accidentals. An empty text stays empty."""
    if not key:
        return key
    tonic, mode = parse_tonality(key)
    fifths = tonic + 7 * semitones
    signature = fifths + MODES[mode]
    return f"{spell(fifths - 12 * ((signature + 5) // 12))} {mode}"


def transpose_chord(label: str, semitones: int, key: str = "") -> str:
    r"""
    Transposes the root and the bass of a chord label and keeps the rest of its spelling.

    Args:
        label (`str`): the chord, such as `"F#m7b5/E"`.
        semitones (`int`): interval.
        key (`str`, *optional*): the key after the transposition, for the spelling.
    """
    if is_no_chord(label):
        return label
    plain = label if _NAME.match(label) else from_solfege(label) or label

    def move(letter: str, sign: str) -> str:
        accidental = sum({"#": 1, "♯": 1, "s": 1, "b": -1, "♭": -1}[char] for char in sign)
        pitch_class = 7 * _LETTER[letter] + accidental + semitones
        return note_name(pitch_class % 12, key)

    root = _NAME.match(plain)
    if root is None:
        return label
    rest = _BASS.sub(lambda match: "/" + move(match[1], match[2]), plain[root.end() :])
    return move(root[1], root[2]) + rest


def spell(position: int) -> str:
    """The name of a note by its position on the line of fifths."""
    letter = LETTERS[(position + 1) % 7]
    accidentals = (position - _LETTER[letter]) // 7
    return letter + ("#" * accidentals if accidentals >= 0 else "b" * -accidentals)
