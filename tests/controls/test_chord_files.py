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

"""Chord files as they are found in practice."""

import json
import re
from pathlib import Path

import pytest

from diffusers_jasco.controls.chords import (
    chords_from_bars,
    chords_from_file,
    chords_from_roman,
    chords_from_text_or_file,
)
from diffusers_jasco.inputs import InputError, read_chords
from diffusers_jasco.utils.files import looks_like_path


CASES = Path(__file__).parents[1] / "fixtures/cases"
CHORDINO = [("N", 0.0), ("D", 0.464399092), ("D/A", 4.238458049), ("Bm", 6.421133786)]
TWO = [("C", 0.0), ("Am", 2.5)]


def write(folder, name, content, encoding="utf-8"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


@pytest.mark.parametrize(
    "name, expected",
    [
        ("bom.lab", TWO),
        ("decimal_comma.lab", TWO),
        ("ok.lab", TWO),
        ("prepared.chords.json", TWO),
        ("chordino_sonic_annotator.csv", CHORDINO),
        ("chordino_sonic_visualiser.lab", CHORDINO),
        ("song.txt", [("C", 0.0), ("Am", 2.5), ("F", 5.0), ("G", 7.5)]),
        ("roman_text_first.jams", [("Ab", 0.0), ("C#m", 2.0), ("Eb7", 4.0)]),
        ("roman_dict_first.jams", [("Ab", 0.0), ("C#m", 2.0), ("Eb7", 4.0)]),
    ],
)
def test_example_files(name, expected):
    assert read_chords(CASES / name) == read_chords(str(CASES / name)) == expected


# 1. Paths and texts


@pytest.mark.parametrize(
    "text",
    ["song.txt", "ok.lab", "x\0.lab", "my song (live).LAB", "a/b/c.xyz", "../x.tar.gz", "C.lab", "x.mp3",
     "./song", "../songs/one", "~/song", "/songs/one", "C:\\songs\\one"],
)  # fmt: skip
def test_a_text_with_a_suffix_or_the_start_of_a_path_is_a_path(text):
    assert looks_like_path(text)


@pytest.mark.parametrize(
    "text",
    ["C/E:0 Am/G:2.5", "(C, 0.0), (Am, 2.5)", "[('C', 0.0)]", "C . . G", "N.C.", "C:0 N.C.:2.5", "C | Am.",
     "C | a.lab", "F.C",
     "", ".", "C:0\nAm:2.lab", "I . V", "C:0 Am:2.5s", "x" * 2000 + ".lab"],
)  # fmt: skip
def test_a_text_of_chords_is_not_a_path(text):
    assert not looks_like_path(text)


def test_an_existing_file_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "songs").mkdir()
    write(tmp_path / "songs", "one", "0.0 2.5 C\n2.5 5.0 A:min\n")
    assert read_chords("songs/one") == TWO
    assert not looks_like_path("songs") and looks_like_path("songs/")
    with pytest.raises(InputError, match="songs"):
        read_chords("songs/")


def test_errors_for_unknown_formats_and_missing_files(tmp_path):
    for text in ("song.xyz", str(write(tmp_path, "notes.docx", "hello")), Path("song.xyz")):
        with pytest.raises(InputError, match=r"have to end in .*\.lab.*\.csv.*\.jams.*\.mid") as error:
            read_chords(text)
        assert error.value.argument == "chords"
    for text in ("absent.txt", "absent.lab", "folder/absent.csv", Path("absent.json"), "absent.mp3"):
        with pytest.raises(FileNotFoundError, match=r"absent\.(txt|lab|csv|json|mp3)"):
            read_chords(text)
    (tmp_path / "folder.lab").mkdir()
    with pytest.raises(InputError, match="folder, not a file"):
        read_chords(tmp_path / "folder.lab")


@pytest.mark.parametrize(
    "name, content",
    [("a.abc", "X:1"), ("a.musicxml", "<?xml"), ("a.cho", "{title: x}"), ("a.html", "<html>"),
     ("a.txt", "irealb://abc"),
     ("b.txt", "X:1\nT:Tune\nK:C\n"), ("c.txt", "{title: Song}\n[C]Hello"), ("e.txt", "Verse 1\n[C]Hello [G]world\n"),
     ("d.lab", "<?xml version='1.0'?><score-partwise>")],
)  # fmt: skip
def test_lead_sheets_are_rejected_and_the_message_says_how_to_read_them(tmp_path, name, content):
    with pytest.raises(InputError, match="lead sheet") as error:
        read_chords(write(tmp_path, name, content))
    assert f"read_lead_sheet('{tmp_path / name}')" in str(error.value)


def test_scores_have_to_be_exported(tmp_path):
    with pytest.raises(InputError, match="Export it as MusicXML"):
        read_chords(write(tmp_path, "a.mscz", "PK"))


@pytest.mark.parametrize(
    "content",
    ["[00:00.00]C\n[00:02.00]Am\n", "[0.00 - 2.00] C\n[2.00 - 4.00] Am\n", "[0:00]C [0:02]Am",
     "[Verse]\nC   Am   F\nSome words of a song\n", "[Verse 1: Somebody]\nC  G\n",
     "[beats]\nbeat=0.5\n\n[chords]\nchord=0.0,2.0,C\n", "[ti:Song]\n[00:01.00]Words\n",
     "WEBVTT\n\n00:00.000 --> 00:02.000\nC\n",
     "1\n00:00:00,000 --> 00:00:02,000\nC\n\n2\n00:00:02,000 --> 00:00:04,000\nAm\n"],
)  # fmt: skip
def test_lyrics_and_subtitles_are_rejected_with_a_short_message(tmp_path, content):
    with pytest.raises(InputError, match="lyrics, subtitles") as error:
        read_chords(write(tmp_path, "a.txt", content))
    assert content[:12] not in str(error.value) and repr(content)[1:13] not in str(error.value)
    with pytest.raises(InputError, match="lyrics, subtitles"):
        read_chords(content)


TEXTS = ["C:0 Am:2.5", "C:0\nAm:2.5\n", "# mine\nC:0, Am:2.5", "(C, 0.0), (Am, 2.5)", "[('C', 0.0), ('Am', 2.5)]",
         '[["C", 0.0], ["Am", 2.5]]', "[['C', 0.0], ['Am', 2.5]]", "0.0 C\n2.5 Am",
         "0.0\t2.5\tC\n2.5\t5.0\tAm\n"]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_texts_in_files_and_as_arguments_are_equivalent(tmp_path, text):
    assert read_chords(write(tmp_path, "song.txt", text)) == read_chords(text) == TWO
    assert chords_from_text_or_file(text, bpm=90) == [*map(tuple, read_chords(text))]


def test_files_of_bars_and_numerals(tmp_path, warnings):
    bars, numerals = write(tmp_path, "bars.txt", "C | Am\nF | G\n"), write(tmp_path, "numerals.txt", "I vi IV V")
    expected = [("C", 0.0), ("Am", 2.0), ("F", 4.0), ("G", 6.0)]
    assert chords_from_bars(str(bars), bpm=120) == chords_from_text_or_file(bars, bpm=120) == expected
    assert chords_from_roman(str(numerals), "C", bpm=120) == chords_from_text_or_file(numerals, key="C") == expected
    assert not warnings.records
    with pytest.raises(InputError, match="bars.txt.*bpm"):
        read_chords(bars)
    assert chords_from_bars(str(CASES / "ok.lab"), bpm=120) == [("C", 0.0), ("A:min", 2.5)]
    assert "already contains times" in warnings.text
    assert len(chords_from_text_or_file(CASES / "song.txt", duration=20.0)) == 8


# 2. Tables


LINES = "0.0 2.5 C\n2.5 5.0 A:min\n"
TABLES = {
    "madmom.chords": LINES.replace(" ", "\t"),
    "spaces.lab": LINES.replace(" ", "   "),
    "tabs.lab": LINES.replace(" ", "\t"),
    "commas.csv": LINES.replace(" ", ","),
    "commas and spaces.csv": LINES.replace(" ", ", "),
    "semicolons.csv": LINES.replace(" ", ";").replace(".", ","),
    "decimal commas.lab": LINES.replace(".", ","),
    "windows.lab": LINES.replace("\n", "\r\n"),
    "old mac.lab": LINES.replace("\n", "\r"),
    "no end.lab": LINES.strip(),
    "comments.lab": f"# one\n// two\n; three\n% four\n\n{LINES}# five",
    "inline comments.lab": "0.0 2.5 C  # intro\n2.5 5.0 A:min // verse\n",
    "header.lab": f"Title: Let It Be\nArtist: The Beatles\nstart end chord\n{LINES}",
    "named.csv": '"start";"end";"shorthand";"extended"\n0,0;2,5;"C:maj";"C:(3,5)"\n2,5;5,0;"A:min";"A:(b3,5)"\n',
    "chord first.csv": "chord,start,end\nC,0.0,2.5\nA:min,2.5,5.0\n",
    "chord first.lab": "C\t0.0\nA:min\t2.5\n",
    "pandas.csv": ",start,end,chord\n0,0.0,2.5,C\n1,2.5,5.0,A:min\n",
    "typed.csv": (
        "type,time,duration,original,converted\nchord,0,2.5,C:I,C:maj\nchord,2.5,2,C:vi,A:min\nkey,0,9,C,C:major\n"
    ),
    "units in names.csv": "id;Onset (sec);Offset (sec);Label\n1;0.0;2.5;C\n2;2.5;5.0;A:min\n",
    "beats.csv": "beat,time,chord\n1,0.0,C\n2,2.5,Am\n",
    "inversion and number.lab": "0.0 2.5 C 1\n2.5 5.0 A:min 2\n",
    "indented.lab": "\t0.0\t2.5\tC\n  2.5 5.0 A:min\x1a",
    "milliseconds.csv": "start_ms,chord\n0,C\n2500,Am\n",
    "quotes.lab": "0.0 2.5 'C'\n2.5 5.0 \"A:min\"\n",
    "words.lab": "0.0 2.5 C major\n2.5 5.0 A minor\n",
    "clock.lab": "0:00 C\n0:02.5 Am\n",
    "long clock.csv": "00:00:00,00:00:02.500,C\n00:00:02.500,00:00:05.000,A:min\n",
    "units.lab": "0.0s C\n2.5s Am\n",
    "confidence.lab": "0.0 2.5 C 0.93\n2.5 5.0 A:min 0.88\n",
    "audacity.txt": "0,000000\t2,500000\tC\n\\\t100.0\t200.0\n2,500000\t5,000000\tAm\n",
    "audacity points.txt": "0.0\t0.0\tC\n2.5\t2.5\tAm\n",
    "annotator.csv": '"/music/song.wav",0.000000000,"C"\n,2.500000000,"Am"\n',
    "annotator everywhere.csv": '"song.wav",0.0,"C"\n"song.wav",2.5,"Am"\n',
    "annotator durations.csv": '0.0, 2.5, "C"\n2.5, 1.5, "Am"\n4.0, 1.0, "Am"\n',
    "annotator names and durations.csv": '"song.wav",0.0,2.5,"C"\n,2.5,1.5,"Am"\n,4.0,1,"Am"\n',
    "visualiser.csv": "TIME,DURATION,LABEL\n0.0,2.5,C\n2.5,1.5,Am\n",
    "end.lab": f"{LINES}5.0\n",
    "root and quality.csv": "start,end,root,quality\n0.0,2.5,C,maj\n2.5,5.0,A,min\n",
    "root and quality without names.csv": "0.0,2.5,C,maj\n2.5,5.0,A,min\n",
    "index and times after.txt": "1;C;0.0;2.5\n2;A:min;2.5;5.0\n",
    "index and times after, from 0.csv": "0,C,0.0,2.5\n1,A:min,2.5,5.0\n2,A:min,5.0,7.5\n",
    "index and durations after.csv": "1,C,0.0,2.5\n2,A:min,2.5,2.0\n3,A:min,4.5,1.0\n",
    "index and start after.csv": "1,C,0.0\n2,A:min,2.5\n",
    "index and clock after.csv": "1;C;0:00.0;0:02.5\n2;A:min;0:02.5;0:05.0\n",
    "index with tabs.lab": "1\tC\t0.0\t2.5\n2\tA:min\t2.5\t5.0\n",
    "index with spaces.lab": "1 C 0.0 2.5\n2 A:min 2.5 5.0\n",
    "index before.csv": "1,0.0,2.5,C\n2,2.5,5.0,A:min\n",
    "index before, from 0.csv": "0,0.0,2.5,C\n1,2.5,5.0,A:min\n",
    "bars before.csv": "1,0.0,2.5,C\n3,2.5,5.0,A:min\n",
    "bars before starts.csv": "1,0.0,C\n3,2.5,A:min\n4,4.0,A:min\n",
    "bars and times after.csv": "1,C,0.0,2.5\n1,A:min,2.5,5.0\n3,A:min,5.0,6.0\n",
    "bars and beats.csv": "0.0,1,1,'C'\n2.5,2,1,'A:min'\n5.0,3,1,'A:min'\n",
    "two bars and beats.csv": "0.0,1,1,'C'\n2.5,1,3,'A:min'\n",
    "bars after the start.csv": "0.0,1,C\n2.5,2,A:min\n5.0,3,A:min\n",
    "seconds of other names.csv": "beat_time,estimated_chord\n0.0,C\n2.5,A:min\n",
    "confidences that rise.lab": "0 C 0.5\n2.5 A:min 0.9\n",
    "two confidences.lab": "0 C 0.5 0.9\n2.5 A:min 0.6 0.95\n",
    "whole ends and confidences.csv": "0,2.5,1,C\n2.5,4,1,A:min\n",
}


def test_whole_seconds_are_not_indices(tmp_path):
    for text, expected in (
        ("0 1 C\n1 2 Am\n2 3 F\n", [("C", 0), ("Am", 1), ("F", 2)]),
        ("0 C 1\n1 Am 2\n2 F 3\n", [("C", 0), ("Am", 1), ("F", 2)]),
        ("0 2 1 C\n2 4 1 Am\n", [("C", 0), ("Am", 2)]),
        ("0 2 2 C\n2 4 2 Am\n", [("C", 0), ("Am", 2)]),
        ("0 1 C\n1 1 Am\n2 1 F\n", [("C", 0), ("Am", 1), ("F", 2)]),
        ("1 C 0.8\n2 Am 0.9\n3 F 0.95\n", [("C", 1), ("Am", 2), ("F", 3)]),
    ):
        assert read_chords(write(tmp_path, "a.lab", text))[:3] == expected, text
    with pytest.raises(InputError, match="line 2.*start before it ends"):
        read_chords(write(tmp_path, "a.lab", "0 2 C\n5 3 Am\n"))


@pytest.mark.parametrize("name", TABLES)
def test_tables(tmp_path, name):
    chords = read_chords(write(tmp_path, name, TABLES[name]))
    assert chords[:2] == TWO and {label for label, _ in chords[2:]} <= {"Am"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
def test_encodings(tmp_path, encoding):
    text = f"# Künstler: Björk\n{LINES}"
    assert read_chords(write(tmp_path, "song.lab", text, encoding)) == TWO


def test_gaps_and_words_for_silence(tmp_path):
    path = write(
        tmp_path, "a.lab", "0.5 1.0 Silence\n1.0 2.0 C\n3.0 4.0 &pause\n4.0 5.0 G\n5.0 6.0 no chord\n6.0 7.0 end"
    )
    expected = [("N", 0.5), ("C", 1.0), ("N", 2.0), ("N", 3.0), ("G", 4.0), ("N", 5.0), ("N", 6.0)]
    assert read_chords(path) == expected


def test_ignored_columns_and_empty_labels_cause_a_warning(tmp_path, warnings):
    assert read_chords(write(tmp_path, "a.txt", "0.0\t2.5\tC\tverse\n2.5\t5\tAm\tchorus\n")) == TWO
    assert "'verse', are ignored" in warnings.text
    assert read_chords(write(tmp_path, "b.txt", "0\t0\tC\n1\t1\t\n2.5\t2.5\tAm\n9\t9\t\n")) == TWO
    assert re.search("2 line.* have no chord; the first one is line 2", warnings.text)
    assert chords_from_file(write(tmp_path, "c.lab", "# nothing\n")) == []
    unsorted = write(tmp_path, "d.lab", "2.5 5.0 Am\n0.0 2.5 C\n")
    assert read_chords(unsorted) == TWO and "not in order" in warnings.text


@pytest.mark.parametrize(
    "content, message",
    [
        ("0.0 2.5 C\nfoo\n", "line 2 of .*a.lab"),
        ("\n# x\n0.0 2.5 C\n2.5 5.0\n5.0 6.0 G", "line 4"),
        ("0.0 2.5 C\n2.5 x G\n", "line 2"),
        ("0.0 2.5 C extra\n", "line 1"),
        ("0,0,2,5,C\n", "line 1"),
        ("1 2 3 4 C\n", "line 1"),
        ("0.0 2.5 C\n2.5 5.0 24\n", "line 2"),
        ("2.5 1.0 C\n", "line 1.*start before it ends"),
        ("mc\tmn\tonset\tqb\tpedal\n1\t1\t0\t4\tI|\n", r"columns 'mc', 'mn', 'onset', 'qb', 'pedal'.*start.*chord"),
        ("bar,chord\n1,2,3,4,C\n", "line 2"),
        ("0 25000000 C\n25000000 50000000 G\n", "line 2.*in seconds"),
        ("0.0 2.5 C\n5.0\n5.0 6.0 G\n", "line 2"),
        ('"a.wav",0,"C"\n"b.wav",0,"G"\n', "2 recordings"),
        ("0.0 2.5 C\n2.5 5.0 Xyz\n", "position 1: unknown chord 'Xyz'"),
        (b"\x00\x01\x02\xff", "not a text"),
        (b"\xff\xfe\x00", "not a text"),
    ],
)
def test_errors_contain_the_number_of_the_malformed_line(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_chords(write(tmp_path, "a.lab", content))


def test_large_files_are_rejected_and_long_ones_are_read(tmp_path):
    path = write(tmp_path, "a.lab", "".join(f"{i} {i + 1} C\n" for i in range(5_000)))
    assert len(chords_from_file(path)) == 5_000
    path = write(tmp_path, "b.lab", "0 1 C\n" * 200_001)
    with pytest.raises(InputError, match="more than 200000 lines"):
        chords_from_file(path)
    path = tmp_path / "c.lab"
    with path.open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(InputError, match="larger than 64 MiB"):
        chords_from_file(path)


@pytest.mark.parametrize(
    "piece", ["<model ", "<point ", "[A", "((", "0 0 (", "| (2/4) ", "C:", "A:::", '"', "\\t", "1 | C "]
)
@pytest.mark.parametrize("suffix", [".lab", ".svl", ".txt"])
def test_long_malicious_files_are_parsed_quickly(tmp_path, piece, suffix):
    path = write(tmp_path, f"a{suffix}", piece * 20_000)
    try:
        chords_from_file(path)
    except InputError:
        pass


# 3. Charts


SALAMI = """# title: A Song
# artist: Somebody
# metre: 4/4
# tonic: C

0.0\tsilence
1.0\tA, intro, | C:maj | G:7/3 . A:min . |, (guitar
5.0\t| (2/4) F:maj | G:maj | x2, guitar)
11.0\tB, verse, | C:maj | &pause | ->
# metre: 3/4
15.0\tC, | * | D:min |
18.0\tZ, fadeout
20.0\tend
"""


def test_billboard_charts(tmp_path):
    expected = [("N", 0.0), ("C:maj", 1.0), ("G:7/3", 3.0), ("A:min", 4.0), ("F:maj", 5.0), ("G:maj", 6.0),
                ("F:maj", 8.0),
                ("G:maj", 9.0), ("C:maj", 11.0), ("N", 13.0), ("D:min", 16.5), ("N", 18.0)]  # fmt: skip
    for name in ("salami_chords.txt", "song.lab"):
        chords = chords_from_file(write(tmp_path, name, SALAMI))
        assert [label for label, _ in chords] == [label for label, _ in expected]
        assert [start for _, start in chords] == pytest.approx([start for _, start in expected])
    with pytest.raises(InputError, match="line 7 of .*malformed"):
        chords_from_file(write(tmp_path, "malformed.txt", SALAMI.replace("1.0\tA, intro", "A, intro")))
    with pytest.raises(InputError, match="not a meter"):
        chords_from_file(write(tmp_path, "meter.txt", SALAMI.replace("3/4", "0/4")))


def test_billboard_lines_next_to_silence_keep_the_tempo(tmp_path):
    text = "0.0\tsilence\n1.0\t| C | G |\n6.0\t| C | G |\n10.0\t| C | G |\n14.0\t| C |\n20.0\tsilence\n22.0\tend\n"
    expected = [("N", 0), ("C", 2), ("G", 4), ("C", 6), ("G", 8), ("C", 10), ("G", 12), ("C", 14), ("N", 16)]
    assert chords_from_file(write(tmp_path, "a.txt", text)) == expected


def test_jazz_audio_aligned_harmony(tmp_path):
    content = {
        "metre": "4/4",
        "parts": [
            {"name": "Intro", "beats": [0.5, 1.0, 1.5, 2.0], "chords": ["|F |"]},
            {
                "name": "Head",
                "parts": [{"beats": [2.5 + i / 2 for i in range(8)], "chords": ["|D:min7 G:7 |", "|C:maj7 |"]}],
            },
        ],
    }
    path = write(tmp_path, "song.json", json.dumps(content))
    assert read_chords(path) == [("F", 0.5), ("Dm7", 2.5), ("G7", 3.5), ("Cmaj7", 4.5)]
    for malformed in ({"parts": [{}]}, {"parts": [{"beats": [], "chords": []}]}, {"parts": 3}):
        with pytest.raises(InputError, match="part"):
            read_chords(write(tmp_path, "malformed.json", json.dumps(malformed)))


def test_sonic_visualiser_layers(tmp_path):
    content = (
        '<?xml version="1.0"?><!DOCTYPE sonic-visualiser><sv><data><model id="5" sampleRate="44100" type="sparse"/>'
        '<dataset id="4"><point frame="0" label="N" /><point frame="44100" label="Ab:min" />'
        '<point frame="88200" label="G&#9837;" /></dataset></data></sv>'
    )
    assert read_chords(write(tmp_path, "a.svl", content)) == [("N", 0.0), ("Abm", 1.0), ("F#", 2.0)]
    for malformed in ("", content.replace('44100" type', '0" type'), content.replace('label="N"', "")):
        with pytest.raises(InputError, match="Sonic Visualiser|without a frame and a label"):
            read_chords(write(tmp_path, "b.svl", malformed))


# 4. JSON


def jams(path, *annotations):
    items = [
        {"namespace": namespace, "data": [{"time": t, "duration": d, "value": v} for t, d, v in data]}
        for namespace, data in annotations
    ]
    path.write_text(json.dumps({"annotations": items, "file_metadata": {"duration": 8}}))
    return path


NAMESPACES = [
    ("chord", ["C:maj", "E:min7", "N"], ["C", "Em7", "N"]),
    ("chord_harte", ["C:maj/3", "X", "G:7"], ["C/E", "UNK", "G7"]),
    ("chord_m21_leadsheet", ["E-", "B-7/D", "Am"], ["Eb", "Bb7/D", "Am"]),
    ("chord_m21_abc", ["A-m", "F#/A#", "E--7"], ["Abm", "F#/A#", "D7"]),
    ("chord_ireal", ["E-", "Dh7", "C^9"], ["Em", "Dm7b5", "Cmaj7"]),
    ("chord_weimar", ["Ebj7", "G79b13", "NC"], ["Ebmaj7", "G7", "N"]),
    ("chord_jparser_harte", ["Cm7", "F7", "Bbmaj7"], ["Cm7", "F7", "Bbmaj7"]),
]


@pytest.mark.parametrize("namespace, values, expected", NAMESPACES)
def test_jams_namespaces(tmp_path, namespace, values, expected):
    path = jams(tmp_path / "a.jams", (namespace, [(i, 1, value) for i, value in enumerate(values)]))
    assert read_chords(path) == [(label, float(i)) for i, label in enumerate(expected)]


ROMAN = [(0, 2, "I"), (2, 2, "V65"), (4, 4, "vi")]
BY_KEY = [
    (ROMAN, [("key_mode", [(0, 8, "Eb:major")])], ["Eb", "Bb7/D", "Cm"]),
    (ROMAN, [("key_mode", [(0, 4, "E- major"), (4, 4, "C")])], ["Eb", "Bb7/D", "Am"]),
    ([(t, d, f"Ab:{v}") for t, d, v in ROMAN], [], ["Ab", "Eb7/G", "Fm"]),
    ([(t, d, {"tonic": "Ab", "chord": v}) for t, d, v in ROMAN], [], ["Ab", "Eb7/G", "Fm"]),
    ([(0, 2, "a:i"), (2, 2, "a:viio7"), (4, 4, "C:IV6")], [], ["Am", "Abdim", "F/A"]),
    ([(0, 2, {"tonic": "A", "chord": "i"}), (2, 2, {"tonic": "A", "chord": "VI"})],
     [("key_mode", [(0, 8, "A:minor")])],
     ["Am", "F"]),
]  # fmt: skip


@pytest.mark.parametrize("data, others, expected", BY_KEY)
def test_keys_of_roman_numerals_in_jams(tmp_path, data, others, expected):
    path = jams(tmp_path / "a.jams", ("chord_roman", data), *others)
    assert [label for label, _ in read_chords(path)] == expected


def test_errors_list_the_annotations_of_jams_files_without_chords(tmp_path):
    path = jams(tmp_path / "a.jams", ("beat", [(0.0, 0.0, "1")]), ("pitch_hz", []))
    with pytest.raises(
        InputError, match=r"not a JAMS file with a readable chord annotation.*\(its namespaces: beat, pitch_hz\)"
    ):
        read_chords(path)


def test_the_first_readable_annotation_is_used(tmp_path, warnings):
    empty, numbers, harte = ("chord", []), ("chord", [(0, 1, 3)]), ("chord", [(0, 2, "F:maj"), (2, 2, "C:7")])
    path = jams(tmp_path / "a.jams", ("beat", [(0, 0, 1)]), empty, numbers, harte, ("chord_harte", [(0, 4, "G:maj")]))
    assert read_chords(path) == [("F", 0.0), ("C7", 2.0)]
    assert re.search(r"4 chord annotations; number 3 \(chord\) is used.*not a string", warnings.text)
    with pytest.raises(
        InputError, match="not a JAMS file with a readable chord annotation.*the key of 'I' is not known"
    ):
        read_chords(jams(tmp_path / "b.jams", ("chord_roman", [(0, 2, "I")])))
    with pytest.raises(InputError, match="not a JAMS file with a readable chord annotation.*namespaces: beat"):
        read_chords(jams(tmp_path / "c.jams", ("beat", [(0, 0, 1)])))


def test_score_annotations_have_bars_and_beats(tmp_path, warnings):
    # Time 2.3 is the fourth beat of the second bar; durations are in beats.
    data = [(1.0, 4.0, "E-"), (2.0, 3.0, "Gm7"), (2.3, 1.0, "E-"), (3.0, 4.0, "A-"), (5.0, 4.0, "B-7")]
    path = jams(tmp_path / "a.jams", ("chord", data), ("key_mode", [(1.0, 20.0, "E- major")]))
    assert read_chords(path)[:5] == [("Eb", 0.0), ("Gm7", 2.0), ("Eb", 3.5), ("Ab", 4.0), ("N", 6.0)]
    assert "bars and beats" in warnings.text


@pytest.mark.parametrize(
    "content",
    [[["C", 0.0], ["Am", 2.5]], [{"chord": "C", "start": 0}, {"chord": "Am", "start": 2.5}],
     {"chords": [["C", 0], ["Am", 2.5]]},
     [{"current_beat": 1, "current_beat_time": 0.0, "estimated_chord": "C:maj"},
      {"current_beat": 2, "current_beat_time": 2.5, "estimated_chord": "A:min"}],
     [{"curr_beat_time": 0.0, "prev_chord": None, "chord_majmin": "C"},
      {"curr_beat_time": 2.5, "prev_chord": "C", "chord_majmin": "Am"}],
     [{"startTime": 0, "endTime": 2500, "chordName": "C"} | {"startTime": 0.0, "endTime": 2.5},
      {"startTime": 2.5, "endTime": 5, "chordName": "Am"}],
     [{"start_ms": 0, "end_ms": 2500, "chord": "C"}, {"start_ms": 2500, "end_ms": 5000, "chord": "Am"}],
     [{"chord_start": 0, "chord_end": 2.5, "chord": "C"}, {"chord_start": 2.5, "chord_end": 5, "chord": "Am"}],
     {"segments": [{"start": 0.0, "end": 2.5, "chord": "C"}, {"start": 2.5, "end": 5.0, "chord": "Am"}], "key": "C"},
     {"parts": [{"start": 0.0, "chord": "C"}, {"start": 2.5, "chord": "Am"}]},
     {"result": {"chords": [{"time": 0, "label": "C"}, {"time": 2.5, "label": "Am"}], "beats": [0.5, 1.0]}},
     {"tracks": [{"name": "song", "chords": [{"time": 0, "label": "C"}, {"time": 2.5, "label": "Am"}]}]},
     {"sections": [{"start": 0, "end": 9, "label": "verse"}],
      "harmony": [{"start": 0, "chord": "C"}, {"start": 2.5, "chord": "Am"}]},
     {"times": [0.0, 2.5], "chords": ["C", "Am"]},
     [{"time": 0, "name": "C", "value": 1.0, "chord_id": 3}, {"time": 2.5, "name": "Am", "value": 0.5, "chord_id": 4}],
     {"intervals": [[0.0, 2.5], [2.5, 5.0]], "labels": ["C", "Am"]},
     {"annotations": [{"start": 0.0, "chord": "C"}, {"start": 2.5, "chord": "Am"}]}],
)  # fmt: skip
def test_json_lists(tmp_path, content):
    assert read_chords(write(tmp_path, "a.json", json.dumps(content))) == TWO


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt"])
def test_json_lines(tmp_path, name):
    assert read_chords(write(tmp_path, name, '{"start": 0.0, "chord": "C"}\n{"start": 2.5, "chord": "Am"}\n')) == TWO


def test_times_in_milliseconds_cause_a_warning(tmp_path, warnings):
    rows = [(0, 1490, "N"), (1490, 2990, "C"), (2990, 4490, "Am"), (4490, 6000, "F")]
    read_chords(write(tmp_path, "a.csv", "".join(f"{start},{end},{label}\n" for start, end, label in rows)))
    assert "Are they milliseconds?" in warnings.text
    warnings.clear()
    read_chords([{"start": start, "duration": end - start, "name": label} for start, end, label in rows])
    assert "Are they milliseconds?" in warnings.text
    warnings.clear()
    read_chords([("C", 0), ("Am", 60), ("F", 120), ("G", 180)])
    assert not warnings.text


def test_json_with_no_or_several_lists_of_chords(tmp_path, warnings):
    chords = [{"start": 0.0, "chord": "C"}, {"start": 2.5, "chord": "Am"}]
    for content, message in (
        ({"a": {"chords": chords}, "b": {"chords": chords}}, "2 lists of chords"),
        ({"segments": [{"beat": 1, "chord": "C"}]}, "no list of chords, such as .*'start'.*'chord'"),
        ({"chords": [{"beat": 1, "chord": "C"}]}, "keys 'start' and 'chord'"),
        ([{"beat": 1, "chord": "C"}], "position 0.*keys 'start' and 'chord'"),
    ):
        with pytest.raises(InputError, match=message) as error:
            read_chords(write(tmp_path, "a.json", json.dumps(content)))
        assert "KeyError" not in str(error.value)
    several = [
        {"time": 0.0, "chord_complex": "Cmaj7", "chord_simple": "C"},
        {"time": 2.5, "chord_complex": "Am7", "chord_simple": "Am"},
    ]
    assert read_chords(several) == [("Cmaj7", 0.0), ("Am7", 2.5)]
    assert "'chord_complex' is used as the chord instead of 'chord_simple'" in warnings.text


@pytest.mark.parametrize(
    "content",
    [
        '{"parts": [{"beats": "Am", "chords": "C"}]}',
        '{"parts": [{}]}',
        "{",
        "3",
        '{"a": 1}',
        "[[[[",
        '[["C"]]',
        '[["C", NaN]]',
        "null",
        '"C:0"',
        "[1, 2]",
    ],
)
def test_other_json_is_rejected(tmp_path, content):
    with pytest.raises(InputError, match="`chords`"):
        read_chords(write(tmp_path, "a.json", content))
