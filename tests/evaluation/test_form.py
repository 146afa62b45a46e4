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

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from diffusers_jasco.evaluation.metrics.form import Form, compare_form, form_floor, measure_form

from ..conftest import run_script
from .clips import RATE, play_chords, play_drums


SECONDS = 10.0
LABELS = ("C", "Am", "F", "G", "Dm", "Em")


def play_music(seed: int, drums: bool = True, chords: bool = True) -> torch.Tensor:
    """Drums on beats, and a chord per two beats."""
    beat = 60 / (90 + 6 * seed)
    labels = np.random.default_rng(seed).permutation(LABELS)[:4]
    starts = np.arange(0, SECONDS, 2 * beat)
    progression = [(labels[index % 4], float(start)) for index, start in enumerate(starts)]
    audio = 1e-4 * torch.randn(1, round(SECONDS * RATE), generator=torch.Generator().manual_seed(seed))
    if chords:
        sound = play_chords(progression, SECONDS)
        size = min(sound.shape[1], audio.shape[1])
        audio[:, :size] += 0.5 * sound[:, :size]
    if drums:
        audio = audio + play_drums(np.arange(0, SECONDS - 0.1, beat), SECONDS, seed=seed)
    return audio


def measure(clips: list[torch.Tensor]) -> list[Form]:
    return [measure_form((clip, RATE)) for clip in clips]


@pytest.fixture(scope="module")
def references() -> list[Form]:
    return measure([play_music(seed) for seed in range(8)])


@pytest.fixture(scope="module")
def floors() -> list[Form]:
    return [form_floor((play_music(seed), RATE), seed) for seed in range(8)]


def test_the_form_of_a_clip(references):
    form = references[0]
    assert form.beat_strength > 0.8 and form.rise > 3 and form.harmony > 0.7
    assert form.tempo == pytest.approx(90, rel=0.01) and form.distinct_triads == 4 and form.changes_on_beats > 0.8
    assert json.loads(json.dumps(dataclasses.asdict(form)))["tempo"] == form.tempo
    assert all(isinstance(value, float) for value in dataclasses.astuple(form))


def test_references_score_one_and_floors_zero(references, floors):
    same = compare_form(references, references, floors, min_clips=4)
    for name in ("beat_strength", "harmony", "changes_on_beats"):
        assert [same[name][key] for key in ("value", "low", "high")] == pytest.approx([1, 1, 1])
    assert same["above_p10"]["value"] == same["above_p10"]["ceiling"] >= 6 / 8
    assert same["triads_in_range"]["value"] >= 0.75 and same["distinct_triads"]["num_clips"] == 8
    other = [form_floor((play_music(seed), RATE), seed + 100) for seed in range(8)]
    chance = compare_form(other, references, floors, min_clips=4)
    assert abs(chance["beat_strength"]["value"]) < 0.1 and chance["harmony"]["value"] == pytest.approx(0)
    assert chance["above_p10"]["value"] == chance["triads_in_range"]["value"] == 0


def test_a_bare_metronome_has_a_beat_but_no_harmony(references, floors):
    clicks = measure([play_music(seed, chords=False) for seed in range(8)])
    result = compare_form(clicks, references, floors, min_clips=4)
    assert result["beat_strength"]["value"] > 0.9 and result["above_p10"]["value"] > 0.8
    assert result["harmony"]["value"] < 0.1 and result["triads_in_range"]["value"] <= 0.5


def test_chords_without_drums_and_swells(references, floors):
    time = torch.arange(round(SECONDS * RATE)) / RATE
    swells = [play_music(0, drums=False) * (0.5 - 0.5 * torch.cos(2 * math.pi * time + seed)) for seed in range(8)]
    result = compare_form(measure(swells), references, floors, min_clips=4)
    assert result["beat_strength"]["score"] > 0.5  # periodic, but without onsets
    assert result["beat_strength"]["value"] < 0.1 and result["above_p10"]["value"] == 0
    assert result["harmony"]["value"] > 0.8


def test_intervals_are_reproducible_and_contain_the_value(references, floors):
    noise = torch.randn(8, round(SECONDS * RATE), generator=torch.Generator().manual_seed(0))
    mixed = [*references[:4], *measure(list(noise[:4]))]
    results = [compare_form(mixed, references, floors, seed, min_clips=4) for seed in (0, 0, 1)]
    assert results[0] == results[1] != results[2]
    for name in ("beat_strength", "harmony"):
        row = results[0][name]
        assert row["low"] < row["value"] < row["high"] < 1
    assert row["score"] < row["ceiling"]


def test_values_that_cannot_be_measured(references, floors):
    short = measure_form((play_music(0)[:, : 3 * RATE], RATE))
    assert math.isnan(short.beat_strength) and math.isnan(short.tempo) and short.harmony > 0.7
    silence = measure_form((torch.zeros(1, 10 * RATE), RATE))
    assert silence.beat_strength == silence.rise == 0 and math.isnan(silence.changes_on_beats)
    result = compare_form([short, silence, *references[2:]], references, floors, min_clips=7)
    assert result["beat_strength"]["num_clips"] == 7 and result["harmony"]["num_clips"] == 8
    few = compare_form(references, references, floors)
    assert few["harmony"]["num_clips"] == 8 and math.isnan(few["harmony"]["value"])
    none = compare_form([short] * 8, [short] * 8, [short] * 8, min_clips=1)
    assert none["beat_strength"]["num_clips"] == 0 and math.isnan(none["above_p10"]["value"])


def test_silent_clips_lower_all_scores_and_silent_references_do_not_count(references, floors):
    silence = (torch.zeros(1, 10 * RATE), RATE)
    forms = [*references[:4], *[measure_form(silence)] * 4]
    result = compare_form(forms, references, floors, min_clips=8)
    for name in ("beat_strength", "rise", "above_p10", "harmony", "distinct_triads", "triads_in_range"):
        assert result[name]["num_clips"] == 8 and result[name]["value"] <= 0.55 * result[name]["ceiling"], name
    with_silence = [*references, measure_form(silence)], [*floors, form_floor(silence)]
    for name in ("beat_strength", "harmony", "distinct_triads"):
        row, same = (
            compare_form(references, *bounds, min_clips=8)[name] for bounds in (with_silence, (references, floors))
        )
        assert row == same, name


def test_the_script_rejects_signals_without_a_beat(capsys):
    pytest.importorskip("tinysoundfont")
    pytest.importorskip("pretty_midi")
    run_script("evaluate_form", "--renderer", "tinysoundfont", "--num_clips", 3, "--num_signals", 2)
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    strengths = {name: float(cells[2].split()[0]) for name, *cells in rows}
    assert strengths["music"] == 1 and strengths["bare metronome"] > 0.8
    for name in ("white noise", "swell of 1 Hz, noise", "ripple of 12.5 Hz, noise", "blur of 1 s", "held chord"):
        assert abs(strengths[name]) < 0.2, name
