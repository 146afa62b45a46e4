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

"""What was asked of a piece of music, what is heard in it, and how far the two agree."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ..audio.io import load_audio
from ..audio.levels import DRUMS_LOUDNESS
from ..controls.melody import frames_to_notes
from ..inputs import read_chords, read_drums, read_melody
from ..per_prompt import is_given
from ..utils.numbers import to_float
from ..utils.optional_imports import import_optional
from .control_estimators import builtin_chords, builtin_salience, strongest_pitches
from .estimators.chords import Chords
from .estimators.melody import FRAME_RATE
from .estimators.onsets import onsets_by_noise_flux
from .metrics.chords import pair_labels, score_chords
from .metrics.melody import UNVOICED, score_melody
from .metrics.onsets import TOLERANCES, merge_onsets, score_onsets


Notes = list[tuple[int, float, float]]
SAME, NEAR, OTHER = "same", "near", "other"
ON_TIME = TOLERANCES["onset_f1"]
# Where a recording is cut, onsets can't be told from the cut: there is silence before it, and nothing at its end.
_LEAD, _END = 0.1, 0.03  # seconds
_DRUMS_RATE = 32000  # Hz
# A note that is the strongest one counts as heard, even if it is not loud.
_MIN_SALIENCE = 0.1

# From which value on each of the words holds. Measured on music of jasco-nano: other music's controls get .04 on average and
# rarely .4 (chords), .08 and rarely .3 (melody), .5 and rarely .7 (drums, as onsets fall on beats).
_BOUNDS = {
    "chords": {"very close": 0.85, "close": 0.65, "partly": 0.4},
    "melody": {"very close": 0.8, "close": 0.6, "partly": 0.35},
    "drums": {"very close": 0.9, "close": 0.8, "partly": 0.65},
}
_MEANINGS = {
    "chords": "of the time as requested",
    "melody": "of the melody as requested",
    "drums": "of the hits on time",
}


@dataclass(frozen=True)
class RequestedControls:
    r"""
    The controls of a piece on its timeline. What is `None` was not asked for; of what is empty there is nothing to compare.

    Args:
        chords (`list` of `(label, start)`, *optional*): the progression, in seconds.
        melody (`list` of `(pitch, start, end)`, *optional*): notes as MIDI numbers, with seconds.
        drum_onsets (`list[float]`, *optional*): when drums are struck, in seconds.
    """

    chords: Chords | None = None
    melody: Notes | None = None
    drum_onsets: list[float] | None = None


@dataclass(frozen=True)
class Transcription:
    r"""
    What is heard in a finished waveform, by nothing but the waveform.

    Args:
        duration (`float`): seconds of it.
        chords (`list` of `(label, start)`): the progression from 0 on, "N" where there is no chord.
        salience (`np.ndarray` of shape `(53, frames)`):
            How much each semitone from G2 (row 0) to B6 stands out, in [0, 1], at 22050 / 256 frames a second.
        drum_onsets (`np.ndarray`): when drums are struck, in seconds.
    """

    duration: float
    chords: Chords
    salience: np.ndarray
    drum_onsets: np.ndarray

    @cached_property
    def pitches(self) -> np.ndarray:
        """The most salient semitone of each frame: MIDI numbers, 50 a second, -1 where there is none."""
        return strongest_pitches(self.salience, self.duration, _MIN_SALIENCE)


@dataclass(frozen=True)
class Score:
    r"""
    How far one control was followed.

    Args:
        control (`str`): `"chords"`, `"melody"` or `"drums"`.
        value (`float`):
            In [0, 1], or NaN if there is nothing to compare. Of chords: the share of the time with the right root and mode
            (`"majmin"` of [`~evaluation.metrics.chords.score_chords`], or `"root"` if no chord asked for is major or minor). Of the
            melody: the share of its time with the right note in any octave (raw chroma accuracy). Of drums: the F1 of onsets
            within 50 ms; music that has nothing to do with them gets about 0.5.
        details (`dict[str, float]`): all metrics by the names that they have in `evaluation`.
    """

    control: str
    value: float
    details: dict[str, float]

    @property
    def words(self) -> str:
        """`"very close"`, `"close"`, `"partly"` or `"hardly"`; `"nothing to compare"`."""
        if math.isnan(self.value):
            return "nothing to compare"
        return next((words for words, bound in _BOUNDS[self.control].items() if self.value >= bound), "hardly")

    @property
    def meaning(self) -> str:
        """What the value is a share of, such as `"of the time as requested"`."""
        return _MEANINGS[self.control]

    @property
    def sentence(self) -> str:
        """All in one line, such as `"Chords: 92 % of the time as requested — very close"`."""
        name = self.control.capitalize()
        if math.isnan(self.value):
            return f"{name}: {self.words}"
        return f"{name}: {100 * self.value:.0f} % {self.meaning} — {self.words}"


def read_requested_controls(
    chords: Any = None,
    drums: Any = None,
    melody: Any = None,
    *,
    duration: float,
    frame_rate: float,
    separate_drums: bool = False,
    start: float = 0.0,
) -> RequestedControls:
    r"""
    The controls of one prompt, in any form that the pipeline takes, on a timeline. Of a drum recording it is the onsets that
    are detected in it. An empty control is no control.

    Args:
        chords, drums, melody, separate_drums, start: as [`JascoPipeline`] takes them.
        duration (`float`): length of the music in seconds: `audio.shape[-1] / pipe.sampling_rate`.
        frame_rate (`float`): Hz: `pipe.frame_rate`, the rate of a melody that is a matrix.

    Raises:
        `FileNotFoundError`, [`InputError`]: as [`~inputs.read_chords`], [`~inputs.read_melody`] and [`~inputs.read_drums`].
    """
    duration = to_float(duration, "duration", above=0, unit="seconds")
    frame_rate = to_float(frame_rate, "frame_rate", above=0, unit="Hz")
    timeline = notes = onsets = None
    if is_given(chords):
        timeline = read_chords(chords, duration=duration, start=start)
    if is_given(melody):
        matrix = read_melody(melody, math.ceil(duration * frame_rate - 1e-6), frame_rate, start)
        notes = frames_to_notes(matrix, frame_rate)
    if is_given(drums):
        # Onsets do not depend on the level; the pipeline warns of quiet drums.
        num_samples = round(duration * _DRUMS_RATE)
        waveform = read_drums(drums, _DRUMS_RATE, num_samples, separate_drums, DRUMS_LOUDNESS, start)
        onsets = None if waveform is None else _detect_onsets(waveform, _DRUMS_RATE).tolist()
    return RequestedControls(timeline or None, notes or None, onsets)


def transcribe(audio: Any) -> Transcription:
    r"""
    Listens to a finished piece.

    Args:
        audio (`tuple`, `dict`, `str` or `os.PathLike`): `(waveform, sampling_rate)` or what else [`~audio.io.load_audio`] reads.

    Returns:
        [`Transcription`]: the chords by the package's own extractor, the salience by its network, and drum onsets by
            [`~evaluation.estimators.onsets.onsets_by_noise_flux`].
    """
    waveform, rate = load_audio(audio)
    audio = waveform, rate
    return Transcription(
        waveform.shape[1] / rate, builtin_chords(audio), builtin_salience(audio), _detect_onsets(waveform, rate)
    )


def _detect_onsets(waveform: torch.Tensor, rate: int) -> np.ndarray:
    onsets = onsets_by_noise_flux((F.pad(waveform, (round(_LEAD * rate), 0)), rate)) - round(_LEAD * rate) / rate
    return np.maximum(onsets[onsets < waveform.shape[1] / rate - _END], 0)


def score_transcription(transcription: Transcription, requested: RequestedControls) -> dict[str, Score]:
    r"""
    How far what is heard agrees with what was asked for.

    Args:
        heard ([`Transcription`]): as [`transcribe`] returns it.
        asked ([`RequestedControls`]): the controls.

    Returns:
        `dict[str, Score]`: by control, of those that were asked for: `"chords"`, `"melody"`, `"drums"`.

    Raises:
        `ImportError`: without the package mir_eval.
    """
    scores = {}
    if requested.chords is not None:
        details = score_chords(transcription.chords, requested.chords, transcription.duration)
        value = details["root"] if math.isnan(details["majmin"]) else details["majmin"]
        scores["chords"] = Score("chords", value, details)
    if requested.melody is not None:
        notes = [
            (pitch, start, min(end, transcription.duration))
            for pitch, start, end in requested.melody
            if start < transcription.duration
        ]
        details = score_melody(transcription.pitches, notes)
        scores["melody"] = Score("melody", details["chroma"], details)
    if requested.drum_onsets is not None:
        details = score_onsets(
            transcription.drum_onsets, [onset for onset in requested.drum_onsets if onset < transcription.duration]
        )
        scores["drums"] = Score("drums", details["onset_f1"], details)
    return scores


def match_chords(transcription: Transcription, requested: RequestedControls) -> list[tuple[float, float, str | None]]:
    r"""
    Where the heard chords agree with those asked for.

    Returns:
        `list` of `(start, end, word)`: pieces of the time from the first asked chord on, in seconds: `"same"` with the right
        root and mode, `"near"` with the right root only, `"other"`, and `None` where no chord was asked for.

    Raises:
        `ImportError`: without the package mir_eval.
    """
    chords = [(label, start) for label, start in requested.chords or () if start < transcription.duration]
    if not chords:
        return []
    metrics = import_optional("mir_eval.chord", "eval")
    labels, given, durations = pair_labels(chords, transcription.chords, transcription.duration)
    roots, modes = metrics.root(labels, given), metrics.majmin(labels, given)
    # Only the root of what is neither major nor minor is compared.
    modes = np.where(modes < 0, roots, modes)
    edges = chords[0][1] + np.cumsum([0, *durations])
    words = [
        None if label in ("N", "X") else SAME if mode == 1 else NEAR if root == 1 else OTHER
        for label, root, mode in zip(labels, roots, modes)
    ]
    return [(float(start), float(end), word) for start, end, word in zip(edges, edges[1:], words)]


def match_notes(transcription: Transcription, requested: RequestedControls) -> list[str]:
    """Of each note asked for, what is heard for half of its time: `"same"`, `"near"` (in another octave) or `"other"`."""
    words = []
    for pitch, start, end in requested.melody or ():
        first = round(start * FRAME_RATE)
        pitches = transcription.pitches[first : max(round(end * FRAME_RATE), first + 1)]
        same, near = (pitches == pitch).sum(), ((pitches % 12 == pitch % 12) & (pitches != UNVOICED)).sum()
        words.append(SAME if 2 * same > len(pitches) else NEAR if 2 * near > len(pitches) else OTHER)
    return words


def match_onsets(
    transcription: Transcription, requested: RequestedControls
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""
    Which drum onsets meet within 50 ms, each with one other.

    Returns:
        `tuple` of the onsets asked for in seconds, without those within 30 ms of an earlier one; whether each of them is
        heard; and whether each heard one was asked for.

    Raises:
        `ImportError`: without the package mir_eval.
    """
    wanted = merge_onsets([onset for onset in requested.drum_onsets or () if onset < transcription.duration])
    found, meant = np.zeros(len(wanted), dtype=bool), np.zeros(len(transcription.drum_onsets), dtype=bool)
    for one, other in import_optional("mir_eval.util", "eval").match_events(
        wanted, transcription.drum_onsets, ON_TIME
    ):
        found[one] = meant[other] = True
    return wanted, found, meant
