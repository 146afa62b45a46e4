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


import hashlib
import io
import json
import multiprocessing
import runpy
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco.controls.chord_labels import default_chord_labels, parse_chord
from diffusers_jasco.data import SyntheticMusic, to_datasets
from diffusers_jasco.data.synthetic import music as synthetic
from diffusers_jasco.data.synthetic.composition import SPLITS, compose, split_of
from diffusers_jasco.data.synthetic.styles import STYLES


SCRIPT = Path(__file__).parents[2] / "scripts/make_synthetic_dataset.py"


def make_music(split="train", size=100, **options):
    pytest.importorskip("tinysoundfont")
    options = {"duration": 3.0, "renderer": "tinysoundfont", "stems": True, **options}
    return SyntheticMusic(split, size, **options)


def digest(index: int) -> str:
    return hashlib.sha256(make_music()[index]["audio"].numpy().tobytes()).hexdigest()


@pytest.fixture(scope="module")
def items():
    music = make_music(subset="both")
    return [music[index] for index in range(12)]


def compose_many(split="train", subset="full", count=150):
    return [compose(split, subset, np.random.default_rng(seed), 20) for seed in range(count)]


@pytest.fixture(scope="module")
def pieces():
    return compose_many()


def test_the_mix_is_the_sum_of_its_stems(items):
    for item in items:
        total = torch.zeros_like(item["audio"])
        for stem in item["stems"].values():
            total += stem
        assert torch.equal(total, item["audio"])


def test_clips_do_not_depend_on_the_process_or_on_previous_clips():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(digest, [7]) == [digest(7)]
    assert digest(7) != digest(8)


def test_clips_do_not_depend_on_the_size_of_the_dataset():
    assert torch.equal(make_music(size=10)[3]["audio"], make_music(size=50)[3]["audio"])


def test_audio_has_valid_levels(items):
    for item in items:
        audio = item["audio"]
        assert audio.shape == (1, 3 * 16000) and audio.dtype == torch.float32
        assert audio.abs().max() <= 0.9501
        assert audio.mean().abs() < 0.01
        assert 0.02 < audio.std() < 0.3


def test_clips_can_start_on_a_downbeat():
    scores = {
        start: [make_music(start=start, duration=10.0).score(i) for i in range(40)]
        for start in ("random", "mixed", "downbeat")
    }
    on_downbeat = {
        start: sum(score.annotations["downbeats"][0] == 0.0 for score in group) for start, group in scores.items()
    }
    assert on_downbeat["random"] < 5 and on_downbeat["downbeat"] == 40 and 20 <= on_downbeat["mixed"] <= 34
    # The start is moved within the same piece, by less than a bar.
    for moved, score in zip(scores["downbeat"], scores["random"]):
        assert moved.annotations["tempo"] == score.annotations["tempo"]
        assert moved.annotations["downbeats"][1] - 1e-3 >= score.annotations["downbeats"][0]


def test_annotations_lie_within_the_clip(items):
    labels = default_chord_labels()
    for item in items:
        times = [time for _, time in item["chords"]]
        assert times[0] == 0 and times == sorted(times) and times[-1] < item["duration"]
        assert all(label in labels for label, _ in item["chords"])
        assert all(0 <= start < end <= item["duration"] for _, start, end in item["melody"])
        assert all(43 <= key <= 95 for key, _, _ in item["melody"])
        for first, second in zip(item["melody"], item["melody"][1:]):
            assert first[2] <= second[1]
        assert all(0 <= onset < item["duration"] for onset in item["drum_onsets"])
        assert bool(item["drum_onsets"]) == ("drums" in item["stems"])
        assert item["caption"] in item["captions"] and len(set(item["captions"])) >= 4
        json.dumps({key: value for key, value in item.items() if key not in ("audio", "stems")})


def test_drums_sound_at_their_onsets(items):
    item = next(item for item in items if len(item["drum_onsets"]) > 5)
    energy = item["stems"]["drums"][0].square()
    for onset in item["drum_onsets"]:
        if 0.1 < onset < 2.8:
            first = int(onset * 16000)
            assert energy[first - 64 : first + 800].sum() > 1e-4


def test_the_melody_sounds_at_its_pitch():
    music = make_music(subset="plain")
    item = next(item for item in map(music.__getitem__, range(20)) if item["melody"])
    key, start, end = max(item["melody"], key=lambda note: note[2] - note[1])
    tone = item["stems"]["lead"][0, int(start * 16000) : int(end * 16000)]
    spectrum = torch.fft.rfft(tone * torch.hann_window(len(tone)), 1 << 17).abs()
    frequencies = torch.fft.rfftfreq(1 << 17, 1 / 16000)
    expected = 440 * 2 ** ((key - 69) / 12)
    # In some instruments, the fundamental is softer than the overtones.
    harmonics = [spectrum[(frequencies - multiple * expected).abs() < 0.02 * expected].max() for multiple in (1, 2, 3)]
    assert max(harmonics) > 0.5 * spectrum.max()


def test_all_chords_of_the_vocabulary_occur(pieces):
    labels = {label for piece in pieces + compose_many("train", count=700) for label, _ in piece.chords}
    assert labels <= set(default_chord_labels()) - {"N", "UNK"}
    assert len(labels) >= 185


def test_plain_subset():
    for piece in compose_many(subset="plain"):
        assert piece.time_signature == "4/4" and piece.swing == 0.5
        for label, _ in piece.chords:
            chord = parse_chord(label)
            assert chord.bass == 0 and label.lstrip("ABCDEFG#b") in ("", "m", "7", "m7", "maj7", "dim") or "b" in label


def test_all_styles_meters_and_energies_occur(pieces):
    assert len(STYLES) >= 20
    assert len({piece.style.name for piece in pieces}) >= 20
    assert {piece.time_signature for piece in pieces} == {"4/4", "3/4", "6/8"}
    assert {piece.energy for piece in pieces} == {"calm", "medium", "energetic"}


def test_splits_do_not_share_progressions():
    def progressions(split):
        # Sequences of six chords, independent of the key.
        sequences = set()
        for piece in compose_many(split, count=120):
            chords = [parse_chord(label) for label, time in piece.chords]
            for i in range(len(chords) - 5):
                six = chords[i : i + 6]
                sequences.add(tuple(((chord.root - six[0].root) % 12, chord.intervals, chord.bass) for chord in six))
        return sequences

    test, train = progressions("test"), progressions("train")
    assert len(test & train) < 0.1 * len(test)


@pytest.mark.parametrize("streaming", [True, False])
def test_conversion_to_the_datasets_library(streaming, tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    music = make_music(size=4, duration=1.0)
    rows = list(to_datasets(music, streaming, num_shards=2))
    assert sorted(row["index"] for row in rows) == [0, 1, 2, 3]
    row, item = rows[0], music[rows[0]["index"]]
    samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
    assert rate == 16000 and np.abs(samples - item["audio"][0].numpy()).max() < 1e-6
    assert [(chord["label"], chord["start"]) for chord in row["chords"]] == item["chords"]
    assert row["caption"] == item["caption"] and row["soundfont_sha256"] == item["soundfont_sha256"]


def test_material_belongs_to_one_split():
    shares = np.unique([split_of((seed, "material")) for seed in range(2000)], return_counts=True)
    assert dict(zip(*shares)).keys() == set(SPLITS)
    counts = dict(zip(*map(list, shares)))
    assert 0.76 < counts["train"] / 2000 < 0.84


def test_errors():
    with pytest.raises(ValueError, match="split.*train, validation, test"):
        make_music(split="dev")
    with pytest.raises(ValueError, match="subset"):
        make_music(subset="easy")
    with pytest.raises(FileNotFoundError, match="nothing.sf2"):
        make_music(soundfonts=["nothing.sf2"])
    with pytest.raises(IndexError):
        make_music(size=3)[3]


def test_the_script_writes_and_resumes(tmp_path):
    pytest.importorskip("tinysoundfont")
    run = runpy.run_path(str(SCRIPT))["main"]
    options = ["--renderer", "tinysoundfont", "--duration", "1", "--num_workers", "0"]
    options += ["--num_clips", "3", "--subset", "both", "--output"]
    run([*options, str(tmp_path / "whole")])
    lines = (tmp_path / "whole/metadata.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 3

    # The state after a run that was killed while writing its second line.
    stopped = tmp_path / "stopped"
    run([*options, str(stopped)])
    (stopped / "metadata.jsonl").rename(stopped / "metadata.jsonl.part")
    (stopped / "metadata.jsonl.part").write_text(lines[0] + lines[1][:50])
    run([*options, str(stopped)])
    assert (stopped / "metadata.jsonl").read_text() == "".join(lines)

    item, line = make_music(duration=1.0, subset="both", size=3)[1], json.loads(lines[1])
    audio, rate = soundfile.read(tmp_path / "whole" / line["file_name"], dtype="float32")
    assert rate == 16000
    assert np.abs(audio - item["audio"][0].numpy()).max() < 1e-4
    assert line["chords"] == [list(chord) for chord in item["chords"]]

    with pytest.raises(ValueError, match="other settings .seed."):
        run([*options, str(stopped), "--seed", "1"])


@pytest.mark.slow
def test_a_killed_worker_ends_the_script_with_one_line(tmp_path):
    pytest.importorskip("tinysoundfont")
    psutil = pytest.importorskip("psutil")
    options = ["--renderer", "tinysoundfont", "--duration", "1", "--num_workers", "1", "--num_clips", "2000"]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, *options, "--output", tmp_path], stderr=subprocess.PIPE, text=True
    )
    try:
        lines = tmp_path / "metadata.jsonl.part"
        for _ in range(600):
            if lines.exists() and lines.stat().st_size:
                break
            time.sleep(0.1)
        workers = [
            child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())
        ]
        workers[0].kill()
        error = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 2
    assert (
        "make_synthetic_dataset: A process was killed" in error
        and "resumes the run" in error
        and "Traceback" not in error
    )


def test_drum_machines_play_the_same_beat(monkeypatch):
    music = make_music(subset="full")
    kits, machines = [], []
    for share, items in ((0.0, kits), (1.0, machines)):
        monkeypatch.setattr(synthetic, "_DRUM_MACHINES", share)
        items.extend(music[index] for index in range(4))
    for kit, machine in zip(kits, machines):
        assert kit["drum_onsets"] == machine["drum_onsets"] and kit["stems"].keys() == machine["stems"].keys()
        if kit["drum_onsets"]:
            energy = machine["stems"]["drums"][0].square()
            assert not torch.allclose(kit["stems"]["drums"], machine["stems"]["drums"], atol=0.01)
            for onset in kit["drum_onsets"]:
                sample = round(onset * machine["sampling_rate"])
                assert energy[sample : sample + 1600].sum() > 1e-3
    assert any(kit["drum_onsets"] for kit in kits)


@pytest.mark.parametrize(
    "num_clips, num_cpus, expected", [(8, 16, 0), (63, 16, 0), (64, 16, 2), (6000, 16, 16), (6000, 1, 0)]
)
def test_few_clips_are_rendered_without_worker_processes(num_clips, num_cpus, expected):
    choose = runpy.run_path(str(SCRIPT))["choose_num_workers"]
    assert choose(num_clips, num_cpus) == expected
