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

"""MIDI files as lead sheets, and back."""

import random
import struct
import time
from dataclasses import replace
from fractions import Fraction as F

import pytest

from diffusers_jasco.controls import midi_parsing
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
from diffusers_jasco.controls.lead_sheet.midi.reader import read_midi
from diffusers_jasco.controls.lead_sheet.midi.writer import to_midi
from diffusers_jasco.controls.midi_parsing import load_midi
from diffusers_jasco.inputs import InputError

from ..midi_files import DIVISION, END, meta, midi, note_events, number, track


TUNE = [(60, 0, 1), (62, 1, 1.5), (64, 1.5, 2), (65, 2, 4)]  # in beats; one beat lasts half a second at 120 BPM
BLOCKS = [(48, 60, 64, 67), (53, 60, 65, 69)]  # C, F


def in_beats(notes):
    return note_events([(pitch, start / 2, end / 2) for pitch, start, end in notes])


def blocks(beats: int = 2):
    return in_beats([(p, beats * i, beats * i + beats) for i, notes in enumerate(BLOCKS) for p in notes])


def timed(*events: tuple[float, bytes]) -> bytes:
    """Meta events `(beat, event without its delta time)`."""
    data, now = b"", 0
    for beat, event in events:
        data += number(round(beat * DIVISION) - now) + event[1:]
        now = round(beat * DIVISION)
    return data


def signature(numerator: int, denominator: int) -> bytes:
    return meta(0x58, bytes([numerator, denominator.bit_length() - 1, 24, 8]))


def tempo(bpm: float) -> bytes:
    return meta(0x51, round(6e7 / bpm).to_bytes(3, "big"))


def write(path, *tracks: bytes, **header) -> str:
    path.write_bytes(midi(*tracks, **header))
    return str(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "song.mid"


# Reading


def test_a_song_of_a_sequencer(path):
    """Melody, chords and drums on their tracks; tempo and key changes in other tracks than the first; markers."""
    drums = b"".join(b"\0\x99" + bytes([key, 100]) + b"\x81\x70\x89" + bytes([key, 0]) for key in (36, 42, 38, 42))
    write(
        path,
        track(timed((0, signature(4, 4)), (0, meta(0x59, b"\xfd\0")), (0, meta(0x06, b"[Verse]"))), "My Song"),
        track(in_beats([*TUNE, *((p, s + 4, e + 4) for p, s, e in TUNE)]), "Vocals"),
        track(blocks(4), "Piano"),
        track(drums, "Kit"),
        track(
            timed((0, tempo(90)), (4, tempo(180)), (4, meta(0x59, b"\x02\x01")), (4.1, meta(0x06, b"Chorus (loud)"))),
            "Tempo",
        ),
    )
    sheet = read_lead_sheet(path)
    assert (sheet.title, sheet.tempo, sheet.key, sheet.time_signature) == ("My Song", 90, "Eb major", (4, 4))
    assert sheet.chords == (("C", 0), ("F", 4))
    assert sheet.melody[:4] == tuple((p, F(s), F(e)) for p, s, e in TUNE) and len(sheet.melody) == 8
    assert [(drum, start) for drum, start, _ in sheet.hits] == [
        ("kick", 0), ("hat", F(1, 2)), ("snare", 1), ("hat", F(3, 2))
    ]  # fmt: skip
    assert [(section.name, len(section.bars)) for section in sheet.sections] == [("Verse", 1), ("Chorus (loud)", 1)]
    assert sheet.sections[1].bars[0].tempos == (TempoMark(180),) and sheet.sections[1].bars[0].key == "B minor"
    controls = sheet.to_controls()
    assert controls["chords"] == [("C", 0), ("F", pytest.approx(4 * 60 / 90))]
    assert controls["melody"][4][1:] == (pytest.approx(8 / 3), pytest.approx(3))
    assert controls["duration"] == pytest.approx(4 * 60 / 90 + 4 * 60 / 180)


def test_pickup_and_changes_of_the_time_signature(path):
    write(path, track(timed((0, signature(1, 4)), (1, signature(3, 4)), (7, signature(2, 4))) + END[:0]), track(
        in_beats([(60, 0, 1), (64, 1, 4), (65, 4, 8), (67, 8, 9)]), "Melody"
    ))  # fmt: skip
    sheet = read_midi(path)
    assert [bar.length for bar in sheet.bars] == [1, 3, 3, 2]
    assert sheet.time_signature == (3, 4) and sheet.bars[3].time_signature == (2, 4)
    assert sheet.bars[2].notes == (Note(65, F(0), F(3), tied=True),)
    assert sheet.melody[2] == (65, 4, 8)


def test_positions_are_exact(path):
    """Triplets at 96 ticks per beat are thirds; ticks of a played file stay as they are."""
    notes = b"".join(b"\0\x90\x3c\x40" + number(32) + b"\x80\x3c\0" for _ in range(3))
    late = number(7) + b"\x90\x40\x40" + number(89) + b"\x80\x40\0"
    sheet = read_midi(write(path, track(notes + late, "Melody"), division=96))
    assert sheet.melody == ((60, 0, F(1, 3)), (60, F(1, 3), F(2, 3)), (60, F(2, 3), 1), (64, 1 + F(7, 96), 2))


@pytest.mark.parametrize("part, first", [(None, 60), ("flute", 72), (1, 72), ("song.mid#1", 72)])
def test_the_part_is_chosen(path, part, first):
    write(path, track(in_beats(TUNE), "Lead"), track(in_beats([(72, 0, 4)]), "Flute"))
    source, part = (f"{path}#1", None) if part == "song.mid#1" else (path, part)
    assert read_lead_sheet(source, part).melody[0][0] == first


def test_an_unknown_part(path):
    write(path, track(in_beats(TUNE), "Lead"), track(in_beats([(72, 0, 4)]), "Flute"))
    with pytest.raises(
        InputError, match="`part`: .* has no track 'Oboe' with notes; available tracks: 0 'Lead', 1 'Flute'"
    ):
        read_midi(path, "Oboe")


def test_chords_and_bass_are_no_melody(path, caplog):
    """An unnamed melody is found among chords that are higher and a bass line."""
    high = in_beats([(p + 24, 2 * i, 2 * i + 2) for i, notes in enumerate(BLOCKS) for p in notes])
    bass = in_beats([(36 + i % 5, i, i + 1) for i in range(4)])
    write(path, track(high, "Strings"), track(bass, "Contrabass"), track(in_beats(TUNE), "Oboe"))
    assert [pitch for pitch, *_ in read_midi(path).melody] == [60, 62, 64, 65]
    assert not read_midi(write(path, track(high), track(bass))).melody
    assert "has no melody, only chords or a bass" in caplog.text


def test_files_without_some_parts(path):
    sheet = read_midi(write(path, track(blocks(), "Piano")))
    assert sheet.chords == (("C", 0), ("F", 2)) and not sheet.melody and not sheet.hits
    low = in_beats([(p, 2 * i, 2 * i + 2) for i, notes in enumerate([(38, 42, 45), (43, 47, 50)]) for p in notes])
    sheet = read_midi(write(path, track(low)))
    assert sheet.chords == (("D", 0), ("G", 2)) and not sheet.melody and not sheet.hits
    sheet = read_midi(write(path, track(in_beats(TUNE))))
    assert sheet.melody and not sheet.chords
    sheet = read_midi(write(path, track(b"\0\x99\x24\x64\x60\x89\x24\0")))
    assert sheet.hits == (("kick", 0, 100 / 127),) and not sheet.melody and not sheet.chords
    with pytest.raises(InputError, match="has no melody, no chords and no drums"):
        read_midi(write(path, track(tempo(100))))


def test_the_melody_of_a_polyphonic_track_is_its_highest_notes(path):
    """Chords below, notes that reach into the next one, and notes under a held one."""
    notes = [(60, 0, 1), (64, 0, 1), (72, 0, 1.05), (71, 1, 2), (55, 1.5, 2), (74, 2, 4), (62, 3, 4)]
    sheet = read_midi(write(path, track(in_beats(notes), "Melody")))
    assert sheet.melody == ((72, 0, 1), (71, 1, 2), (74, 2, 4))


def test_lyrics(path):
    words = timed((0, meta(5, b"Twin")), (1, meta(5, b"kle ")), (1.5, meta(5, b"lit")), (2, meta(5, "été".encode())))
    sheet = read_midi(write(path, track(words), track(in_beats(TUNE), "Melody")))
    assert [note.lyric for note in sheet.bars[0].notes] == ["Twin-", "kle", "lit-", "été-"]
    karaoke = timed(
        (0, meta(1, b"@KMIDI KARAOKE FILE")), (0, meta(1, b"\\Twin")), (1, meta(1, b"kle")), (1.5, meta(1, b"/lit")),
        (2, meta(1, b"tle"))
    )  # fmt: skip
    sheet = read_midi(write(path, track(karaoke), track(in_beats(TUNE), "Melody")))
    assert sheet.lyrics == "Twinkle little"
    lines = timed((0, meta(5, b"How I wonder")), (2.75, meta(5, b"what you are")))
    assert read_midi(write(path, track(lines), track(in_beats(TUNE), "Melody"))).lyrics == "How I wonder what you are"


def test_chord_names_in_markers(path):
    """Some programs write chord symbols as markers or lyrics; rehearsal letters are sections."""
    names = timed(*((2 * i, meta(6, name)) for i, name in enumerate([b"Am7", b"D7", b"G", b"C/E"])))
    sheet = read_midi(write(path, track(names), track(in_beats(TUNE), "Melody")))
    assert sheet.chords == (("Am7", 0), ("D7", 2), ("G", 4), ("C/E", 6)) and sheet.sections[0].name == ""
    names = timed(*((i, meta(5, name)) for i, name in enumerate([b"am", b"D7", b"G sus4", b"G"])))
    sheet = read_midi(write(path, track(names), track(in_beats(TUNE), "Melody")))
    assert sheet.chords == (("Am", 0), ("D7", 1), ("Gsus4", 2), ("G", 3)) and sheet.lyrics == ""
    words = timed(*((i, meta(5, b"do ")) for i in range(4)))
    sheet = read_midi(write(path, track(words), track(in_beats([(60, i, i + 1) for i in range(4)]), "Melody")))
    assert sheet.lyrics == "do do do do" and not sheet.chords
    letters = timed(*((4 * i, meta(6, name)) for i, name in enumerate([b"A", b"B", b"A", b"C"])))
    tune = in_beats([(60, 0, 16)])
    sheet = read_midi(write(path, track(letters), track(tune, "Melody")))
    assert [section.name for section in sheet.sections] == ["A", "B", "A", "C"] and not sheet.chords


def test_smpte_time(path, caplog):
    """25 frames per second with 40 ticks each: milliseconds."""
    notes = b"\0\x90\x3c\x40" + number(500) + b"\x80\x3c\0"
    sheet = read_midi(write(path, track(notes, "Melody"), division=0x10000 - (25 << 8) + 40))
    assert sheet.melody == ((60, 0, 1),) and sheet.tempo == 120
    assert "SMPTE frames instead of beats" in caplog.text


def test_the_last_tempo_at_a_position_applies(path):
    events = timed((0, tempo(140)), (0, tempo(70)), (1, tempo(50)), (1, tempo(100)))
    sheet = read_midi(write(path, track(events), track(in_beats(TUNE), "Melody")))
    assert sheet.tempo == 70 and sheet.bars[0].tempos == (TempoMark(100, start=F(1)),)


def test_hostile_files(path, caplog):
    write(path, track(tempo(1600) + b"\0\x90\x3c\x40" + b"\xff\xff\xff\x7f\x80\x3c\0"), division=1)
    with pytest.raises(InputError, match="at most 10,000 bars"):
        read_midi(path)
    write(path, track(timed((0, meta(0x51, b"\0\0\1"))) + in_beats(TUNE), "Melody"))
    assert read_midi(path).tempo == 1600 and "tempos outside 5 to 1600" in caplog.text
    with pytest.raises(FileNotFoundError):
        read_midi("missing.mid")


def test_fuzz(path, monkeypatch):
    """Damaged files are read or refused with an `InputError`."""
    monkeypatch.setattr(midi_parsing, "MAX_SECONDS", 30.0)
    rng = random.Random(0)
    songs = [to_midi(random_sheet(rng)) for _ in range(5)]
    for _ in range(80):
        data = bytearray(rng.choice(songs))
        for _ in range(rng.randint(1, 8)):
            place = rng.randrange(len(data))
            data[place : place + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
        path.write_bytes(data)
        try:
            assert read_midi(path).duration > 0
        except InputError as error:
            assert str(error)


# Writing


def random_sheet(rng: random.Random, swing: bool = False) -> LeadSheet:
    signature = TimeSignature(*rng.choice([(4, 4), (3, 4), (6, 8), (7, 8)]))
    grid = rng.choice([F(1, 4), F(1, 3), F(1, 5)])
    length = rng.randint(2, 8) * signature.length
    pickup = F(1, 2) if signature == (4, 4) else F(0)
    places = [grid * i for i in range(int(length / grid))]
    chords = [
        ("C Am7/G F#m7b5 N Bb7(b9) G7sus4".split()[rng.randrange(6)], p) for p in places[1:] if rng.random() < 0.1
    ]
    starts = sorted(rng.sample(places, len(places) // 3))
    notes = [(rng.randint(50, 80), a, b) for a, b in zip(starts, [*starts[1:], length]) if rng.random() < 0.8]
    hits = [(rng.choice(["kick", "snare", "hat"]), p, 1.0) for p in places if rng.random() < 0.2]
    bars = bars_from_timeline(
        [("Em", F(0)), *chords], [*notes, (70, length, length + 1)], hits, length + 1, [(F(0), signature)], pickup
    )
    return LeadSheet((Section("Verse", bars),), tempo=rng.uniform(40, 200), time_signature=signature, swing=swing)


@pytest.mark.parametrize("swing", [False, True])
def test_round_trips_are_exact(path, swing):
    rng = random.Random(1)
    for _ in range(10):
        sheet = random_sheet(rng, swing)
        sheet.save(path)
        copy = read_lead_sheet(path)
        assert (copy.chords, copy.melody, copy.hits) == (sheet.chords, sheet.melody, tuple(sorted(
            sheet.hits, key=lambda hit: (hit[1], hit[0])
        )))  # fmt: skip
        assert [bar.length for bar in copy.bars] == [bar.length for bar in sheet.bars]
        assert (copy.time_signature, copy.swing, copy.sections[0].name) == (sheet.time_signature, swing, "Verse")
        assert copy.duration == pytest.approx(sheet.duration, rel=1e-5)


def test_words_key_and_ending_survive(path):
    notes = (Note(60, F(0), F(1), lyric="Twin-"), Note(60, F(1), F(1), lyric="kle"), Note(67, F(2), F(2), True))
    bars = (
        Bar(F(4), (ChordMark("Am7/G"),), notes, tempos=(TempoMark(90, F(1), F(2)),)),
        Bar(F(4), notes=(Note(67, F(0), F(4)),), key="F# minor"),
    )
    sections = (Section("Strophe 1", bars, repeats=2), Section("Refrain", (Bar(F(4), (ChordMark("N"),)),)))
    sheet = LeadSheet(sections, "Été", "Ж.", 100, key="Eb major", ending="ring")
    sheet.save(path)
    copy = read_lead_sheet(path)
    assert (copy.title, copy.composer, copy.key, copy.ending) == ("Été", "Ж.", "Eb major", "ring")
    assert [(section.name, len(section.bars)) for section in copy.sections] == [
        ("Strophe 1", 2), ("Strophe 1", 2), ("Refrain", 1)
    ]  # fmt: skip
    assert copy.chords == sheet.expand().chords and copy.bars[1].key == "F# minor"
    assert [note.lyric for note in copy.bars[0].notes] == ["Twin-", "kle", ""]
    assert copy.melody == sheet.expand().melody
    assert copy.duration == pytest.approx(sheet.duration, rel=1e-5)


def test_tracks_of_other_programs(path):
    """A General MIDI file with one track per part, whose notes are at the times of `to_controls`."""
    section = Section("", (Bar(F(4), (ChordMark("C"), ChordMark("Dm", F(2))), (Note(60, F(1), F(2)),)),))
    sheet = LeadSheet((section,), groove="rock backbeat", tempo=60)
    data = to_midi(sheet)
    assert data[:4] == b"MThd" and struct.unpack(">HHH", data[8:14]) == (1, 4, 480)
    assert [name in data for name in (b"Melody", b"Chords", b"Drums", b"chord: Dm")] == [True] * 4
    path.write_bytes(data)
    melody, chords, drums = load_midi(path, "source").tracks
    assert (melody.name, melody.starts.tolist(), melody.ends.tolist()) == ("Melody", [1], [3])
    assert (chords.channel, chords.program, sorted(set(chords.pitches[:4] % 12))) == (1, 0, [0, 4, 7])
    assert chords.ends.tolist() == [2] * 4 + [4] * 4  # held until the next chord
    assert drums.is_drum and sorted(set(drums.pitches)) == [36, 38, 42]
    silent = replace(sheet, groove=None, sections=(Section("", (Bar(F(4), (ChordMark("C"),)),)),))
    assert b"Drums" not in to_midi(silent) and b"Melody" not in to_midi(silent)


def test_hits_of_the_sheet_replace_the_groove(path):
    bar = Bar(F(4), hits=(Hit("cowbell", F(1), 0.5),))
    LeadSheet((Section("", (bar,)),), groove="rock backbeat").save(path)
    ((drum, start, velocity),) = read_midi(path).hits
    assert (drum, start, velocity) == ("cowbell", 1, pytest.approx(0.5, abs=0.01))


def test_many_incompatible_positions():
    bars = tuple(Bar(F(4), notes=(Note(60, F(1, 1009 + 2 * number), F(1)),)) for number in range(1000))
    begin = time.process_time()
    to_midi(LeadSheet((Section("", bars),)))
    assert time.process_time() - begin < 2


def test_own_files_without_a_melody_are_read_without_a_warning(path, caplog):
    sheet = LeadSheet((Section("A", (Bar(F(4), (ChordMark("C"),)), Bar(F(4), (ChordMark("G7"),)))),))
    sheet.save(path)
    assert read_midi(path).chords == sheet.chords and not caplog.records


def test_a_melody_of_low_notes_is_not_a_drum_track(path):
    """Its keys are those of drums, and it is the only track."""
    notes = tuple(Note(pitch, F(index), F(1)) for index, pitch in enumerate((36, 38, 36, 38)))
    sheet = LeadSheet((Section("", (Bar(F(4), notes=notes),)),))
    sheet.save(path)
    assert read_midi(path).melody == sheet.melody and not read_midi(path).hits
