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


import importlib.util
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.synthetic import soundfonts
from diffusers_jasco.data.synthetic.instruments import DRUM_KEYS
from diffusers_jasco.data.synthetic.rendering import TinySoundFontRenderer
from diffusers_jasco.data.synthetic.soundfonts import (
    Instrument,
    Preset,
    Sample,
    SoundFont,
    Zone,
    played_programs,
    read_soundfont,
    select_presets,
    shrink_soundfont,
    to_file,
)


RATE = 24000
NOTES = [(0.0, 0.4, 60, 100), (0.5, 0.9, 67, 80)]
PAN, INSTRUMENT, KEY_RANGE, SAMPLE, LOOPS = 17, 41, 43, 53, {54: 1}


@pytest.fixture(scope="module")
def path() -> Path:
    return Path(importlib.util.find_spec("pretty_midi").submodule_search_locations[0]) / "TimGM6mb.sf2"


@pytest.fixture(scope="module")
def font(path) -> SoundFont:
    return read_soundfont(path)


def render(font: SoundFont | Path, folder: Path, program: int, is_kit: bool = False, quality: float | None = None):
    file = font
    if isinstance(font, SoundFont):
        file = folder / f"font.sf{2 if quality is None else 3}"
        file.write_bytes(to_file(font, quality))
    renderer = TinySoundFontRenderer(file, RATE)
    notes = [(0.2 * index, 0.2 * index + 0.1, key, 100) for index, key in enumerate((36, 38, 42))] if is_kit else NOTES
    return renderer.render({"stem": (program, is_kit, notes)}, 1.0)["stem"]


def relative_error(value: np.ndarray, reference: np.ndarray) -> float:
    return float(np.linalg.norm(value - reference) / np.linalg.norm(reference))


def sine(frequency: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return (8000 * np.sin(2 * np.pi * frequency / rate * np.arange(round(seconds * rate)))).astype(np.int16)


def make_font(frames: list[np.ndarray], zones: list[dict[int, int]], rate: int = 48000) -> SoundFont:
    """A font with one program, whose samples have the pitch of A4 and a loop of their last third."""
    samples = [
        Sample(b"sine", content, rate, (2 * len(content) // 3, len(content) - 8), 69, 0, 1, 0) for content in frames
    ]
    instruments = [Instrument(b"sine", [Zone(zone, []) for zone in zones])]
    return SoundFont({}, [Preset(b"sine", 0, 0, [Zone({INSTRUMENT: 0}, [])])], instruments, samples)


def pitch(samples: np.ndarray) -> float:
    """The frequency of the largest peak of the spectrum, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 16 * len(samples)))
    return np.argmax(spectrum) * RATE / (16 * len(samples))


def test_a_written_font_is_the_same(font, tmp_path):
    (tmp_path / "copy.sf2").write_bytes(to_file(font))
    copy = read_soundfont(tmp_path / "copy.sf2")
    assert copy.info.pop(b"ifil") and copy.info == {key: font.info[key] for key in font.info if key != b"ifil"}
    assert copy.presets == font.presets and copy.instruments == font.instruments
    for sample, expected in zip(copy.samples, font.samples, strict=True):
        assert np.array_equal(sample.frames, expected.frames)
        assert replace(sample, content=b"") == replace(expected, content=b"")


@pytest.mark.parametrize(("program", "is_kit"), [(0, False), (33, False), (0, True)])
def test_selected_presets_sound_the_same(font, path, tmp_path, program, is_kit):
    selected = select_presets(font, [(128 if is_kit else 0, program)], drum_keys=(36, 38, 42))
    assert len(to_file(selected)) < path.stat().st_size / 10
    audio = render(selected, tmp_path, program, is_kit)
    assert relative_error(audio, render(path, tmp_path, program, is_kit)) < 1e-5 and np.abs(audio).max() > 0.01


def test_unused_drums_are_dropped_and_missing_presets_reported(font):
    kit = select_presets(font, [(128, 0)])
    kicks = select_presets(font, [(128, 0)], drum_keys=[36])
    assert 0 < len(kicks.samples) < len(kit.samples) / 4
    with pytest.raises(ValueError, match=r"no preset for \(bank, program\) \[\(3, 5\)\]"):
        select_presets(font, [(0, 0), (3, 5)])


def test_compressed_fonts_are_rendered(font, path, tmp_path):
    selected = select_presets(font, [(0, 0), (0, 56)])
    sizes = [len(to_file(selected, quality)) for quality in (None, 0.8, 0.1)]
    assert sizes[0] > 2 * sizes[1] and sizes[1] > sizes[2]
    for program in (0, 56):
        audio = render(selected, tmp_path, program, quality=0.8)
        assert relative_error(audio, render(path, tmp_path, program)) < 0.1


def test_resampled_samples_keep_their_pitch_and_their_loops(tmp_path):
    # The note lasts longer than the sample, so that the loop is played, too.
    font = make_font([sine(440, 48000, 0.5)], [{SAMPLE: 0} | LOOPS])
    small = shrink_soundfont(font, RATE)
    assert small.samples[0].rate == pytest.approx(RATE, abs=2) and len(small.samples[0].frames) < 12100
    reference, audio = (
        TinySoundFontRenderer(write(each, tmp_path / f"{number}.sf2"), RATE).render(
            {"a": (0, False, [(0.0, 1.9, 69, 100)])}, 1.9
        )["a"]
        for number, each in enumerate((font, small))
    )
    assert pitch(audio) == pytest.approx(440, abs=0.3)
    assert pitch(audio[24000:]) == pytest.approx(pitch(reference[24000:]), rel=1e-3)
    assert np.linalg.norm(audio) == pytest.approx(np.linalg.norm(reference), rel=0.02)


def write(font: SoundFont, path: Path) -> Path:
    path.write_bytes(to_file(font))
    return path


def test_one_side_of_stereo_samples_is_kept(tmp_path):
    pan = [{KEY_RANGE: 127 << 8, PAN: 2**16 - 500}, {KEY_RANGE: 127 << 8, PAN: 500}]
    zones = [{54: 0}, *(zone | {SAMPLE: index} for index, zone in enumerate(pan))]
    font = make_font([sine(440, RATE), sine(880, RATE)], zones, RATE)
    small = shrink_soundfont(font, RATE)
    assert len(small.samples) == 1 and np.array_equal(small.samples[0].frames, font.samples[0].frames)
    stereo, mono = render(font, tmp_path, 0), render(small, tmp_path, 0)
    assert np.linalg.norm(mono) == pytest.approx(np.linalg.norm(stereo), rel=0.1)
    # Without its other half, a sample stays where it is.
    alone = make_font([sine(440, RATE)], [{SAMPLE: 0, PAN: 500}], RATE)
    assert shrink_soundfont(alone, RATE).instruments == alone.instruments


def test_audio_after_loops_is_dropped():
    frames = np.concatenate([sine(440, RATE), np.ones(5000, np.int16)])
    font = make_font([frames, frames], [{SAMPLE: 0} | LOOPS, {SAMPLE: 1}], RATE)
    font = replace(font, samples=[replace(sample, loop=(16000, 24000)) for sample in font.samples])
    small = shrink_soundfont(font, RATE)
    assert [len(sample.frames) for sample in small.samples] == [24008, 29000]


def test_the_synthetic_music_plays_no_other_programs_and_drums():
    music = SyntheticMusic("train", 300, "both", renderer=None)
    scores = list(map(music.score, range(300)))
    played = {(128 * (stem == "drums"), program) for score in scores for stem, program in score.programs.items()}
    assert played <= played_programs() and len(played) > 40
    assert {note[2] for score in scores for note in score.notes.get("drums", [])} <= set(DRUM_KEYS.values())


def test_other_files_are_rejected(tmp_path):
    (tmp_path / "other.sf2").write_bytes(b"RIFF0000WAVE")
    with pytest.raises(ValueError, match="other.sf2 is not a sound font"):
        read_soundfont(tmp_path / "other.sf2")


def test_chunks_of_odd_size_may_lack_their_padding(monkeypatch, tmp_path):
    # As in the font of Debian's musescore-general-soundfont-small.
    font = replace(make_font([sine(440, RATE)], [{SAMPLE: 0} | LOOPS], RATE), info={b"INAM": b"odd"})
    monkeypatch.setattr(soundfonts, "_chunk", lambda name, content: name + struct.pack("<I", len(content)) + content)
    copy = read_soundfont(write(font, tmp_path / "font.sf2"))
    assert copy.info[b"INAM"] == b"odd" and np.array_equal(copy.samples[0].frames, font.samples[0].frames)


def test_incomplete_files_are_rejected(tmp_path):
    content = to_file(make_font([sine(440, RATE)], [{SAMPLE: 0} | LOOPS], RATE))
    for size in (12, 60, len(content) - 200):
        (tmp_path / "font.sf2").write_bytes(content[:size])
        with pytest.raises(ValueError, match=f"font.sf2 is incomplete: it has {size:,} of {len(content):,} bytes"):
            read_soundfont(tmp_path / "font.sf2")
