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


import io
import json

import pytest
from transformers import EncodecModel

from diffusers_jasco.data.clips import ClipDataset
from diffusers_jasco.data.features import FeatureDataset, collate_features
from diffusers_jasco.data.online_encoding import BatchEncoder
from diffusers_jasco.data.opening import open_dataset

from ..conftest import FIXTURES
from ..hub_server import Repository
from ..utils.test_hub import run
from .test_clips import assert_equal_features, codec, encode_flac, make_songs, to_row  # noqa: F401
from .test_features import CODEC, RATE, make_items
from .test_preparation import prepare, write_noise


datasets = pytest.importorskip("datasets")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A prepared and encoded dataset with one track in two clips of 3 s."""
    folder = tmp_path_factory.mktemp("prepared")
    write_noise(folder / "music" / "song.wav", 6.0)
    chords = {"song": [["C", 0.0], ["Am7", 1.5], ["G", 3.5]]}
    (folder / "chords.json").write_text(json.dumps(chords))
    write_noise(folder / "drums" / "song.drums.wav", 6.0)
    line = {"file_name": "song.wav", "captions": ["a", "b"], "chords": chords["song"], "melody": [[60, 0.5, 2.5]]}
    (folder / "music" / "metadata.jsonl").write_text(
        json.dumps(line | {"stems": {"drums": "../drums/song.drums.wav"}})
    )
    options = ("--chords", "auto", "--melody", "auto", "--drums", "auto", "--shares", 1, 0, 0, 0, "--encode", CODEC)
    prepare(folder / "music" / "metadata.jsonl", folder / "data", *options)
    return folder / "data"


def test_prepared_folders_open_as_cache_or_as_equal_clips(prepared, codec, tmp_path):  # noqa: F811
    cached = open_dataset(str(prepared), codec)
    cached.configure(num_frames=50, seed=2)
    assert isinstance(cached, FeatureDataset) and len(cached) == 6
    reference = collate_features([cached[index] for index in range(6)])
    assert reference["drums"].any() and reference["melody"].any()
    encode = BatchEncoder(codec, 3, cached.info["latents_mean"], cached.info["latents_std"])

    (tmp_path / "data").mkdir()
    for name in ("dataset", "tracks", "train"):
        (tmp_path / "data" / name).symlink_to(prepared / name)
    for spec in (tmp_path / "data", prepared / "dataset", prepared / "train"):
        clips = open_dataset(str(spec), codec, num_frames=50)
        clips.configure(num_frames=50, seed=2)
        assert isinstance(clips, ClipDataset)
        assert_equal_features(encode([clips[index] for index in range(6)]), reference)
    with pytest.raises(ValueError, match="no split 'validation'; its splits are train"):
        open_dataset(str(tmp_path / "data"), codec, "validation")


def test_unknown_chords_become_the_null_chord(tmp_path, codec):  # noqa: F811
    write_noise(tmp_path / "music" / "song.wav")
    prepare(tmp_path / "music", tmp_path / "data", "--shares", 1, 0, 0, 0)
    dataset = open_dataset(str(tmp_path / "data"), codec)
    dataset.configure(labels=["N", "C"])
    assert dataset[0]["chords"].tolist() == [2] * 100


def test_caches_are_configured_for_a_model(prepared, codec):  # noqa: F811
    dataset = open_dataset(str(prepared / "features" / "train"), codec)
    dataset.configure(labels=["N", "C"], drums_blur=1, latents_mean=0.5, latents_std=2.0)
    assert (dataset.num_frames, dataset.drums_blur) == (150, 1)
    assert dataset.mean == 0.5 and dataset.std == 2.0 and dataset[0]["chords"].max() <= 2
    assert len(open_dataset(str(prepared / "features"), codec)) == 2
    other = EncodecModel.from_pretrained(FIXTURES / "chords-drums" / "encodec").eval()
    with pytest.raises(ValueError, match="another codec.*subfolder `dataset`"):
        open_dataset(str(prepared), other)


def test_folders_with_metadata(tmp_path, codec):  # noqa: F811
    for name in ("train", "validation"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.flac").write_bytes(encode_flac(make_items(count=1)[0]["audio"]))
        (tmp_path / name / "metadata.jsonl").write_text(json.dumps({"file_name": "a.flac", "caption": name}) + "\n")
    assert open_dataset(str(tmp_path), codec, "validation")[0]["caption"] == "validation"
    assert open_dataset(str(tmp_path / "train"), codec, "validation")[0]["caption"] == "train"
    with open(tmp_path / "train" / "metadata.jsonl", "a") as file:
        file.write("not JSON\n")
    with pytest.raises(ValueError, match="line 2 is not valid JSON"):
        open_dataset(str(tmp_path), codec)


def test_synthetic_music(codec):  # noqa: F811
    pytest.importorskip("tinysoundfont")
    dataset = open_dataset("synthetic:3", codec, "validation", num_frames=60, renderer="tinysoundfont")
    assert len(dataset) == 3 and dataset.num_frames == 60 and dataset.rows.split == "validation"
    assert dataset[0]["audio"].shape == (1, 60 * 640) and dataset.rows.sampling_rate == RATE
    assert len(open_dataset("synthetic", codec, renderer="tinysoundfont")) == 10_000
    assert open_dataset("synthetic", codec, renderer="tinysoundfont").num_frames == 500
    with pytest.raises(ValueError, match="one of train.*got 'evaluation'"):
        open_dataset("synthetic", codec, "evaluation", renderer="tinysoundfont")


def test_errors(tmp_path, codec):  # noqa: F811
    with pytest.raises(ValueError, match="'synthetic:few' is not a dataset: .*Valid options: .*`user/name`"):
        open_dataset("synthetic:few", codec)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(
        ValueError, match="a dataset with a split 'train', but notes.txt. Valid options: .*prepare_dataset"
    ):
        open_dataset(str(tmp_path), codec)
    with pytest.raises(ValueError, match="is local"):
        open_dataset(str(tmp_path), codec, streaming=True)
    with pytest.raises(ValueError, match="no folder no/where, and no dataset with that name"):
        open_dataset("no/where", codec)


@pytest.mark.slow
def test_hub_datasets_are_downloaded_or_streamed(hub, tmp_path):
    files = {"README.md": b"---\nlicense: mit\n---\n"}
    for number in range(2):
        rows = [to_row(song) | {"captions": [f"clip {number}.{i}"]} for i, song in enumerate(make_songs())]
        file = io.BytesIO()
        datasets.Dataset.from_list(rows).to_parquet(file)
        files[f"data/train-{number:05d}-of-00002.parquet"] = file.getvalue()
    hub.repositories["org/music"] = Repository()
    hub.repositories["org/music"].commit("main", files, "Music")
    seen = run(tmp_path, "home", hub.endpoint, "read_data_set")[0].observations

    captions = [f"clip {number}.{i}" for number in range(2) for i, count in enumerate((6, 2, 3)) for _ in range(count)]
    assert seen["captions"] == captions
    # One epoch consists of 11 batches, each with one item per file.
    streamed = seen["streamed"]
    assert sorted(caption for batch in streamed[:11] for caption in batch["caption"]) == captions
    assert streamed[11]["key"][0].startswith("1/0/") or streamed[11]["key"][0].startswith("1/1/")
    assert seen["resumed"] == streamed
    absent, revision, *splits = seen["errors"]
    assert "ValueError: There is no folder org/absent, and no dataset with that name was found on the Hub" in absent
    assert "Revision 'absent'" in revision and all("ValueError" in e and "['train']" in e for e in splits)
