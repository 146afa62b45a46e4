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

"""Tables of the benchmark's scores."""

import math
from collections.abc import Sequence
from typing import Any

from ...data.synthetic.music import GENERATOR_VERSION
from ..metrics.sample_sizes import describe_shortage
from .judges import ALL_JUDGES, EDIT_JUDGES, JUDGES
from .overlap import NUM_CHORDS, NUM_NOTES, TRAINING_MUSIC, TRAINING_VERSIONS
from .scoring import MIN_EDITS, SystemResult, list_metrics


COLUMNS = {
    ("chords", "root"): "chord roots",
    ("chords", "majmin"): "majmin",
    ("chords", "tetrads"): "tetrads",
    ("chords", "iou"): "IoU",
    ("melody", "pitch"): "raw pitch",
    ("melody", "chroma"): "raw chroma",
    ("drums", "onset_f1"): "onsets, 50 ms",
    ("drums", "onset_f1_70ms"): "onsets, 70 ms",
    ("beats", "beat_f1"): "beats",
    ("beats", "acc1"): "tempo Acc1",
    ("beats", "acc2"): "tempo Acc2",
    ("chords", "key"): "key",
    ("drift", "in_time"): "in time",
}

# Papers, the metrics that they report, their judges, and the closest metric of the benchmark.
PROTOCOLS = (
    ("MusiConGen", "chord majmin", "BTC", "chord extractor/majmin"),
    ("MusiConGen", "chord triads", "BTC", "chord extractor/triads"),
    ("MusiConGen", "chord tetrads", "BTC", "chord extractor/tetrads"),
    ("MusiConGen", "beat F1 (70 ms)", "madmom", "beat extractor/beat_f1"),
    ("MuseControlLite", "melody accuracy", "see the paper", "melody extractor/chroma"),
    ("MuseControlLite", "rhythm F1", "see the paper", "beat extractor/beat_f1"),
    ("YuE2", "target chord agreement", "SheetSage2-AR", "chord extractor/majmin"),
    ("YuE2", "target pitch accuracy", "SheetSage2-Prober", "melody extractor/pitch"),
    ("YuE2", "weighted key score", "SheetSage2-Prober", "key extractor/key"),
    ("YuE2", "tempo Acc2", "madmom", "beat extractor/acc2"),
)


def write_report(systems: Sequence[SystemResult], references: Sequence[SystemResult], about: dict[str, Any]) -> str:
    r"""
    Writes all tables.

    Args:
        systems (`Sequence[SystemResult]`): results of [`~evaluation.benchmark.scoring.score_folder`].
        references (`Sequence[SystemResult]`): those of [`~evaluation.benchmark.scoring.reference_rows`].
        about (`dict`): that of [`~evaluation.benchmark.scoring.describe_set`].

    Returns:
        `str`: Markdown.
    """
    rendering = about["rendering"]
    font = f" with {rendering['soundfont']}" if "soundfont" in rendering else ""
    intro = (
        f"Songs of {about['version']} (SHA-256 `{about['sha256'][:16]}…`): {len(about['songs'])}."
        f" The rendered truth: {rendering['renderer']}{font}; drums by the drum machine."
    )
    parts = ["# Adherence benchmark", intro]
    if problems := [f"- {system.name}: {problem}" for system in systems for problem in system.problems]:
        parts += ["## Files", "\n".join(problems)]
    rows = [*references, *systems]
    parts += ["## Adherence", _write_adherence(rows), _write_intervals(systems)]
    parts += ["## Scores by judge", _write_scores(rows)]
    parts += ["## In the words of papers", _write_protocols(rows), "## Drift", _write_drift(rows)]
    if any(system.edits for system in systems):
        parts += ["## Edits", _write_edits(systems)]
    parts += ["## Judges", write_judges()]
    return "\n\n".join(parts) + "\n"


def write_judges() -> str:
    """Tables of the judges of each metric, and of the method and training of each judge."""
    metrics = {
        COLUMNS.get((control, metric), metric): [
            judge.name for judge in ALL_JUDGES if judge.control == control and metric in judge.metrics
        ]
        for control, metric in list_metrics()
    }
    metrics["new chords of edits"] = [judge.name for judge in EDIT_JUDGES]
    rows = [
        [
            metric,
            ", ".join(judge for judge in judges if judge not in TRAINING_MUSIC),
            ", ".join(judge for judge in judges if judge in TRAINING_MUSIC),
        ]
        for metric, judges in metrics.items()
    ]
    rows.append(["audio outside of edits", "none: compared with the recording", ""])
    by_metric = _table(["metric", "judges without training", "trained judges"], rows)
    by_judge = _table(["judge", "method", "trained on"], [[name, *texts] for name, texts in JUDGES.items()])
    return f"{by_metric}\n\n{by_judge}"


def write_overlap(overlap: dict[str, dict[str, tuple[int, int]]]) -> str:
    """Table of [`~evaluation.benchmark.overlap.check_training`], or of the overlap with other music by its name."""
    rows = []
    for name, counts in overlap.items():
        version = TRAINING_VERSIONS.get(name)
        note = "" if version in (None, GENERATOR_VERSION) else f", counted in that of {GENERATOR_VERSION}"
        rows.append([name, f"{version or ''}{note}", *(f"{found} of {total}" for found, total in counts.values())])
    head = [
        "training music",
        "version",
        f"melodies of {NUM_NOTES} notes",
        f"progressions of {NUM_CHORDS} chords",
    ]
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _with_interval(value: float, low: float, high: float, digits: int = 2) -> str:
    if math.isnan(value):
        return ""
    return f"{value:z.{digits}f} ({low:z.{digits}f} … {high:z.{digits}f})"


def _write_adherence(rows: Sequence[SystemResult]) -> str:
    """A of the lowest judge that counts, one system per row."""
    lines = []
    for system in rows:
        reported = system.reported
        values = [reported[metric].value if metric in reported else math.nan for metric in COLUMNS]
        lines.append([system.name, str(len(system.songs)), *("" if math.isnan(v) else f"{v:z.2f}" for v in values)])
    return _table(["A", "songs", *COLUMNS.values()], lines)


def _write_intervals(systems: Sequence[SystemResult]) -> str:
    """A of the lowest judge that counts, with its interval and its judge, one metric per row."""
    lines = []
    for metric, name in COLUMNS.items():
        cells = []
        for system in systems:
            row = system.reported.get(metric)
            others = [other for other in system.adherence if (other.control, other.metric) == metric]
            if row is not None:
                cells += [_with_interval(row.value, row.low, row.high), row.estimator]
            elif others and others[0].num_clips < others[0].min_clips:
                cells += [describe_shortage(others[0].num_clips, others[0].min_clips), ""]
            else:
                cells += ["", ""]
        lines.append([name, *cells])
    return _table(["A", *(text for system in systems for text in (system.name, "judge"))], lines)


def _write_scores(rows: Sequence[SystemResult]) -> str:
    """Mean scores of all judges. Those of judges that do not count are in parentheses."""
    ceilings = {(row.estimator, row.metric): row for row in rows[0].adherence}
    lines = []
    for control, metric in list_metrics():
        for judge in ALL_JUDGES:
            if judge.control != control or metric not in judge.metrics:
                continue
            key = f"{judge.name}/{metric}"
            row = ceilings.get((judge.name, metric))
            is_weak = row is not None and row.num_clips >= row.min_clips and not row.counts
            cells = [_with_interval(*system.raw.get(key, (math.nan,) * 3)) for system in rows]
            lines.append([control, metric, f"({judge.name})" if is_weak else judge.name, *cells])
    return _table(["control", "metric", "judge", *(system.name for system in rows)], lines)


def _write_protocols(rows: Sequence[SystemResult]) -> str:
    lines = [
        [paper, name, theirs, key.replace("/", ": "), *(_percent(system.raw.get(key)) for system in rows)]
        for paper, name, theirs, key in PROTOCOLS
    ]
    return _table(["paper", "metric", "its judge", "judge here", *(system.name for system in rows)], lines)


def _percent(score: tuple[float, float, float] | None) -> str:
    return "" if score is None or math.isnan(score[0]) else f"{100 * score[0]:.1f}"


def _write_drift(rows: Sequence[SystemResult]) -> str:
    lines = []
    for system in rows:
        if not (drift := system.drift):
            continue
        parts = [_share(value) for value in drift["in_time_after"].values()]
        numbers = [_number(drift["lag"], "ms"), _number(drift["slope"], "ms/min")]
        lines.append([system.name, str(drift["num_windows"]), _share(drift["in_time"]), *parts, *numbers])
    head = ["", "windows of 10 s", "in time", "0–30 s", "30–60 s", "after 60 s", "median lag", "median slope"]
    return _table(head, lines)


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.0%}"


def _number(value: float, unit: str) -> str:
    return "" if math.isnan(value) else f"{value:.1f} {unit}"


def _write_edits(systems: Sequence[SystemResult]) -> str:
    lines = []
    for system in systems:
        edits = system.edits
        if not edits.get("num_edits"):
            continue
        outside = [_with_interval(*edits[key], 1) for key in ("snr", "log_mel")]
        outside += [_with_interval(*edits[key]) for key in ("chroma", "onsets")]
        inside = []
        for metric in ("root", "majmin"):
            row = next((row for row in edits["reported"] if row["metric"] == metric), None)
            short = describe_shortage(edits["num_edits"], MIN_EDITS) if edits["num_edits"] < MIN_EDITS else ""
            inside.append(short if row is None else _with_interval(row["value"], row["low"], row["high"]))
        exact = f"{edits['num_exact']} of {edits['num_edits']}"
        lines.append([system.name, exact, *outside, *inside])
    head = ["", "exact outside", "SNR outside (dB)", "log-mel distance (dB)", "chroma", "onsets"]
    return _table([*head, "A: new chord roots", "A: new majmin"], lines)
