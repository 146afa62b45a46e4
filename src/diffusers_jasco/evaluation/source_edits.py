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

"""Evaluates edits of recordings from source controls to target controls: other chords, or another groove."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..controls.chord_labels import NO_CHORD, default_chord_labels
from ..controls.chord_syntax import parse_chord
from .adherence import Metric, analyze, score, score_floor
from .control_estimators import Estimator
from .edit_plans import Edit, fitting_grooves, with_groove
from .edits import cached, edit_estimators, list_adherence, mean_row, relative_adherence, worst_rows
from .evaluate import reconstruct
from .metrics.edits import measure_variation
from .metrics.sample_sizes import MIN_CLIPS


_NO_MELODY = "chords without melody"
STRENGTHS = (0.8, 0.9)
MIN_FIT = 0.7  # share of strong beats on which new chords have to contain the melody

_TRIADS = {
    label: chord
    for label in default_chord_labels()
    if (chord := parse_chord(label)) and chord.intervals in ({0, 3, 7}, {0, 4, 7}) and not chord.bass
}
_SHORTEST = 0.03  # seconds that a note has to sound on a beat


def plan_source_edits(items: Sequence[dict[str, Any]], seed: int = 0) -> list[Edit]:
    r"""
    Plans edits of whole recordings, of three kinds: with [`other_chords`], alternately with and without the melody
    among the sources; and every other recording with a groove of the drum machine in the same tempo. Recordings that
    do not allow an edit are skipped.

    Args:
        items (`Sequence[dict]`): recordings, as [`~evaluation.items.compose_items`] returns them.
        seed (`int`, defaults to `0`): random seed.

    Returns:
        `list[Edit]`: up to two per recording.
    """
    edits: list[Edit] = []
    for index, item in enumerate(items):
        whole = (0.0, item["duration"])
        chords, fit = other_chords(item, seed + index)
        if fit >= MIN_FIT:
            kind = ("chords", _NO_MELODY)[len(edits) % 2]
            edits.append(Edit(kind, item, item | {"chords": chords}, (whole,), ("chords",), whole))
    for index, item in enumerate(items[::2]):
        if fitting_grooves(item):
            region = (item["downbeats"][0], item["duration"])
            target = item | with_groove(item, region, np.random.default_rng([seed, index]))
            edits.append(Edit("drums", item, target, (region,), ("drums",), (0.0, item["duration"])))
    return edits


def other_chords(item: dict[str, Any], seed: int = 0) -> tuple[list[tuple[str, float]], float]:
    r"""
    Chooses other chords for a recording: major and minor triads at the times of its own chords, each with another
    root, that contain as many of the melody's notes on strong beats as possible, and if possible stay in the key.

    Args:
        item (`dict`): a clip with `chords`, `melody`, `beats`, `downbeats` and `duration`.
        seed (`int`, defaults to `0`): random seed, which chooses between chords that fit equally well.

    Returns:
        `tuple`: `(label, start in seconds)` of each chord, and the share of strong beats with a note of the melody on
        which the chord contains it; 1 without such beats. Strong beats are the first and, in bars of four beats, the
        third.
    """
    rng = np.random.default_rng(seed)
    own = [(parse_chord(label), start) for label, start in item["chords"]]
    key = {note for chord, _ in own if chord for note in chord.pitch_classes}
    notes = _strong_notes(item)
    chords: list[tuple[str, float]] = []
    fitting = 0
    for (chord, start), (_, end) in zip(own, [*own[1:], (None, item["duration"])], strict=True):
        if chord is None:
            chords.append((NO_CHORD, start))
            continue
        sounding = [note for time, note in notes if start - _SHORTEST <= time < end - _SHORTEST]
        ranks = {}
        for label, triad in _TRIADS.items():
            tones = triad.pitch_classes
            if triad.root != chord.root:
                is_new = not chords or label != chords[-1][0]
                ranks[label] = sum(note in tones for note in sounding), -len(tones - key), is_new, rng.random()
        best = max(ranks, key=lambda label: ranks[label])
        fitting += ranks[best][0]
        chords.append((best, start))
    return chords, fitting / len(notes) if notes else 1.0


def _strong_notes(item: dict[str, Any]) -> list[tuple[float, int]]:
    """Time and pitch class of the melody on strong beats."""
    beats, downbeats = np.array(item["beats"]), np.array(item["downbeats"])
    strong = list(downbeats)
    for first, last in zip(downbeats[:-1], downbeats[1:]):
        inner = beats[(beats > first + _SHORTEST) & (beats < last - _SHORTEST)]
        if len(inner) == 3:
            strong.append(inner[1])
    found = []
    for time in sorted(strong):
        sounding = [note for note, start, end in item["melody"] if start <= time + _SHORTEST < end]
        found += [(float(time), note % 12) for note in sounding[:1]]
    return found


def make_source_edit(
    vary_pipe: Any, edit: Edit, strength: float | None, from_source: bool, settings: dict[str, Any], seed: int
) -> torch.Tensor:
    r"""
    Makes one edit, with controls that are extracted from the recording, except for the one that changes.

    Args:
        vary_pipe ([`JascoAudioToAudioPipeline`]): the pipeline.
        edit (`Edit`): an edit of [`plan_source_edits`].
        strength (`float`, *optional*): strength of the variation.
        from_source (`bool`): whether to edit from source to target controls, or to vary the recording under the same
            target controls.
        settings (`dict`): further arguments of the pipeline.
        seed (`int`): random seed of the noise.

    Returns:
        `torch.Tensor` of shape `(1, samples)`.
    """
    sources = [name for name in vary_pipe.transformer.controls if name != "beats"]
    if edit.kind == _NO_MELODY:
        sources.remove("melody")
    recording = edit.recording["audio"], edit.recording["sampling_rate"]
    target = {"chords": edit.target["chords"]}
    if edit.new == ("drums",):
        target = {"drums": (edit.target["stems"]["drums"][:, : recording[0].shape[-1]], recording[1])}
    if from_source:
        target |= {f"source_{name}": "extract" for name in sources}
    else:
        target = {name: recording for name in sources} | {"separate_drums": "drums" not in target} | target
    generator = torch.Generator().manual_seed(seed)
    audio = vary_pipe(audio=recording, strength=strength, generator=generator, **target, **settings).audios[0]
    return audio.float().mean(dim=0, keepdim=True).cpu()


def evaluate_source_edits(
    vary_pipe: Any,
    edits: Sequence[Edit],
    strengths: Sequence[float] = STRENGTHS,
    settings: dict[str, Any] | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: bool = False,
    min_clips: int = MIN_CLIPS,
) -> dict[str, Any]:
    r"""
    Makes edits from source controls to target controls, and for comparison variations under the same target controls,
    and measures what changes and what stays.

    Args:
        vary_pipe ([`JascoAudioToAudioPipeline`]): the pipeline.
        edits (`Sequence[Edit]`): as [`plan_source_edits`] returns them, at the pipeline's sampling rate.
        strengths (`Sequence[float]`, defaults to `STRENGTHS`): strengths of the variations.
        settings (`dict`, *optional*): further arguments of `vary_pipe`.
        seed (`int`, defaults to `0`): random seed of noise, floors and intervals.
        cache (`Path`, *optional*): folder for the music. Existing files are reused; the caller ensures that they come
            from the same model, edits and settings.
        progress (`bool`, defaults to `False`): whether to show progress bars.
        min_clips (`int`, defaults to `20`): minimum number of edits for a score.

    Returns:
        `dict`, ready for JSON: for each kind of edits, and `"all chords"`, the `num_edits` and `methods`:
        for `"edit"` and each `"strength ..."`

        - `new`: A of the aspect that changes, as [`~evaluation.edits.relative_adherence`] returns it
        - `kept`: A of the other aspects ÷ that of the codec's round trip of the recording, likewise
        - `log_mel`: the mean distance of [`~evaluation.metrics.edits.measure_variation`] from the round trip in dB
    """
    estimators = edit_estimators()
    rate = vary_pipe.sampling_rate
    methods = {"edit": (None, True)} | {f"strength {strength:g}": (strength, False) for strength in strengths}
    recordings = [edit.recording for edit in edits]
    targets = [edit.target for edit in edits]
    estimates = analyze(((item["audio"], rate) for item in recordings), estimators)
    round_trips = [(audio, rate) for audio in reconstruct(vary_pipe, recordings, 1)]
    ceiling = score(estimates, recordings, estimators)
    bounds = {
        "new": {"floor": score_floor(estimates, targets, seed, estimators=estimators), "ceiling": ceiling},
        "kept": {"floor": score_floor(estimates, recordings, seed, estimators=estimators), "ceiling": ceiling},
    }
    baselines = {"new": ceiling, "kept": score(analyze(round_trips, estimators), recordings, estimators)}
    kinds = dict.fromkeys(edit.kind for edit in edits)
    groups = {kind: [edit.kind == kind for edit in edits] for kind in kinds}
    groups["all chords"] = ["chords" in edit.new for edit in edits]
    groups = {name: group for name, group in groups.items() if any(group)}
    result: dict[str, Any] = {
        name: {"num_edits": sum(group), "methods": {method: {} for method in methods}}
        for name, group in groups.items()
    }
    for method, (strength, from_source) in methods.items():
        audios = []
        for number, edit in enumerate(tqdm(edits, method, unit="clip", disable=not progress)):
            path = cache and cache / method / f"{number:03d} {edit.kind}.wav"
            arguments = (vary_pipe, edit, strength, from_source, settings or {}, seed + number)
            audios.append((cached(lambda: make_source_edit(*arguments), path, rate), rate))
        found = analyze(audios, estimators)
        distances = [measure_variation(*pair)["log_mel"] for pair in zip(audios, round_trips)]
        scores = {"new": score(found, targets, estimators), "kept": score(found, recordings, estimators)}
        for name, group in groups.items():
            changed = "drums" if name == "drums" else "chords"
            for aspect in ("new", "kept"):
                parts = {"score": scores[aspect], "baseline": baselines[aspect]} | bounds[aspect]
                chosen = tuple(it for it in estimators if (it.control == changed) == (aspect == "new"))
                kept = {part: _select(values, chosen, group) for part, values in parts.items()}
                rows = relative_adherence(kept, chosen, seed, min_clips)
                result[name]["methods"][method][aspect] = rows
            result[name]["methods"][method]["log_mel"] = mean_row(
                [distance for distance, is_member in zip(distances, group) if is_member], seed
            )
    return result


def _select(
    scores: dict[Metric, np.ndarray], estimators: Sequence[Estimator], group: Sequence[bool]
) -> dict[Metric, np.ndarray]:
    """The scores of some estimators, NaN for edits that are not in the group."""
    names = {estimator.name for estimator in estimators}
    return {key: np.where(group, values, math.nan) for key, values in scores.items() if key[0] in names}


def write_source_edits(result: dict[str, Any]) -> str:
    r"""
    Args:
        result (`dict`): as [`evaluate_source_edits`] returns it.

    Returns:
        `str`: Markdown tables. For each metric, the estimator with the lowest value is shown.
    """
    lines = []
    for kind, part in result.items():
        lines += [f"## Edits of {kind}: {part['num_edits']}", ""]
        methods = part["methods"]
        lines += [f"| | {' | '.join(methods)} |", "| --- " * (1 + len(methods)) + "|"]
        for aspect, title in (("new", "A of the new {}: {}"), ("kept", "{}: {}, A ÷ codec")):
            columns = [
                {(row["control"], row["metric"]): row for row in worst_rows(it[aspect])} for it in methods.values()
            ]
            for key in columns[0]:
                values = [
                    f"{it[key]['value']:z.2f} ({it[key]['low']:z.2f} … {it[key]['high']:z.2f})" if key in it else ""
                    for it in columns
                ]
                lines.append(f"| {title.format(*key)} | {' | '.join(values)} |")
        distances = " | ".join(f"{it['log_mel']['value']:.1f} dB" for it in methods.values())
        lines += [f"| distance from the recording (log mel) | {distances} |", ""]
    for kind, part in result.items():
        rows = part["methods"]["edit"]["new"] + part["methods"]["edit"]["kept"]
        lines += [f"## {kind}, all estimators", "", *list_adherence(rows, "baseline"), ""]
    return "\n".join(lines)
