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

"""Markdown reports of an evaluation."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .adherence import Adherence, to_markdown
from .estimators.caption_probe import QUESTIONS
from .metrics.chord_qualities import FAMILIES, FAMILY_METRICS
from .metrics.sample_sizes import describe_shortage
from .metrics.sound import OCTAVE_BANDS
from .sampling import METRICS, describe_guidance


Result = dict[str, Any]  # as `evaluate_pipeline` returns it
Metric = tuple[str, str]  # control and metric

# Scores of `compare_form`, and means over clips with their formats.
FORM_SCORES = {
    "beat_strength": "beat strength: A",
    "above_p10": "beat strength above the references' 10th percentile",
    "harmony": "harmony: A",
    "triads_in_range": "distinct triads within the references' 10–90%",
    "changes_on_beats": "chord changes on beats: A",
}
FORM_MEANS = {
    "beat_strength": ("beat strength", "{:z.2f}"),
    "rise": ("level rise at beats", "{:z.1f} dB"),
    "harmony": ("harmony", "{:.3f}"),
    "distinct_triads": ("distinct triads in 10 s", "{:.1f}"),
    "chord_changes": ("chord changes", "{:.1f}"),
}


def list_metrics(result: Result) -> list[Metric]:
    """The reported metrics in a fixed order, except those of single chord families."""
    metrics = {
        (row["control"], row["metric"]): None
        for condition in result["conditions"].values()
        for row in condition["reported"]
        if row["metric"] not in FAMILY_METRICS
    }
    return list(metrics)


def find_row(condition: dict[str, Any], metric: Metric) -> dict[str, Any] | None:
    """The reported row of a metric under one set of conditions."""
    return next((row for row in condition["reported"] if (row["control"], row["metric"]) == metric), None)


def write_summary(results: dict[str, Result]) -> str:
    r"""
    Args:
        results (`dict`): results of [`~evaluation.evaluate.evaluate_pipeline`] by the name of the clips, such as
            `"references"` and `"handwritten"`.

    Returns:
        `str`: tables of A by metric and condition, of caption adherence, of A by chord family, and of sound quality.
    """
    parts = []
    for name, result in results.items():
        parts += [f"## {name}: {result['num_clips']} clips"]
        if adherence := _write_adherence(result):
            parts += [f"### {name}: A", adherence]
        if captions := _write_captions(result):
            parts += [f"### {name}: captions", captions]
        parts += [f"### {name}: form", _write_form(result)]
        if tempo := _write_tempo(result):
            parts += [f"### {name}: tempo in captions", tempo]
        if families := _write_families(result):
            parts += [f"### {name}: chords by family", families]
        parts += [f"### {name}: sound", _write_sound(result)]
    return "\n\n".join(part for part in parts if part) + "\n"


def write_scores(results: dict[str, Result]) -> str:
    """Every metric of every estimator, one table per set of conditions."""
    parts = []
    for name, result in results.items():
        for condition, values in result["conditions"].items():
            if not values["adherence"]:
                continue
            parts += [f"## {name}: {condition}", _write_scores(values, result)]
    return "\n\n".join(parts) + "\n"


def write_samplers(points: Sequence[dict[str, Any]]) -> str:
    r"""
    Args:
        points (`Sequence[dict]`): as [`~evaluation.sampling.SamplerEvaluator.evaluate`] returns them, with the same
            measures in all of them.

    Returns:
        `str`: a table, one sampler per row.
    """
    rows = [_describe_sampler(point) for point in points]
    return _table(list(rows[0]), [list(row.values()) for row in rows]) + "\n"


def _describe_sampler(point: dict[str, Any]) -> dict[str, str]:
    row = {
        "scheduler": point["scheduler"],
        "steps": str(point["steps"] or "adaptive"),
        "powers": f"{point['power']:g}, {point['end_power']:g}" if point["steps"] else "",
        "guidance": describe_guidance(point["guidance"]),
        "evaluations": f"{point['evaluations']:g}",
        "forward passes": f"{point['forward_passes']:g}",
    }
    if "latent_error" in point:
        row["latent error"] = f"{point['latent_error']:.2%}"
        row["… from the default guidance"] = f"{point['default_error']:.2%}"
    if "adherence" in point:
        row |= {f"A: {name}": _interval(point["adherence"].get(name)) for name in METRICS}
        row |= {
            "mean A": _format("{:.3f}", point["mean_adherence"]),
            "A: beat strength": _interval(point["form"]["beat_strength"]),
            "A: harmony": _interval(point["form"]["harmony"]),
            "captions": _format("{:.2f}", point["mean_captions"]),
        }
        row |= {
            f"… {question}": _format("{:z.2f}", point["captions"].get(question, {}).get("value"))
            for question in QUESTIONS
        }
        row |= {
            "kernel distance": _format(
                "{:.3f} ({:.3f} … {:.3f})", *(point[key] for key in ("kernel_distance", "low", "high"))
            ),
            "worst octave band": _format("{:+.1f} dB", point["band_difference"]) + f" ({point['worst_band']})",
            "loudness": _format("{:.1f} LUFS", point["loudness"])
            + _format(" ({:+.1f})", point["loudness_difference"]),
            "drums to rest": _format("{:+.1f} dB", point["drum_level_difference"]),
            "harmonic to noise": _format("{:.1f} dB", point["harmonic_to_noise"]),
            "rise": _format("{:.1f} dB", point["rise"]),
            "s per s": f"{point['seconds_per_second']:.2f}",
        }
    return row


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _format(form: str, *values: float | None) -> str:
    """An empty string if any value is missing."""
    return "" if any(value is None or math.isnan(value) for value in values) else form.format(*values)


def _interval(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    if "min_clips" in row and row["num_clips"] < row["min_clips"]:
        return describe_shortage(row["num_clips"], row["min_clips"])
    return _format("{:z.2f} ({:z.2f} … {:z.2f})", row["value"], row["low"], row["high"])


def _find_short_row(condition: dict[str, Any], metric: Metric) -> dict[str, Any] | None:
    """A row of a metric that has too few clips."""
    rows = [row for row in condition["adherence"] if (row["control"], row["metric"]) == metric]
    return next((row for row in rows if row["num_clips"] < row["min_clips"]), None)


def _write_adherence(result: Result) -> str:
    """The reported A by metric (rows) and set of conditions (columns)."""
    conditions = result["conditions"].values()
    too_few_clips = {
        (row["control"], row["metric"]): None
        for condition in conditions
        for row in condition["adherence"]
        if row["num_clips"] < row["min_clips"] and row["metric"] not in FAMILY_METRICS
    }
    rows = [
        [" ".join(metric), *(_interval(find_row(c, metric) or _find_short_row(c, metric)) for c in conditions)]
        for metric in dict.fromkeys([*list_metrics(result), *too_few_clips])
    ]
    return _table(["A", *result["conditions"]], rows) if rows else ""


def _write_captions(result: Result) -> str:
    """Caption adherence by attribute (rows) and set of conditions (columns); empty without `"codec"`."""
    by_question: dict[str, dict[str, dict[str, Any]]] = {}
    for name, condition in result["conditions"].items():
        for row in condition.get("captions", ()):
            by_question.setdefault(row["question"], {})[name] = row
    if not by_question:
        return ""
    conditions = [name for name, condition in result["conditions"].items() if "captions" in condition]
    rows = []
    for question, by_condition in by_question.items():
        row = by_condition[conditions[0]]
        scores = (1 / row["num_answers"], row["reference"], row["codec"])
        numbers = [str(row["num_clips"]), *(_format("{:.2f}", score) for score in scores)]
        rows.append([question, *numbers, *(_interval(by_condition[name]) for name in conditions)])
    return _table(["attribute", "clips", "chance", "references", "codec", *conditions], rows)


def _write_families(result: Result) -> str:
    rows = []
    for name, condition in result["conditions"].items():
        for metric in ("tones", "bass"):
            metrics = [("chords", f"{metric}: {family}") for family in FAMILIES]
            cells = [find_row(condition, metric) or _find_short_row(condition, metric) for metric in metrics]
            if any(cells):
                rows.append([name, metric, *map(_value_and_count, cells)])
    return _table(["A (clips)", "", *FAMILIES], rows) if rows else ""


def _value_and_count(row: dict[str, Any] | None) -> str:
    if row is None or row["num_clips"] < row["min_clips"]:
        return _interval(row)
    return f"{row['value']:.2f} ({row['num_clips']})"


def _write_form(result: Result) -> str:
    """Form of the reference clips and under each set of conditions: A of [`compare_form`], and means over clips."""
    conditions = result["conditions"].values()
    rows = [
        [label, "", *(_interval(condition["form_adherence"][name]) for condition in conditions)]
        for name, label in FORM_SCORES.items()
    ]
    for name, (label, form) in FORM_MEANS.items():
        columns = [[clip[name] for clip in part["form"]] for part in (result["references"], *conditions)]
        rows.append([label, *(_format(form, _mean(values)) for values in columns)])
    return _table(["form", "references", *result["conditions"]], rows)


def _write_tempo(result: Result) -> str:
    """Agreement with the tempo that captions request in BPM; empty unless it was measured."""
    rows = [
        [
            estimator,
            str(row["num_clips"]),
            _format("{:.2f} ({:.2f} … {:.2f})", row["acc1"], row["low"], row["high"]),
            *(_format("{:.2f}", row[key]) for key in ("chance_acc1", "acc2", "chance_acc2")),
        ]
        for condition in result["conditions"].values()
        for estimator, row in condition.get("tempo", {}).items()
    ]
    return _table(["estimator", "clips", "Acc1", "chance", "Acc2", "chance"], rows) if rows else ""


def _mean(values: Sequence[float]) -> float:
    """The mean of the values that are not NaN."""
    values = [value for value in values if not math.isnan(value)]
    return float(np.mean(values)) if values else math.nan


def _write_sound(result: Result) -> str:
    """Distances to the reference clips, and sound checks, one measure per row."""
    conditions = {"references": result["references"], **result["conditions"]}
    columns = [_describe_sound(condition, result) for condition in conditions.values()]
    rows = [[name, *(column[name] for column in columns)] for name in columns[0]]
    # Omit empty rows.
    return _table([f"{result['num_clips']} clips", *conditions], [row for row in rows if any(row[1:])])


def _describe_sound(condition: dict[str, Any], result: Result) -> dict[str, str]:
    embedding = result["embedding"]
    checks, against = condition["sound"], condition.get("against_references", {})
    distance, bands = condition.get("distance", {}), against.get("bands", {})

    def mean(key: str) -> float:
        return _mean([check[key] for check in checks])

    def largest(key: str) -> float:
        return max(check[key] for check in checks)

    kernel = [distance.get(key) for key in ("kernel_distance", "low", "high")]
    shortage = describe_shortage(distance["num_clips"], result["min_clips"]) if distance else ""
    worst = against.get("worst_band")
    return {
        f"kernel distance ({embedding})": _format("{:.3f} ({:.3f} … {:.3f})", *kernel) or shortage,
        f"Fréchet distance ({embedding})": _format("{:.2f}", distance.get("frechet_distance")),
        "spectral distance": _format("{:.1f} dB", np.mean(condition.get("spectral_distance", math.nan))),
        "largest peak": _format("{:.2f}", largest("peak")),
        "clipped": _format("{:.2%}", mean("clipped_share")),
        "largest DC": _format("{:.4f}", largest("dc")),
        "silent": _format("{:.1%}", mean("silent_share")),
        "longest silence": _format("{:.2f} s", largest("longest_silence")),
        "loudness": _format("{:.1f} LUFS", mean("loudness")),
        "loudness within the references' 5–95%": _format("{:.0%}", against.get("usual_loudness")),
        "spread of the level": _format("{:.1f} dB", mean("loudness_spread")),
        "harmonic to noise": _format("{:.1f} dB", mean("harmonic_to_noise")),
        "rise at drum onsets": _format("{:.1f} dB", mean("rise")),
        "worst octave band": f"{bands[worst]:+.1f} dB ({worst})" if worst else "",
        **{f"… {band}": _format("{:+.1f} dB", bands.get(band)) for band in OCTAVE_BANDS},
        "seconds per second": _format("{:.2f}", condition.get("seconds_per_second")),
    }


def _write_scores(condition: dict[str, Any], result: Result) -> str:
    """Every metric of every estimator, beside the score of the reference clips through the codec."""
    codec = result["conditions"].get("codec", {}).get("adherence", [])
    through_codec = {(row["estimator"], row["metric"]): row["score"] for row in codec}
    rows = [
        Adherence(**{key: value for key, value in row.items() if key != "counts"}) for row in condition["adherence"]
    ]
    return to_markdown(rows, through_codec)
