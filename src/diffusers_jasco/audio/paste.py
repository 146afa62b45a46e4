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

"""Puts generated music into audio files, at their own sampling rate and with their own channels."""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from ..utils.errors import InputError, shorten
from ..utils.numbers import to_float
from .export import check_export, write_audio
from .files import AudioFile
from .io import open_audio
from .loudness import PEAK_CEILING, limit_added
from .matching import (
    MAX_DELAY,
    MAX_STRETCH,
    MIN_SECONDS,
    choose_delays,
    equalize_gliding,
    find_balance,
    fit_equalizer,
    match_channels,
    match_levels,
    measure_bands,
    octave_centers,
    read_delayed,
    score_delays,
)
from .regions import FADE, Regions, check_regions, read_pairs, splice
from .resampling import resample, resampled_span
from .waveforms import BLOCK_SECONDS, MAX_FLOAT_SAMPLE, Waveform, check_rate, check_samples


TOLERANCE = 0.1  # seconds by which the music may be shorter or longer than the file: more than a frame
SURROUNDINGS = 5.0  # seconds before and after a region to which its levels are matched
BALANCE_SURROUNDINGS = 1.0  # seconds before and after a region from which the balance of its channels is taken
CONTEXT = 0.25  # seconds before and after a region that filters, fades and delays need
INTEGER_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
ENCODINGS = {
    ".wav": {"PCM_S8": "PCM_U8"} | {name: name for name in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "DOUBLE")},
    ".flac": {"PCM_S8": "PCM_S8", "PCM_U8": "PCM_S8", "PCM_16": "PCM_16", "PCM_24": "PCM_24"},
}
# Below this gain, the part of the new music in a fade is too small to be restored.
MIN_FADE_GAIN = 0.3
MAX_RESIDUAL = 1e-4  # power of the difference to the recording, -40 dB, up to which music contains the recording


def paste(
    file: Any,
    audio: torch.Tensor | np.ndarray,
    sampling_rate: int,
    regions: Sequence[tuple[float, float]] = (),
    path: str | os.PathLike | None = None,
    audio_start_seconds: float = 0.0,
    metadata: dict[str, Any] | None = None,
) -> Path | tuple[torch.Tensor, int]:
    r"""
    Puts regions of generated music into a recording, at the recording's sampling rate and with its channels. Outside the
    regions, all samples are those of the recording: files keep their encoding, such as 16-bit integers, and are not
    dithered. Lossy files keep their decoded samples.

    Inside the regions, the music is resampled, and matched to up to 5 s of the recording on each side. Mono music is
    distributed over the channels as the power of the recording in each octave band is, from its balance in the last
    second before the region to that in the first second after it. Levels in octave bands are changed by at most 6 dB:
    by the difference of `audio` and the recording around the region, or, if `audio` has the recording's own samples
    there (as the result of [`JascoInpaintPipeline`] has), by the difference between the new music near the borders and
    the recording around it. The music is shifted by at most 10 ms so that it is in phase with the recording in the
    fades (0.05 s, at equal power) at both ends. Peaks of the new music are limited to -1 dBFS, or to the recording's
    peak nearby if that is higher. Above the Nyquist frequency of the music, regions are silent: with jasco-nano above
    12 kHz.

    Args:
        file (`str`, `os.PathLike`, ...): the recording, in any form that [`~audio.io.load_audio`] reads.
        audio (`torch.Tensor` or `np.ndarray` of shape `(channels, samples)` or `(samples,)`):
            The generated piece from its beginning, such as `audios[0]` of [`JascoInpaintPipeline`]. It may be up to 0.1 s
            shorter or longer than the file. If it is longer than that, the rest continues the file.
        sampling_rate (`int`): the sampling rate of `audio` in Hz.
        regions (`Sequence[tuple[float, float]]`): start and end of each region in seconds of the generated piece, in
            any order. They may touch each other.
        path (`str` or `os.PathLike`, *optional*):
            The `.wav` or `.flac` file to write, which must not be `file`. It is written atomically.
        audio_start_seconds (`float`, defaults to `0.0`):
            Where the recording begins in the generated piece, as for [`JascoInpaintPipeline`].
        metadata (`dict`, *optional*): as in [`~audio.export_audio`], for the file `path`.

    Returns:
        `Path` if `path` is given, otherwise `tuple[torch.Tensor, int]`: the waveform `(channels, samples)` in float32,
            and its sampling rate in Hz.

    Raises:
        [`~inputs.InputError`]: for regions that are empty, reversed, overlapping or outside the piece; if nothing is new;
            if `audio` is more than 0.1 s shorter than the file; if `path` is `file`, or its format can't hold the
            samples of `file`.
        `FileNotFoundError`: if `file` or the folder of `path` does not exist.
    """
    source = open_audio(file, "file")
    encoding = None if path is None else find_encoding(path, source)
    song = _Song(
        source, check_samples(audio, "audio"), check_rate(sampling_rate, "audio"), regions, audio_start_seconds
    )
    if path is None:
        blocks = [torch.from_numpy(block).float() for block in song.blocks()]
        return torch.cat(blocks).T.contiguous(), source.samplerate
    assert encoding is not None
    bits = INTEGER_BITS.get(encoding)
    with write_audio(path, source.samplerate, source.channels, encoding, metadata) as target:
        for block in song.blocks():
            if bits is not None:
                block = _to_integers(block, bits)
            target.write(block if encoding != "FLOAT" else block.astype(np.float32))
    return Path(path)


def check_length(duration: float, end: float, has_new_parts: bool):
    r"""
    Checks the duration of a piece before it is generated for [`paste`].

    Args:
        duration (`float`): duration of the piece in seconds.
        end (`float`): where the recording ends in the piece, in seconds.
        has_new_parts (`bool`): whether something is new apart from the end: regions, or music before the recording.

    Raises:
        [`~inputs.InputError`]: if the piece ends before the recording, or nothing is new.
    """
    if not has_new_parts and duration <= end + TOLERANCE:
        raise InputError(
            f"`duration` has to be above {end + TOLERANCE:.2f} s, as the recording ends at {end:.2f} s, but is"
            f" {duration:g} s.",
            "duration",
        )
    if duration < end - TOLERANCE:
        raise InputError(
            f"`duration` has to be at least {end:.2f} s, where the recording ends, but is {duration:g} s.", "duration"
        )


def find_encoding(path: str | os.PathLike, source: AudioFile | Waveform) -> str:
    r"""
    Determines the encoding of a new file that holds the samples of a recording exactly.

    Args:
        path (`str` or `os.PathLike`): the new file.
        source ([`~audio.files.AudioFile`] or [`~audio.waveforms.Waveform`]): the recording.

    Returns:
        `str`: libsndfile's name of the encoding.

    Raises:
        [`~inputs.InputError`]: if `path` is the recording itself, or its format can't hold the samples.
    """
    check_export(path, source.samplerate, source.channels)
    suffix = Path(path).suffix.lower()
    if suffix not in ENCODINGS:
        raise InputError(
            f"`path` has to be a file name that ends in .wav or .flac, but is {shorten(path)}: lossy formats change all"
            " samples.",
            "path",
        )
    own = source.encoding if isinstance(source, AudioFile) else None
    if isinstance(source, AudioFile) and isinstance(source.file, Path) and os.path.exists(path):
        if os.path.samefile(path, source.file):
            raise InputError(f"`path` has to be another file than the recording, but both are {path}.", "path")
    encoding = ENCODINGS[suffix].get(own or "", "FLOAT")
    if encoding == "FLOAT" and suffix == ".flac":
        raise InputError(
            f"`path` has to be a file name that ends in .wav, but is {shorten(path)}: FLAC has integers of at most 24 bits,"
            " and would round the samples of the recording.",
            "path",
        )
    return encoding


def _to_integers(block: np.ndarray, bits: int) -> np.ndarray:
    """Converts samples to integers in the upper bits of `int32`, as soundfile expects them. Exact for recordings."""
    scale = 2.0 ** (bits - 1)
    return np.clip(np.rint(block * scale), -scale, scale - 1).astype(np.int32) << (32 - bits)


class _Span(NamedTuple):
    """A part that is regenerated, in samples of the result and of the generated music."""

    start: int
    end: int
    first: int
    last: int


class _Song:
    """A recording with regions of generated music. All positions are relative to the beginning of the result."""

    def __init__(
        self,
        source: AudioFile | Waveform,
        audio: torch.Tensor,
        rate: int,
        regions: Sequence[tuple[float, float]],
        audio_start_seconds: float,
    ):
        self.source, self.rate, self.own_rate = source, source.samplerate, rate
        self.audio = audio
        if len(audio) != source.channels:
            self.audio = audio.mean(dim=0, keepdim=True)
        num_samples = audio.shape[-1]
        # 1. The recording in samples of the generated music
        first = round(to_float(audio_start_seconds, "audio_start_seconds", minimum=0, unit="seconds") * rate)
        last = first + source.frames * rate // source.samplerate
        self.own_limits = first, last
        if num_samples < last - TOLERANCE * rate:
            raise InputError(
                f"`audio` has to contain the whole file, which ends at {last / rate:.2f} s, but ends at"
                f" {num_samples / rate:.2f} s.",
                "audio",
            )
        # 2. The recording in samples of the result
        self.offset = round(first * self.rate / rate)
        self.length = end = self.offset + source.frames
        if num_samples > last + TOLERANCE * rate:
            self.length = max(end, round(num_samples * self.rate / rate))
        self.spans = self._find_spans(read_pairs(regions, "regions"), end)

    def _find_spans(self, regions: Regions, end: int) -> list[_Span]:
        duration = self.length / self.rate
        parts = check_regions(regions, duration, "regions")
        parts = sorted([*parts, (0.0, self.offset / self.rate), (end / self.rate, duration)])
        merged: list[list[float]] = []
        for start, stop in parts:
            if merged and start <= merged[-1][1] + 1 / min(self.rate, self.own_rate):
                merged[-1][1] = max(merged[-1][1], stop)
            elif start < stop:
                merged.append([start, stop])
        if not merged:
            raise InputError(
                "All of the recording is kept: give regions to regenerate, or a longer `audio`.", "regions"
            )
        return [
            _Span(
                round(start * self.rate),
                min(round(stop * self.rate), self.length),
                round(start * self.own_rate),
                round(stop * self.own_rate),
            )
            for start, stop in merged
        ]

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the result in blocks `(samples, channels)` of float64."""
        spans, position = list(enumerate(self.spans)), 0
        new = np.zeros((0, 0))
        current = None
        for block in self._recorded_blocks():
            block = block.astype(np.float64)
            stop = position + len(block)
            for index, span in spans:
                start, end = max(span.start, position), min(span.end, stop)
                if start >= end:
                    continue
                if current != index:
                    current, new = index, self._make(index).T.numpy()
                block[start - position : end - position] = new[start - span.start : end - span.start]
            yield block
            position = stop

    def _recorded_blocks(self) -> Iterator[np.ndarray]:
        """Yields the recording in blocks, with silence before and after it."""
        yield from self._silence(self.offset)
        count = self.offset
        if isinstance(self.source, AudioFile):
            blocks = self.source.blocks(scaled=False, dtype="float64")
        else:
            blocks = self.source.blocks()
        for block in blocks:
            if np.abs(block).max() > MAX_FLOAT_SAMPLE:
                raise InputError(
                    f"The samples of the recording have to be in [-1, 1], but reach {np.abs(block).max():g}.", "file"
                )
            yield block
            count += len(block)
        yield from self._silence(self.length - count)

    def _silence(self, count: int) -> Iterator[np.ndarray]:
        size = round(BLOCK_SECONDS * self.rate)
        for start in range(0, count, size):
            yield np.zeros((min(size, count - start), self.source.channels))

    def _make(self, index: int) -> torch.Tensor:
        """The new music of a span, `(channels, samples)`, faded into the recording at its borders."""
        span = self.spans[index]
        gains, share = self._compare(index)
        margin = round(CONTEXT * self.rate)
        begin, stop = max(span.start - margin, 0), min(span.end + margin, self.length)
        recording = self._read(begin, stop, self.rate)
        generated = self._read_generated(span, begin, stop, share)
        centers = octave_centers(min(self.rate, self.own_rate))
        start, end = span.start - begin, span.end - begin
        generated = equalize_gliding(generated, gains, start, end, centers, self.rate)

        fades = self._fades(span)
        reach, size = round(MAX_DELAY * self.rate), min(round(FADE * self.rate), (end - start) // 4)
        mono, padded = recording.mean(dim=0), F.pad(generated.mean(dim=0), (reach, reach))
        scores = [
            score_delays(mono[place : place + size], padded[place : place + size + 2 * reach], reach)
            if is_faded and size
            else None
            for is_faded, place in zip(fades, (start, end - size))
        ]
        delays = choose_delays(scores[0], scores[1], round(MAX_STRETCH * (end - start)))
        if delays != (0, 0):
            generated = generated.clone()
            generated[:, start:end] = read_delayed(generated, start, end, delays)
        known = torch.ones(stop - begin, dtype=torch.bool)
        known[start:end] = False
        limits = self.offset - begin, self.offset + self.source.frames - begin
        # The sum of both is the music with its fades.
        silence = torch.zeros_like(generated)
        added, kept = (
            splice(*music, known, *limits, self.rate)[:, start:end]
            for music in ((generated, silence), (silence, recording))
        )
        ceiling = max(PEAK_CEILING, float(recording.abs().max()))
        return (kept + limit_added(added, kept, ceiling, self.rate)).clamp(-ceiling, ceiling)

    def _fades(self, span: _Span) -> tuple[bool, bool]:
        """Whether the recording fades into the new music at the start of a span, and back at its end."""
        size = min(round(FADE * self.rate), (span.end - span.start) // 4)
        return (
            self.offset < span.start and span.start + size <= self.offset + self.source.frames,
            span.end < self.length and span.end - size >= self.offset,
        )

    def _compare(self, index: int) -> tuple[tuple[torch.Tensor, torch.Tensor], float]:
        """
        Compares the recording and the generated music. Returns the gains that fit the new music of a span to its
        surroundings, at its start and at its end, and the gain of the recording in the generated music, which is 0 if that
        does not contain it.
        """
        span, rate = self.spans[index], min(self.rate, self.own_rate)
        reach, near, fade = (round(seconds * self.own_rate) for seconds in (SURROUNDINGS, BALANCE_SURROUNDINGS, FADE))
        low, high = self.own_limits[0], min(self.own_limits[1], self.audio.shape[-1])
        before = max(low, self.spans[index - 1].last if index else 0, span.first - reach), span.first
        following = self.spans[index + 1].first if index + 1 < len(self.spans) else high
        after = span.last, min(high, following, span.last + reach)
        places, inside, recorded, nearest = [], [], [], []
        middle = (span.first + span.last) // 2 if before[0] < before[1] and after[0] < after[1] else None
        if self._is_long(before):
            places.append(before)
            inside.append((span.first + fade, min(span.first + reach, middle or span.last)))
            recorded.append(self._read(*before, self.own_rate))
            nearest.append(recorded[-1][:, -near:])
        if self._is_long(after):
            places.append(after)
            inside.append((max(span.last - reach, middle or span.first), span.last - fade))
            recorded.append(self._read(*after, self.own_rate))
            nearest.append(recorded[-1][:, :near])
        if not places:
            ones = torch.ones(self.source.channels, len(octave_centers(rate)), dtype=torch.float64)
            return (ones, ones), 0.0
        generated = [self.audio[:, start:end] for start, end in places]
        share = _find_share(torch.cat([self._mix(part) for part in recorded], dim=1), torch.cat(generated, dim=1))
        powers = self._measure(recorded)
        gains = match_channels(powers, self._measure(generated))
        if inside := [place for place in inside if self._is_long(place)]:
            new = [resample(self.audio[:, start:end], self.own_rate, rate) for start, end in inside]
            if share:
                # Only the new music tells the level of the pipeline.
                gains = gains * match_levels(powers, gains.square() * measure_bands(new, rate))
            gains = fit_equalizer(gains, new, rate)
        if len(self.audio) == self.source.channels:
            return (gains, gains), share
        balances = [gains * find_balance(self._measure([part])) for part in nearest]
        return (balances[0], balances[-1]), share

    def _is_long(self, place: tuple[int, int]) -> bool:
        """Whether a part of the generated music has a meaningful spectrum."""
        return place[1] - place[0] >= MIN_SECONDS * self.own_rate

    def _measure(self, parts: list[torch.Tensor]) -> torch.Tensor:
        """Powers in the octave bands that both rates have."""
        rate = min(self.rate, self.own_rate)
        return measure_bands([resample(part, self.own_rate, rate) for part in parts], rate)

    def _read_generated(self, span: _Span, begin: int, stop: int, share: float) -> torch.Tensor:
        """
        The generated music from sample `begin` to `stop` of the result. If it contains the recording, with the gain `share`,
        then the recording is removed from the fades of the pipeline.
        """
        first, last, surplus = resampled_span(begin, stop, self.own_rate, self.rate)
        part = self.audio[:, first:last].clone()
        size = min(round(FADE * self.own_rate), (span.last - span.first) // 4)
        is_faded = self._fades(span)
        if share and size and is_faded[0]:
            place = slice(max(span.first - first, 0), span.first - first + size)
            recorded = share * self._mix(self._read(span.first, span.first + size, self.own_rate))
            part[:, place] = _remove_fade(part[:, place], recorded)
            part[:, : place.start] = 0
        if share and size and is_faded[1]:
            place = slice(span.last - first - size, span.last - first)
            recorded = share * self._mix(self._read(span.last - size, span.last, self.own_rate))
            part[:, place] = _remove_fade(part[:, place].flip(-1), recorded.flip(-1)).flip(-1)
            part[:, place.stop :] = 0
        part = resample(part, self.own_rate, self.rate)[:, surplus : surplus + stop - begin]
        return F.pad(part, (0, stop - begin - part.shape[-1]))

    def _mix(self, recorded: torch.Tensor) -> torch.Tensor:
        """The recording with the channels of the generated music."""
        return recorded if len(self.audio) == len(recorded) else recorded.mean(dim=0, keepdim=True)

    def _read(self, start: int, end: int, rate: int) -> torch.Tensor:
        """Samples `start` to `end` of the recording at a sampling rate, `(channels, samples)`, padded with silence."""
        offset = self.offset if rate == self.rate else self.own_limits[0]
        begin, stop = max(start - offset, 0), max(end - offset, 0)
        first, last, surplus = resampled_span(begin, stop, self.rate, rate)
        samples = torch.from_numpy(self.source.read(min(first, self.source.frames), min(last, self.source.frames)))
        part = resample(samples.T, self.rate, rate)[:, surplus : surplus + stop - begin]
        before = min(max(offset - start, 0), end - start)
        return F.pad(part, (before, end - start - before - part.shape[-1]))


def _find_share(recorded: torch.Tensor, generated: torch.Tensor) -> float:
    """The gain of a recording in generated music, or 0 if that contains something else."""
    power = float(recorded.square().sum())
    share = float((recorded * generated).sum()) / power if power > 0 else 0.0
    residual = float((generated - share * recorded).square().sum())
    return share if residual <= MAX_RESIDUAL * share**2 * power else 0.0


def _remove_fade(mixed: torch.Tensor, recorded: torch.Tensor) -> torch.Tensor:
    """The generated music at the start of a region, into which the recording was faded at equal power."""
    angle = torch.linspace(0, math.pi / 2, mixed.shape[-1])
    return (mixed - recorded * angle.cos()) / angle.sin().clamp(min=MIN_FADE_GAIN)
