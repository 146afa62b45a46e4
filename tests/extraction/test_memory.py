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

"""Memory that does not grow with the length of a recording, apart from results."""

import subprocess
import sys
import tracemalloc
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffusers_jasco.extraction import extract_beats, extract_chords, extract_drum_hits, extract_key
from diffusers_jasco.extraction.melody import extract_bins
from diffusers_jasco.utils import spooling

from ..evaluation.clips import play_chords


RATE = 8000
LONGEST_GROWTH = 50e6 / 3000  # bytes per second: 50 MB from ten minutes to an hour


def peak(extract, path):
    """Bytes that Python and NumPy allocate at most."""
    tracemalloc.start()
    try:
        extract(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """The same music for 60 and for 120 s: longer than the blocks of all extractors."""
    folder = tmp_path_factory.mktemp("recordings")
    chords = [(label, 2.0 * index) for index, label in enumerate("C Am F G7".split())]
    part = play_chords(chords, 10.0, RATE)[0].numpy() + 0.01 * np.random.default_rng(0).standard_normal(10 * RATE)
    for repeats in (6, 12):
        soundfile.write(folder / f"{repeats}.wav", np.tile(part, repeats), RATE)
    return folder / "6.wav", folder / "12.wav"


@pytest.mark.parametrize(
    "extract",
    [
        pytest.param(lambda path: extract_chords(path, method="builtin"), id="chords"),
        pytest.param(extract_key, id="key"),
        pytest.param(extract_beats, id="beats"),
        pytest.param(extract_drum_hits, id="drum hits"),
        pytest.param(lambda path: extract_bins(path, method="builtin"), id="melody"),
        pytest.param(
            lambda path: extract_bins(path, method="monophonic"),
            id="voice",
            marks=pytest.mark.skipif(find_spec("swift_f0") is None, reason="needs swift_f0"),
        ),
    ],
)
def test_memory_hardly_grows_with_the_length(extract, recordings, monkeypatch):
    monkeypatch.setattr(spooling, "MEMORY", 100_000)
    short, long = recordings
    extract(short)  # The first call prepares tables.
    assert peak(extract, long) - peak(extract, short) < 60 * LONGEST_GROWTH


def test_spooled_rows_equal_an_array(monkeypatch):
    monkeypatch.setattr(spooling, "MEMORY", 200)
    values = np.random.default_rng(0).standard_normal((57, 2, 3)).astype(np.float32)
    with spooling.SpooledRows((2, 3), np.float32) as rows:
        assert len(rows) == 0 and rows.read(0, 5).shape == (0, 2, 3)
        for start in range(0, 57, 10):
            rows.append(values[start : start + 10])
            assert np.array_equal(rows.read(start - 3, start + 4), values[max(start - 3, 0) : start + 4])
        rows.append(values[:0])
        assert len(rows) == 57 and np.array_equal(rows.read(-5, 99), values)


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", ["extract_chords", "extract_key", "extract_beats", "extract_melody", "separate_drums (file)"]
)
def test_resident_memory(part):
    script = Path(__file__).parents[2] / "scripts/benchmark_extraction.py"
    command = [sys.executable, script, "--minutes", "5", "20", "--parts", part]
    table = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    growth = float(table.splitlines()[-1].split("|")[-2])
    # 15 of 50 minutes, and the variation from run to run.
    assert growth < 15 * 60 * LONGEST_GROWTH / 1e6 + 10
