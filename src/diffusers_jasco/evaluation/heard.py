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
from typing import Any

import numpy as np

from ..audio import load_audio
from ..controls.chords import read_chords
from ..controls.melody import melody_to_notes, read_melody
from ..extraction import separate_drums as take_drums
from .chords import Chords, import_mir_eval, pair_labels
from .melody import FRAME_RATE
from .onsets import merge_onsets, onsets_by_noise_flux, score_onsets
from .recognisers import hear_chords, hear_salience, score_heard_salience, score_label_estimate


Notes = list[tuple[int, float, float]]
ON_TIME = 0.05  # seconds

# Lowest values of the words for a score, by control: another clip's music gets about the value of "hardly".
_VERDICTS = ("very close", "close", "partly", "hardly")
_BOUNDS = {"chords": (0.85, 0.65, 0.35), "melody": (0.75, 0.55, 0.3), "drums": (0.85, 0.75, 0.6)}


@dataclass(frozen=True)
class Asked:
    r"""
    The controls of a piece on its timeline. What is `None` or empty was not asked for.

    Args:
        chords (`list` of `(label, start)`, *optional*): the progression, in seconds.
        melody (`list` of `(pitch, start, end)`, *optional*): notes as MIDI numbers, with seconds.
        drum_onsets (`list[float]`, *optional*): when drums are struck, in seconds.
    """

    chords: Chords | None = None
    melody: Notes | None = None
    drum_onsets: list[float] | None = None


@dataclass(frozen=True)
class Heard:
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


@dataclass(frozen=True)
class Score:
    r"""
    How far one control was followed.

    Args:
        control (`str`): `"chords"`, `"melody"` or `"drums"`.
        value (`float`):
            In [0, 1], or NaN if there is nothing to compare: of chords the share of the time with the right root and mode, of
            the melody the share of its frames with the right note in any octave, of drums the F1 of strokes within 50 ms.
        words (`str`): `"very close"`, `"close"`, `"partly"` or `"hardly"`, or `"nothing to compare"`.
        sentence (`str`): both in one line, such as `"Chords: 92 % of the time as asked — very close"`.
        details (`dict[str, float]`): the metrics of `evaluation` by their names.
    """

    control: str
    value: float
    words: str
    sentence: str
    details: dict[str, float]


def read_asked(
    chords: Any = None,
    drums: Any = None,
    melody: Any = None,
    duration: float = 10.0,
    separate_drums: bool = False,
    frame_rate: float = FRAME_RATE,
) -> Asked:
    r"""
    The controls of one prompt, in any form that the pipeline takes, on a timeline. Of a drum recording it is what is heard
    in it.

    Args:
        chords, drums, melody, separate_drums: as [`JascoPipeline`] takes them.
        duration (`float`, defaults to `10.0`): length of the music in seconds.
        frame_rate (`float`, defaults to `50.0`): of a melody that is a matrix; `pipe.frame_rate`.

    Raises:
        `FileNotFoundError`, `ValueError`: as [`~controls.chords.read_chords`], [`~controls.melody.read_melody`] and
            [`~audio.load_audio`].
    """
    notes = onsets = None
    if chords is not None:
        chords = read_chords(chords, duration=duration)
    if melody is not None:
        matrix = read_melody(melody, math.ceil(duration * frame_rate - 1e-6), frame_rate)
        notes = melody_to_notes(matrix, frame_rate)
    if drums is not None:
        waveform, rate = load_audio(drums, "drums")
        waveform = waveform[:, : round(duration * rate)]
        if separate_drums:
            waveform, rate = take_drums(waveform, rate)
        onsets = onsets_by_noise_flux((waveform, rate)).tolist()
    return Asked(chords, notes, onsets)


def hear(audio: Any) -> Heard:
    r"""
    Listens to a finished piece.

    Args:
        audio (`tuple`, `dict`, `str` or `os.PathLike`): `(waveform, sampling_rate)` or what else [`~audio.load_audio`] reads.

    Returns:
        [`Heard`]: the chords by the package's own extractor, the salience by its network, and drum strokes by
            [`~evaluation.onsets.onsets_by_noise_flux`].
    """
    waveform, rate = load_audio(audio)
    audio = waveform, rate
    return Heard(waveform.shape[1] / rate, hear_chords(audio), hear_salience(audio), onsets_by_noise_flux(audio))


def score_heard(heard: Heard, asked: Asked) -> dict[str, Score]:
    r"""
    How far what is heard agrees with what was asked for.

    Args:
        heard ([`Heard`]): as [`hear`] returns it.
        asked ([`Asked`]): the controls.

    Returns:
        `dict[str, Score]`: by control, of those that were asked for: `"chords"`, `"melody"`, `"drums"`.

    Raises:
        `ImportError`: without the package mir_eval.
    """
    scores = {}
    if asked.chords:
        item = {"chords": asked.chords, "duration": heard.duration}
        details = score_label_estimate(heard.chords, item)
        value = details["root"] if math.isnan(details["majmin"]) else details["majmin"]
        scores["chords"] = _score("chords", value, f"{value:.0%} of the time as asked", details)
    if asked.melody:
        item = {"melody": asked.melody, "duration": heard.duration}
        details = score_heard_salience(heard.salience, item)
        value = details["chroma"]
        scores["melody"] = _score("melody", value, f"{value:.0%} of the tune as asked", details)
    if asked.drum_onsets:
        details = score_onsets(heard.drum_onsets, asked.drum_onsets)
        value = details["onset_f1"]
        scores["drums"] = _score("drums", value, f"{value:.0%} of the strokes as asked", details)
    return scores


def _score(control: str, value: float, finding: str, details: dict[str, float]) -> Score:
    if math.isnan(value):
        words = "nothing to compare"
        return Score(control, value, words, f"{control.capitalize()}: {words}", details)
    index = sum(value < bound for bound in _BOUNDS[control])
    sentence = f"{control.capitalize()}: {finding.replace('%', ' %')} — {_VERDICTS[index]}"
    return Score(control, value, _VERDICTS[index], sentence, details)


def compare_chords_in_time(heard: Heard, asked: Asked) -> list[tuple[float, float, str]]:
    """Placeholder docstring: pieces `(start, end, "same" | "root" | "other" | "unscored")`."""
    mir_eval = import_mir_eval()
    labels, given, durations = pair_labels(asked.chords, heard.chords, heard.duration)
    roots, modes = mir_eval.chord.root(labels, given), mir_eval.chord.majmin(labels, given)
    edges = asked.chords[0][1] + np.concatenate([[0], np.cumsum(durations)])
    pieces = []
    for index, label in enumerate(labels):
        if label in ("N", "X"):
            word = "unscored"
        elif modes[index] == 1 or (modes[index] < 0 and roots[index] == 1):
            word = "same"
        else:
            word = "root" if roots[index] == 1 else "other"
        pieces.append((float(edges[index]), float(edges[index + 1]), word))
    return pieces


def match_onsets(heard: Heard, asked: Asked) -> tuple[np.ndarray, np.ndarray]:
    """Whether each asked stroke (merged) was heard, and whether each heard one was asked for."""
    wanted = merge_onsets(asked.drum_onsets)
    pairs = import_mir_eval().util.match_events(wanted, heard.drum_onsets, ON_TIME)
    found, meant = np.zeros(len(wanted), bool), np.zeros(len(heard.drum_onsets), bool)
    for one, other in pairs:
        found[one] = meant[other] = True
    return found, meant
