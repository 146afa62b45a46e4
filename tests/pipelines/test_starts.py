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

"""Where the music begins in its recordings and files, per prompt: a batch equals single calls."""

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco.utils.errors import InputError
from tests.conftest import load_pipeline, relative_error
from tests.pipelines.test_drum_levels import RATE, at, beat


STARTS = [0.0, 1.5, 4.25]


@pytest.fixture(scope="module")
def pipe():
    return load_pipeline("chords-drums-melody")


@pytest.fixture(scope="module")
def mixes(tmp_path_factory):
    """Three mixes of drums and a moving tone: a file at another rate, a stereo waveform, and a quiet one."""
    folder = tmp_path_factory.mktemp("mixes")
    mixes = []
    for seed, level in enumerate((0, -12, -30)):
        drums = beat(seed, seconds=8.0)[0][0].numpy()
        time = np.arange(len(drums)) / RATE
        pitch = np.repeat(220 * 2 ** (np.arange(16) * (seed + 1) % 12 / 12), RATE // 2)[: len(drums)]
        tone = 0.2 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE) * (time < 8)
        mixes.append(at(level, torch.from_numpy(0.5 * drums + tone)[None]).float())
    soundfile.write(folder / "a b é.flac", mixes[0][0].numpy(), 44100)
    return [folder / "a b é.flac", (torch.cat([mixes[1], 0.5 * mixes[1]]), RATE), (mixes[2], RATE)]


OPTIONS = {
    "start": {"start": STARTS},
    "one start for all": {"start": 2.0},
    "separated": {"separate_drums": True},
    "separated from a start": {"separate_drums": True, "start": STARTS},
    "normalized": {"normalize_drums": True},
    "normalized from a start": {"normalize_drums": True, "start": STARTS},
    "separated and normalized from a start": {"normalize_drums": True, "separate_drums": True, "start": STARTS},
}


def of_prompt(options: dict, index: int) -> dict:
    return {name: value[index] if isinstance(value, list) else value for name, value in options.items()}


@pytest.mark.parametrize("name", OPTIONS)
def test_drums_of_a_batch_equal_those_of_single_calls(pipe, mixes, name):
    options = OPTIONS[name]
    batch = pipe.encode_conditioning(["pop"] * 3, drums=mixes, duration=1.0, **options).controls["drums"]
    for index, one in enumerate(mixes):
        single = pipe.encode_conditioning("pop", drums=one, duration=1.0, **of_prompt(options, index)).controls[
            "drums"
        ]
        assert torch.equal(batch[index], single[0])
    assert not torch.equal(batch[0], batch[1])


def test_controls_of_a_batch_start_where_those_of_single_calls_do(pipe, mixes):
    controls = {"drums": mixes, "melody": [mixes[1], None, mixes[0]], "chords": [mixes[0], "C:0 Am:.5", mixes[2]]}
    generators = [torch.Generator().manual_seed(seed) for seed in range(3)]
    options = {"duration": 1.0, "num_inference_steps": 2, "output_type": "latent", "normalize_drums": True}
    prompts = ["pop", "80s rock with guitars", "jazz"]
    batch = pipe(prompts, **controls, start=STARTS, generator=generators, **options).audios
    for index, prompt in enumerate(prompts):
        own = of_prompt(controls, index)
        generator = torch.Generator().manual_seed(index)
        single = pipe(prompt, **own, start=STARTS[index], generator=generator, **options).audios
        assert relative_error(batch[index], single[0]) < 1e-5


def test_a_shared_recording_starts_where_each_prompt_says(pipe, mixes):
    shared = pipe.encode_conditioning(["pop"] * 3, drums=mixes[1], duration=1.0, start=STARTS).controls["drums"]
    single = pipe.encode_conditioning("pop", drums=mixes[1], duration=1.0, start=STARTS[2]).controls["drums"]
    assert torch.equal(shared[2], single[0]) and not torch.equal(shared[0], shared[1])


def test_errors_of_starts_name_the_prompt(pipe, mixes):
    with pytest.raises(InputError, match="`start` has 2 elements for 3 prompt"):
        pipe(["pop"] * 3, drums=mixes, duration=1.0, start=[0.0, 1.0])
    with pytest.raises(InputError, match="For prompt 1: `start`") as error:
        pipe(["pop"] * 3, drums=mixes, duration=1.0, start=[0.0, 100.0, 0.0])
    assert error.value.argument == "start" and error.value.prompt == 1
