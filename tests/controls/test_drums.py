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
import torch

from diffusers_jasco.audio.resampling import resample
from diffusers_jasco.inputs import is_drums, read_drums


RATE = 32000


def noise(channels, seconds, rate):
    return torch.randn(channels, int(seconds * rate), generator=torch.Generator().manual_seed(1)) / 10


def test_any_rate_channels_and_length(tmp_path):
    for channels, seconds, rate in ((1, 1.0, RATE), (2, 0.5, 44100), (6, 1.7, 8000)):
        waveform = noise(channels, seconds, rate)
        path = tmp_path / "drums.wav"
        soundfile.write(path, waveform.T.numpy(), rate, subtype="FLOAT")
        expected = torch.zeros(1, RATE)
        mono = resample(waveform, rate, RATE).mean(dim=0)[:RATE]
        expected[0, : len(mono)] = mono
        for drums in (path, str(path), (waveform, rate), {"array": waveform.numpy(), "sampling_rate": rate}):
            assert torch.equal(read_drums(drums, RATE, RATE), expected)


@pytest.mark.parametrize("rate", [1, 7, 44100, 999983])
def test_only_the_required_samples_are_resampled(rate):
    # Only the beginning is resampled, with a margin. The result has to equal that of the whole recording.
    recording = noise(1, 2.5 + 500 / rate, rate)
    whole = resample(recording, rate, RATE)[:, :RATE]
    assert torch.equal(read_drums((recording, rate), RATE, RATE), whole)


def test_cutting_causes_a_warning(warnings):
    read_drums((noise(1, 0.5, RATE), RATE), RATE, RATE)
    assert not warnings.records
    read_drums((noise(1, 1.25, RATE), RATE), RATE, RATE)
    assert "the last 0.25 s of drums are not used" in warnings.text


def test_one_recording_or_one_per_prompt():
    wave = np.zeros(10, dtype=np.float32)
    for recording in (
        "a.wav",
        (wave, RATE),
        (torch.zeros(10), RATE),
        ([0.0], RATE),
        {"array": wave, "sampling_rate": RATE},
    ):
        assert is_drums(recording)
    for other in (["a.wav"], [None, (wave, RATE)], ("a.wav", "b.wav"), (None, "b.wav"), [], None, 3):
        assert not is_drums(other)


def test_errors_for_invalid_recordings_name_the_argument():
    for drums in (3, None, (np.full(3, np.nan), RATE), (np.zeros(3), -1), {"array": 1}):
        with pytest.raises(ValueError, match="`drums`"):
            read_drums(drums, RATE, RATE)
    with pytest.raises(FileNotFoundError, match="`drums`"):
        read_drums("absent.wav", RATE, RATE)
