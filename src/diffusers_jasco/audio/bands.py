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

"""Spectrograms with bands on a logarithmic scale, which the networks of the extractors read."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class LogBands:
    r"""
    Overlapping bands of equal width on a logarithmic scale, but at least one bin to either side.

    Args:
        sampling_rate (`int`): Hz.
        window (`int`): samples per frame.
        lowest (`float`): center of the lowest band in Hz.
        per_octave (`int`): bands per octave.
        count (`int`): number of bands.
    """

    sampling_rate: int
    window: int
    lowest: float
    per_octave: int
    count: int

    @cached_property
    def weights(self) -> np.ndarray:
        """Weights `(FFT bins, bands)`, float32: raised cosines, each with the sum 1."""
        bin_width = self.sampling_rate / self.window
        frequencies = np.arange(self.window // 2 + 1) * bin_width
        centers = self.lowest * 2 ** (np.arange(self.count) / self.per_octave)
        widths = np.maximum(centers * (2 ** (1 / self.per_octave) - 1), bin_width)
        distance = np.clip((frequencies[:, None] - centers) / widths, -1, 1)
        weights = 0.5 + 0.5 * np.cos(np.pi * distance)
        return (weights / weights.sum(axis=0)).astype(np.float32)

    def magnitudes(self, frames: np.ndarray) -> np.ndarray:
        r"""
        Computes the magnitudes in the bands.

        Args:
            frames (`np.ndarray` of shape `(frames, window)`): overlapping frames of mono audio.

        Returns:
            `np.ndarray` of shape `(frames, bands)`: float32; a sine of amplitude 1 has a magnitude of at most a quarter of
            the window.
        """
        hann = np.hanning(self.window + 1)[:-1].astype(np.float32)
        return np.abs(np.fft.rfft(frames * hann)).astype(np.float32) @ self.weights
