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

"""Edits: what is preserved, how a changed region fits in, and how far a variation is from its recording."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...audio.io import load_audio
from ..adherence import Metric, analyze, measure_adherence, score, score_floor
from ..control_estimators import ESTIMATORS, Estimator
from ..estimators.onsets import percussive_flux
from ..estimators.spectra import SAMPLING_RATE, load_mono, mel_filters, pitch_spectrogram, power_spectrogram
from .sample_sizes import MIN_CLIPS
from .sound import OCTAVE_BANDS, SILENT_LEVEL, SILENT_MAGNITUDE, octave_levels


Regions = Sequence[tuple[float, float]]

_HOP = 160  # samples: 10 ms
_N_FFT = 1024  # samples
_MEL_BANDS = 64
_CHROMA_HOP = 1600  # samples: 0.1 s
_LOWEST_PITCH = 36
_NUM_OCTAVES = 5
_AUDIBLE = 0.01  # magnitude


def preservation(edited: Any, original: Any, regions: Regions) -> float:
    r"""
    The largest difference of samples outside the edited regions. The measure is ours.

    Args:
        edited: the edited piece, as [`~audio.io.load_audio`] takes it: a tensor with its sampling rate, or a file.
        original: the original in the same form, with the same sampling rate and shape.
        regions (`Sequence[tuple[float, float]]`): start and end of each edited region in seconds.

    Returns:
        `float`: 0 if all samples outside the regions are untouched; full scale is 1. 0 if there are none.

    Raises:
        `ValueError`: if sampling rates or shapes differ, or regions overlap or are not within the piece.
    """
    (after, rate), (before, original_rate) = load_audio(edited, "edited"), load_audio(original, "original")
    if rate != original_rate:
        raise ValueError(f"`edited` has to have the sampling rate of `original`, {original_rate} Hz, but got {rate}.")
    if after.shape != before.shape:
        raise ValueError(
            f"`edited` has to have the shape of `original`, {tuple(before.shape)}, but got {tuple(after.shape)}."
        )
    difference = (after.double() - before.double()).abs().amax(dim=0).numpy()
    for first, last in _to_spans(regions, after.shape[-1], rate):
        difference[first:last] = 0
    return float(difference.max())


def inside_against_surroundings(audio: Any, regions: Regions, original: Any = None) -> dict[str, Any]:
    r"""
    Levels in octave bands inside regions, relative to their surroundings: the time before and after a region, each as
    long as the region, but only up to the next region or the end of the piece. The measure is ours.

    Args:
        audio: the edited piece, as [`~audio.io.load_audio`] takes it.
        regions (`Sequence[tuple[float, float]]`): start and end of each edited region in seconds.
        original (*optional*): the piece before the edit, with the same sampling rate and length. Music changes by
            itself, so the original's own differences are subtracted.

    Returns:
        `dict`:

        - `bands`: for each band of [`~evaluation.metrics.sound.octave_levels`], the level inside minus the level of
          the surroundings in dB, the mean over regions. Levels below −60 dBFS count as −60 dBFS
        - `worst_band`: name of the band with the largest difference
        - `worst`: this difference in dB, without sign

        Without any surroundings, `bands` is empty, `worst_band` is `None` and `worst` is NaN.

    Raises:
        `ValueError`: if regions overlap or are not within the piece, or the original is shorter.
    """
    differences = _band_differences(audio, regions)
    if original is not None:
        differences = differences - _band_differences(original, regions)
    if not differences.size:
        return {"bands": {}, "worst_band": None, "worst": math.nan}
    bands = dict(zip(OCTAVE_BANDS, differences.tolist()))
    worst = max(bands, key=lambda band: abs(bands[band]))
    return {"bands": bands, "worst_band": worst, "worst": abs(bands[worst])}


def _band_differences(audio: Any, regions: Regions) -> np.ndarray:
    """The difference in dB for each octave band, the mean over regions with surroundings."""
    waveform, rate = load_audio(audio)
    num_samples = waveform.shape[-1]
    spans = _to_spans(regions, num_samples, rate)
    differences = []
    for index, (first, last) in enumerate(spans):
        before = spans[index - 1][1] if index else 0
        after = spans[index + 1][0] if index + 1 < len(spans) else num_samples
        limits = [(max(2 * first - last, before), first), (last, min(2 * last - first, after))]
        neighbors = [waveform[:, low:high] for low, high in limits if low < high]
        if neighbors:
            inside = _band_powers(waveform[:, first:last], rate)
            weights = np.array([part.shape[-1] for part in neighbors])
            around = weights @ [_band_powers(part, rate) for part in neighbors] / weights.sum()
            floor = 10 ** (SILENT_LEVEL / 10)
            differences.append(10 * np.log10(np.maximum(inside, floor) / np.maximum(around, floor)))
    return np.mean(differences, axis=0) if differences else np.zeros(0)


def _to_spans(regions: Regions, num_samples: int, rate: int) -> list[tuple[int, int]]:
    """First and last sample of each region, in order."""
    if len(regions) and np.ndim(regions) != 2:
        raise ValueError(f"`regions` have to be pairs of start and end in seconds, but got {regions}.")
    spans = sorted((round(start * rate), round(end * rate)) for start, end in regions)
    limits = [0, *(limit for span in spans for limit in span), num_samples]
    if any(first >= last for first, last in spans) or limits != sorted(limits):
        raise ValueError(
            f"`regions` have to be within the {num_samples / rate:g} s of the piece, and must not overlap, but got"
            f" {list(regions)}."
        )
    return spans


def _band_powers(waveform: Any, rate: int) -> np.ndarray:
    return 10 ** (np.array(list(octave_levels((waveform, rate)).values())) / 10)


def measure_variation(variation: Any, recording: Any) -> dict[str, float]:
    r"""
    How far a variation is from the recording it was made from. All three measures change monotonically with the
    strength of a variation. The choice of measures is ours.

    Args:
        variation: the variation, as [`~evaluation.estimators.spectra.load_mono`] takes it.
        recording: the recording in the same form. Both are cut to the shorter length.

    Returns:
        `dict[str, float]`:

        - `log_mel`: mean absolute difference of the levels in 64 mel bands in dB, in windows of 64 ms; 0 for equal
          audio. Levels below −80 dB count as silence
        - `chroma`: correlation of the chroma vectors of all frames (0.1 s), minus their mean over pitch classes: 1 for
          equal harmony, about 0 for unrelated or atonal music
        - `onsets`: correlation of the onset envelopes
          ([`~evaluation.estimators.onsets.percussive_flux`]); 1 for equal rhythm, about 0 for unrelated rhythm

        `chroma` and `onsets` are NaN if the recording has no tones or no onsets, and 0 if only the variation has none.
    """
    pair = [load_mono(audio) for audio in (variation, recording)]
    size = min(map(len, pair))
    pair = [samples[:size] for samples in pair]
    levels = [_mel_levels(samples) for samples in pair]
    return {
        "log_mel": float(np.abs(levels[0] - levels[1]).mean()),
        "chroma": _correlate(*map(_chroma, pair)),
        "onsets": _correlate(*(percussive_flux((samples, SAMPLING_RATE)) for samples in pair)),
    }


def aspect_adherence(
    variations: Sequence[Any],
    round_trips: Sequence[Any],
    recordings: Sequence[dict[str, Any]],
    estimators: Sequence[Estimator] = ESTIMATORS,
    min_clips: int = MIN_CLIPS,
) -> dict[Metric, float]:
    r"""
    How well variations keep the chords, melody and drums of their recordings: the adherence to the recordings'
    controls ÷ the adherence of the recordings after the codec's round trip, which no variation can exceed. The ratio
    is ours.

    Args:
        variations (`Sequence` of length `clips`): as [`~evaluation.estimators.spectra.load_mono`] takes them.
        round_trips (`Sequence` of length `clips`): the encoded and decoded recordings in the same form.
        recordings (`Sequence[dict]` of length `clips`): the recordings, with `audio` `(channels, samples)`,
            `sampling_rate` and the controls that [`~evaluation.adherence.score`] reads.
        estimators (`Sequence[Estimator]`): the estimators, such as those of the aspects that are not edited.
        min_clips (`int`, defaults to `20`): minimum number of clips for a value.

    Returns:
        `dict`: the ratio for each estimator and metric that counts, and on which the round trip is better than chance.
    """
    references = analyze(((item["audio"], item["sampling_rate"]) for item in recordings), estimators)
    floors = score_floor(references, recordings, estimators=estimators)
    ceilings = score(references, recordings, estimators)
    rows, limits = (
        measure_adherence(
            score(analyze(audios, estimators), recordings, estimators),
            floors,
            ceilings,
            estimators,
            min_clips=min_clips,
        )
        for audios in (variations, round_trips)
    )
    return {
        (row.estimator, row.metric): row.value / limit.value
        for row, limit in zip(rows, limits, strict=True)
        if row.counts and limit.value > 0
    }


def _mel_levels(samples: np.ndarray) -> np.ndarray:
    filters = mel_filters(_N_FFT, _MEL_BANDS)
    power = power_spectrogram(samples, _HOP, _N_FFT) @ (filters / filters.sum(axis=0))
    return 10 * np.log10(np.maximum(power, SILENT_MAGNITUDE**2))


def _chroma(samples: np.ndarray) -> np.ndarray:
    """Log magnitudes by pitch class minus their mean in each frame: shape (12 · frames,)."""
    # Three bins per semitone, the middle one at its pitch.
    spectrum = pitch_spectrogram(samples, _CHROMA_HOP, _LOWEST_PITCH - 1 / 3, 36 * _NUM_OCTAVES)
    magnitudes = spectrum.reshape(len(spectrum), _NUM_OCTAVES, 12, 3).sum(axis=(1, 3))
    chroma = np.log1p(magnitudes / _AUDIBLE)
    return (chroma - chroma.mean(axis=1, keepdims=True)).ravel()


def _correlate(values: np.ndarray, reference: np.ndarray) -> float:
    """Pearson's correlation; NaN for a constant reference, and 0 for constant values."""
    values, reference = values - values.mean(), reference - reference.mean()
    norms = np.linalg.norm(values), np.linalg.norm(reference)
    if norms[1] < 1e-9:
        return math.nan
    return float(values @ reference / (norms[0] * norms[1])) if norms[0] >= 1e-9 else 0.0
