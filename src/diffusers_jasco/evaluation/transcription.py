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

"""Transcribes music, and scores the transcription against the requested controls."""

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
# Onsets at the edges of a recording are unreliable: leading silence makes the first one detectable, and onsets at the
# very end are dropped.
_LEADING_SILENCE = 0.1  # seconds
_END = 0.03  # seconds
_DRUMS_RATE = 32000  # Hz
# Low, since the strongest note counts even if it is soft.
_MIN_SALIENCE = 0.1

# Lowest value for each label. Music of jasco-nano scored against unrelated controls (24 clips, each with the controls of
# the others) has means of 0.03 (chords), 0.07 (melody) and 0.39 (drums, whose onsets mostly fall on beats). 99% of these
# scores are below 0.28, 0.32 and 0.65.
_BOUNDS = {
    "chords": {"very close": 0.85, "close": 0.65, "partial": 0.4},
    "melody": {"very close": 0.8, "close": 0.6, "partial": 0.35},
    "drums": {"very close": 0.9, "close": 0.8, "partial": 0.65},
}
_MEANINGS = {
    "chords": "of the time as requested",
    "melody": "of the melody as requested",
    "drums": "of the hits on time",
}


@dataclass(frozen=True)
class RequestedControls:
    r"""
    The requested controls of a piece on its timeline. A control is `None` if it was not requested.

    Args:
        chords (`list` of `(label, start)`, *optional*): the progression, with times in seconds.
        melody (`list` of `(pitch, start, end)`, *optional*): notes as MIDI numbers, with times in seconds.
        drum_onsets (`list[float]`, *optional*): drum onsets in seconds.
    """

    chords: Chords | None = None
    melody: Notes | None = None
    drum_onsets: list[float] | None = None


@dataclass(frozen=True)
class Transcription:
    r"""
    Chords, melody salience and drum onsets estimated from a waveform.

    Args:
        duration (`float`): length of the waveform in seconds.
        chords (`list` of `(label, start)`): the progression, starting at 0, "N" where there is no chord.
        salience (`np.ndarray` of shape `(53, frames)`):
            Salience of each semitone from G2 (row 0) to B6, in [0, 1], at a frame rate of 22050 / 256 Hz.
        drum_onsets (`np.ndarray`): drum onsets in seconds.
    """

    duration: float
    chords: Chords
    salience: np.ndarray
    drum_onsets: np.ndarray

    @cached_property
    def pitches(self) -> np.ndarray:
        """The most salient semitone of each frame: MIDI numbers at 50 Hz, -1 where there is none."""
        return strongest_pitches(self.salience, self.duration, _MIN_SALIENCE)


@dataclass(frozen=True)
class Score:
    r"""
    How closely the music follows one control.

    Args:
        control (`str`): `"chords"`, `"melody"` or `"drums"`.
        value (`float`):
            In [0, 1], or NaN if there is nothing to compare. For chords, the share of the time with the right root and
            mode (`"majmin"` of [`~evaluation.metrics.chords.score_chords`], or `"root"` if no requested chord is major
            or minor). For the melody, the share of its time with the right note in any octave (raw chroma accuracy).
            For drums, the F1 of onsets within 50 ms; unrelated music scores about 0.4.
        details (`dict[str, float]`): all metrics, under their names in `evaluation`.
    """

    control: str
    value: float
    details: dict[str, float]

    @property
    def words(self) -> str:
        """`"very close"`, `"close"`, `"partial"` or `"poor"`, or `"nothing to compare"`."""
        if math.isnan(self.value):
            return "nothing to compare"
        return next((words for words, bound in _BOUNDS[self.control].items() if self.value >= bound), "poor")

    @property
    def meaning(self) -> str:
        """Meaning of the value as a percentage, such as `"of the time as requested"`."""
        return _MEANINGS[self.control]

    @property
    def sentence(self) -> str:
        """The score in one line, such as `"Chords: 92% of the time as requested — very close"`."""
        name = self.control.capitalize()
        if math.isnan(self.value):
            return f"{name}: {self.words}"
        return f"{name}: {self.value:.0%} {self.meaning} — {self.words}"


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
    Reads the controls of one prompt, in any form that the pipeline takes. A drum recording is represented by the
    onsets detected in it. Empty controls count as not requested.

    Args:
        chords, drums, melody, separate_drums, start: as [`JascoPipeline`] takes them.
        duration (`float`): length of the music in seconds: `audio.shape[-1] / pipe.sampling_rate`.
        frame_rate (`float`): frame rate of the melody matrix in Hz: `pipe.frame_rate`.

    Raises:
        `FileNotFoundError`, [`InputError`]: as [`~inputs.read_chords`], [`~inputs.read_melody`] and
        [`~inputs.read_drums`].
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
        # The level does not affect onsets, and the pipeline warns about quiet drums.
        num_samples = round(duration * _DRUMS_RATE)
        waveform = read_drums(drums, _DRUMS_RATE, num_samples, separate_drums, DRUMS_LOUDNESS, start)
        onsets = None if waveform is None else _detect_onsets(waveform, _DRUMS_RATE).tolist()
    return RequestedControls(timeline or None, notes or None, onsets)


def transcribe(audio: Any) -> Transcription:
    r"""
    Estimates chords, melody and drum onsets of a piece of music.

    Args:
        audio (`tuple`, `dict`, `str` or `os.PathLike`):
            `(waveform, sampling_rate)` or another input of [`~audio.io.load_audio`].

    Returns:
        [`Transcription`]: chords and salience from the built-in extractors, and drum onsets from
            [`~evaluation.estimators.onsets.onsets_by_noise_flux`].
    """
    waveform, rate = load_audio(audio)
    audio = waveform, rate
    return Transcription(
        waveform.shape[1] / rate, builtin_chords(audio), builtin_salience(audio), _detect_onsets(waveform, rate)
    )


def _detect_onsets(waveform: torch.Tensor, rate: int) -> np.ndarray:
    onsets = (
        onsets_by_noise_flux((F.pad(waveform, (round(_LEADING_SILENCE * rate), 0)), rate))
        - round(_LEADING_SILENCE * rate) / rate
    )
    return np.maximum(onsets[onsets < waveform.shape[1] / rate - _END], 0)


def score_transcription(transcription: Transcription, requested: RequestedControls) -> dict[str, Score]:
    r"""
    Scores a transcription against the requested controls.

    Args:
        transcription ([`Transcription`]): as [`transcribe`] returns it.
        requested ([`RequestedControls`]): the requested controls.

    Returns:
        `dict[str, Score]`: scores of the requested controls by name: `"chords"`, `"melody"`, `"drums"`.

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
    Agreement of the estimated chords with the requested chords over time.

    Args:
        transcription ([`Transcription`]): as [`transcribe`] returns it.
        requested ([`RequestedControls`]): the requested controls.

    Returns:
        `list` of `(start, end, agreement)`: consecutive segments from the first requested chord on, in seconds. The
        agreement is `"same"` with the right root and mode, `"near"` with the right root only, `"other"` for a
        different chord, and `None` where no chord was requested.

    Raises:
        `ImportError`: without the package mir_eval.
    """
    chords = [(label, start) for label, start in requested.chords or () if start < transcription.duration]
    if not chords:
        return []
    metrics = import_optional("mir_eval.chord", "eval")
    ref_labels, est_labels, durations = pair_labels(chords, transcription.chords, transcription.duration)
    roots, modes = metrics.root(ref_labels, est_labels), metrics.majmin(ref_labels, est_labels)
    # Requested chords that are neither major nor minor are compared by root only.
    modes = np.where(modes < 0, roots, modes)
    edges = chords[0][1] + np.cumsum([0, *durations])
    agreements = [
        None if label in ("N", "X") else SAME if mode == 1 else NEAR if root == 1 else OTHER
        for label, root, mode in zip(ref_labels, roots, modes)
    ]
    return [(float(start), float(end), agreement) for start, end, agreement in zip(edges, edges[1:], agreements)]


def match_notes(transcription: Transcription, requested: RequestedControls) -> list[str]:
    """
    Agreement of the melody with each requested note, for most of its time: `"same"`, `"near"` (in another octave) or
    `"other"`.
    """
    agreements = []
    for pitch, start, end in requested.melody or ():
        first = round(start * FRAME_RATE)
        pitches = transcription.pitches[first : max(round(end * FRAME_RATE), first + 1)]
        same, near = (pitches == pitch).sum(), ((pitches % 12 == pitch % 12) & (pitches != UNVOICED)).sum()
        agreements.append(SAME if 2 * same > len(pitches) else NEAR if 2 * near > len(pitches) else OTHER)
    return agreements


def match_onsets(
    transcription: Transcription, requested: RequestedControls
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""
    Matches requested and detected drum onsets one-to-one within 50 ms.

    Args:
        transcription ([`Transcription`]): as [`transcribe`] returns it.
        requested ([`RequestedControls`]): the requested controls.

    Returns:
        `tuple`: the requested onsets in seconds, merged by [`~evaluation.metrics.onsets.merge_onsets`]; whether each
        of them is matched; and whether each detected onset is matched.

    Raises:
        `ImportError`: without the package mir_eval.
    """
    reference = merge_onsets([onset for onset in requested.drum_onsets or () if onset < transcription.duration])
    estimate = transcription.drum_onsets
    ref_matched, est_matched = np.zeros(len(reference), dtype=bool), np.zeros(len(estimate), dtype=bool)
    for ref_index, est_index in import_optional("mir_eval.util", "eval").match_events(reference, estimate, ON_TIME):
        ref_matched[ref_index] = est_matched[est_index] = True
    return reference, ref_matched, est_matched
