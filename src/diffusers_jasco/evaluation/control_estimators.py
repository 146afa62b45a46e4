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


"""Estimators of each control from audio, and the comparison of their estimates with the requested controls."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..audio.io import load_audio
from ..controls.melody import LOWEST_PITCH, melody_from_salience
from ..data.synthetic.harmony import follows_key
from ..extraction import extract_beats, extract_chords, extract_key, extract_salience
from ..extraction.beats import Beats, tempo_of_beats
from ..extraction.melody import THRESHOLD
from .estimators import beats, caption_probe, chords, melody, onsets
from .metrics import chord_qualities
from .metrics.beats import score_beats
from .metrics.chords import Chords, score_chords
from .metrics.key import score_key
from .metrics.melody import FRAME_RATE, UNVOICED, score_melody, score_salience
from .metrics.onsets import TOLERANCES, score_onsets
from .metrics.tempo import score_tempo


MIN_CEILING = 0.7


@dataclass(frozen=True)
class Estimator:
    r"""
    One way to check one control. No estimator is trained on generated music, and for each musical control at least one
    is not trained at all.

    Args:
        name (`str`): name in tables.
        control (`str`): `"chords"`, `"melody"`, `"drums"` or `"text"`.
        metrics (`tuple[str, ...]`): names of the metrics that `compare` returns.
        analyze (`Callable`): maps audio, as [`~evaluation.estimators.spectra.load_mono`] takes it, to an estimate.
        compare (`Callable`): maps an estimate and an item to a `dict` of metrics, mostly in [0, 1], NaN where the item
            has no reference.
        min_ceiling (`float`, defaults to `0.7`): lowest mean score on reference clips at which the estimator counts.
    """

    name: str
    control: str
    metrics: tuple[str, ...]
    analyze: Callable[[Any], Any]
    compare: Callable[[Any, dict[str, Any]], dict[str, float]]
    min_ceiling: float = MIN_CEILING


def builtin_chords(audio: Any) -> Chords:
    """Chords from the built-in extractor, in the model's labels."""
    waveform, rate = load_audio(audio)
    return extract_chords(waveform, rate, method="builtin")


def builtin_salience(audio: Any) -> np.ndarray:
    """Salience of shape (53, frames) from the built-in melody extractor, before it selects one note per frame."""
    waveform, rate = load_audio(audio)
    return extract_salience(waveform, rate, method="builtin", threshold=0.0)[0]


def builtin_beats(audio: Any) -> Beats:
    """Beats, downbeats, tempo and time signature from the beat extractor."""
    waveform, rate = load_audio(audio)
    return extract_beats(waveform, rate)


def builtin_key(audio: Any) -> str | None:
    """The key from the key extractor, such as `"A minor"`."""
    waveform, rate = load_audio(audio)
    return extract_key(waveform, rate)


def score_beat_estimate(beats: Sequence[float], tempo: float | None, item: dict[str, Any]) -> dict[str, float]:
    """
    Combines [`~evaluation.metrics.beats.score_beats`] and [`~evaluation.metrics.tempo.score_tempo`], with the tempo of
    the item's beats as the reference.
    """
    reference = item.get("beats", ())
    if len(reference) < 2:
        return {"beat_f1": math.nan, "acc1": math.nan, "acc2": math.nan}
    return score_beats(beats, reference) | score_tempo(tempo, tempo_of_beats(reference))


def score_key_estimate(estimate: str | None, item: dict[str, Any]) -> dict[str, float]:
    """[`~evaluation.metrics.key.score_key`], NaN for items without a key and for chords that do not follow it."""
    key = item.get("key")
    return score_key(estimate, key if key and follows_key(item["chords"], key) else None)


def score_label_estimate(estimate: Chords, item: dict[str, Any]) -> dict[str, float]:
    """
    Combines the scores of [`~evaluation.metrics.chords.score_chords`] and
    [`~evaluation.metrics.chord_qualities.score_labels`].
    """
    requested = item["chords"], item["duration"]
    return score_chords(estimate, *requested) | chord_qualities.score_labels(estimate, *requested)


def strongest_pitches(salience: np.ndarray, duration: float, threshold: float = THRESHOLD) -> np.ndarray:
    """The strongest semitone of [`builtin_salience`]: MIDI numbers at 50 Hz, -1 where none reaches `threshold`."""
    salience = np.where(salience < threshold, 0, salience)
    matrix = melody_from_salience(salience, round(duration * FRAME_RATE), FRAME_RATE).numpy()
    return np.where(matrix.any(axis=1), LOWEST_PITCH + matrix.argmax(axis=1), UNVOICED)


def score_salience_estimate(salience: np.ndarray, item: dict[str, Any]) -> dict[str, float]:
    """
    Combines [`~evaluation.metrics.melody.score_melody`] and [`~evaluation.metrics.melody.score_salience`]; the latter
    is NaN if the item lacks the salience of its reference audio.
    """
    scores = score_melody(strongest_pitches(salience, item["duration"]), item["melody"])
    has_reference = item["melody"] and item.get("salience") is not None
    return scores | (score_salience(salience, item["salience"]) if has_reference else {"cosine": np.nan})


ESTIMATORS = (
    Estimator(
        "segment templates",
        "chords",
        ("root", "majmin"),
        chords.chord_spectra,
        lambda estimate, item: chords.score_chord_spectra(estimate, item["chords"], item["duration"]),
    ),
    Estimator(
        "blind estimate",
        "chords",
        ("root", "majmin", *chord_qualities.LABEL_METRICS),
        chords.estimate_chords,
        score_label_estimate,
    ),
    Estimator(
        "chord extractor",
        "chords",
        ("root", "majmin", *chord_qualities.LABEL_METRICS),
        builtin_chords,
        score_label_estimate,
    ),
    Estimator(
        "harmonic sum",
        "melody",
        ("pitch", "chroma"),
        melody.melody_by_harmonic_sum,
        lambda estimate, item: score_melody(estimate, item["melody"]),
    ),
    Estimator(
        "note fit",
        "melody",
        ("pitch", "chroma"),
        melody.melody_by_note_fit,
        lambda estimate, item: score_melody(estimate, item["melody"]),
    ),
    # A network distilled from another extractor, on music of the training split.
    Estimator(
        "melody extractor",
        "melody",
        ("pitch", "chroma", "cosine"),
        builtin_salience,
        score_salience_estimate,
    ),
    Estimator(
        "percussive flux",
        "drums",
        tuple(TOLERANCES),
        onsets.onsets_by_percussive_flux,
        lambda estimate, item: score_onsets(estimate, item["drum_onsets"]),
    ),
    Estimator(
        "noise flux",
        "drums",
        tuple(TOLERANCES),
        onsets.onsets_by_noise_flux,
        lambda estimate, item: score_onsets(estimate, item["drum_onsets"]),
    ),
    Estimator(
        "beat tracker",
        "beats",
        ("beat_f1", "acc1", "acc2"),
        beats.track_beats,
        lambda estimate, item: score_beat_estimate(estimate, tempo_of_beats(estimate), item),
    ),
    Estimator(
        "beat extractor",
        "beats",
        ("beat_f1", "acc1", "acc2"),
        builtin_beats,
        lambda estimate, item: score_beat_estimate(estimate.beats, estimate.tempo, item),
    ),
    Estimator(
        "key extractor",
        "chords",
        ("key",),
        builtin_key,
        score_key_estimate,
    ),
    # A network trained on synthetic music of the training split.
    Estimator(
        caption_probe.NAME,
        "text",
        caption_probe.QUESTIONS,
        caption_probe.predict_answers,
        caption_probe.score_answers,
        min_ceiling=0.5,  # there are 27 styles
    ),
)
