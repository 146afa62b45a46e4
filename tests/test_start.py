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
"""`start`: where in files and recordings the music begins."""

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco.audio.resampling import resample
from diffusers_jasco.controls.chords import chords_to_lab
from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.controls.melody import melody_from_notes, melody_to_notes
from diffusers_jasco.controls.previews import preview_chords, preview_melody
from diffusers_jasco.extraction import extract_melody
from diffusers_jasco.inputs import InputError, read_chords, read_drums, read_melody

from .conftest import load_pipeline
from .controls.test_melody import write_midi


RATE = 16000
CHORDS = [("C", 0.0), ("Am", 20.0), ("F", 40.0), ("G", 60.0), ("Em", 70.0)]
MELODY = [(60 + index % 12, 2.0 * index, 2.0 * index + 1.5) for index in range(40)]
DURATION = 80.0
# Each chord again every two seconds, as its tones decay.
STRUCK = [([label for label, begin in CHORDS if begin <= time][-1], float(time)) for time in range(0, 80, 2)]


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    path = tmp_path_factory.mktemp("songs") / "song.wav"
    soundfile.write(path, preview_chords(STRUCK, DURATION, RATE)[0].numpy(), RATE)
    return path


def test_chord_files(tmp_path, warnings):
    path = tmp_path / "song.lab"
    chords_to_lab(CHORDS, path, DURATION)
    assert read_chords(path, start=45.5) == [("F", 0.0), ("G", 14.5), ("Em", 24.5)]
    assert read_chords(path, duration=10.0, start=40) == [("F", 0.0)]
    assert read_chords(str(path), start=np.float32(69.5)) == [("G", 0.0), ("Em", 0.5)]
    warnings.clear()
    assert read_chords(path, start=75.0) == [("Em", 0.0)] and "Em, from 70 s on, is held" in warnings.text
    # Texts and lists have no file to begin in.
    assert read_chords(CHORDS, start=45.0) == CHORDS == read_chords("C:0 Am:20 F:40 G:60 Em:70", start=45.0)


def test_midi_files(tmp_path):
    path = tmp_path / "song.mid"
    write_midi(path, [("lead", False, MELODY)])
    melody = read_melody(path, 200, 20.0, start=40.5)
    shifted = [(pitch, max(start - 40.5, 0), end - 40.5) for pitch, start, end in MELODY if end > 40.5]
    assert torch.equal(melody, melody_from_notes(shifted, 200, 20.0))
    assert melody_to_notes(melody, 20.0)[0] == (68, 0.0, 1.0)
    assert read_chords(path, duration=10.0, start=40.5)[0][1] == 0.0


def test_chords_of_an_excerpt_equal_those_of_the_recording(song):
    for start in (15.0, 45.5):
        chords = read_chords(song, duration=20.0, start=start)
        sounding = [label for label, begin in CHORDS if begin <= start][-1]
        following = [(label, begin - start) for label, begin in CHORDS if start < begin < start + 20]
        assert [label for label, _ in chords] == [sounding, *(label for label, _ in following)]
        assert np.allclose([begin for _, begin in chords], [0.0, *(begin for _, begin in following)], atol=0.3)
    waveform, rate = soundfile.read(song, dtype="float32")
    assert read_chords((waveform, rate), duration=20.0, start=15.0) == read_chords(song, duration=20.0, start=15.0)


def test_melodies_of_an_excerpt_equal_those_of_the_recording():
    recording = preview_melody(MELODY, DURATION, RATE), RATE
    whole = extract_melody(*recording, frame_rate=25.0).T
    for start in (8.0, 41.52):
        part = read_melody(recording, 250, 25.0, start=start)
        first = round(start * 25)
        assert (part == whole[first : first + 250]).all(dim=1).float().mean() > 0.95


@pytest.mark.parametrize("rate", [RATE, 44100])
def test_drums_of_an_excerpt_equal_those_of_the_recording(rate):
    recording = torch.randn(2, 20 * rate, generator=torch.Generator().manual_seed(0)) / 10
    whole = resample(recording, rate, RATE).mean(dim=0, keepdim=True)
    part = read_drums((recording, rate), RATE, RATE, start=12.5)
    torch.testing.assert_close(part, whole[:, round(12.5 * RATE) :][:, :RATE], atol=1e-5, rtol=0)
    # Silence follows the end.
    end = read_drums((recording, rate), RATE, RATE, start=19.75)
    assert end[:, : RATE // 5].any() and not end[:, RATE // 4 + 1 :].any()


def test_drums_of_an_excerpt_are_separated(song):
    drums = GROOVES["rock backbeat"].render(DURATION, RATE)
    mix = drums + 0.3 * preview_chords(STRUCK, DURATION, RATE)
    separated = read_drums((mix, RATE), RATE, 4 * RATE, separate=True, start=50.25)
    reference = drums[:, round(50.25 * RATE) :][:, : 4 * RATE]
    assert torch.corrcoef(torch.cat([separated, reference]))[0, 1] > 0.7


@pytest.mark.parametrize("name, subtype, scanned", [("long.flac", "PCM_16", 0), ("long.wav", "FLOAT", 1800)])
def test_only_the_excerpt_is_decoded(name, subtype, scanned, tmp_path, monkeypatch):
    path = tmp_path / name
    soundfile.write(path, np.zeros(1800 * 8000, dtype=np.float32), 8000, subtype=subtype)
    read = []
    original = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile,
        "read",
        lambda file, frames=-1, **options: read.append(frames) or original(file, frames, **options),
    )
    for seconds, extract in (
        (40, lambda: read_chords(path, duration=10.0, start=900.0)),
        (40, lambda: read_melody(path, 250, 25.0, start=900.0)),
        (615, lambda: read_drums(path, RATE, 10 * RATE, start=900.0)),  # for the loudness
    ):
        read.clear()
        extract()
        # The range of float samples is read once per control.
        assert 0 < sum(read) <= (seconds + scanned) * 8000


def test_a_start_after_the_end_is_an_error(song, tmp_path):
    chords_to_lab([("C", 0.0), ("N", 5.0)], tmp_path / "a.lab", 6.0)
    write_midi(tmp_path / "a.mid", [("lead", False, [(60, 0.0, 2.0)])])
    for read in (
        lambda: read_chords(song, start=DURATION),
        lambda: read_chords(tmp_path / "a.lab", start=7.0),
        lambda: read_chords(tmp_path / "a.mid", start=7.0),
        lambda: read_melody(song, 10, 10.0, start=99.0),
        lambda: read_melody(tmp_path / "a.mid", 10, 10.0, start=7.0),
        lambda: read_drums(song, RATE, RATE, start=99.0),
        lambda: read_drums(song, RATE, RATE, separate=True, start=99.0),
        lambda: read_chords(song, start=-1.0),
        lambda: read_melody(song, 10, 10.0, start="soon"),
        lambda: read_drums(song, RATE, RATE, start=float("nan")),
    ):
        with pytest.raises(InputError, match="`start`") as error:
            read()
        assert error.value.argument == "start"


def test_each_prompt_has_its_own_start(tmp_path):
    pipe = load_pipeline("chords-drums-melody")
    chords_to_lab(CHORDS, tmp_path / "song.lab", DURATION)
    write_midi(tmp_path / "song.mid", [("lead", False, MELODY)])
    files = {"chords": tmp_path / "song.lab", "melody": tmp_path / "song.mid"}

    def encode(start, prompts=("a", "b"), **controls):
        return pipe.encode_conditioning(list(prompts), **controls, start=start, duration=1.0).controls

    together = encode([0.0, 45.5], **files)
    for index, start in enumerate((0.0, 45.5)):
        for name, frames in encode(start, ["a"], **files).items():
            assert torch.equal(frames[0], together[name][index])
    assert not torch.equal(together["melody"][0], together["melody"][1])
    expected = encode(0.0, ["a"], chords=[("F", 0.0)])["chords"][0]
    assert torch.equal(together["chords"][1], expected)
    with pytest.raises(InputError, match="`start` has 3 elements for 2 prompt"):
        encode([0.0, 1.0, 2.0], **files)
    conditioning = pipe.encode_conditioning("a", **files, start=45.5, duration=1.0)
    with pytest.raises(InputError, match="`conditioning` or `start`, not both"):
        pipe(conditioning=conditioning, start=45.5)
