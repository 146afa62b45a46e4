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

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...audio.io import load_audio
from ...audio.loudness import measure_loudness
from ..estimators.spectra import SAMPLING_RATE, load_mono, power_spectrogram, running_median


CLIPPED = 0.999
SILENT_LEVEL = -60.0  # dB below full scale
FRAME_SECONDS = 0.05
LOUDNESS_SECONDS = 0.4
RISE_SECONDS = 0.03
OCTAVE_BANDS = {"63 Hz": 63, "125 Hz": 125, "250 Hz": 250, "500 Hz": 500} | {
    f"{k} kHz": 1000 * k for k in (1, 2, 4, 8)
}
TONE_BANDS = ("250 Hz", "500 Hz", "1 kHz", "2 kHz", "4 kHz")
TONE_WINDOW, TONE_NEIGHBORS = 4096, 65  # samples at 16 kHz, 256 ms; frequencies, 254 Hz
NO_TONES, NO_NOISE = -10.0, 60.0  # dB
USUAL = (5, 95)  # percentiles
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
        loudness (`float`): LUFS, as [`~audio.loudness.measure_loudness`] returns it.
        silent_share (`float`): share of frames of 50 ms below −60 dB, in [0, 1].
        longest_silence (`float`): seconds of the longest run of such frames.
        loudness_spread (`float`): standard deviation in dB of the level of blocks of 0.4 s that are not silent.
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
        audio (`tuple`, `dict`, `str` or `os.PathLike`): `(waveform, sampling_rate)` with a waveform of shape `(samples,)`
            or `(channels, samples)`, or what else [`~audio.io.load_audio`] reads.
        onsets (`Sequence[float]`): when drums are struck in it, in seconds.
    """
    waveform, rate = load_audio(audio)
    samples = waveform.double().numpy()
    silent = _levels(samples, round(FRAME_SECONDS * rate)) < SILENT_LEVEL
    # Where runs of silent frames begin and end.
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
    """Of blocks of `size` samples, without a last one that is not full unless it is the only one."""
    size = max(1, min(size, samples.shape[-1]))
    blocks = samples[:, : samples.shape[-1] // size * size].reshape(len(samples), -1, size)
    return _to_db((blocks**2).mean(axis=(0, 2)))


def octave_levels(audio: Any) -> dict[str, float]:
    r"""
    The level in each octave band, from the power spectrum of the whole (Parseval): the levels' powers add up to that of the
    music between 44 Hz and 11.3 kHz.

    Args:
        audio: as [`~audio.io.load_audio`] takes it.

    Returns:
        `dict[str, float]`: dB below full scale, at least -120, by the band's nominal center, `"63 Hz"` … `"8 kHz"`. The bands are
        those of IEC 61260-1, from the center ÷ √2 to the center × √2; those that the sampling rate does not wholly hold are left
        out (at 16 kHz that of 8 kHz, at 8 kHz that of 4 kHz, too).
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
    How far tones stand out from noise. In spectra of 256 ms, tones are narrow peaks and noise is what lies between them: its
    power at a frequency is the running median over 254 Hz around it, ÷ ln 2, as the power of Gaussian noise in a spectrum has an
    exponential distribution, whose median is ln 2 of its mean. (The median over frequencies is that of Fitzgerald, 2010, for
    what is percussive; the correction that of noise-level estimation, as in Yeh and Röbel, 2006.) The rest is tones.

    Drums and other onsets are noise in this sense, and notes that are closer than the window resolves are, too, so the ratio
    of music is to be compared with that of its original.

    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.

    Returns:
        `float`: power of the tones ÷ power of the noise in dB, as a mean over those of the octave bands from 250 Hz to 4 kHz that
        are not silent (−60 dB); in each between -10 (noise) and 60. NaN if all are silent.
    """
    power = power_spectrogram(load_mono(audio), TONE_WINDOW // 2, TONE_WINDOW)
    # Where music begins or ends within a window, its tones are wide.
    power = power[1:-1] if len(power) > 2 else power
    noise = running_median(power, TONE_NEIGHBORS, axis=1) / math.log(2)
    frequencies = np.arange(power.shape[1]) * SAMPLING_RATE / TONE_WINDOW
    ratios = []
    for band in TONE_BANDS:
        inside = _octave(frequencies, OCTAVE_BANDS[band])
        total, rest = power[:, inside].sum(), noise[:, inside].sum()
        # The sum over a full-scale sine's peak is 1.5, its power 0.5.
        if _to_db(total / len(power) / 3) >= SILENT_LEVEL:
            tones = max(total - rest, 1e-12)
            ratios.append(np.clip(10 * np.log10(tones / max(rest, 1e-12)), NO_TONES, NO_NOISE))
    return float(np.mean(ratios)) if ratios else math.nan


def rise_at_onsets(audio: Any, onsets: Sequence[float]) -> float:
    r"""
    How sharp onsets are: the rise of the level from the 30 ms before a onset to the 30 ms after it, as a mean over onsets. It
    falls with onsets that are softened, and with those that come late.

    Args:
        audio: as [`~audio.io.load_audio`] takes it.
        onsets (`Sequence[float]`): the onsets in seconds. Those without 30 ms before them are left out.

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


def compare_sound(checks: Sequence[dict[str, Any]], references: Sequence[dict[str, Any]]) -> dict[str, Any]:
    r"""
    How far the sound of clips is from that of originals, as a whole.

    Args:
        checks (`Sequence[dict]`): the clips' [`SoundCheck`], as `dict`.
        originals (`Sequence[dict]`): those of the originals.

    Returns:
        `dict`:

        - `bands`: for each octave band that both have, the mean level of the clips less that of the originals, in dB. What is below
          −60 dB counts as −60 dB
        - `worst_band`: the name of the band with the largest difference; `None` if there is none
        - `usual_loudness`: share of the clips whose loudness is between the 5th and the 95th percentile of the originals', in
          [0, 1]; NaN if no original has a loudness. Of the originals themselves, 9 of 10 are
    """

    def mean_level(sounds: Sequence[dict[str, Any]], band: str) -> float:
        return float(np.mean([max(sound["bands"][band], SILENT_LEVEL) for sound in sounds]))

    common = [band for band in OCTAVE_BANDS if all(band in sound["bands"] for sound in (*checks, *references))]
    bands = {band: mean_level(checks, band) - mean_level(references, band) for band in common}
    known = [sound["loudness"] for sound in references if not math.isnan(sound["loudness"])]
    usual = math.nan
    if known:
        low, high = np.percentile(known, USUAL)
        usual = float(np.mean([low <= sound["loudness"] <= high for sound in checks]))
    return {
        "bands": bands,
        "worst_band": max(bands, key=lambda band: abs(bands[band]), default=None),
        "usual_loudness": usual,
    }


def spectral_distance(audio: Any, reference: Any) -> float:
    r"""
    Multi-resolution distance of magnitudes: the mean absolute difference in dB over frames and frequencies below 8 kHz,
    with windows of 16, 64 and 256 ms. It does not depend on phases.

    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.
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
