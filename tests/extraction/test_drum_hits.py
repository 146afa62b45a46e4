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

from diffusers_jasco.controls.drum_machine import GROOVES, Groove, play_hits
from diffusers_jasco.extraction import drum_hits, extract_drum_hits
from diffusers_jasco.extraction.drum_hit_model import VOICES
from diffusers_jasco.extraction.drum_hits import Candidate, choose_hits, pick_hits
from diffusers_jasco.utils.errors import InputError

from ..evaluation.clips import play_chords


RATE = 32000
ROCK = Groove({"kick": "x.....x.x.......", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."}, bpm=100)


def times(hits, *drums):
    return np.array([start for drum, start, _ in hits if drum in drums])


def assert_found(estimate, reference, tolerance=0.02):
    assert len(estimate) == len(reference), (estimate, reference)
    assert np.abs(estimate - reference).max(initial=0) < tolerance


@pytest.mark.parametrize("rate", [32000, 44100, 48000])
def test_hits_of_a_loop(rate):
    hits = extract_drum_hits(ROCK.render(7.0, rate), rate, separate_drums=False)
    assert hits == sorted(hits, key=lambda hit: hit[1])
    for drum in ("kick", "snare", "hat"):
        assert_found(times(hits, drum), times(ROCK.hits(7.0), drum))
    assert {drum for drum, _, _ in hits} == {"kick", "snare", "hat"}
    assert all(0 < velocity <= 1 for _, _, velocity in hits)


def test_hits_in_a_mix():
    chords = play_chords([("C", 0.0), ("Am", 2.4), ("F", 4.8)], 7.2, RATE)
    audio = 0.5 * chords + ROCK.render(7.2, RATE)[:, : chords.shape[-1]]
    hits = extract_drum_hits(audio, RATE)
    for drum in ("kick", "snare"):
        assert_found(times(hits, drum), times(ROCK.hits(7.2), drum))


def test_velocities_are_relative_to_the_loud_hits_of_the_drum():
    played = [("snare", 0.5 * number, 1.0 if number % 2 == 0 else 0.35) for number in range(12)]
    audio = torch.from_numpy(play_hits(played, 6.5, RATE))[None]
    hits = extract_drum_hits(audio, RATE, separate_drums=False)
    assert_found(times(hits, "snare"), times(played, "snare"))
    velocities = np.array([velocity for _, _, velocity in hits])
    assert np.median(velocities[::2]) > 0.8 and np.median(velocities[1::2]) == pytest.approx(0.35, abs=0.15)


def test_an_irregular_tempo_does_not_matter():
    starts = np.cumsum(np.linspace(0.25, 0.6, 20))
    played = [("kick" if number % 2 else "snare", start, 1.0) for number, start in enumerate(starts)]
    hits = extract_drum_hits(play_hits(played, 10.0, RATE), RATE, separate_drums=False)
    for drum in ("kick", "snare"):
        assert_found(times(hits, drum), times(played, drum))


@pytest.mark.parametrize("separate", [True, False])
def test_silence_and_music_without_drums_have_no_hits(separate):
    assert extract_drum_hits(torch.zeros(1, 5 * RATE), RATE, separate) == []
    assert extract_drum_hits(torch.zeros(1, 10), RATE, separate) == []
    chords = play_chords([("C", 0.0), ("G", 2.0)], 4.0, RATE)
    assert extract_drum_hits(chords, RATE, separate) == []


def test_files_lists_and_repeated_calls_agree(tmp_path):
    audio = GROOVES["disco"].render(4.0, RATE)
    soundfile.write(tmp_path / "loop.wav", audio[0].numpy(), RATE, subtype="FLOAT")
    first, second = extract_drum_hits([tmp_path / "loop.wav", tmp_path / "loop.wav"], separate_drums=False)
    assert first == second == extract_drum_hits(audio, RATE, separate_drums=False)
    assert extract_drum_hits(np.tile(audio.numpy(), (2, 1)), RATE, separate_drums=False) == first


def test_hits_do_not_depend_on_blocks(monkeypatch):
    audio = GROOVES["funk"].render(6.0, RATE)
    expected = extract_drum_hits(audio, RATE, separate_drums=False)
    monkeypatch.setattr(drum_hits, "_BLOCK", 77)
    hits = extract_drum_hits(audio, RATE, separate_drums=False)
    assert [hit[0] for hit in hits] == [hit[0] for hit in expected]
    np.testing.assert_allclose([hit[1:] for hit in hits], [hit[1:] for hit in expected], atol=2e-3)


def test_peaks_of_probabilities():
    probabilities, levels = np.zeros((2, 60, len(VOICES)))
    hat, open_hat, kick = (VOICES.index(name) for name in ("hat", "open hat", "kick"))
    probabilities[10, hat], probabilities[11, open_hat] = 0.8, 0.9  # one hit of a hi-hat
    probabilities[30:32, kick] = 0.8, 0.8  # a plateau
    probabilities[50, kick] = 0.2  # too improbable
    levels[11, open_hat] = 1.5
    hits = pick_hits(probabilities, levels)
    assert [(drum, round(frame)) for drum, frame, *_ in hits] == [(open_hat, 11), (kick, 30)]
    assert hits[0].level == 1.5 and hits[0].probability == 0.9


def test_drums_that_are_certain_elsewhere_need_less_evidence():
    doubtful = [Candidate(0, 10.0, 0.0, 0.4), Candidate(1, 20.0, 0.0, 0.55)]
    assert choose_hits(doubtful) == []
    certain = [Candidate(0, frame, 0.0, 0.95) for frame in range(100, 700, 100)]
    assert choose_hits(doubtful + certain) == [doubtful[0], *certain]


def test_a_few_shakers_among_hats_are_hats():
    hat, shaker = VOICES.index("hat"), VOICES.index("shaker")
    hits = [Candidate(shaker if number % 4 == 3 else hat, 20.0 * number, 0.0, 0.9) for number in range(16)]
    assert {hit.drum for hit in choose_hits(hits)} == {hat}
    both = [hit._replace(drum=(hat, shaker)[number % 2]) for number, hit in enumerate(hits)]
    assert sorted(choose_hits(both)) == sorted(both)


def test_invalid_audio():
    with pytest.raises(InputError, match="sampling_rate"):
        extract_drum_hits(torch.zeros(1, 100))
    with pytest.raises(FileNotFoundError):
        extract_drum_hits("missing.wav")
