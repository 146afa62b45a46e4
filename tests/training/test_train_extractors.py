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
import runpy
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco.evaluation.estimators.caption_model import CaptionModel
from diffusers_jasco.extraction import extract_melody, separate_drums
from diffusers_jasco.extraction.beat_model import BeatModel
from diffusers_jasco.extraction.drum_hit_model import DrumHitModel
from diffusers_jasco.extraction.drum_mask import DrumMaskModel
from diffusers_jasco.extraction.salience_model import SalienceModel

from ..conftest import run_script
from ..evaluation.clips import RATE, play_chords, play_drums
from ..extraction.weights import write_deep_salience_weights


def read_log(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def write_clips(folder, rate: int, seconds: float):
    """Writes two clips of a tone and clicks, with the clicks as stems."""
    (folder / "audio").mkdir(parents=True)
    (folder / "stems").mkdir()
    lines, rng = [], np.random.default_rng(0)
    time = np.arange(round(seconds * rate)) / rate
    for index, frequency in enumerate((220.0, 330.0)):
        clicks = 0.5 * rng.standard_normal(len(time)) * np.exp(-60 * (time % 0.4))
        tone = 0.2 * sum(np.sin(2 * np.pi * n * frequency * time) / n for n in range(1, 5))
        names = f"audio/{index}.flac", f"stems/{index}.flac"
        soundfile.write(folder / names[0], (clicks + tone).clip(-1, 1), rate)
        soundfile.write(folder / names[1], clicks.clip(-1, 1), rate)
        lines.append(json.dumps({"file_name": names[0], "stems": {"drums": names[1]}}) + "\n")
    (folder / "metadata.jsonl").write_text("".join(lines))


def test_drum_separator_learns(tmp_path):
    # Training can use what a separation in the same process has cached.
    separate_drums(torch.zeros(1, 3200), 32000, method="builtin")
    for split in ("train", "validation"):
        write_clips(tmp_path / "data" / split, 32000, 2.0)
    options = ("--dataset", tmp_path / "data", "--batch_size", 4, "--num_frames", 32, "--warmup_steps", 2)
    run_script("train_drum_separator", *options, "--output", tmp_path / "a", "--max_steps", 30, "--log_every", 15)
    first, last = read_log(tmp_path / "a")
    assert last["step"] == 30 and last["loss"] < first["loss"]
    # Then the lowest bins: the mask stays as it is.
    options += ("--init", tmp_path / "a")
    run_script("train_drum_separator", *options, "--output", tmp_path / "low", "--max_steps", 30, "--log_every", 15)
    first, both = read_log(tmp_path / "low")
    assert both["loss"] < first["loss"] and both["si_sdr"] > last["si_sdr"] + 5
    mask, model = (DrumMaskModel.from_pretrained(tmp_path / name).state_dict() for name in ("a", "low"))
    assert {name.split(".")[0] for name in mask if not torch.equal(mask[name], model[name])} == {"low"}

    # The same seed gives the same weights.
    for name in ("b", "c"):
        run_script("train_drum_separator", *options, "--output", tmp_path / name, "--max_steps", 3, "--log_every", 0)
    weights = [(tmp_path / name / "diffusion_pytorch_model.safetensors").read_bytes() for name in ("b", "c")]
    assert weights[0] == weights[1]

    with pytest.raises(ValueError, match=r"at least 3\.9 s, as examples have 200 frames"):
        run_script("train_drum_separator", *options, "--output", tmp_path / "x", "--num_frames", 200)


def test_random_kits_and_basses_play_the_notes():
    script = runpy.run_path(str(Path(__file__).parents[2] / "training" / "train_drum_separator.py"))
    rng = np.random.default_rng(0)
    hits = {voice: [script["synthesize_hit"](voice, rng) for _ in range(2)] for voice in script["HITS"]}
    assert all(np.isfinite(hit).all() and np.abs(hit).max() == 1 for own in hits.values() for hit in own)
    notes = [(0.25, 0.37, 36, 100), (0.75, 0.87, 38, 80), (0.75, 0.87, 49, 80)]
    for _ in range(5):
        audio = script["play_kit"](notes, hits, 32000, rng)
        assert np.abs(audio[:8000]).max() < 1e-6 and np.abs(audio[8000:9600]).max() > 0.01
        bass = script["play_bass"]([(0.25, 1.25, 45, 100)], 32000, rng)
        spectrum = np.abs(np.fft.rfft(bass[16000:] * np.hanning(16000)))
        assert not bass[:7990].any() and abs(np.argmax(spectrum) * 2 / 110 % 1 - 0.5) > 0.4, "A2 or a harmonic of it"


def test_hits_of_a_recorded_kit(tmp_path):
    script = runpy.run_path(str(Path(__file__).parents[2] / "training" / "train_drum_separator.py"))
    for microphone in ("front_mic", "oh_mic"):
        (tmp_path / microphone).mkdir()
        for name in ("ks_vl1_rr1", "ks_vl2_rr1", "ks_vl2_rr2", "sc_vl1_rr1", "se_vl1_rr1", "ss_vl1_rr1", "ht_vl1_rr1"):
            soundfile.write(tmp_path / microphone / f"{name}.wav", np.full((44100, 2), 0.25), 44100)
    with pytest.raises(ValueError, match="no files such as front_mic/hh_vl1_rr1.wav"):
        script["load_kit"](tmp_path)
    for name in ("ho_vl1_rr1", "tm_vl3_rr1"):
        soundfile.write(tmp_path / "oh_mic" / f"{name}.wav", np.full((44100, 2), 0.25), 44100)
    kit = script["load_kit"](tmp_path)
    counts = {"kick": 4, "snare": 4, "rim": 2, "hat": 2, "open hat": 1, "tom": 1}
    assert {voice: len(hits) for voice, hits in kit.items()} == counts
    assert all(hit.shape == (32000,) for hits in kit.values() for hit in hits)
    with pytest.raises(SystemExit):
        run_script("train_drum_separator", "--dataset", tmp_path, "--output", tmp_path / "x", "--kit", tmp_path)


def test_melody_extractor_learns_from_its_teacher(tmp_path):
    pytest.importorskip("librosa")
    extract_melody(torch.rand(1, 2205, generator=torch.Generator().manual_seed(0)), 22050, method="builtin")
    teacher = write_deep_salience_weights(tmp_path / "multif0.h5")
    for split in ("train", "validation"):
        write_clips(tmp_path / "data" / split, 22050, 1.0)
    options = (
        "--dataset",
        tmp_path / "data",
        "--weights",
        teacher,
        "--output",
        tmp_path / "run",
        "--taught_frames",
        80,
    )
    sizes = ("--batch_size", 2, "--num_frames", 64, "--warmup_steps", 2, "--max_steps", 20, "--log_every", 10)
    run_script("train_melody_extractor", *options, *sizes)
    first, last = read_log(tmp_path / "run")
    assert last["step"] == 20 and last["loss"] < first["loss"] and 0 <= last["frames_equal"] <= 1
    SalienceModel.from_pretrained(tmp_path / "run")

    # The teacher's output is cached and not computed again.
    cached = tmp_path / "run/teacher/train/0.npz"
    salience = np.load(cached)["salience"]
    assert salience.shape == (80, 53) and 0 <= salience.min() and salience.max() <= 1
    time = cached.stat().st_mtime_ns
    run_script("train_melody_extractor", *options, *sizes[:-4], "--max_steps", 1)
    assert cached.stat().st_mtime_ns == time

    with pytest.raises(ValueError, match="no FLAC files"):
        run_script("train_melody_extractor", "--dataset", tmp_path, "--weights", teacher, "--output", tmp_path / "x")


def test_beat_tracker_learns(tmp_path):
    for split in ("train", "validation"):
        (tmp_path / "data" / split).mkdir(parents=True)
        lines = []
        for index, interval in enumerate((0.4, 0.5)):
            beats = list(np.arange(0.1, 5.9, interval))
            soundfile.write(
                tmp_path / "data" / split / f"{index}.flac", play_drums(beats, 6.0, 22050)[0].numpy(), 22050
            )
            lines.append(json.dumps({"file_name": f"{index}.flac", "beats": beats, "downbeats": beats[::4]}) + "\n")
        (tmp_path / "data" / split / "metadata.jsonl").write_text("".join(lines))
    options = ("--dataset", tmp_path / "data", "--batch_size", 2, "--num_frames", 200, "--warmup_steps", 2)
    run_script("train_beat_tracker", *options, "--output", tmp_path / "a", "--max_steps", 30, "--log_every", 15)
    first, last = read_log(tmp_path / "a")
    assert last["step"] == 30 and last["loss"] < first["loss"] and last["validation"] < first["validation"]
    BeatModel.from_pretrained(tmp_path / "a")

    # The same seed gives the same weights.
    for name in ("b", "c"):
        run_script("train_beat_tracker", *options, "--output", tmp_path / name, "--max_steps", 3)
    weights = [(tmp_path / name / "diffusion_pytorch_model.safetensors").read_bytes() for name in ("b", "c")]
    assert weights[0] == weights[1]


def test_drum_transcriber_learns(tmp_path):
    pytest.importorskip("tinysoundfont")
    sizes = ("--num_clips", 6, "--num_validation_clips", 2, "--num_music", 2, "--duration", 2.0, "--kits", 0)
    options = ("--renderer", "tinysoundfont", *sizes, "--batch_size", 2, "--num_frames", 100, "--warmup_steps", 2)
    clips = ("--clips", tmp_path / "clips.safetensors")
    run_script(
        "train_drum_transcriber", *options, *clips, "--output", tmp_path / "a", "--max_steps", 30, "--log_every", 15
    )
    first, last = read_log(tmp_path / "a")
    assert last["step"] == 30 and last["loss"] < first["loss"] and 0 <= last["kick"] <= 1
    DrumHitModel.from_pretrained(tmp_path / "a")

    # The same seed gives the same weights.
    for name in ("b", "c"):
        run_script("train_drum_transcriber", *options, *clips, "--output", tmp_path / name, "--max_steps", 3)
    weights = [(tmp_path / name / "diffusion_pytorch_model.safetensors").read_bytes() for name in ("b", "c")]
    assert weights[0] == weights[1]


def test_caption_probe_learns(tmp_path):
    for split in ("train", "validation"):
        folder = tmp_path / "data" / split
        folder.mkdir(parents=True)
        lines = []
        for index in range(8):
            is_fast, onsets = index % 2, list(np.arange(0.1, 3.9, 0.3)) if index % 4 < 2 else []
            chords = [(label, 0.8 * n) for n, label in enumerate(["C", "F", "G", "Am", "F"])]
            audio = play_chords(chords, 4.0) + play_drums(onsets, 4.0, seed=index)
            soundfile.write(folder / f"{index}.flac", audio[0].numpy().clip(-1, 1), RATE)
            line = {"file_name": f"{index}.flac", "tempo": 140 if is_fast else 70, "drum_onsets": onsets}
            line |= {"style": "march" if is_fast else "waltz", "energy": "calm", "instruments": {"lead": "flute"}}
            lines.append(json.dumps(line) + "\n")
        (folder / "metadata.jsonl").write_text("".join(lines))
    options = ("--dataset", tmp_path / "data", "--batch_size", 8, "--num_frames", 100, "--warmup_steps", 2)
    run_script("train_caption_probe", *options, "--output", tmp_path / "a", "--max_steps", 40, "--log_every", 20)
    first, last = read_log(tmp_path / "a")
    assert last["step"] == 40 and last["loss"] < first["loss"] and last["drums"] == 1
    model = CaptionModel.from_pretrained(tmp_path / "a")
    assert model.config.answers["style"] == ["march", "waltz"] and model.config.answers["lead"] == ["flute"]

    # The same seed gives the same weights; missing annotations are an error.
    for name in ("b", "c"):
        run_script("train_caption_probe", *options, "--output", tmp_path / name, "--max_steps", 3)
    weights = [(tmp_path / name / "diffusion_pytorch_model.safetensors").read_bytes() for name in ("b", "c")]
    assert weights[0] == weights[1]
    line = json.loads((tmp_path / "data/train/metadata.jsonl").read_text().splitlines()[0])
    del line["tempo"]
    (tmp_path / "data/train/metadata.jsonl").write_text(json.dumps(line))
    with pytest.raises(ValueError, match="metadata.jsonl has no tempo"):
        run_script("train_caption_probe", *options, "--output", tmp_path / "x")
