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

"""Chord progressions: texts and files → timelines → one chord id per frame."""

import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.utils import logging

from ..utils.errors import InputError, shorten
from ..utils.numbers import is_number, to_float, to_integer
from .chord_labels import (
    NO_CHORD,
    NOTES,
    default_chord_labels,
    nearest_to_notes,
    normalize_chord,
    parse_chord,
    to_harte,
)
from .midi import load_midi


logger = logging.get_logger(__name__)

Chords = list[tuple[str, float]]

_READABLE = ".lab, .jams, .mid, .midi or an audio file's ending"
_NUMERAL = re.compile(r"([#b♯♭]?)(VII|VI|IV|V|III|II|I|vii|vi|iv|v|iii|ii|i)(.*)")
_JOINED = re.compile(r"\s*[-–—→>,]+\s*(?=[#b♯♭]?[IViv])")
_NUMERALS = ("I", "II", "III", "IV", "V", "VI", "VII")
_SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
# Notes of a MIDI chord that begin or end this close together, in seconds, do so at once.
_ROLLED = 0.05
# Chords that a repeated progression has at most: one every 0.1 s for a day.
_MAX_CHORDS = 1_000_000


def is_chord(value: Any) -> bool:
    """Whether `value` is a pair of a label and a start."""
    return isinstance(value, (list, tuple)) and len(value) == 2 and isinstance(value[0], str) and is_number(value[1])


def check_chords(chords: Any, labels: Sequence[str] | None = None, duration: float | None = None) -> Chords:
    r"""
    A progression with its chords spelled as in the vocabulary and its times in order.

    - Chords that the vocabulary does not have become the nearest that it has, with a warning that says what is lost.
    - Unsorted chords are sorted, with a warning.
    - Of chords that start before 0 the last one starts at 0, unless another one does; with a warning.
    - Chords that start after the end are not used, with a warning.
    - Of chords that start at the same time the last one in the list is used, with a warning.

    Args:
        chords (`list` of `(label, start)`):
            Labels with their starts in seconds.
        labels (`Sequence[str]`, *optional*):
            The vocabulary, by default [`~controls.chord_labels.default_chord_labels`].
        duration (`float`, *optional*):
            Length of the music in seconds.

    Returns:
        `list` of `(label, start)`.

    Raises:
        [`InputError`]: for anything else, with the position of an unknown chord or impossible time.
    """
    labels = default_chord_labels() if labels is None else labels
    timeline, replaced = [], {}
    for position, (spelling, start) in enumerate(_check_pairs(chords)):
        try:
            label, loss = normalize_chord(spelling, labels)
        except ValueError as error:
            raise InputError(f"`chords`: position {position}: {error}", "chords", position) from None
        if loss is not None:
            replaced[spelling] = f"{spelling} → {label} ({loss})"
        timeline.append((label, start))

    if replaced:
        logger.warning(f"`chords`: not in the vocabulary, so replaced by the nearest: {'; '.join(replaced.values())}.")
    return _order(timeline, duration)


def _check_pairs(chords: Any) -> Chords:
    """Pairs of a text and a finite number of seconds."""
    if not isinstance(chords, (list, tuple)):
        raise InputError(
            f"`chords` has to be a list of (label, start in seconds), a text or a path ({_READABLE}), but is a"
            f" {type(chords).__name__}.",
            "chords",
        )
    pairs = []
    for position, item in enumerate(chords):
        if not is_chord(item):
            raise InputError(
                f"`chords`: position {position} has to be (label, start in seconds), but is {shorten(item)}.",
                "chords",
                position,
            )
        pairs.append((item[0], _check_time(item[1], position)))
    return pairs


def _order(timeline: Chords, duration: float | None) -> Chords:
    if any(later[1] < earlier[1] for earlier, later in zip(timeline, timeline[1:])):
        logger.warning("`chords`: the starts are not in order; the chords were sorted by them.")
    timeline = sorted(timeline, key=lambda chord: chord[1])

    early = [chord for chord in timeline if chord[1] < 0]
    if early:
        logger.warning(f"`chords`: {len(early)} chord(s) start before 0; the last one is taken to start at 0.")
        timeline = [(early[-1][0], 0.0)] + timeline[len(early) :]
        if len(timeline) > 1 and timeline[1][1] == 0:
            del timeline[0]

    kept = [
        chord for chord, following in zip(timeline, [*timeline[1:], None]) if not following or following[1] != chord[1]
    ]
    if len(kept) < len(timeline):
        logger.warning(
            f"`chords`: {len(timeline) - len(kept)} chord(s) start together with a later one, which is used."
        )

    inside = [chord for chord in kept if duration is None or chord[1] < duration]
    if len(inside) < len(kept):
        logger.warning(
            f"`chords`: {len(kept) - len(inside)} chord(s) start after the end ({duration:g} s) and are not used."
        )
    return inside


def repeat_chords(chords: Chords, duration: float, length: float | None = None) -> Chords:
    r"""
    A progression played again and again until the music ends.

    Args:
        chords (`list` of `(label, start)`):
            The progression. Music before its first chord is not repeated.
        duration (`float`):
            Length of the music in seconds. Chords that start at or after it are left out.
        length (`float`, *optional*):
            Seconds from the first chord to its return. By default the last chord lasts until the next multiple of the longest
            chord: in a progression of equal chords as long as the others, in bars until the end of the bar. Chords in
            bars have their exact length: see `duration` of [`chords_from_bars`].

    Returns:
        `list` of `(label, start)`.

    Raises:
        [`InputError`]: for anything but a progression, an impossible duration or length, and a single chord without `length`.
    """
    duration = to_float(duration, "duration", above=0, unit="seconds")
    played = sorted(_check_pairs(chords), key=lambda chord: chord[1])
    if not played:
        return []
    first, last = played[0][1], played[-1][1]
    if length is not None:
        length = to_float(length, "length", above=last - first, unit="seconds")
    elif last == first:
        return played  # A single chord sounds until the end.
    else:
        length = _estimate_length([start - first for _, start in played])
    rounds = max(1, math.ceil((duration - first) / length))
    if rounds * len(played) > _MAX_CHORDS:
        raise InputError(
            f"`chords` that are repeated every {length:g} s for {duration:g} s are more than {_MAX_CHORDS} chords.",
            "chords",
        )
    repeated = [(label, start + turn * length) for turn in range(rounds) for label, start in played]
    return [chord for chord in repeated if chord[1] < duration]


def _estimate_length(starts: list[float]) -> float:
    """Where a progression that starts at 0 ends: at the multiple of its longest chord that leaves the last chord time."""
    lengths = [later - earlier for earlier, later in zip(starts, starts[1:]) if later > earlier]
    longest, shortest = max(lengths), min(lengths)
    # Starts that were estimated from recordings are not exact: half of the shortest chord is room enough.
    multiples = math.floor((starts[-1] + 0.5 * shortest) / longest) + 1
    return multiples * longest if shortest < 0.9 * longest else starts[-1] * (1 + 1 / len(lengths))


def warn_of_held_chord(chords: Chords, duration: float):
    r"""
    Warns if the last chord of a progression is held much longer than all others: then the progression was probably meant
    to be repeated.

    Args:
        chords (`list` of `(label, start)`): a progression in order, as [`check_chords`] returns it.
        duration (`float`): length of the music in seconds.
    """
    # Of one or two chords nothing can be told.
    if len(chords) < 3 or chords[-1][0] == NO_CHORD:
        return
    label, last = chords[-1]
    held, longest = duration - last, max(later[1] - earlier[1] for earlier, later in zip(chords, chords[1:]))
    if held > 2 * longest + 0.05:
        logger.warning(
            f"`chords`: the last chord, {label}, is held for {held:.4g} s to the end at {duration:g} s, while no other lasts"
            f" more than {longest:.4g} s. `repeat_chords(chords, {duration:g})` repeats the progression instead."
        )


def chords_from_text_or_file(chords: str | os.PathLike) -> Chords:
    r"""
    Chords by the function of this module that reads them: by a file's suffix, or by how a text begins.

    Raises:
        `FileNotFoundError`: for an absent file.
        [`InputError`]: for another file, and as that function.
    """
    suffix = os.path.splitext(chords)[1].lower()
    if suffix == ".lab":
        return chords_from_lab(chords)
    if suffix == ".jams":
        return chords_from_jams(chords)
    if suffix in (".mid", ".midi"):
        return chords_from_midi(chords)
    if not isinstance(chords, str):
        raise InputError(
            f"`chords` files have to end in {_READABLE}, but this is {shorten(os.fspath(chords))}.", "chords"
        )
    return chords_from_tuples(chords) if chords.lstrip()[:1] in ("(", "[") else chords_from_text(chords)


def chords_to_frames(chords: Chords, labels: Sequence[str], num_frames: int, frame_rate: float) -> torch.Tensor:
    r"""
    One chord id per frame: frame i carries the last chord that starts at or before i / `frame_rate` seconds, and no chord
    (`N`) before the first one, as in the original.

    Args:
        chords (`list` of `(label, start)`):
            A progression as [`check_chords`] returns it.
        labels (`Sequence[str]`):
            The vocabulary.
        num_frames (`int`):
            Number of frames.
        frame_rate (`float`):
            Frames a second.

    Returns:
        `torch.Tensor` of shape `(num_frames,)` and type int64.
    """
    ids = np.array([labels.index(NO_CHORD), *(labels.index(label) for label, _ in chords)])
    starts = np.array([start for _, start in chords])
    current = np.searchsorted(starts, np.arange(num_frames) / frame_rate, side="right")
    return torch.from_numpy(ids[current])


def chords_from_text(text: str) -> Chords:
    r"""
    Chords with their starts in seconds: `"C:0 Am:2.5 F:5 | G:7.5"`. Bar lines are for the eye.

    Raises:
        [`InputError`]: for a chord without a start, with its position.
    """
    chords = []
    for position, word in enumerate(re.split(r"[\s|]+", text.strip(" \t\r\n|"))):
        if not word:
            continue
        label, _, start = word.rstrip(",;").rpartition(":")
        try:
            chords.append((label, float(start)))
        except ValueError:
            raise InputError(
                f"`chords`: position {position}: {shorten(word)} has no start in seconds, as in 'C:0 Am:2.5'. Chords in bars"
                " need a tempo: chords_from_bars(text, bpm=...), or chords_from_roman.",
                "chords",
                position,
            ) from None
    return chords


def chords_to_text(chords: Chords) -> str:
    """The text that [`chords_from_text`] reads as the same progression."""
    return " ".join(f"{label}:{start!r}" for label, start in chords)


def chords_from_tuples(text: str) -> Chords:
    r"""
    Chords as the original's demo takes them: `"(C, 0.0), (D, 2.0)"`, with or without brackets and quotes.

    Raises:
        [`InputError`]: for anything else, with its position.
    """
    body = text.strip().removeprefix("[").removesuffix("]").strip().rstrip(",").rstrip()
    if not body:
        return []
    if not (body.startswith("(") and body.endswith(")")):
        raise InputError(f"`chords`: expected '(C, 0.0), (D, 2.0)', but got {shorten(text)}.", "chords")
    chords = []
    for position, item in enumerate(re.split(r"\)\s*,\s*\(", body[1:-1])):
        label, _, start = item.rpartition(",")
        try:
            chords.append((label.strip().strip("'\""), float(start)))
        except ValueError:
            raise InputError(
                f"`chords`: position {position} has to be (chord, seconds), but is ({shorten(item)}).",
                "chords",
                position,
            ) from None
    return chords


def chords_from_bars(text: str, bpm: float = 120.0, beats_per_bar: int = 4, duration: float | None = None) -> Chords:
    r"""
    Chords in bars: `"C | Am | F G | %"`. The chords of a bar share it equally; `.` holds the chord before for one more
    share (`"C . . G"` changes on the fourth beat), and a bar with nothing but `%` repeats the bar before.

    Args:
        text (`str`):
            The bars.
        bpm (`float`, defaults to `120`):
            Beats a minute.
        beats_per_bar (`int`, defaults to `4`):
            The time signature: 3 for 3/4, 6 for 6/8 (then a beat is an eighth note).
        duration (`float`, *optional*):
            Seconds to fill: the bars are repeated until then. By default they are played once.

    Returns:
        `list` of `(label, start)`, with labels as they are written.

    Raises:
        [`InputError`]: for an empty bar, a `.` or `%` with nothing before it, and an impossible tempo or metre.
    """
    return _lay_out(_split_bars(text), bpm, beats_per_bar, duration)


def chords_from_roman(
    text: str, key: str, bpm: float = 120.0, beats_per_bar: int = 4, duration: float | None = None
) -> Chords:
    r"""
    Roman numerals in a key: `"ii7 V7 Imaj7"` in `"Bb"`. Bars as in [`chords_from_bars`]; without bar lines each chord is
    a bar. Chords may also be joined by dashes, commas or arrows (`"I–V–vi–IV"`). Capitals are major, small letters minor; `o` and
    `ø` diminished and half-diminished; accidentals are relative to the key's own scale (`bVII` in major is `VII` in natural
    minor), but in minor `bIII`, `bVI` and `bVII` are the scale's own, too, as many write them. `V7/V` is the dominant of V,
    `I/3` has its third in the bass, `V7/V/3` both.

    Args:
        text (`str`):
            The numerals.
        key (`str`):
            `"Bb"`, `"F# minor"` or `"Am"`.
        bpm (`float`, defaults to `120`):
            Beats a minute.
        beats_per_bar (`int`, defaults to `4`):
            The time signature, as in [`chords_from_bars`].
        duration (`float`, *optional*):
            Seconds to fill: the bars are repeated until then. By default they are played once.

    Returns:
        `list` of `(label, start)`.

    Raises:
        [`InputError`]: for an unknown key or numeral, with its position, and as [`chords_from_bars`].
    """
    tonic, mode = parse_key(key)
    text = _JOINED.sub(" ", str(text))
    bars = _split_bars(text if "|" in text else " | ".join(text.split()))
    for number, bar in enumerate(bars, start=1):
        try:
            bar[:] = [_numeral_to_chord(word, tonic, mode) for word in bar]
        except ValueError as error:
            raise InputError(f"`chords`: bar {number}: {error}", "chords") from None
    return _lay_out(bars, bpm, beats_per_bar, duration)


def parse_key(key: str) -> tuple[int, str]:
    r"""
    A key's tonic and mode.

    Args:
        key (`str`): `"Bb"`, `"F# minor"` or `"Am"`.

    Returns:
        `tuple[int, str]`: pitch class, 0 (C) ... 11 (B), and `"major"` or `"minor"`.

    Raises:
        [`InputError`]: for text that is not a key.
    """
    tonic = parse_chord(re.sub(r"(?i)\s*(major|maj|dur)$", "", str(key).strip()))
    if tonic is None or tonic.bass or tonic.intervals not in ({0, 4, 7}, {0, 3, 7}):
        raise InputError(
            f"`key` has to be a note and a mode, such as 'Bb' or 'F# minor', but is {shorten(key)}.", "key"
        )
    return tonic.root, "minor" if 3 in tonic.intervals else "major"


def _split_bars(text: str) -> list[list[str]]:
    text = re.sub(r"\|+", "|", str(text).strip()).strip("|")
    return [bar.split() for bar in text.split("|")] if text.strip() else []


def _lay_out(bars: list[list[str]], bpm: float, beats_per_bar: int, duration: float | None) -> Chords:
    bpm = to_float(bpm, "bpm", minimum=1, maximum=1000)
    seconds = to_integer(beats_per_bar, "beats_per_bar", minimum=1, maximum=64) * 60 / bpm
    chords, before = [], None
    for number, bar in enumerate(bars):
        if not bar:
            raise InputError(
                f"`chords`: bar {number + 1} is empty. Write '%' to repeat the bar before, or 'N' for no chord.",
                "chords",
            )
        if bar == ["%"]:
            if before is None:
                raise InputError("`chords`: there is no bar before the first for '%' to repeat.", "chords")
            bar = before
        for position, word in enumerate(bar):
            if word != ".":
                chords.append((word, (number + position / len(bar)) * seconds))
            elif not chords:
                raise InputError("`chords`: there is no chord before the first for '.' to hold.", "chords")
        before = bar
    return chords if duration is None or not chords else repeat_chords(chords, duration, len(bars) * seconds)


def _numeral_to_chord(word: str, tonic: int, mode: str) -> str:
    if word in (".", "%", NO_CHORD):
        return word
    match = _NUMERAL.fullmatch(word)
    if match is None or word.endswith("/"):
        raise ValueError(f"{shorten(word)} is no Roman numeral such as 'ii7', 'bVII' or 'V7/V'.")
    quality, _, target = match[3].partition("/")
    of, *bass = target.split("/", 1)
    if _NUMERAL.fullmatch(of):
        chord = parse_chord(_numeral_to_chord(of, tonic, mode))
        if chord is None:
            raise ValueError(f"{shorten(word)} is a chord of {shorten(of)}, which is none.")
        word = "/".join([word.partition("/")[0], *bass])
        return _numeral_to_chord(word, chord.root, "minor" if 3 in chord.intervals else "major")

    accidental = {"#": 1, "♯": 1, "b": -1, "♭": -1, "": 0}[match[1]]
    if mode == "minor" and accidental < 0 and match[2].upper() in ("III", "VI", "VII"):
        accidental = 0
    root = (tonic + _SCALES[mode][_NUMERALS.index(match[2].upper())] + accidental) % 12
    if match[2].islower() and not quality.startswith(("o", "°", "ø", "dim", "hdim", "m7b5")):
        quality = f"m{quality}"
    bass = f"/{target}" if target else ""
    label = f"{NOTES[root]}{quality}{bass}"
    if parse_chord(label) is None:
        raise ValueError(f"{shorten(word)} is no Roman numeral such as 'ii7', 'bVII' or 'V7/V'.")
    return label


def chords_from_lab(path: str | os.PathLike) -> Chords:
    r"""
    A `.lab` file: lines of start, end (seconds) and chord, usually in the syntax of Harte et al. Gaps between two chords are
    no chord (`N`); empty lines and those that begin with `#` are skipped.

    Raises:
        `FileNotFoundError`: for an absent file.
        [`InputError`]: for a line that is none of these, with its number.
    """
    segments = []
    for number, line in enumerate(_read_file(path).splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            start, end, label = float(words[0]), float(words[1]), words[2]
            if len(words) > 3 or not start <= end:
                raise ValueError
        except (ValueError, IndexError):
            raise InputError(
                f"`chords`: line {number} of {os.fspath(path)} has to be 'start end chord', but is {shorten(line)}.",
                "chords",
            ) from None
        segments.append((start, end, label))
    return _join_segments(segments)


def chords_to_lab(chords: Chords, path: str | os.PathLike, duration: float):
    """Writes a `.lab` file in the syntax of Harte et al.; the last chord ends at `duration` seconds."""
    lines = [f"{start!r}\t{end!r}\t{label}\n" for start, end, label in _segments(chords, duration)]
    Path(path).write_text("".join(lines), encoding="utf-8")


def chords_from_jams(path: str | os.PathLike) -> Chords:
    r"""
    The first chord annotation of a JAMS file.

    Raises:
        `FileNotFoundError`: for an absent file.
        [`InputError`]: for a file that is no JAMS, or one without chords.
    """
    text = _read_file(path)
    try:
        content = json.loads(text)
        annotations = [item for item in content["annotations"] if str(item["namespace"]).startswith("chord")]
        data = annotations[0]["data"]
        if isinstance(data, dict):  # the older of the format's two layouts
            data = [dict(zip(data, values)) for values in zip(*data.values(), strict=True)]
        segments = [
            (float(item["time"]), float(item["time"]) + float(item["duration"]), item["value"]) for item in data
        ]
        if not all(isinstance(label, str) for *_, label in segments):
            raise TypeError("a chord is no text")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise InputError(
            f"`chords`: {os.fspath(path)} is no JAMS file with a chord annotation ({type(error).__name__}: {error}).",
            "chords",
        ) from None
    if len(annotations) > 1:
        logger.warning(f"`chords`: {os.fspath(path)} has {len(annotations)} chord annotations; the first one is used.")
    return _join_segments(segments)


def chords_to_jams(chords: Chords, path: str | os.PathLike, duration: float):
    """Writes a JAMS file with one chord annotation; the last chord ends at `duration` seconds."""
    data = [
        {"time": start, "duration": end - start, "value": label, "confidence": None}
        for start, end, label in _segments(chords, duration)
    ]
    annotation = {
        "namespace": "chord",
        "data": data,
        "time": 0,
        "duration": duration,
        "annotation_metadata": {},
        "sandbox": {},
    }
    content = {"annotations": [annotation], "file_metadata": {"duration": duration}, "sandbox": {}}
    Path(path).write_text(json.dumps(content, indent=1), encoding="utf-8")


def _segments(chords: Chords, duration: float) -> list[tuple[float, float, str]]:
    ends = [*(start for _, start in chords[1:]), duration]
    return [(start, end, to_harte(label)) for (label, start), end in zip(chords, ends)]


def _join_segments(segments: list[tuple[float, float, str]]) -> Chords:
    chords = []
    for (start, end, label), following in zip(segments, [*segments[1:], None]):
        chords.append((label, start))
        # The tolerance is for times that were rounded when they were written.
        if following is not None and following[0] > end + 0.01:
            chords.append((NO_CHORD, end))
    return chords


def chords_from_midi(path: str | os.PathLike, labels: Sequence[str] | None = None) -> Chords:
    r"""
    The chords of a MIDI file: at each change, the label that is nearest to the sounding notes of all tracks but drums, or
    no chord (`N`) in silence.

    Args:
        path (`str` or `os.PathLike`):
            MIDI file.
        labels (`Sequence[str]`, *optional*):
            The vocabulary.

    Returns:
        `list` of `(label, start)`.

    Raises:
        `ImportError`: without the package pretty_midi.
        `FileNotFoundError`: for an absent file.
        [`InputError`]: for a file that is no MIDI, and one without notes.
    """
    tracks = load_midi(path, "chords").instruments
    notes = [note for track in tracks if not track.is_drum for note in track.notes if note.end > note.start]
    if not notes:
        raise InputError(f"`chords`: {os.fspath(path)} has no notes (drums do not count).", "chords")
    starts, ends, pitches = (np.array([getattr(note, name) for note in notes]) for name in ("start", "end", "pitch"))
    changes: list[float] = []
    for time in np.unique(np.concatenate([starts, ends])):
        if not changes or time - changes[-1] >= _ROLLED:
            changes.append(float(time))

    chords: Chords = []
    for start, end in zip(changes, changes[1:]):
        middle = (start + end) / 2
        sounding = pitches[(starts <= middle) & (ends > middle)]
        label = NO_CHORD
        if len(sounding):
            label = nearest_to_notes(
                frozenset(int(pitch) % 12 for pitch in sounding), int(sounding.min()) % 12, labels
            )
        if not chords or chords[-1][0] != label:
            chords.append((label, start))
    return [*chords, (NO_CHORD, changes[-1])]


def _read_file(path: str | os.PathLike) -> str:
    path = Path(path)
    try:
        if not os.path.isfile(path):
            raise FileNotFoundError(f"`chords`: there is no file {path}.")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"`chords`: {path} is no text in UTF-8 ({error}).", "chords") from None


def _check_time(value: Any, position: int) -> float:
    try:
        return to_float(value, "chords")
    except InputError:
        raise InputError(
            f"`chords`: position {position}: the start has to be a finite number of seconds, but is {value!r}.",
            "chords",
            position,
        ) from None
