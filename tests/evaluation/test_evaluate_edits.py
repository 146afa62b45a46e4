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
import math

import numpy as np
import pytest
import torch

from diffusers_jasco.audio import load_audio
from diffusers_jasco.evaluation.control_estimators import ESTIMATORS
from diffusers_jasco.evaluation.edit_plans import KINDS, MIN_REGION, plan_edits
from diffusers_jasco.evaluation.edits import compare_adherence, measure_levels, measure_seams, worst_rows
from diffusers_jasco.evaluation.plotting import plot_seam
from diffusers_jasco.models.codec_spectral import SpectralCodecModel
from diffusers_jasco.models.transformer_jasco import JascoTransformerModel
from diffusers_jasco.utils.bundled import resolve_checkpoint

from ..conftest import load_pipeline, run_script
from .clips import RATE, make_item, play_chords, play_drums, play_melody


DURATION = 16.0


def play(item):
    """Music with the controls of an item."""
    music = play_chords(item["chords"], DURATION) + play_drums(item["drum_onsets"], DURATION)
    return 0.7 * (music + play_melody(item["melody"], DURATION) if item["melody"] else music)


@pytest.fixture(scope="module")
def items():
    rows = []
    for seed in range(16):
        labels = np.random.default_rng(seed).permutation(["C", "Dm", "Em", "F", "G", "Am", "Bb", "D"])
        item = make_item(seed, DURATION) | {"chords": [(str(label), 2.0 * i) for i, label in enumerate(labels)]}
        drums = play_drums(item["drum_onsets"], DURATION, seed=seed)
        item |= {"audio": play(item), "caption": "music", "key": ("C major", "G major")[seed % 2]}
        rows.append(item | {"stems": {"drums": drums}})
    return rows


@pytest.fixture(scope="module")
def edits(items):
    return plan_edits(items)


def test_all_kinds_are_planned(edits, items):
    assert {edit.kind for edit in edits} == set(KINDS)
    assert len({id(edit.recording) for edit in edits}) == len(items)
    for edit in edits:
        limits = [0.0, *np.ravel(edit.regions), DURATION]
        assert limits == sorted(limits) and all(end - start >= MIN_REGION - 1e-3 for start, end in edit.regions)
        assert all(limit in limits for limit in edit.borders) and edit.borders
        assert edit.audio.shape[-1] == round((edit.span[1] - edit.span[0]) * RATE)
    assert {len(edit.regions) for edit in edits} == {1, 2}
    assert plan_edits(items)[3].regions == edits[3].regions != plan_edits(items, seed=1)[3].regions


def test_controls_change_in_the_regions_only(edits):
    def sounding(chords, time):
        return [label for label, start in chords if start <= time][-1]

    for edit in edits:
        old, new = edit.recording, edit.target
        times = np.arange(0.025, DURATION, 0.05)
        inside = np.array([any(start <= time < end for start, end in edit.regions) for time in times])
        is_changed = np.array([sounding(old["chords"], time) != sounding(new["chords"], time) for time in times])
        assert not is_changed[~inside].any()
        assert is_changed[inside].any() == (edit.kind in ("chords", "melody"))
        for start, end in edit.regions:
            old, new = (
                item
                | {
                    "melody": [note for note in item["melody"] if note[2] <= start or note[1] >= end],
                    "drum_onsets": [onset for onset in item["drum_onsets"] if not start <= onset < end],
                }
                for item in (old, new)
            )
        assert new["melody"] == old["melody"] and new["drum_onsets"] == old["drum_onsets"]
        if edit.kind == "drums":
            drums, others = (item["stems"]["drums"] for item in (new, old))
            assert edit.target["drum_onsets"] != edit.recording["drum_onsets"] and not torch.equal(drums, others)


def test_music_that_ignores_new_controls_scores_lower(edits):
    recordings, followed = [edit.recording["audio"] for edit in edits], [play(edit.target) for edit in edits]
    quick = [single for single in ESTIMATORS if single.name in ("segment templates", "note fit", "percussive flux")]
    rows = compare_adherence(followed, followed, edits, RATE, quick, min_clips=4)
    reported = worst_rows(rows)
    assert {row["control"] for row in reported} == {"chords", "melody", "drums"}
    assert all(row["value"] == pytest.approx(1) and row["low"] == pytest.approx(1) for row in reported)
    # Those of continuations are right, but not those of other edits.
    ignored = worst_rows(compare_adherence(recordings, followed, edits, RATE, quick, min_clips=4))
    assert all(row["value"] < 0.8 for row in ignored)
    assert all(
        math.isnan(row["value"]) for row in compare_adherence(followed[:4], followed[:4], edits[:4], RATE, quick)
    )


def test_cuts_at_borders_are_found(edits):
    codec = SpectralCodecModel.from_pretrained(resolve_checkpoint("jasco-nano"), subfolder="codec").eval()
    rate = codec.config.sampling_rate
    untouched = [
        0.05 * torch.randn(1, round(DURATION * rate), generator=torch.Generator().manual_seed(i)) for i in range(4)
    ]
    cut = [audio.clone() for audio in untouched]
    for audio, edit in zip(cut, edits):
        for border in edit.borders:
            audio[:, round(border * rate) : round((border + 0.04) * rate)] *= 4
    before, after = (measure_seams(audios, edits[:4], codec) for audios in (untouched, cut))
    assert before["V"]["low"] < 1 < before["V"]["high"] + 0.2 and after["V"]["low"] > before["V"]["high"]
    assert after["auc"]["value"] > 0.8 > before["auc"]["value"]


def test_levels_are_those_of_edits_without_new_controls(edits):
    edited = []
    for edit in edits:
        audio = edit.recording["audio"].clone()
        for start, end in edit.regions:
            audio[:, round(start * RATE) : round(end * RATE)] *= 2.0 if edit.kind == "same" else 0.0
        edited.append(audio)
    levels = measure_levels(edited, edits, RATE)
    assert levels["500 Hz"]["value"] == levels["500 Hz"]["size"] == pytest.approx(6.02, abs=0.1)


def test_the_figure_shows_both_sides_of_a_border():
    audio = torch.randn(1, 4 * RATE)
    figure = plot_seam((audio, RATE), (0.5 * audio, RATE), 2.0, "title", (2.0, 3.0))
    assert len(figure.axes) == 4 and figure.axes[0].get_xlim() == (-100, 100)


def test_short_or_single_recordings_raise_an_error(items):
    with pytest.raises(ValueError, match="at least 2 recordings"):
        plan_edits(items[:1])
    with pytest.raises(ValueError, match="have to last at least"):
        plan_edits([item | {"duration": 5.0} for item in items])


def test_the_script_writes_tables_and_a_figure(tmp_path, capsys):
    pytest.importorskip("tinysoundfont")
    load_pipeline("chords-drums-melody").save_pretrained(tmp_path / "checkpoint")
    arguments = ["--checkpoint", tmp_path / "checkpoint", "--renderer", "tinysoundfont", "--output", tmp_path / "out"]
    arguments += ["--num_edits", 2, "--num_variations", 2, "--min_clips", 2, "--duration", 10]
    arguments += ["--num_inference_steps", 1, "--sections", "edits", "strength", "--strengths", 1]
    run_script("evaluate_edits", *arguments)
    assert "largest difference of samples outside the regions, after `paste` | 0 |" in capsys.readouterr().out
    assert (tmp_path / "out" / "seam.png").stat().st_size > 1000
    result = json.loads((tmp_path / "out" / "edits.json").read_text())
    assert result["outside"] == {"edits": 0, "pasted": 0} and result["num_edits"] == 2
    assert set(json.loads((tmp_path / "out" / "strength.json").read_text())["variation"]) == {"1"}
    assert len(list((tmp_path / "out").rglob("*.wav"))) == 2 + 2 + 2


@pytest.mark.slow
def test_the_context_can_be_left_out(tmp_path):
    pytest.importorskip("tinysoundfont")
    pipe = load_pipeline("chords-drums-melody")
    pipe.register_modules(transformer=JascoTransformerModel(**{**pipe.transformer.config, "context": True}).eval())
    torch.nn.init.normal_(pipe.transformer.context_proj.weight, generator=torch.Generator().manual_seed(0))
    pipe.save_pretrained(tmp_path / "checkpoint")
    arguments = ["--checkpoint", tmp_path / "checkpoint", "--renderer", "tinysoundfont", "--sections", "edits"]
    arguments += [
        "--num_edits",
        2,
        "--num_variations",
        2,
        "--min_clips",
        2,
        "--duration",
        10,
        "--num_inference_steps",
        1,
    ]
    run_script("evaluate_edits", *arguments, "--output", tmp_path / "with")
    run_script("evaluate_edits", *arguments, "--output", tmp_path / "without", "--without_context")

    def music(run, name):
        return torch.stack([load_audio(path)[0] for path in sorted((tmp_path / run / name).glob("*.wav"))])

    assert torch.equal(music("with", "free"), music("without", "free"))
    assert not torch.equal(music("with", "edits"), music("without", "edits"))
