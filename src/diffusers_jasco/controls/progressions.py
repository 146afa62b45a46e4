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

"""Well-known chord progressions, in any key."""

import re
from dataclasses import dataclass

from ..utils.errors import InputError
from ..utils.names import find_name
from ..utils.numbers import to_integer
from .chords import Chords, bars_from_roman, chords_from_bars, parse_key


_NOTE = "[A-G][#b♯♭]?"


@dataclass(frozen=True)
class Progression:
    r"""
    A chord progression without a key.

    Args:
        numerals (`str`): Roman numerals in bars; see [`~controls.chords.chords_from_roman`].
        mode (`str`, defaults to `"major"`): `"major"` or `"minor"`.
    """

    numerals: str
    mode: str = "major"


PROGRESSIONS = {
    "axis": Progression("I | V | vi | IV"),
    "doo-wop": Progression("I | vi | IV | V"),
    "three chords": Progression("I | IV | V | I"),
    "Pachelbel": Progression("I | V | vi | iii | IV | I | IV | V"),
    "mixolydian": Progression("I | bVII | IV | I"),
    "gospel": Progression("I | I7 | IV | iv"),
    "royal road": Progression("IVmaj7 | V7 | iii7 | vi"),
    "12-bar blues": Progression("I7 | I7 | I7 | I7 | IV7 | IV7 | I7 | I7 | V7 | IV7 | I7 | V7"),
    "8-bar blues": Progression("I7 | V7 | IV7 | IV7 | I7 | V7 | I7 | V7"),
    "ii-V-I": Progression("ii7 | V7 | Imaj7 | Imaj7"),
    "turnaround": Progression("Imaj7 vi7 | ii7 V7"),
    "rhythm changes": Progression("Imaj7 V7/ii | ii7 V7 | iii7 V7/ii | ii7 V7"),
    "circle of fifths": Progression("vi7 | ii7 | V7 | Imaj7"),
    "minor axis": Progression("i | VI | III | VII", "minor"),
    "minor rock": Progression("i | VII | VI | VII", "minor"),
    "Andalusian": Progression("i | VII | VI | V", "minor"),
    "dorian": Progression("i7 | IV7", "minor"),
    "folia": Progression("i | V | i | VII | III | VII | i | V", "minor"),
    "minor blues": Progression("i7 | i7 | i7 | i7 | iv7 | iv7 | i7 | i7 | VI7 | V7 | i7 | V7", "minor"),
    "minor ii-V-i": Progression("iiø | V7 | i7 | i7", "minor"),
}


def chords_from_progression(
    name: str, key: str, bpm: float = 120.0, beats_per_bar: int = 4, num_bars: int | None = None
) -> Chords:
    r"""
    Creates chords from a named progression of `PROGRESSIONS`.

    Args:
        name (`str`): name of the progression; case, hyphens and spaces are ignored.
        key (`str`):
            The tonic (`"Bb"`), or a key as in [`~controls.chords.chords_from_roman`] with the mode of the progression.
        bpm (`float`, defaults to `120`): tempo in beats per minute.
        beats_per_bar (`int`, defaults to `4`): the time signature.
        num_bars (`int`, *optional*): number of bars to fill by repeating the progression. By default it is played
            once.

    Returns:
        `list` of `(label, start)`.

    Raises:
        [`InputError`]: if the name is unknown (the message lists the known names) or the key has another mode; see
            also [`~controls.chords.chords_from_roman`].
    """
    bars = bars_from_progression(name, key)
    if num_bars is not None:
        num_bars = to_integer(num_bars, "num_bars", minimum=1)
        pattern = bars.strip("|").split("|")
        # The final bar line marks even a single bar as bar notation.
        bars = "|".join(pattern[number % len(pattern)] for number in range(num_bars)) + "|"
    return chords_from_bars(bars, bpm, beats_per_bar)


def bars_from_progression(name: str, key: str) -> str:
    r"""
    Returns the bars of a named progression, which need no tempo yet.

    Args:
        name (`str`), key (`str`): as in [`chords_from_progression`].

    Returns:
        `str`: `"C | G | Am | F |"`, as in [`~controls.chords.chords_from_bars`].

    Raises:
        [`InputError`]: if the name is unknown or the key has another mode.
    """
    name = find_name(name, PROGRESSIONS, "progression")
    progression = PROGRESSIONS[name]
    mode = parse_key(key)[1]
    if mode != progression.mode:
        # A note by itself is a tonic without a mode.
        if re.fullmatch(_NOTE, str(key).strip()) is None:
            raise InputError(
                f"`key` has to be {progression.mode} for the progression {name!r}, but is {key!r}.", "key"
            )
        key = f"{key} {progression.mode}"
    return bars_from_roman(progression.numerals, key)
