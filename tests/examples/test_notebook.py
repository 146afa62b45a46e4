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

"""The notebook runs from top to bottom, and its outputs match its text."""

import json
import re
from pathlib import Path

import pytest


NOTEBOOK = Path(__file__).parents[2] / "examples/jasco_demo.ipynb"


def test_the_notebook_contains_no_outputs():
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
    assert set(content["metadata"]) == {"kernelspec", "language_info"}


@pytest.fixture(scope="module")
def outputs(nano_in_two_steps):
    """Outputs of the code cells."""
    pytest.importorskip("ipykernel")
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for package in ("matplotlib", "mir_eval", "pretty_midi", "librosa", "swift_f0"):
        pytest.importorskip(package)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    # A failing cell raises an error with its traceback.
    nbclient.NotebookClient(
        notebook,
        timeout=600,
        startup_timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(nano_in_two_steps)}},
    ).execute()
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.slow
def test_it_runs_and_shows_figures_and_players(outputs):
    shown = [output.data for cell in outputs for output in cell if "data" in output]
    assert sum("image/png" in data for data in shown) >= 8
    players = [data["text/html"] for data in shown if "<audio" in data.get("text/html", "")]
    assert len(players) >= 15 and all("data:audio/wav;base64," in player for player in players)


@pytest.mark.slow
def test_printed_results_match_the_text(outputs):
    printed = "".join(output.text for cell in outputs for output in cell if output.get("name") == "stdout")
    assert "position 1: unknown chord 'H7'. Did you mean 'B7'" in printed
    own, other = printed.split("its own music")[1].split("another prompt's")[0:2]
    assert "Chords: " in own and "very close" in own
    assert "poor" in other.split("Euler")[0]
    assert float(printed.split("generated alone, it differs by ")[1].split()[0]) < 1e-3
    assert len(re.findall(r"chords \d\.\d+, drums \d\.\d+", printed)) == 4 and printed.count("(the best take)") == 1
    assert "largest difference before the third bar: 0\n" in printed
    assert "outputs/take.flac" in printed
