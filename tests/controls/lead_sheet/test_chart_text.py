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

"""Tests of chord charts in plain text and of `.lab` files of lead sheets."""

import random
from fractions import Fraction

import pytest

from diffusers_jasco.controls.chords import chords_from_lab
from diffusers_jasco.controls.lead_sheet import Bar, ChordMark, LeadSheet, Section, read_lead_sheet
from diffusers_jasco.controls.lead_sheet.charts.text import read_chart
from diffusers_jasco.controls.lead_sheet.form_words import parse_ending_numbers
from diffusers_jasco.controls.lead_sheet.lab_writer import to_lab
from diffusers_jasco.utils.errors import InputError

from .charts import FIXTURES, chords_of, messages


def test_chart_with_headers_and_sections():
    sheet = read_chart((FIXTURES / "chart.txt").read_text(encoding="utf-8"))

    assert (sheet.title, sheet.composer, sheet.tempo, sheet.key) == ("Harbor", "Ann Example", 96, "Eb major")
    assert (sheet.swing, sheet.prompt) == (True, "jazz trio")
    assert [section.name for section in sheet.sections] == ["Intro", "Verse", "Chorus", "Intro"]
    intro, verse, chorus, again = sheet.sections
    assert (intro.prompt, intro.groove, verse.groove) == ("solo piano", None, "bossa nova")
    assert (chorus.prompt, chorus.repeats, chorus.fill) == ("full band", 2, True)
    assert chords_of(intro.bars) == ["Eb Bb", "Ab", "Eb Bb7", "Eb Bb7"]
    assert intro.bars[2].chords[1].start == 2
    assert chords_of(verse.bars) == ["Cm7", "F7", "Bbmaj7", "Bb7", "Bb7 D7", "Gm", "C7sus4 C7", "N", "Fm7 Bb7"]
    assert chords_of(chorus.bars) == ["Eb", "Ab Abm6"]
    assert again.bars == intro.bars


def test_repeats_and_endings_of_a_chart_are_played():
    sheet = read_chart("[A] |: C | G |1 Am :|2 F | Bb | x2")

    assert chords_of(sheet.expand().bars) == ["C", "G", "Am", "C", "G", "F", "Bb"] * 2


def test_counts_repeat_a_passage_a_line_or_a_section():
    assert chords_of(read_chart("C |: G | D :| x3 Am").expand().bars) == [
        "C", "G", "D", "G", "D", "G", "D", "Am",
    ]  # fmt: skip
    assert chords_of(read_chart("C | G | (x2)\nF | C").expand().bars) == ["C", "G", "C", "G", "F", "C"]
    assert chords_of(read_chart("[A]\nC | G\nF | C\nx2").expand().bars) == ["C", "G", "F", "C"] * 2


@pytest.mark.parametrize(
    "text, numbers",
    [("1", (1,)), ("1,3-4", (1, 3, 4)), ("1.–3.", (1, 2, 3)), ("2nd time", (2,)), ("0", ()), ("x", ())],
)
def test_numbers_of_endings(text, numbers):
    assert parse_ending_numbers(text) == numbers


def test_jumps_of_a_chart():
    sheet = read_chart("[A] C | G Fine\n[B] F | Am D.C. al Fine")

    assert chords_of(sheet.expand().bars) == ["C", "G", "F", "Am", "C", "G"]


def test_holds_and_repeated_bars():
    sheet = read_chart("C . . G | . | / D7 | C/// | % | N.C.")

    assert [[(mark.label, mark.start) for mark in bar.chords] for bar in sheet.bars] == [
        [("C", 0), ("G", 3)],
        [("G", 0)],
        [("G", 0), ("D7", 2)],
        [("C", 0)],
        [("C", 0)],
        [("N", 0)],
    ]


def test_time_tempo_and_key_may_change():
    sheet = read_chart(
        "Time: 6/8\nTempo: 60\n[A] C | G\nTime: 3/4\nTempo: 120\nKey: D dorian\nDm | G\n[B: time=4/4] C"
    )

    assert (sheet.time_signature, sheet.tempo, sheet.beat_unit) == ((6, 8), 60, Fraction(3, 2))
    assert [bar.length for bar in sheet.bars] == [3, 3, 3, 3, 4]
    assert (sheet.bars[2].time_signature, sheet.bars[2].key, sheet.bars[4].time_signature) == (
        (3, 4),
        "D dorian",
        (4, 4),
    )
    assert sheet.bars[2].tempos[0][:2] == (120, 1)
    assert sheet.duration == 2 * 2 + 2 * 1.5 + 2


@pytest.mark.parametrize(
    "tempo, bpm, unit", [("q.=60", 60, 1.5), ("3/8 = 90", 90, 1.5), ("♩=100", 100, 1), ("88 bpm", 88, 1)]
)
def test_tempos(tempo, bpm, unit):
    sheet = read_chart(f"Tempo: {tempo}\nC | G")

    assert (sheet.tempo, sheet.beat_unit) == (bpm, unit)


def test_chords_above_lyrics():
    with messages() as warnings:
        sheet = read_chart((FIXTURES / "above.txt").read_text(encoding="utf-8"))

    assert "each one lasts a bar of 4/4" in warnings.text
    assert sheet.title == "Amazing Grace"
    assert [section.name for section in sheet.sections] == ["Verse 1", "Chorus", "Verse 1"]
    assert sheet.sections[1].repeats == 2
    assert chords_of(sheet.sections[0].bars) == ["G", "G7", "C", "G", "Em", "D"]
    assert sheet.sections[2].bars == sheet.sections[0].bars
    assert "how sweet the sound" in sheet.lyrics


@pytest.mark.parametrize(
    "name, title",
    [
        ("chart.txt", "Harbor"),
        ("above.txt", "Amazing Grace"),
        ("song.cho", "River Lights"),
        ("ireal.html", "The Harbor"),
    ],
)
def test_files_and_texts_of_every_kind_of_chart(name, title):
    assert read_lead_sheet(FIXTURES / name).title == title
    assert read_lead_sheet(str(FIXTURES / name)).title == title
    assert read_lead_sheet((FIXTURES / name).read_text(encoding="utf-8")).title == title


def test_chart_is_saved_as_lab(tmp_path):
    read_lead_sheet("Tempo: 60\n[A] C | Am7").save(tmp_path / "song.lab")

    assert (tmp_path / "song.lab").read_text() == "0.0\t4.0\tC:maj\n4.0\t8.0\tA:min7\n"


def test_german_note_names():
    with messages() as warnings:
        sheet = read_chart("Am | H7 | B | Fis")

    assert chords_of(sheet.bars) == ["Am", "B7", "Bb", "F#"]
    assert "B flat" in warnings.text


def test_song_with_words_in_lines_of_chords():
    text = """[Intro]
G  D (riff)  Em-C

[Verse 1: Ann Example]
| G   |     | C walk D |
Walking down the road again
Capo: none

Outro: G (hold)
"""
    with messages() as warnings:
        sheet = read_chart(text)

    assert [section.name for section in sheet.sections] == ["Intro", "Verse 1", "Outro"]
    assert [chords_of(section.bars) for section in sheet.sections] == [["G", "D", "Em", "C"], ["G", "G", "C D"], ["G"]]
    assert sheet.sections[1].prompt == "" and sheet.lyrics == "Walking down the road again"
    assert "'(riff)'" in warnings.text and "Capo has to be" in warnings.text


def test_misspelled_chord_above_lyrics_keeps_the_section():
    with messages() as warnings:
        sheet = read_chart(
            "[Verse]\nG     C   D\nfirst line here\n[Chorus]\nG    C    Gx\nPraise God now\nI am a man\n"
        )

    assert [(section.name, chords_of(section.bars)) for section in sheet.sections] == [
        ("Verse", ["G", "C", "D"]),
        ("Chorus", ["G", "C"]),
    ]
    assert sheet.lyrics.splitlines()[-1].endswith("Praise God now I am a man")
    assert "'Gx' (line 5, column 11)" in warnings.text


def test_sections_without_chords_are_mentioned():
    with messages() as warnings:
        sheet = read_chart("[Verse]\nG C\nfirst line of words\n[Bridge]\nmore words without chords")

    assert "sections without chords were left out: 'Bridge' (line 4)" in warnings.text
    assert sheet.lyrics == "first line of words more words without chords"


@pytest.mark.parametrize(
    "text",
    [
        "Amazing Grace\nJohn Newton\n3/4\n84 bpm\n[Verse]\nG | C",
        "Amazing Grace\nJohn Newton\n\nTempo: 84\nTime: 3/4\nG | C",
        "Title: Amazing Grace\nBy: John Newton\n3/4 time\n♩ = 84\nG | C",
    ],
)
def test_header_lines_without_key_words(text):
    sheet = read_chart(text)

    assert (sheet.title, sheet.composer, sheet.tempo) == ("Amazing Grace", "John Newton", 84)
    assert sheet.time_signature == (3, 4) and chords_of(sheet.bars) == ["G", "C"] and not sheet.lyrics


def test_words_before_chords_without_a_header_are_not_a_title():
    sheet = read_chart("some words here\nand more of them\nG C D\nlast words of it")

    assert (sheet.title, sheet.composer) == ("", "") and "some words here" in sheet.lyrics


def test_heading_before_the_first_bar_line():
    sheet = read_chart("Intro | C | G |\nVerse: | Am | F |")

    assert [(section.name, chords_of(section.bars)) for section in sheet.sections] == [
        ("Intro", ["C", "G"]),
        ("Verse", ["Am", "F"]),
    ]


@pytest.mark.parametrize(
    "text, message",
    [
        ("[A] C | Am\nF | Gx7 Em", "line 2, column 5: 'Gx7' is not a chord"),
        ("[A] C | | G", "line 1, column 7: the bar is empty"),
        ("% | C", "line 1, column 1: '%' has no previous bar"),
        (". | C", "line 1, column 1: '.' has no previous chord"),
        ("Tempo: fast\nC | G", "line 1, column 8: Tempo has to be 20 to 400"),
        ("Time: 4/5\nC | G", "Time has to be a time signature"),
        ("Groove: polka beat\nC | G", "'polka beat' is not a groove; grooves are"),
        ("[A: speed=4] C | G", "unknown setting 'speed'"),
        ("C | G | x999", "'x999' has to repeat 1 to 100 times"),
        ("Title: Nothing\nHello", "has no chords"),
        ("", "has no chords"),
    ],
)
def test_errors_say_where_and_what(text, message):
    with pytest.raises(InputError) as error:
        read_chart(text, "song.txt")

    assert message in str(error.value) and "song.txt" in str(error.value)


@pytest.mark.parametrize(
    "text, bars",
    [
        ("[A] C | F\n[B] G | D :|", "C F G D G D"),
        ("[A] C | F\n[B] G |1 D :|2 A |\n[C] E :|", "C F G D G A E E"),
        ("[A] |: C | F\n[B] G :|", "C F G C F G"),
        ("[A] |: C |1 D :|\n[B] |2 E :|", "C D C E"),
    ],
)
def test_repeats_without_a_beginning_begin_with_their_section(text, bars):
    assert chords_of(read_chart(text).expand().bars) == bars.split()


def test_section_called_coda_is_the_coda():
    with messages() as warnings:
        sheet = read_chart("Tempo: 96\n[A] C | F To Coda | G D.C. al Coda |\n[Coda] Am | Dm |").expand()

    assert chords_of(sheet.bars) == ["C", "F", "G", "C", "F", "Am", "Dm"]
    assert not warnings.text


@pytest.mark.parametrize("text", ["[A x999] C | F", "[A: x0] C | F", "C\n[Z x0] C | G", "C | G\nx101"])
def test_impossible_numbers_of_repeats_are_errors(text):
    with pytest.raises(InputError, match=r"line [12], column 1: a section is played \d+ times, .* 1 to 100"):
        read_chart(text)


def test_fill_without_a_groove_is_reported():
    with messages() as warnings:
        read_chart("[A] C | F\n[B: fill] C | G")
        read_chart("Groove: funk\n[A] C | F\n[B: fill] C | G")

    assert warnings.text.count("'fill' has no effect without a groove") == 1


@pytest.mark.parametrize("sign", [" ", ".", "\n", "|", "x", "-", "[", "C ", "[C]a ", "{title: a}\n", "x1 "])
def test_long_runs_take_linear_time(sign):
    """Quadratic searches would take minutes."""
    run = sign * (9_000 // len(sign))
    for text in (run + "x", "C | G | " + run + "a", "Title: x" + run + "x\nC | G", "[a" + run + "b]\nC | G"):
        for read in (read_chart, read_lead_sheet):
            try:
                read(text)
            except (InputError, FileNotFoundError) as error:
                assert len(str(error)) < 1000


def test_length_of_lines_is_limited():
    with pytest.raises(InputError, match=r"song.txt, line 2: the line has 10,001 characters; the limit is 10,000"):
        read_chart("C | G\n" + "x" * 10_001, "song.txt")


def test_fuzz_of_charts():
    random_ = random.Random(0)
    words = ["C", "Am7", "|", "||", "|:", ":|", "|1", ":|2", "%", ".", "N.C.", "x3", "x99", "[A]", "[B x2]",
             "[", "]", "\n",
             "Tempo: 90\n", "Time: 3/4\n", "Key: H\n", "D.C. al Fine", "Fine", "la", "{", "C~G", "𝄆", "\t",
             "Hm", "//"]  # fmt: skip
    for _ in range(300):
        text = " ".join(random_.choices(words, k=random_.randint(0, 25)))
        try:
            sheet = read_chart(text)
            sheet.expand()
        except InputError as error:
            assert str(error)


def test_lab_is_written_as_played(tmp_path):
    bar = Bar(Fraction(4), (ChordMark("Am7b5/G"), ChordMark("F", Fraction(2))))
    sheet = LeadSheet(
        (Section("A", (bar,), repeats=2), Section("B", (Bar(Fraction(4), (ChordMark("N"),)),))), tempo=60
    )
    (tmp_path / "song.lab").write_text(to_lab(sheet), encoding="utf-8")

    assert to_lab(sheet).splitlines()[0] == "0.0\t2.0\tA:hdim7/b7"
    assert [start for _, start in chords_from_lab(tmp_path / "song.lab")] == [0, 2, 4, 6, 8]
    assert to_lab(sheet).splitlines()[-1] == "8.0\t12.0\tN"


def test_lab_begins_and_ends_with_the_music():
    sheet = LeadSheet((Section("A", (Bar(Fraction(4)), Bar(Fraction(4), (ChordMark("C"),)))),), tempo=120)

    assert to_lab(sheet) == "0.0\t2.0\tN\n2.0\t4.0\tC:maj\n"
