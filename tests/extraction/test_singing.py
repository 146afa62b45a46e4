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

"""Notes of single voices."""

import sys

import numpy as np
import pytest
import torch

from diffusers_jasco.controls.melody import melody_from_notes, melody_from_salience, melody_to_notes, notes_to_bins
from diffusers_jasco.data.synthetic.voices import VOICES, compose_melody, sing
from diffusers_jasco.extraction import extract_lead_sheet, extract_melody, extract_salience, singing
from diffusers_jasco.extraction.singing import track_notes
from diffusers_jasco.inputs import InputError, SingleVoice, is_melody, read_melody

from .test_melody import MELODY, RATE, play


pytest.importorskip("swift_f0")

REPEATED = [(64, 0.4, 0.8), (64, 0.8, 1.2), (64, 1.2, 1.6), (67, 1.6, 2.0), (67, 2.0, 2.4), (64, 2.4, 3.2)]


def keys(notes) -> list[int]:
    return [key for key, *_ in notes]


def assert_notes(estimate, notes, tolerance: float = 0.05):
    assert keys(estimate) == keys(notes)
    starts, expected = ([start for _, start, _ in part] for part in (estimate, notes))
    assert np.abs(np.subtract(starts, expected)).max() < tolerance


@pytest.mark.parametrize("octaves", [-2, 0, 2])
def test_vibrato_and_glides_give_no_notes(octaves):
    sung = [(key + 12 * octaves, start, end) for key, start, end in MELODY]
    estimate = track_notes(play(sung, 5.0, vibrato=0.9, glide=0.06, tuning=0.3), RATE)
    assert_notes(estimate, sung)
    if octaves == 0:
        assert all(abs(end - note[2]) < 0.08 for (*_, end), note in zip(estimate, MELODY))


@pytest.mark.parametrize("glide", [0.05, 0.15])
def test_a_glide_gives_two_notes(glide):
    notes = [(55, 0.3, 1.0), (62, 1.0, 1.7), (55, 1.7, 2.5)]
    assert_notes(track_notes(play(notes, 3.0, glide=glide), RATE), notes, tolerance=0.05 + glide / 2)


def test_fast_notes_are_kept():
    sixteenth = 60 / 140 / 4
    tune = [60, 62, 64, 65, 67, 65, 64, 62, 60, 64, 67, 72]
    notes = [(key, 0.3 + i * sixteenth, 0.3 + (i + 1) * sixteenth) for i, key in enumerate(tune)]
    assert_notes(track_notes(play(notes, 2.0), RATE), notes, tolerance=0.04)


@pytest.mark.parametrize("frame_rate", [25.0, 50.0, 86.0])
def test_repeated_notes_are_separate(frame_rate):
    melody = extract_melody(play(REPEATED, 3.5, vibrato=0.3), RATE, method="monophonic", frame_rate=frame_rate)
    assert melody.shape == (53, -(-3.5 * frame_rate // 1))
    assert_notes(melody_to_notes(melody, frame_rate), REPEATED, tolerance=0.05 + 1 / frame_rate)


def test_repeated_notes_in_salience_and_lead_sheets():
    voice = play(REPEATED, 3.5)
    salience, _, _ = extract_salience(voice, RATE, method="monophonic")
    assert_notes(melody_to_notes(melody_from_salience(salience, 175, 50.0), 50.0), REPEATED)
    sheet = extract_lead_sheet(voice, RATE, bpm=150, beats_per_bar=4, melody_method="monophonic")
    assert keys(sheet.melody) == keys(REPEATED)
    lengths = [end - start for _, start, end in sheet.melody]
    assert lengths[:5] == [1] * 5


def test_the_lead_sheet_of_a_voice_has_a_key_but_no_chords():
    scale = [67, 69, 71, 72, 74, 76, 78, 79]
    notes = [(key, 0.5 * i, 0.5 * i + 0.45) for i, key in enumerate(scale)]
    sheet = extract_lead_sheet(play(notes, 4.5), RATE, bpm=120, beats_per_bar=4, melody_method="monophonic")
    assert keys(sheet.melody) == scale and sheet.chords == () and sheet.key == "G major"
    assert "chords" not in sheet.to_controls()
    silence = extract_lead_sheet(torch.zeros(1, RATE), RATE, melody_method="monophonic")
    assert (silence.chords, silence.melody, silence.key) == ((), (), "")


def test_repeated_notes_have_an_empty_frame_before_them():
    notes = [(60, 0.0, 0.1), (60, 0.1, 0.2), (62, 0.2, 0.22), (62, 0.22, 0.24), (62, 0.24, 0.3), (60, 0.35, 0.36)]
    bins = notes_to_bins(notes, 20, 50.0).tolist()
    # Notes of a single frame are merged with the next one.
    assert bins == [17, 17, 17, 17, -1, 17, 17, 17, 17, 17, 19, 19, 19, 19, 19, -1, -1, -1, 17, -1]
    assert notes_to_bins(notes, 4, 50.0).tolist() == bins[:4]
    apart = [(60, 0.0, 0.1), (62, 0.1, 0.2), (60, 0.24, 0.3)]
    matrix = melody_from_notes(apart, 20, 50.0)
    assert torch.equal(torch.where(matrix.any(1), matrix.argmax(1), -1).to(torch.int8), notes_to_bins(apart, 20, 50.0))


def test_notes_outside_the_range_of_the_control(warnings):
    """They are transposed by octaves in matrices and salience, with a warning, but not in lead sheets."""
    sung = [(45, 0.2, 0.7), (43, 0.7, 1.2), (41, 1.2, 1.7), (43, 1.7, 2.2)]
    voice = play(sung, 2.5)
    for estimate in (extract_melody, extract_salience):
        warnings.clear()
        result = estimate(voice, RATE, method="monophonic")
        message = "1 of 4 notes of the melody (25%) was outside G2–B6 and transposed by octaves"
        assert [message in record.message for record in warnings.records] == [True]
        matrix = result if torch.is_tensor(result) else melody_from_salience(result[0], 125, 50.0)
        assert keys(melody_to_notes(matrix, 50.0)) == [45, 43, 53, 43]
    warnings.clear()
    sheet = extract_lead_sheet(voice, RATE, bpm=120, beats_per_bar=4, melody_method="monophonic")
    assert keys(sheet.melody) == keys(sung) and not warnings.records
    # The control of a sheet is transposed as a whole.
    assert keys(sheet.to_controls()["melody"]) == [57, 55, 53, 55]
    warnings.clear()
    extract_melody(play(sung[:2], 1.5), RATE, method="monophonic")
    assert not warnings.records


def test_a_single_voice_as_a_control():
    """A `SingleVoice` is read at the frame rate of the model, from `start` on, unlike a matrix."""
    voice = play(REPEATED, 3.5)
    for frame_rate in (25.0, 50.0):
        matrix = extract_melody(voice, RATE, method="monophonic", frame_rate=frame_rate).T
        num_frames = len(matrix)
        assert torch.equal(read_melody(SingleVoice((voice, RATE)), num_frames, frame_rate), matrix)
        first = round(1.2 * frame_rate)
        late = read_melody(SingleVoice((voice, RATE)), num_frames - first, frame_rate, start=1.2)
        assert (late == matrix[first:]).all(dim=1).float().mean() > 0.95
    assert is_melody(SingleVoice("hum.wav")) and not is_melody([SingleVoice("hum.wav"), None])
    with pytest.raises(InputError, match="`melody`: a `SingleVoice` has to be a recording, but is 'C4 D4'"):
        read_melody(SingleVoice("C4 D4"), 10, 10.0, bpm=60)
    with pytest.raises(FileNotFoundError):
        read_melody(SingleVoice("absent.wav"), 10, 10.0)


def test_noise_and_silence_have_no_notes():
    noise = np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32)
    assert track_notes(0.1 * noise, RATE) == [] and track_notes(np.zeros(RATE, np.float32), RATE) == []
    assert track_notes(np.zeros(1, np.float32), RATE) == []
    assert extract_melody(torch.zeros(1, 1), RATE, method="monophonic").shape == (53, 1)


def test_results_depend_on_neither_the_blocks_nor_the_level(monkeypatch):
    voice = play(MELODY, 5.0, vibrato=0.5, glide=0.06)
    whole = track_notes(voice, RATE)
    assert track_notes(voice, RATE) == whole and keys(track_notes(0.02 * voice, RATE)) == keys(whole)
    monkeypatch.setattr(singing, "_BLOCK", 100)
    assert track_notes(voice, RATE) == whole


def test_sung_tunes():
    """Voices with consonants, breaths, drift, vibrato, scoops and noise."""
    for index, voice in enumerate(VOICES):
        rng = np.random.default_rng([0, index])
        notes = compose_melody(voice, 4.0, rng)
        audio = sing(notes, 4.0, voice, rng)
        assert audio.shape == (128000,) and audio.dtype == np.float32 and 0.4 < np.abs(audio).max() <= 0.5
        if voice.syllables == "hum":
            # Repeated notes are hard to hear without consonants.
            notes = [note for before, note in zip([(0, 0, 0), *notes], notes) if before[0] != note[0]]
        estimate = track_notes(audio, 32000)
        found = sum(
            any(key == note[0] and abs(start - note[1]) < 0.07 for key, start, _ in estimate) for note in notes
        )
        assert found >= 0.8 * len(notes) and len(estimate) <= max(1.2 * len(notes), len(notes) + 1), voice.name


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "swift_f0", None)
    with pytest.raises(ImportError, match=r"swift_f0: pip install \"diffusers-jasco\[extraction\]\""):
        extract_melody(torch.zeros(100), RATE, method="monophonic")
