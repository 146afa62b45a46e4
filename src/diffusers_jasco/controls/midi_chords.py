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

"""Chords of MIDI files: block chords are read directly; other textures are estimated on the beats of the tempo map."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from diffusers.utils import logging

from ..utils.errors import EmptyInputError
from .chord_labels import NO_CHORD, nearest_to_notes, parse_chord
from .chord_timeline import Chords
from .midi import Midi, split_track
from .midi_melody import melody_scores, pitched_tracks
from .midi_names import is_chords_name
from .midi_parsing import load_midi


logger = logging.get_logger(__name__)

_ROLLED = 0.05  # seconds; notes of a block chord that start or end closer together are simultaneous
_BRIEF_REST = 0.25  # beats
_SHARE_OF_CHORDS = 0.8  # of the steps with notes, in block chords
_SHARE_ALIGNED = 0.95  # of the notes that span a single step, in block chords
_SHARE_STACCATO = 0.75  # of the chords that are followed by a short rest, in staccato playing

# Weights of the estimate, fitted to songs with annotated chords.
_QUALITIES = {  # intervals above the root, and a penalty that prevents rare chords from explaining passing notes
    "": ((0, 4, 7), 0.0),
    "m": ((0, 3, 7), 0.0),
    "7": ((0, 4, 7, 10), 0.16),
    "maj7": ((0, 4, 7, 11), 0.16),
    "m7": ((0, 3, 7, 10), 0.16),
    "dim": ((0, 3, 6), 0.35),
    "m7b5": ((0, 3, 6, 10), 0.35),
    "aug": ((0, 4, 8), 0.45),
    "sus4": ((0, 5, 7), 0.45),
}
_TONE_WEIGHTS = (1.0, 1.0, 0.9, 0.8)
_OTHER_TONE = -0.65
_ROOT_IN_BASS = 0.35
_CHORD_TONE_IN_BASS = 0.07
_WEAK_BEAT = 0.3  # weight of the bass
_MELODY_WEIGHT = 0.25
_BASS_WEIGHT = 0.4
_BASS_PITCHES = 48  # MIDI number; lower notes may be a bass line
_BAR_ON_GRID = 2.0  # bonus per bar if bars start at the beginning of the tempo map
_CONTEXT = 0.1
_SCALE = 3.0
# Costs of a chord change.
_BAR = 0.4  # at the beginning of a bar
_HALF_BAR = 1.4  # in the middle of a bar
_BEAT = 3.0  # on other beats
_BETWEEN = 5.0  # between beats
_SILENCE = 0.3  # score of no chord in silence
_SOUND_AS_SILENCE = -1.0  # score of no chord while notes sound
_BASS_SHARE = 0.6  # of the duration of a chord, for an inversion
_STEP = (0.15, 0.6)  # seconds; a step (half a beat) outside this range is doubled or halved
_MAX_STEPS = 150_000
_PHASES = 24


@dataclass(frozen=True)
class _Notes:
    pitches: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    weights: np.ndarray


def chords_from_midi(
    path: str | os.PathLike, labels: Sequence[str] | None = None, track: str | int | None = None
) -> Chords:
    r"""
    Reads or estimates the chords of a MIDI file from the notes of all tracks except drums. Block chords are read
    directly, with no chord (`N`) in silence. For other textures (arpeggios, strummed chords, a bass line, a melody
    above chords), the result is the most probable sequence of triads and seventh chords that change on beats.

    Args:
        path (`str` or `os.PathLike`):
            The MIDI file; `"song.mid#piano"` or `"song.mid#3"` selects a track.
        labels (`Sequence[str]`, *optional*):
            The chord vocabulary.
        track (`str` or `int`, *optional*):
            Name or index of the only track to read.

    Returns:
        `list` of `(label, start)`.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the file is not MIDI or has no notes, or the track is unknown.
    """
    path, named = split_track(path)
    track = named if track is None else track
    midi = load_midi(path, "chords")
    indices = pitched_tracks(midi)
    if not indices:
        raise EmptyInputError(f"`chords`: {path} has no notes (drums do not count).", "chords")
    if track is not None:
        indices = [midi.find_track(track, indices, "chords")]
    return chords_of_tracks(midi, indices, labels)


def chords_of_tracks(midi: Midi, indices: Sequence[int], labels: Sequence[str] | None = None) -> Chords:
    r"""
    Reads or estimates the chords of tracks; see [`chords_from_midi`].

    Args:
        midi ([`Midi`]): the MIDI file.
        indices (`Sequence[int]`): indices of at least one track with notes, without drums.
        labels (`Sequence[str]`, *optional*): the chord vocabulary.

    Returns:
        `list` of `(label, start)`, in seconds; the last label is `"N"` at the end of the notes.
    """
    end = max(float(midi.tracks[index].ends.max()) for index in indices)
    for chosen in ([index for index in indices if is_chords_name(midi.tracks[index].name)], indices):
        notes = _collect(midi, chosen)
        if len(notes.starts) and notes.ends.max() > 0.8 * end:
            chords = _read_block_chords(midi, notes, labels)
            if chords is not None:
                return chords
    return _estimate(midi, _collect(midi, indices), labels)


def _collect(midi: Midi, indices: Sequence[int]) -> _Notes:
    """Collects the notes of tracks. Notes of a melody above the other tracks and of a bass line have lower weights."""
    weights = np.ones(len(indices))
    heights = [float(midi.tracks[index].pitches.mean()) for index in indices]
    if len(indices) > 1:
        best, lowest = int(melody_scores(midi, indices).argmax()), int(np.argmin(heights))
        if heights[best] > np.mean(heights) and _is_one_voice(midi.tracks[indices[best]].starts):
            weights[best] = _MELODY_WEIGHT
        if _is_one_voice(midi.tracks[indices[lowest]].starts):
            weights[lowest] = _BASS_WEIGHT
    columns: list[list[np.ndarray]] = [[], [], [], []]
    for index, weight in zip(indices, weights):
        track = midi.tracks[index]
        lasting = track.ends > track.starts
        for column, values in zip(columns, (track.pitches, track.starts, track.ends)):
            column.append(values[lasting])
        columns[3].append(np.full(int(lasting.sum()), weight))
    if not indices:
        return _Notes(np.zeros(0, dtype=int), np.zeros(0), np.zeros(0), np.zeros(0))
    notes = _Notes(*map(np.concatenate, columns))
    low = notes.pitches < _BASS_PITCHES
    if low.any() and not low.all() and _is_one_voice(notes.starts[low]):
        notes.weights[low] = _BASS_WEIGHT
    return notes


def _is_one_voice(starts: np.ndarray) -> bool:
    return len(np.unique(starts.round(2))) >= 0.9 * len(starts)


# 1. Block chords


def _read_block_chords(midi: Midi, notes: _Notes, labels: Sequence[str] | None) -> Chords | None:
    """Reads chords whose notes start and end together; `None` for other textures."""
    changes: list[float] = []
    for time in np.unique(np.concatenate([notes.starts, notes.ends])).tolist():
        if not changes or time - changes[-1] >= _ROLLED:
            changes.append(time)
    edges = np.array(changes)
    first = np.searchsorted(edges, notes.starts, side="right") - 1
    last = np.searchsorted(edges, notes.ends, side="right") - 1
    if (last == first + 1).mean() < _SHARE_ALIGNED:
        return None

    sounding: list[set[int]] = [set() for _ in changes]
    for pitch, begin, stop in zip(notes.pitches.tolist(), first.tolist(), last.tolist()):
        for step in range(begin, min(stop, begin + 8)):
            sounding[step].add(pitch)
    chords = [len({pitch % 12 for pitch in pitches}) >= 3 for pitches in sounding if pitches]
    if np.mean(chords) < _SHARE_OF_CHORDS:
        return None

    # A chord starts with its first note, even if the previous chord ends just before.
    onsets = np.append(np.unique(notes.starts), np.inf)
    following = onsets[np.searchsorted(onsets, edges)]
    changes = np.where(following - edges < _ROLLED, following, edges).tolist()
    named: list[tuple[str, float]] = []
    for pitches, start in zip(sounding[:-1], changes):
        label = NO_CHORD
        if pitches:
            label = nearest_to_notes(frozenset(pitch % 12 for pitch in pitches), min(pitches) % 12, labels)
        named.append((label, start))
    return _merge([*_hold_over_rests(midi, named, changes), (NO_CHORD, changes[-1])])


def _hold_over_rests(midi: Midi, chords: Chords, changes: Sequence[float]) -> Chords:
    """
    Holds chords over rests: rests of up to a quarter of a beat, and rests of up to a beat within a repeated chord or
    in staccato playing.
    """
    beats = midi.to_beats(np.array(changes))
    short = [label == NO_CHORD and beats[i + 1] - beats[i] <= 1 for i, (label, _) in enumerate(chords)]
    is_staccato = sum(short) >= max(4, _SHARE_STACCATO * sum(label != NO_CHORD for label, _ in chords[:-1]))
    held: Chords = []
    for i, (label, start) in enumerate(chords):
        is_repeated = 0 < i < len(chords) - 1 and chords[i - 1][0] == chords[i + 1][0]
        is_brief = short[i] and beats[i + 1] - beats[i] <= _BRIEF_REST
        if held and short[i] and (is_brief or is_staccato or is_repeated):
            label = held[-1][0]
        held.append((label, start))
    return held


def _merge(chords: Chords) -> Chords:
    return [chord for chord, previous in zip(chords, [(None, 0.0), *chords]) if chord[0] != previous[0]]


# 2. Other textures


def _estimate(midi: Midi, notes: _Notes, labels: Sequence[str] | None) -> Chords:
    edges, costs, is_on_grid = _lay_grid(midi, notes)
    chroma, bass = _analyze(notes, edges)
    roots = [root for _ in _QUALITIES for root in range(12)]
    tones = [
        frozenset((root + interval) % 12 for interval in intervals)
        for intervals, _ in _QUALITIES.values()
        for root in range(12)
    ]
    by_tones, by_bass = _score(chroma, bass)
    results = [_decode(by_tones + _bass_weights(cost)[:, None] * by_bass, cost) for cost in costs]
    totals = np.array([total for total, _ in results])
    totals[0] += is_on_grid * _BAR_ON_GRID * (costs[0] == _BAR).sum()
    path = results[int(totals.argmax())][1]

    chords: Chords = []
    breaks = np.flatnonzero(np.diff(path)) + 1
    for first, last in zip([0, *breaks], [*breaks, len(path)]):
        state = path[first]
        if state == len(roots):
            chords.append((NO_CHORD, _snap(notes, edges, first)))
            continue
        lowest = _bass_of(bass[first:last], roots[state], tones[state])
        label = nearest_to_notes(tones[state], lowest, labels)
        chord = parse_chord(label)
        if chord is not None and chord.root != roots[state]:
            label = nearest_to_notes(tones[state], roots[state], labels)
        chords.append((label, _snap(notes, edges, first)))
    if chords[0][0] == NO_CHORD:
        del chords[0]
    return _merge([*chords, (NO_CHORD, float(notes.ends.max()))])


def _lay_grid(midi: Midi, notes: _Notes) -> tuple[np.ndarray, list[np.ndarray], bool]:
    """
    Returns the times of half beats in seconds; the costs of a chord change at these times, for each possible phase of
    the bars; and whether the notes are on the beats of the tempo map, which makes its bars (the first phase) more
    probable.
    """
    start, end = float(notes.starts.min()), float(notes.ends.max())
    first, last = midi.to_beats(np.array([start, end]))
    step = 0.5
    seconds = (end - start) / max(last - first, 1e-9) * step
    while seconds < _STEP[0] and step < 64:
        step, seconds = 2 * step, 2 * seconds
    while seconds > _STEP[1] and step > 1 / 64:
        step, seconds = step / 2, seconds / 2
    if not (last - first) / step < _MAX_STEPS:
        edges = np.linspace(start, end, min(int((end - start) / 0.25) + 2, _MAX_STEPS))
        return edges, [np.full(len(edges) - 1, _HALF_BAR)], False

    phase = _find_phase(midi.to_beats(notes.starts), notes, 2 * step) * 2 * step
    begin = phase + np.floor((first - phase) / (2 * step) + 1e-6) * 2 * step
    beats = begin + np.arange(int(np.ceil((last - begin) / step - 1e-6)) + 1) * step
    edges = midi.to_seconds(np.maximum(beats, 0))
    edges[beats < 0] = beats[beats < 0] * 0.5
    beats = beats[:-1]

    signatures = midi.time_signatures or [(0.0, 4, 4)]
    costs = []
    current = np.searchsorted([beat for beat, *_ in signatures], beats + 1e-6, side="right") - 1
    scale = step / 0.5
    # Live recordings ignore the bars as well as the beats of the tempo map; 1/4 and 2/4 are placeholders of programs
    # for an unknown time signature.
    if phase == 0 and midi.time_signatures and min(4 * top / below for _, top, below in signatures) >= 3:
        shifts = np.arange(1)
    else:
        shifts = np.arange(0, 8, 2 if phase == 0 else 1)
    for shift in shifts:
        cost = np.full(len(beats), _BETWEEN)
        for number in range(-1, len(signatures)):
            origin, numerator, denominator = signatures[max(number, 0)]
            rows = current == number
            cost[rows] = _change_costs((beats[rows] - phase - origin) / scale - shift / 2, numerator, denominator)
        costs.append(cost)
    return edges, costs, phase == 0


def _change_costs(beats: np.ndarray, numerator: int, denominator: int) -> np.ndarray:
    """The costs of a chord change at positions in quarter notes after the beginning of a bar."""
    length = 4 * numerator / denominator
    beat, half = 1.0, length / 2
    if numerator % 3 == 0 and denominator >= 8:
        beat, half = 1.5, 1.5 if numerator == 6 else length
    elif numerator % 2:
        half = length
    if length < 3:
        length, half = 4.0, 2.0

    def falls_on(period: float) -> np.ndarray:
        return np.abs(beats / period - np.round(beats / period)) * period < 0.1

    conditions = [falls_on(length), falls_on(half), falls_on(beat)]
    return np.select(conditions, [_BAR, _HALF_BAR, _BEAT], _BETWEEN)


def _find_phase(positions: np.ndarray, notes: _Notes, beat: float) -> float:
    """The offset of the actual beats from the tempo map as a fraction of a beat; live recordings ignore its grid."""
    bins = np.round(positions / beat % 1 * _PHASES).astype(int) % _PHASES
    weights = (np.minimum(notes.ends - notes.starts, 1) + 0.1) * np.where(notes.pitches < 60, 2, 1)
    histogram = np.bincount(bins, weights, _PHASES).astype(float)
    histogram += (np.roll(histogram, 1) + np.roll(histogram, -1)) / 2
    histogram += np.roll(histogram, _PHASES // 2) / 2
    best = int(histogram.argmax())
    return 0.0 if histogram[0] >= 0.8 * histogram[best] else best / _PHASES


def _analyze(notes: _Notes, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The share of each step during which each pitch class sounds, and the pitch class of its bass, or -1."""
    durations = np.diff(edges)
    chroma, bass = np.zeros((len(durations), 12)), np.full(len(durations), -1)
    for pitch in np.unique(notes.pitches):
        chosen = notes.pitches == pitch
        starts, ends, weights = notes.starts[chosen], notes.ends[chosen], notes.weights[chosen]
        for weight in np.unique(weights):
            of_weight = weights == weight
            shares = np.diff(_time_until(edges, starts[of_weight]) - _time_until(edges, ends[of_weight])) / durations
            chroma[:, pitch % 12] += weight * shares
            bass[(bass < 0) & (shares > 0.25)] = pitch % 12
    return chroma, bass


def _time_until(edges: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The sum of `edge - time` over the times before each edge."""
    times = np.sort(times)
    count = np.searchsorted(times, edges)
    return count * edges - np.concatenate([[0.0], np.cumsum(times)])[count]


def _bass_weights(costs: np.ndarray) -> np.ndarray:
    """The weight of the bass of each step: a walking bass has passing notes on weak beats."""
    beats = np.flatnonzero(costs < _BETWEEN)
    if len(beats) == 0:
        return np.ones(len(costs))
    current = beats[np.searchsorted(beats, np.arange(len(costs)), side="right").clip(min=1) - 1]
    return np.where(costs[current] <= _HALF_BAR, 1.0, _WEAK_BEAT)


def _score(chroma: np.ndarray, bass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scores of all chords and of no chord (last) for the notes and the bass of each step."""
    templates, in_bass, penalties = [], [], []
    for intervals, penalty in _QUALITIES.values():
        for root in range(12):
            template, lowest = np.full(12, _OTHER_TONE), np.zeros(13)
            tones = [(root + interval) % 12 for interval in intervals]
            template[tones] = _TONE_WEIGHTS[: len(tones)]
            lowest[tones[1:3]], lowest[root] = _CHORD_TONE_IN_BASS, _ROOT_IN_BASS
            templates.append(template)
            in_bass.append(lowest)
            penalties.append(penalty)
    total = chroma.sum(axis=1, keepdims=True)
    certainty = np.minimum(total, 1)
    shares = chroma / np.maximum(total, 1e-9) * certainty
    # Favor chords whose tones are frequent in the piece.
    shares = shares + _CONTEXT * chroma.sum(axis=0) / max(chroma.sum(), 1e-9) * (total > 1e-6)
    scores = shares @ np.array(templates).T - np.array(penalties) * certainty
    silence = np.where(total > 1e-6, _SOUND_AS_SILENCE, _SILENCE)
    by_bass = np.pad(np.array(in_bass).T[bass], ((0, 0), (0, 1)))
    return np.concatenate([_SCALE * scores, silence], axis=1), _SCALE * by_bass


def _decode(scores: np.ndarray, costs: np.ndarray) -> tuple[float, np.ndarray]:
    """
    The best sequence of states (Viterbi) and its score, where the cost of a change does not depend on the states.
    """
    num_steps, num_states = scores.shape
    best = scores[0].copy()
    origins, stays = np.zeros(num_steps, dtype=np.int64), np.ones((num_steps, num_states), dtype=bool)
    for step in range(1, num_steps):
        origins[step] = best.argmax()
        changed = best[origins[step]] - costs[step]
        stays[step] = best >= changed
        best = np.maximum(best, changed) + scores[step]
    path = np.empty(num_steps, dtype=np.int64)
    path[-1] = best.argmax()
    for step in range(num_steps - 1, 0, -1):
        path[step - 1] = path[step] if stays[step, path[step]] else origins[step]
    return float(best.max()), path


def _bass_of(bass: np.ndarray, root: int, tones: frozenset[int]) -> int:
    """The bass of a chord: its root, unless another chord tone is the first bass note and prevails."""
    sounding = bass[bass >= 0]
    if len(sounding) and sounding[0] in tones and (sounding == sounding[0]).mean() >= _BASS_SHARE:
        return int(sounding[0])
    return root


def _snap(notes: _Notes, edges: np.ndarray, step: int) -> float:
    """The first onset near the start of a step, or else the start of the step, in seconds."""
    width = edges[step + 1] - edges[step]
    near = notes.starts[np.abs(notes.starts - edges[step]) < 0.3 * width]
    return float(near.min()) if len(near) else float(max(edges[step], 0.0))
