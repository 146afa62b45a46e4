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

"""Tests of ChordPro songs."""

import random
from fractions import Fraction

import pytest

from diffusers_jasco.controls.lead_sheet.charts.chordpro import is_chordpro, read_chordpro
from diffusers_jasco.utils.errors import InputError

from .charts import FIXTURES, chords_of, messages


def test_song_with_lyrics():
    with messages() as warnings:
        sheet = read_chordpro((FIXTURES / "song.cho").read_text(encoding="utf-8"), "song.cho")

    assert (sheet.title, sheet.composer, sheet.tempo, sheet.key) == ("River Lights", "Ann Example", 92, "A major")
    names = [section.name for section in sheet.sections]
    assert names == ["Intro", "Verse 1", "Chorus", "Verse 2", "Chorus"]
    # The capo on the second fret raises the chords by two semitones.
    assert chords_of(sheet.sections[0].bars) == ["A", "E/G#", "F#m", "D"]
    assert chords_of(sheet.sections[1].bars) == ["A", "E/G#", "F#m", "D", "A", "E", "N"]
    assert sheet.sections[4].bars == sheet.sections[2].bars
    assert "Lights on the river, boats on the bay Nobody asked us to stay" in sheet.lyrics
    assert "until it's gone" in sheet.lyrics and "e|--0" not in sheet.lyrics
    assert "each one lasts a bar of 4/4" in warnings.text and "ABC" in warnings.text


def test_grid_with_repeats_endings_and_labels():
    with messages() as warnings:
        sheet = read_chordpro((FIXTURES / "grid.chopro").read_text(encoding="utf-8"), "grid.chopro")

    assert (sheet.title, sheet.time_signature, sheet.tempo, sheet.key) == ("Grid Study", (3, 4), 140, "A minor")
    intro, verse = sheet.sections
    assert (intro.name, verse.name) == ("Intro", "A")
    assert chords_of(intro.bars) == ["Am", "Dm E7", "Dm E7", "Am G F"]
    assert [mark.start for mark in intro.bars[3].chords] == [0, Fraction(1, 2), 1]
    assert chords_of(sheet.expand().bars) == [
        *["Am", "Dm E7", "Dm E7", "Am G F"] * 2, "C", "G/B", "Am", "E7", "C", "G/B", "F G", "C",
    ]  # fmt: skip
    assert "several songs" in warnings.text and "lasts a bar" not in warnings.text


def test_directives_in_every_form():
    text = "{meta: title A}{meta:artist B}\n{TEMPO:100}\n{time 6/8}\n{key:Bbm}\n{title-guitar: C}\n[Bbm]a"

    sheet = read_chordpro(text)

    assert (sheet.title, sheet.composer, sheet.tempo, sheet.time_signature) == ("A", "B", 100, (6, 8))
    assert (sheet.beat_unit, sheet.key) == (Fraction(3, 2), "Bb minor")


def test_time_tempo_and_key_may_change():
    sheet = read_chordpro("{time: 4/4}\n[C]a\n{time: 3/4}\n{tempo: 60}\n{key: D}\n[D]b [A]c")

    assert [bar.length for bar in sheet.bars] == [4, 3, 3]
    assert (sheet.bars[1].time_signature, sheet.bars[1].key, sheet.bars[1].tempos[0].bpm) == ((3, 4), "D major", 60)


def test_transpose_applies_from_where_it_is():
    sheet = read_chordpro("{key: C}\n[C]a\n{transpose: 2}\n[C]b [G/B]c\n{transpose}\n[F]d")

    assert chords_of(sheet.bars) == ["C", "D", "A/C#", "F"]


def test_lines_in_bar_notation():
    with messages() as warnings:
        sheet = read_chordpro("{t: A}\n| [C] . [G] . | [Am] |\n[|: F | C :|]\n| Dm | G |\n[C]la")

    assert chords_of(sheet.bars[:2]) == ["C G", "Am"]
    assert chords_of(sheet.bars[2:]) == ["F", "C", "Dm", "G", "C"]
    assert "lasts a bar" in warnings.text


@pytest.mark.parametrize(
    "brackets, labels",
    [
        ("[(C)]", ["C"]),
        ("[C G]", ["C", "G"]),
        ("[C, Am]", ["C", "Am"]),
        ("[Do]la [Sol7]", ["C", "G7"]),
        ("[am]", ["Am"]),
        ("[N.C.]", ["N"]),
        ("[Esus4/B]", ["Esus4/B"]),
        ("[Hmi]", ["Bmi"]),
    ],
)
def test_spellings_in_brackets(brackets, labels):
    assert [label for bar in read_chordpro(f"{brackets}la la").bars for label in chords_of([bar])] == labels


def test_texts_in_brackets_that_are_not_chords_are_reported():
    with messages() as warnings:
        sheet = read_chordpro("[Verse 1]\n[C]la [x2] [*louder] [G]la\n[Chorus]\n[F]la")

    assert [section.name for section in sheet.sections] == ["Verse 1", "Chorus"]
    assert chords_of(sheet.bars) == ["C", "G", "F"]
    assert "'x2' (line 2)" in warnings.text and "louder" not in warnings.text


def test_comments_without_bars_recall_their_section():
    sheet = read_chordpro("{c: Chorus}\n[C]la [G]la\n{c: Verse 2}\n[Am]la\n{c: Chorus (2x)}\n{c: Verse 3}\n[F]la")

    assert [(section.name, section.repeats) for section in sheet.sections] == [
        ("Chorus", 1), ("Verse 2", 1), ("Chorus", 2), ("Verse 3", 1),
    ]  # fmt: skip
    assert sheet.sections[2].bars == sheet.sections[0].bars


def test_abc_block_of_a_song_without_chords():
    sheet = read_chordpro('{title: A}\n{start_of_abc}\nX:1\nT:B\nL:1/4\nK:G\n{c}G A "D7"B c|\n{end_of_abc}\n')

    assert (sheet.title, sheet.key, sheet.chords) == ("A", "G major", (("D7", 2),))
    assert [pitch for pitch, _, _ in sheet.melody] == [67, 69, 71, 72]


def test_sections_of_other_instruments_are_skipped():
    sheet = read_chordpro(
        "[C]a\n{start_of_verse-alto}\n[G]b\n{end_of_verse}\n{start_of_verse-alto!}\n[F]c\n{end_of_verse}"
    )

    assert chords_of(sheet.bars) == ["C", "F"]


def test_chords_above_the_lyrics_in_a_chordpro_file():
    sheet = read_chordpro("{title: A}\n{soc}\nC      G7\nHello, world\n{eoc}\n")

    assert chords_of(sheet.bars) == ["C", "G7"]
    assert (sheet.sections[0].name, sheet.lyrics) == ("Chorus", "Hello, world")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("{title: A}\nla", True),
        ("{soc}\nla", True),
        ("[C]Hello [G]world", True),
        ("[G] [C] [D]", True),
        ("[A] C | Am | F G", False),
        ("[A]\nC G", False),
        ("[Verse]\nC | G", False),
        ('{"title": "A"}', False),
        ("X:1\nT:Dance [D]\nK:C\nCDEF|\n{c}d2 {g}a2", False),
        ('{start_of_grid shape="4x4"}\n| C | G |', True),
        ("{c:Chorus}\nla", True),
    ],
)
def test_is_chordpro(text, expected):
    assert is_chordpro(text) == expected


@pytest.mark.parametrize(
    "text, message",
    [
        ("{title: A}\nOnly words", "song.cho has no chords"),
        ("{sog}\n| C . | Gx . |\n{eog}", "song.cho, line 2, column 9: 'Gx' is not a chord"),
        ("{sog}\n| % |\n{eog}", "line 2, column 3: '%' has no previous bar"),
        ("", "has no chords"),
    ],
)
def test_errors_say_where_and_what(text, message):
    with pytest.raises(InputError) as error:
        read_chordpro(text, "song.cho")

    assert message in str(error.value)


def test_transpose_changes_the_key():
    sheet = read_chordpro("{key: C}\n[C]a\n{transpose: 2}\n[C]b\n{transpose}\n[F]d")

    assert (sheet.key, [bar.key for bar in sheet.bars]) == ("C major", [None, "D major", "C major"])


@pytest.mark.parametrize("sign", [" ", "a", "\n", "[C]a ", "{c: a}", "{start_of_abc}\n", "{", "a=", "-", "|"])
def test_long_runs_take_linear_time(sign):
    """Quadratic searches would take minutes."""
    run = sign * (9_000 // len(sign))
    for text in (
        "{title: a}\n[C]a\n{title" + run + "\n",
        "{title: a}\n[C]" + run + "x\n",
        "{sog: " + run + "x}\n| C . |",
        "{title: a}\n| [C" + run + "] x",
    ):
        is_chordpro(text)
        try:
            read_chordpro(text)
        except InputError as error:
            assert len(str(error)) < 1000


def test_fuzz_of_chordpro():
    random_ = random.Random(0)
    words = ["[C]", "[Am7", "]", "{", "}", "{title: A}", "{soc}", "{eoc}", "{chorus}", "{sog}", "{eog}",
             "| C . |", "|:", ":|",
             "%", "x2", "\n", "{transpose: 99}", "{transpose}", "{time: 0/0}", "{tempo: 1e9}", "{capo: 11}",
             "{key: Q}", "la",
             "[x9]", "[|]", "{c: Verse x99}", "{start_of_verse-x}", "[H]", "|2", "{ns}", "[*a]", "N.C.",
             "~"]  # fmt: skip
    for _ in range(300):
        text = "".join(random_.choices(words, k=random_.randint(0, 25)))
        try:
            sheet = read_chordpro(text)
            sheet.expand()
        except InputError as error:
            assert str(error)
