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

"""Scores audio files by the benchmark's requests, and compares the scores with floors and ceilings."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ...audio.io import AUDIO_SUFFIXES, load_audio
from ...audio.resampling import resample
from ...utils.errors import InputError, list_names
from ..adherence import Adherence, Metric, interval, measure_adherence, worst
from ..control_estimators import Estimator
from ..estimators.spectra import load_mono
from ..metrics.edits import measure_variation, preservation
from ..metrics.sample_sizes import MIN_CLIPS
from .export import EDIT_SUFFIX, render_source
from .judges import ALL_JUDGES, EDIT_JUDGES, MAX_LAG, compare_all, keep_region, measure_lags, score_chance
from .rendering import RATE, TONES, describe_rendering, render_song
from .songs import Song, annotate, hash_songs


TOLERANCE = 0.5  # seconds by which a file may be shorter than its request without a message
MIN_SHARE = 0.5  # of the requested duration; shorter files are not scored
MIN_EDITS = 8
EDGE = 0.1  # seconds beside a region that count neither as edited nor as preserved, except for exact preservation
MAX_SNR = 120.0  # dB, for equal samples
MIN_SLOPE_LAGS = 4  # with fewer windows, a slope is mostly noise
REFERENCE_NAMES = ("rendered truth", "other songs")  # rows of every report
AFTER = (0.0, 30.0, 60.0)  # seconds at which the parts of songs begin in which drift is reported

Scores = dict[Metric, np.ndarray]


@dataclass
class References:
    r"""
    Ceilings and floors of a set of songs.

    Args:
        songs (`list` of [`~evaluation.benchmark.songs.Song`]): the songs.
        items (`list[dict]`): their annotations.
        floors, ceilings (`dict`): scores of other songs' renderings and of the songs' own, of shape `(songs,)`, by judge
            and metric.
        drift (`list[dict]`): drift of the songs' renderings.
        rendering (`dict[str, str]`): how the songs are rendered.
        version (`str`): version of the set.
    """

    songs: list[Song]
    items: list[dict[str, Any]]
    floors: Scores
    ceilings: Scores
    drift: list[dict[str, Any] | None]
    rendering: dict[str, str]
    version: str


@dataclass
class SystemResult:
    r"""
    Scores of one folder of audio files.

    Args:
        name (`str`): name of the system.
        songs (`list[str]`): the songs that are scored.
        problems (`list[str]`): files that are missing, too short or unreadable, and files that are ignored.
        scores (`dict[str, dict[str, float]]`): for each song, the scores by `"judge/metric"`.
        adherence (`list` of [`~evaluation.adherence.Adherence`]): A by judge and metric.
        drift (`dict`): see [`summarize_drift`].
        edits (`dict`): see [`score_edits`]; empty without edits.
        raw (`dict[str, tuple[float, float, float]]`): mean score and its 95% interval over songs by `"judge/metric"`.
    """

    name: str
    songs: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    adherence: list[Adherence] = field(default_factory=list)
    drift: dict[str, Any] = field(default_factory=dict)
    edits: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, tuple[float, float, float]] = field(default_factory=dict)

    @property
    def reported(self) -> dict[tuple[str, str], Adherence]:
        """For each control and metric, the row of the judge with the lowest A among those that count."""
        return {(row.control, row.metric): row for row in worst(self.adherence)}

    def to_json(self) -> dict[str, Any]:
        rows = [asdict(row) | {"counts": row.counts} for row in self.adherence]
        return asdict(self) | {"adherence": rows}


def analyze_songs(
    songs: Sequence[Song], method: str = TONES, version: str = "v1", progress: bool = False
) -> References:
    r"""
    Renders the songs as requested, and lets the judges estimate their controls.

    Args:
        songs (`Sequence[Song]`): the songs, at least two.
        method (`str`, defaults to `"tones"`): a method of [`~evaluation.benchmark.rendering.METHODS`].
        version (`str`, defaults to `"v1"`): version of the set.
        progress (`bool`, defaults to `False`): whether to show a progress bar.

    Raises:
        [`InputError`]: for fewer than two songs, as floors are scores of other songs.
    """
    if len(songs) < 2:
        raise InputError(
            f"`songs` have to be at least 2, as each is compared with others, but there is {len(songs)}.", "songs"
        )
    items = [annotate(song.sheet, song.name) for song in songs]
    estimates, drift = [], []
    for song, item in zip(songs, tqdm(items, "renderings", unit="song", disable=not progress)):
        audio = (render_song(item, song.programs, method), RATE)
        estimates.append([judge.analyze(audio) for judge in ALL_JUDGES])
        drift.append(describe_drift(audio, item))
    rows = [compare_all(estimate, item) for estimate, item in zip(estimates, items)]
    floors = score_chance(estimates, items)
    return References(list(songs), items, floors, _stack(rows), drift, describe_rendering(method), version)


def _stack(rows: Sequence[dict[Metric, float]]) -> Scores:
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


# Files


def request_names(songs: Sequence[Song]) -> list[str]:
    """The names of the files that answer all requests, without suffix."""
    return [song.name for song in songs] + [song.name + EDIT_SUFFIX for song in songs if song.edited_sheet is not None]


def find_answers(folder: Path, names: Sequence[str]) -> tuple[dict[str, Path], list[str]]:
    r"""
    Finds audio files by the names of requests.

    Args:
        folder (`Path`): the folder.
        names (`Sequence[str]`): the names without suffix.

    Returns:
        `tuple`: the files by name, and messages about other audio files in the folder.

    Raises:
        [`InputError`]: if a request has several files, or the folder has none for any request.
    """
    if not folder.is_dir():
        raise InputError(f"`score` has to be a folder with audio files, but {folder} is not a folder.", "score")
    found: dict[str, list[Path]] = {}
    others = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in AUDIO_SUFFIXES or not path.is_file():
            continue
        if path.stem in names:
            found.setdefault(path.stem, []).append(path)
        else:
            others.append(path.name)
    for name, paths in found.items():
        if len(paths) > 1:
            files = ", ".join(path.name for path in paths)
            raise InputError(
                f"`score`: {folder} has {len(paths)} files for {name}: {files}. Keep one of them.", "score"
            )
    if not found:
        raise InputError(f"`score`: {folder} has no audio file for any request, such as {names[0]}.wav.", "score")
    messages = [f"ignored, as no request has their name: {list_names(others)}"] if others else []
    return {name: paths[0] for name, paths in found.items()}, messages


def read_answer(path: Path, duration: float) -> tuple[torch.Tensor, int, str | None]:
    r"""
    Reads an audio file in the length of its request. The missing part of a shorter file is silent.

    Args:
        path (`Path`): the file.
        duration (`float`): requested duration in seconds.

    Returns:
        `tuple`: mono audio `(1, samples)`, its sampling rate, and a message if the file is silent or shorter than requested.

    Raises:
        [`InputError`]: if the file can't be read, or has less than half of the requested duration.
    """
    waveform, rate = load_audio(path)
    waveform = waveform.mean(dim=0, keepdim=True)
    seconds = waveform.shape[-1] / rate
    if seconds < MIN_SHARE * duration:
        raise InputError(f"{path.name} lasts {seconds:.2f} s, but {duration:.2f} s were requested: it is not scored.")
    message = None
    if seconds < duration - TOLERANCE:
        message = f"{path.name} lasts {seconds:.2f} s, but {duration:.2f} s were requested: the rest counts as silence"
    if not waveform.any():
        message = f"{path.name} is silent"
    size = round(duration * rate)
    return torch.nn.functional.pad(waveform[:, :size], (0, max(0, size - waveform.shape[-1]))), rate, message


def score_folder(
    folder: Path,
    references: References,
    name: str | None = None,
    min_clips: int = MIN_CLIPS,
    progress: bool = False,
) -> SystemResult:
    r"""
    Scores the audio files of a system, which are found by the names of the requests.

    Args:
        folder (`Path`): folder with `NAME.wav`, `NAME.flac`, ...; `NAME.edit.wav` for edits.
        references ([`References`]): from [`analyze_songs`].
        name (`str`, *optional*): name of the system, by default that of the folder.
        min_clips (`int`, defaults to `20`): minimum number of songs for A.
        progress (`bool`, defaults to `False`): whether to show a progress bar.

    Returns:
        [`SystemResult`]. Songs without a file, and files that can't be read, are listed in its `problems`.

    Raises:
        [`InputError`]: if the folder has no file for any request, or several for one, or no file can be scored.
    """
    files, problems = find_answers(folder, request_names(references.songs))
    result = SystemResult(name or folder.resolve().name, problems=problems)
    if missing := [song.name for song in references.songs if song.name not in files]:
        result.problems.append(f"missing ({len(missing)} of {len(references.songs)} songs): {list_names(missing)}")
    indices, rows, drift = [], [], []
    for index, item in enumerate(tqdm(references.items, result.name, unit="song", disable=not progress)):
        if item["name"] not in files:
            continue
        try:
            waveform, rate, message = read_answer(files[item["name"]], item["duration"])
        except (InputError, OSError) as error:
            result.problems.append(str(error))
            continue
        result.problems += [message] if message else []
        audio = (waveform, rate)
        rows.append(compare_all([judge.analyze(audio) for judge in ALL_JUDGES], item))
        drift.append(describe_drift(audio, item))
        indices.append(index)
    if rows:
        result.songs = [references.items[index]["name"] for index in indices]
        scores = _stack(rows)
        chosen = np.array(indices)
        floors = {key: values[chosen] for key, values in references.floors.items()}
        ceilings = {key: values[chosen] for key, values in references.ceilings.items()}
        result.adherence = measure_adherence(scores, floors, ceilings, ALL_JUDGES, min_clips=min_clips)
        result.raw = {"/".join(key): _mean_with_interval(values) for key, values in scores.items()}
        result.scores = {
            song: {"/".join(key): float(value) for key, value in row.items()} for song, row in zip(result.songs, rows)
        }
        result.drift = summarize_drift(drift)
    if any(name.endswith(EDIT_SUFFIX) for name in files):
        edits = [song for song in references.songs if song.edited_sheet is not None]
        result.edits = score_edits(files, edits, result.problems)
    if not rows and not result.edits.get("num_edits"):
        raise InputError(f"`score`: no file of {folder} can be scored: {'; '.join(result.problems)}", "score")
    return result


def _mean_with_interval(values: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean and 95% bootstrap interval of the values that are not NaN."""
    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    if not len(values):
        return math.nan, math.nan, math.nan
    draws = np.random.default_rng(seed).integers(len(values), size=(2000, len(values)))
    return float(values.mean()), *interval(values[draws].mean(axis=1))


# Drift


def describe_drift(audio: Any, item: dict[str, Any]) -> dict[str, Any] | None:
    """Times and lags (ms, NaN where there is none) of the windows of a song, and its slope; `None` without drums."""
    times, lags = measure_lags(load_mono(audio), item)
    if not len(times):
        return None
    found = np.flatnonzero(~np.isnan(lags))
    slope = math.nan
    if len(found) >= MIN_SLOPE_LAGS:  # the median of the slopes of all pairs (Theil, 1950; Sen, 1968)
        first, second = found[np.stack(np.triu_indices(len(found), 1))]
        slope = 60 * float(np.median((lags[second] - lags[first]) / (times[second] - times[first])))
    return {"times": times.tolist(), "lags": lags.tolist(), "slope": slope}


def summarize_drift(songs: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    r"""
    Summarizes the drift of songs.

    Args:
        songs (`Sequence`): as [`describe_drift`] returns them.

    Returns:
        `dict`: `num_windows` (of 10 s), `in_time` (share of windows with a lag of at most 70 ms), the same for windows that
        begin after 0, 30 and 60 s (`in_time_after`), `lag` (median of the sizes of the lags in ms), and `slope` (median of
        the sizes of the slopes in ms per minute, of songs with at least four lags).
    """
    known = [song for song in songs if song is not None]
    times = np.array([time for song in known for time in song["times"]])
    lags = np.abs([lag for song in known for lag in song["lags"]])
    limits = [*AFTER, math.inf]
    parts = {}
    for first, last in zip(limits, limits[1:]):
        chosen = (times >= first) & (times < last)
        parts[f"{first:g}"] = float(np.mean(lags[chosen] <= MAX_LAG)) if chosen.any() else math.nan
    slopes = np.abs([song["slope"] for song in known if not math.isnan(song["slope"])])
    found = lags[~np.isnan(lags)]
    return {
        "num_windows": len(lags),
        "in_time": float(np.mean(lags <= MAX_LAG)) if len(lags) else math.nan,
        "in_time_after": parts,
        "lag": float(np.median(found)) if len(found) else math.nan,
        "slope": float(np.median(slopes)) if len(slopes) else math.nan,
    }


# Edits


def score_edits(files: dict[str, Path], songs: Sequence[Song], problems: list[str]) -> dict[str, Any]:
    r"""
    Scores edits: what is preserved outside of the region, and the new chords in it.

    Args:
        files (`dict[str, Path]`): audio files by name; those of edits end in `.edit`.
        songs (`Sequence[Song]`): the songs with an edit.
        problems (`list[str]`): messages about files are added to it.

    Returns:
        `dict`: `num_edits`; outside of the region: `num_exact` (edits with the samples of the recording), the means with
        intervals of `snr` (dB, at most 120), `log_mel` (dB), `chroma` and `onsets` (see
        [`~evaluation.metrics.edits.measure_variation`]); and `adherence`, A of the new chords in the region. Its floor are
        the recordings before the edit, its ceiling renderings of the edited songs.
    """
    kept, rows = [], []
    for song in songs:
        path = files.get(song.name + EDIT_SUFFIX)
        if path is None:
            problems.append(f"missing: the edit {song.name}{EDIT_SUFFIX}")
            continue
        item = annotate(song.edited_sheet, song.name)
        try:
            waveform, rate, message = read_answer(path, item["duration"])
        except (InputError, OSError) as error:
            problems.append(str(error))
            continue
        problems += [message] if message else []
        source = render_source(song)
        kept.append(_measure_outside(path, waveform, rate, source, song.region))
        target = keep_region(item, song.region)
        truth = render_song(item, song.programs, TONES)
        recordings = ((waveform, rate), (source, RATE), (truth, RATE))
        rows.append([_judge_edit(audio, target) for audio in recordings])
    if not kept:
        return {"num_edits": 0}
    scores, floors, ceilings = (_stack([row[number] for row in rows]) for number in range(3))
    adherence = measure_adherence(scores, floors, ceilings, EDIT_JUDGES, min_clips=MIN_EDITS)
    means = {key: _mean_with_interval([edit[key] for edit in kept]) for key in kept[0] if key != "is_exact"}
    return {
        "num_edits": len(kept),
        "num_exact": sum(edit["is_exact"] for edit in kept),
        **means,
        "adherence": [asdict(row) | {"counts": row.counts} for row in adherence],
        "reported": [asdict(row) for row in worst(adherence)],
    }


def _judge_edit(audio: Any, target: dict[str, Any]) -> dict[Metric, float]:
    return compare_all([judge.analyze(audio) for judge in EDIT_JUDGES], target, EDIT_JUDGES)


def _measure_outside(
    path: Path, waveform: torch.Tensor, rate: int, source: torch.Tensor, region: tuple[float, float]
) -> dict[str, Any]:
    try:
        is_exact = preservation(path, (source, RATE), [region]) == 0
    except ValueError:  # another rate, length or number of channels
        is_exact = False
    edited = resample(waveform, rate, RATE)
    size = min(edited.shape[-1], source.shape[-1])
    first, last = round((region[0] - EDGE) * RATE), round((region[1] + EDGE) * RATE)
    edited, original = (torch.cat([part[:, : max(0, first)], part[:, last:size]], dim=1) for part in (edited, source))
    noise = float((edited.double() - original.double()).square().mean())
    power = float(original.double().square().mean())
    snr = MAX_SNR if noise == 0 else min(MAX_SNR, 10 * math.log10(max(power, 1e-20) / noise))
    variation = measure_variation((edited, RATE), (original, RATE))
    return {"is_exact": is_exact, "snr": snr, **variation}


def describe_set(references: References) -> dict[str, Any]:
    """Version and hash of the set, the songs, and how their renderings were made."""
    return {
        "version": references.version,
        "sha256": hash_songs(references.version),
        "songs": [song.name for song in references.songs],
        "rendering": references.rendering,
        "judges": list(dict.fromkeys(judge.name for judge in ALL_JUDGES)),
    }


def reference_rows(references: References, min_clips: int = MIN_CLIPS) -> list[SystemResult]:
    """Two rows that need no files: the rendered songs (A is 1), and the renderings of other songs (A is 0)."""
    results = []
    for name, scores in zip(REFERENCE_NAMES, (references.ceilings, references.floors)):
        result = SystemResult(name, [song.name for song in references.songs])
        result.adherence = measure_adherence(
            scores, references.floors, references.ceilings, ALL_JUDGES, min_clips=min_clips
        )
        result.raw = {"/".join(key): _mean_with_interval(values) for key, values in scores.items()}
        results.append(result)
    results[0].drift = summarize_drift(references.drift)
    return results


def list_metrics(judges: Sequence[Estimator] = ALL_JUDGES) -> list[tuple[str, str]]:
    """Controls and metrics in the order of the judges."""
    return list(dict.fromkeys((judge.control, metric) for judge in judges for metric in judge.metrics))
