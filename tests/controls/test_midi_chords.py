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

"""Chords of MIDI files, tested with arrangements of known progressions in many textures."""

from pathlib import Path

import pytest

from diffusers_jasco.controls.chord_labels import parse_chord
from diffusers_jasco.controls.chords import chords_from_midi
from diffusers_jasco.evaluation.metrics.chords import score_chords
from diffusers_jasco.inputs import read_chords, read_melody

from .midi_files import TEXTURES, arrange, midi, note_events, song, track


CASES = Path(__file__).parents[1] / "fixtures/cases"
PROGRESSIONS = {  # (label, beats), and beats per bar
    "pop": ([("C", 4), ("G", 4), ("Am", 4), ("F", 4)] * 2, 4),
    "two a bar": ([("Am", 2), ("F", 2), ("C", 2), ("G", 2)] * 4, 4),
    "jazz": ([("Dm7", 4), ("G7", 4), ("Cmaj7", 8), ("Em7b5", 2), ("A7", 2), ("Dm", 4)] * 2, 4),
    "minor": ([("F#m", 4), ("D", 4), ("E", 4), ("C#7", 4)] * 2, 4),
    "chromatic": ([("C", 4), ("Ab", 4), ("Bb", 4), ("C", 4), ("Fm", 4), ("C#", 4), ("Eb", 4), ("G", 4)], 4),
    "in three": ([("G", 3), ("Em", 3), ("C", 3), ("D7", 3)] * 4, 3),
}
# Minimum mean overlap per texture.
MIN_OVERLAP = {
    "block": 0.999,
    "with_melody": 0.98,
    "staccato": 0.95,
    "waltz": 0.95,
    "alberti": 0.93,
    "arpeggio": 0.93,
    "offbeats": 0.93,
}


@pytest.mark.parametrize("texture", TEXTURES)
def test_known_progressions_in_many_textures(texture, tmp_path, capsys):
    scores = []
    for number, (chords, beats_per_bar) in enumerate(PROGRESSIONS.values()):
        bpm = (120, 72, 168)[number % 3]
        expected, end = arrange(tmp_path / "song.mid", texture, chords, bpm, beats_per_bar)
        scores.append(score_chords(chords_from_midi(tmp_path / "song.mid"), expected, end)["majmin"])
    mean = sum(scores) / len(scores)
    with capsys.disabled():
        print(f"\nmajmin of MIDI chords, {texture}: {mean:.3f} (minimum {min(scores):.3f})")
    assert mean >= MIN_OVERLAP.get(texture, 0.88) and min(scores) >= 0.75


def test_broken_chords_in_eighth_notes_are_one_chord_per_bar():
    assert read_chords(CASES / "arpeggio.mid", duration=7.9) == [("C", 0.0), ("Am", 2.0), ("F", 4.0), ("G", 6.0)]


@pytest.mark.parametrize("texture", ["arpeggio", "offbeats", "waltz"])
def test_live_recordings_that_ignore_the_tempo_map(texture, tmp_path):
    chords, beats_per_bar = PROGRESSIONS["in three" if texture == "waltz" else "pop"]
    expected, end = arrange(tmp_path / "song.mid", texture, chords, 100, beats_per_bar, shift=0.37)
    assert score_chords(chords_from_midi(tmp_path / "song.mid"), expected, end)["majmin"] > 0.8


def test_block_chords_are_read_directly(tmp_path):
    """Qualities, inversions and arbitrary times, also with drums."""
    chords = [("C", 0.0), ("Am7", 0.77), ("F#/A#", 1.5), ("Cm7b5", 2.13), ("Caug", 2.9), ("G7", 3.0), ("Cm6", 4.41)]
    notes = []
    for (label, start), (_, end) in zip(chords, [*chords[1:], ("", 6.0)]):
        chord = parse_chord(label)
        pitches = {36 + chord.bass_pitch_class} | {48 + tone for tone in chord.pitch_classes}
        notes += [(pitch, start, end) for pitch in pitches]
    path = song(tmp_path / "song.mid", [("", 0, 0, notes), ("Drums", 9, 0, [(38, 0.1, 0.2), (36, 2, 2.1)])], bpm=97)
    read = chords_from_midi(path)
    assert [label for label, _ in read] == [*(label for label, _ in chords), "N"]
    assert [start for _, start in read] == pytest.approx([*(start for _, start in chords), 6.0], abs=2e-3)


@pytest.mark.parametrize("gap", [0.01, 0.04, 0.05, 0.06, 0.12])
def test_chords_that_are_released_early_have_no_gaps(gap, tmp_path):
    chords = [("C", 0.0), ("Am", 2.0), ("F", 4.0), ("G", 6.0)]
    notes = []
    for label, start in chords:
        chord = parse_chord(label)
        pitches = {36 + chord.bass_pitch_class, *(48 + tone for tone in chord.pitch_classes)}
        notes += [(pitch, start, start + 2 - gap) for pitch in pitches]
    read = chords_from_midi(song(tmp_path / "song.mid", [("", 0, 0, notes)]))
    assert [label for label, _ in read] == ["C", "Am", "F", "G", "N"]
    assert [start for _, start in read] == pytest.approx([0.0, 2.0, 4.0, 6.0, 8.0 - gap], abs=2e-3)


def test_several_bars_of_silence_are_no_chord(tmp_path):
    notes = [
        (pitch, bar + beat / 2, bar + beat / 2 + 0.4) for bar in (0, 8) for beat, pitch in enumerate((48, 52, 55, 60))
    ]
    read = chords_from_midi(song(tmp_path / "song.mid", [("", 0, 0, notes)]))
    assert [label for label, _ in read] == ["C", "N", "C", "N"]


def test_a_track_of_chords_is_preferred(tmp_path):
    chords = [
        (pitch, bar, bar + 1) for bar, root in enumerate((60, 65, 67, 60)) for pitch in (root, root + 4, root + 7)
    ]
    melody = [(pitch, i / 4, (i + 1) / 4) for i, pitch in enumerate((74, 77, 81, 76, 72, 71, 69, 70) * 2)]
    path = song(tmp_path / "song.mid", [("Flute", 0, 73, melody), ("Chords", 1, 0, chords)])
    assert [label for label, _ in chords_from_midi(path)] == ["C", "F", "G", "C", "N"]
    assert chords_from_midi(f"{path}#Chords") == chords_from_midi(path, track=1) == chords_from_midi(path)
    assert read_chords(f"{path}#1", duration=2.0, start=1.0)[0] == ("F", 0.0)


def test_files_without_chords(tmp_path):
    path = tmp_path / "song.mid"
    path.write_bytes(midi(track(note_events([(36, 0, 1)], channel=9))))
    with pytest.raises(ValueError, match="has no notes"):
        chords_from_midi(path)
    assert read_chords(path) == []  # with a warning
    path.write_bytes(midi(track(note_events([(60, 0, 1)]))))
    assert len(read_chords(path)) == 2
    with pytest.raises(ValueError, match="has no track 'x'"):
        read_chords(f"{path}#x")


def test_drums_are_neither_chords_nor_melody(tmp_path, warnings):
    path = song(tmp_path / "beat.mid", [("Drums", 9, 0, [(36, 0, 0.1), (38, 0.5, 0.6)])])
    assert read_chords(path) == []
    assert "`chords`" in warnings.text and "drums do not count" in warnings.text
    warnings.clear()
    assert not read_melody(path, 10, 10.0).any()
    assert "`melody`" in warnings.text and "drums do not count" in warnings.text
