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

"""Custom Gradio components: a chord timeline, a drum step sequencer and a piano roll."""

from .chord_timeline import (
    ChordTimeline,
    capitalize_chords,
    check_chord_timeline,
    chord_tones,
    empty_chord_timeline,
    resize_chord_timeline,
)
from .part import MAX_BEATS
from .piano_roll import PianoRoll, check_piano_roll, empty_piano_roll
from .step_sequencer import (
    ACCENT,
    MAX_STEPS,
    NORMAL,
    STEPS_PER_BEAT,
    TRACKS,
    StepSequencer,
    check_steps,
    empty_steps,
    step_start,
)


__all__ = [
    "ACCENT",
    "MAX_BEATS",
    "MAX_STEPS",
    "NORMAL",
    "STEPS_PER_BEAT",
    "TRACKS",
    "ChordTimeline",
    "PianoRoll",
    "StepSequencer",
    "capitalize_chords",
    "check_chord_timeline",
    "check_piano_roll",
    "check_steps",
    "chord_tones",
    "empty_chord_timeline",
    "empty_piano_roll",
    "empty_steps",
    "resize_chord_timeline",
    "step_start",
]
