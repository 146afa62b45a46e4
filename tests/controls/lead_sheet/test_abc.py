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

"""Lead sheets in ABC notation: reading, writing and hostile input."""

import random
from fractions import Fraction
from pathlib import Path

import pytest

from diffusers_jasco.controls.lead_sheet import (
    Bar,
    ChordMark,
    Hit,
    LeadSheet,
    Note,
    Section,
    TempoMark,
    TimeSignature,
    read_lead_sheet,
)
from diffusers_jasco.controls.lead_sheet.abc.reader import is_abc, read_abc
from diffusers_jasco.controls.lead_sheet.abc.writer import to_abc
from diffusers_jasco.utils.errors import InputError


FIXTURES = Path(__file__).parents[2] / "fixtures" / "lead_sheets"

HEADER = "X:1\nT:Test\nM:4/4\nL:1/4\nK:C\n"


def read(body: str, header: str = HEADER, **options) -> LeadSheet:
    return read_abc(header + body, "test.abc", **options)


def pitches(sheet: LeadSheet) -> list[int]:
    return [pitch for pitch, _, _ in sheet.melody]


def lengths(sheet: LeadSheet) -> list[float]:
    return [float(end - start) for _, start, end in sheet.melody]


def labels(sheet: LeadSheet) -> list[str]:
    return [label for label, _ in sheet.chords]


def bars_played(sheet: LeadSheet) -> str:
    """The first note of each bar that is played, as a letter."""
    names = dict(zip((60, 62, 64, 65, 67, 69, 71), "CDEFGAB"))
    return "".join(names[bar.notes[0].pitch] for bar in sheet.expand().bars)


class TestFiles:
    def test_a_tune_of_a_collection(self, caplog):
        text = (FIXTURES / "waltz.abc").read_text(encoding="utf-8")
        sheet = read_abc(text, "waltz.abc")
        assert (sheet.title, sheet.composer, sheet.key) == ("Harbor Waltz, The", "Trad.", "D major")
        assert (sheet.tempo, sheet.beat_unit, sheet.time_signature) == (132, 1, (3, 4))
        assert sheet.chords[:3] == (("D", 1), ("Bm", 4), ("Em7", 7))
        assert [str(bar.length) for bar in sheet.bars] == ["1", *["3"] * 7, "2", "3"]
        assert (sheet.bars[8].endings, sheet.bars[8].repeat_end, sheet.bars[9].endings) == ((1,), 2, (2,))
        assert pitches(sheet)[:5] == [74, 76, 78, 69, 74] and lengths(sheet)[:2] == [0.75, 0.25]
        assert sheet.lyrics.startswith("By the harbor light we danced, the night")
        assert "2 (The Second Tune)" in caplog.text

    @pytest.mark.parametrize("tune", [2, "2", "the second tune", "Another Name"])
    def test_tunes_by_number_and_title(self, tune):
        sheet = read_abc((FIXTURES / "waltz.abc").read_text(encoding="utf-8"), "waltz.abc", tune=tune)
        assert (sheet.title, sheet.key, sheet.time_signature) == ("The Second Tune", "A dorian", (6, 8))
        assert [section.name for section in sheet.sections] == ["", "Coda"]
        assert labels(sheet) == ["Am", "G", "Am", "C", "F", "E", "Am"]
        assert pitches(sheet)[-4:] == [81, 71, 77, 69]

    def test_unknown_tunes_are_listed(self):
        with pytest.raises(
            InputError, match=r"`tune`: waltz.abc has no tune .* 7; it has: 1 \(Harbor Waltz, The\), 2"
        ):
            read_abc((FIXTURES / "waltz.abc").read_text(encoding="utf-8"), "waltz.abc", tune=7)

    def test_tunes_with_the_same_number_are_chosen_by_their_position(self):
        text = "X:1\nT:A\nK:C\nC4|\n\nX:1\nT:B\nK:C\nD4|\n\nX:7\nT:C\nK:C\nE4|\n"

        titles = [read_abc(text, "three.abc", tune=tune).title for tune in (1, "2", 3, 7, "07", "B")]
        assert titles == ["A", "B", "C", "C", "C", "B"]

    def test_plans_of_yue2(self):
        text = (FIXTURES / "yue2_plan.abc").read_text(encoding="utf-8")
        sheet = read_abc(text, "plan.abc")
        assert [(section.name, len(section.bars)) for section in sheet.sections] == [
            ("intro", 2), ("verse", 2), ("chorus", 1)
        ]  # fmt: skip
        assert sheet.chords == (("G", 0), ("Em", 8), ("C", 12), ("D", 16))
        assert sheet.melody[:3] == ((67, 0, 1), (71, 1, 2), (74, 2, 4))
        # Accidentals hold in all octaves.
        assert pitches(sheet)[3:6] == [78, 90, 77]
        assert sheet.melody[-2:] == ((67, Fraction(19, 2), 12), (74, 16, 19))
        assert sheet.bars[4].time_signature == (3, 4)
        assert read_abc(text, "plan.abc", part="Vocal").melody[0] == (64, 8, Fraction(17, 2))
        assert pitches(read_abc(text, "plan.abc", part="Ins Melody")) == [67, 71, 74, 78, 90, 77]

    @pytest.mark.parametrize(
        "text, expected",
        [
            ("X:1\nT:A\nK:C\nCDE|", True),
            ("%abc-2.1\n", True),
            ("  X: 12\n  K: Am\n", True),
            ("Title: A\nKey: C\n[Verse] C | G", False),
            ("C:0 Am:2.5", False),
            ("{title: A}\n[C]word", False),
        ],
    )
    def test_detection(self, text, expected):
        assert is_abc(text) is expected

    def test_free_text_and_empty_lines(self):
        sheet = read_abc(
            "My songs\n\nX:1\nT:A\n\nM:2/4\nK:C\nC2|\n\nD2|\n\nSome words about it.\n\nX:2\nK:C\nE2|\n", "a"
        )
        assert pitches(sheet) == [60, 62]

    def test_titles_are_decoded(self):
        sheet = read("C4|", "X:1\nT:Caf\\'e \\\"Uber &amp; \\aa 50\\% % comment\nC:N\\u00f8rd\nK:C\n")
        assert (sheet.title, sheet.composer) == ("Café Über & å 50%", "Nørd")

    def test_files_in_latin_1(self, tmp_path):
        path = tmp_path / "tune.abc"
        path.write_bytes("X:1\r\nT:Vals fr\u00e5n \u00d6rsa\r\nL:1/4\r\nK:C\r\nCDE2|\r\n".encode("latin-1"))
        sheet = read_lead_sheet(path)
        assert (sheet.title, pitches(sheet)) == ("Vals fr\u00e5n \u00d6rsa", [60, 62, 64])
        sheet.save(tmp_path / "copy.abc")
        assert read_lead_sheet(tmp_path / "copy.abc").melody == sheet.melody


class TestHeader:
    @pytest.mark.parametrize(
        "text, bpm, unit",
        [
            ("1/4=120", 120, 1),
            ("3/8=120", 120, Fraction(3, 2)),
            ("120", 120, 1),
            ('"Allegro" 1/2=66', 66, 2),
            ('1/4 = 90 "Slow"', 90, 1),
            ('"Largo"', 50, 1),
            ('"Freely"', 120, 1),
            ("C3=40", 40, Fraction(3, 2)),
            ("1/4 3/8=60", 60, Fraction(5, 2)),
        ],
    )
    def test_tempo(self, text, bpm, unit):
        sheet = read("C8|", f"X:1\nM:4/4\nQ:{text}\nK:C\n")
        assert (sheet.tempo, sheet.beat_unit) == (bpm, unit)

    @pytest.mark.parametrize(
        "key, name, notes",
        [
            ("G", "G major", [65 + 1, 72]),
            ("Em", "E minor", [66, 72]),
            ("D Mix", "D mixolydian", [66, 72]),
            ("Ador", "A dorian", [66, 72]),
            ("F#m", "F# minor", [66, 73]),
            ("Bb", "Bb major", [65, 72]),
            ("Hp", "A mixolydian", [66, 73]),
            ("none", "", [65, 72]),
            ("D exp _c ^f", "D major", [66, 71]),
            ("Am ^f", "A dorian", [66, 72]),
            ("C clef=treble-8", "C major", [53, 60]),
            ("C bass", "C major", [65, 72]),
            ("C transpose=-2", "Bb major", [63, 70]),
            ("C octave=1", "C major", [77, 84]),
        ],
    )
    def test_keys(self, key, name, notes):
        sheet = read("Fc|", f"X:1\nL:1/4\nK:{key}\n")
        assert (sheet.key, pitches(sheet)) == (name, notes)

    def test_chords_of_transposing_instruments_sound_as_well(self):
        sheet = read('"C"C4|[K:D]"F#m/C#"D4|', "X:1\nL:1/4\n%%MIDI transpose -2\nK:C\n")
        assert (sheet.key, labels(sheet), pitches(sheet)) == ("Bb major", ["Bb", "Em/B"], [58, 60])
        assert sheet.bars[1].key == "C major"

    @pytest.mark.parametrize(
        "header, length", [("M:6/8", 0.5), ("M:2/4", 0.25), ("M:2/4\nL:1/8", 0.5), ("M:none", 0.5)]
    )
    def test_default_note_length(self, header, length):
        assert lengths(read("C|", f"X:1\n{header}\nK:C\n")) == [length]

    @pytest.mark.parametrize(
        "field, message",
        [
            ("M:3/5", "line 2: M:3/5 is not a meter"),
            ("M:fast", "M:fast is not a meter such as 4/4"),
            ("L:x", "L:x is not a note length such as 1/8"),
            ("Q:1/4=fast 1", "line 2: Q:1/4=fast 1|Q:1/4=1"),
            ("K:H", "K:H is not a key such as G"),
        ],
    )
    def test_errors_name_the_line(self, field, message):
        text = f"X:1\n{field}\n" + ("" if field.startswith("K") else "K:C\n") + "CDE|\n"
        if "fast 1" in field:
            text = text.replace("fast 1", "0")
            message = "Q:1/4=0 is not a tempo"
        with pytest.raises(InputError, match=message):
            read_abc(text, "bad.abc")

    def test_swing(self):
        assert read("C4|", 'X:1\nQ:"Medium swing" 1/4=150\nK:C\n').swing
        assert not read("C4|", "X:1\nR:hornpipe\nQ:1/4=150\nK:C\n").swing


class TestMusic:
    @pytest.mark.parametrize(
        "body, expected",
        [
            ("C2 D/ E/2 F// G3/2|", [2, 0.5, 0.5, 0.25, 1.5]),
            ("C>D E<F G>>A|", [1.5, 0.5, 0.5, 1.5, 1.75, 0.25]),
            ("C>D/ E>F>G|A>A2|", [1.5, 0.5, 1.5, 0.75, 0.5, 1, 2]),
            ("(3CDE (3:2:2C2D|", [2 / 3, 2 / 3, 2 / 3, 4 / 3, 2 / 3]),
            ("(3 C>DE F|", [1, 1 / 3, 2 / 3, 1]),
            ("C2- C-|C D|", [4, 1]),
            ("[C2E2] [CEG]/ [GA]|", [2, 0.5, 1]),
            ("C z D x|Z2|E4|", [1, 1, 4]),
            ("{ga}C !trill!D ~E .F uG vA (B c)|", [1] * 8),
            ("A2 & C4|B4|", [2, 4]),
            ("C y2 D\\\nE|", [1, 1, 1]),
        ],
    )
    def test_lengths(self, body, expected):
        assert lengths(read(body)) == pytest.approx(expected)

    def test_tuplets_of_five_depend_on_the_meter(self):
        assert lengths(read("(5CCCCC|"))[0] == pytest.approx(0.4)
        assert lengths(read("(5CCCCC|", "X:1\nM:6/8\nL:1/4\nK:C\n"))[0] == pytest.approx(0.6)

    def test_pitches(self):
        assert pitches(read("C, C c c' ^C _E =F ^^G __B|")) == [48, 60, 72, 84, 61, 63, 65, 69, 69]
        assert pitches(read("[CEG] [c^G,]|")) == [67, 72]

    def test_accidentals_hold_until_the_bar_line_and_over_ties(self):
        assert pitches(read("^F F f|F ^F-|F F|")) == [66, 66, 78, 65, 66, 65]
        assert pitches(read("%%propagate-accidentals octave\n^F F f|")) == [66, 66, 77]

    def test_fields_within_the_music(self):
        sheet = read("C4|[K:G][M:3/4][L:1/8]F6|[Q:1/4=90]F2[Q:1/4=80]F4|")
        assert pitches(sheet) == [60, 66, 66, 66]
        assert (sheet.bars[1].key, sheet.bars[1].time_signature) == ("G major", (3, 4))
        assert sheet.bars[2].tempos == (TempoMark(90, Fraction(1)), TempoMark(80, Fraction(1), Fraction(1)))

    @pytest.mark.parametrize(
        "text, expected",
        [
            ('"Am7"C2 "^above"C "_Cm"C|', ["Am7"]),
            ('"G(Em)"C2 "(D7)"C2|', ["G", "D7"]),
            ('"N.C."C2 "C"C2|', ["N", "C"]),
            ('"am"C2 "D/f+"C2|', ["Am", "D/F#"]),
            ('"Am"C2 "/G"C2|', ["Am", "Am/G"]),
            ('"Nothing here"C4|', []),
            ('"C" "G"C4|', ["G"]),
            ('"C G"C4|', ["C", "G"]),
            ('"C"C>"G"D|', ["C", "G"]),
        ],
    )
    def test_chords(self, text, expected):
        assert labels(read(text)) == expected

    def test_two_chords_in_one_text_divide_the_note(self):
        assert read('"C G"C4|').chords == (("C", 0), ("G", 2))

    def test_chords_within_broken_rhythms(self):
        assert read('"C"C>"G"D|').chords == (("C", 0), ("G", Fraction(3, 2)))

    def test_bars_with_chords_only(self):
        sheet = read('"C" | "Am" "F" | "G" |]')
        assert sheet.chords == (("C", 0), ("Am", 4), ("F", 6), ("G", 8)) and sheet.length == 12

    def test_lyrics(self):
        sheet = read("C D E F|G A B c|\nw: a-ma-zing~day * | one _ two\\-tone\nw: second verse\n")
        assert [note.lyric for bar in sheet.bars for note in bar.notes] == [
            "a-", "ma-", "zing day", "", "one", "", "two-tone", ""
        ]  # fmt: skip

    def test_words_below_the_tune(self):
        assert read("C4|\nW: First line\nW: Second line\n").lyrics.splitlines() == ["First line", "Second line"]

    def test_voices(self, caplog):
        text = 'V:1 name=Flute\nV:2 name=Bass clef=bass\nK:C\n[V:1] c4|d4|\n[V:2] "Am"A,4|"F"F,4|\n'
        sheet = read(text, "X:1\nL:1/4\n")
        assert (pitches(sheet), labels(sheet)) == ([72, 74], ["Am", "F"])
        assert "2 (Bass)" in caplog.text
        for part in ("2", 2, "bass"):
            assert pitches(read(text, "X:1\nL:1/4\n", part=part)) == [57, 53]
        with pytest.raises(
            InputError, match=r"`part`: test.abc has no voice 'Drums'; it has: 1 \(Flute\), 2 \(Bass\)"
        ):
            read(text, "X:1\nL:1/4\n", part="Drums")

    def test_what_is_not_music_is_ignored_with_a_warning(self, caplog):
        sheet = read("C D # E|\nCopyright: nobody, this is only a text\nm: ~g2 = {a}g\nF4!|\n")
        assert pitches(sheet) == [60, 62, 64, 65]
        assert "characters that are not ABC are ignored (line 6: '#')" in caplog.text
        assert "macros" in caplog.text and "lines that are not music" in caplog.text

    @pytest.mark.parametrize(
        "body, message",
        [
            ("C D|E,,,,,,,,F|", "line 6, column 5: the note E in octave -4 sounds outside"),
            ("C C1000|", "line 6, column 3: a note has a length that is out of range"),
            ("C/0|", "divides by 0"),
            ("Z99999|", "more than 10,000 bars"),
            ("\n\nW: words only", "has no notes, rests or bars with chords"),
        ],
    )
    def test_errors(self, body, message):
        with pytest.raises(InputError, match=message):
            read(body)


class TestForm:
    @pytest.mark.parametrize(
        "body, expected",
        [
            ("|:C4|D4:|E4|]", "CDCDE"),
            ("C4|D4:|E4|F4:|", "CDCDEFEF"),
            ("C4|D4::E4|F4:|", "CDCDEFEF"),
            ("|:C4|1D4:|2E4|]F4|", "CDCEF"),
            ("|:C4 |[1 D4 :|[2 E4 || F4 :|", "CDCEFF"),
            ("|:C4|1,3 D4:|2 E4:|4 F4|]", "CDCECDCF"),
            ("|:C4|1-2 D4:|3 E4:|F4|]", "CDCDCEF"),
            ("|:C4|1D4:|2E4:|F4|]", "CDCEF"),
            ("|::C4::|D4|]", "CCCD"),
            ("C4|!segno!D4|!fine!E4|F4!D.S.alfine!|]", "CDEFDE"),
            ("C4|!fine!D4|E4 !D.C.!|]", "CDECD"),
            ('C4|"^Fine"D4|E4 "D.C. al Fine"|]', "CDECD"),
            ("!segno!C4|D4 !dacoda!|E4!D.S.alcoda!|!coda!F4|]", "CDECDF"),
            ("!segno!C4|D4!coda!|E4!D.S.alcoda!|!coda!F4|]", "CDECDF"),
            ("SC4|D4|OE4|F4!D.S.alcoda!|OG4|]", "CDEFCDG"),
        ],
    )
    def test_order_of_bars(self, body, expected):
        assert bars_played(read(body)) == expected

    def test_pickups_keep_their_length(self):
        sheet = read("G|:C4|D3:|")
        assert [bar.length for bar in sheet.bars] == [1, 4, 3]

    def test_bars_that_do_not_fit_the_meter_are_reported(self, caplog):
        header = "X:1\nM:3/4\nL:1/4\nK:C\n"
        read("D|EFG|AB:|c|d2e|f2:|c3|GA|B|c3|[1 c2:|[2 c3||G|ABc|A2|]", header)
        assert "meter" not in caplog.text
        read("DEFG|AB|\nABc|Ac2|C3|]", header)
        assert "bar 1 (line 5) with 4 instead of 3, bar 2 (line 5) with 2 instead of 3." in caplog.text

    def test_parts_in_the_order_of_the_header(self):
        sheet = read("P:A\nC4|\nP:B\n[K:G]D4|\n", "X:1\nP:AABA\nL:1/4\nK:C\n")
        assert [(section.name, section.repeats) for section in sheet.sections] == [("A", 2), ("B", 1), ("A", 1)]
        assert bars_played(sheet) == "CCDC"
        assert [section.bars[0].key for section in sheet.sections] == [None, "G major", "C major"]

    def test_labels_of_parts(self):
        sheet = read("P:Verse\nC4|D4|\nP:Chorus\nE4|\n")
        assert [(section.name, len(section.bars)) for section in sheet.sections] == [("Verse", 2), ("Chorus", 1)]


def make_sheet() -> LeadSheet:
    quarter = Fraction(1)

    def bar(pitch: int, **fields) -> Bar:
        notes = fields.pop("notes", (Note(pitch, Fraction(0), 3 * quarter), Note(pitch + 1, 3 * quarter, quarter)))
        return Bar(fields.pop("length", 4 * quarter), notes=notes, **fields)

    triplet = tuple(Note(60 + 2 * step, Fraction(step, 3), Fraction(1, 3)) for step in range(3))
    dotted = (Note(67, Fraction(1), Fraction(5, 2)), Note(70, Fraction(15, 4), Fraction(1, 4)))
    first = (
        bar(62, length=4 * quarter, chords=(ChordMark("Am7", Fraction(0)), ChordMark("F#m7b5/E", Fraction(2)))),
        bar(0, notes=triplet + dotted, repeat_start=True, segno=True, chords=(ChordMark("N", Fraction(1, 2)),)),
        bar(64, tempos=(TempoMark(91.5, Fraction(3, 2), Fraction(1)),), to_coda=True),
        bar(65, endings=(1, 2), repeat_end=3),
        bar(66, endings=(3,), ending_stop=True, key="Eb minor", chords=(ChordMark("C:maj7", Fraction(0)),)),
    )
    second = (
        bar(70, length=Fraction(3), time_signature=TimeSignature(3, 4),
            notes=(Note(70, Fraction(0), Fraction(3), True, "one-"),)),
        bar(70, length=Fraction(3), notes=(Note(70, Fraction(0), Fraction(2)), Note(72, Fraction(2), Fraction(1)))),
        bar(0, length=Fraction(3), notes=(), jump="D.S. al Coda", fine=True),
    )  # fmt: skip
    third = (
        bar(
            60,
            length=Fraction(3),
            notes=(Note(60, Fraction(0), Fraction(3)),),
            coda=True,
            chords=(ChordMark("G7(b9)", Fraction(0)),),
        ),
    )
    return LeadSheet(
        (Section("Verse", first, prompt="soft", fill=True), Section("", second), Section("Chorus", third)),
        title="A 100% test", composer="Nobody", tempo=100.25, beat_unit=Fraction(1, 2), key="A dorian",
        prompt="pop & rock", swing=True, ending="ring",
    )  # fmt: skip


class TestWriter:
    def test_round_trip(self):
        sheet = make_sheet()
        text = to_abc(sheet)
        back = read_abc(text, "back.abc")
        assert back.melody == sheet.melody
        assert back.chords == tuple(("Cmaj7" if label == "C:maj7" else label, start) for label, start in sheet.chords)
        expanded, expected = back.expand(), sheet.expand()
        assert expanded.melody == expected.melody
        assert [start for _, start in expanded.chords] == [start for _, start in expected.chords]
        assert [section.name for section in expanded.sections] == [section.name for section in expected.sections]
        assert (back.keys(), back.time_signatures()) == (sheet.keys(), sheet.time_signatures())
        assert [bar.tempos for bar in back.bars] == [bar.tempos for bar in sheet.bars]
        for name in ("endings", "ending_stop", "segno", "coda", "to_coda", "fine", "jump"):
            assert [getattr(bar, name) for bar in back.bars[:8]] == [getattr(bar, name) for bar in sheet.bars[:8]], (
                name
            )
        for name in ("title", "composer", "tempo", "beat_unit", "key", "prompt", "swing", "ending", "lyrics"):
            assert getattr(back, name) == getattr(sheet, name), name
        assert (back.sections[0].prompt, back.sections[0].fill) == ("soft", True)
        assert to_abc(back) == text

    def test_the_text_is_readable(self):
        bars = (
            Bar(Fraction(1), notes=(Note(67, Fraction(0), Fraction(1)),)),
            Bar(Fraction(4), (ChordMark("C"), ChordMark("Am", Fraction(2))), (Note(72, Fraction(0), Fraction(4)),),
                repeat_start=True),
            Bar(Fraction(4), (ChordMark("F#m7b5"),), (Note(66, Fraction(0), Fraction(1)), Note(65, Fraction(1), Fraction(1)),
                Note(64, Fraction(2), Fraction(2))), repeat_end=2),
        )  # fmt: skip
        sheet = LeadSheet((Section("Verse", bars),), title="Song", tempo=96.0, key="C major")
        assert to_abc(sheet) == (
            "%abc-2.1\nX:1\nT:Song\nM:4/4\nL:1/8\nQ:1/4=96\nK:C\nP:Verse\n"
            'G2 |: "C"c4- "Am"c4 | "F#m7b5"^F2 =F2 E4 :|\n'
        )

    @pytest.mark.parametrize(
        "text",
        [
            "M:6/8\nL:1/8\nQ:3/8=60\nK:G\nG | BGG DGG | B3 G2 G | D/E/FG A3 |]",
            'M:4/4\nL:1/8\nQ:1/4=60\nK:C\nCD E2 z F GA | C"G"D (3:2:3EFG A3 B | C/D/E/F/ GA B-B c2 |]',
            "M:3/4\nL:1/8\nQ:1/4=60\nK:C\nC DE | FG AB c2 |]",
        ],
    )
    def test_notes_of_a_beat_share_a_beam(self, text):
        written = to_abc(read_abc(f"X:1\n{text}\n"))
        assert written.splitlines()[-1] == text.splitlines()[-1]

    def test_repeated_sections_with_signs_are_written_out(self):
        bars = (
            Bar(Fraction(4), notes=(Note(60, Fraction(0), Fraction(4)),), repeat_start=True, repeat_end=2),
            Bar(Fraction(4), notes=(Note(62, Fraction(0), Fraction(4)),)),
        )
        sheet = LeadSheet((Section("A", bars, repeats=2),))
        back = read_abc(to_abc(sheet), "back.abc")
        assert bars_played(back) == bars_played(sheet) == "CCDCCD"

    def test_drum_hits_cause_a_warning(self, caplog):
        to_abc(LeadSheet((Section("", (Bar(Fraction(4), hits=(Hit("kick", Fraction(0)),)),)),)))
        assert "drum hits are left out" in caplog.text

    def test_random_sheets(self):
        generator = random.Random(0)
        for _ in range(60):
            sheet = _random_sheet(generator)
            back = read_abc(to_abc(sheet), "back.abc")
            assert (back.melody, back.chords, back.key) == (sheet.melody, sheet.chords, sheet.key)
            assert back.expand().melody == sheet.expand().melody


def _random_sheet(generator: random.Random) -> LeadSheet:
    """A sheet of four bars in several lengths of notes, keys and repeats."""
    keys = ["C major", "F# minor", "Eb major", "D dorian", "B phrygian", "Ab mixolydian"]
    bars = []
    for number in range(4):
        notes, now = [], Fraction(0)
        while now < 4:
            length = generator.choice([Fraction(1, 4), Fraction(1, 2), Fraction(1), Fraction(5, 4), Fraction(1, 3)])
            count = 3 if length == Fraction(1, 3) else 1
            for _ in range(count):
                if now + length <= 4 and generator.random() < 0.8:
                    notes.append(Note(generator.randint(48, 84), now, length))
                now += length
        chords = tuple(
            ChordMark(generator.choice(["C", "Am7", "F#dim", "Bb/D"]), start)
            for start in sorted(generator.sample([Fraction(n, 2) for n in range(8)], generator.randint(0, 3)))
        )
        bars.append(Bar(Fraction(4), chords, tuple(notes), repeat_end=2 * (number == 1 and generator.random() < 0.5)))
    return LeadSheet((Section("A", tuple(bars[:2])), Section("B", tuple(bars[2:]))), key=generator.choice(keys))


class TestHostileInput:
    """Only `InputError`s; `test_many` runs a few hundred inputs."""

    ALPHABET = list("ABCDEFGabcdefgzxZyXVKMLQPwWT123468/,'^_=-|:[](){}<>&!\"%.~$*+\\ \n") + [
        "|:", ":|", "::", "[1", "|2", "(3", "[K:", "[V:2]", "V:1\n", "P:A\n", "\nw:", '"Am"', "!D.C.!", "!segno!", "%%MIDI ",
        "999999", "//////", "{", "\u266f", "[M:3/4]", "[Q:1/4=", ">>>", "<<", "\nK:", "\nP:A(B)9", "[CEG", "Z99",
    ]  # fmt: skip

    def test_many(self, caplog):
        caplog.set_level("CRITICAL")
        hostile(200, 0)

    @pytest.mark.parametrize(
        "text",
        [
            "X:1\nK:C\n" + "(9" * 500 + "C",
            "X:1\nK:C\nC" + ">" * 5000 + "D|",
            "X:1\nK:C\n" + "".join(f"C/{number}" for number in (97, 89, 83, 79, 73, 71, 67)) + "|",
            "X:1\nP:" + "(A" * 30 + ")9" * 30 + "\nK:C\nP:A\nC4|",
            "X:1\nK:C\n" + "".join(f"[V:{number}]C" for number in range(1000)),
            "X:1\nK:C\nC" + "'" * 100_000,
            "X:1\nK:C\nC" + "/" * 100_000,
            "X:1\nM:64/1\nK:C\nZ9999|",
            "X:1\nK:C octave=99\nC|",
            "X:" * 1000,
            "X:1\nK:C\n[0 C4:|D4:|",
            "M:4/4\n" + "C:a\n" * 5000 + "\n" + "X:1\nK:C\nC4|\n\n" * 500,
            "X:1\nK:C\nC4|" + "\n" * 8000 + "D4|",
            "X:1\nT:a\n" + "a | b\n" * 8000 + "K:C\nC4|",
            "\n" * 8000 + "X:1\nK:C\nC4|",
            "X:1\nK:C\nC4|\n\n" + "[A:" * 8000,
        ],
    )
    def test_limits(self, text):
        try:
            read_abc(text, "hostile.abc").expand()
        except InputError as error:
            assert len(str(error)) < 500


def hostile(count: int, seed: int):
    """Reads random texts; anything but an `InputError` is a failure."""
    generator = random.Random(seed)
    valid = (FIXTURES / "waltz.abc").read_text(encoding="utf-8")
    for _ in range(count):
        if generator.random() < 0.5:
            header = "X:1\nT:t\nM:4/4\nL:1/8\nK:C\n" if generator.random() < 0.8 else ""
            text = header + "".join(generator.choices(TestHostileInput.ALPHABET, k=generator.randint(1, 150)))
        else:
            text = list(valid)
            for _ in range(generator.randint(1, 20)):
                position = generator.randrange(len(text))
                text[position : position + generator.randint(0, 4)] = generator.choice(TestHostileInput.ALPHABET)
            text = "".join(text)
        try:
            sheet = read_abc(text, "hostile.abc")
            sheet.expand()
            read_abc(to_abc(sheet), "again.abc")
        except InputError:
            pass
