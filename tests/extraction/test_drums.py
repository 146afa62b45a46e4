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

import hashlib
import logging
import math

import numpy as np
import pytest
import soundfile
import torch
from diffusers.utils import logging as diffusers_logging

from diffusers_jasco.evaluation.metrics.separation import sdr, si_sdr, suppression
from diffusers_jasco.extraction import drums as drums_module
from diffusers_jasco.extraction import separate_drums
from diffusers_jasco.extraction.drum_mask import (
    HOP,
    LOW_BINS,
    NUM_BINS,
    TONE_BINS,
    DrumMaskModel,
    _long_spectrum,
    _predictions,
    spectrogram,
)

from ..evaluation.clips import play_chords


RATE = 32000
SECONDS = 6.0
CHORDS = [("C", 0.0), ("Am", 1.5), ("F", 3.0), ("G7", 4.5)]


def play_beat(seconds: float = SECONDS) -> torch.Tensor:
    """Bass drum, snare drum and hi-hat at 120 BPM."""
    rng = np.random.default_rng(0)
    beat = np.zeros(round(seconds * RATE))
    time = np.arange(RATE // 4) / RATE
    for eighth in range(round(4 * seconds)):
        hat = np.diff(rng.standard_normal(len(time) + 2), 2) * np.exp(-50 * time) * 0.05
        hit = hat
        if eighth % 4 == 0:
            hit = hat + 0.6 * np.sin(2 * np.pi * (50 * time - 3 * np.exp(-30 * time))) * np.exp(-18 * time)
        if eighth % 4 == 2:
            body = 0.5 * np.sin(2 * np.pi * 190 * time) * np.exp(-30 * time)
            hit = hat + 0.5 * (body + 0.4 * rng.standard_normal(len(time)) * np.exp(-20 * time))
        start = eighth * len(time)
        beat[start : start + len(time)] += hit[: len(beat) - start]
    return torch.from_numpy(beat).float()[None]


@pytest.fixture(scope="module")
def beat():
    return play_beat()


@pytest.fixture(scope="module")
def chords():
    return play_chords(CHORDS, SECONDS, RATE)


def builtin(audio, rate=RATE):
    drums, own_rate = separate_drums(audio, rate, method="builtin")
    assert own_rate == RATE and drums.dtype == torch.float32
    return drums


# The built-in network


def test_drums_are_separated_from_a_mix(beat, chords):
    mix = beat + chords
    drums = builtin(mix)
    assert drums.shape == mix.shape
    assert si_sdr(drums, beat) > si_sdr(mix, beat) + 6


def test_drums_are_kept_and_other_music_is_removed(beat, chords):
    assert sdr(builtin(beat), beat) >= 12
    assert suppression(builtin(chords), chords) >= 20


def test_unseen_music():
    """Rendered with the SoundFont that was not used for training."""
    pytest.importorskip("tinysoundfont")
    pytest.importorskip("pretty_midi")
    from diffusers_jasco.data import SyntheticMusic

    music = SyntheticMusic("test", 8, duration=6.0, sampling_rate=RATE, renderer="tinysoundfont", stems=True)
    gains, kept, suppressed = [], [], []
    for item in music:
        drums = item["stems"].get("drums")
        rest = item["audio"] if drums is None else item["audio"] - drums
        suppressed.append(suppression(builtin(rest), rest))
        if drums is not None:
            gains.append(si_sdr(builtin(item["audio"]), drums) - si_sdr(item["audio"], drums))
            kept.append(sdr(builtin(drums), drums))
    assert np.mean(gains) >= 6 and np.mean(kept) >= 10 and np.mean(suppressed) >= 15


@pytest.mark.parametrize("frames", [48, 100])
def test_block_size_does_not_affect_the_result(beat, chords, monkeypatch, frames):
    mix = beat + chords
    whole = builtin(mix)
    monkeypatch.setattr(drums_module, "_BLOCK", frames)
    assert mix.shape[1] > 3 * frames * HOP
    torch.testing.assert_close(builtin(mix), whole, atol=1e-5, rtol=0)


def random_model(**options) -> DrumMaskModel:
    """A small network with random weights."""
    torch.manual_seed(0)
    return DrumMaskModel(num_bands=32, channels=(2, 3, 4, 5), low_channels=4, **options).eval()


# The mask has the longest context with the second options, the network of the lowest bins with the others.
@pytest.mark.parametrize(
    "options",
    [{}, {"low_dilations": (1,), "low_span": 1}, {"dilations": (1,), "low_dilations": (2, 4, 8)}],
)
def test_drums_depend_only_on_their_context(options):
    model = random_model(**options)
    spectrum = torch.randn(1, 4 * model.context, NUM_BINS, dtype=torch.complex64, requires_grad=True)
    drums = model(spectrum)[0]
    for frame in range(2 * model.context, 2 * model.context + 4):
        (gradient,) = torch.autograd.grad(drums[frame].abs().sum(), spectrum, retain_graph=True)
        used = gradient[0].abs().amax(dim=1).nonzero()
        assert 0 < used.min() and used.max() < len(spectrum[0]) - 1, "the input has to be longer than the context"
        assert frame - used.min() <= model.context and used.max() - frame <= model.context


def test_blocks_include_their_context(beat, chords, monkeypatch):
    """With a short context, so that most of the recording is outside of it."""
    model = random_model(dilations=(), low_dilations=(), low_span=0)
    monkeypatch.setattr(drums_module, "_builtin_model", lambda: model)
    mix = (beat + chords)[:, : 3 * RATE]
    assert mix.shape[1] > 5 * model.context * HOP
    whole = builtin(mix)
    monkeypatch.setattr(drums_module, "_BLOCK", 16)
    torch.testing.assert_close(builtin(mix), whole, atol=1e-5, rtol=0)


def test_examples_of_a_batch_are_independent(beat, chords):
    model = random_model(low_span=4)
    spectra = spectrogram(torch.cat([beat, 0.1 * chords])[:, :RATE])
    with torch.no_grad():
        torch.testing.assert_close(model(spectra), torch.cat([model(spectrum[None]) for spectrum in spectra]))


@pytest.mark.parametrize("frequency", [55.0, 110.0, 440.0])
def test_sustained_tones_are_predicted_from_both_sides(frequency):
    """For each window and direction, to -20 dB."""
    tone = torch.sin(2 * math.pi * frequency * torch.arange(2 * RATE) / RATE)[None]
    mix = spectrogram(tone)[:, :, :LOW_BINS]
    predictions = _predictions(mix, _long_spectrum(mix))[:, 40:-40].unbind(2)
    mix = mix[:, 40:-40, :TONE_BINS]
    assert len(predictions) == 4
    for prediction in predictions:
        assert (prediction - mix).abs().square().sum() < 0.01 * mix.abs().square().sum()


def test_the_result_scales_with_the_level_and_polarity(beat, chords):
    mix = beat + chords
    torch.testing.assert_close(builtin(-0.001 * mix), -0.001 * builtin(mix), atol=1e-7, rtol=0)
    assert not builtin(torch.zeros(1, 1000)).any()


@pytest.mark.parametrize("num_samples", [1, 511, 513, 40001])
def test_the_number_of_samples_is_kept(beat, num_samples):
    assert builtin(beat[:, :num_samples]).shape == (1, num_samples)


def test_files_rates_and_channels(beat, chords, tmp_path):
    mix = (beat + chords)[:, : 2 * RATE]
    soundfile.write(tmp_path / "mix.wav", mix.repeat(2, 1).T.numpy(), RATE, subtype="FLOAT")
    from_file, from_array, from_samples = separate_drums([tmp_path / "mix.wav", (mix, RATE), (mix[0].numpy(), RATE)])
    for drums, rate in (from_file, from_array, from_samples):
        assert rate == RATE
        torch.testing.assert_close(drums, builtin(mix), atol=1e-6, rtol=0)
    assert builtin(mix, 44100).shape == (1, math.ceil(mix.shape[1] * RATE / 44100))
    assert separate_drums([]) == []


def test_invalid_arguments(tmp_path):
    with pytest.raises(ValueError, match="auto, demucs, builtin"):
        separate_drums(torch.zeros(10), RATE, method="ear")
    with pytest.raises(FileNotFoundError):
        separate_drums(tmp_path / "absent.mp3")
    with pytest.raises(ValueError, match="`sampling_rate` is missing"):
        separate_drums(torch.zeros(10))


# Demucs


@pytest.fixture
def hub_folder(tmp_path, monkeypatch):
    """The only folder searched for Demucs weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("HOME", str(tmp_path))
    drums_module._demucs_model.cache_clear()
    yield tmp_path / "torch" / "hub" / "checkpoints"
    drums_module._demucs_model.cache_clear()


def test_without_demucs_the_builtin_network_is_used_and_logged(hub_folder, beat, caplog):
    diffusers_logging.enable_propagation()
    level = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity_info()
    try:
        with caplog.at_level(logging.INFO):
            drums, rate = separate_drums(beat, RATE)
    finally:
        diffusers_logging.set_verbosity(level)
        diffusers_logging.disable_propagation()
    assert "'builtin'" in caplog.text
    assert rate == RATE and torch.equal(drums, builtin(beat))


def test_missing_demucs_weights_are_reported(hub_folder, beat):
    if drums_module._demucs_package() is None:
        with pytest.raises(ImportError, match=r'pip install "diffusers-jasco\[drums\]"'):
            separate_drums(beat, RATE, method="demucs")
        return
    with pytest.raises(FileNotFoundError, match="https://.+ to .+checkpoints"):
        separate_drums(beat, RATE, method="demucs")
    # Other pickle files are not opened.
    hub_folder.mkdir(parents=True)
    torch.save({"klass": dict}, hub_folder / drums_module._DEMUCS_FILE)
    with pytest.raises(ValueError, match="not the file published by Demucs' authors"):
        separate_drums(beat, RATE, method="demucs")


def test_demucs_in_blocks(hub_folder, monkeypatch):
    """With random weights, the result equals Demucs on the whole recording."""
    if drums_module._demucs_package() is None:
        pytest.skip("Demucs is not installed")
    demucs = pytest.importorskip(f"{drums_module._demucs_package()}.htdemucs")
    apply = pytest.importorskip(f"{drums_module._demucs_package()}.apply")
    torch.manual_seed(0)
    arguments = {"sources": ["drums", "bass", "other", "vocals"], "channels": 8, "t_layers": 1, "segment": 1.0}
    model = demucs.HTDemucs(**arguments).eval()
    hub_folder.mkdir(parents=True)
    package = {"klass": demucs.HTDemucs, "args": (), "kwargs": arguments, "state": model.state_dict()}
    path = hub_folder / drums_module._DEMUCS_FILE
    torch.save(package, path)
    monkeypatch.setattr(drums_module, "_DEMUCS_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())

    audio = 0.1 * torch.randn(1, 6 * 44100 + 17, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(drums_module, "_DEMUCS_BLOCK", 3)
    drums, rate = separate_drums(audio, 44100, method="demucs")
    with torch.no_grad():
        loudness = audio.square().mean().sqrt()
        whole = apply.apply_model(model, (audio / loudness).expand(1, 2, -1), shifts=0)[0, 0].mean(dim=0, keepdim=True)
        whole *= loudness
    assert rate == 44100 and whole.abs().max() > 0
    torch.testing.assert_close(drums, whole, atol=1e-4 * float(whole.abs().max()), rtol=0)
    # Demucs is preferred if it is installed.
    assert separate_drums(audio[:, :44100], 44100)[1] == 44100
