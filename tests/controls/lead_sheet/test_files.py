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

"""How the format of a lead sheet is found, and files that are written."""

import pytest

from diffusers_jasco.controls.lead_sheet import LeadSheet, read_lead_sheet
from diffusers_jasco.inputs import InputError


ABC = 'X:1\nT:Tune\nM:4/4\nL:1/4\nQ:1/4=90\nK:G\n|: "G" G A B c | "D7" d2 d2 :|\n'
CHORDPRO = "{title: Song}\n{start_of_grid}\n|: C . . . | G . . . :|\n{end_of_grid}\n"
CHART = "Title: Chart\n[Verse] C | Am | F | G\n[Chorus x2] F | G\n"
MUSICXML = """<?xml version="1.0"?>
<score-partwise><part-list><score-part id="P1"><part-name>Voice</part-name></score-part></part-list>
<part id="P1"><measure number="1"><attributes><divisions>1</divisions><time><beats>4</beats><beat-type>4</beat-type></time>
</attributes><harmony><root><root-step>C</root-step></root><kind>major</kind></harmony>
<note><pitch><step>C</step><octave>5</octave></pitch><duration>4</duration></note></measure></part></score-partwise>
"""


@pytest.mark.parametrize(
    ("text", "chord"),
    [
        (ABC, "G"),
        (CHORDPRO, "C"),
        (CHART, "C"),
        ("[Verse] Eb Bb | Ab", "Eb"),
        ("Am | F | C | G", "Am"),
        (MUSICXML, "C"),
        (MUSICXML.replace("\n", ""), "C"),
    ],
)
def test_text_is_detected(text, chord, tmp_path):
    sheet = read_lead_sheet(text)
    assert sheet.chords[0] == (chord, 0)
    (tmp_path / "song.txt").write_text(text)
    assert read_lead_sheet(tmp_path / "song.txt") == sheet == read_lead_sheet(str(tmp_path / "song.txt"))


@pytest.mark.parametrize(
    ("name", "text"), [("a.abc", ABC), ("a.ABC", ABC), ("a.cho", CHORDPRO), ("a.pro", CHORDPRO), ("a.xml", MUSICXML),
                       ("a.musicxml", MUSICXML)],
)  # fmt: skip
def test_files_are_read_by_their_suffix(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    assert read_lead_sheet(tmp_path / name).chords


@pytest.mark.parametrize("suffix", [".abc", ".musicxml", ".xml", ".mid", ".midi", ".json"])
def test_written_files_are_read(suffix, tmp_path):
    sheet = read_lead_sheet(ABC)
    sheet.save(tmp_path / f"song{suffix}")
    again = read_lead_sheet(tmp_path / f"song{suffix}")
    assert again.expand().chords == sheet.expand().chords
    assert again.expand().melody == sheet.expand().melody
    assert (again.title, again.tempo, again.time_signature) == ("Tune", 90.0, (4, 4))


def test_annotations_are_written(tmp_path):
    read_lead_sheet(CHART).save(tmp_path / "song.lab")
    lines = (tmp_path / "song.lab").read_text().splitlines()
    assert len(lines) == 8 and lines[1].split()[-1] == "A:min"


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("song.gp5", {}, "is a Guitar Pro file: export it as MusicXML"),
        ("song.docx", {}, "lead sheets end in .abc"),
        (CHART, {"tune": 2}, "`tune` is for ABC and iReal Pro"),
        (CHORDPRO, {"part": "alto"}, "`part` is for ABC, MusicXML and MIDI"),
        (MUSICXML, {"tune": 1}, "`tune` is for ABC and iReal Pro"),
        ("", {}, "empty"),
        (3, {}, "but is a int"),
        ("Lorem ipsum dolor sit amet", {}, "chord"),
    ],
)
def test_other_sources(source, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("song.gp5", "song.docx"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=message):
        read_lead_sheet(source, **options)


@pytest.mark.parametrize("suffix", [".abc", ".musicxml", ".mid", ".json", ".txt"])
def test_errors_of_files_begin_alike(suffix, tmp_path):
    path = tmp_path / f"song{suffix}"
    with pytest.raises(FileNotFoundError, match=rf"^`source`: the file {path} does not exist\.$"):
        read_lead_sheet(path)
    path.touch()
    with pytest.raises(InputError, match=f"^`source`: {path} "):
        read_lead_sheet(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=rf"^`source`: {path} is a folder, not a file\.$"):
        read_lead_sheet(path)


def test_lost_values_are_reported(tmp_path, caplog):
    sheet = read_lead_sheet("Tempo: 96\nPrompt: pop\nEnding: fade\n[A; groove=waltz] C | G\n[B; fill] F")
    sheet.save(tmp_path / "song.musicxml")
    (record,) = caplog.records
    assert "prompts, grooves, drum fills, the ending 'fade'" in record.message
    caplog.clear()
    sheet.save(tmp_path / "song.mid")
    (record,) = caplog.records
    assert "no prompts" in record.message
    caplog.clear()
    for suffix in ("musicxml", "mid", "json"):
        read_lead_sheet("Tempo: 96\n[A] C | G").save(tmp_path / f"song.{suffix}")
    assert not caplog.records


def test_interrupted_writing_keeps_the_file(tmp_path, monkeypatch):
    sheet = read_lead_sheet(CHART)
    sheet.save(tmp_path / "song.json")
    monkeypatch.setattr(LeadSheet, "expand", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sheet.save(tmp_path / "song.mid")
    assert [path.name for path in tmp_path.iterdir()] == ["song.json"]


@pytest.mark.parametrize("suffix", [".abc", ".json", ".mxl", ".musicxml", ".mid", ".txt", ".cho", ".html"])
def test_empty_files_are_named(suffix, tmp_path):
    path = tmp_path / f"song{suffix}"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"song\.\w+ is empty"):
        read_lead_sheet(path)


def test_file_that_is_not_musicxml(tmp_path):
    path = tmp_path / "song.mxl"
    path.write_bytes(b"\x8a\x01garbage")
    with pytest.raises(InputError, match="song.mxl is neither a zip archive"):
        read_lead_sheet(path)
