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

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco.extraction import extract_chords
from diffusers_jasco.extraction.chords import _find_plugin
from diffusers_jasco.inputs import read_chords

from ..evaluation.clips import play_chords, play_melody


RATE = 32000
PROGRESSION = [("C", 0.0), ("Am", 2.0), ("F", 4.0), ("G7", 6.0), ("Em", 8.0)]


@pytest.fixture(scope="module")
def music():
    return play_chords(PROGRESSION, 10.0, RATE)


def assert_close(estimate, expected, tolerance=0.25):
    assert [label for label, _ in estimate] == [label for label, _ in expected]
    assert all(abs(start - reference) < tolerance for (_, start), (_, reference) in zip(estimate, expected))


def test_the_builtin_estimator_finds_a_progression(music):
    assert_close(extract_chords(music, RATE, method="builtin"), PROGRESSION)


def test_estimates_do_not_depend_on_level_or_tuning(music):
    estimate = extract_chords(0.01 * music, RATE, method="builtin")
    assert_close(estimate, PROGRESSION)
    # A quarter of a semitone sharp: played faster.
    sharp = torch.nn.functional.interpolate(music[None], scale_factor=2 ** (-0.25 / 12), mode="linear")[0]
    assert_close(extract_chords(sharp, RATE, method="builtin"), PROGRESSION)


def test_silence_and_rests_have_no_chord(music):
    assert extract_chords(torch.zeros(1, RATE), RATE, method="builtin") == [("N", 0.0)]
    music = music.clone()
    music[:, 4 * RATE : 6 * RATE] = 0
    estimate = extract_chords(music, RATE, method="builtin")
    assert_close(estimate, [("C", 0.0), ("Am", 2.0), ("N", 4.0), ("G7", 6.0), ("Em", 8.0)], tolerance=0.35)


def test_noise_has_no_chord():
    noise = torch.randn(1, 3 * RATE, generator=torch.Generator().manual_seed(0))
    assert extract_chords(0.1 * noise, RATE, method="builtin") == [("N", 0.0)]


def test_inversions_are_distinguished_from_root_position():
    # A triad in the middle over each of its notes in the bass.
    for label, bass in (("C", 36), ("C/E", 40), ("C/G", 43)):
        triad = [(pitch, 0.0, 3.0) for pitch in (60, 64, 67)]
        audio = play_melody(triad, 3.0, RATE) + play_melody([(bass, 0.0, 3.0)], 3.0, RATE)
        assert extract_chords(audio, RATE, method="builtin") == [(label, 0.0)]


def test_long_recordings_equal_short_ones(music):
    twice = extract_chords(torch.cat([music, music], dim=1), RATE, method="builtin")
    assert_close(twice, PROGRESSION + [(label, start + 10) for label, start in PROGRESSION])


def test_several_recordings(music):
    both = extract_chords([music, music[:, : 4 * RATE]], RATE, method="builtin")
    assert both == [extract_chords(music, RATE, method="builtin"), both[1]] and len(both[1]) == 2


def test_the_pipeline_accepts_recordings_as_chords(music, tmp_path):
    soundfile.write(tmp_path / "song.wav", music[0].numpy(), RATE)
    chords = read_chords(tmp_path / "song.wav", duration=5.0)
    assert chords == read_chords(str(tmp_path / "song.wav"), duration=5.0)
    assert [label for label, _ in chords if label != "N"] == ["C", "Am", "F"]


def test_invalid_arguments(tmp_path):
    with pytest.raises(ValueError, match="'auto', 'chordino' or 'builtin'"):
        extract_chords(torch.zeros(10), RATE, method="ear")
    with pytest.raises(FileNotFoundError):
        extract_chords(tmp_path / "absent.mp3")
    if _find_plugin() is None:
        with pytest.raises(ImportError, match="pip install --no-deps chord-extractor"):
            extract_chords(torch.zeros(10), RATE, method="chordino")


@pytest.mark.skipif(_find_plugin() is None, reason="needs chord-extractor and vamphost")
def test_the_plugin_finds_the_same_progression(music):
    estimate = extract_chords(music, RATE, method="chordino")
    assert_close([chord for chord in estimate if chord[0] != "N"], PROGRESSION, tolerance=0.6)
    assert np.isfinite([start for _, start in estimate]).all()
