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

"""Loudness normalization of drums, and how well generated onsets follow drums at different levels."""

import math
import random
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco import JascoPipeline, JascoTransformerModel
from diffusers_jasco.audio.levels import DRUMS_LOUDNESS, QUIET_DRUMS
from diffusers_jasco.audio.loudness import measure_loudness
from diffusers_jasco.controls.drum_machine import play_hits
from diffusers_jasco.evaluation.estimators.onsets import onsets_by_noise_flux
from diffusers_jasco.evaluation.metrics.onsets import score_onsets
from diffusers_jasco.inputs import InputError, read_drums
from tests.conftest import load_pipeline
from tests.test_nano import draw_beat


NANO = Path(__file__).parents[2] / "pipelines/jasco-nano"
RATE = 32000


def beat(seed: int, rate: int = RATE, seconds: float = 10.0) -> tuple[torch.Tensor, list[float]]:
    """A one-bar pattern of kick, snare and hi-hat at a random tempo, with a peak of 1, and its onsets in seconds."""
    rng = random.Random(seed)
    step = 15 / rng.uniform(85, 130)
    bar = {slot: rng.choice(("kick", "snare", "hat")) for slot in [0, *rng.sample(range(1, 16), 6)]}
    hits = [
        (bar[index % 16], float(time), rng.uniform(0.6, 1.0))
        for index, time in enumerate(np.arange(0, seconds, step))
        if index % 16 in bar
    ]
    samples = torch.from_numpy(play_hits(hits, seconds, rate))[None]
    return samples / samples.abs().max(), [start for _, start, _ in hits]


def at(decibels: float, samples: torch.Tensor) -> torch.Tensor:
    return (samples * 10 ** (decibels / 20)).clamp(-1, 1)


@pytest.fixture(scope="module")
def pipe():
    return load_pipeline("chords-drums-melody")


@pytest.fixture
def loudness(pipe):
    pipe.transformer.register_to_config(drums_loudness=-22.0)
    yield -22.0
    pipe.transformer.register_to_config(drums_loudness=None)


def encode(pipe, samples, **options) -> torch.Tensor:
    conditioning = pipe.encode_conditioning("pop", drums=(samples, RATE), duration=1.0, **options)
    return conditioning.controls["drums"]


def test_drums_of_any_level_are_encoded_equally_if_the_checkpoint_normalizes(pipe, loudness):
    samples, _ = beat(0)
    expected = encode(pipe, samples)
    for decibels in (-20, -40):
        assert (encode(pipe, at(decibels, samples)) == expected).float().mean() > 0.99
        assert not torch.equal(encode(pipe, at(decibels, samples), normalize_drums=False), expected)
    assert torch.equal(encode(pipe, samples, normalize_drums=True), expected)


def test_other_checkpoints_keep_the_level_of_drums(pipe, warnings):
    samples, _ = beat(0)
    assert torch.equal(encode(pipe, samples), encode(pipe, samples, normalize_drums=False))
    assert not [record for record in warnings.records if "quiet" in record.getMessage()]
    encode(pipe, at(-40, samples))
    assert "`drums` are very quiet" in warnings.text and "normalize_drums=True" in warnings.text
    normalized = encode(pipe, at(-40, samples), normalize_drums=True)
    level = DRUMS_LOUDNESS - measure_loudness(samples, RATE)
    assert (normalized == encode(pipe, samples * 10 ** (level / 20))).float().mean() > 0.99


def test_audiocraft_compatible_calls_do_not_normalize_drums(pipe, loudness):
    samples, _ = beat(0)
    unnormalized = encode(pipe, at(-20, samples), normalize_drums=False)
    assert torch.equal(encode(pipe, at(-20, samples), audiocraft_compatible=True), unnormalized)


def test_the_gain_depends_on_the_whole_recording_and_not_on_the_excerpt(tmp_path):
    samples, _ = beat(1, seconds=30.0)
    samples[:, : 10 * RATE] *= 0.1
    gain = 10 ** ((-22 - measure_loudness(samples, RATE)) / 20)
    soundfile.write(tmp_path / "a.wav", samples[0].numpy(), RATE, subtype="FLOAT")
    for drums in ((samples, RATE), tmp_path / "a.wav"):
        for seconds in (5, 10, 30):
            scaled = read_drums(drums, RATE, seconds * RATE, loudness=-22.0)
            torch.testing.assert_close(scaled, gain * samples[:, : seconds * RATE], atol=1e-3, rtol=1e-3)


def test_silence_around_drums_barely_changes_the_gain():
    samples, _ = beat(2)
    padded = torch.cat([samples, torch.zeros(1, 60 * RATE)], dim=1)
    alone, with_silence = (read_drums((drums, RATE), RATE, RATE, loudness=-22.0) for drums in (samples, padded))
    assert 20 * math.log10(float(with_silence.norm() / alone.norm())) == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize(
    "samples, message",
    [
        (torch.zeros(1, RATE), "`drums` is silent"),
        (at(-80, beat(0)[0]), "`drums` is silent"),
        (torch.full((1, RATE), 0.5), "constant"),
        (torch.cat([beat(0)[0], -beat(0)[0]]), "cancel"),
    ],
)
def test_silent_drums_stay_silent_with_a_warning(samples, message, warnings):
    drums = read_drums((samples, RATE), RATE, RATE, loudness=-22.0)
    assert message in warnings.text
    assert torch.equal(drums, read_drums((samples, RATE), RATE, RATE))


def test_a_silent_excerpt_of_a_recording_causes_a_warning(warnings):
    samples = torch.cat([torch.zeros(1, 5 * RATE), beat(0)[0]], dim=1)
    assert not read_drums((samples, RATE), RATE, 2 * RATE, loudness=-22.0).any()
    assert "excerpt of `drums` that is used is silent" in warnings.text


@pytest.mark.parametrize("num_harmonics", [7, 1])
def test_residual_bleed_is_not_amplified(warnings, num_harmonics):
    time = torch.arange(4 * RATE) / RATE
    tones = [(n * pitch, 0.1 / n) for pitch in (220.0, 277.2, 329.6) for n in range(1, num_harmonics + 1)]
    chord = sum(level * torch.sin(2 * math.pi * frequency * time) for frequency, level in tones)[None]
    chord *= (time / 0.5).clamp(max=1)
    drums = read_drums((chord, RATE), RATE, 4 * RATE, separate=True, loudness=-22.0)
    assert "No drums were found" in warnings.text and drums.square().mean() < 0.01 * chord.square().mean()
    mix = chord + beat(0, seconds=4.0)[0]
    drums = read_drums((mix, RATE), RATE, 4 * RATE, separate=True, loudness=-22.0)
    assert measure_loudness(drums, RATE) == pytest.approx(-22, abs=0.5)


def test_a_batch_equals_single_calls(pipe, loudness):
    drums = [(at(level, beat(seed)[0]), RATE) for seed, level in enumerate((0, -30, -12))]
    batch = pipe.encode_conditioning(["pop"] * 3, drums=drums, duration=1.0).controls["drums"]
    for index, recording in enumerate(drums):
        single = pipe.encode_conditioning("pop", drums=recording, duration=1.0).controls["drums"]
        assert torch.equal(batch[index], single[0])


def test_the_loudness_is_saved_with_the_transformer(pipe, loudness, tmp_path):
    pipe.transformer.save_pretrained(tmp_path)
    assert JascoTransformerModel.from_pretrained(tmp_path).config.drums_loudness == -22.0
    again = JascoPipeline(**pipe.components)
    samples = at(-30, beat(0)[0])
    assert torch.equal(encode(again, samples), encode(pipe, samples))


@pytest.mark.parametrize("value", ["yes", 1, 0.5, [True]])
def test_invalid_values_are_rejected(pipe, value):
    with pytest.raises(InputError, match="`normalize_drums` has to be True or False") as error:
        pipe("pop", drums=(beat(0)[0], RATE), duration=1.0, normalize_drums=value)
    assert error.value.argument == "normalize_drums"


def test_jasco_nano_has_the_loudness_of_its_training_data():
    config = JascoTransformerModel.load_config(NANO / "transformer")
    assert config["drums_loudness"] == -22.0 > QUIET_DRUMS and config["music_loudness"] == -20.7


@pytest.mark.slow
def test_generated_onsets_follow_drums_at_any_level(capsys):
    pytest.importorskip("mir_eval")
    pytest.importorskip("tinysoundfont")
    pipe = JascoPipeline.from_pretrained(NANO)
    pipe.set_progress_bar_config(disable=True)
    rate, prompts = pipe.sampling_rate, ["pop, piano, drums", "rock, electric guitar, drums", "funk, bass, drums"] * 2
    rng = random.Random(5)
    beats = [draw_beat(rng, rate) for _ in prompts]
    beats = [(samples / samples.abs().max(), onsets) for samples, onsets in beats]

    def follow(decibels: float, **options) -> float:
        audios = pipe(
            prompts,
            drums=[(at(decibels, samples), rate) for samples, _ in beats],
            generator=[torch.Generator().manual_seed(seed) for seed in range(len(beats))],
            duration=10.0,
            **options,
        ).audios
        pairs = zip(audios, beats)
        return float(np.mean([score_onsets(onsets_by_noise_flux((a, rate)), b[1])["onset_f1"] for a, b in pairs]))

    before = {level: follow(level, normalize_drums=False) for level in (0, -40)}
    after = {level: follow(level) for level in (6, 0, -20, -30, -40)}
    with capsys.disabled():
        print("\nonset F1 by level in dB, not normalized:", before, "\nnormalized:", after)
    assert before[-40] < 0.5 and after[0] > before[0] - 0.02
    assert min(after.values()) > 0.88
