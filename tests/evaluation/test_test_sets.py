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

"""The frozen test set: the same clips and captions for good."""

import collections
import platform
import shutil

import pytest

from diffusers_jasco.data.synthetic import music as synthetic
from diffusers_jasco.data.synthetic.composition import SUBSETS
from diffusers_jasco.evaluation import test_sets
from diffusers_jasco.evaluation.test_sets import load_captions, load_test_set, verify_clips


RATE = 24000
CLIPS = (0, 5, 127)


@pytest.fixture
def load(monkeypatch):
    pytest.importorskip("tinysoundfont")
    pytest.importorskip("pretty_midi")
    return lambda subset: load_test_set("v1", subset, RATE, "tinysoundfont")


@pytest.mark.parametrize("subset", SUBSETS)
def test_the_clips_are_the_recorded_ones_and_are_not_composed(load, subset, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("The generator is used.")

    monkeypatch.setattr(synthetic, "compose", fail)
    monkeypatch.setattr(synthetic, "write_captions", fail)
    music = load(subset)
    assert len(music) == 128 and music.duration == 10
    differences = verify_clips("v1", subset, [music[index] for index in CLIPS])
    assert not any("Other annotations" in text for text in differences)
    # Other versions of NumPy or of the renderer, and other processors, can round differently.
    if platform.machine() == "x86_64":
        assert not any("Versions: the same" in text for text in differences)


def test_changed_items_do_not_change_the_test_set(load):
    load("plain").score(0).annotations["chords"].clear()
    load("plain").score(0).notes["drums"] = []
    score = load("plain").score(0)
    assert score.annotations["chords"] and score.notes["drums"]


def test_differences_are_described(load):
    item = load("plain")[3]
    quieter = item | {"audio": 0.5 * item["audio"], "renderer_version": "0.0.1"}
    (difference,) = verify_clips("v1", "plain", [quieter])
    assert "Other audio than in v1 in 1 clips: 3." in difference and "renderer_version 0.0.1 instead of" in difference
    (difference,) = verify_clips("v1", "plain", [item | {"caption": "other"}])
    assert "Other annotations" in difference and difference.endswith("3.")
    (difference,) = verify_clips("v1", "plain", [item | {"sampling_rate": 16000}])
    assert "no hashes for tinysoundfont at 16000 Hz" in difference


def test_captions_are_balanced():
    lines = load_captions("v1")
    assert len({line["caption"] for line in lines}) == len(lines) == 512

    def count(key):
        return collections.Counter(line[key] for line in lines if line[key] is not None)

    assert count("energy").total() >= 192 and min(count("energy").values()) >= 64
    assert count("drums").total() >= 192 and min(count("drums").values()) >= 96
    assert len(count("style")) == 27 and min(count("style").values()) >= 10
    assert len(count("lead")) == 9 and min(count("lead").values()) >= 20
    numbers = count("bpm")
    assert numbers.total() >= 128 and min(numbers) < 60 and max(numbers) > 150
    for line in lines:
        assert line["bpm"] is None or f"{line['bpm']} bpm" in line["caption"]


def test_a_damaged_file_is_reported(tmp_path, monkeypatch):
    shutil.copytree(test_sets.FOLDER, tmp_path / "data")
    monkeypatch.setattr(test_sets, "FOLDER", tmp_path / "data")
    test_sets._read.cache_clear()
    file = tmp_path / "data/v1/music.json.xz"
    content = file.read_bytes()
    for damaged in (content[:1000], content[:5000] + b"x" + content[5001:], b""):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="music.json.xz is damaged"):
            load_test_set("v1")
    (tmp_path / "data/v1/captions.jsonl").write_text("{")
    with pytest.raises(ValueError, match="captions.jsonl is damaged"):
        load_captions("v1")


def test_names_are_checked():
    with pytest.raises(ValueError, match="`name` has to be one of v1, but got 'v0'"):
        load_captions("v0")
    with pytest.raises(ValueError, match="`subset` has to be one of plain, full, but got 'both'"):
        load_test_set("v1", "both")
