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

import pytest
import soundfile
import torch

from diffusers_jasco.extraction import change_stem_levels, separate_drums, separate_stems
from diffusers_jasco.inputs import InputError


RATE = 32000


def mix():
    """A chord with noise bursts at 120 BPM."""
    times = torch.arange(4 * RATE) / RATE
    chord = sum(0.1 * torch.sin(2 * math.pi * pitch * times) for pitch in (220.0, 277.2, 329.6))
    noise = torch.randn(len(times), generator=torch.Generator().manual_seed(0))
    return (chord + 0.4 * noise * torch.exp(-30 * (times % 0.5)))[None]


def test_both_parts_add_up_to_the_mix():
    audio = mix()
    assert torch.equal(change_stem_levels(audio, RATE), audio)
    drums, rate = separate_drums(audio, RATE)
    assert rate == RATE
    torch.testing.assert_close(change_stem_levels(audio, RATE, 0.0, -60.0), 0.001 * audio + 0.999 * drums)
    quiet, loud = change_stem_levels(audio, RATE, -6.0), change_stem_levels(audio, RATE, 0.0, 6.0)
    torch.testing.assert_close(quiet, audio + (10**-0.3 - 1) * drums)
    torch.testing.assert_close(loud - audio, (10**0.3 - 1) * (audio - drums))


def test_stems_sum_to_the_mix(tmp_path):
    audio = torch.cat([mix(), mix().flip(-1)])[:, : 2 * RATE + 7]
    stems = separate_stems(audio, 44100)
    assert stems.drums.shape == stems.rest.shape == audio.shape and stems.sampling_rate == 44100
    assert (stems.drums + stems.rest - audio).abs().max() <= 2**-23
    assert stems.drums.square().mean() > 0.1 * stems.rest.square().mean() > 0
    # For files of 16 or 24 bits per sample, the sum is exact.
    soundfile.write(tmp_path / "mix.wav", audio[:, :RATE].T.clip(-1, 1).numpy(), RATE, subtype="PCM_24")
    waveform = torch.from_numpy(soundfile.read(tmp_path / "mix.wav", dtype="float32")[0].T)
    drums, rest, rate = separate_stems(tmp_path / "mix.wav")
    assert torch.equal(drums + rest, waveform) and rate == RATE


def test_stereo_and_other_rates():
    audio = torch.cat([mix(), mix().flip(-1)])[:, : 2 * RATE + 7]
    changed = change_stem_levels(audio, 44100, drums_gain=-12.0)
    assert changed.shape == audio.shape
    torch.testing.assert_close(changed[:1], change_stem_levels(audio[:1], 44100, drums_gain=-12.0))


@pytest.mark.parametrize("gain", [math.nan, -61.0, "loud"])
def test_invalid_gains(gain):
    with pytest.raises(InputError, match="`drums_gain` has to be a number of dB from -60 to 60"):
        change_stem_levels(mix(), RATE, drums_gain=gain)
