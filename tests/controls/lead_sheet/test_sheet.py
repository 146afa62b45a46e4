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

"""Lead sheets: the model, the order of the bars, and the arguments of the pipeline."""

import json
from dataclasses import asdict, replace
from fractions import Fraction as F

import pytest
import torch

from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.controls.lead_sheet import (
    Bar,
    ChordMark,
    Hit,
    LeadSheet,
    Note,
    Section,
    TempoMark,
    TimeSignature,
    bars_from_timeline,
    read_lead_sheet,
)
from diffusers_jasco.controls.lead_sheet.json_format import read_json, to_json
from diffusers_jasco.controls.lead_sheet.keys import key_signature, note_name, transpose_chord, transpose_key
from diffusers_jasco.controls.lead_sheet.playback import drum_hits
from diffusers_jasco.inputs import InputError, read_chords, read_melody


def bar(label: str = "", length: F = F(4), **signs) -> Bar:
    return Bar(length, (ChordMark(label),) if label else (), **signs)


def sheet(*bars: Bar, **fields) -> LeadSheet:
    return LeadSheet((Section("", bars),), **fields)


def played(*bars: Bar) -> str:
    """The chord of each bar that is played."""
    expanded = sheet(*bars).expand()
    return " ".join(item.chords[0].label if item.chords else "-" for item in expanded.bars)


# The order of the bars


@pytest.mark.parametrize(
    "bars, order",
    [
        ([bar("C"), bar("D", repeat_end=2), bar("E")], "C D C D E"),
        ([bar("C"), bar("D", repeat_start=True, repeat_end=3), bar("E")], "C D D D E"),
        ([bar("C", repeat_end=2), bar("D", repeat_end=2)], "C C D D"),
        ([bar("C"), bar("D", endings=(1,), repeat_end=2), bar("E", endings=(2,))], "C D C E"),
        # The last ending may have a repeat sign, and a bracket may stand for several repetitions.
        ([bar("C"), bar("D", endings=(1,), repeat_end=2), bar("E", endings=(2,), repeat_end=2), bar("F")], "C D C E F"),
        ([bar("C"), bar("D", endings=(1, 2), repeat_end=2), bar("E", endings=(3,))], "C D C D C E"),
        # Endings of two bars.
        ([bar("C"), bar("D", endings=(1,)), bar("E", repeat_end=2), bar("F", endings=(2,)), bar("G", ending_stop=True)],
         "C D E C F G"),
        # Without a bracket over the second ending.
        ([bar("C"), bar("D", endings=(1,), repeat_end=2), bar("E")], "C D C E"),
        # Two passages with endings, the second one without a sign at its beginning.
        ([bar("C"), bar("D", endings=(1,), repeat_end=2), bar("E", endings=(2,), ending_stop=True), bar("F"),
          bar("G", endings=(1,), repeat_end=2), bar("A", endings=(2,))], "C D C E F G F A"),
        # Two repetitions with a bracket, and one without.
        ([bar("C"), bar("D", endings=(1, 2), repeat_end=2), bar("E")], "C D C D C E"),
        # Endings whose repeat sign is missing, or at the last one, or whose numbers have a gap.
        ([bar("C"), bar("D", endings=(1,)), bar("E", endings=(2,), ending_stop=True), bar("F")], "C D C E F"),
        ([bar("C"), bar("D", endings=(1,)), bar("E", endings=(2,), repeat_end=2)], "C D C E"),
        ([bar("C"), bar("D", endings=(1,), repeat_end=2), bar("E", endings=(3,))], "C D C E"),
        ([bar("C", repeat_start=True), bar("D", endings=(2,), ending_stop=True), bar("E")], "C D E"),
        # The last ending has no end: it is as long as the first one.
        ([bar("C"), bar("D", endings=(1,), repeat_end=2), bar("E", endings=(2,)), bar("F"),
          bar("G", endings=(1,), repeat_end=2), bar("A", endings=(2,))], "C D C E F G F A"),
        ([bar("C"), bar("D", fine=True), bar("E", jump="D.C. al Fine")], "C D E C D"),
        ([bar("C"), bar("D", segno=True), bar("E", fine=True), bar("F", jump="D.S. al Fine")], "C D E F D E"),
        ([bar("C"), bar("D", to_coda=True), bar("E", jump="D.C. al Coda"), bar("F", coda=True), bar("G")],
         "C D E C D F G"),
        # After a jump, repeats are played once with their last ending.
        ([bar("C"), bar("D", endings=(1,), repeat_end=2), bar("E", endings=(2,)), bar("F", jump="D.C.")],
         "C D C E F C E F"),
        # Repeats in the coda are played.
        ([bar("C", to_coda=True), bar("D", jump="D.C. al Coda"), bar("E", coda=True, repeat_start=True, repeat_end=2)],
         "C D C E E"),
    ],
)  # fmt: skip
def test_repeats_and_jumps(bars, order):
    assert played(*bars) == order


def test_repeated_sections():
    verse = Section("Verse", (bar("C"), bar("G")), repeats=2)
    song = LeadSheet((verse, Section("Chorus", (bar("F"),), fill=True)))
    assert [(section.name, len(section.bars), section.repeats) for section in song.expand().sections] == [
        ("Verse", 2, 1),
        ("Verse", 2, 1),
        ("Chorus", 1, 1),
    ]
    assert song.duration == 10.0 and song.length == 12


def test_sections_are_played_once_after_a_jump():
    song = LeadSheet(
        (Section("A", (bar("C"), bar("F", fine=True)), repeats=3), Section("B", (bar("G", jump="D.C. al Fine"),)))
    )
    assert [label for label, _ in song.expand().chords] == ["C", "F"] * 3 + ["G", "C", "F"]


def test_repeated_sections_begin_as_the_first_time():
    """As if the section had repeat signs: the chord, the tempo and the time signature at its beginning are restored."""
    bars = (bar("C"), replace(bar("", F(3)), tempos=(TempoMark(60.0),), time_signature=TimeSignature(3, 4)))
    song = LeadSheet((Section("A", bars, repeats=2),))
    with_signs = sheet(replace(bars[0], repeat_start=True), replace(bars[1], repeat_end=2))
    assert song.expand().bars == with_signs.expand().bars and song.duration == with_signs.duration == 2 * (2 + 3)


def test_a_chord_continues_into_a_repeated_pickup():
    song = sheet(bar("", F(1)), bar("C", F(4)), bar("G", F(3), repeat_end=2))
    assert [label for label, _ in song.to_controls()["chords"]] == ["C", "G", "C", "G"]


def test_bars_that_are_never_played_are_reported(caplog):
    assert played(bar("C", fine=True), bar("D", jump="D.C. al Fine"), bar("E"), bar("F")) == "C D C"
    assert "never played: bar 3, 4" in caplog.text


def test_missing_signs_are_reported(caplog):
    assert played(bar("C"), bar("D", jump="D.S. al Fine"), bar("E")) == "C D C D E"
    assert "segno" in caplog.text and "Fine" in caplog.text


def test_too_many_repeats_are_an_error():
    with pytest.raises(InputError, match="10,000"):
        LeadSheet((Section("A", tuple(bar("C") for _ in range(200)), repeats=100),)).expand()


def test_what_applies_is_written_after_a_jump():
    """A chord, a tempo, a time signature and a key that sound on from the bar before, which is not played there."""
    change = bar("F", F(3), time_signature=TimeSignature(3, 4), key="F major", tempos=(TempoMark(60.0),))
    song = sheet(bar("C"), bar(segno=True), change, bar("", F(3), to_coda=True), bar("G", F(3), jump="D.S. al Coda"),
                 bar("", F(3), coda=True))  # fmt: skip
    bars = song.expand().bars
    assert [item.chords[0].label if item.chords else "" for item in bars] == ["C", "", "F", "", "G", "C", "F", "", "G"]
    assert bars[5].time_signature == (4, 4) and bars[5].tempos[0].bpm == 120.0
    assert [float(item.length) for item in bars] == [4, 4, 3, 3, 3, 4, 3, 3, 3]
    # 2 bars at 120, 3 of three beats at 60, again, and the coda.
    assert song.duration == pytest.approx(2 * 2 + 3 * 3 + 2 + 2 * 3 + 3)


# Seconds


def test_controls_are_in_seconds():
    notes = (Note(60, F(0), F(3, 2), lyric="Hel-"), Note(62, F(3), F(1), tied=True, lyric="lo"))
    first = Bar(F(4), (ChordMark("C"), ChordMark("Am7/G", F(2))), notes)
    second = Bar(F(4), (ChordMark("N.C."),), (Note(62, F(0), F(1)),))
    song = sheet(first, second, tempo=60.0, prompt="calm piano")
    controls = song.to_controls()
    assert controls == {
        "prompt": "calm piano",
        "chords": [("C", 0.0), ("Am7/G", 2.0), ("N", 4.0)],
        "melody": [(60, 0.0, 1.5), (62, 3.0, 5.0)],
        "duration": 8.0,
    }
    assert song.lyrics == "Hello"
    assert read_chords(controls["chords"]) == [("C", 0.0), ("Am7", 2.0), ("N", 4.0)]
    assert read_melody(controls["melody"], 160, 20.0).sum() == 70


def test_the_beat_of_the_tempo():
    jig = Bar(F(3), (ChordMark("G"), ChordMark("D", F(3, 2))))
    song = sheet(jig, jig, tempo=120.0, beat_unit=F(3, 2), time_signature=TimeSignature(6, 8))
    assert song.duration == 2.0
    assert song.beats() == ([0.0, 0.5, 1.0, 1.5], [0.0, 1.0])


def test_tempo_changes_and_pickup():
    song = sheet(bar("G", F(1)), bar("C"), replace(bar("F"), tempos=(TempoMark(60.0, F(1), F(2)),)))
    assert song.to_controls()["chords"] == [("G", 0.0), ("C", 0.5), ("F", 2.5)]
    assert song.duration == 0.5 + 2 + 1 + 2
    assert song.beats()[1] == [0.5, 2.5]


def test_a_repeated_pickup_completes_the_bar_before():
    """The last bar is shorter by the pick-up, which is repeated with it."""
    bars = (bar("", F(1)), bar("C", F(3)), bar("G", F(2), repeat_end=2))
    song = sheet(*bars, time_signature=TimeSignature(3, 4), tempo=120.0, groove="waltz")
    assert song.beats()[1] == [0.5, 2.0, 3.5, 5.0]
    assert song.beats()[0] == [0.5 * index for index in range(12)]
    waltz = [0.5 + 1.5 * index for index in range(4)]
    assert all(onsets(song.to_controls(), start, start + 0.05) > 0.2 for start in waltz)
    assert onsets(song.to_controls(), 0, 0.45) == 0
    # Swing of a pick-up of an eighth note.
    eighth = Bar(F(1, 2), (), (Note(60, F(0), F(1, 2)),))
    last = Bar(F(7, 2), (), (Note(62, F(0), F(1)),), repeat_end=2)
    swinging = sheet(eighth, bar("C"), last, tempo=60.0, swing=True)
    starts = [start for _, start, _ in swinging.to_controls()["melody"]]
    assert starts == pytest.approx([1 / 6, 4.5, 8 + 1 / 6, 12.5])


def test_eighth_notes_swing_in_simple_meters_only():
    notes = (Note(60, F(1, 2), F(1, 2)),)
    for signature, start in (("4/4", 2 / 3), ("3/4", 2 / 3), ("6/8", 0.5), ("3/8", 0.5), ("7/8", 0.5)):
        meter = TimeSignature.parse(signature)
        song = sheet(Bar(meter.length, (), notes), tempo=60.0, swing=True, time_signature=meter)
        assert song.to_controls()["melody"][0][1] == pytest.approx(start)


@pytest.mark.parametrize(
    "song",
    [
        sheet(bar("C"), bar("F"), bar("G"), tempo=90.0),
        sheet(bar("C", F(1)), bar("F"), bar("G"), swing=True, ending="ring"),
        sheet(bar("C", F(3)), bar("F", F(3)), time_signature=TimeSignature(3, 4)),
        LeadSheet(
            (Section("A", (bar("C"),), groove="waltz", repeats=2), Section("B", (bar("F"), bar("G")), fill=True))
        ),
    ],
)
def test_a_groove_as_an_object_plays_as_its_name(song, tmp_path):
    expected = song.with_groove("boom bap")
    written = song.with_groove(GROOVES["boom bap"])
    (tmp_path / "loop.groove.json").write_text(json.dumps(asdict(GROOVES["boom bap"])))
    assert song.with_groove(tmp_path / "loop.groove.json") == written
    assert written.groove is None and written.hits
    assert drum_hits(written.expand()) == drum_hits(expected.expand())
    assert read_json(to_json(written)) == written
    assert written.with_groove("boom bap") == expected


def test_a_groove_that_does_not_fit_is_reported(caplog):
    song = sheet(bar("C", F(3)), time_signature=TimeSignature(6, 8), groove="rock backbeat")
    song.to_controls()
    assert "'rock backbeat' in 6/8" in caplog.text


def test_swing_applies_to_melody_and_drums():
    eighths = tuple(Note(60 + index, F(index, 2), F(1, 2)) for index in range(4))
    hits = (Hit("hat", F(0)), Hit("hat", F(1, 2)))
    song = sheet(Bar(F(2), (), eighths, hits), tempo=60.0, swing=True, time_signature=TimeSignature(2, 4))
    assert [round(start, 3) for _, start, _ in song.to_controls()["melody"]] == [0.0, 0.667, 1.0, 1.667]
    waveform, rate = song.to_controls()["drums"]
    straight, _ = replace(song, swing=False).to_controls()["drums"]
    late = slice(round(0.667 * rate), round(0.70 * rate))
    assert waveform[:, late].abs().max() > 0.05 and straight[:, late].abs().max() < 0.02


def test_melody_is_folded_by_octaves(caplog):
    low = sheet(Bar(F(4), (), (Note(33, F(0), F(1)), Note(40, F(1), F(1)))))
    assert [pitch for pitch, _, _ in low.to_controls()["melody"]] == [45, 52]
    assert "octave" in caplog.text


def test_prompts_of_sections_are_a_timeline():
    song = LeadSheet(
        (Section("Verse", (bar("C"),), prompt="soft", repeats=2), Section("Chorus", (bar("G"),), prompt="loud")),
        prompt="rock",
    )
    assert song.to_controls()["prompt"] == [("rock, soft", 0.0), ("rock, loud", 4.0)]
    assert song.to_controls("jazz")["prompt"][0] == ("jazz, soft", 0.0)


def onsets(controls: dict, start: float, end: float) -> float:
    waveform, rate = controls["drums"]
    return waveform[:, round(start * rate) : round(end * rate)].abs().max()


def test_grooves_fills_and_endings():
    song = LeadSheet(
        (Section("A", (bar("C", F(1)), bar("C"), bar("F"))), Section("B", (bar("G"),), groove="waltz", fill=True)),
        groove="rock backbeat",
        tempo=120.0,
    )
    controls = song.to_controls()
    assert controls["duration"] == 6.5
    assert onsets(controls, 0, 0.49) == 0  # the pick-up
    assert onsets(controls, 0.5, 0.6) > 0.2
    fill = (
        controls["drums"][0]
        - replace(song, sections=(song.sections[0], replace(song.sections[1], fill=False))).to_controls()["drums"][0]
    )
    rate = controls["drums"][1]
    assert (
        fill[:, : round(3.45 * rate)].abs().max() < 0.02 < fill[:, round(3.5 * rate) : round(4.5 * rate)].abs().max()
    )
    ring = replace(song, ending="ring")
    assert ring.duration == 8.5 and ring.to_controls()["chords"] == controls["chords"]


def test_fade():
    song = sheet(*(bar("C") for _ in range(8)), ending="fade")
    audio = song.fade(torch.ones(1, 16_000), 1000)
    assert (audio[:, :8000] == 1).all() and audio[:, -1] < 1e-4 and (audio.diff()[:, 8000:] <= 0).all()
    assert (replace(song, ending="cut").fade(torch.ones(1, 100), 1000) == 1).all()


def test_drums_match_the_time_signature():
    """A bar of 6/8 has two beats, and a pattern of four beats continues over bars."""
    jig = sheet(*(bar("G", F(3)) for _ in range(2)), groove="shuffle", time_signature=TimeSignature(6, 8), tempo=60.0)
    assert onsets(jig.to_controls(), 1.5, 1.55) > 0.1  # the snare on the second beat


# Transposition


@pytest.mark.parametrize(
    "label, semitones, key, result",
    [("C", 2, "D major", "D"), ("F#m7b5/E", 1, "", "Gm7b5/F"), ("Bb7", 2, "", "C7"), ("N.C.", 3, "", "N.C."),
     ("G:maj7/3", -2, "Eb major", "F:maj7/3"), ("C", 1, "Db major", "Db"), ("C", 1, "A major", "C#"),
     ("Es7", -3, "", "D7"), ("As", 1, "", "B"), ("Asus4", 1, "", "Bbsus4"), ("D/C7", 1, "Ab major", "Eb/Db7"), ("D7/9", 2, "", "E7/9"), ("E", 4, "E major", "G#")],
)  # fmt: skip
def test_transposed_chords_are_spelled_in_their_key(label, semitones, key, result):
    assert transpose_chord(label, semitones, key) == result


def test_keys():
    assert [key_signature(key) for key in ("C", "Am", "Eb major", "F# minor", "D dorian", "G mixolydian", "e")] == [
        0, 0, -3, 3, 0, 0, 1,
    ]  # fmt: skip
    assert transpose_key("Bb major", 2) == "C major" and transpose_key("E minor", 1) == "F minor"
    assert note_name(3, "E minor") == "D#" and note_name(3, "C minor") == "Eb" and note_name(6) == "F#"
    with pytest.raises(InputError, match="'D dorian'"):
        sheet(bar("C"), key="H-Dur")


def test_transpose():
    song = sheet(
        Bar(F(4), (ChordMark("C"), ChordMark("G/B", F(2))), (Note(60, F(0), F(1)),)),
        bar("D", key="D major"),
        key="C major",
    )
    moved = song.transpose(3)
    assert moved.chords == (("Eb", 0), ("Bb/D", 2), ("F", 4))
    assert (moved.key, moved.bars[1].key, moved.melody[0][0]) == ("Eb major", "F major", 63)
    assert moved.transpose(-3) == song
    with pytest.raises(InputError, match="MIDI number"):
        song.transpose(48).transpose(48)


# Layout


def test_timelines_are_divided_into_bars():
    bars = bars_from_timeline(
        [("C", F(1)), ("G", F(5)), ("Am", F(7))],
        [(60, F(0), F(1)), (64, F(3), F(10))],
        [("kick", F(1), 1.0)],
        time_signatures=[(F(0), TimeSignature(4, 4)), (F(9), TimeSignature(3, 4))],
        pickup=F(1),
    )
    assert [item.length for item in bars] == [1, 4, 4, 3]
    assert [item.time_signature for item in bars] == [None, None, None, TimeSignature(3, 4)]
    assert bars[2].chords == (ChordMark("G", F(0)), ChordMark("Am", F(2)))
    song = LeadSheet((Section("", bars),))
    assert song.melody == ((60, F(0), F(1)), (64, F(3), F(10)))
    assert [note.tied for item in bars for note in item.notes] == [False, True, True, False]
    with pytest.raises(InputError, match="empty"):
        bars_from_timeline()


# Checks


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: sheet(), "1 to 10,000 bars"),
        (lambda: sheet(bar("C"), bar("Xyz")), "bar 2 has the unknown chord 'Xyz'"),
        (lambda: sheet(Bar(F(4), (ChordMark("C", F(4)),))), "bar 1 lasts 4 quarter notes, but a chord begins at 4"),
        (lambda: sheet(Bar(F(4), (), (Note(60, F(3), F(2)),))), "a note lasts from 3 to 5"),
        (lambda: sheet(Bar(F(4), (), (), (Hit("gong", F(0)),))), "drums are kick"),
        (lambda: sheet(bar("C"), tempo=0), "`tempo`"),
        (lambda: sheet(bar("C"), tempo=5000), "quarter notes per minute"),
        (lambda: sheet(bar("C"), time_signature="4/5"), "the lower number"),
        (lambda: sheet(bar("C"), ending="stop"), "cut, ring, fade"),
        (lambda: sheet(bar("C", jump="D.X.")), "D.C. al Fine"),
        (lambda: sheet(bar("C"), groove="polka march"), "`groove`: unknown groove 'polka march'"),
        (lambda: sheet(Bar(F(4), ("C",))), "`chords` has to contain `ChordMark`s, but contains 'C'"),
        (lambda: sheet(Bar(F(4), (), (Note(60.5, F(0), F(1)),))), "MIDI number 60.5"),
        (lambda: sheet(bar("C", endings=("x",))), "ending 'x'"),
        (lambda: sheet(bar("C", repeat_end=2.5)), "repeat or ending 2.5"),
        (lambda: sheet(bar("C", lyrics=5)), "`lyrics`"),
        (lambda: sheet(bar("C"), title="\ud800"), "`title`"),
        (lambda: sheet(bar("C"), swing="no"), "`swing` has to be True or False"),
        (lambda: LeadSheet((Section(5, (bar("C"),)),)), "`name` has to be text"),
        (lambda: LeadSheet((Section("", "C"),)), "`bars` has to be a list"),
        (lambda: Bar("long"), "`length`"),
    ],
)
def test_invalid_sheets(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_numbers_and_lists_are_converted():
    """A bar written by hand needs no fractions."""
    by_hand = Bar(3, [("C", 0), ChordMark("G", 1.5)], [(60, 0, 0.5)], time_signature="3/4")
    assert by_hand == Bar(
        F(3), (ChordMark("C"), ChordMark("G", F(3, 2))), (Note(60, F(0), F(1, 2)),), time_signature=TimeSignature(3, 4)
    )
    song = LeadSheet([Section("", [by_hand])])
    assert isinstance(song.bars[0].chords[1].start, F) and hash(song) == hash(LeadSheet((Section("", (by_hand,)),)))


def test_sheets_are_immutable():
    with pytest.raises(AttributeError):
        sheet(bar("C")).title = "other"


# JSON


@pytest.fixture
def full_sheet() -> LeadSheet:
    first = Bar(
        F(4), (ChordMark("C"), ChordMark("Am7/G", F(7, 3))), (Note(60, F(1, 3), F(2, 3), True, "la"),), (Hit("kick", F(0), 0.5),),
        (TempoMark(90.5, F(3, 2), F(1)),), TimeSignature(6, 8), "Eb minor", "la la", True, 2, (1, 3), True, True, True, True,
        True, "D.C. al Coda",
    )  # fmt: skip
    sections = (Section("Verse", (first, bar("G")), "soft", "waltz", 3, True), Section("", (bar("F"),)))
    return LeadSheet(
        sections, "Title", "Ann", 99.5, F(3, 2), TimeSignature(6, 8), "C major", "rock", "disco", True, "fade"
    )


def test_json_keeps_everything(full_sheet, tmp_path):
    full_sheet.save(tmp_path / "song.json")
    assert read_lead_sheet(tmp_path / "song.json") == full_sheet


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda text: text[:-3], "not JSON"),
        (lambda text: "[" * 100_000, "not JSON"),
        (lambda text: text.replace('"title"', '"titel"'), "unknown field 'titel'"),
        (lambda text: text.replace('"7/3"', '"7/0"'), "quarter notes"),
        (lambda text: text.replace('"7/3"', '"1e999999999"'), "quarter notes"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "version"),
        (lambda text: text.replace("diffusers-jasco lead sheet", "other"), "not a lead sheet"),
        (lambda text: text.replace('"swing": true', '"swing": 1'), "true or false"),
        (lambda text: text.replace("99.5", "1" + 400 * "0"), "`tempo`"),
        (lambda text: text.replace("99.5", "1" + 5000 * "0"), "not JSON"),
        (lambda text: text.replace("99.5", "NaN"), "`tempo`"),
        (lambda text: text.replace('"Title"', '"\\ud800"'), "surrogate"),
        (lambda text: text.replace('"pitch": 60', '"pitch": "C4"'), "section 1, bar 1: 'pitch'"),
        (lambda text: text.replace('"F"', "5"), "section 2, bar 1: 'label'"),
    ],
)
def test_json_of_others(full_sheet, change, message):
    with pytest.raises(InputError, match=message):
        read_json(change(to_json(full_sheet)), "song.json")


def test_saving(full_sheet, tmp_path):
    with pytest.raises(InputError, match="`path` has to end in"):
        full_sheet.save(tmp_path / "song.docx")
    with pytest.raises(FileNotFoundError):
        full_sheet.save(tmp_path / "none" / "song.json")
