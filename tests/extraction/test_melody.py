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
import torch

from diffusers_jasco.audio.stream import AudioStream
from diffusers_jasco.controls.melody import melody_from_notes
from diffusers_jasco.extraction import deep_salience, extract_melody, extract_salience
from diffusers_jasco.extraction import melody as melody_module
from diffusers_jasco.extraction.salience_model import CONTEXT, HOP, SalienceModel, log_frequency_levels
from diffusers_jasco.loaders.audiocraft.compat import fold_semitones_above_g2

from .weights import write_deep_salience_weights


RATE = 22050


def play(notes, duration: float, vibrato: float = 0.0, glide: float = 0.0, tuning: float = 0.0) -> torch.Tensor:
    """
    A voice with seven harmonics. `notes` are (MIDI number, start, end), `vibrato` and `tuning` are in semitones, and
    `glide` is in seconds.
    """
    time = np.arange(round(duration * RATE)) / RATE
    pitch, level, last = np.zeros(len(time)), np.zeros(len(time)), None
    for key, start, end in notes:
        inside = (time >= start) & (time < end)
        elapsed = time[inside] - start
        pitch[inside] = key + tuning + vibrato * np.sin(2 * np.pi * 5.5 * elapsed)
        if glide and last is not None:
            pitch[inside] += (last - key) * np.clip(1 - elapsed / glide, 0, 1)
        level[inside] = np.minimum(1, np.minimum(elapsed / 0.01, (end - time[inside]) / 0.02)).clip(0, 1)
        last = key
    phase = 2 * np.pi * np.cumsum(440 * 2 ** ((pitch - 69) / 12)) / RATE
    voice = 0.2 * level * sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 8))
    return torch.from_numpy(voice + 1e-4 * np.random.default_rng(0).standard_normal(len(time))).float()


def chroma_accuracy(melody: torch.Tensor, notes, frame_rate: float = 50.0) -> tuple[float, float]:
    """Raw chroma accuracy and voicing false alarm rate."""
    reference = melody_from_notes(notes, melody.shape[1], frame_rate).T
    voiced = reference.any(dim=0)
    correct = melody.any(dim=0) & ((melody.argmax(dim=0) - reference.argmax(dim=0)) % 12 == 0)
    return correct[voiced].float().mean().item(), melody.any(dim=0)[~voiced].float().mean().item()


MELODY = [
    (60, 0.5, 1.0),
    (62, 1.0, 1.25),
    (64, 1.25, 1.5),
    (67, 1.5, 2.3),
    (67, 2.8, 3.4),
    (65, 3.4, 3.6),
    (60, 3.6, 4.5),
]


# The built-in network


def test_salience_equals_the_levels_of_semitones():
    for key in (24, 43, 60, 95, 119):
        tone = torch.sin(2 * math.pi * 440 * 2 ** ((key - 69) / 12) * torch.arange(2 * CONTEXT + 20 * HOP) / RATE)
        levels = log_frequency_levels(tone[None])
        assert levels.shape == (1, 20, 500)
        assert (levels.argmax(dim=-1) == 5 * (key - 24)).all()
        # Longer filters have larger gains, in proportion to the square root of their length.
        assert abs(levels.max() - (41.6 - 10 * math.log10(2) * (key - 24) / 12)) < 0.2
        assert torch.allclose(log_frequency_levels(tone[None], stride=4), levels[:, ::4], atol=1e-3)


def test_the_builtin_network_finds_a_melody():
    melody = extract_melody(play(MELODY, 5.0), RATE, method="builtin")
    accuracy, false_alarms = chroma_accuracy(melody, MELODY)
    assert accuracy >= 0.9 and false_alarms <= 0.2
    # "auto" without weights, and lists.
    again, quiet = extract_melody([play(MELODY, 5.0), 0.01 * play(MELODY, 5.0)], RATE)
    assert torch.equal(melody, again) and (melody == quiet).all(dim=0).float().mean() > 0.97


def test_the_builtin_network_in_blocks(monkeypatch):
    voice = play(MELODY, 5.0)
    whole, times, frequencies = extract_salience(voice, RATE, method="builtin", threshold=0.0)
    assert whole.shape == (53, 1 + 5 * RATE // 256) and whole.min() >= 0 and whole.max() <= 1
    assert np.allclose(times[:2], [0, 256 / RATE]) and np.allclose(frequencies[[2, 26]], [110, 440])
    monkeypatch.setattr(melody_module, "_BLOCK", 100)
    parts, _, _ = extract_salience(voice, RATE, method="builtin", threshold=0.0)
    assert np.abs(whole - parts).max() < 1e-3


def test_silence_has_no_melody():
    for method in ("builtin", "monophonic"):
        if method == "monophonic":
            pytest.importorskip("swift_f0")
        assert not extract_melody(torch.zeros(RATE // 2), RATE, method=method).any()
    assert extract_melody(torch.zeros(1, 1), RATE).shape == (53, 1)


def test_the_model_depends_only_on_its_context():
    model = SalienceModel().eval()
    levels = -80 * torch.rand(1, 81, 500)
    changed = levels.clone()
    changed[:, :20] = 0
    with torch.no_grad():
        difference = (model(levels) - model(changed)).abs().amax(dim=-1)[0]
    assert difference[20 + model.context - 1] > 0 and (difference[20 + model.context :] < 1e-5).all()


# Deep salience


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_deep_salience_weights(tmp_path_factory.mktemp("weights") / "multif0.h5")


def test_published_weights_are_read(weights):
    import h5py

    model = deep_salience.DeepSalience.from_keras(weights)
    harmonics = torch.rand(1, 6, 360, 9, generator=torch.Generator().manual_seed(0))
    with h5py.File(weights) as file, torch.no_grad():
        salience = model(harmonics)
        # The first layer computed by hand at one position, on normalized input: (frequency, time, in, out).
        norm = {
            name: torch.from_numpy(values[:])
            for name, values in file["batch_normalization_79/batch_normalization_79_14"].items()
        }
        scale = norm["gamma:0"] / (norm["moving_variance:0"] + 1e-3).sqrt()
        hidden = (harmonics[0] - norm["moving_mean:0"][:, None, None]) * scale[:, None, None]
        hidden += norm["beta:0"][:, None, None]
        kernel = torch.from_numpy(file["bendy1/bendy1_14/kernel:0"][:])
        expected = torch.einsum("cft,ftco->o", hidden[:, 98:103, 2:7], kernel)
        expected += torch.from_numpy(file["bendy1/bendy1_14/bias:0"][:])
        assert torch.allclose(model.convs[0](model.norms[0](harmonics))[0, :, 100, 4], expected, atol=1e-4)
    assert salience.shape == (1, 360, 9) and 0 <= salience.min() and salience.max() <= 1


@pytest.mark.parametrize("num_bins", [12, 13])
def test_two_bins_at_a_time_give_the_same_numbers(num_bins):
    conv = torch.nn.Conv2d(3, 8, (70, 3), padding="same")
    hidden = torch.rand(1, 3, num_bins, 5)
    with torch.no_grad():
        assert torch.allclose(deep_salience._convolve_pairs(conv, hidden), conv(hidden), atol=1e-5)


def test_invalid_weights_are_rejected(tmp_path, weights):
    h5py = pytest.importorskip("h5py")
    with pytest.raises(FileNotFoundError, match="absent.h5"):
        extract_melody(torch.zeros(100), RATE, weights=tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("no weights")
    with pytest.raises(ValueError, match="does not contain the network's weights"):
        extract_melody(torch.zeros(100), RATE, weights=tmp_path / "text.h5")
    (tmp_path / "other.h5").write_bytes(weights.read_bytes())
    with h5py.File(tmp_path / "other.h5", "a") as file:
        del file["squishy/squishy_14/bias:0"]
        file["squishy/squishy_14/bias:0"] = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=r"shape \(3,\) instead of \(1,\)"):
        extract_melody(torch.zeros(100), RATE, weights=tmp_path / "other.h5")


def test_levels_equal_those_of_the_teacher():
    pytest.importorskip("librosa")
    audio = play(MELODY, 5.0)
    num_frames = 1 + len(audio) // HOP
    expected = next(deep_salience._harmonic_transforms(AudioStream(audio, RATE, RATE), num_frames))[1]
    levels = log_frequency_levels(torch.nn.functional.pad(audio[None], (CONTEXT, CONTEXT)))[0, :num_frames, :360].T
    expected = torch.from_numpy(20 * np.log10(np.maximum(expected, 1e-7)))
    audible = expected > expected.max() - 40
    assert (levels - expected)[audible].abs().mean() < 0.1


def test_chunked_transforms_equal_one_shot(monkeypatch):
    librosa = pytest.importorskip("librosa")
    audio = play([(50, 0.0, 9.0), (72, 9.0, 20.0)], 20.0)
    monkeypatch.setattr(deep_salience, "CHUNK", 640)
    num_frames = 1 + len(audio) // 256
    chunks = list(deep_salience._harmonic_transforms(AudioStream(audio, RATE, RATE), num_frames))
    assert [chunk.shape[-1] for chunk in chunks] == [640, 640, num_frames - 1280]
    for index, harmonic in ((0, 0.5), (3, 3)):
        arguments = {"hop_length": 256, "fmin": 32.7 * harmonic, "n_bins": 360, "bins_per_octave": 60}
        whole = np.abs(librosa.cqt(audio.numpy(), sr=RATE, **arguments))
        error = np.abs(np.concatenate(chunks, axis=-1)[index] - whole).max()
        assert error < 2e-3 * whole.max()


def test_semitones_have_the_maximum_of_their_bins():
    salience = np.zeros((3, 360), dtype=np.float32)
    # MIDI 60 is 17 semitones above 43, whose center row is 95.
    salience[0, [95 + 5 * 17 - 2, 95 + 5 * 17 + 2]] = 0.3, 0.7
    salience[1, 95] = 0.9  # G2's row
    salience[2, 357] = 0.8  # the highest row that is used
    folded = deep_salience.fold_semitones(salience)
    assert folded.shape == (3, 53) and folded[0].argmax() == 17 and folded[0].max() == np.float32(0.7)
    assert folded[1, 0] == np.float32(0.9) and folded[2, 52] == np.float32(0.8)
    # AudioCraft ignores the center bin of G2 and all lower bins.
    audiocraft = fold_semitones_above_g2(salience)
    assert not audiocraft[1].any() and np.array_equal(audiocraft[[0, 2]], folded[[0, 2]])


def test_deep_salience_runs(weights):
    pytest.importorskip("librosa")
    voice = play([(60, 0.0, 0.6)], 0.6)
    salience, times, _ = extract_salience(voice, RATE, threshold=0.0, weights=weights)
    assert salience.shape == (53, 1 + round(0.6 * RATE) // 256) and len(times) == salience.shape[1]
    kept, _, _ = extract_salience(voice, RATE, method="deep_salience", threshold=0.5, weights=weights)
    assert np.array_equal(kept, np.where(salience >= 0.5, salience, 0))
    melody = extract_melody(voice, RATE, weights=weights, frame_rate=25.0)
    assert melody.shape == (53, 15)


def test_invalid_arguments_are_reported():
    audio = torch.zeros(100)
    for arguments, message in (
        ({"method": "crepe"}, "`method` has to be one of auto, builtin, deep_salience, monophonic"),
        ({"threshold": 1.5}, "`threshold` has to be a number from 0 to 1"),
        ({"frame_rate": 0.0}, "`frame_rate` has to be a number of Hz above 0"),
        ({"method": "deep_salience"}, "needs `weights`: the file multif0.h5"),
        ({"method": "builtin", "weights": "a.h5"}, "can only be used with method='deep_salience'"),
    ):
        with pytest.raises(ValueError, match=message):
            extract_melody(audio, RATE, **arguments)
