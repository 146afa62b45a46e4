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


"""Sound checks of a waveform, and distances between waveforms."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...audio.io import load_audio
from ...audio.loudness import measure_loudness
from ...audio.resampling import resample
from ...extraction import separate_drums
from ..estimators.spectra import SAMPLING_RATE, load_mono, power_spectrogram, running_median


CLIPPED = 0.999  # magnitude
SILENT_LEVEL = -60.0  # dBFS
FRAME_SECONDS = 0.05
LOUDNESS_SECONDS = 0.4
RISE_SECONDS = 0.03
OCTAVE_BANDS = {"63 Hz": 63, "125 Hz": 125, "250 Hz": 250, "500 Hz": 500} | {
    f"{k} kHz": 1000 * k for k in (1, 2, 4, 8)
}
TONE_BANDS = ("250 Hz", "500 Hz", "1 kHz", "2 kHz", "4 kHz")
TONE_WINDOW = 4096  # samples at 16 kHz: 256 ms
TONE_NEIGHBORS = 65  # frequency bins: 254 Hz
MIN_HARMONIC_TO_NOISE = -10.0  # dB
MAX_HARMONIC_TO_NOISE = 60.0  # dB
USUAL_LOUDNESS = (5, 95)  # percentiles
WINDOW_SIZES = (256, 1024, 4096)  # samples at 16 kHz
SILENT_MAGNITUDE = 1e-4  # relative to a full-scale sine


@dataclass(frozen=True)
class SoundCheck:
    r"""
    Simple measures of a waveform, from [`check_sound`].

    Args:
        peak (`float`): largest magnitude; 1 is full scale.
        clipped_share (`float`): share of samples at full scale or beyond, in [0, 1].
        dc (`float`): largest magnitude of a channel's mean, in [0, 1].
        level (`float`): root mean square in dBFS, at least -120.
        loudness (`float`): LUFS, as [`~audio.loudness.measure_loudness`] returns it.
        silent_share (`float`): share of 50 ms frames below −60 dBFS, in [0, 1].
        longest_silence (`float`): seconds of the longest run of such frames.
        loudness_spread (`float`): standard deviation in dB of the levels of non-silent 0.4 s blocks.
        bands (`dict[str, float]`): as [`octave_levels`] returns it.
        harmonic_to_noise (`float`): dB, as [`harmonic_to_noise`] returns it.
        rise (`float`): dB, as [`rise_at_onsets`] returns it.
    """

    peak: float
    clipped_share: float
    dc: float
    level: float
    loudness: float
    silent_share: float
    longest_silence: float
    loudness_spread: float
    bands: dict[str, float]
    harmonic_to_noise: float
    rise: float


def check_sound(audio: Any, onsets: Sequence[float] = ()) -> SoundCheck:
    r"""
    Simple measures of a waveform.

    Args:
        audio (`tuple`, `dict`, `str` or `os.PathLike`): `(waveform, sampling_rate)` with a waveform of shape
            `(samples,)` or `(channels, samples)`, or another input of [`~audio.io.load_audio`].
        onsets (`Sequence[float]`): its drum onsets in seconds.
    """
    waveform, rate = load_audio(audio)
    samples = waveform.double().numpy()
    silent = _levels(samples, round(FRAME_SECONDS * rate)) < SILENT_LEVEL
    # Boundaries of runs of silent frames.
    edges = np.flatnonzero(np.diff(silent.astype(int), prepend=0, append=0))
    longest = int((edges[1::2] - edges[::2]).max(initial=0))
    blocks = _levels(samples, round(LOUDNESS_SECONDS * rate))
    blocks = blocks[blocks >= SILENT_LEVEL]
    return SoundCheck(
        peak=float(np.abs(samples).max()),
        clipped_share=float((np.abs(samples) >= CLIPPED).mean()),
        dc=float(np.abs(samples.mean(axis=1)).max()),
        level=float(_to_db((samples**2).mean())),
        loudness=measure_loudness(waveform, rate),
        silent_share=float(silent.mean()),
        longest_silence=longest * FRAME_SECONDS,
        loudness_spread=float(blocks.std()) if blocks.size else 0.0,
        bands=octave_levels((waveform, rate)),
        harmonic_to_noise=harmonic_to_noise((waveform, rate)),
        rise=rise_at_onsets((waveform, rate), onsets),
    )


def _to_db(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, 1e-12))


def _levels(samples: np.ndarray, size: int) -> np.ndarray:
    """Levels of blocks of `size` samples. An incomplete last block is dropped, unless it is the only one."""
    size = max(1, min(size, samples.shape[-1]))
    blocks = samples[:, : samples.shape[-1] // size * size].reshape(len(samples), -1, size)
    return _to_db((blocks**2).mean(axis=(0, 2)))


def octave_levels(audio: Any) -> dict[str, float]:
    r"""
    The level in each octave band, from the power spectrum of the whole waveform (Parseval): the powers of all bands
    add up to the power of the music between 44 Hz and 11.3 kHz.

    Args:
        audio: as [`~audio.io.load_audio`] takes it.

    Returns:
        `dict[str, float]`: dBFS, at least -120, by the band's nominal center, `"63 Hz"` … `"8 kHz"`. The bands are
        those of IEC 61260-1, from the center ÷ √2 to the center × √2; bands that exceed the Nyquist frequency are
        omitted (the 8 kHz band at a sampling rate of 16 kHz; at 8 kHz the 4 kHz band, too).
    """
    waveform, rate = load_audio(audio)
    size = waveform.shape[-1]
    spectrum = 2 * np.square(np.abs(np.fft.rfft(waveform.double().numpy()) / size)).mean(axis=0)
    frequencies = np.arange(len(spectrum)) * rate / size
    return {
        band: float(_to_db(spectrum[_octave(frequencies, center)].sum()))
        for band, center in OCTAVE_BANDS.items()
        if math.sqrt(2) * center <= rate / 2
    }


def _octave(frequencies: np.ndarray, center: float) -> np.ndarray:
    return (frequencies >= center / math.sqrt(2)) & (frequencies < center * math.sqrt(2))


def harmonic_to_noise(audio: Any) -> float:
    r"""
    How far tones stand out from noise. In spectra of 256 ms, tones are narrow peaks above a noise floor. The noise
    power at a frequency is the running median over the surrounding 254 Hz, divided by ln 2: the spectral power of
    Gaussian noise has an exponential distribution, whose median is ln 2 times its mean. (The median over frequencies
    is Fitzgerald's, 2010, for percussive components; the correction is that of noise-level estimation, as in Yeh and
    Röbel, 2006.) The remaining power belongs to tones.

    Drums and other onsets count as noise, and so do notes too close for the window to resolve, so compare the ratio of
    music with that of its reference clip.

    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.

    Returns:
        `float`: power of the tones ÷ power of the noise in dB, limited to [-10, 60] in each octave band and averaged
        over the non-silent bands (above −60 dBFS) from 250 Hz to 4 kHz. NaN if all are silent.
    """
    power = power_spectrogram(load_mono(audio), TONE_WINDOW // 2, TONE_WINDOW)
    # Tones are smeared in windows that contain the beginning or end of the music.
    power = power[1:-1] if len(power) > 2 else power
    noise = running_median(power, TONE_NEIGHBORS, axis=1) / math.log(2)
    frequencies = np.arange(power.shape[1]) * SAMPLING_RATE / TONE_WINDOW
    ratios = []
    for band in TONE_BANDS:
        inside = _octave(frequencies, OCTAVE_BANDS[band])
        total, rest = power[:, inside].sum(), noise[:, inside].sum()
        # The peak of a full-scale sine, whose power is 0.5, sums to 1.5.
        if _to_db(total / len(power) / 3) >= SILENT_LEVEL:
            tones = max(total - rest, 1e-12)
            ratios.append(
                np.clip(10 * np.log10(tones / max(rest, 1e-12)), MIN_HARMONIC_TO_NOISE, MAX_HARMONIC_TO_NOISE)
            )
    return float(np.mean(ratios)) if ratios else math.nan


def rise_at_onsets(audio: Any, onsets: Sequence[float]) -> float:
    r"""
    Sharpness of onsets: the rise of the level from the 30 ms before an onset to the 30 ms after it, averaged over
    onsets. Softened and late onsets lower it.

    Args:
        audio: as [`~audio.io.load_audio`] takes it.
        onsets (`Sequence[float]`): the onsets in seconds. Onsets in the first 30 ms are ignored.

    Returns:
        `float`: dB; NaN if there are no onsets.
    """
    waveform, rate = load_audio(audio)
    power = waveform.double().square().mean(dim=0).numpy()
    size = round(RISE_SECONDS * rate)
    starts = [round(onset * rate) for onset in onsets]
    pairs = [(power[start - size : start], power[start : start + size]) for start in starts if start >= size]
    rises = [10 * np.log10((after.mean() + 1e-8) / (before.mean() + 1e-8)) for before, after in pairs if len(after)]
    return float(np.mean(rises)) if rises else math.nan


def drum_level(audio: Any) -> float:
    r"""
    The level of the drums relative to everything else, as the drum separator separates them.

    Args:
        audio: as [`~audio.io.load_audio`] takes it.

    Returns:
        `float`: dB.
    """
    waveform, rate = load_audio(audio)
    mix = waveform.mean(dim=0, keepdim=True)
    drums, drums_rate = separate_drums(mix, rate)
    drums = resample(drums, drums_rate, rate)[:, : mix.shape[-1]]
    rest = mix[:, : drums.shape[-1]] - drums
    levels = [_to_db(part.double().square().mean().numpy()) for part in (drums, rest)]
    return float(levels[0] - levels[1])


def compare_sound(checks: Sequence[dict[str, Any]], references: Sequence[dict[str, Any]]) -> dict[str, Any]:
    r"""
    Differences in sound between a set of clips and a set of reference clips.

    Args:
        checks (`Sequence[dict]`): the clips' [`SoundCheck`], as `dict`.
        references (`Sequence[dict]`): those of the reference clips.

    Returns:
        `dict`:

        - `bands`: for each octave band of both sets, the mean level of the clips minus that of the reference clips, in
          dB. Levels below −60 dBFS count as −60 dBFS
        - `worst_band`: the name of the band with the largest difference; `None` without a common band
        - `usual_loudness`: share of the clips whose loudness is between the 5th and the 95th percentile of the
          reference clips, in [0, 1]; NaN if no reference clip has a loudness. For the reference clips themselves it is
          0.9
    """

    def mean_level(sounds: Sequence[dict[str, Any]], band: str) -> float:
        return float(np.mean([max(sound["bands"][band], SILENT_LEVEL) for sound in sounds]))

    common = [band for band in OCTAVE_BANDS if all(band in sound["bands"] for sound in (*checks, *references))]
    bands = {band: mean_level(checks, band) - mean_level(references, band) for band in common}
    levels = [sound["loudness"] for sound in references if not math.isnan(sound["loudness"])]
    usual = math.nan
    if levels:
        low, high = np.percentile(levels, USUAL_LOUDNESS)
        usual = float(np.mean([low <= sound["loudness"] <= high for sound in checks]))
    return {
        "bands": bands,
        "worst_band": max(bands, key=lambda band: abs(bands[band]), default=None),
        "usual_loudness": usual,
    }


def spectral_distance(audio: Any, reference: Any) -> float:
    r"""
    Multi-resolution distance of magnitude spectra: the mean absolute difference in dB over frames and frequencies
    below 8 kHz, with windows of 16, 64 and 256 ms. It does not depend on phases.

    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.
        reference: the reference, in the same form. Both are cut to the shorter length.

    Returns:
        `float`: dB, 0 for equal audio; levels below −80 dB count as silence.
    """
    audio, reference = load_mono(audio), load_mono(reference)
    size = min(len(audio), len(reference))
    distances = []
    for n_fft in WINDOW_SIZES:
        levels = [
            _to_db(np.maximum(power_spectrogram(samples[:size], n_fft // 4, n_fft), SILENT_MAGNITUDE**2))
            for samples in (audio, reference)
        ]
        distances.append(np.abs(levels[0] - levels[1]).mean())
    return float(np.mean(distances))
