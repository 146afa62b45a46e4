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
Evaluates the mixer: how the scale of a control acts on it and on the others, how music sounds where a control is free, and
what the selection among several takes gains.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..audio.loudness import measure_loudness
from ..audio.resampling import resample
from ..extraction import separate_drums
from ..generation.batches import GenerationRequest
from .adherence import (
    NUM_RESAMPLES,
    Metric,
    analyze,
    interval,
    measure_adherence,
    score,
    score_floor,
    to_ratio,
    worst,
)
from .control_estimators import ESTIMATORS
from .edits import mean_row
from .estimators.embeddings import load_embedding
from .estimators.melody import note_starts
from .estimators.onsets import onsets_by_percussive_flux
from .evaluate import generate, make_requests
from .metrics.distances import sound_distance
from .metrics.drift import cut_item
from .metrics.sample_sizes import MIN_CLIPS
from .output import write_json
from .takes import best_of


SCALES = (0.0, 0.25, 0.5, 0.75, 1.0, 2.0)
METRICS = {"chords": ("root", "majmin"), "melody": ("chroma",), "drums": ("onset_f1",)}
# Two of each control, none of which is trained.
MIXER_ESTIMATORS = tuple(
    next(estimator for estimator in ESTIMATORS if estimator.name == name)
    for name in ("segment templates", "blind estimate", "harmonic sum", "note fit", "percussive flux", "noise flux")
)
# With a ceiling closer to the floor, as that of grooves to other bars, differences of A are not reported.
MIN_SPAN = 0.2
EVERYTHING = "all"  # the name of the setting with all controls, and of all controls together

Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    r"""
    The inputs of the pipeline for a set of clips, besides their captions.

    Args:
        name (`str`): unique name.
        controls (`tuple[str, ...]`): the controls that are given, of `METRICS`.
        scales (`dict[str, float]`): their scales, where they are not 1.
        free (`str`, *optional*): a control that is free from [`free_region`] on.
    """

    name: str
    controls: tuple[str, ...] = tuple(METRICS)
    scales: dict[str, float] = field(default_factory=dict)
    free: str | None = None


def free_region(item: dict[str, Any]) -> tuple[float, float] | None:
    """The whole bars in the second half of a clip, in seconds; `None` if it has fewer than two bars."""
    downbeats = item["downbeats"]
    num_bars = len(downbeats) - 1
    if num_bars < 2:
        return None
    return downbeats[num_bars - num_bars // 2], downbeats[-1]


def plan_requests(items: Sequence[dict[str, Any]], setting: Setting, seed: int) -> list[GenerationRequest]:
    r"""
    Args:
        items (`Sequence[dict]`): the clips.
        setting ([`Setting`]): the inputs.
        seed (`int`): random seed of the noise, which is the same in all settings.

    Returns:
        `list[GenerationRequest]`: one per clip.
    """
    inputs = ("text", *setting.controls)
    requests = []
    for request, item in zip(make_requests(items, np.arange(len(items)), inputs, {}, seed), items):
        region = free_region(item) if setting.free else None
        is_free = region is not None and request.controls.get(setting.free) is not None
        regions = {setting.free: [(0.0, region[0])]} if is_free else {}
        requests.append(dataclasses.replace(request, control_scales=setting.scales, control_regions=regions))
    return requests


def drum_level(audio: torch.Tensor, rate: int) -> float:
    r"""
    The level of the drums relative to everything else in a mix, both from the drum separator.

    Args:
        audio (`torch.Tensor` of shape `(1, samples)`): the mix.
        rate (`int`): its sampling rate in Hz.

    Returns:
        `float`: dB.
    """
    drums, drums_rate = separate_drums(audio, rate)
    drums = resample(drums, drums_rate, rate)[:, : audio.shape[-1]]
    rest = audio[:, : drums.shape[-1]] - drums
    powers = [max(float(part.double().square().mean()), 1e-12) for part in (drums, rest)]
    return 10 * math.log10(powers[0] / powers[1])


def evaluate_scales(
    pipe: Any,
    items: Sequence[dict[str, Any]],
    scales: Sequence[float] = SCALES,
    batch_size: int = 8,
    seed: int = 0,
    cache: Path | None = None,
    progress: bool = False,
    min_clips: int = MIN_CLIPS,
) -> dict[str, Any]:
    r"""
    Measures clips with different scales of one control, while the others have a scale of 1, and of all controls together.

    Args:
        pipe ([`JascoPipeline`]): the pipeline.
        items (`Sequence[dict]`): clips, as [`~evaluation.evaluate.analyze_references`] takes them.
        scales (`Sequence[float]`, defaults to `SCALES`): scales of a control; 1 is always included. The largest one is
            also used for all controls together.
        batch_size (`int`, defaults to `8`): number of clips generated together.
        seed (`int`, defaults to `0`): random seed of noise, floors and intervals.
        cache (`Path`, *optional*): folder for music and scores, which are reused; the caller ensures that they come from
            the same model, clips and settings.
        progress (`bool`, defaults to `False`): whether to show progress bars.
        min_clips (`int`, defaults to `20`): minimum number of clips for a score.

    Returns:
        `dict`, ready for JSON: `num_clips`, `identical` (for each control, whether a scale of 0 gives the same samples as
        not giving the control, in the first batch) and `points`, each with

        - `control` (`"all"` for all of them) and `scale`
        - `adherence`: for each metric of each control the [`~evaluation.adherence.Adherence`] with the lowest A, and
          `rows`: those of all estimators
        - `change`: for each of them, A − A at a scale of 1 in the same clips: the estimator with the lowest value
        - `drum_level` and `loudness`: the difference from a scale of 1 in dB, the mean over clips
        - `kernel_distance`: that of [`~evaluation.metrics.distances.sound_distance`] to the reference clips

        Values have 95% intervals (`low`, `high`).
    """
    embedding = load_embedding("spectrum")
    estimates = analyze(((item["audio"], item["sampling_rate"]) for item in items), MIXER_ESTIMATORS)
    floors = score_floor(estimates, items, seed, estimators=MIXER_ESTIMATORS)
    ceilings = score(estimates, items, MIXER_ESTIMATORS)
    vectors = np.stack([embedding((item["audio"], item["sampling_rate"])) for item in items])

    def measure(audio: torch.Tensor, item: dict[str, Any]) -> Row:
        pair = audio, pipe.sampling_rate
        has_drums = bool(item["drum_onsets"])
        return {
            "scores": _to_row(score(analyze([pair], MIXER_ESTIMATORS), [item], MIXER_ESTIMATORS)),
            "drum_level": drum_level(*pair) if has_drums else math.nan,
            "loudness": measure_loudness(*pair),
            "vector": embedding(pair).tolist(),
        }

    def rows_of(control: str, scale: float) -> list[Row]:
        setting = scale_setting(control, scale)
        audios = _generate(pipe, items, setting, batch_size, seed, cache)
        return _remember(measure, audios, items, _path(cache, "scales", setting.name), setting.name, progress)

    reference = rows_of(EVERYTHING, 1.0)
    points = []
    for control in (*METRICS, EVERYTHING):
        for scale in sorted({1.0, *scales} if control != EVERYTHING else {1.0, max(scales)}):
            rows = reference if scale == 1 else rows_of(control, scale)
            bounds = floors, ceilings, seed, min_clips
            sound = sound_distance(np.array([row["vector"] for row in rows]), vectors, min_clips)
            points.append(
                {"control": control, "scale": scale}
                | _compare(_columns(rows), _columns(reference), *bounds)
                | {key: _mean_difference(rows, reference, key, seed) for key in ("drum_level", "loudness")}
                | {"kernel_distance": {"value": sound["kernel_distance"], "low": sound["low"], "high": sound["high"]}}
            )
    return {
        "num_clips": len(items),
        "identical": {
            control: _ignores(pipe, items[:batch_size], control, seed, cache) for control in METRICS if 0.0 in scales
        },
        "points": points,
    }


def scale_setting(control: str, scale: float) -> Setting:
    """All controls, one of them (or, with `"all"`, each of them) with a scale."""
    if scale == 1:
        return Setting(EVERYTHING)
    return Setting(
        f"{control} {scale:g}", scales=dict.fromkeys(METRICS if control == EVERYTHING else (control,), scale)
    )


def _generate(
    pipe: Any, items: Sequence[dict[str, Any]], setting: Setting, batch_size: int, seed: int, cache: Path | None
) -> Iterable[torch.Tensor]:
    requests = plan_requests(items, setting, seed)
    return generate(pipe, requests, batch_size, None if cache is None else cache / "audio" / setting.name)


def _ignores(pipe: Any, items: Sequence[dict[str, Any]], control: str, seed: int, cache: Path | None) -> bool:
    """Whether a control with a scale of 0 changes no sample."""
    others = tuple(name for name in METRICS if name != control)
    settings = scale_setting(control, 0.0), Setting(f"no {control}", others)
    pairs = zip(*(_generate(pipe, items, setting, len(items), seed, cache) for setting in settings), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def _path(cache: Path | None, *names: str) -> Path | None:
    return None if cache is None else cache.joinpath("scores", *names[:-1], f"{names[-1]}.json")


def _remember(
    measure: Callable[[torch.Tensor, dict[str, Any]], Row],
    audios: Iterable[torch.Tensor],
    items: Sequence[dict[str, Any]],
    path: Path | None,
    name: str,
    progress: bool,
) -> list[Row]:
    """The measures of clips, read from a file as far as it has them."""
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path is not None and path.is_file() else []
    if len(rows) < len(items):
        pairs = tqdm(zip(audios, items), desc=name, unit="clip", total=len(items), disable=not progress)
        rows += [measure(*pair) for index, pair in enumerate(pairs) if index >= len(rows)]
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, rows)
    return rows[: len(items)]


def _to_row(scores: dict[Metric, np.ndarray]) -> dict[str, float]:
    return {"/".join(key): float(values[0]) for key, values in scores.items()}


def _columns(rows: Sequence[Row], key: str = "scores") -> dict[Metric, np.ndarray]:
    """Scores of all clips for each estimator and metric; null, from files, is NaN."""
    names = dict.fromkeys(name for row in rows for name in row[key])
    return {
        (name.split("/")[0], name.split("/")[1]): np.array([row[key].get(name) for row in rows], dtype=float)
        for name in names
    }


def _compare(
    scores: dict[Metric, np.ndarray],
    reference: dict[Metric, np.ndarray],
    floors: dict[Metric, np.ndarray],
    ceilings: dict[Metric, np.ndarray],
    seed: int,
    min_clips: int,
) -> dict[str, list[Row]]:
    """`adherence`, `rows` and `change` of [`evaluate_scales`]."""
    rows = [
        row
        for row in measure_adherence(scores, floors, ceilings, MIXER_ESTIMATORS, seed, min_clips)
        if row.metric in METRICS[row.control]
    ]
    changes: dict[tuple[str, str], Row] = {}
    for row in rows:
        key, metric = (row.control, row.metric), (row.estimator, row.metric)
        if row.counts:
            change = _difference(scores[metric], reference[metric], floors[metric], ceilings[metric], seed)
            if key not in changes or change["value"] < changes[key]["value"]:
                changes[key] = {"control": row.control, "metric": row.metric, "estimator": row.estimator} | change
    return {
        "adherence": [dataclasses.asdict(row) for row in worst(rows)],
        "change": list(changes.values()),
        "rows": [dataclasses.asdict(row) | {"counts": row.counts} for row in rows],
    }


def _difference(scores: np.ndarray, others: np.ndarray, floors: np.ndarray, ceilings: np.ndarray, seed: int) -> Row:
    """A of some music minus A of other music with the same controls."""
    clips = np.stack([scores, others, floors, ceilings])
    clips = clips[:, ~np.isnan(clips).any(axis=0)]
    if not clips.shape[1]:
        return {"value": math.nan, "low": math.nan, "high": math.nan}
    draws = np.random.default_rng(seed).integers(clips.shape[1], size=(NUM_RESAMPLES, clips.shape[1]))

    def differ(means: np.ndarray) -> np.ndarray:
        return to_ratio(means[0], means[2], means[3]) - to_ratio(means[1], means[2], means[3])

    low, high = interval(differ(clips[:, draws].mean(axis=-1)))
    return {"value": float(differ(clips.mean(axis=1))), "low": low, "high": high}


def _mean_difference(rows: Sequence[Row], others: Sequence[Row], key: str, seed: int) -> Row:
    differences = np.array([row[key] for row in rows], dtype=float) - np.array(
        [row[key] for row in others], dtype=float
    )
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return {"value": math.nan, "low": math.nan, "high": math.nan}
    return mean_row(differences, seed)


def evaluate_regions(
    pipe: Any,
    items: Sequence[dict[str, Any]],
    batch_size: int = 8,
    seed: int = 0,
    cache: Path | None = None,
    progress: bool = False,
    min_clips: int = MIN_CLIPS,
) -> dict[str, Any]:
    r"""
    Measures clips in which one control is free from the middle on, in whole bars; see [`free_region`]. Scores in the region
    are those of the control that would have applied there.

    Args:
        pipe, items, batch_size, seed, cache, progress, min_clips: as in [`evaluate_scales`].

    Returns:
        `dict`, ready for JSON: `num_clips`, and `settings`, each with

        - `given`: `"others"` (all other controls are given everywhere) or `"alone"` (only the caption); `control`: the
          one that is free
        - `inside`: the scores in the region for each metric and estimator, `free` and where the control was `never` given,
          with `floor` (other clips), `floor_of_bars` (other bars of the same clip) and `ceiling`. The difference of A of
          the two (`to_bars`, `to_clips`, by the floor), and that of A beyond the score against the control of other bars
          (`own_bars`), which does not rise if a groove just continues
        - `outside`: before the region, A − A of clips in which the control applies everywhere: for each metric the
          estimator with the lowest value; only with the other controls
        - `notes`, `onsets`: their number in the region ÷ that of clips from the caption alone, and `notes_to_never`,
          `onsets_to_never`: ÷ that of clips in which the control was never given

        Values have 95% intervals (`low`, `high`).
    """
    measured = [item for item in items if free_region(item) is not None]
    bounds = _bound_regions(measured, seed)

    def measure(audio: torch.Tensor, item: dict[str, Any]) -> Row:
        return _measure_region(audio, item, pipe.sampling_rate)

    def rows_of(setting: Setting) -> list[Row]:
        pairs = zip(_generate(pipe, items, setting, batch_size, seed, cache), items)
        audios = (audio for audio, item in pairs if free_region(item) is not None)
        return _remember(measure, audios, measured, _path(cache, "regions", setting.name), setting.name, progress)

    words, everything = rows_of(Setting("words", ())), rows_of(Setting(EVERYTHING))
    settings = []
    for given in ("others", "alone"):
        for control in METRICS:
            if given == "others":
                free, never = rows_of(Setting(f"free {control}", free=control)), rows_of(scale_setting(control, 0.0))
            else:
                free, never = rows_of(Setting(f"free {control} alone", (control,), free=control)), words
            result: Row = {"given": given, "control": control}
            result["inside"] = _compare_regions(free, never, bounds, control, seed, min_clips)
            if given == "others":
                scores = _columns(free, "outside"), _columns(everything, "outside")
                outside = _compare(*scores, bounds.floors_before, bounds.ceilings_before, seed, min_clips)
                result["outside"] = [row for row in outside["change"] if row["control"] == control]
            for key in ("notes", "onsets"):
                result[key] = _ratio_of_counts(free, words, key, control, measured, seed)
                result[f"{key}_to_never"] = _ratio_of_counts(free, never, key, control, measured, seed)
            settings.append(result)
    return {"num_clips": len(measured), "settings": settings}


@dataclass(frozen=True)
class _Bounds:
    """For each clip, scores of the reference audio in the region and before it, with floors from other clips and bars."""

    ceilings: dict[Metric, np.ndarray]
    floors: dict[Metric, np.ndarray]
    floors_of_bars: dict[Metric, np.ndarray]
    ceilings_before: dict[Metric, np.ndarray]
    floors_before: dict[Metric, np.ndarray]


def _bound_regions(items: Sequence[dict[str, Any]], seed: int) -> _Bounds:
    regions = [_cut(item) for item in items]
    sections, before = [section for section, _, _ in regions], [part for _, part, _ in regions]
    inside, outside = ([_estimate(part)[0] for part in parts] for parts in (sections, before))
    of_bars = [
        _mean([score(_estimate(window), [section], MIXER_ESTIMATORS) for window in windows])
        for section, _, windows in regions
    ]
    return _Bounds(
        score(inside, sections, MIXER_ESTIMATORS),
        score_floor(inside, sections, seed, estimators=MIXER_ESTIMATORS),
        {key: np.concatenate([row[key] for row in of_bars]) for key in of_bars[0]},
        score(outside, before, MIXER_ESTIMATORS),
        score_floor(outside, before, seed, estimators=MIXER_ESTIMATORS),
    )


def _cut(item: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """The region, the part before it, and all bars before it, as many at a time as the region has."""
    region = free_region(item)
    assert region is not None
    start, end = region
    num_bars = sum(start <= time < end for time in item["downbeats"])
    previous = [time for time in item["downbeats"] if time < start]
    starts = previous[: len(previous) - num_bars + 1]
    cut = [cut_item(item, time, end - start) for time in (start, *starts)]
    return cut[0], cut_item(item, 0.0, start), cut[1:]


def _estimate(item: dict[str, Any]) -> list[list[Any]]:
    return analyze([(item["audio"], item["sampling_rate"])], MIXER_ESTIMATORS)


def _mean(scores: Sequence[dict[Metric, np.ndarray]]) -> dict[Metric, np.ndarray]:
    return {key: np.mean([row[key] for row in scores], axis=0) for key in scores[0]}


def _measure_region(audio: torch.Tensor, item: dict[str, Any], rate: int) -> Row:
    """
    Scores in the region against its controls and those of other bars, and before it; the numbers of notes and onsets in
    it.
    """
    section, before, windows = _cut(item | {"audio": audio, "sampling_rate": rate})
    estimates = _estimate(section)
    row: Row = {
        "inside": _to_row(score(estimates, [section], MIXER_ESTIMATORS)),
        "bars": _to_row(_mean([score(estimates, [window], MIXER_ESTIMATORS) for window in windows])),
        "outside": _to_row(score(_estimate(before), [before], MIXER_ESTIMATORS)),
    }
    start, end = free_region(item) or (0.0, 0.0)
    # Thresholds are relative to the whole clip, so a region that is too quiet has fewer.
    for name, find in (("notes", note_starts), ("onsets", onsets_by_percussive_flux)):
        times = find((audio, rate))
        row[name] = int(((times >= start) & (times < end)).sum())
    return row


def _compare_regions(
    free: Sequence[Row], never: Sequence[Row], bounds: _Bounds, control: str, seed: int, min_clips: int
) -> list[Row]:
    """`inside` of [`evaluate_regions`]: one row for each metric and estimator of a control."""
    estimators = [estimator for estimator in MIXER_ESTIMATORS if estimator.control == control]
    scores, others = _columns(free, "inside"), _columns(never, "inside")
    own, own_others = (
        {key: value - _columns(rows, "bars")[key] for key, value in columns.items()}
        for rows, columns in ((free, scores), (never, others))
    )
    rows = []
    for row in measure_adherence(scores, bounds.floors, bounds.ceilings, estimators, seed, min_clips):
        if row.metric not in METRICS[control]:
            continue
        key = row.estimator, row.metric
        floors, of_bars, ceilings = bounds.floors[key], bounds.floors_of_bars[key], bounds.ceilings[key]
        clips = np.stack([scores[key], others[key], of_bars])
        means = clips[:, ~np.isnan(clips).any(axis=0)].mean(axis=1)
        rows.append(
            {"metric": row.metric, "estimator": row.estimator, "num_clips": row.num_clips, "counts": row.counts}
            | {
                "free": means[0],
                "never": means[1],
                "floor": row.floor,
                "floor_of_bars": means[2],
                "ceiling": row.ceiling,
            }
            | {"to_bars": _difference(scores[key], others[key], of_bars, ceilings, seed)}
            | {"to_clips": _difference(scores[key], others[key], floors, ceilings, seed)}
            | {"own_bars": _difference(own[key], own_others[key], floors, ceilings, seed)}
        )
    return rows


def _ratio_of_counts(
    rows: Sequence[Row], others: Sequence[Row], key: str, control: str, items: Sequence[dict[str, Any]], seed: int
) -> Row:
    """The ratio of means over the clips that have the control."""
    name = {"chords": "chords", "melody": "melody", "drums": "drum_onsets"}[control]
    pairs = [(row[key], other[key]) for row, other, item in zip(rows, others, items) if item[name]]
    counts = np.array(pairs, dtype=float).T
    draws = np.random.default_rng(seed).integers(counts.shape[1], size=(NUM_RESAMPLES, counts.shape[1]))
    resampled = counts[:, draws].mean(axis=-1)
    low, high = interval(resampled[0] / resampled[1])
    return {"value": float(counts[0].sum() / counts[1].sum()), "low": low, "high": high}


class _Recorder:
    """A pipeline that keeps the music that it generates."""

    def __init__(self, pipe: Any):
        self._pipe = pipe
        self.audios: list[torch.Tensor] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        output = self._pipe(*args, **kwargs)
        self.audios += output.audios.float().mean(dim=1, keepdim=True).cpu()
        return output


def evaluate_takes(
    pipe: Any,
    items: Sequence[dict[str, Any]],
    music: Sequence[dict[str, Any]],
    count: int = 8,
    seed: int = 0,
    cache: Path | None = None,
    progress: bool = False,
    min_clips: int = MIN_CLIPS,
) -> dict[str, Any]:
    r"""
    Measures the takes that [`best_of`] selects by the estimators that report, which have no part in the selection.

    Args:
        pipe ([`JascoPipeline`]): the pipeline.
        items (`Sequence[dict]`): pieces with all controls, such as [`~evaluation.handwritten.handwritten_items`].
        music (`Sequence[dict]`): as many other clips, for the kernel distance.
        count (`int`, defaults to `8`): number of takes of each piece.
        seed (`int`, defaults to `0`): random seed of noise and intervals.
        cache (`Path`, *optional*): folder for the scores, which are reused.
        progress (`bool`, defaults to `False`): whether to show a progress bar.
        min_clips (`int`, defaults to `20`): minimum number of pieces for the kernel distance.

    Returns:
        `dict`, ready for JSON:

        - `num_pieces`, `count`, and `pieces`: the scores of all takes of each piece, and which is the best
        - `lowest`: the lowest score of any control, for `"best"`, `"first"` (the first take of each piece) and `"mean"`
          (over the takes), with the differences `"best_to_first"` and `"best_to_mean"`, and for `"highest"`, the take
          with the highest score by these estimators, which no selection can exceed; `controls`: the same for each
          control. Values have 95% bootstrap intervals over pieces (`low`, `high`)
        - `kernel_distance`: that of the best and of the first takes to `music`, and the mean over all sets with one take
          of each piece
    """
    embedding = load_embedding("spectrum")
    pieces: list[Row] = []
    path = _path(cache, f"takes {count}")
    if path is not None and path.is_file():
        pieces = json.loads(path.read_text(encoding="utf-8"))
    for index, item in enumerate(tqdm(items, "takes", unit="piece", disable=not progress)):
        if index < len(pieces):
            continue
        recorder = _Recorder(pipe)
        _, takes = best_of(
            recorder,
            count,
            generator=torch.Generator().manual_seed(1_000_000 * seed + index),
            prompt=item["caption"],
            chords=item["chords"],
            drums=(item["stems"]["drums"], item["sampling_rate"]),
            melody=item["melody"],
            duration=item["duration"],
        )
        vectors = [embedding((audio, pipe.sampling_rate)).tolist() for audio in recorder.audios]
        scores = [{key: getattr(take, key) for key in ("selecting", "reporting", "is_best")} for take in takes]
        pieces.append({"takes": scores, "vectors": vectors})
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, pieces)
    references = np.stack([embedding((item["audio"], item["sampling_rate"])) for item in music])
    best = [next(i for i, take in enumerate(piece["takes"]) if take["is_best"]) for piece in pieces]
    vectors = np.array([piece["vectors"] for piece in pieces])

    def distance(chosen: Sequence[int]) -> Row:
        sound = sound_distance(vectors[np.arange(len(vectors)), chosen], references, min_clips)
        return {"value": sound["kernel_distance"], "low": sound["low"], "high": sound["high"]}

    sets = [distance([index] * len(pieces))["value"] for index in range(count)]
    return {
        "num_pieces": len(pieces),
        "count": count,
        "lowest": _summarize(
            [[min(take["reporting"].values()) for take in piece["takes"]] for piece in pieces], best, seed
        ),
        "controls": {
            control: _summarize(
                [[take["reporting"][control] for take in piece["takes"]] for piece in pieces], best, seed
            )
            for control in METRICS
        },
        "kernel_distance": {
            "best": distance(best),
            "first": distance([0] * len(pieces)),
            "mean": None if None in sets else float(np.mean(sets)),
        },
        "pieces": [piece["takes"] for piece in pieces],
    }


def _summarize(scores: Sequence[Sequence[float]], best: Sequence[int], seed: int) -> dict[str, Row]:
    """Means over pieces; `scores` is (pieces, takes)."""
    values = np.array(scores)
    columns = {"best": values[np.arange(len(values)), best], "first": values[:, 0], "mean": values.mean(axis=1)}
    columns |= {f"best_to_{name}": columns["best"] - columns[name] for name in ("first", "mean")}
    columns["highest"] = values.max(axis=1)
    return {name: mean_row(column, seed) for name, column in columns.items()}


def write_scales(result: dict[str, Any]) -> str:
    r"""
    Args:
        result (`dict`): as [`evaluate_scales`] returns it.

    Returns:
        `str`: Markdown tables of the curves, of the goals, and of all estimators at a scale of 1.
    """
    metrics = [(control, metric) for control, names in METRICS.items() for metric in names]
    head = ["control", "scale", *(f"{control}: {metric}" for control, metric in metrics)]
    head += ["drums to rest", "loudness", "kernel distance"]
    lines = [f"{result['num_clips']} clips.", "", f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for point in result["points"]:
        rows = {(row["control"], row["metric"]): row for row in point["adherence"]}
        cells = [point["control"], f"{point['scale']:g}"]
        cells += [_cell(rows.get(metric)) for metric in metrics]
        cells += [_cell(point["drum_level"], " dB"), _cell(point["loudness"], " dB"), _cell(point["kernel_distance"])]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| measure | value | goal | never |", "| --- " * 4 + "|"]
    for control, identical in result["identical"].items():
        lines.append(
            f"| {control}: a scale of 0 is identical to not giving it | {'yes' if identical else 'no'} | yes | |"
        )
    for control, metric in metrics:
        curve = [
            row["value"]
            for point in result["points"]
            if point["control"] == control and point["scale"] <= 1
            for row in point["adherence"]
            if (row["control"], row["metric"]) == (control, metric)
        ]
        if len(curve) > 1:
            steps = np.diff(curve)
            name = f"{control}: smallest step of A ({metric}) up to a scale of 1"
            lines.append(f"| {name} | {steps.min():z.2f} | above 0 | |")
    for point in result["points"]:
        if point["scale"] > 1 and point["change"]:
            row = min(point["change"], key=lambda change: change["value"])
            name = f"{point['control']} at {point['scale']:g}: lowest change of A ({row['control']}: {row['metric']})"
            lines.append(f"| {name} | {_cell(row)} | ≥ -0.02 | below -0.05 |")
    for control in (*METRICS, EVERYTHING):
        levels = [
            point["drum_level"]
            for point in result["points"]
            if point["control"] == control and 0.5 <= point["scale"] <= 2 and point["scale"] != 1
        ]
        if levels:
            name = f"{control}: largest change of the level of drums to rest, scales from 0.5"
            largest = max(levels, key=lambda row: abs(row["value"]))
            lines.append(f"| {name} | {_cell(largest, ' dB')} | ± 1.5 dB | ± 3 dB |")
    lines += ["", "| control | metric | estimator | clips | score | floor | ceiling | A | 95% |", "| --- " * 9 + "|"]
    for row in next(point["rows"] for point in result["points"] if point["scale"] == 1):
        scores = " | ".join(f"{row[name]:.3f}" for name in ("score", "floor", "ceiling"))
        value = f"{row['value']:z.2f}" if row["counts"] else f"({row['value']:z.2f})"
        names = f"{row['control']} | {row['metric']} | {row['estimator']} | {row['num_clips']}"
        lines.append(f"| {names} | {scores} | {value} | {row['low']:z.2f} … {row['high']:z.2f} |")
    return "\n".join(lines)


def write_regions(result: dict[str, Any]) -> str:
    r"""
    Args:
        result (`dict`): as [`evaluate_regions`] returns it.

    Returns:
        `str`: Markdown tables.
    """
    head = [
        "given",
        "free",
        "metric",
        "estimator",
        "clips",
        "free",
        "never given",
        "other clips",
        "other bars",
        "reference",
    ]
    head += ["difference, floor of other bars", "floor of other clips", "own bars"]
    lines = [f"{result['num_clips']} clips.", "", f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for setting in result["settings"]:
        for row in setting["inside"]:
            cells = [setting["given"], setting["control"], row["metric"], row["estimator"], str(row["num_clips"])]
            cells += [f"{row[key]:.3f}" for key in ("free", "never", "floor", "floor_of_bars", "ceiling")]
            for key in ("to_bars", "to_clips", "own_bars"):
                is_clear = key != "to_bars" or row["ceiling"] - row["floor_of_bars"] >= MIN_SPAN
                cells.append(_cell(row[key]) if row["counts"] and is_clear else "")
            lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "| free | metric | estimator | A before the region − A where it is given everywhere |",
        "| --- " * 4 + "|",
    ]
    for setting in result["settings"]:
        for row in setting.get("outside", ()):
            lines.append(f"| {setting['control']} | {row['metric']} | {row['estimator']} | {_cell(row)} |")
    head = [
        "given",
        "free",
        "notes ÷ words alone",
        "onsets ÷ words alone",
        "notes ÷ never given",
        "onsets ÷ never given",
    ]
    lines += ["", f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for setting in result["settings"]:
        cells = [_cell(setting[key]) for key in ("notes", "onsets", "notes_to_never", "onsets_to_never")]
        lines.append(f"| {setting['given']} | {setting['control']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_takes(result: dict[str, Any]) -> str:
    r"""
    Args:
        result (`dict`): as [`evaluate_takes`] returns it.

    Returns:
        `str`: Markdown tables.
    """
    columns = ("best", "first", "mean", "best_to_first", "best_to_mean", "highest")
    lines = [f"{result['num_pieces']} pieces, {result['count']} takes of each.", ""]
    lines += ["| score | best | first | mean | best − first | best − mean | highest |", "| --- " * 7 + "|"]
    for name, rows in ({"lowest control": result["lowest"]} | result["controls"]).items():
        lines.append(f"| {name} | {' | '.join(_cell(rows[column], digits=3) for column in columns)} |")
    distance = result["kernel_distance"]
    mean = "" if distance["mean"] is None else f"{distance['mean']:.3f}"
    cells = f"{_cell(distance['best'], digits=3)} | {_cell(distance['first'], digits=3)} | {mean}"
    lines.append(f"| kernel distance | {cells} | | | |")
    return "\n".join(lines)


def _cell(row: Row | None, unit: str = "", digits: int = 2) -> str:
    if row is None or row["value"] is None or math.isnan(row["value"]):
        return ""
    return f"{row['value']:z.{digits}f}{unit} ({row['low']:z.{digits}f} … {row['high']:z.{digits}f})"
