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
import functools
import json

import pytest
import torch

from diffusers_jasco import JascoPipeline
from diffusers_jasco.controls.beats import beats_to_frames, frames_to_beats, regular_beats
from diffusers_jasco.controls.drum_machine import find_groove
from diffusers_jasco.evaluation import best_of, generate_best
from diffusers_jasco.evaluation import takes as takes_module
from diffusers_jasco.evaluation.takes import ESTIMATORS, REPORTING, SELECTING
from diffusers_jasco.generation.batches import GenerationRequest, generate_batch, save_clips
from diffusers_jasco.inputs import InputError


CHORDS = [("C", 0.0), ("Am", 0.5)]


def level(audio, rate):
    return float(audio.square().mean())


def seeded():
    return torch.Generator().manual_seed(3)


def test_the_take_with_the_highest_score_is_returned(pipe):
    audio, takes = best_of(pipe, 5, level, generator=seeded(), prompt="rock", chords=CHORDS, num_inference_steps=2)
    values = [take.selecting["score"] for take in takes]
    assert len(set(values)) == 5, "each take has its own noise"
    assert level(audio, 0) == max(values) and [take.is_best for take in takes] == [v == max(values) for v in values]


def test_the_batch_size_does_not_matter(pipe):
    results = [
        best_of(pipe, 3, level, size, seeded(), prompt="rock", chords=CHORDS, num_inference_steps=2) for size in (1, 2)
    ]
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-3, atol=1e-4)


def test_conditions_are_encoded_once(pipe, monkeypatch):
    calls = []
    encode = JascoPipeline.encode_conditioning

    @functools.wraps(encode)
    def count(*args, **kwargs):
        calls.append(1)
        return encode(*args, **kwargs)

    monkeypatch.setattr(JascoPipeline, "encode_conditioning", count)
    best_of(pipe, 3, level, batch_size=1, prompt="rock", melody="C4 D4", bpm=120, duration=1.0, num_inference_steps=1)
    assert len(calls) == 1
    conditioning = pipe.encode_conditioning("rock", CHORDS)
    audio, takes = best_of(pipe, 2, level, conditioning=conditioning, num_inference_steps=1)
    assert len(takes) == 2 and audio.isfinite().all() and len(calls) == 2


def test_the_takes_of_a_loop_have_its_exact_duration(pipe):
    call = {"prompt": "rock", "chords": CHORDS, "duration": 5.007, "loop": True, "num_inference_steps": 1}
    audio, _ = best_of(pipe, 1, level, **call)
    assert audio.shape[-1] == round(5.007 * pipe.sampling_rate)


def test_each_control_has_two_scores(nano_in_two_steps, monkeypatch):
    monkeypatch.chdir(nano_in_two_steps)
    pipe = JascoPipeline.from_pretrained("jasco-nano")
    pipe.set_progress_bar_config(disable=True)
    controls = {"chords": "C | Am", "drums": find_groove("rock backbeat"), "melody": "C4 E4 G4 E4"}
    _, takes = best_of(pipe, 2, generator=seeded(), prompt="pop, drums", bpm=120, duration=4.0, **controls)
    for take in takes:
        assert list(take.selecting) == list(take.reporting) == list(pipe.transformer.controls)
        assert all(0 <= value <= 1 for value in (*take.selecting.values(), *take.reporting.values()))
    lowest = [min(take.selecting.values()) for take in takes]
    assert [value for take, value in zip(takes, lowest) if take.is_best] == [max(lowest)]


def test_drums_are_scored_where_they_apply(nano_in_two_steps, monkeypatch):
    monkeypatch.chdir(nano_in_two_steps)
    pipe = JascoPipeline.from_pretrained("jasco-nano")
    pipe.set_progress_bar_config(disable=True)
    seen = []
    percussive_flux = next(estimator for estimator in ESTIMATORS if estimator.name == REPORTING["drums"][0])

    def compare(estimate, item):
        seen.extend((estimate, item["drum_onsets"]))
        return percussive_flux.compare(estimate, item)

    replaced = dataclasses.replace(percussive_flux, compare=compare)
    others = (estimator for estimator in ESTIMATORS if estimator is not percussive_flux)
    monkeypatch.setattr(takes_module, "ESTIMATORS", (*others, replaced))
    drums = find_groove("rock backbeat")
    best_of(pipe, 1, prompt="drums", drums=drums, bpm=120, duration=4.0, control_regions={"drums": [(2.0, 3.0)]})
    estimate, reference = seen
    assert len(reference) >= 2 and all(2 <= onset < 3 for onset in (*estimate, *reference))


def test_controls_with_scale_0_do_not_select(pipe):
    controls = {"chords": CHORDS, "melody": "C4 D4 E4 F4", "bpm": 240, "control_scales": {"melody": 0.0}}
    _, takes = best_of(pipe, 1, prompt="rock", duration=1.0, num_inference_steps=1, **controls)
    assert list(takes[0].selecting) == ["chords"]


def test_best_of_in_requests(pipe, tmp_path):
    settings = {"num_inference_steps": 2}
    chords = {"chords": CHORDS}
    requests = [
        GenerationRequest("plain", "rock", chords, seed=5, settings=settings),
        GenerationRequest("best", "rock", chords, seed=5, settings=settings, best_of=3),
        GenerationRequest("words", "rock", settings=settings, best_of=2),
    ]
    (error,) = save_clips(pipe, requests, tmp_path, generate=generate_best)
    assert error["name"] == "words" and "needs a control to select by" in error["error"]
    plain, best = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("plain", "best"))
    assert "takes" not in plain and best["best_of"] == len(best["takes"]) == 3
    scores = [take["selecting"]["chords"] for take in best["takes"]]
    assert scores[[take["is_best"] for take in best["takes"]].index(True)] == max(scores)

    before = (tmp_path / "best.flac").stat().st_mtime_ns
    assert save_clips(pipe, requests[:2], tmp_path, generate=generate_best) == []
    assert (tmp_path / "best.flac").stat().st_mtime_ns == before, "the scores do not make it another clip"
    with pytest.raises(InputError, match="`best_of` requires `generate=generate_best`"):
        generate_batch(pipe, requests[1:2])


def test_selecting_and_reporting_differ():
    assert SELECTING.keys() == REPORTING.keys()
    assert all(SELECTING[control][0] != REPORTING[control][0] for control in SELECTING)


def test_calls_without_a_way_to_select(pipe):
    with pytest.raises(InputError, match="needs a control to select by"):
        best_of(pipe, 2, prompt="rock")
    with pytest.raises(InputError, match="takes one prompt, but there are 2"):
        best_of(pipe, 2, level, prompt=["rock", "jazz"])
    with pytest.raises(InputError, match="`count` has to be a whole number, at least 1, but is 0"):
        best_of(pipe, 0, level, prompt="rock")
    with pytest.raises(InputError, match="`latents` can't be used with `best_of`"):
        best_of(pipe, 2, level, prompt="rock", latents=torch.zeros(1, 50, 8))


def test_beats_are_read_from_frames():
    beats, downbeats = regular_beats(96.0, 3, 8.0, 0.3)
    found = frames_to_beats(beats_to_frames(beats, downbeats, 200, 25.0), 25.0)
    expected = [beat for beat in beats if 0 <= beat <= 199 / 25]
    assert found == pytest.approx(expected, abs=1e-4)
    assert frames_to_beats(torch.zeros(200, 5), 25.0) == []
