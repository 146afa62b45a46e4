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

"""The piano roll: a monophonic melody, drawn by hand."""

from typing import Any

from diffusers_jasco.controls.melody import HIGHEST_PITCH, LOWEST_PITCH

from .part import MAX_BEATS, Part, check_keys, check_list, check_number, check_whole_number


MAX_NOTES = 1024
TOLERANCE = 1e-6  # beats; for rounding


class PianoRoll(Part):
    r"""
    A monophonic melody: `{"beats": 16.0, "notes": [{"midi": 60, "beat": 0.0, "beats": 1.0}, ...]}`, from G2
    (MIDI 43) to B6 (95), the model's range.

    Args:
        value (`dict`, *optional*):
            By default, sixteen empty beats.
        bpm (`float`, defaults to `120`):
            Tempo of the preview in BPM.
        beats_per_bar (`int`, defaults to `4`):
            Distance of the bar lines.
        chord_tones (`list[dict]`, *optional*):
            Notes to highlight: `{"beat": 0.0, "beats": 4.0, "pitch_classes": [0, 4, 7]}`, ..., as
            [`~parts.chord_timeline.chord_tones`] returns them.
        label (`str`, defaults to `"Melody"`):
            Title of the component.
    """

    def __init__(
        self,
        value: dict | None = None,
        *,
        bpm: float = 120.0,
        beats_per_bar: int = 4,
        chord_tones: list[dict] | None = None,
        label: str = "Melody",
        **kwargs,
    ):
        self.bpm, self.beats_per_bar, self.chord_tones = bpm, beats_per_bar, chord_tones or []
        super().__init__(
            empty_piano_roll() if value is None else value,
            ("piano_roll.css", "notes.js", "piano_roll.js"),
            label,
            {
                "bpm": bpm,
                "beats_per_bar": beats_per_bar,
                "chord_tones": self.chord_tones,
                "lowest": LOWEST_PITCH,
                "highest": HIGHEST_PITCH,
            },
            **kwargs,
        )

    def check(self, value: Any) -> dict:
        return check_piano_roll(value)

    def api_info(self) -> dict[str, Any]:
        note = {
            "type": "object",
            "properties": {"midi": {"type": "integer"}, "beat": {"type": "number"}, "beats": {"type": "number"}},
            "required": ["midi", "beat", "beats"],
        }
        return {
            "type": "object",
            "properties": {"beats": {"type": "number"}, "notes": {"type": "array", "items": note}},
            "required": ["beats", "notes"],
            "description": f"notes of MIDI {LOWEST_PITCH} to {HIGHEST_PITCH}, start and length in beats, one at a time",
        }

    def example_value(self) -> dict:
        notes = [{"midi": midi, "beat": float(beat), "beats": 1.0} for beat, midi in enumerate((72, 74, 76, 79))]
        return {"beats": 16.0, "notes": notes}


def empty_piano_roll(beats: float = 16.0) -> dict:
    """An empty piano roll."""
    return {"beats": beats, "notes": []}


def check_piano_roll(value: Any) -> dict:
    r"""
    Checks that notes are valid and do not overlap, and sorts them.

    Args:
        value (`Any`): value from the page or an API client.

    Returns:
        `dict`: the value of [`PianoRoll`].

    Raises:
        `ValueError`: for an invalid value.
    """
    check_keys(value, {"beats", "notes"}, "the piano roll")
    beats = check_number(value["beats"], "the piano roll's 'beats'", 0.25, MAX_BEATS)
    notes = []
    for position, note in enumerate(check_list(value["notes"], "the piano roll's 'notes'", MAX_NOTES), start=1):
        check_keys(note, {"midi", "beat", "beats"}, f"note {position}")
        midi = check_whole_number(note["midi"], f"note {position}'s 'midi'", LOWEST_PITCH, HIGHEST_PITCH)
        start = check_number(note["beat"], f"note {position}'s 'beat'", 0, beats)
        length = check_number(note["beats"], f"note {position}'s 'beats'", 0, beats)
        if length <= 0 or start + length > beats + TOLERANCE:
            raise ValueError(
                f"note {position} lasts from beat {start:g} to {start + length:g}; its length has to be positive, and it has to end by"
                f" beat {beats:g}."
            )
        notes.append({"midi": midi, "beat": start, "beats": length})
    notes.sort(key=lambda note: note["beat"])
    for before, after in zip(notes, notes[1:]):
        if before["beat"] + before["beats"] > after["beat"] + TOLERANCE:
            raise ValueError(
                f"two notes sound at once on beat {after['beat']:g} (MIDI {before['midi']} and {after['midi']}); a"
                " melody has one note at a time."
            )
    return {"beats": beats, "notes": notes}
