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

from diffusers_jasco.extraction import chords as chords_module
from diffusers_jasco.extraction import extract_beats, extract_chords
from diffusers_jasco.extraction.chords import _decode, _find_plugin, _snap
from diffusers_jasco.inputs import read_chords
from diffusers_jasco.utils import spooling
from diffusers_jasco.utils.errors import InputError

from ..evaluation.clips import play_chords, play_drums, play_melody


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
    # Played faster, so a quarter of a semitone sharp.
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
    # A triad in the middle register, over each of its notes in the bass.
    for label, bass in (("C", 36), ("C/E", 40), ("C/G", 43)):
        triad = [(pitch, 0.0, 3.0) for pitch in (60, 64, 67)]
        audio = play_melody(triad, 3.0, RATE) + play_melody([(bass, 0.0, 3.0)], 3.0, RATE)
        assert extract_chords(audio, RATE, method="builtin") == [(label, 0.0)]


def test_a_repeated_recording_has_a_repeated_progression(music):
    twice = extract_chords(torch.cat([music, music], dim=1), RATE, method="builtin")
    assert_close(twice, PROGRESSION + [(label, start + 10) for label, start in PROGRESSION])


def test_decoding_in_parts():
    """The path is the most probable one, wherever the blocks end."""
    rng, num_states = np.random.default_rng(0), 13
    scores = np.repeat(rng.standard_normal((30, num_states)), 7, axis=0) + rng.standard_normal((210, num_states))
    scores = scores.astype(np.float32)
    stay, change = np.log(0.9), np.log(0.1 / (num_states - 1))
    transitions = np.where(np.eye(num_states, dtype=bool), stay, change)
    best, origins = scores[0].astype(float), []
    for row in scores[1:]:
        candidates = best + transitions  # (to, from)
        origins.append(candidates.argmax(axis=1))
        best = candidates.max(axis=1) + row
    expected = [int(best.argmax())]
    for origin in reversed(origins):
        expected.append(int(origin[expected[-1]]))
    for size in (1, 37, 210):
        blocks = (scores[start : start + size] for start in range(0, 210, size))
        assert _decode(blocks, scores.shape, 0.9).tolist() == expected[::-1]


def test_parts_do_not_change_the_chords(music, monkeypatch):
    expected = extract_chords(music, RATE, method="builtin")
    monkeypatch.setattr(chords_module, "_PART", 40)
    monkeypatch.setattr(spooling, "MEMORY", 1000)
    assert extract_chords(music, RATE, method="builtin") == expected


def test_several_recordings(music):
    both = extract_chords([music, music[:, : 4 * RATE]], RATE, method="builtin")
    assert both == [extract_chords(music, RATE, method="builtin"), both[1]] and len(both[1]) == 2


def test_the_pipeline_accepts_recordings_as_chords(music, tmp_path):
    soundfile.write(tmp_path / "song.wav", music[0].numpy(), RATE)
    chords = read_chords(tmp_path / "song.wav", duration=5.0)
    assert chords == read_chords(str(tmp_path / "song.wav"), duration=5.0)
    assert [label for label, _ in chords if label != "N"] == ["C", "Am", "F"]


def test_changes_snap_to_the_nearest_beat(music):
    beats = np.arange(0.1, 10, 0.5)
    chords = extract_chords(music, RATE, method="builtin", snap_to_beats=beats)
    assert [label for label, _ in chords] == [label for label, _ in PROGRESSION]
    assert [start for _, start in chords] == pytest.approx([0.0, 2.1, 4.1, 6.1, 8.1])
    # Beats continue beyond those that are given.
    assert chords == extract_chords(music, RATE, method="builtin", snap_to_beats=torch.from_numpy(beats[6:9]))


@pytest.mark.parametrize(
    ("chords", "snapped"),
    [
        # Between two beats, before the first one, and after the last one.
        ([("C", 0.0), ("F", 1.6), ("G", 3.4)], [("C", 0.0), ("F", 2.0), ("G", 3.0)]),
        ([("N", 0.0), ("C", 0.1)], [("C", 0.0)]),
        ([("N", 0.0), ("C", 0.3)], [("N", 0.0), ("C", 0.5)]),
        ([("C", 0.0), ("F", 3.9)], [("C", 0.0), ("F", 4.0)]),
        # A beat has the chord that sounds longest in it, in one piece or several.
        ([("C", 0.0), ("F", 1.2), ("G", 1.5), ("Am", 1.9)], [("C", 0.0), ("G", 1.0), ("Am", 2.0)]),
        ([("C", 0.0), ("F", 1.3), ("C", 1.75)], [("C", 0.0)]),
        # Repeated labels are merged.
        ([("C", 0.0), ("F", 1.9), ("C", 2.1)], [("C", 0.0)]),
    ],
)
def test_each_beat_has_the_chord_that_sounds_longest(chords, snapped):
    if chords[1][1] < 1:
        assert _snap(chords, np.array([0.5, 1.5, 2.5, 3.5]), 5.0) == snapped
    else:
        assert _snap(chords, np.array([1.0, 2.0, 3.0]), 5.0) == snapped


def test_snapping_loses_no_time_and_no_long_chord():
    rng = np.random.default_rng(0)
    for _ in range(20):
        starts = np.cumsum(rng.uniform(0.6, 3.0, 20)) - 0.6
        chords = [(f"{note}m", float(start)) for note, start in zip("ABCDEFG" * 3, starts - starts[0])]
        beats = np.arange(rng.uniform(0, 1), 60, 0.5)
        snapped = _snap(chords, beats, chords[-1][1] + 1)
        assert [label for label, _ in snapped] == [label for label, _ in chords] and snapped[0][1] == 0
        assert max(abs(a - b) for (_, a), (_, b) in zip(chords, snapped)) <= 0.25 + 1e-4


@pytest.mark.parametrize("beats", [[], [1.0], np.zeros(0)])
def test_chords_without_beats_are_not_snapped(music, beats, caplog):
    chords = extract_chords(music, RATE, method="builtin", snap_to_beats=beats)
    assert chords == extract_chords(music, RATE, method="builtin")
    assert "not snapped" in caplog.text


def test_recordings_have_beats_of_their_own(music):
    beats = [[0.0, 1.1], [0.0, 1.3]]
    both = extract_chords([music, music], RATE, method="builtin", snap_to_beats=beats)
    assert both == [extract_chords(music, RATE, method="builtin", snap_to_beats=times) for times in beats]
    assert both[0] != both[1]
    for invalid in ([[0.0, 1.0]], None, 0.5):
        with pytest.raises(InputError, match="beats of each of 2 recordings"):
            extract_chords([music, music], RATE, snap_to_beats=invalid)


def test_chords_snap_to_estimated_beats():
    # Chords that are played 60 ms after the hits of a clear beat at 120 BPM.
    hits = np.arange(0.25, 10, 0.5)
    chords = [("N", 0.0), *((label, start + 0.31) for label, start in PROGRESSION)]
    audio = play_chords(chords, 10.0, RATE) + 2 * play_drums(hits, 10.0, RATE)
    snapped = extract_chords(audio, RATE, method="builtin", snap_to_beats=True)
    assert snapped == extract_chords(audio, RATE, method="builtin", snap_to_beats=extract_beats(audio, RATE))
    starts = [start for label, start in snapped[1:] if label in ("Am", "F", "G7", "Em")]
    assert len(starts) == 4 and all(np.abs(hits - start).min() < 0.05 for start in starts)


@pytest.mark.parametrize(
    "beats", [None, 0.5, "song", ["a"], [2.0, 1.0], [0.0, 0.01], [-1.0, 1.0], [0.0, np.nan], [[1.0]]]
)
def test_invalid_beats(beats):
    with pytest.raises(InputError, match="`snap_to_beats` has to be"):
        extract_chords(torch.zeros(10), RATE, method="builtin", snap_to_beats=beats)


def test_invalid_arguments(tmp_path):
    with pytest.raises(ValueError, match="'auto', 'chordino' or 'builtin'"):
        extract_chords(torch.zeros(10), RATE, method="ear")
    with pytest.raises(FileNotFoundError):
        extract_chords(tmp_path / "absent.mp3")
    if _find_plugin() is None:
        with pytest.raises(ImportError, match="pip install --no-deps chord-extractor"):
            extract_chords(torch.zeros(10), RATE, method="chordino")


@pytest.mark.skipif(_find_plugin() is None, reason="chord-extractor and vamphost are not installed")
def test_the_plugin_finds_the_same_progression(music):
    estimate = extract_chords(music, RATE, method="chordino")
    assert_close([chord for chord in estimate if chord[0] != "N"], PROGRESSION, tolerance=0.6)
    assert np.isfinite([start for _, start in estimate]).all()
