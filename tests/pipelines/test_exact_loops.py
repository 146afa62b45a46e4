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

"""Loops whose duration is not a whole number of frames."""

import math
from pathlib import Path

import pytest
import torch

from diffusers_jasco import JascoPipeline
from diffusers_jasco.audio.resampling import resample_period
from diffusers_jasco.codecs import decode_loop, encode, load_codec
from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.inputs import InputError

from ..conftest import load_pipeline


ROOT = Path(__file__).parents[2]
FOUR_BARS = 16 * 60 / 97  # 247.4 frames of 40 ms
NEAREST = 247 / 25  # seconds
CALL = {"prompt": "rock", "num_inference_steps": 1}


@pytest.fixture(scope="module")
def nano():
    pipe = JascoPipeline.from_pretrained("jasco-nano")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def encodec_pipe():
    return load_pipeline("chords-drums")


@pytest.fixture(scope="module")
def codec():
    return load_codec(ROOT / "pipelines/jasco-nano/codec")


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@torch.no_grad()
def tone(codec, frequency: float = 196.3, frames: int = 247) -> torch.Tensor:
    """Latents of a steady tone."""
    time = torch.arange(24000 * 14) / 24000
    return encode(codec, 0.3 * torch.sin(2 * math.pi * frequency * time)[None, None])[:, 50 : 50 + frames]


def main_frequency(audio: torch.Tensor) -> float:
    """The frequency of the loudest partial in cycles per sample, within 0.1 cents at 1 kHz."""
    size = 2**20
    spectrum = torch.fft.rfft(audio.double() * torch.hann_window(len(audio), dtype=torch.float64), n=size).abs()
    return spectrum.argmax().item() / size


def cents(frequency: float, reference: float) -> float:
    return 1200 * math.log2(frequency / reference)


def test_four_bars_at_97_bpm_have_exactly_four_bars(nano, warnings):
    call = CALL | {"chords": "C | Am | F | G", "bpm": 97, "duration": FOUR_BARS, "loop": True}
    audio = nano(**call, generator=generator()).audios
    assert audio.shape[-1] == round(FOUR_BARS * nano.sampling_rate) == 237526
    assert "instead of" not in warnings.text
    latents = nano(**call, generator=generator(), output_type="latent").audios
    assert latents.shape[1] == 247
    assert torch.equal(nano.decode_latents(latents, loop=True, num_samples=237526), audio)


def test_the_controls_of_a_loop_fill_its_frames(nano):
    """They equal those of a loop that has whole frames, and hence a slightly higher tempo."""
    four_bars = {"chords": "C | Am | F | G", "drums": GROOVES["rock backbeat"], "melody": "C5 D5:0.5 E5:0.5 F5 - " * 4}
    encoded = []
    for duration in (FOUR_BARS, NEAREST):
        sections = [("calm", 0.0), ("loud", 0.75 * duration)]
        regions = {"melody": [(0.5 * duration, 0.75 * duration)]}
        options = {"bpm": 16 * 60 / duration, "duration": duration, "control_regions": regions, "loop": True}
        encoded.append(nano.encode_conditioning([sections], **four_bars, **options))
    exact, reference = encoded
    assert exact.num_frames == reference.num_frames == 247
    assert exact.frame_rate == 247 / FOUR_BARS and reference.frame_rate is None
    assert exact.sections[1].first_frame == reference.sections[1].first_frame == math.ceil(0.75 * 247)
    changes = exact.controls["chords"][0].diff().nonzero().flatten() + 1
    assert changes.tolist() == [math.ceil(bar * 247 / 4) for bar in (1, 2, 3)]
    assert torch.equal(exact.controls["chords"], reference.controls["chords"])
    assert torch.equal(exact.controls["melody"], reference.controls["melody"])
    same = (exact.controls["drums"] - reference.controls["drums"]).abs().amax(dim=-1) < 1e-4
    assert same.float().mean() > 0.8


def test_drums_keep_their_place_in_the_bar(nano, monkeypatch):
    heard = []
    monkeypatch.setattr(
        "diffusers_jasco.pipelines.encoding.encode_drums",
        lambda codec, waveform, blur: heard.append(waveform) or waveform,
    )
    rate, beats = 44100, torch.arange(1, 16) * 60 / 97
    clicks = torch.zeros(1, round(FOUR_BARS * rate))
    clicks[:, (beats * rate).round().long()] = 0.5
    nano.encode_drums((clicks, rate), 247, frame_rate=247 / FOUR_BARS, normalize_drums=False)
    expected = beats / FOUR_BARS * heard[0].shape[-1]
    found = (heard[0][0, 0].unfold(0, 5, 1).square().sum(dim=-1) > 0.02).nonzero().flatten() + 2
    distances = (found[:, None] - expected).abs().amin(dim=0)
    assert heard[0].shape[-1] == 247 * 960 and distances.max() < 0.001 * 24000


def test_the_pitch_of_a_spectral_codec_does_not_change(codec):
    latents = tone(codec, 987.8)
    plain, exact = decode_loop(codec, latents), decode_loop(codec, latents, 237526)
    expected = main_frequency(plain[0, 0])
    assert exact.shape[-1] == 237526
    assert abs(cents(main_frequency(exact[0, 0]), expected)) < 0.1
    assert cents(main_frequency(resample_period(plain, 237526)[0, 0]), expected) < -2.5


def test_chunks_of_an_exact_loop_fit_together(codec, monkeypatch):
    latents = tone(codec)
    whole = decode_loop(codec, latents[:, :200], 192300)
    monkeypatch.setattr("diffusers_jasco.codecs.CHUNK_SECONDS", 2.0)
    torch.testing.assert_close(decode_loop(codec, latents[:, :200], 192300), whole, atol=1e-4, rtol=0)


def test_exact_loops_are_seamless(codec):
    audio = decode_loop(codec, tone(codec, frames=43), 43 * 960 + 411)
    around = torch.cat([audio[0, 0, -100:], audio[0, 0, :100]]).double()
    curvature = around.diff(n=2).abs()
    assert curvature[90:108].max() < 1.5 * curvature[:80].max()


def test_a_loop_of_whole_frames_is_not_resampled(nano, codec):
    latents = tone(codec, frames=50)
    assert torch.equal(decode_loop(codec, latents), decode_loop(codec, latents, 48000))
    conditioning = nano.encode_conditioning("rock", duration=10.0, loop=True)
    assert conditioning.frame_rate is None and conditioning.num_frames == 250


def test_loops_that_a_codec_cannot_stretch(codec, encodec_pipe, warnings):
    with pytest.raises(ValueError, match=r"loop of 10 frames \(9600 samples\) can't be stretched to 9800 samples"):
        decode_loop(codec, tone(codec, frames=10), 9800)
    audio = encodec_pipe(**CALL | {"duration": 1.013}, loop=True).audios
    assert audio.shape[-1] == round(1.02 * encodec_pipe.sampling_rate)
    assert "The loop has 1.02 s instead of 1.013 s" in warnings.text


def test_encodec_loops_of_five_seconds_are_exact(encodec_pipe, warnings):
    for duration in (5.0, 5.007, 6.03125):
        audio = encodec_pipe(**CALL | {"duration": duration}, loop=True, generator=generator()).audios
        assert audio.shape[-1] == round(duration * encodec_pipe.sampling_rate)
    assert "instead of" not in warnings.text
    batch = encodec_pipe(
        **CALL | {"prompt": ["rock", "pop"], "duration": 6.03125}, loop=True, generator=[generator(), generator()]
    ).audios
    torch.testing.assert_close(batch[:1], audio, atol=1e-4, rtol=1e-3)


def test_the_conditioning_of_a_loop(nano, warnings):
    arguments = {"chords": "C | Am | F | G", "bpm": 97, "duration": FOUR_BARS}
    conditioning = nano.encode_conditioning("rock", **arguments, loop=True)
    reused = nano(conditioning=conditioning, loop=True, num_inference_steps=1, generator=generator()).audios
    assert torch.equal(reused, nano(**CALL, **arguments, loop=True, generator=generator()).audios)
    with pytest.raises(InputError, match="is that of a loop: use it with `loop=True`"):
        nano(conditioning=conditioning)
    # Without `loop`, the music ends within its last frame.
    plain = nano.encode_conditioning("rock", **arguments)
    assert plain.num_frames == 248 and plain.frame_rate is None
    assert nano(conditioning=plain, loop=True, num_inference_steps=1).audios.shape[-1] == 248 * 960
    assert "The loop has 9.92 s instead of 9.89691 s, because" in warnings.text


@pytest.mark.parametrize("size, num_samples", [(24000, 24041), (24000, 23960), (40, 41)])
def test_resampling_a_period(size, num_samples):
    cycles = size // 10
    before, after = (
        torch.sin(2 * math.pi * cycles * torch.arange(count, dtype=torch.float64) / count).float()
        for count in (size, num_samples)
    )
    torch.testing.assert_close(resample_period(before[None], num_samples), after[None], atol=2e-4, rtol=0)
    assert resample_period(before, size) is before
