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


"""The recognisers by control: what is heard in audio, and how it compares with what was asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import chords, melody, onsets


@dataclass(frozen=True)
class Recogniser:
    r"""
    One way to check one control. None is trained.

    Args:
        name (`str`): name in tables.
        control (`str`): `"chords"`, `"melody"` or `"drums"`.
        metrics (`tuple[str, ...]`): what `compare` returns.
        analyse (`Callable`): audio, as [`~evaluation.spectra.load_mono`] takes it → what was heard in it.
        compare (`Callable`): that and an item of music → `dict` of metrics in [0, 1], NaN where the item has nothing to
            compare with.
    """

    name: str
    control: str
    metrics: tuple[str, ...]
    analyse: Callable[[Any], Any]
    compare: Callable[[Any, dict[str, Any]], dict[str, float]]


RECOGNISERS = (
    Recogniser(
        "segment templates",
        "chords",
        ("root", "majmin"),
        chords.chord_spectra,
        lambda heard, item: chords.score_chord_spectra(heard, item["chords"], item["duration"]),
    ),
    Recogniser(
        "blind estimate",
        "chords",
        ("root", "majmin"),
        chords.estimate_chords,
        lambda heard, item: chords.score_chords(heard, item["chords"], item["duration"]),
    ),
    Recogniser(
        "harmonic sum",
        "melody",
        ("chroma",),
        melody.melody_by_harmonic_sum,
        lambda heard, item: melody.score_melody(heard, item["melody"]),
    ),
    Recogniser(
        "note fit",
        "melody",
        ("chroma",),
        melody.melody_by_note_fit,
        lambda heard, item: melody.score_melody(heard, item["melody"]),
    ),
    Recogniser(
        "percussive flux",
        "drums",
        ("onset_f1",),
        onsets.onsets_by_percussive_flux,
        lambda heard, item: onsets.score_onsets(heard, item["drum_onsets"]),
    ),
    Recogniser(
        "noise flux",
        "drums",
        ("onset_f1",),
        onsets.onsets_by_noise_flux,
        lambda heard, item: onsets.score_onsets(heard, item["drum_onsets"]),
    ),
)
