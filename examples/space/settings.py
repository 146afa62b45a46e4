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

"""What a piece is made from: the values of all fields, checked. `settings.json` in a download is this."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from numbers import Real
from typing import Any

from diffusers_jasco.controls.chord_labels import normalize_chord
from diffusers_jasco.controls.chords import Chords
from diffusers_jasco.controls.drum_machine import Groove
from diffusers_jasco.controls.melody import HIGHEST_PITCH, LOWEST_PITCH


FORMAT = "diffusers-jasco-space-1"
MAX_PROMPT = 500  # characters
TEMPO = (30.0, 300.0)  # quarter beats a minute
DURATION = (1.0, 30.0)  # seconds
MAX_VARIATIONS = 4
MAX_STEPS = 100
GUIDANCE = (0.0, 10.0)
MAX_SEED = 2**31 - 1
BEATS_PER_BAR = (2, 7)
MAX_CHORDS = 256
MAX_NOTES = 512
MAX_PATTERN_STEPS = 64
DRUM_SOURCES = ("off", "pattern", "recording")
DRUMS = ("kick", "snare", "hat", "open_hat", "clap", "tom", "rim")


class FieldError(ValueError):
    r"""
    Something wrong with one field.

    Args:
        field (`str`): its name in [`Settings`].
        message (`str`): what is wrong, and what would be right.
    """

    def __init__(self, field: str, message: str):
        super().__init__(message)
        self.field = field


def _empty_chords() -> dict[str, Any]:
    return {"beats_per_bar": 4, "bars": 5, "chords": []}


def _empty_pattern() -> dict[str, Any]:
    return {"steps": 16, "tracks": {drum: [0.0] * 16 for drum in DRUMS}, "swing": 0.0}


def _empty_melody() -> dict[str, Any]:
    return {"beats": 20.0, "notes": []}


@dataclass(frozen=True)
class Settings:
    r"""
    Args:
        prompt (`str`): what the music is like.
        tempo (`float`): quarter beats a minute.
        duration (`float`): seconds.
        use_chords (`bool`), chords (`dict`):
            `{"beats_per_bar", "bars", "chords": [{"label", "beat"}, ...]}`, with starts in quarter beats.
        drums (`str`): `"off"`, `"pattern"`, or `"recording"` (which is a file of its own).
        pattern (`dict`):
            `{"steps", "tracks": {drum: [velocity in [0, 1], ...]}, "swing"}`, with four steps in a beat; it is repeated.
        use_melody (`bool`), melody (`dict`):
            `{"beats", "notes": [{"midi", "beat", "beats"}, ...]}`, with starts and lengths in quarter beats.
        seed (`int`): of the first variation; the next ones have the numbers after it.
        variations (`int`): how many.
        steps (`int`): of the solver.
        guidance_scale (`float`), text_guidance_scale (`float`): weights of all conditions, and of the text alone.

    Raises:
        [`FieldError`]: for a value that can't be used.
    """

    prompt: str = ""
    tempo: float = 120.0
    duration: float = 10.0
    use_chords: bool = True
    chords: dict[str, Any] = field(default_factory=_empty_chords)
    drums: str = "off"
    pattern: dict[str, Any] = field(default_factory=_empty_pattern)
    use_melody: bool = True
    melody: dict[str, Any] = field(default_factory=_empty_melody)
    seed: int = 0
    variations: int = 1
    steps: int = 12
    guidance_scale: float = 1.5
    text_guidance_scale: float = 0.0

    def __post_init__(self):
        set_field = object.__setattr__
        if not isinstance(self.prompt, str):
            raise FieldError("prompt", "The description has to be a text.")
        if len(self.prompt) > MAX_PROMPT:
            raise FieldError("prompt", f"The description has {len(self.prompt)} characters; at most {MAX_PROMPT} fit.")
        set_field(self, "tempo", _number(self.tempo, "tempo", "The tempo", *TEMPO, "beats a minute"))
        set_field(self, "duration", _number(self.duration, "duration", "The length", *DURATION, "seconds"))
        for name in ("use_chords", "use_melody"):
            if not isinstance(getattr(self, name), bool):
                raise FieldError(name.removeprefix("use_"), f"“{name}” has to be true or false.")
        if self.drums not in DRUM_SOURCES:
            raise FieldError("drums", f"The drums have to be one of {', '.join(DRUM_SOURCES)}, not {self.drums!r}.")
        set_field(self, "seed", _whole(self.seed, "seed", "The seed", 0, MAX_SEED))
        set_field(
            self, "variations", _whole(self.variations, "variations", "The number of variations", 1, MAX_VARIATIONS)
        )
        set_field(self, "steps", _whole(self.steps, "steps", "The number of steps", 1, MAX_STEPS))
        for name, owner in (("guidance_scale", "Guidance"), ("text_guidance_scale", "Text guidance")):
            set_field(self, name, _number(getattr(self, name), name, owner, *GUIDANCE))
        set_field(self, "chords", check_chords(self.chords))
        set_field(self, "pattern", check_pattern(self.pattern))
        set_field(self, "melody", check_melody(self.melody))

    @classmethod
    def from_json(cls, content: Any) -> "Settings":
        r"""
        Args:
            content (`dict`): what [`Settings.to_json`] returned, after a way through a file.

        Raises:
            [`FieldError`]: for anything else.
        """
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            raise FieldError("file", f"This is no settings file of this app: it has no “format”: “{FORMAT}”.")
        values = {name: value for name, value in content.items() if name != "format"}
        names = {item.name for item in fields(cls)}
        if unknown := sorted(map(str, values.keys() - names)):
            raise FieldError("file", f"The settings have fields that this app does not know: {', '.join(unknown)[:200]}.")
        if missing := sorted(names - values.keys()):
            raise FieldError("file", f"The settings lack {', '.join(missing)}.")
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `json.dumps`."""
        return {"format": FORMAT, **asdict(self)}

    def chord_timeline(self) -> Chords | None:
        """`[(label, start in seconds), ...]`, or `None` if there are no chords to follow."""
        chords = self.chords["chords"] if self.use_chords else []
        return [(chord["label"], chord["beat"] * 60 / self.tempo) for chord in chords] or None

    def notes(self) -> list[tuple[int, float, float]] | None:
        """`[(MIDI number, start, end in seconds), ...]`, or `None` if there is no melody to follow."""
        seconds = 60 / self.tempo
        notes = self.melody["notes"] if self.use_melody else []
        return [
            (note["midi"], note["beat"] * seconds, (note["beat"] + note["beats"]) * seconds) for note in notes
        ] or None

    def groove(self) -> Groove | None:
        """The drum pattern, or `None` if there is none to follow."""
        tracks = {drum.replace("_", " "): steps for drum, steps in self.pattern["tracks"].items() if any(steps)}
        if self.drums != "pattern" or not tracks:
            return None
        return Groove(tracks, self.tempo, swing=0.5 + self.pattern["swing"] / 4)


def count_bars(duration: float, tempo: float, beats_per_bar: int) -> int:
    """Bars that begin within `duration` seconds."""
    # The tolerance is for bars that end with the music.
    return max(1, math.ceil(duration * tempo / 60 / beats_per_bar - 1e-6))


def check_chords(value: Any) -> dict[str, Any]:
    """The chords of [`Settings`] in order; a [`FieldError`] says in which bar something is wrong."""
    value = _fields(value, "chords", "The chords", ("beats_per_bar", "bars", "chords"))
    beats_per_bar = _whole(value["beats_per_bar"], "chords", "The number of beats in a bar", *BEATS_PER_BAR)
    bars = _whole(value["bars"], "chords", "The number of bars", 1, 1000)
    chords = []
    for number, chord in enumerate(_list(value["chords"], "chords", "chords", MAX_CHORDS), start=1):
        chord = _fields(chord, "chords", f"Chord {number}", ("label", "beat"))
        beat = _number(chord["beat"], "chords", f"The start of chord {number}", 0, 10_000, "beats")
        where = f"Bar {int(beat // beats_per_bar) + 1}, beat {beat % beats_per_bar + 1:.3g}"
        if not isinstance(chord["label"], str):
            raise FieldError("chords", f"{where}: the chord has to be a text.")
        label = chord["label"].strip()
        try:
            normalize_chord(label)
        except ValueError as error:
            raise FieldError("chords", f"{where}: {error}") from None
        chords.append({"label": label, "beat": beat})
    chords.sort(key=lambda chord: chord["beat"])
    return {"beats_per_bar": beats_per_bar, "bars": bars, "chords": chords}


def check_pattern(value: Any) -> dict[str, Any]:
    """The drum pattern of [`Settings`], or a [`FieldError`]."""
    value = _fields(value, "drums", "The drum pattern", ("steps", "tracks", "swing"))
    steps = _whole(value["steps"], "drums", "The number of steps", 1, MAX_PATTERN_STEPS)
    if not isinstance(value["tracks"], Mapping):
        raise FieldError("drums", "The tracks of the drum pattern have to be given by their drums’ names.")
    if unknown := sorted(map(str, value["tracks"].keys() - set(DRUMS))):
        raise FieldError("drums", f"There is no drum {', '.join(unknown)[:100]}; there are {', '.join(DRUMS)}.")
    tracks = {}
    for drum, velocities in value["tracks"].items():
        velocities = _list(velocities, "drums", f"steps of the {drum}", MAX_PATTERN_STEPS)
        if len(velocities) != steps:
            raise FieldError("drums", f"The {drum} has {len(velocities)} steps in a pattern of {steps}.")
        tracks[drum] = [_number(velocity, "drums", f"The loudness of the {drum}", 0, 1) for velocity in velocities]
    return {"steps": steps, "tracks": tracks, "swing": _number(value["swing"], "drums", "Swing", 0, 1)}


def check_melody(value: Any) -> dict[str, Any]:
    """The melody of [`Settings`] in order, or a [`FieldError`]."""
    value = _fields(value, "melody", "The melody", ("beats", "notes"))
    beats = _number(value["beats"], "melody", "The length of the melody", 0, 10_000, "beats")
    notes = []
    for number, note in enumerate(_list(value["notes"], "melody", "notes", MAX_NOTES), start=1):
        note = _fields(note, "melody", f"Note {number}", ("midi", "beat", "beats"))
        notes.append(
            {
                "midi": _whole(note["midi"], "melody", f"The pitch of note {number}", LOWEST_PITCH, HIGHEST_PITCH),
                "beat": _number(note["beat"], "melody", f"The start of note {number}", 0, 10_000, "beats"),
                "beats": _number(note["beats"], "melody", f"The length of note {number}", 1e-3, 10_000, "beats"),
            }
        )
    notes.sort(key=lambda note: note["beat"])
    return {"beats": beats, "notes": notes}


def _number(value: Any, field: str, owner: str, lowest: float, highest: float, unit: str = "") -> float:
    is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not lowest <= value <= highest:
        unit = f" {unit}" if unit else ""
        raise FieldError(field, f"{owner} has to be from {lowest:g} to {highest:g}{unit}, not {_short(value)}.")
    return float(value)


def _whole(value: Any, field: str, owner: str, lowest: int, highest: int) -> int:
    if _number(value, field, owner, lowest, highest) % 1:
        raise FieldError(field, f"{owner} has to be a whole number, not {_short(value)}.")
    return int(value)


def _fields(value: Any, field: str, owner: str, names: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or set(value) != set(names):
        raise FieldError(field, f"{owner} has to have {', '.join(names)} and nothing else, not {_short(value)}.")
    return value


def _list(value: Any, field: str, things: str, most: int) -> list:
    if not isinstance(value, list):
        raise FieldError(field, f"The {things} have to be a list, not {_short(value)}.")
    if len(value) > most:
        raise FieldError(field, f"There are {len(value)} {things}; at most {most} fit.")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
