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

"""Selection of the melody track of MIDI files."""

from pathlib import Path

import pytest
import torch

from diffusers_jasco.controls.melody import melody_from_midi, melody_to_notes
from diffusers_jasco.controls.midi_names import is_bass_name, is_chords_name, is_drum_name, melody_rank
from diffusers_jasco.inputs import InputError, read_melody
from diffusers_jasco.per_prompt import encode_per_prompt

from .midi_files import song


CASES = Path(__file__).parents[1] / "fixtures/cases"
MELODY = [(62, 64, 65, 67, 69, 67, 65, 64)[i % 8] for i in range(32)]
LEAD = [(pitch, i / 2, (i + 1) / 2) for i, pitch in enumerate(MELODY)]
HIGH_ARPEGGIO = [((72, 76, 79, 84, 88, 84, 79, 76)[i % 8], i / 8, (i + 1) / 8) for i in range(128)]
PAD = [(pitch, 2 * bar, 2 * bar + 2) for bar in range(8) for pitch in (72, 76, 79, 83)]
BASS = [((36, 43, 41, 43)[i % 4], i, i + 1) for i in range(16)]
STRUM = [(pitch, i / 2, i / 2 + 0.3) for i in range(32) for pitch in (60, 64, 67, 72)]
BELLS = [(96, 2.0 * bar, 2.0 * bar + 0.5) for bar in range(8)]


def pitches(path, duration=10.0, **options):
    return {
        pitch for pitch, *_ in melody_to_notes(melody_from_midi(path, round(50 * duration), 50.0, **options), 50.0)
    }


@pytest.mark.parametrize(
    "name",
    "MELODY melodia Mélodie Melodie vocal Vocals VOX Lead lead_vocal LeadVocal Voice Tune Solo Canto Chant Gesang voz"
    " Sång"
    " 歌 旋律 メロディ 主旋律 멜로디 Мелодия μελωδία Śpiew Singstimme Sopran".split(),
)  # fmt: skip
def test_melody_names_in_many_languages(name, tmp_path, warnings):
    assert melody_rank(name) is not None
    # The notes of the other track are more like a melody.
    odd = [(40 + 7 * (i % 3), i / 4, i / 4 + 0.1) for i in range(64)]
    path = song(tmp_path / "song.mid", [("Flute", 0, 73, LEAD), (name, 1, 40, odd)])
    melody = read_melody(path, 500, 50.0)
    assert torch.equal(melody, melody_from_midi(path, 500, 50.0, track=1))
    assert f"track 1 {name!r} of" in warnings.text and "by its name" in warnings.text and "0 'Flute'" in warnings.text


@pytest.mark.parametrize(
    "name", ["Backing vocals", "Vocal harmony", "Voice Oohs", "Vox Pad", "Choir", "Piano", "Bass solo", "Misleading",
             "Solomon", ""]
)  # fmt: skip
def test_other_names_are_not_melodies(name):
    assert melody_rank(name) is None


def test_the_most_reliable_name_is_used():
    names = ["Melody 2", "Lead guitar", "Lead Vocal 1", "Solo"]
    assert min(names, key=lambda name: (melody_rank(name), name)) == "Lead Vocal 1"
    assert (
        is_bass_name("E-Bass")
        and is_bass_name("Kontrabass")
        and is_chords_name("Akkorde")
        and is_chords_name("CHORDS")
    )
    assert is_drum_name("Schlagzeug") and is_drum_name("Drum Kit") and not is_drum_name("Steel guitar")


@pytest.mark.parametrize(
    "others",
    [
        [("", 1, 0, STRUM), ("", 2, 33, BASS)],
        [("", 1, 46, HIGH_ARPEGGIO), ("", 2, 33, BASS)],
        [("", 1, 48, PAD), ("", 2, 32, BASS), ("", 4, 9, BELLS)],
        [("", 1, 48, PAD), ("", 2, 46, HIGH_ARPEGGIO), ("", 4, 33, BASS), ("", 5, 25, STRUM), ("", 9, 0, BASS)],
        [("", 1, 0, [(90, 30.0, 31.0)])],
    ],
)
def test_unnamed_tracks_are_selected_by_their_notes(others, tmp_path, warnings):
    for position in (0, len(others)):
        parts = [*others[:position], ("", 3, 0, LEAD), *others[position:]]
        assert pitches(song(tmp_path / "song.mid", parts)) == set(MELODY)
        assert "by its notes" in warnings.text and len(warnings.records) <= 2
        warnings.clear()


def test_the_title_of_a_piece_is_not_a_track_name(tmp_path, warnings):
    """In files with a single track, all channels share its name."""
    from .midi_files import midi, note_events, track

    events = note_events([(pitch, start, end) for pitch, start, end in LEAD], channel=0)
    second = note_events(STRUM, channel=1)
    path = tmp_path / "song.mid"
    path.write_bytes(midi(track(second + events, "Unchained Melody"), format=0))
    assert set(MELODY) == pitches(path, duration=60.0) and "by its notes" in warnings.text


def test_the_example_files(warnings):
    named = melody_to_notes(read_melody(CASES / "named_melody.mid", 500, 50.0), 50.0)
    assert [pitch for pitch, *_ in named[:4]] == [60, 62, 64, 65]
    late = read_melody(CASES / "late_high_track.mid", 500, 50.0)
    assert late.any() and melody_to_notes(late, 50.0)[0][0] == 60 and "longer" not in warnings.text


def test_a_melody_that_starts_later(tmp_path, warnings):
    late = [(pitch, start + 12, end + 12) for pitch, start, end in LEAD]
    path = song(tmp_path / "song.mid", [("Vocals", 0, 52, late), ("Piano", 1, 0, STRUM)])
    # Another track sounds from the beginning.
    assert pitches(path) == {72} and "as 0 'Vocals' is silent in this time range" in warnings.text
    assert pitches(path, start=12.0) == set(MELODY)
    warnings.clear()
    assert not melody_from_midi(path, 500, 50.0, track="vocals").any()
    assert "no notes from 0 to 10 s" in warnings.text and "from 12.00 to 28.00 s" in warnings.text
    alone = song(tmp_path / "alone.mid", [("", 0, 0, late)])
    warnings.clear()
    assert not melody_from_midi(alone, 500, 50.0).any() and "from 12.00 to 28.00 s" in warnings.text
    with pytest.raises(InputError, match="`start` is 40 s, but the notes of `melody` end at 28.00 s") as error:
        read_melody(alone, 500, 50.0, start=40)
    assert error.value.argument == "start"


def test_tracks_can_be_selected_in_the_path(tmp_path):
    path = song(tmp_path / "song.mid", [("Vocals", 0, 0, LEAD), ("Bass line", 1, 33, BASS)])
    bass = melody_from_midi(path, 500, 50.0, track="Bass line")
    for selection in ("Bass line", "bass", "1"):
        assert torch.equal(read_melody(f"{path}#{selection}", 500, 50.0), bass)
    for selection in ("flute", "2", "-1"):
        with pytest.raises(
            InputError, match=f"has no track '{selection}' with notes; available tracks: 0 'Vocals', 1 'Bass line'"
        ):
            read_melody(f"{path}#{selection}", 500, 50.0)


def test_a_file_for_many_prompts_is_logged_once(warnings):
    path = str(CASES / "named_melody.mid")

    def encode(melody, start):
        return read_melody(melody, 500, 50.0, start)

    melodies = encode_per_prompt("melody", [path, path, None, path], 4, encode, [0.0] * 4)
    assert torch.equal(melodies[0], melodies[3]) and melodies[2] is None
    assert len(warnings.records) == 1
