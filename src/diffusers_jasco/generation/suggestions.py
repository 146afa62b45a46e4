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

"""Adds the controls of a suggested lead sheet to those that a user gives."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from diffusers.utils import logging

from ..controls import CONTROLS
from ..controls.chord_labels import FREE_CHORD, NO_CHORD
from ..controls.chords import is_in_bars
from ..controls.drum_machine import Groove, load_groove
from ..controls.lead_sheet import LeadSheet
from ..controls.lead_sheet.keys import parse_tonality
from ..controls.lead_sheet.playback import cut_controls
from ..controls.note_text import is_note_text
from ..data.synthetic.suggestions import MAX_BARS, SheetSetting, choose_setting, compose_sheet, describe_words
from ..inputs import is_audio_file, read_chords
from ..utils.cli import without_warnings
from ..utils.errors import InputError, shorten


logger = logging.get_logger(__name__)

DEFAULT_BARS = 8
# Beats per bar → time signature.
_TIME_SIGNATURES = {4: "4/4", 3: "3/4", 2: "6/8"}
_MINOR_MODES = ("minor", "aeolian", "dorian", "phrygian", "locrian")
_TOLERANCE = 1e-6  # bars


@dataclass(frozen=True)
class Suggestion:
    r"""
    A suggestion for a prompt, for the controls that are not given.

    Args:
        prompt (`str`): the prompt.
        setting ([`~data.synthetic.suggestions.SheetSetting`]): style, tempo, key, ...
        names (`tuple[str, ...]`): the controls that are suggested.
        is_in_beats (`bool`): whether given controls are in beats or bars, so that they need the tempo.
        chords (*optional*): given chords, in any form that [`~inputs.read_chords`] reads, for which a melody is
            suggested.
    """

    prompt: str
    setting: SheetSetting
    names: tuple[str, ...]
    is_in_beats: bool = False
    chords: Any = None

    @property
    def tempo(self) -> float:
        """Beats per minute. A beat of 6/8 is a dotted quarter."""
        return self.setting.tempo

    @property
    def beats_per_bar(self) -> int:
        return self.setting.beats_per_bar

    def length(self, bars: int) -> float:
        """Duration of `bars` bars in seconds."""
        return bars * self.setting.seconds_per_bar

    def fit(self, duration: float) -> float:
        """The duration in seconds of the bars that fit into `duration`, or `duration` if no whole bar does."""
        bars = math.floor(duration / self.setting.seconds_per_bar + _TOLERANCE)
        return self.length(bars) if bars else duration

    def sheet(self, duration: float) -> LeadSheet:
        """The lead sheet of at least `duration` seconds."""
        bars = max(1, math.ceil(duration / self.setting.seconds_per_bar - _TOLERANCE))
        if bars > MAX_BARS:
            raise InputError(f"`suggest` is limited to {MAX_BARS:,} bars, but {duration:g} s are {bars:,}.", "suggest")
        chords = None
        if self.chords is not None:
            quarter = 60 / (self.tempo * self.setting.beat_steps / 4)
            # The pipeline reads the chords again and repeats the warnings.
            with without_warnings():
                read = read_chords(self.chords, None, duration, 0.0, self.tempo, self.beats_per_bar)
            chords = [
                (NO_CHORD if label == FREE_CHORD else label, Fraction(round(4 * start / quarter), 4))
                for label, start in read
                if start < duration
            ]
        return compose_sheet(self.setting, self.prompt, bars, chords or None)

    def controls(self, duration: float) -> dict[str, Any]:
        r"""
        Returns the suggested controls as arguments of [`JascoPipeline`].

        Args:
            duration (`float`): duration of the music in seconds, at which they end.
        """
        controls = cut_controls(self.sheet(duration).to_controls(), duration)
        return {name: controls[name] for name in self.names if name in controls}

    def arguments(self, duration: float) -> dict[str, Any]:
        """The suggested controls, with the tempo where others are given in beats; as [`~Suggestion.controls`]."""
        tempo = {"bpm": self.tempo, "beats_per_bar": self.beats_per_bar} if self.is_in_beats else {}
        return self.controls(duration) | tempo

    def describe(self) -> str:
        """A line about the suggestion."""
        setting = self.setting
        key = f" in {setting.key}" if "chords" in self.names else ""
        title = f"{setting.style.name}{key}, {setting.time_signature}, {setting.tempo:g} BPM"
        return f"{', '.join(self.names)}: {title}"


def plan_suggestion(
    prompt: Any,
    seed: int,
    given: Mapping[str, Any],
    bpm: float | bool | None = None,
    beats_per_bar: int | None = None,
    key: str | None = None,
) -> Suggestion:
    r"""
    Plans a suggestion for the controls that are not given. A melody is suggested for given chords, but no chords for a
    given melody.

    Args:
        prompt (`str`): description of the music.
        seed (`int`): random seed.
        given (`Mapping[str, Any]`): given controls: `chords`, `drums`, `melody`, `beats`, and `groove`, a groove, its
            name or its file.
        bpm (`float`, *optional*): tempo in beats per minute. It overrides those of the groove and of the prompt.
        beats_per_bar (`int`, *optional*): 4, 3, or 2 (for 6/8). It overrides the groove's and the prompt's.
        key (`str`, *optional*): key that overrides the prompt's.

    Raises:
        [`InputError`]: if there is nothing to suggest, or the suggestion can't fit what is given.
    """
    given = {name: value for name, value in given.items() if not _is_empty(value)}
    if not isinstance(prompt, str) or not prompt.strip():
        raise InputError(
            f"`suggest` requires a prompt that is a text, such as 'slow bossa nova', but it is {shorten(prompt)}.",
            "suggest",
        )
    if "beats" in given:
        raise InputError(
            "`suggest` can't be used with `beats`: a suggestion has a constant tempo; set `bpm`.", "suggest"
        )
    if bpm is False:
        raise InputError("`suggest` requires a tempo: omit `bpm`, or set it to a number.", "suggest")
    names = _missing(given)
    if not names:
        raise InputError(f"`suggest` has nothing to add to {_join(given)}.", "suggest")
    groove = given.get("groove")
    if groove is not None and not isinstance(groove, Groove):
        groove = load_groove(groove)
    in_seconds = [name for name in CONTROLS if name in given and not _is_in_beats(name, given[name])]
    if in_seconds and bpm is None and groove is None:
        raise InputError(
            f"`suggest` requires `bpm`, the tempo of the given {in_seconds[0]}, because a suggestion has its own tempo.",
            "suggest",
        )
    chosen: dict[str, Any] = {}
    if bpm is not None or groove is not None:
        chosen["tempo"] = float(groove.bpm if groove is not None and bpm is None else bpm)  # type: ignore[arg-type, union-attr]
    beats = beats_per_bar or (groove.beats_per_bar if groove else None)
    if beats is not None:
        if beats not in _TIME_SIGNATURES:
            raise InputError(
                f"`beats_per_bar` has to be 4, 3 or 2 (6/8) with `suggest`, but is {beats}.", "beats_per_bar"
            )
        chosen["time_signature"] = _TIME_SIGNATURES[beats]
    if key is not None:
        fifths, mode = parse_tonality(key)
        chosen |= {"tonic": 7 * fifths % 12, "mode": "minor" if mode in _MINOR_MODES else "major"}
    if "drums" not in names:
        chosen["drums"] = False
    setting = choose_setting(describe_words(prompt), seed, **chosen)
    chords = given.get("chords") if "melody" in names else None
    is_in_beats = groove is not None or any(_is_in_beats(name, value) for name, value in given.items())
    return Suggestion(prompt, setting, tuple(names), is_in_beats, chords)


def _missing(given: Mapping[str, Any]) -> list[str]:
    names = [] if "chords" in given or "melody" in given else ["chords"]
    if "drums" not in given and "groove" not in given:
        names.append("drums")
    # The chords of recordings are only estimated by the pipeline.
    if (
        "melody" not in given
        and not is_audio_file(given.get("chords"))
        and not isinstance(given.get("chords"), (tuple, dict))
    ):
        names.append("melody")
    return names


def _is_in_beats(name: str, value: Any) -> bool:
    return is_in_bars(value) if name == "chords" else name == "melody" and is_note_text(value)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (str, list, tuple)) and len(value) == 0)


def _join(given: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in given)
