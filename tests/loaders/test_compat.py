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

"""Melodies as AudioCraft reads them: late where it is late, and otherwise as ours."""

import math

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco.controls.previews import preview_melody
from diffusers_jasco.extraction import extract_salience
from diffusers_jasco.inputs import InputError, read_melody
from diffusers_jasco.loaders.audiocraft.compat import late_melody_from_salience, read_melody_late


NOTES = [("C4", 0.0, 0.5), (64, 0.5, 1.0), ("Bb5", 1.5, 2.0)]


def original_melody(salience, duration, frame_rate):
    """AudioCraft's loader for the salience map of a track at offset 0, step by step."""
    salience = torch.tensor(salience[:, : int(duration * 86)]).float()
    frames = int(duration * frame_rate)
    resampled = torch.nn.functional.interpolate(salience[None], scale_factor=frame_rate / 86, mode="linear")[0]
    resampled = torch.nn.functional.pad(resampled, (0, max(0, frames - resampled.shape[-1])))[:, :frames]
    mask = torch.zeros_like(resampled)
    for frame in range(frames):
        strongest = int(resampled[:, frame].argmax())
        mask[strongest, frame] = float(resampled[strongest, frame] != 0)
    return mask.T


@pytest.mark.parametrize("frames_in", [860, 1000, 430, 3])
def test_salience_maps_are_read_as_by_audiocraft(tmp_path, frames_in):
    generator = np.random.default_rng(0)
    salience = generator.random((53, frames_in)).astype(np.float16)
    salience[salience < 0.97] = 0
    path = tmp_path / "a.npz"
    np.savez(path, salience=salience, times=np.arange(frames_in), freqs=np.arange(53))
    melody = read_melody_late(path, 500, 50.0)
    assert melody.shape == (500, 53) and 0 < melody.sum() < 500
    assert torch.equal(melody, original_melody(salience, 10.0, 50.0))


def test_times_are_scaled_by_the_ratio_of_the_two_rates():
    salience = np.zeros((53, 20000), dtype=np.float32)
    salience[10, round(200 * 22050 / 256) :] = 1
    assert late_melody_from_salience(salience, 11000, 50.0)[:, 10].nonzero()[0] == 10015


def test_recordings_are_read_late_as_by_audiocraft(tmp_path):
    rate, duration = 22050, 3.3
    audio = preview_melody(NOTES, duration, rate)
    soundfile.write(tmp_path / "melody.wav", audio[0].numpy(), rate, subtype="FLOAT")
    salience, _, _ = extract_salience(audio, rate)
    # The whole recording is interpolated, and cut afterwards.
    expected = original_melody(salience, math.ceil(duration * 50) / 50, 50.0)[:100]
    for melody in (tmp_path / "melody.wav", (audio, rate), {"array": audio.numpy(), "sampling_rate": rate}):
        assert torch.equal(read_melody_late(melody, 100, 50.0), expected)
    assert expected.any()


def test_other_melodies_are_read_in_time(tmp_path):
    matrix = read_melody(NOTES, 25, 10.0)
    torch.save(matrix, tmp_path / "melody.th")
    for melody in (NOTES, matrix, matrix.T.numpy(), tmp_path / "melody.th"):
        assert torch.equal(read_melody_late(melody, 25, 10.0), matrix)


def test_errors_equal_those_of_read_melody(tmp_path):
    np.savez(tmp_path / "map.npz", salience=np.zeros((7, 9)))
    (tmp_path / "melody.wav").write_text("no audio")
    for melody in (3, [("H", 0, 1)], tmp_path / "map.npz", tmp_path / "melody.wav", "song.xyz"):
        errors = []
        for read in (read_melody, read_melody_late):
            with pytest.raises(InputError) as error:
                read(melody, 25, 10.0)
            errors.append((str(error.value), error.value.argument, error.value.position))
        assert errors[0] == errors[1] and errors[0][1] == "melody"
