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
import soundfile
import torch

from diffusers_jasco.controls.drum_machine import play_hits
from diffusers_jasco.extraction import beats as beats_module
from diffusers_jasco.extraction import extract_beats
from diffusers_jasco.extraction.beat_model import FRAME_RATE, LOUDEST, NUM_BANDS
from diffusers_jasco.extraction.beats import Beats, _decode
from diffusers_jasco.utils import spooling
from diffusers_jasco.utils.spooling import SpooledRows

from ..evaluation.clips import play_chords


RATE = 22050
NO_BEATS = Beats([], [], None, None)
# Drums by sixteenths of a bar.
ROCK = {"kick": "x.......x.......", "snare": "....x.......x...", "hat": "x.o.x.o.x.o.x.o."}
POP = {
    "kick": "x.....x.x.......",
    "snare": "....x.......x...",
    "hat": "x.o.x.o.x.o.x.o.",
    "open hat": "..............x.",
}
WALTZ = {"kick": "x...........", "hat": "....x...x..."}
JIG = {"kick": "x.....o.....", "snare": "......x.....", "hat": "x.o.o.x.o.o."}


def play(groove, bpm, seconds, steps_per_beat=4, start=0.0):
    """Drums with a chord per bar, and the times of the beats."""
    step = 60 / bpm / steps_per_beat
    size = len(next(iter(groove.values())))
    hits = [
        (drum, time, {"x": 0.9, "o": 0.5}[pattern[number % size]])
        for drum, pattern in groove.items()
        for number in range(math.ceil((seconds - start) / step))
        if pattern[number % size] != "." and (time := start + number * step) < seconds
    ]
    bars = np.arange(start, seconds, size * step)
    chords = [("N", 0.0)] * (start > 0) + [("C F G Am".split()[bar % 4], time) for bar, time in enumerate(bars)]
    drums = torch.from_numpy(play_hits(hits, seconds, RATE))
    audio = play_chords(chords, seconds + 0.1, RATE)[:, : len(drums)] + drums
    return audio, np.arange(start, seconds, steps_per_beat * step), bars


def assert_close(estimate, expected, tolerance=0.05):
    assert len(estimate) == len(expected)
    assert np.abs(np.array(estimate) - expected).max() < tolerance


@pytest.mark.parametrize("bpm", [72, 100, 140, 176])
def test_beats_of_a_song_in_4_4(bpm):
    audio, beats, _ = play(ROCK, bpm, 16.0)
    estimate = extract_beats(audio, RATE)
    assert_close(estimate.beats, beats)
    assert set(estimate.downbeats) <= set(estimate.beats)
    assert estimate.tempo == pytest.approx(bpm, rel=0.01)
    assert estimate.time_signature == "4/4"


@pytest.mark.parametrize(
    "groove, bpm, steps_per_beat, expected",
    [(POP, 112, 4, "4/4"), (WALTZ, 100, 4, "3/4"), (WALTZ, 160, 4, "3/4"), (JIG, 60, 6, "6/8")],
)
def test_downbeats_and_time_signature(groove, bpm, steps_per_beat, expected):
    audio, beats, downbeats = play(groove, bpm, 16.0, steps_per_beat)
    estimate = extract_beats(audio, RATE)
    assert estimate.time_signature == expected
    assert_close(estimate.beats, beats)
    assert_close(estimate.downbeats, downbeats)


@pytest.mark.parametrize("bpm", [60, 90, 120, 180])
def test_beats_of_a_metronome(bpm):
    audio = play_hits([("rim", time, 0.8) for time in np.arange(0.25, 15, 60 / bpm)], 15.0, RATE)
    estimate = extract_beats(audio, RATE)
    assert np.log2(estimate.tempo / bpm) == pytest.approx(round(np.log2(estimate.tempo / bpm)), abs=0.02)
    distances = np.abs(np.array(estimate.beats)[:, None] - np.arange(0.25, 15, 60 / bpm))
    assert np.median(distances.min(axis=1)) < 0.05


def test_music_without_drums_has_beats():
    # A chord per beat.
    chords = [(label, 0.5 * number) for number, label in enumerate("C F C G Am F C G Dm G".split() * 3)]
    estimate = extract_beats(play_chords(chords, 15.0, RATE), RATE)
    assert estimate.tempo == pytest.approx(120, rel=0.02)


def test_beats_are_those_of_the_part_with_music():
    audio, beats, _ = play(ROCK, 110, 14.0, start=0.37)
    silence = torch.zeros(1, 4 * RATE)
    estimate = extract_beats(torch.cat([silence, audio, silence], dim=1), RATE)
    assert_close(estimate.beats, beats + 4)


def test_estimates_do_not_depend_on_level_or_container(tmp_path):
    audio, *_ = play(ROCK, 96, 8.0)
    estimate = extract_beats(audio, RATE)
    assert_close(extract_beats(0.01 * audio, RATE).beats, estimate.beats, 0.02)
    soundfile.write(tmp_path / "song.wav", audio[0].numpy(), RATE, subtype="FLOAT")
    assert extract_beats(tmp_path / "song.wav") == estimate
    assert extract_beats([audio, torch.zeros(1, RATE)], RATE) == [estimate, NO_BEATS]


def test_beats_are_consistent():
    audio, *_ = play(ROCK, 128, 10.0)
    estimate = extract_beats(audio[:, 5000:], RATE)
    assert all(type(time) is float for time in estimate.beats) and type(estimate.tempo) is float
    assert 0 <= estimate.beats[0] and estimate.beats[-1] <= 10
    assert (np.diff(estimate.beats) > 0.2).all()
    assert set(estimate.downbeats) <= set(estimate.beats)


def test_audio_without_a_beat():
    noise = 0.1 * torch.randn(1, 10 * RATE, generator=torch.Generator().manual_seed(0))
    drone = play_chords([("C", 0.0)], 10.0, RATE)
    for audio in (torch.zeros(1, 5 * RATE), noise, drone):
        assert extract_beats(audio, RATE) == NO_BEATS


@pytest.mark.parametrize("seconds", [0.01, 0.3, 0.9, 2.0])
def test_short_audio(seconds):
    audio, *_ = play(ROCK, 120, seconds)
    estimate = extract_beats(audio, RATE)
    assert all(0 <= time <= seconds for time in estimate.beats)
    assert (estimate.tempo is None) == (len(estimate.beats) == 0)


def test_blocks_do_not_change_the_estimate(monkeypatch):
    audio, *_ = play(JIG, 60, 30.0, 6)
    stream = beats_module.AudioStream(audio, RATE, RATE)
    with SpooledRows((NUM_BANDS,), np.float16) as magnitudes:
        highest = beats_module._read_magnitudes(stream, magnitudes, False)
        assert len(highest) == len(magnitudes) and highest.max() == magnitudes.read(0, len(magnitudes)).max()
        scale = LOUDEST / float(highest.max())
        expected = beats_module._run_model(magnitudes, scale), beats_module._track(magnitudes, highest, 30.0)
        assert expected[1].time_signature == "6/8"
        monkeypatch.setattr(beats_module, "_BLOCK", 400)
        monkeypatch.setattr(beats_module, "_BEATS_AT_ONCE", 5)
        monkeypatch.setattr(spooling, "MEMORY", 1000)
        np.testing.assert_allclose(beats_module._run_model(magnitudes, scale), expected[0], atol=1e-5)
        assert beats_module._track(magnitudes, highest, 30.0) == expected[1]


def make_activations(times, num_frames, per_bar):
    activations = np.full((num_frames, 2), 0.01, np.float32)
    frames = np.round(np.array(times) * FRAME_RATE).astype(int)
    for offset, value in ((-1, 0.3), (1, 0.3), (0, 0.8)):
        activations[frames + offset, (np.arange(len(frames)) % per_bar == 0).astype(int)] = value
    return activations, frames


@pytest.mark.parametrize("per_bar", [2, 3, 4])
def test_decoding_follows_the_tempo_and_bridges_gaps(per_bar):
    # From 80 to 120 beats per minute.
    times = 0.3 + np.cumsum(np.linspace(0.75, 0.5, 48))
    activations, frames = make_activations(times, round(31 * FRAME_RATE), per_bar)
    activations[np.add.outer(frames[[7, 20]], [-1, 0, 1])] = 0.01
    beats, starts_bar, meter = _decode(activations)
    assert meter == per_bar
    inside = (beats >= frames[0] - 2) & (beats <= frames[-1] + 2)
    assert np.abs(beats[inside] - frames).max() <= 2
    assert (starts_bar[inside] == (np.arange(len(frames)) % per_bar == 0)).all()


def test_decoding_without_evidence_finds_no_beat():
    beats, starts_bar, _ = _decode(np.full((500, 2), 0.005, np.float32))
    assert len(beats) == len(starts_bar) == 0


def test_invalid_arguments(tmp_path):
    with pytest.raises(FileNotFoundError):
        extract_beats(tmp_path / "absent.mp3")
    with pytest.raises(ValueError, match="`sampling_rate` is missing"):
        extract_beats(torch.zeros(10))
