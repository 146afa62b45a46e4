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


from copy import deepcopy

import pytest
import torch
from accelerate.hooks import ModelHook, add_hook_to_module
from transformers import EncodecConfig, EncodecModel

from diffusers_jasco import SpectralCodecModel
from diffusers_jasco.codecs import (
    blur_frames,
    codec_hash,
    decode,
    drum_codes,
    encode,
    encode_drums,
    first_codebook,
    load_codec,
)
from diffusers_jasco.inputs import read_drums

from .conftest import CASES, FIXTURES, load_case, load_pipeline, relative_error


WITH_DRUMS = [case for case in CASES if "drums" in load_case(*case)[0]]

# Toys: 800 Hz, so that chunks of ten seconds are 8000 samples.
ENCODEC = {"sampling_rate": 800, "upsampling_ratios": [5, 4, 2], "num_filters": 4, "hidden_size": 8}
ENCODEC |= {"codebook_size": 16, "target_bandwidths": [1.0]}
SPECTRAL = {"sampling_rate": 800, "hop_length": 40, "latent_dim": 8, "num_pitches": 50, "num_mels": 8}
SPECTRAL |= {"hidden_dim": 16, "num_layers": 2, "num_noise_bands": 8, "codebook_size": 16}
SPECTRAL |= {"lowest_pitch": 25.0, "half_semitones_from": 40.0}
CODECS = {
    "causal": {},
    "not causal": {"use_causal_conv": False},
    "trimmed": {"trim_right_ratio": 0.5, "use_conv_shortcut": False},
    "dilated": {
        "use_causal_conv": False,
        "upsampling_ratios": [5, 3],
        "num_residual_layers": 3,
        "pad_mode": "constant",
    },
    "stereo": {"audio_channels": 2},
    "normalized over time": {"norm_type": "time_group_norm", "audio_channels": 2},
}


def make_encodec(**options):
    """With weights that keep the level: transformers' own let little through."""
    torch.manual_seed(0)
    codec = EncodecModel(EncodecConfig(**ENCODEC | options)).eval()
    for name, parameter in codec.named_parameters():
        if name.endswith("original0"):
            torch.nn.init.constant_(parameter, 1.0)
        elif "lstm" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    codec.quantizer.layers[0].codebook.embed.normal_()
    return codec


def make_spectral(**options):
    torch.manual_seed(0)
    codec = SpectralCodecModel(**SPECTRAL | options).eval()
    codec.encoder.projection.normal_(std=0.02)
    codec.quantizer.layers[0].embed.normal_()
    for parameter in codec.decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return codec


@pytest.fixture(scope="module", params=[*CODECS, "spectral"])
def codec(request):
    return make_spectral() if request.param == "spectral" else make_encodec(**CODECS[request.param])


def noise(codec, samples, batch=2):
    channels = getattr(codec.config, "audio_channels", 1)
    return 0.3 * torch.randn(batch, channels, samples, generator=torch.Generator().manual_seed(samples))


@torch.no_grad()
@pytest.mark.parametrize("samples", [1, 41, 7999, 8000, 8001, 8160, 24039])
def test_chunked_equals_one_shot(codec, samples):
    waveform = noise(codec, samples)
    whole = codec.encoder(waveform)
    latents = encode(codec, waveform)
    assert latents.shape == (2, -(-samples // codec.config.hop_length), 8)
    torch.testing.assert_close(latents, whole.transpose(1, 2), atol=1e-5, rtol=0)
    assert latents.std() > 0.05
    decoded = decode(codec, latents)
    torch.testing.assert_close(decoded, codec.decoder(latents.transpose(1, 2)), atol=1e-5, rtol=0)
    assert decoded.shape[-1] == latents.shape[1] * codec.config.hop_length and decoded.std() > 0.1
    codes = drum_codes(codec, waveform)
    assert torch.equal(codes, codec.quantizer.layers[0].encode(whole))
    expected = blur_frames(first_codebook(codec)[codes], 3)
    torch.testing.assert_close(encode_drums(codec, waveform, blur=3), expected)


@torch.no_grad()
@pytest.mark.parametrize("look_ahead, after", [(None, 9), (7, 9), (4, 6), (2, 4), (0, 2)])
def test_the_look_ahead_of_the_decoder(look_ahead, after):
    codec = make_spectral(look_ahead=look_ahead)
    latents = torch.randn(1, 8, 500, generator=torch.Generator().manual_seed(0))
    changed = latents.clone()
    changed[..., 250:] += 1
    difference = (codec.decoder(changed) - codec.decoder(latents)).abs().unflatten(-1, (500, 40)).amax(dim=(0, 1, 3))
    assert codec.decoder.context == (9, after)
    assert (difference[: 250 - after] == 0).all() and (difference[252 - after : 250] > 0).all()
    decoded = decode(codec, latents.transpose(1, 2))
    torch.testing.assert_close(decoded, codec.decoder(latents), atol=1e-5, rtol=0)


def test_the_look_ahead_changes_neither_old_codecs_nor_the_identity_of_latents():
    codec, same, short = make_spectral(), make_spectral(look_ahead=7), make_spectral(look_ahead=2)
    latents = torch.randn(1, 8, 50, generator=torch.Generator().manual_seed(0))
    assert torch.equal(codec.decoder(latents), same.decoder(latents))
    assert codec_hash(codec) == codec_hash(short)
    assert codec_hash(codec) != codec_hash(make_spectral(num_mels=9))


@torch.no_grad()
def test_oscillators_and_noise_continue_for_twenty_minutes():
    # A million samples, so that noise is drawn from several generator states.
    codec = make_spectral()
    latents = torch.randn(1, 20 * 60 * 20, 8, generator=torch.Generator().manual_seed(0))
    decoded = decode(codec, latents)
    torch.testing.assert_close(decoded, codec.decoder(latents.transpose(1, 2)), atol=1e-5, rtol=0)
    assert torch.equal(decode(codec, latents), decoded), "a second run finds the states of the first"


@pytest.mark.parametrize("make", [make_encodec, make_spectral])
def test_layers_only_process_a_chunk_with_its_context(make):
    codec, sizes = make(), []
    for module in codec.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, inputs, output: sizes.append(inputs[0].numel()))

    def largest(seconds):
        sizes.clear()
        decode(codec, encode(codec, noise(codec, 800 * seconds, batch=1)))
        return max(sizes)

    assert largest(10) < largest(120) < 1.5 * largest(10)


def test_mono_audio_fills_both_channels_of_a_stereo_codec():
    codec = make_encodec(audio_channels=2)
    waveform = noise(codec, 900)[:, :1]
    assert torch.equal(encode(codec, waveform), encode(codec, waveform.repeat(1, 2, 1)))


@pytest.mark.parametrize("make", [make_encodec, make_spectral])
def test_a_codec_in_half_precision(make):
    codec = make()
    waveform = noise(codec, 9000)
    latents, drums = encode(codec, waveform), encode_drums(codec, waveform, blur=3)
    decoded = decode(codec, latents)
    # The cached tables of the spectral codec stay unchanged.
    codec.to(torch.bfloat16)
    assert relative_error(encode(codec, waveform), latents) < 0.05
    assert relative_error(decode(codec, latents), decoded) < 0.2
    for result in (encode(codec, waveform), decode(codec, latents), encode_drums(codec, waveform, blur=3)):
        assert result.dtype == torch.float32 and result.isfinite().all()
    assert encode_drums(codec, waveform, blur=3).shape == drums.shape


def test_tables_follow_the_device_and_are_not_weights():
    codec = make_spectral()
    waveform = noise(codec, 900)
    latents, weights = encode(codec, waveform), set(codec.state_dict())
    with torch.no_grad():
        elsewhere = deepcopy(codec).to("meta").encoder(waveform.to("meta"))
    assert elsewhere.device.type == "meta"
    assert torch.equal(encode(codec, waveform), latents) and set(codec.state_dict()) == weights


@pytest.mark.parametrize("make", [make_encodec, make_spectral])
def test_the_hook_of_an_offloaded_codec_runs_first(make):
    events = []

    class Onload(ModelHook):
        def pre_forward(self, module, *args, **kwargs):
            events.append("hook")
            module.to(torch.float32)
            return args, kwargs

    codec = make()
    waveform = noise(codec, 9000)
    latents = encode(codec, waveform)
    expected = latents, decode(codec, latents), drum_codes(codec, waveform), encode_drums(codec, waveform, blur=3)
    add_hook_to_module(codec, Onload())
    calls = (encode, waveform), (decode, latents), (drum_codes, waveform), (encode_drums, waveform, 3)
    for (function, *inputs), before in zip(calls, expected):
        codec.double()
        events.clear()
        assert torch.equal(function(codec, *inputs), before) and events == ["hook"]


def test_a_stereo_codec_in_a_pipeline():
    config = EncodecConfig.from_pretrained(FIXTURES / "chords-drums" / "encodec", audio_channels=2)
    torch.manual_seed(0)
    pipe = load_pipeline("chords-drums", codec=EncodecModel(config).eval())
    pipe.codec.quantizer.layers[0].codebook.embed.normal_()
    drums = (torch.randn(2, 44100, generator=torch.Generator().manual_seed(0)) / 10, 44100)

    def generate(**controls):
        options = {"num_inference_steps": 2, "duration": 0.7, "generator": torch.Generator().manual_seed(0)}
        return pipe("80s pop", **controls, **options).audios

    audio, without = generate(drums=drums), generate()
    assert audio.shape == (1, 2, round(0.7 * 32000)) and audio.isfinite().all()
    assert not torch.equal(audio[:, 0], audio[:, 1])
    assert relative_error(audio, without) > 1e-3


@pytest.mark.parametrize("checkpoint, index", WITH_DRUMS)
def test_drum_latents_equal_audiocrafts(checkpoint, index):
    case, tensors = load_case(checkpoint, index)
    pipe = load_pipeline(checkpoint)
    waveform = read_drums((tensors["drums"], 32000), 32000, 32000)
    latents = encode_drums(pipe.codec, waveform[None], blur=pipe.transformer.config.drums_blur)
    projected = pipe.transformer.drums_proj(latents)
    reference = tensors["first_call.condition.self_wav"][:1]
    assert relative_error(projected, reference) < 1e-5
    silence = encode_drums(pipe.codec, torch.zeros(1, 1, 32000), blur=3)
    assert relative_error(pipe.transformer.drums_proj(silence), reference) > 1e-3


@pytest.mark.parametrize("blur", [1, 3, 4, 7])
def test_blur_is_the_mean_of_groups_with_reflection_at_the_end(blur):
    sharp = torch.randn(50, 16, generator=torch.Generator().manual_seed(0))
    blurred = blur_frames(sharp[None], blur)[0]
    assert blurred.shape == (50, 16)
    for first in range(0, 50, blur):
        group = [frame if frame < 50 else 98 - frame for frame in range(first, first + blur)]
        for frame in range(first, min(first + blur, 50)):
            torch.testing.assert_close(blurred[frame], sharp[group].mean(dim=0))
    assert relative_error(blur_frames(sharp[None, :1], blur), sharp[None, :1]) < 1e-6, "one frame is repeated"


def test_loading_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="config.json is missing"):
        load_codec(tmp_path)
    (tmp_path / "config.json").write_text('{"_class_name": "JascoTransformerModel"}')
    with pytest.raises(ValueError, match="JascoTransformerModel: neither EncodecModel nor SpectralCodecModel"):
        load_codec(tmp_path)


def test_invalid_shapes():
    codec = SpectralCodecModel(latent_dim=2, codebook_size=4, hidden_dim=8, num_layers=1)
    for shape in ((1, 2, 6400), (1, 1, 0), (6400,)):
        with pytest.raises(ValueError, match="1 or 1 channels"):
            encode(codec, torch.zeros(shape))
