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

"""Lead sheets of recordings."""

from fractions import Fraction as F

import numpy as np
import pytest
import torch

from diffusers_jasco.controls.lead_sheet import read_lead_sheet
from diffusers_jasco.controls.melody import LOWEST_PITCH
from diffusers_jasco.extraction import Beats, extract_lead_sheet
from diffusers_jasco.extraction import lead_sheet as module
from diffusers_jasco.inputs import InputError

from ..evaluation.clips import play_melody
from .test_beats import POP, play


RATE = 22050


@pytest.fixture
def estimates(monkeypatch):
    """A function that replaces the estimates and returns the sheet."""

    def transcribe(
        beats=(), downbeats=(), chords=(), melody=(), duration=8.0, signature="4/4", key="C major", **arguments
    ):
        beats, tempo = [float(beat) for beat in beats], 100.0 if len(beats) else None
        found = Beats(beats, list(downbeats), tempo, signature if len(beats) else None)
        bins = torch.full((round(duration * 100),), -1, dtype=torch.int8)
        for pitch, start, end in melody:
            bins[round(start * 100) : round(end * 100)] = pitch - LOWEST_PITCH
        monkeypatch.setattr(module, "extract_beats", lambda *args, **kwargs: found)
        monkeypatch.setattr(module, "extract_chords", lambda *args, **kwargs: list(chords) or [("N", 0.0)])
        monkeypatch.setattr(module, "extract_bins", lambda *args, **kwargs: bins)
        monkeypatch.setattr(module, "extract_key", lambda *args, **kwargs: key)
        return extract_lead_sheet(torch.zeros(1, round(duration * 8000)), 8000, **arguments)

    return transcribe


def test_a_song(tmp_path):
    """Eight bars with a chord each, and a melody in quarter notes, from audio to MIDI."""
    audio, _, _ = play(POP, 112, 9.0)
    beat = 60 / 112
    notes = [(72 + [0, 2, 4, 5, 7, 9, 11, 12][i % 8], i * beat, (i + 1) * beat - 0.02) for i in range(16)]
    audio = audio + play_melody(notes, 9.0, RATE)[:, : audio.shape[-1]]
    sheet = extract_lead_sheet(audio, RATE)
    assert (sheet.tempo, sheet.time_signature, sheet.key) == (112, (4, 4), "C major")
    assert sheet.chords[:4] == (("C", 0), ("F", 4), ("G", 8), ("Am", 12))
    written = {(pitch, start) for pitch, start, _ in sheet.melody}
    assert len(written & {(pitch, F(i)) for i, (pitch, *_) in enumerate(notes)}) >= 14
    assert {bar.length for bar in sheet.bars} == {4} and len(sheet.sections) == 1
    sheet.save(tmp_path / "heard.mid")
    copy = read_lead_sheet(tmp_path / "heard.mid")
    assert (copy.tempo, copy.chords, copy.melody) == (sheet.tempo, sheet.chords, sheet.melody)


def test_steady_beats_have_one_tempo(estimates):
    """Estimated beats are off by some milliseconds, and 120.02 is 120."""
    noise = np.random.default_rng(0).uniform(-0.02, 0.02, 16)
    beats = 60 / 120.02 * np.arange(16) + noise.clip(0)
    sheet = estimates(beats, beats[::4], [("C", 0.0), ("Am7", beats[8])])
    assert sheet.tempo == 120 and not any(bar.tempos for bar in sheet.bars)
    assert sheet.chords == (("C", 0), ("Am7", 8)) and len(sheet.bars) == 4


def test_a_tempo_that_changes_is_written_per_bar(estimates):
    bars = [2.0, 2.0, 2.4, 2.4, 2.0]
    starts = np.concatenate([[0.0], np.cumsum(bars)])
    beats = np.concatenate([np.linspace(a, b, 4, endpoint=False) for a, b in zip(starts, starts[1:])])
    sheet = estimates(beats, starts[:-1], [("C", 0.0), ("F", starts[2])], [(72, starts[3], starts[4])], 10.8)
    assert sheet.tempo == 120
    assert [[mark.bpm for mark in bar.tempos] for bar in sheet.bars] == [[], [], [100], [], [120]]
    assert sheet.chords[1] == ("F", 8) and sheet.melody == ((72, 12, 16),)
    assert sheet.to_controls()["duration"] == pytest.approx(10.8, abs=0.01)


def test_pickup_and_silence_before_the_music(estimates):
    """Silence of a second, an upbeat, then bars of 3/4 at 120 BPM."""
    beats = 1.0 + 0.5 * np.arange(13)
    melody = [(67, 1.0, 1.5), (72, 1.5, 3.0), (74, 3.0, 4.5)]
    chords = [("N", 0.0), ("C", 1.5), ("G7", 3.0), ("N", 7.5)]
    sheet = estimates(beats, beats[1::3], chords, melody, 9.0, "3/4")
    assert [bar.length for bar in sheet.bars] == [1, 3, 3, 3, 3] and sheet.time_signature == (3, 4)
    assert sheet.melody == ((67, 0, 1), (72, 1, 4), (74, 4, 7)) and sheet.chords == (("C", 1), ("G7", 4))


def test_compound_time(estimates):
    beats = 0.75 * np.arange(8)
    sheet = estimates(beats, beats[::2], [("Am", 0.0), ("E7", 1.5)], [(69, 0, 0.25), (71, 0.25, 0.75)], 6.0, "6/8")
    assert (sheet.tempo, sheet.beat_unit, sheet.time_signature) == (80, F(3, 2), (6, 8))
    assert sheet.chords == (("Am", 0), ("E7", 3)) and sheet.melody == ((69, 0, F(1, 2)), (71, F(1, 2), F(3, 2)))
    assert len(sheet.bars) == 4 and sheet.duration == pytest.approx(6)


@pytest.mark.parametrize("steps", [3, 4])
def test_notes_move_to_sixteenths_or_triplets(estimates, steps):
    beats = 0.5 * np.arange(16)
    times = 0.5 / steps * np.arange(8 * steps) + np.random.default_rng(0).uniform(-0.02, 0.02, 8 * steps)
    melody = [(60 + i % 5, max(a, 0), b) for i, (a, b) in enumerate(zip(times, times[1:]))]
    sheet = estimates(beats, beats[::4], [("C", 0.0)], melody)
    assert [start for _, start, _ in sheet.melody] == [F(i, steps) for i in range(8 * steps - 1)]
    assert all(end == following for (_, _, end), (_, following, _) in zip(sheet.melody, sheet.melody[1:]))


def test_errors_of_the_melody_are_dropped(estimates):
    """Notes of some frames, gaps within notes, and notes two octaves away."""
    melody = [(72, 0.0, 0.4), (72, 0.44, 1.0), (74, 1.0, 1.5), (75, 1.5, 1.53), (76, 1.53, 2.0), (45, 2.0, 2.5)]
    sheet = estimates(0.5 * np.arange(16), [0.0, 2.0], [("C", 0.0)], melody)
    assert sheet.melody == ((72, 0, 2), (74, 2, 3), (76, 3, 4))


def test_a_known_tempo(estimates):
    """Beats of half the tempo, which begin between those of the known one."""
    sheet = estimates(0.1 + np.arange(8), [0.1, 4.1], [("C", 0.1), ("F", 2.1)], bpm=120.5, beats_per_bar=3)
    assert (sheet.tempo, sheet.time_signature) == (120.5, (3, 4)) and sheet.chords == (("C", 0), ("F", 4))
    assert estimates(chords=[("C", 0.0), ("F", 2.0)], bpm=90).chords == (("C", 0), ("F", 3))


def test_chords_help_to_find_the_first_beat_of_bars(estimates):
    beats = 0.5 * np.arange(16)
    sheet = estimates(beats, beats[2::4], [("C", 0.0), ("F", 2.0), ("G", 4.0), ("C", 6.0)])
    assert [bar.length for bar in sheet.bars] == [4, 4, 4, 4]


def test_silence_and_music_without_beats(estimates, caplog):
    sheet = estimates(key=None, duration=4.0)
    assert sheet.chords == (("N", 0),) and not sheet.melody and sheet.key == "" and sheet.duration == 4
    assert "No beats were found" in caplog.text
    assert estimates(chords=[("C", 0.0), ("F", 2.0)]).chords == (("C", 0), ("F", 4))


@pytest.mark.parametrize(
    "name, value", [("bpm", 5), ("bpm", "fast"), ("beats_per_bar", 0), ("melody_method", "monophon")]
)
def test_invalid_arguments(name, value):
    with pytest.raises(InputError, match=f"`{name}` has to be"):
        extract_lead_sheet(torch.zeros(1, 8000), 8000, **{name: value})
