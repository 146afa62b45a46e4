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

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco.data.clips import ClipDataset
from diffusers_jasco.data.features import FeatureDataset
from diffusers_jasco.data.remixing import add_remixes, remix_item

from ..conftest import FIXTURES, run_script


CODEC = FIXTURES / "chords-drums-melody" / "encodec"
RATE, HOP = 32000, 640
STEMS = {"drums": 0.1, "bass": 0.05, "lead": 0.03}
MELODY, CHORDS = [(60, 0.0, 0.5)], [("C", 0.0)]


def make_item(stems=STEMS, seconds: float = 1.0, **annotations) -> dict:
    """A clip whose stems are noise of different levels."""
    generator = torch.Generator().manual_seed(0)
    parts = {name: level * torch.randn(1, int(seconds * RATE), generator=generator) for name, level in stems.items()}
    item = {"audio": sum(parts.values()), "sampling_rate": RATE, "stems": parts, "caption": "drums, bass and lead"}
    return item | {"melody": MELODY, "chords": CHORDS} | annotations


def level(audio: torch.Tensor) -> float:
    return 20 * audio.square().mean().sqrt().log10().item()


def gains_in(item: dict, original: dict) -> dict[str, float]:
    """The gains with which the stems are in a mix: the stems are nearly orthogonal."""
    return {
        name: ((item["audio"] * stem).sum() / stem.square().sum()).item() for name, stem in original["stems"].items()
    }


def test_controls_follow_the_audible_stems_and_captions_are_not_used():
    original, seen = make_item(), set()
    for number in range(60):
        item = remix_item(original, (number,), remix=1.0)
        gains = gains_in(item, original)
        muted = {name for name, gain in gains.items() if abs(gain * STEMS[name]) < 0.03 * 0.12}
        seen.add(frozenset(muted))
        assert level(item["audio"]) == pytest.approx(level(original["audio"]), abs=0.3)
        assert item["audio"].abs().max() < 0.9
        assert item["stems"].keys() == {"drums"} - muted
        assert item["melody"] == ([] if "lead" in muted else MELODY)
        assert item["chords"] == (None if muted >= {"bass", "lead"} else CHORDS)
        assert not item["has_text"]
    assert {frozenset(), frozenset({"drums"}), frozenset({"lead"}), frozenset({"bass", "lead"})} <= seen


def test_gains_cover_40_db():
    original = make_item({"drums": 0.05, "lead": 0.05})
    ratios = []
    for number in range(100):
        gains = gains_in(remix_item(original, (number,), remix=1.0), original)
        if min(gains.values()) > 0.03 * max(gains.values()):
            ratios.append(20 * np.log10(gains["drums"] / gains["lead"]))
    assert min(ratios) < -15 and max(ratios) > 15 and abs(np.mean(ratios)) < 4


def test_the_melody_is_unknown_if_nobody_knows_who_plays_it():
    original = make_item({"vocals": 0.1, "other": 0.1})
    known = set()
    for number in range(30):
        item = remix_item(original, (number,), remix=1.0)
        muted = min(gains_in(item, original).values()) < 0.03
        assert item["melody"] == (None if muted else MELODY)
        known.add(muted)
    assert known == {False, True}


def test_the_rest_of_a_mix_is_not_muted():
    original = make_item({"drums": 0.1})
    original["audio"] = original["audio"] + 0.1 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(1))
    rest = original["audio"] - original["stems"]["drums"]
    items = [remix_item(original, (number,), remix=1.0) for number in range(30)]
    assert all((item["audio"] * rest).sum() / rest.square().sum() > 0.04 for item in items)
    assert any(not item["stems"] for item in items)


def test_varied_drums_are_at_another_level_with_background():
    original = make_item()
    drums, levels, backgrounds = original["stems"]["drums"], [], []
    for number in range(60):
        item = remix_item(original, (number,), vary_drums=1.0)
        assert item["audio"] is original["audio"] and item["has_text"] and item["melody"] == MELODY
        control = item["stems"]["drums"]
        gain = ((control * drums).sum() / drums.square().sum()).item()
        levels.append(20 * np.log10(gain))
        backgrounds.append(level(control / gain - drums) - level(drums))
    assert -20.5 < min(levels) < -15 and 2 < max(levels) < 6.5
    # Without background, only rounding errors are left; two stems add up to 3 dB more.
    with_background = [value for value in backgrounds if value > -60]
    assert len(with_background) < 60 and -31 < min(with_background) and max(with_background) < -6


def test_remixes_depend_only_on_the_key_and_can_be_switched_off():
    original = make_item()
    same = [remix_item(original, (0, 1, "a"), remix=0.5, vary_drums=0.5) for _ in range(2)]
    assert torch.equal(same[0]["audio"], same[1]["audio"])
    off = remix_item(original, (0,))
    assert off["audio"] is original["audio"] and off["stems"]["drums"] is original["stems"]["drums"]
    remixed = [remix_item(original, (number,), remix=0.3)["audio"] is not original["audio"] for number in range(300)]
    assert 0.2 < np.mean(remixed) < 0.4


def test_clips_are_remixed_by_epoch():
    dataset = ClipDataset([make_item(seconds=2.0)], RATE, HOP, num_frames=50)
    plain = dataset[0]
    dataset.configure(num_frames=50, remix=1.0, vary_drums=0.5)
    items = []
    for epoch in range(20):
        dataset.set_epoch(epoch)
        items.append(dataset[0])
        assert torch.equal(dataset[0]["audio"], items[-1]["audio"]), "deterministic"
    assert len({item["audio"].sum().item() for item in items}) == 20
    assert not any(item["has_text"] for item in items)
    assert 0 < sum((item["melody"] == -1).all().item() for item in items) < 20, "rests where the lead is muted"
    assert 0 < sum("drums" in item["stems"] for item in items) < 20
    dataset.set_epoch(0)
    dataset.configure(num_frames=50)
    assert torch.equal(dataset[0]["audio"], plain["audio"]) and not torch.equal(items[0]["audio"], plain["audio"])


def test_remixes_in_a_feature_cache(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    item = make_item()
    files = {name: f"{name}.wav" for name in STEMS}
    for name, stem in (item["stems"] | {"mix": item["audio"]}).items():
        soundfile.write(folder / f"{name}.wav", stem[0].numpy(), RATE, subtype="FLOAT")
    line = {"file_name": "mix.wav", "stems": files, "melody": MELODY, "chords": CHORDS, "caption": item["caption"]}
    (folder / "metadata.jsonl").write_text(json.dumps(line) + "\n")
    paths = ("--dataset", folder, "--codec", CODEC, "--output", tmp_path / "features")
    run_script("encode_features", *paths, "--remixes", 12)
    dataset = FeatureDataset(tmp_path / "features", null_melody=-1)
    items = [dataset[index] for index in range(13)]
    assert items[0]["has_text"] and items[0]["melody"].any() and items[0]["drums"].any()
    assert not any(item["has_text"] for item in items[1:])
    for control in ("melody", "drums"):
        assert 0 < sum(bool(item[control].any()) for item in items[1:]) < 12
    assert len({item["latents"].sum().item() for item in items}) == 13


def test_a_share_of_the_clips_has_a_remix():
    original = make_item()
    counts = [len(list(add_remixes(original, index, 0.3))) for index in range(200)]
    assert set(counts) == {1, 2} and 0.2 < np.mean(counts) - 1 < 0.4
    assert {len(list(add_remixes(original, index, 2.0))) for index in range(20)} == {3}
