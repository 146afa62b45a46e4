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


"""Front end of the estimators: audio at a common sampling rate, linear and musical spectra, and decoding."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ...audio.io import load_audio
from ...audio.resampling import resample


SAMPLING_RATE = 16000  # Hz; estimators use frequencies below 8 kHz only
A4_PITCH, A4_FREQUENCY = 69, 440.0
SILENCE = 1e-5  # magnitude
NEGLIGIBLE = 1e-3  # relative to a kernel's largest value
BINS_PER_GROUP = 36


def load_mono(audio: Any) -> np.ndarray:
    r"""
    Loads audio in the format of the estimators.

    Args:
        audio (`tuple`, `dict`, `str` or `os.PathLike`):
            `(waveform, sampling_rate)` with a waveform of shape `(samples,)` or `(channels, samples)`, or another
            input of [`~audio.io.load_audio`].

    Returns:
        `np.ndarray` of shape `(samples,)`: the mean of the channels at 16 kHz, in float32.
    """
    waveform, rate = load_audio(audio)
    return resample(waveform.mean(dim=0), rate, SAMPLING_RATE).numpy()


def power_spectrogram(samples: np.ndarray, hop: int, n_fft: int) -> np.ndarray:
    r"""
    Args:
        samples (`np.ndarray` of shape `(samples,)`): audio at 16 kHz.
        hop (`int`): samples between frames. Frame `i` is centered on sample `i * hop`.
        n_fft (`int`): length of the Hann window in samples.

    Returns:
        `np.ndarray` of shape `(frames, n_fft // 2 + 1)`: squared magnitudes; a sine of amplitude 1 has a peak of 1.
    """
    window = torch.hann_window(n_fft)
    padded = torch.nn.functional.pad(torch.from_numpy(samples), (n_fft // 2, n_fft // 2))
    spectrum = torch.stft(padded, n_fft, hop, window=window, center=False, return_complex=True)
    return (spectrum.abs() * (2 / window.sum())).square().T.contiguous().numpy()


@lru_cache(maxsize=4)
def mel_filters(n_fft: int, num_bands: int) -> np.ndarray:
    """Triangular filters of shape (n_fft // 2 + 1, num_bands) from 30 Hz to 8 kHz, equally wide on the mel scale."""
    low, high = (2595 * math.log10(1 + frequency / 700) for frequency in (30, SAMPLING_RATE / 2))
    edges = 700 * (10 ** (np.linspace(low, high, num_bands + 2) / 2595) - 1)
    frequencies = np.arange(n_fft // 2 + 1)[:, None] * SAMPLING_RATE / n_fft
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rising, falling), 0, None).astype(np.float32)


@lru_cache(maxsize=8)
def _pitch_kernels(
    lowest: float, num_bins: int, bins_per_semitone: int, max_window: float
) -> tuple[int, list[tuple[slice, torch.Tensor]]]:
    pitches = lowest + np.arange(num_bins) / bins_per_semitone
    frequencies = A4_FREQUENCY * 2 ** ((pitches - A4_PITCH) / 12)
    quality = 1 / (2 ** (1 / (12 * bins_per_semitone)) - 1)
    lengths = np.minimum(quality / frequencies, max_window) * SAMPLING_RATE
    n_fft = 2 ** int(np.ceil(np.log2(lengths.max())))
    offsets = np.arange(n_fft) - n_fft / 2
    groups = []
    for start in range(0, num_bins, BINS_PER_GROUP):
        frequency = frequencies[start : start + BINS_PER_GROUP, None]
        length = lengths[start : start + BINS_PER_GROUP, None]
        window = np.where(np.abs(offsets) <= length / 2, 0.5 + 0.5 * np.cos(2 * np.pi * offsets / length), 0)
        kernel = window / window.sum(axis=1, keepdims=True) * np.exp(2j * np.pi * frequency / SAMPLING_RATE * offsets)
        kernel = 2 * np.fft.fft(kernel)[:, : n_fft // 2 + 1].conj() / n_fft
        used = np.flatnonzero((np.abs(kernel) > NEGLIGIBLE * np.abs(kernel).max(axis=1, keepdims=True)).any(axis=0))
        band = slice(int(used[0]), int(used[-1]) + 1)
        groups.append((band, torch.from_numpy(kernel[:, band].astype(np.complex64))))
    return n_fft, groups


def pitch_spectrogram(
    samples: np.ndarray,
    hop: int,
    lowest: float,
    num_bins: int,
    bins_per_semitone: int = 3,
    max_window: float = 1.0,
    offset: int = 0,
) -> np.ndarray:
    r"""
    A constant-Q transform (Brown and Puckette, 1992: kernels in the frequency domain), with windows of at most
    `max_window`.

    Args:
        samples (`np.ndarray` of shape `(samples,)`): audio at 16 kHz.
        hop (`int`): samples between frames. Frame `i` is centered on sample `i * hop + offset`.
        lowest (`float`): MIDI number of bin 0.
        num_bins (`int`): number of bins, the highest of which has to be below 8 kHz.
        bins_per_semitone (`int`, defaults to `3`): bins per semitone.
        max_window (`float`, defaults to `1.0`): longest window in seconds.
        offset (`int`, defaults to `0`): sample on which frame 0 is centered.

    Returns:
        `np.ndarray` of shape `(ceil(samples / hop), num_bins)`: magnitudes; a sine of amplitude 1 has a peak of 1.
    """
    n_fft, groups = _pitch_kernels(lowest, num_bins, bins_per_semitone, max_window)
    frames = -(-len(samples) // hop)
    padding = (n_fft // 2 - offset, max(0, (frames - 1) * hop + offset + n_fft // 2 - len(samples)))
    padded = torch.nn.functional.pad(torch.from_numpy(samples), padding)
    spectrum = torch.stft(padded, n_fft, hop, window=torch.ones(n_fft), center=False, return_complex=True)[:, :frames]
    return torch.cat([(kernel @ spectrum[band]).abs() for band, kernel in groups]).T.contiguous().numpy()


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Centered running mean over `width` values (an odd number) along the last axis, over fewer at the ends."""
    half = width // 2
    sums = np.cumsum(np.pad(values, [(0, 0)] * (values.ndim - 1) + [(1, 0)]), axis=-1, dtype=np.float64)
    size = values.shape[-1]
    low, high = np.maximum(np.arange(size) - half, 0), np.minimum(np.arange(size) + half + 1, size)
    return ((sums[..., high] - sums[..., low]) / (high - low)).astype(values.dtype)


def running_median(values: np.ndarray, width: int, axis: int) -> np.ndarray:
    """Centered running median over `width` values (an odd number) along an axis of a 2D array, with edge padding."""
    margins = [(0, 0), (0, 0)]
    margins[axis] = (width // 2, width // 2)
    padded = torch.from_numpy(np.pad(values, margins, mode="edge"))
    return padded.unfold(axis, width, 1).median(dim=-1).values.numpy()


def viterbi(scores: np.ndarray, transitions: np.ndarray) -> np.ndarray:
    r"""
    The most probable sequence of states.

    Args:
        scores (`np.ndarray` of shape `(frames, states)`): log likelihoods.
        transitions (`np.ndarray` of shape `(states, states)`): log probabilities, from row to column.

    Returns:
        `np.ndarray` of shape `(frames,)`: indices of states.
    """
    best, origins = scores[0], np.zeros(scores.shape, dtype=np.int64)
    for frame in range(1, len(scores)):
        candidates = best[:, None] + transitions
        origins[frame] = candidates.argmax(axis=0)
        best = candidates[origins[frame], np.arange(len(best))] + scores[frame]
    path = np.empty(len(scores), dtype=np.int64)
    path[-1] = best.argmax()
    for frame in range(len(scores) - 1, 0, -1):
        path[frame - 1] = origins[frame, path[frame]]
    return path


def fit_notes(spectrum: np.ndarray, dictionary: np.ndarray, num_iterations: int = 30) -> np.ndarray:
    r"""
    Decomposes a spectrum into notes by non-negative least squares with multiplicative updates (Lee and Seung, 2001).

    Args:
        spectrum (`np.ndarray` of shape `(frames, bins)`): non-negative magnitudes.
        dictionary (`np.ndarray` of shape `(notes, bins)`): the spectrum of each note.
        num_iterations (`int`, defaults to `30`): number of updates.

    Returns:
        `np.ndarray` of shape `(frames, notes)`: non-negative activations.
    """
    product, gram = spectrum @ dictionary.T, dictionary @ dictionary.T
    activations = np.full_like(product, product.mean() / gram.mean() / len(gram) + 1e-9)
    for _ in range(num_iterations):
        activations *= product / (activations @ gram + 1e-9)
    return activations
