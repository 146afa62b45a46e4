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

"""Rendering of the drums of MIDI files."""

from pathlib import Path

import pytest
import torch

from diffusers_jasco.controls.drum_machine import DRUMS, Groove
from diffusers_jasco.controls.midi_drums import DRUM_VOICES, drums_from_midi
from diffusers_jasco.evaluation.estimators.onsets import onsets_by_noise_flux
from diffusers_jasco.evaluation.metrics.onsets import score_onsets
from diffusers_jasco.inputs import InputError, read_drums

from .midi_files import midi, song, track


CASES = Path(__file__).parents[1] / "fixtures/cases"
RATE = 16000
BEAT = [(36, i, i + 0.1, 127) for i in range(8)] + [(42, i + 0.5, i + 0.6, 127) for i in range(8)]


def test_channel_10_is_rendered_with_the_drum_machine(tmp_path, warnings):
    parts = [("Piano", 0, 0, [(60, 0, 8)]), ("", 9, 0, BEAT)]
    drums = read_drums(song(tmp_path / "song.mid", parts, bpm=87), RATE, 8 * RATE)
    expected = Groove({"kick": "x.", "hat": ".x"}, bpm=60, steps_per_beat=2).render(8.0, RATE)
    assert drums.shape == (1, 8 * RATE) and drums.dtype == torch.float32
    onsets = [i / 2 for i in range(16)]
    assert score_onsets(onsets_by_noise_flux((drums, RATE)), onsets)["onset_f1"] > 0.95
    assert drums.abs().mean() == pytest.approx(float(expected.abs().mean()), rel=0.02) and not warnings.records


def test_the_example_file(warnings):
    drums = read_drums(CASES / "drums_channel_10.mid", RATE, 4 * RATE)
    times = [i / 4 for i in range(16)]
    assert score_onsets(onsets_by_noise_flux((drums, RATE)), times)["onset_f1"] > 0.9 and not warnings.records


def test_velocities_are_preserved(tmp_path):
    path = song(tmp_path / "song.mid", [("", 9, 0, [(38, 0, 0.1, 120), (38, 1, 1.1, 30)])])
    drums = drums_from_midi(path, 2.0, RATE)
    assert drums[0, RATE:].abs().max() == pytest.approx(float(drums[0, :RATE].abs().max()) / 4, rel=0.02)


def test_every_key_has_a_sound(tmp_path):
    assert set(DRUM_VOICES.values()) <= set(DRUMS) and set(range(27, 88)) == set(DRUM_VOICES)
    expected = {35: "kick", 36: "kick", 37: "rim", 38: "snare", 39: "clap", 40: "snare", 42: "hat", 44: "hat",
                46: "open hat", 45: "tom", 51: "ride", 56: "cowbell", 70: "shaker"}  # fmt: skip
    assert expected.items() <= DRUM_VOICES.items()


def test_an_excerpt(tmp_path, warnings):
    path = song(tmp_path / "song.mid", [("", 9, 0, BEAT)])
    whole = read_drums(path, RATE, 8 * RATE)
    part = read_drums(path, RATE, 2 * RATE, start=3.0)
    assert torch.allclose(part[0, : RATE // 4], whole[0, 3 * RATE : 3 * RATE + RATE // 4], atol=1e-4)
    assert "last until 7.50 s; they are used from 3 to 5 s" in warnings.text
    with pytest.raises(InputError, match="`start` is 9 s, but the notes of `drums` end"):
        read_drums(path, RATE, RATE, start=9)
    late = song(tmp_path / "late.mid", [("", 9, 0, [(36, 20, 21)])])
    assert not read_drums(late, RATE, RATE).any() and "they are from 20.00 to 20.00 s" in warnings.text


def test_drums_on_other_channels(tmp_path, warnings):
    named = song(tmp_path / "named.mid", [("Piano", 0, 0, [(60, 0, 8)]), ("Schlagzeug", 1, 0, BEAT)])
    single = song(tmp_path / "single.mid", [("Loop 3", 0, 0, BEAT)])
    for path in (named, single):
        warnings.clear()
        assert read_drums(path, RATE, 8 * RATE).any()
        assert "no notes on channel 10" in warnings.text and "is used as drums" in warnings.text
    chosen = song(tmp_path / "chosen.mid", [("Piano", 0, 0, [(60, 0, 8)]), ("Clip", 1, 0, BEAT)])
    assert read_drums(f"{chosen}#Clip", RATE, 8 * RATE).any()
    for path in (chosen, song(tmp_path / "melody.mid", [("", 0, 0, [(60 + i, i, i + 1) for i in range(8)])])):
        with pytest.raises(InputError, match="has no drums: no notes on channel 10") as error:
            read_drums(path, RATE, RATE)
        assert error.value.argument == "drums"


def test_hits_without_length(tmp_path):
    """Many programs write the end of a hit at its start."""
    path = tmp_path / "song.mid"
    path.write_bytes(midi(track(b"\0\x99\x24\x50\0\x89\x24\x40")))
    assert drums_from_midi(path, 1.0, RATE).abs().max() > 0.1


def test_soft_drums_are_normalized_to_the_reference_loudness(tmp_path):
    loud, soft = (
        song(tmp_path / f"{velocity}.mid", [("", 9, 0, [(key, start, end, velocity) for key, start, end, _ in BEAT])])
        for velocity in (120, 12)
    )
    assert read_drums(loud, RATE, 8 * RATE).abs().max() > 8 * read_drums(soft, RATE, 8 * RATE).abs().max()
    levels = [float(read_drums(path, RATE, 8 * RATE, loudness=-20.0).square().mean()) for path in (loud, soft)]
    assert levels[0] == pytest.approx(levels[1], rel=0.1)
