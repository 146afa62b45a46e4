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
import pickle

import pytest
import soundfile
import torch
from transformers import EncodecModel

from diffusers_jasco.controls.chord_labels import default_chord_labels
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.clips import ClipDataset
from diffusers_jasco.data.features import FeatureDataset, collate_features, encode_controls, write_features
from diffusers_jasco.data.mixing import MixedDataset
from diffusers_jasco.data.online_encoding import BatchEncoder, measure_latents

from .test_features import CODEC, RATE, make_items


HOP = 640
CHORDS = [("C", 0.0), ("Am7", 1.3), ("F#7", 2.21), ("N", 4.4), ("G", 5.0)]
NOTES = [(60, 0.1, 1.3), (64, 1.5, 2.9), (67, 4.0, 5.0)]


def make_songs() -> list[dict]:
    """Songs of 6.01 s (drums start late), 2.3 s (silent drums), and 3 s (no controls)."""
    songs = make_items(frames=300, count=1) + make_items(frames=115, count=1) + make_items(frames=150, count=1)
    for song in songs:
        # Lower volume, so that no file clips.
        song["audio"], song["stems"] = song["audio"] / 4, {name: stem / 4 for name, stem in song["stems"].items()}
    songs[0] |= {"chords": CHORDS, "melody": NOTES}
    songs[0]["audio"] = torch.nn.functional.pad(songs[0]["audio"], (0, 320))
    songs[0]["stems"]["drums"][:, : 5 * RATE] = 0
    songs[1]["stems"]["drums"].zero_()
    songs[2] = {name: songs[2][name] for name in ("audio", "sampling_rate")} | {"caption": "just a caption"}
    return songs


def encode_flac(waveform: torch.Tensor, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform[0].clamp(-1, 1).numpy(), rate, format="FLAC", subtype="PCM_24")
    return file.getvalue()


def to_row(item: dict) -> dict:
    """A clip in the format of scripts/prepare_dataset.py."""
    drums = item.get("stems", {}).get("drums")
    chords = item.get("chords")
    return {
        "audio": {"bytes": encode_flac(item["audio"]), "path": "a.flac"},
        "drums": None if drums is None else {"bytes": encode_flac(drums), "path": "a.drums.flac"},
        "chords": None if chords is None else [{"label": label, "start": start} for label, start in chords],
        "melody": [{"pitch": key, "start": start, "end": end} for key, start, end in item.get("melody", [])],
        "captions": item.get("captions", [item["caption"]]),
    }


@pytest.fixture(scope="module")
def codec():
    return EncodecModel.from_pretrained(CODEC).eval()


@pytest.fixture(scope="module")
def cache(codec, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features") / "cache"
    write_features(make_songs(), codec, folder)
    return folder


def assert_equal_features(batch: dict, reference: dict):
    assert batch.keys() == reference.keys() and batch["caption"] == reference["caption"]
    torch.testing.assert_close(batch["latents"], reference["latents"], atol=2e-3, rtol=2e-3)
    for name in ("chords", "melody", "drums"):
        assert torch.equal(batch[name], reference[name]), name


def as_waveforms(tmp_path):
    return ClipDataset(make_songs(), RATE, HOP, num_frames=50, seed=3)


def as_arrow(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list([to_row(song) for song in make_songs()]).save_to_disk(tmp_path / "saved")
    return ClipDataset(datasets.load_from_disk(tmp_path / "saved"), RATE, HOP, num_frames=50, seed=3)


def as_files(tmp_path):
    lines = []
    for number, song in enumerate(make_songs()):
        stems = {}
        (tmp_path / f"{number}.flac").write_bytes(encode_flac(song.pop("audio")))
        for name, stem in (song.pop("stems", None) or {}).items():
            stems[name] = f"{number}.{name}.flac"
            (tmp_path / stems[name]).write_bytes(encode_flac(stem))
        lines.append(json.loads(json.dumps(song | {"file_name": f"{number}.flac", "stems": stems})))
    return ClipDataset(lines, RATE, HOP, num_frames=50, seed=3, folder=tmp_path)


@pytest.mark.parametrize("make", [as_waveforms, as_arrow, as_files])
def test_online_encoding_matches_the_cache(tmp_path, codec, cache, make):
    reference, dataset = FeatureDataset(cache, num_frames=50, seed=3), make(tmp_path)
    assert len(dataset) == len(reference) == 6 + 2 + 3 and dataset.num_frames == 50
    encode = BatchEncoder(codec, 3, reference.info["latents_mean"], reference.info["latents_std"])
    for epoch in range(3):
        dataset.set_epoch(epoch)
        reference.set_epoch(epoch)
        batch = encode([dataset[index] for index in range(len(dataset))])
        assert_equal_features(batch, collate_features([reference[index] for index in range(len(dataset))]))
    # Drums that pause during a crop still count as drums.
    has_drums = batch["drums"].flatten(1).any(dim=1).tolist()
    assert has_drums == [True] * 6 + [False] * 5
    assert (batch["chords"][-3:] == len(default_chord_labels())).all() and batch["caption"][-1] == "just a caption"


def test_encoding_does_not_depend_on_the_rest_of_the_batch(codec, cache):
    dataset, encode = as_waveforms(None), BatchEncoder(codec, 3, 0.0, 4.0)
    items = [dataset[index] for index in range(len(dataset))]
    assert len({item["audio"].shape for item in items}) > 1
    together, alone = encode(items), collate_features([{k: v[0] for k, v in encode([item]).items()} for item in items])
    torch.testing.assert_close(together["latents"], alone["latents"], atol=1e-3, rtol=1e-3)
    assert all(torch.equal(together[name], alone[name]) for name in ("chords", "drums", "melody"))


def test_encoded_clips_and_clips_with_audio_in_one_batch(codec, cache):
    encoded = FeatureDataset(cache, num_frames=50, seed=3)
    mixture = MixedDataset([encoded, as_waveforms(None)], [1, 1])
    encode = BatchEncoder(codec, 3, encoded.info["latents_mean"], encoded.info["latents_std"])
    items = [mixture[index] for index in (0, 12, 1, 13)]
    assert ["audio" in item for item in items] == [False, True, False, True]
    batch = encode(items)
    assert batch["latents"].shape == (4, 50, 16) and len(batch["caption"]) == 4
    assert torch.equal(batch["latents"][2], items[2]["latents"])
    # Text embeddings are kept only if all items have them.
    assert "text_embeds" not in encode([items[0] | {"text_embeds": torch.zeros(3, 8)}, items[1]])


def test_controls_are_cropped_with_the_audio(codec):
    song = make_songs()[0]
    controls = encode_controls(song, 301, 50.0)
    ramp = torch.arange(song["audio"].shape[-1])[None] / 1e6
    dataset = ClipDataset([song | {"audio": ramp}], RATE, HOP, num_frames=70, seed=1)
    starts = set()
    for epoch in range(6):
        dataset.set_epoch(epoch)
        item = dataset[2]
        start = round(item["audio"][0, item["first_frame"] * HOP].item() * 1e6 / HOP)
        assert start * HOP / 1e6 == pytest.approx(item["audio"][0, item["first_frame"] * HOP].item(), abs=1e-7)
        crop = slice(start, start + 70)
        assert torch.equal(item["chords"], controls["chords"][crop].long())
        assert torch.equal(item["melody"], controls["melody"][crop])
        starts.add(start)
    assert len(starts) > 3 and max(starts) <= 301 - 70


def test_items_depend_only_on_seed_epoch_and_index(tmp_path):
    arrow, waveforms = as_arrow(tmp_path), as_waveforms(None)
    copy = pickle.loads(pickle.dumps(waveforms))
    for index in (10, 0, 4):
        assert torch.equal(copy[index]["audio"], waveforms[index]["audio"])
        assert copy[index]["caption"] == waveforms[index]["caption"] == arrow[index]["caption"]
    before = waveforms[0]
    waveforms.set_epoch(1)
    assert not torch.equal(waveforms[0]["audio"], before["audio"])
    waveforms.set_epoch(0)
    assert torch.equal(waveforms[0]["audio"], before["audio"])


def test_resampling_and_custom_vocabulary(tmp_path):
    song = make_songs()[0]
    labels = ["Am7", "C", "F#7", "G"]
    row = to_row(song) | {"audio": {"bytes": encode_flac(song["audio"][:, ::2], RATE // 2), "path": None}}
    item = ClipDataset([row], RATE, HOP, labels)[0]
    assert item["audio"].shape == (1, 301 * HOP - 320) and item["chords"].shape == (301,)
    # "N" is not in the vocabulary.
    assert item["chords"].unique_consecutive().tolist() == [1, 0, 2, 4, 3]
    assert item["stems"]["drums"].shape == item["audio"].shape


def test_errors(tmp_path):
    songs = make_songs()
    with pytest.raises(ValueError, match="no clips"):
        ClipDataset([], RATE, HOP)
    with pytest.raises(ValueError, match="Clip 1 has 115 frames, fewer than `num_frames` = 116"):
        ClipDataset(songs, RATE, HOP, num_frames=116)
    with pytest.raises(ValueError, match="needs `audio` or `file_name`, but has caption"):
        ClipDataset([{"caption": "a"}], RATE, HOP)
    with pytest.raises(ValueError, match="Quux"):
        ClipDataset([songs[1] | {"chords": [("Quux", 0.0)]}], RATE, HOP)[0]
    with pytest.raises(ValueError, match=r"\(label, start\) is expected, not .*time"):
        ClipDataset([songs[1] | {"chords": [{"label": "C", "time": 0.0}]}], RATE, HOP)[0]
    datasets = pytest.importorskip("datasets")
    with pytest.raises(ValueError, match="column `audio`, but has sound"):
        ClipDataset(datasets.Dataset.from_list([{"sound": 1}]), RATE, HOP)


def test_audio_of_the_datasets_library_is_not_decoded_in_advance(tmp_path):
    datasets = pytest.importorskip("datasets")
    (tmp_path / "a.flac").write_bytes(encode_flac(make_songs()[1]["audio"]))
    rows = datasets.Dataset.from_dict({"audio": [str(tmp_path / "a.flac")], "text": ["a song"]})
    dataset = ClipDataset(rows.cast_column("audio", datasets.Audio()), RATE, HOP)
    assert dataset.num_frames == 115 and dataset[0]["caption"] == "a song" and not dataset[0]["stems"]


def test_synthetic_music(codec):
    pytest.importorskip("tinysoundfont")
    music = SyntheticMusic("train", 4, duration=1.0, sampling_rate=RATE, renderer="tinysoundfont", stems=True)
    dataset = ClipDataset(music, RATE, HOP)
    assert len(dataset) == 4 and dataset.num_frames == 50
    item = dataset[2]
    assert torch.equal(item["audio"], music[2]["audio"]) and item["caption"] in music[2]["captions"]
    assert torch.equal(item["chords"], encode_controls(music[2], 50, 50.0)["chords"].long())
    assert BatchEncoder(codec, 3, 0.0, 1.0)([item])["latents"].shape == (1, 50, 16)


def test_latent_statistics_match_the_cache(codec, tmp_path):
    songs = make_songs()[1:2]
    info = write_features(songs, codec, tmp_path / "cache")
    mean, std = measure_latents([ClipDataset(songs, RATE, HOP)[0]], codec)
    assert mean == pytest.approx(info["latents_mean"], abs=1e-5) and std == pytest.approx(
        info["latents_std"], abs=1e-5
    )
