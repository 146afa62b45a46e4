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

"""How far chord labels agree beyond root, major and minor: sevenths, inversions, and each family of chords by itself."""

import math

import numpy as np

from ...controls.chord_labels import Chord, parse_chord
from ...utils.optional_imports import import_optional
from ..estimators.chords import Chords
from .chords import pair_labels, weigh_overlap


# The families of the model's vocabulary, by one of their chords.
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
    """One of `FAMILIES` (any chord over another bass than its root is an inversion), or `None`."""
    return _INVERSIONS if chord.bass else _FAMILY_OF.get(chord.intervals)


def score_labels(estimate: Chords, chords: Chords, duration: float) -> dict[str, float]:
    r"""
    How far a heard progression has the labels that were asked for. Where no chord was asked for ("N", "UNK"), nothing is
    scored.

    Args:
        estimate (`list` of `(label, start)`): what was heard.
        chords (`list` of `(label, start)`): what was asked for.
        duration (`float`): length of the music in seconds.

    Returns:
        `dict[str, float]`: shares of the time in [0, 1], NaN where there is nothing to score:

        - `"sevenths"`: weighted overlap by mir_eval (MIREX's "sevenths": major and minor triads, 7, maj7 and m7 only)
        - `"exact"`: equal labels, inversions included
        - `"iou"`: intersection over union of the two progressions, each as the set of all (label, moment): the original's model
          card reports a "chord IOU" of (label, switch time) sequences without saying how it is made
        - `"tones"`: F1 of the pitch classes of both chords (bass included), as a mean over time
        - `"bass"`: the same lowest pitch class
        - `"tones: <family>"` and `"bass: <family>"` for each of `FAMILIES`: the same where such a chord was asked for, as
          mir_eval's comparisons leave out aug, dim, m7b5 and every bass

    Raises:
        `ImportError`: without the package mir_eval.
    """
    scores = dict.fromkeys(LABEL_METRICS, math.nan)
    chords = [(label, start) for label, start in chords if start < duration]
    if not any(parse_chord(label) for label, _ in chords):
        return scores
    requested, estimated, durations = pair_labels(chords, estimate, duration)
    pairs = [(parse_chord(one), parse_chord(other)) for one, other in zip(requested, estimated)]
    is_reference = np.array([chord is not None for chord, _ in pairs])
    is_estimate = np.array([chord is not None for _, chord in pairs])
    is_known = np.array([label != "X" for label in requested])
    is_equal = is_reference & (np.array(requested) == np.array(estimated))
    tones = np.array([_tone_f1(*pair) for pair in pairs])
    bass = np.array([None not in pair and pair[0].bass_pitch_class == pair[1].bass_pitch_class for pair in pairs])

    def share(values: np.ndarray, where: np.ndarray) -> float:
        total = durations[where].sum()
        return float((values * durations)[where].sum() / total) if total > 0 else math.nan

    # mir_eval scores "N" but leaves "X" out.
    scored = [label if is_chord else "X" for label, is_chord in zip(requested, is_reference)]
    scores["sevenths"] = weigh_overlap(
        import_optional("mir_eval.chord", "eval").sevenths, scored, estimated, durations
    )
    scores["exact"] = share(is_equal, is_reference)
    # Where the labels differ, both are in the union.
    union = durations[is_reference].sum() + durations[is_estimate & is_known].sum() - durations[is_equal].sum()
    scores["iou"] = float(durations[is_equal].sum() / union)
    scores["tones"], scores["bass"] = share(tones, is_reference), share(bass, is_reference)
    families = np.array([chord and chord_family(chord) for chord, _ in pairs])
    for family in FAMILIES:
        scores[f"tones: {family}"] = share(tones, families == family)
        scores[f"bass: {family}"] = share(bass, families == family)
    return scores


def _tone_f1(requested: Chord | None, estimated: Chord | None) -> float:
    if requested is None or estimated is None:
        return 0.0
    one, other = requested.pitch_classes, estimated.pitch_classes
    return 2 * len(one & other) / (len(one) + len(other))
