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

"""Loudness and silence detection of whole recordings."""

import math
from dataclasses import dataclass, replace

import torch
from diffusers.utils import logging

from .files import AudioFile
from .loudness import MIN_LOUDNESS_SECONDS, SILENCE_LUFS, LoudnessMeter
from .waveforms import Waveform


logger = logging.get_logger(__name__)

SILENT_POWER = 1e-7  # -70 dBFS
SILENT_PEAK = 1e-4  # -80 dBFS
CONSTANT = 1e-6  # a signal is constant (DC) if its AC power is below this share of its squared mean
CANCELED = 0.01  # channels cancel if the mono mix has less than this share of the power of uncorrelated channels
DRUMS_LOUDNESS = -20.0  # LUFS, for checkpoints that do not specify the loudness of their drums
QUIET_DRUMS = -45.0  # LUFS; the model is likely to follow quieter drums poorly
NO_DRUMS = -30.0  # LU relative to the mix; quieter separated drums are residues of other instruments
MIN_SECONDS = 0.01  # shorter recordings are probably mistakes


@dataclass(frozen=True)
class Levels:
    r"""
    Levels of a recording.

    Args:
        duration (`float`): duration in seconds.
        loudness (`float`): integrated loudness of the mono mix in LUFS (ITU-R BS.1770); NaN for silence (below -70
            LUFS).
        mono_power (`float`): mean square of the mono mix without its DC offset; 1 is full scale.
        channel_power (`float`): mean square of a mono mix of uncorrelated channels with the same levels.
        constant (`float`): DC offset of the mono mix.
    """

    duration: float
    loudness: float
    mono_power: float
    channel_power: float
    constant: float

    @property
    def is_constant(self) -> bool:
        """Whether all samples have (nearly) the same non-zero value."""
        return self.constant**2 > max(SILENT_POWER, self.mono_power / CONSTANT)

    @property
    def is_silent(self) -> bool:
        return math.isnan(self.loudness) or self.is_constant


def measure_levels(
    source: AudioFile | Waveform, argument: str = "audio", first: int = 0, last: int | None = None
) -> Levels:
    r"""
    Measures the levels of a recording in constant memory.

    Args:
        source ([`~audio.files.AudioFile`] or [`~audio.waveforms.Waveform`]):
            The recording as returned by [`~audio.io.open_audio`].
        argument (`str`): name of the argument for error messages.
        first, last (`int`, *optional*): the range of samples to measure; by default all samples.

    Raises:
        [`InputError`]: if the file is truncated.
    """
    rate = source.samplerate
    meter = LoudnessMeter(rate)
    count, total, squares, offset = 0, 0.0, 0.0, 0.0
    channel_totals: torch.Tensor | float = 0.0
    channel_squares: torch.Tensor | float = 0.0
    for block in (torch.from_numpy(samples).T for samples in source.blocks(first, last)):
        mono = block.mean(dim=0, keepdim=True)
        # A DC offset would start with a click.
        offset = float(mono.mean()) if count == 0 else offset
        meter.add(mono - offset)
        count += mono.shape[-1]
        exact, exact_mono = block.double(), mono.double()
        total, squares = total + float(exact_mono.sum()), squares + float(exact_mono.square().sum())
        channel_totals = channel_totals + exact.sum(dim=-1)
        channel_squares = channel_squares + exact.square().sum(dim=-1)
    duration = count / rate
    if duration < MIN_LOUDNESS_SECONDS:
        # Loudness is measured in blocks of 0.4 s.
        meter.add(torch.zeros(1, math.ceil((MIN_LOUDNESS_SECONDS + 0.1) * rate) - count))
    channels = torch.as_tensor(channel_squares) / count - (torch.as_tensor(channel_totals) / count).square()
    return Levels(
        duration,
        meter.loudness(),
        mono_power=max(squares / count - (total / count) ** 2, 0.0),
        channel_power=float(channels.clamp(min=0).sum()) / len(channels) ** 2,
        constant=total / count,
    )


def warn_of_silence(levels: Levels, argument: str) -> None:
    """Warns about recordings that are silent when mixed to mono, or extremely short."""
    if levels.duration < MIN_SECONDS:
        logger.warning(
            f"`{argument}` has a duration of only {1000 * levels.duration:.3g} ms, which is too short for a control."
        )
        return
    cancels = levels.channel_power > SILENT_POWER and levels.mono_power < CANCELED * levels.channel_power
    if cancels:
        logger.warning(
            f"The channels of `{argument}` cancel each other: recordings are mixed to mono, and this mix is almost"
            " silent. Pass a single channel, or invert the polarity of one channel."
        )
    elif levels.is_constant:
        logger.warning(
            f"`{argument}` is silent: its samples have a constant value of {levels.constant:.3f} (DC)."
            " Check the recording."
        )
    elif levels.is_silent:
        logger.warning(f"`{argument}` is silent (below {SILENCE_LUFS:g} LUFS): check the recording.")


def bring_drums_to_loudness(waveform: torch.Tensor, levels: Levels, loudness: float | None) -> torch.Tensor:
    r"""
    Scales drums to a target loudness, unless they are silent.

    Args:
        waveform (`torch.Tensor`): any part of the recording.
        levels ([`Levels`]): levels of the whole recording.
        loudness (`float`, *optional*): target in LUFS; `None` leaves the level unchanged and warns if the drums are
            quiet.
    """
    if levels.is_silent:
        return waveform
    if not waveform.abs().max() > SILENT_PEAK:
        logger.warning(
            "The excerpt of `drums` that is used is silent, but other parts of the recording are not: select another one"
            " with `start`."
        )
    if loudness is not None:
        return waveform * 10 ** ((loudness - levels.loudness) / 20)
    if levels.loudness < QUIET_DRUMS:
        logger.warning(
            f"`drums` are very quiet ({levels.loudness:.0f} LUFS), so the model is likely to follow them poorly: set"
            " `normalize_drums=True`, or make them louder."
        )
    return waveform


def measure_separated_drums(waveform: torch.Tensor, rate: int, mix: Levels) -> Levels:
    r"""
    Measures the levels of drums that were separated from a mix. Drums far below the level of the mix are residues of
    other instruments, which must not be amplified: they count as silence, with a warning.

    Args:
        waveform (`torch.Tensor` of shape `(channels, samples)`): the drums.
        rate (`int`): their sampling rate in Hz.
        mix ([`Levels`]): levels of the mix.
    """
    levels = measure_levels(Waveform((waveform, rate), "drums"), "drums")
    if mix.is_silent or levels.loudness >= mix.loudness + NO_DRUMS:
        return levels
    logger.warning(
        "No drums were found in the excerpt of `drums` that is used: select another one with `start`, or omit `drums`."
    )
    return replace(levels, loudness=math.nan)
