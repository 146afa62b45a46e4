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
import torch

from diffusers_jasco import SpectralCodecModel
from diffusers_jasco.training.codec.objective import spectral_loss


RATE = 8000


def make_music(clips=12, seconds=2.0, seed=0):
    """Tones of changing loudness and bursts of noise: (clips, 1, samples)."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(int(seconds * RATE)) / RATE
    pitches = torch.randint(50, 80, (clips, 3), generator=generator)
    tones = torch.sin(2 * math.pi * (440 * 2 ** ((pitches[..., None] - 69) / 12)) * time).sum(1)
    envelope = torch.exp(-3 * (time % 0.5))
    noise = torch.randn(clips, len(time), generator=generator) * torch.exp(-30 * (time % 0.25))
    return (0.1 * tones * envelope + 0.05 * noise)[:, None]


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    codec = SpectralCodecModel(
        sampling_rate=RATE, hop_length=320, latent_dim=32, num_pitches=130, num_mels=20, hidden_dim=16, num_layers=1,
        num_noise_bands=16, codebook_size=32,
    )  # fmt: skip
    codec.fit(make_music(clips=40))
    return codec.eval()


@torch.no_grad()
def test_shapes_equal_those_of_encodec(codec):
    latents = codec.encoder(make_music(3))
    assert latents.shape == (3, 32, 50)
    assert codec.decoder(latents).shape == (3, 1, 2 * RATE)
    codes = codec.quantizer.layers[0].encode(latents)
    assert codes.shape == (3, 50) and codec.quantizer.layers[0].decode(codes).shape == latents.shape
    assert (codec.config.sampling_rate, codec.config.hop_length) == (RATE, 320)
    # A part of a frame counts as one.
    assert codec.encoder(torch.zeros(1, 1, 321)).shape[-1] == 2


@torch.no_grad()
def test_the_closed_form_preserves_pitches(codec):
    time = torch.arange(2 * RATE) / RATE
    tone = 0.2 * torch.sin(2 * math.pi * 440 * time)[None, None]
    decoded = codec(tone)[0, 0, RATE // 2 : RATE // 2 * 3]
    spectrum = torch.fft.rfft(decoded * torch.hann_window(len(decoded))).abs()
    assert abs(spectrum.argmax().item() * RATE / len(decoded) - 440) < 440 * 0.03


@torch.no_grad()
@pytest.mark.parametrize("look_ahead", [0, 1])
def test_the_closed_form_with_less_look_ahead(codec, look_ahead):
    options = dict(codec.config) | {"look_ahead": look_ahead}
    short = SpectralCodecModel.from_config(options)
    short.fit(make_music(clips=40))
    music = make_music(4, seed=1)
    silence = spectral_loss(torch.zeros_like(music), music)
    assert spectral_loss(short(music), music) < 0.8 * silence


@torch.no_grad()
def test_decoded_audio_is_closer_than_silence_and_other_clips(codec):
    music = make_music(seed=1)
    decoded = codec(music)
    loss = spectral_loss(decoded, music)
    assert loss < 0.8 * spectral_loss(torch.zeros_like(music), music)
    assert loss < 0.8 * spectral_loss(decoded.roll(1, 0), music)


@torch.no_grad()
def test_silence_stays_silent_and_decoding_is_deterministic(codec):
    assert codec(torch.zeros(1, 1, RATE)).std() < 0.005
    music = make_music(2)
    assert torch.equal(codec(music), codec(music))


@torch.no_grad()
def test_output_never_exceeds_full_scale(codec):
    latents = codec.encoder(make_music(2))
    decoded = codec.decoder(2 * latents)
    assert 0.8 < decoded.abs().max() < 0.9
    # Louder passages elsewhere change nothing, especially in other clips of the batch.
    assert torch.equal(codec.decoder(torch.cat([2 * latents[:1], latents[1:]]))[1], codec.decoder(latents)[1])


def test_latents_are_centered_decorrelated_and_ordered(codec):
    with torch.no_grad():
        latents = codec.encoder(make_music(clips=40)).transpose(1, 2).flatten(0, 1).double()
    covariance = latents.T @ latents / len(latents)
    variance = covariance.diagonal()
    assert latents.mean(0).abs().max() < 1e-2
    assert (covariance - variance.diag()).abs().max() < 1e-2 * variance.max()
    assert (variance.diff() <= 1e-3).all() and abs(variance.mean() - 1) < 1e-3


@torch.no_grad()
@pytest.mark.parametrize("pitch", [33, 40, 47])
def test_the_measured_bass_is_the_note_that_sounds(codec, pitch):
    """Also if chords sound above it, and not before it starts."""
    time = torch.arange(2 * RATE) / RATE
    bass, *chord = (torch.sin(2 * math.pi * 440 * 2 ** ((note - 69) / 12) * time) for note in (pitch, 60, 64, 67))
    measured = codec.measure_bass((0.2 * bass * (time >= 1) + 0.1 * sum(chord))[None, None])[0]
    assert measured.shape == (200, 25)
    assert measured[:90].max() < 0.01
    sounding = measured[110:190]
    assert (sounding.argmax(-1) == pitch - 23).all()
    assert (sounding.amax(-1) - 0.2).abs().max() < 0.04
    others = sounding.sum(-1) - sounding.amax(-1)
    assert others.max() < 0.13


@torch.no_grad()
def test_a_chord_in_the_bass_keeps_its_tones(codec):
    time = torch.arange(2 * RATE) / RATE
    tones = (torch.sin(2 * math.pi * 440 * 2 ** ((note - 69) / 12) * time) for note in (36, 40))
    measured = codec.measure_bass(0.1 * sum(tones)[None, None])[0, 50:150]
    assert (measured[:, [36 - 23, 40 - 23]] - 0.1).abs().mean() < 0.03


@torch.no_grad()
def test_the_average_bass_is_as_slow_as_the_measured_one(codec):
    """So that the bass loss does not depend on how fast an attack is."""
    pitch, oscillators = 40, torch.zeros(1, 200, len(codec.decoder.pitches))
    oscillators[:, 60:, pitch - 23] = 0.2
    measured = codec.measure_bass(codec.decoder.play(oscillators, torch.zeros(1, 400, 16)))
    averaged = codec.average_bass(oscillators)
    assert averaged.shape == measured.shape == (1, 200, 25)
    first, second = (loudness[0, :, pitch - 23] / loudness[0, 100, pitch - 23] for loudness in (averaged, measured))
    assert (first - second).abs().max() < 0.15
    assert 0.01 < first[56] < 0.4 < first[60] < 0.7


@pytest.mark.parametrize("look_ahead", [-1, 5])
def test_invalid_look_ahead(look_ahead):
    with pytest.raises(ValueError, match="`look_ahead` has to be between 0 and 4 frames"):
        SpectralCodecModel(num_layers=1, look_ahead=look_ahead)


def test_training_improves_the_decoder_and_keeps_the_encoder(codec):
    codec = SpectralCodecModel.from_config(codec.config)
    music = make_music(16)
    codec.fit(music)
    projection = codec.encoder.projection.clone()
    optimizer = torch.optim.AdamW(codec.parameters(), lr=2e-3)
    losses = []
    for _ in range(12):
        loss = spectral_loss(codec(music), music)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert torch.equal(codec.encoder.projection, projection)


@torch.no_grad()
def test_saving_and_loading_also_in_half_precision(codec, tmp_path):
    music = make_music(2)
    codec.save_pretrained(tmp_path / "full")
    assert torch.equal(SpectralCodecModel.from_pretrained(tmp_path / "full")(music), codec(music))
    half = SpectralCodecModel.from_config(codec.config)
    half.load_state_dict(codec.state_dict())
    half.half().save_pretrained(tmp_path / "half")
    loaded = SpectralCodecModel.from_pretrained(tmp_path / "half", torch_dtype=torch.float32)
    assert spectral_loss(loaded(music), codec(music)) < 0.1


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_inference(codec, dtype):
    half = SpectralCodecModel.from_config(codec.config)
    half.load_state_dict(codec.state_dict())
    music = make_music(2)
    decoded = half.to(dtype)(music.to(dtype))
    assert decoded.dtype == dtype
    assert spectral_loss(decoded.float(), codec(music)) < 0.3 * spectral_loss(torch.zeros_like(music), codec(music))


def test_invalid_hop_length():
    with pytest.raises(ValueError, match="multiple of 8"):
        SpectralCodecModel(hop_length=10)


def test_the_spectral_loss_is_zero_for_equal_audio_and_grows_with_noise():
    music = make_music(2)
    noise = torch.randn_like(music)
    losses = [spectral_loss(music + amount * noise, music, complex_weight=1.0).item() for amount in (0, 0.01, 0.1)]
    assert losses[0] < 1e-3 and losses[0] < losses[1] < losses[2]
