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

import json
import math
import struct

import pytest
import soundfile
import torch

from diffusers_jasco import export_audio, load_audio
from diffusers_jasco.audio.export import FORMATS, check_export
from diffusers_jasco.audio.metadata import MAX_DOCUMENT, read_metadata
from diffusers_jasco.inputs import InputError


def tone(seconds=1.0, rate=24000):
    return 0.5 * torch.sin(2 * math.pi * 440 * torch.arange(int(seconds * rate)) / rate)[None]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("num_channels", [1, 2])
def test_every_format_round_trips(tmp_path, suffix, num_channels):
    path = export_audio(tone().expand(num_channels, -1), tmp_path / f"a{suffix.upper()}", 24000)
    waveform, rate = load_audio(path)
    assert len(waveform) == num_channels and abs(waveform.shape[1] / rate - 1) < 0.1
    spectrum = torch.fft.rfft(waveform[0, rate // 4 : rate // 4 + rate // 2]).abs()
    assert spectrum.argmax() == 220  # bins of 2 Hz


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("length", [0, 1, 2500, MAX_DOCUMENT - 200])
def test_metadata_round_trips(tmp_path, suffix, length):
    metadata = {"prompt": "Ünïcode 東京\nnew line", "seed": 7, "chords": [["C", 0.0]], "text": "x" * length}
    path = export_audio(tone(), tmp_path / f"a{suffix}", 24000, metadata=metadata)
    read = read_metadata(path)
    assert read.pop("diffusers-jasco") and read == metadata
    assert load_audio(path)[0].shape[1] >= 24000, "the audio is complete"
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix, title", [(".wav", "Café 東京"), (".flac", "Café 東京"), (".mp3", "Cafe")])
def test_the_title_is_written(tmp_path, suffix, title):
    path = export_audio(tone(), tmp_path / f"a{suffix}", 24000, metadata={"prompt": "Café\n 東京\0"})
    with soundfile.SoundFile(path) as file:
        assert file.title == title


@pytest.mark.parametrize("metadata", [{"seed": 7}, {}, {"prompt": ""}, {"prompt": None}, {"prompt": "東京"}])
@pytest.mark.parametrize("suffix", FORMATS)
def test_metadata_without_a_title_round_trips(tmp_path, suffix, metadata):
    read = read_metadata(export_audio(tone(), tmp_path / f"a{suffix}", 24000, metadata=metadata))
    assert read.pop("diffusers-jasco") and read == metadata


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder .*absent"):
        export_audio(tone(), tmp_path / "absent" / "a.wav", 24000)


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_without_our_metadata(tmp_path, suffix):
    assert read_metadata(export_audio(tone(), tmp_path / f"a{suffix}", 24000)) is None


@pytest.mark.parametrize(
    "comment", ["made at home", "[1, 2]", '{"seed": 7}', "{", "[" * 50_000, '{"a": ' + "9" * 5000 + "}", "null"]
)
@pytest.mark.parametrize("suffix", [".flac", ".ogg"])
def test_comments_of_other_programs_are_ignored(tmp_path, comment, suffix):
    file_format = FORMATS[suffix]
    with soundfile.SoundFile(
        tmp_path / f"a{suffix}", "w", 24000, 1, subtype=file_format.subtype, format=file_format.name
    ) as file:
        file.comment = comment
        file.write(tone()[0].numpy())
    assert read_metadata(tmp_path / f"a{suffix}") is None


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "codec, container",
    [
        ("libmp3lame", "mp3"),
        ("flac", "flac"),
        ("libopus", "opus"),
        ("pcm_s16le", "wav"),
        ("aac", "ipod"),
        ("libopus", "webm"),
    ],
)
def test_metadata_survives_conversion_by_another_program(tmp_path, suffix, codec, container):
    av = pytest.importorskip("av")
    metadata = {"prompt": 'a "string" quartet, 東京', "seed": 7}
    own = export_audio(tone(), tmp_path / f"own{suffix}", 24000, metadata=metadata)
    with av.open(own) as source, av.open(tmp_path / "converted", "w", format=container) as target:
        target.metadata.update(dict(source.metadata) | dict(source.streams.audio[0].metadata))
        track = target.add_stream(codec, rate=48000, layout="mono")
        resampler = av.AudioResampler(
            format=track.format.name, layout="mono", rate=48000, frame_size=track.codec_context.frame_size or 1024
        )
        for frame in [*source.decode(audio=0), None]:
            for part in resampler.resample(frame):
                target.mux(track.encode(part))
        target.mux(track.encode(None))
    read = read_metadata(tmp_path / "converted")
    assert read.pop("diffusers-jasco") and read == metadata


def test_damaged_wav_chunks_are_not_followed(tmp_path):
    path = export_audio(tone(), tmp_path / "a.wav", 24000, metadata={"seed": 7})
    content = path.read_bytes()
    assert read_metadata(path)["seed"] == 7 and struct.unpack("<I", content[4:8])[0] == len(content) - 8
    start = content.rindex(b"LIST")
    for damaged in (
        content[: start + 6],
        content[:-20],
        content[: start + 4] + b"\xff\xff\xff\xff" + content[start + 8 :],
        content.replace(b"ICMT", b"ICMT\xff\xff\xff\x7f"),
        content[:start] + 20_000 * b"junk\0\0\0\0",
    ):
        path.write_bytes(damaged)
        read_metadata(path)  # terminates without an error
    for content in (b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"text"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="can't be read as audio"):
            read_metadata(path)
    with pytest.raises(FileNotFoundError):
        read_metadata(tmp_path / "absent.wav")


def test_metadata_is_deterministic(tmp_path):
    paths = [export_audio(tone(), tmp_path / name, 24000, metadata={"seed": 7}) for name in ("a.wav", "b.wav")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(
    "metadata, message",
    [
        ("text", "dictionary"),
        ({1: 2}, "dictionary"),
        ({"a": torch.zeros(2)}, "JSON-serializable"),
        ({"a": math.nan}, "JSON-serializable"),
        ({"a": "x" * MAX_DOCUMENT}, "at most"),
    ],
)
def test_invalid_metadata_is_rejected_before_writing(tmp_path, metadata, message):
    with pytest.raises(InputError, match=message) as error:
        export_audio(tone(), tmp_path / "a.wav", 24000, metadata=metadata)
    assert error.value.argument == "metadata" and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name, rate, channels, message",
    [
        ("a.mp3", 96000, 1, "48000 Hz, but"),
        ("a.mp3", 12345, 1, "44100 or 48000"),
        ("a.mp3", 44100, 3, "at most 2 channels"),
        ("a.opus", 44100, 1, "24000 or 48000"),
        ("a.ogg", 400_000, 1, "up to 192000"),
        ("a.flac", 700_000, 1, "up to 655350"),
        ("a.txt", 24000, 1, "ends in .wav"),
        ("a", 24000, 1, "ends in .wav"),
    ],
)
def test_limits_of_the_formats(name, rate, channels, message):
    with pytest.raises(InputError, match=message):
        check_export(name, rate, channels)


def test_the_comment_is_json_for_other_programs(tmp_path):
    path = export_audio(tone(), tmp_path / "a.flac", 24000, metadata={"prompt": "日本", "seed": 7})
    with soundfile.SoundFile(path) as file:
        assert json.loads(file.comment)["prompt"] == "日本" and file.comment.isascii()
