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

"""The chord timeline: chords on a grid of bars and beats."""

import re
from typing import Any

from gradio.components.base import server

from diffusers_jasco.controls.chord_labels import (
    UNKNOWN_CHORD,
    default_chord_labels,
    normalize_chord,
    parse_chord,
    suggest_chords,
)

from .part import MAX_BEATS, Part, check_keys, check_list, check_number, check_whole_number


MAX_BARS, MAX_BEATS_PER_BAR = 384, 16
MAX_LABEL = 40


class ChordTimeline(Part):
    r"""
    Chords on a grid of bars and beats: `{"beats_per_bar": 4, "bars": 4, "chords": [{"label": "Am", "beat": 4.0},
    ...]}`. Each chord lasts until the next one or the end. There is no chord before the first one.

    Args:
        value (`dict`, *optional*):
            By default four empty bars of four beats.
        labels (`list[str]`, *optional*):
            The model's chords, by default [`~diffusers_jasco.controls.chord_labels.default_chord_labels`]. Other typed
            chords are respelled, or replaced by the nearest one with a message, or marked as unknown.
        musical_key (`str`, defaults to `"C major"`):
            Initial key of the palette: a note of [`~diffusers_jasco.controls.chord_labels.NOTES`], and
            `major` or `minor`. Users can choose another one.
        bpm (`float`, defaults to `120`):
            Tempo of the preview in BPM.
        label (`str`, defaults to `"Chords"`):
            Title of the component.
    """

    def __init__(
        self,
        value: dict | None = None,
        *,
        labels: list[str] | None = None,
        musical_key: str = "C major",
        bpm: float = 120.0,
        label: str = "Chords",
        **kwargs,
    ):
        self.labels = default_chord_labels() if labels is None else list(labels)
        self.musical_key, self.bpm = musical_key, bpm
        super().__init__(
            empty_chord_timeline() if value is None else value,
            ("chord_timeline.css", "chord_palette.css", "chord_timeline.js", "chord_palette.js"),
            label,
            {
                "musical_key": musical_key,
                "bpm": bpm,
                "vocabulary": [_describe(name) for name in self.labels if name != UNKNOWN_CHORD],
            },
            **kwargs,
        )

    def check(self, value: Any) -> dict:
        # Unknown chords are marked on the page, where users can fix them.
        return check_chord_timeline(value)

    def postprocess(self, value: Any) -> dict:
        # Respell chords as the model does; chords that it does not have are marked on the page.
        value = self.check(value)
        for chord in value["chords"]:
            answer = self.spell_chord(chord["label"])
            if answer.get("difference", "") is None:
                chord["label"] = answer["label"]
        return value

    @server
    def spell_chord(self, text: Any) -> dict:
        """Called by the page: the model's `label` for a typed chord and the `difference`, or `suggestions` if it is not a chord."""
        labels = [name for name in self.labels if name != UNKNOWN_CHORD]
        text = capitalize_chords(str(text)[:MAX_LABEL])
        try:
            label, difference = normalize_chord(text, labels)
        except ValueError:
            return {"suggestions": suggest_chords(text, labels).replace("'", "").split(", ")}
        return {"label": label, "difference": difference}

    def api_info(self) -> dict[str, Any]:
        chord = {
            "type": "object",
            "properties": {"label": {"type": "string"}, "beat": {"type": "number"}},
            "required": ["label", "beat"],
        }
        return {
            "type": "object",
            "properties": {
                "beats_per_bar": {"type": "integer"},
                "bars": {"type": "integer"},
                "chords": {"type": "array", "items": chord},
            },
            "required": ["beats_per_bar", "bars", "chords"],
            "description": "chords with the beat (from 0) on which they start; each lasts until the next one",
        }

    def example_value(self) -> dict:
        return {
            "beats_per_bar": 4,
            "bars": 4,
            "chords": [{"label": name, "beat": 4.0 * bar} for bar, name in enumerate(("C", "Am", "F", "G"))],
        }


def capitalize_chords(text: str) -> str:
    """Capitalizes the roots of chords typed in lower case: `am/g` becomes `Am/G`."""
    return re.sub(r"(?<![^\s|/])[a-g]", lambda match: match[0].upper(), text)


def empty_chord_timeline(bars: int = 4, beats_per_bar: int = 4) -> dict:
    """A timeline without chords."""
    return {"beats_per_bar": beats_per_bar, "bars": bars, "chords": []}


def resize_chord_timeline(value: dict, bars: int, beats_per_bar: int) -> dict:
    r"""
    Changes the number of bars or beats per bar. Each chord keeps its bar and its beat. If its beat no longer exists, it moves
    to the last beat of its bar, unless that beat has a chord. Chords of removed bars are dropped.

    Raises:
        `ValueError`: as [`check_chord_timeline`].
    """
    value = check_chord_timeline(value)
    chords = {}
    for chord in value["chords"]:
        bar, beat = divmod(chord["beat"], value["beats_per_bar"])
        if bar < bars:
            start = bar * beats_per_bar + (beat if beat < beats_per_bar else beats_per_bar - 1)
            chords.setdefault(start, {"label": chord["label"], "beat": start})
    return check_chord_timeline({"beats_per_bar": beats_per_bar, "bars": bars, "chords": list(chords.values())})


def check_chord_timeline(value: Any, labels: list[str] | None = None) -> dict:
    r"""
    Checks a chord timeline and sorts its chords.

    Args:
        value (`Any`):
            Value from the page or an API client.
        labels (`list[str]`, *optional*):
            The model's chords. If given, labels that are not chords are refused; other spellings pass.

    Returns:
        `dict`: the value of [`ChordTimeline`].

    Raises:
        `ValueError`: for an invalid value; the message names the bar and beat of the chord.
    """
    check_keys(value, {"beats_per_bar", "bars", "chords"}, "the chord timeline")
    per_bar = check_whole_number(value["beats_per_bar"], "the chord timeline's 'beats_per_bar'", 1, MAX_BEATS_PER_BAR)
    bars = check_whole_number(value["bars"], "the chord timeline's 'bars'", 1, MAX_BARS)
    end = min(bars * per_bar, MAX_BEATS)
    if bars * per_bar > MAX_BEATS:
        raise ValueError(f"the chord timeline has {bars * per_bar} beats, but at most {MAX_BEATS} are allowed.")

    chords = {}
    for position, chord in enumerate(check_list(value["chords"], "the chord timeline's 'chords'", MAX_BEATS), start=1):
        check_keys(chord, {"label", "beat"}, f"chord {position}")
        label = chord["label"]
        if not isinstance(label, str) or not label.strip() or len(label) > MAX_LABEL:
            raise ValueError(f"chord {position} has to be a string such as 'Am', but is {str(label)[:MAX_LABEL]!r}.")
        beat = check_number(chord["beat"], f"the beat of chord {position} ({label})", 0, end)
        if beat == end:
            raise ValueError(f"chord {position} ({label}) starts on beat {beat:g}, where the timeline ends.")
        if beat in chords:
            raise ValueError(f"two chords start {_place(beat, per_bar)}: {chords[beat]} and {label}.")
        if labels is not None:
            try:
                normalize_chord(label, labels)
            except ValueError as error:
                raise ValueError(f"{_place(beat, per_bar)}: {error}") from None
        chords[beat] = label.strip()
    ordered = [{"label": chords[beat], "beat": beat} for beat in sorted(chords)]
    return {"beats_per_bar": per_bar, "bars": bars, "chords": ordered}


def chord_tones(value: dict) -> list[dict]:
    r"""
    Notes for [`PianoRoll`] to highlight: `{"beat": 0.0, "beats": 4.0, "pitch_classes": [0, 4, 7]}` for each chord of a
    timeline. Labels that are not chords are left out.
    """
    value = check_chord_timeline(value)
    ends = [chord["beat"] for chord in value["chords"][1:]] + [float(value["bars"] * value["beats_per_bar"])]
    spans = []
    for chord, end in zip(value["chords"], ends):
        if (parsed := parse_chord(chord["label"])) is not None:
            spans.append(
                {
                    "beat": chord["beat"],
                    "beats": end - chord["beat"],
                    "pitch_classes": sorted(parsed.pitch_classes),
                }
            )
    return spans


def _place(beat: float, beats_per_bar: int) -> str:
    bar, beat = divmod(beat, beats_per_bar)
    return f"bar {int(bar) + 1}, beat {beat + 1:g}"


def _describe(label: str) -> dict:
    """Data about a chord for the page: its parts for the palette, and its notes (MIDI) for playback."""
    chord = parse_chord(label)
    if chord is None:
        return {"label": label, "root": "", "pitch": None, "quality": "", "bass": "", "notes": []}
    name, _, bass = label.partition("/")
    root = name[: 2 if name[1:2] in ("#", "b") else 1]
    notes = [36 + chord.bass_pitch_class, *(48 + chord.root + interval for interval in sorted(chord.intervals))]
    return {
        "label": label,
        "root": root,
        "pitch": chord.root,
        "quality": name[len(root) :],
        "bass": bass,
        "notes": notes,
    }
