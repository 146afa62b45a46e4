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


import copy
import json
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import EncodecModel

from diffusers_jasco.codecs import codec_hash, encode_drums
from diffusers_jasco.controls.beats import beats_to_frames
from diffusers_jasco.controls.chord_labels import default_chord_labels
from diffusers_jasco.controls.chords import chords_to_frames
from diffusers_jasco.controls.melody import melody_from_notes
from diffusers_jasco.data.features import (
    FeatureDataset,
    collate_features,
    encode_audio,
    encode_controls,
    encode_tempo,
    prepare_audio,
    write_encoded,
    write_features,
)
from diffusers_jasco.text_encoders import load_text_encoder, text_encoder_hash
from diffusers_jasco.utils.seeding import derive_seed

from ..conftest import FIXTURES


CODEC = FIXTURES / "chords-drums-melody" / "encodec"
RATE, FRAMES, CLIPS = 32000, 50, 5
CHORDS = [("C", 0.0), ("Am7", 0.5)]
NOTES = [(60, 0.0, 0.3), (64, 0.5, 0.9)]
SCRIPTS = Path(__file__).parents[2] / "scripts"


def make_items(frames: int = FRAMES, count: int = CLIPS) -> list[dict]:
    generator = torch.Generator().manual_seed(0)
    items = []
    for i in range(count):
        drums = 0.3 * torch.randn(1, frames * 640, generator=generator)
        items.append(
            {
                "audio": drums + 0.1 * torch.randn(1, frames * 640, generator=generator),
                "sampling_rate": RATE,
                "chords": CHORDS,
                "melody": NOTES,
                # Item 2 has silent drums, item 3 no drum stem.
                "stems": {} if i == 3 else {"drums": torch.zeros_like(drums) if i == 2 else drums},
                "captions": [f"clip {i} {word}" for word in ("slow", "calm", "quiet")],
                "caption": f"clip {i}",
            }
        )
    return items


@pytest.fixture(scope="module")
def codec():
    return EncodecModel.from_pretrained(CODEC).eval()


@pytest.fixture(scope="module")
def text():
    return load_text_encoder(FIXTURES / "t5")


@pytest.fixture(scope="module")
def cache(codec, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features") / "cache"
    write_features(iter(make_items()), codec, folder, batch_size=3, shard_size=2)
    return folder


@torch.no_grad()
def test_items_match_the_encoding_of_the_pipeline(codec, cache):
    dataset, items = FeatureDataset(cache, drums_blur=3), make_items()
    assert len(dataset) == CLIPS and len(list(cache.glob("*.safetensors"))) == 3 + 1
    labels = default_chord_labels()
    for i, item in enumerate(items):
        features = dataset[i]
        latents = codec.encoder(item["audio"][None])[0].T
        torch.testing.assert_close(features["latents"] * dataset.std + dataset.mean, latents, atol=5e-3, rtol=2e-3)
        assert torch.equal(features["chords"], chords_to_frames(CHORDS, labels, FRAMES, 50.0))
        assert torch.equal(features["melody"], melody_from_notes(NOTES, FRAMES, 50.0))
        if i in (2, 3):
            assert not features["drums"].any()
        else:
            drums = encode_drums(codec, item["stems"]["drums"][None], blur=3)[0]
            torch.testing.assert_close(features["drums"], drums, atol=1e-5, rtol=1e-5)
        assert features["caption"] in item["captions"]


def test_latents_are_normalized_per_channel(cache):
    dataset = FeatureDataset(cache)
    latents = torch.cat([dataset[i]["latents"] for i in range(CLIPS)])
    torch.testing.assert_close(latents.mean(dim=0), torch.zeros(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.std(dim=0), torch.ones(16), atol=5e-3, rtol=0)
    assert torch.equal(torch.tensor(dataset.info["latents_mean"]), dataset.mean)
    # The model's statistics override the cache's; scalars apply to all channels.
    other = FeatureDataset(cache, latents_mean=-0.0074, latents_std=4.0102)[0]["latents"]
    torch.testing.assert_close(other * 4.0102 - 0.0074, dataset[0]["latents"] * dataset.std + dataset.mean)


@torch.no_grad()
def test_text_embeddings_match_the_text_encoder(codec, text, tmp_path):
    tokenizer, text_encoder = text
    items = make_items(count=3)
    items[1]["captions"] = ["a rather long caption of a piece", ""]
    folder = tmp_path / "cache"
    write_features(items, codec, folder, shard_size=2, tokenizer=tokenizer, text_encoder=text_encoder)
    dataset = FeatureDataset(folder)
    assert dataset.info["text_encoder_hash"] == text_encoder_hash(tokenizer, text_encoder)
    seen = set()
    for epoch in range(20):
        dataset.set_epoch(epoch)
        batch = collate_features([dataset[i] for i in range(3)])
        # Training encodes batches in this way.
        inputs = tokenizer(batch["caption"], padding=True, return_tensors="pt")
        states = text_encoder(**inputs)[0] * inputs.attention_mask[..., None]
        assert torch.equal(batch["text_mask"], inputs.attention_mask)
        torch.testing.assert_close(batch["text_embeds"], states, atol=1e-3, rtol=1e-3)
        seen.update(batch["caption"])
    assert seen == {caption for item in items for caption in item["captions"]}


def test_caches_without_text_embeddings(cache, tmp_path):
    shutil.copytree(cache, tmp_path / "old")
    info = json.loads((cache / "features.json").read_text())
    assert info.pop("text_encoder_hash") is None
    # Old caches, written before text embeddings were supported, lack the entry.
    (tmp_path / "old" / "features.json").write_text(json.dumps(info))
    for folder in (cache, tmp_path / "old"):
        dataset = FeatureDataset(folder)
        assert dataset.info["text_encoder_hash"] is None
        assert {"text_embeds", "text_mask"}.isdisjoint(collate_features([dataset[0], dataset[1]]))


def test_the_text_encoder_hash_depends_on_weights_and_tokenizer(text, tmp_path):
    tokenizer, text_encoder = text
    expected = text_encoder_hash(tokenizer, text_encoder)
    tokenizer(["a", "a longer one"], padding=True)
    tokenizer.save_pretrained(tmp_path)
    copy.deepcopy(text_encoder).half().save_pretrained(tmp_path)
    assert text_encoder_hash(*load_text_encoder(tmp_path)) == expected
    other = copy.deepcopy(text_encoder)
    with torch.no_grad():
        next(other.parameters())[0, 0] += 0.1
    assert text_encoder_hash(tokenizer, other) != expected
    nano = load_text_encoder(SCRIPTS.parent / "pipelines" / "jasco-nano")[0]
    assert text_encoder_hash(nano, text_encoder) != expected
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match="no tokenizer"):
        load_text_encoder(tmp_path)


def test_crops_are_aligned_and_depend_on_seed_and_epoch(cache):
    uncropped = FeatureDataset(cache, drums_blur=1)
    dataset = FeatureDataset(cache, num_frames=30, drums_blur=1, seed=3)
    starts = set()
    for epoch in range(8):
        dataset.set_epoch(epoch)
        crop, full = dataset[0], uncropped[0]
        assert all(torch.equal(crop[name], dataset[0][name]) for name in ("latents", "chords"))
        matches = [s for s in range(21) if torch.equal(full["latents"][s : s + 30], crop["latents"])]
        assert len(matches) == 1
        starts.add(matches[0])
        for name in ("chords", "drums", "melody"):
            assert torch.equal(full[name][matches[0] : matches[0] + 30], crop[name])
    assert len(starts) > 3
    with pytest.raises(ValueError, match="Clip 0 has 50 frames, fewer than `num_frames` = 51"):
        FeatureDataset(cache, num_frames=51)


@torch.no_grad()
def test_songs_count_in_proportion_to_their_duration(codec, tmp_path):
    song, short = make_items(frames=200, count=1)[0], make_items(frames=55, count=1)[0]
    write_features([song, short], codec, tmp_path / "cache")
    dataset = FeatureDataset(tmp_path / "cache", num_frames=50)
    assert len(dataset) == 4 + 1, "one item per second, rounded down"
    assert [dataset[i]["caption"].split()[1] for i in range(5)] == ["0"] * 5
    with safe_open(tmp_path / "cache" / "features-00000.safetensors", framework="pt") as file:
        latents = file.get_tensor("latents")
        assert file.get_tensor("offsets").tolist() == [0, 200, 255]
    starts = {
        next(
            s
            for s in range(151)
            if torch.equal(dataset[i]["latents"], (latents[s : s + 50].float() - dataset.mean) / dataset.std)
        )
        for i in range(4)
    }
    assert len(starts) == 4, "the crops of a song are drawn independently"


def test_a_cache_keeps_its_chord_labels(codec, tmp_path):
    item = prepare_audio(make_items(count=1)[0], RATE)
    labels = ["N", "C", "Am7", "UNK"]
    clip = encode_audio([item], codec)[0] | encode_controls(item, FRAMES, 50.0, labels) | {"captions": ["a"]}
    write_encoded([clip], codec, tmp_path / "cache", labels)
    assert FeatureDataset(tmp_path / "cache", labels=labels)[0]["chords"].unique_consecutive().tolist() == [1, 2]
    defaults = default_chord_labels()
    ids = FeatureDataset(tmp_path / "cache")[0]["chords"].unique_consecutive().tolist()
    assert [defaults[i] for i in ids] == ["C", "Am7"]


def test_captions_change_with_the_epoch(cache):
    dataset, seen = FeatureDataset(cache), set()
    for epoch in range(20):
        dataset.set_epoch(epoch)
        seen.add(dataset[1]["caption"])
    assert seen == {"clip 1 slow", "clip 1 calm", "clip 1 quiet"}


def test_clips_of_different_lengths_and_rates(codec, tmp_path):
    # 1 s at 32 kHz, 0.6 s, and 1 s of stereo at 16 kHz without controls.
    items = make_items(count=1) + make_items(frames=30, count=1)
    items.append({"audio": 0.1 * torch.randn(2, 16000), "sampling_rate": 16000, "caption": "just a caption"})
    info = write_features(items, codec, tmp_path / "cache")
    assert (info["num_clips"], info["num_frames"]) == (3, 50 + 30 + 50)
    dataset = FeatureDataset(tmp_path / "cache")
    assert dataset.num_frames == 30
    last = dataset[2]
    assert last["caption"] == "just a caption" and not last["melody"].any() and not last["drums"].any()
    assert (last["chords"] == len(default_chord_labels())).all(), "unknown chords are the null chord"
    batch = collate_features([dataset[i] for i in range(3)])
    assert batch["latents"].shape == (3, 30, 16) and len(batch["caption"]) == 3


def test_chord_ids_follow_the_vocabulary(cache):
    dataset = FeatureDataset(cache, labels=["Am7", "N", "C"])
    assert dataset[0]["chords"].unique_consecutive().tolist() == [2, 0]


def test_a_cache_is_complete_or_absent(codec, tmp_path):
    items = make_items(count=2)
    items[1]["chords"] = [("Quux", 0.0)]
    with pytest.raises(ValueError, match="clips 0 to 1.*Quux"):
        write_features(items, codec, tmp_path / "cache")
    with pytest.raises(ValueError, match="no clips"):
        write_features([], codec, tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []
    write_features(make_items(count=1), codec, tmp_path / "cache")
    with pytest.raises(ValueError, match="exists"):
        write_features(make_items(count=1), codec, tmp_path / "cache")
    assert write_features(make_items(count=2), codec, tmp_path / "cache", overwrite=True)["num_clips"] == 2
    with pytest.raises(FileNotFoundError, match="not a feature cache"):
        FeatureDataset(tmp_path)


def test_the_codec_hash(codec, tmp_path):
    codec.save_pretrained(tmp_path)
    assert codec_hash(EncodecModel.from_pretrained(tmp_path)) == codec_hash(codec)
    other = EncodecModel.from_pretrained(
        FIXTURES / "chords-drums" / "encodec", num_filters=4, ignore_mismatched_sizes=True
    )
    assert codec_hash(other) != codec_hash(codec)


def test_datasets_can_be_pickled(cache):
    dataset = FeatureDataset(cache)
    dataset[0]
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[4]["latents"], dataset[4]["latents"])


def test_derived_seeds_depend_on_every_argument():
    assert derive_seed("a", 1, 2) == 8845591732151228413
    assert len({derive_seed(name, i, j) for name in "ab" for i in range(10) for j in range(10)}) == 200


def test_clips_with_a_lower_rate_cause_a_warning(codec, tmp_path, warnings):
    items = make_items(count=3)
    write_features(items, codec, tmp_path / "right")
    assert not warnings.text
    items[0] |= {"sampling_rate": 16000, "audio": items[0]["audio"][:, ::2], "stems": {}}
    write_features(items, codec, tmp_path / "lower")
    assert "1 clips have a lower sampling rate (lowest: 16000 Hz) than the codec (32000 Hz)" in warnings.text


def test_the_script_encodes_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    sys.modules.pop("encode_features", None)
    import encode_features

    dataset = tmp_path / "dataset"
    dataset.mkdir()
    with open(dataset / "metadata.jsonl", "w") as lines:
        for i, item in enumerate(make_items(count=3)):
            drums = item.pop("stems").get("drums")
            soundfile.write(dataset / f"{i}.flac", np.asarray(item.pop("audio").clamp(-1, 1)[0]), RATE)
            soundfile.write(dataset / f"{i}-drums.flac", np.asarray(drums.clamp(-1, 1)[0]), RATE)
            lines.write(json.dumps(item | {"file_name": f"{i}.flac", "stems": {"drums": f"{i}-drums.flac"}}) + "\n")
    arguments = ["--dataset", dataset, "--codec", CODEC, "--output", tmp_path / "features", "--limit", 2]
    encode_features.main([str(argument) for argument in (*arguments, "--text_encoder", FIXTURES / "t5")])
    assert "2 clips" in capsys.readouterr().out
    features = FeatureDataset(tmp_path / "features")
    assert len(features) == 2 and features[1]["drums"].any() and features[1]["caption"].startswith("clip 1")
    assert features[1]["text_embeds"].shape[1] == 48

    with pytest.raises(ValueError, match="--remixes needs the stems .* has only drums"):
        encode_features.main([str(argument) for argument in (*arguments[:5], tmp_path / "remixes", "--remixes", 1)])
    with pytest.raises(FileNotFoundError, match="absent is not a dataset: it has no metadata.jsonl"):
        encode_features.main(["--dataset", str(tmp_path / "absent"), *map(str, arguments[2:])])


def make_beat_items() -> list[dict]:
    """Four clips: a beat grid, a single downbeat, only a stated tempo, nothing, and melodies: notes, rests, unknown."""
    items = make_items(count=4)
    items[0] |= {"beats": [0.1, 0.35, 0.6, 0.85], "downbeats": [0.1, 0.6], "time_signature": "2/4"}
    items[1] |= {"beats": [0.2, 0.5, 0.8], "downbeats": [0.5], "time_signature": "6/8", "tempo": 50, "melody": []}
    items[2] |= {"tempo": 90.5, "time_signature": "3/4", "melody": None}
    return items


def test_beats_reach_the_items(codec, tmp_path):
    write_features(make_beat_items(), codec, tmp_path / "cache")
    dataset = FeatureDataset(tmp_path / "cache")
    batch = collate_features([dataset[i] for i in range(4)])
    assert batch["tempo"].tolist() == pytest.approx([240, 200, 90.5, 0])
    assert batch["beats_per_bar"].tolist() == [2, 2, 3, 0]
    expected = beats_to_frames([0.1, 0.35, 0.6, 0.85], [0.1, 0.6], FRAMES, 50.0)
    torch.testing.assert_close(batch["beats"][0], expected, atol=4e-3, rtol=0)
    # The next downbeat would be at 1.1 s.
    expected = beats_to_frames([0.2, 0.5, 0.8], [0.5, 1.1], FRAMES, 50.0)
    torch.testing.assert_close(batch["beats"][1], expected, atol=4e-3, rtol=0)
    assert batch["beats"].shape == (4, FRAMES, 5) and not batch["beats"][2:].any()


def test_crops_keep_their_place_in_the_bar(codec, tmp_path):
    write_features(make_beat_items()[:1], codec, tmp_path / "cache")
    dataset, whole = FeatureDataset(tmp_path / "cache", num_frames=20), FeatureDataset(tmp_path / "cache")[0]
    for epoch in range(4):
        dataset.set_epoch(epoch)
        crop = dataset[0]
        start = next(s for s in range(31) if torch.equal(whole["latents"][s : s + 20], crop["latents"]))
        assert torch.equal(crop["beats"], whole["beats"][start : start + 20])


def test_rests_differ_from_unknown_melodies(codec, tmp_path):
    write_features(make_beat_items(), codec, tmp_path / "cache")
    known, rests, unknown = (FeatureDataset(tmp_path / "cache", null_melody=-1)[i]["melody"] for i in range(3))
    assert torch.equal(known, melody_from_notes(NOTES, FRAMES, 50.0)) and not rests.any() and (unknown == -1).all()
    assert not FeatureDataset(tmp_path / "cache")[2]["melody"].any(), "without presence bits, both are zero"


def test_caches_of_format_1_have_no_beats(codec, tmp_path):
    write_features(make_beat_items(), codec, tmp_path / "new", shard_size=2)
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    info = json.loads((tmp_path / "old" / "features.json").read_text())
    (tmp_path / "old" / "features.json").write_text(json.dumps(info | {"format": 1}))
    for file in (tmp_path / "old").glob("features-*.safetensors"):
        tensors = load_file(file)
        tensors = {k: v for k, v in tensors.items() if k not in ("beat_phases", "tempo", "beats_per_bar", "has_text")}
        save_file(tensors, file)
    new, old = FeatureDataset(tmp_path / "new"), FeatureDataset(tmp_path / "old")
    for i in range(4):
        assert all(torch.equal(new[i][name], old[i][name]) for name in ("latents", "chords", "drums", "melody"))
        assert not old[i]["beats"].any() and old[i]["tempo"] == 0 and old[i]["beats_per_bar"] == 0
        assert old[i]["has_text"]
    (tmp_path / "old" / "features.json").write_text(json.dumps(info | {"format": 99}))
    with pytest.raises(ValueError, match="format 99"):
        FeatureDataset(tmp_path / "old")


def test_meters_of_clips():
    for meter, expected in (("4/4", 4), ("3/4", 3), ("6/8", 2), ("12/8", 4), ("3/8", 3), ("waltz", 0), (None, 0)):
        assert encode_tempo({"time_signature": meter}) == {"tempo": 0.0, "beats_per_bar": expected}, meter
    assert encode_tempo({"beats_per_bar": 5, "tempo": "fast"}) == {"tempo": 0.0, "beats_per_bar": 5}
    beats = {"beats": [0.0, 0.5, 1.0]}
    assert encode_tempo(beats | {"beats_per_bar": 5}) == {"tempo": 120.0, "beats_per_bar": 5}
    assert encode_tempo(beats | {"tempo": 60}) == {"tempo": 60.0, "beats_per_bar": 0}
    # The beats are more reliable than the stated values.
    grid = {"beats": [0.0, 0.5, 1.0, 1.5, 2.0], "downbeats": [0.0, 1.5]}
    assert encode_tempo(grid | {"tempo": 60, "time_signature": "4/4"}) == {"tempo": 120.0, "beats_per_bar": 3}
