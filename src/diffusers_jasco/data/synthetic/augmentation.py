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


"""Reverb, equalizers and a compressor that make dry stems sound like a recording. The stems still sum to the mix."""

import numpy as np


# Levels of the stems before mastering, in dB.
_LEVELS = {"drums": -3.0, "bass": -4.0, "comp": -7.0, "pad": -13.0, "lead": -3.0}
# Reverb send levels.
_SENDS = {"drums": 0.5, "bass": 0.1, "comp": 0.9, "pad": 1.0, "lead": 1.0}
# Level of the mix relative to full scale: RMS of the loud frames, and maximum peak.
_TARGET_RMS = 0.11
_MAX_PEAK = 0.95


def mix(
    stems: dict[str, np.ndarray], num_samples: int, sampling_rate: int, rng: np.random.Generator, dry: bool
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    r"""
    Mixes dry stems to a clip. Frozen test sets depend on this function: other sounds need another function.

    Args:
        stems (`dict[str, np.ndarray]`): name → samples (samples,). Silent stems are dropped.
        num_samples (`int`): length of the clip, which is the end of the stems.
        sampling_rate (`int`): Hz.
        rng (`np.random.Generator`): draws levels, room, equalizers and compression ratio.
        dry (`bool`): only balances and normalizes, without room, equalizers and compression.

    Returns:
        `tuple[np.ndarray, dict[str, np.ndarray]]`: the mix, and the stems, which sum to the mix in this order.
    """
    # Level balancing would amplify silent stems without limit.
    stems = {name: samples for name, samples in stems.items() if np.abs(samples).max() > 1e-4}
    stems = balance(stems, {name: level + rng.uniform(-2, 2) for name, level in _LEVELS.items()})
    ratio = 1.0
    if not dry:
        stems = make_room(stems, sampling_rate, rng, _SENDS)
        ratio = float(rng.uniform(1, 4))
    stems = {name: samples[len(samples) - num_samples :] for name, samples in stems.items()}
    return master(stems, sampling_rate, ratio)


def balance(stems: dict[str, np.ndarray], levels: dict[str, float]) -> dict[str, np.ndarray]:
    r"""
    Scales each stem to its target level, regardless of the instrument's loudness.

    Args:
        stems (`dict[str, np.ndarray]`): name → samples (samples,).
        levels (`dict[str, float]`): name → dB.
    """
    return {
        name: samples * np.float32(10 ** (levels[name] / 20) / max(_active_rms(samples), 1e-4))
        for name, samples in stems.items()
    }


def _active_rms(samples: np.ndarray, frame: int = 1600) -> float:
    """RMS over the frames within 13 dB of the loudest one."""
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    power = np.square(frames, dtype=np.float64).mean(1)
    return float(np.sqrt(power[power >= 0.05 * power.max()].mean()))


def make_room(
    stems: dict[str, np.ndarray],
    sampling_rate: int,
    rng: np.random.Generator,
    sends: dict[str, float],
    seconds: tuple[float, float] = (0.3, 1.4),
) -> dict[str, np.ndarray]:
    r"""
    Applies a common room reverb (exponentially decaying noise) and one equalizer per stem (two shelves and a bell),
    with a single multiplication in the frequency domain per stem.

    Args:
        stems (`dict[str, np.ndarray]`): name → samples (samples,).
        sampling_rate (`int`): Hz.
        rng (`np.random.Generator`): draws the room and the equalizers.
        sends (`dict[str, float]`): name → reverb send level, about 0 ... 1.
        seconds (`tuple[float, float]`, defaults to `(0.3, 1.4)`): range of the reverberation time.
    """
    length = len(next(iter(stems.values())))
    room = _make_impulse_response(rng.uniform(*seconds), sampling_rate, rng)
    size = _fast_length(length + len(room))
    frequencies = np.fft.rfftfreq(size, 1 / sampling_rate).astype(np.float32)
    room_spectrum = np.fft.rfft(room, size)
    wet = rng.uniform(0.05, 0.35)

    def process(name: str, samples: np.ndarray) -> np.ndarray:
        response = _equalizer(frequencies, rng) * (1 + np.float32(wet * sends[name]) * room_spectrum)
        return np.fft.irfft(np.fft.rfft(samples, size) * response, size)[:length].astype(np.float32)

    return {name: process(name, samples) for name, samples in stems.items()}


def _make_impulse_response(seconds: float, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Slightly lowpassed noise with unit energy, a short pre-delay, and a reverberation time (RT60) of `seconds`."""
    times = np.arange(int(seconds * sampling_rate), dtype=np.float32) / np.float32(sampling_rate)
    noise = rng.standard_normal(len(times), dtype=np.float32) * np.exp(np.float32(-6.9 / seconds) * times)
    noise[1:] = 0.5 * (noise[1:] + noise[:-1])
    noise[: int(rng.uniform(0.005, 0.03) * sampling_rate)] = 0
    return noise / np.sqrt(np.sum(noise**2, dtype=np.float64)).astype(np.float32)


def _equalizer(frequencies: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    octaves = np.log2(np.maximum(frequencies, 20) / 1000)
    low, high, bell = rng.uniform(-4, 4, 3)
    center = rng.uniform(-2, 1.5)
    decibels = low / (1 + np.exp(4 * (octaves + 2.3))) + high / (1 + np.exp(-4 * (octaves - 2)))
    decibels = decibels + bell * np.exp(-((octaves - center) ** 2))
    gain = np.exp(np.float32(np.log(10) / 20) * decibels.astype(np.float32))
    # High-pass filter: samples of some sound fonts have a DC offset.
    return gain * frequencies**2 / (frequencies**2 + np.float32(15**2))


def _fast_length(length: int) -> int:
    """The next efficient FFT size: a power of 2, or 3 or 5 times a power of 2."""
    powers = [factor << max(0, (-(-length // factor) - 1).bit_length()) for factor in (1, 3, 5)]
    return min(powers)


def master(
    stems: dict[str, np.ndarray], sampling_rate: int, ratio: float = 1.0
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    r"""
    Compresses and normalizes the mix with a time-varying gain that is the same for all stems, so that the mix stays
    their sum.

    Args:
        stems (`dict[str, np.ndarray]`): name → samples (samples,).
        sampling_rate (`int`): Hz.
        ratio (`float`): compression ratio, at least 1 (no compression).

    Returns:
        `tuple[np.ndarray, dict[str, np.ndarray]]`: the mix, and the stems, which sum to the mix in this order.
    """
    mix = sum_stems(stems)
    gain: np.floating | np.ndarray = np.float32(_TARGET_RMS / max(_active_rms(mix), 1e-4))
    if ratio > 1:
        hop = sampling_rate // 100
        power = np.square(mix[: len(mix) // hop * hop].reshape(-1, hop), dtype=np.float64).mean(1) * float(gain) ** 2
        window = np.hanning(17)
        level = np.sqrt(np.convolve(np.pad(power, 8, mode="edge"), window / window.sum(), mode="valid")) + 1e-6
        reduction = np.minimum(1.0, (level / _TARGET_RMS) ** (1 / ratio - 1))
        centers = (np.arange(len(reduction)) + 0.5) * hop
        gain = gain * np.interp(np.arange(len(mix)), centers, reduction).astype(np.float32)
    peak = float(np.abs(mix * gain).max())
    gain = gain * np.float32(min(1.0, _MAX_PEAK / max(peak, 1e-9)))
    stems = {name: samples * gain for name, samples in stems.items()}
    return sum_stems(stems), stems


def sum_stems(stems: dict[str, np.ndarray]) -> np.ndarray:
    """Sums in the dictionary's order, since float addition is not associative."""
    total = np.zeros_like(next(iter(stems.values())))
    for samples in stems.values():
        total += samples
    return total
