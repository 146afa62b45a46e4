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


from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco.controls.drum_machine import GROOVES, Groove, read_groove
from diffusers_jasco.extraction import Beats, extract_groove, groove_from_hits
from diffusers_jasco.utils.errors import EmptyInputError, InputError

from ..conftest import run_script
from ..evaluation.clips import play_chords


RATE = 32000


def true_beats(groove, duration, start=0.0, beats_per_bar=4):
    beats = list(np.arange(start, duration, 60 / groove.bpm))
    return Beats(beats, beats[::beats_per_bar], groove.bpm, f"{beats_per_bar}/4")


def assert_same(estimate, expected):
    # Soft hits that coincide with others may be taken for loud ones.
    shown = [
        {drum: steps.replace("o", "x") for drum, steps in groove.tracks.items()} for groove in (estimate, expected)
    ]
    assert shown[0] == shown[1]
    assert estimate.bpm == pytest.approx(expected.bpm, rel=0.005)
    assert estimate.steps_per_beat == expected.steps_per_beat
    assert estimate.swing == pytest.approx(expected.swing, abs=0.02)


@pytest.mark.parametrize("name", ["rock backbeat", "disco", "shuffle"])
def test_a_rendered_groove_comes_back(name):
    groove = GROOVES[name]
    assert_same(extract_groove(groove.render(8.0, RATE), RATE, separate_drums=False), groove)


@pytest.mark.parametrize("bpm, swing", [(84, 0.5), (96, 0.62), (132, 0.5)])
def test_tempo_and_swing_of_a_loop(bpm, swing):
    groove = Groove({"kick": "x..x....x..x....", "snare": "....x.......x...", "hat": "xxxxxxxxxxxxxxxx"}, bpm, swing)
    assert_same(extract_groove(groove.render(10.0, RATE), RATE, separate_drums=False), groove)


@pytest.mark.parametrize("name, repeats", [("rock backbeat", 1), ("funk", 2), ("waltz", 2)])
def test_a_loop_of_whole_bars(name, repeats):
    groove = GROOVES[name]
    assert_same(extract_groove(groove.render(repeats * groove.seconds, RATE), RATE, separate_drums=False), groove)


@pytest.mark.parametrize("name", ["funk", "trap hats", "half time"])
def test_a_duration_of_whole_bars_by_chance_does_not_make_triplets(name):
    # 10 s are 18 beats at 108 BPM, with the sixteenths of 24 beats in triplets.
    groove = replace(GROOVES[name], bpm=108)
    for duration in (9.9, 10.0):
        estimate = groove_from_hits(groove.hits(duration), true_beats(groove, duration), duration=duration)
        assert estimate.bpm == 108 and estimate.steps_per_beat == 4


def test_a_groove_in_a_mix():
    groove = Groove({"kick": "x.....x.x.......", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."}, bpm=100)
    chords = play_chords([("C", 0.0), ("Am", 2.4), ("F", 4.8), ("G", 7.2)], 9.6, RATE)
    audio = 0.5 * chords + groove.render(9.6, RATE)[:, : chords.shape[-1]]
    assert_same(extract_groove(audio, RATE), groove)


@pytest.mark.parametrize("name", GROOVES)
def test_steps_from_exact_hits(name, caplog):
    groove = GROOVES[name]
    beats = true_beats(groove, 13.0, beats_per_bar=groove.beats_per_bar)
    estimate = groove_from_hits(groove.hits(13.0), beats)
    assert estimate.tracks == groove.tracks and estimate.steps_per_beat == groove.steps_per_beat
    assert estimate.bpm == pytest.approx(groove.bpm)
    assert not caplog.text


def test_swing_is_found_where_swung_steps_are_hit():
    for swing in (0.5, 0.58, 0.66, 0.72):
        groove = Groove({"hat": "xoxoxoxoxoxoxoxo", "kick": "x.......x......."}, 96, swing)
        assert groove_from_hits(groove.hits(12.0), true_beats(groove, 12.0)).swing == pytest.approx(swing, abs=0.011)


def test_patterns_have_one_or_two_bars():
    one = Groove({"kick": "x.......x.......", "snare": "....x.......x..."}, 110)
    two = Groove(
        {"kick": "x.......x...." + "..." + "x.xx....x.......", "snare": "....x.......x.......x.......x.oo"}, 110
    )
    beats = true_beats(one, 18.0)
    assert groove_from_hits(one.hits(18.0), beats).tracks == one.tracks
    assert groove_from_hits(two.hits(18.0), beats).tracks == two.tracks
    assert groove_from_hits(one.hits(18.0), beats, bars=4).num_steps == 64
    # A fill and a missed hit do not change the pattern.
    fill = [("tom", start, 1.0) for start in np.arange(16.0, 17.0, 60 / 440)]
    assert groove_from_hits(one.hits(18.0)[:7] + one.hits(18.0)[8:] + fill, beats).tracks == one.tracks


def test_hits_before_the_first_downbeat():
    groove = Groove({"kick": "x.....x.x.......", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."}, bpm=120)
    hits = [(drum, start + 0.7, velocity) for drum, start, velocity in groove.hits(12.0)]
    pickup = [("snare", 0.45, 1.0), ("snare", 0.575, 1.0)]
    beats = true_beats(groove, 12.7, 0.2)
    for downbeats in (beats.beats[1::4], []):
        assert groove_from_hits(pickup + hits, beats._replace(downbeats=downbeats)).tracks == groove.tracks


def test_corrected_downbeats_move_the_bars():
    groove = Groove({"hat": "x...x...x...x...", "cowbell": "x..............."}, 120)
    hits = [(drum, start + 0.7, velocity) for drum, start, velocity in groove.hits(12.0)]
    beats = true_beats(groove, 12.7, 0.7)
    corrected = beats._replace(downbeats=beats.beats[1::4])
    assert groove_from_hits(hits, beats).tracks == groove.tracks
    assert groove_from_hits(hits, corrected).tracks["cowbell"] == "............x..."


@pytest.mark.parametrize("first", range(4))
def test_corrected_downbeats_outweigh_the_first_hit_and_the_backbeat(first):
    groove = GROOVES["rock backbeat"]
    duration = 4 * groove.seconds
    beats = true_beats(groove, duration - 0.1)
    corrected = beats._replace(downbeats=beats.beats[first::4])
    expected = {drum: steps[4 * first :] + steps[: 4 * first] for drum, steps in groove.tracks.items()}
    assert groove_from_hits(groove.hits(duration), corrected).tracks == expected
    # A loop, too.
    assert groove_from_hits(groove.hits(duration), corrected, duration=duration).tracks == expected


def test_tempo_that_drifts():
    groove = Groove({"kick": "x...x...x...x...", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."}, bpm=120)

    def bend(time):  # up to 15% faster
        return time + 0.006 * time**2

    beats = [bend(time) for time in np.arange(0, 16, 0.5)]
    hits = [(drum, bend(start), velocity) for drum, start, velocity in groove.hits(16.0)]
    estimate = groove_from_hits(hits, Beats(beats, beats[::4], None, "4/4"))
    assert estimate.tracks == groove.tracks and 100 < estimate.bpm < 120


def test_known_tempo_and_velocities():
    groove = Groove({"kick": (1.0, 0, 0, 0.4), "snare": (0, 0.8, 0, 0)}, 100, steps_per_beat=1)
    estimate = groove_from_hits(groove.hits(12.0), bpm=100, velocities=True)
    assert estimate.bpm == 100
    assert estimate.tracks["kick"] == (*(1, 0, 0, 0), *([0] * 8), *(0.4, 0, 0, 0))


def test_a_given_tempo_is_kept():
    for bpm in (20, 97.34, 133.333, 400):
        groove = Groove({"kick": "x...x...x...x...", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."}, bpm)
        estimate = groove_from_hits(groove.hits(900 / bpm), bpm=bpm)
        assert estimate.bpm == bpm and estimate.tracks == groove.tracks


@pytest.mark.parametrize("name", ["funk", "drum and bass", "waltz"])
def test_a_given_tempo_keeps_the_beginning_and_the_meter_of_a_loop(name):
    groove = GROOVES[name]
    hits = groove.hits(groove.seconds)
    for bpm in (groove.bpm, round(1.004 * groove.bpm, 1)):
        estimate = groove_from_hits(hits, bpm=bpm, duration=groove.seconds)
        assert estimate == replace(groove, bpm=bpm)
    # Its duration does not matter at a tempo with which it has no whole number of beats.
    other = groove_from_hits(hits, bpm=0.9 * groove.bpm, duration=groove.seconds)
    assert other == groove_from_hits(hits, bpm=0.9 * groove.bpm)


def test_a_loop_of_two_beats_is_not_filled_up():
    groove = Groove({"kick": "x.......", "snare": "....x..."}, 120)
    assert groove_from_hits(groove.hits(1.0), duration=1.0).tracks == groove.tracks


def test_a_loop_has_whole_bars():
    waltz = Groove({"kick": "x...........", "snare": "....x...x..."}, 120)
    assert groove_from_hits(waltz.hits(3.0), duration=3.0, beats_per_bar=3).tracks == waltz.tracks
    four = groove_from_hits(waltz.hits(3.0), duration=3.0, beats_per_bar=4)
    assert four.seconds == pytest.approx(3.0, rel=0.05)


@pytest.mark.parametrize("bars", [1, 2, 4, 8])
def test_loops_of_three_beats_per_bar(bars):
    groove, duration = GROOVES["waltz"], bars * GROOVES["waltz"].seconds
    for beats in (None, true_beats(groove, duration, beats_per_bar=3), true_beats(groove, duration, beats_per_bar=4)):
        estimate = groove_from_hits(groove.hits(duration), beats, duration=duration)
        assert estimate.tracks == groove.tracks and estimate.bpm == groove.bpm
    rock = GROOVES["rock backbeat"]
    estimate = groove_from_hits(
        rock.hits(3 * rock.seconds), true_beats(rock, 9.0, beats_per_bar=3), duration=3 * rock.seconds
    )
    assert estimate.tracks == rock.tracks


def test_a_loop_keeps_bars_without_hits():
    groove = Groove({"kick": "x...x...x...x..." + 16 * "."}, 120)
    assert groove_from_hits(groove.hits(4.0), duration=4.0).tracks == groove.tracks


def test_silence_after_the_drums_does_not_matter():
    groove = Groove({"kick": "x...x...x...x...", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."}, 120)
    for duration in (16.0, 10.0, 8.0, 60.0):
        assert groove_from_hits(groove.hits(4.0), duration=duration).tracks == groove.tracks


def test_soft_hits_are_not_rests():
    groove = groove_from_hits([("kick", 0.5 * beat, 0.001) for beat in range(16)], bpm=120, velocities=True)
    assert groove.tracks["kick"][::4] == (0.01, 0.01, 0.01, 0.01)


def test_edited_steps_render_again():
    groove = groove_from_hits(GROOVES["disco"].hits(8.0), true_beats(GROOVES["disco"], 8.0))
    edited = replace(groove, tracks={**groove.tracks, "cowbell": "x..............."})
    assert not torch.equal(edited.render(2.0, RATE), groove.render(2.0, RATE))


def test_grooves_of_a_folder(tmp_path):
    groove = GROOVES["rock backbeat"]
    (tmp_path / "music").mkdir()
    loop = groove.render(2 * groove.seconds, RATE)[0].numpy()
    soundfile.write(tmp_path / "music/loop.wav", loop, RATE)
    soundfile.write(tmp_path / "music/silence.wav", 0 * loop, RATE)
    arguments = "--src_dir", tmp_path / "music", "--out_dir", tmp_path / "grooves"
    run_script("extract_grooves", *arguments, "--bars", 2, "--drums_only")
    found = read_groove(tmp_path / "grooves/loop.groove.json")
    assert_same(found, replace(groove, tracks={drum: 2 * steps for drum, steps in groove.tracks.items()}))
    assert "No drum hits were found" in (tmp_path / "grooves/errors.jsonl").read_text()
    options = "--bpm", 58, "--beats_per_bar", 2, "--velocities", "--drums_only", "--override"
    run_script("extract_grooves", *arguments, *options)
    found = read_groove(tmp_path / "grooves/loop.groove.json")
    assert found.bpm == 58 and found.beats_per_bar == 2 and not isinstance(found.tracks["kick"], str)


def test_drums_without_a_pattern():
    rng = np.random.default_rng(0)
    hits = [("tom", start, 1.0) for start in np.cumsum(rng.uniform(1, 4, 40))]
    with pytest.raises(InputError, match="do not repeat a pattern"):
        groove_from_hits(hits, true_beats(Groove({"tom": "x"}, 120), 120.0))
    with pytest.raises(InputError, match="at most 256 steps"):
        groove_from_hits(GROOVES["waltz"].hits(60.0), bpm=144, beats_per_bar=7, bars=16)


def test_noise_is_reported(caplog):
    noise = 0.1 * torch.randn(1, 12 * RATE, generator=torch.Generator().manual_seed(0))
    extract_groove(noise, RATE, separate_drums=False)
    assert "The groove may not be that of the drums" in caplog.text


def test_a_groove_that_is_nearly_empty_is_reported(caplog):
    groove_from_hits([("kick", 0.7, 1.0)], bpm=120, duration=4.0)
    assert "it has 1 hit in 4 beats, and 1 of the 1 hits that were found (1 kick)" in caplog.text


def test_a_groove_without_most_of_the_hits_is_reported(caplog):
    groove = GROOVES["disco"]
    groove_from_hits(groove.hits(8.0), true_beats(replace(groove, bpm=120), 8.0))  # wrong beats
    assert "5 of the 86 hits that were found (16 kick, 47 hat, 15 open hat, 8 snare)" in caplog.text


def test_no_drums_is_an_error():
    with pytest.raises(EmptyInputError, match="No drum hits were found"):
        extract_groove(torch.zeros(1, RATE), RATE)
    with pytest.raises(EmptyInputError, match="`hits` is empty"):
        groove_from_hits([])


def test_invalid_arguments():
    hits = GROOVES["disco"].hits(4.0)
    with pytest.raises(InputError, match="`bars` has to be"):
        groove_from_hits(hits, bars=0)
    with pytest.raises(InputError, match="`bars` is 8, but the drums last 2 bar"):
        groove_from_hits(hits, true_beats(GROOVES["disco"], 4.0), bars=8)
    with pytest.raises(InputError, match="`bpm`"):
        extract_groove(torch.zeros(1, 10), RATE, bpm=1000)
    with pytest.raises(InputError, match="hit 1 has to be a drum of kick"):
        groove_from_hits([("kick", 0.0, 1.0), ("gong", 1.0, 1.0)])
    for invalid in (
        5,
        ("kick", 1.0),
        ("kick", "1", 1.0),
        ("kick", float("nan"), 1.0),
        ("kick", 0.0, 1.5),
        ("kick", -1.0, 1.0),
    ):
        with pytest.raises(InputError, match="hit 0 has to be a drum"):
            groove_from_hits([invalid])
    with pytest.raises(InputError, match="`hits` has to be a list"):
        groove_from_hits(None)
    with pytest.raises(InputError, match="`duration` has to be a number of seconds above 0"):
        groove_from_hits(hits, duration=0)
    with pytest.raises(InputError, match="`duration` is 2 s, but the last of the `hits` starts at 3.8"):
        groove_from_hits(hits, duration=2.0)


def test_invalid_beats():
    hits = GROOVES["disco"].hits(4.0)
    for times, message in (
        ([0.0, 0.5, 0.5, 1.0], r"ascending order, but beat 2 \(0.5 s\) follows 0.5 s"),
        ([0.0, 10.0, 20.0], "from 20 to 400 beats per minute, but has 6"),
        ([0.0, float("nan"), 1.0], "not finite"),
    ):
        with pytest.raises(InputError, match=message):
            groove_from_hits(hits, Beats(times, [], None, None))
    for invalid in (["a", "b"], [[0.0, 1.0], [2.0, 3.0]]):
        with pytest.raises(InputError, match="`beats` has to have lists of beats and downbeats"):
            groove_from_hits(hits, Beats(invalid, [], None, None))
    for tempo in (0, -5, float("nan"), "fast"):
        with pytest.raises(InputError, match="`beats.tempo` has to be None or a number of beats per minute above 0"):
            groove_from_hits(hits, Beats([0.0, 0.5, 1.0], [], tempo, "4/4"))
    with pytest.raises(InputError, match="`beats.time_signature` has to be None or one of 2/4, 3/4, 4/4, 6/8"):
        groove_from_hits(hits, Beats([0.0, 0.5, 1.0], [], 120.0, "5/4"))
    with pytest.raises(InputError, match="`beats` has to be the result of `extract_beats`"):
        groove_from_hits(hits, [0.0, 0.5, 1.0])
