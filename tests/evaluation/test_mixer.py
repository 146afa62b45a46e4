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

from diffusers_jasco.evaluation import mixer
from diffusers_jasco.evaluation.control_estimators import ESTIMATORS
from diffusers_jasco.evaluation.estimators.melody import note_starts
from diffusers_jasco.evaluation.mixer import (
    Setting,
    drum_level,
    evaluate_regions,
    evaluate_scales,
    evaluate_takes,
    free_region,
    plan_requests,
    write_regions,
    write_scales,
    write_takes,
)
from diffusers_jasco.evaluation.plotting import plot_scales
from diffusers_jasco.evaluation.takes import Take

from ..conftest import run_script
from .clips import RATE, make_item, play_chords, play_drums, play_melody


DURATION = 8.0
QUICK = tuple(one for one in ESTIMATORS if one.name in ("segment templates", "note fit", "percussive flux"))
PIPE = SimpleNamespace(sampling_rate=RATE)


@pytest.fixture(scope="module")
def items():
    rows = []
    for seed in range(4):
        labels = np.random.default_rng(seed).permutation(["C", "Dm", "F#", "Am", "Eb", "G", "Bm", "E"])
        item = make_item(seed, DURATION) | {"caption": "music"}
        item["chords"] = [(str(label), 2.0 * index) for index, label in enumerate(labels[:4])]
        drums = play_drums(item["drum_onsets"], DURATION, seed=seed)
        music = play_chords(item["chords"], DURATION) + play_melody(item["melody"], DURATION)
        rows.append(item | {"audio": 0.5 * music + drums, "stems": {"drums": drums}})
    return rows


@pytest.fixture
def player(monkeypatch):
    """Instead of the pipeline, a player: drums get louder with their scale, and other controls are right above 0."""

    def generate(pipe, requests, batch_size, folder):
        for index, request in enumerate(requests):
            wrong = make_item(100 + index, DURATION)
            parts = {"chords": play_chords, "melody": play_melody}
            music = torch.zeros(1, round(DURATION * RATE))
            for name, play in parts.items():
                is_given = request.controls.get(name) is not None and request.control_scales.get(name, 1) > 0
                music += 0.5 * play(request.controls[name] if is_given else wrong[name], DURATION)[:, : music.shape[1]]
                for _, end in request.control_regions.get(name, ()):
                    border = round(end * RATE)
                    music[:, border:] = 0.5 * play_chords([("C", 0.0)], DURATION)[:, border : music.shape[1]]
            drums = request.controls.get("drums")
            yield music + (0 if drums is None else request.control_scales.get("drums", 1.0) * drums[0])

    monkeypatch.setattr(mixer, "generate", generate)
    monkeypatch.setattr(mixer, "MIXER_ESTIMATORS", QUICK)


def test_free_regions_are_whole_bars():
    assert free_region({"downbeats": [0.5, 2.5, 4.5, 6.5, 8.5]}) == (4.5, 8.5)
    assert free_region({"downbeats": [0.5, 2.5, 4.5, 6.5]}) == (4.5, 6.5)
    assert free_region({"downbeats": [0.5, 2.5]}) is None


def test_settings_differ_in_scales_and_regions_only(items):
    plain, loud, free = (
        plan_requests(items, setting, seed=3)
        for setting in (Setting("all"), Setting("drums 2", scales={"drums": 2.0}), Setting("free", free="drums"))
    )
    assert [row.seed for row in plain] == [row.seed for row in loud] == [row.seed for row in free]
    assert all(row.control_scales == {"drums": 2.0} for row in loud)
    assert all(row.control_regions == {"drums": [(0.0, 4.0)]} for row in free)
    # Clips without drums have nothing to free.
    silent = [item | {"stems": {}} for item in items]
    assert all(row.control_regions == {} for row in plan_requests(silent, Setting("free", free="drums"), 0))


def test_notes_are_counted():
    notes = [(60 + 3 * index, 0.5 * index, 0.5 * index + 0.4) for index in range(8)]
    starts = note_starts((play_melody(notes, 4.0), RATE))
    assert len(starts) == pytest.approx(8, abs=2)
    assert len(note_starts((torch.zeros(1, RATE), RATE))) == 0


def test_the_level_of_drums_follows_their_gain(items):
    drums, rate = items[0]["stems"]["drums"], RATE
    rest = items[0]["audio"] - drums
    assert drum_level(rest + 2 * drums, rate) - drum_level(rest + drums, rate) == pytest.approx(6, abs=1.5)


def test_scales_are_compared_with_a_scale_of_1(player, items, monkeypatch, tmp_path):
    monkeypatch.setattr(mixer, "drum_level", lambda audio, rate: 10 * float(audio.square().sum().log10()))
    result = evaluate_scales(PIPE, items, (0.0, 2.0), cache=tmp_path, min_clips=4)
    points = {(point["control"], point["scale"]): point for point in result["points"]}
    assert len(points) == 3 * 3 + 2
    change = {row["control"]: row["value"] for row in points["chords", 0.0]["change"]}
    assert change["chords"] < -0.5 and change["drums"] == pytest.approx(0, abs=0.2)
    assert all(row["value"] == 0 for row in points["melody", 1.0]["change"])
    level = points["drums", 2.0]["drum_level"]
    assert level["low"] <= level["value"] <= level["high"] and 0 < level["value"] < 6
    assert result["identical"] == {"chords": True, "melody": True, "drums": True}
    table = write_scales(result)
    assert "| drums | 2 |" in table and "| all at 2: lowest change of A" in table
    assert len(plot_scales(result["points"]).axes) == 6
    # Known scores are reused, and only new clips are measured.
    files = sorted(path.name for path in tmp_path.rglob("*.json"))
    assert "drums 2.json" in files and len(json.loads((tmp_path / "scores/scales/all.json").read_text())) == 4


def test_controls_are_not_followed_where_they_are_free(player, items):
    one_bar = items[0] | {"downbeats": [0.0]}
    result = evaluate_regions(PIPE, [one_bar, *items], min_clips=4)
    assert result["num_clips"] == 4
    chords = next(row for row in result["settings"] if (row["given"], row["control"]) == ("others", "chords"))
    (root,) = [row for row in chords["inside"] if row["metric"] == "root"]
    assert root["free"] < 0.5 < root["ceiling"] and root["floor_of_bars"] < 0.3
    assert all(abs(row["value"]) < 0.2 for row in chords["outside"] if row["metric"] == "root")
    assert 0 < chords["notes"]["value"] < 3 and chords["onsets"]["low"] <= chords["onsets"]["value"]
    assert "| others | chords | root | segment templates | 4 |" in write_regions(result)


class NoisePipeline:
    sampling_rate = RATE

    def __call__(self, seed):
        noise = torch.randn(2, 1, RATE, generator=torch.Generator().manual_seed(seed))
        return SimpleNamespace(audios=noise)


def test_the_best_take_is_compared_with_the_others(items, monkeypatch, tmp_path):
    captions = []

    def best_of(pipe, count, prompt, **inputs):
        captions.append(prompt)
        audios = pipe(len(captions)).audios
        scores = [{"chords": value, "melody": 0.9, "drums": value + 0.1} for value in (0.2, 0.8)]
        return audios[1], [Take(score, score, index == 1) for index, score in enumerate(scores)]

    monkeypatch.setattr(mixer, "best_of", best_of)
    for _ in range(2):  # the second time from files
        result = evaluate_takes(NoisePipeline(), items, items, 2, cache=tmp_path, min_clips=4)
        lowest = {name: row["value"] for name, row in result["lowest"].items()}
        expected = {"best": 0.8, "first": 0.2, "mean": 0.5, "best_to_first": 0.6, "best_to_mean": 0.3, "highest": 0.8}
        assert lowest == pytest.approx(expected)
        assert result["controls"]["melody"]["best_to_first"]["value"] == 0
        assert result["kernel_distance"]["best"]["value"] > 0
    assert captions == ["music"] * len(items)
    assert "| lowest control | 0.800" in write_takes(result)


def test_the_script_writes_tables_and_a_figure(nano_in_two_steps, tmp_path, monkeypatch, capsys):
    pytest.importorskip("tinysoundfont")
    monkeypatch.setattr(mixer, "MIXER_ESTIMATORS", QUICK)
    checkpoint = nano_in_two_steps / "pipelines/jasco-nano"
    arguments = ["--checkpoint", checkpoint, "--renderer", "tinysoundfont", "--output", tmp_path / "out"]
    arguments += [
        "--num_clips",
        2,
        "--num_pieces",
        2,
        "--num_takes",
        1,
        "--min_clips",
        2,
        "--scales",
        0,
        "--sections",
        "scales",
        "takes",
    ]
    run_script("evaluate_mixer", *arguments)
    assert "| chords: a scale of 0 is identical to not giving it | yes | yes | |" in capsys.readouterr().out
    assert (tmp_path / "out" / "scales.png").stat().st_size > 1000
    for name in ("scales", "takes"):
        assert json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert (tmp_path / "out" / f"{name}.md").read_text().startswith("# ")
    with pytest.raises(ValueError, match="another seed"):
        run_script("evaluate_mixer", *arguments, "--seed", 1)
