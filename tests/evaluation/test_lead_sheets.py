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
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from diffusers_jasco.controls.lead_sheet import read_lead_sheet
from diffusers_jasco.evaluation.lead_sheets import chords_of, compare_midi, equal, find_sources
from diffusers_jasco.utils.errors import InputError

from ..conftest import run_script


FIXTURES = Path(__file__).parents[1] / "fixtures/lead_sheets"


@pytest.fixture
def folder(tmp_path):
    """A file without mistakes, one with, and others that are not lead sheets."""
    folder = tmp_path / "songs"
    folder.mkdir()
    (folder / "good.abc").write_text('X:1\nK:C\n"C" C4 |\n')
    (folder / "broken.abc").write_text('X:1\nM:3/5\nK:C\n"C" C4 |\n')
    (folder / "page.html").write_text("<p>Hello</p>")
    (folder / "settings.xml").write_text("<settings/>")
    (folder / "settings.json").write_text("{}")
    return folder


def test_each_tune_and_only_lead_sheets_are_found(folder):
    found = [(source.format, source.path.name) for source in find_sources(folder, ["ABC", "MusicXML", "iReal Pro"])]
    assert found == [("ABC", "broken.abc"), ("ABC", "good.abc")]
    tunes = list(find_sources(FIXTURES, ["iReal Pro"]))
    assert len(tunes) > 1 and len({source.read().title for source in tunes}) == len(tunes)


def test_the_report_has_shares_round_trips_and_reasons(folder, tmp_path, capsys):
    output = tmp_path / "report"
    run_script("evaluate_lead_sheets", FIXTURES, folder, "--round_trips", "--output", output)
    report = (output / "lead_sheets.md").read_text()
    assert report.strip() in capsys.readouterr().out
    assert "| ABC | songs | 2 | 2 | 50.00% | 1 |" in report
    assert "- ABC, songs: 1 × " in report and "3/5" not in report
    rows = json.loads((output / "lead_sheets.json").read_text())
    assert all(row["read"] == row["sheets"] for row in rows if row["folder"] == "lead_sheets")
    for row in rows:
        counts = row["counts"]
        for suffix in (".abc", ".musicxml", ".mid", ".json"):
            assert counts[f"{suffix} chords"] == counts[f"{suffix} notes"] == counts[f"{suffix} sheets"] > 0
    (message,) = next(row["examples"] for row in rows if row["folder"] == "songs").values()
    assert "broken.abc" in message and "line 2" in message


def test_limit_and_formats_select(tmp_path, capsys):
    run_script("evaluate_lead_sheets", FIXTURES, "--formats", "iReal Pro", "--limit", 1)
    table = capsys.readouterr().out
    assert "| iReal Pro | lead_sheets | 1 | 1 | 100% | 0 |" in table and "ABC" not in table
    with pytest.raises(InputError, match="no lead sheets"):
        run_script("evaluate_lead_sheets", tmp_path)


def test_a_missing_second_reader_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "music21", None)
    with pytest.raises(ImportError, match="pip install music21"):
        run_script("evaluate_lead_sheets", FIXTURES, "--second_reader")


def test_melodies_of_midi_files_are_compared_with_pretty_midi(tmp_path):
    pytest.importorskip("pretty_midi")
    read_lead_sheet('X:1\nL:1/4\nK:C\n"C" C2 E2 | "F" F4 |\n').save(tmp_path / "song.mid")
    (source,) = find_sources(tmp_path, ["MIDI"])
    assert compare_midi(source, source.read()) == {"same notes": 3, "all notes": 3}
    assert compare_midi(source, source.read().transpose(1))["same notes"] == 0


def test_a_tick_is_tolerated_and_a_wrong_chord_is_not():
    sheet = read_lead_sheet("C | Am")
    chords = chords_of(sheet)
    late = [(chord, start + Fraction(1, 960)) for chord, start in chords]
    assert equal(chords, late) and not equal(chords, late[:1])
    assert not equal(chords, chords_of(read_lead_sheet("C | A")))
    assert not equal(chords, chords_of(read_lead_sheet("C . . Am")))
