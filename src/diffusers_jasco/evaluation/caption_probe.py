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

"""Whether music is what its caption says: small classifiers that have learnt from originals of the synthetic music."""

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..data.captions import tempo_word
from ..extraction.packages import import_optional
from .embeddings import spectral_statistics
from .recognisers import Recogniser
from .spectra import SAMPLING_RATE, load_mono, power_spectrogram


QUESTIONS = ("style", "tempo", "drums")
MIN_CEILING = 0.5  # there are 27 styles
_HOP, _N_FFT = 160, 512
_TEMPI = 40 * 2 ** np.linspace(0, 3, 49)  # beats a minute: sixteen to the octave
_TEMPO_SAID = re.compile(
    r"\b(slow|slow-paced|unhurried|mid-tempo|moderate|medium tempo|fast|up-tempo|quick|\d+ bpm)\b"
)
_DRUMS_SAID = re.compile(r"\b(drums|beat)\b")


def describe_clip(audio: Any) -> np.ndarray:
    r"""
    [`~evaluation.embeddings.spectral_statistics`] and how far the music repeats itself after the time of one beat of each of
    49 tempi (the autocorrelation of its spectral flux).

    Args:
        audio: as [`~evaluation.spectra.load_mono`] takes it.

    Returns:
        `np.ndarray` of shape `(145,)`.
    """
    levels = np.log1p(1000 * np.sqrt(power_spectrogram(load_mono(audio), _HOP, _N_FFT)))
    flux = np.maximum(np.diff(levels, axis=0), 0).sum(axis=1)
    flux = flux - flux.mean() if len(flux) else np.zeros(1)
    spectrum = np.fft.rfft(flux, 2 * len(flux))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: len(flux)]
    frames = 60 / _TEMPI * SAMPLING_RATE / _HOP
    repeats = np.interp(frames, np.arange(len(flux)), correlation, right=0) / (correlation[0] + 1e-9)
    return np.concatenate([spectral_statistics(audio), repeats])


def read_caption(item: dict[str, Any]) -> dict[str, str | None]:
    """What an item's caption says of each question, or `None` where it leaves it open."""
    caption = item.get("caption") or ""
    return {
        "style": item["style"] if item.get("style") and item["style"] in caption else None,
        "tempo": tempo_word(item["tempo"]) if item.get("tempo") and _TEMPO_SAID.search(caption) else None,
        "drums": None if not _DRUMS_SAID.search(caption) else "no" if "no drums" in caption else "yes",
    }


def caption_recogniser(items: Iterable[dict[str, Any]]) -> Recogniser:
    r"""
    Logistic regression from [`describe_clip`] to a clip's style, tempo (slow, medium, fast), and drums or none.

    Args:
        items (`Iterable[dict]`): synthetic clips to learn from, other ones than those that are to be judged: `audio`,
            `sampling_rate`, `style`, `tempo`, `drum_onsets`.

    Returns:
        `Recogniser`: of the control "text", with the metrics `"style"`, `"tempo"` and `"drums"`: 1 where it hears what the
        caption says, 0 where it hears something else, NaN where the caption does not say it. Its ceiling says how well it
        knows originals, its floor what chance gives.

    Raises:
        `ImportError`: without scikit-learn.
        `ValueError`: if all items are alike in one of the three.
    """
    linear_model = import_optional("sklearn.linear_model", "eval")
    pipeline, preprocessing = (import_optional(f"sklearn.{name}", "eval") for name in ("pipeline", "preprocessing"))
    features, truth = [], []
    for item in items:
        features.append(describe_clip((item["audio"], item["sampling_rate"])))
        truth.append((item["style"], tempo_word(item["tempo"]), "yes" if item["drum_onsets"] else "no"))
    probes = {}
    for question, labels in zip(QUESTIONS, zip(*truth)):
        classifier = linear_model.LogisticRegression(C=0.1, max_iter=1000, class_weight="balanced")
        probes[question] = pipeline.make_pipeline(preprocessing.StandardScaler(), classifier).fit(features, labels)

    def analyse(audio: Any) -> dict[str, str]:
        vector = describe_clip(audio)[None]
        return {question: str(probe.predict(vector)[0]) for question, probe in probes.items()}

    def compare(heard: dict[str, str], item: dict[str, Any]) -> dict[str, float]:
        said = read_caption(item)
        return {
            question: math.nan if said[question] is None else float(said[question] == heard[question])
            for question in QUESTIONS
        }

    return Recogniser("caption probe", "text", QUESTIONS, analyse, compare, MIN_CEILING)
