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

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusers_jasco.controls.chords import chords_from_bars, chords_from_roman
from diffusers_jasco.controls.drum_machine import Groove
from diffusers_jasco.controls.progressions import chords_from_progression
from diffusers_jasco.extraction import extract_chords, extract_melody, separate_drums
from diffusers_jasco.inputs import InputError, read_chords, read_drums, read_melody

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
