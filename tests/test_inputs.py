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

"""Errors name the argument at fault in their attributes as well as in the message."""

import json
import math
import pickle
import re
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusers_jasco import export_audio
from diffusers_jasco.controls.chords import chords_from_bars, chords_from_roman
from diffusers_jasco.controls.drum_machine import GROOVES, Groove
from diffusers_jasco.controls.note_text import melody_from_text
from diffusers_jasco.controls.progressions import chords_from_progression
from diffusers_jasco.extraction import (
    Beats,
    extract_beats,
    extract_chords,
    extract_lead_sheet,
    extract_melody,
    separate_drums,
)
from diffusers_jasco.inputs import InputError, is_beats, read_beats, read_chords, read_drums, read_melody
from diffusers_jasco.per_prompt import encode_per_prompt

from .conftest import load_pipeline


RATE = 16000


def failure(read, *arguments, **options) -> InputError:
    with pytest.raises(InputError) as error:
        read(*arguments, **options)
    return error.value


@pytest.mark.parametrize(
    "chords, position",
    [
        ([("C", 0.0), ("H", 1.0)], 1),
        ([("C", 0.0), ("F", 1.0), ("G", math.nan)], 2),
        ([("C", 0.0), ("F", 1.0), ("G", 10**400)], 2),
        ([("C", 0.0), "F"], 1),
        ("C:0 Am", 1),
        ("C:0 | Am:2 | X7:4", 2),
        ("(C, 0.0), (D, two)", 1),
        ("(C, 0.0", None),
        (Path("song.xyz"), None),
        (3, None),
        (np.zeros(3), None),
        ({"C": 0.0}, None),
    ],
    ids=str,
)
def test_chords(chords, position):
    error = failure(read_chords, chords)
    assert (error.argument, error.position, error.prompt) == ("chords", position, None)
    assert "`chords`" in str(error) and (position is None or f"position {position}" in str(error))


@pytest.mark.parametrize(
    "melody, position",
    [
        ([("C4", 0, 1), ("H4", 0, 1)], 1),
        ([("C4", 0, 1), ("C4", 1, math.inf)], 1),
        ([("C4", 0, 1), ("C4", 2, 2)], 1),
        ([("C4", 0, 1), ("C4", 2, 3), 60], 2),
        ([(10**400, 0, 1)], 0),
        (torch.zeros(7, 9), None),
        (torch.full((53, 4), math.nan), None),
        (np.array([None]), None),
        ((torch.zeros(9), 0), None),
        ("song.xyz", None),
        ({"a": 1}, None),
        (None, None),
    ],
    ids=str,
)
def test_melodies(melody, position):
    error = failure(read_melody, melody, 10, 10.0)
    assert (error.argument, error.position) == ("melody", position)
    assert "`melody`" in str(error) and (position is None or f"note {position}" in str(error))


@pytest.mark.parametrize(
    "drums",
    [
        3,
        None,
        {"array": 1},
        (np.zeros((2, 2, 2)), RATE),
        (np.full(3, np.inf), RATE),
        ([[0.0], [0.0, 1.0]], RATE),
        (torch.zeros(9).to_sparse(), RATE),
        (np.zeros(9), "fast"),
        (np.zeros(9), 10**400),
        Path(__file__).parent,
        __file__,
    ],
    ids=lambda value: str(type(value)),
)
def test_drums(drums):
    error = failure(read_drums, drums, RATE, RATE)
    assert (error.argument, error.position) == ("drums", None) and "`drums`" in str(error)


@pytest.mark.parametrize(
    "beats, position",
    [
        ([0.0, 0.5, math.nan], 2),
        ([0.0, 0.5, 0.4], 2),
        ([0.0], None),
        (([0.0, 0.5], [0.0, "x"]), 1),
        ([[0.0, 0.5], [0.0, 0.5]], 0),
        (3, None),
        (None, None),
        ("C | Am", None),
        (Path("beats.txt"), None),
        (np.zeros((2, 2, 2)), 0),
        ({"a": 1}, None),
    ],
    ids=str,
)
def test_beats(beats, position):
    error = failure(read_beats, beats)
    assert (error.argument, error.position) == ("beats", position)
    assert "`beats`" in str(error) and (position is None or f"position {position}" in str(error))


def test_errors_about_beats_say_how_to_pass_them(warnings):
    for beats, message in (
        ("b.txt", "a list of times in seconds, .* Other files and texts are not read: pass the times as a list"),
        ("0 0.5 1", "pass the times as a list"),
        ([[0, 0.6, 1.3], [0.6, 1.3]], r"use a tuple, `\(beats, downbeats\)`"),
    ):
        assert re.search(message, str(failure(read_beats, beats)))

    def read(beats):
        return encode_per_prompt("beats", beats, 1, read_beats, [0.0])

    assert "use a tuple, `(beats, downbeats)`" in str(failure(read, [[0, 0.6, 1.3], [0.6, 1.3]]))
    assert "has to be a list of times in seconds, [0.0, 0.5, 1.0], " in str(failure(read, ["a", "b"]))
    read_beats([0.0, 2.5], duration=2.0), read_beats([1.9, 2.5], duration=2.0)
    assert not warnings.text
    assert read_beats([100, 101], duration=2.0)[0] == [100, 101]
    assert "`beats`: all are outside of the music, which lasts 2 s" in warnings.text


def test_forms_of_beats(warnings):
    beats, downbeats = [0.0, 0.5, 1.0, 1.5, 2.0], [0.0, 2.0]
    for form in (beats, tuple(beats), np.array(beats), torch.tensor(beats), (beats, downbeats), (np.array(beats), [])):
        assert is_beats(form) and read_beats(form) == (beats, downbeats)
    assert (
        is_beats("a.wav") and is_beats((np.zeros(9), RATE)) and is_beats({"array": np.zeros(9), "sampling_rate": RATE})
    )
    assert not is_beats([beats, beats]) and not is_beats([None, beats]) and not is_beats([(beats, downbeats)])
    assert read_beats(beats, beats_per_bar=3) == (beats, [0.0, 1.5])
    assert read_beats(Beats(beats, [0.5], 120.0, "6/8"))[1] == [0.5, 1.5] and not warnings.text
    # The result for empty beats is a valid value itself.
    assert read_beats(Beats([], [], None, None)) == read_beats([]) == read_beats(read_beats([])) == ([], [])
    assert warnings.text.count("`beats` is empty: the music is generated without it") == 4
    assert "no beat was found" in warnings.text


def test_beats_of_recordings(tmp_path):
    groove = Groove({"kick": "x...x...x...x...", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."}, 110)
    recording = groove.render(20.0, RATE)
    export_audio(recording, tmp_path / "beat.wav", RATE)
    beats, downbeats = read_beats((recording, RATE))
    found = extract_beats(recording, RATE)
    assert (beats, downbeats) == (found.beats, found.downbeats) and np.diff(beats).mean() == pytest.approx(
        60 / 110, 0.01
    )
    later, _ = read_beats(tmp_path / "beat.wav", 5.0, start=7.2)
    for time in (time for time in later if 0 <= time < 5):
        assert np.abs(np.array(beats) - 7.2 - time).min() < 0.03
    assert failure(read_beats, (recording, RATE), start=30.0).argument == "start"


def test_chords_notes_and_grooves_in_beats():
    assert read_chords("C | Am", bpm=60, beats_per_bar=3) == [("C", 0.0), ("Am", 3.0)]
    assert read_chords("C:0 Am:2.5", bpm=60) == [("C", 0.0), ("Am", 2.5)]
    assert failure(read_chords, "C | Am").argument == "chords" and "`bpm`" in str(failure(read_chords, "C | Am"))
    notes = read_melody("C4 D4", 20, 10.0, bpm=60)
    assert torch.equal(notes, read_melody(melody_from_text("C4 D4", 60), 20, 10.0))
    assert "`bpm`" in str(failure(read_melody, "C4 D4", 20, 10.0))
    groove = GROOVES["house"]
    for bpm in (groove.bpm, 90):
        expected = read_drums((Groove(groove.tracks, bpm).render(2.0, RATE), RATE), RATE, 2 * RATE, loudness=-20.0)
        given = None if bpm == groove.bpm else bpm
        assert torch.equal(read_drums(groove, RATE, 2 * RATE, True, -20.0, start=1.0, bpm=given), expected)


def test_files_of_grooves(tmp_path):
    file, groove = tmp_path / "loop.groove.json", GROOVES["shuffle"]
    file.write_text(json.dumps(asdict(groove)))
    for path in (file, str(file)):
        assert torch.equal(read_drums(path, RATE, RATE, start=1.0, bpm=90), read_drums(groove, RATE, RATE, bpm=90))
    file.write_text('{"chords": []}')
    error = failure(read_drums, file, RATE, RATE)
    assert error.argument == "drums" and "loop.groove.json is not a groove" in str(error)
    with pytest.raises(FileNotFoundError, match="`drums`: the file absent.json does not exist"):
        read_drums("absent.json", RATE, RATE)


@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".lab", ".jams", ".mid"])
def test_damaged_files(tmp_path, suffix):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"RIFF\xff\xfe\x00nonsense")
    if suffix == ".mid":
        pytest.importorskip("pretty_midi")
    assert failure(read_chords, path).argument == "chords" and str(path) in str(failure(read_chords, path))
    assert failure(read_melody, path, 10, 10.0).argument == "melody"
    assert failure(read_drums, path, RATE, RATE).argument == "drums"


def test_extractors_name_the_argument_audio(tmp_path):
    path = tmp_path / "broken.wav"
    path.write_bytes(b"RIFF nonsense")
    for extractor in (extract_chords, extract_melody, separate_drums):
        error = failure(extractor, path)
        assert error.argument == "audio" and "`audio`" in str(error)
        assert failure(extractor, torch.zeros(9)).argument == "sampling_rate"
        assert failure(extractor, torch.zeros(9), RATE, method="best").argument == "method"
    error = failure(read_chords, path)
    assert "`chords`" in str(error) and "`audio`" not in str(error)


@pytest.mark.parametrize(
    "name, read",
    [
        ("chords", read_chords),
        ("melody", partial(read_melody, num_frames=20, frame_rate=20.0)),
        ("drums", partial(read_drums, sampling_rate=RATE, num_samples=RATE)),
        ("drums", partial(read_drums, sampling_rate=RATE, num_samples=RATE, separate=True)),
        ("beats", read_beats),
        ("audio", extract_lead_sheet),
        ("audio", partial(extract_lead_sheet, melody_method="monophonic")),
    ],
)
def test_silent_recordings_cause_the_same_warning(name, read, warnings, tmp_path):
    if "melody_method" in getattr(read, "keywords", {}):
        pytest.importorskip("swift_f0")
    path = export_audio(torch.zeros(1, RATE), tmp_path / "silence.wav", RATE)
    warnings.clear()
    read(path)
    message = f"`{name}` is silent (below -70 LUFS): check the recording."
    assert [record.levelname for record in warnings.records if record.message == message] == ["WARNING"]


def test_errors_name_other_arguments():
    assert failure(chords_from_bars, "C | G", bpm=0).argument == "bpm"
    assert failure(chords_from_bars, "C | G", beats_per_bar=0).argument == "beats_per_bar"
    assert failure(chords_from_bars, "C | | G").argument == "chords"
    assert failure(chords_from_roman, "I V", "H").argument == "key"
    assert failure(chords_from_roman, "I VIII", "C").argument == "chords"
    assert failure(chords_from_progression, "axe", "C").argument == "name"
    assert failure(Groove, {"gong": "x..."}).argument == "tracks"


@pytest.mark.parametrize(
    "name, control, position",
    [
        ("chords", [("C", 0.0), ("H", 1.0)], 1),
        ("melody", [("C4", 0, 0.1), ("H4", 0, 0.1)], 1),
        ("drums", (torch.full((9,), math.nan), RATE), None),
    ],
)
def test_one_of_several_prompts(name, control, position):
    pipe = load_pipeline("chords-drums-melody")
    alone = failure(pipe, "a", **{name: control}, duration=0.2)
    assert (alone.argument, alone.position, alone.prompt) == (name, position, None)
    error = failure(pipe, ["a", "b", "c"], **{name: [None, control, None]}, duration=0.2)
    assert (error.argument, error.position, error.prompt) == (name, position, 1)
    assert str(error) == f"For prompt 1: {alone}"
    error = failure(pipe, ["a", "b", "c"], **{name: [control, None]}, duration=0.2)
    assert (error.argument, error.position, error.prompt) == (name, None, None) and "2 elements for 3 prompt" in str(
        error
    )


def test_errors_survive_pickling():
    error = failure(read_chords, [("C", 0.0), ("H", 1.0)]).for_prompt(2)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is InputError and (str(copy), vars(copy)) == (str(error), vars(error))
