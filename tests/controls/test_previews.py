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

import pytest
import torch

from diffusers_jasco.controls.chord_labels import UNKNOWN_CHORD, default_chord_labels
from diffusers_jasco.controls.melody import melody_from_notes, melody_to_notes
from diffusers_jasco.controls.previews import preview_chords, preview_melody
from diffusers_jasco.evaluation.estimators.melody import melody_by_harmonic_sum
from diffusers_jasco.extraction import extract_chords


CHORDS = [("C", 0.0), ("Am7", 2.0), ("D7/F#", 4.0), ("Gm", 6.0)]
MELODY = [("C4", 0.0, 1.0), ("F#5", 1.0, 2.0), ("A3", 2.5, 4.0)]


def test_extracted_chords_match():
    audio = preview_chords(CHORDS, 8.0, 32000)
    assert audio.shape == (1, 256000) and audio.dtype == torch.float32
    assert [label for label, _ in extract_chords(audio, 32000, method="builtin")] == [label for label, _ in CHORDS]


def test_no_chord_of_the_vocabulary_clips_or_is_silent():
    for label in default_chord_labels():
        peak = preview_chords([(label, 0.0)], 2.0, 16000).abs().max()
        assert peak == 0 if label in ("N", UNKNOWN_CHORD) else 0.2 < peak < 0.9, label


def test_the_estimated_melody_matches():
    audio = preview_melody(MELODY, 4.0, 16000)
    assert audio.shape == (1, 64000) and audio.abs().max() <= 0.6
    estimate = melody_by_harmonic_sum((audio, 16000))
    assert [estimate[frame] for frame in (25, 75, 160)] == [60, 78, 57]
    assert audio[:, 33000:39000].abs().max() == 0


def test_a_matrix_sounds_like_its_notes():
    matrix = melody_from_notes(MELODY, 200, 50.0)
    assert torch.equal(preview_melody(melody_to_notes(matrix, 50.0), 4.0, 16000), preview_melody(MELODY, 4.0, 16000))


def test_tones_fade_in_and_out():
    for audio in (preview_chords(CHORDS, 8.0, 16000), preview_melody(MELODY, 4.0, 16000)):
        # A click is a jump that exceeds the largest sample-to-sample difference of these tones.
        assert audio.diff().abs().max() < 0.35 and audio[:, 0] == 0 and audio[:, -1] == 0


def test_invalid_controls_are_rejected():
    with pytest.raises(ValueError, match="unknown chord 'X7'"):
        preview_chords([("X7", 0.0)], 1.0, 16000)
    with pytest.raises(ValueError, match="note 0"):
        preview_melody([("H4", 0.0, 1.0)], 1.0, 16000)
