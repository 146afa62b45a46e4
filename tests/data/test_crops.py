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

from diffusers_jasco import load_audio
from diffusers_jasco.audio.recordings import Recording
from diffusers_jasco.audio.resampling import resample
from diffusers_jasco.data.crops import AudioCrops, open_tracks


def write(path, seconds: float, rate: int, channels: int = 1, seed: int = 0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate)) / rate
    noise = 0.05 * np.random.default_rng(seed).standard_normal((len(time), channels))
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * (200 + 40 * time) * time)[:, None] + noise, rate, **options)


def load_mono(path, rate: int) -> torch.Tensor:
    waveform, file_rate = load_audio(path)
    return resample(waveform.mean(dim=0, keepdim=True), file_rate, rate)


@pytest.mark.parametrize(
    "name, rate, channels",
    [
        ("a.wav", 16000, 1),
        ("a.flac", 44100, 2),
        ("a.ogg", 22050, 1),
        ("a.mp3", 48000, 2),
        ("a.aiff", 11025, 6),
        ("a.wav", 8000, 1),
    ],
)
@pytest.mark.parametrize("start", [0, 1, 31337, 79000, 79999])
def test_partial_reads_match_the_whole_recording(tmp_path, name, rate, channels, start):
    # Ogg Vorbis: extra length, because libsndfile seeks in the last page only to within a few milliseconds.
    write(tmp_path / name, 7.0 if name == "a.ogg" else 5.0, rate, channels)
    expected = load_mono(tmp_path / name, 16000)[:, start : start + 4000]
    audio = Recording(tmp_path / name).read(start, start + expected.shape[-1], 16000)
    torch.testing.assert_close(audio, expected, atol=2e-6, rtol=0)


def test_crops_of_long_files_read_only_a_part(tmp_path, monkeypatch):
    write(tmp_path / "long.flac", 60.0, 8000)
    frames = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda self, n, **kw: frames.append(n) or read(self, n, **kw))
    crops = AudioCrops(open_tracks(tmp_path), 4000, 4000)
    assert len(crops) == 60
    crops[7]
    assert sum(frames) < 3 * 8000


def test_crops_depend_on_seed_epoch_and_item(tmp_path):
    write(tmp_path / "a.wav", 4.0, 8000)
    write(tmp_path / "b/c.wav", 2.5, 8000, seed=1)
    crops, same, other = (AudioCrops(open_tracks(tmp_path), 8000, 8000, seed=seed) for seed in (0, 0, 1))
    assert len(crops) == 4 + 2
    items = [crops[index]["audio"] for index in range(6)]
    assert all(item.shape == (1, 8000) for item in items)
    assert all(torch.equal(item, same[index]["audio"]) for index, item in enumerate(items))
    assert not torch.equal(items[0], other[0]["audio"]) and not torch.equal(items[0], items[1])
    same.set_epoch(1)
    assert not torch.equal(items[0], same[0]["audio"])
    assert sorted(crops.sample(99)) == list(range(6)) and crops.sample(3) == same.sample(3) == crops.sample(99)[:3]


def test_short_recordings_are_padded(tmp_path):
    write(tmp_path / "short.wav", 0.5, 8000)
    crops = AudioCrops(open_tracks(tmp_path), 8000, 8000)
    assert len(crops) == 1 and crops.read(0).shape == (1, 4000)
    audio = crops[0]["audio"]
    assert audio.shape == (1, 8000) and audio[:, :4000].any() and not audio[:, 4000:].any()
    with pytest.raises(IndexError):
        crops[1]


def test_drum_stems_of_a_manifest(tmp_path):
    for name, seed in (("audio/0.flac", 0), ("audio/1.flac", 1), ("stems/0.flac", 2)):
        write(tmp_path / name, 1.0, 8000, seed=seed)
    lines = [{"file_name": "audio/0.flac", "stems": {"drums": "stems/0.flac"}}, {"file_name": "audio/1.flac"}]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    crops = AudioCrops(open_tracks(tmp_path), 8000, 8000, drums_share=1.0)
    assert [crops.has_drums(index) for index in range(2)] == [True, False]
    assert torch.equal(crops[0]["audio"], load_mono(tmp_path / "stems/0.flac", 8000))
    assert torch.equal(crops[1]["audio"], load_mono(tmp_path / "audio/1.flac", 8000))
    crops = AudioCrops(open_tracks(tmp_path), 8000, 8000, drums_share=0.5)
    drums = 0
    for epoch in range(100):
        crops.set_epoch(epoch)
        drums += torch.equal(crops[0]["audio"], load_mono(tmp_path / "stems/0.flac", 8000))
    assert 35 < drums < 65


def test_unreadable_files_are_named(tmp_path):
    write(tmp_path / "good.wav", 1.0, 8000)
    (tmp_path / "bad.mp3").write_bytes(b"no audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    with pytest.raises(ValueError, match="2 of 3 recordings.*bad.mp3.*empty.wav.*prepare_dataset"):
        open_tracks(tmp_path)


def test_truncated_files_and_infinite_values(tmp_path):
    write(tmp_path / "a.flac", 3.0, 8000)
    crops = AudioCrops(open_tracks(tmp_path), 8000, 24000)
    write(tmp_path / "a.flac", 1.0, 8000)
    with pytest.raises(ValueError, match="a.flac is truncated after 1.00 of 3.00 s"):
        crops[0]
    soundfile.write(tmp_path / "a.wav", np.array([0.0, np.inf, 0.0]), 8000, subtype="FLOAT")
    with pytest.raises(ValueError, match="a.wav.*not finite"):
        AudioCrops(open_tracks(tmp_path), 8000, 8000)[1]
