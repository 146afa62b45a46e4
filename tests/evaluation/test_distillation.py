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

import numpy as np
import pytest
import torch

from diffusers_jasco import FlowMatchEulerScheduler, JascoGuidance, JascoPipeline
from diffusers_jasco.evaluation import analyze_references
from diffusers_jasco.evaluation.control_estimators import ESTIMATORS
from diffusers_jasco.evaluation.distillation import compare_models, compare_times, evaluate_model, to_markdown
from diffusers_jasco.evaluation.estimators.embeddings import load_embedding
from diffusers_jasco.evaluation.handwritten import handwritten_items
from diffusers_jasco.evaluation.metrics.diversity import measure_diversity

from ..conftest import load_pipeline
from .clips import RATE


@pytest.fixture(scope="module")
def references():
    quick = [estimator for estimator in ESTIMATORS if estimator.name in ("segment templates", "percussive flux")]
    return analyze_references(handwritten_items(RATE, 2.0)[:3], quick)


@pytest.fixture(scope="module")
def teacher():
    return load_pipeline("chords-drums-melody")


@pytest.fixture(scope="module")
def student(teacher):
    pipe = JascoPipeline(
        **teacher.components
        | {"scheduler": FlowMatchEulerScheduler(num_inference_steps=2), "guider": JascoGuidance(1)}
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tones(*pitches: int) -> tuple[torch.Tensor, int]:
    times = torch.arange(2 * 16000) / 16000
    return sum(0.1 * torch.sin(2 * torch.pi * 440 * 2 ** ((pitch - 69) / 12) * times) for pitch in pitches)[
        None
    ], 16000


def test_equal_takes_are_not_diverse():
    embedding, scale = load_embedding("spectrum"), np.ones(96)
    chord, other = tones(60, 64, 67), tones(62, 65, 69)
    assert measure_diversity([chord, chord], embedding, scale) == {"sound": 0, "chroma": pytest.approx(0, abs=1e-6)}
    different = measure_diversity([chord, other], embedding, scale)
    assert different["chroma"] > 0.5 and different["sound"] > 0
    # Louder music has the same chroma.
    louder = measure_diversity([chord, (3 * chord[0], 16000)], embedding, scale)
    assert louder["chroma"] < 0.01 and louder["sound"] > 1
    # The mean over pairs: two of three differ.
    mixed = measure_diversity([chord, chord, other], embedding, scale)
    assert mixed["chroma"] == pytest.approx(2 / 3 * different["chroma"])
    with pytest.raises(ValueError, match="`takes` has to contain at least 2 clips, but has 1"):
        measure_diversity([chord], embedding, scale)


def test_a_model_is_measured_with_its_own_defaults(teacher, student, references, tmp_path):
    run = {"num_captions": 2, "num_takes": 2, "batch_size": 2, "min_clips": 2}
    own = evaluate_model(student, references, cache=tmp_path, **run)
    assert own["all: forward passes"] == own["text: forward passes"] == 2
    assert own["takes: sound"] > 0 and own["takes: chroma"] > 0
    assert {"all: drums, onset_f1", "all: kernel distance"} <= own.keys()
    assert len(list((tmp_path / "takes").iterdir())) == 4
    assert evaluate_model(student, references, cache=tmp_path, **run) == own, "read from the cache"
    guided = evaluate_model(teacher, references, settings={"num_inference_steps": 3, "guidance_scale": 2.0}, **run)
    assert guided["all: forward passes"] == 6


def test_the_comparison_caps_adherence_at_1():
    teacher = {"all: chords, root": 1.25, "all: kernel distance": 0.5, "text: harmony": 0.0, "only here": 1.0}
    rows = compare_models(teacher, {"all: chords, root": 0.9, "all: kernel distance": 0.6, "text: harmony": 0.1})
    assert [row["measure"] for row in rows] == ["all: chords, root", "all: kernel distance", "text: harmony"]
    assert [row["ratio"] for row in rows] == [0.9, pytest.approx(1.2), None]
    assert "| all: chords, root | 1.250 | 0.900 | 0.900 |" in to_markdown(rows)


def test_each_model_is_timed(teacher, student):
    assert all(seconds > 0 for seconds in compare_times([student, teacher], num_rounds=1))
