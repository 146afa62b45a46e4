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

"""The drum step sequencer: seven drums on a grid of sixteenth notes."""

from typing import Any

from .part import Part, check_keys, check_list, check_number, check_whole_number


TRACKS = ("kick", "snare", "hat", "open_hat", "clap", "tom", "rim")
NORMAL, ACCENT = 0.7, 1.0
MAX_STEPS = 64
STEPS_PER_BEAT = 4


class StepSequencer(Part):
    r"""
    A drum pattern: `{"steps": 16, "tracks": {"kick": [1.0, 0.0, ...], ...}, "swing": 0.0}`, with a velocity from 0 (no hit) to
    1 for each sixteenth note; see [`step_start`] for the swing. Missing drums are silent.

    Args:
        value (`dict`, *optional*):
            By default, sixteen empty steps.
        bpm (`float`, defaults to `120`):
            Tempo of the preview and the metronome in BPM.
        beats_per_bar (`int`, defaults to `4`):
            Beats of the count-in before a recording.
        label (`str`, defaults to `"Drums"`):
            Title of the component.
    """

    def __init__(
        self,
        value: dict | None = None,
        *,
        bpm: float = 120.0,
        beats_per_bar: int = 4,
        label: str = "Drums",
        **kwargs,
    ):
        self.bpm, self.beats_per_bar = bpm, beats_per_bar
        super().__init__(
            empty_steps() if value is None else value,
            ("step_sequencer.css", "drum_sounds.js", "step_sequencer.js"),
            label,
            {
                "bpm": bpm,
                "beats_per_bar": beats_per_bar,
                "drums": TRACKS,
                "normal": NORMAL,
                "accent": ACCENT,
            },
            **kwargs,
        )

    def check(self, value: Any) -> dict:
        return check_steps(value)

    def api_info(self) -> dict[str, Any]:
        velocities = {"type": "array", "items": {"type": "number"}}
        return {
            "type": "object",
            "properties": {
                "steps": {"type": "integer"},
                "tracks": {"type": "object", "properties": {name: velocities for name in TRACKS}},
                "swing": {"type": "number"},
            },
            "required": ["steps", "tracks", "swing"],
            "description": "velocity (0 to 1) of each drum for each sixteenth note",
        }

    def example_value(self) -> dict:
        value = empty_steps()
        for name, steps in {"kick": (0, 8), "snare": (4, 12), "hat": range(0, 16, 2)}.items():
            for step in steps:
                value["tracks"][name][step] = NORMAL
        return value


def empty_steps(steps: int = 16) -> dict:
    """An empty pattern."""
    return {"steps": steps, "tracks": {name: [0.0] * steps for name in TRACKS}, "swing": 0.0}


def step_start(step: int, swing: float) -> float:
    r"""
    Start of a step, in steps. Swing delays every second sixteenth note by up to a third of a step (swing 1: a 2:1 triplet
    feel).
    """
    return step + step % 2 * swing / 3


def check_steps(value: Any) -> dict:
    r"""
    Checks a drum pattern, and adds missing tracks.

    Args:
        value (`Any`): value from the page or an API client.

    Returns:
        `dict`: the value of [`StepSequencer`].

    Raises:
        `ValueError`: for an invalid value.
    """
    check_keys(value, {"steps", "tracks", "swing"}, "the drum pattern")
    steps = check_whole_number(value["steps"], "the drum pattern's 'steps'", 1, MAX_STEPS)
    swing = check_number(value["swing"], "the drum pattern's 'swing'", 0, 1)
    check_keys(value["tracks"], set(TRACKS), "the drum pattern's 'tracks'", optional=set(TRACKS))
    checked = empty_steps(steps)["tracks"]
    for name, velocities in value["tracks"].items():
        velocities = check_list(velocities, f"the drum track {name!r}", MAX_STEPS)
        if len(velocities) != steps:
            raise ValueError(
                f"the drum track {name!r} has {len(velocities)} values, but the pattern has {steps} steps."
            )
        checked[name] = [
            check_number(velocity, f"step {step} of the drum track {name!r}", 0, 1)
            for step, velocity in enumerate(velocities, start=1)
        ]
    return {"steps": steps, "tracks": checked, "swing": swing}
