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

"""Preparation of training sets from folders and manifests."""

import gzip
import io
import json
import runpy
import tarfile
from pathlib import Path

import datasets
import fsspec
import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco.controls.beats import phases_to_frames
from diffusers_jasco.data.clips import ClipDataset
from diffusers_jasco.data.features import FeatureDataset
from diffusers_jasco.data.preparation.assembly import assign_splits
from diffusers_jasco.data.sources import find_sources, read_captions, read_track_info
from diffusers_jasco.extraction import separate_drums
from diffusers_jasco.text_encoders import encode_captions, load_text_encoder, text_encoder_hash

from ..conftest import run_script
from .test_preparation_interrupted import CODEC, SCRIPT, TEXT_ENCODER, read_all, write_music


RATE = 16000


def prepare(audio, output, *options) -> None:
    arguments = ["--audio", audio, "--output", output, "--min_seconds", 1, "--clip_seconds", 3]
    arguments += ["--chords", "none", "--melody", "none", "--drums", "none", "--beats", "none", *options]
    runpy.run_path(str(SCRIPT))["main"]([str(argument) for argument in arguments])


def write_noise(path: Path, seconds: float = 2.0, **tags: str) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(len(path.name)).normal(size=round(seconds * RATE)) / 10
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for name, value in tags.items():
            setattr(file, name, value)
        file.write(samples)
    return samples


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def manifest(tmp_path):
    """A manifest with a fully annotated song of 6 s and two songs of 2 s."""
    samples = write_noise(tmp_path / "music" / "song.wav", 6.0)
    write_noise(tmp_path / "music" / "drums.wav", 6.0)
    lines = [
        {
            "file_name": "song.wav",
            "captions": ["a", "b"],
            "chords": [["C", 0], ["Am7", 2.0], ["Zorp", 4.0], ["G", 5.0]],
            "melody": [[60, 0.5, 1.0], [64, 2.5, 3.5]],
            "stems": {"drums": "drums.wav"},
        }
    ]
    for name in ("one.flac", "two.flac"):
        write_noise(tmp_path / "music" / name)
        lines.append({"file_name": name, "chords": [["N", 0]], "melody": [], "stems": {}})
    path = tmp_path / "music" / "metadata.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "map.json").write_text(json.dumps({"N": 0, "C": 1, "G": 2, "Am7": 3, "UNK": 4}))
    return path, samples


def test_annotations_reach_all_output_formats(manifest, tmp_path):
    path, samples = manifest
    options = ("--chords", "auto", "--melody", "auto", "--drums", "auto", "--chord_map", tmp_path / "map.json")
    options += ("--encode", CODEC, "--text_encoder", TEXT_ENCODER, "--shares", 1, 0, 0, 0, "--webdataset")
    prepare(path, tmp_path / "data", *options)
    data = tmp_path / "data"

    # Songs are cut into clips together with their timelines.
    lines = read_lines(data / "train" / "metadata.jsonl")
    assert [(line["track"], line["start"]) for line in lines] == [
        ("one.flac", 0),
        ("song.wav", 0),
        ("song.wav", 3),
        ("two.flac", 0),
    ]
    first, second = lines[1:3]
    assert first["chords"] == [["C", 0.0], ["Am7", 2.0]] and first["melody"] == [[60, 0.5, 1.0], [64, 2.5, 3.0]]
    assert second["chords"] == [["Am7", 0.0], ["UNK", 1.0], ["G", 2.0]] and second["melody"] == [[64, 0.0, 0.5]]
    assert first["captions"] == ["a", "b"] and lines[0]["stems"] == {}
    assert json.loads((data / "summary.json").read_text())["unknown_chords"] == {"Zorp": 1}

    audio, rate = soundfile.read(data / "train" / second["file_name"])
    drums, _ = soundfile.read(data / "train" / second["stems"]["drums"])
    assert rate == 32000 and len(audio) == len(drums) == 3 * rate
    energy = np.square(samples[3 * RATE :]).mean()
    assert np.square(audio).mean() == pytest.approx(energy, rel=0.1)

    # The dataset, the WebDataset shards and the features have the same clips.
    dataset = datasets.load_from_disk(str(data / "dataset"))["train"]
    assert dataset["track"] == [line["track"] for line in lines]
    assert dataset[2]["chords"][1] == {"label": "UNK", "start": 1.0} and dataset[2]["drums"] is not None
    stored, _ = soundfile.read(io.BytesIO(dataset[2]["audio"]["bytes"]))
    assert np.array_equal(stored, audio)
    with tarfile.open(data / "shards" / "train-00000.tar") as shard:
        names = [name.partition(".") for name in shard.getnames()]
        assert len({key for key, _, _ in names}) == 4 and {suffix for _, _, suffix in names} == {
            "flac",
            "drums.flac",
            "json",
        }

    labels = ["N", "C", "G", "Am7", "UNK"]
    features = FeatureDataset(data / "features" / "train", labels=labels, num_frames=100)
    assert [features[i]["latents"].shape for i in range(4)] == [(100, 16)] * 4
    clips = FeatureDataset(data / "features" / "train", labels=labels)
    assert clips[1]["drums"].any() and not clips[0]["drums"].any() and clips[1]["caption"] in ("a", "b")
    assert clips.info["chord_labels"] == labels
    tokenizer, text_encoder = load_text_encoder(TEXT_ENCODER)
    assert clips.info["text_encoder_hash"] == text_encoder_hash(tokenizer, text_encoder)
    for item in (clips[0], clips[1]):
        (states,) = encode_captions([item["caption"]], tokenizer, text_encoder)
        assert torch.equal(item["text_embeds"], states.float())
    with pytest.raises(ValueError, match="`text_encoder` needs `codec`"):
        prepare(path, tmp_path / "other", "--text_encoder", TEXT_ENCODER)


def test_synthetic_music_keeps_its_annotations(tmp_path):
    pytest.importorskip("tinysoundfont")
    synthetic, codec = tmp_path / "synthetic", SCRIPT.parents[1] / "pipelines" / "jasco-nano"
    options = ("--split", "validation", "--num_clips", 3, "--renderer", "tinysoundfont", "--num_workers", 0)
    rate = ("--sampling_rate", 24000)  # the codec's
    run_script("make_synthetic_dataset", "--output", synthetic, *options, *rate)
    run_script("encode_features", "--dataset", synthetic, "--codec", codec, "--output", tmp_path / "features")
    options = ("--encode", codec, "--shares", 1, 0, 0, 0)
    run_script("prepare_dataset", "--audio", synthetic, "--output", tmp_path / "data", *options)
    expected = FeatureDataset(tmp_path / "features")
    prepared = FeatureDataset(tmp_path / "data" / "features" / "train")
    assert len(prepared) == len(expected) == 3 and prepared.captions == expected.captions
    for item, reference in zip(prepared, expected):
        for name in ("latents", "chords", "melody", "drums", "beats", "tempo", "beats_per_bar"):
            assert torch.equal(item[name], reference[name])
        assert item["beats"].any() and item["tempo"] > 0


def test_beats_of_a_manifest_are_cut_and_others_are_estimated(tmp_path):
    beats = [0.5 * index for index in range(12)]
    write_noise(tmp_path / "music" / "stated.wav", 6.0)
    write_noise(tmp_path / "music" / "tempo.wav", 2.0)
    write_noise(tmp_path / "music" / "count.wav", 2.0)
    clicks = np.zeros(12 * RATE, dtype=np.float32)
    for index in range(24):
        clicks[index * RATE // 2 :][:400] = (0.9 if index % 4 == 0 else 0.4) * np.sin(np.arange(400))
    soundfile.write(tmp_path / "music" / "clicks.wav", clicks, RATE)
    lines = [
        {"file_name": "stated.wav", "beats": beats, "downbeats": beats[::3], "melody": []},
        # No beat is detected in noise that is longer than 10 s; this is shorter, so it states its own.
        {"file_name": "tempo.wav", "beats": [], "tempo": 99, "time_signature": "6/8"},
        {"file_name": "clicks.wav", "tempo": 121, "time_signature": "2/4", "downbeats": [9.0]},
        {"file_name": "count.wav", "beats": 12},
    ]
    (tmp_path / "music" / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = ("--beats", "auto", "--melody", "auto", "--encode", CODEC, "--shares", 1, 0, 0, 0)
    prepare(tmp_path / "music", tmp_path / "data", *options)
    lines = {line["file_name"]: line for line in read_lines(tmp_path / "data" / "train" / "metadata.jsonl")}
    clicks = [line for line in lines.values() if line["track"] == "clicks.wav"]
    assert {(line["tempo"], line["time_signature"]) for line in clicks} == {(121, "2/4")}
    assert all(len(line["beats"]) > len(line["downbeats"]) > 0 for line in clicks)
    stated = [line for line in lines.values() if line["track"] == "stated.wav"]
    assert [line["beats"] for line in stated] == [beats[:6]] * 2 and stated[1]["downbeats"] == [0.0, 1.5]
    errors = [json.loads(file.read_text()) for file in (tmp_path / "data").rglob("error.json")]
    assert [error["path"] for error in errors] == ["count.wav"] and "`beats` has to have the times" in errors[0][
        "error"
    ]
    rows = datasets.load_from_disk(str(tmp_path / "data" / "dataset"))["train"]
    by_track = {row["track"]: row for row in rows}
    assert by_track["stated.wav"]["tempo"] == 120 and by_track["stated.wav"]["beats_per_bar"] == 3
    assert by_track["tempo.wav"]["tempo"] == 99 and by_track["tempo.wav"]["beats_per_bar"] == 2
    assert by_track["clicks.wav"]["tempo"] == pytest.approx(120, rel=0.02)
    assert by_track["stated.wav"]["melody"] == [] and by_track["stated.wav"]["beats"] == beats[:6]
    # The cache and the clips themselves give the same items.
    cache = FeatureDataset(tmp_path / "data" / "features" / "train", num_frames=100)
    clips = ClipDataset(rows, 32000, 640, num_frames=100)
    for item, clip in zip(cache, clips, strict=True):
        torch.testing.assert_close(phases_to_frames(clip["beat_phases"]), item["beats"])
        assert (item["tempo"].item(), item["beats_per_bar"]) == (pytest.approx(clip["tempo"]), clip["beats_per_bar"])


def test_drums_are_separated_and_cut(tmp_path):
    write_music(tmp_path / "music", 5, 6.0)
    prepare(tmp_path / "music", tmp_path / "data", "--drums", "builtin", "--shares", 1, 0, 0, 0)
    lines = read_lines(tmp_path / "data" / "train" / "metadata.jsonl")
    for track in {line["track"] for line in lines}:
        drums, rate = separate_drums(tmp_path / "music" / track, method="builtin")
        clips = [line for line in lines if line["track"] == track]
        stems = [soundfile.read(tmp_path / "data" / "train" / clip["stems"]["drums"]) for clip in clips]
        assert len(stems) > 0 and {stem_rate for _, stem_rate in stems} == {rate}
        stored = np.concatenate([samples for samples, _ in stems])
        assert np.abs(stored).max() > 0.01
        count = min(len(stored), drums.shape[1])
        assert np.abs(stored[:count] - drums[0, :count].numpy()).max() < 1e-4


def test_sharded_runs_match_a_single_run(tmp_path):
    write_music(tmp_path / "music", 9, 2.0)
    options = ("--chords", "builtin", "--encode", CODEC)
    prepare(tmp_path / "music", tmp_path / "single", *options)
    for shard in ("2/3", "0/3"):
        prepare(tmp_path / "music", tmp_path / "shards", *options, "--shard", shard, "--resume")
    with pytest.raises(ValueError, match="--resume"):
        prepare(tmp_path / "music", tmp_path / "shards", *options)
    prepare(tmp_path / "music", tmp_path / "shards", *options, "--shard", "1/3", "--resume")
    assert not (tmp_path / "shards" / "summary.json").exists(), "only a run without --shard assembles the tracks"
    prepare(tmp_path / "music", tmp_path / "shards", *options, "--resume")
    assert read_all(tmp_path / "shards") == read_all(tmp_path / "single")
    # Older versions did not extract beats.
    with pytest.raises(ValueError, match="was started without beats: pass --beats none to continue"):
        prepare(tmp_path / "music", tmp_path / "single", *options, "--beats", "auto", "--resume")
    with pytest.raises(ValueError, match=r"other settings \(chords\)"):
        prepare(tmp_path / "music", tmp_path / "single", "--encode", CODEC, "--resume")
    with pytest.raises(ValueError, match="i/n"):
        prepare(tmp_path / "music", tmp_path / "other", "--shard", "3/3")


def test_unchanged_datasets_are_not_assembled_again(tmp_path, monkeypatch):
    for index in range(4):
        write_noise(tmp_path / "music" / f"{index}.wav")
    data, options = tmp_path / "data", ("--encode", CODEC, "--webdataset", "--resume")

    def times() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in data.rglob("*") if path.is_file()}

    prepare(tmp_path / "music", data, *options)
    before, files = times(), read_all(data)
    prepare(tmp_path / "music", data, *options)
    prepare(tmp_path / "music", data, "--encode", CODEC, "--resume")
    assert times() == before

    # Outdated splits and shards are removed.
    prepare(tmp_path / "music", data, *options, "--shares", 1, 0, 0, 0)
    assert [path.parent.name for path in data.glob("*/metadata.jsonl")] == ["train"]
    assert [path.name for path in (data / "features").iterdir()] == ["train"]
    assert [path.name for path in (data / "shards").iterdir()] == ["train-00000.tar"]

    # After an interrupted run with other shares, the dataset is assembled again.
    prepare(tmp_path / "music", data, *options)

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("diffusers_jasco.data.preparation.assembly._write_dataset", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "music", data, *options, "--shares", 1, 0, 0, 0)
    monkeypatch.undo()
    assert read_all(data) != files
    prepare(tmp_path / "music", data, *options)
    assert read_all(data) == files


def test_remote_input_and_output(tmp_path):
    write_noise(tmp_path / "music" / "album" / "a söng.flac")
    write_noise(tmp_path / "music" / "other.wav")
    (tmp_path / "music" / "other.txt").write_text("another one\n")
    fs = fsspec.filesystem("memory")
    for name, content in read_all(tmp_path / "music").items():
        fs.pipe_file(f"/music/{name}", content)
    try:
        prepare("memory://music", "memory://data", "--encode", CODEC, "--shares", 1, 0, 0, 0)
        prepare(tmp_path / "music", tmp_path / "data", "--encode", CODEC, "--shares", 1, 0, 0, 0)
        remote = {name.removeprefix("/data/"): fs.cat_file(name) for name in fs.find("/data")}
    finally:
        fs.rm("/", recursive=True)
    local = read_all(tmp_path / "data")
    assert remote.keys() == local.keys()
    assert [name for name in local if remote[name] != local[name]] == ["settings.json"], "it contains the paths"


def test_audiocraft_manifests(tmp_path, monkeypatch):
    write_noise(tmp_path / "dataset" / "electro_1.wav")
    info = {"artist": "V", "description": "", "genre": "electronic", "moods": ["calm"], "keywords": "bright, cool"}
    (tmp_path / "dataset" / "electro_1.json").write_text(json.dumps(info))
    line = {"path": "dataset/electro_1.wav", "duration": 2.0, "sample_rate": RATE, "info_path": None}
    (tmp_path / "egs").mkdir()
    with gzip.open(tmp_path / "egs" / "data.jsonl.gz", "wt") as file:
        file.write(json.dumps(line) + "\n")
    # AudioCraft's paths are relative to the working directory.
    monkeypatch.chdir(tmp_path)
    prepare("egs", "data", "--shares", 1, 0, 0, 0)
    (clip,) = read_lines(tmp_path / "data" / "train" / "metadata.jsonl")
    assert clip["captions"] == ["electronic, calm, bright, cool"] and clip["artist"] == "V"


def test_sources_of_captions(tmp_path):
    for name in ("table", "text", "tags", "nothing"):
        write_noise(tmp_path / f"{name}.flac", **({"genre": "Bossa nova"} if name == "tags" else {}))
    (tmp_path / "text.txt").write_text("one caption\nanother\n")
    sources = {source.name: source for source in find_sources(tmp_path)}
    table = {"table.flac": ["from the table"]}

    def captions(name: str) -> list[str]:
        with soundfile.SoundFile(tmp_path / name) as file:
            return read_captions(sources[name], read_track_info(sources[name]), file.copy_metadata(), table)

    assert captions("table.flac") == ["from the table"] and captions("text.flac") == ["one caption", "another"]
    assert captions("tags.flac") == ["Bossa nova"] and captions("nothing.flac") == []


def test_groups_stay_together_and_no_split_is_empty():
    tracks = [{"path": f"{i % 20}/{i}.wav", "artist": "a", "album": f"{i % 20}"} for i in range(200)]
    splits = assign_splits(tracks, "album", (0.7, 0.1, 0.1, 0.1))
    assert set(splits) == {"train", "validation", "evaluation", "generation"}
    assert all(
        len({split for track, split in zip(tracks, splits) if track["album"] == str(i)}) == 1 for i in range(20)
    )
    assert assign_splits(tracks[::-1], "album", (0.7, 0.1, 0.1, 0.1))[::-1] == splits, "the order does not matter"
    with pytest.raises(ValueError, match="sum to 1"):
        assign_splits(tracks, "track", (0.5, 0.1, 0.1, 0.1))


def test_errors(tmp_path):
    music = tmp_path / "music"
    for name in ("a/song.wav", "b/song.wav"):
        write_noise(music / name)
    write_noise(music / "a" / "._song.wav")
    assert [source.name for source in find_sources(music)] == ["a/song.wav", "b/song.wav"]
    (tmp_path / "chords").mkdir()
    (tmp_path / "chords" / "song.chords.json").write_text('[["C", 0.0]]')
    with pytest.raises(ValueError, match="same name"):
        prepare(music, tmp_path / "data", "--chords", tmp_path / "chords")
    with pytest.raises(ValueError, match="is inside --audio"):
        prepare(music, music / "data")
    (tmp_path / "chords" / "song.chords.json").write_text('[["C"]]')
    with pytest.raises(ValueError, match="chord 0 has to be"):
        prepare(music / "a", tmp_path / "data", "--chords", tmp_path / "chords")
    with pytest.raises(FileNotFoundError):
        prepare(music, tmp_path / "data", "--chord_map", tmp_path / "absent.json")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ValueError, match="not empty"):
        prepare(music, tmp_path / "full")
    (tmp_path / "full" / "file").rename(tmp_path / "full" / ".settings.json.partial")
    prepare(music, tmp_path / "full", "--resume")


def test_unrelated_hidden_files_are_kept(tmp_path):
    write_noise(tmp_path / "music" / "song.wav")
    output = tmp_path / "data"
    (output / ".git").mkdir(parents=True)
    with pytest.raises(ValueError, match="not empty"):
        prepare(tmp_path / "music", output)
    (output / ".git").rmdir()
    prepare(tmp_path / "music", output)
    (output / ".git" / ".x.partial").mkdir(parents=True)
    (output / ".gitattributes").write_text("*.flac filter=lfs")
    (output / ".htaccess").touch()
    for leftover in (".partial-abc.json", ".train.old", "tracks/.song.partial"):
        (output / leftover).mkdir()
    prepare(tmp_path / "music", output, "--resume")
    assert sorted(path.name for path in output.rglob(".*")) == [".git", ".gitattributes", ".htaccess", ".x.partial"]


def test_the_error_without_usable_tracks_has_the_reason(tmp_path):
    write_noise(tmp_path / "music" / "short.wav", 0.5)
    with pytest.raises(ValueError, match="None of 1 tracks .* short.wav is too short: .*`min_seconds`"):
        prepare(tmp_path / "music", tmp_path / "data")


def test_only_errors_of_the_track_itself_are_recorded(tmp_path, monkeypatch):
    write_noise(tmp_path / "music" / "song.wav")
    write_noise(tmp_path / "music" / "short.wav", 0.5)
    (tmp_path / "music" / "song.m4a").write_bytes(b"\0" * 100)
    prepare(tmp_path / "music", tmp_path / "data")
    errors = {line["path"]: line["error"] for line in read_lines(tmp_path / "data" / "errors.jsonl")}
    assert errors.keys() == {"short.wav", "song.m4a"}
    assert "too short: 0.50 s, but `min_seconds` is 1 s" in errors["short.wav"] and "torchaudio" in errors["song.m4a"]

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("diffusers_jasco.data.preparation.track._write_clips", full)
    with pytest.raises(OSError, match="No space"):
        prepare(tmp_path / "music", tmp_path / "other")
    monkeypatch.undo()
    prepare(tmp_path / "music", tmp_path / "other", "--resume")
    assert read_all(tmp_path / "other" / "tracks") == read_all(tmp_path / "data" / "tracks")


def test_small_collections_are_all_for_training(tmp_path, warnings):
    for name, seconds in (("a", 6.0), ("b", 3.0), ("c", 3.0), ("d", 3.0)):
        write_noise(tmp_path / "music" / f"{name}.wav", seconds)
    prepare(tmp_path / "music", tmp_path / "data")
    summary = json.loads((tmp_path / "data" / "summary.json").read_text())
    assert summary["clips"] == {"train": 5}
    assert "4 tracks are too few to hold some out" in warnings.text and "--shares" in warnings.text
    steps = {"1": 5, "2": 2, "4": 1}
    assert summary["training"] == {"items": 5, "seconds_per_item": 3.0, "steps_per_epoch_by_batch_size": steps}
    warnings.clear()
    prepare(tmp_path / "music", tmp_path / "divided", "--shares", 0.5, 0.5, 0, 0)
    assert json.loads((tmp_path / "divided" / "summary.json").read_text())["clips"].keys() == {"train", "validation"}
    assert "too few" not in warnings.text


def test_shares_are_checked_first(tmp_path):
    write_noise(tmp_path / "music" / "a.wav")
    with pytest.raises(ValueError, match="sum to 1"):
        prepare(tmp_path / "music", tmp_path / "data", "--shares", 0.5, 0.1, 0.1, 0.1)
    assert not (tmp_path / "data").exists()


def test_extra_fields_of_a_manifest_are_kept_or_reported(tmp_path, warnings):
    write_noise(tmp_path / "music" / "a.wav")
    write_noise(tmp_path / "music" / "drums.wav")
    line = {"file_name": "a.wav", "caption": "slow", "bpm": 120, "mood": "calm", "duration": 99.0, "start": 7}
    line |= {"sections": [0.0, 0.5], "drums": "drums.wav"}
    (tmp_path / "music" / "metadata.jsonl").write_text(json.dumps(line) + "\n")
    prepare(tmp_path / "music", tmp_path / "data", "--drums", "auto")
    (clip,) = read_lines(tmp_path / "data" / "train" / "metadata.jsonl")
    assert (clip["bpm"], clip["mood"], clip["caption"]) == (120, "calm", "slow")
    assert (clip["start"], clip["duration"]) == (0.0, 2.0), "values of the clip take precedence"
    assert clip["stems"].keys() == {"drums"}
    kept, dropped = (record.message for record in warnings.records if "The manifest" in record.message)
    assert "bpm, mood, start" in kept and "sections" in dropped and "duration" not in kept + dropped
