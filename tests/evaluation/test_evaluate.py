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


import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from diffusers_jasco import JascoPipeline, JascoTransformerModel
from diffusers_jasco.controls import CONTROLS
from diffusers_jasco.evaluation import analyze_references, evaluate_pipeline, flatten
from diffusers_jasco.evaluation.control_estimators import ESTIMATORS, Estimator
from diffusers_jasco.evaluation.evaluate import generate, make_requests
from diffusers_jasco.evaluation.handwritten import handwritten_items
from diffusers_jasco.evaluation.output import write_json
from diffusers_jasco.evaluation.report import write_scores, write_summary
from diffusers_jasco.generation.batches import GenerationRequest, Workers
from diffusers_jasco.models.tempo_model import JascoTempoModel
from diffusers_jasco.utils.engines import LocalEngine

from ..conftest import load_pipeline
from .clips import RATE, make_item, play_drums


# Fast estimators.
QUICK = [estimator for estimator in ESTIMATORS if estimator.name in ("segment templates", "percussive flux")]


@pytest.fixture(scope="module")
def references():
    items = []
    for seed in range(4):
        item = make_item(seed)
        drums = play_drums(item["drum_onsets"], item["duration"], seed=seed)
        items.append(item | {"stems": {"drums": drums}, "caption": f"piece {seed}"})
    text_estimator = Estimator(
        "text",
        "text",
        ("match",),
        lambda audio: bool(audio[0].abs().max() > 0),
        lambda estimate, item: {"match": float(estimate and item["caption"].startswith("piece"))},
    )
    return analyze_references(items, [*QUICK, text_estimator])


class ReferencePipeline:
    """A pipeline with known scores: returns the reference clip with the requested chords, or silence."""

    sampling_rate = RATE

    def __init__(self, items, controls=("chords", "drums", "melody")):
        self.items, self.calls = items, []
        self.transformer = SimpleNamespace(controls=controls)

    def __call__(self, prompt, generator, chords=None, **arguments):
        self.calls.append({"prompt": prompt, "chords": chords, **arguments})
        silence = torch.zeros(1, round(arguments["duration"] * RATE))
        references = {str(item["chords"]): item["audio"] for item in self.items}
        audios = [references.get(str(progression), silence) for progression in chords or [None] * len(prompt)]
        return SimpleNamespace(audios=torch.stack(audios), tempos=[None] * len(audios))


def test_adherence_is_1_for_the_requested_music_and_below_chance_for_silence(references):
    pipe = ReferencePipeline(references.items)
    result = evaluate_pipeline(pipe, references, ("all", "none", "swapped"), batch_size=3, min_clips=2)
    values = flatten(result)
    for name in ("all", "swapped"):
        assert values[f"{name}/chords/root"] == values[f"{name}/drums/onset_f1"] == pytest.approx(1)
    assert values["none/chords/root"] < 0 and values["none/drums/onset_f1"] < 0
    assert result["conditions"]["swapped"]["controls_of"] != [0, 1, 2, 3]
    assert values["all/kernel_distance"] < values["none/kernel_distance"]
    assert values["all/form/harmony"] == pytest.approx(1) and values["all/form/distinct_triads"] > 1
    assert values["none/form/harmony"] < 0 and values["none/form/distinct_triads"] == 0
    assert result["num_clips"] == 4 and result["embedding"] == "spectrum"
    assert json.loads(json.dumps(result)).keys() == result.keys()


def test_scores_of_few_clips_are_not_reported(references, tmp_path, warnings):
    result = evaluate_pipeline(ReferencePipeline(references.items), references, ("all",))
    assert "at least 20 clips" in warnings.text and flatten(result) == {}
    condition = result["conditions"]["all"]
    assert condition["reported"] == [] and condition["distance"]["kernel_distance"] is None
    write_json(tmp_path / "result.json", result)
    for row in json.loads((tmp_path / "result.json").read_text())["conditions"]["all"]["adherence"]:
        assert row["num_clips"] <= 4 and not row["counts"]
        assert {row[key] for key in ("score", "floor", "ceiling", "value", "low", "high")} == {None}
    summary = write_summary({"references": result})
    assert "| chords root | n/a (4 of at least 20 clips) |" in summary
    assert "kernel distance (spectrum) |  | n/a (4 of at least 20 clips) |" in summary and "nan" not in summary
    result = evaluate_pipeline(ReferencePipeline(references.items), references, ("all",), min_clips=3)
    assert {row["metric"] for row in result["conditions"]["all"]["reported"]} >= {"root", "onset_f1"}
    assert "| chords root | 1.00 (1.00 … 1.00) |" in write_summary({"references": result})


def test_conditions_determine_the_inputs(references):
    pipe = ReferencePipeline(references.items)
    evaluate_pipeline(pipe, references, ("all", "none", "text", "chords", "swapped"), batch_size=4, min_clips=2)
    calls = dict(zip(("all", "none", "text", "chords", "swapped"), pipe.calls))
    captions = ["piece 0", "piece 1", "piece 2", "piece 3"]
    assert calls["none"]["prompt"] == [None] * 4 and calls["none"]["chords"] is None
    for name in ("all", "text", "chords", "swapped"):
        assert calls[name]["prompt"] == captions
    assert calls["all"]["chords"] == calls["chords"]["chords"] == [item["chords"] for item in references.items]
    assert "drums" in calls["all"] and "melody" in calls["all"] and calls["text"]["chords"] is None
    assert not {"drums", "melody"} & calls["chords"].keys()
    assert all(swapped != own for swapped, own in zip(calls["swapped"]["chords"], calls["all"]["chords"]))


def test_beats_are_passed_to_checkpoints_with_this_control(references):
    pipe = ReferencePipeline(references.items, controls=CONTROLS)
    conditions = ("all", "text", "chords", "beats")
    result = evaluate_pipeline(pipe, references, conditions, batch_size=4, min_clips=2)
    calls = dict(zip(conditions, pipe.calls))
    grids = [(item["beats"], item["downbeats"]) for item in references.items]
    assert calls["all"]["beats"] == calls["beats"]["beats"] == grids
    assert not {"drums", "melody"} & calls["beats"].keys() and calls["beats"]["chords"] is None
    # The pipeline chooses a tempo where none is given.
    assert "beats" not in calls["text"] and "beats" not in calls["chords"] and "bpm" not in calls["text"]
    assert result["conditions"]["beats"]["given"] == ["text", "beats"]
    # Clips whose downbeats are unknown have no grid.
    items = [item | {"downbeats": []} for item in references.items]
    (request, *_) = make_requests(items, np.arange(4), ("beats",), {}, 0)
    assert request.controls == {"beats": None} and request.prompt is None


def test_controls_that_the_checkpoint_lacks_are_not_passed(references):
    pipe = ReferencePipeline(references.items, controls=("chords",))
    result = evaluate_pipeline(pipe, references, ("all", "melody", "chords", "beats"), min_clips=2)
    assert list(result["conditions"]) == ["all", "chords"]
    assert result["conditions"]["all"]["given"] == ["text", "chords"]
    assert not {"drums", "melody"} & pipe.calls[0].keys()


def test_quiet_drums_are_40_decibels_quieter(references):
    pipe = ReferencePipeline(references.items)
    evaluate_pipeline(pipe, references, ("drums", "quiet_drums"), batch_size=4, min_clips=2)
    loud, quiet = (call["drums"] for call in pipe.calls)
    assert len(loud) == len(quiet) == 4
    for (drums, rate), (other, other_rate) in zip(loud, quiet):
        assert rate == other_rate and drums.abs().max() > 0
        torch.testing.assert_close(other, 0.01 * drums)
    # The references keep their level.
    assert [item["stems"]["drums"].abs().max() for item in references.items] == [
        drums.abs().max() for drums, _ in loud
    ]


def test_references_without_drums_have_fewer_onsets(references):
    values = flatten(evaluate_pipeline(ReferencePipeline(references.items), references, ("no_drums",), min_clips=2))
    assert values["no_drums/drums/onset_f1"] < 0.6 and values["no_drums/chords/root"] > 0.9


def test_the_sound_is_compared_with_the_references(references):
    result = evaluate_pipeline(
        ReferencePipeline(references.items), references, ("all", "none", "swapped", "no_drums"), min_clips=2
    )
    conditions = result["conditions"]
    same = conditions["all"]["against_references"]
    assert set(same["bands"].values()) == {0.0} and same["usual_loudness"] >= 0.5
    silent = conditions["none"]["against_references"]
    assert silent["bands"][silent["worst_band"]] < -10 and silent["usual_loudness"] == 0

    def rise(name):
        return np.mean([check["rise"] for check in conditions[name]["sound"]])

    # Swapped clips are measured at their requested onsets.
    assert rise("all") == pytest.approx(np.mean([check["rise"] for check in references.sound]))
    assert rise("swapped") == pytest.approx(rise("all"), abs=0.01) and rise("no_drums") < rise("all") - 3


def test_cached_clips_are_reused(references, tmp_path):
    first = evaluate_pipeline(
        ReferencePipeline(references.items), references, ("all",), batch_size=2, cache=tmp_path, min_clips=2
    )
    (tmp_path / "all" / "00001.wav").unlink()
    pipe = ReferencePipeline(references.items)
    again = evaluate_pipeline(pipe, references, ("all",), batch_size=2, cache=tmp_path, min_clips=2)
    assert [call["prompt"] for call in pipe.calls] == [["piece 0", "piece 1"]]
    assert first["conditions"]["all"]["scores"] == again["conditions"]["all"]["scores"]
    assert first["conditions"]["all"]["sound"] == again["conditions"]["all"]["sound"]


def test_reports_contain_all_measures(references):
    result = evaluate_pipeline(ReferencePipeline(references.items), references, ("all", "none"), min_clips=2)
    summary, scores = write_summary({"references": result}), write_scores({"references": result})
    assert "| chords root | 1.00 (1.00 … 1.00) |" in summary and "kernel distance (spectrum)" in summary
    assert "| largest DC |" in summary and "| … 4 kHz | | +0.0 dB |" in summary.replace("|  |", "| |")
    assert "| rise at drum onsets | " in summary and "| loudness within the references' 5–95% |" in summary
    assert "Fréchet" not in summary and scores.count("## references") == 2
    assert "segment templates" in scores


def test_a_pipeline_is_evaluated_without_a_cache():
    pipe = load_pipeline("chords-drums-melody")
    references = analyze_references(handwritten_items(RATE, 1.0)[:2], QUICK)
    settings = {"num_inference_steps": 2}
    results = [evaluate_pipeline(pipe, references, ("all", "codec"), settings=settings, min_clips=2) for _ in range(2)]
    for result in results:
        del result["conditions"]["all"]["seconds_per_second"], result["conditions"]["codec"]["seconds_per_second"]
    assert str(results[0]) == str(results[1])
    assert np.isfinite(results[0]["conditions"]["codec"]["spectral_distance"]).all()


def test_a_pipeline_with_beats_plays_those_of_the_clip():
    pipe = load_pipeline("chords-drums-melody")
    torch.manual_seed(0)
    transformer = JascoTransformerModel(**{**pipe.transformer.config, "beats": True})
    transformer.load_state_dict(pipe.transformer.state_dict(), strict=False)
    torch.nn.init.normal_(transformer.beats_proj.weight)
    pipe = JascoPipeline(
        **pipe.components
        | {"transformer": transformer, "tempo_model": JascoTempoModel(pipe.transformer.config.text_dim)}
    )
    references = analyze_references(handwritten_items(RATE, 1.0)[:2], QUICK)
    options = {"settings": {"num_inference_steps": 1}, "min_clips": 2}
    result = evaluate_pipeline(pipe, references, ("text", "beats"), **options)["conditions"]
    assert result["beats"]["given"] == ["text", "beats"] and result["text"]["given"] == ["text"]
    assert result["beats"]["scores"] != result["text"]["scores"]


def test_invalid_arguments_raise_errors(references):
    with pytest.raises(ValueError, match="some of all, none.*but got tempo"):
        evaluate_pipeline(ReferencePipeline(references.items), references, ("all", "tempo"), min_clips=2)
    with pytest.raises(ValueError, match="At least 2 clips"):
        analyze_references([references.items[0]])


def test_workers_generate_the_same_clips(tmp_path):
    pipe = load_pipeline("chords-drums-melody")
    requests = [
        GenerationRequest(f"{i}", f"music {i}", duration=1.0, seed=i, settings={"num_inference_steps": 2})
        for i in range(3)
    ]
    expected = list(generate(pipe, requests, 2, None))
    workers = Workers(LocalEngine(), lambda: pipe)
    for folder in (None, tmp_path, tmp_path):
        clips = generate(pipe, requests, 2, folder, workers)
        assert all(torch.equal(*pair) for pair in zip(clips, expected, strict=True))
    assert all(torch.equal(*pair) for pair in zip(generate(pipe, requests, 2, tmp_path), expected, strict=True))
