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

"""Reads chord progressions in any form except audio as labels with their starts in seconds."""

import os
import re
from typing import Any

from diffusers.utils import logging

from ..utils.errors import InputError, shorten
from ..utils.files import looks_like_path, read_text
from .chord_bars import has_repeat_sign, lay_out_bars, split_bars, without_repeat_signs
from .chord_files import chords_from_annotation, chords_from_file, has_times
from .chord_jams import chords_from_jams, chords_to_jams
from .chord_tables import chords_from_lab, chords_to_lab
from .chord_texts import chords_from_text, chords_from_tuples, chords_to_text
from .chord_timeline import (
    Chords,
    check_chords,
    chords_to_frames,
    is_chord,
    repeat_chords,
    warn_of_held_chord,
)
from .midi import is_midi_file
from .midi_chords import chords_from_midi
from .roman_numerals import numeral_to_chord, parse_key, split_numerals


__all__ = [
    "bars_from_roman",
    "check_chords",
    "chords_from_bars",
    "chords_from_file",
    "chords_from_jams",
    "chords_from_lab",
    "chords_from_midi",
    "chords_from_roman",
    "chords_from_text",
    "chords_from_text_or_file",
    "chords_from_tuples",
    "chords_to_frames",
    "chords_to_jams",
    "chords_to_lab",
    "chords_to_text",
    "is_chord",
    "is_in_bars",
    "is_repeated",
    "parse_key",
    "read_bars",
    "repeat_chords",
    "warn_of_held_chord",
]


logger = logging.get_logger(__name__)


def is_in_bars(chords: object) -> bool:
    """Whether chords are a text, or a text file, without times: chords in bars, or Roman numerals."""
    if not isinstance(chords, (str, os.PathLike)) or not os.fspath(chords):
        return False
    if not (looks_like_path(chords) or is_midi_file(chords)):
        return not has_times(str(chords))
    is_text = os.path.splitext(chords)[1].lower() == ".txt" and os.path.isfile(chords)
    return is_text and not has_times(read_text(chords, "chords"))


def is_repeated(chords: object) -> bool:
    """Whether chords are in bars with a repeat sign at the end: `"C | Am :|"`."""
    return is_in_bars(chords) and has_repeat_sign(read_bars(chords))


def read_bars(chords: Any) -> str:
    r"""
    Reads the text of chords in bars, or of Roman numerals.

    Args:
        chords (`str` or `os.PathLike`): the text, or a `.txt` file with any number of lines.

    Returns:
        `str`: the text in one line.
    """
    text = read_text(chords, "chords") if looks_like_path(chords) else str(chords)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # Bar lines at both ends of each line are optional; repeat signs are kept.
    return " | ".join(re.sub(r"^\|+(?!\s*:)|(?<!:)(?<!:\s)\|+$", "", line) for line in lines)


def chords_from_text_or_file(
    chords: str | os.PathLike,
    bpm: float | None = None,
    beats_per_bar: int = 4,
    key: str | None = None,
    duration: float | None = None,
) -> Chords:
    r"""
    Reads chords from text or from a file in any supported format.

    Args:
        chords (`str` or `os.PathLike`):
            A file that [`chords_from_file`] reads; chords with their starts (`"C:0 Am:2.5"`, `"(C, 0.0), (Am, 2.5)"`);
            chords in bars as in [`chords_from_bars`], if `bpm` is set; Roman numerals as in [`chords_from_roman`], if
            `key` is set; or a `.txt` file with any of these texts.
        bpm (`float`, *optional*):
            Tempo of chords in bars in beats per minute; 120 by default if `key` is set.
        beats_per_bar (`int`, defaults to `4`):
            Time signature of chords in bars.
        key (`str`, *optional*):
            Key of Roman numerals.
        duration (`float`, *optional*):
            Duration to fill in seconds by repeating the progression. By default it is played once.

    Returns:
        `list` of `(label, start)`.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the file or text has none of these formats or is invalid; see the functions above.
    """
    is_file = looks_like_path(chords) or is_midi_file(chords)
    # Only text files may be without times.
    is_text = not is_file or os.path.splitext(chords)[1].lower() == ".txt"
    text = read_text(chords, "chords") if is_file and is_text else str(chords)
    if (bpm is not None or key is not None) and is_text and not has_times(text):
        bars = read_bars(chords)
        if key is not None:
            return chords_from_roman(bars, key, 120.0 if bpm is None else bpm, beats_per_bar, duration)
        return chords_from_bars(bars, 120.0 if bpm is None else bpm, beats_per_bar, duration)
    if bpm is not None or key is not None:
        logger.warning(f"`chords`: {shorten(os.fspath(chords))} already contains times; `bpm` and `key` are ignored.")
    timeline = chords_from_file(chords) if is_file else chords_from_annotation(text)
    return timeline if duration is None else repeat_chords(timeline, duration)


def chords_from_bars(text: str, bpm: float = 120.0, beats_per_bar: int = 4, duration: float | None = None) -> Chords:
    r"""
    Reads chords in bars: `"C | Am | F G | %"`. The chords of a bar divide it equally. `.` holds the previous chord
    (`"C . . G"` changes on the fourth beat), and a bar that consists of `%` repeats the previous bar. A repeat sign `:|`
    at the end is for [`~inputs.read_chords`], which knows the duration of the music.

    Args:
        text (`str`):
            The bars, or a `.txt` file with them.
        bpm (`float`, defaults to `120`):
            Tempo in beats per minute.
        beats_per_bar (`int`, defaults to `4`):
            The time signature: 3 for 3/4, 6 for 6/8 (where a beat is an eighth note).
        duration (`float`, *optional*):
            Duration to fill in seconds by repeating the bars. By default they are played once.

    Returns:
        `list` of `(label, start)`, with unchanged labels. If a file already contains times, they are kept.

    Raises:
        [`InputError`]: if a bar is empty, a `.` or `%` has nothing before it, or the tempo or time signature is
            invalid.
    """
    if looks_like_path(text):
        return chords_from_text_or_file(text, bpm, beats_per_bar, duration=duration)
    return lay_out_bars(split_bars(text), bpm, beats_per_bar, duration)


def chords_from_roman(
    text: str, key: str, bpm: float = 120.0, beats_per_bar: int = 4, duration: float | None = None
) -> Chords:
    r"""
    Reads Roman numerals in a key: `"ii7 V7 Imaj7"` in `"Bb"`. Bars are written as in [`chords_from_bars`]; without bar
    lines, each chord lasts one bar. Chords may also be separated by dashes, commas or arrows (`"I - V - vi - IV"`).

    - Upper-case numerals are major, lower-case ones minor; `o` (`°`) is diminished, `ø` (`h`) half-diminished, `+`
      augmented.
    - Figured bass: `I6`, `I64`, `V65`, `V43`, `V42` and `V2` are inversions with diatonic sevenths. An added sixth is
      `Iadd6`. `I7` and `IV7` in root position have a minor seventh, as in the blues; a major seventh is `Imaj7`.
    - `I/3` has its third in the bass, `V7/V` is the dominant of V, `V65/V` its first inversion.
    - Accidentals are relative to the scale of the key. In minor, `bIII`, `bVI` and `bVII` are the same as `III`, `VI`
      and `VII`. In minor, `vii` is on the leading tone (`viio7` in A minor is G#dim7) and `VII` on the natural seventh
      degree.
    - `N6` is the Neapolitan, `It6`, `Ger65` and `Fr43` are augmented sixths, `Cad64` is `I64`; `N` is no chord.

    Args:
        text (`str`):
            The numerals, or a `.txt` file with them.
        key (`str`):
            The key, such as `"Bb"`, `"F# minor"` or `"Am"`.
        bpm (`float`, defaults to `120`):
            Tempo in beats per minute.
        beats_per_bar (`int`, defaults to `4`):
            The time signature; see [`chords_from_bars`].
        duration (`float`, *optional*):
            Duration to fill in seconds by repeating the bars. By default they are played once.

    Returns:
        `list` of `(label, start)`.

    Raises:
        [`InputError`]: if the key or a numeral is unknown (the message contains its bar); see also
            [`chords_from_bars`].
    """
    if looks_like_path(text):
        return chords_from_text_or_file(text, bpm, beats_per_bar, key, duration)
    return lay_out_bars(split_bars(bars_from_roman(text, key)), bpm, beats_per_bar, duration)


def bars_from_roman(text: str, key: str) -> str:
    r"""
    Converts Roman numerals to chords in bars, which need no tempo yet.

    Args:
        text (`str`): the numerals, as in [`chords_from_roman`].
        key (`str`): the key.

    Returns:
        `str`: `"C | Am | F G |"`, with a final bar line, as in [`chords_from_bars`].

    Raises:
        [`InputError`]: if the key or a numeral is unknown (the message contains its bar).
    """
    parse_key(key)
    numerals = split_numerals(text)
    end, numerals = " :|" if has_repeat_sign(numerals) else " |", without_repeat_signs(numerals)
    bars = split_bars(numerals if "|" in numerals else " | ".join(numerals.split()))
    for number, bar in enumerate(bars, start=1):
        try:
            bar[:] = [word if word in (".", "%") else numeral_to_chord(word, key) for word in bar]
        except ValueError as error:
            raise InputError(f"`chords`: bar {number}: {error}", "chords") from None
    return " | ".join(map(" ".join, bars)) + end
