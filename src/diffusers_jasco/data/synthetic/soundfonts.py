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


"""Reads, reduces and writes sound fonts: SoundFont 2.04 files (`.sf2`), and `.sf3` files with samples in Ogg Vorbis."""

import io
import os
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr

from .styles import STYLES


KIT_BANK = 128
# Generators, by their numbers in the specification
_PAN = 17
_INSTRUMENT = 41
_KEY_RANGE = 43
_VELOCITY_RANGE = 44
_SAMPLE = 53
_SAMPLE_MODES = 54
_FULL_LEFT = 2**16 - 500  # pan in .1 %, as an unsigned 16-bit number
_FULL_RIGHT = 500
_LOOPS = 1  # sample mode: a loop until the end of the note
_MONO = 1  # sample type
_VORBIS = 16  # flag of the sample type
_PADDING = 46  # zeros after each sample
_AFTER_LOOP = 8  # frames that interpolation needs after a loop
# Short samples contain single periods, which resampling would detune.
_MIN_RESAMPLED = 4000
_RECORDS = {
    b"phdr": "<20sHHHIII",
    b"pbag": "<HH",
    b"pgen": "<HH",
    b"inst": "<20sH",
    b"ibag": "<HH",
    b"igen": "<HH",
    b"shdr": "<20sIIIIIBbHH",
}


@dataclass(frozen=True)
class Zone:
    """Generators (number → 16-bit value) and modulators (10 bytes each) of a zone."""

    generators: dict[int, int]
    modulators: list[bytes]

    @property
    def is_global(self) -> bool:
        """Whether an instrument's zone has no sample, and contains defaults of the other zones."""
        return _SAMPLE not in self.generators

    def plays(self, keys: Collection[int]) -> bool:
        """Whether the zone's key range contains one of these MIDI note numbers."""
        key_range = self.generators.get(_KEY_RANGE, 127 << 8)
        return any(key_range & 255 <= key <= key_range >> 8 for key in keys)


@dataclass(frozen=True)
class Instrument:
    """An instrument of a sound font: a name, and zones that refer to samples."""

    name: bytes
    zones: list[Zone]


@dataclass(frozen=True)
class Preset:
    """A preset of a sound font: a name, a program, a bank, and zones that refer to instruments."""

    name: bytes
    program: int
    bank: int
    zones: list[Zone]


@dataclass(frozen=True)
class Sample:
    """A mono sample: 16-bit frames or an Ogg Vorbis stream, rate in Hz, loop in frames, root key, tuning in cents."""

    name: bytes
    content: np.ndarray | bytes
    rate: int
    loop: tuple[int, int]
    key: int
    correction: int
    kind: int
    link: int

    @property
    def frames(self) -> np.ndarray:
        """The decoded frames: int16, `(frames,)`."""
        if isinstance(self.content, bytes):
            return soundfile.read(io.BytesIO(self.content), dtype="int16")[0]
        return self.content


@dataclass(frozen=True)
class SoundFont:
    r"""
    A sound font in memory.

    Args:
        info (`dict[bytes, bytes]`): names, copyright and comments, by chunk.
        presets (`list[Preset]`), instruments (`list[Instrument]`), samples (`list[Sample]`): its contents.
    """

    info: dict[bytes, bytes]
    presets: list[Preset] = field(repr=False)
    instruments: list[Instrument] = field(repr=False)
    samples: list[Sample] = field(repr=False)


def played_programs() -> set[tuple[int, int]]:
    """(bank, program) of all instruments and drum kits that the synthetic music plays."""
    programs = {
        program
        for style in STYLES
        for programs in (style.bass_programs, style.comp_programs, style.lead_programs, style.pad_programs)
        for program in programs
    }
    return {(0, program) for program in programs} | {(KIT_BANK, style.kit) for style in STYLES}


def read_soundfont(path: str | os.PathLike) -> SoundFont:
    r"""
    Reads an `.sf2` or `.sf3` file.

    Raises:
        `ValueError`: if the file is not a sound font, or incomplete.
    """
    content = Path(path).read_bytes()
    if content[:4] != b"RIFF" or content[8:12] != b"sfbk":
        raise ValueError(f"{path} is not a sound font.")
    size = 8 + int.from_bytes(content[4:8], "little")
    if len(content) < size:
        raise ValueError(f"{path} is incomplete: it has {len(content):,} of {size:,} bytes.")
    lists = {content[start : start + 4]: (start + 4, end) for _, start, end in _chunks(content, 12, len(content))}
    info = {name: content[start:end] for name, start, end in _chunks(content, *lists[b"INFO"])}
    data_start = next(start for name, start, _ in _chunks(content, *lists[b"sdta"]) if name == b"smpl")
    tables = {}
    modulators = {}
    for name, start, end in _chunks(content, *lists[b"pdta"]):
        if name in _RECORDS:
            tables[name] = list(struct.iter_unpack(_RECORDS[name], content[start:end]))
        else:
            modulators[name] = [content[i : i + 10] for i in range(start, end, 10)]

    def zones(
        bags: list[tuple], generators: list[tuple], modulators: list[bytes], first: int, last: int
    ) -> list[Zone]:
        return [
            Zone(dict(generators[bags[i][0] : bags[i + 1][0]]), modulators[bags[i][1] : bags[i + 1][1]])
            for i in range(first, last)
        ]

    of_presets = tables[b"pbag"], tables[b"pgen"], modulators[b"pmod"]
    presets = [
        Preset(name, program, bank, zones(*of_presets, first, following[3]))
        for (name, program, bank, first, *_), following in zip(tables[b"phdr"], tables[b"phdr"][1:])
    ]
    of_instruments = tables[b"ibag"], tables[b"igen"], modulators[b"imod"]
    instruments = [
        Instrument(name, zones(*of_instruments, first, following[1]))
        for (name, first), following in zip(tables[b"inst"], tables[b"inst"][1:])
    ]
    samples = [_read_sample(content, data_start, *record) for record in tables[b"shdr"][:-1]]
    return SoundFont(info, presets, instruments, samples)


def _chunks(content: bytes, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, start of the data, end of the data) of each chunk."""
    while position + 8 <= end:
        name, size = content[position : position + 4], int.from_bytes(content[position + 4 : position + 8], "little")
        yield name, position + 8, position + 8 + size
        position += 8 + size
        # MuseScore writes no padding, and names do not start with zeros.
        position += size % 2 and content[position : position + 1] == b"\0"


def _read_sample(content: bytes, data_start: int, name: bytes, start: int, end: int, *values: int) -> Sample:
    loop_start, loop_end, rate, key, correction, link, kind = values
    if kind & _VORBIS:
        # Positions of compressed samples are bytes, and loop points relative to the sample.
        stream, loop = content[data_start + start : data_start + end], (loop_start, loop_end)
        return Sample(name, stream, rate, loop, key, correction, kind & ~_VORBIS, link)
    frames = np.frombuffer(content, "<i2", end - start, data_start + 2 * start)
    loop = loop_start - start, loop_end - start
    return Sample(name, frames, rate, loop, key, correction, kind, link)


def select_presets(
    font: SoundFont, programs: Collection[tuple[int, int]], drum_keys: Collection[int] | None = None
) -> SoundFont:
    r"""
    Keeps some presets with their instruments and samples. Their sound does not change.

    Args:
        font ([`SoundFont`]): the sound font.
        programs (`Collection[tuple[int, int]]`): (bank, program) of the presets, such as [`played_programs`].
        drum_keys (`Collection[int]`, *optional*): MIDI note numbers to keep in drum kits, by default all.

    Raises:
        `ValueError`: if a preset is missing.
    """
    presets = [preset for preset in font.presets if (preset.bank, preset.program) in programs]
    if missing := sorted(set(programs) - {(preset.bank, preset.program) for preset in presets}):
        raise ValueError(f"The sound font has no preset for (bank, program) {missing}.")
    keys: dict[int, set[int]] = {}  # that each instrument plays
    for preset in presets:
        played = set(range(128)) if drum_keys is None or preset.bank != KIT_BANK else set(drum_keys)
        for zone in preset.zones:
            if _INSTRUMENT in zone.generators:
                keys.setdefault(zone.generators[_INSTRUMENT], set()).update(played)
    instruments = [
        replace(
            font.instruments[index],
            zones=[zone for zone in font.instruments[index].zones if zone.plays(played) or zone.is_global],
        )
        for index, played in sorted(keys.items())
    ]
    used = sorted({zone.generators[_SAMPLE] for value in instruments for zone in value.zones if not zone.is_global})
    numbers = {index: number for number, index in enumerate(sorted(keys))}
    presets = [replace(preset, zones=_renumber(preset.zones, _INSTRUMENT, numbers)) for preset in presets]
    numbers = {index: number for number, index in enumerate(used)}
    instruments = [replace(value, zones=_renumber(value.zones, _SAMPLE, numbers)) for value in instruments]
    return SoundFont(font.info, presets, instruments, [font.samples[index] for index in used])


def _renumber(zones: list[Zone], generator: int, numbers: dict[int, int]) -> list[Zone]:
    return [
        replace(zone, generators=zone.generators | {generator: numbers[zone.generators[generator]]})
        if generator in zone.generators
        else zone
        for zone in zones
    ]


def shrink_soundfont(font: SoundFont, max_rate: int) -> SoundFont:
    r"""
    Reduces the samples to what mono renderings need, which changes the sound of stereo instruments somewhat: one side
    of stereo samples, and nothing after the loops of samples that are only played in loops.

    Args:
        font ([`SoundFont`]): the sound font.
        max_rate (`int`): highest sampling rate of samples in Hz; others are resampled.
    """
    instruments = [replace(value, zones=_to_mono(value.zones)) for value in font.instruments]
    modes: dict[int, set[int]] = {}  # in which each sample is played
    for value in instruments:
        default = next((zone.generators.get(_SAMPLE_MODES, 0) for zone in value.zones if zone.is_global), 0)
        for zone in value.zones:
            if not zone.is_global:
                modes.setdefault(zone.generators[_SAMPLE], set()).add(zone.generators.get(_SAMPLE_MODES, default))
    samples = []
    for index, played in sorted(modes.items()):
        sample = font.samples[index]
        if played == {_LOOPS}:
            sample = replace(sample, content=sample.frames[: sample.loop[1] + _AFTER_LOOP])
        samples.append(_limit_rate(sample, max_rate))
    numbers = {index: number for number, index in enumerate(sorted(modes))}
    instruments = [replace(value, zones=_renumber(value.zones, _SAMPLE, numbers)) for value in instruments]
    return replace(font, instruments=instruments, samples=samples)


def _to_mono(zones: list[Zone]) -> list[Zone]:
    """Drops the right side of stereo pairs and centers the left one, which has about the level of the pair in mono."""

    def pan(zone: Zone) -> tuple[int, tuple]:
        ranges = zone.generators.get(_KEY_RANGE), zone.generators.get(_VELOCITY_RANGE)
        return zone.generators.get(_PAN, 0), ranges

    sides = {pan(zone) for zone in zones}
    mono = []
    for zone in zones:
        side, ranges = pan(zone)
        if side == _FULL_LEFT and (_FULL_RIGHT, ranges) in sides:
            mono.append(replace(zone, generators=zone.generators | {_PAN: 0}))
        elif side != _FULL_RIGHT or (_FULL_LEFT, ranges) not in sides:
            mono.append(zone)
    return mono


def _limit_rate(sample: Sample, max_rate: int) -> Sample:
    frames = sample.frames
    if sample.rate <= max_rate or len(frames) < _MIN_RESAMPLED:
        return sample
    start, end = sample.loop
    # A whole number of frames per loop keeps its pitch.
    length = round((end - start) * max_rate / sample.rate)
    ratio = length / (end - start) if length > 0 else max_rate / sample.rate
    frames = soxr.resample(frames.astype(np.float32), 1.0, ratio)
    first = round(start * ratio)
    return replace(
        sample,
        content=np.clip(np.rint(frames), -32768, 32767).astype(np.int16),
        rate=round(sample.rate * ratio),
        loop=(first, first + length),
    )


def to_file(font: SoundFont, quality: float | None = None) -> bytes:
    r"""
    The contents of a sound font's file.

    Args:
        font ([`SoundFont`]): the sound font.
        quality (`float`, *optional*): quality of Ogg Vorbis, 0…1, for `.sf3` instead of `.sf2`.
    """
    data = io.BytesIO()
    headers: list[tuple] = []
    for sample in font.samples:
        position, kind, loop = data.tell(), sample.kind, sample.loop
        if quality is None:
            frames = sample.frames
            data.write(frames.astype("<i2").tobytes() + bytes(2 * _PADDING))
            start = position // 2
            end, loop = start + len(frames), (start + loop[0], start + loop[1])
        else:
            stream = io.BytesIO()
            options = {"format": "OGG", "subtype": "VORBIS", "compression_level": 1 - quality}
            soundfile.write(stream, sample.frames, sample.rate, **options)
            data.write(stream.getvalue())
            start, end, kind = position, data.tell(), kind | _VORBIS
        headers.append((sample.name, start, end, *loop, sample.rate, sample.key, sample.correction, sample.link, kind))
    headers.append((b"EOS", *[0] * 9))

    preset_bags, preset_tables = _pack_zones([preset.zones for preset in font.presets])
    presets = [
        (preset.name, preset.program, preset.bank, bag, 0, 0, 0) for preset, bag in zip(font.presets, preset_bags)
    ]
    presets.append((b"EOP", 0, 0, preset_bags[-1], 0, 0, 0))
    bags, tables = _pack_zones([instrument.zones for instrument in font.instruments])
    instruments = [(instrument.name, bag) for instrument, bag in zip(font.instruments, bags)] + [(b"EOI", bags[-1])]

    pdta = [
        _chunk(b"phdr", _pack(b"phdr", presets)),
        *(_chunk(b"p" + name, content) for name, content in preset_tables.items()),
        _chunk(b"inst", _pack(b"inst", instruments)),
        *(_chunk(b"i" + name, content) for name, content in tables.items()),
        _chunk(b"shdr", _pack(b"shdr", headers)),
    ]
    # Version 3.0 marks compressed samples.
    version = {b"ifil": struct.pack("<HH", 2, 4) if quality is None else struct.pack("<HH", 3, 0)}
    lists = [
        b"INFO" + b"".join(_chunk(name, value) for name, value in (font.info | version).items()),
        b"sdta" + _chunk(b"smpl", data.getvalue()),
        b"pdta" + b"".join(pdta),
    ]
    return _chunk(b"RIFF", b"sfbk" + b"".join(_chunk(b"LIST", content) for content in lists))


def _pack_zones(lists: list[list[Zone]]) -> tuple[list[int], dict[bytes, bytes]]:
    """The first bag of each list of zones (and the end of the last one), and the tables of bags and generators."""
    first_bags: list[int] = []
    bags: list[tuple[int, int]] = []
    generators: list[tuple[int, int]] = []
    modulators: list[bytes] = []
    for zones in lists:
        first_bags.append(len(bags))
        for zone in zones:
            bags.append((len(generators), len(modulators)))
            # The format requires ranges first and the reference last, as in the file that was read.
            generators += zone.generators.items()
            modulators += zone.modulators
    first_bags.append(len(bags))
    bags.append((len(generators), len(modulators)))
    tables = {
        b"bag": _pack(b"pbag", bags),
        b"mod": b"".join([*modulators, bytes(10)]),
        b"gen": _pack(b"pgen", [*generators, (0, 0)]),
    }
    return first_bags, tables


def _pack(name: bytes, records: list[tuple]) -> bytes:
    return b"".join(struct.pack(_RECORDS[name], *record) for record in records)


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
