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

import numpy as np
import pytest
import soundfile
import soxr
import torch

from diffusers_jasco.audio.stream import AudioStream
from diffusers_jasco.audio.waveforms import BLOCK_SECONDS


RATE = 8000


def make_noise(seconds: float, channels: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(channels, round(seconds * RATE), generator=torch.Generator().manual_seed(0))


def test_files_and_waveforms_yield_the_same_mono_blocks(tmp_path):
    waveform = make_noise(2.5 * BLOCK_SECONDS, channels=2)
    soundfile.write(tmp_path / "noise.wav", waveform.T.numpy(), RATE, subtype="FLOAT")
    streams = [AudioStream(tmp_path / "noise.wav", None, RATE), AudioStream(waveform, RATE, RATE)]
    streams.append(AudioStream({"array": waveform.numpy(), "sampling_rate": RATE}, None, RATE))
    for stream in streams:
        blocks = list(stream)
        assert [len(block) / RATE for block in blocks] == [BLOCK_SECONDS, BLOCK_SECONDS, BLOCK_SECONDS / 2]
        assert np.allclose(np.concatenate(blocks), waveform.mean(dim=0).numpy(), atol=1e-6)
        assert stream.duration == 2.5 * BLOCK_SECONDS


@pytest.mark.parametrize("before", [None, 0, 130])
@pytest.mark.parametrize("length", [1, 99, 100, 2000, 2050, round(1.3 * BLOCK_SECONDS * RATE)])
def test_frames_equal_those_of_the_whole_waveform(length, before):
    size, hop = 400, 100
    waveform = make_noise(length / RATE)
    frames = np.concatenate(list(AudioStream(waveform, RATE, RATE).frames(size, hop, before)))
    padded = np.pad(waveform[0].numpy(), (size // 2 if before is None else before, 2 * size))
    count = -(-length // hop)
    assert frames.shape == (count, size)
    assert np.array_equal(frames, np.stack([padded[hop * index : hop * index + size] for index in range(count)]))


def test_one_channel(tmp_path):
    stereo = np.stack([make_noise(1.0)[0].numpy(), np.zeros(RATE)], axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo, RATE, subtype="FLOAT")
    for channel in (0, 1):
        blocks = np.concatenate(list(AudioStream(tmp_path / "stereo.wav", None, RATE, channel)))
        assert np.array_equal(blocks, stereo[:, channel].astype(np.float32))


def test_resampling_in_blocks_equals_resampling_the_whole():
    waveform = make_noise(1.5 * BLOCK_SECONDS)
    blocks = np.concatenate(list(AudioStream(waveform, RATE, 11025)))
    assert np.allclose(blocks, soxr.resample(waveform[0].numpy(), RATE, 11025), atol=1e-4)


def test_errors_for_invalid_input(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        AudioStream(tmp_path / "absent.wav", None, RATE)
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(ValueError, match="can't be read as audio"):
        AudioStream(tmp_path / "text.wav", None, RATE)
    soundfile.write(tmp_path / "a.wav", np.zeros(10), RATE)
    with pytest.raises(ValueError, match="is only for waveforms"):
        AudioStream(tmp_path / "a.wav", RATE, RATE)
    with pytest.raises(ValueError, match="`sampling_rate` is missing"):
        AudioStream(torch.zeros(10), None, RATE)
    soundfile.write(tmp_path / "nan.wav", np.full(10, np.nan), RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match="not finite"):
        list(AudioStream(tmp_path / "nan.wav", None, RATE))


@pytest.mark.parametrize("format", ["wav", "aiff", "flac", "mp3"])
def test_truncated_files_are_rejected(tmp_path, format):
    soundfile.write(tmp_path / f"whole.{format}", make_noise(4.0)[0].numpy(), RATE)
    content = (tmp_path / f"whole.{format}").read_bytes()
    (tmp_path / f"cut.{format}").write_bytes(content[: len(content) // 2])
    assert sum(map(len, AudioStream(tmp_path / f"whole.{format}", None, RATE))) == pytest.approx(4 * RATE, abs=2000)
    with pytest.raises(ValueError, match="truncated"):
        list(AudioStream(tmp_path / f"cut.{format}", None, RATE))


def test_files_that_were_written_to_a_pipe(tmp_path):
    soundfile.write(tmp_path / "a.wav", make_noise(1.0)[0].numpy(), RATE)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[4:8] = content[40:44] = b"\xff" * 4
    (tmp_path / "a.wav").write_bytes(content)
    assert sum(map(len, AudioStream(tmp_path / "a.wav", None, RATE))) == RATE
