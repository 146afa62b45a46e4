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

"""Seams: places where a piece was joined from parts that were generated, edited or cut separately."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ...audio.io import load_audio
from ...audio.resampling import resample
from ...codecs import Codec, encode
from ...utils.optional_imports import import_optional
from ..adherence import NUM_RESAMPLES, interval


# Windows of codecs spread a seam over some frames.
MARGIN = 5  # frames
EDGE_SECONDS = 0.5

# 1. Features of latents and levels
_LATENT_CONTEXT = 2  # frames on either side
_SOUND_CONTEXT = 1
_WHITENING_FLOOR = 1e-4  # of the largest variance
_HIGH, _LOW = 4000, 250  # Hz
_CHROMA_RANGE = (100, 4000)  # Hz
_SPECTRUM_SECONDS = 0.043
_MIN_POWER = 1e-8

# 2. Prediction errors
_ORDER = 32
_BLOCKS_PER_FRAME = 8
_PREDICTION_SECONDS = 0.02
_PEAK_SECONDS = 0.0005
_NOISE_FLOOR = 1e-7  # of a window's power
_BLOCKS_AT_ONCE = 2048

_REGULARIZATION = 0.1


@dataclass(frozen=True)
class SeamDetection:
    r"""
    How well the borders in pieces are found without knowing where they are, from [`detect_seams`].

    Args:
        auc (`float`): area under the ROC curve, the mean over pieces: the probability that a frame with a border gets
            a higher score than another frame. 0.5 if borders are not found, 1 if all are found.
        low, high (`float`): bounds of the 95% confidence interval, by bootstrap over pieces.
        aucs (`np.ndarray` of shape `(pieces,)`): the area of each piece; NaN for pieces without borders.
    """

    auc: float
    low: float
    high: float
    aucs: np.ndarray


def latent_changes(latents: np.ndarray | torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    r"""
    How much latents change from frame to frame, and how much they bend. A hard cut raises both, and a blur lowers
    them.

    Args:
        latents (`np.ndarray` or `torch.Tensor` of shape `(frames, dim)`): at least 2 frames of latents.

    Returns:
        `tuple[np.ndarray, np.ndarray]`, each of shape `(frames,)`: V_i = ‖z_i − z_(i−1)‖ and
        W_i = ‖z_i − (z_(i−1) + z_(i+1)) / 2‖. V_0 repeats V_1, and at the ends W repeats its neighbor.
    """
    z = torch.as_tensor(latents).detach().double().cpu().numpy()
    if z.ndim != 2 or len(z) < 2:
        raise ValueError(f"`latents` have to have shape (frames, dim) with at least 2 frames, but have {z.shape}.")
    steps = np.diff(z, axis=0)
    change = np.linalg.norm(steps, axis=1)
    bend = np.linalg.norm(np.diff(steps, axis=0), axis=1) / 2
    return np.pad(change, (1, 0), mode="edge"), np.pad(bend, 1, mode="edge") if len(bend) else np.zeros(2)


def seam_ratio(
    latents: np.ndarray | torch.Tensor,
    overlaps: Sequence[tuple[float, float]],
    frame_rate: float,
    downbeats: Sequence[float] = (),
) -> dict[str, float]:
    r"""
    Change and bend of latents where parts overlap, relative to the rest of the piece. The measure is ours.

    Args:
        latents (`np.ndarray` or `torch.Tensor` of shape `(frames, dim)`):
            Latents of the final audio, from [`~codecs.encode`].
        overlaps (`Sequence[tuple[float, float]]`):
            Start and end of each overlap in seconds. At a hard cut, both are equal.
        frame_rate (`float`):
            Frames per second.
        downbeats (`Sequence[float]`, *optional*):
            At least two downbeats in seconds. An overlap is then compared with the same parts of other bars, since
            latents change more at onsets, and overlaps are often placed at certain metrical positions.

    Returns:
        `dict[str, float]`: `"V"` and `"W"`, the medians of [`latent_changes`] in the overlaps ÷ their medians
        elsewhere. 1 if there is nothing to find; below 1 for blurred and above 1 for abrupt transitions. Frames less
        than 5 frames away from an overlap are not compared. NaN if there are no frames to compare.

    Raises:
        `ValueError`: if an overlap is not a pair or outside the latents, or there is only one downbeat.
    """
    change, bend = latent_changes(latents)
    if frame_rate <= 0:
        raise ValueError(f"`frame_rate` has to be above 0, but got {frame_rate}.")
    if len(overlaps) and np.ndim(overlaps) != 2:
        raise ValueError(f"`overlaps` have to be pairs of start and end in seconds, but got {overlaps}.")
    times = (np.arange(len(change)) + 0.5) / frame_rate
    if len(downbeats) == 1:
        raise ValueError("`downbeats` have to be at least two, but got one.")
    bars = to_bars(times, downbeats) if len(downbeats) else times
    inside, near, comparable = (np.zeros(len(times), dtype=bool) for _ in range(3))
    for start, end in overlaps:
        if not 0 <= start <= end <= len(times) / frame_rate + 1e-6:
            raise ValueError(
                f"`overlaps` have to be within the {len(times) / frame_rate:g} s of the latents, but got"
                f" {start:g} s to {end:g} s."
            )
        # Frames that have a part in the overlap, and the frame that starts at its end. The margin is for rounding.
        start, end = start - 0.5 / frame_rate + 1e-6, end + 0.5 / frame_rate + 1e-6
        inside |= (times > start) & (times < end)
        near |= (times > start - MARGIN / frame_rate) & (times < end + MARGIN / frame_rate)
        if len(downbeats):
            first, last = to_bars(np.array([start, end]), downbeats)
            comparable |= (last - bars) % 1 < last - first
    elsewhere = ~near & comparable if len(downbeats) else ~near
    if not inside.any() or not elsewhere.any():
        return {"V": math.nan, "W": math.nan}
    return {
        name: float(np.median(values[inside]) / max(np.median(values[elsewhere]), 1e-12))
        for name, values in (("V", change), ("W", bend))
    }


def to_bars(times: np.ndarray, downbeats: Sequence[float]) -> np.ndarray:
    """Times in bars. The first and last bar are extrapolated."""
    beats = np.sort(np.asarray(downbeats, dtype=float))
    index = np.clip(np.searchsorted(beats, times, side="right") - 1, 0, len(beats) - 2)
    return index + (times - beats[index]) / np.diff(beats)[index]


def seam_features(audio: Any, codec: Codec) -> np.ndarray:
    r"""
    Features in which seams may be visible, for [`detect_seams`].

    - Latents: log V and log W of [`latent_changes`], and the logarithm of ‖z_(i+2) − z_(i−1)‖, of latents and of
      whitened latents, from 2 frames before to 2 frames after a frame. A blur lowers V and W more than the latter.
    - Levels above 4 kHz and below 250 Hz in dB, and absolute steps of loudness and of chroma, in 3 frames.
    - Errors of linear prediction (Makhoul, 1975), forward from the preceding 20 ms and backward from the following
      20 ms: the largest mean over 0.5 ms in an eighth of a frame ÷ the error in those 20 ms, and the smaller of
      both; the maximum of each frame, in 3 frames. At a cut the waveform is not continued from either side. At an
      onset it is, backward, as sounds decay.

    Args:
        audio: the piece, as [`~audio.io.load_audio`] takes it, at least 2 frames long. Stereo is averaged.
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]): the codec that encodes it.

    Returns:
        `np.ndarray` of shape `(frames, features)`, in float64.
    """
    waveform, original_rate = load_audio(audio)
    rate, hop = codec.config.sampling_rate, codec.config.hop_length
    samples = resample(waveform.mean(dim=0), original_rate, rate)
    latents = encode(codec, samples[None, None])[0].double().cpu().numpy()
    samples = F.pad(samples.double(), (0, len(latents) * hop - len(samples)))
    changes = np.concatenate([_log_changes(latents), _log_changes(_whiten(latents))], axis=1)
    sound = np.concatenate([_levels_and_steps(samples, rate, hop), _prediction_errors(samples, rate, hop)], axis=1)
    return np.concatenate([_with_context(changes, _LATENT_CONTEXT), _with_context(sound, _SOUND_CONTEXT)], axis=1)


def _with_context(values: np.ndarray, context: int) -> np.ndarray:
    padded = np.pad(values, ((context, context), (0, 0)), mode="edge")
    return np.concatenate([padded[lag : lag + len(values)] for lag in range(2 * context + 1)], axis=1)


def _log_changes(latents: np.ndarray) -> np.ndarray:
    padded = np.pad(latents, ((1, 2), (0, 0)), mode="edge")
    distance = np.linalg.norm(padded[3:] - padded[:-3], axis=1)
    values = np.stack([*latent_changes(latents), distance], axis=1)
    return np.log(values + 0.01 * np.median(values, axis=0) + 1e-9)


def _whiten(latents: np.ndarray) -> np.ndarray:
    centered = latents - latents.mean(axis=0)
    variances, components = np.linalg.eigh(centered.T @ centered / len(centered))
    return centered @ components / np.sqrt(np.maximum(variances, 0) + _WHITENING_FLOOR * variances.max() + 1e-12)


def _levels_and_steps(samples: torch.Tensor, rate: int, hop: int) -> np.ndarray:
    """Level above 4 kHz, level below 250 Hz, and absolute steps of loudness and chroma: shape (frames, 4)."""
    size = round(_SPECTRUM_SECONDS * rate / 2) * 2
    # Centers the windows on frames.
    padded = F.pad(samples, (size // 2, size // 2))[hop // 2 :]
    window = torch.hann_window(size, dtype=samples.dtype)
    spectrum = torch.stft(padded, size, hop, window=window, center=False, return_complex=True).abs().T.numpy()
    spectrum = spectrum[: len(samples) // hop] * 2 / window.sum().item()
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    lowest, highest = _CHROMA_RANGE
    tones = np.flatnonzero((frequencies > lowest) & (frequencies < highest))
    classes = np.round(12 * np.log2(frequencies[tones] / 440)).astype(int) % 12
    chroma = spectrum[:, tones] @ np.eye(12)[classes]
    chroma /= np.linalg.norm(chroma, axis=1, keepdims=True) + 1e-6
    power = spectrum**2
    bands = (frequencies > _HIGH, frequencies < _LOW, frequencies >= 0)
    high, low, all_bands = (10 * np.log10(power[:, band].sum(axis=1) + _MIN_POWER) for band in bands)
    steps = [np.abs(np.diff(all_bands)), np.linalg.norm(np.diff(chroma, axis=0), axis=1)]
    return np.stack([high, low, *(np.pad(step, (1, 0)) for step in steps)], axis=1)


def _prediction_errors(samples: torch.Tensor, rate: int, hop: int) -> np.ndarray:
    """Log errors of forward and backward prediction, and the smaller of both, of whole frames: shape (frames, 3)."""
    blocks_per_frame = math.gcd(_BLOCKS_PER_FRAME, hop)
    block, window = hop // blocks_per_frame, round(_PREDICTION_SECONDS * rate)
    peak = min(block, max(1, round(_PEAK_SECONDS * rate)))
    padded = F.pad(samples, (window + _ORDER, window + _ORDER))
    forward, backward = (
        _block_errors(part, block, window, peak, len(samples) // block) for part in (padded, padded.flip(0))
    )
    errors = torch.stack([forward, backward.flip(0)], dim=1)
    errors = torch.cat([errors, errors.amin(dim=1, keepdim=True)], dim=1)
    return errors.unflatten(0, (-1, blocks_per_frame)).amax(dim=1).numpy()


def _block_errors(padded: torch.Tensor, block: int, window: int, peak: int, num_blocks: int) -> torch.Tensor:
    """Predicts each block from the window before it, by the autocorrelation method; the first is at window + order."""
    shape = torch.hann_window(window, periodic=False, dtype=padded.dtype)
    lags = (torch.arange(_ORDER)[:, None] - torch.arange(_ORDER)).abs()
    errors = []
    for first in range(0, num_blocks, _BLOCKS_AT_ONCE):
        count = min(_BLOCKS_AT_ONCE, num_blocks - first)
        before = padded[first * block + _ORDER :].unfold(0, window, block)[:count] * shape
        correlation = torch.fft.irfft(torch.fft.rfft(before, 2 * window).abs().square())[:, : _ORDER + 1]
        # As if the window contained a little white noise.
        correlation[:, 0] = correlation[:, 0] * (1 + _NOISE_FLOOR) + 1e-9
        weights = torch.linalg.solve(correlation[:, lags], correlation[:, 1:])
        expected = (correlation[:, 0] - (weights * correlation[:, 1:]).sum(dim=1)) / shape.square().sum()
        history = padded[first * block + window :].unfold(0, block + _ORDER, block)[:count]
        predicted = history.unfold(1, _ORDER, 1)[:, :block].flip(-1) @ weights[:, :, None]
        error = (history[:, _ORDER:] - predicted[..., 0]).square().unfold(1, peak, max(1, peak // 4)).mean(dim=-1)
        errors.append(torch.log(error.amax(dim=1) / expected.clamp(min=1e-12) + 1e-2))
    return torch.cat(errors)


def detect_seams(
    features: Sequence[np.ndarray],
    borders: Sequence[Sequence[float]],
    frame_rate: float,
    candidates: Sequence[Sequence[float] | None] | None = None,
    seed: int = 0,
) -> SeamDetection:
    r"""
    Tries to find borders blindly: a logistic regression is trained on all pieces but one to tell frames with a border
    from others, and applied to the remaining piece. Features are standardized in each piece. The measure is ours.

    Areas are computed for each piece and averaged: scores of different regressions are not comparable, and an area
    over all of them would not be 0.5 for random borders. Frames less than 5 frames away from a border do not count as
    frames without a border. The first and last 0.5 s of a piece, and borders there, are ignored.

    Args:
        features (`Sequence[np.ndarray]`, each of shape `(frames, features)`):
            [`seam_features`] of at least 2 pieces.
        borders (`Sequence[Sequence[float]]`):
            The borders of each piece in seconds.
        frame_rate (`float`):
            Frames per second.
        candidates (`Sequence[Sequence[float] | None]`, *optional*):
            For each piece, the times in seconds with which borders are compared, or `None` for all frames. If borders
            are at beats, pass all beats; otherwise beats would be found instead of borders.
        seed (`int`, defaults to `0`):
            Random seed of the bootstrap.

    Returns:
        [`SeamDetection`]

    Raises:
        `ImportError`: without the package scikit-learn, which librosa installs.
        `ValueError`: if the numbers of pieces differ, or fewer than 2 pieces have borders.
    """
    candidates = [None] * len(features) if candidates is None else candidates
    if not len(features) == len(borders) == len(candidates):
        raise ValueError(
            f"`borders` and `candidates` have to have an entry for each of the {len(features)} pieces, but have"
            f" {len(borders)} and {len(candidates)}."
        )
    regression = import_optional("sklearn.linear_model", "eval").LogisticRegression
    pieces = []
    for index, piece in enumerate(features):
        positive, negative = _label(len(piece), borders[index], candidates[index], frame_rate)
        standardized = (piece - piece.mean(axis=0)) / (piece.std(axis=0) + 1e-9)
        pieces.append((standardized[positive], standardized[negative]))
    usable = [index for index, piece in enumerate(pieces) if len(piece[0]) and len(piece[1])]
    if len(usable) < 2:
        raise ValueError(f"`borders` have to be in at least 2 pieces, but are in {len(usable)}.")
    aucs = np.full(len(pieces), np.nan)
    for index in usable:
        others = [pieces[other] for other in usable if other != index]
        inputs = np.concatenate([part for piece in others for part in piece])
        labels = np.concatenate([np.full(len(part), 1 - i) for piece in others for i, part in enumerate(piece)])
        model = regression(C=_REGULARIZATION, class_weight="balanced", max_iter=1000).fit(inputs, labels)
        aucs[index] = _area(*(part @ model.coef_[0] for part in pieces[index]))
    draws = np.random.default_rng(seed).choice(aucs[usable], (NUM_RESAMPLES, len(usable))).mean(axis=1)
    return SeamDetection(float(aucs[usable].mean()), *interval(draws), aucs)


def _label(
    frames: int, borders: Sequence[float], candidates: Sequence[float] | None, frame_rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of frames with a border, and of frames to compare."""
    edge = round(EDGE_SECONDS * frame_rate)

    def to_frames(times: Sequence[float]) -> np.ndarray:
        indices = np.unique(np.floor(np.asarray(times, dtype=float) * frame_rate + 1e-6).astype(int))
        return indices[(indices >= 0) & (indices < frames)]

    positive = to_frames(borders)
    others = np.arange(frames) if candidates is None else to_frames(candidates)
    is_far = (
        (np.abs(others[:, None] - positive) >= MARGIN).all(axis=1) if len(positive) else np.ones(len(others), bool)
    )

    def drop_ends(indices: np.ndarray) -> np.ndarray:
        return indices[(indices >= edge) & (indices < frames - edge)]

    return drop_ends(positive), drop_ends(others[is_far])


def _area(positive: np.ndarray, negative: np.ndarray) -> float:
    """Area under the ROC curve: the share of pairs in the right order (Mann and Whitney, 1947)."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left") + np.searchsorted(ordered, positive, side="right")
    return float(below.mean() / (2 * len(negative)))
