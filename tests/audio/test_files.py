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

import io
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco import load_audio
from diffusers_jasco.audio.files import AudioFile
from diffusers_jasco.audio.recordings import Recording
from diffusers_jasco.audio.stream import AudioStream
from diffusers_jasco.utils.errors import EmptyInputError, InputError


av = pytest.importorskip("av")

CASES = Path(__file__).parents[1] / "fixtures/cases"
RATE = 48000
SECONDS = 2.0


def tone(seconds=SECONDS, frequency=440.0, rate=RATE) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encode(codec: str, container: str, rate=RATE, layout="stereo", pause_after=None, **options) -> bytes:
    """A tone, at half the level in the second channel, encoded by FFmpeg."""
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name, "encoded")  # a file because some muxers read their output
    with folder, av.open(str(path), "w", format=container, options=options) as target:
        track = target.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.stack([tone(), 0.5 * tone()]), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = RATE, 0
        resampler = av.AudioResampler(
            format=track.format.name, layout=layout, rate=rate, frame_size=track.codec_context.frame_size or 1024
        )
        for part in resampler.resample(frame) + resampler.resample(None):
            if pause_after is not None and part.pts >= pause_after * rate:
                part.pts += rate
            target.mux(track.encode(part))
        target.mux(track.encode(None))
        target.close()
        return path.read_bytes()


def pitch(waveform: torch.Tensor, rate: int) -> float:
    middle = waveform[len(waveform) // 4 :][: rate // 2]
    return float(torch.fft.rfft(middle).abs().argmax()) * rate / len(middle)


FORMATS = {
    "m4a": ("aac", "ipod", {}),
    "alac.m4a": ("alac", "ipod", {}),
    "mp4": ("aac", "mp4", {"movflags": "faststart"}),
    "fragments.mp4": ("aac", "mp4", {"movflags": "frag_keyframe+empty_moov"}),
    "mov": ("aac", "mov", {}),
    "3gp": ("aac", "3gp", {}),
    "aac": ("aac", "adts", {}),
    "webm": ("libopus", "webm", {}),
    "live.webm": ("libopus", "webm", {"live": "1"}),
    "mka": ("aac", "matroska", {}),
    "avi": ("mp2", "avi", {}),
    "wv": ("wavpack", "wv", {}),
    "tta": ("tta", "tta", {}),
    "ac3": ("ac3", "ac3", {}),
    "opus": ("libopus", "opus", {}),
    "ts": ("aac", "mpegts", {}),
}


@pytest.mark.parametrize("suffix", FORMATS)
def test_containers_are_detected_regardless_of_the_name(tmp_path, suffix):
    codec, container, options = FORMATS[suffix]
    content = encode(codec, container, **options)
    path = tmp_path / "recording.mp3"
    path.write_bytes(content)
    waveform, rate = load_audio(path)
    assert rate == RATE and len(waveform) == 2
    assert abs(waveform.shape[1] / RATE - SECONDS) < 0.05
    assert pitch(waveform[0], rate) == pytest.approx(440, abs=2)
    assert float(waveform[1].norm() / waveform[0].norm()) == pytest.approx(0.5, abs=0.05)
    (tmp_path / "no suffix").write_bytes(content)
    for other in (tmp_path / "no suffix", content, io.BytesIO(content), {"bytes": content, "path": None}):
        assert torch.equal(load_audio(other)[0], waveform)

    stream = AudioStream(path, None, RATE)
    assert stream.duration == waveform.shape[1] / RATE
    mono = waveform.mean(dim=0)
    for _ in range(2):
        assert np.allclose(np.concatenate(list(stream)), mono.numpy(), atol=1e-6)
    assert torch.allclose(Recording(path).read(30000, 50000, RATE)[0], mono[30000:50000], atol=1e-6)


@pytest.mark.parametrize("name", ["hum.m4a", "hum.webm"])
def test_recordings_from_phones_and_browsers(name):
    waveform, rate = load_audio(CASES / name)
    assert abs(waveform.shape[1] / rate - 2.0) < 0.05 and waveform.std() > 0.01


def test_a_narrowband_recording_keeps_its_rate():
    waveform, rate = load_audio(encode("libopencore_amrnb", "amr", 8000, "mono"))
    assert rate == 8000 and pitch(waveform[0], rate) == pytest.approx(440, abs=4)


def test_gaps_in_the_timestamps_become_silence():
    waveform, rate = load_audio(encode("libopus", "webm", pause_after=1.0))
    assert waveform.shape[1] / rate == pytest.approx(3.0, abs=0.05)
    assert not waveform[:, round(1.2 * rate) : round(1.8 * rate)].any()
    assert waveform[:, round(2.2 * rate) : round(2.8 * rate)].std() > 0.1


def test_without_pyav_the_error_names_the_extra_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        InputError, match=r"`drums`: .*hum.m4a is an MP4 or M4A file.*pip install .*\[formats\]"
    ) as error:
        load_audio(CASES / "hum.m4a", "drums")
    assert error.value.argument == "drums"


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"<html><body>404 Not Found</body></html>",
        b"\x00\x00\x00\x1cftypM4A " + b"\x00" * 200,
        b"\x1a\x45\xdf\xa3" + b"\xff" * 200,
        b"\xff\xf1\x00\x00",
        np.random.default_rng(0).bytes(100_000),
        b"\x89PNG\r\n\x1a\n" + np.random.default_rng(1).bytes(100_000),
    ],
)
def test_playlists_and_damaged_containers_are_rejected(tmp_path, content):
    (tmp_path / "a.mp3").write_bytes(content)
    for audio in (content, tmp_path / "a.mp3"):
        with pytest.raises(InputError, match="`melody`: .* (can't be read as audio|is an? .* file without audio)"):
            load_audio(audio, "melody")


def test_mp3_files_with_leading_bytes(tmp_path):
    file = io.BytesIO()
    soundfile.write(file, tone(), RATE, format="MP3")
    for before in (b"\0" * 5000, b"ID3\x03\0\0\0\0\x0f\x7f" + b"\0" * 2047, np.random.default_rng(0).bytes(900)):
        (tmp_path / "a.mp3").write_bytes(before + file.getvalue())
        waveform, rate = load_audio(tmp_path / "a.mp3")
        assert waveform.shape[1] / rate == pytest.approx(SECONDS, abs=0.1)


def test_a_video_without_audio_is_rejected():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as target:
        track = target.add_stream("mpeg4", rate=10, width=16, height=16, pix_fmt="yuv420p")
        for _ in range(3):
            target.mux(track.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        target.mux(track.encode(None))
    with pytest.raises(InputError, match="without audio"):
        load_audio(file.getvalue())


# Truncated files

WHOLE = {
    "wav": {"format": "WAV", "subtype": "PCM_16"},
    "float.wav": {"format": "WAV", "subtype": "FLOAT"},
    "adpcm.wav": {"format": "WAV", "subtype": "IMA_ADPCM"},
    "aiff": {"format": "AIFF", "subtype": "PCM_16"},
    "w64": {"format": "W64", "subtype": "PCM_16"},
    "rf64": {"format": "RF64", "subtype": "PCM_16"},
    "au": {"format": "AU", "subtype": "PCM_16"},
    "flac": {"format": "FLAC", "subtype": "PCM_16"},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {"format": "MP3"},
    "caf": {"format": "CAF", "subtype": "PCM_16"},
    "alac.caf": {"format": "CAF", "subtype": "ALAC_16"},
    "voc": {"format": "VOC", "subtype": "PCM_16"},
    "8-bit voc": {"format": "VOC", "subtype": "PCM_U8"},
    "svx": {"format": "SVX", "subtype": "PCM_16"},
    "avr": {"format": "AVR", "subtype": "PCM_16"},
    "nist": {"format": "NIST", "subtype": "PCM_16"},
    "mpc2k": {"format": "MPC2K", "subtype": "PCM_16"},
    "mat4": {"format": "MAT4", "subtype": "PCM_16"},
    "mat5": {"format": "MAT5", "subtype": "PCM_16"},
}
WHOLE_CONTAINERS = {
    "m4a": ("aac", "mp4", {"movflags": "faststart"}),
    "m4a with its index at the end": ("aac", "mp4", {}),
    "mka": ("flac", "matroska", {}),
    "wv": ("wavpack", "wv", {}),
    "tta": ("tta", "tta", {}),
    "avi": ("mp2", "avi", {}),
}


def whole_file(kind: str) -> bytes:
    if kind in WHOLE_CONTAINERS:
        codec, container, options = WHOLE_CONTAINERS[kind]
        return encode(codec, container, **options)
    file = io.BytesIO()
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(3 * RATE))
    soundfile.write(file, noise, RATE, **WHOLE[kind])
    return file.getvalue()


@pytest.mark.parametrize("kind", [*WHOLE, *WHOLE_CONTAINERS])
def test_truncated_files_are_rejected_everywhere(tmp_path, kind):
    content = whole_file(kind)
    path = tmp_path / "cut"
    path.write_bytes(content)
    load_audio(path)
    path.write_bytes(content[: int(0.8 * len(content))])
    with pytest.raises(InputError, match="`drums`: .* (truncated|damaged)"):
        load_audio(path, "drums")
    path.write_bytes(content[: len(content) // 2])
    uses = (
        lambda: load_audio(path, "audio"),
        lambda: list(AudioStream(path, None, 16000)),
        lambda: Recording(path).read(0, 3 * 16000, 16000),
    )
    for use in uses:
        with pytest.raises(ValueError, match="can't be read as audio"):
            use()


def test_an_incomplete_download_is_rejected_everywhere():
    for use in (load_audio, lambda path: list(AudioStream(path, None, 16000))):
        with pytest.raises(InputError, match="half.mp3 is truncated after 1.0. of 2.0. s"):
            use(CASES / "half.mp3")


def as_mp3(wave: np.ndarray, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format="MP3")
    return file.getvalue()


def vbri_header(content: bytes, frames: int, size: int) -> bytes:
    """An MP3 file whose Xing header is replaced by a VBRI header, as Fraunhofer's encoders write it."""
    header = b"VBRI" + struct.pack(">HHHII", 1, 0, 75, size, frames)
    return content[:4] + b"\0" * 32 + header + b"\0" * (384 - 36 - len(header)) + content[384:]


@pytest.mark.parametrize("header", ["Xing", "Xing without a size", "VBRI"])
def test_truncated_mp3_files_are_rejected_with_any_header(header):
    content = as_mp3(tone(6.0))
    place = content.index(b"Xing")
    frames = int.from_bytes(content[place + 8 : place + 12], "big")
    if header == "Xing without a size":
        content = content[: place + 7] + b"\1" + content[place + 8 : place + 12] + b"\0" * 108 + content[place + 120 :]
    elif header == "VBRI":
        content = vbri_header(content, frames, len(content))
    waveform, rate = load_audio(content)
    assert waveform.shape[1] / rate == pytest.approx(6.0, abs=0.1)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(InputError, match=r"`drums`: the file is truncated after .* of 6\.[01]. s"):
            load_audio(content[: int(share * len(content))], "drums")


@pytest.mark.parametrize("frames", [0, 2**32 - 1])
def test_an_mp3_header_without_a_length_claims_nothing(frames):
    content = as_mp3(tone())
    place = content.index(b"Xing")
    waveform, rate = load_audio(content[: place + 8] + struct.pack(">I", frames) + content[place + 12 :])
    assert waveform.shape[1] / rate == pytest.approx(SECONDS, abs=0.1)


def id3_tag(size: int) -> bytes:
    return b"ID3\3\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + bytes(size)


BEFORE = {
    "two tags": id3_tag(1000) + id3_tag(500),
    "a tag and zeros": id3_tag(100) + bytes(70_000),
    "a tag of several MB": id3_tag(6_000_000),
    "a tag whose size is wrong": id3_tag(3000)[:2000],
    "other bytes": np.random.default_rng(0).bytes(900),
    "bytes that look like a frame": b"\xff\xfb\x90\x44" + bytes(300),
}


@pytest.mark.parametrize("name", BEFORE)
def test_mp3_files_that_start_with_tags_or_other_bytes(tmp_path, name):
    content = BEFORE[name] + as_mp3(tone())
    (tmp_path / "a.dat").write_bytes(content)
    for audio in (content, tmp_path / "a.dat"):
        waveform, rate = load_audio(audio)
        assert waveform.shape[1] / rate == pytest.approx(SECONDS, abs=0.15)
        assert pitch(waveform[0], rate) == pytest.approx(440, abs=2)
    if name != "a tag whose size is wrong":  # the tag hides the header with the length
        with pytest.raises(InputError, match="is truncated after"):
            load_audio(content[: -len(as_mp3(tone())) // 2])


def test_an_mp3_stream_that_starts_within_a_frame():
    content = as_mp3(tone())[1000:]
    waveform, rate = load_audio(content)
    assert 1.7 < waveform.shape[1] / rate < 2.1 and pitch(waveform[0], rate) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("codec", ["libopus", "vorbis", "flac"])
def test_all_streams_of_a_chained_ogg_file_are_read(codec):
    if codec == "vorbis":
        parts = []
        for _ in range(2):
            file = io.BytesIO()
            soundfile.write(file, np.stack([tone(), tone()], axis=1), RATE, format="OGG", subtype="VORBIS")
            parts.append(file.getvalue())
    else:
        parts = [encode(codec, "ogg") for _ in range(2)]
    waveform, rate = load_audio(b"".join(parts))
    assert waveform.shape[1] / rate == pytest.approx(2 * SECONDS, abs=0.05)
    assert pitch(waveform[0, -RATE:], rate) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("kind", ["m4a", "m4a with its index at the end", "caf", "ogg", "flac", "aiff", "avi"])
def test_appended_bytes_are_ignored(kind):
    content = whole_file(kind)
    expected = load_audio(content)[0]
    for tail in (b"TAG" + b"x y" * 41 + b"xx", bytes(5000), b"\xff" * 100, b"APETAGEX" + bytes(24)):
        assert torch.equal(load_audio(content + tail)[0], expected)


def test_an_empty_file_is_rejected():
    with pytest.raises(InputError, match=r"`drums`: the file is empty \(0 bytes\)"):
        load_audio(b"", "drums")


def test_flac_streams_of_unknown_length():
    file = io.BytesIO()
    soundfile.write(file, tone(), RATE, format="FLAC")
    content = bytearray(file.getvalue())
    content[21] &= 0xF0
    content[22:26] = bytes(4)  # as FLAC encoders write to a pipe
    waveform, rate = load_audio(bytes(content))
    assert waveform.shape == (1, round(SECONDS * RATE))
    np.testing.assert_allclose(waveform[0], tone(), atol=1e-4)


def test_pyav_continues_where_libsndfile_fails(warnings):
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.random.default_rng(0).standard_normal(4 * RATE), RATE, format="FLAC")
    content = file.getvalue()
    expected = load_audio(content)[0]
    damaged = content[: len(content) // 2] + b"\xaa" * 100 + content[len(content) // 2 + 100 :]
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(io.BytesIO(damaged))
    audio = load_audio(damaged)[0]
    assert audio.shape == expected.shape
    equal_share = (audio == expected).float().mean()
    assert 0.9 < equal_share < 1
    assert "the file is damaged after" in warnings.text
    part = AudioFile(damaged).read(3 * RATE, 3 * RATE + 1000)
    np.testing.assert_allclose(part.T, expected[:, 3 * RATE : 3 * RATE + 1000], atol=1e-4)


@pytest.mark.parametrize("kind", ["adts", "amr", "flv", "mpegts"])
def test_streams_without_a_length_that_end_within_a_packet_cause_a_warning(kind, warnings):
    codec, rate, layout = ("libopencore_amrnb", 8000, "mono") if kind == "amr" else ("aac", RATE, "stereo")
    content = encode(codec, kind, rate, layout)
    load_audio(content)
    assert "is the copy or download complete" not in warnings.text
    waveform, own_rate = load_audio(content[: len(content) // 2])
    assert 0.8 < waveform.shape[1] / own_rate < 1.2
    assert warnings.text.count("is the copy or download complete?") == 1


@pytest.mark.parametrize("riff_size", [0, 36])
@pytest.mark.parametrize("silence", [0, 1000])
def test_a_wav_file_of_a_killed_recorder_does_not_count_as_empty(riff_size, silence):
    file = io.BytesIO()
    soundfile.write(file, np.concatenate([np.zeros(silence), tone()]), RATE, format="WAV", subtype="PCM_16")
    content = file.getvalue()
    place = content.index(b"data")
    content = content[:4] + struct.pack("<I", riff_size) + content[8:place] + b"data\0\0\0\0" + content[place + 8 :]
    with pytest.raises(InputError, match="its header declares no audio") as error:
        load_audio(content, "drums")
    assert not isinstance(error.value, EmptyInputError)


def test_the_length_of_mp3_files_is_counted():
    file = io.BytesIO()
    noise = np.random.default_rng(0).standard_normal(2 * RATE) * 0.3
    wave = np.concatenate([noise, np.zeros(3 * RATE), tone()])
    soundfile.write(file, wave, RATE, format="MP3", bitrate_mode="VARIABLE", compression_level=0.3)
    content = file.getvalue()
    # The first frame only contains the length, at which libsndfile stops. Many files have no such frame, or a wrong
    # one.
    end = content.index(b"\xff\xfb", 100)
    expected = len(wave) / RATE
    for version, seconds in ((content, expected), (content[end:], expected), (content + content, 2 * expected)):
        waveform, rate = load_audio(version)
        assert waveform.shape[1] / rate == pytest.approx(seconds, abs=0.1)
        assert pitch(waveform[0, -RATE:], rate) == pytest.approx(440, abs=2)


# PCM files


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
@pytest.mark.parametrize(
    "format, subtype, tolerance",
    [
        ("WAV", "PCM_U8", 1e-2),
        ("WAV", "PCM_24", 1e-5),
        ("WAV", "PCM_32", 1e-5),
        ("WAV", "FLOAT", 1e-6),
        ("WAV", "DOUBLE", 1e-6),
        ("WAV", "ULAW", 2e-2),
        ("WAV", "GSM610", None),
        ("WAVEX", "PCM_16", 1e-4),
        ("RF64", "PCM_16", 1e-4),
        ("W64", "PCM_16", 1e-4),
        ("CAF", "PCM_16", 1e-4),
        ("AIFF", "PCM_24", 1e-5),
    ],
)
def test_kinds_of_pcm_files(format, subtype, tolerance, rate):
    channels = 1 if tolerance is None else 6
    wave = np.stack([tone(0.5, 100.0 * (channel + 1), rate) for channel in range(channels)], axis=1)
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, channels, subtype, format=format) as target:
        target.write(wave)
    waveform, own_rate = load_audio(file.getvalue())
    assert own_rate == rate and len(waveform) == channels
    if tolerance is None:
        assert pitch(waveform[0], rate) == pytest.approx(100, abs=5)
    else:
        torch.testing.assert_close(waveform, torch.from_numpy(wave.T.copy()), atol=tolerance, rtol=0)


def test_unknown_chunks_and_trailing_bytes_are_skipped():
    file = io.BytesIO()
    soundfile.write(file, tone(), RATE, format="WAV")
    content = file.getvalue()
    expected = load_audio(content)[0]
    odd = b"JUNK" + (3).to_bytes(4, "little") + b"abc\0" + b"LIST" + (4).to_bytes(4, "little") + b"INFO"
    changed = content[:12] + odd + content[12:] + b"id3 " + (4).to_bytes(4, "little") + b"\xff\xfb\x90\x00"
    changed = changed[:4] + (len(changed) - 8).to_bytes(4, "little") + changed[8:]
    assert torch.equal(load_audio(changed)[0], expected)


def test_files_without_samples_name_the_argument():
    for empty in (CASES / "empty.wav", (CASES / "empty.wav").read_bytes()):
        with pytest.raises(EmptyInputError, match="`melody`: .* is empty"):
            load_audio(empty, "melody")
    with pytest.raises(EmptyInputError):
        AudioStream(CASES / "empty.wav", None, 16000)


def test_excerpts_equal_slices_of_the_whole_file(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.stack([tone(25.0), tone(25.0, 660)], axis=1), RATE)
    whole = AudioFile(path).read()
    assert len(whole) == 25 * RATE
    for start, stop in ((0, 100), (12345, 23 * RATE), (24 * RATE, None), (RATE, 10**9)):
        assert np.array_equal(AudioFile(path).read(start, stop), whole[start:stop])
    assert AudioFile(path).read(26 * RATE).shape == (0, 2)


def test_file_objects_that_cannot_seek():
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise OSError

    file = io.BytesIO()
    soundfile.write(file, tone(), RATE, format="FLAC")
    assert load_audio(Pipe(file.getvalue()))[0].shape == (1, round(SECONDS * RATE))
