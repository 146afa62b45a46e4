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

"""Tests of links and pages of iReal Pro."""

import random
from fractions import Fraction
from urllib.parse import quote

import pytest

from diffusers_jasco.controls.lead_sheet.bars import TimeSignature
from diffusers_jasco.controls.lead_sheet.charts.ireal import is_ireal, list_tunes, read_ireal
from diffusers_jasco.controls.lead_sheet.charts.ireal_music import spread
from diffusers_jasco.utils.errors import InputError

from .charts import FIXTURES, chords_of, messages


PAGE = (FIXTURES / "ireal.html").read_text(encoding="utf-8")


def link(music, title="A", style="Medium Swing", key="C", bpm="0"):
    """A link in the current format with music of up to 51 characters, which is not scrambled."""
    return "irealb://" + quote(
        f"{title}=Ann==={style}={key}=1r34LbKcu7{music}==={bpm}=0".replace("===", "==", 1), safe=""
    )


def old_link(music):
    return "irealbook://" + quote(f"A=Ann=Medium Swing=C=n={music}", safe="")


def test_playlist_page():
    assert is_ireal(PAGE)
    assert list_tunes(PAGE) == ["The Harbor", "Waltz in Blue", "Slow Bossa"]
    with messages() as warnings:
        sheet = read_ireal(PAGE, "ireal.html")
    assert sheet.title == "The Harbor"
    assert "has 3 tunes" in warnings.text
    assert read_ireal(PAGE, tune="2").title == read_ireal(PAGE, tune="waltz").title == "Waltz in Blue"


def test_tune_with_endings_segno_and_coda():
    sheet = read_ireal(PAGE, tune=1)

    assert (sheet.composer, sheet.key, sheet.tempo) == ("Ann Example", "D minor", 132)
    assert (sheet.swing, sheet.groove, sheet.prompt) == (True, "swing", "medium swing jazz")
    assert [section.name for section in sheet.sections] == ["A", "B", "A"]
    assert chords_of(sheet.sections[0].bars) == ["D-7", "G7", "C^7 A7b9", "D-7 G7", "C6", "C6", "C6", "C6"]
    assert chords_of(sheet.sections[1].bars) == ["F-7", "C6", "F-7", "E-7 A7", "A7 A7/G#", "N", "D-7 G7"]
    assert chords_of(sheet.expand().bars) == [
        *["D-7", "G7", "C^7 A7b9", "D-7 G7", "C6", "C6"],
        *["D-7", "G7", "C^7 A7b9", "D-7 G7", "C6", "C6"],
        *["F-7", "C6", "F-7", "E-7 A7", "A7 A7/G#", "N", "D-7 G7"],
        *["D-7", "G7", "C^7 A7b9", "D-7 G7"],
        *["F-7", "C6", "F-7", "E-7 A7", "A7 A7/G#", "N", "D-7 G7"],
        *["C6", "C6 C6/G E-7", "C6"],
    ]


def test_waltz_and_change_of_the_time_signature():
    sheet = read_ireal(PAGE, tune="Waltz in Blue")

    assert (sheet.time_signature, sheet.groove, sheet.swing, sheet.key) == ((3, 4), "waltz", True, "Bb major")
    assert [mark.start for mark in sheet.bars[2].chords] == [0, Fraction(3, 2)]
    assert sheet.bars[4].time_signature == (12, 8)
    assert [mark.start for mark in sheet.bars[5].chords] == [0, Fraction(3, 2), 3]


def test_transposed_bossa_with_counted_repeat():
    sheet = read_ireal(PAGE, tune=3)

    assert (sheet.key, sheet.groove, sheet.swing, sheet.tempo) == ("B major", "bossa nova", False, 120)
    assert chords_of(sheet.expand().bars) == ["B^7", "F#7sus", *["C#-7", "F#7"] * 4, "B6", "B6"]


@pytest.mark.parametrize(
    "music, chords",
    [
        ("[T44C^7   |A-7 D7 Z", ["C^7", "A-7 D7"]),
        ("{C   |N1G7   }|N2C6   Z", ["C", "G7", "C", "C6"]),
        ("[C   |F   <Fine>|G7   <D.C. al Fine>Z", ["C", "F", "G7", "C", "F"]),
        ("[*iC   ][*AF   | x   Z", ["C", "F", "F"]),
        ("[C^7(E-7)   |W/B   |n   |p   Z", ["C^7", "C^7/B", "N", "N"]),
        ("[C*7b9#5*   |G*foo*   Z", ["C7b9#5", "G"]),
    ],
)
def test_music(music, chords):
    assert chords_of(read_ireal(old_link(music)).expand().bars) == chords


@pytest.mark.parametrize(
    "cells, signature, lengths",
    [
        ("C...", (4, 4), [4]),
        ("C.G.", (4, 4), [2, 2]),
        ("C..G", (4, 4), [3, 1]),
        ("CG", (4, 4), [2, 2]),
        ("CGAD", (4, 4), [1, 1, 1, 1]),
        ("cg", (4, 4), [2, 2]),
        ("C..g", (3, 4), [2, 1]),
        ("CGA.", (3, 4), [1, 1, 1]),
        ("C.G.", (6, 8), [Fraction(3, 2), Fraction(3, 2)]),
        ("C.G.", (12, 8), [3, 3]),
        ("C.G.", (5, 4), [3, 2]),
        ("CGADE", (4, 4), [Fraction(4, 5)] * 5),
    ],
)
def test_chords_of_a_bar_on_beats(cells, signature, lengths):
    pairs = [(cell != ".", cell.islower()) for cell in cells]

    assert list(spread(pairs, TimeSignature(*signature))) == lengths


def test_old_link_and_playlist_in_the_old_format():
    playlist = "irealbook://A=Example Ann=Bossa Nova=E-=n=T44E-   |B7   Z=B=Ann=Rock=C=n=C   |G   Z"

    assert list_tunes(playlist) == ["A", "B"]
    sheet = read_ireal(playlist, tune=1)
    assert (sheet.composer, sheet.key, chords_of(sheet.bars)) == ("Ann Example", "E minor", ["E-", "B7"])


def test_pages_of_one_tune_are_joined():
    pages = "irealbook://A (Page 1)=Ann=Rock=C=n=C   |G   ]=A (Page 2)=Ann=Rock=C=n=F   Z"

    assert list_tunes(pages) == ["A"]
    assert chords_of(read_ireal(pages).bars) == ["C", "G", "F"]


@pytest.mark.parametrize(
    "text, tune, message",
    [
        ("irealb://", None, "has no iReal Pro tune"),
        ("irealb://A=B=C", None, "copy it from the app"),
        (PAGE, 4, "`tune`: song.html has no tune with the number or title 4; it has: 1 (The Harbor)"),
        (PAGE, "Nothing", "has no tune with the number or title 'Nothing'; it has: 1 (The Harbor)"),
        (old_link("T44|   |   Z"), None, "has no chords"),
        (old_link("T44C   |G%   |Hello Z"), 1, ""),
    ],
)
def test_errors(text, tune, message):
    if not message:
        read_ireal(text, tune=tune)
        return
    with pytest.raises(InputError) as error:
        read_ireal(text, "song.html", tune)
    assert message in str(error.value)


def test_signs_that_are_skipped_are_reported():
    with messages() as warnings:
        sheet = read_ireal(old_link("T44[C T34  |G   <1x>]"))

    assert (str(sheet.time_signature), chords_of(sheet.bars)) == ("4/4", ["C", "G"])
    assert "time signature 3/4 within bar 1" in warnings.text and "'1x'" in warnings.text


def test_fuzz_of_links():
    random_ = random.Random(0)
    tokens = ["C^7", "A-7", "G7sus", "|", "[", "]", "{", "}", "Z", "N1", "N2", "N0", "T44", "T34", "T00",
              "T12", "x", "r", "n", "p",
              "W/G", "S", "Q", "U", "f", "s", "l", "Y", "*A", "<D.C. al Coda>", "<99x>", "(E7)",
              "XyQ", "Kcl", "LZ", " ", ",",
              "<", "*", "H", "B*alt*"]  # fmt: skip
    for _ in range(300):
        music = "".join(random_.choices(tokens, k=random_.randint(0, 40)))
        try:
            read_ireal(old_link(music)).expand()
            read_ireal(PAGE.replace("1r34", "".join(random_.sample("1r34", 4)), 1), tune=1)
        except InputError as error:
            assert str(error)
