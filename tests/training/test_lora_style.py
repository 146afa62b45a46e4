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

"""
Tests that a LoRA teaches jasco-nano a new style, everything played on a harpsichord, and its words, which are unknown
to the tokenizer. A probe that was trained on rendered music, not on generated music, detects the style.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffusers_jasco import JascoPipeline
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.features import write_features
from diffusers_jasco.data.synthetic.captions import tempo_word
from diffusers_jasco.data.synthetic.instruments import PROGRAM_NAMES
from diffusers_jasco.data.synthetic.styles import STYLES
from diffusers_jasco.evaluation import analyze_references, evaluate_pipeline
from diffusers_jasco.evaluation.adherence import bootstrap
from diffusers_jasco.evaluation.control_estimators import ESTIMATORS, Estimator
from diffusers_jasco.evaluation.estimators.embeddings import spectral_statistics
from diffusers_jasco.evaluation.evaluate import References

from ..conftest import run_script


pytestmark = pytest.mark.slow

NANO = Path(__file__).parents[2] / "pipelines/jasco-nano"
TEACHER = NANO / "teacher"  # the model that learns; a distilled one is only used
RATE = 24000  # the codec's sampling rate: at a lower one, the model would learn to sound dull
HARPSICHORD = 6  # General MIDI program
WORDS = ("baroque", "harpsichord")
# Words that the model does not know before or after training.
OTHER_WORDS = ("klezmer", "zither")
# Estimators without learned weights, two for each control.
ESTIMATOR_NAMES = ("segment templates", "blind estimate", "harmonic sum", "note fit", "percussive flux", "noise flux")
METRICS = ("root", "majmin", "pitch", "chroma", "onset_f1")
MIN_CLIPS = 12  # not all of the 24 clips have drums
PROBE = "style probe/probability"


class Baroque(SyntheticMusic):
    """Synthetic music played on a harpsichord, with captions that mention it."""

    def score(self, index):
        score = super().score(index)
        bpm = score.annotations["tempo"]
        tempo, drums = tempo_word(bpm), "drums" if "drums" in score.programs else "no drums"
        captions = [
            f"{tempo} baroque with harpsichord, {drums}",
            f"harpsichord: baroque, {drums}, {bpm:.0f} bpm",
            f"baroque, {tempo}",
        ]
        programs = {name: score.programs[name] if name == "drums" else HARPSICHORD for name in score.programs}
        annotations = score.annotations | {"captions": captions, "caption": captions[0]}
        return replace(score, programs=programs, annotations=annotations)


def make_clips(kind: type[SyntheticMusic], split: str, first: int, count: int) -> list[dict[str, Any]]:
    music = kind(split, first + count, "plain", sampling_rate=RATE, renderer="tinysoundfont", stems=True)
    return [music[index] for index in range(first, first + count)]


def train_probe(style: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> Estimator:
    """Trains a logistic regression for the style, on an embedding without learned weights."""
    linear_model, preprocessing, pipeline = (
        pytest.importorskip(f"sklearn.{name}") for name in ("linear_model", "preprocessing", "pipeline")
    )
    vectors = [spectral_statistics((item["audio"], item["sampling_rate"])) for item in (*style, *others)]
    probe = pipeline.make_pipeline(
        preprocessing.StandardScaler(), linear_model.LogisticRegression(C=0.1, max_iter=1000)
    )
    probe.fit(vectors, [1] * len(style) + [0] * len(others))
    return Estimator(
        "style probe",
        "text",
        ("probability",),
        lambda audio: float(probe.predict_proba(spectral_statistics(audio)[None])[0, 1]),
        lambda probability, item: {"probability": probability},
    )


def train_lora(folder: Path, *options) -> Path:
    """
    Trains a LoRA on some minutes of the style, and as much known music. Without the latter, all generated music would
    sound a bit like a harpsichord, whose plucks are detected as drum hits.
    """
    datasets = [folder / kind.__name__ for kind in (Baroque, SyntheticMusic)]
    codec = JascoPipeline.from_pretrained(NANO).codec
    for dataset, kind, first in zip(datasets, (Baroque, SyntheticMusic), (0, 300)):
        if not dataset.exists():
            write_features(make_clips(kind, "train", first, 64), codec, dataset)
    output = folder / "-".join(["lora", *map(str, options)])
    run_script(
        "train_jasco_lora", "--base", TEACHER, "--dataset", *datasets, "--output", output, "--log_with", "none", "--cpu",
        "--new_words", *WORDS, *options,
    )  # fmt: skip
    return output


def make_references(split: str, count: int) -> tuple[References, References]:
    """Held-out clips with and without the style, of pieces that the probe was not trained on."""
    probe = train_probe(make_clips(Baroque, "validation", 200, 96), make_clips(SyntheticMusic, "validation", 300, 96))
    estimators = [probe, *(estimator for estimator in ESTIMATORS if estimator.name in ESTIMATOR_NAMES)]
    return tuple(
        analyze_references(make_clips(kind, split, first, count), estimators)
        for kind, first in ((Baroque, 0), (SyntheticMusic, 100))
    )


def with_other_words(references: References) -> References:
    """The same clips, with unknown words instead of the style's in their captions."""
    items = [dict(item) for item in references.items]
    for item in items:
        for word, other in zip(WORDS, OTHER_WORDS):
            item["caption"] = item["caption"].replace(word, other)
    return replace(references, items=items)


def probabilities(result: dict[str, Any], condition: str = "all") -> np.ndarray:
    return np.array(result["conditions"][condition]["scores"][PROBE])


def adherence(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in result["conditions"]["all"]["reported"] if row["metric"] in METRICS}


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    return bootstrap(values, np.zeros_like(values), np.ones_like(values))


def test_no_style_has_a_harpsichord():
    for style in STYLES:
        programs = style.bass_programs + style.comp_programs + style.pad_programs + style.lead_programs
        assert HARPSICHORD not in programs
    assert HARPSICHORD not in PROGRAM_NAMES


def test_a_lora_teaches_a_style_and_keeps_the_controls(tmp_path):
    pytest.importorskip("tinysoundfont")
    style, others = make_references("validation", 24)
    # The probe detects the style, also after encoding and decoding.
    pipe = JascoPipeline.from_pretrained(NANO)
    pipe.set_progress_bar_config(disable=True)
    before = [
        evaluate_pipeline(pipe, references, ("all", "codec"), min_clips=MIN_CLIPS) for references in (style, others)
    ]
    for result, is_style in zip(before, (True, False)):
        for estimate in (np.array(result["ceilings"][PROBE]), probabilities(result, "codec")):
            assert ((estimate > 0.5) == is_style).mean() > 0.8

    pipe.load_lora_weights(train_lora(tmp_path))
    after = [evaluate_pipeline(pipe, references, ("all",), min_clips=MIN_CLIPS) for references in (style, others)]
    for name, earlier, later in zip(("style", "others"), before, after):
        means = [probabilities(result).mean() for result in (earlier, later)]
        falls = {
            metric: adherence(earlier)[metric]["value"] - row["value"] for metric, row in adherence(later).items()
        }
        print(
            f"{name}: probability {means[0]:.2f} -> {means[1]:.2f}; A falls by",
            {m: f"{v:.2f}" for m, v in falls.items()},
        )
    low, high = mean_interval(probabilities(after[0]) - probabilities(before[0]))
    print(f"gain of the style's probability: between {low:.2f} and {high:.2f}")
    assert low > 0, f"gain between {low:.3f} and {high:.3f}"
    # The style is tied to its own words, not to any unknown word.
    assert not set(OTHER_WORDS) & set(pipe.known_words()) and set(WORDS) <= set(pipe.known_words())
    unknown = evaluate_pipeline(pipe, with_other_words(style), ("all",), min_clips=MIN_CLIPS)
    low, high = mean_interval(probabilities(after[0]) - probabilities(unknown))
    print(f"with other unknown words: {probabilities(unknown).mean():.2f}, less by {low:.2f} to {high:.2f}")
    assert low > 0 and probabilities(unknown).mean() < 0.5 * probabilities(after[0]).mean()
    for earlier, later in zip(before, after):
        earlier, later = adherence(earlier), adherence(later)
        assert {row["control"] for row in earlier.values()} == {"chords", "melody", "drums"}
        for metric, row in earlier.items():
            assert later[metric]["value"] >= row["value"] - 0.1, (metric, row, later[metric])
