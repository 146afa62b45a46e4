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

"""Reads chords, melodies, drums and beats in any supported form: timelines, frames and waveforms."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.utils import logging
from torch.nn import functional as F

from .audio.excerpts import open_from, read_excerpt, read_resampled
from .audio.files import AudioFile
from .audio.io import AUDIO_SUFFIXES, check_file, load_audio
from .audio.levels import (
    MIN_SECONDS,
    Levels,
    bring_drums_to_loudness,
    measure_levels,
    measure_separated_drums,
    warn_of_silence,
)
from .audio.resampling import resample
from .audio.waveforms import Waveform, is_waveform
from .controls.beats import check_beats, complete_downbeats
from .controls.chord_labels import FREE_CHORD, NO_CHORD
from .controls.chords import (
    Chords,
    check_chords,
    chords_from_text_or_file,
    is_in_bars,
    is_repeated,
    warn_of_held_chord,
)
from .controls.drum_machine import Groove, is_groove_file, is_groove_name, read_groove
from .controls.forms import (
    chords_from_items,
    is_chord_item,
    is_chord_table,
    is_empty,
    is_note_item,
    is_note_table,
    notes_from_items,
    to_melody_matrix,
)
from .controls.melody import (
    MELODY_BINS,
    melody_from_matrix,
    melody_from_midi,
    melody_from_notes,
    melody_from_npz,
    melody_from_tensor_file,
)
from .controls.midi import is_midi_file, split_track
from .controls.midi_drums import drums_from_midi
from .controls.note_text import is_note_text, melody_from_text
from .extraction import Beats, extract_beats, extract_chords, extract_melody, separate_drums
from .utils.errors import EmptyInputError, InputError, shorten
from .utils.numbers import is_number, to_float


__all__ = [
    "InputError",
    "SingleVoice",
    "as_recording",
    "estimate_melody",
    "extract",
    "is_beats",
    "is_chord_progression",
    "is_drums",
    "is_melody",
    "open_groove",
    "read_beats",
    "read_chords",
    "read_drums",
    "read_melody",
]

logger = logging.get_logger(__name__)

ENCODER_PADDING = 0.05  # seconds that encoders of MP3, AAC and Opus add at the end

_LEVEL_SECONDS = 300.0
_TIMES = (list, tuple, np.ndarray, torch.Tensor)
_MELODY_FILES = ".mid, .midi, .kar, .npz, .th, .pt, or a suffix of recordings (.wav, .mp3, .flac, ...)"


# 1. Chords


def is_chord_progression(value: Any) -> bool:
    """Whether `value` is a single progression instead of a list with one (or `None`) per prompt."""
    if isinstance(value, (str, os.PathLike)):
        return True
    if not isinstance(value, (list, tuple)):
        return False
    return len(value) == 0 or is_waveform(value) or is_chord_table(value) or any(map(is_chord_item, value))


def read_chords(
    chords: Any,
    labels: Sequence[str] | None = None,
    duration: float | None = None,
    start: float = 0.0,
    bpm: float | None = None,
    beats_per_bar: int = 4,
) -> Chords:
    r"""
    Reads a chord progression in any form. Chords are spelled as in the vocabulary and sorted by time (see
    [`~controls.chords.check_chords`]).

    Args:
        chords (`list`, `str`, `os.PathLike`, `tuple` or `dict`):
            Labels with their starts in seconds, `[("C", 0.0), ("Am", 2.5)]`, or another list, array or data frame that
            [`~controls.forms.chords_from_items`] reads; a string such as `"C:0 Am:2.5"` or `"(C, 0.0), (Am, 2.5)"`;
            with `bpm`, chords in bars (`"C | Am | F G"`, see [`~controls.chords.chords_from_bars`]; a repeat sign `:|`
            at the end repeats them until the end of the music); a file that
            [`~controls.chord_files.chords_from_file`] reads (`.lab`, `.csv`, `.jams`, `.mid`, …); or a recording (a
            file, `(waveform, sampling_rate)` or `{"array", "sampling_rate"}`), whose chords are estimated with
            [`~extraction.extract_chords`]. An empty list, string or file means no progression, with a warning.
        labels (`Sequence[str]`, *optional*):
            The vocabulary, by default [`~controls.chord_labels.default_chord_labels`].
        duration (`float`, *optional*):
            Duration of the music in seconds.
        start (`float`, defaults to `0.0`):
            Offset in seconds into a file or recording at which the music begins; the chord that sounds there starts at
            0. Lists and strings are not affected. Only the needed part of a recording and 10 s before and after it are
            analyzed, so chords may differ slightly from those of the whole recording.
        bpm (`float`, *optional*):
            Tempo of chords in bars in beats per minute. Chords with times are not affected.
        beats_per_bar (`int`, defaults to `4`):
            Time signature of chords in bars.

    Returns:
        `list` of `(label, start)`.

    Raises:
        [`InputError`]: for invalid input, with the position of an unknown chord or impossible time, and for a `start`
        after
            the end.
        `FileNotFoundError`: if a file does not exist.
    """
    start = to_float(start, "start", minimum=0, unit="seconds")
    duration = None if duration is None else to_float(duration, "duration", unit="seconds")
    positions: list[int] = []
    reason: InputError | None = None
    is_placed = bpm is not None and is_in_bars(chords)
    try:
        if is_empty(chords):
            raise EmptyInputError("`chords` is empty.", "chords")
        recording = as_recording(chords, "chords")
        if recording is not None:
            chords = _estimate_chords(recording, duration, start)
        elif isinstance(chords, (str, os.PathLike)):
            skips = start > 0 and is_file(chords)
            repeat_until = duration if is_placed and is_repeated(chords) else None
            items = chords_from_text_or_file(chords, bpm if is_placed else None, beats_per_bar, duration=repeat_until)
            chords, positions = chords_from_items(items)
            if skips and chords:
                chords, positions = _skip_chords(check_chords(chords, labels), start), []
        else:
            chords, positions = chords_from_items(chords)
    except EmptyInputError as error:
        chords, reason = [], error
    if isinstance(chords, (list, tuple)) and not chords:
        warn_empty("chords", reason)
    try:
        timeline = check_chords(chords, labels, duration)
    except InputError as error:
        if error.position is None or not positions:
            raise
        raise error.moved(positions[error.position]) from error
    if duration is not None:
        warn_of_held_chord(timeline, duration, is_placed)
    return timeline


def read_chords_or_bars(chords: Any, labels: Sequence[str], duration: float, start: float = 0.0) -> Chords | str:
    """Reads chords with [`read_chords`], except that chords in bars are returned as text or the name of a file."""
    return os.fspath(chords) if is_in_bars(chords) else read_chords(chords, labels, duration, start)


def _estimate_chords(recording: "Path | tuple[torch.Tensor, int]", duration: float | None, start: float) -> Chords:
    source = open_from(recording, "chords", start)
    if not start:
        _check_levels(source, "chords")
        return extract(extract_chords, recording, "chords")
    _check_levels(source, "chords", start, duration)
    excerpt, lead = read_excerpt(source, start, duration)
    chords = _skip_chords(extract(extract_chords, excerpt, "chords"), lead, is_excerpt=True)
    return [chord for chord in chords if duration is None or chord[1] < duration]


def _skip_chords(chords: Chords, start: float, is_excerpt: bool = False) -> Chords:
    """The part of a progression from `start` on, including the chord that sounds at `start`."""
    chords = sorted(chords, key=lambda chord: chord[1])
    before = [chord for chord in chords if chord[1] <= start]
    following = [(label, time - start) for label, time in chords[len(before) :]]
    sounding = [(before[-1][0], 0.0)] if before else []
    if not following and not is_excerpt:
        label, time = before[-1]
        if label in (NO_CHORD, FREE_CHORD):
            raise InputError(f"`start` is {start:g} s, but `chords` end at {time:g} s.", "start")
        logger.warning(f"`chords`: none begins after `start`, {start:g} s: {label}, from {time:g} s on, is held.")
    return sounding + following


# 2. Melody


@dataclass(frozen=True, eq=False)
class SingleVoice:
    r"""
    A recording of a single voice (humming, singing, whistling) as `melody`: its notes are estimated with
    `method="monophonic"` of [`~extraction.extract_melody`] instead of the method for mixes.

    Args:
        audio (`str`, `os.PathLike`, `tuple` or `dict`): a file, `(waveform, sampling_rate)` or `{"array",
            "sampling_rate"}`.

    Example:

    ```py
    >>> audio = pipe("80s pop, synth lead", melody=SingleVoice("hum.wav")).audios[0]
    ```
    """

    audio: Any


def is_melody(value: Any) -> bool:
    """
    Whether `value` is a single melody (a path, a recording, a matrix or a list of notes) instead of a list with one
    (or `None`) per prompt.
    """
    if isinstance(value, (str, os.PathLike, np.ndarray, torch.Tensor, SingleVoice)) or is_waveform(value):
        return True
    if not isinstance(value, (list, tuple)) or len(value) == 0:
        return False
    return is_note_table(value) or isinstance(to_melody_matrix(value), np.ndarray) or any(map(is_note_item, value))


def read_melody(
    melody: Any, num_frames: int, frame_rate: float, start: float = 0.0, bpm: float | None = None
) -> torch.Tensor:
    r"""
    Reads a melody in any form: a file, a recording, a matrix, or a list of notes.

    Args:
        melody (`str`, `os.PathLike`, `tuple`, `dict`, `SingleVoice`, `torch.Tensor`, `np.ndarray` or `list`):
            A matrix or file that the functions of [`~controls.melody`] read; notes in any form that
            [`~controls.forms.notes_from_items`] reads; with `bpm`, notes as text (`"C4 D4 E4 -"`, see
            [`~controls.note_text.melody_from_text`]); or a recording (a file, `(waveform, sampling_rate)` or
            `{"array", "sampling_rate"}`), whose melody is estimated with [`~extraction.extract_melody`], or a
            [`SingleVoice`].
        num_frames (`int`):
            Number of frames of the music.
        frame_rate (`float`):
            Frames per second of the music, and of a matrix.
        start (`float`, defaults to `0.0`):
            Offset in seconds into a file or recording at which the music begins; a note that sounds there begins at 0.
            Notes and matrices in memory are not affected. Only the needed part of a recording and 10 s before and
            after it are analyzed, so notes may differ slightly from those of the whole recording.
        bpm (`float`, *optional*):
            Tempo of notes as text in beats per minute. Other melodies are not affected.

    Returns:
        `torch.Tensor` of shape `(num_frames, 53)`: 1 where a semitone from G2 (bin 0, MIDI 43) to B6 sounds, at most
        one per frame. An empty melody causes a warning.

    Raises:
        [`InputError`]: for invalid input, with the position of an invalid note, and for a `start` after the end.
        `FileNotFoundError`: if a file does not exist.
        `ImportError`: for a [`SingleVoice`] without the package swift_f0.
    """
    start = to_float(start, "start", minimum=0, unit="seconds")
    reason: InputError | None = None
    if bpm is not None and is_note_text(melody):
        melody = melody_from_text(melody, bpm)
    try:
        matrix = _read_melody(melody, num_frames, frame_rate, start)
    except EmptyInputError as error:
        matrix, reason = torch.zeros(num_frames, MELODY_BINS), error
    if not matrix.any():
        warn_empty("melody", reason)
    return matrix


def _read_melody(melody: Any, num_frames: int, frame_rate: float, start: float) -> torch.Tensor:
    if isinstance(melody, SingleVoice):
        recording = as_recording(melody.audio, "melody")
        if recording is None:
            raise InputError(
                f"`melody`: a `SingleVoice` has to be a recording, but is {shorten(melody.audio)}. Pass other melodies"
                " without it.",
                "melody",
            )
        extractor = partial(extract_melody, method="monophonic")
        return estimate_melody(recording, num_frames, frame_rate, start, extractor)
    recording = as_recording(melody, "melody")
    if recording is not None:
        return estimate_melody(recording, num_frames, frame_rate, start)
    if isinstance(melody, (str, os.PathLike)):
        melody = os.fsdecode(melody)
        suffix = Path(melody).suffix.lower()
        if is_midi_file(melody):
            return melody_from_midi(melody, num_frames, frame_rate, start=start)
        if suffix == ".npz":
            return melody_from_npz(melody, num_frames, frame_rate, start=start)
        if suffix in (".th", ".pt"):
            first = round(start * frame_rate)
            # With `start`, the file may be longer or shorter than the music.
            return melody_from_tensor_file(melody, first + num_frames, None if start else frame_rate)[first:]
        if not melody.strip():
            raise EmptyInputError("`melody` is an empty text.", "melody")
        if is_note_text(melody):
            raise InputError(
                f"`melody` has notes in beats, {shorten(melody)}, which need a tempo: set `bpm`.", "melody"
            )
        raise InputError(
            f"`melody`: notes need their octaves, such as 'C4 D4 E4 -', and a tempo (`bpm`), and files have to end in"
            f" {_MELODY_FILES}, but this is {shorten(melody)}.",
            "melody",
        )
    if is_empty(melody):
        raise EmptyInputError("`melody` is empty.", "melody")
    melody = to_melody_matrix(melody)
    if isinstance(melody, (torch.Tensor, np.ndarray)) and not is_note_table(melody):
        return melody_from_matrix(melody, num_frames, frame_rate)
    notes, positions = notes_from_items(melody, num_frames / frame_rate)
    if isinstance(notes, (list, tuple)):
        try:
            return melody_from_notes(notes, num_frames, frame_rate)
        except InputError as error:
            raise error if error.position is None else error.moved(positions[error.position]) from error
    raise InputError(
        "`melody` has to be a path, a recording (waveform, sampling_rate), a matrix (53, frames) or notes [(pitch, start,"
        f" end), ...], but is a {type(melody).__name__}.",
        "melody",
    )


def estimate_melody(
    recording: "Path | tuple[torch.Tensor, int]",
    num_frames: int,
    frame_rate: float,
    start: float,
    extractor: Callable[..., Any] = extract_melody,
) -> torch.Tensor:
    r"""
    Estimates the melody of a recording.

    Args:
        recording: as [`as_recording`] returns it.
        num_frames, frame_rate, start: as [`read_melody`].
        extractor (`Callable`, defaults to [`~extraction.extract_melody`]): `(audio, frame_rate=)` → `(53, frames)`.

    Returns:
        `torch.Tensor` of shape `(num_frames, 53)`.
    """
    source = open_from(recording, "melody", start)
    if not start:
        _check_levels(source, "melody")
        matrix = extract(extractor, recording, "melody", frame_rate=frame_rate)
        return melody_from_matrix(matrix, num_frames)
    seconds = num_frames / frame_rate
    _check_levels(source, "melody", start, seconds)
    excerpt, lead = read_excerpt(source, start, seconds, frame_rate)
    matrix = extract(extractor, excerpt, "melody", frame_rate=frame_rate)
    first = round(lead * frame_rate)
    return melody_from_matrix(matrix[:, first : first + num_frames], num_frames)


# 3. Drums


def is_drums(value: Any) -> bool:
    """
    Whether `value` is a single drum recording (a path, `(waveform, sampling_rate)`, or a dictionary with `"array"`) or
    groove instead of a list with one (or `None`) per prompt.
    """
    return isinstance(value, (str, os.PathLike, dict, Groove)) or is_waveform(value)


def open_groove(drums: Any) -> Any:
    r"""
    Reads the file of a groove.

    Args:
        drums: the drums of a prompt in any form.

    Returns:
        The [`~controls.drum_machine.Groove`] if `drums` is a file for [`~controls.drum_machine.read_groove`] (`.json`);
        otherwise `drums`.

    Raises:
        [`InputError`], `FileNotFoundError`: if the file is not a groove or does not exist.
    """
    if not is_groove_file(drums):
        return drums
    try:
        return read_groove(check_file(drums, "drums"))
    except InputError as error:
        raise error.renamed("drums") from error


def read_drums(
    drums: Any,
    sampling_rate: int,
    num_samples: int,
    separate: bool = False,
    loudness: float | None = None,
    start: float = 0.0,
    bpm: float | None = None,
) -> torch.Tensor | None:
    r"""
    Reads a drum recording in the form that the codec expects: resampled, mixed to mono, and cut or padded with silence
    at its end, as in AudioCraft.

    Args:
        drums (`str`, `os.PathLike`, `tuple` or `dict`):
            Any recording that [`~audio.io.load_audio`] reads, a MIDI file (see
            [`~controls.midi_drums.drums_from_midi`]), or a [`~controls.drum_machine.Groove`] or its file
            (`loop.groove.json`).
        sampling_rate (`int`):
            The codec's sampling rate in Hz.
        num_samples (`int`):
            Length of the music in samples.
        separate (`bool`, defaults to `False`):
            Whether the recording is a full mix, from which to separate the drums; see [`~extraction.separate_drums`].
        loudness (`float`, *optional*):
            Target loudness in LUFS (ITU-R BS.1770). The gain is derived from the loudness of the recording (at most
            five minutes before and after `start`) and does not depend on the part that is used; with `separate` and
            for a MIDI file, it is derived from the drums of this part. By default, the loudness is kept, with a
            warning if it is very low. Silence (below -70 LUFS) stays silence, with a warning.
        start (`float`, defaults to `0.0`):
            Offset in seconds into the recording at which the music begins. Grooves are not affected.
        bpm (`float`, *optional*):
            Tempo of a groove in beats per minute, by default its own.

    Returns:
        `torch.Tensor` of shape `(1, num_samples)`: the waveform, or `None`, with a warning, for an empty recording.

    Raises:
        [`InputError`], `FileNotFoundError`: as [`~audio.io.load_audio`], for a `start` after the end, and for the name
        of a groove.
    """
    start = to_float(start, "start", minimum=0, unit="seconds")
    if is_empty(drums):
        warn_empty("drums")
        return None
    if is_groove_name(drums) and not os.path.exists(drums):
        raise InputError(
            f"`drums`: the file {shorten(drums)} does not exist. For the preset of this name, use"
            f" `drums=find_groove({shorten(drums)})` from `controls.drum_machine`.",
            "drums",
        )
    drums = open_groove(drums)
    try:
        if isinstance(drums, Groove):
            groove = drums if bpm is None else replace(drums, bpm=bpm)
            drums = groove.render(num_samples / sampling_rate, sampling_rate), sampling_rate
            start, separate = 0.0, False
        elif is_midi_file(drums):
            drums = drums_from_midi(drums, num_samples / sampling_rate, sampling_rate, start), sampling_rate
            start, separate = 0.0, False
        recording = check_file(drums, "drums") if isinstance(drums, (str, os.PathLike)) else load_audio(drums, "drums")
        source = open_from(recording, "drums", start)
    except EmptyInputError as error:
        warn_empty("drums", error)
        return None
    # Measures at most five minutes before and after `start`, to bound the reading time of long recordings.
    first = max(0.0, start - _LEVEL_SECONDS)
    last = math.ceil((start + _LEVEL_SECONDS) * source.samplerate)
    levels = measure_levels(source, "drums", round(first * source.samplerate), last)
    warn_of_silence(levels, "drums")
    if start:
        return _read_drums_from(source, levels, sampling_rate, num_samples, separate, loudness, start)
    rate, length = source.samplerate, source.frames * sampling_rate // source.samplerate
    # The extra second and 100 samples exceed the resampler's filter length at any rate.
    waveform = torch.from_numpy(source.read(0, (num_samples // sampling_rate + 2) * rate + 100)).T.contiguous()
    if separate:
        waveform, rate = extract(separate_drums, (waveform, rate), "drums")
        levels = measure_separated_drums(waveform, rate, levels)
    waveform = resample(waveform, rate, sampling_rate).mean(dim=0, keepdim=True)[:, :num_samples]
    surplus = length - num_samples
    if surplus > ENCODER_PADDING * sampling_rate:
        logger.warning(
            f"`drums` has {length / sampling_rate:.2f} s, the music {num_samples / sampling_rate:g} s: the last"
            f" {surplus / sampling_rate:.2f} s of drums are not used."
        )
    waveform = bring_drums_to_loudness(waveform, levels, loudness)
    return F.pad(waveform, (0, num_samples - waveform.shape[-1]))


def _read_drums_from(
    source: AudioFile | Waveform,
    levels: Levels,
    sampling_rate: int,
    num_samples: int,
    separate: bool,
    loudness: float | None,
    start: float,
) -> torch.Tensor:
    """Reads the part of a drum recording from `start` seconds on."""
    if not separate:
        waveform = read_resampled(source, start, num_samples, sampling_rate)
        return bring_drums_to_loudness(waveform, levels, loudness)
    excerpt, lead = read_excerpt(source, start, num_samples / sampling_rate)
    waveform, rate = extract(separate_drums, excerpt, "drums")
    waveform = waveform[:, round(lead * rate) :]
    levels = measure_separated_drums(waveform, rate, levels)
    waveform = bring_drums_to_loudness(resample(waveform, rate, sampling_rate)[:, :num_samples], levels, loudness)
    return F.pad(waveform, (0, num_samples - waveform.shape[-1]))


# 4. Beats


def is_beats(value: Any) -> bool:
    """
    Whether `value` is a single beat grid (a path, a recording, times, or the tuple `(beats, downbeats)`) instead of a
    list with one (or `None`) per prompt.
    """
    if isinstance(value, (str, os.PathLike, dict, np.ndarray, torch.Tensor, Beats)) or is_waveform(value):
        return True
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, _TIMES) for part in value):
        return True
    return isinstance(value, (list, tuple)) and any(map(is_number, value))


def read_beats(
    beats: Any, duration: float | None = None, start: float = 0.0, beats_per_bar: int | None = None
) -> tuple[list[float], list[float]]:
    r"""
    Reads beats in any form.

    Args:
        beats (`list`, `tuple`, `np.ndarray`, `str`, `os.PathLike` or `dict`):
            Increasing times in seconds, `[0.0, 0.5, 1.0, ...]`, of which the first is a downbeat; the tuple `(beats,
            downbeats)` of such times (each downbeat within 20 ms of a beat), or [`~extraction.Beats`]; or a recording
            (a file, `(waveform, sampling_rate)` or `{"array", "sampling_rate"}`), whose beats are estimated with
            [`~extraction.extract_beats`]. At least two beats are required; downbeats that are missing follow from
            `beats_per_bar`.
        duration (`float`, *optional*):
            Duration of the music in seconds.
        start (`float`, defaults to `0.0`):
            Offset in seconds into a recording at which the music begins. Times are not affected. Only the needed part
            of a recording and 10 s before and after it are analyzed.
        beats_per_bar (`int`, *optional*):
            Beats per bar, by default those of the recording, or 4.

    Returns:
        `tuple[list[float], list[float]]`: beats and downbeats in seconds; a valid value for `beats`. Both are empty,
        with a warning, if `beats` is empty or the recording has no beat.

    Raises:
        [`InputError`]: for invalid input, with the position of an invalid time, and for a `start` after the end.
        `FileNotFoundError`: if a file does not exist.
    """
    start = to_float(start, "start", minimum=0, unit="seconds")
    found: Any = beats
    try:
        if is_empty(beats):
            raise EmptyInputError("`beats` is empty.", "beats")
        recording = as_recording(beats, "beats")
        if recording is not None:
            found = _estimate_beats(recording, duration, start)
        elif isinstance(beats, (str, os.PathLike)) or is_number(beats):
            hint = (
                "To set a tempo, use `bpm`."
                if is_number(beats)
                else "Other files and texts are not read: pass the times as a list, [0.0, 0.5, 1.0]."
            )
            raise InputError(
                "`beats` has to be a list of times in seconds, (beats, downbeats) or a recording (.wav, .mp3, .flac,"
                f" ...), but is {shorten(beats)}. {hint}",
                "beats",
            )
        if isinstance(found, tuple) and is_empty(found[0]):
            raise EmptyInputError("`beats`: no beat was found.", "beats")
    except EmptyInputError as error:
        warn_empty("beats", error)
        return [], []
    if isinstance(found, Beats) and found.time_signature and beats_per_bar is None:
        beats_per_bar = 2 if found.time_signature == "6/8" else int(found.time_signature[0])
    is_pair = isinstance(found, tuple) and isinstance(found[0], _TIMES)
    times, downbeats = check_beats(*found[:2]) if is_pair else check_beats(found)
    if duration is not None and (times[0] >= duration or times[-1] < 0):
        logger.warning(
            f"`beats`: all are outside of the music, which lasts {duration:g} s, so the grid is extrapolated. Are the times"
            " in seconds from the beginning of the music?"
        )
    return times, complete_downbeats(times, downbeats, 4 if beats_per_bar is None else beats_per_bar)


def _estimate_beats(recording: Path | tuple[torch.Tensor, int], duration: float | None, start: float) -> Beats:
    source = open_from(recording, "beats", start)
    if not start:
        _check_levels(source, "beats")
        return extract(extract_beats, recording, "beats")
    _check_levels(source, "beats", start, duration)
    excerpt, lead = read_excerpt(source, start, duration)
    found = extract(extract_beats, excerpt, "beats")
    beats, downbeats = ([time - lead for time in times] for times in found[:2])
    return found._replace(beats=beats, downbeats=downbeats)


# 5. Recordings


def is_audio_file(value: Any) -> bool:
    """Whether `value` is a path with an audio suffix."""
    return isinstance(value, (str, os.PathLike)) and Path(os.fsdecode(value)).suffix.lower() in AUDIO_SUFFIXES


def as_recording(value: Any, name: str) -> Path | tuple[torch.Tensor, int] | None:
    r"""
    Converts a recording to the form that extractors expect.

    Args:
        value: the user's input.
        name (`str`): name of the argument, for error messages.

    Returns:
        The path of a file, `(waveform, sampling_rate)`, or `None` if `value` is not a recording.

    Raises:
        [`InputError`], `FileNotFoundError`: for an invalid waveform or a missing file.
    """
    if is_audio_file(value):
        return check_file(value, name)
    return load_audio(value, name) if is_waveform(value) else None


def _check_levels(source: AudioFile | Waveform, name: str, start: float = 0.0, seconds: float | None = None):
    """Warns of a silent recording or part; raises an [`EmptyInputError`] if it is almost empty."""
    last = None if seconds is None else math.ceil((start + seconds) * source.samplerate)
    levels = measure_levels(source, name, round(start * source.samplerate), last)
    if levels.duration < MIN_SECONDS:
        raise EmptyInputError(f"`{name}` is a recording of {1000 * levels.duration:.3g} ms.", name)
    warn_of_silence(levels, name)


def extract(
    extractor: Callable[..., Any], recording: Path | tuple[torch.Tensor, int], name: str, **options: Any
) -> Any:
    r"""
    Runs an extractor, and renames its argument `audio` in error messages to the user's argument.

    Args:
        extractor (`Callable`): an extractor such as [`~extraction.extract_chords`].
        recording: as [`as_recording`] returns it.
        name (`str`): name of the argument.
        options: arguments of the extractor.
    """
    try:
        return extractor(recording, **options)
    except InputError as error:
        if error.argument != "audio":
            raise
        raise error.renamed(name) from error


def warn_empty(name: str, reason: InputError | None = None):
    """Warns that a control is empty, with the reason unless it is obvious."""
    _, prefix, detail = str(reason or "").partition(f"`{name}`: ")
    logger.warning(f"`{name}` is empty: the music is generated without it.{f' Reason: {detail}' if prefix else ''}")


def is_file(value: Any) -> bool:
    """Whether `value` is a path object or the name of an existing file."""
    return isinstance(value, os.PathLike) or (isinstance(value, str) and os.path.isfile(split_track(value)[0]))
