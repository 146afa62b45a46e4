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

"""Chord estimation."""

import os
import reprlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeGuard, get_args, overload

import numpy as np
from diffusers.utils import logging

from ..audio.stream import AudioStream
from ..controls.chord_labels import NO_CHORD, UNKNOWN_CHORD, default_chord_labels, parse_chord
from ..utils.errors import InputError
from ..utils.optional_imports import import_optional, pip_install
from ..utils.spooling import SpooledRows
from .beats import Beats, extract_beats
from .progress import SecondsBar


logger = logging.get_logger(__name__)

Chords = list[tuple[str, float]]
Method = Literal["auto", "chordino", "builtin"]
METHODS: tuple[Method, ...] = get_args(Method)
BeatTimes: TypeAlias = Beats | Sequence[float] | np.ndarray

RATE = 32000  # Hz: the rate of JASCO's training data; at other rates Chordino estimates different chords
HOP = 2048  # samples: 64 ms
_SHORTEST_BEAT = 0.05  # seconds


@overload
def extract_chords(
    audio: list[Any],
    sampling_rate: int | None = None,
    method: Method = "auto",
    progress: bool = False,
    snap_to_beats: bool | Sequence[BeatTimes] = False,
) -> list[Chords]: ...


@overload
def extract_chords(
    audio: Any,
    sampling_rate: int | None = None,
    method: Method = "auto",
    progress: bool = False,
    snap_to_beats: bool | BeatTimes = False,
) -> Chords: ...


def extract_chords(
    audio: Any,
    sampling_rate: int | None = None,
    method: Method = "auto",
    progress: bool = False,
    snap_to_beats: bool | BeatTimes | Sequence[BeatTimes] = False,
) -> Chords | list[Chords]:
    r"""
    Estimates the chords of a recording, as Chordino's 193 labels.

    Args:
        audio (`str`, `os.PathLike`, `torch.Tensor` or `np.ndarray`, or a `list` of them):
            A file, or a waveform `(samples,)` or `(channels, samples)`. It is read in blocks, in bounded memory.
        sampling_rate (`int`, *optional*):
            Sampling rate of waveforms in Hz.
        method (`str`, defaults to `"auto"`):
            `"chordino"`: the plugin used for JASCO's training data (Mauch and Dixon, 2010). Since it is under the GPL,
            you have to install it yourself: `pip install "diffusers-jasco[chords]"` and `pip install --no-deps
            chord-extractor==0.1.3` (Linux on x86-64). `"builtin"`: an estimator of this package based on the same
            paper. `"auto"`: the plugin if it is installed, otherwise `"builtin"`.
        progress (`bool`, defaults to `False`):
            Whether to show a progress bar.
        snap_to_beats (`bool`, `Sequence[float]` or `Beats`, defaults to `False`):
            Beats in seconds, a result of [`extract_beats`], or `True` to extract them: chords then change on beats
            only, and each beat has the chord that sounds longest in it. Beats are continued at both ends with the
            tempo there. Fewer than two beats have no effect except a warning. For a list of recordings, a list with
            the beats of each.

    Returns:
        `list` of `(label, start in seconds)`: the progression, starting at 0, with "N" where no chord is detected. For
        a list of recordings, a list of progressions.

    Raises:
        `FileNotFoundError`: if a file does not exist.
        `ImportError`: if the method's package is not installed.
        [`InputError`]: for input that is not audio, an unknown method, and beats that are not ascending times at least
            0.05 s apart.
    """
    if not is_method(method):
        raise InputError(f"`method` has to be 'auto', 'chordino' or 'builtin', but is {method!r}.", "method")
    if isinstance(snap_to_beats, Beats):
        snap_to_beats = snap_to_beats.beats
    if isinstance(audio, list):
        beats_of_each = _beats_of_each(snap_to_beats, len(audio))
        return [
            extract_chords(item, sampling_rate, method, progress, snap) for item, snap in zip(audio, beats_of_each)
        ]
    if method == "auto":
        method = "chordino" if _find_plugin() is not None else "builtin"
        logger.info(f"Estimating chords with method={method!r}.")
    # Checked first: extraction takes longer.
    beats = None if isinstance(snap_to_beats, bool) else _check_beats(snap_to_beats)
    stream = AudioStream(audio, sampling_rate, RATE)
    chords = (_run_chordino if method == "chordino" else _estimate_chords)(stream, progress)
    if snap_to_beats is True:
        beats = np.asarray(extract_beats(audio, sampling_rate).beats)
    return chords if beats is None else _snap(chords, beats, stream.duration)


def is_method(name: str) -> TypeGuard[Method]:
    """Whether `name` is a method of [`extract_chords`]."""
    return name in METHODS


def _merge(chords: Iterable[tuple[str, float]], duration: float) -> Chords:
    """Merges repeated chords, lets the first one start at 0, and drops chords that start at the end."""
    merged: Chords = []
    for label, start in chords:
        start = 0.0 if not merged else start
        if start < duration and (not merged or merged[-1][0] != label):
            merged.append((label, round(float(start), 4)))
    return merged or [(NO_CHORD, 0.0)]


def _beats_of_each(snap_to_beats: Any, count: int) -> Sequence[Any]:
    """`snap_to_beats` for each of several recordings."""
    beats = [snap_to_beats] * count if isinstance(snap_to_beats, bool) else snap_to_beats
    if not hasattr(beats, "__len__") or len(beats) != count:
        raise InputError(
            f"`snap_to_beats` has to be a bool or have the beats of each of {count} recordings, but got"
            f" {reprlib.repr(beats)}.",
            "snap_to_beats",
        )
    return beats


def _check_beats(beats: Any) -> np.ndarray:
    try:
        times = np.asarray(beats, dtype=float)
    except (TypeError, ValueError):
        times = np.zeros((0, 0))
    is_valid = times.ndim == 1 and np.isfinite(times).all() and (times >= 0).all()
    if not is_valid or (np.diff(times) < _SHORTEST_BEAT).any():
        raise InputError(
            f"`snap_to_beats` has to be a bool or ascending times in seconds from 0 on, at least {_SHORTEST_BEAT} s"
            f" apart, but got {reprlib.repr(beats)}.",
            "snap_to_beats",
        )
    return times


def _snap(chords: Chords, beats: np.ndarray, duration: float) -> Chords:
    """Gives each beat the chord that sounds longest in it, so a change moves to the nearest beat."""
    if len(beats) < 2:
        logger.warning(f"Chords are not snapped to beats: at least two beats are needed, but there are {len(beats)}.")
        return chords
    first, last = beats[1] - beats[0], beats[-1] - beats[-2]
    before = np.arange(beats[0] - first, 1e-3, -first)[::-1]
    after = np.arange(beats[-1] + last, duration, last)
    edges = np.concatenate([[0.0], before, beats[(beats > 0) & (beats < duration)], after])
    labels, numbers = np.unique([label for label, _ in chords], return_inverse=True)
    starts = np.array([start for _, start in chords])
    # Pieces within which neither the beat nor the chord changes.
    cuts = np.union1d(edges, starts)
    lengths = np.diff(cuts, append=duration)
    sounding = np.zeros((len(edges), len(labels)))
    position = np.searchsorted(edges, cuts, side="right") - 1, numbers[np.searchsorted(starts, cuts, side="right") - 1]
    np.add.at(sounding, position, lengths)
    return _merge(zip(labels[sounding.argmax(axis=1)].tolist(), edges), duration)


# 1. Chordino

_PLUGIN = "nnls-chroma:chordino"
# As in AudioCraft's notebook.
_PLUGIN_PARAMETERS = {"useNNLS": 1, "rollon": 1, "tuningmode": 0, "whitening": 1, "s": 0.7, "boostn": 0.1}


def _find_plugin() -> Path | None:
    """The folder of the plugin in the user's `chord-extractor`, or `None`."""
    package = find_spec("chord_extractor")
    if package is None or not package.submodule_search_locations or find_spec("vampyhost") is None:
        return None
    folder = Path(package.submodule_search_locations[0], "_lib")
    return folder if any(folder.glob("nnls-chroma.*")) else None


def _run_chordino(stream: AudioStream, progress: bool) -> Chords:
    folder = _find_plugin()
    if folder is None:
        raise ImportError(
            f"Chordino is not installed: {pip_install('chords')}, and pip install --no-deps chord-extractor==0.1.3 (GPL;"
            " Linux on x86-64). method='builtin' does not need the plugin."
        )
    # The host searches for plugins at its first use.
    os.environ["VAMP_PATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("VAMP_PATH")]))
    vampyhost = import_optional("vampyhost", "chords")
    adapt = vampyhost.ADAPT_INPUT_DOMAIN | vampyhost.ADAPT_CHANNEL_COUNT
    plugin = vampyhost.load_plugin(_PLUGIN, float(RATE), adapt)
    plugin.set_parameter_values(_PLUGIN_PARAMETERS)
    step, block = plugin.get_preferred_step_size(), plugin.get_preferred_block_size()
    plugin.initialise(1, step, block)
    try:
        with SecondsBar("chords", stream.duration, progress) as bar:
            index = 0
            for frames in stream.frames(block, step, before=0):
                for frame in frames:
                    plugin.process_block(frame[None], vampyhost.RealTime("seconds", index * step / RATE))
                    index += 1
                bar.update(len(frames) * step / RATE)
        found = plugin.get_remaining_features()[0]
    finally:
        plugin.unload()
    # The last label only marks the end of the audio.
    return _merge(((item["label"], float(item["timestamp"])) for item in found), stream.duration)


# 2. Built-in: notes by nonnegative least squares, bass and treble chroma, templates, Viterbi decoding (Mauch and
# Dixon, "Approximate note transcription for the improved identification of difficult chords", 2010)

_WINDOW = 16384  # samples: half a second
_BINS = 3  # per semitone
_LOWEST = 21  # MIDI number of A0
_NUM_PITCHES = 84  # A0 to G#7
_WHITENING_BINS = 19  # half an octave
_HARMONICS = 20
_HARMONIC_DECAY = 0.7  # amplitude ratio of successive harmonics
_UPDATES = 20  # multiplicative updates of the notes' amplitudes
_COMPRESSION = 0.9  # exponent of the notes
_BASS = (39.5, 18)  # MIDI numbers: center and half width of the bass range, A0 to A3
_TREBLE = (62.5, 42)  # MIDI numbers: center and half width of the treble range, all pitches
_BASS_NOTE = 0.7  # weight of the bass note in the bass template
_BASS_TONES = 0.35  # weight of the other chord tones in the bass template
# Priors: lower-weighted chord types need a better fit. Sixth chords are all inversions of seventh chords.
_INVERSION_WEIGHT = 0.98
_SIXTH_WEIGHT = 0.99
_NO_CHORD_WEIGHT = 0.9
_SHARPNESS = 8.0
_STAY = 0.995  # probability that a chord lasts another 64 ms
_PART = 2048  # frames that are processed at once


def _estimate_chords(stream: AudioStream, progress: bool) -> Chords:
    chroma, loudness = estimate_chroma(stream, progress)
    return decode_chords(chroma, loudness, stream.duration)


def estimate_chroma(stream: AudioStream, progress: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Bass and treble chroma `(frames, 24)` of the notes, and loudness `(frames,)`, one frame every 64 ms."""
    with SpooledRows((_BINS * _NUM_PITCHES,), np.float32) as spectra:
        total = _read_spectra(stream, spectra, progress)
        chroma, loudness = np.empty((len(spectra), 24), dtype=np.float32), np.empty(len(spectra), dtype=np.float32)
        if not len(spectra):
            return chroma, loudness
        shift = _find_tuning(total / np.float32(len(spectra)))
        end = 0
        for count in _divide(len(spectra), _PART):
            start, end = end, end + count
            tuned = _tune(spectra.read(start, end), shift)
            loudness[start:end] = tuned.max(axis=1)
            notes = _fit_notes(_whiten(tuned)) ** _COMPRESSION
            chroma[start:end] = np.concatenate([_fold(notes, *_BASS), _fold(notes, *_TREBLE)], axis=1)
    return chroma, loudness


def _read_spectra(stream: AudioStream, spectra: SpooledRows, progress: bool) -> np.ndarray:
    """Appends the spectrum of each frame, and returns the sum of all."""
    bank = _log_frequency_bank()
    window = np.hanning(_WINDOW).astype(np.float32)
    total = np.zeros(bank.shape[1], dtype=np.float32)
    with SecondsBar("chords", stream.duration, progress) as bar:
        for frames in stream.frames(_WINDOW, HOP):
            for part in np.array_split(frames, -(-len(frames) // 128)):
                spectrum = np.abs(np.fft.rfft(part * window)).astype(np.float32) @ bank
                spectra.append(spectrum)
                # As in a sum of all frames at once, they are added one by one.
                total = np.concatenate([total[None], spectrum]).sum(axis=0)
            bar.update(len(frames) * HOP / RATE)
    return total


def _divide(total: int, largest: int) -> list[int]:
    """The sizes of equal parts."""
    number = -(-total // largest)
    return [total // number + (index < total % number) for index in range(number)]


def is_quiet(loudness: np.ndarray) -> np.ndarray:
    """Frames that are almost silent in comparison with the loudest one."""
    return loudness < 1e-3 * loudness.max(initial=0)


def decode_chords(chroma: np.ndarray, loudness: np.ndarray, duration: float) -> Chords:
    """Chords of the output of [`estimate_chroma`]."""
    if not len(chroma):
        return [(NO_CHORD, 0.0)]
    labels, templates = _templates()
    quiet = is_quiet(loudness)

    def fit(part: slice) -> np.ndarray:
        fits = (chroma[part] / (np.linalg.norm(chroma[part], axis=1, keepdims=True) + 1e-9)) @ templates.T
        # Near-silent frames are labeled N.
        fits[quiet[part]] = np.eye(len(labels))[labels.index(NO_CHORD)]
        return fits * np.float32(_SHARPNESS)

    starts = range(0, len(chroma), _PART)
    path = _decode((fit(slice(start, start + _PART)) for start in starts), (len(chroma), len(labels)), _STAY)
    changes = np.flatnonzero(np.diff(path, prepend=-1))
    return _merge(((labels[path[frame]], frame * HOP / RATE) for frame in changes), duration)


@lru_cache(maxsize=1)
def _log_frequency_bank() -> np.ndarray:
    """Weights (FFT bins, thirds of semitones): raised cosines that are wider than one FFT bin even in the bass."""
    bin_width = RATE / _WINDOW
    frequencies = np.arange(_WINDOW // 2 + 1) * bin_width
    pitches = _LOWEST + (np.arange(_BINS * _NUM_PITCHES) - 1) / _BINS
    centers = 440 * 2 ** ((pitches - 69) / 12)
    widths = np.hypot(centers * (2 ** (1 / 36) - 1), bin_width)
    weights = _raised_cosine((frequencies[:, None] - centers) / widths)
    return (weights / weights.sum(axis=0)).astype(np.float32)


def _raised_cosine(distance: np.ndarray) -> np.ndarray:
    """A raised cosine: 1 at 0, and 0 from ±1 on."""
    return 0.5 + 0.5 * np.cos(np.pi * np.clip(distance, -1, 1))


def _find_tuning(mean: np.ndarray) -> float:
    """The deviation of a mean spectrum from standard pitch in bins, at most half a semitone."""
    phase = np.angle((mean * np.exp(-2j * np.pi * (np.arange(len(mean)) - 1) / _BINS)).sum())
    # A note that is sharp by x bins has a phase of −2πx / 3.
    return -phase * _BINS / (2 * np.pi)


def _tune(spectra: np.ndarray, shift: float) -> np.ndarray:
    """Shifts the spectra so that notes fall on the middle of the three bins per semitone."""
    if abs(shift) < 0.02:
        return spectra
    bins = np.arange(spectra.shape[1])
    positions = np.clip(bins + shift, 0, len(bins) - 1)
    low = np.minimum(positions.astype(int), len(bins) - 2)
    part = (positions - low).astype(np.float32)
    return spectra[:, low] * (1 - part) + spectra[:, low + 1] * part


@lru_cache(maxsize=1)
def _surroundings() -> np.ndarray:
    """Weights (bins, bins): each column averages half an octave with a Hamming window."""
    bins = np.arange(_BINS * _NUM_PITCHES)
    distance = bins[:, None] - bins
    half = _WHITENING_BINS // 2
    weights = np.where(abs(distance) <= half, np.hamming(_WHITENING_BINS)[np.clip(distance, -half, half) + half], 0)
    return (weights / weights.sum(axis=0)).astype(np.float32)


def _whiten(spectra: np.ndarray) -> np.ndarray:
    """Positive deviations from the mean of the surrounding half octave, in standard deviations."""
    differences = spectra - spectra @ _surroundings()
    deviations = np.sqrt(np.square(differences) @ _surroundings())
    return np.maximum(differences, 0) / (deviations + 1e-6 * spectra.max() + 1e-12)


@lru_cache(maxsize=1)
def _note_dictionary() -> np.ndarray:
    """The spectrum of each note (notes, bins): harmonics that decay by a constant factor."""
    bins = np.arange(_BINS * _NUM_PITCHES)
    spectra = np.zeros((_NUM_PITCHES, len(bins)))
    for harmonic in range(1, _HARMONICS + 1):
        centers = _BINS * (np.arange(_NUM_PITCHES) + 12 * np.log2(harmonic)) + 1
        spectra += _HARMONIC_DECAY ** (harmonic - 1) * _raised_cosine((bins - centers[:, None]) / 1.5)
    return spectra.astype(np.float32)


def _fit_notes(spectra: np.ndarray) -> np.ndarray:
    """Fits note magnitudes to the spectra with multiplicative updates (Lee and Seung, 2001)."""
    dictionary = _note_dictionary()
    product, gram = spectra @ dictionary.T, dictionary @ dictionary.T
    notes = product.copy()
    for _ in range(_UPDATES):
        notes *= product / (notes @ gram + 1e-9)
    return notes


def _fold(notes: np.ndarray, center: float, half_width: float) -> np.ndarray:
    """Folds notes (frames, pitches) around a pitch into pitch classes (frames, 12)."""
    pitches = _LOWEST + np.arange(_NUM_PITCHES)
    weights = _raised_cosine((pitches - center) / half_width)
    return notes @ (weights[:, None] * (pitches[:, None] % 12 == np.arange(12))).astype(np.float32)


@lru_cache(maxsize=1)
def _templates() -> tuple[list[str], np.ndarray]:
    """The labels and their bass and treble chroma templates (labels, 24), whose norms are the prior weights."""
    labels = [label for label in default_chord_labels() if label != UNKNOWN_CHORD]
    rows = []
    for label in labels:
        bass, treble = np.zeros(12), np.zeros(12)
        weight = 1.0
        chord = parse_chord(label)
        if chord is None:
            bass[:], treble[:] = _BASS_NOTE, 1
            weight = _NO_CHORD_WEIGHT
        else:
            tones = [(chord.root + interval) % 12 for interval in chord.intervals]
            bass[tones], treble[tones] = _BASS_TONES, 1
            bass[chord.bass_pitch_class] = _BASS_NOTE
            if chord.bass_pitch_class != chord.root:
                weight = _INVERSION_WEIGHT
            elif chord.intervals >= {7, 9}:
                weight = _SIXTH_WEIGHT
        row = np.concatenate([bass, treble])
        rows.append(weight * row / np.linalg.norm(row))
    return labels, np.array(rows, dtype=np.float32)


def _decode(blocks: Iterable[np.ndarray], shape: tuple[int, int], stay: float) -> np.ndarray:
    """Viterbi decoding with uniform change probabilities: blocks of log scores (frames, states) → path (frames,)."""
    num_frames, num_states = shape
    log_stay, log_change = np.log(stay), np.log((1 - stay) / (num_states - 1))
    # All changes start from the most probable state, so the predecessors are one number per frame and one bit per state.
    leaders = np.zeros(num_frames, dtype=np.int16)
    changes = np.zeros((num_frames, -(-num_states // 8)), dtype=np.uint8)
    best = np.zeros(num_states)
    for frame, scores in enumerate(row for block in blocks for row in block):
        if frame == 0:
            # In double precision, as the scores grow with the length.
            best = scores.astype(np.float64)
            continue
        leaders[frame] = leader = best.argmax()
        is_change = best[leader] + log_change > best + log_stay
        changes[frame] = np.packbits(is_change)
        best = np.where(is_change, best[leader] + log_change, best + log_stay) + scores
    path = np.zeros(num_frames, dtype=np.int16)
    path[-1] = best.argmax()
    for frame in range(num_frames - 1, 0, -1):
        state = int(path[frame])
        is_change = changes[frame, state // 8] >> (7 - state % 8) & 1
        path[frame - 1] = leaders[frame] if is_change else state
    return path
