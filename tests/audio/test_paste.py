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

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco.audio import export_audio, files, load_audio, paste, resample
from diffusers_jasco.audio.loudness import PEAK_CEILING, limit_added
from diffusers_jasco.audio.matching import equalize, octave_centers, read_delayed
from diffusers_jasco.audio.metadata import read_metadata
from diffusers_jasco.audio.regions import mark_known, splice
from diffusers_jasco.inputs import InputError


RATE = 44100
MODEL_RATE = 24000


def noise(seconds, channels=2, seed=0, rate=RATE):
    return 0.1 * torch.randn(channels, round(seconds * rate), generator=torch.Generator().manual_seed(seed))


def tone(frequency, seconds, rate=RATE):
    return 0.4 * torch.sin(2 * math.pi * frequency * torch.arange(round(seconds * rate)) / rate)[None]


def write(path, waveform, encoding="PCM_16"):
    soundfile.write(path, waveform.T.double().numpy(), RATE, subtype=encoding)
    return path


def to_model(waveform):
    """The mono mix at the pipeline's rate."""
    return resample(waveform.mean(dim=0, keepdim=True), RATE, MODEL_RATE)


def edit(waveform, generated, *regions):
    """The output of the inpaint pipeline for generated music."""
    mix = to_model(waveform)
    known = mark_known(regions, 0, mix.shape[-1], mix.shape[-1], MODEL_RATE)
    return splice(generated, mix, known, 0, mix.shape[-1], MODEL_RATE)


def edit_end(waveform, generated):
    """The output of the inpaint pipeline for a recording that is continued."""
    mix = to_model(waveform)
    return torch.cat([mix, generated[:, mix.shape[-1] :]], dim=1)


def level(waveform, start, end, rate=RATE):
    """Levels of the channels from `start` to `end` seconds in dB."""
    return 10 * waveform[:, round(start * rate) : round(end * rate)].double().square().mean(dim=1).log10()


@pytest.mark.parametrize(
    "source, encoding, target, written",
    [
        (".wav", "PCM_16", ".wav", "PCM_16"),
        (".wav", "PCM_24", ".wav", "PCM_24"),
        (".wav", "PCM_32", ".wav", "PCM_32"),
        (".wav", "PCM_U8", ".wav", "PCM_U8"),
        (".wav", "FLOAT", ".wav", "FLOAT"),
        (".wav", "DOUBLE", ".wav", "DOUBLE"),
        (".flac", "PCM_16", ".flac", "PCM_16"),
        (".flac", "PCM_24", ".wav", "PCM_24"),
        (".wav", "PCM_24", ".flac", "PCM_24"),
        (".wav", "ULAW", ".wav", "FLOAT"),
        (".mp3", "MPEG_LAYER_III", ".wav", "FLOAT"),
        (".ogg", "VORBIS", ".wav", "FLOAT"),
    ],
)
def test_samples_outside_the_regions_are_unchanged(tmp_path, source, encoding, target, written):
    file = write(tmp_path / f"song{source}", (noise(3.0) * 4).clamp(-1, 1), encoding)
    audio = noise(3.0, 1, 1, MODEL_RATE)
    path = paste(file, audio, MODEL_RATE, [(1.0, 1.5), (2.5, 2.75)], tmp_path / f"new{target}")
    assert path == tmp_path / f"new{target}" and sorted(item.name for item in tmp_path.iterdir()) == sorted(
        [path.name, file.name]
    )
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.subtype) == (RATE, 2, written)
    before, after = soundfile.read(file)[0], soundfile.read(path)[0]
    assert before.shape == after.shape
    is_equal = (before == after).all(axis=1)
    inside = np.zeros(len(before), dtype=bool)
    inside[RATE : RATE * 3 // 2] = inside[RATE * 5 // 2 : RATE * 11 // 4] = True
    assert is_equal[~inside].all() and is_equal[inside].mean() < 0.1


def test_in_memory(tmp_path):
    recording, audio = noise(2.0), noise(2.0, 1, 1, MODEL_RATE)
    waveform, rate = paste((recording, RATE), audio, MODEL_RATE, [(0.5, 1.0)])
    assert rate == RATE and waveform.dtype == torch.float32 and waveform.shape == recording.shape
    path = paste((recording, RATE), audio.numpy(), MODEL_RATE, np.array([[0.5, 1.0]]), tmp_path / "a.wav")
    assert torch.equal(load_audio(path)[0], waveform)
    with_metadata = paste((recording, RATE), audio, MODEL_RATE, [(0.5, 1.0)], tmp_path / "b.wav", metadata={"seed": 7})
    assert read_metadata(with_metadata)["seed"] == 7 and torch.equal(load_audio(with_metadata)[0], waveform)


def test_blocks_do_not_matter(monkeypatch, tmp_path):
    file, audio = write(tmp_path / "a.wav", noise(2.0)), noise(2.0, 1, 1, MODEL_RATE)
    regions = [(0.25, 0.9), (1.0, 1.5)]
    whole, _ = paste(file, audio, MODEL_RATE, regions)
    monkeypatch.setattr(files, "BLOCK_SECONDS", 0.2)
    assert torch.equal(paste(file, audio, MODEL_RATE, regions)[0], whole)


def test_levels_and_bands_are_those_of_the_surroundings():
    # Left is louder and has no treble; the model's music is mono, and 4 dB too quiet.
    source = noise(6.0, 1)
    centers = octave_centers(MODEL_RATE)
    gains = torch.ones(2, len(centers), dtype=torch.float64)
    gains[0, -2:], gains[1] = 0.05, 0.5
    recording = equalize(source, gains, centers, RATE)
    audio = 10 ** (-4 / 20) * resample(noise(6.0, 1), RATE, MODEL_RATE)
    result, _ = paste((recording, RATE), audio, MODEL_RATE, [(2.0, 4.0)])
    assert not torch.equal(result, recording)
    result, recording = (resample(waveform, RATE, MODEL_RATE) for waveform in (result, recording))
    assert (level(result, 2.1, 3.9, MODEL_RATE) - level(recording, 2.1, 3.9, MODEL_RATE)).abs().max() < 1
    treble = torch.zeros(2, len(centers), dtype=torch.float64)
    treble[:, -1] = 1
    high = level(equalize(result, treble, centers, MODEL_RATE), 2.1, 3.9, MODEL_RATE)
    expected = level(equalize(recording, treble, centers, MODEL_RATE), 2.1, 3.9, MODEL_RATE)
    assert abs(float(high[1] - expected[1])) < 1 and high[0] < high[1] - 10


def test_gains_have_a_limit():
    recording = 0.05 * noise(6.0, 2, 0)
    for gain in (0.05, 20.0):
        audio = gain * to_model(recording[:1])
        changed = audio.clone()
        changed[:, 2 * MODEL_RATE : 4 * MODEL_RATE] = gain * 0.05 * noise(2.0, 1, 1, MODEL_RATE)
        result, _ = paste((recording, RATE), changed, MODEL_RATE, [(2.0, 4.0)])
        applied = level(result, 2.1, 3.9).mean() - level(changed, 2.1, 3.9, MODEL_RATE).mean()
        assert abs(float(applied) - math.copysign(6, 1 - gain)) < 0.5


@pytest.mark.parametrize("difference, change", [(-4, 4), (4, -4), (-20, 6), (20, -6)])
def test_new_music_gets_the_level_of_its_surroundings(difference, change):
    recording = 0.1 * noise(6.0, 1).expand(2, -1)
    mix = to_model(recording)
    audio = edit(recording, 10 ** (difference / 20) * 0.1 * to_model(noise(6.0, 1, 1)), (2.0, 4.0))
    result, _ = paste((recording, RATE), audio, MODEL_RATE, [(2.0, 4.0)])
    applied = level(result, 2.1, 3.9).mean() - level(mix, 2.1, 3.9, MODEL_RATE).mean()
    assert abs(float(applied) - difference - change) < 0.5


def test_tones_between_two_octave_bands_get_the_level_of_their_surroundings():
    # The new music has a loud tone just above 88 Hz, where bands of a large and of a small gain meet.
    recording = tone(60, 6.0) + tone(140, 6.0)
    generated = tone(98, 6.0, MODEL_RATE) * 1.9 + tone(60, 6.0, MODEL_RATE) * 0.4
    result, _ = paste((recording, RATE), edit(recording, generated, (2.0, 4.0)), MODEL_RATE, [(2.0, 4.0)])
    assert abs(float(level(result, 2.1, 3.9) - level(recording, 0, 2))) < 1.5


def test_moving_pans_continue():
    angle = torch.linspace(0, math.pi / 2, 10 * RATE)
    recording = noise(10.0, 1) * torch.stack([angle.cos(), angle.sin()])
    result, _ = paste((recording, RATE), to_model(noise(10.0, 1, 1)), MODEL_RATE, [(2.5, 5.0)])
    for start in np.arange(2.5, 5.0, 0.5):
        expected, pasted = (level(waveform, start, start + 0.5) for waveform in (recording, result))
        assert abs(float((pasted[0] - pasted[1]) - (expected[0] - expected[1]))) < 1.5
        treble = 10 * math.log10(MODEL_RATE / RATE)
        assert abs(float((pasted - expected).mean()) - treble) < 1


def test_long_music_is_matched_at_the_border():
    recording = noise(2.0, 1)
    fading = torch.cat([to_model(noise(7.0, 1, 1)), 0.1 * to_model(noise(20.0, 1, 2))], dim=1)
    result, _ = paste((recording, RATE), edit_end(recording, fading), MODEL_RATE)
    assert abs(float(level(result, 3, 6) - level(recording, 0, 2, RATE))) < 3.5, "without the treble"
    assert abs(float(level(result, 10, 20) - level(result, 3, 6) + 20)) < 0.5


def test_stereo_music_keeps_its_channels():
    recording = noise(3.0)
    audio = resample(recording, RATE, MODEL_RATE)
    audio[:, MODEL_RATE : 2 * MODEL_RATE] = torch.cat([tone(440, 1.0, MODEL_RATE), tone(880, 1.0, MODEL_RATE)])
    result, _ = paste((recording, RATE), audio, MODEL_RATE, [(1.0, 2.0)])
    spectrum = torch.fft.rfft(result[:, RATE + 2205 : 2 * RATE - 2205]).abs()
    assert (spectrum.argmax(dim=1) * RATE / (RATE - 4410)).round(decimals=0).tolist() == pytest.approx(
        [440, 880], abs=1
    )


def test_the_recording_is_faded_only_once():
    recording = noise(3.0, 1).expand(2, -1)
    spliced = edit(recording, torch.zeros(1, 3 * MODEL_RATE), (1.0, 2.0))
    result, _ = paste((recording, RATE), spliced, MODEL_RATE, [(1.0, 2.0)])
    size = round(0.05 * RATE)
    curve = torch.linspace(0, math.pi / 2, size).cos()
    for part, factor in ((slice(RATE, RATE + size), curve), (slice(2 * RATE - size, 2 * RATE), curve.flip(-1))):
        expected = recording[:, part] * factor
        assert (result[:, part] - expected).square().mean() < 1e-3 * expected.square().mean()
    assert result[:, RATE + size : 2 * RATE - size].abs().max() < 1e-3


@pytest.mark.parametrize("is_spliced", [True, False])
@pytest.mark.parametrize("shift", [0.0, 0.002, 0.005, 0.008])
def test_fades_are_in_phase(is_spliced, shift):
    recording = tone(110, 4.0).expand(2, -1)
    generated = tone(110, 4.0, MODEL_RATE).roll(round(shift * MODEL_RATE), dims=-1)
    audio = edit(recording, generated, (1.0, 3.0)) if is_spliced else generated
    result, _ = paste((recording, RATE), audio, MODEL_RATE, [(1.0, 3.0)])
    levels = torch.stack([level(result, start, start + 0.02).mean() for start in np.arange(0.9, 3.1, 0.01)])
    assert (levels - level(recording, 0, 1).mean()).min() > -1.5, "the fades do not cancel"
    assert (levels - level(recording, 0, 1).mean()).max() < 3.5


def test_delays_change_slowly():
    recording = torch.cat([tone(110, 4.0)[:, : 2 * RATE], tone(70, 4.0)[:, 2 * RATE :]], dim=1)
    generated = resample(
        torch.cat([-tone(110, 4.0)[:, : 2 * RATE], -tone(70, 4.0)[:, 2 * RATE :]], dim=1), RATE, MODEL_RATE
    )
    result, _ = paste((recording, RATE), edit(recording, generated, (0.5, 3.5)), MODEL_RATE, [(0.5, 3.5)])
    for start in (0.5, 3.45):
        assert (level(result, start, start + 0.05) - level(recording, start, start + 0.05)).abs().max() < 3.5
    spectrum = torch.fft.rfft(result[0, RATE : 2 * RATE - 2205] * torch.hann_window(RATE - 2205)).abs()
    assert float(spectrum.argmax()) * RATE / (RATE - 2205) == pytest.approx(110, abs=1.1)


def test_reading_with_a_changing_delay():
    waveform = tone(440, 1.0)
    read = read_delayed(waveform, 10_000, 30_000, (100, 140))
    times = torch.linspace(10_100, 30_140, 20_001, dtype=torch.float64)[:-1]
    expected = 0.4 * torch.sin(2 * math.pi * 440 * times / RATE)
    assert read.shape == (1, 20_000) and (read[0] - expected).abs().max() < 0.02
    assert torch.equal(read_delayed(waveform, 100, 200, (-7, -7)), waveform[:, 93:193])


def test_the_recording_can_be_continued_at_both_ends(tmp_path):
    recording = tone(220, 2.0).expand(2, -1) * torch.tensor([[1.0], [0.5]])
    file = write(tmp_path / "a.wav", recording, "PCM_24")
    start = 1.25
    mix = resample(0.75 * tone(220, 4.25), RATE, MODEL_RATE)  # in phase with the recording
    path = paste(file, mix, MODEL_RATE, [], tmp_path / "b.wav", audio_start_seconds=start)
    before, after = load_audio(file)[0], load_audio(path)[0]
    first, last = round(start * RATE), round(start * RATE) + 2 * RATE
    assert after.shape == (2, round(4.25 * RATE)) and torch.equal(after[:, first:last], before)
    for side in (after[:, :first], after[:, last:]):
        assert (level(side, 0.2, 0.8) - level(before, 0, 2)).abs().max() < 0.5
    steps = before.diff(dim=1).abs().max()
    assert after[:, first - 50 : first + 50].diff(dim=1).abs().max() < 1.3 * steps
    assert after[:, last - 50 : last + 50].diff(dim=1).abs().max() < 1.3 * steps


def test_a_region_up_to_the_continuation(tmp_path):
    recording, audio = noise(2.0), noise(4.0, 1, 1, MODEL_RATE)
    result, _ = paste((recording, RATE), audio, MODEL_RATE, [(1.5, 2.0)])
    assert result.shape == (2, 4 * RATE) and torch.equal(result[:, : RATE * 3 // 2], recording[:, : RATE * 3 // 2])
    joined, _ = paste((recording, RATE), audio, MODEL_RATE, [(1.5, 3.0)])
    assert torch.equal(joined, result)


@pytest.mark.parametrize("difference", [-0.05, 0.05])
def test_music_may_differ_from_the_file_by_a_frame(difference):
    recording = noise(2.0)
    audio = noise(2.0 + difference, 1, 1, MODEL_RATE)
    result, _ = paste((recording, RATE), audio, MODEL_RATE, [(0.5, 1.0)])
    assert result.shape == recording.shape
    outside = torch.cat(
        [result[:, : RATE // 2] - recording[:, : RATE // 2], result[:, RATE:] - recording[:, RATE:]], dim=1
    )
    assert not outside.any()


def test_silence_and_whole_files():
    recording, audio = torch.zeros(2, 2 * RATE), noise(2.0, 1, 1, MODEL_RATE)
    result, _ = paste((recording, RATE), audio, MODEL_RATE, [(0.5, 1.0)])
    assert (level(result, 0.6, 0.9) - level(audio, 0.6, 0.9, MODEL_RATE)).abs().max() < 1
    whole, _ = paste((noise(2.0), RATE), audio, MODEL_RATE, [(0.0, 2.0)])
    assert (level(whole, 0, 2) - level(audio, 0, 2, MODEL_RATE)).abs().max() < 1


AUDIO = torch.zeros(1, 2 * MODEL_RATE)


@pytest.mark.parametrize(
    "options, argument, message",
    [
        (
            {"regions": [(0.5, 1.2), (1.0, 1.5)]},
            "regions",
            "must not overlap, but one starts at 1 s, before another ends at 1.2 s",
        ),
        ({"regions": [(1.0, 1.0)]}, "regions", "start before they end"),
        ({"regions": [(1.5, 1.0)]}, "regions", "start before they end"),
        ({"regions": [(-0.5, 1.0)]}, "regions", "within the music of 2 s"),
        ({"regions": [(1.0, 2.5)]}, "regions", "within the music of 2 s"),
        ({"regions": [(1.0, math.nan)]}, "regions", "a number of seconds, but is nan"),
        ({"regions": (1.0, 1.5)}, "regions", "list of pairs"),
        ({"regions": [(1.0, 1.2, 1.5)]}, "regions", "list of pairs"),
        ({"regions": 1.0}, "regions", "list of pairs"),
        ({"regions": "1-2"}, "regions", "list of pairs"),
        ({"regions": []}, "regions", "All of the recording is kept"),
        ({"audio": torch.zeros(1, MODEL_RATE)}, "audio", "ends at 2.00 s, but ends at 1.00 s"),
        ({"audio_start_seconds": 0.5}, "audio", "ends at 2.50 s, but ends at 2.00 s"),
        ({"audio_start_seconds": -1.0}, "audio_start_seconds", "at least 0"),
        ({"audio": torch.full((1, 2 * MODEL_RATE), math.nan)}, "audio", "not finite"),
        ({"sampling_rate": 0}, "audio", "sampling rate"),
        ({"path": "song.mp3"}, "path", "lossy formats change all samples"),
        ({"path": "song"}, "path", "has to be a file name"),
        ({"path": "song.flac"}, "path", "FLAC has integers of at most 24 bits"),
        ({"file": (torch.full((2, 100), 2.0**40), RATE)}, "file", "reach"),
    ],
)
def test_errors(options, argument, message):
    arguments = {"file": (torch.zeros(2, 2 * RATE), RATE), "audio": AUDIO, "sampling_rate": MODEL_RATE}
    with pytest.raises(InputError, match=message) as error:
        paste(**arguments | {"regions": [(0.5, 1.0)]} | options)
    assert error.value.argument == argument


def test_files_that_cannot_be_written(tmp_path):
    file = write(tmp_path / "a.wav", noise(2.0))
    content = file.read_bytes()
    with pytest.raises(InputError, match="another file than the recording"):
        paste(file, AUDIO, MODEL_RATE, [(0.5, 1.0)], tmp_path / ".." / tmp_path.name / "a.wav")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        paste(file, AUDIO, MODEL_RATE, [(0.5, 1.0)], tmp_path / "absent" / "a.wav")
    soundfile.write(tmp_path / "b.wav", np.full((2 * RATE, 1), 9.0), RATE, subtype="FLOAT")
    with pytest.raises(InputError, match=r"in \[-1, 1\], but reach 9"):
        paste(tmp_path / "b.wav", AUDIO, MODEL_RATE, [(0.5, 1.0)], tmp_path / "c.wav")
    assert file.read_bytes() == content and sorted(item.name for item in tmp_path.iterdir()) == ["a.wav", "b.wav"]


def test_peaks_of_new_samples_are_limited(tmp_path, caplog):
    file = export_audio(noise(2.0), tmp_path / "a.wav", RATE)
    audio = noise(2.0, 1, 1, MODEL_RATE)
    quiet, _ = load_audio(paste(file, audio, MODEL_RATE, [(0.5, 1.0)], tmp_path / "b.wav"))
    audio[:, 15_000:20_000] *= 100  # 0.625 to 0.83 s
    loud, _ = load_audio(paste(file, audio, MODEL_RATE, [(0.5, 1.0)], tmp_path / "c.wav"))
    assert not caplog.text and 0.8 < float(loud.abs().max()) <= PEAK_CEILING
    assert int((loud.abs() > 0.999 * PEAK_CEILING).sum()) < 0.01 * loud.numel(), "peaks are not flattened"
    outside = torch.ones(2 * RATE, dtype=torch.bool)
    outside[RATE // 2 : RATE] = False
    assert torch.equal(loud[:, outside], quiet[:, outside])


@pytest.mark.parametrize("peak", [0.5, 0.98, 1.8])
def test_limited_music_fades_into_loud_recordings(peak):
    recording = tone(440, 4.0) / 0.4 * peak
    generated = 3 * tone(440, 4.0, MODEL_RATE)
    audio = edit(recording, generated, (1.0, 3.0))
    result, _ = paste((recording, RATE), audio, MODEL_RATE, [(1.0, 3.0)])
    assert torch.equal(result[:, :RATE], recording[:, :RATE])
    assert torch.equal(result[:, 3 * RATE :], recording[:, 3 * RATE :])
    assert float(result.abs().max()) <= max(peak, PEAK_CEILING) * (1 + 1e-6)
    assert result.diff(dim=1).abs().max() < 1.3 * max(peak, PEAK_CEILING) * 2 * math.pi * 440 / RATE


def test_music_below_the_ceiling_is_not_limited():
    added, kept = 0.2 * torch.randn(2, 1000).clamp(-1, 1), 0.5 * torch.ones(2, 1000)
    assert torch.equal(limit_added(added, kept, PEAK_CEILING, RATE), added)
    loud = added.clone()
    loud[0, 500] = 1.0
    limited = limit_added(loud, kept, PEAK_CEILING, RATE)
    assert float((limited + kept).abs().max()) <= PEAK_CEILING + 1e-6
    assert torch.equal(limited[:, :50], added[:, :50]) and torch.equal(limited[:, 950:], added[:, 950:])
