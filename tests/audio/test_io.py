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

import math

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco import export_audio, load_audio
from diffusers_jasco.audio.loudness import PEAK_CEILING
from diffusers_jasco.audio.resampling import resample, resample_stream


RATE = 32000


def tone(frequency=440.0, seconds=1.0, rate=RATE, level=0.5):
    return level * torch.sin(2 * math.pi * frequency * torch.arange(int(seconds * rate)) / rate)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_files_arrays_tuples_and_dictionaries_are_equivalent(tmp_path, suffix):
    stereo = torch.stack([tone(), tone(660)])
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, stereo.T.numpy(), RATE)
    tolerance = 0.05 if suffix == ".ogg" else 1e-4
    for audio in (
        path,
        str(path),
        (stereo, RATE),
        (stereo.numpy(), float(RATE)),
        {"array": stereo, "sampling_rate": RATE},
    ):
        waveform, rate = load_audio(audio)
        assert rate == RATE and waveform.dtype == torch.float32
        torch.testing.assert_close(waveform, stereo, atol=tolerance, rtol=0)
    assert load_audio((tone(), RATE))[0].shape == (1, RATE)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint8, np.float64])
def test_integers_are_scaled(dtype):
    wave = tone().numpy()
    array = wave.astype(dtype)
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        offset = (info.max + 1) // 2 if info.min == 0 else 0
        array = (wave * (info.max - offset) + offset).astype(dtype)
    torch.testing.assert_close(load_audio((array, RATE))[0][0], tone(), atol=0.02, rtol=0)


INVALID = [
    (None, "is a NoneType"),
    (3, "is a int"),
    ([1, 2, 3], "is a list"),
    ({"array": [0.0]}, "keys 'array' and 'sampling_rate'"),
    ((tone(), 0), "rate of `x` has to be a positive whole number"),
    ((tone(), 44100.5), "whole number"),
    ((tone(), math.nan), "whole number"),
    ((tone(), None), "whole number"),
    ((torch.zeros(0), RATE), "empty"),
    ((torch.zeros(2, 2, 3), RATE), r"\(samples,\) or \(channels, samples\)"),
    ((torch.zeros(32000, 9), RATE), r"shape \(32000, 9\)"),
    ((torch.zeros(()), RATE), "shape"),
    ((torch.tensor([0.0, math.nan]), RATE), "not finite"),
    ((torch.tensor([0.0, math.inf]), RATE), "not finite"),
    ((np.array([1 + 1j]), RATE), "real numbers"),
    ((torch.eye(3).to_sparse(), RATE), "real numbers"),
    ((torch.zeros(3, device="meta"), RATE), "real numbers"),
    ((torch.zeros(3, dtype=torch.bool), RATE), "real numbers"),
    (("abc", RATE), "waveform of `x`"),
    (([[1.0], [1.0, 2.0]], RATE), "real numbers"),
    (("C:\0", RATE), "waveform of `x`"),
    ("a\0b.wav", None),
]


@pytest.mark.parametrize("audio, message", INVALID)
def test_errors_for_invalid_audio(audio, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        load_audio(audio, name="x")
    assert "`x`" in str(error.value)


def test_errors_for_invalid_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="`drums`: the file absent.wav does not exist"):
        load_audio("absent.wav", name="drums")
    with pytest.raises(ValueError, match="is a folder"):
        load_audio(tmp_path)
    for content in (b"", b"RIFF nothing", b"text"):
        (tmp_path / "a.wav").write_bytes(content)
        with pytest.raises(ValueError, match="can't be read as audio"):
            load_audio(tmp_path / "a.wav")
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 1)), RATE)
    with pytest.raises(ValueError, match="empty"):
        load_audio(tmp_path / "a.wav")


def test_a_header_that_claims_terabytes_does_not_crash(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros(4000), RATE)
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # the number of samples has 36 bits
    content[22:26] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    try:
        assert load_audio(path)[0].shape == (1, 4000)  # if the system overcommits memory
    except ValueError as error:
        assert "can't be read as audio" in str(error)


def test_numpy_views_and_byte_orders():
    wave = tone().numpy()
    for array in (wave[::-1][::-1], wave.astype(">f4"), np.stack([wave, wave], axis=1).T[0]):
        assert torch.equal(load_audio((array, RATE))[0][0], tone())
    torch.testing.assert_close(load_audio((wave[::-1], RATE))[0][0], tone().flip(0))


def test_mp3_files(tmp_path):
    path = tmp_path / "a.mp3"
    soundfile.write(path, torch.stack([tone(), tone(660)]).T.numpy(), RATE)
    waveform, rate = load_audio(path)
    assert rate == RATE and waveform.shape[0] == 2 and abs(waveform.shape[1] - RATE) < 0.1 * RATE
    spectrum = torch.fft.rfft(waveform[:, 4000:20000]).abs()  # bins of 2 Hz
    assert spectrum.argmax(dim=1).tolist() == [220, 330]


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
def test_resampling_equals_julius(rate):
    julius = pytest.importorskip("julius")
    noise = torch.randn(2, rate // 2, generator=torch.Generator().manual_seed(0))
    actual, expected = resample(noise, rate, RATE), julius.resample_frac(noise, rate, RATE)
    assert actual.shape == expected.shape
    assert (actual - expected).norm() / expected.norm() < 2e-5


@pytest.mark.parametrize("rates", [(32000, 44100), (44100, 32000), (32000, 32000), (24000, 48001)])
@pytest.mark.parametrize("sizes", [(1, 700), (5000, 3000), (20011, 333)])
def test_resampling_in_blocks(rates, sizes):
    noise = torch.randn(20011, generator=torch.Generator().manual_seed(0))
    blocks = list(resample_stream(noise.split(sizes[0]), len(noise), *rates, size=sizes[1]))
    assert all(len(block) == sizes[1] for block in blocks[:-1])
    torch.testing.assert_close(torch.cat(blocks), resample(noise, *rates), atol=5e-6, rtol=0)


def test_resampling_from_any_rate():
    # Rates without a small ratio must not require filters of gigabytes, and must not detune a tone.
    for rate in (44101, 31999, 999983, 7):
        assert resample(tone(seconds=1.0, rate=rate)[None], rate, RATE).shape[-1] == RATE
    torch.testing.assert_close(resample(tone(rate=44101), 44101, RATE)[100:-100], tone()[100:-100], atol=2e-3, rtol=0)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_export_round_trips(tmp_path, suffix):
    stereo = torch.stack([tone(), tone(660)])
    path = export_audio(stereo, tmp_path / f"a{suffix}", RATE)
    waveform, rate = load_audio(path)
    assert rate == RATE
    torch.testing.assert_close(waveform, stereo, atol=1e-6, rtol=0)
    export_audio(stereo[0].numpy(), path, RATE)
    assert load_audio(path)[0].shape == (1, RATE)
    assert [item.name for item in tmp_path.iterdir()] == [path.name], "no temporary file is left"


@pytest.mark.parametrize("level", [0.001, 0.05, 0.9, 3.0])
@pytest.mark.parametrize("frequency", [440, 5000])
def test_loudness_is_normalized(tmp_path, level, frequency):
    from torchaudio.functional import loudness

    audio = tone(frequency, seconds=2.0, level=level) * torch.linspace(0.5, 1, 2 * RATE)
    path = export_audio(audio, tmp_path / "a.wav", RATE, loudness=np.float32(-20.0))
    assert float(loudness(load_audio(path)[0], RATE)) == pytest.approx(-20.0, abs=0.1)


def test_loud_peaks_are_limited_and_the_rest_is_unchanged(tmp_path):
    # A quiet tone with one click, normalized to a high loudness.
    audio = tone(seconds=4.0, level=0.02)
    audio[64000:64010] = 1.0
    path = export_audio(audio, tmp_path / "a.wav", RATE, loudness=-20.0)
    written = load_audio(path)[0][0]
    assert written.abs().max() <= PEAK_CEILING + 1e-6
    far = torch.ones(len(audio), dtype=torch.bool)
    far[64000 - 2 * 160 - 1 : 64010 + 2 * 160] = False
    gains = written[far & (audio.abs() > 0.01)] / audio[far & (audio.abs() > 0.01)]
    assert gains.max() - gains.min() < 1e-3 and gains.mean() > 2, "the gain is constant away from the peak"


def test_export_warns_about_clipping_and_ignored_loudness(tmp_path, warnings):
    path = export_audio(tone(level=2.0), tmp_path / "a.wav", RATE)
    assert "samples reach 2.00" in warnings.text and load_audio(path)[0].abs().max() <= 1
    export_audio(torch.zeros(RATE), path, RATE, loudness=-14.0)
    assert "silent" in warnings.text and not load_audio(path)[0].any()
    export_audio(tone(seconds=0.1), path, RATE, loudness=-14.0)
    assert "less than 0.4 s" in warnings.text


def test_export_rejects_invalid_arguments(tmp_path):
    for arguments, message in (
        ((tone(), tmp_path / "a.aac", RATE), r"\.opus or \.mp3"),
        ((tone(), tmp_path / "a.wav", 0), "rate"),
        ((torch.tensor([math.nan]), tmp_path / "a.wav", RATE), "not finite"),
        ((tone(), tmp_path / "a.wav", RATE, 3.0), "`loudness`"),
        ((tone(), tmp_path / "a.wav", RATE, "loud"), "`loudness`"),
        ((tone(), None, RATE), "`path`"),
        ((torch.zeros(9, 100), tmp_path / "a.flac", RATE), "at most 8 channels"),
        ((tone(), tmp_path / "a.flac", 700_000), "655350 Hz"),
    ):
        with pytest.raises(ValueError, match=message):
            export_audio(*arguments)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        export_audio(tone(), tmp_path / "absent" / "a.wav", RATE)


def test_export_with_the_longest_file_name(tmp_path):
    assert export_audio(tone(), tmp_path / ("a" * 251 + ".wav"), RATE).is_file()
