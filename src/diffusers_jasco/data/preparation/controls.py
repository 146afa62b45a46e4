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

"""Chords, melody, drums and beats of a track, from the manifest, from files, or extracted from the audio."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.stream import AudioStream, resample_blocks
from ...controls.beats import check_beats
from ...controls.melody import bins_to_notes, frames_to_notes, melody_from_npz
from ...extraction import extract_beats, extract_chords
from ...extraction.chords import is_method as is_chord_method
from ...extraction.drums import DrumStream
from ...extraction.melody import extract_bins
from ...extraction.melody import is_method as is_melody_method
from ..sources import BEAT_FIELDS, Source, resolve_beside
from .chord_files import Chords, fit_vocabulary
from .settings import METHODS, PreparationSettings, chord_table


MELODY_FRAME_RATE = 50.0  # Hz; time resolution of melodies read from salience


def track_chords(source: Source, path: Path, settings: PreparationSettings) -> tuple[Chords | None, dict[str, int]]:
    if settings.chords == "none":
        return None, {}
    if source.info.get("chords") is not None:
        chords = [(str(label), float(start)) for label, start in source.info["chords"]]
    elif is_chord_method(settings.chords):
        chords = extract_chords(path, method=settings.chords)
    else:
        table, name = chord_table(settings.chords), source.track
        # AudioCraft cuts names at the first dot.
        name = name if name in table else name.split(".")[0]
        if name not in table:
            raise ValueError(f"{settings.chords} has no chords for the track {name!r}.")
        chords = table[name]
    if settings.chord_map is None:
        return chords, {}
    return fit_vocabulary(chords, settings.labels)


def track_melody(source: Source, path: Path, settings: PreparationSettings, duration: float) -> list | None:
    if settings.melody == "none":
        return None
    if source.info.get("melody") is not None:
        return [tuple(note) for note in source.info["melody"]]
    if is_melody_method(settings.melody):
        bins = extract_bins(
            path, method=settings.melody, frame_rate=MELODY_FRAME_RATE, weights=settings.melody_weights
        )
        return bins_to_notes(bins, MELODY_FRAME_RATE)
    file = _named_file(settings.melody, source, ("_multif0_salience.npz",))
    matrix = melody_from_npz(file, math.ceil(duration * MELODY_FRAME_RATE), MELODY_FRAME_RATE)
    return frames_to_notes(matrix, MELODY_FRAME_RATE)


def track_beats(source: Source, path: Path, settings: PreparationSettings) -> dict[str, Any]:
    """Those of `beats`, `downbeats`, `tempo`, `time_signature` and `beats_per_bar` of a track that are known."""
    if settings.beats == "none":
        return {}
    stated = {name: source.info[name] for name in BEAT_FIELDS if source.info.get(name) is not None}
    if stated.get("beats"):
        beats, downbeats = check_beats(stated["beats"], stated.get("downbeats", ()))
        return stated | {"beats": beats, "downbeats": downbeats}
    if "beats" in stated:  # a track without beats
        return stated
    estimate = extract_beats(path)
    if not estimate.beats:
        return stated
    return estimate._asdict() | stated | {"beats": estimate.beats, "downbeats": estimate.downbeats}


@contextmanager
def track_drums(source: Source, path: Path, settings: PreparationSettings) -> Iterator[Iterable[np.ndarray] | None]:
    """Blocks of drum audio at the clips' sampling rate. They are valid inside the `with` block."""
    rate = settings.sampling_rate
    if settings.drums == "none":
        yield None
    elif source.info.get("stems") is not None:
        stem = source.info["stems"].get("drums")
        if stem is None:
            yield None
            return
        with Source(resolve_beside(source, stem), stem).local() as file:
            yield AudioStream(file, None, rate)
    elif settings.drums in METHODS["drums"]:
        stream = DrumStream(path, method=settings.drums)
        yield resample_blocks(stream, stream.rate, rate)
    else:
        yield AudioStream(
            _named_file(settings.drums, source, (".drums.flac", ".drums.wav", ".flac", ".wav")), None, rate
        )


def _named_file(folder: str, source: Source, suffixes: tuple[str, ...]) -> Path:
    name = source.track
    names = [f"{stem}{suffix}" for stem in (name, name.split(".")[0]) for suffix in suffixes]
    path = next((Path(folder, name) for name in names if Path(folder, name).is_file()), None)
    if path is None:
        raise ValueError(f"{folder} has no file for the track {name!r}, such as {names[0]}.")
    return path


def cut_chords(chords: Chords, start: float, duration: float) -> Chords:
    """The chords between `start` and `start + duration`, with times relative to `start`."""
    sounding = [(label, 0.0) for label, time in chords if time <= start][-1:]
    later = [(label, round(time - start, 4)) for label, time in chords if start < time < start + duration]
    return sounding + later


def cut_beats(beats: dict[str, Any], start: float, duration: float) -> dict[str, Any]:
    """The known properties of the beats between `start` and `start + duration`, with times relative to `start`."""
    cut = {
        name: [round(time - start, 4) for time in beats[name] if start <= time < start + duration]
        for name in ("beats", "downbeats")
        if name in beats
    }
    return {"beats": None, "downbeats": None} | beats | cut


def cut_notes(notes: list, start: float, duration: float) -> list:
    """The notes between `start` and `start + duration`, with times relative to `start`."""
    cut = [
        (int(key), round(max(onset - start, 0.0), 4), round(min(end - start, duration), 4))
        for key, onset, end in notes
    ]
    # Ignore notes that overlap the clip by less than one frame.
    return [note for note in cut if note[2] - note[1] >= 0.5 / MELODY_FRAME_RATE]
