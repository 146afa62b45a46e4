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

"""Levels of whole recordings: how loud they are, and whether there is anything to hear in them."""

import math
from dataclasses import dataclass

import torch
from diffusers.utils import logging

from ..utils.errors import InputError
from .files import AudioFile
from .loudness import MIN_LOUDNESS_SECONDS, SILENCE_LUFS, LoudnessMeter
from .waveforms import Waveform


logger = logging.get_logger(__name__)

SILENT_POWER = 1e-7  # -70 dBFS
CONSTANT = (
    1e-6  # Power of a signal that is nothing but noise on a constant value, as a share of the square of that value.
)
CANCELLED = 0.01  # Power of the mono mix, as a share of that of a mix of unrelated channels.
MIN_SECONDS = 0.01  # A shorter recording is a mistake.


@dataclass(frozen=True)
class Levels:
    r"""
    Levels of a recording.

    Args:
        duration (`float`): seconds.
        loudness (`float`): of the mono mix in LUFS (ITU-R BS.1770), over the whole recording; NaN for silence, below -70.
        mono_power (`float`): mean square of the mono mix, without its constant part; 1 is full scale.
        channel_power (`float`): mean square of a mono mix of unrelated channels with the same levels.
        constant (`float`): mean of the mono mix.
    """

    duration: float
    loudness: float
    mono_power: float
    channel_power: float
    constant: float

    @property
    def is_constant(self) -> bool:
        """Whether all samples have the same value, and not 0."""
        return self.constant**2 > max(SILENT_POWER, self.mono_power / CONSTANT)

    @property
    def is_silent(self) -> bool:
        return math.isnan(self.loudness) or self.is_constant


def measure_levels(source: AudioFile | Waveform, argument: str = "audio") -> Levels:
    r"""
    Measures a whole recording, a file in constant memory.

    Args:
        source ([`~audio.files.AudioFile`] or [`~audio.waveforms.Waveform`]): as [`~audio.io.open_audio`] returns it.
        argument (`str`): name of the argument, for messages.

    Raises:
        [`InputError`]: for a file that breaks off, and for a recording shorter than 10 ms.
    """
    rate = source.samplerate
    meter = LoudnessMeter(rate)
    count, total, squares, offset = 0, 0.0, 0.0, 0.0
    channel_totals: torch.Tensor | float = 0.0
    channel_squares: torch.Tensor | float = 0.0
    for block in (torch.from_numpy(samples).T for samples in source.blocks()):
        mono = block.mean(dim=0, keepdim=True)
        # A constant part would begin with a click.
        offset = float(mono.mean()) if count == 0 else offset
        meter.add(mono - offset)
        count += mono.shape[-1]
        exact, exact_mono = block.double(), mono.double()
        total, squares = total + float(exact_mono.sum()), squares + float(exact_mono.square().sum())
        channel_totals = channel_totals + exact.sum(dim=-1)
        channel_squares = channel_squares + exact.square().sum(dim=-1)
    duration = count / rate
    if duration < MIN_SECONDS:
        raise InputError(
            f"`{argument}` has to be a recording of at least {MIN_SECONDS:g} s, but has {count} samples at {rate} Hz.",
            argument,
        )
    if duration < MIN_LOUDNESS_SECONDS:
        # Loudness is that of blocks of 0.4 s.
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
    """Warns of a recording that is silent in mono, as which recordings are used."""
    cancels = levels.channel_power > SILENT_POWER and levels.mono_power < CANCELLED * levels.channel_power
    if cancels:
        logger.warning(
            f"The channels of `{argument}` cancel each other: it is used in mono, where next to nothing is left. Give one"
            " channel, or invert the polarity of the other one."
        )
    elif levels.is_constant:
        logger.warning(f"`{argument}` is silent: its samples have a constant value of {levels.constant:.3f} (DC).")
    elif levels.is_silent:
        logger.warning(f"`{argument}` is silent (below {SILENCE_LUFS:g} LUFS).")
