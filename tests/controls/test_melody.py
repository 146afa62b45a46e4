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

import math
import os
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusers_jasco.controls.melody import (
    MELODY_BINS,
    bins_from_salience,
    bins_to_matrix,
    bins_to_notes,
    melody_from_matrix,
    melody_from_midi,
    melody_from_notes,
    melody_from_salience,
    melody_to_notes,
)
from diffusers_jasco.inputs import InputError, is_melody, read_melody


NOTES = [("C4", 0.0, 0.5), (64, 0.5, 1.0), ("Bb5", 1.5, 2.0)]


def one_hot(pitches):
    """A matrix with one pitch (MIDI number or `None`) per frame."""
    matrix = torch.zeros(len(pitches), MELODY_BINS)
    for frame, pitch in enumerate(pitches):
        if pitch is not None:
            matrix[frame, pitch - 43] = 1
    return matrix


EXPECTED = one_hot(5 * [60] + 5 * [64] + 5 * [None] + 5 * [82] + 5 * [None])


def test_notes():
    assert torch.equal(read_melody(NOTES, 25, 10.0), EXPECTED)
    assert torch.equal(read_melody([], 3, 10.0), torch.zeros(3, 53))
    # The first and the last bin; a note shorter than a frame; 0.58 * 50 is 28.999999999999996.
    assert torch.equal(read_melody([("G2", 0, 0.1), ("B6", 0.1, 0.2)], 2, 10.0), one_hot([43, 95]))
    assert torch.equal(read_melody([(60, 0.11, 0.12)], 3, 10.0), one_hot([None, None, 60]))
    assert melody_from_notes([(60, 0.58, 0.6)], 50, 50.0)[29, 17] == 1


@pytest.mark.parametrize(
    "name, pitch",
    [
        ("C4", 60),
        ("c4", 60),
        ("B#3", 60),
        ("Cb5", 71),
        ("F##4", 67),
        ("E♭4", 63),
        ("A-1", 9),
        (60.0, 60),
        (np.int64(61), 61),
    ],
)
def test_pitch_names(name, pitch):
    folded = pitch if pitch >= 43 else pitch + 12 * math.ceil((43 - pitch) / 12)
    assert torch.equal(read_melody([(name, 0.0, 1.0)], 1, 1.0), one_hot([folded]))


INVALID_NOTES = [
    ([("C4", 0, 1), ("H4", 0, 1)], "pitch of note 1.*'H4'"),
    ([("C", 0, 1)], "pitch of note 0"),
    ([(128, 0, 1)], "pitch of note 0"),
    ([(60.5, 0, 1)], "pitch of note 0"),
    ([(math.nan, 0, 1)], "pitch of note 0"),
    ([(60, -1, 1)], "times of note 0"),
    ([(60, 0, math.inf)], "times of note 0"),
    ([(60, math.nan, 1)], "times of note 0"),
    ([(60, 0, 10**400)], "times of note 0"),
    ([(60, 0, np.timedelta64(1, "s"))], "times of note 0"),
    ([(60, 1j, 2)], "times of note 0"),
    ([(60, 1, 1)], "has to end after its start"),
    ([(60, 0, 1), (60, 0)], "note 1 has to be"),
    ([60, 0, 1], "is a single note.*in a list"),
    ({"a": 1}, "is a dict"),
    (3, "is a int"),
    ("song.xyz", "have to end in .mid"),
]


@pytest.mark.parametrize("notes, message", INVALID_NOTES)
def test_errors_for_invalid_melodies(notes, message):
    with pytest.raises(ValueError, match=message) as error:
        read_melody(notes, 10, 10.0)
    assert "`melody`" in str(error.value)


@pytest.mark.parametrize(
    "notes, pitches, warning",
    [
        ([(42, 0, 1), (96, 1, 2), (0, 2, 3), (127, 3, 4)], [54, 84, 48, 91], "4 note.* transposed by octaves"),
        ([(72, 0, 2), (60, 0, 3), (64, 1, 2)], [72, 72, 60, None], "the highest note is kept"),
        ([(60, 2, 9)], [None, None, 60, 60], "1 note.* last longer than the music"),
        ([(60, 0, 4)], [60, 60, 60, 60], None),
        # Two notes in one frame, one after the other and overlapping.
        ([(64, 0.2, 0.6), (60, 0.6, 2)], [None, 64, None, None], None),
        ([(64, 0.2, 0.7), (60, 0.6, 2)], [None, 64, None, None], "1 note.* overlap"),
    ],
)
def test_changes_cause_a_warning(notes, pitches, warning, warnings):
    assert torch.equal(read_melody(notes, 4, 1.0), one_hot(pitches))
    assert bool(warnings.records) == (warning is not None)
    if warning:
        assert re.search(warning, warnings.text)


def test_matrices(warnings):
    flipped, foreign = EXPECTED.flip(0).numpy()[::-1], EXPECTED.numpy().astype(">f8")
    for matrix in (EXPECTED, EXPECTED.T, EXPECTED.numpy(), EXPECTED.T.double(), EXPECTED.bool(), flipped, foreign):
        assert torch.equal(read_melody(matrix, 25, 10.0), EXPECTED)
    assert torch.equal(read_melody(EXPECTED[:20], 25, 10.0), EXPECTED)
    assert not warnings.records
    assert torch.equal(read_melody(EXPECTED, 10, 10.0), EXPECTED[:10])
    assert "the last 15 are not used" in warnings.text
    scaled = EXPECTED * 0.5
    assert torch.equal(read_melody(scaled, 25, 10.0), scaled) and "not one-hot" in warnings.text
    square = torch.zeros(53, 53)
    square[2, 7] = 1
    assert read_melody(square, 53, 10.0)[7, 2] == 1 and "square" in warnings.text


@pytest.mark.parametrize(
    "matrix",
    [
        torch.zeros(7, 9),
        torch.zeros(53),
        torch.zeros(1, 53, 5),
        torch.full((53, 4), math.nan),
        np.array(["a"]),
        torch.zeros(53, 4, dtype=torch.cfloat),
        torch.zeros(53, 4).to_sparse(),
    ],
    ids=str,
)
def test_errors_for_invalid_matrices(matrix):
    with pytest.raises(ValueError, match="matrix of `melody`"):
        read_melody(matrix, 4, 10.0)


def test_tensor_files_do_not_execute_code(tmp_path):
    path = tmp_path / "melody.th"
    torch.save(EXPECTED, path)
    assert torch.equal(read_melody(path, 25, 10.0), EXPECTED)
    torch.save({"a": EXPECTED}, path)
    with pytest.raises(ValueError, match="contains a dict"):
        read_melody(path, 25, 10.0)

    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save(Malicious(), path)
    with pytest.raises(ValueError, match="can't be read as a tensor"):
        read_melody(path, 25, 10.0)
    assert not (tmp_path / "executed").exists()
    for content in (b"", b"noise", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="can't be read as a tensor"):
            read_melody(path, 25, 10.0)


def test_salience_keeps_its_time():
    salience = np.zeros((53, 20000), dtype=np.float32)
    last = round(200 * 22050 / 256)
    salience[10, last:] = 1
    melody = melody_from_salience(salience, 11000, 50.0)
    assert melody[:, 10].nonzero()[0] == 10000 and melody[10000:, 10].all()
    # Frames after the end of the salience are silent.
    assert melody_from_salience(salience[:, -20:], 50, 50.0).any(dim=1).tolist() == [True] * 12 + [False] * 38
    assert not melody_from_salience(salience[:, :0], 50, 50.0).any()


@pytest.mark.parametrize("frame_rate", [0.3, 20.0, 50.0, 86.1328125, 900.0])
def test_blocks_of_salience_do_not_change_the_melody(frame_rate):
    rng = np.random.default_rng(0)
    salience = np.where(rng.random((700, 53)) < 0.05, rng.random((700, 53)), 0).astype(np.float32)
    num_frames = math.ceil(700 / (22050 / 256) * frame_rate) + 3
    whole = bins_from_salience([salience], num_frames, frame_rate)
    # Linear interpolation, frame by frame.
    positions = np.arange(num_frames) * (22050 / 256 / frame_rate)
    positions = positions[positions < 700]
    values = np.array([np.interp(positions, np.arange(700), row) for row in salience.T])
    expected = np.where(values.max(axis=0) > 0, values.argmax(axis=0), -1)
    assert whole[: len(positions)].tolist() == expected.tolist() and (whole[len(positions) :] == -1).all()
    for size in (1, 64, 333):
        blocks = (salience[start : start + size] for start in range(0, 700, size))
        assert torch.equal(bins_from_salience(blocks, num_frames, frame_rate), whole)
    matrix = bins_to_matrix(whole)
    assert torch.equal(matrix, melody_from_salience(salience.T, num_frames, frame_rate))
    assert bins_to_notes(whole, frame_rate) == melody_to_notes(matrix, frame_rate)


def test_errors_for_invalid_salience_maps(tmp_path):
    path = tmp_path / "a.npz"
    for arrays in (
        {"other": np.zeros(3)},
        {"salience": np.zeros((7, 9))},
        {"salience": np.full((53, 99), np.nan)},
        {"salience": np.array([None])},
    ):
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match="salience"):
            read_melody(path, 50, 50.0)
    path.write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match="can't be read as salience"):
        read_melody(path, 50, 50.0)


def write_midi(path, tracks):
    """Writes tracks `(name, is_drum, notes)`."""
    pretty_midi = pytest.importorskip("pretty_midi")
    midi = pretty_midi.PrettyMIDI(resolution=960)
    for name, is_drum, notes in tracks:
        track = pretty_midi.Instrument(0, is_drum=is_drum, name=name)
        track.notes += [pretty_midi.Note(100, pitch, start, end) for pitch, start, end in notes]
        midi.instruments.append(track)
    midi.write(str(path))


def test_midi_tracks(tmp_path, warnings):
    path = tmp_path / "a.mid"
    low, high = [(48, 0.0, 1.0)], [(72, 0.0, 0.5), (74, 0.5, 1.0)]
    write_midi(path, [("drums", True, [(90, 0.0, 1.0)]), ("bass", False, low), ("lead", False, high)])
    lead, bass = one_hot([72, 74]), one_hot([48, 48])
    assert torch.equal(read_melody(path, 2, 2.0), lead)
    assert "track 2 'lead' of" in warnings.text and "is used as the melody (by its name)" in warnings.text
    assert torch.equal(melody_from_midi(path, 2, 2.0, track="bass"), bass)
    assert torch.equal(melody_from_midi(path, 2, 2.0, track=1), bass)
    for track in ("flute", 7, 0):
        with pytest.raises(ValueError, match="no track.*available tracks: 1 'bass', 2 'lead'"):
            melody_from_midi(path, 2, 2.0, track=track)
    write_midi(path, [("drums", True, [(60, 0.0, 1.0)])])
    assert not read_melody(path, 2, 2.0).any() and "`melody` is empty" in warnings.text
    with pytest.raises(FileNotFoundError, match="absent.mid"):
        read_melody("absent.mid", 2, 2.0)


def test_matrix_to_notes_and_back():
    notes = melody_to_notes(EXPECTED, 10.0)
    assert notes == [(60, 0.0, 0.5), (64, 0.5, 1.0), (82, 1.5, 2.0)]
    assert torch.equal(melody_from_notes(notes, 25, 10.0), EXPECTED)
    assert melody_to_notes(torch.zeros(4, 53), 10.0) == []


@pytest.mark.parametrize("kind", [torch.Tensor.float, torch.Tensor.bool, torch.Tensor.numpy])
def test_notes_of_matrices_in_both_orientations(kind, warnings):
    expected = melody_to_notes(EXPECTED, 10.0)
    assert melody_to_notes(kind(EXPECTED), 10.0) == melody_to_notes(kind(EXPECTED.T), 10.0) == expected
    # Square matrices are oriented so that frames have at most one semitone.
    notes = [(60, 0.0, 2.0), (64, 2.0, 5.3)]
    square = melody_from_notes(notes, 53, 10.0)
    assert melody_to_notes(square, 10.0) == melody_to_notes(square.T, 10.0) == notes and not warnings.records
    assert torch.equal(melody_from_matrix(square, 53), square) and torch.equal(
        melody_from_matrix(square.T, 53), square
    )


@pytest.mark.parametrize("shape", [(53,), (0, 53), (52, 300), (300, 128), (1, 53, 300), ()])
def test_other_shapes_are_rejected(shape):
    for read in (lambda: melody_to_notes(torch.ones(shape), 10.0), lambda: melody_from_matrix(torch.ones(shape), 9)):
        with pytest.raises(InputError, match=r"has to be \(53, frames\) or \(frames, 53\)") as error:
            read()
        assert error.value.argument == "melody"
    with pytest.raises(InputError, match="`frame_rate` has to be a number"):
        melody_to_notes(EXPECTED, 0)


def test_numbers_of_any_type_and_salience_in_both_orientations():
    notes = [(np.int64(60), np.float32(0), Fraction(1, 2)), (torch.tensor(64), Decimal(1), np.array([1.5]))]
    assert melody_to_notes(melody_from_notes(notes, 20, 10.0), 10.0) == [(60, 0.0, 0.5), (64, 1.0, 1.5)]
    salience = torch.rand(53, 200, generator=torch.Generator().manual_seed(0))
    assert torch.equal(melody_from_salience(salience, 20, 10.0), melody_from_salience(salience.T, 20, 10.0))


def test_a_melody_after_the_end_causes_a_warning_with_its_times(warnings):
    assert not melody_from_notes([("C4", 30.0, 31.0)], 100, 10.0).any()
    assert "all notes start after the end of the music (10 s), from 30 s on" in warnings.text
    warnings.clear()
    assert melody_from_notes([("C4", 0.0, 1.0), ("C4", 30.0, 31.0)], 100, 10.0).any()
    assert "1 note(s) start after the end of the music (10 s) and are not used" in warnings.text


def test_one_melody_or_one_per_prompt():
    for melody in ("a.mid", Path("a.mid"), EXPECTED, EXPECTED.numpy(), NOTES, [[60, 0, 1]]):
        assert is_melody(melody)
    for other in ([NOTES, None], [EXPECTED, EXPECTED], ["a.mid", "b.mid", "c.mid"], [None], [], None, 3):
        assert not is_melody(other)


def test_audiocrafts_example_melody():
    path = Path(__file__).parents[3] / "shared/reference/melody/salience_1.th"
    if not path.is_file():
        pytest.skip("AudioCraft's example melody is not part of the project")
    melody = read_melody(path, 500, 50.0)
    assert melody.shape == (500, 53) and melody.sum(dim=1).max() == 1
    assert melody.any(dim=1).float().mean() == pytest.approx(0.606, abs=1e-3)
    pitches = {pitch for pitch, *_ in melody_to_notes(melody, 50.0)}
    assert (min(pitches), max(pitches), len(pitches)) == (43, 79, 21)
