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

"""Malformed input only raises `ValueError`, and valid melodies and drums round-trip."""

import io
import zipfile

import numpy as np
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusers_jasco import load_audio
from diffusers_jasco.audio.resampling import resample
from diffusers_jasco.controls.melody import LOWEST_PITCH, MELODY_BINS, melody_to_notes
from diffusers_jasco.inputs import is_drums, is_melody, read_drums, read_melody

from .test_chords_fuzz import anything, examples, survives
from .test_melody import one_hot, write_midi


FRAMES, FRAME_RATE, RATE = 40, 20.0, 8000

numbers = st.integers() | st.floats() | st.sampled_from([0, 60, 127, 1e-9, "C4", "Bb3", "H2", "", "C99"])
shapes = st.lists(st.integers(0, 60), max_size=3).map(tuple)
dtypes = st.sampled_from(
    ["float32", "float16", "int16", "uint8", "bool", "complex64", "U2", "object", "datetime64[s]"]
)


@st.composite
def arrays(draw):
    array = np.zeros(draw(shapes), dtype=draw(dtypes))
    if array.size and array.dtype.kind == "f":
        array.flat[0] = draw(st.floats(width=16))
    return array if draw(st.booleans()) or array.dtype.kind in "UOM" else torch.from_numpy(array)


@examples(750)
@given(st.lists(st.lists(numbers, min_size=2, max_size=4).map(tuple), max_size=5) | anything)
def test_malformed_notes(notes):
    is_melody(notes)
    survives(read_melody, notes, FRAMES, FRAME_RATE)


@examples(400)
@given(arrays())
def test_malformed_matrices(matrix):
    survives(read_melody, matrix, FRAMES, FRAME_RATE)


@st.composite
def archives(draw):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in draw(st.lists(st.sampled_from(["salience.npy", "times.npy", "archive/data.pkl"]), unique=True)):
            content = io.BytesIO()
            array = np.zeros(draw(shapes), dtype=draw(st.sampled_from(["float16", "float64", "U1", "object"])))
            np.save(content, array, allow_pickle=True)
            archive.writestr(name, content.getvalue()[: draw(st.integers(0, 400))])
    return file.getvalue()


def valid_files(folder, suffixes):
    """The bytes of a small valid file of each kind."""
    silence_and_tone = np.sin(np.arange(600) / 5)[:, None] * np.array([0.0, 0.5])
    melody = one_hot([60] * FRAMES)
    for suffix in suffixes:
        path = folder / f"valid{suffix}"
        if suffix == ".mid":
            write_midi(path, [("lead", False, [(60, 0.0, 0.5), (64, 0.5, 1.0)]), ("bass", False, [(45, 0.0, 1.0)])])
        elif suffix == ".npz":
            np.savez(path, salience=melody.T.numpy())
        elif suffix == ".pt":
            torch.save(melody, path)
        else:
            soundfile.write(path, silence_and_tone, RATE)
        yield suffix, path.read_bytes()


# Position (as a fraction of the file; headers are at the beginning), number of bytes to remove, and their replacement.
damages = st.lists(
    st.tuples(st.floats(0, 0.15) | st.floats(0, 1), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=5
)


def damaged(content, damage):
    for position, length, replacement in damage:
        start = int(position * len(content))
        content = content[:start] + replacement + content[start + length :]
    return content


@examples(150)
@given(damages)
def test_damaged_melody_files(tmp_path, damage):
    for suffix, content in valid_files(tmp_path, [".mid", ".npz", ".pt"]):
        path = tmp_path / f"damaged{suffix}"
        path.write_bytes(damaged(content, damage))
        survives(read_melody, path, FRAMES, FRAME_RATE)


@examples(150)
@given(damages)
def test_damaged_drum_files(tmp_path, damage):
    for suffix, content in valid_files(tmp_path, [".wav", ".flac", ".mp3", ".ogg"]):
        path = tmp_path / f"damaged{suffix}"
        path.write_bytes(damaged(content, damage))
        survives(read_drums, path, RATE, RATE)


@examples(400)
@given(st.sampled_from([".npz", ".th", ".pt", ".mid", ".wav"]), st.binary(max_size=60) | archives())
def test_malformed_melody_files(tmp_path, suffix, content):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    survives(read_melody, path, FRAMES, FRAME_RATE)


@examples(750)
@given(arrays() | anything, st.integers(-2, 96000) | anything)
def test_malformed_drums(waveform, rate):
    rate = rate if not isinstance(rate, int) or rate < 1 else min(rate, 96000)
    for drums in (waveform, (waveform, rate), {"array": waveform, "sampling_rate": rate}):
        is_drums(drums)
        survives(load_audio, drums)
    survives(read_drums, (waveform, RATE), RATE, RATE)


@examples(400)
@given(
    st.sampled_from([".wav", ".flac", ".mp3", ""]),
    st.binary(max_size=80),
    st.sampled_from([b"", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC", b"\xff\xfb\x90\x00"]),
)
def test_malformed_drum_files(tmp_path, suffix, content, header):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(header + content)
    survives(load_audio, path)


pitches = st.none() | st.integers(LOWEST_PITCH, LOWEST_PITCH + MELODY_BINS - 1)
# Runs of equal pitches, as in melodies.
melodies = st.lists(st.tuples(pitches, st.integers(1, 9)), min_size=1, max_size=8).map(
    lambda runs: one_hot((sum(([pitch] * length for pitch, length in runs), []) + FRAMES * [None])[:FRAMES])
)
SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
FLATS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")


@examples(500)
@given(melodies, st.sampled_from([SHARPS, FLATS]))
def test_valid_notes(melody, names):
    notes = melody_to_notes(melody, FRAME_RATE)
    assert torch.equal(read_melody(notes, FRAMES, FRAME_RATE), melody)
    named = [(f"{names[pitch % 12]}{pitch // 12 - 1}", start, end) for pitch, start, end in notes]
    assert torch.equal(read_melody(named, FRAMES, FRAME_RATE), melody)


@examples(250)
@given(melodies, st.sampled_from(["float32", "int64", "bool"]))
def test_valid_matrices(melody, dtype):
    matrix = melody.numpy().astype(dtype)
    for variant in (matrix, matrix.T, torch.from_numpy(matrix), torch.from_numpy(matrix).T):
        assert torch.equal(read_melody(variant, FRAMES, FRAME_RATE), melody)


@examples(100)
@given(melodies)
def test_valid_tensor_files(tmp_path, melody):
    torch.save(melody, tmp_path / "a.pt")
    assert torch.equal(read_melody(tmp_path / "a.pt", FRAMES, FRAME_RATE), melody)


@examples(100)
@given(melodies, st.floats(0.5, 1.0, width=16))
def test_valid_salience_files(tmp_path, melody, level):
    # At the extractor's own frame rate the interpolation is the identity.
    np.savez(tmp_path / "a.npz", salience=(level * melody.T.numpy()).astype(np.float16))
    assert torch.equal(read_melody(tmp_path / "a.npz", FRAMES, 22050 / 256), melody)


@examples(100)
@given(melodies)
def test_valid_midi(tmp_path, melody):
    notes = melody_to_notes(melody, FRAME_RATE)
    if notes:
        write_midi(tmp_path / "a.mid", [("lead", False, notes)])
        assert torch.equal(read_melody(tmp_path / "a.mid", FRAMES, FRAME_RATE), melody)


@examples(200)
@given(
    st.integers(1, 4),
    st.integers(1, 300),
    st.sampled_from([RATE, 16000, 11025]),
    st.sampled_from(["array", "tensor", "dict", "wav16", "wavfloat"]),
    st.integers(0, 2**32 - 1),
)
def test_valid_drums(tmp_path, channels, samples, rate, form, seed):
    waveform = np.random.default_rng(seed).uniform(-0.9, 0.9, (channels, samples)).astype(np.float32)
    path, drums = tmp_path / "a.wav", (waveform, rate)
    if form == "tensor":
        drums = (torch.from_numpy(waveform), rate)
    elif form == "dict":
        drums = {"array": waveform, "sampling_rate": rate}
    elif form.startswith("wav"):
        soundfile.write(path, waveform.T, rate, subtype="PCM_16" if form == "wav16" else "FLOAT")
        drums = path
    expected = torch.zeros(1, 250)
    mono = resample(torch.from_numpy(waveform), rate, RATE).mean(dim=0)[:250]
    expected[0, : len(mono)] = mono
    assert is_drums(drums)
    torch.testing.assert_close(read_drums(drums, RATE, 250), expected, atol=2e-4, rtol=0)
