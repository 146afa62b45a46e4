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
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffusers_jasco.controls.chord_labels import default_chord_labels
from diffusers_jasco.data.preparation.batch import process_tracks
from diffusers_jasco.data.preparation.chord_files import fit_vocabulary, read_chords_per_track, read_track_chords
from diffusers_jasco.data.sources import Source, find_sources
from diffusers_jasco.inputs import read_melody
from diffusers_jasco.loaders.audiocraft.files import read_chord_labels

from ..conftest import run_script


RATE = 22050
CHORDS = [("C", 0.0), ("Am7", 1.5), ("Zm", 3.0)]


def write_tone(path: Path, *keys: int, seconds: float = 3.0):
    time = np.arange(round(seconds * RATE)) / RATE
    harmonics = [np.sin(2 * np.pi * n * 440 * 2 ** ((key - 69) / 12) * time) / n for key in keys for n in range(1, 6)]
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.sum(harmonics, axis=0), RATE)


@pytest.fixture
def music(tmp_path):
    """Two tracks, an invalid audio file, and a text file."""
    folder = tmp_path / "my müsic"
    write_tone(folder / "c major.wav", 48, 60, 64, 67)
    write_tone(folder / "album" / "a.minor.flac", 45, 57, 60, 64)
    (folder / "broken.wav").write_text("not audio")
    (folder / "notes.txt").write_text("hello")
    return folder


def test_tracks_are_found_and_named(music, tmp_path):
    sources = find_sources(music)
    assert [source.name for source in sources] == ["album/a.minor.flac", "broken.wav", "c major.wav"]
    assert [source.track for source in sources] == ["a.minor", "broken", "c major"]
    assert Source("v1.2", "v1.2").track == "v1.2"
    (single,) = find_sources(music / "c major.wav")
    assert single == Source(str(music / "c major.wav"), "c major.wav")
    with pytest.raises(FileNotFoundError, match="no folder"):
        find_sources(tmp_path / "absent")
    with pytest.raises(ValueError, match="no audio in"):
        (tmp_path / "empty").mkdir()
        find_sources(tmp_path / "empty")


def test_lists_of_tracks(tmp_path):
    (tmp_path / "list.txt").write_text("/abs/a.wav\n\nb c.wav\n")
    assert [source.url for source in find_sources(tmp_path / "list.txt")] == ["/abs/a.wav", str(tmp_path / "b c.wav")]
    (tmp_path / "data.jsonl").write_text(json.dumps({"path": "/abs/a.wav", "duration": 3.0}) + "\n")
    (source,) = find_sources(tmp_path / "data.jsonl")
    assert (source.url, source.info["duration"]) == ("/abs/a.wav", 3.0)
    (tmp_path / "data.jsonl").write_text('{"path": "a.wav"}\n{"duration": 3.0}\n')
    with pytest.raises(ValueError, match="line 2 has neither `path` nor `file_name`"):
        find_sources(tmp_path / "data.jsonl")
    for drums in ({"drums": "loop.groove.json"}, {"stems": {"drums": "loop.groove.json"}}):
        (tmp_path / "data.jsonl").write_text(json.dumps({"path": "a.wav"} | drums))
        with pytest.raises(ValueError, match="line 1: the drums of a track have to be a recording"):
            find_sources(tmp_path / "data.jsonl")
    (tmp_path / "list.bin").write_bytes(b"\xff\x00")
    with pytest.raises(ValueError, match="list.bin is neither a manifest"):
        find_sources(tmp_path / "list.bin")


def test_duplicate_track_names(tmp_path):
    with pytest.raises(ValueError, match="have the same name"):
        tracks = [Source(name, name) for name in ("a/x.wav", "b/x.flac")]
        process_tracks(tracks, tmp_path, ".json", lambda track, file: None)


def test_extract_chords_and_build_chord_map(music, tmp_path):
    (music / "list.jsonl").write_text("c major.wav\nalbum/a.minor.flac\nbroken.wav\n")
    output = tmp_path / "chords"
    options = ("--src_jsonl_file", music / "list.jsonl", "--target_output_dir", output, "--method", "builtin")
    run_script("extract_chords", *options)
    assert sorted(path.name for path in output.iterdir()) == [
        "a.minor.chords.json",
        "c major.chords.json",
        "errors.jsonl",
    ]
    error = json.loads((output / "errors.jsonl").read_text())
    assert error["path"].endswith("broken.wav") and "can't be read as audio" in error["error"]
    assert "C" in [label for label, _ in read_track_chords(output / "c major.chords.json")]
    assert "Am" in [label for label, _ in read_track_chords(output / "a.minor.chords.json")]

    # Existing files are kept.
    (output / "c major.chords.json").write_text(json.dumps(CHORDS[:2]))
    run_script("extract_chords", *options)
    assert read_track_chords(output / "c major.chords.json") == CHORDS[:2]

    run_script("build_chord_map", "--chords_folder", output, "--output_directory", tmp_path / "data")
    assert read_chord_labels(tmp_path / "data/chord_to_index_mapping.json") == default_chord_labels()
    tracks = read_chords_per_track(tmp_path / "data")
    assert tracks.keys() == {"c major", "a.minor"} and tracks["c major"] == CHORDS[:2]


def test_labels_outside_the_map_are_counted(tmp_path, capsys):
    chords = tmp_path / "chords"
    chords.mkdir()
    (chords / "a.chords.json").write_text(json.dumps(CHORDS))
    # AudioCraft's format of a track.
    (chords / "b.chords").write_bytes(pickle.dumps(CHORDS))
    run_script("build_chord_map", "--chords_folder", chords)
    assert read_chord_labels(chords / "chord_to_index_mapping.json") == ["Am7", "C", "Zm", "UNK"]
    assert "UNK" not in capsys.readouterr().out.partition("2 tracks")[0]

    # AudioCraft's format of a map.
    (tmp_path / "map.pkl").write_bytes(pickle.dumps({"C": 0, "Am7": 1, "UNK": 2}))
    output = tmp_path / "mapped"
    run_script(
        "build_chord_map",
        *("--chords_folder", chords, "--output_directory", output, "--path_to_pre_defined_map", tmp_path / "map.pkl"),
    )
    assert read_chords_per_track(output)["b"] == [("C", 0.0), ("Am7", 1.5), ("UNK", 3.0)]
    assert "Zm: 2 × UNK" in capsys.readouterr().out


def test_chords_are_respelled_for_the_map(tmp_path):
    chords = [("Db", 0.0), ("A:min7", 1.0), ("C/E", 2.0), ("Csus4", 3.0), ("N.C.", 4.0), ("Am7", 5.0)]
    labels = ["N", "C#", "Am7", "C", "UNK"]
    fitted, unknown = fit_vocabulary(chords, labels)
    assert [label for label, _ in fitted] == ["C#", "Am7", "UNK", "UNK", "N", "Am7"]
    assert unknown == {"C/E": 1, "Csus4": 1} and [start for _, start in fitted] == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="neither C/E, Csus4 nor UNK"):
        fit_vocabulary(chords, labels[:-1])
    assert fit_vocabulary(chords[:2], labels[:-1])[0] == [("C#", 0.0), ("Am7", 1.0)]

    (tmp_path / "a.chords.json").write_text(json.dumps(chords[:3]))
    run_script("build_chord_map", "--chords_folder", tmp_path, "--output_directory", tmp_path / "data")
    assert read_chord_labels(tmp_path / "data/chord_to_index_mapping.json") == default_chord_labels()
    assert read_chords_per_track(tmp_path / "data")["a"] == [("C#", 0.0), ("Am7", 1.0), ("C/E", 2.0)]


def test_pickles_of_audiocraft_are_read_as_plain_data(tmp_path):
    (tmp_path / "combined_chord_dict.pkl").write_bytes(pickle.dumps({"a": CHORDS}))
    assert read_chords_per_track(tmp_path) == {"a": CHORDS}
    (tmp_path / "combined_chord_dict.pkl").write_bytes(pickle.dumps({"a": Path("x")}))
    with pytest.raises(ValueError, match="can't be read as plain data"):
        read_chords_per_track(tmp_path)
    for value in ({"C": 0.0}, [["C"]], [[0.0, "C"]]):
        (tmp_path / "bad.chords.json").write_text(json.dumps(value))
        with pytest.raises(ValueError, match="bad.chords.json: chord"):
            read_track_chords(tmp_path / "bad.chords.json")
    with pytest.raises(FileNotFoundError, match="no chords in"):
        (tmp_path / "empty").mkdir()
        read_chords_per_track(tmp_path / "empty")


def test_extract_melody(music, tmp_path):
    output = tmp_path / "melody"
    for shard in (0, 1):
        run_script("extract_melody", "--src_dir", music, "--out_dir", output, "--n_shards", 2, "--shard", shard)
    names = sorted(path.name for path in output.iterdir())
    assert names == [
        "a.minor_multif0_salience.npz",
        "c major_multif0_salience.npz",
        "errors_1.jsonl",
        "tracks_0.txt",
        "tracks_1.txt",
    ]
    assert (output / "tracks_0.txt").read_text().splitlines() == [
        str(music / "album/a.minor.flac"),
        str(music / "c major.wav"),
    ]
    with np.load(output / "c major_multif0_salience.npz") as arrays:
        assert arrays["salience"].shape == (53, 259) and arrays["salience"].dtype == np.float16
        assert arrays["times"].shape == (259,) and arrays["freqs"].shape == (53,)
        assert ((arrays["salience"] == 0) | (arrays["salience"] >= 0.5)).all()
    assert read_melody(output / "c major_multif0_salience.npz", 150, 50.0).any()
    with pytest.raises(ValueError, match="--shard has to be from 0 to 1"):
        run_script("extract_melody", "--src_dir", music, "--out_dir", output, "--n_shards", 2, "--shard", 2)


def test_separate_drums(music, tmp_path):
    run_script("separate_drums", "--src_dir", music, "--out_dir", tmp_path / "drums", "--method", "builtin")
    names = sorted(path.name for path in (tmp_path / "drums").iterdir())
    assert names == ["a.minor.drums.flac", "c major.drums.flac", "errors.jsonl"]
    assert soundfile.info(tmp_path / "drums/c major.drums.flac").duration == pytest.approx(3.0, abs=1e-3)


def test_chord_annotations(tmp_path):
    (tmp_path / "a.lab").write_text("0.0 2.5 C:maj\n2.5 5.0 A:min\n")
    (tmp_path / "b.chords.json").write_text(json.dumps([["G", 0.0]]))
    (tmp_path / "b.lab").write_text("0.0 2.5 D:maj\n")
    assert read_chords_per_track(tmp_path) == {"a": [("C:maj", 0.0), ("A:min", 2.5)], "b": [("G", 0.0)]}
    (tmp_path / "a.lab").write_text("0.0 2.5 C:maj\nx\n")
    with pytest.raises(ValueError, match="line 2 of .*a.lab"):
        read_chords_per_track(tmp_path)
