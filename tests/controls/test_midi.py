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

"""Reading MIDI files, including damaged files that players accept."""

import struct
import time
from pathlib import Path

import numpy as np
import pytest

from diffusers_jasco.controls.midi import split_track
from diffusers_jasco.controls.midi_names import decode_name
from diffusers_jasco.controls.midi_parsing import MAX_NOTES, load_midi
from diffusers_jasco.inputs import InputError, read_chords, read_drums, read_melody

from .midi_files import DIVISION, END, meta, midi, note_events, number, song, track


CASES = Path(__file__).parents[1] / "fixtures/cases"
MELODY = [(60, 0.0, 0.5), (62, 0.5, 1.0), (64, 1.0, 1.5)]
EVENTS = note_events(MELODY)
GOOD = track(EVENTS)


def notes_of(path, index=0):
    read = load_midi(path, "melody").tracks[index]
    return [
        (int(pitch), round(float(start), 4), round(float(end), 4))
        for pitch, start, end in zip(read.pitches, read.starts, read.ends)
    ]


DAMAGED = {
    "key signature with 16 sharps": midi(track(meta(0x59, b"\x10\x05") + EVENTS)),
    "key signature of one byte": midi(track(meta(0x59, b"\x01") + EVENTS)),
    "tempo of two bytes": midi(track(meta(0x51, b"\x07\xa1") + EVENTS)),
    "tempo of 0": midi(track(meta(0x51, b"\0\0\0") + EVENTS)),
    "time signature of 0": midi(track(meta(0x58, b"\0\x02\x18\x08") + EVENTS)),
    "time signature of one byte": midi(track(meta(0x58, b"\x04") + EVENTS)),
    "no end of the track": midi(track(EVENTS, end=b"")),
    "no end of the first of two tracks": midi(track(EVENTS, end=b""), track(note_events([(40, 0, 1)]))),
    "size beyond the end": midi(track(EVENTS, size=10_000)),
    "size too large before another track": midi(track(EVENTS, size=60), track(note_events([(40, 0, 1)]))),
    "size too small": midi(track(EVENTS, size=9)),
    "size of 0": midi(track(EVENTS, size=0)),
    "too many tracks declared": midi(GOOD, count=7),
    "too few tracks declared": midi(GOOD, track(note_events([(40, 0, 1)])), count=1),
    "no track declared": midi(GOOD, count=0),
    "unknown format": midi(GOOD, format=9),
    "no division": midi(GOOD, division=0),
    "garbage before the header": b"garbage\r\n" + midi(GOOD),
    "MacBinary header": bytes(128) + midi(GOOD),
    "no header": GOOD,
    "short header": b"MThd\0\0\0\x06\0\1" + GOOD,
    "data without an event": midi(track(b"\x00\x3c\x50" + EVENTS)),
    "real-time events": midi(track(b"\x00\xf8\x00\xfe" + EVENTS)),
    "system common event": midi(track(b"\x00\xf2\x01\x02" + EVENTS)),
    "controller above 127": midi(track(b"\x00\xb0\x07\xc8" + EVENTS)),
    "velocity above 127": midi(track(b"\x00\x90\x3c\xff" + EVENTS[4:])),
    "endless system exclusive": midi(track(b"\x00\xf0\x83\xff\xff\x7f\x43\x10\xf7" + EVENTS)),
    "note without an end": midi(track(EVENTS + b"\x00\x90\x14\x40")),
}
UNDAMAGED = {
    "plain": midi(GOOD),
    "format 0": midi(GOOD, format=0),
    "RIFF": (b"RIFF" + struct.pack("<I", 12 + len(midi(GOOD))) + b"RMIDdata" + struct.pack("<I", len(midi(GOOD)))
             + midi(GOOD)),
    "zeros after the last track": midi(GOOD) + bytes(50),
    "line feed after the last track": midi(GOOD) + b"\n",
    "unknown chunk between tracks": midi(b"XFIH" + struct.pack(">I", 3) + b"abc" + GOOD, count=1),
    "unknown chunk after tracks": midi(GOOD) + b"XFKM" + struct.pack(">I", 3) + b"abc",
    "longer header": b"MThd\0\0\0\x0a" + midi(GOOD)[8:14] + b"\0\0\0\0" + GOOD,
    "running status": midi(track(b"".join(b"\0\x90" * (i == 0) + b"\0" * (i > 0) + bytes([pitch, 80])
                                          + number(480) + bytes([pitch, 0]) for i, (pitch, *_) in enumerate(MELODY)))),
    "running status after a meta event": midi(track(b"\0\x90\x3c\x50" + meta(0x01, b"la") + number(480) + b"\x3c\0"
                                                    + b"\0\x3e\x50" + number(480) + b"\x3e\0"
                                                    + b"\0\x40\x50" + number(480) + b"\x40\0")),
    "events after the end": midi(track(EVENTS + END + b"\x00\x90\x20\x40")),
    "channel prefix and sequencer events": midi(track(meta(0x20, b"\0") + meta(0x7F, bytes(300)) + EVENTS)),
    "system exclusive": midi(track(b"\x00\xf0\x05\x7e\x7f\x09\x01\xf7" + EVENTS)),
    "tempo on another track": midi(GOOD, track(meta(0x51, b"\x07\xa1\x20"))),
    "SMPTE": midi(track(note_events(MELODY, bpm=60 * 1000 / DIVISION)), division=0x10000 - (25 << 8) + 40),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_read_with_one_warning(name, tmp_path, warnings):
    path = tmp_path / "song.mid"
    path.write_bytes(DAMAGED[name])
    assert notes_of(path)[-3:] == MELODY or notes_of(path)[:3] == MELODY
    warnings.clear()
    load_midi(path, "melody")
    assert len(warnings.records) == 1 and "song.mid is damaged and was read as far as possible" in warnings.text


@pytest.mark.parametrize("name", UNDAMAGED)
def test_unusual_files_are_read_without_a_warning(name, tmp_path, warnings):
    path = tmp_path / "song.mid"
    path.write_bytes(UNDAMAGED[name])
    assert notes_of(path) == MELODY and not warnings.records


def test_truncated_files_are_read_as_far_as_possible(tmp_path, warnings):
    content = midi(track(EVENTS), track(note_events([(40, 0.0, 1.5)])))
    for length in range(26, len(content)):
        path = tmp_path / "song.mid"
        path.write_bytes(content[:length])
        warnings.clear()
        try:
            read = load_midi(path, "melody")
        except InputError:
            assert length < 22
            continue
        assert warnings.records
        whole = {(pitch, start) for pitch, start, _ in (*MELODY, (40, 0.0, 0))}
        assert {(int(p), float(s)) for part in read.tracks for p, s in zip(part.pitches, part.starts)} <= whole


def test_patterns_of_format_2_are_placed_one_after_another(tmp_path, warnings):
    path = tmp_path / "song.mid"
    path.write_bytes(midi(GOOD, GOOD, format=2))
    assert notes_of(path) == MELODY
    assert notes_of(path, 1) == [(pitch, start + 1.5, end + 1.5) for pitch, start, end in MELODY]
    assert "format 2" in warnings.text


def test_tempo_changes_on_any_track(tmp_path):
    path = tmp_path / "song.mid"
    tempo = meta(0x51, (1_000_000).to_bytes(3, "big"), delta=DIVISION)  # 60 BPM from the second beat on
    path.write_bytes(midi(GOOD, track(tempo)))
    assert notes_of(path) == [(60, 0.0, 0.5), (62, 0.5, 1.5), (64, 1.5, 2.5)]


def test_keys_that_are_pressed_again_while_they_sound(tmp_path, warnings):
    path = tmp_path / "song.mid"
    # The start of the second note precedes the end of the first one at the same tick.
    events = b"\0\x90\x3c\x50" + number(480) + b"\x90\x3c\x50\0\x80\x3c\0" + number(480) + b"\x80\x3c\0"
    path.write_bytes(midi(track(events)))
    assert notes_of(path) == [(60, 0.0, 0.5), (60, 0.5, 1.0)] and not warnings.records


def test_an_invalid_key_signature(warnings):
    assert notes_of(CASES / "key_signature_16_sharps.mid") == [(60, 0.0, 0.5), (64, 0.5, 1.0), (67, 1.0, 1.5)]
    assert "invalid key signature" in warnings.text


@pytest.mark.parametrize("suffix", [".mid", ".MID", ".midi", ".kar", ".rmi"])
def test_suffixes(suffix, tmp_path):
    path = tmp_path / f"song{suffix}"
    path.write_bytes(midi(GOOD))
    assert read_melody(str(path), 150, 100.0).any() and read_chords(path)


@pytest.mark.parametrize(
    "content", [b"", b"MThd", b"MTrk", b"<html>", b"RIFF\0\0\0\0WAVEfmt ", b"MTM\x10Song", bytes(100)]
)
def test_other_files_are_rejected(content, tmp_path):
    path = tmp_path / "song.mid"
    path.write_bytes(content)
    for read, argument in (
        (read_melody, "melody"),
        (lambda path, *_: read_chords(path), "chords"),
        (read_drums, "drums"),
    ):
        with pytest.raises(InputError, match="can't be read as MIDI|has no (track with )?notes|no drums") as error:
            read(path, 10, 10)
        assert error.value.argument == argument


def test_malicious_files_take_bounded_time(tmp_path):
    path = tmp_path / "song.mid"
    far = b"\xff\xff\xff\x7f"
    contents = {
        "huge delta times": midi(track(EVENTS + (far + b"\x90\x3c\x50" + far + b"\x80\x3c\x00") * 5000)),
        "tempo of a microsecond": midi(track(meta(0x51, b"\0\0\1") + EVENTS * 300)),
        "slowest tempo": midi(track(meta(0x51, b"\xff\xff\xff") + EVENTS * 300)),
        "many tempos": midi(track(meta(0x51, b"\0\0\1", 1) * 100_000 + EVENTS)),
        "many small chunks": midi(GOOD) + (b"abcd" + bytes(4)) * 300_000,
        "many system exclusives": midi(track(b"\0\xf0\xff\xff\xff\x7f" * 200_000)),
        "many tracks": midi(*[track(b"", end=b"")] * 100_000, count=1),
        "many controllers": midi(track(b"\0\x90\x3c\x50" + b"\0\xb0\x7b\0" * 200_000)),
    }
    begin = time.monotonic()
    for content in contents.values():
        path.write_bytes(content)
        for read in (
            lambda: read_melody(path, 500, 50.0),
            lambda: read_chords(path),
            lambda: read_drums(path, 8000, 8000),
        ):
            try:
                read()
            except InputError:
                pass
    assert time.monotonic() - begin < 60
    path.write_bytes(midi(track(b"\0\x90\x3c\x50" + b"\0\x3c\x50" * (MAX_NOTES + 1))))
    with pytest.raises(InputError, match="more than 400000 notes"):
        load_midi(path, "melody")


def test_names_in_many_encodings():
    for text, encoding in [
        ("Melody", "ascii"), ("Mélodie", "utf-8"), ("Mélodie", "latin-1"), ("メロディ", "shift_jis"), ("歌", "shift_jis"),
        ("月島雫(ボーカル)", "shift_jis"), ("旋律", "utf-8"), ("主旋律", "gbk"), ("멜로디", "euc_kr"), ("Мелодия", "cp1251"),
        ("voz", "utf-16"), ("Melodía", "latin-1"),
    ]:  # fmt: skip
        assert decode_name(text.encode(encoding)) == text
    assert decode_name(b"Bass\0\0") == "Bass" and decode_name(b"\x1b[31mred\n") == "[31mred"


def test_paths_with_a_track(tmp_path):
    assert split_track("song.mid#vocals") == ("song.mid", "vocals")
    assert split_track(Path("a/b.KAR#3")) == (str(Path("a/b.KAR")), "3")
    for plain in ("song.mid", "C#:0 F#m:2", "song#2.mid", "song.wav#3"):
        assert split_track(plain) == (plain, None)
    odd = song(tmp_path / "take.mid#2", [("", 0, 0, MELODY)])
    assert split_track(odd) == (str(odd), None)


def test_tempo_map_is_linear_between_its_points(tmp_path):
    read = load_midi(song(tmp_path / "song.mid", [("", 0, 0, MELODY)], bpm=90), "melody")
    assert np.allclose(read.to_seconds(np.array([0, 1.5, 3])), [0, 1, 2])
    assert np.allclose(read.to_beats(np.array([0, 1, 2])), [0, 1.5, 3])
