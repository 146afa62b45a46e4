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

import array
import io
import math
from collections import UserDict
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco import load_audio
from diffusers_jasco.audio.io import open_audio
from diffusers_jasco.audio.levels import measure_levels, warn_of_silence
from diffusers_jasco.audio.loudness import LoudnessMeter, measure_loudness
from diffusers_jasco.audio.stream import AudioStream
from diffusers_jasco.audio.waveforms import is_waveform
from diffusers_jasco.utils.errors import EmptyInputError, InputError


RATE = 16000
STEREO = torch.stack([0.5 * torch.sin(torch.arange(RATE) * frequency) for frequency in (0.1, 0.2)])
INT16 = (STEREO * 32768).round().to(torch.int16)


class AudioDecoder:
    """Imitates the decoder of `datasets`: an object with items that is not a dictionary."""

    def get_all_samples(self):
        return SimpleNamespace(data=STEREO, pts_seconds=0.0, duration_seconds=1.0, sample_rate=RATE)

    def __getitem__(self, key):
        return {"array": STEREO.mean(dim=0).numpy(), "sampling_rate": RATE}[key]


class OnlyItems:
    def __getitem__(self, key):
        return {"array": STEREO.numpy(), "sampling_rate": RATE}[key]


class AudioSegment:
    """Imitates pydub."""

    frame_rate, channels, sample_width = RATE, 2, 2

    def get_array_of_samples(self):
        return array.array("h", INT16.T.flatten().tolist())


FORMS = {
    "tuple": (STEREO, RATE),
    "list": [STEREO, RATE],
    "NumPy rate": (STEREO.numpy(), np.int64(RATE)),
    "rate in an array": (STEREO, np.array([RATE])),
    "rate in a tensor": (STEREO, torch.tensor(float(RATE))),
    "swapped": (RATE, STEREO),
    "Gradio": (RATE, INT16.T.numpy()),
    "SciPy": [np.int32(RATE), INT16.T.numpy()],
    "numbers": (STEREO.tolist(), RATE),
    "dictionary": {"array": STEREO, "sampling_rate": RATE},
    "torchaudio": {"waveform": STEREO, "sample_rate": RATE},
    "Transformers": {"audio": STEREO.numpy(), "sampling_rate": RATE},
    "pipelines": {"raw": STEREO.numpy(), "sampling_rate": RATE},
    "mapping": UserDict(array=STEREO, sampling_rate=RATE, path="x.wav"),
    "AudioDecoder": AudioDecoder(),
    "items": OnlyItems(),
    "AudioSamples": SimpleNamespace(data=STEREO, sample_rate=RATE),
    "AudioSegment": AudioSegment(),
    "soundfile": (STEREO.T.numpy(), RATE),
    "soundfile, in a dictionary": {"array": STEREO.T.numpy(), "sampling_rate": RATE},
    "soundfile, as a mapping": UserDict(audio=STEREO.T.contiguous(), sample_rate=RATE),
    "ComfyUI": {"waveform": STEREO[None], "sample_rate": RATE},
    "a batch of one": (STEREO[None].numpy(), RATE),
}


@pytest.mark.parametrize("form", FORMS)
def test_waveforms_of_other_libraries_are_recognized(form):
    audio = FORMS[form]
    assert is_waveform(audio)
    waveform, rate = load_audio(audio)
    assert rate == RATE
    torch.testing.assert_close(waveform, STEREO, atol=1e-4, rtol=0)


def test_files_in_memory_are_recognized():
    file = io.BytesIO()
    soundfile.write(file, STEREO.T.numpy(), RATE, format="FLAC")
    for audio in (file, file.getvalue(), bytearray(file.getvalue()), {"bytes": file.getvalue(), "path": "a.mp3"}):
        assert is_waveform(audio)
        assert load_audio(audio)[0].shape == (2, RATE)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "song.wav",
        STEREO,
        STEREO.numpy(),
        [],
        {},
        3,
        [("C", 0.0), ("Am", 2.5)],
        ("C", 0.0),
        ["a.wav", "b.wav"],
        [(STEREO, RATE), (STEREO, RATE)],
        [None, (STEREO, RATE)],
        (STEREO, STEREO),
        [(60, 0.0, 1.0), (62, 1.0, 2.0)],
        {"chord": "C", "start": 0},
        (STEREO, RATE, 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_values_are_not_waveforms(value):
    assert not is_waveform(value)


def scaled(bits: int, dtype) -> np.ndarray:
    values = np.round(STEREO.double().numpy() * 2 ** (bits - 1))
    return (values + (128 if bits == 8 else 0)).astype(dtype)


@pytest.mark.parametrize(
    "bits, dtype", [(16, np.int16), (32, np.int32), (8, np.uint8), (16, ">i2"), (8, torch.uint8), (16, torch.int16)]
)
def test_integers_are_scaled_without_a_warning(bits, dtype, warnings):
    is_torch = isinstance(dtype, torch.dtype)
    samples = torch.from_numpy(scaled(bits, np.int64)).to(dtype) if is_torch else scaled(bits, dtype)
    torch.testing.assert_close(load_audio((samples, RATE))[0], STEREO, atol=2.0 ** (1 - bits), rtol=0)
    assert not warnings.records


@pytest.mark.parametrize(
    "bits, dtype",
    [
        *((bits, dtype) for bits in (8, 16, 24, 32) for dtype in (np.float32, np.float64)),
        *((bits, np.int64) for bits in (8, 16, 24, 32)),
        *((bits, np.int32) for bits in (8, 16, 24)),
    ],
)
def test_integers_in_other_types_are_recognized_with_a_warning(bits, dtype, warnings):
    waveform = load_audio((scaled(bits, dtype), RATE), "drums")[0]
    torch.testing.assert_close(waveform, STEREO, atol=2.0 ** (2 - bits) + 1e-6, rtol=0)
    assert "`drums`" in warnings.text and f"{bits}-bit" in warnings.text


def test_integers_in_float_files_are_recognized_everywhere(tmp_path, warnings):
    path = tmp_path / "a.wav"
    soundfile.write(path, INT16.T.float().numpy(), RATE, subtype="FLOAT")
    torch.testing.assert_close(load_audio(path, "drums")[0], STEREO, atol=1e-4, rtol=0)
    assert "`drums`" in warnings.text and "16-bit" in warnings.text
    blocks = np.concatenate(list(AudioStream(path, None, RATE)))
    assert np.allclose(blocks, STEREO.mean(dim=0).numpy(), atol=1e-4)


@pytest.mark.parametrize("level", [0.0, 1e-4, 1.0, 2.0, 4.0])
def test_loud_and_quiet_floats_are_unchanged(level, warnings):
    samples = 2 * level * STEREO
    assert torch.equal(load_audio((samples, RATE))[0], samples) and not warnings.records


@pytest.mark.parametrize("invalid", [math.nan, math.inf, -math.inf, 1e12])
def test_impossible_samples_are_rejected(invalid, tmp_path):
    samples = STEREO.clone()
    samples[0, 5] = invalid
    soundfile.write(tmp_path / "a.wav", samples.T.numpy(), RATE, subtype="FLOAT")
    for audio in ((samples, RATE), tmp_path / "a.wav"):
        with pytest.raises(InputError, match="`melody`") as error:
            load_audio(audio, "melody")
        assert error.value.argument == "melody"


def test_empty_waveforms_raise_a_specific_error():
    for empty in ((np.zeros(0), RATE), (torch.zeros(2, 0), RATE), {"array": [], "sampling_rate": RATE}, ([], RATE)):
        with pytest.raises(EmptyInputError, match="`chords`") as error:
            load_audio(empty, "chords")
        renamed = error.value.renamed("melody").for_prompt(1)
        assert isinstance(renamed, EmptyInputError) and renamed.argument == "melody"


@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_samples_before_channels_are_recognized(channels):
    wave = torch.rand(100, channels)
    assert torch.equal(load_audio({"array": wave, "sampling_rate": RATE})[0], wave.T)


def test_errors_for_ambiguous_shapes():
    with pytest.raises(InputError, match=r"has shape \(8000, 9\): transpose it"):
        load_audio((torch.zeros(8000, 9), RATE))
    with pytest.raises(InputError, match=r"has shape \(2, 2, 8000\): pass one element of the batch"):
        load_audio((torch.zeros(2, 2, 8000), RATE))


# Levels


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_loudness_in_blocks_equals_that_of_the_whole(rate, channels):
    from torchaudio.functional import loudness

    audio = 0.1 * torch.randn(channels, 6 * rate + 123, generator=torch.Generator().manual_seed(0))
    audio *= torch.linspace(0, 1, audio.shape[1]) ** 4
    audio[:, rate : 2 * rate] = 0
    meter = LoudnessMeter(rate)
    for block in audio.split(5000, dim=1):
        meter.add(block)
    expected = float(loudness(audio, rate))
    assert meter.loudness() == pytest.approx(expected, abs=0.01)
    assert measure_loudness(audio, rate) == pytest.approx(expected, abs=0.01)


def noise(seconds=2.0, seed=0) -> torch.Tensor:
    return 0.1 * torch.randn(1, round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


def levels_of(waveform: torch.Tensor):
    return measure_levels(open_audio((waveform, RATE)), "drums")


def test_silence_around_a_recording_does_not_change_its_loudness():
    alone = levels_of(noise()).loudness
    padded = levels_of(torch.cat([torch.zeros(1, 30 * RATE), noise(), torch.zeros(1, 30 * RATE)], dim=1)).loudness
    assert padded == pytest.approx(alone, abs=1.0)
    assert levels_of(0.01 * noise()).loudness == pytest.approx(alone - 40, abs=0.1)
    assert levels_of(noise() + 0.3).loudness == pytest.approx(alone, abs=0.1), "a DC offset is inaudible"
    assert not math.isnan(levels_of(noise(0.1)).loudness)


@pytest.mark.parametrize(
    "waveform, message",
    [
        (torch.zeros(2, RATE), "silent"),
        (1e-5 * noise(), "silent"),
        (torch.full((2, RATE), 0.3), "constant"),
        (torch.cat([noise(), -noise()]), "cancel"),
        (torch.cat([noise(), -0.98 * noise()]), "cancel"),
        (torch.cat([noise(), 0.2 - noise()]), "cancel"),
    ],
)
def test_silent_recordings_cause_a_warning(waveform, message, warnings):
    warn_of_silence(levels_of(waveform), "drums")
    assert "`drums`" in warnings.text and message in warnings.text


@pytest.mark.parametrize(
    "waveform",
    [
        noise(),
        1e-2 * noise(),
        torch.cat([noise(), 0 * noise()]),
        torch.cat([noise(), noise(seed=1)]),
        torch.cat([0 * noise()] * 5 + [noise()]),
        torch.cat([noise(), -0.5 * noise()]),
        torch.cat([torch.zeros(1, 60 * RATE), noise(0.1)], dim=1),
    ],
)
def test_other_recordings_cause_no_warning(waveform, warnings):
    warn_of_silence(levels_of(waveform), "drums")
    assert not warnings.records


def test_extremely_short_recordings_cause_a_warning(warnings):
    warn_of_silence(levels_of(noise()[:, :3]), "drums")
    assert "`drums` has a duration of only 0.188 ms" in warnings.text
