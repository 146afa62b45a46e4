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

"""
Evaluates music that is longer than the training clips: adherence over time, drift, levels, and seams of windows and
loops.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..codecs import LOOP_FADE, encode
from ..data import SyntheticMusic
from ..pipelines.checks import DEFAULT_OVERLAP
from ..pipelines.windows import place_windows
from .adherence import (
    NUM_RESAMPLES,
    Metric,
    analyze,
    interval,
    measure_adherence,
    score,
    score_floor,
    to_ratio,
)
from .control_estimators import ESTIMATORS, Estimator
from .evaluate import generate, make_requests
from .metrics.drift import WINDOW_SECONDS, Drift, cut_item, loudness_deviation, measure_drift
from .metrics.sample_sizes import MIN_CLIPS
from .metrics.seams import detect_seams, seam_features, seam_ratio, to_bars


Span = tuple[float, float]  # seconds

# The metric of each control that is reported.
METRICS = {"chords": "majmin", "drums": "onset_f1", "melody": "chroma"}
INPUTS = ("text", *METRICS)
# Prompts of calm and of loud sections.
SECTION_PROMPTS = (
    ("calm piano", "full band, drums"),
    ("calm soft piano", "energetic rock, full band, drums"),
    ("quiet ambient piano, no drums", "energetic rock, electric guitar, drums"),
    ("soft acoustic guitar ballad", "energetic pop, full band, drums"),
)
_PHRASE = 4  # bars: loops have a multiple of these
_REPEATS = 3  # of a loop
_EDGE_SECONDS = 1.0  # before and after a change, which do not count for the levels


@dataclass(frozen=True)
class PieceMeasures:
    r"""
    Measures of one long piece, from [`measure_piece`].

    Args:
        sections (`list[dict]`): the requested controls of each complete 10 s.
        estimates (`list[list]`): for each of them, the estimate of each estimator.
        reference_estimates (`list[list]`): the same of the reference audio.
        drift ([`~evaluation.metrics.drift.Drift`]): drift against the requested drums.
        reference_drift ([`~evaluation.metrics.drift.Drift`]): drift of the reference audio.
        loudness_deviation (`float`): dB beyond the reference audio, see
            [`~evaluation.metrics.drift.loudness_deviation`].
        seams (`dict`): for each kind of border, its `borders` and `candidates` in seconds, and its `V` and `W`.
        features (`np.ndarray` of shape `(frames, features)`): [`~evaluation.metrics.seams.seam_features`].
    """

    sections: list[dict[str, Any]]
    estimates: list[list[Any]]
    reference_estimates: list[list[Any]]
    drift: Drift
    reference_drift: Drift
    loudness_deviation: float
    seams: dict[str, dict[str, Any]]
    features: np.ndarray


def find_pieces(music: SyntheticMusic, count: int) -> list[int]:
    r"""
    Finds pieces in which all instruments play from the beginning to the end, with drums and a lead. Nothing is
    rendered.

    Args:
        music ([`~data.SyntheticMusic`]): the music.
        count (`int`): number of pieces.

    Returns:
        `list[int]`: the first such indices.

    Raises:
        `ValueError`: if there are too few of them.
    """
    found: list[int] = []
    for index in range(len(music)):
        if len(found) == count:
            break
        piece = music.score(index)
        if piece.annotations["form"] == "steady" and {"drums", "lead"} <= piece.notes.keys():
            found.append(index)
    if len(found) < count:
        raise ValueError(f"`count` has to be at most {len(found)}, the number of steady pieces, but is {count}.")
    return found


def find_overlaps(num_frames: int, window: int, overlap: int, multiple: int, frame_rate: float) -> list[Span]:
    r"""
    Returns the overlaps of the windows of a piece, as start and end in seconds.

    Args:
        num_frames, window, overlap, multiple (`int`): as [`~pipelines.windows.place_windows`] takes them.
        frame_rate (`float`): frames per second.
    """
    windows = [window.frames for window in place_windows(num_frames, window, overlap, multiple)]
    return [(int(after[0]) / frame_rate, (int(before[-1]) + 1) / frame_rate) for before, after in pairwise(windows)]


def measure_piece(
    audio: torch.Tensor,
    item: dict[str, Any],
    pipe: Any,
    overlaps: Sequence[Span],
    estimators: Sequence[Estimator] = ESTIMATORS,
) -> PieceMeasures:
    r"""
    Measures a long piece. The seams are measured in all frames of the `"overlaps"`, at the `"borders"` in their
    middles, where windows have their `"starts"` and `"ends"`, and, for comparison, `"between"` the overlaps, as many
    frames in the middle between two overlaps.

    Args:
        audio (`torch.Tensor` of shape `(channels, samples)`): the piece at the pipeline's sampling rate.
        item (`dict`): its requested controls and reference audio, as [`~evaluation.items.compose_items`] returns them.
        pipe ([`JascoPipeline`]): the pipeline.
        overlaps (`Sequence[tuple[float, float]]`): overlaps of windows, in seconds.
        estimators (`Sequence[Estimator]`): the estimators.
    """
    rate, frame_rate = pipe.sampling_rate, pipe.frame_rate
    piece, reference = (audio, rate), (item["audio"], item["sampling_rate"])
    num_sections = int(item["duration"] / WINDOW_SECONDS + 1e-6)
    times = WINDOW_SECONDS * np.arange(num_sections)
    generated = item | {"audio": audio, "sampling_rate": rate}
    estimates, reference_estimates = (
        analyze(
            (
                (section["audio"], section["sampling_rate"])
                for section in (cut_item(source, start, WINDOW_SECONDS) for start in times)
            ),
            estimators,
        )
        for source in (generated, item)
    )
    sections = [cut_item(item, start, WINDOW_SECONDS) for start in times]
    drums = (item["stems"]["drums"], item["sampling_rate"])
    latents = encode(pipe.codec, audio[None])[0]
    frame = 1 / frame_rate
    starts = [start for start, _ in overlaps]
    middles = [math.floor((start + end) / 2 * frame_rate + 1e-6) / frame_rate for start, end in overlaps]
    shift = float(np.median(np.diff(starts))) / 2 if len(starts) > 1 else starts[0] / 2
    places = {
        "overlaps": overlaps,
        "borders": [(middle, middle) for middle in middles],
        "starts": [(start, start) for start, _ in overlaps],
        "ends": [(end, end) for _, end in overlaps],
        "between": [(start + shift, end + shift) for start, end in overlaps if end + shift < item["duration"] - frame],
    }
    seams = {
        name: {
            **_find_borders(spans, overlaps, len(latents), frame_rate, item["downbeats"]),
            **seam_ratio(latents, spans, frame_rate, item["downbeats"]),
        }
        for name, spans in places.items()
    }
    return PieceMeasures(
        [{key: value for key, value in section.items() if key not in ("audio", "stems")} for section in sections],
        estimates,
        reference_estimates,
        measure_drift(piece, drums),
        measure_drift(reference, drums),
        loudness_deviation(piece, reference),
        seams,
        seam_features(piece, pipe.codec),
    )


def _find_borders(
    spans: Sequence[Span], overlaps: Sequence[Span], num_frames: int, frame_rate: float, downbeats: Sequence[float]
) -> dict[str, list[float]]:
    """Frames that touch a span, and frames at the same metrical positions outside all overlaps, as their centers."""
    times = (np.arange(num_frames) + 0.5) / frame_rate
    bars = to_bars(times, downbeats)

    def within(spans: Sequence[Span]) -> np.ndarray:
        inside = np.zeros(num_frames, dtype=bool)
        for start, end in spans:
            inside |= (times > start - 0.5 / frame_rate + 1e-6) & (times < end + 0.5 / frame_rate + 1e-6)
        return inside

    comparable = np.zeros(num_frames, dtype=bool)
    for first, last in to_bars(np.array(spans), downbeats):
        comparable |= (last - bars + 0.5 / frame_rate) % 1 < last - first + 1 / frame_rate
    inside = within(spans)
    return {"borders": times[inside].tolist(), "candidates": times[comparable & ~inside & ~within(overlaps)].tolist()}


def summarize_pieces(
    pieces: Sequence[PieceMeasures],
    frame_rate: float,
    estimators: Sequence[Estimator] = ESTIMATORS,
    seed: int = 0,
    min_clips: int = MIN_CLIPS,
) -> dict[str, Any]:
    r"""
    Args:
        pieces (`Sequence[PieceMeasures]`): pieces of equal length.
        frame_rate (`float`): frames per second of the latents.
        estimators (`Sequence[Estimator]`): the estimators of the pieces.
        seed (`int`, defaults to `0`): random seed of floors and bootstrap.
        min_clips (`int`, defaults to `20`): minimum number of pieces for a score.

    Returns:
        `dict`, ready for JSON. Intervals are 95% bootstrap intervals over pieces.

        - `sections`: for each 10 s, an [`~evaluation.adherence.Adherence`] for every metric of every estimator
        - `last_against_first`: for each control, A in the `first` and `last` 10 s by the estimator with the lowest
          mean of both, and their ratio: `value`, `low`, `high`
        - `drift`: `slope` (ms per minute) and `last_minus_first` (ms): mean of the pieces with its interval, median
          and maximum of absolute values; the same of the reference audio under `references`
        - `loudness_deviation`: the mean in dB with its interval, and the maximum
        - `seams`: for each kind of border, the median of V and W over pieces with their intervals, and `auc` of
          [`~evaluation.metrics.seams.detect_seams`]
    """
    num_sections = len(pieces[0].sections)
    columns = [_score_section(pieces, number, estimators, seed) for number in range(num_sections)]
    rows = [measure_adherence(*column, estimators, seed, min_clips) for column in columns]
    return {
        "num_pieces": len(pieces),
        "sections": [[dataclasses.asdict(row) | {"counts": row.counts} for row in section] for section in rows],
        "last_against_first": _last_against_first(columns, estimators, seed, min_clips),
        "drift": _summarize_drift([piece.drift for piece in pieces], seed)
        | {"references": _summarize_drift([piece.reference_drift for piece in pieces], seed)},
        "loudness_deviation": describe([piece.loudness_deviation for piece in pieces], np.mean, seed),
        "seams": {
            name: _summarize_borders(
                [piece.seams[name] | {"features": piece.features} for piece in pieces], frame_rate, seed
            )
            for name in pieces[0].seams
        },
    }


Scores = dict[Metric, np.ndarray]


def _score_section(
    pieces: Sequence[PieceMeasures], number: int, estimators: Sequence[Estimator], seed: int
) -> tuple[Scores, Scores, Scores]:
    """Score, floor and ceiling of each piece in one section."""
    items = [piece.sections[number] for piece in pieces]
    references = [piece.reference_estimates[number] for piece in pieces]
    return (
        score([piece.estimates[number] for piece in pieces], items, estimators),
        score_floor(references, items, seed, estimators=estimators),
        score(references, items, estimators),
    )


def _last_against_first(
    columns: Sequence[tuple[Scores, Scores, Scores]], estimators: Sequence[Estimator], seed: int, min_clips: int
) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for estimator in estimators:
        metric = METRICS.get(estimator.control)
        if metric not in estimator.metrics:
            continue
        key = estimator.name, metric
        # Score, floor and ceiling, first and last: shape (2, 3, pieces)
        clips = np.array([[part[key] for part in columns[index]] for index in (0, -1)])
        clips = clips[:, :, ~np.isnan(clips).any(axis=(0, 1))]
        if clips.shape[-1] < min_clips or clips[:, 2].mean(axis=-1).min() < estimator.min_ceiling:
            continue
        draws = np.random.default_rng(seed).integers(clips.shape[-1], size=(NUM_RESAMPLES, clips.shape[-1]))
        first, last = (float(to_ratio(*part.mean(axis=-1))) for part in clips)
        resampled = clips[:, :, draws].mean(axis=-1)
        firsts = to_ratio(*resampled[0])
        low, high = interval(to_ratio(*resampled[1]) / np.where(firsts > 0, firsts, np.nan))
        row = {"estimator": estimator.name, "metric": metric, "num_pieces": clips.shape[-1]}
        row |= {
            "first": first,
            "last": last,
            "value": last / first if first > 0 else math.nan,
            "low": low,
            "high": high,
        }
        before = rows.get(estimator.control)
        if before is None or first + last < before["first"] + before["last"]:
            rows[estimator.control] = row
    return rows


def _summarize_drift(drifts: Sequence[Drift], seed: int) -> dict[str, dict[str, float]]:
    return {
        name: describe([getattr(drift, name) for drift in drifts], np.mean, seed)
        for name in ("slope", "last_minus_first")
    }


def _summarize_borders(seams: Sequence[dict[str, Any]], frame_rate: float, seed: int) -> dict[str, Any]:
    found = detect_seams(
        [seam["features"] for seam in seams],
        [seam["borders"] for seam in seams],
        frame_rate,
        [seam["candidates"] for seam in seams],
        seed,
    )
    ratios = {key: describe([seam[key] for seam in seams], np.median, seed) for key in ("V", "W")}
    return ratios | {"auc": {"value": found.auc, "low": found.low, "high": found.high}}


def describe(values: Iterable[float], statistic: Callable[..., Any] = np.mean, seed: int = 0) -> dict[str, Any]:
    r"""
    Returns a statistic of values with its 95% bootstrap interval, the median and the maximum of the absolute values,
    and their number, without those that are NaN.

    Args:
        values (`Iterable[float]`): the values.
        statistic (`Callable`): `np.mean` or `np.median`.
        seed (`int`, defaults to `0`): random seed of the bootstrap.
    """
    known = np.array([value for value in values if not math.isnan(value)])
    if not len(known):
        return {"num": 0} | dict.fromkeys(("value", "low", "high", "median_size", "largest"), math.nan)
    draws = np.random.default_rng(seed).choice(known, (NUM_RESAMPLES, len(known)))
    low, high = interval(statistic(draws, axis=1))
    sizes = np.abs(known)
    return {
        "num": len(known),
        "value": float(statistic(known)),
        "low": low,
        "high": high,
        "median_size": float(np.median(sizes)),
        "largest": float(sizes.max()),
    }


def evaluate_pieces(
    pipe: Any,
    music: SyntheticMusic,
    num_pieces: int = 16,
    folder: Path | None = None,
    settings: dict[str, Any] | None = None,
    window_overlap: float = DEFAULT_OVERLAP,
    seed: int = 0,
    progress: bool = False,
    min_clips: int = MIN_CLIPS,
) -> dict[str, Any]:
    r"""
    Generates long pieces with one prompt and all controls, and measures them.

    Args:
        pipe ([`JascoPipeline`]): the pipeline.
        music ([`~data.SyntheticMusic`]): reference pieces with stems, longer than a window.
        num_pieces (`int`, defaults to `16`): number of pieces.
        folder (`Path`, *optional*): folder of the generated pieces. Pieces in it are reused; the caller ensures that
            they come from the same model, music and settings.
        settings (`dict`, *optional*): as in [`~evaluation.evaluate.evaluate_pipeline`].
        window_overlap (`float`, defaults to `2.0`): least overlap of windows in seconds, as in [`JascoPipeline`].
        seed (`int`, defaults to `0`): random seed of noise, floors and bootstrap.
        progress (`bool`, defaults to `False`): whether to show a progress bar.
        min_clips (`int`, defaults to `20`): minimum number of pieces for a score.

    Returns:
        `dict`: as [`summarize_pieces`] returns it.
    """
    estimators = [estimator for estimator in ESTIMATORS if METRICS.get(estimator.control) in estimator.metrics]
    config = pipe.transformer.config
    num_frames, overlap = (math.ceil(seconds * pipe.frame_rate - 1e-6) for seconds in (music.duration, window_overlap))
    overlaps = find_overlaps(num_frames, config.sample_size, overlap, config.drums_blur, pipe.frame_rate)
    pieces = []
    indices = find_pieces(music, num_pieces)
    for number, index in enumerate(tqdm(indices, "long pieces", unit="piece", disable=not progress)):
        item = _compose(music, index)
        audio = _generate(
            pipe,
            item,
            folder,
            name=f"{number:05d}",
            seed=seed + number,
            settings=settings,
            window_overlap=window_overlap,
        )
        pieces.append(measure_piece(audio, item, pipe, overlaps, estimators))
    return summarize_pieces(pieces, pipe.frame_rate, estimators, seed, min_clips)


def _compose(music: SyntheticMusic, index: int) -> dict[str, Any]:
    item = music[index]
    return item | {"stems": {"drums": item["stems"]["drums"]}}


def _generate(pipe: Any, item: dict[str, Any], folder: Path | None, **request: Any) -> torch.Tensor:
    """A piece with all controls. `request` has fields of [`~generation.batches.GenerationRequest`]."""
    inputs = [part for part in INPUTS if part == "text" or part in pipe.transformer.controls]
    [basis] = make_requests([item], np.arange(1), inputs, request.pop("settings") or {}, 0)
    return next(generate(pipe, [dataclasses.replace(basis, **request)], 1, folder))


def evaluate_loops(
    pipe: Any,
    music: SyntheticMusic,
    num_loops: int = 16,
    folder: Path | None = None,
    settings: dict[str, Any] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    r"""
    Generates loops of whole bars, if possible of phrases of four bars, and the same pieces without `loop` as a
    comparison. Each is played three times, and its seams are measured.

    Args:
        pipe, num_loops, folder, settings, seed, progress: as [`evaluate_pieces`] takes them.
        music ([`~data.SyntheticMusic`]): reference pieces with stems that start on a downbeat and have at least a bar.

    Returns:
        `dict`, ready for JSON: under `"loop"` and `"no loop"` medians of V and W at the seam ÷ at other downbeats, and
        `auc` of [`~evaluation.metrics.seams.detect_seams`], with their intervals; `num_loops`.
    """
    kinds: dict[str, list[dict[str, Any]]] = {"loop": [], "no loop": []}
    indices = find_pieces(music, num_loops)
    for number, index in enumerate(tqdm(indices, "loops", unit="loop", disable=not progress)):
        item = _cut_phrases(_compose(music, index), pipe.frame_rate)
        for name, seams in kinds.items():
            file = f"{number:05d}_{name.replace(' ', '_')}"
            loop = name == "loop"
            audio = _generate(pipe, item, folder, name=file, seed=seed + number, settings=settings, loop=loop)
            seams.append(_measure_loop(pipe, audio, item["downbeats"]))
    return {"num_loops": num_loops} | {
        name: _summarize_borders(seams, pipe.frame_rate, seed) for name, seams in kinds.items()
    }


def _cut_phrases(item: dict[str, Any], frame_rate: float) -> dict[str, Any]:
    """The first bars of a piece, a multiple of four if it has as many, rounded to whole frames."""
    num_bars = len(item["downbeats"]) - 1
    last = num_bars // _PHRASE * _PHRASE or num_bars
    duration = round(item["downbeats"][last] * frame_rate) / frame_rate
    num_samples = round(duration * item["sampling_rate"])
    stems = {name: stem[:, :num_samples] for name, stem in item["stems"].items()}
    return cut_item(item, 0.0, duration) | {"stems": stems, "downbeats": item["downbeats"][:last]}


def _measure_loop(pipe: Any, audio: torch.Tensor, downbeats: Sequence[float]) -> dict[str, Any]:
    seconds = audio.shape[-1] / pipe.sampling_rate
    repeated = audio.repeat(1, _REPEATS)
    latents = encode(pipe.codec, repeated[None])[0]
    spans = [(number * seconds, number * seconds + LOOP_FADE) for number in range(1, _REPEATS)]
    bars = [number * seconds + downbeat for number in range(_REPEATS) for downbeat in downbeats]
    return {
        "features": seam_features((repeated, pipe.sampling_rate), pipe.codec),
        **_find_borders(spans, spans, len(latents), pipe.frame_rate, bars),
        **seam_ratio(latents, spans, pipe.frame_rate, bars),
    }


def evaluate_changes(
    pipe: Any,
    music: SyntheticMusic,
    num_pieces: int = 16,
    settings: dict[str, Any] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    r"""
    Generates pieces whose prompt changes from calm to loud at a downbeat in the middle, with chords, and measures the
    level of the second section minus that of the first.

    Args:
        pipe, num_pieces, settings, seed, progress: as [`evaluate_pieces`] takes them.
        music ([`~data.SyntheticMusic`]): the source of chords and, from the change on, of drums, with stems.

    Returns:
        `dict`, ready for JSON: under `"words"` and `"words and drums"` the mean contrast in dB with its interval;
        `prompts`: the same for each pair of prompts, as a list of `(calm, loud, contrasts)`.
    """
    contrasts: dict[str, list[float]] = {"words": [], "words and drums": []}
    indices = find_pieces(music, num_pieces)
    for number, index in enumerate(tqdm(indices, "section changes", unit="piece", disable=not progress)):
        item = _compose(music, index)
        change = min(item["downbeats"], key=lambda time: abs(time - item["duration"] / 2))
        calm, loud = SECTION_PROMPTS[number % len(SECTION_PROMPTS)]
        drums = item["stems"]["drums"].clone()
        drums[:, : round(change * item["sampling_rate"])] = 0
        for name, values in contrasts.items():
            audio = pipe(
                [(calm, 0.0), (loud, change)],
                chords=item["chords"],
                drums=(drums, item["sampling_rate"]) if name == "words and drums" else None,
                duration=item["duration"],
                generator=torch.Generator().manual_seed(seed + number),
                **(settings or {}),
            ).audios[0]
            first = round((change - _EDGE_SECONDS) * pipe.sampling_rate)
            last = round((change + _EDGE_SECONDS) * pipe.sampling_rate)
            before, after = (
                part.double().square().mean().clamp(min=1e-12) for part in (audio[:, :first], audio[:, last:])
            )
            values.append(10 * math.log10(after / before))
    pairs = len(SECTION_PROMPTS)
    return {name: describe(values, np.mean, seed) for name, values in contrasts.items()} | {
        "num_pieces": num_pieces,
        "prompts": [
            (*prompts, {name: describe(values[pair::pairs], np.mean, seed) for name, values in contrasts.items()})
            for pair, prompts in enumerate(SECTION_PROMPTS[:num_pieces])
        ],
    }


def adherence_over_time(result: dict[str, Any]) -> dict[str, list[tuple[float, float, float, float]]]:
    r"""
    A of each control in each 10 s, by the estimator of `last_against_first`.

    Args:
        result (`dict`): as [`summarize_pieces`] returns it.

    Returns:
        `dict`: for each control a list of `(time, value, low, high)`, with the center of the section in seconds and
        the 95% confidence interval.
    """
    curves = {}
    for control, chosen in result["last_against_first"].items():
        curves[control] = [
            ((number + 0.5) * WINDOW_SECONDS, row["value"], row["low"], row["high"])
            for number, section in enumerate(result["sections"])
            for row in section
            if (row["estimator"], row["metric"]) == (chosen["estimator"], chosen["metric"])
        ]
    return curves


def to_markdown(results: dict[str, dict[str, Any]]) -> str:
    r"""
    A table of the measures with their 95% intervals.

    Args:
        results (`dict`): results of [`evaluate_pieces`], [`evaluate_loops`], [`evaluate_changes`],
            [`~evaluation.resource_use.measure_cost`] and [`~evaluation.resource_use.measure_memory`] under `"pieces"`,
            `"loops"`, `"changes"`, `"cost"` and `"memory"`; some may be missing.
    """
    rows: list[tuple[str, str]] = []
    if pieces := results.get("pieces"):
        for control, row in pieces["last_against_first"].items():
            measured = f"{_format(row)}: {_number(row['last'])} ÷ {_number(row['first'])}, {row['estimator']}"
            rows.append((f"A of {control} ({row['metric']}) in the last 10 s ÷ in the first 10 s", measured))
        for name, label in (("slope", "drift, ms per minute"), ("last_minus_first", "lag, last minus first, ms")):
            row, reference = pieces["drift"][name], pieces["drift"]["references"][name]
            sizes = f"; median size {_number(row['median_size'], 2)}, largest {_number(row['largest'], 2)}"
            rows.append((label, f"{_format(row, 2)}{sizes}; references {_format(reference, 2)}"))
        row = pieces["loudness_deviation"]
        rows.append(
            (
                "largest deviation of a 10 s level beyond the references', dB",
                f"{_format(row, 2)}; largest {_number(row['largest'], 2)}",
            )
        )
        for name, row in pieces["seams"].items():
            rows.append((f"seams, {name}: V, W, AUC", _format_seams(row)))
    if loops := results.get("loops"):
        for name in ("loop", "no loop"):
            rows.append((f"seam of the repeated piece, {name}: V, W, AUC", _format_seams(loops[name])))
    if changes := results.get("changes"):
        for name in ("words", "words and drums"):
            rows.append((f"level contrast of sections, {name}, dB", _format(changes[name], 1)))
        for calm, loud, contrasts in changes["prompts"]:
            measured = ", ".join(f"{name} {_number(row['value'], 1)}" for name, row in contrasts.items())
            rows.append((f'"{calm}" → "{loud}", dB', measured))
    if cost := results.get("cost"):
        window, count = cost["window"], cost["duration"] / cost["window"]
        label = f"processor time of {cost['duration']:g} s ÷ {count:g} × that of {window:g} s"
        rows.append((label, f"{cost['value']:.2f} (rounds: {cost['low']:.2f} … {cost['high']:.2f})"))
    if memory := results.get("memory"):
        first, last = memory["pieces"]
        label = f"peak memory of {last['duration']:g} s − of {first['duration']:g} s, without audio and controls, MB"
        rows.append((label, f"{memory['value']:.1f} (peaks: {last['peak']:.0f}, {first['peak']:.0f})"))
    return "\n".join(["| | measured |", "| --- | --- |", *(f"| {label} | {measured} |" for label, measured in rows)])


def _number(value: float | None, digits: int = 3) -> str:
    # Files have `null` instead of NaN.
    return "n/a" if value is None or math.isnan(value) else f"{value:z.{digits}f}"


def _format(row: dict[str, float], digits: int = 3) -> str:
    value, low, high = (_number(row[name], digits) for name in ("value", "low", "high"))
    return value if value == "n/a" else f"{value} ({low} … {high})"


def _format_seams(row: dict[str, dict[str, float]]) -> str:
    return f"{_format(row['V'], 2)}, {_format(row['W'], 2)}, {_format(row['auc'])}"
