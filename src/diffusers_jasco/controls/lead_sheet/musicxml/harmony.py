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


"""Converts between chord labels and the harmony elements of MusicXML."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement

from ...chord_syntax import MAX_LENGTH, NO_CHORD, is_no_chord, parse_chord
from ..keys import SEMITONES, note_name, transpose_chord
from .file import number_of, text_of


# Kinds of MusicXML: the suffix of the label, and the notes by degree.
_TRIADS = {
    "major": ("", {1: 0, 3: 4, 5: 7}),
    "minor": ("m", {1: 0, 3: 3, 5: 7}),
    "augmented": ("aug", {1: 0, 3: 4, 5: 8}),
    "diminished": ("dim", {1: 0, 3: 3, 5: 6}),
    "suspended-second": ("sus2", {1: 0, 2: 2, 5: 7}),
    "suspended-fourth": ("sus4", {1: 0, 4: 5, 5: 7}),
    "power": ("5", {1: 0, 5: 7}),
    "pedal": ("", {1: 0, 3: 4, 5: 7}),
    "Neapolitan": ("", {1: 0, 3: 4, 5: 7}),
    "Italian": ("7", {1: 0, 3: 4, 5: 7, 7: 10}),
    "French": ("7b5", {1: 0, 3: 4, 5: 6, 7: 10}),
    "German": ("7", {1: 0, 3: 4, 5: 7, 7: 10}),
    "Tristan": ("m7b5", {1: 0, 3: 3, 5: 6, 7: 10}),
}
KINDS: dict[str, tuple[str, dict[int, int]]] = _TRIADS | {
    "dominant": ("7", _TRIADS["major"][1] | {7: 10}),
    "major-seventh": ("maj7", _TRIADS["major"][1] | {7: 11}),
    "minor-seventh": ("m7", _TRIADS["minor"][1] | {7: 10}),
    "diminished-seventh": ("dim7", _TRIADS["diminished"][1] | {7: 9}),
    "augmented-seventh": ("aug7", _TRIADS["augmented"][1] | {7: 10}),
    "half-diminished": ("m7b5", _TRIADS["diminished"][1] | {7: 10}),
    "major-minor": ("m(maj7)", _TRIADS["minor"][1] | {7: 11}),
    "major-sixth": ("6", _TRIADS["major"][1] | {6: 9}),
    "minor-sixth": ("m6", _TRIADS["minor"][1] | {6: 9}),
    "dominant-ninth": ("9", _TRIADS["major"][1] | {7: 10, 9: 2}),
    "major-ninth": ("maj9", _TRIADS["major"][1] | {7: 11, 9: 2}),
    "minor-ninth": ("m9", _TRIADS["minor"][1] | {7: 10, 9: 2}),
    "dominant-11th": ("11", _TRIADS["major"][1] | {7: 10, 9: 2, 11: 5}),
    "major-11th": ("maj11", _TRIADS["major"][1] | {7: 11, 9: 2, 11: 5}),
    "minor-11th": ("m11", _TRIADS["minor"][1] | {7: 10, 9: 2, 11: 5}),
    "dominant-13th": ("13", _TRIADS["major"][1] | {7: 10, 9: 2, 11: 5, 13: 9}),
    "major-13th": ("maj13", _TRIADS["major"][1] | {7: 11, 9: 2, 11: 5, 13: 9}),
    "minor-13th": ("m13", _TRIADS["minor"][1] | {7: 10, 9: 2, 11: 5, 13: 9}),
}
# Kinds that only some programs write.
_READABLE = KINDS | {
    "augmented-ninth": ("9#5", _TRIADS["augmented"][1] | {7: 10, 9: 2}),
    "maj69": ("69", _TRIADS["major"][1] | {6: 9, 9: 2}),
}
# Other spellings of kinds in files of old programs.
_OLD_KINDS = {
    "": "major", "min": "minor", "maj": "major", "aug": "augmented", "dim": "diminished", "7": "dominant",
    "dominant-seventh": "dominant", "min7": "minor-seventh", "maj7": "major-seventh", "dim7": "diminished-seventh",
    "m7b5": "half-diminished", "half-diminished-seventh": "half-diminished", "major-minor-seventh": "major-minor",
    "minor-major": "major-minor", "minMaj7": "major-minor", "6": "major-sixth", "min6": "minor-sixth",
    "9": "dominant-ninth", "min9": "minor-ninth", "maj9": "major-ninth", "min/maj7": "major-minor",
}  # fmt: skip
# Usual spellings of chords with added and altered notes.
_SUFFIXES = (
    "7sus4", "9sus4", "13sus4", "7sus2", "6sus4", "7b9", "7#9", "7b5", "7#5", "7#11", "7b13", "7b9b5", "7b9#5", "7#9b5",
    "7#9#5", "7b9b13", "7b9#9", "7#9#11", "7b9#11", "7b9sus4", "9b5", "9#5", "9#11", "9b13", "13b9", "13#9", "13#11",
    "13b9#11", "maj7b5", "maj7#5", "maj7#11", "maj9#11", "maj13#11", "m7b9", "m7#5", "m9b5", "m11b5", "m7add11",
    "m7add13", "m6add9", "69", "6add11", "69#11", "add9", "madd9", "add11", "madd11", "add4", "add2", "m(maj9)",
    "maj7sus4", "sus2sus4", "add#11", "addb9", "madd4", "dim(maj7)", "dimadd9", "aug(maj7)", "augadd9", "b5", "mb6",
    "7add11", "7add13", "maj7add13", "maj7add11", "13no11", "maj13no11", "m13no11", "11no3", "9no5", "7no5", "7no3",
    "maj7no3", "no5", "mno5", "5add9", "5add7", "m#5",
)  # fmt: skip
_DEGREES = (0, 2, 4, 5, 7, 9, 10)  # of a dominant seventh chord
_DEGREE_NAMES = ("1", "b9", "9", "b3", "3", "11", "b5", "5", "#5", "13", "b7", "7")
# Order in which kinds are tried when a chord is written, and the degrees that notes are written as.
_TENSIONS = {1: (9, -1), 2: (9, 0), 3: (9, 1), 5: (11, 0), 6: (11, 1), 8: (13, -1), 9: (13, 0), 10: (7, 0), 11: (7, 1)}


class HarmonyError(ValueError):
    """A harmony element that is not a chord with a root."""


def read_harmony(element: Element, semitones: int = 0, key: str = "") -> str:
    r"""
    Converts a harmony element to a chord label.

    Args:
        element (`Element`): the element.
        semitones (`int`): interval from the written to the sounding pitch.
        key (`str`): sounding key, for the spelling of transposed chords.

    Returns:
        `str`: a label that `parse_chord` reads, or `"N"`.

    Raises:
        [`HarmonyError`]: if the element has no root (functions, numerals) or its kind is unknown; the message describes it.
    """
    labels = [_read_chord(items) for items in _split(element)]
    labels = [label for label in labels if label]
    if not labels:
        raise HarmonyError("it has no root")
    label = labels[0]
    if len(labels) > 1:
        # The upper chord comes first.
        label = "/".join(labels[:2])
        label = label if NO_CHORD not in labels[:2] and parse_chord(label) is not None else labels[1]
    return transpose_chord(label, semitones, key) if semitones % 12 else label


def _split(element: Element) -> Iterator[dict[str, list[Element]]]:
    """The children of each chord of a harmony by tag; polychords have several."""
    chord: dict[str, list[Element]] = {}
    for item in element:
        if item.tag in ("root", "function", "numeral") and chord:
            yield chord
            chord = {}
        chord.setdefault(item.tag, []).append(item)
    yield chord


def _read_chord(items: dict[str, list[Element]]) -> str:
    kind = items["kind"][0] if "kind" in items else Element("kind")
    name, text = text_of(kind), " ".join(kind.get("text", "").split())
    if name == "none" or (text and is_no_chord(text)):
        return NO_CHORD
    if "root" not in items:
        other = next((tag for tag in ("numeral", "function") if tag in items), None)
        raise HarmonyError(f"it is a {other} without a root" if other else "it has no root")
    root = _read_note(items["root"][0], "root")
    bass = _read_note(items["bass"][0], "bass") if "bass" in items else ""
    slash = f"/{bass}" if bass and bass != root else ""
    degrees = [degree for item in items.get("degree", ()) if (degree := _read_degree(item)) is not None]
    known = _OLD_KINDS.get(name, name)
    if known not in _READABLE:
        label = root + text + slash
        if len(label) <= MAX_LENGTH and text and parse_chord(label) is not None:
            return label
        if known != "other" or not degrees:
            raise HarmonyError(f"its kind is {shorten_kind(name, text)}")
        known = "major"
    suffix, notes = _READABLE[known]
    if degrees:
        notes = _alter(notes, degrees)
        suffix = _suffix(frozenset(notes.values()))
    elif text and text != suffix:
        # Some programs write the kind that is nearest, and the chord only as text.
        written = parse_chord(root + text) if len(root + text) <= MAX_LENGTH and "/" not in text else None
        if written is not None and not written.bass and written.intervals >= set(notes.values()):
            suffix = text
    if not slash and (inversion := number_of(text_of(items["inversion"][0]) if "inversion" in items else None)):
        order = sorted(notes.values())
        if 0 < inversion < len(order):
            pitch_class = (parse_chord(root).root + order[int(inversion)]) % 12  # type: ignore[union-attr]
            slash = f"/{note_name(pitch_class)}"
    label = root + suffix + slash
    if suffix.startswith(":") and slash:
        # After explicit notes, the bass is a degree.
        label = f"{root}{suffix}/{_BASS_DEGREES[(parse_chord(bass).root - parse_chord(root).root) % 12]}"  # type: ignore[union-attr]
    if parse_chord(label) is None:
        raise HarmonyError(f"it is {label[:MAX_LENGTH]!r}")
    return label


_BASS_DEGREES = ("1", "b2", "2", "b3", "3", "4", "b5", "5", "b6", "6", "b7", "7")


def shorten_kind(name: str, text: str) -> str:
    """Describes an unknown kind in a warning."""
    return f"{name[:30]!r} with the text {text[:30]!r}" if text else repr(name[:30])


def _read_note(element: Element, tag: str) -> str:
    step = text_of(element, f"{tag}-step").upper()
    alter = round(number_of(text_of(element, f"{tag}-alter")) or 0)
    if step not in SEMITONES or len(step) != 1:
        raise HarmonyError(f"its {tag} is {step[:10]!r}")
    if abs(alter) > 2:
        return note_name((SEMITONES[step] + alter) % 12)
    return step + ("#" * alter if alter > 0 else "b" * -alter)


def _read_degree(element: Element) -> tuple[str, int, int] | None:
    value = number_of(text_of(element, "degree-value"))
    alter = round(number_of(text_of(element, "degree-alter")) or 0)
    kind = text_of(element, "degree-type", "add")
    if value is None or not 1 <= value <= 13 or abs(alter) > 2:
        return None
    return kind, int(value), alter


def _alter(notes: dict[int, int], degrees: list[tuple[str, int, int]]) -> dict[int, int]:
    """
    The notes of a chord with added, altered and removed degrees. Keys above 100 are second notes of a degree, as in
    7(b9, #9).
    """
    result = dict(notes)
    same = {2: 9, 4: 11, 6: 13, 9: 2, 11: 4, 13: 6}
    for kind, value, alter in degrees:
        degree = value if value in result else same.get(value, value)
        if kind == "subtract":
            result.pop(degree, None)
            continue
        natural = _DEGREES[(value - 1) % 7]
        if kind == "alter" and degree in notes and result.get(degree) == notes[degree]:
            result[degree] = (notes[degree] + alter) % 12
        elif degree not in result or (
            alter and result[degree] == notes.get(degree) == natural and degree in (5, 9, 11, 13)
        ):
            # An altered note replaces the natural one that the kind implies.
            result[degree if degree in result else value] = (natural + alter) % 12
        else:
            result[100 + len(result)] = (natural + alter) % 12
    return result


@lru_cache(maxsize=1)
def _spellings() -> dict[frozenset[int], str]:
    """The usual suffix for the notes of a chord."""
    spellings: dict[frozenset[int], str] = {}
    for suffix in (*(suffix for suffix, _ in KINDS.values()), *_SUFFIXES):
        chord = parse_chord(f"C{suffix}")
        if chord is not None:
            spellings.setdefault(chord.intervals, suffix)
    return spellings


def _suffix(intervals: frozenset[int]) -> str:
    """A suffix for a set of notes, with explicit notes (`:(3,5,b9)`) if none is standard."""
    found = _spellings().get(intervals | {0})
    if found is not None:
        return found
    names = [_DEGREE_NAMES[interval] for interval in sorted(intervals - {0})]
    return f":({','.join(names)})"


# Writing


class Harmony(NamedTuple):
    r"""
    A chord as MusicXML describes it.

    Args:
        kind (`str`): name of the kind.
        degrees (`tuple`): `(type, value, alteration)` of added, altered and removed notes.
    """

    kind: str
    degrees: tuple[tuple[str, int, int], ...]


def write_harmony(label: str, key: str = "") -> Element:
    r"""
    Converts a chord label to a harmony element.

    Args:
        label (`str`): a label that `parse_chord` reads, or one for no chord.
        key (`str`): key for the spelling of notes that the label doesn't name.
    """
    element = Element("harmony", {"print-frame": "no"})
    chord = None if is_no_chord(label) else parse_chord(label)
    if chord is None:
        root = SubElement(element, "root")
        SubElement(root, "root-step", {"text": ""}).text = "C"
        SubElement(element, "kind", {"text": "N.C."}).text = "none"
        return element
    plain = transpose_chord(label, 0, key)  # letters instead of Do, Re, Mi
    names = label if label[:1] in SEMITONES else plain
    root_name = names[0] + ("#" if names[1:2] in ("#", "♯", "s") and names[1:4] != "sus" else "")
    root_name += "b" if names[1:2] in ("b", "♭") else ""
    if parse_chord(root_name) is None or parse_chord(root_name).root != chord.root:  # type: ignore[union-attr]
        root_name = note_name(chord.root, key)
    _write_note(SubElement(element, "root"), "root", root_name)
    harmony = _describe(chord.intervals)
    text = KINDS[harmony.kind][0]
    suffix, _, _ = names[len(root_name) :].partition("/")
    if not harmony.degrees and names.startswith(root_name) and not suffix.startswith(":"):
        written = parse_chord(root_name + suffix)
        text = suffix if written is not None and written.intervals == chord.intervals else text
    SubElement(element, "kind", {"text": text} if text else {}).text = harmony.kind
    if chord.bass:
        bass = names.rpartition("/")[2]
        parsed = parse_chord(bass) if len(bass) <= 3 else None
        is_named = parsed is not None and parsed.root == chord.bass_pitch_class and len(bass.rstrip("#b")) == 1
        _write_note(SubElement(element, "bass"), "bass", bass if is_named else note_name(chord.bass_pitch_class, key))
    for kind, value, alter in harmony.degrees:
        degree = SubElement(element, "degree")
        SubElement(degree, "degree-value").text = str(value)
        SubElement(degree, "degree-alter").text = str(alter)
        SubElement(degree, "degree-type").text = kind
    return element


def _write_note(element: Element, tag: str, name: str):
    SubElement(element, f"{tag}-step").text = name[0]
    alter = name.count("#") - name[1:].count("b")
    if alter:
        SubElement(element, f"{tag}-alter").text = str(alter)


@lru_cache(maxsize=1024)
def _describe(intervals: frozenset[int]) -> Harmony:
    """The kind with the fewest degrees whose notes are `intervals`."""
    candidates = [_degrees_from(kind, intervals) for kind in KINDS if kind not in _FUNCTIONAL]
    exact = [item for item in candidates if set(_alter(KINDS[item.kind][1], list(item.degrees)).values()) == intervals]
    return min(exact or candidates, key=lambda harmony: len(harmony.degrees))


_FUNCTIONAL = ("pedal", "Neapolitan", "Italian", "French", "German", "Tristan")


def _degrees_from(kind: str, intervals: frozenset[int]) -> Harmony:
    notes = KINDS[kind][1]
    missing = intervals - set(notes.values())
    degrees: list[tuple[str, int, int]] = []
    for degree, note in notes.items():
        if note in intervals or degree == 1:
            continue
        altered = [alter for alter in (-1, 1) if note + alter in missing and degree in (5, 9, 11, 13)]
        if altered:
            missing -= {note + altered[0]}
            degrees.append(("alter", degree, altered[0]))
        else:
            degrees.append(("subtract", degree, 0))
    for note in sorted(missing):
        value, alter = _TENSIONS.get(note, (3, note - 4) if note in (3, 4) else (5, note - 7))
        degrees.append(("add", value, alter))
    return Harmony(kind, tuple(degrees))
