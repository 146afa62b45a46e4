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


import json

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco.controls.chord_labels import NOTES
from diffusers_jasco.controls.progressions import chords_from_progression
from diffusers_jasco.extraction import extract_key
from diffusers_jasco.extraction.key import _combine, find_key_of_notes
from diffusers_jasco.utils.errors import InputError

from ..conftest import run_script
from ..evaluation.clips import RATE, play_chords


def play(progression, key):
    chords = chords_from_progression(progression, key, bpm=240)
    return play_chords(chords, chords[-1][1] + 1.0)


@pytest.mark.parametrize(
    ("progression", "mode"),
    [("axis", "major"), ("three chords", "major"), ("ii-V-I", "major"), ("minor axis", "minor"), ("folia", "minor")],
)
def test_the_keys_of_well_known_progressions(progression, mode):
    for tonic in ("C", "Eb", "F#"):
        assert extract_key(play(progression, f"{tonic} {mode}"), RATE) == f"{tonic} {mode}"


def test_transposed_music_has_a_transposed_key():
    keys = [extract_key(play("doo-wop", note), RATE) for note in NOTES]
    assert keys == [f"{note} major" for note in NOTES]


def test_repetition_does_not_change_the_key():
    loop = play("axis", "G")
    assert extract_key(loop.repeat(1, 6), RATE) == extract_key(loop, RATE) == "G major"


def test_detuned_music_has_the_same_key():
    audio = play("axis", "D")
    sharp = torch.nn.functional.interpolate(audio[None], scale_factor=2 ** (-0.3 / 12), mode="linear")[0]
    assert extract_key(sharp, RATE) == "D major"


def test_music_without_chords_has_no_key():
    assert extract_key(torch.zeros(1, RATE), RATE) is None
    noise = torch.randn(1, 3 * RATE, generator=torch.Generator().manual_seed(0))
    assert extract_key(0.1 * noise, RATE) is None


def test_files_and_lists(tmp_path):
    audio = play("axis", "D")
    soundfile.write(tmp_path / "song.wav", audio[0].numpy(), RATE)
    assert extract_key([tmp_path / "song.wav", str(tmp_path / "song.wav")]) == ["D major", "D major"]
    assert extract_key(audio[0].numpy(), RATE) == "D major"
    with pytest.raises(FileNotFoundError):
        extract_key(tmp_path / "absent.wav")
    with pytest.raises(InputError, match="sampling_rate"):
        extract_key(audio)


@pytest.mark.parametrize(
    "mode, degrees", [("major", [0, 2, 4, 5, 7, 9, 11, 12]), ("minor", [0, 2, 3, 5, 7, 8, 11, 12])]
)
def test_the_keys_of_melodies(mode, degrees):
    """Scales with longer notes on the tonic triad, in two octaves."""
    for tonic, name in enumerate(NOTES):
        lengths = [2.0 if index in (0, 2, 4, 7) else 1.0 for index in range(8)]
        notes = [(60 + tonic + degree, 3.0 * i, 3.0 * i + lengths[i]) for i, degree in enumerate(degrees)]
        assert find_key_of_notes(notes) == f"{name} {mode}"
        assert find_key_of_notes([(pitch - 12, start, end) for pitch, start, end in notes]) == f"{name} {mode}"
    assert find_key_of_notes([]) is None


def test_features_are_relative_to_the_tonic():
    chroma = np.eye(2, 12)
    features, first = _combine([("C", 0.0), ("G7", 2.0), ("N", 3.0)], chroma, 4.0)
    transposed, second = _combine([("D", 0.0), ("A7", 2.0), ("N", 3.0)], np.roll(chroma, 2, axis=1), 4.0)
    np.testing.assert_array_equal(np.roll(features, 2, axis=0), transposed)
    np.testing.assert_array_equal(np.roll(first, 2, axis=1), second)
    # In C major, "C" is the triad on degree 0, "G7" the seventh chord on degree 7, and "C" comes first.
    chords, transitions, degrees = np.split(features[0], [120, 264])
    assert np.argwhere(chords.reshape(12, 10)).tolist() == [[0, 0], [7, 2]]
    assert np.argwhere(transitions.reshape(12, 12)).tolist() == [[0, 7]]
    assert np.array_equal(degrees.reshape(2, 12), chroma) and np.argwhere(first).tolist() == [[0, 0]]


def test_the_estimator_is_trained_on_synthetic_music(tmp_path):
    pytest.importorskip("tinysoundfont")
    pytest.importorskip("mir_eval")
    options = ("--num_clips", 4, "--num_validation_clips", 4, "--num_keys", 1, "--renderer", "tinysoundfont")
    run_script("train_key_estimator", *options, "--output", tmp_path)
    weights = json.loads((tmp_path / "weights.json").read_text())
    assert list(weights) == ["major", "minor"] and np.shape(weights["minor"]["chords"]) == (12, 10)
    # The tonic chord speaks for its key, and the dominant leads to it.
    chords, transitions = (np.array(weights["major"][name]) for name in ("chords", "transitions"))
    assert chords[0, 0] > 0 > chords[1, 0] and transitions[7, 0] > 0
