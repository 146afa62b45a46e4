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

"""Agreement of chord labels beyond root, major and minor: sevenths, inversions, and scores by chord family."""

import math

import numpy as np

from ...controls.chord_labels import Chord, parse_chord
from ...utils.optional_imports import import_optional
from ..estimators.chords import Chords
from .chords import pair_labels, weigh_overlap


# Chord families of the model's vocabulary, each with an example.
_EXAMPLES = {
    "maj": "C",
    "min": "Cm",
    "7": "C7",
    "maj7": "Cmaj7",
    "m7": "Cm7",
    "6": "C6",
    "m6": "Cm6",
    "dim": "Cdim",
    "aug": "Caug",
    "m7b5": "Cm7b5",
}
_INVERSIONS = "inversions"
_FAMILY_OF = {parse_chord(label).intervals: family for family, label in _EXAMPLES.items()}
FAMILIES = (*_EXAMPLES, _INVERSIONS)
FAMILY_METRICS = tuple(f"{metric}: {family}" for metric in ("tones", "bass") for family in FAMILIES)
LABEL_METRICS = ("sevenths", "exact", "iou", "tones", "bass", *FAMILY_METRICS)


def chord_family(chord: Chord) -> str | None:
    """One of `FAMILIES`, or `None`. Every chord whose bass is not its root counts as an inversion."""
    return _INVERSIONS if chord.bass else _FAMILY_OF.get(chord.intervals)


def score_labels(estimate: Chords, reference: Chords, duration: float) -> dict[str, float]:
    r"""
    Agreement of the labels of two progressions. Time without a reference chord ("N", "UNK") is ignored.

    Args:
        estimate (`list` of `(label, start)`): the estimated progression.
        reference (`list` of `(label, start)`): the reference progression.
        duration (`float`): length of the music in seconds.

    Returns:
        `dict[str, float]`: shares of the time in [0, 1], NaN where there is nothing to score:

        - `"sevenths"`: weighted overlap by mir_eval (MIREX's "sevenths": major and minor triads, 7, maj7 and m7 only)
        - `"exact"`: equal labels, inversions included
        - `"iou"`: intersection over union of the two progressions as sets of (label, point in time). AudioCraft's
          model card reports a "chord IOU" of (label, switch time) sequences without a definition
        - `"tones"`: F1 of the pitch classes of both chords (bass included), as a mean over time
        - `"bass"`: equal bass notes
        - `"tones: <family>"` and `"bass: <family>"` for each of `FAMILIES`: the same where the reference belongs to
          this family, as mir_eval's comparisons ignore aug, dim, m7b5 and all bass notes

    Raises:
        `ImportError`: without the package mir_eval.
    """
    scores = dict.fromkeys(LABEL_METRICS, math.nan)
    reference = [(label, start) for label, start in reference if start < duration]
    if not any(parse_chord(label) for label, _ in reference):
        return scores
    ref_labels, est_labels, durations = pair_labels(reference, estimate, duration)
    pairs = [(parse_chord(ref_label), parse_chord(est_label)) for ref_label, est_label in zip(ref_labels, est_labels)]
    is_reference = np.array([chord is not None for chord, _ in pairs])
    is_estimate = np.array([chord is not None for _, chord in pairs])
    is_known = np.array([label != "X" for label in ref_labels])
    is_equal = is_reference & (np.array(ref_labels) == np.array(est_labels))
    tones = np.array([_tone_f1(*pair) for pair in pairs])
    bass = np.array([None not in pair and pair[0].bass_pitch_class == pair[1].bass_pitch_class for pair in pairs])

    def share(values: np.ndarray, where: np.ndarray) -> float:
        total = durations[where].sum()
        return float((values * durations)[where].sum() / total) if total > 0 else math.nan

    # mir_eval scores "N" but ignores "X".
    scored = [label if is_chord else "X" for label, is_chord in zip(ref_labels, is_reference)]
    scores["sevenths"] = weigh_overlap(
        import_optional("mir_eval.chord", "eval").sevenths, scored, est_labels, durations
    )
    scores["exact"] = share(is_equal, is_reference)
    # Where the labels differ, both count toward the union.
    union = durations[is_reference].sum() + durations[is_estimate & is_known].sum() - durations[is_equal].sum()
    scores["iou"] = float(durations[is_equal].sum() / union)
    scores["tones"], scores["bass"] = share(tones, is_reference), share(bass, is_reference)
    families = np.array([chord and chord_family(chord) for chord, _ in pairs])
    for family in FAMILIES:
        scores[f"tones: {family}"] = share(tones, families == family)
        scores[f"bass: {family}"] = share(bass, families == family)
    return scores


def _tone_f1(reference: Chord | None, estimate: Chord | None) -> float:
    if reference is None or estimate is None:
        return 0.0
    ref_tones, est_tones = reference.pitch_classes, estimate.pitch_classes
    return 2 * len(ref_tones & est_tones) / (len(ref_tones) + len(est_tones))
