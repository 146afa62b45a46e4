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


import copy
from pathlib import Path

import pytest
import torch

from diffusers_jasco.codecs import decode, encode, encode_drums, load_codec

from ..conftest import relative_error
from .sizes import is_gpu, make_pipeline


NANO = Path(__file__).parents[2] / "pipelines" / "jasco-nano"


@torch.no_grad()
@pytest.mark.parametrize("name", ["EnCodec", "spectral"])
def test_codecs_give_the_same_result_on_all_devices(device, name, measured):
    codec = make_pipeline(device).codec if name == "EnCodec" else load_codec(NANO)
    seconds = 25 if is_gpu(device) else 11
    samples = seconds * codec.config.sampling_rate
    waveform = 0.1 * torch.randn(1, 1, samples, generator=torch.Generator().manual_seed(0))
    reference = encode(codec, waveform)
    moved = copy.deepcopy(codec).to(device)
    # In chunks of 10 s, and as a whole.
    latents, whole = encode(moved, waveform), moved.encoder(waveform.to(device)).transpose(1, 2)
    assert latents.device.type == device and latents.dtype == torch.float32
    measured["error"] = max(relative_error(result.cpu(), reference) for result in (latents, whole))
    assert measured["error"] < 1e-4
    audio, whole = decode(moved, reference), moved.decoder(reference.transpose(1, 2).to(device))
    expected = decode(codec, reference)
    assert max(relative_error(result.cpu(), expected) for result in (audio, whole)) < 1e-3
    drums = encode_drums(moved, waveform, blur=3).cpu()
    # Near a boundary between two codes, rounding may change the code. The mean over frames is rounded, too.
    same = torch.isclose(drums, encode_drums(codec, waveform, blur=3), rtol=1e-5, atol=1e-6)
    assert same.float().mean() > 0.99


@torch.no_grad()
def test_layers_of_encodec_give_the_same_result_on_all_devices(device, measured):
    codec = make_pipeline(device).codec
    moved = copy.deepcopy(codec).to(device)
    samples = (25 if is_gpu(device) else 1) * codec.config.sampling_rate
    hidden_states = 0.1 * torch.randn(1, 1, samples, generator=torch.Generator().manual_seed(0))
    errors = {}
    # Each layer gets the input that it has on the CPU, so that the error of one layer does not reach the next.
    for part in ("encoder", "decoder"):
        for number, (layer, other) in enumerate(zip(getattr(codec, part).layers, getattr(moved, part).layers)):
            result = other(hidden_states.to(device)).cpu()
            hidden_states = layer(hidden_states)
            errors[f"{part} {number} ({type(layer).__name__})"] = relative_error(result, hidden_states)
    measured["error"] = max(errors.values())
    assert not {name: error for name, error in errors.items() if not error < 1e-4}
