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

"""Agreement of an estimated melody with a reference melody."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from ...controls.melody import LOWEST_PITCH, melody_from_notes
from ...utils.optional_imports import import_optional


FRAME_RATE = 50  # Hz, of estimated pitches
UNVOICED = -1
MIN_FRAMES = 25  # with fewer voiced frames, a score is not meaningful


def score_melody(pitches: np.ndarray, melody: Sequence[tuple[int, float, float]]) -> dict[str, float]:
    r"""
    Args:
        pitches (`np.ndarray` of shape `(frames,)`): estimated MIDI numbers at 50 Hz, -1 for none.
        melody (`list` of `(pitch, start, end)`): reference notes, as [`~controls.melody.melody_from_notes`] takes
            them.

    Returns:
        `dict[str, float]`: raw pitch and raw chroma accuracy (Poliner et al., 2007; see [`compare_melodies`]): the
        shares of the reference's voiced frames with the right note (`"pitch"`) and with the right note in any octave
        (`"chroma"`). NaN for less than half a second of melody.
    """
    undefined = {"pitch": math.nan, "chroma": math.nan}
    if not melody:
        return undefined
    reference = melody_from_notes(melody, len(pitches), FRAME_RATE).T
    if reference.any(dim=0).sum() < MIN_FRAMES:
        return undefined
    estimate = torch.zeros_like(reference)
    frames = np.flatnonzero(pitches != UNVOICED)
    estimate[pitches[frames] - LOWEST_PITCH, frames] = 1
    scores = compare_melodies(estimate, reference)
    return {"pitch": scores["rpa"], "chroma": scores["rca"]}


def score_salience(salience: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    r"""
    Mean cosine similarity of two saliences over frames. AudioCraft's model card reports a "melody cosine similarity"
    without a definition; the authors' fork of the extractor compares two recordings in this way (with its own network,
    which is replaced by another one here).

    Args:
        salience (`np.ndarray` of shape `(53, frames)`): salience of the music, without a threshold.
        reference (`np.ndarray` of shape `(53, frames)`): salience of the reference. Both are cut to the shorter
            length.

    Returns:
        `dict[str, float]`: `"cosine"` in [0, 1]; frames in which either salience is zero count as 0.
    """
    size = min(salience.shape[1], reference.shape[1])
    salience, reference = (values[:, :size].astype(np.float64) for values in (salience, reference))
    norms = np.linalg.norm(salience, axis=0) * np.linalg.norm(reference, axis=0)
    return {"cosine": float(np.mean((salience * reference).sum(axis=0) / np.maximum(norms, 1e-8)))}


def compare_melodies(estimate: torch.Tensor, reference: torch.Tensor) -> dict[str, float]:
    r"""
    Frame-wise agreement of two melodies, by mir_eval. Frames without a note are unvoiced.

    Args:
        estimate (`torch.Tensor` of shape `(53, frames)`): the estimate, as [`~extraction.extract_melody`] returns it.
        reference (`torch.Tensor` of shape `(53, frames)`): the reference, from annotations or another estimator.

    Returns:
        `dict[str, float]`: in [0, 1], NaN where there is nothing to compare with: `"rpa"` and `"rca"`, raw pitch and
        raw chroma accuracy; `"vr"` and `"vfa"`, the shares of voiced and of unvoiced frames that are estimated as
        voiced; `"equal"`, the share of equal frames.

    Raises:
        `ImportError`: without the package mir_eval.
        `ValueError`: if the shapes differ.
    """
    if estimate.shape != reference.shape:
        raise ValueError(
            "`estimate` and `reference` have to have the same shape, but got "
            f"{tuple(estimate.shape)} and {tuple(reference.shape)}."
        )
    metrics = import_optional("mir_eval.melody", "eval")
    if reference.shape[1] == 0:
        return dict.fromkeys(("rpa", "rca", "vr", "vfa", "equal"), math.nan)
    ref_voicing, ref_cents = _to_cents(reference.numpy())
    est_voicing, est_cents = _to_cents(estimate.numpy())
    scores = dict.fromkeys(("rpa", "rca", "vr", "vfa"), math.nan)
    if ref_voicing.any() and not est_voicing.any():
        scores |= {"rpa": 0.0, "rca": 0.0, "vr": 0.0}
    elif ref_voicing.any():
        scores["rpa"] = float(metrics.raw_pitch_accuracy(ref_voicing, ref_cents, est_voicing, est_cents))
        scores["rca"] = float(metrics.raw_chroma_accuracy(ref_voicing, ref_cents, est_voicing, est_cents))
        scores["vr"] = float(metrics.voicing_recall(ref_voicing, est_voicing))
    if not ref_voicing.all():
        scores["vfa"] = float(metrics.voicing_false_alarm(ref_voicing, est_voicing))
    return scores | {"equal": float((estimate == reference).all(dim=0).float().mean())}


def _to_cents(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Voicing and pitch of each frame, in mir_eval's format: 1 or 0, and cents or 0."""
    voiced = matrix.any(axis=0)
    return voiced.astype(float), np.where(voiced, 100.0 * (LOWEST_PITCH + matrix.argmax(axis=0)), 0.0)
