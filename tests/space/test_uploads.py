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


"""Tests of typed text and uploads: chords on the timeline, a melody on the piano roll, drums for listening."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import soundfile


pytest.importorskip("gradio")

import uploads  # noqa: E402
from diffusers_jasco.controls.drum_machine import GROOVES, Groove, play_hits, read_groove  # noqa: E402
from diffusers_jasco.controls.previews import preview_chords, preview_melody  # noqa: E402
from parts import capitalize_chords  # noqa: E402
from settings import FieldError, Settings  # noqa: E402
from uploads import (  # noqa: E402
    chords_from_file,
    chords_from_text,
    collected_warnings,
    melody_from_file,
    pattern_from_file,
    pattern_from_groove,
    read_recording,
    write_drums,
)

from .conftest import ROOT


RATE = 32000


def pairs(value: dict) -> list[tuple[str, float]]:
    return [(chord["label"], chord["beat"]) for chord in value["chords"]]


def write_wav(path, audio, rate=RATE) -> str:
    soundfile.write(path, np.asarray(audio).T, rate)
    return str(path)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("C | Am F | %", [("C", 0), ("Am", 4), ("F", 6), ("Am", 8), ("F", 10)]),
        ("C Am F G", [("C", 0), ("Am", 4), ("F", 8), ("G", 12)]),
        ("ii7 V7 Imaj7", [("Cm7", 0), ("F7", 4), ("Bbmaj7", 8)]),
        ("bVII | I", [("Ab", 0), ("Bb", 4)]),
        ("C:0 Am:2.5", [("C", 0), ("Am", 5)]),
        ("(C, 0.0), (Am, 2.5)", [("C", 0), ("Am", 5)]),
        ("C:maj7 A:min", [("Cmaj7", 0), ("Am", 4)]),
    ],
)
def test_typed_chords(text, expected):
    assert pairs(chords_from_text(text, "Bb major", 4, 10.0, 120.0, repeat=False)) == expected


@pytest.mark.parametrize(
    "text",
    ["C - Am - F - G", "||: C | Am | F | G :||", "c am f g", "C → Am → F → G", "c, am, f, g", "c:0 am:2 f:4 g:6"],
)
def test_common_notations_of_progressions(text):
    found = chords_from_text(text, "C major", 4, 8.0, 120.0, repeat=False)
    assert pairs(found) == [("C", 0), ("Am", 4), ("F", 8), ("G", 12)]


def test_lower_case_chords():
    assert capitalize_chords("am/g bbm7b5 | f#dim/c# Cadd9 6/9") == "Am/G Bbm7b5 | F#dim/C# Cadd9 6/9"


def test_a_progression_that_is_too_long_for_the_music():
    with collected_warnings() as warnings:
        chords_from_text("C | F | G | C", "C major", 4, 4.0, 120.0, repeat=True)
    assert warnings == ["The progression has 4 bars, but only 2 fit into 4 seconds at this tempo."]


def test_typed_chords_repeat_to_the_end_of_the_music():
    value = chords_from_text("C | G |", "C major", 3, 10.0, 90.0, repeat=True)
    assert pairs(value) == [("C", 0), ("G", 3), ("C", 6), ("G", 9), ("C", 12)]
    assert (value["beats_per_bar"], value["bars"]) == (3, 5)


@pytest.mark.parametrize(
    "text, message",
    [
        ("C | H | F", "^Chord 2: unknown chord 'H'. Did you mean 'B'"),
        ("C:0 F:1 H:2", "^Chord 3: unknown chord 'H'"),
        ("(C, 0), (D)", "^Chord 2 has to be"),
        ("C | | F", "^Bar 2 is empty"),
        ("", "^Type some"),
        ("I VIII", "^Bar 2: 'VIII'"),
    ],
)
def test_text_that_is_not_chords(text, message):
    with pytest.raises(FieldError, match=message) as error:
        chords_from_text(text, "C major", 4, 10.0, 120.0, False)
    assert error.value.field == "chords" and "`" not in str(error.value)


def test_chords_of_a_lab_file_from_a_start_time(tmp_path):
    path = tmp_path / "song.lab"
    path.write_text("0 2 C:maj\n2 4 A:min\n4 8 F:maj\n")
    assert pairs(chords_from_file(str(path), 3.0, 4, 10.0, 120.0)) == [("Am", 0), ("F", 2)]


def test_chords_of_a_recording(tmp_path):
    song = write_wav(tmp_path / "song.wav", preview_chords([("C", 0), ("Am", 2), ("F", 4), ("G", 6)], 8.0, RATE))
    found = pairs(chords_from_file(song, 0, 4, 8.0, 120.0))
    assert [label for label, _ in found] == ["C", "Am", "F", "G"]
    assert [beat for _, beat in found] == pytest.approx([0, 4, 8, 12], abs=0.5)


def test_a_hummed_melody(tmp_path):
    melody = [(60, 0.0, 0.9), (64, 1.0, 1.9), (67, 2.0, 2.9)]
    hum = write_wav(tmp_path / "hum.wav", preview_melody(melody, 3.0, RATE))
    value = melody_from_file(hum, None, True, 3.0, 60.0)
    longest = sorted(value["notes"], key=lambda note: -note["beats"])[:3]
    assert sorted(note["midi"] for note in longest) == [60, 64, 67]
    assert sorted(note["beat"] for note in longest) == pytest.approx([0, 1, 2], abs=0.15)


def test_a_midi_file(tmp_path):
    pretty_midi = pytest.importorskip("pretty_midi")
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(pretty_midi.Instrument(0, name="lead"))
    midi.instruments[0].notes += [
        pretty_midi.Note(100, pitch, start, start + 0.5) for start, pitch in enumerate((60, 62, 64))
    ]
    midi.write(str(tmp_path / "melody.mid"))
    value = melody_from_file(str(tmp_path / "melody.mid"), 1.0, True, 10.0, 120.0)
    assert [(note["midi"], note["beat"]) for note in value["notes"]] == [(62, 0), (64, 2)]


def test_the_track_of_a_midi_file():
    song = str(ROOT / "tests/fixtures/cases/named_melody.mid")
    with collected_warnings() as warnings:
        first = melody_from_file(song, 0, True, 2.0, 120.0)["notes"][0]["midi"]
        other = melody_from_file(song, 0, True, 2.0, 120.0, track="bridge")["notes"][0]["midi"]
    assert (first, other) == (60, 79)
    assert warnings[0] == (
        "Track 0 'MELODY' of named_melody.mid is used as the melody (by its name). To use another track, write its"
        " name or number into “Track of a MIDI file”: 1 'BRIDGE'."
    )
    with pytest.raises(
        FieldError, match="named_melody.mid has no track 'flute' with notes; available tracks: 0 'MELODY', 1"
    ):
        melody_from_file(song, 0, True, 2.0, 120.0, track="flute")


def test_drums_of_a_midi_file(tmp_path):
    drums, rate = soundfile.read(
        write_drums(str(ROOT / "tests/fixtures/cases/drums_channel_10.mid"), 0, False, 16000, tmp_path)
    )
    assert rate == 16000 and np.abs(drums[:16000]).max() > 0.1
    with pytest.raises(FieldError, match="named_melody.mid has no drums"):
        write_drums(str(ROOT / "tests/fixtures/cases/named_melody.mid"), 0, False, 16000, tmp_path)


def write_groove(path, groove: Groove) -> str:
    path.write_text(json.dumps(asdict(groove)))
    return str(path)


def steps_of(pattern: dict) -> dict[str, list[bool]]:
    return {drum: [velocity > 0 for velocity in steps] for drum, steps in pattern["tracks"].items()}


def test_a_recorded_beat_becomes_steps(tmp_path):
    """With its tempo, its time signature, and its swing."""
    disco = write_wav(tmp_path / "disco.wav", GROOVES["disco"].render(10.0, RATE))
    with collected_warnings() as warnings:
        assert pattern_from_file(disco, 0, False, 4) == (pattern_from_groove(GROOVES["disco"]), 116.0, 4)
    assert warnings == ["The tempo and the time signature are now 116 BPM and 4/4."]
    waltz = write_wav(tmp_path / "waltz.wav", GROOVES["waltz"].render(10.0, RATE))
    pattern, tempo, beats_per_bar = pattern_from_file(waltz, 0, False, 4)
    assert (steps_of(pattern), tempo, beats_per_bar) == (steps_of(pattern_from_groove(GROOVES["waltz"])), 144.0, 3)
    swinging = Groove(GROOVES["disco"].tracks, 100, swing=0.6)
    pattern, *_ = pattern_from_file(write_wav(tmp_path / "swing.wav", swinging.render(10.0, RATE)), 0, False, 4)
    assert pattern["swing"] == pytest.approx(0.6, abs=0.1)
    # The steps swing as the recording does.
    onsets = Settings(drums="pattern", pattern=pattern, tempo=100.0).groove().onsets(4.0)
    assert np.allclose(onsets, swinging.onsets(4.0), atol=0.003)


def test_the_beat_of_a_full_mix_becomes_steps(tmp_path):
    drums = GROOVES["rock backbeat"].render(8.0, RATE)
    chords = preview_chords([("C", 0), ("F", 2), ("Am", 4), ("G", 6)], 8.0, RATE)
    mix = write_wav(tmp_path / "mix.wav", 0.7 * drums + 0.3 * chords)
    pattern, tempo, beats_per_bar = pattern_from_file(mix, 0, True, 4)
    assert (tempo, beats_per_bar, pattern["steps"]) == (116.0, 4, 16)
    found, expected = steps_of(pattern), steps_of(pattern_from_groove(GROOVES["rock backbeat"]))
    assert (found["kick"], found["snare"]) == (expected["kick"], expected["snare"])


def test_the_beat_of_a_midi_file_becomes_steps():
    pattern, tempo, _ = pattern_from_file(str(ROOT / "tests/fixtures/cases/drums_channel_10.mid"), 0, True, 4)
    assert any(pattern["tracks"]["kick"]) and any(pattern["tracks"]["snare"]) and 40 <= tempo <= 240


def test_recordings_without_a_beat_have_no_steps(tmp_path):
    chords = write_wav(tmp_path / "chords.wav", preview_chords([("C", 0), ("F", 2)], 4.0, RATE))
    with pytest.raises(FieldError, match=r"^No drum hits were found in the recording: give a recording with drums\.$"):
        pattern_from_file(chords, 0, False, 4)
    hiss = write_wav(tmp_path / "noise.wav", 0.2 * np.random.default_rng(0).standard_normal((1, 10 * RATE)))
    with pytest.raises(FieldError, match=r"^The drums do not repeat a pattern.* Use an excerpt\.$") as error:
        pattern_from_file(hiss, 0, False, 4)
    assert error.value.field == "drums"
    once = write_wav(tmp_path / "once.wav", play_hits([("kick", 3.0, 1.0)], 8.0, RATE)[None])
    with collected_warnings() as warnings:
        pattern_from_file(once, 0, False, 4)
    assert "The groove may not be that of the drums" in warnings[0]
    # The page has no fields for these arguments.
    assert "bpm" not in "".join(warnings)


def test_a_groove_file_becomes_steps_or_a_recording(tmp_path):
    groove = Groove({"kick": "x.o.", "open hat": "..x."}, 97.5, steps_per_beat=2)
    path = write_groove(tmp_path / "loop.groove.json", groove)
    pattern, tempo, beats_per_bar = pattern_from_file(path, 0, False, 4)
    assert (pattern["steps"], tempo, beats_per_bar) == (8, 97.5, 4)
    assert pattern["tracks"]["kick"] == [1.0, 0, 0, 0, 0.5, 0, 0, 0]
    assert pattern["tracks"]["open_hat"] == [0, 0, 0, 0, 1.0, 0, 0, 0]
    # Recordings may have any resolution and all drums.
    for name in ("loop", "shuffle", "bossa nova"):
        groove = GROOVES.get(name, groove)
        path = write_groove(tmp_path / f"{name}.groove.json", groove)
        drums, _ = soundfile.read(write_drums(path, 0, True, 16000, tmp_path), dtype="float32")
        assert np.array_equal(drums[: 8 * 16000], groove.render(8.0, 16000)[0]), name
    broken = tmp_path / "broken.groove.json"
    broken.write_text('{"tracks": {"gong": "x..."}}')
    for read in (
        lambda: pattern_from_file(str(broken), 0, False, 4),
        lambda: write_drums(str(broken), 0, False, 16000, tmp_path),
    ):
        with pytest.raises(FieldError, match="^broken.groove.json: “tracks”: unknown drum 'gong'"):
            read()


def test_a_pattern_is_saved_as_a_groove_file():
    import actions

    pattern = {**pattern_from_groove(GROOVES["boom bap"]), "swing": 0.45}
    file = actions.pattern_to_file(pattern, 93.5)
    assert read_groove(file) == Settings(drums="pattern", pattern=pattern, tempo=93.5).groove()
    assert pattern_from_file(file, 0, False, 4) == (pattern, 93.5, 4)
    with pytest.raises(FieldError, match="There are no hits yet"):
        actions.pattern_to_file(Settings().pattern, 120.0)


@pytest.mark.parametrize(
    "groove, message",
    [
        (GROOVES["shuffle"], "This beat has triplets, but the steps here are sixteenths. It can only be used as a"),
        (
            Groove({"kick": "x.x."}, swing=0.6, steps_per_beat=2),
            "This beat has eighths with swing, but the steps here",
        ),
        (Groove({"kick": "x" * 6}, steps_per_beat=6), "This beat has 6 steps per beat, but the steps here are"),
        (Groove({"kick": "x..." * 20}), "This beat has 80 steps, but at most 64 are allowed here"),
        (
            Groove({"ride": "x...", "shaker": "xxxx"}),
            "This beat has only drums that are not available here: ride, sha",
        ),
        (
            Groove({"kick": "....", "ride": "x..."}),
            "This beat has only drums that are not available here: ride. It",
        ),
        (Groove({"kick": "....", "ride": "...."}), "This beat has no hits.$"),
        (Groove({"kick": "x..."}, 300), "This beat has 300 BPM, but the tempo here has to be from 40 to 240 BPM"),
    ],
)
def test_grooves_that_the_step_sequencer_cannot_show(tmp_path, groove, message):
    with pytest.raises(FieldError, match=message) as error:
        pattern_from_file(write_groove(tmp_path / "loop.groove.json", groove), 0, False, 4)
    assert error.value.field == "drums"


def test_parts_of_a_groove_that_are_left_out_are_reported():
    with collected_warnings() as warnings:
        pattern = pattern_from_groove(
            Groove({"kick": "x...", "ride": "x.x.", "tom": "....", "cowbell": "x..."}, swing=0.75)
        )
    assert pattern["tracks"]["kick"] == [1.0, 0, 0, 0] and pattern["swing"] == 1.0
    assert warnings == [
        "Some drums are not available here, and are left out: ride, cowbell.",
        "The swing is 75%, but at most 67% are possible here.",
    ]


@pytest.mark.parametrize(
    "beats, before, after, remark",
    [
        *((4, 4, 4, None), (6, 4, 3, None), (6, 2, 2, None), (8, 3, 4, None), (5, 5, 5, None), (5, 3, 5, None)),
        # Bars have whole repetitions of the pattern.
        *((1, 3, 3, None), (2, 4, 4, None), (3, 6, 6, None), (2, 3, 2, None)),
        (11, 4, 4, "has 11 beats"),
    ],
)
def test_the_time_signature_of_a_pattern(tmp_path, beats, before, after, remark):
    """It changes only where the repetitions of the pattern do not begin with the bars."""
    path = write_groove(tmp_path / "loop.groove.json", Groove({"kick": "x..." * beats}))
    with collected_warnings() as warnings:
        assert pattern_from_file(path, 0, False, before)[2] == after
    assert [remark in warning for warning in warnings[1:]] == [True] * (remark is not None)


def test_silence_has_no_chords_melody_or_drums(tmp_path):
    silence = write_wav(tmp_path / "silence.wav", np.zeros((1, 2 * RATE)))
    with pytest.raises(FieldError, match="No melody"):
        melody_from_file(silence, 0, False, 2.0, 120.0)
    with pytest.raises(FieldError, match="silent"):
        write_drums(silence, 0, False, 16000, tmp_path)
    with pytest.raises(FieldError, match="No chords"):
        chords_from_file(silence, 0, 4, 2.0, 120.0)


def test_drums_are_resampled_and_separated(tmp_path):
    drums = GROOVES["rock backbeat"].render(4.0, RATE)
    chords = preview_chords([("C", 0), ("F", 2)], 4.0, RATE)
    alone, rate = soundfile.read(write_drums(write_wav(tmp_path / "drums.wav", drums), 1.0, False, 16000, tmp_path))
    assert (alone.shape, rate) == ((3 * 16000,), 16000)
    assert soundfile.info(tmp_path / "drums.wav").subtype == "FLOAT"

    mix = write_wav(tmp_path / "mix.wav", 0.5 * drums + 0.5 * chords)
    separated, _ = soundfile.read(write_drums(mix, 0, True, 16000, tmp_path))
    mixed, _ = soundfile.read(write_drums(mix, 0, False, 16000, tmp_path))
    expected, _ = soundfile.read(write_drums(write_wav(tmp_path / "only.wav", 0.5 * drums), 0, False, 16000, tmp_path))
    # Only a small part of the chords is left.
    assert np.linalg.norm(separated - expected) < 0.6 * np.linalg.norm(mixed - expected)


def test_only_a_part_of_a_long_recording_is_read(tmp_path, monkeypatch):
    path = write_wav(tmp_path / "long.wav", np.zeros((1, 60 * 8000)), 8000)
    with pytest.raises(FieldError, match="lasts only 60.0 s"):
        chords_from_file(path, 61.0, 4, 10.0, 120.0)
    monkeypatch.setattr(uploads, "MAX_RECORDING", 59.0)
    with pytest.raises(FieldError, match="lasts 1:00 minutes, but at most 0:59"):
        chords_from_file(path, 0, 4, 10.0, 120.0)
    with pytest.raises(FieldError, match="lasts 1:00 minutes, but at most 0:59"):
        read_recording(path, "drums")


def test_unusable_uploads(tmp_path, monkeypatch):
    text = tmp_path / "song.mp3"
    text.write_text("not an MP3")
    with pytest.raises(FieldError, match="song.mp3 can't be read as audio") as error:
        chords_from_file(str(text), 0, 4, 10.0, 120.0)
    assert error.value.field == "chords" and str(tmp_path) not in str(error.value)
    with pytest.raises(FieldError, match=r"song.exe is not supported: its name has to end in .*\.mid"):
        melody_from_file(str(tmp_path / "song.exe"), 0, True, 10.0, 120.0)
    with pytest.raises(FieldError, match="Choose a file first"):
        write_drums(None, 0, False, 16000, tmp_path)
    broken = tmp_path / "broken.mid"
    broken.write_bytes(b"MThd\x00\x00\x00\x06garbage")
    with pytest.raises(FieldError, match="broken.mid can't be read as MIDI") as error:
        melody_from_file(str(broken), 0, True, 10.0, 120.0)
    assert str(tmp_path) not in str(error.value)
    monkeypatch.setattr(uploads, "MAX_UPLOAD", 0.000001)
    with pytest.raises(FieldError, match="at most"):
        chords_from_file(str(text), 0, 4, 10.0, 120.0)


@pytest.mark.parametrize("name", ["hum.m4a", "hum.webm"])
def test_recordings_of_phones_and_browsers(tmp_path, name):
    hum = str(ROOT / "tests/fixtures/cases" / name)
    notes = melody_from_file(hum, 0, True, 2.0, 60.0)["notes"]
    assert {note["midi"] for note in notes if note["beats"] > 1} == {69}
    assert chords_from_file(hum, 0, 4, 2.0, 60.0)["chords"]
    drums, rate = soundfile.read(write_drums(hum, 0.5, False, 16000, tmp_path))
    assert rate == 16000 and 1.3 < len(drums) / rate < 1.7
    waveform, rate = read_recording(hum, "drums")
    assert 1.9 < waveform.shape[1] / rate < 2.2


def test_fields_accept_all_supported_files(tmp_path):
    content = "0.0 2.0 C:maj\n2.0 4.0 A:min\n"
    for suffix in set(uploads.CHORD_SUFFIXES) - set(uploads.MIDI_SUFFIXES) - {".jams", ".json", ".svl"}:
        path = tmp_path / f"song{suffix.upper()}"
        path.write_text(content)
        assert pairs(chords_from_file(str(path), 0, 4, 4.0, 60.0)) == [("C", 0), ("Am", 2)], suffix
    for files in (uploads.CHORD_FILES, uploads.MELODY_FILES):
        assert set(files) >= {*uploads.AUDIO_SUFFIXES, *uploads.MIDI_SUFFIXES}


def test_warnings_contain_no_paths(tmp_path):
    annotations = [
        {"namespace": "chord_harte", "data": [{"time": 0, "duration": 4, "value": chord, "confidence": 1}]}
        for chord in ("C:maj", "A:min")
    ]
    path = tmp_path / "song.jams"
    path.write_text(json.dumps({"annotations": annotations, "file_metadata": {"duration": 4}}))
    with collected_warnings() as warnings:
        assert pairs(chords_from_file(str(path), 0, 4, 4.0, 60.0)) == [("C", 0)]
    assert len(warnings) == 1 and warnings[0].startswith("song.jams has 2 chord annotations")


def test_warnings_of_the_package_reach_the_page(tmp_path):
    from diffusers_jasco.inputs import read_chords

    with collected_warnings() as warnings:
        read_chords([("Csus4", 0.0)])
    assert warnings == ["Not in the vocabulary and replaced by the nearest label: Csus4 → C (without F, with E)."]
