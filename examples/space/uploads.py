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

"""Turns typed text and uploaded files into values of the chord timeline, the step sequencer, the piano roll and the drum recording."""

import logging
import math
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import soundfile
import torch

from diffusers_jasco.audio.io import AUDIO_SUFFIXES, open_audio
from diffusers_jasco.audio.resampling import resample
from diffusers_jasco.controls.chord_files import CHORD_SUFFIXES
from diffusers_jasco.controls.chord_labels import NO_CHORD
from diffusers_jasco.controls.chords import Chords, chords_from_bars, chords_from_roman
from diffusers_jasco.controls.drum_machine import Groove, read_groove, to_velocity
from diffusers_jasco.controls.melody import melody_from_midi, melody_to_notes
from diffusers_jasco.controls.midi import MIDI_SUFFIXES
from diffusers_jasco.controls.midi_drums import drums_from_midi
from diffusers_jasco.extraction import extract_chords, extract_groove, extract_melody, separate_drums
from diffusers_jasco.inputs import InputError, read_chords
from diffusers_jasco.utils.errors import list_names
from parts import MAX_STEPS, STEPS_PER_BEAT, TRACKS, capitalize_chords, check_steps, empty_steps
from settings import BEATS_PER_BAR, DURATION, TEMPO, FieldError, check_chords, count_bars


MAX_UPLOAD = 25  # MB
MAX_RECORDING = 600.0  # seconds
MAX_TEXT = 1000  # characters of a typed progression
TRACK_LABEL = "Track of a MIDI file"
NOTE_FRAMES = 100.0  # frames per second for notes of MIDI files
MAX_USED_SECONDS = DURATION[1]  # no generation needs more of a recording
CHORD_FILES = (*CHORD_SUFFIXES, *AUDIO_SUFFIXES)
MELODY_FILES = (*MIDI_SUFFIXES, *AUDIO_SUFFIXES)
GROOVE_SUFFIX = ".json"  # of files for `read_groove`
DRUM_FILES = (*MELODY_FILES, GROOVE_SUFFIX)
MIDI_DRUMS_RATE = 32000  # Hz, for the steps of MIDI files

logger = logging.getLogger("diffusers_jasco.space")  # See `collected_warnings`.

_FOLDERS = re.compile(r"(?<![^\s'\"(])/([^/\s]+/)+")
_TRACK_HINT = re.compile(r"after the path, as in '[^']*'")
_GROOVE_HINT = re.compile(r", or set `bpm`, `beats_per_bar` or `bars`")
_NUMERAL = re.compile(r"[\s|]*[#b]?[IViv]")
_WITH_SECONDS = re.compile(r"\S*[^\s:]:\d+(\.\d+)?,?")


def place_chords(
    chords: Chords, beats_per_bar: int, duration: float, tempo: float, repeat_after: float | None = None
) -> dict[str, Any]:
    r"""
    Places chords on the timeline.

    Args:
        chords (`list` of `(label, start)`): labels and their starts in beats.
        beats_per_bar (`int`): beats per bar.
        duration (`float`): seconds of music.
        tempo (`float`): beats per minute.
        repeat_after (`float`, *optional*): length of the progression in beats; if given, it repeats until the end.
    """
    end = duration * tempo / 60 - 1e-6
    repeats = math.ceil(end / repeat_after) if repeat_after else 1
    placed = [(label, start + turn * (repeat_after or 0)) for turn in range(repeats) for label, start in chords]
    # If chords start at the same time, the last one wins.
    chords_by_beat = {start: label for label, start in placed if start < end}
    value = {
        "beats_per_bar": beats_per_bar,
        "bars": count_bars(duration, tempo, beats_per_bar),
        "chords": [{"label": label, "beat": beat} for beat, label in chords_by_beat.items()],
    }
    return check_chords(value)


def are_numerals(text: str) -> bool:
    """Whether a typed progression begins with a Roman numeral."""
    return _NUMERAL.match(text) is not None


def chords_from_text(
    text: str, key: str, beats_per_bar: int, duration: float, tempo: float, repeat: bool
) -> dict[str, Any]:
    r"""
    Places a typed progression on the timeline: chords in bars (`"C | Am | F G"`), Roman numerals in a key (`"ii7 V7 Imaj7"`), or
    chords with their starts in seconds (`"C:0 Am:2.5"`). Without bar lines, each chord lasts one bar.

    Raises:
        [`FieldError`]: for any other text.
    """
    if not text.strip():
        raise FieldError(
            "chords", "Type some chords first, such as “C | Am | F G”, or Roman numerals such as “ii7 V7 Imaj7”."
        )
    if len(text) > MAX_TEXT:
        raise FieldError("chords", f"The progression has {len(text)} characters; but at most {MAX_TEXT} are allowed.")
    # Drop repeat signs, and dashes and arrows between chords.
    text = re.sub(r"(?<=\|):|:(?=\|)|(?<!\S)[-–—→>]+(?!\S)", " ", text)
    if not are_numerals(text):
        text = capitalize_chords(text)
    words = text.split()
    with naming("chords"):
        if text.lstrip()[0] in "([" or all(_WITH_SECONDS.fullmatch(word) for word in words if word != "|"):
            chords = [(label, max(start, 0) * tempo / 60) for label, start in read_chords(text)]
            return place_chords(chords, beats_per_bar, duration, tempo)
        bars = text if "|" in text else " | ".join(words)
        # At 60 BPM, one second is one beat.
        if are_numerals(text):
            chords = chords_from_roman(bars, key, 60, beats_per_bar)
        else:
            chords = chords_from_bars(bars, 60, beats_per_bar)
        chords = read_chords(chords)
    length = len(bars.strip().strip("|").split("|"))
    value = place_chords(chords, beats_per_bar, duration, tempo, length * beats_per_bar if repeat else None)
    if length > value["bars"]:
        logger.warning(
            f"The progression has {length} bars, but only {value['bars']} fit into {duration:g} seconds at this tempo."
        )
    return value


def chords_from_file(
    file: str | None, start: float | None, beats_per_bar: int, duration: float, tempo: float
) -> dict[str, Any]:
    r"""
    Places the chords of a recording, an annotation or a MIDI file on the timeline at their times.

    Args:
        file (`str`): the file.
        start (`float`): seconds to skip at its beginning.
        beats_per_bar (`int`), duration (`float`), tempo (`float`): timing of the music.

    Raises:
        [`FieldError`]: for an unusable file.
    """
    start = start or 0.0
    suffix = check_upload(file, "chords", CHORD_FILES)
    with naming("chords", file):
        if suffix in CHORD_SUFFIXES:
            chords = read_chords(file)
        else:
            chords = [
                (label, time + start) for label, time in extract_chords(*read_excerpt(file, "chords", start, duration))
            ]
    # The chord that sounds at `start` began earlier.
    before = [label for label, time in chords if time <= start][-1:] or [NO_CHORD]
    moved = [(before[0], 0.0)] + [(label, (time - start) * tempo / 60) for label, time in chords if time > start]
    value = place_chords(moved, beats_per_bar, duration, tempo)
    if all(chord["label"] == NO_CHORD for chord in value["chords"]):
        raise FieldError("chords", f"No chords were found in the {duration:g} seconds after {start:g} s.")
    return value


def melody_from_file(
    file: str | None, start: float | None, one_voice: bool, duration: float, tempo: float, track: str = ""
) -> dict[str, Any]:
    r"""
    Places the melody of a recording or a MIDI file on the piano roll.

    Args:
        file (`str`): the file.
        start (`float`): seconds to skip at its beginning.
        one_voice (`bool`): whether the recording has a single voice or instrument instead of a full mix.
        duration (`float`), tempo (`float`): timing of the music.
        track (`str`, *optional*): name or number of the track of a MIDI file; by default, the track that is most likely the melody.

    Raises:
        [`FieldError`]: for an unusable file, or one without a melody.
    """
    start = start or 0.0
    suffix = check_upload(file, "melody", MELODY_FILES)
    with naming("melody", file):
        if suffix in MIDI_SUFFIXES:
            rate = NOTE_FRAMES
            matrix = melody_from_midi(file, round(duration * rate), rate, track.strip() or None, start)
        else:
            rate = 50.0
            method = "monophonic" if one_voice else "builtin"
            matrix = extract_melody(*read_excerpt(file, "melody", start, duration), method=method, frame_rate=rate).T
    notes = melody_to_notes(matrix, rate)
    if not notes:
        raise FieldError("melody", f"No melody was found in the {duration:g} seconds after {start:g} s.")
    beats = tempo / 60
    return {
        "beats": duration * beats,
        "notes": [
            {"midi": midi, "beat": on * beats, "beats": (min(off, duration) - on) * beats}
            for midi, on, off in notes
            if on < duration
        ],
    }


def pattern_from_file(
    file: str | None, start: float | None, separate: bool, beats_per_bar: int
) -> tuple[dict[str, Any], float, int]:
    r"""
    Turns drums into a pattern of the step sequencer: those of a recording or a MIDI file are transcribed, and a groove file
    has steps already.

    Args:
        file (`str`): the file.
        start (`float`): seconds to skip at the beginning of a recording or a MIDI file.
        separate (`bool`): whether to separate the drums from a full mix.
        beats_per_bar (`int`):
            Beats per bar of the music, which are kept if the pattern has whole bars of them, or a bar whole repetitions of
            the pattern.

    Returns:
        `tuple` of the pattern, its tempo in BPM, and its beats per bar.

    Raises:
        [`FieldError`]: for an unusable file, one without drums or a beat, and a beat that the step sequencer can't show.
    """
    suffix = check_upload(file, "drums", DRUM_FILES)
    with naming("drums", file):
        if suffix == GROOVE_SUFFIX:
            groove = read_groove(file)
        else:
            waveform, rate = _read_drums(file, start or 0.0, MIDI_DRUMS_RATE)
            groove = extract_groove(waveform, rate, separate_drums=separate and suffix in AUDIO_SUFFIXES)
    pattern = pattern_from_groove(groove)
    if not TEMPO[0] <= groove.bpm <= TEMPO[1]:
        raise _no_steps(f"{groove.bpm:g} BPM, but the tempo here has to be from {TEMPO[0]:g} to {TEMPO[1]:g} BPM")
    usual = beats_per_bar, groove.beats_per_bar, *range(BEATS_PER_BAR[0], BEATS_PER_BAR[1] + 1)
    beats_per_bar = next((beats for beats in usual if _fits_bars(pattern, beats)), beats_per_bar)
    logger.warning(f"The tempo and the time signature are now {groove.bpm:g} BPM and {beats_per_bar}/4.")
    warn_of_partial_bars(pattern, beats_per_bar)
    return pattern, groove.bpm, beats_per_bar


def pattern_from_groove(groove: Groove) -> dict[str, Any]:
    r"""
    A groove as a pattern of the step sequencer. A warning reports drums and swing that the step sequencer lacks.

    Raises:
        [`FieldError`]: for a groove with another resolution, too many steps, or no hits of drums of the step sequencer.
    """
    spread, rest = divmod(STEPS_PER_BEAT, groove.steps_per_beat)
    if rest or (spread > 1 and groove.swing > 0.5):
        names = {2: "eighths with swing", 3: "triplets"}
        resolution = names.get(groove.steps_per_beat, f"{groove.steps_per_beat} steps per beat")
        raise _no_steps(f"{resolution}, but the steps here are sixteenths")
    steps = groove.num_steps * spread
    if steps > MAX_STEPS:
        raise _no_steps(f"{steps} steps, but at most {MAX_STEPS} are allowed here")
    hit = _hit_drums(groove)
    if not hit:
        raise FieldError("drums", "This beat has no hits.")
    if missing := missing_drums(groove):
        if missing == hit:
            raise _no_steps(f"only drums that are not available here: {', '.join(missing)}")
        logger.warning(f"Some drums are not available here, and are left out: {', '.join(missing)}.")
    swing = round((groove.swing - 0.5) * 6, 6)  # the inverse of `Settings.groove`
    if swing > 1.05:
        logger.warning(f"The swing is {groove.swing:.0%}, but at most 67% are possible here.")
    pattern = empty_steps(steps)
    for drum in set(hit) - set(missing):
        pattern["tracks"][drum.replace(" ", "_")][::spread] = map(to_velocity, groove.tracks[drum])
    return check_steps({**pattern, "swing": min(swing, 1.0)})


def _no_steps(reason: str) -> FieldError:
    return FieldError("drums", f"This beat has {reason}. It can only be used as a recording.")


def missing_drums(groove: Groove) -> list[str]:
    """The drums of a groove that are hit, but not in the step sequencer."""
    return [drum for drum in _hit_drums(groove) if drum.replace(" ", "_") not in TRACKS]


def _hit_drums(groove: Groove) -> list[str]:
    return [drum for drum, steps in groove.tracks.items() if any(map(to_velocity, steps))]


def warn_of_partial_bars(pattern: dict[str, Any], beats_per_bar: int):
    """Warns about a pattern whose repetitions do not begin with the bars."""
    if not _fits_bars(pattern, beats_per_bar):
        beats = pattern["steps"] / STEPS_PER_BEAT
        logger.warning(f"The pattern has {beats:g} beats, but the time signature is {beats_per_bar}/4.")


def _fits_bars(pattern: dict[str, Any], beats_per_bar: int) -> bool:
    """Whether a pattern has whole bars, or a bar whole patterns, as in `Groove.check_beats_per_bar`."""
    bar = STEPS_PER_BEAT * beats_per_bar
    return pattern["steps"] % bar == 0 or bar % pattern["steps"] == 0


def write_drums(file: str | None, start: float | None, separate: bool, sampling_rate: int, folder: Path) -> Path:
    r"""
    Writes a drum recording, or the rendered drums of a MIDI or groove file, as the model receives it, for listening.

    Args:
        file (`str`): the file.
        start (`float`): seconds to skip at its beginning.
        separate (`bool`): whether to separate the drums from a full mix.
        sampling_rate (`int`): sampling rate of the model in Hz.
        folder (`Path`): output folder.

    Returns:
        `Path`: WAV file in float32, mono.

    Raises:
        [`FieldError`]: for an unusable file.
    """
    start = start or 0.0
    suffix = check_upload(file, "drums", DRUM_FILES)
    with naming("drums", file):
        waveform, rate = _read_drums(file, start, sampling_rate)
        if separate and suffix in AUDIO_SUFFIXES:
            waveform, rate = separate_drums(waveform, rate)
    waveform = resample(waveform, rate, sampling_rate).mean(dim=0)
    if float(waveform.abs().max()) < 1e-4:
        raise FieldError("drums", f"The recording is silent after {start:g} s.")
    path = folder / "drums.wav"
    soundfile.write(path, waveform.numpy(), sampling_rate, subtype="FLOAT")
    return path


def _read_drums(file: str, start: float, sampling_rate: int) -> tuple[torch.Tensor, int]:
    """The drums of a file from `start`, rendered at `sampling_rate` unless it is a recording: a waveform and its sampling rate."""
    suffix = Path(file).suffix.lower()
    if suffix in MIDI_SUFFIXES:
        return drums_from_midi(file, MAX_USED_SECONDS, sampling_rate, start), sampling_rate
    if suffix == GROOVE_SUFFIX:  # from its beginning, as in the pipeline
        return read_groove(file).render(MAX_USED_SECONDS, sampling_rate), sampling_rate
    return read_excerpt(file, "drums", start, MAX_USED_SECONDS)


def measure_recording(path: str | None, field: str) -> float:
    """The length of a recording in seconds. Raises [`FieldError`] for an unusable file."""
    if path is None:
        raise FieldError(field, "Choose a recording to edit first.")
    check_upload(path, field, AUDIO_SUFFIXES)
    with naming(field, path):
        source = open_audio(path, field)
    return source.frames / source.samplerate


def read_recording(path: str | None, field: str) -> tuple[torch.Tensor, int]:
    """Reads a recording: a waveform `(channels, samples)` and its sampling rate. Raises [`FieldError`] for an unusable file."""
    check_upload(path, field, AUDIO_SUFFIXES)
    with naming(field, path):
        return read_excerpt(path, field, 0.0, MAX_USED_SECONDS)


def check_upload(path: str | None, field: str, suffixes: tuple[str, ...]) -> str:
    """Checks the suffix and the size of an uploaded file, and returns the suffix."""
    if path is None:
        raise FieldError(field, "Choose a file first.")
    suffix = Path(path).suffix.lower()
    if suffix not in suffixes:
        raise FieldError(field, f"{Path(path).name} is not supported: its name has to end in {list_names(suffixes)}.")
    size = os.path.getsize(path) / 1e6
    if size > MAX_UPLOAD:
        raise FieldError(field, f"{Path(path).name} has {size:.0f} MB, but at most {MAX_UPLOAD} MB are allowed.")
    return suffix


def read_excerpt(path: str, field: str, start: float, duration: float) -> tuple[torch.Tensor, int]:
    """Reads at most `duration` seconds from `start`: a waveform `(channels, samples)` and its sampling rate."""
    source = open_audio(path, field)
    rate, length = source.samplerate, source.frames / source.samplerate
    if length > MAX_RECORDING:
        raise FieldError(
            field, f"The recording lasts {_minutes(length)}, but at most {_minutes(MAX_RECORDING)} are allowed."
        )
    if not 0 <= start < length:
        raise FieldError(field, f"The recording lasts only {length:.1f} s, so it can’t start at {start:g} s.")
    first = round(start * rate)
    return torch.from_numpy(source.read(first, first + math.ceil(duration * rate))).T, rate


@contextmanager
def naming(field: str, path: str | None = None) -> Iterator[None]:
    """Converts errors of the block to [`FieldError`]s of a field, without the folder of its file."""
    try:
        yield
    except (InputError, FileNotFoundError) as error:
        raise FieldError(field, explain(error, path)) from error


def explain(error: InputError | FileNotFoundError, path: str | None = None) -> str:
    """The message of an error for users of the page: chords are counted from one, and folders are removed."""
    message = str(error)
    if (position := getattr(error, "position", None)) is not None:
        message = message.replace(f"position {position}", f"chord {position + 1}", 1)
    message = readable(message)
    return message if path is None else message.replace(str(path), Path(path).name)


def readable(message: str) -> str:
    """
    A message of the package for users of the page: without the name of the argument, since it appears next to its field, and
    without the folders of files.
    """
    if message.startswith("`"):
        message = message.split("`: ", 1)[-1]
    message = _GROOVE_HINT.sub("", message).replace("`audio`", "the recording")
    # Names of arguments are between backticks.
    parts = message.split("`")
    message = "".join(f"“{part}”" if index % 2 else part for index, part in enumerate(parts))
    message = _TRACK_HINT.sub(f"into “{TRACK_LABEL}”", message)
    # Removes folders, but keeps file names.
    return _FOLDERS.sub("", message[:1].upper() + message[1:])


@contextmanager
def collected_warnings(ignore: str | None = None) -> Iterator[list[str]]:
    """
    Collects the package's warnings in this thread during the block, for example about notes that were dropped or cut.
    Warnings of the logger `ignore` are left out.
    """
    warnings: list[str] = []
    thread = threading.get_ident()

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord):
            if record.thread == thread and record.levelno >= logging.WARNING and record.name != ignore:
                message = readable(record.getMessage())
                if message not in warnings:
                    warnings.append(message)

    collector, logger = Collector(), logging.getLogger("diffusers_jasco")
    logger.addHandler(collector)
    try:
        yield warnings
    finally:
        logger.removeHandler(collector)


def _minutes(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d} minutes"
