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
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from transformers import EncodecModel

from diffusers_jasco.data import growing
from diffusers_jasco.data.features import FeatureDataset, collate_features, write_features
from diffusers_jasco.data.growing import GrowingFeatures, part_path
from diffusers_jasco.data.opening import open_dataset
from diffusers_jasco.training.batches import EpochBatches

from ..data.test_features import CODEC, make_items


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def codec():
    return EncodecModel.from_pretrained(CODEC).eval()


@pytest.fixture
def grow(tmp_path, codec, monkeypatch):
    """Adds a part with four of twelve clips to the cache `tmp_path`."""
    monkeypatch.setattr(growing, "MIN_ITEMS", 1)
    (tmp_path / growing.PARTS_FILE).write_text("{}")
    items = make_items(count=12)

    def add(number: int, codec=codec):
        write_features(items[4 * number : 4 * number + 4], codec, part_path(tmp_path, number))

    return add


def names(dataset: GrowingFeatures) -> list[str]:
    """The numbers of the clips."""
    return [dataset[index]["caption"].split()[1] for index in range(len(dataset))]


def test_new_parts_are_used_on_request(tmp_path, grow, codec):
    grow(0)
    dataset = open_dataset(str(tmp_path), codec)
    statistics = dataset.info["latents_mean"]
    assert names(dataset) == list("0123")
    # A part after a gap has to wait.
    grow(2)
    assert (dataset.count_parts(), len(dataset)) == (1, 4)
    grow(1)
    assert (dataset.count_parts(), len(dataset)) == (3, 4)
    dataset.use_parts(3)
    assert names(dataset) == [str(number) for number in range(12)]
    assert [captions[0] for captions in dataset.captions] == [f"clip {number} slow" for number in range(12)]
    # The normalization does not change when the cache grows, nor when it is opened later.
    assert dataset.info["latents_mean"] == GrowingFeatures(tmp_path).info["latents_mean"] == statistics
    assert torch.equal(dataset[5]["latents"], GrowingFeatures(tmp_path)[5]["latents"])
    dataset.use_parts(1)
    assert names(dataset) == list("0123")


def test_items_are_those_of_the_parts_with_the_options_of_the_model(tmp_path, grow):
    grow(0)
    grow(1)
    dataset, part = GrowingFeatures(tmp_path), FeatureDataset(part_path(tmp_path, 1))
    options = {"latents_mean": 0.5, "latents_std": 2.0, "drums_blur": 1}
    dataset.configure(num_frames=50, **options)
    part.configure(num_frames=50, **options)
    for index in range(4):
        item, expected = dataset[4 + index], part[index]
        assert all(torch.equal(item[name], expected[name]) for name in ("latents", "drums", "chords", "melody"))


def test_a_small_cache_is_repeated_with_other_crops_and_captions(tmp_path, grow, monkeypatch):
    grow(0)
    monkeypatch.setattr(growing, "MIN_ITEMS", 40)
    dataset = GrowingFeatures(tmp_path, num_frames=25)
    assert len(dataset) == 40 and names(dataset)[:8] == [name for name in "0123" for _ in range(2)]
    repeats = [dataset[index] for index in range(0, 40, 8)]
    assert len({item["latents"][0, 0].item() for item in repeats}) > 1
    captions = {item["caption"] for item in repeats}
    assert captions <= {f"clip 0 {word}" for word in ("slow", "calm", "quiet")} and len(captions) > 1
    dataset.use_parts(1, repeats=False)
    assert len(dataset) == 8
    batches = EpochBatches(GrowingFeatures(tmp_path, num_frames=25), 12)
    assert len(next(iter(batches))["key"]) == 12
    batches.distinct_epochs = 1
    with pytest.raises(ValueError, match="The dataset has 8 items, fewer than one batch over all processes"):
        next(iter(batches))


@pytest.mark.parametrize("drums_blur", [1, 3])
def test_batches_are_bitwise_equal_to_collated_items(tmp_path, grow, drums_blur):
    grow(0)
    grow(1)
    dataset = GrowingFeatures(tmp_path)
    dataset.configure(num_frames=40, drums_blur=drums_blur, null_melody=-1)
    dataset.set_epoch(2)
    # Clips 2 and 3 have no drums, and the last batch has none at all.
    for indices in ([5, 0, 2, 3, 7], [2, 3]):
        batch, expected = dataset.batch(indices), collate_features([dataset[index] for index in indices])
        assert batch.keys() == expected.keys() and batch["caption"] == expected["caption"]
        for name in batch.keys() - {"caption"}:
            assert torch.equal(batch[name], expected[name]) and batch[name].dtype == expected[name].dtype, name


def test_it_waits_for_the_first_part(tmp_path, grow, warnings):
    with pytest.raises(TimeoutError, match=r"no complete part after 0.1 seconds. Is scripts/render_features.py"):
        GrowingFeatures(tmp_path, timeout=0.1)
    thread = threading.Timer(0.3, grow, (0,))
    thread.start()
    assert len(GrowingFeatures(tmp_path)) == 4
    thread.join()
    assert "Waiting for the first part" in warnings.text


def test_folders_that_do_not_fit_are_rejected(tmp_path, grow, codec):
    with pytest.raises(FileNotFoundError, match="it has no parts.json"):
        GrowingFeatures(tmp_path / "elsewhere")
    grow(0)
    dataset = GrowingFeatures(tmp_path)
    with pytest.raises(ValueError, match="part-00001 is missing"):
        dataset.use_parts(2)
    torch.manual_seed(0)
    other = EncodecModel(codec.config).eval()
    grow(1, other)
    with pytest.raises(ValueError, match="part-00001 was encoded with another codec"):
        dataset.use_parts(2)
    with pytest.raises(ValueError, match="encoded with another codec"):
        open_dataset(str(tmp_path), other)
    shutil.rmtree(part_path(tmp_path, 1))
    grow(1)
    file = part_path(tmp_path, 1) / "features.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"text_encoder_hash": "other"}))
    with pytest.raises(ValueError, match="part-00001 was encoded with another text encoder"):
        dataset.use_parts(2)


@pytest.mark.slow
def test_parts_do_not_depend_on_processes_and_interruptions(tmp_path):
    def render(name: str, num_clips: int, processes: int, **options) -> tuple[dict, str]:
        options = {"renderer": "tinysoundfont", "clips_per_part": 2, "duration": 2} | options
        options |= {"output": tmp_path / name, "codec": ROOT / "pipelines/jasco-nano"}
        options |= {"num_clips": num_clips, "processes": processes}
        command = [sys.executable, ROOT / "scripts/render_features.py"]
        command += [str(part) for key, value in options.items() for part in (f"--{key}", value)]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        process = subprocess.run(command, env=environment, capture_output=True, text=True)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        return {
            path.relative_to(tmp_path / name): path.read_bytes() for path in files
        }, process.stdout + process.stderr

    expected, output = render("one", 5, 1)
    assert {path.parts[0] for path in expected} == {"parts.json", "part-00000", "part-00001", "part-00002"}, output
    assert "3 of 3 parts with 2 clips each" in output
    first, _ = render("resumed", 2, 2)
    assert {path.parts[0] for path in first} == {"parts.json", "part-00000"}
    assert render("resumed", 6, 2)[0] == expected
    files, output = render("resumed", 8, 1, seed=1)
    assert files == expected and "other settings (seed)" in output
    render("remixed", 2, 1, remixes=2)
    assert len(list(FeatureDataset(tmp_path / "remixed" / "part-00000").captions)) == 2 * 3
    files, output = render("late", 6, 1, max_minutes=1e-9)
    assert list(map(str, files)) == ["parts.json"] and "0 of 3 parts" in output
