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

import pytest
import soundfile
import torch

from diffusers_jasco.audio.recordings import Recording
from diffusers_jasco.audio.resampling import resample


def make_noise(rate: int, seconds: float = 3.0) -> torch.Tensor:
    return 0.1 * torch.randn(2, int(rate * seconds), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("rate", [32000, 44100, 16000, 11025, 48000])
def test_a_part_equals_a_slice_of_the_resampled_whole(tmp_path, rate):
    noise = make_noise(rate)
    soundfile.write(tmp_path / "a.wav", noise.T.numpy(), rate, subtype="FLOAT")
    whole = resample(noise.mean(dim=0, keepdim=True), rate, 32000)
    for recording in (Recording(tmp_path / "a.wav"), Recording((noise, rate))):
        length = recording.length(32000)
        assert length == whole.shape[-1]
        for start, end in ((0, length), (0, 640), (12345, 54321), (length - 641, length), (50000, length)):
            part = recording.read(start, end, 32000)
            torch.testing.assert_close(part, whole[:, start:end], atol=1e-6, rtol=0)
    beyond = recording.read(length - 10, length + 10, 32000)
    assert beyond.shape == (1, 20) and not beyond[:, 10:].any()
    assert not recording.read(length + 1000, length + 1010, 32000).any()


@pytest.mark.parametrize("options", [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", None)])
def test_reading_from_the_middle(options):
    file = io.BytesIO()
    soundfile.write(file, make_noise(32000).T.numpy(), 32000, format=options[0], subtype=options[1])
    whole = torch.from_numpy(soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")[0]).mean(dim=1)
    torch.testing.assert_close(Recording(file.getvalue()).read(40000, 50000, 32000)[0], whole[40000:50000])


def test_only_the_required_bytes_are_read():
    file = io.BytesIO()
    soundfile.write(file, make_noise(32000, 60.0).T.numpy(), 32000, format="WAV")

    class Counted(io.BytesIO):
        count = 0

        def read(self, *size):
            content = super().read(*size)
            Counted.count += len(content)
            return content

        def readinto(self, buffer):
            count = super().readinto(buffer)
            Counted.count += count
            return count

    Recording(Counted(file.getvalue())).read(1_000_000, 1_032_000, 32000)
    assert 128_000 <= Counted.count < 400_000


def test_errors_name_files_that_are_not_audio(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.wav"):
        Recording(tmp_path / "absent.wav")
    (tmp_path / "a.wav").write_text("no audio")
    with pytest.raises(ValueError, match="a.wav can't be read"):
        Recording(tmp_path / "a.wav")
    with pytest.raises(ValueError, match="song.mp3 can't be read"):
        Recording(b"no audio", "song.mp3")
    soundfile.write(tmp_path / "b.flac", make_noise(32000).T.numpy(), 32000)
    content = (tmp_path / "b.flac").read_bytes()
    (tmp_path / "b.flac").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="b.flac"):
        Recording(tmp_path / "b.flac").read(0, 96000, 32000)


def test_urls(tmp_path):
    soundfile.write(tmp_path / "a.wav", make_noise(16000).T.numpy(), 16000)
    assert Recording((tmp_path / "a.wav").as_uri()).length(32000) == 96000
