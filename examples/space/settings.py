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

"""The checked values of all fields, from which a piece is generated. Downloads contain them as `settings.json`."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from numbers import Real
from typing import Any

from diffusers_jasco.commands.edit_arguments import parse_regions
from diffusers_jasco.controls.chord_labels import default_chord_labels
from diffusers_jasco.controls.chords import Chords
from diffusers_jasco.controls.drum_machine import Groove
from diffusers_jasco.inputs import InputError
from parts import (
    check_chord_timeline,
    check_piano_roll,
    check_steps,
    empty_chord_timeline,
    empty_piano_roll,
    empty_steps,
)


FORMAT = "diffusers-jasco-space-1"
MAX_PROMPT = 500  # characters
TEMPO = (40.0, 240.0)  # BPM
DURATION = (1.0, 180.0)  # seconds
MAX_VARIATIONS = 4
MAX_TOTAL = 360.0  # seconds of all variations
MAX_STEPS = 100
GUIDANCE = (0.0, 10.0)
STRENGTH = (0.05, 1.0)
CONTROL_SCALE = (0.0, 2.0)
MAX_CANDIDATES = 8
GAIN = (-12.0, 12.0)  # dB
MAX_SEED = 2**31 - 1
BEATS_PER_BAR = (2, 7)
DRUM_SOURCES = ("off", "pattern", "recording")
EDITS = ("off", "regions", "variation")
MAX_REGIONS = 500  # characters


class FieldError(ValueError):
    r"""
    An invalid value of one field.

    Args:
        field (`str`): name of the field in [`Settings`].
        message (`str`): describes the error and a valid value.
    """

    def __init__(self, field: str, message: str):
        # pickle recreates the error from these arguments.
        super().__init__(field, message)
        self.field = field

    def __str__(self) -> str:
        return self.args[1]


@dataclass(frozen=True)
class Settings:
    r"""
    Args:
        prompt (`str`): description of the music.
        tempo (`float`): beats per minute.
        duration (`float`): seconds.
        use_chords (`bool`), chords (`dict`): a value of [`~parts.ChordTimeline`].
        drums (`str`): `"off"`, `"pattern"`, or `"recording"` (stored in a separate file).
        pattern (`dict`): a value of [`~parts.StepSequencer`]; repeated until the end.
        use_melody (`bool`), melody (`dict`): a value of [`~parts.PianoRoll`].
        seed (`int`): seed of the first variation; each further variation adds 1.
        variations (`int`): number of variations.
        steps (`int`): number of solver steps.
        guidance_scale (`float`), text_guidance_scale (`float`): weights of all conditions, and of the text alone.
        loop (`bool`): whether the end continues into the beginning; the duration is cut to whole bars.
        edit (`str`):
            `"off"` for new music; for a recording (stored in a separate file), `"regions"` to regenerate parts of it, or
            `"variation"`.
        regions (`str`): the parts, such as `"12-15, 45-52"`, in seconds of the recording.
        intro (`float`), outro (`float`): seconds of new music before and after the recording.
        strength (`float`): how much a variation changes, up to 1.
        chords_scale (`float`), drums_scale (`float`), melody_scale (`float`): how strictly the controls are followed.
        best_of (`int`): number of candidates of which each take is the best.
        drums_gain (`float`), rest_gain (`float`): gains of the drums and of everything else in the result, in dB.

    Raises:
        [`FieldError`]: for an invalid value.
    """

    prompt: str = ""
    tempo: float = 120.0
    duration: float = 10.0
    use_chords: bool = True
    chords: dict[str, Any] = field(default_factory=empty_chord_timeline)
    drums: str = "off"
    pattern: dict[str, Any] = field(default_factory=empty_steps)
    use_melody: bool = True
    melody: dict[str, Any] = field(default_factory=empty_piano_roll)
    seed: int = 0
    variations: int = 1
    steps: int = 12
    guidance_scale: float = 1.5
    text_guidance_scale: float = 0.0
    loop: bool = False
    edit: str = "off"
    regions: str = ""
    intro: float = 0.0
    outro: float = 0.0
    strength: float = 0.5
    chords_scale: float = 1.0
    drums_scale: float = 1.0
    melody_scale: float = 1.0
    best_of: int = 1
    drums_gain: float = 0.0
    rest_gain: float = 0.0

    def __post_init__(self):
        set_field = object.__setattr__
        if not isinstance(self.prompt, str):
            raise FieldError("prompt", "The description has to be text.")
        if len(self.prompt) > MAX_PROMPT:
            raise FieldError(
                "prompt", f"The description has {len(self.prompt)} characters, but at most {MAX_PROMPT} are allowed."
            )
        set_field(self, "tempo", _number(self.tempo, "tempo", "The tempo", *TEMPO, "BPM"))
        set_field(self, "duration", _number(self.duration, "duration", "The duration", *DURATION, "seconds"))
        for name in ("use_chords", "use_melody", "loop"):
            if not isinstance(getattr(self, name), bool):
                raise FieldError(name.removeprefix("use_"), f"“{name}” has to be true or false.")
        if self.drums not in DRUM_SOURCES:
            raise FieldError("drums", f"The drums have to be one of {', '.join(DRUM_SOURCES)}, not {self.drums!r}.")
        set_field(self, "seed", _whole(self.seed, "seed", "The seed", 0, MAX_SEED))
        set_field(
            self, "variations", _whole(self.variations, "variations", "The number of variations", 1, MAX_VARIATIONS)
        )
        self._check_mixer(set_field)
        if (total := self.variations * self.best_of * self.duration) > MAX_TOTAL:
            candidates = f" with {self.best_of} candidates" if self.best_of > 1 else ""
            fewer = "variations or candidates" if self.best_of > 1 else "variations"
            raise FieldError(
                "variations",
                f"{self.variations} variations{candidates} of {self.duration:g} s are {total:g} s of music, but at most"
                f" {MAX_TOTAL:g} s are allowed: choose fewer {fewer}, or a shorter duration.",
            )
        set_field(self, "steps", _whole(self.steps, "steps", "The number of steps", 1, MAX_STEPS))
        for name, owner in (("guidance_scale", "Guidance"), ("text_guidance_scale", "Text guidance")):
            set_field(self, name, _number(getattr(self, name), name, owner, *GUIDANCE))
        self._check_edit(set_field)
        set_field(self, "chords", check_chords(self.chords))
        set_field(self, "pattern", _check("drums", check_steps, self.pattern))
        set_field(self, "melody", _check("melody", check_piano_roll, self.melody))

    def _check_mixer(self, set_field: Callable[..., None]):
        for name in ("chords_scale", "drums_scale", "melody_scale"):
            owner = f"The strength of the {name.removesuffix('_scale')}"
            set_field(self, name, _number(getattr(self, name), name, owner, *CONTROL_SCALE))
        set_field(self, "best_of", _whole(self.best_of, "best_of", "The number of candidates", 1, MAX_CANDIDATES))
        for name, owner in (("drums_gain", "The level of the drums"), ("rest_gain", "The level of the rest")):
            set_field(self, name, _number(getattr(self, name), name, owner, *GAIN, "dB"))

    def _check_edit(self, set_field: Callable[..., None]):
        if self.edit not in EDITS:
            raise FieldError("edit", f"The edit has to be one of {', '.join(EDITS)}, not {_short(self.edit)}.")
        for name, owner in (("intro", "The music before the recording"), ("outro", "The music after the recording")):
            set_field(self, name, _number(getattr(self, name), name, owner, 0.0, DURATION[1], "seconds"))
        set_field(self, "strength", _number(self.strength, "strength", "The strength", *STRENGTH))
        if not isinstance(self.regions, str) or len(self.regions) > MAX_REGIONS:
            raise FieldError("regions", f"The parts have to be text of at most {MAX_REGIONS} characters.")
        if self.edit == "off":
            return
        if self.loop:
            raise FieldError("loop", "A recording can’t be edited as a loop: switch one of them off.")
        if self.best_of > 1:
            raise FieldError("best_of", "Edits of recordings have no candidates: set the number of candidates to 1.")
        if self.edit == "regions" and (self.drums_gain or self.rest_gain):
            raise FieldError("drums_gain", "The recording keeps its samples, so the levels have to be 0 dB.")
        if self.edit == "regions" and not self.region_list() and not self.intro and not self.outro:
            raise FieldError(
                "regions", "Enter the parts to regenerate, such as “12-15, 45-52”, or seconds to add before or after."
            )

    @classmethod
    def from_json(cls, content: Any) -> "Settings":
        r"""
        Args:
            content (`dict`): the return value of [`Settings.to_json`], read from a file.

        Raises:
            [`FieldError`]: for anything else.
        """
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            raise FieldError("file", f"This is not a settings file of this app: “format” has to be “{FORMAT}”.")
        values = {name: value for name, value in content.items() if name != "format"}
        names = [item.name for item in fields(cls)]
        if unknown := sorted(map(str, values.keys() - set(names))):
            raise FieldError("file", f"The settings have unknown fields: {', '.join(unknown)[:200]}.")
        # Files of earlier versions end with the text guidance.
        if missing := sorted(set(names[: names.index("loop")]) - values.keys()):
            raise FieldError("file", f"The settings have no {', '.join(missing)}.")
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`."""
        return {"format": FORMAT, **asdict(self)}

    def chord_timeline(self) -> Chords | None:
        """`[(label, start in seconds), ...]`, or `None` without chords."""
        chords = self.chords["chords"] if self.use_chords else []
        return [(chord["label"], chord["beat"] * 60 / self.tempo) for chord in chords] or None

    def notes(self) -> list[tuple[int, float, float]] | None:
        """`[(MIDI number, start, end in seconds), ...]`, or `None` without a melody."""
        seconds = 60 / self.tempo
        notes = self.melody["notes"] if self.use_melody else []
        return [
            (note["midi"], note["beat"] * seconds, (note["beat"] + note["beats"]) * seconds) for note in notes
        ] or None

    def control_scales(self) -> dict[str, float]:
        """How strictly each control is followed."""
        return {"chords": self.chords_scale, "drums": self.drums_scale, "melody": self.melody_scale}

    def region_list(self) -> list[tuple[float, float]]:
        """The parts to regenerate: `[(start, end), ...]` in seconds of the recording. Raises [`FieldError`] for other text."""
        if self.edit != "regions" or not self.regions.strip():
            return []
        try:
            return parse_regions(self.regions)
        except InputError:
            raise FieldError(
                "regions",
                f"The parts have to be like “12-15, 45-52” (seconds) or “1:02-1:10”, not {_short(self.regions)}.",
            ) from None

    def groove(self) -> Groove | None:
        """The drum pattern, or `None` without one."""
        tracks = {drum.replace("_", " "): steps for drum, steps in self.pattern["tracks"].items() if any(steps)}
        if self.drums != "pattern" or not tracks:
            return None
        return Groove(tracks, self.tempo, swing=0.5 + self.pattern["swing"] / 6)


def count_bars(duration: float, tempo: float, beats_per_bar: int) -> int:
    """Bars that begin within `duration` seconds."""
    # Tolerance for a last bar that ends with the music.
    return max(1, math.ceil(duration * tempo / 60 / beats_per_bar - 1e-6))


def check_chords(value: Any) -> dict[str, Any]:
    """Checks a value of the chord timeline. Raises a [`FieldError`] that names the bar of the first label that is not a chord."""
    value = _check("chords", lambda value: check_chord_timeline(value, default_chord_labels()), value)
    _whole(value["beats_per_bar"], "chords", "The number of beats in a bar", *BEATS_PER_BAR)
    return value


def _check(field: str, check: Callable[[Any], dict], value: Any) -> dict[str, Any]:
    try:
        return check(value)
    except ValueError as error:
        message = str(error)
        raise FieldError(field, message[:1].upper() + message[1:]) from None


def _number(value: Any, field: str, owner: str, lowest: float, highest: float, unit: str = "") -> float:
    is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not lowest <= value <= highest:
        unit = f" {unit}" if unit else ""
        raise FieldError(field, f"{owner} has to be from {lowest:.10g} to {highest:.10g}{unit}, not {_short(value)}.")
    return float(value)


def _whole(value: Any, field: str, owner: str, lowest: int, highest: int) -> int:
    if _number(value, field, owner, lowest, highest) % 1:
        raise FieldError(field, f"{owner} has to be a whole number, not {_short(value)}.")
    return int(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
