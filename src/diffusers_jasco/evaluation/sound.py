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


"""What is wrong with a waveform, and how far it is from another one."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..audio import load_audio
from .spectra import load_mono, power_spectrogram


CLIPPED = 0.999
SILENT_LEVEL = -60.0  # dB below full scale
FRAME_SECONDS = 0.05
LOUDNESS_SECONDS = 0.4
RESOLUTIONS = (256, 1024, 4096)  # samples at 16 kHz
LOWEST_MAGNITUDE = 1e-4  # of a full-scale sine; what is below is silence


@dataclass(frozen=True)
class SoundCheck:
    r"""
    Args:
        peak (`float`): largest magnitude; 1 is full scale.
        clipped_share (`float`): share of samples at full scale or beyond, in [0, 1].
        dc (`float`): largest mean of a channel, in [0, 1].
        level (`float`): root mean square in dB below full scale, at least -120.
        silent_share (`float`): share of frames of 50 ms below −60 dB, in [0, 1].
        longest_silence (`float`): seconds of the longest run of such frames.
        loudness_spread (`float`): standard deviation in dB of the level of blocks of 0.4 s that are not silent.
    """

    peak: float
    clipped_share: float
    dc: float
    level: float
    silent_share: float
    longest_silence: float
    loudness_spread: float


def check_sound(audio: Any) -> SoundCheck:
    r"""
    Simple measures of a waveform.

    Args:
        audio (`tuple`, `dict`, `str` or `os.PathLike`): `(waveform, sampling_rate)` with a waveform of shape `(samples,)`
            or `(channels, samples)`, or what else [`~audio.load_audio`] reads.
    """
    waveform, rate = load_audio(audio)
    samples = waveform.double().numpy()
    silent = _levels(samples, round(FRAME_SECONDS * rate)) < SILENT_LEVEL
    # Where runs of silent frames begin and end.
    edges = np.flatnonzero(np.diff(silent.astype(int), prepend=0, append=0))
    longest = int((edges[1::2] - edges[::2]).max(initial=0))
    loudness = _levels(samples, round(LOUDNESS_SECONDS * rate))
    loudness = loudness[loudness >= SILENT_LEVEL]
    return SoundCheck(
        peak=float(np.abs(samples).max()),
        clipped_share=float((np.abs(samples) >= CLIPPED).mean()),
        dc=float(np.abs(samples.mean(axis=1)).max()),
        level=float(_to_db((samples**2).mean())),
        silent_share=float(silent.mean()),
        longest_silence=longest * FRAME_SECONDS,
        loudness_spread=float(loudness.std()) if loudness.size else 0.0,
    )


def _to_db(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, 1e-12))


def _levels(samples: np.ndarray, size: int) -> np.ndarray:
    """Of blocks of `size` samples, without a last one that is not full unless it is the only one."""
    size = max(1, min(size, samples.shape[-1]))
    blocks = samples[:, : samples.shape[-1] // size * size].reshape(len(samples), -1, size)
    return _to_db((blocks**2).mean(axis=(0, 2)))


def spectral_distance(audio: Any, reference: Any) -> float:
    r"""
    Multi-resolution distance of magnitudes: the mean absolute difference in dB over frames and frequencies below 8 kHz,
    with windows of 16, 64 and 256 ms. It does not depend on phases.

    Args:
        audio: as [`~evaluation.spectra.load_mono`] takes it.
        reference: another one. Both are cut to the shorter.

    Returns:
        `float`: dB, 0 for equal audio; levels below −80 dB count as silence.
    """
    first, second = load_mono(audio), load_mono(reference)
    size = min(len(first), len(second))
    distances = []
    for n_fft in RESOLUTIONS:
        levels = [
            _to_db(np.maximum(power_spectrogram(samples[:size], n_fft // 4, n_fft), LOWEST_MAGNITUDE**2))
            for samples in (first, second)
        ]
        distances.append(np.abs(levels[0] - levels[1]).mean())
    return float(np.mean(distances))
