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
Evaluates edits of recordings: what they preserve, how well new music follows its controls, how well it fits in, and how
variations differ from their recordings.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from tqdm import tqdm

from ..audio.io import load_audio
from ..audio.paste import paste
from ..audio.regions import FADE, mark_known, splice
from ..codecs import encode
from ..controls import CONTROLS
from ..generation.batches import GenerationRequest
from ..utils.files import replace_file
from .adherence import NUM_RESAMPLES, Metric, analyze, derangements, interval, score, score_floor, to_ratio
from .control_estimators import ESTIMATORS, Estimator
from .edit_plans import MIN_REGION, Edit
from .evaluate import make_requests, reconstruct
from .metrics.drift import cut_item
from .metrics.edits import inside_against_surroundings, measure_variation, preservation
from .metrics.sample_sizes import MIN_CLIPS
from .metrics.seams import detect_seams, seam_features, seam_ratio


# Two estimators of each control at least; those of chords and melody whose estimates of 4 s are reliable.
METRICS = ("root", "majmin", "pitch", "chroma", "onset_f1", "onset_f1_70ms")
STRENGTHS = (0.3, 0.5, 0.7, 0.9, 1.0)
VARIATION = {"log_mel": 1, "chroma": -1, "onsets": -1}  # rises or falls with the strength

Audios = Sequence[torch.Tensor]  # waveforms (1, samples) at the pipeline's rate
Row = dict[str, Any]


def edit_estimators() -> tuple[Estimator, ...]:
    """The estimators of chords, melody and drums."""
    return tuple(estimator for estimator in ESTIMATORS if set(estimator.metrics) & set(METRICS))


def generate_edits(
    edit_pipe: Any,
    edits: Sequence[Edit],
    settings: dict[str, Any] | None = None,
    seed: int = 0,
    cache: Path | None = None,
) -> Iterator[torch.Tensor]:
    r"""
    Makes edits, one by one.

    Args:
        edit_pipe ([`JascoInpaintPipeline`]): the pipeline.
        edits (`Sequence[Edit]`): the edits.
        settings (`dict`, *optional*): further arguments of the pipeline.
        seed (`int`, defaults to `0`): random seed of the noise, which is that of [`generate_freely`].
        cache (`Path`, *optional*): folder for the music. Existing files are reused; the caller ensures that they come from
            the same model, edits and settings.

    Yields:
        `torch.Tensor` of shape `(1, samples)`: music at the pipeline's sampling rate.
    """
    for edit, request in zip(edits, _requests(edit_pipe, edits, seed), strict=True):
        recording = {"audio": (edit.audio, edit.recording["sampling_rate"]), "audio_start_seconds": edit.span[0]}
        if inside := _inside(edit):
            starts, ends = zip(*inside)
            recording |= {"mask_start_seconds": starts, "mask_end_seconds": ends}
        make = _call(edit_pipe, request, recording | (settings or {}))
        yield cached(make, cache and cache / f"{request.name}.wav", edit_pipe.sampling_rate)


def generate_freely(
    pipe: Any, edits: Sequence[Edit], settings: dict[str, Any] | None = None, seed: int = 0, cache: Path | None = None
) -> Iterator[torch.Tensor]:
    r"""
    Generates music with the controls and the noise of edits, but without their recordings. The arguments and results are
    those of [`generate_edits`], with a [`JascoPipeline`].
    """
    for request in _requests(pipe, edits, seed):
        make = _call(pipe, request, settings or {})
        yield cached(make, cache and cache / f"{request.name}.wav", pipe.sampling_rate)


def _inside(edit: Edit) -> list[tuple[float, float]]:
    """The regions within the part of the recording that is given."""
    first, last = edit.span
    return [(start, end) for start, end in edit.regions if first < end and start < last]


def _requests(pipe: Any, edits: Sequence[Edit], seed: int) -> list[GenerationRequest]:
    inputs = ("text", *(control for control in CONTROLS if control in pipe.transformer.controls))
    return make_requests([edit.target for edit in edits], np.arange(len(edits)), inputs, {}, seed)


def _call(pipe: Any, request: GenerationRequest, arguments: dict[str, Any]) -> Callable[[], torch.Tensor]:
    controls = {name: value for name, value in request.controls.items() if value is not None}

    def make() -> torch.Tensor:
        audio = pipe(
            request.prompt,
            **controls,
            bpm=None if "beats" in controls else False,
            duration=request.duration,
            generator=torch.Generator().manual_seed(request.seed),
            **arguments,
        ).audios[0]
        return audio.float().mean(dim=0, keepdim=True).cpu()

    return make


def cached(make: Callable[[], torch.Tensor], path: Path | None, rate: int) -> torch.Tensor:
    if path is None:
        return make()
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as partial:
            soundfile.write(partial, make().T.numpy(), rate, subtype="FLOAT", format="WAV")
    return load_audio(path)[0]


def evaluate_edits(
    pipe: Any,
    edit_pipe: Any,
    edits: Sequence[Edit],
    settings: dict[str, Any] | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: bool = False,
    min_clips: int = MIN_CLIPS,
) -> dict[str, Any]:
    r"""
    Makes edits and measures them.

    Args:
        pipe ([`JascoPipeline`]), edit_pipe ([`JascoInpaintPipeline`]): the pipelines.
        edits (`Sequence[Edit]`): as [`~evaluation.edit_plans.plan_edits`] returns them, of recordings of equal length at
            the pipelines' sampling rate.
        settings (`dict`, *optional*): further arguments of both pipelines, such as `num_inference_steps`.
        seed (`int`, defaults to `0`): random seed of noise, floors and intervals.
        cache (`Path`, *optional*): folder for the music, in the folders `edits` and `free`.
        progress (`bool`, defaults to `False`): whether to show progress bars.
        min_clips (`int`, defaults to `20`): minimum number of edits with a new control.

    Returns:
        `dict`, ready for JSON. Intervals (`low`, `high`) are 95% bootstrap intervals over edits.

        - `num_edits`, `kinds` (their numbers) and `regions` of each edit
        - `outside`: the largest difference of samples outside the regions, of the tensor (`"edits"`) and of what
          [`~audio.paste`] makes of it (`"pasted"`)
        - `adherence`: as [`compare_adherence`] returns it
        - `seams`: for `"recordings"` at the same places, `"codec"` (their own music through the codec in the regions),
          `"free"`, `"edits"` and `"pasted"`, as [`measure_seams`] returns it
        - `levels`: for `"edits"` and `"pasted"`, as [`measure_levels`] returns it
    """

    def progressing(audios: Iterator[torch.Tensor], name: str) -> list[torch.Tensor]:
        return list(tqdm(audios, desc=name, unit="clip", total=len(edits), disable=not progress))

    edited = progressing(generate_edits(edit_pipe, edits, settings, seed, cache and cache / "edits"), "edits")
    free = progressing(generate_freely(pipe, edits, settings, seed, cache and cache / "free"), "free")
    recordings = [edit.recording["audio"] for edit in edits]
    rate = pipe.sampling_rate
    results = {"edits": edited, "pasted": [_paste(edit, audio, rate) for edit, audio in zip(edits, edited)]}
    others = {"recordings": recordings, "codec": _through_codec(pipe, edits), "free": free}
    kinds = [edit.kind for edit in edits]
    return {
        "num_edits": len(edits),
        "min_clips": min_clips,
        "kinds": {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        "regions": [{"kind": edit.kind, "regions": edit.regions, "new": edit.new} for edit in edits],
        "outside": {
            name: max(
                preservation((audio, rate), (recording, rate), edit.regions)
                for audio, recording, edit in zip(audios, recordings, edits)
            )
            for name, audios in results.items()
        },
        "adherence": compare_adherence(edited, free, edits, rate, seed=seed, min_clips=min_clips),
        "seams": {name: measure_seams(audios, edits, pipe.codec, seed) for name, audios in (others | results).items()},
        "levels": {name: measure_levels(audios, edits, rate, seed) for name, audios in results.items()},
    }


def _paste(edit: Edit, audio: torch.Tensor, rate: int) -> torch.Tensor:
    result = paste((edit.audio, rate), audio, rate, _inside(edit), audio_start_seconds=edit.span[0])
    assert isinstance(result, tuple)  # no file is written
    return result[0]


def _through_codec(pipe: Any, edits: Sequence[Edit]) -> list[torch.Tensor]:
    """Recordings with the codec's round trip in the regions."""
    rate, rows = pipe.sampling_rate, []
    for edit, decoded in zip(edits, reconstruct(pipe, [edit.recording for edit in edits], 1)):
        recording = edit.recording["audio"]
        first, last = (round(limit * rate) for limit in edit.span)
        known = mark_known(list(edit.regions), first, last, recording.shape[-1], rate)
        rows.append(splice(decoded, recording, known, 0, recording.shape[-1], rate))
    return rows


def compare_adherence(
    edited: Audios,
    free: Audios,
    edits: Sequence[Edit],
    rate: int,
    estimators: Sequence[Estimator] | None = None,
    seed: int = 0,
    min_clips: int = MIN_CLIPS,
) -> list[Row]:
    r"""
    How well edits follow new controls in their regions, relative to music that was generated freely with the same
    controls: (score − floor) of the edits ÷ (score − floor) of the free music. The scores are means over windows of 4 s in
    the regions. The floor is the score of other recordings, the ceiling that of the recordings with their own controls,
    in the same windows. The ratio is ours.

    Args:
        edited, free (`Sequence[torch.Tensor]`, each of shape `(1, samples)`): music with and without the recordings.
        edits (`Sequence[Edit]`): the edits.
        rate (`int`): sampling rate of the music in Hz.
        estimators (`Sequence[Estimator]`, *optional*): by default [`edit_estimators`].
        seed (`int`, defaults to `0`), min_clips (`int`, defaults to `20`): as in [`evaluate_edits`].

    Returns:
        `list[dict]`: as [`relative_adherence`] returns it. `baseline` is the score of the free music.
    """
    estimators = edit_estimators() if estimators is None else estimators
    windows = [_windows(edit) for edit in edits]
    owners = [index for index, starts in enumerate(windows) for _ in starts]
    places = [(index, start) for index, starts in enumerate(windows) for start in starts]
    recordings = [edit.recording["audio"] for edit in edits]

    def cut(audios: Audios, controls: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        items = [item | {"audio": audio, "sampling_rate": rate} for audio, item in zip(audios, controls, strict=True)]
        return [cut_item(items[index], start, MIN_REGION) for index, start in places]

    own, targets = ([getattr(edit, name) for edit in edits] for name in ("recording", "target"))

    def estimate(audios: Audios) -> list[list[Any]]:
        return analyze(((item["audio"], rate) for item in cut(audios, own)), estimators)

    requested, references = cut(recordings, targets), estimate(recordings)
    scores = {
        "score": score(estimate(edited), requested, estimators),
        "baseline": score(estimate(free), requested, estimators),
        "floor": score_floor(references, requested, seed, estimators=estimators),
        "ceiling": score(references, cut(recordings, own), estimators),
    }
    for columns in scores.values():
        for (name, metric), values in columns.items():
            control = next(estimator.control for estimator in estimators if estimator.name == name)
            is_new = np.array([control in edit.new for edit in edits])
            columns[name, metric] = np.where(is_new, _mean_by_owner(values, owners, len(edits)), math.nan)
    return relative_adherence(scores, estimators, seed, min_clips)


def _windows(edit: Edit) -> list[float]:
    """Starts of windows of 4 s that fill the regions, if they have new controls."""
    return [
        start + MIN_REGION * number
        for start, end in edit.regions
        for number in range(int((end - start + 1e-3) / MIN_REGION))
        if edit.new
    ]


def _mean_by_owner(values: np.ndarray, owners: Sequence[int], count: int) -> np.ndarray:
    """The mean over the windows of each edit, ignoring NaN."""
    rows: list[list[float]] = [[] for _ in range(count)]
    for value, owner in zip(values, owners, strict=True):
        if not math.isnan(value):
            rows[owner].append(value)
    return np.array([np.mean(row) if row else math.nan for row in rows])


def relative_adherence(
    scores: dict[str, dict[Metric, np.ndarray]],
    estimators: Sequence[Estimator],
    seed: int = 0,
    min_clips: int = MIN_CLIPS,
) -> list[Row]:
    r"""
    A of some music ÷ A of other music with the same controls: (score − floor) ÷ (baseline − floor).

    Args:
        scores (`dict`): `"score"`, `"baseline"`, `"floor"` and `"ceiling"`, each as [`~evaluation.adherence.score`] returns
            them, NaN for clips that are ignored.
        estimators (`Sequence[Estimator]`): the estimators.
        seed (`int`, defaults to `0`): random seed of the bootstrap.
        min_clips (`int`, defaults to `20`): minimum number of clips for a ratio.

    Returns:
        `list[dict]`: for each of `METRICS` of each estimator, `control`, `metric`, `estimator`, `num_clips`, `min_clips`, the
        mean `score`, `baseline`, `floor` and `ceiling`, `value` (the ratio) with its 95% interval `low` and `high`, and
        `counts`: whether there are enough clips, and the estimator is reliable on the reference clips.
    """
    rows = []
    for estimator in estimators:
        for metric in (metric for metric in estimator.metrics if metric in METRICS):
            clips = np.stack([columns[estimator.name, metric] for columns in scores.values()])
            clips = clips[:, ~np.isnan(clips).any(axis=0)]
            num_clips = clips.shape[1]
            row: Row = {"control": estimator.control, "metric": metric, "estimator": estimator.name}
            row |= {"num_clips": num_clips, "min_clips": min_clips}
            means = dict.fromkeys(scores, math.nan)
            value, bounds = math.nan, (math.nan, math.nan)
            if num_clips >= min_clips:
                draws = np.random.default_rng(seed).integers(num_clips, size=(NUM_RESAMPLES, num_clips))
                means = dict(zip(scores, map(float, clips.mean(axis=1))))
                value = float(_ratio(**means))
                bounds = interval(_ratio(**dict(zip(scores, clips[:, draws].mean(axis=-1)))))
            counts = num_clips >= min_clips and means["ceiling"] >= estimator.min_ceiling
            rows.append(row | means | {"value": value, "low": bounds[0], "high": bounds[1], "counts": counts})
    return rows


def _ratio(score: Any, baseline: Any, floor: Any, ceiling: Any) -> np.ndarray:
    return to_ratio(np.asarray(score), np.asarray(floor), np.asarray(baseline))


def worst_rows(rows: Sequence[Row]) -> list[Row]:
    """For each control and metric, the row with the lowest ratio among those that count."""
    chosen: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row["control"], row["metric"]
        if row["counts"] and (key not in chosen or row["value"] < chosen[key]["value"]):
            chosen[key] = row
    return list(chosen.values())


def measure_seams(audios: Audios, edits: Sequence[Edit], codec: Any, seed: int = 0) -> dict[str, Row]:
    r"""
    Seams at the borders of edits, as [`~evaluation.metrics.seams`] defines them, on latents that are encoded from the
    audio.

    Args:
        audios (`Sequence[torch.Tensor]`, each of shape `(1, samples)`): music at the codec's rate.
        edits (`Sequence[Edit]`): the edits.
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]): the codec.
        seed (`int`, defaults to `0`): random seed of the intervals.

    Returns:
        `dict`: `"V"` and `"W"`, the medians over edits of [`~evaluation.metrics.seams.seam_ratio`] where old and new music
        cross-fade, against the same metrical positions elsewhere; and `"auc"`, from
        [`~evaluation.metrics.seams.detect_seams`]. Borders at beats are compared with other beats. Each has `value`, `low`
        and `high`.
    """
    rate, hop = codec.config.sampling_rate, codec.config.hop_length
    ratios, features, borders, candidates = [], [], [], []
    for audio, edit in zip(audios, edits, strict=True):
        duration = edit.recording["duration"]
        fades = [(start, start + FADE) for start, _ in edit.regions if start > 0]
        fades += [(end - FADE, end) for _, end in edit.regions if end < duration]
        downbeats = edit.recording["downbeats"] if len(edit.recording["downbeats"]) > 1 else ()
        ratios.append(seam_ratio(encode(codec, audio[None])[0], fades, rate / hop, downbeats))
        features.append(seam_features((audio, rate), codec))
        borders.append(edit.borders)
        candidates.append(edit.recording["beats"] if edit.kind != "same" else None)
    rows = {name: _median([ratio[name] for ratio in ratios], seed) for name in ("V", "W")}
    found = detect_seams(features, borders, rate / hop, candidates, seed)
    return rows | {"auc": {"value": found.auc, "low": found.low, "high": found.high}}


def _median(values: Sequence[float], seed: int) -> Row:
    array = np.array(values)
    array = array[~np.isnan(array)]
    if not len(array):
        return {"value": math.nan, "low": math.nan, "high": math.nan}
    draws = np.random.default_rng(seed).choice(array, (NUM_RESAMPLES, len(array)))
    low, high = interval(np.median(draws, axis=1))
    return {"value": float(np.median(array)), "low": low, "high": high}


def mean_row(values: Sequence[float], seed: int) -> Row:
    array = np.array(values)
    draws = np.random.default_rng(seed).choice(array, (NUM_RESAMPLES, len(array))).mean(axis=1)
    low, high = interval(draws)
    return {"value": float(array.mean()), "low": low, "high": high}


def measure_levels(audios: Audios, edits: Sequence[Edit], rate: int, seed: int = 0) -> dict[str, Row]:
    r"""
    Levels in octave bands inside the regions against their surroundings, minus those of the recordings, as
    [`~evaluation.metrics.edits.inside_against_surroundings`] measures them, for edits of the kind `"same"`.

    Args:
        audios (`Sequence[torch.Tensor]`, each of shape `(1, samples)`): the edited music.
        edits (`Sequence[Edit]`): the edits.
        rate (`int`): sampling rate of the music in Hz.
        seed (`int`, defaults to `0`): random seed of the intervals.

    Returns:
        `dict`: for each band in dB, the mean over edits as `value`, with `low` and `high`; the mean without sign as
        `size`; and that of the recordings themselves, whose levels change as well, as `own_size`.
    """
    rows, own = [], []
    for audio, edit in zip(audios, edits, strict=True):
        if edit.kind == "same":
            recording = edit.recording["audio"], rate
            rows.append(inside_against_surroundings((audio, rate), edit.regions, recording)["bands"])
            own.append(inside_against_surroundings(recording, edit.regions)["bands"])
    return {
        band: mean_row([row[band] for row in rows], seed)
        | {"size": float(np.mean([abs(row[band]) for row in rows]))}
        | {"own_size": float(np.mean([abs(row[band]) for row in own]))}
        for band in (rows[0] if rows else ())
    }


def evaluate_strengths(
    vary_pipe: Any,
    items: Sequence[dict[str, Any]],
    strengths: Sequence[float] = STRENGTHS,
    settings: dict[str, Any] | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: bool = False,
    min_clips: int = MIN_CLIPS,
) -> dict[str, Any]:
    r"""
    Makes variations of recordings with the caption of another recording, without controls, and measures how far they are
    from their recordings.

    Args:
        vary_pipe ([`JascoAudioToAudioPipeline`]): the pipeline.
        items (`Sequence[dict]`): at least 2 recordings at the pipeline's sampling rate.
        strengths (`Sequence[float]`, defaults to `STRENGTHS`): increasing strengths in (0, 1].
        settings, seed, cache, progress, min_clips: as in [`evaluate_edits`]. The noise is the same for all strengths.

    Returns:
        `dict`, ready for JSON:

        - `num_clips`
        - `variation`: for each strength, the mean of each measure of
          [`~evaluation.metrics.edits.measure_variation`] as `value`, with `low` and `high`
        - `monotone`: for each measure, the share of steps from a strength to the next one in the right direction
        - `aspects`: for each strength, A against the recording's controls ÷ that of the codec's round trip, as
          [`relative_adherence`] returns it
    """
    rate = vary_pipe.sampling_rate
    estimators = edit_estimators()
    requests = make_requests(items, np.arange(len(items)), ("text",), {}, seed)
    captions = [items[index]["caption"] for index in derangements(len(items), 1, seed)[0]]
    recordings = [(item["audio"], rate) for item in items]
    estimates = analyze(recordings, estimators)
    bounds = {"floor": score_floor(estimates, items, seed, estimators=estimators)}
    bounds["ceiling"] = score(estimates, items, estimators)
    round_trips = ((audio, rate) for audio in reconstruct(vary_pipe, items, 1))
    baseline = score(analyze(round_trips, estimators), items, estimators)
    measured, aspects = [], {}
    for strength in tqdm(strengths, "strengths", disable=not progress):
        variations = []
        for request, caption, recording in zip(requests, captions, recordings):
            arguments = {"audio": recording, "strength": strength} | (settings or {})
            make = _call(vary_pipe, dataclasses.replace(request, prompt=caption), arguments)
            path = cache and cache / f"strength {strength:g}" / f"{request.name}.wav"
            variations.append((cached(make, path, rate), rate))
        measured.append([measure_variation(*pair) for pair in zip(variations, recordings)])
        scores = {"score": score(analyze(variations, estimators), items, estimators), "baseline": baseline}
        aspects[f"{strength:g}"] = relative_adherence(scores | bounds, estimators, seed, min_clips)
    # (measures, strengths, clips)
    values = np.array([[[row[name] for row in rows] for rows in measured] for name in VARIATION])
    return {
        "num_clips": len(items),
        "variation": {
            f"{strength:g}": {name: mean_row(values[i, j], seed) for i, name in enumerate(VARIATION)}
            for j, strength in enumerate(strengths)
        },
        "monotone": {
            name: _share(sign * np.diff(values[i], axis=0)) for i, (name, sign) in enumerate(VARIATION.items())
        },
        "aspects": aspects,
    }


def _share(steps: np.ndarray) -> float:
    """The share of steps that are not negative, ignoring NaN."""
    steps = steps[~np.isnan(steps)]
    return float((steps >= 0).mean()) if steps.size else math.nan


def write_edits(result: dict[str, Any]) -> str:
    r"""
    Args:
        result (`dict`): as [`evaluate_edits`] returns it.

    Returns:
        `str`: Markdown tables of the measures next to the goals.
    """
    kinds = ", ".join(f"{count} {kind}" for kind, count in result["kinds"].items())
    lines = [f"{result['num_edits']} edits: {kinds}.", ""]
    lines += ["| measure | value | 95% | goal | never |", "| --- " * 5 + "|"]
    titles = {"edits": "tensor", "pasted": "after `paste`"}
    for name, value in result["outside"].items():
        lines.append(
            f"| largest difference of samples outside the regions, {titles[name]} | {value:g} | | 0 | above 0 |"
        )
    for row in worst_rows(result["adherence"]):
        name = f"A of new {row['control']} ÷ free: {row['metric']} ({row['estimator']}, {row['num_clips']} edits)"
        lines.append(f"| {name} | {cells(row)} | ≥ 0.95 | below 0.9 |")
    for kind, title in titles.items():
        for name in ("V", "W"):
            row = result["seams"][kind][name]
            lines.append(f"| seams, {title}: {name} | {cells(row)} | 0.8–1.25 | outside 0.7–1.5 |")
    lines += ["", "| seams | V | 95% | W | 95% | AUC | 95% |", "| --- " * 7 + "|"]
    titles = {"recordings": "untouched recordings", "codec": "their own music through the codec", "free": "free music"}
    titles |= {"edits": "edits", "pasted": "edits after `paste`"}
    for name, title in titles.items():
        lines.append(f"| {title} | {' | '.join(cells(result['seams'][name][key]) for key in ('V', 'W', 'auc'))} |")
    head = ["band", "edits", "95%", "size", "after `paste`", "95%", "size", "recordings: size"]
    lines += ["", f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for band, row in result["levels"]["edits"].items():
        columns = [f"{cells(it, ' dB')} | {it['size']:.1f} dB" for it in (row, result["levels"]["pasted"][band])]
        lines.append(f"| {band} | {' | '.join(columns)} | {row['own_size']:.1f} dB |")
    lines += ["", *list_adherence(result["adherence"], "free")]
    return "\n".join(lines)


def write_strengths(result: dict[str, Any]) -> str:
    r"""
    Args:
        result (`dict`): as [`evaluate_strengths`] returns it.

    Returns:
        `str`: Markdown tables.
    """
    lines = [f"{result['num_clips']} recordings.", ""]
    lines += ["| strength | log mel | 95% | chroma | 95% | onsets | 95% |", "| --- " * 7 + "|"]
    for strength, row in result["variation"].items():
        lines.append(f"| {strength} | {' | '.join(cells(row[name]) for name in VARIATION)} |")
    steps = " | ".join(f"{result['monotone'][name]:.2f} |" for name in VARIATION)
    lines.append(f"| *share of steps in the right direction* | {steps}")
    metrics = dict.fromkeys((row["control"], row["metric"]) for rows in result["aspects"].values() for row in rows)
    lines += ["", f"| A ÷ codec | {' | '.join(result['aspects'])} |", "| --- " * (1 + len(result["aspects"])) + "|"]
    for control, metric in metrics:
        columns = []
        for rows in result["aspects"].values():
            found = [row for row in worst_rows(rows) if (row["control"], row["metric"]) == (control, metric)]
            columns.append(
                f"{found[0]['value']:z.2f} ({found[0]['low']:z.2f} … {found[0]['high']:z.2f})" if found else ""
            )
        if any(columns):
            lines.append(f"| {control}: {metric} | {' | '.join(columns)} |")
    return "\n".join(lines)


def list_adherence(rows: Sequence[Row], baseline: str) -> list[str]:
    """All estimators; the reported ratios are bold."""
    head = ["control", "metric", "estimator", "clips", "score", baseline, "floor", "ceiling", "ratio", "95%"]
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    reported = worst_rows(rows)
    for row in rows:
        scores = " | ".join(f"{row[name]:.3f}" for name in ("score", "baseline", "floor", "ceiling"))
        value = f"{row['value']:z.2f}" if row["counts"] else f"({row['value']:z.2f})"
        cells = [row["control"], row["metric"], row["estimator"], str(row["num_clips"]), scores]
        cells += [f"**{value}**" if row in reported else value, f"{row['low']:z.2f} … {row['high']:z.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def cells(row: Row, unit: str = "") -> str:
    return f"{row['value']:z.2f}{unit} | {row['low']:z.2f} … {row['high']:z.2f}"
