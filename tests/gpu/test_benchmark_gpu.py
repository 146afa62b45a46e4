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


import json

import pytest

from ..conftest import run_script
from ..training.run_tools import ROOT


PARTS = ("step", "pipeline", "training", "decoding")


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    """Runs the benchmark at toy size, and returns its report."""
    monkeypatch.syspath_prepend(ROOT / "scripts")

    def run(*options):
        path = tmp_path / "report.json"
        toy = ("--toy", "--device", "cpu", "--pairs", 1, "--steps", 1, "--output", path)
        run_script("benchmark_gpu", *toy, *options)
        return json.loads(path.read_text())

    return run


def test_each_part_is_measured_within_its_time(benchmark, capsys):
    report = benchmark("--max_minutes", 0.01)
    for part in PARTS:
        rows = report[part]
        assert rows and not any("error" in row for row in rows)
        assert all(value > 0 for row in rows for value in row.values() if isinstance(value, float))
    printed = capsys.readouterr().out
    assert "measurements are missing" in printed and "| size | mode | clips | dtype | milliseconds |" in printed


def test_a_failed_measurement_does_not_end_the_run(benchmark, monkeypatch):
    monkeypatch.setattr("diffusers_jasco.codecs.load_codec", lambda folder: 1 / 0)
    rows = benchmark("--only", "decoding")["decoding"]
    errors = {row["name"]: row.get("error") for row in rows}
    assert errors == {"EnCodec": None, "spectral": "ZeroDivisionError: division by zero"}


@pytest.mark.slow
def test_all_settings_at_toy_size(benchmark, capsys):
    report = benchmark("--max_minutes", 5)
    assert not any("error" in row for part in PARTS for row in report[part])
    assert "missing" not in capsys.readouterr().out
