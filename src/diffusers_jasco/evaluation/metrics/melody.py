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


FRAME_RATE = 50  # Hz: of pitches, one per frame
UNVOICED = -1
MIN_FRAMES = 25  # with fewer frames of melody a share of them says little


def score_melody(pitches: np.ndarray, melody: Sequence[tuple[int, float, float]]) -> dict[str, float]:
    r"""
    Args:
        pitches (`np.ndarray` of shape `(frames,)`): MIDI numbers that were heard, 50 a second, -1 for none.
        melody (`list` of `(pitch, start, end)`): what was asked for, as
            [`~controls.melody.melody_from_notes`] takes it.

    Returns:
        `dict[str, float]`: raw pitch and raw chroma accuracy (Poliner et al., 2007; see [`compare_melodies`]): `"pitch"`, the
        share of the frames with a note in which this note was heard, and `"chroma"`, in which it was heard in any octave.
        NaN if there is less than half a second of melody.
    """
    nothing = {"pitch": math.nan, "chroma": math.nan}
    if not melody:
        return nothing
    requested = melody_from_notes(melody, len(pitches), FRAME_RATE).T
    if requested.any(dim=0).sum() < MIN_FRAMES:
        return nothing
    estimated = torch.zeros_like(requested)
    frames = np.flatnonzero(pitches != UNVOICED)
    estimated[pitches[frames] - LOWEST_PITCH, frames] = 1
    scores = compare_melodies(estimated, requested)
    return {"pitch": scores["rpa"], "chroma": scores["rca"]}


def score_salience(salience: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    r"""
    How alike what sounds is, note by note and loud or soft: the mean over frames of the cosine between two saliences. The
    original's model card reports a "melody cosine similarity" without saying how it is made; this is how the authors' fork of
    the extractor compares two recordings (with its own network, which another one stands in for here).

    Args:
        salience (`np.ndarray` of shape `(53, frames)`): of the music, not cut at a threshold.
        reference (`np.ndarray` of shape `(53, frames)`): of the music that it should be like. Both are cut to the shorter.

    Returns:
        `dict[str, float]`: `"cosine"` in [0, 1]; 0 in frames in which one of them has nothing.
    """
    size = min(salience.shape[1], reference.shape[1])
    one, other = (values[:, :size].astype(np.float64) for values in (salience, reference))
    lengths = np.linalg.norm(one, axis=0) * np.linalg.norm(other, axis=0)
    return {"cosine": float(np.mean((one * other).sum(axis=0) / np.maximum(lengths, 1e-8)))}


def compare_melodies(estimate: torch.Tensor, reference: torch.Tensor) -> dict[str, float]:
    r"""
    How far two melodies agree, by mir_eval, frame by frame. A frame without a note is unvoiced.

    Args:
        estimate (`torch.Tensor` of shape `(53, frames)`): what was heard, as [`~extraction.extract_melody`] returns it.
        reference (`torch.Tensor` of shape `(53, frames)`): what was played, or what another heard.

    Returns:
        `dict[str, float]`: in [0, 1], NaN where there is nothing to compare with: `"rpa"` and `"rca"`, raw pitch and raw
        chroma accuracy; `"vr"` and `"vfa"`, the shares of voiced and of unvoiced frames that were heard as voiced;
        `"equal"`, the share of equal frames.

    Raises:
        `ImportError`: without the package mir_eval.
        `ValueError`: if the shapes differ.
    """
    if estimate.shape != reference.shape:
        raise ValueError(f"The melodies have different shapes: {tuple(estimate.shape)} and {tuple(reference.shape)}.")
    metrics = import_optional("mir_eval.melody", "eval")
    if reference.shape[1] == 0:
        return dict.fromkeys(("rpa", "rca", "vr", "vfa", "equal"), math.nan)
    voiced, requested, estimate_voiced, estimated = (
        values for matrix in (reference, estimate) for values in _to_cents(matrix.numpy())
    )
    scores = dict.fromkeys(("rpa", "rca", "vr", "vfa"), math.nan)
    if voiced.any() and not estimate_voiced.any():
        scores |= {"rpa": 0.0, "rca": 0.0, "vr": 0.0}
    elif voiced.any():
        scores["rpa"] = float(metrics.raw_pitch_accuracy(voiced, requested, estimate_voiced, estimated))
        scores["rca"] = float(metrics.raw_chroma_accuracy(voiced, requested, estimate_voiced, estimated))
        scores["vr"] = float(metrics.voicing_recall(voiced, estimate_voiced))
    if not voiced.all():
        scores["vfa"] = float(metrics.voicing_false_alarm(voiced, estimate_voiced))
    return scores | {"equal": float((estimate == reference).all(dim=0).float().mean())}


def _to_cents(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether there is a note, and its pitch in cents; 0 without one, as mir_eval has it."""
    voiced = matrix.any(axis=0)
    return voiced.astype(float), np.where(voiced, 100.0 * (LOWEST_PITCH + matrix.argmax(axis=0)), 0.0)
