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

"""Chords as songbooks and chord charts spell them."""

import re
from collections.abc import Iterable

from ...chord_syntax import MAX_LENGTH, NO_CHORD, from_solfege, is_no_chord, parse_chord


_GERMAN_ROOT = re.compile(r"([A-Ha-h])(is|es|s(?!us)|[#b♯♭])?")
_GERMAN_BASS = re.compile(r"/([A-Ha-h])(is|es|s|[#b♯♭])?$")
_H = re.compile(r"[Hh](?![a-z])|[Hh](m|dur|moll|sus|dim|maj|mi|add)|[^/]*/[Hh](es|is|b)?$")
_PARENTHESES = re.compile(r"\(([^()]+)\)")


def read_label(text: str, notation: str = "") -> str | None:
    r"""
    Reads a chord of a songbook. Besides the spellings of [`~controls.chord_syntax.parse_chord`], it accepts German
    note names (`Fis`, `Es`, `H`), note names such as `Sol`, minor chords in lower case (`am`, `e7`), and parentheses
    around the chord.

    Args:
        text (`str`): the chord.
        notation (`str`): `"german"`: `B` is B flat; `"solfege"`: `Do` is C, not D diminished; see [`find_notation`].

    Returns:
        `str`: a label that [`~controls.chord_syntax.parse_chord`] reads, `"N"` for no chord, or `None` if the text is
            not a chord.
    """
    text = text.strip()
    if match := _PARENTHESES.fullmatch(text):
        text = match[1].strip()
    elif text.count("(") != text.count(")"):
        # One of the parentheses around several chords.
        text = text.removeprefix("(") if text.startswith("(") else text.removesuffix(")")
    text = text.rstrip("*!,;?†‡")
    if not text:
        return None
    if is_no_chord(text):
        return NO_CHORD
    if notation == "german" and (label := _from_german(text)):
        return label
    if notation == "solfege" and (label := from_solfege(text)):
        return label
    if parse_chord(text) is not None:
        return text
    return from_solfege(text) or _from_german(text)


def find_notation(texts: Iterable[str]) -> str:
    """The notation of note names: `"german"` if chords use `H`, `"solfege"` if they use `Sol` or the like, or `""`."""
    unknown = {text for text in texts if len(text) <= MAX_LENGTH and parse_chord(text) is None}
    if any(_H.match(text) and _from_german(text) for text in unknown):
        return "german"
    return "solfege" if any(from_solfege(text) for text in unknown) else ""


def _from_german(text: str) -> str | None:
    """Replaces German note names by English ones. Returns `None` if the result is not a chord."""
    root = _GERMAN_ROOT.match(text)
    if root is None:
        return None
    rest = text[root.end() :]
    bass = _GERMAN_BASS.search(rest)
    name = _to_note(root[1], root[2] or "")
    quality = rest[: bass.start()] if bass else rest
    quality = {"dur": "", "moll": "m"}.get(quality.lower(), quality)
    if root[1].islower() and not quality.startswith(("m", "dim", "sus", "aug", "°", "o")):
        quality = "m" + quality
    label = name + quality + (f"/{_to_note(bass[1], bass[2] or '')}" if bass else "")
    return label if parse_chord(label) is not None else None


def _to_note(letter: str, accidental: str) -> str:
    letter = letter.upper()
    sign = {"is": "#", "es": "b", "s": "b", "♯": "#", "♭": "b"}.get(accidental, accidental)
    if letter == "H":
        return "B" + sign
    return "Bb" if letter == "B" and not sign else letter + sign
